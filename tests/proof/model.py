"""One intent in virtual time: the production decisions against a light venue, with crashes, zombies and wrong clocks.

`classify`, `judge`, `next_step`, `progress` and the limits are production's own and decide everything. What the desk
does around them (commit before the first byte, compare-and-set, leases, the last look at the control state) is
repeated in memory, step by step as in trading/orders, so that a million histories fit into a minute or two and so that
each of these rules can be taken away. That the desk itself keeps them is shown by the layers that run it.

What the venue may do and what is assumed of it stands in model_venue.py, what is checked in model_monitor.py.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from ledger.states import TERMINAL_STATES, IntentState
from tests.proof.model_desk import Killed, LostRace
from tests.proof.model_monitor import Monitor
from tests.proof.model_resolving import Resolver
from tests.proof.model_venue import CLOCK_TICK_S, FOREVER_S
from trading.orders import protocol
from trading.orders.protocol import Action, Step

S = IntentState
GIVE_UP_S = 20_000.0
STEPS_MAX = 3_000


class History(Resolver):
    """One intent from READY to its end, under one seed."""

    def play(self) -> Monitor:
        """To the end, and then on until everything late has arrived."""
        self.drive(GIVE_UP_S)
        self.quiesce()
        monitor = self.monitor
        monitor.close()
        del monitor.history  # the one way back to itself: without it a history goes when nobody holds it any more
        return monitor

    def drive(self, until_s: float) -> None:
        """Advance until it is over; a crash leaves everything as it is on record, and another process goes on."""
        row, time = self.row, self.time
        while time.true_s < until_s and row.state not in TERMINAL_STATES and self.steps < STEPS_MAX:
            try:
                step, now = self.advance()
            except Killed:
                self.crashes += 1
                self.restart()
                continue
            if step.action is Action.DONE or row.state is S.NEEDS_HUMAN:
                return
            if self.sleeps and row.clean and row.state is S.UNKNOWN:
                self.sleep()
            ahead_s = 0.0
            if step.action is Action.WAIT:
                due = step.at
            else:
                due, now = row.next_check_at, time.database
                if row.state is S.UNKNOWN:  # it must be due on both clocks
                    ahead_s = time.database_off_s - time.machine_off_s - self.offset_s
            if due is None or (due <= now and ahead_s <= 0.0):
                continue
            wait_s = (due - now).total_seconds() + (ahead_s if ahead_s > 0.0 else 0.0)
            if wait_s > 0.0:
                wait_s += CLOCK_TICK_S
                if time.steps:  # a sweep looks again every few seconds: whoever waits sees a clock that stepped
                    wait_s = min(wait_s, max(time.steps[0][0] - time.true_s, 0.0) + CLOCK_TICK_S)
                left_s = until_s - time.true_s
                time.wait(wait_s if wait_s < left_s else left_s)

    def sleep(self) -> None:
        self.sleeps = False
        self.note("nobody looks for a while")
        self.time.wait(62 + self.random() * 60)
        self.monitor.disturb()

    def restart(self) -> None:
        self.time.wait(self.random() * 20)
        self.worker += 1
        self.offset_s, self.measured_at_s = 0.0, -FOREVER_S
        self.monitor.disturb()

    def quiesce(self) -> None:
        """Let everything late arrive, compare the venue's orders with the record, and look once more."""
        row, venue = self.row, self.venue
        if not venue.under_way and not venue.orders and row.state.is_terminal:
            return
        self.is_calm = True
        if row.state is S.NEEDS_HUMAN:
            self.time.wait(self.limits.watch_every_s)
            self.advance()
        venue.is_calm = True
        self.time.wait(1_100.0)
        venue.settle()
        self.sweep()
        if row.state is S.NEEDS_HUMAN:
            row.next_check_at = None
            self.advance()
        if row.state.is_live_at_venue:
            self.drive(self.time.true_s + 1_000)

    def advance(self) -> tuple[Step, datetime]:
        """One step of the desk."""
        row, time = self.row, self.time
        self.steps += 1
        if self.cancel_at_s <= time.true_s:
            self.want_cancel()
        now = self.both_clocks() if row.state is S.UNKNOWN else time.database
        intent = row.snapshot
        if intent is None or self.may_be_stopped:
            intent = self.snapshot()
        step = protocol.next_step(intent, self.identity, now, self.limits)
        if self.tracer is not None:
            self.note(f"-> {step.action.value} {step.reason or ''}")
        handler = _HANDLERS.get(step.action)
        if handler is not None:
            self.monitor.acts(step.action, intent)
            try:
                handler(self, step)
            except LostRace:
                self.note("lost the race")
        return step, now


_HANDLERS: dict[Action, Callable[[History, Step], None]] = {
    Action.SEND: History.send,
    Action.WITHDRAW: History.withdraw,
    Action.EXPIRE: History.expire,
    Action.RELEASE: History.release,
    Action.TAKE_OVER: History.take_over,
    Action.APPLY_ANSWER: History.apply_answer,
    Action.QUERY: History.query,
    Action.RESEND: History.resend,
    Action.LADDER: History.ladder,
    Action.CONFIRM_ABSENT: History.confirm_absent,
    Action.RETRY: History.retry,
    Action.TRACK: History.track,
    Action.CANCEL: History.cancel,
    Action.GIVE_TO_PERSON: History.give_to_person,
    Action.WATCH: History.watch,
}
