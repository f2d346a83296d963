"""/v3/brokerage: accounts, balances, balances of the day's begin, positions."""

from collections.abc import Iterable
from decimal import Decimal
from fnmatch import fnmatchcase
from zlib import crc32

from simulators.core.accounts import Account
from simulators.core.margin import MarginState
from simulators.core.money import ZERO, plain
from simulators.core.types import EntryKind, MarketKind, Position
from simulators.tradestation.config import AccountType
from simulators.tradestation.context import Context, House, Row, with_errors
from simulators.tradestation.render import account_row, position_row

CURRENCY = "USD"


def accounts(context: Context) -> Row:
    """GET /v3/brokerage/accounts: the client's own."""
    mine = (config for config in context.house.accounts.values() if context.owns(config.name))
    return {"Accounts": [account_row(config) for config in mine]}


def balances(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/balances."""
    found, errors = context.named()
    view = context.view_ms(context.venue.lags.wallet_ms)
    return with_errors("Balances", [_balance(context.house, account, view) for account in found], errors)


def bod_balances(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/bodbalances: as New York's day began."""
    found, errors = context.named()
    return with_errors("BODBalances", [_bod_balance(context.house, account) for account in found], errors)


def positions(context: Context) -> Row:
    """GET /v3/brokerage/accounts/{accounts}/positions; `symbol` lists names and wildcards."""
    found, errors = context.named()
    view = context.view_ms(context.venue.lags.positions_ms)
    rows = [
        row
        for account in found
        for row in position_rows(context.house, account, view)
        if _wanted(str(row["Symbol"]), context.query.get("symbol", ""))
    ]
    return with_errors("Positions", rows, errors)


def _wanted(symbol: str, asked: str) -> bool:
    return not asked or any(fnmatchcase(symbol, part.strip().upper()) for part in asked.split(","))


def position_rows(house: House, account: Account, view_ms: int | None = None) -> list[Row]:
    """Return an account's positions."""
    rows = []
    for position in account.positions(view_ms):
        instrument = house.venue.instruments[(MarketKind.LINEAR, position.symbol)]
        rows.append(
            position_row(
                position,
                house.symbols[position.symbol],
                house.venue.board.quote(instrument),
                house.tape.bar(instrument),
                account=account.name,
                number=position_number(account, position),
                today=house.hours.day(position.opened_ms) == house.hours.day(house.venue.now_ms()),
            )
        )
    return rows


def position_number(account: Account, position: Position) -> str:
    """Return a number that stays as long as the position does, and that its successor does not have."""
    return f"{account.uid % 1000}{position.opened_ms}{crc32(position.symbol.encode()) % 1000:03d}"


def _market_value(house: House, held: Iterable[Position]) -> Decimal:
    board, instruments = house.venue.board, house.venue.instruments
    return sum(
        (p.signed_qty * p.multiplier * board.last(instruments[(MarketKind.LINEAR, p.symbol)]) for p in held), ZERO
    )


def _signed_cost(held: Iterable[Position]) -> Decimal:
    return sum((p.cost if p.signed_qty > 0 else -p.cost for p in held), ZERO)


def _balance(house: House, account: Account, view_ms: int | None) -> Row:
    kind = house.accounts[account.name].account_type
    held = account.positions(view_ms)
    state = house.venue.margin.state(account, CURRENCY, view_ms=view_ms)
    futures = kind is AccountType.FUTURES
    value = _market_value(house, held)
    spent = ZERO if futures else _signed_cost(held)
    realised, fees = _today(house, account)
    return {
        "AccountID": account.name,
        "AccountType": kind.value,
        "CashBalance": plain(state.wallet - spent),
        "BuyingPower": plain(buying_power(house, account, state), 2),
        "Equity": plain(state.equity),
        "MarketValue": plain(value),
        "TodaysProfitLoss": plain(_todays_profit(house, account, view_ms)),
        "UnclearedDeposit": "0",
        "BalanceDetail": (_futures_detail if futures else _equities_detail)(state, held, realised),
        **({"CurrencyDetails": [_currency_detail(state, realised, fees)]} if futures else {}),
        "Commission": plain(fees),
    }


def buying_power(house: House, account: Account, state: MarginState) -> Decimal:
    """Return what may still be bought: margin multiplies what is free, except in futures accounts."""
    kind = house.accounts[account.name].account_type
    times = {AccountType.MARGIN: Decimal(4)}.get(kind, Decimal(1))
    return max(state.available, ZERO) * times


def _equities_detail(state: MarginState, held: list[Position], realised: Decimal) -> Row:
    return {
        "CostOfPositions": plain(sum((position.cost for position in held), ZERO)),
        "DayTrades": "0",
        "MaintenanceRate": plain(state.maintenance, 2),
        "OptionBuyingPower": plain(max(state.available, ZERO), 2),
        "OptionsMarketValue": "0",
        "OvernightBuyingPower": plain(max(state.available, ZERO) * 2, 2),
        "RequiredMargin": plain(state.position_margin, 2),
        "RealizedProfitLoss": plain(realised),
        "UnrealizedProfitLoss": plain(state.unrealised),
    }


def _futures_detail(state: MarginState, held: list[Position], realised: Decimal) -> Row:
    return {
        "DayTradeExcess": plain(state.available, 2),
        "RealizedProfitLoss": plain(realised),
        "UnrealizedProfitLoss": plain(state.unrealised),
        "DayTradeOpenOrderMargin": plain(state.order_margin, 2),
        "OpenOrderMargin": plain(state.order_margin, 2),
        "DayTradeMargin": plain(state.position_margin, 2),
        "InitialMargin": plain(state.position_margin, 2),
        "MaintenanceMargin": plain(state.maintenance, 2),
        "TradeEquity": plain(state.unrealised),
        "SecurityOnDeposit": "0",
        "TodayRealTimeTradeEquity": plain(state.unrealised),
    }


def _currency_detail(state: MarginState, realised: Decimal, fees: Decimal) -> Row:
    return {
        "Currency": CURRENCY,
        "Commission": plain(fees),
        "CashBalance": plain(state.wallet),
        "RealizedProfitLoss": plain(realised),
        "UnrealizedProfitLoss": plain(state.unrealised),
        "InitialMargin": plain(state.position_margin, 2),
        "MaintenanceMargin": plain(state.maintenance, 2),
        "AccountConversionRate": "1",
    }


def _today(house: House, account: Account) -> tuple[Decimal, Decimal]:
    """Return realised profit and fees since New York's midnight."""
    start = house.hours.day_start_ms(house.venue.now_ms())
    realised = fees = ZERO
    for entry in reversed(account.entries):
        if entry.time_ms < start:
            break
        if entry.kind is EntryKind.TRADE:
            realised += entry.cash_flow
            fees += entry.fee
    return realised, fees


def _todays_profit(house: House, account: Account, view_ms: int | None) -> Decimal:
    return sum((Decimal(str(row["TodaysProfitLoss"])) for row in position_rows(house, account, view_ms)), ZERO)


def _bod_balance(house: House, account: Account) -> Row:
    kind = house.accounts[account.name].account_type
    start = house.hours.day_start_ms(house.venue.now_ms())
    if account.entries:
        start = max(start, account.entries[0].time_ms)  # an account that was opened today began with its deposit
    wallet, held = account.wallet(CURRENCY, start), account.positions(start)
    if kind is AccountType.FUTURES:
        cash = plain(wallet)
        detail: Row = {"Equity": cash, "CashAvailableToWithdraw": cash, "NetCash": cash}
        currency = {"Currency": CURRENCY, "CashBalance": cash, "OpenTradeEquity": "0", "Securities": "0"}
        return {
            "AccountID": account.name,
            "AccountType": kind.value,
            "BalanceDetail": {**detail, "OpenTradeEquity": "0", "SecurityOnDeposit": "0"},
            "CurrencyDetails": [{**currency, "AccountOpenTradeEquity": "0", "AccountSecurities": "0"}],
        }
    cash = plain(wallet - _signed_cost(held))
    names = ("AccountBalance", "CashAvailableToWithdraw", "NetCash", "OptionBuyingPower")
    times = {AccountType.MARGIN: 4}.get(kind, 1)
    return {
        "AccountID": account.name,
        "AccountType": kind.value,
        "BalanceDetail": {
            **dict.fromkeys(names, cash),
            "DayTradingMarginableBuyingPower": plain(wallet * times),
            "DayTrades": "0",
            "Equity": plain(wallet),
            "OptionValue": "0",
            "OvernightBuyingPower": plain(wallet * min(times, 2)),
        },
    }
