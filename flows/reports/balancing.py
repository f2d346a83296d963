"""Parts of reports on an account's books: equations and their waterfall, both sides side by side, ages of breaks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from brokers.types import Order
from flows.reports.breaks import UNBOUNDED
from flows.reports.model import Column, Plot, PlotKind, Section, Table, Tone, WaterfallStep
from flows.reports.plain import DASH, moment, number, words
from trading.books import Books, OpenBreak, OrderPair
from trading.reconciliation.equation import Equation, EquationState, TermSum
from trading.reconciliation.exact import EXACT

WATERFALLS_MAX: Final = 6
STATE_TONE: Final = {
    EquationState.HOLDS: Tone.GOOD,
    EquationState.FEES_DUE: Tone.NEUTRAL,
    EquationState.ACCEPTED: Tone.NEUTRAL,
    EquationState.EXPLAINED: Tone.WARN,
    EquationState.DIFFERS: Tone.BAD,
    EquationState.PENDING: Tone.WARN,
    EquationState.INCOMPLETE: Tone.BAD,
    EquationState.NOT_COMPARED: Tone.NEUTRAL,
}
_BUCKETS: Final = (
    ("under 1 h", timedelta(hours=1)),
    ("1 h to 1 day", timedelta(days=1)),
    ("1 to 7 days", timedelta(days=7)),
    ("over 7 days", timedelta.max),
)


def books_sections(books: Books) -> list[Section]:
    """Equations drawn and as tables, then positions and open orders of both sides."""
    found: list[Section] = []
    busy = sorted(books.equations, key=lambda item: (-len(item.terms), item.currency))
    found.extend(waterfall(item) for item in busy[:WATERFALLS_MAX] if item.terms)
    found.append(equations_table(books.equations))
    if any(item.terms for item in books.equations):
        found.append(terms_table((item.currency, item.terms) for item in books.equations))
    found.append(_positions(books))
    found.append(_orders(books.orders))
    return found


def waterfall(item: Equation) -> Plot:
    """One currency from its opening to the venue's figure."""
    steps = (
        WaterfallStep("opening", item.opening, number(item.opening), is_total=True),
        *(step_of(part) for part in item.terms),
        WaterfallStep("expected", item.expected, number(item.expected), is_total=True),
        *_known(item),
        WaterfallStep("venue says", item.venue, number(item.venue), is_total=True, tone=STATE_TONE[item.state]),
    )
    terms = ", ".join(f"{words(part.term)} {number(part.amount, signed=True)}" for part in item.terms)
    return Plot(
        name=f"equation_{item.currency.lower()}",
        title=f"Balance of {item.currency}",
        kind=PlotKind.WATERFALL,
        alt=f"{item.currency}: opening {number(item.opening)}, {terms}, expected {number(item.expected)}, "
        f"venue {number(item.venue)}",
        axis=item.currency,
        steps=steps,
        note=f"From {moment(item.opened_at)} to {moment(item.read_at)}. The axis may begin above 0.",
    )


def _known(item: Equation) -> tuple[WaterfallStep, ...]:
    """What lies between the books and the venue and is known: accepted by a person."""
    if not item.accepted:
        return ()
    return (WaterfallStep("accepted", item.accepted, number(item.accepted, signed=True), tone=Tone.NEUTRAL),)


def step_of(part: TermSum) -> WaterfallStep:
    tone = Tone.GOOD if part.amount >= 0 else Tone.WARN
    return WaterfallStep(words(part.term), part.amount, number(part.amount, signed=True), tone=tone)


def equations_table(items: Sequence[Equation]) -> Table:
    rows = tuple(
        (
            item.currency,
            number(item.opening),
            number(item.changes, signed=True),
            number(item.expected),
            number(item.venue),
            number(item.difference, signed=True),
            _state(item),
            number(item.tolerance),
            str(item.roundings),
        )
        for item in items
    )
    columns = (
        Column("Currency"),
        Column("Opening", is_number=True),
        Column("Changes", is_number=True),
        Column("Expected", is_number=True),
        Column("Venue", is_number=True),
        Column("Difference", is_number=True),
        Column("Equation"),
        Column("Tolerance", is_number=True, narrow=False),
        Column("Roundings", is_number=True, narrow=False),
    )
    return Table(
        "equations",
        "Balance equation",
        columns,
        rows,
        note="Opening plus every wallet change of the venue's own feed. The tolerance is the number of roundings times "
        "their size; a venue that reports exact figures has none.",
        empty="No currency has a balance.",
        tones=tuple(STATE_TONE[item.state] for item in items),
    )


def _state(item: Equation) -> str:
    """The state; of an accepted difference also how far the venue's figure is from it now."""
    if item.state is not EquationState.ACCEPTED:
        return words(item.state)
    beyond = EXACT.subtract(item.difference, item.accepted)
    return f"accepted {number(item.accepted, signed=True)}, {number(beyond, signed=True)} beyond it"


def terms_table(items: Iterable[tuple[str, Iterable[TermSum]]], *, name: str = "terms") -> Table:
    rows = tuple(
        (currency, words(part.term), number(part.amount, signed=True), f"{part.count:,}")
        for currency, terms in items
        for part in terms
    )
    columns = (Column("Currency"), Column("Term"), Column("Amount", is_number=True), Column("Events", is_number=True))
    note = (
        "Trades and conversions (spot: one balance for another) are before fees; where the venue posts a trade net of "
        "its fee, its events are counted under both."
    )
    return Table(name, "Terms of the equation", columns, rows, note=note)


def _positions(books: Books) -> Table:
    rows = tuple(
        (
            str(pair.instrument_id),
            number(pair.ledger),
            number(pair.news, signed=True) if pair.news else DASH,
            number(pair.venue),
            number(pair.difference, signed=True),
        )
        for pair in books.positions
    )
    columns = (
        Column("Instrument"),
        Column("Ledger", is_number=True),
        Column("News", is_number=True),
        Column("Venue", is_number=True),
        Column("Difference", is_number=True),
    )
    tones = tuple(Tone.BAD if pair.difference else Tone.NEUTRAL for pair in books.positions)
    note = "News are fills since the last import. Hedge legs are added up."
    return Table("positions", "Positions, side by side", columns, rows, note=note, tones=tones, empty="Both are flat.")


def _orders(pairs: Sequence[OrderPair]) -> Table:
    rows = tuple(
        (
            str(pair.either.instrument_id),
            words(pair.either.side),
            number(pair.either.quantity),
            number(pair.either.limit_price or pair.either.trigger_price),
            _side(pair.ledger),
            _side(pair.venue),
            str(pair.venue_order_id),
            "" if pair.either.client_order_id is None else str(pair.either.client_order_id),
        )
        for pair in pairs
    )
    columns = (
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Price", is_number=True),
        Column("Ledger"),
        Column("Venue"),
        Column("Venue order id", narrow=False),
        Column("Client order id", narrow=False),
    )
    tones = tuple(Tone.NEUTRAL if _side(pair.ledger) == _side(pair.venue) else Tone.WARN for pair in pairs)
    note = "Every order that is open on one side at least; news are not in the ledger yet."
    return Table("open_orders", "Open orders, side by side", columns, rows, note=note, tones=tones, empty="None.")


def _side(order: Order | None) -> str:
    if order is None:
        return "not there"
    filled = f", {number(order.filled_quantity)} filled" if order.filled_quantity else ""
    return words(order.status) + filled


# -- ages -------------------------------------------------------------------------------------------------------


def ages_table(items: Sequence[OpenBreak], now: datetime) -> Table:
    """How many breaks of each kind are open, by how long ago each was first seen."""
    kinds: dict[str, list[OpenBreak]] = {}
    for item in items:
        kinds.setdefault(item.kind, []).append(item)
    rows = tuple(
        (kind, *(str(_count(found, now, place) or DASH) for place in range(len(_BUCKETS))), age(found[0], now))
        for kind, found in sorted(kinds.items(), key=lambda entry: entry[1][0].first_seen_at)
    )
    columns = (
        Column("Kind"),
        *(Column(title, is_number=True) for title, _ in _BUCKETS),
        Column("Oldest"),
    )
    tones = tuple(Tone.BAD if any(i.severity == "critical" for i in kinds[row[0]]) else Tone.WARN for row in rows)
    return Table("ages", "Open breaks by kind and age", columns, rows, empty="No break is open.", tones=tones)


def _count(found: Sequence[OpenBreak], now: datetime, place: int) -> int:
    least = _BUCKETS[place - 1][1] if place else timedelta.min
    return sum(least <= now - item.first_seen_at < _BUCKETS[place][1] for item in found)


def age(item: OpenBreak, now: datetime) -> str:
    """How long a break has been open."""
    old = now - item.first_seen_at
    if old < timedelta(hours=1):
        return f"{max(int(old.total_seconds()) // 60, 0)} min"
    return f"{old // timedelta(hours=1)} h" if old < timedelta(days=2) else f"{old.days} days"


def accepted_table(items: Sequence[OpenBreak]) -> Table:
    """What is lived with: by how much, within which bound, who accepted it, why and until when."""
    rows = tuple(
        (
            item.break_id[:8],
            item.kind,
            item.subject,
            number(item.difference, signed=True) if found.amount is None else number(found.amount, signed=True),
            number(found.within) if found.within else DASH,
            found.accepted_by,
            moment(found.expires_at),
            found.reason,
        )
        for item in items
        if (found := item.accepted) is not None
    )
    columns = (
        Column("Break"),
        Column("Kind"),
        Column("Subject"),
        Column("Accepted", is_number=True),
        Column("Within", is_number=True, narrow=False),
        Column("By"),
        Column("Until"),
        Column("Reason"),
    )
    note = "Each stays a break and keeps its lock. Another amount, other evidence or its time's end opens it again."
    return Table("accepted", "Accepted differences", columns, rows, note=note)


def _decision(item: OpenBreak) -> str:
    if not item.decision:
        return DASH
    said = f"{item.decision} ({item.decided_by})"
    return f"{UNBOUNDED}: {said}" if item.is_unbounded else said


def standing_table(items: Sequence[OpenBreak], now: datetime) -> Table:
    """Every open break of the account: the digits that a decision names it by, age, owner, and what was decided."""
    rows = tuple(
        (
            item.break_id[:8],
            item.kind,
            item.subject,
            number(item.difference, signed=True),
            item.state,
            age(item, now),
            _decision(item),
            item.owner,
            str(item.times_seen),
            moment(item.first_seen_at),
            item.break_id,
        )
        for item in items
    )
    columns = (
        Column("Break"),
        Column("Kind"),
        Column("Subject"),
        Column("Difference", is_number=True),
        Column("State"),
        Column("Age"),
        Column("Decision"),
        Column("Owner", narrow=False),
        Column("Seen", is_number=True, narrow=False),
        Column("First seen", narrow=False),
        Column("Break id", narrow=False),
    )
    tones = tuple(Tone.BAD if item.severity == "critical" else Tone.WARN for item in items)
    note = (
        "Suspected: a difference that may be timing, until a second run sees it too. `algotrendy breaks` decides them."
    )
    return Table("open_breaks", "Open breaks", columns, rows, note=note, tones=tones, empty="No break is open.")
