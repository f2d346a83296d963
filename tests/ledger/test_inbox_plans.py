"""No statement of the queue reads a table that grows for ever from end to end."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from tests.ledger.inbox_scene import S, Scene, read

GROWS = ("inbox", "inbox_event", "alert_key", "lane")


# PostgreSQL chooses by what it has counted, and scans what is small.
@pytest.mark.parametrize("queue_url", ["sqlite"], indirect=True)
def test_every_statement_finds_its_rows_by_an_index(scene: Scene) -> None:
    asked: list[tuple[str, Any]] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        asked.append((statement, parameters[0] if many else parameters))

    event.listen(scene.ledger._engine, "before_cursor_execute", note)
    for number in range(3):
        scene.send(key=f"k{number}", symbol=f"S{number % 2}", ttl_s=600)
    scene.store.admit(read, worker="r")
    scene.queue(salt="weak")
    scene.send(key="k1", salt="contradicts")
    scene.queue(state=S.POISON, reason="TEST")
    claim = scene.claim()
    scene.store.heartbeat(claim)
    scene.store.note(claim, reason="TEST")
    scene.store.finish(claim, S.REFUSED, reason="TEST")
    scene.store.revive(claim.alert_id, by="ann", reason="r")
    scene.store.backlog(), scene.store.has_work(), scene.store.show(1), scene.store.events(1)
    scene.store.list(states=[S.QUEUED])
    scene.pass_s(700)
    scene.store.claim(worker="w")
    event.remove(scene.ledger._engine, "before_cursor_execute", note)
    scans = set()
    with scene.ledger.read() as session:
        driver = session.connection().connection.driver_connection
        assert driver is not None
        for statement, parameters in asked:
            if statement.startswith(("SELECT", "UPDATE", "INSERT")):
                plan = [row[3] for row in driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)]
                scans |= {(step, statement) for step in plan for table in GROWS if step == f"SCAN {table}"}
    assert len(asked) > 50
    assert scans == set()
