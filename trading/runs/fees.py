"""What the fills of a plan were charged, leg by leg, by the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from brokers.rounding import MONEY
from brokers.types import ZERO
from ledger.records import fills_of_plan
from ledger.tables import FillRow
from trading.plan_store import StoredPlan
from trading.runs.shortfall import LegFees
from trading.runtime import Runtime


@dataclass(frozen=True, slots=True)
class PlanFees:
    """By leg in quote currency, and in all in currencies without a price."""

    by_leg: Mapping[int, LegFees]
    other: Mapping[str, Decimal]


def fees_of_legs(runtime: Runtime, stored: StoredPlan) -> PlanFees:
    """A fee in the instrument's own base currency is worth the fill's price; others have no price here."""
    quote: dict[int, Decimal] = {}
    other: dict[str, Decimal] = {}
    views = runtime.desk.views(plan_id=stored.plan_id)
    with runtime.ledger.read() as session, localcontext(MONEY):
        fills = fills_of_plan(session, stored.plan_id)
        for view in views:
            if view.leg_number is None:
                continue
            for row in fills.get(str(view.intent_id), ()):
                value = _in_quote(row, stored.plan.portfolio.quote_currency)
                if value is None:
                    other[row.fee_currency] = other.get(row.fee_currency, ZERO) + row.fee
                else:
                    quote[view.leg_number] = quote.get(view.leg_number, ZERO) + value
    return PlanFees({number: LegFees(quote=value) for number, value in quote.items()}, other)


def _in_quote(row: FillRow, quote_currency: str) -> Decimal | None:
    if row.fee_currency == quote_currency:
        return row.fee
    is_base = row.instrument_id.split("/")[0] == row.fee_currency
    return MONEY.multiply(row.fee, row.price) if is_base else None
