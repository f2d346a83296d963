"""Every method of the port in a broker of a real environment: its own host and its own demo flag, or nothing."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.errors import BrokerError, ConnectFailed, NotSent
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.types import MarginMode, OrderRequest, OrderSide, OrderType, PositionMode, PreparedOrder
from tests.brokers.loopback import ticket
from tests.egress import egress

BTC, SWAP = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
NOW = datetime.now(UTC)
WINDOW: dict[str, Any] = {"since": NOW - timedelta(hours=1), "until": NOW}
REQUEST = OrderRequest(instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal(1))
PAYLOAD = '{"clOrdId":"a1b2"}'
PREPARED = PreparedOrder(ClientOrderId("a1b2"), REQUEST, PAYLOAD, hashlib.sha256(PAYLOAD.encode()).hexdigest())
METHODS: dict[str, Callable[[Broker], object]] = {
    "connect": lambda b: b.connect(),
    "clock_reading": lambda b: b.clock_reading(),
    "instruments": lambda b: b.instruments([BTC]),
    "quotes": lambda b: b.quotes([BTC]),
    "balances": lambda b: b.balances(),
    "positions": lambda b: b.positions(),
    "margin_health": lambda b: b.margin_health(),
    "profit_and_loss": lambda b: b.profit_and_loss(),
    "leverage": lambda b: b.leverage(SWAP),
    "set_leverage": lambda b: b.set_leverage(SWAP, Decimal(2)),
    "set_position_mode": lambda b: b.set_position_mode(SWAP, PositionMode.HEDGE),
    "set_margin_mode": lambda b: b.set_margin_mode(SWAP, MarginMode.CROSS),
    "find_order": lambda b: b.find_order(instrument_id=BTC, venue_order_id=VenueOrderId("1")),
    "open_orders": lambda b: b.open_orders(),
    "order_history": lambda b: b.order_history(**WINDOW),
    "fills": lambda b: b.fills(**WINDOW),
    "cash_events": lambda b: b.cash_events(**WINDOW),
    "prepare_order": lambda b: b.prepare_order(REQUEST, ClientOrderId("a1b2")),
    "place": lambda b: b.place(PREPARED, ticket()),
    "cancel": lambda b: b.cancel(instrument_id=BTC, venue_order_id=VenueOrderId("1")),
    "arm_dead_man": lambda b: b.arm_dead_man(30),
}


@pytest.fixture(
    params=[
        ("testnet", "", "openapi.okx.com"),
        ("testnet", "demo-eea", "eea.okx.com"),
        ("production", "", "openapi.okx.com"),
        ("production", "us", "us.okx.com"),
    ]
)
def real(request: pytest.FixtureRequest, tried: Any) -> Iterator[tuple[Broker, str]]:
    environment, name, host = request.param
    config = AccountConfig(
        account_id=AccountId.parse(f"okx.{environment}.main"),
        api_key=SecretStr("key-of-the-sweep"),
        api_secret=SecretStr("secret-of-the-sweep"),
        api_passphrase=SecretStr("phrase-of-the-sweep"),
        host=name,
    )
    with open_broker(config, clock=SystemClock()) as broker:
        yield broker, host


def test_every_method_of_the_port_is_swept() -> None:
    assert set(METHODS) | {"identity", "close"} == {
        name for name, found in vars(Broker).items() if callable(found) and not name.startswith("_")
    }


def test_no_method_reaches_another_host(
    real: tuple[Broker, str], tried: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    broker, host = real
    with egress().recording() as seen, caplog.at_level(logging.DEBUG):
        for name, call in METHODS.items():
            before = len(tried)
            with pytest.raises(BrokerError) as caught:
                call(broker)
            assert type(caught.value) is (NotSent if name == "place" else ConnectFailed), (name, caught.value)
            assert len(tried) > before, name
    assert set(tried) == {(host, 443)} and seen == []
    assert "of-the-sweep" not in caplog.text


@pytest.mark.parametrize(("environment", "host"), [("testnet", "global"), ("production", "demo-global")])
def test_a_host_of_the_other_environment_is_refused(environment: str, host: str) -> None:
    config = AccountConfig(
        account_id=AccountId.parse(f"okx.{environment}.main"),
        api_key=SecretStr("key-of-the-sweep"),
        api_secret=SecretStr("secret-of-the-sweep"),
        api_passphrase=SecretStr("phrase-of-the-sweep"),
        host=host,
    )
    with pytest.raises(BrokerError, match="has no host"):
        open_broker(config, clock=SystemClock())
