"""What `algotrendy kill` clears: the accounts of a scope, side by side; what keeps one away keeps no other.

The control state is set before anything here begins (cli.stopping).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlmodel import Session

    from cli.failures import Failure
    from cli.stopping import Scope
    from ledger.controlling import ControlChanged
    from tasks.config import Account
    from trading.kill_model import KillRequest, KillResult


@dataclass(frozen=True, slots=True)
class Target:
    """One account to clear; `failure` says why it could not even be tried."""

    name: str
    changed: ControlChanged
    account: Account | None = None
    failure: Failure | None = None


def targets_of(scope: Scope, changed: ControlChanged, file: Path | None, *, flatten: bool) -> list[Target]:
    """The accounts that a scope covers, from the file or the stack. The stop is set; what keeps one account away is
    kept for the end, so that the others are cleared."""
    from cli import opening, output
    from cli.failures import CliError, failure_of

    try:
        names = opening.account_names(scope.environment, file) if scope.is_pool else [scope.text]
    except CliError as error:
        output.say(f"{scope.text} IS STOPPED, and its orders were not cancelled: {error}", style="red")
        raise
    found: list[Target] = []
    for name in names:
        try:
            found.append(Target(name, changed, account=opening.account(name, file)))
        except Exception as error:  # noqa: BLE001  shown as this account's failure
            found.append(Target(name, changed, failure=failure_of(error)))
    if scope.is_pool:
        found += [_missing(name, changed, file) for name in _left_out(scope, names, flatten=flatten)]
        if not found:
            where = file or "the stack's blocks"
            output.say(
                f"{scope.text} IS STOPPED, and there is no account of {scope.environment} in {where}", style="red"
            )
    return found


def kill_all(targets: list[Target], request: KillRequest) -> tuple[list[KillResult], dict[str, Failure]]:
    """Clear all side by side, because a proof may take a minute; what failed, by account, is said at once."""
    from cli import output
    from cli.failures import Failure
    from tasks.beside import in_threads

    title = f"kill {', '.join(target.name for target in targets)}"
    with output.progress(title) as tell:
        ends = in_threads([partial(_kill, target, request, tell) for target in targets])
    problems = {target.name: end for target, end in zip(targets, ends, strict=True) if isinstance(end, Failure)}
    for name, failure in problems.items():
        output.say(f"{name} IS STOPPED, and ITS ORDERS WERE NOT CANCELLED, or that is not proved:", style="bold red")
        output.print_failure(failure)
    return [end for end in ends if not isinstance(end, Failure)], problems


def _kill(target: Target, request: KillRequest, tell: Callable[[str], None]) -> KillResult | Failure:
    from cli import opening
    from cli.failures import failure_of
    from cli.steps import telling_step
    from trading import killing
    from trading.kill_model import KillResult

    if target.account is None:
        assert target.failure is not None
        return target.failure
    try:
        with opening.runtime(target.account) as runtime:
            found = killing.kill_account(
                runtime,
                request,
                settle_currencies=target.account.connection.settle_currencies,
                step=telling_step(tell, clock=runtime.clock),
            )
    except Exception as error:  # noqa: BLE001  it is this account's end, not that of the others
        return failure_of(error)
    return KillResult(changed=target.changed, report=found)


def as_json(name: str, failure: Failure) -> dict[str, str]:
    return {"account": name, "problem": failure.message, "reason": failure.reason, "remedy": failure.remedy}


def _left_out(scope: Scope, names: list[str], *, flatten: bool) -> list[str]:
    """Accounts with something to clear by the ledger, which the file or the stack does not name."""
    from sqlalchemy.exc import SQLAlchemyError

    from brokers.ids import AccountId
    from cli import opening
    from ledger.errors import LedgerError
    from tasks.config import block_name

    try:
        with opening.ledger(scope.environment) as ledger, ledger.read() as session:
            held = _with_orders(session) | (_with_positions(session) if flatten else set())
    except (LedgerError, SQLAlchemyError, OSError):
        return []  # that the database is not to be had was said when the state was set
    return sorted({block_name(AccountId.parse(account_id)) for account_id in held} - set(names))


def _with_orders(session: Session) -> set[str]:
    from sqlmodel import col, select

    from ledger.states import TERMINAL_STATES
    from ledger.tables import OrderIntent

    over = [state.value for state in TERMINAL_STATES]
    return set(session.exec(select(OrderIntent.account_id).where(col(OrderIntent.state).not_in(over)).distinct()))


def _with_positions(session: Session) -> set[str]:
    """Accounts whose newest snapshot holds something."""
    from sqlmodel import col, func, select

    from ledger.tables import AccountSnapshot, PositionRow

    newest = select(func.max(col(AccountSnapshot.snapshot_id))).group_by(col(AccountSnapshot.account_id))
    query = select(AccountSnapshot.account_id, col(PositionRow.quantity)).where(
        col(PositionRow.snapshot_id) == AccountSnapshot.snapshot_id, col(PositionRow.snapshot_id).in_(newest)
    )
    return {account_id for account_id, quantity in session.exec(query) if quantity}


def _missing(name: str, changed: ControlChanged, file: Path | None) -> Target:
    from cli.failures import ExitCode, Failure

    failure = Failure(
        title="Account not named",
        message=f"the ledger has orders or positions of {name}, and {file or 'the stack'} does not name the account",
        code=ExitCode.CONFIGURATION,
        field="--accounts",
        value=str(file or ""),
        remedy=f"algotrendy kill --account {name} --accounts FILE, with a file that names it",
    )
    return Target(name, changed, failure=failure)
