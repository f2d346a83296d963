"""Runs whose process is killed (SIGKILL) anywhere on the send path while the venue misbehaves, in every order style.

The next process ends the run: target reached or a reason given, nothing doubled, nothing lost, nothing unexplained.
`ALGOTRENDY_RUN_KILLS` says how many runs are killed; the suite kills a few.
"""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest

from ledger.states import ReconciliationOutcome, RunState
from tasks.beside import in_threads
from tests.trading.runs.scene import NAMES, Scene, block, scene, subscribed
from tests.trading.runs.worker import STYLES, die, portfolio
from tests.trading.simulated import QUICK, InterruptingStep, book, end_leases
from trading.rebalancing.portfolio import OrderStyle
from trading.reconciliation import Tolerances
from trading.reconciling import reconcile_account
from trading.runs import RunOutcome, resume_run, run_history, run_portfolio

KILLS = int(os.environ.get("ALGOTRENDY_RUN_KILLS", "2"))
POINTS = ("C05", "C06", "C07", "C08", "C09", "C10", "C11", "C15", "C16", "C17", "C18")
FAULTS = (
    None,
    ("execute_then_drop", {"path": "/v5/order/create"}),
    ("partial_fill", {"path": "/v5/order/create", "ratio": "0.5"}),
    ("drop", {"path": "/v5/order/create"}),
    ("status", {"path": "/v5/order/realtime", "status": 503, "execute": False}),
)
D = Decimal


def finished(on: Scene, key: str, style: OrderStyle) -> RunOutcome:
    """The run, brought to its end by as many processes as it takes."""
    for _ in range(4):
        end_leases(on.ledger_url)
        done = run_portfolio(on.open_again(), subscribed(), portfolio(style), business_key=key, beside=in_threads)
        if done.state.is_terminal:
            return done
    pytest.fail(f"the run has not ended: {done.interruptions}")


def assert_nothing_doubled_or_lost(on: Scene, done: RunOutcome) -> None:
    """The venue's own truth against what the run says, for each account."""
    assert done.result is not None
    for name in NAMES:
        if block(name) not in {item.account_name for item in done.result.accounts}:
            assert on.orders(name) == []  # it could not be read when the run was planned
            continue
        legs = [leg for leg in done.result.legs if leg.account_name == block(name)]
        executed = sum((order.filled_qty for order in on.sim.control.orders(name)), D(0))
        assert executed == sum((leg.filled_quantity for leg in legs), D(0))
        assert len({order.request.client_id for order in on.orders(name)}) == len(on.orders(name))
        assert all(leg.is_whole or leg.reason for leg in legs), legs
        found = reconcile_account(on.runtimes[block(name)], tolerances=Tolerances(guard=timedelta(0)))
        assert found.outcome is ReconciliationOutcome.CLEAN, found.findings


@pytest.mark.parametrize("seed", range(KILLS))
def test_killed_at_random_points_the_next_process_ends_the_run(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    with scene(tmp_path, limits=QUICK) as on:
        fault, style = FAULTS[seed % len(FAULTS)], list(STYLES)[seed % len(STYLES)]
        if fault is not None:
            on.sim.control.fault(fault[0], times=1, **fault[1])
        for _ in range(2):
            point = f"{random.choice(POINTS)}:{random.randint(1, 4)}"
            code = die(point, on.sim.url, on.ledger_url, "run-1", style)
            assert code in (-signal.SIGKILL, 0), (point, code)
            end_leases(on.ledger_url)
        done = finished(on, "run-1", style)
        assert done.state in (RunState.COMPLETED, RunState.COMPLETED_ADJUSTED), done.result
        assert_nothing_doubled_or_lost(on, done)
        assert len(run_history(on.ledger).lines) == 1


def test_interrupted_between_its_own_moves_a_run_goes_on(tmp_path: Path) -> None:
    """Before it is stored, after it is stored, in the middle of the first account, and before its result is kept."""
    with scene(tmp_path, limits=QUICK) as on:
        terms, wanted = subscribed(), book({"AAPL/USDT:USDT": "0.4"})
        for at in (12, 24, 36, 48, 60):
            end_leases(on.ledger_url)
            try:
                run_portfolio(
                    on.open_again(), terms, wanted, business_key="run-1", step=InterruptingStep(at, after=True)
                )
            except Exception as error:  # noqa: BLE001  the process ended here
                assert type(error).__name__ == "Interrupted", error
        end_leases(on.ledger_url)
        done = run_portfolio(on.open_again(), terms, wanted, business_key="run-1")
        assert done.state is RunState.COMPLETED
        assert done.run is not None
        assert resume_run(on.runtimes, done.run.run_id).result == done.result
        assert len(on.orders()) == 2
