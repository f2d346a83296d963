"""Parts of a job in threads of their own: accounts side by side, and orders of one account.

Each part runs in a copy of the caller's context, so that its steps are tasks of the same flow run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


def in_threads(parts: Sequence[Callable[[], T]]) -> list[T]:
    """Run all at once and wait for all; then raise the first error, in the order of the parts, if there is one."""
    if len(parts) <= 1:
        return [part() for part in parts]
    with ThreadPoolExecutor(len(parts), thread_name_prefix="beside") as pool:
        running = [pool.submit(copy_context().run, part) for part in parts]
    return [future.result() for future in running]
