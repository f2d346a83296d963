"""Why a run was not worked on, or ended before it sent anything: typed errors with stable codes."""

from __future__ import annotations

from brokers.reasons import Reason


class RunReason(Reason):
    """Codes of runs over several accounts."""

    RUN_KEY_TAKEN = (
        "RUN_KEY_TAKEN",
        "The business key belongs to a run of this subscription, or of its portfolio, as it was before it was edited.",
        "Use another key.",
    )
    RUN_TERMS_WRONG = (
        "RUN_TERMS_WRONG",
        "The subscription and the portfolio do not belong together.",
        "Correct the place that the message names.",
    )
    RUN_BUSY = ("RUN_BUSY", "Another worker executes an account of this run.", "Wait for it, then resume the run.")
    RUN_UNKNOWN = (
        "RUN_UNKNOWN",
        "The ledger has no such run, or the beginning of its id is too short or fits several.",
        "algotrendy runs list shows what there is.",
    )
    RUN_NOT_WAITING = (
        "RUN_NOT_WAITING",
        "The run does not wait for an approval: it was decided, has timed out, or never needed one.",
        "algotrendy runs show says where it stands.",
    )
    RUN_HASH_DIFFERS = (
        "RUN_HASH_DIFFERS",
        "The run was planned again since: the hash that was given is not of the plan that waits.",
        "Read the plan that waits now, and approve that one.",
    )
    RUN_HASH_SHORT = (
        "RUN_HASH_SHORT",
        "An approval names the plan by at least 12 digits of its hash.",
        "Copy the hash from the plan that was shown.",
    )
    RUN_ACCOUNT_MISSING = (
        "RUN_ACCOUNT_MISSING",
        "An account of the run could not be opened, so its part of the run cannot go on.",
        "Correct what the message names, then resume the run.",
    )
    RUN_ACCOUNT_INTERRUPTED = (
        "RUN_ACCOUNT_INTERRUPTED",
        "An account's part of the run was interrupted by its venue or its time; what was sent is on record.",
        "Resume the run: it continues from its stored legs and sends no order twice.",
    )
    RUN_NOTHING_PLANNED = (
        "RUN_NOTHING_PLANNED",
        "No account of the subscription could be planned.",
        "See to the reason of each account, then run again.",
    )
    ANOTHER_RUN_BEGUN = (
        "ANOTHER_RUN_BEGUN",
        "An earlier run of the subscription was begun and has not ended.",
        "Resume it or cancel it, then run again.",
    )
    RUN_CANCELLED = (
        "RUN_CANCELLED",
        "A person cancelled the run before this leg was sent, or before all of it was filled.",
        "None: what was filled stays filled. Start another run to go on.",
    )
    RUN_ENDED = ("RUN_ENDED", "The run has ended; nothing of it can be cancelled or resumed.", "Start another run.")
    RUN_LEDGERS_DIFFER = (
        "RUN_LEDGERS_DIFFER",
        "The accounts of one run must be of one ledger, and so of one environment.",
        "Make a subscription for each environment.",
    )


class RunError(RuntimeError):
    """A run could not be worked on; nothing was sent by this call unless the message says so."""

    def __init__(self, reason: RunReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason.value
        self.remedy = reason.remedy
