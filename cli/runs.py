"""Commands for runs over several accounts: start, list, show, approve, reject, resume, cancel."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import AccountsOption, EnvironmentName, EnvironmentOption, JsonOption, ReportOption, YesOption

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from flows.reports.model import Table
    from ledger.engine import Ledger
    from ledger.run_tables import RunEventRow
    from tasks.several import Opened
    from trading.runs import RunOutcome, StoredRun
    from trading.runtime import Runtime
    from trading.steps import Step

runs_app = typer.Typer(
    help="Runs of subscriptions: one decision over several accounts, approved, executed, proved.", no_args_is_help=True
)

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="The run's id, or the first six digits of it or more.", show_default=False)
]
ByOption = Annotated[str, typer.Option("--by", help="Your name. It is kept with the run for ever.", show_default=False)]
WhyOption = Annotated[str, typer.Option("--reason", help="Why, in a sentence. It is kept as well.", show_default=False)]
HashOption = Annotated[
    str,
    typer.Option("--hash", help="Hash of the plan that you read, 12 digits of it or more.", show_default=False),
]


@runs_app.command("start")
def start(
    subscription: Annotated[str, typer.Argument(help="Name of the subscription.", show_default=False)],
    key: Annotated[
        str,
        typer.Option("--key", help="Business key: one key is one run for ever. Without it a new one is made and told."),
    ] = "",
    accounts: AccountsOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Plan a subscription and execute it; where an approval is needed, stop and say how to give it."""
    from cli import opening, output
    from cli.jobs import confirm, new_key
    from trading.runs import run_portfolio

    terms = opening.subscription(subscription, accounts)
    portfolio = opening.portfolio(terms.portfolio, accounts)
    chosen = {name: opening.account(name, accounts) for name in terms.account_names}
    for account in chosen.values():
        confirm(account.account_id, f"run subscription {terms.name}", yes=yes)
    business_key = key or new_key()
    output.say(f"business key {business_key}")

    def work(opened: Opened, step: Step) -> RunOutcome:
        from tasks.beside import in_threads

        return run_portfolio(
            opened.runtimes,
            terms,
            portfolio,
            business_key=business_key,
            step=step,
            beside=in_threads,
            problems=opened.problems,
        )

    _end(_work(chosen, f"run {terms.name}", work), report, json=json)


@runs_app.command("list")
def list_(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    subscription: Annotated[str, typer.Option("--subscription", "-s", help="Only runs of this one.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many, newest first.")] = 20,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Runs, newest first, with tracking error and cost; --report also draws them over time."""
    from cli import output
    from flows.reports import report_of, write_report
    from trading.runs import run_history

    with _ledger(environment) as ledger:
        history = run_history(ledger, subscription=subscription, limit=limit)
    if report is not None:
        write_report(history, report)
    if json:
        output.print_json(history)
    else:
        output.print_report(report_of(history))


@runs_app.command("show")
def show(
    run: RunArgument,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """A run: its plan while it waits, its result when it has ended, and who decided what."""
    from cli import output
    from flows.reports import report_of, write_report
    from ledger.runs import events_of
    from trading.runs import RunOutcome, get_run

    with _ledger(environment) as ledger:
        stored = get_run(ledger, run)
        with ledger.read() as session:
            events = events_of(session, stored.run_id)
    shown: Any = RunOutcome(run_plan=stored.run_plan, run=stored, is_resumed=False)
    if report is not None:
        write_report(shown, report)
    told = [{"at": e.at, "kind": e.kind, "who": e.who, "hash": e.run_hash, "detail": e.detail} for e in events]
    if json:
        output.print_json({"run": stored, "events": told})
        return
    output.print_report(report_of(shown))
    if not stored.state.is_terminal:
        output.print_report(report_of(stored.run_plan))
    output.print_table(_steps_table(events))


def _steps_table(events: Sequence[RunEventRow]) -> Table:
    from flows.reports.model import Column, Table
    from flows.reports.plain import moment, words
    from ledger.audit import PERSON

    columns = (Column("At"), Column("Step"), Column("Who"), Column("Hash"), Column("Detail"))
    rows = tuple(
        (moment(event.at), words(event.kind), event.who.removeprefix(PERSON), event.run_hash[:16], event.detail)
        for event in events
    )
    return Table("steps", "What happened", columns, rows)


@runs_app.command("approve")
def approve(
    run: RunArgument,
    run_hash: HashOption,
    by: ByOption,
    reason: WhyOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Approve the plan with this hash. A flow that waits goes on; otherwise `algotrendy runs resume` executes it."""
    _decide(environment, run, "approve", run_hash=run_hash, by=by, reason=reason, json=json)


@runs_app.command("reject")
def reject(
    run: RunArgument,
    run_hash: HashOption,
    by: ByOption,
    reason: WhyOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Reject the plan with this hash: the run ends, nothing is sent."""
    _decide(environment, run, "reject", run_hash=run_hash, by=by, reason=reason, json=json)


@runs_app.command("resume")
def resume(
    run: RunArgument,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    accounts: AccountsOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a run that was approved or interrupted. Orders that were sent are looked up, never sent again."""
    from trading.runs import get_run

    with _ledger(environment) as ledger:
        stored = get_run(ledger, run)
    _end(_go_on(stored, accounts, yes=yes), report, json=json)


@runs_app.command("cancel")
def cancel(
    run: RunArgument,
    by: ByOption,
    reason: WhyOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    accounts: AccountsOption = None,
    wait: Annotated[
        bool,
        typer.Option(
            help="Also take the orders back from here. Without it only the wish is recorded, and whoever executes the "
            "run carries it out."
        ),
    ] = True,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Stop a run for good: open orders are taken back, what was filled stays filled."""
    from cli import output
    from trading.runs import want_cancel

    with _ledger(environment) as ledger:
        stored = want_cancel(ledger, run, by=by, reason=reason)
    if not wait:
        if json:
            output.print_json({"run_id": stored.run_id, "state": stored.state, "cancel_by": stored.cancel_by})
        output.say(f"run {stored.run_id} is to be cancelled")
        return
    _end(_go_on(stored, accounts, yes=yes), report, json=json)


# -- shared -----------------------------------------------------------------------------------------------------
@contextmanager
def _ledger(environment: EnvironmentName) -> Iterator[Ledger]:
    from brokers.ids import Environment
    from cli import opening

    with opening.ledger(Environment(environment.value)) as opened:
        yield opened


def _decide(
    environment: EnvironmentName, run: str, decision: str, *, run_hash: str, by: str, reason: str, json: bool
) -> None:
    from cli import output
    from trading.runs import Approval, Decision, decide_run

    approval = Approval(decision=Decision(decision), by=by.strip(), reason=reason.strip(), run_hash=run_hash)
    with _ledger(environment) as ledger:
        stored = decide_run(ledger, run, approval)
    if json:
        output.print_json({"run_id": stored.run_id, "state": stored.state, "run_hash": stored.run_hash})
        return
    output.say(f"run {stored.run_id} is {stored.state.value}")
    if not stored.state.is_terminal:
        output.say(f"a flow that waits goes on; otherwise: algotrendy runs resume {stored.run_id[:12]}", style="dim")


def _go_on(stored: StoredRun, accounts: Path | None, *, yes: bool) -> RunOutcome:
    from cli import opening
    from cli.jobs import confirm

    names = stored.run_plan.subscription.account_names
    chosen = {name: opening.account(name, accounts) for name in names}
    for account in chosen.values():
        confirm(account.account_id, f"go on with run {stored.run_id[:12]}", yes=yes)

    def work(opened: Opened, step: Step) -> RunOutcome:
        from tasks.beside import in_threads
        from trading.runs import resume_run

        return resume_run(opened.runtimes, stored.run_id, step=step, beside=in_threads, problems=opened.problems)

    return _work(chosen, f"run {stored.run_id[:12]}", work)


def _work(chosen: dict[str, Any], title: str, work: Callable[[Opened, Step], RunOutcome]) -> RunOutcome:
    """Open all accounts, which must be of one environment, and do the work with a step that tells what it does."""
    from cli import opening, output
    from cli.failures import CliError
    from cli.steps import telling_step
    from tasks.several import open_accounts

    environments = {account.account_id.environment for account in chosen.values()}
    if len(environments) != 1:
        raise CliError(
            "the accounts of one run must be of one environment",
            field="subscription",
            value=", ".join(sorted(environment.value for environment in environments)),
            remedy="make a subscription for each environment",
        )
    (environment,) = environments
    from tasks.beside import in_threads
    from trading.first_run import reconcile_first
    from trading.starting import prove_account, start_trading

    def ready(runtime: Runtime, step: Step) -> None:
        start_trading(runtime, prove_account(runtime, step=step), step=step)
        reconcile_first(runtime, step=step)

    with output.progress(title) as tell, opening.ledger(environment) as shared:
        step = telling_step(tell, clock=opening.CLOCK)
        with open_accounts(
            tuple(chosen),
            load=chosen.__getitem__,
            open_one=lambda account: opening.unproved(account, shared=shared),
            prove=lambda runtime: ready(runtime, step),
            beside=in_threads,
        ) as opened:
            return work(opened, step)


def _why(run: StoredRun) -> str:
    from cli import opening
    from trading.runs import why_planned_again

    with opening.ledger(run.run_plan.accounts[0].plan.account_id.environment) as ledger:
        return why_planned_again(ledger, run)


def _end(outcome: RunOutcome, report: Path | None, *, json: bool) -> None:
    """Show the outcome; the exit code says whether it is as wished."""
    from cli import output
    from cli.failures import ExitCode
    from flows.reports import report_of, write_report
    from ledger.states import RunState

    if report is not None:
        write_report(outcome, report)
    if json:
        output.print_json(outcome)
    else:
        output.print_report(report_of(outcome))
    run = outcome.run
    if run is not None and run.state is RunState.AWAITING_APPROVAL:
        if run.attempt > 1:
            output.say(f"it is asked again, because this moved since the plan before: {_why(run)}")
        output.say(
            f"waits for an approval: algotrendy runs approve {run.run_id[:12]} --hash {run.run_hash[:16]} --by NAME "
            "--reason TEXT"
        )
    codes = {
        RunState.COMPLETED: ExitCode.DONE,
        RunState.COMPLETED_ADJUSTED: ExitCode.NOT_AS_WISHED,
        RunState.EXECUTING: ExitCode.UNKNOWN,
        RunState.APPROVED: ExitCode.NOT_SENT,
        RunState.AWAITING_APPROVAL: ExitCode.NOT_SENT,
        RunState.REJECTED: ExitCode.NOT_SENT,
        RunState.APPROVAL_TIMED_OUT: ExitCode.NOT_SENT,
    }
    code = codes.get(outcome.state, ExitCode.NOT_AS_WISHED)
    if code is not ExitCode.DONE:
        raise typer.Exit(code)
