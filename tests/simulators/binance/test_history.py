"""Orders and fills in time: windows, pages, first numbers, what is forgotten and when, stops, ends, funding, income."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import Control
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig

START = datetime(2026, 3, 2, tzinfo=UTC)
LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "price": "50000"}
FAR = {**LIMIT, "price": "58000"}
DAY_MS = 86_400_000
SYMBOL = {"symbol": "BTCUSDT"}


@pytest.fixture
def config_changes() -> dict[str, Any]:
    clock = ClockConfig(mode=ClockMode.MANUAL, start=START, gateway=GatewayClock.ENGINE)
    return {"clock": clock, "funding_rate": Decimal("0.0001")}


@pytest.fixture
def timed(wire: Any, control: Control) -> Iterator[Any]:
    """A client whose clock is the venue's, wherever that has been moved."""
    signed = wire.signed

    def now(fields: dict[str, Any]) -> str:
        wire.offset_ms = control.health()["gateway_ms"] - time.time_ns() // 1_000_000  # type: ignore[operator]
        return signed(fields)

    wire.signed = now
    yield wire
    wire.signed = signed


def ids(rows: list[dict[str, Any]], name: str = "orderId") -> list[int]:
    assert isinstance(rows, list), rows
    return [row[name] for row in rows]


def test_fills_page_by_first_number(timed: Any):
    numbers = [timed.spot()["fills"][0]["tradeId"] for _ in range(5)]
    read = "/api/v3/myTrades"
    assert ids(timed.get(read, **SYMBOL), "id") == numbers, "oldest first"
    assert ids(timed.get(read, **SYMBOL, limit=2), "id") == numbers[-2:], "without a window the latest"
    assert ids(timed.get(read, **SYMBOL, fromId=numbers[1], limit=2), "id") == numbers[1:3], "the first is included"
    assert ids(timed.get(read, **SYMBOL, fromId=numbers[-1] + 1), "id") == []
    order = timed.get("/api/v3/allOrders", **SYMBOL)[2]["orderId"]
    assert ids(timed.get(read, **SYMBOL, orderId=order), "id") == [numbers[2]]
    assert timed.get(read, **SYMBOL, fromId=1, startTime=1)["code"] == -1128
    assert timed.get(read, **SYMBOL, limit=0)["code"] == -1130


def test_trades_of_two_symbols_may_bear_the_same_number(timed: Any):
    numbers = {timed.spot(symbol=name, quantity="0.1")["fills"][0]["tradeId"] for name in ("BTCUSDT", "ETHUSDT")}
    timed.futures()
    (futures,) = timed.get("/fapi/v1/userTrades", **SYMBOL)
    assert numbers == {futures["id"]}


@pytest.mark.parametrize(
    ("place", "trades", "orders", "days", "code"),
    [
        ("spot", "/api/v3/myTrades", "/api/v3/allOrders", 1, -1127),
        ("futures", "/fapi/v1/userTrades", "/fapi/v1/allOrders", 7, -4165),
    ],
)
def test_windows(timed: Any, control: Control, place: str, trades: str, orders: str, days: int, code: int):
    for _ in range(3):
        getattr(timed, place)()
        control.advance(days=days)
    start = int(START.timestamp() * 1000)
    for read in (trades, orders):

        def rows(**fields: int) -> int:
            return len(timed.get(read, **SYMBOL, **fields))  # noqa: B023 - called in this round only

        width = days * DAY_MS
        assert timed.get(read, **SYMBOL, startTime=start, endTime=start + width + 1)["code"] == code
        assert timed.get(read, **SYMBOL, startTime=2, endTime=1)["code"] == -1023
        assert [rows(startTime=start, endTime=start + width - 1), rows(startTime=start + 1)] == [1, 1]
        assert [rows(startTime=start), rows(endTime=start + 2 * width)] == [2, 2], "one end alone means one window"
        assert rows(startTime=start, limit=1) == 1
        assert rows() == (3 if place == "spot" else 1), "futures without a window: the last seven days"
    first = timed.get(orders, **SYMBOL, startTime=start)[0]
    assert first["time"] == start
    assert len(timed.get(orders, **SYMBOL, orderId=first["orderId"] + 1)) == 2


def test_unfilled_futures_orders_are_forgotten_after_three_days(timed: Any, control: Control):
    placed = timed.futures(**FAR, newClientOrderId="gone")
    timed.delete("/fapi/v1/order", **SYMBOL, orderId=placed["orderId"])
    filled = timed.futures()
    by_id = {**SYMBOL, "origClientOrderId": "gone"}
    control.advance(days=3)
    assert timed.get("/fapi/v1/order", **by_id)["status"] == "CANCELED"
    control.advance(seconds=1)
    assert timed.get("/fapi/v1/order", **by_id)["code"] == -2013
    assert ids(timed.get("/fapi/v1/allOrders", **SYMBOL)) == [filled["orderId"]]
    control.advance(days=90)
    assert timed.get("/fapi/v1/order", **SYMBOL, orderId=filled["orderId"])["code"] == -2013


def test_unfilled_spot_orders_are_archived_after_ninety_days(timed: Any, control: Control):
    placed = timed.spot(**LIMIT)
    timed.delete("/api/v3/order", **SYMBOL, orderId=placed["orderId"])
    control.advance(days=90)
    assert timed.get("/api/v3/order", **SYMBOL, orderId=placed["orderId"])["status"] == "CANCELED"
    control.advance(seconds=1)
    answer = timed.get("/api/v3/order", **SYMBOL, orderId=placed["orderId"])
    assert (answer["code"], "archived" in answer["msg"]) == (-2026, True)


def test_the_latest_of_several_orders_with_one_id_is_found(timed: Any, control: Control):
    numbers = [timed.spot(newClientOrderId="same")["orderId"] for _ in range(3)]
    assert timed.get("/api/v3/order", **SYMBOL, origClientOrderId="same")["orderId"] == numbers[-1]


# ends
@pytest.fixture
def shallow(control: Control) -> None:
    """Two levels of 0.02 BTC."""
    control.set_liquidity(level_notional="1200", levels=2, gap_bps="5")


IOC, FOK = "UNFILLED_IOC_QUANTITY_EXPIRED", "UNFILLED_FOK_ORDER_EXPIRED"


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize(
    ("order", "status", "executed", "reason"),
    [
        ({"quantity": "0.1"}, "EXPIRED", "0.04000000", "INSUFFICIENT_LIQUIDITY"),
        ({"type": "LIMIT", "timeInForce": "IOC", "price": "60006"}, "EXPIRED", "0.02000000", IOC),
        ({"type": "LIMIT", "timeInForce": "IOC", "price": "59000"}, "EXPIRED", "0.00000000", IOC),
        ({"type": "LIMIT", "timeInForce": "FOK", "price": "60006"}, "EXPIRED", "0.00000000", FOK),
        ({"type": "LIMIT", "timeInForce": "GTC", "price": "60006"}, "PARTIALLY_FILLED", "0.02000000", None),
    ],
)
def test_how_spot_orders_end(timed: Any, order: dict[str, str], status: str, executed: str, reason: str | None):
    placed = timed.spot(**{"quantity": "0.05", **order})
    row = timed.get("/api/v3/order", **SYMBOL, orderId=placed["orderId"])
    for shown in (placed, row):
        assert (shown["status"], shown["executedQty"], shown.get("expiryReason")) == (status, executed, reason)
    if status == "PARTIALLY_FILLED":
        gone = timed.delete("/api/v3/order", **SYMBOL, orderId=placed["orderId"])
        assert (gone["status"], gone["executedQty"]) == ("CANCELED", executed)


@pytest.mark.usefixtures("shallow")
def test_how_futures_orders_end(timed: Any, control: Control):
    market = timed.futures(quantity="0.1")
    assert (market["status"], market["executedQty"], market["origQty"]) == ("EXPIRED", "0.040", "0.100")
    control.set_liquidity(level_notional="1200", levels=2, gap_bps="5")
    order = {"type": "LIMIT", "quantity": "0.05", "price": "60006"}
    unfilled = timed.futures(**order, timeInForce="FOK")
    assert unfilled["code"] == -5021
    part = timed.futures(**order, timeInForce="IOC")
    assert (part["status"], part["executedQty"]) == ("EXPIRED", "0.020")
    control.set_liquidity(level_notional="1200", levels=2, gap_bps="5")
    resting = timed.futures(**order, timeInForce="GTC")
    assert (resting["status"], resting["executedQty"]) == ("NEW", "0.000"), (
        "RESULT is final for orders of a moment only"
    )
    row = timed.get("/fapi/v1/openOrder", **SYMBOL, orderId=resting["orderId"])
    assert (row["status"], row["executedQty"], row["cumQuote"]) == ("PARTIALLY_FILLED", "0.020", "1200.12000")
    assert len(control.orders("main")) == 3, "what is refused is not kept"


def test_response_types(timed: Any):
    keys = {kind: set(timed.spot(newOrderRespType=kind)) for kind in ("ACK", "RESULT", "FULL")}
    assert keys["ACK"] == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert keys["FULL"] - keys["RESULT"] == {"fills"} and keys["RESULT"] > keys["ACK"]
    maker = timed.spot(type="LIMIT_MAKER", price="59000")
    assert set(maker) == keys["ACK"], "all other types acknowledge only"
    row = timed.get("/api/v3/order", **SYMBOL, orderId=maker["orderId"])
    assert (row["type"], row["timeInForce"]) == ("LIMIT_MAKER", "GTC")


def test_order_by_value(timed: Any):
    placed = timed.spot(quantity=None, quoteOrderQty="1000")
    assert (placed["origQuoteOrderQty"], placed["origQty"]) == ("1000.00000000", placed["executedQty"])
    assert Decimal("999") < Decimal(placed["cummulativeQuoteQty"]) <= 1000


def test_cancel_restrictions(timed: Any, control: Control):
    control.set_liquidity(level_notional="1200", levels=1)
    part = timed.spot(type="LIMIT", timeInForce="GTC", price="60006", quantity="0.05")
    named = {**SYMBOL, "orderId": part["orderId"]}
    assert timed.delete("/api/v3/order", **named, cancelRestrictions="ANY")["code"] == -1145
    answer = timed.delete("/api/v3/order", **named, cancelRestrictions="ONLY_NEW")
    assert answer == {"code": -2011, "msg": "Order was not canceled due to cancel restrictions."}
    gone = timed.delete("/api/v3/order", **named, cancelRestrictions="ONLY_PARTIALLY_FILLED", newClientOrderId="c")
    assert (gone["status"], gone["clientOrderId"]) == ("CANCELED", "c")


def test_cancelling_every_order_of_a_symbol(timed: Any, control: Control):
    for place in (timed.spot, timed.futures):
        for price in ("57000", "58000"):
            place(**{**LIMIT, "price": price})
    other = timed.spot(**{**LIMIT, "price": "2900"}, symbol="ETHUSDT")
    gone = timed.delete("/api/v3/openOrders", **SYMBOL)
    assert [row["status"] for row in gone] == ["CANCELED", "CANCELED"]
    assert timed.delete("/fapi/v1/allOpenOrders", **SYMBOL)["code"] == 200
    assert [order.order_id for order in control.orders("main", open_only=True)] == [str(other["orderId"])]


def test_lagging_reads(timed: Any, control: Control):
    control.set_lags(orders_ms=30_000, executions_ms=30_000, wallet_ms=30_000, positions_ms=30_000, entries_ms=30_000)
    control.advance(seconds=60)
    for place in (timed.spot, timed.futures):
        place()
        place(**FAR)

    def seen() -> list[int]:
        lists = (
            *("/api/v3/openOrders", "/fapi/v1/openOrders", "/api/v3/myTrades", "/fapi/v1/userTrades"),
            *("/api/v3/allOrders", "/fapi/v1/allOrders"),
        )
        rows = [timed.get(path, **SYMBOL) for path in lists]
        balances = timed.get("/api/v3/account", omitZeroBalances="true")["balances"]
        rows += [timed.get("/fapi/v2/positionRisk"), timed.get("/fapi/v1/income"), balances]
        rows[6] = [row for row in rows[6] if row["positionAmt"] != "0.000"]
        return [len(found) for found in rows]

    assert seen() == [0, 0, 0, 0, 0, 0, 0, 1, 1]
    control.advance(seconds=30)
    assert seen() == [1, 1, 1, 1, 2, 2, 1, 2, 2]


def test_modifying_a_futures_order(timed: Any, control: Control):
    placed = timed.futures(**FAR)
    named = {**SYMBOL, "orderId": placed["orderId"], "side": "BUY"}
    changed = timed.send("PUT", "/fapi/v1/order", **named, quantity="0.02", price="58500").json()
    assert (changed["origQty"], changed["price"], changed["orderId"]) == ("0.020", "58500.00", placed["orderId"])
    again = timed.send("PUT", "/fapi/v1/order", **named, quantity="0.02", price="58500").json()
    assert again == {"code": -5027, "msg": "No need to modify the order."}
    assert timed.send("PUT", "/fapi/v1/order", **named, quantity="0.02").json()["code"] == -1102
    for change, code in (
        ({"side": "SELL"}, -1117),
        ({"price": "63000.1"}, -4016),
        ({"price": "58500.05"}, -4014),
        ({"quantity": "0.001"}, -5029),
        ({"quantity": "40"}, -2019),
    ):
        wrong = {**named, "quantity": "0.02", "price": "58600", **change}
        assert timed.send("PUT", "/fapi/v1/order", **wrong).json()["code"] == code
    assert timed.send("PUT", "/fapi/v1/order", **named, quantity="0.02", price="60100").json()["status"] == "FILLED"
    assert control.executions("main")[0].price == Decimal("60006")
    assert timed.get("/fapi/v1/openOrder", **SYMBOL, orderId=placed["orderId"])["code"] == -2013


# conditional orders
def test_a_post_only_order_is_not_modified_into_a_taker(timed: Any):
    placed = timed.futures(**{**FAR, "timeInForce": "GTX"})
    change = {**SYMBOL, "orderId": placed["orderId"], "side": "BUY", "quantity": "0.01", "price": "60006"}
    assert timed.send("PUT", "/fapi/v1/order", **change).json()["code"] == -5022
    assert timed.get("/fapi/v1/order", **SYMBOL, orderId=placed["orderId"])["price"] == "58000.00"


def test_spot_stop(timed: Any, control: Control):
    timed.spot()
    stop = timed.spot(
        side="SELL", type="STOP_LOSS_LIMIT", timeInForce="GTC", price="59000", stopPrice="59500", quantity="0.009"
    )
    row = timed.get("/api/v3/order", **SYMBOL, orderId=stop["orderId"])
    assert (row["type"], row["status"], row["isWorking"], row["workingTime"]) == ("STOP_LOSS_LIMIT", "NEW", False, -1)
    assert row["stopPrice"] == "59500.00000000"
    control.set_price("BTCUSDT", 59_400)
    row = timed.get("/api/v3/order", **SYMBOL, orderId=stop["orderId"])
    assert (row["status"], row["isWorking"]) == ("FILLED", True)
    take = timed.spot(side="BUY", type="TAKE_PROFIT", stopPrice="58000")
    gone = timed.delete("/api/v3/order", **SYMBOL, orderId=take["orderId"])
    assert (gone["status"], gone["type"]) == ("CANCELED", "TAKE_PROFIT")


def test_closing_all_by_an_algo_order(timed: Any, control: Control):
    timed.futures(quantity="0.03")
    order = timed.algo(quantity=None, closePosition="true", triggerPrice="59000", clientAlgoId="a-1")
    assert (order["closePosition"], order["clientAlgoId"], order["quantity"]) == (True, "a-1", "0.030")
    assert timed.get("/fapi/v1/order", **SYMBOL, origClientOrderId="a-1")["code"] == -2013
    assert ids(timed.get("/fapi/v1/openAlgoOrders", **SYMBOL), "algoId") == [order["algoId"]]
    control.set_price("BTCUSDT", 58_999)
    assert timed.get("/fapi/v1/algoOrder", clientAlgoId="a-1")["algoStatus"] == "FINISHED"
    assert control.positions("main") == []
    assert timed.delete("/fapi/v1/algoOrder", clientAlgoId="a-1")["code"] == -2011


def test_cancelling_algo_orders(timed: Any, control: Control):
    first = timed.algo(triggerPrice="59000")
    second = timed.algo(triggerPrice="58000", type="STOP", price="58500")
    gone = timed.delete("/fapi/v1/algoOrder", algoId=first["algoId"])
    control.set_price("BTCUSDT", 57_990)
    triggered = timed.get("/fapi/v1/algoOrder", algoId=second["algoId"])
    assert (triggered["algoStatus"], triggered["actualOrderId"]) == ("TRIGGERED", control.orders("main")[1].order_id)
    assert ids(timed.get("/fapi/v1/openOrders")) == [int(triggered["actualOrderId"])]
    assert gone == {"algoId": first["algoId"], "clientAlgoId": first["clientAlgoId"], "code": "200", "msg": "success"}
    assert timed.get("/fapi/v1/algoOrder", algoId=first["algoId"])["algoStatus"] == "CANCELED"
    assert ids(timed.get("/fapi/v1/allAlgoOrders", **SYMBOL), "algoId") == [first["algoId"], second["algoId"]]
    assert timed.delete("/fapi/v1/algoOpenOrders", **SYMBOL)["code"] == 200
    assert timed.get("/fapi/v1/openAlgoOrders") == []


# money in time
def test_funding_and_income_add_up_to_the_wallet(timed: Any, control: Control):
    timed.futures(quantity="0.02")
    control.advance(seconds=8 * 3_600)
    timed.futures(side="SELL", quantity="0.02")
    rows = timed.get("/fapi/v1/income")
    assert [row["incomeType"] for row in rows] == [
        "TRANSFER",
        "COMMISSION",
        "FUNDING_FEE",
        "REALIZED_PNL",
        "COMMISSION",
    ]
    assert rows[2]["income"] == "-0.12000000", "longs pay at a positive rate"
    assert sum(Decimal(row["income"]) for row in rows) == control.wallets("main")["USDT@futures"]
    assert len({row["tranId"] for row in rows}) == 4, "profit and fee of one fill share their number"
    assert timed.get("/fapi/v1/income", incomeType="FUNDING_FEE") == [rows[2]]
    assert timed.get("/fapi/v1/income", limit=2, page=2) == rows[2:4]
    assert len(timed.get("/fapi/v1/userTrades", **SYMBOL)) == 2, "funding is no trade"


def test_position_figures(timed: Any, control: Control):
    timed.post("/fapi/v1/leverage", **SYMBOL, leverage=10)
    timed.futures(quantity="10")
    timed.futures(**LIMIT, quantity="1")
    control.set_price("BTCUSDT", 59_000)
    (row,) = timed.get("/fapi/v3/positionRisk")
    # bought at 60006, marked at 59000: 10 x 59000 / 10 held, and 1 x 50000 / 10 for the order
    assert (row["unRealizedProfit"], row["positionInitialMargin"]) == ("-10060.00000000", "59000.00000000")
    assert (row["openOrderInitialMargin"], row["maintMargin"]) == ("5000.00000000", "2360.00000000")
    assert (row["bidNotional"], row["askNotional"], row["adl"]) == ("50000", "0", 2)
    account = timed.get("/fapi/v3/account")
    wallet = Decimal(100_000) - Decimal("300.03")
    assert Decimal(account["totalWalletBalance"]) == wallet
    assert Decimal(account["availableBalance"]) == wallet - 10_060 - 59_000 - 5_000
    at = Decimal(row["liquidationPrice"])
    equity = wallet + 10 * (at - 60_006)
    assert abs(equity - 10 * at * Decimal("0.004")) < Decimal("0.000001"), "where equity meets the maintenance margin"
    control.set_price("BTCUSDT", at - 1)
    assert control.positions("main") == []
    assert timed.get("/fapi/v1/openOrders") == []
    first = timed.get("/fapi/v1/allOrders", **SYMBOL)[1]
    assert (first["type"], first["status"]) == ("LIMIT", "EXPIRED"), "what the venue ends is expired"
