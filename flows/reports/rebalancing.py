"""The report of a plan and of a rebalance: drift before and after, each line's verdict, each leg's fate, the costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from flows.reports.model import Bar, Column, DriftLine, Figure, Plot, PlotKind, Report, Section, Table, Tone
from flows.reports.plain import DASH, moment, number, percent, plain, words
from flows.reports.run_plan import book_plot, part_words
from ledger.states import PlanState
from trading.plans import RebalanceResult
from trading.rebalancing.model import LineAction, Plan, PlanLine
from trading.rebalancing.release import LegState
from trading.rebalancing.run_plan import AccountPlan
from trading.rebalancing.verdict import LegResult, LineResult, PlanResult, Verdict
from trading.sync import SyncResult

_VERDICT_TONE: Final = {
    Verdict.REACHED: Tone.GOOD,
    Verdict.WITHIN_BAND: Tone.GOOD,
    Verdict.SKIPPED: Tone.WARN,
    Verdict.RESIDUAL: Tone.WARN,
    Verdict.REFUSED: Tone.BAD,
    Verdict.UNRESOLVED: Tone.BAD,
    Verdict.DISAGREES: Tone.BAD,
}
_STATE_TONE: Final = {
    PlanState.PLANNED: Tone.NEUTRAL,
    PlanState.EXECUTING: Tone.WARN,
    PlanState.COMPLETED: Tone.GOOD,
    PlanState.COMPLETED_ADJUSTED: Tone.WARN,
    PlanState.FAILED: Tone.BAD,
    PlanState.CANCELLED_MID_RUN: Tone.WARN,
}
_LEG_TONE: Final = {LegState.DONE: Tone.GOOD, LegState.REFUSED: Tone.BAD, LegState.UNRESOLVED: Tone.BAD}


# -- a plan that was not executed -------------------------------------------------------------------------------
def plan_report(plan: Plan, *, plan_id: str = "") -> Report:
    """What would be traded and why."""
    return Report(
        kind="plan",
        title=f"Plan for {plan.portfolio.name} on {plan.account_id}",
        subtitle=_plan_subtitle(plan, plan_id),
        tone=Tone.NEUTRAL,
        verdict=_plan_verdict(plan),
        figures=_plan_figures(plan),
        sections=tuple(_plan_sections(plan)),
        data={"plan_id": plan_id, "plan": plain(plan)},
    )


def _plan_subtitle(plan: Plan, plan_id: str) -> str:
    name = f"Plan {plan_id[:12]}, " if plan_id else ""
    return f"{name}hash {plan.plan_hash[:12]}, from the account at {moment(plan.time)}"


def _plan_verdict(plan: Plan) -> str:
    if plan.is_empty:
        return "Nothing to trade: every line is within its band or cannot be traded now."
    reductions = sum(leg.is_reduction for leg in plan.legs)
    return f"{len(plan.legs)} order(s) wanted: {reductions} reduce, {len(plan.legs) - reductions} increase."


def _plan_figures(plan: Plan) -> tuple[Figure, ...]:
    currency = plan.portfolio.quote_currency
    expected = plan.expected
    return (
        Figure("Equity", f"{number(plan.equity, places=2)} {currency}", f"free {number(plan.free_money, places=2)}"),
        Figure("Drift", f"{percent(expected.drift_before)} → {percent(expected.drift_after)}", "half the sum of lines"),
        Figure("Turnover", f"{number(expected.turnover, places=2)} {currency}", _of_equity(expected.turnover, plan)),
        Figure(
            "Expected cost",
            f"{number(expected.costs, places=2)} {currency}",
            f"fees {number(expected.fees, places=2)}",
        ),
    )


def _of_equity(amount: Decimal, plan: Plan) -> str:
    return f"{percent(amount / plan.equity)} of equity" if plan.equity else ""


def _plan_sections(plan: Plan) -> list[Section]:
    own = AccountPlan(account_name=str(plan.account_id), plan=plan, base_rate=Decimal(1))
    book = book_plot([own], currency=plan.portfolio.quote_currency)
    return [
        *([book] if book is not None else []),
        _plan_lines(plan),
        _plan_legs(plan),
        *([_unmanaged(plan)] if plan.unmanaged else []),
    ]


def _drift_line(
    line: PlanLine | LineResult, *, before: Decimal, after: Decimal, target: Decimal, plan: Plan
) -> DriftLine:
    return DriftLine(str(line.instrument_id), target, before, after, plan.portfolio.tolerance)


def _weight_plots(lines: tuple[DriftLine, ...], *, after: str) -> list[Section]:
    if not lines:
        return []
    note = f"The green band is the portfolio's tolerance, {percent(lines[0].band)} of equity to either side."
    more = "" if len(lines) <= 24 else f" Of {len(lines)} lines the 24 furthest from their targets are drawn."
    return [
        Plot(
            "drift",
            "Drift from target, before and after",
            PlotKind.DRIFT,
            alt=f"Drift of each line before the rebalance and {after} after it, against the tolerance band",
            lines=lines,
            note=note + more,
        ),
        Plot(
            "weights",
            "Weights",
            PlotKind.WEIGHTS,
            alt=f"Current, target and {after} weight of each line",
            lines=lines,
        ),
    ]


def _plan_lines(plan: Plan) -> Table:
    tones = {LineAction.TRADE: Tone.NEUTRAL, LineAction.HOLD: Tone.GOOD, LineAction.SKIP: Tone.WARN}
    rows = tuple(
        (
            str(line.instrument_id),
            words(line.action),
            percent(line.current_weight),
            percent(line.target_weight),
            percent(line.after_weight),
            number(line.after_quantity - line.current_quantity, signed=True),
            ", ".join(reason.value for reason in line.reasons),
            number(line.current_quantity),
            number(line.price),
        )
        for line in plan.lines
    )
    columns = (
        Column("Line"),
        Column("Action"),
        Column("Current", is_number=True),
        Column("Target", is_number=True),
        Column("Expected", is_number=True),
        Column("Change", is_number=True),
        Column("Reasons"),
        Column("Quantity", is_number=True, narrow=False),
        Column("Price", is_number=True, narrow=False),
    )
    return Table("lines", "Lines", columns, rows, tones=tuple(tones[line.action] for line in plan.lines))


def _plan_legs(plan: Plan) -> Table:
    rows = tuple(
        (
            str(leg.number),
            str(leg.instrument_id),
            words(leg.side),
            f"{number(leg.quantity)}{part_words(leg)}",
            number(leg.price),
            number(leg.notional, places=2),
            "reduces" if leg.is_reduction else "increases",
            ", ".join(map(str, leg.after_legs)),
        )
        for leg in plan.legs
    )
    columns = (
        Column("Leg", is_number=True),
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Expected price", is_number=True),
        Column("Notional", is_number=True),
        Column("Effect"),
        Column("After legs", narrow=False),
    )
    return Table("legs", "Orders wanted", columns, rows, empty="No order.")


def _unmanaged(plan: Plan) -> Table:
    rows = tuple(
        (item.name, number(item.quantity), number(item.notional, places=2), item.reason.value)
        for item in plan.unmanaged
    )
    columns = (
        Column("Holding"),
        Column("Quantity", is_number=True),
        Column("Notional", is_number=True),
        Column("Reason"),
    )
    return Table("unmanaged", "Held, and not in the portfolio", columns, rows)


# -- a rebalance ------------------------------------------------------------------------------------------------
def rebalance_report(result: RebalanceResult) -> Report:
    """One `RebalanceResult`: the proof where there is one, else the plan and why it has not ended."""
    stored = result.plan
    changes = before_and_after(result.before, result.after)
    if result.result is not None:
        report = executed_report(stored.plan, result.result, plan_id=stored.plan_id, extra=changes)
    else:
        report = plan_report(stored.plan, plan_id=stored.plan_id)
        is_plan_only = result.state is PlanState.PLANNED
        report = replace(
            report,
            kind="plan" if is_plan_only else "rebalance",
            tone=_STATE_TONE[result.state],
            verdict=report.verdict if is_plan_only else f"The plan has not reached its proof: {result.message}",
            sections=(*report.sections, *changes),
        )
    return replace(report, data={**report.data, "state": result.state.value, **_run_data(result)})


def _run_data(result: RebalanceResult) -> dict[str, Any]:
    return {
        "business_key": result.plan.business_key,
        "is_resumed": result.is_resumed,
        "message": result.message,
        "before": plain(result.before),
        "after": plain(result.after),
    }


def before_and_after(before: SyncResult | None, after: SyncResult | None) -> tuple[Section, ...]:
    """Positions and balances before and after, where there are readings."""
    if before is None and after is None:
        return ()
    return (_positions_change(before, after), _balances_change(before, after))


def _positions_change(before: SyncResult | None, after: SyncResult | None) -> Table:
    old = {(p.instrument_id, p.side): p for p in before.positions} if before else {}
    new = {(p.instrument_id, p.side): p for p in after.positions} if after else {}
    names = sorted({key for key, _ in (*old, *new)})
    rows = []
    for name in names:
        was = sum((p.quantity for key, p in old.items() if key[0] == name), Decimal(0))
        now = sum((p.quantity for key, p in new.items() if key[0] == name), Decimal(0))
        held = next((p for key, p in new.items() if key[0] == name), None)
        rows.append(
            (
                str(name),
                number(was) if before else DASH,
                number(now) if after else DASH,
                number(now - was, signed=True) if before and after else DASH,
                number(held.average_price if held else None),
                number(held.mark_price if held else None),
                number(held.unrealised_pnl if held else None, signed=True),
            )
        )
    columns = (
        Column("Instrument"),
        Column("Before", is_number=True),
        Column("After", is_number=True),
        Column("Change", is_number=True),
        Column("Average price", is_number=True),
        Column("Mark price", is_number=True, narrow=False),
        Column("Unrealised", is_number=True),
    )
    return Table("positions", "Positions before and after", columns, tuple(rows), empty="No open position.")


def _balances_change(before: SyncResult | None, after: SyncResult | None) -> Table:
    old = {item.currency: item.total for item in before.balances} if before else {}
    new = {item.currency: item.total for item in after.balances} if after else {}
    rows = tuple(
        (
            name,
            number(old.get(name, Decimal(0))) if before else DASH,
            number(new.get(name, Decimal(0))) if after else DASH,
            number(new.get(name, Decimal(0)) - old.get(name, Decimal(0)), signed=True) if before and after else DASH,
        )
        for name in sorted({*old, *new})
    )
    columns = (
        Column("Currency"),
        Column("Before", is_number=True),
        Column("After", is_number=True),
        Column("Change", is_number=True),
    )
    return Table("balances", "Balances before and after", columns, rows)


# -- a plan that was executed -----------------------------------------------------------------------------------
def executed_report(plan: Plan, result: PlanResult, *, plan_id: str, extra: Sequence[Section] = ()) -> Report:
    """What was reached, by the venue's own figures; `extra` sections follow the tables of the plan."""
    lines = tuple(
        _drift_line(line, before=line.weight_before, after=line.weight_after, target=line.target_weight, plan=plan)
        for line in result.lines
    )
    return Report(
        kind="rebalance",
        title=f"Rebalance {plan.portfolio.name} on {plan.account_id}",
        subtitle=f"Plan {plan_id[:12]}, hash {plan.plan_hash[:12]}, venue read again at {moment(result.checked_at)}",
        tone=_STATE_TONE[result.state],
        verdict=_result_verdict(result),
        figures=_result_figures(plan, result),
        sections=(
            *_weight_plots(lines, after="found"),
            _costs(plan, result),
            _result_lines(result),
            _result_legs(result),
            *extra,
            *([_unmanaged(plan)] if plan.unmanaged else []),
        ),
        data={"plan_id": plan_id, "plan": plain(plan), "result": plain(result)},
        evidence={"orders": [_leg_evidence(leg) for leg in result.legs if leg.orders]},
    )


def _leg_evidence(leg: LegResult) -> dict[str, Any]:
    return {
        "instrument": str(leg.instrument_id),
        "side": leg.side.value,
        "quantity": plain(leg.quantity),
        "filled_quantity": plain(leg.filled_quantity),
        "average_price": plain(leg.average_price),
        "state": leg.state.value,
        "reason": leg.reason,
        "orders": leg.orders,
    }


def _result_verdict(result: PlanResult) -> str:
    held = sum(line.verdict.is_target for line in result.lines)
    total = len(result.lines)
    if result.state is PlanState.COMPLETED:
        return f"Target reached: the venue holds all {total} lines within tolerance or band."
    unproved = [line for line in result.lines if not line.verdict.is_proved]
    if unproved:
        return f"Not proved: {len(unproved)} of {total} lines need a person ({_names(unproved)})."
    other = [line for line in result.lines if not line.verdict.is_target]
    ended = "Failed" if result.state is PlanState.FAILED else "Ended with proof, but not on target"
    return f"{ended}: {held} of {total} lines hold their target; see the reasons of {_names(other)}."


def _names(lines: Sequence[LineResult]) -> str:
    names = [str(line.instrument_id) for line in lines]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _result_figures(plan: Plan, result: PlanResult) -> tuple[Figure, ...]:
    currency = plan.portfolio.quote_currency
    cost = result.fees + result.shortfall
    sent = sum(leg.orders for leg in result.legs)
    filled = sum(leg.filled_quantity == leg.quantity for leg in result.legs)
    return (
        Figure("Equity after", f"{number(result.equity_after, places=2)} {currency}"),
        Figure(
            "Drift",
            f"{percent(result.drift_before)} → {percent(result.drift_after)}",
            "half the sum of lines",
            _STATE_TONE[result.state],
        ),
        Figure("Orders", str(sent), f"{filled} of {len(result.legs)} legs filled in full"),
        Figure("Turnover", f"{number(result.turnover, places=2)} {currency}", _of_equity(result.turnover, plan)),
        Figure("Cost", f"{number(cost, places=2)} {currency}", _of_equity(cost, plan)),
    )


def _costs(plan: Plan, result: PlanResult) -> Plot:
    def bar(label: str, value: Decimal, tone: Tone = Tone.NEUTRAL) -> Bar:
        return Bar(label, value, number(value, places=2), Tone.GOOD if value < 0 else tone)

    expected = plan.expected
    return Plot(
        "costs",
        "Costs",
        PlotKind.BARS,
        alt="Fees and shortfall against what the plan expected",
        axis=plan.portfolio.quote_currency,
        bars=(
            bar("fees", result.fees),
            bar("fees expected", expected.fees),
            bar("shortfall", result.shortfall, Tone.WARN),
            bar("all costs", result.fees + result.shortfall),
            bar("all costs expected", expected.costs),
        ),
        note="Shortfall is what was paid against the plan's mid prices; a negative figure was earned. "
        "What was expected is the assumed cost of the portfolio, not a forecast.",
    )


def _result_lines(result: PlanResult) -> Table:
    rows = tuple(
        (
            str(line.instrument_id),
            words(line.verdict),
            percent(line.weight_before),
            percent(line.target_weight),
            percent(line.weight_after),
            number(line.residual_notional, places=2),
            ", ".join(line.reasons),
            number(line.target_quantity, places_max=8),
            number(line.expected_quantity),
            number(line.venue_quantity),
            line.detail,
        )
        for line in result.lines
    )
    columns = (
        Column("Line"),
        Column("Verdict"),
        Column("Before", is_number=True),
        Column("Target", is_number=True),
        Column("After", is_number=True),
        Column("Left", is_number=True),
        Column("Reasons"),
        Column("Target quantity", is_number=True, narrow=False),
        Column("By fills", is_number=True, narrow=False),
        Column("At the venue", is_number=True, narrow=False),
        Column("Detail", narrow=False),
    )
    return Table(
        "lines",
        "Lines, as the venue holds them",
        columns,
        rows,
        note="'Left' is the notional still missing to the target, in quote currency.",
        tones=tuple(_VERDICT_TONE[line.verdict] for line in result.lines),
    )


def _result_legs(result: PlanResult) -> Table:
    rows = tuple(_leg_row(leg) for leg in result.legs)
    columns = (
        Column("Leg", is_number=True),
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Filled", is_number=True),
        Column("Average price", is_number=True),
        Column("State"),
        Column("Orders", is_number=True, narrow=False),
        Column("Plan price", is_number=True, narrow=False),
        Column("Shortfall", is_number=True, narrow=False),
    )
    return Table(
        "legs",
        "Legs",
        columns,
        rows,
        empty="No order was needed.",
        tones=tuple(_LEG_TONE.get(leg.state, Tone.WARN) for leg in result.legs),
    )


def _leg_row(leg: LegResult) -> tuple[str, ...]:
    return (
        str(leg.number),
        str(leg.instrument_id),
        words(leg.side),
        number(leg.quantity),
        number(leg.filled_quantity),
        number(leg.average_price, places_max=8),
        words(leg.state) + (f": {leg.reason}" if leg.reason else ""),
        str(leg.orders),
        number(leg.plan_price),
        number(leg.shortfall, places_max=4),
    )
