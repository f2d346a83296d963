"""Whether an order may leave under the arming that counts: a function of what the sending transaction read.

Invariants: without a row that two people made, signed with the key of this environment, unaltered, armed once, not
expired, for this account, this policy and this code, and with notional left, nothing passes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr

from ledger.arming import ArmingState
from ledger.tables import ArmingRow
from trading.arming.reasons import ArmingReason
from trading.arming.record import is_signed, record_of

R = ArmingReason
VALID_MAX = timedelta(hours=8)
Verdict = tuple[ArmingReason, str] | None  # why not, or None


@dataclass(frozen=True, slots=True)
class ArmingGuard:
    """What a process brings along to check an arming: the key, and the hash of the code it runs."""

    key: SecretStr | None
    code_sha256: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the ledger says, read in one transaction."""

    step: ArmingRow | None  # the newest row that is no request
    same_record: tuple[ArmingRow, ...] = ()  # every row of its record
    later: tuple[ArmingRow, ...] = ()  # every row after it
    is_audited: bool = True
    stopped_at: datetime | None = None


def judge(seen: Evidence, guard: ArmingGuard, *, account_id: str, policy_sha256: str, now: datetime) -> Verdict:
    """Everything but the notional."""
    step = seen.step
    if step is None:
        return R.DISARMED, "the pool was never armed"
    if step.state != ArmingState.ARMED.value:
        return R.DISARMED, f"disarmed by {step.requested_by or 'the program'}: {step.reason}"
    if guard.key is None:
        return R.ARMING_KEY_MISSING, "this process has no key to check the arming with"
    return _forged(seen, step, guard.key) or _does_not_fit(seen, step, guard, account_id, policy_sha256, now)


def _forged(seen: Evidence, step: ArmingRow, key: SecretStr) -> Verdict:
    if not is_signed(key, step):
        return R.ARMING_FORGED, f"arming {step.arming_id} does not carry the signature of this environment's key"
    requests = [row for row in seen.same_record if row.state == ArmingState.REQUESTED.value]
    if len(seen.same_record) - len(requests) > 1 or len(requests) > 1:
        return R.ARMING_REPLAYED, f"record {step.record_sha256[:12]} has {len(seen.same_record)} rows"
    if not requests or not is_signed(key, requests[0]) or not _is_of(step, requests[0]):
        return R.ARMING_FORGED, f"arming {step.arming_id} has no request that fits it"
    if any(row.state != ArmingState.REQUESTED.value or not is_signed(key, row) for row in seen.later):
        return R.ARMING_FORGED, f"a row after arming {step.arming_id} was altered"
    if not seen.is_audited:
        return R.ARMING_FORGED, "the arming rows are not those that the audit chain knows"
    if not step.approved_by or step.approved_by == step.requested_by:
        return R.ARMING_FORGED, f"arming {step.arming_id} was not made by two people"
    return None


def _is_of(step: ArmingRow, request: ArmingRow) -> bool:
    """The approved row says what the request said, and the record's hash is that of its content."""
    try:
        record = record_of(request)
    except ValueError:
        return False
    same = ("accounts", "notional_max", "policy_sha256", "code_sha256", "requested_by", "reason", "expires_at")
    is_same = all(getattr(step, name) == getattr(request, name) for name in same)
    return is_same and record.sha256 == step.record_sha256 and record.policy_sha256 == step.policy_sha256


def _does_not_fit(
    seen: Evidence, step: ArmingRow, guard: ArmingGuard, account_id: str, policy_sha256: str, now: datetime
) -> Verdict:
    assert step.expires_at is not None
    if now < step.recorded_at:
        return R.ARMING_CLOCK_BACKWARDS, f"armed at {step.recorded_at.isoformat()}, the clock says {now.isoformat()}"
    if now >= min(step.expires_at, step.recorded_at + VALID_MAX):
        return R.ARMING_EXPIRED, f"it ended at {step.expires_at.isoformat()}"
    if seen.stopped_at is not None and seen.stopped_at >= step.recorded_at:
        return R.ARMING_STOPPED_SINCE, f"stopped at {seen.stopped_at.isoformat()}"
    policies = json.loads(step.accounts)
    if account_id not in policies:
        return R.ARMING_OTHER_ACCOUNT, f"{account_id} is not among {', '.join(sorted(policies))}"
    if policies[account_id] != policy_sha256:
        return R.ARMING_OTHER_POLICY, f"armed was {policies[account_id][:12]}, this is {policy_sha256[:12]}"
    if step.code_sha256 != guard.code_sha256:
        return R.ARMING_OTHER_CODE, f"armed was {step.code_sha256[:12]}, this is {guard.code_sha256[:12]}"
    return None


def judge_notional(step: ArmingRow, sent: Decimal, notional: Decimal) -> Verdict:
    """Whether the order still fits into what was armed."""
    assert step.notional_max is not None
    if sent + notional <= step.notional_max:
        return None
    return R.ARMING_NOTIONAL_USED, f"{sent:f} was sent, this order is {notional:f}, armed was {step.notional_max:f}"
