"""Recorded rows to values: the figures are worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.errors import AnswerUnreadable, InstrumentUnknown, VenueUnavailable
from brokers.ids import AccountId, InstrumentId
from brokers.tradestation import instruments, mapping, orders
from brokers.types import (
    LiquiditySide,
    MarginMode,
    OrderSide,
    OrderStatus,
    OrderType,
    PositionMode,
    PositionSide,
    ProductKind,
    TimeInForce,
)
from tests.brokers.tradestation.recorded import (
    BALANCE,
    FUTURES_BALANCE,
    MES_SYMBOL,
    MSFT_SYMBOL,
    ORDER,
    POSITION,
    QUOTE,
    open_row,
    order_row,
)

ID = AccountId.parse("tradestation.simulated.main")
D = Decimal
T = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OPENED = datetime(2020, 11, 16, 16, 53, 36, tzinfo=UTC)


# -- symbols ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("unified", "symbol"),
    [
        ("AAPL", "AAPL"),
        ("BRK.B", "BRK.B"),
        ("MESZ6", "MESZ26"),
        ("ESH5", "ESH25"),
        ("CLF4", "CLF34"),
        ("6EM7", "6EM27"),
    ],
)
def test_unified_symbols_name_the_contract_of_this_decade(unified: str, symbol: str) -> None:
    assert instruments.venue_symbol(InstrumentId(unified), now=T) == symbol
    assert instruments.unified(symbol) == InstrumentId(unified)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("@ES", "continuous"),
        ("MESZ26", "MESZ6"),
        ("BTC/USDT:USDT", "shares read AAPL"),
        ("MSFT 251219C450", "shares read"),
        ("aapl", "shares read"),
    ],
)
def test_what_no_order_can_name_is_refused_with_the_right_form(name: str, words: str) -> None:
    with pytest.raises(InstrumentUnknown, match=words):
        instruments.venue_symbol(InstrumentId(name), now=T)


def test_a_share_and_a_future() -> None:
    share = instruments.instrument(MSFT_SYMBOL, now=T)
    assert (share.instrument_id, share.venue_symbol, share.product) == (
        InstrumentId("MSFT"),
        "MSFT",
        ProductKind.EQUITY,
    )
    assert (share.tick_size, share.lot_size, share.quantity_min, share.contract_size) == (D("0.01"), 1, 1, 1)
    assert (share.quote_currency, share.settle_currency, share.is_trading) == ("USD", "USD", True)
    future = instruments.instrument(MES_SYMBOL, now=T)
    assert (future.instrument_id, future.venue_symbol) == (InstrumentId("MESZ6"), "MESZ26")
    assert (future.product, future.tick_size, future.contract_size) == (ProductKind.FUTURE, D("0.25"), 5)
    assert future.is_trading and not instruments.instrument(MES_SYMBOL, now=T + timedelta(days=365)).is_trading


def test_a_schedule_of_price_steps_is_read_as_its_coarsest() -> None:
    prices = {
        **MSFT_SYMBOL["PriceFormat"],
        "IncrementStyle": "Schedule",
        "IncrementSchedule": [{"Increment": "0.0001", "StartsAt": "0"}, {"Increment": "0.01", "StartsAt": "1"}],
    }
    assert instruments.instrument({**MSFT_SYMBOL, "PriceFormat": prices}, now=T).tick_size == D("0.01")


@pytest.mark.parametrize("kind", ["STOCKOPTION", "INDEX", "CRYPTO", "INDEXOPTION"])
def test_other_kinds_are_not_traded_here(kind: str) -> None:
    with pytest.raises(InstrumentUnknown, match="stocks and futures"):
        instruments.instrument({**MSFT_SYMBOL, "AssetType": kind}, now=T)


@pytest.mark.parametrize("change", [{"PriceFormat": None}, {"Symbol": ""}, {"ExpirationDate": "soon"}])
def test_malformed_symbols_are_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        instruments.instrument({**MSFT_SYMBOL, **change}, now=T)


# -- account ----------------------------------------------------------------------------------------------------
def test_an_equities_balance_is_cash_and_its_margin_is_the_account() -> None:
    (cash,) = mapping.balances(BALANCE, account_id=ID, time=T)
    assert (cash.currency, cash.total, cash.available, cash.held) == ("USD", D("39735538.661"), None, 0)
    health = mapping.margin_health(BALANCE, account_id=ID, time=T)
    assert (health.currency, health.equity, health.available) == ("USD", D("39893233.6211"), D("39735498.661"))
    assert (health.initial_margin, health.maintenance_margin, health.maintenance_ratio) == (D("134589.21"), None, None)


def test_a_futures_balance_has_its_currencies_and_margins() -> None:
    dollars, euros = mapping.balances(FUTURES_BALANCE, account_id=ID, time=T)
    assert (dollars.currency, dollars.total, dollars.held) == ("USD", D("49000.00"), D("3000.00"))
    assert (euros.currency, euros.total, euros.held) == ("EUR", D("920.50"), 0)
    health = mapping.margin_health(FUTURES_BALANCE, account_id=ID, time=T)
    assert (health.initial_margin, health.maintenance_margin) == (3000, D("2512.50"))
    assert health.maintenance_ratio == D("0.05")  # 2512.50 / 50250


def test_a_long_and_a_short_position() -> None:
    long = mapping.position(POSITION, account_id=ID, time=T)
    assert (long.instrument_id, long.side, long.quantity) == (InstrumentId("MSFT"), PositionSide.LONG, 10)
    assert (long.average_price, long.mark_price, long.unrealised_pnl) == (D("216.68"), D("216.63"), D("-0.5"))
    assert (long.realised_pnl, long.leverage, long.mode, long.time) == (None, None, PositionMode.ONE_WAY, T)
    short = mapping.position({**POSITION, "LongShort": "Short", "Quantity": "-10"}, account_id=ID, time=T)
    assert (short.side, short.quantity) == (PositionSide.SHORT, -10)
    future = mapping.position({**POSITION, "AssetType": "FUTURE", "Symbol": "MESZ26"}, account_id=ID, time=T)
    assert future.instrument_id == InstrumentId("MESZ6")


@pytest.mark.parametrize(
    "change",
    [{"Quantity": "-10"}, {"LongShort": "Short"}, {"LongShort": "Flat"}, {"Quantity": "0"}, {"Quantity": "ten"}],
)
def test_a_position_that_contradicts_itself_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        mapping.position({**POSITION, **change}, account_id=ID, time=T)


def test_quotes_fresh_delayed_halted_and_empty() -> None:
    share = instruments.instrument(MSFT_SYMBOL, now=T)
    fresh = mapping.quote(QUOTE, share, time=T)
    assert (fresh.bid, fresh.ask, fresh.last, fresh.time) == (D("212.85"), D("212.87"), D("212.85"), T)
    delayed = mapping.quote({**QUOTE, "MarketFlags": {"IsDelayed": True}}, share, time=T)
    assert delayed.time == datetime(2020, 11, 18, 15, 19, 14, tzinfo=UTC), "a delayed quote must not look fresh"
    with pytest.raises(VenueUnavailable, match="halted"):
        mapping.quote({**QUOTE, "MarketFlags": {"IsHalted": True}}, share, time=T)
    with pytest.raises(VenueUnavailable, match="Ask"):
        mapping.quote({**QUOTE, "Ask": "0"}, share, time=T)


@pytest.mark.parametrize(
    ("kind", "mode", "product"),
    [
        ("Cash", MarginMode.CASH, ProductKind.EQUITY),
        ("Margin", MarginMode.CROSS, ProductKind.EQUITY),
        ("DVP", MarginMode.CASH, ProductKind.EQUITY),
        ("Futures", MarginMode.CROSS, ProductKind.FUTURE),
        ("Crypto", MarginMode.CROSS, None),
    ],
)
def test_account_types(kind: str, mode: MarginMode, product: ProductKind | None) -> None:
    assert (mapping.margin_mode(kind), mapping.product_of_type(kind)) == (mode, product)


# -- orders -----------------------------------------------------------------------------------------------------
def test_a_filled_order_and_its_one_fill() -> None:
    found = orders.order(ORDER, account_id=ID)
    assert (found.venue_order_id.value, found.client_order_id, found.instrument_id.value) == ("286234131", None, "MSFT")
    assert (found.side, found.order_type, found.time_in_force) == (OrderSide.BUY, OrderType.MARKET, TimeInForce.GTC)
    assert (found.quantity, found.filled_quantity, found.average_price) == (10, 10, D("216.68"))
    assert (found.limit_price, found.trigger_price, found.status) == (None, None, OrderStatus.FILLED)
    assert (found.created_at, found.updated_at) == (OPENED, OPENED + timedelta(seconds=1))
    assert found.fees == {"USD": D("5.00")} and found.status_text == "FLL Filled" and not found.reduce_only
    fill = orders.fill(found, time=found.updated_at)
    assert (fill.trade_id.value, fill.quantity, fill.price, fill.fee) == ("286234131:10", 10, D("216.68"), D("5.00"))
    assert (fill.fee_currency, fill.liquidity, fill.client_order_id) == ("USD", LiquiditySide.UNKNOWN, None)


def test_a_resting_order_with_what_it_leaves_out() -> None:
    found = orders.order(open_row(CommissionFee=None, UnbundledRouteFee=None), account_id=ID)
    assert (found.status, found.filled_quantity, found.average_price) == (OrderStatus.WORKING, 0, None)
    assert (found.limit_price, found.updated_at, dict(found.fees)) == (D("210.00"), OPENED, {})
    with pytest.raises(AnswerUnreadable, match="without a price"):
        orders.fill(found, time=T)


def test_a_stop_order_has_its_trigger() -> None:
    found = orders.order(open_row(OrderType="StopLimit", StopPrice="211.00"), account_id=ID)
    assert (found.order_type, found.limit_price, found.trigger_price) == (OrderType.STOP_LIMIT, D(210), D(211))
    plain = orders.order(open_row(OrderType="StopMarket", StopPrice="211.00"), account_id=ID)
    assert (plain.order_type, plain.limit_price, plain.trigger_price) == (OrderType.STOP_MARKET, None, D(211))


@pytest.mark.parametrize(
    ("action", "side", "reduces"),
    [
        ("Buy", OrderSide.BUY, False),
        ("Sell", OrderSide.SELL, True),
        ("SellShort", OrderSide.SELL, False),
        ("BuyToCover", OrderSide.BUY, True),
    ],
)
def test_actions_of_shares_say_whether_they_reduce(action: str, side: OrderSide, reduces: bool) -> None:
    found = orders.order(order_row(leg={"BuyOrSell": action}), account_id=ID)
    assert (found.side, found.reduce_only) == (side, reduces)
    future = orders.order(
        order_row(leg={"BuyOrSell": action, "AssetType": "FUTURE", "Symbol": "MESZ26"}), account_id=ID
    )
    assert not future.reduce_only and future.instrument_id.value == "MESZ6"


def test_the_id_is_written_without_dashes() -> None:
    assert orders.order(order_row(OrderID="2-8623-4131"), account_id=ID).venue_order_id.value == "286234131"


S = OrderStatus
OPEN_CODES = [
    "CND",
    "OSO",
    "STP",
    "STT",
    "SUS",
    "OTHER",
    "COR",
    "CHG",
    "UCN",
    "RSN",
    "RPD",
    "ECN",
    "REC",
    "CSN",
    "RJC",
    "LAT",
    "ACK",
    "OPN",
    "DON",
    "FPR",
]


def row_of(code: str, *, filled: str = "0", is_closed: bool = False, **changes: Any) -> dict[str, Any]:
    leg = {"ExecQuantity": filled, "QuantityRemaining": str(10 - int(filled))}
    row = open_row(leg=leg, Status=code, **changes)
    if is_closed:
        row["ClosedDateTime"] = "2020-11-16T16:53:40Z"
    return row


@pytest.mark.parametrize("code", OPEN_CODES)
def test_open_statuses(code: str) -> None:
    assert orders.status(row_of(code)) is S.WORKING
    assert orders.status(row_of(code, filled="4")) is S.PARTIALLY_FILLED


@pytest.mark.parametrize(
    ("code", "filled", "is_closed", "changes", "status"),
    [
        ("PLA", "0", False, {}, S.ACCEPTED),
        ("DIS", "0", False, {}, S.ACCEPTED),
        ("DIS", "4", False, {}, S.PARTIALLY_FILLED),
        ("ACK", "10", False, {}, S.PARTIALLY_FILLED),  # all of it filled, and not yet called over
        ("FLL", "10", True, {}, S.FILLED),
        ("FLP", "4", True, {}, S.CANCELLED),  # terminal
        ("FLP", "4", False, {}, S.CANCELLED),
        ("CAN", "0", True, {}, S.CANCELLED),
        ("CAN", "4", True, {}, S.CANCELLED),
        ("UCH", "0", True, {}, S.CANCELLED),
        ("SCN", "0", True, {}, S.CANCELLED),
        ("TSC", "0", True, {}, S.CANCELLED),
        ("TSC", "0", True, {"RejectReason": "no short sale"}, S.REJECTED),
        ("TSC", "4", True, {"RejectReason": "no short sale"}, S.CANCELLED),  # what was filled happened
        ("OUT", "0", True, {}, S.CANCELLED),
        ("OUT", "0", False, {}, S.WORKING),  # a step of a replacement
        ("RJR", "0", False, {}, S.WORKING),  # the change was rejected, not the order
        ("RJR", "0", True, {}, S.CANCELLED),
        ("EXP", "0", True, {}, S.EXPIRED),
        ("REJ", "0", True, {}, S.REJECTED),
        ("OUT", "4", True, {"Duration": "IOC"}, S.EXPIRED),  # ended by its own terms
        ("CAN", "0", True, {"Duration": "FOK"}, S.EXPIRED),
        ("XYZ", "0", False, {}, S.WORKING),  # nobody documents it: watched
        ("XYZ", "10", True, {}, S.PARTIALLY_FILLED),
        *((code, "0", False, {}, S.WORKING) for code in ("BRC", "BRF", "BRO", "DOA", "ASS", "EXE")),
        *((code, "10", True, {}, S.FILLED) for code in ("BRC", "BRF", "BRO", "DOA", "ASS", "EXE")),
        *((code, "4", True, {}, S.CANCELLED) for code in ("BRC", "BRF", "BRO", "DOA", "ASS", "EXE")),
    ],
)
def test_every_other_status(code: str, filled: str, is_closed: bool, changes: dict[str, str], status: S) -> None:
    assert orders.status(row_of(code, filled=filled, is_closed=is_closed, **changes)) is status


@pytest.mark.parametrize(
    ("duration", "wanted"),
    [
        ("DAY", TimeInForce.DAY),
        ("GTC", TimeInForce.GTC),
        ("IOC", TimeInForce.IOC),
        ("FOK", TimeInForce.FOK),
        ("DAY+", TimeInForce.DAY_EXTENDED),
        ("GTC+", TimeInForce.GTC_EXTENDED),
        ("1 min", None),
        ("", None),
    ],
)
def test_durations_as_answers_write_them(duration: str, wanted: TimeInForce | None) -> None:
    assert orders.order(open_row(Duration=duration), account_id=ID).time_in_force is wanted


def test_orders_without_words_in_the_port_are_not_shown() -> None:
    assert orders.is_shown(ORDER)
    assert not orders.is_shown(order_row(leg={"AssetType": "STOCKOPTION"}))
    assert not orders.is_shown({**ORDER, "Legs": ORDER["Legs"] * 2})


@pytest.mark.parametrize(
    "row",
    [
        order_row(without=("OrderID",)),
        order_row(without=("OpenedDateTime",)),
        order_row(OpenedDateTime="yesterday"),
        order_row(OpenedDateTime="2020-11-16T16:53:36"),
        order_row(OrderType="Pegged"),
        order_row(leg={"BuyOrSell": "Give"}),
        order_row(leg={"QuantityOrdered": ""}),
        {**ORDER, "Legs": []},
        {**ORDER, "Legs": "none"},
    ],
)
def test_malformed_orders_are_unreadable(row: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.order(row, account_id=ID)
