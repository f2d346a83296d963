"""A fresh account at the stack's simulator, with its blocks, for each test."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from pydantic import SecretStr

from brokers.ids import Environment, Venue
from deployments.stack import Stack
from tasks.blocks import BybitCredentials, LeverageTarget, PortfolioBlock, TargetWeight, TradingAccount
from tests.canaries import FLOWS_SECRET

_NUMBERS = itertools.count(1)
CANARY = FLOWS_SECRET


@dataclass
class SimulatedAccount:
    """One account at the simulator, by our name and by the venue's."""

    stack: Stack
    block: str
    name: str
    canary: str = CANARY

    def orders(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.stack.control("orders", account=self.name)
        return found

    def positions(self) -> dict[str, str]:
        return {row["symbol"]: row["signed_qty"] for row in self.stack.control("positions", account=self.name)}

    def trade(self, symbol: str, side: str, quantity: str) -> None:
        """A trade of the account's human, past us."""
        order = {"account": self.name, "symbol": symbol, "side": side, "qty": quantity}
        self.stack.control("place_order", post=order)

    def requests(self) -> int:
        """How many requests the venue has served."""
        return int(self.stack.control("health")["requests"])


@pytest.fixture
def venue(stack: Stack, pool_environment: Path) -> SimulatedAccount:
    """A funded account with two leverage targets and a portfolio `pair` of two lines."""
    name = f"test-{next(_NUMBERS)}"
    keys = [{"api_key": f"{name}-key", "api_secret": CANARY}]
    stack.control("create_account", post={"name": name, "balances": {"USDT": "100000"}, "keys": keys})
    block = f"bybit-simulated-{name}"
    BybitCredentials(
        environment=Environment.SIMULATED, api_key=SecretStr(f"{name}-key"), api_secret=SecretStr(CANARY)
    ).save(block, overwrite=True)
    TradingAccount(
        venue=Venue.BYBIT,
        environment=Environment.SIMULATED,
        account_name=name,
        credentials_name=block,
        base_url=stack.addresses.simulators[Venue.BYBIT],
        risk_overrides={"reconciled_first": False},  # each test has a new account; test_sweep_account.py has it on
        leverage=[
            LeverageTarget(instrument="AAPL/USDT:USDT", leverage="2"),
            LeverageTarget(instrument="MSFT/USDT:USDT", leverage="3"),
        ],
    ).save(block, overwrite=True)
    PortfolioBlock(
        portfolio_name="pair",
        targets=[
            TargetWeight(instrument="AAPL/USDT:USDT", weight="0.30"),
            TargetWeight(instrument="MSFT/USDT:USDT", weight="0.40"),
        ],
        cash_buffer="0.02",
        drift_absolute="0.01",
        minimum_trade_notional="25",
    ).save("pair", overwrite=True)
    return SimulatedAccount(stack=stack, block=block, name=name)


@pytest.fixture
def logged(stack: Stack) -> Any:
    """Everything that the server holds of a run: its logs, parameters, artifacts and task names, as one text."""
    from prefect.client.schemas.filters import ArtifactFilter, FlowRunFilter, LogFilter
    from prefect.logging.handlers import APILogHandler

    def read(run_id: Any) -> str:
        APILogHandler().flush()
        with get_client(sync_client=True) as client:
            logs = client.read_logs(LogFilter.model_validate({"flow_run_id": {"any_": [run_id]}}), limit=200)
            run = client.read_flow_run(run_id)
            artifacts = client.read_artifacts(
                artifact_filter=ArtifactFilter.model_validate({"flow_run_id": {"any_": [run_id]}})
            )
            tasks = client.read_task_runs(flow_run_filter=FlowRunFilter.model_validate({"id": {"any_": [run_id]}}))
        parts = [*(log.message for log in logs), run.model_dump_json(), *(str(artifact.data) for artifact in artifacts)]
        return "\n".join([*parts, *(task.model_dump_json() for task in tasks)])

    return read
