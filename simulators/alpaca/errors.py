"""Alpaca's refusals: an HTTP status and a body of code and message; the edge answers without a code, or in HTML.

Evidence: the documentation of the trading API (statuses, the texts about sub-penny prices and buying power), issues
of alpaca-py and Alpaca-API (bodies of insufficient quantity, buying power and wash trades, the duplicate client id),
and ccxt's table. Wording that nobody has published is this simulator's own.
"""

from collections.abc import Mapping
from decimal import Decimal
from http import HTTPStatus

from simulators.core.money import plain
from simulators.core.types import Reason, Refusal

BAD_BODY = 40010000
BAD_PARAMETER = 40010001
NOT_AUTHORIZED = 40110000
FORBIDDEN = 40310000
NOT_FOUND = 40410000
UNPROCESSABLE = 42210000
TOO_MANY = 42910000
INTERNAL = 50010000
_STATUSES: Mapping[int, int] = {BAD_PARAMETER: 422}


class ApiError(Exception):
    """An answer with an HTTP error status; `more` are further fields of its body."""

    def __init__(self, status: int, message: str, *, code: int | None = None, more: Mapping[str, object] | None = None):
        super().__init__(f"{status} {message}")
        self.status = status
        self.code = code
        self.message = message
        self.more = dict(more or {})

    @property
    def body(self) -> dict[str, object]:
        code = {} if self.code is None else {"code": self.code}
        return {**self.more, **code, "message": self.message}


def status_of(code: int) -> int:
    """Return the HTTP status that goes with a code: its first three digits, but 422 for parameters."""
    return _STATUSES.get(code, code // 100_000 if code > 999 else code)


def refused(code: int, message: str, **more: object) -> ApiError:
    """Return the error of a code."""
    return ApiError(status_of(code), message, code=code, more=more)


def bad_parameter(message: str) -> ApiError:
    """Return HTTP 422 for a parameter that is absent or malformed."""
    return refused(BAD_PARAMETER, message)


def unprocessable(message: str) -> ApiError:
    """Return HTTP 422 for an order that is well-formed and not allowed."""
    return refused(UNPROCESSABLE, message)


def forbidden(message: str, **more: object) -> ApiError:
    """Return HTTP 403 for what the account may not do, or cannot pay."""
    return refused(FORBIDDEN, message, **more)


def not_found(message: str) -> ApiError:
    """Return HTTP 404."""
    return refused(NOT_FOUND, message)


_TEXTS: Mapping[Reason, tuple[int, str]] = {
    Reason.QTY_INVALID: (UNPROCESSABLE, "qty must be > 0"),
    Reason.QTY_STEP: (UNPROCESSABLE, "qty {qty} is not a multiple of the increment {step}"),
    Reason.QTY_BELOW_MIN: (FORBIDDEN, "minimal qty of order {minimum}"),
    Reason.QTY_ABOVE_MAX: (UNPROCESSABLE, "qty {qty} is too large"),
    Reason.NOTIONAL_ABOVE_MAX: (UNPROCESSABLE, "order value {value} is too large"),
    Reason.PRICE_INVALID: (UNPROCESSABLE, "{field} must be > 0"),
    Reason.PRICE_TICK: (UNPROCESSABLE, "invalid {field} {price}. must be a multiple of {tick}"),
    Reason.PRICE_BELOW_MIN: (UNPROCESSABLE, "{field} {price} is too far away from the market"),
    Reason.PRICE_ABOVE_MAX: (UNPROCESSABLE, "{field} {price} is too far away from the market"),
    Reason.TRIGGER_NOT_RISING: (UNPROCESSABLE, "stop price must be greater than current price"),
    Reason.TRIGGER_NOT_FALLING: (UNPROCESSABLE, "stop price must be less than current price"),
    Reason.SYMBOL_NOT_TRADING: (UNPROCESSABLE, 'asset "{symbol}" is not tradable'),
    Reason.TOO_MANY_OPEN_ORDERS: (FORBIDDEN, "maximum number of open orders reached"),
    Reason.TOO_MANY_CONDITIONAL_ORDERS: (FORBIDDEN, "maximum number of open stop orders reached"),
    Reason.INSUFFICIENT_BALANCE: (FORBIDDEN, "insufficient buying power"),
    Reason.REDUCE_ONLY_ZERO: (FORBIDDEN, "insufficient qty available for order"),
    Reason.REDUCE_ONLY_SAME_SIDE: (FORBIDDEN, "insufficient qty available for order"),
}
_FIELDS = {"price": "limit_price", "trigger_price": "stop_price"}


def explain(refusal: Refusal) -> ApiError:
    """Return how Alpaca words a refusal of the core."""
    code, text = _TEXTS.get(refusal.reason, (UNPROCESSABLE, f"order refused: {refusal.reason.value}"))
    detail = {name: plain(v) if isinstance(v, Decimal) else str(v) for name, v in refusal.detail.items()}
    detail["field"] = _FIELDS.get(detail.get("field", ""), detail.get("field", ""))
    return refused(code, text.format_map(_Blank(detail)))


class _Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


def edge(status: int) -> tuple[bytes, str]:
    """Return body and content type of what a proxy in front of the API says: HTML."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Error"
    title = f"{status} {phrase}"
    text = f"<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return text.encode(), "text/html"
