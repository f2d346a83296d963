"""Real processes, a real simulator, SIGKILL: a worker dies at each point of the send path, another one finishes.

All workers die first, each on an order of its own; then one process finishes everything; then each order is judged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlmodel import select

from brokers.ids import ClientOrderId, Environment
from ledger.checks import check_intents, check_sends
from ledger.engine import Ledger
from ledger.records import fills_of_intent
from ledger.states import IntentState
from ledger.tables import OrderAttempt, OrderIntent
from simulators import running_bybit
from simulators.testing import small_config
from tests.trading.orders.modelled import CLASSES
from tests.trading.orders.worker import wanted_order
from trading.orders.crash import VARIABLE
from trading.orders.identity import make_client_order_id

if TYPE_CHECKING:
    from simulators import Running
    from tests.conftest import Eventually

S = IntentState
LINEAR, SPOT = "BTC/USDT:USDT", "ETH/USDT"
CREATE = "/v5/order/create"
AT_A_POINT = ["C05", "C06", "C07", "C08", "C09", "C10", "C11", "C15", "C16", "C17", "C18"]


@dataclass(frozen=True)
class Case:
    """One worker's death: at a named point, or by the parent while the venue holds the request (`fault`)."""

    name: str
    symbol: str = LINEAR
    point: str = ""
    limit: str | None = None
    fault: str = ""
    before_s: float = 0.0
    after_s: float = 0.0
    cancel: bool = False

    @property
    def key(self) -> str:
        return f"kill {self.name}"


CASES = [
    *(Case(point, point=point) for point in AT_A_POINT),
    Case("C09 spot", symbol=SPOT, point="C09"),
    Case("C16 spot", symbol=SPOT, point="C16"),
    Case("C12", fault="delay", before_s=3.0),
    Case("C13", fault="delay", after_s=6.0),
    Case("C21", symbol=SPOT, point="C21", fault="drop"),
    Case("C22", symbol=SPOT, point="C22", fault="drop"),
    Case("C23", point="C23", fault="drop"),
    Case("C24", point="C24", limit="58000", cancel=True),
]


@dataclass
class Scene:
    sim: Running
    url: str
    ledger: Ledger
    deaths: dict[str, int]
    finished: dict[str, tuple[str, str]]

    def client_order_ids(self, case: Case) -> list[str]:
        with self.ledger.read() as session:
            query = select(OrderAttempt).where(OrderAttempt.intent_id == _intent_id(case))
            return [attempt.client_order_id for attempt in session.exec(query)]


def _intent_id(case: Case) -> str:
    return str(wanted_order(case.key, case.symbol, case.limit, None).intent_id)


def _first_client_order_id(case: Case, tag: int) -> ClientOrderId:
    intent_id = wanted_order(case.key, case.symbol, case.limit, None).intent_id
    return make_client_order_id(intent_id, attempt=1, tag=tag, is_production=False, identity=CLASSES["permanent"])


def _start(told: dict[str, object], *, bytecode: Path, crash_at: str = "") -> subprocess.Popen[str]:
    environment = {key: value for key, value in os.environ.items() if key not in (VARIABLE, "PYTHONDONTWRITEBYTECODE")}
    environment["PYTHONPYCACHEPREFIX"] = str(bytecode)  # most of a worker's life is importing
    if crash_at:
        environment[VARIABLE] = f"{crash_at}:1"
    return subprocess.Popen(
        [sys.executable, "-m", "tests.trading.orders.worker", json.dumps(told)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[3],
    )


def _die(case: Case, sim: Running, ledger: Ledger, url: str, eventually: Eventually, bytecode: Path) -> int:
    """Run one worker to its death; its return code."""
    client_order_id = str(_first_client_order_id(case, ledger.installation_tag))
    if case.fault:
        sim.control.fault(
            case.fault,
            path=CREATE,
            fields={"orderLinkId": client_order_id},
            **({"before_s": case.before_s, "after_s": case.after_s} if case.fault == "delay" else {}),
        )
    worker = _start(
        {
            "url": sim.url,
            "ledger": url,
            "worker": f"killed at {case.name}",
            "orders": [[case.key, case.symbol, case.limit]],
            "cancel": case.cancel,
        },
        crash_at=case.point,
        bytecode=bytecode,
    )
    try:
        if not case.point:
            eventually(lambda: _was_received(sim, client_order_id, executed=bool(case.after_s)))
            worker.kill()
        _, errors = worker.communicate(timeout=60)
    finally:
        worker.kill()
    assert worker.returncode == -9, f"{case.name}: not killed but ended with {worker.returncode}: {errors[-2000:]}"
    return worker.returncode


def _was_received(sim: Running, client_order_id: str, *, executed: bool) -> bool:
    if executed:
        return any(order.client_id == client_order_id for order in sim.control.orders("main"))
    return any(client_order_id in str(request.body) for request in sim.control.requests(path=CREATE))


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, migrated: Path, eventually: Eventually) -> Iterator[Scene]:
    path = tmp_path_factory.mktemp("kill") / "ledger.db"
    bytecode = tmp_path_factory.mktemp("bytecode")
    shutil.copy(migrated, path)
    url = f"sqlite:///{path}"
    with (
        running_bybit(small_config()) as sim,
        Ledger.open(url, environment=Environment.SIMULATED) as ledger,
    ):
        with ThreadPoolExecutor(2) as pool:  # starting a process takes longest
            died = pool.map(lambda case: _die(case, sim, ledger, url, eventually, bytecode), CASES)
        deaths = dict(zip([case.name for case in CASES], died, strict=True))
        orders = [[case.key, case.symbol, case.limit] for case in CASES]
        told = {"url": sim.url, "ledger": url, "worker": "finisher", "orders": orders, "sweep": True}
        finisher = _start(told, bytecode=bytecode)
        output, errors = finisher.communicate(timeout=120)
        assert finisher.returncode == 0, errors[-3000:]
        finished = {intent_id: (state, reason) for intent_id, state, reason in json.loads(output)}
        yield Scene(sim, url, ledger, deaths, finished)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_killed_worker_leaves_one_order(scene: Scene, case: Case) -> None:
    assert scene.deaths[case.name] == -9
    state, reason = scene.finished[_intent_id(case)]
    assert state == (S.CANCELLED if case.cancel else S.FILLED), reason
    ids = scene.client_order_ids(case)
    at_the_venue = [order for order in scene.sim.control.orders("main") if order.client_id in ids]
    assert len(at_the_venue) == 1
    with scene.ledger.read() as session:
        fills = fills_of_intent(session, _intent_id(case))
        intents = session.exec(select(OrderIntent).where(OrderIntent.business_key == case.key)).all()
    executions = [e for e in scene.sim.control.executions("main") if e.order_id == at_the_venue[0].order_id]
    assert len(intents) == 1
    assert {fill.trade_id for fill in fills} == {execution.execution_id for execution in executions}
    assert sum(fill.quantity for fill in fills) == sum(execution.qty for execution in executions)


def test_the_venue_has_no_order_that_the_ledger_does_not_know(scene: Scene) -> None:
    known = {client_order_id for case in CASES for client_order_id in scene.client_order_ids(case)}
    assert {order.client_id for order in scene.sim.control.orders("main")} <= known
    assert len(scene.sim.control.orders("main")) == len(CASES)


def test_the_ledger_is_consistent(scene: Scene) -> None:
    with scene.ledger.read() as session:
        assert check_intents(session) == ()
        assert check_sends(session) == ()
