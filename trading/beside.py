"""What runs beside what is decided by the caller: a job hands over its parts and gets their results in order.

Here, one after another, so that a history can be played again; `tasks.beside` has the one with threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

T = TypeVar("T")


class Beside(Protocol):
    """Run every part and return what each returned; when some raise, the first error is raised after all have ended."""

    def __call__(self, parts: Sequence[Callable[[], T]]) -> list[T]: ...


def one_by_one(parts: Sequence[Callable[[], T]]) -> list[T]:
    """In the caller's own thread, one after another; what comes after an error is not begun."""
    return [part() for part in parts]
