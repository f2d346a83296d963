"""Recorded rows as domain values, worked out by hand, and rows that must not be believed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.binance import algos, mapping, orders
from brokers.binance.instruments import Market, delisted, instrument, market_of, symbol_of
from brokers.errors import AnswerUnreadable, InvalidOrder, VenueUnavailable
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
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
from tests.brokers.binance.recorded import (
    ALGO_ORDER,
    COMMISSION_INCOME,
    FUTURES_ACCOUNT,
    FUTURES_PLACED,
    FUTURES_POSITION,
    FUTURES_SHARED,
    FUTURES_SYMBOL,
    FUTURES_TRADE,
    SPOT_ACCOUNT,
    SPOT_CANCELLED,
    SPOT_PLACED,
    SPOT_SYMBOL,
    SPOT_TRADE,
    SYMBOL_CONFIG,
    TRANSFER_INCOME,
    futures_order,
    spot_order,
)

ACCOUNT = AccountId.parse("binance.simulated.main")
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def market(symbol: str = "BTCUSDT", product: ProductKind = ProductKind.LINEAR) -> Market:
    return delisted(symbol, product)


SPOT, LINEAR = market(product=ProductKind.SPOT), market()


def ms(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds // 1000, UTC).replace(microsecond=milliseconds % 1000 * 1000)


# -- orders -----------------------------------------------------------------------------------------------------
def test_the_recorded_spot_order_that_was_cancelled() -> None:
    found = orders.order(SPOT_CANCELLED, market("LTCUSDT", ProductKind.SPOT), account_id=ACCOUNT)
    assert (str(found.venue_order_id), str(found.instrument_id)) == ("spot:LTCUSDT:3854801792", "LTC/USDT")
    assert found.client_order_id == ClientOrderId("x-R4BD3S82d1481ae59ba59326d82c8a")
    assert (found.status, found.status_text, found.side) == (OrderStatus.CANCELLED, "CANCELED", OrderSide.BUY)
    assert (found.order_type, found.time_in_force) == (OrderType.LIMIT, TimeInForce.GTC)
    assert (found.quantity, found.filled_quantity, found.remaining) == (Decimal("0.1"), 0, Decimal("0.1"))
    assert (found.limit_price, found.trigger_price, found.average_price) == (50, None, None)
    assert found.created_at == ms(1701856395927) and found.updated_at == ms(1706883268013)
    assert not found.reduce_only and found.position_side is None and found.fees == {}


def test_the_recorded_futures_order() -> None:
    found = orders.order({**FUTURES_PLACED, "time": 1739781831932}, LINEAR, account_id=ACCOUNT)
    assert str(found.venue_order_id) == "linear:BTCUSDT:4087922044" and found.status is OrderStatus.WORKING
    assert (found.side, found.limit_price, found.quantity) == (OrderSide.SELL, 110001, Decimal("0.2"))
    assert (found.average_price, found.position_side, found.reduce_only) == (None, None, False)


def test_the_answers_to_placements() -> None:
    ours = ClientOrderId("x-R4BD3S824d31be3228a348eaa0a303")
    spot = orders.ack(SPOT_PLACED, market("SOLUSDT", ProductKind.SPOT), ours)
    assert (str(spot.venue_order_id), spot.client_order_id, spot.is_final) == ("spot:SOLUSDT:9780331417", ours, True)
    assert spot.time == ms(1737635557417)
    theirs = ClientOrderId("x-xcKtGhcu04075babaeb34c55af79ba")
    linear = orders.ack(FUTURES_PLACED, LINEAR, theirs)
    assert str(linear.venue_order_id) == "linear:BTCUSDT:4087922044" and linear.time == ms(1739781831932)


@pytest.mark.parametrize(
    "change",
    [
        {"clientOrderId": "another"},
        {"symbol": "ETHUSDT"},
        {"orderId": None},
        {"status": "BRAND_NEW"},
        {"updateTime": ""},
    ],
)
def test_an_answer_about_another_order_proves_nothing_about_ours(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.ack({**FUTURES_PLACED, **change}, LINEAR, ClientOrderId("x-xcKtGhcu04075babaeb34c55af79ba"))


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("NEW", OrderStatus.WORKING),
        ("PENDING_NEW", OrderStatus.WORKING),
        ("PARTIALLY_FILLED", OrderStatus.PARTIALLY_FILLED),
        ("FILLED", OrderStatus.FILLED),
        ("CANCELED", OrderStatus.CANCELLED),
        ("PENDING_CANCEL", OrderStatus.WORKING),
        ("REJECTED", OrderStatus.REJECTED),
        ("EXPIRED", OrderStatus.EXPIRED),
        ("EXPIRED_IN_MATCH", OrderStatus.EXPIRED),
    ],
)
def test_every_status(word: str, status: OrderStatus) -> None:
    assert orders.order(spot_order(status=word), SPOT, account_id=ACCOUNT).status is status
    assert orders.order(futures_order(status=word), LINEAR, account_id=ACCOUNT).status is status


@pytest.mark.parametrize(
    ("product", "word", "kind"),
    [
        ("spot", "LIMIT_MAKER", OrderType.LIMIT),
        ("spot", "STOP_LOSS", OrderType.STOP_MARKET),
        ("spot", "TAKE_PROFIT", OrderType.STOP_MARKET),
        ("spot", "TAKE_PROFIT_LIMIT", OrderType.STOP_LIMIT),
        ("linear", "STOP", OrderType.STOP_LIMIT),
        ("linear", "TAKE_PROFIT", OrderType.STOP_LIMIT),
        ("linear", "STOP_MARKET", OrderType.STOP_MARKET),
    ],
)
def test_one_word_names_another_type_on_the_other_product(product: str, word: str, kind: OrderType) -> None:
    row = {"type": word, "stopPrice": "49000.00", "price": "48000.00"}
    is_spot = product == "spot"
    found = orders.order(
        spot_order(**row) if is_spot else futures_order(**row), SPOT if is_spot else LINEAR, account_id=ACCOUNT
    )
    assert found.order_type is kind
    is_stop = kind in (OrderType.STOP_MARKET, OrderType.STOP_LIMIT)
    assert found.trigger_price == (49000 if is_stop else None)
    assert found.limit_price == (None if kind is OrderType.STOP_MARKET else 48000)


def test_average_prices() -> None:
    part = {"status": "EXPIRED", "executedQty": "0.03000000"}
    spot = orders.order(spot_order(**part, cummulativeQuoteQty="1500.01000000"), SPOT, account_id=ACCOUNT)
    assert spot.average_price == Decimal("50000.333333333333") and spot.status is OrderStatus.EXPIRED
    even = orders.order(spot_order(**part, cummulativeQuoteQty="1500.00000000"), SPOT, account_id=ACCOUNT)
    assert str(even.average_price) in ("50000", "5E+4")
    old = orders.order(spot_order(**part, cummulativeQuoteQty="-1.00000000"), SPOT, account_id=ACCOUNT)
    assert old.average_price is None, "a negative sum means that the venue has it no more"
    row = futures_order(status="FILLED", price="0", avgPrice="47279.40000", executedQty="0.010", type="MARKET")
    linear = orders.order(row, LINEAR, account_id=ACCOUNT)
    assert (linear.average_price, linear.limit_price) == (Decimal("47279.4"), None)


def test_a_leg_of_hedge_mode_and_a_closing_order() -> None:
    found = orders.order(
        futures_order(positionSide="SHORT", closePosition=True, origQty="0"), LINEAR, account_id=ACCOUNT
    )
    assert found.position_side is PositionSide.SHORT and found.reduce_only


def test_a_cancelled_spot_order_keeps_our_id_under_another_name() -> None:
    answer = spot_order(clientOrderId="id-of-the-cancel-request", origClientOrderId="at-1", status="CANCELED")
    assert orders.client_id(answer) == ClientOrderId("at-1")


@pytest.mark.parametrize(
    "change",
    [
        {"side": "buy"},
        {"type": "OCO"},
        {"origQty": ""},
        {"origQty": "1e999"},
        {"time": "yesterday"},
        {"orderId": 1.5},
        {"status": ""},
        {"executedQty": "many"},
    ],
)
def test_malformed_orders(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.order(spot_order(**change), SPOT, account_id=ACCOUNT)


def test_an_order_id_names_its_symbol_and_product() -> None:
    ours = orders.venue_order_id("28", LINEAR)
    assert orders.order_id_of(ours, LINEAR) == "28"
    for wrong in (
        "spot:BTCUSDT:28",
        "linear:ETHUSDT:28",
        "28",
        "linear:BTCUSDT:",
        "linear:BTCUSDT:x",
        "linear:BTCUSDT:²",
    ):
        with pytest.raises(InvalidOrder, match="linear:BTCUSDT:NUMBER"):
            orders.order_id_of(VenueOrderId(wrong), LINEAR)


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("NEW", OrderStatus.WORKING),
        ("TRIGGERING", OrderStatus.WORKING),
        ("TRIGGERED", OrderStatus.EXPIRED),
        ("FINISHED", OrderStatus.EXPIRED),
        ("CANCELED", OrderStatus.CANCELLED),
        ("REJECTED", OrderStatus.REJECTED),
    ],
)
def test_a_conditional_order_of_somebody_else(word: str, status: OrderStatus) -> None:
    bnb = market("BNBUSDT")
    found = algos.order({**ALGO_ORDER, "algoStatus": word}, bnb, account_id=ACCOUNT)
    assert (str(found.venue_order_id), found.status, found.status_text) == ("algo:BNBUSDT:2148627", status, word)
    assert (found.order_type, found.side, found.quantity) == (OrderType.STOP_LIMIT, OrderSide.SELL, Decimal("0.01"))
    assert (found.trigger_price, found.limit_price, found.filled_quantity) == (750, 750, 0)
    assert found.created_at == ms(1750514941540) and algos.algo_id_of(found.venue_order_id, bnb) == "2148627"
    for wrong in ("linear:BNBUSDT:1", "algo:BTCUSDT:1", "algo:BNBUSDT:"):
        with pytest.raises(InvalidOrder, match="algo:BNBUSDT:NUMBER"):
            algos.algo_id_of(VenueOrderId(wrong), bnb)
    with pytest.raises(InvalidOrder):
        algos.algo_id_of(found.venue_order_id, market("BNBUSDT", ProductKind.SPOT))


@pytest.mark.parametrize("change", [{"algoStatus": "NEWER"}, {"algoId": None}, {"orderType": "X"}, {"side": ""}])
def test_malformed_conditional_orders(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        algos.order({**ALGO_ORDER, **change}, market("BNBUSDT"), account_id=ACCOUNT)


# -- fills ------------------------------------------------------------------------------------------------------
def test_the_recorded_trades() -> None:
    spot = orders.fill(SPOT_TRADE, market("LTCUSDT", ProductKind.SPOT), account_id=ACCOUNT)
    assert (str(spot.trade_id), str(spot.venue_order_id)) == ("spot:LTCUSDT:309520010", "spot:LTCUSDT:3784695242")
    assert (spot.side, spot.liquidity, spot.client_order_id) == (OrderSide.SELL, LiquiditySide.TAKER, None)
    assert (spot.quantity, spot.price) == (Decimal("0.2"), Decimal("69.63"))
    assert (spot.fee, spot.fee_currency) == (Decimal("0.013926"), "USDT")  # 0.2 × 69.63 × 0.001
    assert spot.time == ms(1698138992358)
    linear = orders.fill(FUTURES_TRADE, LINEAR, account_id=ACCOUNT)
    assert (str(linear.trade_id), linear.side) == ("linear:BTCUSDT:272536245", OrderSide.BUY)
    assert (linear.fee, linear.fee_currency) == (Decimal("0.1462684"), "USDT")  # 365.671 × 0.0004


def test_both_sides_of_a_trade_with_oneself_have_ids_of_their_own() -> None:
    taker = orders.fill({**SPOT_TRADE, "symbol": "BTCUSDT"}, SPOT, account_id=ACCOUNT)
    maker = orders.fill({**SPOT_TRADE, "isMaker": True, "isBuyer": True, "orderId": 7}, SPOT, account_id=ACCOUNT)
    assert taker.trade_id != maker.trade_id and maker.liquidity is LiquiditySide.MAKER
    assert maker.side is OrderSide.BUY and str(maker.trade_id).endswith(":7")


def test_a_fee_may_be_paid_in_another_coin_or_be_a_rebate() -> None:
    found = orders.fill(
        {**FUTURES_TRADE, "commission": "-0.00001", "commissionAsset": "BNB"}, LINEAR, account_id=ACCOUNT
    )
    assert (found.fee, found.fee_currency) == (Decimal("-0.00001"), "BNB")


@pytest.mark.parametrize(
    "change", [{"isBuyer": None}, {"id": None}, {"commission": ""}, {"commissionAsset": ""}, {"qty": "x"}]
)
def test_malformed_trades(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        orders.fill({**SPOT_TRADE, **change}, SPOT, account_id=ACCOUNT)


# -- wallet changes ---------------------------------------------------------------------------------------------
def test_income_rows_of_one_number_are_told_apart_by_their_type() -> None:
    moved = orders.cash_event(TRANSFER_INCOME, None, account_id=ACCOUNT)
    paid = orders.cash_event(COMMISSION_INCOME, LINEAR, account_id=ACCOUNT)
    assert (moved.kind, moved.amount, moved.currency) == (CashEventKind.TRANSFER, Decimal("-0.375"), "USDT")
    assert moved.instrument_id is None and moved.trade_id is None and moved.time == ms(1570608000000)
    assert (paid.kind, paid.venue_kind, paid.amount) == (CashEventKind.TRADE, "COMMISSION", Decimal("-0.01"))
    assert paid.instrument_id == InstrumentId("BTC/USDT:USDT") and str(paid.trade_id) == "linear:BTCUSDT:2059192"
    assert moved.event_id != paid.event_id and moved.event_id == "TRANSFER:9689322392:USDT"


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("REALIZED_PNL", CashEventKind.TRADE),
        ("FUNDING_FEE", CashEventKind.FUNDING),
        ("DELIVERED_SETTELMENT", CashEventKind.SETTLEMENT),
        ("INSURANCE_CLEAR", CashEventKind.FEE),
        ("REFERRAL_KICKBACK", CashEventKind.FEE),
        ("COIN_SWAP_DEPOSIT", CashEventKind.DEPOSIT),
        ("OPTIONS_PREMIUM_FEE", CashEventKind.UNMAPPED),
        ("BRAND_NEW", CashEventKind.UNMAPPED),
    ],
)
def test_kinds_of_income(word: str, kind: CashEventKind) -> None:
    found = orders.cash_event({**TRANSFER_INCOME, "incomeType": word}, None, account_id=ACCOUNT)
    assert (found.kind, found.venue_kind) == (kind, word)


# -- account ----------------------------------------------------------------------------------------------------
def test_recorded_balances() -> None:
    (ltc,) = (mapping.spot_balance(row, account_id=ACCOUNT, time=NOW) for row in SPOT_ACCOUNT["balances"])
    assert (ltc.currency, ltc.total, ltc.available, ltc.held) == ("LTC", Decimal("0.919741"), Decimal("0.919741"), 0)
    shared = [
        mapping.futures_balance(row, account_id=ACCOUNT, is_shared=True, time=NOW) for row in FUTURES_SHARED["assets"]
    ]
    assert [(b.currency, b.total, b.available) for b in shared] == [
        ("FDUSD", 0, None),
        ("USDT", Decimal("3.72964781"), None),
    ], "a shared pool is nobody's own money"
    assert [mapping.has_money(balance) for balance in shared] == [False, True]
    winning = {**FUTURES_ACCOUNT["assets"][0], "availableBalance": "99"}
    gain = mapping.futures_balance(winning, account_id=ACCOUNT, is_shared=False, time=NOW)
    assert (gain.available, gain.held) == (gain.total, 0), "an open profit is not money yet"
    own = mapping.futures_balance(FUTURES_ACCOUNT["assets"][0], account_id=ACCOUNT, is_shared=False, time=NOW)
    assert (own.total, own.available, own.held) == (Decimal("23.72469206"), Decimal("20.72469206"), 3)


def test_two_wallets_are_one_balance_and_no_order_may_count_on_both() -> None:
    spot = mapping.spot_balance({"asset": "USDT", "free": "100", "locked": "5"}, account_id=ACCOUNT, time=NOW)
    futures = mapping.futures_balance(FUTURES_ACCOUNT["assets"][0], account_id=ACCOUNT, is_shared=False, time=NOW)
    (both,) = mapping.together([spot, futures])
    assert (both.total, both.held) == (Decimal("128.72469206"), 8)
    assert both.available is None
    assert mapping.together([spot]) == (spot,)


def test_what_spot_is_worth_is_never_guessed_upwards() -> None:
    rows = [("USDT", "10"), ("BTC", "0.5"), ("OBSCURE", "1000000")]
    held = [mapping.spot_balance({"asset": a, "free": f, "locked": "0"}, account_id=ACCOUNT, time=NOW) for a, f in rows]
    assert mapping.spot_value(held, {"BTCUSDT": Decimal("60000.01")}) == Decimal("30010.005")


def test_margin_of_both_products() -> None:
    futures_only = mapping.margin_health(FUTURES_ACCOUNT, None, account_id=ACCOUNT, is_shared=False, time=NOW)
    assert (futures_only.currency, futures_only.equity, futures_only.maintenance_ratio) == ("USDT", 25, Decimal("0.02"))
    assert (futures_only.available, futures_only.initial_margin) == (Decimal("20.72469206"), 3)
    both = mapping.margin_health(FUTURES_ACCOUNT, Decimal(1000), account_id=ACCOUNT, is_shared=False, time=NOW)
    assert (both.equity, both.maintenance_ratio) == (1025, Decimal("0.02")), "spot does not save futures"
    spot = mapping.margin_health(None, Decimal(1000), account_id=ACCOUNT, is_shared=False, time=NOW)
    assert (spot.equity, spot.available, spot.maintenance_ratio) == (1000, None, None)
    for free, available in (("10", "10"), ("30", "20.72469206"), ("0", "20.72469206")):
        own = mapping.margin_health(
            FUTURES_ACCOUNT, Decimal(1000), free=Decimal(free), account_id=ACCOUNT, is_shared=False, time=NOW
        )
        assert own.available == Decimal(available), "for an order of either product"
    shared = mapping.margin_health(FUTURES_SHARED, None, account_id=ACCOUNT, is_shared=True, time=NOW)
    assert (shared.currency, shared.equity) == ("USD", Decimal("26.26840422"))
    empty = {**FUTURES_ACCOUNT, "totalMarginBalance": "0.00000000"}
    assert mapping.margin_health(empty, None, account_id=ACCOUNT, is_shared=False, time=NOW).maintenance_ratio is None


# -- positions --------------------------------------------------------------------------------------------------
def test_the_recorded_position_has_its_leverage_from_elsewhere() -> None:
    leverage = mapping.leverages([SYMBOL_CONFIG])["BTCUSDT"]
    found = mapping.position(FUTURES_POSITION, LINEAR, account_id=ACCOUNT, leverage=leverage)
    assert (found.side, found.quantity, found.mode) == (PositionSide.LONG, Decimal("0.009"), PositionMode.ONE_WAY)
    assert (found.average_price, found.mark_price) == (Decimal("67445.9"), Decimal("67502.68519858"))
    assert (found.unrealised_pnl, found.realised_pnl) == (Decimal("0.51106678"), None)
    assert (found.leverage, found.liquidation_price) == (21, Decimal("64846.9875379"))
    assert found.time == ms(1722161166529)


@pytest.mark.parametrize(
    ("amount", "leg", "side", "mode"),
    [
        ("-0.009", "BOTH", PositionSide.SHORT, PositionMode.ONE_WAY),
        ("0.000", "BOTH", PositionSide.FLAT, PositionMode.ONE_WAY),
        ("0.5", "LONG", PositionSide.LONG, PositionMode.HEDGE),
        ("-0.5", "SHORT", PositionSide.SHORT, PositionMode.HEDGE),
    ],
)
def test_sides_of_positions(amount: str, leg: str, side: PositionSide, mode: PositionMode) -> None:
    row = {**FUTURES_POSITION, "positionAmt": amount, "positionSide": leg}
    found = mapping.position(row, LINEAR, account_id=ACCOUNT, leverage=None)
    assert (found.side, found.mode, found.quantity) == (side, mode, Decimal(amount))


@pytest.mark.parametrize(
    "change", [{"positionAmt": "-1", "positionSide": "LONG"}, {"positionSide": "UP"}, {"positionAmt": ""}]
)
def test_positions_that_contradict_themselves(change: dict[str, Any]) -> None:
    with pytest.raises(AnswerUnreadable):
        mapping.position({**FUTURES_POSITION, **change}, LINEAR, account_id=ACCOUNT, leverage=None)


def test_how_a_contract_is_set() -> None:
    found = mapping.leverage_info([SYMBOL_CONFIG], LINEAR, PositionMode.HEDGE)
    assert (found.long_leverage, found.short_leverage, found.margin_mode) == (21, 21, MarginMode.CROSS)
    assert found.position_mode is PositionMode.HEDGE
    isolated = mapping.leverage_info([{**SYMBOL_CONFIG, "marginType": "ISOLATED"}], LINEAR, PositionMode.ONE_WAY)
    assert isolated.margin_mode is MarginMode.ISOLATED
    for rows in ([], [{**SYMBOL_CONFIG, "symbol": "ETHUSDT"}], [SYMBOL_CONFIG, SYMBOL_CONFIG]):
        with pytest.raises(AnswerUnreadable, match="symbolConfig"):
            mapping.leverage_info(rows, LINEAR, PositionMode.ONE_WAY)
    with pytest.raises(AnswerUnreadable, match="dualSidePosition"):
        mapping.position_mode({"dualSidePosition": "true"})


# -- market -----------------------------------------------------------------------------------------------------
def test_quotes_and_empty_books() -> None:
    book = {"symbol": "BTCUSDT", "bidPrice": "60000.10", "bidQty": "1", "askPrice": "60000.20", "askQty": "1"}
    found = mapping.quote(book, {"symbol": "BTCUSDT", "price": "60000.15"}, SPOT, NOW)
    assert (found.bid, found.ask, found.last) == (Decimal("60000.1"), Decimal("60000.2"), Decimal("60000.15"))
    assert found.time == NOW and found.mark is None
    told = mapping.quote({**book, "time": 1739781831932}, {"price": "60000.15"}, LINEAR, NOW)
    assert told.time == ms(1739781831932)
    with pytest.raises(VenueUnavailable, match="no askPrice now"):
        mapping.quote({**book, "askPrice": "0.00000000"}, {"price": "1"}, SPOT, NOW)


def test_instruments_have_steps_and_not_precisions() -> None:
    spot = instrument(SPOT_SYMBOL, ProductKind.SPOT)
    assert spot is not None and str(spot.instrument_id) == "BTC/USDT" and not spot.is_position
    assert (spot.tick_size, spot.lot_size, spot.quantity_min) == (
        Decimal("0.01"),
        Decimal("0.00001"),
        Decimal("0.00001"),
    )
    assert (spot.notional_min, spot.quantity_max_limit, spot.quantity_max_market) == (5, 9000, Decimal("120.5"))
    linear = instrument(FUTURES_SYMBOL, ProductKind.LINEAR)
    assert linear is not None and str(linear.instrument_id) == "BTC/USDT:USDT" and linear.contract_size == 1
    assert (linear.tick_size, linear.lot_size, linear.notional_min) == (Decimal("0.1"), Decimal("0.001"), 100)
    assert (linear.settle_currency, linear.quantity_max_market, linear.leverage_step) == ("USDT", 120, 1)


def test_instruments_of_other_kinds() -> None:
    dated = {
        **FUTURES_SYMBOL,
        "symbol": "BTCUSDT_260327",
        "contractType": "CURRENT_QUARTER",
        "deliveryDate": 1774569600000,
    }
    found = instrument(dated, ProductKind.LINEAR)
    assert found is not None and str(found.instrument_id) == "BTC/USDT:USDT-260327"
    assert instrument({**FUTURES_SYMBOL, "contractType": ""}, ProductKind.LINEAR) is None
    halted = instrument({**SPOT_SYMBOL, "status": "BREAK"}, ProductKind.SPOT)
    assert halted is not None and not halted.is_trading
    old = [{**f, "filterType": "MIN_NOTIONAL"} if f["filterType"] == "NOTIONAL" else f for f in SPOT_SYMBOL["filters"]]
    legacy = instrument({**SPOT_SYMBOL, "filters": old}, ProductKind.SPOT)
    assert legacy is not None and legacy.notional_min == 5
    coarse = [{**f, "stepSize": "0.01"} if f["filterType"] == "MARKET_LOT_SIZE" else f for f in SPOT_SYMBOL["filters"]]
    wide = instrument({**SPOT_SYMBOL, "filters": coarse}, ProductKind.SPOT)
    assert wide is not None and wide.lot_size == Decimal("0.01"), "what fits the coarser step fits both"
    with pytest.raises(AnswerUnreadable, match="no filter LOT_SIZE"):
        instrument({**SPOT_SYMBOL, "filters": SPOT_SYMBOL["filters"][:1]}, ProductKind.SPOT)
    announced = {**FUTURES_SYMBOL, "status": "PENDING_TRADING", "filters": []}
    assert instrument(announced, ProductKind.LINEAR) is None, "what cannot be traded yet hides nothing else"
    with pytest.raises(AnswerUnreadable, match="tick_size"):
        instrument(
            {**SPOT_SYMBOL, "filters": [{**SPOT_SYMBOL["filters"][0], "tickSize": "0"}, *SPOT_SYMBOL["filters"][1:]]},
            ProductKind.SPOT,
        )


@pytest.mark.parametrize(
    ("symbol", "product", "unified"),
    [
        ("ETHBTC", ProductKind.SPOT, "ETH/BTC"),
        ("BTCFDUSD", ProductKind.SPOT, "BTC/FDUSD"),
        ("SOLUSDC", ProductKind.LINEAR, "SOL/USDC:USDC"),
        ("ETHUSDT_251226", ProductKind.LINEAR, "ETH/USDT:USDT-251226"),
    ],
)
def test_delisted_symbols_are_read_by_their_names(symbol: str, product: ProductKind, unified: str) -> None:
    assert str(delisted(symbol, product).instrument_id) == unified


@pytest.mark.parametrize(
    ("unified", "symbol"),
    [("BTC/USDT", "BTCUSDT"), ("BTC/USDT:USDT", "BTCUSDT"), ("BTC/USDT:USDT-260327", "BTCUSDT_260327")],
)
def test_unified_names_as_symbols(unified: str, symbol: str) -> None:
    assert symbol_of(InstrumentId(unified)) == symbol


@pytest.mark.parametrize("symbol", ["USDT", "WHATEVER", ""])
def test_a_name_that_tells_nothing(symbol: str) -> None:
    with pytest.raises(AnswerUnreadable, match="does not tell"):
        delisted(symbol, ProductKind.SPOT)


def test_a_listed_market_is_its_instruments() -> None:
    found = instrument(FUTURES_SYMBOL, ProductKind.LINEAR)
    assert found is not None and market_of(found) == LINEAR and not LINEAR.is_spot
