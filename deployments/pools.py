"""Work pools: one per environment, and what a job may and may not be given by one.

The environment and the ledger stand in the pool's base job template as constants: the server refuses a run or a
deployment whose job variables say otherwise. The job checks again (tasks/runtime.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from sqlalchemy import make_url

from brokers.ids import Environment
from deployments.home import Home
from tasks.process import (
    CONTROL_FILE_VARIABLE,
    DRY_RUN_VARIABLE,
    ENVIRONMENT_VARIABLE,
    KEY_REGISTRY_VARIABLE,
    LEDGER_VARIABLE,
    POOL_VARIABLE,
    REPORTS_VARIABLE,
    is_dry_run,
)
from trading.arming.people import SECRETS_VARIABLE

DESCRIPTIONS = {
    Environment.SIMULATED: "Jobs on simulated accounts. Nothing leaves this machine.",
    Environment.TESTNET: "Jobs on testnet, demo and paper accounts.",
    Environment.PRODUCTION: "Jobs on production accounts: real money.",
}


# Named because the worker would otherwise start a second Python first, only to find out that there is no code to pull;
# `python` is the worker's own: its environment must be active.
ENGINE = "python -m prefect.engine"


@dataclass(frozen=True, slots=True)
class Pool:
    """A process work pool.

    `ledger_url` is empty, and `control_file` None, where the worker's own environment must name ledger and file.
    """

    environment: Environment
    ledger_url: str
    reports: Path
    key_registry: Path
    control_file: Path | None = None
    dry_run: bool = False
    secrets: Path | None = None  # where the keys of armings lie; None where the worker's own environment must name it

    @property
    def name(self) -> str:
        return self.environment.value

    def job_environment(self) -> dict[str, str]:
        """The variables that every job of the pool gets; a URL with a password is refused here."""
        variables = {
            ENVIRONMENT_VARIABLE: self.environment.value,
            POOL_VARIABLE: self.name,
            REPORTS_VARIABLE: str(self.reports),
            KEY_REGISTRY_VARIABLE: str(self.key_registry),
            DRY_RUN_VARIABLE: "1" if self.dry_run else "0",
        }
        if self.control_file is not None:
            variables[CONTROL_FILE_VARIABLE] = str(self.control_file)
        if self.secrets is not None:
            variables[SECRETS_VARIABLE] = str(self.secrets)
        if self.ledger_url:
            if make_url(self.ledger_url).password:
                raise ValueError(
                    f"the ledger URL of pool {self.name} holds a password, and a pool's template is readable by anyone "
                    f"who reaches the Prefect server; set {LEDGER_VARIABLE} in the environment of the pool's workers"
                )
            variables[LEDGER_VARIABLE] = self.ledger_url
        return variables

    def base_job_template(self) -> dict[str, Any]:
        """The process worker's template with our constants; job variables other than these are refused."""
        constants = self.job_environment()
        return {
            "job_configuration": {
                "command": ENGINE,
                "env": "{{ env }}",
                "labels": {},
                "name": "{{ name }}",
                "stream_output": "{{ stream_output }}",
                "working_dir": None,
            },
            "variables": {
                "type": "object",
                "additionalProperties": False,
                "properties": {
                    "name": {"type": "string", "title": "Name", "description": "Name of the process."},
                    "stream_output": {
                        "type": "boolean",
                        "title": "Stream output",
                        "description": "Copy the job's output to the worker's.",
                        "default": True,
                    },
                    "env": {
                        "type": "object",
                        "title": "Environment variables",
                        "description": "Fixed by the pool: a job cannot be moved to another environment or ledger.",
                        "default": constants,
                        "properties": {name: {"type": "string", "const": value} for name, value in constants.items()},
                        "additionalProperties": False,
                    },
                },
            },
        }


def pools(home: Home, environments: tuple[Environment, ...] = tuple(Environment)) -> tuple[Pool, ...]:
    """The pools of a local stack, each with a ledger of its own."""
    return tuple(
        Pool(
            environment=environment,
            ledger_url=home.ledger_url(environment),
            reports=home.reports,
            key_registry=home.key_registry,
            control_file=home.control_file(environment),
            dry_run=runs_dry(environment),
            secrets=home.secrets,
        )
        for environment in environments
    )


def runs_dry(environment: Environment) -> bool:
    """Whether ALGOTRENDY_DRY_RUN_ENVIRONMENT says so where the pool is registered; its jobs cannot say otherwise."""
    return is_dry_run(os.environ, f"{DRY_RUN_VARIABLE}_{environment.value.upper()}")


def register(client: SyncPrefectClient, pool: Pool) -> None:
    """Create the pool or bring its template up to date, then read it back; RuntimeError when it differs."""
    template = pool.base_job_template()
    try:
        found = client.read_work_pool(pool.name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(
                name=pool.name,
                type="process",
                description=DESCRIPTIONS[pool.environment],
                base_job_template=template,
            )
        )
    else:
        if found.type != "process":
            raise RuntimeError(f"work pool {pool.name} has type {found.type}, needed is process; rename or delete it")
        client.update_work_pool(
            pool.name, WorkPoolUpdate(description=DESCRIPTIONS[pool.environment], base_job_template=template)
        )
    stored = client.read_work_pool(pool.name).base_job_template
    if stored != template:
        raise RuntimeError(f"work pool {pool.name} was stored with another template than was sent: {stored}")
