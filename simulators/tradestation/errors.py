"""TradeStation's two ways to refuse: an HTTP error with a title, and FAILED inside HTTP 200.

Evidence: the official OpenAPI document of the WebAPI v3 (titles, FAILED, the text about account types), and
QuantConnect's adapter (the EC codes of position conflicts, the texts of cancel and replace). Wording that nobody has
published (buying power, closed market, duplicate ids, which EC code is which conflict) is this simulator's own.
"""

from collections.abc import Mapping
from decimal import Decimal

from simulators.core.money import plain
from simulators.core.types import Reason, Refusal

TITLES: Mapping[int, str] = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    429: "TooManyRequests",
    500: "InternalServerError",
    501: "NotImplemented",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
TEXTS: Mapping[int, str] = {
    429: "Rate quota exceeded.",
    500: "Internal server error.",
    502: "Bad gateway.",
    503: "Service unavailable.",
    504: "Request timed out.",
}
INVALID_ACCOUNT = "Invalid Account ID."
WRONG_ACCOUNT_TYPE = "Request not supported for account type."
NOT_OPEN = "Not an open order."
UNKNOWN_ORDER = "Invalid order ID."
INVALID_SYMBOL = "FAILED, INVALID SYMBOL"


class ApiError(Exception):
    """An answer with an HTTP error status and a JSON body of title and text."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message

    @property
    def body(self) -> dict[str, str]:
        return {"Error": TITLES.get(self.status, "InternalServerError"), "Message": self.message}


class Failed(Exception):
    """An order that is refused within HTTP 200: under `Orders`, or under `Errors` when its fields are at fault."""

    def __init__(self, reason: str, *, in_errors: bool = False) -> None:
        super().__init__(reason)
        self.message = f"Order failed. Reason: {reason}"
        self.in_errors = in_errors


def bad_request(message: str) -> ApiError:
    """Return HTTP 400 with the given text."""
    return ApiError(400, message)


def not_simulated(what: str) -> ApiError:
    """Return HTTP 501: refused rather than ignored."""
    return ApiError(501, f"{what} is not supported by this simulator.")


_FIELDS: Mapping[Reason, str] = {
    Reason.QTY_INVALID: "Quantity {qty} is invalid",
    Reason.QTY_STEP: "Quantity {qty} is not a multiple of {step}",
    Reason.QTY_BELOW_MIN: "Quantity {qty} is less than the minimum trade quantity {minimum}",
    Reason.QTY_ABOVE_MAX: "Quantity {qty} is greater than absolute maximum",
    Reason.NOTIONAL_ABOVE_MAX: "Order value is greater than absolute maximum",
    Reason.PRICE_INVALID: "Type = {type} has invalid Price",
    Reason.PRICE_TICK: "Type = {type} has invalid Price increment, the minimum increment is {tick}",
    Reason.PRICE_BELOW_MIN: "Type = {type} has invalid Price less than absolute minimum",
    Reason.PRICE_ABOVE_MAX: "Type = {type} has invalid Price greater than absolute maximum",
    Reason.TRIGGER_NOT_RISING: "Type = {type} has invalid Stop Price, it must be above the market",
    Reason.TRIGGER_NOT_FALLING: "Type = {type} has invalid Stop Price, it must be below the market",
    Reason.UNKNOWN_SYMBOL: "Invalid symbol {symbol}",
}
_ACCOUNT: Mapping[Reason, str] = {
    Reason.SYMBOL_NOT_TRADING: "Symbol {symbol} is for data only and can not be traded",
    Reason.INSUFFICIENT_BALANCE: "Your order exceeds your available buying power",
    Reason.REDUCE_ONLY_ZERO: "[EC602]: You are long 0 shares.",
    Reason.REDUCE_ONLY_SAME_SIDE: "[EC602]: You are short {held} shares.",
    Reason.TOO_MANY_OPEN_ORDERS: "Maximum number of open orders reached",
    Reason.TOO_MANY_CONDITIONAL_ORDERS: "Maximum number of open stop orders reached",
    Reason.AMEND_BELOW_FILLED: "Quantity {qty} is not greater than the quantity filled",
}
REJECTS: Mapping[Reason, str] = {
    Reason.INSUFFICIENT_BALANCE: "Your order exceeds your available buying power",
    Reason.REDUCE_ONLY_ZERO: "You have no position to close",
    Reason.MARKET_CLOSED: "The market is closed",
    Reason.SYMBOL_NOT_TRADING: "Trading in this symbol is halted",
}


class _Blank(dict[str, object]):
    def __missing__(self, key: str) -> str:
        return ""


def explain(refusal: Refusal, order_type: str) -> Failed:
    """Return how TradeStation words a refusal of the core."""
    detail = _Blank(refusal.detail)
    numbers = {name: plain(value) for name, value in detail.items() if isinstance(value, Decimal)}
    texts = _Blank({**detail, **numbers, "type": order_type})
    if refusal.reason in _FIELDS:
        return Failed(_FIELDS[refusal.reason].format_map(texts), in_errors=True)
    return Failed(_ACCOUNT.get(refusal.reason, f"Order refused: {refusal.reason.value}").format_map(texts))
