"""Set leverage, instrument by instrument, each verified by reading it back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from brokers.errors import BrokerError, NotModified, Unsupported, VerificationFailed
from brokers.ids import InstrumentId
from brokers.rounding import decimal_text
from brokers.types import LeverageInfo
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

TOO_HIGH = "LEVERAGE_ABOVE_LIMIT"
NOTHING_WANTED = "NO_LEVERAGE_WANTED"
DRY = "LEVERAGE_DRY_RUN"
LEVERAGE_REASONS = {
    TOO_HIGH: (
        "The leverage is above the account's own limit. Nothing was set.",
        "Lower it, or raise leverage_max in the account's risk limits.",
    ),
    NOTHING_WANTED: (
        "No leverage was named, and the account has no leverage targets. Nothing was set.",
        "Name instruments and leverage, or give the account leverage targets.",
    ),
    DRY: (
        "The pool runs dry. Nothing was set.",
        "Take ALGOTRENDY_DRY_RUN from the pool if its settings are to be made.",
    ),
}


class LeverageRefused(ValueError):
    """The leverage may not be set on this account; nothing was sent. `reason` is of LEVERAGE_REASONS."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.remedy = LEVERAGE_REASONS[reason][1]


class LeverageOutcome(StrEnum):
    """How one instrument ended; only the first two hold what was wanted, proved by a reading."""

    SET = "set"
    ALREADY_SO = "already_so"
    REFUSED = "refused"
    DIFFERS = "differs"  # set without an error, and read back as something else
    UNKNOWN = "unknown"  # it could not be read

    @property
    def is_proved(self) -> bool:
        return self in (LeverageOutcome.SET, LeverageOutcome.ALREADY_SO)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeverageResult:
    """One instrument: what was wanted, what was read before and after, and why it differs."""

    instrument_id: InstrumentId
    wanted: Decimal
    before: Decimal | None
    after: Decimal | None
    outcome: LeverageOutcome
    reason: str = ""
    detail: str = ""


def set_leverage(
    runtime: Runtime,
    wanted: Mapping[InstrumentId, Decimal],
    *,
    leverage_max: Decimal,
    step: Step = call_directly,
) -> tuple[LeverageResult, ...]:
    """Set each instrument's leverage; one that fails does not stop the others. Setting it again changes nothing.

    Raises LeverageRefused before any request when nothing is wanted, when something is above `leverage_max`, and in a
    pool that runs dry.
    """
    require_leverage(wanted, leverage_max=leverage_max)
    if runtime.desk.is_dry_run:
        raise LeverageRefused(DRY, f"leverage of {len(wanted)} instruments was not set: the pool runs dry")
    return tuple(_set_one(runtime, key, leverage, step) for key, leverage in sorted(wanted.items()))


def require_leverage(wanted: Mapping[InstrumentId, Decimal], *, leverage_max: Decimal) -> None:
    """Refuse what the account's risk limits forbid, and a call that wants nothing."""
    if not wanted:
        raise LeverageRefused(NOTHING_WANTED, "there is no leverage to set")
    for instrument_id, leverage in wanted.items():
        if not leverage.is_finite() or leverage <= 0:
            raise ValueError(f"leverage of {instrument_id} must be a number above 0, was {leverage}")
    above = [f"{key} to {decimal_text(value)}" for key, value in sorted(wanted.items()) if value > leverage_max]
    if above:
        limit = decimal_text(leverage_max)
        raise LeverageRefused(TOO_HIGH, f"leverage of {', '.join(above)} is above the account's limit {limit}")


def _set_one(runtime: Runtime, key: InstrumentId, wanted: Decimal, step: Step) -> LeverageResult:
    before, problem = _read(runtime, key, step)
    if before is None:
        # A venue without leverage has refused for good; otherwise it is not known what it is.
        outcome = LeverageOutcome.REFUSED if isinstance(problem, Unsupported) else LeverageOutcome.UNKNOWN
        return _result(key, wanted, None, None, outcome, problem)
    if _both(before) == (wanted, wanted):
        return _result(key, wanted, before, before, LeverageOutcome.ALREADY_SO, None)
    refusal: BrokerError | None = None
    try:
        # Setting is idempotent, and the port reads it back: asking again is safe.
        step(
            f"set leverage of {key} to {decimal_text(wanted)}",
            StepKind.ADVANCE,
            lambda: runtime.broker.set_leverage(key, wanted),
        )
    except NotModified:
        refusal = None
    except BrokerError as error:
        refusal = error
    after, problem = _read(runtime, key, step)
    if after is None:
        return _result(key, wanted, before, None, LeverageOutcome.UNKNOWN, refusal or problem)
    if _both(after) == (wanted, wanted):
        return _result(key, wanted, before, after, LeverageOutcome.SET, None)
    is_refused = refusal is not None and not isinstance(refusal, VerificationFailed)
    outcome = LeverageOutcome.REFUSED if is_refused else LeverageOutcome.DIFFERS
    return _result(key, wanted, before, after, outcome, refusal)


def _read(runtime: Runtime, key: InstrumentId, step: Step) -> tuple[LeverageInfo | None, BrokerError | None]:
    try:
        return step(f"read leverage of {key}", StepKind.READ, lambda: runtime.broker.leverage(key)), None
    except BrokerError as error:
        return None, error


def _both(info: LeverageInfo) -> tuple[Decimal, Decimal]:
    return info.long_leverage, info.short_leverage


def _result(
    key: InstrumentId,
    wanted: Decimal,
    before: LeverageInfo | None,
    after: LeverageInfo | None,
    outcome: LeverageOutcome,
    error: BrokerError | None,
) -> LeverageResult:
    return LeverageResult(
        instrument_id=key,
        wanted=wanted,
        before=None if before is None else before.long_leverage,
        after=None if after is None else after.long_leverage,
        outcome=outcome,
        reason=error.reason if error else ("" if outcome.is_proved else "LEVERAGE_NOT_TAKEN"),
        detail=f"{error.code} {error.text or error.message}".strip() if error else "",
    )
