"""Job: close positions with reduce-only orders, proved flat at the venue."""

from __future__ import annotations

from typing import Any, Literal

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from brokers.errors import InstrumentUnknown
from brokers.rounding import decimal_text
from flows.job import Job, business_key, refused, run_job
from flows.parameters import AccountName, Key, Symbols
from flows.parameters import instruments as instruments_of
from flows.states import FinalState
from tasks.config import ConfigRefused
from tasks.steps import prefect_step
from trading.closing import ClosedPosition, CloseOutcome
from trading.closing import close_positions as close_positions_of

DESCRIPTION = """
Close positions with reduce-only market orders, then read the venue until they are flat or the reason is known.

Spot holdings are balances, not positions: sell them with a portfolio that gives them weight 0.
"""


@flow(
    name="close-positions",
    flow_run_name="Close {which} positions on {account}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def close_positions(
    account: AccountName,
    which: Literal["all", "listed"],
    instruments: Symbols = [],  # noqa: B006 - a form shows literal defaults only
    key: Key = "",
) -> State[Any]:
    """Close positions.

    Args:
        account: Name of the account's block.
        which: all closes every position of the account; listed closes those of the instruments below.
        instruments: Unified symbols such as BTC/USDT:USDT. Only with listed.
        key: Leave it empty. The same key names the same orders for ever; a new run has a new one by itself.
    """
    return run_job(
        "close-positions", account, lambda job: _close(job, which, instruments, key), trades=True, only_reduces=True
    )


def _close(job: Job, which: str, symbols: list[str], key: str) -> State[Any]:
    chosen = instruments_of(symbols)
    if (which == "all") != (not chosen):
        raise ConfigRefused(
            f"which is {which!r} and {len(chosen)} instruments are listed; list them only with 'listed'"
        )
    try:
        closed = close_positions_of(
            job.runtime,
            business_key=business_key(key),
            settle_currencies=job.account.connection.settle_currencies,
            instruments=chosen or None,
            step=prefect_step,
        )
    except InstrumentUnknown as error:
        return refused(error)
    job.publish(closed)
    return verdict(closed)


def verdict(closed: tuple[ClosedPosition, ...]) -> State[Any]:
    """Completed only when the venue shows every position flat."""
    if any(item.outcome is CloseOutcome.UNRESOLVED for item in closed):
        return FinalState.NEEDS_HUMAN.state(_left(closed))
    if any(item.outcome is CloseOutcome.LEFT for item in closed):
        return FinalState.NOT_CLOSED.state(_left(closed))
    return Completed(message=f"{len(closed)} positions are flat, read back from the venue")


def _left(closed: tuple[ClosedPosition, ...]) -> str:
    still = [item for item in closed if item.outcome in (CloseOutcome.LEFT, CloseOutcome.UNRESOLVED)]
    named = (f"{item.instrument_id} {decimal_text(item.quantity_left)} ({item.reason})" for item in still[:5])
    return f"{len(still)} of {len(closed)} positions are not proved flat: {', '.join(named)}"
