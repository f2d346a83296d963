"""The frozen payload of every order form, and the terms that are refused before anything is sent."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from brokers.bybit.instruments import instrument
from brokers.bybit.payloads import prepare
from brokers.closing import closing_requests
from brokers.errors import InvalidOrder, NotSent, Unsupported
from brokers.ids import AccountId, ClientOrderId, InstrumentId
from brokers.types import (
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
    TimeInForce,
)
from tests.brokers.loopback import LINEAR_ROW, NOW, SPOT_ROW

LINK = ClientOrderId("at-0001")
INSTRUMENTS = {
    "linear": instrument(LINEAR_ROW, ProductKind.LINEAR),
    "spot": instrument(SPOT_ROW, ProductKind.SPOT),
}


def terms(product: str = "linear", **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "instrument_id": InstrumentId("BTC/USDT:USDT" if product == "linear" else "BTC/USDT"),
        "side": OrderSide.BUY,
        "order_type": OrderType.MARKET,
        "quantity": Decimal("0.010"),
    }
    return OrderRequest(**{**values, **changes})


def listed(product: str) -> Instrument:
    found = INSTRUMENTS[product]
    assert found is not None
    return found


LIMIT = {"order_type": OrderType.LIMIT, "limit_price": Decimal("50000.10")}
LINEAR = {"category": "linear", "symbol": "BTCUSDT", "qty": "0.01", "orderLinkId": "at-0001", "positionIdx": 0}
SPOT = {"category": "spot", "symbol": "BTCUSDT", "qty": "0.01", "orderLinkId": "at-0001", "isLeverage": 0}
STOP = {"order_type": OrderType.STOP_MARKET, "trigger_price": Decimal("60000")}


@pytest.mark.parametrize(
    ("product", "changes", "fields"),
    [
        ("linear", {}, {"side": "Buy", "orderType": "Market", "timeInForce": "IOC", "reduceOnly": False}),
        (
            "linear",
            LIMIT,
            {"side": "Buy", "orderType": "Limit", "timeInForce": "GTC", "price": "50000.1", "reduceOnly": False},
        ),
        (
            "linear",
            {**LIMIT, "time_in_force": TimeInForce.FOK, "side": OrderSide.SELL, "reduce_only": True},
            {"side": "Sell", "orderType": "Limit", "timeInForce": "FOK", "price": "50000.1", "reduceOnly": True},
        ),
        (
            "linear",
            {**LIMIT, "post_only": True},
            {"side": "Buy", "orderType": "Limit", "timeInForce": "PostOnly", "price": "50000.1", "reduceOnly": False},
        ),
        (
            "linear",
            {"position_side": PositionSide.LONG},
            {"side": "Buy", "orderType": "Market", "timeInForce": "IOC", "reduceOnly": False, "positionIdx": 1},
        ),
        (
            "linear",
            {"position_side": PositionSide.SHORT, "reduce_only": True},
            {"side": "Buy", "orderType": "Market", "timeInForce": "IOC", "reduceOnly": True, "positionIdx": 2},
        ),
        (
            "linear",
            STOP,
            {
                "side": "Buy",
                "orderType": "Market",
                "timeInForce": "IOC",
                "reduceOnly": False,
                "triggerPrice": "60000",
                "triggerDirection": 1,
                "triggerBy": "LastPrice",
            },
        ),
        (
            "linear",
            {"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(40000), "limit_price": Decimal("39999.9")}
            | {"side": OrderSide.SELL},
            {
                "side": "Sell",
                "orderType": "Limit",
                "timeInForce": "GTC",
                "reduceOnly": False,
                "triggerPrice": "40000",
                "triggerDirection": 2,
                "triggerBy": "LastPrice",
                "price": "39999.9",
            },
        ),
        ("spot", {}, {"side": "Buy", "orderType": "Market", "timeInForce": "IOC", "marketUnit": "baseCoin"}),
        (
            "spot",
            {**LIMIT, "time_in_force": TimeInForce.IOC, "side": OrderSide.SELL},
            {"side": "Sell", "orderType": "Limit", "timeInForce": "IOC", "price": "50000.1"},
        ),
        (
            "spot",
            STOP,
            {
                "side": "Buy",
                "orderType": "Market",
                "timeInForce": "IOC",
                "marketUnit": "baseCoin",
                "triggerPrice": "60000",
                "orderFilter": "StopOrder",
            },
        ),
    ],
)
def test_payloads(product: str, changes: dict[str, Any], fields: dict[str, Any]) -> None:
    found = prepare(terms(product, **changes), listed(product), LINK)
    expected = {**(LINEAR if product == "linear" else SPOT), **fields}
    assert json.loads(found.payload) == expected
    assert found.payload == json.dumps(expected, sort_keys=True, separators=(",", ":"))
    assert found.sha256 == hashlib.sha256(found.payload.encode()).hexdigest()
    assert prepare(terms(product, **changes), listed(product), LINK) == found, "the payload is a function of its terms"


@pytest.mark.parametrize(
    ("product", "changes", "error", "text"),
    [
        ("linear", {"quantity": Decimal("0.0105")}, InvalidOrder, "lot size 0.001"),
        ("linear", {"quantity": Decimal("501")}, InvalidOrder, "at most 500"),
        ("linear", {**LIMIT, "quantity": Decimal("1190.001")}, InvalidOrder, "at most 1190"),
        ("spot", {"quantity": Decimal("0.00001")}, InvalidOrder, "at least 0.000011"),
        ("linear", {**LIMIT, "limit_price": Decimal("50000.05")}, InvalidOrder, "limit_price"),
        ("linear", {**STOP, "trigger_price": Decimal("50000.05")}, InvalidOrder, "trigger_price"),
        ("linear", {**LIMIT, "limit_price": Decimal("400")}, InvalidOrder, "notional must be at least 5"),
        ("linear", {"time_in_force": TimeInForce.DAY}, Unsupported, "day"),
        ("linear", {"time_in_force": TimeInForce.FOK}, Unsupported, "fok"),
        ("linear", {**LIMIT, "post_only": True, "time_in_force": TimeInForce.IOC}, InvalidOrder, "post_only"),
        ("linear", {"position_side": PositionSide.FLAT}, InvalidOrder, "flat"),
        ("spot", {"reduce_only": True}, Unsupported, "reduce_only"),
        ("spot", {"position_side": PositionSide.LONG}, Unsupported, "position_side"),
    ],
)
def test_terms_that_cannot_be_sent(product: str, changes: dict[str, Any], error: type[NotSent], text: str) -> None:
    with pytest.raises(error, match=text):
        prepare(terms(product, **changes), listed(product), LINK)


def test_reduce_only_may_be_smaller_than_the_venue_minimum() -> None:
    prepare(terms(**LIMIT, quantity=Decimal("0.001"), reduce_only=True), listed("linear"), LINK)
    tiny = terms(**{**LIMIT, "limit_price": Decimal("400")}, reduce_only=True)
    assert json.loads(prepare(tiny, listed("linear"), LINK).payload)["reduceOnly"] is True


@pytest.mark.parametrize("text", ["a" * 37, "with space", "semi;colon", "ümlaut", "a&b", "a=b"])
def test_client_ids_stay_within_the_venue_rules(text: str) -> None:
    with pytest.raises(InvalidOrder, match="client_order_id"):
        prepare(terms(), listed("linear"), ClientOrderId(text))


def position(quantity: str, *, mode: PositionMode = PositionMode.ONE_WAY, product: str = "linear") -> Position:
    amount = Decimal(quantity)
    return Position(
        account_id=AccountId.parse("bybit.simulated.main"),
        instrument_id=listed(product).instrument_id,
        side=PositionSide.LONG if amount > 0 else PositionSide.SHORT if amount < 0 else PositionSide.FLAT,
        quantity=amount,
        average_price=None,
        mark_price=None,
        unrealised_pnl=None,
        realised_pnl=None,
        leverage=None,
        mode=mode,
        time=NOW,
    )


@pytest.mark.parametrize(
    ("quantity", "mode", "side", "parts", "leg"),
    [
        ("1.5", PositionMode.ONE_WAY, OrderSide.SELL, ["1.5"], None),
        ("-1.5", PositionMode.ONE_WAY, OrderSide.BUY, ["1.5"], None),
        ("1200.0005", PositionMode.ONE_WAY, OrderSide.SELL, ["500", "500", "200"], None),
        ("-2", PositionMode.HEDGE, OrderSide.BUY, ["2"], PositionSide.SHORT),
        ("0", PositionMode.ONE_WAY, OrderSide.SELL, [], None),
        ("0.0009", PositionMode.ONE_WAY, OrderSide.SELL, [], None),
    ],
)
def test_closing_a_position(
    quantity: str, mode: PositionMode, side: OrderSide, parts: list[str], leg: PositionSide | None
) -> None:
    found = closing_requests(position(quantity, mode=mode), listed("linear"))
    assert [request.quantity for request in found] == [Decimal(part) for part in parts]
    for request in found:
        assert (request.side, request.reduce_only, request.position_side) == (side, True, leg)
        assert request.order_type is OrderType.MARKET
        prepare(request, listed("linear"), LINK)


def test_closing_needs_the_right_instrument_and_a_sane_size() -> None:
    with pytest.raises(InvalidOrder, match="instrument must be"):
        closing_requests(position("1"), listed("spot"))
    with pytest.raises(InvalidOrder, match="more than 100 orders"):
        closing_requests(position("50000.001"), listed("linear"))
    assert not closing_requests(position("1", product="spot"), listed("spot"))[0].reduce_only
