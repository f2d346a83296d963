"""What OKX answers to a refusal of the core or of its own front, as a code with its text."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal

from simulators.core.money import plain
from simulators.core.types import MarketKind, Reason, Refusal
from simulators.okx.texts import STATUSES, TEXTS


class OKXError(Exception):
    """A refusal: of a whole request, or of one item of an order request."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message

    @property
    def status(self) -> int:
        return STATUSES.get(self.code, 200)


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


def text_of(code: int) -> str:
    """Return a code's text with its gaps left open, as a fault tells it."""
    return TEXTS.get(code, "Operation failed.").format_map(defaultdict(str))


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
