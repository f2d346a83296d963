from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from tests.trading.rebalancing.building import NOW, make_portfolio, make_view
from trading.rebalancing import Plan, plan
from trading.rebalancing.run_plan import (
    AccountPlan,
    AccountProblem,
    MovedKind,
    RunPlan,
    assembled,
    moved_since,
    run_hash,
)
from trading.rebalancing.subscription import Subscription

D = Decimal
A, B = "A/USDT:USDT", "B/USDT:USDT"
ONE, TWO = "bybit-simulated-one", "bybit-simulated-two"
PORTFOLIO = make_portfolio({A: "0.5", B: "-0.25"})
SUBSCRIPTION = Subscription.model_validate(
    {"name": "pair", "portfolio": "core", "base_currency": "USDT", "accounts": [{"account": ONE}, {"account": TWO}]}
)


def planned(*, price: str = "100", held: str = "0", **view: Any) -> Plan:
    holdings = {A: held} if D(held) else {}
    return plan(PORTFOLIO, make_view({A: price, B: "50"}, holdings=holdings, **view))


def run(one: Plan | None, two: Plan | None, *, rate: str = "1") -> RunPlan:
    made = {ONE: one, TWO: two}
    return assembled(
        SUBSCRIPTION,
        PORTFOLIO,
        time=NOW,
        accounts=[AccountPlan(account_name=n, plan=p, base_rate=D(rate)) for n, p in made.items() if p is not None],
        problems=[
            AccountProblem(account_name=n, account_id="", reason="CONNECT_FAILED", detail="no answer")
            for n, p in made.items()
            if p is None
        ],
        conversions=(),
    )


def test_survives_its_text_and_has_one_hash() -> None:
    made = run(planned(), planned(equity="30000"))
    assert RunPlan.from_json(made.to_json()) == made
    assert RunPlan.from_json(made.to_json()).to_json() == made.to_json()
    assert run(planned(), planned(equity="30000")).run_hash == made.run_hash


def test_the_hash_covers_accounts_rates_problems_and_orders() -> None:
    base = run(planned(), planned())
    other = planned()
    other = replace(other, legs=(replace(other.legs[0], quantity=D(1)), *other.legs[1:]))
    hashes = {
        made.run_hash
        for made in (
            base,
            run(planned(), None),
            run(None, planned()),
            run(planned(), other),
            run(planned(), planned(), rate="1.1"),
            run(planned(), planned(price="101")),
        )
    }
    assert len(hashes) == 6
    part = run(planned(), None)
    other_problem = replace(part, problems=(replace(part.problems[0], reason="VENUE_UNAVAILABLE"),))
    assert run_hash(other_problem) != run_hash(part) == part.run_hash


def test_totals_and_weights_are_of_the_joint_equity() -> None:
    made = run(planned(), planned(equity="30000", held="150"), rate="2")
    assert made.expected.equity == 80_000
    assert [(name, str(leg.instrument_id)) for name, leg in made.legs] == [(ONE, A), (ONE, B), (TWO, B)]
    by_line = {(line.account_name, str(line.instrument_id)): line for line in made.lines}
    assert by_line[(TWO, A)].current_weight == D("0.375")
    assert by_line[(ONE, B)].target_weight == D("-0.0625")
    assert by_line[(ONE, A)].target_value == 10_000
    assert made.expected.gross_weight_after == D("0.75")
    assert made.expected.turnover == sum((leg.notional for _, leg in made.legs), D(0)) * 2


def test_nothing_moved_in_an_equal_plan() -> None:
    assert moved_since(run(planned(), planned()), run(planned(), planned())) == ()


@pytest.mark.parametrize(
    ("fresh", "kinds"),
    [
        (run(planned(price="100.9"), planned()), []),
        (run(planned(price="101.1"), planned()), [(ONE, MovedKind.PRICE)]),
        (run(planned(), planned(held="0.4")), []),
        (run(planned(), planned(held="-0.6")), [(TWO, MovedKind.POSITION)]),
        (run(planned(equity="10149"), planned()), []),
        (run(planned(equity="10151"), planned()), [(ONE, MovedKind.EQUITY)]),
        (run(planned(), planned(equity="9840")), [(TWO, MovedKind.EQUITY)]),
        (run(planned(), planned(), rate="1.011"), [(ONE, MovedKind.CONVERSION), (TWO, MovedKind.CONVERSION)]),
        (run(planned(), None), [(TWO, MovedKind.ACCOUNT)]),
    ],
)
def test_what_moved_beyond_its_limit_is_named(fresh: RunPlan, kinds: list[tuple[str, MovedKind]]) -> None:
    found = moved_since(run(planned(), planned()), fresh)
    assert [(item.account_name, item.kind) for item in found] == kinds
    assert all(item.moved > item.limit for item in found)


def test_the_price_of_a_line_that_is_not_traded_may_move() -> None:
    still = planned(held="50", price="100")
    assert A not in {str(leg.instrument_id) for leg in still.legs}
    moved = moved_since(run(still, None), run(planned(held="50", price="120"), None))
    assert moved == ()


def test_an_unknown_account_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="bybit-simulated-three"):
        run(planned(), None).account("bybit-simulated-three")
