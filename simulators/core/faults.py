"""Scripted misbehaviour per request: which requests (selectors) and what happens to them (actions); seedable."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from typing import Self
from urllib.parse import parse_qsl

from pydantic import Field, model_validator

from simulators.core.config import Strict
from simulators.core.money import Money
from simulators.core.wire import Call, Handling, RowFault, RowShape


class FaultKind(Enum):
    """What happens. `execute` decides, where it is offered, whether the engine sees the request."""

    DROP = "drop"
    EXECUTE_THEN_DROP = "execute_then_drop"
    DELAY = "delay"
    DUPLICATE = "duplicate"
    STATUS = "status"
    ERROR = "error"
    BAD_JSON = "bad_json"
    TRUNCATED = "truncated"
    HTML = "html"
    REDIRECT = "redirect"
    RESET = "reset"
    STALE = "stale"
    NOT_FOUND = "not_found"
    PARTIAL_FILL = "partial_fill"
    CLOCK_SKEW = "clock_skew"
    ROWS = "rows"
    CUT_REQUEST = "cut_request"
    CONTENT_TYPE = "content_type"
    HUGE = "huge"
    TRICKLE = "trickle"


_NEEDS: Mapping[FaultKind, tuple[str, ...]] = {
    FaultKind.STATUS: ("status",),
    FaultKind.ERROR: ("code",),
    FaultKind.REDIRECT: ("status", "location"),
    FaultKind.RESET: ("after_bytes",),
    FaultKind.TRUNCATED: ("after_bytes",),
    FaultKind.STALE: ("stale_s",),
    FaultKind.NOT_FOUND: ("young_s",),
    FaultKind.PARTIAL_FILL: ("ratio",),
    FaultKind.CLOCK_SKEW: ("skew_ms",),
    FaultKind.ROWS: ("shape",),
    FaultKind.CUT_REQUEST: ("after_bytes",),
    FaultKind.CONTENT_TYPE: ("content_type",),
    FaultKind.HUGE: ("size_bytes",),
    FaultKind.TRICKLE: ("gap_s",),
}


class After(Strict):
    """Holds for `for_s` seconds after the account's latest executed request to `path`."""

    path: str
    for_s: float = Field(gt=0)


class Match(Strict):
    """Which requests; every given selector must agree. `path` may end in `*`; `fields` are query or body fields."""

    method: str | None = None
    path: str = "*"
    account: str | None = None
    fields: dict[str, str] = {}
    nth: tuple[int, ...] = ()
    every: int | None = Field(default=None, gt=0)
    probability: float | None = Field(default=None, ge=0, le=1)
    from_s: float | None = None
    until_s: float | None = None
    after: After | None = None


class Action(Strict):
    """What happens to a request; see docs/simulators.md for the fields each kind reads."""

    kind: FaultKind
    execute: bool = False
    reset: bool = False
    before_s: float = Field(default=0, ge=0)
    before_venue_s: float = Field(default=0, ge=0)
    after_s: float = Field(default=0, ge=0)
    status: int | None = None
    retry_after_s: int | None = None
    code: int | None = None
    message: str = ""
    location: str | None = None
    after_bytes: int | None = Field(default=None, ge=0)
    copies: int = Field(default=2, ge=2)
    stale_s: float | None = None
    young_s: float | None = None
    ratio: Money | None = None
    skew_ms: int | None = None
    shape: RowShape | None = None
    keep: int = Field(default=0, ge=0)
    content_type: str | None = None
    size_bytes: int | None = Field(default=None, gt=0)
    gap_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        absent = [name for name in _NEEDS.get(self.kind, ()) if getattr(self, name) is None]
        if absent:
            raise ValueError(f"action {self.kind.value} needs {', '.join(absent)}")
        if self.kind is FaultKind.DELAY and not (self.before_s or self.after_s or self.before_venue_s):
            raise ValueError("action delay needs before_s, after_s or before_venue_s")
        return self


class Fault(Strict):
    """One scripted fault. `times` bounds how often it fires; None is for ever."""

    fault_id: str = ""
    match: Match = Match()
    action: Action
    times: int | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _check(self) -> Self:
        is_early = self.action.kind is FaultKind.CUT_REQUEST
        if is_early and (self.match.account or self.match.fields or self.match.after):
            raise ValueError("cut_request is decided by the request line: it takes no account, fields or after")
        return self


@dataclass(slots=True)
class Plan:
    """Everything that is to happen to one request."""

    handling: Handling = field(default_factory=Handling)
    before_s: float = 0.0
    before_venue_s: float = 0.0
    after_s: float = 0.0
    terminal: Action | None = None
    skew_ms: int = 0
    fired: tuple[str, ...] = ()


class _Armed:
    """A fault with its counters and its own generator."""

    def __init__(self, fault: Fault, *, seed: int, now_ms: int) -> None:
        self.fault = fault
        self.seen = 0
        self.fired = 0
        self._added_ms = now_ms
        self._random = random.Random(f"{seed}:{fault.fault_id}")  # noqa: S311 - reproducible chaos

    def fires(self, call: Call, fields: Mapping[str, str], account: str | None, now_ms: int, last: int | None) -> bool:
        match = self.fault.match
        if not _agrees(match, call, fields, account):
            return False
        age_s = (now_ms - self._added_ms) / 1000
        if match.from_s is not None and age_s < match.from_s:
            return False
        if match.until_s is not None and age_s >= match.until_s:
            return False
        if match.after is not None and (last is None or now_ms - last >= match.after.for_s * 1000):
            return False
        self.seen += 1
        if match.nth and self.seen not in match.nth:
            return False
        if match.every is not None and self.seen % match.every:
            return False
        if match.probability is not None and self._random.random() >= match.probability:
            return False
        if self.fault.times is not None and self.fired >= self.fault.times:
            return False
        self.fired += 1
        return True


def _agrees(match: Match, call: Call, fields: Mapping[str, str], account: str | None) -> bool:
    if match.method is not None and match.method.upper() != call.method:
        return False
    if match.path.endswith("*"):
        if not call.path.startswith(match.path[:-1]):
            return False
    elif match.path != call.path:
        return False
    if match.account is not None and match.account != account:
        return False
    return all(fields.get(name) == value for name, value in match.fields.items())


def fields_of(call: Call) -> dict[str, str]:
    """Return the fields of a request's query and of its JSON or form body as strings."""
    found = dict(parse_qsl(call.raw_query, keep_blank_values=True))
    if call.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        found.update(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    elif call.body:
        try:
            body = json.loads(call.body)
        except ValueError:
            body = None
        if isinstance(body, dict):
            found.update({name: str(value) for name, value in body.items()})
    return found


class FaultSchedule:
    """The faults of one simulator, in the order they were added."""

    def __init__(self, *, seed: int) -> None:
        self._seed = seed
        self._armed: list[_Armed] = []
        self._number = 0
        self._last_executed: dict[tuple[str, str | None], int] = {}

    def add(self, fault: Fault, *, now_ms: int) -> str:
        """Arm a fault and return its id."""
        self._number += 1
        if not fault.fault_id:
            fault = fault.model_copy(update={"fault_id": f"fault-{self._number}"})
        if any(armed.fault.fault_id == fault.fault_id for armed in self._armed):
            raise ValueError(f"fault id {fault.fault_id!r} is already armed; clear it first")
        self._armed.append(_Armed(fault, seed=self._seed, now_ms=now_ms))
        return fault.fault_id

    def clear(self, fault_id: str | None = None) -> int:
        """Disarm one fault, or all; return how many."""
        before = len(self._armed)
        self._armed = [a for a in self._armed if fault_id is not None and a.fault.fault_id != fault_id]
        return before - len(self._armed)

    def listed(self) -> list[tuple[Fault, int, int]]:
        """Return each fault with how often it was matched and how often it fired."""
        return [(armed.fault, armed.seen, armed.fired) for armed in self._armed]

    def executed(self, path: str, account: str | None, now_ms: int) -> None:
        """Remember that a request was executed, for `after` selectors."""
        self._last_executed[(path, account)] = now_ms

    def plan(self, call: Call, account: str | None, now_ms: int) -> Plan:
        """Decide what happens to a request: delays and reading faults add up, the first final action wins."""
        plan = Plan()
        if not self._armed:
            return plan
        fields = fields_of(call)
        for armed in self._armed:
            if armed.fault.action.kind is FaultKind.CUT_REQUEST:
                continue
            after = armed.fault.match.after
            last = self._last_executed.get((after.path, account)) if after else None
            if armed.fires(call, fields, account, now_ms, last):
                plan.fired = (*plan.fired, armed.fault.fault_id)
                _merge(plan, armed.fault.action)
        return plan

    def plan_cut(self, call: Call, now_ms: int) -> Plan:
        """Decide, from its request line alone, whether a request is cut off before it was read."""
        plan = Plan()
        for armed in self._armed:
            is_cut = armed.fault.action.kind is FaultKind.CUT_REQUEST
            if is_cut and plan.terminal is None and armed.fires(call, {}, None, now_ms, None):
                plan.fired = (armed.fault.fault_id,)
                plan.terminal = armed.fault.action
        return plan


def _merge(plan: Plan, action: Action) -> None:
    plan.before_s += action.before_s
    plan.before_venue_s += action.before_venue_s
    plan.after_s += action.after_s
    kind = action.kind
    if kind is FaultKind.STALE:
        plan.handling.stale_ms = round((action.stale_s or 0) * 1000)
    elif kind is FaultKind.NOT_FOUND:
        plan.handling.hide_young_ms = round((action.young_s or 0) * 1000)
    elif kind is FaultKind.PARTIAL_FILL:
        plan.handling.fill_ratio = Decimal(action.ratio or 0)
    elif kind is FaultKind.ROWS:
        assert action.shape is not None
        plan.handling.rows = RowFault(action.shape, action.keep)
    elif kind is FaultKind.CLOCK_SKEW:
        plan.skew_ms = action.skew_ms or 0
    elif kind is not FaultKind.DELAY and plan.terminal is None:
        plan.terminal = action


def faults_from(rows: Sequence[Mapping[str, object]]) -> list[Fault]:
    """Read faults from their JSON form."""
    return [Fault.model_validate(row) for row in rows]
