"""Which correcting entry a break calls for. Pure.

Invariants (tested in tests/trading/reconciliation/test_correcting.py):
1. With the whole entry in the books, the same comparison does not find the break again.
2. A fact is corrected whole or not at all; a sum may be corrected in part. News, which are imported after the run that
   saw the break, are no part of its entry.
3. What would need two entries, or none that the books count, is not corrected here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.rounding import MONEY
from brokers.strictjson import encode
from brokers.types import ZERO
from trading.reconciliation.kinds import BreakKind

_SUMS_OF_POSITION = frozenset({BreakKind.POSITION_DIFFERS, BreakKind.POSITION_VANISHED, BreakKind.POSITION_UNKNOWN})
_SUMS_OF_MONEY = frozenset(
    {
        BreakKind.BALANCE_UNEXPLAINED,
        BreakKind.BALANCE_DIFFERS,
        BreakKind.BALANCE_VANISHED,
        BreakKind.BALANCE_UNKNOWN,
    }
)
SUMS = _SUMS_OF_POSITION | _SUMS_OF_MONEY
_GONE = frozenset({BreakKind.FILL_MISSING_AT_VENUE, BreakKind.CASH_EVENT_MISSING_AT_VENUE})
_OTHER_CONTENT = frozenset({BreakKind.FILL_DIFFERS, BreakKind.FEE_DIFFERS, BreakKind.CASH_EVENT_DIFFERS})
_MOVED = ("instrument_id", "currency", "time", "venue_order_id")  # what no amount in one place puts right
CORRECTABLE = SUMS | _GONE | _OTHER_CONTENT


class NotCorrectable(ValueError):
    """No single entry puts this break right; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A stored break, as far as its correction needs it."""

    kind: BreakKind
    instrument_id: str | None
    currency: str | None
    ledger_amount: Decimal | None
    venue_amount: Decimal | None
    evidence: Mapping[str, str]
    last_seen_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the books are to count, where, and from when on; `content` as ledger.adjustments.Correction has it."""

    instrument_id: str | None
    currency: str | None
    amount: Decimal
    content: str
    counts_from: datetime


def entry_for(found: Found, amount: Decimal | None = None) -> Entry:
    """The entry; `amount` where a person knows better than the whole difference. NotCorrectable."""
    if found.kind not in CORRECTABLE:
        raise NotCorrectable(f"{found.kind} is put right by its cause, not by an entry in the books")
    is_sum = found.kind in SUMS
    if amount is not None and not is_sum:
        raise NotCorrectable(f"{found.kind} is about one fact, which is corrected whole: give no amount")
    if amount == 0:
        raise NotCorrectable("an entry of 0 corrects nothing")
    if is_sum:
        return _of_sum(found, amount)
    return _of_fact(found)


def _of_sum(found: Found, amount: Decimal | None) -> Entry:
    of_position = found.kind in _SUMS_OF_POSITION
    return Entry(
        instrument_id=found.instrument_id if of_position else None,
        currency=None if of_position else found.currency,
        amount=_unexplained(found) if amount is None else amount,
        content="",
        counts_from=_time(found, "venue_read_at"),
    )


def _of_fact(found: Found) -> Entry:
    fields = sorted(name.removeprefix("ledger_") for name in found.evidence if name.startswith("ledger_"))
    moved = [name for name in _MOVED if name in fields]
    if moved:
        raise NotCorrectable(f"the sides differ in {', '.join(moved)}: one entry cannot put that right")
    content = {name: found.evidence[f"venue_{name}"] for name in fields}
    is_money = found.kind in (BreakKind.CASH_EVENT_MISSING_AT_VENUE, BreakKind.CASH_EVENT_DIFFERS)
    is_fee = found.kind is BreakKind.FEE_DIFFERS  # balances count wallet changes, not the fee that a fill names
    return Entry(
        instrument_id=None if is_money or is_fee else found.instrument_id,
        currency=found.currency if is_money else None,
        amount=_difference(found),
        content="" if found.kind in _GONE else encode(content),
        counts_from=_time(found, "time"),
    )


def _unexplained(found: Found) -> Decimal:
    """What the venue shows beyond the books and the news."""
    others = [name for name in ("missing", "extra", "different") if f"{name}_facts_sum" in found.evidence]
    if others:
        raise NotCorrectable(
            f"facts that are {', '.join(others)} on one side move the sum too: put those right first and reconcile "
            "again, or state the amount"
        )
    amount = MONEY.subtract(_difference(found), Decimal(found.evidence.get("news_facts_sum", "0")))
    if amount == 0:
        raise NotCorrectable("what differs is news: the next run has imported it")
    return amount


def _difference(found: Found) -> Decimal:
    return MONEY.subtract(found.venue_amount or ZERO, found.ledger_amount or ZERO)


def _time(found: Found, name: str) -> datetime:
    text = found.evidence.get(name)
    return datetime.fromisoformat(text) if text else found.last_seen_at
