"""The modelled resolver and tracker, step by step as in trading/orders/resolving.py, looking.py and tracking.py.

Each rule of the proof of absence is a method or an attribute of its own, so that it can be taken away.
"""

from __future__ import annotations

from datetime import datetime

from brokers.capabilities import IdScope
from brokers.types import OrderStatus
from ledger.states import CancelState, IntentState
from tests.proof.model_answers import QUANTITY, REPORTS, REQUEST
from tests.proof.model_desk import CRASH_RATE, READ_S, Killed, span
from tests.proof.model_sending import Sender
from tests.proof.model_venue import Placed
from trading.orders import progress as tracking
from trading.orders import protocol
from trading.orders.progress import Known
from trading.orders.protocol import Action, Looks, Outcome, Step
from trading.orders.reasons import OrderReason

S = IntentState


class Resolver(Sender):
    """From UNKNOWN to a proof or a person, and from ACKED to the end."""

    def apply_answer(self, step: Step) -> None:
        self.apply_answers(self.held(), self.row.attempt, None)

    def take_over(self, step: Step) -> None:
        self.move(self.held(), S.UNKNOWN)

    def release(self, step: Step) -> None:
        self.move(self.held(), S.READY)

    def expire(self, step: Step) -> None:
        self.move(self.held(), S.EXPIRED, step.reason or "")

    def withdraw(self, step: Step) -> None:
        self.move(self.held(), S.WITHDRAWN)

    def give_to_person(self, step: Step) -> None:
        self.move(self.held(), S.NEEDS_HUMAN, step.reason or "")
        self.asked_s = self.time.true_s

    def retry(self, step: Step) -> None:
        row = self.row
        self.move(self.held(), S.READY)
        if self.identity.id_scope is not IdScope.PERMANENT:
            row.attempt, row.clean, row.last_ladder_at, row.snapshot = 0, 0, None, None

    def confirm_absent(self, step: Step) -> None:
        row = self.row
        if self.measure_for_proof():
            self.count_again()
            return
        if not self.is_still(Action.CONFIRM_ABSENT):
            return
        is_refused = any(sent.answer is Outcome.DEFINITE_NO for sent in row.sends.get(row.attempt, ()))
        self.move(self.held(), S.REFUSED if is_refused else S.NOT_PLACED, OrderReason.ABSENCE_PROVED)
        self.crash("C22")

    def count_again(self) -> None:
        row = self.row
        self.monitor.disturb()
        self.looked(is_absent=False)
        row.clean, row.last_ladder_at, row.next_check_at = 0, None, self.in_s(self.limits.ladder_gap_s)
        row.snapshot = None

    def is_still(self, action: Action) -> bool:
        now = min(self.time.database, self.venue_measured)
        return protocol.next_step(self.snapshot(), self.identity, now, self.limits).action is action

    def looked(self, *, is_absent: bool) -> None:
        """Note a look-up after the moment from which it may count."""
        row, now = self.row, self.time.database
        if row.proof_at is None:
            row.proof_at = protocol.absence_provable_at(self.snapshot(), self.identity, self.limits)
        if now > row.proof_at:
            before, row.snapshot = row.looks, None
            row.looks = Looks(before.count + 1, before.first_at or now, now if is_absent else before.last_absent_at)

    def resend(self, step: Step) -> None:
        row = self.row
        if self.measure_clock():
            self.monitor.disturb()
            self.query(Step(Action.QUERY, at=self.in_s(self.limits.wait_s)))
            return
        if not self.is_still(Action.RESEND):
            return
        self.lease()
        held = self.held()
        self.crash("C23")
        self.commit_and_send(held, self.attempt_of_resend())
        row.lease_owner = row.lease_owner if row.state in (S.SENDING, S.CLAIMED) else 0

    def query(self, step: Step) -> None:
        """Look for a trace; absence proves nothing yet."""
        row = self.row
        before = row.snapshot
        self.lease()
        row.snapshot = before
        self.time.wait(READ_S)
        seen = self.quick_look()
        if seen == "found":
            self.found()
            return
        if seen == "failed":
            self.monitor.disturb()
        now = self.time.database
        self.looked(is_absent=seen == "absent")
        before = row.snapshot
        self.release_until(max(step.at or now, now + span(self.limits.query_every_s / 2)))
        if before is not None and before.lease_until is None and not self.time.steps:
            row.snapshot = before  # as it was but for the time of the next look, which is waited for

    def quick_look(self) -> str:
        venue = self.venue
        venue.begin_quick_look()
        if self.identity.lookup_by_client_id:
            return ("found" if venue.shown("by_id", self.row.attempt) else "absent") if venue.reads() else "failed"
        if not venue.reads() or not venue.reads():
            return "failed"
        return "found" if venue.shown("listed", None) or venue.shown("history", None) else "absent"

    def complete_look(self) -> str:
        """Every source; a failed read proves nothing, a position that fills do not explain neither."""
        venue, attempt = self.venue, self.row.attempt if self.identity.client_id_length_max else None
        seen = {}
        for source in self.sources:
            if source == "by_id" and not self.identity.lookup_by_client_id:
                continue
            if not venue.reads():
                return self.read_failed(source)
            seen[source] = venue.shown(source, attempt if source in ("by_id", "listed", "history") else None)
            if seen[source] is not None and self.is_ours(source, seen[source]):
                return "found"
        return "unexplained" if self.is_unexplained(seen) else "absent"

    sources: tuple[str, ...] = ("by_id", "listed", "history", "fills", "position")

    def read_failed(self, source: str) -> str:
        return "failed"

    def is_ours(self, source: str, order: Placed | None) -> bool:
        if source == "fills":
            return self.identity.fills_carry_client_id and order is not None and order.attempt == self.row.attempt
        return source != "position"

    def is_unexplained(self, seen: dict[str, Placed | None]) -> bool:
        return seen.get("position") is not None and seen.get("fills") is None

    def ladder(self, step: Step) -> None:
        """One complete look-up; only a clean one counts, and only by the venue's clock, measured just before."""
        row, limits = self.row, self.limits
        problem = self.measure_for_proof()
        if not problem and not self.is_still(Action.LADDER):
            return
        started_at = None if problem else self.venue_measured
        self.lease()
        self.venue.begin_look()
        try:
            self.crash("mid look-up", 5 * CRASH_RATE if self.venue.has_flaps else CRASH_RATE / 2)
        except Killed:
            self.venue.break_off_look()
            raise
        self.time.wait(READ_S)
        seen = self.complete_look()
        if seen == "found":
            self.found()
            return
        self.crash_in_ladder()
        if problem:
            seen = "failed"
        if seen == "failed":
            self.venue.break_off_look()
        is_clean = seen == "absent"
        if not is_clean:
            self.monitor.disturb()
        self.looked(is_absent=is_clean)
        before = row.clean if self.counts(row.last_ladder_at, started_at) else 0
        wait_s = limits.ladder_gap_s if before + is_clean < limits.ladders_min else 0.0
        row.clean, row.last_ladder_at = self.counted(before, is_clean), started_at
        if self.tracer is not None:
            self.note(f"look-up {seen}, {row.clean} clean")
        self.release_until(self.in_s(wait_s))

    def measure_for_proof(self) -> str:
        return self.measure_clock()

    def crash_in_ladder(self) -> None:
        try:
            self.crash("C21")
        except Killed:
            self.venue.break_off_look()
            raise

    def counted(self, before: int, is_clean: bool) -> int:
        return before + 1 if is_clean else 0

    def counts(self, last_at: datetime | None, started_at: datetime | None) -> bool:
        if last_at is None or started_at is None:
            return False
        return self.limits.ladder_gap_s <= (started_at - last_at).total_seconds() <= self.limits.ladder_age_s_max

    def found(self) -> None:
        self.move(self.held(), S.ACKED, OrderReason.FOUND_AT_VENUE)
        self.row.seen_at = self.row.since

    def watch(self, step: Step) -> None:
        """A person decides, but a trace may still turn up."""
        if self.quick_look() == "found":
            self.found()
        else:
            self.watched_in_vain()

    def watched_in_vain(self) -> None:
        self.row.next_check_at, self.row.snapshot = self.in_s(self.limits.watch_every_s), None

    # -- following and adopting (tracking.py, adopting.py) ------------------------------------------------------
    def track(self, step: Step) -> None:
        row, venue, limits = self.row, self.venue, self.limits
        self.time.wait(READ_S)
        venue.begin_quick_look()
        now = self.time.database
        pause = protocol.quarter_of(now - row.since, limits.track_s_min, limits.track_s_max)
        row.next_check_at, row.snapshot = now + pause, None
        if not venue.reads():
            return
        order = self.report()
        status = None if order is None else _status(order, self.time.true_s)
        is_filled = status is OrderStatus.FILLED
        if is_filled and venue.reads() and venue.shown("fills", None) is not None:
            row.filled = QUANTITY
        fits = status is OrderStatus.WORKING or (order is not None and (not is_filled or row.filled == QUANTITY))
        row.doubts, row.doubted_at = (0, now) if fits else (row.doubts + 1, row.doubted_at if row.doubts else now)
        row.seen_at = row.seen_at if order is None else now
        known = Known(row.state, REQUEST, row.filled, row.seen_at, row.doubted_at, row.doubts)
        result = tracking.progress(
            known,
            None if status is None else REPORTS[status],
            row.filled,
            identity=self.identity,
            now=self.both_clocks(),
            limits=limits,
        )
        if result.state is not row.state:
            self.move(self.held(), result.state, result.reason or "")

    def report(self) -> Placed | None:
        venue, attempt = self.venue, self.row.attempt
        if self.identity.lookup_by_client_id:
            return venue.shown("by_id", attempt)
        return venue.shown("listed", None) or venue.shown("history", None)

    def cancel(self, step: Step) -> None:
        """Ask for a cancel; only reading the order tells what became of it."""
        row = self.row
        if self.random() < 0.8:
            self.venue.cancel(row.attempt)
            is_answered = self.random() < 0.8
            row.cancel = CancelState.DONE if is_answered else CancelState.UNKNOWN
        row.next_check_at, row.snapshot = self.in_s(self.limits.cancel_again_s), None


def _status(order: Placed, now_s: float) -> OrderStatus:
    if order.is_rejected:
        return OrderStatus.REJECTED
    if order.is_open(now_s):
        return OrderStatus.WORKING
    return OrderStatus.CANCELLED if order.is_cancelled else OrderStatus.FILLED
