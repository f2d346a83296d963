"""What a person does about alerts: apply sources and routes, put an alert back into the queue."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.engine import Ledger
from ledger.errors import AlertNotMoved
from ledger.inbox import AlertStore, InboxState, LaneState
from ledger.inbox_config import AlertConfigs, AlertConfigVersion
from trading.alerts.review_client import address_problem
from trading.alerts.reviewing import ReviewerKind
from trading.alerts.routing import AlertConfig, RoutesRefused


def check_routes(config: AlertConfig, ledger: Ledger) -> None:
    """Refuse what this ledger could not carry out: accounts of another environment, a reviewer out of reach."""
    config.require_environment(ledger.environment)
    for problem in _review_problems(config):
        raise RoutesRefused(problem)


def apply_routes(config: AlertConfig, ledger: Ledger, *, by: str) -> AlertConfigVersion:
    """Make these sources and routes count; equal ones change nothing. Raises RoutesRefused."""
    check_routes(config, ledger)
    return AlertConfigs(ledger).apply_config(config.to_json(), by=by)


def current_routes(ledger: Ledger) -> tuple[AlertConfigVersion, AlertConfig] | None:
    """What counts now; None before the first were applied."""
    version = AlertConfigs(ledger).current_config()
    return None if version is None else (version, AlertConfig.parse(version.body, where=f"version {version.version}"))


def replay(store: AlertStore, alert_id: int, *, by: str, reason: str) -> InboxState:
    """Put an alert that ended badly back under its key, and let its lane go on where it stood still for it.

    LookupError when there is no such alert, AlertNotMoved when it did not end badly. What was sent for it is found and
    not sent again.
    """
    state = store.revive(alert_id, by=by, reason=reason)
    for lane in store.lanes(state=LaneState.STOPPED):
        if lane.stopped_by == alert_id:
            store.restart_lane(lane.lane, by=by, reason=reason)
    return state


def _review_problems(config: AlertConfig) -> Iterator[str]:
    for route in config.routes:
        if route.review is None:
            continue
        problem = address_problem(route.review.url)
        if problem:
            yield f"route {route.name}: review.url: {problem}"
        if route.review.kind is ReviewerKind.LETTA and not route.review.agent:
            yield f"route {route.name}: review.agent must name the agent of the Letta server"


__all__ = ["AlertNotMoved", "apply_routes", "check_routes", "current_routes", "replay"]
