"""What bt takes to rebalance books of the same size: run by an interpreter that has bt, prints one JSON line.

bt (pmorissette/bt) is the field's library of composable rebalancing; its `Rebalance` turns weights into whole positions
in binary floats, without venues, filters, money or reasons. It is no dependency of ours: bench.planning runs this file
with the interpreter that BENCH_BT_PYTHON names.
"""

from __future__ import annotations

import json
import sys
import time
from random import Random

import bt  # type: ignore[import-not-found]
import pandas as pd


def main(lines: int, accounts: int) -> None:
    """Rebalance `accounts` books of `lines` once from drifted to equal weights; only that second step is timed."""
    random = Random(lines)
    names = [f"C{number:05d}" for number in range(lines)]
    prices = [random.randint(100, 90_000) / 100 for _ in names]
    days = pd.date_range("2026-03-02", periods=3)
    frame = pd.DataFrame([prices] * 3, index=days, columns=names)
    weight, rebalance = 0.88 / lines, bt.algos.Rebalance()
    wall_s = cpu_s = 0.0
    for _ in range(accounts):
        book = bt.Strategy("book", [], children=names)
        book.setup(frame)
        book.adjust(100_000.0 * lines)
        book.update(days[1])
        book.temp = {"weights": {name: weight * random.randint(70, 130) / 100 for name in names}}
        rebalance(book)
        book.update(days[2])
        book.temp = {"weights": dict.fromkeys(names, weight)}
        began, began_cpu = time.perf_counter(), time.process_time()
        rebalance(book)
        wall_s += time.perf_counter() - began
        cpu_s += time.process_time() - began_cpu
    print(json.dumps({"version": bt.__version__, "wall_s": wall_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
