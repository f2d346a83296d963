"""What a risk check is told and what it answers."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from brokers.reasons import Reason
from brokers.types import ZERO


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
    ACCOUNT_UNREADABLE = (
        "RISK_ACCOUNT_UNREADABLE",
        "Equity or positions could not be read: unknown exposure is too much exposure.",
        "Check the connection and the key's permissions.",
    )

    @property
    def passes(self) -> bool:
        """Whether waiting may heal it."""
        return self in (RiskReason.ORDER_RATE, RiskReason.QUOTE_STALE, RiskReason.OPEN_ORDERS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """One limit that an order breaks: the code, the limit and the figure that broke it."""

    reason: RiskReason
    detail: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the account has, in the instrument's units and in quote currency, everything open and in flight included.

    None means: could not be read. Pending quantities are this instrument's orders that may still fill (or have filled
    since the account was read); `pending_notional` is that of all instruments. In hedge mode `position_quantity` is
    the leg's. `recent_sends` counts the order requests of the policy's rate window.
    """

    equity: Decimal | None
    position_quantity: Decimal | None
    gross_notional: Decimal | None
    pending_buy_quantity: Decimal = ZERO
    pending_sell_quantity: Decimal = ZERO
    pending_notional: Decimal = ZERO
    open_orders: int = 0
    recent_sends: int = 0
