"""Ids, clocks and values: what they refuse, and that kinds never mix."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.clock import ManualClock, SystemClock
from brokers.guard import _shown
from brokers.ids import AccountId, ClientOrderId, Environment, InstrumentId, TradeId, Venue, VenueOrderId
from brokers.types import (
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
)
from tests.brokers.loopback import NOW


def test_ids_of_different_kinds_never_mix() -> None:
    assert ClientOrderId("a") == ClientOrderId("a") and str(ClientOrderId("a")) == "a"
    assert ClientOrderId("a") != VenueOrderId("a") and len({ClientOrderId("a"), VenueOrderId("a")}) == 2
    assert sorted([TradeId("b"), TradeId("a")])[0] == TradeId("a")


@pytest.mark.parametrize("text", ["", "  ", "x" * 65, None])
def test_ids_are_bounded_text(text: Any) -> None:
    with pytest.raises(ValueError, match="InstrumentId"):
        InstrumentId(text)


def test_account_ids_round_trip() -> None:
    account = AccountId(Venue.BYBIT, Environment.TESTNET, "desk-2")
    assert AccountId.parse(str(account)) == account


@pytest.mark.parametrize(
    "text", ["bybit.testnet", "bybit.paper.main", "mtgox.testnet.main", "bybit.testnet.Main", "a.b.c.d"]
)
def test_account_ids_name_what_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match="account id"):
        AccountId.parse(text)


def test_a_manual_clock_moves_only_forward() -> None:
    clock = ManualClock(NOW)
    clock.wait(2.5)
    clock.wait(-1)
    assert clock.now() == NOW + timedelta(seconds=2.5) and clock.monotonic() == 2.5
    with pytest.raises(ValueError, match="forward"):
        clock.advance(timedelta(seconds=-1))
    with pytest.raises(ValueError, match="aware"):
        ManualClock(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is the point


def test_the_system_clock_is_aware_and_waits_at_least() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    clock.wait(0.01)
    assert clock.monotonic() - before >= 0.01 and clock.now().tzinfo is UTC


def test_sides() -> None:
    assert (OrderSide.BUY.sign, OrderSide.SELL.sign) == (1, -1)
    assert OrderSide.BUY.opposite is OrderSide.SELL and OrderSide.SELL.opposite is OrderSide.BUY


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({"quantity": Decimal(0)}, "quantity"),
        ({"quantity": Decimal("NaN")}, "quantity"),
        ({"order_type": OrderType.LIMIT}, "limit_price"),
        ({"limit_price": Decimal(1)}, "limit_price"),
        ({"order_type": OrderType.STOP_MARKET}, "trigger_price"),
        ({"trigger_price": Decimal(1)}, "trigger_price"),
        ({"order_type": OrderType.LIMIT, "limit_price": Decimal(-1)}, "limit_price"),
        ({"post_only": True}, "post_only"),
    ],
)
def test_order_requests_refuse_terms_that_contradict(terms: dict[str, Any], text: str) -> None:
    values = {"instrument_id": InstrumentId("BTC/USDT"), "side": OrderSide.BUY, "order_type": OrderType.MARKET}
    with pytest.raises(ValueError, match=text):
        OrderRequest(**{**values, "quantity": Decimal(1), **terms})


def test_a_position_carries_the_sign_of_its_side() -> None:
    with pytest.raises(ValueError, match="sign"):
        Position(
            account_id=AccountId.parse("bybit.testnet.main"),
            instrument_id=InstrumentId("BTC/USDT"),
            side=PositionSide.SHORT,
            quantity=Decimal(1),
            average_price=None,
            mark_price=None,
            unrealised_pnl=None,
            realised_pnl=None,
            leverage=None,
            mode=PositionMode.ONE_WAY,
            time=NOW,
        )


@pytest.mark.parametrize("name", ["tick_size", "lot_size", "contract_size"])
def test_an_instrument_has_positive_steps(name: str) -> None:
    values: dict[str, Any] = dict.fromkeys(
        ("tick_size", "lot_size", "quantity_min", "notional_min", "contract_size"), Decimal(1)
    )
    with pytest.raises(ValueError, match=name):
        Instrument(
            instrument_id=InstrumentId("BTC/USDT"),
            venue_symbol="BTCUSDT",
            product=ProductKind.SPOT,
            base_currency="BTC",
            quote_currency="USDT",
            settle_currency="USDT",
            **{**values, name: Decimal(0)},
        )


def test_shown_urls_hide_what_could_be_used() -> None:
    assert _shown("https://x/y?a=1&signature=s&b=") == "https://x/y?a=1&signature=%2A%2A%2A&b="
    assert _shown("https://x/y?a=1") == "https://x/y?a=1"
    assert _shown("http://[::1?token=1") == "(unreadable url)"
