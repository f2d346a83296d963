"""Five years of real daily prices, rebalanced every twelve weeks: every run proves its target or says why not, and at
the end the ledger equals the venue to the last digit. Plots of tracking error and costs go to test-artifacts/.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from ledger.records import cash_events_of, fills_of
from ledger.snapshots import ledger_balances, ledger_positions
from ledger.states import PlanState, ReconciliationOutcome
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.types import ExecutionKind
from simulators.demo import demo_config
from tests.trading.simulated import Stage, VenueClock, book, stage
from trading.plans import RebalanceResult, rebalance
from trading.rebalancing import Portfolio
from trading.reconciling import reconcile_account

START = datetime(2015, 1, 5, 15, tzinfo=UTC)
RUNS = 22
EVERY = timedelta(weeks=12)
LOOKBACK = timedelta(days=700)  # Bybit keeps two years
RECONCILED_EVERY = 11
LONG = ("AAPL", "BAC", "CVX", "HD", "JNJ", "JPM", "KO", "MSFT")
SHORT = ("GE", "RRC")
ARTIFACTS = Path(__file__).parents[2] / "test-artifacts"
D = Decimal


@dataclass
class Diary:
    """What each run came to."""

    times: list[datetime] = field(default_factory=list)
    equity: list[Decimal] = field(default_factory=list)
    drift_before: list[Decimal] = field(default_factory=list)
    drift_after: list[Decimal] = field(default_factory=list)
    costs: list[Decimal] = field(default_factory=list)
    turnover: list[Decimal] = field(default_factory=list)


def venue_config() -> Any:
    """The demonstration venue on one clock; funding once a week, so that the log stays readable."""
    config = demo_config(rate_limits=False, market_start=START, clock_mode=ClockMode.MANUAL)
    wanted = {f"{name}USDT" for name in (*LONG, *SHORT)}
    instruments = tuple(
        item.model_copy(update={"funding_interval_s": 7 * 86_400})
        for item in config.instruments
        if item.symbol in wanted
    )
    prices = config.prices
    assert prices.replay is not None
    columns = {symbol: name for symbol, name in prices.replay.columns.items() if symbol in wanted}
    replay = prices.replay.model_copy(update={"columns": columns})
    return config.model_copy(
        update={
            "instruments": instruments,
            "prices": prices.model_copy(update={"start": {}, "walks": (), "replay": replay}),
            "clock": config.clock.model_copy(update={"gateway": GatewayClock.ENGINE}),
        }
    )


def targets(number: int) -> Portfolio:
    """Eight long and two short lines, tilted a little from run to run; one line leaves the book for a year."""
    weights = {f"{name}/USDT:USDT": D("0.11") + D("0.01") * ((number + place) % 3) for place, name in enumerate(LONG)}
    weights |= {f"{name}/USDT:USDT": D("-0.06") for name in SHORT}
    if number % 12 >= 6:
        weights["KO/USDT:USDT"] = D(0)
    return book(
        {key: str(weight) for key, weight in weights.items()},
        drift={"absolute": "0.005", "relative": "0.25"},
        scope="breaching_lines",
        minimum_trade_notional="50",
        tolerance="0.001",
    )


@pytest.fixture(scope="module")
def fast_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a commit costs no disk turn; the ledger's settings stay what they are."""
    memory = Path("/dev/shm")
    base = tmp_path_factory.mktemp("years")
    if not (memory.is_dir() and os.access(memory, os.W_OK)):
        return base
    return Path(tempfile.mkdtemp(dir=memory, prefix="years-"))


@pytest.mark.timeout(900)  # the longest of all, and most of it is work
def test_years_of_rebalancing_end_with_equal_books(fast_directory: Path) -> None:
    diary = Diary()
    with stage(fast_directory, clock=VenueClock(START), config=venue_config()) as on:
        for number in range(RUNS):
            done = rebalance(on.runtime, targets(number), business_key=f"run-{number}")
            assert_reached_or_said_why(done)
            note(diary, on, done)
            on.clock.wait(EVERY.total_seconds())
            if number % RECONCILED_EVERY == RECONCILED_EVERY - 1:
                found = reconcile_account(on.runtime, lookback=LOOKBACK)
                assert found.outcome is ReconciliationOutcome.CLEAN, (found.reason, found.detail, found.findings)
                assert found.findings is not None
                assert found.findings.compared["venue_fills"] > RECONCILED_EVERY
        assert on.clock.now() - START > timedelta(days=5 * 365)
        assert_books_equal(on)
    assert max(diary.drift_after) < D("0.04") < max(diary.drift_before)
    plot(diary)
    assert (ARTIFACTS / "years_of_rebalancing.png").stat().st_size > 10_000
    for file in fast_directory.iterdir():
        file.unlink()
    fast_directory.rmdir()


def assert_reached_or_said_why(done: RebalanceResult) -> None:
    assert done.result is not None
    assert done.state in (PlanState.COMPLETED, PlanState.COMPLETED_ADJUSTED)
    for line in done.result.lines:
        assert line.verdict.is_proved
        assert line.verdict.is_target or line.reasons, line
        assert line.venue_quantity == line.expected_quantity
    if done.state is PlanState.COMPLETED:
        assert all(line.verdict.is_target for line in done.result.lines)


def note(diary: Diary, on: Stage, done: RebalanceResult) -> None:
    assert done.result is not None
    diary.times.append(on.clock.now())
    diary.equity.append(done.result.equity_after)
    diary.drift_before.append(done.result.drift_before)
    diary.drift_after.append(done.result.drift_after)
    diary.costs.append(done.result.fees + done.result.shortfall)
    diary.turnover.append(done.result.turnover)


def assert_books_equal(on: Stage) -> None:
    """The venue's truth, from its control API, against the ledger's own evidence: every id, every amount."""
    account, control = on.runtime.account_id, on.sim.control
    with on.runtime.ledger.read() as session:
        fills = {row.trade_id: (row.quantity, row.price, row.fee, row.time) for row in fills_of(session, account)}
        events = cash_events_of(session, account)
        positions, balances = ledger_positions(session, account), ledger_balances(session, account)
    trades = [item for item in control.executions("main") if item.kind is ExecutionKind.TRADE]
    assert fills == {t.execution_id: (t.qty, t.price, t.fee, at(t.time_ms)) for t in trades}
    log = control.transaction_log("main")
    assert len(events) >= len(log) > 0
    assert sum((event.amount for event in events), D(0)) == sum((entry.change for entry in log), D(0))
    assert positions == {f"{p.symbol[:-4]}/USDT:USDT": p.signed_qty for p in control.positions("main") if p.qty}
    assert balances == {coin: amount for coin, amount in control.wallets("main").items() if amount}


def at(time_ms: int) -> datetime:
    return datetime.fromtimestamp(time_ms / 1000, UTC)


def plot(diary: Diary) -> None:
    """Drift before and after each run, equity, and what trading has cost so far."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    ARTIFACTS.mkdir(exist_ok=True)
    figure, (top, middle, bottom) = plt.subplots(3, 1, figsize=(10, 10), sharex=True)
    percent = [[float(value) * 100 for value in series] for series in (diary.drift_before, diary.drift_after)]
    top.plot(diary.times[1:], percent[0][1:], label="before the rebalance", marker=".")
    top.plot(diary.times[1:], percent[1][1:], label="after the rebalance", marker=".")
    top.set_ylabel("distance from target, % of equity")
    top.set_title("Tracking error: half the sum of distances from the target weights")
    top.legend()
    middle.plot(diary.times, [float(value) for value in diary.equity])
    middle.set_ylabel("equity, USDT")
    bottom.plot(diary.times, [float(value) for value in itertools.accumulate(diary.costs)], label="costs so far, USDT")
    bottom.bar(
        diary.times,
        [float(value) / 100 for value in diary.turnover],
        width=20,
        alpha=0.4,
        label="turnover of the run, 100 USDT",
    )
    bottom.set_ylabel("USDT")
    bottom.legend()
    figure.tight_layout()
    figure.savefig(ARTIFACTS / "years_of_rebalancing.png", dpi=90)
    plt.close(figure)
