"""The domain's values: frozen, exact, in the field's own words.

Money, prices and quantities are `Decimal`; times are aware UTC; closed sets are enums. Nothing here knows a venue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Self

from brokers.ids import AccountId, ClientOrderId, InstrumentId, TradeId, VenueOrderId

ZERO = Decimal(0)
NO_EXTRA: Mapping[str, str] = MappingProxyType({})


class OrderSide(StrEnum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        """+1 for buy, -1 for sell."""
        return 1 if self is OrderSide.BUY else -1

    @property
    def opposite(self) -> OrderSide:
        return OrderSide.SELL if self is OrderSide.BUY else OrderSide.BUY


class OrderType(StrEnum):
    MARKET = "market"
    LIMIT = "limit"
    STOP_MARKET = "stop_market"
    STOP_LIMIT = "stop_limit"


class TimeInForce(StrEnum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    DAY = "day"
    DAY_EXTENDED = "day_extended"  # the sessions before and after regular hours as well; limit orders only
    GTC_EXTENDED = "gtc_extended"

    @property
    def is_extended(self) -> bool:
        """Whether it works outside regular hours, too."""
        return self in (TimeInForce.DAY_EXTENDED, TimeInForce.GTC_EXTENDED)


IMMEDIATE = frozenset({TimeInForce.IOC, TimeInForce.FOK})  # never rests in the book


class ProductKind(StrEnum):
    SPOT = "spot"
    LINEAR = "linear"
    EQUITY = "equity"
    FUTURE = "future"


class PositionSide(StrEnum):
    LONG = "long"
    SHORT = "short"
    FLAT = "flat"


class PositionMode(StrEnum):
    ONE_WAY = "one_way"
    HEDGE = "hedge"


class MarginMode(StrEnum):
    CASH = "cash"
    CROSS = "cross"
    ISOLATED = "isolated"
    PORTFOLIO = "portfolio"


class LiquiditySide(StrEnum):
    MAKER = "maker"
    TAKER = "taker"
    UNKNOWN = "unknown"


class OrderStatus(StrEnum):
    """What the venue says of an order now."""

    ACCEPTED = "accepted"  # received by the venue, not yet seen working
    WORKING = "working"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"  # ended by the venue's own rules: IOC/FOK remainder, post-only that would take, time
    REJECTED = "rejected"  # refused by the matching engine after the acknowledgement

    @property
    def is_open(self) -> bool:
        return self in (OrderStatus.ACCEPTED, OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED)


class CashEventKind(StrEnum):
    FEE = "fee"
    FUNDING = "funding"
    INTEREST = "interest"
    DIVIDEND = "dividend"
    TRANSFER = "transfer"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    SETTLEMENT = "settlement"
    TRADE = "trade"  # the cash effect of a fill, as the venue posts it (Bybit: net of its fee)
    UNMAPPED = "unmapped"  # the venue sent a kind that we do not know: always a break, never ignored


@dataclass(frozen=True, slots=True)
class PartTerms:
    """What an order for a part of a lot (of a share) may be, where a venue divides lots.

    `step` is its finer step of quantities, `notional_min` its smallest value in quote currency; it may have these times
    in force alone, the plainest first. Only what is held is sold in parts: no such order opens a short position.
    """

    step: Decimal
    notional_min: Decimal
    times_in_force: tuple[TimeInForce, ...]

    def __post_init__(self) -> None:
        if not self.step.is_finite() or self.step <= 0:
            raise ValueError(f"step of parts must be above 0, was {self.step}")
        if not self.times_in_force:
            raise ValueError("times_in_force of parts must name one at least, was empty")


@dataclass(frozen=True, slots=True)
class Instrument:
    """What may be traded and in which steps.

    `tick_size` is in quote currency; `lot_size` and the quantities are in units of the instrument, each worth
    `contract_size` units of the base currency; notionals are in quote currency. `parts` are the terms of orders for a
    part of a lot; None where lots are not divided.
    """

    instrument_id: InstrumentId
    venue_symbol: str
    product: ProductKind
    base_currency: str
    quote_currency: str
    settle_currency: str
    tick_size: Decimal
    lot_size: Decimal
    quantity_min: Decimal
    notional_min: Decimal
    contract_size: Decimal = Decimal(1)
    quantity_max_limit: Decimal | None = None
    quantity_max_market: Decimal | None = None
    leverage_min: Decimal | None = None
    leverage_max: Decimal | None = None
    leverage_step: Decimal | None = None
    is_trading: bool = True
    held_as_balance: bool | None = None  # None: as usual for its product
    parts: PartTerms | None = None

    def __post_init__(self) -> None:
        for name in ("tick_size", "lot_size", "contract_size"):
            value: Decimal = getattr(self, name)
            if not value.is_finite() or value <= 0:
                raise ValueError(f"Instrument {self.instrument_id} {name} must be above 0, was {value}")

    def lot_for(self, time_in_force: TimeInForce) -> Decimal:
        """The step of quantities that an order of this time in force may have."""
        parts = self.parts
        return parts.step if parts is not None and time_in_force in parts.times_in_force else self.lot_size

    @property
    def finest_lot(self) -> Decimal:
        """The step of quantities that an order of some time in force may have."""
        return self.lot_size if self.parts is None else self.parts.step

    @property
    def is_position(self) -> bool:
        """Whether what is held of it shows as a position; otherwise as a balance of its base currency."""
        return not (self.product is ProductKind.SPOT if self.held_as_balance is None else self.held_as_balance)


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid, best ask and last price, with the venue's time of them."""

    instrument_id: InstrumentId
    bid: Decimal
    ask: Decimal
    last: Decimal
    time: datetime
    mark: Decimal | None = None

    @property
    def mid(self) -> Decimal:
        return (self.bid + self.ask) / 2


@dataclass(frozen=True, slots=True)
class Balance:
    """One currency of an account: total = available + held, in that currency.

    `available` is None where the venue gives no trustworthy figure (it is never guessed).
    """

    account_id: AccountId
    currency: str
    total: Decimal
    available: Decimal | None
    held: Decimal
    time: datetime


@dataclass(frozen=True, slots=True)
class Position:
    """An open or flat position; `quantity` is signed (short is negative), in units of the instrument."""

    account_id: AccountId
    instrument_id: InstrumentId
    side: PositionSide
    quantity: Decimal
    average_price: Decimal | None
    mark_price: Decimal | None
    unrealised_pnl: Decimal | None
    realised_pnl: Decimal | None
    leverage: Decimal | None
    mode: PositionMode
    time: datetime
    liquidation_price: Decimal | None = None

    def __post_init__(self) -> None:
        expected = {PositionSide.LONG: 1, PositionSide.SHORT: -1, PositionSide.FLAT: 0}[self.side]
        sign = (self.quantity > 0) - (self.quantity < 0)
        if sign not in (expected, 0):
            raise ValueError(f"Position side {self.side} must match the quantity's sign, was {self.quantity}")


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """The terms of one order, before any venue's wording.

    `position_side` is given in hedge mode only: the leg that the order opens or closes. `quantity` is always in units
    of the instrument (base currency on spot), never in quote currency.
    """

    instrument_id: InstrumentId
    side: OrderSide
    order_type: OrderType
    quantity: Decimal
    time_in_force: TimeInForce = TimeInForce.GTC
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    post_only: bool = False
    reduce_only: bool = False
    position_side: PositionSide | None = None

    def __post_init__(self) -> None:
        needs_limit = self.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
        needs_trigger = self.order_type in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
        _require_positive("quantity", self.quantity)
        if needs_limit != (self.limit_price is not None):
            raise ValueError(
                f"limit_price must be given exactly for limit orders, was {self.limit_price} "
                f"with order_type {self.order_type}"
            )
        if needs_trigger != (self.trigger_price is not None):
            raise ValueError(
                f"trigger_price must be given exactly for stop orders, was {self.trigger_price} "
                f"with order_type {self.order_type}"
            )
        for name in ("limit_price", "trigger_price"):
            value: Decimal | None = getattr(self, name)
            if value is not None:
                _require_positive(name, value)
        if self.post_only and self.order_type is not OrderType.LIMIT:
            raise ValueError(f"post_only needs order_type limit, was {self.order_type}")
        if self.time_in_force.is_extended and self.order_type is not OrderType.LIMIT:
            raise ValueError(f"time_in_force {self.time_in_force} needs order_type limit, was {self.order_type}")


def _require_positive(name: str, value: Decimal) -> None:
    if not value.is_finite() or value <= 0:
        raise ValueError(f"{name} must be a finite number above 0, was {value}")


@dataclass(frozen=True, slots=True)
class PreparedOrder:
    """The frozen payload of one attempt: what will be sent, byte for byte but for time and signature.

    `payload` is canonical JSON in the venue's own words, or a canonical form where the venue takes forms; `sha256` is
    of its UTF-8 bytes. Both are committed to the ledger before the first byte leaves.
    """

    client_order_id: ClientOrderId
    request: OrderRequest
    payload: str
    sha256: str


@dataclass(frozen=True, slots=True)
class OrderAck:
    """The venue's answer to a placement: received. Not yet a live order where `is_final` is False."""

    client_order_id: ClientOrderId
    venue_order_id: VenueOrderId
    time: datetime
    is_final: bool


@dataclass(frozen=True, slots=True)
class Order:
    """An order as the venue reports it.

    `remaining` is derived: quantity minus filled. `fees` maps currency to amount paid (negative is a rebate) where the
    venue totals them on the order. `status_text` and `reject_code` are the venue's own words.
    """

    account_id: AccountId
    venue_order_id: VenueOrderId
    client_order_id: ClientOrderId | None
    instrument_id: InstrumentId
    side: OrderSide
    order_type: OrderType
    time_in_force: TimeInForce | None
    quantity: Decimal
    filled_quantity: Decimal
    average_price: Decimal | None
    limit_price: Decimal | None
    trigger_price: Decimal | None
    status: OrderStatus
    reduce_only: bool
    created_at: datetime
    updated_at: datetime
    status_text: str = ""
    reject_code: str = ""
    position_side: PositionSide | None = None
    fees: Mapping[str, Decimal] = field(default_factory=dict)

    @property
    def remaining(self) -> Decimal:
        return self.quantity - self.filled_quantity


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution. `fee` is positive when paid, negative when rebated, in `fee_currency`."""

    account_id: AccountId
    trade_id: TradeId
    venue_order_id: VenueOrderId
    client_order_id: ClientOrderId | None
    instrument_id: InstrumentId
    side: OrderSide
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    liquidity: LiquiditySide
    time: datetime
    kind: str = "trade"  # the venue's execution type in lower case: trade, adltrade, busttrade, …


@dataclass(frozen=True, slots=True)
class CashEvent:
    """One change of one currency's wallet from the venue's own cash-flow feed.

    `amount` is signed (plus is money in). `balance_after` is the wallet after the event where the venue gives it.
    """

    account_id: AccountId
    event_id: str
    kind: CashEventKind
    currency: str
    amount: Decimal
    time: datetime
    instrument_id: InstrumentId | None = None
    trade_id: TradeId | None = None
    venue_order_id: VenueOrderId | None = None
    balance_after: Decimal | None = None
    venue_kind: str = ""


@dataclass(frozen=True, slots=True)
class LeverageInfo:
    """Leverage as read back from the venue for one instrument."""

    instrument_id: InstrumentId
    long_leverage: Decimal
    short_leverage: Decimal
    margin_mode: MarginMode
    position_mode: PositionMode


@dataclass(frozen=True, slots=True)
class MarginHealth:
    """Account-wide margin in `currency` as the venue states it; ratio is maintenance over equity (1 = liquidation)."""

    account_id: AccountId
    currency: str
    equity: Decimal
    available: Decimal | None
    initial_margin: Decimal | None
    maintenance_margin: Decimal | None
    maintenance_ratio: Decimal | None
    time: datetime


@dataclass(frozen=True, slots=True)
class ProfitAndLoss:
    """Realised and unrealised profit of one instrument in its settle currency, as the venue reports them."""

    account_id: AccountId
    instrument_id: InstrumentId
    currency: str
    realised: Decimal
    unrealised: Decimal
    time: datetime


@dataclass(frozen=True, slots=True)
class ClockReading:
    """The venue clock against ours: `offset` is venue minus local time, `error` its bound (half the round trip)."""

    venue_time: datetime
    offset: timedelta
    error: timedelta

    @classmethod
    def between(cls, before: datetime, venue_time: datetime, after: datetime) -> Self:
        """What the venue said between two looks at our clock: it is taken for the time in their middle."""
        half = (after - before) / 2
        return cls(venue_time=venue_time, offset=venue_time - (before + half), error=half)


@dataclass(frozen=True, slots=True)
class AccountProof:
    """What the connection test proved, with the venue's evidence."""

    account_id: AccountId
    venue_account: str  # the venue's own id of the account (uid, account number)
    host: str
    key_fingerprint: str  # first 16 hex digits of sha256 of the API key; never the key
    can_trade: bool
    can_withdraw: bool
    permissions: tuple[str, ...]
    margin_mode: MarginMode
    clock: ClockReading
    expires_at: datetime | None = None
    extra: Mapping[str, str] = field(default_factory=lambda: NO_EXTRA)
