"""Money, positions, shorts, wash trades and crypto: what an account may have, and the fees that come later."""

from decimal import Decimal
from typing import Any

import pytest

from simulators import AlpacaControl
from simulators.alpaca.config import AlpacaAccount, Environment, FeesConfig, QuirksConfig
from simulators.testing_alpaca import small_alpaca_config

USD = {"USD": Decimal(100_000)}


def test_a_fresh_account(wire: Any):
    row = wire.get("/v2/account")
    assert (row["status"], row["currency"], row["cash"], row["equity"]) == ("ACTIVE", "USD", "100000", "100000")
    assert (row["buying_power"], row["regt_buying_power"]) == ("400000", "200000")
    assert (row["non_marginable_buying_power"], row["multiplier"], row["shorting_enabled"]) == ("100000", "4", True)
    assert row["account_number"].startswith("PA3")
    assert not {"pattern_day_trader", "daytrade_count", "daytrading_buying_power"} & set(row), "gone since July 2026"


@pytest.mark.parametrize("config_changes", [{"environment": Environment.LIVE}])
def test_a_live_account_has_a_number_of_digits(wire: Any):
    assert wire.get("/v2/account")["account_number"].isdigit()


def test_a_long_position_and_what_it_leaves(wire: Any, control: AlpacaControl):
    wire.place(qty="10")
    control.set_price("AAPL", "220")
    row = wire.position("AAPL")
    assert (row["qty"], row["side"], row["avg_entry_price"], row["cost_basis"]) == ("10", "long", "200.02", "2000.2")
    assert (row["market_value"], row["unrealized_pl"], row["current_price"]) == ("2200", "199.8", "220")
    account = wire.get("/v2/account")
    assert (account["cash"], account["equity"], account["long_market_value"]) == ("97999.8", "100199.8", "2200")
    assert account["buying_power"] == "398599.2", "4 x 100199.8 less 2200"
    assert control.wallets("main") == USD, "nothing is realised"


def test_a_short_position_has_negative_numbers(wire: Any, control: AlpacaControl):
    row = wire.place(side="sell", qty="5")
    assert row["position_intent"] == "sell_to_open"
    row = wire.position("AAPL")
    assert (row["side"], row["qty"], row["qty_available"], row["cost_basis"]) == ("short", "-5", "-5", "-999.9")
    assert (row["market_value"], row["avg_entry_price"]) == ("-1000", "199.98")
    account = wire.get("/v2/account")
    assert (account["cash"], account["short_market_value"], account["equity"]) == ("100999.9", "-1000", "99999.9")
    (fill,) = wire.activities("activity_types=FILL")
    assert fill["side"] == "sell_short"
    assert wire.refused(qty="6")[2] == "insufficient qty available for order (requested: 6, available: 5)"
    assert wire.place(qty="5")["position_intent"] == "buy_to_close"
    answer = wire.send("GET", "/v2/positions/AAPL")
    assert (answer.status_code, answer.json()) == (404, {"code": 40410000, "message": "position does not exist"})
    assert control.wallets("main")["USD"] == Decimal("99999.80")


def test_what_orders_hold_can_not_be_sold_again(wire: Any):
    wire.place(qty="10")
    resting = wire.limit("250", side="sell", qty="7")["id"]
    assert wire.position("AAPL")["qty_available"] == "3"
    body = wire.post(side="sell", qty="5").json()
    assert body == {
        "available": "3",
        "code": 40310000,
        "existing_qty": "10",
        "held_for_orders": "7",
        "message": "insufficient qty available for order (requested: 5, available: 3)",
        "related_orders": [resting],
        "symbol": "AAPL",
    }
    assert wire.place(side="sell", qty="3")["status"] == "pending_new"


# buying power
def test_buying_power_counts_open_orders_at_their_limit(wire: Any):
    wire.limit("190", qty="1000")
    assert wire.money("buying_power") == 400_000 - 190_000
    body = wire.post(type="limit", limit_price="190", qty="1200").json()
    assert (body["code"], body["message"]) == (40310000, "insufficient buying power")
    assert (body["buying_power"], body["cost_basis"]) == ("210000", "228000")


def test_a_market_order_is_counted_with_a_collar(wire: Any):
    assert wire.refused(qty="1960")[2] == "insufficient buying power", "205.0205 each"
    assert wire.place(qty="1950")["status"] == "pending_new"


def test_a_short_is_counted_with_a_reserve(wire: Any):
    assert wire.refused(qty="1950", side="sell")[2] == "insufficient buying power", "206.0206 each"
    assert wire.place(qty="1900", side="sell")["status"] == "pending_new"


def test_fractional_orders_are_paid_without_margin(wire: Any):
    assert wire.refused(qty="490.5")[2] == "insufficient buying power"
    assert wire.place(qty="480.5")["status"] == "pending_new"
    assert wire.position("AAPL")["qty"] == "480.5"


def test_an_order_by_value(wire: Any, control: AlpacaControl):
    row = wire.place(qty=None, notional="1000")
    assert (row["notional"], row["qty"]) == ("1000", None)
    seen = wire.order(row["id"])
    assert (seen["status"], seen["notional"], seen["qty"], seen["filled_qty"]) == (
        "filled",
        "1000",
        "4.999500049",
        "4.999500049",
    )
    (fill,) = control.executions("main")
    assert 0 <= 1000 - fill.value < Decimal("0.000001")
    assert wire.refused(qty=None, notional="0.5") == (403, 40310000, "cost basis must be >= minimal amount of order 1")
    assert wire.refused(qty=None, notional="10", type="stop", stop_price="210")[0] == 422
    sold = wire.place(qty=None, notional="500", side="sell")
    assert wire.order(sold["id"])["filled_qty"] == "2.500250025"


@pytest.mark.parametrize(
    ("changes", "side", "text"),
    [
        ({"suspend_trade": True}, "buy", "new orders are rejected by user request"),
        ({"trading_blocked": True}, "buy", "account is restricted to liquidation only"),
        ({"status": "ACCOUNT_UPDATED"}, "buy", "account is not active"),
        ({"no_shorting": True}, "sell", "account is not allowed to short"),
        ({"multiplier": 1}, "sell", "account is not allowed to short"),
    ],
)
def test_what_an_account_may_not_do(wire: Any, control: AlpacaControl, changes: dict[str, Any], side: str, text: str):
    control.set_account("main", **changes)
    assert wire.refused(side=side) == (403, 40310000, text)


@pytest.mark.parametrize(
    ("flags", "changes", "refusal"),
    [
        ({"active": False}, {}, (422, 42210000, 'asset "AAPL" is not active')),
        ({"trading": False}, {}, (422, 42210000, 'asset "AAPL" is not tradable')),
        ({"fractionable": False}, {"qty": "1.5"}, (422, 42210000, 'asset "AAPL" is not fractionable')),
        ({"easy_to_borrow": False}, {"side": "sell"}, (403, 40310000, 'asset "AAPL" cannot be sold short')),
        ({}, {"side": "sell", "qty": "0.5"}, (422, 42210000, "fractional orders cannot be sold short")),
    ],
)
def test_what_an_asset_does_not_allow(wire: Any, control: AlpacaControl, flags: Any, changes: Any, refusal: Any):
    control.set_asset("AAPL", **flags)
    assert wire.refused(**changes) == refusal


def test_configurations_are_read_and_changed(wire: Any):
    assert wire.get("/v2/account/configurations")["suspend_trade"] is False
    answer = wire.send("PATCH", "/v2/account/configurations", {"suspend_trade": True, "max_margin_multiplier": "2"})
    assert (answer.json()["suspend_trade"], answer.json()["max_margin_multiplier"]) == (True, "2")
    assert wire.get("/v2/account")["trade_suspended_by_user"] is True
    assert wire.money("buying_power") == 200_000
    assert wire.refused()[0] == 403
    answer = wire.send("PATCH", "/v2/account/configurations", {"max_margin_multiplier": "3"})
    assert answer.status_code == 422


def test_a_blocked_account_may_still_close(wire: Any, control: AlpacaControl):
    wire.place(qty="10")
    wire.coin("0.1")
    control.set_account("main", trading_blocked=True)
    assert wire.refused()[2] == "account is restricted to liquidation only"
    assert {row["status"] for row in wire.send("DELETE", "/v2/positions").json()} == {200}
    assert control.positions("main") == []


# wash trades
def test_an_order_against_ones_own(wire: Any):
    wire.place(qty="10")
    resting = wire.limit("201", side="sell", qty="5")["id"]
    body = wire.post(qty="1").json()
    assert body == {
        "code": 40310000,
        "existing_order_id": resting,
        "message": "potential wash trade detected. use complex orders",
        "reject_reason": "opposite side limit order exists",
    }
    assert wire.refused(type="limit", limit_price="201", qty="1")[0] == 403
    assert wire.limit("200", qty="1")["status"] == "pending_new", "prices that do not cross are no wash"
    stop = wire.place(type="stop", stop_price="150", side="sell", qty="5", symbol="MSFT", time_in_force="gtc")["id"]
    assert wire.post(type="limit", limit_price="100", qty="1", symbol="MSFT").json()["existing_order_id"] == stop


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig.model_validate({"wash_trade": "unprocessable"})}])
def test_or_with_422_as_it_was_seen(wire: Any):
    wire.place(qty="10")
    wire.limit("201", side="sell", qty="5")
    assert wire.refused(qty="1") == (422, 42210000, "potential wash trade detected. use complex orders")


# closing
def test_positions_are_closed_whole_in_part_or_all(wire: Any):
    wire.place(qty="10")
    wire.coin("0.5")
    row = wire.send("DELETE", "/v2/positions/AAPL?percentage=25").json()
    assert (row["side"], row["qty"], row["type"], row["time_in_force"]) == ("sell", "2", "market", "day")
    assert wire.send("DELETE", "/v2/positions/AAPL?qty=3").json()["qty"] == "3"
    assert wire.send("DELETE", "/v2/positions/AAPL?qty=3&percentage=5").status_code == 422
    wire.limit("250", side="sell", qty="5")
    blocked = wire.send("DELETE", "/v2/positions")
    assert blocked.status_code == 207
    assert {row["symbol"]: row["status"] for row in blocked.json()} == {"AAPL": 403, "BTCUSD": 200}
    assert blocked.json()[0]["body"]["held_for_orders"] == "5"
    assert wire.send("DELETE", "/v2/positions?cancel_orders=true").json()[0]["status"] == 200
    assert [row["symbol"] for row in wire.get("/v2/positions")] == ["BTCUSD"], "what is owed as a fee stays"
    assert wire.send("DELETE", "/v2/positions/AAPL").status_code == 404


# crypto
def test_crypto_is_bought_by_quantity_and_by_value(wire: Any, control: AlpacaControl):
    wire.coin("0.5")
    row = wire.coin(None, notional="600")
    assert wire.order(row["id"])["filled_qty"] == "0.009999"
    position = wire.position("BTCUSD")
    assert wire.position("BTC%2FUSD") == position
    assert (position["qty"], position["asset_class"], position["avg_entry_price"]) == ("0.509999", "crypto", "60006")
    assert (position["exchange"], position["asset_marginable"], position["side"]) == ("CRYPTO", False, "long")
    assert wire.money("cash") == Decimal("69397"), "100000 less 30003 and 599.999994, in cents"
    assert control.wallets("main")["BTC"] == Decimal("0.509999")


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"type": "stop", "stop_price": "70000"}, (422, 40010001, "invalid order type for crypto order")),
        ({"time_in_force": "day"}, (422, 42210000, "invalid crypto time_in_force")),
        ({"time_in_force": "fok"}, (422, 42210000, "invalid crypto time_in_force")),
        ({"qty": "0.0001"}, (403, 40310000, "cost basis must be >= minimal amount of order 10")),
        ({"qty": "0.00001", "side": "sell"}, (403, 40310000, "minimal qty of order 0.000016617")),
        ({"qty": "2"}, (403, 40310000, "insufficient balance for USD (requested: 120012, available: 100000)")),
        ({"side": "sell"}, (403, 40310000, "insufficient balance for BTC (requested: 1, available: 0)")),
    ],
)
def test_crypto_orders_that_are_refused(wire: Any, changes: dict[str, Any], refusal: tuple[int, int, str]):
    asked = {"symbol": "BTC/USD", "qty": "1", "time_in_force": "gtc", **changes}
    assert wire.refused(**asked) == refusal


AT_FILL = {"fees": FeesConfig.model_validate({"crypto": "at_fill"})}


def test_a_crypto_fee_is_owed_until_it_is_posted(wire: Any, control: AlpacaControl):
    wire.coin("1")
    assert (wire.position("BTCUSD")["qty"], wire.position("BTCUSD")["qty_available"]) == ("1", "0.9975")
    assert wire.refused(symbol="BTCUSD", qty="1", side="sell", time_in_force="gtc")[0] == 403
    assert wire.activities("activity_types=CFEE") == []
    assert control.post_fees() == 1
    (row,) = wire.activities("activity_types=CFEE")
    assert (row["symbol"], row["qty"], row["net_amount"], row["price"]) == ("BTCUSD", "-0.0025", "0", "60000")
    assert (wire.position("BTCUSD")["qty"], wire.position("BTCUSD")["avg_entry_price"]) == ("0.9975", "60006")
    wire.coin("0.9975", side="sell")
    assert wire.money("accrued_fees") == Decimal("149.62"), "0.25 % of 59844.015, up to the cent"
    assert control.post_fees() == 1
    row = wire.activities("activity_types=CFEE")[0]
    assert (row["net_amount"], row["description"]) == ("-149.62", "Coin Pair Transaction Fee (USD)")
    assert wire.get("/v2/positions") == []


@pytest.mark.parametrize("config_changes", [AT_FILL])
def test_a_crypto_fee_may_be_taken_with_the_fill_and_told_later(wire: Any, control: AlpacaControl):
    row = wire.coin("1")
    position = wire.position("BTCUSD")
    assert (position["qty"], position["qty_available"], position["avg_entry_price"]) == ("0.9975", "0.9975", "60006")
    assert wire.order(row["id"])["filled_qty"] == "1"
    assert wire.refused(symbol="BTCUSD", qty="1", side="sell", time_in_force="gtc")[0] == 403
    assert wire.activities("activity_types=CFEE") == []
    assert control.post_fees() == 1
    (told,) = wire.activities("activity_types=CFEE")
    assert (told["symbol"], told["qty"], told["net_amount"], told["price"]) == ("BTCUSD", "-0.0025", "0", "60000")
    assert wire.position("BTCUSD")["qty"] == "0.9975"
    wire.coin("0.9975", side="sell")
    assert wire.money("cash") == Decimal("99688.40"), "100000 less 60006 and 149.62, and 59844.015, in cents"
    assert wire.get("/v2/positions") == []


def test_a_maker_pays_less(wire: Any, control: AlpacaControl):
    wire.coin("1", type="limit", limit_price="59000")
    control.set_price("BTC/USD", "58000")
    control.post_fees()
    assert wire.activities("activity_types=CFEE")[0]["qty"] == "-0.0015"


def test_regulatory_fees_of_sales(wire: Any, control: AlpacaControl):
    wire.place(qty="100")
    wire.place(qty="100", side="sell")
    before = wire.money("cash")
    assert wire.money("accrued_fees") == Decimal("0.58"), "0.56 of the proceeds, 0.02 of the shares"
    assert control.post_fees() == 2
    rows = wire.activities("activity_types=FEE")
    assert sorted(row["net_amount"] for row in rows) == ["-0.02", "-0.56"]
    assert {row["description"].split()[0] for row in rows} == {"REG", "TAF"}
    assert (wire.money("cash"), wire.money("accrued_fees")) == (before - Decimal("0.58"), 0)


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig(cash_less_crypto_holds=True)}])
def test_cash_less_what_crypto_orders_hold(wire: Any):
    wire.coin("1", type="limit", limit_price="50000")
    account = wire.get("/v2/account")
    assert (account["cash"], account["equity"], account["position_market_value"]) == ("50000", "100000", "0")


# assets
def test_assets(wire: Any):
    rows = wire.get("/v2/assets")
    assert [row["symbol"] for row in rows] == ["AAPL", "MSFT", "BTC/USD"]
    aapl = wire.get("/v2/assets/AAPL")
    assert (aapl["class"], aapl["status"], aapl["tradable"]) == ("us_equity", "active", True)
    assert not {"min_order_size", "price_increment"} & set(aapl)
    coin = wire.get("/v2/assets/BTC%2FUSD")
    assert (coin["min_order_size"], coin["price_increment"], coin["shortable"]) == ("0.000016617", "0.01", False)
    assert wire.get("/v2/assets/BTCUSD") == wire.get(f"/v2/assets/{coin['id']}") == coin
    assert [row["symbol"] for row in wire.get("/v2/assets?asset_class=crypto&status=active")] == ["BTC/USD"]
    answer = wire.send("GET", "/v2/assets/ZZZZ")
    assert (answer.status_code, answer.json()) == (404, {"code": 40410000, "message": "asset not found for ZZZZ"})


def test_a_configuration_says_what_is_wrong_with_it():
    with pytest.raises(ValueError, match="have a slash"):
        small_alpaca_config(instruments=({"symbol": "BTC/USD", "base": "BTC"},))
    with pytest.raises(ValueError, match="no fee is taken from a fill"):
        small_alpaca_config(instruments=({"symbol": "AAPL", "base": "AAPL", "taker_rate": "0.001"},))
    assert AlpacaAccount(name="a").multiplier == 4


@pytest.mark.parametrize("config_changes", [AT_FILL])
def test_the_average_price_of_crypto(wire: Any, control: AlpacaControl):
    wire.coin("1")
    control.set_price("BTC/USD", "30000")
    wire.coin("0.9975")
    assert wire.position("BTCUSD")["avg_entry_price"] == "45004.5", "half at 60006, half at 30003"
    wire.send("DELETE", "/v2/positions/BTCUSD")
    wire.coin("0.5")
    assert wire.position("BTCUSD")["avg_entry_price"] == "30003", "what was sold is forgotten"
