"""The store against its model: whatever is asked of it in whatever order, both say the same."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.inbox import Claim, LeaseLost
from ledger.invariants import Rules, check_ledger
from tests.ledger.conftest import PostgresCluster, empty_queue
from tests.ledger.inbox_model import ATTEMPTS_MAX, Model, ModelAlert
from tests.ledger.inbox_scene import ACCOUNT, START, S, Scene, read

BODIES = [
    {"symbol": symbol, "key": key, "ttl_s": ttl_s, "skippable": skippable, "salt": salt}
    for symbol, key, ttl_s, skippable, salt in (
        ("A", "", 40, True, 0),
        ("A", "", None, True, 1),
        ("A", "k1", 600, False, 2),
        ("A", "k1", 600, False, 3),  # contradicts the one before
        ("B", "k2", 40, True, 4),
        ("B", "", 600, False, 5),
        ("C", "k3", None, True, 6),
    )
]
ENDS = (S.PLACED, S.REFUSED, S.NEEDS_HUMAN, S.WAITING, S.DEAD)
Fresh = Callable[[ManualClock], Ledger]


class QueueMachine(RuleBasedStateMachine):
    fresh: Fresh

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock(START)
        self.scene = Scene(self.fresh(self.clock), self.clock)
        self.model = Model()
        self.claims: list[Claim] = []

    def teardown(self) -> None:
        self.scene.ledger.close()

    @rule(which=st.lists(st.integers(0, len(BODIES) - 1), min_size=1, max_size=3))
    def receive(self, which: list[int]) -> None:
        receipts = self.scene.store.receive([self.scene.delivery(**BODIES[number]) for number in which])
        for number, receipt in zip(which, receipts, strict=True):
            body = BODIES[number]
            wanted = self.model.receive(
                json.dumps(body),
                self.clock.now(),
                key=body["key"],
                lane=f"{ACCOUNT}|{body['symbol']}",
                ttl_s=body["ttl_s"],
                skippable=body["skippable"],
            )
            assert (receipt.alert_id, receipt.is_new) == wanted

    @rule()
    def admit(self) -> None:
        assert self.scene.store.admit(read, worker="reader") == self.model.admit(self.clock.now())

    @rule(seconds=st.sampled_from([0.5, 1, 2, 5, 16, 31, 61, 700]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    @rule()
    def claim(self) -> None:
        now = self.clock.now()
        claim = self.scene.store.claim(worker=f"w{len(self.claims)}")
        self.model.expire(now)
        for alert in self.model.due(now):  # what it came across with its attempts used up
            if alert.attempts >= ATTEMPTS_MAX and self.scene.state(alert.number) is S.DEAD:
                self.model.bury(alert)
        due = [alert for alert in self.model.due(now) if alert.attempts < ATTEMPTS_MAX]
        if claim is None:
            assert self.model.due(now) == []
            return
        alert = self.model.alerts[claim.alert_id]
        assert alert in due
        self.model.claim(alert, now)
        assert (claim.epoch, claim.attempt) == (alert.epoch, alert.attempts)
        assert claim.is_expired == (alert.expires_at is not None and alert.expires_at <= now)
        self.claims.append(claim)

    def _held(self, claim: Claim) -> ModelAlert | None:
        """The alert, as long as the claim counts."""
        alert = self.model.alerts[claim.alert_id]
        return alert if alert.state is S.WORKING and alert.epoch == claim.epoch else None

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def heartbeat(self, data: st.DataObject) -> None:
        claim = data.draw(st.sampled_from(self.claims))
        alert = self._held(claim)
        assert self.scene.store.heartbeat(claim) == (alert is not None)
        if alert is not None:
            self.model.beat(alert, self.clock.now())

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), state=st.sampled_from(ENDS), retry_s=st.sampled_from([None, 0, 20, 90]))
    def finish(self, data: st.DataObject, state: S, retry_s: int | None) -> None:
        claim = data.draw(st.sampled_from(self.claims[-4:]))
        alert = self._held(claim)
        is_later = state is S.WAITING and retry_s is not None
        retry_at = self.clock.now() + timedelta(seconds=retry_s or 0) if is_later else None
        if alert is None:
            with pytest.raises(LeaseLost):
                self.scene.store.finish(claim, state, reason="TEST", retry_at=retry_at)
            return
        self.scene.store.finish(claim, state, reason="TEST", retry_at=retry_at)
        self.model.finish(alert, state, self.clock.now(), retry_at)

    @rule(data=st.data())
    def a_person_decides(self, data: st.DataObject) -> None:
        alerts = self.model.alerts.values()
        dead = [a for a in alerts if a.state in (S.DEAD, S.NEEDS_HUMAN, S.REFUSED)]
        asked = [a for a in alerts if a.state is S.NEEDS_HUMAN or (a.state is S.QUEUED and a.epoch == 0)]
        acts: list[tuple[str, Any]] = [("revive", a) for a in dead] + [("dismiss", a) for a in asked]
        acts += [("restart", lane) for lane in self.model.stopped]
        if not acts:
            return
        act, on = data.draw(st.sampled_from(acts))
        if act == "restart":
            self.scene.store.restart_lane(on, by="ann", reason="r")
            del self.model.stopped[on]
        elif act == "revive":
            assert self.scene.store.revive(on.number, by="ann", reason="r") is S.QUEUED
            self.model.decide(on, S.QUEUED, self.clock.now())
        else:
            self.scene.store.dismiss(on.number, by="ann", reason="r")
            self.model.decide(on, S.REFUSED, self.clock.now())

    @invariant()
    def both_say_the_same(self) -> None:
        found = {alert.alert_id: alert for alert in self.scene.store.list(limit=500)}
        assert found.keys() == self.model.alerts.keys()
        for number, alert in self.model.alerts.items():
            stored = found[number]
            assert (stored.state, stored.attempts, stored.epoch, stored.lane_seq or 0, stored.deliveries) == (
                alert.state,
                alert.attempts,
                alert.epoch,
                alert.seq,
                alert.deliveries,
            ), f"alert {number}"
        stopped = {lane.lane: lane.stopped_by for lane in self.scene.store.backlog().stopped_lanes}
        assert stopped == self.model.stopped
        with self.scene.ledger.read() as session:
            rules = Rules(now=self.clock.now(), overdue_s_max=float("inf"))
            assert check_ledger(session, rules=rules) == ()


@pytest.fixture
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fresh]:
    """A new, empty queue for each history."""
    numbers = itertools.count()
    if request.param == "postgresql":
        cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
        database: str = request.getfixturevalue("queue_database")

    def make(clock: ManualClock) -> Ledger:
        if request.param == "sqlite":
            path = tmp_path / f"{next(numbers)}.db"
            shutil.copy(request.getfixturevalue("queue_template"), path)
            url = f"sqlite:///{path}"
        else:
            empty_queue(cluster, database)
            url = cluster.url(database)
        return Ledger.open(url, environment=Environment.SIMULATED, clock=clock)

    yield make


@pytest.mark.parametrize(
    ("fresh", "share"),
    [("sqlite", 15), pytest.param("postgresql", 40, marks=pytest.mark.postgres)],
    indirect=["fresh"],
)
def test_the_store_does_what_the_model_says(fresh: Fresh, share: int, alerts_in_all: int) -> None:
    machine = type("Machine", (QueueMachine,), {"fresh": staticmethod(fresh)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=alerts_in_all // share,
            stateful_step_count=40,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate),  # forty steps can be read; shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
