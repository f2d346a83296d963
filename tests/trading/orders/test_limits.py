"""The limits that need a past: what the ledger counts, what it stops, and what two desks may not do together."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from sqlmodel import Session, select

from brokers.clock import ManualClock
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.types import CashEvent, CashEventKind, OrderSide, OrderStatus, Position, PositionMode, PositionSide
from ledger.contract_sizes import keep_contract_sizes
from ledger.controls import current_control, pool_scope, set_control, strategy_scope
from ledger.engine import Ledger
from ledger.records import insert_cash_events, record_account
from ledger.snapshots import store_snapshot
from ledger.states import ControlState, IntentState, SnapshotPurpose
from ledger.tables import EquityMark, OrderAttempt, OrderIntent, OrderRow, OrderSend
from tests.trading.orders.conftest import POLICY, MakeDesk, Want
from tests.trading.orders.modelled import BTC, START, Fault, ModelVenue
from trading.orders.desk import OrderDesk
from trading.orders.equity import mark_equity
from trading.orders.reasons import OrderReason
from trading.risk import RiskPolicy, RiskReason

S, R = IntentState, RiskReason
WILD = int(os.environ.get("ALGOTRENDY_WILD_INTENTS", "20"))
TESTNET = RiskPolicy.for_environment(Environment.TESTNET)


def limited(base: RiskPolicy = POLICY, **limits: object) -> RiskPolicy:
    return base.model_copy(update={k: Decimal(v) if isinstance(v, str) else v for k, v in limits.items()})


def scope_state(ledger: Ledger, scope: object) -> tuple[str, str]:
    with ledger.read() as session:
        row = current_control(session, str(scope))
    return ("run", "") if row is None else (row.state, row.reason)


def lift(ledger: Ledger, scope: object) -> None:
    with ledger.write() as session:
        set_control(session, str(scope), ControlState.RUN, reason="read", set_by="me", at=ledger.now(session))


# -- repetition -------------------------------------------------------------------------------------------------
def test_a_strategy_that_repeats_itself_is_disabled_until_a_person_enables_it(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    desk = make_desk(policy=limited(repeat_max=3))
    scope = strategy_scope("test", venue.account_id)
    for number in range(3):
        assert desk.drive([desk.submit(want(f"o{number}")).intent_id], timeout_s=5)[0].state is S.FILLED
    view = desk.submit(want("o3"))
    assert (view.state, view.reason) == (S.DENIED, R.REPEATED_EXECUTION)
    state, reason = scope_state(ledger, scope)
    assert (state, reason.split(":")[0]) == (ControlState.HALT, R.REPEATED_EXECUTION)
    clock.wait(601)  # the window is over, and still nobody has enabled it
    assert desk.submit(want("o4")).reason == R.STRATEGY_DISABLED
    assert desk.submit(replace(want("o5"), strategy="another")).state is S.READY
    assert desk.submit(want("o6", side=OrderSide.SELL, reduce_only=True)).state is S.READY
    lift(ledger, scope)
    assert desk.submit(want("o7")).state is S.READY


def test_a_disabled_strategy_keeps_what_was_ready_before(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    desk = make_desk()
    ready = desk.submit(want()).intent_id
    with ledger.write() as session:
        scope = strategy_scope("test", venue.account_id)
        set_control(session, scope, ControlState.HALT, reason="r", set_by="me", at=ledger.now(session))
    view = desk.advance(ready)
    assert (view.state, view.reason, venue.sends) == (S.READY, OrderReason.STRATEGY_STOPPED, 0)


def test_an_order_of_unknown_outcome_is_not_sent_again_for_a_disabled_strategy(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    desk = make_desk()
    intent_id = desk.submit(want()).intent_id
    venue.script = [Fault.LOST]
    assert desk.advance(intent_id).state is S.UNKNOWN
    sent = venue.sends
    with ledger.write() as session:
        scope = strategy_scope("test", venue.account_id)
        set_control(session, scope, ControlState.HALT, reason="r", set_by="me", at=ledger.now(session))
    (view,) = desk.drive([intent_id], timeout_s=300)
    assert (view.state, venue.sends) == (S.EXPIRED, sent)


def test_a_strategy_that_runs_wild_sends_its_limit_and_nothing_more(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    """With the testnet's own limits. ALGOTRENDY_WILD_INTENTS=10000 plays the whole catastrophe."""
    desk = make_desk(policy=limited(TESTNET, duplicates_denied=False, order_rate_max=1_000, message_rate_max=1_000))
    for number in range(WILD):
        view = desk.submit(want(f"wild{number}", quantity="0.001"))
        if view.state is S.READY:
            desk.drive([view.intent_id], timeout_s=5)
    assert venue.sends == TESTNET.repeat_max
    assert scope_state(ledger, strategy_scope("test", venue.account_id))[0] == ControlState.HALT


# -- the same order twice ---------------------------------------------------------------------------------------
def test_the_same_order_under_another_key_is_refused_within_the_window(
    make_desk: MakeDesk, want: Want, clock: ManualClock
) -> None:
    desk = make_desk(policy=limited(duplicates_denied=True))
    first = want("a")
    assert desk.submit(first).state is S.READY
    assert desk.submit(first).state is S.READY  # the same intent is asked for again
    clock.wait(5)
    view = desk.submit(want("b"))
    assert (view.state, view.reason) == (S.DENIED, R.DUPLICATE_ORDER)
    assert desk.submit(want("c", quantity="0.02")).state is S.READY
    assert desk.submit(want("d", side=OrderSide.SELL)).state is S.READY
    clock.wait(0.001)
    assert desk.submit(want("e")).state is S.READY


def test_rounds_of_one_plan_and_orders_without_effect_are_no_duplicates(
    make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    desk = make_desk(policy=limited(duplicates_denied=True))
    assert desk.submit(want("a", plan_id="p", leg_number=1)).state is S.READY
    assert desk.submit(want("b", plan_id="p", leg_number=1)).state is S.READY
    assert desk.submit(want("c", plan_id="q", leg_number=1)).reason == R.DUPLICATE_ORDER
    venue.script = [Fault.REFUSED]
    lone = desk.submit(want("d", quantity="0.03"))
    assert desk.advance(lone.intent_id).state is S.REFUSED
    assert desk.submit(want("e", quantity="0.03")).state is S.READY


def test_on_simulated_accounts_a_duplicate_is_noted(make_desk: MakeDesk, want: Want) -> None:
    desk = make_desk()
    desk.submit(want("a"))
    view = desk.submit(want("b"))
    assert view.state is S.READY
    assert R.DUPLICATE_ORDER in view.detail


# -- resting orders and prices ----------------------------------------------------------------------------------
def test_an_order_may_not_meet_our_own(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    desk = make_desk()
    resting = desk.submit(want("rests", limit="50100"))
    desk.drive([resting.intent_id], timeout_s=0.1)
    assert desk.submit(want("s1", side=OrderSide.SELL, limit="50100")).reason == R.SELF_CROSS
    assert desk.submit(want("s2", side=OrderSide.SELL, limit="50100.1")).state is S.READY
    assert desk.submit(want("s3", side=OrderSide.SELL)).reason == R.SELF_CROSS


def test_an_order_of_somebody_else_on_the_account_counts_too(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    with ledger.write() as session:
        session.add(
            OrderRow(
                account_id=str(venue.account_id),
                venue_order_id="by hand",
                instrument_id=str(BTC),
                side="sell",
                order_type="limit",
                quantity=Decimal(1),
                filled_quantity=Decimal(0),
                limit_price=Decimal(50_500),
                status=OrderStatus.WORKING.value,
                created_at=START,
                updated_at=START,
                first_seen_at=START,
                last_seen_at=START,
            )
        )
    assert "by hand" in desk.submit(want()).detail
    assert desk.submit(want("below", limit="50499.9")).state is S.READY


def test_a_bad_tick_waits_until_the_price_is_back_or_the_window_is_over(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    desk = make_desk(policy=limited(quote_jump_max="0.02", quote_jump_window_s="10", price_collar="0.5"))
    intent_id = desk.submit(want()).intent_id
    venue.quote_price = Decimal(51_001)  # 2.002 % away
    view = desk.advance(intent_id)
    assert (view.state, view.reason, venue.sends) == (S.READY, R.QUOTE_JUMPED, 0)
    assert desk.submit(want("next")).reason == R.QUOTE_JUMPED  # an intent that was not sent is still a good price
    clock.wait(10.1)
    assert desk.drive([intent_id], timeout_s=5)[0].state is S.FILLED


def test_cancels_count_as_messages_and_are_never_held_back(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    desk = make_desk(policy=limited(message_rate_max=4, message_rate_window_s="5"))
    resting = [desk.submit(want(f"r{n}", limit="40000", quantity=f"0.00{n + 1}")).intent_id for n in range(2)]
    desk.drive(resting, timeout_s=0.1)
    for intent_id in resting:
        desk.cancel(intent_id, reason="test")
    assert (venue.sends, venue.cancels) == (2, 2)
    fifth = desk.submit(want("fifth")).intent_id
    view = desk.advance(fifth)
    assert (view.state, view.reason, venue.sends) == (S.READY, OrderReason.MESSAGE_RATE_WAITS, 2)
    (view,) = desk.drive([fifth], timeout_s=10)
    assert view.state is S.FILLED


# -- losses -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("limits", "reason"),
    [({"daily_loss_max": "0.1"}, R.DAILY_LOSS), ({"drawdown_max": "0.1"}, R.DRAWDOWN)],
)
def test_a_loss_sets_the_account_to_reduce_only_once(
    make_desk: MakeDesk,
    want: Want,
    venue: ModelVenue,
    ledger: Ledger,
    clock: ManualClock,
    limits: dict[str, str],
    reason: RiskReason,
) -> None:
    desk = make_desk(policy=limited(**limits))
    (view,) = desk.drive([desk.submit(want("a", quantity="0.5")).intent_id], timeout_s=5)
    assert view.state is S.FILLED
    venue.equity = Decimal(900_000)
    clock.wait(6)
    assert desk.submit(want("b")).state is S.READY  # the limit exactly
    venue.equity = Decimal("899_999.99")
    clock.wait(6)
    view = desk.submit(want("c"))
    assert (view.state, view.reason) == (S.DENIED, reason)
    assert scope_state(ledger, venue.account_id)[0] == ControlState.REDUCE_ONLY
    assert scope_state(ledger, venue.account_id)[1].startswith(reason.value)
    assert desk.submit(want("d")).reason == reason
    (view,) = desk.drive([desk.submit(want("e", side=OrderSide.SELL, reduce_only=True)).intent_id], timeout_s=5)
    assert view.state is S.FILLED
    lift(ledger, venue.account_id)
    clock.wait(6)
    view = desk.submit(want("f"))
    assert view.state is S.READY, view.detail  # measured anew from what a person accepted
    venue.equity = Decimal(800_000)
    clock.wait(6)
    assert desk.submit(want("g")).reason == reason


def test_a_stop_for_a_loss_never_loosens_a_pause(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    desk = make_desk(policy=limited(daily_loss_max="0.1"))
    desk.submit(want("a"))
    with ledger.write() as session:
        at = ledger.now(session)
        set_control(session, venue.account_id, ControlState.PAUSE, reason="r", set_by="me", at=at)
    venue.equity = Decimal(1)
    clock.wait(6)
    assert desk.submit(want("b")).reason == R.DAILY_LOSS
    assert scope_state(ledger, venue.account_id)[0] == ControlState.PAUSE


def _paid(session: Session, venue: ModelVenue, amount: str, at_s: float, *, seen_s: float, kind: str) -> None:
    event = CashEvent(
        account_id=venue.account_id,
        event_id=f"{kind}{at_s}",
        kind=CashEventKind(kind),
        currency="USDT",
        amount=Decimal(amount),
        time=START + timedelta(seconds=at_s),
    )
    insert_cash_events(session, [event], at=START + timedelta(seconds=seen_s))


def test_money_paid_in_and_out_is_no_gain_and_no_loss(ledger: Ledger, venue: ModelVenue) -> None:
    account = str(venue.account_id)

    def mark(equity: str, at_s: float) -> tuple[Decimal, Decimal]:
        past = mark_equity(session, account, equity=Decimal(equity), read_at=START + timedelta(seconds=at_s))
        return past.opening, past.highest

    with ledger.write() as session:
        assert mark("1000", 0) == (1000, 1000)
        _paid(session, venue, "-400", 10, seen_s=15, kind="withdrawal")
        assert mark("600", 20) == (600, 600)
        _paid(session, venue, "500", 30, seen_s=35, kind="deposit")
        assert mark("1100", 40) == (1100, 1100)
        assert mark("1600", 60) == (1100, 1600)  # a deposit that is not known yet looks like a gain
        _paid(session, venue, "500", 50, seen_s=70, kind="deposit")
        assert mark("1600", 80) == (1600, 1600)  # learnt of late: it does not hide a loss
        assert mark("1300", 100) == (1600, 1600)
        _paid(session, venue, "-300", 90, seen_s=110, kind="withdrawal")
        assert mark("1300", 120) == (1600, 1600)  # learnt of late: a withdrawal stays a loss
        day = 86_400
        assert mark("1300", day) == (1300, 1600)
        _paid(session, venue, "-1000", day + 10, seen_s=day + 10, kind="withdrawal")
        assert mark("300", day + 20) == (300, 600)
        assert mark("290", day + 10) == (300, 600)  # an older reading changes nothing
        marks = session.exec(select(EquityMark).order_by(EquityMark.day)).all()
        assert [(m.lowest, m.latest) for m in marks] == [(1100, 1300), (300, 300)]


# -- the pool ---------------------------------------------------------------------------------------------------
def _other(
    ledger: Ledger,
    venue: ModelVenue,
    quantity: str,
    *,
    age_s: float = 60,
    held: InstrumentId = BTC,
    at: Venue | None = None,
) -> str:
    other = AccountId(at or venue.account_id.venue, venue.account_id.environment, "other")
    taken_at = START - timedelta(seconds=age_s)
    position = Position(
        account_id=other,
        instrument_id=held,
        side=PositionSide.LONG,
        quantity=Decimal(quantity),
        average_price=Decimal(50_000),
        mark_price=Decimal(50_000),
        unrealised_pnl=None,
        realised_pnl=None,
        leverage=None,
        mode=PositionMode.ONE_WAY,
        time=taken_at,
    )
    with ledger.write() as session:
        record_account(session, other, at=taken_at)
        store_snapshot(
            session,
            other,
            purpose=SnapshotPurpose.SYNC,
            taken_at=taken_at,
            balances=[],
            positions=[position],
            reference="",
        )
    return str(other)


def test_the_pool_counts_the_snapshots_and_the_intents_of_other_accounts(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    _other(ledger, venue, "1")
    sister = ModelVenue(clock, name="other")
    their_desk = make_desk("w2", broker=sister)
    theirs = replace(want("theirs", quantity="0.5"), account_id=sister.account_id)
    assert their_desk.submit(theirs).state is S.READY  # reserves 25,000.05
    room = Decimal("75_000.05") + Decimal("0.01") * Decimal("50_000.1")
    assert make_desk(policy=limited(pool_gross_notional_max=room)).submit(want("a")).state is S.READY
    desk = make_desk(policy=limited(pool_gross_notional_max=room))
    view = desk.submit(want("b", quantity="0.001"))
    assert (view.state, view.reason) == (S.DENIED, R.POOL_EXPOSURE)


def test_what_another_venue_holds_is_valued_by_its_own_contract_size(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    other = _other(ledger, venue, "100", at=Venue.OKX)  # contracts of a hundredth: one coin, not a hundred
    unread = make_desk(policy=limited(pool_may_be_unread=False)).submit(want("a"))
    assert unread.reason == R.POOL_UNREADABLE and other in unread.detail
    with ledger.write() as session:
        keep_contract_sizes(session, Venue.OKX, {BTC: Decimal("0.01")})
    room = Decimal(50_000) + Decimal("0.01") * Decimal("50_000.1")
    desk = make_desk(policy=limited(pool_may_be_unread=False, pool_gross_notional_max=room))
    assert desk.submit(want("b")).state is S.READY
    assert desk.submit(want("c", quantity="0.001")).reason == R.POOL_EXPOSURE


@pytest.mark.parametrize(("age_s", "held"), [(86_401, BTC), (60, InstrumentId("OLD/USDT:USDT"))])
def test_an_account_that_cannot_be_read_stops_the_pool_where_the_policy_says_so(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, age_s: float, held: InstrumentId
) -> None:
    other = _other(ledger, venue, "1", age_s=age_s, held=held)
    assert make_desk().submit(want("a")).state is S.READY
    view = make_desk(policy=limited(pool_may_be_unread=False)).submit(want("b"))
    assert view.reason == R.POOL_UNREADABLE
    assert other in view.detail


# -- fifty at once ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("limits", "orders", "allowed"),
    [
        ({"position_notional_max": "5001"}, 50, 10),
        ({"gross_notional_max": "2001"}, 12, 4),
        ({"net_notional_max": "2001"}, 12, 4),
        ({"pool_gross_notional_max": "2001"}, 12, 4),
        ({"leverage_max": "0.002001"}, 12, 4),
        ({"open_orders_max": 4}, 12, 4),
        ({"repeat_max": 4}, 12, 4),
    ],
)
def test_orders_at_once_never_exceed_a_limit(
    make_desk: MakeDesk,
    want: Want,
    venue: ModelVenue,
    ledger: Ledger,
    limits: dict[str, object],
    orders: int,
    allowed: int,
) -> None:
    policy = limited(**{"open_orders_max": 100, **limits})
    desks = [make_desk(f"w{n}", policy=policy, pool="p") for n in range(4)]
    venue.rests = True
    errors: list[BaseException] = []
    start = threading.Barrier(len(desks))

    def work(number: int) -> None:
        start.wait()
        try:
            for count in range(number, orders, len(desks)):
                desk = desks[number]
                intent_id = desk.submit(want(f"o{count}")).intent_id
                desk.advance(intent_id)
        except BaseException as error:  # noqa: BLE001 - a thread's failure must fail the test
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(desks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with ledger.read() as session:
        live = session.exec(select(OrderIntent).where(OrderIntent.state != S.DENIED.value)).all()
        assert len(session.exec(select(OrderSend)).all()) == venue.sends <= allowed
    assert len(live) == allowed  # and none of the room is wasted


# -- more sends than were decided -------------------------------------------------------------------------------
class TwoFaced(ModelVenue):
    """An adapter that goes around the desk: its transport lets out a second order for each that it is given."""

    left = 0
    extra = 1

    @property
    def order_requests_sent(self) -> int:
        return self.left

    def place(self, prepared, ticket):  # type: ignore[no-untyped-def]
        self.left += 1 + self.extra
        return super().place(prepared, ticket)


def test_a_transport_that_lets_out_more_than_was_committed_halts_the_pool_at_once(
    make_desk: MakeDesk, want: Want, ledger: Ledger, clock: ManualClock
) -> None:
    broker = TwoFaced(clock)
    desk = make_desk(broker=broker, pool="p")
    first, second = (desk.submit(want(key)).intent_id for key in "ab")
    assert desk.advance(first).state is S.ACKED  # what was answered is on record all the same
    state, reason = scope_state(ledger, pool_scope("p"))
    assert (state, reason.split(":")[0]) == (ControlState.HALT, OrderReason.SENDS_UNACCOUNTED)
    assert desk.advance(second).reason == OrderReason.CONTROL_STOPS
    lift(ledger, pool_scope("p"))
    desk.drive([second], timeout_s=5)
    assert broker.sends == 1  # the process that broke the count sends nothing more
    assert scope_state(ledger, pool_scope("p"))[0] == ControlState.HALT


def test_a_transport_that_counts_right_is_left_alone(
    make_desk: MakeDesk, want: Want, ledger: Ledger, clock: ManualClock
) -> None:
    broker = TwoFaced(clock)
    broker.extra = 0
    desk, sister = make_desk(broker=broker, pool="p"), make_desk("w2", broker=broker, pool="p")
    ids = [d.submit(want(key)).intent_id for d, key in ((desk, "a"), (sister, "b"))]
    desk.drive(ids[:1], timeout_s=5)
    sister.drive(ids[1:], timeout_s=5)
    assert (broker.left, scope_state(ledger, pool_scope("p"))[0]) == (2, "run")


def test_an_intent_with_more_sends_than_its_attempts_allow_halts_the_pool(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    desk = make_desk(pool="p")
    intent_id = desk.submit(want()).intent_id
    venue.script = [Fault.NOT_CONNECTED]
    assert desk.advance(intent_id).state is S.READY
    with ledger.write() as session:  # a loop of some other version has used all that was allowed
        (send,) = session.exec(select(OrderSend)).all()
        (attempt,) = session.exec(select(OrderAttempt)).all()
        session.add(OrderAttempt(**{**attempt.model_dump(), "client_order_id": "another", "attempt_number": 2}))
        session.flush()
        for number in range(1, POLICY.attempts_max * desk.limits.sends_max):
            more = {"client_order_id": "another", "send_id": f"another-{number}", "ordinal": number}
            session.add(OrderSend(**{**send.model_dump(), **more}))
    desk.drive([intent_id], timeout_s=5)
    assert venue.sends == 0
    assert scope_state(ledger, pool_scope("p"))[1].startswith(OrderReason.SENDS_UNACCOUNTED)
