"""How an alert's work ended or why it waits, beyond what reading, deciding and risk say: stable codes."""

from __future__ import annotations

from brokers.reasons import Reason


class AlertEnd(Reason):
    """Codes are stable: events, reports, tests and docs/reasons.md name them."""

    ALERT_ORDERS_PLACED = ("ALERT_ORDERS_PLACED", "Its orders are acknowledged by the venue, or over.", "None.")
    ALERT_PARTLY_DONE = (
        "ALERT_PARTLY_DONE",
        "Its first order is done; a later one was not sent or not taken, for the reason in the detail.",
        "Read the detail, and open the position by hand if it is still wanted.",
    )
    ALERT_ORDERS_CANCELLED = ("ALERT_ORDERS_CANCELLED", "The orders that it cancels are over.", "None.")
    ALERT_ORDER_SUBMITTED = ("ALERT_ORDER_SUBMITTED", "A further order of it came onto the record.", "None.")
    ALERT_REVIEW_ASKED = ("ALERT_REVIEW_ASKED", "Its reviewer was asked, once.", "None.")
    ALERT_REVIEW_KEPT = ("ALERT_REVIEW_KEPT", "What the reviewer said is on record; nothing was sent before.", "None.")
    ALERT_ORDER_WAITS = (
        "ALERT_ORDER_WAITS",
        "Its order is on record and did not leave yet, for the reason in the detail; it waits until its time is over.",
        "Lift what stops it (a control state, a missing arming), or let it expire.",
    )
    ALERT_OUTCOME_OPEN = (
        "ALERT_OUTCOME_OPEN",
        "The venue's answer to its order is missing; its lane waits until look-ups have settled it.",
        "None: it ends by itself, or asks a person.",
    )
    ALERT_ACCOUNT_UNSETTLED = (
        "ALERT_ACCOUNT_UNSETTLED",
        "Another order of ours in this instrument is on its way, so the position cannot be told yet.",
        "None: it is looked at again.",
    )
    ALERT_VENUE_UNREAD = (
        "ALERT_VENUE_UNREAD",
        "The account could not be read, so nothing is decided. It is tried again until its time is over.",
        "Look at the venue's status and at the connection if it lasts.",
    )
    ALERT_CANCEL_WAITS = (
        "ALERT_CANCEL_WAITS",
        "The orders that have to be over first are not over yet.",
        "None: it is looked at again.",
    )
    ALERT_LET_GO = ("ALERT_LET_GO", "The drain was stopped; the next one goes on with it.", "None.")
    ALERT_ATTEMPT_FAILED = (
        "ALERT_ATTEMPT_FAILED",
        "Working on it raised an error that nobody foresaw; after five such attempts it is dead.",
        "Report the error that the detail names; replay the alert when it is repaired.",
    )
    ALERT_ROUTE_CHANGED = (
        "ALERT_ROUTE_CHANGED",
        "Its route leads to another account or instrument than when it was read.",
        "Send it again if it is still wanted: it goes by the new route.",
    )
    ALERT_OUT_OF_TIME = (
        "ALERT_OUT_OF_TIME",
        "Its time to live was over before its order was placed: nothing was sent, or it is proved not to be there.",
        "None: it is not traded. If it recurs, look at what the detail names, or raise the route's ttl.",
    )
    ALERT_EXTENDED_UNSUPPORTED = (
        "ALERT_EXTENDED_UNSUPPORTED",
        "It asks for an order outside regular hours, which this venue does not take.",
        "Leave extended_hours out, and set when_closed to refuse or wait for the route.",
    )
