"""Fixtures of the whole suite: waiting without sleeping, and one real local stack per session.

The secrets of the accounts in the tests are canaries: the session fails where it left one in a file.

Tests that use the stack share one server: they are put into one group, so that with several test processes
(`-n 2 --dist loadgroup`) only one of them starts it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import hypothesis
import pytest

from tests.canaries import SUITE_SECRETS, leaking_files

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.stack import Stack


# A busy machine is not a defect: no test asserts anything about time.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


class Eventually(Protocol):
    def __call__(self, holds: Callable[[], object], *, timeout_s: float = 20.0) -> object: ...


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("stack"))
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="session", autouse=True)
def nothing_left_holds_a_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the session: the secrets of the suite's accounts stand in no file that it left behind.

    Set up first, so torn down last, when the stack has ended too. Ledgers, spools, reports, logs and the server's files
    all lie below this folder; accounts files that a test wrote on purpose hold other keys.
    """
    yield
    found = list(leaking_files(tmp_path_factory.getbasetemp(), SUITE_SECRETS))
    assert not found, f"secrets were left in {found[:10]}"


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Ask until the answer is true and return it; fail after the deadline."""

    def ask(holds: Callable[[], object], *, timeout_s: float = 20.0) -> object:
        deadline = time.monotonic() + timeout_s
        while not (answer := holds()):
            if time.monotonic() > deadline:
                pytest.fail(f"not true after {timeout_s:.0f} s: {getattr(holds, '__name__', holds)}")
            threading.Event().wait(0.05)
        return answer

    return ask


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running local stack without workers; this process talks to its server."""
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_LEVEL, temporary_settings

    from deployments.home import Home
    from deployments.stack import running

    home = Home(tmp_path_factory.mktemp("stack"))
    with running(home, workers=False, handle_signals=False) as up:
        own = {PREFECT_API_URL: up.addresses.api_url, PREFECT_HOME: home.prefect, PREFECT_LOGGING_LEVEL: "INFO"}
        with temporary_settings(updates=own):
            yield up
            APILogHandler().flush()  # what this process logged belongs to a server that is still there


@pytest.fixture
def worker(stack: Stack) -> Child:
    """The stack's worker of the simulated pool; started when a test before has ended it."""
    alive = [child for child in stack.supervisor.children if child.name.startswith("worker-") and not child.ended()]
    return alive[0] if alive else stack.start_worker("simulated")


@pytest.fixture
def pool_environment(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """What the simulated pool sets for its jobs, for flows that are called in this process; a ledger of its own."""
    from brokers.ids import Environment
    from deployments.pools import Pool

    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    pool = Pool(
        environment=Environment.SIMULATED,
        ledger_url=url,
        reports=tmp_path / "reports",
        key_registry=tmp_path / "key-registry.json",
    )
    for name, value in pool.job_environment().items():
        monkeypatch.setenv(name, value)
    return tmp_path / "ledger.db"
