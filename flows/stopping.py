"""What the jobs that stop and start have in common: the scope, and setting its control state in database and file."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from flows.job import REFUSALS, publish, refused
from ledger.control_file import ControlFile
from ledger.controlling import ControlChange, ControlChanged, change_control
from ledger.controls import pool_scope
from ledger.engine import Ledger
from tasks.config import account_id_of, require_environment
from tasks.process import Process

Scope = Literal["account", "pool"]


@dataclass(frozen=True, slots=True)
class Stopping:
    """The process, and the scope whose state is set."""

    process: Process
    account_id: str
    scope: str

    @classmethod
    def of(cls, account: str, scope: Scope) -> Stopping:
        """From the form; EnvironmentMismatch when the account is not of the pool's environment."""
        process = Process.from_environment()
        account_id = account_id_of(account)
        require_environment(account_id, process.environment)
        return cls(process, str(account_id), str(account_id) if scope == "account" else pool_scope(process.pool))

    def change(self, **fields: Any) -> ControlChanged:
        """Set the state; ControlError when that may not be, or could not."""
        process = self.process
        file = ControlFile(process.control_file) if process.control_file else ControlFile.beside(process.ledger_url)
        with ExitStack() as stack:
            changed = change_control(
                ControlChange(scope=self.scope, **fields),
                environment=process.environment,
                ledger=lambda: stack.enter_context(Ledger.open(process.ledger_url, environment=process.environment)),
                file=file,
            )
        for problem in changed.problems:
            get_run_logger().error("Control state of %s: %s", self.scope, problem)
        get_run_logger().warning("Control state of %s is %s, was %s", self.scope, changed.after, changed.before)
        return changed

    def publish(self, changed: ControlChanged, *, key: str) -> None:
        """The report of the state alone."""
        publish(changed, key=key, subject=self.account_id, process=self.process)


def guarded(body: Callable[[], State[Any]]) -> State[Any]:
    """REFUSED for what a guard refuses, as in every job."""
    try:
        return body()
    except REFUSALS as error:
        get_run_logger().error("Refused: %s", error)
        return refused(error)
