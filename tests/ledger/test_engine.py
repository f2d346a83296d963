"""Opening, writing, reading: what the door promises on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlmodel import select

from brokers.clock import ManualClock
from brokers.ids import Environment
from ledger.engine import Ledger
from ledger.errors import LedgerEnvironmentMismatch
from ledger.tables import Control


def control(scope: str = "bybit.simulated.main") -> Control:
    return Control(scope=scope, state="run", reason="start", set_by="test", set_at=datetime(2026, 1, 2, tzinfo=UTC))


def test_a_write_is_seen_by_a_later_read(ledger: Ledger) -> None:
    with ledger.write() as session:
        session.add(control())
    with ledger.read() as session:
        assert [row.scope for row in session.exec(select(Control))] == ["bybit.simulated.main"]


def test_the_tag_is_drawn_once(open_ledger) -> None:
    first = open_ledger()
    assert 0 <= first.installation_tag < 1 << 16
    assert open_ledger().installation_tag == first.installation_tag


def test_another_environment_is_refused(open_ledger) -> None:
    open_ledger(environment=Environment.TESTNET)
    with pytest.raises(LedgerEnvironmentMismatch, match="belongs to environment testnet, was opened for production"):
        open_ledger(environment=Environment.PRODUCTION)


def test_the_database_clock_is_aware_and_close(ledger: Ledger) -> None:
    with ledger.read() as session:
        assert abs(ledger.now(session) - datetime.now(UTC)) < timedelta(seconds=30)


def test_a_clock_may_be_given(open_ledger) -> None:
    clock = ManualClock(datetime(2020, 1, 1, tzinfo=UTC))
    ledger = open_ledger(clock=clock)
    clock.wait(60)
    with ledger.write() as session:
        assert ledger.now(session) == datetime(2020, 1, 1, 0, 1, tzinfo=UTC)
