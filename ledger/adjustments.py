"""Correcting entries: what the books count beside the evidence, each with a person's reason; never an edit.

An entry adds an amount to an instrument's position or to a currency's balance. One about a fact (a fill, a wallet
change) also says which of the two sides' contents is right, so that the same difference is no break again. An entry is
taken back by another one with the opposite amount; both stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger.break_tables import Adjustment


@dataclass(frozen=True, slots=True)
class Correction:
    """What an entry that stands says of one fact. Empty `content`: the venue does not have it, and the books do not
    count it; else the venue's content that the books follow."""

    adjustment_id: int
    amount: Decimal
    content: str


def adjustments_of(session: Session, account_id: AccountId | str) -> tuple[Adjustment, ...]:
    """Every entry of an account, oldest first, those that were taken back and what took them back too."""
    query = select(Adjustment).where(Adjustment.account_id == str(account_id))
    return tuple(session.exec(query.order_by(col(Adjustment.adjustment_id))))


def counted_adjustments(
    session: Session, account_id: AccountId | str, *, after: datetime, until: datetime | None
) -> Iterator[Adjustment]:
    """Entries that count in sums over this time."""
    for row in adjustments_of(session, account_id):
        if row.counts_from > after and (until is None or row.counts_from <= until):
            yield row


def standing_corrections(session: Session, account_id: AccountId | str) -> Mapping[str, Correction]:
    """The newest entry about each fact that was not taken back, by subject."""
    rows = adjustments_of(session, account_id)
    reversed_ids = {row.reverses for row in rows if row.reverses is not None}
    found: dict[str, Correction] = {}
    for row in rows:
        if row.reverses is None and row.adjustment_id not in reversed_ids and _is_of_fact(row.subject):
            assert row.adjustment_id is not None
            found[row.subject] = Correction(row.adjustment_id, row.amount, row.content)
    return found


def is_corrected(session: Session, account_id: AccountId | str, subject: str) -> bool:
    """Whether an entry about this fact stands."""
    return subject in standing_corrections(session, account_id)


def _is_of_fact(subject: str) -> bool:
    return subject.startswith(("trade ", "cash event "))
