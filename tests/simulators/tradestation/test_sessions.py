"""When orders trade: the exchange's hours on the simulator's clock, what waits, what is rejected, what expires."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import TradeStationControl
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.tradestation.config import ClosedMarket, QuirksConfig, SessionConfig
from simulators.tradestation.sessions import AssetType, Hours, SessionMode

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
SESSION = SessionConfig(mode=SessionMode.EXCHANGE, holidays=(date(2026, 3, 4),))
STOCK, FUTURE = AssetType.STOCK, AssetType.FUTURE


def at(moment: str) -> dict[str, Any]:
    """Return a venue with exchange hours whose clock stands at a moment (New York is UTC-5 until March 8)."""
    start = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    return {
        "session": SESSION,
        "clock": ClockConfig(mode=ClockMode.MANUAL, start=start, gateway=GatewayClock.ENGINE),
    }


def ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() * 1000)


@pytest.mark.parametrize(
    ("asset", "moment", "regular", "extended"),
    [
        (STOCK, "2026-03-02T14:29:59", False, True),
        (STOCK, "2026-03-02T14:30:00", True, True),
        (STOCK, "2026-03-02T20:59:59", True, True),
        (STOCK, "2026-03-02T21:00:00", False, True),
        (STOCK, "2026-03-03T01:00:00", False, False),
        (STOCK, "2026-03-02T08:59:59", False, False),
        (STOCK, "2026-03-04T15:00:00", False, False),
        (STOCK, "2026-03-07T15:00:00", False, False),
        (STOCK, "2026-03-09T13:30:00", True, True),
        (FUTURE, "2026-03-02T21:59:59", True, True),
        (FUTURE, "2026-03-02T22:00:00", False, False),
        (FUTURE, "2026-03-02T23:00:00", True, True),
        (FUTURE, "2026-03-07T15:00:00", False, False),
        (FUTURE, "2026-03-08T21:59:59", False, False),
        (FUTURE, "2026-03-08T22:00:00", True, True),
    ],
)
def test_hours(asset: AssetType, moment: str, regular: bool, extended: bool):
    hours = SESSION.build()
    assert hours.is_open(asset, ms(moment)) is regular
    assert hours.is_open(asset, ms(moment), extended=True) is extended


def test_openings_and_closes_skip_holidays_and_weekends():
    hours = SESSION.build()
    assert hours.opens_ms(STOCK, ms("2026-03-03T21:00:00")) == ms("2026-03-05T14:30:00")
    assert hours.closes_ms(STOCK, ms("2026-03-03T21:00:00")) == ms("2026-03-05T21:00:00")
    assert hours.closes_ms(STOCK, ms("2026-03-05T15:00:00")) == ms("2026-03-05T21:00:00")
    assert hours.opens_ms(STOCK, ms("2026-03-06T21:00:00")) == ms("2026-03-09T13:30:00"), "summer time began"
    assert hours.opens_ms(FUTURE, ms("2026-03-06T22:00:00")) == ms("2026-03-08T22:00:00")


def test_always_is_always():
    hours = Hours(mode=SessionMode.ALWAYS)
    assert hours.is_open(STOCK, ms("2026-03-07T03:00:00"))
    assert hours.next_boundary_ms(ms("2026-03-07T03:00:00")) is None


@pytest.mark.parametrize("config_changes", [at("2026-03-02T21:00:00")])
def test_a_market_order_of_the_night_is_rejected(wire: Any, control: TradeStationControl):
    row = wire.seen(wire.place())
    assert (row["Status"], row["RejectReason"]) == ("REJ", "The market is closed")
    assert (row["Legs"][0]["ExecQuantity"], "ClosedDateTime" in row) == ("0", True)
    assert control.positions(EQUITIES) == []
    assert wire.seen(wire.future(), FUTURES)["Status"] == "FLL", "futures trade on"


@pytest.mark.parametrize(
    "config_changes",
    [{**at("2026-03-02T21:00:00"), "quirks": QuirksConfig(closed_market=ClosedMarket.QUEUE)}],
)
def test_or_it_waits_for_the_opening(wire: Any, control: TradeStationControl):
    order_id = wire.place()
    assert (wire.seen(order_id)["Status"], wire.seen(order_id)["StatusDescription"]) == ("DON", "Queued")
    control.set_price("AAPL", "300")
    control.advance(to="2026-03-03T14:29:59Z")
    assert wire.sign_in().seen(order_id)["Status"] == "DON"
    control.advance(to="2026-03-03T14:30:00Z")
    row = wire.sign_in().seen(order_id)
    assert (row["Status"], row["FilledPrice"], row["ClosedDateTime"]) == ("FLL", "300.03", "2026-03-03T14:30:00Z")


@pytest.mark.parametrize("config_changes", [at("2026-03-02T21:00:00")])
def test_a_limit_order_of_the_night_waits_and_may_be_cancelled(wire: Any, control: TradeStationControl):
    waits, gone = wire.limit("210"), wire.limit("210")
    assert wire.seen(waits)["Status"] == wire.seen(gone)["Status"] == "DON"
    assert wire.send("DELETE", f"/v3/orderexecution/orders/{gone}").status_code == 200
    control.advance(to="2026-03-03T14:30:00Z")
    wire.sign_in()
    assert (wire.seen(waits)["Status"], wire.rows("positions", "Positions")[0]["Quantity"]) == ("FLL", "10")
    history = wire.rows("historicalorders?since=2026-03-01", "Orders")
    assert {row["OrderID"]: row["Status"] for row in history} == {waits: "FLL", gone: "OUT"}


@pytest.mark.parametrize("config_changes", [at("2026-03-02T15:00:00")])
def test_a_day_order_ends_with_the_session_and_gtc_does_not(wire: Any, control: TradeStationControl):
    day, gtc = wire.limit("190"), wire.limit("190", TimeInForce={"Duration": "GTC"})
    control.advance(to="2026-03-02T21:00:00Z")
    wire.sign_in()
    row = wire.seen(day)
    assert (row["Status"], row["ClosedDateTime"]) == ("EXP", "2026-03-02T21:00:00Z")
    assert wire.seen(gtc)["Status"] == "DON"


@pytest.mark.parametrize("config_changes", [at("2026-03-02T15:00:00")])
def test_a_resting_order_does_not_fill_while_its_session_is_closed(wire: Any, control: TradeStationControl):
    regular = wire.limit("190", TimeInForce={"Duration": "GTC"})
    extended = wire.limit("190", TimeInForce={"Duration": "GCP"})
    control.advance(to="2026-03-02T22:00:00Z")
    control.set_price("AAPL", "185")
    wire.sign_in()
    assert (wire.seen(regular)["Status"], wire.seen(extended)["Status"]) == ("DON", "FLL")
    control.advance(to="2026-03-03T14:30:00Z")
    assert wire.sign_in().seen(regular)["Status"] == "FLL"


@pytest.mark.parametrize("config_changes", [at("2026-03-02T22:00:00")])
def test_the_extended_session_takes_limit_orders_only(wire: Any, control: TradeStationControl):
    market = wire.post(TimeInForce={"Duration": "DYP"}).json()["Orders"][0]
    assert "Only Limit orders" in market["Message"]
    assert wire.seen(wire.limit("210", TimeInForce={"Duration": "DYP"}))["Status"] == "FLL"
    rests = wire.limit("190", TimeInForce={"Duration": "DYP"})
    control.advance(to="2026-03-03T01:00:00Z")
    assert wire.sign_in().seen(rests)["Status"] == "EXP"


@pytest.mark.parametrize("config_changes", [at("2026-03-02T14:28:59")])
def test_an_order_for_the_opening(wire: Any, control: TradeStationControl):
    taken = wire.place(TimeInForce={"Duration": "OPG"})
    assert wire.seen(taken)["Status"] == "DON"
    control.advance(to="2026-03-02T14:29:00Z")
    late = wire.post(TimeInForce={"Duration": "OPG"}).json()["Orders"][0]
    assert late["Message"] == "Order failed. Reason: No OPG Orders after 9:29AM Eastern Time"
    control.advance(to="2026-03-02T14:30:00Z")
    row = wire.seen(taken)
    assert (row["Status"], row["Duration"]) == ("FLL", "OPG")


@pytest.mark.parametrize("config_changes", [at("2026-03-02T15:00:00")])
def test_an_order_for_the_close(wire: Any, control: TradeStationControl):
    filled = wire.place(TimeInForce={"Duration": "CLO"})
    missed = wire.limit("190", TimeInForce={"Duration": "CLO"})
    control.set_price("AAPL", "220")
    control.advance(to="2026-03-02T21:00:00Z")
    wire.sign_in()
    assert (wire.seen(filled)["Status"], wire.seen(filled)["FilledPrice"]) == ("FLL", "220.03")
    row = wire.seen(missed)
    assert (row["Status"], row["Legs"][0]["QuantityRemaining"]) == ("EXP", "0"), "as recorded"


@pytest.mark.parametrize("config_changes", [at("2026-03-02T21:00:00")])
def test_an_order_of_a_moment_needs_an_open_market(wire: Any):
    for duration in ("IOC", "FOK"):
        assert wire.seen(wire.limit("210", TimeInForce={"Duration": duration}))["Status"] == "REJ"


@pytest.mark.parametrize("config_changes", [at("2026-03-02T15:00:00")])
def test_yesterdays_orders_leave_todays_list(wire: Any, control: TradeStationControl):
    filled, day = wire.place(), wire.limit("190")
    gtc = wire.limit("190", TimeInForce={"Duration": "GTC"})
    control.advance(to="2026-03-03T04:59:59Z")
    wire.sign_in()
    assert {row["OrderID"] for row in wire.rows("orders", "Orders")} == {filled, day, gtc}
    control.advance(to="2026-03-03T05:00:00Z")
    wire.sign_in()
    assert {row["OrderID"] for row in wire.rows("orders", "Orders")} == {gtc}, "New York's midnight has passed"
    answer = wire.get(f"/v3/brokerage/accounts/{EQUITIES}/orders/{filled}")
    assert (answer["Orders"], answer["Errors"][0]["Message"]) == ([], "Invalid order ID.")
    history = wire.rows("historicalorders?since=2026-03-02", "Orders")
    assert {row["OrderID"] for row in history} == {filled, day}
    assert wire.rows(f"historicalorders/{filled}?since=2026-03-02", "Orders")[0]["Status"] == "FLL"


def test_a_halted_symbol_rejects_and_fills_nothing(wire: Any, control: TradeStationControl):
    resting = wire.limit("190")
    control.set_flags("AAPL", halted=True)
    assert wire.get("/v3/marketdata/quotes/AAPL")["Quotes"][0]["MarketFlags"]["IsHalted"] is True
    row = wire.seen(wire.place())
    assert (row["Status"], row["RejectReason"]) == ("REJ", "Trading in this symbol is halted")
    control.set_price("AAPL", "180")
    assert wire.seen(resting)["Status"] == "OPN"
    assert wire.seen(wire.place(Symbol="MSFT"))["Status"] == "FLL"
    control.set_flags("AAPL")
    assert wire.seen(resting)["Status"] == "FLL"


def test_flags_of_a_symbol(wire: Any, control: TradeStationControl):
    control.set_flags("AAPL", delayed=True, hard_to_borrow=True)
    flags = wire.get("/v3/marketdata/quotes/AAPL")["Quotes"][0]["MarketFlags"]
    assert (flags["IsDelayed"], flags["IsHardToBorrow"], flags["IsHalted"]) == (True, True, False)
    (row,) = wire.post(TradeAction="SELLSHORT").json()["Orders"]
    assert "available to borrow" in row["Message"]
    assert wire.place()


@pytest.mark.parametrize("config_changes", [at("2026-03-02T15:00:00")])
def test_a_position_of_yesterday_is_marked_at_the_close(wire: Any, control: TradeStationControl):
    wire.place()
    control.set_price("AAPL", "210")
    control.advance(to="2026-03-03T15:00:00Z")
    control.set_price("AAPL", "212")
    wire.sign_in()
    (row,) = wire.rows("positions", "Positions")
    assert (row["MarkToMarketPrice"], row["TodaysProfitLoss"]) == ("210", "20")
    (bod,) = wire.rows("bodbalances", "BODBalances")
    assert Decimal(bod["BalanceDetail"]["NetCash"]) == Decimal(100_000) - Decimal("2000.2") - 1
