"""What trading has cost against the prices of the decision: implementation shortfall, leg by leg. Pure.

For each leg, in the quote currency and positive where it cost:

- slippage: what was filled, at its average price against the plan's mid;
- fees: as the venue charged them;
- opportunity: what was not filled, at the mid of the end against the plan's mid; unknown where there is no quote.

The shortfall is their sum, and in basis points it is of what was decided: the notional of all legs at the plan's mids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

from brokers.ids import InstrumentId
from brokers.rounding import MONEY
from brokers.types import ZERO, OrderSide, Quote
from trading.rebalancing.model import Plan, PlanLeg
from trading.rebalancing.portfolio import Exact, InstrumentKey
from trading.rebalancing.release import LegProgress, LegState

_STORED = Decimal("1e-18")
BPS = Decimal(10_000)


@dataclass(frozen=True, slots=True)
class LegFees:
    """Fees of one leg: in quote currency, and what was paid in currencies without a price here."""

    quote: Decimal = ZERO
    other: Mapping[str, Decimal] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLeg:
    """One leg's fate and cost. `decision_price` is the plan's mid; amounts are in quote currency, `_base` in base."""

    account_name: str
    number: int
    instrument_id: InstrumentKey
    side: OrderSide
    is_reduction: bool
    quantity: Exact
    filled_quantity: Exact
    state: LegState
    reason: str
    detail: str
    orders: int
    decision_price: Exact
    average_price: Exact | None
    decided_notional: Exact
    filled_notional: Exact
    slippage: Exact
    fees: Exact
    opportunity: Exact | None
    shortfall: Exact
    shortfall_base: Exact
    shortfall_bps: Exact

    @property
    def is_whole(self) -> bool:
        return self.filled_quantity >= self.quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """The sums of a run in base currency. `unpriced` counts legs whose missed part has no price at the end."""

    decided_notional: Exact
    filled_notional: Exact
    slippage: Exact
    fees: Exact
    opportunity: Exact
    total: Exact
    bps: Exact
    unpriced: int
    other_fees: dict[str, Exact]


def run_legs(
    account_name: str,
    plan: Plan,
    progress: Mapping[int, LegProgress],
    *,
    base_rate: Decimal,
    fees: Mapping[int, LegFees],
    quotes: Mapping[InstrumentId, Quote],
) -> tuple[RunLeg, ...]:
    """The legs of one account. `quotes` are of the end of the run."""
    with localcontext(MONEY):
        return tuple(
            _run_leg(
                account_name,
                leg,
                progress[leg.number],
                base_rate=base_rate,
                fees=fees.get(leg.number, LegFees()).quote,
                now=quotes.get(leg.instrument_id),
            )
            for leg in plan.legs
        )


def _run_leg(
    account_name: str, leg: PlanLeg, item: LegProgress, *, base_rate: Decimal, fees: Decimal, now: Quote | None
) -> RunLeg:
    price, unfilled = item.average_price, leg.quantity - item.filled_quantity
    paid = ZERO if price is None else leg.side.sign * (price - leg.mid) * item.filled_quantity * leg.contract_size
    missed: Decimal | None = ZERO
    if unfilled > 0:
        missed = None if now is None else leg.side.sign * (now.mid - leg.mid) * unfilled * leg.contract_size
    decided = leg.quantity * leg.mid * leg.contract_size
    total = paid + fees + (missed or ZERO)
    return RunLeg(
        account_name=account_name,
        number=leg.number,
        instrument_id=leg.instrument_id,
        side=leg.side,
        is_reduction=leg.is_reduction,
        quantity=leg.quantity,
        filled_quantity=item.filled_quantity,
        state=item.state,
        reason=item.reason,
        detail=item.detail,
        orders=item.rounds,
        decision_price=leg.mid,
        average_price=None if price is None else stored(price),
        decided_notional=stored(decided),
        filled_notional=stored(item.value * leg.contract_size),
        slippage=stored(paid),
        fees=stored(fees),
        opportunity=None if missed is None else stored(missed),
        shortfall=stored(total),
        shortfall_base=stored(total * base_rate),
        shortfall_bps=_bps(total, decided),
    )


def total_shortfall(
    legs: Iterable[RunLeg], base_rates: Mapping[str, Decimal], other_fees: Mapping[str, Decimal]
) -> Shortfall:
    """The sums over all accounts; `base_rates` by account."""
    found = list(legs)
    with localcontext(MONEY):

        def total(values: Iterable[tuple[RunLeg, Decimal | None]]) -> Decimal:
            return stored(sum(((value or ZERO) * base_rates[leg.account_name] for leg, value in values), ZERO))

        decided = total((leg, leg.decided_notional) for leg in found)
        cost = total((leg, leg.shortfall) for leg in found)
        return Shortfall(
            decided_notional=decided,
            filled_notional=total((leg, leg.filled_notional) for leg in found),
            slippage=total((leg, leg.slippage) for leg in found),
            fees=total((leg, leg.fees) for leg in found),
            opportunity=total((leg, leg.opportunity) for leg in found),
            total=cost,
            bps=_bps(cost, decided),
            unpriced=sum(leg.opportunity is None for leg in found),
            other_fees=dict(sorted(other_fees.items())),
        )


def _bps(cost: Decimal, decided: Decimal) -> Decimal:
    if decided <= 0:
        return ZERO
    return (cost / decided * BPS).quantize(Decimal("1e-6"), rounding=ROUND_HALF_EVEN, context=MONEY)


def stored(value: Decimal) -> Decimal:
    """As the ledger holds it."""
    return value.quantize(_STORED, rounding=ROUND_HALF_EVEN, context=MONEY)
