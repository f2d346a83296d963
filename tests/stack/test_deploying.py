"""What the server holds after deploying, and what it then refuses."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import PrefectHTTPStatusError

from brokers.ids import Environment
from deployments import deploy, manifest, pools
from tasks.process import ENVIRONMENT_VARIABLE, LEDGER_VARIABLE

if TYPE_CHECKING:
    from deployments.stack import Stack
    from tests.conftest import Eventually

ROOT = Path(__file__).resolve().parents[2]
REBALANCE = "rebalance/rebalance-bybit-simulated-main"


def deployed(stack: Stack, client: SyncPrefectClient, *environments: Environment) -> list[str]:
    """Deploy to these pools, or to all; each entry takes the server its time."""
    wanted = manifest.load()
    environments = environments or tuple(Environment)
    chosen = pools.pools(stack.home, environments)
    return list(deploy.deploy(client, wanted, environments=environments, chosen_pools=chosen))


def test_everything_is_deployed_and_read_back(stack: Stack, client: SyncPrefectClient) -> None:
    lines = deployed(stack, client)
    assert len([line for line in lines if line.startswith("deployment ")]) == len(manifest.load().deployments)
    again = deployed(stack, client, Environment.PRODUCTION)
    assert set(again) < set(lines) and len(again) > 10  # deploying again changes nothing
    automations = client.read_automations_by_name("End runs whose process is gone")
    assert len(automations) == 1 and automations[0].enabled


def test_prefects_own_command_deploys_the_same_file(stack: Stack, client: SyncPrefectClient) -> None:
    """One pool's part of it, as all three would take a minute: pools differ in names and schedules only."""
    deployed(stack, client, Environment.PRODUCTION)
    deployments = [each for each in manifest.load().deployments if "production" in each.tags]
    named = [argument for each in deployments for argument in ("--name", each.name)]
    done = subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", "deploy", *named],
        cwd=ROOT,
        env=stack.environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(deployments) > 10
    for deployment in deployments:
        stored = client.read_deployment_by_name(f"{deployment.flow().name}/{deployment.name}")
        schema = deploy.narrowed_schema(deployment, deploy.stored_names(client))
        assert deploy.compare(deployment, schema, stored) == []
    deployed(stack, client, Environment.PRODUCTION)  # the drop-down lists are back for the tests that follow


def test_a_schedule_makes_runs(stack: Stack, client: SyncPrefectClient, eventually: Eventually) -> None:
    """The server itself must carry a schedule out: it once held them all and started none, in silence."""
    deployment = client.read_deployment_by_name(REBALANCE)
    monthly = CronSchedule(cron="0 0 1 * *", timezone="Etc/UTC")  # nothing is started while the tests run
    (made,) = client.create_deployment_schedules(deployment.id, [(monthly, True)])
    try:
        planned = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
        own = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
        assert eventually(
            lambda: client.read_flow_runs(flow_run_filter=planned, deployment_filter=own, limit=1), timeout_s=150.0
        )
    finally:
        client.delete_deployment_schedule(deployment.id, made.id)


def test_the_form_offers_this_account_and_the_portfolios(stack: Stack, client: SyncPrefectClient) -> None:
    schema = client.read_deployment_by_name(REBALANCE).parameter_openapi_schema
    assert schema is not None
    properties = schema["properties"]
    assert properties["account"]["enum"] == ["bybit-simulated-main"]
    assert {"us-stocks", "majors"} <= set(properties["portfolio"]["enum"])
    several = client.read_deployment_by_name("rebalance-portfolio/rebalance-portfolio-simulated")
    assert several.parameter_openapi_schema is not None
    assert "world" in several.parameter_openapi_schema["properties"]["subscription"]["enum"]
    assert [field["position"] for field in properties.values()] == list(range(len(properties)))
    assert all(field.get("description") for field in properties.values())


@pytest.mark.parametrize(
    "variables",
    [
        {"env": {ENVIRONMENT_VARIABLE: "production"}},
        {"env": {LEDGER_VARIABLE: "sqlite:////tmp/other.db"}},
        {"env": {"ALGOTRENDY_CRASH_AT": "C13"}},
        {f"env.{ENVIRONMENT_VARIABLE}": "production"},
        {"command": "true"},
        {"working_dir": "/tmp"},
    ],
)
def test_a_run_cannot_be_moved_to_another_environment(
    stack: Stack, client: SyncPrefectClient, variables: dict[str, Any]
) -> None:
    deployment = client.read_deployment_by_name(REBALANCE)
    with pytest.raises(PrefectHTTPStatusError) as caught:
        client.create_flow_run_from_deployment(deployment.id, job_variables=variables)
    assert caught.value.response.status_code in (409, 422)


@pytest.mark.parametrize(
    "parameters",
    [
        {"account": "bybit-simulated-second"},
        {"account": "bybit-production-main"},
        {"portfolio": "no-such"},
        {"mode": "live"},
        {"modus": "execute"},
        {"key": "a b"},
    ],
)
def test_the_server_refuses_wrong_parameters(
    stack: Stack, client: SyncPrefectClient, parameters: dict[str, Any]
) -> None:
    deployment = client.read_deployment_by_name(REBALANCE)
    with pytest.raises(PrefectHTTPStatusError) as caught:
        client.create_flow_run_from_deployment(deployment.id, parameters=parameters)
    assert caught.value.response.status_code in (409, 422)


def test_blocks_load_without_importing_them(stack: Stack) -> None:
    """The entry point makes our block types known to any process that has the package."""
    code = (
        "from prefect.blocks.core import Block\n"
        "block = Block.load('trading-account/bybit-simulated-main')\n"
        "print(type(block).__module__, block.account_id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=stack.environment(),
        cwd=stack.home.root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.split() == ["tasks.blocks", "bybit.simulated.main"], done.stderr


def test_the_encryption_key_is_not_in_the_servers_database(stack: Stack) -> None:
    key = stack.home.encryption_key_file.read_bytes()
    assert stack.home.encryption_key_file.stat().st_mode & 0o077 == 0
    for file in stack.home.prefect.rglob("prefect.db*"):
        content = file.read_bytes()
        assert key not in content
        assert b"main-secret" not in content


def test_a_second_stack_in_the_same_folder_is_refused(stack: Stack) -> None:
    from deployments.processes import StackFailed
    from deployments.stack import running

    with pytest.raises(StackFailed, match="already runs"), running(stack.home, handle_signals=False):
        pass
