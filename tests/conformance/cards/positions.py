"""Positions, what is held as a balance, and closing."""

from __future__ import annotations

from decimal import Decimal

from brokers.closing import closing_requests
from brokers.rounding import MONEY
from brokers.types import OrderSide, PositionMode, PositionSide
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def average_of_fills(scene: Scene) -> Decimal:
    fills = scene.fills()
    value = sum((MONEY.multiply(fill.quantity, fill.price) for fill in fills), Decimal(0))
    return MONEY.divide(value, sum((fill.quantity for fill in fills), Decimal(0)))


@card(
    "POS-FLAT-01",
    C.POSITIONS,
    given="an account without positions",
    does="read them",
    expects="nothing is shown",
    where=Where.ACCOUNT,
    levers=True,
)
def nothing_held(scene: Scene) -> None:
    assert scene.broker.positions() == ()


@card(
    "POS-LONG-01",
    C.POSITIONS,
    given="a flat account",
    does="buy at the market",
    expects="one long position of what was filled, at the average price of its fills",
    where=Where.POSITION,
    levers=True,
)
def a_long_position(scene: Scene) -> None:
    placed = scene.buy(parts=3)
    position = scene.position()
    assert position is not None and position.side is PositionSide.LONG
    assert position.quantity == placed.request.quantity
    assert position.average_price is not None
    assert abs(position.average_price - average_of_fills(scene)) < scene.instrument.tick_size


@card(
    "POS-SHORT-01",
    C.POSITIONS,
    given="a flat account",
    does="sell at the market",
    expects="one short position, its quantity negative",
    where=Where.POSITION,
)
def a_short_position(scene: Scene) -> None:
    placed = scene.place(SELL)
    scene.done(placed)
    position = scene.position()
    assert position is not None
    assert (position.side, position.quantity) == (PositionSide.SHORT, -placed.request.quantity)


@card(
    "POS-ADD-01",
    C.POSITIONS,
    given="a long position",
    does="buy more at another price",
    expects="one position of both, at the average of all fills",
    where=Where.POSITION,
    levers=True,
)
def a_position_grows(scene: Scene) -> None:
    first = scene.buy(parts=2)
    scene.move_price("1")
    second = scene.buy(parts=3)
    position = scene.position()
    assert position is not None and position.average_price is not None
    assert position.quantity == first.request.quantity + second.request.quantity
    assert abs(position.average_price - average_of_fills(scene)) < scene.instrument.tick_size


@card(
    "POS-REDUCE-01",
    C.POSITIONS,
    given="a long position",
    does="sell a part of it",
    expects="the rest is left, still long",
    where=Where.POSITION,
)
def a_position_shrinks(scene: Scene) -> None:
    bought = scene.buy(parts=3)
    sold = scene.place(SELL, parts=1)
    scene.done(sold)
    assert scene.held() == bought.request.quantity - sold.request.quantity > 0


@card(
    "POS-FOREIGN-01",
    C.POSITIONS,
    given="the account's human trades at the venue",
    does="read positions",
    expects="that position is shown as any other",
    where=Where.POSITION,
    levers=True,
)
def a_foreign_position(scene: Scene) -> None:
    quantity = scene.size(2)
    scene.human("buy", quantity)
    assert scene.held() == quantity


@card(
    "POS-PROFIT-01",
    C.POSITIONS,
    given="a long position, and a price that falls by two per cent",
    does="read positions",
    expects="where the venue states a profit it is a loss now; the quantity is unchanged",
    where=Where.POSITION,
    levers=True,
)
def a_position_loses(scene: Scene) -> None:
    scene.buy(parts=10)
    held = scene.held()
    scene.move_price("-2")
    position = scene.position()
    assert position is not None and position.quantity == held
    assert position.unrealised_pnl is None or position.unrealised_pnl < 0


@card(
    "POS-BALANCE-01",
    C.POSITIONS,
    given="no holding",
    does="buy at the market",
    expects="the base currency's balance grows by what was filled less its fee; no position is shown",
    where=Where.BALANCE,
)
def a_holding_is_a_balance(scene: Scene) -> None:
    before = scene.held()
    placed = scene.buy()
    order = scene.done(placed)
    own = scene.fills(placed)
    fee = sum((f.fee for f in own if f.fee_currency == scene.instrument.base_currency), Decimal(0))
    assert scene.held() - before == order.filled_quantity - fee
    assert scene.instrument_id not in {position.instrument_id for position in scene.broker.positions()}


@card(
    "POS-BALANCE-02",
    C.POSITIONS,
    given="a holding",
    does="sell it, whole lots",
    expects="less than one lot is left of what was bought",
    where=Where.BALANCE,
)
def a_holding_is_sold(scene: Scene) -> None:
    before, sellable = scene.held(), scene.sellable()
    scene.buy(parts=2)
    request = scene.back(before)
    assert request is not None
    scene.done(scene.send(scene.broker.prepare_order(request, scene.new_id())))
    assert 0 <= scene.sellable() - sellable < scene.instrument.lot_size


def close_it(scene: Scene, side: OrderSide) -> None:
    scene.done(scene.place(side, parts=3))
    position = scene.position()
    assert position is not None
    for request in closing_requests(position, scene.instrument):
        assert request.reduce_only
        scene.done(scene.send(scene.broker.prepare_order(request, scene.new_id())))
    assert scene.held() == 0 and scene.position() is None


@card(
    "CLOSE-LONG-01",
    C.CLOSING,
    given="a long position",
    does="send what closes it",
    expects="flat, and no position is shown",
    where=Where.POSITION,
)
def a_long_is_closed(scene: Scene) -> None:
    close_it(scene, BUY)


@card(
    "CLOSE-SHORT-01",
    C.CLOSING,
    given="a short position",
    does="send what closes it",
    expects="flat, and no position is shown",
    where=Where.POSITION,
)
def a_short_is_closed(scene: Scene) -> None:
    close_it(scene, SELL)


@card(
    "HEDGE-BOTH-01",
    C.HEDGE,
    given="hedge mode",
    does="open a long and a short of one instrument, close each",
    expects="two positions, each with its side; flat at the end; one-way mode again",
    levers=True,
    refused=lambda scene: scene.broker.prepare_order(scene.request(position_side=PositionSide.LONG), scene.new_id()),
)
def both_sides_of_one_instrument(scene: Scene) -> None:
    broker, identifier = scene.broker, scene.instrument_id
    assert broker.set_position_mode(identifier, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    scene.done(scene.place(BUY, parts=2, position_side=PositionSide.LONG))
    scene.done(scene.place(SELL, parts=1, position_side=PositionSide.SHORT))
    held = {p.side: p.quantity for p in broker.positions()}
    assert held == {PositionSide.LONG: scene.size(2), PositionSide.SHORT: -scene.size(1)}
    for position in broker.positions():
        for request in closing_requests(position, scene.instrument):
            order = scene.done(scene.send(broker.prepare_order(request, scene.new_id())))
            assert order.position_side is position.side
    assert broker.positions() == ()
    assert broker.set_position_mode(identifier, PositionMode.ONE_WAY).position_mode is PositionMode.ONE_WAY
