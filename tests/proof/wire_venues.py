"""What a row of the wire layer says of one adapter: how its simulator is started, how it is opened, what the table's
roles mean on its wire. The rows stand in tests/proof/venues, one module each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from types import EllipsisType
from typing import Any

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from tests.proof.wire_faults import End, Known, Verb, WireFault


def venue_clock(start: datetime) -> ClockConfig:
    """The clock that every row's simulator keeps: it stands until the case moves it, and the gateway shows its time."""
    return ClockConfig(mode=ClockMode.MANUAL, start=start, gateway=GatewayClock.ENGINE)


SELDOM: Mapping[Verb, int] = {Verb.PLACE: 12, Verb.CANCEL: 24, Verb.FIND_ORDER: 40, Verb.OPEN_ORDERS: 40}


@dataclass(frozen=True)
class Product:
    """One kind of instrument of a venue. Terms are texts; `resting` is a price away from the market."""

    name: str
    instrument_id: InstrumentId
    symbol: str
    kind: str
    quantity: str
    resting: str
    crossing: str  # a price that fills at once
    level_notional: str  # so much of the book at each price that an order needs several fills
    cancel_requests_max: int = 1
    codes: Mapping[str, int | tuple[int, str]] = field(default_factory=dict)  # with the words, where these decide
    has_permanent_ids: bool = False


@dataclass(frozen=True)
class WireVenue:
    """`paths` maps a verb, or a role, to the paths of its requests; a path may end in `*`, and begin with a method and
    a blank where verbs share it ("POST /v2/orders").

    `proves` and `ends` hold what differs from the table at this venue: what a call under a fault proves (None: there is
    no such case), and where the history ends. `fills_are_totals`: an order has one fill, told at its end. `trade_id`:
    how a fill of the simulator's execution is called here.

    `make prove` plays every case. The suite plays each fault on Bybit; of every other venue one fault in so many of a
    verb (`in_suite`), counted from `turn`, which differs by venue so that they do not all show the same.
    """

    name: str
    account_id: AccountId
    owner: str  # the simulator's name of the account
    products: tuple[Product, ...]
    paths: Mapping[str, tuple[str, ...]]
    start: Callable[[datetime], AbstractContextManager[Any]]
    configure: Callable[[str, float], AccountConfig]
    proves: Callable[[WireFault, Verb], Known | EllipsisType | None] = lambda fault, verb: ...
    ends: Callable[[WireFault, Verb], End | None] = lambda fault, verb: None
    fills_are_totals: bool = False
    trade_id: Callable[[Any], str] = lambda execution: str(execution.execution_id)
    shows_our_ids: bool = True
    in_suite: Mapping[Verb, int] = field(default_factory=lambda: SELDOM)
    turn: int = 0

    def targets(self, role: str) -> tuple[dict[str, str], ...]:
        """What a fault on each of the role's paths has to match."""
        parts = [own.rpartition(" ") for own in self.paths[role]]
        return tuple({"path": path, "method": method} if method else {"path": path} for method, _, path in parts)

    def covers(self, verb: str, path: str, method: str = "") -> bool:
        """Whether a request to this path, by this method where it is known, is one of the verb."""
        return any(
            (path == own["path"] or (own["path"].endswith("*") and path.startswith(own["path"][:-1])))
            and method in ("", own.get("method", method))
            for own in self.targets(verb)
        )

    @property
    def order_paths(self) -> tuple[str, ...]:
        return tuple(target["path"] for target in self.targets(Verb.PLACE))
