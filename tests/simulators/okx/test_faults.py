"""Faults in OKX's own forms, and what its reads and its reusable ids make of them."""

import json
from typing import Any

import pytest
import requests

from simulators import OKXControl

SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"
ORDER_PATH = "/api/v5/trade/order"
ORDER = json.dumps({"instId": SWAP, "tdMode": "cross", "side": "buy", "ordType": "market", "sz": "1", "clOrdId": "x"})
LIMIT = {"ordType": "limit", "px": "59000"}


@pytest.mark.parametrize("execute", [False, True])
@pytest.mark.parametrize(("status", "code"), [(429, "50011"), (500, "50026"), (503, "50001"), (502, None), (504, None)])
def test_status_faults_have_the_venues_bodies(
    wire: Any, control: OKXControl, status: int, code: str | None, execute: bool
):
    control.fault("status", method="POST", path=ORDER_PATH, status=status, execute=execute)
    response = wire.send("POST", "/trade/order", body=ORDER)
    assert response.status_code == status
    if code is None:
        assert response.headers["Content-Type"].startswith("text/html")
    else:
        assert (response.json()["code"], response.json()["data"]) == (code, [])
    assert len(control.orders("main")) == int(execute)


@pytest.mark.parametrize(
    ("code", "status", "whole", "item"),
    [
        (50004, 400, "50004", None),
        (51149, 500, "51149", None),
        (51054, 500, "51054", None),
        (50013, 429, "50013", None),
        (50102, 401, "50102", None),
        (50026, 500, "50026", None),
        (50110, 401, "50110", None),
        (59000, 200, "59000", None),
        (51603, 200, "51603", None),
        (51008, 200, "1", "51008"),
        (51412, 200, "1", "51412"),
        (54109, 200, "1", "54109"),
        (987654, 200, "987654", None),
    ],
)
@pytest.mark.parametrize("execute", [False, True])
def test_error_faults_stand_where_the_venue_puts_them(
    wire: Any, control: OKXControl, code: int, status: int, whole: str, item: str | None, execute: bool
):
    control.fault("error", method="POST", path=ORDER_PATH, code=code, message="so it is", execute=execute)
    response = wire.send("POST", "/trade/order", body=ORDER)
    body = response.json()
    assert (response.status_code, body["code"]) == (status, whole)
    if item is None:
        assert (body["msg"], body["data"]) == ("so it is", [])
    else:
        assert (body["data"][0]["sCode"], body["data"][0]["sMsg"]) == (item, "so it is")
    assert len(control.orders("main")) == int(execute)


def test_an_error_fault_has_the_codes_own_text(wire: Any, control: OKXControl):
    control.fault("error", method="POST", path=ORDER_PATH, code=50004)
    assert wire.send("POST", "/trade/order", body=ORDER).json()["msg"] == "API endpoint request timeout "


def test_an_unanswered_order_is_found_by_its_id(wire: Any, control: OKXControl):
    control.fault("execute_then_drop", method="POST", path=ORDER_PATH)
    with pytest.raises(requests.exceptions.ConnectionError):
        wire.place(clOrdId="x")
    assert wire.order("x")["state"] == "filled"
    control.fault("drop", method="POST", path=ORDER_PATH)
    with pytest.raises(requests.exceptions.ConnectionError):
        wire.place(clOrdId="y")
    assert wire.get("/trade/order", f"instId={SWAP}&clOrdId=y")["code"] == "51603"


def test_a_request_carried_out_twice_fills_twice_unless_it_rests(wire: Any, control: OKXControl):
    control.fault("duplicate", method="POST", path=ORDER_PATH, copies=2, times=None)
    wire.place(clOrdId="x")
    assert [order.client_id for order in control.orders("main")] == ["x", "x"]
    assert wire.place(**LIMIT, clOrdId="rests")["sCode"] == "51016", "the second was refused, the first waits"
    assert wire.order("rests")["state"] == "live"


def test_stale_and_hidden_reads(wire: Any, control: OKXControl):
    wire.place(**LIMIT, clOrdId="rests")
    control.fault("not_found", path="/api/v5/trade/order*", young_s=60, times=None)
    assert wire.get("/trade/order", f"instId={SWAP}&clOrdId=rests")["code"] == "51603"
    assert wire.rows("/trade/orders-pending") == []
    control.clear_faults()
    control.fault("stale", path="/api/v5/account/*", stale_s=60, times=None)
    wire.place()
    assert wire.rows("/account/positions") == []
    assert wire.rows("/account/balance")[0]["details"] == []
    control.clear_faults()
    assert len(wire.rows("/account/positions")) == 1


def test_a_part_fills(wire: Any, control: OKXControl):
    control.fault("partial_fill", method="POST", path=ORDER_PATH, ratio="0.4", times=None)
    wire.place(ordType="limit", px="60100", sz="10", clOrdId="rests")
    wire.place(ordType="ioc", px="60100", sz="10", clOrdId="ends")
    assert (wire.order("rests")["state"], wire.order("rests")["accFillSz"]) == ("partially_filled", "4")
    assert (wire.order("ends")["state"], wire.order("ends")["accFillSz"]) == ("canceled", "4")


@pytest.mark.parametrize(("shape", "seen"), [("truncate", "b"), ("repeat", "bbaa"), ("reverse", "ab")])
def test_rows_are_spoiled(wire: Any, control: OKXControl, shape: str, seen: str):
    wire.place(**LIMIT, clOrdId="a")
    wire.place(**LIMIT, clOrdId="b")
    control.fault("rows", path="/api/v5/trade/orders-pending", shape=shape, keep=1)
    assert "".join(row["clOrdId"] for row in wire.rows("/trade/orders-pending")) == seen


def test_broken_bodies(wire: Any, control: OKXControl):
    for kind, fields in (("bad_json", {"execute": True}), ("html", {}), ("truncated", {"after_bytes": 20})):
        control.fault(kind, method="POST", path=ORDER_PATH, **fields)
        response = wire.send("POST", "/trade/order", body=ORDER.replace('"x"', f'"{kind.replace("_", "")}"'))
        with pytest.raises(ValueError, match=r"Expecting|Unterminated|Invalid"):
            json.loads(response.text)
    assert [order.client_id for order in control.orders("main")] == ["badjson", "truncated"]


def test_a_skewed_gateway_refuses_the_clock(wire: Any, control: OKXControl):
    control.fault("clock_skew", path="/api/v5/account/config", skew_ms=31_000)
    assert [wire.get("/account/config")["code"] for _ in range(2)] == ["50102", "0"]
