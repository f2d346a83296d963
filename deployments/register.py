"""What a local stack registers with its Prefect server: block types, the example accounts, pools, deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.settings import PREFECT_API_URL, PREFECT_HOME, temporary_settings

from brokers.config import AccountConfig
from brokers.ids import Environment
from deployments import alerting, deploy, manifest, pools
from deployments.home import PROJECT, Addresses, Home
from tasks.blocks import BLOCKS, CREDENTIALS, AlertRoutes, PortfolioBlock, SubscriptionBlock, TradingAccount
from tasks.config import Configuration, load

EXAMPLE = PROJECT / "examples" / "simulated.yaml"


@contextmanager
def connected(home: Home, api_url: str) -> Iterator[SyncPrefectClient]:
    """A client of this server, whatever the person's own Prefect profile says."""
    overrides = {PREFECT_API_URL: api_url, PREFECT_HOME: home.prefect}
    with temporary_settings(updates=overrides), get_client(sync_client=True) as client:
        yield client


def everything(
    home: Home, addresses: Addresses, *, environments: tuple[Environment, ...], example: Path = EXAMPLE
) -> Iterator[str]:
    """Register all of it; yield a line for each thing. The manifest and the example are checked before any change."""
    wanted = manifest.load()
    configuration = load(example).at_simulators(addresses.simulators)
    with connected(home, addresses.api_url) as client:
        yield from register_block_types(client)
        yield from apply(configuration)
        if Environment.SIMULATED in environments:
            yield from alerting.prepare(home, configuration)
            _save(AlertRoutes(routes=alerting.ROUTES.read_text("utf-8")), "alert-routes")
            yield "block alert-routes"
        chosen = pools.pools(home, environments)
        yield from deploy.deploy(client, wanted, environments=environments, chosen_pools=chosen)


def register_block_types(client: SyncPrefectClient) -> Iterator[str]:
    """Make the server know our block types; needed again when their fields change."""
    for block in BLOCKS:
        block.register_type_and_schema(client=client)  # type: ignore[arg-type]
        yield f"block type {block.get_block_type_slug()}"


def apply(configuration: Configuration, *, environ: Mapping[str, str] | None = None) -> Iterator[str]:
    """Save accounts, their credentials, portfolios and subscriptions as blocks, replacing what has the same name.

    Secrets are resolved for all accounts before the first block is saved; ConfigRefused names what is missing.
    """
    resolved = [(settings, settings.resolve(environ)) for settings in configuration.accounts]
    for settings, account in resolved:
        _save(credentials_of(account.connection), settings.block_name)
        yield f"credentials {settings.block_name}"
        _save(TradingAccount.from_settings(settings), settings.block_name)
        yield f"account {settings.block_name}"
    for portfolio in configuration.portfolios:
        _save(PortfolioBlock.from_portfolio(portfolio), portfolio.name)
        yield f"portfolio {portfolio.name}"
    for subscription in configuration.subscriptions:
        _save(SubscriptionBlock.from_subscription(subscription), subscription.name)
        yield f"subscription {subscription.name}"


def credentials_of(connection: AccountConfig) -> Block:
    """The venue's credential block with the connection's secrets."""
    secrets = {"api_key": connection.api_key, "api_secret": connection.api_secret}
    if connection.api_passphrase.get_secret_value():
        secrets["api_passphrase"] = connection.api_passphrase
    account_id = connection.account_id
    return CREDENTIALS[account_id.venue].model_validate({"environment": account_id.environment, **secrets})


def _save(block: Any, name: str) -> None:
    block.save(name, overwrite=True)
