"""Open several accounts for one job: each behind its own guards; what refuses one does not keep the others away."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial

from brokers.errors import BrokerError, EnvironmentMismatch
from brokers.ids import AccountId
from ledger.errors import ConflictingEvidence
from tasks.config import Account, ConfigRefused, account_id_of
from trading.beside import Beside, one_by_one
from trading.rebalancing.reasons import AccountReason
from trading.rebalancing.run_plan import AccountProblem
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade, refuse_withdrawal

REFUSES_ONE = (ConfigRefused, BrokerError, NotReadyToTrade, ConflictingEvidence)


@dataclass(frozen=True, slots=True)
class Opened:
    """The accounts that are open, by name, and what kept the others away."""

    runtimes: dict[str, Runtime]
    problems: tuple[AccountProblem, ...]


@contextmanager
def open_accounts(
    names: Sequence[str],
    *,
    load: Callable[[str], Account],
    open_one: Callable[[Account], AbstractContextManager[Runtime]],
    prove: Callable[[Runtime], object],
    beside: Beside = one_by_one,
) -> Iterator[Opened]:
    """Load, open and prove every account; close all at the end. EnvironmentMismatch refuses the whole job."""
    with ExitStack() as stack:
        found: dict[str, Runtime] = {}
        problems: list[AccountProblem] = []
        for name in names:
            try:
                found[name] = stack.enter_context(open_one(load(name)))
            except EnvironmentMismatch:
                raise
            except REFUSES_ONE as error:
                problems.append(_problem(name, error))
        proofs = beside([partial(_proved, name, runtime, prove) for name, runtime in found.items()])
        problems.extend(problem for problem in proofs if problem is not None)
        refused = {problem.account_name for problem in problems}
        yield Opened({name: runtime for name, runtime in found.items() if name not in refused}, tuple(problems))


def look_only(runtime: Runtime) -> None:
    """Connect without leaving a trace in the ledger: for a preview. A key that may withdraw is refused as ever."""
    refuse_withdrawal(runtime.broker.connect())


def _proved(name: str, runtime: Runtime, prove: Callable[[Runtime], object]) -> AccountProblem | None:
    try:
        prove(runtime)
    except EnvironmentMismatch:
        raise
    except REFUSES_ONE as error:
        return _problem(name, error)
    return None


def _problem(name: str, error: Exception) -> AccountProblem:
    reason = str(getattr(error, "reason", AccountReason.ACCOUNT_NOT_OPENED))
    return AccountProblem(
        account_name=name, account_id=_id(name), reason=reason, detail=str(error).removeprefix(f"{reason}: ")
    )


def _id(name: str) -> str:
    """The account's id as its name says it; "" where it says none."""
    try:
        found: AccountId = account_id_of(name)
    except (ConfigRefused, ValueError):
        return ""
    return str(found)
