"""The balance equation: what its terms add up to, where the feed does not chain, and how far it may be off."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from brokers.types import CashEventKind
from tests.trading.reconciliation.building import NOW, START, make_books
from trading.reconciliation import BreakKind, Findings, reconcile
from trading.reconciliation.equation import (
    TERM_OF,
    CashFlows,
    Chain,
    EquationState,
    Flow,
    Rounding,
    Term,
    equations,
    judge,
)
from trading.reconciliation.model import Break

D = Decimal
KINDS = list(CashEventKind)
AMOUNTS = st.decimals(min_value=-10_000, max_value=10_000, places=6)
Row = tuple[str, datetime, Decimal, Decimal]  # id, time, amount, balance after
NOTHING = Findings(breaks=(), pending=(), news={}, compared={})


def feed(amounts: list[Decimal], *, opening: Decimal = D(100), same_instant: int = 1) -> list[Row]:
    """A feed whose running balances are right; `same_instant` rows at a time share their time."""
    rows, balance = [], opening
    for number, amount in enumerate(amounts):
        balance += amount
        rows.append((f"e{number:03d}", START + timedelta(seconds=number // same_instant), amount, balance))
    return rows


def chained(rows: list[Row]) -> Chain:
    chain = Chain()
    for identity, time, amount, after in rows:
        chain.add("USDT", identity, time, amount, after)
    chain.close()
    return chain


def cash(flow: Flow, chain: Chain | None = None, **late: Flow) -> CashFlows:
    return CashFlows(START, NOW, {"USDT": flow}, {"USDT": flow.total()}, late, tuple(chain.gaps) if chain else ())


def test_every_kind_of_wallet_change_has_a_term() -> None:
    assert set(TERM_OF) == set(CashEventKind)


@given(st.lists(st.tuples(st.sampled_from(KINDS), AMOUNTS), max_size=40), AMOUNTS, AMOUNTS)
@settings(max_examples=60, deadline=None)
def test_opening_and_terms_add_up_exactly(
    events: list[tuple[CashEventKind, Decimal]], opening: Decimal, fees: Decimal
) -> None:
    flow = Flow(opening)
    for kind, amount in events:
        flow.add(kind, amount)
    flow.add_fee(fees, is_spot=False)
    total = opening + sum((amount for _, amount in events), D(0))
    (found,) = equations(cash(flow), ledger={"USDT": total}, venue={"USDT": total}, rounding=Rounding())
    assert (found.expected, found.difference) == (total, 0)
    counted = sum(part.count for part in found.terms if part.term is not Term.FEES)
    fee_events = sum(kind is CashEventKind.FEE for kind, _ in events)
    assert counted == len(events) - fee_events


def test_a_trade_net_of_its_fee_shows_both() -> None:
    flow = Flow(D(100))
    flow.add(CashEventKind.TRADE, D("4.9"))
    flow.add_fee(D("0.1"), is_spot=False)
    assert {part.term: part.amount for part in flow.terms()} == {Term.TRADES: D(5), Term.FEES: D("-0.1")}


def test_a_spot_trade_is_a_conversion_and_its_fee_is_none_of_the_trades() -> None:
    flow = Flow(D(100))
    flow.add(CashEventKind.TRADE, D("-60.06"), is_spot=True)
    flow.add(CashEventKind.TRADE, D(3))
    flow.add_fee(D("0.06"), is_spot=True)
    assert {part.term: part.amount for part in flow.terms()} == {
        Term.TRADES: D(3),
        Term.CONVERSIONS: D(-60),
        Term.FEES: D("-0.06"),
    }


def test_fees_that_the_venue_posts_as_rows_are_not_taken_from_trades() -> None:
    flow = Flow(D(100))
    flow.add(CashEventKind.FEE, D("-0.1"))
    flow.add_fee(D("0.1"), is_spot=False)
    assert {part.term: part.amount for part in flow.terms()} == {Term.FEES: D("-0.1")}


def test_what_the_ledger_counts_beyond_the_feed_is_an_adjustment() -> None:
    flow = Flow(D(100))
    flow.add(CashEventKind.TRANSFER, D(10))
    (found,) = equations(cash(flow), ledger={"USDT": D(113)}, venue={"USDT": D(113)}, rounding=Rounding())
    assert {part.term: part.amount for part in found.terms} == {Term.TRANSFERS: D(10), Term.ADJUSTMENTS: D(3)}
    assert found.difference == 0


# -- completeness ----------------------------------------------------------------------------------------------


@given(st.lists(AMOUNTS, min_size=1, max_size=30), st.integers(1, 4), st.integers(0, 2**32))
@settings(max_examples=80, deadline=None)
def test_a_complete_feed_chains_in_any_order_within_an_instant(
    amounts: list[Decimal], together: int, seed: int
) -> None:
    rows = feed(amounts, same_instant=together)
    Random(seed).shuffle(rows)
    rows.sort(key=lambda row: row[1])
    assert chained(rows).gaps == []


@given(
    st.lists(AMOUNTS.filter(lambda amount: amount != 0), min_size=3, max_size=30),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
@settings(max_examples=80, deadline=None)
def test_a_row_missing_inside_is_found_where_it_is_and_by_its_amount(
    amounts: list[Decimal], together: int, seed: int
) -> None:
    amounts = amounts[: len(amounts) - len(amounts) % together] or amounts
    rows = feed(amounts, same_instant=together)
    inside = [place for place, row in enumerate(rows) if rows[0][1] < row[1] < rows[-1][1]]
    if not inside:
        return
    lost = Random(seed).choice(inside)
    left = [row for place, row in enumerate(rows) if place != lost]
    gaps = chained(left).gaps
    assert sum((gap.amount for gap in gaps), D(0)) == rows[lost][2]
    assert all(gap.time >= rows[lost][1] for gap in gaps) and gaps


def test_a_venue_without_running_balances_proves_nothing() -> None:
    chain = Chain()
    chain.add("USD", "a", START, D(1), None)
    chain.add("USD", "b", START, D(1), D(7))
    chain.add("USD", "c", START + timedelta(seconds=1), D(1), None)
    chain.add("USD", "d", START + timedelta(seconds=2), D(1), D(90))
    chain.close()
    assert (chain.gaps, chain.rows) == ([], 2)


# -- tolerance --------------------------------------------------------------------------------------------------


def test_an_exact_venue_has_no_tolerance() -> None:
    assert Rounding().tolerance(1_000_000) == (0, 0)


def test_nothing_happened_nothing_was_rounded() -> None:
    assert Rounding(D("0.01"), D("0.01")).tolerance(0) == (0, 0)


@given(st.lists(st.decimals(min_value=-100, max_value=100, places=8), min_size=1, max_size=40), AMOUNTS)
@settings(max_examples=60, deadline=None)
def test_rounded_figures_stay_within_the_computed_tolerance(amounts: list[Decimal], opening: Decimal) -> None:
    """Whether the venue cuts off or rounds: what it tells is never further off than the roundings allow."""
    step = D("0.01")
    for mode in ("ROUND_DOWN", "ROUND_HALF_EVEN", "ROUND_CEILING"):
        flow = Flow(opening.quantize(step, mode))
        for amount in amounts:
            flow.add(CashEventKind.TRANSFER, amount.quantize(step, mode))
        closing = (opening + sum(amounts, D(0))).quantize(step, mode)
        (found,) = equations(
            cash(flow), ledger={"USDT": flow.total()}, venue={"USDT": closing}, rounding=Rounding(step, step)
        )
        assert abs(found.difference) <= found.tolerance == step * (len(amounts) + 2)
        assert found.roundings == len(amounts) + 2


# -- verdicts ---------------------------------------------------------------------------------------------------


def unexplained(amount: str) -> Break:
    return Break(
        kind=BreakKind.BALANCE_UNEXPLAINED,
        subject="balance USDT",
        currency="USDT",
        ledger_amount=D(100),
        venue_amount=D(100) + D(amount),
    )


def test_a_gap_takes_the_place_of_the_balance_that_it_explains() -> None:
    rows = feed([D(1), D(7), D(2)])
    chain = chained([rows[0], rows[2]])
    flow = Flow(D(100))
    flow.add(CashEventKind.TRANSFER, D(3))
    found = equations(cash(flow, chain), ledger={"USDT": D(103)}, venue={"USDT": D(110)}, rounding=Rounding())
    judged, (told,) = judge(replace(NOTHING, breaks=(unexplained("7"),)), cash(flow, chain), found)
    assert [item.kind for item in judged.breaks] == [BreakKind.CASH_FEED_INCOMPLETE]
    assert judged.breaks[0].difference == 7 and judged.breaks[0].evidence["missing"] == "7"
    assert told.state is EquationState.INCOMPLETE
    found = equations(cash(flow, chain), ledger={"USDT": D(103)}, venue={"USDT": D(111)}, rounding=Rounding())
    judged, _ = judge(replace(NOTHING, breaks=(unexplained("8"),)), cash(flow, chain), found)
    assert sorted(item.kind for item in judged.breaks) == ["BALANCE_UNEXPLAINED", "CASH_FEED_INCOMPLETE"]


def test_a_wallet_change_that_one_side_lacks_is_no_gap_as_well() -> None:
    rows = feed([D(1), D(7), D(2)])
    chain = chained([rows[0], rows[2]])
    missing = Break(kind=BreakKind.CASH_EVENT_MISSING_IN_LEDGER, subject="cash event e001", currency="USDT")
    flow = Flow(D(100))
    judged, _ = judge(replace(NOTHING, breaks=(missing,)), cash(flow, chain), ())
    assert [item.kind for item in judged.breaks] == [BreakKind.CASH_EVENT_MISSING_IN_LEDGER]
    assert judged.is_unjudged("CASH_FEED_INCOMPLETE", chain.gaps[0].subject)


@pytest.mark.parametrize("is_told", [True, False])
def test_a_kind_that_nobody_knows_is_never_complete(is_told: bool) -> None:
    """In the look-back its own break says so; before it, the equation's."""
    flow = Flow(D(100))
    flow.add(CashEventKind.UNMAPPED, D(5), "GIFT")
    event = Break(kind=BreakKind.CASH_EVENT_UNMAPPED, subject="cash event e", currency="USDT")
    given_breaks = (event,) if is_told else ()
    found = equations(cash(flow), ledger={"USDT": D(105)}, venue={"USDT": D(105)}, rounding=Rounding())
    judged, (told,) = judge(replace(NOTHING, breaks=given_breaks), cash(flow), found)
    assert told.difference == 0 and told.state is EquationState.INCOMPLETE
    kind = BreakKind.CASH_EVENT_UNMAPPED if is_told else BreakKind.BALANCE_EQUATION_INCOMPLETE
    assert [item.kind for item in judged.breaks] == [kind]
    if not is_told:
        assert judged.breaks[0].evidence == {"venue_kinds": "GIFT", "count": "1"}


def test_without_a_feed_no_equation_is_called_good() -> None:
    books = make_books()
    books.has_cash_feed, books.has_traded = False, True
    findings = reconcile(books.ledger_view(), books.venue_view(), now=NOW)
    found = equations(
        CashFlows(START, NOW, {}, {"USD": D(1)}), ledger={"USD": D(1)}, venue={"USD": D(1)}, rounding=Rounding()
    )
    assert [item.state for item in judge(findings, CashFlows(START, NOW, {}, {"USD": D(1)}), found)[1]] == [
        EquationState.NOT_COMPARED
    ]


def test_what_came_while_the_balance_was_read_counts_when_the_balance_has_it() -> None:
    late = Flow(D(0))
    late.add(CashEventKind.FUNDING, D(-2))
    flows = CashFlows(START, NOW, {"USDT": Flow(D(100))}, {"USDT": D(100)}, {"USDT": late})
    for venue, terms in ((D(98), {Term.FUNDING: D(-2)}), (D(100), {})):
        (found,) = equations(flows, ledger={"USDT": D(100)}, venue={"USDT": venue}, rounding=Rounding())
        assert found.difference == 0 and {part.term: part.amount for part in found.terms} == terms
