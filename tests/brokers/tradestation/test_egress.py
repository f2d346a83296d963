"""Every method of the port in a broker of a real environment: its own two hosts, or nothing."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.errors import BrokerError, ConnectFailed, OutcomeUnknown, Unsupported
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.tradestation.profile import AUTH_BASE
from brokers.tradestation.tokens import Tokens, TokenStore
from brokers.types import MarginMode, OrderRequest, OrderSide, OrderType, PositionMode, PreparedOrder, ProductKind
from tests.brokers.loopback import ticket
from tests.brokers.tradestation.conftest import CLIENT_ID, CLIENT_SECRET
from tests.egress import egress

MSFT = InstrumentId("MSFT")
NOW = datetime.now(UTC)
WINDOW: dict[str, Any] = {"since": NOW - timedelta(hours=1), "until": NOW}
REQUEST = OrderRequest(instrument_id=MSFT, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal(1))
PAYLOAD = '{"AccountID":"%s","OrderConfirmID":"0aB1cD2eF3gH4iJ5kL6mN7"}'
METHODS: dict[str, Callable[[Broker, str], object]] = {
    "connect": lambda b, _: b.connect(),
    "clock_reading": lambda b, _: b.clock_reading(),
    "instruments": lambda b, _: b.instruments([MSFT]),
    "quotes": lambda b, _: b.quotes([MSFT]),
    "balances": lambda b, _: b.balances(),
    "positions": lambda b, _: b.positions(),
    "margin_health": lambda b, _: b.margin_health(),
    "profit_and_loss": lambda b, _: b.profit_and_loss(),
    "leverage": lambda b, _: b.leverage(MSFT),
    "set_leverage": lambda b, _: b.set_leverage(MSFT, Decimal(2)),
    "set_position_mode": lambda b, _: b.set_position_mode(MSFT, PositionMode.HEDGE),
    "set_margin_mode": lambda b, _: b.set_margin_mode(MSFT, MarginMode.ISOLATED),
    "find_order": lambda b, _: b.find_order(instrument_id=MSFT, venue_order_id=VenueOrderId("1")),
    "open_orders": lambda b, _: b.open_orders(),
    "order_history": lambda b, _: b.order_history(**WINDOW),
    "fills": lambda b, _: b.fills(**WINDOW),
    "cash_events": lambda b, _: b.cash_events(**WINDOW),
    "prepare_order": lambda b, _: b.prepare_order(REQUEST, ClientOrderId("0aB1cD2eF3gH4iJ5kL6mN7")),
    "place": lambda b, number: b.place(prepared(number), ticket()),
    "cancel": lambda b, _: b.cancel(instrument_id=MSFT, venue_order_id=VenueOrderId("1")),
    "arm_dead_man": lambda b, _: b.arm_dead_man(30),
}
WITHOUT_A_REQUEST = {
    "identity", "close", "profit_and_loss", "leverage", "set_leverage", "set_position_mode",
    "set_margin_mode", "cash_events", "arm_dead_man",
}  # fmt: skip


def prepared(number: str) -> PreparedOrder:
    import hashlib

    text = PAYLOAD % number
    return PreparedOrder(
        ClientOrderId("0aB1cD2eF3gH4iJ5kL6mN7"), REQUEST, text, hashlib.sha256(text.encode()).hexdigest()
    )


@pytest.fixture(
    params=[("testnet", "SIM123M", "sim-api.tradestation.com"), ("production", "123", "api.tradestation.com")]
)
def real(request: pytest.FixtureRequest, tmp_path: Path, tried: Any) -> Iterator[tuple[Broker, str, str]]:
    environment, number, host = request.param
    store = TokenStore(tmp_path, client_id=CLIENT_ID, auth_base=AUTH_BASE)
    fresh = datetime.now(UTC) + timedelta(minutes=20)
    store.write(Tokens(SecretStr("access-of-the-sweep"), SecretStr("refresh-of-the-sweep"), fresh, ("Trade",)))
    config = AccountConfig(
        account_id=AccountId.parse(f"tradestation.{environment}.main"),
        api_key=SecretStr(CLIENT_ID),
        api_secret=SecretStr(CLIENT_SECRET),
        products=frozenset({ProductKind.EQUITY}),
        settle_currencies=("USD",),
        venue_account=number,
        secrets_folder=tmp_path,
    )
    with open_broker(config, clock=SystemClock()) as broker:
        yield broker, number, host


def test_every_method_of_the_port_is_swept() -> None:
    assert set(METHODS) | {"identity", "close"} == {
        name for name, found in vars(Broker).items() if callable(found) and not name.startswith("_")
    }


def test_no_method_reaches_another_host(
    real: tuple[Broker, str, str], tried: list[tuple[str, int]], caplog: pytest.LogCaptureFixture
) -> None:
    broker, number, host = real
    with egress().recording() as seen, caplog.at_level(logging.DEBUG):
        for name, call in METHODS.items():
            before = len(tried)
            with pytest.raises(BrokerError) as caught:
                call(broker, number)
            expected = Unsupported if name in WITHOUT_A_REQUEST else ConnectFailed
            assert type(caught.value) is expected, (name, caught.value)
            assert (len(tried) > before) is (expected is ConnectFailed), name
    assert set(tried) == {(host, 443)} and seen == []
    assert not any(secret in caplog.text for secret in ("access-of-the-sweep", "refresh-of-the-sweep", CLIENT_SECRET))


def test_a_login_reaches_the_login_host_alone(
    real: tuple[Broker, str, str], tried: list[tuple[str, int]], tmp_path: Path
) -> None:
    broker, _, _ = real
    store = TokenStore(tmp_path, client_id=CLIENT_ID, auth_base=AUTH_BASE)
    over = datetime.now(UTC) - timedelta(minutes=1)
    store.write(Tokens(SecretStr("access-of-the-sweep"), SecretStr("refresh-of-the-sweep"), over, ("Trade",)))
    with pytest.raises(BrokerError) as caught:
        broker.positions()
    assert not isinstance(caught.value, OutcomeUnknown) and tried == [("signin.tradestation.com", 443)]
