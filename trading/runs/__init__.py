"""Runs: one decision over several accounts, approved where that is needed, executed side by side, and proved."""

from trading.runs.approval import Approval, Decision
from trading.runs.history import RunHistory, run_history
from trading.runs.reasons import RunError, RunReason
from trading.runs.result import AccountResult, RunResult
from trading.runs.running import RunOutcome, resume_run, run_portfolio
from trading.runs.shortfall import RunLeg, Shortfall
from trading.runs.store import StoredRun, decide_run, find_run, get_run, list_runs, want_cancel, why_planned_again

__all__ = [
    "AccountResult",
    "Approval",
    "Decision",
    "RunError",
    "RunHistory",
    "RunLeg",
    "RunOutcome",
    "RunReason",
    "RunResult",
    "Shortfall",
    "StoredRun",
    "decide_run",
    "find_run",
    "get_run",
    "list_runs",
    "resume_run",
    "run_history",
    "run_portfolio",
    "want_cancel",
    "why_planned_again",
]
