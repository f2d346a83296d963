"""One row per simulated venue: how it is configured, built and steered. A venue's row is `ROW` in its `row.py`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from simulators.core.control import Control
from simulators.core.simulator import Simulator


class Loads(Protocol):
    """A kind of configuration: it is read from a file."""

    def load(self, path: Path) -> Any: ...


def nothing(config: Any) -> dict[str, object]:
    """What a venue announces of signing in whose keys are sent with each request."""
    return {}


@dataclass(frozen=True)
class Row:
    """One venue. `demo` takes `seed` and `market_start`; `sign_in` says what a client needs that has to sign in."""

    config: Loads
    demo: Callable[..., Any]
    build: Callable[[Any], Simulator]
    control: type[Control] = Control
    sign_in: Callable[[Any], dict[str, object]] = nothing


def names() -> tuple[str, ...]:
    """The venues that have a row."""
    package = import_module("simulators")
    folders = (found.name for found in iter_modules(package.__path__) if found.ispkg)
    return tuple(sorted(name for name in folders if find_spec(f"simulators.{name}.row") is not None))


def row_of(name: str) -> Row:
    """The venue's row."""
    row = import_module(f"simulators.{name}.row").ROW
    assert isinstance(row, Row)
    return row
