"""Read and place calls at Binance, OKX and Alpaca: our adapter, the venue's SDK and ccxt in turns.

The simulators run in one process beside. Where our reading takes two requests (a quote at Binance, balances at Alpaca),
the SDK is asked the same two.
"""

from __future__ import annotations

import itertools
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import ccxt
from pydantic import SecretStr

from bench.measure import Row, Timing, in_turns, shown_ms
from bench.processes import simulators
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, Environment, InstrumentId, Venue
from brokers.port import Broker
from brokers.types import OrderRequest, OrderSide, OrderType, ProductKind, TimeInForce
from brokers.wire import SendTicket

ROUNDS = 200
AIM_OF_SDK = 1.2
PRICE = "58500"  # below the market: an immediate-or-cancel order that never fills
LINEAR, COIN = InstrumentId("BTC/USDT:USDT"), InstrumentId("BTC/USD")
Calls = Mapping[str, Callable[[], object]]
VENUES = ("binance", "okx", "alpaca")


def run(folder: Path, *, rounds: int = ROUNDS) -> list[Row]:
    """Every venue's calls compared, call by call."""
    rows: list[Row] = []
    with simulators(folder, *VENUES) as urls, ExitStack() as stack:
        for name in VENUES:
            contestants = {
                "ours": _ours(stack, Venue(name), urls[name]),
                "SDK": stack.enter_context(_SDKS[name](urls[name])),
                "ccxt": stack.enter_context(_CCXT[name](urls[name])),
            }
            for what in ("balances", "quote", "positions", "place"):
                calls = {who: made[what] for who, made in contestants.items() if what in made}
                rows += _rows(name, what, in_turns(calls, rounds=rounds))
    return rows


def _rows(name: str, what: str, taken: Mapping[str, Timing]) -> Iterator[Row]:
    ours = taken["ours"]
    for who in ("SDK", "ccxt"):
        if who in taken:
            ratio, is_sdk = ours.median_ms / taken[who].median_ms, who == "SDK"
            yield Row(
                section="Venue calls",
                what=f"{name}: {what}, against {'its SDK' if is_sdk else who}",
                ours=shown_ms(ours),
                baseline=shown_ms(taken[who]),
                ratio=f"{ratio:.2f}",
                aim=f"≤ {AIM_OF_SDK}" if is_sdk else "",
                held=ratio <= AIM_OF_SDK if is_sdk else None,  # ccxt asks for less: one request where we need two
                detail=f"{ours.calls} calls each, in turns",
            )


# -- ours -------------------------------------------------------------------------------------------------------
def _ours(stack: ExitStack, venue: Venue, url: str) -> Calls:
    broker = stack.enter_context(open_broker(_connection(venue, url), clock=SystemClock()))
    instrument_id = COIN if venue is Venue.ALPACA else LINEAR
    broker.connect()
    broker.instruments([instrument_id])
    quantity = Decimal(1) if venue is Venue.OKX else Decimal("0.01")  # contracts of 0.01 BTC
    request = OrderRequest(
        instrument_id=instrument_id,
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=quantity,
        limit_price=Decimal(PRICE),
        time_in_force=TimeInForce.IOC,
    )
    return {
        "balances": broker.balances,
        "quote": lambda: broker.quotes([instrument_id]),
        "positions": broker.positions,
        "place": lambda: place_once(broker, request),
    }


def _connection(venue: Venue, url: str) -> AccountConfig:
    more: dict[Venue, dict[str, Any]] = {
        Venue.BINANCE: {"products": frozenset({ProductKind.LINEAR}), "instruments": (LINEAR,)},
        Venue.OKX: {"products": frozenset({ProductKind.LINEAR}), "api_passphrase": SecretStr("main-passphrase")},
        Venue.ALPACA: {"products": frozenset({ProductKind.SPOT}), "settle_currencies": ("USD",)},
    }
    return AccountConfig(
        account_id=AccountId(venue, Environment.SIMULATED, "bench"),
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=url,
        **{"settle_currencies": ("USDT",), **more[venue]},
    )


def place_once(broker: Broker, request: OrderRequest) -> object:
    """Prepare and place under an id of its own."""
    name, clock = uuid.uuid4().hex[:22], SystemClock()  # as long as an id may be at every venue
    ticket = SendTicket(
        send_id=name,
        not_after=datetime.now(UTC) + timedelta(seconds=4),
        send_by_monotonic_s=clock.monotonic() + 4,
        timeout_s=10,
    )
    return broker.place(broker.prepare_order(request, ClientOrderId(name)), ticket)


# -- the venues' SDKs -------------------------------------------------------------------------------------------
@contextmanager
def _binance_sdk(url: str) -> Iterator[Calls]:
    import asyncio

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports deprecated names of websockets
        from binance.client import Client
    loop = asyncio.new_event_loop()  # the client takes one, though it never runs it
    asyncio.set_event_loop(loop)
    client = Client("second-key", "second-secret", ping=False)
    client.API_URL, client.FUTURES_URL = f"{url}/api", f"{url}/fapi"
    client.session.trust_env = False
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "IOC", "quantity": "0.01"}
    try:
        yield {
            "balances": client.futures_account,
            "quote": lambda: (
                client.futures_orderbook_ticker(symbol="BTCUSDT"),
                client.futures_symbol_ticker(symbol="BTCUSDT"),
            ),
            "positions": client.futures_position_information,
            "place": lambda: client.futures_create_order(**order, price=PRICE, newClientOrderId=uuid.uuid4().hex),
        }
    finally:
        client.session.close()
        asyncio.set_event_loop(None)
        loop.close()


@contextmanager
def _okx_sdk(url: str) -> Iterator[Calls]:
    from okx.Account import AccountAPI
    from okx.MarketData import MarketAPI
    from okx.Trade import TradeAPI

    keys = {"api_key": "second-key", "api_secret_key": "second-secret", "passphrase": "second-passphrase"}
    account, market, trade = (made(**keys, domain=url) for made in (AccountAPI, MarketAPI, TradeAPI))
    order = {"instId": "BTC-USDT-SWAP", "tdMode": "cross", "side": "buy", "ordType": "ioc", "sz": "1", "px": PRICE}
    try:
        yield {
            "balances": account.get_account_balance,
            "quote": lambda: market.get_ticker("BTC-USDT-SWAP"),
            "positions": account.get_positions,
            "place": lambda: trade.place_order(**order, clOrdId=uuid.uuid4().hex),
        }
    finally:
        for client in (account, market, trade):
            client.close()


@contextmanager
def _alpaca_sdk(url: str) -> Iterator[Calls]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its streams import deprecated names of websockets
        from alpaca.data.historical import CryptoHistoricalDataClient
        from alpaca.data.requests import CryptoLatestQuoteRequest
        from alpaca.trading.client import TradingClient
        from alpaca.trading.enums import OrderSide as Side
        from alpaca.trading.enums import TimeInForce as Tif
        from alpaca.trading.requests import LimitOrderRequest
    client = TradingClient("second-key", "second-secret", paper=True, url_override=url)
    data = CryptoHistoricalDataClient(url_override=url)
    client._session.trust_env = data._session.trust_env = False
    order = {"symbol": "BTC/USD", "qty": 0.01, "side": Side.BUY, "limit_price": float(PRICE), "time_in_force": Tif.IOC}
    try:
        yield {
            "balances": lambda: (client.get_account(), client.get_all_positions()),
            "quote": lambda: data.get_crypto_latest_quote(CryptoLatestQuoteRequest(symbol_or_symbols="BTC/USD")),
            "positions": client.get_all_positions,
            "place": lambda: client.submit_order(LimitOrderRequest(**order, client_order_id=uuid.uuid4().hex)),
        }
    finally:
        client._session.close()
        data._session.close()


_SDKS: dict[str, Any] = {"binance": _binance_sdk, "okx": _okx_sdk, "alpaca": _alpaca_sdk}


# -- ccxt -------------------------------------------------------------------------------------------------------
@contextmanager
def _ccxt(exchange: Any, symbol: str, amount: float, id_field: str) -> Iterator[Calls]:
    exchange.session.trust_env = False
    exchange.has["fetchCurrencies"] = False
    exchange.load_markets()
    numbers = itertools.count()

    def place() -> object:
        extra = {"timeInForce": "IOC", id_field: f"{uuid.uuid4().hex[:20]}{next(numbers)}"}
        return exchange.create_order(symbol, "limit", "buy", amount, float(PRICE), extra)

    calls = {"balances": exchange.fetch_balance, "quote": lambda: exchange.fetch_ticker(symbol), "place": place}
    if exchange.has.get("fetchPositions"):
        calls["positions"] = exchange.fetch_positions
    try:
        yield calls
    finally:
        exchange.session.close()


def _ccxt_binance(url: str) -> Any:
    exchange: Any = ccxt.binanceusdm({"apiKey": "second-key", "secret": "second-secret", "enableRateLimit": False})
    exchange.urls["api"] = {
        name: url + address[address.index("/", 8) :]
        for name, address in exchange.urls["api"].items()
        if "://" in address
    }
    return _ccxt(exchange, LINEAR.value, 0.01, "newClientOrderId")


def _ccxt_okx(url: str) -> Any:
    keys = {"apiKey": "second-key", "secret": "second-secret", "password": "second-passphrase"}
    exchange: Any = ccxt.okx({**keys, "enableRateLimit": False})
    exchange.urls["api"] = {"rest": url}
    return _ccxt(exchange, LINEAR.value, 1, "clientOrderId")


def _ccxt_alpaca(url: str) -> Any:
    exchange: Any = ccxt.alpaca({"apiKey": "second-key", "secret": "second-secret", "enableRateLimit": False})
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], url)
    return _ccxt(exchange, COIN.value, 0.01, "clientOrderId")


_CCXT: dict[str, Any] = {"binance": _ccxt_binance, "okx": _ccxt_okx, "alpaca": _ccxt_alpaca}
