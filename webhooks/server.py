"""Put the receiver together and run it: the ledger behind it, the threads beside it, the limits in front of it.

One process receives for one ledger: it has one writer. It stops in order: no new alerts, answers for those that are
under way (200 if committed, else 503), what is queued is written, the threads end.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType

import uvicorn
from sqlalchemy import make_url

from brokers.clock import Clock, SystemClock
from ledger.alert_states import InboxState
from ledger.engine import Ledger
from ledger.inbox import AlertStore
from ledger.inbox_tokens import AlertTokens
from webhooks.app import create_app
from webhooks.intake import Intake
from webhooks.logs import Lines
from webhooks.metrics import Metrics
from webhooks.protocol import Closed, Connections, bounded
from webhooks.reasons import ReceiverReason
from webhooks.settings import Listening, ReceiverRefused
from webhooks.signatures import Signatures
from webhooks.watch import Watch
from webhooks.writer import GroupWriter

_log = logging.getLogger("algotrendy.receiver")
STOP_S_MAX = 2.0  # for the last group, and for a thread that the database holds
ANSWERS_S_MAX = 4  # uvicorn: until the last answers have left
FILES_SPARE = 256
SWITCH_S = 0.0005  # the writer must not keep the answering thread from running for Python's usual 5 ms


class Receiver:
    """The parts of one receiver, wired. Start it by serving `app`."""

    def __init__(
        self,
        ledger: Ledger,
        listening: Listening,
        *,
        signatures: Signatures | None = None,
        clock: Clock | None = None,
        lines: Lines | None = None,
    ) -> None:
        self.listening = listening
        self.signatures = signatures or Signatures()
        self.metrics = Metrics()
        self.connections = Connections(listening.limits, self._closed)
        self._lines = lines or Lines()
        clock = clock or SystemClock()
        store = AlertStore(ledger)
        self.watch = Watch(
            tokens=AlertTokens(ledger).active,
            backlog=store.backlog,
            disk=_disk_of(ledger),
            clock=clock,
            limits=listening.limits,
            metrics=self.metrics,
        )
        self.writer = GroupWriter(
            store.receive,
            probe=lambda: _take_a_transaction(ledger),
            clock=clock,
            limits=listening.limits,
            metrics=self.metrics,
        )
        self.intake = Intake(
            listening=listening,
            watch=self.watch,
            writer=self.writer,
            signatures=self.signatures,
            clock=clock,
            metrics=self.metrics,
        )
        self.app = create_app(
            intake=self.intake,
            metrics=self.metrics,
            limits=listening.limits,
            unready=self.unready,
            measure=self.measure,
            lifespan=self._lifespan,
        )

    def unready(self) -> list[ReceiverReason]:
        """Why alerts would not be stored now, or not be authenticated by what the ledger says."""
        limits, stale_s = self.listening.limits, self.listening.limits.stale_s_max
        unread = 0 if self.watch.backlog is None else self.watch.backlog.counts.get(InboxState.NEW, 0)
        found = {
            ReceiverReason.STOPPING: self.intake.is_stopping,
            ReceiverReason.LEDGER_STALE: self.writer.written_s > stale_s,
            ReceiverReason.TOKENS_STALE: self.watch.refreshed_s > stale_s,
            ReceiverReason.QUEUE_FULL: self.writer.count >= limits.queue_count_max,
            ReceiverReason.BACKLOG_FULL: unread >= limits.backlog_new_max,
            ReceiverReason.DISK_LOW: self.watch.is_disk_low,
        }
        return [reason for reason, holds in found.items() if holds]

    def measure(self) -> None:
        """What changes without an alert, read when somebody looks."""
        self.metrics.queue_count.set(self.writer.count)
        self.metrics.queue_bytes.set(self.writer.bytes)
        self.metrics.connections.set(len(self.connections.open))
        self.metrics.refreshed_s.set(self.watch.refreshed_s)
        self.metrics.written_s.set(self.writer.written_s)
        self.metrics.log_dropped.set(self._lines.dropped)

    def stop_taking(self) -> None:
        """From now on every new alert is answered 503. Safe in a signal handler."""
        self.intake.is_stopping = True

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        self.writer.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            self.stop_taking()
            is_written = await asyncio.to_thread(self.writer.stop, timeout_s=STOP_S_MAX)
            if not is_written:
                _log.error("%d alerts in memory were not written: the ledger hangs", self.writer.count)
            await asyncio.to_thread(self.watch.stop, timeout_s=STOP_S_MAX if is_written else 0.1)

    def _closed(self, reason: Closed) -> None:
        self.metrics.closed.labels(reason.value).inc()


class Server(uvicorn.Server):
    """uvicorn's server that refuses new alerts from the moment it is told to stop."""

    def __init__(self, receiver: Receiver) -> None:
        limits = receiver.listening.limits
        super().__init__(
            uvicorn.Config(
                receiver.app,
                http=bounded(receiver.connections),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,  # it would write paths, and tokens stand in them
                proxy_headers=False,  # senders are found in webhooks.addresses
                server_header=False,
                h11_max_incomplete_event_size=limits.head_bytes_max,
                timeout_keep_alive=int(limits.idle_s_max),
                timeout_graceful_shutdown=ANSWERS_S_MAX,
                backlog=max(128, limits.connections_max),
            )
        )
        self._receiver = receiver

    def stop(self) -> None:
        self._receiver.stop_taking()
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGTERM and SIGINT stop in order, and the process ends by itself afterwards."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.stop()


def bind(listening: Listening) -> socket.socket:
    """The listening socket; ReceiverRefused when the address is taken or not ours."""
    family = socket.AF_INET6 if ":" in listening.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((listening.host, listening.port))
    except OSError as error:
        bound.close()
        raise ReceiverRefused(
            f"cannot listen on {listening.host} port {listening.port}: {error.strerror}",
            field="--port",
            value=str(listening.port),
            reason=ReceiverReason.PORT_TAKEN,
        ) from error
    return bound


def run(receiver: Receiver, bound: socket.socket, *, say: Callable[[str], None]) -> None:
    """Serve in this process until it is told to stop."""
    allow_open_files(receiver.listening.limits.connections_max + FILES_SPARE)
    sys.setswitchinterval(SWITCH_S)
    # What is loaded now stays; without it each full collection would look through all of it, and answers would wait.
    gc.collect()
    gc.freeze()
    receiver.watch.start()
    server = Server(receiver)
    for line in start_lines(receiver, bound):
        say(line)
    server.run(sockets=[bound])


@contextmanager
def serving(receiver: Receiver, bound: socket.socket) -> Iterator[str]:
    """Serve from a thread of this process and yield the URL; for tests and tools."""
    receiver.watch.start()
    server = Server(receiver)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    clock = SystemClock()
    while not server.started and thread.is_alive():
        clock.wait(0.01)
    if not server.started:
        raise RuntimeError("the receiver did not start; its log says why")
    try:
        yield url_of(bound)
    finally:
        server.stop()
        thread.join(ANSWERS_S_MAX + 2 * STOP_S_MAX)


def url_of(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def start_lines(receiver: Receiver, bound: socket.socket) -> Iterable[str]:
    """What an operator wants to know when it starts."""
    listening = receiver.listening
    limits, senders = listening.limits, listening.senders
    yield f"receiver listening on {url_of(bound)}"
    sources = ", ".join(f"{name} ({count})" for name, count in receiver.watch.token_counts.items())
    yield f"sources with active tokens: {sources or 'none, so every alert is answered 404'}"
    if receiver.signatures.sources:
        yield f"sources that must sign: {', '.join(receiver.signatures.sources)}"
    allowed = "anyone" if senders.allowed is None else ", ".join(str(each) for each in senders.allowed)
    yield f"alerts are taken from: {allowed}"
    if senders.proxies:
        yield f"X-Forwarded-For is believed from: {', '.join(str(each) for each in senders.proxies)}"
    yield (
        f"limits: head {limits.head_s_max:g} s and {limits.head_bytes_max} bytes, body {limits.body_bytes_max} bytes, "
        f"request {limits.request_s_max:g} s, commit {limits.commit_s_max:g} s, "
        f"{limits.connections_max} connections, {limits.queue_count_max} alerts in memory"
    )


def allow_open_files(count: int) -> None:
    """Raise this process's own limit where it is lower; a connection is an open file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _disk_of(ledger: Ledger) -> Path | None:
    """The folder of a ledger that is a file here; None for a server's."""
    url = make_url(ledger.url)
    return Path(url.database or ".").parent if url.get_backend_name() == "sqlite" else None


def _take_a_transaction(ledger: Ledger) -> None:
    with ledger.write():
        pass  # it takes the write lock and gives it back; nothing reaches the disk
