"""The layers of the proof by name, loaded only when they run, and how much each plays: in full and in the small cut."""

from __future__ import annotations

import importlib
import inspect
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.proof.result import Failure, LayerResult

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: `module:function`, what it shows, and its histories at full strength and in the small cut.

    Layers of one turn may run at the same time: those that mostly wait (`waits`) beside those that are busy. What is
    timed has a turn of its own.
    """

    where: str
    shows: str
    full: int
    small: int
    turn: int = 2
    waits: bool = False

    @property
    def module(self) -> str:
        return self.where.partition(":")[0]


LAYERS: Mapping[str, Layer] = {
    "model": Layer("tests.proof.model_layer:run", "production's decisions, modelled venues", 1_000_000, 20_000, turn=1),
    "mutants": Layer("tests.proof.mutants_layer:run", "one rule taken away at a time", 5_000, 1_200),
    "histories": Layer("tests.proof.histories_layer:run", "the real desk on real ledgers", 4_000, 1_000),
    "wire": Layer("tests.proof.wire_layer:run", "real SDKs over simulators", 3_393, 100),
    "processes": Layer(
        "tests.proof.process_layer:run_untimed", "real processes, killed and stopped", 100, 10, waits=True
    ),
    "recovery": Layer("tests.proof.process_layer:run_timed", "how soon others go on after kill -9", 100, 10, turn=3),
}


class LayerMissing(Exception):
    """The module of a layer is not there."""


def run_layer(name: str, *, histories: int, seed: int, jobs: int, kind: str, say: Say) -> list[LayerResult]:
    """Run one layer; a layer that is not there, or that breaks, is a row that does not hold."""
    began_s = time.monotonic()
    try:
        run = load(name)
        if kind and not takes_kind(run):
            return [_one(name, kind, seed, say)]
        options = {"kind": kind} if kind else {}
        results = list(run(histories=histories, seed=seed, jobs=jobs, say=say, **options))
        if not results:
            raise LayerMissing(f"layer {name} reported nothing")
    except Exception as error:  # noqa: BLE001 - the other layers go on; this one is shown as broken
        command = f"python -m tests.proof --layer {name} --seed {seed}"
        text = f"{type(error).__name__}: {error}"
        failure = Failure("the layer did not run", text, command)
        return [LayerResult(name, histories=0, seconds=time.monotonic() - began_s, failures=(failure,))]
    return results


def load(name: str) -> Callable[..., Any]:
    """The function of a layer; LayerMissing by name when its module is not there."""
    layer = LAYERS[name]
    function = layer.where.partition(":")[2]
    try:
        return getattr(importlib.import_module(layer.module), function)  # type: ignore[no-any-return]
    except ModuleNotFoundError as error:
        if error.name != layer.module:
            raise
        raise LayerMissing(f"layer {name} is missing: there is no module {layer.module}") from error


def takes_kind(run: Callable[..., Any]) -> bool:
    """Whether a layer can play one of its kinds alone; one that cannot plays the single case of that name."""
    return "kind" in inspect.signature(run).parameters


def _one(name: str, kind: str, seed: int, say: Say) -> LayerResult:
    """The one case of a kind and a seed, as a row."""
    if replay(name, kind=kind, seed=seed, say=say):
        return LayerResult(name, histories=1)
    command = f'python -m tests.proof --layer {name} --kind "{kind}" --seed {seed} --trace'
    return LayerResult(name, histories=1, failures=(Failure("a replayed case", f"{kind} broke again", command),))


def replay(name: str, *, kind: str, seed: int, say: Say) -> bool:
    """Tell one history of a layer; whether it held."""
    load(name)
    module = importlib.import_module(LAYERS[name].module)
    if not hasattr(module, "replay"):
        raise ValueError(f"layer {name} cannot tell a history: run it with --seed instead")
    told = module.replay(kind=kind, seed=seed, say=say)
    return told if isinstance(told, bool) else not told  # or the failures
