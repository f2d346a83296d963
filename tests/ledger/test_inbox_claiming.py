"""Working on alerts: turns, leases, attempts, poison, expiry, lanes that stop."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select

from ledger.engine import Ledger
from ledger.inbox import AlertStore, LaneState, LeaseLost
from ledger.inbox_moves import EVENT, LANE
from ledger.invariants import check_ledger
from tests.ledger.inbox_scene import ACCOUNT, START, S, Scene, read

LANE_NAME = f"{ACCOUNT}|AAPL"


def fail(scene: Scene, *, worker: str = "w") -> str:
    """One attempt that fails in an orderly way; the state that the alert has then."""
    return scene.store.finish(scene.claim(worker), S.WAITING, reason="TEST_FAILED", detail="boom")


# -- turns ------------------------------------------------------------------------------------------------------
def test_the_lane_that_waits_longest_is_next(scene: Scene) -> None:
    for symbol in ("A", "B", "C"):
        scene.queue(symbol=symbol)
        scene.pass_s(1)
    assert [scene.claim().alert.instrument_id for _ in range(3)] == ["A", "B", "C"]


def test_only_the_accounts_that_were_asked_for(scene: Scene) -> None:
    scene.queue(account="ts.simulated.one")
    two = scene.queue(account="ts.simulated.two")
    assert scene.claim(accounts=["ts.simulated.two"]).alert_id == two
    assert scene.store.claim(worker="w", accounts=["ts.simulated.two", "none"]) is None
    assert scene.store.claim(worker="w", accounts=[]) is None
    assert scene.claim().alert.account_id == "ts.simulated.one"


def test_a_lane_waits_for_its_head(scene: Scene) -> None:
    """Later alerts do not pass one that waits for the market to open."""
    first, second = scene.queue(ttl_s=600), scene.queue(ttl_s=600)
    later = scene.clock.now() + timedelta(seconds=60)
    scene.store.finish(scene.claim(), S.WAITING, reason="TEST_CLOSED", retry_at=later)
    scene.pass_s(59)
    assert scene.store.claim(worker="w") is None
    scene.pass_s(1)
    assert scene.claim().alert_id == first
    assert scene.store.claim(worker="w") is None
    assert scene.state(second) is S.QUEUED


# -- leases -----------------------------------------------------------------------------------------------------
def test_a_heartbeat_keeps_the_lease(scene: Scene) -> None:
    scene.queue(ttl_s=600)
    claim = scene.claim()
    assert claim.lease_until == START + timedelta(seconds=15)
    for _ in range(10):
        scene.pass_s(10)
        assert scene.store.heartbeat(claim)
        assert scene.store.claim(worker="other") is None
    assert scene.store.finish(claim, S.PLACED, reason="TEST") is S.PLACED
    assert not scene.store.heartbeat(claim)


def test_a_late_end_counts_as_long_as_nobody_took_over(scene: Scene) -> None:
    number = scene.queue(ttl_s=600)
    claim = scene.claim()
    scene.pass_s(500)
    scene.store.finish(claim, S.PLACED, reason="TEST")
    assert scene.state(number) is S.PLACED
    with pytest.raises(LeaseLost):
        scene.store.finish(claim, S.PLACED, reason="TEST")


def test_an_end_is_part_of_the_transaction_that_it_is_given(scene: Scene) -> None:
    number = scene.queue()
    claim = scene.claim()
    with pytest.raises(ZeroDivisionError), scene.ledger.write() as session:
        scene.store.note(claim, reason="TEST_NOTE", session=session)
        scene.store.finish(claim, S.PLACED, reason="TEST", session=session)
        raise ZeroDivisionError
    assert scene.state(number) is S.WORKING and scene.reasons(number)[-1] == "ALERT_CLAIMED"
    with scene.ledger.write() as session:
        scene.store.finish(claim, S.PLACED, reason="TEST", session=session, review='{"verdict":"approve"}')
    assert scene.store.show(number).review == '{"verdict":"approve"}'


@pytest.mark.parametrize(
    ("state", "options", "message"),
    [
        (S.QUEUED, {"reason": "X"}, "was queued"),
        (S.NEW, {"reason": "X"}, "was new"),
        (S.PLACED, {"reason": ""}, "needs a reason"),
        (S.PLACED, {"reason": "X", "retry_at": START}, "only a waiting alert is tried again"),
    ],
)
def test_a_wrong_end_is_refused(scene: Scene, state: S, options: dict[str, Any], message: str) -> None:
    number = scene.queue()
    with pytest.raises(ValueError, match=message):
        scene.store.finish(scene.claim(), state, **options)
    assert scene.state(number) is S.WORKING


# -- attempts ---------------------------------------------------------------------------------------------------
def test_failed_attempts_wait_longer_and_the_fifth_is_the_last(scene: Scene) -> None:
    number, behind = scene.queue(ttl_s=None), scene.queue(ttl_s=None)
    for wait_s in (1, 2, 5, 15):
        assert fail(scene) == S.WAITING
        scene.pass_s(wait_s - 0.001)
        assert scene.store.claim(worker="w") is None
        scene.pass_s(0.001)
    assert fail(scene) == S.DEAD
    alert = scene.store.show(number)
    assert (alert.reason, alert.detail, alert.attempts) == ("TEST_FAILED", "boom", 5)
    assert scene.claim().alert_id == behind  # skippable: its lane goes on


def test_a_wait_that_was_asked_for_is_no_attempt(scene: Scene) -> None:
    number = scene.queue(ttl_s=None)
    for _ in range(20):
        claim = scene.claim()
        assert claim.attempt == 1
        scene.store.finish(claim, S.WAITING, reason="TEST_CLOSED", retry_at=scene.clock.now())
    assert scene.state(number) is S.WAITING


def test_an_alert_that_kills_its_workers_is_dead_after_five_claims(scene: Scene) -> None:
    number, behind = scene.queue(ttl_s=None), scene.queue(ttl_s=None)
    claims = 0
    while scene.state(number) is not S.DEAD:
        claim = scene.store.claim(worker=f"w{claims}")
        claims += claim is not None and claim.alert_id == number
        scene.pass_s(5)
        assert claims <= 5
    assert claims == 5
    alert = scene.store.show(number)
    assert alert.reason == "ALERT_WORKER_DIED"
    assert "5 attempts; no attempt came to its end; w4 fell silent" in alert.detail
    assert scene.store.lanes()[0].leased_alert == behind


def test_the_reason_of_a_failure_is_kept_when_the_last_worker_dies(scene: Scene) -> None:
    number = scene.queue(ttl_s=None)
    for _ in range(4):
        fail(scene)
        scene.pass_s(15)
    scene.claim("last")
    scene.pass_s(15 + 60)
    assert scene.store.claim(worker="w") is None
    alert = scene.store.show(number)
    assert (alert.state, alert.reason) == (S.DEAD, "TEST_FAILED")
    assert "boom; last fell silent" in alert.detail


# -- lanes that stand still -------------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["failed", "killed"])
def test_a_dead_alert_that_may_not_be_skipped_stops_its_lane(scene: Scene, how: str) -> None:
    number = scene.queue(ttl_s=None, skippable=False)
    behind, elsewhere = scene.queue(ttl_s=None), scene.queue(ttl_s=None, symbol="MSFT")
    while scene.state(number) is not S.DEAD:
        claim = scene.store.claim(worker="w")
        if claim is not None and claim.alert_id == elsewhere:
            scene.store.finish(claim, S.PLACED, reason="TEST")
        elif claim is not None and how == "failed":
            scene.store.finish(claim, S.WAITING, reason="TEST_FAILED")
        scene.pass_s(16)
    scene.pass_s(1_000)
    assert scene.store.claim(worker="w") is None
    lane = scene.store.lanes(state=LaneState.STOPPED)[0]
    reason = "TEST_FAILED" if how == "failed" else "ALERT_WORKER_DIED"
    assert (lane.lane, lane.reason, lane.stopped_by) == (LANE_NAME, reason, number)
    assert scene.store.backlog().stopped_lanes == (lane,)
    scene.store.restart_lane(LANE_NAME, by="ann", reason="looked at it")
    assert scene.claim().alert_id == behind
    assert scene.state(number) is S.DEAD
    assert scene.reasons(number)[-1] == "ALERT_LANE_RESTARTED"


def test_an_alert_that_needs_a_person_stops_its_lane(scene: Scene) -> None:
    number, behind = scene.queue(ttl_s=None), scene.queue(ttl_s=None)
    scene.store.finish(scene.claim(), S.NEEDS_HUMAN, reason="TEST_UNKNOWN")
    assert scene.store.claim(worker="w") is None
    assert scene.store.show(number).finished_at is None
    later = scene.queue(ttl_s=None)
    assert scene.store.claim(worker="w") is None
    scene.store.restart_lane(LANE_NAME, by="ann", reason="the order is filled")
    assert [_through(scene), _through(scene)] == [behind, later]
    assert scene.state(number) is S.NEEDS_HUMAN


def _through(scene: Scene) -> int:
    claim = scene.claim()
    scene.store.finish(claim, S.PLACED, reason="TEST")
    return claim.alert_id


# -- expiry -----------------------------------------------------------------------------------------------------
def test_what_is_stale_is_never_handed_out(scene: Scene) -> None:
    """Also behind a head that is worked on, and in a lane that stands still."""
    busy = scene.queue(ttl_s=None, symbol="BUSY")
    scene.claim()
    stopped = scene.queue(ttl_s=None, symbol="STOPPED")
    scene.store.finish(scene.claim(), S.NEEDS_HUMAN, reason="TEST")
    stale = [scene.queue(ttl_s=10, symbol=symbol) for symbol in ("BUSY", "STOPPED", "FREE", "FREE")]
    exit_ = scene.queue(ttl_s=600, symbol="FREE", is_exit=True)
    scene.pass_s(10)
    assert scene.claim().alert_id == exit_
    assert {scene.state(number) for number in stale} == {S.EXPIRED}
    assert scene.reasons(stale[0])[-1] == "ALERT_EXPIRED"
    assert (scene.state(busy), scene.state(stopped)) == (S.WORKING, S.NEEDS_HUMAN)


def test_what_was_worked_on_is_handed_out_and_told_that_its_time_is_over(scene: Scene) -> None:
    """There may be orders: somebody must finish them."""
    number = scene.queue(ttl_s=30)
    assert not scene.claim().is_expired
    scene.pass_s(31)
    claim = scene.claim()
    assert (claim.alert_id, claim.is_expired) == (number, True)
    scene.store.finish(claim, S.EXPIRED, reason="TEST_NOTHING_SENT")
    assert scene.state(number) is S.EXPIRED


def test_a_wait_ends_with_the_time_of_the_alert(scene: Scene) -> None:
    scene.queue(ttl_s=30)
    monday = scene.clock.now() + timedelta(days=3)
    scene.store.finish(scene.claim(), S.WAITING, reason="TEST_CLOSED", retry_at=monday)
    scene.pass_s(30)
    assert scene.claim().is_expired


@pytest.mark.parametrize("lanes", [1, 50])
def test_many_stale_alerts_end_at_once(scene: Scene, lanes: int, alerts_in_all: int) -> None:
    """10,000 by ALGOTRENDY_ALERTS: in seconds, and none is handed out."""
    for start in range(0, alerts_in_all, 500):
        numbers = range(start, min(start + 500, alerts_in_all))
        scene.store.receive([scene.delivery(salt=number, symbol=f"S{number % lanes}") for number in numbers])
        while scene.store.admit(read, worker="r"):
            pass
    scene.pass_s(30)
    assert scene.store.claim(worker="w") is None
    with scene.ledger.read() as session:
        claims = select(func.count()).where(EVENT.c.to_state == S.WORKING.value)
        assert session.connection().execute(claims).scalar_one() == 0
        due = select(func.count()).where(LANE.c.due_at.is_not(None))
        assert session.connection().execute(due).scalar_one() == 0
        assert check_ledger(session) == ()
    assert scene.store.backlog().open == 0


# -- several at once --------------------------------------------------------------------------------------------
def test_a_revived_alert_does_not_share_its_lane_with_the_one_at_work(scene: Scene) -> None:
    first, second = scene.queue(ttl_s=None), scene.queue(ttl_s=None)
    scene.store.finish(scene.claim(), S.REFUSED, reason="TEST")
    working = scene.claim()
    scene.store.revive(first, by="ann", reason="again")
    assert scene.store.claim(worker="other") is None
    assert scene.store.heartbeat(working)
    scene.pass_s(16)
    over = scene.claim("other")
    assert (over.alert_id, over.epoch) == (second, 2)  # what was begun comes first, also when its worker died
    scene.store.finish(over, S.PLACED, reason="TEST")
    assert scene.claim().alert_id == first


def test_two_stores_never_hold_one_lane(open_queue: Callable[..., Ledger], scene: Scene) -> None:
    stores = [AlertStore(open_queue(scene.clock)) for _ in range(3)]
    for number in range(9):
        scene.queue(symbol=f"S{number % 2}", salt=number)
    done: list[tuple[str, int]] = []
    while any(held := [store.claim(worker=str(id(store))) for store in stores]):
        claims = [claim for claim in held if claim is not None]
        assert len({claim.lane for claim in claims}) == len(claims)
        for store, claim in zip(stores, held, strict=True):
            if claim is not None:
                store.finish(claim, S.PLACED, reason="TEST")
                done.append((claim.lane, claim.alert.lane_seq or 0))
    for lane in {lane for lane, _ in done}:
        assert [seq for name, seq in done if name == lane] == sorted(seq for name, seq in done if name == lane)
    assert len(done) == 9
