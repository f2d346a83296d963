"""docs/reasons.md is what the code says, and the code says all of its reasons."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.reasons import ROOMS, Reason, as_markdown, catalogue, remedy_of

PROJECT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")


def stated_in_code() -> Iterator[tuple[str, str]]:
    """Every literal that stands as a reason: `reason = "X"` in a class, `reason="X"` in a call."""
    for room in ROOMS:
        for path in sorted((PROJECT / room).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Assign):
                    is_reason = any(isinstance(target, ast.Name) and target.id == "reason" for target in node.targets)
                else:
                    is_reason = isinstance(node, ast.keyword) and node.arg == "reason"
                if not is_reason:
                    continue
                assert isinstance(node, (ast.Assign, ast.keyword))
                for part in ast.walk(node.value):
                    if isinstance(part, ast.Constant) and CODE.fullmatch(str(part.value)):
                        yield str(part.value), f"{path.relative_to(PROJECT)}:{part.lineno}"


def test_the_page_is_up_to_date() -> None:
    written = (PROJECT / "docs" / "reasons.md").read_text()
    assert written == as_markdown(), "run: algotrendy reasons --markdown > docs/reasons.md"


def test_every_reason_in_the_code_is_listed() -> None:
    listed = {reason.code for reason in catalogue()}
    missing = {code: place for code, place in stated_in_code() if code not in listed}
    assert missing == {}


def test_the_scan_finds_reasons() -> None:
    assert "CONNECT_FAILED" in {code for code, _ in stated_in_code()}


@pytest.mark.parametrize("reason", catalogue(), ids=lambda reason: f"{reason.module}-{reason.code}")
def test_each_reason_has_meaning_and_remedy(reason: Reason) -> None:
    assert CODE.fullmatch(reason.code) or re.fullmatch(r"[A-Z]+", reason.code)
    assert reason.meaning.strip()
    assert reason.remedy.strip()
    assert reason.meaning.endswith("."), reason
    assert reason.remedy.endswith("."), reason


def test_a_code_means_one_thing_within_its_room() -> None:
    seen: dict[tuple[str, str], Reason] = {}
    for reason in catalogue():
        key = (reason.module.split(".")[0], reason.code)
        assert key not in seen, f"{key} is stated in {seen[key].module} and {reason.module}"
        seen[key] = reason


def test_remedies_are_found_by_code() -> None:
    assert "network" in remedy_of("CONNECT_FAILED")
    assert remedy_of("") == ""
    assert remedy_of("NO_SUCH_CODE") == ""
