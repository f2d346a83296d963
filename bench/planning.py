"""Plan 5,000 lines; the baseline is the same planner with a tenth of them, so the ratio shows how it grows."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

from bench.measure import Row
from brokers.ids import AccountId, InstrumentId
from brokers.types import Instrument, ProductKind, Quote
from trading.rebalancing import AccountView, Holding, Plan, Portfolio, plan

LINES = 5_000
AIM_S = 5.0
GROWTH_MAX = 2.0  # time per line against a tenth of the lines


def run(*, lines: int = LINES, repeats: int = 3) -> list[Row]:
    """Time the planner at both sizes, each the median of `repeats`."""
    few, many = lines // 10, lines
    few_s, _ = _timed(few, repeats)
    many_s, made = _timed(many, repeats)
    growth = (many_s / many) / (few_s / few)
    detail = f"{len(made.legs)} legs; median of {repeats}"
    return [
        Row("Plan", f"{many:,} lines", f"{many_s:.2f} s", f"{few_s:.3f} s for {few:,}", f"{growth:.2f} per line",
            f"≤ {AIM_S:.0f} s, growth ≤ {GROWTH_MAX}", many_s <= AIM_S and growth <= GROWTH_MAX, detail),
    ]  # fmt: skip


def _timed(lines: int, repeats: int) -> tuple[float, Plan]:
    portfolio, view = inputs(lines)
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        made = plan(portfolio, view)
        taken.append(time.perf_counter() - began)
    assert made.legs, "the benchmark's portfolio must need trades"
    return statistics.median(taken), made


def inputs(lines: int) -> tuple[Portfolio, AccountView]:
    """A book of `lines` perpetuals that drifted at random from equal weights."""
    random = Random(lines)
    now = datetime(2026, 3, 2, tzinfo=UTC)
    equity = Decimal(100_000) * lines
    weight = (Decimal("0.9") / lines).quantize(Decimal("1e-9"))
    ids = [InstrumentId(f"C{number:05d}/USDT:USDT") for number in range(lines)]
    prices = {key: Decimal(random.randint(100, 90_000)) / 100 for key in ids}
    holdings = tuple(
        Holding(
            instrument_id=key,
            quantity=(equity * weight * Decimal(random.randint(70, 130)) / 100 / prices[key]).quantize(
                Decimal("0.001")
            ),
        )
        for key in ids
    )
    view = AccountView(
        account_id=AccountId.parse("bybit.simulated.bench"),
        quote_currency="USDT",
        time=now,
        equity=equity,
        free_money=equity / 2,
        holdings=holdings,
        quotes={
            key: Quote(key, bid=p - Decimal("0.01"), ask=p + Decimal("0.01"), last=p, time=now)
            for key, p in prices.items()
        },
        instruments={key: _instrument(key) for key in ids},
        fee_rate=Decimal("0.001"),
        leverages=dict.fromkeys(ids, Decimal(2)),
        modes={},
    )
    targets = {str(key): format(weight, "f") for key in ids}
    portfolio = Portfolio.model_validate(
        {"name": "bench", "quote_currency": "USDT", "targets": targets, "cash_buffer": "0.02"}
    )
    return portfolio, view


def _instrument(key: InstrumentId) -> Instrument:
    base = str(key).split("/")[0]
    return Instrument(
        instrument_id=key,
        venue_symbol=f"{base}USDT",
        product=ProductKind.LINEAR,
        base_currency=base,
        quote_currency="USDT",
        settle_currency="USDT",
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        quantity_min=Decimal("0.001"),
        notional_min=Decimal(5),
    )
