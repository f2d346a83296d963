"""The oracle: the venue's own truth and the transport's count against the ledger, once nothing moves any more.

The ledger's invariants are judged by `ledger.invariants`, as production would; here are those that need to know what
really is at the venue and what really left.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

from sqlmodel import Session

from brokers.types import OrderSide, OrderStatus
from ledger.evidence import Evidence, read_evidence
from ledger.invariants import (
    NOT_PLACED_FOR_GOOD,
    Finding,
    Invariant,
    Rules,
    check_evidence,
)
from ledger.states import ControlState, IntentState
from ledger.tables import OrderIntent
from tests.proof.venue import HistoryVenue
from tests.trading.orders.modelled import INSTRUMENT, Truth, quote
from trading.orders.exposure import reserved_notional
from trading.orders.intents import request_of
from trading.orders.protocol import needs_own_lane

S = IntentState
Check = Callable[[HistoryVenue, Evidence], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the oracle found. `doubled` counts second orders that only the wire made; they must not go unnoticed."""

    findings: tuple[Finding, ...]
    doubled: int
    is_noticed: bool


def judge(session: Session, venue: HistoryVenue, *, pool: str = "") -> Verdict:
    """All invariants for one account of one venue."""
    evidence = read_evidence(session, venue.account_id)
    account_id = str(venue.account_id)
    lanes = [account_id] if needs_own_lane(venue.order_identity) else []
    rules = Rules(lanes=lanes, pools={account_id: pool} if pool else {})
    findings = _beside_the_wire(check_evidence(evidence, rules), venue, evidence)
    truth = [Finding(invariant, text) for invariant, check in CHECKS.items() for text in check(venue, evidence)]
    return Verdict((*findings, *truth), len(venue.doubled), _is_noticed(venue, evidence))


def _beside_the_wire(findings: tuple[Finding, ...], venue: HistoryVenue, evidence: Evidence) -> Iterator[Finding]:
    """Without what the ledger says of a second order that only the wire made: that is how it is noticed."""
    owner = {row.client_order_id: intent_id for intent_id, rows in evidence.attempts.items() for row in rows}
    doubled = {owner.get(venue.origins[venue_order_id], "") for venue_order_id in venue.doubled} - {""}
    for finding in findings:
        is_of_wire = finding.invariant in _SHOWN_BY_A_SECOND and any(named in finding.detail for named in doubled)
        if not is_of_wire:
            yield finding


_SHOWN_BY_A_SECOND = (Invariant.ONE_ORDER, Invariant.FILLS_EQUAL, Invariant.NOT_OVERFILLED)


# -- what is really there ---------------------------------------------------------------------------------------
def lived(order: Truth) -> bool:
    return order.status is not OrderStatus.REJECTED or order.filled > 0


def own_orders(venue: HistoryVenue, evidence: Evidence) -> dict[str, list[Truth]]:
    """The orders that really exist, by the intent that asked for them; those that only the wire made are left out."""
    owner = {row.client_order_id: intent_id for intent_id, rows in evidence.attempts.items() for row in rows}
    found: dict[str, list[Truth]] = {}
    for order in venue.orders:
        if lived(order) and order.venue_order_id not in venue.doubled:
            found.setdefault(owner.get(venue.origins[order.venue_order_id], ""), []).append(order)
    return found


def _one_order(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    orders = own_orders(venue, evidence)
    for order in orders.pop("", ()):
        yield f"order {order.venue_order_id} at the venue belongs to no attempt on record"
    for intent_id, found in orders.items():
        if len(found) > 1:
            yield f"intent {intent_id} has {len(found)} orders at the venue: {[o.venue_order_id for o in found]}"


def _durable_first(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    hashes = {row.client_order_id: row.payload_sha256 for rows in evidence.attempts.values() for row in rows}
    sends = {send.send_id for rows in evidence.sends.values() for send in rows}
    for arrival in venue.arrivals:
        if not arrival.was_committed:
            yield f"{arrival.send_id} left at {arrival.at} before it was committed"
        if arrival.send_id not in sends:
            yield f"{arrival.send_id} left, the ledger has no such send"
        if hashes.get(arrival.client_order_id) != arrival.sha256:
            yield f"{arrival.send_id} left with other bytes than those that were frozen"


def _not_placed(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    for intent_id, orders in own_orders(venue, evidence).items():
        intent = evidence.intents.get(intent_id)
        if intent is not None and S(intent.state) in NOT_PLACED_FOR_GOOD:
            ids = ", ".join(order.venue_order_id for order in orders)
            yield f"intent {intent_id} is {intent.state} ({intent.state_reason}), at the venue lives {ids}"


def _acked(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    orders = own_orders(venue, evidence)
    made = {order.venue_order_id: order for order in venue.orders}
    for intent in evidence.intents.values():
        is_placed = S(intent.state) not in (*NOT_PLACED_FOR_GOOD, S.NEEDS_HUMAN) and intent.venue_order_id is not None
        if not is_placed:
            continue
        mine = orders.get(intent.intent_id, [])
        if intent.venue_order_id not in made:
            yield f"intent {intent.intent_id} is {intent.state} as {intent.venue_order_id}, which is not at the venue"
        for order in mine:
            difference = _terms(intent, order)
            if difference:
                yield f"intent {intent.intent_id} is {intent.state}, but of its order at the venue {difference}"
        if made.get(intent.venue_order_id or "") not in mine and intent.venue_order_id not in venue.doubled:
            yield f"intent {intent.intent_id} is {intent.state} as {intent.venue_order_id}, which another asked for"


def _terms(intent: OrderIntent, order: Truth) -> str:
    wanted, found = request_of(intent), order.request
    return "" if wanted == found else f"the terms are {found}, wanted was {wanted}"


def _fills_equal(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    orders = own_orders(venue, evidence)
    for intent in evidence.intents.values():
        truth = {
            str(fill.trade_id): (fill.quantity, fill.price)
            for order in orders.get(intent.intent_id, ())
            for fill in order.fills
        }
        known = {fill.trade_id: (fill.quantity, fill.price) for fill in evidence.fills.get(intent.intent_id, ())}
        doubled = {trade for trade in known if trade.rpartition("-t")[0] in venue.doubled}
        known = {trade: content for trade, content in known.items() if trade not in doubled}
        if S(intent.state) is S.NEEDS_HUMAN or doubled:
            if not known.items() <= truth.items():
                yield f"intent {intent.intent_id} records fills that the venue does not have: {known} of {truth}"
        elif known != truth:
            yield f"intent {intent.intent_id} is {intent.state}, its fills are {known}, at the venue {truth}"


def _balanced(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    """What the venue's account moved, as its engine posted it, against what fills and fees on record move.

    The sums are over the whole account, so they see what no comparison of one intent's fills can: a fill that is on
    record under an order that is not there, or counted for two. Left out are the orders of intents that a person has to
    judge and of those of which the wire made a second order: of two, the ledger may know either.
    """
    owner = {row.client_order_id: intent_id for intent_id, rows in evidence.attempts.items() for row in rows}
    asked = {identity for identity, row in evidence.intents.items() if row.state == S.NEEDS_HUMAN.value}
    asked |= {owner.get(venue.origins[order], "") for order in venue.doubled}
    left_out = {order for order, origin in venue.origins.items() if owner.get(origin) in asked} | {*venue.doubled}
    rest: dict[str, Decimal] = defaultdict(Decimal)
    for posted in venue.postings:
        if posted.venue_order_id not in left_out:
            rest[posted.what] += posted.amount
    for fills in evidence.fills.values():
        for fill in fills:
            if fill.venue_order_id not in left_out:
                signed = fill.quantity if fill.side == OrderSide.BUY.value else -fill.quantity
                rest[fill.instrument_id] -= signed
                rest["USDT"] += signed * fill.price
                rest[fill.fee_currency] += fill.fee
    for what, amount in sorted(rest.items()):
        if amount:
            yield f"the venue's account moved {amount} {what} more than fills and fees on record"


def _not_overfilled(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    for intent_id, orders in own_orders(venue, evidence).items():
        intent = evidence.intents.get(intent_id)
        filled = sum((order.filled for order in orders), Decimal(0))
        if intent is not None and filled > intent.quantity:
            yield f"intent {intent_id} wanted {intent.quantity}, at the venue {filled} is filled"


def _reserved(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    """The reservation is what the order may add to the exposure, or nothing where it only reduces."""
    for intent in evidence.intents.values():
        state = S(intent.state)
        if state.is_terminal or state in (S.RECEIVED, S.ADOPTED_LATE):
            continue  # adopted: the figures of the intake are gone, the ledger's own check judges
        open_risk = reserved_notional(request_of(intent), INSTRUMENT, quote(venue), None)
        if intent.reserved_notional not in (open_risk, Decimal(0)):
            yield f"intent {intent.intent_id} is {state} and reserves {intent.reserved_notional}, open is {open_risk}"


def _sends_counted(venue: HistoryVenue, evidence: Evidence) -> Iterator[str]:
    left = Counter(arrival.send_id for arrival in venue.arrivals)
    for send_id, count in left.items():
        if count > 1:
            yield f"{send_id} left {count} times"
    committed = sum(len(sends) for sends in evidence.sends.values())
    if sum(left.values()) > committed:
        yield f"{sum(left.values())} requests left, {committed} were committed"


CHECKS: Mapping[Invariant, Check] = MappingProxyType(
    {
        Invariant.ONE_ORDER: _one_order,
        Invariant.DURABLE_FIRST: _durable_first,
        Invariant.NOT_PLACED_MEANS_NONE: _not_placed,
        Invariant.ACKED_MEANS_ONE: _acked,
        Invariant.FILLS_EQUAL: _fills_equal,
        Invariant.NOT_OVERFILLED: _not_overfilled,
        Invariant.BALANCED: _balanced,
        Invariant.RESERVED: _reserved,
        Invariant.SENDS_BOUNDED: _sends_counted,
    }
)


# -- a second order that no client can prevent ------------------------------------------------------------------
def _is_noticed(venue: HistoryVenue, evidence: Evidence) -> bool:
    """Whether a second order made by the wire stopped the account or stands with a person."""
    scope = str(venue.account_id)
    is_halted = any(row.scope == scope and row.state == ControlState.HALT.value for row in evidence.controls)
    return is_halted or any(intent.state == S.NEEDS_HUMAN.value for intent in evidence.intents.values())
