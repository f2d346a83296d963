"""The venues of the wire layer. A new one is a module here that says `VENUE = WireVenue(…)`; nothing else changes."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from tests.proof.wire_venues import WireVenue


def _rows() -> tuple[WireVenue, ...]:
    modules = sorted(found.name for found in iter_modules(__path__))
    return tuple(import_module(f"{__name__}.{name}").VENUE for name in modules)


VENUES: tuple[WireVenue, ...] = _rows()
