"""Bybit's disconnection protection: a websocket that the watch keeps holds it off, and its end sets it going."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.errors import AnswerUnreadable, PermissionRefused, Unsupported
from brokers.factory import open_broker
from brokers.ids import InstrumentId
from brokers.types import OrderSide, OrderType, TimeInForce
from ledger.dead_man import switch_notes
from ledger.states import IntentState
from simulators.bybit.private import PrivateSocket
from simulators.core.types import MarketKind
from simulators.testing import small_config
from tests.brokers.loopback import eventually
from tests.trading.simulated_venues import BYBIT, LINEAR, ON_ITS_OWN_CLOCK, SPOT, Account, account_at
from trading.dead_man import DeadManKeeper
from trading.starting import prove_account, start_trading
from trading.watching import Watched, watch

SET, SHOWN = "/v5/order/disconnected-cancel-all", "/v5/account/query-dcp-info"
STREAM = "/v5/private"
RESTING: dict[str, Any] = {"order_type": OrderType.LIMIT, "time_in_force": TimeInForce.GTC}
AGREED: dict[str, Any] = {"dead_man_may_cancel_all_orders": True}


def at_bybit(tmp_path: Path, *, has_right: bool = True, **fields: Any) -> AbstractContextManager[Account]:
    config = small_config(clock=ON_ITS_OWN_CLOCK, dcp_accounts=("main",) if has_right else ())
    return account_at(BYBIT, tmp_path, config=config, **fields)


@pytest.fixture
def account(tmp_path: Path) -> Iterator[Account]:
    with at_bybit(tmp_path, **AGREED) as opened:
        start_trading(opened.runtime, prove_account(opened.runtime))
        yield opened


def watched(account: Account, seconds: float, dead_man_s: int = 30) -> Watched:
    until = account.clock.monotonic() + seconds
    return watch(account.runtime, goes_on=lambda: account.clock.monotonic() < until, dead_man_s=dead_man_s)


def rest(account: Account, name: InstrumentId = LINEAR, price: str = "58000") -> str:
    view = account.traded(str(name), OrderSide.BUY, "0.01", f"rests-{name}", limit_price=Decimal(price), **RESTING)
    assert view.state is IntentState.WORKING, view
    return str(view.intent_id)


def state_of(account: Account, intent_id: str) -> IntentState:
    account.runtime.desk.sweep()
    return account.runtime.desk.drive([intent_id], timeout_s=10)[0].state


def listening(account: Account) -> Callable[[], int]:
    """How many websockets hold off the protection of contracts."""
    return lambda: account.sim.simulator.front.protection.listening("main", MarketKind.LINEAR)


def lose(account: Account) -> None:
    """The process dies: its sockets end, and it does nothing more."""
    account.runtime.broker.close()
    eventually(lambda: listening(account)() == 0)


def asked(account: Account, path: str) -> int:
    return len(account.sim.control.requests(path=path))


def notes(account: Account) -> list[tuple[str, str]]:
    with account.runtime.ledger.read() as session:
        return [(note.state, note.text) for note in switch_notes(session)]


def cancelled(account: Account) -> dict[str, str]:
    """Symbol and market of the account's orders that are over, with the venue's reason."""
    rows = account.sim.control.orders("main")
    return {f"{row.request.kind.value} {row.request.symbol}": row.reason.value for row in rows if not row.is_open}


def test_a_watched_order_rests_and_the_end_of_the_watch_lets_the_venue_cancel_everything(account: Account) -> None:
    contract, spot = rest(account), rest(account, SPOT)
    account.sim.control.place_order("main", "ETHUSDT", "buy", "0.1", price="2900")  # another program's
    seen = watched(account, 65)
    assert (seen.switch.failed, seen.failed_looks) == (0, 0) and listening(account)() == 1
    assert seen.switch.told() == "the dead-man switch of 30 s was kept up; stops that wait may stay"
    assert (asked(account, SET), asked(account, STREAM)) == (2, 1), "of each product once, over one websocket"
    assert state_of(account, contract) is state_of(account, spot) is IntentState.WORKING
    lose(account)
    account.clock.wait(29)
    assert cancelled(account) == {}
    account.clock.wait(2)
    assert cancelled(account) == dict.fromkeys(
        ("linear BTCUSDT", "linear ETHUSDT", "spot BTCUSDT"), "cancelled_by_disconnection"
    )


def test_the_ledger_learns_of_what_the_venue_cancelled_by_the_ordinary_look_up(account: Account) -> None:
    intent_id = rest(account)
    watched(account, 3)
    account.runtime.broker._protection._stream.close()  # the line is gone, REST is not
    eventually(lambda: listening(account)() == 0)
    account.clock.wait(31)
    assert state_of(account, intent_id) is IntentState.CANCELLED


def test_a_connection_that_breaks_is_opened_again_and_nothing_is_cancelled(account: Account) -> None:
    intent_id = rest(account)
    keeper = DeadManKeeper(account.runtime, 30)
    keeper.wind()
    for _ in range(3):
        account.runtime.broker._protection._stream._connection.socket.shutdown(2)
        eventually(lambda: listening(account)() == 0)
        account.clock.wait(20)
        keeper.wind()
        assert listening(account)() == 1
    assert asked(account, STREAM) == 4
    assert keeper.seen.failed == 0 and keeper.seen.is_armed, "back in time is no failure"
    account.clock.wait(1)
    assert state_of(account, intent_id) is IntentState.WORKING


def test_a_watch_that_hangs_is_noticed_by_its_silence(account: Account) -> None:
    intent_id = rest(account)
    watched(account, 3)
    account.clock.wait(29)
    assert state_of(account, intent_id) is IntentState.WORKING
    account.clock.wait(33)  # thirty seconds without a heartbeat, and the time of the protection
    assert state_of(account, intent_id) is IntentState.CANCELLED


def test_the_stop_of_one_watch_leaves_the_other_in_place(account: Account) -> None:
    intent_id = rest(account)
    watched(account, 2)
    with open_broker(account.runtime.broker._config, clock=account.clock) as other:
        other.arm_dead_man(30)
        assert listening(account)() == 2
        account.runtime.broker._protection._stream.close()
        eventually(lambda: listening(account)() == 1)
        for _ in range(6):
            account.clock.wait(10)
            assert other.arm_dead_man(30)
        assert state_of(account, intent_id) is IntentState.WORKING


def test_without_the_owners_word_nothing_is_sent(tmp_path: Path) -> None:
    with at_bybit(tmp_path) as account:
        start_trading(account.runtime, prove_account(account.runtime))
        intent_id = rest(account)
        seen = watched(account, 5)
        assert not seen.switch.told() and "dead_man_may_cancel_all_orders" in seen.switch.note
        assert [asked(account, path) for path in (SET, SHOWN, STREAM)] == [0, 0, 0]
        assert state_of(account, intent_id) is IntentState.WORKING
        with pytest.raises(Unsupported, match="institutional clients only"):
            account.runtime.broker.arm_dead_man(30)


def test_an_account_without_the_right_is_told_so_and_trades_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with at_bybit(tmp_path, has_right=False, **AGREED) as account:
        start_trading(account.runtime, prove_account(account.runtime))
        with caplog.at_level(logging.WARNING, "trading.dead_man"):
            seen = watched(account, 15)
        said = "Bybit has not switched disconnection protection on for DERIVATIVES, SPOT of bybit.simulated.main"
        assert said in seen.switch.told() and "could NOT be set" in seen.switch.told()
        assert len(caplog.records) == 1, "told once"
        assert (seen.looks, seen.failed_looks) == (15, 0)
        assert asked(account, STREAM) == asked(account, SET) == 0
        ((state, text),) = notes(account)
        assert state == "not_armed" and said in text
        rest(account)
        with pytest.raises(PermissionRefused, match="institutional clients"):
            account.runtime.broker.arm_dead_man(30)


def test_it_is_armed_when_the_venue_shows_the_time_and_not_before(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    protection = account.runtime.broker._protection
    read = protection._read
    rows = [{"product": product, "dcpStatus": "ON", "timeWindow": "10"} for product in ("SPOT", "DERIVATIVES")]
    shown = {"dcpInfos": rows}
    monkeypatch.setattr(protection, "_read", lambda: shown)
    seen = watched(account, 8)
    assert seen.switch.told() == "the dead-man switch of 30 s was not acknowledged yet" and notes(account) == []
    assert listening(account)() == 1, "the time that is shown counts until then"
    assert asked(account, SET) == 2, "once of each product: it takes its time"
    monkeypatch.setattr(protection, "_read", read)
    assert watched(account, 4).switch.is_armed
    assert [state for state, _ in notes(account)] == ["left"]


@pytest.mark.parametrize("silent", ["auth", "subscribe"])
def test_an_answer_that_does_not_say_yes_arms_nothing(
    account: Account, monkeypatch: pytest.MonkeyPatch, silent: str
) -> None:
    say = PrivateSocket._say

    def say_less(self: PrivateSocket, operation: str, said: Any, **told: Any) -> None:
        say(self, operation, said, **told)
        if operation == silent:
            del self._due[-1]["success"]

    monkeypatch.setattr(PrivateSocket, "_say", say_less)
    with pytest.raises(AnswerUnreadable, match=f"{silent}: the answer says neither"):
        for _ in range(30):  # the time shows a while after it was set
            account.runtime.broker.arm_dead_man(30)
            account.clock.wait(2)


def test_a_venue_that_does_not_answer_over_rest_does_not_end_the_websocket(account: Account) -> None:
    intent_id = rest(account)
    watched(account, 2)
    account.sim.control.fault("status", path=SHOWN, times=None, status=503)
    seen = watched(account, 130)
    assert seen.switch.failed and not seen.switch.is_armed, "its time could not be read: that is told"
    assert asked(account, STREAM) == 1 and listening(account)() == 1
    assert state_of(account, intent_id) is IntentState.WORKING


@pytest.mark.parametrize("timeout_s", [0, 3, 301])
def test_a_time_that_is_not_taken_is_refused(account: Account, timeout_s: int) -> None:
    with pytest.raises(Unsupported, match=f"must be 10 to 300, and none is taken back, was {timeout_s}"):
        account.runtime.broker.arm_dead_man(timeout_s)


def test_the_login_is_never_logged(account: Account, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        account.runtime.broker.arm_dead_man(30)
    assert "main-key" not in caplog.text and "auth" not in caplog.text
