"""`make up`: the local stack, kept until Ctrl-C, with the address of the UI and what to click."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.panel import Panel

from brokers.ids import Environment
from deployments import alerting
from deployments.home import Home
from deployments.processes import StackFailed, Stopped
from deployments.stack import Stack, running

WATCH_S = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Start the stack, say where it is, keep it until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m deployments.up", description=__doc__)
    parser.add_argument(
        "--pool",
        action="append",
        choices=[environment.value for environment in Environment],
        help="pool to register and to start a worker for; may be given again; default: simulated",
    )
    parser.add_argument("--home", type=Path, help="folder of the stack; default: .algotrendy")
    options = parser.parse_args(arguments)
    chosen = tuple(Environment(name) for name in dict.fromkeys(options.pool or [Environment.SIMULATED.value]))
    home = Home(options.home.resolve()) if options.home else Home.default()
    return keep(home, chosen, Console(highlight=False))


def keep(home: Home, pools: tuple[Environment, ...], console: Console) -> int:
    """Run until a signal; 1 when a part of the stack fails."""
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/]  {text}", soft_wrap=True)

    try:
        with running(home, pools=pools, say=say) as stack:
            console.print(_card(stack))
            for line in _alerts(stack):
                console.print(line, markup=False, soft_wrap=True)  # whole, so that it can be copied
            while True:
                stack.supervisor.check()
                time.sleep(WATCH_S)
    except (Stopped, KeyboardInterrupt):
        console.print("\nStopped; nothing is left running. Ledger and reports stay in", str(home.root))
        return 0
    except StackFailed as error:
        console.print(f"[bold red]The stack failed.[/] {error}")
        return 1


def _card(stack: Stack) -> Panel:
    account = "bybit-simulated-main"
    simulators = "\n             ".join(f"{url} ({venue.value})" for venue, url in stack.addresses.simulators.items())
    return Panel(
        f"Prefect UI:  [bold]{stack.addresses.ui_url}[/]\n"
        f"Simulators:  {simulators}\n"
        f"Folder:      {stack.home.root}\n\n"
        f"1. Deployments > [bold]sync-positions-{account}[/] > Run > Quick run: opens the ledger of the account.\n"
        f"2. Deployments > [bold]rebalance-{account}[/] > Run > Custom run: mode [bold]plan[/] shows what would be "
        "traded,\n   mode [bold]execute[/] trades. The report is on the run's Artifacts tab.\n"
        f"3. Deployments > [bold]reconcile-{account}[/] > Run > Quick run: compares venue and ledger.\n"
        "4. Deployments > [bold]rebalance-portfolio-simulated[/] > Run > Custom run: one book over several venues.\n\n"
        "Ctrl-C stops everything. docs/operator.md explains each job and each state.",
        title="AlgoTrendy is up",
        title_align="left",
    )


def _alerts(stack: Stack) -> list[str]:
    """Where alerts are sent to; for the simulated pool with a line that is ready to be typed."""
    pool = stack.addresses.pools[0]
    if pool != Environment.SIMULATED.value:
        return [
            f"Alerts for {pool} are received at {stack.addresses.receiver_url}; make a source's address with "
            f"algotrendy sources add NAME --by YOU -e {pool} --url {stack.addresses.receiver_url}"
        ]
    url = alerting.webhook_url(stack.home, stack.addresses.receiver_url)
    body = '{"v":1,"symbol":"AAPL","action":"buy","quantity":"10"}'
    return [
        f"Alerts are received at {url}",
        "Run the deployment drain-alerts-simulated, send one, and look what became of it:",
        f"  curl -X POST {url} -d '{body}'",
        "  algotrendy alerts list",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
