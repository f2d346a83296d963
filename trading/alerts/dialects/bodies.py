"""From raw bytes to fields, bounded and exact: sizes first, safe repairs second, then the strict parser.

Repaired are only what a template commonly leaves behind and what cannot change a meaning: a byte order mark, blanks
around the body, NaN or na without quotes (read as null), a comma after the last item. Everything else that is not
JSON is refused. Nothing is ever evaluated.
"""

from __future__ import annotations

import re
from typing import Any

from brokers.strictjson import decode
from trading.alerts.reasons import AlertReason, AlertRefused

BODY_BYTES_MAX = 65_536
DEPTH_MAX = 8
KEYS_MAX = 64
TEXT_MAX = 4_096
NUMBER_MAX = 40

# One pass over the text: every piece is taken by exactly one branch, none of which can match in two ways.
_PIECE = re.compile(
    r'(?P<text>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*")'
    r"|(?P<number>-?[0-9][0-9.eE+-]*)"
    r"|(?P<word>[A-Za-z_]+)"
    r"|(?P<mark>[{}\[\]:,])"
    r"|(?P<blank>[ \t\r\n]+)",
    re.ASCII,
)
# Control characters but tab and line ends, those that turn the direction of writing, and lone surrogates.
_UNCLEAN = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]"
)
_NOTHING = frozenset({"NaN", "na", "nan"})


def text_of(raw: bytes) -> str:
    """The body as text without byte order mark and outer blanks; BODY_EMPTY, BODY_TOO_LARGE, BODY_NOT_TEXT."""
    if len(raw) > BODY_BYTES_MAX:
        text = f"the body must have at most {BODY_BYTES_MAX} bytes, had {len(raw)}"
        raise AlertRefused(AlertReason.BODY_TOO_LARGE, text)
    try:
        body = raw.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        text = f"the body must be UTF-8 text, byte {error.start} is not"
        raise AlertRefused(AlertReason.BODY_NOT_TEXT, text) from None
    if not body:
        raise AlertRefused(AlertReason.BODY_EMPTY, "the body is empty; fill in the alert's message")
    require_clean(body, field="the body")
    return body


def require_clean(text: str, *, field: str) -> None:
    """Refuse what no database, log or screen shows faithfully."""
    if _UNCLEAN.search(text):
        raise AlertRefused(AlertReason.BODY_NOT_TEXT, f"{field} has a control character; remove it")


def object_of(body: str) -> dict[str, Any]:
    """The fields of a JSON object; BODY_NOT_JSON, BODY_TOO_LARGE. The text of an error never quotes the body."""
    try:
        found = decode(_repaired(body))
    except ValueError as error:
        if isinstance(error, AlertRefused):
            raise
        # json's own errors say what and where. Those of the strict parser name numbers and repeated keys.
        raise AlertRefused(AlertReason.BODY_NOT_JSON, f"the body is not JSON: {_unquoted(str(error))}") from None
    assert isinstance(found, dict), "what begins with a brace and is JSON is an object"
    _require_clean_texts(found)
    return found


def looks_like_json(body: str) -> bool:
    """Whether the body is meant as a JSON object."""
    return body.startswith("{") and not body.startswith("{{")


def _repaired(body: str) -> str:
    """The text for the strict parser, its sizes checked on the way."""
    kept: list[str] = []
    at = depth = keys = 0
    comma: int | None = None  # where in `kept` a comma waits for its next item
    while at < len(body):
        found = _PIECE.match(body, at)
        if found is None:
            raise AlertRefused(AlertReason.BODY_NOT_JSON, f"the body is not JSON: character {at + 1} fits nothing")
        piece, kind, at = found.group(), str(found.lastgroup), found.end()
        _require_small(piece, kind)
        if kind == "blank":
            kept.append(piece)
            continue
        if piece in "}]" and comma is not None:
            kept[comma] = ""
        comma = len(kept) if piece == "," else None
        if piece in "{[":
            depth += 1
        elif piece in "}]":
            depth -= 1
        elif piece == ":":
            keys += 1
        if depth > DEPTH_MAX or keys > KEYS_MAX:
            text = f"the body may be {DEPTH_MAX} levels deep and have {KEYS_MAX} keys; it has more"
            raise AlertRefused(AlertReason.BODY_TOO_LARGE, text)
        kept.append("null" if kind == "word" and piece in _NOTHING else piece)
    return "".join(kept)


def _require_small(piece: str, kind: str) -> None:
    limit = {"text": TEXT_MAX + 2, "number": NUMBER_MAX}.get(kind)
    if limit is not None and len(piece) > limit:
        text = f"a {kind} may have at most {limit} characters, one has {len(piece)}"
        raise AlertRefused(AlertReason.BODY_TOO_LARGE, text)


def _require_clean_texts(value: Any) -> None:
    """Escapes can bring back what the raw text may not hold."""
    if isinstance(value, str):
        require_clean(value, field="a text")
    elif isinstance(value, dict):
        for name, item in value.items():
            require_clean(name, field="a key")
            _require_clean_texts(item)
    elif isinstance(value, list):
        for item in value:
            _require_clean_texts(item)


def _unquoted(problem: str) -> str:
    """An error's words, short, and without a key that somebody used as a place for a secret."""
    return problem[:80] if not problem.startswith("json object has keys twice") else "a key stands twice in an object"
