"""Order terms in Alpaca's words, byte for byte, and every term that it does not take."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from brokers.alpaca import payloads
from brokers.alpaca.instruments import instrument
from brokers.errors import BrokerError, InvalidOrder, Unsupported
from brokers.ids import ClientOrderId, InstrumentId
from brokers.types import Instrument, OrderRequest, OrderSide, OrderType, PositionSide, TimeInForce
from tests.brokers.alpaca.recorded import AAPL_ASSET, BTC_ASSET, WHOLE_ASSET

ID = ClientOrderId("0123456789abcdef0123456789abcdef")
T, O = TimeInForce, OrderType  # noqa: E741


def made(row: dict[str, Any]) -> Instrument:
    found = instrument(row)
    assert found is not None
    return found


AAPL, WHOLE, BTC = made(AAPL_ASSET), made(WHOLE_ASSET), made(BTC_ASSET)


def terms(item: Instrument, **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "instrument_id": item.instrument_id,
        "side": OrderSide.BUY,
        "order_type": O.LIMIT,
        "quantity": Decimal("1"),
        "time_in_force": T.GTC,
        "limit_price": Decimal("190.10"),
    }
    if changes.get("order_type") in (O.MARKET, O.STOP_MARKET):
        values["limit_price"] = None
    return OrderRequest(**{**values, **changes})


def payload(item: Instrument, **changes: Any) -> dict[str, Any]:
    prepared = payloads.prepare(terms(item, **changes), item, ID, position=Decimal(10))
    assert prepared.sha256 == hashlib.sha256(prepared.payload.encode()).hexdigest()
    found: dict[str, Any] = json.loads(prepared.payload)
    return found


def test_the_bytes_of_an_order() -> None:
    prepared = payloads.prepare(terms(AAPL, quantity=Decimal("2.00")), AAPL, ID)
    assert prepared.payload == (
        '{"client_order_id":"0123456789abcdef0123456789abcdef","limit_price":"190.1","qty":"2","side":"buy",'
        '"symbol":"AAPL","time_in_force":"gtc","type":"limit"}'
    )


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"order_type": O.MARKET, "time_in_force": T.IOC}, {"type": "market", "time_in_force": "ioc"}),
        (
            {"order_type": O.STOP_MARKET, "trigger_price": Decimal("180"), "side": OrderSide.SELL},
            {"type": "stop", "stop_price": "180", "side": "sell", "time_in_force": "gtc"},
        ),
        (
            {"order_type": O.STOP_LIMIT, "trigger_price": Decimal("180"), "time_in_force": T.DAY},
            {"type": "stop_limit", "stop_price": "180", "limit_price": "190.1", "time_in_force": "day"},
        ),
        ({"time_in_force": T.FOK}, {"time_in_force": "fok"}),
        ({"time_in_force": T.DAY_EXTENDED}, {"time_in_force": "day", "extended_hours": True}),
        ({"quantity": Decimal("0.123456789"), "time_in_force": T.DAY}, {"qty": "0.123456789"}),
        ({"quantity": Decimal("1.5"), "time_in_force": T.DAY_EXTENDED}, {"qty": "1.5", "extended_hours": True}),
        ({"limit_price": Decimal("0.1234"), "quantity": Decimal(10)}, {"limit_price": "0.1234"}),
        ({"reduce_only": True, "side": OrderSide.SELL, "quantity": Decimal(10)}, {"qty": "10", "side": "sell"}),
    ],
)
def test_shares(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = payload(AAPL, **changes)
    assert {name: found[name] for name in wanted} == wanted
    assert "extended_hours" in found or not wanted.get("extended_hours")
    assert all(isinstance(value, str) or value is True for value in found.values()), "no floats on the wire"


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({"quantity": Decimal("0.0123"), "limit_price": Decimal("60001")}, {"symbol": "BTC/USD", "qty": "0.0123"}),
        ({"order_type": O.MARKET, "time_in_force": T.IOC}, {"type": "market", "time_in_force": "ioc"}),
        (
            {"order_type": O.STOP_LIMIT, "trigger_price": Decimal(60000), "limit_price": Decimal(60010)},
            {"type": "stop_limit", "stop_price": "60000", "time_in_force": "gtc"},
        ),
    ],
)
def test_crypto(changes: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = payload(BTC, **{"limit_price": Decimal(60000), **changes} if "order_type" not in changes else changes)
    assert {name: found[name] for name in wanted} == wanted and "extended_hours" not in found


REFUSED = [
    (AAPL, {"post_only": True}, Unsupported, "post_only"),
    (AAPL, {"position_side": PositionSide.LONG}, Unsupported, "position_side"),
    (AAPL, {"time_in_force": T.GTC_EXTENDED}, Unsupported, "use day_extended"),
    (AAPL, {"quantity": Decimal("1.5")}, InvalidOrder, "time_in_force .* must be day, was gtc with quantity 1.5"),
    (AAPL, {"quantity": Decimal("1.5"), "time_in_force": T.IOC}, InvalidOrder, "must be day, was ioc"),
    (AAPL, {"quantity": Decimal("0.0000000001")}, InvalidOrder, "multiple of 0.000000001"),
    (AAPL, {"quantity": Decimal("0.005"), "time_in_force": T.DAY}, InvalidOrder, "notional must be at least 1"),
    (AAPL, {"limit_price": Decimal("190.105")}, InvalidOrder, "limit_price must be a multiple of 0.01"),
    (AAPL, {"limit_price": Decimal("0.12345")}, InvalidOrder, "limit_price must be a multiple of 0.0001"),
    (
        AAPL,
        {"order_type": O.STOP_MARKET, "trigger_price": Decimal("180.005")},
        InvalidOrder,
        "trigger_price must be a multiple of 0.01",
    ),
    (
        AAPL,
        {"order_type": O.STOP_MARKET, "trigger_price": Decimal(180), "time_in_force": T.IOC},
        Unsupported,
        "stop order must be day or gtc",
    ),
    (WHOLE, {"quantity": Decimal("0.5"), "time_in_force": T.DAY}, InvalidOrder, "BRK.A is not sold in parts"),
    (AAPL, {"reduce_only": True}, InvalidOrder, "must reduce the position, which is 10"),
    (AAPL, {"reduce_only": True, "side": OrderSide.SELL, "quantity": Decimal(11)}, InvalidOrder, "which is 10"),
    (BTC, {"reduce_only": True, "limit_price": Decimal(60000)}, Unsupported, "pair of coins"),
    (BTC, {"order_type": O.STOP_MARKET, "trigger_price": Decimal(60000)}, Unsupported, "use stop_limit"),
    (BTC, {"time_in_force": T.FOK, "limit_price": Decimal(60000)}, Unsupported, "gtc or ioc at Alpaca, was fok"),
    (BTC, {"time_in_force": T.DAY, "limit_price": Decimal(60000)}, Unsupported, "gtc or ioc"),
    (BTC, {"limit_price": Decimal("60000.5")}, InvalidOrder, "tick size 1"),
    (BTC, {"quantity": Decimal("0.00015"), "limit_price": Decimal(60000)}, InvalidOrder, "multiple of 0.0001"),
    (BTC, {"quantity": Decimal("0.0001"), "limit_price": Decimal(60000)}, InvalidOrder, "notional must be at least 10"),
]


@pytest.mark.parametrize(("item", "changes", "kind", "text"), REFUSED)
def test_what_alpaca_does_not_take(
    item: Instrument, changes: dict[str, Any], kind: type[BrokerError], text: str
) -> None:
    with pytest.raises(kind, match=text):
        payloads.prepare(terms(item, **changes), item, ID, position=Decimal(10))


@pytest.mark.parametrize("name", ["a" * 49, "ümlaut", "with blank", "a/b"])
def test_ids_that_the_venue_cannot_carry(name: str) -> None:
    with pytest.raises(InvalidOrder, match="client_order_id must be 1-48"):
        payloads.prepare(terms(AAPL), AAPL, ClientOrderId(name))


def test_a_reduction_of_a_short_position_buys() -> None:
    request = terms(AAPL, reduce_only=True, quantity=Decimal(3))
    assert payloads.needs_position(request, AAPL) and not payloads.needs_position(terms(AAPL), AAPL)
    assert json.loads(payloads.prepare(request, AAPL, ID, position=Decimal(-3)).payload)["side"] == "buy"
    with pytest.raises(InvalidOrder, match="which is 0"):
        payloads.prepare(request, AAPL, ID)


def test_the_steps_of_quantities() -> None:
    assert (AAPL.lot_for(T.GTC), AAPL.lot_for(T.DAY)) == (Decimal(1), Decimal("0.000000001"))
    assert WHOLE.lot_for(T.DAY) == Decimal(1) and BTC.lot_for(T.DAY) == Decimal("0.0001")
    assert AAPL.is_position and not BTC.is_position and BTC.instrument_id == InstrumentId("BTC/USD")
