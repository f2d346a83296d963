"""Where the tokens of a login are kept: one file per client id and login host, shared by every process of a machine.

A file is readable by its owner only, replaced as a whole, and synced with its folder before anything in it is used: a
rotated refresh token that is lost can only be replaced by a person who logs in again. `locked` holds every other
process off while one refreshes.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import SecretStr

from brokers.errors import NotSent
from brokers.tradestation.reasons import LOGIN, LoginReason, LoginRefused

FOLDER = "tradestation"
_VERSION = 1
_OPEN_TO_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gave. `expires_at` is the end of the access token, on our clock."""

    access: SecretStr
    refresh: SecretStr
    expires_at: datetime
    scopes: tuple[str, ...]

    def remaining_s(self, now: datetime) -> float:
        """Seconds for which the access token is still good."""
        return (self.expires_at - now).total_seconds()


class TokenStore:
    """The file of one client id at one login host."""

    def __init__(self, folder: Path, *, client_id: str, auth_base: str) -> None:
        name = hashlib.sha256(f"{client_id}\n{auth_base}".encode()).hexdigest()[:16]
        self.file = folder / FOLDER / f"{name}.json"

    def read(self) -> Tokens | None:
        """The tokens; None before the first login. LoginRefused when the file cannot be used."""
        try:
            mode = self.file.stat().st_mode
            text = self.file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error.strerror or "it cannot be read") from error
        if mode & _OPEN_TO_OTHERS:
            raise self._unusable(f"others may read it: chmod 600 {self.file}")
        return self._parse(text)

    def write(self, tokens: Tokens) -> None:
        """Replace the file, durably: when this returns, a power failure cannot take the tokens back."""
        row = {
            "version": _VERSION,
            "access_token": tokens.access.get_secret_value(),
            "refresh_token": tokens.refresh.get_secret_value(),
            "expires_at": tokens.expires_at.astimezone(UTC).isoformat(),
            "scopes": list(tokens.scopes),
        }
        fresh = self.file.with_suffix(".json.new")
        try:
            self._make_folder()
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
                os.fchmod(sink.fileno(), 0o600)
                sink.write(json.dumps(row, indent=1) + "\n")
                sink.flush()
                os.fsync(sink.fileno())
            fresh.replace(self.file)
            _sync_folder(self.file.parent)
        except OSError as error:
            raise NotSent(
                f"the tokens could not be kept in {self.file}: {error.strerror}; free space or rights"
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold off every other process and thread that wants to refresh these tokens."""
        try:
            self._make_folder()
            lock = os.open(self.file.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error.strerror or "its lock cannot be made") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)

    def _make_folder(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)

    def _parse(self, text: str) -> Tokens:
        try:
            row = json.loads(text)
            if row["version"] != _VERSION:
                raise ValueError("another version")
            expires_at = datetime.fromisoformat(row["expires_at"])
            if expires_at.tzinfo is None:
                raise ValueError("a time without its zone")
            access, refresh = str(row["access_token"]), str(row["refresh_token"])
            return Tokens(SecretStr(access), SecretStr(refresh), expires_at, tuple(map(str, row["scopes"])))
        except (ValueError, TypeError, KeyError) as error:
            raise self._unusable(f"it is not a token file ({type(error).__name__})") from None

    def _unusable(self, why: str) -> LoginRefused:
        return LoginRefused(
            LoginReason.LOGIN_STORE_UNUSABLE,
            f"the tokens in {self.file} cannot be used: {why}; or delete the file and log in again: {LOGIN}",
        )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
