"""Arm in two steps: one person asks, another approves that very record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from pydantic import SecretStr
from sqlmodel import Session, col, select

from brokers.ids import AccountId
from ledger import arming as rows
from ledger.arming import ArmingState
from ledger.columns import require_storable
from ledger.engine import Ledger
from ledger.tables import ArmingRow
from trading.arming.judging import VALID_MAX
from trading.arming.people import People
from trading.arming.reasons import ArmingReason, ArmingRefused
from trading.arming.record import ArmingRecord, Role, is_signed, record_of, sign, ungrouped
from trading.risk import RiskPolicy, policy_sha256

REQUEST_AGE_MAX = timedelta(minutes=15)
HASH_LENGTH_MIN = 8
_TEXT_MAX = 500


def policies_sha256(policies: Mapping[AccountId, RiskPolicy]) -> dict[str, str]:
    """What a record says of each account."""
    return {str(account_id): policy_sha256(policy) for account_id, policy in policies.items()}


def request_arming(
    ledger: Ledger,
    *,
    pool: str,
    policies: Mapping[str, str],
    notional_max: Decimal,
    hours: int,
    requested_by: str,
    reason: str,
    people: People,
    key: SecretStr,
    code_sha256: str,
    run: str = "",
) -> ArmingRow:
    """Store what is asked for; its `record_sha256` is what another person approves. ArmingRefused names the field.

    `run` names the job that asks: asked again by the same job, the first request is returned.
    """
    _require_valid(pool, policies, notional_max, hours, reason)
    people.require(requested_by)
    told = reason.strip()[:_TEXT_MAX] + (f" (run {run})" if run else "")
    with ledger.write() as session:
        rows.lock_pool(session, pool)
        known = _request_of_run(session, pool, told, requested_by) if run else None
        if known is not None:
            return known
        now = ledger.now(session)
        record = ArmingRecord(
            pool=pool,
            policies=dict(policies),
            notional_max=notional_max,
            code_sha256=code_sha256,
            expires_at=now + timedelta(hours=hours),
            requested_by=requested_by,
            requested_at=now,
            reason=told,
        )
        asked = rows.rows_of_record(session, pool, record.sha256)
        if asked:  # the same wish in the same instant is the same request
            return asked[0]
        return rows.add_step(session, _row(record, ArmingState.REQUESTED, key=key, approved_by="", at=now))


def approve_arming(
    ledger: Ledger,
    record_sha256: str,
    *,
    pool: str,
    policies: Mapping[str, str],
    approved_by: str,
    request_code: str,
    approve_code: str,
    people: People,
    key: SecretStr,
    code_sha256: str,
) -> ArmingRow:
    """Arm the pool by the request with this hash (or its beginning), after checking all of it again.

    `policies` are the accounts' policies as they are now. Approved again by the same person, the same row is returned.
    """
    with ledger.write() as session:
        rows.lock_pool(session, pool)
        request = _open_request(session, pool, record_sha256)
        done = [row for row in rows.rows_of_record(session, pool, request.record_sha256) if row is not request]
        if done and done[-1].approved_by == approved_by and done[-1] is rows.newest_step(session, pool):
            return done[-1]
        _require_approvable(session, request, key, ledger.now(session))
        record = record_of(request)
        if dict(record.policies) != {name: policies.get(name) for name in record.policies}:
            raise ArmingRefused(ArmingReason.ARMING_CHANGED, "a risk policy is not the one that the request names")
        if record.code_sha256 != code_sha256:
            raise ArmingRefused(
                ArmingReason.ARMING_CHANGED,
                f"the request names code {record.code_sha256[:12]}, this process runs {code_sha256[:12]}",
            )
        people.require_two(record.requested_by, approved_by)
        people.check(record.requested_by, Role.REQUEST, request.record_sha256, request_code)
        people.check(approved_by, Role.APPROVE, request.record_sha256, approve_code)
        row = _row(record, ArmingState.ARMED, key=key, approved_by=approved_by, at=ledger.now(session))
        return rows.add_step(session, row)


def _row(record: ArmingRecord, state: ArmingState, *, key: SecretStr, approved_by: str, at: datetime) -> ArmingRow:
    row = ArmingRow(
        pool=record.pool,
        state=state.value,
        accounts=record.accounts,
        notional_max=record.notional_max,
        policy_sha256=record.policy_sha256,
        code_sha256=record.code_sha256,
        record_sha256=record.sha256,
        requested_by=record.requested_by,
        approved_by=approved_by,
        reason=record.reason,
        expires_at=record.expires_at,
        recorded_at=at,
    )
    row.signature = sign(key, row)
    return row


def _require_valid(pool: str, policies: Mapping[str, str], notional_max: Decimal, hours: int, reason: str) -> None:
    problems = {
        "pool": "" if pool.strip() else "must name a pool",
        "accounts": "" if policies else "must name at least one account",
        "hours": "" if 1 <= hours <= VALID_MAX // timedelta(hours=1) else f"must be 1 to 8, was {hours}",
        "reason": "" if reason.strip() else "must say why",
        "notional_max": _notional_problem(notional_max),
    }
    for field, problem in problems.items():
        if problem:
            raise ArmingRefused(ArmingReason.ARMING_REQUEST_INVALID, f"{field} {problem}")


def _notional_problem(notional_max: Decimal) -> str:
    try:
        require_storable(notional_max)
    except (TypeError, ValueError) as error:
        return f"cannot be kept: {error}"
    return "" if notional_max > 0 else f"must be above zero, was {notional_max}"


def _request_of_run(session: Session, pool: str, reason: str, requested_by: str) -> ArmingRow | None:
    query = select(ArmingRow).where(
        ArmingRow.pool == pool,
        ArmingRow.state == ArmingState.REQUESTED.value,
        ArmingRow.reason == reason,
        ArmingRow.requested_by == requested_by,
    )
    return session.exec(query.order_by(col(ArmingRow.arming_id)).limit(1)).first()


def _open_request(session: Session, pool: str, record_sha256: str) -> ArmingRow:
    """The newest request, when it has this hash: what came after it (a disarming, a start) has cancelled older ones."""
    query = select(ArmingRow).where(ArmingRow.pool == pool, ArmingRow.state == ArmingState.REQUESTED.value)
    newest = session.exec(query.order_by(col(ArmingRow.arming_id).desc()).limit(1)).first()
    wanted = ungrouped(record_sha256)
    if newest is None or len(wanted) < HASH_LENGTH_MIN or not newest.record_sha256.startswith(wanted):
        raise ArmingRefused(
            ArmingReason.ARMING_REQUEST_UNKNOWN,
            f"pool {pool} has no open request with hash {record_sha256!r} (at least {HASH_LENGTH_MIN} characters)",
        )
    return newest


def _require_approvable(session: Session, request: ArmingRow, key: SecretStr, now: datetime) -> None:
    assert request.arming_id is not None
    if rows.rows_after(session, request.pool, request.arming_id):
        raise ArmingRefused(
            ArmingReason.ARMING_REQUEST_UNKNOWN, f"request {request.record_sha256[:12]} was used or taken back"
        )
    if not is_signed(key, request) or record_of(request).sha256 != request.record_sha256:
        raise ArmingRefused(ArmingReason.ARMING_FORGED, f"request {request.record_sha256[:12]} was altered")
    age = now - request.recorded_at
    if not timedelta(0) <= age <= REQUEST_AGE_MAX:
        raise ArmingRefused(ArmingReason.ARMING_REQUEST_OLD, f"the request is {age.total_seconds():.0f} s old")
