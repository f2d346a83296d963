"""The queue as a whole: from a delivery to its end, on both databases."""

from __future__ import annotations

import pytest

from ledger.inbox import InboxReason, LaneState, LeaseLost
from tests.ledger.inbox_scene import START, S, Scene, read


def test_an_alert_is_received_read_claimed_and_placed(scene: Scene) -> None:
    receipt = scene.send(symbol="AAPL", key="a")
    assert receipt.is_new
    assert scene.store.admit(read, worker="r") == 1
    claim = scene.claim()
    assert (claim.alert_id, claim.attempt, claim.epoch, claim.lane) == (
        receipt.alert_id,
        1,
        1,
        "tradestation.simulated.main|AAPL",
    )
    scene.store.note(claim, reason="TEST_SUBMITTED", detail="leg 1")
    assert scene.store.finish(claim, S.PLACED, reason="TEST_PLACED") is S.PLACED
    alert = scene.store.show(receipt.alert_id)
    assert (alert.state, alert.reason, alert.lane_seq, alert.finished_at) == (S.PLACED, "TEST_PLACED", 1, START)
    assert scene.reasons(receipt.alert_id) == ["TEST_READ", "ALERT_CLAIMED", "TEST_SUBMITTED", "TEST_PLACED"]
    assert scene.store.claim(worker="w") is None
    lane = scene.store.lanes()[0]
    assert (lane.state, lane.head_seq, lane.next_seq, lane.due_at) == (LaneState.RUNNING, 2, 2, None)


def test_a_lane_has_one_lease_and_its_order(scene: Scene) -> None:
    first, second = scene.queue(key="1"), scene.queue(key="2")
    other = scene.queue(key="3", symbol="MSFT")
    a, b = scene.claim("a"), scene.claim("b")
    assert {a.alert_id, b.alert_id} == {first, other}
    assert scene.store.claim(worker="c") is None
    scene.store.finish(a, S.PLACED, reason="TEST")
    assert scene.claim("c").alert_id == second


def test_a_lapsed_lease_is_taken_over_and_the_former_worker_refused(scene: Scene) -> None:
    number = scene.queue(ttl_s=600)
    old = scene.claim("old")
    scene.pass_s(15.0)
    assert scene.store.claim(worker="new") is None  # the wait after a failed attempt comes on top
    scene.pass_s(1.0)
    new = scene.claim("new")
    assert (new.alert_id, new.epoch, new.attempt) == (number, 2, 2)
    assert not scene.store.heartbeat(old)
    with pytest.raises(LeaseLost, match="old no longer holds alert"):
        scene.store.finish(old, S.PLACED, reason="TEST")
    with pytest.raises(LeaseLost):
        scene.store.note(old, reason="TEST")
    assert scene.store.heartbeat(new)
    scene.store.finish(new, S.PLACED, reason="TEST")
    assert InboxReason.ALERT_TAKEN_OVER.value in scene.reasons(number)
