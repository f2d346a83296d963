"""ccxt's reading and ours of one state of the simulated venue. Where they differ, the test says how and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import ccxt
import pytest

from brokers.ids import ClientOrderId
from brokers.okx.adapter import OKXBroker
from brokers.types import CashEventKind, OrderStatus, OrderType, PositionMode, PositionSide, TimeInForce
from simulators import OKXControl, Running, running_okx
from simulators.testing_okx import small_okx_config
from tests.brokers.okx.test_simulator import BUY, ETH, LINEAR, SELL, SPOT, opened, place

WINDOW: dict[str, Any] = {"since": datetime.now(UTC) - timedelta(hours=1), "until": datetime.now(UTC) + timedelta(1)}


def exact(value: float | None) -> Decimal | None:
    """ccxt answers in binary floats; their shortest form is what the venue sent."""
    return None if value is None else Decimal(repr(value))


@dataclass(frozen=True)
class Both:
    """One account as two clients read it, with what was done to it."""

    ours: OKXBroker
    ccxt: Any
    control: OKXControl
    done: dict[str, ClientOrderId]


@pytest.fixture(scope="module")
def sim() -> Iterator[Running[OKXControl]]:
    with running_okx(small_okx_config()) as running:
        yield running


@pytest.fixture(scope="module")
def both(sim: Running[OKXControl]) -> Iterator[Both]:
    """A position in two swaps, a holding, an order that rests, one that was cancelled, one that expired, funding."""
    other = ccxt.okx(
        {"apiKey": "main-key", "secret": "main-secret", "password": "main-passphrase", "enableRateLimit": False}
    )
    other.urls["api"] = {"rest": sim.url}
    sim.control.set_funding_rate(rate="0.0001")
    with opened(sim) as broker:
        done = {
            "long": place(broker, LINEAR, BUY, "2.5"),
            "short": place(broker, ETH, SELL, "3"),
            "holding": place(broker, SPOT, BUY, "0.1"),
            "sold": place(broker, SPOT, SELL, "0.04"),
            "resting": place(broker, LINEAR, BUY, "1", price="58000", post_only=True),
            "held": place(broker, SPOT, SELL, "0.02", price="62000"),
            "cancelled": place(broker, SPOT, BUY, "0.01", price="58000"),
            "expired": place(broker, LINEAR, BUY, "1", price="59000", time_in_force=TimeInForce.IOC),
            "reduced": place(broker, LINEAR, SELL, "0.5", reduce_only=True),
        }
        broker.cancel(instrument_id=SPOT, client_order_id=done["cancelled"])
        sim.control.advance(days=1)
        broker.set_leverage(LINEAR, Decimal(5))
        yield Both(broker, other, sim.control, done)
    other.session.close()


def test_instruments_have_the_same_grids_and_contracts(both: Both) -> None:
    markets = both.ccxt.load_markets()
    ours = {item.instrument_id.value: item for item in both.ours.instruments()}
    assert set(markets) == set(ours)
    for name, item in ours.items():
        market = markets[name]
        assert market["id"] == item.venue_symbol and market["active"] is item.is_trading
        assert exact(market["precision"]["amount"]) == item.lot_size
        assert exact(market["precision"]["price"]) == item.tick_size
        assert exact(market["limits"]["amount"]["min"]) == item.quantity_min
        # On spot ccxt has no contract size, we have one.
        assert exact(market["contractSize"] or 1.0) == item.contract_size
        # ccxt gives a spot pair the leverage of margin trading, which this adapter does not use.
        assert item.leverage_max is None or exact(market["limits"]["leverage"]["max"]) == item.leverage_max


def test_quotes(both: Both) -> None:
    for quote in both.ours.quotes([LINEAR, ETH, SPOT]):
        other = both.ccxt.fetch_ticker(quote.instrument_id.value)
        assert (exact(other["bid"]), exact(other["ask"]), exact(other["last"])) == (quote.bid, quote.ask, quote.last)


def test_balances_differ_by_what_open_positions_have_gained(both: Both) -> None:
    """ccxt calls equity the total; ours is cash alone, because profit of open positions is not in the wallet."""
    other, wallets = both.ccxt.fetch_balance(), both.control.wallets("main")
    unrealised = sum(item.unrealised_pnl or 0 for item in both.ours.positions())
    for balance in both.ours.balances():
        gained = unrealised if balance.currency == "USDT" else Decimal(0)
        assert wallets[balance.currency] == balance.total
        assert exact(other[balance.currency]["total"]) == balance.total + gained
        assert balance.available is not None
        free = exact(other[balance.currency]["free"])
        assert free is not None and abs(free - balance.available) < Decimal("1e-9"), "a float has fewer digits"


def test_positions_differ_in_how_a_short_is_written(both: Both) -> None:
    """ccxt counts contracts without a sign and names the side; ours has both."""
    other = {item["symbol"]: item for item in both.ccxt.fetch_positions()}
    ours = both.ours.positions()
    assert {item.instrument_id.value for item in ours} == set(other) == {LINEAR.value, ETH.value}
    for item in ours:
        theirs = other[item.instrument_id.value]
        assert exact(theirs["contracts"]) == abs(item.quantity)
        assert theirs["side"] == item.side.value and theirs["hedged"] is (item.mode is PositionMode.HEDGE)
        assert exact(theirs["entryPrice"]) == item.average_price and exact(theirs["markPrice"]) == item.mark_price
        assert exact(theirs["unrealizedPnl"]) == item.unrealised_pnl
        assert exact(theirs["leverage"]) == item.leverage
    assert {item.instrument_id: item.side for item in ours} == {LINEAR: PositionSide.LONG, ETH: PositionSide.SHORT}


# ccxt has one word for an order that a person took back and one that its own terms ended; we tell them apart.
_STATUS = {
    OrderStatus.WORKING: "open",
    OrderStatus.PARTIALLY_FILLED: "open",
    OrderStatus.FILLED: "closed",
    OrderStatus.CANCELLED: "canceled",
    OrderStatus.EXPIRED: "canceled",
}
# A post-only order rests until it is cancelled, which we call gtc; ccxt has a time in force of its own for it, and none
# for a plain limit order.
_TIMES: dict[str, str | None] = {"resting": "PO", "held": None, "cancelled": None}


@pytest.mark.parametrize(
    "name", ["long", "short", "holding", "sold", "resting", "held", "cancelled", "expired", "reduced"]
)
def test_orders(both: Both, name: str) -> None:
    instrument_id = {"short": ETH, "holding": SPOT, "sold": SPOT, "held": SPOT, "cancelled": SPOT}.get(name, LINEAR)
    order = both.ours.find_order(instrument_id=instrument_id, client_order_id=both.done[name])
    assert order is not None
    theirs = both.ccxt.fetch_order(order.venue_order_id.value, instrument_id.value)
    assert theirs["clientOrderId"] == both.done[name].value == order.client_order_id.value  # type: ignore[union-attr]
    assert theirs["status"] == _STATUS[order.status]
    assert (theirs["side"], theirs["symbol"]) == (order.side.value, order.instrument_id.value)
    assert (exact(theirs["amount"]), exact(theirs["filled"])) == (order.quantity, order.filled_quantity)
    assert exact(theirs["average"]) == order.average_price
    assert theirs["reduceOnly"] is order.reduce_only
    assert theirs["type"] == order.order_type.value
    if order.order_type is OrderType.LIMIT:
        assert exact(theirs["price"]) == order.limit_price
    assert theirs["timeInForce"] == _TIMES.get(name, order.time_in_force.value.upper())  # type: ignore[union-attr]
    assert bool(theirs["postOnly"]) is (name == "resting")
    paid = {theirs["fee"]["currency"]: exact(theirs["fee"]["cost"])} if theirs["fee"]["cost"] else {}
    assert paid == order.fees


def test_open_orders_are_ours_in_one_request_and_theirs_by_product(both: Both) -> None:
    ours = {order.venue_order_id.value for order in both.ours.open_orders()}
    theirs = {row["id"] for name in (SPOT, LINEAR) for row in both.ccxt.fetch_open_orders(name.value)}
    assert ours == theirs and len(ours) == 2


def test_fills_differ_in_their_ids(both: Both) -> None:
    """OKX numbers trades by instrument; ccxt leaves the number as it is, ours has the symbol before it."""
    theirs = {
        f"{row['info']['instId']}:{row['id']}": row
        for name in (SPOT, LINEAR, ETH)
        for row in both.ccxt.fetch_my_trades(name.value)
    }
    ours = {fill.trade_id.value: fill for fill in both.ours.fills(**WINDOW)}
    assert set(ours) == set(theirs) and len(ours) == 5
    for trade_id, fill in ours.items():
        row = theirs[trade_id]
        assert (exact(row["amount"]), exact(row["price"])) == (fill.quantity, fill.price)
        assert (exact(row["fee"]["cost"]), row["fee"]["currency"]) == (fill.fee, fill.fee_currency)
        assert (row["side"], row["takerOrMaker"]) == (fill.side.value, fill.liquidity.value)
        assert row["order"] == fill.venue_order_id.value
        assert datetime.fromtimestamp(row["timestamp"] / 1000, UTC) == fill.time


def test_cash_events_differ_in_their_scope_and_signs(both: Both) -> None:
    """ccxt asks for the bills of one product at a time, so it never shows a transfer; ours are all of them."""
    theirs = {}
    for inst_type in ("SPOT", "SWAP"):
        theirs |= {row["id"]: row for row in both.ccxt.fetch_ledger(None, params={"instType": inst_type})}
    every = {event.event_id: event for event in both.ours.cash_events(**WINDOW)}
    ours = {event_id: event for event_id, event in every.items() if event.kind is not CashEventKind.TRANSFER}
    assert set(ours) == set(theirs) and len(every) == len(ours) + 1
    for event_id, event in ours.items():
        row = theirs[event_id]
        assert exact(row["amount"]) == event.amount
        assert (row["currency"], exact(row["after"])) == (event.currency, event.balance_after)
    assert {event.kind for event in ours.values()} == {CashEventKind.TRADE, CashEventKind.FUNDING}


def test_leverage(both: Both) -> None:
    theirs = both.ccxt.fetch_leverage(LINEAR.value)
    ours = both.ours.leverage(LINEAR)
    assert (exact(float(theirs["longLeverage"])), exact(float(theirs["shortLeverage"]))) == (
        ours.long_leverage,
        ours.short_leverage,
    )
    assert ours.long_leverage == 5 and theirs["marginMode"] == ours.margin_mode.value
