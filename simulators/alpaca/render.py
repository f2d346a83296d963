"""How Alpaca prints orders, positions and activities: money as strings, moments in UTC, absent values as null."""

from dataclasses import replace
from decimal import Decimal

from simulators.alpaca.book import Sight, Ticket
from simulators.alpaca.config import AlpacaAsset
from simulators.alpaca.context import House, Row
from simulators.alpaca.fees import Posting
from simulators.alpaca.ids import named_uuid
from simulators.alpaca.moments import moment
from simulators.core.money import ZERO, plain
from simulators.core.tape import Bar
from simulators.core.types import Execution, Order, OrderSide, OrderStatus, Quote

CASH_DECIMALS = 6


def number(value: Decimal) -> float | int:
    """Return a number as market data prints it: a JSON number; nothing is computed with it."""
    return int(value) if value == value.to_integral_value() else float(value)


def text(value: Decimal | None, decimals: int | None = None) -> str | None:
    """Write a number as the trading API does; None stays null."""
    return None if value is None else plain(value, decimals)


# orders
def order_row(sight: Sight, legs: list[Row] | None = None) -> Row:
    """Return one order. `legs` are its children where the request asked to nest them."""
    order, ticket, status = sight.order, sight.ticket, sight.status
    ended = moment(order.updated_ms * 1000)
    by_value = ticket.notional is not None
    is_filled = order.status is OrderStatus.FILLED
    average = order.average_price
    return {
        "id": order.order_id,
        "client_order_id": order.client_id or order.order_id,
        "created_at": moment(ticket.submitted_us),
        "updated_at": moment(max(order.updated_ms * 1000, ticket.submitted_us)),
        "submitted_at": moment(ticket.submitted_us),
        "filled_at": ended if is_filled else None,
        "expired_at": ended if status == "expired" else None,
        "expires_at": moment(ticket.expires_ms * 1000) if ticket.expires_ms is not None else None,
        "canceled_at": ended if status == "canceled" else None,
        "failed_at": ended if status == "rejected" else None,
        "replaced_at": ended if status == "replaced" else None,
        "replaced_by": ticket.replaced_by or None,
        "replaces": ticket.replaces or None,
        "asset_id": named_uuid("asset", ticket.asset.symbol),
        "symbol": ticket.asset.symbol,
        "asset_class": ticket.asset.asset_class.value,
        "notional": text(ticket.notional),
        "qty": None if by_value and not is_filled else plain(order.filled_qty if by_value else order.qty),
        "filled_qty": plain(order.filled_qty),
        "filled_avg_price": None if average is None else plain(average, CASH_DECIMALS),
        "order_class": ticket.order_class,
        "order_type": ticket.kind.value,
        "type": ticket.kind.value,
        "side": order.request.side.value,
        "position_intent": intent_of(order, ticket),
        "time_in_force": ticket.force.value,
        "limit_price": text(ticket.limit),
        "stop_price": text(ticket.stop),
        "status": status,
        "extended_hours": ticket.extended,
        "legs": legs,
        "trail_percent": text(ticket.trail_percent),
        "trail_price": text(ticket.trail_price),
        "hwm": text(ticket.high_water),
        "subtag": None,
        "source": None,
    }


def intent_of(order: Order, ticket: Ticket) -> str:
    """Return what an order does to its position; a sale of crypto always closes."""
    closes = ticket.closes or (ticket.asset.is_crypto and order.request.side is OrderSide.SELL)
    return f"{order.request.side.value}_to_{'close' if closes else 'open'}"


def received_row(sight: Sight) -> Row:
    """Return the row that answers a new order: as it was received, before anything came of it."""
    order = sight.order
    fresh = replace(
        order,
        status=OrderStatus.PENDING,
        filled_qty=ZERO,
        filled_value=ZERO,
        updated_ms=order.created_ms,
    )
    status = "accepted" if sight.ticket.queued else "pending_new"
    return order_row(Sight(fresh, sight.ticket, status))


# activities
def fill_row(execution: Execution, order: Order, ticket: Ticket, *, filled: Decimal, stamp: str) -> Row:
    """Return the activity of one fill; `filled` is the order's total with it."""
    done = execution.remaining_qty == 0 and (ticket.notional is None or filled == order.filled_qty)
    short = execution.side is OrderSide.SELL and not ticket.closes and not ticket.asset.is_crypto
    return {
        "id": f"{stamp}::{execution.execution_id}",
        "activity_type": "FILL",
        "transaction_time": moment(execution.time_ms * 1000),
        "type": "fill" if done else "partial_fill",
        "price": plain(execution.price),
        "qty": plain(execution.qty),
        "side": "sell_short" if short else execution.side.value,
        "symbol": execution.symbol,
        "leaves_qty": plain(ZERO if done else execution.remaining_qty),
        "order_id": execution.order_id,
        "cum_qty": plain(filled),
        "order_status": "filled" if done else "partially_filled",
        "swap_rate": "1",
    }


def posting_row(posting: Posting) -> Row:
    """Return an activity that is no trade."""
    row: Row = {
        "id": posting.activity_id,
        "activity_type": posting.kind,
        "date": posting.day.isoformat(),
        "created_at": moment(posting.at_ms * 1000),
        "net_amount": plain(posting.net_amount),
        "description": posting.description,
        "status": "executed",
    }
    if posting.symbol:
        row["symbol"] = posting.symbol
    if posting.qty is not None:
        row["qty"] = plain(posting.qty)
    if posting.price is not None:
        row["price"] = plain(posting.price)
    return row


# positions and assets
def position_row(house: House, asset: AlpacaAsset, *, qty: Decimal, cost: Decimal, available: Decimal, bar: Bar) -> Row:
    """Return one position; numbers of a short one are negative, also what is available."""
    price, sign = house.price(asset), 1 if qty > 0 else -1
    value, basis = qty * price, cost * sign
    profit, today = value - basis, qty * (price - bar.previous_close)
    return {
        "asset_id": named_uuid("asset", asset.symbol),
        "symbol": asset.symbol.replace("/", ""),
        "exchange": "CRYPTO" if asset.is_crypto else asset.exchange,
        "asset_class": asset.asset_class.value,
        "asset_marginable": asset.marginable and not asset.is_crypto,
        "qty": plain(qty),
        "qty_available": plain(available * sign),
        "avg_entry_price": plain(cost / abs(qty), 9),
        "side": "long" if qty > 0 else "short",
        "market_value": plain(value, CASH_DECIMALS),
        "cost_basis": plain(basis, CASH_DECIMALS),
        "unrealized_pl": plain(profit, CASH_DECIMALS),
        "unrealized_plpc": _ratio(profit, abs(basis)),
        "unrealized_intraday_pl": plain(today, CASH_DECIMALS),
        "unrealized_intraday_plpc": _ratio(today, abs(qty) * bar.previous_close),
        "current_price": plain(price),
        "lastday_price": plain(bar.previous_close),
        "change_today": _ratio(price - bar.previous_close, bar.previous_close),
    }


def _ratio(part: Decimal, whole: Decimal) -> str:
    return plain(part / whole, 10) if whole else "0"


def asset_row(asset: AlpacaAsset) -> Row:
    """Return one asset; only crypto prints its increments."""
    row: Row = {
        "id": named_uuid("asset", asset.symbol),
        "class": asset.asset_class.value,
        "exchange": "CRYPTO" if asset.is_crypto else asset.exchange,
        "symbol": asset.symbol,
        "name": asset.name or (f"{asset.base} / US Dollar" if asset.is_crypto else f"{asset.symbol} Common Stock"),
        "status": "active" if asset.active else "inactive",
        "tradable": asset.active and asset.trading,
        "marginable": asset.marginable and not asset.is_crypto,
        "maintenance_margin_requirement": 100 if asset.is_crypto else 30,
        "margin_requirement_long": "100" if asset.is_crypto else "30",
        "margin_requirement_short": "100" if asset.is_crypto else "30",
        "shortable": asset.shortable and not asset.is_crypto,
        "easy_to_borrow": asset.easy_to_borrow and not asset.is_crypto,
        "fractionable": asset.fractionable or asset.is_crypto,
        "attributes": [] if asset.is_crypto else ["fractional_eh_enabled", "has_options"],
    }
    if asset.is_crypto:
        row |= {
            "min_order_size": plain(asset.qty_min),
            "min_trade_increment": plain(asset.step),
            "price_increment": plain(asset.tick),
        }
    return row


# market data
def quote_row(house: House, asset: AlpacaAsset, quote: Quote, at: str) -> Row:
    """Return a quote; a side without one is all zeros."""
    no_bid, no_ask = house.one_sided.get(asset.symbol, (False, False))
    size = quote.size if quote.size is not None else Decimal(100)
    bid, ask = (ZERO if no_bid else quote.bid), (ZERO if no_ask else quote.ask)
    row: Row = {
        "t": at,
        "bp": number(bid),
        "bs": number(ZERO if no_bid else size),
        "ap": number(ask),
        "as": number(ZERO if no_ask else size),
    }
    if not asset.is_crypto:
        row |= {"bx": "V", "ax": "V", "c": ["R"], "z": "C"}
    return row


def trade_row(asset: AlpacaAsset, price: Decimal, at: str, trade_id: int) -> Row:
    """Return the latest trade."""
    row: Row = {"t": at, "p": number(price), "s": 100 if not asset.is_crypto else 0.01, "i": trade_id}
    return row | ({"tks": "B"} if asset.is_crypto else {"x": "V", "c": ["@"], "z": "C"})


def bar_row(at: str, prices: tuple[Decimal, Decimal, Decimal, Decimal]) -> Row:
    """Return a bar of open, high, low and close."""
    first, high, low, last = map(number, prices)
    return {"t": at, "o": first, "h": high, "l": low, "c": last, "v": 1000, "n": 10, "vw": last}
