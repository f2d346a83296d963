"""Fills: their terms, fees and currencies, windows, pages, and what is no fill."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from brokers.types import LiquiditySide, OrderSide
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene
from tests.proof.wire_faults import Verb

SELL = OrderSide.SELL
MANY = 120  # more than one page of most lists


def told(scene: Scene, executions: list[object]) -> set[tuple[object, ...]]:
    """What the venue can tell of these executions: each of them, or where it shows totals, those of their order."""
    by_order: dict[str, list[object]] = {}
    for execution in executions:
        by_order.setdefault(execution.order_id, []).append(execution)  # type: ignore[attr-defined]
    if not scene.venue.wire.fills_are_totals:
        return {(e.order_id, e.qty, e.price, e.fee) for e in executions}  # type: ignore[attr-defined]
    return {
        (
            order_id,
            quantity := sum((e.qty for e in own), Decimal(0)),  # type: ignore[attr-defined]
            sum((e.qty * e.price for e in own), Decimal(0)) / quantity,  # type: ignore[attr-defined]
            sum((e.fee for e in own), Decimal(0)),  # type: ignore[attr-defined]
        )
        for order_id, own in by_order.items()
    }


@card(
    "FILL-TERMS-01",
    C.FILLS,
    given="a buy and a sell that were filled",
    does="read fills",
    expects="order, quantity, price and fee of each as the venue has them, to the last digit; side and instrument",
    levers=True,
)
def fills_are_the_executions(scene: Scene) -> None:
    first, second = scene.buy(parts=4), scene.place(SELL, parts=2)
    scene.done(second)
    fills = scene.fills()
    shown = {(f.venue_order_id.value, f.quantity, f.price, f.fee) for f in fills}
    assert shown == told(scene, scene.executions()) and len(shown) >= 2
    sides = {first.venue_order_id: OrderSide.BUY, second.venue_order_id: SELL}
    assert all(fill.side is sides[fill.venue_order_id] for fill in fills)
    assert {fill.instrument_id for fill in fills} == {scene.instrument_id}


@card(
    "FILL-FEE-01",
    C.FILLS,
    given="a buy and a sell at the market",
    does="read fills",
    expects="a fee that was paid is positive, in the currency that the venue took it in",
    levers=True,
)
def fees_are_positive_when_paid(scene: Scene) -> None:
    scene.buy(parts=4)
    scene.done(scene.place(SELL, parts=2))
    coins = {execution.order_id: execution.fee_coin for execution in scene.executions()}
    for fill in scene.fills():
        assert fill.fee >= 0 and fill.fee_currency == coins[fill.venue_order_id.value]
    paid = sum(fill.fee for fill in scene.fills())
    assert paid > 0 if scene.venue.capabilities.fills_carry_fees else paid == 0


@card(
    "FILL-FEE-02",
    C.FILLS,
    given="an order that was filled",
    does="read the order and its fills",
    expects="where the order totals its fees, they are the sum of its fills' fees by currency",
)
def fees_of_the_order_are_those_of_its_fills(scene: Scene) -> None:
    placed = scene.buy(parts=2)
    order, sums = scene.done(placed), dict[str, Decimal]()
    for fill in scene.fills(placed):
        sums[fill.fee_currency] = sums.get(fill.fee_currency, Decimal(0)) + fill.fee
    if order.fees:
        assert dict(order.fees) == sums


@card(
    "FILL-ID-01",
    C.FILLS,
    given="several fills",
    does="read them twice",
    expects="each has an id of its own, the same both times; our id where the row of facts says so",
)
def fills_have_ids(scene: Scene) -> None:
    placed = scene.buy(parts=3)
    scene.done(scene.place(SELL, parts=1))
    first, second = scene.fills(), scene.fills()
    assert first == second and len({fill.trade_id for fill in first}) == len(first) >= 2
    own = scene.fills(placed)
    if scene.identity.fills_carry_client_id:
        assert {fill.client_order_id for fill in own} == {placed.client_order_id}


@card(
    "FILL-LIQUIDITY-01",
    C.FILLS,
    given="an order that waited until it was filled, and one that took at once",
    does="read fills",
    expects="maker and taker, or unknown where the venue does not say; never the wrong one",
    levers=True,
)
def maker_and_taker(scene: Scene) -> None:
    taken, waited = scene.buy(), scene.rest()
    scene.working(waited)
    scene.move_price("-4")
    scene.done(waited)
    sides = {fill.venue_order_id: fill.liquidity for fill in scene.fills()}
    assert sides[taken.venue_order_id] in (LiquiditySide.TAKER, LiquiditySide.UNKNOWN)
    assert sides[waited.venue_order_id] in (LiquiditySide.MAKER, LiquiditySide.UNKNOWN)


@card(
    "FILL-NONE-01",
    C.FILLS,
    given="orders that wait, nothing filled",
    does="read fills",
    expects="nothing",
    levers=True,
)
def no_fills(scene: Scene) -> None:
    scene.working(scene.rest())
    assert scene.fills() == []


@card(
    "FILL-WINDOW-01",
    C.FILLS,
    given="fills of two hours",
    does="read the first hour, the second, and both",
    expects="each in its hour, none twice, oldest first",
    levers=True,
)
def fills_by_window(scene: Scene) -> None:
    start = scene.clock.now() - timedelta(minutes=1)
    first = scene.buy()
    scene.control.advance(seconds=3600)
    scene.broker.clock_reading()
    middle = scene.clock.now() - timedelta(minutes=1)
    second = scene.buy()
    end = scene.clock.now() + timedelta(minutes=1)

    def orders(since: object, until: object) -> list[object]:
        found = scene.broker.fills(since=since, until=until, instrument_id=scene.instrument_id)  # type: ignore[arg-type]
        return [fill.venue_order_id for fill in found]

    assert orders(start, middle) == [first.venue_order_id]
    assert orders(middle, end) == [second.venue_order_id]
    assert orders(start, end) == [first.venue_order_id, second.venue_order_id]


@card(
    "FILL-INSTRUMENT-01",
    C.FILLS,
    given="fills in every product of the venue",
    does="read them whole, then by instrument",
    expects="whole shows all; by instrument shows those of it and no other",
    where=Where.ACCOUNT,
    levers=True,
)
def fills_by_instrument(scene: Scene) -> None:
    for product in scene.venue.products:
        scene.control.place_order(
            account=scene.owner,
            symbol=product.symbol,
            kind=product.kind,
            side="buy",
            qty=product.quantity,
        )
    whole = scene.broker.fills(**scene.window())
    assert {fill.instrument_id for fill in whole} == {product.instrument_id for product in scene.venue.products}
    for product in scene.venue.products:
        own = scene.broker.fills(**scene.window(), instrument_id=product.instrument_id)
        assert set(own) == {fill for fill in whole if fill.instrument_id == product.instrument_id} != set()


@card(
    "FILL-FOREIGN-01",
    C.FILLS,
    given="a trade of the account's human",
    does="read fills",
    expects="it is shown, under no id of ours",
    levers=True,
)
def a_foreign_fill_is_shown(scene: Scene) -> None:
    truth = scene.human("buy", scene.size())
    (fill,) = scene.fills()
    assert fill.venue_order_id.value == truth.order_id
    assert fill.client_order_id is None or not fill.client_order_id.value.startswith("C")


@card(
    "FILL-PAGES-01",
    C.FILLS,
    given=f"{MANY} fills",
    does="read them",
    expects="each of them once, oldest first",
    levers=True,
)
def fills_are_read_to_the_end(scene: Scene) -> None:
    quantity = scene.size()
    scene.human("buy", quantity * 3)
    for number in range(MANY - 1):
        scene.human("buy" if number % 2 else "sell", quantity)
    fills = scene.fills()
    truth = [execution.order_id for execution in scene.executions()]
    assert sorted(fill.venue_order_id.value for fill in fills) == sorted(truth) and len(truth) == MANY
    assert [fill.time for fill in fills] == sorted(fill.time for fill in fills)


@card(
    "FILL-REPEATED-01",
    C.FILLS,
    given="an answer that shows every row twice",
    does="read fills",
    expects="each fill once",
    levers=True,
)
def repeated_rows_are_one_fill(scene: Scene) -> None:
    scene.buy()
    truth = scene.fills()
    scene.fault("rows", Verb.FILLS, times=None, shape="repeat")
    assert scene.fills() == truth


@card(
    "FILL-REVERSED-01",
    C.FILLS,
    given="an answer whose rows are in reverse",
    does="read fills",
    expects="the same fills, oldest first",
    levers=True,
)
def reversed_rows_are_sorted(scene: Scene) -> None:
    for _ in range(3):
        scene.buy()
        scene.control.advance(seconds=2)
    truth = scene.fills()
    scene.fault("rows", Verb.FILLS, times=None, shape="reverse")
    assert scene.fills() == truth and len(truth) == 3


@card(
    "FILL-FUNDING-01",
    C.FILLS,
    given="a position that is held for a day",
    does="read fills",
    expects="the one fill that opened it: funding and settlement are no fills",
    where=Where.POSITION,
    levers=True,
)
def funding_is_no_fill(scene: Scene) -> None:
    scene.charge_funding()
    placed = scene.buy(parts=10)
    scene.control.advance(days=1)
    scene.broker.clock_reading()
    now = scene.clock.now()
    fills = scene.broker.fills(since=now - timedelta(days=2), until=now + timedelta(minutes=1))
    assert {fill.venue_order_id for fill in fills} == {placed.venue_order_id}
    assert sum(fill.quantity for fill in fills) == placed.request.quantity == scene.held()
