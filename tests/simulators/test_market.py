"""Prices, replay, clocks, funding and liquidation; the same seed and calls give the same venue."""

import gzip
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulators import Control, demo_config, running_bybit
from simulators.bybit.simulator import build_bybit
from simulators.core.clock import Clock, ClockMode
from simulators.core.config import AccountConfig, ClockConfig
from simulators.core.prices import Replay
from simulators.core.types import EntryKind, ExecutionKind
from simulators.core.wire import to_json
from simulators.demo import stock_history
from simulators.testing import small_config

START = datetime(2024, 3, 1, tzinfo=UTC)
MANUAL = {"clock": ClockConfig.model_validate({"mode": "manual", "start": START})}


def test_demo_replays_real_prices():
    control = Control(build_bybit(demo_config(market_start=datetime(2018, 1, 2, tzinfo=UTC))))
    assert control.prices()["AAPLUSDT"] == Decimal("40.832")
    assert control.quote("AAPLUSDT").last == Decimal("40.83")
    control.advance(days=1)
    row = Replay.read(stock_history(), columns={"AAPLUSDT": "AAPL"}, time_column="Date")
    day = row.times_ms.index(int(datetime(2018, 1, 3, tzinfo=UTC).timestamp() * 1000))
    assert control.prices()["AAPLUSDT"] == row.columns["AAPLUSDT"][day]


def test_stamps_follow_the_wall_while_the_market_is_in_history():
    control = Control(build_bybit(demo_config()))
    before = control.health()
    after = control.advance(days=365)
    assert after["market_ms"] == before["market_ms"] + 365 * 86_400_000
    assert 0 <= after["engine_ms"] - before["engine_ms"] < 60_000


def test_same_seed_and_calls_give_the_same_venue():
    def run(seed: int) -> object:
        control = Control(build_bybit(demo_config(seed=seed, clock_mode=ClockMode.MANUAL)))
        for day in range(30):
            control.place_order("main", "BTCUSDT", "buy" if day % 3 else "sell", "0.05")
            control.place_order("main", "XOMUSDT", "buy", "10", price=control.quote("XOMUSDT").bid)
            control.advance(days=1)
        return to_json([control.orders("main"), control.executions("main"), control.transaction_log("main")])

    assert run(3) == run(3)
    assert run(3) != run(4)


def test_changes_move_to_the_next_price():
    control = Control(build_bybit(demo_config()))
    moved = control.advance(changes=2)
    assert moved["market_ms"] == int(datetime(2018, 1, 4, tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_prices_move_only_with_the_clock(wire: Any, control: Control):
    before = wire.rows("/v5/market/tickers", "category=linear")
    assert wire.rows("/v5/market/tickers", "category=linear") == before
    control.set_price("AAPLUSDT", "210")
    after = wire.rows("/v5/market/tickers", "category=linear")
    assert [(b["symbol"]) for b, a in zip(before, after, strict=True) if b["lastPrice"] != a["lastPrice"]] == [
        "AAPLUSDT"
    ]


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_funding_is_paid_by_longs_and_mixed_into_executions(wire: Any, control: Control):
    control.set_funding_rate("0.0001")
    control.set_funding_rate("-0.0002", symbol="MSFTUSDT")
    wire.place(qty="10")
    wire.place(symbol="MSFTUSDT", qty="5")
    control.advance(seconds=8 * 3600)
    paid, received = (e for e in control.executions("main") if e.kind is ExecutionKind.FUNDING)
    assert (paid.fee, received.fee) == (Decimal("0.2"), Decimal("-0.4"))
    rows = wire.rows("/v5/execution/list", "category=linear&execType=Funding")
    assert [(r["symbol"], r["execFee"], r["orderType"], r["orderQty"]) for r in rows] == [
        ("MSFTUSDT", "-0.4", "UNKNOWN", "0"),
        ("AAPLUSDT", "0.2", "UNKNOWN", "0"),
    ]
    assert len(wire.rows("/v5/execution/list")) == 4
    entries = wire.rows("/v5/account/transaction-log", "type=SETTLEMENT")
    assert [(e["funding"], e["change"], e["fee"]) for e in entries] == [("0.4", "0.4", "0"), ("-0.2", "-0.2", "0")]


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_shorts_receive_positive_funding_three_times_a_day(wire: Any, control: Control):
    control.set_funding_rate("0.0001")
    wire.place(side="Sell", qty="10")
    control.advance(days=1)
    entries = [e for e in control.transaction_log("main") if e.kind is EntryKind.FUNDING]
    assert [e.change for e in entries] == [Decimal("0.2")] * 3
    assert [e.time_ms % 28_800_000 for e in entries] == [0, 0, 0]


def test_liquidation_closes_everything_and_says_so(wire: Any, control: Control):
    control.withdraw("main", "USDT", "98000")
    control.place_order("main", "AAPLUSDT", "buy", "90")
    wire.place(side="Sell", orderType="Limit", price="209", qty="1", orderLinkId="resting")
    control.set_price("AAPLUSDT", "181")
    assert control.positions("main") == []
    assert control.executions("main")[-1].kind is ExecutionKind.LIQUIDATION
    assert wire.rows("/v5/execution/list")[0]["execType"] == "BustTrade"
    assert wire.order("resting")["cancelType"] == "CancelByPrepareLiq"
    assert sum(e.change for e in control.transaction_log("main")) == control.wallets("main")["USDT"]


ENGINE = {"clock": ClockConfig.model_validate({"mode": "manual", "start": START, "gateway": "engine"})}


@pytest.mark.parametrize("config_changes", [ENGINE], ids=["engine"])
def test_engine_gateway_checks_signatures_against_the_manual_clock(wire: Any, wire_of: Any, control: Control):
    query = "category=linear&symbol=AAPLUSDT"
    assert wire.get("/v5/position/list", query)["retCode"] == 10002
    behind = wire_of(offset_ms=int(START.timestamp() * 1000) - int(time.time() * 1000))
    assert behind.get("/v5/position/list", query)["retCode"] == 0
    assert behind.get("/v5/market/time")["result"]["timeSecond"] == str(int(START.timestamp()))


def test_market_may_follow_the_wall_clock():
    now = [1_700_000_000_000_000_000]
    clock = Clock(mode=ClockMode.WALL, market_start_ms=1_000, market_follows=True, source_ns=lambda: now[0])
    now[0] += 2_500_000_000
    assert clock.market_due_ms() == 3_500
    clock.move_market(3_500)
    assert (clock.market_due_ms(), clock.market_ms()) == (3_500, 3_500)
    with pytest.raises(ValueError, match="only moves forward"):
        clock.move_market(3_499)


def test_manual_clock_needs_a_start():
    with pytest.raises(ValueError, match=r"clock\.start"):
        Clock(mode=ClockMode.MANUAL)


def test_replay_reads_plain_and_packed_files_and_refuses_bad_ones(tmp_path: Path):
    text = "Date,A\n2020-01-01,1.5\n2020-01-02T12:00:00+02:00,2\n"
    plain, packed = tmp_path / "p.csv", tmp_path / "p.csv.gz"
    plain.write_text(text)
    packed.write_bytes(gzip.compress(text.encode()))
    for path in (plain, packed):
        replay = Replay.read(path, columns={"AUSDT": "A"}, time_column="Date")
        assert replay.columns == {"AUSDT": (Decimal("1.5"), Decimal(2))}
        assert replay.times_ms == (1577836800000, 1577959200000)
    with pytest.raises(ValueError, match="no column"):
        Replay.read(plain, columns={"BUSDT": "B"}, time_column="Date")
    plain.write_text("Date,A\n2020-01-02,1\n2020-01-01,2\n")
    with pytest.raises(ValueError, match="strictly increasing"):
        Replay.read(plain, columns={"AUSDT": "A"}, time_column="Date")


def test_load_replay_places_the_market(tmp_path: Path, control: Control):
    path = tmp_path / "p.csv"
    path.write_text("Date,A\n2020-01-01,150\n2020-01-02,151\n2020-01-03,152\n")
    control.load_replay(path, {"AAPLUSDT": "A"}, start="2020-01-01")
    assert control.quote("AAPLUSDT").last == 150
    control.advance(days=1)
    assert control.quote("AAPLUSDT").last == 151


def test_multi_year_daily_replay_keeps_its_books():
    accounts = (AccountConfig(name="main", balances={"USDT": Decimal(1_000_000)}),)
    config = demo_config(market_start=datetime(2010, 1, 4, tzinfo=UTC)).model_copy(update={"accounts": accounts})
    symbols = ["AAPLUSDT", "XOMUSDT", "KOUSDT", "GEUSDT"]
    with running_bybit(config) as sim:
        for month in range(60):
            for number, symbol in enumerate(symbols):
                side = "buy" if (month + number) % 4 else "sell"
                sim.control.place_order("main", symbol, side, 100)
            sim.control.advance(days=30)
        control = sim.control
        assert sum(e.change for e in control.transaction_log("main")) == control.wallets("main")["USDT"]
        for position in control.positions("main"):
            trades = [e for e in control.executions("main") if e.symbol == position.symbol]
            held = sum(e.qty * e.side.sign for e in trades if e.kind is not ExecutionKind.FUNDING)
            assert held == position.signed_qty


def test_float_numbers_are_refused_by_the_configuration():
    with pytest.raises(ValueError, match="quoted string"):
        small_config(price_band=0.05)
