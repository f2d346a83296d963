"""The hash of what this process runs: our own sources, the libraries that touch money or its record, the schema.

Two workers with the same hash decide alike. It is taken once for each process, when first asked for.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from ledger.migrate import head_revision

ROOMS = ("brokers", "ledger", "trading", "tasks", "flows", "deployments", "cli")
LIBRARIES = (
    *("aiohttp", "alembic", "prefect", "psycopg", "pybit", "pydantic", "requests", "sqlalchemy", "sqlmodel"),
    *("urllib3", "websocket-client"),
)


@lru_cache(maxsize=1)
def code_sha256() -> str:
    """The hash of this process's code; the same on every machine with the same version."""
    return hash_of(_roots(), {name: _version(name) for name in LIBRARIES}, head_revision())


def hash_of(roots: dict[str, Path], versions: dict[str, str], schema: str) -> str:
    """One hash over every source file by room and path, the versions and the schema."""
    total = hashlib.sha256(f"{sorted(versions.items())} {schema}".encode())
    for room, root in sorted(roots.items()):
        for file in sorted(root.rglob("*.py")):
            name = f"{room}/{file.relative_to(root).as_posix()}"
            total.update(name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _roots() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for room in ROOMS:
        spec = find_spec(room)
        assert spec is not None and spec.submodule_search_locations, f"room {room} is not installed"
        found[room] = Path(next(iter(spec.submodule_search_locations)))
    return found


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
