"""Keys, request limits, errors of the edge, market data, and faults as Alpaca words them."""

from decimal import Decimal
from typing import Any

import pytest
import requests

from simulators import AlpacaControl, RemoteControl, Running
from simulators.alpaca.config import QuirksConfig, QuotaConfig
from simulators.core.config import LagsConfig
from simulators.core.control import ControlError
from tests.still import stand_still

from_status = {429: (42910000, "rate limit exceeded"), 500: (50010000, "internal server error occurred")}


# keys
@pytest.mark.parametrize(
    ("fields", "status", "body"),
    [
        ({"key": ""}, 401, {"message": "unauthorized."}),
        ({"key": "PKUNKNOWN"}, 403, {"message": "forbidden."}),
        ({"secret": "wrong"}, 401, {"code": 40110000, "message": "request is not authorized"}),
    ],
)
def test_keys_that_are_not_let_in(wire_of: Any, fields: dict[str, str], status: int, body: dict[str, Any]):
    client = wire_of(**fields)
    for path in ("/v2/account", "/v2/stocks/quotes/latest?symbols=AAPL"):
        answer = client.send("GET", path)
        assert (answer.status_code, answer.json()) == (status, body)


def test_a_key_that_was_taken_back(wire: Any, control: AlpacaControl):
    control.revoke_key("main", "main-key")
    assert wire.send("GET", "/v2/account").status_code == 403


def test_crypto_data_needs_no_key_but_no_wrong_one_either(wire_of: Any):
    path = "/v1beta3/crypto/us/latest/quotes?symbols=BTC%2FUSD"
    assert wire_of(key="").send("GET", path).status_code == 200
    assert wire_of(key="nobody").send("GET", path).status_code == 403


def test_secrets_are_not_logged(wire: Any, control: AlpacaControl):
    wire.get("/v2/account")
    (record,) = control.requests(path="/v2/account")
    assert (record.account, record.headers["apca-api-secret-key"]) == ("main", "***")


def test_unknown_places(wire: Any):
    assert wire.send("GET", "/v2/v2/account").status_code == 404
    assert wire.send("GET", "//v2/account").status_code == 404
    assert wire.send("PUT", "/v2/account").status_code == 405


# limits
@pytest.mark.parametrize("config_changes", [{"rate_limits": QuotaConfig(trading=3, data=1)}])
def test_request_limits(sim: Any, wire: Any, wire_of: Any):
    stands_s = stand_still(sim) / 1000
    data = "/v2/stocks/quotes/latest?symbols=AAPL"
    first = wire.send("GET", "/v2/clock")
    assert (first.headers["X-RateLimit-Limit"], first.headers["X-RateLimit-Remaining"]) == ("3", "2")
    assert 0 < int(first.headers["X-RateLimit-Reset"]) - stands_s <= 60
    assert wire.send("GET", data).status_code == 200, "counted apart"
    answers = [wire.send("GET", "/v2/clock") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    refused = answers[-1]
    assert refused.json() == {"code": 42910000, "message": "rate limit exceeded"}
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert wire_of(key="second-key", secret="second-secret").send("GET", "/v2/clock").status_code == 200


# market data
def test_quotes_and_trades_of_stocks(wire: Any, control: AlpacaControl):
    body = wire.get("/v2/stocks/quotes/latest?symbols=AAPL,MSFT,ZZZZ&feed=iex")
    assert set(body["quotes"]) == {"AAPL", "MSFT"}, "what is unknown is left out"
    quote = body["quotes"]["AAPL"]
    assert (quote["bp"], quote["ap"], quote["bs"]) == (199.98, 200.02, 100)
    assert wire.get("/v2/stocks/AAPL/quotes/latest")["quote"]["ap"] == 200.02
    assert wire.get("/v2/stocks/trades/latest?symbols=AAPL")["trades"]["AAPL"]["p"] == 200
    assert wire.get("/v2/stocks/AAPL/trades/latest")["trade"]["p"] == 200
    control.one_sided("AAPL", no_ask=True)
    quote = wire.get("/v2/stocks/AAPL/quotes/latest")["quote"]
    assert (quote["bp"], quote["ap"], quote["as"]) == (199.98, 0, 0)


def test_snapshots(wire: Any, control: AlpacaControl):
    control.set_price("AAPL", "210")
    control.set_price("AAPL", "205")
    stock = wire.get("/v2/stocks/snapshots?symbols=AAPL")["AAPL"]
    assert (stock["dailyBar"]["h"], stock["dailyBar"]["c"], stock["prevDailyBar"]["c"]) == (210, 205, 200)
    assert wire.get("/v2/stocks/AAPL/snapshot")["latestTrade"]["p"] == 205
    coin = wire.get("/v1beta3/crypto/us/snapshots?symbols=BTC/USD")["snapshots"]["BTC/USD"]
    assert (coin["latestQuote"]["ap"], coin["latestTrade"]["p"]) == (60006, 60000)
    control.advance(days=1)
    control.set_price("AAPL", "207")
    stock = wire.get("/v2/stocks/snapshots?symbols=AAPL")["AAPL"]
    assert (stock["dailyBar"]["o"], stock["prevDailyBar"]["c"]) == (207, 205)


def test_crypto_data(wire: Any, control: AlpacaControl):
    control.set_liquidity("BTC/USD", level_notional="60000", levels=2)
    assert wire.get("/v1beta3/crypto/us/latest/quotes?symbols=BTC/USD")["quotes"]["BTC/USD"]["bs"] == 1
    assert wire.get("/v1beta3/crypto/us/latest/trades?symbols=BTC/USD")["trades"]["BTC/USD"]["tks"] == "B"
    book = wire.get("/v1beta3/crypto/us/latest/orderbooks?symbols=BTC/USD")["orderbooks"]["BTC/USD"]
    assert ([row["p"] for row in book["a"]], book["b"][0]) == ([60006, 60036.01], {"p": 59994, "s": 1})


@pytest.mark.parametrize(
    ("path", "status", "text"),
    [
        ("/v2/stocks/quotes/latest", 400, "symbols is required"),
        ("/v2/stocks/quotes/latest?symbols=BTC/USD", 400, "invalid symbol: BTC/USD"),
        ("/v2/stocks/ZZZZ/quotes/latest", 404, "no quote found for ZZZZ"),
        ("/v2/stocks/quotes/latest?symbols=AAPL&feed=best", 400, "invalid feed: best"),
        (
            "/v2/stocks/quotes/latest?symbols=AAPL&feed=sip",
            403,
            "subscription does not permit querying recent SIP data",
        ),
        (
            "/v1beta3/crypto/us/latest/quotes?symbols=BTCUSD",
            400,
            "Invalid symbol(s): BTCUSD does not match ^[A-Z]+/[A-Z]+$",
        ),
        ("/v1beta3/crypto/mars/latest/quotes?symbols=BTC/USD", 400, "invalid location: mars"),
    ],
)
def test_market_data_that_is_refused(wire: Any, path: str, status: int, text: str):
    answer = wire.send("GET", path)
    assert (answer.status_code, answer.json()["message"]) == (status, text)


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig(sip=True)}])
def test_who_pays_sees_sip_data(wire: Any):
    assert wire.get("/v2/stocks/quotes/latest?symbols=AAPL&feed=sip")["quotes"]


def test_a_halted_asset_takes_orders_and_fills_none(wire: Any, control: AlpacaControl):
    order_id = wire.limit("190")["id"]
    control.halt("AAPL")
    control.set_price("AAPL", "180")
    assert wire.order(order_id)["filled_qty"] == "0"
    control.halt("AAPL", halted=False)
    assert wire.order(order_id)["status"] == "filled"


# faults
@pytest.mark.parametrize("status", [429, 500])
def test_overload_in_json(wire: Any, control: AlpacaControl, status: int):
    control.fault("status", path="/v2/account", status=status)
    answer = wire.send("GET", "/v2/account")
    code, text = from_status[status]
    assert (answer.status_code, answer.json()) == (status, {"code": code, "message": text})
    assert ("X-RateLimit-Reset" in answer.headers) == (status == 429)


@pytest.mark.parametrize("status", [502, 503, 504])
def test_what_the_edge_says_is_html(wire: Any, control: AlpacaControl, status: int):
    control.fault("status", path="/v2/orders", method="POST", status=status, execute=True)
    answer = wire.post(client_order_id="after-all")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html")
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()
    assert wire.get("/v2/orders:by_client_order_id?client_order_id=after-all")["status"] == "filled"
    assert wire.refused(client_order_id="after-all")[2] == "client_order_id must be unique"


@pytest.mark.parametrize(
    ("code", "status", "body"),
    [
        (40310100, 403, {"code": 40310100, "message": "trade denied due to pattern day trading protection"}),
        (40010001, 422, {"code": 40010001, "message": "invalid order type"}),
        (403, 403, {"message": "forbidden."}),
        (401, 401, {"message": "unauthorized."}),
    ],
)
def test_any_error_by_code(wire: Any, control: AlpacaControl, code: int, status: int, body: dict[str, Any]):
    control.fault("error", path="/v2/orders", code=code, message=body["message"] if code > 999 else "")
    answer = wire.post()
    assert (answer.status_code, answer.json()) == (status, body)
    assert wire.get("/v2/orders?status=all") == []


def test_an_unknown_status_may_be_printed(wire: Any, control: AlpacaControl):
    order_id = wire.limit("190")["id"]
    control.show_status("main", order_id, "activated")
    assert wire.order(order_id)["status"] == "activated"
    control.show_status("main", order_id)
    assert wire.order(order_id)["status"] == "new"


@pytest.mark.parametrize(
    "config_changes",
    [{"lags": LagsConfig(orders_ms=60_000, executions_ms=60_000, positions_ms=60_000, wallet_ms=60_000)}],
)
def test_reads_may_be_stale(wire: Any, control: AlpacaControl):
    row = wire.place(client_order_id="late")
    assert wire.send("GET", f"/v2/orders/{row['id']}").status_code == 404
    assert wire.send("GET", "/v2/orders:by_client_order_id?client_order_id=late").status_code == 404
    assert (
        wire.get("/v2/orders?status=all") == wire.get("/v2/positions") == wire.activities("activity_types=FILL") == []
    )
    assert control.positions("main")[0].qty == 10
    control.set_lags()
    assert wire.get("/v2/orders:by_client_order_id?client_order_id=late")["status"] == "filled"


def test_rows_may_be_spoiled_and_orders_hidden(wire: Any, control: AlpacaControl):
    for price in ("190", "191"):
        wire.limit(price)
    control.fault("rows", path="/v2/orders", shape="repeat")
    assert len(wire.get("/v2/orders")) == 4
    control.fault("not_found", path="/v2/orders*", young_s=60)
    assert wire.get("/v2/orders") == []


def test_foreign_orders_are_seen_like_ones_own(wire: Any, control: AlpacaControl):
    bought = control.place_order("main", "AAPL", "buy", "10")
    row = wire.get(f"/v2/orders:by_client_order_id?client_order_id={bought.order_id}")
    assert (row["id"], row["status"], row["time_in_force"]) == (bought.order_id, "filled", "day")
    coin = control.place_order("main", "BTC/USD", "buy", "0.5", kind="spot", price="50000")
    assert wire.order(coin.order_id)["time_in_force"] == "gtc"
    assert wire.position("AAPL")["qty"] == "10"


def test_control_refuses_what_it_does_not_know(control: AlpacaControl):
    for call in (
        lambda: control.halt("ZZZZ"),
        lambda: control.set_asset("AAPL", colour="red"),
        lambda: control.show_status("main", "no-such-order", "new"),
        lambda: control.create_account(name="main"),
    ):
        with pytest.raises(ControlError):
            call()
    opened = control.create_account(name="third", balances={"USD": "5000"})
    assert (opened["api_key"], control.wallets("third")["USD"]) == ("third-key", Decimal(5000))


def test_a_part_may_fill_and_the_rest_may_rest(wire: Any, control: AlpacaControl):
    control.fault("partial_fill", path="/v2/orders", method="POST", ratio="0.4")
    row = wire.limit("201", qty="10", time_in_force="gtc")
    seen = wire.order(row["id"])
    assert (seen["status"], seen["filled_qty"]) == ("partially_filled", "4")
    assert wire.send("DELETE", f"/v2/orders/{row['id']}").status_code == 204
    seen = wire.order(row["id"])
    assert (seen["status"], seen["filled_qty"], seen["filled_at"]) == ("canceled", "4", None)


def test_a_request_that_is_executed_twice_makes_one_order_of_an_id(wire: Any, control: AlpacaControl):
    control.fault("duplicate", path="/v2/orders", method="POST")
    assert wire.refused(client_order_id="twice")[2] == "client_order_id must be unique"
    assert [order.client_id for order in control.orders("main")] == ["twice"]
    (record,) = control.requests(path="/v2/orders", method="POST")
    assert (record.handled, record.executed) == (2, 1)


def test_its_levers_reach_another_process(sim: Running[AlpacaControl], wire: Any):
    far = RemoteControl(sim.url, control=AlpacaControl)
    far.halt(symbol="AAPL")
    far.set_account(account="main", suspend_trade=True)
    assert wire.refused()[2] == "new orders are rejected by user request"
    far.reset()
    assert wire.place()["status"] == "pending_new"
    assert far.post_fees() == 0
