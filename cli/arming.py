"""Commands to arm a production pool: two people, one record, and a code of each of them for it."""

from __future__ import annotations

from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import AccountsOption, EnvironmentName, EnvironmentOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from brokers.ids import Environment
    from ledger.engine import Ledger
    from ledger.tables import ArmingRow
    from tasks.config import Account

arm_app = typer.Typer(
    help="Arm production: nothing is sent there without a record that two people made.", no_args_is_help=True
)
PersonOption = Annotated[str, typer.Option("--by", help="Your name, as it is enrolled.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", help="Your key's file, to make your code with.", exists=True, dir_okay=False, readable=True),
]
HashArgument = Annotated[str, typer.Argument(help="Hash of the request, as it was shown to you.")]


@arm_app.command("enrol")
def enrol(name: Annotated[str, typer.Argument(help="Name: lowercase letters, digits, dashes.")]) -> None:
    """Make the key of a person who may arm. Give that person a copy of the file; nobody else may have one."""
    from cli import opening, output
    from trading.arming import People

    file = People(opening.secrets_folder()).enrol(name)
    output.out().print(f"{name} is enrolled. Their key: {file}")


@arm_app.command("show")
def show(environment: EnvironmentOption = EnvironmentName.PRODUCTION, json: JsonOption = False) -> None:
    """Show the newest arming steps of the environment's pool, and the newest request's hash."""
    from sqlmodel import col, select

    from cli import output
    from flows.reports.model import Column, Table
    from ledger.tables import ArmingRow

    with _ledger(environment) as ledger, ledger.read() as session:
        query = select(ArmingRow).where(ArmingRow.pool == environment).order_by(col(ArmingRow.arming_id).desc())
        found = session.exec(query.limit(20)).all()
    if json:
        output.print_json([_shown(row) for row in found])
        return
    titles = ("At", "State", "Record", "Notional", "Until", "By", "Reason")
    rows = tuple(
        (
            f"{row.recorded_at:%Y-%m-%d %H:%M:%S}",
            row.state,
            row.record_sha256[:12],
            "" if row.notional_max is None else f"{row.notional_max:f}",
            "" if row.expires_at is None else f"{row.expires_at:%Y-%m-%d %H:%M:%S}",
            ", ".join(name for name in (row.requested_by, row.approved_by) if name),
            row.reason,
        )
        for row in found
    )
    columns = tuple(Column(title) for title in titles)
    output.print_table(Table("arming", f"Arming of pool {environment}", columns, rows, empty="Never armed."))


@arm_app.command("request")
def request(
    account: Annotated[list[str], typer.Option("--account", "-a", help="Account to arm; may be given again.")],
    notional: Annotated[str, typer.Option("--notional", help="Most that may be sent in all, in quote currency.")],
    by: PersonOption,
    reason: ReasonOption,
    hours: Annotated[int, typer.Option("--hours", min=1, max=8, help="How long.")] = 1,
    key: KeyFile = None,
    accounts: AccountsOption = None,
    json: JsonOption = False,
) -> None:
    """Ask to arm the pool of these accounts. Prints the record's hash and, with --key, your code for it."""
    from brokers.rounding import parse_decimal
    from cli import opening, output
    from trading.arming import People, Role, request_arming
    from trading.arming.people import code_of, read_person_key
    from trading.code_hash import code_sha256

    chosen = [opening.account(name, accounts) for name in account]
    environment = _environment_of(chosen)
    with opening.ledger(environment) as ledger:
        row = request_arming(
            ledger,
            pool=environment.value,
            policies=_policies(chosen),
            notional_max=Decimal(parse_decimal(notional, field="notional")),
            hours=hours,
            requested_by=by,
            reason=reason,
            people=People(opening.secrets_folder()),
            key=_key(environment),
            code_sha256=code_sha256(),
        )
    own = read_person_key(key) if key else None
    code = code_of(own, name=by, role=Role.REQUEST, record_sha256=row.record_sha256) if own else ""
    if json:
        output.print_json({**_shown(row), "code": code})
        return
    output.out().print(f"Requested; to be approved within 15 minutes by another person. Record:\n{row.record_sha256}")
    how = code or f"algotrendy arm code {row.record_sha256} --by {by} --key FILE"
    output.out().print(f"Your code for it, which they need too: {how}")


@arm_app.command("code")
def code(
    record: HashArgument,
    by: PersonOption,
    key: Annotated[Path, typer.Option("--key", help="Your key's file.", exists=True, dir_okay=False, readable=True)],
    approve: Annotated[bool, typer.Option("--approve", help="Your code to approve instead of to request.")] = False,
) -> None:
    """Make your code for one record (its whole hash). It is of no use for any other record; no server is asked."""
    from cli import output
    from cli.failures import CliError, ExitCode
    from trading.arming import Role
    from trading.arming.people import code_of, read_person_key
    from trading.arming.record import ungrouped

    record = ungrouped(record)
    if len(record) != 64:
        raise CliError(
            f"the whole hash has 64 characters, was {len(record)}",
            title="Usage",
            code=ExitCode.USAGE,
            field="RECORD",
            value=record,
            remedy="copy all of it",
        )
    role = Role.APPROVE if approve else Role.REQUEST
    output.out().print(code_of(read_person_key(key), name=by, role=role, record_sha256=record))


@arm_app.command("approve")
def approve(
    record: HashArgument,
    by: PersonOption,
    request_code: Annotated[str, typer.Option("--request-code", help="The code of the person who asked.")],
    key: KeyFile = None,
    code: Annotated[str, typer.Option("--code", help="Your code to approve, instead of --key.")] = "",
    environment: EnvironmentOption = EnvironmentName.PRODUCTION,
    accounts: AccountsOption = None,
    json: JsonOption = False,
) -> None:
    """Arm the pool by the record that another person asked for."""
    from brokers.ids import AccountId, Environment
    from cli import opening, output
    from ledger.arming import newest_row
    from tasks.config import block_name
    from trading.arming import People, Role, approve_arming
    from trading.arming.people import code_of, read_person_key
    from trading.arming.record import record_of, ungrouped
    from trading.code_hash import code_sha256

    wanted, record = Environment(environment), ungrouped(record)
    with opening.ledger(wanted) as ledger:
        with ledger.read() as session:
            newest = newest_row(session, environment)
        names = list(record_of(newest).policies) if newest is not None and newest.expires_at else []
        chosen = [opening.account(block_name(AccountId.parse(name)), accounts) for name in names]
        full = newest.record_sha256 if newest is not None and newest.record_sha256.startswith(record) else record
        own = read_person_key(key) if key else None
        row = approve_arming(
            ledger,
            record,
            pool=environment,
            policies=_policies(chosen),
            approved_by=by,
            request_code=request_code,
            approve_code=code_of(own, name=by, role=Role.APPROVE, record_sha256=full) if own else code,
            people=People(opening.secrets_folder()),
            key=_key(wanted),
            code_sha256=code_sha256(),
        )
    if json:
        output.print_json(_shown(row))
    else:
        output.out().print(
            f"Pool {environment} is armed until {row.expires_at:%Y-%m-%d %H:%M:%S} UTC for {row.notional_max:f}"
        )


@arm_app.command("disarm")
def disarm(by: PersonOption, reason: ReasonOption, environment: EnvironmentOption = EnvironmentName.PRODUCTION) -> None:
    """Take back what is armed or asked for. Anybody may, at any time; no code is needed."""
    from cli import output
    from ledger.arming import disarm_pool

    with _ledger(environment) as ledger, ledger.write() as session:
        row = disarm_pool(session, environment, by=by, reason=reason, at=ledger.now(session))
    output.out().print(f"Pool {environment} is disarmed" + ("" if row else "; it was not armed"))


# -- inside -----------------------------------------------------------------------------------------------------
@contextmanager
def _ledger(environment: str) -> Iterator[Ledger]:
    from brokers.ids import Environment
    from cli import opening

    with opening.ledger(Environment(environment)) as ledger:
        yield ledger


def _key(environment: Environment) -> Any:
    from cli import opening
    from trading.arming import arming_key

    return arming_key(opening.secrets_folder(), environment, make=True)


def _policies(chosen: Sequence[Account]) -> dict[str, str]:
    from trading.arming import policies_sha256

    return policies_sha256({account.account_id: account.policy for account in chosen})


def _environment_of(chosen: Sequence[Account]) -> Environment:
    from cli.failures import CliError

    environments = {account.account_id.environment for account in chosen}
    if len(environments) != 1:
        raise CliError("the accounts must be of one environment", field="--account", remedy="arm each pool on its own")
    return environments.pop()


def _shown(row: ArmingRow) -> dict[str, Any]:
    return row.model_dump(exclude={"signature"})
