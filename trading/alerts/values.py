"""What a decision is made from and what it comes to: snapshot in, plan out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from pydantic import TypeAdapter

from brokers.ids import IntentId
from brokers.strictjson import encode
from brokers.types import ZERO, Instrument, OrderRequest, OrderSide, PositionMode, PositionSide, Quote
from trading.alerts.reasons import AlertReason


def moment(at: datetime) -> str:
    """An aware time in a sentence: UTC, to the second."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """An order of the instrument that rests at the venue. Without `intent_id` it is not ours: counted, never
    cancelled."""

    intent_id: IntentId | None
    side: OrderSide
    remaining: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertSnapshot:
    """What is known of account and market at `time`. `position` is signed, in units of the instrument.

    `open_orders` are all of the instrument, confirmed. `equity` is in `equity_currency`. `expires_at` is the alert's.
    """

    time: datetime
    instrument: Instrument
    position: Decimal
    quote: Quote | None = None
    equity: Decimal | None = None
    equity_currency: str = ""
    open_orders: tuple[OpenOrder, ...] = ()
    position_mode: PositionMode = PositionMode.ONE_WAY
    expires_at: datetime | None = None

    @property
    def side(self) -> PositionSide:
        """Where the account stands."""
        if self.position == ZERO:
            return PositionSide.FLAT
        return PositionSide.LONG if self.position > 0 else PositionSide.SHORT

    def pending(self, side: OrderSide) -> Decimal:
        """What open orders of one side may still fill."""
        return sum((order.remaining for order in self.open_orders if order.side is side), ZERO)


class PlanVerdict(StrEnum):
    """What is to be done now."""

    ORDERS = "orders"  # send the legs, each after those that it names
    CANCEL_FIRST = "cancel_first"  # cancel, wait until they are over, take a new snapshot and decide again
    CANCEL = "cancel"  # cancel, and that is all
    NOTHING_TO_DO = "nothing_to_do"
    REFUSED = "refused"
    WAIT = "wait"  # decide again at `wait_until`


class LegName(StrEnum):
    """What a leg is for. It ends the business key `alert:ID:LEG`, so that deciding again never makes a second one."""

    CLOSE = "close"  # all or part of a position
    OPEN = "open"  # a position, or more of it


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertLeg:
    """One order. It may leave when the legs in `after` are confirmed filled in full."""

    name: LegName
    request: OrderRequest
    is_reduction: bool
    after: tuple[LegName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertPlan:
    """The decision on one alert: exactly what its verdict needs, and a reason whatever it is."""

    verdict: PlanVerdict
    reason: AlertReason
    detail: str = ""
    cancels: tuple[IntentId, ...] = ()
    legs: tuple[AlertLeg, ...] = ()
    wait_until: datetime | None = None

    def __post_init__(self) -> None:
        assert bool(self.legs) == (self.verdict is PlanVerdict.ORDERS), f"{self.verdict} with {len(self.legs)} legs"
        cancelling = self.verdict in (PlanVerdict.CANCEL, PlanVerdict.CANCEL_FIRST)
        assert bool(self.cancels) == cancelling, f"{self.verdict} with {len(self.cancels)} cancels"
        assert (self.wait_until is not None) == (self.verdict is PlanVerdict.WAIT), f"{self.verdict} and its time"

    def to_json(self) -> str:
        """Canonical text for the ledger; `from_json` gives an equal plan."""
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> AlertPlan:
        """Read a stored plan; ValueError when it is not one."""
        return cast(AlertPlan, _adapter().validate_json(text))


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(AlertPlan)
