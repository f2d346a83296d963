"""Where an answer of the venue is kept when the ledger cannot take it: one synced file per answer."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Spooled:
    """One observation of a send that could not be committed."""

    account_id: str
    intent_id: str
    client_order_id: str
    send_id: str
    outcome: str
    status: int | None
    code: str
    text: str
    raw: str
    observed_at: datetime


class Spool:
    """A folder of answers; each is durable before `append` returns and removed only after the ledger took it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def append(self, entry: Spooled) -> Path:
        """Write, sync and name one entry; OSError when even that fails."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        body = json.dumps({**asdict(entry), "observed_at": entry.observed_at.isoformat()}, sort_keys=True).encode()
        path = self.folder / f"{hashlib.sha256(body).hexdigest()[:40]}.json"
        partial = path.with_suffix(".partial")
        with partial.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(self.folder)
        return path

    def entries(self) -> Iterator[tuple[Path, Spooled]]:
        """Every complete entry, in a stable order. What cannot be read is kept beside it as `.bad`, and passed over."""
        if not self.folder.is_dir():
            return
        for path in sorted(self.folder.glob("*.json")):
            try:
                entry = _decoded(path.read_bytes())
            except FileNotFoundError:
                continue  # another process took it in
            except OSError:
                _log.exception("the spooled answer %s cannot be read; it is tried again at the next sweep", path)
                continue
            except (ValueError, TypeError, KeyError):
                _set_aside(path)
                continue
            yield path, entry

    def remove(self, path: Path) -> None:
        """Forget an entry that the ledger has; another process may have done so already."""
        path.unlink(missing_ok=True)


def spool_of(ledger_url: str) -> Spool:
    """The spool that belongs to a ledger: beside its file, or under the user's state folder for a server."""
    url = make_url(ledger_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Spool(Path(f"{url.database}.spool"))
    name = hashlib.sha256(ledger_url.encode()).hexdigest()[:16]
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return Spool(state / "algotrendy" / "spool" / name)


def _decoded(body: bytes) -> Spooled:
    """ValueError, TypeError or KeyError when the file is not what `append` writes."""
    values = json.loads(body)
    values["observed_at"] = datetime.fromisoformat(values["observed_at"])
    entry = Spooled(**values)
    if entry.observed_at.tzinfo is None:
        raise ValueError(f"observed_at must be aware UTC, was {entry.observed_at!r}")
    for name in _TEXTS:
        if not isinstance(getattr(entry, name), str):
            raise TypeError(f"{name} must be text, was {getattr(entry, name)!r}")
    if entry.status is not None and not isinstance(entry.status, int):
        raise TypeError(f"status must be a number or null, was {entry.status!r}")
    return entry


_TEXTS = tuple(field.name for field in fields(Spooled) if field.name not in ("status", "observed_at"))


def _set_aside(path: Path) -> None:
    """Keep an unreadable file as evidence, under a name that no sweep reads; called while its error is handled."""
    bad = path.with_suffix(".bad")
    path.rename(bad)
    _log.error("a spooled answer is unreadable and was kept as %s: look at it by hand", bad, exc_info=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
