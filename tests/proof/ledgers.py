"""The real ledger for histories: on a memory file system, with commits that may lose their answer and hours when the
database is gone.

What this layer does not prove is durability against power loss: the file lies in memory where there is such a place,
because a history commits some forty times and would otherwise measure the disk. The pragmas are those of production.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlmodel import Session

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.errors import CommitUnknown, LedgerUnavailable

TAG = 4711  # the installation tag of every history: client order ids are the same on every machine
MEMORY = Path("/dev/shm")


class HistoryLedger(Ledger):
    """A ledger that fails when told to; everything else is the real one."""

    is_gone: Callable[[], bool] = staticmethod(lambda: False)
    loses_answer: Callable[[], str] = staticmethod(lambda: "")

    @contextmanager
    def write(self) -> Iterator[Session]:
        self._serve()
        with super().write() as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        self._serve()
        with super().read() as session:
            yield session

    def calm(self) -> None:
        """Nothing fails any more."""
        for name in ("is_gone", "loses_answer"):
            self.__dict__.pop(name, None)

    @property
    def is_busy(self) -> bool:
        """Whether this thread holds a session: then nobody else may be let on."""
        return bool(self._local.__dict__.get("held"))

    def _serve(self) -> None:
        if self.is_gone():
            raise LedgerUnavailable(f"the ledger {self.url} cannot serve: gone for a while; nothing was stored")

    def _commit(self, session: Session) -> None:
        fate = self.loses_answer()
        if fate == "rolled back":
            session.rollback()
        else:
            super()._commit(session)
        if fate:
            raise CommitUnknown(f"the answer to COMMIT was lost ({fate}); read the ledger to learn what is stored")


def folder() -> Path:
    """A new folder in memory, or on disk where there is no such place; the caller removes it."""
    return Path(tempfile.mkdtemp(prefix="histories-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))


def template(path: Path) -> Path:
    """A migrated, empty ledger with a fixed tag, to be copied: migrating takes longer than a history."""
    Ledger.open(f"sqlite:///{path}", environment=Environment.SIMULATED).close()
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("UPDATE ledger_meta SET value = ? WHERE key = 'installation_tag'", (str(TAG),))
        connection.execute("UPDATE ledger_meta SET value = '' WHERE key = 'created_at'")
    connection.close()
    return path


def open_copy(source: Path, path: Path, clock: ManualClock) -> HistoryLedger:
    """Open a copy of `source` at `path`."""
    shutil.copy(source, path)
    return HistoryLedger.open(f"sqlite:///{path}", environment=Environment.SIMULATED, clock=clock)
