"""Commands for breaks: what differs between ledger and venue, and what a person does about it. No venue is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import EnvironmentName, EnvironmentOption, JsonOption

if TYPE_CHECKING:
    from decimal import Decimal

    from trading.breaks import BreakStory

breaks_app = typer.Typer(
    help="Breaks: what differs between ledger and venue, what it locks, and what people decided about it.",
    no_args_is_help=True,
)
BreakArgument = Annotated[
    str, typer.Argument(help="Id of the break, or its first digits, as `algotrendy breaks list` shows them.")
]
ByOption = Annotated[str, typer.Option("--by", help="Your name. It is kept for ever.")]
ApprovedOption = Annotated[
    str, typer.Option("--approved-by", help="The second person; production needs one.", show_default=False)
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")]


@breaks_app.command("list")
def list_breaks(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    account: Annotated[
        str, typer.Option("--account", "-a", help="Only this account, by its id.", show_default=False)
    ] = "",
    kind: Annotated[str, typer.Option(help="Only this kind, e.g. POSITION_DIFFERS.", show_default=False)] = "",
    owner: Annotated[str, typer.Option(help="Only those of this owner.", show_default=False)] = "",
    everything: Annotated[bool, typer.Option("--all", help="Also those that are gone.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", help="How many, the newest.", min=1, max=5_000)] = 200,
    json: JsonOption = False,
) -> None:
    """Show breaks with their ages, owners and decisions, oldest first, and every lock. Exit code 7 when one stands."""
    from brokers.ids import Environment
    from cli import opening, output
    from cli.failures import ExitCode
    from flows.reports.breaks import breaks_report
    from trading.breaks import read_breaks

    with opening.ledger(Environment(environment)) as ledger:
        book = read_breaks(ledger, account_id=account, kind=kind, owner=owner, cleared=everything, limit=limit)
    report = breaks_report(book)
    if json:
        output.print_json(report.data)
    else:
        output.print_report(report)
    if any(not lock["is_overridden"] for lock in report.data["locks"]):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


@breaks_app.command("show")
def show(
    identity: BreakArgument, environment: EnvironmentOption = EnvironmentName.SIMULATED, json: JsonOption = False
) -> None:
    """Show one break: amounts, evidence, every step and decision, correcting entries, and what to do."""
    from brokers.ids import Environment
    from cli import opening
    from trading.breaks import read_break

    with opening.ledger(Environment(environment)) as ledger:
        _print(read_break(ledger, identity), json=json)


@breaks_app.command("accept")
def accept(
    identity: BreakArgument,
    by: ByOption,
    reason: ReasonOption,
    days: Annotated[int, typer.Option("--days", help="For how long, from now.", min=1, max=365)] = 30,
    within: Annotated[
        str,
        typer.Option(help="Of a position or a balance: how far the difference may move meanwhile.", show_default=False),
    ] = "",
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Say that the difference is known and lived with as it is. It stays a break, and keeps its lock.

    Reconciliations that find nothing else end as clean_with_accepted. Another amount or other evidence, or the end of
    its days, opens it again.
    """
    bound = {} if not within else {"within": _amount(within, "--within")}
    _decide("ACCEPTED", identity, environment, json=json, reason=reason, set_by=by, days=days, **bound)


@breaks_app.command("unaccept")
def unaccept(
    identity: BreakArgument,
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Take an acceptance back. The break counts again from the next reconciliation on."""
    _decide("UNACCEPTED", identity, environment, json=json, reason=reason, set_by=by)


@breaks_app.command("assign")
def assign(
    identity: BreakArgument,
    to: Annotated[str, typer.Option("--to", help="Who is to see to it.")],
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Give a break an owner."""
    _decide("ASSIGNED", identity, environment, json=json, reason=reason, set_by=by, owner=to)


@breaks_app.command("explain")
def explain(
    identity: BreakArgument,
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Note what the difference comes from, in a sentence."""
    _decide("EXPLAINED", identity, environment, json=json, reason=reason, set_by=by)


@breaks_app.command("correct")
def correct(
    identity: BreakArgument,
    by: ByOption,
    reason: ReasonOption,
    amount: Annotated[
        str,
        typer.Option(help="Of a position or a balance: how much, where not the whole difference.", show_default=False),
    ] = "",
    reverse: Annotated[
        int | None,
        typer.Option("--reverse", help="Take back the correcting entry of this number.", min=1, show_default=False),
    ] = None,
    approved_by: ApprovedOption = "",
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Write a correcting entry, which the books count from then on; nothing is edited. Another entry takes it back.

    Without --amount it is what the venue shows beyond the books and what was imported since. The break clears with the
    next reconciliation.
    """
    _decide(
        "CORRECTED",
        identity,
        environment,
        json=json,
        reason=reason,
        set_by=by,
        approved_by=approved_by,
        amount=_amount(amount),
        reverses=reverse,
    )


@breaks_app.command("claim")
def claim(
    identity: BreakArgument,
    owner: Annotated[str, typer.Option("--for", help="Whose the order or trade is: a person, a desk, a program.")],
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Say whose an order or trade of other hands is. It is no break from then on; the books count it either way."""
    _decide("CLAIMED", identity, environment, json=json, reason=reason, set_by=by, owner=owner)


@breaks_app.command("unclaim")
def unclaim(
    identity: BreakArgument,
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Take a claim back: the order or trade is nobody's again, and the next reconciliation judges it anew.

    The break is open at once. Positions and balances counted the trade before, while it was claimed, and after.
    """
    _decide("UNCLAIMED", identity, environment, json=json, reason=reason, set_by=by)


@breaks_app.command("override")
def override(
    identity: BreakArgument,
    hours: Annotated[int, typer.Option("--hours", help="For how long, from now.", min=1, max=24)],
    by: ByOption,
    reason: ReasonOption,
    approved_by: ApprovedOption = "",
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Let orders out although the break locks them, for some hours. Production needs two people.

    The lock itself stays until two reconciliations in a row do not see the break.
    """
    _decide(
        "OVERRIDDEN",
        identity,
        environment,
        json=json,
        reason=reason,
        set_by=by,
        approved_by=approved_by,
        hours=hours,
    )


def _decide(step: str, identity: str, environment: str, *, json: bool, **fields: Any) -> None:
    from brokers.ids import Environment
    from cli import opening
    from ledger.states import BreakStep
    from trading.breaks import Decision
    from trading.breaks import decide as take

    with opening.ledger(Environment(environment)) as ledger:
        story = take(ledger, Decision(break_id=identity, step=BreakStep[step], **fields))
    _print(story, json=json)


def _print(story: BreakStory, *, json: bool) -> None:
    from cli import output
    from flows.reports.breaks import break_report

    report = break_report(story)
    if json:
        output.print_json(report.data)
    else:
        output.print_report(report)


def _amount(text: str, option: str = "--amount") -> Decimal | None:
    from decimal import Decimal, InvalidOperation

    from cli.failures import CliError, ExitCode

    if not text:
        return None
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise CliError(
            "an amount is a plain number",
            title="Usage",
            code=ExitCode.USAGE,
            field=option,
            value=text,
            remedy="e.g. -5 or 0.25",
        )
    return found
