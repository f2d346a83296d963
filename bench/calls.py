"""Read and place calls: our Bybit adapter, raw pybit and ccxt against the same simulator process, in turns."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
from pybit.unified_trading import HTTP
from pydantic import SecretStr

from bench.measure import Row, Timing, in_turns, shown_ms
from bench.processes import simulator
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, Environment, InstrumentId, Venue
from brokers.port import Broker
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from brokers.wire import SendTicket

ROUNDS = 250
AIM_OF_PYBIT = 1.2
PRICE = "30000.0"  # far below the market: an immediate-or-cancel order that never fills
SIMULATOR = """
seed: 7
accounts:
  - {name: ours, balances: {USDT: "1000000"}}
  - {name: pybit, balances: {USDT: "1000000"}}
  - {name: ccxt, balances: {USDT: "1000000"}}
instruments:
  - {symbol: BTCUSDT, base: BTC, tick: "0.1", step: "0.001", qty_min: "0.001"}
prices: {start: {BTCUSDT: "60000"}}
rate_limits: {enabled: false}
"""
_INSTRUMENT = InstrumentId("BTC/USDT:USDT")


def run(folder: Path, *, rounds: int = ROUNDS) -> list[Row]:
    """Reads (balances, one quote, positions) and one placement, compared call by call."""
    with simulator(folder, SIMULATOR) as url, our_broker(url) as broker:
        clients = {"ours": _our_calls(broker), "pybit": _pybit_calls(url), "ccxt": _ccxt_calls(url)}
        rows = []
        for what in ("balances", "quote", "positions", "place"):
            taken = in_turns({name: calls[what] for name, calls in clients.items()}, rounds=rounds)
            rows += _rows(what, taken)
        return rows


def _rows(what: str, taken: dict[str, Timing]) -> list[Row]:
    ours, pybit, other = taken["ours"], taken["pybit"], taken["ccxt"]
    of_pybit, of_ccxt = ours.median_ms / pybit.median_ms, ours.median_ms / other.median_ms
    detail = f"{ours.calls} calls each, in turns"
    return [
        Row("Venue calls", f"{what}, against pybit", shown_ms(ours), shown_ms(pybit), f"{of_pybit:.2f}",
            f"≤ {AIM_OF_PYBIT}", of_pybit <= AIM_OF_PYBIT, detail),
        Row("Venue calls", f"{what}, against ccxt", shown_ms(ours), shown_ms(other), f"{of_ccxt:.2f}",
            "< 1", of_ccxt < 1, detail),
    ]  # fmt: skip


def our_broker(url: str) -> Broker:
    config = AccountConfig(
        account_id=AccountId(Venue.BYBIT, Environment.SIMULATED, "ours"),
        api_key=SecretStr("ours-key"),
        api_secret=SecretStr("ours-secret"),
        base_url=url,
        settle_currencies=("USDT",),
    )
    broker = open_broker(config, clock=SystemClock())
    broker.connect()
    broker.instruments([_INSTRUMENT])
    return broker


def _our_calls(broker: Broker) -> dict[str, Callable[[], object]]:
    request = OrderRequest(
        instrument_id=_INSTRUMENT,
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal("0.01"),
        limit_price=Decimal(PRICE),
        time_in_force=TimeInForce.IOC,
    )
    clock = SystemClock()

    def place() -> object:
        name = uuid.uuid4().hex
        ticket = SendTicket(
            send_id=name,
            not_after=datetime.now(UTC) + timedelta(seconds=4),
            send_by_monotonic_s=clock.monotonic() + 4,
            timeout_s=10,
        )
        return broker.place(broker.prepare_order(request, ClientOrderId(name)), ticket)

    return {
        "balances": broker.balances,
        "quote": lambda: broker.quotes([_INSTRUMENT]),
        "positions": broker.positions,
        "place": place,
    }


def _pybit_calls(url: str) -> dict[str, Callable[[], object]]:
    session = HTTP(api_key="pybit-key", api_secret="pybit-secret")
    session.endpoint = url
    session.client.trust_env = False

    def place() -> object:
        return session.place_order(
            category="linear",
            symbol="BTCUSDT",
            side="Buy",
            orderType="Limit",
            qty="0.01",
            price=PRICE,
            timeInForce="IOC",
            orderLinkId=uuid.uuid4().hex,
        )

    return {
        "balances": lambda: session.get_wallet_balance(accountType="UNIFIED"),
        "quote": lambda: session.get_tickers(category="linear", symbol="BTCUSDT"),
        "positions": lambda: session.get_positions(category="linear", settleCoin="USDT", limit=200),
        "place": place,
    }


def _ccxt_calls(url: str) -> dict[str, Callable[[], object]]:
    exchange: Any = ccxt.bybit(
        {
            "apiKey": "ccxt-key",
            "secret": "ccxt-secret",
            "enableRateLimit": False,
            "options": {
                "enableUnifiedAccount": True,
                "enableUnifiedMargin": False,
                "unifiedMarginStatus": 4,
                "fetchMarkets": {"types": ["linear"]},
                "fetchCurrencies": False,
            },
        }
    )
    exchange.session.trust_env = False
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], url)
    exchange.has["fetchCurrencies"] = False
    exchange.load_markets()
    symbol = "BTC/USDT:USDT"
    numbers = itertools.count()

    def place() -> object:
        extra = {"timeInForce": "IOC", "orderLinkId": f"{uuid.uuid4().hex[:24]}{next(numbers)}"}
        return exchange.create_order(symbol, "limit", "buy", 0.01, float(PRICE), extra)

    return {
        "balances": lambda: exchange.fetch_balance({"type": "unified"}),
        "quote": lambda: exchange.fetch_ticker(symbol),
        "positions": lambda: exchange.fetch_positions(None, {"settleCoin": "USDT"}),
        "place": place,
    }
