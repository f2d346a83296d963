"""The adapter's reads and settings on a scripted server: pages, windows, look-ups, verification, refusals."""

from __future__ import annotations

import itertools
import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.bybit.adapter import BybitBroker
from brokers.bybit.client import BybitClient
from brokers.bybit.paging import windows
from brokers.clock import ManualClock, SystemClock, epoch_ms
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    DeadlinePassed,
    EnvironmentMismatch,
    InstrumentUnknown,
    InvalidOrder,
    NotSent,
    OrderAlreadyDone,
    OrderNotFound,
    PermissionRefused,
    Unsupported,
    VerificationFailed,
)
from brokers.factory import open_broker
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import MarginMode, OrderRequest, OrderSide, OrderType, PositionMode, PreparedOrder, ProductKind
from tests.brokers.loopback import (
    API_KEY,
    LINEAR_ROW,
    NOW,
    SPOT_ROW,
    Loopback,
    Request,
    account_config,
    envelope,
    instruments_route,
    ok,
    refuse,
    reply,
    server_time,
    ticket,
)
from tests.brokers.misbehaving import hang

LINEAR, SPOT = InstrumentId("BTC/USDT:USDT"), InstrumentId("BTC/USDT")
REALTIME, HISTORY = "/v5/order/realtime", "/v5/order/history"
EXECUTIONS, LOG, POSITIONS = "/v5/execution/list", "/v5/account/transaction-log", "/v5/position/list"
KEY = {
    "apiKey": API_KEY,
    "readOnly": 0,
    "permissions": {
        "ContractTrade": ["Order", "Position"],
        "Spot": ["SpotTrade"],
        "Wallet": ["AccountTransfer"],
        "Derivatives": ["DerivativesTrade"],
    },
    "ips": ["10.0.0.1"],
    "expiredAt": "2099-01-01T00:00:00Z",
    "uta": 1,
    "userID": 1448939,
    "isMaster": True,
    "note": "desk",
}


def order_row(**changes: Any) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "orderType": "Limit",
        "orderLinkId": "at-1",
        "orderId": "o-1",
        "avgPrice": "",
        "orderStatus": "New",
        "cumExecQty": "0",
        "cumFeeDetail": {},
        "rejectReason": "EC_NoError",
        "price": "50000",
        "qty": "0.01",
        "positionIdx": 0,
        "timeInForce": "GTC",
        "side": "Buy",
        "reduceOnly": False,
        "triggerPrice": "",
        "createdTime": "1758189775648",
        "updatedTime": "1758189775651",
    }
    return {**row, **changes}


def fill_row(number: int, **changes: Any) -> dict[str, Any]:
    row = {
        "symbol": "BTCUSDT",
        "orderId": "o-1",
        "orderLinkId": "at-1",
        "side": "Buy",
        "execType": "Trade",
        "execFee": "0.1",
        "execId": f"e-{number}",
        "execPrice": "50000",
        "execQty": "0.01",
        "isMaker": False,
        "execTime": str(1_700_000_000_000 + number),
        "feeRate": "0.001",
    }
    return {**row, **changes}


def listing(rows: list[dict[str, Any]], cursor: str = "") -> dict[str, Any]:
    return {"category": "linear", "list": rows, "nextPageCursor": cursor}


def by_category(**results: dict[str, Any]):
    def send(request: Request, sock: socket.socket) -> bool:
        return ok(results.get(request.query["category"], listing([])))(request, sock)

    return send


# -- connection -------------------------------------------------------------------------------------------------------
def test_connect_proves_account_key_and_clock(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on("/v5/user/query-api", ok(KEY))
    loopback.on("/v5/account/info", ok({"marginMode": "REGULAR_MARGIN", "unifiedMarginStatus": 5}))
    proof = broker.connect()
    assert (proof.venue_account, proof.host, proof.margin_mode) == ("1448939", loopback.url, MarginMode.CROSS)
    assert proof.can_trade and not proof.can_withdraw and "Spot.SpotTrade" in proof.permissions
    assert proof.expires_at == datetime(2099, 1, 1, tzinfo=UTC) and proof.extra["note"] == "desk"
    assert abs(proof.clock.offset) < timedelta(seconds=1) and API_KEY not in repr(proof)
    headers = loopback.to("/v5/user/query-api")[0].headers
    assert headers["x-bapi-api-key"] == API_KEY and headers["x-bapi-recv-window"] == "5000"
    assert "x-bapi-sign" not in loopback.to("/v5/market/time")[0].headers


@pytest.mark.parametrize(
    ("change", "trade", "withdraw"),
    [
        ({"readOnly": 1}, False, False),
        ({"permissions": {"Spot": ["SpotTrade"]}}, False, False),
        ({"permissions": {**KEY["permissions"], "Wallet": ["Withdraw"]}}, True, True),
    ],
)
def test_connect_reports_rights(
    broker: BybitBroker, loopback: Loopback, change: dict[str, Any], trade: bool, withdraw: bool
) -> None:
    loopback.on("/v5/user/query-api", ok({**KEY, **change}))
    loopback.on("/v5/account/info", ok({"marginMode": "ISOLATED_MARGIN"}))
    proof = broker.connect()
    assert (proof.can_trade, proof.can_withdraw) == (trade, withdraw)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (refuse(10003, "API key is invalid."), EnvironmentMismatch, "separate keys"),
        (refuse(10004, "error sign"), AuthenticationRefused, "10004"),
        (refuse(33004, "expired"), AuthenticationRefused, "33004"),
        (reply(401, ""), AuthenticationRefused, "401"),
        (refuse(10010, "Unmatched IP"), PermissionRefused, "other IP addresses"),
        (ok({**KEY, "expiredAt": "2020-01-01T00:00:00Z"}), AuthenticationRefused, "expired at 2020"),
        (ok({**KEY, "uta": 0}), PermissionRefused, "classic account"),
        (ok({**KEY, "permissions": None}), AnswerUnreadable, "permissions"),
    ],
)
def test_connect_refuses(broker: BybitBroker, loopback: Loopback, answer, error: type[BrokerError], text: str) -> None:
    loopback.on("/v5/user/query-api", answer)
    with pytest.raises(error, match=text):
        broker.connect()
    assert len(loopback.to("/v5/user/query-api")) == 1


def test_the_offset_moves_every_later_timestamp(loopback: Loopback) -> None:
    clock = ManualClock(NOW)
    venue = NOW + timedelta(seconds=90)
    loopback.on("/v5/market/time", ok({"timeSecond": "0", "timeNano": str(epoch_ms(venue) * 10**6)}))
    loopback.on("/v5/account/info", ok({"marginMode": "REGULAR_MARGIN"}))
    loopback.on("/v5/account/wallet-balance", reply(200, envelope({"list": [{"coin": []}]}, time_ms=1)))
    with open_broker(account_config(loopback.url), clock=clock) as broker:
        reading = broker.clock_reading()
        assert (reading.venue_time, reading.offset, reading.error) == (venue, timedelta(seconds=90), timedelta(0))
        clock.advance(timedelta(seconds=1))
        broker.balances()
    sent = int(loopback.to("/v5/account/wallet-balance")[0].headers["x-bapi-timestamp"])
    assert sent == epoch_ms(venue + timedelta(seconds=1))


def test_place_measures_the_clock_when_nobody_did(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on("/v5/order/create", ok({"orderId": "1", "orderLinkId": "at-1"}))
    broker.place(prepared(broker), ticket())
    assert [request.path for request in loopback.requests][-2:] == ["/v5/market/time", "/v5/order/create"]


def prepared(broker: BybitBroker) -> PreparedOrder:
    request = OrderRequest(
        instrument_id=LINEAR, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal("0.01")
    )
    return broker.prepare_order(request, ClientOrderId("at-1"))


def test_an_order_past_not_after_is_not_sent(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on("/v5/order/create", ok({"orderId": "1", "orderLinkId": "at-1"}))
    order = prepared(broker)
    leave = ticket(valid_s=-0.5)
    with pytest.raises(DeadlinePassed, match="not_after"):
        broker.place(order, leave)
    assert loopback.orders() == [] and leave.record.sends == 0


@pytest.mark.parametrize("payload", ["{", "[]", '{"orderLinkId":"other"}', '{"qty":NaN}'])
def test_a_tampered_payload_is_not_sent(broker: BybitBroker, loopback: Loopback, payload: str) -> None:
    order = prepared(broker)
    bad = PreparedOrder(order.client_order_id, order.request, payload, order.sha256)
    with pytest.raises(InvalidOrder):
        broker.place(bad, ticket())
    changed = PreparedOrder(order.client_order_id, order.request, order.payload.replace("0.01", "9.99"), order.sha256)
    with pytest.raises(InvalidOrder, match="sha256"):
        broker.place(changed, ticket())
    assert loopback.orders() == []


# -- market data ------------------------------------------------------------------------------------------------------
def test_quotes_ask_once_per_product(broker: BybitBroker, loopback: Loopback) -> None:
    row = {"symbol": "BTCUSDT", "lastPrice": "3", "bid1Price": "2", "ask1Price": "4"}
    loopback.on("/v5/market/tickers", by_category(linear=listing([row]), spot=listing([{**row, "lastPrice": "5"}])))
    first, second, again = broker.quotes([SPOT, LINEAR, SPOT])
    assert (first.last, second.last, again.last) == (5, 3, 5)
    sent = loopback.to("/v5/market/tickers")
    assert [request.query for request in sent] == [
        {"category": "linear", "symbol": "BTCUSDT"},
        {"category": "spot", "symbol": "BTCUSDT"},
    ]
    loopback.on("/v5/market/tickers", ok(listing([])))
    with pytest.raises(AnswerUnreadable, match="BTC/USDT:USDT"):
        broker.quotes([LINEAR])


def test_several_quotes_of_one_product_take_one_request(broker: BybitBroker, loopback: Loopback) -> None:
    eth = {**LINEAR_ROW, "symbol": "ETHUSDT", "baseCoin": "ETH"}
    loopback.on("/v5/market/instruments-info", ok(listing([LINEAR_ROW, eth])))
    rows = [{"symbol": name, "lastPrice": "3", "bid1Price": "2", "ask1Price": "4"} for name in ("ETHUSDT", "BTCUSDT")]
    loopback.on("/v5/market/tickers", ok(listing(rows)))
    found = broker.quotes([LINEAR, InstrumentId("ETH/USDT:USDT")])
    assert [str(quote.instrument_id) for quote in found] == ["BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert [request.query for request in loopback.to("/v5/market/tickers")] == [{"category": "linear"}]


def test_instruments_are_read_to_the_end_and_named_when_unknown(broker: BybitBroker, loopback: Loopback) -> None:
    eth = {**LINEAR_ROW, "symbol": "ETHUSDT", "baseCoin": "ETH"}
    inverse = {**LINEAR_ROW, "symbol": "BTCUSD", "contractType": "InversePerpetual"}
    pages = {None: listing([LINEAR_ROW, inverse], "p2"), "p2": listing([eth], "p3"), "p3": listing([], "p4")}

    def send(request: Request, sock: socket.socket) -> bool:
        if request.query["category"] == "spot":
            return ok(listing([SPOT_ROW]))(request, sock)
        return ok(pages[request.query.get("cursor")])(request, sock)

    loopback.on("/v5/market/instruments-info", send)
    assert [str(item.instrument_id) for item in broker.instruments()] == ["BTC/USDT:USDT", "ETH/USDT:USDT", "BTC/USDT"]
    (only,) = broker.instruments([InstrumentId("ETH/USDT:USDT")])
    assert only.venue_symbol == "ETHUSDT"
    with pytest.raises(InstrumentUnknown, match="DOGE/USDT:USDT"):
        broker.instruments([LINEAR, InstrumentId("DOGE/USDT:USDT")])
    with pytest.raises(InstrumentUnknown, match="DOGE/USDT"):
        broker.quotes([InstrumentId("DOGE/USDT")])


def test_instruments_are_remembered_for_an_hour(loopback: Loopback) -> None:
    clock = ManualClock(NOW)
    loopback.on("/v5/market/instruments-info", instruments_route)
    loopback.on(
        "/v5/market/tickers", ok(listing([{"symbol": "BTCUSDT", "lastPrice": "3", "bid1Price": "2", "ask1Price": "4"}]))
    )
    with open_broker(account_config(loopback.url), clock=clock) as broker:
        for minutes, reads in ((0, 1), (59, 1), (2, 2)):
            clock.advance(timedelta(minutes=minutes))
            broker.quotes([LINEAR])
            assert len(loopback.to("/v5/market/instruments-info")) == reads


def test_instruments_that_are_asked_for_are_read_once_a_minute_and_only_in_their_product(loopback: Loopback) -> None:
    clock = ManualClock(NOW)
    loopback.on("/v5/market/instruments-info", instruments_route)
    with open_broker(account_config(loopback.url), clock=clock) as broker:
        for seconds, reads in ((0, 1), (60, 1), (1, 2)):
            clock.advance(timedelta(seconds=seconds))
            for _ in range(3):
                broker.instruments([LINEAR])
            assert len(loopback.to("/v5/market/instruments-info")) == reads
        broker.instruments()
        assert len(loopback.to("/v5/market/instruments-info")) == reads + 2


def test_products_that_are_not_configured_stay_unread(loopback: Loopback) -> None:
    loopback.on("/v5/market/instruments-info", instruments_route)
    config = account_config(loopback.url, products=frozenset({ProductKind.SPOT}))
    with open_broker(config, clock=SystemClock()) as broker:
        with pytest.raises(InstrumentUnknown, match="spot"):
            broker.quotes([LINEAR])
        assert broker.positions() == ()
        assert [item.product for item in broker.instruments()] == [ProductKind.SPOT]


# -- account ----------------------------------------------------------------------------------------------------------
def test_positions_are_read_for_every_settle_currency(broker: BybitBroker, loopback: Loopback) -> None:
    row = {
        "symbol": "BTCUSDT",
        "side": "Buy",
        "size": "1",
        "avgPrice": "5",
        "markPrice": "6",
        "positionIdx": 0,
        "leverage": "2",
        "updatedTime": "1700000000000",
        "unrealisedPnl": "1",
        "curRealisedPnl": "0.5",
    }
    gone = {**row, "symbol": "LUNAUSDT", "side": "Sell"}
    flat = {**row, "size": "0", "side": ""}

    def send(request: Request, sock: socket.socket) -> bool:
        rows = [row, gone, flat] if request.query["settleCoin"] == "USDT" and "cursor" not in request.query else []
        return ok(listing(rows, "always"))(request, sock)

    loopback.on(POSITIONS, send)
    first, second = broker.positions()
    assert (str(first.instrument_id), first.quantity, first.realised_pnl) == ("BTC/USDT:USDT", 1, Decimal("0.5"))
    assert (str(second.instrument_id), second.quantity) == ("LUNA/USDT:USDT", -1)
    assert {request.query["settleCoin"] for request in loopback.to(POSITIONS)} == {"USDT", "USDC"}
    assert all(request.query["limit"] == "200" for request in loopback.to(POSITIONS))


def test_balances_know_the_margin_mode_for_a_minute(loopback: Loopback) -> None:
    clock = ManualClock(NOW)
    coin = {"coin": "USDT", "walletBalance": "10", "locked": "1", "totalOrderIM": "2", "totalPositionIM": "3"}
    empty = {"coin": "BTC", "walletBalance": "0", "equity": "0"}
    loopback.on("/v5/account/wallet-balance", ok({"list": [{"coin": [coin, empty]}]}))
    loopback.on("/v5/account/info", ok({"marginMode": "ISOLATED_MARGIN"}), ok({"marginMode": "REGULAR_MARGIN"}))
    with open_broker(account_config(loopback.url), clock=clock) as broker:
        (balance,) = broker.balances()
        assert (balance.currency, balance.total, balance.held, balance.available) == ("USDT", 10, 6, 4)
        broker.balances()
        assert len(loopback.to("/v5/account/info")) == 1
        clock.advance(timedelta(seconds=61))
        assert broker.balances()[0].available is None


@pytest.mark.parametrize("accounts", [[], [{"coin": []}, {"coin": []}]])
def test_a_wallet_is_one_account(broker: BybitBroker, loopback: Loopback, accounts: list[Any]) -> None:
    loopback.on("/v5/account/info", ok({"marginMode": "REGULAR_MARGIN"}))
    loopback.on("/v5/account/wallet-balance", ok({"list": accounts}))
    with pytest.raises(AnswerUnreadable, match="one unified account"):
        broker.balances()


def position_rows(leverage: str, index: int = 0) -> dict[str, Any]:
    return listing([{"symbol": "BTCUSDT", "positionIdx": index, "leverage": leverage, "size": "0", "side": ""}])


@pytest.mark.parametrize("answer", [ok({}), refuse(110043, "leverage not modified")])
def test_leverage_is_set_and_read_back(broker: BybitBroker, loopback: Loopback, answer) -> None:
    loopback.on("/v5/account/info", ok({"marginMode": "REGULAR_MARGIN"}))
    loopback.on("/v5/position/set-leverage", answer)
    loopback.on(POSITIONS, ok(position_rows("6.50")))
    found = broker.set_leverage(LINEAR, Decimal("6.5"))
    assert found.long_leverage == found.short_leverage == Decimal("6.5")
    sent = loopback.to("/v5/position/set-leverage")
    assert [request.json for request in sent] == [
        {"category": "linear", "symbol": "BTCUSDT", "buyLeverage": "6.5", "sellLeverage": "6.5"}
    ]


def test_leverage_that_reads_back_otherwise_is_not_success(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on("/v5/account/info", ok({"marginMode": "REGULAR_MARGIN"}))
    loopback.on("/v5/position/set-leverage", ok({}))
    loopback.on(POSITIONS, ok(position_rows("10")))
    with pytest.raises(VerificationFailed, match="was long 10"):
        broker.set_leverage(LINEAR, Decimal(5))


@pytest.mark.parametrize("leverage", ["0", "-1", "NaN", "0.5", "101", "5.005"])
def test_leverage_outside_of_the_grid_is_not_sent(broker: BybitBroker, loopback: Loopback, leverage: str) -> None:
    with pytest.raises(InvalidOrder, match="leverage"):
        broker.set_leverage(LINEAR, Decimal(leverage))
    assert loopback.to("/v5/position/set-leverage") == []


def test_position_mode_is_set_and_read_back(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on("/v5/account/info", ok({"marginMode": "REGULAR_MARGIN"}))
    loopback.on("/v5/position/switch-mode", ok({}), refuse(110025, "not modified"), ok({}))
    hedge = listing([{"symbol": "BTCUSDT", "positionIdx": index, "leverage": "5"} for index in (1, 2)])
    loopback.on(POSITIONS, ok(hedge))
    for _ in range(2):
        assert broker.set_position_mode(LINEAR, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    with pytest.raises(VerificationFailed, match="position mode"):
        broker.set_position_mode(LINEAR, PositionMode.ONE_WAY)
    assert [request.json["mode"] for request in loopback.to("/v5/position/switch-mode")] == [3, 3, 0]


def test_spot_has_neither_leverage_nor_position_mode(broker: BybitBroker) -> None:
    for call in (
        lambda: broker.leverage(SPOT),
        lambda: broker.set_leverage(SPOT, Decimal(2)),
        lambda: broker.set_position_mode(SPOT, PositionMode.HEDGE),
    ):
        with pytest.raises(Unsupported, match="spot"):
            call()


# -- orders -----------------------------------------------------------------------------------------------------------
def test_an_order_is_looked_up_live_then_in_history(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on(REALTIME, ok(listing([])))
    loopback.on(HISTORY, ok(listing([order_row()], "more")))
    found = broker.find_order(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1"))
    assert found is not None and found.venue_order_id == VenueOrderId("o-1")
    asked = {"category": "linear", "orderLinkId": "at-1"}
    assert loopback.to(HISTORY)[0].query == asked
    assert loopback.to(REALTIME)[0].query == {**asked, "symbol": "BTCUSDT"}  # documented as required of contracts
    by_venue_id = broker.find_order(instrument_id=SPOT, venue_order_id=VenueOrderId("o-1"))
    assert by_venue_id is not None and loopback.to(HISTORY)[1].query == {"category": "spot", "orderId": "o-1"}


def test_absent_in_both_is_none_and_a_failed_read_is_not(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on(REALTIME, ok(listing([])))
    loopback.on(HISTORY, ok(listing([])))
    assert broker.find_order(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1")) is None
    loopback.on(HISTORY, refuse(10016, "Server error."))
    with pytest.raises(BrokerError, match="10016"):
        broker.find_order(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1"))
    loopback.on(REALTIME, ok(listing([order_row(orderLinkId="at-2")])))
    with pytest.raises(AnswerUnreadable, match="others only"):
        broker.find_order(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1"))
    with pytest.raises(InvalidOrder, match="must be given"):
        broker.find_order(instrument_id=LINEAR)


def test_open_orders_of_all_products_and_settle_currencies(broker: BybitBroker, loopback: Loopback) -> None:
    def send(request: Request, sock: socket.socket) -> bool:
        query = request.query
        if query["category"] == "spot":
            rows = [order_row(orderId="s-1"), order_row(orderId="s-2", orderStatus="Filled")]
        else:
            rows = [order_row(orderId=f"l-{query['settleCoin']}")]
        return ok(listing(rows, "same"))(request, sock)

    loopback.on(REALTIME, send)
    found = broker.open_orders()
    assert sorted(str(order.venue_order_id) for order in found) == ["l-USDC", "l-USDT", "s-1"]
    assert all(request.query["openOnly"] == "0" and request.query["limit"] == "50" for request in loopback.to(REALTIME))
    assert "settleCoin" not in loopback.to(REALTIME)[-1].query


def test_fills_are_paged_filtered_and_oldest_first(broker: BybitBroker, loopback: Loopback) -> None:
    pages = {
        None: listing([fill_row(5), fill_row(4, execType="Funding"), fill_row(3)], "a"),
        "a": listing([fill_row(3), fill_row(2, execType="AdlTrade"), fill_row(1)], "b"),
        "b": listing([], "c"),
    }

    def send(request: Request, sock: socket.socket) -> bool:
        rows = pages[request.query.get("cursor")] if request.query["category"] == "linear" else listing([])
        return ok(rows)(request, sock)

    loopback.on(EXECUTIONS, send)
    now = datetime.now(UTC)
    found = broker.fills(since=now - timedelta(days=1), until=now)
    assert [str(fill.trade_id) for fill in found] == ["e-1", "e-2", "e-3", "e-5"]
    assert [fill.kind for fill in found] == ["trade", "adltrade", "trade", "trade"]
    assert len(loopback.to(EXECUTIONS)) == 4 and "execType" not in loopback.to(EXECUTIONS)[0].query
    loopback.on(EXECUTIONS, ok(listing([fill_row(1, symbol="LUNAUSDT")])))
    (old,) = broker.fills(since=now - timedelta(days=1), until=now, instrument_id=SPOT)
    assert str(old.instrument_id) == "LUNA/USDT" and loopback.to(EXECUTIONS)[-1].query["symbol"] == "BTCUSDT"


def test_a_window_is_split_without_gap_or_overlap(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on(LOG, ok(listing([])))
    until = datetime.now(UTC).replace(microsecond=0)
    since = until - timedelta(days=16)
    assert broker.cash_events(since=since, until=until) == ()
    spans = [(int(r.query["startTime"]), int(r.query["endTime"])) for r in loopback.to(LOG)]
    assert spans[0][0] == epoch_ms(since) and spans[-1][1] == epoch_ms(until) - 1 and len(spans) == 3
    for (_, end), (start, _) in itertools.pairwise(spans):
        assert start == end + 1
    assert all(end - start < 7 * 86_400_000 for start, end in spans)


def test_windows_have_limits() -> None:
    with pytest.raises(Unsupported, match="two years"):
        list(windows(NOW - timedelta(days=731), NOW, now=NOW))
    with pytest.raises(Unsupported, match="before since"):
        list(windows(NOW, NOW - timedelta(days=1), now=NOW))
    assert list(windows(NOW, NOW, now=NOW)) == []
    with pytest.raises(ValueError, match="aware"):
        epoch_ms(datetime(2026, 1, 1))  # noqa: DTZ001 - the naive time is the point


def test_order_history_shows_what_is_over(broker: BybitBroker, loopback: Loopback) -> None:
    rows = [
        order_row(orderId="o-2", orderStatus="Filled", createdTime="1758189775700", cumExecQty="0.01"),
        order_row(orderId="o-1", orderStatus="Cancelled"),
        order_row(orderId="o-3", orderStatus="New"),
    ]
    loopback.on(HISTORY, by_category(linear=listing(rows)))
    now = datetime.now(UTC)
    assert [str(order.venue_order_id) for order in broker.order_history(since=now - timedelta(days=1), until=now)] == [
        "o-1",
        "o-2",
    ]


def test_cash_events_keep_the_venue_order_within_one_millisecond(broker: BybitBroker, loopback: Loopback) -> None:
    def row(number: int, change: str, **more: str) -> dict[str, str]:
        return {
            "id": f"log-{number}",
            "currency": "USDT",
            "type": "TRADE",
            "change": change,
            "category": "linear",
            "transactionTime": "1700000000000",
            "symbol": "BTCUSDT",
            "cashBalance": "1",
            **more,
        }

    rows = [row(3, "-0.3"), row(2, "0.2"), row(1, "10", symbol="", category="", type="TRANSFER_IN")]
    loopback.on(LOG, ok(listing(rows, "again")), ok(listing(rows[:1], "again")))
    now = datetime.now(UTC)
    found = broker.cash_events(since=now - timedelta(days=1), until=now)
    assert [event.event_id.partition("@")[0] for event in found] == ["log-1", "log-2", "log-3"]
    assert sum(event.amount for event in found) == Decimal("9.9")
    assert found[0].instrument_id is None and str(found[1].instrument_id) == "BTC/USDT:USDT"
    assert loopback.to(LOG)[0].query["accountType"] == "UNIFIED"


def test_cancel_sends_one_id_and_keeps_the_evidence(broker: BybitBroker, loopback: Loopback) -> None:
    loopback.on("/v5/order/cancel", ok({"orderId": "o-1", "orderLinkId": "at-1"}), refuse(170213, "not exist"))
    record = broker.cancel(
        instrument_id=SPOT, client_order_id=ClientOrderId("at-1"), venue_order_id=VenueOrderId("o-1")
    )
    assert record.status == 200 and record.request_body == loopback.to("/v5/order/cancel")[0].body
    assert loopback.to("/v5/order/cancel")[0].json == {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": "at-1"}
    with pytest.raises(OrderNotFound, match="170213"):
        broker.cancel(instrument_id=SPOT, venue_order_id=VenueOrderId("o-1"))
    assert loopback.to("/v5/order/cancel")[1].json["orderId"] == "o-1"
    loopback.on("/v5/order/cancel", refuse(110001, "not exist"))
    before = len(loopback.to("/v5/order/cancel"))
    with pytest.raises(OrderNotFound, match="110001"):
        broker.cancel(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1"))
    assert len(loopback.to("/v5/order/cancel")) == before + 1
    loopback.on("/v5/order/cancel", refuse(110008, "completed"))
    with pytest.raises(OrderAlreadyDone):
        broker.cancel(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1"))


@pytest.mark.parametrize("kind", ["StopOrder", "tpslOrder"])
def test_a_spot_order_that_waits_is_cancelled_among_its_kind(
    broker: BybitBroker, loopback: Loopback, kind: str
) -> None:
    """As documented: without `orderFilter` Bybit looks among active spot orders only; a kill must end every kind."""

    def send(request: Request, sock: socket.socket) -> bool:
        if request.json.get("orderFilter") == kind:
            return ok({"orderId": "o-1", "orderLinkId": "at-1"})(request, sock)
        return refuse(170213, "Order does not exist.")(request, sock)

    loopback.on("/v5/order/cancel", send)
    record = broker.cancel(instrument_id=SPOT, client_order_id=ClientOrderId("at-1"))
    first, *_, last = loopback.to("/v5/order/cancel")
    assert first.json == {"category": "spot", "symbol": "BTCUSDT", "orderLinkId": "at-1"}
    assert last.json == {**first.json, "orderFilter": kind} and record.request_body == last.body


def self_trade() -> list[dict[str, Any]]:
    """Two orders of ours that traded with each other, under one execution id."""
    return [
        fill_row(1, execId="e-x", orderId="o-taker", side="Buy"),
        fill_row(1, execId="e-x", orderId="o-maker", side="Sell", isMaker=True),
    ]


@pytest.mark.parametrize("shown", [(0, 1), (1, 0), (0,), (1,), (0, 1, 1, 0)])
def test_both_fills_of_a_self_trade_are_kept_under_ids_that_no_window_changes(
    broker: BybitBroker, loopback: Loopback, shown: tuple[int, ...]
) -> None:
    loopback.on(EXECUTIONS, by_category(linear=listing([self_trade()[number] for number in shown])))
    found = {str(fill.venue_order_id): str(fill.trade_id) for fill in broker.fills(**last_day())}
    expected = {0: ("o-taker", "e-x"), 1: ("o-maker", "e-x:o-maker")}
    assert found == dict(expected[number] for number in shown)


def test_one_trade_id_for_two_orders_is_unreadable(broker: BybitBroker, loopback: Loopback) -> None:
    rows = [{**row, "isMaker": False} for row in self_trade()]
    loopback.on(EXECUTIONS, by_category(linear=listing(rows)))
    with pytest.raises(AnswerUnreadable, match=r"e-x.*o-taker.*o-maker"):
        broker.fills(**last_day())


# -- failures ---------------------------------------------------------------------------------------------------------
def last_day() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(days=1), "until": now}


READS = {
    "balances": lambda b: b.balances(),
    "margin_health": lambda b: b.margin_health(),
    "positions": lambda b: b.positions(),
    "profit_and_loss": lambda b: b.profit_and_loss(),
    "leverage": lambda b: b.leverage(LINEAR),
    "quotes": lambda b: b.quotes([LINEAR]),
    "open_orders": lambda b: b.open_orders(),
    "order_history": lambda b: b.order_history(**last_day()),
    "fills": lambda b: b.fills(**last_day()),
    "cash_events": lambda b: b.cash_events(**last_day()),
    "find_order": lambda b: b.find_order(instrument_id=LINEAR, client_order_id=ClientOrderId("at-1")),
    "connect": lambda b: b.connect(),
}


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize(
    "answer",
    [
        reply(500, "oops"),
        reply(200, "<html>"),
        reply(302, "", Location="http://127.0.0.2/"),
        ok({"list": "text"}),
        ok({"list": [1]}),
        refuse(10006, "too many"),
        refuse(424242, "new"),
    ],
)
def test_every_read_raises_only_typed_errors_and_asks_once(
    broker: BybitBroker, loopback: Loopback, name: str, answer
) -> None:
    for path in (
        *("/v5/account/wallet-balance", POSITIONS, "/v5/market/tickers", REALTIME, HISTORY, EXECUTIONS, LOG),
        *("/v5/account/info", "/v5/user/query-api"),
    ):
        loopback.on(path, answer)
    with pytest.raises(BrokerError) as caught:
        READS[name](broker)
    assert not isinstance(caught.value, NotSent)
    asked = [
        request.path
        for request in loopback.requests
        if request.path not in ("/v5/market/time", "/v5/market/instruments-info")
    ]
    assert len(asked) == 1


def test_a_read_that_hangs_ends_with_its_deadline(loopback: Loopback) -> None:
    loopback.on("/v5/market/time", hang)
    with (
        open_broker(account_config(loopback.url, read_timeout_s=0.3), clock=SystemClock()) as broker,
        pytest.raises(AnswerTimedOut, match=r"0\.3 s"),
    ):
        broker.clock_reading()


def test_a_closed_broker_sends_nothing(broker: BybitBroker, loopback: Loopback) -> None:
    broker.close()
    with pytest.raises(NotSent, match="closed"):
        broker.clock_reading()
    assert loopback.requests == []


def test_an_sdk_that_breaks_is_an_unreadable_answer(broker: BybitBroker, monkeypatch) -> None:
    def get_server_time(self: BybitClient) -> Any:
        raise KeyError("result")

    monkeypatch.setattr(BybitClient, "get_server_time", get_server_time)
    with pytest.raises(AnswerUnreadable, match="KeyError"):
        broker.clock_reading()


def test_a_delisted_symbol_is_asked_for_by_name_once(broker: BybitBroker, loopback: Loopback) -> None:
    """The list shows trading symbols only; a position in one that is being delivered must still be readable."""
    delivering = {**LINEAR_ROW, "symbol": "OLDUSDT", "baseCoin": "OLD", "status": "Delivering"}

    def send(request: Request, sock: socket.socket) -> bool:
        if request.query.get("symbol") == "ODDUSDT":
            return refuse(10001, "params error: symbol invalid")(request, sock)
        rows = [delivering] if request.query.get("symbol") == "OLDUSDT" else [LINEAR_ROW]
        return ok(listing(rows))(request, sock)

    loopback.on("/v5/market/instruments-info", send)
    loopback.on(EXECUTIONS, by_category(linear=listing([fill_row(1, symbol="OLDUSDT"), fill_row(2, symbol="ODDUSDT")])))
    found = broker.fills(**last_day())
    assert [str(fill.instrument_id) for fill in found] == ["OLD/USDT:USDT", "ODD/USDT:USDT"]


@pytest.mark.parametrize("change", [{"execId": "x" * 97}, {"orderId": "x" * 65}, {"orderLinkId": "x" * 65}])
def test_ids_beyond_their_bounds_are_unreadable(
    broker: BybitBroker, loopback: Loopback, change: dict[str, Any]
) -> None:
    loopback.on(EXECUTIONS, ok(listing([fill_row(1, **change)])))
    with pytest.raises(AnswerUnreadable, match="at most"):
        broker.fills(**last_day())


def test_endless_pages_end(broker: BybitBroker, loopback: Loopback, monkeypatch) -> None:
    import itertools

    from brokers.bybit import paging

    monkeypatch.setattr(paging, "PAGES_MAX", 5)
    numbers = itertools.count()
    loopback.on(
        EXECUTIONS,
        lambda request, sock: ok(listing([fill_row(1)], f"cursor-{next(numbers)}"))(request, sock),
    )
    with pytest.raises(AnswerUnreadable, match="5 pages"):
        broker.fills(**last_day())


# -- pybit ------------------------------------------------------------------------------------------------------------
def test_the_pybit_methods_that_we_override_exist() -> None:
    from importlib.metadata import version

    from pybit.unified_trading import HTTP

    assert version("pybit") == "5.17.0"
    for name in ("prepare_payload", "_prepare_headers", "_check_status_code", "_handle_response", "_auth"):
        assert callable(getattr(HTTP, name)), f"pybit lost {name}: read its changes before upgrading"


def test_opening_brokers_adds_no_log_handlers(loopback: Loopback, monkeypatch) -> None:
    import logging

    monkeypatch.setattr(logging.root, "handlers", [])
    logger = logging.getLogger("pybit._http_manager")
    before = list(logger.handlers)
    for _ in range(3):
        open_broker(account_config(loopback.url), clock=SystemClock()).close()
    assert logger.handlers == before


def test_nothing_secret_is_logged(broker: BybitBroker, loopback: Loopback, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    loopback.on("/v5/user/query-api", reply(200, "<html>"))
    with caplog.at_level(logging.DEBUG), pytest.raises(AnswerUnreadable):
        broker.connect()
    sign = loopback.to("/v5/user/query-api")[0].headers["x-bapi-sign"]
    assert API_KEY not in caplog.text and sign not in caplog.text
    assert loopback.to("/v5/market/time") and server_time


def test_orders_and_fills_in_what_is_no_longer_listed_are_found(broker: BybitBroker, loopback: Loopback) -> None:
    """Their instrument cannot be read; an open intent must come to its end all the same."""
    gone = InstrumentId("LUNA/USDT")
    with pytest.raises(InstrumentUnknown):
        broker.instruments([gone])
    loopback.on(REALTIME, ok(listing([order_row(symbol="LUNAUSDT", orderLinkId="a1")])))
    found = broker.find_order(instrument_id=gone, client_order_id=ClientOrderId("a1"))
    assert found is not None and found.instrument_id == gone
    assert loopback.to(REALTIME)[0].query == {"category": "spot", "orderLinkId": "a1"}
    contract = InstrumentId("LUNA/USDT:USDT")
    assert broker.find_order(instrument_id=contract, venue_order_id=VenueOrderId("o-1")) is not None
    assert loopback.to(REALTIME)[1].query == {"category": "linear", "orderId": "o-1", "settleCoin": "USDT"}
    now = datetime.now(UTC)

    def send(request: Request, sock: socket.socket) -> bool:
        rows = [fill_row(2, symbol="LUNAUSDT"), fill_row(1)] if request.query["category"] == "spot" else []
        return ok(listing(rows))(request, sock)

    loopback.on(EXECUTIONS, send)
    (fill,) = broker.fills(since=now - timedelta(hours=1), until=now, instrument_id=gone)
    assert fill.instrument_id == gone and "symbol" not in loopback.to(EXECUTIONS)[-1].query
    with pytest.raises(InstrumentUnknown):
        broker.find_order(instrument_id=InstrumentId("LUNA"), client_order_id=ClientOrderId("a1"))
