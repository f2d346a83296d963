"""Signatures, clock window, keys, permissions, parameters, headers and limits of the Binance gateway."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from simulators import Control
from simulators.binance.errors import BinanceError
from simulators.binance.limits import TEN_SECONDS, ProductLimits, RequestLimits
from simulators.binance.simulator import RateLimitConfig
from simulators.core.types import MarketKind
from tests.still import stand_still

ACCOUNT, BALANCE, ORDER = "/api/v3/account", "/fapi/v3/balance", "/api/v3/order"
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


# signatures
@pytest.mark.parametrize("path", [ACCOUNT, BALANCE])
@pytest.mark.parametrize(
    ("offset_ms", "recv_window", "code"),
    [
        (0, "5000", None),
        (-4_000, "5000", None),
        (-6_000, "5000", -1021),
        (-6_000, "10000", None),
        (500, "5000", None),
        (1_500, "5000", -1021),
        (1_500, "60000", -1021),
        (0, "60001", -1102),
        (0, "5000.125", None),
        (0, "5e3", -1100),
    ],
)
def test_clock_window(wire_of: Callable[..., Any], path: str, offset_ms: int, recv_window: str, code: int | None):
    answer = wire_of(offset_ms=offset_ms, recv_window=recv_window).send("GET", path)
    if code is None:
        assert answer.status_code == 200
        return
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    if code == -1021:
        ahead = "was 1000ms ahead of the server's time."
        assert (ahead if offset_ms > 0 else "is outside of the recvWindow.") in answer.json()["msg"]


def test_skewed_venue_clock_moves_time_and_window(wire: Any, wire_of: Callable[..., Any], control: Control):
    control.set_skew(-60_000)
    for path in ("/api/v3/time", "/fapi/v1/time"):
        assert wire.public(path)["serverTime"] == pytest.approx(time.time() * 1000 - 60_000, abs=5_000)
    assert wire.get(ACCOUNT)["code"] == -1021
    assert wire_of(offset_ms=-60_000).get(ACCOUNT)["canTrade"]


def test_microseconds_are_understood(wire: Any):
    payload = f"timestamp={time.time_ns() // 1000}"
    assert wire.raw("GET", ACCOUNT, query=f"{payload}&signature={wire.signature(payload)}").status_code == 200


def test_signature_covers_query_and_body_without_anything_between(wire: Any, control: Control):
    query = "symbol=BTCUSDT&side=BUY&type=MARKET"
    body = f"quantity=0.01&timestamp={time.time_ns() // 1_000_000}"
    good = wire.signature(query + body)
    assert wire.raw("POST", ORDER, query=query, body=f"{body}&signature={good.upper()}").status_code == 200
    for spoiled in (wire.signature(f"{query}&{body}"), wire.signature(body), "00"):
        answer = wire.raw("POST", ORDER, query=query, body=f"{body}&signature={spoiled}")
        assert (answer.status_code, answer.json()["code"]) == (400, -1022)
    changed = wire.raw("POST", ORDER, query=query, body=f"{body.replace('0.01', '0.02')}&signature={good}")
    assert changed.json()["code"] == -1022
    assert len(control.orders("main")) == 1


def test_the_query_wins_over_the_body(wire: Any, control: Control):
    fields = urlencode(MARKET)
    payload = f"{fields}&timestamp={time.time_ns() // 1_000_000}"
    query = "quantity=0.02"
    body = f"{payload}&signature={wire.signature(query + payload)}"
    assert wire.raw("POST", ORDER, query=query, body=body).json()["origQty"] == "0.02000000"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ("", -1102),
        ("timestamp=1", -1102),
        ("timestamp=abc&signature=00", -1100),
        ("timestamp=1&timestamp=2&signature=00", -1101),
        ("timestamp=&signature=00", -1102),
    ],
)
def test_security_parameters(wire: Any, payload: str, code: int):
    assert wire.raw("GET", ACCOUNT, query=payload).json()["code"] == code


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"key": ""}, 401, -2014),
        ({"key": "nobody"}, 401, -2015),
        ({"secret": "wrong-secret"}, 400, -1022),
        ({"key": "expired", "secret": "expired-secret"}, 401, -2015),
        ({"key": "elsewhere", "secret": "elsewhere-secret"}, 401, -2015),
        ({"key": "reader", "secret": "reader-secret"}, 200, None),
    ],
)
def test_keys(wire_of: Callable[..., Any], fields: dict[str, str], status: int, code: int | None):
    for path in (ACCOUNT, BALANCE):
        answer = wire_of(**fields).send("GET", path)
        body = answer.json()
        assert (answer.status_code, body.get("code") if isinstance(body, dict) else None) == (status, code)


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("POST", ORDER, MARKET),
        ("POST", "/fapi/v1/order", MARKET),
        ("DELETE", ORDER, {"symbol": "BTCUSDT", "orderId": 1}),
        ("POST", "/fapi/v1/leverage", {"symbol": "BTCUSDT", "leverage": 3}),
        ("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "true"}),
    ],
)
def test_read_only_key_may_not_write(
    wire_of: Callable[..., Any], control: Control, method: str, path: str, fields: Any
):
    answer = wire_of(key="reader", secret="reader-secret").send(method, path, **fields)
    assert (answer.status_code, answer.json()["code"]) == (401, -2015)
    assert control.orders("main") == []


def test_rights_by_product_and_what_the_venue_says_of_them(wire_of: Callable[..., Any]):
    spotter = wire_of(key="spotter", secret="spotter-secret")
    assert spotter.spot()["status"] == "FILLED"
    assert spotter.get(BALANCE)["code"] == spotter.futures()["code"] == -2015, "futures want their right to read, too"
    rights = "enableSpotAndMarginTrading", "enableFutures", "enableWithdrawals", "ipRestrict"
    for name, expected in (
        ("main", (True, True, False, False)),
        ("reader", (False, False, False, False)),
        ("spotter", (True, False, False, False)),
        ("drainer", (True, True, True, False)),
    ):
        key = wire_of(key="main-key" if name == "main" else name, secret=f"{name}-secret")
        said = key.get("/sapi/v1/account/apiRestrictions")
        assert tuple(said[right] for right in rights) == expected


def test_unknown_path_and_wrong_method_are_pages(wire: Any):
    for method, path in (("GET", "/api/v3/nowhere"), ("PUT", ORDER), ("GET", "/fapi/v9/order")):
        answer = wire.send(method, path)
        assert (answer.status_code, answer.headers["Content-Type"]) == (404, "text/html")


def test_parameters_nobody_reads_are_refused(wire: Any, control: Control):
    answer = wire.spot(postOnly="true")
    assert (answer["code"], answer["msg"]) == (
        -1104,
        "Not all sent parameters were read; read '7' parameter(s) but was sent '8'.",
    )
    assert wire.get(ACCOUNT, symbol="BTCUSDT")["code"] == -1104
    assert control.orders("main") == []


def test_numbers_are_numbers_and_amounts_are_text(wire: Any):
    spot, futures = wire.spot(), wire.futures()
    for row in (spot, futures, wire.get(ORDER, symbol="BTCUSDT", orderId=spot["orderId"])):
        assert isinstance(row["orderId"], int)
        assert isinstance(row["executedQty"], str)
    (trade,) = wire.get("/fapi/v1/userTrades", symbol="BTCUSDT")
    assert all(isinstance(trade[name], int) for name in ("id", "orderId", "time"))
    assert isinstance(trade["price"], str) and trade["buyer"] is True
    assert isinstance(wire.post("/fapi/v1/leverage", symbol="BTCUSDT", leverage=4)["leverage"], int)


# weights and limits
def test_weights_by_product_and_parameters(wire: Any):
    def used(method: str, path: str, **fields: Any) -> int:
        before = counters.get(path[:5], 0)
        header = wire.send(method, path, **fields).headers["X-MBX-USED-WEIGHT-1M"]
        counters[path[:5]] = int(header)
        return int(header) - before

    counters: dict[str, int] = {}
    one = {"symbol": "BTCUSDT"}
    assert [used("GET", ACCOUNT), used("GET", "/api/v3/openOrders"), used("GET", "/api/v3/openOrders", **one)] == [
        20,
        80,
        6,
    ]
    assert [used("GET", "/api/v3/myTrades", **one), used("GET", "/api/v3/myTrades", **one, orderId=1)] == [20, 5]
    assert [used("POST", ORDER, **MARKET), used("POST", ORDER, **{**MARKET, "quantity": "9"})] == [0, 1]
    assert [used("GET", "/fapi/v1/openOrders"), used("GET", "/fapi/v1/openOrders", **one)] == [40, 1]
    assert [used("GET", "/fapi/v3/positionRisk"), used("POST", "/fapi/v1/order", **MARKET)] == [5, 0]


def test_the_venue_says_its_limits(wire: Any):
    spot, futures = wire.public("/api/v3/exchangeInfo"), wire.public("/fapi/v1/exchangeInfo")
    kinds = [(row["rateLimitType"], row["interval"], row["intervalNum"], row["limit"]) for row in spot["rateLimits"]]
    assert kinds == [
        ("REQUEST_WEIGHT", "MINUTE", 1, 6000),
        ("ORDERS", "SECOND", 10, 100),
        ("ORDERS", "DAY", 1, 200_000),
    ]
    assert [row["limit"] for row in futures["rateLimits"]] == [2400, 300, 1200]


FEW = RateLimitConfig(spot_weight_max=60, ban_after=2, ban_s=30)


@pytest.mark.parametrize("config_changes", [{"rate_limits": FEW}], ids=["weight-60"])
def test_too_much_weight_is_429_then_a_ban(sim: Any, wire: Any, control: Control):
    stand_still(sim)
    answers = [wire.send("GET", ACCOUNT) for _ in range(7)]
    statuses = [answer.status_code for answer in answers]
    assert statuses[-4:] == [429, 429, 418, 418]
    assert {answer.json()["code"] for answer in answers if answer.status_code != 200} == {-1003}
    limited = next(answer for answer in answers if answer.status_code == 429)
    assert 0 < int(limited.headers["Retry-After"]) <= 60
    assert "current limit is 60 request weight per 1 MINUTE" in limited.json()["msg"]
    banned = answers[-1]
    assert "IP banned until" in banned.json()["msg"]
    assert 25 <= int(banned.headers["Retry-After"]) <= 30
    assert wire.send("GET", BALANCE).status_code == 200, "futures count apart"
    assert control.health()["ok"], "the control API is not limited"


def limits(**changes: Any) -> RequestLimits:
    product = ProductLimits(10, ((TEN_SECONDS, 2),))
    return RequestLimits(enabled=True, products=dict.fromkeys(MarketKind, product), ban_after=1, ban_s=60, **changes)


def refused(call: Callable[..., None], *arguments: Any, **options: Any) -> tuple[int, int, str] | None:
    try:
        call(*arguments, **options)
    except BinanceError as error:
        return error.code, error.status, error.headers.get("Retry-After", "")
    return None


def test_windows_are_those_of_the_clock_and_bans_double():
    book = limits()

    def charge(at_ms: int) -> tuple[int, int, str] | None:
        return refused(book.charge, MarketKind.SPOT, "here", 6, at_ms)

    assert [charge(at) for at in (59_000, 60_000)] == [None, None], "a new minute begins from nothing"
    assert charge(61_000) == (-1003, 429, "59")
    assert charge(62_000) == (-1003, 418, "60")
    assert charge(121_999) == (-1003, 418, "1")
    assert refused(book.charge, MarketKind.SPOT, "elsewhere", 6, 121_999) is None, "an address is banned, not a key"
    assert [charge(at) for at in (122_000, 122_001, 122_002)] == [None, (-1003, 429, "58"), (-1003, 418, "120")]


def test_order_counts_by_account():
    book = limits()
    for _ in range(2):
        assert refused(book.check_orders, MarketKind.SPOT, "main", 1_000) is None
        book.count_order(MarketKind.SPOT, "main", 1_000)
    assert refused(book.check_orders, MarketKind.SPOT, "main", 2_000) == (-1015, 429, "8")
    assert refused(book.check_orders, MarketKind.SPOT, "second", 2_000) is None
    assert refused(book.check_orders, MarketKind.SPOT, "main", 10_000) is None


@pytest.mark.parametrize("config_changes", [{"rate_limits": RateLimitConfig(spot_orders_10s=10)}], ids=["ten"])
def test_filled_orders_free_their_place(sim: Any, wire: Any):
    stand_still(sim)
    resting = {"type": "LIMIT", "timeInForce": "GTC", "price": "50000"}
    sent = [wire.send("POST", ORDER, **{**MARKET, **(resting if number == 2 else {})}) for number in range(3)]
    assert [answer.headers["X-MBX-ORDER-COUNT-1D"] for answer in sent] == ["0", "0", "1"]
    (ten_seconds, day) = wire.get("/api/v3/rateLimit/order")
    assert (ten_seconds["limit"], day["count"]) == (10, 1)


ONE = RateLimitConfig(spot_orders_day=1, futures_orders_minute=1_000)


@pytest.mark.parametrize("config_changes", [{"rate_limits": ONE}], ids=["one-a-day"])
def test_too_many_unfilled_orders(sim: Any, wire: Any, control: Control):
    stand_still(sim)
    resting = {"type": "LIMIT", "timeInForce": "GTC", "price": "50000"}
    assert wire.spot(quantity="9")["code"] == -2010, "what was refused does not count"
    assert wire.spot(**resting)["status"] == "NEW"
    answer = wire.send("POST", ORDER, **{**MARKET, **resting})
    assert (answer.status_code, answer.json()["code"]) == (429, -1015)
    assert answer.json()["msg"] == "Too many new orders; current limit is 1 orders per 1 DAY."
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert wire.futures()["status"] == "FILLED"
    control.set_rate_limits(enabled=False)
    assert wire.spot(**resting)["status"] == "NEW"
