"""Reconcile 200,000 fills with their wallet changes; the baseline is 10,000, so the ratio shows how it grows.

Each size runs in a process of its own, whose peak memory is compared with the same process before the work. Facts come
from generators, as they come from the ledger and from the venue's pages: what is measured is the comparison's own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from bench.measure import Row
from brokers.ids import AccountId, InstrumentId, TradeId, VenueOrderId
from brokers.types import (
    Balance,
    CashEvent,
    CashEventKind,
    Fill,
    LiquiditySide,
    OrderSide,
    Position,
    PositionMode,
    PositionSide,
)
from trading.reconciliation import LedgerView, VenueView, reconcile

FILLS = 200_000
FILLS_FEW = 10_000
AIM_S = 60.0
GROWTH_MAX = 1.5
KB_PER_FILL_MAX = 2
_ACCOUNT = AccountId.parse("bybit.simulated.bench")
_START = datetime(2026, 3, 1, tzinfo=UTC)
_INSTRUMENTS = tuple(InstrumentId(f"C{number:02d}/USDT:USDT") for number in range(20))
_FEE = Decimal("0.0123")


@dataclass(frozen=True, slots=True)
class Taken:
    fills: int
    seconds: float
    memory_mb: float

    @property
    def kb_per_fill(self) -> float:
        return self.memory_mb * 1024 / self.fills


def run(*, fills: int = FILLS, few: int = FILLS_FEW) -> list[Row]:
    """Time and peak memory at both sizes."""
    small, large = _in_child(few), _in_child(fills)
    time_growth = (large.seconds / large.fills) / (small.seconds / small.fills)
    return [
        Row(
            section="Reconcile",
            what=f"{fills:,} fills, time",
            ours=f"{large.seconds:.1f} s",
            baseline=f"{small.seconds:.2f} s for {few:,}",
            ratio=f"{time_growth:.2f} per fill",
            aim=f"≤ {AIM_S:.0f} s, growth ≤ {GROWTH_MAX}",
            held=large.seconds <= AIM_S and time_growth <= GROWTH_MAX,
            detail="a fill and a fee each, both sides",
        ),
        Row(
            section="Reconcile",
            what=f"{fills:,} fills, peak memory",
            ours=f"{large.memory_mb:.0f} MB",
            baseline=f"{small.memory_mb:.0f} MB for {few:,}",
            ratio=f"{large.kb_per_fill:.2f} kB per fill",
            aim=f"≤ {KB_PER_FILL_MAX} kB per fill",
            held=large.kb_per_fill <= KB_PER_FILL_MAX,
            detail="above the process before the work",
        ),
    ]


def _in_child(fills: int) -> Taken:
    done = subprocess.run(
        [sys.executable, "-m", "bench.reconciling", str(fills)], check=True, capture_output=True, text=True
    )
    return Taken(**json.loads(done.stdout))


def measure(fills: int) -> Taken:
    """Reconcile two equal accounts of `fills` fills in this process."""
    ledger, venue = _views(fills)
    before = _peak_mb()
    began = time.perf_counter()
    found = reconcile(ledger, venue, now=_at(fills) + timedelta(hours=1))
    took = time.perf_counter() - began
    assert found.is_clean, f"equal accounts must give no break, gave {found.breaks[:3]}"
    assert found.compared["venue_fills"] == fills, f"every fill must be compared, were {found.compared}"
    return Taken(fills, took, _peak_mb() - before)


def _views(fills: int) -> tuple[LedgerView, VenueView]:
    end = _at(fills)
    quantities: dict[InstrumentId, Decimal] = {}
    for fill in _fills(fills):
        signed = fill.side.sign * fill.quantity
        quantities[fill.instrument_id] = quantities.get(fill.instrument_id, Decimal(0)) + signed
    wallet = Decimal(1_000_000) - _FEE * fills
    ledger = LedgerView(
        account_id=_ACCOUNT,
        orders=(),
        fills=_fills(fills),
        cash_events=_fees(fills),
        positions={key: quantity for key, quantity in quantities.items() if quantity},
        balances={"USDT": wallet},
        orders_known_until=end,
        fills_known_until=end,
        cash_events_known_until=end,
    )
    venue = VenueView(
        account_id=_ACCOUNT,
        orders=(),
        fills=_fills(fills),
        cash_events=_fees(fills),
        positions=[_position(key, quantity) for key, quantity in quantities.items() if quantity],
        balances=[Balance(_ACCOUNT, "USDT", wallet, None, Decimal(0), end)],
        window_start=_START,
        read_at=end,
    )
    return ledger, venue


def _fills(count: int) -> Iterator[Fill]:
    for number in range(count):
        yield Fill(
            account_id=_ACCOUNT,
            trade_id=TradeId(f"trade-{number:08d}"),
            venue_order_id=VenueOrderId(f"order-{number // 2:08d}"),
            client_order_id=None,
            instrument_id=_INSTRUMENTS[number % len(_INSTRUMENTS)],
            side=OrderSide.BUY if number % 3 else OrderSide.SELL,
            quantity=Decimal(number % 97 + 1) / 1000,
            price=Decimal("100.25"),
            fee=_FEE,
            fee_currency="USDT",
            liquidity=LiquiditySide.TAKER,
            time=_at(number),
        )


def _fees(count: int) -> Iterator[CashEvent]:
    for number in range(count):
        yield CashEvent(
            account_id=_ACCOUNT,
            event_id=f"event-{number:08d}",
            kind=CashEventKind.FEE,
            currency="USDT",
            amount=-_FEE,
            time=_at(number),
            trade_id=TradeId(f"trade-{number:08d}"),
        )


def _at(number: int) -> datetime:
    return _START + timedelta(minutes=1) + timedelta(milliseconds=500) * number


def _position(key: InstrumentId, quantity: Decimal) -> Position:
    return Position(
        account_id=_ACCOUNT,
        instrument_id=key,
        side=PositionSide.LONG if quantity > 0 else PositionSide.SHORT,
        quantity=quantity,
        average_price=None,
        mark_price=None,
        unrealised_pnl=None,
        realised_pnl=None,
        leverage=None,
        mode=PositionMode.ONE_WAY,
        time=_START,
    )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    taken = measure(int(sys.argv[1]))
    print(json.dumps({"fills": taken.fills, "seconds": taken.seconds, "memory_mb": taken.memory_mb}))
