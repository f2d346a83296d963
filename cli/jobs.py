"""Commands that do what the flows do: through the same functions, step by step, with the same reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import AccountOption, AccountsOption, JsonOption, PortfolioOption, ReportOption, YesOption

if TYPE_CHECKING:
    from datetime import date

    from brokers.ids import AccountId, Environment
    from tasks.config import Account
    from trading.runtime import Runtime
    from trading.steps import Step


@dataclass(frozen=True, slots=True)
class _Output:
    """How a job's result is shown."""

    json: bool
    report: Path | None


@dataclass(frozen=True, slots=True)
class _Several:
    """A job with more than one result, each with a report of its own."""

    items: tuple[Any, ...]


KeyOption = Annotated[
    str,
    typer.Option(
        "--key",
        help="Business key: one key is one plan for ever, so the same key continues what an interrupted run began. "
        "Without it a new one is made and printed.",
        show_default=False,
    ),
]


def rebalance(
    account: AccountOption = "",
    portfolio: PortfolioOption = "",
    key: KeyOption = "",
    accounts: AccountsOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Trade an account to its portfolio's weights and prove it: plan, execute, read the venue again.

    Reductions come first; increases follow as confirmed fills free the money. A plan that was interrupted is continued
    with its --key or with `algotrendy resume-orders`.
    """
    from cli import opening, output
    from tasks.beside import in_threads
    from trading.plans import rebalance as run_rebalance

    chosen, target = opening.account(account, accounts), opening.portfolio(portfolio, accounts)
    confirm(chosen.account_id, f"rebalance to portfolio {target.name}", yes=yes)
    business_key = key or new_key()
    output.say(f"business key {business_key}")
    _job(
        chosen,
        "rebalance",
        lambda runtime, step: run_rebalance(runtime, target, business_key=business_key, step=step, beside=in_threads),
        _Output(json, report),
        trades=True,
    )


def reconcile(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="How far back facts are compared one by one.")] = 7,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Compare orders, fills, positions and balances with the ledger, in both directions, and store every break.

    Exit code 0 when it is clean, or nothing differs but what a person accepted (the verdict says which); 7 when there
    are breaks or it could not be compared.
    """
    from datetime import timedelta

    from cli import opening
    from trading.reconciling import reconcile_account

    chosen = opening.account(account, accounts)
    _job(
        chosen,
        "reconcile",
        lambda runtime, step: reconcile_account(
            runtime, step=step, lookback=timedelta(days=days), expected_leverage=chosen.leverage
        ),
        _Output(json, report),
    )


def close(
    instruments: Annotated[
        list[str] | None,
        typer.Argument(metavar="[INSTRUMENT]...", help="Unified symbols, e.g. BTC/USDT:USDT. Without any: give --all."),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Close every open position.")] = False,
    key: KeyOption = "",
    account: AccountOption = "",
    accounts: AccountsOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Close positions with reduce-only market orders, and prove by reading that they are flat."""
    from brokers.ids import InstrumentId
    from cli import opening, output
    from cli.failures import CliError, ExitCode
    from trading.closing import close_positions

    if bool(instruments) == everything:
        raise CliError(
            "say which positions to close",
            title="Usage",
            code=ExitCode.USAGE,
            field="INSTRUMENT or --all",
            remedy="name instruments, or give --all, not both",
        )
    chosen = opening.account(account, accounts)
    wanted = None if everything else [InstrumentId(name) for name in instruments or ()]
    confirm(chosen.account_id, "close " + (", ".join(instruments or ()) or "ALL positions"), yes=yes)
    business_key = key or new_key()
    output.say(f"business key {business_key}")
    _job(
        chosen,
        "close",
        lambda runtime, step: close_positions(
            runtime,
            business_key=business_key,
            settle_currencies=chosen.connection.settle_currencies,
            instruments=wanted,
            step=step,
        ),
        _Output(json, report),
        trades=True,
        only_reduces=True,
    )


def sync(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Import orders, fills and wallet changes into the ledger and store what the account holds.

    The first sync of an account stores its opening figures.
    """
    from cli import opening
    from trading.sync import sync_account

    _job(
        opening.account(account, accounts),
        "sync",
        lambda runtime, step: sync_account(runtime.ledger, runtime.broker, clock=runtime.clock, step=step),
        _Output(json, report),
    )


def sweep(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Compare open orders and positions with the ledger, once and lightly; reconcile compares everything."""
    from cli import opening
    from trading.sweeping import sweep_account

    chosen = opening.account(account, accounts)
    _job(chosen, "sweep", lambda runtime, step: sweep_account(runtime, step=step), _Output(json, report))


def statement(
    account: AccountOption = "",
    day: Annotated[
        str, typer.Option("--day", help="UTC day, YYYY-MM-DD. Without it, yesterday; today after a first sync.")
    ] = "",
    sync: Annotated[bool, typer.Option(help="Sync first, so that the ledger has the day's end.")] = True,
    accounts: AccountsOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Write the statement of a day: balances and equity by what moved them, profit by instrument, fees, funding."""
    from cli import opening

    wanted = _day(day)
    _job(
        opening.account(account, accounts),
        "statement",
        lambda runtime, step: _statement(runtime, step, wanted, sync=sync),
        _Output(json, report),
    )


def _statement(runtime: Runtime, step: Step, day: date | None, *, sync: bool) -> Any:
    from trading.statement import day_to_state, make_statement
    from trading.sync import sync_account

    if sync:
        sync_account(runtime.ledger, runtime.broker, clock=runtime.clock, step=step)
    return make_statement(runtime, day or day_to_state(runtime), step=step)


def _day(text: str) -> date | None:
    """The day that was named."""
    from datetime import date

    from cli.failures import CliError, ExitCode

    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise CliError(
            f"there is no such day: {error}",
            title="Usage",
            code=ExitCode.USAGE,
            field="--day",
            value=text,
            remedy="name it as YYYY-MM-DD, for instance 2026-03-02",
        ) from error


def leverage(
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[INSTRUMENT=LEVERAGE]...",
            help="For instance BTC/USDT:USDT=3. Without any, the account's own leverage targets.",
        ),
    ] = None,
    account: AccountOption = "",
    accounts: AccountsOption = None,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Set leverage, instrument by instrument, each verified by reading it back."""
    from cli import opening
    from trading.leverage import require_leverage, set_leverage

    chosen = opening.account(account, accounts)
    wanted, leverage_max = _leverage_targets(targets) if targets else dict(chosen.leverage), chosen.policy.leverage_max
    require_leverage(wanted, leverage_max=leverage_max)
    confirm(chosen.account_id, f"set the leverage of {len(wanted)} instruments", yes=yes)
    _job(
        chosen,
        "leverage",
        lambda runtime, step: set_leverage(runtime, wanted, leverage_max=leverage_max, step=step),
        _Output(json, report),
    )


def resume_orders(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    minutes: Annotated[
        float, typer.Option(min=0, max=10, help="How long to go on with orders whose outcome needs time to be proved.")
    ] = 2.0,
    plans: Annotated[bool, typer.Option(help="Also continue rebalance plans that were begun.")] = True,
    yes: YesOption = False,
    report: ReportOption = None,
    json: JsonOption = False,
) -> None:
    """Finish what was interrupted: resolve orders without a known outcome, send those that were wanted and never
    left, then reconcile and continue plans that were begun. Plans wait while an order is unexplained or its outcome is
    not known."""
    from cli import opening

    chosen = opening.account(account, accounts)
    confirm(chosen.account_id, "resume orders and plans, which may send what is due", yes=yes)
    _job(
        chosen,
        "resume-orders",
        lambda runtime, step: _resumed(runtime, step, timeout_s=60.0 * minutes, plans=plans),
        _Output(json, report),
        trades=True,
        own_sweep=True,
    )


def _resumed(runtime: Runtime, step: Step, *, timeout_s: float, plans: bool) -> _Several:
    from flows.resume_orders import continue_plans, finish_orders

    swept = finish_orders(runtime, timeout_s=timeout_s, step=step)
    return _Several((swept, *(continue_plans(runtime, swept, step=step) if plans else ())))


# -- what they share --------------------------------------------------------------------------------------------
def _job(
    account: Account,
    name: str,
    work: Callable[[Runtime, Step], Any],
    output: _Output,
    *,
    trades: bool = False,
    own_sweep: bool = False,
    only_reduces: bool = False,
) -> None:
    """Open the account, do the work while telling each step, show the report, exit by its tone.

    `trades`, `own_sweep` and `only_reduces` are those of opening.runtime.
    """
    from cli import opening
    from cli import output as show
    from cli.failures import ExitCode
    from cli.steps import telling_step
    from flows import reports
    from flows.reports.model import Tone

    opened = opening.runtime(account, trades=trades, own_sweep=own_sweep, only_reduces=only_reduces)
    with show.progress(f"{name} {account.account_id}") as tell, opened as runtime:
        is_dry_run = runtime.desk.is_dry_run
        result = work(runtime, telling_step(tell, clock=runtime.clock))
    if is_dry_run:
        show.say("dry run (ALGOTRENDY_DRY_RUN): nothing was sent", style="yellow")
    results = result.items if isinstance(result, _Several) else (result,)
    made = [reports.report_of(item, subject=str(account.account_id)) for item in results]
    for number, item in enumerate(made):
        if output.report is not None:
            folder = output.report if number == 0 else output.report / f"{number}-{item.kind}"
            show.say(f"report: {reports.write_report(item, folder).html}")
        if not output.json:
            show.print_report(item)
    if output.json:
        shown = [{"verdict": item.verdict, "tone": item.tone, **item.data} for item in made]
        show.print_json(shown if isinstance(result, _Several) else shown[0])
    if any(item.tone in (Tone.WARN, Tone.BAD) for item in made):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def confirm(account_id: AccountId, what: str, *, yes: bool) -> None:
    """Ask before anything that trades or changes settings outside `simulated`; CliError where nobody can answer."""
    confirm_in(account_id.environment, str(account_id), what, yes=yes)


def confirm_in(environment: Environment, subject: str, what: str, *, yes: bool) -> None:
    """The same for anything that has an environment."""
    import sys

    from brokers.ids import Environment as Known
    from cli.failures import CliError, ExitCode

    if yes or environment is Known.SIMULATED:
        return
    if not sys.stdin.isatty():
        raise CliError(
            f"this would {what} on {subject}, and there is no terminal to ask",
            title="Not confirmed",
            code=ExitCode.DECLINED,
            field="--yes",
            remedy="give --yes if you mean it",
        )
    if not typer.confirm(f"{subject} is {environment.value.upper()}: {what}?", err=True):
        raise CliError("nothing was sent", title="Declined", code=ExitCode.DECLINED)


def new_key() -> str:
    import secrets

    from cli.opening import CLOCK

    return f"cli:{CLOCK.now():%Y-%m-%dT%H:%M:%SZ}:{secrets.token_hex(3)}"


def _leverage_targets(texts: list[str]) -> dict[Any, Any]:
    from brokers.ids import InstrumentId
    from brokers.rounding import parse_decimal
    from cli.failures import CliError, ExitCode

    found = {}
    for text in texts:
        name, separator, value = text.rpartition("=")
        try:
            if not separator:
                raise ValueError("no '=' in it")
            found[InstrumentId(name)] = parse_decimal(value, field="leverage")
        except ValueError as error:
            raise CliError(
                f"a leverage target must read INSTRUMENT=LEVERAGE: {error}",
                title="Usage",
                code=ExitCode.USAGE,
                field="INSTRUMENT=LEVERAGE",
                value=text,
                remedy="for instance BTC/USDT:USDT=3",
            ) from error
    return found
