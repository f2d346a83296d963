"""Average cost: what is realised, what is left, and that nothing is lost in between."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trading.pnl import CostBook

D = Decimal
QUANTITIES = st.decimals(min_value=-50, max_value=50, places=3).filter(lambda quantity: quantity != 0)
PRICES = st.decimals(min_value="0.01", max_value=100_000, places=2)
FILLS = st.lists(st.tuples(QUANTITIES, PRICES), max_size=30)
SIZES = st.sampled_from([D(1), D(5), D("0.001")])


def played(fills: list[tuple[Decimal, Decimal]], size: Decimal) -> CostBook:
    book = CostBook(contract_size=size)
    for quantity, price in fills:
        book.fill(quantity, price)
    return book


@given(FILLS, SIZES)
@settings(max_examples=80, deadline=None)
def test_realised_and_cost_are_what_was_paid_and_received(fills: list[tuple[Decimal, Decimal]], size: Decimal) -> None:
    book = played(fills, size)
    received = sum((-quantity * price * size for quantity, price in fills), D(0))
    signed_cost = book.cost if book.quantity >= 0 else -book.cost
    assert book.realised == received + signed_cost
    assert book.cost >= 0 and book.quantity == sum((quantity for quantity, _ in fills), D(0))


@given(FILLS, SIZES, PRICES)
@settings(max_examples=60, deadline=None)
def test_closing_at_a_price_realises_what_was_unrealised_at_it(
    fills: list[tuple[Decimal, Decimal]], size: Decimal, mark: Decimal
) -> None:
    book = played(fills, size)
    expected = book.unrealised(mark)
    if book.quantity:
        assert book.fill(-book.quantity, mark) == expected
    assert (book.quantity, book.cost, book.average_price) == (0, 0, None)


def test_a_worked_example() -> None:
    """Long 3 at 10 and 1 at 14: average 11. Sell 2 at 12: 2. Through zero at 9: 2 lost 4, 3 short at 9."""
    book = CostBook()
    book.fill(D(3), D(10))
    book.fill(D(1), D(14))
    assert (book.average_price, book.fill(D(-2), D(12))) == (11, 2)
    assert book.fill(D(-5), D(9)) == -4
    assert (book.quantity, book.cost, book.realised, book.unrealised(D(8))) == (-3, 27, -2, 3)


def test_a_share_that_does_not_come_out_even_leaves_with_the_last_unit() -> None:
    book = CostBook()
    book.fill(D(3), D(10) / D(4))
    gained = [book.fill(D(-1), D(0)) for _ in range(3)]
    assert sum(gained) == D("-7.5") and book.cost == 0
