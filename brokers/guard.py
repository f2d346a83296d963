"""The send guard: what may leave this process, how often, and what is known of it afterwards.

Independent of any HTTP library. A transport (`brokers.transport` for requests; others share the same guard) asks the
guard before it connects, tells it just before the first byte leaves, and hands it the complete answer:

    call = guard.begin(...)      host pinned? verb allowed? ticket there and unused? → or a NotSent error
    call.first_byte()            the last moment to refuse: `send_by`; from here on the outcome is unknown
    call.answered(...)           a complete answer was read: status, headers and body are evidence
    call.failure(error)          the exception's certainty, from the phase that the call had reached

The active ticket or record is a context variable: only code inside `guard.sending(...)` can send an order.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from brokers.clock import Clock, SystemClock
from brokers.errors import (
    AnswerTimedOut,
    AnswerUnreadable,
    BrokerError,
    ConnectFailed,
    ConnectionLost,
    DeadlinePassed,
    HostRefused,
    InvalidOrder,
    NotSent,
    RedirectRefused,
    SecondSendRefused,
    TicketMissing,
    Unsupported,
)
from brokers.wire import SendTicket, WirePhase, WireRecord

ANSWER_BYTES_MAX = 5_000_000
_SECRET_LENGTH_MIN = 8  # what is shorter is no secret of a venue, and could be a word of an answer
_PASSING_SECRETS_MAX = 8
_BLOT = "***"
_DEFAULT_PORTS = {"http": 80, "https": 443}
_HIDDEN_HEADERS = frozenset({"set-cookie", "authorization", "proxy-authenticate", "www-authenticate"})
_SIGNATURE = re.compile(rb"((?:^|&)signature=)[^&]*")
_HIDDEN_QUERY = frozenset({"signature", "sign", "apikey", "api_key", "token"})
_HIDDEN_IN_TEXT = re.compile(rf"((?:^|[?&])(?:{'|'.join(sorted(_HIDDEN_QUERY))})=)[^&\s'\"()]*", re.IGNORECASE)


class Verb(StrEnum):
    """What a request does, decided by the adapter from method and path."""

    READ = "read"
    WRITE = "write"  # may be repeated freely: cancel, setters that are read back
    ORDER = "order"  # opens risk: only under a ticket, only once
    FORBIDDEN = "forbidden"  # no business of ours: withdrawals, key management, anything unknown


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port: the only place that a pinned transport will talk to."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        """Read the origin of an absolute http(s) URL; HostRefused when it has none."""
        try:
            parts = urlsplit(url.partition("?")[0])
            port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
        except ValueError as error:
            raise HostRefused(f"url must be absolute with a numeric port, was {_shown(url)!r}") from error
        if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
            raise HostRefused(f"url must be absolute http or https, was {_shown(url)!r}")
        return cls(scheme=parts.scheme, host=parts.hostname.lower(), port=port)


@dataclass(frozen=True, slots=True)
class _Scope:
    guard: SendGuard
    record: WireRecord
    ticket: SendTicket | None = None
    sha256: str = ""
    timeout_s: float | None = None
    answer_bytes_max: int | None = None


_SCOPE: ContextVar[_Scope | None] = ContextVar("brokers_guard_scope", default=None)


class SendGuard:
    """One per adapter and account; safe to share between threads."""

    def __init__(
        self,
        *,
        origins: frozenset[Origin],
        classify: Callable[[str, str], Verb],
        clock: Clock,
        timeout_s: float,
        answer_bytes_max: int = ANSWER_BYTES_MAX,
        secrets: Sequence[str] = (),
        committed_part: Callable[[bytes], bytes] = bytes,
    ) -> None:
        """`committed_part` gives the part of a body that was committed before sending, where time and signature travel
        in the body too; ValueError when the body is not that part and those."""
        if not origins:
            raise ValueError("origins must name at least one allowed host")
        self.origins = origins
        self.clock = clock
        self.io_clock = SystemClock()  # sockets live in real time, whatever clock decides business deadlines
        self.timeout_s = timeout_s
        self.answer_bytes_max = answer_bytes_max
        self._classify = classify
        self._committed_part = committed_part
        self._secrets = _written_forms(secrets)
        self._passing: deque[str] = deque(maxlen=_PASSING_SECRETS_MAX)
        self._fixed = tuple(secrets)
        self._closed = False
        self._lock = threading.Lock()
        self.order_requests_sent = 0  # first bytes of order requests, under whatever ticket

    def close(self) -> None:
        """Refuse everything from now on."""
        self._closed = True

    def add_secret(self, secret: str) -> None:
        """Blot this out too from now on: an access token, which lives for minutes. The last few are remembered."""
        with self._lock:
            if secret not in self._passing:
                self._passing.append(secret)
                self._secrets = _written_forms((*self._fixed, *self._passing))

    def without_secrets(self, text: str) -> str:
        """The text with what must not be kept blotted out: venues quote a key in the errors about it."""
        for secret in self._secrets:
            text = text.replace(secret, _BLOT)
        return text

    def without_secrets_bytes(self, body: bytes) -> bytes:
        """As above, for a body of any encoding."""
        for secret in self._secrets:
            body = body.replace(secret.encode(), _BLOT.encode())
        return body

    @property
    def ticket(self) -> SendTicket | None:
        """The ticket of the send that is under way in this context."""
        scope = self._scope()
        return scope.ticket if scope else None

    @contextmanager
    def sending(self, ticket: SendTicket, *, sha256: str) -> Iterator[WireRecord]:
        """Let one order request out whose body has this sha256; keep the certainty of what happened.

        Whatever leaves this block as an exception tells the truth about the wire: an SDK's own exception or a refusal
        of a *second* send after a first byte becomes OutcomeUnknown, before it NotSent.
        """
        record = ticket.record
        if record.phase is not WirePhase.NOT_STARTED or record.sends:
            raise SecondSendRefused(f"ticket {ticket.send_id} was used already; a new attempt needs a new ticket")
        with self._active(_Scope(self, record, ticket=ticket, sha256=sha256, timeout_s=ticket.timeout_s)):
            try:
                yield record
            except NotSent as error:
                if record.sends:
                    raise _unknown_after_send(record, error) from error
                raise
            except BrokerError:
                raise
            except Exception as error:
                if record.sends:
                    raise _unknown_after_send(record, error) from error
                raise NotSent(f"nothing was sent: {_text(error)}") from error

    @contextmanager
    def recording(self, *, timeout_s: float | None = None, answer_bytes_max: int | None = None) -> Iterator[WireRecord]:
        """Give the record of the calls made inside (the last one wins); reads and repeatable writes only.

        `answer_bytes_max` is for the one list that is known to be longer than other answers may be.
        """
        record = WireRecord()
        with self._active(_Scope(self, record, timeout_s=timeout_s, answer_bytes_max=answer_bytes_max)):
            yield record

    def begin(self, *, method: str, url: str, body: bytes) -> GuardedCall:
        """Check everything that can be checked before a connection is used; raise NotSent errors only."""
        if self._closed:
            raise NotSent("this connection was closed; open the broker again")
        origin = Origin.of(url)
        if origin not in self.origins:
            allowed = ", ".join(sorted(f"{o.scheme}://{o.host}:{o.port}" for o in self.origins))
            raise HostRefused(f"host must be one of {allowed}, was {origin.scheme}://{origin.host}:{origin.port}")
        path = urlsplit(url.partition("?")[0]).path
        verb = self._classify(method.upper(), path)
        if verb is Verb.FORBIDDEN:
            raise Unsupported(f"{method} {path} is not among the requests that this adapter may make")
        scope = self._scope()
        call = GuardedCall(self, scope=scope, verb=verb)
        with self._lock:  # the check and its mark are one step, also for threads that share a context
            if verb is Verb.ORDER:
                call.check_ticket(body)
            call.open(method=method.upper(), url=url, body=body)
        return call

    def committed(self, body: bytes) -> bytes:
        """What of an order's body had to be committed."""
        try:
            return self._committed_part(body)
        except ValueError as error:
            raise InvalidOrder(f"the order's body has not the form that was committed: {error}") from error

    def count_order(self) -> None:
        """One more order request leaves."""
        with self._lock:
            self.order_requests_sent += 1

    def _scope(self) -> _Scope | None:
        scope = _SCOPE.get()
        return scope if scope is not None and scope.guard is self else None

    @contextmanager
    def _active(self, scope: _Scope) -> Iterator[None]:
        token = _SCOPE.set(scope)
        try:
            yield
        finally:
            _SCOPE.reset(token)


class GuardedCall:
    """One request through a guard."""

    def __init__(self, guard: SendGuard, *, scope: _Scope | None, verb: Verb) -> None:
        self._guard = guard
        self._verb = verb
        self._ticket = scope.ticket if scope and verb is Verb.ORDER else None
        self._sha256 = scope.sha256 if scope else ""
        # A read inside `sending` must not overwrite the evidence of the order.
        borrows = scope is not None and (verb is Verb.ORDER or scope.ticket is None)
        self.record = scope.record if scope and borrows else WireRecord()
        timeout_s = scope.timeout_s if scope and scope.timeout_s is not None else guard.timeout_s
        self.timeout_s = timeout_s
        own_bytes_max = scope.answer_bytes_max if scope and borrows else None
        self.answer_bytes_max = guard.answer_bytes_max if own_bytes_max is None else own_bytes_max
        self._deadline = guard.io_clock.monotonic() + timeout_s
        self._left = False

    def check_ticket(self, body: bytes) -> None:
        """Refuse an order without a ticket, on a used ticket, too late, or with bytes that were not committed."""
        ticket = self._ticket
        if ticket is None:
            raise TicketMissing("an order may only be sent by place() under a SendTicket")
        if self.record.sends or self.record.phase is not WirePhase.NOT_STARTED:
            raise SecondSendRefused(f"ticket {ticket.send_id} already sent; the second send was stopped before a byte")
        sha256 = hashlib.sha256(self._guard.committed(body)).hexdigest()
        if self._sha256 and sha256 != self._sha256:
            raise InvalidOrder(f"body sha256 must be the committed {self._sha256}, was {sha256}; nothing was sent")
        self._check_send_by(ticket)

    def open(self, *, method: str, url: str, body: bytes) -> None:
        """Start the record."""
        record = self.record
        record.phase = WirePhase.CONNECTING
        record.sends = 0
        record.method = method
        record.url = _shown(url)
        record.request_body = self._guard.committed(body) if self._verb is Verb.ORDER else _without_signature(body)
        record.request_sha256 = hashlib.sha256(record.request_body).hexdigest()
        record.status = None
        record.response_headers = {}
        record.response_body = b""
        record.started_at = self._guard.clock.now()
        record.ended_at = None
        record.error = ""

    def remaining_s(self) -> float:
        """Seconds of the one total deadline that are left; TimeoutError when none are."""
        left = self._deadline - self._guard.io_clock.monotonic()
        if left <= 0:
            raise TimeoutError(f"the total deadline of {self.timeout_s} s is over")
        return left

    @property
    def is_expired(self) -> bool:
        return self._deadline <= self._guard.io_clock.monotonic()

    def first_byte(self) -> None:
        """Tell that the next instruction writes to the socket; the last check of `send_by` is here."""
        if self._left:
            return
        if self._ticket is not None:
            self._check_send_by(self._ticket)
        self._left = True
        if self._verb is Verb.ORDER:
            self._guard.count_order()
        self.record.phase = WirePhase.SENDING
        self.record.sends += 1

    def connecting(self, host: str, port: int) -> None:
        """Tell which address a new connection is about to reach, however the URL was read on the way here.

        After the first byte a new connection could only send again.
        """
        if not any((origin.host, origin.port) == (host.lower().strip("[]"), port) for origin in self._guard.origins):
            raise HostRefused(f"a connection to {host}:{port} was stopped: it is not pinned")
        if self._left:
            raise ConnectionLost("the connection broke after the first byte; sending again was stopped")

    def answered(self, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Keep a complete answer; RedirectRefused when it is a redirection."""
        record = self.record
        record.status = status
        guard = self._guard
        kept = {k.lower(): v for k, v in headers.items() if k.lower() not in _HIDDEN_HEADERS}
        record.response_headers = {name: guard.without_secrets(value) for name, value in kept.items()}
        record.response_body = guard.without_secrets_bytes(body)
        record.phase = WirePhase.ANSWERED
        record.ended_at = self._guard.clock.now()
        if 300 <= status < 400:
            record.error = f"redirect {status}"
            target = record.response_headers.get("location", "")
            raise RedirectRefused(
                f"answer {status} redirects; it was not followed and proves nothing about the request",
                code=str(status),
                details={"location": target[:200]},
            )

    def failure(self, error: BaseException) -> BrokerError:
        """The typed error for an exception of the transport, by the phase that was reached."""
        record = self.record
        record.ended_at = record.ended_at or self._guard.clock.now()
        if isinstance(error, BrokerError):
            record.error = record.error or f"{error.reason}: {error.message}"
            return error
        record.error = _text(error)
        what = f"{record.method} {urlsplit(record.url).path}"
        if not self._left:
            return ConnectFailed(f"{what}: no connection, nothing was sent: {record.error}")
        if self.is_expired:
            return AnswerTimedOut(f"{what}: no complete answer within {self.timeout_s} s")
        return ConnectionLost(f"{what}: the connection broke after the first byte: {record.error}")

    def too_large(self) -> AnswerUnreadable:
        """The error for an answer above the size limit."""
        return AnswerUnreadable(f"answer must have at most {self.answer_bytes_max} bytes, was larger")

    def _check_send_by(self, ticket: SendTicket) -> None:
        late_s = self._guard.clock.monotonic() - ticket.send_by_monotonic_s
        if late_s > 0:
            raise DeadlinePassed(f"send_by of {ticket.send_id} passed {late_s:.3f} s ago; nothing was sent")


def _written_forms(secrets: Iterable[str]) -> tuple[str, ...]:
    """Each secret as it may stand in an answer, longest first."""
    long_enough = [secret for secret in secrets if len(secret) >= _SECRET_LENGTH_MIN]
    return tuple(
        sorted({form for secret in long_enough for form in (secret, quote(secret, ""))}, key=len, reverse=True)
    )


def _without_signature(body: bytes) -> bytes:
    """A form without the value of its signature; any other body as it is."""
    return _SIGNATURE.sub(rb"\1" + _BLOT.encode(), body)


def _unknown_after_send(record: WireRecord, error: BaseException) -> BrokerError:
    record.error = record.error or _text(error)
    return ConnectionLost(f"one order request left, then: {_text(error)}")


def _text(error: BaseException) -> str:
    """Type and text, bounded. Transport exceptions never carry headers, but may quote the URL: nothing that is hidden
    there may be read here."""
    return _HIDDEN_IN_TEXT.sub(rf"\1{_BLOT}", f"{type(error).__name__}: {error}")[:300]


def _shown(url: str) -> str:
    """The URL without the query values that could be used against us."""
    lower = url.partition("?")[2].lower()
    if not any(name in lower for name in _HIDDEN_QUERY):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(unreadable url)"
    kept = [(k, "***" if k.lower() in _HIDDEN_QUERY else v) for k, v in parse_qsl(parts.query, keep_blank_values=True)]
    return urlunsplit(parts._replace(query=urlencode(kept)))
