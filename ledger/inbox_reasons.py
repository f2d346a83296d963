"""Why an alert was moved by the queue itself; what reads and handles alerts adds codes of its own."""

from __future__ import annotations

from brokers.reasons import Reason


class InboxReason(Reason):
    """Codes are stable: events, reports, tests and docs/reasons.md name them."""

    ALERT_QUEUED = ("ALERT_QUEUED", "It was read and has its place in the order of its lane.", "None.")
    ALERT_CLAIMED = ("ALERT_CLAIMED", "A worker has taken it.", "None.")
    ALERT_TAKEN_OVER = (
        "ALERT_TAKEN_OVER",
        "The worker that had it fell silent; another has taken it.",
        "None; if it is frequent, look at why workers die or stall.",
    )
    ALERT_EXPIRED = (
        "ALERT_EXPIRED",
        "Its time to live was over before anybody worked on it. No order was made.",
        "None for this alert; if it is frequent, look at the drain or give its route more time.",
    )
    ALERT_DUPLICATE = ("ALERT_DUPLICATE", "The same alert came before, by its own id.", "None.")
    ALERT_DUPLICATE_WEAK = (
        "ALERT_DUPLICATE_WEAK",
        "The same bytes came from the same source within half a minute, and name no id: taken for one alert.",
        "Put an id into the alert's message, so that two alerts can be told apart.",
    )
    ALERT_KEY_CONFLICT = (
        "ALERT_KEY_CONFLICT",
        "Two alerts of a source carry one id and differ. What had not been worked on does not trade.",
        "Correct the id in the alert's message, so that it differs for every alert.",
    )
    ALERT_TIME_IN_FUTURE = (
        "ALERT_TIME_IN_FUTURE",
        "It says that it was made after it was received.",
        "Check the clock of the machine that receives, and which time the alert's message names.",
    )
    ALERT_READER_DIED = (
        "ALERT_READER_DIED",
        "The process that read it died, time after time.",
        "Look at its raw bytes and at the log of the drain; replay it when the cause is repaired.",
    )
    ALERT_READER_FAILED = (
        "ALERT_READER_FAILED",
        "Reading it raised an error that is no answer to an alert.",
        "Report the error that the detail names; replay the alert when it is repaired.",
    )
    ALERT_WORKER_DIED = (
        "ALERT_WORKER_DIED",
        "Workers that had it fell silent until its attempts were used up.",
        "Look at its events, its orders and the log of the drain; replay it when the cause is repaired.",
    )
    ALERT_REVIVED = ("ALERT_REVIVED", "A person put it back into the queue, under the same key.", "None.")
    ALERT_DISMISSED = ("ALERT_DISMISSED", "A person ended it.", "None.")
    ALERT_LANE_RESTARTED = ("ALERT_LANE_RESTARTED", "A person let the lane that it had stopped go on.", "None.")
