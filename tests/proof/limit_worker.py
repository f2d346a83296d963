"""Processes that ask for orders beside others on one ledger: what they may not exceed together, and what stops them."""

from __future__ import annotations

import traceback
from decimal import Decimal
from multiprocessing.connection import Connection

from brokers.clock import Clock, ManualClock, SystemClock
from brokers.ids import Environment
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.engine import Ledger
from tests.trading.orders.modelled import BTC, START, ModelVenue, quote
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder
from trading.orders.reasons import OrderReason
from trading.risk import RiskPolicy

SENDING_S_MAX = 30.0
WITHOUT_LIMITS: dict[str, object] = {
    "open_orders_max": 100_000,
    "order_rate_max": 100_000,
    "message_rate_max": 100_000,
    "repeat_max": 100_000,
}


def ask(url: str, worker: int, orders: int, limits: dict[str, object], answer: Connection) -> None:
    """Submit and send `orders` orders; the answer is a traceback, or nothing."""
    try:
        _ask(url, worker, orders, limits)
        answer.send("")
    except BaseException:
        answer.send(traceback.format_exc())
        raise
    finally:
        answer.close()


def _ask(url: str, worker: int, orders: int, limits: dict[str, object]) -> None:
    clock = ManualClock(START)
    with Ledger.open(url, environment=Environment.SIMULATED, clock=clock) as ledger:
        desk, venue = _desk(ledger, clock, worker, limits)
        for number in range(orders):
            desk.advance(desk.submit(_wanted(venue, f"{worker}-{number}")).intent_id)


def send_until_stopped(url: str, worker: int, answer: Connection) -> None:
    """Send one order after the other on the machine's clock; the answer: when each began to leave (monotonic)."""
    clock, begun = SystemClock(), []
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        desk, venue = _desk(ledger, clock, worker, WITHOUT_LIMITS)
        venue.on_first_byte = lambda prepared, ticket: begun.append(clock.monotonic())
        until_s = clock.monotonic() + SENDING_S_MAX
        while clock.monotonic() < until_s:
            view = desk.advance(desk.submit(_wanted(venue, f"{worker}-{len(begun)}")).intent_id)
            if view.reason == OrderReason.CONTROL_STOPS:
                break
    answer.send(begun)
    answer.close()


def _desk(ledger: Ledger, clock: Clock, worker: int, limits: dict[str, object]) -> tuple[OrderDesk, ModelVenue]:
    venue = ModelVenue(clock)  # type: ignore[arg-type]
    venue.rests = True
    base = RiskPolicy.for_environment(Environment.SIMULATED)
    policy = base.model_copy(update={k: Decimal(v) if isinstance(v, str) else v for k, v in limits.items()})
    desk = OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=policy, worker=f"w{worker}", pool="p")
    return desk, venue


def _wanted(venue: ModelVenue, key: str) -> WantedOrder:
    request = OrderRequest(instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal("0.01"))
    return WantedOrder(venue.account_id, key, "test", request, quote(venue), ttl_s=60.0)
