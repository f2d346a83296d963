"""What an operator says of one account; the factory turns it into a `Broker`."""

from __future__ import annotations

import hashlib
import ipaddress
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from brokers.errors import EnvironmentMismatch, InvalidOrder
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import ProductKind

NO_PASSPHRASE = SecretStr("")
_VENUE_ACCOUNT = re.compile(r"[A-Za-z0-9]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountConfig:
    """One account's connection.

    `host` names one of the venue's hosts for the account's environment ("" takes the first); `base_url` is for
    `simulated` accounts only and must be plain http on a loopback address. Timeouts are total seconds per request.
    `venue_account` is the venue's own number of the account, where one key reaches several; `secrets_folder` is where
    the tokens of a login are kept. `api_passphrase` is what its owner chose when the key was made, at venues that ask
    for one. `instruments` are those that the account trades, where the venue's order, fill and history reads need a
    symbol. `key_cannot_withdraw` is the owner's statement that the key was made without that right, where the venue
    does not show a key's rights: without it such a key counts as one that may. `dead_man_may_cancel_all_orders` is the
    owner's word that the venue's dead-man switch may cancel every order in the account, those of other people and
    programs too, at venues whose switch cannot tell them from ours.
    """

    account_id: AccountId
    api_key: SecretStr
    api_secret: SecretStr
    host: str = ""
    base_url: str = ""
    settle_currencies: tuple[str, ...] = ("USDT", "USDC")
    products: frozenset[ProductKind] = frozenset({ProductKind.SPOT, ProductKind.LINEAR})
    read_timeout_s: float = 10.0
    write_timeout_s: float = 10.0
    venue_account: str = ""
    secrets_folder: Path | None = None
    api_passphrase: SecretStr = NO_PASSPHRASE
    instruments: tuple[InstrumentId, ...] = ()
    key_cannot_withdraw: bool = False
    dead_man_may_cancel_all_orders: bool = False

    def __post_init__(self) -> None:
        for name in ("read_timeout_s", "write_timeout_s"):
            value: float = getattr(self, name)
            if not 0 < value <= 60:
                raise ValueError(f"{name} must be above 0 and at most 60, was {value}")
        if not self.products:
            raise ValueError("products must name at least one product")
        for currency in self.settle_currencies:
            if not (currency.isascii() and currency.isalnum() and currency.isupper()):
                raise ValueError(f"settle_currencies must be upper-case codes, was {currency!r}")
        if self.venue_account and not _VENUE_ACCOUNT.fullmatch(self.venue_account):
            raise ValueError(f"venue_account must be letters and digits, was {self.venue_account!r}")
        if len(set(self.instruments)) != len(self.instruments):
            raise ValueError(f"instruments must be named once each, were {', '.join(map(str, self.instruments))}")

    @property
    def key_sha256(self) -> str:
        """The sha256 of the key, and of the account where a key reaches several: whose access this is."""
        key = self.api_key.get_secret_value()
        return hashlib.sha256((f"{key}\n{self.venue_account}" if self.venue_account else key).encode()).hexdigest()

    @property
    def key_fingerprint(self) -> str:
        """First 16 hex digits of `key_sha256`: tells keys apart without showing them."""
        return self.key_sha256[:16]


def require_secrets(config: AccountConfig, *, needs_secret: bool = True, needs_passphrase: bool = False) -> None:
    """Refuse empty or masked credentials before any request: a form that shows asterisks may have stored them.

    Where a key may come without a secret, an empty one passes; a passphrase for a venue that has none does not: the
    credentials are another venue's.
    """
    if not needs_passphrase and config.api_passphrase.get_secret_value():
        raise EnvironmentMismatch(
            f"api_passphrase of {config.account_id} must be left out: keys of {config.account_id.venue.value} have none"
        )
    may_be_empty = {"api_secret": not needs_secret, "api_passphrase": not needs_passphrase}
    for name in ("api_key", "api_secret", "api_passphrase"):
        text: str = getattr(config, name).get_secret_value()
        if not text and may_be_empty.get(name, False):
            continue
        if not text.strip():
            raise EnvironmentMismatch(f"{name} of {config.account_id} is empty; enter the credential again")
        if set(text.strip()) <= set("*•"):
            raise EnvironmentMismatch(
                f"{name} of {config.account_id} is a placeholder of asterisks, not a secret; enter the credential again"
            )
        if not text.isascii() or not text.isprintable() or text != text.strip():
            raise EnvironmentMismatch(f"{name} of {config.account_id} has blanks or odd characters; paste it again")


def require_listed(config: AccountConfig, instrument_id: InstrumentId) -> None:
    """Refuse an order outside of what the account reads: what we send must be inside what we see."""
    if instrument_id not in config.instruments:
        raise InvalidOrder(
            f"instrument {instrument_id} must be among the instruments of {config.account_id}, which are "
            f"{', '.join(map(str, config.instruments))}: orders and fills of others are not read; add it there"
        )


def simulated_base_url(config: AccountConfig) -> str:
    """The checked base URL of a simulated account; EnvironmentMismatch when it is not loopback http."""
    if config.account_id.environment is not Environment.SIMULATED:
        raise EnvironmentMismatch(
            f"base_url may be given for simulated accounts only, account is {config.account_id}; name a host instead"
        )
    try:
        parts = urlsplit(config.base_url)
        port = parts.port
    except ValueError as error:
        raise EnvironmentMismatch(f"base_url of {config.account_id} is not a URL, was {config.base_url!r}") from error
    plain = parts.path in ("", "/") and not parts.query and not parts.fragment and parts.username is None
    if parts.scheme != "http" or not _is_loopback(parts.hostname or "") or port is None or not plain:
        raise EnvironmentMismatch(
            f"base_url of a simulated account must read http://127.0.0.1:PORT, was {config.base_url!r}; "
            "start a simulator and give its address"
        )
    return config.base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
