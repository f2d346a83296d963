"""Recorded rows as values, each worked out by hand; odd rows say what is odd."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.alpaca import activities, fields, instruments, mapping, orders
from brokers.errors import AnswerUnreadable, VenueUnavailable
from brokers.ids import AccountId, ClientOrderId, InstrumentId
from brokers.types import (
    Balance,
    CashEventKind,
    MarginMode,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionSide,
    ProductKind,
    TimeInForce,
)
from tests.brokers.alpaca import recorded
from tests.brokers.loopback import NOW

ACCOUNT = AccountId.parse("alpaca.simulated.main")
D = Decimal


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


# -- balances, positions, margin ------------------------------------------------------------------------------
def test_dollars_and_coins() -> None:
    found = mapping.balances(
        recorded.ACCOUNT, [recorded.AAPL_POSITION, recorded.BTC_POSITION], account_id=ACCOUNT, time=NOW
    )
    assert found == (
        Balance(ACCOUNT, "USD", total=D("100000"), available=D("99800.25"), held=D("199.75"), time=NOW),
        Balance(ACCOUNT, "BTC", total=D("0.052499211"), available=D("0.05"), held=D("0.002499211"), time=NOW),
    )


def test_a_debit_and_an_account_that_says_less() -> None:
    row = {**recorded.ACCOUNT, "cash": "-23140.2", "non_marginable_buying_power": "0"}
    (debit,) = mapping.balances(row, [], account_id=ACCOUNT, time=NOW)
    assert (debit.total, debit.available, debit.held) == (D("-23140.2"), D(0), D(0))
    row = {**recorded.ACCOUNT, "non_marginable_buying_power": "250000"}  # counts what shares could be borrowed upon
    (lent,) = mapping.balances(row, [], account_id=ACCOUNT, time=NOW)
    assert (lent.total, lent.available, lent.held) == (D(100000), D(100000), D(0))
    row = {**recorded.ACCOUNT, "non_marginable_buying_power": None}
    (silent,) = mapping.balances(row, [], account_id=ACCOUNT, time=NOW)
    assert silent.available is None and silent.held == 0, "what the venue does not say is not worked out"
    assert mapping.balances({**row, "cash": "0"}, [], account_id=ACCOUNT, time=NOW) == ()
    with pytest.raises(AnswerUnreadable, match="cash must be a number, was empty"):
        mapping.balances({**row, "cash": ""}, [], account_id=ACCOUNT, time=NOW)
    with pytest.raises(AnswerUnreadable, match="held long"):
        mapping.coin({**recorded.BTC_POSITION, "qty": "-1"}, account_id=ACCOUNT, time=NOW)


def test_positions() -> None:
    long = mapping.position(recorded.AAPL_POSITION, account_id=ACCOUNT, time=NOW)
    assert (long.side, long.quantity, long.average_price, long.mark_price) == (PositionSide.LONG, D(5), D(100), D(120))
    assert (long.unrealised_pnl, long.realised_pnl, long.leverage) == (D(100), None, None)
    short = mapping.position(recorded.SHORT_POSITION, account_id=ACCOUNT, time=NOW)
    assert (short.side, short.quantity, short.mark_price) == (PositionSide.SHORT, D(-3), None)
    for changes in ({"qty": "3"}, {"side": "both"}, {"qty": "0"}, {"side": ""}, {"qty": None}):
        with pytest.raises(AnswerUnreadable):
            mapping.position({**recorded.SHORT_POSITION, **changes}, account_id=ACCOUNT, time=NOW)


def test_margin() -> None:
    found = mapping.margin_health(recorded.ACCOUNT, account_id=ACCOUNT, time=NOW)
    assert (found.currency, found.equity, found.available) == ("USD", D("103820.56"), D("262113.632"))
    assert (found.initial_margin, found.maintenance_margin) == (D("63480.38"), D("38088.228"))
    assert found.maintenance_ratio is not None
    assert round(found.maintenance_ratio, 6) == D("0.366866")  # 38088.228 / 103820.56
    assert mapping.margin_mode(recorded.ACCOUNT) is MarginMode.CROSS
    assert mapping.margin_mode({**recorded.ACCOUNT, "multiplier": "1"}) is MarginMode.CASH
    broke = mapping.margin_health({**recorded.ACCOUNT, "equity": "0"}, account_id=ACCOUNT, time=NOW)
    assert broke.maintenance_ratio is None


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"status": "ACCOUNT_CLOSED"}, False),
        ({"trading_blocked": True}, False),
        ({"account_blocked": True}, False),
        ({"trade_suspended_by_user": True}, False),
    ],
)
def test_who_may_trade(changes: dict[str, Any], wanted: bool) -> None:
    assert mapping.may_trade({**recorded.ACCOUNT, **changes}) is wanted


# -- instruments, quotes, the clock ---------------------------------------------------------------------------
def test_shares_and_pairs() -> None:
    share, whole, pair = (
        instruments.instrument(row) for row in (recorded.AAPL_ASSET, recorded.WHOLE_ASSET, recorded.BTC_ASSET)
    )
    assert share is not None and whole is not None and pair is not None
    assert (share.product, share.lot_size, share.parts) == (ProductKind.EQUITY, D(1), instruments.PARTS)
    assert (instruments.PARTS.step, instruments.PARTS.notional_min) == (D("0.000000001"), D(1))
    assert (share.tick_size, share.notional_min, share.quote_currency) == (D("0.01"), D(0), "USD")
    assert (whole.lot_size, whole.parts, whole.quantity_min) == (D(1), None, D(1))
    assert (pair.base_currency, pair.quote_currency, pair.tick_size) == ("BTC", "USD", D(1))
    assert (pair.lot_size, pair.quantity_min, pair.notional_min) == (D("0.0001"), D("0.0001"), D(10))
    for changes in ({"status": "inactive"}, {"tradable": False}):
        found = instruments.instrument({**recorded.AAPL_ASSET, **changes})
        assert found is not None and not found.is_trading
    assert instruments.instrument({**recorded.AAPL_ASSET, "class": "us_option"}) is None
    with pytest.raises(AnswerUnreadable, match="tick_size must be above 0"):
        instruments.instrument({**recorded.BTC_ASSET, "price_increment": "0"})
    with pytest.raises(AnswerUnreadable, match="min_trade_increment"):
        instruments.instrument({**recorded.BTC_ASSET, "min_trade_increment": ""})


@pytest.mark.parametrize(("price", "tick"), [("1", "0.01"), ("0.99", "0.0001"), ("500", "0.01"), ("0.0001", "0.0001")])
def test_the_tick_rule(price: str, tick: str) -> None:
    assert instruments.share_tick(D(price)) == D(tick)


@pytest.mark.parametrize(
    ("symbol", "wanted"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("USD", "USD"),
        ("BTCUSD", "BTC/USD"),
        ("BTC/USD", "BTC/USD"),
        ("USDCUSD", "USDC/USD"),
        ("ETHBTC", "ETH/BTC"),
        ("SHIBUSDT", "SHIB/USDT"),
        ("AAPL240621C00190000", "AAPL240621C00190000"),
    ],
)
def test_names(symbol: str, wanted: str) -> None:
    assert fields.instrument_id_of(symbol) == InstrumentId(wanted)


def test_a_quote_has_the_time_of_the_quote() -> None:
    key = InstrumentId("AAPL")
    found = mapping.quote(parsed(recorded.SNAPSHOT), key)
    assert (found.bid, found.ask, found.last) == (D("190.2"), D("190.3"), D("190.25"))
    assert found.time == at("2026-03-02T11:59:59.987654+00:00")
    for part, name in (("latestQuote", "bp"), ("latestQuote", "ap"), ("latestTrade", "p")):
        row = {**recorded.SNAPSHOT, part: {**recorded.SNAPSHOT[part], name: 0}}
        with pytest.raises(VenueUnavailable, match=f"no {name} now"):
            mapping.quote(parsed(row), key)
    with pytest.raises(VenueUnavailable, match="no bp, ap, p now"):
        mapping.quote({"latestQuote": None}, key)
    with pytest.raises(AnswerUnreadable, match="latestQuote of AAPL must be an object"):
        mapping.quote({"latestQuote": "none"}, key)


def parsed(row: dict[str, Any]) -> dict[str, Any]:
    """As it comes from the wire: fractions are exact."""
    from brokers.strictjson import decode

    found: dict[str, Any] = decode(recorded.body(row))
    return found


def test_the_clock_and_the_calendar() -> None:
    clock = mapping.market_clock(recorded.CLOCK)
    assert clock.time == at("2026-03-02T11:00:00.123456+00:00") and not clock.is_open
    assert clock.next_open == at("2026-03-02T14:30:00+00:00") and clock.next_close == at("2026-03-02T21:00:00+00:00")
    day = mapping.trading_day(recorded.HALF_DAY)
    assert day.day.isoformat() == "2026-11-27"
    assert day.opens_at == at("2026-11-27T14:30:00+00:00") and day.closes_at == at("2026-11-27T18:00:00+00:00")
    with pytest.raises(AnswerUnreadable, match="must carry its time zone"):
        mapping.market_clock({**recorded.CLOCK, "timestamp": "2026-03-02T06:00:00"})
    with pytest.raises(AnswerUnreadable, match="a day of the calendar"):
        mapping.trading_day({**recorded.HALF_DAY, "close": "one o'clock"})


# -- orders -----------------------------------------------------------------------------------------------------
def order(**changes: Any) -> Any:
    return orders.order({**recorded.ORDER, **changes}, account_id=ACCOUNT)


def test_an_order() -> None:
    found = order()
    assert found.venue_order_id.value == recorded.ORDER["id"] and found.client_order_id == ClientOrderId("at-0001")
    assert (found.side, found.order_type, found.time_in_force) == (OrderSide.BUY, OrderType.LIMIT, TimeInForce.DAY)
    assert (found.quantity, found.filled_quantity, found.average_price) == (D(2), D(0), None)
    assert (found.limit_price, found.trigger_price, found.status) == (D("190.1"), None, OrderStatus.ACCEPTED)
    assert found.created_at == at("2026-03-02T11:30:00.123456+00:00")
    assert found.updated_at == at("2026-03-02T11:30:01.200000+00:00")
    assert found.fees == {} and not found.reduce_only


STATUSES = [
    ("pending_new", OrderStatus.ACCEPTED),
    ("accepted_for_bidding", OrderStatus.ACCEPTED),
    ("pending_review", OrderStatus.ACCEPTED),
    ("accepted", OrderStatus.ACCEPTED),
    ("held", OrderStatus.ACCEPTED),
    ("new", OrderStatus.WORKING),
    ("activated", OrderStatus.WORKING),
    ("pending_replace", OrderStatus.WORKING),
    ("pending_cancel", OrderStatus.WORKING),
    ("stopped", OrderStatus.WORKING),
    ("suspended", OrderStatus.WORKING),
    ("done_for_day", OrderStatus.WORKING),
    ("calculated", OrderStatus.WORKING),
    ("partially_filled", OrderStatus.PARTIALLY_FILLED),
    ("filled", OrderStatus.FILLED),
    ("canceled", OrderStatus.CANCELLED),
    ("replaced", OrderStatus.CANCELLED),
    ("expired", OrderStatus.EXPIRED),
    ("rejected", OrderStatus.REJECTED),
]


@pytest.mark.parametrize(("name", "wanted"), STATUSES)
def test_each_status(name: str, wanted: OrderStatus) -> None:
    assert order(status=name).status is wanted
    part = order(status=name, filled_qty="1", filled_avg_price="190")
    assert part.status is (OrderStatus.PARTIALLY_FILLED if wanted.is_open else wanted)


def test_every_status_is_written_down_here() -> None:
    assert {name for name, _ in STATUSES} == set(orders.STATUSES)


@pytest.mark.parametrize("name", ["brand_new", "", None])
def test_a_status_that_nobody_documents_proves_nothing(name: str | None) -> None:
    with pytest.raises(AnswerUnreadable, match="brand_new" if name else "no status"):
        order(status=name)


@pytest.mark.parametrize("force", ["ioc", "fok"])
def test_what_ends_at_once_expired_by_its_own_terms(force: str) -> None:
    assert order(status="canceled", time_in_force=force).status is OrderStatus.EXPIRED
    assert order(status="replaced", time_in_force=force).status is OrderStatus.CANCELLED


def test_a_replaced_order_names_what_follows_it() -> None:
    found = order(status="replaced", replaced_by="another-id", replaced_at="2026-03-02T11:31:00Z", updated_at=None)
    assert found.status_text == "replaced, replaced by another-id"
    assert found.updated_at == at("2026-03-02T11:31:00+00:00")


def test_a_cancelled_order_may_hold_fills() -> None:
    found = order(status="canceled", filled_qty="1", filled_avg_price="190.05", canceled_at="2026-03-02T11:32:00Z")
    assert (found.status, found.filled_quantity, found.remaining) == (OrderStatus.CANCELLED, D(1), D(1))
    assert found.average_price == D("190.05") and found.updated_at == at("2026-03-02T11:32:00+00:00")


def test_an_order_by_value_has_what_it_filled() -> None:
    open_one = order(qty=None, notional="100", status="new")
    assert (open_one.quantity, open_one.remaining) == (D(0), D(0))
    assert open_one.status_text == "new, placed by value of 100"
    done = order(qty=None, notional="100", status="filled", filled_qty="0.526", filled_avg_price="190.1")
    assert (done.quantity, done.remaining) == (D("0.526"), D(0))
    with pytest.raises(AnswerUnreadable, match="neither qty nor notional"):
        order(qty="", notional=None)


@pytest.mark.parametrize(
    ("changes", "name", "wanted"),
    [
        ({"extended_hours": True}, "time_in_force", TimeInForce.DAY_EXTENDED),
        ({"extended_hours": True, "time_in_force": "gtc"}, "time_in_force", TimeInForce.GTC_EXTENDED),
        ({"time_in_force": "opg"}, "time_in_force", None),
        ({"type": "stop", "stop_price": "180", "limit_price": None}, "order_type", OrderType.STOP_MARKET),
        ({"type": "stop_limit", "stop_price": "180"}, "trigger_price", D(180)),
        ({"type": "trailing_stop", "hwm": "200", "stop_price": "195"}, "order_type", OrderType.STOP_MARKET),
        ({"type": None}, "order_type", OrderType.LIMIT),  # older rows say order_type alone
        ({"symbol": "BTCUSD", "asset_class": "crypto"}, "instrument_id", InstrumentId("BTC/USD")),
        ({"side": "sell_short"}, "side", OrderSide.SELL),
        ({"client_order_id": "x" * 100}, "client_order_id", None),  # of another hand: longer than ours can be
        ({"reject_reason": "wash trade"}, "reject_code", "wash trade"),
    ],
)
def test_other_rows(changes: dict[str, Any], name: str, wanted: Any) -> None:
    assert getattr(order(**changes), name) == wanted


@pytest.mark.parametrize("changes", [{"side": "hold"}, {"type": "iceberg"}, {"id": ""}, {"created_at": "yesterday"}])
def test_rows_that_prove_nothing(changes: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        order(**changes)


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, True),
        ({"asset_class": None}, True),
        ({"asset_class": "crypto", "symbol": "BTC/USD"}, True),
        ({"asset_class": "us_option", "symbol": "AAPL240621C00190000"}, False),
        ({"asset_class": "", "symbol": "AAPL240621C00190000"}, False),
        ({"symbol": "", "order_class": "mleg"}, False),
    ],
)
def test_which_orders_the_port_has_words_for(changes: dict[str, Any], wanted: bool) -> None:
    assert orders.is_shown({**recorded.ORDER, **changes}) is wanted


# -- fills and cash -----------------------------------------------------------------------------------------------
def test_a_fill() -> None:
    found = activities.fill(recorded.FILL, account_id=ACCOUNT)
    assert found.trade_id.value == "8efc7b9a-8b2b-4000-9955-d36e7db0df74"
    assert found.venue_order_id.value == recorded.FILL["order_id"]
    assert (found.instrument_id, found.side) == (InstrumentId("LPCN"), OrderSide.BUY)
    assert (found.quantity, found.price, found.fee, found.fee_currency) == (D(1), D("1.63"), D(0), "USD")
    assert found.time == at("2019-05-24T15:34:06.977+00:00") and found.client_order_id is None
    short = activities.fill({**recorded.FILL, "side": "sell_short"}, account_id=ACCOUNT)
    assert short.side is OrderSide.SELL


def coin_fill(side: str) -> dict[str, Any]:
    return {**recorded.FILL, "symbol": "BTC/USD", "side": side, "qty": "0.052379701", "price": "83616.292"}


@pytest.mark.parametrize(("side", "received"), [("buy", "BTC"), ("sell", "USD")])
def test_the_fee_of_a_trade_in_coins_is_taken_from_what_it_pays_in(side: str, received: str) -> None:
    assert activities.fill(coin_fill(side), account_id=ACCOUNT).fee_currency == received


def moved(row: dict[str, Any]) -> dict[str, Decimal]:
    return {event.currency: event.amount for event in activities.cash_events(row, account_id=ACCOUNT)}


def test_what_trades_move() -> None:
    # 0.052379701 x 83616.292 = 4379.796373…, worked out by long multiplication
    money = D("0.052379701") * D("83616.292")
    assert money == D("4379.796373688692")
    assert moved(coin_fill("buy")) == {"BTC": D("0.052379701"), "USD": -money}
    assert moved(coin_fill("sell")) == {"BTC": D("-0.052379701"), "USD": money}
    assert moved(recorded.FILL) == {"USD": D("-1.63")}
    assert moved({**recorded.FILL, "side": "sell_short", "qty": "3"}) == {"USD": D("4.89")}
    option = {**recorded.FILL, "symbol": "AAPL240621C00190000", "qty": "2"}
    assert moved(option) == {"USD": D("-326.00")} and not activities.is_shown(option)
    events = activities.cash_events(coin_fill("buy"), account_id=ACCOUNT)
    assert len({event.event_id for event in events}) == 2
    assert all(event.kind is CashEventKind.TRADE and event.trade_id is not None for event in events)


CASH = [
    (recorded.COIN_FEE, CashEventKind.FEE, "ETH", "-0.000195", "2022-08-12T04:00:00+00:00", "CFEE"),
    (recorded.USD_FEE, CashEventKind.FEE, "USD", "-0.02", "2026-09-24T12:00:03.100000+00:00", "CFEE"),
    (recorded.REG_FEE, CashEventKind.FEE, "USD", "-3.82", "2026-09-09T00:17:05.448916+00:00", "FEE REG"),
    (recorded.DIVIDEND, CashEventKind.DIVIDEND, "USD", "1.02", "2019-08-01T04:00:00+00:00", "DIV"),
    ({**recorded.REG_FEE, "activity_type": "CSD"}, CashEventKind.DEPOSIT, "USD", "-3.82", None, "CSD REG"),
    ({**recorded.USD_FEE, "activity_type": "CSW"}, CashEventKind.WITHDRAWAL, "USD", "-0.02", None, "CSW"),
    ({**recorded.USD_FEE, "activity_type": "INT"}, CashEventKind.INTEREST, "USD", "-0.02", None, "INT"),
    ({**recorded.USD_FEE, "activity_type": "JNLC"}, CashEventKind.TRANSFER, "USD", "-0.02", None, "JNLC"),
    ({**recorded.USD_FEE, "activity_type": "CIL"}, CashEventKind.SETTLEMENT, "USD", "-0.02", None, "CIL"),
    (
        {**recorded.DIVIDEND, "activity_type": "SPLIT", "net_amount": "0"},
        CashEventKind.UNMAPPED,
        "USD",
        "0",
        None,
        "SPLIT",
    ),
    ({**recorded.COIN_FEE, "activity_type": "JNLS", "qty": "2"}, CashEventKind.TRANSFER, "ETH", "2", None, "JNLS"),
    ({**recorded.USD_FEE, "activity_type": "BRANDNEW"}, CashEventKind.UNMAPPED, "USD", "-0.02", None, "BRANDNEW"),
    ({**recorded.USD_FEE, "status": "canceled"}, CashEventKind.UNMAPPED, "USD", "-0.02", None, "CFEE canceled"),
    ({**recorded.USD_FEE, "status": "correct"}, CashEventKind.UNMAPPED, "USD", "-0.02", None, "CFEE correct"),
]


@pytest.mark.parametrize(("row", "kind", "currency", "amount", "time", "name"), CASH)
def test_what_else_changes_the_wallets(
    row: dict[str, Any], kind: CashEventKind, currency: str, amount: str, time: str | None, name: str
) -> None:
    (found,) = activities.cash_events(row, account_id=ACCOUNT)
    assert (found.kind, found.currency, found.amount) == (kind, currency, D(amount))
    assert (found.event_id, found.venue_kind) == (row["id"], name)
    assert time is None or found.time == at(time)


@pytest.mark.parametrize("kind", sorted(activities.CASH_KINDS))
def test_each_kind_of_activity_is_mapped(kind: str) -> None:
    (found,) = activities.cash_events({**recorded.USD_FEE, "activity_type": kind}, account_id=ACCOUNT)
    assert found.kind is activities.CASH_KINDS[kind] and found.kind is not CashEventKind.UNMAPPED


@pytest.mark.parametrize(
    "make",
    [
        lambda: activities.fill({**recorded.FILL, "price": ""}, account_id=ACCOUNT),
        lambda: activities.fill({**recorded.FILL, "order_id": None}, account_id=ACCOUNT),
        lambda: activities.fill({**recorded.FILL, "side": "hold"}, account_id=ACCOUNT),
        lambda: activities.cash_events({**recorded.USD_FEE, "activity_type": ""}, account_id=ACCOUNT),
        lambda: activities.cash_events({**recorded.DIVIDEND, "date": "soon"}, account_id=ACCOUNT),
        lambda: activities.cash_events({**recorded.USD_FEE, "net_amount": "much"}, account_id=ACCOUNT),
    ],
)
def test_activities_that_prove_nothing(make: Callable[[], Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        make()
