"""Every error of the ledger, each with its stable reason code.

LedgerError
├── LedgerUrlRefused            the URL names a database that cannot keep evidence
├── DurabilityRefused           a setting of the database would lose committed evidence
├── LedgerEnvironmentMismatch   the ledger belongs to another environment
├── LedgerSchemaNewer           a newer version of the program has migrated it
├── LedgerForked                used in a child process of the one that opened it
├── LedgerClosed                used after close()
├── LedgerNested                a session opened while this thread holds another
├── LedgerUnavailable           busy, locked, out of reach, out of space: nothing was stored
├── WriteAborted                the transaction had failed before its commit: nothing was stored
├── CommitUnknown               the connection went during COMMIT: stored or not, only reading tells
├── ConflictingEvidence         the same id came with other content
├── NoBaseline                  the account has no opening figures yet
├── QueueFull                   the alert queue takes nothing more: nothing was stored
│   └── DiskLow                 because the disk is nearly full
├── LeaseLost                   another worker has the alert by now, or it has ended
├── AlertNotMoved               an alert, a lane or a token was not moved as a person asked
└── ControlError                a control state was not changed
    ├── ControlIncomplete       no name or no reason
    ├── NeedsTwoPeople          two different people must sign
    ├── ControlMoved            somebody else changed it meanwhile
    ├── KillUnfinished          a kill of the scope is not over
    ├── ControlNotSet           neither database nor file took a stop: nothing is stopped
    ├── ControlNotLowered       loosening failed in one of the two: the stricter holds
    └── ControlFileUnreadable   the control file cannot be read, which halts its environment
"""

from __future__ import annotations

from collections.abc import Mapping

from ledger.reasons import LedgerReason


class LedgerError(Exception):
    """Base of all; `reason` is the stable code of docs/reasons.md."""

    reason = LedgerReason.LEDGER_ERROR


class LedgerUrlRefused(LedgerError):
    reason = LedgerReason.LEDGER_URL_REFUSED


class DurabilityRefused(LedgerError):
    """A database setting is not safe for evidence."""

    reason = LedgerReason.LEDGER_DURABILITY_REFUSED

    def __init__(self, setting: str, value: str, remedy: str) -> None:
        super().__init__(f"ledger setting {setting} was {value!r}: {remedy}")
        self.setting = setting
        self.value = value
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return (type(self), (self.setting, self.value, self.remedy))


class LedgerEnvironmentMismatch(LedgerError):
    reason = LedgerReason.LEDGER_ENVIRONMENT_MISMATCH


class LedgerSchemaNewer(LedgerError):
    reason = LedgerReason.LEDGER_SCHEMA_NEWER


class LedgerForked(LedgerError):
    reason = LedgerReason.LEDGER_FORKED


class LedgerClosed(LedgerError):
    reason = LedgerReason.LEDGER_CLOSED


class LedgerNested(LedgerError):
    reason = LedgerReason.LEDGER_NESTED


class LedgerUnavailable(LedgerError):
    reason = LedgerReason.LEDGER_UNAVAILABLE


class WriteAborted(LedgerError):
    reason = LedgerReason.LEDGER_WRITE_ABORTED


class CommitUnknown(LedgerError):
    reason = LedgerReason.LEDGER_COMMIT_UNKNOWN


class NoBaseline(LedgerError):
    reason = LedgerReason.LEDGER_NO_BASELINE


class ConflictingEvidence(LedgerError):
    """The same id with different content; `stored` and `received` name the fields that differ."""

    reason = LedgerReason.LEDGER_CONFLICTING_EVIDENCE

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


class QueueFull(LedgerError):
    """Say so to the sender with 503: it sends again."""

    reason = LedgerReason.ALERT_QUEUE_FULL


class DiskLow(QueueFull):
    reason = LedgerReason.ALERT_DISK_LOW


class LeaseLost(LedgerError):
    """Stop at once: whatever is written for this claim is refused."""

    reason = LedgerReason.ALERT_LEASE_LOST


class AlertNotMoved(LedgerError):
    reason = LedgerReason.ALERT_NOT_MOVED


class ControlError(LedgerError):
    """A control state was not changed as asked; see the reason."""


class ControlIncomplete(ControlError):
    reason = LedgerReason.CONTROL_INCOMPLETE


class NeedsTwoPeople(ControlError):
    reason = LedgerReason.CONTROL_NEEDS_TWO_PEOPLE


class ControlMoved(ControlError):
    reason = LedgerReason.CONTROL_CHANGED_MEANWHILE


class KillUnfinished(ControlError):
    reason = LedgerReason.CONTROL_KILL_UNFINISHED


class ControlNotSet(ControlError):
    reason = LedgerReason.CONTROL_NOT_SET


class ControlNotLowered(ControlError):
    reason = LedgerReason.CONTROL_NOT_LOWERED


class ControlFileUnreadable(ControlError):
    reason = LedgerReason.CONTROL_FILE_UNREADABLE
