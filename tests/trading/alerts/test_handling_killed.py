"""A worker dies at any line of an alert's work; another finishes: no second order, no lost one, one end.

Each boundary is a place to die: every crash point of the desk, every request to the venue, and before and after every
write of the queue. The suite takes some of them; ALGOTRENDY_ALERT_KILLS=all takes each.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.clock import ManualClock
from brokers.types import OrderType
from ledger.inbox import InboxState
from tests.trading.alerts.scene import LONG, SHORT, Scene, open_scene
from tests.trading.orders.modelled import CLASSES, START
from trading.alerts import AlertAction
from trading.alerts.reviewing import Review, ReviewVerdict
from trading.orders.crash import crash_hook

D = Decimal
SAMPLES = 3
IDENTITIES = ("permanent", "open only, deadline")
APPROVAL = Review(verdict=ReviewVerdict.APPROVE, confidence=D("0.9"), reasoning="fine")
RULE = {"url": "http://127.0.0.1:1/review"}


class Killed(BaseException):
    pass


class Reaper:
    """Counts boundaries and raises at the chosen one."""

    def __init__(self, at: int) -> None:
        self.at, self.passed = at, 0

    def __call__(self, name: str) -> None:
        self.passed += 1
        if self.passed == self.at:
            raise Killed(f"boundary {self.passed}: {name}")

    def around(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*arguments: Any, **named: Any) -> Any:
            self(f"before {name}")
            result = call(*arguments, **named)
            if named.get("session") is None:  # inside a transaction nothing is stored yet
                self(f"after {name}")
            return result

        return watched


def buy(scene: Scene) -> tuple[int, str, int]:
    return scene.send(AlertAction.BUY, target=LONG, ttl_s=3_000), "0.01", 1


def reverse(scene: Scene) -> tuple[int, str, int]:
    scene.route_changes["reversal_quantity"] = "entry"
    scene.hold("0.02")
    return scene.send(AlertAction.REVERSE, target=SHORT, ttl_s=3_000), "-0.01", 2


def reviewed_after_cancels(scene: Scene) -> tuple[int, str, int]:
    scene.route_changes["review"] = {**RULE, "on_no_answer": "pass"}
    scene.review = lambda question, rule: APPROVAL
    scene.send(AlertAction.BUY, order_type=OrderType.LIMIT, limit_price=D(49_000))
    scene.work("before")
    return scene.send(AlertAction.SELL, target=SHORT, cancel_first=True, ttl_s=3_000), "-0.01", 2


SCENES = {"buy": buy, "reverse": reverse, "cancels and review": reviewed_after_cancels}


def play(folder: Path, template: Path, kind: str, at: int, identity: str) -> int:
    """Play a scene with a death at one boundary; how many boundaries the first worker passed."""
    folder.mkdir()
    ledger, scene = open_scene(folder, template, ManualClock(START))
    with ledger:
        scene.venue.order_identity = CLASSES[identity]
        alert_id, position, orders = SCENES[kind](scene)
        reaper = Reaper(at)
        originals = {name: getattr(scene.store, name) for name in ("note", "heartbeat", "finish", "events")}
        for name, call in originals.items():
            setattr(scene.store, name, reaper.around(name, call))
        scene.venue.on_call, scene.venue.at_point = reaper, reaper
        with crash_hook(reaper), suppress(Killed):
            scene.work("first")
        for name, call in originals.items():
            setattr(scene.store, name, call)
        scene.venue.on_call = scene.venue.at_point = lambda name: None
        stored = scene.work_until_over(alert_id, worker="second")
        told = f"{kind}, {identity}, killed at {at}: {stored.state} {stored.reason} {stored.detail}"
        assert stored.state is InboxState.PLACED, told
        assert (scene.position, len(scene.ours())) == (D(position), orders), told
        assert scene.open_orders() == [], told
        scene.check()
        return reaper.passed


@pytest.mark.parametrize("kind", SCENES)
def test_a_death_at_any_line_sends_nothing_twice_and_loses_nothing(tmp_path: Path, template: Path, kind: str) -> None:
    takes_all = os.environ.get("ALGOTRENDY_ALERT_KILLS") == "all"
    count = play(tmp_path / "whole", template, kind, 0, IDENTITIES[0])
    assert count > 20
    for at in range(1, count + 1, 1 if takes_all else count // SAMPLES):
        for identity in IDENTITIES if takes_all else (IDENTITIES[at % 2],):
            play(tmp_path / f"at-{at}-{identity}", template, kind, at, identity)
