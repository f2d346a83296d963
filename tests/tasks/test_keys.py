"""One key, one account, one environment: kept in a file that every process of the installation shares."""

from __future__ import annotations

import json
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.errors import EnvironmentMismatch, NotSent
from brokers.ids import AccountId, Environment
from ledger.engine import Ledger
from ledger.records import record_account
from ledger.tables import AccountRow
from tasks.keys import KeyReason, KeyRefused, KeyRegistry, fingerprint_of, forget_key, require_key_unused

KEY = "a-key-of-some-venue"


def config(account: str = "bybit.testnet.main", key: str = KEY) -> AccountConfig:
    return AccountConfig(account_id=AccountId.parse(account), api_key=SecretStr(key), api_secret=SecretStr("a-secret"))


@pytest.fixture
def registry(tmp_path: Path) -> KeyRegistry:
    return KeyRegistry(tmp_path / "secrets" / "key-registry.json")


def refused(registry: KeyRegistry, account: str, key: str = KEY) -> KeyReason:
    with pytest.raises(KeyRefused) as caught:
        registry.register(config(account, key))
    assert isinstance(caught.value, NotSent) and isinstance(caught.value, EnvironmentMismatch)
    assert KEY not in repr(caught.value) + str(caught.value) + json.dumps(dict(caught.value.details))
    return caught.value.kind


def test_a_key_belongs_to_the_account_that_used_it_first(registry: KeyRegistry) -> None:
    registry.register(config())
    registry.register(config())
    registry.register(config(key="the key that came after rotation".replace(" ", "-")))
    assert refused(registry, "bybit.production.main") is KeyReason.KEY_OF_OTHER_ENVIRONMENT
    assert refused(registry, "bybit.simulated.main") is KeyReason.KEY_OF_OTHER_ENVIRONMENT
    assert refused(registry, "bybit.testnet.second") is KeyReason.KEY_OF_OTHER_ACCOUNT
    assert [held.account_id for held in registry.held()] == ["bybit.testnet.main"] * 2


def test_the_file_holds_no_key_and_is_its_owners_alone(registry: KeyRegistry) -> None:
    registry.register(config())
    for file in registry.file.parent.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
        assert KEY not in file.read_text()
    (event,) = json.loads(registry.file.read_text())["events"]
    assert event["fingerprint"] == fingerprint_of(config()) and event["at"].endswith("+00:00")
    assert event["fingerprint"].startswith(config().key_fingerprint)


def _truncate(file: Path) -> None:
    file.write_text(file.read_text()[:-20])


def _loosen(file: Path) -> None:
    file.chmod(0o644)


def _replace(text: str) -> object:
    def write(file: Path) -> None:
        file.write_text(text)

    return write


@pytest.mark.parametrize(
    "damage",
    [
        _truncate,
        _loosen,
        _replace(""),
        _replace("[]"),
        _replace('{"version": 2, "events": []}'),
        _replace('{"version": 1, "events": [{"kind": "registered"}]}'),
        _replace('{"version": 1, "events": 7}'),
    ],
)
def test_a_registry_that_cannot_be_read_refuses_every_key(registry: KeyRegistry, damage) -> None:
    registry.register(config())
    damage(registry.file)
    before = registry.file.read_bytes()
    for account, key in (("bybit.testnet.main", KEY), ("bybit.testnet.new", "another-key")):
        assert refused(registry, account, key) is KeyReason.KEY_REGISTRY_UNREADABLE
    assert registry.file.read_bytes() == before, "what nobody understands is not overwritten"


def test_a_registry_in_the_place_of_a_folder_or_below_a_file_refuses(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    assert refused(KeyRegistry(tmp_path / "taken"), "bybit.testnet.main") is KeyReason.KEY_REGISTRY_UNREADABLE
    (tmp_path / "file").write_text("")
    below = KeyRegistry(tmp_path / "file" / "keys.json")
    assert refused(below, "bybit.testnet.main") is KeyReason.KEY_REGISTRY_UNREADABLE


def test_a_dangling_link_is_not_an_empty_registry(tmp_path: Path) -> None:
    (tmp_path / "keys.json").symlink_to(tmp_path / "gone.json")
    dangling = KeyRegistry(tmp_path / "keys.json")
    assert refused(dangling, "bybit.testnet.main") is KeyReason.KEY_REGISTRY_UNREADABLE


def test_a_release_is_recorded_and_lets_the_key_go_once(registry: KeyRegistry) -> None:
    registry.register(config())
    with pytest.raises(ValueError, match="name and a reason"):
        registry.release(config().key_fingerprint, by="ann", reason=" ")
    for start in ("0" * 16, config().key_fingerprint[:4]):
        with pytest.raises(KeyRefused) as caught:
            registry.release(start, by="ann", reason="moved")
        assert caught.value.kind is KeyReason.KEY_UNKNOWN
    registry.release(config().key_fingerprint, by="ann", reason="account was renamed")
    registry.register(config("bybit.testnet.renamed"))
    assert refused(registry, "bybit.testnet.main") is KeyReason.KEY_OF_OTHER_ACCOUNT
    events = json.loads(registry.file.read_text())["events"]
    assert [(event["kind"], event["by"], event["reason"]) for event in events] == [
        ("registered", "", ""),
        ("released", "ann", "account was renamed"),
        ("registered", "", ""),
    ]


def test_two_accounts_that_start_at_once_cannot_both_have_the_key(registry: KeyRegistry) -> None:
    ready = threading.Barrier(8)

    def start(number: int) -> bool:
        ready.wait()
        try:
            KeyRegistry(registry.file).register(config(f"bybit.testnet.a{number}"))
        except KeyRefused:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(start, range(8))) == 1
    assert len(registry.held()) == 1


def test_the_new_file_is_synced_before_it_takes_the_name(registry: KeyRegistry, monkeypatch) -> None:
    seen: list[str] = []
    sync, replace = os.fsync, Path.replace

    def fsync(descriptor: int) -> None:
        seen.append("sync")
        sync(descriptor)

    def rename(self: Path, target: Path) -> Path:
        seen.append("rename")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", rename)
    registry.register(config())
    assert seen == ["sync", "rename", "sync"]


def test_the_ledger_knows_its_own_keys_without_the_registry(tmp_path: Path, registry: KeyRegistry) -> None:
    with Ledger.open(f"sqlite:///{tmp_path / 'ledger.db'}", environment=Environment.TESTNET) as ledger:
        with ledger.write() as session:
            record_account(session, config().account_id, at=ledger.now(session))
            session.get_one(AccountRow, "bybit.testnet.main").key_fingerprint = config().key_fingerprint
        require_key_unused(ledger, config())
        require_key_unused(ledger, config("bybit.testnet.second", "another-key"))
        with pytest.raises(KeyRefused) as caught:
            require_key_unused(ledger, config("bybit.testnet.second"))
        assert caught.value.kind is KeyReason.KEY_OF_OTHER_ACCOUNT
        registry.register(config())
        forget_key(ledger, registry.release(config().key_fingerprint, by="ann", reason="renamed"))
        require_key_unused(ledger, config("bybit.testnet.second"))


def test_a_refusal_survives_a_pickle() -> None:
    again = pickle.loads(pickle.dumps(KeyRefused(KeyReason.KEY_OF_OTHER_ENVIRONMENT, "no")))
    assert (again.kind, again.reason, again.message) == (
        KeyReason.KEY_OF_OTHER_ENVIRONMENT,
        "KEY_OF_OTHER_ENVIRONMENT",
        "no",
    )
