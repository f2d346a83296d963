"""Account × pool × credentials × host × ledger: every combination that does not belong together is refused before a
request, for the reason of the guard that noticed; every other one opens. A venue adds its row in `_SIMULATORS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.capabilities import Capabilities
from brokers.config import AccountConfig
from brokers.errors import EnvironmentMismatch
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.registry import capabilities, supported_venues
from ledger.engine import Ledger
from ledger.errors import LedgerEnvironmentMismatch
from simulators import running_alpaca, running_binance, running_bybit, running_okx, running_tradestation
from simulators.testing import small_config, small_tradestation_config
from simulators.testing_alpaca import small_alpaca_config
from simulators.testing_binance import small_binance_config
from simulators.testing_okx import small_okx_config
from tasks.config import Account, risk_policy
from tasks.keys import KeyReason, KeyRefused, KeyRegistry
from tasks.runtime import open_runtime
from tests.egress import egress
from tests.trading.simulated_tradestation import EQUITIES, log_in
from trading.starting import NotReadyToTrade, StartReason, prove_account, require_rights

E = Environment
# How a venue's simulator is started, and a key that it knows.
_SIMULATORS: dict[Venue, Any] = {
    Venue.ALPACA: lambda: running_alpaca(small_alpaca_config()),
    Venue.BINANCE: lambda: running_binance(small_binance_config()),
    Venue.BYBIT: lambda: running_bybit(small_config()),
    Venue.OKX: lambda: running_okx(small_okx_config()),
    Venue.TRADESTATION: lambda: running_tradestation(small_tradestation_config()),
}
_KEYS = {Venue.TRADESTATION: "main-id"}
# Where a key reaches several accounts: a number that belongs to the environment.
_NUMBERS = {E.SIMULATED: EQUITIES, E.TESTNET: EQUITIES, E.PRODUCTION: "123456782"}
_AT_SIMULATOR = "simulator"
_WITHOUT_WITHDRAWALS = {
    Venue.ALPACA: "its keys have no rights of their own; coins leave in production alone",
    Venue.TRADESTATION: "its API has no withdrawals, so no key may",
}


@pytest.fixture(scope="module", params=supported_venues(), ids=str)
def venue(request: pytest.FixtureRequest) -> Venue:
    found: Venue = request.param
    return found


@pytest.fixture(scope="module")
def sim(venue: Venue) -> Iterator[Any]:
    with _SIMULATORS[venue]() as running:
        yield running


@pytest.fixture(scope="module")
def ledgers(venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> dict[Environment, str]:
    """A ledger of each environment, for one venue: the simulated venues' keys have the same names."""
    urls = {environment: f"sqlite:///{tmp_path_factory.mktemp(environment)}/ledger.db" for environment in E}
    for environment, url in urls.items():
        Ledger.open(url, environment=environment).close()
    return urls


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Everything that this process connects to or asks a name server for."""
    with egress().recording() as seen:
        yield seen


def account_at(
    venue: Venue, environment: Environment, host: str, url: str, *, key: str = "", number_of: Environment | None = None
) -> Account:
    """An account; `number_of`: with the number of an account of that environment, where one is needed."""
    facts, owner = capabilities(venue), key or "main"
    connection = AccountConfig(
        account_id=AccountId(venue, environment, "main"),
        api_key=SecretStr(key or _KEYS.get(venue, "main-key")),
        api_secret=SecretStr(f"{owner}-secret"),
        api_passphrase=SecretStr(f"{owner}-passphrase" if facts.access.needs_passphrase else ""),
        instruments=(InstrumentId("BTC/USDT"),) if facts.reads_by_instrument else (),
        host="" if host == _AT_SIMULATOR else host,
        base_url=url if host == _AT_SIMULATOR else "",
        settle_currencies=facts.settle_currencies,
        products=facts.products,
        venue_account=_NUMBERS[number_of or environment] if facts.access.names_account else "",
    )
    return Account(connection=connection, policy=risk_policy(environment, {}))


def host_environments(facts: Capabilities) -> dict[str, Environment]:
    """Every host that the venue has, and its simulator."""
    return {host.name: host.environment for host in facts.hosts} | {_AT_SIMULATOR: E.SIMULATED}


def guard_that_notices(
    *, account: Environment, pool: Environment, key: Environment, host: Environment, ledger: Environment
) -> tuple[type[Exception], str] | None:
    """The first of the guards that must refuse; None where everything belongs together."""
    if pool is not account or host is not account:
        return EnvironmentMismatch, "ENVIRONMENT_MISMATCH"
    if key is not account:
        return KeyRefused, KeyReason.KEY_OF_OTHER_ENVIRONMENT.value
    return None if ledger is account else (LedgerEnvironmentMismatch, LedgerEnvironmentMismatch.reason)


@pytest.mark.parametrize("environment", E)
def test_what_does_not_belong_together_is_refused_before_a_request(
    environment: Environment, venue: Venue, sim: Any, ledgers: dict[Environment, str], tmp_path: Path, heard: list[str]
) -> None:
    hosts = host_environments(capabilities(venue))
    before, tried, right = sim.control.health()["requests"], 0, 0
    registries = {key: KeyRegistry(tmp_path / key / "keys.json") for key in E}
    for key, registry in registries.items():  # as if the key had been used there before
        registry.register(account_at(venue, key, "", "", number_of=environment).connection)
    for pool, key, host, ledger in product(E, E, hosts, E):
        tried += 1
        account = account_at(venue, environment, host, sim.url)
        options: dict[str, Any] = {
            "environment": pool,
            "ledger_url": ledgers[ledger],
            "key_registry": registries[key].file,
            "secrets_folder": tmp_path,
        }
        wanted = guard_that_notices(account=environment, pool=pool, key=key, host=hosts[host], ledger=ledger)
        if wanted is None:
            right += 1
            with open_runtime(account, **options) as runtime:
                assert runtime.account_id == account.account_id
            continue
        with pytest.raises(wanted[0]) as caught, open_runtime(account, **options):
            pytest.fail(f"pool {pool}, key of {key}, host {host}, ledger {ledger} must not open {account.account_id}")
        assert caught.value.reason == wanted[1], (pool, key, host, ledger)  # type: ignore[attr-defined]
    assert tried == 27 * len(hosts) and right == sum(found is environment for found in hosts.values())
    assert sim.control.health()["requests"] == before and heard == []


def test_each_guard_alone_stops(venue: Venue) -> None:
    """In the table above one wrong part is enough, whichever it is."""
    right = dict.fromkeys(("account", "pool", "key", "host", "ledger"), E.TESTNET)
    assert guard_that_notices(**right) is None
    for name in right:
        assert guard_that_notices(**{**right, name: E.PRODUCTION}) is not None


def test_a_right_combination_is_proved_at_the_venue(
    venue: Venue, sim: Any, ledgers: dict[Environment, str], tmp_path: Path
) -> None:
    account = account_at(venue, E.SIMULATED, _AT_SIMULATOR, sim.url)
    log_in(sim.url, tmp_path)
    options: dict[str, Any] = {
        "environment": E.SIMULATED,
        "ledger_url": ledgers[E.SIMULATED],
        "secrets_folder": tmp_path,
    }
    with open_runtime(account, key_registry=tmp_path / "keys.json", **options) as runtime:
        require_rights(prove_account(runtime))
    other = account_at(venue, E.SIMULATED, _AT_SIMULATOR, sim.url).connection
    renamed = replace(other, account_id=AccountId(venue, E.SIMULATED, "renamed"))
    before = sim.control.health()["requests"]
    for registry in (tmp_path / "keys.json", tmp_path / "lost.json"):  # the ledger knows it too
        second = Account(connection=renamed, policy=account.policy)
        with (
            pytest.raises(KeyRefused, match="nothing was sent") as caught,
            open_runtime(second, key_registry=registry, **options),
        ):
            pytest.fail("one key, two accounts")
        assert caught.value.kind is KeyReason.KEY_OF_OTHER_ACCOUNT
    assert sim.control.health()["requests"] == before


def test_a_mistyped_credential_is_not_registered(venue: Venue, ledgers: dict[Environment, str], tmp_path: Path) -> None:
    account = account_at(venue, E.TESTNET, "", "", key="********")
    options: dict[str, Any] = {"environment": E.TESTNET, "ledger_url": ledgers[E.TESTNET]}
    with (
        pytest.raises(EnvironmentMismatch, match="placeholder"),
        open_runtime(account, key_registry=tmp_path / "keys.json", **options),
    ):
        pytest.fail("asterisks are no key")
    assert KeyRegistry(tmp_path / "keys.json").held() == ()


def test_a_key_that_may_withdraw_is_refused_also_in_simulation(
    venue: Venue, sim: Any, ledgers: dict[Environment, str], tmp_path: Path
) -> None:
    if venue in _WITHOUT_WITHDRAWALS:
        pytest.skip(_WITHOUT_WITHDRAWALS[venue])
    account = account_at(venue, E.SIMULATED, _AT_SIMULATOR, sim.url, key="drainer")
    own_id = AccountId(venue, E.SIMULATED, "drainer")
    drainer = Account(connection=replace(account.connection, account_id=own_id), policy=account.policy)
    options: dict[str, Any] = {"environment": E.SIMULATED, "ledger_url": ledgers[E.SIMULATED]}
    with open_runtime(drainer, key_registry=tmp_path / "keys.json", **options) as runtime:
        proof = prove_account(runtime)
        assert proof.can_withdraw and proof.can_trade
        with pytest.raises(NotReadyToTrade) as refused:
            require_rights(proof)
    assert refused.value.reason is StartReason.KEY_MAY_WITHDRAW and "without that right" in refused.value.reason.remedy
