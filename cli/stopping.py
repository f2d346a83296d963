"""Commands that stop and start trading. They set the control state themselves: neither the Prefect server, nor the
venue, nor, for a stop, the database is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.control import ByOption, ReasonOption
from cli.options import AccountsOption, JsonOption, ReportOption, YesOption

if TYPE_CHECKING:
    from brokers.ids import AccountId, Environment
    from cli.failures import CliError
    from ledger.controlling import ControlChanged
    from ledger.states import ControlState
    from tasks.config import Account
    from trading.kill_model import KillRequest, KillResult

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
    from flows import reports
    from trading.kill_model import KillRequest

    scopes = _scopes("kill", account, pool, everywhere)
    first, second = _people("kill", by, reason)
    changes = [_change(scope, "kill", first, second, reason, flatten=flatten) for scope in scopes]
    _tell(changes)
    request = KillRequest(requested_by=first, reason=reason, approved_by=second, flatten=flatten, everything=everything)
    results: list[KillResult] = []
    for scope, changed in zip(scopes, changes, strict=True):
        results += [_kill(chosen, changed, request) for chosen in _accounts_of(scope, accounts)]
    made = [reports.report_of(item) for item in results]
    for number, item in enumerate(made):
        if report is not None:
            output.say(f"report: {reports.write_report(item, report / str(number) if number else report).html}")
        if not json:
            output.print_report(item)
    if json:
        output.print_json([{"verdict": item.verdict, "tone": item.tone, **item.data} for item in made])
    if not results or any(not item.report.is_proved or item.changed.problems for item in results):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def _kill(chosen: Account, changed: ControlChanged, request: KillRequest) -> KillResult:
    from cli import opening, output
    from cli.steps import telling_step
    from trading.kill_model import KillResult
    from trading.killing import kill_account

    with output.progress(f"kill {chosen.account_id}") as tell, opening.runtime(chosen) as runtime:
        found = kill_account(
            runtime,
            request,
            settle_currencies=chosen.connection.settle_currencies,
            step=telling_step(tell, clock=runtime.clock),
        )
    return KillResult(changed=changed, report=found)


def _accounts_of(scope: Scope, file: Path | None) -> list[Account]:
    """The accounts that a scope covers, from the file or the stack; the stop is already set."""
    from cli import opening, output
    from cli.failures import CliError

    try:
        if not scope.text.startswith("pool:"):
            return [opening.account(scope.text, file)]
        listed = opening.catalogue(file).accounts
        names = [line.name for line in listed if line.environment == scope.environment.value]
        return [opening.account(name, file) for name in names]
    except CliError as error:
        output.say(f"{scope.text} IS STOPPED, and its orders were not cancelled: {error}", style="red")
        raise


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
    """Whether the scope is an account that is not in a ledger that has others: it may be a slip, and is said loudly.

    The state is set all the same, because an account may be stopped before its first run. A ledger without any account
    is named, because it may be that of another folder or machine than the workers'.
    """
    from sqlalchemy.exc import SQLAlchemyError
    from sqlmodel import select

    from cli import opening, output
    from ledger.errors import LedgerError
    from ledger.tables import AccountRow

    try:
        with opening.ledger(scope.environment) as ledger, ledger.read() as session:
            known = sorted(session.exec(select(AccountRow.account_id)))
    except (LedgerError, SQLAlchemyError, OSError):
        return False  # that the database is not to be had was said when the state was set
    if not known:
        where = opening.without_password(opening.ledger_url(scope.environment))
        output.say(f"No account has used the ledger {where} yet. Is it the one that the workers use?", style="yellow")
        return False
    if scope.text in known or scope.text.startswith("pool:"):
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
    from cli.failures import CliError, ExitCode
    from ledger.controls import pool_scope

    if sum((bool(account), bool(pool), everywhere)) != 1:
        raise _usage(
            "say what is meant: one account, one pool, or all", command=command, field="--account, --pool or --all"
        )
    if account:
        found = _account_id(account)
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
    return [Scope(pool_scope(environment.value), environment) for environment in chosen]


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


def _account_id(text: str) -> AccountId:
    from brokers.ids import AccountId
    from cli.failures import CliError
    from tasks.config import ConfigRefused, account_id_of

    try:
        return AccountId.parse(text) if "." in text else account_id_of(text)
    except (ConfigRefused, ValueError) as error:
        raise CliError(str(error), field="--account", value=text, remedy="e.g. bybit-testnet-main") from error


def _confirm(scope: Scope, state: str, *, yes: bool) -> None:
    """Stops are never asked about; what may let more out is."""
    from cli.jobs import confirm_in

    confirm_in(scope.environment, scope.text, f"set {scope.text} to {state}", yes=yes)
