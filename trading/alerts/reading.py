"""From a stored alert to its place in the queue, or its end: body, checks, route. Pure but for the clock.

`reader` gives what `ledger.inbox.AlertStore.admit` takes. Whatever the body holds, an admission comes out.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from ledger.alert_states import InboxState
from ledger.inbox import Admission, StoredAlert
from trading.alerts.dialects import Reading, parse
from trading.alerts.model import Alert
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.routing import AlertConfig, Route, Source
from trading.alerts.values import moment

FUTURE_S_MAX = 5
DETAIL_MAX = 500
_UNREADABLE = frozenset(
    {
        AlertReason.BODY_EMPTY,
        AlertReason.BODY_TOO_LARGE,
        AlertReason.BODY_NOT_TEXT,
        AlertReason.BODY_NOT_JSON,
        AlertReason.DIALECT_UNKNOWN,
    }
)
_ENDS = {
    **dict.fromkeys(_UNREADABLE, InboxState.POISON),
    AlertReason.ALERT_STALE: InboxState.EXPIRED,
    AlertReason.ALERT_EXPIRED: InboxState.EXPIRED,
    AlertReason.ALERT_FROM_FUTURE: InboxState.CONFLICT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """An alert that may be worked on, with its route and the time after which it may not."""

    alert: Alert
    route: Route
    expires_at: datetime


def end_of(reason: AlertReason) -> InboxState:
    """The state in which an alert ends that was refused for this reason."""
    return _ENDS.get(reason, InboxState.REFUSED)


def reader(config: AlertConfig, clock_now: Callable[[], datetime]) -> Callable[[StoredAlert], Admission]:
    """What reads alerts into the queue under these sources and routes."""

    def read(stored: StoredAlert) -> Admission:
        return admission(stored, config, clock_now())

    return read


def admission(stored: StoredAlert, config: AlertConfig, now: datetime) -> Admission:
    """What a stored alert comes to at an aware time."""
    alert: Alert | None = None
    try:
        source = config.source(stored.source)
        alert = typed(stored.raw, source)
        routed = _routed(alert, source, config, received_at=stored.received_at)
        instrument_id = routed.route.instrument_at(alert.event_time or stored.received_at)
        if now >= routed.expires_at:
            text = f"it could be carried out until {moment(routed.expires_at)}, and was read at {moment(now)}"
            raise AlertRefused(AlertReason.ALERT_EXPIRED, text)
    except AlertRefused as refusal:
        return _ended(refusal, alert)
    return Admission(
        state=InboxState.QUEUED,
        reason=AlertReason.READY_TO_TRADE.value,
        detail=f"route {routed.route.name}",
        key=alert.key,
        account_id=str(routed.route.account),
        instrument_id=str(instrument_id),
        strategy=alert.strategy,
        is_exit=not alert.opens,
        skippable=alert.opens or not routed.route.exit_stops_lane,
        alert_time=alert.event_time,
        expires_at=routed.expires_at,
        parsed=alert.to_json(),
    )


def typed(raw: bytes, source: Source) -> Alert:
    """The typed alert of a source's body, its secrets checked; AlertRefused."""
    reading = parse(raw, dialect=source.dialect, volume_mode=source.volume_mode)
    _require_secrets(reading, source)
    alert = replace(reading.alert, source=source.name)
    if source.require_explicit_key and not alert.key:
        raise AlertRefused(AlertReason.KEY_REQUIRED, f"source {source.name} asks for an id; add one to the message")
    if source.require_time and alert.event_time is None:
        text = f"source {source.name} asks for a time; add {{{{timenow}}}} to the message"
        raise AlertRefused(AlertReason.TIME_REQUIRED, text)
    return alert


def _routed(alert: Alert, source: Source, config: AlertConfig, *, received_at: datetime) -> Routed:
    if alert.event_time is not None:
        _require_fresh(alert, alert.event_time, source, received_at=received_at)
    route = config.route(alert)
    begin = min(alert.event_time or received_at, received_at)
    return Routed(alert=alert, route=route, expires_at=begin + timedelta(seconds=route.ttl_s(alert)))


def _require_fresh(alert: Alert, event_time: datetime, source: Source, *, received_at: datetime) -> None:
    """Against the time of receipt: what waited in our own queue is the matter of `expires_at`."""
    age_s = (received_at - event_time).total_seconds()
    limit = source.max_age_s if alert.max_age_s is None else min(source.max_age_s, alert.max_age_s)
    if age_s < -FUTURE_S_MAX:
        text = f"its time {moment(event_time)} is {-age_s:.0f} s after its receipt; at most {FUTURE_S_MAX} s may be"
        raise AlertRefused(AlertReason.ALERT_FROM_FUTURE, text)
    if age_s > limit:
        text = f"it was {age_s:.0f} s old when it arrived, source {source.name} allows {limit} s"
        raise AlertRefused(AlertReason.ALERT_STALE, text)


def _require_secrets(reading: Reading, source: Source) -> None:
    """Every field that the source names has to hold what the sum was made of."""
    for field, wanted in source.secrets.items():
        given = reading.secrets.get(field, "")
        if not hmac.compare_digest(given, wanted):
            found = "wrong" if given else "missing"
            raise AlertRefused(AlertReason.BODY_SECRET_WRONG, f"the secret in field {field} is {found}")


def _ended(refusal: AlertRefused, alert: Alert | None) -> Admission:
    return Admission(
        state=end_of(refusal.reason),
        reason=refusal.reason.value,
        detail=refusal.detail[:DETAIL_MAX],
        key="" if alert is None else alert.key,
        strategy="" if alert is None else alert.strategy,
        is_exit=alert is not None and not alert.opens,
        alert_time=None if alert is None else alert.event_time,
        parsed="" if alert is None else alert.to_json(),
    )
