"""One SQLite ledger for all cases of a process, empty again for each: what SQLAlchemy compiled for it is kept, which
takes longer than the statements themselves.

Every case has a file of its own content and connections of its own. The file lies in memory: the wire is what this
layer shows, not loss of power.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from brokers.clock import Clock
from brokers.ids import Environment
from ledger.engine import Ledger
from tests.proof.ledgers import MEMORY


class ReusedLedger(Ledger):
    """A ledger that begins anew; between two cases nothing holds its file open."""

    folder: TemporaryDirectory[str]
    _empty: Path

    @classmethod
    def create(cls, environment: Environment) -> ReusedLedger:
        folder = TemporaryDirectory(prefix="wire-proof-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        ledger = cls.open(f"sqlite:///{folder.name}/ledger.db", environment=environment)
        ledger.folder, ledger._empty = folder, Path(folder.name) / "empty.db"
        ledger._let_go()
        shutil.copy(ledger.path, ledger._empty)
        return ledger

    @property
    def path(self) -> Path:
        return Path(self.folder.name) / "ledger.db"

    @contextmanager
    def emptied(self, clock: Clock) -> Iterator[Ledger]:
        """Nothing on record; `clock` is the database's."""
        shutil.copy(self._empty, self.path)
        self._clock = clock
        try:
            yield self
        finally:
            self._let_go()

    def _let_go(self) -> None:
        for engine in (self._engine, self._reading):
            engine.dispose()
        assert not self.path.with_name("ledger.db-journal").exists(), "a case left a transaction open"


@cache
def _of_process(pid: int, environment: Environment) -> ReusedLedger:
    return ReusedLedger.create(environment)


def empty_ledger(environment: Environment, clock: Clock) -> AbstractContextManager[Ledger]:
    """This process's ledger, with nothing on record."""
    return _of_process(os.getpid(), environment).emptied(clock)
