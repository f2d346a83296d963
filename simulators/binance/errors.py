"""Binance's codes, texts and HTTP statuses for every refusal (venues/binance.md §5, the venue's lists of errors)."""

from collections.abc import Mapping
from decimal import Decimal

from simulators.core.money import plain
from simulators.core.types import MarketKind, OrderType, Reason, Refusal

BAD_KEY = "Invalid API-key, IP, or permissions for action."
OUT_OF_WINDOW = "Timestamp for this request is outside of the recvWindow."
AHEAD = "Timestamp for this request was 1000ms ahead of the server's time."
NUMBER_RANGE = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
INTEGER_RANGE = r"^[0-9]{1,20}$"

# Every other code comes with HTTP 400. 401 of the key codes and the statuses of -1000 and below are not written down by
# the venue; 500 of -1000 and 408 of -1007 were seen by others.
STATUSES: Mapping[int, int] = {
    -1000: 500,
    -1001: 500,
    -1002: 401,
    -1003: 429,
    -1006: 500,
    -1007: 408,
    -1008: 503,
    -1015: 429,
    -1016: 503,
    -2014: 401,
    -2015: 401,
    -2017: 401,
}

TEXTS: Mapping[int, str] = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1002: "You are not authorized to execute this request.",
    -1003: "Too many requests queued.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1013: "Filter failure: LOT_SIZE",
    -1014: "Unsupported order combination.",
    -1015: "Too many new orders.",
    -1016: "This service is no longer available.",
    -1020: "This operation is not supported.",
    -1021: OUT_OF_WINDOW,
    -1022: "Signature for this request is not valid.",
    -1023: "Start time is greater than end time.",
    -1099: "Not found, unauthenticated, or unauthorized.",
    -1100: "Illegal characters found in a parameter.",
    -1101: "Too many parameters sent for this endpoint.",
    -1102: "A mandatory parameter was not sent, was empty/null, or malformed.",
    -1103: "An unknown parameter was sent.",
    -1104: "Not all sent parameters were read.",
    -1105: "A parameter was empty.",
    -1106: "A parameter was sent when not required.",
    -1111: "Precision is over the maximum defined for this asset.",
    -1112: "No orders on book for symbol.",
    -1114: "TimeInForce parameter sent when not required.",
    -1115: "Invalid timeInForce.",
    -1116: "Invalid orderType.",
    -1117: "Invalid side.",
    -1118: "New client order ID was empty.",
    -1119: "Original client order ID was empty.",
    -1121: "Invalid symbol.",
    -1122: "Invalid symbol status.",
    -1127: "Lookup interval is too big.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Invalid data sent for a parameter.",
    -1136: "Invalid newOrderRespType.",
    -1145: "Invalid cancelRestrictions",
    -1151: "Symbol is present multiple times in the list.",
    -2010: "NEW_ORDER_REJECTED",
    -2011: "Unknown order sent.",
    -2013: "Order does not exist.",
    -2014: "API-key format invalid.",
    -2015: BAD_KEY,
    -2016: "No trading window could be found for the symbol. Try ticker/24hrs instead.",
    -2017: "API Keys are locked on this account.",
    -2018: "Balance is insufficient.",
    -2019: "Margin is insufficient.",
    -2020: "Unable to fill.",
    -2021: "Order would immediately trigger.",
    -2022: "ReduceOnly Order is rejected.",
    -2023: "User in liquidation mode now.",
    -2024: "Position is not sufficient.",
    -2025: "Reach max open order limit.",
    -2026: "Order was canceled or expired with no executed qty over 90 days ago and has been archived.",
    -2027: "Exceeded the maximum allowable position at current leverage.",
    -2028: "Leverage is smaller than permitted: insufficient margin balance.",
    -2039: "Client order ID is not correct for this order ID.",
    -4001: "Price less than 0.",
    -4002: "Price greater than max price.",
    -4003: "Quantity less than or equal to zero.",
    -4004: "Quantity less than min quantity.",
    -4005: "Quantity greater than max quantity.",
    -4006: "Stop price less than zero.",
    -4013: "Price less than min price.",
    -4014: "Price not increased by tick size.",
    -4015: "Client order id length should be less than 36 chars",
    -4016: "Price is higher than mark price multiplier cap.",
    -4023: "Qty not increased by step size.",
    -4024: "Price is lower than mark price multiplier floor.",
    -4028: "Invalid leverage",
    -4046: "No need to change margin type.",
    -4047: "Margin type cannot be changed if there exists open orders.",
    -4048: "Margin type cannot be changed if there exists position.",
    -4050: "Cross balance insufficient.",
    -4051: "Isolated balance insufficient.",
    -4052: "No need to change auto add margin.",
    -4059: "No need to change position side.",
    -4060: "Invalid position side.",
    -4061: "Order's position side does not match user's setting.",
    -4062: "Invalid or improper reduceOnly value.",
    -4067: "Position side cannot be changed if there exists open orders.",
    -4068: "Position side cannot be changed if there exists position.",
    -4087: "User can only place reduce only order",
    -4088: "User can not place order currently",
    -4116: "ClientOrderId is duplicated.",
    -4120: "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead.",
    -4131: "The counterparty's best price does not meet the PERCENT_PRICE filter limit",
    -4140: "Invalid symbol status for opening position",
    -4141: "Symbol is closed",
    -4161: "Leverage reduction is not supported in Isolated Margin Mode with open positions",
    -4164: "Order's notional must be no smaller than 5.0 (unless you choose reduce only)",
    -4165: "Invalid time interval",
    -4167: "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode.",
    -4168: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
    -4170: "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures.",
    -4171: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
    -4192: "Trade forbidden due to Cooling-off Period.",
    -4202: "Intermediate Personal Verification is required for adjusting leverage over 20x",
    -4203: "More than 20x leverage is available one month after account registration.",
    -4209: "The max leverage of Symbol is 20x",
    -4400: "Futures Trading Quantitative Rules violated, only reduceOnly order is allowed, please try again later.",
    -4401: "Futures Trading Risk Control Rules of large position holding violated, only reduceOnly order is allowed.",
    -4402: "This feature is currently not available in your region.",
    -5021: "Due to the order could not be filled immediately, the FOK order has been rejected.",
    -5022: "Due to the order could not be executed as maker, the Post Only order will be rejected.",
    -5024: "Symbol is not in trading status. Order amendment is not permitted.",
    -5025: "Only limit order is supported.",
    -5027: "No need to modify the order.",
    -5028: "Timestamp for this request is outside of the ME recvWindow.",
}
"""The text of a code where nothing more is known of the request."""


class BinanceError(Exception):
    """An answer `{"code": …, "msg": …}` with the HTTP status that belongs to the code."""

    def __init__(
        self,
        code: int,
        message: str | None = None,
        *,
        status: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.code = code
        self.message = TEXTS.get(code, "An unknown error occurred.") if message is None else message
        self.status = STATUSES.get(code, 400) if status is None else status
        self.headers = dict(headers or {})
        super().__init__(f"{code} {self.message}")


def missing(name: str) -> BinanceError:
    """Return the refusal of a request without a parameter that it needs."""
    return BinanceError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def not_required(name: str) -> BinanceError:
    """Return the refusal of a parameter that must not stand beside the others."""
    return BinanceError(-1106, f"Parameter '{name}' sent when not required.")


def illegal(name: str, legal: str) -> BinanceError:
    """Return the refusal of a value that is written wrongly."""
    return BinanceError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def not_simulated(what: str) -> BinanceError:
    """Return the refusal of what the venue has and this simulator has not; the text is its own."""
    return BinanceError(-1020, f"This operation is not supported: {what} is not simulated.")


_SPOT: Mapping[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Reason.SYMBOL_NOT_TRADING: (-2010, "Market is closed."),
    Reason.QTY_INVALID: (-1013, "Invalid quantity."),
    Reason.QTY_STEP: (-1013, "Filter failure: {lot}"),
    Reason.QTY_BELOW_MIN: (-1013, "Filter failure: {lot}"),
    Reason.QTY_ABOVE_MAX: (-1013, "Filter failure: {lot}"),
    Reason.NOTIONAL_BELOW_MIN: (-1013, "Filter failure: NOTIONAL"),
    Reason.NOTIONAL_ABOVE_MAX: (-1013, "Filter failure: NOTIONAL"),
    Reason.PRICE_INVALID: (-1013, "Invalid price."),
    Reason.PRICE_TICK: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.PRICE_BELOW_MIN: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.PRICE_ABOVE_MAX: (-1013, "Filter failure: PRICE_FILTER"),
    Reason.TRIGGER_NOT_RISING: (-2010, "Order would trigger immediately."),
    Reason.TRIGGER_NOT_FALLING: (-2010, "Order would trigger immediately."),
    Reason.INSUFFICIENT_BALANCE: (-2010, "Account has insufficient balance for requested action."),
    Reason.DUPLICATE_CLIENT_ID: (-2010, "Duplicate order sent."),
    Reason.TOO_MANY_OPEN_ORDERS: (-1013, "Filter failure: MAX_NUM_ORDERS"),
    Reason.TOO_MANY_CONDITIONAL_ORDERS: (-1013, "Filter failure: MAX_NUM_ALGO_ORDERS"),
    Reason.ORDER_NOT_FOUND: (-2011, "Unknown order sent."),
    Reason.ORDER_NOT_MODIFIED: (-2038, "The requested action would change no state; rejecting"),
    Reason.AMEND_BELOW_FILLED: (-2038, "Order amend (quantity increase) is not supported."),
    Reason.POST_ONLY_WOULD_TAKE: (-2010, "Order would immediately match and take."),
}

_FUTURES: Mapping[Reason, tuple[int, str]] = {
    Reason.UNKNOWN_SYMBOL: (-1121, "Invalid symbol."),
    Reason.SYMBOL_NOT_TRADING: (-4141, "Symbol is closed."),
    Reason.QTY_INVALID: (-4003, "Quantity less than or equal to zero."),
    Reason.QTY_STEP: (-4023, "Qty not increased by step size."),
    Reason.QTY_BELOW_MIN: (-4004, "Quantity less than min quantity."),
    Reason.QTY_ABOVE_MAX: (-4005, "Quantity greater than max quantity."),
    Reason.NOTIONAL_BELOW_MIN: (
        -4164,
        "Order's notional must be no smaller than {minimum} (unless you choose reduce only).",
    ),
    Reason.NOTIONAL_ABOVE_MAX: (-2027, "Exceeded the maximum allowable position at current leverage."),
    Reason.PRICE_INVALID: (-4001, "Price less than 0."),
    Reason.PRICE_TICK: (-4014, "Price not increased by tick size."),
    Reason.PRICE_BELOW_MIN: (-4013, "Price less than min price."),
    Reason.PRICE_ABOVE_MAX: (-4002, "Price greater than max price."),
    Reason.TRIGGER_NOT_RISING: (-2021, "Order would immediately trigger."),
    Reason.TRIGGER_NOT_FALLING: (-2021, "Order would immediately trigger."),
    Reason.INSUFFICIENT_BALANCE: (-2019, "Margin is insufficient."),
    Reason.REDUCE_ONLY_ZERO: (-2022, "ReduceOnly Order is rejected."),
    Reason.REDUCE_ONLY_SAME_SIDE: (-2022, "ReduceOnly Order is rejected."),
    Reason.DUPLICATE_CLIENT_ID: (-4116, "ClientOrderId is duplicated."),
    Reason.POSITION_SIDE_MISMATCH: (-4061, "Order's position side does not match user's setting."),
    Reason.TOO_MANY_OPEN_ORDERS: (-2025, "Reach max open order limit."),
    Reason.TOO_MANY_CONDITIONAL_ORDERS: (-4045, "Reach max stop order limit."),
    Reason.ORDER_NOT_FOUND: (-2011, "Unknown order sent."),
    Reason.ORDER_NOT_MODIFIED: (-5027, "No need to modify the order."),
    Reason.AMEND_BELOW_FILLED: (-4003, "Quantity less than or equal to zero."),
    Reason.LEVERAGE_INVALID: (-4028, "Leverage {leverage} is not valid"),
    Reason.LEVERAGE_MARGIN: (-2028, "Leverage is smaller than permitted: insufficient margin balance."),
    Reason.MODE_NOT_MODIFIED: (-4059, "No need to change position side."),
    Reason.MODE_HAS_ORDERS: (-4067, "Position side cannot be changed if there exists open orders."),
    Reason.MODE_HAS_POSITION: (-4068, "Position side cannot be changed if there exists position."),
    Reason.POST_ONLY_WOULD_TAKE: (
        -5022,
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history.",
    ),
    Reason.NOT_FULLY_FILLABLE: (
        -5021,
        "Due to the order could not be filled immediately, the FOK order has been rejected. "
        "The order will not be recorded in the order history.",
    ),
}


def translate(refusal: Refusal, kind: MarketKind, order_type: OrderType | None = None) -> BinanceError:
    """Return Binance's answer to a refusal of the core; `order_type` tells which lot filter a quantity broke."""
    table = _SPOT if kind is MarketKind.SPOT else _FUTURES
    code, template = table.get(refusal.reason, (-1130, "Invalid data sent for a parameter."))
    lot = "MARKET_LOT_SIZE" if order_type is OrderType.MARKET else "LOT_SIZE"
    if refusal.reason is not Reason.QTY_ABOVE_MAX:
        lot = "LOT_SIZE"
    if refusal.detail.get("field") == "trigger_price" and refusal.reason is Reason.PRICE_INVALID:
        return BinanceError(-1013, "Invalid stopPrice.") if kind is MarketKind.SPOT else BinanceError(-4006)
    shown = {name: _shown(value) for name, value in refusal.detail.items()}
    return BinanceError(code, template.format_map({**shown, "lot": lot}))


def _shown(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
