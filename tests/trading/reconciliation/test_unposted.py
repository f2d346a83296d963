"""Fees that left and are told of later bound how far a balance may be short, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.ids import AccountId, InstrumentId, TradeId, VenueOrderId
from brokers.types import CashEvent, CashEventKind, Fill, LiquiditySide, OrderSide
from trading.reconciliation.unposted import POSTED_WITHIN, unposted_fees

ACCOUNT = AccountId.parse("alpaca.simulated.main")
NOW = datetime(2026, 3, 3, 12, tzinfo=UTC)
D, RATE = Decimal, Decimal("0.0025")


def fill(key: str = "BTC/USD", currency: str = "BTC", **changes: Any) -> Fill:
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "trade_id": TradeId("t"),
        "venue_order_id": VenueOrderId("o"),
        "client_order_id": None,
        "instrument_id": InstrumentId(key),
        "side": OrderSide.BUY,
        "quantity": D("0.1"),
        "price": D(60_000),
        "fee": D(0),
        "fee_currency": currency,
        "liquidity": LiquiditySide.UNKNOWN,
        "time": NOW - timedelta(hours=1),
    }
    return Fill(**{**values, **changes})


def fee(
    amount: str,
    *,
    currency: str = "BTC",
    kind: CashEventKind = CashEventKind.FEE,
    key: str | None = "BTC/USD",
    hours_ago: float = 0.1,
) -> CashEvent:
    time = NOW - timedelta(hours=hours_ago)
    return CashEvent(ACCOUNT, "e", kind, currency, D(amount), time, InstrumentId(key) if key else None)


def test_a_purchase_costs_coins_and_a_sale_dollars() -> None:
    fills = [fill(), fill(currency="USD", side=OrderSide.SELL)]
    assert unposted_fees(fills, [], rate=RATE, now=NOW) == {"BTC": D("0.000250001"), "USD": D("15.000000001")}


def test_what_was_posted_is_no_more_to_come() -> None:
    assert unposted_fees([fill()], [fee("-0.00025")], rate=RATE, now=NOW) == {"BTC": D("0.000000001")}
    assert unposted_fees([fill()], [fee("-1")], rate=RATE, now=NOW) == {}
    other = [fee("-1", kind=CashEventKind.TRADE), fee("-1", currency="ETH")]
    assert unposted_fees([fill()], other, rate=RATE, now=NOW) == {"BTC": D("0.000250001")}


def test_shares_and_old_trades_leave_nothing_open() -> None:
    old = fill(time=NOW - POSTED_WITHIN)
    assert unposted_fees([fill("AAPL", "USD"), old], [], rate=RATE, now=NOW) == {}


def test_a_fee_is_of_the_fills_before_it() -> None:
    """Yesterday's fee, posted this morning, is not that of the fill of a minute later; its own fill is out of sight."""
    assert unposted_fees([fill()], [fee("-0.00025", hours_ago=2)], rate=RATE, now=NOW) == {"BTC": D("0.000250001")}


def test_the_regulators_fees_are_no_fees_of_pairs() -> None:
    sale = fill(currency="USD", side=OrderSide.SELL)
    found = unposted_fees([sale], [fee("-9", currency="USD", key=None)], rate=RATE, now=NOW, steps={"USD": D("0.01")})
    assert found == {"USD": D("15.01")}
