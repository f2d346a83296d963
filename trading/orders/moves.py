"""Which state may follow which, and who may move it: a table, checked by every move that the ledger records."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from ledger.states import IntentState

S = IntentState


class Who(StrEnum):
    """The roles that move intents."""

    INTAKE = "intake"  # risk check and reservation
    WORKER = "worker"  # the holder of the claim
    SWEEPER = "sweeper"  # anyone, once a lease is over
    RESOLVER = "resolver"  # the holder of the lease on an unknown outcome, with evidence
    TRACKER = "tracker"  # reads the venue's order
    OPERATOR = "operator"  # takes an order back
    PERSON = "person"  # decides what no machine can prove


class IllegalMove(AssertionError):
    """A move that the table does not allow: a bug, never a condition of the world."""


def _role(*who: Who) -> frozenset[Who]:
    return frozenset(who)


_ANSWER = _role(Who.WORKER, Who.RESOLVER)
_TRACE = _role(Who.TRACKER, Who.RESOLVER)

MOVES: Mapping[tuple[IntentState, IntentState], frozenset[Who]] = {
    (S.RECEIVED, S.READY): _role(Who.INTAKE),
    (S.RECEIVED, S.DENIED): _role(Who.INTAKE),
    (S.RECEIVED, S.WITHDRAWN): _role(Who.OPERATOR),
    (S.RECEIVED, S.EXPIRED): _role(Who.INTAKE),
    (S.READY, S.CLAIMED): _role(Who.WORKER),
    (S.READY, S.EXPIRED): _role(Who.SWEEPER),
    (S.READY, S.WITHDRAWN): _role(Who.OPERATOR),
    (S.CLAIMED, S.SENDING): _role(Who.WORKER),
    (S.CLAIMED, S.READY): _role(Who.WORKER, Who.SWEEPER),
    (S.CLAIMED, S.DENIED): _role(Who.WORKER),
    (S.CLAIMED, S.EXPIRED): _role(Who.WORKER),
    (S.CLAIMED, S.WITHDRAWN): _role(Who.WORKER),
    (S.SENDING, S.ACKED): _ANSWER,
    (S.SENDING, S.REFUSED): _ANSWER,
    (S.SENDING, S.UNKNOWN): _role(Who.WORKER, Who.SWEEPER),
    (S.SENDING, S.NOT_PLACED): _ANSWER,  # refused before execution, for now
    (S.SENDING, S.READY): _ANSWER,  # no byte left
    (S.SENDING, S.DENIED): _ANSWER,  # no byte left, and never will
    (S.UNKNOWN, S.ACKED): _role(Who.RESOLVER),
    (S.UNKNOWN, S.SENDING): _role(Who.RESOLVER),  # the same id again, where ids are permanent
    (S.UNKNOWN, S.NOT_PLACED): _role(Who.RESOLVER),
    (S.UNKNOWN, S.REFUSED): _role(Who.RESOLVER),
    (S.UNKNOWN, S.READY): _role(Who.RESOLVER),  # every send turned out not to have left
    (S.UNKNOWN, S.DENIED): _role(Who.RESOLVER),
    (S.UNKNOWN, S.NEEDS_HUMAN): _role(Who.RESOLVER),
    (S.NOT_PLACED, S.READY): _role(Who.RESOLVER),
    (S.NOT_PLACED, S.EXPIRED): _role(Who.RESOLVER),
    (S.ACKED, S.WORKING): _role(Who.TRACKER),
    (S.ACKED, S.PARTIALLY_FILLED): _role(Who.TRACKER),
    (S.ACKED, S.REFUSED): _role(Who.TRACKER),  # the engine rejected after the acknowledgement
    (S.WORKING, S.PARTIALLY_FILLED): _role(Who.TRACKER),
    (S.WORKING, S.REFUSED): _role(Who.TRACKER),
    (S.NEEDS_HUMAN, S.ACKED): _role(Who.RESOLVER, Who.PERSON),
    (S.NEEDS_HUMAN, S.EXPIRED): _role(Who.PERSON),
    (S.NEEDS_HUMAN, S.FILLED): _role(Who.PERSON),
    (S.NEEDS_HUMAN, S.CANCELLED): _role(Who.PERSON),
    **{
        (live, done): _role(Who.TRACKER)
        for live in (S.ACKED, S.WORKING, S.PARTIALLY_FILLED, S.ADOPTED_LATE)
        for done in (S.FILLED, S.CANCELLED, S.VENUE_EXPIRED, S.NEEDS_HUMAN)
    },
    **{
        (unplaced, S.ADOPTED_LATE): _TRACE
        for unplaced in (S.NOT_PLACED, S.EXPIRED, S.REFUSED, S.DENIED, S.WITHDRAWN, S.READY, S.CLAIMED)
    },
}

NOT_PLACED_STATES = frozenset({S.NOT_PLACED, S.EXPIRED, S.REFUSED, S.DENIED, S.WITHDRAWN, S.READY, S.CLAIMED})


def require_legal(from_state: IntentState, to_state: IntentState, who: Who) -> None:
    """Raise IllegalMove unless the table allows the move to this role."""
    allowed = MOVES.get((from_state, to_state))
    if allowed is None:
        raise IllegalMove(f"no move leads from {from_state} to {to_state}")
    if who not in allowed:
        roles = ", ".join(sorted(allowed))
        raise IllegalMove(f"{from_state} to {to_state} may be moved by {roles}, was {who}")
