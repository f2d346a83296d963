"""`algotrendy plan`: what a rebalance of an account or a subscription would trade. Nothing is sent or stored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AccountOption, AccountsOption, JsonOption, PortfolioOption, ReportOption

if TYPE_CHECKING:
    from brokers.ids import Environment
    from trading.rebalancing.model import Plan
    from trading.rebalancing.portfolio import Portfolio
    from trading.rebalancing.run_plan import RunPlan
    from trading.rebalancing.subscription import Subscription

YAML = (".yaml", ".yml")


def plan(
    what: Annotated[
        str,
        typer.Argument(
            metavar="[SUBSCRIPTION|FILE]",
            help="A subscription by name, or a YAML file with one. Without it: one --account and one --portfolio.",
            show_default=False,
        ),
    ] = "",
    account: AccountOption = "",
    portfolio: PortfolioOption = "",
    accounts: AccountsOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a rebalance would trade now, and why. Nothing is sent and nothing is stored.

    A subscription is planned over all its accounts at once: current, target and after for each line, the orders, their
    expected costs, and the reason of everything that is left out. --report writes the picture as well.
    """
    if what:
        made: Plan | RunPlan = _of_subscription(what, account=account, portfolio=portfolio, file=accounts)
    else:
        made = _of_account(account, portfolio, accounts)
    _show(made, report=report, json=json)


def _show(made: Plan | RunPlan, *, report: Path | None, json: bool) -> None:
    from cli import output
    from cli.failures import ExitCode
    from flows import reports
    from flows.reports.model import Tone

    shown = reports.report_of(made)
    if report is not None:
        output.say(f"report: {reports.write_report(shown, report).html}")
    if json:
        output.print_json({"verdict": shown.verdict, "tone": shown.tone, **shown.data})
    else:
        output.print_report(shown)
    if shown.tone in (Tone.WARN, Tone.BAD):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def _of_account(account: str, portfolio: str, file: Path | None) -> Plan:
    """One account to one portfolio, opened without a trace."""
    from cli import opening, output
    from cli.steps import telling_step
    from tasks.several import look_only
    from trading.account_reading import read_account_view
    from trading.rebalancing import plan as decide

    chosen, target = opening.account(account, file), opening.portfolio(portfolio, file)
    with output.progress(f"plan {chosen.account_id}") as tell, opening.unproved(chosen) as runtime:
        look_only(runtime)
        step = telling_step(tell, clock=opening.CLOCK)
        return decide(target, read_account_view(runtime, target, step=step))


def _of_subscription(what: str, *, account: str, portfolio: str, file: Path | None) -> RunPlan:
    from cli import opening
    from cli.failures import CliError, ExitCode

    if account or portfolio:
        raise CliError(
            "a subscription names its own accounts and portfolio",
            title="Usage",
            code=ExitCode.USAGE,
            field="SUBSCRIPTION",
            value=what,
            remedy="leave --account and --portfolio out, or leave SUBSCRIPTION out",
        )
    name = what
    if Path(what).suffix in YAML:
        file, name = Path(what), ""
    subscription = opening.subscription(name, file)
    return _planned(subscription, opening.portfolio(subscription.portfolio, file), file)


def _planned(subscription: Subscription, portfolio: Portfolio, file: Path | None) -> RunPlan:
    """Open the subscription's accounts without a trace, read them side by side, decide."""
    from cli import opening, output
    from cli.steps import telling_step
    from tasks.beside import in_threads
    from tasks.several import look_only, open_accounts
    from trading.run_planning import make_run_plan

    environment = _environment(subscription)
    with (
        output.progress(f"plan {subscription.name}") as tell,
        opening.ledger(environment) as shared,
        open_accounts(
            subscription.account_names,
            load=lambda name: opening.account(name, file),
            open_one=lambda chosen: opening.unproved(chosen, shared=shared),
            prove=look_only,
            beside=in_threads,
        ) as opened,
    ):
        return make_run_plan(
            opened.runtimes,
            subscription,
            portfolio,
            step=telling_step(tell, clock=opening.CLOCK),
            beside=in_threads,
            problems=opened.problems,
        )


def _environment(subscription: Subscription) -> Environment:
    from brokers.ids import Environment as Known

    return Known(subscription.accounts[0].environment)
