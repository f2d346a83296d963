"""The venue's dead-man switch, wound by the watch: silence cancels what rests of ours, and nothing else does."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.errors import BrokerError, RateLimited
from brokers.types import OrderSide, OrderType, TimeInForce
from ledger.states import IntentState
from ledger.tables import OrderIntent
from tests.trading.simulated_venues import BINANCE, LINEAR, OKX, Account, account_at
from trading import watching
from trading.dead_man import DeadManKeeper
from trading.orders import IntentView
from trading.starting import prove_account, start_trading
from trading.watching import Watched, watch

RESTING: dict[str, Any] = {
    "order_type": OrderType.LIMIT,
    "time_in_force": TimeInForce.GTC,
    "limit_price": Decimal("58000"),
}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with account_at(OKX, tmp_path) as opened:
        start_trading(opened.runtime, prove_account(opened.runtime))
        yield opened


def watched(account: Account, seconds: float, dead_man_s: int) -> Watched:
    until = account.clock.monotonic() + seconds
    return watch(account.runtime, goes_on=lambda: account.clock.monotonic() < until, dead_man_s=dead_man_s)


def rest(account: Account) -> str:
    view = account.traded(str(LINEAR), OrderSide.BUY, "0.01", "rests", **RESTING)
    assert view.state is IntentState.WORKING, view
    return str(view.intent_id)


def state_of(account: Account, intent_id: str) -> IntentState:
    account.runtime.desk.sweep()
    return account.runtime.desk.drive([intent_id], timeout_s=10)[0].state


def test_an_order_rests_while_it_is_watched_and_the_venue_cancels_it_in_silence(account: Account) -> None:
    intent_id = rest(account)
    seen = watched(account, 65, dead_man_s=30)
    assert seen.switch.failed == 0 and seen.switch.wound == 7, "every ten seconds, from the first look on"
    assert seen.switch.told() == "the dead-man switch of 30 s was set 7 times"
    assert state_of(account, intent_id) is IntentState.WORKING
    account.clock.wait(31)
    assert state_of(account, intent_id) is IntentState.CANCELLED


def test_a_watch_that_is_told_to_leaves_the_switch_alone(account: Account) -> None:
    intent_id = rest(account)
    seen = watched(account, 5, dead_man_s=0)
    assert not seen.switch.told() and not seen.switch.wound
    account.clock.wait(130)
    assert state_of(account, intent_id) is IntentState.WORKING


def test_the_next_watch_winds_the_switch_on(account: Account) -> None:
    intent_id = rest(account)
    for _ in range(4):
        watched(account, 1, dead_man_s=30)
        account.clock.wait(16)
    assert state_of(account, intent_id) is IntentState.WORKING


def failing(account: Account, monkeypatch: pytest.MonkeyPatch, *, times: int) -> None:
    arm: Callable[[int], bool] = account.runtime.broker.arm_dead_man
    left = [RateLimited("too many requests")] * times

    def sometimes(timeout_s: int) -> bool:
        if left:
            raise left.pop()
        return arm(timeout_s)

    monkeypatch.setattr(account.runtime.broker, "arm_dead_man", sometimes)


def test_a_switch_that_cannot_be_set_is_tried_again_and_ends_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failing(account, monkeypatch, times=2)
    with caplog.at_level(logging.WARNING, "trading.dead_man"):
        seen = watched(account, 9, dead_man_s=60)
    assert (seen.switch.failed, seen.switch.wound, seen.failed_looks) == (2, 1, 0) and seen.looks == 9
    assert seen.switch.told() == "the dead-man switch of 60 s was set 1 times, 2 times not (too many requests)"
    assert [record.levelname for record in caplog.records] == ["WARNING"], "told once"


def test_a_switch_that_was_never_set_is_not_called_set(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(account, monkeypatch, times=99)
    seen = watched(account, 9, dead_man_s=60)
    assert seen.switch.wound == 0
    assert seen.switch.told() == "the dead-man switch of 60 s could NOT be set (too many requests)"


@pytest.mark.parametrize("timeout_s", [1, 9, 121])
def test_a_countdown_that_the_venue_does_not_take_is_refused_by_name(account: Account, timeout_s: int) -> None:
    with pytest.raises(ValueError, match=rf"dead_man_s of okx\.simulated\.main must be 10 to 120.*was {timeout_s}"):
        DeadManKeeper(account.runtime, timeout_s)


def test_where_the_venue_would_cancel_other_peoples_orders_too_nothing_is_wound(tmp_path: Path) -> None:
    with account_at(BINANCE, tmp_path) as account:
        seen = watched(account, 5, dead_man_s=60)
        assert seen.looks == 5 and not seen.switch.wound and not seen.switch.told()
        assert "other people's" in seen.switch.note
        with pytest.raises(BrokerError):
            account.runtime.broker.arm_dead_man(60)


def test_a_look_that_takes_long_does_not_let_the_switch_act(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    intent_id = rest(account)
    with account.runtime.ledger.read() as session:
        row = session.get(OrderIntent, intent_id)
        assert row is not None
    advance, clock, asked = account.runtime.desk.advance, account.clock, 0

    def slowly(one: str) -> IntentView:
        nonlocal asked
        asked += 1
        clock.wait(9)
        return advance(one)

    monkeypatch.setattr(watching, "left_alone", lambda *_, **__: (row,) * 6)
    monkeypatch.setattr(account.runtime.desk, "advance", slowly)
    seen = watched(account, 1, dead_man_s=30)
    assert (seen.looks, asked) == (1, 6), "one look of 54 seconds"
    monkeypatch.undo()
    assert state_of(account, intent_id) is IntentState.WORKING


def test_an_error_that_nobody_foresaw_ends_no_watch(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(timeout_s: int) -> bool:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(account.runtime.broker, "arm_dead_man", broken)
    seen = watched(account, 5, dead_man_s=60)
    assert (seen.looks, seen.failed_looks, seen.switch.wound) == (5, 0, 0)
    assert seen.switch.told() == "the dead-man switch of 60 s could NOT be set (can't start new thread)"
