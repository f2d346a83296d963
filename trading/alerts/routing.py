"""Sources and routes: which alert may trade what, where, how much and when. An operator writes them in YAML.

A route takes alerts of one source, one symbol and some strategies. Two routes that could take the same alert are
refused when the file is read, so that the order of lines never decides. The defaults are the careful ones: whatever
an alert does not say and a route does not settle is refused, never guessed.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from enum import StrEnum
from functools import lru_cache
from itertools import combinations, pairwise
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from brokers import strictyaml
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.strictjson import decode, encode
from brokers.types import TimeInForce
from trading.alerts.model import Alert, Dialect, QuantityMode
from trading.alerts.reasons import AlertReason, AlertRefused
from trading.alerts.reviewing import ReviewRule
from trading.alerts.symbols import ViewedSymbol, instrument_of, read_symbol
from trading.market_hours import CalendarUnknown, require_calendar
from trading.rebalancing.model import AccountKey
from trading.rebalancing.portfolio import Exact, InstrumentKey

NAME = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
Name = Annotated[str, Field(pattern=NAME)]
Positive = Annotated[Exact, Field(gt=0)]
Seconds = Annotated[int, Field(ge=1, le=604_800)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_STRATEGY = re.compile(r"[^*\x00-\x1f\x7f]{0,80}\*?")
_FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
ROUTES_MAX = 2_000


class RoutesRefused(ValueError):
    """Sources and routes cannot be used; the message names the place, the value and the remedy."""

    reason = AlertReason.ALERT_CONFIG_REFUSED


class RouteAction(StrEnum):
    """What a route allows. Exits, reductions and cancels are always allowed."""

    OPEN_LONG = "open_long"
    OPEN_SHORT = "open_short"


class BareAction(StrEnum):
    """What buy or sell means when the body names no position."""

    REFUSE = "refuse"
    EXIT_OR_ENTER = "exit_or_enter"  # with an opposite position: close it; otherwise open or add
    DIRECTION = "direction"  # buy: be long, sell: be short; an opposite position is reversed


class ReversalQuantity(StrEnum):
    """What the quantity of a reversing alert is when the body does not give the new size."""

    REFUSE = "refuse"
    ENTRY = "entry"  # the size of the new position
    CONTRACTS = "contracts"  # old and new together, as TradingView's {{strategy.order.contracts}}


class WhenClosed(StrEnum):
    """What becomes of an alert outside the calendar's regular hours."""

    REFUSE = "refuse"
    WAIT = "wait"  # for the opening, as long as the alert has not expired


class WhenPositionDiffers(StrEnum):
    """What becomes of an entry when the account does not stand where the strategy stood."""

    REFUSE = "refuse"
    FOLLOW = "follow"  # by the account's position: what would open adds, what would add opens


class Allowed(StrEnum):
    """For parts of an alert that are not carried out."""

    REFUSE = "refuse"
    IGNORE = "ignore"


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, arbitrary_types_allowed=True)


def _account(value: Any) -> Any:
    """An account id, or the name of its block: `tradestation.simulated.demo`, `tradestation-simulated-demo`."""
    if not isinstance(value, str) or value.count(".") == 2:
        return value
    venues = {venue.value.replace("_", ""): venue for venue in Venue}
    venue, _, rest = value.partition("-")
    environment, _, name = rest.partition("-")
    if venue not in venues or environment not in set(Environment):
        raise ValueError(f"account must read venue-environment-name such as tradestation-testnet-main, was {value!r}")
    return AccountId(venues[venue], Environment(environment), name)


class Source(_Strict):
    """Where alerts come from: one token, one way of writing.

    `max_age_s`: an alert that was older when it arrived is stale. `secrets` maps a field of the body to the sha256 of
    what it has to hold: a second factor beside the token, where the dialect carries one.
    `volume_mode` says what PineConnector's `risk` means.
    """

    name: Name
    dialect: Dialect = Dialect.AUTO
    require_explicit_key: bool = False
    require_time: bool = False
    max_age_s: Seconds = 60
    secrets: Mapping[str, Sha256] = Field(default_factory=dict)
    volume_mode: QuantityMode | None = None

    @field_validator("secrets")
    @classmethod
    def _fields(cls, secrets: Mapping[str, str]) -> Mapping[str, str]:
        if not all(_FIELD.fullmatch(name) for name in secrets):
            raise ValueError("secrets maps names of fields to sha256 sums; a name is letters, digits and _")
        return secrets


class Contract(_Strict):
    """One line of a roll table: this contract counts until the given day (UTC), that day excluded."""

    instrument: InstrumentKey
    until: date


class Route(_Strict):
    """One source, symbol and group of strategies, and what its alerts may do.

    `strategy` is a text, or the beginning of one followed by `*`. `symbol` is TradingView's, with the exchange where
    only that one is meant. The instrument is `instrument`, or the contract of the day in `roll`, or follows from the
    symbol where it is plain. `quantity` counts only where the body has none. `quantity_max`, `notional_max` (of one
    opening order) and `position_max` (after it, either side) are hard: an order above them is refused, not made
    smaller. Times to live count from the alert's own time. `calendar` is a market such as NYSE; without one the
    market is always open. `exit_stops_lane`: an exit that cannot be carried out stops the lane until a person looks.
    """

    name: Name
    source: Name
    strategy: str = "*"
    symbol: str
    account: Annotated[AccountKey, BeforeValidator(_account)]
    instrument: InstrumentKey | None = None
    roll: tuple[Contract, ...] = ()
    quantity: Positive | None = None
    quantity_mode: QuantityMode = QuantityMode.FIXED
    quantity_max: Positive | None = None
    notional_max: Positive | None = None
    position_max: Positive | None = None
    actions: frozenset[RouteAction] = frozenset({RouteAction.OPEN_LONG})
    bare_action: BareAction = BareAction.REFUSE
    reversal_quantity: ReversalQuantity = ReversalQuantity.REFUSE
    when_position_differs: WhenPositionDiffers = WhenPositionDiffers.REFUSE
    brackets: Allowed = Allowed.REFUSE
    delayed_data: Allowed = Allowed.REFUSE
    time_in_force: TimeInForce | None = None
    ttl_market_s: Seconds = 30
    ttl_limit_s: Seconds = 120
    ttl_exit_s: Seconds = 300
    calendar: Annotated[str, Field(pattern=r"^[A-Za-z0-9_/ ]{0,30}$")] = ""
    when_closed: WhenClosed = WhenClosed.REFUSE
    exit_stops_lane: bool = True
    review: ReviewRule | None = None

    @model_validator(mode="after")
    def _belongs_together(self) -> Self:
        if not _STRATEGY.fullmatch(self.strategy):
            raise ValueError(f"strategy must be a text or the beginning of one followed by *, was {self.strategy!r}")
        if self.quantity_max is None and self.notional_max is None:
            raise ValueError("a route needs quantity_max or notional_max: how large may one order be?")
        if self.quantity_mode is QuantityMode.PERCENT_OF_POSITION:
            raise ValueError("quantity_mode of a route must fit an entry; exits close all of the position by default")
        if self.instrument is not None and self.roll:
            raise ValueError("give instrument or roll, not both")
        days = [contract.until for contract in self.roll]
        if any(first >= second for first, second in pairwise(days)):
            raise ValueError("roll must name its contracts in the order of their days, each day once")
        if self.when_closed is not WhenClosed.REFUSE and not self.calendar:
            raise ValueError("when_closed needs a calendar such as NYSE")
        try:
            if self.instrument is None and not self.roll:
                instrument_of(self.viewed, self.account.venue)
            read_symbol(self.symbol)
        except AlertRefused as error:
            raise ValueError(error.detail) from None
        return self

    @property
    def viewed(self) -> ViewedSymbol:
        """The symbol as it stands in alerts."""
        return _viewed(self.symbol)

    def instrument_at(self, at: datetime) -> InstrumentId:
        """The instrument on the day (UTC) of an aware time; ROLL_TABLE_OVER when the table has no further contract."""
        if self.instrument is not None:
            return self.instrument
        if not self.roll:
            return instrument_of(self.viewed, self.account.venue)
        for contract in self.roll:
            if at.date() < contract.until:
                return contract.instrument
        text = f"route {self.name}: the last contract of roll ended on {self.roll[-1].until}; add the next one"
        raise AlertRefused(AlertReason.ROLL_TABLE_OVER, text)

    def takes(self, alert: Alert) -> bool:
        """Whether the alert is this route's."""
        own = self.viewed
        return (
            alert.source == self.source
            and alert.symbol == own.ticker
            and own.exchange in ("", alert.exchange)
            and _matches(self.strategy, alert.strategy)
        )

    def require_fit(self, alert: Alert) -> None:
        """Refuse what the route does not take, whatever the account holds. Exits are taken all the same."""
        if not alert.opens:
            return
        if alert.is_delayed and self.delayed_data is Allowed.REFUSE:
            text = f"exchange {alert.exchange_raw!r} says delayed data; route {self.name} refuses them"
            raise AlertRefused(AlertReason.DATA_DELAYED, text)
        if alert.brackets and self.brackets is Allowed.REFUSE:
            named, remedy = ", ".join(alert.brackets), f"set brackets: ignore for route {self.name}"
            text = f"{named} would not be placed; let the strategy send its exit, or {remedy}"
            raise AlertRefused(AlertReason.BRACKETS_NOT_PLACED, text)

    def ttl_s(self, alert: Alert) -> int:
        """How long after its own time the alert may be carried out: exits longest."""
        if not alert.opens:
            return self.ttl_exit_s
        return self.ttl_market_s if alert.limit_price is None else self.ttl_limit_s


class AlertConfig(_Strict):
    """Sources and routes, whole."""

    version: Annotated[int, Field(ge=1, le=1)] = 1
    sources: tuple[Source, ...] = ()
    routes: tuple[Route, ...] = ()
    _index: tuple[tuple[Route, ...], dict[tuple[str, str], list[Route]]] = PrivateAttr(default=((), {}))

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        if len(self.routes) > ROUTES_MAX:
            raise ValueError(f"there may be at most {ROUTES_MAX} routes, there are {len(self.routes)}")
        for kind, names in (("sources", [s.name for s in self.sources]), ("routes", [r.name for r in self.routes])):
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"names of {kind} must be unique, repeated: {', '.join(repeated)}")
        known = {source.name for source in self.sources}
        for route in self.routes:
            if route.source not in known:
                text = f"route {route.name} is for source {route.source!r}; known: {', '.join(sorted(known)) or 'none'}"
                raise ValueError(text)
        self._index = (self.routes, _grouped(self.routes))
        _require_apart(self._index[1].values())
        return self

    @staticmethod
    def parse(text: str, *, where: str = "routes") -> AlertConfig:
        """Read YAML text (JSON is YAML, too); RoutesRefused names the place and the remedy, never a secret."""
        data, problem = _read(text)
        if problem:
            raise RoutesRefused(f"{where} is not valid YAML: {problem}")
        if not isinstance(data, dict):
            raise RoutesRefused(f"{where} must be a mapping with the keys sources and routes")
        try:
            return AlertConfig.model_validate(data)
        except ValidationError as error:
            raise RoutesRefused(f"{where}: {strictyaml.describe(error, secret_places=('secrets',))}") from None

    def to_json(self) -> str:
        """Canonical text for the ledger: equal settings give equal text. `parse` reads it."""
        data = self.model_dump(mode="json")
        for route in data["routes"]:
            route["actions"] = sorted(route["actions"])
        return encode(data)

    @property
    def sha256(self) -> str:
        """The hash of all settings."""
        return hashlib.sha256(self.to_json().encode("utf-8")).hexdigest()

    def _candidates(self, alert: Alert) -> Sequence[Route]:
        """Routes of the alert's source and symbol. The index belongs to these very routes: a copy makes its own."""
        if self._index[0] is not self.routes:
            self._index = (self.routes, _grouped(self.routes))
        return self._index[1].get((alert.source, alert.symbol), ())

    @property
    def accounts(self) -> tuple[AccountId, ...]:
        """Every account that a route names, sorted."""
        return tuple(sorted({route.account for route in self.routes}))

    def require_environment(self, environment: Environment) -> None:
        """Refuse routes to accounts of another environment than the ledger's."""
        for route in self.routes:
            if route.account.environment is not environment:
                raise RoutesRefused(
                    f"route {route.name} leads to {route.account}, and this ledger is of {environment.value}; "
                    "apply it to the ledger of its own environment"
                )

    def require_calendars(self) -> None:
        """Refuse a calendar that there is none of. Loads the library of calendars, so that `parse` need not."""
        for route in self.routes:
            try:
                require_calendar(route.calendar)
            except CalendarUnknown as error:
                raise RoutesRefused(f"route {route.name}: {error}") from None

    def source(self, name: str) -> Source:
        """The source of a name; SOURCE_UNKNOWN when the routes have none."""
        for source in self.sources:
            if source.name == name:
                return source
        raise AlertRefused(AlertReason.SOURCE_UNKNOWN, f"there is no source {name!r}; apply routes that name it")

    def route(self, alert: Alert) -> Route:
        """The one route that takes the alert; ROUTE_MISSING says what was looked for, other reasons
        what the route does not take."""
        found = [route for route in self._candidates(alert) if route.takes(alert)]
        assert len(found) <= 1, f"routes overlap: {[route.name for route in found]}"
        if not found:
            raise AlertRefused(
                AlertReason.ROUTE_MISSING,
                f"no route of source {alert.source} takes symbol {_shown(alert)} with strategy {alert.strategy!r}",
            )
        found[0].require_fit(alert)
        return found[0]


def _shown(alert: Alert) -> str:
    return f"{alert.exchange}:{alert.symbol}" if alert.exchange else alert.symbol


def _matches(pattern: str, strategy: str) -> bool:
    if pattern.endswith("*"):
        return strategy.startswith(pattern[:-1])
    return strategy == pattern


@lru_cache(maxsize=4 * ROUTES_MAX)
def _viewed(symbol: str) -> ViewedSymbol:
    return read_symbol(symbol)


def _read(text: str) -> tuple[Any, str]:
    """The data of a file, or what is wrong with it. Canonical JSON is YAML, too, and read a hundred times faster."""
    if text.startswith("{"):
        try:
            return decode(text), ""
        except ValueError:
            pass  # YAML in braces, or wrong in both: its reader says where
    return strictyaml.read(text)


def _grouped(routes: tuple[Route, ...]) -> dict[tuple[str, str], list[Route]]:
    """Routes by source and symbol."""
    groups: dict[tuple[str, str], list[Route]] = {}
    for route in routes:
        groups.setdefault((route.source, route.viewed.ticker), []).append(route)
    return groups


def _require_apart(groups: Iterable[Sequence[Route]]) -> None:
    for group in groups:
        for one, other in combinations(group, 2):
            if _meet(one, other):
                raise ValueError(
                    f"routes {one.name} and {other.name} could take the same alert (source {one.source}, symbol "
                    f"{one.viewed.ticker}); tell them apart by strategy or exchange"
                )


def _meet(one: Route, other: Route) -> bool:
    exchanges = {one.viewed.exchange, other.viewed.exchange}
    if len(exchanges) == 2 and "" not in exchanges:
        return False
    first, second = one.strategy, other.strategy
    if first.endswith("*") and second.endswith("*"):
        return first[:-1].startswith(second[:-1]) or second[:-1].startswith(first[:-1])
    return _matches(first, second) if first.endswith("*") else _matches(second, first)
