"""Our own strict reading of prefect.yaml.

Prefect ignores what it does not know in this file: a misspelt concurrency limit is no limit, a misspelt parameter is no
parameter. Here every unknown key is refused, parameters are checked against the flow, and a deployment that does not
belong to its pool's environment does not pass. Deploying reads the file through this module (deployments/deploy.py);
`prefect deploy --all` reads the same file.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from prefect.client.schemas.objects import ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import MissingFlowError, PrefectException
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools import ValidationError as SchemaError
from prefect.utilities.schema_tools import validate as validate_schema
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from brokers.ids import Environment
from brokers.strictyaml import describe
from deployments.home import PROJECT

FILE = PROJECT / "prefect.yaml"


class ManifestRefused(ValueError):
    """prefect.yaml cannot be deployed; the message names the deployment, the field and the remedy."""

    reason = "MANIFEST_REFUSED"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Schedule(_Strict):
    """One cron schedule. Time zone, switch and slug must be said: defaults have surprised too many people."""

    cron: str
    timezone: str
    active: bool
    slug: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    parameters: Mapping[str, Any] = Field(default_factory=dict)

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in _zones():
            raise ValueError(f"timezone must be an IANA name such as Europe/Zurich, was {value!r}")
        return value

    @field_validator("cron")
    @classmethod
    def _valid_cron(cls, value: str) -> str:
        CronSchedule(cron=value)
        return value

    def to_prefect(self) -> CronSchedule:
        return CronSchedule(cron=self.cron, timezone=self.timezone)


class ConcurrencyLimit(_Strict):
    """How many runs of the deployment may be under way and what becomes of another one."""

    limit: Literal[1]  # one run per account and job
    collision_strategy: Literal["ENQUEUE", "CANCEL_NEW"]

    @property
    def strategy(self) -> ConcurrencyLimitStrategy:
        return ConcurrencyLimitStrategy(self.collision_strategy)


class WorkPoolReference(_Strict):
    """The pool by name; job variables are not for a deployment to set."""

    name: Environment


class Deployment(_Strict):
    """One job on one account, or on what a whole pool shares: then it names no account, and its name the pool."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]
    entrypoint: Annotated[str, Field(pattern=r"^flows(\.[a-z_]+){2}$")]
    description: str = ""
    tags: tuple[str, ...]
    work_pool: WorkPoolReference
    concurrency_limit: ConcurrencyLimit
    parameters: Mapping[str, Any]
    schedules: tuple[Schedule, ...] = ()
    enforce_parameter_schema: Literal[True] = True

    @property
    def environment(self) -> Environment:
        return self.work_pool.name

    @property
    def account(self) -> str:
        """The account's name; empty for a job of the whole pool."""
        return str(self.parameters.get("account", ""))

    @model_validator(mode="after")
    def _environment_everywhere(self) -> Self:
        if "account" in self.parameters:
            self._require_own_account(self.parameters["account"])
        elif not self.name.endswith(f"-{self.environment.value}"):
            raise ValueError(
                f"name of a job without an account must end with its pool -{self.environment.value}, was {self.name!r}"
            )
        if self.environment.value not in self.tags:
            raise ValueError(f"tags must hold the environment {self.environment.value}, were {', '.join(self.tags)}")
        others = {e.value for e in Environment} - {self.environment.value}
        if others & set(self.tags):
            raise ValueError(f"tags must not hold another environment, were {', '.join(self.tags)}")
        slugs = [schedule.slug for schedule in self.schedules]
        if len(set(slugs)) != len(slugs):
            raise ValueError(f"schedule slugs must be unique, were {', '.join(slugs)}")
        return self

    def _require_own_account(self, account: object) -> None:
        if not isinstance(account, str) or account.count("-") < 2:
            raise ValueError(f"parameters.account must name an account such as bybit-testnet-main, was {account!r}")
        if account.split("-")[1] != self.environment.value:
            raise ValueError(
                f"parameters.account {account!r} is not of the environment of its pool {self.environment.value}"
            )
        if not self.name.endswith(f"-{account}"):
            raise ValueError(f"name must end with the account's name -{account}, was {self.name!r}")

    def flow(self) -> Flow[..., Any]:
        """Import the flow; ManifestRefused when there is none."""
        try:
            return _flow_at(self.entrypoint)
        except (ImportError, AttributeError, MissingFlowError) as error:
            raise ManifestRefused(f"{self.name}: entrypoint {self.entrypoint} gives no flow: {error}") from error

    def check_parameters(self) -> None:
        """Names, values and, for schedules and quick runs, completeness; ManifestRefused names the first mistake."""
        flow = self.flow()
        known = set(parameter_schema(flow).properties)
        if ("account" in known) != bool(self.account):
            wants = "needs the account" if "account" in known else "is for a whole pool and takes no account"
            raise ManifestRefused(f"{self.name}: parameters: {flow.name} {wants}")
        for where, given in self._parameter_sets():
            unknown = sorted(set(given) - known)
            if unknown:
                raise ManifestRefused(
                    f"{self.name}: {where} names {', '.join(unknown)}, which {flow.name} does not take; "
                    f"it takes {', '.join(sorted(known))}"
                )
            self._check_values(flow, where, given)

    def _parameter_sets(self) -> list[tuple[str, dict[str, Any]]]:
        sets = [("parameters", dict(self.parameters))]
        sets += [(f"schedule {s.slug}", {**self.parameters, **s.parameters}) for s in self.schedules]
        for schedule in self.schedules:
            if "account" in schedule.parameters:
                raise ManifestRefused(f"{self.name}: schedule {schedule.slug} must not name another account")
        return sets

    def _check_values(self, flow: Flow[..., Any], where: str, given: dict[str, Any]) -> None:
        is_schedule = where != "parameters"
        try:
            validate_schema(
                given,
                parameter_schema(flow).model_dump_for_openapi(),
                raise_on_error=True,
                ignore_required=not is_schedule,
            )
            if is_schedule:
                flow.validate_parameters(given)
        except (SchemaError, PrefectException) as error:
            raise ManifestRefused(f"{self.name}: {where} does not fit {flow.name}: {_one_line(error)}") from error


class Manifest(_Strict):
    """The whole file. Code is installed in the workers' environment and never pulled, hence the empty `pull`."""

    name: Literal["algotrendy"]
    prefect_version: str = Field(alias="prefect-version")
    definitions: Mapping[str, Any] = Field(default_factory=dict)
    pull: Annotated[tuple[()], Field()]
    deployments: Annotated[tuple[Deployment, ...], Field(min_length=1)]

    @field_validator("deployments")
    @classmethod
    def _unique(cls, value: tuple[Deployment, ...]) -> tuple[Deployment, ...]:
        names = [(deployment.entrypoint, deployment.name) for deployment in value]
        repeated = sorted({name for entrypoint, name in names if names.count((entrypoint, name)) > 1})
        if repeated:
            raise ValueError(f"deployments must have unique names, repeated: {', '.join(repeated)}")
        return value

    def of(self, environments: tuple[Environment, ...]) -> tuple[Deployment, ...]:
        """The deployments of these pools, in the order of the file."""
        return tuple(deployment for deployment in self.deployments if deployment.environment in environments)


def load(file: Path = FILE) -> Manifest:
    """Read and check the file; ManifestRefused names every mistake of form, then the first wrong parameter."""
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ManifestRefused(f"{file.name} cannot be read: {_one_line(error)}") from error
    try:
        manifest = Manifest.model_validate(data)
    except ValidationError as error:
        raise ManifestRefused(f"{file.name}: {describe(error)}") from None
    for deployment in manifest.deployments:
        deployment.check_parameters()
    return manifest


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


@cache
def _flow_at(entrypoint: str) -> Flow[..., Any]:
    return load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
