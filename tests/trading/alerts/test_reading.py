from __future__ import annotations

import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from ledger.alert_states import InboxState, KeyKind
from ledger.inbox import Admission, StoredAlert
from tests.trading.alerts.building import NOW, make_config, make_route
from tests.trading.alerts.samples import CANARY
from trading.alerts import Alert, AlertConfig, AlertReason
from trading.alerts.reading import end_of, reader

BODY = {"v": 1, "id": "a-1", "time": "2026-07-20T14:31:02Z", "symbol": "AAPL", "action": "buy", "quantity": "5"}


def stored(raw: bytes, *, received_at: datetime = NOW, source: str = "tv") -> StoredAlert:
    return StoredAlert(
        alert_id=1,
        source=source,
        raw=raw,
        raw_kept=True,
        body_sha256=hashlib.sha256(raw).hexdigest(),
        content_type="application/json",
        source_ip="127.0.0.1",
        received_at=received_at,
        deliveries=1,
        last_delivered_at=received_at,
        state=InboxState.NEW,
        reason="",
        detail="",
        flag="",
        dedupe_key="",
        key_kind=KeyKind.NONE,
        duplicate_of=None,
        strategy="",
        account_id="",
        instrument_id="",
        lane=None,
        lane_seq=None,
        is_exit=False,
        skippable=True,
        alert_time=None,
        expires_at=None,
        attempts=1,
        next_attempt_at=None,
        lease_owner=None,
        lease_until=None,
        epoch=1,
        parsed="",
        review="",
        finished_at=None,
    )


def admit(
    change: dict[str, Any] | bytes,
    *,
    config: AlertConfig | None = None,
    received_at: datetime = NOW,
    now: datetime | None = None,
    source: str = "tv",
) -> Admission:
    raw = change if isinstance(change, bytes) else json.dumps({**BODY, **change}).encode()
    read = reader(config or make_config(), lambda: now or received_at)
    return read(stored(raw, received_at=received_at, source=source))


def test_a_good_alert_gets_its_place_in_the_queue() -> None:
    found = admit({})
    assert (found.state, found.reason) == (InboxState.QUEUED, AlertReason.READY_TO_TRADE)
    assert (found.account_id, found.instrument_id, found.key) == ("tradestation.simulated.demo", "AAPL", "a-1")
    assert (found.alert_time, found.expires_at) == (NOW, NOW + timedelta(seconds=30))
    assert (found.is_exit, found.skippable) == (False, True)
    alert = Alert.from_json(found.parsed)
    assert (alert.source, alert.symbol, str(alert.quantity)) == ("tv", "AAPL", "5")


def test_an_exit_lives_longer_and_may_stop_its_lane() -> None:
    body = {"action": "exit"}
    found = admit({**body, "quantity": "1"})
    assert (found.is_exit, found.skippable, found.expires_at) == (True, False, NOW + timedelta(seconds=300))
    lenient = make_config(make_route(exit_stops_lane=False))
    assert admit({**body, "quantity": "1"}, config=lenient).skippable


@pytest.mark.parametrize(
    ("change", "state", "reason"),
    [
        (b"", InboxState.POISON, AlertReason.BODY_EMPTY),
        (b"\xff", InboxState.POISON, AlertReason.BODY_NOT_TEXT),
        (b"{", InboxState.POISON, AlertReason.BODY_NOT_JSON),
        (b"hello", InboxState.POISON, AlertReason.DIALECT_UNKNOWN),
        (b"x" * 70_000, InboxState.POISON, AlertReason.BODY_TOO_LARGE),
        (b"a|b|c", InboxState.REFUSED, AlertReason.DIALECT_UNSUPPORTED),
        ({"quantity": "NaN"}, InboxState.REFUSED, AlertReason.NUMBER_INVALID),
        ({"symbol": "MSFT"}, InboxState.REFUSED, AlertReason.ROUTE_MISSING),
        ({"exchange": "NASDAQ_DL"}, InboxState.REFUSED, AlertReason.DATA_DELAYED),
        ({"take_profit": "300"}, InboxState.REFUSED, AlertReason.BRACKETS_NOT_PLACED),
        ({"time": "2026-07-20T14:30:01Z"}, InboxState.EXPIRED, AlertReason.ALERT_STALE),
        ({"time": "2026-07-20T14:31:08Z"}, InboxState.CONFLICT, AlertReason.ALERT_FROM_FUTURE),
    ],
)  # fmt: skip
def test_what_is_not_traded_ends_with_its_reason(change: Any, state: InboxState, reason: AlertReason) -> None:
    found = admit(change)
    assert (found.state, found.reason) == (state, reason.value)


@pytest.mark.parametrize("time", ["2026-07-20T14:30:02Z", "2026-07-20T14:31:07Z"])
def test_the_edges_of_freshness_are_inside(time: str) -> None:
    config = make_config(make_route(ttl_market_s=120))
    assert admit({"time": time}, config=config).state is InboxState.QUEUED


def test_a_sender_may_ask_for_less_patience() -> None:
    body = {
        "secret": "s",
        "bot_uuid": "b",
        "max_lag": "10",
        "timestamp": "2026-07-20T14:30:50Z",
        "tv_instrument": "AAPL",
        "action": "enter_long",
        "order": {"amount": "1", "currency_type": "base"},
    }
    assert admit(json.dumps(body).encode()).reason == AlertReason.ALERT_STALE
    assert admit(json.dumps({**body, "max_lag": "300"}).encode()).state is InboxState.QUEUED


def test_what_waited_too_long_in_our_own_queue_has_expired() -> None:
    assert admit({}, now=NOW + timedelta(seconds=29)).state is InboxState.QUEUED
    found = admit({}, now=NOW + timedelta(seconds=30))
    assert (found.state, found.reason) == (InboxState.EXPIRED, AlertReason.ALERT_EXPIRED)


def test_without_a_time_the_receipt_counts_and_a_time_ahead_adds_nothing() -> None:
    body = {**BODY}
    del body["time"]
    found = admit(json.dumps(body).encode())
    assert (found.alert_time, found.expires_at) == (None, NOW + timedelta(seconds=30))
    assert admit({"time": "2026-07-20T14:31:06Z"}).expires_at == NOW + timedelta(seconds=30)


def test_a_source_may_ask_for_an_id_and_a_time() -> None:
    config = make_config(require_explicit_key=True, require_time=True)
    assert admit({}, config=config).state is InboxState.QUEUED
    assert admit({"id": ""}, config=config).reason == AlertReason.KEY_REQUIRED
    assert admit({"time": ""}, config=config).reason == AlertReason.TIME_REQUIRED


def test_a_secret_in_the_body_is_a_second_factor() -> None:
    config = make_config(secrets={"secret": hashlib.sha256(CANARY.encode()).hexdigest()})
    assert admit({"secret": CANARY}, config=config).state is InboxState.QUEUED
    for wrong in ({"secret": CANARY + "x"}, {}, {"secret": None}, {"secret": 7}):
        found = admit(wrong, config=config)
        assert (found.state, found.reason) == (InboxState.REFUSED, AlertReason.BODY_SECRET_WRONG.value)
        assert CANARY not in repr(found)


def test_a_source_that_nobody_wrote_down_is_refused() -> None:
    assert admit({}, source="other").reason == AlertReason.SOURCE_UNKNOWN


def test_what_was_understood_is_kept_with_a_refusal() -> None:
    found = admit({"symbol": "MSFT"})
    assert (found.key, Alert.from_json(found.parsed).symbol) == ("a-1", "MSFT")


def test_every_reason_ends_in_a_state() -> None:
    assert {end_of(reason) for reason in AlertReason} == {
        InboxState.POISON,
        InboxState.EXPIRED,
        InboxState.CONFLICT,
        InboxState.REFUSED,
    }
