"""Nothing is sent before the account is proved and every order of ours at the venue is explained."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from brokers.ids import AccountId, Environment, Venue
from ledger.errors import ConflictingEvidence
from ledger.tables import AccountRow
from tests.trading.simulated import ACCOUNT, Stage, book, stage
from trading.plans import rebalance
from trading.starting import NotReadyToTrade, StartReason, prove_account, require_rights, start_trading

TARGETS = {"AAPL/USDT:USDT": "0.3"}


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path) as opened:
        yield opened


def test_the_proof_is_kept_and_another_account_behind_the_same_name_is_refused(on: Stage) -> None:
    proof = prove_account(on.runtime)
    with on.runtime.ledger.read() as session:
        row = session.get(AccountRow, str(ACCOUNT))
        assert row is not None
        assert (row.venue_account, row.key_fingerprint) == (proof.venue_account, proof.key_fingerprint)
        assert row.last_proved_at is not None
    with on.runtime.ledger.write() as session:
        session.get_one(AccountRow, str(ACCOUNT)).venue_account = "somebody else"
    with pytest.raises(ConflictingEvidence, match="somebody else"):
        prove_account(on.runtime)


def test_an_explained_venue_may_be_traded_and_a_restored_older_ledger_may_not(on: Stage, tmp_path: Path) -> None:
    proof = prove_account(on.runtime)
    assert not start_trading(on.runtime, proof).sightings
    backup, used = tmp_path / "backup.sqlite", Path(on.ledger_url.removeprefix("sqlite:///"))
    shutil.copy(used, backup)
    rebalance(on.runtime, book(TARGETS), business_key="first")
    assert not start_trading(on.open_again(), proof).sightings
    on.runtime.ledger.close()
    shutil.copy(backup, used)
    with pytest.raises(NotReadyToTrade) as refused:
        start_trading(on.open_again(), proof)
    assert refused.value.reason is StartReason.ORDERS_UNEXPLAINED


def test_a_venue_that_cannot_be_read_may_not_be_traded(on: Stage) -> None:
    proof = prove_account(on.runtime)
    on.sim.control.fault("status", path="/v5/order/realtime", status=502, times=None)
    with pytest.raises(NotReadyToTrade) as refused:
        start_trading(on.runtime, proof)
    assert refused.value.reason is StartReason.ORDERS_UNREAD


@pytest.mark.parametrize("environment", Environment)
def test_rights_of_the_key(on: Stage, environment: Environment) -> None:
    account_id = AccountId(Venue.BYBIT, environment, "main")
    proof = replace(on.runtime.broker.connect(), account_id=account_id, can_withdraw=False)
    require_rights(proof)
    with pytest.raises(NotReadyToTrade, match="may not trade"):
        require_rights(replace(proof, can_trade=False))
    with pytest.raises(NotReadyToTrade, match="may withdraw") as refused:
        require_rights(replace(proof, can_withdraw=True))
    assert refused.value.reason is StartReason.KEY_MAY_WITHDRAW
