"""What the local stack prepares for alerts: example routes, one source with its token, a simulated login.

Only for the simulated environment: elsewhere a person applies routes, makes tokens and logs in.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import Environment, Venue
from brokers.tradestation.adapter import token_store
from brokers.tradestation.tokens import Tokens
from deployments.home import PROJECT, Home
from ledger.engine import Ledger
from ledger.errors import AlertNotMoved
from ledger.inbox_tokens import AlertTokens
from simulators.demo import DEMO_CLIENT
from tasks.config import Configuration
from trading.alerts.operating import apply_routes, current_routes
from trading.alerts.routing import AlertConfig

ROUTES = PROJECT / "examples" / "alert-routes.yaml"
SOURCE = "tradingview"
PATH = "/api/webhook/tradingview"
BY = "stack"


def prepare(home: Home, configuration: Configuration, *, routes: Path = ROUTES) -> Iterator[str]:
    """Apply the example routes where none count yet, and make the source's token; a line for each."""
    with Ledger.open(home.ledger_url(Environment.SIMULATED), environment=Environment.SIMULATED) as ledger:
        if current_routes(ledger) is None:
            version = apply_routes(AlertConfig.parse(routes.read_text("utf-8"), where=str(routes)), ledger, by=BY)
            yield f"routes of alerts, version {version.version}"
        _make_token(home, ledger)
        yield f"token of the alert source {SOURCE}"
    for settings in configuration.accounts:
        if settings.venue is Venue.TRADESTATION and settings.environment is Environment.SIMULATED:
            _log_in(home, settings.resolve({}).connection)
            yield f"login of {settings.block_name}"


def token_file(home: Home) -> Path:
    """Where the simulated source's token lies, readable by the owner only: the ledger keeps its hash alone."""
    return home.secrets / "webhook-simulated.token"


def webhook_url(home: Home, receiver_url: str) -> str:
    """The address that the example source sends to."""
    return f"{receiver_url}{PATH}/{token_file(home).read_text().strip()}"


def _make_token(home: Home, ledger: Ledger) -> None:
    """The token that the file holds, valid in this ledger; a new one where either does not have it."""
    file, tokens = token_file(home), AlertTokens(ledger)
    if file.exists() and tokens.matches(file.read_text().strip()) == SOURCE:
        return
    try:
        secret = tokens.add_token(SOURCE, by=BY, reason="the local stack was started")
    except AlertNotMoved:  # two others are active: this file was lost twice
        for known in tokens.tokens(SOURCE):
            if known.retired_at is None:
                tokens.retire_token(SOURCE, known.token_sha256, by=BY, reason="its file is gone")
        secret = tokens.add_token(SOURCE, by=BY, reason="the local stack was started")
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as sink:
        sink.write(secret)


def _log_in(home: Home, connection: AccountConfig) -> None:
    """What a login leaves: the simulator's user has signed in already, and its refresh token is known."""
    from dataclasses import replace

    store = token_store(replace(connection, secrets_folder=home.secrets), connection.base_url)
    if store.read() is None:
        refresh = SecretStr(DEMO_CLIENT.refresh_tokens[0])
        store.write(Tokens(SecretStr("none-yet"), refresh, datetime.now(UTC), ("MarketData", "ReadAccount", "Trade")))
