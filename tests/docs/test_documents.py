"""What the documents say exists: links, paths, commands, make targets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer.main

from cli.failures import ExitCode
from cli.main import app

PROJECT = Path(__file__).resolve().parents[2]
PAGES = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])
ROOMS = r"(?:brokers|simulators|ledger|trading|webhooks|tasks|flows|deployments|cli|bench|tests|docs|examples)"
# `trading/sync.py` or `flows/reports` or `ledger/`: a path in code marks that begins with a room of ours.
CODE_PATH = re.compile(rf"`({ROOMS}/[\w./-]*)`")
# `trading.orders` or `brokers.port`: a module or something in one.
MODULE = re.compile(r"`((?:brokers|simulators|ledger|trading|webhooks|tasks|flows|deployments|cli)(?:\.[a-z_]\w*)+)`")
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def ids(path: Path) -> str:
    return str(path.relative_to(PROJECT))


@cache
def targets() -> set[str]:
    """The targets of the Makefile."""
    return set(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


@cache
def commands() -> dict[str, set[str]]:
    """Every command of the CLI with the options that it knows; groups with their commands as `group name`."""
    found: dict[str, set[str]] = {}
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        found[name] = options_of(command)
        for inner, below in getattr(command, "commands", {}).items():
            found[f"{name} {inner}"] = options_of(below)
    return found


def options_of(command: object) -> set[str]:
    known = {"--help", "-h"}
    for parameter in command.params:  # type: ignore[attr-defined]
        known |= {*parameter.opts, *parameter.secondary_opts}
    return known


def shell_lines(text: str) -> Iterator[str]:
    """Commands: lines of console blocks, and code marks that begin with algotrendy or make."""
    for language, block in FENCE.findall(text):
        if language in ("console", "sh", "bash", "shell"):
            for line in block.splitlines():
                yield line.removeprefix("$ ").split("  #")[0].strip()
    outside = FENCE.sub("", text)
    for mark in re.findall(r"`([^`\n]+)`", outside):
        if mark.startswith(("algotrendy ", "make ")):
            yield mark


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in LINK.findall(page.read_text()):
        if link.startswith(("https://", "http://127.0.0.1", "mailto:")):
            continue
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{ids(page)} links to {link}"
        assert file.is_relative_to(PROJECT)
        if anchor and file.suffix == ".md":
            assert anchor in anchors(file), f"{ids(page)} links to {link}"


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_paths_exist(page: Path) -> None:
    missing = [path for path in CODE_PATH.findall(page.read_text()) if not (PROJECT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_modules_exist(page: Path) -> None:
    missing = []
    for dotted in MODULE.findall(page.read_text()):
        parts = dotted.split(".")
        places = [PROJECT.joinpath(*parts[:length]) for length in range(len(parts), 1, -1)]
        if not any(place.is_dir() or place.with_suffix(".py").is_file() for place in places):
            missing.append(dotted)
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_commands_exist(page: Path) -> None:
    for line in shell_lines(page.read_text()):
        words = shlex.split(line.rstrip("&").split(" | ")[0].split(" > ")[0])
        while words and ("=" in words[0] or words[0] == "export"):
            words.pop(0)
        if not words:
            continue
        if words[0] == "make":
            asked = [word for word in words[1:] if "=" not in word]
            assert set(asked) <= targets(), f"{ids(page)}: {line}"
        elif words[0].rsplit("/", 1)[-1] == "algotrendy":
            require_command(words[1:], f"{ids(page)}: {line}")


def require_command(words: list[str], where: str) -> None:
    while words and words[0] in ("--debug", "--help"):
        words = words[1:]
    if not words:
        return
    name = " ".join(words[:2]) if " ".join(words[:2]) in commands() else words[0]
    assert name in commands(), where
    for word in words:
        if word.startswith("-"):
            assert word.split("=")[0] in commands()[name], f"{where} ({word})"


def test_the_checks_see_what_is_wrong() -> None:
    with pytest.raises(AssertionError):
        require_command(["trade"], "here")
    with pytest.raises(AssertionError):
        require_command(["balances", "--nope"], "here")
    assert list(shell_lines("```console\n$ make demo\n```\n`algotrendy venues --json`")) == [
        "make demo",
        "algotrendy venues --json",
    ]
    assert {"demo", "up", "test", "check"} <= targets()
    assert {"accounts apply", "rebalance", "venues"} <= set(commands())


def test_every_command_is_described() -> None:
    group = typer.main.get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        for parameter in command.params:
            if parameter.param_type_name == "option" and parameter.name != "help":
                assert parameter.help, f"{name} {parameter.name}"


def test_the_help_lists_every_exit_code() -> None:
    assert app.info.epilog is not None
    for code in ExitCode:
        assert f"{code.value}: {code.meaning}" in app.info.epilog


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_pages_are_tidy(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    assert text.endswith("\n") and not text.endswith("\n\n")
    assert "TODO" not in text


def test_the_index_leads_to_every_page() -> None:
    index = PROJECT / "docs" / "index.md"
    linked = {(index.parent / link).resolve() for link in LINK.findall(index.read_text()) if "://" not in link}
    missing = [ids(page) for page in PAGES if page != index and page.resolve() not in linked]
    assert missing == []


def test_the_console_script_is_the_one_that_is_tested() -> None:
    assert 'algotrendy = "cli.main:run"' in (PROJECT / "pyproject.toml").read_text()
