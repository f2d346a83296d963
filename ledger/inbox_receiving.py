"""Taking deliveries in: one transaction for a group, each delivery a new alert or one more delivery of a known one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, bindparam, func, insert, select, update

from ledger.alert_states import InboxState
from ledger.errors import DiskLow, QueueFull
from ledger.inbox_moves import INBOX, chunked, notify
from ledger.inbox_values import REDELIVERY_S_MAX, REDELIVERY_SPAN_S_MAX, Delivery, QueueLimits, Receipt
from ledger.records import hold

LOOK_S = 1.0  # between two looks at disk and row count
_SPAN = timedelta(seconds=REDELIVERY_SPAN_S_MAX)
_GAP = timedelta(seconds=REDELIVERY_S_MAX)
_AGAIN = (
    update(INBOX)
    .where(INBOX.c.alert_id == bindparam("id_"))
    .values(
        deliveries=INBOX.c.deliveries + bindparam("more"),
        last_delivered_at=bindparam("last"),
    )
)
_TAKE = insert(INBOX).returning(INBOX.c.alert_id, sort_by_parameter_order=True)


class Room:
    """How much the queue still takes. Looked at once a second, and counted down in between; not called side by side."""

    def __init__(self, limits: QueueLimits, free_bytes: Callable[[], int] | None) -> None:
        self._limits = limits
        self._free_bytes = free_bytes
        self._looked_at: datetime | None = None
        self._rows = 0
        self._free = 0

    def require(self, connection: Connection, rows: int, at: datetime) -> None:
        """QueueFull when `rows` more do not fit, DiskLow when the disk is nearly full."""
        is_old = self._looked_at is None or abs((at - self._looked_at).total_seconds()) >= LOOK_S
        if is_old or rows > self._rows or self._free < self._limits.disk_free_bytes_min:
            self._look(connection, at)
        if self._free < self._limits.disk_free_bytes_min:
            raise DiskLow(
                f"the disk of the ledger has {self._free} bytes free, needed are {self._limits.disk_free_bytes_min}: "
                "free space; nothing was stored"
            )
        if rows > self._rows:
            raise QueueFull(
                f"the queue takes {self._rows} more of at most {self._limits.rows_new_max} alerts that nobody has "
                f"read, {rows} came at once; nothing was stored"
            )
        self._rows -= rows

    def _look(self, connection: Connection, at: datetime) -> None:
        most = self._limits.rows_new_max
        waiting = select(INBOX.c.alert_id).where(INBOX.c.state == InboxState.NEW.value).limit(most).subquery()
        found: int = connection.execute(select(func.count()).select_from(waiting)).scalar_one()
        self._rows = most - found
        self._free = self._free_bytes() if self._free_bytes else self._limits.disk_free_bytes_min
        self._looked_at = at


def free_bytes_at(path: Path) -> Callable[[], int]:
    """The room on a path's file system."""
    return lambda: shutil.disk_usage(path).free


@dataclass(slots=True)
class _Known:
    """An alert that a delivery may be a repetition of. `place` is where it stands among the new ones of the group."""

    alert_id: int | None
    received_at: datetime
    last_at: datetime
    more: int = 0
    place: int = -1

    def is_repeated_by(self, at: datetime) -> bool:
        return abs(at - self.last_at) <= _GAP and abs(at - self.received_at) <= _SPAN


def receive(connection: Connection, deliveries: Sequence[Delivery], room: Room) -> tuple[tuple[Receipt, ...], bool]:
    """Store a group; the receipts in its order, and whether anything is new. QueueFull stores nothing.

    The lock makes numbers rise in the order of commits, which the order of lanes follows from, and lets two receivers
    see each other's deliveries.
    """
    hold(connection, "alerts received")
    hashes = [hashlib.sha256(delivery.raw).hexdigest() for delivery in deliveries]
    known = _known(connection, hashes, min(delivery.received_at for delivery in deliveries))
    fresh: list[dict[str, Any]] = []
    answers: list[tuple[_Known, bool]] = []
    for delivery, sha256 in zip(deliveries, hashes, strict=True):
        key, at = (delivery.source, sha256), delivery.received_at
        found = known.get(key)
        if found is not None and found.is_repeated_by(at):
            found.more += 1
            found.last_at = max(found.last_at, at)
            answers.append((found, False))
            continue
        known[key] = _Known(None, at, at, place=len(fresh))
        answers.append((known[key], True))
        fresh.append(_row(delivery, sha256))
    if fresh:
        room.require(connection, len(fresh), max(delivery.received_at for delivery in deliveries))
        numbers: list[int] = list(connection.execute(_TAKE, fresh).scalars())
        for entry, is_new in answers:
            if is_new:
                entry.alert_id = numbers[entry.place]
        notify(connection)
    _count(connection, [entry for entry, _ in answers if entry.more])
    return tuple(Receipt(_number(entry), is_new) for entry, is_new in answers), bool(fresh)


def _number(entry: _Known) -> int:
    assert entry.alert_id is not None
    return entry.alert_id


def _known(connection: Connection, hashes: Sequence[str], first_at: datetime) -> dict[tuple[str, str], _Known]:
    """The newest alert of each source and body that is young enough to be repeated."""
    query = select(
        INBOX.c.alert_id, INBOX.c.source, INBOX.c.body_sha256, INBOX.c.received_at, INBOX.c.last_delivered_at
    ).where(INBOX.c.received_at >= first_at - _SPAN)
    found: dict[tuple[str, str], _Known] = {}
    for chunk in chunked(sorted(set(hashes))):
        for row in connection.execute(query.where(INBOX.c.body_sha256.in_(chunk)).order_by(INBOX.c.alert_id)):
            found[row.source, row.body_sha256] = _Known(row.alert_id, row.received_at, row.last_delivered_at)
    return found


def _row(delivery: Delivery, sha256: str) -> dict[str, Any]:
    return {
        "source": delivery.source,
        "raw": delivery.raw,
        "body_sha256": sha256,
        "content_type": delivery.content_type,
        "source_ip": delivery.source_ip,
        "received_at": delivery.received_at,
        "last_delivered_at": delivery.received_at,
    }


def _count(connection: Connection, repeated: list[_Known]) -> None:
    """Note the deliveries that were repetitions, each alert once."""
    once = {_number(entry): entry for entry in repeated}
    if once:
        rows = [{"id_": number, "more": entry.more, "last": entry.last_at} for number, entry in sorted(once.items())]
        connection.execute(_AGAIN, rows)
