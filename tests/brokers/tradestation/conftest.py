"""A TradeStation broker on the scripted server, logged in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId
from brokers.tradestation.adapter import TradeStationBroker
from brokers.tradestation.tokens import Tokens, TokenStore
from tests.brokers.loopback import PATIENCE_S, Loopback, Responder, reply
from tests.brokers.tradestation.recorded import ACCOUNT, ACCOUNTS, MES_SYMBOL, MSFT_SYMBOL, body
from tests.canaries import LOOPBACK_CLIENT_SECRET

CLIENT_ID = "loopback-client-id-000"
CLIENT_SECRET = LOOPBACK_CLIENT_SECRET
ACCESS, REFRESH = "access-token-of-the-tests-1", "refresh-token-of-the-tests-1"
ACCOUNTS_PATH = "/v3/brokerage/accounts"
ORDERS_PATH = f"{ACCOUNTS_PATH}/{ACCOUNT}/orders"
HISTORY_PATH = f"{ACCOUNTS_PATH}/{ACCOUNT}/historicalorders"
POSITIONS_PATH = f"{ACCOUNTS_PATH}/{ACCOUNT}/positions"
BALANCES_PATH = f"{ACCOUNTS_PATH}/{ACCOUNT}/balances"
PLACE_PATH = "/v3/orderexecution/orders"
SCOPES = ("MarketData", "ReadAccount", "Trade")


def dated(body_text: Any, *, status: int = 200, at: datetime | None = None, **headers: str) -> Responder:
    """An answer with the Date header that real answers carry; the time is taken when it is sent."""
    text = body_text if isinstance(body_text, str) else json.dumps(body_text)

    def send(request: Any, sock: Any) -> bool:
        stamp = format_datetime((at or datetime.now(UTC)).replace(microsecond=0), usegmt=True)
        return reply(status, text, Date=stamp, **headers)(request, sock)

    return send


def config_at(url: str, folder: Path, **changes: Any) -> AccountConfig:
    values: dict[str, Any] = {
        "account_id": AccountId.parse("tradestation.simulated.main"),
        "api_key": SecretStr(CLIENT_ID),
        "api_secret": SecretStr(CLIENT_SECRET),
        "base_url": url,
        "products": frozenset({"equity", "future"}),
        "settle_currencies": ("USD",),
        "venue_account": ACCOUNT,
        "secrets_folder": folder,
        "read_timeout_s": PATIENCE_S,
        "write_timeout_s": PATIENCE_S,
    }
    return AccountConfig(**{**values, **changes})


def logged_in(
    url: str, folder: Path, *, lifetime: timedelta = timedelta(minutes=20), access: str = ACCESS, refresh: str = REFRESH
) -> TokenStore:
    """A token store as a login leaves it."""
    store = TokenStore(folder, client_id=CLIENT_ID, auth_base=url)
    store.write(Tokens(SecretStr(access), SecretStr(refresh), datetime.now(UTC) + lifetime, SCOPES))
    return store


@pytest.fixture
def store(loopback: Loopback, tmp_path: Path) -> TokenStore:
    return logged_in(loopback.url, tmp_path)


@pytest.fixture
def broker(loopback: Loopback, store: TokenStore, tmp_path: Path) -> Iterator[TradeStationBroker]:
    """A broker on the scripted server, which knows one account, a share and a future, and holds nothing."""
    loopback.on(ACCOUNTS_PATH, dated(ACCOUNTS))
    loopback.on("/v3/marketdata/symbols/MSFT", dated(body("Symbols", MSFT_SYMBOL)))
    loopback.on("/v3/marketdata/symbols/MESZ26", dated(body("Symbols", MES_SYMBOL)))
    loopback.on(POSITIONS_PATH, dated(body("Positions")))
    loopback.on(ORDERS_PATH, dated(body("Orders")))
    loopback.on(HISTORY_PATH, dated(body("Orders")))
    opened = open_broker(config_at(loopback.url, tmp_path), clock=SystemClock())
    assert isinstance(opened, TradeStationBroker)
    yield opened
    opened.close()
