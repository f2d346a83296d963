"""The closed sets of the alert queue, stored as text."""

from __future__ import annotations

from enum import StrEnum


class InboxState(StrEnum):
    """The life of an alert (docs/alerts.md draws it)."""

    NEW = "new"  # acknowledged; nobody has read it
    QUEUED = "queued"  # read, and has its place in a lane
    WORKING = "working"  # a worker holds the lease
    WAITING = "waiting"  # later: an attempt failed, or the market is closed
    PLACED = "placed"  # terminal: its orders are acknowledged or over
    NOTHING_TO_DO = "nothing_to_do"  # terminal: an exit without a position, a cancel without orders
    REFUSED = "refused"  # terminal: a rule, a route, the risk check or the reviewer said no
    EXPIRED = "expired"  # terminal: its time to live was over
    DUPLICATE = "duplicate"  # terminal: the same alert again
    CONFLICT = "conflict"  # terminal: its key with another body, or a time that cannot be
    POISON = "poison"  # terminal: from a known source, and unreadable
    DEAD = "dead"  # terminal: its attempts are used up
    NEEDS_HUMAN = "needs_human"  # a person must decide what its order came to; its lane stands still

    @property
    def is_terminal(self) -> bool:
        return self in TERMINAL_STATES

    @property
    def is_open(self) -> bool:
        """Whether the queue still has something to do for it by itself."""
        return not self.is_terminal and self is not InboxState.NEEDS_HUMAN


TERMINAL_STATES = frozenset(
    {
        InboxState.PLACED,
        InboxState.NOTHING_TO_DO,
        InboxState.REFUSED,
        InboxState.EXPIRED,
        InboxState.DUPLICATE,
        InboxState.CONFLICT,
        InboxState.POISON,
        InboxState.DEAD,
    }
)
REVIVABLE_STATES = frozenset({InboxState.DEAD, InboxState.NEEDS_HUMAN, InboxState.REFUSED, InboxState.POISON})


class KeyKind(StrEnum):
    """What tells an alert from another."""

    NONE = ""  # not read yet, or unreadable
    EXPLICIT = "explicit"  # the body names its id: kept for ever
    WEAK = "weak"  # only its bytes and the time that it came


class LaneState(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"  # a person restarts it


class TokenState(StrEnum):
    ACTIVE = "active"
    RETIRED = "retired"
