"""The console script `algotrendy`: the commands and what every one of them shares.

Commands import what they need when they run, so that `--help` and completion stay quick.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cli import (
    alerts,
    arming,
    audit,
    books,
    breaks,
    control,
    deployments,
    jobs,
    login,
    planning,
    reads,
    receive,
    routes,
    runs,
    stack,
    status,
    stopping,
)
from cli.failures import ExitCode, failure_of

_EXIT_CODES = "Exit codes\n\n" + "\n".join(f"- {code.value}: {code.meaning}" for code in ExitCode)

app = typer.Typer(
    name="algotrendy",
    help=(
        "Trading operations with evidence: rebalance, sync, reconcile, set leverage, close.\n\n"
        "Every command does its work through the same functions as the Prefect flows. Commands that read take --json: "
        "then standard output is JSON and nothing else, and messages go to standard error."
    ),
    epilog=_EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

_STOP = "Stop and start"
_ALERTS = "Alerts"
_STACK, _READ, _JOBS, _PEOPLE, _FACTS = "Local stack", "Look", "Jobs", "For people only", "Facts"

app.command("up", rich_help_panel=_STACK)(stack.up)
app.command("demo", rich_help_panel=_STACK)(stack.demo)
app.command("simulate", rich_help_panel=_STACK)(stack.simulate)
app.command("receive", rich_help_panel=_STACK)(receive.receive)

app.add_typer(reads.accounts_app, name="accounts", rich_help_panel=_READ)
app.add_typer(login.login_app, name="login", rich_help_panel=_PEOPLE)
app.command("balances", rich_help_panel=_READ)(reads.balances)
app.command("positions", rich_help_panel=_READ)(reads.positions)
app.command("orders", rich_help_panel=_READ)(reads.orders)


app.command("reconciliations", rich_help_panel=_READ)(books.reconciliations)
app.command("intents", rich_help_panel=_READ)(control.intents)

app.add_typer(alerts.alerts_app, name="alerts", rich_help_panel=_ALERTS)
app.add_typer(routes.routes_app, name="routes", rich_help_panel=_ALERTS)
app.add_typer(routes.sources_app, name="sources", rich_help_panel=_ALERTS)

app.command("plan", rich_help_panel=_JOBS)(planning.plan)
app.command("rebalance", rich_help_panel=_JOBS)(jobs.rebalance)
app.command("reconcile", rich_help_panel=_JOBS)(jobs.reconcile)
app.command("close", rich_help_panel=_JOBS)(jobs.close)
app.command("sweep", rich_help_panel=_JOBS)(jobs.sweep)
app.command("statement", rich_help_panel=_JOBS)(jobs.statement)
app.command("sync", rich_help_panel=_JOBS)(jobs.sync)
app.command("leverage", rich_help_panel=_JOBS)(jobs.leverage)

app.add_typer(runs.runs_app, name="runs", rich_help_panel=_JOBS)
app.command("resume-orders", rich_help_panel=_JOBS)(jobs.resume_orders)

app.command("status", rich_help_panel=_STOP)(status.status)
app.command("halt", rich_help_panel=_STOP)(stopping.halt)
app.command("kill", rich_help_panel=_STOP)(stopping.kill)
app.command("pause", rich_help_panel=_STOP)(stopping.pause)
app.command("reduce-only", rich_help_panel=_STOP)(stopping.reduce_only)
app.command("resume", rich_help_panel=_STOP)(stopping.resume)

app.add_typer(breaks.breaks_app, name="breaks", rich_help_panel=_PEOPLE)
app.command("decide", rich_help_panel=_PEOPLE)(control.decide)
app.add_typer(arming.arm_app, name="arm", rich_help_panel=_PEOPLE)

app.add_typer(deployments.deployments_app, name="deployments", rich_help_panel=_STACK)
app.add_typer(audit.audit_app, name="audit", rich_help_panel=_FACTS)

app.command("venues", rich_help_panel=_FACTS)(reads.venues)
app.command("version", rich_help_panel=_FACTS)(reads.version)
app.command("reasons", hidden=True)(reads.reasons)


@app.callback()
def common(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback when something goes wrong.")] = False,
) -> None:
    """Options that stand before the command."""
    _Common.debug = debug


class _Common:
    debug = False


def run(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code; every error becomes one panel."""
    sys.exit(main(arguments))


def main(arguments: list[str] | None = None) -> int:
    """The exit code of one command line; `arguments` default to the process's own."""
    _Common.debug = False
    try:
        result = app(arguments, standalone_mode=False)
    except BaseException as error:  # noqa: BLE001  every error becomes a panel and an exit code
        return _failed(error)
    return int(result) if isinstance(result, int) else ExitCode.DONE


def _failed(error: BaseException) -> int:
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else ExitCode.DONE
    if isinstance(error, typer.Abort):
        return ExitCode.INTERRUPTED
    if isinstance(error, typer.Exit):
        return error.exit_code
    show = getattr(error, "show", None)
    if callable(show) and hasattr(error, "exit_code"):
        show()  # usage errors of typer draw themselves
        return int(error.exit_code)
    from cli.output import print_failure

    failure = failure_of(error)
    print_failure(failure)
    if _Common.debug:
        import traceback

        traceback.print_exception(error)
    return failure.code


if __name__ == "__main__":
    run()
