"""One row per adapter: how its simulator is started, how it is opened, and what the table's roles mean on its wire.

A new venue adds a row; nothing else of the wire layer changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import EllipsisType
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from simulators import running_bybit, running_tradestation
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import small_config, small_tradestation_config
from tests.proof.wire_faults import End, Known, Verb, WireFault
from tests.trading.simulated_tradestation import ACCOUNT as TRADESTATION_ID
from tests.trading.simulated_tradestation import connection_at, log_in


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
    """`paths` maps a verb, or a role, to the paths of its requests; a path may end in `*`.

    `proves` and `ends` hold what differs from the table at this venue: what a call under a fault proves (None: there is
    no such case), and where the history ends. `fills_are_totals`: an order has one fill, told at its end.
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
    shows_our_ids: bool = True

    def covers(self, verb: str, path: str) -> bool:
        """Whether a request to this path is one of the verb."""
        return any(path == own or (own.endswith("*") and path.startswith(own[:-1])) for own in self.paths[verb])

    @property
    def order_paths(self) -> tuple[str, ...]:
        return self.paths[Verb.PLACE]


@contextmanager
def _bybit(start: datetime) -> Iterator[Any]:
    clock = ClockConfig(mode=ClockMode.MANUAL, start=start, gateway=GatewayClock.ENGINE)
    with running_bybit(small_config(clock=clock)) as running:
        yield running


_BYBIT_ID = AccountId.parse("bybit.simulated.main")


def _bybit_account(url: str, timeout_s: float) -> AccountConfig:
    return AccountConfig(
        account_id=_BYBIT_ID,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=url,
        settle_currencies=("USDT",),
        read_timeout_s=timeout_s,
        write_timeout_s=timeout_s,
    )


_BYBIT_CODES = {"unknown": 987_654, "ambiguous": 10_016, "busy": 10_006}
BYBIT = WireVenue(
    name="bybit",
    account_id=_BYBIT_ID,
    owner="main",
    products=(
        Product(
            "linear",
            InstrumentId("BTC/USDT:USDT"),
            "BTCUSDT",
            "linear",
            quantity="0.010",
            resting="58000",
            crossing="60600.00",
            level_notional="250",
            codes={**_BYBIT_CODES, "maintenance": 110_063, "no_money": 110_007},
            has_permanent_ids=True,
        ),
        Product(
            "spot",
            InstrumentId("ETH/USDT"),
            "ETHUSDT",
            "spot",
            quantity="0.0100",
            resting="2900",
            crossing="3030.00",
            level_notional="12",
            cancel_requests_max=2,  # not among the active orders: once more among the conditional ones
            codes={**_BYBIT_CODES, "maintenance": 170_191, "no_money": 170_131},
        ),
    ),
    paths={
        Verb.PLACE: ("/v5/order/create",),
        Verb.CANCEL: ("/v5/order/cancel",),
        Verb.FIND_ORDER: ("/v5/order/realtime", "/v5/order/history"),
        Verb.OPEN_ORDERS: ("/v5/order/realtime",),
        Verb.ORDER_HISTORY: ("/v5/order/history",),
        Verb.FILLS: ("/v5/execution/list",),
        Verb.POSITIONS: ("/v5/position/list",),
        "order": ("/v5/order/create",),
        "orders": ("/v5/order/realtime", "/v5/order/history"),
        "every_read": ("/v5/order/realtime", "/v5/order/history", "/v5/execution/list", "/v5/position/list"),
        "every_request": ("*",),
    },
    start=_bybit,
    configure=_bybit_account,
)


@contextmanager
def _tradestation(start: datetime) -> Iterator[Any]:
    clock = ClockConfig(mode=ClockMode.MANUAL, start=start, gateway=GatewayClock.ENGINE)
    with running_tradestation(small_tradestation_config(clock=clock)) as running:
        yield running


_TOKENS = TemporaryDirectory(prefix="wire-proof-tokens-")


def _tradestation_account(url: str, timeout_s: float) -> AccountConfig:
    folder = Path(_TOKENS.name)
    log_in(url, folder)
    return connection_at(url, folder, read_timeout_s=timeout_s, write_timeout_s=timeout_s)


_EXECUTING = frozenset(
    {"execute_then_drop", "reset", "delay", "trickle", "truncated", "huge", "content_type", "duplicate"}
)
# What this venue documents as refused before it is executed.
_REFUSED_HERE = frozenset({"HTTP 429"})
_NOT_HERE: Mapping[str, frozenset[Verb]] = {
    "executed, HTTP 429": frozenset({Verb.PLACE}),  # its own words say that the quota refused it: not executed
    "clock code": frozenset(Verb),  # it checks no clock
    "maintenance code": frozenset(Verb) - {Verb.PLACE},  # told of orders only
    "id used before, same terms": frozenset(Verb),  # no order shows an id
    "id used before, other terms": frozenset(Verb),
}


_ENDS_HERE: Mapping[str, End] = {
    "request duplicated on the wire": End.FILLED,
    "partial fill, then cancelled": End.CANCELLED,  # its day order has no terms of its own that would end it
    "venue's clock -3 s off for good": End.EXPIRED,  # its quotes carry our time of reading: the clock check stops it
}


def _is_executed(fault: WireFault) -> bool:
    """Whether an order under this fault exists at the venue in the end."""
    kinds = {arm.kind for arm in fault.arms if arm.is_main}
    return bool(kinds & _EXECUTING) or any(arm.fields.get("execute") for arm in fault.arms)


def _tradestation_proves(fault: WireFault, verb: Verb) -> Known | EllipsisType | None:
    if verb in _NOT_HERE.get(fault.name, frozenset()):
        return None
    if verb is Verb.PLACE and fault.name in _REFUSED_HERE:
        return Known.REFUSED
    if verb is Verb.PLACE and fault.name == "request duplicated on the wire":
        return Known.EXISTS  # the second copy is refused as a duplicate of the first
    return ...


def _tradestation_ends(fault: WireFault, verb: Verb) -> End | None:
    """Absence cannot be proved where no request has a deadline: what never arrived is a person's to decide."""
    if verb is Verb.CANCEL:
        return None
    if verb in (Verb.OPEN_ORDERS, Verb.ORDER_HISTORY, Verb.POSITIONS):
        return End.PERSON  # the order that is looked for never arrived
    own = _ENDS_HERE.get(fault.name)
    if own is not None:
        return own
    if fault.before == "crowd":
        return End.PERSON  # sixty orders of the same terms: nobody can tell which is ours
    is_unknown = verb is Verb.PLACE and fault.place is Known.UNKNOWN and fault.name not in _REFUSED_HERE
    return End.PERSON if is_unknown and not _is_executed(fault) else None


_TS = "/v3/brokerage/accounts/SIM123456M"
_TS_ORDERS = (f"{_TS}/orders", f"{_TS}/historicalorders")
TRADESTATION = WireVenue(
    name="tradestation",
    account_id=TRADESTATION_ID,
    owner="SIM123456M",
    products=(
        Product(
            "equity",
            InstrumentId("AAPL"),
            "AAPL",
            "linear",
            quantity="10",
            resting="195.00",
            crossing="202.00",
            level_notional="800",
            codes={
                "unknown": 418,
                "ambiguous": 500,
                "busy": 429,
                "maintenance": (200, "Order failed. Reason: The market is closed"),
                "no_money": (200, "Order failed. Reason: Your order exceeds your available buying power"),
            },
        ),
    ),
    paths={
        Verb.PLACE: ("/v3/orderexecution/orders",),
        Verb.CANCEL: ("/v3/orderexecution/orders/*",),
        Verb.FIND_ORDER: (f"{_TS}/orders", f"{_TS}/historicalorders*"),
        Verb.OPEN_ORDERS: (f"{_TS}/orders",),
        Verb.ORDER_HISTORY: (f"{_TS}/historicalorders",),
        Verb.FILLS: _TS_ORDERS,
        Verb.POSITIONS: (f"{_TS}/positions",),
        "order": ("/v3/orderexecution/orders",),
        "orders": _TS_ORDERS,
        "every_read": (*_TS_ORDERS, f"{_TS}/positions"),
        "every_request": ("*",),
    },
    start=_tradestation,
    configure=_tradestation_account,
    proves=_tradestation_proves,
    ends=_tradestation_ends,
    fills_are_totals=True,
    shows_our_ids=False,
)
VENUES: tuple[WireVenue, ...] = (BYBIT, TRADESTATION)
