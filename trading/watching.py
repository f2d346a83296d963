"""Watch an account's orders: every second finish what a dead or stopped worker left behind.

A look asks the ledger alone and takes the intents on which nobody works: a lease that is over, or a step that has been
due for some seconds. The venue's orders are compared at the start, every minute, and when an answer lies in the spool.
Two watchers, or a watcher and a worker, do no harm: every move is compare-and-set.

Invariants
- From the death of a worker to the next step of its intent pass at most lease + look + one step: 15 s + 1 s + one step.
  However many orders are looked for at a slow venue: a lease that is over is ended by what is on record, before a sweep
  and between two conversations with the venue.
- An intent that cannot be advanced keeps no other from it; a ledger or a venue that is away ends nothing.
- A step is announced once per state and reason of an intent: looking again at an unchanged order is no new action.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from brokers.errors import BrokerError
from ledger.errors import LedgerError
from ledger.states import IntentState
from ledger.tables import OrderIntent
from trading.dead_man import DeadManKeeper, SwitchSeen
from trading.orders import IntentView
from trading.orders.adopting import Sightings
from trading.orders.spool import spool_of
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

_log = logging.getLogger(__name__)
_HELD = frozenset({IntentState.CLAIMED.value, IntentState.SENDING.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchLimits:
    """How often is looked; the defaults are what production runs with."""

    look_every_s: float = 1.0
    left_alone_s: float = 2.0  # due for that long: whoever drives an intent acts sooner
    sweep_every_s: float = 60.0
    again_s_max: float = 60.0  # longest pause before an intent that raised is tried again


@dataclass(slots=True)
class Watched:
    """What a watch did. `moved` holds each intent that it brought into another state, as it stood last."""

    looks: int = 0
    sweeps: int = 0
    spooled: int = 0
    failed_looks: int = 0
    moved: dict[str, IntentView] = field(default_factory=dict)
    sightings: Sightings = field(default_factory=Sightings)
    unread: str = ""
    failing: dict[str, str] = field(default_factory=dict)  # intent id → why it could not be advanced
    switch: SwitchSeen = field(default_factory=SwitchSeen)


def watch(
    runtime: Runtime,
    *,
    goes_on: Callable[[], bool],
    limits: WatchLimits = WatchLimits(),
    step: Step = call_directly,
    dead_man_s: int = 0,
) -> Watched:
    """Look until `goes_on` says no; it is asked before each look.

    `dead_man_s`: the venue cancels what rests of ours after so many seconds of silence, where it can and the account
    lets it (0: never). The end of a watch does not take that back: whoever watches next winds the switch on. Raises
    ValueError where the venue's switch does not take that figure.
    """
    keeper = DeadManKeeper(runtime, dead_man_s)
    watcher = _Watcher(runtime, limits, step, wind=keeper.wind)
    watcher.watched.switch = keeper.seen
    clock = runtime.clock
    while goes_on():
        began_s = clock.monotonic()
        keeper.wind()
        watcher.look()
        clock.wait(max(limits.look_every_s - (clock.monotonic() - began_s), 0.01))
    keeper.end()
    return watcher.watched


class _Watcher:
    def __init__(self, runtime: Runtime, limits: WatchLimits, step: Step, *, wind: Callable[[], None]) -> None:
        self.watched = Watched()
        self._wind = wind
        self._runtime = runtime
        self._limits = limits
        self._step = step
        self._spool = spool_of(runtime.ledger.url)
        self._sweep_at_s = runtime.clock.monotonic()
        self._announced: dict[str, tuple[str, str]] = {}
        self._again: dict[str, tuple[float, float]] = {}  # intent id → when to try again, and the pause before it

    def look(self) -> None:
        """One look; what fails in it is met again at the next one."""
        self.watched.looks += 1
        sweep_is_due = self._runtime.clock.monotonic() >= self._sweep_at_s or self._has_spooled()
        before = (self._end_leases, self._sweep) if sweep_is_due else ()
        fine = [self._tried(part) for part in (*before, self._advance_all)]
        self.watched.failed_looks += not all(fine)

    def _tried(self, part: Callable[[], object]) -> bool:
        try:
            part()
        except (LedgerError, SQLAlchemyError, BrokerError) as error:
            _log.warning("this look at %s ended early: %s", self._runtime.account_id, error)
            return False
        except Exception:  # noqa: BLE001 - whatever it is, orders that a dead worker left must still be looked at
            _log.exception("this look at %s ended early", self._runtime.account_id)
            return False
        return True

    def _has_spooled(self) -> bool:
        return next(iter(self._spool.entries()), None) is not None

    def _sweep(self) -> None:
        self._sweep_at_s = self._runtime.clock.monotonic() + self._limits.sweep_every_s
        swept = self._runtime.desk.sweep(advances=False)  # one by one below, so that none waits for all
        self.watched.sweeps += 1
        self.watched.spooled += swept.spooled
        if swept.sightings and swept.sightings != self.watched.sightings:
            self.watched.sightings = swept.sightings
            _log.error("orders of ours that should not be at the venue: %s; trading is halted", swept.sightings)
        self.watched.unread = swept.unread

    def _advance_all(self) -> None:
        desk, clock = self._runtime.desk, self._runtime.clock
        rest, looked_at_s = self._end_leases(), clock.monotonic()
        for row in rest:
            if row.state == IntentState.READY.value and not desk.has_compared:
                continue  # it may be at the venue already, if this ledger is an older one
            self._wind()  # a venue that answers slowly must not let the switch act
            self._advance(row, desk.advance)
            if clock.monotonic() - looked_at_s >= self._limits.look_every_s:
                self._end_leases()
                looked_at_s = clock.monotonic()

    def _end_leases(self) -> list[OrderIntent]:
        """Take over what a worker held when it died, which asks no venue; what else is left alone."""
        rows = left_alone(self._runtime, for_s=self._limits.left_alone_s)
        for row in rows:
            if row.state in _HELD:
                self._advance(row, self._runtime.desk.take_over)
        return [row for row in rows if row.state not in _HELD]

    def _advance(self, row: OrderIntent, advance: Callable[[str], IntentView]) -> None:
        intent_id, clock = row.intent_id, self._runtime.clock
        again_at_s, pause_s = self._again.get(intent_id, (0.0, 0.0))
        if clock.monotonic() < again_at_s:
            return
        try:
            view = self._announcing(row)(_sentence(row), StepKind.ADVANCE, partial(advance, intent_id))
        except (LedgerError, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 - one intent that cannot be advanced must not keep the others from it
            pause_s = min(max(2 * pause_s, self._limits.look_every_s), self._limits.again_s_max)
            self._again[intent_id] = (clock.monotonic() + pause_s, pause_s)
            self.watched.failing[intent_id] = f"{type(error).__name__}: {error}"
            _log.exception("intent %s could not be advanced; again in %.0f s", intent_id, pause_s)
            return
        self._again.pop(intent_id, None)
        self.watched.failing.pop(intent_id, None)
        if view.state.value != row.state:
            self.watched.moved[intent_id] = view
            _log.info("%s became %s (%s)", _sentence(row), view.state, view.reason)

    def _announcing(self, row: OrderIntent) -> Step:
        """The job's step for something new, a plain call for one more look at the same."""
        known = (row.state, row.state_reason)
        is_new = row.state != IntentState.NEEDS_HUMAN.value and self._announced.get(row.intent_id) != known
        self._announced[row.intent_id] = known
        return self._step if is_new else call_directly


def left_alone(runtime: Runtime, *, for_s: float) -> tuple[OrderIntent, ...]:
    """Intents of the account that need a step and on which nobody works, oldest first."""
    with runtime.ledger.read() as session:
        now = runtime.ledger.now(session)
        before = now - timedelta(seconds=for_s)
        due_at, lease_until = col(OrderIntent.next_check_at), col(OrderIntent.lease_until)
        is_due = (due_at <= before) | (due_at.is_(None) & (col(OrderIntent.updated_at) <= before))
        is_deserted = (lease_until <= now) & (due_at.is_(None) | (due_at <= now))
        query = select(OrderIntent).where(
            OrderIntent.account_id == str(runtime.account_id),
            col(OrderIntent.state).in_([state.value for state in IntentState if not state.is_terminal]),
            (lease_until.is_(None) & is_due) | is_deserted,
        )
        return tuple(session.exec(query.order_by(col(OrderIntent.created_at), col(OrderIntent.intent_id))))


def _sentence(row: OrderIntent) -> str:
    return f"Finish {row.side} {row.quantity:f} {row.instrument_id} ({row.state})"
