"""The adapter's reads and settings on a scripted server: what is asked, in how many requests, and what is believed."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from brokers.binance.adapter import BinanceBroker
from brokers.binance.client import COUNTDOWN, KEY_RIGHTS
from brokers.binance.paging import windows
from brokers.clock import SystemClock, epoch_ms
from brokers.config import AccountConfig
from brokers.errors import (
    AnswerUnreadable,
    AuthenticationRefused,
    BrokerError,
    EnvironmentMismatch,
    InstrumentUnknown,
    InvalidOrder,
    OrderInvalid,
    OrderNotFound,
    PermissionRefused,
    Unsupported,
    VenueFaulted,
    VerificationFailed,
)
from brokers.factory import open_broker
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import (
    CashEventKind,
    MarginMode,
    OrderRequest,
    OrderSide,
    OrderType,
    PositionMode,
    ProductKind,
)
from tests.brokers.binance.conftest import LINEAR, SPOT, config_at, opened, refuses, says
from tests.brokers.binance.recorded import (
    ALGO_ORDER,
    COMMISSION_INCOME,
    FUTURES_ACCOUNT,
    FUTURES_BALANCE,
    FUTURES_POSITION,
    FUTURES_SHARED,
    FUTURES_TRADE,
    SPOT_ACCOUNT,
    SPOT_TRADE,
    SYMBOL_CONFIG,
    TRANSFER_INCOME,
    futures_order,
    spot_order,
)
from tests.brokers.loopback import API_KEY, API_SECRET, Loopback, Request, reply

ACCOUNT, FUTURES = "/api/v3/account", "/fapi/v2/account"
SPOT_ORDER, FUTURES_ORDER = "/api/v3/order", "/fapi/v1/order"
OURS = ClientOrderId("at-1")


def private(venue: Loopback) -> list[Request]:
    """What was asked of the account: all but time, prices and lists of instruments."""
    return [request for request in venue.requests if "signature" in request.target + request.body.decode()]


# -- what is sent -----------------------------------------------------------------------------------------------
def test_a_read_is_signed_over_exactly_what_is_sent(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ACCOUNT, says(SPOT_ACCOUNT))
    venue.on(FUTURES, says(FUTURES_ACCOUNT))
    broker.balances()
    (request,) = venue.to(ACCOUNT)
    text, _, signature = request.target.partition("?")[2].partition("&signature=")
    assert hmac.new(API_SECRET.encode(), text.encode(), hashlib.sha256).hexdigest() == signature
    names = [name for name, _ in parse_qsl(text)]
    assert names == ["omitZeroBalances", "recvWindow", "timestamp"] and "omitZeroBalances=true" in text
    assert request.headers["x-mbx-apikey"] == API_KEY and request.body == b""
    assert "recvWindow=5000&" in text, "the SDK's own window of ten seconds must not come back"
    assert "signature" not in (venue.to("/api/v3/time") or [request])[0].target or not venue.to("/api/v3/time")


def test_a_cancellation_is_a_form_in_the_body(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(SPOT_ORDER, says(spot_order(status="CANCELED", clientOrderId="x", origClientOrderId="at-1")))
    record = broker.cancel(instrument_id=SPOT, client_order_id=OURS)
    (request,) = venue.to(SPOT_ORDER)
    assert (request.method, request.target) == ("DELETE", SPOT_ORDER)
    assert request.body.startswith(b"origClientOrderId=at-1&symbol=BTCUSDT&recvWindow=5000&timestamp=")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert b"signature=***" in record.request_body and record.status == 200


# -- connection -------------------------------------------------------------------------------------------------
def test_connect_proves_both_products(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ACCOUNT, says(SPOT_ACCOUNT))
    venue.on(FUTURES, says(FUTURES_ACCOUNT))
    proof = broker.connect()
    assert (proof.venue_account, proof.host, proof.margin_mode) == ("365859102", venue.url, MarginMode.CROSS)
    assert proof.can_trade and proof.permissions == ("FUTURES", "SPOT") and API_KEY not in repr(proof)
    assert not proof.can_withdraw and proof.extra["withdrawals"] == "there is nothing to withdraw here"
    assert "of the account" in proof.extra["rights"] and proof.extra["multi_assets_margin"] == "false"
    assert abs(proof.clock.offset) < timedelta(seconds=1)


def test_an_account_of_futures_alone_is_named_by_its_alias(venue: Loopback) -> None:
    venue.on(FUTURES, says({**FUTURES_ACCOUNT, "canTrade": False}))
    venue.on("/fapi/v3/balance", says([FUTURES_BALANCE]))
    with opened(venue.url, products=frozenset({ProductKind.LINEAR}), instruments=(LINEAR,)) as broker:
        proof = broker.connect()
        assert (proof.venue_account, proof.can_trade) == ("futures-SgsR", False)
        assert broker.capabilities.cash_events
    assert venue.to(ACCOUNT) == [] and venue.to("/api/v3/time") == []


def test_an_account_of_spot_alone_asks_futures_nothing(venue: Loopback) -> None:
    venue.on(ACCOUNT, says(SPOT_ACCOUNT))
    with opened(venue.url, products=frozenset({ProductKind.SPOT}), instruments=(SPOT,)) as broker:
        assert broker.connect().margin_mode is MarginMode.CASH
        assert broker.positions() == () and not broker.capabilities.cash_events
    assert not any("/fapi" in request.path for request in venue.requests)


@pytest.mark.parametrize(
    ("stated", "account", "may", "words"),
    [
        (False, True, True, "not ruled out"),
        (True, True, False, "owner's statement"),
        (False, False, False, "the account may not"),
    ],
)
def test_a_production_key_counts_as_one_that_may_withdraw_until_its_owner_states_otherwise(
    monkeypatch: pytest.MonkeyPatch, stated: bool, account: bool, may: bool, words: str
) -> None:
    """Where the host serves no key's rights: the account's `canWithdraw` is no word about the key."""
    config = AccountConfig(
        account_id=AccountId.parse("binance.production.main"),
        api_key=config_at("").api_key,
        api_secret=config_at("").api_secret,
        products=frozenset({ProductKind.SPOT}),
        instruments=(SPOT,),
        key_cannot_withdraw=stated,
    )
    broker = open_broker(config, clock=SystemClock())
    assert isinstance(broker, BinanceBroker)
    monkeypatch.setattr(broker._client, "get_server_time", lambda: {"serverTime": epoch_ms(datetime.now(UTC))})
    monkeypatch.setattr(broker._client, "get_account", lambda **_: {**SPOT_ACCOUNT, "canWithdraw": account})
    monkeypatch.setattr(broker._client, "get_account_api_permissions", not_served)
    proof = broker.connect()
    assert proof.can_withdraw is may and words in proof.extra["withdrawals"]


def not_served() -> None:
    raise OrderInvalid("Binance answered HTTP 404", code="404")


@pytest.mark.parametrize(
    ("rights", "may", "words"),
    [
        ({}, False, "may not, as Binance shows it"),
        ({"enableWithdrawals": True}, True, "the key may"),
        ({"enableInternalTransfer": True}, True, "the key may"),
        ({"permitsUniversalTransfer": True}, False, "may not"),  # between wallets of one account
    ],
)
def test_what_a_key_may_is_read_where_the_host_shows_it_and_no_statement_outweighs_it(
    venue: Loopback, rights: dict[str, bool], may: bool, words: str
) -> None:
    venue.on("/api/v3/account", says(SPOT_ACCOUNT))
    venue.on(KEY_RIGHTS, says({**RIGHTS, **rights}))
    config = {"products": frozenset({ProductKind.SPOT}), "instruments": (SPOT,), "key_cannot_withdraw": True}
    with opened(venue.url, **config) as broker:
        proof = broker.connect()
    assert proof.can_withdraw is may and words in proof.extra["withdrawals"] and proof.can_trade
    assert proof.extra["rights"] == "of the key"


def test_a_key_without_the_right_of_a_product_does_not_trade_and_a_right_that_is_not_told_is_no_absent_one(
    venue: Loopback,
) -> None:
    venue.on("/api/v3/account", says(SPOT_ACCOUNT))
    venue.on(KEY_RIGHTS, says({**RIGHTS, "enableSpotAndMarginTrading": False}))
    with opened(venue.url, products=frozenset({ProductKind.SPOT}), instruments=(SPOT,)) as broker:
        assert not broker.connect().can_trade
        for broken in ({**RIGHTS, "enableWithdrawals": "false"}, {"enableReading": True}, []):
            venue.on(KEY_RIGHTS, says(broken))
            with pytest.raises(AnswerUnreadable):
                broker.connect()
        venue.on(KEY_RIGHTS, says({"code": -1000, "msg": "busy"}, 500))
        with pytest.raises(VenueFaulted):
            broker.connect()


RIGHTS = {
    "ipRestrict": True,
    "createTime": 1698645219000,
    "enableReading": True,
    "enableWithdrawals": False,
    "enableInternalTransfer": False,
    "enableMargin": False,
    "enableFutures": True,
    "permitsUniversalTransfer": False,
    "enableVanillaOptions": False,
    "enableSpotAndMarginTrading": True,
}


@pytest.mark.parametrize(
    ("spot", "futures", "error", "words"),
    [
        (
            refuses(-2015, "Invalid API-key, IP, or permissions for action.", 401),
            None,
            AuthenticationRefused,
            "keys of their own; else the key is bound to other IP addresses",
        ),
        (refuses(-2008, "Invalid Api-Key ID.", 401), None, EnvironmentMismatch, "keys of their own"),
        (refuses(-2014, "API-key format invalid.", 401), None, AuthenticationRefused, "paste it again"),
        (
            says(SPOT_ACCOUNT),
            refuses(-2015, "Invalid API-key, IP, or permissions for action", 401),
            PermissionRefused,
            "lacks the right",
        ),
        (refuses(-1022, "Signature for this request is not valid."), None, AuthenticationRefused, "secret"),
        (reply(503, "<html>"), None, VenueFaulted, "503"),
    ],
)
def test_connect_says_what_a_refused_key_may_mean(
    broker: BinanceBroker, venue: Loopback, spot: Any, futures: Any, error: type[BrokerError], words: str
) -> None:
    venue.on(ACCOUNT, spot)
    venue.on(FUTURES, futures or says(FUTURES_ACCOUNT))
    with pytest.raises(error, match=words):
        broker.connect()


def test_an_instrument_must_be_of_a_product_that_is_configured(venue: Loopback) -> None:
    with pytest.raises(EnvironmentMismatch, match=r"name BTC/USDT:USDT, which is linear; its products are spot"):
        opened(venue.url, products=frozenset({ProductKind.SPOT}))


# -- requests per operation -------------------------------------------------------------------------------------
def test_quotes_of_many_symbols_are_two_requests_per_product(broker: BinanceBroker, venue: Loopback) -> None:
    for prefix, version in (("/api/v3", "/api/v3"), ("/fapi/v1", "/fapi/v2")):
        book = {"symbol": "BTCUSDT", "bidPrice": "1", "askPrice": "2", "time": 1739781831932}
        venue.on(f"{prefix}/ticker/bookTicker", says(book))
        venue.on(f"{version}/ticker/price", says({"symbol": "BTCUSDT", "price": "1.5"}))
    found = broker.quotes([LINEAR, SPOT])
    assert [quote.instrument_id for quote in found] == [LINEAR, SPOT] and found[0].last == Decimal("1.5")
    asked = [request.target for request in venue.requests if "ticker" in request.path]
    assert sorted(asked) == [
        "/api/v3/ticker/bookTicker?symbol=BTCUSDT",
        "/api/v3/ticker/price?symbol=BTCUSDT",
        "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT",
        "/fapi/v2/ticker/price?symbol=BTCUSDT",
    ]


def test_a_quote_that_is_not_shown_is_not_made_up(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on("/api/v3/ticker/bookTicker", says([]))
    venue.on("/api/v3/ticker/price", says([{"symbol": "BTCUSDT", "price": "1"}]))
    with pytest.raises(AnswerUnreadable, match="do not show BTC/USDT"):
        broker.quotes([SPOT])


def test_instruments_are_read_once_an_hour_and_one_alone_by_its_symbol(broker: BinanceBroker, venue: Loopback) -> None:
    assert str(broker.instruments([SPOT])[0].instrument_id) == "BTC/USDT"
    broker.instruments([SPOT])
    (asked,) = venue.to("/api/v3/exchangeInfo")
    assert asked.target.endswith("?symbol=BTCUSDT")
    with pytest.raises(InstrumentUnknown, match="lists no ETH/USDT"):
        broker.instruments([InstrumentId("ETH/USDT")])
    with pytest.raises(InstrumentUnknown, match="lists no ETH/USDT"):
        broker.instruments([SPOT, InstrumentId("ETH/USDT"), InstrumentId("SOL/USDT")])
    assert venue.to("/api/v3/exchangeInfo")[2].target.endswith("?showPermissionSets=false"), "several: the whole list"
    assert len(broker.instruments()) == 2
    with pytest.raises(InstrumentUnknown, match="BTC/USDT:USDT"):
        broker.instruments([InstrumentId("ETH/USDT:USDT")])


def test_balances_are_one_request_per_product(broker: BinanceBroker, venue: Loopback) -> None:
    wallet = [*SPOT_ACCOUNT["balances"], {"asset": "USDT", "free": "100.0", "locked": "1.0"}]
    venue.on(ACCOUNT, says({**SPOT_ACCOUNT, "balances": wallet}))
    venue.on(FUTURES, says(FUTURES_ACCOUNT))
    found = {balance.currency: balance for balance in broker.balances()}
    assert set(found) == {"LTC", "USDT"} and found["USDT"].total == Decimal("124.72469206")
    assert found["USDT"].available is None, "neither wallet can spend the other's money"
    assert found["LTC"].available == Decimal("0.919741")
    assert len(private(venue)) == 2


def test_a_shared_pool_is_never_given_as_one_coins_money(venue: Loopback) -> None:
    venue.on(FUTURES, says(FUTURES_SHARED))
    with opened(venue.url, products=frozenset({ProductKind.LINEAR}), instruments=(LINEAR,)) as broker:
        assert [(b.currency, b.available) for b in broker.balances()] == [("USDT", None)]
        assert broker.margin_health().available == Decimal("18.65949928")
        venue.on(FUTURES, says({name: value for name, value in FUTURES_SHARED.items() if name != "multiAssetsMargin"}))
        with pytest.raises(AnswerUnreadable, match="multiAssetsMargin"):
            broker.balances()


def test_margin_values_spot_at_last_prices(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on(ACCOUNT, says(SPOT_ACCOUNT))
    venue.on(FUTURES, says(FUTURES_ACCOUNT))
    venue.on("/api/v3/ticker/price", says([{"symbol": "LTCUSDT", "price": "100"}, {"symbol": "LTCBTC", "price": "9"}]))
    found = broker.margin_health()
    assert (found.equity, found.available) == (Decimal("116.9741"), Decimal("20.72469206"))
    assert len(venue.requests) == 3


def test_positions_read_the_leverage_only_where_something_is_held(broker: BinanceBroker, venue: Loopback) -> None:
    flat = {**FUTURES_POSITION, "positionAmt": "0.000"}
    venue.on("/fapi/v3/positionRisk", says([flat]), says([FUTURES_POSITION, flat]))
    venue.on("/fapi/v1/symbolConfig", says([SYMBOL_CONFIG]))
    assert broker.positions() == () and len(private(venue)) == 1
    (found,) = broker.positions()
    assert (found.leverage, found.quantity) == (21, Decimal("0.009")) and len(private(venue)) == 3


# -- settings ---------------------------------------------------------------------------------------------------
def settings(venue: Loopback, *, leverage: int = 21, margin: str = "CROSSED", hedge: bool = False) -> None:
    venue.on("/fapi/v1/symbolConfig", says([{**SYMBOL_CONFIG, "leverage": leverage, "marginType": margin}]))
    venue.on("/fapi/v1/positionSide/dual", says({"dualSidePosition": hedge}))


def test_settings_are_written_and_read_back(broker: BinanceBroker, venue: Loopback) -> None:
    settings(venue, leverage=5, margin="ISOLATED")
    venue.on("/fapi/v1/leverage", says({"leverage": 5, "symbol": "BTCUSDT", "maxNotionalValue": "1"}))
    venue.on(
        "/fapi/v1/marginType", says({"code": 200, "msg": "success"}), refuses(-4046, "No need to change margin type.")
    )
    assert broker.set_leverage(LINEAR, Decimal(5)).long_leverage == 5
    assert venue.to("/fapi/v1/leverage")[0].body.startswith(b"leverage=5&symbol=BTCUSDT&recvWindow=")
    for _ in range(2):  # the second answer says that it was so already
        assert broker.set_margin_mode(LINEAR, MarginMode.ISOLATED).margin_mode is MarginMode.ISOLATED
    assert venue.to("/fapi/v1/marginType")[0].body.startswith(b"marginType=ISOLATED&symbol=BTCUSDT&")
    assert broker.leverage(LINEAR).position_mode is PositionMode.ONE_WAY


def test_a_position_mode_that_was_so_already_is_success(broker: BinanceBroker, venue: Loopback) -> None:
    settings(venue, hedge=True)
    venue.on(
        "/fapi/v1/positionSide/dual",
        refuses(-4059, "No need to change position side."),
        says({"dualSidePosition": True}),
    )
    assert broker.set_position_mode(LINEAR, PositionMode.HEDGE).position_mode is PositionMode.HEDGE
    assert venue.to("/fapi/v1/positionSide/dual")[0].body.startswith(b"dualSidePosition=true&recvWindow=")


def test_what_reads_back_otherwise_is_not_believed(broker: BinanceBroker, venue: Loopback) -> None:
    settings(venue)
    for path in ("leverage", "marginType"):
        venue.on(f"/fapi/v1/{path}", says({"code": 200, "msg": "success"}))
    with pytest.raises(VerificationFailed, match="must read 5 after setting it, was 21"):
        broker.set_leverage(LINEAR, Decimal(5))
    with pytest.raises(VerificationFailed, match="must read isolated after setting it, was cross"):
        broker.set_margin_mode(LINEAR, MarginMode.ISOLATED)
    venue.on("/fapi/v1/positionSide/dual", says({"code": 200, "msg": "success"}), says({"dualSidePosition": False}))
    with pytest.raises(VerificationFailed, match="must read hedge after setting it, was one_way"):
        broker.set_position_mode(LINEAR, PositionMode.HEDGE)


def test_settings_that_cannot_be(broker: BinanceBroker, venue: Loopback) -> None:
    for leverage in ("0", "-1", "2.5", "NaN"):
        with pytest.raises(InvalidOrder, match="whole number"):
            broker.set_leverage(LINEAR, Decimal(leverage))
    with pytest.raises(Unsupported, match="cross or isolated, was portfolio"):
        broker.set_margin_mode(LINEAR, MarginMode.PORTFOLIO)
    for call in (broker.leverage, lambda key: broker.set_leverage(key, Decimal(1))):
        with pytest.raises(Unsupported, match="BTC/USDT is spot"):
            call(SPOT)
    with pytest.raises(Unsupported, match="dead_man_may_cancel_all_orders"):
        broker.arm_dead_man(10)
    with pytest.raises(Unsupported, match="realised profit of no instrument"):
        broker.profit_and_loss()
    assert private(venue) == []


COUNTED = {"symbol": "BTCUSDT", "countdownTime": "30000"}


def agreed(venue: Loopback) -> BinanceBroker:
    broker = opened(venue.url, dead_man_may_cancel_all_orders=True)
    venue.on(COUNTDOWN, says(COUNTED))
    return broker


def test_a_countdown_is_a_form_of_symbol_and_milliseconds(venue: Loopback) -> None:
    with agreed(venue) as broker:
        assert broker.arm_dead_man(30, instrument_id=LINEAR)
        (request,) = venue.to(COUNTDOWN)
        assert request.method == "POST" and request.body.startswith(b"countdownTime=30000&symbol=BTCUSDT&recvWindow=")
        for timeout_s in (9, 86_401, -1):
            with pytest.raises(Unsupported, match=f"must be 10 to 86400, or 0 for none, was {timeout_s}"):
                broker.arm_dead_man(timeout_s, instrument_id=LINEAR)
        with pytest.raises(Unsupported, match="Binance has none for spot orders"):
            broker.arm_dead_man(30, instrument_id=SPOT)
        with pytest.raises(InvalidOrder, match="counts down one symbol at a time"):
            broker.arm_dead_man(30)
        assert len(venue.to(COUNTDOWN)) == 1


@pytest.mark.parametrize("answer", [{"symbol": "ETHUSDT"}, {"countdownTime": "0"}, {"countdownTime": ""}])
def test_a_countdown_counts_as_wound_by_the_answer_alone(venue: Loopback, answer: dict[str, str]) -> None:
    with agreed(venue) as broker:
        venue.on(COUNTDOWN, says({**COUNTED, **answer}))
        with pytest.raises(VerificationFailed, match="the countdown of BTCUSDT must read 30000 ms"):
            broker.arm_dead_man(30, instrument_id=LINEAR)


def test_an_account_of_spot_alone_has_no_switch(venue: Loopback) -> None:
    terms = {"dead_man_may_cancel_all_orders": True, "products": frozenset({ProductKind.SPOT}), "instruments": (SPOT,)}
    with opened(venue.url, **terms) as broker, pytest.raises(Unsupported, match="the account trades spot alone"):
        broker.arm_dead_man(30, instrument_id=SPOT)


# -- look-ups ---------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("instrument_id", "path", "row"), [(SPOT, SPOT_ORDER, spot_order()), (LINEAR, FUTURES_ORDER, futures_order())]
)
def test_an_order_is_found_by_either_id_in_one_request(
    broker: BinanceBroker, venue: Loopback, instrument_id: InstrumentId, path: str, row: dict[str, Any]
) -> None:
    venue.on(path, says(row))
    by_ours = broker.find_order(instrument_id=instrument_id, client_order_id=OURS)
    assert by_ours is not None and by_ours.client_order_id == OURS
    assert broker.find_order(instrument_id=instrument_id, venue_order_id=by_ours.venue_order_id) == by_ours
    assert [request.query.get("orderId") for request in venue.to(path)] == [None, "28"]
    assert venue.to(path)[0].query["origClientOrderId"] == "at-1"


def test_an_order_in_what_is_no_longer_listed_is_found(broker: BinanceBroker, venue: Loopback) -> None:
    """Its instrument cannot be read; an open intent must come to its end all the same."""
    gone = InstrumentId("LTC/USDT")
    venue.on(SPOT_ORDER, says(spot_order(symbol="LTCUSDT")))
    found = broker.find_order(instrument_id=gone, client_order_id=OURS)
    assert found is not None and found.instrument_id == gone
    assert venue.to(SPOT_ORDER)[0].query["symbol"] == "LTCUSDT"
    with pytest.raises(InstrumentUnknown):
        broker.find_order(instrument_id=InstrumentId("LTC"), client_order_id=OURS)
    with pytest.raises(InstrumentUnknown):
        broker.leverage(InstrumentId("LTC/USDT:USDT"))


def test_absence_is_the_venues_own_word_and_an_archived_order_is_not_absent(
    broker: BinanceBroker, venue: Loopback
) -> None:
    archived = "Order was canceled or expired with no executed qty over 90 days ago and has been archived."
    venue.on(SPOT_ORDER, refuses(-2013, "Order does not exist."), refuses(-2026, archived), reply(404, "not here"))
    assert broker.find_order(instrument_id=SPOT, client_order_id=OURS) is None
    with pytest.raises(OrderNotFound, match="archived"):
        broker.find_order(instrument_id=SPOT, client_order_id=OURS)
    with pytest.raises(BrokerError):
        broker.find_order(instrument_id=SPOT, client_order_id=OURS)
    with pytest.raises(InvalidOrder, match="both were absent"):
        broker.find_order(instrument_id=SPOT)


@pytest.mark.parametrize("change", [{"clientOrderId": "another"}, {"symbol": "ETHUSDT"}])
def test_an_answer_about_another_order_is_not_believed(
    broker: BinanceBroker, venue: Loopback, change: dict[str, Any]
) -> None:
    venue.on(SPOT_ORDER, says(spot_order(**change)))
    with pytest.raises(AnswerUnreadable, match="the venue showed another"):
        broker.find_order(instrument_id=SPOT, client_order_id=OURS)


def test_an_order_id_of_another_symbol_is_never_asked_for(broker: BinanceBroker, venue: Loopback) -> None:
    with pytest.raises(InvalidOrder, match="must read spot:BTCUSDT:NUMBER"):
        broker.cancel(instrument_id=SPOT, venue_order_id=VenueOrderId("linear:BTCUSDT:28"))
    assert private(venue) == []


def test_open_orders_are_read_whole_also_outside_of_the_list(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on("/api/v3/openOrders", says([spot_order(), spot_order(symbol="ETHUSDT")]))
    venue.on("/fapi/v1/openOrders", says([futures_order(), futures_order(orderId=29, symbol="SOLUSDT")]))
    venue.on("/fapi/v1/openAlgoOrders", says([ALGO_ORDER, {**ALGO_ORDER, "algoId": 1, "algoStatus": "TRIGGERED"}]))
    found = sorted(str(order.venue_order_id) for order in broker.open_orders())
    assert found == [
        "algo:BNBUSDT:2148627",
        "linear:BTCUSDT:28",
        "linear:SOLUSDT:29",
        "spot:BTCUSDT:28",
        "spot:ETHUSDT:28",
    ]
    assert len(private(venue)) == 3 and all("symbol" not in request.query for request in private(venue))


def test_a_conditional_order_of_somebody_else_is_looked_up_and_cancelled_by_its_own_number(
    broker: BinanceBroker, venue: Loopback
) -> None:
    row = {**ALGO_ORDER, "symbol": "BTCUSDT"}
    venue.on("/fapi/v1/algoOrder", says(row), refuses(-2013, "Order does not exist."), says({**row, "algoId": 5}))
    theirs = VenueOrderId("algo:BTCUSDT:2148627")
    found = broker.find_order(instrument_id=LINEAR, venue_order_id=theirs)
    assert found is not None and found.venue_order_id == theirs
    assert broker.find_order(instrument_id=LINEAR, venue_order_id=theirs) is None
    with pytest.raises(AnswerUnreadable, match="showed another"):
        broker.find_order(instrument_id=LINEAR, venue_order_id=theirs)
    venue.on("/fapi/v1/algoOrder", says({"algoId": 2148627, "code": "200", "msg": "success"}))
    assert broker.cancel(instrument_id=LINEAR, venue_order_id=theirs).status == 200
    sent = venue.to("/fapi/v1/algoOrder")[-1]
    assert sent.method == "DELETE" and sent.body.startswith(b"algoId=2148627&recvWindow=")
    with pytest.raises(InvalidOrder, match="conditional order in BTC/USDT must read"):
        broker.cancel(instrument_id=SPOT, venue_order_id=theirs)


# -- histories --------------------------------------------------------------------------------------------------
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=10)


def at(**delta: int) -> int:
    return epoch_ms(START + timedelta(**delta))


def test_windows_cover_the_time_without_a_gap_or_an_overlap() -> None:
    now, until = START + timedelta(days=20), START + timedelta(days=2, seconds=1)
    spot = list(windows(ProductKind.SPOT, START, until, now=now))
    assert spot == [(at(), at(days=1) - 1), (at(days=1), at(days=2) - 1), (at(days=2), at(days=2, seconds=1) - 1)]
    assert list(windows(ProductKind.LINEAR, START, until, now=now)) == [(at(), at(days=2, seconds=1) - 1)]
    assert list(windows(ProductKind.SPOT, START, START, now=now)) == []
    within, later = START + timedelta(microseconds=1), START + timedelta(milliseconds=2)
    assert list(windows(ProductKind.SPOT, within, later, now=now)) == [(at() + 1, at() + 1)], "no row before since"
    assert list(windows(ProductKind.SPOT, within, START + timedelta(milliseconds=1), now=now)) == []
    with pytest.raises(Unsupported, match="before since"):
        list(windows(ProductKind.SPOT, until, START, now=now))
    with pytest.raises(Unsupported, match="90 days"):
        list(windows(ProductKind.LINEAR, START, until, now=START + timedelta(days=91)))


def serving(rows: list[dict[str, Any]], size: int, *, latest: bool = False) -> Any:
    """The venue's lists: rows of the window, oldest first, the first or the latest `size` of them."""

    def send(request: Request, sock: Any) -> bool:
        start, end = int(request.query["startTime"]), int(request.query["endTime"])
        found = [row for row in rows if start <= row["time"] <= end]
        return says(found[-size:] if latest else found[:size])(request, sock)

    return send


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("brokers.binance.paging.PAGE_SIZE", 3)
    return 3


def test_fills_of_each_listed_instrument_are_paged_to_the_end(
    broker: BinanceBroker, venue: Loopback, small_pages: int
) -> None:
    trades = [{**SPOT_TRADE, "symbol": "BTCUSDT", "id": n, "time": at(seconds=n // 2)} for n in range(8)]
    venue.on("/api/v3/myTrades", serving(trades, small_pages))
    venue.on("/fapi/v1/userTrades", serving([{**FUTURES_TRADE, "time": at(hours=30)}], small_pages))
    venue.on("/fapi/v1/order", says(futures_order(orderId=FUTURES_TRADE["orderId"], status="FILLED")))
    found = broker.fills(since=START, until=START + timedelta(hours=48))
    assert [fill.trade_id.value.rsplit(":")[2] for fill in found] == [*map(str, range(8)), "272536245"]
    assert len(venue.to("/fapi/v1/userTrades")) == 1
    assert all("fromId" not in request.query for request in venue.requests), "it cannot be combined with times"
    only = broker.fills(since=START, until=START + timedelta(hours=48), instrument_id=LINEAR)
    assert len(only) == 1
    assert len(venue.to("/fapi/v1/order")) == 1, "whose an order of the engine is does not change"


@pytest.mark.parametrize("latest", [False, True], ids=["first", "latest"])
def test_no_row_is_lost_whichever_end_of_a_window_a_full_page_shows(
    broker: BinanceBroker, venue: Loopback, small_pages: int, latest: bool
) -> None:
    rows = [
        {**futures_order(), "symbol": "BTCUSDT", "orderId": n, "time": at(seconds=n // 2), "status": "CANCELED"}
        for n in range(1, 12)
    ]
    venue.on("/api/v3/allOrders", says([]))
    venue.on("/fapi/v1/allAlgoOrders", says([]))
    venue.on("/fapi/v1/allOrders", serving(rows, small_pages, latest=latest))
    found = broker.order_history(since=START, until=START + timedelta(hours=1))
    assert {order.venue_order_id.value for order in found} == {f"linear:BTCUSDT:{n}" for n in range(1, 12)}


def test_more_rows_of_one_millisecond_than_a_page_holds_are_not_passed_over(
    broker: BinanceBroker, venue: Loopback, small_pages: int
) -> None:
    trades = [{**SPOT_TRADE, "symbol": "BTCUSDT", "id": n, "time": at(seconds=1)} for n in range(5)]
    venue.on("/api/v3/myTrades", serving(trades, small_pages))
    with pytest.raises(AnswerUnreadable, match="may not be all of them"):
        broker.fills(since=START, until=START + timedelta(hours=1), instrument_id=SPOT)


def test_a_listed_instrument_that_was_delisted_has_a_past_and_one_that_never_was_is_named(venue: Loopback) -> None:
    venue.on("/api/v3/myTrades", serving([{**SPOT_TRADE, "time": at(hours=1)}], 1000))
    gone = InstrumentId("LTC/USDT")
    with opened(venue.url, instruments=(gone,)) as broker:
        (fill,) = broker.fills(since=START, until=START + timedelta(hours=2))
        assert fill.instrument_id == gone
        venue.on("/api/v3/myTrades", refuses(-1121, "Invalid symbol."))
        with pytest.raises(InstrumentUnknown, match="Invalid symbol"):
            broker.fills(since=START, until=START + timedelta(hours=2))


def test_a_trade_of_another_symbol_is_not_believed(broker: BinanceBroker, venue: Loopback) -> None:
    venue.on("/api/v3/myTrades", serving([{**SPOT_TRADE, "time": at(hours=1)}], 1000))
    with pytest.raises(AnswerUnreadable, match="asked for BTCUSDT, the venue showed 'LTCUSDT' too"):
        broker.fills(since=START, until=START + timedelta(hours=2), instrument_id=SPOT)


def test_history_holds_what_is_over_and_was_created_in_the_window(broker: BinanceBroker, venue: Loopback) -> None:
    rows = [
        spot_order(orderId=1, status="FILLED", time=at(hours=1)),
        spot_order(orderId=2, status="NEW", time=at(hours=2)),
        spot_order(orderId=3, status="CANCELED", time=at(hours=23)),
    ]
    venue.on("/api/v3/allOrders", says(rows))
    venue.on("/fapi/v1/allAlgoOrders", says([]))
    venue.on("/fapi/v1/allOrders", says([futures_order(status="EXPIRED", time=at(minutes=1))]))
    found = broker.order_history(since=START, until=START + timedelta(hours=12))
    assert [str(order.venue_order_id) for order in found] == ["linear:BTCUSDT:28", "spot:BTCUSDT:1"]


def test_wallet_changes_are_those_of_futures_and_only_where_there_is_nothing_else(venue: Loopback) -> None:
    rows = [
        {**COMMISSION_INCOME, "time": at(hours=2)},
        {**COMMISSION_INCOME, "incomeType": "REALIZED_PNL", "income": "5", "time": at(hours=1)},
    ]
    venue.on("/fapi/v1/income", serving(rows, 1000))
    window = {"since": START, "until": START + timedelta(days=1)}
    with opened(venue.url, products=frozenset({ProductKind.LINEAR}), instruments=(LINEAR,)) as futures:
        found = futures.cash_events(**window)
    assert [(event.venue_kind, event.amount, event.kind) for event in found] == [
        ("REALIZED_PNL", 5, CashEventKind.TRADE),
        ("COMMISSION", Decimal("-0.01"), CashEventKind.TRADE),
    ]
    with opened(venue.url) as both:
        assert not both.capabilities.cash_events
        with pytest.raises(Unsupported, match="/sapi"):
            both.cash_events(**window)
    with opened(venue.url, products=frozenset({ProductKind.SPOT}), instruments=(SPOT,)) as spot:
        assert spot.partial_cash_events(**window) == () and not spot.capabilities.cash_event_products


@pytest.mark.parametrize("minutes", [120, 121])
def test_two_changes_under_one_id_are_never_read_as_one(venue: Loopback, minutes: int) -> None:
    rows = [
        {**COMMISSION_INCOME, "time": at(minutes=minutes)},
        {**COMMISSION_INCOME, "income": "-0.02", "time": at(hours=2)},
    ]
    venue.on("/fapi/v1/income", serving(rows, 1000))
    futures = opened(venue.url, products=frozenset({ProductKind.LINEAR}), instruments=(LINEAR,))
    with futures as broker, pytest.raises(AnswerUnreadable, match="one id must name one change"):
        broker.cash_events(since=START, until=START + timedelta(days=1))


def test_a_transfer_between_both_wallets_of_an_account_is_told_with_both_sides(venue: Loopback) -> None:
    rows = [{**TRANSFER_INCOME, "time": at(hours=1)}, {**COMMISSION_INCOME, "time": at(hours=2)}]
    venue.on("/fapi/v1/income", serving(rows, 1000))
    window = {"since": START, "until": START + timedelta(days=1)}
    with opened(venue.url) as both:
        assert not both.capabilities.cash_events and both.capabilities.explains_balances
        there, here, commission = both.partial_cash_events(**window)
    assert (there.kind, there.amount, there.amount + here.amount) == (CashEventKind.TRANSFER, Decimal("-0.375"), 0)
    assert here.event_id == f"{there.event_id}:spot" and commission.amount == Decimal("-0.01")
    with opened(venue.url, products=frozenset({ProductKind.LINEAR}), instruments=(LINEAR,)) as futures:
        assert len(futures.cash_events(**window)) == 2, "alone it did move money"


# -- orders -----------------------------------------------------------------------------------------------------
def test_an_order_outside_of_the_list_is_refused_before_anything_is_asked(
    broker: BinanceBroker, venue: Loopback
) -> None:
    request = OrderRequest(
        instrument_id=InstrumentId("ETH/USDT"), side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal(1)
    )
    with pytest.raises(InvalidOrder, match=r"must be among the instruments of binance.simulated.main"):
        broker.prepare_order(request, OURS)
    assert venue.requests == []


def test_identity_is_among_open_orders_on_both_products(broker: BinanceBroker) -> None:
    for key in (SPOT, LINEAR):
        identity = broker.identity(key)
        assert (identity.id_scope, identity.deadline_s_max, identity.fills_carry_client_id) == ("open_only", 5, False)
    assert broker.identity(LINEAR).lookup_window_unfilled_s == 3 * 86_400
