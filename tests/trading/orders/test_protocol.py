"""What answers prove and what comes next: the pure half of the protocol."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.capabilities import IdScope, OrderIdentity
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    ClockSkewed,
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    DuplicateClientOrderId,
    EnvironmentMismatch,
    HostRefused,
    InstrumentUnknown,
    InsufficientFunds,
    InvalidOrder,
    NotModified,
    NotSent,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    OutcomeUnknown,
    PermissionRefused,
    RateLimited,
    RedirectRefused,
    Refused,
    SecondSendRefused,
    Unsupported,
    VenueFaulted,
    VenueUnavailable,
)
from brokers.ids import ClientOrderId, VenueOrderId
from brokers.types import OrderAck
from brokers.wire import WirePhase, WireRecord
from ledger.states import TERMINAL_STATES, CancelState, IntentState
from tests.trading.orders.modelled import CLASSES, START
from trading.orders.moves import MOVES, NOT_PLACED_STATES, IllegalMove, Who, require_legal
from trading.orders.protocol import (
    Action,
    IntentSnapshot,
    Looks,
    Outcome,
    ProtocolLimits,
    Step,
    absence_is_provable,
    classify,
    judge,
    may_resend,
    needs_own_lane,
    next_step,
    resolution_bound_s,
    validity_s,
)
from trading.orders.reasons import OrderReason

S = IntentState
O = Outcome  # noqa: E741
LIMITS = ProtocolLimits()
ID = ClientOrderId("a" * 32)
PERMANENT = CLASSES["permanent"]
PERMANENT_ONLY = CLASSES["permanent, no deadline"]
DEADLINE = CLASSES["open only, deadline"]
NO_DEADLINE = CLASSES["open only, no deadline"]
NO_ID = CLASSES["no id"]


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


# -- answers ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (InsufficientFunds("no"), O.DEFINITE_NO),
        (OrderInvalid("no"), O.DEFINITE_NO),
        (AuthenticationRefused("no"), O.DEFINITE_NO),
        (PermissionRefused("no"), O.DEFINITE_NO),
        (InstrumentUnknown("no"), O.DEFINITE_NO),
        (Refused("no"), O.DEFINITE_NO),
        (RateLimited("later"), O.REFUSED_FOR_NOW),
        (ClockSkewed("later"), O.REFUSED_FOR_NOW),
        (VenueUnavailable("later"), O.REFUSED_FOR_NOW),
        (DuplicateClientOrderId("seen"), O.EXISTS),
        (ConnectFailed("no route"), O.NOT_SENT),
        (DeadlinePassed("late"), O.NOT_SENT),
        (NotSent("something"), O.NOT_SENT),
        (InvalidOrder("bad"), O.DENIED_LOCALLY),
        (Unsupported("no such thing"), O.DENIED_LOCALLY),
        (EnvironmentMismatch("other"), O.DENIED_LOCALLY),
        (HostRefused("pin"), O.DENIED_LOCALLY),
        (SecondSendRefused("again"), O.UNKNOWN),
        (OrderNotFound("an answer to a read"), O.UNKNOWN),
        (OrderAlreadyDone("an answer to a cancel"), O.UNKNOWN),
        (NotModified("an answer to a setter"), O.UNKNOWN),
        (OutcomeUnknown("?"), O.UNKNOWN),
        (AnswerTimedOut("?"), O.UNKNOWN),
        (ConnectionLost("?"), O.UNKNOWN),
        (VenueFaulted("502"), O.UNKNOWN),
        (RedirectRefused("307"), O.UNKNOWN),
        (AnswerUnreadable("<html>"), O.UNKNOWN),
        (ValueError("in the SDK"), O.UNKNOWN),
        (KeyError("orderId"), O.UNKNOWN),
        (TimeoutError(), O.UNKNOWN),
    ],
)
def test_an_error_proves_what_its_class_says_and_nothing_more(error: Exception, expected: Outcome) -> None:
    outcome = classify(error, WireRecord(), client_order_id=ID)
    assert outcome.kind is expected
    assert outcome.reason


@pytest.mark.parametrize("phase", [WirePhase.SENDING, WirePhase.ANSWERED])
def test_not_sent_is_not_believed_once_a_byte_may_have_left(phase: WirePhase) -> None:
    assert classify(ConnectFailed("?"), WireRecord(phase=phase), client_order_id=ID).kind is O.UNKNOWN
    assert classify(ConnectFailed("?"), WireRecord(sends=1), client_order_id=ID).kind is O.UNKNOWN


def test_an_acknowledgement_counts_for_its_own_id_only() -> None:
    ack = OrderAck(ID, VenueOrderId("v1"), START, is_final=False)
    outcome = classify(ack, WireRecord(), client_order_id=ID)
    assert (outcome.kind, outcome.venue_order_id) == (O.DEFINITE_YES, "v1")
    other = classify(ack, WireRecord(), client_order_id=ClientOrderId("b" * 32))
    assert other.kind is O.UNKNOWN


def test_the_venues_words_and_waiting_time_are_kept() -> None:
    outcome = classify(
        RateLimited("slow", code="10006", text="Too many visits!", retry_after_s=1.5), WireRecord(), client_order_id=ID
    )
    assert (outcome.reason, outcome.code, outcome.text) == ("VENUE_RATE_LIMITED", "10006", "Too many visits!")
    assert outcome.retry_after_s == 1.5


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ((), S.READY),
        ((None,), S.UNKNOWN),
        ((O.UNKNOWN,), S.UNKNOWN),
        ((O.DEFINITE_YES,), S.ACKED),
        ((O.EXISTS,), S.ACKED),
        ((O.DEFINITE_NO,), S.REFUSED),
        ((O.REFUSED_FOR_NOW,), S.NOT_PLACED),
        ((O.NOT_SENT,), S.READY),
        ((O.DENIED_LOCALLY,), S.DENIED),
        ((O.NOT_SENT, O.DEFINITE_NO), S.REFUSED),
        ((O.UNKNOWN, O.DEFINITE_NO), S.UNKNOWN),  # the refusal says nothing about the first send
        ((None, O.DEFINITE_NO), S.UNKNOWN),
        ((O.UNKNOWN, O.NOT_SENT), S.UNKNOWN),
        ((O.UNKNOWN, O.REFUSED_FOR_NOW), S.UNKNOWN),
        ((O.UNKNOWN, O.EXISTS), S.ACKED),
        ((O.DEFINITE_YES, O.UNKNOWN), S.ACKED),
    ],
)
def test_all_answers_to_an_attempt_are_judged_together(
    answers: tuple[Outcome | None, ...], expected: IntentState
) -> None:
    assert judge(answers) is expected


@given(st.lists(st.sampled_from([None, *Outcome]), min_size=1, max_size=6))
def test_one_unanswered_send_keeps_an_attempt_unknown_unless_it_is_seen(answers: list[Outcome | None]) -> None:
    state = judge(answers)
    if any(answer is not None and answer.proves_existence for answer in answers):
        assert state is S.ACKED
    elif any(answer in (None, O.UNKNOWN) for answer in answers):
        assert state is S.UNKNOWN
    else:
        assert state in (S.REFUSED, S.NOT_PLACED, S.READY, S.DENIED)


# -- next steps -------------------------------------------------------------------------------------------------
def intent(state: IntentState, **changes: object) -> IntentSnapshot:
    base = IntentSnapshot(state=state, state_since=START, expires_at=at(60))
    return base._replace(**changes)


def unknown(**changes: object) -> IntentSnapshot:
    return intent(S.UNKNOWN, **{"answers": (O.UNKNOWN,), "not_after": at(5), "attempt_count": 1, **changes})


@pytest.mark.parametrize("state", sorted(TERMINAL_STATES))
def test_a_terminal_intent_is_done(state: IntentState) -> None:
    assert next_step(intent(state), PERMANENT, at(1)).action is Action.DONE


@pytest.mark.parametrize("state", [s for s in IntentState if s not in TERMINAL_STATES])
def test_a_lease_makes_everyone_wait(state: IntentState) -> None:
    step = next_step(intent(state, lease_until=at(15)), PERMANENT, at(1))
    assert step == Step(Action.WAIT, at=at(15))


@pytest.mark.parametrize(
    ("snapshot", "now", "action"),
    [
        (intent(S.RECEIVED), 0, Action.ASSESS),
        (intent(S.RECEIVED, cancel_state=CancelState.READY), 0, Action.WITHDRAW),
        (intent(S.READY), 0, Action.SEND),
        (intent(S.READY), 60, Action.EXPIRE),
        (intent(S.READY, cancel_state=CancelState.READY), 0, Action.WITHDRAW),
        (intent(S.READY, next_check_at=at(5)), 0, Action.WAIT),
        (intent(S.READY, next_check_at=at(5)), 5, Action.SEND),
        (intent(S.READY, attempt_count=3), 0, Action.EXPIRE),
        (intent(S.READY, attempt_count=3, reuses_attempt=True, answers=(O.NOT_SENT,)), 0, Action.SEND),
        (intent(S.READY, attempt_count=1, reuses_attempt=True, answers=(O.NOT_SENT,) * 8), 0, Action.EXPIRE),
        (intent(S.CLAIMED, lease_until=at(15)), 16, Action.RELEASE),
        (intent(S.SENDING, answers=(None,), lease_until=at(15)), 16, Action.TAKE_OVER),
        (intent(S.SENDING, answers=(O.DEFINITE_YES,), lease_until=at(15)), 16, Action.APPLY_ANSWER),
        (intent(S.NOT_PLACED, attempt_count=1), 0, Action.RETRY),
        (intent(S.NOT_PLACED, attempt_count=1, next_check_at=at(2)), 0, Action.WAIT),
        (intent(S.NOT_PLACED, attempt_count=1), 60, Action.EXPIRE),
        (intent(S.NOT_PLACED, attempt_count=1, cancel_state=CancelState.READY), 0, Action.EXPIRE),
        (intent(S.NOT_PLACED, answers=(O.REFUSED_FOR_NOW,) * 8), 0, Action.EXPIRE),
        (intent(S.ACKED), 0, Action.TRACK),
        (intent(S.WORKING, next_check_at=at(1)), 0, Action.WAIT),
        (intent(S.WORKING, cancel_state=CancelState.READY), 0, Action.CANCEL),
        (intent(S.WORKING, cancel_state=CancelState.UNKNOWN), 0, Action.CANCEL),
        (intent(S.WORKING, cancel_state=CancelState.DONE), 0, Action.TRACK),
        (intent(S.NEEDS_HUMAN, reason=OrderReason.PROOF_IMPOSSIBLE, answers=(None,)), 60, Action.WATCH),
        (
            intent(S.NEEDS_HUMAN, reason=OrderReason.PROOF_IMPOSSIBLE, answers=(None,), next_check_at=at(61)),
            60,
            Action.WAIT,
        ),
        (
            intent(S.NEEDS_HUMAN, reason=OrderReason.PROOF_IMPOSSIBLE, answers=(O.DEFINITE_YES,)),
            60,
            Action.APPLY_ANSWER,
        ),
        (intent(S.NEEDS_HUMAN, reason=OrderReason.PROOF_IMPOSSIBLE, answers=(None,)), 90_000, Action.DONE),
        (intent(S.NEEDS_HUMAN, reason=OrderReason.PROOF_IMPOSSIBLE), 1, Action.DONE),
        (intent(S.NEEDS_HUMAN, reason=OrderReason.OVERFILLED, answers=(O.DEFINITE_YES,)), 60, Action.DONE),
        (intent(S.NEEDS_HUMAN, reason=OrderReason.ACKED_NOT_VISIBLE, answers=(None,)), 60, Action.DONE),
    ],
)
def test_the_next_step_of_a_permanent_id_venue(snapshot: IntentSnapshot, now: float, action: Action) -> None:
    assert next_step(snapshot, PERMANENT, at(now)).action is action


def test_attempts_are_counted_where_each_needs_a_new_id() -> None:
    exhausted = intent(S.NOT_PLACED, attempt_count=3)
    assert next_step(exhausted, DEADLINE, at(1)) == Step(Action.EXPIRE, OrderReason.ATTEMPTS_OVER)
    assert next_step(exhausted, PERMANENT, at(1)).action is Action.RETRY


def test_a_permanent_id_is_looked_for_and_then_sent_again() -> None:
    assert next_step(unknown(), PERMANENT, at(1)).action is Action.QUERY
    assert next_step(unknown(), PERMANENT, at(6.9)).action is Action.QUERY
    assert next_step(unknown(), PERMANENT, at(7)).action is Action.RESEND
    assert next_step(unknown(next_check_at=at(9)), PERMANENT, at(7)) == Step(Action.WAIT, at=at(9))


@pytest.mark.parametrize(
    "changes",
    [
        {"may_send": False},
        {"cancel_state": CancelState.READY},
        {"expires_at": at(7)},
        {"answers": (O.UNKNOWN,) * 8},
        {"answers": (O.UNKNOWN, O.DEFINITE_NO)},
        {"answers": (O.UNKNOWN, O.DENIED_LOCALLY)},
    ],
)
def test_a_permanent_id_is_not_sent_again_when_it_may_not_or_cannot_help(changes: dict[str, object]) -> None:
    step = next_step(unknown(**changes), PERMANENT, at(8))
    assert step.action is Action.QUERY
    assert next_step(unknown(**changes), PERMANENT, at(68)).action is Action.LADDER
    looked = unknown(**changes, looks=Looks(1, at(67.5), at(67.5)))
    assert next_step(looked, PERMANENT_ONLY, at(68)).action is Action.GIVE_TO_PERSON


def test_absence_needs_the_deadline_the_skew_the_horizon_and_two_ladders_apart() -> None:
    proof_at = 5 + 2 + 60
    assert next_step(unknown(), DEADLINE, at(proof_at)).action is Action.QUERY
    assert next_step(unknown(), DEADLINE, at(proof_at + 0.1)).action is Action.LADDER
    one = unknown(clean_ladders=1, last_ladder_at=at(proof_at + 1))
    assert next_step(one, DEADLINE, at(proof_at + 5.9)) == Step(Action.WAIT, at=at(proof_at + 6))
    assert next_step(one, DEADLINE, at(proof_at + 6)).action is Action.LADDER
    two = unknown(clean_ladders=2, last_ladder_at=at(proof_at + 6))
    assert next_step(two, DEADLINE, at(proof_at + 6)) == Step(Action.CONFIRM_ABSENT, OrderReason.ABSENCE_PROVED)


def test_ladders_from_before_the_proof_time_or_long_ago_do_not_count() -> None:
    early = unknown(clean_ladders=2, last_ladder_at=at(66))
    assert next_step(early, DEADLINE, at(68)).action is Action.LADDER
    old = unknown(clean_ladders=2, last_ladder_at=at(70))
    assert next_step(old, DEADLINE, at(131)).action is Action.LADDER


def test_without_a_deadline_absence_is_never_called() -> None:
    many = unknown(clean_ladders=9, last_ladder_at=at(300), looks=Looks(1, at(300), at(300)))
    for identity in (NO_DEADLINE, NO_ID):
        assert next_step(many, identity, at(66)).action is Action.QUERY
        assert next_step(unknown(), identity, at(301)).action is Action.QUERY
        failing = unknown(looks=Looks(5, at(300)))
        assert next_step(failing, identity, at(900)).action is Action.QUERY
        assert next_step(failing, identity, at(901)) == Step(Action.GIVE_TO_PERSON, OrderReason.LOOKUPS_FAILING)
        assert next_step(many, identity, at(301)) == Step(Action.GIVE_TO_PERSON, OrderReason.PROOF_IMPOSSIBLE)


def test_look_ups_that_keep_failing_are_given_to_a_person() -> None:
    tried = unknown(looks=Looks(5, at(68)))
    assert next_step(tried, DEADLINE, at(68 + 601)) == Step(Action.GIVE_TO_PERSON, OrderReason.LOOKUPS_FAILING)


@pytest.mark.parametrize("looks", [Looks(), Looks(4, at(68)), Looks(50, at(668))])
def test_time_in_which_nobody_looked_gives_nothing_to_a_person(looks: Looks) -> None:
    assert next_step(unknown(looks=looks), DEADLINE, at(67 + 1_000)).action is Action.LADDER


def test_an_answer_that_arrives_late_decides_at_once() -> None:
    late = unknown(answers=(O.DEFINITE_YES,), next_check_at=at(50))
    assert next_step(late, DEADLINE, at(1)).action is Action.APPLY_ANSWER


def test_queries_come_in_time_for_the_next_kind_of_step() -> None:
    assert next_step(unknown(), PERMANENT, at(6.8)).at == at(7)
    before_proof = next_step(unknown(), DEADLINE, at(66))
    assert before_proof.at == at(67) + timedelta(milliseconds=1)
    assert next_step(unknown(), DEADLINE, at(1)).at == at(2)
    assert next_step(unknown(), DEADLINE, at(40)).at == at(48)


def test_what_a_venue_enforces_cuts_our_validity() -> None:
    assert validity_s(DEADLINE, LIMITS) == 5
    assert validity_s(replace(DEADLINE, deadline_s_max=2), LIMITS) == 2
    assert validity_s(NO_DEADLINE, LIMITS) == 5


def test_the_bounds_of_each_class() -> None:
    assert resolution_bound_s(PERMANENT, LIMITS) == 18
    assert resolution_bound_s(DEADLINE, LIMITS) == 77
    assert not absence_is_provable(NO_DEADLINE)
    assert [needs_own_lane(i) for i in (PERMANENT, PERMANENT_ONLY, DEADLINE, NO_DEADLINE, NO_ID)] == [
        False,
        False,
        False,
        True,
        True,
    ]


def test_limits_that_break_the_protocol_are_refused() -> None:
    with pytest.raises(ValueError, match="ladders_min must be at least 2"):
        ProtocolLimits(ladders_min=1)
    with pytest.raises(ValueError, match="lease_s must be above"):
        ProtocolLimits(lease_s=11)


# -- invariants over all inputs ---------------------------------------------------------------------------------
identities = st.builds(
    OrderIdentity,
    id_scope=st.sampled_from(IdScope),
    deadline_s_max=st.sampled_from([0, 5, 60]),
    visibility_horizon_s=st.integers(0, 120),
    lookup_by_client_id=st.booleans(),
    fills_carry_client_id=st.booleans(),
    acknowledges_asynchronously=st.booleans(),
    client_id_length_max=st.just(36),
    client_id_alphabet=st.just("[A-Za-z0-9_-]"),
    lookup_window_unfilled_s=st.just(86_400),
    lookup_window_filled_s=st.just(86_400),
    proof=st.just("test"),
)
times = st.floats(0, 1_000).map(at)
snapshots = st.builds(
    IntentSnapshot,
    state=st.sampled_from(IntentState),
    state_since=times,
    expires_at=times,
    lease_until=st.none() | times,
    attempt_count=st.integers(0, 4),
    answers=st.lists(st.sampled_from([None, *Outcome]), max_size=9).map(tuple),
    not_after=st.none() | times,
    clean_ladders=st.integers(0, 3),
    last_ladder_at=st.none() | times,
    next_check_at=st.none() | times,
    cancel_state=st.sampled_from(CancelState),
    may_send=st.booleans(),
    reuses_attempt=st.booleans(),
)


@given(snapshots, identities, times)
def test_no_input_leads_to_a_forbidden_step(snapshot: IntentSnapshot, identity: OrderIdentity, now: datetime) -> None:
    step = next_step(snapshot, identity, now)
    if step.action is Action.RESEND:
        assert identity.id_scope is IdScope.PERMANENT
        assert snapshot.state is S.UNKNOWN
        assert snapshot.may_send
        assert now < snapshot.expires_at
        assert judge(snapshot.answers) is S.UNKNOWN
        assert may_resend(snapshot, identity, now, LIMITS)
    if step.action is Action.CONFIRM_ABSENT:
        assert identity.deadline_s_max > 0
        assert identity.lookup_by_client_id
        assert judge(snapshot.answers) is S.UNKNOWN
        assert snapshot.clean_ladders >= 2
        assert snapshot.last_ladder_at is not None
        start = snapshot.not_after or snapshot.state_since
        assert snapshot.last_ladder_at > start + timedelta(seconds=2 + identity.visibility_horizon_s)
    if step.action is Action.SEND:
        assert snapshot.state is S.READY
        assert now < snapshot.expires_at
        assert snapshot.cancel_state is CancelState.NONE
    if step.action is Action.WAIT:
        assert step.at is not None
        assert step.at > now
    if step.action in (Action.EXPIRE, Action.WITHDRAW):
        assert snapshot.state in (S.READY, S.NOT_PLACED, S.RECEIVED)
    assert next_step(snapshot, identity, now) == step


# -- moves ------------------------------------------------------------------------------------------------------
def test_the_table_knows_every_state_and_leads_out_of_no_end_but_by_adoption() -> None:
    assert {state for pair in MOVES for state in pair} == set(IntentState)
    for from_state, to_state in MOVES:
        if from_state in TERMINAL_STATES:
            assert to_state is S.ADOPTED_LATE
            assert from_state in NOT_PLACED_STATES


def test_only_proof_leads_from_a_send_back_to_ready() -> None:
    after_send = (S.UNKNOWN, S.SENDING, S.ACKED, S.WORKING, S.PARTIALLY_FILLED, S.NEEDS_HUMAN, S.ADOPTED_LATE)
    for state in after_send:
        allowed = MOVES.get((state, S.READY), frozenset())
        assert allowed <= {Who.WORKER, Who.RESOLVER}
        assert Who.SWEEPER not in allowed
        assert Who.PERSON not in allowed
    assert (S.NEEDS_HUMAN, S.READY) not in MOVES
    assert (S.NEEDS_HUMAN, S.NOT_PLACED) not in MOVES


def test_an_illegal_move_is_named() -> None:
    with pytest.raises(IllegalMove, match="no move leads from filled to ready"):
        require_legal(S.FILLED, S.READY, Who.WORKER)
    with pytest.raises(IllegalMove, match="may be moved by"):
        require_legal(S.UNKNOWN, S.NOT_PLACED, Who.WORKER)


# -- purity and the single send point ---------------------------------------------------------------------------
def test_the_pure_half_loads_no_database_and_reads_no_clock() -> None:
    code = (
        "import sys; import trading.orders.protocol, trading.orders.moves, trading.orders.progress, "
        "trading.orders.identity; "
        "sys.exit(' '.join(m for m in ('sqlalchemy', 'sqlmodel', 'requests') if m in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


ROOT = Path(__file__).parents[3]


def _calls_of(name: str) -> list[str]:
    rooms = ("brokers", "ledger", "trading", "tasks", "flows", "deployments", "cli", "webhooks")
    found = []
    for path in sorted(p for room in rooms for p in (ROOT / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                found.append(f"{path.relative_to(ROOT)}:{ast.unparse(node.func)}")
    return found


def test_one_place_sends_orders() -> None:
    assert _calls_of("place") == ["trading/orders/sending.py:ctx.broker.place"]


def test_tickets_are_made_in_one_place() -> None:
    made = []
    for path in sorted((ROOT / "trading").rglob("*.py")) + sorted((ROOT / "tasks").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("SendTicket"):
                made.append(str(path.relative_to(ROOT)))
    assert made == ["trading/orders/sending.py"]
