"""The snapshot: equity, money and holdings from what a venue answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from brokers.ids import InstrumentId
from brokers.types import (
    Balance,
    LeverageInfo,
    MarginHealth,
    MarginMode,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
)
from tests.trading.rebalancing.building import ACCOUNT, NOW, make_instrument, make_portfolio, make_quote, make_view
from trading.rebalancing import AccountView, PlanImpossible, account_view

D = Decimal
SPOT, PERP = "BTC/USDT", "ETH/USDT:USDT"


def balance(currency: str, total: str, *, available: str | None = None, held: str = "0") -> Balance:
    return Balance(ACCOUNT, currency, D(total), None if available is None else D(available), D(held), NOW)


def position(quantity: str, **changes: Any) -> Position:
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "instrument_id": InstrumentId(PERP),
        "side": PositionSide.LONG if D(quantity) > 0 else PositionSide.SHORT,
        "quantity": D(quantity),
        "average_price": D(100),
        "mark_price": D(110),
        "unrealised_pnl": None,
        "realised_pnl": None,
        "leverage": D(4),
        "mode": PositionMode.ONE_WAY,
        "time": NOW,
    }
    return Position(**{**fields, **changes})


def margin(available: str | None) -> MarginHealth:
    return MarginHealth(ACCOUNT, "USD", D(1), None if available is None else D(available), None, None, None, NOW)


def build(**changes: Any) -> AccountView:
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "time": NOW,
        "balances": [balance("USDT", "1000", available="900", held="50")],
        "positions": [],
        "instruments": [make_instrument(SPOT), make_instrument(PERP)],
        "quotes": [make_quote(SPOT, D(20000)), make_quote(PERP, D(110))],
        "margin": None,
        "leverages": [],
        "open_orders": [],
        "fee_rates": dict.fromkeys(ProductKind, D("0.001")),
    }
    targets = changes.pop("targets", {SPOT: "0.5", PERP: "0.2"})
    unmanaged = changes.pop("unmanaged", "leave")
    return account_view(make_portfolio(targets, unmanaged=unmanaged), **{**fields, **changes})


def test_equity_is_wallet_and_unrealised_profit_and_managed_holdings() -> None:
    view = build(balances=[balance("USDT", "1000", available="900"), balance("BTC", "0.1")], positions=[position("2")])
    assert view.equity == 1000 + 2000 + 20
    assert view.free_money == 900
    assert [(str(h.instrument_id), h.quantity, h.available) for h in view.holdings] == [
        (SPOT, D("0.1"), D("0.1")),
        (PERP, D(2), None),
    ]


@pytest.mark.parametrize(("unmanaged", "equity"), [("leave", 1000), ("close", 3000)])
def test_unmanaged_spot_counts_only_when_it_is_to_be_closed(unmanaged: str, equity: int) -> None:
    view = build(
        balances=[balance("USDT", "1000", available="1"), balance("BTC", "0.1")],
        targets={PERP: "0.2"},
        unmanaged=unmanaged,
    )
    assert view.equity == equity


def test_the_venues_own_profit_wins_over_ours() -> None:
    assert build(positions=[position("2", unrealised_pnl=D("-7"))]).equity == 993
    assert build(positions=[position("2", mark_price=None)]).equity == 1020


@pytest.mark.parametrize(
    ("given", "margin_figure", "money"),
    [("900", None, "900"), (None, "400", "400"), (None, "5000", "950"), ("-3", None, "0")],
)
def test_money_is_the_smallest_figure_that_the_venue_gives(
    given: str | None, margin_figure: str | None, money: str
) -> None:
    view = build(balances=[balance("USDT", "1000", available=given, held="50")], margin=margin(margin_figure))
    assert view.free_money == D(money)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"balances": [balance("USDT", "1000")]}, "MONEY_UNKNOWN"),
        ({"balances": [balance("USDT", "1000")], "margin": margin(None)}, "MONEY_UNKNOWN"),
        ({"balances": [balance("BTC", "1")], "quotes": []}, "HOLDING_UNPRICED"),
        ({"positions": [position("1", average_price=None)]}, "HOLDING_UNPRICED"),
        ({"positions": [position("1", mark_price=None)], "quotes": []}, "HOLDING_UNPRICED"),
    ],
)
def test_what_cannot_be_told_makes_no_plan(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(PlanImpossible) as caught:
        build(**changes)
    assert caught.value.reason == reason


def test_an_account_without_the_quote_currency_has_no_money() -> None:
    view = build(balances=[])
    assert (view.equity, view.free_money) == (0, 0)


def test_leverage_and_mode_come_from_positions_and_readings() -> None:
    info = LeverageInfo(InstrumentId("SOL/USDT:USDT"), D(5), D(3), MarginMode.CROSS, PositionMode.HEDGE)
    view = build(positions=[position("2", mode=PositionMode.HEDGE)], leverages=[info])
    assert view.leverages == {InstrumentId(PERP): D(4), InstrumentId("SOL/USDT:USDT"): D(3)}
    assert set(view.modes.values()) == {PositionMode.HEDGE}
    assert view.holdings[0].position_side is PositionSide.LONG


def test_coins_without_an_instrument_are_kept_apart() -> None:
    view = build(balances=[balance("USDT", "1000", available="1"), balance("XYZ", "5"), balance("ZERO", "0")])
    assert view.unpriced == (("XYZ", D(5)),)


def test_equities_are_positions_paid_in_full() -> None:
    stock = make_instrument(PERP, product=ProductKind.EQUITY)
    view = build(positions=[position("2")], instruments=[stock])
    assert view.equity == 1000 + 2 * 110


def test_quantities_of_thirty_digits_stay_exact() -> None:
    exact = "123456789012.123456789012345678"
    view = make_view({"C/USDT": "10"}, holdings={"C/USDT": exact})
    assert view.net_quantities() == {InstrumentId("C/USDT"): Decimal(exact)}
