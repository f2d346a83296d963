"""The alert queue on SQLite, on the disk of the temporary folder, synced: taking in, reading, working, expiring, and
what an alert that kills its workers costs the others."""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.measure import Row
from bench.queue_worker import DEADLY, read, work
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.inbox import AlertStore, Delivery, InboxState

GROUP = 100
ALERTS = 2_000
WORKED = 300
STALE = 10_000
LANES = 20
TTL_S = 20  # long enough to read them all
RATE_PER_S = 5
SECONDS = 16
WORKERS = 2
OTHERS_SHARE_MIN = 0.95
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["bench.__main__"])


def run(folder: Path) -> list[Row]:
    """Every measurement; about a minute."""
    with Ledger.open(f"sqlite:///{folder / 'queue.db'}", environment=Environment.SIMULATED) as ledger:
        rows = [*_in_and_out(AlertStore(ledger)), _stale(AlertStore(ledger))]
    return [*rows, _poison(folder)]


def _in_and_out(store: AlertStore) -> list[Row]:
    received_s = _timed(lambda: _receive(store, ALERTS, ttl_s=3_600))
    read_s = _timed(lambda: _read_all(store))
    worked_s = _timed(lambda: _work(store, WORKED))
    return [
        _row(f"received and synced, {GROUP} at once", f"{ALERTS / received_s:,.0f} a second"),
        _row("read into their lanes, 100 at once", f"{ALERTS / read_s:,.0f} a second"),
        _row("claimed and ended, one by one", f"{WORKED / worked_s:,.0f} a second"),
    ]


def _stale(store: AlertStore) -> Row:
    """One claim ends them all, and hands out one of those whose time is not over."""
    before = store.backlog().open
    _receive(store, STALE, ttl_s=TTL_S)
    _read_all(store)
    time.sleep(max(0.0, TTL_S + 0.5 - _age_s(store)))
    began = time.perf_counter()
    claim = store.claim(worker="bench")
    took_s = time.perf_counter() - began
    is_held = claim is not None and not claim.is_expired and store.backlog().open == before
    aim = "none handed out"
    return _row(f"{STALE:,} alerts whose time is over", f"ended in {took_s:.1f} s", aim=aim, held=is_held)


def _age_s(store: AlertStore) -> float:
    return (datetime.now(UTC) - store.list(limit=1)[0].received_at).total_seconds()


def _poison(folder: Path) -> Row:
    """Alerts at a steady rate, without and with one that kills its worker: how many of the others are done in time."""
    plain, _ = _play(folder / "plain.db", deadly=False)
    beside, claims = _play(folder / "deadly.db", deadly=True)
    share = beside / plain if plain else 0.0
    return _row(
        f"other lanes beside an alert that kills its worker, {WORKERS} workers, the dead started again",
        f"{share:.0%} of their rate",
        aim=f"at least {OTHERS_SHARE_MIN:.0%}, dead after 5",
        held=share >= OTHERS_SHARE_MIN and claims == 5,
        detail=f"{claims} claims of it; {plain} and {beside} of {RATE_PER_S * SECONDS} alerts done in {SECONDS} s",
    )


def _play(path: Path, *, deadly: bool) -> tuple[int, int]:
    """How many alerts were done when the time was over, and how often the deadly one was claimed."""
    url = f"sqlite:///{path}"
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger:
        store, crew = AlertStore(ledger), [_start(url, f"w{number}") for number in range(WORKERS)]
        try:
            _warm_up(store)
            first = store.receive([_delivery(0, symbol=DEADLY, ttl_s=3_600)])[0].alert_id if deadly else 0
            began = time.monotonic()
            for number in range(1, RATE_PER_S * SECONDS + 1):
                store.receive([_delivery(number, symbol=f"S{number % LANES}", ttl_s=3_600)])
                crew = [process if process.is_alive() else _start(url, f"n{number}") for process in crew]
                time.sleep(max(0.0, began + number / RATE_PER_S - time.monotonic()))
            return _placed(store), store.show(first).attempts if deadly else 0
        finally:
            for process in crew:
                process.kill()
                process.join()


def _warm_up(store: AlertStore) -> None:
    """Wait until both workers have opened the ledger and done something."""
    store.receive([_delivery(number, symbol=f"W{number}", ttl_s=3_600) for number in range(10 * WORKERS)])
    while store.backlog().open:
        time.sleep(0.05)


def _placed(store: AlertStore) -> int:
    lanes = [f"bench.simulated.main|S{number}" for number in range(LANES)]
    return sum(len(store.list(lane=lane, states=[InboxState.PLACED], limit=500)) for lane in lanes)


def _start(url: str, name: str) -> Any:
    """Forked from a server that has imported everything: what is measured is the queue, not the start of a Python."""
    process = _CONTEXT.Process(target=work, args=(url, name), daemon=True)
    process.start()
    return process


# -- parts ------------------------------------------------------------------------------------------------------
def _delivery(number: int, *, symbol: str, ttl_s: int) -> Delivery:
    body = {"symbol": symbol, "key": f"{ttl_s} {number} {symbol}", "ttl_s": ttl_s, "comment": "x" * 200}
    return Delivery(source="bench", raw=json.dumps(body).encode(), received_at=datetime.now(UTC))


def _receive(store: AlertStore, alerts: int, *, ttl_s: int) -> None:
    for start in range(0, alerts, GROUP):
        numbers = range(start, start + GROUP)
        store.receive([_delivery(number, symbol=f"S{number % LANES}", ttl_s=ttl_s) for number in numbers])


def _read_all(store: AlertStore) -> None:
    while store.admit(read, worker="bench"):
        pass


def _work(store: AlertStore, alerts: int) -> None:
    for _ in range(alerts):
        claim = store.claim(worker="bench")
        assert claim is not None
        store.finish(claim, InboxState.PLACED, reason="BENCH_PLACED")


def _timed(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def _row(what: str, ours: str, *, aim: str = "", held: bool | None = None, detail: str = "") -> Row:
    return Row("queue", what, ours, "", "", aim=aim, held=held, detail=detail)
