"""The secrets in the addresses that alert sources send to: only their hashes are kept, at most two a source.

Two, so that a token can be changed without losing an alert: add the new one, change the sender, retire the old one.
Every step is a row of its own and a link of the audit.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from ledger.alert_states import TokenState
from ledger.alert_tables import AlertTokenRow
from ledger.engine import Ledger
from ledger.errors import AlertNotMoved
from ledger.inbox_people import require_words
from ledger.records import hold

TOKEN_BYTES = 32
TOKEN_CHARACTERS_MIN = 43  # 256 bits as URL-safe base64
ACTIVE_MAX = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertToken:
    """One token, without its secret."""

    source: str
    token_sha256: str
    created_at: datetime
    created_by: str
    retired_at: datetime | None = None
    retired_by: str = ""


@dataclass(frozen=True, slots=True)
class ActiveTokens:
    """The tokens that are valid now: source by hash."""

    sources: Mapping[str, str]

    def matches(self, token: str) -> str | None:
        """The source that a token belongs to, or None. Takes the same time whichever it is: all are compared."""
        found: str | None = None
        presented = _sha256(token)
        for known, source in self.sources.items():
            if hmac.compare_digest(known, presented):
                found = source
        return found


class AlertTokens:
    """Adding, retiring and asking for tokens."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def add_token(self, source: str, *, by: str, reason: str = "added", secret: str | None = None) -> str:
        """Make a token of a source valid and return its secret, shown this once. `secret`: one drawn elsewhere.

        AlertNotMoved when the source has two, or the secret was ever used.
        """
        require_words(source=source, by=by, reason=reason)
        token = secret if secret is not None else secrets.token_urlsafe(TOKEN_BYTES)
        if len(token) < TOKEN_CHARACTERS_MIN:
            raise ValueError(f"a token needs at least {TOKEN_CHARACTERS_MIN} characters, had {len(token)}")
        token_sha256 = _sha256(token)
        with self._ledger.write() as session:
            hold(session.connection(), "alert tokens")
            known = _read(session)
            if any(row.token_sha256 == token_sha256 for row in known):
                raise AlertNotMoved(f"this token of {source} was used before: draw a new one")
            active = [row for row in known if row.source == source and row.retired_at is None]
            if len(active) >= ACTIVE_MAX:
                raise AlertNotMoved(f"source {source} has {len(active)} active tokens: retire one first")
            self._add(session, source, token_sha256, TokenState.ACTIVE, by=by, reason=reason)
        return token

    def retire_token(self, source: str, token_sha256: str, *, by: str, reason: str) -> None:
        """Let a token count no more; the hash may be shortened to what is unique. AlertNotMoved when it is not."""
        require_words(source=source, token_sha256=token_sha256, by=by, reason=reason)
        with self._ledger.write() as session:
            hold(session.connection(), "alert tokens")
            active = [row for row in _read(session) if row.source == source and row.retired_at is None]
            found = [row for row in active if row.token_sha256.startswith(token_sha256)]
            if len(found) != 1:
                raise AlertNotMoved(f"{len(found)} active tokens of {source} begin with {token_sha256!r}, must be one")
            self._add(session, source, found[0].token_sha256, TokenState.RETIRED, by=by, reason=reason)

    def tokens(self, source: str = "") -> tuple[AlertToken, ...]:
        """Every token there ever was, of one source or of all, oldest first."""
        with self._ledger.read() as session:
            return tuple(row for row in _read(session) if source in ("", row.source))

    def active(self) -> ActiveTokens:
        """What counts now; ask again after a change."""
        return ActiveTokens({row.token_sha256: row.source for row in self.tokens() if row.retired_at is None})

    def matches(self, token: str) -> str | None:
        """The source that a token belongs to, as of now."""
        return self.active().matches(token)

    def _add(
        self, session: Session, source: str, token_sha256: str, state: TokenState, *, by: str, reason: str
    ) -> None:
        session.add(
            AlertTokenRow(
                source=source,
                token_sha256=token_sha256,
                state=state.value,
                set_by=by,
                reason=reason,
                set_at=self._ledger.now(session),
            )
        )


def _read(session: Session) -> list[AlertToken]:
    found: dict[str, AlertToken] = {}
    for row in session.exec(select(AlertTokenRow).order_by(col(AlertTokenRow.token_id))):
        added = found.get(row.token_sha256)
        is_active = row.state == TokenState.ACTIVE.value  # what this version does not know does not let in
        found[row.token_sha256] = AlertToken(
            source=row.source,
            token_sha256=row.token_sha256,
            created_at=added.created_at if added else row.set_at,
            created_by=added.created_by if added else row.set_by,
            retired_at=None if is_active else row.set_at,
            retired_by="" if is_active else row.set_by,
        )
    return list(found.values())


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
