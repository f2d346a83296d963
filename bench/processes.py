"""Processes that a benchmark needs beside it, and their certain end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import requests

READY_S_MAX = 60.0


@contextmanager
def child(
    arguments: list[str], *, environ: Mapping[str, str] | None = None, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python -m …`; it is asked to end, then made to, when the block ends."""
    with log.open("wb") as sink:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=sink, stderr=subprocess.STDOUT, env=dict(environ or os.environ)
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def simulator(folder: Path, config: str, *, venue: str = "bybit") -> Iterator[str]:
    """A simulator in a process of its own; gives its URL."""
    config_file, state_file = folder / "simulator.yaml", folder / "simulator.json"
    config_file.write_text(config)
    arguments = ["simulators", venue, "--config", str(config_file), "--state-file", str(state_file)]
    with child(arguments, log=folder / "simulator.log") as process:
        _until(state_file.exists, process, "the simulator")
        yield json.loads(state_file.read_text())["url"]


@contextmanager
def simulators(folder: Path, *venues: str) -> Iterator[dict[str, str]]:
    """The demonstration venues without limits, all in one process; gives their URLs."""
    state_file = folder / "simulators.json"
    arguments = ["simulators", *venues, "--no-rate-limits", "--state-file", str(state_file)]
    with child(arguments, log=folder / "simulators.log") as process:
        _until(state_file.exists, process, "the simulators")
        lines = [json.loads(line) for line in state_file.read_text().splitlines()]
        yield {line["venue"]: line["url"] for line in lines}


@contextmanager
def prefect_server(folder: Path) -> Iterator[dict[str, str]]:
    """A real Prefect server on a free port with a home of its own; gives the client's environment."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/api"
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    environ = {
        **kept,
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
    }
    arguments = ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port), "--no-ui"]
    with child(arguments, environ=environ, log=folder / "prefect.log") as process:
        _until(lambda: _answers(f"{url}/health"), process, "the Prefect server")
        yield environ


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(url, timeout=2).ok
        except requests.RequestException:
            return False


def _until(is_ready: object, process: subprocess.Popen[bytes], what: str) -> None:
    assert callable(is_ready)
    deadline = time.monotonic() + READY_S_MAX
    while not is_ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode} before it was ready")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} was not ready after {READY_S_MAX:.0f} s")
        time.sleep(0.05)
