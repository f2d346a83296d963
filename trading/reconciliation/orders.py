"""Orders of both sides, by the venue's order id, and orders whose outcome is still open."""

from __future__ import annotations

from datetime import datetime

from brokers.ids import VenueOrderId
from brokers.types import ZERO, Order, OrderStatus
from ledger.inferred import inferred_id
from ledger.snapshots import holds_position
from trading.reconciliation.facts import Effects, FactSums
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import Break, Collector, LedgerView, VenueView, text_of

_OF_SHOWN_ORDERS = (BreakKind.ORDER_EXTERNAL, BreakKind.FILL_INFERRED)
_TERMS = ("instrument_id", "side", "order_type", "quantity", "limit_price", "trigger_price", "reduce_only")


def compare_orders(ledger: LedgerView, venue: VenueView, out: Collector, sums: FactSums) -> None:
    """Compare every order that either side shows; after the fills, whose sums each order must equal."""
    theirs = {order.venue_order_id: order for order in venue.orders}
    ours = {order.venue_order_id: order for order in ledger.orders}
    out.compared["venue_orders"] += len(theirs)
    out.compared["ledger_orders"] += len(ours)
    broken: set[VenueOrderId] = set()
    external = _report_external(ledger, venue, out)
    for identity in sorted(theirs.keys() | ours.keys()):
        our, their = ours.get(identity), theirs.get(identity)
        if _compare_one(our, their, ledger.orders_known_until, venue.window_start, out, external):
            broken.add(identity)
    for identity, order in sorted(theirs.items()):
        is_judged = identity not in broken and identity not in sums.touched_orders
        if is_judged and order.created_at > venue.window_start:
            _compare_with_fills(ledger, order, sums, out)
        else:
            _leave_open(out, order, BreakKind.ORDER_FILLS_DIFFER)
            _leave_open(out, order, BreakKind.FILL_INFERRED)


def _compare_one(
    ours: Order | None,
    theirs: Order | None,
    known_until: datetime,
    window_start: datetime,
    out: Collector,
    external: set[VenueOrderId],
) -> bool:
    """Whether its fills are not to be judged: the order is broken, pending or gone. What is news is judged."""
    if theirs is None:
        assert ours is not None
        return _only_in_ledger(ours, out)
    if ours is None:
        if theirs.venue_order_id not in external:
            return _only_at_venue(theirs, known_until, window_start, out)
        out.news["orders"] += theirs.created_at >= known_until
        return False
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
        return False
    if out.is_young(ours.updated_at, theirs.updated_at):
        out.pending.append(f"order {ours.venue_order_id}")
    else:
        is_filled = "filled_quantity" in moved
        kind = BreakKind.ORDER_FILLED_QUANTITY_DIFFERS if is_filled else BreakKind.ORDER_STATUS_DIFFERS
        out.breaks.append(_break(kind, ours, theirs, moved))
    return True


def _only_in_ledger(ours: Order, out: Collector) -> bool:
    if not ours.status.is_open:  # venues forget closed orders; their fills are compared one by one
        for kind in (BreakKind.ORDER_TERMS_DIFFER, BreakKind.ORDER_FILLS_DIFFER, *_OF_SHOWN_ORDERS):
            _leave_open(out, ours, kind)
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
        return False
    if out.is_young(theirs.created_at):
        out.pending.append(f"order {theirs.venue_order_id}")
    else:
        out.breaks.append(_break(BreakKind.ORDER_UNKNOWN_TO_LEDGER, None, theirs, []))
    return True


# -- orders that are not ours -----------------------------------------------------------------------------------
def _report_external(ledger: LedgerView, venue: VenueView, out: Collector) -> set[VenueOrderId]:
    """Flag each order of other hands that nobody has claimed; which they are."""
    own, found = ledger.ownership, set()
    if own is None:
        return set()
    waiting = {item.instrument_id for item in ledger.unresolved}
    for order in sorted(venue.orders, key=lambda item: item.venue_order_id):
        is_ours = order.client_order_id is not None and own.is_ours(order.client_order_id)
        subject = f"order {order.venue_order_id}"
        if is_ours or order.venue_order_id in own.placed or subject in own.claimed or _has_passed(order, venue):
            continue
        if order.client_order_id is None and order.instrument_id in waiting:
            _leave_open(out, order, BreakKind.ORDER_EXTERNAL)  # it may be the one whose outcome is not known
            continue
        found.add(order.venue_order_id)
        out.breaks.append(_external(order))
    return found


def _has_passed(order: Order, venue: VenueView) -> bool:
    """Over before the window, or rejected by the engine, so that it never lived."""
    never_lived = order.status is OrderStatus.REJECTED and order.filled_quantity == 0
    return never_lived or (not order.status.is_open and order.updated_at <= venue.window_start)


def _external(order: Order) -> Break:
    evidence = {
        "client_order_id": text_of(order.client_order_id),
        "side": order.side.value,
        "order_type": order.order_type.value,
        "status": order.status.value,
        "filled_quantity": text_of(order.filled_quantity),
        "created_at": text_of(order.created_at),
    }
    if not order.status.is_open:  # open orders are shown however old they are
        evidence["time"] = text_of(min(order.created_at, order.updated_at))
    return Break(
        kind=BreakKind.ORDER_EXTERNAL,
        subject=f"order {order.venue_order_id}",
        instrument_id=order.instrument_id,
        venue_amount=order.quantity,
        evidence=evidence,
    )


# -- orders against their fills ---------------------------------------------------------------------------------
def _compare_with_fills(ledger: LedgerView, order: Order, sums: FactSums, out: Collector) -> None:
    """More fills than the order says is a break; fewer, once the feed has had its time, are inferred from the order."""
    filled = sums.filled_by_order.get(order.venue_order_id, ZERO)
    lacking = order.filled_quantity - filled
    if lacking == 0:
        return
    if lacking > 0 and holds_position(str(order.instrument_id)):
        effects = sums.positions.setdefault(order.instrument_id, Effects())
        effects.missing += order.side.sign * (lacking - ledger.inferred.get(order.venue_order_id, ZERO))
    if out.is_young(order.updated_at) or order.venue_order_id in sums.young_orders:
        out.pending.append(f"order {order.venue_order_id}")
        return
    evidence = {
        "time": text_of(min(order.created_at, order.updated_at)),
        "sum_of_fills": text_of(filled),
        "order_filled_quantity": text_of(order.filled_quantity),
    }
    if lacking > 0:
        evidence["inferred_id"] = inferred_id(
            order.account_id, str(order.venue_order_id), filled, order.filled_quantity
        )
        evidence["order_average_price"] = text_of(order.average_price)
    out.breaks.append(
        Break(
            kind=BreakKind.FILL_INFERRED if lacking > 0 else BreakKind.ORDER_FILLS_DIFFER,
            subject=f"order {order.venue_order_id}",
            instrument_id=order.instrument_id,
            ledger_amount=filled,
            venue_amount=order.filled_quantity,
            evidence=evidence,
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
