"""Commands for alerts: what came in and what became of it, dead letters, lanes, and draining without Prefect."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import AccountsOption, EnvironmentName, EnvironmentOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from brokers.ids import AccountId, Environment
    from ledger.inbox import AlertStore, InboxState
    from tasks.accounts import Accounts

alerts_app = typer.Typer(
    help="Alerts: what came in, what became of it, and what asks for a person. They are received by `receive` and "
    "worked on by the job drain-alerts, or by `alerts drain`.",
    no_args_is_help=True,
)
AlertArgument = Annotated[int, typer.Argument(help="Number of the alert, as `algotrendy alerts list` shows it.", min=1)]
ByOption = Annotated[str, typer.Option("--by", help="Your name. It is kept for ever.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")]
LimitOption = Annotated[int, typer.Option("--limit", "-n", help="How many, newest first.", min=1, max=500)]


@alerts_app.command("list")
def list_alerts(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only alerts in this state, e.g. placed or dead. May be repeated.", show_default=False),
    ] = None,
    source: Annotated[str, typer.Option(help="Only alerts of this source.", show_default=False)] = "",
    limit: LimitOption = 50,
    json: JsonOption = False,
) -> None:
    """Show the newest alerts with their ends and orders. Exit code 7 when a lane stands still."""
    from cli import output
    from flows.reports.alerts import alerts_report
    from trading.alerts.overview import read_overview

    states = None if not state else [_state(name) for name in state]
    with _store(environment) as store:
        report = alerts_report(read_overview(store, states=states, source=source, limit=limit))
    if json:
        output.print_json(report.data)
    else:
        output.print_report(report)
    _fail_for_stopped(report.data["backlog"]["stopped_lanes"])


@alerts_app.command("dead")
def dead(
    environment: EnvironmentOption = EnvironmentName.SIMULATED, limit: LimitOption = 50, json: JsonOption = False
) -> None:
    """Show what asks for a person: dead and unreadable alerts, conflicts, and those whose order needs one."""
    from cli import output
    from flows.reports.alerts import alerts_report
    from ledger.inbox import InboxState
    from trading.alerts.overview import read_overview

    states = [InboxState.DEAD, InboxState.POISON, InboxState.CONFLICT, InboxState.NEEDS_HUMAN]
    with _store(environment) as store:
        report = alerts_report(read_overview(store, states=states, limit=limit))
    if json:
        output.print_json(report.data)
        return
    output.print_report(report, tables=["lanes", "alerts"])
    output.say("one of them again: algotrendy alerts show NUMBER, then algotrendy alerts replay NUMBER --by --reason")


@alerts_app.command("show")
def show(
    alert: AlertArgument,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    body: Annotated[bool, typer.Option("--body", help="Print what was sent, as it came. It may hold secrets.")] = False,
    json: JsonOption = False,
) -> None:
    """Show one alert: everything that happened to it, its orders, what its reviewer said."""
    from cli import output
    from flows.reports.alerts import story_report
    from trading.alerts.overview import read_story

    with _store(environment) as store:
        story = _known(alert, lambda: read_story(store, alert))
    if body:
        output.out().print(_printable(story.line.stored.raw), markup=False, soft_wrap=True)
        return
    report = story_report(story)
    if json:
        output.print_json(report.data)
    else:
        output.print_report(report)


@alerts_app.command("replay")
def replay(
    alert: AlertArgument,
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
) -> None:
    """Put a dead, refused or unreadable alert, or one that waits for a person, back into the queue under its key.

    What was sent for it is found, not sent again. Its time to live begins anew; its lane goes on.
    """
    from cli import output
    from trading.alerts.operating import replay as put_back

    with _store(environment) as store:
        state = _known(alert, lambda: put_back(store, alert, by=by, reason=reason))
    output.out().print(f"alert {alert} is {state.value} again, under its key")


@alerts_app.command("lanes")
def lanes(environment: EnvironmentOption = EnvironmentName.SIMULATED, json: JsonOption = False) -> None:
    """Show the lanes, one for each instrument of an account, and which of them stand still."""
    from cli import output
    from flows.reports.model import Column, Table, Tone
    from flows.reports.plain import DASH, moment
    from ledger.inbox import LaneState

    with _store(environment) as store:
        found = store.lanes()
    if json:
        output.print_json(list(found))
    else:
        rows = tuple(
            (
                lane.lane,
                lane.state.value,
                lane.reason or DASH,
                str(lane.stopped_by or DASH),
                moment(lane.due_at),
                lane.lease_owner or DASH,
            )
            for lane in found
        )
        columns = tuple(Column(title) for title in ("Lane", "State", "Why", "Alert", "Next due", "Held by"))
        tones = tuple(Tone.BAD if lane.state is LaneState.STOPPED else Tone.NEUTRAL for lane in found)
        output.print_table(Table("lanes", "Lanes", columns, rows, empty="No alert has a lane yet.", tones=tones))
    _fail_for_stopped([lane.lane for lane in found if lane.state is LaneState.STOPPED])


@alerts_app.command("restart")
def restart(
    lane: Annotated[str, typer.Argument(help="Lane, as `algotrendy alerts lanes` shows it.")],
    by: ByOption,
    reason: ReasonOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
) -> None:
    """Let a lane that stands still go on with its next alert; the one that stopped it stays as it is."""
    from cli import output

    with _store(environment) as store:
        _known(lane, lambda: store.restart_lane(lane, by=by, reason=reason))
    output.out().print(f"lane {lane} goes on")


@alerts_app.command("drain")
def drain(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    accounts: AccountsOption = None,
    side_by_side: Annotated[
        int, typer.Option("--lanes", help="How many lanes are worked on side by side.", min=1, max=16)
    ] = 4,
    once: Annotated[bool, typer.Option("--once", help="Stop when every alert is over.")] = False,
) -> None:
    """Work on alerts in the foreground, as the job drain-alerts does, until Ctrl-C. Needs no Prefect with --accounts.

    It may run beside the job: the queue gives each alert to one worker.
    """
    from contextlib import closing

    from cli import opening, output
    from tasks.draining import Drain, DrainLimits

    with _store(environment) as store, closing(_accounts(store, accounts)) as opened:
        limits = DrainLimits(lanes=side_by_side)
        worker = Drain(store, opened, limits=limits, clock=opening.CLOCK, tell=output.say)
        output.say(f"draining the alerts of {environment.value}; Ctrl-C stops")
        idle = _idle(store)
        try:
            seen = worker.run(lambda: not (once and idle()))
        except KeyboardInterrupt:
            seen = worker.seen
        from flows.drain_alerts import told

        output.say(told(seen))


# -- inside -----------------------------------------------------------------------------------------------------
@contextmanager
def _store(environment: EnvironmentName) -> Iterator[AlertStore]:
    from brokers.ids import Environment
    from cli import opening
    from ledger.inbox import AlertStore

    with opening.ledger(Environment(environment.value)) as ledger:
        yield AlertStore(ledger)


def _idle(store: AlertStore) -> Any:
    """Whether there was nothing to do at two looks in a row: a worker may be between two steps at one."""
    looks = 0

    def idle() -> bool:
        nonlocal looks
        looks = 0 if store.backlog().open else looks + 1
        return looks > 1

    return idle


def _accounts(store: AlertStore, file: Path | None) -> Accounts:
    """Accounts of a file or of the stack's blocks, on the one ledger that is open."""
    import os

    from cli import opening
    from tasks.accounts import Accounts
    from tasks.config import Account, block_name
    from tasks.process import is_dry_run
    from tasks.runtime import open_runtime

    environment: Environment = store.ledger.environment

    def load(account_id: AccountId) -> Account:
        return opening.account(block_name(account_id), file)

    def opened(account: Account) -> Any:
        return open_runtime(
            account,
            environment=environment,
            ledger_url=opening.ledger_url(environment),
            key_registry=opening.key_registry(),
            pool=environment.value,
            control_file=opening.control_path(),
            dry_run=is_dry_run(os.environ),
            secrets_folder=opening.secrets_folder(),
            shared=store.ledger,
        )

    return Accounts(load=load, open_account=opened, clock=opening.CLOCK)


def _printable(raw: bytes) -> str:
    """A stranger's bytes as a terminal may have them: nothing in them moves its cursor."""
    text = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def _state(name: str) -> InboxState:
    from cli.failures import CliError, ExitCode
    from ledger.inbox import InboxState

    if name not in set(InboxState):
        raise CliError(
            f"there is no state {name!r} of alerts",
            title="Usage",
            code=ExitCode.USAGE,
            field="--state",
            value=name,
            remedy=", ".join(InboxState),
        )
    return InboxState(name)


def _known(what: object, call: Any) -> Any:
    """The result, or one panel for what the ledger does not have."""
    from cli.failures import CliError

    try:
        return call()
    except LookupError as error:
        remedy = "algotrendy alerts list and algotrendy alerts lanes show what there is"
        raise CliError(str(error), title="Not found", value=str(what), remedy=remedy) from error


def _fail_for_stopped(lanes: list[str]) -> None:
    from cli.failures import ExitCode

    if lanes:
        raise typer.Exit(ExitCode.NOT_AS_WISHED)
