"""NautilusTrader's reconciliation of the same fills, run by the Python of a private environment that has its package.

    PYTHON -m bench.nautilus_peer 100000        (nothing of ours is imported here)

Two passes over one mass status of filled orders with their fills: the first brings an engine that knows nothing to the
venue's state, the second compares an engine that knows everything. Its facts are orders and fills; it has no wallet
changes and no balances to compare.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from decimal import Decimal

import nautilus_trader
from nautilus_trader.cache.cache import Cache
from nautilus_trader.common.component import LiveClock, MessageBus
from nautilus_trader.core.uuid import UUID4
from nautilus_trader.execution.reports import ExecutionMassStatus, FillReport, OrderStatusReport
from nautilus_trader.live.config import LiveExecEngineConfig
from nautilus_trader.live.execution_engine import LiveExecutionEngine
from nautilus_trader.model.currencies import USDT
from nautilus_trader.model.enums import LiquiditySide, OrderSide, OrderStatus, OrderType, TimeInForce
from nautilus_trader.model.identifiers import (
    AccountId,
    ClientId,
    ClientOrderId,
    InstrumentId,
    Symbol,
    TradeId,
    TraderId,
    Venue,
    VenueOrderId,
)
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.portfolio.portfolio import Portfolio
from nautilus_trader.test_kit.stubs.execution import TestExecStubs

INSTRUMENTS = 20
VENUE = Venue("BYBIT")
ACCOUNT = AccountId("BYBIT-001")
START_NS = 1_772_323_260_000_000_000  # 2026-03-01 00:01 UTC, as the other side's


def instrument(number: int) -> CryptoPerpetual:
    return CryptoPerpetual(
        instrument_id=InstrumentId(Symbol(f"C{number:02d}USDT"), VENUE),
        raw_symbol=Symbol(f"C{number:02d}USDT"),
        base_currency=USDT,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=2,
        price_increment=Price.from_str("0.01"),
        size_precision=3,
        size_increment=Quantity.from_str("0.001"),
        margin_init=Decimal("0.05"),
        margin_maint=Decimal("0.025"),
        maker_fee=Decimal(0),
        taker_fee=Decimal(0),
        ts_event=0,
        ts_init=0,
    )


def engine_with(instruments: list[CryptoPerpetual]) -> LiveExecutionEngine:
    """An engine with an account and instruments, its loop not running: what is measured is called directly."""
    clock, trader = LiveClock(), TraderId("BENCH-001")
    bus = MessageBus(trader_id=trader, clock=clock)
    cache = Cache()
    Portfolio(msgbus=bus, cache=cache, clock=clock)
    for item in instruments:
        cache.add_instrument(item)
    cache.add_account(TestExecStubs.margin_account(account_id=ACCOUNT))
    return LiveExecutionEngine(
        loop=asyncio.new_event_loop(),
        msgbus=bus,
        cache=cache,
        clock=clock,
        config=LiveExecEngineConfig(reconciliation=True, filter_position_reports=True),
    )


def mass_status(fills: int, instruments: list[CryptoPerpetual]) -> ExecutionMassStatus:
    """Orders of two fills each, all filled."""
    status = ExecutionMassStatus(
        client_id=ClientId("BYBIT"), account_id=ACCOUNT, venue=VENUE, report_id=UUID4(), ts_init=0
    )
    orders, trades = [], []
    for number in range(fills // 2):
        traded = instruments[number % INSTRUMENTS].id
        side = OrderSide.BUY if number % 3 else OrderSide.SELL
        quantity = Quantity(Decimal(number % 97 + 1) / 1000, 3)
        total = Quantity(2 * quantity.as_decimal(), 3)
        identity, client = VenueOrderId(f"order-{number:08d}"), ClientOrderId(f"client-{number:08d}")
        at = START_NS + number * 1_000_000_000
        orders.append(
            OrderStatusReport(
                account_id=ACCOUNT,
                instrument_id=traded,
                venue_order_id=identity,
                client_order_id=client,
                order_side=side,
                order_type=OrderType.MARKET,
                time_in_force=TimeInForce.IOC,
                order_status=OrderStatus.FILLED,
                quantity=total,
                filled_qty=total,
                avg_px=Decimal("100.25"),
                report_id=UUID4(),
                ts_accepted=at,
                ts_last=at + 500_000_000,
                ts_init=at,
            )
        )
        trades += [
            FillReport(
                account_id=ACCOUNT,
                instrument_id=traded,
                venue_order_id=identity,
                client_order_id=client,
                trade_id=TradeId(f"trade-{2 * number + part:08d}"),
                order_side=side,
                last_qty=quantity,
                last_px=Price.from_str("100.25"),
                commission=Money(Decimal("0.0123"), USDT),
                liquidity_side=LiquiditySide.TAKER,
                report_id=UUID4(),
                ts_event=at + part * 500_000_000,
                ts_init=at,
            )
            for part in (0, 1)
        ]
    status.add_order_reports(orders)
    status.add_fill_reports(trades)
    return status


def main(fills: int) -> None:
    instruments = [instrument(number) for number in range(INSTRUMENTS)]
    engine, before = engine_with(instruments), peak_mb()
    status = mass_status(fills, instruments)
    found: dict[str, object] = {"fills": fills, "version": nautilus_trader.__version__}
    for name in ("first", "again"):
        began, cpu = time.perf_counter(), time.process_time()
        assert engine._reconcile_execution_mass_status(status), f"the {name} pass must reconcile"
        found[f"{name}_s"] = time.perf_counter() - began
        found[f"{name}_cpu_s"] = time.process_time() - cpu
    orders = engine._cache.orders()
    known = sum(len(order.trade_ids) for order in orders)
    assert known == fills, f"every fill must be known to it, were {known} of {fills}"
    found["memory_mb"] = peak_mb() - before  # with the venue's reports, as ours is with the venue's facts
    print(json.dumps(found))


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(int(sys.argv[1]))
