"""The limits of one account, strict and frozen, with defaults per environment. Production allows nothing by default.

Notionals are in the instrument's quote currency; one policy belongs to one account, so its instruments are expected to
share it (USDT and USD figures are not converted).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from brokers.ids import Environment, InstrumentId
from brokers.rounding import parse_decimal


def _amount(value: Any) -> Any:
    return value if value is None else parse_decimal(value, field="limit")


Amount = Annotated[Decimal, BeforeValidator(_amount), Field(gt=0)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class InstrumentLimits(_Frozen):
    """Limits of one instrument; what is given replaces the account's."""

    order_notional_max: Amount | None = None
    position_notional_max: Amount | None = None
    quantity_max: Amount | None = None
    price_collar: Amount | None = None
    open_orders_max: int | None = Field(default=None, ge=1)


class RiskPolicy(_Frozen):
    """Every limit of an account. Amounts are Decimals, integers or decimal text; binary floats are refused."""

    order_notional_max: Amount = Decimal(100_000)
    position_notional_max: Amount = Decimal(250_000)
    gross_notional_max: Amount = Decimal(1_000_000)
    leverage_max: Amount = Decimal(5)
    price_collar: Amount = Decimal("0.05")  # fraction of the mid price
    quote_age_s_max: Amount = Decimal(5)
    account_age_s_max: Amount = Decimal(5)  # an older reading of positions and equity is read again
    open_orders_max: int = Field(default=20, ge=1)  # per instrument
    order_rate_max: int = Field(default=5, ge=1)  # order requests in any window
    order_rate_window_s: Amount = Decimal(1)
    venue_rate_share: Annotated[Decimal, BeforeValidator(_amount), Field(gt=0, le=1)] = Decimal("0.5")
    attempts_max: int = Field(default=3, ge=1, le=100)
    market_orders_allowed: bool = True
    allowed_instruments: tuple[str, ...] | None = None  # None: all; an empty list allows none
    instruments: Mapping[str, InstrumentLimits] = Field(default_factory=dict)

    @classmethod
    def for_environment(cls, environment: Environment) -> Self:
        """The defaults: wide on simulators, moderate on testnets, closed in production until configured."""
        if environment is Environment.SIMULATED:
            return cls(
                order_notional_max=Decimal(10_000_000),
                position_notional_max=Decimal(20_000_000),
                gross_notional_max=Decimal(100_000_000),
                leverage_max=Decimal(10),
                quote_age_s_max=Decimal(30),
                order_rate_max=100,
            )
        if environment is Environment.TESTNET:
            return cls()
        return cls(
            order_notional_max=Decimal(10_000),
            position_notional_max=Decimal(25_000),
            gross_notional_max=Decimal(100_000),
            leverage_max=Decimal(3),
            price_collar=Decimal("0.02"),
            quote_age_s_max=Decimal(2),
            order_rate_max=5,
            order_rate_window_s=Decimal(5),
            market_orders_allowed=False,
            allowed_instruments=(),
        )

    def allows(self, instrument_id: InstrumentId) -> bool:
        return self.allowed_instruments is None or str(instrument_id) in self.allowed_instruments

    def order_notional_limit(self, instrument_id: InstrumentId) -> Decimal:
        return self._own(instrument_id).order_notional_max or self.order_notional_max

    def position_notional_limit(self, instrument_id: InstrumentId) -> Decimal:
        return self._own(instrument_id).position_notional_max or self.position_notional_max

    def quantity_limit(self, instrument_id: InstrumentId) -> Decimal | None:
        return self._own(instrument_id).quantity_max

    def collar(self, instrument_id: InstrumentId) -> Decimal:
        return self._own(instrument_id).price_collar or self.price_collar

    def open_orders_limit(self, instrument_id: InstrumentId) -> int:
        return self._own(instrument_id).open_orders_max or self.open_orders_max

    def _own(self, instrument_id: InstrumentId) -> InstrumentLimits:
        return self.instruments.get(str(instrument_id)) or _NO_LIMITS


_NO_LIMITS = InstrumentLimits()


def policy_sha256(policy: RiskPolicy) -> str:
    """The hash of every limit, written one way only: the same limits have the same hash, however they were given."""
    return hashlib.sha256(
        json.dumps(_plain(policy.model_dump()), sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def _plain(value: Any) -> Any:
    """Values that JSON holds exactly: amounts as plain text without trailing zeros, lists of names in order."""
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (tuple, list)):
        return sorted((_plain(item) for item in value), key=json.dumps)
    return value
