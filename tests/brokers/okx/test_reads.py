"""Reads and settings of OKX on a scripted server: what is asked, how often, and what is made of the answers."""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import SecretStr

from brokers.clock import ManualClock, SystemClock, epoch_ms
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    InstrumentUnknown,
    InvalidOrder,
    OrderAlreadyDone,
    OrderInvalid,
    OrderNotFound,
    PermissionRefused,
    RateLimited,
    Unsupported,
    VenueFaulted,
    VerificationFailed,
)
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, Environment, InstrumentId, Venue, VenueOrderId
from brokers.okx import history
from brokers.okx.adapter import OKXBroker
from brokers.okx.client import classify
from brokers.okx.profile import DEMO_FLAG
from brokers.registry import capabilities
from brokers.types import MarginMode, OrderRequest, OrderSide, OrderType, PositionMode, ProductKind
from tests.brokers.loopback import API_SECRET, Loopback, Responder, reply
from tests.brokers.okx.conftest import PASSPHRASE, V5, answer, by_method, config_at, paged
from tests.brokers.okx.recorded import (
    BALANCE_ROW,
    BILL_ROW,
    CONFIG_ROW,
    FILL_ROW,
    FILLED_SWAP,
    POSITION_ROW,
    TICKER_ROW,
    body,
    order_row,
)

BTC, SWAP = InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT")
ORDER = f"{V5}/trade/order"
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR: dict[str, Any] = {"since": NOW - timedelta(hours=1), "until": NOW}


def ms(moment: datetime) -> str:
    return str(epoch_ms(moment))


# -- requests ---------------------------------------------------------------------------------------------------
def test_every_request_is_signed_over_what_is_sent_and_names_its_environment(
    broker: OKXBroker, loopback: Loopback
) -> None:
    broker.clock_reading()
    broker.positions()
    (asked,) = loopback.to(f"{V5}/account/positions")
    headers = asked.headers
    signed = f"{headers['ok-access-timestamp']}GET{asked.target}"
    expected = base64.b64encode(hmac.new(API_SECRET.encode(), signed.encode(), hashlib.sha256).digest()).decode()
    assert headers["ok-access-sign"] == expected and headers["ok-access-passphrase"] == PASSPHRASE
    stamp = datetime.strptime(headers["ok-access-timestamp"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
    assert abs(stamp - datetime.now(UTC)) < timedelta(seconds=5) and len(headers["ok-access-timestamp"]) == 24
    assert {request.headers["x-simulated-trading"] for request in loopback.requests} == {"1"}
    public = loopback.to(f"{V5}/public/time")[0]
    assert "ok-access-key" not in public.headers, "what needs no key shows none"


def test_the_query_is_part_of_the_signature(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/leverage-info", answer({"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "lever": "3"}))
    broker.leverage(SWAP)
    (asked,) = loopback.to(f"{V5}/account/leverage-info")
    assert asked.target.endswith("?instId=BTC-USDT-SWAP&mgnMode=cross")
    signed = f"{asked.headers['ok-access-timestamp']}GET{asked.target}".encode()
    expected = base64.b64encode(hmac.new(API_SECRET.encode(), signed, hashlib.sha256).digest()).decode()
    assert asked.headers["ok-access-sign"] == expected


def test_the_demo_flag_follows_the_environment_and_has_no_default() -> None:
    assert DEMO_FLAG == {Environment.PRODUCTION: "0", Environment.TESTNET: "1", Environment.SIMULATED: "1"}
    assert set(DEMO_FLAG) == set(Environment)
    for environment, flag in DEMO_FLAG.items():
        config = config_at(
            "http://127.0.0.1:9" if environment is Environment.SIMULATED else "",
            account_id=AccountId(Venue.OKX, environment, "main"),
        )
        broker = open_broker(config, clock=SystemClock())
        assert isinstance(broker, OKXBroker) and broker._client._demo == flag
        broker.close()


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", ORDER, "read"),
        ("POST", ORDER, "order"),
        ("POST", f"{V5}/trade/cancel-order", "write"),
        ("POST", f"{V5}/trade/batch-orders", "forbidden"),
        ("POST", f"{V5}/trade/order-algo", "order"),
        ("GET", f"{V5}/trade/order-algo", "read"),
        ("GET", f"{V5}/trade/orders-algo-pending", "read"),
        ("GET", f"{V5}/trade/orders-algo-history", "read"),
        ("POST", f"{V5}/trade/cancel-algos", "write"),
        ("POST", f"{V5}/trade/amend-algos", "forbidden"),
        ("POST", f"{V5}/trade/cancel-advance-algos", "forbidden"),
        ("POST", f"{V5}/trade/amend-order", "forbidden"),
        ("POST", f"{V5}/trade/close-position", "forbidden"),
        ("POST", f"{V5}/asset/withdrawal", "forbidden"),
        ("POST", f"{V5}/asset/transfer", "forbidden"),
        ("GET", f"{V5}/asset/balances", "forbidden"),
        ("POST", f"{V5}/account/set-account-level", "forbidden"),
        ("DELETE", ORDER, "forbidden"),
        ("GET", f"{V5}/trade/order/", "forbidden"),
    ],
)
def test_what_a_request_does(method: str, path: str, verb: str) -> None:
    assert classify(method, path).value == verb


# -- connection -------------------------------------------------------------------------------------------------
def test_connecting_proves_account_rights_and_clock(broker: OKXBroker, loopback: Loopback) -> None:
    proof = broker.connect()
    assert (proof.venue_account, proof.margin_mode) == ("44705892343619584", MarginMode.CROSS)
    assert proof.can_trade and proof.can_withdraw and proof.permissions == ("read_only", "trade", "withdraw")
    assert proof.extra["account_level"] == "2" and proof.extra["position_mode"] == "net_mode"
    assert abs(proof.clock.offset) < timedelta(seconds=2)
    assert [request.path for request in loopback.requests] == [f"{V5}/public/time", f"{V5}/account/config"]


def test_a_key_that_may_only_read(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/config", answer({**CONFIG_ROW, "perm": "read_only"}))
    proof = broker.connect()
    assert not proof.can_trade and not proof.can_withdraw


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "50101", EnvironmentMismatch),
        (401, "50105", AuthenticationRefused),
        (200, "50119", AuthenticationRefused),
        (401, "50110", PermissionRefused),
    ],
)
def test_keys_that_do_not_belong_here(
    broker: OKXBroker, loopback: Loopback, status: int, code: str, expected: type[BrokerError]
) -> None:
    loopback.on(f"{V5}/account/config", answer(code=code, msg="words", status=status))
    with pytest.raises(expected) as caught:
        broker.connect()
    assert caught.value.code == code


def test_spot_mode_trades_no_swaps(loopback: Loopback, broker: OKXBroker) -> None:
    loopback.on(f"{V5}/account/config", answer({**CONFIG_ROW, "acctLv": "1"}))
    with pytest.raises(PermissionRefused, match="spot mode"):
        broker.connect()
    spot_only = open_broker(config_at(loopback.url, products=frozenset({ProductKind.SPOT})), clock=SystemClock())
    with spot_only:
        assert spot_only.connect().margin_mode is MarginMode.CASH


def test_the_passphrase_is_required_before_anything_is_opened(loopback: Loopback) -> None:
    with pytest.raises(EnvironmentMismatch, match="api_passphrase"):
        open_broker(config_at(loopback.url, api_passphrase=SecretStr("")), clock=SystemClock())


def test_the_row_of_okx() -> None:
    row = capabilities(Venue.OKX)
    for identity in row.identity.values():
        assert identity.id_scope == "open_only" and identity.deadline_s_max == 5 and identity.proof
        assert (identity.client_id_length_max, identity.client_id_alphabet) == (32, "[A-Za-z0-9]")
        assert identity.lookup_window_unfilled_s == 2 * 3600
    assert row.access.needs_passphrase and not row.positions_by_currency and row.cash_events
    assert row.dead_man.is_armed_by_us and (row.dead_man.timeout_s_min, row.dead_man.timeout_s_max) == (10, 120)
    urls = {host.base_url for host in row.hosts if host.environment is Environment.PRODUCTION}
    assert urls == {host.base_url for host in row.hosts if host.environment is Environment.TESTNET}
    assert row.host(environment=Environment.TESTNET).name == "demo-global"


# -- market data ------------------------------------------------------------------------------------------------
def test_instruments_of_both_products_in_two_requests(broker: OKXBroker, loopback: Loopback) -> None:
    found = broker.instruments()
    assert sorted(item.instrument_id.value for item in found) == ["BTC/USDT", "BTC/USDT:USDT", "ETH/USDT:USDT"]
    assert len(loopback.to(f"{V5}/public/instruments")) == 2
    (swap,) = broker.instruments([SWAP])
    assert swap.contract_size == Decimal("0.01") and len(loopback.to(f"{V5}/public/instruments")) == 2


@pytest.mark.parametrize("name", ["BTC/USD:BTC", "BTC-USD-SWAP"])
def test_inverse_contracts_are_refused_with_the_reason(broker: OKXBroker, name: str) -> None:
    with pytest.raises(Unsupported, match="inverse contract, settled in BTC"):
        broker.instruments([InstrumentId(name)])


def test_an_instrument_that_is_not_listed(broker: OKXBroker) -> None:
    with pytest.raises(InstrumentUnknown, match="unified symbols read"):
        broker.instruments([InstrumentId("NOPE/USDT")])


def test_one_quote_by_symbol_many_by_product(broker: OKXBroker, loopback: Loopback) -> None:
    spot = {**TICKER_ROW, "instType": "SPOT", "instId": "BTC-USDT"}
    eth = {**TICKER_ROW, "instId": "ETH-USDT-SWAP"}
    loopback.on(f"{V5}/market/ticker", answer(spot))
    loopback.on(f"{V5}/market/tickers", answer(TICKER_ROW, eth, {**eth, "instId": "X-USDT-SWAP", "bidPx": ""}))
    names = [InstrumentId("ETH/USDT:USDT"), BTC, SWAP]
    assert [quote.instrument_id for quote in broker.quotes(names)] == names
    assert [request.query for request in loopback.to(f"{V5}/market/tickers")] == [{"instType": "SWAP"}]
    assert [request.query for request in loopback.to(f"{V5}/market/ticker")] == [{"instId": "BTC-USDT"}]
    loopback.on(f"{V5}/market/ticker", answer())
    with pytest.raises(AnswerUnreadable, match="do not show BTC/USDT"):
        broker.quotes([BTC])


# -- account ----------------------------------------------------------------------------------------------------
def test_balances_and_health_are_one_request_each(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/balance", answer(BALANCE_ROW))
    (found,) = broker.balances()
    assert (found.currency, found.total) == ("BTC", Decimal("1.06126645222"))
    assert broker.margin_health().currency == "USD"
    assert len(loopback.to(f"{V5}/account/balance")) == 2 and len(loopback.to(f"{V5}/account/config")) == 1
    for wrong in ({**BALANCE_ROW, "details": None}, {**BALANCE_ROW, "details": [1]}):
        loopback.on(f"{V5}/account/balance", answer(wrong))
        with pytest.raises(AnswerUnreadable, match="details"):
            broker.balances()


def test_the_account_is_read_again_after_a_minute(loopback: Loopback, broker: OKXBroker) -> None:
    clock = ManualClock(NOW)
    loopback.on(f"{V5}/account/balance", answer(BALANCE_ROW))
    with open_broker(config_at(loopback.url), clock=clock) as own:
        for seconds, reads in ((0, 1), (59, 1), (2, 2)):
            clock.wait(seconds)
            own.balances()
            assert len(loopback.to(f"{V5}/account/config")) == reads


def test_positions_are_the_whole_accounts(broker: OKXBroker, loopback: Loopback) -> None:
    swap = {**POSITION_ROW, "instId": "BTC-USDT-SWAP", "posSide": "net", "pos": "-3"}
    future = {**swap, "instId": "BTC-USDT-261225", "instType": "FUTURES", "pos": "2"}
    inverse = {**swap, "instId": "BTC-USD-SWAP", "pos": "5"}
    closed = {**swap, "instId": "ETH-USDT-SWAP", "pos": "0", "avgPx": ""}
    loopback.on(f"{V5}/account/positions", answer(swap, future, inverse, closed))
    found = {item.instrument_id.value: item.quantity for item in broker.positions()}
    assert found == {"BTC/USDT:USDT": Decimal(-3), "BTC-USDT-261225": Decimal(2), "BTC-USD-SWAP": Decimal(5)}
    assert [request.query for request in loopback.to(f"{V5}/account/positions")] == [{}]
    (own,) = [item for item in broker.profit_and_loss() if item.instrument_id == SWAP]
    assert own.currency == "USDT"


def lever(value: str) -> dict[str, str]:
    return {"instId": "BTC-USDT-SWAP", "mgnMode": "cross", "posSide": "net", "lever": value, "ccy": ""}


def test_leverage_is_set_and_read_back(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/set-leverage", answer(lever("7")))
    loopback.on(f"{V5}/account/leverage-info", answer(lever("7")))
    found = broker.set_leverage(SWAP, Decimal(7))
    assert (found.long_leverage, found.margin_mode, found.position_mode) == (
        Decimal(7),
        MarginMode.CROSS,
        PositionMode.ONE_WAY,
    )
    assert loopback.to(f"{V5}/account/set-leverage")[0].json == {
        "instId": "BTC-USDT-SWAP",
        "lever": "7",
        "mgnMode": "cross",
    }
    with pytest.raises(VerificationFailed, match="must read 8"):
        broker.set_leverage(SWAP, Decimal(8))


@pytest.mark.parametrize("leverage", ["0", "-1", "101", "1.001", "NaN"])
def test_leverage_that_cannot_be_asked_for(broker: OKXBroker, leverage: str) -> None:
    with pytest.raises(InvalidOrder, match="leverage"):
        broker.set_leverage(SWAP, Decimal(leverage))


@pytest.mark.parametrize("level", ["1", "4"])
def test_modes_without_a_leverage_of_the_instrument(broker: OKXBroker, loopback: Loopback, level: str) -> None:
    loopback.on(f"{V5}/account/config", answer({**CONFIG_ROW, "acctLv": level}))
    with pytest.raises(Unsupported, match="no leverage of its own"):
        broker.leverage(SWAP)
    with pytest.raises(Unsupported, match="is spot"):
        broker.leverage(BTC)


def test_the_margin_is_named_by_orders_and_is_cross(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/leverage-info", answer(lever("3")))
    assert broker.set_margin_mode(SWAP, MarginMode.CROSS).margin_mode is MarginMode.CROSS
    with pytest.raises(Unsupported, match="orders at OKX name their margin"):
        broker.set_margin_mode(SWAP, MarginMode.ISOLATED)


def test_the_position_mode_is_sent_only_where_it_differs(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/leverage-info", answer(lever("3")))
    assert broker.set_position_mode(SWAP, PositionMode.ONE_WAY).position_mode is PositionMode.ONE_WAY
    assert loopback.to(f"{V5}/account/set-position-mode") == []
    hedge = {**CONFIG_ROW, "posMode": "long_short_mode"}
    loopback.on(f"{V5}/account/config", answer(CONFIG_ROW), answer(hedge))
    loopback.on(f"{V5}/account/set-position-mode", answer({"posMode": "long_short_mode"}))
    assert broker.set_position_mode(SWAP, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    assert [request.json for request in loopback.to(f"{V5}/account/set-position-mode")] == [
        {"posMode": "long_short_mode"}
    ]


def test_a_position_mode_that_does_not_read_back(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/set-position-mode", answer({"posMode": "long_short_mode"}))
    with pytest.raises(VerificationFailed, match="must read hedge"):
        broker.set_position_mode(SWAP, PositionMode.HEDGE)
    loopback.on(f"{V5}/account/set-position-mode", answer(code="59000", msg="close first"))
    with pytest.raises(OrderInvalid, match="close positions and orders first"):
        broker.set_position_mode(SWAP, PositionMode.HEDGE)


# -- the dead-man switch ----------------------------------------------------------------------------------------
def test_the_dead_man_switch_is_armed_for_our_tag(broker: OKXBroker, loopback: Loopback) -> None:
    path = f"{V5}/trade/cancel-all-after"
    loopback.on(path, answer({"triggerTime": "1587971460", "tag": "algotrendy", "ts": "1587971400"}))
    broker.arm_dead_man(60)
    assert loopback.to(path)[0].json == {"timeOut": "60", "tag": "algotrendy"}
    with pytest.raises(VerificationFailed, match="must be off"):
        broker.arm_dead_man(0)
    loopback.on(path, answer({"triggerTime": "0", "tag": "algotrendy", "ts": "1587971400"}))
    broker.arm_dead_man(0)
    with pytest.raises(VerificationFailed, match="must be on"):
        broker.arm_dead_man(60)
    loopback.on(path, answer({"triggerTime": "1587971460", "tag": "another", "ts": "1587971400"}))
    with pytest.raises(VerificationFailed, match="for tag 'another'"):
        broker.arm_dead_man(60)


@pytest.mark.parametrize("timeout_s", [9, 121, -1])
def test_bounds_of_the_dead_man_switch(broker: OKXBroker, loopback: Loopback, timeout_s: int) -> None:
    with pytest.raises(Unsupported, match="must be 10 to 120"):
        broker.arm_dead_man(timeout_s)
    assert loopback.requests == []


# -- orders -----------------------------------------------------------------------------------------------------
def test_an_order_is_found_by_either_id_in_one_request(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(order_row()))
    for wanted, query in (
        ({"client_order_id": ClientOrderId("a1b2")}, {"clOrdId": "a1b2"}),
        ({"venue_order_id": VenueOrderId("680800019749904001")}, {"ordId": "680800019749904001"}),
    ):
        found = broker.find_order(instrument_id=BTC, **wanted)  # type: ignore[arg-type]
        assert found is not None and found.client_order_id == ClientOrderId("a1b2")
        assert loopback.to(ORDER)[-1].query == {"instId": "BTC-USDT", **query}
    assert len(loopback.to(ORDER)) == 2


def test_an_order_that_is_over_is_looked_for_in_the_history(broker: OKXBroker, loopback: Loopback) -> None:
    old = order_row(state="filled", accFillSz="0.01")
    loopback.on(ORDER, answer(code="51603", msg="Order does not exist"))
    loopback.on(f"{V5}/trade/orders-history", paged("ordId", lambda: [old]))
    loopback.on(f"{V5}/trade/orders-history-archive", paged("ordId", lambda: [old]))
    by_ours = broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("a1b2"))
    by_theirs = broker.find_order(instrument_id=BTC, venue_order_id=VenueOrderId("680800019749904001"))
    assert by_ours == by_theirs and by_ours is not None
    (asked,) = loopback.to(f"{V5}/trade/orders-history-archive")
    assert asked.query == {"instType": "SPOT", "instId": "BTC-USDT", "after": "680800019749904002", "limit": "1"}
    assert broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("other")) is None
    assert broker.find_order(instrument_id=BTC, venue_order_id=VenueOrderId("680800019749904009")) is None


def test_an_answer_about_another_order_is_unreadable(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(ORDER, answer(order_row()))
    with pytest.raises(AnswerUnreadable, match="showed others"):
        broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("mine"))
    with pytest.raises(InvalidOrder, match="must be given"):
        broker.find_order(instrument_id=BTC)


@pytest.mark.parametrize(
    ("responder", "expected"),
    [
        (answer(code="50011", status=429), RateLimited),
        (answer(code="50026", status=500), VenueFaulted),
        (answer(code="77777"), AnswerUnreadable),
        (reply(200, "<html>"), AnswerUnreadable),
        (reply(200, '{"code":"0","data":null}'), AnswerUnreadable),
        (reply(200, '{"code":0,"data":[]}'), AnswerUnreadable),
        (reply(503, ""), VenueFaulted),
    ],
)
def test_a_failed_look_up_proves_nothing(
    broker: OKXBroker, loopback: Loopback, responder: Any, expected: type[BrokerError]
) -> None:
    loopback.on(ORDER, responder)
    with pytest.raises(expected):
        broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("a1b2"))


def test_open_orders_are_paged_by_id_over_the_whole_account(broker: OKXBroker, loopback: Loopback) -> None:
    rows = [order_row(ordId=str(1000 + number), clOrdId=f"c{number}") for number in range(249, -1, -1)]
    rows[0] |= {"instType": "FUTURES", "instId": "BTC-USDT-261225", "posSide": "long"}
    path = f"{V5}/trade/orders-pending"
    loopback.on(path, paged("ordId", lambda: rows))
    found = broker.open_orders()
    assert len(found) == 250 and found[0].instrument_id.value == "BTC-USDT-261225"
    assert [request.query.get("after") for request in loopback.to(path)] == [None, "1150", "1050"]


def test_pages_that_repeat_are_unreadable(broker: OKXBroker, loopback: Loopback) -> None:
    rows = [order_row(ordId=str(number)) for number in range(100, 0, -1)]
    loopback.on(f"{V5}/trade/orders-pending", answer(*rows))
    with pytest.raises(AnswerUnreadable, match="twice"):
        broker.open_orders()


def test_history_holds_what_was_created_in_the_window_and_is_over(broker: OKXBroker, loopback: Loopback) -> None:
    until, since = HOUR["until"], HOUR["since"]
    inside = order_row(ordId="5", state="filled", cTime=ms(since))
    late = order_row(ordId="6", state="filled", cTime=ms(until))
    early = order_row(ordId="4", state="canceled", cTime=ms(since - timedelta(milliseconds=1)))
    live = order_row(ordId="7", state="partially_filled", cTime=ms(since))
    swap = {**FILLED_SWAP, "ordId": "8", "cTime": ms(until - timedelta(milliseconds=1))}
    path = f"{V5}/trade/orders-history"
    loopback.on(path, paged("ordId", lambda: [swap, live, late, inside, early]))
    assert [order.venue_order_id.value for order in broker.order_history(**HOUR)] == ["5", "8"]
    asked = [request.query for request in loopback.to(path)]
    assert [query["instType"] for query in asked] == ["SWAP", "SPOT"] and {query["limit"] for query in asked} == {"100"}
    assert asked[0]["begin"] == str(epoch_ms(since) - 1) and asked[0]["end"] == str(epoch_ms(until) + 1)


def test_with_margin_on_spot_orders_are_looked_for_under_margin_too(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(f"{V5}/account/config", answer({**CONFIG_ROW, "acctLv": "3"}))
    row = order_row(ordId="5", instType="MARGIN", tdMode="cross", state="filled", cTime=ms(NOW - timedelta(minutes=5)))
    path = f"{V5}/trade/orders-history"
    loopback.on(path, paged("ordId", lambda: [row]))
    (found,) = broker.order_history(**HOUR)
    assert found.instrument_id == BTC
    assert [request.query["instType"] for request in loopback.to(path)] == ["SWAP", "SPOT", "MARGIN"]


def test_fills_go_by_the_time_of_the_match_and_are_paged_by_bill(broker: OKXBroker, loopback: Loopback) -> None:
    since, until = HOUR["since"], HOUR["until"]

    def fill(number: int, at: datetime, **changes: Any) -> dict[str, Any]:
        row = {**FILL_ROW, "instId": "BTC-USDT", "billId": str(1000 + number), "tradeId": str(9000 - number)}
        return {**row, "fillTime": ms(at), "ts": ms(at + timedelta(milliseconds=3)), **changes}

    rows = [fill(number, since + timedelta(seconds=number)) for number in range(150, -1, -1)]
    rows = [fill(900, until), *rows, fill(-1, since - timedelta(milliseconds=1))]
    path = f"{V5}/trade/fills"
    loopback.on(path, paged("billId", lambda: rows))
    found = broker.fills(**HOUR)
    assert len(found) == 151 and found[0].time == since and found == tuple(sorted(found, key=lambda item: item.time))
    spot = [request.query for request in loopback.to(path) if request.query["instType"] == "SPOT"]
    assert [query.get("after") for query in spot] == [None, "1052"]
    assert epoch_ms(until) < int(spot[0]["end"]) <= epoch_ms(until) + 60_001, "a record may be later than its match"
    broker.fills(**HOUR, instrument_id=SWAP)
    assert loopback.to(path)[-1].query["instId"] == "BTC-USDT-SWAP"


def test_one_trade_of_two_orders_is_unreadable(broker: OKXBroker, loopback: Loopback) -> None:
    row = {**FILL_ROW, "instId": "BTC-USDT", "fillTime": ms(NOW - timedelta(minutes=1))}
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: [row, {**row, "billId": "1", "ordId": "1"}]))
    with pytest.raises(AnswerUnreadable, match="one trade id must name one fill"):
        broker.fills(**HOUR, instrument_id=BTC)


def test_both_records_of_a_trade_that_turned_a_position_are_one_fill(broker: OKXBroker, loopback: Loopback) -> None:
    at = ms(NOW - timedelta(minutes=1))
    row = {**FILL_ROW, "instType": "SWAP", "instId": "BTC-USDT-SWAP", "feeCcy": "USDT", "fillTime": at, "ts": at}
    opened = {**row, "billId": "12", "subType": "3", "fillSz": "4", "fee": "-0.4"}
    closed = {**row, "billId": "11", "subType": "6", "fillSz": "5", "fee": "-0.5"}
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: [opened, closed]))
    loopback.on(f"{V5}/trade/fills-history", paged("billId", lambda: [opened, closed]))
    for since in (NOW - timedelta(hours=1), NOW - timedelta(days=5)):  # the second reads both lists
        (fill,) = broker.fills(since=since, until=NOW, instrument_id=SWAP)
        assert (fill.quantity, fill.fee, fill.fee_currency) == (Decimal(9), Decimal("0.9"), "USDT")
    pair = [{**row, "instType": "SPOT", "instId": "BTC-USDT"} for row in (opened, closed)]
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: pair))
    (fill,) = broker.fills(since=NOW - timedelta(hours=1), until=NOW, instrument_id=BTC)
    assert fill.quantity == Decimal(4), "a pair has no position to turn"
    loopback.on(f"{V5}/trade/fills", paged("billId", lambda: [opened, {**closed, "fillPx": "1"}]))
    with pytest.raises(AnswerUnreadable, match="two sides, prices or times"):
        broker.fills(since=NOW - timedelta(hours=1), until=NOW, instrument_id=SWAP)


@pytest.mark.parametrize(
    "responder", [answer(), answer(code="51400", msg="Cancellation failed"), answer(order_row(), order_row())]
)
def test_only_the_code_for_it_says_that_there_is_no_such_order(
    broker: OKXBroker, loopback: Loopback, responder: Responder
) -> None:
    loopback.on(ORDER, responder)
    loopback.on(f"{V5}/trade/orders-history", answer())
    with pytest.raises((AnswerUnreadable, OrderNotFound)):
        broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("a1b2"))


def test_bills_come_oldest_first_and_unknown_kinds_are_kept(broker: OKXBroker, loopback: Loopback) -> None:
    at = ms(NOW - timedelta(minutes=1))
    rows = [{**BILL_ROW, "billId": str(9 - number), "ts": at} for number in range(3)]
    rows[0] |= {"type": "999", "instId": "", "tradeId": "", "ordId": ""}
    rows.append({**BILL_ROW, "billId": "1", "ts": ms(NOW - timedelta(hours=2))})
    loopback.on(f"{V5}/account/bills", paged("billId", lambda: rows))
    found = broker.cash_events(**HOUR)
    assert [event.event_id for event in found] == ["7", "8", "9"]
    assert found[-1].kind.value == "unmapped" and found[-1].venue_kind == "999/1"
    assert found[0].trade_id is not None and found[0].trade_id.value == "BTC-USDT:586760148"


def test_one_bill_with_two_changes_is_unreadable(broker: OKXBroker, loopback: Loopback) -> None:
    row = {**BILL_ROW, "ts": ms(NOW - timedelta(minutes=1))}
    loopback.on(f"{V5}/account/bills", answer(row, {**row, "balChg": "1"}))
    with pytest.raises(AnswerUnreadable, match="one id must name one change"):
        broker.cash_events(**HOUR)


def test_a_bill_in_the_archive_and_in_the_recent_list_is_one_event(broker: OKXBroker, loopback: Loopback) -> None:
    old, new = ms(NOW - timedelta(days=20)), ms(NOW - timedelta(hours=1))
    rows = [{**BILL_ROW, "billId": "2", "ts": new}, {**BILL_ROW, "billId": "1", "ts": old}]
    loopback.on(f"{V5}/account/bills-archive", paged("billId", lambda: rows))
    loopback.on(f"{V5}/account/bills", paged("billId", lambda: rows[:1]))
    found = broker.cash_events(since=NOW - timedelta(days=30), until=NOW)
    assert [event.event_id for event in found] == ["1", "2"]


@pytest.mark.parametrize("kind", [history.ORDERS, history.FILLS, history.BILLS], ids=["orders", "fills", "bills"])
def test_recent_lists_and_archives_cover_every_window(kind: history.History) -> None:
    def paths(since: timedelta, until: timedelta) -> list[str]:
        found = list(history.stretches(kind, NOW - since, NOW - until, now=NOW))
        for _, bounds in found:
            assert int(bounds["begin"]) < int(bounds["end"])
        return [path for path, _ in found]

    assert paths(timedelta(hours=1), timedelta(0)) == [kind.recent]
    assert paths(timedelta(days=30), timedelta(0)) == [kind.archive, kind.recent]
    assert paths(timedelta(days=30), timedelta(days=20)) == [kind.archive]
    assert paths(kind.keeps, timedelta(0)) == [kind.archive, kind.recent], "what is about to leave the recent list"
    with pytest.raises(Unsupported, match="three months"):
        paths(timedelta(days=91), timedelta(0))
    with pytest.raises(Unsupported, match="until must not be before since"):
        paths(timedelta(0), timedelta(days=1))


# -- cancelling -------------------------------------------------------------------------------------------------
CANCEL = f"{V5}/trade/cancel-order"


def cancelled(code: str) -> Any:
    row = {"clOrdId": "a1b2", "ordId": "", "sCode": code, "sMsg": "words", "ts": "1695190491421"}
    return answer(row, code="0" if code == "0" else "1")


def test_a_cancellation_names_the_instrument_and_leaves_its_evidence(broker: OKXBroker, loopback: Loopback) -> None:
    loopback.on(CANCEL, cancelled("0"))
    record = broker.cancel(instrument_id=BTC, client_order_id=ClientOrderId("a1b2"))
    assert loopback.to(CANCEL)[0].json == {"instId": "BTC-USDT", "clOrdId": "a1b2"}
    assert record.status == 200 and b'"sCode": "0"' in record.response_body
    broker.cancel(instrument_id=BTC, venue_order_id=VenueOrderId("7"))
    assert loopback.to(CANCEL)[1].json == {"instId": "BTC-USDT", "ordId": "7"}


def test_orders_in_what_is_not_traded_here_are_found_and_cancelled(broker: OKXBroker, loopback: Loopback) -> None:
    """A kill cancels whatever is open, a person's future too."""
    future = order_row(instType="FUTURES", instId="BTC-USDT-261225", ordId="77", clOrdId="", posSide="long")
    loopback.on(f"{V5}/trade/orders-pending", paged("ordId", lambda: [future]))
    loopback.on(ORDER, answer(future))
    loopback.on(CANCEL, cancelled("0"))
    (order,) = broker.open_orders()
    where: dict[str, Any] = {"instrument_id": order.instrument_id, "venue_order_id": order.venue_order_id}
    assert broker.find_order(**where) == order
    broker.cancel(**where)
    assert loopback.to(CANCEL)[0].json == {"instId": "BTC-USDT-261225", "ordId": "77"}
    loopback.on(ORDER, answer(code="51603"))
    assert broker.find_order(**where) is None


@pytest.mark.parametrize(
    ("responder", "expected"),
    [
        (cancelled("51400"), OrderNotFound),
        (cancelled("51410"), OrderAlreadyDone),
        (cancelled("51412"), VenueFaulted),
        (cancelled("51403"), OrderInvalid),
        (cancelled("77777"), AnswerUnreadable),
        (answer(code="50011"), RateLimited),
        (answer(code="1", msg="All operations failed"), AnswerUnreadable),
        (answer({"clOrdId": "a1b2"}), AnswerUnreadable),
        (answer({"sCode": "0"}, {"sCode": "0"}), AnswerUnreadable),
        (answer({"sCode": "0"}, code="1"), AnswerUnreadable),
        (answer({"sCode": "51400", "sMsg": "gone"}), OrderNotFound),
    ],
)
def test_refused_cancellations(
    broker: OKXBroker, loopback: Loopback, responder: Any, expected: type[BrokerError]
) -> None:
    loopback.on(CANCEL, responder)
    loopback.on(f"{V5}/trade/cancel-algos", cancelled("51400"))
    with pytest.raises(expected):
        broker.cancel(instrument_id=BTC, client_order_id=ClientOrderId("a1b2"))


def test_a_reduction_reads_the_position_of_its_instrument(broker: OKXBroker, loopback: Loopback) -> None:
    held = {**POSITION_ROW, "instId": "BTC-USDT-SWAP", "posSide": "net", "pos": "3", "mgnMode": "isolated"}
    loopback.on(f"{V5}/account/positions", answer(held))
    terms = OrderRequest(
        instrument_id=SWAP, side=OrderSide.SELL, order_type=OrderType.MARKET, quantity=Decimal(1), reduce_only=True
    )
    prepared = broker.prepare_order(terms, ClientOrderId("a1b2"))
    assert '"tdMode":"isolated"' in prepared.payload and '"reduceOnly":true' in prepared.payload
    assert loopback.to(f"{V5}/account/positions")[0].query == {"instType": "SWAP", "instId": "BTC-USDT-SWAP"}


def test_the_offset_of_the_clock_goes_into_signatures(loopback: Loopback, broker: OKXBroker) -> None:
    clock = ManualClock(NOW)
    venue = NOW + timedelta(seconds=7)
    loopback.on(f"{V5}/public/time", answer({"ts": ms(venue)}))
    with open_broker(config_at(loopback.url), clock=clock) as own:
        assert own.clock_reading().offset == timedelta(seconds=7)
        own.positions()
    stamp = loopback.to(f"{V5}/account/positions")[0].headers["ok-access-timestamp"]
    assert stamp == f"{venue:%Y-%m-%dT%H:%M:%S}.000Z"


def test_bodies_of_reads_and_orders_on_one_path(broker: OKXBroker, loopback: Loopback) -> None:
    """GET and POST of one path are told apart: a look-up under a ticket never counts as the order."""
    loopback.on(ORDER, by_method(GET=answer(order_row()), POST=reply(200, body())))
    assert broker.find_order(instrument_id=BTC, client_order_id=ClientOrderId("a1b2")) is not None
    assert broker.order_requests_sent == 0
    assert [request.method for request in loopback.to(ORDER)] == ["GET"]
