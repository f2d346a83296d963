"""The report of a run's plan: one book over several accounts, the orders wanted, what is left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Final

from flows.reports.model import (
    BOOK_ROWS_MAX,
    BookRow,
    Column,
    Figure,
    Plot,
    PlotKind,
    Report,
    Section,
    Table,
    Text,
    Tone,
)
from flows.reports.plain import DASH, moment, number, percent, plain, words
from trading.rebalancing.model import LineAction, PlanLeg, PlanLine
from trading.rebalancing.reasons import LineReason
from trading.rebalancing.run_plan import AccountPlan, RunLine, RunPlan, run_lines
from trading.rebalancing.subscription import Split

_ACTION_TONE: Final = {LineAction.TRADE: Tone.NEUTRAL, LineAction.HOLD: Tone.GOOD, LineAction.SKIP: Tone.WARN}
_SPLIT_WORDS: Final = {
    Split.OWN_EQUITY: "each account to the weights on its own equity",
    Split.SHARES: "the joint equity in shares",
    Split.BY_INSTRUMENT: "the joint equity, each line where it is listed",
}


def run_plan_report(run: RunPlan) -> Report:
    """What the run would trade on each account, as a picture and as tables."""
    return Report(
        kind="run-plan",
        title=f"Plan for {_named(run)} on {_counted(len(run.subscription.accounts))}",
        subtitle=f"Hash {run.run_hash[:12]}, from the accounts at {moment(run.time)}, prices at most {_oldest(run)} "
        f"old; {_SPLIT_WORDS[run.subscription.split]}",
        tone=_tone(run),
        verdict=_verdict(run),
        figures=_figures(run),
        sections=tuple(_sections(run)),
        data={"run_plan": plain(run), "run_hash": run.run_hash},
    )


def _named(run: RunPlan) -> str:
    names = (run.subscription.name, run.portfolio.name)
    return names[0] if names[0] == names[1] else f"{names[0]} (portfolio {names[1]})"


def _counted(accounts: int) -> str:
    return "1 account" if accounts == 1 else f"{accounts} accounts"


def _tone(run: RunPlan) -> Tone:
    if not run.problems:
        return Tone.NEUTRAL
    return Tone.WARN if run.accounts else Tone.BAD


def _verdict(run: RunPlan) -> str:
    left_out = "".join(f" {item.account_name} is left out: {item.reason}." for item in run.problems)
    if not run.accounts:
        return f"No account can be planned.{left_out}"
    if run.is_empty:
        return f"Nothing to trade: every line is within its band or cannot be traded now.{left_out}"
    legs = [leg for _, leg in run.legs]
    reductions = sum(leg.is_reduction for leg in legs)
    on = len({name for name, _ in run.legs})
    parts = f"{reductions} reduce, {len(legs) - reductions} increase"
    return f"{len(legs)} order(s) wanted on {_counted(on)}: {parts}.{left_out}"


def _figures(run: RunPlan) -> tuple[Figure, ...]:
    expected, currency = run.expected, run.subscription.base_currency
    return (
        Figure(
            "Joint equity",
            f"{number(expected.equity, places=2)} {currency}",
            f"free after {number(expected.free_money, places=2)}",
        ),
        Figure("Drift", f"{percent(expected.drift_before)} → {percent(expected.drift_after)}", "half the sum of lines"),
        Figure(
            "Gross",
            f"{percent(expected.gross_weight_before)} → {percent(expected.gross_weight_after)}",
            f"net after {percent(expected.net_weight_after)}",
        ),
        Figure(
            "Turnover",
            f"{number(expected.turnover, places=2)} {currency}",
            f"{percent(expected.turnover / expected.equity)} of equity" if expected.equity else "",
        ),
        Figure(
            "Expected cost",
            f"{number(expected.costs, places=2)} {currency}",
            f"of which fees {number(expected.fees, places=2)}",
        ),
    )


def _oldest(run: RunPlan) -> str:
    """The age of the oldest price that the run was decided from."""
    times = [line.price_time for item in run.accounts for line in item.plan.lines if line.price_time is not None]
    return _age(_seconds(run.time, min(times)) if times else None)


def _seconds(now: datetime, then: datetime) -> Decimal:
    """Whole seconds, never below zero: venues' clocks may run ahead."""
    return Decimal(max(int((now - then).total_seconds()), 0))


def _short(account_name: str) -> str:
    """`bybit main` of bybit-simulated-main: a run's accounts are of one environment."""
    venue, _, name = account_name.split("-", 2)
    return f"{venue} {name}"


def _age(seconds: Decimal | None) -> str:
    if seconds is None:
        return DASH
    whole = int(seconds)
    if whole < 120:
        return f"{whole} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h"


def _sections(run: RunPlan) -> list[Section]:
    plot = book_plot(run.accounts, currency=run.subscription.base_currency)
    return [
        *([plot] if plot is not None else []),
        _accounts(run),
        _lines(run),
        _orders(run),
        *_reasons(run),
        *([_conversions(run)] if run.conversions else []),
        *([_unmanaged(run)] if any(item.plan.unmanaged for item in run.accounts) else []),
    ]


# -- the picture -----------------------------------------------------------------------------------------------
def book_plot(accounts: Sequence[AccountPlan], *, currency: str) -> Plot | None:
    """The picture of the accounts as one book: amounts in `currency`, weights of their joint equity."""
    rows = tuple(
        _book_row(account, line, planned, joint=_joint(accounts), currency=currency)
        for account, line, planned in _paired(accounts)
        if planned.is_managed or planned.current_quantity
    )
    if not rows:
        return None
    return Plot(
        "book",
        "Current, target and after",
        PlotKind.BOOK,
        alt="Current, target and expected weight of each line, account by account, with its band and its order",
        axis="weight, percent of the joint equity" if len(accounts) > 1 else "weight, percent of equity",
        rows=rows,
        note=f"Of {len(rows)} lines the {BOOK_ROWS_MAX} that move most are drawn." if len(rows) > BOOK_ROWS_MAX else "",
    )


def _joint(accounts: Sequence[AccountPlan]) -> Decimal:
    return sum((item.plan.equity * item.base_rate for item in accounts), Decimal(0))


def _paired(accounts: Sequence[AccountPlan]) -> list[tuple[AccountPlan, RunLine, PlanLine]]:
    """Every line in the measure of the run and in its account's own, the largest targets first within an account."""
    owned = [(item, line) for item in accounts for line in item.plan.lines]
    found = [(item, line, planned) for line, (item, planned) in zip(run_lines(accounts), owned, strict=False)]
    order = {item.account_name: place for place, item in enumerate(accounts)}
    return sorted(found, key=lambda each: (order[each[0].account_name], -each[1].target_weight, each[1].instrument_id))


def _book_row(account: AccountPlan, line: RunLine, planned: PlanLine, *, joint: Decimal, currency: str) -> BookRow:
    width = account.plan.portfolio.drift.width(planned.target_weight)
    equity = number(account.plan.equity, places=0)
    return BookRow(
        label=str(line.instrument_id),
        group=f"{line.account_name}, {equity} {account.plan.portfolio.quote_currency}",
        before=line.current_weight,
        target=line.target_weight,
        after=line.after_weight,
        band=None if width is None else width * account.plan.equity * account.base_rate / joint,
        note=_note(planned, line, currency),
        tone=_ACTION_TONE[planned.action],
    )


def _note(planned: PlanLine, line: RunLine, currency: str) -> str:
    """The order in words, or why there is none."""
    change = planned.after_quantity - planned.current_quantity
    if change == 0:
        return words(planned.reasons[0]).lower() if planned.reasons else "on target"
    value = number(abs(line.after_value - line.current_value), places=0)
    side = "buy" if change > 0 else "sell"
    return f"{side} {number(abs(change), places_max=6)} for {value} {currency}"


# -- the tables ------------------------------------------------------------------------------------------------
def _accounts(run: RunPlan) -> Table:
    rows = [_account_row(item, run) for item in run.accounts]
    rows += [
        (item.account_name, DASH, DASH, DASH, DASH, DASH, f"{item.reason}: {item.detail}") for item in run.problems
    ]
    tones = (Tone.NEUTRAL,) * len(run.accounts) + (Tone.BAD,) * len(run.problems)
    columns = (
        Column("Account"),
        Column("Equity", is_number=True),
        Column(f"In {run.subscription.base_currency}", is_number=True),
        Column("Orders", is_number=True),
        Column("Turnover", is_number=True),
        Column("Cost", is_number=True),
        Column("Left out because"),
    )
    return Table("accounts", "Accounts", columns, tuple(rows), tones=tones)


def _account_row(item: AccountPlan, run: RunPlan) -> tuple[str, ...]:
    plan, currency = item.plan, item.plan.portfolio.quote_currency
    joint = run.expected.equity
    share = f" ({percent(plan.equity * item.base_rate / joint, places=0)})" if joint and len(run.accounts) > 1 else ""
    return (
        item.account_name,
        f"{number(plan.equity, places=2)} {currency}",
        f"{number(plan.equity * item.base_rate, places=2)}{share}",
        str(len(plan.legs)),
        f"{number(plan.expected.turnover, places=2)} {currency}",
        f"{number(plan.expected.costs, places=2)} {currency}",
        "",
    )


def _lines(run: RunPlan) -> Table:
    pairs, ids = _paired(run.accounts), _ids(run)
    rows = tuple(
        (
            str(line.instrument_id),
            _short(line.account_name),
            percent(line.current_weight),
            percent(line.target_weight),
            percent(line.after_weight),
            number(line.after_value - line.current_value, places=2, signed=True),
            ", ".join(reason.value for reason in planned.reasons),
            number(planned.after_quantity - planned.current_quantity, signed=True),
            number(planned.current_quantity),
            number(planned.price),
            _price_age(planned, run.time),
            ids[line.account_name],
        )
        for _, line, planned in pairs
    )
    columns = (
        Column("Line"),
        Column("At"),
        Column("Current", is_number=True),
        Column("Target", is_number=True),
        Column("After", is_number=True),
        Column(f"Trade, {run.subscription.base_currency}", is_number=True),
        Column("Reasons"),
        Column("Change", is_number=True, narrow=False),
        Column("Quantity", is_number=True, narrow=False),
        Column("Price", is_number=True, narrow=False),
        Column("Price age", is_number=True, narrow=False),
        Column("Account", narrow=False),
    )
    tones = tuple(_ACTION_TONE[planned.action] for _, _, planned in pairs)
    return Table("lines", "Lines", columns, rows, tones=tones, note="Weights are of the joint equity.")


def _price_age(line: PlanLine, time: datetime) -> str:
    return DASH if line.price_time is None else _age(_seconds(time, line.price_time))


def _ids(run: RunPlan) -> dict[str, str]:
    return {item.account_name: str(item.plan.account_id) for item in run.accounts}


def part_words(leg: PlanLeg) -> str:
    """What an order for a part of a share has to be; nothing where the leg is of whole lots."""
    return f" ({words(leg.part_time_in_force)})" if leg.has_part and leg.part_time_in_force else ""


def _orders(run: RunPlan) -> Table:
    ids = _ids(run)
    currencies = {item.account_name: item.plan.portfolio.quote_currency for item in run.accounts}
    rows = tuple(
        (
            f"{leg.number}",
            _short(name),
            str(leg.instrument_id),
            f"{words(leg.side)} {number(leg.quantity)}{part_words(leg)}",
            number(leg.price),
            f"{number(leg.notional, places=2)} {currencies[name]}",
            "reduces" if leg.is_reduction else "increases",
            number(leg.cost, places=4),
            ", ".join(map(str, leg.after_legs)),
            ids[name],
        )
        for name, leg in run.legs
    )
    columns = (
        Column("Leg", is_number=True),
        Column("At"),
        Column("Instrument"),
        Column("Order"),
        Column("Expected price", is_number=True),
        Column("Notional", is_number=True),
        Column("Effect"),
        Column("Cost", is_number=True, narrow=False),
        Column("After legs", narrow=False),
        Column("Account", narrow=False),
    )
    return Table("legs", "Orders wanted", columns, rows, empty="No order.")


def _reasons(run: RunPlan) -> Iterable[Section]:
    """What each reason of a skipped line means, said once."""
    found = {
        reason
        for item in run.accounts
        for line in item.plan.lines
        for reason in line.reasons
        if reason is not LineReason.WITHIN_BAND
    }
    if found:
        yield Text("What the reasons mean", tuple(f"{r.value}: {r.meaning} {r.remedy}" for r in sorted(found, key=str)))


def _conversions(run: RunPlan) -> Table:
    rows = tuple(
        (
            f"1 {item.currency}",
            f"{number(item.rate, places_max=8)} {run.subscription.base_currency}",
            "fixed in the subscription" if item.time is None else f"mid of {item.source}",
            DASH if item.time is None else _age(_seconds(run.time, item.time)),
        )
        for item in run.conversions
    )
    columns = (Column("Currency"), Column("Counted as", is_number=True), Column("From"), Column("Age", is_number=True))
    return Table("conversions", "Conversions", columns, rows)


def _unmanaged(run: RunPlan) -> Table:
    rows = tuple(
        (item.account_name, held.name, number(held.quantity), number(held.notional, places=2), held.reason.value)
        for item in run.accounts
        for held in item.plan.unmanaged
    )
    columns = (
        Column("Account"),
        Column("Holding"),
        Column("Quantity", is_number=True),
        Column("Notional", is_number=True),
        Column("Reason"),
    )
    return Table("unmanaged", "Held, and not in the portfolio", columns, rows)
