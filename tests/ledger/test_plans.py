"""A plan is stored once per business key and moved only by the worker whose epoch counts."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.engine import Ledger
from ledger.plans import (
    AccountMoved,
    AccountTaken,
    LegFate,
    claim_plan,
    finish_plan,
    holds_plan,
    legs_of,
    load_plan,
    plan_by_key,
    plans_of,
    store_plan,
    update_legs,
)
from ledger.states import PlanState
from ledger.tables import PlanLegRow, PlanRow

LEASE = timedelta(seconds=30)


def plan(samples: Any, plan_id: str = "p1", key: str = "key-1") -> PlanRow:
    return PlanRow(
        plan_id=plan_id,
        account_id=str(samples.account_id),
        portfolio="core",
        business_key=key,
        plan_hash="h",
        body="{}",
        created_at=samples.start,
    )


def leg(samples: Any, number: int, plan_id: str = "p1") -> PlanLegRow:
    return PlanLegRow(
        plan_id=plan_id,
        leg_number=number,
        instrument_id="BTC/USDT:USDT",
        side="buy",
        quantity=Decimal(number),
        is_reduction=False,
        updated_at=samples.start,
    )


@pytest.fixture
def stored(ledger: Ledger, samples: Any) -> Ledger:
    with ledger.write() as session:
        row, is_new = store_plan(session, plan(samples), [leg(samples, 2), leg(samples, 1)])
        assert is_new and row.state == PlanState.PLANNED.value
    return ledger


def claim(ledger: Ledger, samples: Any, worker: str, *, after: timedelta = timedelta(0)) -> int | None:
    now = samples.start + after
    with ledger.write() as session:
        return claim_plan(session, "p1", worker=worker, now=now, lease_until=now + LEASE)


def test_a_second_run_with_the_key_gets_the_first_plan(stored: Ledger, samples: Any) -> None:
    with stored.write() as session:
        row, is_new = store_plan(session, plan(samples, "p2"), [leg(samples, 1, "p2")])
        assert (row.plan_id, is_new) == ("p1", False)
    with stored.read() as session:
        assert [row.leg_number for row in legs_of(session, "p1")] == [1, 2]
        assert legs_of(session, "p2") == ()
        found = plan_by_key(session, "key-1")
        assert found is not None and found.plan_id == "p1"


def test_a_leg_of_another_plan_is_refused(ledger: Ledger, samples: Any) -> None:
    with pytest.raises(ValueError, match="leg 1 must carry plan_id p1, was p9"), ledger.write() as session:
        store_plan(session, plan(samples), [leg(samples, 1, "p9")])


def test_one_worker_holds_a_plan(stored: Ledger, samples: Any) -> None:
    assert claim(stored, samples, "a") == 1
    assert claim(stored, samples, "b", after=LEASE - timedelta(seconds=1)) is None
    assert claim(stored, samples, "a", after=LEASE - timedelta(seconds=1)) == 1  # a renewal
    with stored.read() as session:
        assert load_plan(session, "p1").state == PlanState.EXECUTING.value


def test_a_plan_whose_lease_is_over_is_taken_over(stored: Ledger, samples: Any) -> None:
    assert claim(stored, samples, "a") == 1
    assert claim(stored, samples, "b", after=LEASE) == 2
    at = samples.start
    with stored.write() as session:  # the former worker's moves no longer apply
        assert not update_legs(session, "p1", [LegFate(1, "done")], epoch=1, at=at)
        assert not finish_plan(session, "p1", epoch=1, state=PlanState.COMPLETED, result="", at=at)
    with stored.write() as session:
        fates = [LegFate(1, "done", "R", filled_quantity=Decimal(1)), LegFate(2, "released")]
        assert update_legs(session, "p1", fates, epoch=2, at=at)
        assert finish_plan(session, "p1", epoch=2, state=PlanState.COMPLETED, result="{}", at=at)
    with stored.read() as session:
        row = load_plan(session, "p1")
        assert (row.state, row.result, row.lease_owner) == ("completed", "{}", None)
        first, second = legs_of(session, "p1")
        assert (first.state, first.reason, first.filled_quantity) == ("done", "R", Decimal(1))
        assert (second.state, second.reason, second.filled_quantity) == ("released", "", Decimal(0))


def test_a_finished_plan_cannot_be_claimed_or_moved(stored: Ledger, samples: Any) -> None:
    assert claim(stored, samples, "a") == 1
    with stored.write() as session:
        assert finish_plan(session, "p1", epoch=1, state=PlanState.FAILED, result="", at=samples.start)
        assert not finish_plan(session, "p1", epoch=1, state=PlanState.COMPLETED, result="", at=samples.start)
        assert not update_legs(session, "p1", [LegFate(1, "done")], epoch=1, at=samples.start)
    assert claim(stored, samples, "a", after=10 * LEASE) is None
    with stored.read() as session:
        assert load_plan(session, "p1").state == "failed"
        assert plans_of(session, str(samples.account_id), unfinished=True) == ()
        assert [row.plan_id for row in plans_of(session, str(samples.account_id))] == ["p1"]


def test_what_is_not_there_is_named(stored: Ledger, samples: Any) -> None:
    with stored.write() as session:
        with pytest.raises(LookupError, match="no plan p7"):
            load_plan(session, "p7")
        with pytest.raises(LookupError, match="plan p1 has no leg 9"):
            update_legs(session, "p1", [LegFate(1, "done"), LegFate(9, "done")], epoch=0, at=samples.start)
        with pytest.raises(ValueError, match="terminal state, was executing"):
            finish_plan(session, "p1", epoch=0, state=PlanState.EXECUTING, result="", at=samples.start)


def begun_other(ledger: Ledger, samples: Any) -> None:
    with ledger.write() as session:
        store_plan(session, plan(samples, "p2", "key-2"), [])
        until = samples.start + LEASE
        assert claim_plan(session, "p2", worker="z", now=samples.start, lease_until=until) == 1


def test_a_plan_is_held_by_its_epoch_until_it_is_taken_over_or_ends(stored: Ledger, samples: Any) -> None:
    def held(epoch: int) -> bool:
        with stored.write() as session:
            return holds_plan(session, "p1", epoch=epoch)

    assert claim(stored, samples, "a") == 1
    assert held(1)
    assert claim(stored, samples, "b", after=2 * LEASE) == 2
    assert (held(1), held(2)) == (False, True)
    with stored.write() as session:
        assert finish_plan(session, "p1", epoch=2, state=PlanState.COMPLETED, result="", at=samples.start)
    assert not held(2)


def test_an_account_executes_one_plan_at_a_time(stored: Ledger, samples: Any) -> None:
    begun_other(stored, samples)
    with pytest.raises(AccountTaken, match=r"plan p2 .* was begun"):
        claim(stored, samples, "a", after=10 * LEASE)  # a lease that ran out ends no plan
    with stored.read() as session:
        assert load_plan(session, "p1").state == PlanState.PLANNED.value


def test_a_plan_older_than_the_end_of_another_is_not_begun(stored: Ledger, samples: Any) -> None:
    begun_other(stored, samples)
    with stored.write() as session:
        assert finish_plan(session, "p2", epoch=1, state=PlanState.COMPLETED, result="", at=samples.start)
    with pytest.raises(AccountMoved, match=r"plan p2 .* ended after plan p1"):
        claim(stored, samples, "a")


def test_a_plan_can_be_held_without_being_begun(stored: Ledger, samples: Any) -> None:
    begun_other(stored, samples)
    until = samples.start + LEASE
    with stored.write() as session:
        assert claim_plan(session, "p1", worker="a", now=samples.start, lease_until=until, begins=False) == 1
        assert load_plan(session, "p1").state == PlanState.PLANNED.value
        assert finish_plan(session, "p1", epoch=1, state=PlanState.CANCELLED_MID_RUN, result="", at=samples.start)


def test_a_plan_older_than_a_wanted_order_is_not_begun(stored: Ledger, samples: Any) -> None:
    with stored.write() as session:
        session.add(samples.intent(created_at=samples.start))
    with pytest.raises(AccountMoved, match=r"order i1 .*wanted after plan p1"):
        claim(stored, samples, "a")
