"""What is armed, its hash, and its signature."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from pydantic import SecretStr

from ledger.audit import canonical_json, sha256
from ledger.tables import ArmingRow


class Role(StrEnum):
    """What a person's code says."""

    REQUEST = "request"
    APPROVE = "approve"


@dataclass(frozen=True, slots=True)
class ArmingRecord:
    """Everything that two people agree on. `policies` maps each account to the hash of its risk policy."""

    pool: str
    policies: Mapping[str, str]
    notional_max: Decimal
    code_sha256: str
    expires_at: datetime
    requested_by: str
    requested_at: datetime
    reason: str

    @property
    def accounts(self) -> str:
        """The policies in the one form that the ledger keeps."""
        return canonical_json(dict(self.policies))

    @property
    def policy_sha256(self) -> str:
        return sha256(self.accounts)

    @property
    def sha256(self) -> str:
        """The record's name: who approves it names this."""
        return sha256(
            canonical_json(
                {
                    "pool": self.pool,
                    "accounts": self.accounts,
                    "notional_max": self.notional_max,
                    "policy_sha256": self.policy_sha256,
                    "code_sha256": self.code_sha256,
                    "expires_at": self.expires_at,
                    "requested_by": self.requested_by,
                    "requested_at": self.requested_at,
                    "reason": self.reason,
                }
            )
        )


def record_of(request: ArmingRow) -> ArmingRecord:
    """The record that a request's row holds; ValueError when the row does not hold one."""
    if request.notional_max is None or request.expires_at is None:
        raise ValueError(f"arming row {request.arming_id} names no notional or no end")
    return ArmingRecord(
        pool=request.pool,
        policies=json.loads(request.accounts),
        notional_max=request.notional_max,
        code_sha256=request.code_sha256,
        expires_at=request.expires_at,
        requested_by=request.requested_by,
        requested_at=request.recorded_at,
        reason=request.reason,
    )


def grouped(sha256: str) -> str:
    """A hash as people compare and copy it: in groups of eight."""
    return " ".join(sha256[at : at + 8] for at in range(0, len(sha256), 8))


def ungrouped(text: str) -> str:
    return "".join(text.split()).lower()


_UNSIGNED = frozenset({"arming_id", "signature"})


def sign(key: SecretStr, row: ArmingRow) -> str:
    """HMAC-SHA256 over everything that a row says, its time included."""
    content = {name: value for name, value in row.model_dump().items() if name not in _UNSIGNED}
    return hmac.new(key.get_secret_value().encode(), canonical_json(content).encode(), hashlib.sha256).hexdigest()


def is_signed(key: SecretStr, row: ArmingRow) -> bool:
    return hmac.compare_digest(sign(key, row).encode(), row.signature.encode())
