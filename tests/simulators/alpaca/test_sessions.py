"""When orders trade: the exchange's hours, what waits for them, what ends with them; the clock and the calendar."""

from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pytest

from simulators import AlpacaControl
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.core.sessions import SessionConfig, SessionMode

SESSION = SessionConfig(
    mode=SessionMode.EXCHANGE, holidays=(date(2026, 11, 26),), early_closes={date(2026, 11, 27): time(13)}
)


def at(moment: str) -> dict[str, Any]:
    """Return a venue with exchange hours whose clock stands at a moment (New York is UTC-5 in winter)."""
    start = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    clock = ClockConfig(mode=ClockMode.MANUAL, start=start, gateway=GatewayClock.ENGINE)
    return {"session": SESSION, "clock": clock}


OPEN, PRE, EVENING, NIGHT = "2026-03-02T15:00", "2026-03-02T13:00", "2026-03-02T22:00", "2026-03-03T02:00"


@pytest.mark.parametrize("config_changes", [at(OPEN)])
def test_the_clock_of_an_open_market(wire: Any):
    assert wire.get("/v2/clock") == {
        "timestamp": "2026-03-02T10:00:00.000000-05:00",
        "is_open": True,
        "next_open": "2026-03-03T09:30:00-05:00",
        "next_close": "2026-03-02T16:00:00-05:00",
    }


@pytest.mark.parametrize("config_changes", [at("2026-11-26T15:00")])
def test_the_clock_of_a_holiday_before_a_half_day(wire: Any):
    row = wire.get("/v2/clock")
    assert (row["is_open"], row["next_open"][:16], row["next_close"][:16]) == (
        False,
        "2026-11-27T09:30",
        "2026-11-27T13:00",
    )


@pytest.mark.parametrize("config_changes", [at(OPEN)])
def test_the_calendar(wire: Any):
    rows = wire.get("/v2/calendar?start=2026-11-25&end=2026-11-30")
    assert [(row["date"], row["open"], row["close"], row["settlement_date"]) for row in rows] == [
        ("2026-11-25", "09:30", "16:00", "2026-11-27"),
        ("2026-11-27", "09:30", "13:00", "2026-11-30"),
        ("2026-11-30", "09:30", "16:00", "2026-12-01"),
    ]
    assert (rows[0]["session_open"], rows[0]["session_close"]) == ("0400", "2000")
    assert wire.send("GET", "/v2/calendar?start=soon").status_code == 422


@pytest.mark.parametrize("config_changes", [at(EVENING)])
def test_a_market_order_of_the_night_waits_for_the_opening(wire: Any, control: AlpacaControl):
    row = wire.place()
    assert row["status"] == "accepted"
    assert wire.order(row["id"])["status"] == "accepted"
    control.set_price("AAPL", "300")
    control.advance(to="2026-03-03T14:29:59Z")
    assert wire.order(row["id"])["status"] == "accepted"
    control.advance(to="2026-03-03T14:30:00Z")
    seen = wire.order(row["id"])
    assert (seen["status"], seen["filled_avg_price"], seen["filled_at"]) == (
        "filled",
        "300.03",
        "2026-03-03T14:30:00.000000Z",
    )


@pytest.mark.parametrize("config_changes", [at(EVENING)])
def test_a_stop_that_the_night_has_passed_acts_at_the_opening(wire: Any, control: AlpacaControl):
    order_id = wire.place(type="stop", stop_price="210", time_in_force="gtc", qty="1")["id"]
    control.set_price("AAPL", "212")
    assert wire.order(order_id)["status"] == "accepted"
    control.advance(to="2026-03-03T14:30:00Z")
    assert wire.order(order_id)["status"] == "filled"


@pytest.mark.parametrize("config_changes", [at(EVENING)])
def test_a_queued_order_can_not_be_replaced_but_cancelled(wire: Any):
    order_id = wire.limit("190")["id"]
    answer = wire.send("PATCH", f"/v2/orders/{order_id}", {"limit_price": "191"})
    text = "unable to replace order, order isn't sent to exchange yet"
    assert (answer.status_code, answer.json()) == (422, {"code": 42210000, "message": text})
    assert wire.send("DELETE", f"/v2/orders/{order_id}").status_code == 204
    assert wire.order(order_id)["status"] == "canceled"


@pytest.mark.parametrize("config_changes", [at(EVENING)])
def test_a_queued_order_without_money_is_rejected_at_the_opening(wire: Any, control: AlpacaControl):
    order_id = wire.place(qty="450")["id"]
    control.withdraw("main", "USD", "80000")
    control.advance(to="2026-03-03T14:30:00Z")
    seen = wire.order(order_id)
    assert (seen["status"], seen["failed_at"]) == ("rejected", "2026-03-03T14:30:00.000000Z")


@pytest.mark.parametrize("config_changes", [at(OPEN)])
def test_day_orders_expire_and_others_are_done_for_the_day(wire: Any, control: AlpacaControl):
    day, gtc = wire.limit("190"), wire.limit("190", time_in_force="gtc")
    assert (day["expires_at"], gtc["expires_at"]) == ("2026-03-02T21:00:00.000000Z", "2026-05-31T15:00:00.000000Z")
    control.advance(to="2026-03-02T21:00:00Z")
    seen = wire.order(day["id"])
    assert (seen["status"], seen["expired_at"]) == ("expired", "2026-03-02T21:00:00.000000Z")
    assert wire.order(gtc["id"])["status"] == "done_for_day"
    control.set_price("AAPL", "180")
    assert wire.order(gtc["id"])["filled_qty"] == "0", "nothing trades at night"
    assert [row["id"] for row in wire.get("/v2/orders")] == [gtc["id"]]
    control.advance(to="2026-03-03T14:30:00Z")
    assert wire.order(gtc["id"])["status"] == "filled"


@pytest.mark.parametrize("config_changes", [at(PRE)])
def test_extended_hours_need_to_be_asked_for(wire: Any, control: AlpacaControl):
    early, late = wire.limit("210", extended_hours=True, qty="1"), wire.limit("210", qty="1")
    assert (early["status"], late["status"]) == ("pending_new", "accepted")
    assert (wire.order(early["id"])["status"], wire.order(late["id"])["status"]) == ("filled", "accepted")
    rests = wire.limit("150", extended_hours=True)
    assert rests["expires_at"] == "2026-03-03T01:00:00.000000Z"
    control.advance(to="2026-03-02T22:00:00Z")
    assert wire.order(rests["id"])["status"] == "new"
    control.advance(to="2026-03-03T01:00:00Z")
    assert wire.order(rests["id"])["status"] == "expired"


@pytest.mark.parametrize("config_changes", [at(NIGHT)])
def test_an_extended_order_of_the_night_waits_for_four_o_clock(wire: Any, control: AlpacaControl):
    order_id = wire.limit("210", extended_hours=True)["id"]
    assert wire.order(order_id)["status"] == "accepted"
    control.advance(to="2026-03-03T09:00:00Z")
    assert wire.order(order_id)["status"] == "filled"


@pytest.mark.parametrize("config_changes", [at(NIGHT)])
@pytest.mark.parametrize("force", ["ioc", "fok"])
def test_an_order_for_this_moment_dies_at_night(wire: Any, force: str):
    row = wire.limit("210", time_in_force=force)
    assert (row["status"], wire.order(row["id"])["status"]) == ("accepted", "canceled")


@pytest.mark.parametrize(
    ("force", "config_changes", "answer"),
    [
        ("opg", at("2026-03-02T14:27:59"), "accepted"),
        ("opg", at("2026-03-02T14:28:00"), "opg orders must be submitted after 7:00pm and before 9:28am"),
        ("opg", at("2026-03-02T23:59:59"), "opg orders must be submitted after 7:00pm and before 9:28am"),
        ("opg", at("2026-03-03T00:00:00"), "accepted"),
        ("cls", at("2026-03-02T20:49:59"), "accepted"),
        ("cls", at("2026-03-02T20:50:00"), "cls orders must be submitted after 7:00pm and before 3:50pm"),
    ],
)
def test_the_auctions_take_orders_until(wire: Any, force: str, answer: str):
    body = wire.post(time_in_force=force).json()
    assert body.get("message", body.get("status")) == answer


@pytest.mark.parametrize("config_changes", [at("2026-03-02T15:00")])
def test_auctions(wire: Any, control: AlpacaControl):
    close = wire.place(time_in_force="cls", qty="1")["id"]
    far = wire.limit("150", time_in_force="cls", qty="1")["id"]
    control.advance(to="2026-03-02T20:59:59Z")
    assert wire.order(close)["status"] == "accepted"
    control.advance(to="2026-03-02T21:00:00Z")
    assert (wire.order(close)["status"], wire.order(far)["status"]) == ("filled", "canceled")
    control.advance(to="2026-03-03T01:00:00Z")
    opening = wire.place(time_in_force="opg", qty="1")["id"]
    control.advance(to="2026-03-03T14:30:00Z")
    assert wire.order(opening)["filled_at"] == "2026-03-03T14:30:00.000000Z"


@pytest.mark.parametrize("config_changes", [at(NIGHT)])
def test_crypto_trades_on(wire: Any):
    assert wire.order(wire.coin("0.1")["id"])["status"] == "filled"


@pytest.mark.parametrize("config_changes", [at(OPEN)])
def test_fees_are_posted_when_the_day_is_over_into_the_past(wire: Any, control: AlpacaControl):
    wire.coin("1")
    wire.place(qty="100")
    control.advance(seconds=60)
    wire.place(qty="100", side="sell")
    cursor = wire.activities("direction=asc")[-1]["id"]
    control.advance(to="2026-03-03T04:59:59Z")
    assert [row["activity_type"] for row in wire.activities("direction=asc")] == ["CSD", "FILL", "FILL", "FILL"]
    control.advance(to="2026-03-03T05:00:00Z")
    rows = wire.activities("direction=asc")
    assert [(row["activity_type"], row.get("date")) for row in rows] == [
        ("CSD", "2026-03-02"),
        ("CFEE", "2026-03-02"),
        ("FILL", None),
        ("FILL", None),
        ("FILL", None),
        ("FEE", "2026-03-03"),
        ("FEE", "2026-03-03"),
    ]
    newer = wire.activities(f"direction=asc&page_token={cursor}")
    assert [row["activity_type"] for row in newer] == ["FEE", "FEE"], "the crypto fee stands before the last fill"
    assert wire.money("last_equity") == 99_990, "before the fees"
    assert wire.money("equity") == 99_990 - 150 - Decimal("0.58")


@pytest.mark.parametrize("config_changes", [at(OPEN)])
def test_activities_have_pages_windows_and_types(wire: Any, control: AlpacaControl):
    for _ in range(3):
        control.advance(seconds=60)
        wire.place(qty="1")
    newest = wire.activities("activity_types=FILL&page_size=2")
    assert [row["transaction_time"][11:16] for row in newest] == ["15:03", "15:02"]
    assert newest[0]["id"].startswith("20260302100300000::"), "the moment in an id is New York's"
    (oldest,) = wire.activities(f"activity_types=FILL&page_size=2&page_token={newest[1]['id']}")
    assert oldest["transaction_time"] == "2026-03-02T15:01:00.000000Z"
    window = "after=2026-03-02T15:01:00Z&until=2026-03-02T15:03:00Z"
    of_type = wire.get(f"/v2/account/activities/FILL?direction=asc&{window}")
    assert [row["transaction_time"][11:16] for row in of_type] == ["15:02"]
    assert len(wire.activities("date=2026-03-02")) == 4
    assert wire.activities("date=2026-03-03") == []
    assert [row["activity_type"] for row in wire.activities("activity_types=TRANS")] == ["CSD"]
    assert [row["activity_type"] for row in wire.activities("category=non_trade_activity")] == ["CSD"]
    assert wire.send("GET", "/v2/account/activities?page_size=101").status_code == 422


def test_money_moves_are_activities(wire: Any, control: AlpacaControl):
    control.deposit("main", "USD", "50")
    control.withdraw("main", "USD", "20")
    control.transfer("main", "second", "USD", "5")
    control.deposit("main", "BTC", "0.5")
    rows = [(row["activity_type"], row["net_amount"], row.get("qty")) for row in wire.activities("direction=asc")]
    assert rows == [
        ("CSD", "100000", None),
        ("CSD", "50", None),
        ("CSW", "-20", None),
        ("JNLC", "-5", None),
        ("JNLS", "0", "0.5"),
    ]
    assert wire.position("BTCUSD")["avg_entry_price"] == "60000"
