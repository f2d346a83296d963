"""Each read of the port on a scripted server: what is asked for, how often, and what comes of the answer."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from pydantic import SecretStr

from brokers.alpaca.adapter import AlpacaBroker
from brokers.alpaca.paging import written
from brokers.clock import SystemClock
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    InstrumentUnknown,
    InvalidOrder,
    OrderAlreadyDone,
    OrderNotFound,
    OutcomeUnknown,
    PermissionRefused,
    RateLimited,
    Unsupported,
    VenueFaulted,
    VenueUnavailable,
)
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import CashEventKind, MarginMode, PositionMode, ProductKind, TimeInForce
from tests.brokers.alpaca import recorded
from tests.brokers.alpaca.conftest import ACTIVITIES, BY_CLIENT_ID, FILLS, ONE_ORDER, ORDERS, config_at, says, serve
from tests.brokers.loopback import Loopback, Request, drop, reply

AAPL, BTC = InstrumentId("AAPL"), InstrumentId("BTC/USD")
OUR_ID, THEIR_ID = ClientOrderId("at-0001"), VenueOrderId(recorded.ORDER["id"])
DAY = datetime(2026, 3, 2, tzinfo=UTC)
D = Decimal


def asked(request: Request) -> dict[str, str]:
    return {name: unquote(value) for name, value in request.query.items()}


def refusal(status: int, code: int | None, text: str) -> Any:
    return reply(status, recorded.error(code, text))


# -- connection ---------------------------------------------------------------------------------------------------
def test_the_proof_of_an_account(broker: AlpacaBroker, loopback: Loopback) -> None:
    proof = broker.connect()
    assert (proof.venue_account, proof.host) == ("PA3ZV9XXXX7Q", loopback.url)
    assert proof.can_trade and not proof.can_withdraw and proof.margin_mode == "cross"
    assert proof.extra["withdrawals"] == "this environment has none" and proof.extra["multiplier"] == "4"
    assert [request.path for request in loopback.requests] == ["/v2/clock", "/v2/account"]
    for request in loopback.requests:
        assert request.headers["apca-api-key-id"] and request.headers["apca-api-secret-key"]


def test_the_clock_and_the_calendar(broker: AlpacaBroker, loopback: Loopback) -> None:
    before = datetime.now(UTC)
    reading = broker.clock_reading()
    venue_time = datetime(2026, 3, 2, 11, 0, 0, 123456, tzinfo=UTC)
    assert reading.venue_time == venue_time and reading.error >= timedelta(0)
    assert abs(reading.offset - (venue_time - before)) < timedelta(seconds=5)
    assert not broker.market_clock().is_open
    loopback.on("/v2/calendar", says([recorded.HALF_DAY]))
    (day,) = broker.trading_days(first=date(2026, 11, 27), last=date(2026, 11, 27))
    assert day.closes_at == datetime(2026, 11, 27, 18, 0, tzinfo=UTC)
    assert asked(loopback.to("/v2/calendar")[0]) == {"start": "2026-11-27", "end": "2026-11-27"}


@pytest.mark.parametrize(
    ("environment", "key", "number", "is_refused"),
    [
        ("testnet", "PKABC", "PA3ZV9XXXX7Q", False),
        ("testnet", "PKABC", "903412345", True),
        ("testnet", "AKABC", "PA3ZV9XXXX7Q", True),
        ("production", "AKABC", "903412345", False),
        ("production", "AKABC", "PA3ZV9XXXX7Q", True),
        ("production", "PKABC", "903412345", True),
    ],
)
def test_key_and_account_number_must_belong_to_the_environment(
    loopback: Loopback, environment: str, key: str, number: str, is_refused: bool
) -> None:
    serve(loopback)
    loopback.on("/v2/account", says({**recorded.ACCOUNT, "account_number": number}))
    loopback.on("/v2/wallets/whitelists", says([]))
    config = config_at(
        loopback.url, account_id=AccountId.parse(f"alpaca.{environment}.main"), api_key=SecretStr(f"{key}0000000000")
    )
    if not is_refused:
        assert AlpacaBroker(config, base_url=loopback.url, clock=SystemClock()).connect().venue_account == number
        return
    with pytest.raises(EnvironmentMismatch):
        AlpacaBroker(config, base_url=loopback.url, clock=SystemClock()).connect()


@pytest.mark.parametrize(
    ("answer", "may", "note"),
    [
        (says([{"id": "w-1", "status": "APPROVED"}]), True, "remove these"),
        (says([{"id": "w-1", "status": "PENDING"}]), True, "remove these"),
        (says([{"id": "w-1", "status": "REJECTED"}]), False, "no address"),
        (says([]), False, "no address"),
        (refusal(404, 40410000, "not found"), False, "no crypto wallets"),
        (refusal(403, 40310000, "crypto transfers are not enabled"), False, "no crypto wallets"),
    ],
)
def test_coins_may_leave_to_approved_addresses_only(loopback: Loopback, answer: Any, may: bool, note: str) -> None:
    serve(loopback)
    loopback.on("/v2/account", says({**recorded.ACCOUNT, "account_number": "903412345"}))
    loopback.on("/v2/wallets/whitelists", answer)
    config = config_at(loopback.url, account_id=AccountId.parse("alpaca.production.main"))
    proof = AlpacaBroker(config, base_url=loopback.url, clock=SystemClock()).connect()
    assert proof.can_withdraw is may and note in proof.extra["withdrawals"]


def test_a_wrong_key_and_one_of_another_environment_answer_alike(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on("/v2/clock", refusal(401, None, "unauthorized."))
    with pytest.raises(AuthenticationRefused, match="paper and live have their own"):
        broker.connect()


# -- market data --------------------------------------------------------------------------------------------------
def test_instruments_are_read_once(broker: AlpacaBroker, loopback: Loopback) -> None:
    for _ in range(2):
        share, pair = broker.instruments([AAPL, BTC])
        assert (share.instrument_id, pair.instrument_id) == (AAPL, BTC)
    assert len(loopback.to("/v2/assets/AAPL")) == 1 and len(loopback.to("/v2/assets")) == 1
    assert asked(loopback.to("/v2/assets")[0]) == {"status": "active", "asset_class": "crypto"}
    assert share.lot_for(TimeInForce.DAY) < share.lot_size == 1


def test_many_shares_are_read_from_the_list(broker: AlpacaBroker, loopback: Loopback) -> None:
    names = [f"SHR{letter}" for letter in "ABCDEF"]
    listed = [{**recorded.AAPL_ASSET, "symbol": name} for name in names]
    loopback.on("/v2/assets", says(listed[:-1]))
    loopback.on("/v2/assets/SHRF", says({**listed[-1], "status": "inactive"}))  # not in the list of active ones
    found = broker.instruments([InstrumentId(name) for name in names])
    assert [item.is_trading for item in found] == [True] * 5 + [False]
    assert [request.path for request in loopback.requests] == ["/v2/assets", "/v2/assets/SHRF"]


def test_all_instruments(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on("/v2/assets", says([recorded.AAPL_ASSET]), says([recorded.BTC_ASSET]))
    assert {item.instrument_id for item in broker.instruments()} == {AAPL, BTC}
    assert len(loopback.requests) == 2


def test_what_is_not_listed(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on("/v2/assets/NONE", refusal(404, 40410000, "asset not found for NONE"))
    loopback.on("/v2/assets/XXXUSD", refusal(404, 40410000, "asset not found for XXXUSD"))
    for name in ("NONE", "XXX/USD"):
        with pytest.raises(InstrumentUnknown, match=f"Alpaca lists no {name}; shares read AAPL"):
            broker.instruments([InstrumentId(name)])
    loopback.on("/v2/assets/OPT", says({**recorded.AAPL_ASSET, "symbol": "OPT", "class": "us_option"}))
    with pytest.raises(InstrumentUnknown, match="us_option"):
        broker.instruments([InstrumentId("OPT")])
    loopback.on("/v2/assets/TWO", says(recorded.AAPL_ASSET))
    with pytest.raises(AnswerUnreadable, match="showed AAPL"):
        broker.instruments([InstrumentId("TWO")])


def test_a_product_that_the_account_does_not_trade(loopback: Loopback) -> None:
    serve(loopback)
    config = config_at(loopback.url, products=frozenset({ProductKind.EQUITY}))
    with pytest.raises(InstrumentUnknown, match="BTC/USD is spot, and the account trades equity"):
        AlpacaBroker(config, base_url=loopback.url, clock=SystemClock()).instruments([BTC])
    assert loopback.requests == []


def test_the_average_of_one_pairs_bar_does_not_take_the_quotes_of_all(broker: AlpacaBroker, loopback: Loopback) -> None:
    odd = '{"vw": 8.123456789012345e-06}'
    shown = recorded.body({"snapshots": {"BTC/USD": {**recorded.SNAPSHOT, "dailyBar": "ODD"}}}).replace('"ODD"', odd)
    loopback.on("/v1beta3/crypto/us/snapshots", reply(200, shown))
    (found,) = broker.quotes([BTC])
    assert found.last == Decimal("190.25")
    loopback.on("/v1beta3/crypto/us/snapshots", reply(200, shown.replace("190.3,", "8.123456789012345e-06,")))
    with pytest.raises(AnswerUnreadable, match="ap must have an exponent"):
        broker.quotes([BTC])


def test_quotes_of_fifty_symbols_cost_one_request_per_product(broker: AlpacaBroker, loopback: Loopback) -> None:
    shares = [InstrumentId(f"S{number:02d}") for number in range(48)]
    pairs = [BTC, InstrumentId("ETH/USD")]
    loopback.on("/v2/stocks/snapshots", says({key.value: recorded.SNAPSHOT for key in shares}))
    loopback.on("/v1beta3/crypto/us/snapshots", says({"snapshots": {key.value: recorded.SNAPSHOT for key in pairs}}))
    wanted = [*pairs, *shares]
    found = broker.quotes(wanted)
    assert [quote.instrument_id for quote in found] == wanted and found[0].bid == D("190.2")
    assert len(loopback.requests) == 2
    assert asked(loopback.to("/v1beta3/crypto/us/snapshots")[0])["symbols"] == "BTC/USD,ETH/USD"


def test_a_symbol_without_a_quote(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on("/v2/stocks/snapshots", says({"AAPL": None}))
    with pytest.raises(VenueUnavailable, match="AAPL has no quote now"):
        broker.quotes([AAPL])
    loopback.on("/v2/assets/NONE", refusal(404, 40410000, "asset not found for NONE"))
    with pytest.raises(InstrumentUnknown):
        broker.quotes([InstrumentId("NONE")])
    loopback.on("/v2/stocks/snapshots", refusal(403, 42210000, "subscription does not permit querying recent SIP data"))
    with pytest.raises(PermissionRefused):
        broker.quotes([AAPL])


# -- account ------------------------------------------------------------------------------------------------------
def test_shares_are_positions_and_coins_are_wallets(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on("/v2/positions", says([recorded.AAPL_POSITION, recorded.SHORT_POSITION, recorded.BTC_POSITION]))
    assert [(p.instrument_id.value, p.quantity) for p in broker.positions()] == [("AAPL", D(5)), ("MSFT", D(-3))]
    assert len(loopback.requests) == 1
    assert {b.currency: b.total for b in broker.balances()} == {"USD": D(100000), "BTC": D("0.052499211")}
    assert len(loopback.requests) == 3
    assert broker.margin_health().equity == D("103820.56")


def test_what_alpaca_has_not(broker: AlpacaBroker, loopback: Loopback) -> None:
    for call in (
        broker.profit_and_loss,
        lambda: broker.leverage(AAPL),
        lambda: broker.set_leverage(AAPL, D(2)),
        lambda: broker.set_position_mode(AAPL, PositionMode.HEDGE),
        lambda: broker.set_margin_mode(AAPL, MarginMode.CASH),
        lambda: broker.arm_dead_man(10),
    ):
        with pytest.raises(Unsupported):
            call()
    assert loopback.requests == []


# -- orders ---------------------------------------------------------------------------------------------------------
def test_an_order_is_found_by_either_id(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(BY_CLIENT_ID, says(recorded.ORDER))
    loopback.on(ONE_ORDER, says(recorded.ORDER))
    ours = broker.find_order(instrument_id=AAPL, client_order_id=OUR_ID, venue_order_id=THEIR_ID)
    theirs = broker.find_order(instrument_id=AAPL, venue_order_id=THEIR_ID)
    assert ours == theirs and ours is not None and ours.client_order_id == OUR_ID
    assert [request.path for request in loopback.requests] == [BY_CLIENT_ID, ONE_ORDER]
    assert asked(loopback.requests[0]) == {"client_order_id": "at-0001"}
    with pytest.raises(InvalidOrder, match="both were absent"):
        broker.find_order(instrument_id=AAPL)


def test_only_alpacas_own_word_makes_an_order_absent(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(BY_CLIENT_ID, refusal(404, 40410000, "order not found for at-0001"))
    assert broker.find_order(instrument_id=AAPL, client_order_id=OUR_ID) is None
    for answer, kind in (
        (reply(200, "null"), AnswerUnreadable),
        (reply(200, "[]"), AnswerUnreadable),
        (says({**recorded.ORDER, "client_order_id": "another"}), AnswerUnreadable),
        (says({**recorded.ORDER, "status": "brand_new"}), AnswerUnreadable),
        (refusal(500, 50010000, "internal server error occurred"), VenueFaulted),
        (refusal(429, 42910000, "rate limit exceeded"), RateLimited),
    ):
        loopback.on(BY_CLIENT_ID, answer)
        with pytest.raises(kind):
            broker.find_order(instrument_id=AAPL, client_order_id=OUR_ID)


def test_a_404_of_somebody_else_is_no_absence(broker: AlpacaBroker, loopback: Loopback) -> None:
    for answer in (reply(404, "<html>not here</html>"), reply(404, ""), refusal(404, None, "endpoint not found.")):
        loopback.on(BY_CLIENT_ID, answer)
        with pytest.raises(OutcomeUnknown):
            broker.find_order(instrument_id=AAPL, client_order_id=OUR_ID)


def numbered(number: int, **changes: Any) -> dict[str, Any]:
    created = written(DAY + timedelta(seconds=number // 3))  # three of one moment
    return {**recorded.ORDER, "id": f"id-{number:04d}", "submitted_at": created, "created_at": created, **changes}


def test_open_orders_are_read_to_the_end(broker: AlpacaBroker, loopback: Loopback) -> None:
    every = [numbered(number) for number in range(700)]

    def page(request: Request, sock: Any) -> bool:
        query = asked(request)
        assert (query["status"], query["limit"], query["direction"]) == ("open", "500", "asc")
        after = query.get("after", "")
        later = [row for row in every if not after or datetime.fromisoformat(row["submitted_at"]) > parse(after)]
        return says(later[:500])(request, sock)

    loopback.on(ORDERS, page)
    found = broker.open_orders()
    assert [order.venue_order_id.value for order in found] == [row["id"] for row in every]
    assert len(loopback.requests) == 2


def parse(text: str) -> datetime:
    return datetime.fromisoformat(text)


def test_a_list_that_cannot_be_read_to_its_end(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(ORDERS, says([numbered(0, id=f"id-{number}") for number in range(500)]))
    with pytest.raises(AnswerUnreadable, match="more than 500 orders of one moment"):
        broker.open_orders()
    loopback.on(FILLS, says([{**recorded.FILL, "id": f"f-{number}"} for number in range(100)]))
    with pytest.raises(AnswerUnreadable, match="page of activities after f-99 twice"):
        broker.fills(since=DAY, until=DAY + timedelta(days=1))


def test_one_unknown_status_spoils_the_list_and_is_named(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(ORDERS, says([numbered(0), numbered(1, status="brand_new")]))
    with pytest.raises(AnswerUnreadable, match="'brand_new' of order id-0001"):
        broker.open_orders()


def test_an_open_order_in_options_is_seen_and_can_be_cancelled(broker: AlpacaBroker, loopback: Loopback) -> None:
    option = {**numbered(1, asset_class="us_option", symbol="AAPL240621C00190000"), "id": recorded.ORDER["id"]}
    spread = {**numbered(2, asset_class="us_option", order_class="mleg"), "symbol": None}
    loopback.on(ORDERS, says([option, spread]))
    (found,) = broker.open_orders()
    assert found.instrument_id == InstrumentId("AAPL240621C00190000") and found.status.is_open
    loopback.on(ONE_ORDER, reply(204))
    broker.cancel(instrument_id=found.instrument_id, venue_order_id=found.venue_order_id)
    assert loopback.to(ONE_ORDER)[0].method == "DELETE"


def test_the_history_of_orders(broker: AlpacaBroker, loopback: Loopback) -> None:
    rows = [
        numbered(0, status="filled", filled_qty="2", filled_avg_price="190"),
        numbered(3, status="canceled"),
        numbered(6, status="pending_cancel"),  # not over
        numbered(9, status="filled", asset_class="us_option", symbol="AAPL240621C00190000"),
        numbered(30, status="expired"),  # created at the end of the window
        {**numbered(12, status="expired"), "created_at": written(DAY - timedelta(seconds=1))},
    ]
    loopback.on(ORDERS, says(rows))
    found = broker.order_history(since=DAY, until=DAY + timedelta(seconds=10))
    assert [order.venue_order_id.value for order in found] == ["id-0000", "id-0003"]
    query = asked(loopback.requests[0])
    assert query["status"] == "closed" and parse(query["after"]) < DAY and parse(query["until"]) > DAY
    with pytest.raises(Unsupported, match="until must not be before since"):
        broker.order_history(since=DAY, until=DAY - timedelta(seconds=1))


# -- fills and cash -------------------------------------------------------------------------------------------------
def fill_at(number: int, **changes: Any) -> dict[str, Any]:
    moment = written(DAY + timedelta(seconds=number))
    return {**recorded.FILL, "id": f"20260302::{number:04d}", "transaction_time": moment, **changes}


def test_fills_are_read_to_the_end(broker: AlpacaBroker, loopback: Loopback) -> None:
    every = [fill_at(number) for number in range(250)]

    def page(request: Request, sock: Any) -> bool:
        token = asked(request).get("page_token")
        start = next((n + 1 for n, row in enumerate(every) if row["id"] == token), 0)
        return says(every[start : start + 100])(request, sock)

    loopback.on(FILLS, page)
    found = broker.fills(since=DAY + timedelta(seconds=1), until=DAY + timedelta(seconds=249))
    assert [fill.trade_id.value for fill in found] == [f"{number:04d}" for number in range(1, 249)]
    assert [asked(request).get("page_token") for request in loopback.requests] == [
        None,
        every[99]["id"],
        every[199]["id"],
    ]


def test_fills_of_one_instrument_and_of_options(broker: AlpacaBroker, loopback: Loopback) -> None:
    rows = [fill_at(0), fill_at(1, symbol="BTC/USD"), fill_at(2, symbol="AAPL240621C00190000")]
    loopback.on(FILLS, says(rows))
    until = DAY + timedelta(days=1)
    assert [f.instrument_id for f in broker.fills(since=DAY, until=until)] == [InstrumentId("LPCN"), BTC]
    assert [f.instrument_id for f in broker.fills(since=DAY, until=until, instrument_id=BTC)] == [BTC]


def test_rows_that_are_shown_twice_count_once(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(FILLS, says([fill_at(0), fill_at(1), fill_at(0)]))
    assert len(broker.fills(since=DAY, until=DAY + timedelta(days=1))) == 2
    loopback.on(ORDERS, says([numbered(0), numbered(0)]))
    assert len(broker.open_orders()) == 1


def test_fees_count_when_they_were_posted(broker: AlpacaBroker, loopback: Loopback) -> None:
    """The fee is for the eighth and was posted on the ninth: it belongs to a window of the ninth."""
    trade = fill_at(0, transaction_time="2026-09-09T00:05:00Z", side="sell", qty="2", price="10")
    loopback.on(FILLS, says([trade]))
    loopback.on(ACTIVITIES, says([recorded.REG_FEE, trade]))
    since = datetime(2026, 9, 9, tzinfo=UTC)
    events = broker.cash_events(since=since, until=since + timedelta(hours=1))
    assert [(event.kind, event.currency, event.amount) for event in events] == [
        (CashEventKind.TRADE, "USD", D(20)),
        (CashEventKind.FEE, "USD", D("-3.82")),
    ]
    query = asked(loopback.to(ACTIVITIES)[0])
    assert query["category"] == "non_trade_activity" and parse(query["after"]) == since - timedelta(days=8)
    assert broker.cash_events(since=since - timedelta(days=1), until=since) == ()


# -- cancel -----------------------------------------------------------------------------------------------------------
def test_a_cancel_is_by_the_venues_id(broker: AlpacaBroker, loopback: Loopback) -> None:
    loopback.on(ONE_ORDER, reply(204))
    loopback.on(BY_CLIENT_ID, says(recorded.ORDER))
    record = broker.cancel(instrument_id=AAPL, client_order_id=OUR_ID, venue_order_id=THEIR_ID)
    assert record.status == 204 and [(r.method, r.path) for r in loopback.requests] == [("DELETE", ONE_ORDER)]
    broker.cancel(instrument_id=AAPL, client_order_id=OUR_ID)
    assert [r.path for r in loopback.requests[1:]] == [BY_CLIENT_ID, ONE_ORDER]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(422, 42210000, 'order is already in "filled" state'), OrderAlreadyDone),
        (refusal(404, 40410000, "order not found for x"), OrderNotFound),
        (reply(202, "{}"), AnswerUnreadable),
        (reply(200, "<html></html>"), AnswerUnreadable),
        (reply(503, ""), VenueFaulted),
    ],
)
def test_a_cancel_that_was_not_taken(
    broker: AlpacaBroker, loopback: Loopback, answer: Any, kind: type[BrokerError]
) -> None:
    loopback.on(ONE_ORDER, answer)
    with pytest.raises(kind):
        broker.cancel(instrument_id=AAPL, venue_order_id=THEIR_ID)


def test_a_read_is_asked_once_whatever_the_sdk_would_do(broker: AlpacaBroker, loopback: Loopback) -> None:
    for answer in (refusal(429, 42910000, "too many requests."), reply(504, ""), drop):
        loopback.on("/v2/account", answer)
        before = len(loopback.requests)
        with pytest.raises(BrokerError):
            broker.margin_health()
        assert len(loopback.requests) == before + 1
