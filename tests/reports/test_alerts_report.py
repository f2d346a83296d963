"""The page of alerts: what became of each, what it says first, and what it never shows."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.ids import ClientOrderId, IntentId
from brokers.types import OrderRequest, OrderSide, OrderType
from flows.reports import markdown, report_of
from flows.reports.files import as_csv
from flows.reports.model import Plot, Tone
from ledger.inbox import Backlog, InboxState, Lane, LaneState, StoredAlert
from ledger.inbox_values import KeyKind
from ledger.states import CancelState, IntentState
from tests.reports.conftest import BTC
from tests.trading.rebalancing.building import NOW
from trading.alerts.overview import AlertLine, AlertStory, Overview
from trading.orders import IntentView

S = InboxState
SECRET = "canary-in-the-body"


def stored(alert_id: int = 17, state: InboxState = S.PLACED, **changes: Any) -> StoredAlert:
    fields: dict[str, Any] = dict.fromkeys(StoredAlert.__slots__)
    fields |= {
        "alert_id": alert_id,
        "source": "tv",
        "raw": SECRET.encode(),
        "raw_kept": True,
        "body_sha256": "ab" * 32,
        "content_type": "",
        "source_ip": "127.0.0.1",
        "received_at": NOW,
        "last_delivered_at": NOW,
        "deliveries": 1,
        "state": state,
        "reason": "ALERT_ORDERS_PLACED",
        "detail": "",
        "flag": "",
        "dedupe_key": "",
        "key_kind": KeyKind.EXPLICIT,
        "strategy": "=cmd()",
        "account_id": "bybit.simulated.main",
        "instrument_id": str(BTC),
        "is_exit": False,
        "skippable": True,
        "attempts": 1,
        "epoch": 1,
        "parsed": "",
        "review": "",
    }
    return StoredAlert(**{**fields, **changes})


def bought() -> IntentView:
    return IntentView(
        created_at=NOW,
        intent_id=IntentId("i" * 26),
        state=IntentState.FILLED,
        reason="COMPLETELY_FILLED",
        detail="",
        request=OrderRequest(BTC, OrderSide.BUY, OrderType.MARKET, Decimal("0.01")),
        filled_quantity=Decimal("0.01"),
        average_price=Decimal(60_006),
        client_order_id=ClientOrderId("c1"),
        venue_order_id=None,
        plan_id=None,
        leg_number=2,
        business_key="alert:17:open",
        cancel_state=CancelState.NONE,
        expires_at=NOW,
    )


def overview(*lines: AlertLine, **backlog: Any) -> Overview:
    return Overview(environment="simulated", lines=lines, backlog=Backlog(**{"now": NOW, **backlog}))


LINE = AlertLine(stored=stored(), alert=None, orders=(bought(),), sent_at=NOW + timedelta(milliseconds=72.8))


def test_an_alert_is_shown_with_its_order_and_the_time_that_it_took() -> None:
    report = report_of(overview(LINE))
    text = markdown(report)
    assert report.tone is Tone.GOOD and "buy 0.01 filled at 60,006" in text and "ALERT\\_ORDERS\\_PLACED" in text
    assert report.data["alerts"][0]["latency_ms"] == "72.8"
    assert [plot.name for plot in report.sections if isinstance(plot, Plot)] == ["ends", "latency"]
    assert SECRET not in text + str(report.data)
    assert "'=cmd()" in as_csv(report.tables[-1])  # a sender's text is no formula of a spreadsheet


def test_a_lane_that_stands_still_is_said_first() -> None:
    fields: dict[str, Any] = dict.fromkeys(Lane.__slots__)
    fields |= {"lane": "bybit.simulated.main|BTC/USDT:USDT", "state": LaneState.STOPPED, "reason": "PROOF_IMPOSSIBLE"}
    lane = Lane(**{**fields, "stopped_by": 17})
    report = report_of(overview(LINE, stopped_lanes=(lane,)))
    assert report.tone is Tone.BAD and report.verdict.startswith("1 lane(s) stand still")


@pytest.mark.parametrize("state", [S.DEAD, S.POISON, S.CONFLICT, S.NEEDS_HUMAN])
def test_what_asks_for_a_person_is_no_green_page(state: InboxState) -> None:
    report = report_of(overview(AlertLine(stored=stored(state=state), alert=None), counts={state: 1}))
    assert report.tone is Tone.WARN and "see their reasons" in report.verdict


def test_no_alert_is_no_error() -> None:
    report = report_of(overview())
    assert report.tone is Tone.NEUTRAL and "No alert" in markdown(report)


def test_an_alert_that_nobody_has_read_is_not_called_unreadable() -> None:
    assert AlertLine(stored=stored(state=S.NEW), alert=None).what == "not read yet"
    assert AlertLine(stored=stored(state=S.POISON), alert=None).what == "unreadable"


def test_the_story_of_one_alert_has_its_orders_and_not_its_body() -> None:
    report = report_of(AlertStory(line=LINE, events=()))
    text = markdown(report)
    assert "Alert 17" in text and "Its orders" in text and SECRET not in text + str(report.data)
