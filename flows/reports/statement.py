"""The daily statement as people read and sign it: currencies that add up, profit by instrument, what is not known."""

from __future__ import annotations

from decimal import Decimal

from flows.reports.balancing import step_of, terms_table
from flows.reports.model import (
    Bar,
    Column,
    Figure,
    Plot,
    PlotKind,
    Report,
    Section,
    Table,
    Text,
    Tone,
    WaterfallStep,
)
from flows.reports.plain import DASH, moment, number, plain, words
from trading.pnl import METHOD
from trading.reconciliation.exact import EXACT, exact_sum
from trading.statement_model import CurrencyLine, DayBreaks, InstrumentLine, Statement

WATERFALLS_MAX = 4
BARS_MAX = 24


def statement_report(result: Statement) -> Report:
    """One `Statement`."""
    tone, verdict = _verdict(result)
    return Report(
        kind="statement",
        title=f"Statement of {result.account_id} for {result.day.isoformat()}",
        subtitle=_subtitle(result),
        tone=tone,
        verdict=verdict,
        figures=_figures(result),
        sections=tuple(_sections(result)),
        data=plain(result) | {"adds_up": result.adds_up},
    )


def _subtitle(result: Statement) -> str:
    kind = "Final" if result.is_final else "Provisional"
    return f"{kind}, {moment(result.opens_at)} to {moment(result.closes_at)}"


def _verdict(result: Statement) -> tuple[Tone, str]:
    if not result.adds_up:
        return Tone.BAD, "The figures of a currency do not add up: reconcile the account before anybody signs this."
    unexplained = [item.currency for item in result.currencies if not item.is_explained]
    if result.last_run is None:
        return Tone.WARN, "The account was never reconciled: these are the ledger's figures alone."
    left = result.breaks.left
    if left:
        return Tone.WARN, f"{left} break(s) are open: the figures are the ledger's, not yet agreed."
    if unexplained:
        return (
            Tone.WARN,
            f"Nothing explains what moved {', '.join(unexplained)}: it is shown, not accounted for.",
        )
    if not result.is_final:
        return Tone.WARN, "Every currency adds up so far; the statement is provisional."
    if result.breaks.accepted:
        count = len(result.breaks.accepted)
        return Tone.NEUTRAL, f"Every currency adds up; the venue differed by {count} break(s) that a person accepted."
    return Tone.GOOD, "Opening plus every wallet change is the closing, to the last digit, in every currency."


def _figures(result: Statement) -> tuple[Figure, ...]:
    found = []
    for item in _largest(result.currencies)[:2]:
        if item.equity_closing is not None and item.equity_opening is not None:
            moved = EXACT.subtract(item.equity_closing, item.equity_opening)
            tone = Tone.NEUTRAL if moved == 0 else Tone.GOOD if moved > 0 else Tone.WARN
            note = f"{number(moved, signed=True, places_max=8)} on the day"
            found.append(Figure(f"Equity {item.currency}", number(item.equity_closing, places_max=8), note, tone))
    runs = ", ".join(f"{count} {words(outcome)}" for outcome, count in result.runs) or "none"
    return (
        *found,
        Figure("Fills", f"{result.fills:,}"),
        Figure("Reconciled", _last_run(result), f"on the day: {runs}"),
        _breaks_figure(result.breaks),
    )


def _breaks_figure(found: DayBreaks) -> Figure:
    """Those of the end of the day; the tone is that of what is open when it is made."""
    notes = [f"{len(found.accepted)} of them accepted"] if found.accepted else []
    notes += [f"{len(found.since)} otherwise since"] if found.since else []
    tone = Tone.BAD if found.left else Tone.NEUTRAL if found.opened or found.since else Tone.GOOD
    return Figure("Open breaks", str(found.opened), ", ".join(notes), tone)


def _last_run(result: Statement) -> str:
    return DASH if result.last_run is None else f"{words(result.last_run[1])} (run {result.last_run[0]})"


def _largest(items: tuple[CurrencyLine, ...]) -> list[CurrencyLine]:
    return sorted(items, key=lambda item: (-len(item.terms), item.currency))


def _sections(result: Statement) -> list[Section]:
    found: list[Section] = []
    if result.notes:
        found.append(Text("To know before signing", result.notes))
    if result.breaks.accepted:
        heading = "Accepted: the venue differed by this, and the figures below are the ledger's"
        found.append(Text(heading, result.breaks.accepted))
    if result.breaks.since:
        found.append(Text("Breaks since the end of the day", result.breaks.since))
    found.extend(_waterfall(item) for item in _largest(result.currencies)[:WATERFALLS_MAX] if item.terms)
    found.append(_currencies(result.currencies))
    if any(item.terms for item in result.currencies):
        found.append(terms_table((item.currency, item.terms) for item in result.currencies))
    if any(_earned(line) for line in result.instruments):
        found.append(_profit_plot(result.instruments))
    found += [_profit(result.instruments), _quantities(result.instruments), _basis(result)]
    return found


def _waterfall(item: CurrencyLine) -> Plot:
    """From the opening equity to the closing one; from balance to balance where a mark is missing."""
    opening, closing, unrealised = item.equity_opening, item.equity_closing, None
    if opening is None or closing is None:
        name, opening, closing = "balance", item.opening, item.closing
    else:
        name = "equity"
        assert item.unrealised_opening is not None and item.unrealised_closing is not None
        unrealised = EXACT.subtract(item.unrealised_closing, item.unrealised_opening)
    steps = [
        WaterfallStep(f"opening {name}", opening, number(opening, places_max=8), is_total=True),
        *(step_of(part) for part in item.terms),
    ]
    if unrealised:
        tone = Tone.GOOD if unrealised > 0 else Tone.WARN
        shown = number(unrealised, signed=True, places_max=8)
        steps.append(WaterfallStep("change of unrealised", unrealised, shown, tone=tone))
    end = Tone.GOOD if item.adds_up else Tone.BAD
    steps.append(WaterfallStep(f"closing {name}", closing, number(closing, places_max=8), is_total=True, tone=end))
    return Plot(
        name=f"day_{item.currency.lower()}",
        title=f"{name.capitalize()} in {item.currency}",
        kind=PlotKind.WATERFALL,
        alt=f"{item.currency}: " + ", ".join(f"{step.label} {step.shown}" for step in steps),
        axis=item.currency,
        steps=tuple(steps),
        note="The axis may begin above 0.",
    )


def _currencies(items: tuple[CurrencyLine, ...]) -> Table:
    rows = tuple(
        (
            item.currency,
            number(item.opening),
            number(item.changes, signed=True) if item.is_explained else "not told",
            number(item.closing),
            number(item.unrealised_closing, signed=True),
            number(item.equity_opening),
            number(item.equity_closing),
            "yes" if item.adds_up else "NO" if item.is_explained else "not told",
        )
        for item in items
    )
    columns = (
        Column("Currency"),
        Column("Opening", is_number=True),
        Column("Changes", is_number=True),
        Column("Closing", is_number=True),
        Column("Unrealised", is_number=True, narrow=False),
        Column("Equity before", is_number=True),
        Column("Equity after", is_number=True),
        Column("Adds up"),
    )
    tones = tuple(Tone.WARN if not i.is_explained else Tone.NEUTRAL if i.adds_up else Tone.BAD for i in items)
    note = (
        "Equity is the balance plus the unrealised profit of what settles in the currency. Currencies are not "
        "converted into each other; a coin that is held is a balance of its own."
    )
    return Table("currencies", "Balances and equity", columns, rows, note=note, tones=tones, empty="No balance.")


def _profit(lines: tuple[InstrumentLine, ...]) -> Table:
    rows = tuple(
        (
            str(line.instrument_id),
            line.currency,
            number(line.realised, signed=True),
            _fees(line),
            number(line.funding, signed=True) if line.funding else DASH,
            number(line.unrealised_closing, signed=True),
            number(line.booked, signed=True),
            number(line.unbooked, signed=True),
            number(line.unrealised_opening, signed=True),
        )
        for line in lines
    )
    columns = (
        Column("Instrument"),
        Column("In"),
        Column("Realised", is_number=True),
        Column("Fees", is_number=True),
        Column("Funding", is_number=True),
        Column("Unrealised", is_number=True),
        Column("Venue booked", is_number=True),
        Column("Beside", is_number=True, narrow=False),
        Column("Unrealised before", is_number=True, narrow=False),
    )
    tones = tuple(Tone.WARN if line.realised is None or line.unbooked else Tone.NEUTRAL for line in lines)
    note = (
        f"Realised and unrealised profit by {METHOD}, before fees. Booked is what the venue itself posted for "
        "trades in the instrument, before fees; a dash where it posts none. Beside: booked beyond average cost."
    )
    return Table("profit", "Profit by instrument", columns, rows, note=note, tones=tones, empty="Nothing was held.")


def _fees(line: InstrumentLine) -> str:
    paid = [f"{number(-amount, signed=True)} {currency}" for currency, amount in line.fees]
    return ", ".join(paid) or DASH


def _quantities(lines: tuple[InstrumentLine, ...]) -> Table:
    rows = tuple(
        (
            str(line.instrument_id),
            number(line.opening_quantity),
            number(line.bought),
            number(line.sold),
            number(line.closing_quantity),
            number(line.average_price, places_max=8),
            _mark(line),
            f"{line.fills:,}",
        )
        for line in lines
    )
    columns = (
        Column("Instrument"),
        Column("Opening", is_number=True),
        Column("Bought", is_number=True),
        Column("Sold", is_number=True),
        Column("Closing", is_number=True),
        Column("Average price", is_number=True),
        Column("Valued at"),
        Column("Fills", is_number=True, narrow=False),
    )
    return Table("holdings", "Holdings", columns, rows, note="In units of the instrument.", empty="Nothing was held.")


def _mark(line: InstrumentLine) -> str:
    if line.mark is None:
        return DASH
    source = "last fill" if line.mark.is_fill else "mark"
    return f"{number(line.mark.price)} ({source}, {line.mark.time:%Y-%m-%d %H:%M})"


def _earned(line: InstrumentLine) -> Decimal:
    moved = exact_sum((line.unrealised_closing or Decimal(0), -(line.unrealised_opening or Decimal(0))))
    return exact_sum((line.realised or Decimal(0), moved, line.funding))


def _profit_plot(lines: tuple[InstrumentLine, ...]) -> Plot:
    ordered = sorted(lines, key=_earned)
    kept = ordered if len(ordered) <= BARS_MAX else (*ordered[: BARS_MAX // 2], *ordered[-BARS_MAX // 2 :])
    bars = tuple(
        Bar(
            str(line.instrument_id),
            _earned(line),
            f"{number(_earned(line), signed=True, places_max=4)} {line.currency}",
            Tone.GOOD if _earned(line) >= 0 else Tone.BAD,
        )
        for line in kept
    )
    return Plot(
        name="earned",
        title="What each instrument earned",
        kind=PlotKind.BARS,
        alt="Realised profit, change of unrealised profit and funding of each instrument",
        axis="realised + change of unrealised + funding, before fees",
        bars=bars,
    )


def _basis(result: Statement) -> Text:
    last = result.last_run
    agreed = "never" if last is None else f"run {last[0]}, {words(last[1])}, ended {moment(last[2])}"
    return Text(
        "Basis",
        (
            "Made from the ledger's evidence: the venue's fills and wallet changes since its opening figures.",
            f"Last full reconciliation: {agreed}.",
            f"Figures sha256 {result.sha256}: equal figures give the same one.",
            "Signed: ______________________    Date: ______________",
        ),
    )
