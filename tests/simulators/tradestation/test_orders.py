"""Orders from request to status: what is taken, what is refused in which form, and what an order's row prints."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import TradeStationControl
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig, LagsConfig, LiquidityConfig, PricesConfig
from simulators.tradestation.config import DoneOrder, DuplicateIds, QuirksConfig

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
ORDERS = "/v3/orderexecution/orders"
MANUAL = ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC), gateway=GatewayClock.ENGINE)
THIN = PricesConfig(
    start={"AAPL": Decimal(200), "MSFT": Decimal(400), "MESZ26": Decimal(6_000), "@ES": Decimal(6_000)},
    liquidity=LiquidityConfig(level_notional=Decimal(1_020), levels=1),
)


def failed(answer: Any, where: str = "Orders") -> str:
    """Return the text of an order that FAILED within HTTP 200, and see that it is in the right list."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["Errors" if where == "Orders" else "Orders"] == []
    (row,) = body[where]
    assert row["Error"] == "FAILED"
    assert row["OrderID"].isdigit()
    return row["Message"]


def cancel(wire: Any, order_id: str) -> Any:
    return wire.send("DELETE", f"{ORDERS}/{order_id}")


def replace(wire: Any, order_id: str, **changes: Any) -> Any:
    return wire.send("PUT", f"{ORDERS}/{order_id}", changes)


def is_strings(value: Any) -> bool:
    """Tell whether no number and no null is anywhere in an answer."""
    if isinstance(value, dict):
        return all(map(is_strings, value.values()))
    if isinstance(value, list):
        return all(map(is_strings, value))
    return isinstance(value, str | bool)


# placing
def test_a_market_order_is_filled_with_its_fee(wire: Any, control: TradeStationControl):
    row = wire.seen(wire.place())
    (execution,) = control.executions(EQUITIES)
    assert (row["Status"], row["StatusDescription"]) == ("FLL", "Filled")
    assert row["FilledPrice"] == row["Legs"][0]["ExecutionPrice"] == str(execution.price)
    assert (row["Legs"][0]["ExecQuantity"], row["Legs"][0]["QuantityRemaining"]) == ("10", "0")
    assert Decimal(row["CommissionFee"]) + Decimal(row["UnbundledRouteFee"]) == execution.fee == 1
    assert "ClosedDateTime" in row
    assert "RejectReason" not in row, "what has no value is absent, not null"


def test_a_limit_order_works_until_the_market_comes(wire: Any, control: TradeStationControl):
    answer = wire.post(OrderType="Limit", LimitPrice="190.00", TimeInForce={"Duration": "GTC"}).json()
    assert answer["Orders"][0]["Message"] == "Sent order: Buy 10 AAPL @ 190.00 Limit"
    order_id = answer["Orders"][0]["OrderID"]
    row = wire.seen(order_id)
    assert (row["Status"], row["Duration"], row["LimitPrice"]) == ("OPN", "GTC", "190")
    assert row["Legs"][0]["QuantityRemaining"] == "10"
    assert "FilledPrice" not in row
    assert "ClosedDateTime" not in row
    assert datetime.fromisoformat(row["GoodTillDate"]) > datetime.now(UTC)
    control.set_price("AAPL", "189")
    assert (wire.seen(order_id)["Status"], wire.seen(order_id)["FilledPrice"]) == ("FLL", "190")


@pytest.mark.parametrize("config_changes", [{"prices": THIN}])
def test_fees_are_known_when_the_order_is_done(wire: Any, control: TradeStationControl):
    order_id = wire.limit("200.10", Quantity="12")
    row = wire.seen(order_id)
    assert (row["Status"], row["CommissionFee"]) == ("FPR", "0")
    assert [row["Legs"][0][name] for name in ("QuantityOrdered", "ExecQuantity", "QuantityRemaining")] == [
        *("12", "5", "7")
    ]
    control.set_price("AAPL", "200.01")
    assert wire.seen(order_id)["Legs"][0]["ExecQuantity"] == "10", "quantities are cumulative"
    control.set_price("AAPL", "200.02")
    row = wire.seen(order_id)
    assert (row["Status"], row["CommissionFee"], row["Legs"][0]["ExecQuantity"]) == ("FLL", "1", "12")
    assert len(control.executions(EQUITIES)) == 3


@pytest.mark.parametrize("config_changes", [{"prices": THIN}])
def test_a_partial_fill_whose_rest_is_out_is_flp(wire: Any):
    market = wire.seen(wire.place(Quantity="9"))
    limit = wire.limit("200.10", Symbol="MSFT", TradeAction="BUY", Quantity="9")
    assert market["Status"] == "FLP", "a market order that found no more"
    assert (market["Legs"][0]["ExecQuantity"], market["Legs"][0]["QuantityRemaining"]) == ("5", "0")
    assert "ClosedDateTime" in market
    assert wire.seen(limit)["Status"] == "OPN"


@pytest.mark.parametrize("config_changes", [{"prices": THIN}])
def test_cancelling_a_partly_filled_order_is_flp(wire: Any):
    order_id = wire.limit("200.10", Quantity="9")
    assert cancel(wire, order_id).json()["Message"] == "Cancel request sent"
    row = wire.seen(order_id)
    assert (row["Status"], row["StatusDescription"]) == ("FLP", "Partial Fill (UROut)")


def test_immediate_or_cancel_and_fill_or_kill(wire: Any):
    for duration in ("IOC", "FOK"):
        row = wire.seen(wire.limit("190", TimeInForce={"Duration": duration}))
        assert (row["Status"], row["Duration"]) == ("OUT", duration)
        row = wire.seen(wire.limit("201", TimeInForce={"Duration": duration}))
        assert row["Status"] == "FLL"


@pytest.mark.parametrize(
    ("sent", "printed"),
    [("DAY", "DAY"), ("DYP", "DAY+"), ("GTC", "GTC"), ("GCP", "GTC+"), ("1", "1 min"), ("3", "3 min"), ("5", "5 min")],
)
def test_durations_are_printed_in_other_words(wire: Any, sent: str, printed: str):
    assert wire.seen(wire.limit("190", TimeInForce={"Duration": sent}))["Duration"] == printed


@pytest.mark.parametrize(("sent", "printed"), [("GTD", "GTD"), ("GDP", "GTD+")])
@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_good_till_date(wire: Any, control: TradeStationControl, sent: str, printed: str):
    force = {"Duration": sent, "Expiration": "2026-03-04T00:00:00Z"}
    order_id = wire.limit("190", TimeInForce=force)
    row = wire.seen(order_id)
    assert (row["Duration"], row["GoodTillDate"]) == (printed, "2026-03-04T00:00:00Z")
    control.advance(to="2026-03-05T04:59:59Z")
    assert wire.sign_in().seen(order_id)["Status"] == "OPN", "the date is New York's, to its end"
    control.advance(to="2026-03-05T05:00:00Z")
    assert wire.sign_in().seen(order_id)["Status"] == "EXP"
    too_far = wire.post(OrderType="Limit", LimitPrice="190", TimeInForce={**force, "Expiration": "2026-07-01"})
    assert too_far.status_code == 400
    assert wire.post(OrderType="Limit", LimitPrice="190", TimeInForce={"Duration": sent}).status_code == 400


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_an_order_of_a_minute_expires(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190", TimeInForce={"Duration": "3"})
    control.advance(seconds=179)
    assert wire.seen(order_id)["Status"] == "OPN"
    control.advance(seconds=1)
    row = wire.seen(order_id)
    assert (row["Status"], row["ClosedDateTime"]) == ("EXP", "2026-03-02T15:03:00Z")


def test_names_and_words_may_be_in_any_case(wire: Any):
    body = wire.order(TradeAction="Buy", TimeInForce={"Duration": "Day"})
    body["AccountId"] = body.pop("AccountID")
    assert wire.send("POST", ORDERS, body).json()["Orders"][0]["Message"] == "Sent order: Buy 10 AAPL @ Market"


def test_a_whole_number_is_tolerated_as_a_quantity_and_a_float_is_not(wire: Any):
    assert wire.post(Quantity=10).status_code == 200
    assert wire.post(Quantity=10.0).status_code == 400


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"AccountID": None}, "AccountID is required"),
        ({"Symbol": None}, "Symbol is required"),
        ({"Quantity": None}, "Quantity is required"),
        ({"Quantity": "ten"}, "Quantity 'ten' is not a number"),
        ({"OrderType": "Iceberg"}, "OrderType 'Iceberg' is not valid"),
        ({"OrderType": "Limit"}, "LimitPrice is required"),
        ({"OrderType": "StopMarket"}, "StopPrice is required"),
        ({"TradeAction": "HOLD"}, "TradeAction 'HOLD' is not valid"),
        ({"TimeInForce": None}, "TimeInForce.Duration is required"),
        ({"TimeInForce": {"Duration": "DAY+"}}, "TimeInForce.Duration 'DAY+' is not valid"),
        ({"OrderConfirmID": "x" * 23}, "OrderConfirmID must have 1 to 22 characters, had 23"),
    ],
)
def test_a_malformed_order_is_400(wire: Any, control: TradeStationControl, changes: dict[str, Any], says: str):
    answer = wire.post(**changes)
    assert (answer.status_code, answer.json()) == (400, {"Error": "BadRequest", "Message": says})
    assert control.orders(EQUITIES) == []


@pytest.mark.parametrize("body", ["", "{", "[]", '"AAPL"'])
def test_no_json_object_is_400(wire: Any, body: str):
    assert wire.send("POST", ORDERS, body).json() == {"Error": "BadRequest", "Message": "Invalid JSON"}


@pytest.mark.parametrize(
    "changes",
    [
        {"Legs": [{"Symbol": "MSFT 251219C450", "Quantity": "1", "TradeAction": "BUYTOOPEN"}]},
        {"OSOs": [{"Type": "NORMAL", "Orders": []}]},
        {"AdvancedOptions": {"TrailingStop": {"Percent": "5.0"}}},
        {"AdvancedOptions": {"AllOrNone": True}},
    ],
)
def test_what_is_not_simulated_is_refused_rather_than_ignored(
    wire: Any, control: TradeStationControl, changes: dict[str, Any]
):
    answer = wire.post(**changes)
    assert (answer.status_code, answer.json()["Error"]) == (501, "NotImplemented")
    assert control.orders(EQUITIES) == []


# refusals within HTTP 200
@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"Quantity": "1.5"}, "Quantity 1.5 is not a multiple of 1"),
        ({"Quantity": "0"}, "Quantity 0 is invalid"),
        ({"Symbol": "NOPE"}, "Invalid symbol NOPE"),
        ({"OrderType": "Limit", "LimitPrice": "200.001"}, "Type = LMT has invalid Price increment"),
        (
            {"OrderType": "Limit", "LimitPrice": "99999999"},
            "Type = LMT has invalid Price greater than absolute maximum",
        ),
        ({"OrderType": "StopMarket", "StopPrice": "150"}, "Type = STP has invalid Stop Price"),
    ],
)
def test_a_field_out_of_bounds_is_an_error_within_200(
    wire: Any, control: TradeStationControl, changes: dict[str, Any], says: str
):
    assert failed(wire.post(**changes), "Errors").startswith(f"Order failed. Reason: {says}")
    assert control.orders(EQUITIES) == []


def test_no_money_is_a_failed_order_within_200(wire: Any):
    assert failed(wire.post(Quantity="10000")) == "Order failed. Reason: Your order exceeds your available buying power"


@pytest.mark.parametrize(
    ("held", "action", "qty", "code"),
    [
        (0, "SELL", "1", "EC602"),
        (0, "BUYTOCOVER", "1", "EC702"),
        (10, "SELL", "11", "EC602"),
        (10, "SELLSHORT", "1", "EC601"),
        (10, "BUYTOCOVER", "1", "EC702"),
        (-10, "BUY", "1", "EC701"),
        (-10, "SELL", "1", "EC602"),
        (-10, "BUYTOCOVER", "11", "EC702"),
    ],
)
def test_an_order_against_its_position_fails(
    wire: Any, control: TradeStationControl, held: int, action: str, qty: str, code: str
):
    if held:
        wire.place(TradeAction="BUY" if held > 0 else "SELLSHORT")
    says = failed(wire.post(TradeAction=action, Quantity=qty))
    side = "short" if held < 0 else "long"
    assert says == f"Order failed. Reason: [{code}]: You are {side} {abs(held)} shares."
    assert [p.signed_qty for p in control.positions(EQUITIES)] == ([held] if held else [])


def test_short_side_actions(wire: Any, control: TradeStationControl):
    short = wire.seen(wire.place(TradeAction="SELLSHORT"))
    assert (short["Legs"][0]["BuyOrSell"], short["Legs"][0]["OpenOrClose"]) == ("SellShort", "Open")
    (position,) = wire.rows("positions", "Positions")
    assert (position["LongShort"], position["Quantity"]) == ("Short", "-10")
    cover = wire.seen(wire.place(TradeAction="BUYTOCOVER"))
    assert (cover["Legs"][0]["BuyOrSell"], cover["Legs"][0]["OpenOrClose"]) == ("BuyToCover", "Close")
    assert wire.rows("positions", "Positions") == control.positions(EQUITIES) == []


def test_a_resting_sell_never_goes_beyond_its_position(wire: Any, control: TradeStationControl):
    wire.place(Quantity="10")
    first = wire.limit("210", TradeAction="SELL", Quantity="10")
    second = wire.limit("211", TradeAction="SELL", Quantity="10")
    control.set_price("AAPL", "212")
    assert (wire.seen(first)["Status"], wire.seen(second)["Status"]) == ("FLL", "OUT")
    assert control.positions(EQUITIES) == []


def test_a_symbol_must_fit_its_account(wire: Any):
    assert "not authorized" in failed(wire.post(Symbol="MESZ26", Quantity="1"))
    assert "not authorized" in failed(wire.post(AccountID=FUTURES))
    assert "data only" in failed(wire.post(AccountID=FUTURES, Symbol="@ES", Quantity="1"))
    assert "SELLSHORT" in failed(wire.post(AccountID=FUTURES, Symbol="MESZ26", TradeAction="SELLSHORT"), "Errors")
    opening = {"AccountID": FUTURES, "Symbol": "MESZ26", "TimeInForce": {"Duration": "OPG"}}
    assert "only valid for equity orders" in failed(wire.post(**opening), "Errors")


def test_futures_go_through_zero_in_one_order(wire: Any, control: TradeStationControl):
    wire.future(TradeAction="BUY")
    row = wire.seen(wire.future(TradeAction="SELL", Quantity="5"), FUTURES)
    assert row["CommissionFee"] == "4.25"
    assert "UnbundledRouteFee" not in row
    (position,) = control.positions(FUTURES)
    assert position.signed_qty == -3


def test_other_peoples_accounts_are_refused(wire: Any, wire_of: Callable[..., Any]):
    for name in ("SIM999999M", "SIM000000M"):
        answer = wire.post(AccountID=name)
        assert (answer.status_code, answer.json()["Message"]) == (403, "Invalid Account ID.")
    answer = wire.post(AccountID="SIM123456C")
    assert (answer.status_code, answer.json()["Message"]) == (403, "Request not supported for account type.")
    other = wire_of("other").sign_in()
    assert "Short sales" in failed(other.post(AccountID="SIM999999M", TradeAction="SELLSHORT"))
    assert cancel(other, wire.limit("190")).status_code == 404, "an order of another user does not exist"


def test_a_cash_account_has_no_margin(wire_of: Callable[..., Any]):
    other = wire_of("other").sign_in()
    assert "buying power" in failed(other.post(AccountID="SIM999999M", Quantity="50"))
    assert other.place(AccountID="SIM999999M", Quantity="49")


# OrderConfirmID
def test_a_confirm_id_is_never_echoed_and_not_used_twice(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190", OrderConfirmID="7CMygnFJXk+ihrJJfOPmVQ")
    assert "7CMygnFJXk" not in str(wire.seen(order_id))
    assert "Duplicate" in failed(wire.post(OrderConfirmID="7CMygnFJXk+ihrJJfOPmVQ"))
    assert [order.client_id for order in control.orders(EQUITIES)] == ["7CMygnFJXk+ihrJJfOPmVQ"]


def test_a_failed_order_leaves_its_confirm_id_free(wire: Any):
    failed(wire.post(OrderConfirmID="a", Quantity="10000"))
    assert wire.place(OrderConfirmID="a")


def test_confirm_ids_are_a_keys_own(wire: Any, wire_of: Callable[..., Any]):
    wire.place(OrderConfirmID="a")
    assert wire_of("rotating").sign_in().place(OrderConfirmID="a")


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig(duplicate_ids=DuplicateIds.ACCEPT)}])
def test_a_venue_may_take_a_confirm_id_twice(wire: Any, control: TradeStationControl):
    assert wire.place(OrderConfirmID="a") != wire.place(OrderConfirmID="a")
    assert len(control.orders(EQUITIES)) == 2


# stops
def test_a_stop_is_hit_and_fills(wire: Any, control: TradeStationControl):
    stop = wire.place(OrderType="StopMarket", StopPrice="210")
    row = wire.seen(stop)
    assert (row["Status"], row["OrderType"], row["StopPrice"]) == ("ACK", "StopMarket", "210")
    assert row["AdvancedOptions"] == "STPTRG=STT;"
    control.set_price("AAPL", "211")
    assert wire.seen(stop)["Status"] == "FLL"
    limit = wire.place(OrderType="StopLimit", StopPrice="205", LimitPrice="204", TradeAction="SELL")
    control.set_price("AAPL", "203")
    row = wire.seen(limit)
    assert (row["Status"], row["OrderType"], row["LimitPrice"]) == ("OPN", "StopLimit", "204")


# cancelling and replacing
def test_a_cancel_is_a_request_and_the_order_is_out(wire: Any):
    order_id = wire.limit("190")
    answer = cancel(wire, order_id)
    assert (answer.status_code, answer.json()) == (200, {"Message": "Cancel request sent", "OrderID": order_id})
    row = wire.seen(order_id)
    assert (row["Status"], row["StatusDescription"]) == ("OUT", "UROut")
    assert "ClosedDateTime" in row


@pytest.mark.parametrize(
    "config_changes", [{"clock": MANUAL, "lags": LagsConfig(apply_ms=2000)}], ids=["the engine lags"]
)
def test_a_cancel_is_pending_until_the_engine_hears_of_it(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190")
    assert wire.seen(order_id)["Status"] == "ACK"
    control.advance(seconds=2)
    assert wire.seen(order_id)["Status"] == "OPN"
    cancel(wire, order_id)
    row = wire.seen(order_id)
    assert (row["Status"], "ClosedDateTime" in row) == ("UCN", False)
    assert cancel(wire, order_id).status_code == 200
    late = replace(wire, order_id, LimitPrice="191")
    assert (late.status_code, late.json()["Message"]) == (
        400,
        "Cancel/Replace not allowed after cancel has been attempted",
    )
    control.advance(seconds=2)
    assert wire.seen(order_id)["Status"] == "OUT"


@pytest.mark.parametrize(
    "config_changes", [{"clock": MANUAL, "lags": LagsConfig(apply_ms=2000)}], ids=["the engine lags"]
)
def test_a_fill_may_come_before_a_cancel(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190")
    control.advance(seconds=2)
    cancel(wire, order_id)
    control.set_price("AAPL", "189")
    control.advance(seconds=2)
    assert wire.seen(order_id)["Status"] == "FLL"


def test_an_order_that_is_done_is_not_cancelled(wire: Any):
    done = cancel(wire, wire.place())
    assert (done.status_code, done.json()) == (400, {"Error": "BadRequest", "Message": "Not an open order."})
    unknown = cancel(wire, "123")
    assert (unknown.status_code, unknown.json()) == (404, {"Error": "NotFound", "Message": "Invalid order ID."})


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig(done_order=DoneOrder.BODY)}])
def test_a_cancel_may_be_refused_within_200(wire: Any):
    order_id = wire.place()
    answer = cancel(wire, order_id)
    assert (answer.status_code, answer.json()["Error"], answer.json()["OrderID"]) == (200, "FAILED", order_id)


def test_a_replacement_keeps_its_number(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190")
    answer = replace(wire, order_id, Quantity="12", LimitPrice="191.00")
    assert answer.json() == {"Message": "Cancel/Replace order sent.", "OrderID": order_id}
    row = wire.seen(order_id)
    assert (row["Status"], row["LimitPrice"], row["Legs"][0]["QuantityOrdered"]) == ("OPN", "191", "12")
    assert len(control.orders(EQUITIES)) == 1


def test_a_stop_is_moved(wire: Any):
    order_id = wire.place(OrderType="StopMarket", StopPrice="210")
    assert replace(wire, order_id, StopPrice="211").status_code == 200
    assert wire.seen(order_id)["StopPrice"] == "211"


def test_an_order_is_turned_into_a_market_order(wire: Any):
    order_id = wire.limit("190")
    assert replace(wire, order_id, OrderType="Market").status_code == 200
    row = wire.seen(order_id)
    assert (row["Status"], row["OrderType"], row["FilledPrice"]) == ("FLL", "Market", "200.02")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, "At least one property must be changed"),
        ({"OrderType": "Limit"}, "OrderType can only be changed to Market"),
        ({"StopPrice": "1"}, "StopPrice is not valid for this order type"),
        ({"Quantity": "0"}, "Quantity 0 is invalid"),
        ({"LimitPrice": "190.001"}, "Failed to Cancel/Replace order. Reason: Type = LMT has invalid Price increment"),
    ],
)
def test_a_bad_replacement_changes_nothing(wire: Any, changes: dict[str, str], says: str):
    order_id = wire.limit("190")
    before = wire.seen(order_id)
    answer = replace(wire, order_id, **changes)
    assert (answer.status_code, answer.json()["Message"].startswith(says)) == (400, True), answer.text
    assert wire.seen(order_id) == before


def test_an_order_that_is_done_is_not_replaced(wire: Any):
    answer = replace(wire, wire.place(), Quantity="5")
    assert (answer.status_code, answer.json()["Message"]) == (
        400,
        "Failed to Cancel/Replace order: Not an open order.",
    )


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL, "quirks": QuirksConfig(replace_out_ms=3000)}])
def test_a_replaced_order_may_look_out_without_being_closed(wire: Any, control: TradeStationControl):
    order_id = wire.limit("190")
    replace(wire, order_id, LimitPrice="191")
    row = wire.seen(order_id)
    assert (row["Status"], "ClosedDateTime" in row) == ("OUT", False)
    control.advance(seconds=3)
    assert (wire.seen(order_id)["Status"], wire.seen(order_id)["LimitPrice"]) == ("OPN", "191")


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL, "quirks": QuirksConfig(ack_fill_ms=3000)}])
def test_a_fill_may_look_acknowledged_first(wire: Any, control: TradeStationControl):
    order_id = wire.place()
    row = wire.seen(order_id)
    assert (row["Status"], row["Legs"][0]["ExecQuantity"], row["CommissionFee"]) == ("ACK", "10", "1")
    assert "ClosedDateTime" not in row
    control.advance(seconds=3)
    assert wire.seen(order_id)["Status"] == "FLL"


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig(working_ack=True, zero_fields=True)}])
def test_a_working_order_may_print_ack_and_a_zero_price(wire: Any):
    row = wire.seen(wire.limit("190"))
    assert (row["Status"], row["FilledPrice"]) == ("ACK", "0")


def test_every_number_is_a_string_and_nothing_is_null(wire: Any):
    wire.place()
    wire.limit("190")
    wire.place(TradeAction="SELL", OrderType="StopMarket", StopPrice="150")
    assert is_strings(wire.rows("orders", "Orders"))
    assert is_strings(wire.rows("positions", "Positions"))
    assert is_strings(wire.rows("balances", "Balances"))


def test_an_order_of_the_accounts_human_is_seen(wire: Any, control: TradeStationControl):
    control.place_order(EQUITIES, "AAPL", "sell", 5)
    (row,) = wire.rows("orders", "Orders")
    assert (row["Legs"][0]["BuyOrSell"], row["Status"], row["Routing"]) == ("SellShort", "FLL", "Intelligent")
    order = control.place_order(EQUITIES, "AAPL", "buy", 5, price="150")
    control.cancel_order(EQUITIES, order.order_id)
    row = wire.seen(order.order_id)
    assert (row["Legs"][0]["BuyOrSell"], row["Status"]) == ("BuyToCover", "OUT")


# previews
def test_a_preview_sends_nothing(wire: Any, control: TradeStationControl):
    answer = wire.send("POST", "/v3/orderexecution/orderconfirm", wire.order()).json()
    (row,) = answer["Confirmations"]
    assert (row["OrderAssetCategory"], row["EstimatedPrice"], row["EstimatedCost"]) == ("EQUITY", "200.02", "2000.2")
    assert (row["EstimatedCommission"], row["SummaryMessage"]) == ("1", "Buy 10 AAPL @ Market")
    assert len(row["OrderConfirmID"]) == 22
    assert control.orders(EQUITIES) == []
    assert wire.place(OrderConfirmID=row["OrderConfirmID"])


def test_a_preview_of_a_future_tells_its_margin(wire: Any):
    body = wire.order(AccountID=FUTURES, Symbol="MESZ26", Quantity="1", OrderConfirmID="mine")
    (row,) = wire.send("POST", "/v3/orderexecution/orderconfirm", body).json()["Confirmations"]
    assert (row["OrderConfirmID"], row["EstimatedCost"], row["InitialMarginDisplay"]) == ("mine", "30003.75", "2000.25")


def test_a_preview_says_what_the_order_would_meet(wire: Any):
    answer = wire.send("POST", "/v3/orderexecution/orderconfirm", wire.order(TradeAction="SELL"))
    assert (answer.status_code, "EC602" in answer.json()["Message"]) == (400, True)


def test_routes_and_triggers(wire: Any):
    routes = wire.get("/v3/orderexecution/routes")["Routes"]
    assert "Intelligent" in [route["Id"] for route in routes]
    triggers = wire.get("/v3/orderexecution/activationtriggers")["ActivationTriggers"]
    assert len({trigger["Key"] for trigger in triggers}) == 12
