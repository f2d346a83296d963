"""Instruments, their filters and rounding; quotes."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.errors import InstrumentUnknown, InvalidOrder, NotSent, Refused
from brokers.ids import InstrumentId
from brokers.rounding import is_multiple, quantise_price, quantise_quantity
from brokers.types import OrderSide
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene

BUY, SELL = OrderSide.BUY, OrderSide.SELL


def unlisted(scene: Scene) -> InstrumentId:
    """A symbol in the venue's form that it does not list."""
    _, slash, rest = scene.instrument_id.value.partition("/")
    return InstrumentId(f"QQQQQ{slash}{rest}")


@card(
    "INST-LIST-01",
    C.INSTRUMENT_LIST,
    given="a venue that lists what it trades",
    does="read all instruments",
    expects="each id once, the products under test among them",
    where=Where.ACCOUNT,
)
def all_instruments(scene: Scene) -> None:
    ids = [item.instrument_id for item in scene.broker.instruments()]
    assert len(ids) == len(set(ids))
    assert {product.instrument_id for product in scene.venue.products} <= set(ids)


@card(
    "INST-ASK-01",
    C.INSTRUMENTS,
    given="instruments named in an order",
    does="read them",
    expects="those, in that order",
)
def instruments_in_the_order_asked(scene: Scene) -> None:
    ids = [product.instrument_id for product in reversed(scene.venue.products)]
    assert [item.instrument_id for item in scene.broker.instruments(ids)] == ids


@card(
    "INST-RULES-01",
    C.INSTRUMENTS,
    given="a listed instrument",
    does="read it",
    expects="steps above zero, a minimum on the lot, currencies in capitals, trading; a product that the venue offers",
)
def filters_are_usable(scene: Scene) -> None:
    item = scene.instrument
    assert item.tick_size > 0 and item.lot_size > 0 and item.contract_size > 0
    assert item.quantity_min > 0 and item.notional_min >= 0 and item.is_trading
    assert item.product in scene.venue.capabilities.products
    assert item.quote_currency.isupper() and item.settle_currency.isupper() and item.base_currency.isupper()


@card(
    "INST-KIND-01",
    C.INSTRUMENTS,
    given="a listed instrument",
    does="read it",
    expects="it says whether it is held as a position or as a balance, as the row under test says",
)
def how_it_is_held(scene: Scene) -> None:
    assert scene.instrument.is_position is scene.venue.is_position(scene.product)


@card(
    "INST-UNKNOWN-01",
    C.INSTRUMENTS,
    given="a symbol that is not listed",
    does="read it, quote it, prepare an order in it",
    expects="InstrumentUnknown that names it; no order request",
)
def an_unlisted_symbol(scene: Scene) -> None:
    absent = unlisted(scene)
    with pytest.raises(InstrumentUnknown, match="QQQQQ"):
        scene.broker.instruments([absent])
    with pytest.raises(InstrumentUnknown):
        scene.broker.quotes([absent])
    with pytest.raises((InstrumentUnknown, NotSent)):
        scene.broker.prepare_order(scene.request(instrument_id=absent), scene.new_id())
    assert scene.broker.order_requests_sent == 0


@card(
    "ROUND-PRICE-01",
    C.ROUNDING,
    given="a limit price between two ticks",
    does="prepare the order",
    expects="InvalidOrder that names limit_price; nothing is rounded in silence",
)
def a_price_off_the_grid(scene: Scene) -> None:
    price = scene.resting() + scene.instrument.tick_size / 2
    with pytest.raises(InvalidOrder, match="limit_price"):
        scene.broker.prepare_order(scene.request(limit_price=price), scene.new_id())


@card(
    "ROUND-TRIGGER-01",
    C.ROUNDING,
    given="a trigger price between two ticks",
    does="prepare the stop order",
    expects="InvalidOrder that names trigger_price",
    needs=(C.STOP_MARKET,),
    refused=lambda scene: scene.broker.prepare_order(scene.request(trigger_price=scene.crossing()), scene.new_id()),
)
def a_trigger_off_the_grid(scene: Scene) -> None:
    price = scene.crossing() + scene.instrument.tick_size / 2
    with pytest.raises(InvalidOrder, match="trigger_price"):
        scene.broker.prepare_order(scene.request(trigger_price=price), scene.new_id())


@card(
    "ROUND-QUANTITY-01",
    C.ROUNDING,
    given="a quantity between two lots",
    does="prepare the order",
    expects="InvalidOrder that names quantity",
)
def a_quantity_off_the_grid(scene: Scene) -> None:
    quantity = scene.size() + scene.instrument.lot_size / 2
    with pytest.raises(InvalidOrder, match="quantity"):
        scene.broker.prepare_order(scene.request(quantity=quantity, limit_price=scene.resting()), scene.new_id())


@card(
    "ROUND-MINIMUM-01",
    C.ROUNDING,
    given="a quantity below the venue's minimum",
    does="prepare the order",
    expects="InvalidOrder",
)
def a_quantity_below_the_minimum(scene: Scene) -> None:
    item = scene.instrument
    below = item.quantity_min - item.lot_size
    quantity = below if below > 0 else item.quantity_min / 2
    with pytest.raises(InvalidOrder):
        scene.broker.prepare_order(scene.request(quantity=quantity, limit_price=scene.resting()), scene.new_id())


@card(
    "ROUND-NOTIONAL-01",
    C.ROUNDING,
    given="an order at a price of one tick",
    does="prepare it",
    expects="InvalidOrder where the venue states a least notional, else a prepared order: no rule is made up",
)
def a_notional_below_the_minimum(scene: Scene) -> None:
    item = scene.instrument
    request = scene.request(quantity=quantise_quantity(scene.size(), lot=item.lot_size), limit_price=item.tick_size)
    if item.notional_min > 0:
        with pytest.raises(InvalidOrder, match="notional"):
            scene.broker.prepare_order(request, scene.new_id())
    else:
        assert scene.broker.prepare_order(request, scene.new_id()).request == request


@card(
    "ROUND-MAXIMUM-01",
    C.ROUNDING,
    given="a quantity above the venue's maximum of a limit order",
    does="prepare it",
    expects="InvalidOrder where the venue states a maximum, else a prepared order",
)
def a_quantity_above_the_maximum(scene: Scene) -> None:
    item = scene.instrument
    most = item.quantity_max_limit
    quantity = (most if most is not None else scene.size() * 1000) + item.lot_size
    request = scene.request(quantity=quantise_quantity(quantity, lot=item.lot_size), limit_price=scene.resting())
    if most is not None:
        with pytest.raises(InvalidOrder, match="quantity"):
            scene.broker.prepare_order(request, scene.new_id())
    else:
        assert scene.broker.prepare_order(request, scene.new_id()).request == request


@card(
    "ROUND-ACCEPTED-01",
    C.ROUNDING,
    given="an odd price and an odd quantity, rounded by our own rules",
    does="place the order and read it back",
    expects="the venue takes it, and price and quantity read back to the last digit",
)
def what_we_round_the_venue_takes(scene: Scene) -> None:
    item = scene.instrument
    price = quantise_price(scene.resting() - item.tick_size * Decimal("0.37"), tick=item.tick_size, side=BUY)
    quantity = quantise_quantity(scene.size(3) + item.lot_size * Decimal("0.61"), lot=item.lot_size)
    assert is_multiple(price, step=item.tick_size) and is_multiple(quantity, step=item.lot_size)
    order = scene.working(scene.place(quantity=quantity, limit_price=price))
    assert (order.limit_price, order.quantity) == (price, quantity)


@card(
    "QUOTE-ONE-01",
    C.QUOTES,
    given="a market that trades",
    does="read one quote",
    expects="bid below ask, all prices above zero, an aware time near the venue's",
)
def one_quote(scene: Scene) -> None:
    quote = scene.quote()
    assert quote.instrument_id == scene.instrument_id
    assert 0 < quote.bid < quote.ask and quote.last > 0
    assert abs((quote.time - scene.clock.now()).total_seconds()) < 60


@card(
    "QUOTE-TRUTH-01",
    C.QUOTES,
    given="a market that just moved",
    does="read its quote",
    expects="bid, ask and last are the venue's to the last digit",
    levers=True,
)
def a_quote_is_the_venues(scene: Scene) -> None:
    scene.move_price("1.37")
    quote, truth = scene.quote(), scene.control.quote(scene.product.symbol, scene.product.kind)
    assert (quote.bid, quote.ask, quote.last) == (truth.bid, truth.ask, truth.last)


@card(
    "QUOTE-ORDER-01",
    C.QUOTES,
    given="several instruments, one of them twice",
    does="read their quotes",
    expects="in the order asked",
    where=Where.ACCOUNT,
)
def quotes_in_the_order_asked(scene: Scene) -> None:
    ids = [product.instrument_id for product in reversed(scene.venue.products)]
    ids.append(ids[0])
    assert [quote.instrument_id for quote in scene.broker.quotes(ids)] == ids


@card(
    "QUOTE-NONE-01",
    C.QUOTES,
    given="no instrument",
    does="read quotes",
    expects="nothing",
    where=Where.ACCOUNT,
)
def no_quotes(scene: Scene) -> None:
    assert scene.broker.quotes([]) == ()


@card(
    "QUOTE-REFUSED-01",
    C.QUOTES,
    given="one symbol that is listed and one that is not",
    does="read both quotes",
    expects="InstrumentUnknown: no part of an answer is passed off as the whole",
)
def a_quote_that_is_missing(scene: Scene) -> None:
    with pytest.raises(Refused) as caught:
        scene.broker.quotes([scene.instrument_id, unlisted(scene)])
    assert isinstance(caught.value, InstrumentUnknown)
