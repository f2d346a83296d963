"""OKX's codes, HTTP statuses and texts (docs-v5, error code; where a body was recorded live, its words)."""

from collections.abc import Mapping
from decimal import Decimal

from simulators.core.money import plain
from simulators.core.types import MarketKind, Reason, Refusal


class OKXError(Exception):
    """A refusal: of a whole request, or of one item of an order request."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return STATUSES.get(self.code, 200)


STATUSES: Mapping[int, int] = {
    **dict.fromkeys(range(50100, 50101), 400),
    **dict.fromkeys((*range(50101, 50109), *range(50109, 50115)), 401),
    **dict.fromkeys((50000, 50002, 50004, 50006, 50014, 50015, 50016, 51000, 51406, 51501, 59105), 400),
    **dict.fromkeys((50011, 50013, 51113, 51115), 429),
    **dict.fromkeys((50026, 51054, 51149), 500),
    50001: 503,
    50005: 410,
    50035: 403,
    50115: 405,
}
"""The HTTP status of a code; 200 for all others."""

TEXTS: Mapping[int, str] = {
    50000: "Body for POST request cannot be empty.",
    50001: "Service temporarily unavailable. Please try again later.",
    50002: "JSON syntax error",
    50004: "API endpoint request timeout ",
    50006: 'Invalid Content-Type. Please use "application/JSON".',
    50011: "Too Many Requests",
    50013: "Systems are busy. Please try again later.",
    50014: "Parameter {name} can not be empty.",
    50015: "Either parameter {first} or {second} is required",
    50026: "System error. Try again later",
    50036: "The expTime can't be earlier than the current system time. Please adjust the expTime and try again.",
    50037: "Order expired.",
    50061: "You've reached the maximum order rate limit for this account.",
    50072: "Isolated margin mode is no longer supported in multi-currency margin mode and portfolio margin mode.",
    50101: "APIKey does not match current environment.",
    50102: "Timestamp request expired.",
    50103: 'Request header "OK-ACCESS-KEY" cannot be empty.',
    50104: 'Request header "OK-ACCESS-PASSPHRASE" cannot be empty.',
    50105: 'Request header "OK-ACCESS-PASSPHRASE" incorrect.',
    50106: 'Request header "OK-ACCESS-SIGN" cannot be empty.',
    50107: 'Request header "OK-ACCESS-TIMESTAMP" cannot be empty.',
    50110: "Your IP {ip} is not included in your API key's IP whitelist.",
    50111: "Invalid OK-ACCESS-KEY.",
    50112: "Invalid OK-ACCESS-TIMESTAMP.",
    50113: "Invalid signature.",
    50115: "Invalid request method.",
    50119: "API key doesn't exist",
    50120: "This API key doesn't have permission to use this function",
    51000: "Parameter {name} error",
    51001: "Instrument ID or Spread ID doesn't exist.",
    51006: "Order price is not within the price limit (max buy price: {highest} , min sell price: {lowest} )",
    51008: "Order failed. Insufficient {coin} {what} in account",
    51010: "Request unsupported under current account mode",
    51015: "Instrument ID doesn't match instrument type.",
    51016: "Client order ID already exists.",
    51020: "Your order should meet or exceed the minimum order amount.",
    51021: "The pair or contract is not yet listed",
    51022: "Contract suspended.",
    51023: "Position doesn't exist.",
    51039: "Leverage cannot be adjusted for the cross positions of Expiry Futures and Perpetual Futures under the PM "
    "account.",
    51041: "Portfolio margin account only supports the Buy/Sell mode.",
    51101: "Order failed, the sz of the current order can't be more than {maximum} (contracts).",
    51102: "Order failed, the number of pending orders for this instId can't be more than {maximum} (orders)",
    51108: "Positions exceed the limit for closing out with the market price.",
    51111: "Maximum {maximum} orders can be placed in bulk.",
    51112: "Close order size exceeds available size for this position.",
    51115: "Cancel all pending close-orders before liquidation.",
    51121: "Order quantity must be a multiple of the lot size.",
    51137: "The highest price limit for buy orders is {maximum}.",
    51138: "The lowest price limit for sell orders is {minimum}.",
    51149: "Order timed out. Please try again.",
    51150: "The precision of the number of trades or the price exceeds the limit.",
    51169: "Order failed because you don't have any positions in this direction for this contract to reduce or close.",
    51170: "Failed to place order. A reduce-only order can't be the same trading direction as your existing positions.",
    51201: "The value of a market order can't exceed {maximum}.",
    51202: "Market order amount exceeds the maximum amount.",
    51203: "Order amount exceeds the limit {maximum}.",
    51205: "Reduce Only is not available.",
    51400: "Order cancellation failed as the order has been filled, canceled or does not exist.",
    51406: "Canceled - order count exceeds the limit {maximum}.",
    51410: "Cancellation failed as the order is already in canceling status or pending settlement.",
    51500: "You must enter a price, quantity, or TP/SL",
    51501: "Maximum {maximum} orders can be modified.",
    51502: "Order failed. Insufficient {coin} {what} in account",
    51503: "Your order has already been filled or canceled.",
    51511: "Modification failed as the order price did not meet the requirement for Post Only.",
    51603: "Order does not exist.",
    54084: "Slippage must be between 0% and 5%.",
    54085: "Slippage can have at most 2 decimal places in percent.",
    59000: "Settings failed. Close any open positions or orders before modifying settings.",
    59102: "Leverage exceeds the maximum limit. Please lower the leverage.",
    59103: "Account margin is insufficient and leverage is too low. Please increase the leverage.",
    59105: "Leverage can't be less than {minimum}. Please increase the leverage.",
    59107: "Leverage can't be modified. Please cancel all pending cross-margin orders before adjusting the leverage.",
    59111: "Leverage query isn't supported in portfolio margin account mode",
}

_REASONS: Mapping[Reason, int] = {
    Reason.UNKNOWN_SYMBOL: 51001,
    Reason.SYMBOL_NOT_TRADING: 51022,
    Reason.QTY_STEP: 51121,
    Reason.QTY_BELOW_MIN: 51020,
    Reason.NOTIONAL_BELOW_MIN: 51020,
    Reason.PRICE_TICK: 51150,
    Reason.INSUFFICIENT_BALANCE: 51008,
    Reason.REDUCE_ONLY_ZERO: 51169,
    Reason.REDUCE_ONLY_SAME_SIDE: 51170,
    Reason.DUPLICATE_CLIENT_ID: 51016,
    Reason.TOO_MANY_OPEN_ORDERS: 51102,
    Reason.ORDER_NOT_FOUND: 51503,
    Reason.LEVERAGE_INVALID: 59102,
    Reason.LEVERAGE_MARGIN: 59103,
}
_FIELDS: Mapping[Reason, str] = {
    Reason.QTY_INVALID: "sz",
    Reason.PRICE_INVALID: "px",
    Reason.POSITION_SIDE_MISMATCH: "posSide",
    Reason.AMEND_BELOW_FILLED: "newSz",
}
_PRICE_LIMITS = frozenset({Reason.PRICE_BELOW_MIN, Reason.PRICE_ABOVE_MAX})
_TOO_LARGE = frozenset({Reason.QTY_ABOVE_MAX, Reason.NOTIONAL_ABOVE_MAX})


def refused(code: int, **detail: object) -> OKXError:
    """Return an error with its code's text, filled in."""
    return OKXError(code, TEXTS[code].format_map({name: _shown(value) for name, value in detail.items()}))


def wrong(name: str) -> OKXError:
    """Return 51000: a parameter that is absent where it must not be, or malformed."""
    return refused(51000, name=name)


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def translate(refusal: Refusal, kind: MarketKind, *, at_market: bool = False) -> OKXError:
    """Return OKX's form of a refusal of the core; what it has no word for is 51000."""
    detail = dict(refusal.detail)
    spot = kind is MarketKind.SPOT
    if refusal.reason in _PRICE_LIMITS:
        return _beyond(refusal.reason, detail, spot=spot)
    if refusal.reason in _TOO_LARGE:
        return refused(_too_large(spot=spot, at_market=at_market), **detail)
    code = _REASONS.get(refusal.reason)
    if code is None:
        return wrong(_FIELDS.get(refusal.reason, "param"))
    return refused(code, **{"coin": "", **detail, "what": "balance" if spot else "margin"})


def _too_large(*, spot: bool, at_market: bool) -> int:
    if spot:
        return 51201 if at_market else 51203
    return 51202 if at_market else 51101


def _beyond(reason: Reason, detail: dict[str, object], *, spot: bool) -> OKXError:
    """Return the price limits: of one side on spot, of both in one text on contracts."""
    if spot:
        return refused(51137, **detail) if reason is Reason.PRICE_ABOVE_MAX else refused(51138, **detail)
    highest, lowest = detail.get("highest", detail.get("maximum", "")), detail.get("lowest", detail.get("minimum", ""))
    return refused(51006, highest=highest, lowest=lowest)
