"""The key that signs armings, and the people who may: each has a key, and a code made with it for one record.

A code is an HMAC over role, name and the record's hash: it proves that somebody who has that person's key looked at
that record, and is of no use for another one, so it may be typed into a form. Prefect's login proves nothing of that
kind: it is one password for all.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from pydantic import SecretStr

from brokers.ids import Environment
from trading.arming.reasons import ArmingReason, ArmingRefused
from trading.arming.record import Role

SECRETS_VARIABLE = "ALGOTRENDY_SECRETS"
KEY_VARIABLE = "ALGOTRENDY_ARMING_KEY"
NAME = re.compile(r"[a-z][a-z0-9-]{1,30}")
_CODE_LENGTH = 16  # 80 bits in base 32
_KEY_LENGTH_MIN = 32


def secrets_folder(environ: Mapping[str, str] | None = None) -> Path | None:
    """The folder that ALGOTRENDY_SECRETS names."""
    named = (os.environ if environ is None else environ).get(SECRETS_VARIABLE, "")
    return Path(named) if named else None


def arming_key(
    folder: Path | None, environment: Environment, *, make: bool = False, environ: Mapping[str, str] | None = None
) -> SecretStr | None:
    """The key of an environment's armings: the variable, else the file (made once with `make`); None without either.

    ArmingRefused when the file is readable by others or too short.
    """
    named = (os.environ if environ is None else environ).get(KEY_VARIABLE, "")
    if named:
        return _checked(named, KEY_VARIABLE)
    if folder is None:
        return None
    file = folder / f"arming-{environment.value}.key"
    if make and not file.exists():
        _write_new(file)
    return _read(file) if file.exists() else None


class People:
    """The keys of the people who may arm, in `people/` of the secrets folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = None if folder is None else folder / "people"

    def enrol(self, name: str) -> Path:
        """Make a person's key and return its file; ArmingRefused when there is one."""
        file = self._file(name)
        if file.exists():
            raise ArmingRefused(ArmingReason.ARMING_REQUEST_INVALID, f"{name} is enrolled already: {file}")
        _write_new(file)
        return file

    def names(self) -> tuple[str, ...]:
        if self._folder is None or not self._folder.is_dir():
            return ()
        return tuple(sorted(file.stem for file in self._folder.glob("*.key")))

    def check(self, name: str, role: Role, record_sha256: str, code: str) -> None:
        """ArmingRefused unless the code is this person's, for this role and record."""
        wanted = code_of(self._key(name), name=name, role=role, record_sha256=record_sha256)
        given = code.strip().upper().replace("-", "").replace(" ", "")
        if not hmac.compare_digest(wanted.replace("-", "").encode(), given.encode()):
            raise ArmingRefused(
                ArmingReason.ARMING_CODE_WRONG,
                f"the code to {role.value} is not {name}'s for record {record_sha256[:12]}",
            )

    def require_two(self, first: str, second: str) -> None:
        """ArmingRefused unless these are two people with two keys."""
        same = first == second or self._key(first).get_secret_value() == self._key(second).get_secret_value()
        if same:
            raise ArmingRefused(
                ArmingReason.ARMING_SAME_PERSON, f"requested_by and approved_by must differ, were {first} and {second}"
            )

    def require(self, name: str) -> None:
        """ArmingRefused when the person is not enrolled."""
        self._key(name)

    def _key(self, name: str) -> SecretStr:
        file = self._file(name)
        if not file.exists():
            known = ", ".join(self.names()) or "nobody"
            raise ArmingRefused(ArmingReason.ARMING_PERSON_UNKNOWN, f"{name!r} is not enrolled; enrolled: {known}")
        return _read(file)

    def _file(self, name: str) -> Path:
        if self._folder is None:
            raise ArmingRefused(ArmingReason.ARMING_KEY_MISSING, f"{SECRETS_VARIABLE} is not set: it names the folder")
        if not NAME.fullmatch(name):
            raise ArmingRefused(
                ArmingReason.ARMING_REQUEST_INVALID,
                f"a person's name must be 2 to 31 lowercase letters, digits and dashes, was {name!r}",
            )
        return self._folder / f"{name}.key"


def code_of(key: SecretStr, *, name: str, role: Role, record_sha256: str) -> str:
    """A person's code for one record, in groups of four."""
    text = f"{role.value}\x1f{name}\x1f{record_sha256}"
    digest = hmac.new(key.get_secret_value().encode(), text.encode(), hashlib.sha256).digest()
    code = base64.b32encode(digest).decode()[:_CODE_LENGTH]
    return "-".join(code[at : at + 4] for at in range(0, _CODE_LENGTH, 4))


def read_person_key(file: Path) -> SecretStr:
    """A person's key from the copy that they keep."""
    return _read(file)


def _write_new(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # another process made it at the same moment
    with os.fdopen(descriptor, "w") as sink:
        sink.write(secrets.token_hex(32))
        sink.flush()
        os.fsync(sink.fileno())


def _read(file: Path) -> SecretStr:
    if file.stat().st_mode & 0o077:
        raise ArmingRefused(ArmingReason.ARMING_KEY_MISSING, f"{file} is readable by others: chmod 600 {file}")
    return _checked(file.read_text().strip(), str(file))


def _checked(text: str, where: str) -> SecretStr:
    if len(text) < _KEY_LENGTH_MIN:
        raise ArmingRefused(
            ArmingReason.ARMING_KEY_MISSING, f"the key in {where} must have at least {_KEY_LENGTH_MIN} characters"
        )
    return SecretStr(text)
