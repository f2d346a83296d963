"""Fees that may have left an account and that its venue has not told of yet. Pure.

Where fills carry no fees (`Capabilities.fills_carry_fees`), what a trade of a pair cost is taken at once or when it is
told, which is later. Until then a balance may be short by it: at most by the venue's dearest fee of what was traded
lately, less what was posted. It may never be more, so that this bounds one side alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType

from brokers.types import ZERO, CashEvent, CashEventKind, Fill
from ledger.snapshots import holds_position
from trading.reconciliation.exact import EXACT

POSTED_WITHIN = timedelta(hours=36)
_STEP = Decimal("0.000000001")  # a fee is rounded up to it, where its currency has no other step
_NO_STEPS: Mapping[str, Decimal] = MappingProxyType({})


def unposted_fees(
    fills: Iterable[Fill],
    events: Iterable[CashEvent],
    *,
    rate: Decimal,
    now: datetime,
    steps: Mapping[str, Decimal] = _NO_STEPS,
) -> dict[str, Decimal]:
    """By currency, how much may have left that no cash event tells of.

    In the order of time, so that a fee is one of the fills before it: what a fill of an earlier day cost is posted
    within the same hours as a later fill is made, and must not be taken for that one's.
    """
    since = now - POSTED_WITHIN
    spot = (fill for fill in fills if fill.time > since and not holds_position(str(fill.instrument_id)))
    changes = [(fill.time, fill.fee_currency, _cost(fill, rate, steps)) for fill in spot]
    changes += [(event.time, event.currency, event.amount) for event in events if _is_fee(event, since)]
    found: dict[str, Decimal] = {}
    for _, currency, amount in sorted(changes):
        found[currency] = max(EXACT.add(found.get(currency, ZERO), amount), ZERO)
    return {currency: amount for currency, amount in found.items() if amount > 0}


def _cost(fill: Fill, rate: Decimal, steps: Mapping[str, Decimal]) -> Decimal:
    """The dearest fee of a fill: a part of what it paid in, rounded up."""
    is_base = str(fill.instrument_id).partition("/")[0] == fill.fee_currency
    received = fill.quantity if is_base else EXACT.multiply(fill.quantity, fill.price)
    return EXACT.add(EXACT.multiply(received, rate), steps.get(fill.fee_currency, _STEP))


def _is_fee(event: CashEvent, since: datetime) -> bool:
    """Whether it is the fee of a pair; those of shares, in dollars too, name none."""
    is_of_pair = event.instrument_id is not None and not holds_position(str(event.instrument_id))
    return event.kind is CashEventKind.FEE and is_of_pair and event.time > since
