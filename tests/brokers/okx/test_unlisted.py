"""Orders in what OKX lists no more: an open intent must come to its end although its instrument cannot be read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import ManualClock, epoch_ms
from brokers.errors import InstrumentUnknown, OrderNotFound, VenueFaulted
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.okx.adapter import OKXBroker
from brokers.okx.instruments import InstrumentBook
from brokers.types import OrderStatus, ProductKind
from tests.brokers.loopback import Loopback
from tests.brokers.okx.conftest import V5, answer, paged
from tests.brokers.okx.recorded import ETH_SWAP_ROW, FILL_ROW, FILLED_SWAP, SWAP_ROW

ORDER, CANCEL = f"{V5}/trade/order", f"{V5}/trade/cancel-order"
SWAP = InstrumentId("BTC/USDT:USDT")
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR: dict[str, Any] = {"since": NOW - timedelta(hours=1), "until": NOW}
GONE = InstrumentId("LTC/USDT:USDT")


def test_an_order_in_what_is_no_longer_listed_is_found_and_cancelled(broker: OKXBroker, loopback: Loopback) -> None:
    with pytest.raises(InstrumentUnknown):
        broker.instruments([GONE])
    loopback.on(ORDER, answer(FILLED_SWAP))
    ours = ClientOrderId(FILLED_SWAP["clOrdId"])
    found = broker.find_order(instrument_id=GONE, client_order_id=ours)
    assert found is not None and (found.instrument_id, found.status) == (GONE, OrderStatus.FILLED)
    assert loopback.to(ORDER)[-1].query["instId"] == "LTC-USDT-SWAP"
    loopback.on(CANCEL, answer({"sCode": "51400", "sMsg": "gone"}, code="1"))
    with pytest.raises(OrderNotFound):
        broker.cancel(instrument_id=GONE, venue_order_id=VenueOrderId(FILLED_SWAP["ordId"]))


def test_where_okx_refuses_the_name_the_lists_tell(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(code="51001", msg="Instrument ID doesn't exist."))
    ours = ClientOrderId(FILLED_SWAP["clOrdId"])
    loopback.on(f"{V5}/trade/orders-pending", paged("ordId", lambda: [{**FILLED_SWAP, "state": "live"}]))
    found = broker.find_order(instrument_id=GONE, client_order_id=ours)
    assert found is not None and found.status is OrderStatus.WORKING
    loopback.on(f"{V5}/trade/orders-pending", answer())
    loopback.on(f"{V5}/trade/orders-history", paged("ordId", lambda: [FILLED_SWAP]))
    found = broker.find_order(instrument_id=GONE, client_order_id=ours)
    assert found is not None and found.status is OrderStatus.FILLED
    paths = ("orders-history", "orders-algo-pending", "orders-algo-history")
    assert all("instId" not in r.query for path in paths for r in loopback.to(f"{V5}/trade/{path}"))
    loopback.on(f"{V5}/trade/orders-history", answer())
    assert broker.find_order(instrument_id=GONE, client_order_id=ours) is None
    loopback.on(f"{V5}/trade/orders-pending", answer(code="50026", status=500))
    with pytest.raises(VenueFaulted):
        broker.find_order(instrument_id=GONE, client_order_id=ours)
    with pytest.raises(InstrumentUnknown):
        broker.find_order(instrument_id=SWAP, client_order_id=ours)


def test_fills_in_what_is_no_longer_listed_are_chosen_here(broker: OKXBroker, loopback: Loopback) -> None:
    at = str(epoch_ms(NOW - timedelta(minutes=1)))
    own = {"instType": "SWAP", "fillTime": at, "ts": at}
    rows = [
        {**FILL_ROW, **own, "billId": str(n), "instId": name} for n, name in ((2, "LTC-USDT-SWAP"), (1, "X-Y-SWAP"))
    ]
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: rows))
    (fill,) = broker.fills(**HOUR, instrument_id=GONE)
    assert fill.instrument_id == GONE and "instId" not in loopback.to(f"{V5}/trade/fills")[-1].query


@pytest.mark.parametrize("name", ["LTC/USDT:BTC", "LTC", "LTC/", "LTC/USDT:USDT-261225"])
def test_a_name_that_tells_nothing_stays_unknown(broker: OKXBroker, name: str) -> None:
    with pytest.raises(InstrumentUnknown):
        broker.find_order(instrument_id=InstrumentId(name), client_order_id=ClientOrderId("a1b2"))


def test_what_vanishes_from_the_list_is_forgotten() -> None:
    clock = ManualClock(NOW)
    book = InstrumentBook(lambda inst_type: rows, products=[ProductKind.LINEAR], clock=clock)
    rows = [SWAP_ROW, ETH_SWAP_ROW]
    eth = InstrumentId("ETH/USDT:USDT")
    assert book.get(eth).contract_size == Decimal("0.1") and book.known(eth).is_listed
    rows = [SWAP_ROW]
    clock.wait(3_601)
    with pytest.raises(InstrumentUnknown):
        book.get(eth)
    assert not book.known(eth).is_listed and book.get(SWAP).contract_size == Decimal("0.01")
