"""Before anything is sent: prove the account, keep the proof, and explain every order of ours that the venue shows.

Invariant: a runtime that `start_trading` returned for had a key with the right to trade, and at that moment every
order at the venue that carries this ledger's mark belonged to an attempt on record (a ledger restored from an old
backup does not pass).
"""

from __future__ import annotations

from brokers.reasons import Reason
from brokers.types import AccountProof
from ledger.records import record_account
from trading.orders import SweepReport
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly


class StartReason(Reason):
    """Why an account may not trade now."""

    KEY_MAY_NOT_TRADE = (
        "KEY_MAY_NOT_TRADE",
        "The account's key has no right to trade.",
        "Give the key that right at the venue, or name other credentials.",
    )
    KEY_MAY_WITHDRAW = (
        "KEY_MAY_WITHDRAW",
        "The key may withdraw: whoever has it can empty the account.",
        "Make a key without that right at the venue and put it into the credentials.",
    )
    ORDERS_UNEXPLAINED = (
        "ORDERS_UNEXPLAINED",
        "The venue shows orders with our mark that the ledger does not explain; the pool is halted.",
        "Run resume-orders, read its report, reconcile, and lift the halt when every order is explained.",
    )
    ORDERS_UNREAD = (
        "ORDERS_UNREAD",
        "The venue's orders could not be compared with the ledger, so nothing may be sent yet.",
        "Run it again when the venue answers.",
    )
    NOT_RECONCILED_YET = (
        "NOT_RECONCILED_YET",
        "The account has no reconciliation of late in this ledger, and the one before the first order did not succeed.",
        "Read its reason, then reconcile the account or run it again; no order of this job was sent.",
    )


class NotReadyToTrade(Exception):
    """The job sent nothing of its own. `reason` says why."""

    def __init__(self, reason: StartReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def prove_account(runtime: Runtime, *, step: Step = call_directly) -> AccountProof:
    """Connect and keep the proof; a key of another account of the venue than before is ConflictingEvidence."""
    proof = step(f"prove {runtime.account_id}", StepKind.READ, runtime.broker.connect)
    with runtime.ledger.write() as session:
        record_account(session, runtime.account_id, at=runtime.ledger.now(session), proof=proof)
    return proof


def start_trading(runtime: Runtime, proof: AccountProof, *, step: Step = call_directly) -> SweepReport:
    """Check the key's rights, then compare the venue's orders with the ledger. Raises NotReadyToTrade.

    The sweep that compares also finishes what was already wanted: it may send an order of an earlier run that never
    left and is still valid.
    """
    require_rights(proof)
    swept = step("explain every order of ours at the venue", StepKind.ADVANCE, runtime.desk.sweep)
    if swept.sightings:
        named = ", ".join(swept.sightings.all[:5])
        raise NotReadyToTrade(StartReason.ORDERS_UNEXPLAINED, f"orders of ours that should not be there: {named}")
    if swept.unread:
        raise NotReadyToTrade(StartReason.ORDERS_UNREAD, f"the venue's orders could not be read: {swept.unread}")
    return swept


def require_rights(proof: AccountProof) -> None:
    """Refuse a key that may not trade, and one that may withdraw."""
    if not proof.can_trade:
        raise NotReadyToTrade(StartReason.KEY_MAY_NOT_TRADE, f"the key of {proof.account_id} may not trade")
    refuse_withdrawal(proof)


def refuse_withdrawal(proof: AccountProof) -> None:
    """Refuse a key that may withdraw, in every environment: a habit from testnet would reach production."""
    if proof.can_withdraw:
        raise NotReadyToTrade(StartReason.KEY_MAY_WITHDRAW, f"the key of {proof.account_id} may withdraw")
