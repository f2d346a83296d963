"""Requests and answers between the socket and a protocol front."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Protocol, runtime_checkable

from simulators.core.accounts import Account
from simulators.core.money import plain
from simulators.core.venue import Venue


@dataclass(frozen=True, slots=True)
class Call:
    """One HTTP request, read whole. `target` is path and query exactly as received; header names are lower case."""

    method: str
    path: str
    raw_query: str
    body: bytes
    headers: Mapping[str, str]
    remote: str
    received_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP answer. `executed` tells whether the request reached the engine and was accepted there."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=utf-8"
    executed: bool = False
    code: str = ""


@dataclass(slots=True)
class Handling:
    """How a fault wants a request handled inside the front; all optional."""

    stale_ms: int | None = None
    hide_young_ms: int | None = None
    fill_ratio: Decimal | None = None
    rows: "RowFault | None" = None


class RowShape(Enum):
    """How a list answer is spoiled."""

    TRUNCATE = "truncate"
    REPEAT = "repeat"
    REVERSE = "reverse"


@dataclass(frozen=True, slots=True)
class RowFault:
    """Spoils the rows of a list answer: only the first `keep`, each row twice, or in the opposite order."""

    shape: RowShape
    keep: int = 0

    def apply(self, rows: list[object]) -> list[object]:
        """Return the spoiled rows."""
        if self.shape is RowShape.TRUNCATE:
            return rows[: self.keep]
        if self.shape is RowShape.REPEAT:
            return [row for row in rows for _ in range(2)]
        return rows[::-1]


class Stream(Protocol):
    """An answer without an end, of which more is asked again and again."""

    content_type: str

    @property
    def ended(self) -> bool:
        """Tell whether the venue ends the stream after what it has given out."""
        ...

    @property
    def piece_bytes(self) -> int | None:
        """Return into pieces of how many bytes the output is to be cut; None sends each part whole."""
        ...

    def poll(self) -> list[bytes]:
        """Return what is due now; called with the simulator's lock held."""
        ...

    def close(self) -> None:
        """Forget the stream: the client has gone, or the venue ended it."""
        ...


class Socket(Protocol):
    """One client's web socket: what it says is received, and what the venue says is asked again and again."""

    @property
    def ended(self) -> bool:
        """Tell whether the venue closes the socket after what it has given out."""
        ...

    def receive(self, data: bytes) -> None:
        """Take a frame of the client; called with the simulator's lock held."""
        ...

    def poll(self) -> list[bytes]:
        """Return the frames that are due now; called with the simulator's lock held."""
        ...

    def close(self) -> None:
        """Forget the socket: the client has gone, or the venue ended it."""
        ...


@runtime_checkable
class SocketFront(Protocol):
    """A front that has web sockets as well."""

    def open_socket(self, call: Call) -> Socket | None:
        """Open a web socket where a request asks for one; None: there is none at its path."""
        ...


class Front(Protocol):
    """A venue's wire protocol over the core. `broken_json` is the begin of an answer that breaks off."""

    name: str
    broken_json: bytes

    def handle(self, call: Call, handling: Handling) -> Answer:
        """Answer a request; called with the simulator's lock held."""
        ...

    def open_stream(self, call: Call, handling: Handling) -> "Stream | Answer | None":
        """Open a stream where a request asks for one, or say why it may not; None: `handle` answers."""
        ...

    def logged_body(self, call: Call) -> str:
        """Return a request's body fit for a log."""
        ...

    def account_of(self, call: Call) -> Account | None:
        """Return whose credentials a request carries, without checking them."""
        ...

    def overloaded(self, status: int) -> Answer:
        """Return the venue's own answer for HTTP 429 and 5xx."""
        ...

    def coded(self, code: int, message: str) -> Answer:
        """Return a business error of the venue with the given code and text."""
        ...

    def set_rate_limits(self, *, enabled: bool) -> None:
        """Switch the request limits on or off."""
        ...


class FrontFactory(Protocol):
    """Builds a front for a venue; called again at each reset."""

    def __call__(self, venue: Venue) -> Front: ...


SECRET_HEADERS = frozenset(
    {
        "x-bapi-sign",
        "authorization",
        "cookie",
        "x-mbx-apikey",
        "ok-access-sign",
        "ok-access-passphrase",
        "api-sign",
        "apca-api-secret-key",
    }
)


def without_secrets(headers: Mapping[str, str]) -> dict[str, str]:
    """Return headers fit for a log."""
    return {name: "***" if name in SECRET_HEADERS else value for name, value in headers.items()}


def to_json(value: object) -> object:
    """Turn the core's values into JSON: Decimals as plain text, derived properties included, secrets left out."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if is_dataclass(value) and not isinstance(value, type):
        derived = [name for name, member in vars(type(value)).items() if isinstance(member, property)]
        names = [f.name for f in fields(value) if f.repr] + derived
        return {name: to_json(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(to_json(key)): to_json(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json(item) for item in value]
    return value


def dump(value: object) -> bytes:
    """Serialise compactly."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
