"""Every job on a TradeStation account: shares and futures, no leverage, no wallet feed, no ids at the venue."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import InstrumentId
from brokers.tradestation.reasons import LoginRefused
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from flows.reports import reconciling as reconciling_report
from flows.reports import syncing as syncing_report
from ledger.controls import set_control
from ledger.records import fills_of
from ledger.states import ControlState, IntentState, ReconciliationOutcome
from simulators.core.config import PricesConfig
from simulators.demo import equity
from simulators.testing import small_tradestation_config
from simulators.tradestation.config import DoneOrder, DuplicateIds, QuirksConfig, QuotaConfig, SessionConfig
from simulators.tradestation.sessions import SessionMode
from tests.trading.simulated import ids
from tests.trading.simulated_tradestation import ACCOUNT, EQUITIES, FUTURES, ON_ITS_OWN_CLOCK, tradestation
from trading.closing import close_positions
from trading.kill_model import KillRequest
from trading.killing import kill_account
from trading.leverage import LeverageOutcome, set_leverage
from trading.orders import IntentView, WantedOrder
from trading.plans import rebalance
from trading.rebalancing import Portfolio
from trading.reconciling import reconcile_account
from trading.runtime import Runtime
from trading.starting import prove_account, start_trading
from trading.steps import StepKind
from trading.sync import sync_account

D = Decimal
USD = ("USD",)


@pytest.fixture
def on(tmp_path: Path) -> Iterator[tuple[Any, Runtime]]:
    with tradestation(tmp_path) as opened:
        yield opened


@pytest.fixture
def futures(tmp_path: Path) -> Iterator[tuple[Any, Runtime]]:
    with tradestation(tmp_path, account=FUTURES) as opened:
        yield opened


def held(sim: Any, account: str = EQUITIES) -> dict[str, Decimal]:
    """The venue's own truth, signed."""
    return {p.symbol: p.signed_qty for p in sim.control.positions(account) if p.qty}


def traded(
    runtime: Runtime, symbol: str, side: OrderSide, quantity: str, key: str, *, timeout_s: float = 30, **terms: Any
) -> IntentView:
    fields: dict[str, Any] = {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.DAY, **terms}
    request = OrderRequest(instrument_id=InstrumentId(symbol), side=side, quantity=D(quantity), **fields)
    (quote,) = runtime.broker.quotes(ids(symbol))
    view = runtime.desk.submit(WantedOrder(ACCOUNT, key, "test", request, quote, ttl_s=60))
    return runtime.desk.drive([view.intent_id], timeout_s=timeout_s)[0]


def sync(runtime: Runtime) -> Any:
    return sync_account(runtime.ledger, runtime.broker, clock=runtime.clock)


def test_an_order_is_filled_and_its_fill_is_on_record(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    start_trading(runtime, prove_account(runtime))
    view = traded(runtime, "AAPL", OrderSide.BUY, "10", "one")
    assert (view.state, view.filled_quantity, view.average_price) == (IntentState.FILLED, 10, D("200.02"))
    with runtime.ledger.read() as session:
        (fill,) = fills_of(session, ACCOUNT)
    (executed,) = sim.control.executions(EQUITIES)
    assert (fill.trade_id, fill.quantity, fill.price) == (f"{view.venue_order_id}:10", executed.qty, executed.price)
    assert (fill.fee, fill.fee_currency) == (executed.fee, "USD") and fill.fee > 0


def test_short_sides_are_opened_and_covered_and_zero_is_not_crossed(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    assert traded(runtime, "AAPL", OrderSide.SELL, "5", "short").state is IntentState.FILLED
    assert held(sim) == {"AAPL": D(-5)}
    crossing = traded(runtime, "AAPL", OrderSide.BUY, "8", "crossing")
    assert crossing.state is IntentState.DENIED and "cross zero" in crossing.detail
    assert traded(runtime, "AAPL", OrderSide.BUY, "5", "cover").state is IntentState.FILLED
    actions = [r.body for r in sim.control.requests(path="/v3/orderexecution/orders", method="POST")]
    assert ['"TradeAction":"SELLSHORT"' in actions[0], '"TradeAction":"BUYTOCOVER"' in actions[1]] == [True, True]
    assert len(actions) == 2 and held(sim) == {}


def test_a_resting_order_is_cancelled(on: tuple[Any, Runtime]) -> None:
    runtime = on[1]
    request = OrderRequest(
        instrument_id=InstrumentId("AAPL"),
        side=OrderSide.BUY,
        order_type=OrderType.LIMIT,
        quantity=D(3),
        limit_price=D("195.00"),
        time_in_force=TimeInForce.GTC,
    )
    (quote,) = runtime.broker.quotes(ids("AAPL"))
    view = runtime.desk.submit(WantedOrder(ACCOUNT, "rest", "test", request, quote, ttl_s=60))
    (view,) = runtime.desk.drive([view.intent_id], timeout_s=1)
    assert view.state is IntentState.WORKING
    runtime.desk.cancel(view.intent_id, reason="test")
    (view,) = runtime.desk.drive([view.intent_id], timeout_s=30)
    assert view.state is IntentState.CANCELLED


def test_sync_says_that_there_is_no_wallet_feed(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    first = sync(runtime)
    traded(runtime, "AAPL", OrderSide.BUY, "10", "one")
    sim.control.place_order(EQUITIES, "MSFT", "buy", "4")  # by hand
    second = sync(runtime)
    assert first.is_baseline and not first.has_cash_feed
    assert {str(v.position.instrument_id): v.notional for v in second.values} == {"AAPL": D(2000), "MSFT": D(1600)}
    with runtime.ledger.read() as session:
        assert sorted((row.instrument_id, row.quantity) for row in fills_of(session, ACCOUNT)) == [
            ("AAPL", D(10)),
            ("MSFT", D(4)),
        ]
    report = syncing_report.sync_report(second)
    assert "It shows no wallet changes" in report.verdict
    assert next(f for f in report.figures if f.label == "New wallet changes").note == "the venue shows none"


def test_reconcile_compares_what_can_be_compared_and_names_the_rest(on: tuple[Any, Runtime]) -> None:
    runtime = on[1]
    sync(runtime)
    quiet = reconcile_account(runtime)
    assert quiet.outcome is ReconciliationOutcome.CLEAN and quiet.findings is not None
    assert quiet.findings.not_compared == () and quiet.findings.compared["balances"] == 1
    traded(runtime, "AAPL", OrderSide.BUY, "10", "one")
    clean = reconcile_account(runtime)
    assert clean.outcome is ReconciliationOutcome.CLEAN and clean.findings is not None, clean
    assert "no feed of wallet changes" in clean.findings.not_compared[0]
    assert "Not compared: balances" in reconciling_report.reconciliation_report(clean).verdict
    assert clean.findings.compared["positions"] == 1


def test_closing_shares_that_are_held_as_positions(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    sim.control.place_order(EQUITIES, "AAPL", "buy", "10")
    sim.control.place_order(EQUITIES, "MSFT", "sell", "4")
    closed = close_positions(runtime, business_key="eod", settle_currencies=("USDT",))
    assert {str(item.instrument_id): item.outcome.value for item in closed} == {"AAPL": "flat", "MSFT": "flat"}
    bodies = [r.body for r in sim.control.requests(path="/v3/orderexecution/orders", method="POST")]
    assert '"TradeAction":"SELL"' in bodies[0] and '"TradeAction":"BUYTOCOVER"' in bodies[1] and held(sim) == {}
    (named,) = close_positions(runtime, business_key="again", settle_currencies=USD, instruments=ids("AAPL"))
    assert named.outcome.value == "already_flat"


def test_closing_a_future(futures: tuple[Any, Runtime]) -> None:
    sim, runtime = futures
    sim.control.place_order(FUTURES, "MESZ26", "buy", "3")
    (closed,) = close_positions(runtime, business_key="eod", settle_currencies=USD)
    assert (str(closed.instrument_id), closed.outcome.value, closed.filled_quantity) == ("MESZ6", "flat", 3)
    assert held(sim, FUTURES) == {}


def test_kill_cancels_closes_and_proves(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    sim.control.place_order(EQUITIES, "AAPL", "buy", "10")
    with runtime.ledger.write() as session:
        set_control(session, ACCOUNT, ControlState.KILL, reason="test", set_by="anna", at=runtime.clock.now())
    request = KillRequest(requested_by="anna", approved_by="ben", reason="test", flatten=True)
    report = kill_account(runtime, request, settle_currencies=USD)
    assert report.state.value == "flat_proven" and held(sim) == {}, report


def test_rebalancing_shares_in_dollars(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    wanted = {"AAPL": "0.30", "MSFT": "0.20"}
    portfolio = Portfolio(name="tech", quote_currency="USD", targets=wanted, cash_buffer="0.02")
    done = rebalance(runtime, portfolio, business_key="open")
    assert done.result is not None and done.result.state.value == "completed", done
    # 98 % of 100,000 is invested: 29,400 / 200 and 19,600 / 400, in whole shares
    assert held(sim) == {"AAPL": D(147), "MSFT": D(49)}
    less = Portfolio(name="tech", quote_currency="USD", targets={"AAPL": "0.10", "MSFT": "0"}, cash_buffer="0.02")
    assert rebalance(runtime, less, business_key="later").result.state.value == "completed"  # type: ignore[union-attr]
    assert held(sim).keys() == {"AAPL"} and D(46) <= held(sim)["AAPL"] <= D(49)


def test_a_plan_that_sells_shares_never_sells_them_short(on: tuple[Any, Runtime]) -> None:
    """Somebody sold them by hand after the plan was begun: what the plan would still sell is not there any more."""
    sim, runtime = on
    sim.control.place_order(EQUITIES, "AAPL", "buy", "10")

    def step(name: str, kind: StepKind, function: Any) -> Any:
        if name.startswith("Submit"):
            sim.control.place_order(EQUITIES, "AAPL", "sell", "10")
        return function()

    portfolio = Portfolio(name="out", quote_currency="USD", targets={"AAPL": "0"})
    done = rebalance(runtime, portfolio, business_key="out", step=step)
    assert held(sim) == {}
    assert done.result is not None and [leg.filled_quantity for leg in done.result.legs] == [0]


@pytest.mark.parametrize("style", ["limit", "market", "limit_then_market", "sliced"])
def test_every_order_style_keeps_within_the_venues_quotas(tmp_path: Path, style: str) -> None:
    """Twelve lines at a venue that counts, thirty requests for quotes a minute among others."""
    names = [f"Q{letter}" for letter in "ABCDEFGHIJKL"]
    config = small_tradestation_config(clock=ON_ITS_OWN_CLOCK).model_copy(
        update={
            "instruments": tuple(equity(name) for name in names),
            "prices": PricesConfig(start=dict.fromkeys(names, D(100)), spread_bps=D(2)),
            "rate_limits": QuotaConfig(enabled=True),
        }
    )
    targets = dict.fromkeys(names, "0.07")
    portfolio = Portfolio(
        name="twelve", quote_currency="USD", targets=targets, order_style=style, slices=3, slice_interval_s=10
    )
    with tradestation(tmp_path, config=config) as (sim, runtime):
        done = rebalance(runtime, portfolio, business_key=style)
        assert done.result is not None and done.result.state.value == "completed", done
        assert {line.verdict.value for line in done.result.lines} == {"reached"}
        assert set(held(sim)) == set(names)


def test_setting_leverage_says_that_there_is_none(on: tuple[Any, Runtime]) -> None:
    (done,) = set_leverage(on[1], {InstrumentId("AAPL"): D(2)}, leverage_max=D(3))
    assert done.outcome is LeverageOutcome.REFUSED and "no leverage" in done.detail and done.reason == "UNSUPPORTED"


# -- budgets and tokens -----------------------------------------------------------------------------------------
def test_many_orders_are_followed_within_the_venues_budget(tmp_path: Path) -> None:
    """The looks at all orders share one list: 20 requests for six of them in a minute, 74 for twelve in five."""
    limited = small_tradestation_config(clock=ON_ITS_OWN_CLOCK, rate_limits=QuotaConfig(enabled=True))
    with tradestation(tmp_path, config=limited, repeat_max=100, open_orders_max=100) as (sim, runtime):
        (quote,) = runtime.broker.quotes(ids("AAPL"))
        keys = []
        for number in range(6):
            request = OrderRequest(
                instrument_id=InstrumentId("AAPL"),
                side=OrderSide.BUY,
                order_type=OrderType.LIMIT,
                quantity=D(1),
                limit_price=D(190) - number,
                time_in_force=TimeInForce.GTC,
            )
            wanted = WantedOrder(
                ACCOUNT, f"rest-{number}", "test", request, replace(quote, time=runtime.clock.now()), 900
            )
            keys.append(runtime.desk.submit(wanted).intent_id)
        views = runtime.desk.drive(keys, timeout_s=60)
        asked = [request for request in sim.control.requests() if request.path.endswith(f"{EQUITIES}/orders")]
        assert {view.state for view in views} == {IntentState.WORKING}
        assert len(asked) <= 40 and not any(request.status == 429 for request in sim.control.requests())


def test_tokens_that_end_in_the_middle_of_work_are_replaced(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    assert traded(runtime, "AAPL", OrderSide.BUY, "10", "one").state is IntentState.FILLED
    sim.control.expire_access_tokens()
    assert traded(runtime, "AAPL", OrderSide.SELL, "10", "two").state is IntentState.FILLED
    assert held(sim) == {} and len(sim.control.requests(path="/v3/orderexecution/orders", method="POST")) == 2
    sim.control.expire_access_tokens()
    sim.control.revoke_refresh_tokens("main-id")
    with pytest.raises(LoginRefused, match="algotrendy login tradestation"):
        runtime.broker.positions()


# -- what the venue shows in its own way ------------------------------------------------------------------------
QUIRKS = {
    "as recorded from SIM": QuirksConfig(working_ack=True, zero_fields=True, ack_fill_ms=1_500),
    "cancels of done orders are refused within 200": QuirksConfig(done_order=DoneOrder.BODY),
    "ids are not checked": QuirksConfig(duplicate_ids=DuplicateIds.ACCEPT),
}


@pytest.mark.parametrize("name", QUIRKS)
def test_an_order_ends_the_same_under_every_quirk(tmp_path: Path, name: str) -> None:
    config = small_tradestation_config(clock=ON_ITS_OWN_CLOCK, quirks=QUIRKS[name])
    with tradestation(tmp_path, config=config) as (sim, runtime):
        view = traded(runtime, "AAPL", OrderSide.BUY, "10", "one")
        assert (view.state, view.filled_quantity) == (IntentState.FILLED, 10)
        rests = traded(
            runtime, "AAPL", OrderSide.BUY, "1", "two", order_type=OrderType.LIMIT, limit_price=D(190), timeout_s=1
        )
        assert rests.state is IntentState.WORKING
        runtime.desk.cancel(rests.intent_id, reason="test")
        (ended,) = runtime.desk.drive([rests.intent_id], timeout_s=30)
        assert ended.state is IntentState.CANCELLED and held(sim) == {"AAPL": D(10)}


def test_an_order_that_is_partly_filled_and_open_is_no_break(on: tuple[Any, Runtime]) -> None:
    sim, runtime = on
    sync(runtime)
    sim.control.fault("partial_fill", path="/v3/orderexecution/orders", ratio="0.4")
    view = traded(
        runtime, "AAPL", OrderSide.BUY, "10", "one", order_type=OrderType.LIMIT, limit_price=D("201.00"), timeout_s=2
    )
    assert (view.state, view.filled_quantity) == (IntentState.PARTIALLY_FILLED, 4)
    before = len(sim.control.requests())
    runtime.desk.drive([view.intent_id], timeout_s=60)
    assert len(sim.control.requests()) - before <= 20, "its fill is not asked for at every look"
    clean = reconcile_account(runtime)
    assert clean.outcome is ReconciliationOutcome.CLEAN, clean
    with runtime.ledger.read() as session:
        assert fills_of(session, ACCOUNT) == (), "its fill is told when it is over"
    runtime.desk.cancel(view.intent_id, reason="test")
    (ended,) = runtime.desk.drive([view.intent_id], timeout_s=30)
    assert (ended.state, ended.filled_quantity) == (IntentState.CANCELLED, 4)
    assert reconcile_account(runtime).outcome is ReconciliationOutcome.CLEAN
    with runtime.ledger.read() as session:
        (fill,) = fills_of(session, ACCOUNT)
    assert (fill.trade_id, fill.quantity) == (f"{view.venue_order_id}:4", 4)


def test_a_market_that_is_closed_refuses_with_its_words(tmp_path: Path) -> None:
    closed = SessionConfig(mode=SessionMode.EXCHANGE)  # the stage's clock stands at ten in New York; wait for the night
    config = small_tradestation_config(clock=ON_ITS_OWN_CLOCK, session=closed)
    with tradestation(tmp_path, config=config) as (sim, runtime):
        assert traded(runtime, "AAPL", OrderSide.BUY, "10", "day").state is IntentState.FILLED
        runtime.clock.wait(12 * 3600)
        view = traded(runtime, "AAPL", OrderSide.BUY, "10", "night")
        assert view.state in (IntentState.REFUSED, IntentState.EXPIRED) and "closed" in view.detail, view
        assert held(sim) == {"AAPL": D(10)}
