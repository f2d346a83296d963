"""Why the ledger refused or could not tell: stable codes, each with its meaning and its remedy."""

from __future__ import annotations

from brokers.reasons import Reason


class LedgerReason(Reason):
    """Codes are stable: reports, tests and docs/reasons.md name them."""

    LEDGER_ERROR = ("LEDGER_ERROR", "The ledger could not do what was asked.", "Read the message; it names the cause.")
    LEDGER_URL_REFUSED = (
        "LEDGER_URL_REFUSED",
        "The ledger URL names a database that cannot keep evidence.",
        "Use sqlite:///FILE on a local disk, or postgresql+psycopg://.",
    )
    LEDGER_DURABILITY_REFUSED = (
        "LEDGER_DURABILITY_REFUSED",
        "A database setting could lose committed evidence.",
        "Change the setting that the message names.",
    )
    LEDGER_ENVIRONMENT_MISMATCH = (
        "LEDGER_ENVIRONMENT_MISMATCH",
        "The ledger belongs to another environment.",
        "Open the ledger of this environment; never copy one across.",
    )
    LEDGER_SCHEMA_NEWER = (
        "LEDGER_SCHEMA_NEWER",
        "A newer version has migrated this ledger.",
        "Upgrade this installation before it runs again.",
    )
    LEDGER_FORKED = (
        "LEDGER_FORKED",
        "A child process used the ledger that its parent had opened.",
        "Open the ledger in the process that uses it.",
    )
    LEDGER_CLOSED = ("LEDGER_CLOSED", "The ledger was used after it was closed.", "Open it again.")
    LEDGER_NESTED = (
        "LEDGER_NESTED",
        "A thread opened a ledger session while it held another.",
        "End the first session, or pass it on.",
    )
    LEDGER_UNAVAILABLE = (
        "LEDGER_UNAVAILABLE",
        "The database was busy, locked, out of reach or out of space; nothing was stored.",
        "Repeat the operation; if it stays, look at the database that the message names.",
    )
    LEDGER_WRITE_ABORTED = (
        "LEDGER_WRITE_ABORTED",
        "The transaction had failed before its commit; nothing was stored.",
        "Repeat the operation.",
    )
    LEDGER_COMMIT_UNKNOWN = (
        "LEDGER_COMMIT_UNKNOWN",
        "The connection was lost while a commit was on its way.",
        "Read the ledger: only that tells what is stored.",
    )
    LEDGER_NO_BASELINE = ("LEDGER_NO_BASELINE", "The account has no opening figures yet.", "Sync the account once.")
    LEDGER_CONFLICTING_EVIDENCE = (
        "LEDGER_CONFLICTING_EVIDENCE",
        "A venue id was seen again with other content.",
        "Compare both contents with the venue; a person decides.",
    )
    ALERT_QUEUE_FULL = (
        "ALERT_QUEUE_FULL",
        "As many alerts wait to be read as the queue may hold; this one was not stored.",
        "Start or repair the drain of this environment; the sender sends again on a 503.",
    )
    ALERT_DISK_LOW = (
        "ALERT_DISK_LOW",
        "The disk of the ledger is nearly full; the alert was not stored.",
        "Free space; the sender sends again on a 503.",
    )
    ALERT_LEASE_LOST = (
        "ALERT_LEASE_LOST",
        "Another worker took the alert over, or it ended meanwhile; nothing was changed.",
        "None: the worker that holds the lease goes on. If it is frequent, workers are stalled for 15 s or more.",
    )
    ALERT_NOT_MOVED = (
        "ALERT_NOT_MOVED",
        "What a person asked of an alert, a lane or a token cannot be done as it stands.",
        "Read the message; it names the state and what can be done in it.",
    )
    CONTROL_INCOMPLETE = (
        "CONTROL_INCOMPLETE",
        "A control state was to be set without a name or a reason.",
        "Say who sets it and why: --by and --reason.",
    )
    CONTROL_NEEDS_TWO_PEOPLE = (
        "CONTROL_NEEDS_TWO_PEOPLE",
        "In production this needs two different people, and one was named. Nothing was changed.",
        "Name the second person: a second --by, or the field approved by of the form.",
    )
    CONTROL_CHANGED_MEANWHILE = (
        "CONTROL_CHANGED_MEANWHILE",
        "Somebody set another control state since it was looked at. Nothing was changed.",
        "Look again with `algotrendy status`, then decide again.",
    )
    CONTROL_KILL_UNFINISHED = (
        "CONTROL_KILL_UNFINISHED",
        "A kill of this scope is not over, or ended with something left that nobody acknowledged.",
        "Run the kill again until it is proved, or acknowledge what its report names as left.",
    )
    CONTROL_NOT_SET = (
        "CONTROL_NOT_SET",
        "The stop could be written neither to the database nor to the control file. NOTHING WAS STOPPED.",
        "Stop the workers, write anything unreadable (the word HALT) to the control file, or cancel at the venue.",
    )
    CONTROL_NOT_LOWERED = (
        "CONTROL_NOT_LOWERED",
        "Loosening needs the database and the control file, and one of them failed; the stricter state holds.",
        "Repair what the message names, then set it again.",
    )
    CONTROL_FILE_UNREADABLE = (
        "CONTROL_FILE_UNREADABLE",
        "The control file is there and cannot be read: everything of its environment is halted.",
        "Find out who changed it; then repair it, or remove it so that the database alone counts, and set again.",
    )
