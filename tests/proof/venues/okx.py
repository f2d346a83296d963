"""OKX's row: swaps and spot, ids that are free again once an order is done, one path that places and looks up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from types import EllipsisType
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from simulators import running_okx
from simulators.demo_okx import okx_coins
from simulators.okx.desk import algo_number
from simulators.testing_okx import small_okx_config
from tests.proof.wire_faults import READS, End, Known, Verb, WireFault
from tests.proof.wire_venues import Product, Stop, WireVenue, venue_clock


class _NamedTruth:
    """The simulator's control, whose stops bear the number and the client id that they have as conditional orders."""

    def __init__(self, running: Any) -> None:
        self._control, self._simulator = running.control, running.simulator

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def orders(self, *args: Any, **options: Any) -> list[Any]:
        return [self._named(order) for order in self._control.orders(*args, **options)]

    def executions(self, *args: Any, **options: Any) -> list[Any]:
        names = {order.order_id: self._named(order).order_id for order in self._control.orders(*args)}
        found = self._control.executions(*args, **options)
        return [replace(one, order_id=names.get(one.order_id, one.order_id)) for one in found]

    def _named(self, order: Any) -> Any:
        note = self._simulator.front.desk.note(order).algo
        if order.request.trigger_price is None or note is None:
            return order
        request = replace(order.request, client_id=note.client_id)
        return replace(order, order_id=f"algo:{algo_number(order)}", request=request)


class _NamedSim:
    """A running simulator with that control."""

    def __init__(self, running: Any) -> None:
        self._running, self.control = running, _NamedTruth(running)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)


@contextmanager
def _start(start: datetime) -> Iterator[Any]:
    # At OKX a limit order may be worth twenty million, a market order on spot one; the simulator has one bound.
    coins = tuple(coin.model_copy(update={"notional_max": Decimal(20_000_000)}) for coin in okx_coins())
    config = small_okx_config(clock=venue_clock(start), instruments=coins, conditional_orders_max=500)
    with running_okx(config) as running:
        yield _NamedSim(running)


_ID = AccountId.parse("okx.simulated.main")


def _account(url: str, timeout_s: float) -> AccountConfig:
    return AccountConfig(
        account_id=_ID,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        api_passphrase=SecretStr("main-passphrase"),
        base_url=url,
        settle_currencies=("USDT",),
        read_timeout_s=timeout_s,
        write_timeout_s=timeout_s,
    )


def _proves(fault: WireFault, verb: Verb) -> Known | EllipsisType | None:
    if fault.name == "clock code":
        return Known.ANSWERED  # half a minute is just within the window that it allows
    if verb in READS and fault.name == "HTTP 503":
        return Known.REFUSED  # its own words, 50001: not now
    if verb is Verb.FIND_ORDER and fault.name in ("list empty once", "rows twice"):
        return Known.UNKNOWN  # it answers one row, or its code for none: anything else says nothing of the order
    if verb is Verb.PLACE and fault.name == "executed, HTTP 429":
        return None  # its own words in the body, 50011, say that the limit refused it: not executed
    if verb is Verb.PLACE and fault.name == "HTTP 429":
        return Known.REFUSED
    return ...


def _proves_of_stops(fault: WireFault, verb: Verb) -> Known | EllipsisType | None:
    if verb is Verb.FIND_ORDER and fault.name == "list empty once":
        return Known.ANSWERED  # the details may be empty: the lists, of which each is empty once, decide
    return _proves(fault, verb)


def _ends(fault: WireFault, verb: Verb) -> End | None:
    # Its quotes carry the market's time, not the gateway's: the clock check stops the order until its time is over.
    return End.EXPIRED if fault.name.startswith("venue's clock") else None


_CODES: dict[str, int | tuple[int, str]] = {
    "unknown": 987_654,
    "ambiguous": 50_004,
    "busy": 50_011,
    "maintenance": 50_046,
    "no_money": 51_008,
}
_V5 = "/api/v5"
_ORDERS = (f"GET {_V5}/trade/order", f"{_V5}/trade/orders-pending", f"{_V5}/trade/orders-history")
_STOP = f"GET {_V5}/trade/order-algo"
_STOPS, _ENDED_STOPS = f"{_V5}/trade/orders-algo-pending", f"{_V5}/trade/orders-algo-history"
# A stop is an order of other services until it triggers, and one of the ordinary ones from then on.
_PATHS_OF_STOPS = {
    Verb.PLACE: (f"POST {_V5}/trade/order-algo",),
    Verb.CANCEL: (f"{_V5}/trade/cancel-algos", f"{_V5}/trade/cancel-order"),
    Verb.FIND_ORDER: (_STOP, _STOPS, _ENDED_STOPS),
    Verb.OPEN_ORDERS: (_STOPS,),
    Verb.ORDER_HISTORY: (_ENDED_STOPS,),
    "order": (f"POST {_V5}/trade/order-algo",),
    "orders": (*_ORDERS, _STOP, _STOPS, _ENDED_STOPS),
    "every_read": (*_ORDERS, _STOP, _STOPS, _ENDED_STOPS, f"{_V5}/trade/fills", f"{_V5}/account/positions"),
}
_LINEAR = Product(
    "linear",
    InstrumentId("BTC/USDT:USDT"),
    "BTC-USDT-SWAP",
    "linear",
    quantity="1",
    resting="58000",
    crossing="60600.0",
    level_notional="250",
    codes=_CODES,
)
_SPOT = Product(
    "spot",
    InstrumentId("ETH/USDT"),
    "ETH-USDT",
    "spot",
    quantity="0.0100",
    resting="2900",
    crossing="3030.00",
    level_notional="12",
    codes=_CODES,
)
_OF_STOPS: dict[str, Any] = {"cancel_requests_max": 2, "paths": _PATHS_OF_STOPS, "proves": _proves_of_stops}
VENUE = WireVenue(
    name="okx",
    account_id=_ID,
    owner="main",
    products=(_LINEAR, _SPOT),
    stops=(
        replace(
            _LINEAR,
            name="linear stop",
            crossing="60900",
            stop=Stop("60600", "60700", rests_at="60300", back="60200", shares=2, turn=0),
            **_OF_STOPS,
        ),
        replace(
            _SPOT,
            name="spot stop",
            crossing="3045",
            stop=Stop("3030", "3035", rests_at="3015", back="3010", shares=2, turn=1),
            **_OF_STOPS,
        ),
    ),
    paths={
        Verb.PLACE: (f"POST {_V5}/trade/order",),
        Verb.CANCEL: (f"{_V5}/trade/cancel-order",),
        Verb.FIND_ORDER: (f"GET {_V5}/trade/order", f"{_V5}/trade/orders-history"),
        Verb.OPEN_ORDERS: (f"{_V5}/trade/orders-pending",),
        Verb.ORDER_HISTORY: (f"{_V5}/trade/orders-history",),
        Verb.FILLS: (f"{_V5}/trade/fills",),
        Verb.POSITIONS: (f"{_V5}/account/positions",),
        "order": (f"POST {_V5}/trade/order",),
        "orders": _ORDERS,
        "every_read": (*_ORDERS, f"{_V5}/trade/fills", f"{_V5}/account/positions"),
        "every_request": ("*",),
    },
    start=_start,
    configure=_account,
    proves=_proves,
    ends=_ends,
    trade_id=lambda execution: f"{execution.symbol}:{execution.execution_id}",
    turn=5,
)
