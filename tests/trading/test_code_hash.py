"""The hash of the code: one for one content, another for any change of a source, a library or the schema."""

from __future__ import annotations

from pathlib import Path

from trading.code_hash import LIBRARIES, ROOMS, code_sha256, hash_of


def test_it_changes_with_every_part(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    source = tmp_path / "inner" / "a.py"
    source.write_text("x = 1\n")
    roots, versions = {"room": tmp_path}, {"lib": "1"}
    before = hash_of(roots, versions, "0002")
    assert hash_of(dict(roots), dict(versions), "0002") == before
    seen = {before, hash_of(roots, {"lib": "2"}, "0002"), hash_of(roots, versions, "0003")}
    source.write_text("x = 2\n")
    seen.add(hash_of(roots, versions, "0002"))
    source.rename(tmp_path / "inner" / "b.py")
    seen.add(hash_of(roots, versions, "0002"))
    assert len(seen) == 5


def test_this_process_has_one() -> None:
    assert len(code_sha256()) == 64
    assert "trading" in ROOMS and "pybit" in LIBRARIES
