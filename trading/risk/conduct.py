"""Checks of an order against what came before it: the last good price, repetition, resting orders, losses, hours.

The same invariants as in `checks` hold. Orders that are reduce-only are not counted or refused by the checks that stop
a strategy or an account for what it did: they are the way out.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.types import ZERO, OrderRequest, OrderSide, Quote
from trading.risk.policy import RiskPolicy
from trading.risk.values import Conduct, GoodQuote, Refusal, Resting, RiskReason


def check_hours(request: OrderRequest, policy: RiskPolicy, now: datetime) -> Iterator[Refusal]:
    """Only within a session, where the policy gives any."""
    if not policy.is_open(request.instrument_id, now):
        yield Refusal(RiskReason.OUTSIDE_SESSION, f"no session of {request.instrument_id} is open at {now.isoformat()}")


def check_jump(quote: Quote, last: GoodQuote | None, policy: RiskPolicy) -> Iterator[Refusal]:
    """The mid against the last one that an order was decided on, either way, while that one is young."""
    if last is None or abs(quote.time - last.time) > timedelta(seconds=float(policy.quote_jump_window_s)):
        return
    limit = policy.quote_jump_limit(quote.instrument_id)
    moved = abs(quote.mid - last.mid) / last.mid
    if moved > limit:
        yield Refusal(
            RiskReason.QUOTE_JUMPED,
            f"mid must be within {limit} of {last.mid} at {last.time.isoformat()}, was {quote.mid} ({moved:.6f})",
        )


def check_conduct(request: OrderRequest, conduct: Conduct, policy: RiskPolicy) -> Iterator[Refusal]:
    """A strategy that is disabled or repeats itself, and the same order twice."""
    if request.reduce_only:
        return
    if conduct.is_strategy_disabled:
        yield Refusal(RiskReason.STRATEGY_DISABLED, "the strategy's control is not run")
    limit = policy.repeat_limit(request.instrument_id)
    if conduct.repeats >= limit:
        yield Refusal(
            RiskReason.REPEATED_EXECUTION,
            f"{request.side} orders of {request.instrument_id} in {policy.repeat_window_s} s must be at most {limit}, "
            f"was {conduct.repeats + 1}",
        )
    if policy.duplicates_denied:
        yield from duplicates(request, conduct, policy)


def duplicates(request: OrderRequest, conduct: Conduct, policy: RiskPolicy) -> Iterator[Refusal]:
    """The same terms asked for under another key; a refusal, or a note where the policy says so."""
    if conduct.duplicates and not request.reduce_only:
        window = policy.duplicate_window(request.instrument_id)
        names = ", ".join(conduct.duplicates[:3])
        yield Refusal(RiskReason.DUPLICATE_ORDER, f"the same terms were asked for within {window} s as {names}")


def check_losses(
    request: OrderRequest, equity: Decimal, conduct: Conduct, policy: RiskPolicy, *, reduces: bool
) -> Iterator[Refusal]:
    """How far the equity is below the day's opening and below its highest; what reduces goes on."""
    if request.reduce_only or reduces:
        return
    opening, highest = conduct.opening_equity, conduct.highest_equity
    if opening is not None:
        loss = opening - equity
        limits = [policy.daily_loss_max * max(opening, ZERO), policy.daily_loss_amount_max]
        limit = min(item for item in limits if item is not None)
        if loss > limit:
            yield _refuse(RiskReason.DAILY_LOSS, f"loss of the day from {opening:f}", loss, limit)
    if highest is not None:
        fall, limit = highest - equity, policy.drawdown_max * max(highest, ZERO)
        if fall > limit:
            yield _refuse(RiskReason.DRAWDOWN, f"fall from the highest equity {highest:f}", fall, limit)


def check_cross(
    request: OrderRequest, quote: Quote, resting: tuple[Resting, ...], policy: RiskPolicy
) -> Iterator[Refusal]:
    """An order that takes may not reach one of our own on the other side; one that only rests cannot take."""
    if request.post_only:
        return
    reach = _reach(request, quote, policy)
    crossed = [
        item for item in resting if item.side is not request.side and (reach - item.price) * request.side.sign >= 0
    ]
    if crossed:
        names = ", ".join(f"{item.side} at {item.price:f} ({item.name})" for item in crossed[:3])
        yield Refusal(RiskReason.SELF_CROSS, f"{request.side} up to {reach:f} would meet {names}")


def _reach(request: OrderRequest, quote: Quote, policy: RiskPolicy) -> Decimal:
    """The worst price that it may take: its limit, or for a market order some way beyond the touch."""
    if request.limit_price is not None:
        return request.limit_price
    touch = quote.ask if request.side is OrderSide.BUY else quote.bid
    base = touch if request.trigger_price is None else request.trigger_price
    return base * (1 + policy.market_reach * request.side.sign)


def _refuse(reason: RiskReason, what: str, value: Decimal, limit: Decimal) -> Refusal:
    return Refusal(reason, f"{what} must be at most {limit:f}, was {value:f}")
