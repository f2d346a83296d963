"""Commands that start things on this machine: the local stack, the demonstration, a simulator alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def up(
    pool: Annotated[
        list[str] | None,
        typer.Option(help="Pool to run a worker for: simulated, testnet, production. May be repeated."),
    ] = None,
) -> None:
    """Start the local stack (simulator, Prefect server, workers) and keep it until Ctrl-C; prints the UI's address."""
    arguments = [part for name in pool or ["simulated"] for part in ("--pool", name)]
    raise typer.Exit(_run_module("deployments.up", *arguments))


def demo() -> None:
    """Start the stack, run sync, leverage, rebalance and reconcile through it, write demo-report/, stop it."""
    raise typer.Exit(_run_module("deployments.demo"))


def simulate(
    venue: Annotated[str, typer.Argument(help="Venue to simulate.")] = "bybit",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 picks a free one.")] = 0,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML or JSON configuration; without it the demonstration venue.",
            exists=True,
            dir_okay=False,
            show_default=False,
        ),
    ] = None,
    state_file: Annotated[
        Path | None,
        typer.Option(help="Write url and pid here when ready; removed at the end.", show_default=False),
    ] = None,
) -> None:
    """Start a simulated venue on loopback and keep it until Ctrl-C; its address is printed as one JSON line.

    Export the address as ALGOTRENDY_SIMULATOR and simulated accounts of an --accounts file are found there.
    """
    arguments = [venue, "--port", str(port)]
    if config is not None:
        arguments += ["--config", str(config)]
    if state_file is not None:
        arguments += ["--state-file", str(state_file)]
    raise typer.Exit(_run_module("simulators", *arguments))


def _run_module(module: str, *arguments: str) -> int:
    """Run one of our packages as a child in the foreground and give its exit code; signals to us are passed on."""
    import signal
    import subprocess
    import sys

    child = subprocess.Popen([sys.executable, "-m", module, *arguments])  # noqa: S603  our own module
    previous = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                continue  # the terminal has sent the child the same signal: wait for its orderly end
    finally:
        signal.signal(signal.SIGTERM, previous)
        if child.poll() is None:
            child.kill()
            child.wait()
