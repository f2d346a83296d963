"""What must hold of money on record: judged by the rows alone, for `ledger.invariants`.

The ledger keeps no postings in double entry. What moved a balance are single facts (a wallet change, a correcting
entry), and what must come out even is the balance equation that a reconciliation stored of a currency:

1. Its terms and its opening add up to what was expected, and the rest to what the venue showed.
2. What is left over beyond the tolerance stands in a break of that currency; it never vanishes.
3. The newest one is the sum of the rows: the opening reading, every wallet change and every correcting entry by then.
4. An entry that takes another one back is its exact opposite, once: the two leave nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select
from sqlmodel import Session

from brokers.rounding import decimal_text
from ledger.break_invariants import BreakEvidence
from ledger.break_tables import Adjustment
from ledger.reading import read_columns, read_rows, table_of
from ledger.snapshots import latest_snapshot
from ledger.states import BreakStep, ReconciliationOutcome, SnapshotPurpose
from ledger.tables import CashEventRow, ReconciliationRun

ZERO = Decimal(0)
_EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
_CLOCKS_DIFFER = timedelta(minutes=5)  # a run is dated by the worker's clock, rows by the database's
_ROWS_AT_ONCE = 2_000


class Run(NamedTuple):
    """A reconciliation that stored equations."""

    run_id: int
    account_id: str
    outcome: str
    summary: Mapping[str, Any]
    started_at: datetime

    @property
    def has_news(self) -> bool:
        """Whether its equations count wallet changes that were not rows yet."""
        return bool(self.summary["news"].get("cash_events"))


@dataclass(frozen=True, slots=True)
class RowSums:
    """What the rows of an account say of its newest equations, by currency: the opening, and every sum that they had
    from just before the run until now (a row that became visible late may have been added since)."""

    run_id: int
    openings: Mapping[str, Decimal]
    sums: Mapping[str, tuple[Decimal, ...]]


@dataclass(frozen=True, slots=True)
class BalanceEvidence:
    """Reconciliations with equations, oldest first; the sums of the rows by account; every correcting entry."""

    runs: tuple[Run, ...]
    rows: tuple[RowSums, ...]
    entries: tuple[Adjustment, ...]


# -- reading ----------------------------------------------------------------------------------------------------
@lru_cache(maxsize=2)
def _queries(*, of_one: bool) -> tuple[Any, Any]:
    runs, entries = table_of(ReconciliationRun), table_of(Adjustment)
    columns = (runs.c.run_id, runs.c.account_id, runs.c.outcome, runs.c.summary, runs.c.started_at)
    stored = select(*columns).where(runs.c.summary.like('%"equations":[{%')).order_by(runs.c.run_id)
    corrections = select(entries).order_by(entries.c.adjustment_id)
    if not of_one:
        return stored, corrections
    account_id: Any = bindparam("account_id")
    return stored.where(runs.c.account_id == account_id), corrections.where(entries.c.account_id == account_id)


def read_balance_evidence(session: Session, account_id: str | None) -> BalanceEvidence:
    """Everything of one account, or of all. Wallet changes are added up as they are read and not kept."""
    stored, corrections = _queries(of_one=account_id is not None)
    given = {} if account_id is None else {"account_id": account_id}
    runs = [
        Run(number, account, outcome, json.loads(summary), started_at)
        for number, account, outcome, summary, started_at in read_columns(session, stored, **given)
    ]
    entries = tuple(read_rows(session, Adjustment, corrections, **given))
    newest = {run.account_id: run for run in runs}
    rows = (_row_sums(session, run, entries) for run in newest.values())
    return BalanceEvidence(tuple(runs), tuple(item for item in rows if item is not None), entries)


def _row_sums(session: Session, run: Run, entries: Iterable[Adjustment]) -> RowSums | None:
    """None where the rows cannot tell: the venue's news were counted before they were rows, or the opening is newer."""
    read_at = datetime.fromisoformat(run.summary["venue_read_at"])
    opening = latest_snapshot(session, run.account_id, purpose=SnapshotPurpose.BASELINE)
    if run.has_news or opening is None or opening.taken_at >= read_at:
        return None
    table = table_of(CashEventRow)
    changes = session.connection().execute(
        select(table.c.currency, table.c.amount, table.c.recorded_at)
        .where(table.c.account_id == run.account_id, table.c.time > opening.taken_at, table.c.time <= read_at)
        .execution_options(yield_per=_ROWS_AT_ONCE)
    )
    known_by = run.started_at - _CLOCKS_DIFFER
    sums: dict[str, Decimal] = dict(opening.totals)
    later: dict[str, dict[datetime, Decimal]] = defaultdict(dict)

    def add(currency: str, amount: Decimal, recorded_at: datetime) -> None:
        if recorded_at <= known_by:
            sums[currency] = _EXACT.add(sums.get(currency, ZERO), amount)
        else:
            at_once = later[currency]
            at_once[recorded_at] = _EXACT.add(at_once.get(recorded_at, ZERO), amount)

    for currency, amount, recorded_at in changes:
        add(currency, amount, recorded_at)
    for entry in entries:
        counts = entry.account_id == run.account_id and opening.taken_at < entry.counts_from <= read_at
        if counts and entry.currency is not None:
            add(entry.currency, entry.amount, entry.recorded_at)
    names = sums.keys() | later.keys()
    return RowSums(run.run_id, opening.totals, {name: _states(sums.get(name, ZERO), later[name]) for name in names})


def _states(start: Decimal, later: Mapping[datetime, Decimal]) -> tuple[Decimal, ...]:
    """The sum before and after each transaction of the time in question."""
    found = [start]
    for recorded_at in sorted(later):
        found.append(_EXACT.add(found[-1], later[recorded_at]))
    return tuple(found)


# -- judging ----------------------------------------------------------------------------------------------------
def balance_findings(evidence: BalanceEvidence, breaks: BreakEvidence) -> Iterator[str]:
    """Equations that do not add up, rests that no break carries, rows that give other sums, and halves of entries."""
    by_currency: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in breaks.breaks.values():
        if row.currency is not None:
            by_currency[row.account_id, row.currency].append(row.break_id)
    for run in evidence.runs:
        for entry in run.summary["equations"]:
            about, carriers = _about(entry["currency"], run), by_currency[run.account_id, entry["currency"]]
            is_carried = any(_stood(breaks, identity, run.run_id) for identity in carriers)
            for problem in (*_problems(entry), *_left_over(entry, run, is_carried=is_carried)):
                yield f"{about}: {problem}"
    yield from _row_findings(evidence)
    yield from _entry_findings(evidence.entries)


def _about(currency: str, run: Run) -> str:
    return f"equation of {currency} in run {run.run_id} of {run.account_id}"


_EVEN = frozenset({"holds", "fees_due", "not_compared"})
_CARRIED = frozenset({"differs", "explained", "accepted", "incomplete"})


def _problems(entry: Mapping[str, Any]) -> Iterator[str]:
    """What does not add up within one equation, as it is stored."""
    figures = {name: Decimal(entry[name]) for name in ("opening", "expected", "venue", "difference", "tolerance")}
    made_of = _sum((figures["opening"], *(Decimal(amount) for amount in entry["terms"].values())))
    if made_of != figures["expected"]:
        yield f"opening and terms add up to {decimal_text(made_of)}, expected is {entry['expected']}"
    rest = _EXACT.subtract(figures["venue"], figures["expected"])
    told = decimal_text(rest)
    if rest != figures["difference"]:
        yield f"the venue showed {told} beyond what is expected, the difference is {entry['difference']}"
    least = -_sum((figures["tolerance"], Decimal(entry["unposted"]))) if entry["state"] == "fees_due" else None
    if entry["state"] == "holds" and abs(rest) > figures["tolerance"]:
        yield f"it is said to hold, {told} is left over, the tolerance is {entry['tolerance']}"
    if least is not None and not least <= rest < 0:
        yield f"{told} is left over, fees to come explain {decimal_text(least)} to 0"


def _left_over(entry: Mapping[str, Any], run: Run, *, is_carried: bool) -> Iterator[str]:
    """A rest that nothing accounts for. While the run still had to import something, a rest may be just that."""
    if entry["state"] in _CARRIED and not is_carried:
        yield f"{entry['difference']} is left over ({entry['state']}), and no break carries it"
    is_judged = entry["state"] in _CARRIED or entry["state"] in _EVEN
    if not is_judged and run.outcome == ReconciliationOutcome.CLEAN.value and not run.has_news:
        yield f"it is {entry['state']}, and the run was called clean"


def _stood(breaks: BreakEvidence, identity: str, run_id: int) -> bool:
    """Whether a break was seen and not over when the run ended; one from before steps were kept counts as seen."""
    steps = breaks.steps.get(identity, ())
    seen = [event.step for event in steps if event.runs_before < run_id and event.step in _SEEN]
    return seen[-1] != BreakStep.CLEARED.value if seen else not steps


_SEEN = frozenset(
    {BreakStep.SUSPECTED.value, BreakStep.OPENED.value, BreakStep.CONFIRMED.value, BreakStep.CLEARED.value}
)


def _row_findings(evidence: BalanceEvidence) -> Iterator[str]:
    runs = {run.run_id: run for run in evidence.runs}
    for rows in evidence.rows:
        run = runs[rows.run_id]
        stored = {entry["currency"]: entry for entry in run.summary["equations"]}
        for currency in sorted(stored.keys() | rows.sums.keys()):
            about = _about(currency, run)
            entry, opening = stored.get(currency), rows.openings.get(currency, ZERO)
            if entry is not None and Decimal(entry["opening"]) != opening:
                yield f"{about}: it opens with {entry['opening']}, the opening reading is {decimal_text(opening)}"
            expected = ZERO if entry is None else Decimal(entry["expected"])
            sums = rows.sums.get(currency, (ZERO,))
            if expected not in sums:
                yield f"{about}: expected is {decimal_text(expected)}, the rows add up to {decimal_text(sums[-1])}"


def _entry_findings(entries: Iterable[Adjustment]) -> Iterator[str]:
    first = {entry.adjustment_id: entry for entry in entries}
    taken_back: set[int] = set()
    for entry in first.values():
        if entry.reverses is None:
            continue
        other = first.get(entry.reverses)
        if other is None or other.reverses is not None or _side_of(other) != _side_of(entry):
            yield f"correcting entry {entry.adjustment_id} takes back {entry.reverses}, which is no such entry"
        elif _EXACT.add(entry.amount, other.amount) != 0:
            left = decimal_text(_EXACT.add(entry.amount, other.amount))
            yield f"correcting entries {entry.reverses} and {entry.adjustment_id} leave {left}"
        if entry.reverses in taken_back:
            yield f"correcting entry {entry.reverses} is taken back twice"
        taken_back.add(entry.reverses)


def _side_of(entry: Adjustment) -> tuple[object, ...]:
    return entry.account_id, entry.break_id, entry.subject, entry.instrument_id, entry.currency, entry.counts_from


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = _EXACT.add(total, amount)
    return total
