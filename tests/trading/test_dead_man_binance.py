"""Binance's countdown, a symbol at a time: wound for an account whose owner said that it may cancel every order."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from brokers.ids import InstrumentId
from brokers.types import OrderSide, OrderType, TimeInForce
from ledger.dead_man import switch_notes
from ledger.states import IntentState
from tests.trading.simulated_venues import BINANCE, LINEAR, SPOT, Account, account_at
from trading.dead_man import DeadManKeeper
from trading.starting import prove_account, start_trading
from trading.watching import Watched, watch

COUNTDOWN = "/fapi/v1/countdownCancelAll"
ETH = InstrumentId("ETH/USDT:USDT")
RESTING: dict[str, Any] = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    agreed = {"dead_man_may_cancel_all_orders": True, "instruments": (SPOT, LINEAR, ETH)}
    with account_at(BINANCE, tmp_path, **agreed) as opened:
        start_trading(opened.runtime, prove_account(opened.runtime))
        yield opened


def watched(account: Account, seconds: float, dead_man_s: int = 30) -> Watched:
    until = account.clock.monotonic() + seconds
    return watch(account.runtime, goes_on=lambda: account.clock.monotonic() < until, dead_man_s=dead_man_s)


def rest(account: Account, name: InstrumentId = LINEAR, price: str = "58000", quantity: str = "0.01") -> str:
    view = account.traded(str(name), OrderSide.BUY, quantity, f"rests-{name}", limit_price=Decimal(price), **RESTING)
    assert view.state is IntentState.WORKING, view
    return str(view.intent_id)


def state_of(account: Account, intent_id: str) -> IntentState:
    account.runtime.desk.sweep()
    return account.runtime.desk.drive([intent_id], timeout_s=10)[0].state


def wound(account: Account) -> list[tuple[str, str]]:
    """Symbol and milliseconds of each countdown that was sent."""
    sent = [parse_qs(one.body) for one in account.sim.control.requests() if one.path == COUNTDOWN]
    return [(fields["symbol"][0], fields["countdownTime"][0]) for fields in sent]


def foreign_order(account: Account) -> str:
    """An order of another program in the same symbol."""
    order = account.sim.control.place_order("main", "BTCUSDT", "buy", "0.01", price="57000")
    return str(order.order_id)


def is_open(account: Account, order_id: str) -> bool:
    return any(order.order_id == order_id for order in account.sim.control.orders("main", open_only=True))


def test_a_watched_order_rests_and_in_silence_the_venue_cancels_all_of_its_symbol_and_no_other(
    account: Account,
) -> None:
    ours, spot, other = rest(account), rest(account, SPOT), foreign_order(account)
    seen = watched(account, 65)
    assert wound(account) == [("BTCUSDT", "30000")] * 7, "every ten seconds, of the one contract with an order of ours"
    assert seen.switch.failed == 0
    assert seen.switch.told() == (
        "the dead-man switch of 30 s was set 7 times in BTC/USDT:USDT; spot orders and stops that wait stay"
    )
    assert state_of(account, ours) is IntentState.WORKING
    account.clock.wait(31)
    assert state_of(account, ours) is IntentState.CANCELLED, "found by the ordinary look-up"
    assert state_of(account, spot) is IntentState.WORKING
    assert not is_open(account, other), "what the owner agreed to"


def test_without_the_owners_word_nothing_is_sent(tmp_path: Path) -> None:
    with account_at(BINANCE, tmp_path) as account:
        start_trading(account.runtime, prove_account(account.runtime))
        intent_id = rest(account)
        seen = watched(account, 5)
        assert not seen.switch.told() and "dead_man_may_cancel_all_orders" in seen.switch.note
        assert wound(account) == []
        account.clock.wait(130)
        assert state_of(account, intent_id) is IntentState.WORKING


def test_where_nothing_rests_nothing_is_wound(account: Account) -> None:
    seen = watched(account, 5)
    assert wound(account) == [] and seen.switch.told() == (
        "the dead-man switch of 30 s was not needed: no order rested"
    )


def test_a_countdown_is_taken_back_when_our_last_order_of_the_symbol_is_over(account: Account) -> None:
    intent_id, other = rest(account), foreign_order(account)
    watched(account, 3)
    account.runtime.desk.cancel(intent_id, reason="done")
    assert state_of(account, intent_id) is IntentState.CANCELLED
    watched(account, 3)  # a new process: it knows from the ledger what the one before it may have wound
    assert wound(account) == [("BTCUSDT", "30000"), ("BTCUSDT", "0")]
    account.clock.wait(60)
    assert is_open(account, other), "nobody asked for this any more"


def test_an_order_that_comes_later_is_covered_at_the_next_look(account: Account) -> None:
    keeper = DeadManKeeper(account.runtime, 30)
    keeper.wind()
    rest(account)
    rest(account, ETH, "2900", "0.1")
    account.clock.wait(1)
    keeper.wind()
    assert sorted(wound(account)) == [("BTCUSDT", "30000"), ("ETHUSDT", "30000")]
    assert keeper.seen.instruments == {"BTC/USDT:USDT", "ETH/USDT:USDT"}


def test_the_stop_of_one_watch_does_not_disarm_the_other(account: Account) -> None:
    intent_id = rest(account)
    first, second = DeadManKeeper(account.runtime, 30), DeadManKeeper(account.runtime, 30)
    for _ in range(12):
        first.wind()
        second.wind()
        account.clock.wait(1)
    first.end()
    for _ in range(60):
        second.wind()
        account.clock.wait(1)
    assert ("BTCUSDT", "0") not in wound(account)
    assert state_of(account, intent_id) is IntentState.WORKING
    account.clock.wait(31)
    assert state_of(account, intent_id) is IntentState.CANCELLED


def test_a_symbol_that_cannot_be_wound_does_not_keep_another_from_it(account: Account) -> None:
    rest(account)
    rest(account, ETH, "2900", "0.1")
    account.sim.control.fault("error", path=COUNTDOWN, times=None, fields={"symbol": "BTCUSDT"}, code=-4109)
    seen = watched(account, 12)
    sent = wound(account)
    assert sent.count(("ETHUSDT", "30000")) == 2, "every ten seconds"
    assert 2 <= sent.count(("BTCUSDT", "30000")) <= 6, "again and again, with a pause that grows"
    assert "12 times" not in seen.switch.told() and "BTC/USDT:USDT" in seen.switch.note
    assert not seen.switch.is_armed


def test_what_the_switch_is_stands_in_the_ledger(account: Account) -> None:
    def notes() -> list[tuple[str, str]]:
        with account.runtime.ledger.read() as session:
            return [(note.state, note.text) for note in switch_notes(session)]

    assert notes() == []
    rest(account)
    keeper = DeadManKeeper(account.runtime, 30)
    keeper.wind()
    assert notes() == [("armed", "acts after 30 s without a watch; spot orders and stops that wait stay")]
    keeper.end()
    assert notes() == [("left", "the watch is over: acts within 30 s unless another goes on with it")]
    DeadManKeeper(account.runtime, 0)
    assert notes() == [("off", "dead_man_s is 0")]


def test_a_venue_that_is_away_is_asked_for_one_symbol_a_look(account: Account) -> None:
    """Winding must not keep orders waiting for as many time limits as there are symbols."""
    rest(account)
    rest(account, ETH, "2900", "0.1")
    account.sim.control.fault("status", path=COUNTDOWN, times=None, status=503)
    keeper = DeadManKeeper(account.runtime, 30)
    keeper.wind()
    assert len(wound(account)) == 1
    keeper.wind()
    assert sorted(wound(account)) == [("BTCUSDT", "30000"), ("ETHUSDT", "30000")], "the other one, at the next look"
    assert keeper.seen.failed == 2 and not keeper.seen.is_armed


def test_a_countdown_that_cannot_be_taken_back_is_let_run_out(account: Account) -> None:
    intent_id = rest(account)
    keeper = DeadManKeeper(account.runtime, 30)
    keeper.wind()
    account.runtime.desk.cancel(intent_id, reason="done")
    assert state_of(account, intent_id) is IntentState.CANCELLED
    account.sim.control.fault("error", path=COUNTDOWN, times=None, code=-1121)
    for _ in range(60):
        account.clock.wait(1)
        keeper.wind()
    tried = wound(account)[1:]
    assert set(tried) == {("BTCUSDT", "0")} and 3 <= len(tried) <= 9, "for as long as it can run, with growing pauses"


def test_taking_back_that_crosses_with_a_new_order_is_made_good_at_the_next_look(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, arm = (
        DeadManKeeper(account.runtime, 30),
        DeadManKeeper(account.runtime, 30),
        account.runtime.broker.arm_dead_man,
    )
    intent_id = rest(account)
    first.wind()
    account.runtime.desk.cancel(intent_id, reason="done")
    assert state_of(account, intent_id) is IntentState.CANCELLED

    def late(timeout_s: int, *, instrument_id: InstrumentId) -> bool:
        """While the request is on its way, an order is placed and the other watch winds for it."""
        if timeout_s == 0:
            monkeypatch.undo()
            terms = {**RESTING, "limit_price": Decimal(58_000), "timeout_s": 1}
            account.traded(str(LINEAR), OrderSide.BUY, "0.01", "again", **terms)
            second.wind()
        return bool(arm(timeout_s, instrument_id=instrument_id))

    monkeypatch.setattr(account.runtime.broker, "arm_dead_man", late)
    account.clock.wait(1)
    first.wind()
    account.clock.wait(1)
    first.wind()
    assert [countdown for _, countdown in wound(account)] == ["30000", "30000", "0", "30000"]
    account.clock.wait(31)
    account.runtime.desk.sweep()
    assert not account.sim.control.orders("main", open_only=True)
