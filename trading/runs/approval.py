"""Who must say yes to a run, what they may say, and what their yes still covers. Pure.

An approval binds to one hash. While a run waits, prices and positions move; before anything is sent both are read
again. Nothing beyond the subscription's limits may differ from what was approved:

1. a price or position beyond its limit, or an account that came or went, voids the approval (`run_plan.moved_since`);
2. where no position moved at all, and nothing keeps an order of the approved plan back now (`held_back`: a closed
   session, somebody's open order), the approved plan itself is executed: its legs, its hash;
3. otherwise the fresh plan is executed, if every one of its orders is one of the approved, larger by no more than the
   limits are worth (`covers`); else the approval is void.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, localcontext
from enum import StrEnum

from brokers.ids import Environment, InstrumentId
from brokers.rounding import MONEY
from brokers.types import ZERO, OrderSide
from trading.rebalancing.model import Plan
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.run_plan import AccountPlan, Moved, RunPlan
from trading.rebalancing.subscription import ApprovalRule, Subscription

Change = tuple[InstrumentId, OrderSide]
_NOT_NOW = frozenset(
    {
        LineReason.COOLDOWN,
        LineReason.COST_ABOVE_MAX,
        LineReason.HELD_BY_OPEN_ORDERS,
        LineReason.INSTRUMENT_NOT_TRADING,
        LineReason.INSTRUMENT_UNKNOWN,
        LineReason.NOT_DUE,
        LineReason.OPEN_ORDER_AT_VENUE,
        LineReason.QUOTE_CURRENCY_DIFFERS,
        LineReason.QUOTE_MISSING,
        LineReason.QUOTE_STALE,
        LineReason.SESSION_CLOSED,
        LineReason.SLIPPAGE_ABOVE_MAX,
    }
)


class Decision(StrEnum):
    """What a person may say."""

    APPROVE = "approve"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What a person said of the plan with this hash (12 digits of it or more)."""

    decision: Decision
    by: str
    reason: str
    run_hash: str
    at: datetime | None = None  # None: when it is recorded


def needs_approval(run_plan: RunPlan) -> bool:
    """Whether a person must say yes first. A run that sends nothing needs nobody."""
    if run_plan.is_empty:
        return False
    rule = run_plan.subscription.approval
    if rule is ApprovalRule.PRODUCTION:
        environments = {item.plan.account_id.environment for item in run_plan.accounts}
        return Environment.PRODUCTION in environments
    return rule is ApprovalRule.ALWAYS


def same_positions(approved: RunPlan, fresh: RunPlan) -> bool:
    """Whether every account holds exactly what the approved plan was decided from, with the same lines in the way."""
    now = {item.account_name: item.plan for item in fresh.accounts}
    return len(now) == len(approved.accounts) and all(
        item.account_name in now and _held(item.plan) == _held(now[item.account_name]) for item in approved.accounts
    )


def _held(plan: Plan) -> list[tuple[str, Decimal]]:
    lines = [(str(line.instrument_id), line.current_quantity) for line in plan.lines if line.current_quantity]
    return sorted([*lines, *((item.name, item.quantity) for item in plan.unmanaged)])


def held_back(approved: RunPlan, fresh: RunPlan) -> bool:
    """Whether a line that the approved plan trades is left alone by the fresh one for what the account or the market is
    now. What follows from prices within their limit (a band, a minimum) is none of that."""
    now = {(item.account_name, line.instrument_id): line.reasons for item in fresh.accounts for line in item.plan.lines}
    return any(not _NOT_NOW.isdisjoint(now.get((name, leg.instrument_id), ())) for name, leg in approved.legs)


def covers(approved: RunPlan, fresh: RunPlan) -> bool:
    """Whether what the fresh plan sends is what was approved, but for what the limits of the approval are worth."""
    was = {item.account_name: item for item in approved.accounts}
    return all(
        item.account_name in was and _account_covers(approved.subscription, was[item.account_name], item)
        for item in fresh.accounts
    )


def _account_covers(subscription: Subscription, was: AccountPlan, now: AccountPlan) -> bool:
    said, sent = changes_of(was.plan), changes_of(now.plan)
    units = {leg.instrument_id: leg.mid * leg.contract_size for leg in now.plan.legs}
    with localcontext(MONEY):
        by_position = subscription.approval_position_move_max * was.plan.equity
        for change, quantity in sent.items():
            before = said.get(change, ZERO)
            unit = units[change[0]]
            by_price = subscription.approval_price_move_max * before * unit
            if (quantity - before) * unit > by_position + by_price:
                return False
    return True


def changes_of(plan: Plan) -> Mapping[Change, Decimal]:
    """What a plan's legs add up to, by instrument and side."""
    found: dict[Change, Decimal] = {}
    for leg in plan.legs:
        key = (leg.instrument_id, leg.side)
        found[key] = MONEY.add(found.get(key, ZERO), leg.quantity)
    return found


def sentence(moved: Iterable[Moved]) -> str:
    """What moved beyond its limit, for people."""
    parts = []
    for item in moved:
        what = f" {item.instrument_id}" if item.instrument_id is not None else ""
        parts.append(
            f"{item.kind.value} of {item.account_name}{what} from {item.before:f} to {item.now:f} "
            f"({item.moved:.2%}, limit {item.limit:.2%})"
        )
    return "; ".join(parts[:5]) + (f"; and {len(parts) - 5} more" if len(parts) > 5 else "")
