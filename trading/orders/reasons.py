"""Why an intent stands where it stands: stable codes of the order desk, each with its meaning and its remedy.

A state may also carry a code of `trading.risk` (why it was denied) or of `brokers.errors` (what the venue said).
"""

from __future__ import annotations

from brokers.closed_sets import plain_members
from brokers.reasons import Reason


@plain_members
class OrderReason(Reason):
    """Codes are stable: reports, tests and docs/reasons.md name them."""

    WANTED = ("WANTED", "A job asked for this order.", "None needed.")
    WITHIN_LIMITS = ("WITHIN_LIMITS", "Every risk check passed.", "None needed.")
    CLAIMED_TO_SEND = ("CLAIMED_TO_SEND", "A worker holds the lease and prepares the order.", "None needed.")
    COMMITTED_TO_SEND = ("COMMITTED_TO_SEND", "The attempt is durable; the first byte may leave.", "None needed.")
    ACCEPTED = ("ACCEPTED", "The venue answered that it received the order.", "None needed.")
    EXISTS_AT_VENUE = ("EXISTS_AT_VENUE", "The venue refused our id as a duplicate: the order exists.", "None needed.")
    FOUND_AT_VENUE = ("FOUND_AT_VENUE", "A look-up shows the order at the venue.", "None needed.")
    WORKING_AT_VENUE = ("WORKING_AT_VENUE", "The order rests in the book.", "Cancel it if it is no longer wanted.")
    PARTLY_FILLED = ("PARTLY_FILLED", "Some of the quantity is filled.", "None needed.")
    COMPLETELY_FILLED = ("COMPLETELY_FILLED", "Fills recorded one by one add up to the order.", "None needed.")
    CANCELLED_AT_VENUE = ("CANCELLED_AT_VENUE", "The venue reports the order cancelled.", "None needed.")
    EXPIRED_AT_VENUE = (
        "EXPIRED_AT_VENUE",
        "The venue ended the order by its own rules (IOC or FOK remainder, post-only that would take).",
        "Place a new order if the remainder is still wanted.",
    )
    ENGINE_REJECTED = (
        "ENGINE_REJECTED",
        "The matching engine rejected the order after the acknowledgement.",
        "Read the venue's reject code in the detail.",
    )
    ANSWER_MISSING = (
        "ANSWER_MISSING",
        "No usable answer came back: the venue may or may not have acted.",
        "None: the resolver looks for proof.",
    )
    LEASE_OVER = (
        "LEASE_OVER",
        "The worker that held this intent stopped or hung past its lease.",
        "None: another worker takes over.",
    )
    ABSENCE_PROVED = (
        "ABSENCE_PROVED",
        "The venue's deadline is past and complete look-ups after the horizon show no trace.",
        "None: a new attempt follows while time is left.",
    )
    NEW_ATTEMPT = ("NEW_ATTEMPT", "The order is proved not placed and may be sent again.", "None needed.")
    NOTHING_SENT = (
        "NOTHING_SENT",
        "The request failed before its first byte left.",
        "None while time is left; otherwise check the network to the venue.",
    )
    TTL_OVER = (
        "TTL_OVER",
        "The intent's time to live ended before the order was placed.",
        "Ask again if the order is still wanted.",
    )
    ATTEMPTS_OVER = (
        "ATTEMPTS_OVER",
        "Every allowed attempt or send was used without placing the order.",
        "Read the observations, then ask again.",
    )
    WITHDRAWN_UNSENT = ("WITHDRAWN_UNSENT", "Taken back before anything was sent.", "None needed.")
    CONTROL_STOPS = (
        "CONTROL_STOPS",
        "The pool or account is paused, reduce-only, halted or killed.",
        "A person lifts the control after reading why it was set.",
    )
    ORDER_RATE_WAITS = (
        "ORDER_RATE_WAITS",
        "The order-rate budget of the account is used up for the moment.",
        "None: it is sent when the window moves on.",
    )
    MESSAGE_RATE_WAITS = (
        "MESSAGE_RATE_WAITS",
        "The message budget of the account (orders and cancels) is used up for the moment.",
        "None: it is sent when the window moves on.",
    )
    STRATEGY_STOPPED = (
        "STRATEGY_STOPPED",
        "The strategy that decided the order is disabled on this account.",
        "A person enables it again after reading why it was disabled.",
    )
    LOCKED_BY_BREAK = (
        "LOCKED_BY_BREAK",
        "Venue and ledger differ in this instrument or in the account's money: orders that may add to a position, and "
        "reductions of a position that is itself in doubt, do not leave.",
        "See `algotrendy breaks list`. Two reconciliations in a row without the break unlock; `breaks override` lifts "
        "it for a time.",
    )
    SENDS_UNACCOUNTED = (
        "SENDS_UNACCOUNTED",
        "More order requests left than the ledger committed or the attempts allow; the pool is halted.",
        "Compare the venue's orders with the ledger, stop the process that the reason names, then lift the halt.",
    )
    DRY_RUN = (
        "DRY_RUN",
        "The pool runs dry: the order passed every check, its payload is on record, and nothing was sent.",
        "Take ALGOTRENDY_DRY_RUN from the pool if its orders are to be sent.",
    )
    LANE_BUSY = (
        "LANE_BUSY",
        "Another order in this instrument has no known outcome and could not be told apart from this one, or it is a "
        "reduction that is not filled yet and this one is another.",
        "Resolve the other intent first, or wait for its fill.",
    )
    CLOCK_UNSAFE = (
        "CLOCK_UNSAFE",
        "The clock differs too much from the venue's, or its error is too large, for a safe deadline.",
        "Repair time synchronisation of this machine.",
    )
    CLOCK_UNREADABLE = (
        "CLOCK_UNREADABLE",
        "The venue's clock could not be read.",
        "Check the connection to the venue.",
    )
    QUOTE_UNREADABLE = (
        "QUOTE_UNREADABLE",
        "No fresh quote could be read for the check before sending.",
        "Check the venue's market data.",
    )
    COMMIT_UNKNOWN = (
        "COMMIT_UNKNOWN",
        "The database did not confirm the commit, so nothing was sent.",
        "Check the database; the sweep continues by itself.",
    )
    PROOF_IMPOSSIBLE = (
        "PROOF_IMPOSSIBLE",
        "The venue enforces no deadline and keeps no permanent ids: absence cannot be proved by a machine.",
        "Look at the venue's own screen and record the decision.",
    )
    LOOKUPS_FAILING = (
        "LOOKUPS_FAILING",
        "Look-ups failed or disagreed for too long to prove anything.",
        "Check the venue's status, then record the decision.",
    )
    ACKED_NOT_VISIBLE = (
        "ACKED_NOT_VISIBLE",
        "The venue acknowledged the order but no look-up shows it after the horizon.",
        "Ask the venue with the client order id, then record the decision.",
    )
    FILLS_MISSING = (
        "FILLS_MISSING",
        "The order reports more filled quantity than its fills add up to.",
        "Run a sync; if it stays, compare the venue's execution list.",
    )
    FILLS_DISAGREE = (
        "FILLS_DISAGREE",
        "The order is over and reports less filled than is on record.",
        "Compare the venue's execution list (was a trade taken back?), then record the decision.",
    )
    TERMS_DIFFER = (
        "TERMS_DIFFER",
        "The order found under our id has other terms than the intent.",
        "A person decides; nothing is sent.",
    )
    FINGERPRINT_AMBIGUOUS = (
        "FINGERPRINT_AMBIGUOUS",
        "Several orders at the venue fit this intent and carry no id of ours.",
        "Identify the order by hand and record the decision.",
    )
    OVERFILLED = (
        "OVERFILLED",
        "The venue reports more filled than the intent asked for.",
        "A person compares the venue's executions with the intent.",
    )
    SEEN_LATE = (
        "SEEN_LATE",
        "An order that was called not placed was seen at the venue; the pool is halted.",
        "Find out why the proof failed before lifting the halt.",
    )
    DUPLICATE_ORDER = (
        "DUPLICATE_ORDER",
        "A second order of the same intent was seen at the venue; the pool is halted.",
        "Close the surplus by hand and find out why.",
    )
    OTHER_ENVIRONMENT_ORDER = (
        "OTHER_ENVIRONMENT_ORDER",
        "An order carries this ledger's mark and the pool bit of another environment; the pool is halted.",
        "A ledger was copied between environments, or a key is used in two: separate them, then lift the halt.",
    )
    UNTRACKED_ORDER = (
        "UNTRACKED_ORDER",
        "An order carries this installation's mark but the ledger knows no attempt for it; the pool is halted.",
        "Was an older ledger restored? Import the order or cancel it, then lift the halt.",
    )
    TERMS_CONFLICT = (
        "TERMS_CONFLICT",
        "The business key was used before for an order with other terms.",
        "Use a new key for a new order.",
    )
    INTENT_UNKNOWN = ("INTENT_UNKNOWN", "The ledger has no intent with this id.", "Check id and ledger.")
    DECIDED_BY_PERSON = ("DECIDED_BY_PERSON", "A person recorded what became of the order.", "None needed.")
