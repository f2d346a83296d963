"""What a work pool fixes for every process that it starts: environment, ledger, folder of reports."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from brokers.errors import EnvironmentMismatch
from brokers.ids import Environment
from ledger.control_file import ControlFile

ENVIRONMENT_VARIABLE = "ALGOTRENDY_ENVIRONMENT"
LEDGER_VARIABLE = "ALGOTRENDY_LEDGER_URL"
CONTROL_FILE_VARIABLE = "ALGOTRENDY_CONTROL_FILE"
POOL_VARIABLE = "ALGOTRENDY_POOL"
REPORTS_VARIABLE = "ALGOTRENDY_REPORTS"
KEY_REGISTRY_VARIABLE = "ALGOTRENDY_KEY_REGISTRY"
DRY_RUN_VARIABLE = "ALGOTRENDY_DRY_RUN"


@dataclass(frozen=True, slots=True)
class Process:
    """What the work pool fixed for this process."""

    environment: Environment
    ledger_url: str
    pool: str
    reports: Path
    key_registry: Path
    control_file: Path | None = None  # None: beside the SQLite ledger
    dry_run: bool = False

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Process:
        """Read the pool's variables; EnvironmentMismatch when one is missing or not known."""
        source = os.environ if environ is None else environ
        named = source.get(ENVIRONMENT_VARIABLE, "")
        if named not in set(Environment):
            raise EnvironmentMismatch(
                f"{ENVIRONMENT_VARIABLE} must be one of {', '.join(Environment)}, was {named!r}; "
                "run the job from a deployment: its work pool sets the variable"
            )
        ledger_url = source.get(LEDGER_VARIABLE, "")
        if not ledger_url:
            raise EnvironmentMismatch(
                f"{LEDGER_VARIABLE} is not set; the work pool's template or the worker's environment must name the "
                f"{named} ledger"
            )
        key_registry = source.get(KEY_REGISTRY_VARIABLE, "")
        if not key_registry:
            raise EnvironmentMismatch(
                f"{KEY_REGISTRY_VARIABLE} is not set; the work pool's template must name the file that keeps keys and "
                "environments apart: deploy the pool again"
            )
        control_file = source.get(CONTROL_FILE_VARIABLE, "")
        if not control_file and named == Environment.PRODUCTION and ControlFile.beside(ledger_url) is None:
            raise EnvironmentMismatch(
                f"{CONTROL_FILE_VARIABLE} is not set; production on a server's ledger needs a file that stops it while "
                "the database does not answer: name one in the environment of the pool's workers"
            )
        return cls(
            environment=Environment(named),
            ledger_url=ledger_url,
            pool=source.get(POOL_VARIABLE, named),
            reports=Path(source.get(REPORTS_VARIABLE, "") or "reports"),
            key_registry=Path(key_registry),
            control_file=Path(control_file) if control_file else None,
            dry_run=is_dry_run(source),
        )


def is_dry_run(environ: Mapping[str, str], variable: str = DRY_RUN_VARIABLE) -> bool:
    """Whether orders end before they are sent; EnvironmentMismatch for anything but 0 and 1, so that nobody guesses."""
    named = environ.get(variable, "") or "0"
    if named not in ("0", "1"):
        raise EnvironmentMismatch(f"{variable} must be 0 or 1, was {named!r}; set it for the pool, not for a job")
    return named == "1"
