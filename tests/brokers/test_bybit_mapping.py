"""Recorded Bybit bodies through the mapping, against values computed by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.bybit import mapping, orders
from brokers.bybit.instruments import delisted, instrument, market_of
from brokers.errors import AnswerUnreadable, Unsupported, VenueUnavailable
from brokers.ids import AccountId, InstrumentId
from brokers.types import (
    CashEventKind,
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
from tests.brokers.loopback import LINEAR_ROW, SPOT_ROW

ACCOUNT = AccountId.parse("bybit.testnet.main")
T = datetime(2024, 1, 1, tzinfo=UTC)
BTC = market_of(instrument(LINEAR_ROW, ProductKind.LINEAR))  # type: ignore[arg-type]
BTC_SPOT = market_of(instrument(SPOT_ROW, ProductKind.SPOT))  # type: ignore[arg-type]
LTC = delisted("LTCUSDT", ProductKind.LINEAR)

WALLET = json.loads(
    """{"accountType":"UNIFIED","totalMarginBalance":"90042.2788482","totalInitialMargin":"54.3100333",
    "totalAvailableBalance":"89987.9688149","totalPerpUPL":"-21.66812467","totalWalletBalance":"90060.46626531",
    "totalMaintenanceMargin":"7.38826721","accountMMRate":"0","totalEquity":"90042.2788482","coin":[{"coin":"USDT",
    "equity":"3304.29766609","walletBalance":"3322.25896609","unrealisedPnl":"-17.9613","usdValue":"3304.05314806",
    "locked":"42","totalOrderIM":"0","totalPositionIM":"50.61831144","totalPositionMM":"7.00285644",
    "borrowAmount":"0.000000000000000000","cumRealisedPnl":"-10225.43901403","bonus":"0","availableToWithdraw":"",
    "availableToBorrow":"","marginCollateral":true,"collateralSwitch":true,"spotHedgingQty":"0"}]}"""
)
POSITION = json.loads(
    """{"symbol":"LTCUSDT","side":"Buy","size":"1.2","avgPrice":"64.59947917","markPrice":"71.1",
    "positionValue":"77.519375","unrealisedPnl":"7.800625","cumRealisedPnl":"-51.90142002","leverage":"6",
    "liqPrice":"","positionIdx":0,"positionIM":"12.95542633","positionMM":"0.81072399","positionStatus":"Normal",
    "tradeMode":0,"adlRankIndicator":2,"seq":15411084098,"createdTime":"1677168085779",
    "updatedTime":"1699948800031","isReduceOnly":false}"""
)
ORDER_NEW = json.loads(
    """{"symbol":"BTCUSDT","orderType":"Limit","orderLinkId":"","orderId":"3606515b-e4d7-4ea4-b096-bb247d0661ae",
    "cancelType":"UNKNOWN","avgPrice":"","orderStatus":"New","createType":"CreateByUser","cumExecValue":"0",
    "cumExecQty":"0","cumExecFee":"0","cumFeeDetail":{},"rejectReason":"EC_NoError","price":"102000","qty":"0.001",
    "leavesQty":"0.001","leavesValue":"102","positionIdx":0,"timeInForce":"GTC","side":"Buy","reduceOnly":false,
    "triggerPrice":"","createdTime":"1758189775648","updatedTime":"1758189775651"}"""
)
FILL_SPOT = json.loads(
    """{"symbol":"BTCUSDT","orderType":"Market","orderLinkId":"1550857400247129600","orderId":"1550857400238740992",
    "execTime":"1699612608878","feeRate":"0.001","execPrice":"29708.7","orderQty":"0","orderPrice":"999999",
    "execValue":"9.9821232","execType":"Trade","side":"Buy","isMaker":false,"execFee":"0.000000336",
    "execId":"2100000000047087120","execQty":"0.000336","leavesQty":"0"}"""
)
FUNDING = json.loads(
    """{"symbol":"LTCUSDT","orderType":"UNKNOWN","execType":"Funding","orderQty":"0","execPrice":"72.25",
    "execQty":"1.2","execFee":"0.00867","side":"Buy","execId":"f1","orderId":"o1","execTime":"1699948800000"}"""
)


def test_wallet_in_cross_mode_gives_no_available() -> None:
    found = mapping.balance(WALLET["coin"][0], account_id=ACCOUNT, mode=MarginMode.CROSS, time=T)
    assert (found.currency, found.total, found.available) == ("USDT", Decimal("3322.25896609"), None)
    assert found.held == Decimal("92.61831144")


def test_wallet_in_isolated_mode_follows_the_documented_formula() -> None:
    row = {**WALLET["coin"][0], "bonus": "10"}
    found = mapping.balance(row, account_id=ACCOUNT, mode=MarginMode.ISOLATED, time=T)
    assert found.available == Decimal("3219.64065465")


def test_wallet_in_portfolio_mode_has_empty_margins() -> None:
    row = {**WALLET["coin"][0], "totalOrderIM": "", "totalPositionIM": "", "locked": "0"}
    found = mapping.balance(row, account_id=ACCOUNT, mode=MarginMode.PORTFOLIO, time=T)
    assert found.held == 0 and found.available is None


@pytest.mark.parametrize(
    ("fields", "counts"),
    [({"walletBalance": "0"}, False), ({"walletBalance": "0", "spotBorrow": "1"}, True), ({"equity": "-3"}, True)],
)
def test_coins_without_money_are_left_out(fields: dict[str, str], counts: bool) -> None:
    assert mapping.has_money({"coin": "BTC", **fields}) is counts


def test_margin_health_is_in_usd() -> None:
    found = mapping.margin_health(WALLET, account_id=ACCOUNT, time=T)
    assert found.currency == "USD" and found.equity == Decimal("90042.2788482")
    assert found.available == Decimal("89987.9688149") and found.initial_margin == Decimal("54.3100333")
    assert found.maintenance_margin == Decimal("7.38826721") and found.maintenance_ratio == 0
    with pytest.raises(Unsupported, match="isolated"):
        mapping.margin_health({**WALLET, "totalEquity": ""}, account_id=ACCOUNT, time=T)


def test_long_position() -> None:
    found = mapping.position(POSITION, LTC, account_id=ACCOUNT)
    assert (found.instrument_id, found.side, found.quantity) == (
        InstrumentId("LTC/USDT:USDT"),
        PositionSide.LONG,
        Decimal("1.2"),
    )
    assert found.average_price == Decimal("64.59947917") and found.mark_price == Decimal("71.1")
    assert found.unrealised_pnl == Decimal("7.800625") and found.leverage == 6
    assert found.realised_pnl is None and found.liquidation_price is None and found.mode is PositionMode.ONE_WAY
    assert found.time == datetime(2023, 11, 14, 8, 0, 0, 31_000, tzinfo=UTC)


def test_flat_position_has_empty_fields() -> None:
    row = {
        **POSITION,
        "side": "",
        "size": "0",
        "avgPrice": "0",
        "positionValue": "",
        "unrealisedPnl": "",
        "liqPrice": "",
    }
    found = mapping.position(row, LTC, account_id=ACCOUNT)
    assert (found.side, found.quantity, found.average_price, found.unrealised_pnl) == (PositionSide.FLAT, 0, None, None)


def test_hedge_short_position() -> None:
    row = {**POSITION, "side": "Sell", "positionIdx": 2, "liqPrice": "99.5", "leverage": ""}
    found = mapping.position(row, LTC, account_id=ACCOUNT)
    assert (found.side, found.quantity, found.mode) == (PositionSide.SHORT, Decimal("-1.2"), PositionMode.HEDGE)
    assert found.liquidation_price == Decimal("99.5") and found.leverage is None


@pytest.mark.parametrize(
    "change",
    [
        {"side": "Long"},
        {"side": ""},
        {"size": "-1"},
        {"size": "x"},
        {"positionIdx": 3},
        {"updatedTime": ""},
        {"size": None},
    ],
)
def test_malformed_positions_are_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        mapping.position({**POSITION, **change}, LTC, account_id=ACCOUNT)


def test_profit_and_loss_adds_both_sides_of_hedge_mode() -> None:
    other = {**POSITION, "side": "Sell", "positionIdx": 2, "unrealisedPnl": "-1.5", "cumRealisedPnl": "2"}
    (found,) = mapping.profit_and_loss([(POSITION, LTC), (other, LTC)], account_id=ACCOUNT, time=T)
    assert (found.currency, found.realised, found.unrealised) == ("USDT", Decimal("-49.90142002"), Decimal("6.300625"))


def test_leverage_of_both_modes() -> None:
    one = mapping.leverage_info([POSITION], LTC, MarginMode.CROSS)
    assert (one.long_leverage, one.short_leverage, one.position_mode) == (6, 6, PositionMode.ONE_WAY)
    long_row, short_row = ({**POSITION, "positionIdx": 1}, {**POSITION, "positionIdx": 2, "leverage": "3"})
    two = mapping.leverage_info([long_row, short_row], LTC, MarginMode.ISOLATED)
    assert (two.long_leverage, two.short_leverage, two.position_mode) == (6, 3, PositionMode.HEDGE)
    with pytest.raises(AnswerUnreadable, match="both sides"):
        mapping.leverage_info([long_row], LTC, MarginMode.CROSS)
    with pytest.raises(AnswerUnreadable, match="no position row"):
        mapping.leverage_info([], LTC, MarginMode.CROSS)
    with pytest.raises(Unsupported, match="portfolio"):
        mapping.leverage_info([{**POSITION, "leverage": ""}], LTC, MarginMode.PORTFOLIO)


def test_ticker() -> None:
    row = {"symbol": "BTCUSDT", "lastPrice": "51444.40", "markPrice": "51444.45", "bid1Price": "51444.30"}
    found = mapping.quote({**row, "ask1Price": "51444.40"}, BTC, T)
    assert (found.bid, found.ask, found.last, found.mark) == tuple(
        Decimal(text) for text in ("51444.30", "51444.40", "51444.40", "51444.45")
    )
    assert found.mid == Decimal("51444.35")
    with pytest.raises(VenueUnavailable, match="ask1Price"):
        mapping.quote({**row, "ask1Price": ""}, BTC, T)
    assert mapping.quote({**row, "ask1Price": "51444.40", "markPrice": ""}, BTC_SPOT, T).mark is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("REGULAR_MARGIN", MarginMode.CROSS),
        ("ISOLATED_MARGIN", MarginMode.ISOLATED),
        ("PORTFOLIO_MARGIN", MarginMode.PORTFOLIO),
    ],
)
def test_margin_modes(name: str, mode: MarginMode) -> None:
    assert mapping.margin_mode({"marginMode": name}) is mode


@pytest.mark.parametrize("result", [{}, {"marginMode": "NEW_MARGIN"}])
def test_unknown_margin_mode_is_unreadable(result: dict[str, str]) -> None:
    with pytest.raises(AnswerUnreadable, match="marginMode"):
        mapping.margin_mode(result)


def test_linear_instrument() -> None:
    found = instrument(LINEAR_ROW, ProductKind.LINEAR)
    assert found is not None and found.instrument_id == InstrumentId("BTC/USDT:USDT")
    assert (found.tick_size, found.lot_size, found.quantity_min) == (Decimal("0.1"), Decimal("0.001"), Decimal("0.001"))
    assert (found.notional_min, found.quantity_max_limit, found.quantity_max_market) == (5, 1190, 500)
    assert (found.leverage_min, found.leverage_max, found.leverage_step) == (1, 100, Decimal("0.01"))
    assert found.contract_size == 1 and found.is_trading


def test_spot_instrument_takes_its_lot_from_base_precision() -> None:
    found = instrument(SPOT_ROW, ProductKind.SPOT)
    assert found is not None and found.instrument_id == InstrumentId("BTC/USDT")
    assert (found.lot_size, found.quantity_min, found.notional_min) == (Decimal("0.000001"), Decimal("0.000011"), 5)
    assert (found.quantity_max_limit, found.quantity_max_market) == (83, Decimal("41.5"))
    assert found.leverage_max is None


def test_dated_futures_and_other_contracts() -> None:
    dated = {**LINEAR_ROW, "symbol": "BTC-27MAR26", "contractType": "LinearFutures", "settleCoin": "USDC"}
    found = instrument({**dated, "quoteCoin": "USDC", "deliveryTime": "1774598400000"}, ProductKind.LINEAR)
    assert found is not None and found.instrument_id == InstrumentId("BTC/USDC:USDC-260327")
    assert instrument({**LINEAR_ROW, "contractType": "InversePerpetual"}, ProductKind.LINEAR) is None
    closed = instrument({**LINEAR_ROW, "status": "Delivering"}, ProductKind.LINEAR)
    assert closed is not None and not closed.is_trading


@pytest.mark.parametrize(
    "change", [{"priceFilter": {"tickSize": "0"}}, {"lotSizeFilter": None}, {"baseCoin": ""}, {"priceFilter": {}}]
)
def test_malformed_instruments_are_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        instrument({**LINEAR_ROW, **change}, ProductKind.LINEAR)


@pytest.mark.parametrize(
    ("symbol", "product", "name", "settle"),
    [
        ("LUNAUSDT", ProductKind.LINEAR, "LUNA/USDT:USDT", "USDT"),
        ("ETHPERP", ProductKind.LINEAR, "ETH/USDC:USDC", "USDC"),
        ("LUNAUSDC", ProductKind.SPOT, "LUNA/USDC", "USDC"),
        ("ETHBTC", ProductKind.SPOT, "ETH/BTC", "BTC"),
    ],
)
def test_delisted_symbols_are_read_from_their_names(symbol: str, product: ProductKind, name: str, settle: str) -> None:
    found = delisted(symbol, product)
    assert (found.instrument_id, found.settle) == (InstrumentId(name), settle)


@pytest.mark.parametrize(
    ("symbol", "product"), [("USDT", ProductKind.SPOT), ("ODDXYZ", ProductKind.SPOT), ("BTCUSD", ProductKind.LINEAR)]
)
def test_names_that_tell_nothing_are_unreadable(symbol: str, product: ProductKind) -> None:
    with pytest.raises(AnswerUnreadable, match=symbol):
        delisted(symbol, product)


def test_new_order() -> None:
    found = orders.order(ORDER_NEW, BTC, account_id=ACCOUNT)
    assert found.venue_order_id.value == "3606515b-e4d7-4ea4-b096-bb247d0661ae" and found.client_order_id is None
    assert (found.status, found.order_type, found.side) == (OrderStatus.WORKING, OrderType.LIMIT, OrderSide.BUY)
    assert (found.quantity, found.filled_quantity, found.remaining) == (Decimal("0.001"), 0, Decimal("0.001"))
    assert (found.limit_price, found.average_price, found.trigger_price) == (102000, None, None)
    assert found.time_in_force is TimeInForce.GTC and found.fees == {} and found.reject_code == ""
    assert found.created_at == datetime(2025, 9, 18, 10, 2, 55, 648_000, tzinfo=UTC)


def test_filled_market_order_hides_the_price_cap() -> None:
    row = {
        **ORDER_NEW,
        "orderType": "Market",
        "avgPrice": "123498",
        "orderStatus": "Filled",
        "cumExecQty": "0.001",
        "cumExecValue": "123.498",
        "cumFeeDetail": {"USDT": "0.0679239"},
        "price": "123615.9",
        "timeInForce": "IOC",
        "leavesQty": "0",
    }
    found = orders.order(row, BTC, account_id=ACCOUNT)
    assert (found.status, found.order_type, found.time_in_force) == (
        OrderStatus.FILLED,
        OrderType.MARKET,
        TimeInForce.IOC,
    )
    assert found.average_price == 123498 and found.limit_price is None and found.remaining == 0
    assert found.fees == {"USDT": Decimal("0.0679239")}


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        ("Created", "EC_NoError", OrderStatus.ACCEPTED),
        ("New", "EC_NoError", OrderStatus.WORKING),
        ("Untriggered", "EC_NoError", OrderStatus.WORKING),
        ("Triggered", "EC_NoError", OrderStatus.WORKING),
        ("PartiallyFilled", "EC_NoError", OrderStatus.PARTIALLY_FILLED),
        ("Filled", "EC_NoError", OrderStatus.FILLED),
        ("Cancelled", "EC_PerCancelRequest", OrderStatus.CANCELLED),
        ("Cancelled", "EC_PostOnlyWillTakeLiquidity", OrderStatus.EXPIRED),
        ("Cancelled", "EC_NoImmediateQtyToFill", OrderStatus.EXPIRED),
        ("Cancelled", "EC_NoEnoughQtyToFill", OrderStatus.EXPIRED),
        ("Cancelled", "EC_CancelForNoFullFill", OrderStatus.EXPIRED),
        ("PartiallyFilledCanceled", "EC_NoError", OrderStatus.CANCELLED),
        ("Rejected", "EC_Others", OrderStatus.REJECTED),
        ("Deactivated", "EC_NoError", OrderStatus.CANCELLED),
    ],
)
def test_every_order_status(status: str, reason: str, expected: OrderStatus) -> None:
    found = orders.order({**ORDER_NEW, "orderStatus": status, "rejectReason": reason}, BTC, account_id=ACCOUNT)
    assert found.status is expected and found.status_text == status
    assert found.reject_code == ("" if reason == "EC_NoError" else reason)


def test_a_cancelled_order_may_hold_fills_whatever_leaves_says() -> None:
    row = {**ORDER_NEW, "orderStatus": "Cancelled", "cumExecQty": "0.0004", "leavesQty": "0", "avgPrice": "101000"}
    found = orders.order(row, BTC, account_id=ACCOUNT)
    assert (found.filled_quantity, found.remaining) == (Decimal("0.0004"), Decimal("0.0006"))


def test_stop_and_hedge_fields() -> None:
    row = {**ORDER_NEW, "triggerPrice": "99000.5", "positionIdx": 2, "reduceOnly": True, "timeInForce": "PostOnly"}
    found = orders.order(row, BTC, account_id=ACCOUNT)
    assert (found.order_type, found.trigger_price) == (OrderType.STOP_LIMIT, Decimal("99000.5"))
    assert found.position_side is PositionSide.SHORT and found.reduce_only and found.time_in_force is TimeInForce.GTC
    market = orders.order({**row, "orderType": "Market"}, BTC, account_id=ACCOUNT)
    assert market.order_type is OrderType.STOP_MARKET and market.limit_price is None


def test_a_spot_order_placed_by_value_counts_what_it_bought() -> None:
    row = {
        **{key: value for key, value in ORDER_NEW.items() if key != "positionIdx"},
        "orderType": "Market",
        "marketUnit": "quoteCoin",
        "qty": "100",
        "cumExecQty": "0.00098",
        "orderStatus": "PartiallyFilledCanceled",
    }
    found = orders.order(row, BTC_SPOT, account_id=ACCOUNT)
    assert (found.quantity, found.filled_quantity, found.position_side) == (
        Decimal("0.00098"),
        Decimal("0.00098"),
        None,
    )


@pytest.mark.parametrize("name", ["Block trade-Limit", "Block trade Roll Back"])
def test_a_block_trade_that_a_person_made_does_not_hide_the_others(name: str) -> None:
    """Documented on the page "Get Order History"."""
    found = orders.order({**ORDER_NEW, "orderType": name, "orderStatus": "Filled"}, BTC, account_id=ACCOUNT)
    assert found.order_type is OrderType.LIMIT and found.limit_price == 102000


@pytest.mark.parametrize(
    "change",
    [
        {"orderStatus": "Paused"},
        {"orderStatus": ""},
        {"side": "Hold"},
        {"orderType": "Stop"},
        {"qty": ""},
        {"createdTime": "now"},
        {"createdTime": "99999999999999999"},
        {"createdTime": "1.5"},
        {"orderId": None},
        {"positionIdx": 7},
        {"reduceOnly": "yes"},
        {"cumFeeDetail": {"USDT": "NaN"}},
    ],
)
def test_malformed_orders_are_unreadable(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.order({**ORDER_NEW, **change}, BTC, account_id=ACCOUNT)


def test_spot_buy_fee_is_in_base_currency() -> None:
    found = orders.fill(FILL_SPOT, BTC_SPOT, account_id=ACCOUNT)
    assert (found.quantity, found.price) == (Decimal("0.000336"), Decimal("29708.7"))
    assert (found.fee, found.fee_currency) == (Decimal("0.000000336"), "BTC")
    assert found.liquidity is LiquiditySide.TAKER and found.kind == "trade"
    assert found.time == datetime(2023, 11, 10, 10, 36, 48, 878_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("side", "maker", "rate", "fee", "currency"),
    [
        ("Buy", True, "0.001", "0.1", "BTC"),
        ("Sell", True, "0.001", "0.1", "USDT"),
        ("Buy", False, "0.001", "0.1", "BTC"),
        ("Sell", False, "0.001", "0.1", "USDT"),
        ("Buy", True, "-0.0001", "-0.1", "USDT"),
        ("Sell", True, "-0.0001", "-0.1", "BTC"),
    ],
)
def test_the_spot_fee_currency_rule(side: str, maker: bool, rate: str, fee: str, currency: str) -> None:
    row = {**FILL_SPOT, "side": side, "isMaker": maker, "feeRate": rate, "execFee": fee}
    assert orders.fill(row, BTC_SPOT, account_id=ACCOUNT).fee_currency == currency
    assert orders.fill({**row, "feeCurrency": "MNT"}, BTC_SPOT, account_id=ACCOUNT).fee_currency == "MNT"
    assert orders.fill(row, BTC, account_id=ACCOUNT).fee_currency == "USDT"


def test_liquidity_is_unknown_where_the_row_does_not_say() -> None:
    row = {key: value for key, value in FILL_SPOT.items() if key != "isMaker"}
    assert orders.fill(row, BTC_SPOT, account_id=ACCOUNT).liquidity is LiquiditySide.UNKNOWN
    maker = orders.fill({**row, "isMaker": True}, BTC_SPOT, account_id=ACCOUNT)
    assert maker.liquidity is LiquiditySide.MAKER


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        *(
            (kind, True)
            for kind in ("Trade", "AdlTrade", "BustTrade", "BlockTrade", "MovePosition", "Delivery", "NewKind")
        ),
        *((kind, False) for kind in ("Funding", "Settle")),
    ],
)
def test_which_executions_are_fills(kind: str, counts: bool) -> None:
    assert orders.is_fill({**FUNDING, "execType": kind}) is counts
    assert orders.fill({**FILL_SPOT, "execType": kind}, BTC, account_id=ACCOUNT).kind == kind.lower()


GST = [{"feeCoin": "USDT", "feeType": "GST", "subFeeType": "IND_GST", "feeRate": "0.000099", "fee": "0.004613796"}]


@pytest.mark.parametrize(
    ("extra", "fee"),
    [
        (GST, "0.030245996"),
        (json.dumps(GST), "0.030245996"),
        ([{**GST[0], "feeCoin": "IDR"}], "0.0256322"),
        ("", "0.0256322"),
        (None, "0.0256322"),
    ],
)
def test_taxes_beside_the_fee_are_paid_too(extra: object, fee: str) -> None:
    """As a live account in India showed an execution of SOLUSDT (documented on the page "Execution")."""
    row = {**FILL_SPOT, "execFee": "0.0256322", "feeCurrency": "USDT", "extraFees": extra}
    found = orders.fill(row, BTC, account_id=ACCOUNT)
    assert (found.fee, found.fee_currency) == (Decimal(fee), "USDT")


@pytest.mark.parametrize("extra", ["GST", "1", [{"fee": "1"}], [{"feeCoin": "USDT"}], 1])
def test_taxes_that_cannot_be_read(extra: object) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.fill({**FILL_SPOT, "extraFees": extra}, BTC, account_id=ACCOUNT)


LOG_ROW = {
    "id": "592324_XRPUSDT_161440249321",
    "symbol": "BTCUSDT",
    "category": "linear",
    "side": "Buy",
    "transactionTime": "1672128000000",
    "type": "TRADE",
    "qty": "0.01",
    "size": "0.01",
    "currency": "USDT",
    "tradePrice": "16500",
    "funding": "",
    "fee": "0.09075",
    "cashFlow": "-3.5",
    "change": "-3.59075",
    "cashBalance": "99996.40925",
    "tradeId": "t-1",
    "orderId": "o-1",
    "orderLinkId": "",
}


def test_a_log_row_is_one_event_with_the_whole_change() -> None:
    found = orders.cash_event(LOG_ROW, BTC, account_id=ACCOUNT)
    assert (found.kind, found.amount, found.currency) == (CashEventKind.TRADE, Decimal("-3.59075"), "USDT")
    assert found.balance_after == Decimal("99996.40925") and found.venue_kind == "TRADE"
    assert str(found.trade_id) == "t-1" and str(found.venue_order_id) == "o-1"
    assert found.instrument_id == InstrumentId("BTC/USDT:USDT")


@pytest.mark.parametrize(
    ("name", "cash_flow", "kind"),
    [
        ("TRANSFER_IN", "5", CashEventKind.TRANSFER),
        ("TRANSFER_OUT", "-5", CashEventKind.TRANSFER),
        ("SETTLEMENT", "0", CashEventKind.FUNDING),
        ("SETTLEMENT", "", CashEventKind.FUNDING),
        ("SETTLEMENT", "1.5", CashEventKind.SETTLEMENT),
        ("DELIVERY", "1", CashEventKind.SETTLEMENT),
        ("LIQUIDATION", "1", CashEventKind.TRADE),
        ("ADL", "1", CashEventKind.TRADE),
        ("INTEREST", "-1", CashEventKind.INTEREST),
        ("FEE_REFUND", "1", CashEventKind.FEE),
        ("DBS_CASH_IN", "1", CashEventKind.DEPOSIT),
        ("DBS_CASH_OUT", "-1", CashEventKind.WITHDRAWAL),
        ("AUTO_DEDUCTION", "-1", CashEventKind.UNMAPPED),
        ("BORROW", "1", CashEventKind.UNMAPPED),
        ("SOMETHING_NEW", "1", CashEventKind.UNMAPPED),
        ("", "1", CashEventKind.UNMAPPED),
    ],
)
def test_cash_kinds(name: str, cash_flow: str, kind: CashEventKind) -> None:
    row = {**LOG_ROW, "type": name, "cashFlow": cash_flow, "tradeId": "", "orderId": ""}
    found = orders.cash_event(row, None, account_id=ACCOUNT)
    assert (found.kind, found.venue_kind) == (kind, name)
    assert found.trade_id is None and found.venue_order_id is None and found.instrument_id is None


def test_key_rights() -> None:
    key = {
        "readOnly": 0,
        "uta": 1,
        "isMaker": True,
        "isMaster": True,
        "expiredAt": "1970-01-01T00:00:00Z",
        "permissions": {"ContractTrade": ["Order", "Position"], "Spot": ["SpotTrade"], "Wallet": [], "NFT": None},
    }
    assert mapping.permissions(key) == ("ContractTrade.Order", "ContractTrade.Position", "Spot.SpotTrade")
    assert not mapping.is_read_only(key) and mapping.is_unified(key) and mapping.is_master(key)
    assert mapping.expires_at(key) is None and mapping.expires_at({}) is None
    assert mapping.expires_at({"expiredAt": "2027-02-20T18:54:04Z"}) == datetime(2027, 2, 20, 18, 54, 4, tzinfo=UTC)
    for text in ("soon", "2027-02-20T18:54:04"):
        with pytest.raises(AnswerUnreadable, match="expiredAt"):
            mapping.expires_at({"expiredAt": text})
    with pytest.raises(AnswerUnreadable, match="permissions"):
        mapping.permissions({})
