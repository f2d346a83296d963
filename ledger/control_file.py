"""The control file: control states beside the database, so that a stop works while the database does not.

One JSON file per environment, replaced in one step, synced, readable by the owner only. An absent file sets nothing. A
file that is there and cannot be read (empty, cut off, no permission, a folder, an unknown state) halts everything of
the environment: a person without any tool stops it with `echo HALT > FILE`.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from sqlalchemy import make_url

from ledger.errors import ControlFileUnreadable
from ledger.states import ControlState

VERSION: Final = 1
LOCK_WAIT_S: Final = 3.0
_LOCK_POLL_S: Final = 0.02
_SIZE_MAX: Final = 1 << 20
_KEYS: Final = frozenset({"version", "scopes"})
_FIELDS: Final = frozenset({"state", "reason", "set_by", "approved_by", "set_at"})


@dataclass(frozen=True, slots=True, kw_only=True)
class FileEntry:
    """One scope's state in the file; `set_at` is ISO text, for people."""

    state: ControlState
    reason: str
    set_by: str
    approved_by: str = ""
    set_at: str = ""


class ControlFile:
    """The control file of one environment."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, ledger_url: str) -> ControlFile | None:
        """The default: beside a SQLite ledger. A PostgreSQL ledger has no place; its pool must name one."""
        url = make_url(ledger_url)
        if url.get_backend_name() != "sqlite" or not url.database:
            return None
        return cls(Path(f"{Path(url.database).absolute()}.control.json"))

    # -- reading ------------------------------------------------------------------------------------------------
    def read(self) -> dict[str, FileEntry]:
        """Every scope that the file names; nothing where there is none. Raises ControlFileUnreadable."""
        try:
            with self.path.open("rb") as file:
                body = file.read(_SIZE_MAX + 1)
        except FileNotFoundError:
            # A link to nowhere is not an absent file: somebody meant one to be there.
            if self.path.is_symlink():
                raise self._unreadable("it is a link to a file that is not there") from None
            return {}
        except OSError as error:
            raise self._unreadable(type(error).__name__) from error
        try:
            return _decoded(body)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise self._unreadable(str(error)[:200]) from error

    def states(self, scopes: Sequence[str]) -> list[ControlState]:
        """What the file says of these scopes, as of one reading; HALT for every scope while it cannot be read."""
        try:
            found = self.read()
        except ControlFileUnreadable:
            return [ControlState.HALT]
        return [found[scope].state for scope in scopes if scope in found]

    def state(self, scope: str) -> ControlState | None:
        """What the file says of one scope; None where it says nothing."""
        return next(iter(self.states([scope])), None)

    def _unreadable(self, why: str) -> ControlFileUnreadable:
        return ControlFileUnreadable(f"the control file {self.path} cannot be read: {why}")

    # -- writing ------------------------------------------------------------------------------------------------
    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold off other writers; TimeoutError after LOCK_WAIT_S, OSError where no lock can be made."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            until_s = time.monotonic() + LOCK_WAIT_S
            while not _try_lock(descriptor):
                if time.monotonic() > until_s:
                    raise TimeoutError(f"another process has held {self.path}.lock for {LOCK_WAIT_S} s")
                time.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)  # which ends the lock

    def put(self, scope: str, entry: FileEntry | None) -> None:
        """Set or take out one scope, durably, keeping the others. Call it inside `locked`.

        Raises ControlFileUnreadable (what others set cannot be kept) and OSError.
        """
        entries = self.read()
        if entry is None:
            entries.pop(scope, None)
        else:
            entries[scope] = entry
        self._replace(entries)

    def _replace(self, entries: Mapping[str, FileEntry]) -> None:
        shown = {scope: {**asdict(entry), "state": entry.state.value} for scope, entry in sorted(entries.items())}
        body = json.dumps({"version": VERSION, "scopes": shown}, indent=2, ensure_ascii=False).encode() + b"\n"
        fresh = self.path.with_name(f"{self.path.name}.{secrets.token_hex(4)}.new")
        try:
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self.path)
        finally:
            fresh.unlink(missing_ok=True)
        _sync_folder(self.path.parent)


def entry_of(
    state: ControlState, *, reason: str, set_by: str, approved_by: str = "", set_at: datetime | None = None
) -> FileEntry:
    """An entry as it is written."""
    at = set_at.isoformat(timespec="milliseconds") if set_at is not None else ""
    return FileEntry(state=state, reason=reason, set_by=set_by, approved_by=approved_by, set_at=at)


def _decoded(body: bytes) -> dict[str, FileEntry]:
    """Strict: what is not exactly what we write is not read. ValueError, TypeError or KeyError otherwise."""
    if len(body) > _SIZE_MAX:
        raise ValueError(f"it has more than {_SIZE_MAX} bytes")
    content = json.loads(body, object_pairs_hook=_unique)
    if not isinstance(content, dict) or set(content) != _KEYS:
        raise ValueError("its keys must be version and scopes")
    if type(content["version"]) is not int or content["version"] != VERSION:
        raise ValueError(f"its version must be {VERSION}, was {content['version']!r}")
    if not isinstance(content["scopes"], dict):
        raise TypeError("scopes must be an object")
    return {scope: _entry(scope, fields) for scope, fields in content["scopes"].items()}


def _entry(scope: str, given: Any) -> FileEntry:
    if not isinstance(given, dict) or not {"state"} <= set(given) <= _FIELDS:
        raise ValueError(f"scope {scope} must have {', '.join(sorted(_FIELDS))}")
    if not all(isinstance(value, str) for value in given.values()):
        raise TypeError(f"every field of scope {scope} must be text")
    return FileEntry(
        state=ControlState(given["state"]),
        reason=given.get("reason", ""),
        set_by=given.get("set_by", ""),
        approved_by=given.get("approved_by", ""),
        set_at=given.get("set_at", ""),
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in it")
    return found


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
