"""Named points at which a test may kill this process, or raise, to prove that recovery works. Never in production.

`ALGOTRENDY_CRASH_AT=C13:2` kills the process (SIGKILL: nothing is cleaned up) at its second pass of C13;
`C13:2:stop` stops it there (SIGSTOP) until somebody continues it. A test may install a hook instead. docs/orders.md
lists what each point leaves behind.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from brokers.ids import Environment
from brokers.wire import WirePhase, WireRecord

VARIABLE = "ALGOTRENDY_CRASH_AT"
Hook = Callable[[str], None]

CRASH_POINTS: Mapping[str, str] = MappingProxyType(
    {
        "C04": "inside the transaction that makes an intent READY or DENIED, before its commit",
        "C05": "after the intent is READY",
        "C06": "after the claim is committed",
        "C07": "payload built, not committed",
        "C08": "inside the transaction of SENDING, before its commit",
        "C09": "after SENDING is committed, before the connection",
        "C10": "connecting: before the first byte",
        "C11": "the first byte may have left",
        "C12": "request written, the venue has not read it",
        "C13": "the venue executed, its answer is not sent",
        "C14": "the answer is on its way",
        "C15": "answer read, not parsed",
        "C16": "parsed, before the observation is committed",
        "C17": "observation committed, before the move",
        "C18": "after ACKED, before the first look at the order",
        "C19": "fills read, before they are committed",
        "C20": "fills written, before the cursor moves and the transaction is committed",
        "C21": "after a complete look-up without a trace, before it is committed",
        "C22": "after NOT_PLACED, before the next attempt",
        "C23": "before the same id is sent again",
        "C24": "cancel sent, its answer not recorded",
        "C25a": "kill recorded, nothing cancelled yet",
        "C25b": "some orders of a kill cancelled, others not",
        "C25c": "no open order seen, not yet proved by a second read",
        "C25d": "closing positions recorded, no closing order yet",
        "C25e": "positions closed, not yet proved by two reads",
        "C25f": "proved, the end of the kill not recorded",
    }
)
_passes: Counter[str] = Counter()
_hook: Hook | None = None


def crash_point(name: str, environment: Environment) -> None:
    """Pass a point: nothing happens unless a test asked for it, and never in production."""
    assert name in CRASH_POINTS, f"unknown crash point {name}"
    if environment is Environment.PRODUCTION:
        return
    if _hook is not None:
        _hook(name)
    wanted = os.environ.get(VARIABLE, "")
    if not wanted:
        return
    point, _, rest = wanted.partition(":")
    ordinal, _, how = rest.partition(":")
    if point == name:
        _passes[name] += 1
        if _passes[name] == int(ordinal or "1"):
            os.kill(os.getpid(), signal.SIGSTOP if how == "stop" else signal.SIGKILL)


@contextmanager
def crash_hook(hook: Hook) -> Iterator[None]:
    """Call `hook` at every point inside the block; it may raise."""
    global _hook
    before, _hook = _hook, hook
    try:
        yield
    finally:
        _hook = before


def wire_record(environment: Environment) -> WireRecord:
    """A record for one send; where a crash is asked for, one that passes C10, C11 and C15 as the transport fills it."""
    is_watched = environment is not Environment.PRODUCTION and (_hook is not None or VARIABLE in os.environ)
    return _WatchedRecord(environment) if is_watched else WireRecord()


_POINT_OF_PHASE = {WirePhase.CONNECTING: "C10", WirePhase.SENDING: "C11", WirePhase.ANSWERED: "C15"}


class _WatchedRecord(WireRecord):
    """A wire record that passes a crash point whenever the transport moves its phase."""

    def __init__(self, environment: Environment) -> None:
        object.__setattr__(self, "environment", environment)
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name == "phase" and value in _POINT_OF_PHASE:
            crash_point(_POINT_OF_PHASE[value], self.__dict__["environment"])
