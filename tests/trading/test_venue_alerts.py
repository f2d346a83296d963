"""TradingView alerts to orders at Binance, OKX and Alpaca: names, units, coins that stand in wallets, market hours."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import AccountId, InstrumentId
from brokers.types import Balance, Instrument, OrderSide, ProductKind, Quote
from ledger.inbox import AlertStore, Delivery, InboxState
from tests.trading.simulated_venues import ALPACA, BINANCE, OKX, Account, Seat, account_at
from trading.alerts import AlertConfig, Route, Source
from trading.alerts.handling import handle
from trading.alerts.handling_model import HandlingLimits, Tools
from trading.alerts.looking import held_coin
from trading.alerts.reading import reader
from trading.alerts.routing import RouteAction
from trading.alerts.values import OpenOrder

D = Decimal
PLACED, REFUSED = InboxState.PLACED, InboxState.REFUSED


class Inbox:
    """Alerts of one route to one account, each worked on until it is over."""

    def __init__(self, account: Account, **route: Any) -> None:
        self.account, self.symbol = account, route["symbol"]
        self.store = AlertStore(account.runtime.ledger, free_bytes=lambda: 10**12)
        fields: dict[str, Any] = {
            "name": "one",
            "source": "tv",
            "account": str(account.account_id),
            "quantity_max": "100",
            "actions": frozenset(RouteAction),
        }
        self.config = AlertConfig(sources=(Source(name="tv"),), routes=(Route(**{**fields, **route}),))

    def send(self, key: str, action: str, size: str, before: str, after: str) -> tuple[InboxState, str, str]:
        sides = {"position": after, "previous_position": before}
        sizes = {f"{name}_size": "0" if side == "flat" else size for name, side in sides.items()}
        now = self.account.clock.now()
        body = {"v": 1, "id": key, "time": now.isoformat(), "symbol": self.symbol, "strategy": "s"}
        raw = json.dumps({**body, "action": action, "contracts": size, **sides, **sizes}).encode()
        (receipt,) = self.store.receive([Delivery(source="tv", raw=raw, received_at=now)])
        self.store.admit(reader(self.config, self.account.clock.now), worker="reader")
        for _ in range(20):
            stored = self.store.show(receipt.alert_id)
            if not stored.state.is_open:
                return stored.state, stored.reason, stored.detail
            claim = self.store.claim(worker="worker")
            if claim is None:
                self.account.clock.wait(1)
            else:
                handle(claim, self._tools())
        raise AssertionError(f"the alert is still {self.store.show(receipt.alert_id)}")

    def _tools(self) -> Tools:
        def nobody(question: Any, rule: Any) -> Any:
            raise AssertionError("nobody is to be asked")

        return Tools(
            store=self.store,
            accounts=lambda account_id: self.account.runtime,
            config=self.config,
            review=nobody,
            limits=HandlingLimits(),
            is_stopping=lambda: False,
        )


CASES: dict[str, tuple[Seat, dict[str, str], str, str]] = {
    "binance perpetual": (BINANCE, {"symbol": "BTCUSDT.P", "instrument": "BTC/USDT:USDT"}, "0.3", "0.3"),
    # the fee is taken in the coin: a thousandth at Binance; what is left is less than a step and is no position
    "binance spot": (BINANCE, {"symbol": "BTCUSDT", "instrument": "BTC/USDT"}, "0.12345", "0.12332"),
    "okx swap, in contracts": (OKX, {"symbol": "BTCUSDT.P", "instrument": "BTC/USDT:USDT"}, "30", "30"),
    "okx spot": (OKX, {"symbol": "BTCUSDT", "instrument": "BTC/USDT"}, "0.3", "0.2997"),
    "alpaca share": (ALPACA, {"symbol": "NASDAQ:AAPL", "calendar": "NYSE"}, "10.125", "10.125"),
    # its fee is still to be taken: it cannot be sold, and is no position
    "alpaca pair": (ALPACA, {"symbol": "COINBASE:BTCUSD", "instrument": "BTC/USD"}, "0.3", "0.29925"),
}


@pytest.mark.parametrize("name", CASES)
def test_an_alert_opens_an_exit_closes_and_the_next_one_opens_again(name: str, tmp_path: Path) -> None:
    seat, route, size, closed = CASES[name]
    with account_at(seat, tmp_path) as account:
        inbox = Inbox(account, **route)
        instrument = route.get("instrument", "AAPL")
        state, _, detail = inbox.send("1", "buy", size, "flat", "long")
        assert (state, detail.split(" filled")[0]) == (PLACED, f"buy {size} {instrument}"), detail
        account.clock.wait(30)
        state, _, detail = inbox.send("2", "sell", size, "long", "flat")
        assert (state, detail.split(" filled")[0]) == (PLACED, f"sell {closed} {instrument}"), detail
        assert account.held() == {}
        account.clock.wait(30)
        state, _, detail = inbox.send("3", "buy", size, "flat", "long")
        assert state is PLACED, detail


def test_a_share_waits_for_the_opening_of_its_market_or_is_refused(tmp_path: Path) -> None:
    with account_at(ALPACA, tmp_path) as account:
        inbox = Inbox(account, symbol="AAPL", calendar="NYSE")
        account.clock.wait(10 * 3600)  # one in the morning in UTC
        state, reason, detail = inbox.send("1", "buy", "10", "flat", "long")
        assert (state, reason) == (REFUSED, "MARKET_CLOSED") and "2026-03-03 14:30:00 UTC" in detail
        assert account.sim.control.orders("main") == []


NOW = datetime(2026, 3, 2, 15, tzinfo=UTC)
PAIR = Instrument(
    instrument_id=InstrumentId("BTC/USDT"),
    venue_symbol="BTCUSDT",
    product=ProductKind.SPOT,
    base_currency="BTC",
    quote_currency="USDT",
    settle_currency="USDT",
    tick_size=D("0.01"),
    lot_size=D("0.00001"),
    quantity_min=D("0.00001"),
    notional_min=D(5),
)
QUOTE = Quote(PAIR.instrument_id, bid=D(60_000), ask=D(60_001), last=D(60_000), time=NOW)


@pytest.mark.parametrize(
    ("total", "available", "leaving", "held"),
    [
        ("1", "1", None, "1"),
        ("1", "0.75", "0.25", "1"),  # what an open sale binds is held still
        ("1", "0.75", None, "0.75"),  # what else is bound is not: a fee, a sale in another pair
        ("1", None, None, "1"),
        ("0.00000999", "0.00000999", None, "0"),  # less than a step
        ("0.00008", "0.00008", None, "0"),  # worth 4.80: too little for any order
        ("0.00009", "0.00009", None, "0.00009"),
    ],
)
def test_the_wallet_of_a_coin_is_the_position_of_a_spot_instrument(
    total: str, available: str | None, leaving: str | None, held: str
) -> None:
    account = AccountId.parse("binance.simulated.main")
    free = None if available is None else D(available)
    coin = Balance(account, "BTC", D(total), free, D(total) - (free or D(0)), NOW)
    other = Balance(account, "ETH", D(9), D(9), D(0), NOW)
    orders = () if leaving is None else (OpenOrder(intent_id=None, side=OrderSide.SELL, remaining=D(leaving)),)
    assert held_coin((other, coin), PAIR, QUOTE, orders) == D(held)
    assert held_coin((other,), PAIR, QUOTE, ()) == 0
