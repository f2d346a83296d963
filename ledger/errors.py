"""Every error of the ledger, each with its stable reason code.

LedgerError
├── LedgerUrlRefused            the URL names a database that cannot keep evidence
├── DurabilityRefused           a setting of the database would lose committed evidence
├── LedgerEnvironmentMismatch   the ledger belongs to another environment
├── LedgerSchemaNewer           a newer version of the program has migrated it
├── LedgerForked                used in a child process of the one that opened it
├── LedgerClosed                used after close()
├── LedgerNested                a session opened while this thread holds another
├── WriteAborted                the transaction had failed before its commit: nothing was stored
├── CommitUnknown               the connection went during COMMIT: stored or not, only reading tells
├── ConflictingEvidence         the same id came with other content
└── NoBaseline                  the account has no opening figures yet
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReasonText:
    """What a reason code means and what an operator does about it, one line each."""

    meaning: str
    remedy: str


class LedgerError(Exception):
    """Base of all; `reason` is the stable code of docs/reasons.md."""

    reason = "LEDGER_ERROR"


class LedgerUrlRefused(LedgerError):
    reason = "LEDGER_URL_REFUSED"


class DurabilityRefused(LedgerError):
    """A database setting is not safe for evidence."""

    reason = "LEDGER_DURABILITY_REFUSED"

    def __init__(self, setting: str, value: str, remedy: str) -> None:
        super().__init__(f"ledger setting {setting} was {value!r}: {remedy}")
        self.setting = setting
        self.value = value
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.setting, self.value, self.remedy))


class LedgerEnvironmentMismatch(LedgerError):
    reason = "LEDGER_ENVIRONMENT_MISMATCH"


class LedgerSchemaNewer(LedgerError):
    reason = "LEDGER_SCHEMA_NEWER"


class LedgerForked(LedgerError):
    reason = "LEDGER_FORKED"


class LedgerClosed(LedgerError):
    reason = "LEDGER_CLOSED"


class LedgerNested(LedgerError):
    reason = "LEDGER_NESTED"


class WriteAborted(LedgerError):
    reason = "LEDGER_WRITE_ABORTED"


class CommitUnknown(LedgerError):
    reason = "LEDGER_COMMIT_UNKNOWN"


class NoBaseline(LedgerError):
    reason = "LEDGER_NO_BASELINE"


class ConflictingEvidence(LedgerError):
    """The same id with different content; `stored` and `received` name the fields that differ."""

    reason = "LEDGER_CONFLICTING_EVIDENCE"

    def __init__(self, subject: str, *, stored: Mapping[str, str], received: Mapping[str, str]) -> None:
        differences = "; ".join(f"{name} is {stored[name]}, was received as {received[name]}" for name in stored)
        super().__init__(f"{subject} is stored with other content: {differences}; nothing was overwritten")
        self.subject = subject
        self.stored = dict(stored)
        self.received = dict(received)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_conflict, (self.subject, self.stored, self.received))


def _rebuild_conflict(subject: str, stored: Mapping[str, str], received: Mapping[str, str]) -> ConflictingEvidence:
    return ConflictingEvidence(subject, stored=stored, received=received)


REASONS: Mapping[str, ReasonText] = {
    "LEDGER_ERROR": ReasonText("The ledger could not do what was asked.", "Read the message; it names the cause."),
    "LEDGER_URL_REFUSED": ReasonText(
        "The ledger URL names a database that cannot keep evidence.",
        "Use sqlite:///FILE on a local disk, or postgresql+psycopg://.",
    ),
    "LEDGER_DURABILITY_REFUSED": ReasonText(
        "A database setting could lose committed evidence.", "Change the setting that the message names."
    ),
    "LEDGER_ENVIRONMENT_MISMATCH": ReasonText(
        "The ledger belongs to another environment.", "Open the ledger of this environment; never copy one across."
    ),
    "LEDGER_SCHEMA_NEWER": ReasonText(
        "A newer version has migrated this ledger.", "Upgrade this installation before it runs again."
    ),
    "LEDGER_FORKED": ReasonText(
        "A child process used the ledger that its parent had opened.", "Open the ledger in the process that uses it."
    ),
    "LEDGER_CLOSED": ReasonText("The ledger was used after it was closed.", "Open it again."),
    "LEDGER_NESTED": ReasonText(
        "A thread opened a ledger session while it held another.", "End the first session, or pass it on."
    ),
    "LEDGER_WRITE_ABORTED": ReasonText(
        "The transaction had failed before its commit; nothing was stored.", "Repeat the operation."
    ),
    "LEDGER_COMMIT_UNKNOWN": ReasonText(
        "The connection was lost while a commit was on its way.", "Read the ledger: only that tells what is stored."
    ),
    "LEDGER_NO_BASELINE": ReasonText("The account has no opening figures yet.", "Sync the account once."),
    "LEDGER_CONFLICTING_EVIDENCE": ReasonText(
        "A venue id was seen again with other content.", "Compare both contents with the venue; a person decides."
    ),
}
