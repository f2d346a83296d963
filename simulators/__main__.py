"""`python -m simulators VENUE`: run one simulator until it is told to stop."""

import argparse
import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path

from simulators.bybit.simulator import BybitConfig, build_bybit
from simulators.core.control import Control
from simulators.core.server import Service, start
from simulators.demo import DEMO_START, demo_config, tradestation_demo_config
from simulators.tradestation.config import TradeStationConfig
from simulators.tradestation.control import TradeStationControl
from simulators.tradestation.simulator import build_tradestation


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m simulators", description="Run a simulated venue on loopback.")
    parser.add_argument("venue", choices=["bybit", "tradestation"])
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 picks a free one")
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
    return parser.parse_args(arguments)


def _announce(url: str, venue: str, sign_in: dict[str, object], state_file: Path | None) -> None:
    line = json.dumps({"venue": venue, "url": url, "pid": os.getpid(), **sign_in})
    if state_file is not None:
        partial = state_file.with_name(state_file.name + ".partial")
        partial.write_text(line + "\n", encoding="utf-8")
        partial.replace(state_file)
    print(line, flush=True)


def _bybit(options: argparse.Namespace) -> tuple[Service[Control], dict[str, object]]:
    if options.config:
        config = BybitConfig.load(options.config)
    else:
        config = demo_config(seed=options.seed, market_start=options.market_start)
    if options.no_rate_limits:
        unlimited = config.rate_limits.model_copy(update={"enabled": False})
        config = config.model_copy(update={"rate_limits": unlimited})
    simulator = build_bybit(config)
    return Service(simulator, Control(simulator)), {}


def _tradestation(options: argparse.Namespace) -> tuple[Service[Control], dict[str, object]]:
    if options.config:
        config = TradeStationConfig.load(options.config)
    else:
        config = tradestation_demo_config(seed=options.seed, market_start=options.market_start)
    if options.no_rate_limits:
        unlimited = config.rate_limits.model_copy(update={"enabled": False})
        config = config.model_copy(update={"rate_limits": unlimited})
    simulator = build_tradestation(config)
    clients = [
        {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "refresh_tokens": client.refresh_tokens,
            "accounts": client.accounts or [account.name for account in config.accounts],
        }
        for client in config.clients
    ]
    return Service[Control](simulator, TradeStationControl(simulator)), {"clients": clients}


async def _serve(options: argparse.Namespace) -> None:
    service, sign_in = _bybit(options) if options.venue == "bybit" else _tradestation(options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    runner, url = await start(service, host=options.host, port=options.port)
    _announce(url, options.venue, sign_in, options.state_file)
    try:
        await stop.wait()
    finally:
        await runner.cleanup()
        if options.state_file is not None:
            options.state_file.unlink(missing_ok=True)


def main(arguments: list[str] | None = None) -> int:
    """Run until SIGTERM or SIGINT; return the exit code."""
    asyncio.run(_serve(_arguments(arguments)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
