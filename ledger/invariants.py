"""The invariants of placing orders, as checks with names: what must hold in every ledger that has come to rest.

`check_ledger` judges by the ledger alone and serves audits of real ledgers; the proof harness adds the venue's own
truth (tests/proof/oracle.py). Each check yields readable findings; none means that it holds.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from itertools import pairwise
from types import MappingProxyType

from sqlmodel import Session

from brokers.ids import AccountId
from ledger.alert_invariants import alert_findings
from ledger.balance_invariants import balance_findings
from ledger.break_invariants import clearing_findings, lock_findings
from ledger.evidence import Evidence, read_evidence
from ledger.replay import differences
from ledger.states import KILL_SOURCE, ControlState, IntentState
from ledger.tables import Control, OrderIntent, OrderRow, OrderSend

S = IntentState
SENDS_MAX = 8  # of one attempt, where the same id may be sent again
OVERDUE_S_MAX = 1_200.0  # after an intent's time is over: the longest that its outcome may stay open


class Invariant(StrEnum):
    """The value is the number that reports use."""

    sentence: str

    def __new__(cls, number: str, sentence: str) -> Invariant:
        member = str.__new__(cls, number)
        member._value_ = number
        member.sentence = sentence
        return member

    ONE_ORDER = ("I1", "An intent has at most one order at the venue.")
    DURABLE_FIRST = ("I2", "What left the process was committed as SENDING before, with the very bytes.")
    NOT_PLACED_MEANS_NONE = ("I3", "What is called not placed has no order at the venue, now or later.")
    ACKED_MEANS_ONE = ("I4", "What is called placed has an order at the venue with equal terms.")
    ENDS = ("I5", "Every intent ends, or stands with a person, within the bound.")
    FILLS_EQUAL = ("I6", "The fills on record are the venue's, trade by trade.")
    NOT_OVERFILLED = ("I7", "No intent is filled beyond its quantity.")
    EPOCHS_RISE = ("I8", "Every claim raises the epoch; every move starts where the one before ended.")
    RESERVED = ("I9", "An intent reserves its risk while it is open, and releases it once, when it is over.")
    STOPPED_MEANS_NONE = ("I10", "No send is committed while its account or pool is stopped.")
    OWN_LANE = ("I11", "Where orders could not be told apart, one at a time is on its way in an instrument.")
    ALERTS_END = ("I12", "Every acknowledged alert is on record, is worked on in its turn, and ends with a reason.")
    BALANCED = ("I13", "A balance is the sum of what moved it, and what is left over stands in a break.")
    SENDS_BOUNDED = ("I14", "No more requests leave than the intents allow.")
    REPLAYS = ("I15", "Replaying the evidence gives the current state.")
    LOCKED_MEANS_NONE = ("I16", "No send is committed while a break locks it and nobody has overridden the lock.")
    CLEARED_BY_A_RUN = ("I17", "A break that is over was judged by a run, and stands where its steps ended.")


@dataclass(frozen=True, slots=True)
class Finding:
    """One breach: which invariant, of what, and how."""

    invariant: Invariant
    detail: str

    def __str__(self) -> str:
        return f"{self.invariant.value} {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a ledger does not know about itself: which accounts keep lanes and trade in which pool, and what time it is.

    `now` None judges no time; it stands for a ledger in which everything has come to rest.
    """

    lanes: Collection[str] = ()
    pools: Mapping[str, str] = field(default_factory=dict)
    now: datetime | None = None
    overdue_s_max: float = OVERDUE_S_MAX
    sends_max: int = SENDS_MAX


Check = Callable[[Evidence, Rules], Iterator[str]]


def check_ledger(
    session: Session, account_id: AccountId | str | None = None, *, rules: Rules = Rules()
) -> tuple[Finding, ...]:
    """Every finding of every check, for one account or for all."""
    return check_evidence(read_evidence(session, account_id), rules)


def check_record(session: Session, account_id: AccountId | str | None = None) -> tuple[Finding, ...]:
    """What must hold at every committed moment, also while orders are on their way: I8, I14, I15."""
    evidence, rules = read_evidence(session, account_id), Rules()
    always = (Invariant.EPOCHS_RISE, Invariant.SENDS_BOUNDED, Invariant.REPLAYS)
    return tuple(Finding(invariant, detail) for invariant in always for detail in CHECKS[invariant](evidence, rules))


def check_evidence(evidence: Evidence, rules: Rules = Rules()) -> tuple[Finding, ...]:
    return tuple(Finding(invariant, detail) for invariant, check in CHECKS.items() for detail in check(evidence, rules))


# -- I1 to I4: what is at the venue -----------------------------------------------------------------------------
NOT_PLACED_FOR_GOOD = frozenset({S.DENIED, S.REFUSED, S.EXPIRED, S.WITHDRAWN})
_PLACED = frozenset({S.ACKED, S.WORKING, S.PARTIALLY_FILLED, S.FILLED, S.CANCELLED, S.VENUE_EXPIRED, S.ADOPTED_LATE})
_PROVES_EXISTENCE = frozenset({"definite_yes", "exists", "found", "placed", "closed"})


def _one_order(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent_id in evidence.intents:
        lived = [row.venue_order_id for row in evidence.orders.get(intent_id, ()) if has_lived(row)]
        if len(lived) > 1:
            yield f"intent {intent_id} has {len(lived)} venue orders: {', '.join(lived)}"


def has_lived(order: OrderRow) -> bool:
    """Rejected by the engine without a fill, an order exists as a record only."""
    return order.status != "rejected" or order.filled_quantity > 0


def _durable_first(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent_id in evidence.intents:
        sends = evidence.sends.get(intent_id, [])
        begun = Counter(move.epoch for move in evidence.moves.get(intent_id, ()) if move.to_state == S.SENDING.value)
        written = Counter(send.epoch for send in sends)
        if begun != written:
            yield f"intent {intent_id} moved to sending at epochs {sorted(begun)}, its sends have {sorted(written)}"
        known = {send.send_id for send in sends}
        for seen in evidence.observations.get(intent_id, ()):
            if seen.send_id is not None and seen.send_id not in known:
                yield f"observation {seen.observation_id} answers send {seen.send_id}, which is not on record"
        for attempt in evidence.attempts.get(intent_id, ()):
            if hashlib.sha256(attempt.payload.encode()).hexdigest() != attempt.payload_sha256:
                yield f"the payload of {attempt.client_order_id} does not have the hash that was frozen with it"


def _not_placed(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for move in evidence.transitions:
        if move.to_state == S.ADOPTED_LATE.value:  # "or later": what was adopted since was called dead all the same
            yield f"intent {move.intent_id} was called {move.from_state}, and then its order was seen at the venue"
    for intent in evidence.intents.values():
        if S(intent.state) not in NOT_PLACED_FOR_GOOD:
            continue
        for order in evidence.orders.get(intent.intent_id, ()):
            if has_lived(order):
                yield f"intent {intent.intent_id} is {intent.state}, venue order {order.venue_order_id} is on record"
        for fill in evidence.fills.get(intent.intent_id, ()):
            yield f"intent {intent.intent_id} is {intent.state}, its fill {fill.trade_id} is on record"


def _acked(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent in evidence.intents.values():
        if S(intent.state) not in _PLACED:
            continue
        proofs = {seen.outcome for seen in evidence.observations.get(intent.intent_id, ())}
        if not proofs & _PROVES_EXISTENCE:
            yield f"intent {intent.intent_id} is {intent.state}, no observation shows its order"
        for order in evidence.orders.get(intent.intent_id, ()):
            difference = terms_difference(intent, order)
            if difference:
                yield f"intent {intent.intent_id} is {intent.state}, but of its venue order {difference}"


def terms_difference(intent: OrderIntent, order: OrderRow) -> str:
    """How the venue's order differs from what was wanted. Reduce-only orders may be cut to the position."""
    compared = ["instrument_id", "side", "order_type", "limit_price"]
    if None not in (intent.trigger_price, order.trigger_price):  # some venues tell it no more once it has fired
        compared.append("trigger_price")
    for name in compared:
        wanted, found = getattr(intent, name), getattr(order, name)
        if wanted != found:
            return f"{name} must be {wanted}, was {found}"
    is_cut = intent.reduce_only and order.quantity < intent.quantity
    return (
        ""
        if is_cut or order.quantity == intent.quantity
        else f"quantity must be {intent.quantity}, was {order.quantity}"
    )


# -- I5: everything ends ----------------------------------------------------------------------------------------
def _ends(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent in evidence.intents.values():
        state = S(intent.state)
        is_over = state.is_terminal or state is S.NEEDS_HUMAN
        if rules.now is None:
            if not is_over:
                yield f"intent {intent.intent_id} came to rest as {intent.state} ({intent.state_reason})"
        elif not is_over and not state.is_live_at_venue:
            late_s = (rules.now - intent.expires_at).total_seconds()
            if late_s > rules.overdue_s_max:
                yield f"intent {intent.intent_id} is {intent.state}, {late_s:.0f} s after its time was over"


# -- I6, I7: fills ----------------------------------------------------------------------------------------------
def filled_on_record(evidence: Evidence, intent_id: str) -> Decimal:
    return sum((fill.quantity for fill in evidence.fills.get(intent_id, ())), Decimal(0))


def _fills_equal(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent in evidence.intents.values():
        if S(intent.state) not in (S.FILLED, S.CANCELLED, S.VENUE_EXPIRED):
            continue
        recorded = filled_on_record(evidence, intent.intent_id)
        if recorded != intent.filled_quantity:
            yield f"intent {intent.intent_id} says {intent.filled_quantity} filled, its fills add up to {recorded}"
        if _decided_by_person(evidence, intent.intent_id):
            continue  # a person closed it with what was on record
        reported = sum((row.filled_quantity for row in evidence.orders.get(intent.intent_id, ())), Decimal(0))
        if evidence.orders.get(intent.intent_id) and reported != recorded:
            yield f"the venue reports {reported} filled of intent {intent.intent_id}, its fills add up to {recorded}"


def _decided_by_person(evidence: Evidence, intent_id: str) -> bool:
    moves = evidence.moves.get(intent_id, [])
    return bool(moves) and moves[-1].who.startswith("person:")


def _not_overfilled(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent in evidence.intents.values():
        filled = max(filled_on_record(evidence, intent.intent_id), intent.filled_quantity)
        # What goes beyond the quantity stands with a person: it is known, and no longer a breach of the record.
        if filled > intent.quantity and intent.state != S.NEEDS_HUMAN.value:
            yield f"intent {intent.intent_id} wanted {intent.quantity}, {filled} is filled, and it is {intent.state}"


# -- I8, I9: epochs and reservations ----------------------------------------------------------------------------
def _epochs(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent_id, moves in evidence.moves.items():
        if intent_id not in evidence.intents:
            yield f"transitions of {intent_id} belong to no intent"
            continue
        if moves[0].from_state not in ("", S.RECEIVED.value):
            yield f"intent {intent_id}: the first transition starts at {moves[0].from_state}"
        for before, after in pairwise(moves):
            if after.from_state != before.to_state:
                yield (
                    f"intent {intent_id}: transition {after.transition_id} starts at {after.from_state}, "
                    f"the one before ended at {before.to_state}"
                )
            rise = after.epoch - before.epoch
            if rise < 0 or (after.to_state == S.CLAIMED.value and rise < 1):
                yield f"intent {intent_id}: epoch went from {before.epoch} to {after.epoch} at {after.to_state}"
        epoch = evidence.intents[intent_id].epoch
        if epoch < moves[-1].epoch:
            yield f"intent {intent_id} has epoch {epoch}, its last transition {moves[-1].epoch}"


def _reserved(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent in evidence.intents.values():
        state, reserved = S(intent.state), intent.reserved_notional
        if reserved < 0 or (state.is_terminal and reserved != 0):
            yield f"intent {intent.intent_id} is {intent.state} and still reserves {reserved}"
        if state is S.ADOPTED_LATE and reserved == 0 and not intent.reduce_only:
            yield f"intent {intent.intent_id} lives at the venue as {intent.state} and reserves nothing"
        ends = [move.to_state for move in evidence.moves.get(intent.intent_id, ()) if S(move.to_state).is_terminal]
        adopted = sum(move.to_state == S.ADOPTED_LATE.value for move in evidence.moves.get(intent.intent_id, ()))
        if len(ends) > 1 + adopted:
            yield f"intent {intent.intent_id} was released {len(ends)} times: {', '.join(ends)}"


# -- I10, I11, I14: what may leave ------------------------------------------------------------------------------
_LETS_OUT = frozenset({ControlState.RUN.value})
_LETS_REDUCTIONS_OUT = frozenset({ControlState.RUN.value, ControlState.REDUCE_ONLY.value})


def _stopped(evidence: Evidence, rules: Rules) -> Iterator[str]:
    of_scope: dict[str, list[Control]] = defaultdict(list)
    for control in evidence.controls:
        of_scope[control.scope].append(control)
    for intent in evidence.intents.values():
        scopes = {intent.account_id, f"pool:{rules.pools.get(intent.account_id, '')}"}
        allowed = _LETS_REDUCTIONS_OUT if intent.reduce_only else _LETS_OUT
        if intent.reduce_only and intent.source == KILL_SOURCE:
            allowed |= {ControlState.KILL.value}
        for send in evidence.sends.get(intent.intent_id, ()):
            for scope in sorted(scopes):
                in_force = _in_force(of_scope.get(scope, []), send)
                if in_force is not None and in_force.state not in allowed:
                    yield f"send {send.send_id} was committed at {send.committed_at}, {scope} was {in_force.state} then"


def _in_force(controls: list[Control], send: OrderSend) -> Control | None:
    """The control that the sending transaction must have seen; one of the very same moment may be either side of it."""
    for control in reversed(controls):
        if control.set_at < send.committed_at:
            return control
    return None


_ON_ITS_WAY = frozenset({S.CLAIMED.value, S.SENDING.value, S.UNKNOWN.value, S.NEEDS_HUMAN.value})


def _lanes(evidence: Evidence, rules: Rules) -> Iterator[str]:
    state: dict[str, str] = {}
    for move in evidence.transitions:
        intent = evidence.intents.get(move.intent_id)
        if intent is None or intent.account_id not in rules.lanes:
            continue
        state[move.intent_id] = move.to_state
        if move.to_state != S.CLAIMED.value:
            continue
        for other_id, other in state.items():
            neighbour = evidence.intents[other_id]
            same = (neighbour.account_id, neighbour.instrument_id) == (intent.account_id, intent.instrument_id)
            if other_id != move.intent_id and same and other in _ON_ITS_WAY:
                yield f"intent {move.intent_id} was claimed while {other_id} was {other} in {intent.instrument_id}"


def _bounded(evidence: Evidence, rules: Rules) -> Iterator[str]:
    for intent in evidence.intents.values():
        attempts = evidence.attempts.get(intent.intent_id, [])
        if len(attempts) > intent.attempts_max:
            yield f"intent {intent.intent_id} has {len(attempts)} attempts of {intent.attempts_max}"
        numbered: dict[str, list[int]] = {attempt.client_order_id: [] for attempt in attempts}
        for send in evidence.sends.get(intent.intent_id, ()):
            numbered[send.client_order_id].append(send.ordinal)
        for client_order_id, ordinals in numbered.items():
            if len(ordinals) > rules.sends_max:
                yield f"{client_order_id} was sent {len(ordinals)} times of {rules.sends_max}"
            is_whole = ordinals == list(range(ordinals[0], ordinals[0] + len(ordinals))) if ordinals else True
            if not is_whole or ordinals[:1] not in ([], [0], [1]):
                yield f"sends of {client_order_id} are numbered {ordinals}: one was taken back"
    for send in evidence.sends.get("", ()):
        yield f"send {send.send_id} belongs to no attempt on record"


# -- I12: alerts -------------------------------------------------------------------------------------------------
def _alerts_end(evidence: Evidence, rules: Rules) -> Iterator[str]:
    yield from alert_findings(evidence.inbox, now=rules.now, overdue_s_max=rules.overdue_s_max)


# -- I13: balances -----------------------------------------------------------------------------------------------
def _balanced(evidence: Evidence, rules: Rules) -> Iterator[str]:
    yield from balance_findings(evidence.balances, evidence.breaks)


# -- I16, I17: breaks and locks ----------------------------------------------------------------------------------
def _locked(evidence: Evidence, rules: Rules) -> Iterator[str]:
    yield from lock_findings(evidence.breaks, evidence.intents, evidence.sends)


def _cleared(evidence: Evidence, rules: Rules) -> Iterator[str]:
    yield from clearing_findings(evidence.breaks)


# -- I15: the evidence alone gives the state --------------------------------------------------------------------
def _replays(evidence: Evidence, rules: Rules) -> Iterator[str]:
    yield from differences(evidence)


CHECKS: Mapping[Invariant, Check] = MappingProxyType(
    {
        Invariant.ONE_ORDER: _one_order,
        Invariant.DURABLE_FIRST: _durable_first,
        Invariant.NOT_PLACED_MEANS_NONE: _not_placed,
        Invariant.ACKED_MEANS_ONE: _acked,
        Invariant.ENDS: _ends,
        Invariant.FILLS_EQUAL: _fills_equal,
        Invariant.NOT_OVERFILLED: _not_overfilled,
        Invariant.EPOCHS_RISE: _epochs,
        Invariant.RESERVED: _reserved,
        Invariant.STOPPED_MEANS_NONE: _stopped,
        Invariant.OWN_LANE: _lanes,
        Invariant.ALERTS_END: _alerts_end,
        Invariant.BALANCED: _balanced,
        Invariant.SENDS_BOUNDED: _bounded,
        Invariant.REPLAYS: _replays,
        Invariant.LOCKED_MEANS_NONE: _locked,
        Invariant.CLEARED_BY_A_RUN: _cleared,
    }
)
