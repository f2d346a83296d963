"""The reports of breaks: the list with ages, owners and locks, and the story of one."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from typing import Any, Final

from flows.reports.model import Column, Figure, Report, Section, Table, Text, Tone
from flows.reports.plain import DASH, moment, number, plain, words
from ledger.audit import PERSON
from ledger.break_tables import Adjustment, BreakEvent, InstrumentLock
from ledger.locks import EVERYTHING
from ledger.states import BreakState
from trading.breaks import BreakBook, BreakLine, BreakStory

_TONE: Final = {"critical": Tone.BAD, "warning": Tone.WARN, "notice": Tone.NEUTRAL}
UNBOUNDED: Final = "accepted without a bound and an end, which counts no longer: accept it again"
ID_SHOWN: Final = 8  # as many digits of an id as lists show; commands and forms take them


def breaks_report(book: BreakBook) -> Report:
    """Breaks of a ledger, oldest first, and every lock that stands."""
    standing = [line for line in book.lines if line.row.cleared_at is None]
    count = Counter(line.row.severity for line in standing)
    held = [lock for lock in book.locks if not _is_overridden(lock, book)]
    tone = Tone.BAD if held else Tone.WARN if standing else Tone.GOOD
    verdict = f"{len(standing)} break(s) are open, {count['critical']} critical."
    if book.locks:
        over = len(book.locks) - len(held)
        verdict += f" {len(held)} lock(s) keep orders here" + (f", {over} overridden." if over else ".")
    oldest = max((line.age for line in standing), default=None)
    return Report(
        kind="breaks",
        title=f"Breaks of {book.environment}",
        subtitle=f"As of {moment(book.now)}",
        tone=tone,
        verdict=verdict if standing or book.locks else "No break is open and nothing is locked.",
        figures=(
            Figure("Open", str(len(standing)), _counts(count), tone),
            Figure("Locks", str(len(book.locks)), "", Tone.BAD if held else Tone.GOOD),
            Figure("Oldest", age_text(oldest) if oldest is not None else DASH),
        ),
        sections=(_lines_table(book), _locks_table(book)),
        data={
            "now": plain(book.now),
            "breaks": [line_data(line) for line in book.lines],
            "locks": [_lock_data(lock, book) for lock in book.locks],
        },
    )


def _counts(count: Counter[str]) -> str:
    return ", ".join(f"{amount} {severity}" for severity, amount in sorted(count.items()))


def _is_overridden(lock: InstrumentLock, book: BreakBook) -> bool:
    return lock.overridden_until is not None and lock.overridden_until > book.now


def line_data(line: BreakLine) -> dict[str, Any]:
    """A break as JSON: the row, its age and its lock."""
    row, kind = line.row, line.kind
    return {
        **plain(row),
        "evidence": json.loads(row.evidence or "{}"),
        "age_s": line.age.total_seconds(),
        "accepted": None if line.accepted is None else plain(line.accepted),
        "is_unbounded": line.is_unbounded,
        "lock": None if line.lock is None else plain(line.lock),
        "is_overridden": line.is_overridden,
        "meaning": "" if kind is None else kind.meaning,
        "remedy": "" if kind is None else kind.remedy,
    }


def _lock_data(lock: InstrumentLock, book: BreakBook) -> dict[str, Any]:
    return {**plain(lock), "is_overridden": _is_overridden(lock, book)}


def age_text(age: timedelta) -> str:
    """An age for people: 3 d 04 h, 2 h 10 min, 45 s."""
    minutes, rest = divmod(int(age.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours:02d} h"
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def _lines_table(book: BreakBook) -> Table:
    columns = (
        Column("Break"),
        Column("Account", narrow=False),
        Column("Kind"),
        Column("Of"),
        Column("Difference", is_number=True),
        Column("State"),
        Column("Age", is_number=True),
        Column("Seen", is_number=True, narrow=False),
        Column("Owner"),
        Column("Decision", narrow=False),
        Column("Lock", narrow=False),
    )
    rows = tuple(_line_row(line) for line in book.lines)
    tones = tuple(_tone(line) for line in book.lines)
    return Table("breaks", "Breaks", columns, rows, empty="No break is open.", tones=tones)


def _tone(line: BreakLine) -> Tone:
    return Tone.NEUTRAL if line.row.cleared_at is not None else _TONE.get(line.row.severity, Tone.BAD)


def _line_row(line: BreakLine) -> tuple[str, ...]:
    row = line.row
    return (
        row.break_id[:ID_SHOWN],
        row.account_id,
        row.kind,
        row.subject,
        number(row.difference, signed=True),
        row.state,
        age_text(line.age),
        str(row.times_seen),
        row.owner or "",
        _decision(line),
        _lock_text(line),
    )


def _decision(line: BreakLine) -> str:
    row = line.row
    said = f"{row.decision} ({row.decided_by})" if row.decision else ""
    if line.is_unbounded:
        return f"{UNBOUNDED}: {said}"
    return said if line.accepted is None else f"accepted until {moment(line.accepted.expires_at)}: {said}"


def _lock_text(line: BreakLine) -> str:
    if line.lock is None:
        return ""
    what = "the account" if line.lock.instrument_id == EVERYTHING else line.lock.instrument_id
    return f"{what}, overridden until {moment(line.lock.overridden_until)}" if line.is_overridden else what


def _locks_table(book: BreakBook) -> Table:
    columns = (
        Column("Account"),
        Column("Locked"),
        Column("Reductions"),
        Column("By break"),
        Column("Clean runs", is_number=True),
        Column("Since"),
        Column("Overridden until"),
    )
    rows = tuple(
        (
            lock.account_id,
            "everything" if lock.instrument_id == EVERYTHING else lock.instrument_id,
            "leave" if lock.lets_reductions_out else "stay",
            f"{lock.break_id[:ID_SHOWN]} {lock.kind}",
            f"{lock.clean_runs} of 2",
            moment(lock.locked_at),
            moment(lock.overridden_until) if lock.overridden_until else "",
        )
        for lock in book.locks
    )
    tones = tuple(Tone.WARN if _is_overridden(lock, book) else Tone.BAD for lock in book.locks)
    return Table("locks", "Locks", columns, rows, empty="Nothing is locked.", tones=tones)


# -- one break --------------------------------------------------------------------------------------------------
def break_report(story: BreakStory) -> Report:
    """One break with everything that happened to it."""
    line = story.line
    row, kind = line.row, line.kind
    gone = row.state == BreakState.CLEARED.value
    sections: list[Section] = []
    if kind is not None:
        sections.append(Text("What it means", (kind.meaning, f"What to do: {kind.remedy}")))
    evidence = json.loads(row.evidence or "{}")
    sections += [_evidence_table(evidence), _events_table(story.events), _entries_table(story.adjustments)]
    return Report(
        kind="break",
        title=f"Break {row.break_id[:ID_SHOWN]} of {row.account_id}",
        subtitle=f"{row.kind}, {row.subject}, first seen {moment(row.first_seen_at)}",
        tone=Tone.GOOD if gone else _TONE.get(row.severity, Tone.BAD),
        verdict=_verdict(line),
        figures=(
            Figure("Ledger", number(row.ledger_amount)),
            Figure("Venue", number(row.venue_amount)),
            Figure("Difference", number(row.difference, signed=True), f"tolerance {number(row.tolerance)}"),
            Figure("Age", age_text(line.age), f"seen {row.times_seen} times"),
        ),
        sections=tuple(sections),
        data={
            **line_data(line),
            "events": [{**plain(event), "detail": json.loads(event.detail)} for event in story.events],
            "adjustments": [plain(entry) for entry in story.adjustments],
        },
    )


def _verdict(line: BreakLine) -> str:
    row = line.row
    said = f"{words(row.state).capitalize()}, {row.severity}"
    if row.owner:
        said += f", owned by {row.owner}"
    if row.decision:
        said += f"; {row.decided_by} decided: {row.decision}"
    if line.accepted is not None:
        within = f", and up to {number(line.accepted.within)} away from it" if line.accepted.within else ""
        said += f"; accepted as it was then{within}, until {moment(line.accepted.expires_at)}"
    if line.is_unbounded:
        said += f"; {UNBOUNDED}"
    lock = _lock_text(line)
    return f"{said}. " + (f"It locks {lock}." if lock else "It locks nothing.")


def _evidence_table(evidence: dict[str, str]) -> Table:
    rows = tuple((words(name), value) for name, value in evidence.items())
    return Table("evidence", "Evidence", (Column("What"), Column("Value")), rows)


def _events_table(events: tuple[BreakEvent, ...]) -> Table:
    columns = (Column("At"), Column("Step"), Column("Who"), Column("Approved by"), Column("Reason"), Column("Until"))
    rows = tuple(
        (
            moment(event.at),
            words(event.step),
            event.who.removeprefix(PERSON),
            event.approved_by,
            event.reason,
            moment(event.expires_at) if event.expires_at else "",
        )
        for event in events
    )
    return Table("steps", "What happened", columns, rows, empty="Nothing is on record: it is from before steps were.")


def _entries_table(entries: tuple[Adjustment, ...]) -> Table:
    columns = (
        Column("Entry"),
        Column("Of"),
        Column("Amount", is_number=True),
        Column("Takes back"),
        Column("Reason"),
        Column("By"),
        Column("At"),
    )
    rows = tuple(
        (
            str(entry.adjustment_id),
            entry.instrument_id or entry.currency or entry.subject,
            number(entry.amount, signed=True),
            "" if entry.reverses is None else str(entry.reverses),
            entry.reason,
            " and ".join(filter(None, (entry.set_by, entry.approved_by))),
            moment(entry.recorded_at),
        )
        for entry in entries
    )
    return Table("entries", "Correcting entries", columns, rows)
