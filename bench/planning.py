"""Plan 5,000 lines, and a run of 5,000 lines on each of 10 accounts, in CPU seconds.

Three baselines: the same planner with a tenth of the lines (how it grows); the bare arithmetic of the same book in
exact decimals (what filters, money, reasons, record and hash cost on top); and bt's Rebalance, the field's library for
it, where BENCH_BT_PYTHON names an interpreter that has it (bench/bt_rebalance.py).
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from pathlib import Path
from random import Random
from typing import TypeVar

from bench.measure import Row
from brokers.ids import AccountId, InstrumentId
from brokers.rounding import MONEY, quantise_quantity
from brokers.types import Instrument, ProductKind, Quote
from trading.rebalancing import AccountView, Holding, Portfolio, plan
from trading.rebalancing.allocation import allocate
from trading.rebalancing.run_plan import AccountPlan, RunPlan, assembled
from trading.rebalancing.subscription import Subscription

LINES, ACCOUNTS = 5_000, 10
AIM_S = 5.0
RUN_AIM_S = 30.0
GROWTH_MAX = 2.0  # time per line against a tenth of the lines, and of a run against its accounts one by one
BT_VARIABLE = "BENCH_BT_PYTHON"
T = TypeVar("T")


def run(*, lines: int = LINES, accounts: int = ACCOUNTS, repeats: int = 3) -> list[Row]:
    """Time one account at both sizes, the run, and the baselines; each the median of `repeats`."""
    few, many = lines // 10, lines
    few_s, _ = _timed(lambda: plan(*inputs_of(few)), repeats)
    portfolio, view = inputs_of(many)
    many_s, made = _timed(lambda: plan(portfolio, view), repeats)
    assert made.legs, "the benchmark's portfolio must need trades"
    growth = (many_s / many) / (few_s / few)
    case = _Run(lines, accounts)
    run_s, decided = _timed(case.decide, 1)
    bare_s, legs = _timed(lambda: bare(portfolio, view), repeats)
    total = len(decided.legs)
    assert legs and total >= accounts, "every account must need trades"
    return [
        Row("Plan", f"{many:,} lines", f"{many_s:.2f} s", f"{few_s:.3f} s for {few:,}", f"{growth:.2f} per line",
            f"≤ {AIM_S:.0f} s, growth ≤ {GROWTH_MAX}", many_s <= AIM_S and growth <= GROWTH_MAX,
            f"{len(made.legs)} legs; median of {repeats}"),
        Row("Plan", f"{many:,} lines × {accounts} accounts, one run", f"{run_s:.2f} s",
            f"{many_s * accounts:.2f} s one by one", f"{run_s / (many_s * accounts):.2f} of it",
            f"≤ {RUN_AIM_S:.0f} s, ≤ {GROWTH_MAX}", run_s <= RUN_AIM_S and run_s <= GROWTH_MAX * many_s * accounts,
            f"{total} legs, shared out in tenths, with hash"),
        Row("Plan", f"{many:,} lines, beside the bare arithmetic", f"{many_s:.2f} s", f"{bare_s:.3f} s",
            f"{many_s / bare_s:.1f} ×", detail="exact decimals and whole lots only: no filter, no money"),
        *_beside_bt(many, accounts, run_s),
    ]  # fmt: skip


def _timed(work: Callable[[], T], repeats: int) -> tuple[float, T]:
    """CPU seconds of the median call, and its result: wall time says little on a machine that others use."""
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        made = work()
        taken.append(time.process_time() - began)
    return statistics.median(taken), made


def bare(portfolio: Portfolio, view: AccountView) -> list[tuple[InstrumentId, Decimal]]:
    """The least that any exact planner must do: weights to quantities, less what is held, in whole lots."""
    held = view.net_quantities()
    with localcontext(MONEY):
        found = []
        for key, weight in portfolio.targets.items():
            instrument, quote = view.instruments[key], view.quotes[key]
            target = weight * (1 - portfolio.cash_buffer) * view.equity / (quote.mid * instrument.contract_size)
            change = quantise_quantity(target - held.get(key, Decimal(0)), lot=instrument.lot_size)
            if change:
                found.append((key, change))
        return found


class _Run:
    """One portfolio of `lines` on each of `accounts` accounts, in equal shares of the joint equity."""

    def __init__(self, lines: int, accounts: int) -> None:
        self.views: dict[str, AccountView] = {}
        for number in range(accounts):
            self.portfolio, view = inputs_of(lines, seed=number)
            account_id = AccountId.parse(f"bybit.simulated.a{number}")
            self.views[f"bybit-simulated-a{number}"] = replace(view, account_id=account_id)
        share = format(1 / Decimal(accounts), "f")
        self.subscription = Subscription.model_validate(
            {
                "name": "bench",
                "portfolio": "bench",
                "base_currency": "USDT",
                "split": "shares",
                "accounts": [{"account": name, "share": share} for name in self.views],
            }
        )

    def decide(self) -> RunPlan:
        rates = {"USDT": Decimal(1)}
        shares = allocate(self.subscription, self.portfolio, views=self.views, rates=rates)
        plans = []
        for name, item in shares.items():
            assert item.portfolio is not None, item.detail
            made = plan(item.portfolio, self.views[name])
            plans.append(AccountPlan(account_name=name, plan=made, base_rate=Decimal(1)))
        time_of = max(view.time for view in self.views.values())
        return assembled(self.subscription, self.portfolio, time=time_of, accounts=plans, problems=(), conversions=())


def _beside_bt(lines: int, accounts: int, run_s: float) -> list[Row]:
    """bt's Rebalance over as many books of as many lines, where an interpreter with bt is named."""
    interpreter, what = os.environ.get(BT_VARIABLE, ""), f"{lines:,} lines × {accounts} accounts, beside bt"
    if not interpreter:
        return [
            Row("Plan", what, f"{run_s:.2f} s", "not measured", "–", detail=f"set {BT_VARIABLE} to a python with bt")
        ]
    script = Path(__file__).with_name("bt_rebalance.py")
    done = subprocess.run(
        [interpreter, "-W", "ignore", str(script), str(lines), str(accounts)],
        capture_output=True, text=True, timeout=900, check=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    return [
        Row("Plan", what, f"{run_s:.2f} s", f"{found['cpu_s']:.2f} s, bt {found['version']}",
            f"{run_s / found['cpu_s']:.1f} ×", detail="bt: compiled, binary floats, no venue rules, money or reasons"),
    ]  # fmt: skip


def inputs_of(lines: int, *, seed: int = 0) -> tuple[Portfolio, AccountView]:
    """A book of `lines` perpetuals that drifted at random from equal weights."""
    random = Random(lines + seed)
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
        fee_rates=dict.fromkeys(ProductKind, Decimal("0.001")),
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
