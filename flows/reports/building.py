"""Which builder makes the report of which result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.reports.model import Report
from flows.reports.orders import leverage_report, sweep_report
from flows.reports.rebalancing import plan_report
from flows.reports.syncing import sync_report
from trading.leverage import LeverageResult
from trading.orders import SweepReport
from trading.rebalancing.model import Plan
from trading.sync import SyncResult

# What carries its account itself.
_BUILDERS: dict[type[Any], Callable[[Any], Report]] = {
    Plan: plan_report,
    SyncResult: sync_report,
}
# What does not: the caller says whose it is.
_SUBJECT_BUILDERS: dict[type[Any], Callable[..., Report]] = {
    SweepReport: sweep_report,
}


def build(result: Any, *, subject: str = "") -> Report:
    """The report of a job's result; `subject` names the account where the result does not.

    A `Report` is one already, a sequence of `LeverageResult` a leverage job. TypeError lists the types that have one.
    """
    if isinstance(result, Report):
        return result
    if isinstance(result, (list, tuple)) and all(isinstance(item, LeverageResult) for item in result):
        return leverage_report(result, subject=subject)
    if type(result) in _SUBJECT_BUILDERS:
        return _SUBJECT_BUILDERS[type(result)](result, subject=subject)
    builder = _BUILDERS.get(type(result))
    if builder is None:
        known = ", ".join(kind.__name__ for kind in (*_BUILDERS, *_SUBJECT_BUILDERS, LeverageResult))
        raise TypeError(f"no report is made of {type(result).__name__}; reports are made of {known}")
    return builder(result)
