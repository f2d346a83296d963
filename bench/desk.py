"""Durable order submissions per second: the order desk on a SQLite ledger, against placing without any memory.

What an order costs besides the venue call is its evidence: the intent, the attempt and the send are committed before
the first byte, the answer after it. The bare commit rate of the same disk is printed beside it. The venue's own budget
(ten orders a second on linear) would be the limit of an unpaced loop, so orders are paced below it and each is timed.
"""

from __future__ import annotations

import time
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

from bench.calls import SIMULATOR, our_broker
from bench.measure import Row, Timing
from bench.processes import simulator
from brokers.clock import SystemClock
from brokers.ids import ClientOrderId, Environment, InstrumentId
from brokers.port import Broker
from brokers.types import OrderRequest, OrderSide, OrderType, Quote
from brokers.wire import SendTicket
from ledger.controls import effective_control
from ledger.engine import Ledger
from ledger.states import IntentState
from ledger.tables import LedgerMeta
from trading.orders import OrderDesk, WantedOrder
from trading.risk import RiskPolicy

ORDERS = 80
COMMITS_WORTH_MAX = 40.0
SECONDS_MAX = 60.0
PACE_S = 0.12
_INSTRUMENT = InstrumentId("BTC/USDT:USDT")


def run(folder: Path, *, orders: int = ORDERS) -> list[Row]:
    """Submit and acknowledge `orders` market orders, each beside a bare placement."""
    url = f"sqlite:///{folder / 'bench.db'}"
    with (
        simulator(folder, SIMULATOR) as address,
        our_broker(address) as broker,
        our_broker(address) as direct,  # the desk's own would count an order that was not committed, and halt
        Ledger.open(url, environment=Environment.SIMULATED) as ledger,
    ):
        taken = _orders(ledger, broker, direct, orders)
    ours, bare, commits = (Timing.of(taken[name]) for name in ("ours", "bare", "commit"))
    worth = ours.median_ms / commits.median_ms
    return [
        Row(
            section="Order desk",
            what="submit and acknowledge, in commits",
            ours=f"{ours.median_ms:.1f} ms (p90 {ours.p90_ms:.1f})",
            baseline=f"{commits.median_ms:.1f} ms a bare commit",
            ratio=f"{worth:.1f}",
            aim=f"≤ {COMMITS_WORTH_MAX:.0f} commits",
            held=worth <= COMMITS_WORTH_MAX,
            detail=f"{ours.calls} orders, {1000 / ours.median_ms:.0f}/s one after the other",
        ),
        Row(
            section="Order desk",
            what="submit and acknowledge, against placing without a ledger",
            ours=f"{ours.median_ms:.1f} ms (p90 {ours.p90_ms:.1f})",
            baseline=f"{bare.median_ms:.1f} ms",
            ratio=f"{ours.median_ms / bare.median_ms:.1f}",
            detail="the price of evidence: risk checks, three readings of the account, commits",
        ),
    ]


def _bare_commit(ledger: Ledger, number: int) -> float:
    """Commit one small row with the ledger's own durability."""
    began = time.perf_counter()
    with ledger.write() as session:
        session.merge(LedgerMeta(key="bench", value=str(number)))
    return time.perf_counter() - began


def _orders(ledger: Ledger, broker: Broker, direct: Broker, orders: int) -> dict[str, list[float]]:
    clock = SystemClock()
    free = {"order_rate_max": 10_000, "venue_rate_share": Decimal(1)}
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update=free)
    desk = OrderDesk(ledger=ledger, broker=broker, clock=clock, policy=policy, worker="bench", pool="bench")
    with ledger.read() as session:
        assert effective_control(session, str(broker.account_id), "bench").strictness == 0, "the bench pool is stopped"
    taken: dict[str, list[float]] = {"ours": [], "bare": [], "commit": []}
    deadline = time.monotonic() + SECONDS_MAX
    for number in range(orders):
        began = time.monotonic()
        side = OrderSide.BUY if number % 2 == 0 else OrderSide.SELL
        quote = broker.quotes([_INSTRUMENT])[0]
        took, intent_id = _submit(desk, broker, side, quote, number)
        taken["ours"].append(took)
        taken["bare"].append(_place(direct, side.opposite, clock))
        taken["commit"].append(_bare_commit(ledger, number))
        (ended,) = desk.drive([intent_id], timeout_s=10)
        assert ended.state is IntentState.FILLED, f"a market order must fill, ended {ended.state}: {ended.detail}"
        if time.monotonic() > deadline:
            break
        clock.wait(PACE_S - (time.monotonic() - began))
    return taken


def _submit(desk: OrderDesk, broker: Broker, side: OrderSide, quote: Quote, number: int) -> tuple[float, str]:
    """From the wish to the venue's acknowledgement on record."""
    wanted = WantedOrder(
        account_id=broker.account_id,
        business_key=f"bench-{number}-{uuid.uuid4().hex[:8]}",
        source="bench",
        request=_request(side),
        reference=quote,
        ttl_s=60,
    )
    began = time.perf_counter()
    view = desk.submit(wanted)
    while view.state in (IntentState.READY, IntentState.CLAIMED, IntentState.SENDING):
        view = desk.advance(view.intent_id)
    return time.perf_counter() - began, str(view.intent_id)


def _place(broker: Broker, side: OrderSide, clock: SystemClock) -> float:
    name = uuid.uuid4().hex
    ticket = SendTicket(
        send_id=name,
        not_after=datetime.now(UTC) + timedelta(seconds=4),
        send_by_monotonic_s=clock.monotonic() + 4,
        timeout_s=10,
    )
    began = time.perf_counter()
    broker.place(broker.prepare_order(_request(side), ClientOrderId(name)), ticket)
    return time.perf_counter() - began


def _request(side: OrderSide) -> OrderRequest:
    return OrderRequest(instrument_id=_INSTRUMENT, side=side, order_type=OrderType.MARKET, quantity=Decimal("0.01"))
