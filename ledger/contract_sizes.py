"""What a unit of an instrument is in its base currency, by venue, for whoever values another account's positions.

A process knows the instruments of its own venue alone, and the same name has another size elsewhere: a contract of
`BTC/USDT:USDT` is a coin at one venue and a hundredth of it at another.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from sqlalchemy import bindparam
from sqlmodel import Session, col, select

from brokers.ids import InstrumentId, Venue
from brokers.rounding import decimal_text
from ledger.reading import read_columns
from ledger.tables import LedgerMeta

_OF_VENUE = select(LedgerMeta.key, LedgerMeta.value).where(col(LedgerMeta.key).like(bindparam("pattern")))


def keep_contract_sizes(session: Session, venue: Venue, sizes: Mapping[InstrumentId, Decimal]) -> None:
    """Note the sizes of what was just read; one that is known already costs no write."""
    known = contract_sizes(session, venue) if sizes else {}
    for instrument_id, size in sizes.items():
        if known.get(str(instrument_id)) != size:
            session.merge(LedgerMeta(key=f"{_prefix(venue)}{instrument_id}", value=decimal_text(size)))


def contract_sizes(session: Session, venue: Venue | str) -> dict[str, Decimal]:
    """By instrument: those that an account of the venue held when it was last read."""
    prefix = _prefix(venue)
    found = read_columns(session, _OF_VENUE, pattern=f"{prefix}%")
    return {key.removeprefix(prefix): Decimal(value) for key, value in found}


def _prefix(venue: Venue | str) -> str:
    return f"contract_size:{venue}:"
