"""One thread writes alerts to the ledger, as many as wait at once in one transaction.

A commit costs several syncs of the disk; while it runs the next group gathers. An alert that was taken into the queue
is written even when its sender has been told 503 meanwhile: sent again, it is recognised as the same alert, and not
sent again, it is not lost.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from brokers.clock import Clock
from ledger.errors import CommitUnknown, DiskLow, LedgerError, QueueFull
from ledger.inbox_values import Delivery, Receipt
from webhooks.metrics import Metrics
from webhooks.reasons import ReceiverReason
from webhooks.settings import Limits

_log = logging.getLogger("algotrendy.receiver")
Receive = Callable[[Sequence[Delivery]], Sequence[Receipt]]
_UNAVAILABLE = ReceiverReason.LEDGER_UNAVAILABLE
_REASONS = (
    (DiskLow, ReceiverReason.DISK_LOW),  # a QueueFull too
    (QueueFull, ReceiverReason.BACKLOG_FULL),
    (CommitUnknown, ReceiverReason.COMMIT_UNKNOWN),
)


class NotTaken(Exception):
    """The alert was not, or not surely, stored."""

    def __init__(self, reason: ReceiverReason) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Delivery
    stored: asyncio.Future[Receipt]


class GroupWriter:
    """The queue in memory and the thread behind it. `offer` belongs to the event loop's thread."""

    def __init__(
        self, receive: Receive, *, probe: Callable[[], None], clock: Clock, limits: Limits, metrics: Metrics
    ) -> None:
        self._receive = receive
        self._probe = probe
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._queue: deque[_Waiting] = deque()
        self._bytes = 0
        self._awake = threading.Condition()
        self._is_stopping = False
        self._written_at = clock.monotonic()
        self._loop: asyncio.AbstractEventLoop | None = None
        # A database that hangs must not keep the process from ending.
        self._thread = threading.Thread(target=self._run, name="alert-writer", daemon=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._written_at = self._clock.monotonic()
        self._thread.start()

    @property
    def count(self) -> int:
        return len(self._queue)

    @property
    def bytes(self) -> int:
        return self._bytes

    @property
    def written_s(self) -> float:
        """Seconds since the ledger last took a transaction of ours."""
        return self._clock.monotonic() - self._written_at

    def offer(self, delivery: Delivery) -> asyncio.Future[Receipt]:
        """Queue an alert; its receipt comes after the commit. NotTaken when there is no room."""
        assert self._loop is not None, "start the writer before it is offered an alert"
        size = len(delivery.raw)
        with self._awake:
            if self._is_stopping:
                raise NotTaken(ReceiverReason.STOPPING)
            is_full = len(self._queue) >= self._limits.queue_count_max
            if is_full or self._bytes + size > self._limits.queue_bytes_max:
                raise NotTaken(ReceiverReason.QUEUE_FULL)
            waiting = _Waiting(delivery, self._loop.create_future())
            self._queue.append(waiting)
            self._bytes += size
            self._awake.notify()
        return waiting.stored

    def stop(self, *, timeout_s: float) -> bool:
        """Write what is queued and end; False when the ledger did not let us in time."""
        with self._awake:
            self._is_stopping = True
            self._awake.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    # -- the thread ---------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._write(group)
            else:
                self._try_ledger()

    def _next_group(self) -> list[_Waiting] | None:
        """What waits; empty when nothing came for a while; None at the end."""
        with self._awake:
            if not self._queue and not self._is_stopping:
                self._awake.wait(self._limits.probe_s)
            if not self._queue:
                return None if self._is_stopping else []
            group = [self._queue.popleft() for _ in range(min(len(self._queue), self._limits.group_count_max))]
            self._bytes -= sum(len(each.delivery.raw) for each in group)
            return group

    def _write(self, group: list[_Waiting]) -> None:
        """Commit the group. What the ledger cannot take for its content's sake is told apart, one by one."""
        began = self._clock.monotonic()
        try:
            receipts = self._receive([each.delivery for each in group])
            assert len(receipts) == len(group)
        except LedgerError as error:
            _log.error("%d alerts were not stored: %s", len(group), error)
            self._settle(group, next((r for kind, r in _REASONS if isinstance(error, kind)), _UNAVAILABLE))
        except Exception:  # noqa: BLE001  the thread must outlive it: each alert gets an answer, the log the cause
            if len(group) > 1:
                for each in group:
                    self._write([each])
                return
            _log.exception("an alert of %s could not be stored", group[0].delivery.source)
            self._settle(group, _UNAVAILABLE)
        else:
            self._written_at = self._clock.monotonic()
            self._metrics.commit_s.observe(self._written_at - began)
            self._metrics.group_count.observe(len(group))
            self._settle(group, receipts)

    def _try_ledger(self) -> None:
        try:
            self._probe()
        except Exception as error:  # noqa: BLE001  whatever it is, the receiver is not ready, and says so
            _log.warning("the ledger does not take a transaction: %s", error)
        else:
            self._written_at = self._clock.monotonic()

    def _settle(self, group: list[_Waiting], result: Sequence[Receipt] | ReceiverReason) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(self._resolve, group, result)
        except RuntimeError:  # the loop has ended, and with it everyone who waited
            _log.warning("%d alerts were settled after the last answer", len(group))

    def _resolve(self, group: list[_Waiting], result: Sequence[Receipt] | ReceiverReason) -> None:
        """On the loop: wake those who still wait."""
        for number, each in enumerate(group):
            is_reason = isinstance(result, ReceiverReason)
            if each.stored.done():  # its 503 has left
                self._metrics.committed_late.inc(0 if is_reason else 1)
            elif isinstance(result, ReceiverReason):
                each.stored.set_exception(NotTaken(result))
            else:
                each.stored.set_result(result[number])
