"""The modelled send, step by step as in trading/orders/sending.py: claim, freeze, measure, commit, one request, answer.

Each rule that keeps an order from leaving twice is a method of its own, so that it can be taken away.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from brokers.capabilities import IdScope
from brokers.wire import WirePhase, WireRecord
from ledger.states import CancelState, IntentState
from tests.proof.model_answers import ACKS, ANSWERS, IDS, TIMEOUTS
from tests.proof.model_desk import CRASH_RATE, NO_LOOKS, READ_S, LostRace, Process, Sent, span
from tests.proof.model_venue import EXECUTED, MAYBE_EXECUTED, START
from trading.orders import protocol
from trading.orders.moves import NOT_PLACED_STATES
from trading.orders.protocol import Outcome, SendOutcome, Step
from trading.orders.reasons import OrderReason

S = IntentState
# The evidence of a send by how far it came, as the transport leaves it: made once, nobody changes it.
UNSENT = WireRecord()
CONNECTING = WireRecord(phase=WirePhase.CONNECTING)
LEFT = WireRecord(phase=WirePhase.SENDING, sends=1)
ANSWERED = WireRecord(phase=WirePhase.ANSWERED, sends=1, status=200)


class Sender(Process):
    """From READY to an answer on record."""

    def send(self, step: Step) -> None:
        row = self.row
        if self.stops_claim():
            row.next_check_at, row.snapshot = self.in_s(self.limits.wait_s), None
            return
        row.epoch += 1
        self.move(self.held(), S.CLAIMED)
        row.lease_owner, row.lease_until = self.worker, self.in_s(self.limits.lease_s)
        held = self.held()
        self.crash("C06")
        self.time.wait(READ_S)
        attempt = row.attempt or row.attempts + 1
        is_readable = self.venue.reads() or self.venue.reads() or self.venue.reads()
        self.crash("C07")
        self.pause("C07")
        if not is_readable or self.clock_problem():
            self.monitor.disturb()
            self.step_back(held, S.READY, self.limits.wait_s)
            return
        self.commit_and_send(held, attempt)

    def stops_claim(self) -> bool:
        return self.control_stops()

    def attempt_of_resend(self) -> int:
        return self.row.attempt

    def commit_and_send(self, held: tuple[IntentState, int], attempt: int) -> None:
        """All checks again and the record, in one transaction; then one request."""
        row, now = self.row, self.time.database
        if self.cancel_at_s <= self.time.true_s:
            self.want_cancel()
        if not self.holds(held) or row.lease_until is None or row.lease_until <= now:
            raise LostRace
        obstacle = self.obstacle(now)
        if obstacle is not None:
            self.step_back(held, obstacle, self.limits.wait_s)
            return
        self.crash("C08")
        not_after = self.venue_now() + self.validity(now)
        record = self.commit(held, attempt, not_after)
        held = (S.SENDING, held[1])
        send_by_s = self.time.true_s + self.limits.send_by_s
        if self.sends_before_commit:
            self.uncommit(record)
        self.crash("C09")
        self.pause("C09")
        self.dawdle()
        name, wire = ("stopped", UNSENT) if self.stopped_meanwhile() else self.place(attempt, not_after, send_by_s)
        self.record_answer(held, attempt, record, name, wire)

    def dawdle(self) -> None:
        """What may pass between the commit and the last look at the control state."""
        slow = self.random()
        if self.halts_late:
            self.halts_late, self.may_be_stopped = False, True
            self.halted_s = (self.time.true_s + 0.01, self.time.true_s + 30)
            slow = 1.0
            self.note("a halt is set")
        self.time.wait(slow * 0.05 if slow < 0.95 else self.random() * 1.2)

    sends_before_commit = False

    def uncommit(self, sent: Sent) -> None:
        raise NotImplementedError("only a broken desk sends what it has not committed")

    def validity(self, now: datetime) -> timedelta:
        return min(span(protocol.validity_s(self.identity, self.limits)), self.row.expires_at - now)

    def obstacle(self, now: datetime) -> IntentState | None:
        """What can still stop the order, as of the transaction."""
        if self.row.cancel is not CancelState.NONE:
            return S.WITHDRAWN
        if now >= self.row.expires_at:
            return S.EXPIRED
        return S.READY if self.control_stops() else None

    def commit(self, held: tuple[IntentState, int], attempt: int, not_after: datetime) -> Sent:
        row = self.row
        self.move(held, S.SENDING)
        if attempt not in row.sends:
            row.sends[attempt] = []
        sent = Sent(not_after, self.time.true_s)
        row.sends[attempt].append(sent)
        row.attempts, row.attempt = max(row.attempts, attempt), attempt
        row.clean, row.last_ladder_at, row.looks = 0, None, NO_LOOKS
        row.lease_owner, row.lease_until, row.snapshot = self.worker, self.in_s(self.limits.lease_s), None
        self.monitor.commits(sent)
        if self.tracer is not None:
            self.note(f"committed: attempt {attempt}, send {len(row.sends[attempt])}")
        return sent

    def step_back(self, held: tuple[IntentState, int], to_state: IntentState, wait_s: float) -> None:
        """Leave the claim, or, before the same id goes out again, stay UNKNOWN."""
        if held[0] is S.UNKNOWN:
            if self.holds(held):
                self.release_until(self.in_s(wait_s))
            return
        self.move(held, to_state)
        if to_state is S.READY:
            self.row.next_check_at, self.row.snapshot = self.in_s(wait_s), None

    def stopped_meanwhile(self) -> bool:
        return self.control_stops()

    def is_past(self, send_by_s: float) -> bool:
        return self.time.true_s > send_by_s

    def place(self, attempt: int, not_after: datetime, send_by_s: float) -> tuple[str, WireRecord]:
        """One request through the transport: the name of the answer, and the evidence."""
        if self.is_past(send_by_s):
            return "past send_by", UNSENT
        fault, venue, time = self.venue.draw(), self.venue, self.time
        if self.tracer is not None:
            self.note(f"the request: {fault}")
        if fault == "not connected":
            return fault, UNSENT
        self.crash("C10")
        self.pause("C10")
        if self.is_past(send_by_s):
            return "past send_by", CONNECTING
        is_late = self.pause("past the checks")
        venue.settle()
        self.monitor.leaves(attempt, send_by_s, is_unchecked=is_late)
        not_after_s = self.deadline_sent_s(not_after)
        name = self.deliver(fault, attempt, not_after_s)
        self.crash("C11 to C15", 2 * CRASH_RATE)
        if name in TIMEOUTS:
            time.wait(self.limits.answer_timeout_s)
        return name, ANSWERED if name == "answered" or name == "other id" else LEFT

    def deadline_sent_s(self, not_after: datetime) -> float:
        return (not_after - START).total_seconds()

    def deliver(self, fault: str, attempt: int, not_after_s: float) -> str:
        """What the venue makes of the request; the name of the answer on its way."""
        venue, now_s = self.venue, self.time.true_s
        if fault == "refused":
            venue.refusals.add(attempt)
        if fault == "late":
            delay_s = 1 + self.random() * 9 if self.random() < 0.3 else 10 + self.random() * 50
            venue.under_way.append((now_s + delay_s, attempt, not_after_s))
        if fault == "delivered twice":
            return self.deliver_twice(attempt, not_after_s)
        is_executed = fault in EXECUTED or (fault in MAYBE_EXECUTED and self.random() < 0.5)
        if not is_executed:
            return fault
        if fault == "rejected later":
            if venue.is_duplicate(attempt, now_s) or (self.identity.deadline_s_max and now_s > not_after_s):
                return "duplicate" if venue.is_duplicate(attempt, now_s) else "too late"
            venue.reject(attempt)
            return "answered"
        result = venue.receive(attempt, not_after_s, at_s=now_s)
        return result if isinstance(result, str) and fault in ("answered", "unreadable") else fault

    def deliver_twice(self, attempt: int, not_after_s: float) -> str:
        """Copied on its way; the answer is that to the second copy. Where ids are not kept for ever no client can
        prevent a second order, so that is not modelled."""
        if self.identity.id_scope is not IdScope.PERMANENT:
            return self.deliver("answered", attempt, not_after_s)
        result = self.venue.receive(attempt, not_after_s, at_s=self.time.true_s)
        return result if isinstance(result, str) else "duplicate"

    def record_answer(
        self, held: tuple[IntentState, int], attempt: int, sent: Sent, name: str, wire: WireRecord
    ) -> None:
        """Classify, keep the observation, then move by what all answers prove."""
        if name == "answered":
            outcome = protocol.classify(ACKS[attempt], wire, client_order_id=IDS[attempt])
        elif name == "other id":
            outcome = protocol.classify(ACKS[attempt + 1], wire, client_order_id=IDS[attempt])
        else:
            outcome = protocol.classify(ANSWERS[name], wire, client_order_id=IDS[attempt])
        if outcome.kind is Outcome.UNKNOWN:
            self.monitor.disturb()
        self.crash("C16")
        if sent.answer is None or not sent.answer.proves_existence:
            sent.answer, self.row.snapshot = outcome.kind, None
        if self.tracer is not None:
            self.note(f"the answer: {name}, {outcome.kind.value}")
        self.crash("C17")
        try:
            self.apply_answers(held, attempt, outcome)
        except LostRace:
            if outcome.kind.proves_existence:
                self.adopt(attempt)
            raise

    def apply_answers(self, held: tuple[IntentState, int], attempt: int, outcome: SendOutcome | None) -> None:
        row, limits = self.row, self.limits
        answers = [sent.answer for sent in row.sends.get(attempt, ())]
        to_state = protocol.judge(answers)
        if to_state is held[0]:
            return
        self.move(held, to_state)
        wait_s = outcome.retry_after_s if outcome is not None and outcome.retry_after_s else 0.0
        if to_state is S.UNKNOWN or to_state is S.NOT_PLACED:
            row.next_check_at = self.in_s(wait_s or (limits.wait_s if to_state is S.NOT_PLACED else 0.0))
        elif to_state is S.READY:
            row.next_check_at = self.in_s(min(limits.wait_s * 2 ** (len(answers) - 1), 30.0))
        elif to_state is S.ACKED:
            row.seen_at = row.since
            self.crash("C18")

    def sweep(self) -> None:
        """Compare the venue's orders with the attempts on record."""
        if not self.identity.client_id_length_max:
            return
        for order in self.venue.orders:
            if not order.is_rejected:
                self.adopt(order.attempt)

    def adopt(self, attempt: int) -> None:
        """An order of this attempt exists: adopt it if it was called not placed, and halt."""
        row = self.row
        if row.state in NOT_PLACED_STATES:
            self.note(f"attempt {attempt} was called {row.state.value} and exists")
            row.epoch += 1
            row.attempt = attempt
            self.move(self.held(), S.ADOPTED_LATE, OrderReason.SEEN_LATE)
            row.is_halted = True
        elif row.attempt != attempt:
            row.is_halted = True
