"""Plan a subscription: read its accounts side by side, share the portfolio out, plan each. Nothing is stored or sent.

An account that cannot be read or planned is a problem that the run states; the others go on where the split lets them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from functools import partial

from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.rounding import MONEY
from trading.account_reading import read_account_view, read_quotes
from trading.beside import Beside, one_by_one
from trading.rebalancing.allocation import Allocated, allocate, read_as
from trading.rebalancing.planner import plan
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.run_plan import (
    AccountPlan,
    AccountProblem,
    Moved,
    MovedKind,
    RunPlan,
    UsedConversion,
    assembled,
    moved_since,
)
from trading.rebalancing.subscription import Conversion, Subscription, joined_currencies
from trading.rebalancing.view import AccountView, PlanImpossible
from trading.runtime import Runtime
from trading.steps import Step, call_directly

__all__ = ["Moved", "MovedKind", "RunPlan", "make_run_plan", "moved_since"]

FIXED = "fixed"
_RATE_PLACES = Decimal("1e-18")


@dataclass(frozen=True, slots=True)
class _Read:
    """One account's snapshot, or why there is none."""

    view: AccountView | None
    problem: AccountProblem | None = None


def make_run_plan(
    runtimes: Mapping[str, Runtime],
    subscription: Subscription,
    portfolio: Portfolio,
    *,
    business_key: str = "",
    step: Step = call_directly,
    beside: Beside = one_by_one,
    problems: Iterable[AccountProblem] = (),
) -> RunPlan:
    """Read every account (`beside` says how they run beside each other) and decide.

    Each account is opened or has its problem in `problems`. `business_key` only names the steps: the same key asked
    twice is two readings. Raises ValueError where subscription and portfolio do not belong together, PlanImpossible
    where a currency cannot be converted or the targets are stale.
    """
    known = {problem.account_name: problem for problem in problems}
    _require_whole(subscription, portfolio, runtimes, known)
    order = [name for name in subscription.account_names if name in runtimes and name not in known]
    named = _naming(step, f" for {business_key}" if business_key else "")
    parts = [
        partial(_read, runtimes[name], read_as(subscription, portfolio, name), name=name, step=named) for name in order
    ]
    reads = dict(zip(order, beside(parts), strict=True))
    views = {name: read.view for name, read in reads.items() if read.view is not None}
    known |= {name: read.problem for name, read in reads.items() if read.problem is not None}
    conversions = _conversions(subscription, portfolio, runtimes, list(views), step=named) if views else ()
    rates = {subscription.base_currency: Decimal(1)} | {item.currency: item.rate for item in conversions}
    shares = allocate(subscription, portfolio, views=views, rates=rates, unread=frozenset(known))
    plans: list[AccountPlan] = []
    for name, share in shares.items():
        made = _planned(name, views[name], share, rates)
        if isinstance(made, AccountPlan):
            plans.append(made)
        else:
            known[name] = made
    return assembled(
        subscription,
        portfolio,
        time=_time(views, runtimes),
        accounts=plans,
        problems=known.values(),
        conversions=conversions,
    )


def _require_whole(
    subscription: Subscription,
    portfolio: Portfolio,
    runtimes: Mapping[str, Runtime],
    known: Mapping[str, AccountProblem],
) -> None:
    if subscription.portfolio != portfolio.name:
        raise ValueError(
            f"subscription {subscription.name} follows portfolio {subscription.portfolio!r}, was given "
            f"{portfolio.name!r}; give the one that it names"
        )
    subscription.require_portfolio(quote_currency=portfolio.quote_currency, instruments=frozenset(portfolio.targets))
    missing = sorted(set(subscription.account_names) - set(runtimes) - set(known))
    if missing:
        raise ValueError(f"subscription {subscription.name} needs its accounts opened, missing: {', '.join(missing)}")


def _naming(step: Step, suffix: str) -> Step:
    """The same step with the run's key in each name, where there is one."""
    return lambda name, kind, function: step(name + suffix, kind, function)


def _read(runtime: Runtime, portfolio: Portfolio, *, name: str, step: Step) -> _Read:
    try:
        return _Read(read_account_view(runtime, portfolio, step=step))
    except (BrokerError, PlanImpossible) as error:
        return _Read(None, _problem(name, str(runtime.account_id), error.reason, str(error)))


def _planned(
    name: str, view: AccountView, share: Allocated, rates: Mapping[str, Decimal]
) -> AccountPlan | AccountProblem:
    if share.portfolio is None:
        assert share.reason is not None, "an account without a portfolio says why"
        return _problem(name, str(view.account_id), share.reason.value, share.detail)
    try:
        decided = plan(share.portfolio, view)
    except PlanImpossible as error:
        if error.reason == "TARGETS_STALE":
            raise  # of the portfolio, not of an account
        return _problem(name, str(view.account_id), error.reason, str(error))
    return AccountPlan(account_name=name, plan=decided, base_rate=rates[view.quote_currency])


def _problem(name: str, account_id: str, reason: str, detail: str) -> AccountProblem:
    return AccountProblem(
        account_name=name, account_id=account_id, reason=reason, detail=detail.removeprefix(f"{reason}: ")
    )


def _time(views: Mapping[str, AccountView], runtimes: Mapping[str, Runtime]) -> datetime:
    """The newest snapshot's; without any, the time now."""
    return max((view.time for view in views.values()), default=next(iter(runtimes.values())).clock.now())


# -- currencies ------------------------------------------------------------------------------------------------
def _conversions(
    subscription: Subscription,
    portfolio: Portfolio,
    runtimes: Mapping[str, Runtime],
    readable: list[str],
    *,
    step: Step,
) -> tuple[UsedConversion, ...]:
    """What each needed currency is worth now; PlanImpossible when one cannot be told."""
    needed = {portfolio.quote_currency} | {
        item.quote_currency for item in subscription.accounts if item.quote_currency is not None
    }
    return tuple(
        _conversion(subscription, currency, subscription.conversions[currency], runtimes, readable, step=step)
        for currency in sorted(needed - {subscription.base_currency})
    )


def _conversion(
    subscription: Subscription,
    currency: str,
    stated: Conversion,
    runtimes: Mapping[str, Runtime],
    readable: list[str],
    *,
    step: Step,
) -> UsedConversion:
    if stated.rate is not None:
        return UsedConversion(currency=currency, rate=stated.rate, source=FIXED, time=None)
    assert stated.instrument is not None, "a conversion has a rate or an instrument"
    where = [stated.account] if stated.account else readable
    for name in where:
        if name in runtimes:
            found = _quoted(runtimes[name], stated, stated.instrument, currency, subscription.base_currency, step)
            if found is not None:
                return found
    raise PlanImpossible(
        "CONVERSION_MISSING",
        f"{stated.instrument} has no usable quote at {', '.join(where) or 'any account'}, so {currency} cannot be "
        f"counted in {subscription.base_currency}; run again when it is quoted, or state a fixed rate",
    )


def _quoted(
    runtime: Runtime, stated: Conversion, instrument: InstrumentId, currency: str, base: str, step: Step
) -> UsedConversion | None:
    try:
        quotes = read_quotes(runtime, [instrument], step=step)
    except BrokerError:
        return None  # this account cannot say: the next one may, else CONVERSION_MISSING
    if not quotes:
        return None
    age_s = (runtime.clock.now() - quotes[0].time).total_seconds()
    if age_s > stated.quote_age_s_max:
        raise PlanImpossible(
            "CONVERSION_STALE",
            f"the quote of {instrument} for {currency} is {age_s:.0f} s old, above quote_age_s_max "
            f"{stated.quote_age_s_max}; run again later, raise it, or state a fixed rate",
        )
    mid = quotes[0].mid
    rate = mid if joined_currencies(instrument, currency=currency, base=base) else MONEY.divide(Decimal(1), mid)
    return UsedConversion(
        currency=currency,
        rate=rate.quantize(_RATE_PLACES, rounding=ROUND_HALF_EVEN, context=MONEY),
        source=str(instrument),
        time=quotes[0].time,
    )
