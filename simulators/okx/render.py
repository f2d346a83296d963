"""Writes the core's facts as OKX's rows: every value a string, "" for what does not apply."""

from collections.abc import Sequence
from decimal import Decimal

from simulators.core.money import ZERO, plain
from simulators.core.types import (
    ExecutionKind,
    Instrument,
    MarketKind,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    Origin,
    PositionSide,
    Reason,
    TimeInForce,
)
from simulators.okx.desk import AlgoNote, Fill, OrderNote, algo_number
from simulators.okx.params import SIDE_NAMES, TYPES

Row = dict[str, object]

ORDER_TYPES = {
    TimeInForce.GTC: "limit",
    TimeInForce.IOC: "ioc",
    TimeInForce.FOK: "fok",
    TimeInForce.POST_ONLY: "post_only",
}
STATES = {
    OrderStatus.PENDING: "live",
    OrderStatus.UNTRIGGERED: "live",
    OrderStatus.OPEN: "live",
    OrderStatus.PARTIALLY_FILLED: "partially_filled",
    OrderStatus.FILLED: "filled",
}
CANCEL_SOURCES = {
    Reason.CANCELLED_BY_USER: ("1", "Order canceled by user"),
    Reason.CANCELLED_BY_ADMIN: ("0", "Order canceled by system"),
    Reason.CANCELLED_BY_LIQUIDATION: (
        "3",
        "Order canceled: Risk cancellation was triggered. Pending order was canceled due to insufficient maintenance "
        "margin ratio and forced-liquidation risk.",
    ),
    Reason.REDUCE_ONLY_ZERO: (
        "2",
        "Order canceled: Pre reduce-only order canceled, due to insufficient margin in user position",
    ),
    Reason.NOT_FULLY_FILLABLE: ("13", "Order canceled: FOK order was canceled due to incompletely filled."),
    Reason.NO_LIQUIDITY: ("14", "Order canceled: IOC order was partially canceled due to incompletely filled."),
    Reason.EXPIRED: ("20", "Cancel all after triggered"),
    Reason.POST_ONLY_WOULD_TAKE: ("31", "The post-only order will take liquidity in taker orders"),
}
"""`cancelSource` and its text by why an order ended (docs-v5, order channel)."""
UNSAID = ("0", "Order canceled by system")


def order_type(order: Order, note: OrderNote) -> str:
    """Return ordType."""
    if note.order_type:
        return note.order_type
    return "market" if order.request.order_type is OrderType.MARKET else ORDER_TYPES[order.request.time_in_force]


def side_name(kind: MarketKind, side: PositionSide) -> str:
    """Return posSide; spot has only net."""
    return "net" if kind is MarketKind.SPOT else SIDE_NAMES[side]


def fee_coin(instrument: Instrument, side: OrderSide) -> str:
    """Return the coin that a fill's fee is taken in."""
    if instrument.kind is MarketKind.LINEAR:
        return instrument.settle
    return instrument.base if side is OrderSide.BUY else instrument.quote


def one_decimal(value: Decimal) -> str:
    """Return a leverage as orders print it: 3 is 3.0."""
    text = plain(value)
    return text if "." in text else f"{text}.0"


def trade_number(fill: Fill) -> str:
    """Return tradeId, which is negative for a liquidation."""
    minus = "-" if fill.execution.kind is ExecutionKind.LIQUIDATION else ""
    return f"{minus}{fill.execution.execution_id}"


def order_row(
    order: Order, instrument: Instrument, note: OrderNote, fills: Sequence[Fill], *, rate: Decimal, placed_ms: int
) -> Row:
    """Return one order; `fills` are those it had, `rate` the leverage in force, `placed_ms` when it came to be."""
    request = order.request
    spot = request.kind is MarketKind.SPOT
    market = request.order_type is OrderType.MARKET
    source, why = (note.ending or CANCEL_SOURCES.get(order.reason, UNSAID)) if _ended_unfilled(order) else ("", "")
    fee = sum((amount for _, amount in order.fees), ZERO)
    rebate_coin = instrument.quote if spot and request.side is OrderSide.BUY else instrument.base
    return _last_fill(fills) | {
        "instType": TYPES[request.kind],
        "instId": request.symbol,
        "ordId": order.order_id,
        "clOrdId": note.algo.child_id if note.algo else order.client_id,
        "tag": note.tag,
        "ccy": "" if spot else instrument.settle,
        "side": request.side.value,
        "posSide": side_name(request.kind, request.position_side),
        "tdMode": note.trade_mode,
        "ordType": order_type(order, note),
        "sz": plain(request.quote_qty if request.quote_qty is not None else order.qty),
        "px": "" if market else plain(order.price),
        "tgtCcy": note.target,
        "accFillSz": plain(order.filled_qty),
        "avgPx": plain(order.average_price, 10) if order.average_price is not None else "",
        "state": STATES.get(order.status, "canceled"),
        "fee": plain(-fee),
        "feeCcy": fee_coin(instrument, request.side),
        "rebate": "0",
        "rebateCcy": rebate_coin if spot else instrument.settle,
        "pnl": plain(sum((fill.profit for fill in fills), ZERO)),
        "lever": "" if spot else one_decimal(note.leverage or rate),
        "reduceOnly": "true" if note.reduce_only else "false",
        "category": "full_liquidation" if request.origin is Origin.VENUE else "normal",
        "cancelSource": source,
        "cancelSourceReason": why,
        "stpMode": note.stp_mode,
        "tradeQuoteCcy": instrument.quote if spot else "",
        "cTime": str(placed_ms),
        "uTime": str(order.updated_ms),
        **_UNUSED,
        **(_of_algo(order, note.algo) if note.algo else {}),
        "attachAlgoOrds": [],
        "linkedAlgoOrd": {"algoId": ""},
    }


_UNUSED = {
    **dict.fromkeys(("algoClOrdId", "algoId", "attachAlgoClOrdId", "pxType", "pxUsd", "pxVol"), ""),
    **dict.fromkeys(("quickMgnType", "source", "stpId", "slOrdPx", "slTriggerPx", "slTriggerPxType"), ""),
    **dict.fromkeys(("tpOrdPx", "tpTriggerPx", "tpTriggerPxType"), ""),
    "isTpLimit": "false",
}


def _of_algo(order: Order, algo: AlgoNote) -> Row:
    """Return what an order says of the algo order that placed it."""
    source = {"conditional": "7", "trigger": "6"}[algo.kind]
    return {"algoId": algo_number(order), "algoClOrdId": algo.client_id, "source": source}


def _ended_unfilled(order: Order) -> bool:
    return not order.is_open and order.status is not OrderStatus.FILLED


def _last_fill(fills: Sequence[Fill]) -> Row:
    if not fills:
        return {"fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": ""}
    last = fills[-1]
    return {
        "fillPx": plain(last.execution.price),
        "fillSz": plain(last.execution.qty),
        "fillTime": str(last.execution.time_ms),
        "tradeId": trade_number(last),
    }


def sub_type(fill: Fill) -> str:
    """Return a trade's subType: what it did to which position."""
    execution = fill.execution
    buys = execution.side is OrderSide.BUY
    liquidation = execution.kind is ExecutionKind.LIQUIDATION
    if fill.position_side is PositionSide.BOTH:
        return ("106" if buys else "107") if liquidation else ("1" if buys else "2")
    long = fill.position_side is PositionSide.LONG
    if liquidation:
        return "104" if long else "105"
    if long:
        return "3" if buys else "5"
    return "6" if buys else "4"


def fill_row(fill: Fill, instrument: Instrument, note: OrderNote) -> Row:
    """Return one fill; its fee is negative when paid. It names no algo order."""
    execution = fill.execution
    spot = execution.market is MarketKind.SPOT
    return {
        "instType": TYPES[execution.market],
        "instId": execution.symbol,
        "tradeId": trade_number(fill),
        "ordId": execution.order_id,
        "clOrdId": note.algo.child_id if note.algo else execution.client_id,
        "billId": fill.bill_id,
        "subType": sub_type(fill),
        "tag": note.tag,
        "fillPx": plain(execution.price),
        "fillSz": plain(execution.qty),
        "fillIdxPx": plain(execution.mark_price),
        "fillPnl": plain(fill.profit),
        "fillPxVol": "",
        "fillPxUsd": "",
        "fillMarkVol": "",
        "fillFwdPx": "",
        "fillMarkPx": "" if spot else plain(execution.mark_price),
        "side": execution.side.value,
        "posSide": side_name(execution.market, fill.position_side),
        "execType": "M" if execution.is_maker else "T",
        "feeCcy": execution.fee_coin,
        "fee": plain(-execution.fee),
        "feeRate": plain(-execution.fee_rate) if spot else "",
        "ts": str(execution.time_ms),
        "fillTime": str(execution.time_ms),
        "tradeQuoteCcy": instrument.quote if spot else "",
    }
