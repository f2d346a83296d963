"""Fixtures of the whole suite: waiting without sleeping, a real local stack, a folder in memory, and who runs what.

The secrets of the accounts in the tests are canaries: the session fails where it left one in a file.

Tests that use the stack share a server: they are put into groups, so that with several test processes
(`--dist loadgroup`) each group's process starts one, and ends it after the group; pytest 9.2 would no longer read the
attribute in which xdist 3.8 keeps a group. Groups and long tests come first, so that no process is left with one of
them at the end.

The suite's files lie in memory where there is some: nothing here tests that a disk keeps what was synced (that needs a
machine that loses power), and waiting for one takes a quarter of the time. `--basetemp=FOLDER` puts them elsewhere.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import hypothesis
import pytest

from tests.canaries import SUITE_SECRETS, leaking_files
from tests.schemas import Schemas, made_once

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.stack import Stack


# A busy machine is not a defect: no test asserts anything about time.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


WAITS_S_MAX = 60.0  # what comes is not waited for any longer, and a busy machine is not a defect


class Eventually(Protocol):
    def __call__(self, holds: Callable[[], object], *, timeout_s: float = WAITS_S_MAX) -> object: ...


MEMORY = Path("/dev/shm")
MEMORY_BYTES_MIN = 2 << 30
GARBAGE_OBJECTS_MIN = 20_000  # Python's own 700 suits a small heap
# By time taken: what takes long must not be what is left at the end.
LONG_FIRST = (
    "tests/stack/",
    "tests/flows/",
    "tests/proof/",
    "tests/trading/orders/test_histories",
    "tests/trading/test_years",
    "tests/trading/orders/",
)


def pytest_configure(config: pytest.Config) -> None:
    is_worker = hasattr(config, "workerinput")  # its folder is made by the process that starts it
    if is_worker or config.option.basetemp or not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return
    if shutil.disk_usage(MEMORY).free >= MEMORY_BYTES_MIN:
        config.option.basetemp = tempfile.mkdtemp(prefix="algotrendy-tests-", dir=MEMORY)
        config.stash[_MEMORY_FOLDER] = Path(config.option.basetemp)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    folder = session.config.stash.get(_MEMORY_FOLDER, None)
    if folder is not None and exitstatus == pytest.ExitCode.OK:  # files of a failure stay to be looked at
        shutil.rmtree(folder, ignore_errors=True)


_MEMORY_FOLDER = pytest.StashKey[Path]()
_STACK_KEEPER = pytest.StashKey["StackKeeper"]()


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """What is collected lives to the end: looking through it for garbage again and again takes a tenth of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(GARBAGE_OBJECTS_MIN)
        gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each test process begins with other folders: what one has compiled, the others load; else each compiles all."""
    report = yield
    worker = getattr(collector.config, "workerinput", None)
    if worker is not None and isinstance(collector, pytest.Dir) and collector.path == Path(__file__).parent:
        number, of = int(worker["workerid"].removeprefix("gw")), worker["workercount"]
        begin = len(report.result) * (number % of) // of
        report.result = report.result[begin:] + report.result[:begin]
    return report


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups, in the same hook
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):  # all processes must have them in one order
        items.sort(key=lambda item: item.path.parts)
    first: dict[str, int] = {}  # tests that share a stack follow one another, also in one process
    for item in items:
        if "stack_keeper" in getattr(item, "fixturenames", ()):
            is_run = item.nodeid.startswith("tests/stack/") and "test_deploying" not in item.nodeid
            group = "workers" if is_run else "flows"  # runs through workers take as long as all the rest of them
            item.add_marker(pytest.mark.xdist_group(group))
            item.add_marker(pytest.mark.stack)
            first[item.nodeid] = 0 if is_run else 1
    long = {
        item.nodeid: next((n for n, part in enumerate(LONG_FIRST) if item.nodeid.startswith(part)), 99)
        for item in items
    }
    items.sort(key=lambda item: (first.get(item.nodeid, 2), long[item.nodeid]))


@pytest.fixture(scope="session", autouse=True)
def nothing_left_holds_a_secret(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the session: the secrets of the suite's accounts stand in no file that it left behind.

    Set up first, so torn down last, when the stack has ended too. Ledgers, spools, reports, logs and the server's files
    all lie below this folder; accounts files that a test wrote on purpose hold other keys.
    """
    yield
    found = list(leaking_files(tmp_path_factory.getbasetemp(), SUITE_SECRETS))
    assert not found, f"secrets were left in {found[:10]}"


@pytest.fixture(scope="session", autouse=True)
def schemas() -> Iterator[Schemas]:
    """New ledgers of this process get their tables without running the migrations each time."""
    with made_once() as schemas:
        yield schemas


@pytest.fixture
def migrates(schemas: Schemas) -> Iterator[None]:
    """A test in which every new ledger is really migrated."""
    schemas.is_off = True
    yield
    schemas.is_off = False


@pytest.fixture(scope="session")
def eventually() -> Eventually:
    """Ask until the answer is true and return it; fail after the deadline."""

    def ask(holds: Callable[[], object], *, timeout_s: float = WAITS_S_MAX) -> object:
        deadline = time.monotonic() + timeout_s
        while not (answer := holds()):
            if time.monotonic() > deadline:
                pytest.fail(f"not true after {timeout_s:.0f} s: {getattr(holds, '__name__', holds)}")
            threading.Event().wait(0.05)
        return answer

    return ask


class StackKeeper:
    """The stack of tests that follow one another: the first starts it, and it ends after the last.

    A stack that nobody needs takes a twentieth of a core until the session ends.
    """

    def __init__(self, make_folder: Callable[[str], Path]) -> None:
        self._make_folder = make_folder
        self._opened = ExitStack()
        self._stack: Stack | None = None

    def started(self) -> Stack:
        if self._stack is None:
            self._stack = self._opened.enter_context(_running_stack(self._make_folder("stack")))
        return self._stack

    def end(self) -> None:
        self._stack = None
        self._opened.close()


@contextmanager
def _running_stack(folder: Path) -> Iterator[Stack]:
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, PREFECT_HOME, PREFECT_LOGGING_LEVEL, temporary_settings

    from deployments.home import Home
    from deployments.stack import running

    home = Home(folder)
    with running(home, workers=False, handle_signals=False, receiver_port=0) as up:
        own = {PREFECT_API_URL: up.addresses.api_url, PREFECT_HOME: home.prefect, PREFECT_LOGGING_LEVEL: "INFO"}
        with temporary_settings(updates=own):
            yield up
            APILogHandler().flush()  # what this process logged belongs to a server that is still there


@pytest.fixture(scope="session")
def stack_keeper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackKeeper]:
    keeper = request.config.stash[_STACK_KEEPER] = StackKeeper(tmp_path_factory.mktemp)
    yield keeper
    keeper.end()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    yield
    keeper = item.config.stash.get(_STACK_KEEPER, None)
    if keeper is not None and "stack_keeper" not in getattr(nextitem, "fixturenames", ()):
        keeper.end()


@pytest.fixture
def stack(stack_keeper: StackKeeper) -> Stack:
    """A running local stack without workers; this process talks to its server."""
    return stack_keeper.started()


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
