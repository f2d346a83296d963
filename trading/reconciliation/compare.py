"""Ledger against venue, both directions, in linear time. Pure.

Invariants (property-tested in tests/trading/reconciliation):
1. Equal views give no break.
2. One corrupted fact gives exactly one break, of its own kind: sums that it explains give no second one.
3. Both directions are compared: what only one side has is found, whichever side it is.
4. Facts younger than the guard, and facts later than the last import, are pending or news, never breaks.
5. Equal views, times and tolerances give equal findings with equal ids; amounts are exact.
6. The tolerance is 0 unless it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Context, Decimal, Inexact, InvalidOperation, localcontext

from brokers.ids import InstrumentId, VenueOrderId
from brokers.types import ZERO, Balance, Order
from ledger.snapshots import holds_position
from trading.reconciliation.facts import Effects, FactSums, compare_cash_events, compare_fills
from trading.reconciliation.kinds import BreakKind
from trading.reconciliation.model import (
    FEES_DUE,
    Break,
    Collector,
    Findings,
    LedgerView,
    Tolerances,
    VenueView,
    text_of,
)
from trading.reconciliation.orders import compare_orders, report_unresolved
from trading.reconciliation.settled import Settled

EXACT = Context(prec=100, traps=[Inexact, InvalidOperation])
DEFAULT_TOLERANCES = Tolerances()
NO_CASH_FEED = "balances (the venue has no feed of wallet changes, and there were trades)"


def reconcile(
    ledger: LedgerView, venue: VenueView, *, now: datetime, tolerances: Tolerances = DEFAULT_TOLERANCES
) -> Findings:
    """Compare two views of one account; ValueError when they are of different accounts."""
    if ledger.account_id != venue.account_id:
        raise ValueError(f"views must be of one account, were {ledger.account_id} and {venue.account_id}")
    with localcontext(EXACT):
        out = Collector(now=now, tolerances=tolerances)
        sums = FactSums()
        _count_settled(ledger.settled, out, sums)
        compare_fills(ledger, venue, out, sums)
        if venue.has_cash_feed:
            compare_cash_events(ledger, venue, out, sums)
        if venue.fills_are_totals:
            _count_open_orders(venue, sums)
        compare_orders(ledger, venue, out, sums)
        report_unresolved(ledger, out)
        _compare_positions(ledger, venue, out, sums)
        _compare_leverage(ledger, venue, out)
        _compare_balances(ledger, venue, out, sums)
        return out.findings()


def _count_settled(settled: Settled, out: Collector, sums: FactSums) -> None:
    """What both sides hold alike: it was compared, and moves no sum away from the other."""
    counts = {"fills": settled.fills, "cash_events": settled.cash_events, "orders": settled.orders}
    for name, count in counts.items():
        if count:
            out.compared[f"venue_{name}"] += count
            out.compared[f"ledger_{name}"] += count
    for instrument_id in filter(holds_position, settled.instruments):
        sums.positions.setdefault(InstrumentId(instrument_id), Effects())
    for currency in settled.currencies:
        sums.balances.setdefault(currency, Effects())
    sums.filled_by_order.update((VenueOrderId(key), filled) for key, filled in settled.filled_by_order.items())


def _count_open_orders(venue: VenueView, sums: FactSums) -> None:
    """What open orders have filled so far is in the venue's positions and becomes a fill when they are over."""
    for order in _partly_filled(venue):
        effects = sums.positions.setdefault(order.instrument_id, Effects())
        effects.news += order.side.sign * order.filled_quantity
        effects.is_young = True  # the order was read after the position: more may have been filled in between
        sums.filled_by_order[order.venue_order_id] = order.filled_quantity


def _partly_filled(venue: VenueView) -> Iterator[Order]:
    return (order for order in venue.orders if order.status.is_open and order.filled_quantity)


def _compare_positions(ledger: LedgerView, venue: VenueView, out: Collector, sums: FactSums) -> None:
    theirs: dict[InstrumentId, Decimal] = {}
    for position in venue.positions:  # hedge legs add up: a fill does not say which leg it moved
        theirs[position.instrument_id] = theirs.get(position.instrument_id, ZERO) + position.quantity
    names = theirs.keys() | ledger.positions.keys() | sums.positions.keys()
    for key in sorted(names):
        our, their = ledger.positions.get(key, ZERO), theirs.get(key, ZERO)
        effects = sums.positions.get(key, Effects())
        out.compared["positions"] += 1
        tolerance = out.tolerances.positions.get(str(key), ZERO)
        if _is_explained(our, their, effects, tolerance):
            continue
        if effects.is_young:
            out.pending.append(f"position {key}")
            continue
        kind = BreakKind.POSITION_DIFFERS
        if their == 0:
            kind = BreakKind.POSITION_VANISHED
        elif our == 0:
            kind = BreakKind.POSITION_UNKNOWN
        out.breaks.append(
            Break(
                kind=kind,
                subject=f"position {key}",
                instrument_id=key,
                ledger_amount=our,
                venue_amount=their,
                tolerance=tolerance,
                evidence=_sum_evidence(effects, venue.read_at),
            )
        )


def _compare_balances(ledger: LedgerView, venue: VenueView, out: Collector, sums: FactSums) -> None:
    theirs: dict[str, Balance] = {balance.currency: balance for balance in venue.balances}
    if not venue.has_cash_feed and (ledger.has_traded or out.news["fills"] or any(_partly_filled(venue))):
        out.not_compared.append(NO_CASH_FEED)
        kinds = (BreakKind.BALANCE_DIFFERS, BreakKind.BALANCE_VANISHED, BreakKind.BALANCE_UNKNOWN)
        names = theirs.keys() | ledger.balances.keys()
        out.unjudged |= {(kind.value, f"balance {name}") for kind in kinds for name in names}
        return
    for currency in sorted(theirs.keys() | ledger.balances.keys() | sums.balances.keys()):
        our = ledger.balances.get(currency, ZERO)
        listed = theirs.get(currency)
        their = listed.total if listed is not None else ZERO
        effects = sums.balances.get(currency, Effects())
        out.compared["balances"] += 1
        tolerance = out.tolerances.balances.get(currency, ZERO)
        if _is_explained(our, their, effects, tolerance):
            continue
        lacking = _lacking(our, their, effects, most=out.tolerances.unposted.get(currency, ZERO) + tolerance)
        if lacking is not None:
            due = text_of(out.tolerances.unposted[currency])
            out.expected.append(f"balance {currency}: {text_of(lacking)} less, of at most {due} of fees to be posted")
            continue
        if effects.is_young:
            out.pending.append(f"balance {currency}")
            continue
        evidence = _sum_evidence(effects, venue.read_at)
        if out.tolerances.unposted.get(currency):
            evidence[FEES_DUE] = text_of(out.tolerances.unposted[currency])
        if listed is not None:
            evidence |= {"venue_available": text_of(listed.available), "venue_held": text_of(listed.held)}
        out.breaks.append(
            Break(
                kind=_balance_kind(
                    ledger, venue, currency, is_listed=listed is not None, has_facts=currency in sums.balances
                ),
                subject=f"balance {currency}",
                currency=currency,
                ledger_amount=our,
                venue_amount=their,
                tolerance=tolerance,
                evidence=evidence,
            )
        )


def _balance_kind(
    ledger: LedgerView, venue: VenueView, currency: str, *, is_listed: bool, has_facts: bool
) -> BreakKind:
    if not is_listed:
        return BreakKind.BALANCE_VANISHED
    if currency not in ledger.balances and not has_facts:
        return BreakKind.BALANCE_UNKNOWN
    is_told = venue.has_cash_feed and venue.feed_is_whole
    return BreakKind.BALANCE_UNEXPLAINED if is_told else BreakKind.BALANCE_DIFFERS


def _compare_leverage(ledger: LedgerView, venue: VenueView, out: Collector) -> None:
    theirs = {
        info.instrument_id: {"long": info.long_leverage, "short": info.short_leverage} for info in venue.leverages
    }
    listed = theirs.keys() | set()
    for position in venue.positions:
        if position.leverage is not None and position.instrument_id not in listed:
            theirs.setdefault(position.instrument_id, {})[position.side.value] = position.leverage
    for key, expected in sorted(ledger.expected_leverage.items()):
        if key not in theirs:
            continue
        out.compared["leverages"] += 1
        differing = {side: value for side, value in theirs[key].items() if value != expected}
        if differing:
            out.breaks.append(
                Break(
                    kind=BreakKind.LEVERAGE_DIFFERS,
                    subject=f"leverage {key}",
                    instrument_id=key,
                    ledger_amount=expected,
                    venue_amount=max(differing.values(), key=lambda value: abs(value - expected)),
                    evidence={f"venue_{side}": text_of(value) for side, value in sorted(differing.items())},
                )
            )


def _is_explained(ours: Decimal, theirs: Decimal, effects: Effects, tolerance: Decimal) -> bool:
    return any(abs(theirs - candidate) <= tolerance for candidate in effects.candidates(ours))


def _lacking(ours: Decimal, theirs: Decimal, effects: Effects, *, most: Decimal) -> Decimal | None:
    """The least by which the venue shows less than we have, where that is no more than `most`."""
    found = (candidate - theirs for candidate in effects.candidates(ours))
    return min((amount for amount in found if 0 < amount <= most), default=None)


def _sum_evidence(effects: Effects, read_at: datetime) -> dict[str, str]:
    found = {"venue_read_at": text_of(read_at)}
    for name in ("news", "missing", "extra", "different"):
        amount: Decimal = getattr(effects, name)
        if amount:
            found[f"{name}_facts_sum"] = text_of(amount)
    return found
