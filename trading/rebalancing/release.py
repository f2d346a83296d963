"""Which legs may be sent now. Pure: a plan, what became of its orders, confirmed money and fresh quotes in; sends out.

Invariants (property-tested):
1. A leg with an order that has not ended gets no further order.
2. Sends of a leg never add up to more than its quantity less what is filled.
3. Increases are sent only for money that is free by two figures, the venue's and the plan's own money moved by
   confirmed fills; each at the protected price, the cash buffer left out.
4. An increase with reductions before it is sent only when those are filled in full.
5. While something is neither sent nor ended, a decision with nothing in flight sends or ends at least one leg, or says
   when the next slice is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal, localcontext
from enum import StrEnum

from brokers.ids import InstrumentId
from brokers.rounding import MONEY, quantise_quantity
from brokers.types import ZERO, OrderRequest, OrderSide, OrderType, Quote, TimeInForce
from ledger.states import IntentState
from trading.market_hours import market_state
from trading.rebalancing.model import Plan, PlanLeg
from trading.rebalancing.portfolio import OrderStyle
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.styles import (
    NOTHING_SENT,
    Past,
    Resting,
    RoundKind,
    next_round,
    protected_price,
    rounds_bound,
    touch,
)
from trading.rebalancing.view import usable
from trading.risk import RiskReason

ONE = Decimal(1)
PASSING_DENIALS = frozenset(reason.value for reason in RiskReason if reason.passes)


class LegState(StrEnum):
    """Where a leg stands; the last four are its end."""

    WAITING = "waiting"
    RELEASED = "released"  # an order of it has not ended
    DONE = "done"  # filled in full, or as far as it goes: the reason says why not in full
    SKIPPED = "skipped"  # never sent
    REFUSED = "refused"  # risk or the venue said no
    UNRESOLVED = "unresolved"  # an order's outcome needs a person: nothing more is sent for this leg

    @property
    def is_over(self) -> bool:
        return self not in (LegState.WAITING, LegState.RELEASED)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFact:
    """What the ledger knows of one order of a leg."""

    leg_number: int
    round_number: int
    state: IntentState
    filled_quantity: Decimal
    average_price: Decimal | None
    reason: str = ""
    detail: str = ""
    wanted_at: datetime | None = None
    rests: bool = False  # whether it stays in the book until it is taken back
    limit_price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LegProgress:
    """One leg, folded from its orders. `past` is what its order style goes by; `resting` the order in the book."""

    number: int
    state: LegState = LegState.WAITING
    filled_quantity: Decimal = ZERO
    value: Decimal = ZERO  # sum of filled quantity times price
    rounds: int = 0
    reason: str = ""
    detail: str = ""
    past: Past = NOTHING_SENT
    resting: Resting | None = None

    @property
    def average_price(self) -> Decimal | None:
        return MONEY.divide(self.value, self.filled_quantity) if self.filled_quantity else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """One order to send: `round_number` counts the orders of the leg from 1."""

    leg_number: int
    round_number: int
    quantity: Decimal
    kind: RoundKind = RoundKind.CROSS


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A leg that ends without a further order."""

    leg_number: int
    state: LegState
    reason: LineReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do now. `is_short`: money decided, so a reading that lags behind fills would decide wrongly.

    `due_at` is when the next slice may be sent, where one waits for its time.
    """

    sends: tuple[Send, ...] = ()
    endings: tuple[Ending, ...] = ()
    is_short: bool = False
    due_at: datetime | None = None


def progress_of(
    plan: Plan, facts: Iterable[OrderFact], *, ended: Mapping[int, tuple[LegState, str, str]]
) -> dict[int, LegProgress]:
    """Fold orders into legs. `ended`: legs whose end is already recorded, with reason and detail."""
    orders: dict[int, list[OrderFact]] = {}
    for fact in facts:
        orders.setdefault(fact.leg_number, []).append(fact)
    found = {}
    with localcontext(MONEY):
        for leg in plan.legs:
            own = sorted(orders.get(leg.number, []), key=lambda fact: fact.round_number)
            found[leg.number] = _progress(plan, leg, own, ended.get(leg.number))
    return found


def _progress(
    plan: Plan, leg: PlanLeg, orders: Sequence[OrderFact], ended: tuple[LegState, str, str] | None
) -> LegProgress:
    filled = sum((fact.filled_quantity for fact in orders), ZERO)
    value = sum((fact.filled_quantity * (fact.average_price or leg.price) for fact in orders), ZERO)
    state, reason, detail = ended if ended is not None else _state(plan, leg, orders, filled)
    return LegProgress(
        number=leg.number,
        state=state,
        filled_quantity=filled,
        value=value,
        rounds=len(orders),
        reason=reason,
        detail=detail,
        past=_past(orders, filled),
        resting=_resting(orders),
    )


def _past(orders: Sequence[OrderFact], filled: Decimal) -> Past:
    times = [fact.wanted_at for fact in orders if fact.wanted_at is not None]
    return Past(
        filled=filled,
        rounds=len(orders),
        rests=sum(fact.rests for fact in orders),
        first_at=min(times, default=None),
        last_at=max(times, default=None),
    )


def _resting(orders: Sequence[OrderFact]) -> Resting | None:
    """The order that the venue holds in its book now."""
    for fact in orders:
        if fact.rests and fact.wanted_at is not None and fact.state.is_live_at_venue:
            return Resting(leg_number=fact.leg_number, price=fact.limit_price, at=fact.wanted_at)
    return None


def _state(plan: Plan, leg: PlanLeg, orders: Sequence[OrderFact], filled: Decimal) -> tuple[LegState, str, str]:
    if not orders:
        return LegState.WAITING, "", ""
    last = orders[-1]
    unsettled = [fact for fact in orders if not fact.state.is_terminal]
    if unsettled:
        is_stuck = any(fact.state is IntentState.NEEDS_HUMAN for fact in unsettled)
        return (LegState.UNRESOLVED if is_stuck else LegState.RELEASED), unsettled[-1].reason, unsettled[-1].detail
    if filled >= leg.quantity:
        return LegState.DONE, "", ""
    is_final = last.state is IntentState.REFUSED or (
        last.state is IntentState.DENIED and last.reason not in PASSING_DENIALS
    )
    if is_final:
        return LegState.REFUSED, last.reason, last.detail
    if last.state is IntentState.WITHDRAWN or len(orders) >= rounds_bound(plan, leg):
        reason = last.reason if filled == 0 else LineReason.ROUNDS_USED_UP.value
        return LegState.DONE, reason or LineReason.ROUNDS_USED_UP.value, last.detail
    too_small = _too_small(leg, leg.quantity - filled, leg.price)
    if too_small is not None:
        return LegState.DONE, too_small.value, last.detail
    return LegState.WAITING, last.reason, last.detail


def decide(
    plan: Plan,
    progress: Mapping[int, LegProgress],
    *,
    free_money: Decimal,
    quotes: Mapping[InstrumentId, Quote],
    now: datetime,
) -> Decision:
    """Release what may go now. `free_money` is the venue's figure, read after the fills that `progress` knows.

    `now` is of the clock that the orders' times are of.
    """
    with localcontext(MONEY):
        waiting = [leg for leg in plan.legs if progress[leg.number].state is LegState.WAITING]
        endings = [end for leg in waiting if (end := _ending(plan, leg, progress, quotes, now)) is not None]
        over = {end.leg_number for end in endings}
        ready = [leg for leg in waiting if leg.number not in over and _is_ready(leg, progress)]
        wanted = {leg.number: _send(plan, leg, progress, now) for leg in ready}
        due_at = {number: at for number, (_, at) in wanted.items() if at is not None and at > now}
        ready = [leg for leg in ready if leg.number not in due_at]
        sends = [wanted[leg.number][0] for leg in ready if leg.is_reduction]
        increases = [leg for leg in ready if not leg.is_reduction]
        money = min(free_money - plan.portfolio.cash_buffer * plan.equity, _own_money(plan, progress))
        money -= sum((_need(plan, plan.leg(send.leg_number), send.quantity, quotes) for send in sends), ZERO)
        held = []
        for leg in increases:
            send = wanted[leg.number][0]
            need = _need(plan, leg, send.quantity, quotes)
            if need <= money:
                money -= need
                sends.append(send)
            else:
                held.append(leg)
        in_flight = any(item.state is LegState.RELEASED for item in progress.values())
        is_short = bool(held) and not sends and not in_flight and not due_at
        if is_short:
            last, short = _last_money(
                plan, held, {leg.number: wanted[leg.number][0] for leg in held}, progress, money, quotes
            )
            sends.extend(last)
            endings.extend(short)
        return Decision(
            sends=tuple(sends), endings=tuple(endings), is_short=is_short, due_at=min(due_at.values(), default=None)
        )


def _ending(
    plan: Plan,
    leg: PlanLeg,
    progress: Mapping[int, LegProgress],
    quotes: Mapping[InstrumentId, Quote],
    now: datetime,
) -> Ending | None:
    """Why a waiting leg must end now, or None. Nothing goes to a closed market: it would wait there till morning."""
    before = [progress[number] for number in leg.after_legs]
    quote = quotes.get(leg.instrument_id)
    reason: LineReason | None = None
    if not market_state(plan.portfolio.calendar.sessions, now).is_open:
        reason = LineReason.SESSION_CLOSED
    elif any(item.state.is_over and item.filled_quantity < plan.leg(item.number).quantity for item in before):
        reason = LineReason.REDUCTION_INCOMPLETE
    elif quote is None or not usable(quote):
        reason = LineReason.QUOTE_MISSING
    elif _has_moved(plan, leg, quote):
        reason = LineReason.PRICE_MOVED
    if reason is None:
        return None
    return Ending(leg_number=leg.number, state=end_state(progress[leg.number]), reason=reason)


def _has_moved(plan: Plan, leg: PlanLeg, quote: Quote) -> bool:
    """Whether the price left the plan: any way by price_move_max, or against a market order by the collar."""
    if abs(quote.mid - leg.mid) > plan.portfolio.price_move_max * leg.mid:
        return True
    if plan.portfolio.order_style is not OrderStyle.MARKET:
        return False
    now = quote.ask if leg.side is OrderSide.BUY else quote.bid
    return leg.side.sign * (now - leg.price) > plan.portfolio.collar * leg.price


def end_state(item: LegProgress) -> LegState:
    return LegState.DONE if item.filled_quantity else LegState.SKIPPED


def _is_ready(leg: PlanLeg, progress: Mapping[int, LegProgress]) -> bool:
    return all(progress[number].state is LegState.DONE for number in leg.after_legs)


def _remaining(leg: PlanLeg, progress: Mapping[int, LegProgress]) -> Decimal:
    return leg.quantity - progress[leg.number].filled_quantity


def _send(plan: Plan, leg: PlanLeg, progress: Mapping[int, LegProgress], now: datetime) -> tuple[Send, datetime | None]:
    """The next order of a leg and when it may go."""
    item = progress[leg.number]
    wanted = next_round(plan, leg, item.past, now)
    assert ZERO < wanted.quantity <= _remaining(leg, progress), f"leg {leg.number} would be sent beyond its quantity"
    send = Send(leg_number=leg.number, round_number=item.rounds + 1, quantity=wanted.quantity, kind=wanted.kind)
    return send, wanted.not_before


def _own_money(plan: Plan, progress: Mapping[int, LegProgress]) -> Decimal:
    """The plan's money, moved by confirmed fills, less what orders in flight may still take; the buffer left out."""
    money = plan.free_money - plan.portfolio.cash_buffer * plan.equity
    for leg in plan.legs:
        item = progress[leg.number]
        if not item.rounds:
            continue
        money -= leg.money * item.filled_quantity / leg.quantity
        if item.state in (LegState.RELEASED, LegState.UNRESOLVED):
            money -= _need(plan, leg, leg.quantity - item.filled_quantity, {})
    return money


def _need(plan: Plan, leg: PlanLeg, quantity: Decimal, quotes: Mapping[InstrumentId, Quote]) -> Decimal:
    """What a quantity may take at the protected price of now, never less than at the plan's price; nothing where it
    frees money."""
    if leg.money <= 0:
        return ZERO
    quote = quotes.get(leg.instrument_id)
    risen = max(quote.ask / leg.price, ONE) if quote is not None else ONE
    return leg.money * quantity / leg.quantity * (ONE + plan.portfolio.collar) * risen


def _last_money(
    plan: Plan,
    held: Sequence[PlanLeg],
    wanted: Mapping[int, Send],
    progress: Mapping[int, LegProgress],
    money: Decimal,
    quotes: Mapping[InstrumentId, Quote],
) -> tuple[list[Send], list[Ending]]:
    """No more money will come: send one increase as far as it goes, or end those that cannot be sent at all."""
    short: list[Ending] = []
    for leg in held:
        send = wanted[leg.number]
        share = max(money, ZERO) / _need(plan, leg, send.quantity, quotes)
        quantity = quantise_quantity(send.quantity * min(share, ONE), lot=leg.lot_size)
        if _too_small(leg, quantity, quotes[leg.instrument_id].bid) is None:
            return [replace(send, quantity=quantity)], short
        state = end_state(progress[leg.number])
        short.append(Ending(leg_number=leg.number, state=state, reason=LineReason.MONEY_SHORT))
    return [], short


def _too_small(leg: PlanLeg, quantity: Decimal, price: Decimal) -> LineReason | None:
    if quantity < leg.lot_size:
        return LineReason.BELOW_LOT
    if quantity < leg.quantity_min:
        return LineReason.BELOW_QUANTITY_MIN
    if quantity * leg.contract_size * price < leg.notional_min:
        return LineReason.BELOW_NOTIONAL_MIN
    return None


def order_request(plan: Plan, send: Send, quote: Quote) -> OrderRequest:
    """The terms of one send: resting at the touch, immediate at the protected price, or at market; reductions may only
    reduce. What a part of a lot may not be, immediate or good till cancelled, becomes an order that is taken back."""
    leg = plan.leg(send.leg_number)
    prices = {
        RoundKind.REST: touch(leg, quote),
        RoundKind.CROSS: protected_price(leg, quote, collar=plan.portfolio.collar),
        RoundKind.MARKET: None,
    }
    return OrderRequest(
        instrument_id=leg.instrument_id,
        side=leg.side,
        order_type=OrderType.MARKET if send.kind is RoundKind.MARKET else OrderType.LIMIT,
        quantity=send.quantity,
        time_in_force=leg.time_in_force_of(
            send.quantity, otherwise=TimeInForce.GTC if send.kind is RoundKind.REST else TimeInForce.IOC
        ),
        limit_price=prices[send.kind],
        reduce_only=leg.reduce_only,
        position_side=leg.position_side,
    )
