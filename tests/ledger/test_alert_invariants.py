"""I12 can fail: each way of breaking it is named."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import text

from ledger.invariants import Invariant, Rules, check_ledger
from tests.ledger.inbox_scene import ACCOUNT, S, Scene


@pytest.fixture
def rested(scene: Scene) -> Scene:
    """Alerts that have come to rest: placed, dead, refused while read, a duplicate, and one that needs a person."""
    scene.queue(key="k", salt="")
    scene.store.finish(scene.claim(), S.PLACED, reason="TEST")
    scene.queue(ttl_s=None)
    scene.store.finish(scene.claim(), S.DEAD, reason="TEST")
    scene.queue(state=S.REFUSED, reason="TEST")
    scene.pass_s(61)
    scene.queue(key="k", salt="")
    scene.queue(ttl_s=None)
    scene.store.finish(scene.claim(), S.NEEDS_HUMAN, reason="TEST")
    return scene


def findings(scene: Scene, rules: Rules = Rules(), account_id: str | None = None) -> list[str]:
    with scene.ledger.read() as session:
        found = check_ledger(session, account_id, rules=rules)
    assert {finding.invariant for finding in found} <= {Invariant.ALERTS_END}
    return [finding.detail for finding in found]


def test_a_queue_that_came_to_rest_breaks_nothing(rested: Scene) -> None:
    assert findings(rested) == findings(rested, account_id=ACCOUNT) == []


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM inbox WHERE alert_id = 2", "events of alert 2 belong to no alert on record"),
        ("UPDATE inbox SET state = 'working', finished_at = NULL WHERE alert_id = 1", "its last event led to placed"),
        ("UPDATE inbox SET epoch = 7 WHERE alert_id = 1", "alert 1 is placed at epoch 7"),
        ("UPDATE inbox SET reason = '' WHERE alert_id = 3", "alert 3 ended as refused without a reason"),
        ("UPDATE inbox SET finished_at = NULL WHERE alert_id = 1", "alert 1 is placed, and its end is None"),
        ("UPDATE inbox SET duplicate_of = 99 WHERE alert_id = 4", "alert 4 repeats alert 99"),
        ("DELETE FROM inbox_event WHERE alert_id = 1", "alert 1 is placed without any event"),
        (
            "DELETE FROM inbox_event WHERE alert_id = 1 AND to_state = 'working'",
            "the one before ended at queued",
        ),
        ("DELETE FROM inbox_event WHERE alert_id = 1 AND to_state = 'queued'", "the first event starts at queued"),
        ("UPDATE inbox_event SET epoch = 0 WHERE to_state = 'working'", "epoch went from 0 to 0 at working"),
        ("UPDATE inbox SET lane_seq = 9 WHERE alert_id = 1", "alert 1 overtook alert 2 in lane"),
        ("UPDATE alert_key SET body_sha256 = 'x'", "key 'k' of tv belongs to alert 1, which is not on record"),
    ],
)
def test_a_queue_that_was_changed_is_named(rested: Scene, statement: str, found: str) -> None:
    is_sqlite = rested.ledger.url.startswith("sqlite")
    with rested.ledger.write() as session:
        connection = session.connection()
        for table in ("inbox_event", "alert_key") if is_sqlite else ():
            for verb in ("update", "delete"):
                connection.execute(text(f"DROP TRIGGER {table}_no_{verb}"))
        if not is_sqlite:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        assert connection.execute(text(statement)).rowcount
    assert any(found in detail for detail in findings(rested)), findings(rested)


def test_what_is_open_is_late_once_its_time_is_long_over(scene: Scene) -> None:
    scene.queue(ttl_s=30)
    scene.send(salt="never read")
    for late_s, named in ((60, 0), (1_300, 2)):
        now = scene.clock.now() + timedelta(seconds=late_s)
        assert len(findings(scene, Rules(now=now))) == named
    assert findings(scene) == ["alert 1 came to rest as queued", "alert 2 came to rest as new"]
