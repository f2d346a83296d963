"""Balances, margin health, profit and loss."""

from __future__ import annotations

from decimal import Decimal

from brokers.types import ZERO, OrderSide, ProductKind
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene

SELL = OrderSide.SELL


def shown_as_positions(scene: Scene) -> set[str]:
    """Currencies whose holding the venue shows as a position instead."""
    return {p.symbol.partition("/")[0] for p in scene.venue.products if p.name in scene.venue.as_positions}


def totals(scene: Scene) -> dict[str, Decimal]:
    return {balance.currency: balance.total for balance in scene.broker.balances() if balance.total}


def wallets(scene: Scene) -> dict[str, Decimal]:
    hidden = shown_as_positions(scene)
    return {
        coin: amount for coin, amount in scene.control.wallets(scene.owner).items() if amount and coin not in hidden
    }


@card(
    "BAL-TRUTH-01",
    C.BALANCES,
    given="a funded account",
    does="read balances",
    expects="every currency with money, exactly as the venue has it, at an aware time",
    where=Where.ACCOUNT,
    levers=True,
)
def balances_are_the_wallets(scene: Scene) -> None:
    assert totals(scene) == wallets(scene) != {}
    assert all(b.time.tzinfo is not None and b.account_id == scene.broker.account_id for b in scene.broker.balances())


@card(
    "BAL-SUM-01",
    C.BALANCES,
    given="an account with an order that waits",
    does="read balances",
    expects="where the venue states what is available, total = available + held; what it does not state is None",
)
def totals_are_available_and_held(scene: Scene) -> None:
    scene.rest()
    for balance in scene.broker.balances():
        assert balance.held >= 0
        if balance.available is not None:
            assert balance.total == balance.available + balance.held


@card(
    "BAL-HELD-01",
    C.BALANCES,
    given="money in the quote currency",
    does="place a buy order that waits",
    expects="its cost is held",
    where=Where.BALANCE,
)
def an_order_holds_its_cost(scene: Scene) -> None:
    placed = scene.rest()
    price = placed.request.limit_price
    assert price is not None
    currency = scene.instrument.quote_currency
    held = next(b.held for b in scene.broker.balances() if b.currency == currency)
    assert held + scene.step_of(currency) >= placed.request.quantity * price


@card(
    "BAL-FEE-01",
    C.BALANCES,
    given="an account without a position",
    does="buy, then sell a half of it",
    expects="contracts: the balances are the venue's wallets; what is paid for in full: less its cost and its fees",
    levers=True,
)
def balances_follow_trades(scene: Scene) -> None:
    coin = scene.instrument.settle_currency
    before = totals(scene)
    scene.buy(parts=4)
    scene.done(scene.place(SELL, parts=2))
    if scene.instrument.product in (ProductKind.LINEAR, ProductKind.FUTURE):
        assert totals(scene) == wallets(scene) != before
        return
    executions = scene.executions()
    paid = sum((e.side.sign * e.qty * e.price for e in executions), ZERO)
    fees = sum((e.fee for e in executions if e.fee_coin == coin), ZERO)
    assert paid + fees != 0
    assert abs(before[coin] - totals(scene)[coin] - paid - fees) <= scene.step_of(coin)


@card(
    "BAL-DEPOSIT-01",
    C.BALANCES,
    given="money that somebody moves in",
    does="read balances",
    expects="it is there to the last digit",
    where=Where.ACCOUNT,
    levers=True,
)
def a_deposit_shows(scene: Scene) -> None:
    coin = next(iter(wallets(scene)))
    before = totals(scene)[coin]
    scene.control.deposit(scene.owner, coin, "1234.56")
    assert totals(scene)[coin] == before + Decimal("1234.56")


@card(
    "BAL-FRESH-01",
    C.BALANCES,
    given="an answer that is 45 s old",
    does="read balances and positions",
    expects="what the venue says is taken as said: no cache of ours makes it older",
    where=Where.ACCOUNT,
    levers=True,
)
def no_cache_of_ours(scene: Scene) -> None:
    coin = next(iter(wallets(scene)))
    first = totals(scene)[coin]
    for _ in range(3):
        scene.control.deposit(scene.owner, coin, "1.00")
        assert totals(scene)[coin] > first
        first = totals(scene)[coin]


@card(
    "MARGIN-HEALTH-01",
    C.MARGIN_HEALTH,
    given="a funded account without a position",
    does="read its margin health",
    expects="equity above zero in a named currency, a ratio below one or none",
    where=Where.ACCOUNT,
)
def margin_of_an_idle_account(scene: Scene) -> None:
    health = scene.broker.margin_health()
    assert health.equity > 0 and health.currency.isupper()
    assert health.maintenance_ratio is None or 0 <= health.maintenance_ratio < 1


@card(
    "MARGIN-HEALTH-02",
    C.MARGIN_HEALTH,
    given="an idle account",
    does="open a position of several lots",
    expects="margin is needed that was not before, or less is available",
    where=Where.POSITION,
    levers=True,
)
def a_position_takes_margin(scene: Scene) -> None:
    before = scene.broker.margin_health()
    scene.buy(parts=20)
    after = scene.broker.margin_health()
    used = (after.initial_margin or ZERO) > (before.initial_margin or ZERO)
    less = before.available is not None and after.available is not None and after.available < before.available
    assert used or less


@card(
    "PNL-01",
    C.PROFIT_AND_LOSS,
    given="a position whose price rose by two per cent",
    does="read profit and loss",
    expects="the instrument is listed in its settle currency, with a profit that is the position's",
    where=Where.POSITION,
    levers=True,
    refused=lambda scene: scene.broker.profit_and_loss(),
)
def profit_of_a_position(scene: Scene) -> None:
    scene.buy(parts=10)
    scene.move_price("2")
    (found,) = (row for row in scene.broker.profit_and_loss() if row.instrument_id == scene.instrument_id)
    position = scene.position()
    assert position is not None
    assert found.unrealised == position.unrealised_pnl and found.unrealised > 0
    assert found.currency == scene.instrument.settle_currency
