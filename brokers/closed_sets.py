"""Closed sets whose members are plain attributes of their class, as from Python 3.12 on.

Python 3.11 finds `State.READY` through a descriptor written in Python, which costs four times as much; decisions on the
hot path name a dozen members each.
"""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

Kind = TypeVar("Kind", bound=type[Enum])


def plain_members(kind: Kind) -> Kind:
    """Let the class hold its members themselves; everything else of the enumeration stays as it is."""
    for name, member in kind.__members__.items():
        type.__setattr__(kind, name, member)
    return kind
