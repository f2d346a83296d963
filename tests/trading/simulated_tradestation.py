"""A whole account on a simulated TradeStation: venue, login, broker, ledger, desk, runtime, for tests of jobs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment
from brokers.tradestation.tokens import Tokens, TokenStore
from brokers.types import ProductKind
from ledger.engine import Ledger
from simulators import running_tradestation
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import small_tradestation_config
from tests.trading.simulated import PATIENT, VenueClock
from trading.orders import OrderDesk, ProtocolLimits
from trading.risk import RiskPolicy
from trading.runtime import Runtime

ACCOUNT = AccountId.parse("tradestation.simulated.main")
EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
ON_ITS_OWN_CLOCK = ClockConfig(mode=ClockMode.MANUAL, start=START, gateway=GatewayClock.ENGINE)


def log_in(url: str, folder: Path, *, client: str = "main") -> None:
    """Leave the tokens of a login: the simulator's refresh token, and an access token that is long over."""
    store = TokenStore(folder, client_id=f"{client}-id", auth_base=url)
    store.write(Tokens(SecretStr("over-since-long"), SecretStr(f"{client}-refresh"), LONG_AGO, ()))


def connection_at(
    url: str, folder: Path, *, account: str = EQUITIES, client: str = "main", **more: Any
) -> AccountConfig:
    """The configuration of an account whose client is known to the small simulated venue."""
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "api_key": SecretStr(f"{client}-id"),
        "api_secret": SecretStr(f"{client}-secret"),
        "base_url": url,
        "settle_currencies": ("USD",),
        "products": frozenset({ProductKind.EQUITY, ProductKind.FUTURE}),
        "venue_account": account,
        "secrets_folder": folder,
    }
    return AccountConfig(**{**fields, **more})


@contextmanager
def tradestation(
    directory: Path,
    *,
    account: str = EQUITIES,
    clock: Clock | None = None,
    config: Any = None,
    limits: ProtocolLimits = PATIENT,
    **risk: Any,
) -> Iterator[tuple[Any, Runtime]]:
    """The simulator and one process' view of the account, both on the venue's own clock: waits pass at once."""
    used = clock or VenueClock(START)
    url = f"sqlite:///{directory / 'ledger.sqlite'}"
    with ExitStack() as stack:
        sim = stack.enter_context(running_tradestation(config or small_tradestation_config(clock=ON_ITS_OWN_CLOCK)))
        if isinstance(used, VenueClock):
            used.sim = sim
        log_in(sim.url, directory)
        broker = stack.enter_context(open_broker(connection_at(sim.url, directory, account=account), clock=used))
        own = used if isinstance(used, VenueClock) else None
        ledger = stack.enter_context(Ledger.open(url, environment=Environment.SIMULATED, clock=own))
        policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=risk)
        desk = OrderDesk(ledger=ledger, broker=broker, clock=used, policy=policy, worker="test-1", limits=limits)
        yield sim, Runtime(account_id=ACCOUNT, ledger=ledger, broker=broker, desk=desk, clock=used)
