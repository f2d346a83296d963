"""Reports around orders and settings: intents of a job, a sweep, leverage."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from flows.reports.model import Bar, Column, Figure, Plot, PlotKind, Report, Section, Table, Text, Tone
from flows.reports.plain import DASH, number, plain, words
from ledger.states import IntentState
from trading.leverage import LeverageOutcome, LeverageResult
from trading.orders import IntentView, SweepReport

_BAD_STATES: Final = frozenset({IntentState.DENIED, IntentState.REFUSED, IntentState.NEEDS_HUMAN})
_WARN_STATES: Final = frozenset(
    {IntentState.UNKNOWN, IntentState.ADOPTED_LATE, IntentState.EXPIRED, IntentState.VENUE_EXPIRED}
)


def intents_table(views: Sequence[IntentView], *, title: str = "Orders", name: str = "orders") -> Table:
    """One row per intent: what was wanted, where it stands, and why."""
    rows = tuple(
        (
            str(view.request.instrument_id),
            words(view.request.side),
            number(view.request.quantity),
            number(view.filled_quantity),
            number(view.average_price, places_max=8),
            words(view.state),
            view.reason,
            "" if view.client_order_id is None else str(view.client_order_id),
            "" if view.venue_order_id is None else str(view.venue_order_id),
            "" if view.leg_number is None else str(view.leg_number),
            view.detail,
        )
        for view in views
    )
    columns = (
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Filled", is_number=True),
        Column("Average price", is_number=True),
        Column("State"),
        Column("Reason"),
        Column("Client order id", narrow=False),
        Column("Venue order id", narrow=False),
        Column("Leg", is_number=True, narrow=False),
        Column("Detail", narrow=False),
    )
    tones = tuple(state_tone(view.state) for view in views)
    return Table(name, title, columns, rows, empty="No order.", tones=tones)


def state_tone(state: IntentState) -> Tone:
    """Green: filled. Red: refused, denied, needs a person. Yellow: open questions and expiries."""
    if state is IntentState.FILLED:
        return Tone.GOOD
    if state in _BAD_STATES:
        return Tone.BAD
    return Tone.WARN if state in _WARN_STATES else Tone.NEUTRAL


def intents_evidence(views: Sequence[IntentView]) -> list[Any]:
    """The orders as rows for a summary: exact, flat."""
    return [
        {
            "instrument": str(view.request.instrument_id),
            "side": view.request.side.value,
            "quantity": plain(view.request.quantity),
            "filled_quantity": plain(view.filled_quantity),
            "average_price": plain(view.average_price),
            "state": view.state.value,
            "reason": view.reason,
            "client_order_id": plain(view.client_order_id),
            "venue_order_id": plain(view.venue_order_id),
        }
        for view in views
    ]


# -- sweep ------------------------------------------------------------------------------------------------------
def sweep_report(result: SweepReport, *, subject: str = "") -> Report:
    """What the resolver's sweep moved and what it found at the venue."""
    tone, verdict = _sweep_verdict(result)
    needs_person = sum(view.state is IntentState.NEEDS_HUMAN for view in result.advanced)
    sections: list[Section] = [intents_table(result.advanced, title="Advanced", name="advanced")]
    alarms = (
        ("Seen late: called not placed before", result.sightings.adopted),
        ("Second order of one intent", result.sightings.duplicates),
        ("Our mark, and no attempt on record", result.sightings.untracked),
        ("Our mark, and the pool bit of another environment", result.sightings.misplaced),
    )
    sections.extend(Text(title, ids) for title, ids in alarms if ids)
    return Report(
        kind="resume",
        title="Resume orders" + (f" of {subject}" if subject else ""),
        subtitle="Every order of the account that was left without an end",
        tone=tone,
        verdict=verdict,
        figures=(
            Figure("Advanced", str(len(result.advanced))),
            Figure("Need a person", str(needs_person), "", Tone.BAD if needs_person else Tone.NEUTRAL),
            Figure("Spooled answers", str(result.spooled), "taken in from a process that died"),
        ),
        sections=tuple(sections),
        data=plain(result),
        evidence={"orders": intents_evidence(result.advanced)},
    )


def _sweep_verdict(result: SweepReport) -> tuple[Tone, str]:
    found = result.sightings
    if found:
        return Tone.BAD, f"{len(found.all)} order(s) at the venue should not be there: the pool is halted."
    if any(view.state is IntentState.NEEDS_HUMAN for view in result.advanced):
        return Tone.BAD, "Some orders need a person: read the reason, look at the venue, record the decision."
    if result.unread:
        return Tone.WARN, f"The venue's orders could not be compared: {result.unread}"
    open_count = sum(not view.is_over for view in result.advanced)
    if open_count:
        return Tone.NEUTRAL, f"{open_count} order(s) are still under way; the next sweep looks again."
    return Tone.GOOD, "No order is left without an end."


# -- leverage ---------------------------------------------------------------------------------------------------
_OUTCOME_TONE: Final = {
    LeverageOutcome.SET: Tone.GOOD,
    LeverageOutcome.ALREADY_SO: Tone.GOOD,
    LeverageOutcome.REFUSED: Tone.BAD,
    LeverageOutcome.DIFFERS: Tone.BAD,
    LeverageOutcome.UNKNOWN: Tone.WARN,
}


def leverage_report(results: Sequence[LeverageResult], *, subject: str = "") -> Report:
    """Each instrument's leverage: wanted, read before, read after."""
    unproved = [item for item in results if not item.outcome.is_proved]
    done = sum(item.outcome is LeverageOutcome.SET for item in results)
    verdict = (
        f"{len(unproved)} of {len(results)} instruments do not hold the wanted leverage."
        if unproved
        else f"{len(results)} instrument(s) hold the wanted leverage, as read back from the venue."
    )
    return Report(
        kind="leverage",
        title="Leverage" + (f" of {subject}" if subject else ""),
        subtitle="Set, read back, compared",
        tone=Tone.BAD if unproved else Tone.GOOD,
        verdict=verdict if results else "No leverage target is given for this account.",
        figures=(
            Figure("Instruments", str(len(results))),
            Figure("Changed", str(done)),
            Figure("Not proved", str(len(unproved)), "", Tone.BAD if unproved else Tone.GOOD),
        ),
        sections=(*([_leverage_plot(results)] if results else []), _leverage_table(results)),
        data={"instruments": plain(list(results))},
    )


def _leverage_plot(results: Sequence[LeverageResult]) -> Plot:
    bars = tuple(
        Bar(
            str(item.instrument_id),
            item.after or Decimal(0),
            DASH if item.after is None else f"{number(item.after)}×",
            _OUTCOME_TONE[item.outcome],
        )
        for item in results[:24]
    )
    return Plot("leverage", "Leverage as read back", PlotKind.BARS, "Leverage of each instrument", "times", bars=bars)


def _leverage_table(results: Sequence[LeverageResult]) -> Table:
    rows = tuple(
        (
            str(item.instrument_id),
            f"{number(item.wanted)}×",
            DASH if item.before is None else f"{number(item.before)}×",
            DASH if item.after is None else f"{number(item.after)}×",
            words(item.outcome),
            item.reason,
            item.detail,
        )
        for item in results
    )
    columns = (
        Column("Instrument"),
        Column("Wanted", is_number=True),
        Column("Before", is_number=True),
        Column("After", is_number=True),
        Column("Outcome"),
        Column("Reason"),
        Column("Detail", narrow=False),
    )
    tones = tuple(_OUTCOME_TONE[item.outcome] for item in results)
    return Table("leverage", "Instruments", columns, rows, tones=tones, empty="No instrument.")
