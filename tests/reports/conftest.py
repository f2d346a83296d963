"""A rebalance that was planned and judged by the real planner, and the results of other jobs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from brokers.ids import AccountId, InstrumentId, TradeId
from brokers.types import Balance, Position, PositionMode, PositionSide
from ledger.breaks import BreakChanges
from ledger.records import Imported
from ledger.states import PlanState, ReconciliationOutcome, SnapshotPurpose
from tests.trading.rebalancing.building import NOW, make_portfolio, make_view
from trading.plans import RebalanceResult, StoredPlan
from trading.rebalancing import plan
from trading.rebalancing.release import LegProgress, LegState
from trading.rebalancing.verdict import PlanResult, Reading, expected_quantities, judge
from trading.reconciliation import Break, BreakKind, Findings
from trading.reconciling import ReconciliationResult
from trading.sync import SyncResult

ACCOUNT = AccountId.parse("bybit.simulated.main")
BTC, ETH = InstrumentId("BTC/USDT:USDT"), InstrumentId("ETH/USDT:USDT")
D = Decimal


def make_sync(quantities: dict[InstrumentId, Decimal] | None = None, **changes: object) -> SyncResult:
    positions = tuple(
        Position(
            account_id=ACCOUNT,
            instrument_id=key,
            side=PositionSide.LONG if quantity > 0 else PositionSide.SHORT,
            quantity=quantity,
            average_price=D("60000.10"),
            mark_price=D("60010"),
            unrealised_pnl=D("-0.5"),
            realised_pnl=None,
            leverage=D(2),
            mode=PositionMode.ONE_WAY,
            time=NOW,
        )
        for key, quantity in (quantities or {}).items()
    )
    result = SyncResult(
        account_id=ACCOUNT,
        purpose=SnapshotPurpose.SYNC,
        snapshot_id=3,
        taken_at=NOW,
        read_until=NOW,
        is_settled=True,
        balances=(Balance(ACCOUNT, "USDT", D("10000.123456789012345678"), None, D(0), NOW),),
        positions=positions,
        open_orders=(),
        values=(),
        orders=Imported(),
        fills=Imported(new=2, known=5),
        cash_events=Imported(new=2),
        unmapped_cash_events=(),
        missing_orders=(),
        differences=(),
    )
    return replace(result, **changes)  # type: ignore[arg-type]


def make_rebalance(*, is_filled: bool = True) -> RebalanceResult:
    """Two lines away from target; with `is_filled` every leg is filled at its expected price."""
    portfolio = make_portfolio({str(BTC): "0.5", str(ETH): "-0.2"})
    view = make_view({str(BTC): "60000", str(ETH): "3000"}, holdings={str(ETH): "1"}, leverages={str(BTC): "2"})
    decided = plan(portfolio, view)
    progress = {
        leg.number: LegProgress(
            number=leg.number,
            state=LegState.DONE if is_filled else LegState.REFUSED,
            filled_quantity=leg.quantity if is_filled else D(0),
            value=leg.quantity * leg.price if is_filled else D(0),
            rounds=1,
            reason="" if is_filled else "VENUE_INSUFFICIENT_FUNDS",
            detail="" if is_filled else "110007 not enough | money",
        )
        for leg in decided.legs
    }
    held = expected_quantities(decided, progress, {})
    reading = Reading(
        time=NOW + timedelta(seconds=9),
        equity=D(9_990),
        quantities=held,
        quotes=view.quotes,
        base_fees={},
        fees=D("7.5"),
    )
    result: PlanResult = judge(decided, progress, reading)
    stored = StoredPlan(
        plan_id="a" * 32, business_key="run:1", plan=decided, state=result.state, result=result, checked_at=decided.time
    )
    return RebalanceResult(
        plan=stored,
        state=result.state,
        result=result,
        is_resumed=False,
        before=make_sync({ETH: D(1)}),
        after=make_sync({key: quantity for key, quantity in held.items() if quantity}),
        message="",
    )


def make_reconciliation(*breaks: Break) -> ReconciliationResult:
    findings = Findings(breaks=breaks, pending=(), news={}, compared={"fills": 12, "balances": 1})
    return ReconciliationResult(
        account_id=ACCOUNT,
        run_id=4,
        outcome=ReconciliationOutcome.BREAKS if breaks else ReconciliationOutcome.CLEAN,
        findings=findings,
        changes=BreakChanges(opened=tuple(item.id_for(ACCOUNT) for item in breaks)),
        window_start=NOW,
        started_at=NOW,
        ended_at=NOW + timedelta(seconds=1),
        sync=None,
    )


def make_break() -> Break:
    return Break(
        kind=BreakKind.POSITION_DIFFERS,
        subject=f"position {BTC}",
        instrument_id=BTC,
        ledger_amount=D("0.5"),
        venue_amount=D("0.75"),
        tolerance=D(0),
        evidence={"venue_read_at": "2026-03-02T12:00:00Z", "trade": str(TradeId("<b>t|1</b>"))},
    )


@pytest.fixture
def reached() -> RebalanceResult:
    result = make_rebalance()
    assert result.state is PlanState.COMPLETED
    return result


@pytest.fixture
def refused() -> RebalanceResult:
    result = make_rebalance(is_filled=False)
    assert result.state is PlanState.FAILED
    return result


@pytest.fixture
def moment() -> datetime:
    return datetime(2026, 3, 2, 12, tzinfo=UTC)
