"""Every error of the venue layer, by what is certain about the outcome.

    BrokerError
    ├── NotSent                     nothing left this process: safe to try again
    │   ├── InvalidOrder            our own check refused the terms (field, value, remedy)
    │   ├── Unsupported             the venue or the adapter has no such thing
    │   ├── EnvironmentMismatch     account, credentials, host and pool do not belong together
    │   ├── ConnectFailed           DNS, TCP or TLS failed before the first byte
    │   ├── HostRefused             the transport's pin refused the host
    │   ├── TicketMissing           an order tried to leave without a send ticket
    │   ├── SecondSendRefused       the transport refused to send one attempt twice
    │   └── DeadlinePassed          `send_by` or `not_after` was over before the first byte
    ├── Refused                     the venue said no, with its own code and text
    │   ├── AuthenticationRefused   bad key, bad signature, expired key
    │   ├── PermissionRefused       the key, account, region or symbol may not
    │   ├── InsufficientFunds
    │   ├── OrderInvalid            a filter or a rule of the venue
    │   ├── InstrumentUnknown       unknown or not trading
    │   ├── OrderNotFound           no such order (a look-up that proves nothing by itself)
    │   ├── OrderAlreadyDone        cancel of an order that is over: read it again
    │   ├── DuplicateClientOrderId  proof that an order with our id EXISTS: look it up
    │   ├── RateLimited             refused before execution, `retry_after_s` says when
    │   ├── ClockSkewed             our timestamp was outside the venue's window
    │   ├── VenueUnavailable        documented refusal: maintenance, settlement, not trading now
    │   └── NotModified             the value was already so: success for a setter
    └── OutcomeUnknown              the venue may or may not have acted: only evidence ends it
        ├── AnswerTimedOut          no complete answer before the deadline
        ├── ConnectionLost          reset or end of file after the first byte
        ├── VenueFaulted            5xx, 429 without a documented meaning, a documented "timeout" code
        ├── RedirectRefused         3xx: not followed, and it proves nothing about execution
        ├── AnswerUnreadable        not JSON, not the documented shape, an unknown code, ids that differ
        └── VerificationFailed      a setting was accepted, but reading it back shows another value

The first split is certainty; the default is `OutcomeUnknown`. For reads, `retryable` says
whether asking again may help.
"""

from __future__ import annotations

from collections.abc import Mapping


class BrokerError(Exception):
    """Base of all. `code` and `text` are the venue's own; `reason` is our stable code (docs/reasons.md)."""

    reason = "BROKER_ERROR"
    retryable = False

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        text: str = "",
        retry_after_s: float | None = None,
        details: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.text = text
        self.retry_after_s = retry_after_s
        self.details: Mapping[str, str] = details or {}

    def __reduce__(self) -> tuple[object, ...]:
        return (
            _rebuild,
            (type(self), self.message, self.code, self.text, self.retry_after_s, dict(self.details)),
        )


def _rebuild(
    kind: type[BrokerError],
    message: str,
    code: str,
    text: str,
    retry_after_s: float | None,
    details: Mapping[str, str],
) -> BrokerError:
    return kind(message, code=code, text=text, retry_after_s=retry_after_s, details=details)


class NotSent(BrokerError):
    reason = "NOT_SENT"


class InvalidOrder(NotSent):
    reason = "ORDER_INVALID_LOCAL"


class Unsupported(NotSent):
    reason = "UNSUPPORTED"


class EnvironmentMismatch(NotSent):
    reason = "ENVIRONMENT_MISMATCH"


class ConnectFailed(NotSent):
    reason = "CONNECT_FAILED"
    retryable = True


class HostRefused(NotSent):
    reason = "HOST_REFUSED"


class TicketMissing(NotSent):
    reason = "TICKET_MISSING"


class SecondSendRefused(NotSent):
    reason = "SECOND_SEND_REFUSED"


class DeadlinePassed(NotSent):
    reason = "DEADLINE_PASSED"


class Refused(BrokerError):
    reason = "VENUE_REFUSED"


class AuthenticationRefused(Refused):
    reason = "VENUE_AUTHENTICATION"


class PermissionRefused(Refused):
    reason = "VENUE_PERMISSION"


class InsufficientFunds(Refused):
    reason = "VENUE_INSUFFICIENT_FUNDS"


class OrderInvalid(Refused):
    reason = "VENUE_ORDER_INVALID"


class InstrumentUnknown(Refused):
    reason = "VENUE_INSTRUMENT_UNKNOWN"


class OrderNotFound(Refused):
    reason = "VENUE_ORDER_NOT_FOUND"


class OrderAlreadyDone(Refused):
    reason = "VENUE_ORDER_ALREADY_DONE"


class DuplicateClientOrderId(Refused):
    reason = "VENUE_DUPLICATE_CLIENT_ORDER_ID"


class RateLimited(Refused):
    reason = "VENUE_RATE_LIMITED"
    retryable = True


class ClockSkewed(Refused):
    reason = "VENUE_CLOCK_SKEWED"
    retryable = True


class VenueUnavailable(Refused):
    reason = "VENUE_UNAVAILABLE"
    retryable = True


class NotModified(Refused):
    reason = "VENUE_NOT_MODIFIED"


class OutcomeUnknown(BrokerError):
    reason = "OUTCOME_UNKNOWN"
    retryable = True


class AnswerTimedOut(OutcomeUnknown):
    reason = "ANSWER_TIMED_OUT"


class ConnectionLost(OutcomeUnknown):
    reason = "CONNECTION_LOST"


class VenueFaulted(OutcomeUnknown):
    reason = "VENUE_FAULTED"


class RedirectRefused(OutcomeUnknown):
    reason = "REDIRECT_REFUSED"
    retryable = False


class AnswerUnreadable(OutcomeUnknown):
    reason = "ANSWER_UNREADABLE"


class VerificationFailed(OutcomeUnknown):
    reason = "VERIFICATION_FAILED"
    retryable = False
