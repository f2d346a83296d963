"""What a run came to, account by account. Pure: the accounts' ends in, one state with reasons out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import Any, cast

from pydantic import TypeAdapter

from brokers.rounding import MONEY
from brokers.strictjson import encode
from brokers.types import ZERO
from ledger.states import PlanState, RunState
from trading.rebalancing.portfolio import Exact
from trading.rebalancing.run_plan import AccountProblem, RunPlan
from trading.rebalancing.verdict import PlanResult
from trading.runs.reasons import RunReason
from trading.runs.shortfall import RunLeg, Shortfall, stored, total_shortfall


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountResult:
    """One account's end. `proof` is there where the venue was read again; `reason` where the account has none."""

    account_name: str
    account_id: str
    plan_id: str
    state: PlanState
    reason: str
    detail: str
    base_rate: Exact
    legs: tuple[RunLeg, ...]
    other_fees: dict[str, Exact]
    proof: PlanResult | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """The end of a run, amounts in base currency, drift of the joint equity (half the sum of distances from target).

    `drift_after` is None where an account has no proof.
    """

    state: RunState
    reason: str
    accounts: tuple[AccountResult, ...]
    problems: tuple[AccountProblem, ...]
    shortfall: Shortfall
    drift_before: Exact
    drift_after: Exact | None
    equity_after: Exact | None

    @property
    def legs(self) -> tuple[RunLeg, ...]:
        return tuple(leg for item in self.accounts for leg in item.legs)

    @property
    def reasons(self) -> Counter[str]:
        """Why lines are off and legs were skipped, refused or left over, and how often; accounts count once each."""
        found: Counter[str] = Counter()
        for item in self.accounts:
            found.update(leg.reason for leg in item.legs if leg.reason)
            told = {leg.instrument_id for leg in item.legs if leg.reason}
            lines = item.proof.lines if item.proof is not None else ()
            off = [line for line in lines if not line.verdict.is_target and line.instrument_id not in told]
            found.update(reason for line in off for reason in line.reasons)
        found.update(item.reason for item in self.accounts if item.reason)
        found.update(problem.reason for problem in self.problems)
        return found

    def to_json(self) -> str:
        return encode(_adapter().dump_python(self, mode="json"))

    @staticmethod
    def from_json(text: str) -> RunResult:
        return cast(RunResult, _adapter().validate_json(text))


@lru_cache(maxsize=1)
def _adapter() -> TypeAdapter[Any]:
    return TypeAdapter(RunResult)


def result_of(run_plan: RunPlan, accounts: Sequence[AccountResult], *, is_cancelled: bool) -> RunResult:
    """Join the accounts' ends."""
    others: dict[str, Decimal] = {}
    for item in accounts:
        for currency, amount in item.other_fees.items():
            others[currency] = MONEY.add(others.get(currency, ZERO), amount)
    drift, equity = _after(accounts)
    state, reason = _state(run_plan, accounts, is_cancelled=is_cancelled)
    return RunResult(
        state=state,
        reason=reason,
        accounts=tuple(accounts),
        problems=run_plan.problems,
        shortfall=total_shortfall(
            (leg for item in accounts for leg in item.legs),
            {item.account_name: item.base_rate for item in accounts},
            others,
        ),
        drift_before=run_plan.expected.drift_before,
        drift_after=drift,
        equity_after=equity,
    )


def _state(run_plan: RunPlan, accounts: Sequence[AccountResult], *, is_cancelled: bool) -> tuple[RunState, str]:
    """The worst of the accounts counts; an account that could not be planned or begun makes the run adjusted."""
    states = {item.state for item in accounts}
    if is_cancelled and (not accounts or PlanState.CANCELLED_MID_RUN in states):
        return RunState.CANCELLED_MID_RUN, RunReason.RUN_CANCELLED.value
    if not run_plan.accounts:
        return RunState.FAILED, RunReason.RUN_NOTHING_PLANNED.value
    begun = [item for item in accounts if item.state is not PlanState.CANCELLED_MID_RUN]
    if PlanState.FAILED in states or not begun:
        return RunState.FAILED, next((item.reason for item in accounts if item.reason), "")
    is_whole = states == {PlanState.COMPLETED} and not run_plan.problems
    return (RunState.COMPLETED if is_whole else RunState.COMPLETED_ADJUSTED), ""


def _after(accounts: Iterable[AccountResult]) -> tuple[Decimal | None, Decimal | None]:
    """Drift and equity of all accounts together, by their proofs."""
    found = list(accounts)
    proofs = [(item.proof, item.base_rate) for item in found if item.proof is not None]
    if not found or len(proofs) < len(found):
        return None, None
    with localcontext(MONEY):
        joint = sum((proof.equity_after * rate for proof, rate in proofs), ZERO)
        if joint <= 0:
            return None, stored(joint)
        off = sum(
            (
                abs(line.weight_after - line.target_weight) * proof.equity_after * rate
                for proof, rate in proofs
                for line in proof.lines
            ),
            ZERO,
        )
        return stored(off / joint / 2), stored(joint)
