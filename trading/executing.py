"""Execute a stored plan: release legs as confirmed fills allow, drive their orders, record every end.

Everything is decided from stored rows and intents, so that a run after a crash continues where the rows say. Positions
are read once, before the first order: they can keep a plan from its begin, and no reading of them can cause an order.
An order's business key is plan, leg and round, so that a second executor, a late one or a repeated one finds the same
intent instead of making another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.types import Quote
from ledger.states import PlanState
from trading.account_reading import read_free_money, read_quotes
from trading.orders import IntentView, TermsConflict, WantedOrder
from trading.plan_store import (
    LEASE_S,
    OrderStyleUnsupported,
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
from trading.rebalancing.portfolio import OrderStyle
from trading.rebalancing.release import Decision, LegProgress, LegState, Send, decide, order_request
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

SOURCE = "rebalance"
LAG_READS_MAX = 5
LAG_WAIT_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLimits:
    """`order_ttl_s`: how long an order may still be placed; `timeout_s`: of the whole execution.

    `batch_max`: orders sent on one reading of quotes, so that the last of them is not judged by an old quote.
    """

    order_ttl_s: float = 60.0
    timeout_s: float = 900.0
    batch_max: int = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an execution ended. Not finished means: run it again, nothing is lost."""

    plan_id: str
    is_finished: bool
    legs: Mapping[int, LegProgress]
    message: str


def execute_plan(
    runtime: Runtime,
    plan_id: str,
    *,
    step: Step = call_directly,
    on_progress: ProgressCallback | None = None,
    limits: ExecutionLimits = ExecutionLimits(),
) -> Execution:
    """Bring every leg to its end. A plan that has ended is only reported; PlanBusy, PlanStale, AnotherPlanRuns."""
    stored = get_plan(runtime.ledger, plan_id)
    if stored.state.is_terminal:
        legs = read_progress(runtime, stored)
        return Execution(plan_id=plan_id, is_finished=True, legs=legs, message=f"plan has ended: {stored.state.value}")
    _require_style(stored)
    _require_fresh(runtime, stored)
    if not runtime.desk.views(plan_id=plan_id):
        _require_unmoved(runtime, stored, step)
    with plan_lease(runtime, plan_id, begins=True) as lease:
        return _Executor(runtime, stored, lease, step, on_progress, limits).run()


def _require_style(stored: StoredPlan) -> None:
    style = stored.plan.portfolio.order_style
    if style not in (OrderStyle.LIMIT, OrderStyle.MARKET):
        raise OrderStyleUnsupported(f"order_style {style.value} is not carried out; set it to limit or market")


def _require_fresh(runtime: Runtime, stored: StoredPlan) -> None:
    """A plan that was begun goes on at any age: the price check of each leg protects it."""
    age_s = (runtime.clock.now() - stored.plan.time).total_seconds()
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
    ) -> None:
        self._runtime = runtime
        self._stored = stored
        self._lease = lease
        self._step = step
        self._on_progress = on_progress
        self._limits = limits
        self._deadline = runtime.clock.monotonic() + limits.timeout_s
        self._lag_reads = 0

    def run(self) -> Execution:
        while True:
            self._lease.renew()
            legs = self._recorded()
            if all(item.state.is_over for item in legs.values()):
                return self._ended(legs, is_finished=True, message="every leg has ended")
            if self._runtime.clock.monotonic() >= self._deadline:
                return self._ended(legs, is_finished=False, message=f"not finished in {self._limits.timeout_s:.0f} s")
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
        """One turn: decide, send at most a batch, drive what is in flight."""
        decision, quotes = self._decision(legs)
        if decision is None:
            self._runtime.clock.wait(LAG_WAIT_S)
            return
        self._record_endings(legs, decision)
        for send in decision.sends[: self._limits.batch_max]:
            self._submit(send, quotes)
        self._drive()

    def _decision(self, legs: Mapping[int, LegProgress]) -> tuple[Decision | None, dict[InstrumentId, Quote]]:
        """What to do now, or None where the money that was read may lag behind the fills."""
        plan = self._stored.plan
        waiting = [leg for leg in plan.legs if legs[leg.number].state is LegState.WAITING]
        if not waiting:
            return Decision(), {}
        needed = sorted({leg.instrument_id for leg in waiting})
        quotes = {quote.instrument_id: quote for quote in read_quotes(self._runtime, needed, step=self._step)}
        money = plan.free_money
        if any(not leg.is_reduction for leg in waiting):
            money = read_free_money(self._runtime, plan.portfolio.quote_currency, step=self._step)
        decision = decide(plan, legs, free_money=money, quotes=quotes)
        has_fills = any(item.filled_quantity for item in legs.values())
        if decision.is_short and has_fills and self._lag_reads < LAG_READS_MAX:
            self._lag_reads += 1
            return None, quotes
        return decision, quotes

    def _record_endings(self, legs: Mapping[int, LegProgress], decision: Decision) -> None:
        ended = {
            end.leg_number: replace(legs[end.leg_number], state=end.state, reason=end.reason.value)
            for end in decision.endings
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
            self._step(name, StepKind.ADVANCE, partial(self._runtime.desk.submit, wanted))
        except TermsConflict:
            return  # another executor has sent this round at another price: its order is the one that counts

    def _drive(self) -> None:
        """Drive what has not ended, in slices shorter than the lease."""
        while True:
            active = self._active()
            left_s = self._deadline - self._runtime.clock.monotonic()
            if not active or left_s <= 0:
                return
            ids = [view.intent_id for view in active]
            try:
                self._runtime.desk.drive(ids, timeout_s=min(LEASE_S / 2, left_s), step=self._step)
            except BrokerError as error:
                self._tell(self._recorded(), f"{error.reason}: {error.message}")
                raise
            self._lease.renew()
            self._tell(self._recorded(), f"{len(ids)} orders driven")

    def _active(self) -> Sequence[IntentView]:
        return [view for view in self._runtime.desk.views(plan_id=self._stored.plan_id) if not view.is_over]
