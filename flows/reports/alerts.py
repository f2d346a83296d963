"""Reports of alerts: what became of the newest ones, the story of one, and the routes that count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Final

from flows.reports.model import Bar, Column, Curve, Figure, Plot, PlotKind, Report, Section, Table, Text, Tone
from flows.reports.orders import intents_table
from flows.reports.plain import DASH, exact, moment, number, plain, seconds, words
from ledger.inbox import Backlog, InboxState, StoredEvent
from trading.alerts.overview import AlertLine, AlertStory, Overview
from trading.alerts.reasons import AlertReason
from trading.alerts.routing import AlertConfig, Route
from trading.alerts.values import AlertPlan

S = InboxState
_TONE: Final = {
    S.PLACED: Tone.GOOD,
    S.NOTHING_TO_DO: Tone.GOOD,
    S.DUPLICATE: Tone.NEUTRAL,
    S.EXPIRED: Tone.WARN,
    S.REFUSED: Tone.WARN,
    S.POISON: Tone.BAD,
    S.CONFLICT: Tone.BAD,
    S.DEAD: Tone.BAD,
    S.NEEDS_HUMAN: Tone.BAD,
}
DETAIL_MAX = 160


def alerts_report(seen: Overview) -> Report:
    """The newest alerts: what became of each, counts by end, and how long the way to the order took."""
    tone, verdict = _verdict(seen)
    latencies = sorted(line.latency for line in seen.lines if line.latency is not None)
    sections: list[Section] = []
    if seen.lines:
        sections.append(_ends(seen))
    if latencies:
        sections.append(_latency(seen))
    if seen.backlog.stopped_lanes:
        sections.append(_lanes(seen.backlog))
    sections.append(alerts_table(seen.lines))
    return Report(
        kind="alerts",
        title=f"Alerts of {seen.environment}",
        subtitle=f"The newest {len(seen.lines)}, as of {moment(seen.backlog.now)}",
        tone=tone,
        verdict=verdict,
        figures=_figures(seen, latencies),
        sections=tuple(sections),
        data={"alerts": [_plain(line) for line in seen.lines], "backlog": plain(_waiting(seen.backlog))},
    )


def _verdict(seen: Overview) -> tuple[Tone, str]:
    stopped, counts = seen.backlog.stopped_lanes, seen.backlog.counts
    if stopped:
        return Tone.BAD, f"{len(stopped)} lane(s) stand still until a person has looked: {stopped[0].lane}."
    bad = sum(counts.get(state, 0) for state in (S.DEAD, S.POISON, S.CONFLICT, S.NEEDS_HUMAN))
    if bad:
        return Tone.WARN, f"{bad} alert(s) ended without being understood or carried out: see their reasons."
    if seen.backlog.open:
        return Tone.GOOD, f"{seen.backlog.open} alert(s) are under way, the oldest for {seconds(_age(seen.backlog))}."
    if not seen.lines:
        return Tone.NEUTRAL, "No alert has come in yet."
    return Tone.GOOD, "Every alert is over, each with a reason."


def _age(backlog: Backlog) -> Decimal:
    return Decimal(str(round(backlog.oldest_age_s, 3)))


def _figures(seen: Overview, latencies: Sequence[timedelta]) -> tuple[Figure, ...]:
    counts = seen.counts
    bad = [state for state in (S.DEAD, S.POISON, S.CONFLICT, S.NEEDS_HUMAN) if counts.get(state)]
    return (
        Figure("Alerts shown", str(len(seen.lines))),
        Figure("Placed", str(counts.get(S.PLACED, 0)), "their orders are acknowledged or over"),
        Figure(
            "Under way",
            str(seen.backlog.open),
            "" if not seen.backlog.open else f"oldest {seconds(_age(seen.backlog))}",
        ),
        Figure(
            "For a person",
            str(sum(counts.get(state, 0) for state in bad)),
            ", ".join(words(state) for state in bad),
            Tone.BAD if bad else Tone.GOOD,
        ),
        Figure("Alert to order, median", seconds(_share(latencies, 50)), "from receipt to the commit before the send"),
        Figure("Alert to order, worst of 99 %", seconds(_share(latencies, 99))),
    )


def _share(ordered: Sequence[timedelta], percent: int) -> timedelta | None:
    """The value below which so many of them lie; None without any."""
    return ordered[min(len(ordered) * percent // 100, len(ordered) - 1)] if ordered else None


def _ends(seen: Overview) -> Plot:
    bars = tuple(
        Bar(words(state), Decimal(count), str(count), _TONE.get(state, Tone.NEUTRAL))
        for state, count in seen.counts.items()
    )
    return Plot("ends", "How they stand", PlotKind.BARS, "Number of alerts by state", axis="alerts", bars=bars)


def _latency(seen: Overview) -> Plot:
    points = tuple(
        (line.stored.received_at, _in_ms(line.latency)) for line in reversed(seen.lines) if line.latency is not None
    )
    return Plot(
        name="latency",
        title="From alert to order",
        kind=PlotKind.CURVES,
        alt="Milliseconds from the receipt of each alert to its first order, over time",
        axis="milliseconds",
        curves=(Curve("alert to order", points),),
    )


def _in_ms(value: timedelta) -> Decimal:
    return Decimal(value // timedelta(microseconds=1)) / 1_000


def _lanes(backlog: Backlog) -> Table:
    rows = tuple((lane.lane, lane.reason, str(lane.stopped_by or DASH)) for lane in backlog.stopped_lanes)
    columns = (Column("Lane"), Column("Why"), Column("Alert", is_number=True))
    note = "Decide about the order at the venue (algotrendy decide), then replay the alert, or restart the lane."
    return Table("lanes", "Lanes that stand still", columns, rows, note=note, tones=(Tone.BAD,) * len(rows))


def alerts_table(lines: Sequence[AlertLine], *, title: str = "Alerts") -> Table:
    """One row an alert, newest first."""
    rows = tuple(
        (
            str(line.stored.alert_id),
            moment(line.stored.received_at),
            line.stored.source,
            line.what,
            words(line.stored.state),
            line.stored.reason,
            _orders(line) or _short(line.stored.detail),
            line.stored.strategy,
            line.stored.account_id,
            str(line.stored.deliveries),
            _key(line),
            DASH if line.latency is None else f"{number(_in_ms(line.latency), places=1)} ms",
        )
        for line in lines
    )
    columns = (
        Column("Alert", is_number=True),
        Column("Received"),
        Column("Source"),
        Column("What"),
        Column("State"),
        Column("Reason"),
        Column("Orders, or why not"),
        Column("Strategy", narrow=False),
        Column("Account", narrow=False),
        Column("Deliveries", is_number=True, narrow=False),
        Column("Told apart by", narrow=False),
        Column("To the order", is_number=True, narrow=False),
    )
    tones = tuple(_TONE.get(line.stored.state, Tone.NEUTRAL) for line in lines)
    return Table("alerts", title, columns, rows, empty="No alert.", tones=tones)


def _key(line: AlertLine) -> str:
    kind = line.stored.key_kind.value
    flag = f", {line.stored.flag}" if line.stored.flag else ""
    return f"{kind or DASH}{flag}" if line.stored.duplicate_of is None else f"repeats {line.stored.duplicate_of}"


def _orders(line: AlertLine) -> str:
    return "; ".join(
        f"{view.request.side.value} {number(view.request.quantity)} {words(view.state)}"
        + (f" at {number(view.average_price, places_max=8)}" if view.average_price is not None else "")
        for view in line.orders
    )


def _short(text: str) -> str:
    return text if len(text) <= DETAIL_MAX else text[: DETAIL_MAX - 1] + "…"


def _plain(line: AlertLine) -> object:
    """Everything but the raw bytes, which may hold what is not ours to show."""
    stored = plain(line.stored)
    stored.pop("raw")
    latency = None if line.latency is None else exact(_in_ms(line.latency))
    return {**stored, "orders": plain(list(line.orders)), "sent_at": plain(line.sent_at), "latency_ms": latency}


def _waiting(backlog: Backlog) -> dict[str, object]:
    return {
        "counts": {state.value: count for state, count in backlog.counts.items()},
        "oldest_open_at": backlog.oldest_open_at,
        "stopped_lanes": [lane.lane for lane in backlog.stopped_lanes],
    }


# -- one alert --------------------------------------------------------------------------------------------------
def story_report(story: AlertStory) -> Report:
    """One alert from its receipt to its end."""
    line, stored = story.line, story.line.stored
    sections: list[Section] = [_facts(line), _events(story.events)]
    if line.orders:
        sections.append(intents_table(list(line.orders), title="Its orders", name="orders"))
    if stored.review:
        sections.append(Text("What the reviewer said", (stored.review,)))
    return Report(
        kind="alert",
        title=f"Alert {stored.alert_id}: {line.what}",
        subtitle=f"From {stored.source}, received {moment(stored.received_at)}",
        tone=_TONE.get(stored.state, Tone.NEUTRAL),
        verdict=f"{words(stored.state).capitalize()} ({stored.reason}){': ' + stored.detail if stored.detail else ''}",
        figures=(),
        sections=tuple(sections),
        data={"alert": _plain(line), "events": plain(list(story.events))},
    )


def _facts(line: AlertLine) -> Table:
    stored = line.stored
    rows = [
        ("Strategy", stored.strategy or DASH),
        ("Account", stored.account_id or DASH),
        ("Instrument", stored.instrument_id or DASH),
        ("Its own time", moment(stored.alert_time)),
        ("Time is over", moment(stored.expires_at)),
        ("Told apart by", _key(line)),
        ("Deliveries", str(stored.deliveries)),
        ("Attempts", str(stored.attempts)),
        ("From address", stored.source_ip or DASH),
        (
            "Body",
            f"{len(stored.raw)} bytes, sha256 {stored.body_sha256[:16]}…" if stored.raw_kept else "no longer kept",
        ),
    ]
    return Table("facts", "Facts", (Column("What"), Column("Value")), tuple(rows))


def _events(events: Sequence[StoredEvent]) -> Table:
    rows = tuple(
        (moment(event.at), words(event.to_state), event.reason, _short(_detail(event)), event.worker)
        for event in events
    )
    columns = (Column("At"), Column("State"), Column("Reason"), Column("Detail"), Column("Who", narrow=False))
    return Table("events", "What happened", columns, rows)


def _detail(event: StoredEvent) -> str:
    """What was noted, in words: a decision is kept as JSON for whoever takes over."""
    if event.reason != AlertReason.ORDERS_DECIDED.value:
        return event.detail
    try:
        legs = AlertPlan.from_json(event.detail).legs
    except ValueError:
        return event.detail
    return ", then ".join(
        f"{leg.name.value}: {leg.request.side.value} {number(leg.request.quantity)} {words(leg.request.order_type)}"
        for leg in legs
    )


# -- routes -----------------------------------------------------------------------------------------------------
def routes_report(config: AlertConfig) -> Report:
    """The sources and routes, as they count once they are applied."""
    return Report(
        kind="routes",
        title="Sources and routes of alerts",
        subtitle=f"sha256 {config.sha256[:16]}",
        tone=Tone.GOOD,
        verdict=f"{len(config.sources)} source(s) and {len(config.routes)} route(s), each alert taken by one at most.",
        figures=(Figure("Sources", str(len(config.sources))), Figure("Routes", str(len(config.routes)))),
        sections=(sources_table(config), routes_table(config)),
        data=plain(config),
    )


def sources_table(config: AlertConfig) -> Table:
    """One row a source."""
    rows = tuple(
        (
            source.name,
            words(source.dialect),
            "needed" if source.require_explicit_key else "not needed",
            "needed" if source.require_time else "not needed",
            f"{source.max_age_s} s",
            ", ".join(sorted(source.secrets)) or DASH,
        )
        for source in config.sources
    )
    columns = tuple(Column(title) for title in ("Source", "Dialect", "Id", "Time", "Oldest", "Secret fields"))
    return Table("sources", "Sources", columns, rows, empty="No source.")


def routes_table(config: AlertConfig) -> Table:
    """One row a route."""
    rows = tuple(_route(route) for route in config.routes)
    columns = (
        Column("Route"),
        Column("Source"),
        Column("Strategy"),
        Column("Symbol"),
        Column("Account and instrument"),
        Column("Limits"),
        Column("Allows"),
        Column("Closed market", narrow=False),
        Column("Reviewer", narrow=False),
    )
    return Table("routes", "Routes", columns, rows, empty="No route.")


def _route(route: Route) -> tuple[str, ...]:
    instrument = (
        str(route.instrument) if route.instrument else f"{len(route.roll)} contracts" if route.roll else "by symbol"
    )
    limits = (
        ("at most", route.quantity_max),
        ("worth", route.notional_max),
        ("position", route.position_max),
        ("default", route.quantity),
    )
    return (
        route.name,
        route.source,
        route.strategy,
        route.symbol,
        f"{route.account} {instrument}",
        ", ".join(f"{name} {number(value)}" for name, value in limits if value is not None),
        ", ".join(sorted(words(action) for action in route.actions)) or "exits only",
        f"{route.calendar}: {words(route.when_closed)}" if route.calendar else "always open",
        f"{route.review.kind.value} {route.review.url}" if route.review else DASH,
    )
