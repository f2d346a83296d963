"""From a leased alert to orders: every action and its end, what waits, what is refused, and what a person must see."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.errors import ConnectFailed
from brokers.types import OrderRequest, OrderSide, OrderStatus, OrderType, TimeInForce
from ledger.controls import set_control
from ledger.errors import LeaseLost
from ledger.inbox import InboxState, LaneState
from ledger.states import ControlState
from ledger.tables import OrderIntent
from tests.trading.alerts.scene import FLAT, LONG, SHORT, Scene
from tests.trading.orders.modelled import BTC, CLASSES, START, Fault
from trading.alerts import AlertAction
from trading.alerts.ends import AlertEnd
from trading.alerts.handling import handle
from trading.alerts.handling_model import AccountRefused
from trading.alerts.reasons import AlertReason
from trading.alerts.reviewing import Review, ReviewRule, ReviewVerdict
from trading.orders import UnknownIntent, Verdict, WantedOrder
from trading.orders.identity import make_intent_id
from trading.orders.reasons import OrderReason
from trading.risk.values import RiskReason

S = InboxState
D = Decimal
BUY, SELL, EXIT, CANCEL, REVERSE = (
    AlertAction.BUY,
    AlertAction.SELL,
    AlertAction.EXIT,
    AlertAction.CANCEL,
    AlertAction.REVERSE,
)


def done(scene: Scene, alert_id: int) -> tuple[InboxState, str]:
    """Work once on the alert that is due; how it ended."""
    handled = scene.work()
    assert handled is not None and handled.alert_id == alert_id
    stored = scene.store.show(alert_id)
    assert (stored.state, stored.reason) == (handled.state, handled.reason)
    return handled.state, handled.reason


# -- every action and its end -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("held", "action", "changes", "state", "reason", "position"),
    [
        ("0", BUY, {"target": LONG, "previous": FLAT}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "0.01"),
        ("0", SELL, {"target": SHORT, "previous": FLAT}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "-0.01"),
        ("0.02", BUY, {"target": LONG, "previous": LONG}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "0.03"),
        ("0.02", SELL, {"target": LONG, "previous": LONG}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "0.01"),
        ("0.02", EXIT, {"closes": LONG}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "0"),
        ("-0.02", EXIT, {}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "0"),
        ("0", EXIT, {"closes": LONG}, S.NOTHING_TO_DO, AlertReason.NO_POSITION, "0"),
        ("-0.02", EXIT, {"closes": LONG}, S.NOTHING_TO_DO, AlertReason.NO_POSITION, "-0.02"),
        ("0.02", REVERSE, {"target": SHORT}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED, "-0.01"),
        ("0", CANCEL, {}, S.NOTHING_TO_DO, AlertReason.NO_OPEN_ORDERS, "0"),
        ("0", BUY, {"quantity": D(2)}, S.REFUSED, None, "0"),
        ("0", BUY, {"quantity": None}, S.REFUSED, AlertReason.QUANTITY_MISSING, "0"),
    ],
)
def test_every_action_ends_with_a_reason(
    scene: Scene,
    held: str,
    action: AlertAction,
    changes: dict[str, Any],
    state: InboxState,
    reason: str | None,
    position: str,
) -> None:
    if D(held):
        scene.hold(held)
    if action is REVERSE:
        scene.route_changes["reversal_quantity"] = "entry"
    found = done(scene, scene.send(action, **changes))
    assert found[0] is state
    assert reason is None or found[1] == reason
    assert scene.position == D(position)
    scene.check()


def test_the_order_names_its_alert_and_never_outlives_it(scene: Scene) -> None:
    alert_id = scene.send(BUY, strategy="trend@home", ttl_s=30)
    done(scene, alert_id)
    (order,) = scene.ours()
    view = scene.runtime().desk.view(_intent(scene, f"alert:{alert_id}:open"))
    assert view.client_order_id is not None and str(view.client_order_id) == order.client_order_id
    assert view.expires_at == START + timedelta(seconds=30)
    with scene.ledger.read() as session:
        row = session.get(OrderIntent, str(view.intent_id))
        assert row is not None and (row.source, row.strategy) == ("alert", "trend_home")
    assert AlertReason.ORDERS_DECIDED in scene.reasons(alert_id)


def _intent(scene: Scene, key: str) -> Any:
    return make_intent_id(scene.venue.account_id, key)


def test_a_limit_order_is_placed_when_it_is_acknowledged(scene: Scene) -> None:
    alert_id = scene.send(BUY, order_type=OrderType.LIMIT, limit_price=D(49_000))
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_ORDERS_PLACED)
    assert len(scene.open_orders()) == 1 and scene.clock.monotonic() < 2


def test_extended_hours_that_the_venue_does_not_offer_refuse_the_alert(scene: Scene) -> None:
    terms: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": D(49_000), "extended_hours": True}
    alert_id = scene.send(BUY, **terms, time_in_force=TimeInForce.DAY)
    assert done(scene, alert_id) == (S.REFUSED, AlertEnd.ALERT_EXTENDED_UNSUPPORTED)
    offered = replace(scene.venue.capabilities, time_in_force=frozenset({TimeInForce.DAY_EXTENDED}))
    scene.venue.capabilities = offered
    alert_id = scene.send(BUY, **terms, time_in_force=TimeInForce.DAY)
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_ORDERS_PLACED)
    (order,) = scene.open_orders()
    assert order.request.time_in_force is TimeInForce.DAY_EXTENDED


def test_a_cancel_waits_until_the_venue_shows_it_over(scene: Scene) -> None:
    scene.send(BUY, order_type=OrderType.LIMIT, limit_price=D(49_000))
    scene.work()
    alert_id = scene.send(CANCEL)
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_ORDERS_CANCELLED)
    assert scene.open_orders() == [] and scene.venue.cancels == 1


def test_open_orders_are_cancelled_before_anything_else_is_sent(scene: Scene) -> None:
    scene.send(BUY, order_type=OrderType.LIMIT, limit_price=D(49_000))
    scene.work()
    alert_id = scene.send(SELL, target=SHORT, cancel_first=True)
    sent: list[int] = []
    scene.venue.on_first_byte = lambda prepared, ticket: sent.append(len(scene.open_orders()))
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_ORDERS_PLACED)
    assert sent == [0] and scene.position == D("-0.01")


def test_orders_of_other_people_stay(scene: Scene) -> None:
    resting = OrderRequest(
        instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.LIMIT, quantity=D("0.01"), limit_price=D(1)
    )
    scene.by_hand(resting)
    assert done(scene, scene.send(CANCEL)) == (S.NOTHING_TO_DO, AlertReason.NO_OPEN_ORDERS)
    assert scene.venue.cancels == 0


# -- a reversal -------------------------------------------------------------------------------------------------
def test_the_opening_leg_is_submitted_only_when_the_closing_one_is_filled(scene: Scene) -> None:
    scene.route_changes["reversal_quantity"] = "entry"
    scene.hold("0.02")
    scene.venue.rests = True
    alert_id = scene.send(REVERSE, target=SHORT, ttl_s=600)
    assert done(scene, alert_id) == (S.WAITING, AlertEnd.ALERT_ORDER_WAITS)
    (closing,) = scene.ours()
    assert closing.request.reduce_only and closing.request.quantity == D("0.02")
    scene.venue.fill(closing, D("0.01"))
    scene.clock.wait(20)
    assert done(scene, alert_id)[0] is S.WAITING and len(scene.ours()) == 1
    scene.venue.fill(closing, D("0.01"))
    scene.venue.rests = False
    scene.clock.wait(20)
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_ORDERS_PLACED)
    assert [o.request.quantity for o in scene.ours()] == [D("0.02"), D("0.01")] and scene.position == D("-0.01")


def test_a_reversal_whose_time_is_over_after_closing_opens_nothing(scene: Scene) -> None:
    scene.route_changes["reversal_quantity"] = "entry"
    scene.hold("0.02")
    scene.venue.rests = True
    alert_id = scene.send(REVERSE, target=SHORT, ttl_s=40)
    scene.work()
    scene.clock.wait(60)
    scene.venue.fill(scene.ours()[0], D("0.02"))
    scene.venue.rests = False
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_PARTLY_DONE)
    assert scene.position == 0 and "its time was over before open" in scene.store.show(alert_id).detail


def test_a_closing_leg_that_ends_short_opens_nothing(scene: Scene) -> None:
    scene.route_changes["reversal_quantity"] = "entry"
    scene.hold("0.02")
    scene.venue.rests = True
    alert_id = scene.send(REVERSE, target=SHORT, ttl_s=600)
    scene.work()
    (closing,) = scene.ours()
    scene.venue.fill(closing, D("0.01"))
    closing.status = OrderStatus.CANCELLED
    scene.clock.wait(20)
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_PARTLY_DONE)
    assert len(scene.ours()) == 1 and scene.position == D("0.01")


# -- what waits -------------------------------------------------------------------------------------------------
def halt(scene: Scene, state: ControlState) -> None:
    with scene.ledger.write() as session:
        at = scene.ledger.now(session)
        set_control(session, str(scene.venue.account_id), state, reason="test", set_by="test", at=at)


def test_a_halt_lets_the_alert_wait_until_its_time_is_over(scene: Scene) -> None:
    halt(scene, ControlState.HALT)
    alert_id = scene.send(BUY, ttl_s=30)
    assert done(scene, alert_id) == (S.WAITING, AlertEnd.ALERT_ORDER_WAITS)
    assert OrderReason.CONTROL_STOPS in scene.store.show(alert_id).detail
    assert scene.clock.monotonic() < 2  # no worker waits for a person
    stored = scene.work_until_over(alert_id)
    assert (stored.state, stored.reason) == (S.EXPIRED, AlertEnd.ALERT_OUT_OF_TIME)
    assert stored.attempts <= 1 and scene.venue.sends == 0


def test_a_halt_that_is_lifted_in_time_lets_it_go(scene: Scene) -> None:
    halt(scene, ControlState.HALT)
    alert_id = scene.send(BUY, ttl_s=60)
    assert done(scene, alert_id)[0] is S.WAITING
    halt(scene, ControlState.RUN)
    stored = scene.work_until_over(alert_id)
    assert (stored.state, scene.venue.sends) == (S.PLACED, 1)


def test_a_venue_that_cannot_be_read_is_waited_for(scene: Scene) -> None:
    scene.venue.read_error = ConnectFailed("connection refused")
    alert_id = scene.send(EXIT, ttl_s=120)
    assert done(scene, alert_id) == (S.WAITING, AlertEnd.ALERT_VENUE_UNREAD)
    for _ in range(20):  # more often than an alert may fail
        scene.clock.wait(4)
        scene.work()
    assert scene.store.show(alert_id).state is S.WAITING
    scene.venue.read_error = None
    scene.hold("0.01")
    stored = scene.work_until_over(alert_id)
    assert (stored.state, scene.position) == (S.PLACED, D(0))


def test_an_order_that_is_filled_while_the_account_is_read_counts_once_at_least(scene: Scene) -> None:
    """Between two reads it must not be neither open nor held: the route's largest position would be passed."""
    limit = OrderRequest(
        instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.LIMIT, quantity=D("0.02"), limit_price=D(90)
    )
    resting, read = scene.by_hand(limit), []

    def between(name: str) -> None:
        if name in ("positions", "open_orders") and name not in read:
            read.append(name)
            if len(read) == 2:
                scene.venue.fill(resting, D("0.02"))

    scene.venue.on_call = between
    scene.route_changes["position_max"] = "0.03"
    alert_id = scene.send(quantity=D("0.02"))
    scene.work()
    assert (scene.store.show(alert_id).reason, scene.ours()) == (AlertReason.QUANTITY_ABOVE_ROUTE.value, [])


def test_figures_that_risk_cannot_read_are_no_denial(scene: Scene) -> None:
    """The position was read for the decision, and the account's equity then was not to be had."""
    equity, scene.venue.equity = scene.venue.equity, None
    alert_id = scene.send(BUY, ttl_s=120)
    assert done(scene, alert_id) == (S.WAITING, AlertEnd.ALERT_VENUE_UNREAD)
    assert AlertReason.ORDERS_DECIDED not in scene.reasons(alert_id)
    scene.venue.equity = equity
    assert scene.work_until_over(alert_id).state is S.PLACED


def test_an_order_of_ours_that_is_on_its_way_holds_the_decision_back(scene: Scene) -> None:
    """What another job has sent may not show in the position yet."""
    scene.venue.order_identity = CLASSES["open only, deadline"]
    scene.venue.script = [Fault.LOST]
    first = scene.send(BUY, ttl_s=600)
    assert done(scene, first) == (S.WAITING, AlertEnd.ALERT_OUTCOME_OPEN)
    second = scene.send(EXIT, ttl_s=600)
    assert scene.work() is None or scene.store.show(second).state is S.QUEUED  # its lane is the first one's still
    assert scene.work_until_over(first).state is S.PLACED
    assert scene.work_until_over(second).state is S.PLACED
    assert scene.position == 0 and len(scene.ours()) == 2
    scene.check()


def test_an_outcome_that_only_a_person_can_tell_stops_the_lane(scene: Scene) -> None:
    scene.venue.order_identity = CLASSES["open only, no deadline"]
    scene.venue.script = [Fault.LOST]
    first = scene.send(BUY, ttl_s=600)
    second = scene.send(BUY, ttl_s=6_000)
    stored = scene.work_until_over(first)
    assert (stored.state, stored.reason) == (S.NEEDS_HUMAN, OrderReason.PROOF_IMPOSSIBLE)
    (lane,) = scene.store.lanes(state=LaneState.STOPPED)
    assert lane.stopped_by == first and scene.work() is None
    desk = scene.runtime().desk
    intent_id = _intent(scene, f"alert:{first}:open")
    desk.decide(intent_id, verdict=Verdict.NOT_PLACED, people=("ann",), reason="the screen shows none")
    scene.store.restart_lane(lane.lane, by="ann", reason="looked")
    assert scene.work_until_over(second).state is S.PLACED and scene.position == D("0.01")


def test_a_drain_that_stops_lets_go_at_once(scene: Scene) -> None:
    scene.route_changes["reversal_quantity"] = "entry"
    scene.hold("0.02")
    scene.venue.rests = True
    alert_id = scene.send(REVERSE, target=SHORT, ttl_s=600)
    scene.is_stopping = lambda: len(scene.ours()) == 1
    assert done(scene, alert_id) == (S.WAITING, AlertEnd.ALERT_LET_GO)
    scene.is_stopping = lambda: False
    scene.venue.fill(scene.ours()[0], D("0.02"))
    scene.venue.rests = False
    assert done(scene, alert_id)[0] is S.PLACED and scene.position == D("-0.01")


# -- what is refused --------------------------------------------------------------------------------------------
def test_an_account_that_a_guard_refuses_refuses_its_alerts(scene: Scene) -> None:
    scene.account_error = AccountRefused("KEY_MAY_WITHDRAW", "the key may withdraw")
    assert done(scene, scene.send()) == (S.REFUSED, "KEY_MAY_WITHDRAW")
    assert scene.venue.reads == 0


def test_risk_denies_and_a_person_may_put_it_back(scene: Scene) -> None:
    scene.policy = scene.policy.model_copy(update={"order_notional_max": D(100)})
    alert_id = scene.send(BUY, ttl_s=60)
    assert done(scene, alert_id) == (S.REFUSED, RiskReason.ORDER_NOTIONAL)
    scene.policy = scene.policy.model_copy(update={"order_notional_max": D(100_000)})
    scene._runtimes.clear()
    assert scene.store.revive(alert_id, by="ann", reason="the limit was raised") is S.QUEUED
    assert done(scene, alert_id)[0] is S.PLACED
    assert scene.venue.sends == 1 and scene.position == D("0.01")
    scene.check()


def test_what_was_placed_is_found_and_not_sent_again_when_a_person_puts_it_back(scene: Scene) -> None:
    scene.venue.script = [Fault.REFUSED]
    alert_id = scene.send(BUY, ttl_s=60)
    assert done(scene, alert_id)[0] is S.REFUSED
    scene.store.revive(alert_id, by="ann", reason="funds were added")
    assert done(scene, alert_id)[0] is S.PLACED and scene.position == D("0.01")
    assert scene.venue.sends == 2  # the first one the venue refused, by its own word


def test_a_route_that_leads_elsewhere_by_now_refuses(scene: Scene) -> None:
    alert_id = scene.send()
    scene.route_changes["instrument"] = "ETH/USDT:USDT"
    assert done(scene, alert_id) == (S.REFUSED, AlertEnd.ALERT_ROUTE_CHANGED)
    assert scene.venue.sends == 0


def test_an_error_that_nobody_foresaw_counts_and_ends_in_the_fifth(scene: Scene) -> None:
    def broken(name: str) -> None:
        if name == "positions":
            raise ZeroDivisionError("no such luck")

    scene.venue.on_call = broken
    alert_id = scene.send(EXIT, ttl_s=1_000)
    assert done(scene, alert_id) == (S.WAITING, AlertEnd.ALERT_ATTEMPT_FAILED)
    stored = scene.work_until_over(alert_id)
    assert (stored.state, stored.attempts) == (S.DEAD, 5)
    assert "ZeroDivisionError" in stored.detail


def test_a_worker_that_has_lost_its_lease_leaves_no_order(scene: Scene) -> None:
    alert_id = scene.send(BUY, ttl_s=600)
    late = scene.store.claim(worker="first")
    assert late is not None
    scene.clock.wait(20)
    assert done(scene, alert_id)[0] is S.PLACED
    with pytest.raises(LeaseLost):
        handle(late, scene.tools("late"))
    assert scene.venue.sends == 1


def test_a_lease_lost_in_the_transaction_of_the_order_stores_neither(scene: Scene, monkeypatch: Any) -> None:
    """The look at the lease before is a courtesy; the transaction is what counts."""
    alert_id = scene.send(BUY, ttl_s=600)
    late = scene.store.claim(worker="first")
    assert late is not None
    scene.clock.wait(30)
    taken = scene.store.claim(worker="second")
    assert taken is not None and taken.epoch == late.epoch + 1
    monkeypatch.setattr(scene.store, "heartbeat", lambda claim: True)
    with pytest.raises(LeaseLost):
        handle(late, scene.tools("late"))
    with pytest.raises(UnknownIntent):
        scene.runtime().desk.view(_intent(scene, f"alert:{alert_id}:open"))
    assert scene.venue.sends == 0


# -- a reviewer -------------------------------------------------------------------------------------------------
class Asked:
    """A reviewer that counts."""

    def __init__(self, scene: Scene, *verdicts: Review) -> None:
        self.scene, self.verdicts, self.count = scene, list(verdicts), 0

    def __call__(self, question: Any, rule: ReviewRule) -> Review:
        self.count += 1
        assert self.scene.venue.sends == 0, "a reviewer is asked before anything is sent"
        return self.verdicts.pop(0)


APPROVAL = Review(verdict=ReviewVerdict.APPROVE, confidence=D("0.9"), reasoning="fine")
REJECTION = Review(verdict=ReviewVerdict.REJECT, confidence=D("0.9"), reasoning="no")
SILENCE = Review(verdict=ReviewVerdict.NO_ANSWER, reasoning="too late")
RULE = {"url": "http://127.0.0.1:1/review"}


@pytest.mark.parametrize(
    ("review", "rule", "state", "reason"),
    [
        (APPROVAL, {}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED),
        (APPROVAL, {"confidence_min": "0.95"}, S.REFUSED, AlertReason.REVIEW_UNSURE),
        (REJECTION, {}, S.REFUSED, AlertReason.REVIEW_REJECTED),
        (SILENCE, {}, S.REFUSED, AlertReason.REVIEW_UNANSWERED),
        (SILENCE, {"on_no_answer": "pass"}, S.PLACED, AlertEnd.ALERT_ORDERS_PLACED),
    ],
)
def test_a_reviewer_is_asked_once_and_judged_by_the_route(
    scene: Scene, review: Review, rule: dict[str, str], state: InboxState, reason: str
) -> None:
    scene.route_changes["review"] = {**RULE, **rule}
    scene.review = asked = Asked(scene, review)
    alert_id = scene.send()
    assert done(scene, alert_id) == (state, reason)
    assert asked.count == 1 and Review.from_json(scene.store.show(alert_id).review) == review
    reasons = scene.reasons(alert_id)
    if state is S.PLACED:
        assert reasons.index(AlertEnd.ALERT_REVIEW_KEPT) < reasons.index(AlertReason.ORDERS_DECIDED)


def test_nobody_is_asked_about_exits_or_about_nothing(scene: Scene) -> None:
    scene.route_changes["review"] = RULE
    assert done(scene, scene.send(EXIT)) == (S.NOTHING_TO_DO, AlertReason.NO_POSITION)
    scene.hold("0.01")
    assert done(scene, scene.send(EXIT))[0] is S.PLACED


def test_a_review_that_is_on_record_counts_for_whoever_takes_over(scene: Scene) -> None:
    scene.route_changes["review"] = RULE
    scene.review = asked = Asked(scene, APPROVAL)
    halt(scene, ControlState.HALT)
    alert_id = scene.send(ttl_s=100)
    assert done(scene, alert_id)[0] is S.WAITING
    halt(scene, ControlState.RUN)
    assert scene.work_until_over(alert_id).state is S.PLACED and asked.count == 1


def test_a_question_whose_answer_was_lost_is_not_asked_again(scene: Scene) -> None:
    class Died(BaseException):
        pass

    def dies(question: Any, rule: ReviewRule) -> Review:
        raise Died

    scene.route_changes["review"] = RULE
    scene.review = dies
    alert_id = scene.send(ttl_s=100)
    with pytest.raises(Died):
        scene.work()
    scene.review = Asked(scene)
    stored = scene.work_until_over(alert_id)
    assert (stored.state, stored.reason) == (S.REFUSED, AlertReason.REVIEW_UNANSWERED)


def test_the_decision_is_made_anew_after_a_slow_reviewer(scene: Scene) -> None:
    """The position changed while the reviewer was thinking."""

    def slow(question: Any, rule: ReviewRule) -> Review:
        scene.clock.wait(4)
        scene.hold("0.02")
        return APPROVAL

    scene.route_changes |= {"review": {**RULE, "reviews_exits": True}, "reversal_quantity": "entry"}
    scene.hold("0.01")
    scene.review = slow
    done(scene, scene.send(EXIT))
    assert scene.position == 0 and scene.ours()[0].request.quantity == D("0.03")


def test_a_review_counts_for_whatever_the_account_looks_like_afterwards(scene: Scene) -> None:
    """While the reviewer thought, another order came to rest: it is cancelled first, and nobody is asked again."""
    asked: list[int] = []

    def slow(question: Any, rule: ReviewRule) -> Review:
        asked.append(question.alert_id)
        resting = OrderRequest(
            instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.LIMIT, quantity=D("0.01"), limit_price=D(49_000)
        )
        account_id = scene.venue.account_id
        desk = scene.runtime("another").desk
        desk.submit(WantedOrder(account_id, "other", "rebalance", resting, scene.venue.quotes([BTC])[0], ttl_s=60))
        desk.drive([make_intent_id(account_id, "other")], timeout_s=2, until=lambda view: view.state.is_live_at_venue)
        return APPROVAL

    scene.route_changes["review"] = RULE
    scene.review = slow
    alert_id = scene.send(SELL, target=SHORT, cancel_first=True)
    assert done(scene, alert_id) == (S.PLACED, AlertEnd.ALERT_ORDERS_PLACED)
    assert asked == [alert_id] and scene.open_orders() == [] and scene.position == D("-0.01")


def test_a_pool_that_runs_dry_says_so(scene: Scene) -> None:
    scene.dry_run = True
    alert_id = scene.send(BUY)
    assert done(scene, alert_id) == (S.REFUSED, OrderReason.DRY_RUN)
    assert "would have sent" in scene.store.show(alert_id).detail and scene.venue.sends == 0


def test_a_reviewer_is_asked_anew_when_a_person_puts_the_alert_back(scene: Scene) -> None:
    scene.route_changes["review"] = RULE
    scene.review = asked = Asked(scene, REJECTION, APPROVAL)
    alert_id = scene.send(BUY, ttl_s=60)
    assert done(scene, alert_id) == (S.REFUSED, AlertReason.REVIEW_REJECTED)
    scene.store.revive(alert_id, by="ann", reason="read the news")
    assert done(scene, alert_id)[0] is S.PLACED and asked.count == 2


def test_an_answer_that_times_out_is_looked_up_and_counts_once(scene: Scene) -> None:
    scene.venue.script = [Fault.ANSWER_LOST]
    alert_id = scene.send(BUY, ttl_s=200)
    stored = scene.work_until_over(alert_id)
    assert stored.state is S.PLACED and len(scene.ours()) == 1 and scene.position == D("0.01")
    scene.check()
