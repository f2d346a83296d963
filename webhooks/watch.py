"""A second thread reads what the receiver must know and may never wait for: tokens, the backlog, the disk.

Each is kept until it is read again. A database that hangs leaves them as they were: authentication goes on with the
last tokens known, and `/ready` says after a while that they are old.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from brokers.clock import Clock
from ledger.inbox_tokens import ActiveTokens
from ledger.inbox_values import Backlog
from webhooks.metrics import Metrics
from webhooks.settings import Limits

_log = logging.getLogger("algotrendy.receiver")


class Watch:
    """What was read last, and when."""

    def __init__(
        self,
        *,
        tokens: Callable[[], ActiveTokens],
        backlog: Callable[[], Backlog],
        disk: Path | None,
        clock: Clock,
        limits: Limits,
        metrics: Metrics,
    ) -> None:
        self.tokens = ActiveTokens({})
        self.backlog: Backlog | None = None
        self.disk_free_bytes: int | None = None  # None: the ledger's disk is not this machine's
        self._read_tokens = tokens
        self._read_backlog = backlog
        self._disk = disk
        self._clock = clock
        self._limits = limits
        self._metrics = metrics
        self._refreshed_at = clock.monotonic()
        self._is_failing = False
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alert-watch", daemon=True)

    def start(self) -> None:
        """Read everything once, then go on in the background. Raises what the ledger raises."""
        self.refresh()
        self._thread.start()

    def stop(self, *, timeout_s: float) -> None:
        self._end.set()
        self._thread.join(timeout_s)

    @property
    def refreshed_s(self) -> float:
        """Seconds since everything was read."""
        return self._clock.monotonic() - self._refreshed_at

    @property
    def token_counts(self) -> dict[str, int]:
        """How many active tokens each source has."""
        return dict(sorted(Counter(self.tokens.sources.values()).items()))

    @property
    def is_disk_low(self) -> bool:
        return self.disk_free_bytes is not None and self.disk_free_bytes < self._limits.disk_free_bytes_min

    def refresh(self) -> None:
        """Read everything now; the disk first, which needs no database."""
        if self._disk is not None:
            self.disk_free_bytes = shutil.disk_usage(self._disk).free
            self._metrics.disk_free_bytes.set(self.disk_free_bytes)
        self.tokens = self._read_tokens()
        self._metrics.tokens.clear()
        for source, count in self.token_counts.items():
            self._metrics.tokens.labels(source).set(count)
        self.backlog = self._read_backlog()
        self._show_backlog(self.backlog)
        self._refreshed_at = self._clock.monotonic()

    def _show_backlog(self, backlog: Backlog) -> None:
        self._metrics.backlog.clear()
        for state, count in backlog.counts.items():
            self._metrics.backlog.labels(state.value).set(count)
        self._metrics.backlog_age_s.set(backlog.oldest_age_s)
        self._metrics.lanes_stopped.set(len(backlog.stopped_lanes))

    def _run(self) -> None:
        while not self._end.wait(self._limits.refresh_s):
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001  the thread must outlive it; the log and /ready tell it
                if not self._is_failing:
                    _log.warning("tokens and backlog could not be read; the last known ones hold: %s", error)
                self._is_failing = True
            else:
                if self._is_failing:
                    _log.info("tokens and backlog are read again")
                self._is_failing = False
