"""An order costs the same however many came before it: counted in steps of the database's own machine, not in time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from brokers.clock import ManualClock
from ledger.engine import Ledger
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import CLASSES, Fault, ModelVenue
from trading.runtime import Runtime
from trading.watching import left_alone

COPIES = 60  # of each of the orders that were played
EVERY = 10  # steps of SQLite's machine between two counts
# Which columns must differ from copy to copy; what else is in a row is copied.
IDENTITIES = {
    "order_intent": ("intent_id", "client_order_id", "venue_order_id", "business_key"),
    "order_attempt": ("client_order_id", "intent_id"),
    "order_send": ("send_id", "client_order_id"),
    "observation": ("intent_id", "client_order_id", "send_id"),
    "transition": ("intent_id",),
    "venue_order": ("venue_order_id", "client_order_id", "intent_id"),
    "fill": ("trade_id", "venue_order_id", "client_order_id"),
}
NUMBERED = {"observation": "observation_id", "transition": "transition_id"}


class Steps:
    """How many steps the database's machine has taken on all connections that were opened since."""

    def __init__(self) -> None:
        self.count = 0

    def attach(self, connection: Any, record: object) -> None:
        connection.set_progress_handler(self._more, EVERY)

    def _more(self) -> int:
        self.count += EVERY
        return 0

    def of(self, work: Callable[[], object]) -> int:
        before = self.count
        work()
        return self.count - before


@pytest.fixture
def steps() -> Iterator[Steps]:
    counted = Steps()
    event.listen(Engine, "connect", counted.attach)
    yield counted
    event.remove(Engine, "connect", counted.attach)


def _copy_what_is_over(ledger: Ledger) -> None:
    """Every row of every order, many times under other ids, as years of trading leave them."""
    with ledger.write() as session:
        connection = session.connection()
        for table, identities in IDENTITIES.items():
            names = [row[1] for row in connection.exec_driver_sql(f"PRAGMA table_info({table})")]
            names = [name for name in names if name != NUMBERED.get(table)]
            values = [f"{name} || '-' || copy.number" if name in identities else f'"{name}"' for name in names]
            numbers = f"copy(number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM copy WHERE number < {COPIES})"
            copied = f'INSERT INTO "{table}" ({", ".join(names)}) SELECT {", ".join(values)} FROM "{table}", copy'
            connection.exec_driver_sql(f"WITH RECURSIVE {numbers} {copied}")


@pytest.mark.parametrize("kind", ["permanent", "open only, deadline"])
def test_an_order_costs_the_same_after_thousands(
    kind: str, steps: Steps, ledger: Ledger, clock: ManualClock, make_desk: MakeDesk, want: Want
) -> None:
    venue = ModelVenue(clock, order_identity=CLASSES[kind])
    desk = make_desk(broker=venue)

    def play(name: str) -> None:
        """One that fills, one that gets lost, one that rests and is taken back, and a look for what is left."""
        clock.wait(3_600)
        for key, script, limit in (("fills", [], None), ("gets lost", [Fault.LOST], None), ("rests", [], "40000")):
            venue.script = list(script)
            view = desk.submit(want(f"{name} {key}", limit=limit, ttl_s=200))
            desk.drive([view.intent_id], timeout_s=20)
            desk.cancel(view.intent_id, reason="the end of the test")
            (view,) = desk.drive([view.intent_id], timeout_s=600)
            assert view.state.is_terminal
        left_alone(Runtime(venue.account_id, ledger, venue, desk, clock, "watcher"), for_s=2.0)
        desk.sweep()

    for number in range(3):
        play(f"early {number}")
    before = steps.of(lambda: play("before"))
    clock.wait(3_600)
    _copy_what_is_over(ledger)
    after = steps.of(lambda: play("after"))
    assert before > 1_000  # it is counted
    assert after < 1.2 * before
