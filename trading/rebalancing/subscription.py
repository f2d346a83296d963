"""Which accounts follow a portfolio, how it is shared out among them, and who must say yes.

A subscription binds one portfolio to one or several accounts on several venues. Amounts of different currencies are
compared only through the conversions that stand in it: nothing is assumed to be worth the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from brokers.ids import InstrumentId
from brokers.rounding import decimal_text
from trading.market_hours import require_calendar
from trading.rebalancing.portfolio import Currency, Exact, InstrumentKey, Model, closed_set

ACCOUNTS_MAX = 100
NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
ACCOUNT_NAME = r"^[a-z0-9]+-(simulated|testnet|production)-[a-z0-9]([a-z0-9-]*[a-z0-9])?$"
_AS_TUPLE = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)  # YAML has lists


class Split(StrEnum):
    """How a portfolio's weights become the weights of each account."""

    OWN_EQUITY = "own_equity"  # each account is brought to the weights on its own equity
    SHARES = "shares"  # the joint equity, of which each account carries its share
    BY_INSTRUMENT = "by_instrument"  # the joint equity; each instrument is held where it is listed


class ApprovalRule(StrEnum):
    """Whether a person must approve a run's plan before anything is sent."""

    PRODUCTION = "production"  # where an account of it is in production
    ALWAYS = "always"
    NEVER = "never"


class OnRefusal(StrEnum):
    """What a refused leg does to the legs that were not sent yet."""

    CONTINUE = "continue"
    STOP = "stop"


class Conversion(Model):
    """What one unit of a currency is worth in the base currency: a fixed rate, or the mid quote of an instrument.

    The instrument joins both currencies, either way round, and is read at `account` (without one, at the first account
    that lists it). A quote older than `quote_age_s_max` is not taken.
    """

    rate: Annotated[Exact, Field(gt=0)] | None = None
    instrument: InstrumentKey | None = None
    account: Annotated[str, Field(pattern=rf"{ACCOUNT_NAME}|^$")] = ""
    quote_age_s_max: Annotated[int, Field(ge=1, le=604_800)] = 60

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.rate is None) == (self.instrument is None):
            was = "neither" if self.rate is None else "both"
            raise ValueError(f"a conversion must give rate or instrument, was {was}; state one of them")
        if self.rate is not None and self.account:
            raise ValueError(f"account {self.account!r} reads no fixed rate; leave it out")
        return self


class SubscribedAccount(Model):
    """One account of a subscription, by the name of its block.

    `share` is its part of the joint equity (split shares). `instruments` are the only lines it takes (own_equity), or
    those that are held here and nowhere else (by_instrument). `quote_currency` is the portfolio's where not given.
    `gross_max` bounds the account's own gross weight by making increases smaller; in a joint split it is the
    portfolio's where not given. `sessions` is the market whose hours the account keeps, instead of the portfolio's.
    """

    account: Annotated[str, Field(pattern=ACCOUNT_NAME)]
    share: Annotated[Exact, Field(gt=0, le=1)] | None = None
    instruments: Annotated[tuple[InstrumentKey, ...], _AS_TUPLE] = ()
    quote_currency: Currency | None = None
    gross_max: Annotated[Exact, Field(gt=0, le=100)] | None = None
    sessions: Annotated[str, Field(max_length=64)] | None = None

    @field_validator("sessions")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        require_calendar(name or "")
        return name

    @property
    def environment(self) -> str:
        return self.account.split("-")[1]


class Subscription(Model):
    """A portfolio bound to accounts. Names are those of blocks, or of the entries of one file.

    `approval_timeout_s`: how long a run waits for its approval. `approval_price_move_max` (fraction of a price) and
    `approval_position_move_max` (fraction of the account's equity): how far prices and positions may move while it
    waits before a new plan is made and asked for.
    """

    name: Annotated[str, Field(pattern=NAME)]
    portfolio: Annotated[str, Field(pattern=NAME)]
    accounts: Annotated[
        tuple[SubscribedAccount, ...],
        _AS_TUPLE,
        Field(min_length=1, max_length=ACCOUNTS_MAX),
    ]
    split: Annotated[Split, closed_set(Split)] = Split.OWN_EQUITY
    base_currency: Currency
    conversions: dict[Currency, Conversion] = Field(default_factory=dict)
    approval: Annotated[ApprovalRule, closed_set(ApprovalRule)] = ApprovalRule.PRODUCTION
    approval_timeout_s: Annotated[int, Field(ge=60, le=604_800)] = 3600
    approval_price_move_max: Annotated[Exact, Field(gt=0, le=1)] = Decimal("0.01")
    approval_position_move_max: Annotated[Exact, Field(gt=0, le=1)] = Decimal("0.005")
    on_refusal: Annotated[OnRefusal, closed_set(OnRefusal)] = OnRefusal.CONTINUE

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [item.account for item in self.accounts]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"accounts must be named once each, named twice: {', '.join(repeated)}")
        environments = sorted({item.environment for item in self.accounts})
        if len(environments) > 1:
            raise ValueError(
                f"accounts must be of one environment, were of {' and '.join(environments)}; make one for each"
            )
        self._check_shares()
        self._check_instruments()
        self._check_conversions()
        return self

    def _check_shares(self) -> None:
        given = {item.account: item.share for item in self.accounts}
        if self.split is not Split.SHARES:
            odd = sorted(name for name, share in given.items() if share is not None)
            if odd:
                raise ValueError(
                    f"share of {', '.join(odd)} has no meaning in split {self.split.value}; leave it out or use shares"
                )
            return
        missing = sorted(name for name, share in given.items() if share is None)
        if missing:
            raise ValueError(f"split shares needs a share for each account, missing: {', '.join(missing)}")
        picky = sorted(item.account for item in self.accounts if item.instruments)
        if picky:
            raise ValueError(
                f"instruments of {', '.join(picky)} have no meaning in split shares, where each account holds all "
                "lines; leave them out or use by_instrument"
            )
        total = sum((share for share in given.values() if share is not None), Decimal(0))
        if total != 1:
            raise ValueError(f"shares must sum to 1, sum to {decimal_text(total)}; correct them")

    def _check_instruments(self) -> None:
        if self.split is not Split.BY_INSTRUMENT:
            return
        named = [key for item in self.accounts for key in item.instruments]
        repeated = sorted({key for key in named if named.count(key) > 1})
        if repeated:
            raise ValueError(
                f"in split by_instrument an instrument is held in one account, named twice: {_names(repeated)}"
            )

    def _check_conversions(self) -> None:
        if self.base_currency in self.conversions:
            raise ValueError(f"conversions must leave out base_currency {self.base_currency}: it is worth 1")
        for currency, conversion in self.conversions.items():
            if conversion.instrument is not None:
                joined_currencies(conversion.instrument, currency=currency, base=self.base_currency)
        accounts = {item.account for item in self.accounts}
        for currency, conversion in self.conversions.items():
            if conversion.account and conversion.account not in accounts:
                raise ValueError(
                    f"conversions.{currency}.account {conversion.account!r} is not an account of the subscription; "
                    f"use one of: {', '.join(sorted(accounts))}"
                )

    @property
    def account_names(self) -> tuple[str, ...]:
        return tuple(item.account for item in self.accounts)

    def account(self, name: str) -> SubscribedAccount:
        """The entry of an account; LookupError when it has none."""
        for item in self.accounts:
            if item.account == name:
                return item
        raise LookupError(f"subscription {self.name} has no account {name!r}")

    def require_portfolio(self, *, quote_currency: str, instruments: frozenset[InstrumentId]) -> None:
        """ValueError where a currency has no conversion or an instrument is no line of the portfolio."""
        needed = {quote_currency, *(item.quote_currency or quote_currency for item in self.accounts)}
        missing = sorted(needed - {self.base_currency} - set(self.conversions))
        if missing:
            raise ValueError(
                f"subscription {self.name}: conversions must say what {', '.join(missing)} is worth in "
                f"{self.base_currency}; give a rate or an instrument"
            )
        foreign = sorted({key for item in self.accounts for key in item.instruments} - instruments)
        if foreign:
            raise ValueError(
                f"subscription {self.name}: instruments {_names(foreign)} are no targets of portfolio "
                f"{self.portfolio}; take them out, or give them a weight there"
            )


def joined_currencies(instrument: InstrumentId, *, currency: str, base: str) -> bool:
    """Whether the instrument prices `currency` in `base` (else it prices base in currency); ValueError when neither."""
    first, _, second = str(instrument).partition(":")[0].partition("/")
    if (first, second) == (currency, base):
        return True
    if (first, second) == (base, currency):
        return False
    raise ValueError(
        f"conversions.{currency}.instrument {instrument} does not join {currency} and {base}; "
        f"use {currency}/{base} or {base}/{currency}, or a fixed rate"
    )


def _names(keys: Iterable[InstrumentId]) -> str:
    return ", ".join(str(key) for key in keys)
