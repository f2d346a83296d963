"""The frozen payload of every order form, and the terms that are refused before anything is sent."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from brokers.binance.instruments import instrument
from brokers.binance.payloads import is_conditional, prepare
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
from tests.brokers.binance.recorded import FUTURES_SYMBOL, SPOT_SYMBOL
from tests.brokers.loopback import NOW

OURS = ClientOrderId("0123456789abcdef0123456789abcdef")
INSTRUMENTS = {
    "linear": instrument(FUTURES_SYMBOL, ProductKind.LINEAR),
    "spot": instrument(SPOT_SYMBOL, ProductKind.SPOT),
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
STOP = {"order_type": OrderType.STOP_MARKET, "trigger_price": Decimal("60000")}
COMMON = {"symbol": "BTCUSDT", "quantity": "0.01", "newClientOrderId": OURS.value, "newOrderRespType": "RESULT"}
ONE_WAY = {"positionSide": "BOTH", "reduceOnly": "false"}
PRICED = {"price": "50000.1"}


@pytest.mark.parametrize(
    ("product", "changes", "fields"),
    [
        ("linear", {}, {"side": "BUY", "type": "MARKET", **ONE_WAY}),
        ("linear", LIMIT, {"side": "BUY", "type": "LIMIT", "timeInForce": "GTC", **PRICED, **ONE_WAY}),
        (
            "linear",
            {**LIMIT, "time_in_force": TimeInForce.FOK, "side": OrderSide.SELL, "reduce_only": True},
            {"side": "SELL", "type": "LIMIT", "timeInForce": "FOK", **PRICED, **ONE_WAY, "reduceOnly": "true"},
        ),
        (
            "linear",
            {**LIMIT, "post_only": True},
            {"side": "BUY", "type": "LIMIT", "timeInForce": "GTX", **PRICED, **ONE_WAY},
        ),
        ("linear", {"position_side": PositionSide.LONG}, {"side": "BUY", "type": "MARKET", "positionSide": "LONG"}),
        (
            "linear",
            {"position_side": PositionSide.SHORT, "reduce_only": True},
            {"side": "BUY", "type": "MARKET", "positionSide": "SHORT"},
        ),
        ("spot", {}, {"side": "BUY", "type": "MARKET"}),
        ("spot", {"side": OrderSide.SELL, "time_in_force": TimeInForce.IOC}, {"side": "SELL", "type": "MARKET"}),
        (
            "spot",
            {**LIMIT, "time_in_force": TimeInForce.IOC, "side": OrderSide.SELL},
            {"side": "SELL", "type": "LIMIT", "timeInForce": "IOC", **PRICED},
        ),
        ("spot", {**LIMIT, "post_only": True}, {"side": "BUY", "type": "LIMIT_MAKER", **PRICED}),
        ("spot", STOP, {"side": "BUY", "type": "STOP_LOSS", "stopPrice": "60000"}),
        (
            "spot",
            {"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(40000), "limit_price": Decimal("39999.9")}
            | {"side": OrderSide.SELL},
            {"side": "SELL", "type": "STOP_LOSS_LIMIT", "timeInForce": "GTC", "stopPrice": "40000", "price": "39999.9"},
        ),
    ],
)
def test_payloads(product: str, changes: dict[str, Any], fields: dict[str, Any]) -> None:
    found = prepare(terms(product, **changes), listed(product), OURS)
    expected = {**COMMON, **fields}
    assert dict(parse_qsl(found.payload)) == expected
    assert found.payload == "&".join(f"{name}={expected[name]}" for name in sorted(expected))
    assert found.sha256 == hashlib.sha256(found.payload.encode()).hexdigest()
    assert prepare(terms(product, **changes), listed(product), OURS) == found, "the payload is a function of its terms"


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        (STOP, {"type": "STOP_MARKET", "triggerPrice": "60000"}),
        (
            {"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(40000), "limit_price": Decimal("39999.9")}
            | {"side": OrderSide.SELL, "reduce_only": True, "time_in_force": TimeInForce.IOC},
            {"type": "STOP", "side": "SELL", "triggerPrice": "40000", "price": "39999.9", "timeInForce": "IOC"}
            | {"reduceOnly": "true"},
        ),
        (
            {**STOP, "position_side": PositionSide.SHORT, "reduce_only": True},
            {"type": "STOP_MARKET", "triggerPrice": "60000", "positionSide": "SHORT"},
        ),
    ],
)
def test_stops_in_contracts_are_orders_of_the_algo_service(changes: dict[str, Any], fields: dict[str, Any]) -> None:
    found = prepare(terms("linear", **changes), listed("linear"), OURS)
    common = {name: text for name, text in COMMON.items() if name not in ("newClientOrderId", "newOrderRespType")}
    own = {"algoType": "CONDITIONAL", "clientAlgoId": f"st-{OURS}", "workingType": "CONTRACT_PRICE"}
    assert dict(parse_qsl(found.payload)) == {**common, "side": "BUY", "positionSide": "BOTH", **own, **fields}
    assert is_conditional(dict(parse_qsl(found.payload)))


def test_ids_leave_room_for_the_mark_of_a_conditional_order_and_never_bear_it_themselves() -> None:
    longest = ClientOrderId("a" * 33)
    assert f"clientAlgoId=st-{longest}&" in prepare(terms("linear", **STOP), listed("linear"), longest).payload
    with pytest.raises(InvalidOrder, match="at most 33 characters"):
        prepare(terms("linear", **STOP), listed("linear"), ClientOrderId("a" * 34))
    with pytest.raises(InvalidOrder, match="must not begin with st-"):
        prepare(terms("linear", **LIMIT), listed("linear"), ClientOrderId("st-1"))
    assert prepare(terms("spot", **LIMIT), listed("spot"), ClientOrderId("st-1"))


def test_numbers_are_fixed_point_text() -> None:
    tiny = prepare(
        terms("spot", **LIMIT | {"quantity": Decimal("1E-4"), "limit_price": Decimal("5E4")}), listed("spot"), OURS
    )
    assert "quantity=0.0001&" in tiny.payload and "price=50000&" in tiny.payload and "quoteOrderQty" not in tiny.payload


@pytest.mark.parametrize(
    ("product", "changes", "error", "text"),
    [
        ("linear", {"quantity": Decimal("0.0105")}, InvalidOrder, "lot size 0.001"),
        ("linear", {"quantity": Decimal("121")}, InvalidOrder, "at most 120 for market"),
        ("linear", {**LIMIT, "quantity": Decimal("1001")}, InvalidOrder, "at most 1000 for limit"),
        ("spot", {**LIMIT, "quantity": Decimal("9001")}, InvalidOrder, "at most 9000"),
        ("spot", {"quantity": Decimal("120.6")}, InvalidOrder, r"at most 120\.5"),
        ("linear", {**LIMIT, "limit_price": Decimal("50000.05")}, InvalidOrder, "limit_price must be a multiple"),
        ("spot", {**STOP, "trigger_price": Decimal("50000.005")}, InvalidOrder, "trigger_price must be a multiple"),
        ("linear", {**LIMIT, "limit_price": Decimal("9000")}, InvalidOrder, "notional must be at least 100 USDT"),
        ("spot", {**LIMIT, "limit_price": Decimal("400")}, InvalidOrder, "notional must be at least 5"),
        ("linear", {"time_in_force": TimeInForce.DAY}, Unsupported, "day"),
        ("linear", {"time_in_force": TimeInForce.FOK}, Unsupported, "fok needs order_type limit"),
        ("spot", {**LIMIT, "post_only": True, "time_in_force": TimeInForce.IOC}, InvalidOrder, "post_only"),
        ("linear", {"position_side": PositionSide.FLAT}, InvalidOrder, "flat"),
        ("linear", {"position_side": PositionSide.LONG, "reduce_only": True}, InvalidOrder, "needs side sell, was buy"),
        ("linear", {**STOP, "trigger_price": Decimal("60000.05")}, InvalidOrder, "trigger_price must be a multiple"),
        ("linear", {**STOP, "time_in_force": TimeInForce.FOK}, Unsupported, "fok needs order_type limit"),
        (
            "linear",
            {**STOP, "position_side": PositionSide.SHORT, "reduce_only": True, "side": OrderSide.SELL},
            InvalidOrder,
            "needs side buy",
        ),
        ("spot", {"reduce_only": True}, Unsupported, "reduce_only is for contracts"),
        ("spot", {"position_side": PositionSide.LONG}, Unsupported, "position_side is for contracts"),
    ],
)
def test_terms_that_cannot_be_sent(product: str, changes: dict[str, Any], error: type[NotSent], text: str) -> None:
    with pytest.raises(error, match=text):
        prepare(terms(product, **changes), listed(product), OURS)


def test_reduce_only_may_be_worth_less_than_the_venues_minimum() -> None:
    small = terms(**LIMIT | {"limit_price": Decimal("400")}, reduce_only=True)
    assert "reduceOnly=true" in prepare(small, listed("linear"), OURS).payload


@pytest.mark.parametrize("text", ["a" * 37, "with space", "a/b:c.d", "a|b", "semi;colon", "ümlaut", "a&b", "a=b"])
def test_client_ids_stay_within_what_is_signed_as_it_is_sent(text: str) -> None:
    with pytest.raises(InvalidOrder, match="client_order_id"):
        prepare(terms(), listed("linear"), ClientOrderId(text))


@pytest.mark.parametrize(
    ("quantity", "mode", "side", "parts", "leg"),
    [
        ("1.5", PositionMode.ONE_WAY, OrderSide.SELL, ["1.5"], None),
        ("-250.0005", PositionMode.ONE_WAY, OrderSide.BUY, ["120", "120", "10"], None),
        ("-2", PositionMode.HEDGE, OrderSide.BUY, ["2"], PositionSide.SHORT),
    ],
)
def test_closing_a_position(
    quantity: str, mode: PositionMode, side: OrderSide, parts: list[str], leg: PositionSide | None
) -> None:
    amount = Decimal(quantity)
    position = Position(
        account_id=AccountId.parse("binance.simulated.main"),
        instrument_id=listed("linear").instrument_id,
        side=PositionSide.LONG if amount > 0 else PositionSide.SHORT,
        quantity=amount,
        average_price=None,
        mark_price=None,
        unrealised_pnl=None,
        realised_pnl=None,
        leverage=None,
        mode=mode,
        time=NOW,
    )
    found = closing_requests(position, listed("linear"))
    assert [request.quantity for request in found] == [Decimal(part) for part in parts]
    for request in found:
        assert (request.side, request.reduce_only, request.position_side) == (side, True, leg)
        payload = prepare(request, listed("linear"), OURS).payload
        assert ("reduceOnly=true" in payload) == (
            leg is None
        ) and f"positionSide={'SHORT' if leg else 'BOTH'}" in payload
