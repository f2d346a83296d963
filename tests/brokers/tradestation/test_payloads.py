"""Order terms to TradeStation's wording: the action follows from the position, and no order crosses zero."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from brokers.errors import InvalidOrder, Unsupported
from brokers.ids import ClientOrderId, InstrumentId
from brokers.tradestation import instruments, payloads
from brokers.types import OrderRequest, OrderSide, OrderType, PositionSide, TimeInForce
from tests.brokers.loopback import NOW
from tests.brokers.tradestation.recorded import ACCOUNT, MES_SYMBOL, MSFT_SYMBOL

SHARE = instruments.instrument(MSFT_SYMBOL, now=NOW)
FUTURE = instruments.instrument(MES_SYMBOL, now=NOW)
OUR_ID = ClientOrderId("0aB1cD2eF3gH4iJ5kL6mN7")
BUY, SELL = OrderSide.BUY, OrderSide.SELL
D = Decimal


def wanted(side: OrderSide = BUY, quantity: str = "10", *, symbol: str = "MSFT", **terms: Any) -> OrderRequest:
    fields: dict[str, Any] = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.DAY, **terms}
    return OrderRequest(instrument_id=InstrumentId(symbol), side=side, quantity=D(quantity), **fields)


def test_a_limit_order_byte_for_byte() -> None:
    request = wanted(order_type=OrderType.LIMIT, limit_price=D("210.00"))
    found = payloads.prepare(request, SHARE, OUR_ID, account=ACCOUNT, position=D(0))
    assert found.payload == (
        '{"AccountID":"123456782","LimitPrice":"210","OrderConfirmID":"0aB1cD2eF3gH4iJ5kL6mN7","OrderType":"Limit",'
        '"Quantity":"10","Route":"Intelligent","Symbol":"MSFT","TimeInForce":{"Duration":"DAY"},"TradeAction":"BUY"}'
    )
    assert found.sha256 == hashlib.sha256(found.payload.encode()).hexdigest()


@pytest.mark.parametrize(
    ("side", "position", "action"),
    [
        (BUY, "0", "BUY"),
        (BUY, "5", "BUY"),
        (BUY, "-10", "BUYTOCOVER"),
        (BUY, "-25", "BUYTOCOVER"),
        (SELL, "10", "SELL"),
        (SELL, "25", "SELL"),
        (SELL, "0", "SELLSHORT"),
        (SELL, "-5", "SELLSHORT"),
    ],
)
def test_the_action_follows_from_the_position(side: OrderSide, position: str, action: str) -> None:
    assert payloads.trade_action(wanted(side), SHARE, D(position)) == action


@pytest.mark.parametrize(("side", "position", "held", "rest"), [(SELL, "4", "4", "6"), (BUY, "-9", "9", "1")])
def test_an_order_that_would_cross_zero_is_refused_with_the_remedy(
    side: OrderSide, position: str, held: str, rest: str
) -> None:
    with pytest.raises(InvalidOrder, match=f"cross zero.* for {held}, then open {rest} with a second"):
        payloads.trade_action(wanted(side), SHARE, D(position))


def test_a_reduction_of_shares_says_so_by_its_action_and_needs_no_position() -> None:
    assert not payloads.needs_position(wanted(reduce_only=True), SHARE)
    assert payloads.trade_action(wanted(SELL, reduce_only=True), SHARE, None) == "SELL"
    assert payloads.trade_action(wanted(BUY, reduce_only=True), SHARE, None) == "BUYTOCOVER"
    assert payloads.needs_position(wanted(), SHARE)
    with pytest.raises(InvalidOrder, match="must be known"):
        payloads.trade_action(wanted(), SHARE, None)


def test_futures_buy_and_sell_and_check_their_own_reductions() -> None:
    def of(side: OrderSide, **terms: Any) -> OrderRequest:
        return wanted(side, "2", symbol="MESZ6", **terms)

    assert payloads.trade_action(of(SELL), FUTURE, None) == "SELL" and not payloads.needs_position(of(SELL), FUTURE)
    assert payloads.trade_action(of(SELL, reduce_only=True), FUTURE, D(2)) == "SELL"
    assert payloads.trade_action(of(BUY, reduce_only=True), FUTURE, D(-3)) == "BUY"
    for side, held in ((SELL, D(1)), (SELL, D(0)), (BUY, D(2)), (SELL, D(-2))):
        with pytest.raises(InvalidOrder, match="must reduce"):
            payloads.trade_action(of(side, reduce_only=True), FUTURE, held)
    found = json.loads(payloads.prepare(of(BUY), FUTURE, OUR_ID, account=ACCOUNT, position=None).payload)
    assert found["Symbol"] == "MESZ26" and "Route" not in found


@pytest.mark.parametrize(
    ("terms", "fields"),
    [
        ({"order_type": OrderType.MARKET}, {"OrderType": "Market"}),
        ({"order_type": OrderType.LIMIT, "limit_price": D("1.5")}, {"OrderType": "Limit", "LimitPrice": "1.5"}),
        ({"order_type": OrderType.STOP_MARKET, "trigger_price": D(2)}, {"OrderType": "StopMarket", "StopPrice": "2"}),
        (
            {"order_type": OrderType.STOP_LIMIT, "limit_price": D(3), "trigger_price": D(2)},
            {"OrderType": "StopLimit", "LimitPrice": "3", "StopPrice": "2"},
        ),
        ({"time_in_force": TimeInForce.GTC}, {"TimeInForce": {"Duration": "GTC"}}),
        ({"time_in_force": TimeInForce.IOC}, {"TimeInForce": {"Duration": "IOC"}}),
        ({"time_in_force": TimeInForce.FOK}, {"TimeInForce": {"Duration": "FOK"}}),
        (
            {"order_type": OrderType.LIMIT, "limit_price": D(3), "time_in_force": TimeInForce.DAY_EXTENDED},
            {"TimeInForce": {"Duration": "DYP"}},
        ),
        (
            {"order_type": OrderType.LIMIT, "limit_price": D(3), "time_in_force": TimeInForce.GTC_EXTENDED},
            {"TimeInForce": {"Duration": "GCP"}},
        ),
    ],
)
def test_types_and_durations(terms: dict[str, Any], fields: dict[str, Any]) -> None:
    found = json.loads(payloads.prepare(wanted(**terms), SHARE, OUR_ID, account=ACCOUNT, position=D(0)).payload)
    assert {name: found[name] for name in fields} == fields
    assert all(isinstance(value, str) for name, value in found.items() if name != "TimeInForce")


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (wanted(quantity="1.5"), "multiple of 1"),
        (wanted(order_type=OrderType.LIMIT, limit_price=D("210.005")), "limit_price must be a multiple"),
        (wanted(order_type=OrderType.STOP_MARKET, trigger_price=D("210.005")), "trigger_price must be a multiple"),
    ],
)
def test_terms_that_cannot_be_sent(request_: OrderRequest, words: str) -> None:
    with pytest.raises(InvalidOrder, match=words):
        payloads.prepare(request_, SHARE, OUR_ID, account=ACCOUNT, position=D(0))


def test_what_is_not_offered_and_ids_have_their_form() -> None:
    post_only = wanted(order_type=OrderType.LIMIT, limit_price=D(210), post_only=True)
    for request, words in ((post_only, "post_only"), (wanted(position_side=PositionSide.LONG), "no hedge mode")):
        with pytest.raises(Unsupported, match=words):
            payloads.prepare(request, SHARE, OUR_ID, account=ACCOUNT, position=D(0))
    with pytest.raises(InvalidOrder, match="client_order_id"):
        payloads.prepare(wanted(), SHARE, ClientOrderId("at-0001"), account=ACCOUNT, position=D(0))
