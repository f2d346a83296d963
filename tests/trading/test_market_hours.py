from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D

import pytest

from brokers.ids import IntentId
from brokers.types import OrderSide, OrderType
from tests.trading.alerts.building import make_alert, make_order, make_route, make_snapshot
from trading.alerts import AlertAction, AlertReason
from trading.alerts.deciding import PlanVerdict, decide
from trading.alerts.routing import WhenClosed
from trading.market_hours import CalendarUnknown, market_state, require_calendar


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("calendar", "moment", "is_open", "opens_at"),
    [
        ("NYSE", "2026-07-20T13:29:59", False, "2026-07-20T13:30:00"),
        ("NYSE", "2026-07-20T13:30:00", True, None),
        ("NYSE", "2026-07-20T19:59:59", True, None),
        ("NYSE", "2026-07-20T20:00:00", False, "2026-07-21T13:30:00"),
        ("NYSE", "2026-07-21T00:30:00", False, "2026-07-21T13:30:00"),
        ("NYSE", "2026-07-18T15:00:00", False, "2026-07-20T13:30:00"),  # a Saturday
        ("NYSE", "2026-11-26T15:00:00", False, "2026-11-27T14:30:00"),  # Thanksgiving, winter time
        ("NYSE", "2026-11-27T18:00:00", False, "2026-11-30T14:30:00"),  # closes early the day after
        ("NYSE", "2026-12-31T22:00:00", False, "2027-01-04T14:30:00"),  # over the turn of the year
        ("CME_Equity", "2026-07-20T21:30:00", False, "2026-07-20T22:00:00"),  # the daily break
        ("CME_Equity", "2026-07-20T20:20:00", True, None),  # its break at 15:15 is a thing of the past
        ("CME_Equity", "2026-07-20T22:00:00", True, None),
        ("CMEGlobex_Grains", "2026-07-20T12:44:59", True, None),
        ("CMEGlobex_Grains", "2026-07-20T12:45:00", False, "2026-07-20T13:30:00"),  # between night and day
        ("CMEGlobex_Grains", "2026-07-20T13:30:00", True, None),
        ("JPX", "2026-07-21T03:00:00", False, "2026-07-21T03:30:00"),  # noon in Tokyo
        ("CME_Equity", "2026-07-18T15:00:00", False, "2026-07-19T22:00:00"),
        ("", "2026-07-18T15:00:00", True, None),
    ],
)
def test_hours_are_those_of_the_exchange(calendar: str, moment: str, is_open: bool, opens_at: str | None) -> None:
    state = market_state(calendar, at(moment))
    expected = None if opens_at is None else at(opens_at)
    assert (state.is_open, state.opens_at) == (is_open, expected)


@pytest.mark.parametrize(
    ("calendar", "moment", "opens_at"),
    [
        ("NYSE", "2026-07-20T07:59:59", "2026-07-20T08:00:00"),
        ("NYSE", "2026-07-20T08:00:00", None),
        ("NYSE", "2026-07-20T23:59:59", None),
        ("NYSE", "2026-07-21T00:00:00", "2026-07-21T08:00:00"),
        ("XETR", "2026-07-20T06:59:59", "2026-07-20T07:00:00"),  # knows regular hours only
        ("", "2026-07-18T15:00:00", None),
    ],
)
def test_extended_hours_reach_around_the_regular_ones(calendar: str, moment: str, opens_at: str | None) -> None:
    state = market_state(calendar, at(moment), is_extended=True)
    assert (state.is_open, state.opens_at) == (opens_at is None, None if opens_at is None else at(opens_at))


def test_an_alert_for_extended_hours_is_decided_by_them() -> None:
    route = make_route(calendar="NYSE")
    early = make_snapshot(time=at("2026-07-20T12:00:00"))
    limit = make_alert(order_type=OrderType.LIMIT, limit_price=D(99), extended_hours=True)
    assert decide(limit, route, early).verdict is PlanVerdict.ORDERS
    assert decide(make_alert(extended_hours=True), route, early).reason is AlertReason.MARKET_CLOSED
    plain = make_alert(order_type=OrderType.LIMIT, limit_price=D(99))
    assert decide(plain, route, early).reason is AlertReason.MARKET_CLOSED


def test_a_calendar_that_is_none_says_so() -> None:
    with pytest.raises(CalendarUnknown, match="XBEL tells no hours"):  # the library has its name alone
        require_calendar("XBEL")
    with pytest.raises(CalendarUnknown, match="NYSE, NASDAQ"):
        require_calendar("WALLSTREET")
    require_calendar("NYSE")
    require_calendar("")


def test_a_naive_time_is_refused() -> None:
    with pytest.raises(ValueError, match="aware"):
        market_state("NYSE", datetime.fromisoformat("2026-07-20"))


def test_alerts_without_a_calendar_never_load_the_library() -> None:
    code = "import sys, trading.alerts.deciding, trading.alerts.reading; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


CLOSED = at("2026-07-20T12:00:00")  # 90 minutes before the opening


@pytest.mark.parametrize(
    ("when_closed", "now", "ttl", "verdict", "reason"),
    [
        (WhenClosed.REFUSE, CLOSED, None, PlanVerdict.REFUSED, AlertReason.MARKET_CLOSED),
        (WhenClosed.WAIT, CLOSED, None, PlanVerdict.WAIT, AlertReason.WAITING_FOR_OPEN),
        (WhenClosed.WAIT, CLOSED, timedelta(hours=2), PlanVerdict.WAIT, AlertReason.WAITING_FOR_OPEN),
        (WhenClosed.WAIT, CLOSED, timedelta(hours=1), PlanVerdict.REFUSED, AlertReason.MARKET_CLOSED),
        (WhenClosed.WAIT, at("2026-07-20T14:00:00"), None, PlanVerdict.ORDERS, AlertReason.ORDERS_DECIDED),
    ],
)
def test_outside_hours_the_route_decides(
    when_closed: WhenClosed, now: datetime, ttl: timedelta | None, verdict: PlanVerdict, reason: AlertReason
) -> None:
    route = make_route(calendar="NYSE", when_closed=when_closed)
    snapshot = make_snapshot(time=now, expires_at=None if ttl is None else now + ttl)
    plan = decide(make_alert(), route, snapshot)
    assert (plan.verdict, plan.reason) == (verdict, reason)
    if plan.verdict is PlanVerdict.WAIT:
        assert plan.wait_until == at("2026-07-20T13:30:00")


def test_what_waits_leaves_open_orders_as_they_are() -> None:
    resting = (make_order(OrderSide.SELL, "5", IntentId("i-1")),)
    alert = make_alert(action=AlertAction.EXIT, quantity=None, cancel_first=True)
    route = make_route(calendar="NYSE", when_closed="wait")
    closed = make_snapshot(5, time=CLOSED, open_orders=resting)
    assert decide(alert, route, closed).verdict is PlanVerdict.WAIT
    assert decide(alert, route, make_snapshot(5, open_orders=resting)).verdict is PlanVerdict.CANCEL_FIRST


def test_a_calendar_that_is_gone_refuses_and_does_not_raise() -> None:
    plan = decide(make_alert(), make_route(calendar="WALLSTREET"), make_snapshot())
    assert (plan.verdict, plan.reason) == (PlanVerdict.REFUSED, AlertReason.ALERT_CONFIG_REFUSED)
