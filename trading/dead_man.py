"""Keep the venue's dead-man switch wound: what rests there is cancelled by the venue itself when we fall silent.

Whoever watches an account winds the switch again and again; when the process, the machine or its line is gone, the
venue's countdown ends and it cancels our resting orders. A switch that spares other people's orders is wound for every
account; one that does not, only for an account whose owner said that it may cancel them all. Where each instrument has
a switch of its own, those are wound in which the ledger has an order of ours that may rest.

Invariants
- The switch is called wound by the venue's own answer alone, and is due again from before the request on.
- A switch that cannot be wound ends nothing: the orders are still watched, and the failure is on record.
- The end of a watch takes nothing back, so that two watches, or one after the other, do not disarm each other. A
  countdown is taken back for one reason alone: the ledger, which they share, has no order of ours in the instrument.
  A request for that which crosses with a new order is made good at the next look.
- Winding takes a look's time at most, and one request: it keeps no order waiting for long.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, select

from brokers.capabilities import DeadManKind
from brokers.errors import BrokerError, Refused, Unsupported
from brokers.ids import InstrumentId
from brokers.types import IMMEDIATE, OrderType
from ledger.dead_man import SwitchState, note_switch
from ledger.errors import LedgerError
from ledger.states import IntentState
from ledger.tables import OrderIntent
from trading.runtime import Runtime

_log = logging.getLogger(__name__)
WOUND_PER_COUNTDOWN = 3  # two attempts may fail before the countdown ends
LOOK_EVERY_S = 1.0  # how often the ledger is asked what rests, and how long winding may take
PAUSE_S_MIN, PAUSE_S_MAX = 1.0, 10.0  # before what failed is tried again
_MAY_REST = tuple(
    state.value
    for state in IntentState
    if state.is_live_at_venue or state in (IntentState.SENDING, IntentState.UNKNOWN, IntentState.NEEDS_HUMAN)
)
_OF_A_MOMENT = sorted(item.value for item in IMMEDIATE)
Target = InstrumentId | None  # None: the account's one switch


@dataclass(slots=True)
class SwitchSeen:
    """What became of the switch. `timeout_s` is 0 where none is wound, and `note` says why.

    `is_kept` tells of a switch that acts on the loss of a connection: it is kept up, not wound again and again.
    """

    timeout_s: int = 0
    note: str = ""
    wound: int = 0
    failed: int = 0
    uncovered: str = ""
    is_kept: bool = False
    is_armed: bool = False
    instruments: set[str] = field(default_factory=set)  # those whose own switches were wound

    def told(self) -> str:
        """In a phrase, for people; empty where there is nothing to say."""
        if not self.timeout_s:
            return ""
        what = f"the dead-man switch of {self.timeout_s} s"
        if not self.wound:
            return f"{what} " + (f"could NOT be set ({self.note})" if self.failed else self._idle())
        lapses = f", {self.failed} times not ({self.note})" if self.failed else ""
        if self.is_kept:
            done = "was kept up" if self.is_armed else "is NOT kept up any more"
        else:
            done = f"was set {self.wound} times"
        where = f" in {', '.join(sorted(self.instruments))}" if self.instruments else ""
        stays = f"; {self.uncovered}" if self.uncovered else ""
        return f"{what} {done}{where}{lapses}{stays}"

    def _idle(self) -> str:
        return "was not acknowledged yet" if self.is_kept else "was not needed: no order rested"


@dataclass(slots=True)
class _Winding:
    """One target: until when its countdown runs at most, when it is due, and the pause after a failure."""

    ends_at_s: float
    due_at_s: float = float("-inf")
    pause_s: float = 0.0


class DeadManKeeper:
    """Winds one account's switch whenever a third of its countdown is over.

    Raises ValueError where `timeout_s` (0: never wind it) is outside of what the venue's switch takes.
    """

    def __init__(self, runtime: Runtime, timeout_s: int) -> None:
        self.seen = SwitchSeen()
        self._runtime = runtime
        self._windings: dict[Target, _Winding] = {}
        self._resting: frozenset[InstrumentId] = frozenset()
        self._read_at_s = float("-inf")
        self._failing: set[Target] = set()
        self._noted = ""
        switch = runtime.broker.capabilities.dead_man
        self._switch = switch
        if not timeout_s or not switch.is_armed_by_us:
            self.seen.note = "" if not timeout_s else switch.note or switch.kind.value
            self._note_once(SwitchState.OFF, self.seen.note or "dead_man_s is 0")
            return
        if not switch.timeout_s_min <= timeout_s <= switch.timeout_s_max:
            raise ValueError(
                f"dead_man_s of {runtime.account_id} must be {switch.timeout_s_min} to {switch.timeout_s_max}, "
                f"or 0 for none, was {timeout_s}"
            )
        self.seen.timeout_s = timeout_s
        self.seen.uncovered = switch.uncovered
        self.seen.is_kept = switch.kind is DeadManKind.STREAM_LOSS

    def wind(self) -> None:
        """Wind what is due; a failure is told once and tried again after a pause that grows."""
        if not self.seen.timeout_s:
            return
        clock, began_s = self._runtime.clock, self._runtime.clock.monotonic()
        wanted = self._targets()
        for target in sorted(self._windings.keys() | wanted, key=self._due_at_s):
            if clock.monotonic() - began_s >= LOOK_EVERY_S:
                return
            if not self._is_done(target, is_wanted=target in wanted):
                return  # the venue or its line is away: nothing else waits for it here

    def _due_at_s(self, target: Target) -> float:
        return self._winding(target).due_at_s

    def _winding(self, target: Target) -> _Winding:
        ends_at_s = self._runtime.clock.monotonic() + self.seen.timeout_s
        return self._windings.setdefault(target, _Winding(ends_at_s))

    def _targets(self) -> frozenset[Target]:
        if not self._switch.per_instrument:
            return frozenset({None})
        clock = self._runtime.clock
        if clock.monotonic() - self._read_at_s >= LOOK_EVERY_S:
            is_first = self._read_at_s == float("-inf")
            try:
                self._resting = self._covered(resting_in(self._runtime))
                ended = ended_in(self._runtime, within_s=self.seen.timeout_s) if is_first else frozenset()
            except (LedgerError, SQLAlchemyError) as error:
                _log.warning("what rests of %s could not be read: %s", self._runtime.account_id, error)
                return frozenset(self._resting)  # what rested goes on being wound
            self._read_at_s = clock.monotonic()
            for instrument_id in self._covered(ended) - self._resting:  # a watch before this one may have wound them
                self._winding(instrument_id)
        return frozenset(self._resting)

    def _covered(self, found: frozenset[InstrumentId]) -> frozenset[InstrumentId]:
        return frozenset(instrument_id for instrument_id in found if self._switch.covers(instrument_id))

    def _is_done(self, target: Target, *, is_wanted: bool) -> bool:
        """Wind or take back one switch if it is time; False where that failed."""
        winding, began_s = self._windings[target], self._runtime.clock.monotonic()
        if is_wanted and began_s < winding.due_at_s:
            return True
        if not is_wanted and winding.pause_s and began_s < winding.due_at_s:
            return True  # taking it back failed a moment ago
        if not is_wanted and began_s >= winding.ends_at_s:
            self._forget(target)  # it could not be taken back, and has ended by itself
            return True
        try:
            armed = self._arm(self.seen.timeout_s if is_wanted else 0, target)
        except Exception as error:  # noqa: BLE001 - whatever it is, the orders must still be watched
            if not isinstance(error, BrokerError):
                _log.exception("the dead-man switch of %s could not be set", self._runtime.account_id)
            pause_s_max = min(self.seen.timeout_s / 6, PAUSE_S_MAX)
            winding.pause_s = min(max(2 * winding.pause_s, PAUSE_S_MIN), pause_s_max)
            winding.due_at_s = began_s + winding.pause_s
            self._failed(error, target)
            return False
        winding.pause_s = 0.0
        self._failing.discard(target)
        if not is_wanted:
            self._forget(target)
        elif armed:
            self._armed(target)
            winding.due_at_s = began_s + (0 if self.seen.is_kept else self.seen.timeout_s / WOUND_PER_COUNTDOWN)
            winding.ends_at_s = self._runtime.clock.monotonic() + self.seen.timeout_s
        return True

    def _forget(self, target: Target) -> None:
        del self._windings[target]
        self._failing.discard(target)

    def _arm(self, timeout_s: int, target: Target) -> bool:
        broker = self._runtime.broker
        return broker.arm_dead_man(timeout_s, instrument_id=target) if target else broker.arm_dead_man(timeout_s)

    def _armed(self, target: Target) -> None:
        seen, account_id = self.seen, self._runtime.account_id
        if not seen.wound:
            whose = "every order" if self._switch.cancels_all_orders else "our resting orders"
            stays = f"; {seen.uncovered}" if seen.uncovered else ""
            _log.info("%s cancels %s after %d s of silence%s", account_id, whose, seen.timeout_s, stays)
        seen.wound += 1
        seen.is_armed = not self._failing
        if target is not None:
            seen.instruments.add(str(target))
        if seen.is_armed:
            stays = f"; {seen.uncovered}" if seen.uncovered else ""
            self._note_once(SwitchState.ARMED, f"acts after {seen.timeout_s} s without a watch{stays}")

    def _failed(self, error: Exception, target: Target) -> None:
        seen = self.seen
        what = f"{target}: {error}" if target else str(error)
        seen.failed += 1
        seen.is_armed = False
        self._failing.add(target)
        if seen.note != what:
            _log.warning("the dead-man switch of %s could not be set: %s", self._runtime.account_id, what)
        seen.note = what
        is_refused = isinstance(error, (Refused, Unsupported))
        self._note_once(SwitchState.NOT_ARMED if is_refused else SwitchState.UNKNOWN, what)

    def end(self) -> None:
        """The watch is over: nothing is taken back, and that is on record."""
        if self.seen.is_armed:
            within = f"acts within {self.seen.timeout_s} s unless another goes on with it"
            self._note_once(SwitchState.LEFT, f"the watch is over: {within}")

    def _note_once(self, state: SwitchState, text: str) -> None:
        """Put a change of state on record; a ledger that is away gets it at the next winding."""
        if state == self._noted:
            return
        try:
            note_switch(self._runtime.ledger, self._runtime.account_id, state, text)
        except (LedgerError, SQLAlchemyError) as error:
            _log.warning("the dead-man switch of %s is %s, not on record: %s", self._runtime.account_id, state, error)
            return
        self._noted = state


def resting_in(runtime: Runtime) -> frozenset[InstrumentId]:
    """Instruments with an order of ours that may rest at the venue, or may be on the way there."""
    with runtime.ledger.read() as session:
        query = _resting_kind(runtime).where(col(OrderIntent.state).in_(_MAY_REST))
        return _named(session.exec(query))


def ended_in(runtime: Runtime, *, within_s: float) -> frozenset[InstrumentId]:
    """Instruments in which an order of ours that could rest has ended lately."""
    with runtime.ledger.read() as session:
        since = runtime.ledger.now(session) - timedelta(seconds=within_s)
        states = [state.value for state in IntentState if state.is_terminal]
        query = _resting_kind(runtime).where(col(OrderIntent.state).in_(states), col(OrderIntent.updated_at) >= since)
        return _named(session.exec(query))


def _resting_kind(runtime: Runtime) -> Any:
    """Instruments of the account's orders that are not over in a moment."""
    return (
        select(OrderIntent.instrument_id)
        .where(
            OrderIntent.account_id == str(runtime.account_id),
            OrderIntent.order_type != OrderType.MARKET.value,
            col(OrderIntent.time_in_force).not_in(_OF_A_MOMENT),
        )
        .distinct()
    )


def _named(found: Iterable[str]) -> frozenset[InstrumentId]:
    return frozenset(map(InstrumentId, found))
