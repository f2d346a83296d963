"""The watch as a flow: how long a run lasts, what it survives, and that it finishes what a dead run left."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from brokers.clock import ManualClock
from deployments import automations
from flows import watch_orders as watching
from flows.rebalance import rebalance
from trading.orders.crash import crash_hook
from trading.steps import StepKind
from trading.watching import Watched

DAY = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "minutes", "end"),
    [
        ("00:00:03", 360, "05:59:55"),
        ("03:17:00", 360, "05:59:55"),
        ("05:58:00", 360, "05:59:55"),
        ("05:59:30", 360, "11:59:55"),  # started just before a slot: it lasts until the next one
        ("23:30:00", 360, "23:59:55"),
        ("10:00:00", 7, "10:01:55"),
        ("23:56:00", 7, "23:59:55"),  # the last slot of the day is cut short
    ],
)
def test_a_run_ends_shortly_before_the_next_slot(now: str, minutes: int, end: str) -> None:
    at = datetime.combine(DAY, datetime.strptime(now, "%H:%M:%S").time(), UTC)  # noqa: DTZ007
    found = watching.slot_end(at, minutes)
    assert f"{found:%H:%M:%S}" == end
    assert timedelta(seconds=watching.WATCH_S_MIN) <= found - at <= timedelta(minutes=2 * minutes)


def test_a_run_goes_on_while_no_server_could_start_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, asked = ManualClock(DAY), []
    answers = iter([False, False, True])

    def server() -> bool:
        asked.append(clock.monotonic())
        return next(answers)

    monkeypatch.setattr(watching, "server_answers", server)
    goes_on = watching.until_relieved(clock, DAY + timedelta(seconds=10))
    while goes_on():
        clock.wait(2)
    assert len(asked) == 3
    assert [after - before for before, after in pairwise(asked)] == [30, 30]


def test_a_server_that_is_not_there_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings(updates={PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        assert not watching.server_answers()


def test_a_step_is_called_once_whatever_prefect_does(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def no_task_run(name: str, kind: StepKind, function: Any) -> Any:
        raise ConnectionError("no server")

    monkeypatch.setattr(watching, "prefect_step", no_task_run)
    monkeypatch.setattr(watching, "get_run_logger", lambda: watching_log)
    assert watching.surviving_step("Finish", StepKind.ADVANCE, lambda: calls.append("called") or 7) == 7  # type: ignore[func-returns-value]
    assert calls == ["called"]

    def raising(name: str, kind: StepKind, function: Any) -> Any:
        function()
        raise ConnectionError("no server afterwards")

    monkeypatch.setattr(watching, "prefect_step", raising)
    with pytest.raises(ConnectionError, match="afterwards"):
        watching.surviving_step("Finish", StepKind.ADVANCE, lambda: calls.append("again"))
    assert calls == ["called", "again"]


class _Log:
    def warning(self, *arguments: Any) -> None:
        pass


watching_log = _Log()


def test_a_watch_says_what_it_did() -> None:
    assert watching.told(Watched(looks=3)) == "0 orders moved in 3 looks"
    seen = Watched(looks=9, failed_looks=2, failing={"i": "why"})
    assert watching.told(seen) == "0 orders moved in 9 looks; 2 looks ended early; 1 orders could not be advanced"


def test_a_crashed_watch_is_started_again_by_its_own_deployment() -> None:
    automation = automations.watch_again()
    trigger: Any = automation.trigger
    assert trigger.expect == {"prefect.flow-run.Crashed"}
    assert watching.watch_orders.name == automations.WATCH_FLOW
    assert [(action.type, action.source) for action in automation.actions] == [("run-deployment", "inferred")]  # type: ignore[union-attr]


def test_a_crashed_drain_is_started_again_too() -> None:
    from flows.drain_alerts import drain_alerts

    automation = automations.drain_again()
    assert drain_alerts.name == automations.DRAIN_FLOW and automation.name != automations.watch_again().name
    assert [action.type for action in automation.actions] == ["run-deployment"]


def test_a_watch_finishes_the_orders_of_a_dead_run(venue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        pass

    def die(point: str) -> None:
        if point == "C18":
            raise Died(point)

    with crash_hook(die), pytest.raises(Died):
        rebalance(venue.block, "pair", mode="execute", return_state=True)
    monkeypatch.setattr(watching, "slot_end", lambda now, minutes: now + timedelta(seconds=5))
    state = watching.watch_orders(venue.block, return_state=True)
    assert state.name == "Completed" and str(state.message).startswith("2 orders moved in "), state.message
    assert sorted(order["request"]["symbol"] for order in venue.orders()) == ["AAPLUSDT", "MSFTUSDT"]
