"""Each order type and time in force, post-only, reduce-only, money."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from brokers.errors import InsufficientFunds, InvalidOrder, NotSent, Refused, Unsupported
from brokers.types import Order, OrderSide, OrderStatus, OrderType, TimeInForce
from tests.conformance.capability import Capability as C
from tests.conformance.card import card
from tests.conformance.scene import Placed, Scene

BUY, SELL = OrderSide.BUY, OrderSide.SELL
ENDED = (OrderStatus.EXPIRED, OrderStatus.CANCELLED)


def prepared(scene: Scene, **terms: Any) -> Any:
    return scene.broker.prepare_order(scene.request(**terms), scene.new_id())


def same_terms(order: Order, placed: Placed) -> None:
    """The order reads back as it was meant."""
    request = placed.request
    assert (order.instrument_id, order.side, order.order_type) == (
        request.instrument_id,
        request.side,
        request.order_type,
    )
    assert (order.quantity, order.limit_price, order.trigger_price) == (
        request.quantity,
        request.limit_price,
        request.trigger_price,
    )


@card(
    "ORDER-MARKET-BUY-01",
    C.MARKET,
    given="a market that trades",
    does="buy at the market",
    expects="filled whole, at a price within two per cent of the quote; what is held grows",
)
def buy_at_the_market(scene: Scene) -> None:
    before, ask = scene.held(), scene.quote().ask
    order = scene.done(scene.buy())
    assert order.filled_quantity == order.quantity and order.average_price is not None
    assert abs(order.average_price / ask - 1) < Decimal("0.02") and scene.held() > before


@card(
    "ORDER-MARKET-SELL-01",
    C.MARKET,
    given="a holding",
    does="sell a part of it at the market",
    expects="filled whole; what is held shrinks by it",
)
def sell_at_the_market(scene: Scene) -> None:
    scene.buy(parts=3)
    before = scene.held()
    order = scene.done(scene.place(SELL, parts=1))
    assert order.status is OrderStatus.FILLED and order.side is SELL
    assert before - scene.held() == order.filled_quantity


@card(
    "ORDER-LIMIT-GTC-01",
    C.LIMIT,
    needs=(C.GTC,),
    given="a price three per cent below the market",
    does="place a buy order with gtc",
    expects="it works with side, type, quantity, price and time in force as sent; nothing is filled",
)
def a_limit_order_rests(scene: Scene) -> None:
    placed = scene.rest(time_in_force=TimeInForce.GTC)
    order = scene.working(placed)
    same_terms(order, placed)
    assert order.filled_quantity == 0 and order.remaining == order.quantity
    assert order.time_in_force in (TimeInForce.GTC, None)


@card(
    "ORDER-LIMIT-GTC-02",
    C.LIMIT,
    needs=(C.GTC,),
    given="a holding",
    does="place a sell order three per cent above the market",
    expects="it works with its terms",
)
def a_sell_order_rests(scene: Scene) -> None:
    scene.buy(parts=3)
    placed = scene.rest(SELL, parts=1)
    same_terms(scene.working(placed), placed)


@card(
    "ORDER-LIMIT-CROSS-01",
    C.LIMIT,
    given="a limit above the ask",
    does="place a buy order",
    expects="filled whole, not above its limit, and not above the ask that was shown",
)
def a_crossing_limit_fills(scene: Scene) -> None:
    limit = scene.crossing()
    order = scene.done(scene.place(limit_price=limit))
    assert order.status is OrderStatus.FILLED
    assert order.average_price is not None and order.average_price <= limit


@card(
    "ORDER-LIMIT-TOUCH-01",
    C.LIMIT,
    given="a buy order that waits",
    does="let the market fall through its price",
    expects="filled whole at its price or better",
    levers=True,
)
def a_resting_order_fills(scene: Scene) -> None:
    placed = scene.rest()
    scene.working(placed)
    scene.move_price("-4")
    order = scene.done(placed)
    assert order.status is OrderStatus.FILLED and order.average_price is not None
    assert order.limit_price is not None and order.average_price <= order.limit_price


@card(
    "ORDER-IOC-01",
    C.IOC,
    given="a limit above the ask",
    does="place it with ioc",
    expects="filled whole",
    refused=lambda scene: prepared(scene, limit_price=scene.crossing(), time_in_force=TimeInForce.IOC),
)
def an_ioc_that_fills(scene: Scene) -> None:
    placed = scene.place(limit_price=scene.crossing(), time_in_force=TimeInForce.IOC)
    assert scene.done(placed).status is OrderStatus.FILLED


@card(
    "ORDER-IOC-02",
    C.IOC,
    given="a limit below the market",
    does="place it with ioc",
    expects="over at once, nothing filled",
    refused=lambda scene: prepared(scene, limit_price=scene.resting(), time_in_force=TimeInForce.IOC),
)
def an_ioc_that_cannot_fill(scene: Scene) -> None:
    order = scene.done(scene.rest(time_in_force=TimeInForce.IOC))
    assert order.status in ENDED and order.filled_quantity == 0


@card(
    "ORDER-FOK-01",
    C.FOK,
    given="a limit above the ask",
    does="place it with fok",
    expects="filled whole",
    refused=lambda scene: prepared(scene, limit_price=scene.crossing(), time_in_force=TimeInForce.FOK),
)
def a_fok_that_fills(scene: Scene) -> None:
    placed = scene.place(limit_price=scene.crossing(), time_in_force=TimeInForce.FOK)
    assert scene.done(placed).status is OrderStatus.FILLED


@card(
    "ORDER-FOK-02",
    C.FOK,
    given="a limit below the market",
    does="place it with fok",
    expects="refused, or over at once; nothing filled",
    refused=lambda scene: prepared(scene, limit_price=scene.resting(), time_in_force=TimeInForce.FOK),
)
def a_fok_that_cannot_fill(scene: Scene) -> None:
    try:
        order = scene.done(scene.rest(time_in_force=TimeInForce.FOK))
    except Refused as error:  # some venues keep no order of it
        assert str(error) and scene.broker.open_orders() == ()
        return
    assert order.status in ENDED and order.filled_quantity == 0


def _waits(name: str, capability: C, time: TimeInForce) -> None:
    @card(
        name,
        capability,
        given="a price three per cent below the market",
        does=f"place a buy order with {time.value}",
        expects="it works, and reads back with that time in force where the venue shows one",
        refused=lambda scene: prepared(scene, limit_price=scene.resting(), time_in_force=time),
    )
    def rests(scene: Scene) -> None:
        order = scene.seen(scene.rest(time_in_force=time), lambda found: found.status.is_open, "open")
        assert order.time_in_force in (time, None) and order.filled_quantity == 0


_waits("ORDER-DAY-01", C.DAY, TimeInForce.DAY)
_waits("ORDER-DAY-EXTENDED-01", C.DAY_EXTENDED, TimeInForce.DAY_EXTENDED)
_waits("ORDER-GTC-EXTENDED-01", C.GTC_EXTENDED, TimeInForce.GTC_EXTENDED)


@card(
    "ORDER-GTC-NIGHT-01",
    C.GTC,
    given="a gtc order that waits",
    does="let a day pass",
    expects="it is open still",
    levers=True,
    refused=lambda scene: prepared(scene, limit_price=scene.resting(), time_in_force=TimeInForce.GTC),
)
def a_gtc_order_outlives_the_day(scene: Scene) -> None:
    placed = scene.rest(time_in_force=TimeInForce.GTC)
    scene.working(placed)
    scene.control.advance(days=1)
    assert scene.seen(placed, lambda order: order.status.is_open, "open").filled_quantity == 0


@card(
    "ORDER-STOP-01",
    C.STOP_MARKET,
    given="a trigger two per cent above the market",
    does="place a buy stop",
    expects="it waits with its trigger price, nothing filled",
    refused=lambda scene: prepared(scene, trigger_price=scene.crossing()),
)
def a_stop_waits(scene: Scene) -> None:
    placed = scene.place(trigger_price=scene.crossing())
    order = scene.seen(placed, lambda found: found.status.is_open, "open")
    same_terms(order, placed)
    assert order.filled_quantity == 0


@card(
    "ORDER-STOP-02",
    C.STOP_MARKET,
    given="a buy stop two per cent above the market",
    does="let the price rise by three",
    expects="it is triggered and filled whole",
    levers=True,
    refused=lambda scene: prepared(scene, trigger_price=scene.crossing()),
)
def a_stop_triggers(scene: Scene) -> None:
    placed = scene.place(trigger_price=scene.crossing())
    scene.move_price("3")
    order = scene.done(placed)
    assert order.status is OrderStatus.FILLED and order.order_type is OrderType.STOP_MARKET


@card(
    "ORDER-STOP-03",
    C.STOP_MARKET,
    given="a holding with a sell stop below the market",
    does="let the price fall through it",
    expects="what is held was sold, and no more",
    levers=True,
    refused=lambda scene: prepared(scene, side=SELL, trigger_price=scene.crossing(SELL)),
)
def a_stop_protects(scene: Scene) -> None:
    scene.buy(parts=3)
    before = scene.held()
    placed = scene.place(SELL, parts=1, trigger_price=scene.crossing(SELL))
    scene.move_price("-3")
    assert scene.done(placed).status is OrderStatus.FILLED
    assert scene.held() == before - placed.request.quantity


@card(
    "ORDER-STOP-04",
    C.STOP_MARKET,
    needs=(C.CANCEL,),
    given="a buy stop that waits",
    does="cancel it",
    expects="cancelled, nothing filled",
    refused=lambda scene: prepared(scene, trigger_price=scene.crossing()),
)
def a_stop_is_cancelled(scene: Scene) -> None:
    placed = scene.place(trigger_price=scene.crossing())
    scene.seen(placed, lambda found: found.status.is_open, "open")
    scene.cancel(placed)
    order = scene.done(placed)
    assert order.status is OrderStatus.CANCELLED and order.filled_quantity == 0


@card(
    "ORDER-STOP-05",
    C.STOP_MARKET,
    needs=(C.ORDER_HISTORY, C.FILLS),
    given="a buy stop that triggered and was filled",
    does="look it up by the id that was acknowledged, and read open orders, history and fills",
    expects="one order under that id everywhere, with its terms and its fills",
    levers=True,
    refused=lambda scene: prepared(scene, trigger_price=scene.crossing()),
)
def a_stop_stays_one_order(scene: Scene) -> None:
    placed = scene.place(trigger_price=scene.crossing())
    scene.move_price("3")
    order = scene.done(placed)
    found = scene.broker.find_order(instrument_id=scene.instrument_id, venue_order_id=placed.venue_order_id)
    (over,) = scene.broker.order_history(**scene.window())
    for shown in (order, found, over):
        assert shown is not None and shown.venue_order_id == placed.venue_order_id
        assert (shown.status, shown.filled_quantity) == (OrderStatus.FILLED, placed.request.quantity)
        same_terms(shown, placed)
    assert {fill.venue_order_id for fill in scene.fills()} == {placed.venue_order_id}
    assert sum(fill.quantity for fill in scene.fills(placed)) == placed.request.quantity
    assert scene.broker.open_orders() == ()


def stop_limit(scene: Scene) -> dict[str, Decimal]:
    trigger = scene.crossing()
    return {"trigger_price": trigger, "limit_price": scene.on_tick(trigger * Decimal("1.01"), BUY)}


@card(
    "ORDER-STOP-LIMIT-01",
    C.STOP_LIMIT,
    given="a trigger two per cent above the market and a limit above it",
    does="place a buy stop-limit",
    expects="it waits with both prices",
    refused=lambda scene: prepared(scene, **stop_limit(scene)),
)
def a_stop_limit_waits(scene: Scene) -> None:
    placed = scene.place(**stop_limit(scene))
    same_terms(scene.seen(placed, lambda found: found.status.is_open, "open"), placed)


@card(
    "ORDER-STOP-LIMIT-02",
    C.STOP_LIMIT,
    given="a buy stop-limit",
    does="let the price rise to its trigger, below its limit",
    expects="filled whole, not above its limit",
    levers=True,
    refused=lambda scene: prepared(scene, **stop_limit(scene)),
)
def a_stop_limit_triggers(scene: Scene) -> None:
    placed = scene.place(**stop_limit(scene))
    scene.control.set_price(scene.product.symbol, placed.request.trigger_price)
    order = scene.done(placed)
    assert order.status is OrderStatus.FILLED and order.average_price is not None
    assert placed.request.limit_price is not None and order.average_price <= placed.request.limit_price


@card(
    "ORDER-STOP-LIMIT-03",
    C.STOP_LIMIT,
    needs=(C.CANCEL, C.OPEN_ORDERS),
    given="a sell stop-limit with a holding behind it, which triggered and whose limit the market has left behind",
    does="look it up, read open orders, cancel it",
    expects="one open order under the id that was acknowledged; then it is cancelled, and nothing is open",
    levers=True,
    refused=lambda scene: prepared(scene, **stop_limit(scene)),
)
def a_triggered_stop_limit_waits_on(scene: Scene) -> None:
    scene.buy(parts=3)
    trigger = scene.crossing(SELL)
    placed = scene.place(
        SELL, parts=1, trigger_price=trigger, limit_price=scene.on_tick(trigger * Decimal("0.999"), SELL)
    )
    scene.move_price("-5")
    order = scene.seen(placed, lambda found: found.status.is_open, "open")
    same_terms(order, placed)
    scene.clock.wait(15)  # more than any list is kept for the next look
    assert [shown.venue_order_id for shown in scene.broker.open_orders()] == [placed.venue_order_id]
    scene.cancel(placed)
    order = scene.done(placed)
    assert order.status is OrderStatus.CANCELLED and order.filled_quantity == 0
    assert order.venue_order_id == placed.venue_order_id and scene.broker.open_orders() == ()


@card(
    "POST-ONLY-01",
    C.POST_ONLY,
    given="a price below the market",
    does="place a post-only order",
    expects="it works",
    refused=lambda scene: prepared(scene, limit_price=scene.resting(), post_only=True),
)
def a_post_only_order_rests(scene: Scene) -> None:
    assert scene.working(scene.rest(post_only=True)).filled_quantity == 0


@card(
    "POST-ONLY-02",
    C.POST_ONLY,
    given="a limit above the ask",
    does="place a post-only order",
    expects="refused, or over at once; nothing filled, nothing held",
    refused=lambda scene: prepared(scene, limit_price=scene.crossing(), post_only=True),
)
def a_post_only_order_never_takes(scene: Scene) -> None:
    before = scene.held()
    try:
        order = scene.done(scene.place(limit_price=scene.crossing(), post_only=True))
    except Refused as error:
        assert error.code or error.text
    else:
        assert order.filled_quantity == 0 and not order.status.is_open
    assert scene.held() == before


@card(
    "REDUCE-ONLY-01",
    C.REDUCE_ONLY,
    given="a long position",
    does="sell a part of it reduce-only",
    expects="filled; the rest is left",
    refused=lambda scene: prepared(scene, side=SELL, reduce_only=True),
)
def reduce_only_reduces(scene: Scene) -> None:
    scene.buy(parts=3)
    placed = scene.place(SELL, parts=1, reduce_only=True)
    assert scene.done(placed).status is OrderStatus.FILLED
    assert scene.held() == scene.size(2)


@card(
    "REDUCE-ONLY-02",
    C.REDUCE_ONLY,
    given="no position",
    does="sell reduce-only",
    expects="refused or over at once; no position is opened",
    refused=lambda scene: prepared(scene, side=SELL, reduce_only=True),
)
def reduce_only_never_opens(scene: Scene) -> None:
    try:
        order = scene.done(scene.place(SELL, reduce_only=True))
    except (Refused, NotSent) as error:
        assert str(error)
    else:
        assert order.filled_quantity == 0
    assert scene.held() == 0


@card(
    "REDUCE-ONLY-03",
    C.REDUCE_ONLY,
    given="a long position of one part",
    does="sell three parts reduce-only",
    expects="refused, or at most the position is sold: it never turns short",
    refused=lambda scene: prepared(scene, side=SELL, reduce_only=True),
)
def reduce_only_never_crosses_zero(scene: Scene) -> None:
    scene.buy()
    try:
        scene.done(scene.place(SELL, parts=3, reduce_only=True))
    except (Refused, NotSent) as error:
        assert str(error)
    assert 0 <= scene.held() <= scene.size()


@card(
    "ORDER-MONEY-01",
    C.LIMIT,
    given="an account whose money is far from enough",
    does="place a buy order",
    expects="InsufficientFunds, or accepted and then REJECTED; nothing is filled",
    levers=True,
)
def too_little_money(scene: Scene) -> None:
    equity = scene.broker.margin_health().equity
    worth = scene.size() * scene.quote().ask * scene.instrument.contract_size
    parts = int(equity * 40 / worth)
    try:
        order = scene.done(scene.rest(parts=parts))
    except InsufficientFunds as error:
        assert error.text
    else:
        assert order.status is OrderStatus.REJECTED and order.filled_quantity == 0
    with pytest.raises(StopIteration):
        next(fill for fill in scene.fills())


@card(
    "ORDER-EVERY-FORM-01",
    C.LIMIT,
    given="every order type and every time in force that the row of facts names",
    does="prepare each pair, and place what can be prepared",
    expects="refused before sending as Unsupported or InvalidOrder, or taken by the venue and read back with its type",
    levers=True,
)
def every_form(scene: Scene) -> None:
    facts, taken = scene.venue.capabilities, 0
    prices: dict[OrderType, dict[str, Any]] = {
        OrderType.MARKET: {},
        OrderType.LIMIT: {"limit_price": scene.resting()},
        OrderType.STOP_MARKET: {"trigger_price": scene.crossing()},
        OrderType.STOP_LIMIT: stop_limit(scene),
    }
    for kind in sorted(facts.order_types):
        for time in sorted(facts.time_in_force):
            if time.is_extended and kind is not OrderType.LIMIT:
                continue  # no such request can be made at all
            at_once = kind is OrderType.LIMIT and time in (TimeInForce.IOC, TimeInForce.FOK)
            terms = {"limit_price": scene.crossing()} if at_once else prices[kind]
            try:
                ready = prepared(scene, **terms, time_in_force=time)
            except (Unsupported, InvalidOrder) as error:
                assert str(error)
                continue
            order = scene.seen(scene.send(ready), lambda found: found.status is not OrderStatus.ACCEPTED, "known")
            assert order.order_type is kind and order.status is not OrderStatus.REJECTED, f"{kind} {time}: {order}"
            taken += 1
    assert taken >= 2
    scene.notes["count"] = taken
