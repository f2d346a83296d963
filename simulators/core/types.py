"""The vocabulary of the matching core: closed sets as enums, facts as frozen dataclasses, time as integer ms."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from simulators.core.money import ZERO


class MarketKind(Enum):
    SPOT = "spot"
    LINEAR = "linear"


class OrderSide(Enum):
    BUY = "buy"
    SELL = "sell"

    @property
    def sign(self) -> int:
        return 1 if self is OrderSide.BUY else -1

    @property
    def opposite(self) -> "OrderSide":
        return OrderSide.SELL if self is OrderSide.BUY else OrderSide.BUY


class OrderType(Enum):
    MARKET = "market"
    LIMIT = "limit"


class TimeInForce(Enum):
    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"
    POST_ONLY = "post_only"


class PositionSide(Enum):
    """Which position an order belongs to: the only one (one-way), or the long or short one (hedge)."""

    BOTH = "both"
    LONG = "long"
    SHORT = "short"


class PositionMode(Enum):
    ONE_WAY = "one_way"
    HEDGE = "hedge"


class TriggerDirection(Enum):
    RISE = "rise"
    FALL = "fall"


class IdScope(Enum):
    """Among which orders a client order id must be unique."""

    FOREVER = "forever"
    OPEN_ONLY = "open_only"
    NONE = "none"


class OrderStatus(Enum):
    PENDING = "pending"
    UNTRIGGERED = "untriggered"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DEACTIVATED = "deactivated"

    @property
    def is_open(self) -> bool:
        return self in _OPEN


_OPEN = frozenset({OrderStatus.PENDING, OrderStatus.UNTRIGGERED, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})


class Reason(Enum):
    """Why the venue refused a request, or why an order ended."""

    NONE = "none"
    UNKNOWN_SYMBOL = "unknown_symbol"
    SYMBOL_NOT_TRADING = "symbol_not_trading"
    QTY_INVALID = "qty_invalid"
    QTY_STEP = "qty_step"
    QTY_BELOW_MIN = "qty_below_min"
    QTY_ABOVE_MAX = "qty_above_max"
    NOTIONAL_BELOW_MIN = "notional_below_min"
    NOTIONAL_ABOVE_MAX = "notional_above_max"
    PRICE_INVALID = "price_invalid"
    PRICE_TICK = "price_tick"
    PRICE_BELOW_MIN = "price_below_min"
    PRICE_ABOVE_MAX = "price_above_max"
    TRIGGER_NOT_RISING = "trigger_not_rising"
    TRIGGER_NOT_FALLING = "trigger_not_falling"
    TRIGGER_DIRECTION_MISSING = "trigger_direction_missing"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    REDUCE_ONLY_ZERO = "reduce_only_zero"
    REDUCE_ONLY_SAME_SIDE = "reduce_only_same_side"
    DUPLICATE_CLIENT_ID = "duplicate_client_id"
    POSITION_SIDE_MISMATCH = "position_side_mismatch"
    TOO_MANY_OPEN_ORDERS = "too_many_open_orders"
    TOO_MANY_CONDITIONAL_ORDERS = "too_many_conditional_orders"
    ORDER_NOT_FOUND = "order_not_found"
    ORDER_NOT_MODIFIED = "order_not_modified"
    AMEND_BELOW_FILLED = "amend_below_filled"
    LEVERAGE_INVALID = "leverage_invalid"
    LEVERAGE_NOT_MODIFIED = "leverage_not_modified"
    LEVERAGE_MARGIN = "leverage_margin"
    MODE_NOT_MODIFIED = "mode_not_modified"
    MODE_HAS_POSITION = "mode_has_position"
    MODE_HAS_ORDERS = "mode_has_orders"
    MODE_UNSUPPORTED = "mode_unsupported"
    POST_ONLY_WOULD_TAKE = "post_only_would_take"
    NO_LIQUIDITY = "no_liquidity"
    NOT_FULLY_FILLABLE = "not_fully_fillable"
    CANCELLED_BY_USER = "cancelled_by_user"
    CANCELLED_BY_ADMIN = "cancelled_by_admin"
    CANCELLED_BY_LIQUIDATION = "cancelled_by_liquidation"
    CANCELLED_BY_GROUP = "cancelled_by_group"
    CANCELLED_BY_DISCONNECTION = "cancelled_by_disconnection"
    EXPIRED = "expired"
    MARKET_CLOSED = "market_closed"


class Origin(Enum):
    """Who made an order: the API, the account's human in the venue's own screens, or the venue itself."""

    API = "api"
    HUMAN = "human"
    VENUE = "venue"


class ExecutionKind(Enum):
    TRADE = "trade"
    FUNDING = "funding"
    LIQUIDATION = "liquidation"


class EntryKind(Enum):
    TRADE = "trade"
    FUNDING = "funding"
    DEPOSIT = "deposit"
    WITHDRAWAL = "withdrawal"
    TRANSFER_IN = "transfer_in"
    TRANSFER_OUT = "transfer_out"
    LIQUIDATION = "liquidation"
    FEE = "fee"


class Refusal(Exception):
    """The venue refuses a request for a stated reason; the front translates it to its own code and text."""

    def __init__(self, reason: Reason, **detail: object) -> None:
        super().__init__(f"{reason.value} {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Instrument:
    """What may be traded and within which bounds. Rates are fractions, intervals seconds.

    One unit is worth `multiplier` x price. `fee_flat` is paid once an order, at its first fill, `fee_unit` on each.
    `wallet` names the wallet that it settles in where a venue keeps it apart from the coin's own, e.g. `USDT@futures`.
    """

    symbol: str
    kind: MarketKind
    base: str
    quote: str
    settle: str
    tick: Decimal
    step: Decimal
    qty_min: Decimal
    qty_max: Decimal
    qty_max_market: Decimal
    notional_min: Decimal
    notional_max: Decimal
    price_min: Decimal
    price_max: Decimal
    maker_rate: Decimal
    taker_rate: Decimal
    quote_step: Decimal = Decimal("0.0000001")
    leverage_min: Decimal = Decimal(1)
    leverage_max: Decimal = Decimal(100)
    leverage_step: Decimal = Decimal("0.01")
    maintenance_rate: Decimal = Decimal("0.005")
    funding_interval_s: int = 28_800
    trading: bool = True
    multiplier: Decimal = Decimal(1)
    fee_flat: Decimal = ZERO
    fee_unit: Decimal = ZERO
    wallet: str = ""

    @property
    def key(self) -> "InstrumentKey":
        return (self.kind, self.symbol)

    @property
    def settle_wallet(self) -> str:
        """Return the name of the wallet that profit, loss and fees are booked to."""
        return self.wallet or self.settle


InstrumentKey = tuple[MarketKind, str]


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """What a client asks for. `quote_qty` replaces `qty` for spot market orders by value."""

    kind: MarketKind
    symbol: str
    side: OrderSide
    order_type: OrderType
    qty: Decimal = ZERO
    quote_qty: Decimal | None = None
    price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    client_id: str = ""
    reduce_only: bool = False
    close_on_trigger: bool = False
    position_side: PositionSide = PositionSide.BOTH
    trigger_price: Decimal | None = None
    trigger_direction: TriggerDirection | None = None
    cap_ticks: int | None = None
    cap_ratio: Decimal | None = None
    origin: Origin = Origin.API


@dataclass(frozen=True, slots=True)
class Order:
    """One order as the venue knows it; replaced, never changed. `price` of a market order is its cap."""

    order_id: str
    account: str
    request: OrderRequest
    qty: Decimal
    price: Decimal
    status: OrderStatus
    created_ms: int
    updated_ms: int
    sequence: int
    filled_qty: Decimal = ZERO
    filled_value: Decimal = ZERO
    fees: tuple[tuple[str, Decimal], ...] = ()
    reason: Reason = Reason.NONE
    last_on_created: Decimal = ZERO
    triggered: bool = False
    triggered_ms: int = 0  # when its trigger was hit, or 0
    fill_ratio: Decimal | None = None

    @property
    def remaining_qty(self) -> Decimal:
        return max(self.qty - self.filled_qty, ZERO)

    @property
    def client_id(self) -> str:
        return self.request.client_id

    @property
    def is_open(self) -> bool:
        return self.status.is_open

    @property
    def average_price(self) -> Decimal | None:
        return self.filled_value / self.filled_qty if self.filled_qty else None


@dataclass(frozen=True, slots=True)
class Execution:
    """A fill, or a funding settlement when `kind` says so. A positive fee is paid, a negative one received."""

    execution_id: str
    account: str
    kind: ExecutionKind
    market: MarketKind
    symbol: str
    side: OrderSide
    price: Decimal
    qty: Decimal
    value: Decimal
    fee: Decimal
    fee_coin: str
    fee_rate: Decimal
    is_maker: bool
    order_id: str
    client_id: str
    order_type: OrderType | None
    order_price: Decimal
    order_qty: Decimal
    remaining_qty: Decimal
    closed_qty: Decimal
    mark_price: Decimal
    time_ms: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Position:
    """One derivative position; `qty` is never negative, `side` says the direction and is None when flat."""

    symbol: str
    position_side: PositionSide
    side: OrderSide | None = None
    qty: Decimal = ZERO
    cost: Decimal = ZERO
    realised: Decimal = ZERO
    realised_open: Decimal = ZERO
    entry_fees: Decimal = ZERO
    opened_ms: int = 0
    updated_ms: int = 0
    sequence: int = 0
    multiplier: Decimal = Decimal(1)

    @property
    def signed_qty(self) -> Decimal:
        return self.qty if self.side is not OrderSide.SELL else -self.qty

    @property
    def average_price(self) -> Decimal | None:
        return self.cost / (self.qty * self.multiplier) if self.qty else None

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the profit of closing at `mark`, before fees."""
        return ZERO if self.side is None else self.side.sign * (self.qty * mark * self.multiplier - self.cost)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the transaction log: change = cash_flow + funding - fee, balance is the wallet after it."""

    entry_id: str
    account: str
    kind: EntryKind
    coin: str
    cash_flow: Decimal
    funding: Decimal
    fee: Decimal
    change: Decimal
    balance: Decimal
    time_ms: int
    sequence: int
    market: MarketKind | None = None
    symbol: str = ""
    side: OrderSide | None = None
    qty: Decimal = ZERO
    position_qty: Decimal = ZERO
    price: Decimal = ZERO
    fee_rate: Decimal = ZERO
    execution_id: str = ""
    order_id: str = ""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class ClosedTrade:
    """The part of an order that reduced a position, for closed profit and loss reports."""

    symbol: str
    order_id: str
    side: OrderSide
    order_type: OrderType
    order_qty: Decimal
    order_price: Decimal
    leverage: Decimal
    qty: Decimal
    entry_value: Decimal
    exit_value: Decimal
    open_fee: Decimal
    close_fee: Decimal
    profit: Decimal
    fill_count: int
    created_ms: int
    updated_ms: int
    sequence: int


@dataclass(frozen=True, slots=True)
class Quote:
    """Top of the book. `size` is None where liquidity has no bound."""

    bid: Decimal
    ask: Decimal
    last: Decimal
    size: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """Credentials as the venue stores them."""

    key: str
    secret: str = field(repr=False)
    read_only: bool = False
    permissions: frozenset[str] = frozenset({"spot", "derivatives", "wallet"})
    ips: tuple[str, ...] = ()
    expires_ms: int | None = None
    note: str = ""
    passphrase: str = field(default="", repr=False)
