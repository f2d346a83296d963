"""/v2/account, its configurations, positions, assets, clock and calendar."""

from datetime import date, timedelta

from simulators.alpaca.config import AlpacaAccount, Environment
from simulators.alpaca.context import Context, Row
from simulators.alpaca.errors import not_found, unprocessable
from simulators.alpaca.ids import named_uuid
from simulators.alpaca.moments import eastern, moment
from simulators.alpaca.money import funds, holding
from simulators.alpaca.render import asset_row, position_row
from simulators.core.clock import GatewayClock
from simulators.core.money import plain
from simulators.core.sessions import AssetType

CALENDAR_FIRST, CALENDAR_LAST = date(1970, 1, 1), date(2029, 12, 31)
CENTS = 2


def number_of(name: str, environment: Environment) -> str:
    """Return an account's number: paper ones begin with PA."""
    digits = named_uuid("account", name).replace("-", "").upper()
    return f"PA3{digits[:9]}" if environment is Environment.PAPER else str(int(digits[:9], 16) % 10**9).zfill(9)


def account(context: Context) -> Row:
    """GET /v2/account."""
    house, settings = context.house, context.settings
    now = funds(house, context.account, context.view_ms(context.venue.lags.wallet_ms))
    cash = now.cash
    if house.config.quirks.cash_less_crypto_holds:
        cash -= now.held_crypto
    opened = context.account.entries[0].time_ms if context.account.entries else context.venue.now_ms()
    return {
        "id": named_uuid("account", context.account.name),
        "admin_configurations": {},
        "user_configurations": None,
        "account_number": number_of(context.account.name, house.config.environment),
        "status": settings.status,
        "crypto_status": settings.status,
        "currency": "USD",
        "buying_power": plain(now.buying_power, CENTS),
        "regt_buying_power": plain(now.regt_buying_power, CENTS),
        "effective_buying_power": plain(now.buying_power, CENTS),
        "non_marginable_buying_power": plain(now.non_marginable_buying_power, CENTS),
        "options_buying_power": plain(now.non_marginable_buying_power, CENTS),
        "cash": plain(cash, CENTS),
        "accrued_fees": plain(house.fees.accrued_usd(context.account.name), CENTS),
        "portfolio_value": plain(now.equity, CENTS),
        "equity": plain(now.equity, CENTS),
        "last_equity": plain(house.last_equity(context.account), CENTS),
        "long_market_value": plain(now.long_value + now.crypto_value, CENTS),
        "short_market_value": plain(now.short_value, CENTS),
        "position_market_value": plain(now.long_value + now.short_value + now.crypto_value, CENTS),
        "initial_margin": plain(now.initial_margin, CENTS),
        "maintenance_margin": plain(now.maintenance_margin, CENTS),
        "last_maintenance_margin": "0",
        "sma": plain(now.non_marginable_buying_power, CENTS),
        "multiplier": str(settings.multiplier),
        "shorting_enabled": settings.multiplier > 1 and not settings.no_shorting,
        "trading_blocked": settings.trading_blocked,
        "transfers_blocked": False,
        "account_blocked": settings.account_blocked,
        "trade_suspended_by_user": settings.suspend_trade,
        "created_at": moment(opened * 1000),
        "balance_asof": (eastern(context.venue.now_ms()).date() - timedelta(days=1)).isoformat(),
        "crypto_tier": 1,
        "intraday_adjustments": "0",
        "pending_reg_taf_fees": "0",
    }


# configurations
def configurations(context: Context) -> Row:
    """GET /v2/account/configurations."""
    return _configurations(context.settings)


def _configurations(settings: AlpacaAccount) -> Row:
    return {
        "fractional_trading": settings.fractional_trading,
        "max_margin_multiplier": str(settings.multiplier),
        "max_options_trading_level": None,
        "no_shorting": settings.no_shorting,
        "ptp_no_exception_entry": False,
        "suspend_trade": settings.suspend_trade,
        "trade_confirm_email": "all",
    }


def change_configurations(context: Context) -> Row:
    """PATCH /v2/account/configurations: what is named changes."""
    body = context.body()
    changes: Row = {}
    for name in ("fractional_trading", "no_shorting", "suspend_trade"):
        flag = body.flag(name)
        if flag is not None:
            changes[name] = flag
    if body.has("max_margin_multiplier"):
        multiplier = body.text("max_margin_multiplier")
        if multiplier not in ("1", "2", "4"):
            raise unprocessable(f"max_margin_multiplier must be 1, 2 or 4, was {multiplier}")
        changes["multiplier"] = int(multiplier)
    context.house.change(context.account.name, **changes)
    return _configurations(context.settings)


# positions
def positions(context: Context) -> list[Row]:
    """GET /v2/positions: what is not flat."""
    return position_rows(context)


def position_rows(context: Context) -> list[Row]:
    """Return the account's positions, stocks and crypto."""
    house, account = context.house, context.account
    view = context.view_ms(context.venue.lags.positions_ms)
    rows = []
    for asset in house.assets.values():
        held = holding(house, account, asset, view)
        if held.qty == 0 or (asset.is_crypto and asset.quote != "USD"):
            continue
        rows.append(
            position_row(
                house,
                asset,
                qty=held.qty,
                cost=house.cost_of(account, asset, held.qty, view),
                available=held.available,
                bar=house.tape.bar(house.instrument(asset)),
            )
        )
    return rows


def position(context: Context) -> Row:
    """GET /v2/positions/{symbol_or_asset_id}."""
    asset = context.house.find(context.path["symbol_or_asset_id"])
    name = asset.symbol.replace("/", "") if asset is not None else ""
    for row in position_rows(context):
        if row["symbol"] == name:
            return row
    raise not_found("position does not exist")


# assets
def assets(context: Context) -> list[Row]:
    """GET /v2/assets: all of them; `status`, `asset_class` and `exchange` choose."""
    rows = [asset_row(asset) for asset in context.house.assets.values()]
    asked = {"status": "status", "asset_class": "class", "exchange": "exchange"}
    return [
        row
        for row in rows
        if all(context.query.get(name) in (None, "", "all", row[field]) for name, field in asked.items())
    ]


def asset(context: Context) -> Row:
    """GET /v2/assets/{symbol_or_asset_id}."""
    name = context.path["symbol_or_asset_id"]
    found = context.house.find(name)
    if found is None:
        raise not_found(f"asset not found for {name}")
    return asset_row(found)


# time
def clock(context: Context) -> Row:
    """GET /v2/clock: the regular session of stocks, on New York's clock."""
    now, hours = context.venue.now_ms(), context.house.hours
    regular, clock = hours.by_exchange(), context.venue.clock
    told = clock.gateway_ms() if clock.gateway is GatewayClock.ENGINE else now
    return {
        "timestamp": eastern(told).isoformat(timespec="microseconds"),
        "is_open": hours.is_open(AssetType.STOCK, now),
        "next_open": eastern(regular.opens_ms(AssetType.STOCK, now)).isoformat(),
        "next_close": eastern(regular.closes_ms(AssetType.STOCK, now)).isoformat(),
    }


def calendar(context: Context) -> list[Row]:
    """GET /v2/calendar: the trading days from `start` to `end`, both included."""
    hours = context.house.hours
    day = max(context.day("start") or CALENDAR_FIRST, CALENDAR_FIRST)
    last = min(context.day("end") or CALENDAR_LAST, CALENDAR_LAST)
    rows: list[Row] = []
    while day <= last:
        span = hours.equity_span(day, extended=False)
        if span is not None:
            rows.append(
                {
                    "date": day.isoformat(),
                    "open": f"{eastern(span[0]):%H:%M}",
                    "close": f"{eastern(span[1]):%H:%M}",
                    "session_open": f"{hours.extended_opens:%H%M}",
                    "session_close": f"{hours.extended_closes:%H%M}",
                    "settlement_date": _settles(context, day).isoformat(),
                }
            )
        day += timedelta(days=1)
    return rows


def _settles(context: Context, day: date) -> date:
    """Return the next trading day: since May 2024 trades settle one day later."""
    day += timedelta(days=1)
    while context.house.hours.equity_span(day, extended=False) is None:
        day += timedelta(days=1)
    return day
