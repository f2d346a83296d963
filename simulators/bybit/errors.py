"""Bybit's codes and texts for every refusal (venues/bybit.md §5; bybit-exchange/docs error.mdx)."""

from collections.abc import Mapping
from decimal import Decimal

from simulators.core.money import plain
from simulators.core.types import MarketKind, Reason, Refusal


class BybitError(Exception):
    """An answer with HTTP 200 and a non-zero retCode."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message


def bad_request(message: str) -> BybitError:
    """Return 10001 with the given text."""
    return BybitError(10001, message)


_LINEAR: Mapping[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_SYMBOL: (10001, "Not supported symbols"),
    Reason.SYMBOL_NOT_TRADING: (110074, "This contract is not live"),
    Reason.QTY_INVALID: (10001, "Qty invalid"),
    Reason.QTY_STEP: (10001, "Qty invalid"),
    Reason.QTY_BELOW_MIN: (10001, "The number of contracts exceeds minimum limit allowed"),
    Reason.QTY_ABOVE_MAX: (10001, "The number of contracts exceeds maximum limit allowed: too large"),
    Reason.NOTIONAL_BELOW_MIN: (110094, "Order does not meet minimum order value {minimum}USDT"),
    Reason.NOTIONAL_ABOVE_MAX: (110090, "Order placement failed as your position may exceed the max limit."),
    Reason.PRICE_INVALID: (10001, "Price invalid"),
    Reason.PRICE_TICK: (10001, "Price invalid"),
    Reason.PRICE_BELOW_MIN: (110003, "Order price exceeds the allowable range."),
    Reason.PRICE_ABOVE_MAX: (110003, "Order price exceeds the allowable range."),
    Reason.TRIGGER_NOT_RISING: (110092, "expect Rising, but trigger_price[{trigger}] <= current[{last}]??laste"),
    Reason.TRIGGER_NOT_FALLING: (110093, "expect Falling, but trigger_price[{trigger}] >= current[{last}]??last"),
    Reason.TRIGGER_DIRECTION_MISSING: (10001, "TriggerDirection invalid"),
    Reason.INSUFFICIENT_BALANCE: (110007, "ab not enough for new order"),
    Reason.REDUCE_ONLY_ZERO: (110017, "current position is zero, cannot fix reduce-only order qty"),
    Reason.REDUCE_ONLY_SAME_SIDE: (110017, "orderQty will be truncated to zero"),
    Reason.DUPLICATE_CLIENT_ID: (110072, "OrderLinkedID is duplicate"),
    Reason.POSITION_SIDE_MISMATCH: (10001, "position idx not match position mode"),
    Reason.TOO_MANY_OPEN_ORDERS: (110020, "Not allowed to have more than {maximum} active orders."),
    Reason.TOO_MANY_CONDITIONAL_ORDERS: (
        110009,
        "The number of stop orders exceeds the maximum allowable limit",
    ),
    Reason.ORDER_NOT_FOUND: (110001, "order not exists or too late to cancel"),
    Reason.ORDER_NOT_MODIFIED: (
        10001,
        "The order remains unchanged as the parameters entered match the existing ones.",
    ),
    Reason.AMEND_BELOW_FILLED: (110032, "Order is illegal"),
    Reason.LEVERAGE_INVALID: (10001, "leverage invalid"),
    Reason.LEVERAGE_NOT_MODIFIED: (110043, "leverage not modified"),
    Reason.LEVERAGE_MARGIN: (110012, "Insufficient available balance."),
    Reason.MODE_NOT_MODIFIED: (110025, "Position mode is not modified"),
    Reason.MODE_HAS_POSITION: (110024, "You have an existing position, so the position mode cannot be switched."),
    Reason.MODE_HAS_ORDERS: (110028, "You have existing open orders, so the position mode cannot be switched."),
    Reason.MODE_UNSUPPORTED: (110029, "Hedge mode is not supported for this symbol."),
}

_SPOT: Mapping[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_SYMBOL: (170121, "Invalid symbol."),
    Reason.SYMBOL_NOT_TRADING: (170151, "The trading pair is not open yet"),
    Reason.QTY_INVALID: (170130, "Data sent for paramter 'qty' is not valid."),
    Reason.QTY_STEP: (170137, "Order quantity has too many decimals."),
    Reason.QTY_BELOW_MIN: (170136, "Order quantity exceeded lower limit."),
    Reason.QTY_ABOVE_MAX: (170124, "Order amount too large."),
    Reason.NOTIONAL_BELOW_MIN: (170140, "Order value exceeded lower limit."),
    Reason.NOTIONAL_ABOVE_MAX: (170124, "Order amount too large."),
    Reason.PRICE_INVALID: (170130, "Data sent for paramter 'price' is not valid."),
    Reason.PRICE_TICK: (170134, "Order price has too many decimals."),
    Reason.PRICE_BELOW_MIN: (170194, "Sell order price cannot be lower than {minimum}."),
    Reason.PRICE_ABOVE_MAX: (170193, "Buy order price cannot be higher than {maximum}."),
    Reason.INSUFFICIENT_BALANCE: (170131, "Insufficient balance."),
    Reason.DUPLICATE_CLIENT_ID: (170141, "Duplicate clientOrderId."),
    Reason.TOO_MANY_OPEN_ORDERS: (170210, "New order rejected."),
    Reason.TOO_MANY_CONDITIONAL_ORDERS: (170210, "New order rejected."),
    Reason.ORDER_NOT_FOUND: (170213, "Order does not exist."),
    Reason.ORDER_NOT_MODIFIED: (170130, "Data sent for paramter 'qty' is not valid."),
}

_REJECT_REASONS: Mapping[Reason, str] = {
    Reason.NONE: "EC_NoError",
    Reason.POST_ONLY_WOULD_TAKE: "EC_PostOnlyWillTakeLiquidity",
    Reason.NO_LIQUIDITY: "EC_NoImmediateQtyToFill",
    Reason.NOT_FULLY_FILLABLE: "EC_NoEnoughQtyToFill",
    Reason.CANCELLED_BY_USER: "EC_PerCancelRequest",
    Reason.CANCELLED_BY_ADMIN: "EC_PerCancelRequest",
    Reason.CANCELLED_BY_LIQUIDATION: "EC_PerCancelRequest",
    Reason.REDUCE_ONLY_ZERO: "EC_QtyCannotBeZero",
    Reason.INSUFFICIENT_BALANCE: "EC_Others",
    Reason.DUPLICATE_CLIENT_ID: "EC_DuplicatedClOrdID",
}

_CANCEL_TYPES: Mapping[Reason, str] = {
    Reason.CANCELLED_BY_USER: "CancelByUser",
    Reason.CANCELLED_BY_ADMIN: "CancelByAdmin",
    Reason.CANCELLED_BY_LIQUIDATION: "CancelByPrepareLiq",
    Reason.CANCELLED_BY_DISCONNECTION: "CancelByDCP",
    Reason.REDUCE_ONLY_ZERO: "CancelByReduceOnly",
}


def reject_reason(reason: Reason) -> str:
    """Return Bybit's rejectReason of an order."""
    return _REJECT_REASONS.get(reason, "EC_Others")


def cancel_type(reason: Reason) -> str:
    """Return Bybit's cancelType of an order."""
    return _CANCEL_TYPES.get(reason, "UNKNOWN")


def translate(refusal: Refusal, kind: MarketKind) -> tuple[int, str]:
    """Return Bybit's code and text for a refusal of the core."""
    table = _SPOT if kind is MarketKind.SPOT else _LINEAR
    found = table.get(refusal.reason) or _LINEAR.get(refusal.reason)
    code, template = found or (10001, "Request parameter error.")
    return code, template.format_map({name: _shown(value) for name, value in refusal.detail.items()})


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
