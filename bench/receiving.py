"""Receiving: how long an alert waits for its answer, beside a bare endpoint of the same server that keeps nothing.

Open loop: alerts leave at fixed times whatever the answers do, and a wait counts from the time when its alert was due.
The ledger lies on the disk of the working folder, with every sync on. The two take turns, so that what else the machine
does hits both.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measure import Row
from bench.processes import child, free_port
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.inbox_tokens import AlertTokens

RATES = (200, 1_000)
SECONDS = 5.0
ROUNDS = 2
CONNECTIONS = 64
P99_MS_MAX = {200: 25.0, 1_000: 100.0}
MAX_MS_MAX = 1_000.0
READY_S_MAX = 60.0
_BODY = (
    b'{"ticker": "AAPL", "action": "buy", "quantity": "10", "sentiment": "long", "price": "231.15", '
    b'"time": "2026-03-02T14:30:00Z", "strategy": "breakout", "interval": "5", "id": "%s"}'
)


@dataclass(frozen=True, slots=True)
class Waits:
    """Milliseconds from when an alert was due to its answer."""

    ms: tuple[float, ...]
    refused: int  # answered, and not with 200

    def at(self, share: float) -> float:
        ordered = sorted(self.ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    def shown(self) -> str:
        return f"{self.at(0.5):.1f} / {self.at(0.99):.1f} / {max(self.ms):.0f} ms"


def run(folder: Path, *, rates: tuple[int, ...] = RATES, seconds: float = SECONDS, rounds: int = ROUNDS) -> list[Row]:
    """`ALGOTRENDY_BENCH_POSTGRES` names an empty database for the same on PostgreSQL."""
    postgres = os.environ.get("ALGOTRENDY_BENCH_POSTGRES", "")
    ledgers = {"SQLite": f"sqlite:///{folder / 'ledger.db'}"} | ({"PostgreSQL": postgres} if postgres else {})
    rows: list[Row] = []
    for name, url in ledgers.items():
        with receiver(folder, url) as ours, bare_endpoint(folder) as bare:
            for rate in rates:
                taken: dict[str, list[Waits]] = {ours: [], bare: []}
                for _ in range(rounds):
                    for address in taken:
                        taken[address].append(asyncio.run(open_loop(address, rate=rate, seconds=seconds)))
                rows.append(_row(name, rate, _together(taken[ours]), _together(taken[bare])))
    return rows


def _together(rounds: list[Waits]) -> Waits:
    return Waits(tuple(ms for waits in rounds for ms in waits.ms), sum(waits.refused for waits in rounds))


def _row(ledger: str, rate: int, ours: Waits, bare: Waits) -> Row:
    p99_ms_max = P99_MS_MAX.get(rate)
    return Row(
        section="receive",
        what=f"{rate:,} alerts a second, {ledger}: p50 / p99 / max",
        ours=ours.shown(),
        baseline=f"keeps nothing: {bare.shown()}",
        ratio=f"{ours.at(0.5) / bare.at(0.5):.1f} at p50, {ours.at(0.99) / bare.at(0.99):.1f} at p99",
        aim="" if p99_ms_max is None else f"p99 <= {p99_ms_max:.0f} ms, max < 1 s, none refused",
        held=None
        if p99_ms_max is None
        else ours.at(0.99) <= p99_ms_max and max(ours.ms) < MAX_MS_MAX and not ours.refused,
        detail=f"{len(ours.ms):,} alerts, {ours.refused} refused; {CONNECTIONS} connections, open loop, "
        f"load of the machine {os.getloadavg()[0]:.1f}",
    )


# -- the sender -------------------------------------------------------------------------------------------------
class _Connection(asyncio.Protocol):
    """A kept connection that carries one alert at a time."""

    def __init__(self, sender: _Sender) -> None:
        self._sender = sender
        self._due = 0.0
        self._read = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def send(self, due: float, request: bytes) -> None:
        assert self._transport is not None
        self._due = due
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if not found:
            return
        lengths = [line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        if len(body) >= int(lengths[0]):
            self._read = b""
            self._sender.answered(self, self._due, is_taken=head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, error: Exception | None) -> None:
        self._sender.lost()


class _Sender:
    """Sends what is due on whichever connection is free; what finds none waits for one."""

    def __init__(self) -> None:
        self.ms: list[float] = []
        self.refused = 0
        self.free: deque[_Connection] = deque()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self.is_over = False
        self.failed = False

    def due(self, at: float, request: bytes) -> None:
        if self.free:
            self.free.popleft().send(at, request)
        else:
            self._waiting.append((at, request))

    def answered(self, connection: _Connection, due: float, *, is_taken: bool) -> None:
        self.ms.append((time.perf_counter() - due) * 1000)
        self.refused += not is_taken
        if self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self.free.append(connection)

    def lost(self) -> None:
        self.failed = self.failed or not self.is_over


async def open_loop(address: str, *, rate: int, seconds: float) -> Waits:
    """Send `rate` alerts a second, each of its own bytes, and wait for all answers."""
    host, port, path = _parts(address)
    loop, sender = asyncio.get_running_loop(), _Sender()
    links = [await loop.create_connection(lambda: _Connection(sender), host, port) for _ in range(CONNECTIONS)]
    sender.free.extend(protocol for _, protocol in links)
    count, began = int(rate * seconds), time.perf_counter() + 0.05
    mark = os.urandom(8).hex()
    for number in range(count):
        at = began + number / rate
        if (wait := at - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        body = _BODY % f"{mark}-{number}".encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        sender.due(at, head.encode() + b"\r\n\r\n" + body)
    deadline = time.perf_counter() + 30
    while len(sender.ms) < count:
        if sender.failed or time.perf_counter() > deadline:
            raise RuntimeError(f"{address.rpartition('/')[0]} answered {len(sender.ms)} of {count} alerts")
        await asyncio.sleep(0.01)
    sender.is_over = True
    for transport, _ in links:
        transport.close()
    return Waits(tuple(sender.ms), sender.refused)


def _parts(address: str) -> tuple[str, int, str]:
    host, _, rest = address.removeprefix("http://").partition(":")
    port, _, path = rest.partition("/")
    return host, int(port), f"/{path}"


# -- the contestants --------------------------------------------------------------------------------------------
@contextmanager
def receiver(folder: Path, ledger_url: str) -> Iterator[str]:
    """The product's own command; gives the address that alerts are sent to."""
    with Ledger.open(ledger_url, environment=Environment.SIMULATED) as ledger:
        token = AlertTokens(ledger).add_token("bench", by="bench")
    port = free_port()
    environ = {**os.environ, "ALGOTRENDY_LEDGER_URL": ledger_url, "ALGOTRENDY_HOME": str(folder / "home")}
    arguments = ["cli.main", "receive", "--port", str(port), "--quiet"]
    with child(arguments, environ=environ, log=folder / "receiver.log"):
        asyncio.run(_until_listening(port))
        yield f"http://127.0.0.1:{port}/api/webhook/tradingview/{token}"


@contextmanager
def bare_endpoint(folder: Path) -> Iterator[str]:
    """The same server with an application that answers 200 and does nothing else."""
    port = free_port()
    with child(["bench.receiving", str(port)], log=folder / "bare.log"):
        asyncio.run(_until_listening(port))
        yield f"http://127.0.0.1:{port}/"


async def _until_listening(port: int) -> None:
    deadline = time.monotonic() + READY_S_MAX
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return


def _serve_bare(port: int) -> None:
    import uvicorn

    from webhooks.protocol import Connections, bounded
    from webhooks.settings import Limits

    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        assert callable(receive) and callable(send)
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"9")]})
        await send({"type": "http.response.body", "body": b'{"id": 1}'})

    protocol = bounded(Connections(Limits()))
    uvicorn.run(
        app,  # type: ignore[arg-type]
        port=port,
        http=protocol,
        ws="none",
        lifespan="off",
        access_log=False,
        proxy_headers=False,
        log_level="warning",
    )


if __name__ == "__main__":
    _serve_bare(int(sys.argv[1]))
