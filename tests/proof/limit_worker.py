"""A process that asks for orders beside others on one ledger: together they may never exceed a limit."""

from __future__ import annotations

import traceback
from decimal import Decimal
from multiprocessing.connection import Connection

from brokers.clock import ManualClock
from brokers.ids import Environment
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.engine import Ledger
from tests.trading.orders.modelled import BTC, START, ModelVenue, quote
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder
from trading.risk import RiskPolicy


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
    venue = ModelVenue(clock)
    venue.rests = True
    base = RiskPolicy.for_environment(Environment.SIMULATED)
    policy = base.model_copy(update={k: Decimal(v) if isinstance(v, str) else v for k, v in limits.items()})
    with Ledger.open(url, environment=Environment.SIMULATED, clock=clock) as ledger:
        desk = OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=policy, worker=f"w{worker}", pool="p")
        for number in range(orders):
            wanted = WantedOrder(
                account_id=venue.account_id,
                business_key=f"{worker}-{number}",
                source="test",
                request=OrderRequest(
                    instrument_id=BTC, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal("0.01")
                ),
                reference=quote(venue),
                ttl_s=60.0,
            )
            desk.advance(desk.submit(wanted).intent_id)
