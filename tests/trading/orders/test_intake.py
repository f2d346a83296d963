"""An intention and what asked for it come onto the record in one transaction, or neither does."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlmodel import Session, col, select

from brokers.clock import ManualClock
from brokers.ids import ClientOrderId
from brokers.types import OrderSide
from ledger.engine import Ledger
from ledger.invariants import check_record
from ledger.records import fills_of_intent
from ledger.states import IntentState
from ledger.tables import LedgerMeta, OrderIntent
from tests.trading.orders.conftest import POLICY, MakeDesk, Want
from tests.trading.orders.modelled import ModelVenue, Truth
from tests.trading.orders.test_crash_points import CrashOnce, Killed
from trading.orders import TermsConflict
from trading.orders.crash import crash_hook
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder

S = IntentState


class Companion:
    """Something else that moves in the same transaction: a row in a table that anybody may write."""

    def __init__(self, *, raises: Exception | None = None) -> None:
        self.seen: list[str] = []
        self._raises = raises

    def __call__(self, session: Session, row: OrderIntent) -> None:
        self.seen.append(row.state)
        session.add(LedgerMeta(key=f"companion:{row.business_key}:{len(self.seen)}", value=row.state))
        session.flush()
        if self._raises is not None:
            raise self._raises


def moved(ledger: Ledger) -> list[str]:
    """What the companion has on record."""
    with ledger.read() as session:
        query = select(LedgerMeta.value).where(col(LedgerMeta.key).startswith("companion:"))
        return list(session.exec(query))


def intents(ledger: Ledger) -> list[str]:
    with ledger.read() as session:
        return [row.state for row in session.exec(select(OrderIntent))]


def test_both_are_stored_and_the_reservation_with_them(desk: OrderDesk, want: Want, ledger: Ledger) -> None:
    companion = Companion()
    view = desk.submit(want(), also=companion)
    assert view.state is S.READY
    assert (companion.seen, moved(ledger)) == (["ready"], ["ready"])
    with ledger.read() as session:
        (row,) = session.exec(select(OrderIntent))
        assert row.reserved_notional > 0
        assert check_record(session) == ()


def test_a_denial_is_told_too(make_desk: MakeDesk, want: Want, ledger: Ledger) -> None:
    desk = make_desk(policy=POLICY.model_copy(update={"allowed_instruments": ("ETH/USDT:USDT",)}))
    assert desk.submit(want(), also=Companion()).state is S.DENIED
    assert moved(ledger) == ["denied"]


def test_what_was_judged_before_is_not_told_again(desk: OrderDesk, want: Want, ledger: Ledger) -> None:
    desk.submit(want(), also=Companion())
    again = Companion()
    assert desk.submit(want(), also=again).state is S.READY
    assert again.seen == [] and moved(ledger) == ["ready"]
    with pytest.raises(TermsConflict):
        desk.submit(want(quantity="0.02"), also=again)


def test_an_intake_that_was_interrupted_is_told_when_it_is_judged(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    def die(name: str) -> None:
        if name == "margin_health":
            raise Killed(name)

    venue.on_call = die
    with pytest.raises(Killed):
        make_desk("first").submit(want())
    venue.on_call = lambda name: None
    assert intents(ledger) == ["received"]
    make_desk("second").submit(want(), also=Companion())
    assert (intents(ledger), moved(ledger)) == (["ready"], ["ready"])


@pytest.mark.parametrize("point", ["C04", "margin_health"])
def test_a_death_before_the_commit_leaves_neither(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, point: str
) -> None:
    killed = CrashOnce(point)
    venue.on_call = killed
    with crash_hook(killed), pytest.raises(Killed):
        make_desk("first").submit(want(), also=Companion())
    assert killed.happened
    venue.on_call = lambda name: None
    assert (intents(ledger), moved(ledger)) == ([], [])
    second = make_desk("second")
    intent_id = second.submit(want(), also=Companion()).intent_id
    assert second.drive([intent_id], timeout_s=30)[0].state is S.FILLED
    assert moved(ledger) == ["ready"] and venue.sends == 1


def test_a_death_after_the_commit_leaves_both(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    with crash_hook(CrashOnce("C05")), pytest.raises(Killed):
        make_desk("first").submit(want(), also=Companion())
    assert (intents(ledger), moved(ledger)) == (["ready"], ["ready"])
    second, again = make_desk("second"), Companion()
    intent_id = second.submit(want(), also=again).intent_id
    assert second.drive([intent_id], timeout_s=30)[0].state is S.FILLED
    assert again.seen == [] and venue.sends == 1
    with ledger.read() as session:
        assert len(fills_of_intent(session, str(intent_id))) == 1


def test_what_the_companion_raises_undoes_the_intent(desk: OrderDesk, want: Want, ledger: Ledger) -> None:
    """A worker that has lost what it works on must not leave an order behind."""
    with pytest.raises(LookupError, match="lost"):
        desk.submit(want(), also=Companion(raises=LookupError("the lease is lost")))
    assert (intents(ledger), moved(ledger)) == ([], [])


def test_a_refusal_on_old_figures_is_looked_at_again_and_told_once(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    desk.submit(want("first"))  # what is read here is what the next order is judged on first
    sell = want("close", side=OrderSide.SELL, reduce_only=True)
    assert desk.submit(sell, also=Companion()).state is S.DENIED
    venue.fill(_bought(venue, want("by hand")), Decimal("0.01"))
    companion = Companion()
    view = desk.submit(want("close again", side=OrderSide.SELL, reduce_only=True), also=companion)
    assert (view.state, companion.seen) == (S.READY, ["ready"]), view.detail
    assert intents(ledger) == ["ready", "denied", "ready"]


def _bought(venue: ModelVenue, wanted: WantedOrder) -> Truth:
    venue.rests = True
    prepared = venue.prepare_order(wanted.request, ClientOrderId("by-hand"))
    order = venue._accept(prepared, venue.now() + timedelta(seconds=5), at=venue.now())
    assert order is not None
    return order


def test_the_end_that_the_asker_sets_counts(desk: OrderDesk, want: Want, venue: ModelVenue, clock: ManualClock) -> None:
    until = clock.now() + timedelta(seconds=7)
    view = desk.submit(replace(want(ttl_s=60), not_after=until), also=Companion())
    assert view.expires_at == until
    late = desk.submit(replace(want("late", ttl_s=5), not_after=until))
    assert late.expires_at == clock.now() + timedelta(seconds=5)
    clock.wait(7)
    (done,) = desk.drive([view.intent_id], timeout_s=5)
    assert (done.state, venue.sends) == (S.EXPIRED, 0)


def test_what_is_enough_of_an_order_is_for_the_caller_to_say(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    """An order that rests is followed by whoever watches; who wanted it need not wait for that."""
    view = desk.submit(want(limit="49000"))
    (acked,) = desk.drive([view.intent_id], timeout_s=60, until=lambda seen: seen.state.is_live_at_venue)
    assert acked.state is S.ACKED and venue.sends == 1
