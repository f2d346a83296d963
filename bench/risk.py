"""What a decision costs in processor time: every check with 200 intents open, beside the notional check alone.

The pure part is `assess`; the whole adds what the transaction reads for it (intents, strategy, marks, pool).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from bench.calls import SIMULATOR, our_broker
from bench.measure import Row
from bench.processes import simulator
from brokers.clock import SystemClock
from brokers.ids import Environment, InstrumentId
from brokers.port import Broker
from brokers.types import OrderRequest, OrderSide, OrderType, Quote
from ledger.engine import Ledger
from ledger.states import IntentState
from ledger.tables import OrderIntent
from trading.orders.context import DeskContext
from trading.orders.exposure import exposure_for
from trading.orders.intents import WantedOrder, row_of
from trading.orders.protocol import ProtocolLimits
from trading.orders.spool import spool_of
from trading.risk import RiskPolicy, assess
from trading.risk.checks import expected_price, order_notional

OPEN_INTENTS = 200
DECISIONS = 500
P99_MS_MAX = 2.0  # with what the ledger says
_INSTRUMENT = InstrumentId("BTC/USDT:USDT")


def run(folder: Path, *, decisions: int = DECISIONS) -> list[Row]:
    """Time `decisions` decisions on one ledger; nothing is sent."""
    with (
        simulator(folder, SIMULATOR) as address,
        our_broker(address) as broker,
        Ledger.open(f"sqlite:///{folder / 'risk.db'}", environment=Environment.SIMULATED) as ledger,
    ):
        pure, bare, whole = _times(ledger, broker, decisions)
    return [
        Row(
            section="Risk",
            what="every check of one order, p99",
            ours=f"{_p99(pure):.3f} ms",
            baseline=f"{_p99(bare):.3f} ms the notional alone",
            ratio=f"{_median(pure) / _median(bare):.0f}",
            detail=f"{decisions} decisions, median {_median(pure):.3f} ms",
        ),
        Row(
            section="Risk",
            what=f"with what the ledger says of {OPEN_INTENTS} open intents, p99",
            ours=f"{_p99(whole):.2f} ms",
            baseline=f"{_p99(bare):.3f} ms the notional alone",
            ratio=f"{_median(whole) / _median(bare):.0f}",
            aim=f"≤ {P99_MS_MAX:.0f} ms",
            held=_p99(whole) <= P99_MS_MAX,
            detail=f"median {_median(whole):.2f} ms; the queries are most of it",
        ),
    ]


def _times(ledger: Ledger, broker: Broker, decisions: int) -> tuple[list[float], list[float], list[float]]:
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(update={"open_orders_max": OPEN_INTENTS + 1})
    clock = SystemClock()
    ctx = DeskContext(
        ledger=ledger,
        broker=broker,
        clock=clock,
        policy=policy,
        worker="bench",
        pool="bench",
        limits=ProtocolLimits(),
        spool=spool_of(ledger.url),
    )
    quote = broker.quotes([_INSTRUMENT])[0]
    request = OrderRequest(_INSTRUMENT, OrderSide.BUY, OrderType.MARKET, Decimal("0.01"))
    instrument, reading = ctx.instrument(_INSTRUMENT), ctx.account(instrument_id=_INSTRUMENT)
    assert instrument is not None, "the simulator lists the instrument"
    own = _fill(ledger, broker, request, quote)
    pure, bare, whole = [], [], []
    for _ in range(decisions):
        now = datetime.now(UTC)
        with ledger.write() as session:
            began = time.thread_time()
            exposure = exposure_for(session, ctx, own, request, instrument, reading)
            read = time.thread_time()
            assess(request, instrument, quote, exposure, policy, now)
            ended = time.thread_time()
        whole.append(ended - began)
        pure.append(ended - read)
        bare.append(_timed(lambda: order_notional(request, instrument, expected_price(request, quote))))
    return pure, bare, whole


def _fill(ledger: Ledger, broker: Broker, request: OrderRequest, quote: Quote) -> OrderIntent:
    """Open intents on the record, and the one that is decided on."""
    with ledger.write() as session:
        now = ledger.now(session)
        for number in range(OPEN_INTENTS + 1):
            wanted = WantedOrder(broker.account_id, f"bench-{number}", "bench", request, quote, ttl_s=3600)
            row = row_of(wanted, now=now, attempts_max=3)
            row.state = IntentState.WORKING.value
            row.reserved_notional = Decimal(500)
            session.add(row)
    row.state = IntentState.READY.value
    return row


def _timed(work: Callable[[], object]) -> float:
    began = time.thread_time()
    work()
    return time.thread_time() - began


def _median(taken: list[float]) -> float:
    return sorted(taken)[len(taken) // 2] * 1000


def _p99(taken: list[float]) -> float:
    return sorted(taken)[int(len(taken) * 0.99)] * 1000
