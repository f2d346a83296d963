"""Several alerts of one strategy within a second arrive in any order. What they may leave behind is bounded."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise, permutations

import pytest

from brokers.types import OrderSide, PositionSide
from tests.trading.alerts.building import D, make_alert, make_route, make_snapshot
from trading.alerts import Alert, Route
from trading.alerts.deciding import decide
from trading.alerts.model import settled

LONG, SHORT, FLAT = PositionSide.LONG, PositionSide.SHORT, PositionSide.FLAT


def side(position: int) -> PositionSide:
    return FLAT if position == 0 else LONG if position > 0 else SHORT


def strategy(positions: Sequence[int]) -> list[Alert]:
    """The alerts of a strategy that goes through these positions, as its template for TradingView makes them."""
    found = []
    for before, after in pairwise(positions):
        order = OrderSide.BUY if after > before else OrderSide.SELL
        terms = settled(side=order, target=side(after), previous=side(before))
        found.append(
            make_alert(
                action=terms.action,
                target=terms.target,
                previous=terms.previous,
                closes=terms.closes,
                quantity=D(abs(after - before)),
                is_contracts=True,
                target_size=D(abs(after)),
                previous_size=D(abs(before)),
            )
        )
    return found


def carried_out(alerts: Sequence[Alert], *, held: int, route: Route) -> list[Decimal]:
    """The account's position after each alert, every order filled at once."""
    position, path = D(held), []
    for alert in alerts:
        for leg in decide(alert, route, make_snapshot(position)).legs:
            position += leg.request.quantity * leg.request.side.sign
        path.append(position)
    return path


@pytest.mark.parametrize(
    "positions",
    [(0, 10), (0, 10, 0), (0, 10, -10, 10), (0, 10, 15, 5, 0), (0, -3, -8, 4, 0), (5, 0, -5), (10, 4, -6, -2, 0, 7)],
)
def test_in_order_the_account_follows_the_strategy(positions: tuple[int, ...]) -> None:
    path = carried_out(strategy(positions), held=positions[0], route=make_route())
    assert path == list(positions[1:])


@pytest.mark.parametrize("positions", [(10, 0, -10), (-10, 0, 10), (-5, 0, 12)])
def test_an_exit_and_an_entry_to_the_other_side_may_be_swapped(positions: tuple[int, ...]) -> None:
    for order in permutations(strategy(positions)):
        assert carried_out(order, held=positions[0], route=make_route())[-1] == positions[-1]


@pytest.mark.parametrize("positions", [(10, 0, 10), (0, 10, 0, 10), (0, 10, -10, 10), (0, 10, 15, 5, 0), (5, -5, 0, 5)])
def test_in_any_order_the_account_never_holds_more_than_the_strategy_did(positions: tuple[int, ...]) -> None:
    largest = max(abs(position) for position in positions)
    for order in permutations(strategy(positions)):
        path = carried_out(order, held=positions[0], route=make_route())
        assert all(abs(position) <= largest for position in path), (order, path)


def test_the_same_alert_again_adds_nothing() -> None:
    """A second delivery is found by its id; without one, a strategy's own position still tells."""
    for positions in ((0, 10), (10, -10), (10, 0)):
        (alert,) = strategy(positions)
        once, twice = carried_out([alert, alert], held=positions[0], route=make_route())
        assert once == twice == positions[-1]
