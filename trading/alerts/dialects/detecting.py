"""Which dialect a body is in, and its reading."""

from __future__ import annotations

from trading.alerts.dialects import algotrendy
from trading.alerts.dialects.bodies import looks_like_json, object_of, text_of
from trading.alerts.dialects.reading import Reading
from trading.alerts.model import Alert, Dialect
from trading.alerts.reasons import AlertReason, AlertRefused


def read(raw: bytes, *, dialect: Dialect) -> Alert:
    """The typed alert of a body; AlertRefused says why there is none."""
    return parse(raw, dialect=dialect).alert


def parse(raw: bytes, *, dialect: Dialect) -> Reading:
    """The typed alert with the sums of its secrets; AlertRefused says why there is none."""
    body = text_of(raw)
    if dialect not in (Dialect.AUTO, Dialect.ALGOTRENDY):
        raise AlertRefused(AlertReason.DIALECT_UNSUPPORTED, f"dialect {dialect} is not read yet")
    return algotrendy.read(object_of(body) if looks_like_json(body) else algotrendy.lines(body))
