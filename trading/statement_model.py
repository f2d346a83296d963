"""The daily statement as values: what each currency opened and closed with, and what each instrument earned. Pure.

Invariants (tests/trading/test_statement.py)
1. Opening balance plus terms is the closing balance; opening equity plus terms plus the change of unrealised profit is
   the closing equity. Both exactly, and a day's closing is the next day's opening.
2. What is not known is None and named in the notes: nothing is valued by guess, nothing counted as zero.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from brokers.ids import AccountId, InstrumentId
from trading.reconciliation.equation import TermSum
from trading.reconciliation.exact import EXACT, exact_sum


@dataclass(frozen=True, slots=True)
class Mark:
    """A price and where it is from: the venue's own mark, or the last fill where the venue showed none."""

    price: Decimal
    time: datetime
    is_fill: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentLine:
    """One instrument's day, in its settlement currency unless said otherwise.

    `realised` is by average cost, before fees. `booked` is what the venue itself posted for its trades, before fees;
    None where it posts none. `fees` are by currency, positive when paid. The unrealised figures are None without a
    mark or a known cost; `in_equity` says whether they count in the currency's equity (a spot holding is a balance).
    `worth_opening` and `worth_closing` are what counts there of what is paid for in full: its value, not its profit.
    """

    instrument_id: InstrumentId
    currency: str
    opening_quantity: Decimal
    bought: Decimal
    sold: Decimal
    closing_quantity: Decimal
    fills: int
    average_price: Decimal | None
    mark: Mark | None
    realised: Decimal | None
    booked: Decimal | None
    funding: Decimal
    fees: tuple[tuple[str, Decimal], ...]
    unrealised_opening: Decimal | None
    unrealised_closing: Decimal | None
    in_equity: bool
    is_paid_in_full: bool = False
    worth_opening: Decimal | None = None
    worth_closing: Decimal | None = None

    def counted(self, *, closing: bool) -> Decimal | None:
        """What counts in the currency's equity; None where it is not known."""
        if self.is_paid_in_full:
            return self.worth_closing if closing else self.worth_opening
        return self.unrealised_closing if closing else self.unrealised_opening

    @property
    def unbooked(self) -> Decimal | None:
        """What the venue booked beyond our own figure: its roundings, and hedge legs that we add up."""
        if self.booked is None or self.realised is None:
            return None
        return EXACT.subtract(self.booked, self.realised)


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrencyLine:
    """One currency's day. The unrealised figures are of instruments that settle in it (of shares, their value); None
    where one is not known. Without a feed all of it is as the venue showed it at each end."""

    currency: str
    opening: Decimal
    terms: tuple[TermSum, ...]
    closing: Decimal
    unrealised_opening: Decimal | None
    unrealised_closing: Decimal | None
    is_explained: bool  # False: the venue has no feed, and nothing tells what moved the balance

    @property
    def changes(self) -> Decimal:
        return exact_sum(item.amount for item in self.terms)

    @property
    def equity_opening(self) -> Decimal | None:
        return _plus(self.opening, self.unrealised_opening)

    @property
    def equity_closing(self) -> Decimal | None:
        return _plus(self.closing, self.unrealised_closing)

    @property
    def adds_up(self) -> bool:
        """Whether opening and terms are the closing, and the same with unrealised profit; False without a feed."""
        if not self.is_explained or EXACT.add(self.opening, self.changes) != self.closing:
            return False
        opening, closing = self.equity_opening, self.equity_closing
        if opening is None or closing is None:
            return True
        assert self.unrealised_opening is not None and self.unrealised_closing is not None
        moved = EXACT.subtract(self.unrealised_closing, self.unrealised_opening)
        return exact_sum((opening, self.changes, moved)) == closing


@dataclass(frozen=True, slots=True)
class DayBreaks:
    """Breaks as the statement's end found them, and what became of them since.

    `opened` counts those that were open at the end, accepted ones too; `accepted` are these, in words with the amounts.
    `since` tells in words what is otherwise when the statement is made: cleared, accepted, ended, found since. `left`
    counts those that are open then and that nobody accepts: while there are any, the figures are not agreed.
    """

    opened: int
    accepted: tuple[str, ...]
    since: tuple[str, ...]
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One account's UTC day. `is_final`: the ledger has read every feed to its end and the day is over.

    `last_run` and what `breaks` says of later are as of when it was made; all else is as of `closes_at`.
    """

    account_id: AccountId
    day: date
    opens_at: datetime
    closes_at: datetime
    is_final: bool
    currencies: tuple[CurrencyLine, ...]
    instruments: tuple[InstrumentLine, ...]
    fills: int
    runs: tuple[tuple[str, int], ...]  # reconciliations of the day by outcome
    last_run: tuple[int, str, datetime] | None  # number, outcome and end of the newest full one
    breaks: DayBreaks
    notes: tuple[str, ...] = ()
    sha256: str = ""

    @property
    def adds_up(self) -> bool:
        return all(item.adds_up for item in self.currencies if item.is_explained)


def unrealised_of(lines: Iterable[InstrumentLine], currency: str, *, closing: bool) -> Decimal | None:
    """The sum of what counts in a currency's equity; None where one part is not known."""
    parts = [line.counted(closing=closing) for line in lines if line.currency == currency and line.in_equity]
    known = [part for part in parts if part is not None]
    return exact_sum(known) if len(known) == len(parts) else None


def _plus(balance: Decimal, unrealised: Decimal | None) -> Decimal | None:
    return None if unrealised is None else EXACT.add(balance, unrealised)
