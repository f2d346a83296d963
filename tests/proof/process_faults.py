"""C29, C30, C32: the database goes away, fills up, is locked, is older than the venue, or is of another version.

Each scenario has orders in flight when it happens (the simulator holds the answers back), then looks at three things:
nothing more was sent while the ledger was away, what the venue answered was kept in the spool where that was possible,
and afterwards every intent has exactly one order.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from sqlalchemy import create_engine, make_url, text

from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.errors import LedgerSchemaNewer, LedgerUnavailable
from tests.ledger.conftest import PostgresCluster
from tests.proof.process_scene import CREATE, Scene, Tally, Verdict, judge, result, scene, wait_until
from tests.proof.process_worker import LINEAR, SPOT, Worker
from tests.proof.result import LayerResult
from trading.orders.spool import spool_of

IN_FLIGHT_S = 1.5
QUOTA_BYTES = 8_192
ORDERS = 4
Scenario = Callable[[Scene, str, Tally, str], list[str]]


def faults(
    database: str, cluster: PostgresCluster | None, *, rounds: int, seed: int, replay: str, only: str = ""
) -> LayerResult:
    """Every scenario of the database, `rounds` times."""
    began_s, tally, total = time.monotonic(), Tally(), Verdict()
    histories = 0
    for number in range(rounds):
        for name, scenario in SCENARIOS[database].items():
            if only not in name:
                continue
            with scene(database, cluster) as on:
                keys = scenario(on, f"{seed}-{number} {name}", tally, replay)
                verdict = judge(on, keys, replay=replay, tally=tally)
            histories += len(keys)
            _add(total, verdict)
    return result(f"database faults, {database}", tally, total, histories=histories, began_s=began_s)


def _add(total: Verdict, one: Verdict) -> None:
    for name in ("duplicated", "lost", "orphaned", "stuck", "to_person", "filled"):
        setattr(total, name, getattr(total, name) + getattr(one, name))


# -- orders in flight -------------------------------------------------------------------------------------------
def _orders(prefix: str, count: int = ORDERS) -> tuple[tuple[str, str, str | None], ...]:
    return tuple((f"{prefix} {n}", LINEAR if n % 2 else SPOT, None) for n in range(count))


def _in_flight(on: Scene, prefix: str) -> tuple[list[Worker], list[str]]:
    """One worker for each order; each has sent it, the venue has executed it and holds the answer back."""
    on.sim.control.fault("delay", path=CREATE, times=ORDERS, after_s=IN_FLIGHT_S)
    orders = _orders(prefix)
    workers = [on.start(on.errand(f"in flight {key}", orders=((key, symbol, limit),))) for key, symbol, limit in orders]
    wait_until(lambda: len(on.sim.control.orders("main")) == ORDERS, timeout_s=30.0, poll_s=0.02)
    return workers, [key for key, _, _ in orders]


def _finish(on: Scene, keys: list[str], workers: list[Worker], tally: Tally, replay: str) -> int:
    """The workers are gone; what they left is taken in and finished by a watcher. How many answers lay in the spool."""
    for worker in workers:
        worker.ended(60.0)
    spooled = _spooled(on)
    with on.watchers(1) as watching:
        if not on.settle(keys):
            tally.fail("I5", f"{on.database}: not settled: {[row.business_key for row in on.unsettled(keys)]}", replay)
    left = _spooled(on)
    taken = watching[0].told.get("spooled", 0)
    if left or taken < spooled:
        tally.fail("the spool is taken in", f"{on.database}: {left} left, {taken} of {spooled} taken in", replay)
    return spooled


def _spooled(on: Scene) -> int:
    return sum(1 for _ in _spool_folder(on).glob("*.json")) if _spool_folder(on).is_dir() else 0


def _spool_folder(on: Scene) -> Path:
    if on.database == "sqlite":
        return spool_of(on.url).folder
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(on.folder / "state")
    try:
        return spool_of(on.ledger.url).folder
    finally:
        os.environ.pop("XDG_STATE_HOME")
        if before is not None:
            os.environ["XDG_STATE_HOME"] = before


def _require_spool(on: Scene, found: int, tally: Tally, replay: str) -> None:
    if not found:
        tally.fail("answers reach the spool", f"{on.database}: the ledger was away and no answer was spooled", replay)


def _require_stop(on: Scene, workers: list[Worker], posts: int, tally: Tally, replay: str) -> None:
    """While the ledger is away nobody sends: a fresh order asked for now never leaves."""
    if len(on.sim.control.requests(path=CREATE)) != posts:
        tally.fail("I2", f"{on.database}: orders left while the ledger was away", replay)


# -- PostgreSQL -------------------------------------------------------------------------------------------------
def restart(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """The server crashes and comes back while orders are in flight."""
    assert on.cluster is not None
    workers, keys = _in_flight(on, prefix)
    posts = len(on.sim.control.requests(path=CREATE))
    on.cluster.restart()
    tally.add(faults=1)
    _require_stop(on, workers, posts, tally, replay)
    wait_until(_serves(on), timeout_s=30.0)
    _finish(on, keys, workers, tally, replay)
    return keys


def _serves(on: Scene) -> Callable[[], bool]:
    def asks() -> bool:
        try:
            with on.ledger.read():
                return True
        except LedgerUnavailable:
            return False

    return asks


def backends_ended(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """pg_terminate_backend for every connection, again and again until the orders are through."""
    assert on.cluster is not None
    database = make_url(on.url).database
    assert database is not None
    workers, keys = _in_flight(on, prefix)
    ended = 0
    while any(worker.process.exitcode is None for worker in workers) and ended < 200:
        ended += on.cluster.end_connections(database)
        for worker in workers:
            worker.process.join(0.05)
    tally.add(faults=ended)
    wait_until(_serves(on), timeout_s=30.0)
    _finish(on, keys, workers, tally, replay)
    return keys


def server_away(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """New connections are refused while the answers come back: they must reach the spool."""
    assert on.cluster is not None
    database = make_url(on.url).database
    assert database is not None
    workers, keys = _in_flight(on, prefix)
    posts = len(on.sim.control.requests(path=CREATE))
    on.cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    on.cluster.end_connections(database)
    tally.add(faults=1)
    for worker in workers:
        worker.ended(60.0)
    _require_stop(on, workers, posts, tally, replay)
    _require_spool(on, _spooled(on), tally, replay)
    on.cluster.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    _finish(on, keys, workers, tally, replay)
    return keys


# -- SQLite -----------------------------------------------------------------------------------------------------
@contextmanager
def _locked(file: Path) -> Iterator[None]:
    """Another process' transaction that does not end."""
    holder = sqlite3.connect(file, timeout=20.0, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        holder.execute("ROLLBACK")
        holder.close()


def locked(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """SQLITE_BUSY beyond the timeout: the file is locked when the answers come, until every worker has given up."""
    workers, keys = _in_flight(on, prefix)
    posts = len(on.sim.control.requests(path=CREATE))
    with _locked(_file(on)):
        tally.add(faults=1)
        for worker in workers:
            worker.ended(60.0)
        _require_stop(on, workers, posts, tally, replay)
    _require_spool(on, _spooled(on), tally, replay)
    _finish(on, keys, workers, tally, replay)
    return keys


def writes_fail(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """With orders in flight the workers may no longer write large files (RLIMIT_FSIZE), as on a full quota: the ledger
    fails in the middle of a write, the spool's small files can be written."""
    workers, keys = _in_flight(on, prefix)
    for worker in workers:
        with suppress(psutil.NoSuchProcess):  # on a busy machine one may be through already
            psutil.Process(worker.pid).rlimit(psutil.RLIMIT_FSIZE, (QUOTA_BYTES, QUOTA_BYTES))
    tally.add(faults=len(workers))
    for worker in workers:
        worker.ended(60.0)
    _require_spool(on, _spooled(on), tally, replay)
    _finish(on, keys, workers, tally, replay)
    return keys


def disk_full(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """A full disk under ledger and spool alike: a tmpfs where mounting is allowed, else the scenario says so."""
    disk = on.folder / "disk"
    disk.mkdir()
    if not _mounted(disk):
        tally.add(faults=0)
        return []
    try:
        small = disk / "ledger.db"
        shutil.copy(_file(on), small)
        with Ledger.open(f"sqlite:///{small}", environment=Environment.SIMULATED) as ledger:
            there = replace(on, url=f"sqlite:///{small}", ledger=ledger)
            workers, keys = _in_flight(there, prefix)
            _fill(disk / "filler")
            tally.add(faults=1)
            for worker in workers:
                worker.ended(60.0)
            (disk / "filler").unlink()
            _finish(there, keys, workers, tally, replay)
            judge(there, keys, replay=replay, tally=tally)
        shutil.copy(small, _file(on))
        return keys
    finally:
        for worker in on.workers:
            worker.end()
        subprocess.run(["umount", str(disk)], check=False)


def _mounted(folder: Path) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _fill(file: Path) -> None:
    with suppress(OSError), file.open("wb", buffering=0) as sink:
        while True:
            sink.write(b"x" * 4096)


def read_only(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """A ledger that this user may only read: the job ends before its first request that could trade."""
    orders = _orders(prefix)
    file = _file(on)
    file.chmod(0o444)
    as_nobody = os.geteuid() == 0  # root may write whatever the mode says
    on.folder.chmod(0o755)
    worker = on.start(on.errand("reads only", orders=orders, as_nobody=as_nobody))
    tally.add(faults=1)
    if worker.ended(60.0) == 0 or on.sim.control.orders("main"):
        tally.fail("a ledger that cannot be written sends nothing", f"{on.database}: {worker.told}", replay)
    file.chmod(0o600)
    _submit_missing(on, orders)
    return [key for key, _, _ in orders]


def _file(on: Scene) -> Path:
    return Path(on.url.removeprefix("sqlite:///"))


def _submit_missing(on: Scene, orders: tuple[tuple[str, str, str | None], ...]) -> None:
    """Ask for the same orders again under the same keys, as the job that failed would be started again."""
    on.start(on.errand("asks again", orders=orders, timeout_s=60.0)).ended(90.0)


# -- an older ledger --------------------------------------------------------------------------------------------
def restored(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """C30: the ledger is put back to a copy from some orders ago. Nothing may be sent before they are explained."""
    first, later, new = _orders(f"{prefix} a"), _orders(f"{prefix} b"), _orders(f"{prefix} c", 2)
    _trade(on, first)
    put_back = _copied(on, "older")
    _trade(on, later)
    sent = len(on.sim.control.orders("main"))
    put_newest_back = _copied(on, "newest")
    put_back()
    tally.add(faults=1)
    for number in range(3):  # asking again does not explain them
        job = on.start(on.errand(f"starts {number}", job="start", orders=new, timeout_s=2.0))
        job.ended(60.0)
        if job.told.get("refused") != "ORDERS_UNEXPLAINED":
            tally.fail("C30: an old ledger refuses", f"{on.database}: {job.told} {job.log_tail(500)}", replay)
    # Not even a desk that skips the start may send: the pool is halted.
    past_it = on.start(on.errand("skips the start", orders=new, timeout_s=2.0))
    past_it.ended(60.0)
    if len(on.sim.control.orders("main")) != sent:
        tally.fail("C30: an old ledger sends nothing", f"{on.database}: an order left", replay)
    # The ledger that explains them is found again: trading goes on.
    put_newest_back()
    job = on.start(on.errand("starts with the newest", job="start", orders=new))
    if job.ended(60.0) != 0 or job.told.get("refused") != "":
        tally.fail("C30: an explained ledger trades", f"{on.database}: {job.told} {job.log_tail(500)}", replay)
    return [key for key, _, _ in (*first, *later, *new)]


def _trade(on: Scene, orders: tuple[tuple[str, str, str | None], ...]) -> None:
    worker = on.start(on.errand("trades", orders=orders))
    assert worker.ended(60.0) == 0, worker.log_tail()


def _copied(on: Scene, name: str) -> Callable[[], None]:
    """Take a copy of the ledger now; what is returned puts it in the ledger's place."""
    if on.database == "sqlite":
        copy = on.folder / f"{name}.db"
        shutil.copy(_file(on), copy)

        def put() -> None:
            on.ledger.close()
            shutil.copy(copy, _file(on))
            on.ledger = Ledger.open(on.url, environment=Environment.SIMULATED)

        return put
    assert on.cluster is not None
    cluster, database = on.cluster, str(make_url(on.url).database)
    on.ledger.close()
    cluster.end_connections(database)
    cluster.execute(f"CREATE DATABASE {database}_{name} TEMPLATE {database}")
    on.ledger = Ledger.open(on.url, environment=Environment.SIMULATED)

    def put_database() -> None:
        on.ledger.close()
        cluster.end_connections(database)
        cluster.execute(f"DROP DATABASE {database}")
        cluster.execute(f"ALTER DATABASE {database}_{name} RENAME TO {database}")
        on.ledger = Ledger.open(on.url, environment=Environment.SIMULATED)

    return put_database


# -- two versions -----------------------------------------------------------------------------------------------
def newer_schema(on: Scene, prefix: str, tally: Tally, replay: str) -> list[str]:
    """C32: a newer version has migrated the ledger; a process of this one refuses and sends nothing."""
    orders = _orders(prefix, 2)
    engine = create_engine(on.url)
    with engine.begin() as connection:
        before = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    old = on.start(on.errand("is older", job="start", orders=orders))
    tally.add(faults=1)
    old.ended(60.0)
    if old.told.get("error") != LedgerSchemaNewer.__name__ or on.sim.control.orders("main"):
        tally.fail("C32: an older version refuses", f"{on.database}: {old.told}", replay)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :before"), {"before": before})
    engine.dispose()
    _submit_missing(on, orders)
    return [key for key, _, _ in orders]


SCENARIOS: dict[str, dict[str, Scenario]] = {
    "sqlite": {
        "locked": locked,
        "writes fail": writes_fail,
        "disk full": disk_full,
        "read only": read_only,
        "restored": restored,
        "newer schema": newer_schema,
    },
    "postgresql": {
        "restart": restart,
        "backends ended": backends_ended,
        "server away": server_away,
        "restored": restored,
        "newer schema": newer_schema,
    },
}
