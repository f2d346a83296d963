"""Switches that take away or weaken one rule of the protocol each, and nothing else. Production has no switches: each
is a patch of the production function, or of the one step of the modelled desk that keeps the rule.

A mutant that no history catches says that a rule earns nothing, or that the harness is blind: `UNSEEN` names those,
with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from unittest.mock import patch

from brokers.capabilities import IdScope, OrderIdentity
from brokers.errors import (
    AnswerTimedOut,
    ConnectFailed,
    ConnectionLost,
    DuplicateClientOrderId,
    RateLimited,
    RedirectRefused,
    SecondSendRefused,
    VenueFaulted,
)
from brokers.types import OrderAck
from brokers.wire import WireRecord
from ledger.states import IntentState
from tests.proof.model import History
from tests.proof.model_layer import LIES
from tests.proof.model_venue import FOREVER_S
from tests.trading.orders.modelled import CLASSES
from trading.orders import protocol
from trading.orders.protocol import Action, IntentSnapshot, Outcome, ProtocolLimits, SendOutcome, Step
from trading.orders.reasons import OrderReason

S = IntentState
LIMITS = ProtocolLimits()
Broken = Callable[[], AbstractContextManager[object]]
DEADLINE, NO_DEADLINE = ("open only, deadline",), ("open only, no deadline",)
PERMANENT = ("permanent", "permanent, no deadline")
OPEN_ONLY = DEADLINE + NO_DEADLINE
ALL = tuple(CLASSES)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One rule taken away; `kinds` are the venue classes in which the rule matters."""

    name: str
    broken: Broken
    kinds: tuple[str, ...] = ALL


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant: after how many histories which invariant broke, or that none did."""

    name: str
    histories: int
    kind: str = ""
    seed: int = -1
    invariant: str = ""
    detail: str = ""
    seconds: float = 0.0

    @property
    def is_killed(self) -> bool:
        return bool(self.invariant)


# -- what an answer proves --------------------------------------------------------------------------------------
_classify, _judge, _next_step = protocol.classify, protocol.judge, protocol.next_step


def _reading(kind: Outcome, *errors: type[Exception]) -> Broken:
    """Take these exceptions for `kind`."""

    def classify(answer: OrderAck | Exception, record: WireRecord, **named: Any) -> SendOutcome:
        outcome = _classify(answer, record, **named)
        return outcome._replace(kind=kind) if isinstance(answer, errors) else outcome

    return lambda: patch.object(protocol, "classify", classify)


def _believing_any_id() -> AbstractContextManager[object]:
    def classify(answer: OrderAck | Exception, record: WireRecord, **named: Any) -> SendOutcome:
        if isinstance(answer, OrderAck):
            named["client_order_id"] = answer.client_order_id
        return _classify(answer, record, **named)

    return patch.object(protocol, "classify", classify)


def _forgetting_the_wire() -> AbstractContextManager[object]:
    """An exception that says `not sent` is believed although the wire record shows a byte."""

    def classify(answer: OrderAck | Exception, record: WireRecord, **named: Any) -> SendOutcome:
        return _classify(answer, WireRecord() if isinstance(answer, ConnectFailed) else record, **named)

    return patch.object(protocol, "classify", classify)


def _judging(change: Callable[[list[Outcome | None]], list[Outcome | None]]) -> Broken:
    return lambda: patch.object(protocol, "judge", lambda answers: _judge(change(list(answers))))


def _as(wrong: Outcome, *right: Outcome | None) -> Callable[[list[Outcome | None]], list[Outcome | None]]:
    return lambda answers: [wrong if answer in right else answer for answer in answers]


# -- what comes next --------------------------------------------------------------------------------------------
def _with_identity(**changes: Any) -> Broken:
    """Decide as if the venue were better than it is."""

    def decide(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
        return _next_step(intent, replace(identity, **changes), now, limits)

    return lambda: patch.object(protocol, "next_step", decide)


def _with_limits(**changes: Any) -> Broken:
    """Other bounds, also such as ProtocolLimits refuses."""
    limits = replace(History.limits)
    for name, value in changes.items():
        object.__setattr__(limits, name, value)
    return lambda: patch.object(History, "limits", limits)


def _deciding(state: IntentState, decide: Callable[..., Step]) -> Broken:
    return lambda: patch.dict(protocol._DECIDERS, {state: decide})


def _instead(state: IntentState, action: Action, wrong: Step) -> Broken:
    """In `state`, take another step than the one decided."""
    right = protocol._DECIDERS[state]

    def decide(*args: Any) -> Step:
        step = right(*args)
        return wrong if step.action is action else step

    return _deciding(state, decide)


def _seeing(**changes: Any) -> Broken:
    """Decide on a snapshot in which something is not known."""

    def decide(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
        return _next_step(intent._replace(**changes), identity, now, limits)

    return lambda: patch.object(protocol, "next_step", decide)


def _provable_at_once(intent: IntentSnapshot, identity: OrderIdentity, limits: ProtocolLimits) -> datetime:
    return intent.state_since


def _settled_at_once(intent: IntentSnapshot, limits: ProtocolLimits) -> datetime:
    return (intent.not_after or intent.state_since) - timedelta(seconds=LIMITS.validity_s)


def resends_anything(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> bool:
    return _may_resend(intent, replace(identity, id_scope=IdScope.PERMANENT), now, limits)


_may_resend = protocol.may_resend


def _ready_without(*, attempts: bool) -> Broken:
    """READY and NOT_PLACED without a limit on attempts, or on sends of one attempt."""

    def decide(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
        endless = {"attempts_max": 10**6} if attempts else {}
        bounds = limits if attempts else replace(limits, sends_max=10**6)
        return _next_step(intent._replace(**endless), identity, now, bounds)

    return lambda: patch.object(protocol, "next_step", decide)


# -- what the desk does around it -------------------------------------------------------------------------------
def _desk(**methods: Any) -> Broken:
    """Replace steps of the modelled desk."""

    @contextmanager
    def broken() -> Iterator[None]:
        with ExitStack() as stack:
            for name, method in methods.items():
                stack.enter_context(patch.object(History, name, method))
            yield

    return broken


def _both(*broken: Broken) -> Broken:
    @contextmanager
    def together() -> Iterator[None]:
        with ExitStack() as stack:
            for one in broken:
                stack.enter_context(one())
            yield

    return together


def _uncommit(history: History, sent: Any) -> None:
    """The request goes out first and is recorded with its answer: a crash in between leaves no trace."""
    history.row.state = S.CLAIMED
    history.row.sends[history.row.attempt].remove(sent)
    history.row.attempts = len(history.row.sends) - 1
    history.uncommitted = (history.row.attempt, sent)  # type: ignore[attr-defined]
    history.row.attempt = 0


_record_answer = History.record_answer


def _commit_with_answer(history: History, held: Any, attempt: int, sent: Any, name: str, wire: WireRecord) -> None:
    row = history.row
    if (row.state, row.epoch) == (S.CLAIMED, held[1]):
        row.state, row.attempt, row.attempts = S.SENDING, attempt, max(row.attempts, attempt)
        row.sends.setdefault(attempt, []).append(sent)
    _record_answer(history, held, attempt, sent, name, wire)


def _watch_ends(history: History) -> None:
    history.move(history.held(), S.EXPIRED)


def _no_obstacle(*states: IntentState) -> Callable[[History, datetime], IntentState | None]:
    right = History.obstacle

    def obstacle(history: History, now: datetime) -> IntentState | None:
        found = right(history, now)
        return None if found in states else found

    return obstacle


def _without_source(name: str) -> Broken:
    return _desk(sources=tuple(source for source in History.sources if source != name))


def _adopt_nothing(history: History, attempt: int) -> None:
    return None


def _measured_before(history: History) -> str:
    """The clock as it was last measured, however long ago and whatever happened to ours since."""
    history.venue_measured = history.venue_now()
    return ""


def _no_restart(history: History) -> None:
    return None


def _late_limit_ignored() -> Broken:
    far = timedelta(days=1)

    def decide(intent: IntentSnapshot, identity: OrderIdentity, now: datetime, limits: ProtocolLimits) -> Step:
        return _next_step(intent._replace(expires_at=intent.expires_at + far), identity, now, limits)

    return _both(
        lambda: patch.object(protocol, "next_step", decide), _desk(obstacle=_no_obstacle(S.EXPIRED), validity=_own_time)
    )


def _own_time(history: History, now: datetime) -> timedelta:
    return timedelta(seconds=protocol.validity_s(history.identity, history.limits))


ABSENCE = Step(Action.CONFIRM_ABSENT, OrderReason.ABSENCE_PROVED)
NO = Outcome.DEFINITE_NO
MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        # answers
        Mutant("a timeout is taken for not sent", _reading(Outcome.NOT_SENT, AnswerTimedOut)),
        Mutant("a reset is taken for not sent", _reading(Outcome.NOT_SENT, ConnectionLost)),
        Mutant("a 5xx is taken for a refusal", _reading(NO, VenueFaulted)),
        Mutant("a rate limit is taken for a refusal", _reading(NO, RateLimited)),
        Mutant("an unreadable answer is taken for a refusal", _reading(NO, KeyError)),
        Mutant("a redirect is taken for a refusal", _reading(NO, RedirectRefused)),
        Mutant("a duplicate id is taken for a refusal", _reading(NO, DuplicateClientOrderId), PERMANENT),
        Mutant("an answer for another id is believed", _believing_any_id),
        Mutant("a second send that was stopped is taken for not sent", _reading(Outcome.NOT_SENT, SecondSendRefused)),
        Mutant("not sent is believed after a byte left", _forgetting_the_wire),
        Mutant("an unknown outcome is taken for a refusal", _judging(_as(NO, Outcome.UNKNOWN))),
        Mutant("a send without an answer is taken for not sent", _judging(_as(Outcome.NOT_SENT, None))),
        Mutant("a refusal after an unanswered send is believed", _judging(lambda answers: answers[-1:]), PERMANENT),
        # steps
        Mutant("a crash while sending leads back to ready", _deciding(
            S.SENDING, lambda *_: Step(Action.RELEASE, OrderReason.LEASE_OVER))),
        Mutant("an unknown outcome is called absent at once", _deciding(S.UNKNOWN, lambda *_: ABSENCE)),
        Mutant("neither deadline nor horizon is waited for", lambda: patch.object(
            protocol, "absence_provable_at", _provable_at_once), DEADLINE),
        Mutant("the deadline is not waited for, only the horizon", lambda: patch.object(
            protocol, "_settled_at", _settled_at_once), DEADLINE),
        Mutant("the horizon is 5 s", _with_limits(horizon_s=5.0), DEADLINE),
        Mutant("absence is proved without a deadline", lambda: patch.object(
            protocol, "absence_is_provable", lambda identity: True), (*NO_DEADLINE, "no id")),
        Mutant("an id of open orders is sent again", lambda: patch.object(
            protocol, "may_resend", resends_anything), OPEN_ONLY),
        Mutant("one clean look-up is enough", _with_limits(ladders_min=1), DEADLINE),
        Mutant("look-ups need no gap", _with_limits(ladder_gap_s=0.0), DEADLINE),
        Mutant("an old clean look-up counts", _with_limits(ladder_age_s_max=FOREVER_S), DEADLINE),
        Mutant("attempts without limit", _ready_without(attempts=True), OPEN_ONLY),
        Mutant("sends of one attempt without limit", _ready_without(attempts=False)),
        Mutant("a question to a person leads to a send", _deciding(
            S.NEEDS_HUMAN, lambda *_: Step(Action.RETRY, OrderReason.NEW_ATTEMPT)), NO_DEADLINE),
        Mutant("nobody is ever asked", _instead(
            S.UNKNOWN, Action.GIVE_TO_PERSON, Step(Action.WAIT)), NO_DEADLINE),
        Mutant("a person is asked after one failed look-up", _with_limits(looks_min=1, resolve_s_max=0.0), DEADLINE),
        Mutant("a lease is ignored", _seeing(lease_until=None)),
        Mutant("a late order is sent", _late_limit_ignored()),
        # the desk
        Mutant("sent before it is committed", _desk(
            sends_before_commit=True, uncommit=_uncommit, record_answer=_commit_with_answer), OPEN_ONLY),
        Mutant("the epoch is not checked", _desk(holds=lambda history, held: held[0] is history.row.state)),
        Mutant("neither state nor epoch is checked", _desk(holds=lambda history, held: True)),
        Mutant("no deadline goes out with the request", _desk(
            deadline_sent_s=lambda history, not_after: FOREVER_S), DEADLINE),
        Mutant("a permanent id is not used again", _desk(
            attempt_of_resend=lambda history: history.row.attempts + 1), PERMANENT),
        Mutant("the time between commit and first byte has no limit", _desk(is_past=lambda history, send_by_s: False)),
        Mutant("a withdrawn order is sent", _both(_desk(obstacle=_no_obstacle(S.WITHDRAWN)), lambda: patch.object(
            protocol, "_cancel_wanted", lambda intent: False))),
        Mutant("a halted pool sends", _desk(
            stops_claim=lambda history: False, obstacle=_no_obstacle(S.READY),
            stopped_meanwhile=lambda history: False)),
        Mutant("a halt is not looked for before the first byte", _desk(stopped_meanwhile=lambda history: False)),
        Mutant("a failed read counts as absence", _desk(read_failed=lambda history, source: "absent"), DEADLINE),
        Mutant("a failed read does not start the count again", _desk(
            counted=lambda history, before, is_clean: before + is_clean), DEADLINE),
        Mutant("an interrupted look-up does not start the count again", _desk(forget_looks=_no_restart), DEADLINE),
        Mutant("look-ups leave out the id", _without_source("by_id"), DEADLINE),
        Mutant("look-ups leave out open orders", _without_source("listed"), DEADLINE),
        Mutant("look-ups leave out the history", _without_source("history"), DEADLINE),
        Mutant("look-ups leave out fills", _without_source("fills"), DEADLINE),
        Mutant("look-ups leave out the position", _without_source("position"), DEADLINE),
        Mutant("the clock is not measured for the proof", _desk(measure_for_proof=_measured_before), DEADLINE),
        Mutant("a watch in vain ends the question", _desk(watched_in_vain=_watch_ends), NO_DEADLINE),
        Mutant("what turns up late is not noticed", _desk(adopt=_adopt_nothing), (LIES,)),
    )
}  # fmt: skip

# Seen only after some hundred histories: two rare faults must meet.
RARE = frozenset(
    {
        "an old clean look-up counts",
        "the epoch is not checked",
        "a failed read does not start the count again",
        "an interrupted look-up does not start the count again",
        "look-ups leave out the id",
        "look-ups leave out open orders",
        "the clock is not measured for the proof",
        "a redirect is taken for a refusal",
        "the deadline is not waited for, only the horizon",
    }
)
UNSEEN: Mapping[str, str] = {
    "the deadline is not waited for, only the horizon": "two look-ups 5 s apart after the horizon cover the 5 s "
    "in which a request may still be accepted",
}
