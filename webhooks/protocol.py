"""uvicorn's HTTP/1.1 protocol with limits that hold: on time, on size, on the number of connections.

uvicorn starts no clock until a request's head has been read, and reads for ever what nobody asked for: a sender of one
byte a second keeps its connection, and a refused body is swallowed whole. What is added here, per connection:

- a head must be complete `head_s_max` after the connect (later: after its first byte), or it is closed;
- `connection_s_max` after that moment the connection is cut, whatever it is doing; the application itself answers
  earlier (`request_s_max`, `commit_s_max`), so only senders that do not read, or go on sending, meet this;
- what follows a refused request is dropped unread, at most `rest_bytes_max` of it;
- an idle connection is closed; with `connections_max` open, the one that has kept us waiting longest makes room.

Pipelined requests are answered one after the other (h11 pauses); each starts its own clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from webhooks.settings import Limits

STARTED_AT = "started_at"  # in the scope's state: when the request began, on the loop's clock
_TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Phase(StrEnum):
    """What a connection is doing."""

    HEAD = "head"  # a request's head is awaited, or half read
    REQUEST = "request"  # the application has it
    REST = "rest"  # answered; the body still comes and is dropped
    IDLE = "idle"  # kept open between two requests


class Closed(StrEnum):
    """Why a connection was closed by us before its sender was done."""

    SILENT = "silent"  # no byte of a request came
    HEAD_TOO_SLOW = "head_too_slow"
    TOO_LONG = "too_long"
    REST_TOO_LARGE = "rest_too_large"
    MADE_ROOM = "made_room"
    NO_ROOM = "no_room"


@dataclass(slots=True)
class Connections:
    """Every open connection, the one that entered its phase first in front."""

    limits: Limits
    on_closed: Callable[[Closed], None] = lambda reason: None
    open: dict[BoundedProtocol, None] = field(default_factory=dict)

    def make_room(self) -> bool:
        """Whether one more may be opened; one that keeps us waiting may be closed for it."""
        if len(self.open) < self.limits.connections_max:
            return True
        waiting = next((each for each in self.open if each.keeps_us_waiting), None)
        if waiting is None:
            return False
        waiting.cut(Closed.MADE_ROOM)
        return True

    def to_the_end(self, connection: BoundedProtocol) -> None:
        self.open.pop(connection, None)
        self.open[connection] = None

    def discard(self, connection: BoundedProtocol) -> None:
        self.open.pop(connection, None)


class BoundedProtocol(H11Protocol):
    """One connection. Use the class that `bounded` makes."""

    bounds: Connections
    _phase = Phase.IDLE
    _since = 0.0  # when the request under way began
    _timer: asyncio.TimerHandle | None = None
    _has_bytes = False
    _rest_bytes = 0

    @property
    def keeps_us_waiting(self) -> bool:
        """Not one whose whole request we have and have not answered yet."""
        return self._phase is not Phase.REQUEST or self.cycle.more_body

    # -- what the event loop calls ------------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        has_room = self.bounds.make_room()
        super().connection_made(transport)
        self._enter(Phase.HEAD)
        if not has_room:
            self.cut(Closed.NO_ROOM)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self.bounds.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.IDLE:
            self._enter(Phase.HEAD)
        if self._phase is Phase.REST:
            self._rest_bytes += len(data)
            if self._rest_bytes > self.bounds.limits.rest_bytes_max:
                self.cut(Closed.REST_TOO_LARGE)
                return
        self._has_bytes = True
        super().data_received(data)

    # -- what uvicorn's protocol calls --------------------------------------------------------------------------
    def handle_events(self) -> None:
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            # The application's task has been made and has not run yet.
            self.scope["state"][STARTED_AT] = self._since
            self._enter(Phase.REQUEST)
        elif self._phase is Phase.REST and self.conn.their_state is h11.IDLE:
            self._await_next()

    def on_response_complete(self) -> None:
        self._enter(Phase.REST)
        super().on_response_complete()  # may begin the next pipelined request
        if self._phase is Phase.REST and self.conn.their_state is h11.IDLE:
            self._await_next()

    # -- inside -------------------------------------------------------------------------------------------------
    def _await_next(self) -> None:
        is_begun = bool(self.conn.trailing_data[0])
        self._enter(Phase.HEAD if is_begun else Phase.IDLE)
        self._has_bytes = is_begun

    def _enter(self, phase: Phase) -> None:
        limits = self.bounds.limits
        self._phase = phase
        if phase is Phase.HEAD:
            self._since = self.loop.time()
            self._has_bytes, self._rest_bytes = False, 0
        self.bounds.to_the_end(self)
        self._stop_timer()
        if phase is Phase.HEAD:
            self._timer = self.loop.call_at(self._since + limits.head_s_max, self._head_too_late)
        elif phase is not Phase.IDLE:  # uvicorn's own timer ends an idle connection
            self._timer = self.loop.call_at(self._since + limits.connection_s_max, self.cut, Closed.TOO_LONG)

    def _head_too_late(self) -> None:
        if not self._has_bytes or self.transport.is_closing():
            self.cut(Closed.SILENT)
            return
        self.transport.write(_TOO_LATE)
        self.bounds.on_closed(Closed.HEAD_TOO_SLOW)
        self.transport.close()

    def cut(self, reason: Closed) -> None:
        """Close now; what is not sent yet is not sent."""
        self._stop_timer()
        self.bounds.discard(self)
        self.bounds.on_closed(reason)
        self.transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def bounded(bounds: Connections) -> type[BoundedProtocol]:
    """The protocol class of one server: uvicorn makes one object of it for each connection."""
    attributes: dict[str, Any] = {"bounds": bounds}
    return type("BoundedProtocolOfServer", (BoundedProtocol,), attributes)
