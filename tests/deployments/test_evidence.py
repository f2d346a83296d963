"""What the demonstration calls held: read at the simulators' control interfaces, weighed over several accounts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from brokers.ids import InstrumentId, Venue
from deployments import evidence, runs
from deployments.demo import Scene, _followed, acts
from deployments.home import Home
from deployments.processes import StackFailed
from deployments.register import EXAMPLE
from tasks.config import load

D = Decimal
BTC, SPOT, AAPL, COIN = (InstrumentId(name) for name in ("BTC/USDT:USDT", "BTC/USDT", "AAPL", "BTC/USD"))


def control(**answers: Any) -> evidence.Control:
    return lambda name, **query: answers[name]


def position(symbol: str, quantity: str, cost: str, multiplier: str = "1") -> dict[str, str]:
    return {"symbol": symbol, "signed_qty": quantity, "cost": cost, "multiplier": multiplier}


def test_contracts_are_multiplied_out_and_gains_count_whatever_the_sign() -> None:
    read = evidence.by_control(
        control(
            prices={"BTC-USDT-SWAP": "61000", "ETH-USDT-SWAP": "2900"},
            positions=[
                position("BTC-USDT-SWAP", "50", "30000", "0.01"),
                position("ETH-USDT-SWAP", "-10", "3000", "0.1"),
            ],
            wallets={"USDT": "100000"},
        ),
        "main",
        [BTC],
        venue=Venue.OKX,
    )
    assert read.quantities == {BTC: D("0.5")}
    assert read.equity == D(100_000) + D(500) + D(100)  # 0.5 × 1,000 long, 1 × 100 short


def test_coins_of_a_wallet_are_held_and_both_wallets_are_money() -> None:
    answers = {
        "prices": {"BTCUSDT": "60000"},
        "positions": [],
        "wallets": {"USDT": "10", "USDT@futures": "5", "BTC": "2"},
    }
    read = evidence.by_control(control(**answers), "main", [SPOT, BTC], venue=Venue.BINANCE)
    assert read.quantities == {SPOT: D(2), BTC: D(0)}
    assert read.equity == 15 + 120_000


def test_shares_and_pairs_have_the_names_that_alpaca_gives_them() -> None:
    answers = {
        "prices": {"AAPL": "50", "BTC/USD": "60000"},
        "positions": [position("AAPL", "10", "400")],
        "wallets": {"USD": "1000", "BTC": "0.5"},
    }
    read = evidence.by_control(control(**answers), "main", [AAPL, COIN], venue=Venue.ALPACA)
    assert read.quantities == {AAPL: D(10), COIN: D("0.5")}
    assert read.equity == 1_000 + 100 + 30_000


def test_a_line_is_weighed_in_the_joint_equity_and_off_by_more_than_the_tolerance_does_not_hold() -> None:
    scene = Scene(load(EXAMPLE))
    portfolio, homes = scene.portfolio, scene.homes
    assert set(homes) == set(portfolio.targets)
    equity, invested = D(100_000), 1 - portfolio.cash_buffer
    books = {}
    for account in scene.accounts:
        own = [key for key in homes if homes[key] == account]
        wanted = {key: portfolio.targets[key] * invested * 4 * equity for key in own}
        books[account] = evidence.Holdings("simulator", wanted, dict.fromkeys(own, D(1)), equity)
    held = evidence.JointHoldings(books, homes)
    assert held.equity == 4 * equity
    assert all(line.holds and line.distance == 0 for line in evidence.check(portfolio, held))
    spoiled = dict(books)
    first = scene.accounts[0]
    moved = {key: quantity * 2 for key, quantity in books[first].quantities.items()}
    spoiled[first] = evidence.Holdings("simulator", moved, books[first].prices, equity)
    wrong = {
        line.instrument_id
        for line in evidence.check(portfolio, evidence.JointHoldings(spoiled, homes))
        if not line.holds
    }
    assert wrong == {key for key, home in homes.items() if home == first}


def test_every_account_of_the_book_is_rebalanced_and_reconciled() -> None:
    accounts = Scene(load(EXAMPLE)).accounts
    assert {Scene(load(EXAMPLE)).venue(name) for name in accounts} == {
        Venue.BYBIT,
        Venue.BINANCE,
        Venue.OKX,
        Venue.ALPACA,
    }
    *_, rebalanced, reconciled = acts(accounts)
    assert [act.parameters.get("mode") for act in rebalanced] == ["execute"]
    assert [act.of for act in reconciled] == list(accounts)


def test_what_is_run_is_deployed() -> None:
    from deployments.manifest import load as manifest

    known = {item.name for item in manifest().deployments}
    assert {act.name for row in acts(Scene(load(EXAMPLE)).accounts) for act in row} <= known


def test_a_run_that_takes_too_long_ends_the_demonstration_with_a_message(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def follow(*_: Any, **__: Any) -> Any:
        raise runs.RunTimedOut("reconcile/reconcile-x had not ended after 120 s; its state was Running")

    monkeypatch.setattr(runs, "follow", follow)
    stack: Any = SimpleNamespace(home=Home(tmp_path), supervisor=SimpleNamespace(check=lambda: None))
    act: Any = SimpleNamespace(deployment="reconcile-x", title="Reconcile")
    nobody: Any = None
    with pytest.raises(StackFailed, match=f"had not ended after 120 s.*{tmp_path}"):
        _followed(stack, nobody, act, uuid4(), lambda text: None)
