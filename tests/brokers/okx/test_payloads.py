"""Order terms in OKX's wording, each written out by hand."""

from __future__ import annotations

import hashlib
import json
from decimal import Decimal
from typing import Any

import pytest

from brokers.errors import InvalidOrder, NotSent, Unsupported
from brokers.ids import ClientOrderId, IntentId
from brokers.okx import instruments, payloads
from brokers.okx.mapping import AccountMode
from brokers.okx.payloads import Held
from brokers.okx.profile import IDENTITY
from brokers.types import (
    Instrument,
    MarginMode,
    OrderRequest,
    OrderSide,
    OrderType,
    PositionMode,
    PositionSide,
    ProductKind,
    TimeInForce,
)
from tests.brokers.okx.recorded import SPOT_ROW, SWAP_ROW
from trading.orders.identity import make_client_order_id

OUR_ID = ClientOrderId("0001a1b2c3d4e5f60718293a4b5c6d7e")
ONE_WAY = AccountMode("2", MarginMode.CROSS, PositionMode.ONE_WAY)
HEDGE = AccountMode("2", MarginMode.CROSS, PositionMode.HEDGE)
SPOT_MODE = AccountMode("1", MarginMode.CASH, PositionMode.ONE_WAY)
MULTI = AccountMode("3", MarginMode.CROSS, PositionMode.ONE_WAY)
PORTFOLIO = AccountMode("4", MarginMode.PORTFOLIO, PositionMode.ONE_WAY)
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT


def listed(row: dict[str, Any], product: ProductKind) -> Instrument:
    found = instruments.instrument(row, product)
    assert isinstance(found, Instrument)
    return found


SPOT = listed(SPOT_ROW, ProductKind.SPOT)
SWAP = listed(SWAP_ROW, ProductKind.LINEAR)


def request(instrument: Instrument, **changes: Any) -> OrderRequest:
    values: dict[str, Any] = {
        "instrument_id": instrument.instrument_id,
        "side": OrderSide.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal("0.03"),
        "limit_price": Decimal("60000.1"),
    }
    values |= changes
    if values["order_type"] in (OrderType.MARKET, OrderType.STOP_MARKET):
        values["limit_price"] = None
    return OrderRequest(**values)


def sent(instrument: Instrument, *, mode: AccountMode = ONE_WAY, held: tuple[Held, ...] = (), **changes: Any) -> Any:
    prepared = payloads.prepare(request(instrument, **changes), instrument, OUR_ID, mode=mode, held=held)
    assert prepared.sha256 == hashlib.sha256(prepared.payload.encode()).hexdigest()
    fields = json.loads(prepared.payload)
    own = "algoClOrdId" if "trigger_price" in changes else "clOrdId"
    assert (fields.pop(own), fields.pop("tag")) == (OUR_ID.value, "algotrendy")
    return fields


MARKET: dict[str, Any] = {"order_type": OrderType.MARKET}
STOP: dict[str, Any] = {"order_type": OrderType.STOP_MARKET, "trigger_price": Decimal("61000")}


@pytest.mark.parametrize(
    ("mode", "trade_mode"), [(SPOT_MODE, "cash"), (ONE_WAY, "cash"), (MULTI, "cross"), (PORTFOLIO, "cross")]
)
def test_a_spot_market_buy_is_for_base_currency_and_is_never_shrunk(mode: AccountMode, trade_mode: str) -> None:
    assert sent(SPOT, mode=mode, **MARKET) == {
        "instId": "BTC-USDT",
        "tdMode": trade_mode,
        "side": "buy",
        "ordType": "market",
        "sz": "0.03",
        "tgtCcy": "base_ccy",
        "banAmend": True,
    }


def test_a_spot_limit_order() -> None:
    assert sent(SPOT, side=OrderSide.SELL) == {
        "instId": "BTC-USDT",
        "tdMode": "cash",
        "side": "sell",
        "ordType": "limit",
        "sz": "0.03",
        "px": "60000.1",
    }


def test_a_swap_order_counts_contracts() -> None:
    assert sent(SWAP) == {
        "instId": "BTC-USDT-SWAP",
        "tdMode": "cross",
        "side": "buy",
        "ordType": "limit",
        "sz": "0.03",
        "px": "60000.1",
    }


@pytest.mark.parametrize(
    ("changes", "order_type"),
    [
        ({"time_in_force": TimeInForce.GTC}, "limit"),
        ({"time_in_force": TimeInForce.IOC}, "ioc"),
        ({"time_in_force": TimeInForce.FOK}, "fok"),
        ({"post_only": True}, "post_only"),
        (MARKET, "market"),
        ({**MARKET, "time_in_force": TimeInForce.IOC}, "market"),
    ],
)
@pytest.mark.parametrize("instrument", [SPOT, SWAP], ids=["spot", "swap"])
def test_the_time_in_force_is_the_order_type(instrument: Instrument, changes: dict[str, Any], order_type: str) -> None:
    assert sent(instrument, **changes)["ordType"] == order_type


@pytest.mark.parametrize(("side", "position_side"), [("buy", LONG), ("sell", LONG), ("sell", SHORT), ("buy", SHORT)])
def test_hedge_mode_names_the_side_and_no_flag(side: str, position_side: PositionSide) -> None:
    fields = sent(SWAP, mode=HEDGE, side=OrderSide(side), position_side=position_side)
    assert fields["posSide"] == position_side.value and "reduceOnly" not in fields


def test_a_reduction_in_hedge_mode_is_a_matter_of_sides() -> None:
    terms: dict[str, Any] = {"reduce_only": True, "position_side": LONG}
    fields = sent(SWAP, mode=HEDGE, side=OrderSide.SELL, **terms)
    assert fields["posSide"] == "long" and "reduceOnly" not in fields
    with pytest.raises(InvalidOrder, match="must go against position_side"):
        sent(SWAP, mode=HEDGE, side=OrderSide.BUY, **terms)


def test_a_reduction_goes_to_the_margin_under_which_it_is_held() -> None:
    terms: dict[str, Any] = {"side": OrderSide.SELL, "reduce_only": True}
    assert sent(SWAP, **terms)["reduceOnly"] is True
    for held, margin in (
        ((), "cross"),
        ((Held("isolated", Decimal(1)),), "isolated"),
        ((Held("cross", Decimal(1)), Held("isolated", Decimal(1))), "cross"),
        ((Held("isolated", Decimal(-1)),), "cross"),
    ):
        assert sent(SWAP, held=held, **terms)["tdMode"] == margin


def test_portfolio_margin_does_not_enforce_reductions_so_they_are_checked_here() -> None:
    terms: dict[str, Any] = {"mode": PORTFOLIO, "side": OrderSide.SELL, "reduce_only": True}
    assert sent(SWAP, held=(Held("cross", Decimal("0.03")),), **terms)["reduceOnly"] is True
    for held in ((), (Held("cross", Decimal("0.02")),), (Held("cross", Decimal("-0.03")),)):
        with pytest.raises(InvalidOrder, match="does not enforce it in portfolio margin"):
            sent(SWAP, held=held, **terms)


@pytest.mark.parametrize(
    ("instrument", "mode", "changes", "words"),
    [
        (SPOT, ONE_WAY, {"quantity": Decimal("0.000000001")}, "multiple of the lot size"),
        (SPOT, ONE_WAY, {"quantity": Decimal("0.000005")}, "at least 0.00001"),
        (SWAP, ONE_WAY, {"quantity": Decimal("0.005")}, "multiple of the lot size 0.01"),
        (SWAP, ONE_WAY, {**MARKET, "quantity": Decimal(12001)}, "at most 12000 for market"),
        (SWAP, ONE_WAY, {"limit_price": Decimal("60000.05")}, "multiple of the tick size 0.1"),
        (SWAP, ONE_WAY, {"post_only": True, "time_in_force": TimeInForce.IOC}, "post_only needs time_in_force gtc"),
        (SWAP, ONE_WAY, {"position_side": LONG}, "position_side must be absent in one-way mode"),
        (SWAP, HEDGE, {}, "position_side must be long or short"),
        (SWAP, HEDGE, {"position_side": PositionSide.FLAT}, "was flat"),
        (SWAP, SPOT_MODE, {}, "spot mode"),
    ],
)
def test_terms_that_cannot_be_sent(
    instrument: Instrument, mode: AccountMode, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidOrder, match=words):
        sent(instrument, mode=mode, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({**MARKET, "time_in_force": TimeInForce.FOK}, "fok needs order_type limit"),
        ({"time_in_force": TimeInForce.DAY}, "time_in_force day"),
        ({**STOP, "time_in_force": TimeInForce.FOK}, "fok needs order_type limit"),
        (
            {"order_type": OrderType.STOP_LIMIT, "trigger_price": Decimal(1), "time_in_force": TimeInForce.IOC},
            "use time",
        ),
    ],
)
def test_what_okx_does_not_offer_here(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        sent(SWAP, **changes)


@pytest.mark.parametrize("changes", [{"reduce_only": True}, {"position_side": LONG}])
def test_spot_has_no_positions(changes: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="is for contracts"):
        sent(SPOT, **changes)


@pytest.mark.parametrize("value", ["with-dash", "under_score", "x" * 33, "é"])
def test_ids_are_letters_and_digits_only(value: str) -> None:
    with pytest.raises(InvalidOrder, match="client_order_id must be 1-32"):
        payloads.prepare(request(SPOT), SPOT, ClientOrderId(value), mode=ONE_WAY)


def test_ids_of_the_desk_fit() -> None:
    for attempt in (1, 127):
        made = make_client_order_id(IntentId("i"), attempt=attempt, tag=1, is_production=True, identity=IDENTITY)
        payloads.prepare(request(SPOT), SPOT, made, mode=ONE_WAY)
        assert len(made.value) == 32


def test_the_position_is_read_for_reductions_of_swaps_alone() -> None:
    assert not payloads.needs_position(request(SWAP), SWAP)
    assert payloads.needs_position(request(SWAP, reduce_only=True), SWAP)
    assert payloads.needs_position(request(SWAP, side=OrderSide.SELL, position_side=LONG), SWAP)
    assert not payloads.needs_position(request(SWAP, position_side=LONG), SWAP)
    assert not payloads.needs_position(request(SPOT), SPOT)


def test_equal_terms_give_equal_bytes() -> None:
    one, other = (payloads.prepare(request(SPOT), SPOT, OUR_ID, mode=ONE_WAY) for _ in range(2))
    assert one == other and " " not in one.payload
    with pytest.raises(NotSent):
        payloads.prepare(request(SPOT, quantity=Decimal("1e-9")), SPOT, OUR_ID, mode=ONE_WAY)


# -- stops ------------------------------------------------------------------------------------------------------
def test_a_stop_is_a_stop_loss_order_under_an_id_of_its_own_kind() -> None:
    common = {"tdMode": "cross", "ordType": "conditional", "sz": "0.03", "slTriggerPxType": "last"}
    assert sent(SWAP, **STOP) == {
        **common,
        "instId": "BTC-USDT-SWAP",
        "side": "buy",
        "slTriggerPx": "61000",
        "slOrdPx": "-1",
    }
    limited = {"order_type": OrderType.STOP_LIMIT, "side": OrderSide.SELL, "trigger_price": Decimal("59000")}
    assert sent(SWAP, **limited, limit_price=Decimal("58990.5"), reduce_only=True) == {
        **common,
        "instId": "BTC-USDT-SWAP",
        "side": "sell",
        "slTriggerPx": "59000",
        "slOrdPx": "58990.5",
        "reduceOnly": True,
    }
    assert sent(SWAP, mode=HEDGE, position_side=LONG, **STOP)["posSide"] == "long"


def test_a_spot_stop_counts_in_base_currency() -> None:
    assert sent(SPOT, **STOP)["tgtCcy"] == "base_ccy", "OKX's default for such a buy is the other currency"
    sale = sent(SPOT, side=OrderSide.SELL, **STOP)
    assert "tgtCcy" not in sale and "banAmend" not in sale and sale["tdMode"] == "cash"


@pytest.mark.parametrize("name", ["trigger_price", "limit_price"])
def test_prices_of_a_stop_lie_on_the_grid(name: str) -> None:
    prices = {"trigger_price": Decimal("61000"), "limit_price": Decimal("61010"), name: Decimal("61000.05")}
    with pytest.raises(InvalidOrder, match=f"{name} must be a multiple"):
        sent(SWAP, order_type=OrderType.STOP_LIMIT, **prices)


def test_a_reducing_stop_is_not_sent_where_okx_would_not_enforce_it() -> None:
    with pytest.raises(Unsupported, match="portfolio"):
        sent(SWAP, mode=PORTFOLIO, held=(Held("cross", Decimal(5)),), side=OrderSide.SELL, reduce_only=True, **STOP)
