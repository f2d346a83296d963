"""Requests per operation, counted by the simulator. The numbers stand in the outcomes: one more fails a plain run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene

REQUESTS_MAX = 3  # of one operation, unless a venue keeps apart what belongs together: its row says so
OPERATIONS: dict[str, Callable[[Scene], Any]] = {
    "connect": lambda scene: scene.broker.connect(),
    "balances": lambda scene: scene.broker.balances(),
    "positions": lambda scene: scene.broker.positions(),
    "margin health": lambda scene: scene.broker.margin_health(),
    "one quote": lambda scene: scene.quote(),
    "open orders": lambda scene: scene.broker.open_orders(),
    "order history of 6 h": lambda scene: scene.broker.order_history(**scene.window()),
    "fills of 6 h, one instrument": lambda scene: scene.fills(),
    "place": lambda scene: scene.send(
        scene.broker.prepare_order(
            scene.request(limit_price=scene.placed[0].request.limit_price, quantity=scene.placed[0].request.quantity),
            scene.new_id(),
        )
    ),
    "find an open order": lambda scene: scene.find(scene.placed[0]),
    "cancel": lambda scene: scene.cancel(scene.placed[0]),
}


def measured(scene: Scene, operation: str, call: Callable[[Scene], Any]) -> None:
    """Count the requests of one call of a broker that is warm: clock, instruments and margin mode were read before."""
    scene.broker.connect()
    if scene.config.instruments:  # of every product that the account lists
        scene.broker.instruments(scene.config.instruments)
    placed = scene.rest()
    scene.working(placed)
    scene.broker.balances()
    scene.clock.wait(15)
    with scene.counted() as found:
        call(scene)
    scene.notes["count"] = found[0]
    most = scene.venue.requests_max.get(operation, REQUESTS_MAX)
    assert 1 <= found[0] <= most, f"{operation} made {found[0]} requests"


def _costs(name: str, operation: str, call: Callable[[Scene], Any]) -> None:
    @card(
        f"REQUESTS-{name}-01",
        C.REQUESTS,
        given="a broker that has read instruments, clock and margin mode before",
        does=f"call: {operation}",
        expects="at most three requests, or what the venue's row names; the number is kept with the outcome, so that "
        "one more is seen",
        where=Where.ACCOUNT,
        levers=True,
    )
    def play(scene: Scene) -> None:
        measured(scene, operation, call)


for _operation, _call in OPERATIONS.items():
    _costs(_operation.upper().split(" OF ")[0].replace(" ", "-"), _operation, _call)


@card(
    "REQUESTS-QUOTES-50-01",
    C.REQUESTS,
    given="fifty instruments, all read before",
    does="read the quotes of all fifty",
    expects="at most three requests; the number is kept with the outcome, so that one more is seen",
    where=Where.ACCOUNT,
    levers=True,
    row="many",
)
def quotes_of_fifty(scene: Scene) -> None:
    assert scene.open_many is not None
    with scene.open_many() as (sim, broker, ids):
        assert len(ids) == len(set(ids)) == 50
        broker.instruments(ids)
        broker.quotes(ids)
        before = int(sim.control.health()["requests"])
        assert len(broker.quotes(ids)) == 50
        found = len(sim.control.requests(since=before))
    scene.notes["count"] = found
    assert 1 <= found <= REQUESTS_MAX, f"quotes of fifty symbols made {found} requests"
