"""The command line, called in this process against a simulated venue of its own, with a ledger of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from simulators import Control, Running, running_bybit
from simulators.testing import small_config

ACCOUNTS = """
accounts:
  - venue: bybit
    environment: simulated
    name: main
    credentials: {api_key: main-key, api_secret: main-secret}
    settle_currencies: [USDT]
    leverage: {"BTC/USDT:USDT": "3"}
  - venue: bybit
    environment: simulated
    name: reader
    credentials: {api_key: reader, api_secret: reader-secret}
  - venue: bybit
    environment: testnet
    name: main
    credentials: {api_key_env: TEST_KEY, api_secret_env: TEST_SECRET}
portfolios:
  - name: pair
    quote_currency: USDT
    targets: {"BTC/USDT:USDT": "0.3", "ETH/USDT:USDT": "-0.1"}
    cash_buffer: "0.02"
"""


@dataclass(frozen=True)
class Done:
    """What one command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be JSON and nothing else."""
        return json.loads(self.out)


Cli = Callable[..., Done]


@pytest.fixture
def sim() -> Iterator[Running[Control]]:
    with running_bybit(small_config()) as running:
        yield running


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    file = tmp_path / "accounts.yaml"
    file.write_text(ACCOUNTS)
    return file


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Cli:
    """The command line without accounts, stack or simulator; `--debug` and the like go first."""
    for name in ("ALGOTRENDY_ACCOUNTS", "ALGOTRENDY_SIMULATOR", "ALGOTRENDY_LEDGER_URL", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALGOTRENDY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments: str) -> Done:
        capfd.readouterr()
        code = main(list(arguments))
        captured = capfd.readouterr()
        return Done(int(code), captured.out, captured.err)

    return call


@pytest.fixture
def cli(bare: Cli, sim: Running[Control], accounts_file: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with an accounts file and a running simulator."""
    monkeypatch.setenv("ALGOTRENDY_ACCOUNTS", str(accounts_file))
    monkeypatch.setenv("ALGOTRENDY_SIMULATOR", sim.url)
    return bare
