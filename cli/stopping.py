"""Commands that stop and start trading. They set the control state themselves: neither the Prefect server, nor the
venue, nor, for a stop, the database is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from cli.control import ByOption, ReasonOption
from cli.options import AccountsOption, JsonOption, ReportOption, YesOption

if TYPE_CHECKING:
    from brokers.ids import Environment
    from cli.failures import CliError
    from ledger.controlling import ControlChanged
    from ledger.states import ControlState

AccountScope = Annotated[
    str,
    typer.Option(
        "--account",
        "-a",
        help="One account, by block name or id. Nothing is looked up: it works without a stack and without a file.",
        show_default=False,
    ),
]
PoolScope = Annotated[
    str,
    typer.Option("--pool", help="Every account of a pool: simulated, testnet or production.", show_default=False),
]
AllScope = Annotated[bool, typer.Option("--all", help="Every pool that has a ledger on this machine.")]
LeftOption = Annotated[
    bool, typer.Option("--acknowledge-left", help="You have read what a kill named as left, and take it over.")
]


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope whose state is set, and the environment that it is in."""

    text: str
    environment: Environment

    @property
    def is_pool(self) -> bool:
        return self.text.startswith("pool:")


def halt(
    account: AccountScope = "",
    pool: PoolScope = "",
    everywhere: AllScope = False,
    by: ByOption = [],  # noqa: B006  typer reads the default, nobody changes it
    reason: ReasonOption = "",
    json: JsonOption = False,
) -> None:
    """STOP: from now on only cancels leave. Open orders stay open (`kill` cancels them)."""
    _set("halt", account, pool, everywhere, by, reason, json=json)


def pause(
    account: AccountScope = "",
    pool: PoolScope = "",
    everywhere: AllScope = False,
    by: ByOption = [],  # noqa: B006
    reason: ReasonOption = "",
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """No new orders; orders at the venue go on being followed."""
    _set("pause", account, pool, everywhere, by, reason, json=json, yes=yes)


def reduce_only(
    account: AccountScope = "",
    pool: PoolScope = "",
    everywhere: AllScope = False,
    by: ByOption = [],  # noqa: B006
    reason: ReasonOption = "",
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Only orders that reduce a position."""
    _set("reduce_only", account, pool, everywhere, by, reason, json=json, yes=yes)


def resume(
    account: AccountScope = "",
    pool: PoolScope = "",
    by: ByOption = [],  # noqa: B006
    reason: ReasonOption = "",
    acknowledge_left: LeftOption = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Let an account or a pool trade again: sets RUN in database and file. In production two people: --by twice.

    A halt that the order desk set says that evidence is wrong: find out why first. Interrupted orders are finished by
    `algotrendy resume-orders`.
    """
    _set("run", account, pool, False, by, reason, json=json, yes=yes, acknowledge_left=acknowledge_left)


def kill(
    account: AccountScope = "",
    pool: PoolScope = "",
    everywhere: AllScope = False,
    flatten: Annotated[
        bool, typer.Option("--flatten", help="Also close every position. In production two people: --by twice.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also cancel orders that are not ours, a person's own for instance.")
    ] = False,
    by: ByOption = [],  # noqa: B006
    reason: ReasonOption = "",
    accounts: AccountsOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """STOP AND CANCEL: nothing more is sent, every order of ours is cancelled, and two reads of the venue prove it.

    First the control state is set, whatever fails after. Run it again to continue what was interrupted.
    """
    from cli import output
    from cli.failures import ExitCode
    from cli.killing import as_json, kill_all, targets_of
    from flows import reports
    from trading.kill_model import KillRequest

    scopes = _scopes("kill", account, pool, everywhere)
    first, second = _people("kill", by, reason)
    changes = [_change(scope, "kill", first, second, reason, flatten=flatten) for scope in scopes]
    _tell(changes)
    request = KillRequest(requested_by=first, reason=reason, approved_by=second, flatten=flatten, everything=everything)
    targets = [
        target
        for scope, changed in zip(scopes, changes, strict=True)
        for target in targets_of(scope, changed, accounts, flatten=flatten)
    ]
    results, problems = kill_all(targets, request)
    made = [reports.report_of(item) for item in results]
    for number, item in enumerate(made):
        if report is not None:
            output.say(f"report: {reports.write_report(item, report / str(number) if number else report).html}")
        if not json:
            output.print_report(item)
    if json:
        proved = [{"verdict": item.verdict, "tone": item.tone, **item.data} for item in made]
        output.print_json(proved + [as_json(name, failure) for name, failure in problems.items()])
    if len(targets) == 1 and problems:
        raise typer.Exit(next(iter(problems.values())).code)
    if not results or problems or any(not item.report.is_proved or item.changed.problems for item in results):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


# -- setting ----------------------------------------------------------------------------------------------------
def _set(
    state: str,
    account: str,
    pool: str,
    everywhere: bool,
    by: list[str],
    reason: str,
    *,
    json: bool,
    yes: bool = True,
    acknowledge_left: bool = False,
) -> None:
    from cli import output
    from cli.failures import ExitCode
    from flows.reports.stopping import control_report

    command = "resume" if state == "run" else state.replace("_", "-")
    scopes = _scopes(command, account, pool, everywhere)
    first, second = _people(command, by, reason)
    for scope in scopes:
        _confirm(scope, state, yes=yes)
    changes = [_change(scope, state, first, second, reason, acknowledge_left=acknowledge_left) for scope in scopes]
    _tell(changes)
    if json:
        output.print_json([control_report(changed).data["control"] for changed in changes])
    else:
        for changed in changes:
            output.print_report(control_report(changed))
    strangers = [scope for scope in scopes if _is_stranger(scope)]
    if strangers or any(changed.problems for changed in changes):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def _is_stranger(scope: Scope) -> bool:
    """Whether the ledger has never seen the scope's account, or any account: it may be a slip, and is said loudly.

    The state is set all the same, because an account may be stopped before its first run. A ledger without any account
    may be that of another folder or machine than the workers'.
    """
    from sqlalchemy.exc import SQLAlchemyError
    from sqlmodel import select

    from cli import opening, output
    from deployments.home import HOME_VARIABLE
    from ledger.errors import LedgerError
    from ledger.tables import AccountRow

    try:
        with opening.ledger(scope.environment) as ledger, ledger.read() as session:
            known = sorted(session.exec(select(AccountRow.account_id)))
    except (LedgerError, SQLAlchemyError, OSError):
        return False  # that the database is not to be had was said when the state was set
    if not known:
        where = opening.without_password(opening.ledger_url(scope.environment))
        output.say(
            f"NO ACCOUNT HAS USED THE LEDGER {where}. If the workers use another one, NOTHING OF THEIRS is "
            f"changed: run this on their machine, or set {HOME_VARIABLE} or "
            f"{opening.LEDGER_VARIABLE} to what they use.",
            style="bold red",
        )
        return True
    if scope.text in known or scope.is_pool:
        return False
    output.say(
        f"NO ACCOUNT {scope.text} HAS USED THIS LEDGER. If the name is a slip, the account that you mean is NOT "
        f"stopped. Accounts of {scope.environment.value}: {', '.join(known)}",
        style="bold red",
    )
    return True


def _change(
    scope: Scope,
    state: str,
    first: str,
    second: str,
    reason: str,
    *,
    flatten: bool = False,
    acknowledge_left: bool = False,
) -> ControlChanged:
    """Set it in file and database. A stop is in the file before the database is opened."""
    from contextlib import ExitStack

    from cli import opening
    from ledger.controlling import ControlChange, change_control
    from ledger.states import ControlState

    wanted: ControlState = ControlState(state)
    with ExitStack() as stack:
        return change_control(
            ControlChange(
                scope=scope.text,
                state=wanted,
                reason=reason,
                set_by=first,
                approved_by=second,
                flatten=flatten,
                acknowledge_left=acknowledge_left,
            ),
            environment=scope.environment,
            ledger=lambda: stack.enter_context(opening.ledger(scope.environment)),
            file=opening.control_file(scope.environment),
        )


def _tell(changes: list[ControlChanged]) -> None:
    from cli import output

    for changed in changes:
        output.say(f"{changed.scope} is {changed.after} (was {changed.before})")
        for problem in changed.problems:
            output.say(f"ONLY HALF SET: {problem}", style="red")


def _people(command: str, by: list[str], reason: str) -> tuple[str, str]:
    """One or two names, and a reason; whether two are needed is judged where the state is set."""
    names = [name.strip() for name in by if name.strip()]
    if not 1 <= len(names) <= 2:
        raise _usage("say who you are, and in production who the second person is", command=command, field="--by")
    if not reason.strip():
        raise _usage("say why: it is kept for ever", command=command, field="--reason")
    return names[0], names[1] if len(names) == 2 else ""


def _usage(message: str, *, command: str, field: str) -> CliError:
    """What is missing, with the whole command: at night nobody should have to find it out word by word."""
    from cli.failures import CliError, ExitCode

    return CliError(
        message,
        title="Usage",
        code=ExitCode.USAGE,
        field=field,
        remedy=f'algotrendy {command} --pool POOL --by NAME --reason "WHY"\n'
        f"instead of --pool: --account ACCOUNT{'' if command == 'resume' else ', or --all'}; "
        "a second person: a second --by",
    )


def _scopes(command: str, account: str, pool: str, everywhere: bool) -> list[Scope]:
    """Exactly one of the three ways to say it; all of them work from the words alone."""
    from brokers.ids import Environment
    from cli import opening
    from cli.failures import CliError, ExitCode
    from ledger.controls import pool_scope

    if sum((bool(account), bool(pool), everywhere)) != 1:
        raise _usage(
            "say what is meant: one account, one pool, or all", command=command, field="--account, --pool or --all"
        )
    if account:
        found = opening.account_id(account)
        return [Scope(str(found), found.environment)]
    if pool and pool not in set(Environment):
        raise CliError(
            f"there is no pool {pool!r}",
            title="Usage",
            code=ExitCode.USAGE,
            field="--pool",
            value=pool,
            remedy=", ".join(Environment),
        )
    chosen = [Environment(pool)] if pool else environments()
    if not chosen:
        raise _nothing_here()
    return [Scope(pool_scope(environment.value), environment) for environment in chosen]


def _nothing_here() -> CliError:
    """`--all` met no ledger: a folder or machine that is not the workers', or one on which nothing ever ran."""
    from cli.failures import CliError
    from deployments.home import HOME_VARIABLE, Home

    return CliError(
        f"NOTHING WAS STOPPED: no ledger and no control file is in {Home.default().root}",
        field=HOME_VARIABLE,
        value=str(Home.default().root),
        remedy=f"run it on the workers' machine, set {HOME_VARIABLE} to their folder, or name the pool: --pool POOL",
    )


def environments() -> list[Environment]:
    """Those that have a ledger in the home folder; where the ledger is named by a variable, --pool must say which."""
    import os

    from brokers.ids import Environment
    from cli import opening
    from cli.failures import CliError, ExitCode
    from deployments.home import Home

    if os.environ.get(opening.LEDGER_VARIABLE, ""):
        raise CliError(
            "the ledger is named by a variable, so this machine does not know which pools there are",
            title="Usage",
            code=ExitCode.USAGE,
            field="--pool",
            remedy="name the pool of that ledger",
        )
    home = Home.default()
    files = {e: home.root / "ledger" / f"{e.value}.db" for e in Environment}
    return [e for e, file in files.items() if file.exists() or home.control_file(e).exists()]


def _confirm(scope: Scope, state: str, *, yes: bool) -> None:
    """Stops are never asked about; what may let more out is."""
    from cli.jobs import confirm_in

    confirm_in(scope.environment, scope.text, f"set {scope.text} to {state}", yes=yes)
