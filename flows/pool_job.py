"""What the jobs of a whole pool have in common: they open its ledger and no account; guards end them as REFUSED."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from flows.job import DRY_RUN_WORDS, REFUSALS, publish, refused
from ledger.engine import Ledger
from ledger.errors import AlertNotMoved
from tasks.process import Process
from trading.alerts.routing import RoutesRefused
from trading.breaks import BreakRefused

if TYPE_CHECKING:
    from flows.reports.files import ReportFiles


@dataclass(frozen=True, slots=True)
class PoolJob:
    """One run of one job on a pool's ledger."""

    name: str
    process: Process
    ledger: Ledger

    @property
    def subject(self) -> str:
        """Whose report it is."""
        environment = self.process.environment.value
        return f"{environment} ({DRY_RUN_WORDS.lower()})" if self.process.dry_run else environment

    def publish(self, result: Any, *, key: str = "") -> ReportFiles:
        """Write the report's files and its page, under one key for each pool."""
        page = f"{key or self.name}-{self.process.pool}"
        return publish(result, key=page, subject=self.subject, process=self.process)


def run_pool_job(name: str, body: Callable[[PoolJob], State[Any]]) -> State[Any]:
    """Open the pool's ledger and run `body`; what a guard refuses ends as REFUSED."""
    try:
        process = Process.from_environment()
        with Ledger.open(process.ledger_url, environment=process.environment) as ledger:
            return body(PoolJob(name, process, ledger))
    except (*REFUSALS, RoutesRefused, AlertNotMoved, BreakRefused) as error:
        get_run_logger().error("Refused: %s", error)
        return refused(error)


def named(what: str) -> Callable[[], str]:
    """A run name with the pool's environment: such a job has no account to be named after."""

    def name() -> str:
        return f"{what} of {Process.from_environment().environment.value}"

    return name
