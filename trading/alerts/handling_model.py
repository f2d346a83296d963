"""What handling an alert works with and what it comes to; words for its orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.ids import AccountId
from brokers.rounding import decimal_text
from brokers.types import ZERO
from ledger.inbox import AlertStore, InboxState
from ledger.states import IntentState
from trading.alerts.deciding import LegName
from trading.alerts.review_client import Reviewer, ask
from trading.alerts.routing import AlertConfig
from trading.arming import ArmingReason
from trading.orders import IntentView, OrderReason
from trading.runtime import Runtime

_HELD = frozenset({OrderReason.CONTROL_STOPS, OrderReason.STRATEGY_STOPPED, *ArmingReason})


class AccountRefused(Exception):
    """A guard refuses the account: its alerts end with that reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlingLimits:
    """`work_s`: how long one claim works on orders before the lane may be claimed anew; `slice_s` between two
    heartbeats; `settle_s`: how long a fill of an immediate order is waited for; `again_s` and `again_s_max`: when an
    alert that waits is looked at again (a quarter of its age, within these)."""

    work_s: float = 10.0
    slice_s: float = 2.5
    settle_s: float = 4.0
    again_s: float = 1.0
    again_s_max: float = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """What handling works with; the same for all alerts of a drain."""

    store: AlertStore
    accounts: Callable[[AccountId], Runtime]
    config: AlertConfig
    review: Reviewer = ask
    limits: HandlingLimits = HandlingLimits()
    is_stopping: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Handled:
    """What a claim came to."""

    alert_id: int
    state: InboxState
    reason: str
    detail: str = ""


class Ended(Exception):
    """The claim is over, with this."""

    def __init__(self, state: InboxState, reason: str, detail: str = "", *, wait_s: float | None = None) -> None:
        super().__init__(reason)
        self.state, self.reason, self.detail, self.wait_s = state, str(reason), detail, wait_s
        self.until: datetime | None = None


def leg_key(alert_id: int, leg: LegName, round_number: int) -> str:
    """The business key of a leg. A person who puts an alert back begins a round of its own."""
    key = f"alert:{alert_id}:{leg.value}"
    return key if round_number == 0 else f"{key}:{round_number}"


def never_placed(view: IntentView) -> bool:
    """Over without anything of it at the venue, by proof or because it never left."""
    over = (IntentState.DENIED, IntentState.WITHDRAWN, IntentState.EXPIRED, IntentState.REFUSED)
    return view.state in over and view.filled_quantity == ZERO


def is_held(view: IntentView) -> bool:
    """Whether something that only a person lifts keeps it here: waiting for that is not a worker's work."""
    return view.state is IntentState.READY and view.reason in _HELD


def are_filled(views: Sequence[IntentView]) -> bool:
    return all(view.state is IntentState.FILLED for view in views)


def said(view: IntentView) -> str:
    """An order in a sentence: what, how far, and why where that is not plain."""
    request = view.request
    text = f"{request.side.value} {decimal_text(request.quantity)} {request.instrument_id} {view.state.value}"
    if view.filled_quantity > ZERO:
        text += f", {decimal_text(view.filled_quantity)} filled"
        text += "" if view.average_price is None else f" at {_price(view.average_price)}"
    is_plain = view.state in (IntentState.FILLED, IntentState.ACKED, IntentState.WORKING)
    return text if is_plain else f"{text} ({view.reason}{': ' + view.detail if view.detail else ''})"


def _price(value: Decimal) -> str:
    return decimal_text(value.quantize(Decimal("0.00000001")).normalize())
