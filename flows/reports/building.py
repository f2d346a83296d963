"""Which builder makes the report of which result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flows.reports.model import Report
from flows.reports.rebalancing import plan_report
from flows.reports.syncing import sync_report
from trading.rebalancing.model import Plan
from trading.sync import SyncResult

_BUILDERS: dict[type[Any], Callable[[Any], Report]] = {
    Plan: plan_report,
    SyncResult: sync_report,
}


def build(result: Any) -> Report:
    """The report of a job's result (a `Report` is one already); TypeError lists the types that have one."""
    if isinstance(result, Report):
        return result
    builder = _BUILDERS.get(type(result))
    if builder is None:
        known = ", ".join(kind.__name__ for kind in _BUILDERS)
        raise TypeError(f"no report is made of {type(result).__name__}; reports are made of {known}")
    return builder(result)
