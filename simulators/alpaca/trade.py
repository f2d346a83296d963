"""/v2/orders and closing of positions: place, replace, cancel; an answer tells what was received, not its outcome."""

from dataclasses import replace
from decimal import Decimal

from simulators.alpaca.asking import Asked, Group, check_form, client_id, read_order
from simulators.alpaca.book import REPLACING, Force, Kind, Sight
from simulators.alpaca.config import AlpacaAsset
from simulators.alpaca.context import Body, Context, Row
from simulators.alpaca.errors import ApiError, bad_parameter, explain, not_found, unprocessable
from simulators.alpaca.ids import is_uuid
from simulators.alpaca.money import holding
from simulators.alpaca.render import order_row, received_row
from simulators.alpaca.rules import Terms, judge
from simulators.core.accounts import Account
from simulators.core.money import floor_to
from simulators.core.types import MarketKind, Order, OrderSide, OrderStatus, OrderType, Reason, Refusal


# placing
def place(context: Context) -> Row:
    """POST /v2/orders."""
    asked = read_order(context.house, context.body())
    check_unique(context.account, asked.client_id)
    sight = place_asked(context, asked)
    book, orders = context.house.book, context.account.orders
    legs = [order_row(book.sight(orders[leg].now)) for leg in sight.ticket.legs]
    return received_row(sight) | {"legs": legs or None}


def check_unique(account: Account, given: str) -> None:
    """Refuse a client order id that the account ever used: whatever became of that order."""
    if given and any(account.orders_by_client(kind, given) for kind in MarketKind):
        raise bad_parameter("client_order_id must be unique")


def place_asked(context: Context, asked: Asked, *, replaces: Order | None = None) -> Sight:
    """Place an order that is well-formed; return how it was received."""
    house, venue, account = context.house, context.venue, context.account
    terms = judge(house, account, asked, without=replaces.order_id if replaces else "")
    ticket, timing = terms.ticket, terms.timing
    ticket.queued = timing.release_ms is not None or timing.lapses
    ticket.expires_ms = timing.expires_ms
    ticket.replaces = replaces.order_id if replaces else ""
    house.book.expect(ticket)
    try:
        held = ticket.queued or asked.group is not Group.SIMPLE
        order = venue.place(account, terms.request, fill_ratio=context.handling.fill_ratio, hold=held)
    except Refusal as refusal:
        raise explain(refusal) from None
    finally:
        house.book.expect(None)
    if asked.group is not Group.SIMPLE:
        house.groups.add_exits(account, order, asked)
        if not ticket.queued and venue.lags.apply_ms:
            venue.later(venue.lags.apply_ms, lambda: venue.release(account, order.order_id))
        elif not ticket.queued:
            venue.release(account, order.order_id)
    _follow_up(context, account, order.order_id, terms)
    return Sight(order, ticket, "")


def _follow_up(context: Context, account: Account, order_id: str, terms: Terms) -> None:
    """End an order that came too late, release one that waits, and end one that lives too long."""
    venue, timing = context.venue, terms.timing
    order, now = account.orders[order_id].now, venue.now_ms()
    if timing.lapses:
        venue.matching.end(account, order, OrderStatus.CANCELLED, Reason.MARKET_CLOSED)
        return
    if timing.release_ms is not None:
        venue.later(timing.release_ms - now, lambda: _release(context, account, order_id))
    if order.is_open and timing.expires_ms is not None:
        venue.later(timing.expires_ms - now, lambda: venue.cancel_now(account, order_id, Reason.EXPIRED))


def _release(context: Context, account: Account, order_id: str) -> None:
    """Let an order that waited for its session act, a market order within the prices of that moment."""
    venue, order = context.venue, account.orders[order_id].now
    context.house.book.tickets[order_id].queued = False
    if order.status is not OrderStatus.PENDING:
        return
    if order.request.order_type is OrderType.MARKET:
        instrument = venue.instrument(order.request.kind, order.request.symbol)
        account.put_order(replace(order, price=venue.matching.cap_price(order.request, instrument)), venue.now_ms())
    venue.release(account, order_id)
    if account.orders[order_id].now.status is OrderStatus.UNTRIGGERED:
        venue.matching.on_price(account, {order.request.symbol})  # the price may have passed the stop meanwhile


# finding
def find_order(context: Context) -> Order:
    """Return the order that the path names, as it is now."""
    order_id = context.path["order_id"]
    if not is_uuid(order_id):
        raise bad_parameter("order_id must be a valid uuid")
    order = context.account.order(order_id.lower())
    if order is None:
        raise not_found(f"order not found for {order_id}")
    return order


# cancelling
def cancel(context: Context) -> None:
    """DELETE /v2/orders/{order_id}: a request, no more; 204 says nothing of its outcome."""
    _cancel(context, find_order(context))


def _cancel(context: Context, order: Order) -> None:
    sight = context.house.book.sight(order)
    if not order.is_open or sight.ticket.cancel_asked:
        raise unprocessable(f'order is already in "{sight.status}" state')
    sight.ticket.cancel_asked = True
    context.venue.cancel(context.account, order.order_id)


def cancel_all(context: Context) -> list[Row]:
    """DELETE /v2/orders: asks for the cancel of every open order, newest first."""
    rows: list[Row] = []
    for order in reversed(context.account.open_orders()):
        now = context.account.orders[order.order_id].now
        try:
            _cancel(context, now)
        except ApiError as error:
            if now.is_open:
                rows.append({"id": order.order_id, "status": error.status, "body": error.body})
            continue
        rows.append({"id": order.order_id, "status": 200, "body": None})
    return rows


# replacing
def replace_order(context: Context) -> Row:
    """PATCH /v2/orders/{order_id}: a new order takes the place of one that is open, under an id of its own."""
    order, body = find_order(context), context.body()
    house, account = context.house, context.account
    sight = house.book.sight(order)
    if not order.is_open:
        raise unprocessable(f'order is already in "{sight.status}" state')
    if order.status is OrderStatus.PENDING or sight.ticket.cancel_asked:
        raise unprocessable("unable to replace order, order isn't sent to exchange yet")
    if sight.ticket.kind is Kind.MARKET or sight.ticket.notional is not None:
        raise unprocessable("market and notional orders cannot be replaced")
    asked = _changed(context, sight, body)
    check_form(house, asked)
    check_unique(account, asked.client_id)
    judge(house, account, asked, without=order.order_id)
    now = context.venue.now_ms()
    sight.ticket.replaced_by = REPLACING
    ended = context.venue.matching.end(account, order, OrderStatus.CANCELLED, Reason.CANCELLED_BY_USER)
    try:
        received = place_asked(context, asked, replaces=ended)
    except ApiError:
        sight.ticket.replaced_by = ""
        account.put_order(order, now)
        raise
    sight.ticket.replaced_by = received.order.order_id
    account.put_order(ended, now)  # tells of it, now that its successor has an id
    if sight.ticket.order_class:
        house.groups.take_over(account, order.order_id, received.order.order_id)
    return received_row(received)


def _changed(context: Context, sight: Sight, body: Body) -> Asked:
    """Return the order as it is to be: what the request names is new, the rest stays; filled parts are done."""
    order, ticket = sight.order, sight.ticket
    names = ("qty", "limit_price", "stop_price", "trail", "time_in_force", "client_order_id")
    if not any(body.has(name) for name in names):
        raise bad_parameter("at least one of qty, time_in_force, limit_price, stop_price, trail must be specified")
    qty = body.decimal("qty")
    total = qty if qty is not None else order.qty
    if total <= order.filled_qty:
        raise unprocessable("qty must be > filled_qty")
    trail = body.decimal("trail")
    if trail is not None and ticket.kind is not Kind.TRAILING_STOP:
        raise bad_parameter("trail is only valid for trailing stop orders")
    force = body.word("time_in_force", Force, "invalid time_in_force") if body.has("time_in_force") else ticket.force
    return Asked(
        asset=ticket.asset,
        side=order.request.side,
        kind=ticket.kind,
        force=force,
        qty=total - order.filled_qty,
        notional=None,
        limit=body.decimal("limit_price") or ticket.limit,
        stop=None if ticket.kind is Kind.TRAILING_STOP else body.decimal("stop_price") or ticket.stop,
        extended=ticket.extended,
        client_id=client_id(context.house, body),
        intent="",
        trail_price=trail if trail is not None and ticket.trail_price else ticket.trail_price,
        trail_percent=trail if trail is not None and ticket.trail_percent else ticket.trail_percent,
    )


# closing positions
def close_position(context: Context) -> Row:
    """DELETE /v2/positions/{symbol_or_asset_id}: sells, or buys back, all of it, so many, or a percentage."""
    asset = context.house.find(context.path["symbol_or_asset_id"])
    held = holding(context.house, context.account, asset) if asset is not None else None
    if asset is None or held is None or held.qty == 0:
        raise not_found("position does not exist")
    qty, percentage = context.decimal("qty"), context.decimal("percentage")
    if qty is not None and percentage is not None:
        raise bad_parameter("only one of qty or percentage")
    if percentage is not None:
        if not 0 < percentage <= 100:
            raise bad_parameter("percentage must be between 0 and 100")
        whole = held.qty == held.qty.to_integral_value() and not asset.is_crypto
        qty = floor_to(abs(held.qty) * percentage / 100, Decimal(1) if whole else asset.step)
    return received_row(_close(context, asset, qty if qty is not None else _all_of(context, asset)))


def _all_of(context: Context, asset: AlpacaAsset) -> Decimal:
    """Return a whole position; of crypto only what no fee is owed from."""
    held = holding(context.house, context.account, asset)
    owed = context.house.fees.owed(context.account.name, asset.base) if asset.is_crypto else Decimal(0)
    return floor_to(abs(held.qty) - owed, asset.step)


def _close(context: Context, asset: AlpacaAsset, qty: Decimal) -> Sight:
    held = holding(context.house, context.account, asset)
    asked = Asked(
        asset=asset,
        side=OrderSide.SELL if held.qty > 0 else OrderSide.BUY,
        kind=Kind.MARKET,
        force=Force.GTC if asset.is_crypto else Force.DAY,
        qty=qty,
        notional=None,
        limit=None,
        stop=None,
        extended=False,
        client_id="",
        intent="",
    )
    if qty <= 0:
        raise unprocessable("qty must be > 0")
    return place_asked(context, asked)


def close_all(context: Context) -> list[Row]:
    """DELETE /v2/positions: one order a position; `cancel_orders` ends all open orders first."""
    if context.flag("cancel_orders"):
        cancel_all(context)
    rows: list[Row] = []
    for asset in list(context.house.assets.values()):
        if holding(context.house, context.account, asset).qty == 0:
            continue
        symbol = asset.symbol.replace("/", "")
        try:
            body: Row = received_row(_close(context, asset, _all_of(context, asset)))
            rows.append({"symbol": symbol, "status": 200, "body": body})
        except ApiError as error:
            rows.append({"symbol": symbol, "status": error.status, "body": error.body})
    return rows
