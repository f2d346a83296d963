"""Job: set leverage, each instrument proved by reading it back."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from brokers.ids import InstrumentId
from flows.job import Job, run_job
from flows.parameters import AccountName, LeverageText, Symbols, instruments, number
from flows.states import FinalState
from tasks.config import ConfigRefused
from tasks.steps import prefect_step
from trading.leverage import set_leverage as set_leverage_of

DESCRIPTION = """
Set the leverage of instruments and read each one back.

With nothing filled in, the account's own leverage targets are set (they stand on its block). Setting what is already
set changes nothing. Leverage changes the money that positions bind, not their size.
"""


@flow(
    name="set-leverage",
    flow_run_name="Set leverage on {account}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def set_leverage(account: AccountName, leverage: LeverageText = "", instruments: Symbols = []) -> State[Any]:  # noqa: B006 - a form shows literal defaults only
    """Set leverage.

    Args:
        account: Name of the account's block.
        leverage: From 1 to 100, at most two decimals. Empty means the targets on the account's block.
        instruments: Unified symbols such as BTC/USDT:USDT. Empty means all instruments with a target on the block.
    """
    return run_job("set-leverage", account, lambda job: _set(job, leverage, instruments))


def wanted_leverage(job: Job, leverage: str, symbols: list[str]) -> dict[InstrumentId, Decimal]:
    """What is to be set; ConfigRefused when an instrument has neither a target nor a leverage given."""
    targets = job.account.leverage
    chosen = instruments(symbols) or tuple(targets)
    asked = number(leverage)
    missing = [str(i) for i in chosen if asked is None and i not in targets]
    if missing:
        raise ConfigRefused(
            f"account {job.account_name} has no leverage target for {', '.join(missing)}; give leverage"
        )
    return {i: targets[i] if asked is None else asked for i in chosen}


def _set(job: Job, leverage: str, symbols: list[str]) -> State[Any]:
    wanted = wanted_leverage(job, leverage, symbols)
    results = set_leverage_of(job.runtime, wanted, leverage_max=job.account.policy.leverage_max, step=prefect_step)
    job.publish(results)
    proved = [item for item in results if item.outcome.is_proved]
    counted = f"{len(proved)} of {len(results)} instruments hold the wanted leverage, read back from the venue"
    if len(proved) == len(results):
        return Completed(message=counted)
    open_lines = ", ".join(
        f"{r.instrument_id} {r.outcome.value} ({r.reason})" for r in results if not r.outcome.is_proved
    )
    return FinalState.LEVERAGE_NOT_SET.state(f"{counted}; {open_lines}")
