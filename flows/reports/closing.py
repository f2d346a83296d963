"""The report of closing positions: what was held, what was filled, what is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from flows.reports.model import Column, Figure, Report, Table, Tone
from flows.reports.plain import number, plain, words
from trading.closing import ClosedPosition, CloseOutcome

_TONE: Final = {
    CloseOutcome.FLAT: Tone.GOOD,
    CloseOutcome.ALREADY_FLAT: Tone.GOOD,
    CloseOutcome.LEFT: Tone.WARN,
    CloseOutcome.UNRESOLVED: Tone.BAD,
}


def closing_report(results: Sequence[ClosedPosition], *, subject: str = "") -> Report:
    """Each position with its proof; the worst outcome colours the whole."""
    flat = sum(_TONE[item.outcome] is Tone.GOOD for item in results)
    tones = [_TONE[item.outcome] for item in results]
    tone = next((worst for worst in (Tone.BAD, Tone.WARN) if worst in tones), Tone.GOOD)
    verdict = f"All {len(results)} position(s) are flat, as read from the venue."
    if not results:
        verdict = "There was no open position."
    elif tone is not Tone.GOOD:
        verdict = f"{len(results) - flat} of {len(results)} position(s) are not flat: see their reasons."
    return Report(
        kind="closing",
        title="Close positions" + (f" of {subject}" if subject else ""),
        subtitle="Reduce-only market orders, then the positions read again",
        tone=tone,
        verdict=verdict,
        figures=(Figure("Flat", f"{flat} of {len(results)}", "", tone),),
        sections=(_table(results, tones),),
        data={"positions": plain(list(results))},
    )


def _table(results: Sequence[ClosedPosition], tones: Sequence[Tone]) -> Table:
    rows = tuple(
        (
            str(item.instrument_id) + (f" ({words(item.position_side)})" if item.position_side else ""),
            number(item.quantity_before),
            number(item.filled_quantity),
            number(item.quantity_left),
            words(item.outcome),
            item.reason,
            item.detail,
        )
        for item in results
    )
    columns = (
        Column("Position"),
        Column("Before", is_number=True),
        Column("Filled", is_number=True),
        Column("Left", is_number=True),
        Column("Outcome"),
        Column("Reason"),
        Column("Detail", narrow=False),
    )
    return Table("closed", "Positions", columns, rows, empty="No open position.", tones=tuple(tones))
