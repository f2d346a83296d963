"""Facts with ids, fills and cash events, compared in one pass over each side; their effect on sums is kept.

A missing or different fact is the cause of a wrong sum, so the sums (positions, balances) are told what each finding
would move, and only what no finding explains becomes a break of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from itertools import product
from typing import Generic, TypeVar

from brokers.ids import InstrumentId, VenueOrderId
from brokers.strictjson import encode
from brokers.types import ZERO, CashEvent, CashEventKind, Fill, LiquiditySide
from ledger.adjustments import Correction
from ledger.snapshots import holds_position
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import Break, Collector, LedgerView, VenueView, text_of

Fact = TypeVar("Fact", Fill, CashEvent)


@dataclass(slots=True)
class Effects:
    """What findings move in one sum: news always counts, the others may or may not be in the venue's figure."""

    news: Decimal = ZERO
    missing: Decimal = ZERO
    extra: Decimal = ZERO
    different: Decimal = ZERO
    is_young: bool = False

    def candidates(self, ledger: Decimal) -> Iterator[Decimal]:
        """Every figure that the findings explain."""
        for parts in product((ZERO, self.missing), (ZERO, -self.extra), (ZERO, self.different)):
            yield ledger + self.news + sum(parts, ZERO)


@dataclass(slots=True)
class FactSums:
    """What the comparison of facts says about sums: by position, by currency, by order."""

    positions: dict[InstrumentId, Effects] = field(default_factory=dict)
    balances: dict[str, Effects] = field(default_factory=dict)
    filled_by_order: dict[VenueOrderId, Decimal] = field(default_factory=dict)
    touched_orders: set[VenueOrderId] = field(default_factory=set)
    young_orders: set[VenueOrderId] = field(default_factory=set)  # a fill may have come after the order was read


@dataclass(frozen=True, slots=True)
class _Rules(Generic[Fact]):
    """How one sort of fact is compared."""

    name: str
    subject: str  # what its breaks call one
    id_of: Callable[[Fact], str]
    missing_in_ledger: BreakKind
    missing_at_venue: BreakKind
    duplicated: BreakKind
    known_until: datetime
    differing: Callable[[Fact, Fact], tuple[BreakKind, list[str]] | None]
    break_of: Callable[[BreakKind, Fact | None, Fact | None, list[str]], Break]
    effect: Callable[[str, Fact | None, Fact | None], None]
    corrections: Mapping[str, Correction]
    is_expected: Callable[[Fact], bool] = lambda fact: False  # a late fact whose effect the books count already


def compare_fills(ledger: LedgerView, venue: VenueView, out: Collector, sums: FactSums) -> None:
    """Every fill of either side, by trade id; then those that belong to no order that is known."""
    inferred = dict(ledger.inferred)  # what the position counts without a fill: a real one takes its place
    is_orphan, young_from = _orphans(ledger, venue), out.now - out.tolerances.guard

    def effect(what: str, ours: Fill | None, theirs: Fill | None) -> None:
        fact = theirs or ours
        assert fact is not None
        counted = ZERO
        if what in ("same", "news"):
            done = sums.filled_by_order.get(fact.venue_order_id, ZERO)
            sums.filled_by_order[fact.venue_order_id] = done + fact.quantity
            if fact.time > young_from:
                sums.young_orders.add(fact.venue_order_id)
            if is_orphan(fact):
                out.breaks.append(_fill_break(BreakKind.FILL_EXTERNAL, ours, theirs, []))
        else:
            sums.touched_orders.update(item.venue_order_id for item in (ours, theirs) if item is not None)
        if what == "news" and fact.venue_order_id in inferred:
            counted = min(inferred[fact.venue_order_id], fact.quantity)
            inferred[fact.venue_order_id] -= counted
        for item in (ours, theirs) if what != "same" else (theirs,):
            if item is not None and holds_position(str(item.instrument_id)):
                effects = sums.positions.setdefault(item.instrument_id, Effects())
                amount = item.side.sign * (item.quantity - counted)
                _note(effects, what, amount, is_ours=item is ours, time=item.time, venue=venue, out=out)

    _compare(
        ledger.fills,
        venue.fills,
        venue.window_start,
        out,
        _Rules(
            name="fills",
            subject="trade",
            id_of=lambda fill: fill.trade_id.value,
            missing_in_ledger=BreakKind.FILL_MISSING_IN_LEDGER,
            missing_at_venue=BreakKind.FILL_MISSING_AT_VENUE,
            duplicated=BreakKind.FILL_DUPLICATED,
            known_until=ledger.fills_known_until,
            differing=_fill_differs,
            break_of=_fill_break,
            effect=effect,
            corrections=ledger.corrections,
            is_expected=lambda fill: inferred.get(fill.venue_order_id, ZERO) >= fill.quantity,
        ),
    )


def _orphans(ledger: LedgerView, venue: VenueView) -> Callable[[Fill], bool]:
    """Whether a fill is of no order that is known or ours, and unclaimed: a liquidation, or hands other than ours."""
    own = ledger.ownership
    if own is None:
        return lambda fill: False
    known = {order.venue_order_id for side in (venue.orders, ledger.orders) for order in side} | own.placed

    def is_orphan(fill: Fill) -> bool:
        if fill.venue_order_id in known or (fill.client_order_id is not None and own.is_ours(fill.client_order_id)):
            return False
        return not {f"trade {fill.trade_id}", f"order {fill.venue_order_id}"} & own.claimed

    return is_orphan


def compare_cash_events(ledger: LedgerView, venue: VenueView, out: Collector, sums: FactSums) -> None:
    """Every wallet change of either side, by event id; unknown kinds are breaks of their own."""
    unmapped: set[str] = set()

    def effect(what: str, ours: CashEvent | None, theirs: CashEvent | None) -> None:
        fact = theirs or ours
        assert fact is not None
        if fact.kind is CashEventKind.UNMAPPED and what in ("same", "news") and fact.event_id not in unmapped:
            unmapped.add(fact.event_id)
            out.breaks.append(_cash_break(BreakKind.CASH_EVENT_UNMAPPED, ours, theirs, []))
        for item in (ours, theirs) if what != "same" else (theirs,):
            if item is not None:
                effects = sums.balances.setdefault(item.currency, Effects())
                _note(effects, what, item.amount, is_ours=item is ours, time=item.time, venue=venue, out=out)

    _compare(
        ledger.cash_events,
        venue.cash_events,
        venue.window_start,
        out,
        _Rules(
            name="cash_events",
            subject="cash event",
            id_of=lambda event: event.event_id,
            missing_in_ledger=BreakKind.CASH_EVENT_MISSING_IN_LEDGER,
            missing_at_venue=BreakKind.CASH_EVENT_MISSING_AT_VENUE,
            duplicated=BreakKind.CASH_EVENT_DUPLICATED,
            known_until=ledger.cash_events_known_until,
            differing=_cash_differs,
            break_of=_cash_break,
            effect=effect,
            corrections=ledger.corrections,
        ),
    )


def _compare(
    ours: Iterable[Fact], theirs: Iterable[Fact], window_start: datetime, out: Collector, rules: _Rules[Fact]
) -> None:
    open_at_venue: dict[str, Fact] = {}
    doubled: set[str] = set()
    for fact in theirs:
        if fact.time <= window_start:
            continue
        identity = rules.id_of(fact)
        if identity in open_at_venue and identity not in doubled:
            doubled.add(identity)
            out.breaks.append(rules.break_of(rules.duplicated, None, fact, []))
        open_at_venue[identity] = fact
    out.compared[f"venue_{rules.name}"] += len(open_at_venue)
    seen: set[str] = set()
    for fact in ours:
        if fact.time <= window_start and rules.id_of(fact) not in open_at_venue:
            continue
        identity = rules.id_of(fact)
        if identity in seen:
            if identity not in doubled:
                doubled.add(identity)
                out.breaks.append(rules.break_of(rules.duplicated, fact, None, []))
            continue
        seen.add(identity)
        _pair(fact, open_at_venue.pop(identity, None), out, rules)
    out.compared[f"ledger_{rules.name}"] += len(seen)
    for fact in open_at_venue.values():
        _only_at_venue(fact, out, rules)


def _pair(ours: Fact, theirs: Fact | None, out: Collector, rules: _Rules[Fact]) -> None:
    correction = rules.corrections.get(f"{rules.subject} {rules.id_of(ours)}") if rules.corrections else None
    if theirs is None:
        if correction is not None and not correction.content:
            out.compared[f"corrected_{rules.name}"] += 1  # sums count it, and the entry that takes it back
            return
        if out.is_young(ours.time):
            out.pending.append(f"{rules.subject} {rules.id_of(ours)}")
        else:
            out.breaks.append(rules.break_of(rules.missing_at_venue, ours, None, []))
        rules.effect("extra", ours, None)
        return
    found = None if ours == theirs else rules.differing(ours, theirs)
    if found is None:
        rules.effect("same", ours, theirs)
        return
    kind, fields = found
    if correction is not None and correction.content == content_of(theirs, fields):
        out.compared[f"corrected_{rules.name}"] += 1
        rules.effect("same", ours, theirs)
        return
    out.breaks.append(rules.break_of(kind, ours, theirs, fields))
    rules.effect("different", ours, theirs)


def _only_at_venue(fact: Fact, out: Collector, rules: _Rules[Fact]) -> None:
    if fact.time >= rules.known_until:
        out.news[rules.name] += 1
        rules.effect("news", None, fact)
    elif rules.is_expected(fact):
        out.news[rules.name] += 1
        out.replaced.append(f"{rules.subject} {rules.id_of(fact)}")
        rules.effect("news", None, fact)
    elif out.is_young(fact.time):
        out.pending.append(f"{rules.subject} {rules.id_of(fact)}")
        rules.effect("news", None, fact)
    else:
        out.breaks.append(rules.break_of(rules.missing_in_ledger, None, fact, []))
        rules.effect("missing", None, fact)


def _note(
    effects: Effects,
    what: str,
    amount: Decimal,
    *,
    is_ours: bool,
    time: datetime,
    venue: VenueView,
    out: Collector,
) -> None:
    """Add one fact's effect to a sum; what came after the reading may or may not be in the venue's figure.

    A young fact leaves a sum open only where the sides differ in it: one that both have is in both figures.
    """
    is_later = time > venue.read_at
    if is_later or (what != "same" and venue.read_at - time < out.tolerances.guard):
        effects.is_young = True
    if what == "same" or is_later:
        return
    if what == "different":
        effects.different += -amount if is_ours else amount
    elif what == "extra":
        effects.extra += amount
    elif what == "missing":
        effects.missing += amount
    else:
        effects.news += amount


_FILL_FIELDS = ("instrument_id", "side", "quantity", "price", "venue_order_id", "time", "kind")
_FEE_FIELDS = ("fee", "fee_currency")
_CASH_FIELDS = ("kind", "currency", "amount", "time", "instrument_id", "trade_id", "venue_order_id")


def _fill_differs(ours: Fill, theirs: Fill) -> tuple[BreakKind, list[str]] | None:
    fields = [name for name in _FILL_FIELDS if getattr(ours, name) != getattr(theirs, name)]
    ids = (ours.client_order_id, theirs.client_order_id)
    if None not in ids and ids[0] != ids[1]:
        fields.append("client_order_id")
    sides = (ours.liquidity, theirs.liquidity)
    if LiquiditySide.UNKNOWN not in sides and sides[0] is not sides[1]:
        fields.append("liquidity")
    fees = [name for name in _FEE_FIELDS if getattr(ours, name) != getattr(theirs, name)]
    if fields:
        return BreakKind.FILL_DIFFERS, fields + fees
    return (BreakKind.FEE_DIFFERS, fees) if fees else None


def _cash_differs(ours: CashEvent, theirs: CashEvent) -> tuple[BreakKind, list[str]] | None:
    fields = [name for name in _CASH_FIELDS if getattr(ours, name) != getattr(theirs, name)]
    return (BreakKind.CASH_EVENT_DIFFERS, fields) if fields else None


def _fill_break(kind: BreakKind, ours: Fill | None, theirs: Fill | None, fields: list[str]) -> Break:
    fact = theirs or ours
    assert fact is not None
    is_fee = kind is BreakKind.FEE_DIFFERS
    evidence = {
        "time": text_of(fact.time),
        "venue_order_id": str(fact.venue_order_id),
        "client_order_id": text_of(fact.client_order_id),
        "side": fact.side.value,
        "price": text_of(fact.price),
        **_sides(ours, theirs, fields),
    }
    if kind is BreakKind.FILL_DUPLICATED:
        evidence["listed_twice_by"] = "ledger" if ours is not None else "venue"
    return Break(
        kind=kind,
        subject=f"trade {fact.trade_id}",
        instrument_id=fact.instrument_id,
        currency=fact.fee_currency if is_fee else None,
        ledger_amount=None if ours is None else (ours.fee if is_fee else ours.side.sign * ours.quantity),
        venue_amount=None if theirs is None else (theirs.fee if is_fee else theirs.side.sign * theirs.quantity),
        evidence=evidence,
    )


def _cash_break(kind: BreakKind, ours: CashEvent | None, theirs: CashEvent | None, fields: list[str]) -> Break:
    fact = theirs or ours
    assert fact is not None
    evidence = {
        "time": text_of(fact.time),
        "kind": fact.kind.value,
        "venue_kind": fact.venue_kind,
        "trade_id": text_of(fact.trade_id),
        **_sides(ours, theirs, fields),
    }
    if kind is BreakKind.CASH_EVENT_DUPLICATED:
        evidence["listed_twice_by"] = "ledger" if ours is not None else "venue"
    return Break(
        kind=kind,
        subject=f"cash event {fact.event_id}",
        instrument_id=fact.instrument_id,
        currency=fact.currency,
        ledger_amount=None if ours is None else ours.amount,
        venue_amount=None if theirs is None else theirs.amount,
        evidence=evidence,
    )


def _sides(ours: object, theirs: object, fields: list[str]) -> dict[str, str]:
    """Each differing field with both sides' words."""
    found = {}
    for name in fields:
        found[f"ledger_{name}"] = text_of(getattr(ours, name))
        found[f"venue_{name}"] = text_of(getattr(theirs, name))
    return found


def content_of(fact: object, fields: Iterable[str]) -> str:
    """One side's words on the fields in which a fact differs: what a correcting entry follows."""
    return encode({name: text_of(getattr(fact, name)) for name in sorted(fields)})
