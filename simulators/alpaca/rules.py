"""Which orders an account may have and when they act: position, wash trades, money, sessions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, time
from decimal import Decimal

from simulators.alpaca.asking import Asked, Group
from simulators.alpaca.book import Force, Kind, Ticket
from simulators.alpaca.config import SHORT_EQUITY_MIN, USD, AlpacaAccount, WashTrade
from simulators.alpaca.context import House
from simulators.alpaca.errors import UNPROCESSABLE, ApiError, forbidden, refused, unprocessable
from simulators.alpaca.moments import eastern
from simulators.alpaca.money import Holding, funds, holding, opening_value, stop_limit_of, unit_value
from simulators.alpaca.trails import stop_of
from simulators.core.accounts import Account
from simulators.core.money import ZERO, floor_to, plain
from simulators.core.sessions import DAY_MS, AssetType, SessionMode
from simulators.core.types import (
    Order,
    OrderRequest,
    OrderSide,
    OrderType,
    TimeInForce,
    TriggerDirection,
)

GTC_DAYS = 90
OPG_UNTIL, CLS_UNTIL, AUCTION_AGAIN = time(9, 28), time(15, 50), time(19)
TOO_LATE: Mapping[Force, str] = {
    Force.OPG: "opg orders must be submitted after 7:00pm and before 9:28am",
    Force.CLS: "cls orders must be submitted after 7:00pm and before 3:50pm",
}
_AT_ONCE: Mapping[Force, TimeInForce] = {
    Force.IOC: TimeInForce.IOC,
    Force.FOK: TimeInForce.FOK,
    Force.OPG: TimeInForce.IOC,
    Force.CLS: TimeInForce.IOC,
}


@dataclass(frozen=True, slots=True)
class Timing:
    """When an order acts (None: now) and ends (None: never); `lapses`: it is taken and dies at once."""

    release_ms: int | None = None
    expires_ms: int | None = None
    lapses: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rules say of an order: how the core is asked, under which ticket, and when it acts and ends."""

    request: OrderRequest
    ticket: Ticket
    timing: Timing


def judge(house: House, account: Account, asked: Asked, *, without: str = "") -> Terms:
    """Return an order's terms, or refuse it; `without` is an order that this one replaces."""
    settings, asset = house.accounts[account.name], asked.asset
    _check_account(settings)
    if not asset.active:
        raise unprocessable(f'asset "{asset.symbol}" is not active')
    if not asset.trading:
        raise unprocessable(f'asset "{asset.symbol}" is not tradable')
    asked = _sized(house, asked)
    _check_wash(house, account, asked, without)
    held = holding(house, account, asset, without=without)
    closes = _check_holding(account, asked, held)
    _check_intent(asked, closes=closes)
    if settings.trading_blocked and not _closing(asked, closes=closes):
        raise forbidden("account is restricted to liquidation only")
    if not closes and not asset.is_crypto:
        _check_opening(house, account, asked, settings)
    _check_money(house, account, asked, closes=closes, without=without)
    ticket = Ticket(
        asset=asset,
        kind=asked.kind,
        force=asked.force,
        closes=closes,
        limit=asked.limit,
        stop=asked.stop,
        notional=asked.notional,
        extended=asked.extended,
        order_class="" if asked.group is Group.SIMPLE else asked.group.value,
        trail_price=asked.trail_price,
        trail_percent=asked.trail_percent,
    )
    if asked.kind is Kind.TRAILING_STOP:
        ticket.high_water = house.price(asset)
        ticket.stop = stop_of(ticket, asked.side, ticket.high_water)
        asked = replace(asked, stop=ticket.stop)
    return Terms(request_of(asked, closes=closes), ticket, timing_of(house, asked))


def _check_account(settings: AlpacaAccount) -> None:
    if settings.account_blocked or settings.status != "ACTIVE":
        raise forbidden("account is not active")
    if settings.suspend_trade:
        raise forbidden("new orders are rejected by user request")


def _sized(house: House, asked: Asked) -> Asked:
    """Give a quantity to an order by value, except to purchases at the market, which the core fills by value."""
    if asked.notional is None or (asked.side is OrderSide.BUY and asked.kind is Kind.MARKET):
        return asked
    quote = house.venue.board.quote(house.instrument(asked.asset))
    price = asked.limit or (quote.bid if asked.side is OrderSide.SELL else quote.ask)
    return replace(asked, qty=floor_to(asked.notional / price, asked.asset.step))


# position
def _wanted(asked: Asked) -> Decimal:
    return asked.qty if asked.qty is not None else ZERO


def _check_holding(account: Account, asked: Asked, held: Holding) -> bool:
    """Refuse to give away more than there is; tell whether the order closes."""
    selling = asked.side is OrderSide.SELL
    if asked.asset.is_crypto:
        if selling and _wanted(asked) > held.available:
            raise _insufficient(asked.asset.base, _wanted(asked), held.available, held.qty)
        return False
    if held.qty * asked.side.sign >= 0:
        return False
    if _wanted(asked) > held.available:
        requested, available = plain(_wanted(asked)), plain(held.available)
        raise forbidden(
            f"insufficient qty available for order (requested: {requested}, available: {available})",
            available=available,
            existing_qty=plain(abs(held.qty)),
            held_for_orders=plain(held.held),
            related_orders=list(held.orders),
            symbol=asked.asset.symbol,
        )
    return True


def _insufficient(coin: str, need: Decimal, available: Decimal, balance: Decimal) -> ApiError:
    shown = {"available": plain(available), "balance": plain(balance), "symbol": coin}
    text = f"insufficient balance for {coin} (requested: {plain(need)}, available: {plain(available)})"
    return forbidden(text, **shown)


def _closing(asked: Asked, *, closes: bool) -> bool:
    """Tell whether an order gives away what is held; a sale of crypto always does."""
    return closes or (asked.asset.is_crypto and asked.side is OrderSide.SELL)


def _check_intent(asked: Asked, *, closes: bool) -> None:
    inferred = f"{asked.side.value}_to_{'close' if _closing(asked, closes=closes) else 'open'}"
    if asked.intent and asked.intent != inferred:
        raise unprocessable(f"position intent mismatch, inferred: {inferred}, specified: {asked.intent}")


def _check_opening(house: House, account: Account, asked: Asked, settings: AlpacaAccount) -> None:
    if asked.group is Group.OCO:
        raise unprocessable("oco orders must be exit orders")
    if asked.is_fractional and not settings.fractional_trading:
        raise forbidden("account is not allowed to trade fractional shares")
    if asked.side is OrderSide.BUY:
        return
    symbol = asked.asset.symbol
    if asked.is_fractional:
        raise unprocessable("fractional orders cannot be sold short")
    equity = funds(house, account).equity
    if settings.multiplier == 1 or settings.no_shorting or equity < SHORT_EQUITY_MIN:
        raise forbidden("account is not allowed to short")
    if not asked.asset.shortable or not asked.asset.easy_to_borrow:
        raise forbidden(f'asset "{symbol}" cannot be sold short')


# wash trades
def _check_wash(house: House, account: Account, asked: Asked, without: str) -> None:
    """Refuse an order that could meet one's own: the other is at the market or a stop, or the prices cross."""
    if asked.group is not Group.SIMPLE:
        return
    for order in account.open_orders():
        ticket = house.book.ticket(order)
        same = ticket.asset.symbol == asked.asset.symbol and order.order_id != without
        if not same or order.request.side is asked.side or ticket.parent:
            continue
        reason = _wash(asked, order, ticket)
        if reason:
            raise _wash_trade(house, order, reason)


def _wash(asked: Asked, order: Order, ticket: Ticket) -> str:
    if ticket.kind is not Kind.LIMIT:
        return "opposite side market/stop order exists"
    if asked.kind is not Kind.LIMIT or asked.limit is None:
        return "opposite side limit order exists"
    return "opposite side limit order exists" if (asked.limit - order.price) * asked.side.sign >= 0 else ""


def _wash_trade(house: House, order: Order, reason: str) -> ApiError:
    text = "potential wash trade detected. use complex orders"
    if house.config.quirks.wash_trade is WashTrade.UNPROCESSABLE:
        return refused(UNPROCESSABLE, text)
    return forbidden(text, existing_order_id=order.order_id, reject_reason=reason)


# money
def _check_money(house: House, account: Account, asked: Asked, *, closes: bool, without: str) -> None:
    asset = asked.asset
    if _closing(asked, closes=closes):
        return
    limit = asked.limit
    if asked.kind is Kind.STOP and asked.stop is not None and asked.side is OrderSide.BUY:
        limit = stop_limit_of(asked.stop, asset.tick)
    cost = asked.notional
    if cost is None:
        cost = _wanted(asked) * unit_value(house, asset, asked.side, limit)
    if asset.is_crypto and asset.quote != USD:
        balance = account.wallet(asset.quote)
        free = balance - house.fees.owed(account.name, asset.quote) - _bound(house, account, asset.quote, without)
        if cost > free:
            raise _insufficient(asset.quote, cost, max(free, ZERO), balance)
        return
    now = funds(house, account, without=without)
    if asset.is_crypto and cost > now.non_marginable_buying_power:
        raise _insufficient(USD, cost, now.non_marginable_buying_power, now.cash)
    power = now.non_marginable_buying_power if asked.is_fractional else now.buying_power
    if cost > power:
        raise forbidden("insufficient buying power", buying_power=plain(power, 2), cost_basis=plain(cost, 2))


def _bound(house: House, account: Account, coin: str, without: str) -> Decimal:
    """Return how much of a coin open orders bind: to pay with it, or to sell it."""
    total = ZERO
    for order in account.open_orders():
        asset = house.book.ticket(order).asset
        if order.order_id == without or not asset.is_crypto:
            continue
        if asset.quote == coin:
            total += opening_value(house, order)
        elif asset.base == coin and order.request.side is OrderSide.SELL:
            total += order.remaining_qty
    return total


# form
def request_of(asked: Asked, *, closes: bool) -> OrderRequest:
    """Return the order in the core's words; a buy stop becomes a stop-limit, as the venue does it."""
    limit = asked.limit
    if asked.kind is Kind.STOP and asked.stop is not None and asked.side is OrderSide.BUY:
        limit = stop_limit_of(asked.stop, asked.asset.tick)
    stops = asked.stop is not None
    rises = asked.side is OrderSide.BUY
    by_value = asked.notional is not None and asked.qty is None
    return OrderRequest(
        kind=asked.asset.kind,
        symbol=asked.asset.symbol,
        side=asked.side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        qty=_wanted(asked),
        quote_qty=asked.notional if by_value else None,
        price=limit,
        time_in_force=_AT_ONCE.get(asked.force, TimeInForce.GTC),
        client_id=asked.client_id,
        reduce_only=closes,
        trigger_price=asked.stop,
        trigger_direction=(TriggerDirection.RISE if rises else TriggerDirection.FALL) if stops else None,
    )


# sessions
def timing_of(house: House, asked: Asked) -> Timing:
    """Return when an order acts and ends."""
    now = house.venue.now_ms()
    expires = now + GTC_DAYS * DAY_MS if asked.force is Force.GTC else None
    if asked.asset.is_crypto or house.hours.mode is SessionMode.ALWAYS:
        if asked.force is Force.DAY:
            expires = house.hours.closes_ms(AssetType.STOCK, now)
        return Timing(expires_ms=expires)
    if asked.force in TOO_LATE:
        return _auction(house, asked.force, now)
    hours, extended = house.hours, asked.extended
    if asked.force is Force.DAY:
        expires = hours.closes_ms(AssetType.STOCK, now, extended=extended)
    if hours.is_open(AssetType.STOCK, now, extended=extended):
        return Timing(expires_ms=expires)
    if asked.force in (Force.IOC, Force.FOK):
        return Timing(lapses=True)
    return Timing(release_ms=hours.opens_ms(AssetType.STOCK, now, extended=extended), expires_ms=expires)


def _auction(house: House, force: Force, now: int) -> Timing:
    """Wait for the auction, unless its orders are no longer taken and those of the next one not yet."""
    until = OPG_UNTIL if force is Force.OPG else CLS_UNTIL
    local: datetime = eastern(now)
    trades = house.hours.equity_span(local.date(), extended=False) is not None
    if trades and until <= local.time() < AUCTION_AGAIN:
        raise unprocessable(TOO_LATE[force])
    at_ms = house.hours.opens_ms(AssetType.STOCK, now)
    if force is Force.CLS:
        at_ms = house.hours.closes_ms(AssetType.STOCK, now)
    return Timing(release_ms=at_ms)
