"""Accounts from the blocks of a running stack: listed, loaded from YAML, opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from prefect.client.orchestration import get_client

from deployments.settings import client_settings
from deployments.stack import Stack
from tests.cli.conftest import Cli

SECOND = """
accounts:
  - venue: bybit
    environment: simulated
    name: second
    credentials: {api_key: second-key, api_secret: second-secret}
portfolios:
  - {name: cli-pair, quote_currency: USDT, targets: {"BTC/USDT:USDT": "0.25"}}
"""


@pytest.fixture
def stacked(bare: Cli, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line as a person with a stack has it: the home folder says where it listens."""
    monkeypatch.setenv("ALGOTRENDY_HOME", str(stack.home.root))
    for name in client_settings(stack.home, api_url=stack.addresses.api_url):
        monkeypatch.setenv(name, "")  # so that what the command sets is taken back after the test
        monkeypatch.delenv(name)
    return bare


def test_a_file_becomes_blocks_that_commands_open(stacked: Cli, tmp_path: Path) -> None:
    file = tmp_path / "second.yaml"
    file.write_text(SECOND)
    applied = stacked("accounts", "apply", str(file))
    assert applied.code == 0, applied.err
    assert "account bybit-simulated-second" in applied.err
    assert "second-secret" not in applied.out + applied.err
    with get_client(sync_client=True) as client:
        form = client.read_deployment_by_name("rebalance/rebalance-bybit-simulated-main").parameter_openapi_schema
    assert form is not None and "cli-pair" in form["properties"]["portfolio"]["enum"]

    listed = stacked("accounts", "--json").json
    assert "bybit-simulated-second" in {item["name"] for item in listed["accounts"]}
    assert "cli-pair" in {item["name"] for item in listed["portfolios"]}

    balances = stacked("balances", "--account", "bybit.simulated.second", "--json")
    assert balances.code == 0, balances.err
    assert balances.json["account"] == "bybit.simulated.second"
    planned = stacked("plan", "-a", "bybit-simulated-second", "-p", "cli-pair", "--json")
    assert len(planned.json["plan"]["legs"]) == 1


def test_a_block_that_is_not_there_is_named(stacked: Cli) -> None:
    done = stacked("balances", "--account", "bybit-simulated-nobody")
    assert done.code == 3
    assert "known: " in done.err


def test_a_server_that_does_not_answer_is_named(bare: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    done = bare("accounts")
    assert done.code == 3
    assert "does not answer" in done.err
