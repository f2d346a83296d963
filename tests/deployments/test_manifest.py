"""prefect.yaml: the shipped file is valid, and every mistake that Prefect lets pass is refused here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from brokers.ids import Environment
from deployments.manifest import FILE, ManifestRefused, load

Change = Callable[[dict[str, Any], dict[str, Any]], None]


def sample() -> dict[str, Any]:
    """One rebalance deployment with one schedule."""
    return {
        "name": "algotrendy",
        "prefect-version": "3.8.8",
        "pull": [],
        "deployments": [
            {
                "name": "rebalance-bybit-testnet-main",
                "entrypoint": "flows.rebalance.rebalance",
                "tags": ["testnet", "bybit"],
                "work_pool": {"name": "testnet"},
                "concurrency_limit": {"limit": 1, "collision_strategy": "CANCEL_NEW"},
                "parameters": {"account": "bybit-testnet-main", "portfolio": "majors"},
                "schedules": [
                    {
                        "slug": "close",
                        "cron": "55 15 * * 1-5",
                        "timezone": "America/New_York",
                        "active": True,
                        "parameters": {"mode": "execute"},
                    }
                ],
            }
        ],
    }


def written(tmp_path: Path, data: dict[str, Any]) -> Path:
    file = tmp_path / "prefect.yaml"
    file.write_text(yaml.safe_dump(data))
    return file


def _is_of_the_others(account: str | None) -> bool:
    """Simulated accounts beside the first one have what looks at them; `algotrendy deployments add` writes the rest."""
    return bool(account) and not str(account).startswith("bybit-")


def test_the_shipped_file_is_valid_and_complete() -> None:
    manifest = load()
    jobs = {(item.entrypoint, item.environment) for item in manifest.deployments if not _is_of_the_others(item.account)}
    assert len(jobs) == 18 * len(Environment)  # every job in every environment
    looks = Counter(item.account for item in manifest.deployments if _is_of_the_others(item.account))
    others = (f"{venue}-simulated-main" for venue in ("alpaca", "binance", "okx", "tradestation"))
    assert looks == dict.fromkeys(others, 5)  # check, sync, reconcile, daily statement, sweep
    assert FILE.read_text().count("&") < 10  # anchors, not secrets or URLs with queries


def test_nothing_runs_by_itself_in_production_or_trades_by_itself_anywhere() -> None:
    for deployment in load().deployments:
        for schedule in deployment.schedules:
            if deployment.environment is Environment.PRODUCTION:
                assert not schedule.active, deployment.name
            if schedule.parameters.get("mode") == "execute":
                assert not schedule.active, deployment.name


def test_environment_is_in_name_tags_pool_and_account() -> None:
    for deployment in load().deployments:
        environment = deployment.environment.value
        assert f"-{environment}-" in f"{deployment.name}-"
        assert environment in deployment.tags
        assert not deployment.account or deployment.account.split("-")[1] == environment


def test_the_sample_is_valid(tmp_path: Path) -> None:
    assert load(written(tmp_path, sample())).deployments[0].account == "bybit-testnet-main"


def _at(*path: str | int, value: Any = None, drop: bool = False) -> Change:
    def change(data: dict[str, Any], deployment: dict[str, Any]) -> None:
        place: Any = deployment
        for key in path[:-1]:
            place = place[key]
        if drop:
            del place[path[-1]]
        else:
            place[path[-1]] = value

    return change


MISTAKES: dict[str, tuple[Change, str]] = {
    # what Prefect ignores with exit status 0
    "misspelt concurrency limit": (_at("concurency_limit", value={"limit": 1}), "concurency_limit: Extra inputs"),
    "no concurrency limit": (_at("concurrency_limit", drop=True), "concurrency_limit: Field required"),
    "misspelt description": (_at("descripton", value="x"), "descripton: Extra inputs"),
    "unknown parameter": (
        _at("parameters", "portfolios", value="x"),
        "names portfolios, which rebalance does not take",
    ),
    "unknown parameter in a schedule": (
        _at("schedules", 0, "parameters", value={"modus": "execute"}),
        "schedule close names modus",
    ),
    "schedule without a required parameter": (_at("parameters", "portfolio", drop=True), "portfolio"),
    "unknown work queue": (_at("work_pool", value={"name": "testnet", "work_queue_name": "x"}), "work_queue_name"),
    "singular schedule": (_at("schedule", value={"cron": "0 0 * * *"}), "schedule: Extra inputs"),
    "job variables": (_at("work_pool", value={"name": "testnet", "job_variables": {}}), "job_variables"),
    "schema not enforced": (_at("enforce_parameter_schema", value=False), "enforce_parameter_schema"),
    # what Prefect refuses late or unclearly
    "unknown key in a schedule": (_at("schedules", 0, "paused", value=True), "paused: Extra inputs"),
    "unknown pool": (_at("work_pool", value={"name": "stage"}), "work_pool.name"),
    "misspelt pool": (_at("work_pol", value={"name": "testnet"}), "work_pol: Extra inputs"),
    "bad cron": (_at("schedules", 0, "cron", value="61 * * * *"), "cron"),
    "bad time zone": (_at("schedules", 0, "timezone", value="America/NewYork"), "IANA name"),
    "no time zone": (_at("schedules", 0, "timezone", drop=True), "timezone: Field required"),
    "no switch": (_at("schedules", 0, "active", drop=True), "active: Field required"),
    "bad strategy": (_at("concurrency_limit", "collision_strategy", value="CANCEL"), "collision_strategy"),
    "misspelt strategy": (
        _at("concurrency_limit", value={"limit": 1, "colision_strategy": "ENQUEUE"}),
        "colision_strategy",
    ),
    "two at once": (_at("concurrency_limit", "limit", value=2), "limit"),
    "wrong type of a value": (_at("parameters", "mode", value=3), "does not fit rebalance"),
    "value outside the choices": (_at("schedules", 0, "parameters", value={"mode": "live"}), "does not fit rebalance"),
    "no such flow": (_at("entrypoint", value="flows.rebalance.rebalanse"), "gives no flow"),
    "no such module": (_at("entrypoint", value="flows.rebalanse.rebalance"), "gives no flow"),
    "a file as entry point": (_at("entrypoint", value="flows/rebalance.py:rebalance"), "entrypoint"),
    # what is ours
    "account of another environment": (
        _at("parameters", "account", value="bybit-production-main"),
        "not of the environment of its pool testnet",
    ),
    "account that says no environment": (_at("parameters", "account", value="main"), "must name an account such as"),
    "name without the account": (_at("name", value="rebalance-testnet"), "name must end with the account's name"),
    "tags without the environment": (_at("tags", value=["bybit"]), "tags must hold the environment testnet"),
    "tags of two environments": (_at("tags", value=["testnet", "production"]), "must not hold another environment"),
    "no account where the job needs one": (
        lambda data, deployment: (deployment["parameters"].pop("account"), deployment.update(name="rebalance-testnet"))[
            1
        ],
        "rebalance needs the account",
    ),
    "an account where the job is of a pool": (
        _at("entrypoint", value="flows.drain_alerts.drain_alerts"),
        "drain-alerts is for a whole pool and takes no account",
    ),
    "a job of a pool that is named after none": (
        lambda data, deployment: deployment["parameters"].pop("account"),
        "must end with its pool -testnet",
    ),
    "schedule for another account": (
        _at("schedules", 0, "parameters", value={"account": "bybit-testnet-second"}),
        "must not name another account",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_are_refused_by_name(tmp_path: Path, mistake: str) -> None:
    change, told = MISTAKES[mistake]
    data = sample()
    change(data, data["deployments"][0])
    with pytest.raises(ManifestRefused) as caught:
        load(written(tmp_path, data))
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: data.update(deployment=[]), "deployment: Extra inputs"),
        (lambda data: data.update(pull=[{"x": {}}]), "pull"),
        (lambda data: data.pop("pull"), "pull: Field required"),
        (lambda data: data.update(deployments=[]), "deployments"),
        (lambda data: data["deployments"].append(data["deployments"][0]), "repeated: rebalance-bybit-testnet-main"),
        (lambda data: data["deployments"][0]["schedules"].append(data["deployments"][0]["schedules"][0]), "slugs"),
    ],
)
def test_mistakes_of_the_file_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], told: str
) -> None:
    data = sample()
    change(data)
    with pytest.raises(ManifestRefused) as caught:
        load(written(tmp_path, data))
    assert told in str(caught.value)


def test_a_file_that_is_not_yaml_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(ManifestRefused, match="cannot be read"):
        load(tmp_path / "no.yaml")
    (tmp_path / "bad.yaml").write_text("deployments: [")
    with pytest.raises(ManifestRefused, match="cannot be read"):
        load(tmp_path / "bad.yaml")
