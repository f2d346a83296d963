"""Binance under test: USDⓈ-M perpetuals and spot of one account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from brokers.binance import codes
from brokers.clock import epoch_ms
from brokers.errors import RateLimited, VenueFaulted
from brokers.ids import InstrumentId
from simulators import running_binance
from simulators.core.config import PricesConfig
from simulators.testing_binance import small_binance_config
from tests.brokers.binance.conftest import config_at, refuses, says
from tests.brokers.binance.recorded import FUTURES_SYMBOL, SPOT_SYMBOL
from tests.brokers.loopback import Loopback, Request
from tests.conformance import ccxt_clients
from tests.conformance.capability import Capability
from tests.conformance.venue import EVERY_PRODUCT, ErrorRow, KeyKind, Shape, VenueUnderTest, wire_row
from tests.proof.venues.binance import NamedSim
from tests.proof.wire_venues import venue_clock

_SPOT_LACKS = {
    Capability.REDUCE_ONLY,
    Capability.HEDGE,
    Capability.POSITION_MODE,
    Capability.LEVERAGE,
    Capability.SET_MARGIN_MODE,
}


def _key(name: str, secret: str = "") -> dict[str, Any]:
    return {"api_key": SecretStr(name), "api_secret": SecretStr(secret or f"{name}-secret")}


@contextmanager
def _many(start: datetime) -> Iterator[tuple[Any, Sequence[InstrumentId]]]:
    names = [f"S{number:02d}" for number in range(50)]
    small = small_binance_config()
    (pattern,) = (one for one in small.instruments if one.symbol == "BTCUSDT" and one.kind.value == "linear")
    config = small_binance_config(
        instruments=tuple(pattern.model_copy(update={"symbol": f"{name}USDT", "base": name}) for name in names),
        prices=PricesConfig(start={f"{name}USDT": Decimal(100) for name in names}, spread_bps=Decimal(2)),
        clock=venue_clock(start),
    )
    with running_binance(config) as running:
        yield NamedSim(running), [InstrumentId(f"{name}/USDT:USDT") for name in names]


# The words decide where one code says several things; those of the simulator's own are not the documented ones.
_WORDS = {
    -1010: "ERROR_MSG_RECEIVED.",
    -1013: "Filter failure: LOT_SIZE",
    -2010: "Order would immediately match and take.",
    -2011: "Unknown order sent.",
    -2015: "Invalid API-key, IP, or permissions for action.",
    -2026: "This OrderType is not supported when reduceOnly.",
}


_AT_503 = (-1008, -1016)  # told with a status that is no failure of an order


def _errors() -> Iterable[ErrorRow]:
    rows: list[ErrorRow] = [
        ((code, _WORDS.get(code, "the venue's words")), VenueFaulted if code in _AT_503 else error)
        for code, error in sorted(codes.CODES.items())
    ]
    throttled = ((-1008, "Request throttled by system-level protection."), RateLimited)
    return [*rows, throttled, *(((-2010, words), error) for words, error in codes._TEXTS)]


_SPOT_PAIRS = (("BTC", "USDT"), ("LTC", "USDT"), ("SOL", "USDT"), ("LTC", "BTC"))
_RECORDED = (*(InstrumentId(f"{base}/{quote}") for base, quote in _SPOT_PAIRS), InstrumentId("BTC/USDT:USDT"))


def _serve(server: Loopback, now: datetime) -> None:
    for path in ("/api/v3/time", "/fapi/v1/time"):
        server.on(path, says({"serverTime": epoch_ms(now)}))
    server.on("/api/v3/exchangeInfo", _spot_symbols)
    for path in ("/fapi/v1/openAlgoOrders", "/fapi/v1/allAlgoOrders"):
        server.on(path, says([]))
    for path in ("/fapi/v1/order", "/fapi/v1/algoOrder"):
        server.on(path, refuses(-2013, "Order does not exist."))
    server.on("/fapi/v1/exchangeInfo", says({"symbols": [FUTURES_SYMBOL]}))


def _spot_symbols(request: Request, sock: Any) -> bool:
    """The symbols of the recorded bodies: the documented BTCUSDT under other names, with steps fine enough."""
    price, lot, *others = SPOT_SYMBOL["filters"]
    fine = [{**price, "tickSize": "0.00000001"}, {**lot, "minQty": "0.00001"}, *others]
    rows = [
        {**SPOT_SYMBOL, "symbol": f"{base}{quote}", "baseAsset": base, "quoteAsset": quote, "filters": fine}
        for base, quote in _SPOT_PAIRS
    ]
    wanted = request.query.get("symbol")
    return says({"symbols": [row for row in rows if wanted in (None, row["symbol"])]})(request, sock)


VENUE = VenueUnderTest(
    wire=wire_row("binance"),
    lacks={
        EVERY_PRODUCT: frozenset({Capability.PROFIT_AND_LOSS}),
        "spot": frozenset(_SPOT_LACKS),
    },
    keys={
        KeyKind.UNKNOWN: _key("nobody"),
        KeyKind.WRONG_SECRET: _key("main-key", "another-secret"),
        KeyKind.READ_ONLY: _key("reader"),
        KeyKind.CAN_WITHDRAW: _key("drainer"),
        KeyKind.EXPIRED: _key("expired"),
        KeyKind.BOUND_ELSEWHERE: _key("elsewhere"),
        KeyKind.AGREED: {"dead_man_may_cancel_all_orders": True},
    },
    errors=_errors,
    requests_max={"connect": 4},
    shapes=(
        Shape(
            "REC-FIND-01",
            (),
            closed_set=("status", "side", "type"),
            required=("symbol", "orderId", "clientOrderId", "status", "side", "type", "origQty", "executedQty", "time"),
            numbers=("origQty", "executedQty", "price", "stopPrice", "cummulativeQuoteQty"),
            optional={"stopPrice": "trigger_price"},
        ),
        Shape(
            "REC-OPEN-ORDERS-01",
            (0,),
            closed_set=("status", "side", "type"),
            required=("symbol", "orderId", "status", "side", "type", "origQty", "executedQty", "time", "updateTime"),
            numbers=("origQty", "executedQty", "price"),
            optional={"price": "limit_price", "clientOrderId": "client_order_id"},
        ),
        Shape(
            "REC-POSITIONS-01",
            (0,),
            closed_set=("positionSide",),
            required=("symbol", "positionSide", "positionAmt", "updateTime"),
            numbers=("positionAmt", "entryPrice", "markPrice", "unRealizedProfit", "liquidationPrice"),
            optional={"liquidationPrice": "liquidation_price", "unRealizedProfit": "unrealised_pnl"},
        ),
        Shape(
            "REC-FILLS-01",
            (0,),
            closed_set=("isBuyer",),
            required=("symbol", "id", "orderId", "isBuyer", "qty", "price", "commission", "commissionAsset", "time"),
            numbers=("qty", "price", "commission"),
        ),
        Shape(
            "REC-FILLS-02",
            (0,),
            closed_set=("side",),
            required=("symbol", "id", "orderId", "side", "qty", "price", "commission", "commissionAsset", "time"),
            numbers=("qty", "price", "commission"),
        ),
        Shape("REC-BALANCES-01", ("balances", 0), required=("asset", "free", "locked"), numbers=("free", "locked")),
        Shape(
            "REC-BALANCES-03",
            ("assets", 0),
            required=("asset", "walletBalance", "availableBalance"),
            numbers=("walletBalance", "availableBalance"),
        ),
        Shape(
            "REC-LEVERAGE-01",
            (0,),
            closed_set=("marginType",),
            required=("symbol", "marginType", "leverage"),
            numbers=("leverage",),
        ),
        Shape("REC-QUOTES-02", (), numbers=("bidPrice", "askPrice")),
    ),
    client=ccxt_clients.BINANCE,
    many=_many,
    serve=_serve,
    recorded_account=lambda url: config_at(url, instruments=_RECORDED),
)
