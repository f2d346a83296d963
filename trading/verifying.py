"""Prove what a plan came to: read the venue again, compare with the fills, judge every line, end the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal, localcontext

from brokers.ids import InstrumentId
from brokers.rounding import MONEY
from brokers.types import ZERO, OrderSide, ProductKind
from ledger.records import fills_of_plan
from ledger.tables import FillRow
from trading.account_reading import read_account_view
from trading.plan_store import PlanUnfinished, StoredPlan, get_plan, plan_lease, read_progress
from trading.rebalancing.release import LegProgress
from trading.rebalancing.verdict import PlanResult, Reading, disagreements, expected_quantities, judge
from trading.rebalancing.view import AccountView
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

READS_MAX = 10
READ_WAIT_S = 1.0


@dataclass(frozen=True, slots=True)
class PaidFees:
    """Fees of a plan: in quote currency, out of spot holdings by instrument, and in currencies without a price."""

    quote: Decimal
    base: Mapping[InstrumentId, Decimal]
    other: Mapping[str, Decimal]


def verify_plan(runtime: Runtime, plan_id: str, *, step: Step = call_directly) -> PlanResult:
    """Judge an executed plan and end it. A plan that has ended gives its stored result.

    Venues show fills before positions or the other way round; so the account is read again, a bounded number of times,
    while its quantities are not what the fills add up to. PlanUnfinished while a leg has not ended.
    """
    stored = get_plan(runtime.ledger, plan_id)
    if stored.state.is_terminal:
        return _stored_result(stored)
    with plan_lease(runtime, plan_id) as lease:
        legs = read_progress(runtime, stored)
        open_legs = [str(number) for number, item in legs.items() if not item.state.is_over]
        if open_legs:
            raise PlanUnfinished(f"legs {', '.join(open_legs)} of plan {plan_id} have not ended; execute it again")
        reading = _settled_reading(runtime, stored, legs, step)
        result = judge(stored.plan, legs, reading)
        lease.renew()
        step(
            f"record the result of plan {plan_id[:8]}",
            StepKind.RECORD,
            lambda: lease.finish(result.state, result.to_json()),
        )
        return result


def _stored_result(stored: StoredPlan) -> PlanResult:
    if stored.result is None:
        raise PlanUnfinished(f"plan {stored.plan_id} ended as {stored.state.value} without a result: {stored.note}")
    return stored.result


def _settled_reading(runtime: Runtime, stored: StoredPlan, legs: Mapping[int, LegProgress], step: Step) -> Reading:
    """Read until fills and quantities agree, at most READS_MAX times."""
    plan = stored.plan
    for reads in range(1, READS_MAX + 1):
        view = read_account_view(runtime, plan.portfolio, step=step)
        with localcontext(MONEY):
            fees = _fees(runtime, stored, view)
            quantities = view.net_quantities()
            if not runtime.broker.capabilities.fills_carry_fees:
                fees = replace(fees, base=_taken_in_kind(runtime, stored, legs, view, quantities))
        if not disagreements(plan, legs, quantities, fees.base) or reads == READS_MAX:
            break
        runtime.clock.wait(READ_WAIT_S)
    return Reading(
        time=view.time,
        equity=view.equity,
        quantities=quantities,
        quotes=view.quotes,
        base_fees=fees.base,
        fees=fees.quote,
        other_fees=fees.other,
        reads=reads,
    )


def _fees(runtime: Runtime, stored: StoredPlan, view: AccountView) -> PaidFees:
    """Fees by the ledger's fills. A fee in the base currency of a spot line came out of the holding."""
    quote, base, other = ZERO, dict[InstrumentId, Decimal](), dict[str, Decimal]()
    for row in _fills(runtime, stored):
        key = InstrumentId(row.instrument_id)
        instrument = view.instruments.get(key)
        if row.fee_currency == stored.plan.portfolio.quote_currency:
            quote += row.fee
        elif instrument and instrument.product is ProductKind.SPOT and row.fee_currency == instrument.base_currency:
            base[key] = base.get(key, ZERO) + row.fee
            quote += row.fee * row.price
        else:
            other[row.fee_currency] = other.get(row.fee_currency, ZERO) + row.fee
    return PaidFees(quote, base, other)


def _taken_in_kind(
    runtime: Runtime,
    stored: StoredPlan,
    legs: Mapping[int, LegProgress],
    view: AccountView,
    quantities: Mapping[InstrumentId, Decimal],
) -> dict[InstrumentId, Decimal]:
    """Where no fill says what it cost: what is missing of a coin that was bought, where the venue's dearest fee of it,
    rounded up, explains that. The fee itself is posted later, as a cash event."""
    rate = Decimal(runtime.broker.capabilities.fee_rate_taker)
    most: dict[InstrumentId, Decimal] = {}
    for row in _fills(runtime, stored):
        instrument = view.instruments.get(InstrumentId(row.instrument_id))
        if instrument and instrument.product is ProductKind.SPOT and row.side == OrderSide.BUY.value:
            fee = row.quantity * rate + instrument.lot_size
            most[instrument.instrument_id] = most.get(instrument.instrument_id, ZERO) + fee
    expected = expected_quantities(stored.plan, legs, {})
    missing = {key: expected.get(key, ZERO) - quantities.get(key, ZERO) for key in most}
    return {key: amount for key, amount in missing.items() if ZERO < amount <= most[key]}


def _fills(runtime: Runtime, stored: StoredPlan) -> list[FillRow]:
    with runtime.ledger.read() as session:
        return [row for rows in fills_of_plan(session, stored.plan_id).values() for row in rows]
