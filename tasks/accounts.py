"""The accounts of one long-running process: each is opened when it is first needed, behind every guard, and kept.

What refuses an account (environment, configuration, its key's rights, orders at the venue that nothing explains) is
told as AccountRefused; a venue or a server that does not answer is told as it is. Either is looked at again after some
seconds, so that a repaired account needs no restart. A configuration that has changed is opened anew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field

from brokers.clock import Clock
from brokers.errors import EnvironmentMismatch, Refused
from brokers.ids import AccountId
from ledger.errors import ConflictingEvidence, LedgerEnvironmentMismatch
from tasks.config import Account, ConfigRefused
from trading.alerts.handling_model import AccountRefused
from trading.first_run import reconcile_first
from trading.runtime import Runtime
from trading.starting import NotReadyToTrade, StartReason, prove_account, start_trading

_log = logging.getLogger(__name__)
AGAIN_S = 5.0  # before an account that could not be opened is tried again
LOOK_S = 30.0  # how often the configuration of an open account is read again
Load = Callable[[AccountId], Account]
Open = Callable[[Account], AbstractContextManager[Runtime]]


@dataclass(slots=True)
class _Entry:
    lock: threading.Lock = field(default_factory=threading.Lock)
    account: Account | None = None
    runtime: Runtime | None = None
    error: Exception | None = None
    looked_at_s: float = float("-inf")


class Accounts:
    """Call it with an account's id for its runtime; close it at the end. Safe to use from several threads."""

    def __init__(self, *, load: Load, open_account: Open, clock: Clock) -> None:
        self._load, self._open, self._clock = load, open_account, clock
        self._stack = ExitStack()
        self._entries: dict[AccountId, _Entry] = {}
        self._lock = threading.Lock()

    def __call__(self, account_id: AccountId) -> Runtime:
        """The account's runtime. Raises AccountRefused, or what kept the account from being read."""
        with self._lock:
            entry = self._entries.setdefault(account_id, _Entry())
        with entry.lock:
            now_s = self._clock.monotonic()
            if entry.error is not None and now_s < entry.looked_at_s + AGAIN_S:
                raise entry.error
            if entry.runtime is None or now_s >= entry.looked_at_s + LOOK_S:
                entry.looked_at_s = now_s
                self._refresh(account_id, entry)
            assert entry.runtime is not None
            return entry.runtime

    def close(self) -> None:
        """Close every account that was opened."""
        self._stack.close()

    def _refresh(self, account_id: AccountId, entry: _Entry) -> None:
        try:
            account = self._loaded(account_id, entry)
            if entry.runtime is None or account != entry.account:
                entry.runtime = None  # what was changed counts at once; what works with the former one goes on
                entry.runtime = self._opened(account)
                entry.account = account
            entry.error = None
        except Exception as error:
            entry.error = _told(error)
            _log.warning("account %s cannot be used now: %s", account_id, error)
            raise entry.error from error

    def _loaded(self, account_id: AccountId, entry: _Entry) -> Account:
        """The account as it is written down; as it was where nobody can be asked, because orders do not wait."""
        try:
            return self._load(account_id)
        except (ConfigRefused, EnvironmentMismatch):
            raise
        except Exception as error:
            if entry.account is None or entry.runtime is None:
                raise
            _log.warning("account %s goes on as it was: %s", account_id, error)
            return entry.account

    def _opened(self, account: Account) -> Runtime:
        with ExitStack() as attempt:
            runtime = attempt.enter_context(self._open(account))
            start_trading(runtime, prove_account(runtime))
            reconcile_first(runtime)
            with self._lock:
                self._stack.push(attempt.pop_all())
        return runtime


def _told(error: Exception) -> Exception:
    """AccountRefused where a guard refuses, else the error itself."""
    if isinstance(error, NotReadyToTrade) and error.reason in (
        StartReason.ORDERS_UNREAD,
        StartReason.NOT_RECONCILED_YET,
    ):
        return error
    is_guard = isinstance(
        error,
        (ConfigRefused, NotReadyToTrade, EnvironmentMismatch, LedgerEnvironmentMismatch, ConflictingEvidence),
    )
    is_no = isinstance(error, Refused) and not error.retryable
    if is_guard or is_no:
        return AccountRefused(str(getattr(error, "reason", "")), str(error))
    return error
