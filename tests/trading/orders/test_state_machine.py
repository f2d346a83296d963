"""The pure protocol against a pure venue: any order of steps, faults, pauses and lost workers.

The production functions decide; this machine only does what they say and keeps the truth.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from brokers.capabilities import IdScope, OrderIdentity
from ledger.states import TERMINAL_STATES, CancelState, IntentState
from tests.trading.orders.modelled import CLASSES, START
from trading.orders.moves import MOVES, Who
from trading.orders.protocol import (
    Action,
    IntentSnapshot,
    Looks,
    Outcome,
    ProtocolLimits,
    Step,
    absence_provable_at,
    judge,
    next_step,
    resolution_bound_s,
    validity_s,
)
from trading.orders.reasons import OrderReason

S = IntentState
LIMITS = ProtocolLimits()
KINDS: tuple[str, ...] = tuple(sorted(CLASSES))
LAG_S = (0, 5, 29, 59)  # how long reads do not show an order: below the horizon
LATE_S = (2, 10, 45, 300)  # how long a request may be under way; what the deadline does not stop may take any time
WAITS_S = (0.5, 2.0, 5.0, 16.0, 40.0)
HISTORIES = 20_000  # drawn until a broken rule shows
FAULTS = (
    "yes",
    "lost",
    "late",
    "executed, no answer",
    "refused",
    "rate limited",
    "not sent",
    "crash before",
    "crash after",
)


class OneIntent(RuleBasedStateMachine):
    """One intent, one venue, and whatever comes between them."""

    @initialize(kind=st.sampled_from(KINDS))
    def begin(self, kind: str) -> None:
        self.identity: OrderIdentity = CLASSES[kind]
        self.now: datetime = START
        self.intent = IntentSnapshot(state=S.READY, state_since=START, expires_at=START + timedelta(seconds=120))
        self.attempt = 0
        self.orders: list[tuple[int, datetime]] = []  # attempt, when it becomes visible
        self.under_way: list[tuple[datetime, datetime, int, timedelta]] = []  # due, not after, attempt, lag
        self.unknown_since: datetime | None = None

    # -- the venue ----------------------------------------------------------------------------------------------
    def accept(self, not_after: datetime, attempt: int, lag: timedelta, at: datetime) -> bool:
        """False: refused as a duplicate or as too late."""
        if self.identity.deadline_s_max and at > not_after:
            return False
        if self.identity.id_scope is IdScope.PERMANENT and any(order[0] == attempt for order in self.orders):
            return False
        self.orders.append((attempt, at + lag))
        return True

    def settle(self) -> None:
        due = sorted(item for item in self.under_way if item[0] <= self.now)
        self.under_way = [item for item in self.under_way if item[0] > self.now]
        for at, not_after, attempt, lag in due:
            self.accept(not_after, attempt, lag, at)

    def is_visible(self) -> bool:
        return any(at <= self.now for _, at in self.orders)

    # -- time ---------------------------------------------------------------------------------------------------
    @rule(seconds=st.sampled_from(WAITS_S))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.settle()

    @rule()
    def cancel(self) -> None:
        if self.intent.state not in TERMINAL_STATES:
            self.intent = self.intent._replace(cancel_state=CancelState.READY)

    @rule(is_stopped=st.booleans())
    def control(self, is_stopped: bool) -> None:
        self.intent = self.intent._replace(may_send=not is_stopped)

    # -- the desk -----------------------------------------------------------------------------------------------
    @rule(
        fault=st.sampled_from(FAULTS),
        late_s=st.sampled_from(LATE_S),
        lag_s=st.sampled_from(LAG_S),
        reads_fail=st.booleans(),
    )
    @precondition(lambda self: self.intent.state not in TERMINAL_STATES)
    def step(self, fault: str, late_s: int, lag_s: int, reads_fail: bool) -> None:
        step = next_step(self.intent, self.identity, self.now, LIMITS)
        if step.action is Action.WAIT and step.at is not None:
            self.now = step.at
            self.settle()
        elif step.action in (Action.SEND, Action.RESEND):
            self._send(fault, timedelta(seconds=late_s), timedelta(seconds=lag_s))
        elif step.action in (Action.QUERY, Action.WATCH, Action.LADDER):
            self._look(is_ladder=step.action is Action.LADDER, reads_fail=reads_fail)
        else:
            self._move(step.action)

    def _send(self, fault: str, late: timedelta, lag: timedelta) -> None:
        if self.intent.state is S.READY and not self.intent.reuses_attempt:
            self.attempt += 1
            self.intent = self.intent._replace(attempt_count=self.attempt, answers=(), reuses_attempt=True)
        if self.intent.state is S.READY:
            self._to(S.CLAIMED)
        not_after = self.now + timedelta(seconds=validity_s(self.identity, LIMITS))
        before = self.intent.answers
        self._to(
            S.SENDING, answers=(*before, None), not_after=not_after, clean_ladders=0, last_ladder_at=None, looks=Looks()
        )
        answer = self._outcome(fault, not_after, late, lag)
        if fault.startswith("crash"):
            self.intent = self.intent._replace(lease_until=self.now + timedelta(seconds=LIMITS.lease_s))
            return
        self.intent = self.intent._replace(answers=(*before, answer))
        self._settle_answers()

    def _outcome(self, fault: str, not_after: datetime, late: timedelta, lag: timedelta) -> Outcome:
        if fault in ("yes", "executed, no answer", "crash after"):
            accepted = self.accept(not_after, self.attempt, lag, self.now)
            return (Outcome.DEFINITE_YES if accepted else Outcome.EXISTS) if fault == "yes" else Outcome.UNKNOWN
        if fault == "late":
            self.under_way.append((self.now + late, not_after, self.attempt, lag))
        known = {
            "refused": Outcome.DEFINITE_NO,
            "rate limited": Outcome.REFUSED_FOR_NOW,
            "not sent": Outcome.NOT_SENT,
        }
        return known.get(fault, Outcome.UNKNOWN)

    def _settle_answers(self) -> None:
        to_state = judge(self.intent.answers)
        if to_state is not self.intent.state:
            self._to(to_state)

    def _look(self, *, is_ladder: bool, reads_fail: bool) -> None:
        if not reads_fail and self.is_visible():
            self._to(S.ACKED)
            return
        if self.now > absence_provable_at(self.intent, self.identity, LIMITS):
            looks = self.intent.looks
            absent_at = looks.last_absent_at if reads_fail else self.now
            self.intent = self.intent._replace(looks=Looks(looks.count + 1, looks.first_at or self.now, absent_at))
        if is_ladder:
            clean = 0 if reads_fail else self.intent.clean_ladders + 1
            self.intent = self.intent._replace(clean_ladders=clean, last_ladder_at=self.now)
            self.now += timedelta(seconds=1)
        else:
            self.now += timedelta(seconds=1)
        self.settle()

    def _move(self, action: Action) -> None:
        if action is Action.RETRY:
            is_same = self.identity.id_scope is IdScope.PERMANENT
            self._to(S.READY, reuses_attempt=is_same, answers=self.intent.answers if is_same else ())
        elif action is Action.CONFIRM_ABSENT:
            refused = Outcome.DEFINITE_NO in self.intent.answers
            self._to(S.REFUSED if refused else S.NOT_PLACED)
        elif action is Action.APPLY_ANSWER:
            self._settle_answers()
        else:
            states = {
                Action.EXPIRE: S.EXPIRED,
                Action.WITHDRAW: S.WITHDRAWN,
                Action.TAKE_OVER: S.UNKNOWN,
                Action.GIVE_TO_PERSON: S.NEEDS_HUMAN,
                Action.CANCEL: S.CANCELLED,
                Action.TRACK: S.FILLED,
            }
            if action in states:
                reason = OrderReason.PROOF_IMPOSSIBLE if action is Action.GIVE_TO_PERSON else ""
                self._to(states[action], reason=reason)

    def _to(self, state: IntentState, **changes: object) -> None:
        assert (self.intent.state, state) in MOVES, f"{self.intent.state} to {state}"
        if state is S.UNKNOWN and self.unknown_since is None:
            self.unknown_since = self.now
        if state in (S.READY, S.NOT_PLACED, S.ACKED):
            self.unknown_since = None
        base: dict[str, object] = {"state": state, "state_since": self.now, "lease_until": None, "next_check_at": None}
        self.intent = self.intent._replace(**{**base, **changes})

    # -- truth --------------------------------------------------------------------------------------------------
    @invariant()
    def at_most_one_order(self) -> None:
        assert len(getattr(self, "orders", ())) <= 1

    @invariant()
    def no_order_is_called_dead(self) -> None:
        if not hasattr(self, "intent"):
            return
        if self.intent.state in (S.EXPIRED, S.WITHDRAWN, S.REFUSED, S.DENIED, S.NOT_PLACED, S.READY):
            assert not self.orders
            acceptable = [item for item in self.under_way if not self.identity.deadline_s_max or item[0] <= item[1]]
            assert not acceptable

    @invariant()
    def what_is_called_placed_is_placed(self) -> None:
        if hasattr(self, "intent") and self.intent.state in (S.ACKED, S.FILLED, S.CANCELLED):
            assert len(self.orders) == 1


def test_every_role_of_the_table_moves_something() -> None:
    assert {who for allowed in MOVES.values() for who in allowed} == set(Who)
    assert resolution_bound_s(CLASSES["permanent"], LIMITS) <= 18


TestOneIntent = OneIntent.TestCase
TestOneIntent.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


# -- the machine sees broken rules ------------------------------------------------------------------------------
_judge, _next_step = judge, next_step


def _judging_unknown_as_refused(answers: Sequence[Outcome | None]) -> IntentState:
    return _judge([Outcome.DEFINITE_NO if answer is Outcome.UNKNOWN else answer for answer in answers])


def _with_identity(**changes: object) -> Callable[..., Step]:
    """Decide as if the venue were better than it is."""

    def decide(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
        return _next_step(intent, replace(identity, **changes), now, limits)  # type: ignore[arg-type]

    return decide


def _forgetting_unanswered(
    intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits
) -> Step:
    """After a crash the outcome is taken for refused."""
    step = _next_step(intent, identity, now, limits)
    return Step(Action.CONFIRM_ABSENT) if intent.state is S.UNKNOWN and intent.answers[-1:] == (None,) else step


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("judge", _judging_unknown_as_refused),
        ("next_step", _with_identity(id_scope=IdScope.PERMANENT)),
        ("next_step", _with_identity(deadline_s_max=5, lookup_by_client_id=True)),
        ("next_step", _forgetting_unanswered),
        ("LIMITS", ProtocolLimits(horizon_s=0.0)),
    ],
    ids=[
        "unknown is refused",
        "every id is permanent",
        "every venue has deadlines",
        "no answer is no",
        "short horizon",
    ],
)
def test_a_broken_rule_is_seen(monkeypatch: pytest.MonkeyPatch, name: str, broken: object) -> None:
    monkeypatch.setattr(sys.modules[__name__], name, broken)
    with pytest.raises(AssertionError):
        drive_at_random(HISTORIES)


def test_the_rules_hold_where_broken_ones_show() -> None:
    drive_at_random(HISTORIES // 4)


def drive_at_random(histories: int) -> None:
    """The machine's steps as a seeded generator draws them: the same on every machine, whatever else is loaded."""
    for seed in range(histories):
        chance = random.Random(seed)
        machine = OneIntent()
        machine.begin(kind=chance.choice(KINDS))
        for _ in range(40):
            draw = chance.random()
            if draw < 0.2:
                machine.wait(seconds=chance.choice(WAITS_S))
            elif draw < 0.25:
                machine.cancel()
            elif draw < 0.35:
                machine.control(is_stopped=chance.random() < 0.3)
            elif machine.intent.state not in TERMINAL_STATES:
                machine.step(
                    fault=chance.choice(FAULTS),
                    late_s=chance.choice(LATE_S),
                    lag_s=chance.choice(LAG_S),
                    reads_fail=chance.random() < 0.3,
                )
            machine.at_most_one_order()
            machine.no_order_is_called_dead()
            machine.what_is_called_placed_is_placed()
