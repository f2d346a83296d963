"""/v3/orderexecution: place, replace and cancel orders; every answer is a request sent on, not its outcome."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from enum import Enum

from simulators.core.accounts import Account
from simulators.core.money import plain
from simulators.core.types import (
    Instrument,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    Reason,
    Refusal,
    TimeInForce,
    TriggerDirection,
)
from simulators.tradestation import rules
from simulators.tradestation.book import Duration, Sight, Ticket, TradeAction, type_of
from simulators.tradestation.config import DoneOrder, DuplicateIds
from simulators.tradestation.context import Body, Context, Row
from simulators.tradestation.errors import (
    NOT_OPEN,
    UNKNOWN_ORDER,
    ApiError,
    Failed,
    bad_request,
    explain,
    not_simulated,
)
from simulators.tradestation.rules import Terms
from simulators.tradestation.sessions import AssetType

CONFIRM_ID_MAX = 22
UNSUPPORTED = ("Legs", "OSOs", "BuyingPowerWarning")
DEFAULT_ROUTE = "Intelligent"
_SHAPES = {
    "Market": (OrderType.MARKET, False),
    "Limit": (OrderType.LIMIT, False),
    "StopMarket": (OrderType.MARKET, True),
    "StopLimit": (OrderType.LIMIT, True),
}
_TIMES = {Duration.IOC: TimeInForce.IOC, Duration.FOK: TimeInForce.FOK}


class OrderShape(Enum):
    MARKET = "Market"
    LIMIT = "Limit"
    STOP_MARKET = "StopMarket"
    STOP_LIMIT = "StopLimit"


@dataclass(frozen=True, slots=True)
class Asked:
    """One order as it was asked for, well-formed but not judged yet."""

    account: Account
    symbol: str
    qty: Decimal
    shape: OrderShape
    action: TradeAction
    duration: Duration
    expires_on: date | None
    limit: Decimal | None
    stop: Decimal | None
    route: str
    confirm_id: str

    @property
    def words(self) -> str:
        """Return the order as the venue's messages word it."""
        prices = {
            OrderShape.MARKET: "Market",
            OrderShape.LIMIT: f"{self.limit} Limit",
            OrderShape.STOP_MARKET: f"{self.stop} Stop Market",
            OrderShape.STOP_LIMIT: f"{self.stop} Stop {self.limit} Limit",
        }
        return f"{rules.ACTION_WORDS[self.action]} {plain(self.qty)} {self.symbol} @ {prices[self.shape]}"


# asking
def read_order(context: Context, body: Body) -> Asked:
    """Read one order from a body, or refuse it with HTTP 400, 403 or 501."""
    for name in UNSUPPORTED:
        if body.has(name):
            raise not_simulated(name)
    options = body.inner("AdvancedOptions")
    for name in rules.ADVANCED:
        if options.asks(name):
            raise not_simulated(f"AdvancedOptions.{name}")
    account = context.one(body.text("AccountID", required=True))
    confirm = body.text("OrderConfirmID")
    if len(confirm) > CONFIRM_ID_MAX:
        raise bad_request(f"OrderConfirmID must have 1 to {CONFIRM_ID_MAX} characters, had {len(confirm)}")
    shape = body.word("OrderType", OrderShape)
    qty = body.decimal("Quantity", required=True)
    assert qty is not None
    kind, stops = _SHAPES[shape.value]
    force = body.inner("TimeInForce")
    duration = force.word("Duration", Duration)
    return Asked(
        account=account,
        symbol=body.text("Symbol", required=True).upper(),
        qty=qty,
        shape=shape,
        action=body.word("TradeAction", TradeAction),
        duration=duration,
        expires_on=_expiration(force, duration),
        limit=body.decimal("LimitPrice", required=True) if kind is OrderType.LIMIT else None,
        stop=body.decimal("StopPrice", required=True) if stops else None,
        route=body.text("Route") or DEFAULT_ROUTE,
        confirm_id=confirm,
    )


def _expiration(force: Body, duration: Duration) -> date | None:
    if duration not in (Duration.GTD, Duration.GTD_PLUS):
        return None
    text = force.text("Expiration", required=True)
    try:
        return datetime.fromisoformat(text).date()
    except ValueError:
        raise bad_request(f"TimeInForce.Expiration {text!r} is not a date") from None


def account_named(raw: bytes) -> str:
    """Return the account that an order's or a group's body names, "" when none can be read."""
    try:
        body = Body.read(raw)
        rows = body.rows("Orders")
        return (rows[0] if rows else body).text("AccountID")
    except ApiError:
        return ""


# placing
def place(context: Context) -> Row:
    """POST /v3/orderexecution/orders."""
    return answered([place_one(context, read_order(context, context.body()))])


def answered(rows: list[tuple[Row, bool]]) -> Row:
    """Sort the orders' answers into `Orders` and `Errors`."""
    return {"Orders": [row for row, is_error in rows if not is_error], "Errors": [row for row, err in rows if err]}


def place_one(context: Context, asked: Asked) -> tuple[Row, bool]:
    """Place an order; return its row of the answer and whether that belongs under `Errors`."""
    try:
        order = _place(context, asked)
    except Failed as failed:
        venue = context.venue
        number = venue.ids.order_id(MarketKind.LINEAR, venue.now_ms(), venue.rng)
        return {"Error": "FAILED", "Message": failed.message, "OrderID": number}, failed.in_errors
    return {"Message": f"Sent order: {asked.words}", "OrderID": order.order_id}, False


def _place(context: Context, asked: Asked) -> Order:
    house, venue = context.house, context.venue
    instrument = _instrument(context, asked)
    terms = rules.judge(house, asked.account, instrument, wish_of(asked))
    key = (context.client.client_id, asked.confirm_id)
    refuses = house.config.quirks.duplicate_ids is DuplicateIds.REFUSE
    if asked.confirm_id and refuses and key in house.confirm_ids:
        raise Failed(f"Duplicate OrderConfirmID {asked.confirm_id}")
    house.book.expect(terms.ticket)
    held = terms.release_ms is not None or terms.rejected is not None
    try:
        order = venue.place(
            asked.account,
            _request(asked, terms.ticket, instrument),
            fill_ratio=context.handling.fill_ratio,
            hold=held,
        )
    except Refusal as refusal:
        raise explain(refusal, rules.TYPE_WORDS[asked.shape.value]) from None
    finally:
        house.book.expect(None)
    if asked.confirm_id:
        house.confirm_ids.add(key)
    return _follow_up(context, asked.account, order, terms)


def _instrument(context: Context, asked: Asked) -> Instrument:
    instrument = context.house.instrument(asked.symbol)
    if instrument is None:
        raise Failed(f"Invalid symbol {asked.symbol}", in_errors=True)
    return instrument


def wish_of(asked: Asked) -> rules.Wish:
    """Return what the rules are asked of an order."""
    return rules.Wish(
        action=asked.action,
        duration=asked.duration,
        qty=asked.qty,
        is_limit=asked.limit is not None,
        is_stop=asked.stop is not None,
        expires_on=asked.expires_on,
        route=asked.route,
    )


def _request(asked: Asked, ticket: Ticket, instrument: Instrument) -> OrderRequest:
    kind, stops = _SHAPES[asked.shape.value]
    force = _TIMES.get(asked.duration, TimeInForce.GTC)
    if kind is OrderType.MARKET or asked.duration in (Duration.OPENING, Duration.CLOSING):
        force = TimeInForce.IOC
    rises = asked.action.side is OrderSide.BUY
    return OrderRequest(
        kind=MarketKind.LINEAR,
        symbol=instrument.symbol,
        side=asked.action.side,
        order_type=kind,
        qty=asked.qty,
        price=asked.limit,
        time_in_force=force,
        client_id=asked.confirm_id,
        reduce_only=ticket.closes and ticket.asset is AssetType.STOCK,
        position_side=PositionSide.BOTH,
        trigger_price=asked.stop,
        trigger_direction=(TriggerDirection.RISE if rises else TriggerDirection.FALL) if stops else None,
    )


def _follow_up(context: Context, account: Account, order: Order, terms: Terms) -> Order:
    """Reject an order that came too late, release one that waits, and end one that lives too long."""
    venue, order_id = context.venue, order.order_id
    if terms.rejected is not None:
        return venue.matching.end(account, order, OrderStatus.REJECTED, terms.rejected)
    now = venue.now_ms()
    if terms.release_ms is not None:
        venue.later(terms.release_ms - now, lambda: _release(context, account, order_id))
    if order.is_open and terms.expires_ms is not None:
        venue.later(terms.expires_ms - now, lambda: venue.cancel_now(account, order_id, Reason.EXPIRED))
    return order


def _release(context: Context, account: Account, order_id: str) -> None:
    """Let an order that waited for its session act, a market order within today's prices."""
    venue, order = context.venue, account.orders[order_id].now
    context.house.book.tickets[order_id].held = False
    if order.status is not OrderStatus.PENDING:
        return
    if order.request.order_type is OrderType.MARKET:
        instrument = venue.instrument(order.request.kind, order.request.symbol)
        account.put_order(replace(order, price=venue.matching.cap_price(order.request, instrument)), venue.now_ms())
    venue.release(account, order_id)


# changing
def find_order(context: Context) -> tuple[Account, Order]:
    """Return the order that the path names, or refuse with HTTP 404."""
    order_id = context.path["orderID"]
    for account in context.venue.accounts.values():
        order = account.order(order_id)
        if order is not None and context.owns(account.name):
            return account, order
    raise ApiError(404, UNKNOWN_ORDER)


def cancel(context: Context) -> Row:
    """DELETE /v3/orderexecution/orders/{orderID}: sends a cancel request, no more."""
    account, order = find_order(context)
    ticket = context.house.book.ticket(order)
    if not order.is_open:
        if context.house.config.quirks.done_order is DoneOrder.BODY:
            return {"Error": "FAILED", "Message": NOT_OPEN, "OrderID": order.order_id}
        raise bad_request(NOT_OPEN)
    if not ticket.cancel_asked:
        ticket.cancel_asked = True
        context.house.book.tell_as(account.name, order, ["UCN"])
        context.venue.cancel(account, order.order_id)
    return {"Message": "Cancel request sent", "OrderID": order.order_id}


def replace_order(context: Context) -> Row:
    """PUT /v3/orderexecution/orders/{orderID}: changes an open order, which keeps its number."""
    account, order = find_order(context)
    body = context.body()
    ticket = context.house.book.ticket(order)
    if not order.is_open:
        raise bad_request(f"Failed to Cancel/Replace order: {NOT_OPEN}")
    if ticket.cancel_asked:
        raise bad_request("Cancel/Replace not allowed after cancel has been attempted")
    if body.has("AdvancedOptions"):
        raise not_simulated("AdvancedOptions in a replacement")
    qty, limit, stop = body.decimal("Quantity"), body.decimal("LimitPrice"), body.decimal("StopPrice")
    to_market = body.has("OrderType")
    if to_market and body.text("OrderType").lower() != "market":
        raise bad_request("OrderType can only be changed to Market")
    if not to_market and qty is None and limit is None and stop is None:
        raise bad_request("At least one property must be changed")
    _check_change(order, qty, limit, stop)
    changed = to_market or _changes(order, qty, limit, stop)
    with context.house.book.holding_back() as kept:
        try:
            if to_market:
                context.venue.to_market(account, order.order_id, qty=qty)
            elif changed:
                context.venue.amend(account, order.order_id, qty=qty, price=limit, trigger_price=stop)
        except Refusal as refusal:
            failed = explain(refusal, rules.TYPE_WORDS[type_of(order)])
            raise bad_request(failed.message.replace("Order failed.", "Failed to Cancel/Replace order.")) from None
    _tell_replaced(context, account, order, kept)
    return {"Message": "Cancel/Replace order sent.", "OrderID": order.order_id}


def _changes(order: Order, qty: Decimal | None, limit: Decimal | None, stop: Decimal | None) -> bool:
    before = (order.qty, order.request.price, order.request.trigger_price)
    return any(new is not None and new != old for new, old in zip((qty, limit, stop), before, strict=True))


def _check_change(order: Order, qty: Decimal | None, limit: Decimal | None, stop: Decimal | None) -> None:
    if limit is not None and order.request.order_type is not OrderType.LIMIT:
        raise bad_request("LimitPrice is not valid for this order type")
    if stop is not None and order.request.trigger_price is None:
        raise bad_request("StopPrice is not valid for this order type")
    if stop is not None and order.triggered:
        raise bad_request("Failed to Cancel/Replace order: prior stop already triggered")
    if qty is not None and qty <= 0:
        raise bad_request(f"Quantity {plain(qty)} is invalid")


def _tell_replaced(context: Context, account: Account, before: Order, kept: list[tuple[str, Sight]]) -> None:
    """Tell the passing statuses of a replacement, OUT without ClosedDateTime among them, and what came of it."""
    book, venue = context.house.book, context.venue
    book.tell_as(account.name, before, ["RSN", "UCH", "OUT"])
    stay_ms = context.house.config.quirks.replace_out_ms
    ticket = book.ticket(before)

    def tell_present() -> None:
        present = account.orders[before.order_id].now
        if present.is_open:
            book.tell(account.name, book.sight(present, venue.now_ms()))

    if stay_ms and account.orders[before.order_id].now.is_open:
        ticket.shown, ticket.shown_until_ms = "OUT", venue.now_ms() + stay_ms
        venue.later(stay_ms, tell_present)
        return
    for name, sight in kept:
        book.tell(name, sight)
    if not kept:
        tell_present()
