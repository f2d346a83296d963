"""Plans in the ledger: what a job finds there, the lease under which it may move one, and the errors of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal, localcontext

from sqlmodel import Session

from brokers.ids import AccountId
from brokers.rounding import MONEY
from ledger.engine import Ledger, LedgerError
from ledger.plans import (
    AccountMoved,
    AccountTaken,
    LegFate,
    claim_plan,
    finish_plan,
    holds_plan,
    legs_of,
    load_plan,
    plan_by_key,
    plans_of,
    store_plan,
    update_legs,
)
from ledger.states import PlanState
from ledger.tables import PlanLegRow, PlanRow
from trading.orders import IntentView
from trading.rebalancing.model import Plan
from trading.rebalancing.release import LegProgress, LegState, OrderFact, progress_of
from trading.rebalancing.styles import RESTING
from trading.rebalancing.verdict import PlanResult
from trading.runtime import Runtime

LEASE_S = 30
RECORDED_ENDS = frozenset({LegState.DONE, LegState.SKIPPED, LegState.REFUSED})


class PlanError(RuntimeError):
    """Base of all; `reason` is the stable code of docs/rebalancing.md."""

    reason = "PLAN_ERROR"


class PlanBusy(PlanError):
    """Another worker executes the plan now, or took it over; try again when its lease is over."""

    reason = "PLAN_BUSY"


class PlanStale(PlanError):
    """The plan is too old to begin with it, or the account has changed since: make a new one."""

    reason = "PLAN_STALE"


class PlanKeyTaken(PlanError):
    """The business key belongs to a plan of another portfolio, or of the same with other content."""

    reason = "PLAN_KEY_TAKEN"


class AnotherPlanRuns(PlanError):
    """The account has a plan that was begun and not ended: resume or cancel it first."""

    reason = "ANOTHER_PLAN_RUNS"


class PlanUnfinished(PlanError):
    """The plan has legs that have not ended: execute it again before it is verified."""

    reason = "PLAN_UNFINISHED"


PLAN_ERRORS: Mapping[str, tuple[str, str]] = {
    PlanBusy.reason: ("Another worker executes this plan.", "Wait for it; its lease ends by itself."),
    PlanStale.reason: (
        "The plan was made longer ago than plan_age_s_max, or the account has changed since, and it sent nothing.",
        "Run again with a new key; cancel the plan first where it was begun.",
    ),
    PlanKeyTaken.reason: (
        "The business key belongs to a plan of another portfolio, or of this one as it was.",
        "Use another key.",
    ),
    AnotherPlanRuns.reason: (
        "The account has another plan that was begun and has not ended.",
        "Resume it with its own key, or cancel it; then run again.",
    ),
    PlanUnfinished.reason: ("Legs of the plan have not ended.", "Execute the plan again, then verify it."),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPlan:
    """A plan as the ledger holds it. `result` is there once it has ended by verification."""

    plan_id: str
    business_key: str
    plan: Plan
    state: PlanState
    result: PlanResult | None
    checked_at: datetime  # when the account was last compared with it before it was stored
    run_id: str | None = None
    note: str = ""  # why it ended without a result


def plan_id_of(account_id: AccountId, business_key: str) -> str:
    """The id of the one plan that a business key names on an account."""
    return hashlib.sha256("\x1f".join(("plan", str(account_id), business_key)).encode()).hexdigest()[:32]


def stored_key(account_id: AccountId, business_key: str) -> str:
    """Keys are unique in the whole ledger, so that each account has its own."""
    return f"{account_id}/{business_key}"


def find_plan(ledger: Ledger, account_id: AccountId, business_key: str) -> StoredPlan | None:
    with ledger.read() as session:
        row = plan_by_key(session, stored_key(account_id, business_key))
    return None if row is None else stored_plan(row)


def get_plan(ledger: Ledger, plan_id: str) -> StoredPlan:
    """The plan by its id; LookupError when there is none."""
    with ledger.read() as session:
        return stored_plan(load_plan(session, plan_id))


def stored_plan(row: PlanRow) -> StoredPlan:
    is_proof = row.result.startswith('{"')
    return StoredPlan(
        plan_id=row.plan_id,
        business_key=row.business_key.split("/", 1)[-1],
        plan=Plan.from_json(row.body),
        state=PlanState(row.state),
        result=PlanResult.from_json(row.result) if is_proof else None,
        checked_at=row.created_at,
        run_id=row.run_id,
        note="" if is_proof else row.result,
    )


def keep_plan(ledger: Ledger, plan: Plan, business_key: str, *, began_at: datetime) -> StoredPlan:
    """Store plan and legs in one transaction; a key that was used meanwhile gives the plan stored under it.

    `began_at`, by the ledger's clock, is before the account was read: what happens from then on makes the plan stale.
    """
    with ledger.write() as session:
        row, legs = plan_rows(plan, business_key, began_at=began_at, at=ledger.now(session))
        stored, _ = store_plan(session, row, legs)
        return stored_plan(stored)


def plan_rows(
    plan: Plan, business_key: str, *, began_at: datetime, at: datetime, run_id: str | None = None
) -> tuple[PlanRow, list[PlanLegRow]]:
    """The rows of a plan and its legs."""
    plan_id = plan_id_of(plan.account_id, business_key)
    row = PlanRow(
        plan_id=plan_id,
        account_id=str(plan.account_id),
        portfolio=plan.portfolio.name,
        business_key=stored_key(plan.account_id, business_key),
        plan_hash=plan.plan_hash,
        body=plan.to_json(),
        created_at=began_at,
        run_id=run_id,
    )
    legs = [
        PlanLegRow(
            plan_id=plan_id,
            leg_number=leg.number,
            instrument_id=str(leg.instrument_id),
            side=leg.side.value,
            quantity=leg.quantity,
            is_reduction=leg.is_reduction,
            updated_at=at,
        )
        for leg in plan.legs
    ]
    return row, legs


def other_running_plan(ledger: Ledger, account_id: AccountId, plan_id: str) -> str | None:
    """A plan of the account that was begun and has not ended, other than this one."""
    with ledger.read() as session:
        for row in plans_of(session, str(account_id), unfinished=True):
            if row.plan_id != plan_id and row.state == PlanState.EXECUTING.value:
                return row.plan_id
    return None


# -- progress --------------------------------------------------------------------------------------------------


def leg_key(plan_id: str, leg_number: int, round_number: int) -> str:
    """The business key of one order of a leg."""
    return f"plan:{plan_id}:leg:{leg_number}:round:{round_number}"


def facts_of(views: Iterator[IntentView] | tuple[IntentView, ...]) -> list[OrderFact]:
    """What the orders of a plan came to."""
    facts = []
    for view in views:
        assert view.leg_number is not None, f"intent {view.intent_id} of a plan has no leg"
        facts.append(
            OrderFact(
                leg_number=view.leg_number,
                round_number=int(view.business_key.rsplit(":", 1)[1]),
                state=view.state,
                filled_quantity=view.filled_quantity,
                average_price=view.average_price,
                reason=view.reason,
                detail=view.detail,
                wanted_at=view.created_at,
                rests=view.request.time_in_force in RESTING,
                limit_price=view.request.limit_price,
            )
        )
    return facts


def read_progress(runtime: Runtime, stored: StoredPlan) -> dict[int, LegProgress]:
    """Fold the stored legs and their intents."""
    with runtime.ledger.read() as session:
        rows = legs_of(session, stored.plan_id)
    ended = {
        row.leg_number: (LegState(row.state), row.reason, row.detail)
        for row in rows
        if LegState(row.state) in RECORDED_ENDS
    }
    return progress_of(stored.plan, facts_of(runtime.desk.views(plan_id=stored.plan_id)), ended=ended)


def _fate(item: LegProgress) -> LegFate:
    return LegFate(item.number, item.state.value, item.reason, item.detail, item.filled_quantity)


# -- lease -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class PlanLease:
    """The right to move a plan, while `epoch` counts. Renewed by every write through it."""

    runtime: Runtime
    plan_id: str
    epoch: int
    written: dict[int, LegFate] = field(default_factory=dict)

    def renew(self) -> None:
        """Keep the lease; PlanBusy when another worker has taken the plan or it has ended.

        Taking a plan raises its epoch by one: after a lease that ran out unclaimed, ours is the next one.
        """
        epoch = _claim(self.runtime, self.plan_id, lease_s=LEASE_S, begins=False)
        if epoch is not None and epoch in (self.epoch, self.epoch + 1):
            self.epoch = epoch
        else:
            raise self._lost()

    def require(self, session: Session) -> None:
        """PlanBusy, and with it nothing of this transaction, when the plan is another worker's now or has ended.

        For the transaction that puts an order of the plan onto the record, which holds the account's lock.
        """
        if not holds_plan(session, self.plan_id, epoch=self.epoch):
            raise self._lost()

    def _lost(self) -> PlanBusy:
        return PlanBusy(f"plan {self.plan_id} was taken over by another worker, or has ended")

    def record(self, legs: Mapping[int, LegProgress]) -> None:
        """Write the legs that changed since the last record."""
        fates = {number: _fate(item) for number, item in legs.items()}
        changed = {number: fate for number, fate in sorted(fates.items()) if self.written.get(number) != fate}
        if not changed:
            return
        with self.runtime.ledger.write() as session:
            at = self.runtime.ledger.now(session)
            if not update_legs(session, self.plan_id, changed.values(), epoch=self.epoch, at=at):
                raise self._lost()
        self.written.update(changed)

    def finish(self, state: PlanState, result: str) -> None:
        """End the plan."""
        with self.runtime.ledger.write() as session:
            at = self.runtime.ledger.now(session)
            if not finish_plan(session, self.plan_id, epoch=self.epoch, state=state, result=result, at=at):
                raise self._lost()


def _claim(runtime: Runtime, plan_id: str, *, lease_s: int, begins: bool) -> int | None:
    try:
        with runtime.ledger.write() as session:
            now: datetime = runtime.ledger.now(session)
            until = now + timedelta(seconds=lease_s)
            return claim_plan(session, plan_id, worker=runtime.worker, now=now, lease_until=until, begins=begins)
    except AccountTaken as error:
        raise AnotherPlanRuns(str(error)) from error
    except AccountMoved as error:
        raise PlanStale(f"{error}; run again with a new key") from error


@contextmanager
def plan_lease(
    runtime: Runtime, plan_id: str, *, begins: bool = False, wait_s: float = LEASE_S + 5.0
) -> Iterator[PlanLease]:
    """Hold a plan that has not ended. Waits for a lease that a stopped worker left; PlanBusy when it goes on.

    `begins`: to execute it. A planned plan then needs an account that has not moved: AnotherPlanRuns, PlanStale.
    """
    deadline = runtime.clock.monotonic() + wait_s
    while True:
        epoch = _claim(runtime, plan_id, lease_s=LEASE_S, begins=begins)
        if epoch is not None:
            break
        state = get_plan(runtime.ledger, plan_id).state
        if state.is_terminal:
            raise PlanBusy(f"plan {plan_id} ended as {state.value} meanwhile")
        if runtime.clock.monotonic() >= deadline:
            raise PlanBusy(f"plan {plan_id} is held by another worker for more than {wait_s:.0f} s")
        runtime.clock.wait(1.0)
    try:
        yield PlanLease(runtime=runtime, plan_id=plan_id, epoch=epoch)
    finally:
        # A lease that cannot be given back ends by itself; a plan that has ended has none.
        with suppress(LedgerError, LookupError):
            _claim(runtime, plan_id, lease_s=0, begins=False)


ProgressCallback = Callable[["PlanProgress"], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProgress:
    """How far an execution is, for showing."""

    plan_id: str
    legs: int
    legs_over: int
    in_flight: int
    filled_notional: Decimal
    message: str


def progress_message(plan_id: str, plan: Plan, legs: Mapping[int, LegProgress], message: str) -> PlanProgress:
    with localcontext(MONEY):
        filled_notional = sum((legs[leg.number].value * leg.contract_size for leg in plan.legs), Decimal(0))
    return PlanProgress(
        plan_id=plan_id,
        legs=len(legs),
        legs_over=sum(item.state.is_over for item in legs.values()),
        in_flight=sum(item.state is LegState.RELEASED for item in legs.values()),
        filled_notional=filled_notional,
        message=message,
    )
