"""What a pool fixes for its processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.states import Completed

from brokers.errors import EnvironmentMismatch
from brokers.ids import Environment
from deployments.pools import Pool, runs_dry
from flows.job import Job, _told
from tasks.process import Process, is_dry_run


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_pool_that_runs_dry_tells_its_processes(dry_run: bool, tmp_path: Path) -> None:
    pool = Pool(
        environment=Environment.TESTNET,
        ledger_url="sqlite:///x.db",
        reports=tmp_path,
        key_registry=tmp_path / "keys.json",
        dry_run=dry_run,
    )
    assert Process.from_environment(pool.job_environment()).dry_run is dry_run
    constant = pool.base_job_template()["variables"]["properties"]["env"]["properties"]["ALGOTRENDY_DRY_RUN"]
    assert constant == {"type": "string", "const": str(int(dry_run))}  # a job cannot say otherwise


def test_whether_it_runs_dry_is_never_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not is_dry_run({})
    for text in ("true", "yes", "2", " 1"):
        with pytest.raises(EnvironmentMismatch, match="must be 0 or 1"):
            is_dry_run({"ALGOTRENDY_DRY_RUN": text})
    monkeypatch.setenv("ALGOTRENDY_DRY_RUN_TESTNET", "1")
    assert (runs_dry(Environment.TESTNET), runs_dry(Environment.PRODUCTION)) == (True, False)


def test_a_job_that_trades_in_a_dry_pool_says_that_nothing_was_sent() -> None:
    process = Process(
        Environment.SIMULATED, "sqlite:///x.db", "simulated", Path("reports"), Path("keys.json"), dry_run=True
    )
    job = Job("rebalance", "a", None, process, None, None)  # type: ignore[arg-type]
    ended = Completed(message="2 of 2 lines")
    assert _told(job, ended, trades=True).message == "Dry run, nothing was sent: 2 of 2 lines"
    assert _told(job, ended, trades=False).message == "2 of 2 lines"
