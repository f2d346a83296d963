"""A receiver on real sockets before a real ledger, on both databases."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from brokers.ids import Environment
from ledger.alert_tables import InboxRow
from ledger.engine import Ledger
from ledger.inbox_tokens import AlertTokens
from tests.ledger.conftest import PostgresCluster
from tests.webhooks.client import Answer, ask
from tests.webhooks.sizes import DATABASES
from webhooks.server import Receiver, bind, serving
from webhooks.settings import Limits, listening

TOKEN = "canary-token-q8Zr2Vw6Xj4Tn0Kd5Lb9Hm3Pc7Sf1Gy"
NEXT_TOKEN = "canary-next-w3Bt9Xk1Vh7Qz5Nf2Mr8Lc6Jd4Gp0Sy"
SOURCE = "breakout"
PATH = "/api/webhook/tradingview"
PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def receiver_postgres() -> Iterator[PostgresCluster]:
    cluster = PostgresCluster.create()
    try:
        cluster.execute("CREATE DATABASE receiver")
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger as it is made, to be copied: making one takes half a second."""
    file = tmp_path_factory.mktemp("receiver") / "migrated.db"
    with Ledger.open(f"sqlite:///{file}", environment=Environment.SIMULATED) as ledger:
        add_token(ledger, SOURCE, TOKEN)
    return file


@pytest.fixture
def sqlite_url(tmp_path: Path, migrated: Path) -> str:
    shutil.copyfile(migrated, tmp_path / "ledger.db")
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgres_url(receiver_postgres: PostgresCluster) -> Iterator[str]:
    with Ledger.open(receiver_postgres.url("receiver"), environment=Environment.SIMULATED) as ledger:
        add_token(ledger, SOURCE, TOKEN)
    yield receiver_postgres.url("receiver")
    receiver_postgres.empty("receiver")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=DATABASES)
def process_ledger_url(request: pytest.FixtureRequest) -> str:
    """For tests that start the command."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@dataclass
class Served:
    """A running receiver and what stands behind it."""

    url: str
    receiver: Receiver
    ledger: Ledger
    known: frozenset[int] = frozenset()  # stored before the test

    def post(self, body: bytes = b"{}", *, path: str = f"{PATH}/{TOKEN}", **options: Any) -> Answer:
        return ask(self.url, path, body, **options)

    def get(self, path: str) -> Answer:
        return ask(self.url, path, method="GET")

    def stored(self) -> dict[int, bytes]:
        return {number: raw for number, raw in stored(self.ledger).items() if number not in self.known}

    def metric(self, line: str) -> float:
        """The value of one line of /metrics; 0 where it is not there."""
        text = self.get("/metrics").body.decode()
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found.group(1)) if found else 0.0


Serve = Callable[..., Served]


@contextmanager
def started(
    url: str, *, limits: Limits | None = None, senders: dict[str, Any] | None = None, **more: Any
) -> Iterator[Served]:
    """A receiver on loopback before the ledger at `url`."""
    settings = listening(host="127.0.0.1", port=0, limits=limits, **(senders or {}))
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        receiver = Receiver(ledger, settings, **more)
        with serving(receiver, bind(settings)) as address:
            yield Served(address, receiver, ledger)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a receiver for a ledger; everything started is stopped at the end."""
    with ExitStack() as stack:
        yield lambda url, **options: stack.enter_context(started(url, **options))


@pytest.fixture
def served(serve: Serve, ledger_url: str) -> Served:
    """A receiver of the test's own, on both databases."""
    return serve(ledger_url)


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Served]:
    file = tmp_path_factory.mktemp("standing") / "ledger.db"
    shutil.copyfile(migrated, file)
    with started(f"sqlite:///{file}") as running:
        yield running


@pytest.fixture
def shared(standing: Served) -> Served:
    """One receiver for all tests that leave it as it was; it knows which alerts are the test's own."""
    return replace(standing, known=frozenset(stored(standing.ledger)))


# -- the ledger -------------------------------------------------------------------------------------------------
def add_token(ledger: Ledger, source: str, token: str) -> None:
    AlertTokens(ledger).add_token(source, by="tester", secret=token)


def stored(ledger: Ledger) -> dict[int, bytes]:
    """Every alert in the inbox: number and bytes."""
    with ledger.read() as session:
        rows = session.execute(select(col(InboxRow.alert_id), col(InboxRow.raw))).all()
    return {number: bytes(raw) for number, raw in rows}


# -- a process of its own ---------------------------------------------------------------------------------------
@dataclass
class Process:
    """`algotrendy receive` as an operator starts it."""

    child: subprocess.Popen[bytes]
    log: Path
    url: str = ""

    def lines(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()


Launch = Callable[..., Process]


@pytest.fixture
def launch(tmp_path: Path, eventually: Any) -> Iterator[Launch]:
    """Start the command and wait until it listens; what still runs is killed at the end."""
    started: list[Process] = []

    def start(ledger_url: str, *arguments: str) -> Process:
        log = tmp_path / f"receiver-{len(started)}.log"
        command = [sys.executable, "-m", "cli.main", "receive", "--port", "0", *arguments]
        environment = {**os.environ, "ALGOTRENDY_LEDGER_URL": ledger_url, "ALGOTRENDY_HOME": str(tmp_path / "home")}
        with log.open("wb") as sink:
            child = subprocess.Popen(command, stdout=sink, stderr=subprocess.STDOUT, env=environment, cwd=PROJECT)
        started.append(Process(child, log))

        def listens() -> str | None:
            assert child.poll() is None, log.read_text()
            found = re.search(r"listening on (http://\S+)", log.read_text())
            with suppress(OSError):
                if found and ask(found.group(1), "/health", method="GET").status == 200:
                    return found.group(1)
            return None

        started[-1].url = str(eventually(listens, timeout_s=60))
        return started[-1]

    yield start
    for process in started:
        if process.child.poll() is None:
            process.kill()
