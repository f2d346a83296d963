"""Alpaca under test: shares of a margin account, and a crypto pair."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from brokers import errors
from brokers.ids import InstrumentId
from simulators import running_alpaca
from simulators.core.config import PricesConfig
from simulators.demo_alpaca import share
from simulators.testing_alpaca import small_alpaca_config
from tests.brokers.alpaca.conftest import config_at, serve
from tests.brokers.loopback import Loopback
from tests.conformance import ccxt_clients
from tests.conformance.capability import Capability
from tests.conformance.differential_alpaca import AlpacaClients
from tests.conformance.venue import EVERY_PRODUCT, ErrorRow, KeyKind, Shape, VenueUnderTest, wire_row
from tests.proof.wire_venues import venue_clock


def _key(name: str, secret: str = "") -> dict[str, Any]:
    return {"api_key": SecretStr(name), "api_secret": SecretStr(secret or f"{name}-secret")}


@contextmanager
def _many(start: datetime) -> Iterator[tuple[Any, Sequence[InstrumentId]]]:
    names = [f"S{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(50)]
    config = small_alpaca_config(
        instruments=tuple(share(name) for name in names),
        prices=PricesConfig(start=dict.fromkeys(names, Decimal(100)), spread_bps=Decimal(2)),
        clock=venue_clock(start),
    )
    with running_alpaca(config) as running:
        yield running, [InstrumentId(name) for name in names]


# A few codes serve for everything, so that words decide. What is below 1000 is a status with the edge's own words.
_ERRORS: tuple[ErrorRow, ...] = (
    (401, errors.AuthenticationRefused),
    (403, errors.AuthenticationRefused),
    (429, errors.RateLimited),
    (40_010_000, errors.OrderInvalid),
    (40_010_001, errors.OrderInvalid),
    (40_110_000, errors.AuthenticationRefused),
    (40_310_000, errors.PermissionRefused),
    (40_310_100, errors.PermissionRefused),
    (40_410_000, errors.OrderNotFound),
    (42_210_000, errors.OrderInvalid),
    (42_910_000, errors.RateLimited),
    (50_010_000, errors.VenueFaulted),
    (50_410_000, errors.VenueFaulted),
    (42_299_999, errors.AnswerUnreadable),
    ((40_010_001, "client_order_id must be unique"), errors.DuplicateClientOrderId),
    ((40_310_000, "insufficient buying power"), errors.InsufficientFunds),
    ((40_310_000, "insufficient balance for USD (requested: 100, available: 50)"), errors.InsufficientFunds),
    ((40_310_000, "insufficient qty available for order (requested: 10, available: 5)"), errors.InsufficientFunds),
    ((40_310_000, "potential wash trade detected. use complex orders"), errors.OrderInvalid),
    ((40_310_000, "cost basis must be >= minimal amount of order 10"), errors.OrderInvalid),
    ((40_310_000, "account is not allowed to short"), errors.PermissionRefused),
    ((42_210_000, 'asset "AAPL" is not active'), errors.InstrumentUnknown),
    ((42_210_000, "fractional orders must be DAY orders"), errors.OrderInvalid),
)


def _serve(server: Loopback, now: datetime) -> None:
    serve(server)


VENUE = VenueUnderTest(
    wire=wire_row("alpaca"),
    lacks={
        EVERY_PRODUCT: frozenset({Capability.PROFIT_AND_LOSS, Capability.SET_MARGIN_MODE}),
        "crypto": frozenset(
            {
                Capability.REDUCE_ONLY,
                Capability.STOP_MARKET,
                Capability.FOK,
                Capability.DAY,
                Capability.DAY_EXTENDED,
                Capability.GTC_EXTENDED,
            }
        ),
    },
    keys={KeyKind.UNKNOWN: _key("nobody"), KeyKind.WRONG_SECRET: _key("main-key", "another-secret")},
    errors=lambda: _ERRORS,
    shapes=(
        Shape(
            "REC-ORDERS-01",
            (),
            closed_set=("status", "side", "type"),
            required=("id", "client_order_id", "status", "side", "symbol", "created_at", "filled_qty", "qty"),
            numbers=("qty", "filled_qty", "limit_price"),
            optional={
                "filled_avg_price": "average_price",
                "limit_price": "limit_price",
                "stop_price": "trigger_price",
            },
        ),
        Shape(
            "REC-BALANCES-01",
            (),
            required=("cash",),
            numbers=("cash", "non_marginable_buying_power"),
            optional={"non_marginable_buying_power": "available"},
        ),
        Shape(
            "REC-MARGIN-01",
            (),
            required=("equity",),
            numbers=("equity", "buying_power", "maintenance_margin"),
            optional={
                "buying_power": "available",
                "initial_margin": "initial_margin",
                "maintenance_margin": "maintenance_margin",
            },
        ),
        Shape("REC-QUOTES-01", ("AAPL", "latestQuote"), required=("t",), numbers=("bp", "ap")),
        Shape("REC-QUOTES-01", ("AAPL", "latestTrade"), numbers=("p",)),
    ),
    client=AlpacaClients(
        ccxt=ccxt_clients.ALPACA,
        differences={
            **ccxt_clients.ALPACA.differences,
            "equity/CLIENT-BALANCES-01.available": "buying power without margin counts what shares could be borrowed "
            "upon; never more is available than the cash that there is",
            "crypto/CLIENT-FILLS-01.row": "ccxt gives every fill of the account, those of shares among them",
        },
    ),
    many=_many,
    serve=_serve,
    recorded_account=config_at,
)
