"""The values of a kill: what is asked, what was read, what is left and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from brokers.reasons import Reason
from brokers.types import Position
from ledger.controlling import ControlChanged
from ledger.states import ControlState, KillState
from trading.closing import ClosedPosition


class KillReason(Reason):
    """Why a kill could not be proved, or was not begun."""

    KILL_NOT_SET = (
        "KILL_NOT_SET",
        "The control state of account and pool is not kill, so cancels would race with new orders. Nothing was done.",
        "Set it first: `algotrendy kill` and the job kill switch do.",
    )
    KILL_LOWERED = (
        "KILL_LOWERED",
        "The control state was lowered while the kill was at work; it ended where it stood.",
        "Find out who lowered it and why, then kill again.",
    )
    KILL_ORDER_OPEN = (
        "KILL_ORDER_OPEN",
        "An order of ours is still open at the venue.",
        "Cancel it at the venue by its id, then run the kill again so that reading proves it.",
    )
    KILL_FOREIGN_ORDER_OPEN = (
        "KILL_FOREIGN_ORDER_OPEN",
        "An order of somebody else is open at the venue, and everything was to be cancelled.",
        "Cancel it at the venue by its id, then run the kill again.",
    )
    KILL_INTENT_UNRESOLVED = (
        "KILL_INTENT_UNRESOLVED",
        "What became of an order that was sent, or may have been, is not proved yet.",
        "Run the kill again in a minute; an intent in needs_human is ended by `algotrendy decide`.",
    )
    KILL_POSITION_OPEN = (
        "KILL_POSITION_OPEN",
        "A position is still open at the venue.",
        "Read the reason of its closing, close it at the venue, then run the kill again.",
    )
    KILL_CURRENCY_NOT_READ = (
        "KILL_CURRENCY_NOT_READ",
        "The venue has contracts that settle in a currency whose positions are not read: flat is not proved.",
        "Add the currency to settle_currencies of the account, then run the kill again.",
    )
    KILL_VENUE_UNREAD = (
        "KILL_VENUE_UNREAD",
        "The venue could not be read, so nothing is proved.",
        "Look at the venue's own screen, and run the kill again when it answers.",
    )
    KILL_NOT_PROVED_IN_TIME = (
        "KILL_NOT_PROVED_IN_TIME",
        "Nothing was seen open, and the second read or the visibility horizon did not fit into the time of this run.",
        "Run the kill again: it continues.",
    )


class KillRefused(Exception):
    """The kill of an account was not begun, or stopped."""

    def __init__(self, reason: KillReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = reason.remedy


@dataclass(frozen=True, slots=True, kw_only=True)
class KillRequest:
    """`everything`: also orders that are not ours."""

    requested_by: str
    reason: str
    approved_by: str = ""
    flatten: bool = False
    everything: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class KillResult:
    """What a job of the kill switch came to: the control state that it set, and the kill of one account."""

    changed: ControlChanged
    report: KillReport


@dataclass(frozen=True, slots=True, kw_only=True)
class KillLimits:
    """`timeout_s` bounds one run, flattening apart; a run that ends before the proof is continued by the next."""

    timeout_s: float = 120.0
    read_gap_s: float = 3.0
    poll_s: float = 0.5
    watch_s_max: float = 5.0  # between looks while nothing is open and only the visibility horizon is waited for
    cancel_again_s: float = 2.0
    threads_max: int = 8
    flatten_rounds_max: int = 3


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing that is, or may be, left; `name` is how a person finds it."""

    reason: KillReason
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class VenueRead:
    """What one complete look at the venue showed; `positions` is None where only orders were asked for."""

    at: datetime
    at_monotonic_s: float
    open_orders_ours: int
    open_orders_others: int
    positions: tuple[Position, ...] | None

    @property
    def open_positions(self) -> int | None:
        return None if self.positions is None else len(self.positions)


@dataclass(frozen=True, slots=True, kw_only=True)
class KillReport:
    """One account's kill. `reads` are the two that prove it, if it is proved."""

    account_id: str
    kill_id: int
    state: KillState
    flatten: bool
    everything: bool
    control_after: ControlState
    started_at: datetime
    ended_at: datetime
    cancelled: tuple[str, ...] = ()
    withdrawn: tuple[str, ...] = ()
    ended_otherwise: tuple[str, ...] = ()  # filled, refused or over before the cancel reached them
    others_cancelled: tuple[str, ...] = ()
    others_open: tuple[str, ...] = ()
    closed: tuple[ClosedPosition, ...] = ()
    positions_before: dict[str, Decimal] | None = None
    positions_after: dict[str, Decimal] | None = None
    reads: tuple[VenueRead, ...] = ()
    left: tuple[Leftover, ...] = field(default_factory=tuple)

    @property
    def is_proved(self) -> bool:
        return self.state in (KillState.CANCELLED_PROVEN, KillState.FLAT_PROVEN)
