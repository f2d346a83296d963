"""A scene for alerts: one migrated ledger, copied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.engine import Ledger
from tests.trading.alerts.scene import Scene, open_scene
from tests.trading.orders.modelled import START


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("alerts") / "template.db"
    Ledger.open(f"sqlite:///{path}", environment=Environment.SIMULATED).close()
    return path


@pytest.fixture
def scene(tmp_path: Path, template: Path) -> Iterator[Scene]:
    ledger, scene = open_scene(tmp_path, template, ManualClock(START))
    with ledger:
        yield scene
