"""What account and pool let out together, and what is halted when an order turns up that should not be there."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from brokers.errors import EnvironmentMismatch
from brokers.ids import ClientOrderId
from ledger.control_file import ControlFile, entry_of
from ledger.controls import effective_control, pool_scope, scope_control, set_control, strictest
from ledger.engine import Ledger
from ledger.states import ControlState, IntentState
from tasks.process import Process
from tests.trading.orders.conftest import MakeDesk, Want
from tests.trading.orders.modelled import ModelVenue
from trading.orders import adopting
from trading.orders.crash import crash_hook
from trading.orders.gates import may_send
from trading.orders.identity import make_client_order_id

S = IntentState


def stop(ledger: Ledger, scope: str, state: ControlState) -> None:
    with ledger.write() as session:
        set_control(session, scope, state, reason="drill", set_by="me", at=ledger.now(session))


@pytest.mark.parametrize("is_reduce_only", [False, True])
def test_no_state_loosens_another(ledger: Ledger, venue: ModelVenue, is_reduce_only: bool) -> None:
    for account, pool in product(ControlState, ControlState):
        stop(ledger, str(venue.account_id), account)
        stop(ledger, pool_scope("p"), pool)
        with ledger.read() as session:
            together = effective_control(session, venue.account_id, "p")
        alone = [may_send(state, is_reduce_only=is_reduce_only) for state in (account, pool)]
        assert may_send(together, is_reduce_only=is_reduce_only) == all(alone), f"account {account}, pool {pool}"


def _stranger(ledger: Ledger, venue: ModelVenue, want: Want) -> None:
    """An order at the venue with our mark that the ledger does not know."""
    marked = make_client_order_id(
        want("of another ledger").intent_id,
        attempt=1,
        tag=ledger.installation_tag,
        is_production=False,
        identity=venue.order_identity,
    )
    venue._accept(venue.prepare_order(want().request, ClientOrderId(str(marked))), venue.now(), at=venue.now())


def test_a_halted_account_does_not_spare_its_pool(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.rests = True
    stop(ledger, str(venue.account_id), ControlState.HALT)
    _stranger(ledger, venue, want)
    desk = make_desk(pool="p")
    assert desk.sweep().sightings.untracked
    with ledger.read() as session:
        assert scope_control(session, pool_scope("p")) is ControlState.HALT


def test_adopting_locks_the_account_before_anything_else(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender takes the account's lock first and rows after it: the other way round deadlocks on PostgreSQL."""
    order: list[str] = []
    adopt = adopting._adopt

    def noting(*args: Any) -> Any:
        order.append("rows")
        return adopt(*args)

    monkeypatch.setattr(adopting, "lock_account", lambda session, account_id: order.append(str(account_id)))
    monkeypatch.setattr(adopting, "_adopt", noting)
    venue.rests = True
    _stranger(ledger, venue, want)
    desk = make_desk()
    desk.sweep()
    adopting.adopt_attempt(desk._ctx, venue.orders[0].client_order_id, venue_order_id="")
    assert order == [str(venue.account_id), "rows"] * 2


# -- the control file -------------------------------------------------------------------------------------------
def beside(ledger: Ledger) -> ControlFile:
    found = ControlFile.beside(ledger.url)
    assert found is not None
    return found


def say(ledger: Ledger, text: str | ControlState) -> None:
    file = beside(ledger)
    if isinstance(text, ControlState):
        with file.locked():
            file.put(pool_scope("p"), entry_of(text, reason="drill", set_by="me"))
    else:
        file.path.write_text(text)


@pytest.mark.parametrize("said", [ControlState.PAUSE, ControlState.HALT, ControlState.KILL, "", "HALT"])
@pytest.mark.parametrize("point", ["before", "C07", "C09"])
def test_the_file_alone_keeps_an_order_here_until_the_first_byte(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, said: str | ControlState, point: str
) -> None:
    desk = make_desk(pool="p")
    intent_id = desk.submit(want()).intent_id
    if point == "before":
        say(ledger, said)
    with crash_hook(lambda name: say(ledger, said) if name == point else None):
        view = desk.advance(intent_id)
    assert (view.state, venue.sends, venue.orders) == (S.READY, 0, [])
    beside(ledger).path.unlink()
    assert desk.drive([intent_id], timeout_s=30)[0].state is S.FILLED


def test_of_file_and_database_the_stricter_counts(ledger: Ledger, venue: ModelVenue) -> None:
    for in_file, in_database in product(ControlState, ControlState):
        say(ledger, in_file)
        stop(ledger, pool_scope("p"), in_database)
        with ledger.read() as session:
            together = effective_control(session, venue.account_id, "p", file=beside(ledger))
        assert together is strictest((in_file, in_database))


def test_a_production_desk_on_a_servers_ledger_needs_a_control_file() -> None:
    served = {
        "ALGOTRENDY_ENVIRONMENT": "production",
        "ALGOTRENDY_LEDGER_URL": "postgresql+psycopg://u@h/l",
        "ALGOTRENDY_KEY_REGISTRY": "/var/lib/keys.json",
    }
    with pytest.raises(EnvironmentMismatch, match="ALGOTRENDY_CONTROL_FILE"):
        Process.from_environment(served)
    named = Process.from_environment({**served, "ALGOTRENDY_CONTROL_FILE": "/var/lib/x.json"})
    assert str(named.control_file) == "/var/lib/x.json"
