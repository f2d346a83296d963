"""`python -m tests.proof`: run the layers of the proof, print one table, write proof-report/.

0 when every layer holds, 1 when one does not (or is missing), 2 when the command was not understood.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rich.console import Console

from tests.proof import table
from tests.proof.layers import LAYERS, replay, run_layer
from tests.proof.result import LayerResult

JOBS = 2
WIDTH = 172


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    options = parser.parse_args(arguments)
    names = options.layer or list(LAYERS)
    if options.trace:
        return _trace(parser, options)
    if options.kind and len(names) != 1:
        parser.error("--kind names a class of one layer: say which with --layer")
    return _run(options, names)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    shows = "; ".join(f"{name}: {layer.shows}" for name, layer in LAYERS.items())
    parser.add_argument("--layer", action="append", choices=list(LAYERS), help=f"may be given more than once. {shows}")
    parser.add_argument("--histories", type=int, default=0, help="how many, in place of what --scale says")
    parser.add_argument("--seed", type=int, default=0, help="the first seed; the same seed gives the same histories")
    parser.add_argument("--kind", default="", help="one venue class, or one mutant, of the layer")
    parser.add_argument("--scale", choices=["small", "full"], default="full", help="small is the cut of the test suite")
    parser.add_argument("--jobs", type=int, default=JOBS, help="processes at a time")
    parser.add_argument("--report", type=Path, default=Path("proof-report"), help="folder of the report")
    parser.add_argument("--trace", action="store_true", help="tell the one history of --layer, --kind and --seed")
    return parser


def _trace(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    if not options.layer or len(options.layer) != 1:
        parser.error("--trace tells one history: say which with one --layer, --kind and --seed")
    console = Console(highlight=False, soft_wrap=True)
    try:
        held = replay(
            options.layer[0],
            kind=options.kind,
            seed=options.seed,
            say=lambda text: console.print(text, markup=False, soft_wrap=True),
        )
    except (KeyError, ValueError) as error:
        parser.error(f"--kind {options.kind!r}: {error}")
    return 0 if held else 1


def _run(options: argparse.Namespace, names: list[str]) -> int:
    width = max(Console().width, WIDTH)  # a table cut to 80 columns cannot be read, not even in a log
    console, err = Console(highlight=False, width=width), Console(stderr=True, highlight=False)
    notes: list[str] = []

    began_s = time.monotonic()

    def tell(text: str) -> None:
        err.print(f"{time.monotonic() - began_s:4.0f} s  {text}", markup=False, soft_wrap=True)

    def say(text: str) -> None:
        notes.append(text)
        tell(f"  {text}")

    def play(name: str) -> list[LayerResult]:
        layer, layer_began_s = LAYERS[name], time.monotonic()
        histories = options.histories or (layer.full if options.scale == "full" else layer.small)
        tell(f"{name}: {layer.shows} …")
        rows = run_layer(name, histories=histories, seed=options.seed, jobs=options.jobs, kind=options.kind, say=say)
        verdict = "holds" if all(row.holds for row in rows) else "BROKEN"
        tell(f"{name}: {verdict} after {time.monotonic() - layer_began_s:.0f} s")
        return rows

    rows = _in_turns(names, play, are_together=options.jobs > 1)
    seconds = time.monotonic() - began_s
    table.show(console, rows)
    path = table.write(options.report, rows, seed=options.seed, seconds=seconds, notes=notes)
    console.print(f"{seconds:.0f} s, report: {path}")
    return 0 if all(row.holds for row in rows) else 1


def _in_turns(
    names: Sequence[str], play: Callable[[str], list[LayerResult]], *, are_together: bool
) -> list[LayerResult]:
    """Turn after turn; in each, the busy layers one by one and those that mostly wait beside them."""
    played: dict[str, list[LayerResult]] = {}
    for turn in sorted({LAYERS[name].turn for name in names}):
        now = [name for name in names if LAYERS[name].turn == turn]
        waiting = [name for name in now if LAYERS[name].waits] if are_together and len(now) > 1 else []
        with ThreadPoolExecutor(len(waiting) or 1) as beside:
            futures = {name: beside.submit(play, name) for name in waiting}
            played |= {name: play(name) for name in now if name not in futures}
            played |= {name: future.result() for name, future in futures.items()}
    return [row for name in names for row in played[name]]


if __name__ == "__main__":
    sys.exit(main())
