"""The kill switch on a simulated venue: cancelled, flat and proved by reading, or said by name what is left."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from brokers.ids import InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from ledger.breaks import record_breaks
from ledger.controls import set_control
from ledger.invariants import check_ledger
from ledger.states import KILL_SOURCE, ControlState, IntentState, KillState
from ledger.tables import KillRow, OrderIntent
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import AccountConfig
from simulators.core.types import PositionMode
from simulators.testing import small_config
from tests.trading.simulated import ACCOUNT, Stage, VenueClock, stage
from trading.closing import ClosingLimits, close_positions
from trading.kill_model import KillLimits, KillReason, KillRefused, KillReport, KillRequest
from trading.killing import kill_account
from trading.orders import IntentView, ProtocolLimits, WantedOrder
from trading.orders.crash import crash_hook
from trading.orders.judging import judge_ledger
from trading.reconciliation import Break, BreakKind
from trading.runtime import Runtime

D = Decimal
S = KillState
SHORT = ProtocolLimits(horizon_s=4.0)
START = datetime(2026, 1, 5, 15, tzinfo=UTC)
AAPL, MSFT, BTC, ETH_SPOT = "AAPL/USDT:USDT", "MSFT/USDT:USDT", "BTC/USDT:USDT", "ETH/USDT"


def config(**changes: Any) -> Any:
    """A venue on one clock that settles everything in USDT."""
    plain = small_config(**changes)
    in_usdt = tuple(item for item in plain.instruments if item.settle == "USDT" or item.kind.value == "spot")
    ticking = {"gateway": GatewayClock.ENGINE, "mode": ClockMode.MANUAL, "start": START}
    return plain.model_copy(
        update={"clock": plain.clock.model_copy(update=ticking), "instruments": changes.get("instruments", in_usdt)}
    )


@contextmanager
def staged(directory: Path, *, limits: ProtocolLimits = SHORT, **changes: Any) -> Iterator[Stage]:
    risk = {"order_rate_max": 100}
    with stage(directory, clock=VenueClock(START), config=config(**changes), limits=limits, **risk) as opened:
        yield opened


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as opened:
        yield opened


def limit_order(runtime: Runtime, key: str, *, symbol: str = BTC, price: str = "58000", ttl_s: float = 600) -> str:
    """An order of ours that rests in the book."""
    wanted = WantedOrder(
        account_id=ACCOUNT,
        business_key=key,
        source="test",
        request=OrderRequest(
            instrument_id=InstrumentId(symbol),
            side=OrderSide.BUY,
            order_type=OrderType.LIMIT,
            quantity=D("0.01"),
            limit_price=D(price),
            time_in_force=TimeInForce.GTC,
        ),
        reference=runtime.broker.quotes([InstrumentId(symbol)])[0],
        ttl_s=ttl_s,
    )
    return str(runtime.desk.submit(wanted).intent_id)


def rest(runtime: Runtime, *keys: str, **terms: Any) -> list[str]:
    ids = [limit_order(runtime, key, **terms) for key in keys]
    views = [runtime.desk.advance(intent_id) for intent_id in ids]
    assert {view.state for view in views} == {IntentState.ACKED}
    return ids


def set_state(runtime: Runtime, state: ControlState = ControlState.KILL) -> None:
    with runtime.ledger.write() as session:
        set_control(session, ACCOUNT, state, reason="drill", set_by="Ada", at=runtime.ledger.now(session))


def kill(runtime: Runtime, **changes: Any) -> KillReport:
    limits = changes.pop("limits", KillLimits())
    request = KillRequest(**{"requested_by": "Ada", "reason": "drill", **changes})
    return kill_account(runtime, request, settle_currencies=("USDT",), limits=limits)


def open_at_venue(on: Stage) -> list[str]:
    return [order.client_id for order in on.sim.control.orders("main", open_only=True)]


def creates(on: Stage) -> int:
    return len(on.sim.control.requests(path="/v5/order/create"))


def states(on: Stage, ids: list[str]) -> list[IntentView]:
    return [on.runtime.desk.view(intent_id) for intent_id in ids]


def closing_orders(on: Stage) -> list[OrderIntent]:
    """The closing orders that a kill asked for."""
    with on.runtime.ledger.read() as session:
        return list(session.exec(select(OrderIntent).where(OrderIntent.source == KILL_SOURCE)))


def kill_rows(on: Stage) -> list[tuple[str, bool]]:
    with on.runtime.ledger.read() as session:
        return [(row.state, row.finished_at is not None) for row in session.exec(select(KillRow))]


# -- cancelling -------------------------------------------------------------------------------------------------
def test_cancels_what_is_ours_withdraws_what_was_not_sent_and_leaves_other_peoples_orders(on: Stage) -> None:
    ids = rest(on.runtime, "a", "b", "c")
    spot = rest(on.runtime, "spot", symbol=ETH_SPOT, price="2900")
    unsent = limit_order(on.runtime, "unsent")
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "1", price="195", client_id="a-person")
    set_state(on.runtime)
    report = kill(on.runtime)
    assert (report.state, report.left) == (S.CANCELLED_PROVEN, ())
    assert {view.state for view in states(on, [*ids, *spot])} == {IntentState.CANCELLED}
    assert on.runtime.desk.view(unsent).state is IntentState.WITHDRAWN
    assert (len(report.cancelled), len(report.withdrawn)) == (4, 1)
    assert open_at_venue(on) == ["a-person"]
    assert len(report.others_open) == 1 and "AAPL" in report.others_open[0]
    first, second = report.reads
    assert (first.open_orders_ours, second.open_orders_ours) == (0, 0)
    assert (second.at - first.at).total_seconds() >= KillLimits().read_gap_s
    assert kill_rows(on) == [("cancelled_proven", True)]


def test_the_proof_waits_until_everything_that_was_sent_must_be_visible(tmp_path: Path) -> None:
    with staged(tmp_path, limits=ProtocolLimits()) as on:
        rest(on.runtime, "a")
        sent_at = on.clock.now()
        set_state(on.runtime)
        report = kill(on.runtime)
        horizon_s = max(i.visibility_horizon_s for i in on.runtime.broker.capabilities.identity.values())
        assert report.is_proved
        assert (report.reads[0].at - sent_at).total_seconds() >= horizon_s


def test_everything_also_cancels_other_peoples_orders_and_says_so(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "1", price="195", client_id="a-person")
    set_state(on.runtime)
    report = kill(on.runtime, everything=True)
    assert report.state is S.CANCELLED_PROVEN
    assert open_at_venue(on) == [] and len(report.others_cancelled) == 1


def test_an_order_with_our_mark_that_the_ledger_does_not_know_is_ours(on: Stage, tmp_path: Path) -> None:
    (known,) = rest(on.runtime, "a")
    mark = str(on.runtime.desk.view(known).client_order_id)
    stranger = mark[:-1] + ("0" if mark[-1] != "0" else "1")
    on.sim.control.place_order("main", "BTCUSDT", "buy", "0.01", price="58500", client_id=stranger)
    set_state(on.runtime)
    assert kill(on.runtime).state is S.CANCELLED_PROVEN
    assert open_at_venue(on) == []


def test_without_the_control_state_nothing_is_done(on: Stage) -> None:
    rest(on.runtime, "a")
    set_state(on.runtime, ControlState.HALT)
    with pytest.raises(KillRefused) as refused:
        kill(on.runtime)
    assert refused.value.reason is KillReason.KILL_NOT_SET and refused.value.remedy
    assert len(open_at_venue(on)) == 1 and kill_rows(on) == []


def test_a_venue_that_cannot_be_read_proves_nothing_and_the_next_run_continues(on: Stage) -> None:
    rest(on.runtime, "a")
    set_state(on.runtime)
    on.sim.control.fault("status", path="/v5/order/realtime", status=503, execute=False, times=None)
    report = kill(on.runtime, limits=KillLimits(timeout_s=20))
    assert (report.state, report.reads) == (S.LEFT, ())
    assert KillReason.KILL_VENUE_UNREAD in {item.reason for item in report.left}
    assert open_at_venue(on) == []  # it was cancelled all the same
    on.sim.control.clear_faults()
    again = kill(on.runtime)
    assert (again.kill_id, again.state) == (report.kill_id, S.CANCELLED_PROVEN)


def test_one_failed_read_starts_the_count_again(on: Stage) -> None:
    set_state(on.runtime)
    reads: list[str] = []
    original = on.runtime.broker.open_orders

    def failing() -> Any:
        reads.append("failed" if len(reads) == 1 else "read")
        if reads[-1] == "failed":
            on.sim.control.fault("status", path="/v5/order/realtime", status=503, execute=False, times=1)
        return original()

    on.runtime.broker.open_orders = failing  # type: ignore[method-assign]
    report = kill(on.runtime, limits=KillLimits(read_gap_s=0.0))
    assert report.is_proved and reads == ["read", "failed", "read", "read"]


def test_an_order_that_the_venue_does_not_cancel_is_named(on: Stage) -> None:
    rest(on.runtime, "a")
    set_state(on.runtime)
    on.sim.control.fault("error", path="/v5/order/cancel", code=10016, message="try later", times=None)
    report = kill(on.runtime, limits=KillLimits(timeout_s=10))
    assert report.state is S.LEFT
    reasons = [item.reason for item in report.left]
    assert reasons == [KillReason.KILL_ORDER_OPEN, KillReason.KILL_INTENT_UNRESOLVED]
    assert BTC in report.left[0].name and report.left[0].reason.remedy
    assert len(open_at_venue(on)) == 1


@pytest.mark.parametrize("kind", ["drop", "execute_then_drop"])
def test_an_order_without_an_answer_is_resolved_first(on: Stage, kind: str) -> None:
    intent_id = limit_order(on.runtime, "lost")
    on.sim.control.fault(kind, path="/v5/order/create", times=1)
    assert on.runtime.desk.advance(intent_id).state is IntentState.UNKNOWN
    set_state(on.runtime)
    report = kill(on.runtime, limits=KillLimits(timeout_s=200))
    assert report.state is S.CANCELLED_PROVEN, report.left
    assert on.runtime.desk.view(intent_id).state.is_terminal
    assert open_at_venue(on) == [] and creates(on) == 1


# -- closing ----------------------------------------------------------------------------------------------------
def test_closes_positions_and_proves_them_flat(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    on.sim.control.place_order("main", "MSFTUSDT", "sell", "4")
    rest(on.runtime, "a")
    set_state(on.runtime)
    report = kill(on.runtime, flatten=True)
    assert (report.state, report.left) == (S.FLAT_PROVEN, ())
    assert on.positions() == {}
    assert report.positions_before == {AAPL: D(10), MSFT: D(-4)} and report.positions_after == {}
    assert [read.open_positions for read in report.reads] == [0, 0]
    with on.runtime.ledger.read() as session:
        judgement = judge_ledger(session, now=on.runtime.ledger.now(session))
    assert (judgement.intents, judgement.findings) == (3, ()), (
        "what closes for a kill passes the stop that the kill set"
    )


def test_closes_a_position_that_a_break_locks(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    doubt = Break(kind=BreakKind.FILL_MISSING_AT_VENUE, subject="trade 1", instrument_id=InstrumentId(AAPL))
    with on.runtime.ledger.write() as session:
        changes = record_breaks(session, ACCOUNT, [doubt.as_seen()], at=on.runtime.ledger.now(session))
        assert changes.locked == (f"{ACCOUNT} {AAPL}",)
    set_state(on.runtime)
    assert kill(on.runtime, flatten=True).state is S.FLAT_PROVEN
    with on.runtime.ledger.read() as session:
        assert [item for item in check_ledger(session) if item.invariant == "I16"] == []


def test_only_the_kills_own_reductions_go_out(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    set_state(on.runtime)
    other = limit_order(on.runtime, "other")
    seen: list[tuple[str, IntentState]] = []

    def at(name: str) -> None:
        if name == "C25d":  # the only time in which anything of this account may leave
            seen.append((name, on.runtime.desk.advance(other).state))

    with crash_hook(at):
        report = kill(on.runtime, flatten=True)
    assert report.state is S.FLAT_PROVEN
    assert seen == [("C25d", IntentState.WITHDRAWN)]
    assert creates(on) == 1
    late = limit_order(on.runtime, "late")
    assert on.runtime.desk.advance(late).reason == "CONTROL_STOPS"


def test_a_closing_order_of_the_kill_is_stopped_once_the_kill_is_over(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    set_state(on.runtime)
    assert kill(on.runtime, flatten=True).state is S.FLAT_PROVEN
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    order = OrderRequest(
        instrument_id=InstrumentId(AAPL),
        side=OrderSide.SELL,
        order_type=OrderType.MARKET,
        quantity=D(10),
        time_in_force=TimeInForce.IOC,
        reduce_only=True,
    )
    quote = on.runtime.broker.quotes([InstrumentId(AAPL)])[0]
    wanted = WantedOrder(ACCOUNT, "close:AAPL:kill-1-9:1", KILL_SOURCE, order, quote, ttl_s=60)
    assert on.runtime.desk.advance(on.runtime.desk.submit(wanted).intent_id).reason == "CONTROL_STOPS"


def test_hedge_mode_closes_each_side(tmp_path: Path) -> None:
    account = AccountConfig(name="main", balances={"USDT": D(100_000)}, position_mode=PositionMode.HEDGE)
    with staged(tmp_path, accounts=(account,)) as on:
        on.sim.control.place_order("main", "AAPLUSDT", "buy", "10", position_side="long")
        on.sim.control.place_order("main", "AAPLUSDT", "sell", "3", position_side="short")
        set_state(on.runtime)
        report = kill(on.runtime, flatten=True)
        assert report.state is S.FLAT_PROVEN and on.positions() == {}
        assert report.positions_before == {f"{AAPL} long": D(10), f"{AAPL} short": D(-3)}


def test_partial_fills_in_the_middle_get_further_rounds(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    on.sim.control.fault("partial_fill", path="/v5/order/create", ratio="0.5", times=1)
    set_state(on.runtime)
    report = kill(on.runtime, flatten=True)
    assert report.state is S.FLAT_PROVEN and creates(on) == 2


def test_no_second_closing_order_while_the_first_has_no_outcome(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    on.sim.control.fault("drop", path="/v5/order/create", times=None)
    on.sim.control.fault("status", path="/v5/order/history", status=503, execute=False, times=None)
    set_state(on.runtime)
    report = kill(on.runtime, flatten=True)
    assert report.state is S.LEFT and [row.attempt_count for row in closing_orders(on)] == [1]
    reasons = {item.reason for item in report.left}
    assert reasons == {KillReason.KILL_INTENT_UNRESOLVED, KillReason.KILL_POSITION_OPEN}, report.left


def test_a_position_that_cannot_be_closed_is_named_and_never_called_flat(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    set_state(on.runtime)
    on.sim.control.fault("error", path="/v5/order/create", code=110017, message="truncated to zero", times=None)
    report = kill(on.runtime, flatten=True)
    assert report.state is S.LEFT
    assert [(item.reason, item.name) for item in report.left] == [(KillReason.KILL_POSITION_OPEN, f"{AAPL} 10")]
    on.sim.control.clear_faults()
    again = kill(on.runtime, flatten=True)
    assert (again.kill_id, again.state) == (report.kill_id, S.FLAT_PROVEN)
    assert again.positions_before == {AAPL: D(10)}


def test_flat_is_not_said_of_currencies_that_are_not_read(tmp_path: Path) -> None:
    with staged(tmp_path, instruments=small_config().instruments) as on:
        set_state(on.runtime)
        report = kill(on.runtime, flatten=True)
        assert report.state is S.LEFT
        assert [(item.reason, item.name) for item in report.left] == [(KillReason.KILL_CURRENCY_NOT_READ, "USDC")]


def test_positions_that_cannot_be_read_are_not_flat(on: Stage) -> None:
    set_state(on.runtime)
    on.sim.control.fault("status", path="/v5/position/list", status=503, execute=False, times=None)
    report = kill(on.runtime, flatten=True, limits=KillLimits(timeout_s=10))
    assert report.state is S.LEFT and report.positions_before is None
    assert [item.reason for item in report.left] == [KillReason.KILL_VENUE_UNREAD]


def test_lowering_ends_a_kill_that_is_at_work(on: Stage) -> None:
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    set_state(on.runtime)
    lower = crash_hook(lambda name: set_state(on.runtime, ControlState.HALT) if name == "C25a" else None)
    with lower, pytest.raises(KillRefused) as refused:
        kill(on.runtime, flatten=True)
    assert refused.value.reason is KillReason.KILL_LOWERED
    assert creates(on) == 0 and kill_rows(on) == [("left", True)]


# -- crashes and company ----------------------------------------------------------------------------------------
class Killed(BaseException):
    pass


POINTS = [("C25a", 1), ("C25b", 1), ("C25b", 2), ("C25c", 1), ("C25d", 1), ("C25e", 1), ("C25f", 1)]


@pytest.mark.parametrize(("point", "ordinal"), POINTS)
def test_a_crash_anywhere_is_continued_by_the_next_process(tmp_path: Path, point: str, ordinal: int) -> None:
    with staged(tmp_path) as on:
        ids = rest(on.runtime, "a", "b", "c")
        on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
        set_state(on.runtime)
        passes: list[str] = []

        def die(name: str) -> None:
            if name == point:
                passes.append(name)
                if len(passes) == ordinal:
                    raise Killed(name)

        with pytest.raises(Killed), crash_hook(die):
            kill(on.runtime, flatten=True)
        report = kill(on.open_again(), flatten=True)
        assert (report.kill_id, report.state, report.left) == (1, S.FLAT_PROVEN, ())
        assert {view.state for view in states(on, ids)} == {IntentState.CANCELLED}
        assert len(report.cancelled) == 3 and report.positions_before == {AAPL: D(10)}
        assert (on.positions(), open_at_venue(on), creates(on)) == ({}, [], 4)


def test_two_at_once_do_no_harm(on: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    # Each one's waits move the one clock of both, past the time of an order that waits for its turn.
    unhurried = partial(close_positions, limits=ClosingLimits(order_ttl_s=86_400.0, round_timeout_s=80_000.0))
    monkeypatch.setattr("trading.killing.close_positions", unhurried)
    rest(on.runtime, *(f"order-{n}" for n in range(4)))
    on.sim.control.place_order("main", "AAPLUSDT", "buy", "10")
    set_state(on.runtime)
    others = [on.runtime, on.open_again()]
    with ThreadPoolExecutor(2) as pool:
        patient = KillLimits(timeout_s=100_000)
        reports = list(pool.map(lambda runtime: kill(runtime, flatten=True, limits=patient), others))
    assert {report.kill_id for report in reports} == {1}
    assert kill_rows(on) == [("flat_proven", True)], [report.left for report in reports]
    # One order closes it. The other one's waits move the clock that both share, past leases whose holder is at work, so
    # its request may leave again under the same id, or another order follow once it is proved not to have been sent.
    assert (on.positions(), open_at_venue(on)) == ({}, [])
    assert [row.state for row in closing_orders(on) if row.state != IntentState.EXPIRED.value] == ["filled"]
    assert sum(item.qty for item in on.sim.control.executions("main") if item.side.value == "sell") == 10
