"""Orders over the wire: how they are received, what becomes of them, ids, cancel and replace, closing."""

from decimal import Decimal
from typing import Any

import pytest

from simulators import AlpacaControl
from simulators.core.config import LagsConfig

PENNY = "sub-penny increment does not fulfill minimum pricing criteria"
MISMATCH = "position intent mismatch"


def test_an_answer_tells_what_was_received_not_what_came_of_it(wire: Any, control: AlpacaControl):
    row = wire.place(client_order_id="a-1")
    assert (row["status"], row["filled_qty"], row["filled_avg_price"], row["filled_at"]) == (
        "pending_new",
        "0",
        None,
        None,
    )
    assert (row["qty"], row["notional"], row["order_class"], row["position_intent"]) == ("10", None, "", "buy_to_open")
    seen = wire.order(row["id"])
    assert (seen["status"], seen["filled_qty"], seen["filled_avg_price"]) == ("filled", "10", "200.02")
    assert seen["filled_at"] is not None
    assert wire.get("/v2/orders:by_client_order_id?client_order_id=a-1") == seen
    (truth,) = control.orders("main")
    assert (truth.order_id, truth.client_id, truth.filled_value) == (row["id"], "a-1", Decimal("2000.20"))


@pytest.mark.parametrize("config_changes", [{"lags": LagsConfig(apply_ms=60_000)}])
def test_an_order_that_the_engine_has_not_seen_is_pending_new(wire: Any):
    order_id = wire.limit("190")["id"]
    assert wire.order(order_id)["status"] == "pending_new"
    assert wire.send("DELETE", f"/v2/orders/{order_id}").status_code == 204
    assert wire.order(order_id)["status"] == "pending_cancel", "a cancel is a request"
    assert wire.send("DELETE", f"/v2/orders/{order_id}").status_code == 422


def test_a_limit_order_rests_is_found_and_cancelled(wire: Any):
    order_id = wire.limit("190.10", qty="2")["id"]
    (row,) = wire.get("/v2/orders")
    assert (row["id"], row["status"], row["limit_price"], row["type"]) == (order_id, "new", "190.1", "limit")
    answer = wire.send("DELETE", f"/v2/orders/{order_id}")
    assert (answer.status_code, answer.content) == (204, b"")
    seen = wire.order(order_id)
    assert (seen["status"], seen["canceled_at"] is not None, seen["filled_qty"]) == ("canceled", True, "0")
    assert wire.get("/v2/orders") == []
    assert [one["id"] for one in wire.get("/v2/orders?status=closed")] == [order_id]


def test_a_limit_order_fills_when_the_market_comes_in_parts_where_there_is_little(wire: Any, control: AlpacaControl):
    control.set_liquidity("AAPL", level_notional="555", levels=1)
    order_id = wire.limit("190", qty="5")["id"]
    control.set_price("AAPL", "185")
    seen = wire.order(order_id)
    assert (seen["status"], seen["filled_qty"], seen["filled_avg_price"]) == ("partially_filled", "3", "190")
    control.set_price("AAPL", "184")
    assert wire.order(order_id)["status"] == "filled"
    fills = wire.activities("activity_types=FILL&direction=asc")
    assert [(row["type"], row["qty"], row["cum_qty"], row["leaves_qty"], row["order_status"]) for row in fills] == [
        ("partial_fill", "3", "3", "2", "partially_filled"),
        ("fill", "2", "5", "0", "filled"),
    ]


# client ids
def test_a_client_id_is_used_once_and_for_ever(wire: Any):
    used = wire.limit("190", client_order_id="once")["id"]
    duplicate = (422, 40010001, "client_order_id must be unique")
    assert wire.refused(client_order_id="once") == duplicate
    wire.send("DELETE", f"/v2/orders/{used}")
    assert wire.refused(client_order_id="once") == duplicate, "also against a cancelled order"
    assert wire.refused(symbol="BTC/USD", qty="1", time_in_force="gtc", client_order_id="once") == duplicate
    assert len(wire.get("/v2/orders?status=all")) == 1


def test_a_refused_order_does_not_consume_its_client_id(wire: Any):
    assert wire.refused(qty="100000", client_order_id="again")[0] == 403
    assert wire.place(client_order_id="again")["client_order_id"] == "again"


def test_without_a_client_id_the_venue_makes_one_and_equal_orders_are_two(wire: Any):
    first, second = wire.limit("190"), wire.limit("190")
    assert first["client_order_id"] != second["client_order_id"]
    assert len(first["client_order_id"]) == 36
    assert len(wire.get("/v2/orders")) == 2


# cancel, replace
def test_what_is_over_can_not_be_cancelled(wire: Any):
    order_id = wire.place()["id"]
    answer = wire.send("DELETE", f"/v2/orders/{order_id}")
    assert (answer.status_code, answer.json()) == (
        422,
        {"code": 42210000, "message": 'order is already in "filled" state'},
    )


def test_cancel_all(wire: Any):
    ids = {wire.limit("190")["id"], wire.limit("390", symbol="MSFT")["id"]}
    answer = wire.send("DELETE", "/v2/orders")
    assert answer.status_code == 207
    assert {(row["id"], row["status"]) for row in answer.json()} == {(one, 200) for one in ids}
    assert wire.get("/v2/orders") == []


def test_a_replacement_is_another_order(wire: Any):
    old = wire.limit("190", qty="5", client_order_id="old")
    answer = wire.send("PATCH", f"/v2/orders/{old['id']}", {"qty": "4", "limit_price": "191", "client_order_id": "new"})
    new = answer.json()
    assert (answer.status_code, new["replaces"], new["client_order_id"]) == (200, old["id"], "new")
    assert new["id"] != old["id"]
    before, after = wire.order(old["id"]), wire.order(new["id"])
    assert (before["status"], before["replaced_by"], before["replaced_at"] is not None) == ("replaced", new["id"], True)
    assert (after["status"], after["qty"], after["limit_price"], after["time_in_force"]) == ("new", "4", "191", "day")
    assert wire.send("PATCH", f"/v2/orders/{old['id']}", {"qty": "3"}).status_code == 422


def test_a_replacement_that_is_refused_leaves_the_order(wire: Any):
    old = wire.limit("190", qty="5", client_order_id="old")
    for change, code in (
        ({"limit_price": "190.001"}, 42210000),
        ({"client_order_id": "old"}, 40010001),
        ({}, 40010001),
    ):
        answer = wire.send("PATCH", f"/v2/orders/{old['id']}", change)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert wire.send("PATCH", f"/v2/orders/{old['id']}", {"qty": "100000"}).status_code == 403
    assert [row["id"] for row in wire.get("/v2/orders")] == [old["id"]]


def test_a_replacement_works_on_what_is_left(wire: Any, control: AlpacaControl):
    control.set_liquidity("AAPL", level_notional="555", levels=1)
    old = wire.limit("190", qty="5")["id"]
    control.set_price("AAPL", "185")
    assert wire.send("PATCH", f"/v2/orders/{old}", {"qty": "3"}).status_code == 422, "three are filled"
    new = wire.send("PATCH", f"/v2/orders/{old}", {"qty": "7", "limit_price": "150"}).json()
    assert (wire.order(old)["filled_qty"], new["qty"]) == ("3", "4")


# reading
def test_orders_are_listed_by_submission_with_pages(wire: Any):
    rows = [wire.limit("190", client_order_id=f"p-{number}") for number in range(5)]
    stamps = [row["submitted_at"] for row in rows]
    assert stamps == sorted(set(stamps)), "no two orders share a moment"
    assert [row["client_order_id"] for row in wire.get("/v2/orders?limit=2")] == ["p-4", "p-3"]
    older = wire.get(f"/v2/orders?limit=2&until={stamps[3]}")
    assert [row["client_order_id"] for row in older] == ["p-2", "p-1"], "until is exclusive"
    newer = wire.get(f"/v2/orders?direction=asc&limit=2&after={stamps[1]}")
    assert [row["client_order_id"] for row in newer] == ["p-2", "p-3"], "after is exclusive"


def test_fifty_orders_unless_asked_for_more(wire: Any):
    for number in range(52):
        wire.limit("190", qty="1", client_order_id=f"n-{number}")
    assert len(wire.get("/v2/orders")) == 50
    assert len(wire.get("/v2/orders?limit=500")) == 52
    for query in ("limit=501", "limit=0", "limit=x", "status=done", "direction=up", "after=yesterday", "nested=maybe"):
        answer = wire.send("GET", f"/v2/orders?{query}")
        assert (answer.status_code, answer.json()["code"]) == (422, 40010001), query


def test_orders_are_chosen_by_symbol_and_side(wire: Any):
    wire.limit("190")
    wire.coin("0.01", type="limit", limit_price="50000")
    for names, found in (("AAPL", ["AAPL"]), ("BTCUSD", ["BTC/USD"]), ("BTC/USD,MSFT", ["BTC/USD"]), ("MSFT", [])):
        assert [row["symbol"] for row in wire.get(f"/v2/orders?symbols={names}")] == found
    assert wire.get("/v2/orders?side=sell") == []


def test_unknown_orders_are_not_found(wire: Any, wire_of: Any):
    mine = wire.limit("190", client_order_id="mine")
    other = wire_of(key="second-key", secret="second-secret")
    for client, path, status, code in (
        (wire, "/v2/orders/61e69015-8549-4bfd-b9c3-01e75843f47d", 404, 40410000),
        (wire, "/v2/orders/not-a-uuid", 422, 40010001),
        (wire, "/v2/orders:by_client_order_id?client_order_id=nobody", 404, 40410000),
        (other, f"/v2/orders/{mine['id']}", 404, 40410000),
        (other, "/v2/orders:by_client_order_id?client_order_id=mine", 404, 40410000),
    ):
        answer = client.send("GET", path)
        assert (answer.status_code, answer.json()["code"]) == (status, code), path


# stops
def test_a_sell_stop_becomes_a_market_order_and_a_buy_stop_a_limit_order(wire: Any, control: AlpacaControl):
    wire.place()
    stop = wire.place(type="stop", stop_price="195", side="sell")["id"]
    assert (wire.order(stop)["status"], wire.order(stop)["limit_price"]) == ("new", None)
    control.set_price("AAPL", "194")
    seen = wire.order(stop)
    assert (seen["status"], seen["filled_avg_price"], seen["type"]) == ("filled", "193.98", "stop")
    buy = wire.place(type="stop", stop_price="210", time_in_force="gtc", qty="1")["id"]
    control.set_price("AAPL", "230")
    assert wire.order(buy)["status"] == "new", "2.5 % above the stop is 215.25"
    control.set_price("AAPL", "215")
    assert wire.order(buy)["status"] == "filled"


def test_a_trailing_stop_follows_and_never_goes_back(wire: Any, control: AlpacaControl):
    wire.place()
    row = wire.place(type="trailing_stop", trail_percent="5", side="sell", time_in_force="gtc")
    assert (row["hwm"], row["stop_price"], row["trail_percent"], row["trail_price"]) == ("200", "190", "5", None)
    for price, water, stop in (("220", "220", "209"), ("210", "220", "209")):
        control.set_price("AAPL", price)
        seen = wire.order(row["id"])
        assert (seen["status"], seen["hwm"], seen["stop_price"]) == ("new", water, stop)
    tighter = wire.send("PATCH", f"/v2/orders/{row['id']}", {"trail": "2"}).json()
    assert (tighter["trail_percent"], tighter["hwm"], tighter["stop_price"]) == ("2", "210", "205.8")
    control.set_price("AAPL", "205")
    seen = wire.order(tighter["id"])
    assert (seen["status"], seen["filled_avg_price"]) == ("filled", "204.97")
    assert wire.refused(type="trailing_stop")[:2] == (422, 40010001)
    resting = wire.limit("190")["id"]
    assert wire.send("PATCH", f"/v2/orders/{resting}", {"trail": "2"}).status_code == 422


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"type": "stop", "stop_price": "190"}, "stop price must be greater than current price"),
        ({"type": "limit", "limit_price": "190.001"}, f"invalid limit_price 190.001. {PENNY}"),
        ({"type": "stop", "stop_price": "210.005"}, f"invalid stop_price 210.005. {PENNY}"),
        ({"qty": "0"}, "qty must be > 0"),
        ({"qty": "1.0000000001"}, "qty must be limited to 9 decimal places"),
        ({"qty": "1.5", "time_in_force": "gtc"}, "fractional orders must be DAY orders"),
        ({"extended_hours": True}, "extended hours order must be DAY limit orders"),
        ({"symbol": "ZZZZ"}, 'could not find asset "ZZZZ"'),
        (
            {"position_intent": "buy_to_close"},
            "position intent mismatch, inferred: buy_to_open, specified: buy_to_close",
        ),
    ],
)
def test_orders_that_are_not_allowed(wire: Any, changes: dict[str, Any], text: str):
    assert wire.refused(**changes) == (422, 42210000, text)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"symbol": None}, "symbol is required"),
        ({"type": "iceberg"}, "invalid order type"),
        ({"side": "short"}, "invalid side"),
        ({"time_in_force": "gtd"}, "invalid time_in_force"),
        ({"qty": None}, "qty or notional is required"),
        ({"notional": "100"}, "only one of qty or notional"),
        ({"qty": "ten"}, "qty must be a number"),
        ({"type": "limit"}, "limit orders require limit price"),
        ({"limit_price": "190"}, "market orders require no limit price"),
        ({"type": "stop_limit", "limit_price": "210"}, "stop limit orders require stop price"),
        ({"client_order_id": "x" * 129}, "client_order_id must be no more than 128 characters"),
    ],
)
def test_parameters_that_are_malformed(wire: Any, changes: dict[str, Any], text: str):
    assert wire.refused(**changes) == (422, 40010001, text)


def test_a_body_that_is_no_object(wire: Any):
    answer = wire.send("POST", "/v2/orders", "[")
    assert (answer.status_code, answer.json()["code"]) == (400, 40010000)
