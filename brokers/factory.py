"""The one place that opens a broker: environment, host and credentials are checked before anything is built."""

from __future__ import annotations

from brokers.capabilities import Capabilities
from brokers.clock import Clock
from brokers.config import AccountConfig, require_secrets, simulated_base_url
from brokers.errors import EnvironmentMismatch, Unsupported
from brokers.ids import Environment
from brokers.port import Broker
from brokers.registry import entry


def open_broker(config: AccountConfig, *, clock: Clock) -> Broker:
    """Build the adapter of the account's venue, pinned to one host; no request is made.

    Raises EnvironmentMismatch when account, host and credentials do not belong together and Unsupported when the venue
    has no adapter or lacks a product. Call `connect()` next: it proves the rest at the venue.
    """
    found = entry(config.account_id.venue)
    access = found.capabilities.access
    require_secrets(config, needs_secret=access.needs_secret, needs_passphrase=access.needs_passphrase)
    _require_venue_account(config, is_named=access.names_account)
    _require_instruments(config, found.capabilities)
    _require_dead_man(config, found.capabilities)
    missing = config.products - found.capabilities.products
    if missing:
        raise Unsupported(
            f"{config.account_id.venue.value} does not offer {', '.join(sorted(missing))}; "
            f"it offers {', '.join(sorted(found.capabilities.products))}"
        )
    return found.open(config, base_url_of(config), clock)


def _require_venue_account(config: AccountConfig, *, is_named: bool) -> None:
    if is_named and not config.venue_account:
        raise EnvironmentMismatch(
            f"venue_account of {config.account_id} is empty: its key reaches several accounts; give its number"
        )
    if config.venue_account and not is_named:
        raise EnvironmentMismatch(
            f"venue_account of {config.account_id} must be left out: a key of {config.account_id.venue.value} reaches "
            f"one account, was {config.venue_account!r}"
        )


def _require_instruments(config: AccountConfig, facts: Capabilities) -> None:
    if facts.reads_by_instrument and not config.instruments:
        raise EnvironmentMismatch(
            f"instruments of {config.account_id} is empty: {facts.venue.value} shows orders and fills of one symbol at "
            "a time; name those that the account trades"
        )
    if config.instruments and not facts.reads_by_instrument:
        raise EnvironmentMismatch(
            f"instruments of {config.account_id} must be left out: {facts.venue.value} shows the account whole, were "
            f"{', '.join(map(str, config.instruments))}"
        )


def _require_dead_man(config: AccountConfig, facts: Capabilities) -> None:
    """Nobody shall believe that a word of theirs arms a switch which it does not."""
    if config.dead_man_may_cancel_all_orders and not facts.dead_man.cancels_all_orders:
        has = "spares the orders of others" if facts.dead_man.is_armed_by_us else "does not exist"
        raise EnvironmentMismatch(
            f"dead_man_may_cancel_all_orders of {config.account_id} must be left out: the dead-man switch of "
            f"{facts.venue.value} {has}"
        )


def base_url_of(config: AccountConfig) -> str:
    """The only address that this account may talk to; EnvironmentMismatch when the configuration contradicts itself."""
    environment = config.account_id.environment
    if config.base_url or environment is Environment.SIMULATED:
        return simulated_base_url(config)
    try:
        return entry(config.account_id.venue).capabilities.host(environment=environment, name=config.host).base_url
    except ValueError as error:
        raise EnvironmentMismatch(f"account {config.account_id}: {error}") from error
