"""The control file: absent it sets nothing, and whatever keeps it from being read halts everything."""

from __future__ import annotations

import multiprocessing
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.control_file import ControlFile, FileEntry, entry_of
from ledger.errors import ControlFileUnreadable
from ledger.states import ControlState

HALT, RUN, KILL = ControlState.HALT, ControlState.RUN, ControlState.KILL
GOOD = '{"version": 1, "scopes": {"pool:x": {"state": "pause", "reason": "r", "set_by": "a"}}}'


@pytest.fixture
def file(tmp_path: Path) -> ControlFile:
    return ControlFile(tmp_path / "control.json")


def put(file: ControlFile, scope: str, state: ControlState) -> None:
    with file.locked():
        file.put(scope, entry_of(state, reason="drill", set_by="Ada"))


def test_an_absent_file_sets_nothing(file: ControlFile) -> None:
    assert (file.read(), file.state("pool:x")) == ({}, None)


def test_what_is_put_is_read_and_other_scopes_stay(file: ControlFile) -> None:
    put(file, "pool:x", KILL)
    put(file, "a", HALT)
    assert (file.state("pool:x"), file.state("a"), file.state("b")) == (KILL, HALT, None)
    assert file.read()["a"] == FileEntry(state=HALT, reason="drill", set_by="Ada")
    with file.locked():
        file.put("a", None)
    assert set(file.read()) == {"pool:x"}
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert {path.name for path in file.path.parent.iterdir()} == {"control.json", "control.json.lock"}


@pytest.mark.parametrize(
    "body",
    [
        "",
        "HALT\n",
        GOOD[:-10],
        "[]",
        "{}",
        GOOD.replace("pause", "asleep"),
        GOOD.replace('"version": 1', '"version": 2'),
        GOOD.replace('"version": 1', '"version": true'),
        GOOD.replace('"scopes"', '"scope"'),
        GOOD.replace('"reason": "r"', '"reason": null'),
        GOOD.replace('"reason": "r"', '"why": "r"'),
        '{"version": 1, "scopes": {"x": {"state": "run"}, "x": {"state": "halt"}}}',
        '{"version": 1, "scopes": []}',
        "\x00" * 10,
        "[" * 100_000,
        " " * (1 << 20) + GOOD,
    ],
)
def test_what_cannot_be_read_halts_every_scope(file: ControlFile, body: str) -> None:
    file.path.write_text(body)
    assert (file.state("pool:x"), file.state("never named")) == (HALT, HALT)
    with pytest.raises(ControlFileUnreadable) as refused:
        file.read()
    assert str(file.path) in str(refused.value) and refused.value.reason.remedy


def as_folder(path: Path) -> None:
    path.mkdir()


def as_link_to_nowhere(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


def as_loop(path: Path) -> None:
    path.symlink_to(path)


def in_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("a file where a folder should be")


@pytest.mark.parametrize("spoil", [as_folder, as_link_to_nowhere, as_loop, in_a_file])
def test_a_path_that_cannot_be_read_halts(tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    spoil(folder / "control.json")
    assert ControlFile(folder / "control.json").state("pool:x") is HALT


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission_halts(file: ControlFile) -> None:
    put(file, "pool:x", RUN)
    file.path.chmod(0)
    assert file.state("pool:x") is HALT


def test_a_denied_read_halts(file: ControlFile, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    assert file.state("pool:x") is HALT


def test_a_write_that_fails_leaves_the_old_file(file: ControlFile, monkeypatch: pytest.MonkeyPatch) -> None:
    put(file, "pool:x", KILL)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        put(file, "pool:x", RUN)
    assert file.state("pool:x") is KILL
    assert not list(file.path.parent.glob("*.new"))


def writes(path: str, name: str, count: int) -> None:
    for number in range(count):
        put(ControlFile(Path(path)), f"{name}-{number}", HALT)


def test_writers_of_several_processes_lose_nothing(file: ControlFile) -> None:
    context = multiprocessing.get_context("spawn")
    names = ("a", "b")
    processes = [context.Process(target=writes, args=(str(file.path), name, 8)) for name in names]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert set(file.read()) == {f"{name}-{number}" for name in names for number in range(8)}


def test_the_place_is_beside_a_sqlite_ledger_only(tmp_path: Path) -> None:
    beside = ControlFile.beside(f"sqlite:///{tmp_path}/ledger.db")
    assert beside is not None and beside.path == tmp_path / "ledger.db.control.json"
    assert ControlFile.beside("postgresql+psycopg://u@localhost/x") is None
