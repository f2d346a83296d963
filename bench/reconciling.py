"""Reconcile 10,000 to 1,000,000 fills with their wallet changes: time, peak memory, and how both grow.

The comparison alone is measured on generated facts, and a whole run (bench.reconciling_whole) on a ledger and a venue
that hold them. Each size runs in a process of its own, whose peak memory is compared with the same process before.

    ALGOTRENDY_BENCH_FILLS=10000,100000,1000000   other sizes of the comparison
    ALGOTRENDY_BENCH_WHOLE=10000,100000,1000000   other sizes of whole runs (1,000,000 takes some minutes to set up)
    ALGOTRENDY_BENCH_NAUTILUS=/path/to/python     a Python that has nautilus_trader, to reconcile the same fills beside
"""

from __future__ import annotations

import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
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

FILLS = (10_000, 100_000, 1_000_000)
WHOLE = (10_000, 100_000)
AIM_S = 60.0
EXPONENT_MAX = 1.15
KB_PER_FILL_MAX = 2
PEER = (10_000, 40_000)  # theirs grows with the square: 100,000 take it minutes
ACCOUNT = AccountId.parse("bybit.simulated.bench")
_START = datetime(2026, 3, 1, tzinfo=UTC)
_INSTRUMENTS = tuple(InstrumentId(f"C{number:02d}/USDT:USDT") for number in range(20))
FEE = Decimal("0.0123")


@dataclass(frozen=True, slots=True)
class Taken:
    """What one size took; memory is above the process before the work."""

    fills: int
    seconds: float
    cpu_s: float
    memory_mb: float

    @property
    def kb_per_fill(self) -> float:
        return self.memory_mb * 1024 / self.fills


def run(*, sizes: Sequence[int] = (), whole: Sequence[int] = ()) -> list[Row]:
    """Time and peak memory at each size, their growth, and the peer's where there is one."""
    sizes = sizes or _sizes("ALGOTRENDY_BENCH_FILLS", FILLS)
    whole = whole or _sizes("ALGOTRENDY_BENCH_WHOLE", WHOLE)
    alone = [_in_child("bench.reconciling", fills) for fills in sizes]
    runs = [_in_child("bench.reconciling_whole", fills) for fills in whole]
    return [
        *_rows("comparison alone", alone, kb_per_fill_max=KB_PER_FILL_MAX),
        *_rows("whole run: ledger, venue, books, records", runs, kb_per_fill_max=None),
        *_beside(alone),
    ]


def _sizes(variable: str, default: Sequence[int]) -> Sequence[int]:
    given = os.environ.get(variable, "")
    return tuple(int(text) for text in given.split(",")) if given else default


def _rows(what: str, taken: Sequence[Taken], *, kb_per_fill_max: float | None) -> list[Row]:
    first, last = taken[0], taken[-1]
    rows = []
    for item in taken:
        is_aimed_at = item is last and kb_per_fill_max is not None
        fits = kb_per_fill_max is not None and item.kb_per_fill <= kb_per_fill_max
        rows.append(
            Row(
                section="Reconcile",
                what=f"{item.fills:,} fills, {what}",
                ours=f"{item.seconds:.2f} s ({item.cpu_s:.2f} s of CPU), {item.memory_mb:,.0f} MB",
                baseline=f"{first.seconds:.2f} s, {first.memory_mb:,.0f} MB for {first.fills:,}",
                ratio=f"{item.kb_per_fill:.2f} kB per fill",
                aim=f"≤ {AIM_S:.0f} s, ≤ {kb_per_fill_max} kB per fill" if is_aimed_at else "",
                held=item.seconds <= AIM_S and fits if is_aimed_at else None,
                detail="a fill and a fee each, both sides",
            )
        )
    if len(taken) > 1:
        time_exponent = exponent(first.fills, first.cpu_s, last.fills, last.cpu_s)
        memory_exponent = exponent(first.fills, first.memory_mb, last.fills, last.memory_mb)
        rows.append(
            Row(
                section="Reconcile",
                what=f"growth from {first.fills:,} to {last.fills:,}, {what}",
                ours=f"time ~ n^{time_exponent:.2f}, memory ~ n^{memory_exponent:.2f}",
                baseline="n^1: linear",
                ratio=f"{time_exponent:.2f}",
                aim=f"≤ n^{EXPONENT_MAX}",
                held=max(time_exponent, memory_exponent) <= EXPONENT_MAX,
            )
        )
    return rows


def exponent(fills: int, amount: float, more_fills: int, more: float) -> float:
    """The power of n that an amount grew with."""
    return math.log(max(more, 1e-9) / max(amount, 1e-9)) / math.log(more_fills / fills)


def _beside(alone: Sequence[Taken]) -> list[Row]:
    """NautilusTrader's reconciliation of the same fills, by a Python that has it."""
    python = os.environ.get("ALGOTRENDY_BENCH_NAUTILUS", "")
    if not python:
        missing = "not measured: name a Python that has nautilus_trader in ALGOTRENDY_BENCH_NAUTILUS"
        return [Row("Reconcile", "beside NautilusTrader", "", missing, "")]
    measured = {item.fills: item for item in alone}
    rows = []
    for fills in _sizes("ALGOTRENDY_BENCH_NAUTILUS_FILLS", PEER):
        item = measured.get(fills) or _in_child("bench.reconciling", fills)
        script = os.path.join(os.path.dirname(__file__), "nautilus_peer.py")
        done = subprocess.run([python, script, str(item.fills)], check=True, capture_output=True, text=True)
        theirs = json.loads(done.stdout.splitlines()[-1])
        rows.append(
            Row(
                section="Reconcile",
                what=f"{item.fills:,} fills beside NautilusTrader {theirs['version']}",
                ours=f"{item.cpu_s:.2f} s of CPU, {item.memory_mb:,.0f} MB, with {item.fills:,} wallet changes",
                baseline=f"{theirs['first_cpu_s']:.2f} s of CPU first, {theirs['again_cpu_s']:.2f} s again, "
                f"{theirs['memory_mb']:,.0f} MB, no wallet changes",
                ratio=f"{theirs['first_cpu_s'] / item.cpu_s:.2f}x, {theirs['again_cpu_s'] / item.cpu_s:.2f}x again",
                detail="theirs over ours; first: an engine that knows nothing takes the fills in; again: one that "
                "knows them compares them, as ours does",
            )
        )
    return rows


def _in_child(module: str, fills: int) -> Taken:
    done = subprocess.run([sys.executable, "-m", module, str(fills)], check=True, capture_output=True, text=True)
    return Taken(**json.loads(done.stdout.splitlines()[-1]))


def measure(fills: int) -> Taken:
    """Reconcile two equal accounts of `fills` fills in this process."""
    ledger, venue = _views(fills)
    before = peak_mb()
    began, cpu = time.perf_counter(), time.process_time()
    found = reconcile(ledger, venue, now=at(fills) + timedelta(hours=1))
    took, cpu_s = time.perf_counter() - began, time.process_time() - cpu
    assert found.is_clean, f"equal accounts must give no break, gave {found.breaks[:3]}"
    assert found.compared["venue_fills"] == fills, f"every fill must be compared, were {found.compared}"
    return Taken(fills, took, cpu_s, peak_mb() - before)


def _views(fills: int) -> tuple[LedgerView, VenueView]:
    end = at(fills)
    quantities: dict[InstrumentId, Decimal] = {}
    for fill in fills_of(fills):
        signed = fill.side.sign * fill.quantity
        quantities[fill.instrument_id] = quantities.get(fill.instrument_id, Decimal(0)) + signed
    wallet = Decimal(1_000_000) - FEE * fills
    ledger = LedgerView(
        account_id=ACCOUNT,
        orders=(),
        fills=fills_of(fills),
        cash_events=fees_of(fills),
        positions={key: quantity for key, quantity in quantities.items() if quantity},
        balances={"USDT": wallet},
        orders_known_until=end,
        fills_known_until=end,
        cash_events_known_until=end,
    )
    venue = VenueView(
        account_id=ACCOUNT,
        orders=(),
        fills=fills_of(fills),
        cash_events=fees_of(fills),
        positions=[position_of(key, quantity) for key, quantity in quantities.items() if quantity],
        balances=[Balance(ACCOUNT, "USDT", wallet, None, Decimal(0), end)],
        window_start=_START,
        read_at=end,
    )
    return ledger, venue


def fills_of(count: int, numbers: range | None = None) -> Iterator[Fill]:
    for number in range(count) if numbers is None else numbers:
        yield Fill(
            account_id=ACCOUNT,
            trade_id=TradeId(f"trade-{number:08d}"),
            venue_order_id=VenueOrderId(f"order-{number // 2:08d}"),
            client_order_id=None,
            instrument_id=_INSTRUMENTS[number // 2 % len(_INSTRUMENTS)],
            side=OrderSide.BUY if (number // 2) % 3 else OrderSide.SELL,
            quantity=Decimal(number // 2 % 97 + 1) / 1000,
            price=Decimal("100.25"),
            fee=FEE,
            fee_currency="USDT",
            liquidity=LiquiditySide.TAKER,
            time=at(number),
        )


def fees_of(count: int, numbers: range | None = None) -> Iterator[CashEvent]:
    for number in range(count) if numbers is None else numbers:
        yield CashEvent(
            account_id=ACCOUNT,
            event_id=f"event-{number:08d}",
            kind=CashEventKind.FEE,
            currency="USDT",
            amount=-FEE,
            time=at(number),
            trade_id=TradeId(f"trade-{number:08d}"),
            balance_after=1_000_000 - FEE * (number + 1),
        )


def at(number: int) -> datetime:
    return _START + timedelta(minutes=1) + timedelta(milliseconds=500) * number


def numbers_in(count: int, since: datetime, until: datetime) -> range:
    """The fills of a window, `since <= time < until`."""
    first, end = (-((at(0) - time) // timedelta(milliseconds=500)) for time in (since, until))
    first, end = (place + (at(place) < time) for place, time in ((first, since), (end, until)))
    return range(max(first, 0), min(max(end, 0), count))


def position_of(key: InstrumentId, quantity: Decimal) -> Position:
    return Position(
        account_id=ACCOUNT,
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


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    print(json.dumps(asdict(measure(int(sys.argv[1])))))
