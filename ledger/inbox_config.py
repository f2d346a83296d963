"""Versions of sources and routes: each applied body is kept, the newest counts, and each is a link of the audit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from ledger.alert_tables import AlertConfigRow
from ledger.engine import Ledger
from ledger.errors import AlertNotMoved
from ledger.inbox_people import require_words
from ledger.records import hold


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertConfigVersion:
    """One version, as canonical text (`trading.alerts` reads it)."""

    version: int
    body: str
    sha256: str
    applied_by: str
    applied_at: datetime


class AlertConfigs:
    """Applying and reading versions."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def apply_config(self, body: str, *, by: str, expected: int | None = None) -> AlertConfigVersion:
        """Make `body` the version that counts; the one that counts already is returned as it is.

        `expected`: AlertNotMoved when another version counts by now (0: none).
        """
        require_words(body=body, by=by)
        sha256 = hashlib.sha256(body.encode()).hexdigest()
        with self._ledger.write() as session:
            hold(session.connection(), "alert configuration")
            current = _newest(session)
            version = 0 if current is None else current.version
            if expected is not None and expected != version:
                raise AlertNotMoved(f"version {version} counts by now, and {expected} did when it was looked at")
            if current is not None and current.sha256 == sha256:
                return current
            row = AlertConfigRow(body=body, sha256=sha256, applied_by=by, applied_at=self._ledger.now(session))
            session.add(row)
            session.flush()
            return _version(row)

    def current_config(self) -> AlertConfigVersion | None:
        """The version that counts; None before the first."""
        with self._ledger.read() as session:
            return _newest(session)

    def config_versions(self) -> tuple[AlertConfigVersion, ...]:
        """Every version, newest first."""
        with self._ledger.read() as session:
            rows = session.exec(select(AlertConfigRow).order_by(col(AlertConfigRow.version).desc()))
            return tuple(_version(row) for row in rows)


def _newest(session: Session) -> AlertConfigVersion | None:
    row = session.exec(select(AlertConfigRow).order_by(col(AlertConfigRow.version).desc()).limit(1)).first()
    return None if row is None else _version(row)


def _version(row: AlertConfigRow) -> AlertConfigVersion:
    assert row.version is not None
    return AlertConfigVersion(
        version=row.version, body=row.body, sha256=row.sha256, applied_by=row.applied_by, applied_at=row.applied_at
    )
