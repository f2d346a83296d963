"""`make demo`: the whole product once, on a simulated Bybit and TradeStation, through deployments on a worker.

Brings a local stack up, gives the account a book that is far from its target, and runs what an operator would run:
sync positions, set leverage, rebalance, reconcile. Beside that a drain runs, and alerts are sent to the receiver. Ends
with 0 only if every run completed, the venue holds the target within tolerance by two independent readings,
reconciliation found no break, and every alert came to the end that it had to, down to the venue's orders.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from brokers.ids import AccountId, Environment, Venue
from brokers.rounding import decimal_text
from brokers.types import ZERO
from deployments import demo_alerts, evidence
from deployments.home import Home
from deployments.processes import StackFailed, Stopped
from deployments.stack import Say, Stack, only_stack_of, running
from tasks.config import load
from trading.rebalancing.portfolio import Portfolio

if TYPE_CHECKING:
    from deployments.runs import Run
    from flows.reports.demo import DemoFiles
    from flows.reports.model import Report, Table

ACCOUNT = "bybit-simulated-main"
SIMULATOR_ACCOUNT = "main"
PORTFOLIO = "us-stocks"
RUN_S_MAX = 90.0
ROWS_MAX = 40
# The book before: too much AAPL, and XOM long where a short is wanted.
BOOK_BEFORE = (("AAPLUSDT", "buy", "700"), ("XOMUSDT", "buy", "150"), ("JPMUSDT", "buy", "40"))


@dataclass(frozen=True, slots=True)
class Act:
    """One run of the demonstration. `of` ends the deployment's name: an account, or the pool."""

    title: str
    flow: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    of: str = ACCOUNT

    @property
    def name(self) -> str:
        return f"{self.flow}-{self.of}"

    @property
    def deployment(self) -> str:
        return f"{self.flow}/{self.name}"


ACTS = (
    Act("Sync positions", "sync-positions"),
    Act("Set leverage", "set-leverage"),
    Act("Rebalance", "rebalance", {"mode": "execute"}),
    Act("Reconcile", "reconcile"),
    Act("Plan over both venues", "rebalance-portfolio", {"mode": "plan"}, of=Environment.SIMULATED.value),
)


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; 0 only with proof."""
    parser = argparse.ArgumentParser(prog="python -m deployments.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, default=Path("demo-report"), help="folder of the report")
    parser.add_argument("--home", type=Path, help="folder of the stack; by default one of its own, made anew")
    options = parser.parse_args(arguments)
    console = Console(highlight=False)
    home = Home(options.home or Home.default().root / "demo")
    if options.home is None:
        _fresh(home)
    try:
        return _demonstrate(console, home, options.report)
    except StackFailed as error:
        console.print(f"[bold red]The stack failed.[/] {error}", markup=True)
        return 1
    except (Stopped, KeyboardInterrupt):
        console.print("\nStopped; nothing is left running.")
        return 130


def _fresh(home: Home) -> None:
    """A demonstration starts from nothing: its venue is new each time, so its ledger must be."""
    if home.root.exists():
        with only_stack_of(home):
            shutil.rmtree(home.root)


def _demonstrate(console: Console, home: Home, report: Path) -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {text}")

    with running(home, pools=(Environment.SIMULATED,), say=say, receiver_port=0) as stack:
        outcome = _play(stack, say)
        files = outcome.write(report, stack)
        seconds = time.monotonic() - began
    outcome.show(console)
    _conclude(console, outcome, files, seconds=seconds)
    return 0 if outcome.is_good else 1


def _play(stack: Stack, say: Say) -> Outcome:
    """Seed the book, run every act, look at the venue twice."""
    from deployments import register, runs

    for symbol, side, quantity in BOOK_BEFORE:
        order = {"account": SIMULATOR_ACCOUNT, "symbol": symbol, "side": side, "qty": quantity}
        stack.control("place_order", post=order)
    configuration = load(register.EXAMPLE).at_simulators(stack.addresses.simulators)
    portfolio = configuration.portfolio(PORTFOLIO)
    account = configuration.account(ACCOUNT).resolve({})
    before = evidence.by_control(stack.control, SIMULATOR_ACCOUNT, portfolio.targets)
    done: list[runs.Run] = []
    with register.connected(stack.home, stack.addresses.api_url) as client:
        say(f"[bold]Drain alerts[/] ({demo_alerts.DEPLOYMENT}), beside everything that follows")
        runs.start(client, demo_alerts.DEPLOYMENT)
        for act in ACTS:
            say(f"[bold]{act.title}[/] ({act.deployment})")
            ended = runs.run(
                client,
                act.deployment,
                act.parameters,
                timeout_s=RUN_S_MAX,
                on_state=lambda name: say(f"    {name}"),
                check=stack.supervisor.check,
            )
            colour = "green" if ended.is_completed else "red"
            say(f"    [{colour}]{escape(ended.message or ended.state)}[/] ({ended.seconds:.1f} s)")
            done.append(ended)
            if not ended.is_completed:
                break
    say("[bold]Alerts[/]: a buy, three re-deliveries, a stale one, a malformed one, a used id, an exit")
    alerts = demo_alerts.play(stack, lambda text: say(escape(text)))
    readings = (
        evidence.by_control(stack.control, SIMULATOR_ACCOUNT, portfolio.targets),
        evidence.by_adapter(account, portfolio.targets),
    )
    return Outcome(
        portfolio=portfolio, runs=tuple(done), before=before, readings=readings, home=stack.home, alerts=alerts
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened and what the venue holds."""

    portfolio: Portfolio
    runs: tuple[Run, ...]
    before: evidence.Holdings
    readings: tuple[evidence.Holdings, ...]
    home: Home
    alerts: demo_alerts.AlertsOutcome

    @property
    def checks(self) -> dict[str, bool]:
        """What must hold for success, each as a sentence."""
        found = {f"{act.title} completed": False for act in ACTS}
        for act, run in zip(ACTS, self.runs, strict=False):
            found[f"{act.title} completed"] = run.is_completed
        for reading in self.readings:
            lines = evidence.check(self.portfolio, reading)
            found[f"the venue holds the target within tolerance, read by {reading.source}"] = all(
                line.holds for line in lines
            )
        return found | self.alerts.checks

    @property
    def is_good(self) -> bool:
        return all(self.checks.values())

    def folder(self, act: Act, run: Run) -> Path:
        """Where the flow wrote its report."""
        return self.home.reports / act.name / str(run.run_id)

    def reports(self) -> dict[str, Path]:
        """The reports that were written, by the act's title."""
        found = {act.title: self.folder(act, run) for act, run in zip(ACTS, self.runs, strict=False)}
        return {title: folder for title, folder in found.items() if folder.is_dir()}

    def recorded(self) -> Report:
        """What the ledger holds of the account: every order and fill, read from its file."""
        from flows.reports.recorded import ledger_report
        from ledger.engine import Ledger

        account_id = AccountId(Venue.BYBIT, Environment.SIMULATED, SIMULATOR_ACCOUNT)
        url = self.home.ledger_url(Environment.SIMULATED)
        with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
            return ledger_report(ledger, account_id)

    def write(self, folder: Path, stack: Stack) -> DemoFiles:
        """Write index.html and summary.json."""
        from flows.reports import write_demo_report
        from flows.reports.demo import DemoRun

        rows = [
            DemoRun(
                name=act.title,
                deployment=run.deployment,
                state=run.state,
                is_good=run.is_completed,
                started_at=run.started_at,
                duration_s=round(run.seconds, 3),
                message=run.message,
            )
            for act, run in zip(ACTS, self.runs, strict=False)
        ]
        parts = "; ".join(f"{name} {seconds:.1f} s" for name, seconds in stack.seconds.items())
        return write_demo_report(
            folder,
            rows,
            {**self.reports(), "Alerts": self.alerts.report(), "Ledger": self.recorded()},
            note=f"Simulated Bybit and TradeStation on real daily prices of US stocks. Time to start: {parts}.",
            checks=self.checks,
        )

    def show(self, console: Console) -> None:
        """Print the tables of every report, then the positions before and after."""
        from flows.reports.files import read

        for folder in self.reports().values():
            for table in read(folder).tables:
                console.print(_drawn(table))
        for table in self.alerts.report().tables:
            console.print(_drawn(table))
        console.print(self._positions())

    def _positions(self) -> RichTable:
        table = RichTable(title="Positions before and after, as the venue has them", title_justify="left")
        for title in ("Line", "Before", "After", "Weight before", "Target", "Weight after", "Within tolerance"):
            table.add_column(title, justify="left" if title == "Line" else "right")
        after = self.readings[0]
        for line in evidence.check(self.portfolio, after):
            name = line.instrument_id
            table.add_row(
                str(name),
                decimal_text(self.before.quantities.get(name, ZERO)),
                decimal_text(after.quantities.get(name, ZERO)),
                f"{self.before.weight(name):.2%}",
                f"{line.target:.2%}",
                f"{line.weight:.2%}",
                "[green]yes[/]" if line.holds else "[red]no[/]",
            )
        return table


def _drawn(table: Table) -> RichTable:
    narrow = [(place, column) for place, column in enumerate(table.columns) if column.narrow]
    drawn = RichTable(title=escape(table.title), title_justify="left", caption=escape(table.note) or None)
    for _, column in narrow:
        drawn.add_column(escape(column.title), justify="right" if column.is_number else "left")
    for row in table.rows[:ROWS_MAX]:
        drawn.add_row(*(escape(row[place]) for place, _ in narrow))
    if not table.rows:
        drawn.add_row(escape(table.empty), *[""] * (len(narrow) - 1))
    return drawn


def _conclude(console: Console, outcome: Outcome, files: DemoFiles, *, seconds: float) -> None:
    for sentence, holds in outcome.checks.items():
        console.print(f"  {'[green]✓[/]' if holds else '[red]✗[/]'} {sentence}")
    console.print(f"Report: {files.index} and {files.summary}")
    word = "[bold green]Everything holds.[/]" if outcome.is_good else "[bold red]Not everything holds.[/]"
    console.print(f"{word} {seconds:.0f} s; the stack is stopped.")


if __name__ == "__main__":
    raise SystemExit(main())
