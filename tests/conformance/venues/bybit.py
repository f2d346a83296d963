"""Bybit under test: linear perpetuals and spot of one unified account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from brokers.bybit import codes
from brokers.ids import InstrumentId
from simulators import running_bybit
from simulators.core.config import PricesConfig
from simulators.demo import stock
from simulators.testing import small_config
from tests.brokers.loopback import LINEAR_ROW, SPOT_ROW, Loopback, Request, account_config, ok
from tests.conformance import ccxt_clients
from tests.conformance.capability import Capability
from tests.conformance.venue import EVERY_PRODUCT, ErrorRow, KeyKind, Shape, VenueUnderTest, wire_row
from tests.proof.wire_venues import venue_clock

_LIST = ("result", "list")
_SPOT_LACKS = {Capability.REDUCE_ONLY, Capability.HEDGE, Capability.POSITION_MODE, Capability.LEVERAGE}


def _key(name: str, secret: str = "") -> dict[str, Any]:
    return {"api_key": SecretStr(name), "api_secret": SecretStr(secret or f"{name}-secret")}


@contextmanager
def _many(start: datetime) -> Iterator[tuple[Any, Sequence[InstrumentId]]]:
    names = [f"S{number:02d}" for number in range(50)]
    config = small_config(
        instruments=tuple(stock(name) for name in names),
        prices=PricesConfig(start={f"{name}USDT": Decimal(100) for name in names}, spread_bps=Decimal(2)),
        clock=venue_clock(start),
    )
    with running_bybit(config) as running:
        yield running, [InstrumentId(f"{name}/USDT:USDT") for name in names]


def _errors() -> Iterable[ErrorRow]:
    return sorted(codes.CODES.items())


def _serve(server: Loopback, now: datetime) -> None:
    seconds = int(now.timestamp())
    server.on("/v5/market/time", ok({"timeSecond": str(seconds), "timeNano": f"{seconds}000000000"}))
    server.on("/v5/market/instruments-info", _instruments)


def _instruments(request: Request, sock: Any) -> bool:
    """The symbols of the recorded bodies, with the filters of Bybit's documented BTCUSDT."""
    is_linear = request.query["category"] == "linear"
    settle = {"ETHPERP": ("ETH", "USDC")}
    rows = []
    for symbol in ("BTCUSDT", "ETHUSDT", "LTCUSDT", "XRPUSDT", *(settle if is_linear else ())):
        base, quote = settle.get(symbol, (symbol[:3], "USDT"))
        own = {"symbol": symbol, "baseCoin": base, "quoteCoin": quote}
        rows.append({**LINEAR_ROW, **own, "settleCoin": quote} if is_linear else {**SPOT_ROW, **own})
    return ok({"category": request.query["category"], "list": rows, "nextPageCursor": ""})(request, sock)


VENUE = VenueUnderTest(
    wire=wire_row("bybit"),
    lacks={"spot": frozenset(_SPOT_LACKS), EVERY_PRODUCT: frozenset({Capability.SET_MARGIN_MODE})},
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
    shapes=(
        Shape(
            "REC-OPEN-ORDERS-01",
            (*_LIST, 0),
            closed_set=("orderStatus", "side", "orderType", "positionIdx"),
            required=("orderId", "symbol", "side", "orderStatus", "qty", "createdTime"),
            numbers=("qty", "cumExecQty", "price"),
            optional={"avgPrice": "average_price", "triggerPrice": "trigger_price"},
        ),
        Shape(
            "REC-POSITIONS-01",
            (*_LIST, 0),
            closed_set=("side", "positionIdx"),
            required=("symbol", "side", "size"),
            numbers=("size", "avgPrice"),
            optional={"liqPrice": "liquidation_price", "unrealisedPnl": "unrealised_pnl", "leverage": "leverage"},
        ),
        Shape(
            "REC-FILLS-01",
            (*_LIST, 0),
            closed_set=("side",),
            required=("execId", "orderId", "symbol", "execQty", "execPrice", "execTime"),
            numbers=("execQty", "execPrice", "execFee"),
            optional={"orderLinkId": "client_order_id"},
        ),
        Shape(
            "REC-BALANCES-02", (*_LIST, 0, "coin", 0), required=("coin", "walletBalance"), numbers=("walletBalance",)
        ),
        Shape(
            "REC-CASH-01", (*_LIST, 0), required=("id", "currency", "change", "transactionTime"), numbers=("change",)
        ),
        Shape("REC-QUOTES-02", (*_LIST, 0), numbers=("bid1Price", "ask1Price", "lastPrice")),
    ),
    client=ccxt_clients.BYBIT,
    many=_many,
    serve=_serve,
    recorded_account=lambda url: account_config(url, settle_currencies=("USDT",)),
)
