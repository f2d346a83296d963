"""Keys: made once, private, refused when others can read them; codes: of one person, one role, one record."""

from __future__ import annotations

from pathlib import Path

import pytest

from brokers.ids import Environment
from trading.arming import ArmingReason, ArmingRefused, People, Role, arming_key
from trading.arming.people import KEY_VARIABLE, code_of, read_person_key, secrets_folder


def test_the_key_is_made_once_for_each_environment_and_is_private(tmp_path: Path) -> None:
    assert arming_key(tmp_path, Environment.PRODUCTION, environ={}) is None
    made = arming_key(tmp_path, Environment.PRODUCTION, make=True, environ={})
    assert made is not None and len(made.get_secret_value()) == 64
    assert arming_key(tmp_path, Environment.PRODUCTION, make=True, environ={}) == made
    assert arming_key(tmp_path, Environment.SIMULATED, make=True, environ={}) != made
    file = tmp_path / "arming-production.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert made.get_secret_value() not in repr(made)
    file.chmod(0o640)
    with pytest.raises(ArmingRefused, match="readable by others: chmod 600"):
        arming_key(tmp_path, Environment.PRODUCTION, environ={})


def test_a_variable_takes_its_place_and_must_be_long(tmp_path: Path) -> None:
    key = arming_key(None, Environment.PRODUCTION, environ={KEY_VARIABLE: "v" * 40})
    assert key is not None and key.get_secret_value() == "v" * 40
    with pytest.raises(ArmingRefused, match="at least 32 characters") as caught:
        arming_key(None, Environment.PRODUCTION, environ={KEY_VARIABLE: "short"})
    assert caught.value.reason is ArmingReason.ARMING_KEY_MISSING
    assert "short" not in str(caught.value)
    assert arming_key(None, Environment.PRODUCTION, environ={}) is None
    assert secrets_folder({"ALGOTRENDY_SECRETS": str(tmp_path)}) == tmp_path


def test_a_code_is_of_one_person_one_role_and_one_record(tmp_path: Path) -> None:
    people = People(tmp_path)
    keys = {name: read_person_key(people.enrol(name)) for name in ("ann", "bob")}
    codes = {
        code_of(keys[name], name=name, role=role, record_sha256=record)
        for name in keys
        for role in Role
        for record in ("r1", "r2")
    }
    assert len(codes) == 8
    code = code_of(keys["ann"], name="ann", role=Role.APPROVE, record_sha256="r1")
    people.check("ann", Role.APPROVE, "r1", f" {code.lower().replace('-', ' ')} ")
    with pytest.raises(ArmingRefused):
        people.check("ann", Role.APPROVE, "r2", code)
    with pytest.raises(ArmingRefused, match="enrolled already"):
        people.enrol("ann")
    with pytest.raises(ArmingRefused, match="lowercase"):
        people.enrol("../ann")
