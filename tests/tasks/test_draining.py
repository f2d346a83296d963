"""A drain: what it admits, that lanes go side by side and each in order, who takes over, and how it stops."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import SystemClock
from brokers.errors import ConnectFailed, EnvironmentMismatch, PermissionRefused
from brokers.ids import AccountId, Environment
from ledger.engine import Ledger
from ledger.inbox import AlertStore, Delivery, InboxState
from simulators import Control, Running, running_bybit
from simulators.testing import small_config
from tasks.accounts import Accounts
from tasks.config import Account, ConfigRefused
from tasks.draining import Drain, DrainLimits
from tests.conftest import Eventually
from tests.ledger.conftest import PostgresCluster
from tests.trading.simulated import ACCOUNT, QuickClock, open_runtime
from trading.alerts import AlertConfig
from trading.alerts.handling_model import AccountRefused
from trading.alerts.operating import apply_routes
from trading.starting import NotReadyToTrade, StartReason

S = InboxState
ROUTE = """
  - {{name: {name}, source: tv, symbol: {symbol}USDT.P, account: bybit.simulated.main,
     instrument: "{symbol}/USDT:USDT", quantity_max: "10", actions: [open_long], bare_action: direction,
     ttl_market_s: 300}}"""
ROUTES = "sources: [{name: tv, max_age_s: 600}]\nroutes:" + "".join(
    ROUTE.format(name=symbol.lower(), symbol=symbol) for symbol in ("BTC", "ETH")
)


class Loaded:
    """An account that is there."""


class Stage:
    """A simulated venue, a ledger, and any number of drains on them."""

    def __init__(self, url: str, sim: Running[Control], stack: ExitStack) -> None:
        self.url, self.sim, self.stack = url, sim, stack
        self.ledger = stack.enter_context(Ledger.open(self.url, environment=Environment.SIMULATED))
        self.store = AlertStore(self.ledger, free_bytes=lambda: 10**12)
        self.count = 0

    def routes(self, text: str = ROUTES) -> None:
        apply_routes(AlertConfig.parse(text), self.ledger, by="test")

    def send(self, symbol: str = "BTCUSDT.P", action: str = "buy", quantity: str = "0.01", **fields: Any) -> int:
        self.count += 1
        body = {"v": 1, "symbol": symbol, "action": action, "quantity": quantity, "id": f"id-{self.count}", **fields}
        body = {name: value for name, value in body.items() if value is not None}
        raw = json.dumps(body).encode()
        (receipt,) = self.store.receive([Delivery(source="tv", raw=raw, received_at=datetime.now(UTC))])
        return receipt.alert_id

    def drain(self, **changes: Any) -> Drain:
        accounts = Accounts(load=lambda account_id: Loaded(), open_account=self._open, clock=SystemClock())  # type: ignore[arg-type,return-value]
        self.stack.callback(accounts.close)
        limits = DrainLimits(**{"sweep_s": 0.2, "poll_s": 0.02, **changes.pop("limits", {})})
        return Drain(self.store, accounts, limits=limits, **changes)

    @contextmanager
    def running(self, *drains: Drain) -> Iterator[None]:
        ends = threading.Event()
        threads = [threading.Thread(target=drain.run, args=(lambda: not ends.is_set(),)) for drain in drains]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ends.set()
            for thread in threads:
                thread.join(20)
                assert not thread.is_alive()

    def state(self, alert_id: int) -> InboxState:
        return self.store.show(alert_id).state

    def orders(self) -> list[Any]:
        return list(self.sim.control.orders("main"))

    @contextmanager
    def _open(self, account: Any) -> Iterator[Any]:
        with open_runtime(self.sim.url, self.url, clock=QuickClock(), reconciled_first=False) as runtime:
            yield runtime


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with ExitStack() as stack, running_bybit(small_config()) as sim:
        yield Stage(f"sqlite:///{tmp_path / 'ledger.db'}", sim, stack)


@pytest.fixture(scope="module")
def cluster() -> Iterator[PostgresCluster]:
    made = PostgresCluster.create()
    try:
        made.execute("CREATE DATABASE draining")
        yield made
    finally:
        made.stop()


@pytest.fixture
def postgres_url(cluster: PostgresCluster) -> Iterator[str]:
    yield cluster.url("draining")
    cluster.empty("draining")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def stage_on(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """The stage on each kind of database."""
    is_file = request.param == "sqlite"
    url = f"sqlite:///{tmp_path / 'ledger.db'}" if is_file else str(request.getfixturevalue("postgres_url"))
    with ExitStack() as stack, running_bybit(small_config()) as sim:
        yield Stage(url, sim, stack)


def test_alerts_become_orders_and_what_cannot_be_read_ends_with_a_reason(
    stage_on: Stage, eventually: Eventually
) -> None:
    stage = stage_on
    early = stage.send()
    with stage.running(stage.drain()):  # before any routes are there, an alert waits
        assert stage.state(early) is S.NEW
        stage.routes()
        good = [early, stage.send("ETHUSDT.P", quantity="0.1"), stage.send(action="exit", quantity=None)]
        bad = stage.store.receive([Delivery(source="tv", raw=b"\\xff\\xfe", received_at=datetime.now(UTC))])[0].alert_id
        stranger = stage.send("DOGEUSDT.P")
        everything = [*good, bad, stranger]
        eventually(lambda: all(stage.state(one).is_terminal for one in everything), timeout_s=30)
    assert [stage.state(one) for one in good] == [S.PLACED] * 3
    assert (stage.state(bad), stage.state(stranger)) == (S.POISON, S.REFUSED)
    assert [order.request.symbol for order in stage.orders()].count("BTCUSDT") == 2


def test_two_drains_share_the_lanes_and_keep_their_order(stage_on: Stage, eventually: Eventually) -> None:
    stage = stage_on
    stage.routes()
    wanted = [
        stage.send(symbol, action, quantity)
        for _ in range(4)
        for symbol, action, quantity in (
            ("BTCUSDT.P", "buy", "0.01"),
            ("ETHUSDT.P", "buy", "0.1"),
            ("BTCUSDT.P", "exit", None),
        )
    ]
    first, second = stage.drain(), stage.drain()
    with stage.running(first, second):
        eventually(lambda: all(stage.state(one).is_terminal for one in wanted), timeout_s=60)
    assert [stage.state(one) for one in wanted] == [S.PLACED] * 12
    sides = [order.request.side.value for order in stage.orders() if order.request.symbol == "BTCUSDT"]
    assert [side.lower() for side in sides] == ["buy", "sell"] * 4
    assert len(stage.orders()) == 12
    assert first.seen.worked_on + second.seen.worked_on >= 12


def test_the_name_of_a_task_says_action_and_instrument_and_nothing_else(stage: Stage, eventually: Eventually) -> None:
    names: list[str] = []

    def step(name: str, kind: Any, function: Callable[[], Any]) -> Any:
        names.append(name)
        return function()

    stage.routes()
    alert_id = stage.send(strategy="secret-sauce", comment="hello")
    with stage.running(stage.drain(step=step)):
        eventually(lambda: stage.state(alert_id).is_terminal, timeout_s=30)
    assert names == [f"alert {alert_id} buy BTC/USDT:USDT"]


def test_an_error_in_a_sweep_ends_nothing(stage: Stage, eventually: Eventually, monkeypatch: Any) -> None:
    stage.routes()
    drain = stage.drain()
    admit, failures = stage.store.admit, iter([ZeroDivisionError("bug"), None])

    def failing(*arguments: Any, **named: Any) -> int:
        error = next(failures, None)
        if error is not None:
            raise error
        return admit(*arguments, **named)

    monkeypatch.setattr(stage.store, "admit", failing)
    alert_id = stage.send()
    with stage.running(drain):
        eventually(lambda: stage.state(alert_id).is_terminal, timeout_s=30)
    assert drain.seen.failed == 1 and drain.seen.admitted == 1


def test_what_cannot_be_done_now_is_not_asked_for_all_the_time(stage: Stage, eventually: Eventually) -> None:
    """No routes were applied, so a new alert waits: that is no reason to look a thousand times a second."""
    stage.send()
    drain, asked = stage.drain(), []
    configured = drain._configured
    drain._configured = lambda: asked.append(1) or configured()  # type: ignore[assignment,func-returns-value]
    with stage.running(drain):
        eventually(lambda: len(asked) >= 8, timeout_s=30)
        began = SystemClock().monotonic()
        eventually(lambda: len(asked) >= 13, timeout_s=30)
        assert SystemClock().monotonic() - began > 0.5  # five looks, 0.2 s apart at least
        stage.routes()
        eventually(lambda: stage.state(1).is_terminal, timeout_s=30)


def test_lanes_have_limits() -> None:
    with pytest.raises(ValueError, match="lanes must be 1 to 32, was 0"):
        DrainLimits(lanes=0)


# -- accounts ---------------------------------------------------------------------------------------------------
class ManualSeconds:
    def __init__(self) -> None:
        self.at_s = 0.0

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return self.at_s

    def wait(self, seconds: float) -> None:
        self.at_s += seconds


@pytest.mark.parametrize(
    ("error", "is_refusal"),
    [
        (ConfigRefused("no block"), True),
        (EnvironmentMismatch("another environment"), True),
        (NotReadyToTrade(StartReason.KEY_MAY_WITHDRAW, "may withdraw"), True),
        (NotReadyToTrade(StartReason.ORDERS_UNEXPLAINED, "strangers"), True),
        (PermissionRefused("no such right"), True),
        (NotReadyToTrade(StartReason.ORDERS_UNREAD, "unread"), False),
        (ConnectFailed("away"), False),
        (OSError("no server"), False),
    ],
)
def test_a_guard_refuses_and_an_absent_venue_is_told_as_it_is(error: Exception, is_refusal: bool) -> None:
    calls: list[AccountId] = []

    def load(account_id: AccountId) -> Account:
        calls.append(account_id)
        raise error

    clock = ManualSeconds()
    accounts = Accounts(load=load, open_account=lambda account: pytest.fail("not opened"), clock=clock)
    for _ in range(3):
        with pytest.raises(AccountRefused if is_refusal else type(error)) as caught:
            accounts(ACCOUNT)
    assert len(calls) == 1  # not asked again with every alert
    assert not is_refusal or caught.value.reason == str(error.reason)  # type: ignore[attr-defined]
    clock.wait(6)
    with pytest.raises(Exception, match=str(error)):
        accounts(ACCOUNT)
    assert len(calls) == 2


def test_an_account_is_opened_once_and_anew_when_it_changed(stage: Stage) -> None:
    clock, opened, current = ManualSeconds(), [], [Loaded()]

    @contextmanager
    def open_account(account: Any) -> Iterator[Any]:
        opened.append(account)
        with open_runtime(stage.sim.url, stage.url, clock=QuickClock(), reconciled_first=False) as runtime:
            yield runtime

    accounts = Accounts(load=lambda account_id: current[0], open_account=open_account, clock=clock)  # type: ignore[arg-type,return-value]
    first = accounts(ACCOUNT)
    clock.wait(31)
    assert accounts(ACCOUNT) is first and len(opened) == 1
    current[0] = Loaded()
    assert accounts(ACCOUNT) is first  # not looked at yet
    clock.wait(31)
    assert accounts(ACCOUNT) is not first and len(opened) == 2
    accounts.close()
