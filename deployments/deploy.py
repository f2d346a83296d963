"""Deploy prefect.yaml: pools first, then deployments, then read everything back and compare.

`python -m deployments.deploy [--pool NAME …]` works against the server that PREFECT_API_URL names, or the local stack.
Unlike `prefect deploy --all` it stops before the first change when anything in the file is wrong, and it narrows the
choices of `account`, `portfolio` and `subscription` to what exists, so that the form shows drop-down lists.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from prefect.blocks.core import Block
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, DeploymentUpdate
from prefect.client.schemas.objects import ConcurrencyOptions
from prefect.client.schemas.responses import DeploymentResponse
from prefect.exceptions import ObjectNotFound
from prefect.utilities.callables import parameter_schema

from brokers.ids import Environment
from deployments import automations, manifest, pools
from deployments.home import API_VARIABLE, Home, running_stack
from deployments.manifest import Deployment, Manifest
from tasks.blocks import CREDENTIALS, PortfolioBlock, SubscriptionBlock, TradingAccount
from tasks.process import KEY_REGISTRY_VARIABLE, LEDGER_VARIABLE, REPORTS_VARIABLE

READ_MAX = 200  # deployments that Prefect gives at once; prefect.yaml has fewer


class DeployRefused(RuntimeError):
    """The server stored something else than was sent; the message names the deployment and the field."""


def deploy(
    client: SyncPrefectClient,
    wanted: Manifest,
    *,
    environments: Sequence[Environment],
    chosen_pools: Sequence[pools.Pool],
) -> Iterator[str]:
    """Register pools, deployments and automations; yield a line for each. Nothing is changed before the checks."""
    names, ready = stored_names(client), ready_accounts(client)
    deployments = [held_back(deployment, ready) for deployment in wanted.of(tuple(environments))]
    for pool in chosen_pools:
        pools.register(client, pool)
        yield f"work pool {pool.name}"
    for deployment in deployments:
        schema = narrowed_schema(deployment, names)
        _create(client, deployment, schema)
        differences = compare(deployment, schema, _read(client, deployment))
        if differences:
            raise DeployRefused(f"{deployment.name} was stored differently: {'; '.join(differences)}")
        yield f"deployment {deployment.flow().name}/{deployment.name}"
    for account in sorted({deployment.account for deployment in waiting(wanted.of(tuple(environments)), ready)}):
        yield (
            f"schedules of {account} are off: its account or credentials are not stored. "
            "`algotrendy accounts apply FILE` stores them and switches the schedules on; so does deploying again, once "
            "they were saved under Blocks"
        )
    for name in automations.register(client):
        yield f"automation {name}"


def ready_accounts(client: SyncPrefectClient) -> frozenset[str]:
    """Accounts whose block is stored, with the credentials that it names: jobs on others could only be refused."""
    credentials = {(venue.value, name) for venue, kind in CREDENTIALS.items() for name, _ in _documents(client, kind)}
    return frozenset(
        name
        for name, data in _documents(client, TradingAccount)
        if (data.get("venue"), data.get("credentials_name")) in credentials
    )


def _documents(client: SyncPrefectClient, kind: type[Block]) -> list[tuple[str, dict[str, Any]]]:
    """Name and fields, without secrets, of every stored block of a type; none where the server does not know it."""
    try:
        found = client.read_block_documents_by_type(kind.get_block_type_slug(), include_secrets=False)
    except ObjectNotFound:
        return []
    return [(document.name, document.data) for document in found if document.name]


def waiting(deployments: Sequence[Deployment], ready: Collection[str]) -> list[Deployment]:
    """Those whose schedules are on in the file, and whose account nobody has stored."""
    return [
        deployment
        for deployment in deployments
        if deployment.account and deployment.account not in ready and any(each.active for each in deployment.schedules)
    ]


def held_back(deployment: Deployment, ready: Collection[str]) -> Deployment:
    """The deployment with its schedules off while its account is not stored: a row of refusals hides what matters."""
    if deployment not in waiting([deployment], ready):
        return deployment
    off = tuple(schedule.model_copy(update={"active": False}) for schedule in deployment.schedules)
    return deployment.model_copy(update={"schedules": off})


def switch_on(client: SyncPrefectClient, accounts: Collection[str]) -> int:
    """Switch on what prefect.yaml says is on, for accounts that have just been stored; how many schedules."""
    stored = {found.name: found for found in client.read_deployments(limit=READ_MAX)}
    switched = 0
    for deployment in manifest.load().deployments:
        found = stored.get(deployment.name)
        if found is None or deployment.account not in accounts:
            continue
        wanted = {schedule.slug for schedule in deployment.schedules if schedule.active}
        for schedule in found.schedules:
            if schedule.slug in wanted and not schedule.active:
                client.update_deployment_schedule(found.id, schedule.id, active=True)
                switched += 1
    return switched


def stored_names(client: SyncPrefectClient) -> dict[str, tuple[str, ...]]:
    """What a form may choose from: the names of all stored portfolios and subscriptions, by the parameter."""
    found = {}
    kinds: tuple[tuple[str, type[Block]], ...] = (("portfolio", PortfolioBlock), ("subscription", SubscriptionBlock))
    for parameter, block in kinds:
        found[parameter] = tuple(sorted(name for name, _ in _documents(client, block)))
    return found


def narrowed_schema(deployment: Deployment, names: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The flow's parameter schema with the choices of this deployment: its account, and what is stored (`names`)."""
    schema: dict[str, Any] = parameter_schema(deployment.flow()).model_dump_for_openapi()
    schema["additionalProperties"] = False  # Prefect would ignore a misspelt parameter
    properties = schema["properties"]
    if deployment.account:
        properties["account"] = {**properties["account"], "enum": [deployment.account]}
    for parameter in names:
        if parameter in properties:
            own = deployment.parameters.get(parameter)
            choices = sorted({*names[parameter], *([own] if own else [])})
            if choices:
                properties[parameter] = {**properties[parameter], "enum": choices}
    return schema


def refresh_forms(client: SyncPrefectClient) -> int:
    """Offer what is stored now in the forms of prefect.yaml's deployments; how many of them changed."""
    names, changed = stored_names(client), 0
    stored = {found.name: found for found in client.read_deployments(limit=READ_MAX)}
    for deployment in manifest.load().deployments:
        found = stored.get(deployment.name)
        if found is None:
            continue
        schema = narrowed_schema(deployment, names)
        if found.parameter_openapi_schema != schema:
            client.update_deployment(found.id, DeploymentUpdate(parameter_openapi_schema=schema))
            changed += 1
    return changed


def _create(client: SyncPrefectClient, deployment: Deployment, schema: dict[str, Any]) -> None:
    flow = deployment.flow()
    client.create_deployment(
        flow_id=client.create_flow(flow),
        name=deployment.name,
        version=flow.version,
        entrypoint=deployment.entrypoint,
        description=deployment.description or flow.description,
        tags=list(deployment.tags),
        parameters=dict(deployment.parameters),
        parameter_openapi_schema=schema,
        enforce_parameter_schema=True,
        work_pool_name=deployment.environment.value,
        concurrency_limit=deployment.concurrency_limit.limit,
        concurrency_options=ConcurrencyOptions(collision_strategy=deployment.concurrency_limit.strategy),
        schedules=[
            DeploymentScheduleCreate(
                schedule=schedule.to_prefect(),
                active=schedule.active,
                slug=schedule.slug,
                parameters=dict(schedule.parameters),
            )
            for schedule in deployment.schedules
        ],
        pull_steps=[],
        job_variables={},
    )


def _read(client: SyncPrefectClient, deployment: Deployment) -> DeploymentResponse:
    return client.read_deployment_by_name(f"{deployment.flow().name}/{deployment.name}")


def compare(deployment: Deployment, schema: Mapping[str, Any], stored: DeploymentResponse) -> list[str]:
    """What the server holds against what was sent, field by field; empty when they agree."""
    limit = stored.global_concurrency_limit
    options = stored.concurrency_options
    pairs: list[tuple[str, Any, Any]] = [
        ("entrypoint", deployment.entrypoint, stored.entrypoint),
        ("work_pool", deployment.environment.value, stored.work_pool_name),
        ("tags", sorted(deployment.tags), sorted(stored.tags)),
        ("parameters", dict(deployment.parameters), stored.parameters),
        ("enforce_parameter_schema", True, stored.enforce_parameter_schema),
        ("concurrency_limit", deployment.concurrency_limit.limit, limit.limit if limit else None),
        (
            "collision_strategy",
            deployment.concurrency_limit.collision_strategy,
            options.collision_strategy.value if options else None,
        ),
        ("schedules", sorted(map(_planned, deployment.schedules)), sorted(map(_stored, stored.schedules))),
        (
            "parameter names",
            sorted(schema["properties"]),
            sorted((stored.parameter_openapi_schema or {})["properties"]),
        ),
        ("job_variables", {}, stored.job_variables or {}),
    ]
    return [f"{name} is {found!r}, sent was {sent!r}" for name, sent, found in pairs if sent != found]


def _planned(schedule: manifest.Schedule) -> tuple[str, str, str, bool, str]:
    return schedule.slug, schedule.cron, schedule.timezone, schedule.active, repr(sorted(schedule.parameters.items()))


def _stored(schedule: Any) -> tuple[str, str, str, bool, str]:
    cron = schedule.schedule
    return schedule.slug, cron.cron, cron.timezone, schedule.active, repr(sorted(schedule.parameters.items()))


def main(arguments: list[str] | None = None) -> int:
    """Deploy to the server that PREFECT_API_URL names, else to the local stack that runs; 2 where there is neither."""
    parser = argparse.ArgumentParser(prog="python -m deployments.deploy", description=__doc__.splitlines()[0])
    parser.add_argument("--pool", action="append", choices=[e.value for e in Environment], help="default: all three")
    parser.add_argument("--check", action="store_true", help="only read and check prefect.yaml")
    options = parser.parse_args(arguments)
    wanted = manifest.load()
    if options.check:
        print(f"prefect.yaml is valid: {len(wanted.deployments)} deployments")
        return 0
    environments = tuple(Environment(name) for name in options.pool or [e.value for e in Environment])
    if os.environ.get(API_VARIABLE):
        with get_client(sync_client=True) as client:
            return _deploy(client, wanted, environments, _pools(environments))
    home = Home.default()
    addresses = running_stack(home)
    if addresses is None:
        print(f"no local stack runs in {home.root}: start one with make up, or name a server with {API_VARIABLE}")
        return 2
    from deployments.register import connected

    with connected(home, addresses.api_url) as client:
        return _deploy(client, wanted, environments, pools.pools(home, environments))


def _deploy(
    client: SyncPrefectClient,
    wanted: Manifest,
    environments: tuple[Environment, ...],
    chosen_pools: tuple[pools.Pool, ...],
) -> int:
    for line in deploy(client, wanted, environments=environments, chosen_pools=chosen_pools):
        print(line)
    return 0


def _pools(environments: tuple[Environment, ...]) -> tuple[pools.Pool, ...]:
    """Ledgers by ALGOTRENDY_LEDGER_URL_ENVIRONMENT; without it the worker's own environment must name the ledger."""
    home = Home.default()
    return tuple(
        pools.Pool(
            environment=environment,
            ledger_url=os.environ.get(f"{LEDGER_VARIABLE}_{environment.value.upper()}", ""),
            reports=home.reports if not os.environ.get(REPORTS_VARIABLE) else home.root / os.environ[REPORTS_VARIABLE],
            key_registry=Path(os.environ.get(KEY_REGISTRY_VARIABLE, "") or home.key_registry),
            dry_run=pools.runs_dry(environment),
        )
        for environment in environments
    )


if __name__ == "__main__":
    raise SystemExit(main())
