"""The adapter against the simulated TradeStation: keys with fewer rights, rotating tokens, keys without a secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.clock import ManualClock, SystemClock
from brokers.errors import (
    EnvironmentMismatch,
    InsufficientFunds,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    PermissionRefused,
)
from brokers.factory import open_broker
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.tradestation.tokens import TokenStore
from brokers.types import MarginMode, OrderRequest, OrderSide, OrderType, TimeInForce
from simulators import running_tradestation
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import small_tradestation_config
from simulators.tradestation.config import SessionConfig
from simulators.tradestation.sessions import SessionMode
from tests.brokers.loopback import ticket
from tests.trading.simulated_tradestation import connection_at, log_in

AAPL = InstrumentId("AAPL")


@pytest.fixture(scope="module")
def sim() -> Iterator[Any]:
    with running_tradestation(small_tradestation_config()) as running:
        yield running


@pytest.fixture
def opened(sim: Any, tmp_path: Path) -> Iterator[Any]:
    """Opens brokers of the venue's clients, logged in; closes them at the end."""
    brokers: list[Any] = []

    def open_as(client: str, **changes: Any) -> Any:
        log_in(sim.url, tmp_path, client=client)
        brokers.append(open_broker(connection_at(sim.url, tmp_path, client=client, **changes), clock=SystemClock()))
        return brokers[-1]

    yield open_as
    for broker in brokers:
        broker.close()


def order(quantity: str, key: str, **terms: Any) -> tuple[OrderRequest, ClientOrderId]:
    fields: dict[str, Any] = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.DAY, "side": OrderSide.BUY}
    request = OrderRequest(instrument_id=AAPL, quantity=Decimal(quantity), **{**fields, **terms})
    return request, ClientOrderId(f"0aB1cD2eF3gH4iJ5kL6{key}")


def test_a_login_without_the_right_to_trade_says_so_and_is_refused(opened: Any) -> None:
    broker = opened("reader")
    proof = broker.connect()
    assert not proof.can_trade and "Trade" not in proof.permissions
    prepared = broker.prepare_order(*order("1", "rd1"))
    with pytest.raises(PermissionRefused):
        broker.place(prepared, ticket())


def test_a_cash_account_and_one_that_belongs_to_another_login(opened: Any) -> None:
    proof = opened("other", account="SIM999999M").connect()
    assert (proof.margin_mode, proof.extra["account_type"]) == (MarginMode.CASH, "Cash")
    with pytest.raises(EnvironmentMismatch, match="SIM123456M"):
        opened("main", account="SIM999999M").connect()


def test_rotating_refresh_tokens_are_kept_as_they_come(sim: Any, opened: Any, tmp_path: Path) -> None:
    broker, store = opened("rotating"), TokenStore(tmp_path, client_id="rotating-id", auth_base=sim.url)
    seen = []
    for _ in range(3):
        assert broker.positions() == ()
        stored = store.read()
        assert stored is not None
        seen.append(stored.refresh.get_secret_value())
        sim.control.expire_access_tokens()
    assert len(set(seen)) == 3 and "rotating-refresh" not in seen


def test_a_key_without_a_secret(opened: Any) -> None:
    assert opened("public", api_secret=SecretStr("")).connect().can_trade


def test_refusals_in_the_venues_words(opened: Any) -> None:
    broker = opened("main")
    large = broker.prepare_order(*order("9000", "lg1"))
    with pytest.raises(InsufficientFunds, match="buying power"):
        broker.place(large, ticket())
    reducing = broker.prepare_order(*order("1", "rd2", side=OrderSide.SELL, reduce_only=True))
    with pytest.raises(OrderInvalid, match=r"EC60\d"):
        broker.place(reducing, ticket())


def test_an_order_for_extended_hours_works_before_the_opening(tmp_path: Path) -> None:
    before = datetime(2026, 3, 2, 13, tzinfo=UTC)  # eight in New York
    config = small_tradestation_config(
        session=SessionConfig(mode=SessionMode.EXCHANGE),
        clock=ClockConfig(mode=ClockMode.MANUAL, start=before, gateway=GatewayClock.ENGINE),
    )
    limit = {"order_type": OrderType.LIMIT, "limit_price": Decimal(210)}
    with running_tradestation(config) as sim:
        log_in(sim.url, tmp_path)
        with closing(open_broker(connection_at(sim.url, tmp_path), clock=ManualClock(before))) as broker:
            plain, extended = (
                broker.place(broker.prepare_order(*order("1", f"x{force}"[:3], time_in_force=force, **limit)), ticket())
                for force in (TimeInForce.GTC, TimeInForce.DAY_EXTENDED)
            )
            assert not broker.find_order(instrument_id=AAPL, venue_order_id=plain.venue_order_id).filled_quantity
            found = broker.find_order(instrument_id=AAPL, venue_order_id=extended.venue_order_id)
    assert (found.filled_quantity, found.time_in_force) == (1, TimeInForce.DAY_EXTENDED)


def test_a_cancel_of_what_is_over_or_unknown_says_to_read_it_again(opened: Any) -> None:
    broker = opened("main")
    done = broker.place(broker.prepare_order(*order("1", "dn1")), ticket()).venue_order_id
    with pytest.raises(OrderAlreadyDone):
        broker.cancel(instrument_id=AAPL, venue_order_id=done)
    with pytest.raises(OrderNotFound):
        broker.cancel(instrument_id=AAPL, venue_order_id=VenueOrderId("1"))
    assert broker.find_order(instrument_id=AAPL, venue_order_id=VenueOrderId("1")) is None
