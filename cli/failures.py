"""From an error to what the operator sees: one panel (what, field, value, remedy) and an exit code for scripts.

Exit codes are part of the interface: they are listed in `algotrendy --help` and change only with a line in CHANGELOG.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """`meaning` is what --help says."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    CONFIGURATION = 3
    NOT_SENT = 4
    REFUSED = 5
    UNKNOWN = 6
    NOT_AS_WISHED = 7
    DECLINED = 8
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done, with evidence from the venue",
    ExitCode.UNEXPECTED: "an error that we did not foresee (run again with --debug)",
    ExitCode.USAGE: "wrong usage: unknown option, missing or invalid value",
    ExitCode.CONFIGURATION: "an account, portfolio or ledger setting is missing or wrong",
    ExitCode.NOT_SENT: "this command sent nothing: safe to try again",
    ExitCode.REFUSED: "the venue said no",
    ExitCode.UNKNOWN: "the outcome is not known yet: run `algotrendy resume-orders`",
    ExitCode.NOT_AS_WISHED: "finished, but not as wished: target not reached, lines refused, breaks found",
    ExitCode.DECLINED: "you answered no",
    ExitCode.INTERRUPTED: "interrupted; `algotrendy resume-orders` finishes what was under way",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What a panel shows. Empty parts are left out."""

    title: str
    message: str
    code: ExitCode
    reason: str = ""
    field: str = ""
    value: str = ""
    remedy: str = ""
    venue: str = ""  # the venue's own code and text


class CliError(Exception):
    """An error of the command line itself, ready to be shown."""

    def __init__(
        self,
        message: str,
        *,
        title: str = "Configuration",
        code: ExitCode = ExitCode.CONFIGURATION,
        field: str = "",
        value: str = "",
        remedy: str = "",
        reason: str = "",
    ) -> None:
        super().__init__(message)
        self.failure = Failure(
            title=title, message=message, code=code, reason=reason, field=field, value=value, remedy=remedy
        )


def failure_of(error: BaseException) -> Failure:
    """Classify any error; what nobody foresaw is UNEXPECTED and says how to see more."""
    if isinstance(error, CliError):
        return error.failure
    if isinstance(error, KeyboardInterrupt):
        return Failure(
            "Interrupted", "Stopped by the keyboard.", ExitCode.INTERRUPTED, remedy="algotrendy resume-orders"
        )
    return _broker_failure(error) or _validation_failure(error) or _ledger_failure(error) or _other(error)


def _broker_failure(error: BaseException) -> Failure | None:
    from brokers.errors import BrokerError, EnvironmentMismatch, NotSent, OutcomeUnknown, Refused
    from cli.reasons import remedy_of

    if not isinstance(error, BrokerError):
        return None
    title, code = "Broker error", ExitCode.UNEXPECTED
    if isinstance(error, EnvironmentMismatch):
        title, code = "Environment", ExitCode.CONFIGURATION
    elif error.reason.startswith("LOGIN_"):
        title, code = "Not logged in", ExitCode.CONFIGURATION
    elif isinstance(error, NotSent):
        title, code = "Not sent", ExitCode.NOT_SENT
    elif isinstance(error, Refused):
        title, code = "Refused by the venue", ExitCode.REFUSED
    elif isinstance(error, OutcomeUnknown):
        title, code = "Outcome not known", ExitCode.UNKNOWN
    return Failure(
        title=title,
        message=error.message,
        code=code,
        reason=error.reason,
        field=error.details.get("field", ""),
        value=error.details.get("value", ""),
        remedy=error.details.get("remedy", "") or remedy_of(error.reason),
        venue=" ".join(part for part in (error.code, error.text) if part),
    )


def _validation_failure(error: BaseException) -> Failure | None:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return None
    details = error.errors(include_url=False, include_context=False)
    first = details[0]
    secret = any("secret" in str(part) or "key" in str(part) for part in first["loc"])
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    return Failure(
        title=f"Invalid {error.title}",
        message=str(first["msg"]) + more,
        code=ExitCode.CONFIGURATION,
        field=".".join(str(part) for part in first["loc"]),
        value="" if secret else _short(first.get("input")),
        remedy="correct the field and run the command again",
    )


# What is no setting, by its reason: somebody else is at work, or the account or the venue must come to rest first.
_CODES_BY_REASON = {
    "PLAN_BUSY": ExitCode.UNKNOWN,
    "PLAN_UNFINISHED": ExitCode.UNKNOWN,
    "ORDERS_UNEXPLAINED": ExitCode.UNKNOWN,
    "ANOTHER_PLAN_RUNS": ExitCode.NOT_SENT,
    "ANOTHER_RUN_BEGUN": ExitCode.NOT_SENT,
    "RUN_BUSY": ExitCode.UNKNOWN,
    "SYNC_BASELINE_UNSETTLED": ExitCode.NOT_SENT,
    "ORDERS_UNREAD": ExitCode.NOT_SENT,
    "NOT_RECONCILED_YET": ExitCode.NOT_SENT,
    "AUDIT_ANCHORS_UNREADABLE": ExitCode.NOT_AS_WISHED,
}


def _ledger_failure(error: BaseException) -> Failure | None:
    from cli.reasons import remedy_of

    if not type(error).__module__.startswith(("ledger.", "trading.", "tasks.", "webhooks.")):
        return None
    reason = str(getattr(error, "reason", ""))
    title = "".join(f" {c.lower()}" if c.isupper() else c for c in type(error).__name__).strip().capitalize()
    return Failure(
        title=title,
        message=str(error),
        code=_CODES_BY_REASON.get(reason, ExitCode.CONFIGURATION),
        reason=reason,
        field=str(getattr(error, "field", "")),
        value=str(getattr(error, "value", "")),
        remedy=str(getattr(error, "remedy", "")) or remedy_of(reason),
    )


def _other(error: BaseException) -> Failure:
    if isinstance(error, (OSError, ValueError)):
        return Failure(type(error).__name__, str(error), ExitCode.CONFIGURATION)
    return Failure(
        title="Unexpected error",
        message=f"{type(error).__name__}: {error}",
        code=ExitCode.UNEXPECTED,
        remedy="run the command again with --debug to see where it happened, and report it",
    )


def _short(value: object, length_max: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= length_max else text[: length_max - 1] + "…"
