"""The protocol of one intent, as pure functions: what an answer proves, what comes next, who may move what.

Nothing here reads a clock, a database or a socket; the desk and the simulated histories run the same functions.

Invariants
- What is not proved is UNKNOWN. An unknown outcome ends by an order that is seen, by an id that the venue keeps for
  ever, or by proof of absence: (P1) now is later than the venue's deadline + clock skew + visibility horizon,
  (P2) at least `ladders_min` complete look-ups without a trace, at least `ladder_gap_s` apart, every read successful,
  (P3) the position explained by known fills, (P4) no gap in a stream (no stream is read: always true here).
- A refusal answers its own send only. After an unanswered send of the same id it does not prove that nothing exists.
- `next_step` never says RESEND unless the venue keeps ids for ever, and never says CONFIRM_ABSENT without a deadline
  that the venue enforces.
- No path leads from a state after SENDING back to READY but by proof that nothing was placed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from brokers.capabilities import IdScope, OrderIdentity
from brokers.closed_sets import plain_members
from brokers.errors import (
    ConnectFailed,
    DeadlinePassed,
    DuplicateClientOrderId,
    NotModified,
    NotSent,
    OrderAlreadyDone,
    OrderNotFound,
    Refused,
    SecondSendRefused,
)
from brokers.ids import ClientOrderId
from brokers.types import OrderAck
from brokers.wire import WirePhase, WireRecord
from ledger.states import TERMINAL_STATES, CancelState, IntentState
from trading.orders.reasons import OrderReason

S = IntentState
_TICK = timedelta(milliseconds=1)


# -- what an answer proves --------------------------------------------------------------------------------------
@plain_members
class Outcome(StrEnum):
    """The certainty of one send; stored with its observation."""

    DEFINITE_YES = "definite_yes"  # received by the venue
    EXISTS = "exists"  # refused as a duplicate of our own id: an order exists
    DEFINITE_NO = "definite_no"  # refused for good
    REFUSED_FOR_NOW = "refused_for_now"  # refused before execution; time heals it (rate, clock, maintenance)
    NOT_SENT = "not_sent"  # no byte left; may be tried again
    DENIED_LOCALLY = "denied_locally"  # no byte left; trying again cannot help
    UNKNOWN = "unknown"

    @property
    def proves_existence(self) -> bool:
        return self is Outcome.DEFINITE_YES or self is Outcome.EXISTS


class SendOutcome(NamedTuple):
    """A classified answer: certainty, our stable reason, the venue's own words."""

    kind: Outcome
    reason: str
    code: str = ""
    text: str = ""
    venue_order_id: str = ""
    retry_after_s: float | None = None


_ANSWER_MISSING = OrderReason.ANSWER_MISSING.value
_READ_ANSWERS = (OrderNotFound, OrderAlreadyDone, NotModified)  # no documented answer to a placement


def classify(answer: OrderAck | Exception, record: WireRecord, *, client_order_id: ClientOrderId) -> SendOutcome:
    """What one send proved. The default is UNKNOWN; only what is listed here narrows it."""
    if isinstance(answer, OrderAck):
        if answer.client_order_id != client_order_id:
            text = f"answered for {answer.client_order_id}, asked for {client_order_id}"
            return SendOutcome(Outcome.UNKNOWN, OrderReason.ANSWER_MISSING, text=text)
        return SendOutcome(Outcome.DEFINITE_YES, OrderReason.ACCEPTED, venue_order_id=str(answer.venue_order_id))
    kind = _kind_of_error(answer, record)
    reason = getattr(answer, "reason", _ANSWER_MISSING)
    if kind is Outcome.EXISTS:
        reason = OrderReason.EXISTS_AT_VENUE.value
    return SendOutcome(
        kind,
        str(reason),
        code=str(getattr(answer, "code", "")),
        text=str(getattr(answer, "text", "")) or str(answer) or type(answer).__name__,
        retry_after_s=getattr(answer, "retry_after_s", None),
    )


def _kind_of_error(error: Exception, record: WireRecord) -> Outcome:
    bytes_left = record.sends > 0 or record.phase in (WirePhase.SENDING, WirePhase.ANSWERED)
    if isinstance(error, NotSent):
        if bytes_left or isinstance(error, SecondSendRefused):
            return Outcome.UNKNOWN  # the record contradicts the exception: take the worse
        return Outcome.NOT_SENT if _may_heal(error) else Outcome.DENIED_LOCALLY
    if isinstance(error, DuplicateClientOrderId):
        return Outcome.EXISTS
    if isinstance(error, Refused) and not isinstance(error, _READ_ANSWERS):
        return Outcome.REFUSED_FOR_NOW if error.retryable else Outcome.DEFINITE_NO
    return Outcome.UNKNOWN


def _may_heal(error: NotSent) -> bool:
    return error.retryable or isinstance(error, (ConnectFailed, DeadlinePassed)) or type(error) is NotSent


def judge(answers: Sequence[Outcome | None]) -> IntentState:
    """The state that all answers to the sends of one attempt prove together; None is a send without an answer."""
    if not answers:
        return S.READY
    is_unknown = False
    for answer in answers:
        if answer is None or answer is Outcome.UNKNOWN:
            is_unknown = True
        elif answer is Outcome.DEFINITE_YES or answer is Outcome.EXISTS:
            return S.ACKED
    if is_unknown:
        return S.UNKNOWN
    last = answers[-1]
    assert last is not None
    return _STATE_AFTER[last]


_STATE_AFTER = {
    Outcome.DEFINITE_NO: S.REFUSED,
    Outcome.REFUSED_FOR_NOW: S.NOT_PLACED,
    Outcome.NOT_SENT: S.READY,
    Outcome.DENIED_LOCALLY: S.DENIED,
}


@lru_cache(maxsize=1_024)
def _span(seconds: float) -> timedelta:
    """One limit as a time span: made once, there are few."""
    return timedelta(seconds=seconds)


# -- bounds -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ProtocolLimits:
    """Every bound of the protocol; the defaults are what production runs with."""

    lease_s: float = 15.0
    validity_s: float = 5.0  # W: longest time that the venue may still accept a request of ours
    send_by_s: float = 1.0  # from the commit to the first byte
    answer_timeout_s: float = 10.0
    skew_s: float = 2.0
    ladder_gap_s: float = 5.0
    ladders_min: int = 2
    ladder_age_s_max: float = 60.0  # an older clean look-up no longer counts
    horizon_s: float | None = None  # None: the venue's own; tests of other rules shorten it
    resolve_s_max: float = 600.0  # after the horizon: how long failing look-ups may go on before a person is asked
    looks_min: int = 5  # and how many there must have been: time in which nobody looked does not count
    watch_s_max: float = 86_400.0  # how long NEEDS_HUMAN is still looked for
    watch_every_s: float = 60.0
    sends_max: int = 8  # per attempt
    query_every_s: float = 1.0
    query_every_s_max: float = 8.0
    clock_age_s_max: float = 60.0
    instrument_age_s_max: float = 600.0  # filters and contract sizes; an adapter keeps what it read for an hour at most
    clock_offset_s_max: float = 1.0
    clock_error_s_max: float = 0.5
    wait_s: float = 2.0  # before READY is tried again after a passing obstacle
    track_s_min: float = 0.2
    track_s_max: float = 5.0
    cancel_again_s: float = 2.0
    fills_s_max: float = 120.0  # how long a done order may wait for its last fills

    def __post_init__(self) -> None:
        if self.ladders_min < 2:
            raise ValueError(f"ladders_min must be at least 2, was {self.ladders_min}")
        if self.lease_s <= self.send_by_s + self.answer_timeout_s:
            raise ValueError(
                f"lease_s must be above send_by_s + answer_timeout_s, was {self.lease_s} against "
                f"{self.send_by_s} + {self.answer_timeout_s}"
            )

    def horizon(self, identity: OrderIdentity) -> float:
        return float(identity.visibility_horizon_s) if self.horizon_s is None else self.horizon_s


def validity_s(identity: OrderIdentity, limits: ProtocolLimits) -> float:
    """How long a request may be accepted: our W, cut to what the venue enforces."""
    enforced = float(identity.deadline_s_max)
    return min(limits.validity_s, enforced) if enforced > 0 else limits.validity_s


# A person was asked whether the order exists; any other question is not answered by a trace of it.
ASKED_FOR_UNKNOWN = frozenset(
    {OrderReason.PROOF_IMPOSSIBLE, OrderReason.LOOKUPS_FAILING, OrderReason.FINGERPRINT_AMBIGUOUS}
)


# -- what comes next --------------------------------------------------------------------------------------------
@plain_members
class Action(StrEnum):
    """One step of `advance`."""

    ASSESS = "assess"  # check the risk, reserve
    SEND = "send"  # claim, prepare, commit, send
    WITHDRAW = "withdraw"
    EXPIRE = "expire"
    RELEASE = "release"  # a claim whose lease is over: nothing was sent
    TAKE_OVER = "take_over"  # a send whose lease is over: its outcome is unknown
    APPLY_ANSWER = "apply_answer"  # observations already prove the outcome
    QUERY = "query"  # look for a trace; proves presence only
    RESEND = "resend"  # the same id and payload, where the venue keeps ids for ever
    LADDER = "ladder"  # one complete look-up that counts towards absence
    CONFIRM_ABSENT = "confirm_absent"
    RETRY = "retry"  # proved not placed: READY again
    TRACK = "track"
    CANCEL = "cancel"
    GIVE_TO_PERSON = "give_to_person"
    WATCH = "watch"  # a person decides, but a trace may still be found
    WAIT = "wait"
    DONE = "done"


class Step(NamedTuple):
    """What to do now; `at` is when to look again (WAIT, and QUERY that shows nothing)."""

    action: Action
    reason: OrderReason | None = None
    at: datetime | None = None


_APPLY_ANSWER = Step(Action.APPLY_ANSWER)
_CONFIRM_ABSENT = Step(Action.CONFIRM_ABSENT, OrderReason.ABSENCE_PROVED)
_DONE = Step(Action.DONE)
_LADDER = Step(Action.LADDER)
_RELEASE = Step(Action.RELEASE, OrderReason.LEASE_OVER)
_RESEND = Step(Action.RESEND)
_RETRY = Step(Action.RETRY, OrderReason.NEW_ATTEMPT)
_SEND = Step(Action.SEND)
_TAKE_OVER = Step(Action.TAKE_OVER, OrderReason.LEASE_OVER)
_TRACK = Step(Action.TRACK)


@dataclass(frozen=True, slots=True)
class Looks:
    """How long and how often it was looked for an order: what failing look-ups are judged by."""

    count: int = 0
    first_at: datetime | None = None
    last_absent_at: datetime | None = None  # the last one that was read and showed nothing

    def are_enough(self, now: datetime, *, since: datetime, for_s: float, limits: ProtocolLimits) -> bool:
        """Whether it was really tried: often enough, and for `for_s` after `since` and after the first of them."""
        if self.count < limits.looks_min or self.first_at is None:
            return False
        return now > max(since, self.first_at) + _span(for_s)


class IntentSnapshot(NamedTuple):
    """Everything that the next step depends on; a named tuple, because one is made for every look at an intent.

    `answers` holds one entry per send of the current attempt. `not_after` is the latest deadline of those sends.
    `may_send` is False while a control state forbids new orders. `reason` says why the intent stands in its state.
    `looks` are the look-ups after `proof_at`. `venue_now` is what complete look-ups are dated by; None: as `now`.
    """

    state: IntentState
    state_since: datetime
    expires_at: datetime
    lease_until: datetime | None = None
    attempt_count: int = 0
    attempts_max: int = 3
    answers: tuple[Outcome | None, ...] = ()
    not_after: datetime | None = None
    clean_ladders: int = 0
    last_ladder_at: datetime | None = None
    next_check_at: datetime | None = None
    cancel_state: CancelState = CancelState.NONE
    may_send: bool = True
    reuses_attempt: bool = False  # READY with an attempt of which nothing left
    reason: str = ""
    looks: Looks = Looks()
    venue_now: datetime | None = None


def next_step(
    intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits = ProtocolLimits()
) -> Step:
    """Decide the one next step; the same inputs always give the same step."""
    decide = _DECIDERS.get(intent.state)
    if decide is None:  # it is over
        return _DONE
    lease_until = intent.lease_until
    if lease_until is not None and lease_until > now:
        return Step(Action.WAIT, at=lease_until)
    return decide(intent, identity, now, limits)


def _received(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if _cancel_wanted(intent):
        return Step(Action.WITHDRAW, OrderReason.WITHDRAWN_UNSENT)
    return Step(Action.ASSESS)


def _ready(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if _cancel_wanted(intent):
        return Step(Action.WITHDRAW, OrderReason.WITHDRAWN_UNSENT)
    if now >= intent.expires_at:
        return Step(Action.EXPIRE, OrderReason.TTL_OVER)
    if len(intent.answers) >= limits.sends_max or (
        intent.attempt_count >= intent.attempts_max and not intent.reuses_attempt
    ):
        return Step(Action.EXPIRE, OrderReason.ATTEMPTS_OVER)
    if _is_later(intent.next_check_at, now):
        return Step(Action.WAIT, at=min(intent.next_check_at or now, intent.expires_at))
    return _SEND


def _claimed(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    return _RELEASE


def _sending(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if judge(intent.answers) is not S.UNKNOWN:
        return _APPLY_ANSWER
    return _TAKE_OVER


def _unknown(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if judge(intent.answers) is not S.UNKNOWN:
        return _APPLY_ANSWER
    next_check_at = intent.next_check_at
    if next_check_at is not None and next_check_at > now:
        return Step(Action.WAIT, None, next_check_at)
    if may_resend(intent, identity, now, limits):
        settled_at = _settled_at(intent, limits)
        if now >= settled_at:
            return _RESEND
        return Step(Action.QUERY, None, _query_again_at(intent, now, settled_at, limits))
    proof_at = absence_provable_at(intent, identity, limits)
    if now <= proof_at:
        return Step(Action.QUERY, None, _query_again_at(intent, now, proof_at + _TICK, limits))
    is_tried = intent.looks.are_enough(now, since=proof_at, for_s=limits.resolve_s_max, limits=limits)
    if not absence_is_provable(identity):
        if intent.looks.last_absent_at is not None and intent.looks.last_absent_at > proof_at:
            return Step(Action.GIVE_TO_PERSON, OrderReason.PROOF_IMPOSSIBLE)
        if is_tried:
            return Step(Action.GIVE_TO_PERSON, OrderReason.LOOKUPS_FAILING)
        return Step(Action.QUERY, at=now + _span(limits.query_every_s))
    ladders = _standing_ladders(intent, proof_at, now, limits)
    if ladders >= limits.ladders_min:
        return _CONFIRM_ABSENT
    if is_tried:
        return Step(Action.GIVE_TO_PERSON, OrderReason.LOOKUPS_FAILING)
    gap_over_at = intent.last_ladder_at + _span(limits.ladder_gap_s) if intent.last_ladder_at else now
    if ladders and gap_over_at > now:
        return Step(Action.WAIT, at=gap_over_at)
    return _LADDER


def _not_placed(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if _cancel_wanted(intent):
        return Step(Action.EXPIRE, OrderReason.WITHDRAWN_UNSENT)
    if now >= intent.expires_at:
        return Step(Action.EXPIRE, OrderReason.TTL_OVER)
    exhausted = (
        len(intent.answers) >= limits.sends_max
        if identity.id_scope is IdScope.PERMANENT
        else intent.attempt_count >= intent.attempts_max
    )
    if exhausted:
        return Step(Action.EXPIRE, OrderReason.ATTEMPTS_OVER)
    if _is_later(intent.next_check_at, now):
        return Step(Action.WAIT, at=min(intent.next_check_at or now, intent.expires_at))
    return _RETRY


def _live(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if _is_later(intent.next_check_at, now):
        return Step(Action.WAIT, at=intent.next_check_at)
    if _cancel_wanted(intent) and intent.cancel_state is not CancelState.DONE:
        return Step(Action.CANCEL)
    return _TRACK


def _needs_human(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
    if intent.reason not in ASKED_FOR_UNKNOWN:
        return _DONE  # it is known that the order exists: no trace answers what the person was asked
    if judge(intent.answers) is S.ACKED:  # while UNKNOWN it would have counted: it came after the person was asked
        return _APPLY_ANSWER
    if now > intent.state_since + _span(limits.watch_s_max) or not intent.answers:
        return _DONE
    if _is_later(intent.next_check_at, now):
        return Step(Action.WAIT, at=intent.next_check_at)
    return Step(Action.WATCH)


_DECIDERS = {
    S.RECEIVED: _received,
    S.READY: _ready,
    S.CLAIMED: _claimed,
    S.SENDING: _sending,
    S.UNKNOWN: _unknown,
    S.NOT_PLACED: _not_placed,
    S.ACKED: _live,
    S.WORKING: _live,
    S.PARTIALLY_FILLED: _live,
    S.ADOPTED_LATE: _live,
    S.NEEDS_HUMAN: _needs_human,
}
assert _DECIDERS.keys() == set(S) - TERMINAL_STATES, "each state that is not the end has its decision"


_REFUSED_FOR_GOOD = ((Outcome.DEFINITE_NO,), (Outcome.DENIED_LOCALLY,))


def may_resend(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> bool:
    """Whether sending the same id again is the way to resolve: permanent ids, and the order is still wanted."""
    return (
        identity.id_scope is IdScope.PERMANENT
        and intent.may_send
        and not _cancel_wanted(intent)
        and now < intent.expires_at
        and len(intent.answers) < limits.sends_max
        and intent.answers[-1:] not in _REFUSED_FOR_GOOD
    )


def absence_is_provable(identity: OrderIdentity) -> bool:
    """Only where the venue refuses late requests and can be asked by our id."""
    return identity.deadline_s_max > 0 and identity.lookup_by_client_id


def absence_provable_at(intent: IntentSnapshot, identity: OrderIdentity, limits: ProtocolLimits) -> datetime:
    """Later than this a look-up may count towards absence (proof rule P1); venue time."""
    return _settled_at(intent, limits) + _span(limits.horizon(identity))


def needs_own_lane(identity: OrderIdentity) -> bool:
    """Whether two unresolved orders in one instrument could not be told apart, or never resolved by a machine."""
    return not identity.lookup_by_client_id or (
        identity.id_scope is not IdScope.PERMANENT and identity.deadline_s_max == 0
    )


def resolution_bound_s(identity: OrderIdentity, limits: ProtocolLimits) -> float:
    """Longest time that an outcome stays unknown while reads succeed: then it is proved or given to a person."""
    head = validity_s(identity, limits) + limits.skew_s
    if identity.id_scope is IdScope.PERMANENT:
        return head + limits.send_by_s + limits.answer_timeout_s
    return head + limits.horizon(identity) + limits.ladders_min * limits.ladder_gap_s


def _standing_ladders(intent: IntentSnapshot, proof_at: datetime, now: datetime, limits: ProtocolLimits) -> int:
    last = intent.last_ladder_at
    if last is None or last <= proof_at:
        return 0
    # In the clock that dated it: a database whose clock is behind would see it in the future.
    age_s = ((intent.venue_now or now) - last).total_seconds()
    if not -limits.skew_s <= age_s <= limits.ladder_age_s_max:
        return 0
    return intent.clean_ladders


def _query_again_at(intent: IntentSnapshot, now: datetime, at_most: datetime, limits: ProtocolLimits) -> datetime:
    """Look often at first, then less, and in time for the next kind of step."""
    again_at = now + quarter_of(now - intent.state_since, limits.query_every_s, limits.query_every_s_max)
    return again_at if again_at < at_most else at_most


def quarter_of(span: timedelta, least_s: float, most_s: float) -> timedelta:
    """A quarter of the time that something took so far, within bounds: how long to wait before the next look."""
    if span <= _span(4 * least_s):
        return _span(least_s)
    return span / 4 if span < _span(4 * most_s) else _span(most_s)


def _settled_at(intent: IntentSnapshot, limits: ProtocolLimits) -> datetime:
    """From here on the venue accepts no copy of what was sent (where it enforces deadlines)."""
    return (intent.not_after or intent.state_since) + _span(limits.skew_s)


def _cancel_wanted(intent: IntentSnapshot) -> bool:
    return intent.cancel_state is not CancelState.NONE


def _is_later(at: datetime | None, now: datetime) -> bool:
    return at is not None and at > now
