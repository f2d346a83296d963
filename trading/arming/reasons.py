"""Why nothing is sent without arming, and why an arming was not made: stable codes."""

from __future__ import annotations

from brokers.reasons import Reason

_AGAIN = "Arm again: algotrendy arm request, then algotrendy arm approve by another person."
_FRAUD = "Keep a copy of the ledger and run algotrendy audit verify: someone wrote to the ledger past the program."


class ArmingReason(Reason):
    """Codes are stable: reports, tests and docs/reasons.md name them."""

    DISARMED = ("DISARMED", "The pool is not armed, so nothing is sent.", _AGAIN)
    ARMING_EXPIRED = ("ARMING_EXPIRED", "The arming's time is over by the ledger's clock.", _AGAIN)
    ARMING_OTHER_ACCOUNT = ("ARMING_OTHER_ACCOUNT", "The arming does not name this account.", _AGAIN)
    ARMING_OTHER_POLICY = ("ARMING_OTHER_POLICY", "The account's risk policy is not the one that was armed.", _AGAIN)
    ARMING_OTHER_CODE = (
        "ARMING_OTHER_CODE",
        "This process runs other code, dependencies or schema than was armed; it claims nothing.",
        "Bring every worker to one version (algotrendy version shows the hash), restart them, and arm again.",
    )
    ARMING_NOTIONAL_USED = (
        "ARMING_NOTIONAL_USED",
        "With this order more notional would be sent than was armed.",
        "Wait, or arm again with a larger notional.",
    )
    ARMING_STOPPED_SINCE = (
        "ARMING_STOPPED_SINCE",
        "Pool or account was halted or killed after it was armed.",
        "Find out why it was stopped, then arm again.",
    )
    ARMING_CLOCK_BACKWARDS = (
        "ARMING_CLOCK_BACKWARDS",
        "The arming lies in the future of the ledger's clock: the clock was set back.",
        "Repair the time of the database's machine, then arm again.",
    )
    ARMING_KEY_MISSING = (
        "ARMING_KEY_MISSING",
        "This process has no key to check an arming with, or the key's file is readable by others.",
        "Set ALGOTRENDY_SECRETS to the folder that holds it (mode 0600), or ALGOTRENDY_ARMING_KEY, for every worker.",
    )
    ARMING_FORGED = ("ARMING_FORGED", "The arming's rows do not carry the right signature, or were altered.", _FRAUD)
    ARMING_REPLAYED = ("ARMING_REPLAYED", "The same record was armed more than once: a row was copied.", _FRAUD)
    ARMING_REQUEST_INVALID = (
        "ARMING_REQUEST_INVALID",
        "What was asked for is not complete or not allowed.",
        "Correct the field that the message names.",
    )
    ARMING_REQUEST_UNKNOWN = (
        "ARMING_REQUEST_UNKNOWN",
        "There is no open request with this hash: another one, a disarming or a start came after it.",
        "Show the state with algotrendy arm show, and ask again.",
    )
    ARMING_REQUEST_OLD = (
        "ARMING_REQUEST_OLD",
        "The request is older than 15 minutes.",
        "Ask again: what was looked at then may have changed.",
    )
    ARMING_CHANGED = (
        "ARMING_CHANGED",
        "A policy or the code is no longer what the request named.",
        "Ask again, and read what has changed.",
    )
    ARMING_SAME_PERSON = ("ARMING_SAME_PERSON", "Two different people are needed.", "Let another person approve.")
    ARMING_PERSON_UNKNOWN = (
        "ARMING_PERSON_UNKNOWN",
        "No key of this person is enrolled here.",
        "Enrol the person on this machine: algotrendy arm enrol NAME.",
    )
    ARMING_CODE_WRONG = (
        "ARMING_CODE_WRONG",
        "A person's code does not belong to this record.",
        "Make it anew for this very hash: algotrendy arm code HASH --by NAME.",
    )


class ArmingRefused(Exception):
    """Nothing was armed. `reason` says why."""

    def __init__(self, reason: ArmingReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
