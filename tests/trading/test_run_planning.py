"""Plan a subscription over a simulated Bybit and a simulated TradeStation: what it decides, and no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import SQLModel

from brokers.clock import SystemClock
from brokers.ids import InstrumentId
from ledger.engine import Ledger
from tasks.beside import in_threads
from tests.trading.simulated import QuickClock, stage
from tests.trading.simulated_tradestation import tradestation
from trading.account_reading import read_account_view
from trading.plans import rebalance
from trading.rebalancing import LineReason, PlanImpossible, Portfolio
from trading.rebalancing.reasons import AccountReason
from trading.rebalancing.run_plan import AccountProblem, MovedKind, RunPlan, moved_since
from trading.rebalancing.subscription import Subscription
from trading.run_planning import make_run_plan
from trading.runtime import Runtime
from trading.steps import call_directly

D = Decimal
CRYPTO, SHARES = "bybit-simulated-main", "tradestation-simulated-main"
BTC, ETH, AAPL, MSFT = "BTC/USDT:USDT", "ETH/USDT:USDT", "AAPL", "MSFT"


class Ahead(SystemClock):
    """The machine's clock forty seconds later."""

    def now(self) -> datetime:
        return super().now() + timedelta(seconds=40)


class Scene:
    """Two venues, read only; tests change nothing that they do not put back."""

    def __init__(self, bybit: Any, crypto: Runtime, sim: Any, shares: Runtime) -> None:
        self.bybit, self.tradestation = bybit, sim
        self.runtimes = {CRYPTO: crypto, SHARES: shares}

    def plan(self, book: Portfolio | None = None, binding: Subscription | None = None, **more: Any) -> RunPlan:
        return make_run_plan(self.runtimes, binding or subscription(), book or portfolio(), beside=in_threads, **more)

    def ledgers(self) -> list[dict[str, int]]:
        return [_rows(runtime.ledger) for runtime in self.runtimes.values()]


def _rows(ledger: Ledger) -> dict[str, int]:
    with ledger.read() as session:
        return {
            name: session.connection().exec_driver_sql(f'SELECT count(*) FROM "{name}"').scalar_one()
            for name in sorted(SQLModel.metadata.tables)
        }


@contextmanager
def opened(folders: list[Path]) -> Iterator[Scene]:
    with ExitStack() as stack:
        crypto = stack.enter_context(stage(folders[0]))
        sim, shares = stack.enter_context(tradestation(folders[1], clock=QuickClock()))
        for runtime in (crypto.runtime, shares):
            runtime.broker.connect()
        yield Scene(crypto.sim, crypto.runtime, sim, shares)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with opened([tmp_path_factory.mktemp(name) for name in ("bybit", "tradestation")]) as found:
        yield found


@pytest.fixture
def own_scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """For a test that trades: what trading costs cannot be put back."""
    with opened([tmp_path_factory.mktemp(name) for name in ("bybit", "tradestation")]) as found:
        yield found


def portfolio(**changes: Any) -> Portfolio:
    fields: dict[str, Any] = {
        "name": "core",
        "quote_currency": "USD",
        "targets": {BTC: "0.2", ETH: "-0.1", AAPL: "0.3", MSFT: "0.1"},
        "cash_buffer": "0.02",
    }
    return Portfolio.model_validate({**fields, **changes})


def subscription(**changes: Any) -> Subscription:
    fields: dict[str, Any] = {
        "name": "world",
        "portfolio": "core",
        "base_currency": "USD",
        "split": "by_instrument",
        "accounts": [{"account": CRYPTO, "quote_currency": "USDT"}, {"account": SHARES}],
        "conversions": {"USDT": {"rate": "0.5"}},
    }
    return Subscription.model_validate({**fields, **changes})


def test_one_plan_over_two_venues_in_one_measure(scene: Scene) -> None:
    run = scene.plan()
    assert run.problems == ()
    assert run.expected.equity == 150_000  # 100,000 USDT at a half, and 100,000 USD
    assert [(name, str(leg.instrument_id), leg.side.value) for name, leg in run.legs] == [
        (CRYPTO, BTC, "buy"),
        (CRYPTO, ETH, "sell"),
        (SHARES, AAPL, "buy"),
        (SHARES, MSFT, "buy"),
    ]
    assert {str(line.instrument_id): round(line.after_weight, 3) for line in run.lines} == {
        BTC: D("0.196"),
        ETH: D("-0.098"),
        AAPL: D("0.293"),  # whole shares
        MSFT: D("0.096"),
    }
    assert [(item.currency, item.rate, item.source, item.time) for item in run.conversions] == [
        ("USDT", D("0.5"), "fixed", None)
    ]
    assert all(line.price_time is not None for item in run.accounts for line in item.plan.lines)
    assert RunPlan.from_json(run.to_json()) == run


def test_a_preview_leaves_no_trace(scene: Scene) -> None:
    before = scene.ledgers()
    since = [len(sim.control.requests()) for sim in (scene.bybit, scene.tradestation)]
    scene.plan()
    assert scene.ledgers() == before
    for sim, seen in zip((scene.bybit, scene.tradestation), since, strict=True):
        made = sim.control.requests()[seen:]
        assert made and {request.method for request in made} == {"GET"}


def test_the_same_accounts_read_twice_moved_nowhere(scene: Scene) -> None:
    first, again = scene.plan(), scene.plan()
    assert moved_since(first, again) == ()
    assert first.run_hash != again.run_hash  # another snapshot: an approval is for the one that was shown


def test_what_moved_while_somebody_thought_is_found(scene: Scene) -> None:
    first = scene.plan()
    scene.bybit.control.set_price("BTCUSDT", 61_000)
    try:
        moved = moved_since(first, scene.plan())
    finally:
        scene.bybit.control.set_price("BTCUSDT", 60_000)
    assert [(item.account_name, str(item.instrument_id), item.kind) for item in moved] == [
        (CRYPTO, BTC, MovedKind.PRICE)
    ]


def test_a_currency_is_converted_by_a_quote_the_other_way_round(scene: Scene) -> None:
    conversions = {"USDT": {"instrument": "BTC/USDT", "account": CRYPTO}, "USD": {"rate": "0.00001"}}
    run = scene.plan(binding=subscription(base_currency="BTC", conversions=conversions))
    used = {item.currency: item for item in run.conversions}
    assert abs(used["USDT"].rate - 1 / D(60_000)) < D("1e-9")
    assert (used["USDT"].source, used["USD"].source) == ("BTC/USDT", "fixed")
    assert used["USDT"].time is not None


def test_a_conversion_that_cannot_be_told_makes_no_plan(scene: Scene) -> None:
    missing = subscription(base_currency="EUR", conversions={"USDT": {"instrument": "EUR/USDT"}, "USD": {"rate": "1"}})
    with pytest.raises(PlanImpossible, match="EUR/USDT has no usable quote") as refused:
        scene.plan(binding=missing)
    assert refused.value.reason == "CONVERSION_MISSING"
    conversions = {"USDT": {"instrument": "BTC/USDT", "quote_age_s_max": 30}, "USD": {"rate": "0.00001"}}
    later = {name: replace(runtime, clock=Ahead()) for name, runtime in scene.runtimes.items()}
    with pytest.raises(PlanImpossible, match="above quote_age_s_max 30") as refused:
        make_run_plan(later, subscription(base_currency="BTC", conversions=conversions), portfolio())
    assert refused.value.reason == "CONVERSION_STALE"


def test_an_account_that_cannot_be_read_stops_the_others_only_where_equity_is_joint(scene: Scene) -> None:
    scene.bybit.control.fault("status", path="/v5/account/wallet-balance", times=None, status=503)
    try:
        joint, apart = scene.plan(), scene.plan(binding=subscription(split="own_equity"))
    finally:
        scene.bybit.control.clear_faults()
    assert joint.accounts == () and joint.legs == ()
    assert {item.account_name: item.reason for item in joint.problems}[SHARES] == AccountReason.JOINT_EQUITY_UNKNOWN
    assert [item.account_name for item in apart.accounts] == [SHARES]
    (problem,) = apart.problems
    assert (problem.account_name, problem.account_id) == (CRYPTO, "bybit.simulated.main")
    assert problem.reason.startswith("VENUE_")


def test_an_account_that_was_not_opened_is_stated(scene: Scene) -> None:
    problem = AccountProblem(account_name=SHARES, account_id="", reason="CONFIG_REFUSED", detail="no block")
    run = make_run_plan(
        {CRYPTO: scene.runtimes[CRYPTO]}, subscription(split="own_equity"), portfolio(), problems=[problem]
    )
    assert run.problems == (problem,)
    assert [item.account_name for item in run.accounts] == [CRYPTO]
    with pytest.raises(ValueError, match=f"needs its accounts opened, missing: {SHARES}"):
        make_run_plan({CRYPTO: scene.runtimes[CRYPTO]}, subscription(), portfolio())


def test_subscription_and_portfolio_must_belong_together(scene: Scene) -> None:
    with pytest.raises(ValueError, match="follows portfolio 'core', was given 'other'"):
        scene.plan(portfolio(name="other"))
    with pytest.raises(ValueError, match="say what USDT is worth in USD"):
        scene.plan(binding=subscription(conversions={}))


def test_stale_targets_refuse_the_run(scene: Scene) -> None:
    with pytest.raises(PlanImpossible) as refused:
        scene.plan(portfolio(targets_valid_until="2020-01-01T00:00:00Z"))
    assert refused.value.reason == "TARGETS_STALE"


def test_lines_of_another_venue_cost_no_request(scene: Scene) -> None:
    seen = len(scene.tradestation.control.requests())
    scene.plan()
    asked = " ".join(request.path for request in scene.tradestation.control.requests()[seen:])
    assert "AAPL" in asked and "BTC" not in asked


def test_what_a_venue_does_not_list_is_an_answer_and_no_failed_step(scene: Scene) -> None:
    """A person who watches a good run in Prefect must not see a red task for each line that lives at another venue."""
    failed, read = [], []

    def step(name: str, kind: Any, function: Any) -> Any:
        read.append(name)
        try:
            return function()
        except Exception as error:
            failed.append(f"{name}: {error}")
            raise

    book = portfolio(targets={BTC: "0.2", "NOPE/USDT:USDT": "0.1", "NEVER/USDT:USDT": "0.1", ETH: "-0.1"})
    view = read_account_view(scene.runtimes[CRYPTO], book.model_copy(update={"quote_currency": "USDT"}), step=step)
    assert {str(key) for key in view.instruments} == {BTC, ETH}
    assert failed == []
    assert sum(name.endswith("instruments") for name in read) == 1


def test_steps_are_named_after_the_run(scene: Scene) -> None:
    said: list[str] = []

    def step(name: str, kind: Any, function: Any) -> Any:
        said.append(name)
        return function()

    scene.plan(step=step, business_key="run-7")
    assert said and all(name.endswith(" for run-7") for name in said)


def test_a_cooldown_counts_from_the_last_rebalance_that_traded(own_scene: Scene) -> None:
    runtime = own_scene.runtimes[CRYPTO]
    book = portfolio(quote_currency="USDT", targets={BTC: "0.1"}, cooldown_s=3600)
    assert read_account_view(runtime, book, step=call_directly).last_traded_at is None
    ended = rebalance(runtime, book, business_key="cooldown-1").plan
    assert ended.state.is_terminal
    binding = subscription(accounts=[{"account": CRYPTO}], base_currency="USDT", conversions={}, split="own_equity")
    doubled = portfolio(quote_currency="USDT", targets={BTC: "0.2"}, cooldown_s=3600)
    run = make_run_plan({CRYPTO: runtime}, binding, doubled)
    assert run.is_empty
    assert run.accounts[0].plan.lines[0].reasons == (LineReason.COOLDOWN,)
    assert make_run_plan({CRYPTO: runtime}, binding, doubled.model_copy(update={"cooldown_s": 0})).legs
    assert InstrumentId(BTC) in {line.instrument_id for line in run.lines}
