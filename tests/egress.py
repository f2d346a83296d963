"""A recorder of everything that this process tries to reach, and an environment that tries to divert it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch


class Egress:
    """Every address that this process connects to or asks a name server for, by the interpreter's own audit events."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.is_on = False
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.is_on and event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            self.seen.append(str(arguments[1]))
        elif self.is_on and event == "socket.getaddrinfo":
            self.seen.append(str(arguments[:2]))

    @contextmanager
    def recording(self) -> Iterator[list[str]]:
        """Hear what happens inside the block."""
        self.seen, self.is_on = [], True
        try:
            yield self.seen
        finally:
            self.is_on = False


@cache
def egress() -> Egress:
    """The process's recorder: an audit hook cannot be taken off again."""
    return Egress()


@contextmanager
def hostile_environment(decoy_url: str, directory: Path) -> Iterator[None]:
    """Proxies and a netrc that would divert or re-sign a request, all pointing at the decoy."""
    (directory / "netrc").write_text("machine 127.0.0.1\nlogin intruder\npassword stranger\n")
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    diverted = {name: decoy_url for upper in names for name in (upper, upper.lower())}
    with patch.dict(os.environ, {**diverted, "NETRC": str(directory / "netrc")}):
        for name in ("NO_PROXY", "no_proxy"):
            os.environ.pop(name, None)
        yield
