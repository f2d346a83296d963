"""The runs of a subscription over time: what each decided, reached and cost. Read from the ledger alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ledger.engine import Ledger
from ledger.states import RunState
from trading.runs.store import StoredRun, list_runs


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """One run of the history. Tracking error is half the sum of distances from the target weights, of joint equity."""

    run_id: str
    subscription: str
    portfolio: str
    business_key: str
    state: RunState
    reason: str
    attempt: int
    run_hash: str
    decided_by: str
    created_at: datetime
    ended_at: datetime | None
    accounts: int
    problems: int
    legs: int
    legs_whole: int
    tracking_error_before: Decimal
    tracking_error_after: Decimal | None
    base_currency: str
    shortfall: Decimal | None
    shortfall_bps: Decimal | None
    fees: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHistory:
    """Runs, newest first, of one subscription or of all."""

    subscription: str
    lines: tuple[RunLine, ...]

    def tracking_error(self) -> dict[str, tuple[tuple[datetime, Decimal], ...]]:
        """Tracking error over time by subscription: before and after each run, in time order.

        Runs without a proof give one point.
        """
        found: dict[str, list[tuple[datetime, Decimal]]] = {}
        for line in self.lines:
            points = found.setdefault(line.subscription, [])
            points.append((line.created_at, line.tracking_error_before))
            if line.ended_at is not None and line.tracking_error_after is not None:
                points.append((line.ended_at, line.tracking_error_after))
        return {name: tuple(sorted(points, key=lambda point: point[0])) for name, points in sorted(found.items())}


def run_history(ledger: Ledger, *, subscription: str = "", limit: int = 100) -> RunHistory:
    """The newest runs."""
    runs = list_runs(ledger, subscription=subscription, limit=limit)
    return RunHistory(subscription=subscription, lines=tuple(line_of(run) for run in runs))


def line_of(run: StoredRun) -> RunLine:
    """What a list shows of a run."""
    plan, result = run.run_plan, run.result
    return RunLine(
        run_id=run.run_id,
        subscription=run.subscription,
        portfolio=plan.portfolio.name,
        business_key=run.business_key,
        state=run.state,
        reason="" if result is None else result.reason,
        attempt=run.attempt,
        run_hash=run.run_hash,
        decided_by=run.decided_by,
        created_at=run.created_at,
        ended_at=run.ended_at,
        accounts=len(plan.accounts),
        problems=len(plan.problems),
        legs=len(plan.legs),
        legs_whole=0 if result is None else sum(leg.is_whole for leg in result.legs),
        tracking_error_before=plan.expected.drift_before,
        tracking_error_after=None if result is None else result.drift_after,
        base_currency=plan.subscription.base_currency,
        shortfall=None if result is None else result.shortfall.total,
        shortfall_bps=None if result is None else result.shortfall.bps,
        fees=None if result is None else result.shortfall.fees,
    )
