"""Which builder makes the report of which result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.reports.alerts import alerts_report, routes_report, story_report
from flows.reports.breaks import break_report, breaks_report
from flows.reports.closing import closing_report
from flows.reports.model import Report, Tone
from flows.reports.orders import leverage_report, sweep_report
from flows.reports.rebalancing import plan_report, rebalance_report
from flows.reports.reconciling import reconciliation_report
from flows.reports.run_plan import run_plan_report
from flows.reports.runs import history_report, run_report
from flows.reports.statement import statement_report
from flows.reports.stopping import control_report, kill_report
from flows.reports.sweeping import account_sweep_report
from flows.reports.syncing import sync_report
from ledger.controlling import ControlChanged
from trading.alerts.overview import AlertStory, Overview
from trading.alerts.routing import AlertConfig
from trading.breaks import BreakBook, BreakStory
from trading.closing import ClosedPosition
from trading.kill_model import KillResult
from trading.leverage import LeverageResult
from trading.orders import SweepReport
from trading.plans import RebalanceResult
from trading.rebalancing.model import Plan
from trading.rebalancing.run_plan import RunPlan
from trading.reconciling import ReconciliationResult
from trading.runs import RunHistory, RunOutcome
from trading.statement_model import Statement
from trading.sweeping import SweepResult
from trading.sync import SyncResult

# What carries its account itself.
_BUILDERS: dict[type[Any], Callable[[Any], Report]] = {
    AlertConfig: routes_report,
    AlertStory: story_report,
    BreakBook: breaks_report,
    BreakStory: break_report,
    ControlChanged: control_report,
    KillResult: kill_report,
    Overview: alerts_report,
    Plan: plan_report,
    RebalanceResult: rebalance_report,
    ReconciliationResult: reconciliation_report,
    RunPlan: run_plan_report,
    RunHistory: history_report,
    RunOutcome: run_report,
    Statement: statement_report,
    SweepResult: account_sweep_report,
    SyncResult: sync_report,
}
# What does not: the caller says whose it is.
_SUBJECT_BUILDERS: dict[type[Any], Callable[..., Report]] = {
    SweepReport: sweep_report,
}
# Jobs whose result is a sequence, by the type of its items.
_SEQUENCE_BUILDERS: dict[type[Any], Callable[..., Report]] = {
    ClosedPosition: closing_report,
    LeverageResult: leverage_report,
}


def build(result: Any, *, subject: str = "") -> Report:
    """The report of a job's result; `subject` names the account where the result does not.

    A `Report` is one already; an empty sequence says that there was nothing to do. TypeError lists the types that have
    one.
    """
    if isinstance(result, Report):
        return result
    kind = type(result)
    if kind in _BUILDERS:
        return _BUILDERS[kind](result)
    if kind in _SUBJECT_BUILDERS:
        return _SUBJECT_BUILDERS[kind](result, subject=subject)
    if isinstance(result, (list, tuple)) and not result:
        return _nothing(subject)
    if isinstance(result, (list, tuple)) and type(result[0]) in _SEQUENCE_BUILDERS:
        return _SEQUENCE_BUILDERS[type(result[0])](result, subject=subject)
    known = ", ".join(item.__name__ for item in (*_BUILDERS, *_SUBJECT_BUILDERS, *_SEQUENCE_BUILDERS))
    raise TypeError(f"no report is made of {kind.__name__}; reports are made of {known}")


def _nothing(subject: str) -> Report:
    return Report(
        kind="nothing",
        title="Nothing to do" + (f" on {subject}" if subject else ""),
        subtitle="",
        tone=Tone.GOOD,
        verdict="There was nothing to do.",
        figures=(),
        sections=(),
    )
