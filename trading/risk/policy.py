"""The limits of one account, strict and frozen, with defaults per environment. Production allows nothing by default.

Notionals are in the instrument's quote currency; one policy belongs to one account, so its instruments are expected to
share it (USDT and USD figures are not converted).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from brokers.ids import Environment, InstrumentId
from brokers.rounding import parse_decimal
from trading.risk.sessions import TradingSession, is_open


def _amount(value: Any) -> Any:
    return value if value is None else parse_decimal(value, field="limit")


Amount = Annotated[Decimal, BeforeValidator(_amount), Field(gt=0)]
Fraction = Annotated[Decimal, BeforeValidator(_amount), Field(gt=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)


class InstrumentLimits(_Frozen):
    """Limits of one instrument; what is given replaces the account's."""

    order_notional_max: Amount | None = None
    position_notional_max: Amount | None = None
    quantity_max: Amount | None = None
    price_collar: Amount | None = None
    quote_age_s_max: Amount | None = None
    quote_jump_max: Amount | None = None
    open_orders_max: int | None = Field(default=None, ge=1)
    repeat_max: int | None = Field(default=None, ge=1)
    duplicate_window_s: Amount | None = None
    sessions: tuple[TradingSession, ...] | None = None


class RiskPolicy(_Frozen):
    """Every limit of an account. Amounts are Decimals, integers or decimal text; binary floats are refused."""

    order_notional_max: Amount = Decimal(100_000)
    position_notional_max: Amount = Decimal(250_000)
    gross_notional_max: Amount = Decimal(1_000_000)
    net_notional_max: Amount = Decimal(500_000)  # longs less shorts, either way
    leverage_max: Amount = Decimal(5)
    pool_gross_notional_max: Amount = Decimal(2_000_000)  # of all accounts that share the ledger
    pool_reading_age_s_max: Amount = Decimal(86_400)  # an older snapshot of another account is no reading
    pool_may_be_unread: bool = True  # count only what is known of the other accounts
    price_collar: Amount = Decimal("0.05")  # fraction of the mid price
    quote_age_s_max: Amount = Decimal(5)
    quote_jump_max: Amount = Decimal("0.05")  # fraction of the last good mid
    quote_jump_window_s: Amount = Decimal(10)  # for how long the last good mid counts
    account_age_s_max: Amount = Decimal(5)  # an older reading of positions and equity is read again
    daily_loss_max: Fraction = Decimal("0.10")  # fraction of the opening equity of the UTC day
    daily_loss_amount_max: Amount | None = None  # in the currency of the equity
    drawdown_max: Fraction = Decimal("0.30")  # fraction of the highest equity on record
    open_orders_max: int = Field(default=20, ge=1)  # per instrument
    order_rate_max: int = Field(default=5, ge=1)  # order requests in any window
    order_rate_window_s: Amount = Decimal(1)
    message_rate_max: int = Field(default=10, ge=1)  # orders and cancels in any window
    message_rate_window_s: Amount = Decimal(1)
    venue_rate_share: Fraction = Decimal("0.5")
    repeat_max: int = Field(default=10, ge=1)  # orders of one strategy, instrument and side in any window
    repeat_window_s: Amount = Decimal(600)
    duplicate_window_s: Amount = Decimal(5)
    duplicates_denied: bool = True  # False: only noted on the order
    market_reach: Fraction = Decimal("0.10")  # how far beyond the touch a market order may meet one of our own
    attempts_max: int = Field(default=3, ge=1, le=100)
    market_orders_allowed: bool = True
    arming_required: bool = False  # production needs an arming whatever stands here (trading.orders.armed)
    reconciled_first: bool = True  # no order of a new process before a full reconciliation; only simulated may say no
    reconciled_age_s_max: Amount = Decimal(7_200)  # an older one is done again first
    allowed_instruments: tuple[str, ...] | None = None  # None: all; an empty list allows none
    restricted_instruments: tuple[str, ...] = ()  # wins over allowed_instruments
    sessions: tuple[TradingSession, ...] | None = None  # None: always; an empty list: never
    instruments: Mapping[str, InstrumentLimits] = Field(default_factory=dict)

    @classmethod
    def for_environment(cls, environment: Environment) -> Self:
        """The defaults: wide on simulators, moderate on testnets, closed in production until configured."""
        if environment is Environment.SIMULATED:
            return cls(
                order_notional_max=Decimal(10_000_000),
                position_notional_max=Decimal(20_000_000),
                gross_notional_max=Decimal(100_000_000),
                net_notional_max=Decimal(50_000_000),
                leverage_max=Decimal(10),
                pool_gross_notional_max=Decimal(1_000_000_000),
                quote_age_s_max=Decimal(30),
                quote_jump_max=Decimal("0.5"),
                daily_loss_max=Decimal("0.5"),
                drawdown_max=Decimal("0.7"),
                order_rate_max=100,
                message_rate_max=200,
                repeat_max=1_000,
                duplicates_denied=False,
            )
        if environment is Environment.TESTNET:
            return cls()
        return cls(
            order_notional_max=Decimal(10_000),
            position_notional_max=Decimal(25_000),
            gross_notional_max=Decimal(100_000),
            net_notional_max=Decimal(50_000),
            leverage_max=Decimal(3),
            pool_gross_notional_max=Decimal(200_000),
            pool_may_be_unread=False,
            price_collar=Decimal("0.02"),
            quote_age_s_max=Decimal(2),
            quote_jump_max=Decimal("0.02"),
            daily_loss_max=Decimal("0.03"),
            drawdown_max=Decimal("0.10"),
            order_rate_max=5,
            order_rate_window_s=Decimal(5),
            message_rate_max=10,
            message_rate_window_s=Decimal(5),
            market_orders_allowed=False,
            arming_required=True,
            allowed_instruments=(),
        )

    def allows(self, instrument_id: InstrumentId) -> bool:
        return self.allowed_instruments is None or str(instrument_id) in self.allowed_instruments

    def restricts(self, instrument_id: InstrumentId) -> bool:
        return str(instrument_id) in self.restricted_instruments

    def is_open(self, instrument_id: InstrumentId, at: datetime) -> bool:
        """Whether a session of the instrument is open; always where none are given."""
        own = self._own(instrument_id).sessions
        sessions = self.sessions if own is None else own
        return sessions is None or is_open(sessions, at)

    def quote_age_limit(self, instrument_id: InstrumentId) -> Decimal:
        return self._own(instrument_id).quote_age_s_max or self.quote_age_s_max

    def quote_jump_limit(self, instrument_id: InstrumentId) -> Decimal:
        return self._own(instrument_id).quote_jump_max or self.quote_jump_max

    def repeat_limit(self, instrument_id: InstrumentId) -> int:
        return self._own(instrument_id).repeat_max or self.repeat_max

    def duplicate_window(self, instrument_id: InstrumentId) -> Decimal:
        return self._own(instrument_id).duplicate_window_s or self.duplicate_window_s

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
