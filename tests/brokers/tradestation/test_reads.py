"""The adapter over a scripted server: paths, pages, the clock, budgets, and what cannot be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import ManualClock, SystemClock
from brokers.errors import (
    AnswerUnreadable,
    BrokerError,
    EnvironmentMismatch,
    InstrumentUnknown,
    InvalidOrder,
    NotSent,
    OrderNotFound,
    RateLimited,
    Unsupported,
)
from brokers.factory import open_broker
from brokers.guard import Verb
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.tradestation.adapter import TradeStationBroker
from brokers.tradestation.client import classify
from brokers.tradestation.tokens import TokenStore
from brokers.tradestation.venue_time import VenueTime
from brokers.types import MarginMode, OrderRequest, OrderSide, OrderStatus, OrderType, PositionMode
from tests.brokers.loopback import Loopback, reply
from tests.brokers.tradestation.conftest import (
    ACCOUNTS_PATH,
    BALANCES_PATH,
    HISTORY_PATH,
    ORDERS_PATH,
    PLACE_PATH,
    POSITIONS_PATH,
    SCOPES,
    config_at,
    dated,
)
from tests.brokers.tradestation.recorded import (
    ACCOUNT,
    ACCOUNTS,
    BALANCE,
    MSFT_SYMBOL,
    ORDER,
    POSITION,
    QUOTE,
    body,
    open_row,
    order_row,
)

D = Decimal
MSFT = InstrumentId("MSFT")


# -- connection -------------------------------------------------------------------------------------------------
def test_connect_proves_the_account_the_rights_and_the_clock(broker: TradeStationBroker, loopback: Loopback) -> None:
    proof = broker.connect()
    assert (proof.venue_account, proof.host, proof.margin_mode) == (ACCOUNT, loopback.url, MarginMode.CROSS)
    assert (proof.can_trade, proof.can_withdraw, proof.permissions) == (True, False, SCOPES)
    assert proof.extra["account_type"] == "Margin" and proof.clock.error <= timedelta(seconds=0.5)
    assert loopback.requests[0].headers["authorization"] == "Bearer access-token-of-the-tests-1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"venue_account": "999"}, "not among the accounts .*123456782, 210FUT"),
        ({"venue_account": "210FUT", "products": frozenset({"equity"})}, "Futures account: it does not trade equity"),
        ({"products": frozenset({"future"})}, "Margin account: it does not trade future"),
    ],
)
def test_an_account_that_does_not_belong_is_refused(
    loopback: Loopback, store: TokenStore, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    loopback.on(ACCOUNTS_PATH, dated(ACCOUNTS))
    config = config_at(loopback.url, tmp_path, **changes)
    with open_broker(config, clock=SystemClock()) as opened, pytest.raises(EnvironmentMismatch, match=words):
        opened.connect()


@pytest.mark.parametrize(
    ("account", "number", "is_right"),
    [
        ("tradestation.testnet.main", "SIM123456M", True),
        ("tradestation.testnet.main", "123456782", False),
        ("tradestation.production.main", "123456782", True),
        ("tradestation.production.main", "SIM123456M", False),
    ],
)
def test_the_number_of_an_account_tells_its_environment(
    tmp_path: Path, account: str, number: str, is_right: bool
) -> None:
    config = config_at("", tmp_path, account_id=AccountId.parse(account), venue_account=number)
    if is_right:
        open_broker(config, clock=SystemClock()).close()
        return
    with pytest.raises(EnvironmentMismatch, match="SIM"):
        open_broker(config, clock=SystemClock())


def test_the_account_must_be_named_and_tokens_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentMismatch, match="venue_account"):
        open_broker(config_at("http://127.0.0.1:9", tmp_path, venue_account=""), clock=SystemClock())
    with pytest.raises(EnvironmentMismatch, match="ALGOTRENDY_SECRETS"):
        open_broker(config_at("http://127.0.0.1:9", tmp_path, secrets_folder=None), clock=SystemClock())


def test_two_accounts_of_one_key_have_fingerprints_of_their_own(tmp_path: Path) -> None:
    one, two = (config_at("", tmp_path, venue_account=number) for number in ("1", "2"))
    assert one.key_fingerprint != two.key_fingerprint and len(one.key_fingerprint) == 16


# -- the clock --------------------------------------------------------------------------------------------------
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def answers(time: VenueTime, clock: ManualClock, *, ahead_s: float, at_s: list[float]) -> None:
    for moment in at_s:
        clock.advance(START + timedelta(seconds=moment) - clock.now())
        venue = clock.now() + timedelta(seconds=ahead_s)
        header = venue.strftime("%a, %d %b %Y %H:%M:%S GMT")
        time.observe(header, sent_at=clock.now(), received_at=clock.now())


def test_dates_at_different_parts_of_a_second_narrow_the_offset() -> None:
    clock = ManualClock(START)
    time = VenueTime(clock)
    with pytest.raises(AnswerUnreadable, match="Date"):
        time.reading()
    answers(time, clock, ahead_s=0.2, at_s=[0.0])
    first = time.reading()
    assert first.error == timedelta(seconds=0.5) and first.offset == timedelta(seconds=0.5)  # between 0 and 1
    answers(time, clock, ahead_s=0.2, at_s=[0.3, 0.6, 0.9])
    found = time.reading()  # 0.9 + 0.2 shows the next second: at least 0.1 ahead; 0.6 does not: less than 0.4
    assert found.offset == timedelta(seconds=0.25) and found.error == timedelta(seconds=0.15)
    assert found.venue_time == clock.now() + found.offset


def test_a_clock_that_was_set_starts_the_count_again() -> None:
    clock = ManualClock(START)
    time = VenueTime(clock)
    answers(time, clock, ahead_s=0.2, at_s=[0.0, 0.3, 0.6, 0.9])
    answers(time, clock, ahead_s=30.0, at_s=[1.2])
    assert abs(time.reading().offset - timedelta(seconds=30)) <= timedelta(seconds=1)
    time.observe("yesterday", sent_at=clock.now(), received_at=clock.now())
    assert time.offset > timedelta(seconds=29)


def test_a_reading_asks_until_the_bound_is_small(broker: TradeStationBroker, loopback: Loopback) -> None:
    reading = broker.clock_reading()
    assert reading.error <= timedelta(seconds=0.4) and abs(reading.offset) < timedelta(seconds=0.5)
    first = len(loopback.to(ACCOUNTS_PATH))
    assert first <= 4
    broker.clock_reading()
    assert len(loopback.to(ACCOUNTS_PATH)) == first + 1, "what earlier answers told still counts"


# -- reads ------------------------------------------------------------------------------------------------------
def test_balances_margin_and_positions(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(BALANCES_PATH, dated(body("Balances", BALANCE)))
    loopback.on(POSITIONS_PATH, dated(body("Positions", POSITION)))
    (cash,) = broker.balances()
    assert (cash.currency, cash.total) == ("USD", D("39735538.661"))
    assert broker.margin_health().equity == D("39893233.6211")
    (position,) = broker.positions()
    assert (position.instrument_id, position.quantity) == (MSFT, 10)


@pytest.mark.parametrize("path", [BALANCES_PATH, POSITIONS_PATH, ORDERS_PATH])
def test_an_error_of_the_account_within_200_is_no_empty_answer(
    broker: TradeStationBroker, loopback: Loopback, path: str
) -> None:
    wrong = {"AccountID": ACCOUNT, "Error": "Forbidden", "Message": "Request not supported for account type."}
    loopback.on(path, dated(body("Balances", errors=(wrong,))))
    read = {BALANCES_PATH: broker.balances, POSITIONS_PATH: broker.positions, ORDERS_PATH: broker.open_orders}[path]
    with pytest.raises(BrokerError, match="not supported for account type"):
        read()


def test_rows_of_another_account_are_not_believed(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(POSITIONS_PATH, dated(body("Positions", {**POSITION, "AccountID": "999"})))
    with pytest.raises(AnswerUnreadable, match="999"):
        broker.positions()
    loopback.on(BALANCES_PATH, dated(body("Balances", BALANCE, BALANCE)))
    with pytest.raises(AnswerUnreadable, match="2 times"):
        broker.balances()


def test_quotes_come_in_the_order_asked(broker: TradeStationBroker, loopback: Loopback) -> None:
    aapl = {**MSFT_SYMBOL, "Symbol": "AAPL", "Root": "AAPL"}
    loopback.on("/v3/marketdata/symbols/AAPL,MSFT", dated(body("Symbols", MSFT_SYMBOL, aapl)))
    loopback.on("/v3/marketdata/quotes/AAPL,MSFT", dated(body("Quotes", QUOTE, {**QUOTE, "Symbol": "AAPL"})))
    loopback.on("/v3/marketdata/quotes/MSFT", dated(body("Quotes")))
    before = datetime.now(UTC)
    found = broker.quotes([InstrumentId("AAPL"), MSFT])
    assert [quote.instrument_id.value for quote in found] == ["AAPL", "MSFT"]
    whole = timedelta(seconds=1)  # the venue dates its answers in whole seconds
    assert before - whole <= found[0].time <= datetime.now(UTC) + whole
    with pytest.raises(AnswerUnreadable, match="MSFT"):
        broker.quotes([MSFT])


def test_symbols_that_are_not_listed(broker: TradeStationBroker, loopback: Loopback) -> None:
    bad = {"Symbol": "NOPE", "Error": "FAILED, INVALID SYMBOL"}
    loopback.on("/v3/marketdata/symbols/NOPE", dated(body("Symbols", errors=(bad,))))
    with pytest.raises(InstrumentUnknown, match="NOPE"):
        broker.instruments([InstrumentId("NOPE")])
    with pytest.raises(Unsupported, match="list of all"):
        broker.instruments()
    assert broker.instruments([MSFT]) == broker.instruments([MSFT])
    assert len(loopback.to("/v3/marketdata/symbols/MSFT")) == 1, "known for an hour"


def test_pages_of_orders_are_read_to_the_end(broker: TradeStationBroker, loopback: Loopback) -> None:
    def page(request: Any, sock: Any) -> bool:
        token = request.query.get("nextToken", "")
        rows = {"": (open_row(OrderID="1"), "p2"), "p2": (open_row(OrderID="2"), "p3"), "p3": (ORDER, "")}[token]
        more = {"NextToken": rows[1]} if rows[1] else {}
        return dated(body("Orders", rows[0], **more))(request, sock)

    loopback.on(ORDERS_PATH, page)
    assert [order.venue_order_id.value for order in broker.open_orders()] == ["1", "2"]
    assert loopback.to(ORDERS_PATH)[0].query["pageSize"] == "600"


def window() -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"since": now - timedelta(hours=1), "until": now + timedelta(seconds=2)}


def stamp(**ago: float) -> str:
    return (datetime.now(UTC) - timedelta(**ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_history_joins_the_lists_of_today_and_of_the_past(broker: TradeStationBroker, loopback: Loopback) -> None:
    recent = order_row(OrderID="2", OpenedDateTime=stamp(minutes=20), ClosedDateTime=stamp(minutes=10))
    older = order_row(OrderID="1", OpenedDateTime=stamp(minutes=40), ClosedDateTime=stamp(minutes=39))
    before = order_row(OrderID="0", OpenedDateTime=stamp(hours=5), ClosedDateTime=stamp(minutes=5))
    loopback.on(ORDERS_PATH, dated(body("Orders", recent, open_row(OrderID="3", OpenedDateTime=stamp(minutes=1)))))
    loopback.on(HISTORY_PATH, dated(body("Orders", older, recent, before)))
    assert [order.venue_order_id.value for order in broker.order_history(**window())] == ["1", "2"]
    fills = broker.fills(**window())
    assert [fill.trade_id.value for fill in fills] == ["1:10", "2:10", "0:10"], "by the time of the fill"
    asked = [request.query["since"] for request in loopback.to(HISTORY_PATH)]
    days = [(datetime.now(UTC).date() - datetime.fromisoformat(day).date()).days for day in asked]
    assert days[0] in (1, 2) and days[1] == 90, "an order of the past may have been filled in the window"
    assert [fill.trade_id.value for fill in broker.fills(**window(), instrument_id=InstrumentId("AAPL"))] == []
    with pytest.raises(Unsupported, match="90 days"):
        broker.order_history(since=datetime.now(UTC) - timedelta(days=91), until=datetime.now(UTC))


def test_what_an_open_order_has_filled_is_no_fill_yet(broker: TradeStationBroker, loopback: Loopback) -> None:
    partly = open_row(Status="FPR", leg={"ExecQuantity": "4"}, FilledPrice="210.00", OpenedDateTime=stamp(minutes=1))
    done = order_row(
        OrderID="9", Status="FLP", leg={"ExecQuantity": "4"}, OpenedDateTime=stamp(minutes=3),
        ClosedDateTime=stamp(minutes=2),
    )  # fmt: skip
    loopback.on(ORDERS_PATH, dated(body("Orders", partly, done)))
    (fill,) = broker.fills(**window())
    assert (fill.trade_id.value, fill.quantity, fill.price) == ("9:4", 4, D("216.68"))
    (order,) = broker.open_orders()
    assert (order.status, order.filled_quantity) == (OrderStatus.PARTIALLY_FILLED, 4)


def test_looking_for_one_order(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(ORDERS_PATH, dated(body("Orders", open_row(OrderID="7"))))
    loopback.on(f"{HISTORY_PATH}/8", dated(body("Orders", order_row(OrderID="8"))))
    none = {"OrderID": "9", "Error": "Not Found", "Message": "Invalid order ID."}
    loopback.on(f"{HISTORY_PATH}/9", dated(body("Orders", errors=(none,))))
    found = [broker.find_order(instrument_id=MSFT, venue_order_id=VenueOrderId(key)) for key in ("7", "8", "9")]
    assert [order and order.venue_order_id.value for order in found] == ["7", "8", None]
    assert len(loopback.to(ORDERS_PATH)) == 1, "one list for all look-ups of a moment"
    with pytest.raises(Unsupported, match="OrderConfirmID"):
        broker.find_order(instrument_id=MSFT, client_order_id=ClientOrderId("x"))


def test_looks_are_fewer_where_the_budget_runs_low(loopback: Loopback, store: TokenStore, tmp_path: Path) -> None:
    clock = ManualClock(datetime.now(UTC))
    left = {"X_RateLimit_Remaining": "10", "X_RateLimit_Reset": "40"}
    loopback.on(ORDERS_PATH, dated(body("Orders", open_row(OrderID="7")), **left))
    with open_broker(config_at(loopback.url, tmp_path), clock=clock) as opened:
        for _ in range(30):  # half a minute at a look each second
            opened.find_order(instrument_id=MSFT, venue_order_id=VenueOrderId("7"))
            clock.advance(timedelta(seconds=1))
    assert len(loopback.to(ORDERS_PATH)) <= 5, "40 s for 10 requests: one in 4 s, and half of that is left to others"


def test_a_rate_limit_says_when_to_ask_again(broker: TradeStationBroker, loopback: Loopback) -> None:
    words = '{"Error":"TooManyRequests","Message":"Rate limit exceeded"}'
    loopback.on(POSITIONS_PATH, dated(words, status=429, X_RateLimit_Reset="12"))
    with pytest.raises(RateLimited) as caught:
        broker.positions()
    assert caught.value.retry_after_s == 12.0


# -- what cannot be done ----------------------------------------------------------------------------------------
UNSUPPORTED: dict[str, Any] = {
    "cash_events": lambda b: b.cash_events(**window()),
    "leverage": lambda b: b.leverage(MSFT),
    "set_leverage": lambda b: b.set_leverage(MSFT, D(2)),
    "set_position_mode": lambda b: b.set_position_mode(MSFT, PositionMode.HEDGE),
    "profit_and_loss": lambda b: b.profit_and_loss(),
    "arm_dead_man": lambda b: b.arm_dead_man(30),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_the_venue_has_not_says_so_without_a_request(
    broker: TradeStationBroker, loopback: Loopback, name: str
) -> None:
    with pytest.raises(Unsupported):
        UNSUPPORTED[name](broker)
    assert loopback.requests == []


@pytest.mark.parametrize(
    ("method", "path", "verb"),
    [
        ("GET", "/v3/brokerage/accounts/1/orders", Verb.READ),
        ("GET", "/v3/marketdata/quotes/MSFT", Verb.READ),
        ("POST", PLACE_PATH, Verb.ORDER),
        ("DELETE", f"{PLACE_PATH}/1", Verb.WRITE),
        ("PUT", f"{PLACE_PATH}/1", Verb.FORBIDDEN),
        ("POST", f"{PLACE_PATH}/", Verb.FORBIDDEN),
        ("POST", "/v3/orderexecution/ordergroups", Verb.FORBIDDEN),
        ("POST", "/v3/orderexecution/orderconfirm", Verb.FORBIDDEN),
        ("POST", "/oauth/token", Verb.FORBIDDEN),
        ("GET", "/v2/data/symbols/search", Verb.FORBIDDEN),
        ("DELETE", PLACE_PATH, Verb.FORBIDDEN),
    ],
)
def test_only_what_is_needed_may_leave(method: str, path: str, verb: Verb) -> None:
    assert classify(method, path) is verb


# -- preparing and cancelling -----------------------------------------------------------------------------------
OUR_ID = ClientOrderId("0aB1cD2eF3gH4iJ5kL6mN7")


def request_for(symbol: str, side: OrderSide = OrderSide.SELL) -> OrderRequest:
    return OrderRequest(instrument_id=InstrumentId(symbol), side=side, order_type=OrderType.MARKET, quantity=D(5))


def test_the_position_decides_the_action_as_the_order_is_prepared(
    broker: TradeStationBroker, loopback: Loopback
) -> None:
    assert '"TradeAction":"SELLSHORT"' in broker.prepare_order(request_for("MSFT"), OUR_ID).payload
    loopback.on(POSITIONS_PATH, dated(body("Positions", POSITION)))
    assert '"TradeAction":"SELL"' in broker.prepare_order(request_for("MSFT"), OUR_ID).payload


def test_an_account_trades_shares_or_futures_never_both(broker: TradeStationBroker) -> None:
    with pytest.raises(InvalidOrder, match="Margin account"):
        broker.prepare_order(request_for("MESZ6"), OUR_ID)


def test_cancel_by_the_venues_id_only(broker: TradeStationBroker, loopback: Loopback) -> None:
    loopback.on(f"{PLACE_PATH}/7", dated({"Message": "Cancel request sent", "OrderID": "7"}))
    record = broker.cancel(instrument_id=MSFT, client_order_id=OUR_ID, venue_order_id=VenueOrderId("7"))
    assert (record.method, record.status) == ("DELETE", 200)
    with pytest.raises(OrderNotFound):
        broker.cancel(instrument_id=MSFT, client_order_id=OUR_ID)
    loopback.on(f"{PLACE_PATH}/7", reply(200, "{}"))
    with pytest.raises(AnswerUnreadable):
        broker.cancel(instrument_id=MSFT, venue_order_id=VenueOrderId("7"))


def test_a_closed_broker_sends_nothing_and_says_so(broker: TradeStationBroker, loopback: Loopback) -> None:
    broker.close()
    with pytest.raises(NotSent, match="closed"):
        broker.positions()
    assert loopback.requests == []
