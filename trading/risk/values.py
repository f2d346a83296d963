"""What a risk check is told and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.reasons import Reason
from brokers.types import ZERO, OrderSide


class RiskReason(Reason):
    """Stable refusal codes, each with its meaning and its remedy. `passes` marks those that time heals."""

    INSTRUMENT_UNKNOWN = (
        "RISK_INSTRUMENT_UNKNOWN",
        "The instrument's filters could not be read, or it is not trading.",
        "Check the symbol and the venue's status.",
    )
    INSTRUMENT_NOT_ALLOWED = (
        "RISK_INSTRUMENT_NOT_ALLOWED",
        "The policy does not list this instrument.",
        "Add it to allowed_instruments if it is meant to be traded.",
    )
    ORDER_TYPE_NOT_ALLOWED = (
        "RISK_ORDER_TYPE_NOT_ALLOWED",
        "The policy allows no market orders: they have no protecting limit.",
        "Send a limit order, or set market_orders_allowed.",
    )
    QUANTITY_BELOW_MINIMUM = (
        "RISK_QUANTITY_BELOW_MINIMUM",
        "The quantity is below the instrument's minimum.",
        "Ask for at least the minimum, or leave the dust.",
    )
    QUANTITY_ABOVE_MAXIMUM = (
        "RISK_QUANTITY_ABOVE_MAXIMUM",
        "The quantity is above the instrument's or the policy's maximum.",
        "Split the order or raise quantity_max.",
    )
    QUANTITY_OFF_LOT = (
        "RISK_QUANTITY_OFF_LOT",
        "The quantity is not a multiple of the lot size.",
        "Round down to the lot size.",
    )
    PRICE_OFF_TICK = (
        "RISK_PRICE_OFF_TICK",
        "A price is not a multiple of the tick size.",
        "Round the price to the tick size, never more aggressive.",
    )
    NOTIONAL_BELOW_MINIMUM = (
        "RISK_NOTIONAL_BELOW_MINIMUM",
        "Quantity times price is below the venue's minimum.",
        "Ask for more, or leave the dust.",
    )
    ORDER_NOTIONAL = (
        "RISK_ORDER_NOTIONAL",
        "The order is worth more than order_notional_max.",
        "Split the order or raise the limit.",
    )
    POSITION_NOTIONAL = (
        "RISK_POSITION_NOTIONAL",
        "With everything open and in flight filled, the position would be worth more than position_notional_max.",
        "Reduce the order or raise the limit.",
    )
    GROSS_EXPOSURE = (
        "RISK_GROSS_EXPOSURE",
        "With everything open and in flight filled, all positions would be worth more than gross_notional_max.",
        "Reduce other positions first or raise the limit.",
    )
    LEVERAGE_AFTER_FILL = (
        "RISK_LEVERAGE_AFTER_FILL",
        "Gross exposure over equity would be above leverage_max.",
        "Reduce the order, add funds or raise the limit.",
    )
    PRICE_COLLAR = (
        "RISK_PRICE_COLLAR",
        "The limit or the expected price is worse than the reference by more than price_collar.",
        "Check the price; a wide spread also causes this.",
    )
    QUOTE_MISSING = ("RISK_QUOTE_MISSING", "No usable quote: without a reference nothing is sent.", "Read a quote.")
    QUOTE_STALE = (
        "RISK_QUOTE_STALE",
        "The quote is older than quote_age_s_max, or from the future.",
        "Read a fresh quote; check the clocks.",
    )
    ORDER_RATE = (
        "RISK_ORDER_RATE",
        "The account has used its orders of this window.",
        "Wait; if it repeats, look for a loop.",
    )
    OPEN_ORDERS = (
        "RISK_OPEN_ORDERS",
        "Too many orders of this instrument are open or in flight.",
        "Cancel some or raise open_orders_max.",
    )
    REDUCE_ONLY_UNTRUE = (
        "RISK_REDUCE_ONLY_UNTRUE",
        "The order says reduce-only but would open, raise or turn a position.",
        "Read the position again and size the order to it.",
    )
    NET_EXPOSURE = (
        "RISK_NET_EXPOSURE",
        "With everything open and in flight filled, longs less shorts would be worth more than net_notional_max.",
        "Trade the other side first or raise the limit.",
    )
    POOL_EXPOSURE = (
        "RISK_POOL_EXPOSURE",
        "All accounts of this ledger together would hold more than pool_gross_notional_max.",
        "Reduce positions of another account first or raise the limit.",
    )
    POOL_UNREADABLE = (
        "RISK_POOL_UNREADABLE",
        "Another account of this ledger has no usable snapshot, so what the pool holds is not known.",
        "Run a sync of the accounts that the detail names.",
    )
    INSTRUMENT_RESTRICTED = (
        "RISK_INSTRUMENT_RESTRICTED",
        "The policy lists this instrument under restricted_instruments.",
        "Leave it alone, or take it off the list if it may be traded again.",
    )
    OUTSIDE_SESSION = (
        "RISK_OUTSIDE_SESSION",
        "None of the instrument's trading sessions is open.",
        "Ask again when it opens, or correct the policy's sessions.",
    )
    QUOTE_JUMPED = (
        "RISK_QUOTE_JUMPED",
        "The mid is further than quote_jump_max from the account's last good mid: perhaps a bad tick.",
        "Compare with another source; after the window the new level counts.",
    )
    REPEATED_EXECUTION = (
        "RISK_REPEATED_EXECUTION",
        "The strategy has used its orders of this instrument and side in the window; it is disabled.",
        "Find out why it repeats itself, then enable it again: a control of its scope set to run.",
    )
    STRATEGY_DISABLED = (
        "RISK_STRATEGY_DISABLED",
        "The strategy is disabled on this account; only its reductions pass.",
        "A person enables it again after reading why it was disabled.",
    )
    DUPLICATE_ORDER = (
        "RISK_DUPLICATE_ORDER",
        "Another order of the same instrument, side and quantity was asked for within duplicate_window_s.",
        "If both are meant, ask again after the window.",
    )
    SELF_CROSS = (
        "RISK_SELF_CROSS",
        "The order could trade against a resting order of this account.",
        "Cancel the resting order first, or price the new one behind it.",
    )
    DAILY_LOSS = (
        "RISK_DAILY_LOSS",
        "The equity is further below the day's opening than the daily loss limit; the account is set to reduce-only.",
        "A person reads what was lost, then lowers the control: the day is measured anew from there.",
    )
    DRAWDOWN = (
        "RISK_DRAWDOWN",
        "The equity is further below its highest than drawdown_max; the account is set to reduce-only.",
        "A person reads what was lost, then lowers the control: the highest is measured anew from there.",
    )
    ACCOUNT_UNREADABLE = (
        "RISK_ACCOUNT_UNREADABLE",
        "Equity or positions could not be read: unknown exposure is too much exposure.",
        "Check the connection and the key's permissions.",
    )

    @property
    def passes(self) -> bool:
        """Whether waiting may heal it."""
        return self in (
            RiskReason.ORDER_RATE,
            RiskReason.QUOTE_STALE,
            RiskReason.QUOTE_JUMPED,
            RiskReason.OPEN_ORDERS,
        )

    @property
    def is_of_account(self) -> bool:
        """Whether a fresher reading of the account may lift it."""
        return self in (
            RiskReason.POSITION_NOTIONAL,
            RiskReason.GROSS_EXPOSURE,
            RiskReason.NET_EXPOSURE,
            RiskReason.POOL_EXPOSURE,
            RiskReason.LEVERAGE_AFTER_FILL,
            RiskReason.REDUCE_ONLY_UNTRUE,
            RiskReason.ACCOUNT_UNREADABLE,
            RiskReason.DAILY_LOSS,
            RiskReason.DRAWDOWN,
        )

    @property
    def is_loss(self) -> bool:
        """Whether it stops the account and not the order alone."""
        return self in (RiskReason.DAILY_LOSS, RiskReason.DRAWDOWN)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One limit that an order breaks: the code, the limit and the figure that broke it."""

    reason: RiskReason
    detail: str


@dataclass(frozen=True, slots=True)
class GoodQuote:
    """A mid price that an order of the account was decided on."""

    mid: Decimal
    time: datetime


@dataclass(frozen=True, slots=True)
class Resting:
    """An order of the account that may stand in the book of the order's instrument, on the other side."""

    side: OrderSide
    price: Decimal
    name: str


@dataclass(frozen=True, slots=True)
class Conduct:
    """What came before the order: its strategy's, its account's and its instrument's recent past.

    `repeats` counts orders of the same strategy, instrument and side in the policy's window; `duplicates` names orders
    with the same terms; equities are None where none is on record yet.
    """

    last_quote: GoodQuote | None = None
    repeats: int = 0
    duplicates: tuple[str, ...] = ()
    resting: tuple[Resting, ...] = ()
    is_strategy_disabled: bool = False
    opening_equity: Decimal | None = None
    highest_equity: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the account has, in the instrument's units and in quote currency, everything open and in flight included.

    None means: could not be read. Pending quantities are this instrument's orders that may still fill (or have filled
    since the account was read); `pending_notional` is that of all instruments, and of it what each side may move the
    net position by. In hedge mode `position_quantity` is the leg's. `recent_sends` counts the order requests of the
    policy's rate window. `pool_notional` is what the other accounts of the ledger hold or may come to hold, without the
    accounts named in `pool_unread`.
    """

    equity: Decimal | None
    position_quantity: Decimal | None
    gross_notional: Decimal | None
    net_notional: Decimal | None
    pending_buy_quantity: Decimal = ZERO
    pending_sell_quantity: Decimal = ZERO
    pending_notional: Decimal = ZERO
    pending_buy_notional: Decimal = ZERO
    pending_sell_notional: Decimal = ZERO
    open_orders: int = 0
    recent_sends: int = 0
    pool_notional: Decimal = ZERO
    pool_unread: tuple[str, ...] = ()
    conduct: Conduct = Conduct()
