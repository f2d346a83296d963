"""`python -m tests.proof`: layers by name, one table, files, replays, and an exit code that tells."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from unittest.mock import patch

import pytest

from tests.proof import layers
from tests.proof.__main__ import main
from tests.proof.layers import LAYERS, Layer, LayerMissing, load, run_layer
from tests.proof.result import Failure, LayerResult
from tests.proof.table import as_markdown, cells

GONE = Layer("tests.proof.no_such_layer:run", "nothing", 10, 1)


def test_a_layer_runs_and_leaves_its_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--layer", "model", "--histories", "60", "--jobs", "1", "--report", str(tmp_path)])
    out = capsys.readouterr().out
    assert code == 0
    assert "Order safety" in out and "report:" in out
    data = json.loads((tmp_path / "proof.json").read_text())
    assert data["rows"][0]["layer"] == "model: permanent"
    assert all(row["holds"] for row in data["rows"])
    assert "| model: permanent |" in (tmp_path / "proof.md").read_text()


def test_a_missing_layer_is_named_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with patch.dict(LAYERS, {"wire": GONE}):  # type: ignore[arg-type]
        with pytest.raises(LayerMissing, match="layer wire is missing"):
            load("wire")
        code = main(["--layer", "wire", "--report", str(tmp_path)])
    assert code == 1
    assert "there is no module tests.proof.no_such_layer" in capsys.readouterr().out


def test_a_module_that_a_layer_misses_is_not_taken_for_the_layer() -> None:
    missing = ModuleNotFoundError("no numpy", name="numpy")
    with patch.object(layers.importlib, "import_module", side_effect=missing), pytest.raises(ModuleNotFoundError):
        load("model")


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (SimpleNamespace(run=lambda **_: []), "reported nothing"),
        (SimpleNamespace(run=lambda *, histories, seed, jobs, say: 1 / 0), "ZeroDivisionError"),
    ],
)
def test_a_layer_that_breaks_or_reports_nothing_does_not_hold(module: object, text: str) -> None:
    with patch.object(layers.importlib, "import_module", return_value=module):
        rows = run_layer("model", histories=1, seed=0, jobs=1, kind="", say=print)
    assert [row.holds for row in rows] == [False]
    assert text in rows[0].failures[0].detail


def test_layers_that_wait_run_beside_busy_ones_and_what_is_timed_runs_alone(tmp_path: Path) -> None:
    """Real threads, no time: the layer that waits ends only once a busy one of its turn has begun."""
    has_begun, running, seen = Event(), set[str](), list[tuple[str, frozenset[str]]]()

    def layer(name: str, **_: object) -> list[LayerResult]:
        running.add(name)
        seen.append((name, frozenset(running)))
        if name == "wire":
            has_begun.set()
        if name == "processes":
            assert has_begun.wait(30), "nothing ran beside it"
        running.remove(name)
        return [LayerResult(name, 1)]

    with patch("tests.proof.__main__.run_layer", layer):
        assert main(["--jobs", "2", "--report", str(tmp_path)]) == 0
    assert [name for name, _ in seen][0] == "model" and [name for name, _ in seen][-1] == "recovery"
    assert dict(seen)["recovery"] == {"recovery"} and dict(seen)["model"] == {"model"}
    assert [row["layer"] for row in json.loads((tmp_path / "proof.json").read_text())["rows"]] == list(LAYERS)


@pytest.mark.parametrize(("told", "holds"), [([], True), (["a failure"], False), (True, True), (False, False)])
def test_a_layer_without_kinds_plays_the_one_case_of_that_name(told: object, holds: bool) -> None:
    asked: list[tuple[str, int]] = []

    def replay(*, kind: str, seed: int, say: object) -> object:
        asked.append((kind, seed))
        return told

    module = SimpleNamespace(run=lambda *, histories, seed, jobs, say: [LayerResult("x", 1)], replay=replay)
    with patch.object(layers.importlib, "import_module", return_value=module):
        assert run_layer("wire", histories=1, seed=0, jobs=1, kind="", say=print)[0].holds
        row = run_layer("wire", histories=1, seed=4, jobs=1, kind="place, lost", say=print)[0]
    assert asked == [("place, lost", 4)]
    assert row.holds is holds


def test_a_layer_that_cannot_tell_a_case_says_so() -> None:
    module = SimpleNamespace(run=lambda *, histories, seed, jobs, say: [LayerResult("x", 1)])
    with patch.object(layers.importlib, "import_module", return_value=module):
        row = run_layer("wire", histories=1, seed=0, jobs=1, kind="x", say=print)[0]
    assert not row.holds
    assert "cannot tell a history" in row.failures[0].detail


def test_a_seed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--layer", "model", "--kind", "open only, deadline", "--seed", "1234", "--trace"]
    assert main(arguments) == 0
    told = capsys.readouterr().out
    assert "ready to claimed" in told and "ended " in told
    assert main(arguments) == 0
    assert capsys.readouterr().out == told


@pytest.mark.parametrize(
    "arguments",
    [
        ["--trace", "--seed", "1"],
        ["--layer", "model", "--trace", "--kind", "no such class"],
        ["--kind", "permanent"],
        ["--layer", "nothing"],
    ],
)
def test_what_is_not_understood_is_said(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_a_row_that_does_not_hold_shows_how_to_replay_it() -> None:
    failure = Failure("I1", "2 orders at the venue", "python -m tests.proof --layer model --seed 3 --trace")
    row = LayerResult("model: x", 10, duplicated=1, failures=(failure,))
    assert cells(row)[-1] == "NO"
    assert cells(LayerResult("baseline: y", 10, duplicated=5, is_baseline=True))[-1] == ""
    text = as_markdown([row], seconds=1.0, notes=["a | b"])
    assert failure.replay in text
    assert "1" in text
