"""Life of an order: times in force, liquidity, stops, reduce-only, lags, windows and retention."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import Control
from simulators.core.config import ClockConfig, LagsConfig, LiquidityConfig

LIMIT = {"orderType": "Limit"}
START = datetime(2024, 3, 1, tzinfo=UTC)
MANUAL = {"clock": ClockConfig.model_validate({"mode": "manual", "start": START})}
DAY_MS = 86_400_000


def start_ms() -> int:
    return int(START.timestamp() * 1000)


@pytest.mark.parametrize(
    ("order", "status", "reason", "filled"),
    [
        ({"price": "199", "timeInForce": "GTC"}, "New", "EC_NoError", "0"),
        ({"price": "201", "timeInForce": "GTC"}, "Filled", "EC_NoError", "5"),
        ({"price": "199", "timeInForce": "IOC"}, "Cancelled", "EC_NoImmediateQtyToFill", "0"),
        ({"price": "201", "timeInForce": "IOC"}, "Filled", "EC_NoError", "5"),
        ({"price": "199", "timeInForce": "FOK"}, "Cancelled", "EC_NoEnoughQtyToFill", "0"),
        ({"price": "201", "timeInForce": "FOK"}, "Filled", "EC_NoError", "5"),
        ({"price": "199", "timeInForce": "PostOnly"}, "New", "EC_NoError", "0"),
        ({"price": "201", "timeInForce": "PostOnly"}, "Cancelled", "EC_PostOnlyWillTakeLiquidity", "0"),
    ],
)
def test_times_in_force(wire: Any, order: dict[str, str], status: str, reason: str, filled: str):
    assert wire.place(**LIMIT, **order, qty="5", orderLinkId="x")["retCode"] == 0
    row = wire.order("x")
    assert (row["orderStatus"], row["rejectReason"], row["cumExecQty"]) == (status, reason, filled)


THIN = {"prices": {"liquidity": LiquidityConfig(level_notional=Decimal(2_000), levels=3, gap_bps=Decimal(10))}}


@pytest.fixture
def thin(control: Control) -> Control:
    control.set_liquidity("AAPLUSDT", level_notional="2000", levels=3, gap_bps="10")
    return control


def test_market_order_walks_the_levels_and_loses_the_rest(wire: Any, thin: Control):
    wire.place(qty="35", orderLinkId="x")
    fills = thin.executions("main")
    assert [(fill.price, fill.qty) for fill in fills] == [
        (Decimal("200.02"), 10),
        (Decimal("200.23"), 10),
        (Decimal("200.43"), 10),
    ]
    row = wire.order("x")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("Cancelled", "30", "0")
    wire.place(qty="1", orderLinkId="y")
    assert wire.order("y")["rejectReason"] == "EC_NoImmediateQtyToFill", "taken liquidity is gone"
    thin.set_price("AAPLUSDT", "200.01")
    wire.place(qty="1", orderLinkId="z")
    assert wire.order("z")["orderStatus"] == "Filled", "a price change brings fresh liquidity"


def test_protective_cap_bounds_a_market_order(wire: Any, thin: Control):
    wire.place(qty="35", orderLinkId="x", slippageToleranceType="TickSize", slippageTolerance="5")
    row = wire.order("x")
    assert (row["price"], row["cumExecQty"]) == ("200.07", "10")
    wire.place(side="Sell", qty="15", orderLinkId="y", slippageToleranceType="Percent", slippageTolerance="0.15")
    assert {fill.price for fill in thin.executions("main") if fill.client_id == "y"} == {
        Decimal("199.98"),
        Decimal("199.78"),
    }


def test_limit_order_rests_with_what_liquidity_left(wire: Any, thin: Control):
    wire.place(**LIMIT, price="200.10", qty="15", orderLinkId="x")
    row = wire.order("x")
    assert (row["orderStatus"], row["cumExecQty"], row["leavesQty"]) == ("PartiallyFilled", "10", "5")
    thin.set_price("AAPLUSDT", "199")
    row = wire.order("x")
    assert (row["orderStatus"], row["cumExecQty"]) == ("Filled", "15")
    assert [fill.is_maker for fill in thin.executions("main")] == [False, True]


def test_fok_sees_the_depth(wire: Any, thin: Control):
    wire.place(**LIMIT, price="201", qty="31", timeInForce="FOK", orderLinkId="x")
    assert wire.order("x")["cumExecQty"] == "0"
    wire.place(**LIMIT, price="201", qty="30", timeInForce="FOK", orderLinkId="y")
    assert wire.order("y")["orderStatus"] == "Filled"


def test_spot_order_cancelled_with_fills_has_its_own_status(wire: Any, control: Control):
    control.set_liquidity("BTCUSDT", level_notional="600", levels=1)
    wire.place(category="spot", symbol="BTCUSDT", qty="0.02", marketUnit="baseCoin", orderLinkId="x")
    row = wire.order("x", "spot")
    assert row["orderStatus"] == "PartiallyFilledCanceled"
    assert Decimal("0") < Decimal(row["cumExecQty"]) < Decimal("0.02")


def test_stop_order_waits_triggers_and_fills(wire: Any, control: Control):
    wire.place(qty="4")
    stop = {"side": "Sell", "qty": "4", "triggerPrice": "190", "triggerDirection": 2, "reduceOnly": True}
    wire.place(**stop, orderLinkId="stop")
    row = wire.order("stop")
    assert (row["orderStatus"], row["triggerPrice"], row["triggerDirection"]) == ("Untriggered", "190", 2)
    assert control.margin("main").order_margin == 0
    control.set_price("AAPLUSDT", "190.01")
    assert wire.order("stop")["orderStatus"] == "Untriggered"
    control.set_price("AAPLUSDT", "190")
    assert wire.order("stop")["orderStatus"] == "Filled"
    assert control.positions("main") == []


def test_untriggered_order_is_deactivated_by_cancel(wire: Any):
    wire.place(side="Sell", triggerPrice="190", triggerDirection=2, orderLinkId="stop")
    wire.post("/v5/order/cancel", category="linear", symbol="AAPLUSDT", orderLinkId="stop")
    assert wire.order("stop")["orderStatus"] == "Deactivated"


def test_spot_stop_limit(wire: Any, control: Control):
    order = {"category": "spot", "symbol": "BTCUSDT", **LIMIT, "price": "61500", "qty": "0.01"}
    assert wire.place(**order, triggerPrice="61000", orderLinkId="a")["retCode"] == 170201
    assert wire.place(**order, triggerPrice="61000", orderFilter="StopOrder", orderLinkId="b")["retCode"] == 0
    assert control.margin("main").locked == 0
    control.set_price("BTCUSDT", "61000")
    assert wire.order("b", "spot")["orderStatus"] == "Filled"


def test_a_spot_order_that_waits_is_cancelled_by_its_kind_alone(wire: Any):
    order = {"category": "spot", "symbol": "BTCUSDT", **LIMIT, "price": "61500", "qty": "0.01"}
    wire.place(**order, triggerPrice="61000", orderFilter="StopOrder", orderLinkId="b")
    named = {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": "b"}
    assert wire.post("/v5/order/cancel", **named)["retCode"] == 170213
    assert wire.post("/v5/order/cancel", **named, orderFilter="StopOrder")["retCode"] == 0


def test_resting_reduce_only_order_dies_with_its_position(wire: Any):
    wire.place(qty="3")
    wire.place(**LIMIT, side="Sell", price="209", qty="3", reduceOnly=True, orderLinkId="take")
    wire.place(side="Sell", qty="3", reduceOnly=True)
    row = wire.order("take")
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByReduceOnly")


def test_close_all_with_zero_quantity(wire: Any, control: Control):
    wire.place(qty="7.5")
    assert wire.place(side="Sell", qty="0", reduceOnly=True, closeOnTrigger=True)["retCode"] == 0
    assert control.positions("main") == []


def test_one_order_turns_a_position_round(wire: Any, control: Control):
    wire.place(qty="3")
    wire.place(side="Sell", qty="5")
    (position,) = control.positions("main")
    assert (position.signed_qty, position.average_price) == (-2, control.quote("AAPLUSDT").bid)


# lags
@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_acknowledgement_is_not_a_live_order(wire: Any, control: Control):
    assert wire.place(orderLinkId="x")["retCode"] == 0
    for path in ("/v5/order/realtime", "/v5/order/history"):
        assert wire.rows(path, "category=linear&settleCoin=USDT&orderLinkId=x") == []
    assert control.positions("main") == []
    control.advance(seconds=1)
    assert wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT&orderLinkId=x") == []
    control.advance(seconds=1)
    row = wire.order("x")
    assert (row["orderStatus"], row["createdTime"], row["updatedTime"]) == (
        "Filled",
        str(start_ms()),
        str(start_ms() + 2_000),
    )


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_rejection_after_the_acknowledgement(wire: Any, control: Control):
    control.deposit("main", "USDT", 0)
    assert wire.place(qty="4000", orderLinkId="x")["retCode"] == 0
    control.withdraw("main", "USDT", "90000")
    control.advance(seconds=2)
    row = wire.order("x")
    assert (row["orderStatus"], row["rejectReason"], row["cumExecQty"]) == ("Rejected", "EC_Others", "0")


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_post_only_is_judged_when_applied(wire: Any, control: Control):
    wire.place(**LIMIT, price="199", timeInForce="PostOnly", orderLinkId="x")
    control.set_price("AAPLUSDT", "198")
    control.advance(seconds=2)
    assert wire.order("x")["rejectReason"] == "EC_PostOnlyWillTakeLiquidity"


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_cancel_is_asynchronous_too(wire: Any, control: Control):
    wire.place(**LIMIT, price="199", orderLinkId="x")
    control.advance(seconds=2)
    body = {"category": "linear", "symbol": "AAPLUSDT", "orderLinkId": "x"}
    assert wire.post("/v5/order/cancel", **body)["retCode"] == 0
    assert wire.order("x")["orderStatus"] == "New"
    control.set_price("AAPLUSDT", "198")
    control.advance(seconds=2)
    assert wire.order("x")["orderStatus"] == "Filled", "a fill may overtake an acknowledged cancel"


SLOW = LagsConfig(orders_ms=8_000, executions_ms=3_000, positions_ms=5_000, wallet_ms=1_000, entries_ms=2_000)


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": SLOW}], ids=["slow"])
def test_each_read_has_its_own_lag(wire: Any, control: Control):
    control.advance(seconds=60)
    wire.place(qty="10", orderLinkId="x")
    begin = start_ms() + 60_000

    def seen() -> set[str]:
        window = f"category=linear&startTime={begin - 1000}&endTime={begin + 60_000}"
        wallet = wire.get("/v5/account/wallet-balance", "accountType=UNIFIED")["result"]["list"][0]["coin"][0]
        found = {
            "orders": wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT&orderLinkId=x"),
            "executions": wire.rows("/v5/execution/list", window),
            "positions": wire.rows("/v5/position/list", "category=linear&settleCoin=USDT"),
            "entries": wire.rows("/v5/account/transaction-log", window),
            "wallet": wallet["walletBalance"] != "100000",
        }
        return {name for name, value in found.items() if value}

    steps = [seen()]
    for _ in range(8):
        control.advance(seconds=1)
        steps.append(seen())
    assert steps[0] == set()
    assert steps[1] == {"wallet"}
    assert steps[2] == {"wallet", "entries"}
    assert steps[3] == steps[4] == {"wallet", "entries", "executions"}
    assert steps[5] == steps[7] == {"wallet", "entries", "executions", "positions"}
    assert steps[8] == steps[7] | {"orders"}


# windows and retention
@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_history_keeps_unfilled_cancelled_orders_for_a_day(wire: Any, control: Control):
    wire.place(**LIMIT, price="199", orderLinkId="gone")
    wire.post("/v5/order/cancel", category="linear", symbol="AAPLUSDT", orderLinkId="gone")
    wire.place(orderLinkId="filled")

    def history() -> list[str]:
        begin = start_ms()
        query = f"category=linear&startTime={begin}&endTime={begin + DAY_MS}"
        return [row["orderLinkId"] for row in wire.rows("/v5/order/history", query)]

    assert history() == ["filled", "gone"]
    control.advance(seconds=86_400)
    assert history() == ["filled", "gone"]
    control.advance(seconds=1)
    assert history() == ["filled"]
    assert wire.rows("/v5/order/history", "category=linear&orderLinkId=gone") == []
    control.advance(days=30)
    assert history() == ["filled"]
    assert wire.rows("/v5/order/history") == [], "without a window the last seven days"


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_executions_default_to_seven_days(wire: Any, control: Control):
    wire.place()
    control.advance(days=6)
    assert len(wire.rows("/v5/execution/list")) == 1
    control.advance(days=2)
    assert wire.rows("/v5/execution/list") == []
    assert len(wire.rows("/v5/execution/list", f"category=linear&startTime={start_ms()}")) == 1


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_transaction_log_defaults_to_a_day(wire: Any, control: Control):
    control.advance(days=1, seconds=1)
    assert wire.rows("/v5/account/transaction-log", "") == []
    assert len(wire.rows("/v5/account/transaction-log", f"startTime={start_ms()}")) == 1


def test_realtime_forgets_beyond_500_closed_orders(wire: Any):
    for number in range(502):
        wire.place(orderLinkId=f"n{number}")
    assert wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT&orderLinkId=n1") == []
    assert wire.order("n2")["orderStatus"] == "Filled"
    assert len(wire.rows("/v5/order/history", "category=linear&orderLinkId=n1")) == 1
    assert wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT") == []
    assert len(wire.rows("/v5/order/realtime", "category=linear&settleCoin=USDT&openOnly=1&limit=50")) == 50


def pages(wire: Any, path: str, query: str) -> list[list[dict[str, Any]]]:
    found: list[list[dict[str, Any]]] = []
    cursor = ""
    while True:
        result = wire.get(path, f"{query}&cursor={cursor}" if cursor else query)["result"]
        found.append(result["list"])
        if not result["list"]:
            assert result["nextPageCursor"] == ""
            return found
        assert result["nextPageCursor"], "even the last page with rows carries a cursor"
        cursor = result["nextPageCursor"]


@pytest.mark.parametrize(
    ("path", "query", "key"),
    [
        ("/v5/order/history", "category=linear&limit=3", "orderId"),
        ("/v5/execution/list", "category=linear&limit=3", "execId"),
        ("/v5/account/transaction-log", "limit=3", "id"),
        ("/v5/position/list", "category=linear&settleCoin=USDT&limit=1", "symbol"),
    ],
)
def test_cursors_cover_everything_once(wire: Any, path: str, query: str, key: str):
    for number in range(4):
        wire.place(orderLinkId=f"a{number}")
        wire.place(symbol="MSFTUSDT", orderLinkId=f"m{number}")
    found = pages(wire, path, query)
    ids = [row[key] for page in found for row in page]
    everything = wire.rows(path, query.replace("limit=3", "limit=50").replace("limit=1", "limit=50"))
    assert ids == [row[key] for row in everything]
    assert len(set(ids)) == len(ids) >= 2
    assert "%" in wire.get(path, query)["result"]["nextPageCursor"]


def test_cursor_is_stable_while_new_rows_arrive(wire: Any):
    for number in range(4):
        wire.place(orderLinkId=f"a{number}")
    first = wire.get("/v5/order/history", "category=linear&limit=2")["result"]
    wire.place(orderLinkId="late")
    cursor = first["nextPageCursor"]
    second = wire.rows("/v5/order/history", f"category=linear&limit=2&cursor={cursor}")
    assert [row["orderLinkId"] for row in second] == ["a1", "a0"]
