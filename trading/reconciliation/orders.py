"""Orders of both sides, by the venue's order id, and orders whose outcome is still open."""

from __future__ import annotations

from datetime import datetime

from brokers.ids import VenueOrderId
from brokers.types import ZERO, Order
from trading.reconciliation.facts import FactSums
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import Break, Collector, LedgerView, VenueView, text_of

_TERMS = ("instrument_id", "side", "order_type", "quantity", "limit_price", "trigger_price", "reduce_only")


def compare_orders(ledger: LedgerView, venue: VenueView, out: Collector, sums: FactSums) -> None:
    """Compare every order that either side shows; after the fills, whose sums each order must equal."""
    theirs = {order.venue_order_id: order for order in venue.orders}
    ours = {order.venue_order_id: order for order in ledger.orders}
    out.compared["venue_orders"] += len(theirs)
    out.compared["ledger_orders"] += len(ours)
    broken: set[VenueOrderId] = set()
    for identity in sorted(theirs.keys() | ours.keys()):
        our, their = ours.get(identity), theirs.get(identity)
        if _compare_one(our, their, ledger.orders_known_until, venue.window_start, out):
            broken.add(identity)
    for identity, order in sorted(theirs.items()):
        known = identity in ours and identity not in broken and identity not in sums.touched_orders
        if known and order.created_at > venue.window_start:
            _compare_with_fills(order, sums, out)
        else:
            _leave_open(out, order, BreakKind.ORDER_FILLS_DIFFER)


def _compare_one(
    ours: Order | None, theirs: Order | None, known_until: datetime, window_start: datetime, out: Collector
) -> bool:
    """Whether this order is not to be judged further: broken, pending or news."""
    if theirs is None:
        assert ours is not None
        return _only_in_ledger(ours, out)
    if ours is None:
        return _only_at_venue(theirs, known_until, window_start, out)
    terms = [name for name in _TERMS if getattr(ours, name) != getattr(theirs, name)]
    ids = (ours.client_order_id, theirs.client_order_id)
    if None not in ids and ids[0] != ids[1]:
        terms.append("client_order_id")
    if terms:
        out.breaks.append(_break(BreakKind.ORDER_TERMS_DIFFER, ours, theirs, terms))
        return True
    moved = [name for name in ("filled_quantity", "status") if getattr(ours, name) != getattr(theirs, name)]
    if not moved:
        return False
    if theirs.updated_at >= known_until and theirs.updated_at > ours.updated_at:
        out.news["orders"] += 1
    elif out.is_young(ours.updated_at, theirs.updated_at):
        out.pending.append(f"order {ours.venue_order_id}")
    else:
        is_filled = "filled_quantity" in moved
        kind = BreakKind.ORDER_FILLED_QUANTITY_DIFFERS if is_filled else BreakKind.ORDER_STATUS_DIFFERS
        out.breaks.append(_break(kind, ours, theirs, moved))
    return True


def _only_in_ledger(ours: Order, out: Collector) -> bool:
    if not ours.status.is_open:  # venues forget closed orders; their fills are compared one by one
        _leave_open(out, ours, BreakKind.ORDER_TERMS_DIFFER)
        _leave_open(out, ours, BreakKind.ORDER_FILLS_DIFFER)
        return True
    if out.is_young(ours.updated_at):
        out.pending.append(f"order {ours.venue_order_id}")
    else:
        out.breaks.append(_break(BreakKind.ORDER_MISSING_AT_VENUE, ours, None, []))
    return True


def _only_at_venue(theirs: Order, known_until: datetime, window_start: datetime, out: Collector) -> bool:
    if not theirs.status.is_open and theirs.updated_at <= window_start:
        return True
    if theirs.created_at >= known_until:
        out.news["orders"] += 1
    elif out.is_young(theirs.created_at):
        out.pending.append(f"order {theirs.venue_order_id}")
    else:
        out.breaks.append(_break(BreakKind.ORDER_UNKNOWN_TO_LEDGER, None, theirs, []))
    return True


def _compare_with_fills(order: Order, sums: FactSums, out: Collector) -> None:
    filled = sums.filled_by_order.get(order.venue_order_id, ZERO)
    if filled == order.filled_quantity:
        return
    if out.is_young(order.updated_at):
        out.pending.append(f"order {order.venue_order_id}")
        return
    out.breaks.append(
        Break(
            kind=BreakKind.ORDER_FILLS_DIFFER,
            subject=f"order {order.venue_order_id}",
            instrument_id=order.instrument_id,
            ledger_amount=filled,
            venue_amount=order.filled_quantity,
            evidence={
                "time": text_of(min(order.created_at, order.updated_at)),
                "sum_of_fills": text_of(filled),
                "order_filled_quantity": text_of(order.filled_quantity),
            },
        )
    )


def _leave_open(out: Collector, order: Order, kind: BreakKind) -> None:
    """Say that a known break of this kind is neither seen nor gone, for want of facts to compare the order with."""
    out.unjudged.add((kind.value, f"order {order.venue_order_id}"))


def report_unresolved(ledger: LedgerView, out: Collector) -> None:
    """Orders whose outcome is open are breaks as long as they are."""
    out.compared["unresolved_orders"] += len(ledger.unresolved)
    for item in ledger.unresolved:
        if not item.is_adopted_late and out.is_young(item.since):
            out.pending.append(f"intent {item.subject}")
            continue
        out.breaks.append(
            Break(
                kind=BreakKind.ORDER_ADOPTED_LATE if item.is_adopted_late else BreakKind.ORDER_OUTCOME_UNKNOWN,
                subject=f"intent {item.subject}",
                instrument_id=item.instrument_id,
                ledger_amount=item.quantity,
                evidence={"state": item.state, "since": text_of(item.since)},
            )
        )


def _break(kind: BreakKind, ours: Order | None, theirs: Order | None, fields: list[str]) -> Break:
    order = theirs or ours
    assert order is not None
    is_filled = kind is BreakKind.ORDER_FILLED_QUANTITY_DIFFERS
    times = [time for side in (ours, theirs) if side is not None for time in (side.created_at, side.updated_at)]
    evidence = {
        "time": text_of(min(times)),  # the next comparison reaches back to it
        "client_order_id": text_of(order.client_order_id),
        "side": order.side.value,
        "status": order.status.value,
    }
    for name in dict.fromkeys([*fields, "updated_at"]):
        if ours is not None:
            evidence[f"ledger_{name}"] = text_of(getattr(ours, name))
        if theirs is not None:
            evidence[f"venue_{name}"] = text_of(getattr(theirs, name))
    return Break(
        kind=kind,
        subject=f"order {order.venue_order_id}",
        instrument_id=order.instrument_id,
        ledger_amount=None if ours is None else (ours.filled_quantity if is_filled else ours.quantity),
        venue_amount=None if theirs is None else (theirs.filled_quantity if is_filled else theirs.quantity),
        evidence=evidence,
    )
