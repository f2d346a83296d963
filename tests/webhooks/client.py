"""A sender that hides nothing: bytes on a socket, and the answer as it came."""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

ANSWER_S_MAX = 30.0


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    took_s: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The reason's code; "" where the answer is none."""
        return str(self.json["error"]) if self.status >= 400 else ""


class _Reading:
    """What comes on a connection, for one answer after the other: `http.client` would take the next ones along."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def makefile(self, mode: str) -> Self:
        return self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        """Kept for the next answer."""

    def end(self) -> None:
        self._file.close()


class Wire:
    """One connection to a receiver."""

    def __init__(self, url: str, *, timeout_s: float = ANSWER_S_MAX) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}"
        self.connected_at = time.monotonic()
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reading = _Reading(self.socket)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.end()
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def answer(self, *, method: str = "POST") -> Answer:
        """Read one answer; ConnectionError when there is none."""
        response = http.client.HTTPResponse(self._reading, method=method)  # type: ignore[arg-type]
        try:
            response.begin()
            body = response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"no answer: {error!r}") from error
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, headers, body, time.monotonic() - self.connected_at)

    def ended_after_s(self) -> float:
        """Wait until the other side closes; the seconds since the connect."""
        with suppress(ConnectionError):
            while self._reading.read1(65_536):
                pass
        return time.monotonic() - self.connected_at


def head(path: str, *, method: str = "POST", headers: Mapping[str, str] | None = None, length: int | None = 0) -> bytes:
    """A request's head; `length` None leaves Content-Length out."""
    lines = [f"{method} {path} HTTP/1.1", "Host: receiver"]
    if length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def ask(
    url: str, path: str, body: bytes = b"", *, method: str = "POST", headers: Mapping[str, str] | None = None
) -> Answer:
    """One request on a connection of its own."""
    with Wire(url) as wire:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused in the middle; the answer is there all the same
            wire.send(head(path, method=method, headers=headers, length=len(body)) + body)
        return wire.answer(method=method)
