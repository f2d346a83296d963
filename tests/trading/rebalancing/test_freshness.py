"""Which changes of an account keep a plan from its begin."""

from __future__ import annotations

from decimal import Decimal

import pytest

from brokers.ids import InstrumentId
from brokers.types import Balance, Position, PositionMode, PositionSide
from tests.trading.rebalancing.building import ACCOUNT, NOW, SHARE, make_portfolio, make_view
from trading.rebalancing import Plan, plan
from trading.rebalancing.freshness import moved_quantities

D = Decimal


def position(symbol: str, quantity: str) -> Position:
    return Position(
        account_id=ACCOUNT,
        instrument_id=InstrumentId(symbol),
        side=PositionSide.LONG,
        quantity=D(quantity),
        average_price=None,
        mark_price=None,
        unrealised_pnl=None,
        realised_pnl=None,
        leverage=None,
        mode=PositionMode.ONE_WAY,
        time=NOW,
    )


def wallet(currency: str, total: str) -> Balance:
    return Balance(ACCOUNT, currency, total=D(total), available=D(total), held=D(0), time=NOW)


def shares() -> Plan:
    """MSFT is bought; AAPL and the coins are left alone."""
    view = make_view(
        {"AAPL": "100", "MSFT": "200"},
        holdings={"AAPL": "10"},
        instruments={"AAPL": SHARE, "MSFT": SHARE},
        unpriced=(("DOGE", D(5)),),
    )
    return plan(make_portfolio({"MSFT": "0.5"}), view)


@pytest.mark.parametrize(
    ("aapl", "msft", "doge", "moved"),
    [
        ("10", "0", "5", {}),
        ("10", "0", "7", {}),  # nothing depends on a currency that has no price here
        ("9", "0", "5", {"AAPL": (D(10), D(9))}),
        ("0", "0", "5", {"AAPL": (D(10), D(0))}),
        ("10", "1", "5", {"MSFT": (D(0), D(1))}),
    ],
)
def test_shares_that_are_left_alone_count_as_they_are(
    aapl: str, msft: str, doge: str, moved: dict[str, tuple[Decimal, Decimal]]
) -> None:
    held = [position(name, quantity) for name, quantity in (("AAPL", aapl), ("MSFT", msft)) if D(quantity)]
    balances = [wallet("USDT", "9000"), wallet("DOGE", doge)]
    assert moved_quantities(shares(), balances=balances, positions=held) == moved
    assert moved_quantities(Plan.from_json(shares().to_json()), balances=balances, positions=held) == moved
