"""`make demo`: the whole product once, on five simulated venues, through deployments on a worker.

Brings a local stack up, gives the accounts books that are far from their target, and runs what an operator would run:
sync positions and set leverage, rebalance one portfolio over Bybit, Binance, OKX and Alpaca, reconcile them all. Beside
that a drain runs, and alerts are sent to the receiver, which end as orders at TradeStation. Ends with 0 only if every
run completed, the venues hold the target within tolerance by two independent readings, reconciliation found no break,
and every alert came to the end that it had to, down to the venue's orders.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from brokers.ids import Environment, InstrumentId, Venue
from brokers.rounding import decimal_text
from deployments import demo_alerts, evidence
from deployments.home import Home
from deployments.processes import StackFailed, Stopped
from deployments.stack import Say, Stack, only_stack_of, running
from tasks.config import Configuration, load
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.subscription import Subscription

if TYPE_CHECKING:
    from uuid import UUID

    from prefect.client.orchestration import SyncPrefectClient

    from deployments.runs import Run
    from flows.reports.demo import DemoFiles
    from flows.reports.model import Report, Table

SUBSCRIPTION = "world"
LEVERED = "bybit-simulated-main"
SIMULATOR_ACCOUNT = "main"
RUN_S_MAX = 120.0
ROWS_MAX = 40
# Tables that are printed; the files have all of them.
SHOWN = frozenset({"leverage", "accounts", "legs", "breaks", "equations", "alerts"})
# The books before: a long where a short is wanted, too much AAPL, and too few contracts of BTC.
BOOKS_BEFORE = (
    (Venue.BYBIT, "XOMUSDT", "buy", "150"),
    (Venue.BYBIT, "JPMUSDT", "buy", "40"),
    (Venue.BINANCE, "ETHUSDT", "sell", "4"),
    (Venue.OKX, "BTC-USDT-SWAP", "buy", "20"),
    (Venue.ALPACA, "AAPL", "buy", "900"),
)


@dataclass(frozen=True, slots=True)
class Act:
    """One run of the demonstration. `of` ends the deployment's name: an account, or the pool. `page` is what the
    flow's report is called where it is not named after the deployment."""

    title: str
    flow: str
    of: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    page: str = ""

    @property
    def name(self) -> str:
        return f"{self.flow}-{self.of}"

    @property
    def deployment(self) -> str:
        return f"{self.flow}/{self.name}"


def acts(accounts: Sequence[str]) -> tuple[tuple[Act, ...], ...]:
    """What is run: the runs of one row beside each other, row after row.

    The rebalance opens the ledgers of the other accounts itself: nothing is sent on an account that is not reconciled.
    """
    return (
        (Act("Sync positions", "sync-positions", LEVERED), Act("Set leverage", "set-leverage", LEVERED)),
        (
            Act(
                f"Rebalance over {len(accounts)} venues",
                "rebalance-portfolio",
                Environment.SIMULATED.value,
                {"subscription": SUBSCRIPTION, "mode": "execute"},
                page=f"rebalance-portfolio-{SUBSCRIPTION}-{Environment.SIMULATED.value}",
            ),
        ),
        tuple(Act(f"Reconcile {account}", "reconcile", account) for account in accounts),
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the demonstration; 0 only with proof."""
    parser = argparse.ArgumentParser(prog="python -m deployments.demo", description=__doc__.splitlines()[0])
    parser.add_argument("--report", type=Path, default=Path("demo-report"), help="folder of the report")
    parser.add_argument("--home", type=Path, help="folder of the stack; by default one of its own, made anew")
    options = parser.parse_args(arguments)
    console = _console()
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


def _console() -> Console:
    from flows.reports.terminal import table_width

    console = Console(highlight=False)
    console.width = table_width(
        is_terminal=console.is_terminal, console_width=console.width, is_chosen="COLUMNS" in os.environ
    )
    return console


def _fresh(home: Home) -> None:
    """A demonstration starts from nothing: its venue is new each time, so its ledger must be."""
    if home.root.exists():
        with only_stack_of(home):
            shutil.rmtree(home.root)


def _demonstrate(console: Console, home: Home, report: Path) -> int:
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {text}", soft_wrap=True)

    with running(home, pools=(Environment.SIMULATED,), say=say, receiver_port=0) as stack:
        outcome = _play(stack, say)
        files = outcome.write(report, stack)
        seconds = time.monotonic() - began
    outcome.show(console)
    _conclude(console, outcome, files, seconds=seconds)
    return 0 if outcome.is_good else 1


def _play(stack: Stack, say: Say) -> Outcome:
    """Seed the books, run every act, look at the venues twice."""
    from deployments import register, runs

    for venue, symbol, side, quantity in BOOKS_BEFORE:
        order = {"account": SIMULATOR_ACCOUNT, "symbol": symbol, "side": side, "qty": quantity}
        stack.control("place_order", post=order, venue=venue.value)
    scene = Scene(load(register.EXAMPLE).at_simulators(stack.addresses.simulators))
    before = scene.by_control(stack)
    done: list[tuple[Act, Run]] = []
    alerts: demo_alerts.AlertsOutcome | None = None
    with register.connected(stack.home, stack.addresses.api_url) as client:
        say(f"[bold]Drain alerts[/] ({demo_alerts.DEPLOYMENT}), beside everything that follows")
        runs.start(client, demo_alerts.DEPLOYMENT)
        rows = acts(scene.accounts)
        for row in rows:
            say("[bold]" + ", ".join(act.title for act in row) + "[/]")
            begun = [(act, runs.start(client, act.deployment, act.parameters)) for act in row]
            if row is rows[-1]:
                alerts = _alerts(stack, say)  # beside these runs
            done += [(act, _followed(stack, client, act, run_id, say)) for act, run_id in begun]
            if not all(run.is_completed for _, run in done):
                break
    return Outcome(
        scene=scene,
        runs=tuple(done),
        before=before,
        readings=(scene.by_control(stack), scene.by_adapter()),
        home=stack.home,
        alerts=alerts or _alerts(stack, say),
    )


def _followed(stack: Stack, client: SyncPrefectClient, act: Act, run_id: UUID, say: Say) -> Run:
    from deployments import runs

    try:
        ended = runs.follow(
            client, run_id, deployment=act.deployment, timeout_s=RUN_S_MAX, check=stack.supervisor.check
        )
    except runs.RunTimedOut as error:
        raise StackFailed(
            f"{error}. Everything was stopped. If this machine was busy, run it again when it is not; otherwise the "
            f"logs say what it waited for: {stack.home.logs}"
        ) from None
    colour = "green" if ended.is_completed else "red"
    say(f"    {act.title}: [{colour}]{escape(ended.message or ended.state)}[/] ({ended.seconds:.1f} s)")
    return ended


def _alerts(stack: Stack, say: Say) -> demo_alerts.AlertsOutcome:
    say("[bold]Alerts[/]: a buy, three re-deliveries, a stale one, a malformed one, a used id, an exit")
    return demo_alerts.play(stack, lambda text: say(escape(text)))


@dataclass(frozen=True, slots=True)
class Scene:
    """The subscription's accounts, and which of them holds which line."""

    configuration: Configuration

    @property
    def portfolio(self) -> Portfolio:
        return self.configuration.portfolio(self._subscription.portfolio)

    @property
    def accounts(self) -> tuple[str, ...]:
        return self._subscription.account_names

    @property
    def homes(self) -> dict[InstrumentId, str]:
        return {key: item.account for item in self._subscription.accounts for key in item.instruments}

    @property
    def _subscription(self) -> Subscription:
        return self.configuration.subscription(SUBSCRIPTION)

    def venue(self, account: str) -> Venue:
        return self.configuration.account(account).venue

    def by_control(self, stack: Stack) -> evidence.JointHoldings:
        """The simulators' own account of what is held."""
        read = {
            name: evidence.by_control(stack.control, SIMULATOR_ACCOUNT, lines, venue=self.venue(name))
            for name, lines in self._lines().items()
        }
        return evidence.JointHoldings(read, self.homes)

    def by_adapter(self) -> evidence.JointHoldings:
        """The same as our adapters read it."""
        read = {
            name: evidence.by_adapter(self.configuration.account(name).resolve({}), lines)
            for name, lines in self._lines().items()
        }
        return evidence.JointHoldings(read, self.homes)

    def _lines(self) -> dict[str, tuple[InstrumentId, ...]]:
        return {item.account: item.instruments for item in self._subscription.accounts}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened and what the venues hold."""

    scene: Scene
    runs: tuple[tuple[Act, Run], ...]
    before: evidence.JointHoldings
    readings: tuple[evidence.JointHoldings, ...]
    home: Home
    alerts: demo_alerts.AlertsOutcome

    @property
    def checks(self) -> dict[str, bool]:
        """What must hold for success, each as a sentence."""
        ended = {act.name: run.is_completed for act, run in self.runs}
        found = {
            f"{act.title} completed": ended.get(act.name, False) for row in acts(self.scene.accounts) for act in row
        }
        for reading in self.readings:
            lines = evidence.check(self.scene.portfolio, reading)
            for account in self.scene.accounts:
                own = [line for line in lines if self.scene.homes[line.instrument_id] == account]
                share = f"its {len(own)} of the {len(lines)} lines"
                sentence = f"{account} holds {share} within tolerance, read by the {reading.source}"
                found[sentence] = bool(own) and all(line.holds for line in own)
        found["every run left a report"] = len(self.reports()) == sum(map(len, acts(self.scene.accounts)))
        return found | self.alerts.checks

    @property
    def is_good(self) -> bool:
        return all(self.checks.values())

    def folder(self, act: Act, run: Run) -> Path:
        """Where the flow wrote its report."""
        return self.home.reports / (act.page or act.name) / str(run.run_id)

    def reports(self) -> dict[str, Path]:
        """The reports that were written, by the act's title."""
        found = {act.title: self.folder(act, run) for act, run in self.runs}
        return {title: folder for title, folder in found.items() if folder.is_dir()}

    def recorded(self) -> dict[str, Report]:
        """What the ledger holds of each account: every order and fill, read from its file."""
        from flows.reports.recorded import ledger_report
        from ledger.engine import Ledger

        url = self.home.ledger_url(Environment.SIMULATED)
        with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
            return {
                f"Ledger of {name}": ledger_report(ledger, self.scene.configuration.account(name).account_id)
                for name in self.scene.accounts
            }

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
            for act, run in self.runs
        ]
        parts = "; ".join(f"{name} {seconds:.1f} s" for name, seconds in stack.seconds.items())
        return write_demo_report(
            folder,
            rows,
            {**self.reports(), "Alerts": self.alerts.report(), **self.recorded()},
            note=f"Five simulated venues, US stocks on real daily prices. Time to start: {parts}.",
            checks=self.checks,
        )

    def show(self, console: Console) -> None:
        """Print what each report says first and its most telling tables, then the positions before and after."""
        from flows.reports.files import read
        from flows.reports.terminal import draw, tone_style

        for report in (*map(read, self.reports().values()), self.alerts.report()):
            console.print(Text(f"\n{report.title}", style="bold"))
            console.print(Text(report.verdict, style=tone_style(report.tone)), soft_wrap=True)
            for table in report.tables:
                if table.name in SHOWN and table.rows:
                    for part in draw(table, width=console.width, rows_max=ROWS_MAX, note=False):
                        console.print(part)
        console.print()
        for part in draw(self._positions(), width=console.width):
            console.print(part)

    def _positions(self) -> Table:
        from flows.reports.model import Column, Table, Tone

        columns = (
            *(Column(title) for title in ("Line", "Account")),
            *(Column(title, is_number=True) for title in ("Before", "After")),
            *(Column(title, is_number=True) for title in ("Weight before", "Target", "Weight after")),
            Column("Holds", narrow=False),
        )
        after = self.readings[0]
        lines = evidence.check(self.scene.portfolio, after)
        rows = tuple(
            (
                str(line.instrument_id),
                self.scene.homes[line.instrument_id],
                decimal_text(self.before.quantity(line.instrument_id)),
                decimal_text(after.quantity(line.instrument_id)),
                f"{self.before.weight(line.instrument_id):.2%}",
                f"{line.target:.2%}",
                f"{line.weight:.2%}",
                "yes" if line.holds else "NO",
            )
            for line in lines
        )
        return Table(
            "holdings",
            "Holdings before and after, as the venues have them",
            columns,
            rows,
            note="Green lines are within tolerance of their target.",
            tones=tuple(Tone.GOOD if line.holds else Tone.BAD for line in lines),
        )


def _conclude(console: Console, outcome: Outcome, files: DemoFiles, *, seconds: float) -> None:
    for sentence, holds in outcome.checks.items():
        console.print(f"  {'[green]✓[/]' if holds else '[red]✗[/]'} {sentence}", soft_wrap=True)
    console.print(f"Report: {files.index} and {files.summary}")
    word = "[bold green]Everything holds.[/]" if outcome.is_good else "[bold red]Not everything holds.[/]"
    console.print(f"{word} {seconds:.0f} s; the stack is stopped.")


if __name__ == "__main__":
    raise SystemExit(main())
