"""YAML for settings: repeated keys are refused, and no error quotes the text, because it may hold a secret."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import yaml
from pydantic import ValidationError

_KEY = re.compile(r"[a-z_]{1,30}")


def read(text: str) -> tuple[Any, str]:
    """The data, or what is wrong with it. The parser's own errors quote the text, so none of them goes further."""
    try:
        return yaml.load(text, Loader=_UniqueKeys), ""  # noqa: S506 - a SafeLoader that also refuses repeated keys
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        return None, f"{_unquoted(error.problem or error.context or 'it cannot be read')}{place}"
    except (
        yaml.YAMLError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as error:
        return None, f"it holds a character or a value that cannot be read ({type(error).__name__})"


def describe(
    error: ValidationError, *, secret_places: Sequence[str] = ("credentials",), but: Sequence[str] = ()
) -> str:
    """Every mistake with its place, without the values: one of them may be a secret. Places in `but` are left out."""
    lines = (
        f"{'.'.join(_place(item['loc'], item['type'], secret_places)) or 'file'}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
        if not item["loc"] or item["loc"][0] not in but
    )
    return "; ".join(lines)


def _place(loc: tuple[int | str, ...], kind: str, secret_places: Sequence[str]) -> list[str]:
    """Where it is. A key that nobody knows is shown only where it looks like one: it may be a secret gone astray."""
    parts = [str(part) for part in loc]
    is_secret = any(place in parts[:-1] for place in secret_places)
    if kind == "extra_forbidden" and (is_secret or not _KEY.fullmatch(parts[-1])):
        parts[-1] = "(an unknown key)"
    return parts


def _unquoted(problem: str) -> str:
    """The parser's words without what they quote, except single characters."""
    return " ".join(re.sub(r"""(['"])(?:(?!\1).){2,}\1""", "...", problem, flags=re.DOTALL).split())


class _UniqueKeys(yaml.SafeLoader):
    """A safe loader that refuses a mapping with the same key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, "a key stands twice", node.start_mark)
        return super().construct_mapping(node, deep)
