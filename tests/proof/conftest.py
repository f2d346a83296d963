"""One migrated ledger for all histories of a test process, in memory where there is such a place."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.ledgers import folder, template


@pytest.fixture(scope="session")
def source() -> Iterator[Path]:
    place = folder()
    yield template(place / "template.db")
    shutil.rmtree(place)


@pytest.fixture
def place() -> Iterator[Path]:
    made = folder()
    yield made
    shutil.rmtree(made)
