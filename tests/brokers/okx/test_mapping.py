"""Rows of OKX as values, each worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.errors import AnswerUnreadable, VenueUnavailable
from brokers.ids import AccountId, ClientOrderId, InstrumentId, TradeId, VenueOrderId
from brokers.okx import bills, instruments, mapping, orders
from brokers.okx.instruments import Market
from brokers.okx.mapping import AccountMode
from brokers.types import (
    CashEventKind,
    Instrument,
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
from tests.brokers.okx.recorded import (
    ACK_ROW,
    BALANCE_ROW,
    BILL_ROW,
    BTC_DETAIL,
    BY_VALUE,
    CONFIG_ROW,
    FILL_ROW,
    FILLED_SWAP,
    FRACTIONAL_SWAP,
    INVERSE_ROW,
    ISOLATED_DETAIL,
    POSITION_ROW,
    SPOT_ROW,
    SWAP_ROW,
    TICKER_ROW,
    order_row,
)

ACCOUNT = AccountId.parse("okx.simulated.main")
SPOT = Market(InstrumentId("BTC/USDT"), "BTC-USDT", ProductKind.SPOT, "BTC", "USDT", "USDT")
SWAP = Market(InstrumentId("BTC/USDT:USDT"), "BTC-USDT-SWAP", ProductKind.LINEAR, "BTC", "USDT", "USDT")
LTC = Market(InstrumentId("LTC/USDT:USDT"), "LTC-USDT-SWAP", ProductKind.LINEAR, "LTC", "USDT", "USDT")
LTC_SPOT = Market(InstrumentId("LTC/USDT"), "LTC-USDT", ProductKind.SPOT, "LTC", "USDT", "USDT")
FUTURES_MODE = AccountMode("2", MarginMode.CROSS, PositionMode.ONE_WAY)
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def at(ms: int) -> datetime:
    return datetime.fromtimestamp(ms // 1000, tz=UTC).replace(microsecond=ms % 1000 * 1000)


# -- instruments ------------------------------------------------------------------------------------------------
def test_a_swap_is_sized_in_contracts() -> None:
    found = instruments.instrument(SWAP_ROW, ProductKind.LINEAR)
    assert isinstance(found, Instrument)
    assert (found.instrument_id.value, found.venue_symbol) == ("BTC/USDT:USDT", "BTC-USDT-SWAP")
    assert (found.base_currency, found.quote_currency, found.settle_currency) == ("BTC", "USDT", "USDT")
    assert found.contract_size == Decimal("0.01")  # ctVal 0.01 x ctMult 1
    assert (found.lot_size, found.quantity_min, found.tick_size) == (Decimal("0.01"), Decimal("0.01"), Decimal("0.1"))
    assert (found.quantity_max_limit, found.quantity_max_market) == (Decimal(100000000), Decimal(12000))
    assert (found.leverage_min, found.leverage_max, found.notional_min) == (Decimal(1), Decimal(100), Decimal(0))


def test_the_multiplier_counts() -> None:
    found = instruments.instrument({**SWAP_ROW, "ctMult": "10"}, ProductKind.LINEAR)
    assert isinstance(found, Instrument) and found.contract_size == Decimal("0.1")


def test_a_spot_pair_has_no_largest_market_order_in_its_own_units() -> None:
    found = instruments.instrument(SPOT_ROW, ProductKind.SPOT)
    assert isinstance(found, Instrument)
    assert (found.instrument_id.value, found.contract_size) == ("BTC/USDT", Decimal(1))
    assert (found.lot_size, found.quantity_min) == (Decimal("0.00000001"), Decimal("0.00001"))
    assert (found.quantity_max_limit, found.quantity_max_market) == (Decimal(9999999999), None)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (INVERSE_ROW, "inverse contract, settled in BTC"),
        ({**SWAP_ROW, "ctType": ""}, "unknown contract"),
        ({**SWAP_ROW, "settleCcy": "USDG"}, "settled in USDG"),
        ({**SWAP_ROW, "instId": "BTC-USD_UM-SWAP", "settleCcy": "USDC"}, "quoted in USD_UM and settled in USDC"),
        ({**SWAP_ROW, "ctValCcy": "USDT"}, "contracts are worth USDT, not BTC"),
        ({**SWAP_ROW, "instId": "SOMETHING"}, "quoted in nothing"),
        ({**SWAP_ROW, "state": "preopen", "tickSz": ""}, "preopen and its filters are not stated"),
    ],
)
def test_what_is_not_traded_here_says_why(row: dict[str, Any], words: str) -> None:
    found = instruments.instrument(row, ProductKind.LINEAR)
    assert isinstance(found, str) and words in found


@pytest.mark.parametrize("change", [{"tickSz": ""}, {"lotSz": "0"}, {"ctVal": "x"}])
def test_a_live_instrument_without_filters_is_unreadable(change: dict[str, str]) -> None:
    with pytest.raises(AnswerUnreadable):
        instruments.instrument({**SWAP_ROW, **change}, ProductKind.LINEAR)


def test_a_suspended_instrument_is_listed_and_not_trading() -> None:
    found = instruments.instrument({**SWAP_ROW, "state": "suspend"}, ProductKind.LINEAR)
    assert isinstance(found, Instrument) and not found.is_trading


def test_names_of_what_is_not_listed() -> None:
    assert instruments.delisted("OLD-USDT", "MARGIN").instrument_id.value == "OLD/USDT"
    assert instruments.delisted("OLD-USDC-SWAP", "SWAP").instrument_id.value == "OLD/USDC:USDC"
    future = instruments.delisted("BTC-USDT-261225", "FUTURES")
    assert (future.instrument_id.value, future.product) == ("BTC-USDT-261225", None)
    assert instruments.delisted("BTC-USD-SWAP", "SWAP").instrument_id.value == "BTC-USD-SWAP"


# -- the account ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("level", "margin", "trade_mode"),
    [
        ("1", MarginMode.CASH, "cash"),
        ("2", MarginMode.CROSS, "cash"),
        ("3", MarginMode.CROSS, "cross"),
        ("4", MarginMode.PORTFOLIO, "cross"),
    ],
)
def test_account_modes(level: str, margin: MarginMode, trade_mode: str) -> None:
    found = mapping.account_mode({**CONFIG_ROW, "acctLv": level})
    assert (found.margin_mode, found.spot_trade_mode) == (margin, trade_mode)
    assert found.trades_swaps is (level != "1") and found.position_mode is PositionMode.ONE_WAY
    assert found.order_types_of_spot == (("SPOT",) if level in "12" else ("SPOT", "MARGIN"))


@pytest.mark.parametrize("change", [{"acctLv": "5"}, {"acctLv": ""}, {"posMode": "both"}, {"posMode": None}])
def test_an_unknown_mode_is_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        mapping.account_mode({**CONFIG_ROW, **change})


def test_permissions_are_read_from_their_list() -> None:
    assert mapping.permissions(CONFIG_ROW) == ("read_only", "trade", "withdraw")
    assert mapping.permissions({"perm": ""}) == ()


def test_the_noise_of_floats_is_taken_off_what_is_available() -> None:
    found = mapping.balance(BTC_DETAIL, account_id=ACCOUNT, mode=FUTURES_MODE, time=NOW)
    assert (found.total, found.held) == (Decimal("1.06126645222"), Decimal("0.4"))
    assert found.available == Decimal("0.66126645222")  # stated as 0.6612664522199999


def test_isolated_margin_has_left_the_cash() -> None:
    """OKX counts the 5.46 of the isolated position as frozen, and not among the cash."""
    found = mapping.balance(ISOLATED_DETAIL, account_id=ACCOUNT, mode=FUTURES_MODE, time=NOW)
    assert (found.total, found.held) == (Decimal("94.42612990333333"), Decimal(0))
    assert found.available == found.total


def test_what_positions_have_gained_may_be_available() -> None:
    row = {**ISOLATED_DETAIL, "cashBal": "100", "frozenBal": "30", "isoEq": "0", "availEq": "82.51", "availBal": "81"}
    found = mapping.balance(row, account_id=ACCOUNT, mode=FUTURES_MODE, time=NOW)
    assert (found.total, found.available, found.held) == (Decimal(100), Decimal("82.51"), Decimal(30))
    spot = AccountMode("1", MarginMode.CASH, PositionMode.ONE_WAY)
    assert mapping.balance(row, account_id=ACCOUNT, mode=spot, time=NOW).available == Decimal(81)


def test_an_absent_figure_is_none_and_a_debt_is_money() -> None:
    row = {"ccy": "USDT", "cashBal": "-5", "frozenBal": "", "availBal": "", "availEq": "", "liab": "5", "eq": "-5"}
    found = mapping.balance(row, account_id=ACCOUNT, mode=FUTURES_MODE, time=NOW)
    assert (found.total, found.available, found.held) == (Decimal(-5), None, Decimal(0))
    assert mapping.has_money(row) and not mapping.has_money({"cashBal": "0", "eq": "", "liab": None})


def test_margin_health_inverts_the_venues_ratio() -> None:
    found = mapping.margin_health(BALANCE_ROW, account_id=ACCOUNT)
    assert (found.currency, found.equity) == ("USD", Decimal("43749472.35962724"))
    assert found.available == Decimal("151083.76008402856") and found.maintenance_margin == Decimal("9.073098173527129")
    assert found.maintenance_ratio == Decimal("0.00005948")  # 9.073098 / 152550.809 = 0.000059476, up
    assert found.time == at(1752243327154)


FUTURES_ROW = {**BALANCE_ROW, "adjEq": "", "availEq": "", "imr": "", "mmr": ""}


def test_margin_health_without_margin_figures() -> None:
    found = mapping.margin_health(FUTURES_ROW, account_id=ACCOUNT)
    assert (found.available, found.initial_margin, found.maintenance_margin, found.maintenance_ratio) == (None,) * 4


def test_margin_health_of_futures_mode_is_that_of_its_currencies() -> None:
    """USDT at 0.9999 USD: 50 and 20 of 1000; BTC at 50000: 0.01 and 0.004 of 0.1. The highest ratio is BTC's, 0.04."""
    usdt = {**BTC_DETAIL, "ccy": "USDT", "eq": "1000", "eqUsd": "999.9", "imr": "50", "mmr": "20"}
    btc = {**BTC_DETAIL, "eq": "0.1", "eqUsd": "5000", "imr": "0.01", "mmr": "0.004"}
    row = {**FUTURES_ROW, "details": [usdt, btc, {**BTC_DETAIL, "ccy": "ETH"}]}
    found = mapping.margin_health(row, account_id=ACCOUNT)
    assert found.initial_margin == Decimal("549.995") and found.maintenance_margin == Decimal("219.998")
    assert found.maintenance_ratio == Decimal("0.04") and found.available is None


def test_a_position_in_hedge_mode() -> None:
    found = mapping.position(POSITION_ROW, LTC, account_id=ACCOUNT)
    assert (found.side, found.quantity, found.mode) == (PositionSide.LONG, Decimal(1), PositionMode.HEDGE)
    assert (found.average_price, found.liquidation_price, found.leverage) == (Decimal("68.24"), None, Decimal(3))
    assert (found.unrealised_pnl, found.realised_pnl) == (Decimal(0), Decimal("-0.00003412"))
    short = mapping.position({**POSITION_ROW, "posSide": "short"}, LTC, account_id=ACCOUNT)
    assert (short.side, short.quantity) == (PositionSide.SHORT, Decimal(-1))


def test_a_position_in_net_mode_goes_by_its_sign() -> None:
    found = mapping.position({**POSITION_ROW, "posSide": "net", "pos": "-0.03"}, LTC, account_id=ACCOUNT)
    assert (found.side, found.quantity, found.mode) == (PositionSide.SHORT, Decimal("-0.03"), PositionMode.ONE_WAY)
    flat = mapping.position({**POSITION_ROW, "posSide": "net", "pos": "0"}, LTC, account_id=ACCOUNT)
    assert flat.side is PositionSide.FLAT


def test_a_margin_position_is_short_where_it_holds_the_quote_currency() -> None:
    row = {**POSITION_ROW, "instType": "MARGIN", "instId": "BTC-USDT", "posSide": "net", "posCcy": "USDT"}
    assert mapping.position(row, SPOT, account_id=ACCOUNT).quantity == Decimal(-1)
    assert mapping.position({**row, "posCcy": "BTC"}, SPOT, account_id=ACCOUNT).quantity == Decimal(1)


@pytest.mark.parametrize("change", [{"posSide": "both"}, {"posSide": ""}, {"pos": "-1"}, {"pos": "many"}])
def test_a_position_that_contradicts_itself(change: dict[str, str]) -> None:
    with pytest.raises(AnswerUnreadable):
        mapping.position({**POSITION_ROW, **change}, LTC, account_id=ACCOUNT)


def test_cross_and_isolated_positions_add_up() -> None:
    cross = {**POSITION_ROW, "posSide": "net", "pos": "3", "upl": "0.1"}
    isolated = {**POSITION_ROW, "posSide": "net", "pos": "-1", "mgnMode": "isolated", "avgPx": "70", "upl": "0.2"}
    rows = [mapping.position(row, LTC, account_id=ACCOUNT) for row in (cross, isolated)]
    (found,) = mapping.merged(rows)
    assert (found.quantity, found.side, found.average_price) == (Decimal(2), PositionSide.LONG, None)
    assert found.unrealised_pnl == Decimal("0.3")
    hedge = [mapping.position({**POSITION_ROW, "posSide": side}, LTC, account_id=ACCOUNT) for side in ("long", "short")]
    assert len(mapping.merged(hedge)) == 2
    zero = mapping.position({**cross, "pos": "0"}, LTC, account_id=ACCOUNT)
    assert mapping.merged([zero]) == ()


def test_profit_and_loss_of_both_sides_together() -> None:
    rows = [(POSITION_ROW, LTC), ({**POSITION_ROW, "posSide": "short", "upl": "-2", "realizedPnl": "1"}, LTC)]
    (found,) = mapping.profit_and_loss(rows, account_id=ACCOUNT, time=NOW)
    assert (found.realised, found.unrealised, found.currency) == (Decimal("0.99996588"), Decimal(-2), "USDT")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([("net", "10")], (10, 10)),
        ([("long", "10"), ("short", "5")], (10, 5)),
        ([("", "7")], (7, 7)),
    ],
)
def test_leverage_of_one_or_two_sides(rows: list[tuple[str, str]], expected: tuple[int, int]) -> None:
    found = mapping.leverage_info(
        [{"instId": SWAP.symbol, "mgnMode": "cross", "posSide": side, "lever": lever} for side, lever in rows],
        SWAP,
        FUTURES_MODE,
    )
    assert (found.long_leverage, found.short_leverage) == tuple(map(Decimal, expected))


def test_leverage_that_shows_one_side_of_two_is_unreadable() -> None:
    row = {"instId": SWAP.symbol, "mgnMode": "cross", "posSide": "long", "lever": "3"}
    for shown in ([row], [{**row, "mgnMode": "isolated"}], [{**row, "instId": "ETH-USDT-SWAP"}], []):
        with pytest.raises(AnswerUnreadable, match="both sides"):
            mapping.leverage_info(shown, SWAP, FUTURES_MODE)


def test_a_quote_has_the_venues_time_and_needs_both_sides() -> None:
    found = mapping.quote(TICKER_ROW, SWAP)
    assert (found.bid, found.ask, found.last) == (Decimal(60000), Decimal("60000.2"), Decimal("60000.1"))
    assert found.time == at(1597026383085) and found.mark is None
    with pytest.raises(VenueUnavailable, match="bidPx"):
        mapping.quote({**TICKER_ROW, "bidPx": ""}, SWAP)


# -- orders -----------------------------------------------------------------------------------------------------
def test_an_acknowledgement() -> None:
    found = orders.ack(ACK_ROW, ClientOrderId("6b9ad766b55dBCDE63969a1144bfb943"))
    assert (found.venue_order_id.value, found.is_final, found.time) == ("2896576259728695296", False, at(1758827099512))
    for row in (ACK_ROW, {**ACK_ROW, "clOrdId": ""}, {**ACK_ROW, "clOrdId": "other", "ordId": ""}):
        with pytest.raises(AnswerUnreadable):
            orders.ack(row, ClientOrderId("other") if row["clOrdId"] == "other" else ClientOrderId("mine"))


def test_a_filled_swap() -> None:
    found = orders.order(FILLED_SWAP, LTC, account_id=ACCOUNT)
    assert (found.status, found.order_type, found.time_in_force) == (
        OrderStatus.FILLED,
        OrderType.MARKET,
        TimeInForce.IOC,
    )
    assert (found.quantity, found.filled_quantity, found.average_price) == (Decimal(1), Decimal(1), Decimal("68.24"))
    assert found.fees == {"USDT": Decimal("0.00003412")} and found.position_side is PositionSide.LONG
    assert found.client_order_id == ClientOrderId("e847386590ce4dBC2f7dbb9924c2b77c")
    assert (found.limit_price, found.reduce_only, found.reject_code) == (None, False, "")


def test_fractional_contracts_and_their_fee() -> None:
    """0.03 contracts of 0.01 BTC at 103698.9, at 0.07 %: 0.021776769, which proves the size of a contract."""
    found = orders.order(FRACTIONAL_SWAP, SWAP, account_id=ACCOUNT)
    size = instruments.instrument(SWAP_ROW, ProductKind.LINEAR)
    assert isinstance(size, Instrument) and found.average_price is not None
    worth = found.filled_quantity * size.contract_size * found.average_price
    assert found.fees["USDT"] == worth * Decimal("0.0007") == Decimal("0.021776769")
    assert found.client_order_id is None


def test_an_order_without_a_position_side_is_read() -> None:
    assert orders.order(order_row(posSide=""), SPOT, account_id=ACCOUNT).position_side is None
    with pytest.raises(AnswerUnreadable, match="posSide must be one of net, long, short"):
        orders.order(order_row(posSide="both"), SPOT, account_id=ACCOUNT)


def test_an_order_by_value_has_what_it_filled() -> None:
    found = orders.order(BY_VALUE, SPOT, account_id=ACCOUNT)
    assert (found.quantity, found.filled_quantity) == (Decimal("0.00192834"), Decimal("0.00192834"))
    assert found.fees == {"BTC": Decimal("0.00000192834")}
    still_open = orders.order({**BY_VALUE, "state": "partially_filled"}, SPOT, account_id=ACCOUNT)
    assert still_open.quantity == Decimal(100)


def test_a_makers_rebate_in_the_other_currency() -> None:
    row = order_row(fee="-0.5", feeCcy="USDT", rebate="0.00001", rebateCcy="BTC", state="filled", accFillSz="0.01")
    found = orders.order(row, SPOT, account_id=ACCOUNT)
    assert found.fees == {"USDT": Decimal("0.5"), "BTC": Decimal("-0.00001")}
    same = orders.order({**row, "rebateCcy": "USDT", "rebate": "0.2"}, SPOT, account_id=ACCOUNT)
    assert same.fees == {"USDT": Decimal("0.3")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"state": "live"}, OrderStatus.WORKING),
        ({"state": "partially_filled", "accFillSz": "0.004"}, OrderStatus.PARTIALLY_FILLED),
        ({"state": "filled"}, OrderStatus.FILLED),
        ({"state": "canceled", "cancelSource": "1"}, OrderStatus.CANCELLED),
        ({"state": "canceled", "cancelSource": ""}, OrderStatus.CANCELLED),
        ({"state": "canceled", "cancelSource": "20"}, OrderStatus.CANCELLED),
        ({"state": "mmp_canceled"}, OrderStatus.CANCELLED),
        ({"state": "canceled", "cancelSource": "31", "ordType": "post_only"}, OrderStatus.EXPIRED),
        ({"state": "canceled", "cancelSource": "1", "ordType": "post_only"}, OrderStatus.CANCELLED),
        ({"state": "canceled", "cancelSource": "13", "ordType": "fok"}, OrderStatus.EXPIRED),
        ({"state": "canceled", "cancelSource": "14", "ordType": "ioc"}, OrderStatus.EXPIRED),
        ({"state": "canceled", "cancelSource": "", "ordType": "ioc"}, OrderStatus.EXPIRED),
        ({"state": "canceled", "cancelSource": "0", "ordType": "market"}, OrderStatus.EXPIRED),
        ({"state": "canceled", "cancelSource": "32", "ordType": "ioc"}, OrderStatus.CANCELLED),
        ({"state": "canceled", "cancelSource": "14", "ordType": "optimal_limit_ioc"}, OrderStatus.EXPIRED),
    ],
)
def test_states(change: dict[str, str], expected: OrderStatus) -> None:
    assert orders.order(order_row(**change), SPOT, account_id=ACCOUNT).status is expected


@pytest.mark.parametrize(
    "change",
    [
        {"state": "order_failed"},
        {"state": ""},
        {"side": "hold"},
        {"ordType": "iceberg"},
        {"posSide": "both"},
        {"ordId": ""},
        {"sz": ""},
        {"accFillSz": "1e99"},
        {"cTime": ""},
        {"cTime": "99999999999999999"},
    ],
)
def test_what_is_not_documented_is_unreadable(change: dict[str, str]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.order(order_row(**change), SPOT, account_id=ACCOUNT)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"reduceOnly": "true"}, True),
        ({"reduceOnly": "false"}, False),
        ({"posSide": "long", "side": "sell"}, True),
        ({"posSide": "short", "side": "buy"}, True),
        ({"posSide": "short", "side": "sell"}, False),
    ],
)
def test_reductions(change: dict[str, str], expected: bool) -> None:
    assert orders.order(order_row(**change), SWAP, account_id=ACCOUNT).reduce_only is expected


# -- fills and bills --------------------------------------------------------------------------------------------
def test_a_fill() -> None:
    found = orders.fill(FILL_ROW, LTC_SPOT, account_id=ACCOUNT)
    assert found.trade_id == TradeId("LTC-USDT:56181695"), "OKX numbers trades by instrument"
    assert (found.quantity, found.price) == (Decimal("0.1"), Decimal("67.84"))
    assert (found.fee, found.fee_currency, found.liquidity) == (Decimal("0.0001"), "LTC", LiquiditySide.TAKER)
    assert (found.side, found.kind, found.time) == (OrderSide.BUY, "trade", at(1698835093027))


def test_two_instruments_may_have_one_trade_number() -> None:
    other = orders.fill({**FILL_ROW, "instId": "BTC-USDT"}, SPOT, account_id=ACCOUNT)
    assert other.trade_id != orders.fill(FILL_ROW, LTC_SPOT, account_id=ACCOUNT).trade_id


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"fee": "0.0002", "execType": "M"}, (Decimal("-0.0002"), LiquiditySide.MAKER, "trade")),
        ({"fee": "", "execType": ""}, (Decimal(0), LiquiditySide.UNKNOWN, "trade")),
        ({"fee": "0", "subType": "125", "tradeId": "-7"}, (Decimal(0), LiquiditySide.TAKER, "adl")),
        ({"subType": "104"}, (Decimal("0.0001"), LiquiditySide.TAKER, "liquidation")),
        ({"subType": "999"}, (Decimal("0.0001"), LiquiditySide.TAKER, "subtype_999")),
    ],
)
def test_fees_and_kinds_of_fills(change: dict[str, str], expected: tuple[Any, ...]) -> None:
    found = orders.fill({**FILL_ROW, **change}, LTC_SPOT, account_id=ACCOUNT)
    assert (found.fee, found.liquidity, found.kind) == expected


def test_a_fill_without_a_number_is_named_by_its_bill() -> None:
    found = orders.fill({**FILL_ROW, "tradeId": "0"}, LTC_SPOT, account_id=ACCOUNT)
    assert found.trade_id.value == "LTC-USDT:bill-639895991340056576"
    forced = orders.fill({**FILL_ROW, "tradeId": "-56181695"}, LTC_SPOT, account_id=ACCOUNT)
    assert forced.trade_id.value == "LTC-USDT:-56181695"


def test_a_bill_of_a_trade_is_net_of_its_fee() -> None:
    """0.021955779 bought, 0.000021955779 taken: 0.021933823221 came in."""
    found = bills.cash_event(BILL_ROW, SPOT, account_id=ACCOUNT)
    assert found.amount == Decimal("0.021955779") - Decimal("0.000021955779") == Decimal("0.0219338232210000")
    assert (found.kind, found.currency, found.event_id) == (CashEventKind.TRADE, "USDT", "623950854533513219")
    assert (found.trade_id, found.venue_order_id) == (TradeId("BTC-USDT:586760148"), VenueOrderId("623950854525124608"))
    assert found.balance_after == Decimal("8694.2179403378290202") and found.venue_kind == "2/1"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        *[(kind, CashEventKind.TRADE) for kind in ("2", "5", "9", "13", "14", "24", "27", "28", "29", "30", "32")],
        *[(kind, CashEventKind.TRANSFER) for kind in ("1", "6", "12", "26")],
        *[(kind, CashEventKind.SETTLEMENT) for kind in ("3", "34")],
        *[(kind, CashEventKind.INTEREST) for kind in ("7", "381")],
        *[(kind, CashEventKind.FEE) for kind in ("250", "251")],
        ("8", CashEventKind.FUNDING),
        *[(kind, CashEventKind.UNMAPPED) for kind in ("4", "10", "11", "15", "16", "22", "33", "999")],
    ],
)
def test_every_documented_type_of_bills(kind: str, expected: CashEventKind) -> None:
    assert bills.cash_event({**BILL_ROW, "type": kind}, SPOT, account_id=ACCOUNT).kind is expected


def test_a_bill_without_an_instrument() -> None:
    row = {**BILL_ROW, "type": "1", "subType": "11", "instId": "", "ordId": "", "tradeId": "", "balChg": "-25.5"}
    found = bills.cash_event(row, None, account_id=ACCOUNT)
    assert (found.kind, found.amount, found.instrument_id) == (CashEventKind.TRANSFER, Decimal("-25.5"), None)
    assert (found.trade_id, found.venue_order_id) == (None, None)
    with pytest.raises(AnswerUnreadable):
        bills.cash_event({**row, "balChg": ""}, None, account_id=ACCOUNT)


NOISY = "0.00000812345678901234567"  # what a float of this size prints: no row may become unreadable by it


def test_noise_behind_the_eighteenth_decimal_makes_no_answer_unreadable() -> None:
    cut = Decimal("0.000008123456789012")
    position = mapping.position({**POSITION_ROW, "avgPx": NOISY, "upl": f"-{NOISY}"}, LTC, account_id=ACCOUNT)
    assert (position.average_price, position.unrealised_pnl) == (cut, -cut)
    assert mapping.has_money({"ccy": "BTC", "cashBal": "0", "eq": "8.1234567890123456e-19", "liab": ""})
    order = orders.order(order_row(avgPx=NOISY, fee=f"-{NOISY}"), SPOT, account_id=ACCOUNT)
    assert order.average_price == cut and order.fees == {"BTC": cut}
    event = bills.cash_event({**BILL_ROW, "balChg": f"-{NOISY}", "bal": NOISY}, SPOT, account_id=ACCOUNT)
    assert (event.amount, event.balance_after) == (-cut, cut)
    with pytest.raises(AnswerUnreadable, match="accFillSz must have an exponent"):
        orders.order(order_row(accFillSz=NOISY), SPOT, account_id=ACCOUNT)
