"""`python -m simulators VENUE …`: run one or several simulators in this process until it is told to stop.

The venues are those that have a `row.py` (simulators/row.py).
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from simulators.core.server import Service, start
from simulators.demo import DEMO_START
from simulators.row import Row, names, row_of


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators", description="Run simulated venues on loopback.")
    parser.add_argument(
        "venues",
        nargs="+",
        metavar="VENUE[:PORT]",
        help=f"one or several of {', '.join(names())}; without a port a free one is picked",
    )
    parser.add_argument("--port", type=int, default=0, help="port of the one venue to listen on; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--config", type=Path, help="YAML or JSON configuration; without it the demonstration venue")
    parser.add_argument("--seed", type=int, default=7, help="seed of the demonstration venue")
    parser.add_argument(
        "--market-start",
        type=lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
        default=DEMO_START,
        help="first day of the demonstration venue's market, e.g. 2018-01-02",
    )
    parser.add_argument("--no-rate-limits", action="store_true", help="switch request limits off")
    parser.add_argument("--state-file", type=Path, help="write url and pid here when ready; removed at the end")
    options = parser.parse_args(arguments)
    options.ports = _ports(parser, options)
    return options


def _ports(parser: argparse.ArgumentParser, options: argparse.Namespace) -> dict[str, int]:
    """The port of each venue, 0 for a free one."""
    ports: dict[str, int] = {}
    for text in options.venues:
        name, _, port = text.partition(":")
        if name not in names():
            parser.error(f"argument VENUE: there is no simulator of {name!r}; choose from {', '.join(names())}")
        if name in ports:
            parser.error(f"argument VENUE: {name} is named twice; each venue runs once")
        if port and not port.isdecimal():
            parser.error(f"argument VENUE: the port of {name} must be a number, was {port!r}")
        ports[name] = int(port or options.port)
    if len(ports) > 1 and (options.port or options.config):
        parser.error("--port and --config are for a single venue; say VENUE:PORT, or start the others by themselves")
    return ports


def _announce(lines: list[dict[str, object]], state_file: Path | None) -> None:
    """One JSON line per venue."""
    text = "\n".join(json.dumps(line) for line in lines)
    if state_file is not None:
        partial = state_file.with_name(state_file.name + ".partial")
        partial.write_text(text + "\n", encoding="utf-8")
        partial.replace(state_file)
    print(text, flush=True)


def _config(options: argparse.Namespace, row: Row) -> Any:
    """Return the configuration in a file, or the demonstration's, with or without request limits."""
    given = {"seed": options.seed, "market_start": options.market_start}
    config = row.config.load(options.config) if options.config else row.demo(**given)
    if options.no_rate_limits:
        unlimited = config.rate_limits.model_copy(update={"enabled": False})
        config = config.model_copy(update={"rate_limits": unlimited})
    return config


async def _open(stack: AsyncExitStack, options: argparse.Namespace, name: str) -> dict[str, object]:
    """Start one venue and return its line."""
    row = row_of(name)
    config = _config(options, row)
    simulator = row.build(config)
    service = Service(simulator, row.control(simulator))
    runner, url = await start(service, host=options.host, port=options.ports[name])
    stack.push_async_callback(runner.cleanup)
    return {"venue": name, "url": url, "pid": os.getpid(), **row.sign_in(config)}


async def _serve(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        lines = [await _open(stack, options, name) for name in options.ports]
        _announce(lines, options.state_file)
        if options.state_file is not None:
            stack.callback(options.state_file.unlink, missing_ok=True)
        await stop.wait()


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    asyncio.run(_serve(_arguments(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
