"""TradeStation under test: shares of a margin account."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import SecretStr

from brokers import errors
from brokers.config import AccountConfig
from brokers.ids import InstrumentId
from simulators import running_tradestation
from simulators.core.config import PricesConfig
from simulators.demo import equity
from simulators.testing import small_tradestation_config
from tests.brokers.loopback import Loopback
from tests.brokers.tradestation.conftest import ACCOUNTS_PATH, POSITIONS_PATH, config_at, dated, logged_in
from tests.brokers.tradestation.recorded import ACCOUNTS, MSFT_SYMBOL, body
from tests.conformance.capability import Capability
from tests.conformance.differential_tradestation import SdkClient
from tests.conformance.venue import EVERY_PRODUCT, ErrorRow, KeyKind, Shape, VenueUnderTest, wire_row
from tests.proof.wire_venues import venue_clock
from tests.trading.simulated_tradestation import log_in


def _client(name: str, secret: str = "") -> Any:
    """A login of another client of the simulated venue."""

    def changes(url: str) -> dict[str, Any]:
        log_in(url, Path(_FOLDER.name), client=name)
        return {
            "secrets_folder": Path(_FOLDER.name),
            "api_key": SecretStr(f"{name}-id"),
            "api_secret": SecretStr(secret or f"{name}-secret"),
        }

    return changes


@contextmanager
def _many(start: datetime) -> Iterator[tuple[Any, Sequence[InstrumentId]]]:
    names = [f"S{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(50)]
    config = small_tradestation_config(
        instruments=tuple(equity(name) for name in names),
        prices=PricesConfig(start=dict.fromkeys(names, Decimal(100)), spread_bps=Decimal(2)),
        clock=venue_clock(start),
    )
    with running_tradestation(config) as running:
        yield running, [InstrumentId(name) for name in names]


# TradeStation has few codes: its words decide. 200 stands for an order that FAILED, the rest are HTTP statuses.
_ERRORS: tuple[ErrorRow, ...] = (
    (400, errors.OrderInvalid),
    (401, errors.AuthenticationRefused),
    (403, errors.PermissionRefused),
    (404, errors.OrderInvalid),
    (429, errors.RateLimited),
    (501, errors.PermissionRefused),
    (500, errors.VenueFaulted),
    (502, errors.VenueFaulted),
    (503, errors.VenueFaulted),
    (504, errors.VenueFaulted),
    ((200, "Order failed. Reason: Your order exceeds your available buying power"), errors.InsufficientFunds),
    ((200, "Order failed. Reason: You are long 100 shares [EC601]"), errors.OrderInvalid),
    ((200, "Order failed. Reason: The market is closed"), errors.VenueUnavailable),
    ((200, "Invalid Symbol"), errors.InstrumentUnknown),
    ((200, "Request not supported for account type."), errors.PermissionRefused),
    ((200, "Duplicate OrderConfirmID"), errors.DuplicateClientOrderId),
    ((200, "Request timed out, try again"), errors.VenueFaulted),
    ((200, "words that nobody has published"), errors.OrderInvalid),
)
_LACKS = {Capability.INSTRUMENT_LIST, Capability.PROFIT_AND_LOSS, Capability.SET_MARGIN_MODE}
_FOLDER = TemporaryDirectory(prefix="conformance-tokens-")


def _recorded_account(url: str) -> AccountConfig:
    logged_in(url, Path(_FOLDER.name))
    return config_at(url, Path(_FOLDER.name))


def _serve(server: Loopback, now: datetime) -> None:
    server.on(ACCOUNTS_PATH, dated(ACCOUNTS, at=now))
    server.on("/v3/marketdata/symbols/MSFT", dated(body("Symbols", MSFT_SYMBOL), at=now))
    server.on(POSITIONS_PATH, dated(body("Positions"), at=now))


VENUE = VenueUnderTest(
    wire=wire_row("tradestation"),
    lacks={EVERY_PRODUCT: frozenset(_LACKS)},
    keys={
        KeyKind.UNKNOWN: _client("nobody"),
        KeyKind.WRONG_SECRET: _client("main", "another-secret"),
        KeyKind.READ_ONLY: _client("reader"),
    },
    errors=lambda: _ERRORS,
    shapes=(
        Shape(
            "REC-ORDERS-01",
            ("Orders", 0),
            closed_set=("OrderType",),
            required=("OrderID", "Status", "OrderType", "OpenedDateTime"),
            optional={"LimitPrice": "limit_price", "StopPrice": "trigger_price"},
        ),
        Shape(
            "REC-ORDERS-01",
            ("Orders", 0, "Legs", 0),
            closed_set=("BuyOrSell",),
            required=("Symbol", "BuyOrSell", "QuantityOrdered", "ExecQuantity"),
            numbers=("QuantityOrdered", "ExecQuantity"),
        ),
        Shape(
            "REC-POSITIONS-01",
            ("Positions", 0),
            closed_set=("LongShort",),
            required=("Symbol", "Quantity", "LongShort"),
            numbers=("Quantity", "AveragePrice"),
            optional={"UnrealizedProfitLoss": "unrealised_pnl"},
        ),
        Shape("REC-BALANCES-01", ("Balances", 0), required=("AccountID", "CashBalance"), numbers=("CashBalance",)),
        Shape("REC-QUOTES-01", ("Quotes", 0), numbers=("Bid", "Ask", "Last")),
    ),
    client=SdkClient(),
    many=_many,
    serve=_serve,
    recorded_account=_recorded_account,
)
