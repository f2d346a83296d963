"""What one process of the modelled desk holds, and how it moves the record: the row, clocks, crashes, zombies.

The record (`Row`) stands for the ledger: it outlives every crash. Compare-and-set, leases and epochs are those of
trading/orders/store.py, in memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache

from brokers.capabilities import OrderIdentity
from ledger.states import TERMINAL_STATES, CancelState, IntentState
from tests.proof.model_answers import NOTHING
from tests.proof.model_monitor import Monitor
from tests.proof.model_venue import FOREVER_S, START, Draws, Time, Venue, at
from trading.orders.protocol import IntentSnapshot, Looks, Outcome, ProtocolLimits
from trading.orders.reasons import OrderReason

S = IntentState
# Fewer looks than in production, so that the time is spent on what can go wrong; every rule and bound is the same.
LIMITS = ProtocolLimits(query_every_s=5.0, query_every_s_max=30.0, track_s_min=20.0, track_s_max=60.0, wait_s=4.0)
CRASH_RATE = 0.06
ZOMBIE_RATE = 0.03
TTL_S = (20.0, 90.0, 120.0, 120.0, 120.0, 300.0)
READ_S = 0.2
_BY_ANSWERS = frozenset({S.UNKNOWN, S.READY, S.SENDING, S.CLAIMED, S.NOT_PLACED, S.NEEDS_HUMAN})
NO_LOOKS = Looks()
Tracer = Callable[[str], None]


@lru_cache(maxsize=1_024)
def span(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


class Killed(BaseException):
    """The process ends here."""


class LostRace(Exception):
    """Someone else moved first."""


@dataclass(slots=True)
class Sent:
    """One send on record."""

    not_after: datetime
    committed_s: float
    answer: Outcome | None = None


@dataclass(slots=True)
class Row:
    """The ledger: the intent's row, its attempts (by number, which stands for the client order id) and their sends."""

    since: datetime
    expires_at: datetime
    seen_at: datetime
    doubted_at: datetime
    state: IntentState = S.READY
    reason: str = ""
    epoch: int = 0
    attempts: int = 0
    attempt: int = 0  # the current client order id; 0 while there is none
    sends: dict[int, list[Sent]] = field(default_factory=dict)
    lease_until: datetime | None = None
    lease_owner: int = 0
    next_check_at: datetime | None = None
    clean: int = 0
    last_ladder_at: datetime | None = None
    looks: Looks = NO_LOOKS
    cancel: CancelState = CancelState.NONE
    filled: Decimal = NOTHING
    doubts: int = 0
    is_halted: bool = False
    snapshot: IntentSnapshot | None = None  # as last taken; None once anything of it has changed
    proof_at: datetime | None = None  # from then on a look-up may count (while UNKNOWN)


class Process:
    """The worker that is at it; the next one after a crash takes over its record, not its memory."""

    attempts_max = 3
    limits = LIMITS
    query_every_s_max = LIMITS.query_every_s_max

    def __init__(self, identity: OrderIdentity, seed: int, *, tracer: Tracer | None = None, lies: bool = False) -> None:
        rng = Draws(seed)
        self.random = rng.random
        self.identity, self.tracer = identity, tracer
        self.time = Time(rng)
        self.venue = Venue(identity, rng, self.time, lies=lies)
        now = self.time.database
        self.row = Row(now, now + span(TTL_S[int(rng.random() * 6)]), now, now)
        self.monitor = Monitor(self)
        self.worker = 1
        self.offset_s, self.measured_at_s, self.measured_local_s = 0.0, -FOREVER_S, 0.0
        self.venue_measured = START
        self.steps = self.crashes = 0
        draw = rng.random()
        self.cancel_at_s = rng.random() * 60 if draw < 0.1 else FOREVER_S
        halt_s = rng.random() * 10 if 0.1 <= draw < 0.2 else FOREVER_S
        self.halted_s = (halt_s, halt_s + (rng.random() * 20 if draw < 0.18 else FOREVER_S))
        self.may_be_stopped = self.halted_s[0] < FOREVER_S
        self.zombie_at = ("C07", "C09", "C10", "past the checks")[int(draw * 1e6) % 4] if rng.random() < 0.03 else ""
        self.is_nested = self.is_calm = False
        self.asked_s = -FOREVER_S  # when a person was asked
        self.halts_late = 0.2 <= draw < 0.24  # a halt is set between the commit and the first byte
        # Nobody looks for a while after the first clean look-up.
        self.sleeps = rng.random() < (0.5 if self.venue.has_flaps else 0.02)

    def note(self, text: str) -> None:
        if self.tracer is not None:
            row = self.row
            self.tracer(f"{self.time.true_s:10.3f} s  w{self.worker} {row.state.value:<12} e{row.epoch:<3} {text}")

    def drive(self, until_s: float) -> None:
        raise NotImplementedError

    # -- points -------------------------------------------------------------------------------------------------
    def crash(self, name: str, rate: float = CRASH_RATE) -> None:
        """A point at which the process may die."""
        if self.is_calm or self.random() >= rate:
            return
        self.venue.faults += 1
        self.note(f"the process dies at {name}")
        raise Killed(name)

    def pause(self, name: str) -> bool:
        """A point at which the worker may stop for a while; another takes over meanwhile; then this one goes on."""
        if name != self.zombie_at:
            return False
        self.zombie_at, self.is_nested = "", True
        self.venue.faults += 1
        stopped, until_s = self.worker, self.time.true_s + 20 + self.random() * 100
        memory = self.offset_s, self.measured_at_s, self.measured_local_s
        self.note(f"the worker stops at {name}")
        self.worker, self.offset_s, self.measured_at_s = 100 + stopped, 0.0, -FOREVER_S
        self.monitor.disturb()
        self.drive(until_s)
        self.time.wait(max(until_s - self.time.true_s, 0.0))
        self.worker, self.is_nested = stopped, False
        self.offset_s, self.measured_at_s, self.measured_local_s = memory
        self.row.snapshot = None
        self.monitor.disturb()
        self.note(f"the worker of {name} goes on")
        return True

    # -- what is known ------------------------------------------------------------------------------------------
    def snapshot(self) -> IntentSnapshot:
        row = self.row
        if row.snapshot is not None and not self.may_be_stopped:
            return row.snapshot
        state, sends = row.state, row.sends.get(row.attempt, ())
        is_unknown = state is S.UNKNOWN
        answers: tuple[Outcome | None, ...] = ()
        if sends and state in _BY_ANSWERS:
            answers = (sends[0].answer,) if len(sends) == 1 else tuple([sent.answer for sent in sends])
        row.snapshot = taken = IntentSnapshot._make(
            (
                state,
                row.since,
                row.expires_at,
                row.lease_until,
                row.attempts,
                self.attempts_max,
                answers,
                max([sent.not_after for sent in sends]) if len(sends) > 1 else sends[0].not_after if sends else None,
                row.clean,
                row.last_ladder_at,
                row.next_check_at,
                row.cancel,
                not (is_unknown and self.control_stops()),
                row.attempt > 0,
                row.reason,
                row.looks if is_unknown else NO_LOOKS,
                None,
            )
        )
        return taken

    def venue_now(self) -> datetime:
        return at(self.time.true_s + self.time.machine_off_s + self.offset_s)

    def both_clocks(self) -> datetime:
        """The earlier of the database's time and the venue's."""
        time = self.time
        if time.machine_off_s + self.offset_s >= time.database_off_s:
            return time.database
        return at(time.true_s + time.machine_off_s + self.offset_s)

    def control_stops(self) -> bool:
        if not self.may_be_stopped:
            return self.row.is_halted
        return self.row.is_halted or self.halted_s[0] <= self.time.true_s < self.halted_s[1]

    def want_cancel(self) -> None:
        """It is time to ask for a cancel, unless that was done or is of no use any more."""
        row = self.row
        if row.cancel is CancelState.NONE and row.state not in TERMINAL_STATES:
            self.note("a cancel is wanted")
            row.cancel, row.snapshot = CancelState.READY, None
            if row.state.is_live_at_venue:
                row.next_check_at = None

    def clock_problem(self) -> str:
        """Measure the venue's clock when the last measure is old or our clock stepped; why not to send, or empty."""
        time, limits = self.time, self.limits
        age_s = time.true_s - self.measured_at_s
        stepped_s = abs(time.machine_s - self.measured_local_s - age_s)
        if age_s > limits.clock_age_s_max or stepped_s > limits.clock_error_s_max:
            return self.measure_clock()
        return "" if abs(self.offset_s) <= limits.clock_offset_s_max else self.measure_clock()

    def measure_clock(self) -> str:
        self.measured_at_s = -FOREVER_S
        if not self.venue.reads():
            return "clock not read"
        time = self.time
        error_s = self.random() * 0.4 - 0.2
        self.offset_s = error_s - time.machine_off_s
        self.venue_measured = at(time.true_s + error_s)
        if abs(self.offset_s) > self.limits.clock_offset_s_max:
            return "clock unsafe"
        self.measured_at_s, self.measured_local_s = time.true_s, time.machine_s
        return ""

    # -- moving -------------------------------------------------------------------------------------------------
    def move(self, held: tuple[IntentState, int], to_state: IntentState, reason: OrderReason | str = "") -> None:
        """Compare-and-set from the state and epoch that the mover holds; the lease ends."""
        row = self.row
        if not self.holds(held):
            raise LostRace
        self.monitor.moves(held, to_state)
        if self.tracer is not None:
            self.note(f"{row.state.value} to {to_state.value} {reason}")
        row.state, row.reason, row.since, row.proof_at = to_state, reason, self.time.database, None
        row.lease_until, row.lease_owner, row.next_check_at, row.snapshot = None, 0, None, None

    def holds(self, held: tuple[IntentState, int]) -> bool:
        row = self.row
        return held[0] is row.state and held[1] == row.epoch

    def held(self) -> tuple[IntentState, int]:
        return self.row.state, self.row.epoch

    def lease(self) -> None:
        """Take the intent for one conversation with the venue; a lease left behind starts look-ups anew."""
        row, now = self.row, self.time.database
        row.epoch += 1
        if row.lease_owner:
            self.forget_looks()
        row.lease_owner, row.lease_until = self.worker, now + span(self.limits.lease_s)
        row.snapshot = None

    def forget_looks(self) -> None:
        self.row.clean = 0

    def release_until(self, at: datetime) -> None:
        row = self.row
        row.lease_owner, row.lease_until, row.next_check_at, row.snapshot = 0, None, at, None

    def in_s(self, seconds: float) -> datetime:
        return self.time.database + span(seconds)
