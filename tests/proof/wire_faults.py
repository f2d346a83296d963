"""The faults of the wire layer, as data: what is armed at the simulator and what the first call under it must prove.

A fault speaks of roles (`order`, `orders`, `every_read`, …), never of a venue's paths or codes: those stand in the
venue's row (tests/proof/venues). `name` is what a failing case is replayed by.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class Verb(StrEnum):
    PLACE = "place"
    CANCEL = "cancel"
    FIND_ORDER = "find_order"
    OPEN_ORDERS = "open_orders"
    ORDER_HISTORY = "order_history"
    FILLS = "fills"
    POSITIONS = "positions"


class Known(StrEnum):
    """What one call proved."""

    ANSWERED = "answered"  # an acknowledgement, or the value that was read
    EXISTS = "exists"  # refused as a duplicate of our own id
    REFUSED = "refused"
    NOT_SENT = "not sent"
    UNKNOWN = "unknown"


class End(StrEnum):
    """Where the history must end."""

    FILLED = "filled"
    CANCELLED = "cancelled"
    PARTLY = "ended by the venue with a part filled"
    REFUSED = "refused"
    EXPIRED = "expired"
    DENIED = "denied"
    PERSON = "needs a person"
    DOUBLED = "filled, and the second order of the same id is reported and halts"


WRITES = frozenset({Verb.PLACE, Verb.CANCEL})
READS = frozenset(Verb) - WRITES
EVERY = frozenset(Verb)
PLACE = frozenset({Verb.PLACE})


@dataclass(frozen=True)
class Arm:
    """One fault to arm: `role` names the paths; `code` names a code of the venue's row. Times: 0 is for ever."""

    kind: str
    role: str = "verb"
    times: int = 1
    code: str = ""
    is_main: bool = True
    fields: Mapping[str, Any] = field(default_factory=dict)

    def of(self, **fields: Any) -> Arm:
        return replace(self, fields={**self.fields, **fields})


@dataclass(frozen=True)
class WireFault:
    """A row of the table. `place`, `cancel`, `read`: what a call under it proves; absent: no case of that verb."""

    name: str
    arms: tuple[Arm, ...] = ()
    place: Known | None = None
    cancel: Known | None = None
    read: Known | None = None
    place_linear: Known | None = None  # where a venue's permanent ids change the answer
    end: End | None = None
    end_linear: End | None = None
    hangs: bool = False  # the call only ends by its deadline: the case runs with a short one
    before: str = ""  # what the harness itself does: see wire_layer._PREPARED
    arms_before_start: bool = False
    ttl_s: float = 900.0
    of_stops: bool = False
    at: int | None = None  # the price goes through a stop's trigger before the so manieth request: see wire_stops
    rests: bool = False  # the stop has a limit at which it rests once it has triggered
    withdrawn: bool = False  # taken back while it is not known whether it was placed


def _one(name: str, kind: str, place: Known | None, cancel: Any = ..., read: Any = ..., **options: Any) -> WireFault:
    names = ("hangs", "end", "end_linear", "place_linear", "code", "times")
    given = {key: options.pop(key) for key in names if key in options}
    arm = Arm(kind, fields=options, code=given.pop("code", ""), times=given.pop("times", 1))
    cancel, read = (place if found is ... else found for found in (cancel, read))
    return WireFault(name, (arm,), place=place, cancel=cancel, read=read, **given)


Y, R, U = Known.ANSWERED, Known.REFUSED, Known.UNKNOWN
_STATUSES = tuple(
    fault
    for status in (500, 502, 503, 504)
    for fault in (
        _one(f"HTTP {status}", "status", U, status=status),
        _one(f"executed, HTTP {status}", "status", U, read=None, status=status, execute=True),
    )
)
_REDIRECTS = tuple(
    _one(f"HTTP {status}", "redirect", U, status=status, location="decoy") for status in (301, 302, 303, 307, 308)
)
_CONNECTION = (
    WireFault("no connection", place=Known.NOT_SENT, cancel=Known.NOT_SENT, read=Known.NOT_SENT, before="refuse"),
    _one("request dropped", "drop", U),
    _one("connection reset, not executed", "drop", U, reset=True),
    _one("reset as the request begins", "cut_request", U, after_bytes=0),
    _one("reset in the request's head", "cut_request", U, after_bytes=150),
    _one("reset in the request's body", "cut_request", U, read=None, after_bytes=450),
    _one("executed, answer dropped", "execute_then_drop", U),
    _one("executed, reset before the answer", "reset", U, after_bytes=0),
    _one("executed, reset in the answer's head", "reset", U, after_bytes=37),
    _one("executed, reset in the answer's body", "reset", U, after_bytes=85),
    _one("executed, answer too late", "delay", U, after_s=0.9, hangs=True),
    _one("executed 3 s late", "delay", U, before_venue_s=3, hangs=True),
    _one("30 s late, past the deadline", "delay", U, before_venue_s=30, hangs=True),
    _one("slow trickle of the answer", "trickle", U, gap_s=0.03, hangs=True),
    _one("answer slow but in time", "delay", Y, after_s=0.05),
)
_ANSWERS = (
    _one("HTTP 429", "status", U, cancel=R, read=R, status=429, retry_after_s=1),
    _one("executed, HTTP 429", "status", U, cancel=R, read=None, status=429, execute=True, retry_after_s=1),
    *_STATUSES,
    *_REDIRECTS,
    _one("executed, HTTP 307", "redirect", U, read=None, status=307, location="decoy", execute=True),
    _one("invalid JSON", "bad_json", U),
    _one("executed, invalid JSON", "bad_json", U, read=None, execute=True),
    _one("HTML with 200", "html", U),
    _one("executed, HTML with 200", "html", U, read=None, execute=True),
    _one("truncated JSON", "truncated", U, after_bytes=20),
    _one("empty body", "truncated", U, after_bytes=0),
    _one("wrong content type", "content_type", Y, content_type="text/html"),
    _one("huge body", "huge", U, size_bytes=6_000_000),
    _one("code nobody documents", "error", U, code="unknown"),
    _one("executed, code nobody documents", "error", U, read=None, code="unknown", execute=True),
    _one("ambiguous code", "error", U, code="ambiguous"),
    _one("executed, ambiguous code", "error", U, read=None, code="ambiguous", execute=True),
    _one("rate limit code", "error", R, code="busy"),
    _one("maintenance code", "error", R, code="maintenance"),
    _one("clock code", "clock_skew", R, skew_ms=-30_000),
    _one("business refusal", "error", R, cancel=None, read=None, code="no_money", end=End.REFUSED),
    _one(
        "request duplicated on the wire", "duplicate", Y, cancel=R, place_linear=Known.EXISTS, end=End.DOUBLED, copies=2
    ),
)
_LOST = Arm("execute_then_drop")


def _lost_and(name: str, *arms: Arm, before: str = "") -> WireFault:
    """The order is executed, its answer lost, and what is read afterwards is spoiled."""
    return WireFault(name, (_LOST, *arms), place=U, before=before)


def _soft(kind: str, role: str, times: int = 0, **fields: Any) -> Arm:
    return Arm(kind, role=role, times=times, is_main=False, fields=fields)


_VIEWS = (
    _lost_and("not found for 20 s after placement", _soft("not_found", "orders", young_s=20)),
    _lost_and("open orders 45 s stale", _soft("stale", "open_orders", stale_s=45)),
    _lost_and("every read 45 s stale", _soft("stale", "every_read", stale_s=45)),
    _lost_and("history truncated twice", _soft("rows", "order_history", 2, shape="truncate", keep=0)),
    _lost_and("fills shown twice", _soft("rows", "fills", shape="repeat"), before="levels"),
    _lost_and("fills out of order", _soft("rows", "fills", shape="reverse"), before="levels"),
    _lost_and("fills 10 s late", _soft("stale", "fills", stale_s=10), before="levels"),
    _lost_and("fills missing twice", _soft("rows", "fills", 2, shape="truncate", keep=0), before="levels"),
    _lost_and("some fills missing twice", _soft("rows", "fills", 2, shape="truncate", keep=1), before="levels"),
    WireFault(
        "partial fill, then cancelled",
        (_LOST, _soft("partial_fill", "order", 1, ratio="0.5")),
        place=U,
        end=End.PARTLY,
    ),
    WireFault("fills before the acknowledgement", (Arm("delay", fields={"after_s": 0.1}),), place=Y),
    *(
        WireFault(
            f"venue's clock {skew_ms // 1000} s off for good",
            (_soft("clock_skew", "every_request", skew_ms=skew_ms),),
            place=Y,
            end=end,
            arms_before_start=True,
            ttl_s=20.0,
        )
        for skew_ms, end in ((30_000, End.DENIED), (3_000, End.EXPIRED), (-3_000, End.DENIED))
    ),
    WireFault("id used before, same terms", place=Y, place_linear=Known.EXISTS, before="same", end=End.DOUBLED),
    WireFault(
        "id used before, other terms",
        place=Y,
        place_linear=Known.EXISTS,
        before="other",
        end=End.DOUBLED,
        end_linear=End.PERSON,
    ),
    WireFault("partly filled, cancel executed, answer dropped", (_LOST,), cancel=U, before="partly"),
    WireFault("sixty other orders in the lists", (_LOST,), place=U, read=U, before="crowd"),
)
_READ_VIEWS = (
    _one("list empty once", "rows", None, None, Y, shape="truncate", keep=0),
    _one("rows twice", "rows", None, None, Y, shape="repeat"),
    _one("rows reversed", "rows", None, None, Y, shape="reverse"),
    _one("state of 45 s ago", "stale", None, None, Y, stale_s=45),
)
FAULTS: tuple[WireFault, ...] = (*_CONNECTION, *_ANSWERS, *_VIEWS, *_READ_VIEWS)


# -- stops: the moment in between -------------------------------------------------------------------------------
_DROPPED, _BROKEN = Arm("drop"), Arm("status", fields={"status": 500})
_LIMITED = Arm("status", fields={"status": 429, "retry_after_s": 1})
_HIDDEN = _soft("not_found", "orders", young_s=20)
_OLD_LISTS = _soft("stale", "every_read", stale_s=45)
_OLD_FILLS = _soft("stale", "fills", stale_s=10)


def _moment(name: str, at: int, *arms: Arm, **options: Any) -> WireFault:
    return WireFault(f"triggers at request {at}{name}", arms, of_stops=True, at=at, **options)


_AFTER_PLACING = tuple(
    _moment(f" after it was placed, answer lost{name}", at, _LOST, *arms, place=U, **options)
    for at, most in ((1, 7), (2, 7), (3, 2))
    for name, arms, options in (
        ("", (), {}),
        (", not shown for 20 s", (_HIDDEN,), {}),
        ("; it rests then", (), {"rests": True}),
        (", every read 45 s stale", (_OLD_LISTS,), {}),
        (", fills 10 s late and several", (_OLD_FILLS,), {"before": "levels"}),
        (", taken back", (), {"withdrawn": True}),
        (", taken back; it rests then", (), {"withdrawn": True, "rests": True, "end": End.CANCELLED}),
    )[:most]
)
_AFTER_AN_ANSWER = tuple(_moment(" after it was placed", at, place=Y) for at in (1, 2))
_IN_A_CANCEL = tuple(
    _moment(f" of a cancel{name}{words}", at, *arms, cancel=known, rests=rests, end=End.CANCELLED if rests else None)
    for at in (0, 1, 2)
    for words, rests in (("", False), ("; it rests then", True))
    for name, arms, known in (
        ("", (), Y),
        (", executed, answer dropped", (_LOST,), U),
        (", dropped", (_DROPPED,), U),
        (", HTTP 500", (_BROKEN,), U),
        (", HTTP 429", (_LIMITED,), R),
    )
    if at == 0 or (arms and (at == 1 or name.startswith(", executed")))
)
_IN_A_SWEEP = tuple(_moment(" of a sweep", at, read=Y, before="sweep") for at in range(6))
_TWICE = (
    WireFault(
        "request duplicated on the wire, the first copy is filled before the second arrives",
        (Arm("duplicate", fields={"copies": 2}),),
        place=Y,
        of_stops=True,
        before="copies",
        end=End.DOUBLED,
        end_linear=End.DOUBLED,
    ),
    WireFault(
        "id used before, another trigger",
        place=Known.EXISTS,
        of_stops=True,
        before="trigger",
        end=End.PERSON,
        end_linear=End.PERSON,
    ),
)
STOP_FAULTS: tuple[WireFault, ...] = (*_AFTER_PLACING, *_AFTER_AN_ANSWER, *_IN_A_CANCEL, *_IN_A_SWEEP, *_TWICE)
# What shows that a stop is the ordinary order with more fields.
FEW: Mapping[Verb, frozenset[str]] = {
    Verb.PLACE: frozenset(
        {
            "request dropped",
            "executed, answer dropped",
            "executed, HTTP 503",
            "id used before, same terms",
            "triggers at request 1 after it was placed, answer lost",
            "triggers at request 1 after it was placed, answer lost, taken back; it rests then",
        }
    ),
    Verb.CANCEL: frozenset(
        {
            "executed, answer dropped",
            "triggers at request 0 of a cancel",
            "triggers at request 0 of a cancel, dropped; it rests then",
        }
    ),
    Verb.FIND_ORDER: frozenset({"HTTP 500"}),
    Verb.OPEN_ORDERS: frozenset({"triggers at request 1 of a sweep"}),
}


def expected(fault: WireFault, verb: Verb, *, has_permanent_ids: bool) -> Known | None:
    """What a call of this verb under the fault must prove; None where there is no such case."""
    if verb is Verb.PLACE:
        return fault.place_linear or fault.place if has_permanent_ids else fault.place
    if verb is Verb.CANCEL:
        return fault.cancel
    return fault.read if fault.before != "sweep" or verb is Verb.OPEN_ORDERS else None


def ending(fault: WireFault, *, has_permanent_ids: bool) -> End:
    """Where a placed order must end."""
    end = fault.end or End.FILLED
    if not has_permanent_ids:
        return end
    return fault.end_linear or (End.FILLED if end is End.DOUBLED else end)


def varied(fault: WireFault, rng: random.Random) -> WireFault:
    """The same fault, another byte and another number of times."""

    def vary(arm: Arm) -> Arm:
        fields = dict(arm.fields)
        if arm.kind == "reset":
            fields["after_bytes"] = rng.randrange(0, 85)  # within the shortest answer
        elif arm.kind == "truncated":
            fields["after_bytes"] = rng.randrange(0, 20)
        elif arm.kind == "cut_request":
            fields["after_bytes"] = rng.randrange(0, fields["after_bytes"] + 1)
        once = arm.times == 1 and fault.end is None
        return replace(arm, fields=fields, times=rng.choice((1, 1, 2)) if once else arm.times)

    return replace(fault, arms=tuple(vary(arm) for arm in fault.arms))
