"""Being woken when there is something to do in the queue. Polling is the truth; a notification only saves the wait."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import psycopg

from ledger.engine import Ledger
from ledger.errors import LedgerUnavailable
from ledger.inbox_moves import CHANNEL

POLL_S = 0.25  # of SQLite, where no other process can wake this one


class AlertWaiter:
    """Waits until alerts can be read or claimed. One waiter for each thread; close it.

    PostgreSQL: LISTEN on a connection of its own, opened again when it was lost. SQLite: an event of this process, and
    a look at the database every quarter of a second.
    """

    def __init__(self, ledger: Ledger, has_work: Callable[[], bool]) -> None:
        self._ledger = ledger
        self._has_work = has_work
        self._event = threading.Event()
        self._is_local = ledger.url.startswith("sqlite")
        self._connection: psycopg.Connection[Any] | None = None

    def wake(self) -> None:
        """From another thread of this process: look now."""
        self._event.set()

    def wait(self, timeout_s: float) -> bool:
        """True as soon as there may be something to do, False after `timeout_s`. An unreachable database waits too."""
        if not self._is_local:
            self._listen()  # before looking: what comes in between is heard
            self._forget()
        if self._looks():
            return True
        return self._poll(timeout_s) if self._connection is None else self._hear(timeout_s)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside -------------------------------------------------------------------------------------------------
    def _looks(self) -> bool:
        self._event.clear()
        try:
            return self._has_work()
        except LedgerUnavailable:
            return False

    def _poll(self, timeout_s: float) -> bool:
        left_s = timeout_s
        while left_s > 0:
            self._event.wait(min(POLL_S, left_s))
            left_s -= POLL_S
            if self._looks():
                return True
        return False

    def _listen(self) -> None:
        if self._connection is not None and not self._connection.closed:
            return
        try:
            self._connection = self._ledger.listen(CHANNEL)
        except LedgerUnavailable:
            self._connection = None

    def _forget(self) -> None:
        """Take what has piled up while nobody waited: the look that follows answers all of it."""
        if self._connection is None:
            return
        try:
            for _ in self._connection.notifies(timeout=0):
                pass
        except psycopg.Error:
            self.close()

    def _hear(self, timeout_s: float) -> bool:
        assert self._connection is not None
        try:
            for _ in self._connection.notifies(timeout=timeout_s):
                if self._looks():  # it may have been told of what this worker has done itself
                    return True
        except psycopg.Error:
            self.close()
            return self._poll(min(timeout_s, POLL_S))
        return self._looks()
