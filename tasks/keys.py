"""Which account uses which API key, over all environments of this installation, so that no key is used in two.

Each environment has a ledger of its own, so none of them can see a key that moved. One file per installation holds the
sha256 of every key that was ever used, with environment, account and first time; no key stands in it. It is read and
written under a lock, replaced as a whole and synced, and readable by its owner only. What cannot be read refuses: then
nobody knows where a key belongs. A release is recorded with its reason; nothing is ever taken out.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from sqlmodel import col, select

from brokers.config import AccountConfig
from brokers.errors import EnvironmentMismatch
from brokers.ids import AccountId
from brokers.reasons import Reason
from ledger.engine import Ledger
from ledger.tables import AccountRow

_VERSION = 1
_OPEN_TO_OTHERS = 0o077
FINGERPRINT_LENGTH = 64


class KeyReason(Reason):
    """Why a key may not be used. Nothing was sent."""

    KEY_OF_OTHER_ENVIRONMENT = (
        "KEY_OF_OTHER_ENVIRONMENT",
        "This API key was used for an account of another environment.",
        "Put the right key into the credentials. If the key has moved for good, release it with a reason: "
        "algotrendy accounts release-key.",
    )
    KEY_OF_OTHER_ACCOUNT = (
        "KEY_OF_OTHER_ACCOUNT",
        "This API key was used for another account of the same environment.",
        "Put the right key into the credentials. If the account was renamed, release the key with a reason: "
        "algotrendy accounts release-key.",
    )
    KEY_REGISTRY_UNREADABLE = (
        "KEY_REGISTRY_UNREADABLE",
        "The registry of API keys cannot be read or written, so nobody knows which environment a key belongs to.",
        "Restore the file from a copy, or its owner and mode (0600), or the folder's. Never delete it to go on.",
    )
    KEY_UNKNOWN = (
        "KEY_UNKNOWN",
        "No key with this fingerprint is registered.",
        "List the registered keys: algotrendy accounts keys.",
    )


class KeyRefused(EnvironmentMismatch):
    """The key may not be used here; `reason` says why. No request was made."""

    def __init__(self, reason: KeyReason, message: str) -> None:
        super().__init__(message, details={"remedy": reason.remedy})
        self.kind = reason
        self.reason = reason.value

    def __reduce__(self) -> tuple[object, ...]:
        return (KeyRefused, (self.kind, self.message))


class KeyEventKind(StrEnum):
    REGISTERED = "registered"
    RELEASED = "released"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEvent:
    """One line of the registry. `by` and `reason` are a person's, for a release."""

    kind: KeyEventKind
    fingerprint: str
    environment: str
    account_id: str
    at: str
    by: str = ""
    reason: str = ""

    def __post_init__(self) -> None:
        if len(self.fingerprint) != FINGERPRINT_LENGTH or set(self.fingerprint) - set("0123456789abcdef"):
            raise ValueError("fingerprint must be a sha256 in hex")
        if str(AccountId.parse(self.account_id)) != self.account_id:
            raise ValueError("account_id must be an account's id")


def fingerprint_of(config: AccountConfig) -> str:
    """The whole sha256 of the key; its first digits are `AccountConfig.key_fingerprint`."""
    return config.key_sha256


class KeyRegistry:
    """The file. Safe to use from several processes of one machine."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def register(self, config: AccountConfig, *, at: datetime | None = None) -> None:
        """Note whose key this is, or raise KeyRefused where it is another's or nobody can tell."""
        fingerprint, account_id = fingerprint_of(config), config.account_id
        with self._locked() as events:
            holder = _holders(events).get(fingerprint)
            if holder is None:
                fresh = KeyEvent(
                    kind=KeyEventKind.REGISTERED,
                    fingerprint=fingerprint,
                    environment=account_id.environment.value,
                    account_id=str(account_id),
                    at=_text(at),
                )
                self._write([*events, fresh])
            else:
                _require_holder(holder, account_id, short=config.key_fingerprint)

    def release(self, start: str, *, by: str, reason: str, at: datetime | None = None) -> KeyEvent:
        """Let a key go whose fingerprint begins like this; the release and its reason are kept."""
        if not by.strip() or not reason.strip():
            raise ValueError("a release needs a name and a reason, one was empty")
        with self._locked() as events:
            found = [
                held for held in _holders(events).values() if len(start) >= 8 and held.fingerprint.startswith(start)
            ]
            if len(found) != 1:
                raise KeyRefused(
                    KeyReason.KEY_UNKNOWN, f"{len(found)} registered keys begin with {start!r}, needed is 1"
                )
            held = asdict(found[0]) | {"kind": KeyEventKind.RELEASED, "at": _text(at), "by": by, "reason": reason}
            released = KeyEvent(**held)
            self._write([*events, released])
        return released

    def held(self) -> tuple[KeyEvent, ...]:
        """Every key that belongs to an account now, oldest first."""
        with self._locked() as events:
            return tuple(_holders(events).values())

    @contextmanager
    def _locked(self) -> Iterator[list[KeyEvent]]:
        """The events, with every other process held off until the block ends."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self.file.with_name(f"{self.file.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unreadable(error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield self._read()
        except OSError as error:
            raise self._unreadable(error) from error
        finally:
            os.close(lock)

    def _read(self) -> list[KeyEvent]:
        if not self.file.exists() and not self.file.is_symlink():
            return []
        if self.file.stat().st_mode & _OPEN_TO_OTHERS:
            raise self._unreadable("others may read or change it")
        try:
            stored = json.loads(self.file.read_text(encoding="utf-8"))
            if stored["version"] != _VERSION:
                raise ValueError("another version")
            return [KeyEvent(**{**row, "kind": KeyEventKind(row["kind"])}) for row in stored["events"]]
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise self._unreadable(type(error).__name__) from error

    def _write(self, events: list[KeyEvent]) -> None:
        """Replace the file in one synced step, so that a process that dies leaves the old one or the new one."""
        fresh = self.file.with_name(f"{self.file.name}.new")
        text = json.dumps({"version": _VERSION, "events": [asdict(event) for event in events]}, indent=1)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
            sink.write(text + "\n")
            sink.flush()
            os.fsync(sink.fileno())
        fresh.replace(self.file)
        folder = os.open(self.file.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _unreadable(self, cause: object) -> KeyRefused:
        words = cause.strerror if isinstance(cause, OSError) else cause
        return KeyRefused(KeyReason.KEY_REGISTRY_UNREADABLE, f"key registry {self.file} cannot be used: {words}")


def _holders(events: list[KeyEvent]) -> dict[str, KeyEvent]:
    """The last word on each fingerprint, without those released."""
    found: dict[str, KeyEvent] = {}
    for event in events:
        if event.kind is KeyEventKind.REGISTERED:
            found[event.fingerprint] = event
        else:
            found.pop(event.fingerprint, None)
    return found


def _require_holder(holder: KeyEvent, account_id: AccountId, *, short: str) -> None:
    if holder.account_id == str(account_id):
        return
    is_other = holder.environment != account_id.environment.value
    reason = KeyReason.KEY_OF_OTHER_ENVIRONMENT if is_other else KeyReason.KEY_OF_OTHER_ACCOUNT
    raise KeyRefused(
        reason,
        f"key {short} of {account_id} has belonged to {holder.account_id} since {holder.at}; nothing was sent",
    )


def _text(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).astimezone(UTC).isoformat()


# -- the ledger's half ------------------------------------------------------------------------------------------
def require_key_unused(ledger: Ledger, config: AccountConfig) -> None:
    """Refuse a key that this ledger knows as another account's, whatever became of the registry."""
    with ledger.read() as session:
        query = select(AccountRow).where(
            AccountRow.key_fingerprint == config.key_fingerprint,
            col(AccountRow.account_id) != str(config.account_id),
        )
        other = session.exec(query).first()
    if other is not None:
        raise KeyRefused(
            KeyReason.KEY_OF_OTHER_ACCOUNT,
            f"key {config.key_fingerprint} of {config.account_id} was proved for {other.account_id} in this ledger; "
            "nothing was sent",
        )


def forget_key(ledger: Ledger, released: KeyEvent) -> None:
    """Take a released key off the account's row; the next proof writes the new one."""
    with ledger.write() as session:
        row = session.get(AccountRow, released.account_id)
        if row is not None and row.key_fingerprint and released.fingerprint.startswith(row.key_fingerprint):
            row.key_fingerprint = ""
            session.add(row)
