"""The same for the real desk on a real SQLite ledger: rules that only the code that keeps them can lose."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

from sqlalchemy import update
from sqlmodel import Session, col

from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut, VenueFaulted
from brokers.wire import SendTicket
from ledger.states import IntentState
from ledger.tables import OrderIntent
from tests.proof import histories
from tests.proof.histories import Killed, Result, run_history
from tests.proof.ledgers import open_copy, template
from tests.proof.mutants import DEADLINE, NO_DEADLINE, OPEN_ONLY, Broken, Mutant, Verdict, resends_anything
from tests.trading.orders.modelled import START
from trading.orders import answers, gates, protocol, resolving, sending, store
from trading.orders.gates import Obstacle
from trading.orders.protocol import Action, IntentSnapshot, Outcome, SendOutcome, Step
from trading.orders.reasons import OrderReason

S = IntentState
_MEMORY = next((folder for folder in ("/dev/shm",) if os.path.isdir(folder)), None)  # no disk to wait for
FAR = datetime(2100, 1, 1, tzinfo=UTC)
_classify, _judge = sending.classify, protocol.judge


def _patched(*patches: Callable[[], AbstractContextManager[object]]) -> Broken:
    @contextmanager
    def broken() -> Iterator[None]:
        with ExitStack() as stack:
            for one in patches:
                stack.enter_context(one())
            yield

    return broken


def _reading(kind: Outcome, error: type[Exception]) -> Broken:
    def classify(answer: Any, record: Any, **named: Any) -> SendOutcome:
        outcome = _classify(answer, record, **named)
        return outcome._replace(kind=kind) if isinstance(answer, error) else outcome

    return lambda: patch.object(sending, "classify", classify)


def _judge_unknown_as_refused(found: Any) -> IntentState:
    return _judge([Outcome.DEFINITE_NO if answer is Outcome.UNKNOWN else answer for answer in found])


def _send_first(ctx: Any, row: OrderIntent, order: Any) -> None:
    """The request leaves, and only then is it committed."""
    ticket = SendTicket("early", ctx.venue_now() + (row.expires_at - START), ctx.clock.monotonic() + 1, 10.0)
    answer = sending._place(ctx, order.prepared, ticket)
    committed = sending._commit(ctx, row, order, is_final=True)
    if not isinstance(committed, Obstacle):
        sending._record_answer(ctx, committed, answer)


def _set_always(session: Session, row: OrderIntent, values: dict[str, Any]) -> OrderIntent:
    statement = update(OrderIntent).where(col(OrderIntent.intent_id) == row.intent_id).values(**values)
    session.connection().execute(statement.execution_options(synchronize_session=False))
    return store.load(session, row.intent_id)


def _at_once(intent: IntentSnapshot, *_: object) -> datetime:
    return intent.state_since


def _ticket_without_deadline(**named: Any) -> SendTicket:
    return SendTicket(**{**named, "not_after": FAR})


WEAK = (*OPEN_ONLY, "no id")
DESK_MUTANTS: Mapping[str, Mutant] = {
    mutant.name: mutant
    for mutant in (
        Mutant("desk: sent before it is committed", lambda: patch.object(
            sending, "_commit_and_send", _send_first), WEAK),
        Mutant("desk: set without compare", lambda: patch.object(store, "_compare_and_set", _set_always)),
        Mutant("desk: a crash while sending leads back to ready", _patched(
            lambda: patch.dict(
                protocol._DECIDERS, {S.SENDING: lambda *_: Step(Action.RELEASE, OrderReason.LEASE_OVER)}
            ),
            lambda: patch.object(store, "require_legal", lambda *_: None),
        ), WEAK),
        Mutant("desk: a 5xx is taken for a refusal", _reading(Outcome.DEFINITE_NO, VenueFaulted)),
        Mutant("desk: a timeout is taken for not sent", _reading(Outcome.NOT_SENT, AnswerTimedOut)),
        Mutant("desk: an unknown outcome is taken for a refusal", _patched(
            lambda: patch.object(answers, "judge", _judge_unknown_as_refused),
            lambda: patch.object(protocol, "judge", _judge_unknown_as_refused),
        )),
        Mutant("desk: no horizon", lambda: patch.object(
            histories, "LIMITS", replace(histories.LIMITS, horizon_s=0.0)), DEADLINE),
        Mutant("desk: neither deadline nor horizon is waited for", _patched(
            lambda: patch.object(protocol, "absence_provable_at", _at_once),
            lambda: patch.object(resolving, "absence_provable_at", _at_once),
        ), DEADLINE),
        Mutant("desk: no deadline goes out with the request", lambda: patch.object(
            sending, "SendTicket", _ticket_without_deadline), DEADLINE),
        Mutant("desk: an id of open orders is sent again", lambda: patch.object(
            protocol, "may_resend", resends_anything), OPEN_ONLY),
        Mutant("desk: absence is proved without a deadline", lambda: patch.object(
            protocol, "absence_is_provable", lambda identity: True), NO_DEADLINE),
        Mutant("desk: a lock is ignored", lambda: patch.object(gates, "_lock", lambda session, row, now: None)),
    )
}  # fmt: skip


def try_desk(name: str, count: int, first: int = 0) -> Verdict:
    """Histories of all classes in turn under one mutant: how many, and the class, seed and finding that showed it."""
    began_s, played = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="proof-", dir=_MEMORY) as folder, DESK_MUTANTS[name].broken():
        for kind, seed, problem in _histories(Path(folder), DESK_MUTANTS[name].kinds, count, first):
            played += 1
            if problem:
                return Verdict(name, played, kind, seed, "oracle", problem, time.monotonic() - began_s)
    return Verdict(name, played, seconds=time.monotonic() - began_s)


def _histories(folder: Path, kinds: tuple[str, ...], count: int, first: int) -> Iterator[tuple[str, int, str]]:
    clock = ManualClock(START)
    with open_copy(template(folder / "template.db"), folder / "ledger.db", clock) as ledger:
        for number in range(count):
            kind, seed = kinds[number % len(kinds)], first + number // len(kinds)
            yield kind, seed, _problem(partial(run_history, ledger, clock, kind=kind, seed=seed))


def _problem(play: Callable[[], Result]) -> str:
    """What a history broke; a desk that falls over has shown itself as well."""
    try:
        problems = play().problems
    except Killed as error:
        return f"died outside of any drive at {error}"
    except Exception as error:  # noqa: BLE001 - whatever a broken desk raises is its finding
        return f"{type(error).__name__}: {error}"
    return problems[0] if problems else ""
