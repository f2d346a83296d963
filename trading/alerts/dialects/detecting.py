"""Which dialect a body is in, and its reading.

Where a source names its dialect, that one is read and no other. `auto` looks at the fields of an object, or at the
shape of a text, in a fixed order; dialects that are known and not supported are refused by their name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from trading.alerts.dialects import (
    alertatron,
    algotrendy,
    hackingthemarkets,
    pineconnector,
    predecessor,
    robswc,
    three_commas,
    traderspost,
    wundertrading,
)
from trading.alerts.dialects.bodies import looks_like_json, object_of, text_of
from trading.alerts.dialects.fields import require_resolved
from trading.alerts.dialects.reading import Reading
from trading.alerts.model import Alert, Dialect, QuantityMode
from trading.alerts.reasons import AlertReason, AlertRefused

_LINES = re.compile(r"(?:#[^\n]*\n|[ \t\r\n])*v[ \t]*=", re.ASCII)
_LICENCE = re.compile(r"(?:[0-9]{6,40}|[0-9a-f-]{8,40})[ \t]*,[ \t]*[a-z]{3,30}[ \t]*,", re.ASCII | re.IGNORECASE)
_CROSSTRADE = re.compile(r"(?:^|;)\s*key=[^;]*;", re.ASCII)
_AUTOVIEW = re.compile(r"(?:^|\s)(?:b|c)=\w", re.ASCII)
_Object = Callable[[dict[str, Any]], Reading]
_TEXT_ONLY = frozenset({Dialect.PINECONNECTOR, Dialect.ALERTATRON})


def read(raw: bytes, *, dialect: Dialect) -> Alert:
    """The typed alert of a body; AlertRefused says why there is none."""
    return parse(raw, dialect=dialect).alert


def parse(raw: bytes, *, dialect: Dialect, volume_mode: QuantityMode | None = None) -> Reading:
    """The typed alert with the sums of its secrets. `volume_mode` is what PineConnector's `risk` means."""
    body = text_of(raw)
    if looks_like_json(body):
        if dialect in _TEXT_ONLY:
            raise AlertRefused(AlertReason.DIALECT_UNKNOWN, f"{dialect} is text, the body is JSON")
        found = object_of(body)
        return _object_reader(found, dialect)(found)
    return _text(body, dialect, volume_mode)


def _object_reader(found: Mapping[str, Any], dialect: Dialect) -> _Object:
    if dialect is Dialect.THREE_COMMAS:
        return three_commas.read if "bot_uuid" in found else three_commas.read_dca
    if dialect is not Dialect.AUTO:
        return _OBJECTS[dialect]
    for fits, reader in _SIGNS:
        if fits(found):
            return reader
    for name, fits in _FOREIGN:
        if fits(found):
            raise _unsupported(name)
    raise AlertRefused(AlertReason.DIALECT_UNKNOWN, "the object has the fields of no dialect; see docs/alerts.md")


def _text(body: str, dialect: Dialect, volume_mode: QuantityMode | None) -> Reading:
    if dialect is Dialect.AUTO:
        dialect = _text_dialect(body)
    if dialect is Dialect.ALGOTRENDY:
        return algotrendy.read(algotrendy.lines(body))
    if dialect is Dialect.PINECONNECTOR:
        return pineconnector.read(body, volume_mode=volume_mode)
    if dialect is Dialect.ALERTATRON:
        return alertatron.read(body)
    if dialect is Dialect.WUNDERTRADING:
        return wundertrading.read_code(body)
    raise AlertRefused(AlertReason.BODY_NOT_JSON, f"{dialect} is JSON, and the body is not an object in braces")


def _text_dialect(body: str) -> Dialect:
    if _LINES.match(body):
        return Dialect.ALGOTRENDY
    if _LICENCE.match(body):
        return Dialect.PINECONNECTOR
    if wundertrading.CODE.match(body):
        return Dialect.WUNDERTRADING
    if alertatron.BLOCK.search(body):
        return Dialect.ALERTATRON
    if _CROSSTRADE.search(body) and "command=" in body:
        raise _unsupported("CrossTrade")
    if _AUTOVIEW.search(body):
        raise _unsupported("Autoview")
    require_resolved(body, field="the body")
    if "|" in body:
        raise _unsupported("text with |")
    text = "the text has the shape of no dialect (broken JSON begins with {); see docs/alerts.md"
    raise AlertRefused(AlertReason.DIALECT_UNKNOWN, text)


def _unsupported(name: str) -> AlertRefused:
    text = f"{name} is recognised and not supported; use a template of docs/alerts.md"
    return AlertRefused(AlertReason.DIALECT_UNSUPPORTED, text)


def _has(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda found: all(name in found for name in names)


def _has_any(*names: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda found: any(name in found for name in names)


def _is_code(found: Mapping[str, Any]) -> bool:
    code = found.get("code")
    return isinstance(code, str) and wundertrading.CODE.match(code) is not None


def _is_robswc(found: Mapping[str, Any]) -> bool:
    key = found.get("key")
    return isinstance(key, str) and ":" in key


def _is_hackingthemarkets(found: Mapping[str, Any]) -> bool:
    return "passphrase" in found and isinstance(found.get("strategy"), dict)


_OBJECTS: dict[Dialect, _Object] = {
    Dialect.ALGOTRENDY: algotrendy.read,
    Dialect.PREDECESSOR: predecessor.read,
    Dialect.TRADERSPOST: traderspost.read,
    Dialect.WUNDERTRADING: wundertrading.read,
    Dialect.ROBSWC: robswc.read,
    Dialect.HACKINGTHEMARKETS: hackingthemarkets.read,
}
_SIGNS: tuple[tuple[Callable[[Mapping[str, Any]], bool], _Object], ...] = (
    (_has("v"), algotrendy.read),
    (_has("bot_uuid", "secret"), three_commas.read),
    (_has_any("message_type", "bot_id", "email_token"), three_commas.read_dca),
    (_is_code, wundertrading.read),
    (_is_hackingthemarkets, hackingthemarkets.read),
    (_is_robswc, robswc.read),  # before TradersPost, which has no field `key`
    (_has("ticker", "action"), traderspost.read),
    (lambda found: {"symbol", "action"} <= {name.lower() for name in found}, predecessor.read),
)
_FOREIGN: tuple[tuple[str, Callable[[Mapping[str, Any]], bool]], ...] = (
    ("TV-Hub", _has("token", "pair")),
    ("tradingview-alerts-processor", _has("stub", "direction")),
)
