"""The report of a run over several accounts: what each reached, each leg's fate, what it cost; and runs over time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from flows.reports.model import Bar, Column, Curve, Figure, Plot, PlotKind, Report, Section, Table, Tone
from flows.reports.plain import DASH, moment, number, percent, plain, words
from ledger.states import PlanState, RunState
from trading.rebalancing.release import LegState
from trading.rebalancing.run_plan import AccountProblem, RunPlan
from trading.runs import AccountResult, RunHistory, RunLeg, RunOutcome, RunResult, Shortfall, StoredRun
from trading.runs.history import RunLine

_STATE_TONE: Final = {
    RunState.COMPLETED: Tone.GOOD,
    RunState.FAILED: Tone.BAD,
    RunState.PLANNED: Tone.NEUTRAL,
    RunState.REJECTED: Tone.NEUTRAL,
}
_LEG_TONE: Final = {LegState.REFUSED: Tone.BAD, LegState.UNRESOLVED: Tone.BAD}
APPROVAL_LEGS_MAX = 15


def run_report(outcome: RunOutcome) -> Report:
    """What became of a run; while it has not ended, where it stands."""
    run, plan = outcome.run, outcome.run_plan
    assert run is not None, "a plan that was only shown has the report of a plan"
    result = run.result
    return Report(
        kind="run",
        title=f"Rebalance {plan.subscription.name} to {plan.portfolio.name}",
        subtitle=f"Run {run.run_id[:12]}, hash {run.run_hash[:12]}, planned at {moment(plan.time)}{_approved(run)}",
        tone=_STATE_TONE.get(run.state, Tone.WARN),
        verdict=_verdict(outcome),
        figures=() if result is None else _figures(plan, result),
        sections=tuple(_sections(outcome)),
        data={"run": plain(run), "interruptions": plain(outcome.interruptions), "is_resumed": outcome.is_resumed},
        evidence={} if result is None else {"orders": [_evidence(leg) for leg in result.legs if leg.orders]},
    )


def _approved(run: StoredRun) -> str:
    if not run.decided_by:
        return ""
    word = "approved" if run.approved_hash else "rejected"
    return f", {word} by {run.decided_by} at {moment(run.decided_at)}: {run.decision_reason}"


def _verdict(outcome: RunOutcome) -> str:
    run = outcome.run
    assert run is not None
    result = run.result
    if result is None:
        names = ", ".join(f"{item.account_name} ({item.reason})" for item in outcome.interruptions)
        left = f" Interrupted: {names}. Resume the run." if names else ""
        return f"The run is {words(run.state)}.{left}"
    whole = sum(leg.is_whole for leg in result.legs)
    done = f"{whole} of {len(result.legs)} legs filled in full on {len(result.accounts)} accounts"
    if run.state is RunState.COMPLETED:
        return f"Target reached and proved at every venue: {done}."
    reasons = ", ".join(f"{code} ({count})" for code, count in result.reasons.most_common(6))
    return f"Ended as {words(run.state)}: {done}." + (f" Reasons: {reasons}." if reasons else "")


def _figures(plan: RunPlan, result: RunResult) -> tuple[Figure, ...]:
    currency, cost = plan.subscription.base_currency, result.shortfall
    after = DASH if result.drift_after is None else percent(result.drift_after)
    return (
        Figure("Drift", f"{percent(result.drift_before)} → {after}", "half the sum of lines, joint equity"),
        Figure("Shortfall", f"{number(cost.bps, places=2)} bps", f"{number(cost.total, places=2)} {currency}"),
        Figure("Fees", f"{number(cost.fees, places=2)} {currency}", _others(cost)),
        Figure(
            "Filled",
            f"{number(cost.filled_notional, places=2)} {currency}",
            f"of {number(cost.decided_notional, places=2)} decided",
        ),
        Figure("Orders", str(sum(leg.orders for leg in result.legs)), f"{len(result.legs)} legs"),
    )


def _others(cost: Shortfall) -> str:
    if not cost.other_fees:
        return ""
    return "and " + ", ".join(f"{number(value)} {name}" for name, value in cost.other_fees.items()) + " without a price"


def _sections(outcome: RunOutcome) -> list[Section]:
    run = outcome.run
    result = run.result if run is not None else None
    if run is None or result is None:
        return [_problems(outcome.run_plan.problems)] if outcome.run_plan.problems else []
    currency = outcome.run_plan.subscription.base_currency
    found: list[Section] = [_costs(result.shortfall, currency)] if result.legs else []
    found += [_accounts(result.accounts), _legs(result.legs)]
    if result.problems:
        found.append(_problems(result.problems))
    return found


def _costs(cost: Shortfall, currency: str) -> Plot:
    def bar(label: str, value: Decimal, tone: Tone = Tone.NEUTRAL) -> Bar:
        return Bar(label, value, number(value, places=2), Tone.GOOD if value < 0 else tone)

    note = f"{cost.unpriced} legs have a missed part without a price at the end. " if cost.unpriced else ""
    return Plot(
        "shortfall",
        "Implementation shortfall",
        PlotKind.BARS,
        alt="What trading cost against the plan's prices: slippage, fees, opportunity, in all",
        axis=currency,
        bars=(
            bar("slippage", cost.slippage, Tone.WARN),
            bar("fees", cost.fees),
            bar("not filled", cost.opportunity, Tone.WARN),
            bar("in all", cost.total),
        ),
        note=f"{note}Against the mid prices of the plan; a negative figure was earned.",
    )


def _accounts(accounts: Sequence[AccountResult]) -> Table:
    rows = tuple(
        (
            item.account_name,
            words(item.state),
            percent(item.proof.drift_before) if item.proof else DASH,
            percent(item.proof.drift_after) if item.proof else DASH,
            f"{sum(leg.is_whole for leg in item.legs)} of {len(item.legs)}",
            number(sum((leg.shortfall_base for leg in item.legs), Decimal(0)), places=2),
            ": ".join(part for part in (item.reason, item.detail) if part),
        )
        for item in accounts
    )
    columns = (
        Column("Account"),
        Column("State"),
        Column("Drift before", is_number=True),
        Column("After", is_number=True),
        Column("Legs whole", is_number=True),
        Column("Shortfall", is_number=True),
        Column("Reason"),
    )
    tones = tuple(
        Tone.GOOD if item.state is PlanState.COMPLETED else Tone.BAD if item.state is PlanState.FAILED else Tone.WARN
        for item in accounts
    )
    return Table("accounts", "Accounts, each proved at its venue", columns, rows, tones=tones)


def _legs(legs: Sequence[RunLeg]) -> Table:
    rows = tuple(
        (
            leg.account_name,
            str(leg.instrument_id),
            words(leg.side),
            number(leg.quantity),
            number(leg.filled_quantity),
            words(leg.state) + (f": {leg.reason}" if leg.reason else ""),
            number(leg.shortfall_bps, places=1),
            number(leg.decision_price),
            number(leg.average_price, places_max=8),
            number(leg.fees, places_max=4),
            number(leg.opportunity, places_max=4),
            str(leg.orders),
            leg.detail,
        )
        for leg in legs
    )
    columns = (
        Column("Account"),
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Filled", is_number=True),
        Column("State"),
        Column("Shortfall, bps", is_number=True),
        Column("Decision price", is_number=True, narrow=False),
        Column("Average price", is_number=True, narrow=False),
        Column("Fees", is_number=True, narrow=False),
        Column("Not filled, cost", is_number=True, narrow=False),
        Column("Orders", is_number=True, narrow=False),
        Column("Detail", narrow=False),
    )
    tones = tuple(_LEG_TONE.get(leg.state, Tone.GOOD if leg.is_whole else Tone.WARN) for leg in legs)
    return Table("legs", "Legs", columns, rows, empty="No order was needed.", tones=tones)


def _problems(problems: Sequence[AccountProblem]) -> Table:
    rows = tuple((item.account_name, item.reason, item.detail) for item in problems)
    columns = (Column("Account"), Column("Reason"), Column("Detail"))
    tones = (Tone.WARN,) * len(rows)
    return Table("problems", "Accounts that were left out", columns, rows, tones=tones)


def _evidence(leg: RunLeg) -> dict[str, Any]:
    return {
        "account": leg.account_name,
        "instrument": str(leg.instrument_id),
        "side": leg.side.value,
        "quantity": plain(leg.quantity),
        "filled_quantity": plain(leg.filled_quantity),
        "average_price": plain(leg.average_price),
        "state": leg.state.value,
        "reason": leg.reason,
        "orders": leg.orders,
    }


# -- runs over time ---------------------------------------------------------------------------------------------
def history_report(history: RunHistory) -> Report:
    """The newest runs, and how far from target they found and left the accounts."""
    curves = tuple(
        Curve(name, tuple((time, value * 100) for time, value in points))
        for name, points in history.tracking_error().items()
    )
    sections: list[Section] = []
    if curves:
        sections.append(
            Plot(
                "tracking-error",
                "Tracking error over time",
                PlotKind.CURVES,
                alt="Distance from the target weights before and after each run",
                axis="percent of joint equity",
                curves=curves,
                note="Half the sum of distances from the target weights: found by each run, and left by it.",
            )
        )
    sections.append(_runs(history.lines))
    name = history.subscription or "all subscriptions"
    return Report(
        kind="run-history",
        title=f"Runs of {name}",
        subtitle=f"The newest {len(history.lines)}",
        tone=Tone.NEUTRAL,
        verdict=f"{len(history.lines)} runs." if history.lines else "There was no run yet.",
        figures=(),
        sections=tuple(sections),
        data={"history": plain(history)},
    )


def _runs(lines: Sequence[RunLine]) -> Table:
    rows = tuple(
        (
            line.run_id[:12],
            line.subscription,
            words(line.state) + (f": {line.reason}" if line.reason else ""),
            moment(line.created_at),
            f"{percent(line.tracking_error_before)} → {percent(line.tracking_error_after)}",
            number(line.shortfall_bps, places=1),
            f"{line.legs_whole} of {line.legs}",
            line.portfolio,
            line.business_key,
            line.decided_by,
            moment(line.ended_at),
            f"{number(line.shortfall, places=2)} {line.base_currency}",
            line.run_hash[:12],
        )
        for line in lines
    )
    columns = (
        Column("Run"),
        Column("Subscription"),
        Column("State"),
        Column("Planned"),
        Column("Tracking error", is_number=True),
        Column("Shortfall, bps", is_number=True),
        Column("Legs whole", is_number=True),
        Column("Portfolio", narrow=False),
        Column("Key", narrow=False),
        Column("Decided by", narrow=False),
        Column("Ended", narrow=False),
        Column("Shortfall", is_number=True, narrow=False),
        Column("Hash", narrow=False),
    )
    tones = tuple(_STATE_TONE.get(line.state, Tone.WARN) for line in lines)
    return Table("runs", "Runs", columns, rows, empty="None yet.", tones=tones)


# -- the form ---------------------------------------------------------------------------------------------------
def approval_text(run: StoredRun, *, page: str, why: str = "") -> str:
    """What a person reads before they approve: totals, the largest orders, the hash, and where the whole plan is.

    `why`: what moved since the plan before this one, where there was one.
    """
    plan = run.run_plan
    expected, currency = plan.expected, plan.subscription.base_currency
    legs = sorted(plan.legs, key=lambda pair: -pair[1].notional)
    lines = [
        f"### {plan.subscription.name}: {plan.portfolio.name} on {len(plan.accounts)} accounts",
        "",
        f"Plan **{run.run_hash[:16]}** (attempt {run.attempt}), made at {moment(plan.time)}. "
        f"[The whole plan with its picture](/v2/artifacts/key/{page})",
        *(["", f"**It is asked again**, because this moved since the plan before: {why}."] if why else []),
        "",
        "| | |",
        "| :-- | --: |",
        f"| Orders | {len(plan.legs)} |",
        f"| Turnover | {number(expected.turnover, places=2)} {currency} |",
        f"| Expected costs | {number(expected.costs, places=2)} {currency} |",
        f"| Joint equity | {number(expected.equity, places=2)} {currency} |",
        f"| Drift | {percent(expected.drift_before)} → {percent(expected.drift_after)} |",
        "",
        "| Account | Instrument | Side | Quantity | Notional |",
        "| :-- | :-- | :-- | --: | --: |",
        *(
            f"| {name} | {leg.instrument_id} | {leg.side} | {number(leg.quantity)} | {number(leg.notional, places=2)} |"
            for name, leg in legs[:APPROVAL_LEGS_MAX]
        ),
    ]
    if len(legs) > APPROVAL_LEGS_MAX:
        lines.append(f"\n{len(legs) - APPROVAL_LEGS_MAX} smaller orders are in the whole plan.")
    lines += [f"\n**Left out:** {item.account_name}: {item.reason} {item.detail}" for item in plan.problems]
    terms = plan.subscription
    lines += [
        "",
        f"Approving is for this hash, until {moment(run.approval_until)}. Before anything is sent, prices and "
        f"positions are read again: beyond {percent(terms.approval_price_move_max)} of a price or "
        f"{percent(terms.approval_position_move_max)} of equity there is a new plan and a new question.",
        "",
        f"On the command line: `algotrendy runs approve {run.run_id[:12]} --hash {run.run_hash[:16]} --by NAME "
        "--reason TEXT`",
    ]
    return "\n".join(lines)
