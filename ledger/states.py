"""The closed sets that the ledger stores as text."""

from __future__ import annotations

from enum import StrEnum

from brokers.closed_sets import plain_members


@plain_members
class IntentState(StrEnum):
    """The life of an order intent (docs/architecture.md draws it)."""

    RECEIVED = "received"
    DENIED = "denied"  # risk said no: terminal
    READY = "ready"
    CLAIMED = "claimed"  # a worker holds the lease; nothing was sent
    SENDING = "sending"  # committed: the first byte may have left
    UNKNOWN = "unknown"  # the outcome is not known; only evidence ends it
    NOT_PLACED = "not_placed"  # absence proved
    ACKED = "acked"  # the venue received it
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"  # terminal
    CANCELLED = "cancelled"  # terminal
    VENUE_EXPIRED = "venue_expired"  # terminal: IOC/FOK remainder, post-only that would take
    REFUSED = "refused"  # terminal: the venue said no
    EXPIRED = "expired"  # terminal: our time to live was over before it was placed
    WITHDRAWN = "withdrawn"  # terminal: taken back before it was sent
    NEEDS_HUMAN = "needs_human"
    ADOPTED_LATE = "adopted_late"  # seen at the venue after we called it not placed: halts the pool

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL_STATES

    @property
    def is_live_at_venue(self) -> bool:
        return self in LIVE_STATES


TERMINAL_STATES = frozenset(
    {
        IntentState.DENIED,
        IntentState.FILLED,
        IntentState.CANCELLED,
        IntentState.VENUE_EXPIRED,
        IntentState.REFUSED,
        IntentState.EXPIRED,
        IntentState.WITHDRAWN,
    }
)
LIVE_STATES = frozenset(
    {IntentState.ACKED, IntentState.WORKING, IntentState.PARTIALLY_FILLED, IntentState.ADOPTED_LATE}
)


@plain_members
class CancelState(StrEnum):
    """A cancel is an intent of its own and may be re-sent freely."""

    NONE = "none"
    READY = "cancel_ready"
    SENDING = "cancel_sending"
    UNKNOWN = "cancel_unknown"
    DONE = "cancel_done"


@plain_members
class ObservationSource(StrEnum):
    SEND_ANSWER = "send_answer"
    FIND_ORDER = "find_order"
    OPEN_ORDERS = "open_orders"
    ORDER_HISTORY = "order_history"
    FILLS = "fills"
    CANCEL_ANSWER = "cancel_answer"
    LADDER = "ladder"
    SPOOL = "spool"
    DEAD_MAN = "dead_man"  # of the account: how its venue's dead-man switch stands
    HUMAN = "human"


class PlanState(StrEnum):
    PLANNED = "planned"
    EXECUTING = "executing"
    COMPLETED = "completed"
    COMPLETED_ADJUSTED = "completed_adjusted"  # ended with proof, but lines were skipped, refused or left over
    FAILED = "failed"
    CANCELLED_MID_RUN = "cancelled_mid_run"

    @property
    def is_terminal(self) -> bool:
        return self not in (PlanState.PLANNED, PlanState.EXECUTING)


class RunState(StrEnum):
    """The life of a rebalancing run over several accounts."""

    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"  # by a person, or because none is needed
    EXECUTING = "executing"
    COMPLETED = "completed"
    COMPLETED_ADJUSTED = "completed_adjusted"  # ended with proof, but legs were skipped, refused or left over
    FAILED = "failed"
    CANCELLED_MID_RUN = "cancelled_mid_run"
    REJECTED = "rejected"  # by a person; nothing was sent
    APPROVAL_TIMED_OUT = "approval_timed_out"  # nobody answered; nothing was sent

    @property
    def is_terminal(self) -> bool:
        return self not in (RunState.PLANNED, RunState.AWAITING_APPROVAL, RunState.APPROVED, RunState.EXECUTING)


class ReconciliationOutcome(StrEnum):
    CLEAN = "clean"
    CLEAN_WITH_ACCEPTED = "clean_with_accepted"  # nothing differs but what a person accepted, and by no more
    BREAKS = "breaks"
    NOT_RECONCILED = "not_reconciled"  # the venue could not be read: never called clean


class BreakState(StrEnum):
    """Where a break stands. A kind that may be timing is suspected until a second run sees it."""

    SUSPECTED = "suspected"
    OPEN = "open"
    CLEARED = "cleared"


class BreakStep(StrEnum):
    """A step in the life of a break. The first seven are what runs saw and did, the others what a person decided."""

    SUSPECTED = "suspected"
    OPENED = "opened"
    CONFIRMED = "confirmed"  # a second run saw it too
    CLEARED = "cleared"
    LOCKED = "locked"
    UNLOCKED = "unlocked"
    ACCEPTANCE_ENDED = "acceptance_ended"  # what was accepted changed, or its time was over
    ACCEPTED = "accepted"  # known, and lived with as it is, until a time
    UNACCEPTED = "unaccepted"  # a person took the acceptance back
    ASSIGNED = "assigned"
    EXPLAINED = "explained"
    CORRECTED = "corrected"  # an adjustment was written, or taken back
    CLAIMED = "claimed"  # an external order or trade has an owner
    UNCLAIMED = "unclaimed"  # a person took the claim back: it is nobody's again, and open
    OVERRIDDEN = "overridden"  # its lock is lifted until a time

    @property
    def is_decision(self) -> bool:
        return self not in _STEPS_OF_RUNS


_STEPS_OF_RUNS = frozenset(
    {
        BreakStep.SUSPECTED,
        BreakStep.OPENED,
        BreakStep.CONFIRMED,
        BreakStep.CLEARED,
        BreakStep.LOCKED,
        BreakStep.UNLOCKED,
        BreakStep.ACCEPTANCE_ENDED,
    }
)


class SnapshotPurpose(StrEnum):
    BASELINE = "baseline"  # the opening figures that fills and cash events are added to
    SYNC = "sync"
    BEFORE_PLAN = "before_plan"
    AFTER_PLAN = "after_plan"
    RECONCILIATION = "reconciliation"


@plain_members
class ControlState(StrEnum):
    """Ordered from free to stopped; of two scopes the one that lets least out counts (ledger.controls)."""

    RUN = "run"
    PAUSE = "pause"  # no new claims
    REDUCE_ONLY = "reduce_only"
    HALT = "halt"  # only cancels
    KILL = "kill"

    @property
    def strictness(self) -> int:
        return list(ControlState).index(self)


KILL_SOURCE = "kill_switch"  # of the orders that a kill closes positions with: they pass stops and locks


class KillState(StrEnum):
    """How far the kill of one account has come. The last four ended its run; LEFT waits for a person."""

    KILLED = "killed"  # recorded; nothing was cancelled yet
    CANCELLING = "cancelling"
    FLATTENING = "flattening"  # the only time in which a killed account lets an order out: its own reductions
    CANCELLED_PROVEN = "cancelled_proven"  # two reads of the venue show no open order of ours
    FLAT_PROVEN = "flat_proven"  # and two reads show no position
    LEFT = "left"  # something is or may be left: the result names it
    LEFT_ACKNOWLEDGED = "left_acknowledged"  # a person has read what is left and takes it over

    @property
    def is_running(self) -> bool:
        return self in (KillState.KILLED, KillState.CANCELLING, KillState.FLATTENING)

    @property
    def keeps_the_stop(self) -> bool:
        """Whether the control state may not be lowered yet."""
        return self.is_running or self is KillState.LEFT
