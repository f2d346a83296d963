"""A ledger that is restored from a backup while the venue went on: nothing may be sent before every order is explained.

The venue's orders of the last ten minutes are missing from the ledger. A job starts as all jobs do: it sweeps, and
goes on only when every order of ours at the venue belongs to an attempt on record. Not covered, because no mark tells
an order apart there: venues without client order ids, where reconciliation has to find the difference in the position.
"""

from __future__ import annotations

import random
import shutil
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

from brokers.clock import ManualClock
from brokers.ids import Environment
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.controls import effective_control
from ledger.invariants import Finding, Invariant
from ledger.records import intents_by_client_order_id
from ledger.states import ControlState
from tests.proof.histories import LIMITS, POLICY, Result
from tests.proof.ledgers import HistoryLedger, open_copy
from tests.proof.oracle import Verdict, lived
from tests.proof.venue import HistoryVenue
from tests.trading.orders.modelled import BTC, CLASSES, PRICE, START, quote
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder

Say = Callable[[str], None]
KINDS = tuple(kind for kind in CLASSES if kind != "no id")
POOL = "simulated"
AWAY_S = 600.0  # from the backup to the restore
STARTS_MAX = 8


def run_restore(source: Path, place: Path, *, seed: int, say: Say = lambda text: None) -> Result:
    """One ledger: some orders, a backup, more orders, the backup restored, and a job that wants to go on."""
    rng = random.Random(f"restore {seed}")
    kind = KINDS[seed % len(KINDS)]
    clock = ManualClock(START)
    venue = HistoryVenue(clock, kind=kind, seed=seed, name=f"restore-{seed}")
    live, backup = place / f"restore-{seed}.db", place / f"restore-{seed}.bak"
    ttl_s = rng.choice([60.0, 7_200.0])
    with open_copy(source, live, clock) as ledger:
        _work(ledger, venue, clock, rng, "before", rng.randint(0, 2), ttl_s)
        waits = rng.random() < 0.5  # an order that is on record in the backup, but not sent yet
        waiting = [_want(venue, rng, "waiting", ttl_s)] if waits else []
        for wanted in waiting:
            _desk(ledger, venue, clock).submit(wanted)
        shutil.copy(live, backup)
        if waiting:
            _desk(ledger, venue, clock).drive([wanted.intent_id for wanted in waiting], timeout_s=150)
        _work(ledger, venue, clock, rng, "after", rng.randint(0 if waits else 1, 2), ttl_s)
        clock.wait(AWAY_S)
        venue.settle()
    shutil.copy(backup, live)
    say(f"{kind}: {len(venue.orders)} orders at the venue, {len(venue.arrivals)} requests so far; restored")
    with open_copy(live, place / f"restored-{seed}.db", clock) as ledger:
        return _restart(ledger, venue, clock, rng, seed, kind, say)


def _restart(
    ledger: HistoryLedger,
    venue: HistoryVenue,
    clock: ManualClock,
    rng: random.Random,
    seed: int,
    kind: str,
    say: Say,
) -> Result:
    """Start jobs until one may go on or the pool is stopped; then say whether anything left too early."""
    unexplained, before = _unexplained(ledger, venue), len(venue.arrivals)
    findings: list[Finding] = []
    for _ in range(STARTS_MAX):
        desk = _desk(ledger, venue, clock)
        swept = desk.sweep()
        say(f"sweep: {swept.sightings or swept.unread or 'everything is explained'}")
        if unexplained and len(venue.arrivals) > before:
            detail = f"{len(venue.arrivals) - before} requests left while {unexplained} were not explained"
            findings.append(Finding(Invariant.STOPPED_MEANS_NONE, detail))
            break
        if swept.unread or swept.sightings:
            clock.wait(20)
            continue
        wanted = _want(venue, rng, "new", 60.0)
        desk.submit(wanted)
        desk.drive([wanted.intent_id], timeout_s=150)
        break
    with ledger.read() as session:
        control = effective_control(session, venue.account_id, POOL)
    if unexplained and control is not ControlState.HALT and not findings:
        detail = f"{unexplained} are not explained, the pool is {control}"
        findings.append(Finding(Invariant.STOPPED_MEANS_NONE, detail))
    findings += _doubled(venue)
    placed = sum(map(lived, venue.orders))
    return Result("restored", seed, [], placed, Verdict(tuple(findings), 0, True), venue.faults, Counter())


def _unexplained(ledger: HistoryLedger, venue: HistoryVenue) -> list[str]:
    """Orders at the venue whose attempt the restored ledger does not know."""
    with ledger.read() as session:
        ours = {order.client_order_id for order in venue.orders if lived(order) and order.client_order_id}
        known = intents_by_client_order_id(session, sorted(ours))
    return sorted(ours - set(known))


def _doubled(venue: HistoryVenue) -> list[Finding]:
    """One client order id, one order, whatever was forgotten."""
    counts = Counter(origin for order_id, origin in venue.origins.items() if order_id not in venue.doubled)
    return [
        Finding(Invariant.ONE_ORDER, f"{client_order_id} has {count} orders at the venue")
        for client_order_id, count in counts.items()
        if count > 1
    ]


def _work(
    ledger: HistoryLedger,
    venue: HistoryVenue,
    clock: ManualClock,
    rng: random.Random,
    name: str,
    orders: int,
    ttl_s: float,
) -> None:
    desk = _desk(ledger, venue, clock)
    wanted = [_want(venue, rng, f"{name} {number}", ttl_s) for number in range(orders)]
    for order in wanted:
        desk.submit(order)
    desk.drive([order.intent_id for order in wanted], timeout_s=150)


def _desk(ledger: HistoryLedger, venue: HistoryVenue, clock: ManualClock) -> OrderDesk:
    assert ledger.environment is Environment.SIMULATED
    return OrderDesk(ledger=ledger, broker=venue, clock=clock, policy=POLICY, worker="job", pool=POOL, limits=LIMITS)


def _want(venue: HistoryVenue, rng: random.Random, key: str, ttl_s: float) -> WantedOrder:
    is_market = rng.random() < 0.5
    request = OrderRequest(
        instrument_id=BTC,
        side=OrderSide.BUY,
        order_type=OrderType.MARKET if is_market else OrderType.LIMIT,
        quantity=Decimal("0.01"),
        limit_price=None if is_market else PRICE - 100,
    )
    return WantedOrder(venue.account_id, key, "restore", request, quote(venue), ttl_s=ttl_s)
