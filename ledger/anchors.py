"""Anchors: where every chain ended when the audit was last proved, kept outside the database.

A chain that is written anew as a whole is consistent in itself; only what was noted elsewhere shows it. The file lies
beside the ledger; whoever may rewrite the database may rewrite it too, so copy it to another machine.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from sqlalchemy import make_url

from ledger.auditing import AuditFault
from ledger.errors import LedgerError

ANCHORS_VARIABLE = "ALGOTRENDY_AUDIT_ANCHORS"
Heads = Mapping[str, tuple[int, str]]


class AnchorsUnreadable(LedgerError):
    """The anchors file is not what was written: it was damaged or altered."""

    reason = AuditFault.AUDIT_ANCHORS_UNREADABLE  # type: ignore[assignment]


def anchors_of(ledger_url: str) -> Path:
    """The file that ALGOTRENDY_AUDIT_ANCHORS names, else beside the ledger, or in the user's state folder."""
    named = os.environ.get(ANCHORS_VARIABLE, "")
    if named:
        return Path(named)
    url = make_url(ledger_url)
    if url.get_backend_name() == "sqlite" and url.database:
        return Path(f"{url.database}.audit-anchors.jsonl")
    name = hashlib.sha256(ledger_url.encode()).hexdigest()[:16]
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "algotrendy" / "audit" / f"{name}.jsonl"


def read_anchors(file: Path) -> dict[tuple[str, int], str]:
    """Every link that a former proof noted; AnchorsUnreadable names the line, or two lines that disagree."""
    found: dict[tuple[str, int], str] = {}
    if not file.exists():
        return found
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            heads = {(str(chain), int(at)): str(sha) for chain, (at, sha) in json.loads(line)["heads"].items()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise AnchorsUnreadable(
                f"line {number} of {file} cannot be read: restore the file from its copy"
            ) from error
        for place, sha in heads.items():
            if found.setdefault(place, sha) != sha:
                raise AnchorsUnreadable(f"line {number} of {file} contradicts an earlier one on chain {place[0]}")
    return found


def add_anchor(file: Path, heads: Heads, *, at: datetime) -> bool:
    """Note where the chains end, durably; False where nothing was new."""
    known = read_anchors(file)
    if all(known.get((chain, ordinal)) == sha for chain, (ordinal, sha) in heads.items()):
        return False
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    line = json.dumps({"at": at.isoformat(), "heads": heads}, sort_keys=True) + "\n"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as sink:
        sink.write(line)
        sink.flush()
        os.fsync(sink.fileno())
    return True
