"""OKX under test: linear swaps, sized in contracts, and spot of one trading account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from brokers.clock import epoch_ms
from brokers.errors import VenueFaulted
from brokers.ids import InstrumentId
from brokers.okx import codes
from simulators import running_okx
from simulators.core.config import PricesConfig
from simulators.demo_okx import okx_swap
from simulators.testing_okx import small_okx_config
from tests.brokers.loopback import Loopback, Request
from tests.brokers.okx.conftest import V5, answer, config_at, no_stops
from tests.brokers.okx.recorded import CONFIG_ROW, SPOT_ROW, SWAP_ROW
from tests.conformance import ccxt_clients
from tests.conformance.capability import Capability
from tests.conformance.venue import EVERY_PRODUCT, ErrorRow, KeyKind, Shape, VenueUnderTest, wire_row
from tests.proof.wire_venues import venue_clock

_DATA = ("data",)
_SPOT_LACKS = {Capability.REDUCE_ONLY, Capability.HEDGE, Capability.POSITION_MODE, Capability.LEVERAGE}


def _key(name: str, secret: str = "") -> dict[str, Any]:
    return {
        "api_key": SecretStr(name),
        "api_secret": SecretStr(secret or f"{name}-secret"),
        "api_passphrase": SecretStr(f"{'main' if secret else name}-passphrase"),
    }


@contextmanager
def _many(start: datetime) -> Iterator[tuple[Any, Sequence[InstrumentId]]]:
    names = [f"S{number:02d}" for number in range(50)]
    config = small_okx_config(
        instruments=tuple(okx_swap(name, size="1", tick="0.01", market_max="1000") for name in names),
        prices=PricesConfig(start={f"{name}-USDT-SWAP": Decimal(100) for name in names}, spread_bps=Decimal(2)),
        clock=venue_clock(start),
    )
    with running_okx(config) as running:
        yield running, [InstrumentId(f"{name}/USDT:USDT") for name in names]


def _errors() -> Iterable[ErrorRow]:
    """As an order must take them: what proves nothing of an order is no refusal of it."""
    for code, error in sorted(codes.CODES.items()):
        yield int(code), VenueFaulted if code in codes.UNPROVED_ON_ORDERS else error


def _serve(server: Loopback, now: datetime) -> None:
    server.on(f"{V5}/public/time", answer({"ts": str(epoch_ms(now))}))
    server.on(f"{V5}/public/instruments", _instruments)
    server.on(f"{V5}/account/config", answer(CONFIG_ROW))
    no_stops(server)


def _instruments(request: Request, sock: Any) -> bool:
    """The symbols of the recorded bodies, with the recorded filters of BTC."""
    spot = request.query["instType"] == "SPOT"
    rows = []
    for base in ("BTC", "ETH", "LTC"):
        own = {"instId": f"{base}-USDT", "baseCcy": base} if spot else {"instId": f"{base}-USDT-SWAP", "ctValCcy": base}
        rows.append({**(SPOT_ROW if spot else SWAP_ROW), **own})
    return answer(*rows)(request, sock)


VENUE = VenueUnderTest(
    wire=wire_row("okx"),
    lacks={"spot": frozenset(_SPOT_LACKS), EVERY_PRODUCT: frozenset({Capability.SET_MARGIN_MODE})},
    hosts_are_shared=True,
    # One list of ordinary orders and six of conditional ones, by type; the latter's history by how they ended.
    requests_max={"open orders": 7, "order history of 6 h": 5},
    keys={
        KeyKind.UNKNOWN: _key("nobody"),
        KeyKind.WRONG_SECRET: _key("main-key", "another-secret"),
        KeyKind.READ_ONLY: _key("reader"),
        KeyKind.CAN_WITHDRAW: _key("drainer"),
        KeyKind.EXPIRED: _key("expired"),
        KeyKind.BOUND_ELSEWHERE: _key("elsewhere"),
    },
    errors=_errors,
    shapes=(
        Shape(
            "REC-FIND-01",
            (*_DATA, 0),
            closed_set=("state", "side", "ordType", "posSide"),
            required=("ordId", "instId", "side", "state", "sz", "cTime", "uTime"),
            numbers=("sz", "accFillSz", "avgPx"),
            optional={"avgPx": "average_price", "clOrdId": "client_order_id"},
        ),
        Shape(
            "REC-STOP-FIND-02",
            (*_DATA, 0),
            closed_set=("state", "side", "posSide"),
            required=("algoId", "instId", "side", "state", "cTime"),
            numbers=("sz", "triggerPx", "ordPx"),
        ),
        Shape(
            "REC-POSITIONS-01",
            (*_DATA, 0),
            closed_set=("posSide",),
            required=("instId", "posSide", "pos", "uTime"),
            numbers=("pos", "avgPx", "upl"),
            optional={
                "liqPx": "liquidation_price",
                "upl": "unrealised_pnl",
                "lever": "leverage",
                "avgPx": "average_price",
            },
        ),
        Shape(
            "REC-FILLS-01",
            (*_DATA, 0),
            closed_set=("side",),
            required=("instId", "ordId", "side", "fillSz", "fillPx"),
            numbers=("fillSz", "fillPx", "fee"),
            optional={"clOrdId": "client_order_id"},
        ),
        Shape(
            "REC-BALANCES-01",
            (*_DATA, 0, "details", 0),
            required=("ccy", "cashBal"),
            numbers=("cashBal", "frozenBal", "availEq"),
        ),
        Shape(
            "REC-CASH-01", (*_DATA, 0), required=("billId", "ccy", "balChg", "ts", "type"), numbers=("balChg", "bal")
        ),
        Shape("REC-MARGIN-01", (*_DATA, 0), required=("totalEq", "uTime"), numbers=("totalEq", "imr", "mmr")),
    ),
    client=ccxt_clients.OKX,
    many=_many,
    serve=_serve,
    recorded_account=config_at,
)
