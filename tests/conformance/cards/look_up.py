"""Looking orders up: by both ids, open, recent and old; lists and their pages; duplicate ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from brokers.capabilities import IdScope
from brokers.errors import DuplicateClientOrderId
from brokers.ids import ClientOrderId
from brokers.types import Order, OrderStatus
from tests.conformance.capability import Capability as C
from tests.conformance.card import Proof, Where, card
from tests.conformance.cards.cancelling import another
from tests.conformance.cards.order_types import same_terms
from tests.conformance.recorded import agrees, plain, recording, replay
from tests.conformance.scene import Placed, Scene
from tests.proof.wire_faults import Verb

CROWD = 60  # more than one page of most lists


def by_ours(scene: Scene, placed: Placed) -> Order | None:
    return scene.broker.find_order(instrument_id=scene.instrument_id, client_order_id=placed.client_order_id)


def by_theirs(scene: Scene, placed: Placed) -> Order | None:
    return scene.broker.find_order(instrument_id=scene.instrument_id, venue_order_id=placed.venue_order_id)


def ask_by_ours(scene: Scene) -> Order | None:
    return scene.broker.find_order(instrument_id=scene.instrument_id, client_order_id=scene.new_id())


def _looks(word: str, capability: C, look: Callable[[Scene, Placed], Order | None]) -> None:
    """The same cards for either id."""
    refused = ask_by_ours if capability is C.FIND_BY_CLIENT_ID else None
    whose = "our id" if capability is C.FIND_BY_CLIENT_ID else "the venue's id"

    @card(
        f"FIND-{word}-OPEN-01",
        capability,
        given="an order that waits",
        does=f"look it up by {whose}",
        expects="that order, with its terms, open",
        refused=refused,
    )
    def open_order(scene: Scene) -> None:
        placed = scene.rest()
        scene.working(placed)
        order = look(scene, placed)
        assert order is not None and order.status.is_open
        same_terms(order, placed)
        assert order.venue_order_id == placed.venue_order_id

    @card(
        f"FIND-{word}-RECENT-01",
        capability,
        given="an order that was filled and one that was cancelled just now",
        does=f"look them up by {whose}",
        expects="each as it ended",
        refused=refused,
    )
    def recent_order(scene: Scene) -> None:
        filled, cancelled = scene.buy(), scene.rest()
        scene.working(cancelled)
        scene.cancel(cancelled)
        scene.done(cancelled)
        for placed, status in ((filled, OrderStatus.FILLED), (cancelled, OrderStatus.CANCELLED)):
            order = look(scene, placed)
            assert order is not None and order.status is status

    @card(
        f"FIND-{word}-HISTORY-01",
        capability,
        given="an order that was cancelled, and a list of open orders that shows nothing at all",
        does=f"look it up by {whose}",
        expects="found all the same, where the venue keeps what is over",
        levers=True,
        refused=refused,
    )
    def hidden_order(scene: Scene) -> None:
        placed = scene.rest()
        scene.working(placed)
        scene.cancel(placed)
        scene.done(placed)
        scene.clock.wait(15)  # more than any list is kept for the next look
        scene.fault("rows", Verb.OPEN_ORDERS, times=None, shape="truncate", keep=0)
        order = look(scene, placed)
        assert order is not None and order.status is OrderStatus.CANCELLED

    @card(
        f"FIND-{word}-OLD-01",
        capability,
        given="an order that was filled three days ago",
        does=f"look it up by {whose}",
        expects="found in the venue's history, as it ended",
        levers=True,
        refused=refused,
    )
    def old_order(scene: Scene) -> None:
        placed = scene.buy()
        scene.control.advance(days=3)
        scene.broker.clock_reading()
        order = look(scene, placed)
        assert order is not None and order.status is OrderStatus.FILLED
        same_terms(order, placed)


_looks("OUR-ID", C.FIND_BY_CLIENT_ID, by_ours)
_looks("VENUE-ID", C.FIND_BY_VENUE_ID, by_theirs)


@card(
    "FIND-OUR-ID-NONE-01",
    C.FIND_BY_CLIENT_ID,
    given="an id that was never sent, and other orders",
    does="look it up",
    expects="None: every read succeeded and none shows it",
    refused=ask_by_ours,
)
def nothing_under_our_id(scene: Scene) -> None:
    scene.working(scene.rest())
    assert ask_by_ours(scene) is None


@card(
    "FIND-VENUE-ID-NONE-01",
    C.FIND_BY_VENUE_ID,
    given="an id of the venue's form that no order has",
    does="look it up",
    expects="None",
)
def nothing_under_their_id(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    absent = another(placed.venue_order_id)
    assert scene.broker.find_order(instrument_id=scene.instrument_id, venue_order_id=absent) is None


@card(
    "OPEN-NONE-01",
    C.OPEN_ORDERS,
    given="no order",
    does="read open orders",
    expects="nothing",
    where=Where.ACCOUNT,
    levers=True,
)
def no_open_orders(scene: Scene) -> None:
    assert scene.broker.open_orders() == ()


@card(
    "OPEN-LIST-01",
    C.OPEN_ORDERS,
    given="two orders that wait, one filled and one cancelled",
    does="read open orders",
    expects="of these exactly the two that wait, with their terms",
)
def exactly_the_open_ones(scene: Scene) -> None:
    first, second, third = scene.rest(), scene.rest(parts=2), scene.rest()
    filled = scene.buy()
    scene.working(third)
    scene.cancel(third)
    scene.done(third)
    for placed in (first, second):
        scene.working(placed)
    own = {placed.venue_order_id: placed for placed in (first, second, third, filled)}
    shown = {order.venue_order_id: order for order in scene.broker.open_orders() if order.venue_order_id in own}
    assert set(shown) == {first.venue_order_id, second.venue_order_id}
    for identifier, order in shown.items():
        same_terms(order, own[identifier])


@card(
    "OPEN-OVER-01",
    C.OPEN_ORDERS,
    given="a recorded list of open orders that shows one which is over beside one that waits",
    does="read open orders",
    expects="the one that waits, and nothing else",
    where=Where.ACCOUNT,
    levers=True,
    proof=Proof.RECORDED,
    row="serve",
)
def what_is_over_is_not_open(scene: Scene) -> None:
    recorded = recording(scene.venue.name, "REC-OPEN-OVER-01")
    with replay(scene.venue, recorded) as player:
        found = player.value()
    assert len(found) == 1 and agrees(plain(found), recorded.expected), f"expected {recorded.expected}, was {found}"


@card(
    "OPEN-FOREIGN-01",
    C.OPEN_ORDERS,
    given="an order of the account's human",
    does="read open orders",
    expects="it is shown, under no id of ours",
    levers=True,
)
def a_foreign_order_is_shown(scene: Scene) -> None:
    truth = scene.human("buy", scene.size(), price=scene.resting())
    (order,) = scene.broker.open_orders()
    assert order.venue_order_id.value == truth.order_id and order.quantity == truth.qty
    assert order.client_order_id is None or not order.client_order_id.value.startswith("C")


@card(
    "OPEN-PAGES-01",
    C.OPEN_ORDERS,
    given=f"{CROWD} orders that wait",
    does="read open orders",
    expects="each of them once",
    levers=True,
)
def open_orders_are_read_to_the_end(scene: Scene) -> None:
    price, quantity = scene.resting(), scene.size()
    truth = [scene.human("buy", quantity, price=price).order_id for _ in range(CROWD)]
    shown = [order.venue_order_id.value for order in scene.broker.open_orders()]
    assert sorted(shown) == sorted(truth)


@card(
    "HISTORY-LIST-01",
    C.ORDER_HISTORY,
    given="an order that was filled, one that was cancelled and one that waits",
    does="read the history",
    expects="the two that are over, with how they ended; not the one that waits",
)
def exactly_the_closed_ones(scene: Scene) -> None:
    filled, cancelled, resting = scene.buy(), scene.rest(), scene.rest()
    scene.working(cancelled)
    scene.cancel(cancelled)
    scene.done(cancelled)
    own = {placed.venue_order_id for placed in (filled, cancelled, resting)}
    found = {
        o.venue_order_id: o.status for o in scene.broker.order_history(**scene.window()) if o.venue_order_id in own
    }
    assert found == {
        filled.venue_order_id: OrderStatus.FILLED,
        cancelled.venue_order_id: OrderStatus.CANCELLED,
    }


@card(
    "HISTORY-WINDOW-01",
    C.ORDER_HISTORY,
    given="orders of two hours",
    does="read the history of the first, of the second, and of both",
    expects="each in the hour of its creation, none twice; oldest first",
    levers=True,
)
def history_by_window(scene: Scene) -> None:
    start = scene.clock.now() - timedelta(minutes=1)
    first = scene.buy()
    scene.control.advance(seconds=3600)
    scene.broker.clock_reading()
    middle = scene.clock.now() - timedelta(minutes=1)
    second = scene.buy()
    end = scene.clock.now() + timedelta(minutes=1)

    def ids(since: object, until: object) -> list[str]:
        return [o.venue_order_id.value for o in scene.broker.order_history(since=since, until=until)]  # type: ignore[arg-type]

    assert ids(start, middle) == [first.venue_order_id.value]
    assert ids(middle, end) == [second.venue_order_id.value]
    assert ids(start, end) == [first.venue_order_id.value, second.venue_order_id.value]


@card(
    "HISTORY-PAGES-01",
    C.ORDER_HISTORY,
    given=f"{CROWD} orders that are filled",
    does="read the history",
    expects="each of them once",
    levers=True,
)
def history_is_read_to_the_end(scene: Scene) -> None:
    quantity = scene.size()
    truth = [scene.human("buy", quantity).order_id for _ in range(CROWD)]
    shown = [order.venue_order_id.value for order in scene.broker.order_history(**scene.window())]
    assert sorted(shown) == sorted(truth)


def send_again(scene: Scene, client_order_id: ClientOrderId) -> bool:
    """Whether the same id was refused as a duplicate."""
    try:
        scene.rest(client_order_id=client_order_id)
    except DuplicateClientOrderId as error:
        assert error.code or error.text
        return True
    return False


@card(
    "DUPLICATE-OPEN-01",
    C.DUPLICATE_IDS,
    given="an order that waits",
    does="send its client order id again",
    expects="DuplicateClientOrderId where the row of facts says that ids are checked; the venue has one order then",
    levers=True,
)
def an_id_of_an_open_order(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    is_refused = send_again(scene, placed.client_order_id)
    assert is_refused or scene.identity.id_scope is IdScope.NONE
    assert len(scene.control.orders(scene.owner)) == (1 if is_refused else 2)


@card(
    "DUPLICATE-DONE-01",
    C.DUPLICATE_IDS,
    given="an order that is over",
    does="send its client order id again",
    expects="DuplicateClientOrderId where ids are permanent; elsewhere the venue may take it, and says which",
    levers=True,
)
def an_id_of_a_done_order(scene: Scene) -> None:
    placed = scene.buy()
    is_refused = send_again(scene, placed.client_order_id)
    assert is_refused or scene.identity.id_scope is not IdScope.PERMANENT
    assert len(scene.control.orders(scene.owner)) == (1 if is_refused else 2)


@card(
    "DUPLICATE-PROOF-01",
    C.DUPLICATE_IDS,
    needs=(C.FIND_BY_CLIENT_ID,),
    given="a client order id that was refused as a duplicate",
    does="look it up",
    expects="the first order, with its terms",
    refused=ask_by_ours,
)
def a_duplicate_is_proof(scene: Scene) -> None:
    placed = scene.rest(parts=2)
    scene.working(placed)
    with pytest.raises(DuplicateClientOrderId):
        scene.place(client_order_id=placed.client_order_id, limit_price=placed.request.limit_price)
    order = by_ours(scene, placed)
    assert order is not None and order.venue_order_id == placed.venue_order_id
    same_terms(order, placed)
