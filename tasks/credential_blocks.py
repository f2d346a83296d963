"""One block type per venue for the keys of an account. What each asks for is what the venue gives with a key.

A secret that consists of asterisks is refused when a block is loaded; the form itself runs no validators when it saves.
"""

from __future__ import annotations

from typing import Any, Protocol

from pydantic import Field, SecretStr, ValidationInfo, field_validator

from brokers.ids import Environment, Venue
from tasks.block_schema import JobBlock

MASK = frozenset("*•")
_BELONGS = "Where the key belongs. A key of another environment than the account's is refused."
_CHECK = "Run **check account** after saving: the form does not test what is entered."


def require_secret(value: SecretStr, field: str) -> SecretStr:
    """Refuse what a form shows instead of a secret; the value itself never appears in the message."""
    text = value.get_secret_value().strip()
    if not text or set(text) <= MASK:
        raise ValueError(f"{field} is empty or a placeholder of asterisks, not a secret; enter the credential again")
    return value


def _unmasked(value: SecretStr, info: ValidationInfo) -> SecretStr:
    return require_secret(value, str(info.field_name))


def _belongs(description: str = _BELONGS) -> Any:
    return Field(default=..., title="Environment", description=description)


def _secret(title: str, description: str) -> Any:
    return Field(default=..., title=title, description=description)


class VenueCredentials(Protocol):
    """What every venue's credential block offers."""

    environment: Environment
    api_key: SecretStr
    api_secret: SecretStr


def passphrase_of(credentials: VenueCredentials) -> SecretStr:
    """What was chosen when the key was made; empty where the venue's keys have none."""
    found = getattr(credentials, "api_passphrase", SecretStr(""))
    assert isinstance(found, SecretStr)
    return found


class AlpacaCredentials(JobBlock):
    """API key of one Alpaca account."""

    _block_type_name = "Alpaca Credentials"
    _block_type_slug = "alpaca-credentials"
    _description = (
        "API key of one Alpaca account. Paper and live accounts have keys of their own: those of paper accounts begin "
        f"with PK and belong to testnet. Alpaca's keys carry no rights of their own, so guard them well. {_CHECK}"
    )

    environment: Environment = _belongs(f"{_BELONGS} Keys of paper accounts are testnet's.")
    api_key: SecretStr = _secret("API key", "The key id, as Alpaca shows it.")
    api_secret: SecretStr = _secret("API secret", "Shown by Alpaca only once.")

    _not_masked = field_validator("api_key", "api_secret")(_unmasked)


class BinanceCredentials(JobBlock):
    """API key of one Binance account, for spot and futures alike."""

    _block_type_name = "Binance Credentials"
    _block_type_slug = "binance-credentials"
    _description = (
        "API key of one Binance account in one environment, with an HMAC secret (a system-generated key). Allow what "
        "is traded (spot, futures), never withdrawals, and bind the key to the addresses of the workers. "
        f"{_CHECK}"
    )

    environment: Environment = _belongs()
    api_key: SecretStr = _secret("API key", "As Binance shows it.")
    api_secret: SecretStr = _secret("API secret", "Shown by Binance only once.")

    _not_masked = field_validator("api_key", "api_secret")(_unmasked)


class BybitCredentials(JobBlock):
    """API key of one Bybit account."""

    _block_type_name = "Bybit Credentials"
    _block_type_slug = "bybit-credentials"
    _description = (
        "API key of one Bybit account in one environment. Make the key without the right to withdraw, bound to the "
        f"addresses of the workers. {_CHECK}"
    )

    environment: Environment = _belongs()
    api_key: SecretStr = _secret("API key", "As Bybit shows it.")
    api_secret: SecretStr = _secret("API secret", "Shown by Bybit only once.")

    _not_masked = field_validator("api_key", "api_secret")(_unmasked)


class OKXCredentials(JobBlock):
    """API key of one OKX account, with the passphrase that was chosen when the key was made."""

    _block_type_name = "OKX Credentials"
    _block_type_slug = "okx-credentials"
    _description = (
        "API key of one OKX account in one environment, with its passphrase. A key of demo trading is made inside demo "
        "trading and belongs to testnet. Give the key the rights to read and trade, never to withdraw, and bind it to "
        f"the addresses of the workers. {_CHECK}"
    )

    environment: Environment = _belongs(f"{_BELONGS} Keys of demo trading are testnet's.")
    api_key: SecretStr = _secret("API key", "As OKX shows it.")
    api_secret: SecretStr = _secret("API secret", "The secret key, as OKX shows it.")
    api_passphrase: SecretStr = _secret(
        "API passphrase", "Chosen by you when the key was made; it is not the account's password."
    )

    _not_masked = field_validator("api_key", "api_secret", "api_passphrase")(_unmasked)


class TradeStationCredentials(JobBlock):
    """API key of one TradeStation client; what it may reach is decided by the login."""

    _block_type_name = "TradeStation Credentials"
    _block_type_slug = "tradestation-credentials"
    _description = (
        "API key (client id) of TradeStation, as an account uses it in one environment. Log in once after saving: "
        "`algotrendy login tradestation --account NAME` on the machine of the workers. Then run **check account**."
    )

    environment: Environment = _belongs(
        "Where it is used: testnet is TradeStation's SIM. Credentials of another environment than the account's are "
        "refused."
    )
    api_key: SecretStr = _secret("API key", "The client id, as TradeStation shows it.")
    api_secret: SecretStr = Field(
        default=SecretStr(""),
        title="API secret",
        description="Empty where the key has none (the login then proves itself by PKCE alone).",
    )

    @field_validator("api_key", "api_secret")
    @classmethod
    def _not_masked(cls, value: SecretStr, info: ValidationInfo) -> SecretStr:
        if not value.get_secret_value() and info.field_name == "api_secret":
            return value
        return _unmasked(value, info)


CREDENTIALS: dict[Venue, type[JobBlock]] = {
    Venue.ALPACA: AlpacaCredentials,
    Venue.BINANCE: BinanceCredentials,
    Venue.BYBIT: BybitCredentials,
    Venue.OKX: OKXCredentials,
    Venue.TRADESTATION: TradeStationCredentials,
}
