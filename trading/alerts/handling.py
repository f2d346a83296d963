"""Carry out one leased alert: look, decide, review, submit, drive, end with a reason. Idempotent at every line.

What was decided is on record with the first order, in one transaction; a worker that takes over goes on with that
decision and finds its orders by their business keys (`alert:ID:LEG`), so nothing is decided or sent twice.

Invariants
- An order comes onto the record only while the lease is held, and never outlives the alert's time.
- A reviewer is asked at most once, and its answer is stored before anything is sent.
- The opening leg of a reversal is submitted only when the closing one is filled in full, by recorded fills.
- An order whose outcome is not known keeps the lane: nothing later of it is decided on a position that may be wrong.
- What stops orders (control state, arming, rate) lets the alert wait until its time is over; it does not fail it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from brokers.errors import BrokerError, InstrumentUnknown
from brokers.ids import InstrumentId, IntentId
from brokers.types import Quote
from ledger.errors import LeaseLost, LedgerError
from ledger.inbox import Claim, InboxState
from ledger.states import IntentState
from ledger.tables import OrderIntent
from trading.alerts.deciding import AlertLeg, AlertPlan, AlertSnapshot, LegName, PlanVerdict, decide
from trading.alerts.ends import AlertEnd
from trading.alerts.handling_model import (
    AccountRefused,
    Ended,
    Handled,
    Tools,
    are_filled,
    is_held,
    leg_key,
    never_placed,
    said,
)
from trading.alerts.history import History
from trading.alerts.looking import ON_THE_WAY, read_snapshot, rests, unsettled
from trading.alerts.model import Alert
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.review_client import Question
from trading.alerts.reviewing import Review, ReviewRule, ReviewVerdict, judge
from trading.alerts.routing import Route
from trading.orders import IntentView, UnknownIntent, WantedOrder
from trading.orders.identity import make_intent_id
from trading.risk.values import RiskReason
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade

_log = logging.getLogger(__name__)
S = InboxState
SOURCE = "alert"
TTL_S_MAX = 86_400.0
CANCEL_ROUNDS_MAX = 3
BEAT_S = 2.0
# Refusals that say that something could not be read: nothing was judged, so nothing is denied.
_UNREAD = frozenset({RiskReason.ACCOUNT_UNREADABLE, RiskReason.POOL_UNREADABLE, RiskReason.QUOTE_MISSING})


def handle(claim: Claim, tools: Tools) -> Handled:
    """Work on a leased alert until it ends or has to wait. LeaseLost: it is another worker's now."""
    work = _Work(claim, tools)
    try:
        work.run()
        raise AssertionError("work on an alert ends with a reason")
    except Ended as end:
        return work.finish(end)
    except (LeaseLost, LedgerError, SQLAlchemyError):
        raise
    except AlertRefused as refusal:
        return work.finish(Ended(S.REFUSED, refusal.reason, refusal.detail))
    except AccountRefused as refusal:
        return work.finish(Ended(S.REFUSED, refusal.reason, str(refusal)))
    except InstrumentUnknown as error:
        return work.finish(Ended(S.REFUSED, error.reason, error.message))
    except (BrokerError, NotReadyToTrade) as error:
        wait_s = max(work.pause_s, getattr(error, "retry_after_s", None) or 0.0)
        unread = Ended(S.WAITING, AlertEnd.ALERT_VENUE_UNREAD, f"{error.reason}: {error}", wait_s=wait_s)
        return work.finish(unread)
    except Exception as error:  # noqa: BLE001 - whatever it is, it counts as an attempt, and the fifth one ends it
        _log.exception("alert %s could not be worked on", claim.alert_id)
        return work.finish(Ended(S.WAITING, AlertEnd.ALERT_ATTEMPT_FAILED, f"{type(error).__name__}: {error}"))


@dataclass(slots=True)
class _Work:
    claim: Claim
    tools: Tools
    history: History = field(init=False)
    alert: Alert = field(init=False)
    route: Route = field(init=False)
    runtime: Runtime = field(init=False)
    review: Review | None = None
    quote: Quote | None = None
    snapshot: AlertSnapshot | None = None
    deadline_s: float = 0.0
    beaten_at: datetime = field(init=False)

    # -- the way of an alert ------------------------------------------------------------------------------------
    def run(self) -> None:
        """Ends by raising Ended."""
        claim, store = self.claim, self.tools.store
        self.beaten_at = claim.claimed_at
        self.history = History.of(store.events(claim.alert_id) if claim.epoch > 1 else ())
        self.alert = Alert.from_json(claim.alert.parsed)
        self.route = self.tools.config.route(self.alert)
        self._require_same_lane()
        self.runtime = self.tools.accounts(self.route.account)
        self.deadline_s = self.runtime.clock.monotonic() + self.tools.limits.work_s
        plan = self._plan_under_way()
        if plan is not None:
            self._execute(plan)
        if claim.is_expired:
            raise Ended(S.EXPIRED, AlertReason.ALERT_EXPIRED, "nothing was begun before its time was over")
        if self.history.cancelled:
            self._cancel(self.history.cancelled)
        self._decide()

    @property
    def instrument_id(self) -> InstrumentId:
        return InstrumentId(self.claim.alert.instrument_id)

    @property
    def pause_s(self) -> float:
        """How long to wait before the next look: longer the older the alert is, within limits."""
        limits, alert = self.tools.limits, self.claim.alert
        age_s = (self.claim.claimed_at - alert.received_at).total_seconds()
        return min(max(age_s / 4, limits.again_s), limits.again_s_max)

    def finish(self, end: Ended) -> Handled:
        """Store the end; a wait that was asked for is no failed attempt."""
        retry_at = end.until
        if end.wait_s is not None:
            retry_at = self._now() + timedelta(seconds=end.wait_s)
        state = self.tools.store.finish(
            self.claim,
            end.state,
            reason=end.reason,
            detail=end.detail,
            retry_at=retry_at,
            review=None if self.review is None else self.review.to_json(),
        )
        return Handled(self.claim.alert_id, state, end.reason, end.detail)

    def _now(self) -> datetime:
        with self.tools.store.ledger.read() as session:
            return self.tools.store.ledger.now(session)

    def _require_same_lane(self) -> None:
        stored = self.claim.alert
        at = self.alert.event_time or stored.received_at
        leads_to = (str(self.route.account), str(self.route.instrument_at(at)))
        if leads_to != (stored.account_id, stored.instrument_id):
            text = f"read for {stored.account_id} {stored.instrument_id}, now {' '.join(leads_to)}"
            raise Ended(S.REFUSED, AlertEnd.ALERT_ROUTE_CHANGED, text)

    def _beat(self) -> None:
        """Hold on to the lease, or stop: what another worker does now is not to be mixed with. Not more often than is
        of use: each is a synced write, and the transaction of an order looks at the lease itself."""
        now = self.runtime.clock.now()
        if timedelta(0) <= now - self.beaten_at < timedelta(seconds=BEAT_S):
            return
        if not self.tools.store.heartbeat(self.claim):
            raise LeaseLost(f"alert {self.claim.alert_id} was taken over")
        self.beaten_at = now

    def _may_go_on(self) -> bool:
        return self.runtime.clock.monotonic() < self.deadline_s and not self.tools.is_stopping()

    def _later(self, reason: AlertEnd, detail: str) -> Ended:
        if self.tools.is_stopping():
            return Ended(S.WAITING, AlertEnd.ALERT_LET_GO, f"{reason}: {detail}", wait_s=0.0)
        return Ended(S.WAITING, reason, detail, wait_s=self.pause_s)

    # -- deciding -----------------------------------------------------------------------------------------------
    def _decide(self) -> None:
        for _ in range(CANCEL_ROUNDS_MAX):
            plan = self._looked()
            if plan.verdict is PlanVerdict.ORDERS and self._is_reviewed():
                plan = self._looked()  # the answer took its time: decide on the account as it is now
            if plan.verdict not in (PlanVerdict.CANCEL, PlanVerdict.CANCEL_FIRST):
                break
            self._begin_cancelling(plan)
        if plan.verdict is PlanVerdict.ORDERS:
            self._require_sendable(plan)
            self._execute(plan)
        raise self._without_orders(plan)

    def _looked(self) -> AlertPlan:
        self._settle_neighbours()
        self._beat()
        snapshot = read_snapshot(
            self.runtime, self.instrument_id, self.alert, self.route, expires_at=self.claim.expires_at
        )
        self.quote = snapshot.quote
        self.snapshot = snapshot
        return decide(self.alert, self.route, snapshot)

    def _without_orders(self, plan: AlertPlan) -> Ended:
        if plan.verdict is PlanVerdict.WAIT:
            end = Ended(S.WAITING, plan.reason, plan.detail)
            end.until = plan.wait_until
            return end
        if plan.verdict is PlanVerdict.NOTHING_TO_DO:
            if self.history.cancelled:
                count = len(self.history.cancelled)
                return Ended(S.PLACED, AlertEnd.ALERT_ORDERS_CANCELLED, f"{count} orders are over; {plan.reason}")
            return Ended(S.NOTHING_TO_DO, plan.reason, plan.detail)
        if plan.verdict is PlanVerdict.REFUSED:
            is_late = plan.reason is AlertReason.ALERT_EXPIRED
            return Ended(S.EXPIRED if is_late else S.REFUSED, plan.reason, plan.detail)
        return self._later(AlertEnd.ALERT_CANCEL_WAITS, f"{len(plan.cancels)} orders are open still")

    def _require_sendable(self, plan: AlertPlan) -> None:
        offered = self.runtime.broker.capabilities.time_in_force
        for leg in plan.legs:
            wanted = leg.request.time_in_force
            if wanted.is_extended and wanted not in offered:
                detail = f"route {self.route.name}: {self.route.account.venue} has no time_in_force {wanted}"
                raise Ended(S.REFUSED, AlertEnd.ALERT_EXTENDED_UNSUPPORTED, detail)

    def _settle_neighbours(self) -> None:
        """Orders of ours that move the position come to rest first; what the venue shows may lag behind them."""
        runtime, limits = self.runtime, self.tools.limits
        moving = unsettled(runtime, self.instrument_id)
        if moving:
            runtime.desk.drive(moving, timeout_s=limits.settle_s)
            moving = unsettled(runtime, self.instrument_id)
        if moving:
            raise self._later(AlertEnd.ALERT_ACCOUNT_UNSETTLED, f"{len(moving)} orders, first {moving[0]}")

    # -- cancelling ---------------------------------------------------------------------------------------------
    def _begin_cancelling(self, plan: AlertPlan) -> None:
        self.tools.store.note(self.claim, reason=plan.reason, detail=" ".join(str(i) for i in plan.cancels))
        self.history = self.history.with_cancelled(plan.cancels)
        self._cancel(plan.cancels)

    def _cancel(self, intents: Sequence[IntentId]) -> None:
        """Cancel until the venue shows each of them over; the wait for it is the lane's."""
        desk = self.runtime.desk
        reason = f"alert {self.claim.alert_id} cancels it"
        views = [desk.cancel(intent_id, reason=reason) for intent_id in intents]
        while not all(view.is_over for view in views):
            if not self._may_go_on():
                left = [view for view in views if not view.is_over]
                raise self._later(AlertEnd.ALERT_CANCEL_WAITS, said(left[0]))
            self._beat()
            views = list(desk.drive(intents, timeout_s=self.tools.limits.slice_s))
        for view in views:
            if view.state is IntentState.NEEDS_HUMAN:
                raise Ended(S.NEEDS_HUMAN, view.reason, said(view))

    # -- reviewing ----------------------------------------------------------------------------------------------
    def _is_reviewed(self) -> bool:
        """Have it judged where the route wants that; whether the reviewer was asked just now. Raises for a no."""
        rule = self.route.review
        if rule is None or (self.alert.is_exit and not rule.reviews_exits):
            return False
        known = self.review or self.history.review
        self.review = known or self._ask(rule)
        judgement = judge(self.review, rule)
        self.tools.tell(f"alert {self.claim.alert_id}: review {judgement.reason} {judgement.detail}")
        if not judgement.passes:
            raise Ended(S.REFUSED, judgement.reason, judgement.detail)
        return known is None

    def _ask(self, rule: ReviewRule) -> Review:
        """Ask once: that it is asked is on record before, what it said before anything is sent."""
        store, claim = self.tools.store, self.claim
        if self.history.was_asked:
            review = Review(verdict=ReviewVerdict.NO_ANSWER, reasoning="it was asked before, and its answer was lost")
        else:
            store.note(claim, reason=AlertEnd.ALERT_REVIEW_ASKED, detail=f"{rule.kind.value} {rule.url}")
            review = self.tools.review(self._question(), rule)
        store.note(claim, reason=AlertEnd.ALERT_REVIEW_KEPT, detail=review.to_json())
        return review

    def _question(self) -> Question:
        seen = self.snapshot
        assert seen is not None, "a reviewer is asked about what was seen"
        return Question(
            alert_id=self.claim.alert_id,
            alert=self.alert,
            account_id=str(self.runtime.account_id),
            instrument_id=str(self.instrument_id),
            position=seen.position,
            bid=seen.quote.bid if seen.quote else None,
            ask=seen.quote.ask if seen.quote else None,
            equity=seen.equity,
        )

    # -- orders -------------------------------------------------------------------------------------------------
    def _plan_under_way(self) -> AlertPlan | None:
        """The decision that an earlier worker put on record with an order that counts."""
        plan = self.history.plan
        if plan is None:
            return None
        placed = [leg for leg in plan.legs if (view := self._view(leg.name)) and not never_placed(view)]
        return plan if placed or self.history.plan_is_current else None

    def _execute(self, plan: AlertPlan) -> None:
        done: list[IntentView] = []
        for leg in plan.legs:
            if leg.after and not are_filled(done):
                text = f"{said(done[-1])}; {leg.name.value} was not sent"
                raise Ended(S.PLACED, AlertEnd.ALERT_PARTLY_DONE, text)
            view = self._view(leg.name) or self._submit(plan, leg, done)
            view = self._driven(view, needs_end=any(leg.name in later.after for later in plan.legs))
            self._require_placed(view, done)
            done.append(view)
        text = "; ".join(map(said, done)) + (f"; {plan.detail}" if plan.detail else "")
        is_whole = plan.reason is AlertReason.ORDERS_DECIDED
        raise Ended(S.PLACED, AlertEnd.ALERT_ORDERS_PLACED if is_whole else AlertEnd.ALERT_PARTLY_DONE, text)

    def _view(self, leg: LegName) -> IntentView | None:
        """The order of a leg: the one that was or may have been placed in any round, else this round's."""
        found: IntentView | None = None
        for round_number in range(self.history.round_number + 1):
            key = leg_key(self.claim.alert_id, leg, round_number)
            try:
                view = self.runtime.desk.view(make_intent_id(self.runtime.account_id, key))
            except UnknownIntent:
                continue
            if not never_placed(view):
                return view
            found = view if round_number == self.history.round_number else None
        return found

    def _submit(self, plan: AlertPlan, leg: AlertLeg, done: Sequence[IntentView]) -> IntentView:
        """Put the order onto the record; with it, in the same transaction, that this alert decided so."""
        if self.claim.is_expired:
            if done:
                text = f"{said(done[-1])}; its time was over before {leg.name.value}"
                raise Ended(S.PLACED, AlertEnd.ALERT_PARTLY_DONE, text)
            raise Ended(S.EXPIRED, AlertReason.ALERT_EXPIRED, "its time was over before its order")
        self._beat()
        is_first = not done
        reason: AlertReason | AlertEnd = AlertReason.ORDERS_DECIDED if is_first else AlertEnd.ALERT_ORDER_SUBMITTED
        detail = plan.to_json() if is_first else leg.name.value

        def also(session: Session, row: OrderIntent) -> None:
            if row.state == IntentState.DENIED.value and row.state_reason in {r.value for r in _UNREAD}:
                raise self._later(AlertEnd.ALERT_VENUE_UNREAD, row.state_detail)
            self.tools.store.note(self.claim, reason=reason, detail=detail, session=session)

        view = self.runtime.desk.submit(self._wanted(leg, is_first=is_first), also=also)
        self.tools.tell(f"alert {self.claim.alert_id}: {said(view)}")
        return view

    def _wanted(self, leg: AlertLeg, *, is_first: bool) -> WantedOrder:
        quote = self.quote if is_first and self.quote is not None else None
        if quote is None:
            (quote,) = self.runtime.broker.quotes([self.instrument_id])
        return WantedOrder(
            account_id=self.runtime.account_id,
            business_key=leg_key(self.claim.alert_id, leg.name, self.history.round_number),
            source=SOURCE,
            request=leg.request,
            reference=quote,
            ttl_s=TTL_S_MAX if self.claim.expires_at else min(self.route.ttl_s(self.alert), TTL_S_MAX),
            leg_number=list(LegName).index(leg.name) + 1,
            strategy=(self.alert.strategy or self.route.name).replace("@", "_"),
            not_after=self.claim.expires_at,
        )

    def _driven(self, view: IntentView, *, needs_end: bool) -> IntentView:
        """Drive until the order is acknowledged, or over where that matters; Ended where that has to wait."""
        runtime, limits = self.runtime, self.tools.limits
        is_immediate = not rests(view.request.order_type.value, view.request.time_in_force.value)
        settled_s = runtime.clock.monotonic() + limits.settle_s

        def is_enough(seen: IntentView) -> bool:
            return seen.state.is_live_at_venue and not (is_immediate or needs_end)

        while not (view.is_over or is_enough(view)):
            if view.state.is_live_at_venue and not needs_end and runtime.clock.monotonic() >= settled_s:
                return view  # acknowledged; its fill is followed by whoever watches
            if not self._may_go_on():
                raise self._waits(view)
            self._beat()
            if view.state is IntentState.READY:
                view = runtime.desk.advance(view.intent_id)
                if is_held(view):
                    raise self._waits(view)
            (view,) = runtime.desk.drive([view.intent_id], timeout_s=limits.slice_s, until=is_enough)
        return view

    def _waits(self, view: IntentView) -> Ended:
        if view.state in ON_THE_WAY:
            return self._later(AlertEnd.ALERT_OUTCOME_OPEN, said(view))
        return self._later(AlertEnd.ALERT_ORDER_WAITS, said(view))

    def _require_placed(self, view: IntentView, done: Sequence[IntentView]) -> None:
        """Raise the alert's end where the order was not placed, or where a person has to find out."""
        if view.state is IntentState.NEEDS_HUMAN:
            raise Ended(S.NEEDS_HUMAN, view.reason, said(view))
        if not never_placed(view):
            return
        if done:
            raise Ended(S.PLACED, AlertEnd.ALERT_PARTLY_DONE, "; ".join(map(said, [*done, view])))
        if view.state is IntentState.EXPIRED:
            raise Ended(S.EXPIRED, AlertEnd.ALERT_OUT_OF_TIME, said(view))
        raise Ended(S.REFUSED, view.reason, view.detail or said(view))
