"""The current state must follow from the evidence; each way it can fail to is found."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.engine import Ledger
from ledger.invariants import Invariant, check_record
from ledger.tables import OrderSend, Transition

GOOD = [("received", "ready", 0), ("ready", "claimed", 1), ("claimed", "sending", 1), ("sending", "acked", 1)]


def store(ledger: Ledger, samples: Any, moves: list[tuple[str, str, int]], **intent: Any) -> None:
    with ledger.write() as session:
        if intent:
            session.add(samples.intent("i1", state_reason="R", **intent))
        for start, end, epoch in moves:
            session.add(
                Transition(
                    intent_id="i1",
                    from_state=start,
                    to_state=end,
                    epoch=epoch,
                    who="w",
                    reason="R",
                    at=samples.start,
                )
            )
            session.flush()


def test_a_chain_that_leads_to_the_state_is_proof(ledger: Ledger, samples: Any) -> None:
    store(ledger, samples, GOOD, state="acked", epoch=1)
    with ledger.write() as session:
        session.add(samples.intent("i2"))
        session.flush()
        assert check_record(session) == ()
        assert check_record(session, samples.account_id) == ()


@pytest.mark.parametrize(
    ("moves", "intent", "finding"),
    [
        (GOOD, {"state": "working", "epoch": 1}, "I15 intent i1: state is 'working', the evidence gives 'acked'"),
        (GOOD, {"state": "acked", "epoch": 0}, "intent i1 has epoch 0, its last transition 1"),
        (GOOD[1:], {"state": "acked", "epoch": 1}, "intent i1: the first transition starts at ready"),
        ([GOOD[0], GOOD[2]], {"state": "sending", "epoch": 1}, "starts at claimed, the one before ended at ready"),
        (
            [GOOD[0], ("ready", "claimed", 2), ("claimed", "ready", 1)],
            {"state": "ready", "epoch": 2},
            "epoch went from 2 to 1 at ready",
        ),
        ([], {"state": "ready"}, "intent i1: state is 'ready', the evidence gives 'received'"),
        (GOOD, {}, "transitions of i1 belong to no intent"),
    ],
)
def test_each_fault_is_found(
    ledger: Ledger, samples: Any, moves: list[tuple[str, str, int]], intent: dict[str, Any], finding: str
) -> None:
    store(ledger, samples, moves, **intent)
    with ledger.read() as session:
        (found,) = check_record(session)
        assert finding in str(found)


@pytest.mark.parametrize(("ordinals", "is_sound"), [([1, 2, 3], True), ([0, 1], True), ([1, 3], False), ([4], False)])
def test_sends_are_numbered_without_a_gap(ledger: Ledger, samples: Any, ordinals: list[int], is_sound: bool) -> None:
    with ledger.write() as session:
        session.add(samples.intent("i1"))
        session.flush()
        session.add(samples.attempt("c1"))
        session.flush()
        for ordinal in ordinals:
            session.add(
                OrderSend(
                    send_id=f"s{ordinal}",
                    client_order_id="c1",
                    account_id=str(samples.account_id),
                    ordinal=ordinal,
                    epoch=1,
                    worker="w",
                    not_after=samples.start,
                    committed_at=samples.start,
                )
            )
        session.flush()
        found = [finding.detail for finding in check_record(session) if finding.invariant is Invariant.SENDS_BOUNDED]
        assert found == ([] if is_sound else [f"sends of c1 are numbered {ordinals}: one was taken back"])
