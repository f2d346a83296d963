"""Plans and their legs: stored once per business key, moved only by the worker whose epoch counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import CursorResult, Update, update
from sqlmodel import Session, col, select

from ledger.errors import LedgerError
from ledger.records import lock_account
from ledger.states import PlanState
from ledger.tables import OrderIntent, PlanLegRow, PlanRow


class AccountTaken(LedgerError):
    """Another plan of the account was begun and has not ended."""


class AccountMoved(LedgerError):
    """Since the plan was decided, an order of the account was wanted or another plan of it ended."""


def store_plan(session: Session, plan: PlanRow, legs: Sequence[PlanLegRow]) -> tuple[PlanRow, bool]:
    """Store a plan with its legs. A known business key returns the stored plan and False: the caller resumes that."""
    lock_account(session, plan.account_id)
    stored = plan_by_key(session, plan.business_key)
    if stored is not None:
        return stored, False
    for leg in legs:
        if leg.plan_id != plan.plan_id:
            raise ValueError(f"leg {leg.leg_number} must carry plan_id {plan.plan_id}, was {leg.plan_id}")
    session.add(plan)
    session.flush()
    session.add_all(legs)
    session.flush()
    return plan, True


def load_plan(session: Session, plan_id: str) -> PlanRow:
    """The plan by its id; LookupError when there is none."""
    row = session.get(PlanRow, plan_id)
    if row is None:
        raise LookupError(f"the ledger has no plan {plan_id}")
    return row


def plan_by_key(session: Session, business_key: str) -> PlanRow | None:
    return session.exec(select(PlanRow).where(PlanRow.business_key == business_key)).first()


def plans_of(session: Session, account_id: str, *, unfinished: bool = False) -> tuple[PlanRow, ...]:
    """Plans of an account, newest first."""
    query = select(PlanRow).where(PlanRow.account_id == account_id)
    if unfinished:
        open_states = [state.value for state in PlanState if not state.is_terminal]
        query = query.where(col(PlanRow.state).in_(open_states))
    return tuple(session.exec(query.order_by(col(PlanRow.created_at).desc(), PlanRow.plan_id)))


def last_traded_at(session: Session, *, account_id: str, portfolio: str) -> datetime | None:
    """When a plan of the portfolio last ended as completed, adjusted or not, for which an order was wanted."""
    ended = [PlanState.COMPLETED.value, PlanState.COMPLETED_ADJUSTED.value]
    query = (
        select(PlanRow.finished_at)
        .where(PlanRow.account_id == account_id, PlanRow.portfolio == portfolio, col(PlanRow.state).in_(ended))
        .where(select(OrderIntent.intent_id).where(OrderIntent.plan_id == PlanRow.plan_id).exists())
        .order_by(col(PlanRow.finished_at).desc())
    )
    return session.exec(query.limit(1)).first()


def legs_of(session: Session, plan_id: str) -> tuple[PlanLegRow, ...]:
    query = select(PlanLegRow).where(PlanLegRow.plan_id == plan_id)
    return tuple(session.exec(query.order_by(col(PlanLegRow.leg_number))))


def claim_plan(
    session: Session, plan_id: str, *, worker: str, now: datetime, lease_until: datetime, begins: bool = True
) -> int | None:
    """Take (or renew) the plan for `worker` and return its epoch; None at the end or while another's lease runs.

    A renewal keeps the epoch; taking over raises it, so that the former worker's moves no longer apply. `begins`: a
    planned plan becomes the one that its account executes (AccountTaken, AccountMoved); otherwise it stays planned.
    """
    plan = load_plan(session, plan_id)
    lock_account(session, plan.account_id)
    session.refresh(plan)
    if PlanState(plan.state).is_terminal:
        return None
    is_held = plan.lease_owner is not None and plan.lease_until is not None and plan.lease_until > now
    if is_held and plan.lease_owner != worker:
        return None
    if begins and plan.state == PlanState.PLANNED.value:
        _require_unmoved(session, plan)
    epoch = plan.epoch if is_held else plan.epoch + 1
    values = {
        "epoch": epoch,
        "lease_owner": worker,
        "lease_until": lease_until,
        "state": PlanState.EXECUTING.value if begins else plan.state,
    }
    return epoch if _move(session, plan_id, plan.epoch, update(PlanRow).values(values)) else None


def _require_unmoved(session: Session, plan: PlanRow) -> None:
    """Nothing of the account runs, and nothing has happened to it, since the plan was decided."""
    others = select(PlanRow.plan_id).where(PlanRow.account_id == plan.account_id, PlanRow.plan_id != plan.plan_id)
    running = session.exec(others.where(PlanRow.state == PlanState.EXECUTING.value)).first()
    if running is not None:
        raise AccountTaken(f"plan {running} of {plan.account_id} was begun and has not ended; resume or cancel it")
    ended = session.exec(others.where(col(PlanRow.finished_at) >= plan.created_at)).first()
    if ended is not None:
        raise AccountMoved(f"plan {ended} of {plan.account_id} ended after plan {plan.plan_id} was decided")
    wanted = session.exec(
        select(OrderIntent.intent_id).where(
            OrderIntent.account_id == plan.account_id, col(OrderIntent.created_at) >= plan.created_at
        )
    ).first()
    if wanted is not None:
        raise AccountMoved(f"order {wanted} of {plan.account_id} was wanted after plan {plan.plan_id} was decided")


def finish_plan(session: Session, plan_id: str, *, epoch: int, state: PlanState, result: str, at: datetime) -> bool:
    """End a plan in a terminal state; False when `epoch` no longer counts or the plan had ended."""
    if not state.is_terminal:
        raise ValueError(f"finish_plan needs a terminal state, was {state.value}")
    values = {
        "state": state.value,
        "result": result,
        "finished_at": at,
        "lease_owner": None,
        "lease_until": None,
    }
    return _move(session, plan_id, epoch, update(PlanRow).values(values))


def holds_plan(session: Session, plan_id: str, *, epoch: int) -> bool:
    """Whether `epoch` still counts and the plan has not ended. Who holds the account's lock knows it until the commit:
    nobody takes a plan over without that lock."""
    open_states = [state.value for state in PlanState if not state.is_terminal]
    query = select(PlanRow.plan_id).where(
        PlanRow.plan_id == plan_id, PlanRow.epoch == epoch, col(PlanRow.state).in_(open_states)
    )
    return session.exec(query).first() is not None


class LegFate(NamedTuple):
    """Where one leg of a plan stands."""

    leg_number: int
    state: str
    reason: str = ""
    detail: str = ""
    filled_quantity: Decimal = Decimal(0)


def update_legs(session: Session, plan_id: str, legs: Iterable[LegFate], *, epoch: int, at: datetime) -> bool:
    """Move legs, all in one statement; False when `epoch` no longer counts."""
    if not _move(session, plan_id, epoch, update(PlanRow).values(epoch=epoch)):
        return False
    moved = [{"plan_id": plan_id, "updated_at": at, **leg._asdict()} for leg in legs]
    known = set(session.exec(select(PlanLegRow.leg_number).where(PlanLegRow.plan_id == plan_id)))
    unknown = sorted({leg["leg_number"] for leg in moved} - known)
    if unknown:
        raise LookupError(f"plan {plan_id} has no leg {unknown[0]}")
    if moved:
        session.execute(update(PlanLegRow), moved)
    return True


def _move(session: Session, plan_id: str, epoch: int, statement: Update) -> bool:
    """Compare-and-set on the epoch of a plan that has not ended."""
    open_states = [state.value for state in PlanState if not state.is_terminal]
    session.flush()
    done = session.execute(
        statement.where(
            col(PlanRow.plan_id) == plan_id, col(PlanRow.epoch) == epoch, col(PlanRow.state).in_(open_states)
        ).execution_options(synchronize_session="fetch")
    )
    assert isinstance(done, CursorResult)
    return done.rowcount == 1
