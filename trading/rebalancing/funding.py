"""What increases may cost: the account's money, its gross limit and the plan's cost limit. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from brokers.rounding import quantise_quantity
from brokers.types import ZERO, OrderSide
from trading.rebalancing.lines import ONE, Draft, Line, filter_reason
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.view import AccountView, is_paid_in_full


def money_of(draft: Draft, quantity: Decimal, portfolio: Portfolio, view: AccountView) -> Decimal:
    """What an order needs (positive) or frees (negative), costs included.

    A reduction frees, unless it buys back what was sold short and had to be paid in full.
    """
    instrument = draft.line.instrument
    assert instrument is not None, "a draft is made for known lines only"
    notional = quantity * instrument.contract_size * draft.price
    costs = notional * (view.fee_rates[instrument.product] + portfolio.cost_rate)
    if is_paid_in_full(instrument.product):
        return costs - notional if draft.side is OrderSide.SELL else notional + costs
    leverage = max(view.leverages.get(instrument.instrument_id, ONE), ONE)
    slip = abs(draft.price - draft.line.mid) * quantity * instrument.contract_size
    margin = notional / leverage
    return costs + slip - margin if draft.is_reduction else margin + costs + slip


def cost_of(draft: Draft, quantity: Decimal, portfolio: Portfolio, view: AccountView) -> Decimal:
    """Fee, assumed cost and the way from the mid to the expected price."""
    instrument = draft.line.instrument
    assert instrument is not None, "a draft is made for known lines only"
    size = quantity * instrument.contract_size
    rate = view.fee_rates[instrument.product] + portfolio.cost_rate
    return size * draft.price * rate + abs(draft.price - draft.line.mid) * size


def fund(lines: Sequence[Line], portfolio: Portfolio, view: AccountView) -> None:
    """Make increases smaller, all by one factor, where money or gross is short; drop those that become too small."""
    factor, scaled, none_left = ONE, LineReason.SCALED_TO_MONEY, LineReason.MONEY_SHORT
    needed, usable = _budget(lines, portfolio, view)
    if needed and needed > usable:
        factor = max(usable, ZERO) / needed
    gross = _gross_factor(lines, portfolio, view)
    if gross < factor:
        factor, scaled, none_left = gross, LineReason.SCALED_TO_GROSS, LineReason.GROSS_LIMIT_REACHED
    if factor == ONE:
        return
    for line in lines:
        for draft in [draft for draft in line.drafts if not draft.is_reduction]:
            smaller = quantise_quantity(draft.quantity * factor, lot=draft.step)
            if filter_reason(draft, smaller, portfolio) is not None:
                line.drop([draft], none_left)
                continue
            draft.quantity = smaller
            if scaled not in line.reasons:
                line.reasons.append(scaled)


def _budget(lines: Iterable[Line], portfolio: Portfolio, view: AccountView) -> tuple[Decimal, Decimal]:
    """What the increases need, and what may be spent."""
    needed = ZERO
    usable = view.free_money - portfolio.cash_buffer * view.equity
    for line in lines:
        for draft in line.drafts:
            money = money_of(draft, draft.quantity, portfolio, view)
            if draft.is_reduction:
                usable -= money
            else:
                needed += money
    return needed, usable


def _gross_factor(lines: Iterable[Line], portfolio: Portfolio, view: AccountView) -> Decimal:
    """How much of the increases fits below the gross limit, once the reductions are done; at most 1."""
    if portfolio.gross_limit is None:
        return ONE
    kept, added = ZERO, ZERO
    for line in lines:
        kept += (line.long + line.short) * line.unit
        for draft in line.drafts:
            value = draft.quantity * line.unit
            if draft.is_reduction:
                kept -= value
            else:
                added += value
    room = max(portfolio.gross_limit * view.equity - kept, ZERO)
    return ONE if added <= room else room / added


def bound_costs(lines: Sequence[Line], portfolio: Portfolio, view: AccountView) -> None:
    """Trade nothing when the whole would cost more than cost_max: part of a plan is another portfolio."""
    if portfolio.cost_max is None:
        return
    costs = (cost_of(draft, draft.quantity, portfolio, view) for line in lines for draft in line.drafts)
    if sum(costs, ZERO) > portfolio.cost_max * view.equity:
        for line in lines:
            line.drop(line.drafts, LineReason.COST_ABOVE_MAX)
