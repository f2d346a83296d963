"""One decision over several accounts: a plan for each, what joins them, and its text and hash.

Amounts of the run are in the subscription's base currency; each account's plan stays in its own quote currency, and
`base_rate` joins them. Weights of the run are of the joint equity of the accounts that could be planned.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from enum import StrEnum
from functools import lru_cache
from typing import Any, cast

from pydantic import TypeAdapter

from brokers.ids import InstrumentId
from brokers.rounding import MONEY
from brokers.strictjson import encode
from brokers.types import ZERO
from trading.rebalancing.model import Plan, PlanLeg, PlanLine
from trading.rebalancing.portfolio import Exact, InstrumentKey, Portfolio
from trading.rebalancing.subscription import Subscription

RUN_RULES_VERSION = 1  # part of the hash: other rules give other runs from the same plans
_PLACES = Decimal("1e-18")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """One account's plan. `base_rate`: 1 unit of the plan's quote currency in the base currency."""

    account_name: str
    plan: Plan
    base_rate: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountProblem:
    """An account that could not be planned: the run says so and never trades it."""

    account_name: str
    account_id: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedConversion:
    """What a currency was counted at. `source` is `fixed` or the instrument; `time` is its quote's."""

    currency: str
    rate: Exact
    source: str
    time: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunExpected:
    """What the run expects if every leg is filled at its expected price, in base currency; weights of joint equity."""

    equity: Exact
    turnover: Exact
    fees: Exact
    costs: Exact
    free_money: Exact
    gross_weight_before: Exact
    gross_weight_after: Exact
    net_weight_after: Exact
    drift_before: Exact
    drift_after: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One line of one account in the measure of the run: weights of the joint equity, amounts in base currency."""

    account_name: str
    instrument_id: InstrumentKey
    current_weight: Exact
    target_weight: Exact
    after_weight: Exact
    current_value: Exact
    target_value: Exact
    after_value: Exact


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """A decided run, reproducible from its snapshots. Same subscription, portfolio and plans give the same hash."""

    subscription: Subscription
    portfolio: Portfolio
    time: datetime
    accounts: tuple[AccountPlan, ...]
    problems: tuple[AccountProblem, ...]
    conversions: tuple[UsedConversion, ...]
    expected: RunExpected
    run_hash: str

    @property
    def legs(self) -> tuple[tuple[str, PlanLeg], ...]:
        """Every leg with the name of its account, account by account."""
        return tuple((item.account_name, leg) for item in self.accounts for leg in item.plan.legs)

    @property
    def is_empty(self) -> bool:
        return not any(item.plan.legs for item in self.accounts)

    @property
    def lines(self) -> tuple[RunLine, ...]:
        """Every line of every account in one measure."""
        return run_lines(self.accounts)

    def account(self, name: str) -> AccountPlan:
        """The plan of an account; LookupError when it has none."""
        for item in self.accounts:
            if item.account_name == name:
                return item
        raise LookupError(f"the run of {self.subscription.name} has no plan for account {name!r}")

    def to_json(self) -> str:
        """Canonical text for the ledger; `from_json` gives an equal run."""
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> RunPlan:
        """Read a stored run; ValueError when it is not one."""
        return cast(RunPlan, _adapter().validate_json(text))


class MovedKind(StrEnum):
    """What is no longer as it was when the run was planned."""

    PRICE = "price"
    POSITION = "position"
    EQUITY = "equity"  # money came or went: more than prices within their limit can explain
    CONVERSION = "conversion"  # what the account's currency is worth in the base currency
    ACCOUNT = "account"  # it can be planned now and could not before, or the reverse


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """One change beyond its limit. Prices are mids, positions quantities, equity is in the account's quote currency.

    `moved` and `limit` are fractions: of the price or the rate, else of the account's equity.
    """

    account_name: str
    kind: MovedKind
    instrument_id: InstrumentKey | None
    before: Exact
    now: Exact
    moved: Exact
    limit: Exact


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(RunPlan)


def assembled(
    subscription: Subscription,
    portfolio: Portfolio,
    *,
    time: datetime,
    accounts: Iterable[AccountPlan],
    problems: Iterable[AccountProblem],
    conversions: Iterable[UsedConversion],
) -> RunPlan:
    """Join the accounts' plans to one run, in the order of the subscription."""
    order = {name: place for place, name in enumerate(subscription.account_names)}
    plans = tuple(sorted(accounts, key=lambda item: order[item.account_name]))
    made = RunPlan(
        subscription=subscription,
        portfolio=portfolio,
        time=time,
        accounts=plans,
        problems=tuple(sorted(problems, key=lambda item: order[item.account_name])),
        conversions=tuple(sorted(conversions, key=lambda item: item.currency)),
        expected=expected_of(plans),
        run_hash="",
    )
    return replace(made, run_hash=run_hash(made))


def run_hash(run_plan: RunPlan) -> str:
    """sha256 over rules, subscription, portfolio, conversions, problems and the hashes and legs of the plans."""
    material = {
        "rules": RUN_RULES_VERSION,
        "subscription": run_plan.subscription.model_dump(mode="json"),
        "portfolio": run_plan.portfolio.model_dump(mode="json"),
        "time": run_plan.time.isoformat(),
        "accounts": [
            [item.account_name, item.plan.plan_hash, format(item.base_rate, "f"), _legs_text(item.plan.legs)]
            for item in run_plan.accounts
        ],
        "problems": [[item.account_name, item.account_id, item.reason] for item in run_plan.problems],
        "conversions": [
            [item.currency, format(item.rate, "f"), item.source, item.time.isoformat() if item.time else ""]
            for item in run_plan.conversions
        ],
    }
    return hashlib.sha256(encode(material).encode("utf-8")).hexdigest()


def _legs_text(legs: Iterable[PlanLeg]) -> list[list[str]]:
    """The orders themselves are part of what a person approves."""
    return [[str(leg.instrument_id), leg.side.value, format(leg.quantity, "f")] for leg in legs]


def run_lines(accounts: Sequence[AccountPlan]) -> tuple[RunLine, ...]:
    """The lines of all plans, counted in base currency and in joint equity."""
    with localcontext(MONEY):
        joint = _joint_equity(accounts)
        if joint <= 0:
            return ()
        return tuple(
            RunLine(
                account_name=item.account_name,
                instrument_id=line.instrument_id,
                current_weight=_rounded(line.current_weight * item.plan.equity * item.base_rate / joint),
                target_weight=_rounded(line.target_weight * item.plan.equity * item.base_rate / joint),
                after_weight=_rounded(line.after_weight * item.plan.equity * item.base_rate / joint),
                current_value=_stored(line.current_notional * item.base_rate),
                target_value=_stored(line.target_notional * item.base_rate),
                after_value=_stored(line.after_notional * item.base_rate),
            )
            for item in accounts
            for line in item.plan.lines
        )


def expected_of(accounts: Sequence[AccountPlan]) -> RunExpected:
    """The totals of all plans in base currency."""
    lines = run_lines(accounts)
    with localcontext(MONEY):

        def total(amounts: Iterable[tuple[Decimal, Decimal]]) -> Decimal:
            return _stored(sum((amount * rate for amount, rate in amounts), ZERO))

        return RunExpected(
            equity=_stored(_joint_equity(accounts)),
            turnover=total((item.plan.expected.turnover, item.base_rate) for item in accounts),
            fees=total((item.plan.expected.fees, item.base_rate) for item in accounts),
            costs=total((item.plan.expected.costs, item.base_rate) for item in accounts),
            free_money=total((item.plan.expected.free_money, item.base_rate) for item in accounts),
            gross_weight_before=sum((abs(line.current_weight) for line in lines), ZERO),
            gross_weight_after=sum((abs(line.after_weight) for line in lines), ZERO),
            net_weight_after=sum((line.after_weight for line in lines), ZERO),
            drift_before=sum((abs(line.current_weight - line.target_weight) for line in lines), ZERO) / 2,
            drift_after=sum((abs(line.after_weight - line.target_weight) for line in lines), ZERO) / 2,
        )


def moved_since(run_plan: RunPlan, fresh: RunPlan) -> tuple[Moved, ...]:
    """What is beyond the subscription's approval limits in a fresh plan of the run."""
    found: list[Moved] = []
    was = {item.account_name: item for item in run_plan.accounts}
    now = {item.account_name: item for item in fresh.accounts}
    for name in run_plan.subscription.account_names:
        if (name in was) is not (name in now):
            found.append(_account_moved(name, is_there=name in now))
        elif name in was:
            found.extend(_plan_moved(run_plan.subscription, was[name], now[name]))
    return tuple(found)


def _account_moved(name: str, *, is_there: bool) -> Moved:
    one = Decimal(1)
    return Moved(
        account_name=name,
        kind=MovedKind.ACCOUNT,
        instrument_id=None,
        before=ZERO if is_there else one,
        now=one if is_there else ZERO,
        moved=one,
        limit=ZERO,
    )


def _plan_moved(subscription: Subscription, was: AccountPlan, now: AccountPlan) -> Iterable[Moved]:
    old = {line.instrument_id: line for line in was.plan.lines}
    new = {line.instrument_id: line for line in now.plan.lines}
    traded = {leg.instrument_id for leg in was.plan.legs}
    with localcontext(MONEY):
        yield from _account_values_moved(subscription, was, now)
        for key in sorted(old.keys() | new.keys()):
            before, after = old.get(key), new.get(key)
            quantities = before.current_quantity if before else ZERO, after.current_quantity if after else ZERO
            value = abs(quantities[1] - quantities[0]) * _unit(before, after)
            limit = subscription.approval_position_move_max
            if (moved := value / was.plan.equity) > limit:
                yield _moved(was, key, MovedKind.POSITION, quantities, moved, limit)
            if key in traded:
                yield from _price_moved(subscription, was, key, (_price(before), _price(after)))


def _account_values_moved(subscription: Subscription, was: AccountPlan, now: AccountPlan) -> Iterable[Moved]:
    """The account's equity and its currency: the targets are fractions of both."""
    price_max = subscription.approval_price_move_max
    if (moved := abs(now.base_rate - was.base_rate) / was.base_rate) > price_max:
        yield _moved(was, None, MovedKind.CONVERSION, (was.base_rate, now.base_rate), moved, price_max)
    exposed = max(was.plan.expected.gross_weight_before, Decimal(1))  # what prices within their limit can move
    limit = subscription.approval_position_move_max + price_max * exposed
    if (moved := abs(now.plan.equity - was.plan.equity) / was.plan.equity) > limit:
        yield _moved(was, None, MovedKind.EQUITY, (was.plan.equity, now.plan.equity), moved, limit)


def _price_moved(
    subscription: Subscription, was: AccountPlan, key: InstrumentId, prices: tuple[Decimal, Decimal]
) -> Iterable[Moved]:
    """Only of lines that would be traded: the price of a line that is left alone decides nothing."""
    limit = subscription.approval_price_move_max
    moved = abs(prices[1] - prices[0]) / prices[0] if prices[0] > 0 else ZERO
    if moved > limit or prices[1] == 0:
        yield _moved(was, key, MovedKind.PRICE, prices, moved, limit)


def _moved(
    was: AccountPlan,
    key: InstrumentId | None,
    kind: MovedKind,
    values: tuple[Decimal, Decimal],
    moved: Decimal,
    limit: Decimal,
) -> Moved:
    return Moved(
        account_name=was.account_name,
        kind=kind,
        instrument_id=key,
        before=values[0],
        now=values[1],
        moved=_rounded(moved),
        limit=limit,
    )


def _price(line: PlanLine | None) -> Decimal:
    return ZERO if line is None else line.price


def _unit(before: PlanLine | None, after: PlanLine | None) -> Decimal:
    """Value of one unit of quantity, by the newer price that there is."""
    line = after if after is not None and after.price > 0 else before
    return ZERO if line is None else line.price * line.contract_size


def _joint_equity(accounts: Iterable[AccountPlan]) -> Decimal:
    return sum((item.plan.equity * item.base_rate for item in accounts), ZERO)


def _stored(value: Decimal) -> Decimal:
    return value.quantize(_PLACES, rounding=ROUND_HALF_EVEN, context=MONEY)


def _rounded(weight: Decimal) -> Decimal:
    return weight.quantize(Decimal("1e-12"), rounding=ROUND_HALF_EVEN, context=MONEY)
