"""Log lines without secrets, written beside the event loop.

A token stands in the path of a request, so every line passes a formatter that blots it out, whoever wrote it,
tracebacks included. Lines are written by a thread: a terminal or a journal that stalls must not stall the answer to an
alert. When too many wait, they are dropped and counted.
"""

from __future__ import annotations

import logging
import logging.handlers
import queue
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

LINES_MAX: Final = 10_000
STOP_S_MAX: Final = 2.0
LOGGERS: Final = ("algotrendy.receiver", "uvicorn")
_BLOT: Final = "[token]"
_SECRETS: Final = (
    # What follows the path of a webhook, also where it was url-encoded on its way into the text.
    (re.compile(r"(?i)(webhook(?:/|%2f)(?:tradingview(?:/|%2f))?)(?!tradingview\b)[^\s\"'?#<>]+"), rf"\1{_BLOT}"),
    (re.compile(r"(?i)(bearer(?:\s|%20|\+)+)[^\s\"',]+"), rf"\1{_BLOT}"),
    (re.compile(r"(?i)(authorization['\"]?\s*[:=,]\s*b?['\"]?)(?!bearer)[^\s\"',]+"), rf"\1{_BLOT}"),
    (re.compile(r"whsec_[A-Za-z0-9+/=_-]+"), _BLOT),
)


def redact(text: str) -> str:
    """Without tokens of paths and headers."""
    for pattern, blotted in _SECRETS:
        text = pattern.sub(blotted, text)
    return text


class RedactingFormatter(logging.Formatter):
    """The last thing that happens to a line before it is written."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


class _Dropping(logging.handlers.QueueHandler):
    """Hands lines to the writing thread; full means dropped, never waiting."""

    def __init__(self, waiting: queue.SimpleQueue[logging.LogRecord | None]) -> None:
        super().__init__(waiting)
        self.dropped = 0
        self._waiting = waiting

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # formatted by the thread, where it costs the answers nothing

    def enqueue(self, record: logging.LogRecord) -> None:
        if self._waiting.qsize() < LINES_MAX:
            self._waiting.put_nowait(record)
        else:
            self.dropped += 1


class _Listener(logging.handlers.QueueListener):
    """The writing thread. It is a daemon: a stream that stalls for ever does not keep the process from ending."""

    _thread: threading.Thread | None

    def stop(self) -> None:
        self.enqueue_sentinel()
        if self._thread is not None:
            self._thread.join(STOP_S_MAX)


class Lines:
    """How many lines were dropped so far."""

    def __init__(self, handler: _Dropping | None = None) -> None:
        self._handler = handler

    @property
    def dropped(self) -> int:
        return 0 if self._handler is None else self._handler.dropped


@contextmanager
def logging_to(stream: TextIO = sys.stdout, *, level: int = logging.INFO) -> Iterator[Lines]:
    """Send the receiver's and uvicorn's lines to the stream; at the end what waits is written, unless that stalls."""
    target = logging.StreamHandler(stream)
    target.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(message)s"))
    waiting: queue.SimpleQueue[logging.LogRecord | None] = queue.SimpleQueue()
    handler = _Dropping(waiting)
    listener = _Listener(waiting, target)
    loggers = [logging.getLogger(name) for name in LOGGERS]
    before = [(logger, logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
        logger.propagate = False
    listener.start()
    try:
        yield Lines(handler)
    finally:
        for logger, level_before, propagate in before:
            logger.removeHandler(handler)
            logger.setLevel(level_before)
            logger.propagate = propagate
        listener.stop()
