"""Reports of stopping: a control state that was set, and a kill with its proof or with what is left."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from flows.reports.model import Column, Figure, Report, Section, Table, Text, Tone
from flows.reports.plain import DASH, moment, number, plain, words
from ledger.controlling import ControlChanged
from ledger.states import KillState
from trading.kill_model import KillReport, KillResult

LOWERING = (
    "The control state stays as it is until a person lowers it: algotrendy resume or the job control, with a "
    "reason, in production by two people. A kill is lowered only when it is proved, or when what it left is "
    "acknowledged.",
)


def control_report(changed: ControlChanged) -> Report:
    """One control state: before, after, where it stands."""
    places = [place for place, holds in (("database", changed.in_database), ("file", changed.in_file)) if holds]
    tone = Tone.BAD if changed.problems else Tone.GOOD
    verdict = f"{changed.scope} is {changed.after} (was {changed.before}), in {' and '.join(places) or 'neither'}."
    if changed.problems:
        verdict += " Database and file do not agree: see below."
    sections: list[Section] = [_control_table(changed)]
    if changed.problems:
        sections.append(Text("Problems", changed.problems))
    sections.append(Text("Lowering", LOWERING))
    return Report(
        kind="control",
        title=f"Control state of {changed.scope}",
        subtitle="What may leave: the stricter of database and file counts",
        tone=tone,
        verdict=verdict,
        figures=(Figure("State", words(changed.after), f"was {words(changed.before)}", tone),),
        sections=tuple(sections),
        data={"control": plain(changed)},
    )


def kill_report(result: KillResult) -> Report:
    """One account's kill: what was cancelled and closed, the two reads, or what is left."""
    found, changed = result.report, result.changed
    tone = Tone.GOOD if found.is_proved else Tone.BAD
    sections: list[Section] = [_left_table(found)] if found.left else []
    sections += [_reads_table(found), _positions_table(found), _control_table(changed)]
    sections += [Text(title, lines) for title, lines in _lists(found) if lines]
    if changed.problems:
        sections.append(Text("Problems with the control state", changed.problems))
    sections.append(Text("Lowering", LOWERING))
    return Report(
        kind="kill",
        title=f"Kill of {found.account_id}",
        subtitle="Stopped, cancelled, read back" + (" and closed" if found.flatten else ""),
        tone=Tone.WARN if tone is Tone.GOOD and (changed.problems or found.others_open) else tone,
        verdict=verdict(found),
        figures=(
            Figure("Cancelled", str(len(found.cancelled)), "orders of ours"),
            Figure("Never sent", str(len(found.withdrawn)), "withdrawn"),
            Figure("Left", str(len(found.left)), "", Tone.BAD if found.left else Tone.GOOD),
            Figure("Other people's orders", str(len(found.others_open)), "open, not ours"),
        ),
        sections=tuple(sections),
        data={"kill": plain(found), "control": plain(changed)},
    )


def verdict(found: KillReport) -> str:
    """One sentence: proved, or what is left."""
    state = found.state.value.upper()
    others = f" {len(found.others_open)} order(s) of other people are open." if found.others_open else ""
    if found.state is KillState.FLAT_PROVEN:
        return f"{state}: two reads of the venue show no open order of ours and no position.{others}"
    if found.state is KillState.CANCELLED_PROVEN:
        return f"{state}: two reads of the venue show no open order of ours. Positions were left as they are.{others}"
    named = "; ".join(f"{item.reason.value} {item.name}" for item in found.left[:5])
    return f"{state}: {len(found.left)} thing(s) are or may be left: {named}.{others}"


def _control_table(changed: ControlChanged) -> Table:
    row = (
        changed.scope,
        words(changed.before),
        words(changed.after),
        "yes" if changed.in_database else "NO",
        "yes" if changed.in_file else "NO",
    )
    columns = tuple(Column(title) for title in ("Scope", "Before", "After", "In the database", "In the file"))
    return Table("control", "Control state", columns, (row,))


def _left_table(found: KillReport) -> Table:
    rows = tuple((item.reason.value, item.name, item.detail, item.reason.remedy) for item in found.left)
    columns = tuple(Column(title) for title in ("Why", "What", "Detail", "What to do"))
    return Table("left", "Left", columns, rows, tones=(Tone.BAD,) * len(rows))


def _reads_table(found: KillReport) -> Table:
    rows = tuple(
        (
            moment(read.at),
            str(read.open_orders_ours),
            str(read.open_orders_others),
            DASH if read.open_positions is None else str(read.open_positions),
        )
        for read in found.reads
    )
    columns = (
        Column("Read at"),
        Column("Open orders of ours", is_number=True),
        Column("Of other people", is_number=True),
        Column("Positions", is_number=True),
    )
    return Table("reads", "The two reads that prove it", columns, rows, empty="It is not proved.")


def _positions_table(found: KillReport) -> Table:
    before, after = found.positions_before or {}, found.positions_after or {}
    rows = tuple((name, _held(before, name), _held(after, name)) for name in sorted({*before, *after}))
    note = "The positions before could not be read." if found.positions_before is None else ""
    if found.positions_after is None:
        note = f"{note} Positions were not to be closed, so they were not read again.".strip()
        rows = tuple((name, held, DASH) for name, held, _ in rows)
    columns = (Column("Position"), Column("Before", is_number=True), Column("After", is_number=True))
    return Table("positions", "Positions", columns, rows, note=note, empty="None.")


def _held(positions: Mapping[str, Decimal], name: str) -> str:
    return number(positions.get(name, Decimal(0)))


def _lists(found: KillReport) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return (
        ("Cancelled", found.cancelled),
        ("Never sent", found.withdrawn),
        ("Over before the cancel reached them", found.ended_otherwise),
        ("Orders of other people that were cancelled, because everything was asked for", found.others_cancelled),
        ("Orders of other people that are open", found.others_open),
    )
