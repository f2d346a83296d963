"""Drain the alert queue of a ledger: admit what came in, then work on several lanes side by side.

A sweep every two seconds is the truth; being woken only saves the wait. Any number of drains may run, in any processes:
the queue leases one alert of a lane at a time, and what a dead drain left is taken over when its lease has lapsed.
Nothing of it needs Prefect: the flow adds a task run for each alert, the command line a line of text.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from brokers.clock import Clock, SystemClock
from ledger.errors import LeaseLost, LedgerError
from ledger.inbox import AlertStore, AlertWaiter, Claim
from ledger.inbox_config import AlertConfigs
from tasks.accounts import Accounts
from tasks.runtime import worker_name
from trading.alerts.handling import handle
from trading.alerts.handling_model import HandlingLimits, Tools
from trading.alerts.model import Alert
from trading.alerts.reading import reader
from trading.alerts.review_client import Reviewer, ask
from trading.alerts.routing import AlertConfig
from trading.steps import Step, StepKind, call_directly

_log = logging.getLogger(__name__)
Goes = Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainLimits:
    """`lanes`: how many are worked on side by side. `poll_s`: how soon an idle drain sees a new alert where the
    database cannot wake it (SQLite)."""

    lanes: int = 4
    sweep_s: float = 2.0
    poll_s: float = 0.025
    beat_s: float = 5.0
    retain_s: float = 3_600.0
    handling: HandlingLimits = field(default_factory=HandlingLimits)

    def __post_init__(self) -> None:
        if not 1 <= self.lanes <= 32:
            raise ValueError(f"lanes must be 1 to 32, was {self.lanes}")


@dataclass(slots=True)
class Drained:
    """What a drain did. `ends` counts how its claims ended; one that came back later is counted each time."""

    began_at: datetime
    admitted: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    failed: int = 0

    @property
    def worked_on(self) -> int:
        return sum(self.ends.values())


IN_VAIN_S_MAX = 0.25  # between two looks at what cannot be done yet


class Drain:
    """One drain. `run` lasts until it is told to stop, then lets go of what it holds."""

    def __init__(
        self,
        store: AlertStore,
        accounts: Accounts,
        *,
        limits: DrainLimits = DrainLimits(),
        clock: Clock | None = None,
        step: Step = call_directly,
        review: Reviewer = ask,
        tell: Callable[[str], None] = _log.info,
        on_sweep: Callable[[Drained], None] = lambda seen: None,
    ) -> None:
        self._store, self._accounts, self._limits = store, accounts, limits
        self._clock = clock or SystemClock()
        self._step, self._review, self._tell, self._on_sweep = step, review, tell, on_sweep
        self.worker = worker_name()
        self.seen = Drained(self._clock.now())
        self._lock = threading.Lock()
        self._work = threading.Condition(self._lock)
        self._held: dict[int, Claim] = {}
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._config: tuple[int, AlertConfig] | None = None

    def run(self, goes_on: Goes) -> Drained:
        """Drain until `goes_on` says no; it is asked before each sweep."""
        with ThreadPoolExecutor(self._limits.lanes + 1, thread_name_prefix="drain") as pool:
            workers = [pool.submit(copy_context().run, self._work_on) for _ in range(self._limits.lanes)]
            beating = pool.submit(self._beat)
            try:
                self._sweep_until(goes_on)
            finally:
                self._stopping.set()
                with self._work:
                    self._work.notify_all()
                wait(workers)
                self._ended.set()
            for future in (*workers, beating):
                future.result()
        return self.seen

    # -- sweeping -----------------------------------------------------------------------------------------------
    def _sweep_until(self, goes_on: Goes) -> None:
        retain_at_s, futile, is_woken = self._clock.monotonic(), 0, False
        swept_at_s = float("-inf")
        with self._store.waiter() as waiter:
            while goes_on():
                before = self.seen.admitted
                self._tried(self._sweep)
                futile = futile + 1 if is_woken and self.seen.admitted == before else 0
                if self._clock.monotonic() >= retain_at_s:
                    retain_at_s = self._clock.monotonic() + self._limits.retain_s
                    self._tried(lambda: self._store.retain())
                if self._clock.monotonic() >= swept_at_s + self._limits.sweep_s:
                    swept_at_s = self._clock.monotonic()
                    self._tried(lambda: self._on_sweep(self.seen))
                is_woken = self._wait(waiter, futile)

    def _wait(self, waiter: AlertWaiter, futile: int) -> bool:
        """Until there may be something to do, and whether there is. What cannot be done now (no routes yet, every
        worker busy) is looked at less and less often: `futile` counts how often it was looked at in vain."""
        limits = self._limits
        self._stopping.wait(min(limits.poll_s * 2 ** min(futile - 1, 10), IN_VAIN_S_MAX) if futile > 1 else 0)
        until_s = self._clock.monotonic() + limits.sweep_s
        poll_s = limits.poll_s if self._store.ledger.url.startswith("sqlite") else limits.sweep_s
        while (left_s := until_s - self._clock.monotonic()) > 0:
            if waiter.wait(min(left_s, poll_s)):
                return True
        return False

    def _sweep(self) -> None:
        """Admit what is new, and tell the workers that there may be something to claim."""
        config = self._configured()
        if config is not None:
            admitted = self._store.admit(reader(config, self._clock.now), worker=self.worker)
            with self._lock:
                self.seen.admitted += admitted
        with self._work:
            self._work.notify_all()

    def _tried(self, part: Callable[[], object]) -> None:
        """A ledger that is away ends nothing; neither does an error that nobody foresaw."""
        try:
            part()
        except (LedgerError, SQLAlchemyError) as error:
            _log.warning("this sweep ended early: %s", error)
        except Exception:  # noqa: BLE001 - alerts must be looked at again, whatever it was
            _log.exception("this sweep ended early")
        else:
            return
        with self._lock:
            self.seen.failed += 1

    def _configured(self) -> AlertConfig | None:
        """The sources and routes that were applied last."""
        found = AlertConfigs(self._store.ledger).current_config()
        if found is None:
            return None
        if self._config is None or self._config[0] != found.version:
            self._config = (found.version, AlertConfig.parse(found.body, where=f"version {found.version}"))
        return self._config[1]

    # -- working ------------------------------------------------------------------------------------------------
    def _work_on(self) -> None:
        """One worker: claim and handle until there is nothing to claim, then wait to be told."""
        while not self._stopping.is_set():
            claim = self._claimed()
            if claim is None:
                with self._work:
                    if not self._stopping.is_set():
                        self._work.wait(self._limits.sweep_s)
                continue
            try:
                self._handle(claim)
            except LeaseLost:
                with self._lock:
                    self.seen.lost += 1
                _log.warning("alert %s was taken over by another worker", claim.alert_id)
            except (LedgerError, SQLAlchemyError) as error:
                self._failed(f"alert {claim.alert_id} is let go until its lease is over: {error}")
            finally:
                with self._lock:
                    self._held.pop(claim.alert_id, None)

    def _claimed(self) -> Claim | None:
        if self._config is None:
            return None
        try:
            claim = self._store.claim(worker=self.worker)
        except (LedgerError, SQLAlchemyError) as error:
            self._failed(f"nothing could be claimed: {error}")
            return None
        if claim is not None:
            with self._lock:
                self._held[claim.alert_id] = claim
        return claim

    def _handle(self, claim: Claim) -> None:
        assert self._config is not None, "nothing is claimed before routes were applied"
        tools = Tools(
            store=self._store,
            accounts=self._accounts,
            config=self._config[1],
            review=self._review,
            limits=self._limits.handling,
            is_stopping=self._stopping.is_set,
            tell=self._tell,
        )
        done = self._step(sentence(claim), StepKind.ADVANCE, partial(handle, claim, tools))
        self._tell(f"{sentence(claim)}: {done.state.value} ({done.reason}) {done.detail}".rstrip())
        with self._lock:
            self.seen.ends[done.state.value] += 1

    def _failed(self, text: str) -> None:
        _log.warning(text)
        with self._lock:
            self.seen.failed += 1
        self._stopping.wait(self._limits.sweep_s)

    # -- holding on ---------------------------------------------------------------------------------------------
    def _beat(self) -> None:
        """Renew the leases of what is worked on: a venue or a reviewer may take longer than a lease."""
        while not self._ended.wait(self._limits.beat_s):
            with self._lock:
                held = list(self._held.values())
            for claim in held:
                try:
                    self._store.heartbeat(claim)  # a lease that is lost is found by who works on it
                except (LedgerError, SQLAlchemyError) as error:
                    _log.warning("the lease of alert %s could not be renewed: %s", claim.alert_id, error)


def sentence(claim: Claim) -> str:
    """`alert 17 buy AAPL`: the name of its task run. Action and instrument are of closed sets; nothing else is said."""
    stored = claim.alert
    try:
        action = Alert.from_json(stored.parsed).action.value
    except ValueError:
        action = "?"
    return f"alert {stored.alert_id} {action} {stored.instrument_id}"
