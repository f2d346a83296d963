"""The send point: what stops an order, what is durable before it leaves, and who may not send."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, select

from brokers.capabilities import IdScope, RateBudget
from brokers.clock import ManualClock
from brokers.errors import AnswerTimedOut, NotSent
from brokers.types import OrderSide
from ledger.controls import pool_scope, set_control
from ledger.engine import CommitUnknown, Ledger
from ledger.states import ControlState, IntentState
from ledger.tables import Observation, OrderAttempt, OrderSend, Transition
from tests.trading.orders.conftest import POLICY, MakeDesk, Want
from tests.trading.orders.modelled import CLASSES, Fault, ModelVenue, identity
from trading.orders import store
from trading.orders.crash import crash_hook
from trading.orders.desk import OrderDesk
from trading.orders.protocol import ProtocolLimits
from trading.orders.reasons import OrderReason
from trading.risk import RiskReason

S = IntentState


def sends(ledger: Ledger) -> list[OrderSend]:
    with ledger.read() as session:
        return list(session.exec(select(OrderSend)))


def control(ledger: Ledger, venue: ModelVenue, state: ControlState, *, scope: str = "") -> None:
    with ledger.write() as session:
        set_control(session, scope or venue.account_id, state, reason="a test", set_by="tester", at=ledger.now(session))


# -- what is durable --------------------------------------------------------------------------------------------
def test_the_attempt_is_durable_before_the_first_byte_and_no_transaction_is_open(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    depth = 0

    def counted(name: str) -> None:
        original = getattr(ledger, name)

        @contextmanager
        def wrapper() -> Iterator[Session]:
            nonlocal depth
            with original() as session:
                depth += 1
                try:
                    yield session
                finally:
                    depth -= 1

        monkeypatch.setattr(ledger, name, wrapper)

    counted("read")
    counted("write")
    called: list[str] = []

    def on_call(name: str) -> None:
        assert depth == 0, f"{name} was called inside a transaction"
        called.append(name)
        if name == "place":
            (send,) = sends(ledger)
            with ledger.read() as session:
                attempt = session.get(OrderAttempt, send.client_order_id)
            assert attempt is not None
            assert attempt.payload
            assert desk.view(intent_id).state is S.SENDING

    venue.on_call = on_call
    intent_id = desk.submit(want()).intent_id
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert view.state is S.FILLED
    assert {"place", "find_order", "fills", "positions", "quotes", "clock_reading"} <= set(called)


def test_every_move_and_answer_is_on_record(desk: OrderDesk, want: Want, ledger: Ledger) -> None:
    intent_id = desk.submit(want()).intent_id
    desk.drive([intent_id], timeout_s=30)
    with ledger.read() as session:
        moves = [(t.from_state, t.to_state, t.who.split(":")[0]) for t in session.exec(select(Transition))]
        outcomes = [seen.outcome for seen in session.exec(select(Observation))]
    assert moves == [
        ("", "received", "intake"),
        ("received", "ready", "intake"),
        ("ready", "claimed", "worker"),
        ("claimed", "sending", "worker"),
        ("sending", "acked", "worker"),
        ("acked", "filled", "tracker"),
    ]
    assert outcomes == ["position_before", "definite_yes", "found"]


# -- obstacles --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [ControlState.PAUSE, ControlState.REDUCE_ONLY, ControlState.HALT, ControlState.KILL])
@pytest.mark.parametrize("pool", ["", "testnet"])
def test_nothing_is_sent_while_a_control_stops_it(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, state: ControlState, pool: str
) -> None:
    desk = make_desk(pool=pool)
    intent_id = desk.submit(want(ttl_s=30)).intent_id
    control(ledger, venue, state, scope=pool_scope(pool) if pool else "")
    waiting = desk.advance(intent_id)
    assert (waiting.state, waiting.reason) == (S.READY, OrderReason.CONTROL_STOPS)
    (view,) = desk.drive([intent_id], timeout_s=60)
    assert (view.state, view.reason) == (S.EXPIRED, OrderReason.TTL_OVER)
    assert venue.sends == 0


def test_a_lifted_control_lets_the_order_go(desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger) -> None:
    intent_id = desk.submit(want()).intent_id
    control(ledger, venue, ControlState.PAUSE)
    desk.advance(intent_id)
    control(ledger, venue, ControlState.RUN)
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert view.state is S.FILLED


def test_reduce_only_lets_reductions_out(desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger) -> None:
    desk.drive([desk.submit(want()).intent_id], timeout_s=30)
    control(ledger, venue, ControlState.REDUCE_ONLY)
    closing = desk.submit(want("close", side=OrderSide.SELL, reduce_only=True))
    assert closing.state is S.READY
    (view,) = desk.drive([closing.intent_id], timeout_s=30)
    assert view.state is S.FILLED


def test_a_halt_between_claim_and_send_stops_the_order(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    intent_id = desk.submit(want()).intent_id

    def halt(name: str) -> None:
        if name == "C07":
            control(ledger, venue, ControlState.HALT)

    with crash_hook(halt):
        view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.READY, OrderReason.CONTROL_STOPS)
    assert (venue.sends, sends(ledger)) == (0, [])


@pytest.mark.parametrize(
    ("wait_s", "expected", "reason"),
    [(61, S.EXPIRED, OrderReason.TTL_OVER), (16, S.CLAIMED, OrderReason.CLAIMED_TO_SEND)],
)
def test_a_slow_worker_does_not_send(
    desk: OrderDesk,
    want: Want,
    venue: ModelVenue,
    clock: ManualClock,
    wait_s: float,
    expected: IntentState,
    reason: OrderReason,
) -> None:
    """After the time to live, or after its lease: it notices inside the transaction of SENDING."""
    limits = replace(desk.limits, lease_s=100) if wait_s > 60 else desk.limits
    object.__setattr__(desk._ctx, "limits", limits)
    intent_id = desk.submit(want()).intent_id

    def stall(name: str) -> None:
        if name == "C07":
            clock.wait(wait_s)

    with crash_hook(stall):
        view = desk.advance(intent_id)
    assert (view.state, view.reason) == (expected, reason)
    assert venue.sends == 0


def test_a_cancel_between_claim_and_send_withdraws(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    intent_id = desk.submit(want()).intent_id

    def take_back(name: str) -> None:
        if name == "C07":
            desk.cancel(intent_id, reason="not any more")

    with crash_hook(take_back):
        view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.WITHDRAWN, OrderReason.WITHDRAWN_UNSENT)
    assert venue.sends == 0


def test_a_ready_order_is_withdrawn_at_once(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    intent_id = desk.submit(want()).intent_id
    view = desk.cancel(intent_id, reason="changed my mind")
    assert (view.state, view.detail) == (S.WITHDRAWN, "changed my mind")
    assert desk.cancel(intent_id, reason="again").state is S.WITHDRAWN
    assert venue.sends == 0


def test_a_payload_that_cannot_be_built_is_denied(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    (view,) = desk.drive([desk.submit(want(quantity="0.666")).intent_id], timeout_s=30)
    assert (view.state, view.reason) == (S.DENIED, "ORDER_INVALID_LOCAL")
    assert "0.666" in view.detail
    assert venue.sends == 0


@pytest.mark.parametrize(("offset_s", "is_sent"), [(0.9, True), (-0.9, True), (1.1, False), (-1.1, False)])
def test_a_clock_that_is_off_stops_the_order(
    desk: OrderDesk, want: Want, venue: ModelVenue, offset_s: float, is_sent: bool
) -> None:
    venue.offset = timedelta(seconds=offset_s)
    (view,) = desk.drive([desk.submit(want(ttl_s=20)).intent_id], timeout_s=40)
    assert (view.state is S.FILLED) == is_sent
    if not is_sent:
        assert view.state is S.EXPIRED
        assert venue.sends == 0


def test_the_clock_is_measured_again_when_the_measure_is_old(
    desk: OrderDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    calls: list[str] = []
    venue.on_call = calls.append
    desk.drive([desk.submit(want("1")).intent_id], timeout_s=30)
    desk.drive([desk.submit(want("2")).intent_id], timeout_s=30)
    assert calls.count("clock_reading") == 1
    clock.wait(61)
    desk.drive([desk.submit(want("3")).intent_id], timeout_s=30)
    assert calls.count("clock_reading") == 2


def test_an_unreadable_clock_stops_the_order(
    desk: OrderDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent_id = desk.submit(want()).intent_id

    def fail() -> None:
        raise AnswerTimedOut("no time")

    monkeypatch.setattr(venue, "clock_reading", fail)
    view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.READY, OrderReason.CLOCK_UNREADABLE)
    monkeypatch.undo()
    assert desk.drive([intent_id], timeout_s=30)[0].state is S.FILLED


def test_an_unreadable_quote_stops_the_order(
    desk: OrderDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent_id = desk.submit(want()).intent_id

    def fail(ids: Any) -> None:
        raise AnswerTimedOut("no quote")

    monkeypatch.setattr(venue, "quotes", fail)
    view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.READY, OrderReason.QUOTE_UNREADABLE)
    assert venue.sends == 0


# -- risk -------------------------------------------------------------------------------------------------------
def test_risk_denies_at_intake_with_every_reason(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    policy = POLICY.model_copy(update={"order_notional_max": Decimal(100), "position_notional_max": Decimal(100)})
    view = make_desk(policy=policy).submit(want())
    assert (view.state, view.reason) == (S.DENIED, RiskReason.ORDER_NOTIONAL)
    assert RiskReason.POSITION_NOTIONAL in view.detail
    assert venue.sends == 0


def test_risk_is_checked_again_before_sending(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    intent_id = desk.submit(want(limit="50000")).intent_id
    venue.quote_price = Decimal(40_000)  # now the limit is 25 % through the market
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert (view.state, view.reason) == (S.DENIED, RiskReason.PRICE_COLLAR)
    assert venue.sends == 0


def test_unreadable_equity_is_a_refusal(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    venue.equity = None
    view = desk.submit(want())
    assert (view.state, view.reason) == (S.DENIED, RiskReason.ACCOUNT_UNREADABLE)


def test_an_unknown_instrument_is_a_refusal(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    wanted = want()
    venue.instrument = replace(venue.instrument, is_trading=False)
    assert desk.submit(wanted).reason == RiskReason.INSTRUMENT_UNKNOWN


def test_fifty_orders_in_flight_never_exceed_the_position_limit(
    make_desk: MakeDesk, want: Want, venue: ModelVenue
) -> None:
    """Each is worth 500; what is ready or in flight counts as filled."""
    policy = POLICY.model_copy(update={"position_notional_max": Decimal(5_100), "open_orders_max": 100})
    desk = make_desk(policy=policy)
    views = [desk.submit(want(f"order-{number}")) for number in range(50)]
    accepted = [view.intent_id for view in views if view.state is S.READY]
    assert len(accepted) == 10
    desk.drive(accepted, timeout_s=60)
    assert sum(order.filled for order in venue.orders) == Decimal("0.10")
    assert desk.submit(want("one more")).reason == RiskReason.POSITION_NOTIONAL


def test_a_reservation_ends_with_its_order(make_desk: MakeDesk, want: Want, clock: ManualClock) -> None:
    policy = POLICY.model_copy(update={"position_notional_max": Decimal(510)})
    desk = make_desk(policy=policy)
    first = desk.submit(want("1"))
    assert desk.submit(want("2")).state is S.DENIED
    desk.cancel(first.intent_id, reason="make room")
    clock.wait(10)
    assert desk.submit(want("3")).state is S.READY


def test_a_stale_position_is_read_again_before_a_refusal(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    """The reading of a moment ago says flat; a person bought meanwhile."""
    desk.submit(want("read the account"))
    prepared = venue.prepare_order(want().request, store_id("f" * 32))
    venue._accept(prepared, venue.now() + timedelta(seconds=5), at=venue.now())
    view = desk.submit(want("close", side=OrderSide.SELL, reduce_only=True))
    assert view.state is S.READY


def store_id(text: str) -> Any:
    from brokers.ids import ClientOrderId

    return ClientOrderId(text)


def test_the_order_rate_is_exact_over_all_desks(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    policy = POLICY.model_copy(update={"order_rate_max": 2, "order_rate_window_s": Decimal(1)})
    desks = [make_desk(f"w{n}", policy=policy) for n in range(3)]
    ids = [desk.submit(want(f"order-{n}")).intent_id for n, desk in enumerate(desks * 3)]
    for desk in desks:
        for intent_id in ids:
            desk.advance(intent_id)
    assert venue.sends == 2
    waiting = [view for view in map(desks[0].view, ids) if view.state is S.READY]
    assert {view.reason for view in waiting} == {OrderReason.ORDER_RATE_WAITS}
    desks[0].drive(ids, timeout_s=60)
    assert venue.sends == 9
    times = sorted(send.committed_at for send in sends(ledger))
    for index in range(len(times) - 2):
        assert times[index + 2] - times[index] >= timedelta(seconds=1)


def test_a_venues_own_budget_counts_at_half(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.capabilities = replace(venue.capabilities, budgets=(RateBudget("place_linear", 4, 1.0),))
    desk = make_desk()
    ids = [desk.submit(want(f"order-{n}")).intent_id for n in range(5)]
    for intent_id in ids:
        desk.advance(intent_id)
    assert venue.sends == 2


# -- answers ----------------------------------------------------------------------------------------------------
def test_a_refusal_is_final_and_keeps_the_venues_words(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    venue.script = [Fault.REFUSED]
    (view,) = desk.drive([desk.submit(want()).intent_id], timeout_s=30)
    assert (view.state, view.reason) == (S.REFUSED, "VENUE_INSUFFICIENT_FUNDS")
    assert view.detail == "110007 ab not enough for new order"
    assert venue.sends == 1


@pytest.mark.parametrize("kind", CLASSES)
def test_a_rate_limited_order_is_sent_again_after_the_venues_time(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger, kind: str
) -> None:
    venue.order_identity = CLASSES[kind]
    venue.script = [Fault.RATE_LIMITED, Fault.RATE_LIMITED]
    desk = make_desk()
    (view,) = desk.drive([desk.submit(want()).intent_id], timeout_s=30)
    assert view.state is S.FILLED
    ids = [send.client_order_id for send in sends(ledger)]
    assert len(ids) == 3
    # Where ids are permanent the same id goes out again, elsewhere each attempt has its own.
    assert len(set(ids)) == (1 if CLASSES[kind].id_scope is IdScope.PERMANENT else 3)


def test_attempts_end(make_desk: MakeDesk, want: Want, venue: ModelVenue) -> None:
    venue.order_identity = CLASSES["open only, deadline"]
    venue.script = [Fault.RATE_LIMITED] * 9
    (view,) = make_desk().drive([make_desk().submit(want()).intent_id], timeout_s=100)
    assert (view.state, view.reason) == (S.EXPIRED, OrderReason.ATTEMPTS_OVER)
    assert venue.sends == 3


def test_a_connection_that_fails_consumes_no_attempt(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.script = [Fault.NOT_CONNECTED] * 3
    (view,) = desk.drive([desk.submit(want()).intent_id], timeout_s=60)
    assert view.state is S.FILLED
    recorded = sends(ledger)
    assert [send.ordinal for send in recorded] == [1, 2, 3, 4]
    assert len({send.client_order_id for send in recorded}) == 1
    assert venue.sends == 1


def test_connections_that_never_work_end_within_bounds(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.script = [Fault.NOT_CONNECTED] * 20
    (view,) = desk.drive([desk.submit(want(ttl_s=3_600)).intent_id], timeout_s=3_700)
    assert (view.state, view.reason) == (S.EXPIRED, OrderReason.ATTEMPTS_OVER)
    assert len(sends(ledger)) == 8


def test_an_exception_of_the_adapter_is_unknown_not_failed(desk: OrderDesk, want: Want, venue: ModelVenue) -> None:
    venue.script = [Fault.UNREADABLE]
    intent_id = desk.submit(want()).intent_id
    view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.UNKNOWN, OrderReason.ANSWER_MISSING)
    (view,) = desk.drive([intent_id], timeout_s=30)
    assert view.state is S.FILLED
    assert len(venue.orders) == 1


def test_an_adapter_that_can_never_send_ends_in_denied(
    desk: OrderDesk, want: Want, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Never(NotSent):
        reason = "UNSUPPORTED"

    def place(*args: object) -> None:
        raise Never("no such order form")

    monkeypatch.setattr(venue, "place", place)
    (view,) = desk.drive([desk.submit(want()).intent_id], timeout_s=30)
    assert (view.state, view.reason) == (S.DENIED, "UNSUPPORTED")


# -- the database fails -----------------------------------------------------------------------------------------
def test_nothing_is_sent_when_the_commit_is_not_known(
    desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    intent_id = desk.submit(want()).intent_id
    original, count = ledger.write, 0

    @contextmanager
    def unsure() -> Iterator[Session]:
        nonlocal count
        count += 1
        with original() as session:
            yield session
        if count == 2:  # the claim is the first, SENDING the second
            raise CommitUnknown("the answer to COMMIT was lost")

    monkeypatch.setattr(ledger, "write", unsure)
    view = desk.advance(intent_id)
    monkeypatch.undo()
    assert (view.state, venue.sends) == (S.SENDING, 0)
    clock.wait(16)
    (view,) = desk.drive([intent_id], timeout_s=200)
    assert view.state is S.FILLED
    assert (venue.sends, len(venue.orders)) == (1, 1)


@pytest.mark.parametrize("fault", [Fault.NONE, Fault.REFUSED, Fault.ANSWER_LOST, Fault.RATE_LIMITED])
def test_an_answer_that_the_ledger_cannot_take_is_spooled(
    desk: OrderDesk,
    make_desk: MakeDesk,
    want: Want,
    venue: ModelVenue,
    ledger: Ledger,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault,
) -> None:
    venue.script = [fault]
    intent_id = desk.submit(want()).intent_id
    original = ledger.write

    @contextmanager
    def broken() -> Iterator[Session]:
        raise OperationalError("INSERT", {}, Exception("disk full"))
        yield  # pragma: no cover

    def break_ledger(name: str) -> None:
        if name == "C16":
            monkeypatch.setattr(ledger, "write", broken)

    with crash_hook(break_ledger), pytest.raises(OperationalError):
        desk.advance(intent_id)
    monkeypatch.setattr(ledger, "write", original)
    assert len(list(desk._ctx.spool.entries())) == 1
    assert desk.view(intent_id).state is S.SENDING
    clock.wait(16)
    other = make_desk("worker-2")
    report = other.sweep()
    assert report.spooled == 1
    assert list(desk._ctx.spool.entries()) == []
    (view,) = other.drive([intent_id], timeout_s=200)
    assert view.state is (S.REFUSED if fault is Fault.REFUSED else S.FILLED)
    assert len(venue.orders) == (0 if fault is Fault.REFUSED else 1)
    with ledger.read() as session:
        sources = [seen.source for seen in session.exec(select(Observation)) if seen.send_id]
    assert "spool" in sources


def test_a_spooled_answer_is_taken_in_once(desk: OrderDesk, want: Want, venue: ModelVenue, ledger: Ledger) -> None:
    intent_id = desk.submit(want()).intent_id
    desk.drive([intent_id], timeout_s=30)
    (send,) = sends(ledger)
    from trading.orders.spool import Spooled

    entry = Spooled(
        account_id=str(venue.account_id),
        intent_id=str(intent_id),
        client_order_id=send.client_order_id,
        send_id=send.send_id,
        outcome="definite_yes",
        status=200,
        code="",
        text="ACCEPTED | v1",
        raw="{}",
        observed_at=send.committed_at,
    )
    desk._ctx.spool.append(entry)
    assert desk.sweep().spooled == 1
    with ledger.read() as session:
        answers = [seen for seen in session.exec(select(Observation)) if seen.outcome == "definite_yes"]
    assert len(answers) == 1


# -- races and zombies ------------------------------------------------------------------------------------------
def test_two_desks_send_once(make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger) -> None:
    one, other = make_desk("one"), make_desk("other")
    ids = [one.submit(want(f"order-{n}")).intent_id for n in range(8)]
    start = threading.Barrier(2)
    errors: list[BaseException] = []

    def work(desk: OrderDesk) -> None:
        start.wait()
        try:
            for intent_id in ids:
                desk.advance(intent_id)
        except BaseException as error:  # noqa: BLE001
            errors.append(error)

    threads = [threading.Thread(target=work, args=(desk,)) for desk in (one, other)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert venue.sends == 8
    assert len(sends(ledger)) == 8


@pytest.mark.parametrize("point", ["C06", "C07", "C09", "C10", "paused"])
@pytest.mark.parametrize("kind", ["permanent", "open only, deadline"])
def test_a_zombie_neither_sends_twice_nor_moves_the_intent(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, ledger: Ledger, point: str, kind: str
) -> None:
    """A worker stops for two minutes; another takes over and finishes; then the first wakes up."""
    venue.order_identity = CLASSES[kind]
    sleeper, other = make_desk("sleeper"), make_desk("other")
    intent_id = sleeper.submit(want(ttl_s=600)).intent_id
    is_asleep = False

    def sleep(name: str) -> None:
        nonlocal is_asleep
        if name == point and not is_asleep:
            is_asleep = True
            clock.wait(20)
            other.drive([intent_id], timeout_s=100)

    venue.at_point = sleep
    with crash_hook(sleep):
        sleeper.advance(intent_id)
    (view,) = other.drive([intent_id], timeout_s=300)
    assert is_asleep
    assert view.state is S.FILLED
    assert len(venue.orders) == 1
    with ledger.read() as session:
        last = session.exec(select(Transition).order_by(Transition.transition_id.desc())).first()  # type: ignore[union-attr]
    assert last is not None
    assert last.who == "tracker:other"


def test_a_zombies_answer_for_an_order_given_up_is_adopted_and_halts(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, ledger: Ledger
) -> None:
    """Only possible where a proof was wrong: here the venue breaks its own deadline."""
    venue.order_identity = CLASSES["open only, deadline"]
    sleeper, other = make_desk("sleeper"), make_desk("other")
    intent_id = sleeper.submit(want(ttl_s=60)).intent_id

    def sleep(name: str) -> None:
        if name == "C12":
            venue.at_point = lambda name: None
            clock.wait(20)
            other.drive([intent_id], timeout_s=100)
            venue.order_identity = CLASSES["open only, no deadline"]

    venue.at_point = sleep
    view = sleeper.advance(intent_id)
    assert (view.state, view.reason) == (S.ADOPTED_LATE, OrderReason.SEEN_LATE)
    (view,) = other.drive([intent_id], timeout_s=60)
    assert view.state is S.FILLED
    refused = other.submit(want("next"))
    (held,) = other.drive([refused.intent_id], timeout_s=100)
    assert held.state is S.EXPIRED
    assert len(venue.orders) == 1


@pytest.mark.parametrize("is_shown", [True, False])
def test_a_zombies_duplicate_of_an_order_that_the_engine_rejected_halts_only_where_that_cannot_be_read(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, is_shown: bool
) -> None:
    venue.order_identity = replace(CLASSES["permanent"], deadline_s_max=0)
    sleeper, other = make_desk("sleeper"), make_desk("other")
    intent_id = sleeper.submit(want(ttl_s=60)).intent_id

    def sleep(name: str) -> None:
        if name == "C12":
            venue.at_point = lambda name: None
            venue.script = [Fault.REJECTED_LATER]
            clock.wait(20)
            other.drive([intent_id], timeout_s=100)
            if not is_shown:
                venue.read_fails = 1.0

    venue.at_point = sleep
    view = sleeper.advance(intent_id)
    venue.read_fails = 0.0
    (later,) = other.drive([other.submit(want("next")).intent_id], timeout_s=100)
    expected = (S.REFUSED, S.FILLED) if is_shown else (S.ADOPTED_LATE, S.EXPIRED)
    assert (view.state, later.state) == expected, (view, later)


def test_where_outcomes_cannot_be_told_apart_one_order_at_a_time_is_on_its_way(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    venue.order_identity = CLASSES["no id"]
    venue.script = [Fault.LOST]
    desk = make_desk()
    first, second = (desk.submit(want(key, ttl_s=600)).intent_id for key in ("1", "2"))
    desk.advance(first)
    assert desk.view(first).state is S.UNKNOWN
    assert desk.advance(second).reason == OrderReason.LANE_BUSY
    (view,) = desk.drive([first], timeout_s=100)
    assert (view.state, view.reason) == (S.NEEDS_HUMAN, OrderReason.PROOF_IMPOSSIBLE)
    assert desk.advance(second).reason == OrderReason.LANE_BUSY
    from trading.orders.deciding import Verdict

    desk.decide(first, verdict=Verdict.NOT_PLACED, people=("ann",), reason="not on the venue's screen")
    (view,) = desk.drive([second], timeout_s=100)
    assert view.state is S.FILLED


def test_where_the_venue_does_not_hold_reductions_to_the_position_one_at_a_time_is_on_its_way(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    """Two jobs that close the same position while the market is closed: both orders would be filled when it opens."""
    venue.order_identity = CLASSES["no id"]
    desk = make_desk()
    (bought,) = desk.drive([desk.submit(want("in")).intent_id], timeout_s=10)
    assert bought.state is S.FILLED
    clock.wait(10)
    venue.rests = True
    out = [desk.submit(want(key, side=OrderSide.SELL, reduce_only=True, ttl_s=600)).intent_id for key in ("a", "b")]
    desk.drive([out[0]], timeout_s=5)
    assert desk.advance(out[1]).reason == OrderReason.LANE_BUSY
    venue.fill(venue.orders[-1], Decimal("0.01"))
    clock.wait(10)
    views = desk.drive(out, timeout_s=60)
    assert views[0].state is S.FILLED
    assert (views[1].state, views[1].reason) == (S.DENIED, RiskReason.REDUCE_ONLY_UNTRUE)
    assert len(venue.orders) == 2


@pytest.mark.parametrize(("kind", "limit"), [("permanent", None), ("no id", "60000")])
def test_a_reduction_waits_neither_for_one_that_rests_nor_where_the_venue_sees_to_it(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, clock: ManualClock, kind: str, limit: str | None
) -> None:
    venue.order_identity = CLASSES[kind]
    desk = make_desk()
    desk.drive([desk.submit(want("in")).intent_id], timeout_s=10)
    clock.wait(10)
    venue.rests = True
    first = desk.submit(want("a", side=OrderSide.SELL, reduce_only=True, limit=limit, ttl_s=600)).intent_id
    assert desk.drive([first], timeout_s=5)[0].state.is_live_at_venue
    second = desk.submit(want("b", side=OrderSide.SELL, reduce_only=True, ttl_s=600)).intent_id
    assert desk.advance(second).state.is_live_at_venue


def test_send_by_is_checked_before_the_venue_is_spoken_to(
    desk: OrderDesk, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    intent_id = desk.submit(want()).intent_id

    def stall(name: str) -> None:
        if name == "C09":
            clock.wait(1.5)

    with crash_hook(stall):
        view = desk.advance(intent_id)
    assert (view.state, view.reason) == (S.READY, "DEADLINE_PASSED")
    assert venue.sends == 0


# -- construction -----------------------------------------------------------------------------------------------
def test_a_desk_needs_the_accounts_own_ledger(ledger: Ledger, clock: ManualClock, make_desk: MakeDesk) -> None:
    from brokers.ids import Environment

    with pytest.raises(ValueError, match="open the account's own ledger"):
        make_desk(broker=ModelVenue(clock, environment=Environment.TESTNET))
    with pytest.raises(ValueError, match="worker"):
        make_desk(" ")


def test_an_order_for_another_account_is_refused(desk: OrderDesk, want: Want, clock: ManualClock) -> None:
    wanted = replace(want(), account_id=ModelVenue(clock, name="other").account_id)
    with pytest.raises(ValueError, match="this desk serves"):
        desk.submit(wanted)


def test_a_lost_race_is_told_apart_from_a_missing_intent(desk: OrderDesk, want: Want, ledger: Ledger) -> None:
    intent_id = desk.submit(want()).intent_id
    with ledger.read() as session:
        row = store.load(session, str(intent_id))
    desk.drive([intent_id], timeout_s=30)
    with pytest.raises(store.LostRace), ledger.write() as session:
        store.touch(session, row, state_detail="too late")


def test_limits_of_the_desk_are_readable(make_desk: MakeDesk) -> None:
    assert make_desk(limits=ProtocolLimits(validity_s=2)).limits.validity_s == 2


def test_a_short_deadline_of_the_venue_cuts_the_request(
    make_desk: MakeDesk, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    venue.order_identity = identity(deadline_s=2)
    make_desk().advance(make_desk().submit(want()).intent_id)
    (send,) = sends(ledger)
    assert send.not_after - send.committed_at == timedelta(seconds=2)
