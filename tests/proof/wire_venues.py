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
class Stop:
    """The prices of a stop order that buys into a rise: it waits for `trigger`, above the market; `beyond` is where the
    market goes then. `rests_at` is the limit of one that rests after its trigger, and is filled at `back`.

    `of_few`: it is the ordinary order with more fields, so that a few faults show it. Otherwise every fault is played,
    of several products of a venue (`shares`) each on one, in turn (`turn`). A fault of a list of
    orders is met by a look at a stop that waits, and one in eight (`list_turn`) by a proof of absence, which takes four
    times as long and is no different from that of other orders; fills, which no service of their own shows, meet one in
    eight.
    """

    trigger: str
    beyond: str
    rests_at: str
    back: str
    of_few: bool = False
    shares: int = 1
    turn: int = 0
    list_turn: int = 0


@dataclass(frozen=True)
class Product:
    """One kind of instrument of a venue. Terms are texts; `resting` is a price away from the market.

    With `stop` its orders are stops; `paths` then holds what these have of their own.
    """

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
    stop: Stop | None = None
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    proves: Callable[[WireFault, Verb], Known | EllipsisType | None] | None = None  # instead of the venue's

    @property
    def holds_ids(self) -> bool:
        """Whether our id is refused again while the order that has it lives: a stop waits."""
        return self.has_permanent_ids or self.stop is not None


@dataclass(frozen=True)
class WireVenue:
    """`paths` maps a verb, or a role, to the paths of its requests; a path may end in `*`, and begin with a method and
    a blank where verbs share it ("POST /v2/orders"). `stops` are products whose orders are stops.

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
    stops: tuple[Product, ...] = ()
    proves: Callable[[WireFault, Verb], Known | EllipsisType | None] = lambda fault, verb: ...
    ends: Callable[[WireFault, Verb], End | None] = lambda fault, verb: None
    fills_are_totals: bool = False
    trade_id: Callable[[Any], str] = lambda execution: str(execution.execution_id)
    shows_our_ids: bool = True
    in_suite: Mapping[Verb, int] = field(default_factory=lambda: SELDOM)
    turn: int = 0

    def targets(self, role: str, product: Product | None = None) -> tuple[dict[str, str], ...]:
        """What a fault on each of the role's paths has to match."""
        paths = self.paths if product is None else {**self.paths, **product.paths}
        parts = [own.rpartition(" ") for own in paths[role]]
        return tuple({"path": path, "method": method} if method else {"path": path} for method, _, path in parts)

    def covers(self, verb: str, path: str, method: str = "", *, product: Product | None = None) -> bool:
        """Whether a request to this path, by this method where it is known, is one of the verb."""
        return any(
            (path == own["path"] or (own["path"].endswith("*") and path.startswith(own["path"][:-1])))
            and method in ("", own.get("method", method))
            for own in self.targets(verb, product)
        )

    @property
    def order_paths(self) -> tuple[str, ...]:
        """Where orders go, stops too."""
        targets = (target for product in (None, *self.stops) for target in self.targets(Verb.PLACE, product))
        return tuple(dict.fromkeys(target["path"] for target in targets))
