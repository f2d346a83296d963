"""Faults in Binance's own form: edge pages, gateway codes with their statuses, stale and spoiled reads."""

from typing import Any

import pytest
import requests

from simulators import Control
from simulators.binance.errors import STATUSES, TEXTS

ORDER = "/api/v3/order"
PATHS = pytest.mark.parametrize(("place", "path"), [("spot", ORDER), ("futures", "/fapi/v1/order")])
LIMIT = {"type": "LIMIT", "timeInForce": "GTC", "price": "59000"}
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


@PATHS
@pytest.mark.parametrize("execute", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "text"),
    [
        (403, None, "<html>"),
        (408, -1007, "Timeout waiting for response from backend server."),
        (418, -1003, "IP banned until"),
        (429, -1003, "Too many requests"),
        (451, 0, "restricted location"),
        (500, -1000, "An unknown error occurred"),
        (502, None, "<html>"),
        (503, None, "Unknown error, please check your request or try again later."),
        (504, None, "<html>"),
    ],
)
def test_statuses(
    wire: Any, control: Control, place: str, path: str, status: int, code: int | None, text: str, execute: bool
):
    control.fault("status", path=path, status=status, execute=execute, retry_after_s=2)
    answer = wire.send("POST", path, **MARKET)
    assert (answer.status_code, answer.headers["Retry-After"], text in answer.text) == (status, "2", True)
    if answer.text.startswith("{"):
        assert answer.json().get("code") == code, "503 was seen without a code"
    assert len(control.orders("main")) == control.requests(path=path)[-1].executed == int(execute)


def test_codes_come_with_their_status(wire: Any, control: Control):
    assert set(STATUSES) <= set(TEXTS)
    for code, text in TEXTS.items():
        control.fault("error", path=ORDER, code=code)
        answer = wire.send("POST", ORDER, **MARKET)
        assert (answer.status_code, answer.json()) == (STATUSES.get(code, 400), {"code": code, "msg": text})
    assert control.requests(path=ORDER)[-1].code == str(code)
    assert control.orders("main") == []


def test_a_code_of_ones_own_choice(wire: Any, control: Control):
    control.fault("error", path=ORDER, code=0, message="Service Unavailable.")
    control.fault("error", path=ORDER, code=987_654, execute=True, nth=(2,))
    answers = [wire.send("POST", ORDER, **MARKET) for _ in range(2)]
    assert [(a.status_code, a.json()["code"]) for a in answers] == [(503, 0), (400, 987_654)]
    assert len(control.orders("main")) == 1


@PATHS
def test_connection_and_body_faults(wire: Any, control: Control, place: str, path: str):
    control.fault("execute_then_drop", path=path)
    with pytest.raises(requests.exceptions.ConnectionError):
        getattr(wire, place)(newClientOrderId="lost")
    assert wire.get(path, symbol="BTCUSDT", origClientOrderId="lost")["status"] == "FILLED"
    control.fault("bad_json", path=path, method="POST")
    with pytest.raises(ValueError, match="Expecting"):
        getattr(wire, place)()
    control.fault("truncated", path=path, method="POST", after_bytes=20)
    assert len(wire.send("POST", path, **MARKET).text) == 20
    control.fault("duplicate", path=path, method="POST")
    getattr(wire, place)(newClientOrderId="twice")
    twice = [order for order in control.orders("main") if order.client_id == "twice"]
    assert [order.status.value for order in twice] == ["filled", "filled"], "an id keeps no order from being doubled"


@PATHS
def test_an_order_is_not_found_while_it_is_young(wire: Any, control: Control, place: str, path: str):
    placed = getattr(wire, place)(**LIMIT, newClientOrderId="young")
    control.fault("not_found", path="*", young_s=30, times=4)
    assert wire.get(path, symbol="BTCUSDT", origClientOrderId="young")["code"] == -2013
    assert wire.get(path, symbol="BTCUSDT", orderId=placed["orderId"])["code"] == -2013
    assert wire.get(path.replace("order", "openOrders"), symbol="BTCUSDT") == []
    assert wire.get(path.replace("order", "allOrders"), symbol="BTCUSDT") == []
    assert wire.get(path, symbol="BTCUSDT", origClientOrderId="young")["status"] == "NEW"


@PATHS
def test_stale_reads(wire: Any, control: Control, place: str, path: str):
    fills = "/api/v3/myTrades" if place == "spot" else "/fapi/v1/userTrades"
    getattr(wire, place)(newClientOrderId="stale")
    control.fault("stale", path="*", stale_s=30, times=3)
    assert wire.get(fills, symbol="BTCUSDT") == []
    assert wire.get(path, symbol="BTCUSDT", origClientOrderId="stale")["code"] == -2013
    assert wire.get("/fapi/v3/positionRisk") == []
    assert len(wire.get(fills, symbol="BTCUSDT")) == 1


@PATHS
def test_the_engine_applies_orders_late(wire: Any, control: Control, place: str, path: str):
    control.set_lags(apply_ms=60_000)
    placed = getattr(wire, place)(newClientOrderId="late")
    assert (placed["status"], wire.get(path, symbol="BTCUSDT", orderId=placed["orderId"])["code"]) == ("NEW", -2013)
    control.set_skew(60_001)
    wire.offset_ms = 60_001
    assert wire.get(path, symbol="BTCUSDT", origClientOrderId="late")["status"] == "FILLED"


def test_spoiled_rows_and_partial_fills(wire: Any, control: Control):
    for _ in range(3):
        wire.spot()
    numbers = [row["id"] for row in wire.get("/api/v3/myTrades", symbol="BTCUSDT")]
    for shape, expected in (
        ({"shape": "truncate", "keep": 1}, numbers[:1]),
        ({"shape": "repeat"}, [number for number in numbers for _ in range(2)]),
        ({"shape": "reverse"}, numbers[::-1]),
    ):
        control.fault("rows", path="/api/v3/myTrades", **shape)
        assert [row["id"] for row in wire.get("/api/v3/myTrades", symbol="BTCUSDT")] == expected
    control.fault("partial_fill", path="*", ratio="0.5", times=2)
    assert (wire.spot()["status"], wire.futures()["executedQty"]) == ("EXPIRED", "0.005")


def test_faults_are_chosen_by_form_fields_and_account(wire: Any, control: Control):
    control.fault("status", path="/api/v3/*", status=502, fields={"side": "SELL"}, account="main", times=None)
    assert wire.spot()["status"] == "FILLED"
    assert wire.send("POST", ORDER, **{**MARKET, "side": "SELL", "quantity": "0.001"}).status_code == 502
    record = control.requests(path=ORDER)[-1]
    assert "side=SELL" in record.body and "signature" not in record.body
    assert record.headers["X-MBX-APIKEY".lower()] == "***"
