"""Cash events: every change of a wallet, with its kind, summing up to the wallet."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from brokers.types import CashEvent, CashEventKind, OrderSide, ProductKind
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.cards.account import totals, wallets
from tests.conformance.scene import Scene

SELL = OrderSide.SELL


def events(scene: Scene) -> tuple[CashEvent, ...]:
    """What the account's wallets went through since before it was funded."""
    now = scene.clock.now()
    return scene.broker.cash_events(since=now - timedelta(days=5), until=now + timedelta(minutes=1))


def sums(found: tuple[CashEvent, ...]) -> dict[str, Decimal]:
    totals: dict[str, Decimal] = {}
    for event in found:
        totals[event.currency] = totals.get(event.currency, Decimal(0)) + event.amount
    return {currency: amount for currency, amount in totals.items() if amount}


def is_the_sum(scene: Scene, found: tuple[CashEvent, ...]) -> bool:
    """Whether the events sum up to what the account has: the simulator's wallets, or, where shares are paid for in full
    and stand in no wallet, the balances that the venue shows, as far as it rounds them."""
    truth = totals(scene) if scene.instrument.product is ProductKind.EQUITY else wallets(scene)
    summed = sums(found)
    differing = {c: summed.get(c, Decimal(0)) - truth.get(c, Decimal(0)) for c in summed.keys() | truth.keys()}
    return all(abs(amount) <= scene.step_of(currency) for currency, amount in differing.items())


@card(
    "CASH-SUM-01",
    C.CASH_EVENTS,
    given="an account that was funded and has traded",
    does="read cash events",
    expects="by currency they sum up to the wallet, exactly; none is of an unknown kind",
    levers=True,
    refused=events,
)
def events_sum_up_to_the_wallet(scene: Scene) -> None:
    scene.buy(parts=4)
    scene.done(scene.place(SELL, parts=2))
    found = events(scene)
    assert is_the_sum(scene, found)
    assert CashEventKind.UNMAPPED not in {event.kind for event in found}


@card(
    "CASH-ID-01",
    C.CASH_EVENTS,
    given="an account that has traded",
    does="read cash events twice",
    expects="the same both times, each with an id of its own, oldest first",
    levers=True,
    refused=events,
)
def events_have_ids(scene: Scene) -> None:
    scene.buy(parts=2)
    first, second = events(scene), events(scene)
    assert first == second and len({event.event_id for event in first}) == len(first)
    assert [event.time for event in first] == sorted(event.time for event in first)


@card(
    "CASH-MOVES-01",
    C.CASH_EVENTS,
    given="a deposit and a withdrawal",
    does="read cash events",
    expects="both with their kinds, signed amounts and currency",
    where=Where.ACCOUNT,
    levers=True,
    refused=events,
)
def deposits_and_withdrawals(scene: Scene) -> None:
    coin = next(iter(wallets(scene)))
    scene.control.deposit(scene.owner, coin, "250.5")
    scene.control.withdraw(scene.owner, coin, "100.25")
    moved = {(e.kind, e.amount) for e in events(scene) if e.currency == coin}
    kinds = (CashEventKind.DEPOSIT, CashEventKind.TRANSFER)
    assert any((kind, Decimal("250.5")) in moved for kind in kinds)
    assert any((kind, Decimal("-100.25")) in moved for kind in (CashEventKind.WITHDRAWAL, CashEventKind.TRANSFER))


@card(
    "CASH-TRANSFER-01",
    C.CASH_EVENTS,
    given="money that moves to another account of the same owner",
    does="read cash events",
    expects="a transfer of minus that amount",
    where=Where.ACCOUNT,
    levers=True,
    refused=events,
)
def transfers(scene: Scene) -> None:
    coin = next(iter(wallets(scene)))
    scene.control.transfer(scene.owner, "second", coin, "12.5")
    moved = [event for event in events(scene) if event.amount == Decimal("-12.5")]
    assert [event.kind for event in moved] == [CashEventKind.TRANSFER]


@card(
    "CASH-FUNDING-01",
    C.CASH_EVENTS,
    given="a position that is held over funding times",
    does="read cash events",
    expects="where the wallet changed meanwhile, an event of funding for the instrument; the sum is the wallet still",
    where=Where.POSITION,
    levers=True,
    refused=events,
)
def funding_is_cash(scene: Scene) -> None:
    scene.charge_funding()
    scene.buy(parts=50)
    before = wallets(scene)
    scene.control.advance(days=1)
    scene.broker.clock_reading()
    found = events(scene)
    assert is_the_sum(scene, found)
    if scene.instrument.product is ProductKind.LINEAR:
        assert wallets(scene) != before, "the simulator must have charged funding"
        funding = [event for event in found if event.kind is CashEventKind.FUNDING]
        assert funding and {event.instrument_id for event in funding} == {scene.instrument_id}


@card(
    "CASH-WINDOW-01",
    C.CASH_EVENTS,
    given="deposits of two hours",
    does="read the first hour, the second, and both",
    expects="each in its hour, none twice",
    where=Where.ACCOUNT,
    levers=True,
    refused=events,
)
def events_by_window(scene: Scene) -> None:
    coin = next(iter(wallets(scene)))
    scene.control.advance(seconds=3600)
    start = scene.clock.now() - timedelta(minutes=1)
    scene.control.deposit(scene.owner, coin, "1")
    scene.control.advance(seconds=3600)
    middle = scene.clock.now() - timedelta(minutes=1)
    scene.control.deposit(scene.owner, coin, "2")
    scene.broker.clock_reading()
    end = scene.clock.now() + timedelta(minutes=1)

    def amounts(since: datetime, until: datetime) -> list[Decimal]:
        return [event.amount for event in scene.broker.cash_events(since=since, until=until)]

    assert (amounts(start, middle), amounts(middle, end), amounts(start, end)) == ([1], [2], [1, 2])


@card(
    "CASH-PAGES-01",
    C.CASH_EVENTS,
    given="120 deposits",
    does="read cash events",
    expects="each of them once; the sum is the wallet",
    where=Where.ACCOUNT,
    levers=True,
    refused=events,
)
def events_are_read_to_the_end(scene: Scene) -> None:
    coin = next(iter(wallets(scene)))
    for number in range(120):
        scene.control.deposit(scene.owner, coin, number + 1)
    found = events(scene)
    assert len(found) >= 121 and sums(found) == wallets(scene)
