"""How a leg becomes orders over time, by the portfolio's order style. Pure: what was sent and the time in, rounds out.

Everything follows from the leg's own orders and their times, so that a process that takes over after a crash goes on in
the same place. Invariants (property-tested):
1. The rounds of a leg are bounded: `rounds_bound`.
2. A slice is never below the venue's minima, and the slices of a leg add up to it.
3. A resting order is let rest no longer than (reprice_steps + 1) * reprice_wait_s after the leg's first order, and one
   for a part of a lot that was meant to be filled at once no longer than PART_WAIT_S.
4. What crosses does so at the protected price, in every style but `market`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal, localcontext
from enum import StrEnum

from brokers.ids import InstrumentId
from brokers.rounding import MONEY, quantise_price, quantise_quantity
from brokers.types import ZERO, OrderSide, Quote, TimeInForce
from trading.rebalancing.model import Plan, PlanLeg
from trading.rebalancing.portfolio import OrderStyle, Portfolio
from trading.rebalancing.view import usable

ONE = Decimal(1)
PART_WAIT_S = 5  # parts of a lot cannot be had at once or not at all: what is left of such an order then is taken back
RESTING = frozenset({TimeInForce.GTC, TimeInForce.DAY})  # what stays in the book until it is taken back


class RoundKind(StrEnum):
    """What kind of order a round is."""

    CROSS = "cross"  # immediate at the protected price
    REST = "rest"  # in the book at the touch
    MARKET = "market"  # held back when the price has left the collar


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """What was sent for a leg so far, as far as its style needs it. Times are when orders were first wanted."""

    filled: Decimal = ZERO
    rounds: int = 0
    rests: int = 0  # of the rounds, those that rested
    first_at: datetime | None = None
    last_at: datetime | None = None


NOTHING_SENT = Past()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resting:
    """An order of a leg that rests at the venue; without a price it is at market."""

    leg_number: int
    price: Decimal | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The next order of a leg, not before `not_before`."""

    kind: RoundKind
    quantity: Decimal
    not_before: datetime | None = None


def next_round(plan: Plan, leg: PlanLeg, past: Past, now: datetime) -> Round:
    """What to send next for a leg with something left."""
    portfolio = plan.portfolio
    left = leg.quantity - past.filled
    if portfolio.order_style is OrderStyle.MARKET:
        return Round(kind=RoundKind.MARKET, quantity=left)
    if portfolio.order_style is OrderStyle.LIMIT_THEN_MARKET:
        may_rest = past.rests <= portfolio.reprice_steps and now < rests_until(portfolio, past.first_at or now)
        return Round(kind=RoundKind.REST if may_rest else RoundKind.CROSS, quantity=left)
    if portfolio.order_style is OrderStyle.SLICED:
        return _slice(plan, leg, past)
    return Round(kind=RoundKind.CROSS, quantity=left)


def _slice(plan: Plan, leg: PlanLeg, past: Past) -> Round:
    """The slice that is due, with what earlier ones left; after the last slice the rest at once."""
    number = slices_of(plan, leg)
    left = leg.quantity - past.filled
    is_last = past.rounds >= number or past.last_at is None
    pause = timedelta(seconds=plan.portfolio.slice_interval_s)
    return Round(
        kind=RoundKind.CROSS,
        quantity=min(left, _up_to(plan, leg, past.rounds + 1, number) - past.filled),
        not_before=None if is_last or past.last_at is None else past.last_at + pause,
    )


def _up_to(plan: Plan, leg: PlanLeg, slice_number: int, slices: int) -> Decimal:
    """How much is wanted once so many slices were filled."""
    if slice_number >= slices:
        return leg.quantity
    with localcontext(MONEY):
        return quantise_quantity(leg.quantity * slice_number / slices, lot=_slice_lot(plan, leg))


def _slice_lot(plan: Plan, leg: PlanLeg) -> Decimal:
    """Whole lots where there are enough of them, so that the last slice alone has the part."""
    is_enough = leg.parts_of is not None and leg.quantity >= leg.parts_of * plan.portfolio.slices
    return leg.parts_of if leg.parts_of is not None and is_enough else leg.lot_size


def slices_of(plan: Plan, leg: PlanLeg) -> int:
    """As many slices as the portfolio asks for, fewer where one would be below the venue's minima.

    The notional is judged at the lowest price at which the leg is still sent.
    """
    with localcontext(MONEY):
        lowest = leg.price * (ONE - plan.portfolio.price_move_max)
        unit = leg.contract_size * lowest
        by_notional = leg.notional_min / unit if unit > 0 else leg.quantity
        lot = _slice_lot(plan, leg)
        smallest = max(leg.quantity_min, by_notional, lot)
        lots = (smallest / lot).to_integral_value(rounding=ROUND_CEILING)
        possible = int(leg.quantity / (lots * lot))
    return max(1, min(plan.portfolio.slices, possible))


def rounds_bound(plan: Plan, leg: PlanLeg) -> int:
    """The most orders that a leg may have, one after the other."""
    portfolio = plan.portfolio
    if portfolio.order_style is OrderStyle.LIMIT_THEN_MARKET:
        return portfolio.reprice_steps + 1 + portfolio.rounds_max
    if portfolio.order_style is OrderStyle.SLICED:
        return slices_of(plan, leg) + portfolio.rounds_max - 1
    return portfolio.rounds_max


def expected_duration_s(portfolio: Portfolio) -> int:
    """How long the legs of a portfolio may take by their style alone."""
    if portfolio.order_style is OrderStyle.LIMIT_THEN_MARKET:
        return (portfolio.reprice_steps + 1) * portfolio.reprice_wait_s
    if portfolio.order_style is OrderStyle.SLICED:
        return (portfolio.slices - 1) * portfolio.slice_interval_s
    return 0


def rests_until(portfolio: Portfolio, first_at: datetime) -> datetime:
    """When nothing of a leg rests any more."""
    return first_at + timedelta(seconds=(portfolio.reprice_steps + 1) * portfolio.reprice_wait_s)


def look_at(portfolio: Portfolio, order: Resting, past: Past, *, seen_at: datetime | None = None) -> datetime:
    """When it is asked whether a resting order stays: at the end of the step in which it was sent, or seen last.

    One that was meant to be filled at once (`_is_at_touch` says no) has no steps, but an end.
    """
    first_at = past.first_at or order.at
    if not _is_at_touch(portfolio, order, first_at):
        return order.at + timedelta(seconds=PART_WAIT_S)
    wait = timedelta(seconds=portfolio.reprice_wait_s)
    since = order.at if seen_at is None else max(order.at, seen_at)
    return min(first_at + ((since - first_at) // wait + 1) * wait, rests_until(portfolio, first_at))


def _is_at_touch(portfolio: Portfolio, order: Resting, first_at: datetime) -> bool:
    """Whether an order is one of those that wait for the other side; afterwards, and in other styles, all cross."""
    return portfolio.order_style is OrderStyle.LIMIT_THEN_MARKET and order.at < rests_until(portfolio, first_at)


def to_take_back(
    plan: Plan,
    resting: Iterable[Resting],
    pasts: Mapping[int, Past],
    *,
    quotes: Mapping[InstrumentId, Quote],
    now: datetime,
) -> tuple[int, ...]:
    """Legs whose resting order must be cancelled now: its time is over, the touch or the whole price has moved.

    An order at the touch keeps its place in the queue, and one without a usable quote is left until its time is over.
    """
    found = []
    for order in resting:
        leg, past = plan.leg(order.leg_number), pasts[order.leg_number]
        first_at = past.first_at or order.at
        quote = quotes.get(leg.instrument_id)
        is_at_touch = _is_at_touch(plan.portfolio, order, first_at)
        is_due = now >= look_at(plan.portfolio, order, past)
        is_over = now >= rests_until(plan.portfolio, first_at) if is_at_touch else is_due
        if is_over or (quote is not None and usable(quote) and _should_move(plan, leg, order, quote, is_due=is_due)):
            found.append(leg.number)
    return tuple(found)


def _should_move(plan: Plan, leg: PlanLeg, order: Resting, quote: Quote, *, is_due: bool) -> bool:
    if abs(quote.mid - leg.mid) > plan.portfolio.price_move_max * leg.mid:
        return True
    return is_due and touch(leg, quote) != order.price


def touch(leg: PlanLeg, quote: Quote) -> Decimal:
    """The best price of the leg's own side of the book, on the tick."""
    best = quote.bid if leg.side is OrderSide.BUY else quote.ask
    return quantise_price(best, tick=leg.tick_size, side=leg.side)


def protected_price(leg: PlanLeg, quote: Quote, *, collar: Decimal) -> Decimal:
    """The worst acceptable price: the quote and the collar, rounded to the tick on the safe side."""
    with localcontext(MONEY):
        price = quote.ask * (ONE + collar) if leg.side is OrderSide.BUY else quote.bid * (ONE - collar)
    rounded = quantise_price(price, tick=leg.tick_size, side=leg.side)
    return rounded if rounded > 0 else leg.tick_size
