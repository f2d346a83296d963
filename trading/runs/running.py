"""A run from its first reading to its proof, over several accounts. What flows and the command line call.

The ledger remembers: a business key names one run for ever. A second, late or crashed call with the key goes on where
the rows stand, and every move is compare-and-set, so that two of them come to one end and no order is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from ledger.engine import Ledger
from ledger.states import PlanState, RunState
from trading.beside import Beside, one_by_one
from trading.executing import ExecutionLimits
from trading.plan_store import ProgressCallback
from trading.plans import RebalanceMode
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.run_plan import AccountProblem, RunPlan, moved_since
from trading.rebalancing.subscription import Subscription
from trading.run_planning import make_run_plan
from trading.runs.approval import Approval, covers, held_back, needs_approval, same_positions, sentence
from trading.runs.executing import Interruption, Means, account_results, execute_accounts
from trading.runs.reasons import RunError, RunReason
from trading.runs.result import AccountResult, RunResult, result_of
from trading.runs.store import (
    StoredRun,
    ask_approval,
    begin_run,
    decide_run,
    end_waiting,
    find_run,
    finish_run,
    get_run,
    keep_run,
    pass_without_approval,
    plan_again,
)
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

Approve = Callable[[StoredRun], Approval | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """Where a run stands after a call. `run` is None for a plan that was only shown; `result` is there at its end."""

    run_plan: RunPlan
    run: StoredRun | None
    is_resumed: bool
    interruptions: tuple[Interruption, ...] = ()

    @property
    def state(self) -> RunState:
        return RunState.PLANNED if self.run is None else self.run.state

    @property
    def result(self) -> RunResult | None:
        return None if self.run is None else self.run.result


def run_portfolio(
    runtimes: Mapping[str, Runtime],
    subscription: Subscription,
    portfolio: Portfolio,
    *,
    business_key: str,
    mode: RebalanceMode = RebalanceMode.EXECUTE,
    approve: Approve | None = None,
    step: Step = call_directly,
    on_progress: ProgressCallback | None = None,
    limits: ExecutionLimits = ExecutionLimits(),
    beside: Beside = one_by_one,
    problems: Iterable[AccountProblem] = (),
) -> RunOutcome:
    """Plan and, in mode execute, have it approved where that is needed, execute and prove. Idempotent by business key.

    `runtimes` by the names of the subscription; an account that could not be opened stands in `problems` or is missing,
    and is not traded. `approve` waits for a person and tells what was said; without it, or where it tells nothing, the
    run waits in the ledger and this call returns. Raises RunError, BrokerError where no account could be read.
    """
    _require_fitting(subscription, portfolio)
    ledger = ledger_of(runtimes)
    stored = find_run(ledger, subscription.name, business_key)
    means = Means(step=step, beside=beside, limits=limits, on_progress=on_progress)
    work = _Work(runtimes, ledger, means, approve, problems)
    if stored is not None:
        _require_same(stored, subscription, portfolio)
        return work.go_on(stored, is_resumed=True)
    run_plan, planned_at = work.plan(subscription, portfolio, business_key)
    if mode is RebalanceMode.PLAN:
        return RunOutcome(run_plan=run_plan, run=None, is_resumed=False)
    stored = step(
        f"store the run of {subscription.name} with {len(run_plan.legs)} legs",
        StepKind.RECORD,
        lambda: keep_run(
            ledger, run_plan, business_key, planned_at=planned_at, needs_approval=needs_approval(run_plan)
        ),
    )
    _require_same(stored, subscription, portfolio)
    return work.go_on(stored, is_resumed=False)


def resume_run(
    runtimes: Mapping[str, Runtime],
    run_id: str,
    *,
    approve: Approve | None = None,
    step: Step = call_directly,
    on_progress: ProgressCallback | None = None,
    limits: ExecutionLimits = ExecutionLimits(),
    beside: Beside = one_by_one,
    problems: Iterable[AccountProblem] = (),
) -> RunOutcome:
    """Go on with a run by its id; one that has ended is only reported. A run that is to be cancelled is cancelled."""
    ledger = ledger_of(runtimes)
    means = Means(step=step, beside=beside, limits=limits, on_progress=on_progress)
    work = _Work(runtimes, ledger, means, approve, problems)
    return work.go_on(get_run(ledger, run_id), is_resumed=True)


def ledger_of(runtimes: Mapping[str, Runtime]) -> Ledger:
    """The one ledger of all accounts; RunError RUN_LEDGERS_DIFFER, RUN_ACCOUNT_MISSING."""
    ledgers = {runtime.ledger.url: runtime.ledger for runtime in runtimes.values()}
    if not ledgers:
        raise RunError(RunReason.RUN_ACCOUNT_MISSING, "a run needs at least one account that could be opened")
    if len(ledgers) > 1:
        raise RunError(RunReason.RUN_LEDGERS_DIFFER, f"the accounts are of {len(ledgers)} ledgers")
    return next(iter(ledgers.values()))


def _require_fitting(subscription: Subscription, portfolio: Portfolio) -> None:
    """RunError RUN_TERMS_WRONG, before any account is read."""
    if subscription.portfolio != portfolio.name:
        raise RunError(
            RunReason.RUN_TERMS_WRONG,
            f"subscription {subscription.name} follows portfolio {subscription.portfolio!r}, not {portfolio.name!r}",
        )
    try:
        subscription.require_portfolio(
            quote_currency=portfolio.quote_currency, instruments=frozenset(portfolio.targets)
        )
    except ValueError as error:
        raise RunError(RunReason.RUN_TERMS_WRONG, str(error)) from error


def _require_same(stored: StoredRun, subscription: Subscription, portfolio: Portfolio) -> None:
    """The key's run, when it is of these terms. One that was begun, or has ended, goes on as it was decided."""
    decided = stored.run_plan
    is_open = stored.state in (RunState.PLANNED, RunState.AWAITING_APPROVAL, RunState.APPROVED)
    is_same = decided.subscription == subscription and decided.portfolio.model_dump() == portfolio.model_dump()
    if (is_open and not is_same) or decided.portfolio.name != portfolio.name:
        raise RunError(
            RunReason.RUN_KEY_TAKEN,
            f"business key {stored.business_key!r} belongs to run {stored.run_id} of {stored.subscription} as it was",
        )


def _missing(name: str) -> AccountProblem:
    reason = RunReason.RUN_ACCOUNT_MISSING
    return AccountProblem(account_name=name, account_id="", reason=reason.value, detail=reason.meaning)


class _Work:
    """One call over one run; holds no state that the ledger does not hold, but for what it has read last."""

    def __init__(
        self,
        runtimes: Mapping[str, Runtime],
        ledger: Ledger,
        means: Means,
        approve: Approve | None,
        problems: Iterable[AccountProblem],
    ) -> None:
        self._runtimes = runtimes
        self._ledger = ledger
        self._means = means
        self._approve = approve
        self._problems = {problem.account_name: problem for problem in problems}
        self._fresh: tuple[str, int] | None = None  # the run and attempt whose plan was made in this call

    def plan(self, subscription: Subscription, portfolio: Portfolio, business_key: str) -> tuple[RunPlan, datetime]:
        """A decision, and the ledger's time before the accounts were read for it."""
        with self._ledger.read() as session:
            planned_at = self._ledger.now(session)
        problems = {name: _missing(name) for name in subscription.account_names if name not in self._runtimes}
        made = make_run_plan(
            self._runtimes,
            subscription,
            portfolio,
            business_key=business_key,
            step=self._means.step,
            beside=self._means.beside,
            problems=(problems | self._problems).values(),
        )
        return made, planned_at

    def go_on(self, run: StoredRun, *, is_resumed: bool) -> RunOutcome:
        if not is_resumed:
            self._fresh = (run.run_id, run.attempt)
        while not run.state.is_terminal:
            if run.is_cancel_wanted and run.state is not RunState.EXECUTING:
                self._end(run, [], is_cancelled=True)
            elif run.state is RunState.PLANNED:
                move = ask_approval if run.needs_approval else pass_without_approval
                move(self._ledger, run)
            elif run.state is RunState.AWAITING_APPROVAL:
                if not self._wait(run):
                    break
            elif interruptions := self._begin(run) if run.state is RunState.APPROVED else self._execute(run):
                now = get_run(self._ledger, run.run_id)
                return RunOutcome(run_plan=now.run_plan, run=now, is_resumed=is_resumed, interruptions=interruptions)
            run = get_run(self._ledger, run.run_id)
        return RunOutcome(run_plan=run.run_plan, run=run, is_resumed=is_resumed)

    def _wait(self, run: StoredRun) -> bool:
        """Ask a person; False when nobody is there to be asked, or nothing was said."""
        if end_waiting(self._ledger, run):
            return True
        if self._approve is None:
            return False
        said = self._approve(run)
        if said is not None:
            self._decide(run, said)
            return True
        now = get_run(self._ledger, run.run_id)
        is_over = now.state is not RunState.AWAITING_APPROVAL or now.is_cancel_wanted
        return is_over or end_waiting(self._ledger, now)

    def _decide(self, run: StoredRun, said: Approval) -> None:
        """Record what was said; what somebody else decided meanwhile, or the end of the time, counts instead."""
        try:
            decide_run(self._ledger, run.run_id, said)
        except RunError as error:
            if error.reason != RunReason.RUN_NOT_WAITING.value:
                raise

    def _begin(self, run: StoredRun) -> tuple[Interruption, ...]:
        """Read again what the run was decided from, unless that was done just now, and begin what still holds.

        While no account at all can be read, nothing is decided anew and an approval is not lost.
        """
        if self._fresh == (run.run_id, run.attempt) and not run.needs_approval:
            begin_run(self._ledger, run, run.run_plan, checked_at=run.planned_at)
            return ()
        old = run.run_plan
        fresh, planned_at = self.plan(old.subscription, old.portfolio, run.business_key)
        if old.accounts and not fresh.accounts:
            return tuple(
                Interruption(account_name=item.account_name, reason=item.reason, detail=item.detail)
                for item in fresh.problems
            )
        moved = moved_since(old, fresh)
        is_held = held_back(old, fresh)
        if not moved and same_positions(old, fresh) and not is_held:
            begin_run(self._ledger, run, old, checked_at=planned_at)
        elif not moved and covers(old, fresh):
            what = "lines are held back" if is_held else "positions moved within their limit"
            note = f"{what} since {old.run_hash[:12]} was decided"
            begin_run(self._ledger, run, fresh, checked_at=planned_at, note=note)
        else:
            why = sentence(moved) or "positions moved, and the orders would be others than those decided"
            needed = needs_approval(fresh)
            if plan_again(self._ledger, run, fresh, planned_at=planned_at, needs_approval=needed, why=why):
                self._fresh = (run.run_id, run.attempt + 1)
        return ()

    def _execute(self, run: StoredRun) -> tuple[Interruption, ...]:
        interruptions = execute_accounts(self._runtimes, self._ledger, run, self._means)
        if interruptions:
            return interruptions
        results = account_results(self._runtimes, self._ledger, run, self._means)
        is_cancelled = any(item.state is PlanState.CANCELLED_MID_RUN for item in results) and bool(
            get_run(self._ledger, run.run_id).cancel_by
        )
        self._end(run, results, is_cancelled=is_cancelled)
        return ()

    def _end(self, run: StoredRun, results: list[AccountResult], *, is_cancelled: bool) -> None:
        result = result_of(run.run_plan, results, is_cancelled=is_cancelled)
        self._means.step(
            f"record the result of run {run.run_id[:8]}",
            StepKind.RECORD,
            lambda: finish_run(self._ledger, run, result),
        )
