"""The balance equation of one currency, from the venue's own feed of wallet changes. Pure.

    opening + trades + fees + funding + interest + transfers + … = what the venue says it holds

Invariants (property-tested in tests/trading/reconciliation/test_equation.py)
1. The terms of a currency and its opening add up to what is expected, exactly; no event is in two terms or in none.
2. A row missing inside the feed breaks the chain of running balances there, whatever the order within one instant.
3. The tolerance is the number of roundings times their size: 0 where the venue is exact, and never a constant. Fees
   that may have left already and are told of later (`unposted`) let the venue show less, and never more.
4. A kind that we do not know is a term of its own, and the equation with it is never called complete.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType

from brokers.types import ZERO, CashEventKind
from trading.reconciliation.exact import EXACT, exact_sum
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import Break, Findings, text_of


class Term(StrEnum):
    """What an account's money came from or went to; the order is that of the equation."""

    TRADES = "trades"  # what fills of positions paid in or out, before their fees
    CONVERSIONS = "conversions"  # spot fills, before fees: one balance for another
    FEES = "fees"
    FUNDING = "funding"
    INTEREST = "interest"
    DIVIDENDS = "dividends"
    SETTLEMENTS = "settlements"
    TRANSFERS = "transfers"
    DEPOSITS = "deposits"
    WITHDRAWALS = "withdrawals"
    ADJUSTMENTS = "adjustments"  # what the ledger counts beyond the feed: corrections that a person decided
    UNKNOWN = "unknown"  # kinds that the venue sent and we do not know


TERM_OF: Mapping[CashEventKind, Term] = {
    CashEventKind.TRADE: Term.TRADES,
    CashEventKind.FEE: Term.FEES,
    CashEventKind.FUNDING: Term.FUNDING,
    CashEventKind.INTEREST: Term.INTEREST,
    CashEventKind.DIVIDEND: Term.DIVIDENDS,
    CashEventKind.SETTLEMENT: Term.SETTLEMENTS,
    CashEventKind.TRANSFER: Term.TRANSFERS,
    CashEventKind.DEPOSIT: Term.DEPOSITS,
    CashEventKind.WITHDRAWAL: Term.WITHDRAWALS,
    CashEventKind.UNMAPPED: Term.UNKNOWN,
}
TERMS = tuple(Term)


class EquationState(StrEnum):
    HOLDS = "holds"
    FEES_DUE = "fees_due"  # the venue shows less, by no more than fees that it tells of later
    EXPLAINED = "explained"  # the sides differ, and breaks of this run say by which facts
    ACCEPTED = "accepted"  # the sides differ by what a person accepted, and by no more than its bound
    DIFFERS = "differs"
    PENDING = "pending"  # too young to judge
    INCOMPLETE = "incomplete"  # a kind that nobody knows, or a row of the feed is missing
    NOT_COMPARED = "not_compared"  # the venue has no feed of wallet changes


@dataclass(frozen=True, slots=True)
class TermSum:
    """One term: the sum of its wallet changes and how many they were."""

    term: Term
    amount: Decimal
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Equation:
    """One currency from its opening to the reading. `roundings` are those that the tolerance was computed from;
    `unposted` is what may have left already in fees that the venue tells of later, `accepted` the difference that a
    person lives with."""

    currency: str
    opening: Decimal
    opened_at: datetime
    terms: tuple[TermSum, ...]
    venue: Decimal
    read_at: datetime
    roundings: int = 0
    tolerance: Decimal = ZERO
    unposted: Decimal = ZERO
    accepted: Decimal = ZERO
    state: EquationState = EquationState.HOLDS

    @property
    def changes(self) -> Decimal:
        """The sum of the terms."""
        return exact_sum(item.amount for item in self.terms)

    @property
    def expected(self) -> Decimal:
        return EXACT.add(self.opening, self.changes)

    @property
    def difference(self) -> Decimal:
        """The venue's figure less what is expected."""
        return EXACT.subtract(self.venue, self.expected)


def accept(equation: Equation, amount: Decimal | None) -> Equation:
    """The equation, where its difference is one that a person accepted; any other stays as it was judged."""
    if amount is None or equation.state is not EquationState.DIFFERS:
        return equation
    return replace(equation, state=EquationState.ACCEPTED, accepted=amount)


NOTHING: Mapping[str, Decimal] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a venue rounds what it tells: the step of each wallet change and of each balance; 0 where it is exact.

    Whether it rounds or cuts off is not proved anywhere, so that each one may be wrong by a whole step. `currencies`:
    those that it rounds; empty: every one.
    """

    event: Decimal = ZERO
    balance: Decimal = ZERO
    currencies: frozenset[str] = frozenset()

    def tolerance(self, events: int, *, currency: str = "") -> tuple[Decimal, int]:
        """How far a sum of so many wallet changes may be off, and from how many roundings; without any, not at all."""
        if not events or (self.currencies and currency not in self.currencies):
            return ZERO, 0
        roundings = (events if self.event else 0) + (2 if self.balance else 0)
        return EXACT.add(
            EXACT.multiply(self.event, Decimal(events)), EXACT.multiply(self.balance, Decimal(2))
        ), roundings


@dataclass(frozen=True, slots=True)
class Gap:
    """Where the feed's running balance does not go on: something is missing before `event_id`."""

    currency: str
    event_id: str
    time: datetime
    expected: Decimal  # the running balance after the row before
    found: Decimal  # what the row started from
    after_event_id: str

    @property
    def amount(self) -> Decimal:
        """What the missing rows add up to."""
        return EXACT.subtract(self.found, self.expected)

    @property
    def subject(self) -> str:
        return f"feed {self.currency} before {self.event_id}"


@dataclass(slots=True)
class _Link:
    """The rows of one instant of one currency; their order is not known from the ledger."""

    time: datetime
    first_id: str
    last_id: str
    before: list[Decimal] = field(default_factory=list)
    after: list[Decimal] = field(default_factory=list)


@dataclass(slots=True)
class Chain:
    """Follows the running balances of a feed, oldest first; rows of one instant may come in any order."""

    gaps: list[Gap] = field(default_factory=list)
    rows: int = 0
    _open: dict[str, _Link] = field(default_factory=dict)
    _reached: dict[str, tuple[Decimal, str]] = field(default_factory=dict)

    def add(self, currency: str, event_id: str, time: datetime, amount: Decimal, balance_after: Decimal | None) -> None:
        """Take the next row; one without a running balance proves nothing and ends what it could have been tied to."""
        if balance_after is None:
            self.close(currency)
            self._reached.pop(currency, None)
            return
        self.rows += 1
        link = self._open.get(currency)
        if link is not None and link.time != time:
            self.close(currency)
            link = None
        if link is None:
            link = self._open[currency] = _Link(time, event_id, event_id)
        link.before.append(EXACT.subtract(balance_after, amount))
        link.after.append(balance_after)
        link.last_id = event_id

    def close(self, currency: str | None = None) -> None:
        """Tie the open instant to what came before it; all of them without a currency."""
        for name in [currency] if currency is not None else list(self._open):
            link = self._open.pop(name, None)
            if link is not None:
                self._tie(name, link)

    def _tie(self, currency: str, link: _Link) -> None:
        if len(link.before) == 1:  # nearly always
            starts, ends = link.before, link.after
        else:
            before, after = Counter(link.before), Counter(link.after)
            starts, ends = list((before - after).elements()), list((after - before).elements())
        last = ends[-1] if ends else link.after[-1]
        reached = self._reached.get(currency)
        if reached is None and starts:  # nothing to tie it to, but it must be one piece in itself
            reached = (starts[0], "")
        if reached is not None and not starts and reached[0] in link.before:
            last = reached[0]  # round in a circle
        elif reached is not None and starts != [reached[0]]:
            found = exact_sum((*starts, *(-amount for amount in ends[:-1]))) if starts else link.before[0]
            self.gaps.append(Gap(currency, link.first_id, link.time, reached[0], found, reached[1]))
        self._reached[currency] = (last, link.last_id)


@dataclass(slots=True)
class Flow:
    """The wallet changes of one currency by term, gathered in one pass. `fees` are those of fills, positive when paid,
    by the term of the fill: a venue that posts a trade net of its fee tells the fee on the fill alone."""

    opening: Decimal
    sums: dict[Term, Decimal] = field(default_factory=dict)
    counts: Counter[Term] = field(default_factory=Counter)
    fees: dict[Term, tuple[Decimal, int]] = field(default_factory=dict)
    unknown_kinds: set[str] = field(default_factory=set)

    def add(self, kind: CashEventKind, amount: Decimal, venue_kind: str = "", *, is_spot: bool = False) -> None:
        term = Term.CONVERSIONS if is_spot and kind is CashEventKind.TRADE else TERM_OF[kind]
        self.sums[term] = EXACT.add(self.sums.get(term, ZERO), amount)
        self.counts[term] += 1
        if term is Term.UNKNOWN:
            self.unknown_kinds.add(venue_kind)

    def add_fee(self, amount: Decimal, *, is_spot: bool) -> None:
        if amount:
            term = Term.CONVERSIONS if is_spot else Term.TRADES
            paid, count = self.fees.get(term, (ZERO, 0))
            self.fees[term] = (EXACT.add(paid, amount), count + 1)

    @property
    def events(self) -> int:
        return self.counts.total()

    def with_late(self, late: Flow) -> Flow:
        """Both together."""
        both = Flow(self.opening, dict(self.sums), self.counts + late.counts, dict(self.fees))
        for term, amount in late.sums.items():
            both.sums[term] = EXACT.add(both.sums.get(term, ZERO), amount)
        both.unknown_kinds = self.unknown_kinds | late.unknown_kinds
        return both

    def total(self) -> Decimal:
        """Opening plus every wallet change."""
        return exact_sum((self.opening, *self.sums.values()))

    def terms(self, *, adjustments: Decimal = ZERO) -> tuple[TermSum, ...]:
        """The terms that are not empty. A venue that posts a trade net of its fee shows both: their sum is its row."""
        amounts, counts = dict(self.sums), Counter(self.counts)
        for term, (paid, fills) in self.fees.items():
            if term in self.sums:
                amounts[term] = EXACT.add(amounts[term], paid)
                amounts[Term.FEES] = EXACT.subtract(amounts.get(Term.FEES, ZERO), paid)
                counts[Term.FEES] += fills
        if adjustments:
            amounts[Term.ADJUSTMENTS] = EXACT.add(amounts.get(Term.ADJUSTMENTS, ZERO), adjustments)
        return tuple(TermSum(term, amounts[term], counts[term]) for term in TERMS if term in amounts)


@dataclass(frozen=True, slots=True)
class CashFlows:
    """Every currency's flow since the opening, and where the feed does not chain."""

    opened_at: datetime
    until: datetime
    flows: Mapping[str, Flow]
    stored: Mapping[str, Decimal]  # opening and feed as far as the ledger holds them
    late: Mapping[str, Flow] = field(default_factory=dict)  # what came while the balances were read
    gaps: tuple[Gap, ...] = ()
    chained_rows: int = 0


def equations(
    cash: CashFlows,
    *,
    ledger: Mapping[str, Decimal],
    venue: Mapping[str, Decimal],
    rounding: Rounding,
    unposted: Mapping[str, Decimal] = NOTHING,
) -> tuple[Equation, ...]:
    """One equation for each currency of either side; `ledger` is what the ledger counts, corrections included.

    `unposted`: fees that may have left already and are told of later.
    """
    found = []
    for currency in sorted(cash.flows.keys() | cash.late.keys() | ledger.keys() | venue.keys()):
        flow = cash.flows.get(currency) or Flow(ZERO)
        stored = cash.stored.get(currency, ZERO)
        adjustments = EXACT.subtract(ledger.get(currency, ZERO), stored)
        theirs = venue.get(currency, ZERO)
        if currency in cash.late:
            with_late = flow.with_late(cash.late[currency])
            flow = with_late if exact_sum((with_late.total(), adjustments)) == theirs else flow
        tolerance, roundings = rounding.tolerance(flow.events, currency=currency)
        found.append(
            Equation(
                currency=currency,
                opening=flow.opening,
                opened_at=cash.opened_at,
                terms=flow.terms(adjustments=adjustments),
                venue=theirs,
                read_at=cash.until,
                roundings=roundings,
                tolerance=tolerance,
                unposted=unposted.get(currency, ZERO),
            )
        )
    return tuple(found)


_FACTS = frozenset(
    {
        BreakKind.CASH_EVENT_MISSING_IN_LEDGER,
        BreakKind.CASH_EVENT_MISSING_AT_VENUE,
        BreakKind.CASH_EVENT_DIFFERS,
        BreakKind.CASH_EVENT_DUPLICATED,
    }
)
_SUMS = frozenset(
    {BreakKind.BALANCE_UNEXPLAINED, BreakKind.BALANCE_DIFFERS, BreakKind.BALANCE_VANISHED, BreakKind.BALANCE_UNKNOWN}
)


def judge(findings: Findings, cash: CashFlows, found: Iterable[Equation]) -> tuple[Findings, tuple[Equation, ...]]:
    """Findings with the breaks of the feed itself, and each equation with its state. One cause stays one break.

    A wallet change that one side lacks breaks the chain too, so a gap counts only where no such break names the
    currency; a gap that explains what the balance is off by takes the place of that break.
    """
    named = {item.currency for item in findings.breaks if item.kind in _FACTS}
    gaps = [gap for gap in cash.gaps if gap.currency not in named]
    left_open = {(BreakKind.CASH_FEED_INCOMPLETE.value, gap.subject) for gap in cash.gaps if gap.currency in named}
    missing: dict[str, Decimal] = {}
    for gap in gaps:
        missing[gap.currency] = EXACT.add(missing.get(gap.currency, ZERO), gap.amount)

    found = tuple(found)
    by_currency = {item.currency: item for item in found}

    def is_explained(item: Break) -> bool:
        """By the equation's difference, which counts what is not imported yet; the break's own does not."""
        if item.kind is not BreakKind.BALANCE_UNEXPLAINED or item.currency not in missing:
            return False
        equation = by_currency[item.currency]
        return abs(EXACT.subtract(equation.difference, missing[item.currency])) <= equation.tolerance

    kept = [item for item in findings.breaks if not is_explained(item)]
    unknown = _older_unknown(findings, cash)
    breaks = sorted(
        (*kept, *(_gap_break(gap) for gap in gaps), *unknown), key=lambda item: (item.kind.value, item.subject)
    )
    judged = replace(findings, breaks=tuple(breaks), unjudged=findings.unjudged | left_open)
    return judged, tuple(replace(item, state=_state(item, judged, cash)) for item in found)


def _gap_break(gap: Gap) -> Break:
    return Break(
        kind=BreakKind.CASH_FEED_INCOMPLETE,
        subject=gap.subject,
        currency=gap.currency,
        ledger_amount=gap.expected,
        venue_amount=gap.found,
        evidence={
            "time": text_of(gap.time),
            "after_event": gap.after_event_id,
            "before_event": gap.event_id,
            "missing": text_of(gap.amount),
        },
    )


def _older_unknown(findings: Findings, cash: CashFlows) -> list[Break]:
    """Currencies whose sum holds a kind that nobody knows and that lies before what was compared fact by fact."""
    told = Counter(item.currency for item in findings.breaks if item.kind is BreakKind.CASH_EVENT_UNMAPPED)
    return [
        Break(
            kind=BreakKind.BALANCE_EQUATION_INCOMPLETE,
            subject=f"equation {currency}",
            currency=currency,
            ledger_amount=flow.sums[Term.UNKNOWN],
            evidence={
                "venue_kinds": ", ".join(sorted(flow.unknown_kinds)),
                "count": str(flow.counts[Term.UNKNOWN]),
            },
        )
        for currency, flow in sorted(cash.flows.items())
        if flow.counts[Term.UNKNOWN] > told[currency]
    ]


def _state(item: Equation, findings: Findings, cash: CashFlows) -> EquationState:
    if any(name.startswith("balances") for name in findings.not_compared):
        return EquationState.NOT_COMPARED
    of_it = [found for found in findings.breaks if found.currency == item.currency]
    kinds = {found.kind for found in of_it}
    if kinds & {BreakKind.CASH_FEED_INCOMPLETE, BreakKind.CASH_EVENT_UNMAPPED, BreakKind.BALANCE_EQUATION_INCOMPLETE}:
        return EquationState.INCOMPLETE
    if kinds & _SUMS:
        return EquationState.DIFFERS
    if f"balance {item.currency}" in findings.pending:
        return EquationState.PENDING
    if abs(item.difference) <= item.tolerance:
        return EquationState.HOLDS
    if -(item.unposted + item.tolerance) <= item.difference < 0:
        return EquationState.FEES_DUE
    return EquationState.EXPLAINED if kinds & _FACTS else EquationState.PENDING
