"""Orders that moved after the account was read count in full, however far the ledger's clock is from the worker's."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.states import IntentState
from tests.trading.orders.conftest import POLICY, Want
from tests.trading.orders.modelled import BTC, ModelVenue
from trading.orders.desk import OrderDesk
from trading.risk import RiskReason

S = IntentState
LIMITED = POLICY.model_copy(update={"position_notional_max": Decimal(60_000), "account_age_s_max": Decimal(5)})


class Other:
    """Another machine's clock: it runs with `base`, but its wall time is off and its monotonic time may have slept."""

    def __init__(self, base: ManualClock, *, off_s: float = 0.0) -> None:
        self.base, self.off, self.slept_s = base, timedelta(seconds=off_s), 0.0

    def now(self) -> datetime:
        return self.base.now() + self.off

    def monotonic(self) -> float:
        return self.base.monotonic() - self.slept_s

    def wait(self, seconds: float) -> None:
        self.base.wait(seconds)


Open = Callable[[float], Ledger]


@pytest.fixture
def open_ledger(tmp_path: Path, migrated: Path, clock: ManualClock) -> Iterator[Open]:
    with ExitStack() as stack:

        def opened(off_s: float) -> Ledger:
            path = tmp_path / "skewed.db"
            shutil.copy(migrated, path)
            ledger = Ledger.open(
                f"sqlite:///{path}", environment=Environment.SIMULATED, clock=Other(clock, off_s=off_s)
            )
            return stack.enter_context(ledger)

        yield opened


def go(desk: OrderDesk, want: Want, key: str, quantity: str) -> tuple[IntentState, str]:
    view = desk.submit(want(key, quantity=quantity))
    while not view.is_over:
        view = desk.advance(view.intent_id)
    return view.state, view.reason


@pytest.mark.parametrize("off_s", [-3600, -4, 0, 4, 3600])
def test_a_limit_holds_whatever_the_ledgers_clock_says(
    open_ledger: Open, want: Want, venue: ModelVenue, clock: ManualClock, off_s: float
) -> None:
    """Desk A holds a reading of a flat account; B buys 1 meanwhile. A's reading must not hide that."""
    ledger = open_ledger(off_s)
    a, b = (OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=LIMITED, worker=name) for name in "ab")
    a._ctx.account(instrument_id=BTC, fresh=True)
    clock.wait(1.5)
    assert go(b, want, "one", "1")[0] is S.FILLED
    clock.wait(0.2)
    assert go(a, want, "two", "1") == (S.DENIED, RiskReason.POSITION_NOTIONAL)
    assert sum(order.filled for order in venue.orders) == 1


@pytest.mark.parametrize("off_s", [-4, 0, 4])
def test_what_a_reading_already_shows_is_not_counted_twice(
    open_ledger: Open, want: Want, venue: ModelVenue, clock: ManualClock, off_s: float
) -> None:
    desk = OrderDesk(ledger=open_ledger(off_s), broker=venue, clock=clock, policy=LIMITED, worker="a")
    assert go(desk, want, "one", "0.6")[0] is S.FILLED
    clock.wait(1.5)
    desk._ctx.account(instrument_id=BTC, fresh=True)
    assert go(desk, want, "two", "0.5")[0] is S.FILLED


def test_a_reading_from_before_the_machine_slept_is_old(
    open_ledger: Open, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    ledger, sleepy = open_ledger(0), Other(clock)
    a = OrderDesk(ledger=ledger, broker=venue, clock=sleepy, policy=LIMITED, worker="a")
    b = OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=LIMITED, worker="b")
    a._ctx.account(instrument_id=BTC, fresh=True)
    clock.wait(10)
    assert go(b, want, "one", "1")[0] is S.FILLED
    clock.wait(10)
    sleepy.slept_s = 20.0
    assert go(a, want, "two", "1") == (S.DENIED, RiskReason.POSITION_NOTIONAL)
