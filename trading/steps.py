"""Steps: how a job's composition is shared by flows and the command line.

A job in `trading` calls every broker operation through a `Step`. The command line passes `call_directly`; a flow
passes a step that runs the same function as a Prefect task, so that the operator sees each one by name. What may be
asked again is said by the kind: only READ is.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, TypeVar

T = TypeVar("T")


class StepKind(StrEnum):
    READ = "read"  # asks the venue or the ledger: may be retried on retryable errors
    ADVANCE = "advance"  # idempotent by compare-and-set: may be called again, never sends twice
    RECORD = "record"  # writes the ledger idempotently


class Step(Protocol):
    """Run `function` under a name that reads as a sentence."""

    def __call__(self, name: str, kind: StepKind, function: Callable[[], T]) -> T: ...


def call_directly(name: str, kind: StepKind, function: Callable[[], T]) -> T:
    """The step of the command line and of tests: a plain call."""
    return function()
