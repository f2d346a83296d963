"""Fees that have left an account and that its venue has not told of yet. Pure.

Where fills carry no fees (`Capabilities.fills_carry_fees`), what a trade of a pair cost is taken at once, told later.
Until then a balance is short by it: at most by the venue's dearest fee of what was traded lately, less what was posted.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.types import ZERO, CashEvent, CashEventKind, Fill
from ledger.snapshots import holds_position
from trading.reconciliation.exact import EXACT

POSTED_WITHIN = timedelta(hours=36)
_STEP = Decimal("0.000000001")  # a fee is rounded up to it


def unposted_fees(
    fills: Iterable[Fill], events: Iterable[CashEvent], *, rate: Decimal, now: datetime
) -> dict[str, Decimal]:
    """By currency, how much may have left that no cash event tells of."""
    since, found = now - POSTED_WITHIN, dict[str, Decimal]()
    for fill in fills:
        if fill.time <= since or holds_position(str(fill.instrument_id)):
            continue
        is_base = str(fill.instrument_id).partition("/")[0] == fill.fee_currency
        received = fill.quantity if is_base else EXACT.multiply(fill.quantity, fill.price)
        cost = EXACT.add(EXACT.multiply(received, rate), _STEP)
        found[fill.fee_currency] = EXACT.add(found.get(fill.fee_currency, ZERO), cost)
    for event in events:
        if event.kind is CashEventKind.FEE and event.time > since and event.currency in found:
            found[event.currency] = EXACT.add(found[event.currency], event.amount)
    return {currency: amount for currency, amount in found.items() if amount > 0}
