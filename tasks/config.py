"""What an operator writes down: accounts, portfolios and subscriptions, in YAML or in Prefect blocks, read strictly.

Both ways end in the same values: `Account` (connection, risk policy, leverage targets), `Portfolio` and `Subscription`
of `trading.rebalancing`. Unknown keys, repeated keys and binary floats are refused. In YAML a secret
stands as the name of an environment variable; it may stand inline only where the environment is `simulated`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from brokers import strictyaml
from brokers.capabilities import Access
from brokers.config import AccountConfig
from brokers.errors import EnvironmentMismatch
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.registry import capabilities, supported_venues
from brokers.types import ProductKind
from trading.rebalancing.explaining import explain_one
from trading.rebalancing.portfolio import Exact, InstrumentKey, Portfolio
from trading.rebalancing.subscription import Subscription
from trading.risk import RiskPolicy

NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
Name = Annotated[str, Field(pattern=f"^{NAME.pattern}$")]
_NOT_A_VALUE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]


class ConfigRefused(ValueError):
    """The configuration cannot be used; the message names the place, the value and the remedy."""

    reason = "CONFIG_REFUSED"


@dataclass(frozen=True, slots=True)
class Account:
    """One account, ready to be opened: how to connect, what risk allows, which leverage is wanted."""

    connection: AccountConfig
    policy: RiskPolicy
    leverage: Mapping[InstrumentId, Decimal] = field(default_factory=dict)

    @property
    def account_id(self) -> AccountId:
        return self.connection.account_id


def block_name(account_id: AccountId) -> str:
    """The name of an account's block and the `account` parameter of every flow: `bybit-simulated-demo`."""
    return f"{account_id.venue.value.replace('_', '')}-{account_id.environment.value}-{account_id.name}"


def account_id_of(name: str) -> AccountId:
    """The account that a block's name names, without reading the block; ConfigRefused when it names none."""
    parts = name.split("-", 2)
    venues = {venue.value.replace("_", ""): venue for venue in Venue}
    if len(parts) != 3 or parts[0] not in venues or parts[1] not in set(Environment):
        raise ConfigRefused(f"account must read venue-environment-name such as bybit-testnet-main, was {name!r}")
    return AccountId(venues[parts[0]], Environment(parts[1]), parts[2])


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Secrets(NamedTuple):
    """What a venue asks for of whoever calls; empty where it does not."""

    api_key: SecretStr
    api_secret: SecretStr
    api_passphrase: SecretStr


class CredentialsSettings(_Strict):
    """A key and its secrets, named by environment variables or, for simulated accounts, given inline.

    The secret is left out where the venue's keys may come without one; a passphrase is given where they have one.
    """

    api_key_env: VariableName | None = None
    api_secret_env: VariableName | None = None
    api_passphrase_env: VariableName | None = None
    api_key: SecretStr | None = None
    api_secret: SecretStr | None = None
    api_passphrase: SecretStr | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        named = (self.api_key_env, self.api_secret_env, self.api_passphrase_env)
        inline = (self.api_key, self.api_secret, self.api_passphrase)
        is_named = self.api_key_env is not None and not any(value is not None for value in inline)
        is_inline = self.api_key is not None and not any(value is not None for value in named)
        if not (is_named or is_inline):
            raise ValueError("credentials must give api_key_env and api_secret_env, or both secrets inline (simulated)")
        return self

    @property
    def has_secret(self) -> bool:
        return self.api_secret_env is not None or self.api_secret is not None

    @property
    def has_passphrase(self) -> bool:
        return self.api_passphrase_env is not None or self.api_passphrase is not None

    @property
    def is_inline(self) -> bool:
        return self.api_key is not None

    def resolve(self, environ: Mapping[str, str]) -> Secrets:
        """The secrets ("" for one that there is not); ConfigRefused names the variable that is not set."""
        if self.api_key is not None:
            return Secrets(self.api_key, self.api_secret or SecretStr(""), self.api_passphrase or SecretStr(""))
        found = []
        for variable in (self.api_key_env, self.api_secret_env, self.api_passphrase_env):
            text = environ.get(variable or "", "")
            if not text and variable is not None:
                raise ConfigRefused(f"environment variable {variable} is not set; export it before this command")
            found.append(SecretStr(text))
        return Secrets(*found)


class AccountSettings(_Strict):
    """One account as it is written down. Products and settle currencies default to the venue's."""

    venue: Venue
    environment: Environment
    name: Name
    credentials: CredentialsSettings
    host: str = ""
    base_url: str = ""
    venue_account: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{0,32}$")] = ""
    settle_currencies: tuple[Currency, ...] = ()
    products: frozenset[ProductKind] = frozenset()
    instruments: tuple[InstrumentKey, ...] = ()
    key_cannot_withdraw: bool = False
    dead_man_may_cancel_all_orders: bool = False
    risk: Mapping[str, Any] = Field(default_factory=dict)
    leverage: Mapping[InstrumentKey, Annotated[Exact, Field(gt=0, le=100)]] = Field(default_factory=dict)

    model_config = ConfigDict(arbitrary_types_allowed=True)

    @model_validator(mode="before")
    @classmethod
    def _with_defaults_of_venue(cls, data: Any) -> Any:
        """What is not said is what the venue offers."""
        if not isinstance(data, dict) or data.get("venue") not in supported_venues():
            return data
        facts = capabilities(Venue(data["venue"]))
        return {"settle_currencies": facts.settle_currencies, "products": facts.products, **data}

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if self.environment is not Environment.SIMULATED and self.credentials.is_inline:
            raise ValueError(
                f"credentials of {self.account_id} must name environment variables (api_key_env, api_secret_env): "
                "secrets may stand in the file for simulated accounts only"
            )
        if self.environment is not Environment.SIMULATED and self.base_url:
            raise ValueError(f"base_url of {self.account_id} may be given for simulated accounts only; name a host")
        if self.venue in supported_venues():
            self._require_access(capabilities(self.venue).access)
            self._require_instruments(is_read_by_them=capabilities(self.venue).reads_by_instrument)
            if self.dead_man_may_cancel_all_orders and not capabilities(self.venue).dead_man.cancels_all_orders:
                raise ValueError(
                    f"dead_man_may_cancel_all_orders of {self.account_id} must be left out: {self.venue.value} has no "
                    "dead-man switch that would cancel other people's orders"
                )
        risk_policy(self.environment, self.risk)
        return self

    def _require_access(self, access: Access) -> None:
        if access.needs_secret and not self.credentials.has_secret:
            raise ValueError(
                f"credentials of {self.account_id} must give api_key_env and api_secret_env, or both secrets inline "
                "(simulated)"
            )
        if access.needs_passphrase and not self.credentials.has_passphrase:
            raise ValueError(
                f"credentials of {self.account_id} must give api_passphrase_env, or api_passphrase inline (simulated): "
                f"a key of {self.venue.value} has a passphrase"
            )
        if self.credentials.has_passphrase and not access.needs_passphrase:
            raise ValueError(
                f"api_passphrase of {self.account_id} must be left out: keys of {self.venue.value} have none"
            )
        if access.names_account and not self.venue_account:
            raise ValueError(
                f"venue_account of {self.account_id} must be the account's number at {self.venue.value}: one key "
                "reaches several accounts"
            )
        if self.venue_account and not access.names_account:
            raise ValueError(f"venue_account of {self.account_id} must be left out: its key reaches one account")

    def _require_instruments(self, *, is_read_by_them: bool) -> None:
        listed, venue = ", ".join(map(str, self.instruments)), self.venue.value
        if len(set(self.instruments)) != len(self.instruments):
            raise ValueError(f"instruments of {self.account_id} must be named once each, were {listed}")
        if is_read_by_them and not self.instruments:
            raise ValueError(
                f"instruments of {self.account_id} must name what the account trades: {venue} shows orders and fills "
                "of one symbol at a time"
            )
        if self.instruments and not is_read_by_them:
            raise ValueError(
                f"instruments of {self.account_id} must be left out: {venue} shows the account whole, were {listed}"
            )

    @property
    def account_id(self) -> AccountId:
        return AccountId(self.venue, self.environment, self.name)

    @property
    def block_name(self) -> str:
        return block_name(self.account_id)

    def resolve(self, environ: Mapping[str, str] | None = None) -> Account:
        """The account with its secrets; ConfigRefused when one is missing."""
        secrets = self.credentials.resolve(os.environ if environ is None else environ)
        return Account(
            connection=AccountConfig(
                account_id=self.account_id,
                **secrets._asdict(),
                host=self.host,
                base_url=self.base_url,
                settle_currencies=tuple(self.settle_currencies),
                products=self.products,
                venue_account=self.venue_account,
                instruments=self.instruments,
                key_cannot_withdraw=self.key_cannot_withdraw,
                dead_man_may_cancel_all_orders=self.dead_man_may_cancel_all_orders,
            ),
            policy=risk_policy(self.environment, self.risk),
            leverage=dict(self.leverage),
        )


class Configuration(_Strict):
    """A file of accounts, portfolios and subscriptions. A subscription may name what stands elsewhere."""

    accounts: tuple[AccountSettings, ...] = ()
    portfolios: tuple[Portfolio, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()

    @field_validator("accounts", "portfolios", "subscriptions")
    @classmethod
    def _unique(cls, items: tuple[Any, ...]) -> tuple[Any, ...]:
        names = [item.block_name if isinstance(item, AccountSettings) else item.name for item in items]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"names must be unique, repeated: {', '.join(repeated)}")
        return items

    @field_validator("portfolios")
    @classmethod
    def _nameable(cls, portfolios: tuple[Portfolio, ...]) -> tuple[Portfolio, ...]:
        for portfolio in portfolios:
            if not NAME.fullmatch(portfolio.name):
                raise ValueError(
                    f"portfolio name must be lowercase letters, digits and inner dashes, was {portfolio.name!r}"
                )
        return portfolios

    @model_validator(mode="after")
    def _subscriptions_fit(self) -> Self:
        """Where a subscription's portfolio stands in the same file, they must belong together."""
        named = {portfolio.name: portfolio for portfolio in self.portfolios}
        for subscription in self.subscriptions:
            portfolio = named.get(subscription.portfolio)
            if portfolio is not None:
                subscription.require_portfolio(
                    quote_currency=portfolio.quote_currency, instruments=frozenset(portfolio.targets)
                )
        return self

    def account(self, name: str) -> AccountSettings:
        """The account by block name or account id; ConfigRefused lists what there is."""
        for settings in self.accounts:
            if name in (settings.block_name, str(settings.account_id)):
                return settings
        known = ", ".join(settings.block_name for settings in self.accounts) or "none"
        raise ConfigRefused(f"there is no account {name!r}; known: {known}")

    def portfolio(self, name: str) -> Portfolio:
        """The portfolio by name; ConfigRefused lists what there is."""
        for portfolio in self.portfolios:
            if portfolio.name == name:
                return portfolio
        known = ", ".join(portfolio.name for portfolio in self.portfolios) or "none"
        raise ConfigRefused(f"there is no portfolio {name!r}; known: {known}")

    def subscription(self, name: str) -> Subscription:
        """The subscription by name; ConfigRefused lists what there is."""
        for subscription in self.subscriptions:
            if subscription.name == name:
                return subscription
        known = ", ".join(subscription.name for subscription in self.subscriptions) or "none"
        raise ConfigRefused(f"there is no subscription {name!r}; known: {known}")

    def at_simulator(self, base_url: str) -> Configuration:
        """Simulated accounts without an address are given this one, whatever their venue."""
        return self.at_simulators(dict.fromkeys(Venue, base_url))

    def at_simulators(self, urls: Mapping[Venue, str]) -> Configuration:
        """Simulated accounts without an address are given their venue's."""
        accounts = tuple(
            settings.model_copy(update={"base_url": urls[settings.venue]})
            if settings.environment is Environment.SIMULATED and not settings.base_url and settings.venue in urls
            else settings
            for settings in self.accounts
        )
        return self.model_copy(update={"accounts": accounts})


def risk_policy(environment: Environment, overrides: Mapping[str, Any]) -> RiskPolicy:
    """The environment's defaults with the account's overrides on top; ValueError names a wrong field."""
    base = RiskPolicy.for_environment(environment)
    unknown = sorted(set(overrides) - set(RiskPolicy.model_fields))
    if unknown:
        raise ValueError(
            f"risk has no field {', '.join(unknown)}; fields: {', '.join(sorted(RiskPolicy.model_fields))}"
        )
    if environment is Environment.PRODUCTION and overrides.get("arming_required", True) is not True:
        raise ValueError("arming_required cannot be taken away in production: leave it out, and arm the pool")
    if environment is not Environment.SIMULATED and overrides.get("reconciled_first", True) is not True:
        raise ValueError(
            f"reconciled_first cannot be switched off in {environment.value}, was "
            f"{overrides['reconciled_first']!r}: leave it out; only simulated accounts may trade unreconciled"
        )
    # Not strict: YAML and JSON have lists where the policy has tuples. Its amounts refuse binary floats all the same.
    return RiskPolicy.model_validate({**base.model_dump(), **overrides}, strict=False)


def load(file: Path) -> Configuration:
    """Read a YAML file; ConfigRefused names the file, the place and the remedy, never a secret."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigRefused(f"there is no file {file}") from error
    except UnicodeDecodeError as error:
        raise ConfigRefused(f"{file} is not UTF-8 text (byte {error.start})") from None
    return parse(text, where=str(file))


def parse(text: str, *, where: str = "configuration") -> Configuration:
    """Read YAML text."""
    data, problem = strictyaml.read(text)
    if problem:
        raise ConfigRefused(f"{where} is not valid YAML: {problem}")
    if not isinstance(data, dict):
        raise ConfigRefused(f"{where} must be a mapping with the keys accounts, portfolios and subscriptions")
    try:
        return Configuration.model_validate(data)
    except ValidationError as error:
        raise ConfigRefused(f"{where}: {_described(error)}") from None


def _described(error: ValidationError) -> str:
    """Every mistake. Those of portfolios and subscriptions with their values; those of accounts may be secrets."""
    kinds: dict[str, type[BaseModel]] = {"portfolios": Portfolio, "subscriptions": Subscription}
    items = error.errors(include_url=False)
    shown = [
        _of_rules(item, kinds[str(item["loc"][0])]) for item in items if item["loc"][:1] and item["loc"][0] in kinds
    ]
    if len(shown) == len(items):
        return "; ".join(shown)
    return "; ".join([strictyaml.describe(error, but=tuple(kinds)), *shown])


def _of_rules(item: Any, model: type[BaseModel]) -> str:
    """The mistake with its place in the file: `portfolios.0.collar …`."""
    place, inner = item["loc"][:2], item["loc"][2:]
    prefix = ".".join(map(str, place))
    text = explain_one({**item, "loc": inner}, model)
    return f"{prefix}.{text}" if inner else f"{prefix}: {text}"


def require_environment(account_id: AccountId, environment: Environment) -> None:
    """Refuse an account of another environment than the pool's, before anything is opened."""
    if account_id.environment is not environment:
        raise EnvironmentMismatch(
            f"account {account_id} is {account_id.environment.value}, this process runs for {environment.value}; "
            f"run the job from a deployment of the {account_id.environment.value} pool"
        )
