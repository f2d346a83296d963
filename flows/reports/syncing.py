"""The report of a sync: what the account holds, what was new since the last one, what could not be told."""

from __future__ import annotations

from decimal import Decimal

from flows.reports import tables
from flows.reports.model import Bar, Column, Figure, Plot, PlotKind, Report, Section, Table, Text, Tone
from flows.reports.plain import DASH, moment, number, plain, words
from ledger.records import Imported
from trading.sync import PositionValue, SyncResult


def sync_report(result: SyncResult) -> Report:
    """One `SyncResult` as people read it."""
    tone, verdict = _verdict(result)
    return Report(
        kind="sync",
        title=f"Positions of {result.account_id}",
        subtitle=f"{words(result.purpose).capitalize()} {result.snapshot_id}, taken {moment(result.taken_at)}",
        tone=tone,
        verdict=verdict,
        figures=_figures(result),
        sections=tuple(_sections(result)),
        data=plain(result),
    )


def _verdict(result: SyncResult) -> tuple[Tone, str]:
    if result.unmapped_cash_events:
        count = len(result.unmapped_cash_events)
        return Tone.BAD, f"{count} wallet change(s) of a kind that we do not know: reconciliation will report them."
    if result.missing_orders:
        return Tone.WARN, f"{len(result.missing_orders)} order(s) that the ledger holds for open are not at the venue."
    if not result.is_settled:
        return Tone.WARN, "Stored, but something landed while the account was read: the next sync completes it."
    first = "Opening figures stored" if result.is_baseline else "Synced"
    told = "order, fill and wallet change" if result.has_cash_feed else "order and fill"
    more = "" if result.has_cash_feed else " It shows no wallet changes."
    return Tone.GOOD, f"{first}: the ledger has every {told} that the venue shows.{more}"


def _figures(result: SyncResult) -> tuple[Figure, ...]:
    return (
        Figure("Positions", str(len(result.positions)), f"{len(result.open_orders)} open orders"),
        Figure("Currencies", str(len(result.balances))),
        Figure("New fills", str(result.fills.new), _known(result.fills)),
        Figure("New wallet changes", str(result.cash_events.new), _known(result.cash_events))
        if result.has_cash_feed
        else Figure("New wallet changes", DASH, "the venue shows none"),
    )


def _known(item: Imported) -> str:
    return f"{item.known} known already" + (f", {item.changed} changed" if item.changed else "")


def _sections(result: SyncResult) -> list[Section]:
    found: list[Section] = []
    priced = [value for value in result.values if value.notional is not None]
    if priced:
        found.append(_exposure(priced))
    found.append(tables.balances(result.balances))
    found.append(tables.positions(result.positions))
    found.append(_values(result.values))
    found.append(tables.orders(result.open_orders, title="Open orders", name="open_orders"))
    if result.differences:
        found.append(Text("Changed since the last reading", result.differences))
    if result.missing_orders:
        found.append(Text("Open in the ledger, not at the venue", result.missing_orders))
    return found


def _exposure(values: list[PositionValue]) -> Plot:
    ordered = sorted(values, key=lambda value: abs(value.notional or Decimal(0)), reverse=True)[:24]
    bars = tuple(
        Bar(
            str(value.position.instrument_id),
            value.notional or Decimal(0),
            f"{number(value.notional, places=2)} {value.currency}",
        )
        for value in ordered
    )
    return Plot(
        name="exposure",
        title="Exposure",
        kind=PlotKind.BARS,
        alt="Notional of each position, short positions to the left",
        axis="notional in quote currency",
        bars=bars,
    )


def _values(values: tuple[PositionValue, ...]) -> Table:
    rows = tuple(
        (
            str(value.position.instrument_id),
            number(value.position.quantity),
            number(value.price),
            DASH if value.notional is None else f"{number(value.notional, places=2)} {value.currency}",
            DASH if value.quote is None else moment(value.quote.time),
        )
        for value in values
    )
    columns = (
        Column("Instrument"),
        Column("Quantity", is_number=True),
        Column("Price", is_number=True),
        Column("Notional", is_number=True),
        Column("Quoted at"),
    )
    return Table("values", "Value of positions", columns, rows, empty="No open position.")
