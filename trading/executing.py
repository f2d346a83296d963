"""Execute a stored plan: release legs as confirmed fills allow, drive their orders, record every end.

Everything is decided from stored rows and intents, so that a run after a crash continues where the rows say. Positions
are read once, before the first order: they can keep a plan from its begin, and no reading of them can cause an order.
An order's business key is plan, leg and round, so that a second executor, a late one or a repeated one finds the same
intent instead of making another; and it comes onto the record only while the plan is held, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from sqlmodel import Session

from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.types import Quote
from ledger.states import CancelState, PlanState
from ledger.tables import OrderIntent
from trading.account_reading import read_free_money, read_quotes
from trading.beside import Beside, one_by_one
from trading.orders import IntentView, TermsConflict, WantedOrder
from trading.plan_store import (
    LEASE_S,
    PlanLease,
    PlanStale,
    ProgressCallback,
    StoredPlan,
    get_plan,
    leg_key,
    plan_lease,
    progress_message,
    read_progress,
)
from trading.rebalancing.freshness import moved_quantities
from trading.rebalancing.model import PlanLeg
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.release import (
    Decision,
    Ending,
    LegProgress,
    LegState,
    Send,
    decide,
    end_state,
    order_request,
)
from trading.rebalancing.styles import RESTING, Resting, expected_duration_s, look_at, to_take_back
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

SOURCE = "rebalance"
LAG_READS_MAX = 5
LAG_WAIT_S = 1.0
LOOK_S_MAX = 2.0  # between two looks at what rests in the book
# orders whose step ends within so long of the first are looked at with one read of quotes
TOGETHER = timedelta(seconds=1)
IDLE_S_MAX = 30.0  # how long a decision with nothing to do holds while nothing changes
TAKEN_BACK = "rebalance: the order rests no longer"


class Stop(StrEnum):
    """Why an execution should not go on, as whoever asked for it says at every turn."""

    CANCEL = "cancel"  # leave at once, as it stands: the plan is cancelled by whoever asked
    REFUSAL = "refusal"  # send nothing more; what rests is taken back, and the plan is brought to its end


StopCheck = Callable[[], Stop | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLimits:
    """`order_ttl_s`: how long an order may still be placed; `timeout_s`: of the whole execution, beyond the time that
    the order style takes by itself.

    `batch_max`: orders sent on one reading of quotes, so that the last of them is not judged by an old quote.
    `legs_at_once`: orders spoken about with the venue at the same time, where the caller's `beside` can do that; the
    venue's rate limits hold for all of them.
    """

    order_ttl_s: float = 60.0
    timeout_s: float = 900.0
    batch_max: int = 20
    legs_at_once: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an execution ended. Not finished means: run it again, nothing is lost."""

    plan_id: str
    is_finished: bool
    legs: Mapping[int, LegProgress]
    message: str
    is_cancelled: bool = False


def execute_plan(
    runtime: Runtime,
    plan_id: str,
    *,
    step: Step = call_directly,
    on_progress: ProgressCallback | None = None,
    limits: ExecutionLimits = ExecutionLimits(),
    stop: StopCheck | None = None,
    beside: Beside = one_by_one,
) -> Execution:
    """Bring every leg to its end. A plan that has ended is only reported; PlanBusy, PlanStale, AnotherPlanRuns.

    `stop` is asked at every turn; `beside` runs what may be done at the same time.
    """
    stored = get_plan(runtime.ledger, plan_id)
    if stored.state.is_terminal:
        legs = read_progress(runtime, stored)
        return Execution(plan_id=plan_id, is_finished=True, legs=legs, message=f"plan has ended: {stored.state.value}")
    _require_fresh(runtime, stored)
    if not runtime.desk.views(plan_id=plan_id):
        _require_unmoved(runtime, stored, step)
    with plan_lease(runtime, plan_id, begins=True) as lease:
        return _Executor(runtime, stored, lease, step, on_progress, limits, stop, beside).run()


def _require_fresh(runtime: Runtime, stored: StoredPlan) -> None:
    """A plan that was begun goes on at any age: the price check of each leg protects it."""
    age_s = (runtime.clock.now() - max(stored.plan.time, stored.checked_at)).total_seconds()
    if stored.state is PlanState.PLANNED and age_s > stored.plan.portfolio.plan_age_s_max:
        raise PlanStale(
            f"plan {stored.plan_id} was made {age_s:.0f} s ago, above plan_age_s_max "
            f"{stored.plan.portfolio.plan_age_s_max}; run again with a new key"
        )


def _require_unmoved(runtime: Runtime, stored: StoredPlan, step: Step) -> None:
    """Before the first order: the account still holds what the plan was decided from."""
    account, broker = runtime.account_id, runtime.broker
    balances = step(f"read balances of {account}", StepKind.READ, broker.balances)
    positions = step(f"read positions of {account}", StepKind.READ, broker.positions)
    moved = moved_quantities(stored.plan, balances=balances, positions=positions)
    if moved:
        changes = ", ".join(f"{name} from {was:f} to {now:f}" for name, (was, now) in moved.items())
        begun = "" if stored.state is PlanState.PLANNED else "cancel it and "
        raise PlanStale(
            f"the account has changed since plan {stored.plan_id} was made: {changes}; {begun}run again with a new key"
        )


class _Executor:
    """One run over one plan; holds no state that the ledger does not hold, but for what it has read last."""

    def __init__(
        self,
        runtime: Runtime,
        stored: StoredPlan,
        lease: PlanLease,
        step: Step,
        on_progress: ProgressCallback | None,
        limits: ExecutionLimits,
        stop: StopCheck | None,
        beside: Beside,
    ) -> None:
        self._runtime = runtime
        self._stored = stored
        self._lease = lease
        self._step = step
        self._on_progress = on_progress
        self._limits = limits
        self._stop = stop
        self._beside = beside
        self._timeout_s = limits.timeout_s + expected_duration_s(stored.plan.portfolio)
        self._deadline = runtime.clock.monotonic() + self._timeout_s
        self._lag_reads = 0
        self._seen_at: dict[Resting, datetime] = {}  # when an order in the book was last compared with the touch
        self._idle: tuple[Mapping[int, LegProgress], float, Decision] | None = None

    def run(self) -> Execution:
        while True:
            self._lease.renew()
            legs = self._recorded()
            stop = self._stop() if self._stop is not None else None
            if all(item.state.is_over for item in legs.values()):
                return self._ended(legs, is_finished=True, message="every leg has ended")
            if stop is Stop.CANCEL:
                return replace(self._ended(legs, is_finished=False, message="to be cancelled"), is_cancelled=True)
            if self._runtime.clock.monotonic() >= self._deadline:
                return self._ended(legs, is_finished=False, message=f"not finished in {self._timeout_s:.0f} s")
            if stop is Stop.REFUSAL:
                self._wind_down(legs)
            else:
                self._advance(legs)

    def _recorded(self) -> dict[int, LegProgress]:
        legs = read_progress(self._runtime, self._stored)
        self._lease.record(legs)
        return legs

    def _ended(self, legs: Mapping[int, LegProgress], *, is_finished: bool, message: str) -> Execution:
        self._tell(legs, message)
        return Execution(plan_id=self._stored.plan_id, is_finished=is_finished, legs=legs, message=message)

    def _tell(self, legs: Mapping[int, LegProgress], message: str) -> None:
        if self._on_progress is not None:
            self._on_progress(progress_message(self._stored.plan_id, self._stored.plan, legs, message))

    def _advance(self, legs: Mapping[int, LegProgress]) -> None:
        """One turn: decide, send at most a batch, drive what is in flight, look at what rests."""
        decision, quotes = self._decision(legs)
        if decision is None:
            self._runtime.clock.wait(LAG_WAIT_S)
            return
        self._record_endings(legs, decision.endings)
        for send in decision.sends[: self._limits.batch_max]:
            self._submit(send, quotes)
        self._drive()
        self._look_at_resting()
        if decision.due_at is not None and not decision.sends and not self._active():
            self._wait_until(decision.due_at)

    def _wind_down(self, legs: Mapping[int, LegProgress]) -> None:
        """Send nothing more: end what waits, take back what rests, and see the rest to its end."""
        waiting = [item for item in legs.values() if item.state is LegState.WAITING]
        reason = LineReason.STOPPED_BY_REFUSAL
        ends = [Ending(leg_number=item.number, state=end_state(item), reason=reason) for item in waiting]
        self._record_endings(legs, ends)
        self._take_back([view for view in self._active() if _rests(view)])
        self._drive()

    def _wait_until(self, due_at: datetime) -> None:
        """Wait for the next slice, never longer than the lease allows nor past the end of the time."""
        left_s = min((due_at - self._now()).total_seconds(), self._deadline - self._runtime.clock.monotonic())
        self._runtime.clock.wait(max(0.0, min(left_s, LOOK_S_MAX)))

    def _now(self) -> datetime:
        """By the clock that the orders' times are of."""
        with self._runtime.ledger.read() as session:
            return self._runtime.ledger.now(session)

    def _decision(self, legs: Mapping[int, LegProgress]) -> tuple[Decision | None, dict[InstrumentId, Quote]]:
        """What to do now, or None where the money that was read may lag behind the fills."""
        plan = self._stored.plan
        waiting = [leg for leg in plan.legs if legs[leg.number].state is LegState.WAITING]
        if not waiting:
            return Decision(), {}
        if (idle := self._still_idle(legs)) is not None:
            return idle, {}
        needed = sorted({leg.instrument_id for leg in waiting})
        quotes = {quote.instrument_id: quote for quote in read_quotes(self._runtime, needed, step=self._step)}
        money = plan.free_money
        if any(not leg.is_reduction for leg in waiting):
            money = read_free_money(self._runtime, plan.portfolio.quote_currency, step=self._step)
        decision = decide(plan, legs, free_money=money, quotes=quotes, now=self._now())
        has_fills = any(item.filled_quantity for item in legs.values())
        if decision.is_short and has_fills and self._lag_reads < LAG_READS_MAX:
            self._lag_reads += 1
            return None, quotes
        has_nothing = not decision.sends and not decision.endings
        self._idle = (dict(legs), self._runtime.clock.monotonic(), decision) if has_nothing else None
        return decision, quotes

    def _still_idle(self, legs: Mapping[int, LegProgress]) -> Decision | None:
        """The last decision, when it had nothing to do and nothing has happened since: nothing need be read again."""
        if self._idle is None:
            return None
        seen, at_s, decision = self._idle
        is_due = decision.due_at is not None and self._now() >= decision.due_at
        is_old = self._runtime.clock.monotonic() - at_s >= IDLE_S_MAX
        return None if is_due or is_old or seen != legs else decision

    def _record_endings(self, legs: Mapping[int, LegProgress], endings: Iterable[Ending]) -> None:
        ended = {
            end.leg_number: replace(legs[end.leg_number], state=end.state, reason=end.reason.value) for end in endings
        }
        self._lease.record(ended)

    def _submit(self, send: Send, quotes: Mapping[InstrumentId, Quote]) -> None:
        plan, plan_id = self._stored.plan, self._stored.plan_id
        leg = plan.leg(send.leg_number)
        quote = quotes[leg.instrument_id]
        wanted = WantedOrder(
            account_id=self._runtime.account_id,
            business_key=leg_key(plan_id, leg.number, send.round_number),
            source=SOURCE,
            request=order_request(plan, send, quote),
            reference=quote,
            ttl_s=self._limits.order_ttl_s,
            plan_id=plan_id,
            leg_number=leg.number,
            strategy=plan.portfolio.name,
        )
        name = f"Submit leg {leg.number} round {send.round_number}: {leg.side} {send.quantity:f} {leg.instrument_id}"
        try:
            self._step(name, StepKind.ADVANCE, partial(self._runtime.desk.submit, wanted, also=self._require_lease))
        except TermsConflict:
            return  # another executor has sent this round at another price: its order is the one that counts

    def _require_lease(self, session: Session, row: OrderIntent) -> None:
        """In the transaction of each order: one that was decided before a long pause may be nobody's any more."""
        self._lease.require(session)

    def _drive(self) -> None:
        """Drive what has not ended and does not rest, in slices shorter than the lease."""
        while True:
            active = [view for view in self._active() if not _rests(view)]
            left_s = self._deadline - self._runtime.clock.monotonic()
            if not active or left_s <= 0:
                return
            try:
                self._drive_at_once(active, timeout_s=min(LEASE_S / 2, left_s))
            except BrokerError as error:
                self._tell(self._recorded(), f"{error.reason}: {error.message}")
                raise
            self._lease.renew()
            self._tell(self._recorded(), f"{len(active)} orders driven")

    def _drive_at_once(self, views: Sequence[IntentView], *, timeout_s: float) -> None:
        """As many at once as are allowed: the desk serves all of them, every move is compare-and-set."""

        def drive(some: Sequence[IntentView]) -> None:
            ids = [view.intent_id for view in some]
            self._runtime.desk.drive(ids, timeout_s=timeout_s, step=self._step, until=_rests)

        at_once = 1 if self._beside is one_by_one else self._limits.legs_at_once
        shares = [views[place::at_once] for place in range(at_once)]
        with self._runtime.desk.together(views):
            self._beside([partial(drive, share) for share in shares if share])

    def _look_at_resting(self) -> None:
        """Follow what rests for a moment, and take back what should rest no longer or elsewhere."""
        resting = [view for view in self._active() if _rests(view)]
        if not resting:
            return
        plan = self._stored.plan
        legs = self._recorded()
        orders = [item.resting for item in legs.values() if item.resting is not None]
        looks = [
            look_at(plan.portfolio, order, legs[order.leg_number].past, seen_at=self._seen_at.get(order))
            for order in orders
        ]
        last = max((at for at in looks if at - min(looks) <= TOGETHER), default=None)
        left_s = (last - self._now()).total_seconds() if last is not None else 0.0
        slice_s = min(LOOK_S_MAX, max(left_s, 0.1))
        ids = [view.intent_id for view in resting]
        self._runtime.desk.drive(ids, timeout_s=slice_s, step=self._step)
        now = self._now()
        if last is None or now < last:
            return
        due = [order for order, at in zip(orders, looks, strict=True) if at <= now]
        needed = sorted({plan.leg(order.leg_number).instrument_id for order in due})
        quotes = {quote.instrument_id: quote for quote in read_quotes(self._runtime, needed, step=self._step)}
        self._seen_at = {order: now if order in due else self._seen_at.get(order, order.at) for order in orders}
        pasts = {number: item.past for number, item in legs.items()}
        moved = to_take_back(plan, due, pasts, quotes=quotes, now=now)
        self._take_back([view for view in resting if view.leg_number in moved])

    def _take_back(self, views: Iterable[IntentView]) -> None:
        """Ask for the cancel; the order counts until the venue has proved its end, and so nothing follows it before."""
        for view in views:
            leg: PlanLeg = self._stored.plan.leg(view.leg_number or 0)
            self._step(
                f"Take back leg {leg.number}: {leg.side} {view.remaining_quantity:f} {leg.instrument_id}",
                StepKind.ADVANCE,
                partial(self._runtime.desk.cancel, view.intent_id, reason=TAKEN_BACK),
            )
        self._drive()

    def _active(self) -> Sequence[IntentView]:
        return [view for view in self._runtime.desk.views(plan_id=self._stored.plan_id) if not view.is_over]


def _rests(view: IntentView) -> bool:
    """Whether the order is in the venue's book and is wanted there."""
    is_resting = view.request.time_in_force in RESTING
    return is_resting and view.state.is_live_at_venue and view.cancel_state is CancelState.NONE
