"""Every kind of break: what it means, how grave it is, and what the operator does about it."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """How soon a person should look."""

    NOTICE = "notice"  # heals by itself once the missing evidence is imported
    WARNING = "warning"  # the books are right, something is not as it should be
    CRITICAL = "critical"  # money or exposure is not what the ledger says


class Lock(StrEnum):
    """What a break keeps from being sent once it is sure, until two runs do not see it any more."""

    NONE = "none"
    INSTRUMENT = "instrument"  # orders that may add to the position
    POSITION = "position"  # reductions too: how much there is to reduce is just what is not known
    ACCOUNT = "account"  # orders that may add to any position: money is not what the books say

    @property
    def lets_reductions_out(self) -> bool:
        return self is not Lock.POSITION


class BreakKind(StrEnum):
    """Codes are stable: reports, tests, docs/reconciliation.md and docs/reasons.md name them."""

    meaning: str
    severity: Severity
    remedy: str

    def __new__(cls, code: str, severity: Severity, meaning: str, remedy: str) -> BreakKind:
        member = str.__new__(cls, code)
        member._value_ = code
        member.severity = severity
        member.meaning = meaning
        member.remedy = remedy
        return member

    @property
    def may_be_timing(self) -> bool:
        """Whether two readings of one moment may differ so; only a second run makes such a break sure."""
        return self in _MAY_BE_TIMING

    @property
    def lock(self) -> Lock:
        """What it locks. A critical kind that is of no instrument, or that nobody has thought of here, locks all."""
        if self.severity is not Severity.CRITICAL:
            return Lock.NONE
        if self in _OF_POSITION:
            return Lock.POSITION
        return Lock.INSTRUMENT if self in _OF_ORDER else Lock.ACCOUNT

    ORDER_MISSING_AT_VENUE = (
        "ORDER_MISSING_AT_VENUE",
        Severity.CRITICAL,
        "The ledger has an open order that the venue shows neither among open orders nor in its history.",
        "Run resume_orders; if it stays, look the order up on the venue's screen by its client order id.",
    )
    ORDER_UNKNOWN_TO_LEDGER = (
        "ORDER_UNKNOWN_TO_LEDGER",
        Severity.WARNING,
        "The venue shows an order from before the last sync that the ledger never saw.",
        "It is imported now. If nobody placed it by hand, change the API keys and look at the account's activity.",
    )
    ORDER_STATUS_DIFFERS = (
        "ORDER_STATUS_DIFFERS",
        Severity.WARNING,
        "An order has another status at the venue than in the ledger.",
        "Run resume_orders; the order's next look-up settles it.",
    )
    ORDER_FILLED_QUANTITY_DIFFERS = (
        "ORDER_FILLED_QUANTITY_DIFFERS",
        Severity.CRITICAL,
        "An order's filled quantity differs between venue and ledger.",
        "Run resume_orders, then reconcile again; compare the order's fills if it stays.",
    )
    ORDER_TERMS_DIFFER = (
        "ORDER_TERMS_DIFFER",
        Severity.CRITICAL,
        "Instrument, side, type, quantity, price or client order id of an order differ.",
        "Find out who amended the order; cancel it if nobody of yours did.",
    )
    ORDER_FILLS_DIFFER = (
        "ORDER_FILLS_DIFFER",
        Severity.CRITICAL,
        "An order's filled quantity is not the sum of its fills on either side.",
        "Compare the venue's execution list of the order with the ledger's fills.",
    )
    ORDER_OUTCOME_UNKNOWN = (
        "ORDER_OUTCOME_UNKNOWN",
        Severity.CRITICAL,
        "An order was sent and its outcome is still not known.",
        "Run resume_orders; if it needs a person, look it up at the venue and record the decision.",
    )
    ORDER_ADOPTED_LATE = (
        "ORDER_ADOPTED_LATE",
        Severity.CRITICAL,
        "An order was seen at the venue after it had been called not placed.",
        "The pool is halted: find out why the proof failed before lifting the halt.",
    )
    FILL_MISSING_IN_LEDGER = (
        "FILL_MISSING_IN_LEDGER",
        Severity.CRITICAL,
        "The venue shows a fill from before the last sync that the ledger does not have.",
        "It is imported now and the break clears with the next run; find out why the sync missed it.",
    )
    FILL_MISSING_AT_VENUE = (
        "FILL_MISSING_AT_VENUE",
        Severity.CRITICAL,
        "The ledger has a fill that the venue does not show.",
        "Ask the venue whether it was busted; the ledger's row is evidence and stays.",
    )
    FILL_DIFFERS = (
        "FILL_DIFFERS",
        Severity.CRITICAL,
        "A fill has another instrument, side, quantity, price, order or time at the venue.",
        "Ask the venue whether it was corrected, and record the decision.",
    )
    FEE_DIFFERS = (
        "FEE_DIFFERS",
        Severity.WARNING,
        "A fill has another fee or fee currency at the venue.",
        "Ask the venue whether the fee was corrected, and record the decision.",
    )
    FILL_DUPLICATED = (
        "FILL_DUPLICATED",
        Severity.CRITICAL,
        "One side lists the same trade id more than once.",
        "Report it to the venue if it is theirs; figures count it once.",
    )
    CASH_EVENT_MISSING_IN_LEDGER = (
        "CASH_EVENT_MISSING_IN_LEDGER",
        Severity.CRITICAL,
        "The venue shows a wallet change from before the last sync that the ledger does not have.",
        "It is imported now and the break clears with the next run; find out why the sync missed it.",
    )
    CASH_EVENT_MISSING_AT_VENUE = (
        "CASH_EVENT_MISSING_AT_VENUE",
        Severity.CRITICAL,
        "The ledger has a wallet change that the venue does not show.",
        "Ask the venue; the ledger's row is evidence and stays.",
    )
    CASH_EVENT_DIFFERS = (
        "CASH_EVENT_DIFFERS",
        Severity.CRITICAL,
        "A wallet change has another amount, currency, kind or time at the venue.",
        "Ask the venue whether it was corrected, and record the decision.",
    )
    CASH_EVENT_DUPLICATED = (
        "CASH_EVENT_DUPLICATED",
        Severity.CRITICAL,
        "One side lists the same wallet change more than once.",
        "Report it to the venue if it is theirs; figures count it once.",
    )
    CASH_EVENT_UNMAPPED = (
        "CASH_EVENT_UNMAPPED",
        Severity.WARNING,
        "The venue sent a kind of wallet change that we do not know; it is counted, and never ignored.",
        "Report the venue's kind so that it gets a name, and record the decision.",
    )
    POSITION_DIFFERS = (
        "POSITION_DIFFERS",
        Severity.CRITICAL,
        "The venue's position is not the opening position plus the fills.",
        "Stop trading the instrument; look for fills or transfers outside this ledger.",
    )
    POSITION_VANISHED = (
        "POSITION_VANISHED",
        Severity.CRITICAL,
        "The ledger has a position where the venue has none.",
        "Look for a liquidation or a delivery; do not reopen before it is found.",
    )
    POSITION_UNKNOWN = (
        "POSITION_UNKNOWN",
        Severity.CRITICAL,
        "The venue has a position where the ledger has none.",
        "Find out who opened it; close it if nobody of yours did.",
    )
    LEVERAGE_DIFFERS = (
        "LEVERAGE_DIFFERS",
        Severity.WARNING,
        "An instrument's leverage is not the one that was set last.",
        "Run set_leverage, or correct the expected value.",
    )
    BALANCE_UNEXPLAINED = (
        "BALANCE_UNEXPLAINED",
        Severity.CRITICAL,
        "The venue's balance is not the opening balance plus the wallet changes of its own feed.",
        "Read the venue's transaction log for the currency; never book a correction without a cause.",
    )
    BALANCE_DIFFERS = (
        "BALANCE_DIFFERS",
        Severity.CRITICAL,
        "The venue tells no wallet changes, or those of trades alone, and its balance is not the one that is expected.",
        "Look for a deposit, a transfer or a dividend in the venue's statement, and correct the break with its cause.",
    )
    BALANCE_VANISHED = (
        "BALANCE_VANISHED",
        Severity.CRITICAL,
        "The ledger has a balance in a currency that the venue no longer lists.",
        "Look for a withdrawal or conversion in the venue's transaction log.",
    )
    BALANCE_UNKNOWN = (
        "BALANCE_UNKNOWN",
        Severity.WARNING,
        "The venue has a balance in a currency that the ledger never saw.",
        "Look for a deposit or a gift in the venue's transaction log.",
    )
    CASH_FEED_INCOMPLETE = (
        "CASH_FEED_INCOMPLETE",
        Severity.CRITICAL,
        "The feed's running balance does not go on from one wallet change to the next: something between is missing.",
        "The next run reads the feed from there again; if it stays, export the venue's transaction log for that time.",
    )
    BALANCE_EQUATION_INCOMPLETE = (
        "BALANCE_EQUATION_INCOMPLETE",
        Severity.WARNING,
        "The equation of a currency holds wallet changes of a kind that we do not know, so that it is not complete.",
        "Report the venue's kinds so that they get a name, and record the decision.",
    )
    ORDER_EXTERNAL = (
        "ORDER_EXTERNAL",
        Severity.WARNING,
        "An order at the venue was not placed by this installation, and nobody has claimed it.",
        "Claim it with whose it is (`algotrendy breaks claim`). If nobody placed it, change the API keys.",
    )
    FILL_EXTERNAL = (
        "FILL_EXTERNAL",
        Severity.WARNING,
        "A fill belongs to no order that is known, such as a liquidation, and nobody has claimed it.",
        "Look for a liquidation or a delivery at the venue, then claim it with whose it is.",
    )
    FILL_INFERRED = (
        "FILL_INFERRED",
        Severity.WARNING,
        "An order has filled more than the venue's feed of fills shows; the position counts what that leaves.",
        "None while the feed is late: the real fill takes its place. If it stays, ask the venue for the execution.",
    )


_MAY_BE_TIMING = frozenset(
    {
        BreakKind.ORDER_MISSING_AT_VENUE,
        BreakKind.ORDER_STATUS_DIFFERS,
        BreakKind.ORDER_FILLED_QUANTITY_DIFFERS,
        BreakKind.ORDER_FILLS_DIFFER,
        BreakKind.ORDER_OUTCOME_UNKNOWN,
        BreakKind.POSITION_DIFFERS,
        BreakKind.POSITION_VANISHED,
        BreakKind.POSITION_UNKNOWN,
        BreakKind.BALANCE_UNEXPLAINED,
        BreakKind.BALANCE_DIFFERS,
        BreakKind.BALANCE_VANISHED,
        BreakKind.BALANCE_UNKNOWN,
        BreakKind.CASH_FEED_INCOMPLETE,
        BreakKind.FILL_INFERRED,
    }
)
_OF_POSITION = frozenset(
    {
        BreakKind.ORDER_FILLED_QUANTITY_DIFFERS,
        BreakKind.ORDER_FILLS_DIFFER,
        BreakKind.FILL_MISSING_IN_LEDGER,
        BreakKind.FILL_MISSING_AT_VENUE,
        BreakKind.FILL_DIFFERS,
        BreakKind.POSITION_DIFFERS,
        BreakKind.POSITION_VANISHED,
        BreakKind.POSITION_UNKNOWN,
    }
)
_OF_ORDER = frozenset(
    {
        BreakKind.ORDER_MISSING_AT_VENUE,
        BreakKind.ORDER_TERMS_DIFFER,
        BreakKind.ORDER_OUTCOME_UNKNOWN,
        BreakKind.ORDER_ADOPTED_LATE,
        BreakKind.FILL_DUPLICATED,
    }
)
