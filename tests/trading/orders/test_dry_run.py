"""A dry pool: every check, the exact payload on record, and nothing sent by whatever way."""

from __future__ import annotations

from decimal import Decimal

from sqlmodel import select

from brokers.clock import ManualClock
from ledger.engine import Ledger
from ledger.states import IntentState
from ledger.tables import Observation, OrderAttempt, OrderSend
from tests.trading.orders.conftest import POLICY, MakeDesk, Want
from tests.trading.orders.modelled import CLASSES, Fault, ModelVenue
from trading.orders.desk import OrderDesk
from trading.orders.reasons import OrderReason
from trading.orders.sending import DRY_RUN
from trading.risk import RiskPolicy, RiskReason

S = IntentState


def dry(ledger: Ledger, venue: ModelVenue, clock: ManualClock, policy: RiskPolicy = POLICY) -> OrderDesk:
    return OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=policy, worker="dry", dry_run=True)


def test_everything_up_to_sending_happens_and_nothing_is_sent(
    want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    desk = dry(ledger, venue, clock)
    (view,) = desk.drive([desk.submit(want()).intent_id], timeout_s=5)
    assert (view.state, view.reason, view.filled_quantity) == (S.WITHDRAWN, OrderReason.DRY_RUN, Decimal(0))
    assert (venue.sends, venue.orders) == (0, [])
    with ledger.read() as session:
        (attempt,) = session.exec(select(OrderAttempt)).all()
        (seen,) = session.exec(select(Observation)).all()
        assert session.exec(select(OrderSend)).all() == []
    assert (seen.outcome, seen.raw, seen.text) == (DRY_RUN, attempt.payload, attempt.payload_sha256)
    assert attempt.payload in view.detail
    assert desk.submit(want()).state is S.WITHDRAWN  # the same key is over for ever


def test_a_dry_pool_refuses_what_a_live_one_refuses(
    want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    desk = dry(ledger, venue, clock, POLICY.model_copy(update={"order_notional_max": Decimal(1)}))
    assert desk.submit(want()).reason == RiskReason.ORDER_NOTIONAL


def test_an_order_of_unknown_outcome_is_looked_for_and_never_sent_again(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    """Sent before the pool ran dry, at a venue where the same id would go out again."""
    venue.order_identity = CLASSES["permanent"]
    venue.script = [Fault.LOST]
    live = make_desk()
    intent_id = live.submit(want()).intent_id
    assert live.advance(intent_id).state is S.UNKNOWN
    sent = venue.sends
    (view,) = dry(ledger, venue, clock).drive([intent_id], timeout_s=300)
    assert venue.sends == sent
    assert view.state in (S.EXPIRED, S.WITHDRAWN)
    assert venue.orders == []
