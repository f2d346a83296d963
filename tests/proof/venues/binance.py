"""Binance's row: two products at addresses of their own, ids that are free again once an order is done.

The adapter's ids name product and symbol, because Binance's are unique within these only; the simulator's truth is
named the same way here, so that both can be compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import EllipsisType
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from simulators import running_binance
from simulators.testing_binance import small_binance_config
from tests.proof.wire_faults import Known, Verb, WireFault
from tests.proof.wire_venues import Product, Stop, WireVenue, venue_clock


class NamedTruth:
    """The simulator's control, whose orders and executions bear the names that the adapter gives them."""

    def __init__(self, control: Any) -> None:
        self._control = control

    def __getattr__(self, name: str) -> Any:
        return getattr(self._control, name)

    def orders(self, *args: Any, **options: Any) -> list[Any]:
        return [_named_order(order) for order in self._control.orders(*args, **options)]

    def executions(self, *args: Any, **options: Any) -> list[Any]:
        names = {order.order_id: _named_order(order).order_id for order in self._control.orders(*args)}
        return [_named_execution(one, names) for one in self._control.executions(*args, **options)]

    def wallets(self, account: str) -> dict[str, Any]:
        """By coin, over both wallets."""
        found: dict[str, Any] = {}
        for name, amount in self._control.wallets(account).items():
            coin = name.partition("@")[0]
            found[coin] = found.get(coin, 0) + amount
        return found

    def place_order(self, *args: Any, **options: Any) -> Any:
        return _named_order(self._control.place_order(*args, **options))

    def cancel_order(self, account: str, order_id: str) -> Any:
        kind, _, number = order_id.rpartition(":")
        number = str(int(number) - _ALGO_FROM) if kind.startswith("algo:") else number
        return _named_order(self._control.cancel_order(account, number))


_MARK = "st-"  # before our id of a conditional order in a contract
_ALGO_FROM = 1_000_000_000_000


def _named_order(order: Any) -> Any:
    """A conditional order in a contract keeps its first number; the engine's is another person's only."""
    request, identity = order.request, order.order_id
    waits = request.kind.value == "linear" and request.trigger_price is not None
    if not waits or (order.triggered and not order.client_id.startswith(_MARK)):
        return replace(order, order_id=f"{request.kind.value}:{request.symbol}:{identity}")
    return replace(
        order,
        order_id=f"algo:{request.symbol}:{_ALGO_FROM + int(identity)}",
        request=replace(request, client_id=request.client_id.removeprefix(_MARK)),
    )


def _named_execution(one: Any, names: dict[str, str]) -> Any:
    """A maker's execution names its order too: both sides of a trade with oneself have one number."""
    where = f"{one.market.value}:{one.symbol}"
    own = f"{where}:{one.execution_id}" + (f":{one.order_id}" if one.is_maker else "")
    return replace(one, order_id=names.get(one.order_id, f"{where}:{one.order_id}"), execution_id=own)


class NamedSim:
    """A running simulator with that control."""

    def __init__(self, running: Any) -> None:
        self._running = running
        self.control = NamedTruth(running.control)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._running, name)


@contextmanager
def _start(start: datetime) -> Iterator[Any]:
    config = small_binance_config(clock=venue_clock(start), conditional_orders_max=500)
    with running_binance(config) as running:
        yield NamedSim(running)


_ID = AccountId.parse("binance.simulated.main")
_LINEAR, _SPOT = InstrumentId("BTC/USDT:USDT"), InstrumentId("ETH/USDT")


def _account(url: str, timeout_s: float) -> AccountConfig:
    return AccountConfig(
        account_id=_ID,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=url,
        instruments=(_LINEAR, _SPOT),
        read_timeout_s=timeout_s,
        write_timeout_s=timeout_s,
    )


# 429 is documented as refused before anything is done; an order that is executed all the same cannot be told by it.
_REFUSED_HERE = frozenset({"HTTP 429"})
_NOT_HERE = frozenset({"executed, HTTP 429"})
_LISTS = frozenset({Verb.OPEN_ORDERS, Verb.ORDER_HISTORY, Verb.FILLS, Verb.POSITIONS})
_TOO_LONG = frozenset({"truncated JSON", "slow trickle of the answer"})


def _proves(fault: WireFault, verb: Verb) -> Known | EllipsisType | None:
    if verb is Verb.PLACE and fault.name in _NOT_HERE:
        return None
    if verb in _LISTS and fault.name in _TOO_LONG:
        return None  # an empty list has two bytes: cut after twenty it is whole, and its trickle ends in time
    return Known.REFUSED if verb is Verb.PLACE and fault.name in _REFUSED_HERE else ...


_CODES: dict[str, int | tuple[int, str]] = {
    "unknown": -9_876,
    "ambiguous": (-1007, "Timeout waiting for response from backend server."),
    "busy": (-1015, "Too many new orders."),
    "maintenance": (-2016, "No trading window could be found for the symbol."),
}
_SPOT_ORDER, _LINEAR_ORDER = "/api/v3/order", "/fapi/v1/order"
_ALGO_ORDER = "/fapi/v1/algoOrder"
_FIND = (f"GET {_SPOT_ORDER}", f"GET {_LINEAR_ORDER}", f"GET {_ALGO_ORDER}")
_OPEN = ("/api/v3/openOrders", "/fapi/v1/openOrders", "/fapi/v1/openAlgoOrders")
_HISTORY = ("/api/v3/allOrders", "/fapi/v1/allOrders", "/fapi/v1/allAlgoOrders")
_FILLS = ("/api/v3/myTrades", "/fapi/v1/userTrades")
_POSITIONS = ("/fapi/v3/positionRisk",)
_PLACE = (f"POST {_LINEAR_ORDER}", f"POST {_SPOT_ORDER}", f"POST {_ALGO_ORDER}")
_CONTRACT = Product(
    "linear",
    _LINEAR,
    "BTCUSDT",
    "linear",
    quantity="0.010",
    resting="58000",
    crossing="60600.00",
    level_notional="250",
    codes={**_CODES, "no_money": (-2019, "Margin is insufficient.")},
)
_PAIR = Product(
    "spot",
    _SPOT,
    "ETHUSDT",
    "spot",
    quantity="0.0100",
    resting="2900",
    crossing="3030.00",
    level_notional="12",
    codes={**_CODES, "no_money": (-2010, "Account has insufficient balance for requested action.")},
)
# A stop in a contract is an order of the algo service until it triggers, and one of the engine from then on.
_PATHS_OF_STOPS = {
    Verb.PLACE: (f"POST {_ALGO_ORDER}",),
    Verb.CANCEL: (f"DELETE {_ALGO_ORDER}", f"DELETE {_LINEAR_ORDER}"),
    Verb.FIND_ORDER: (f"GET {_ALGO_ORDER}",),
    Verb.OPEN_ORDERS: ("/fapi/v1/openAlgoOrders",),
    Verb.ORDER_HISTORY: ("/fapi/v1/allAlgoOrders",),
    "order": (f"POST {_ALGO_ORDER}",),
}
VENUE = WireVenue(
    name="binance",
    account_id=_ID,
    owner="main",
    products=(_CONTRACT, _PAIR),
    stops=(
        replace(
            _CONTRACT,
            name="linear stop",
            crossing="60900",
            cancel_requests_max=2,
            stop=Stop("60600", "60700", rests_at="60300", back="60200", list_turn=4),
            paths=_PATHS_OF_STOPS,
        ),
        replace(
            _PAIR,
            name="spot stop",
            crossing="3045",
            stop=Stop("3030", "3035", rests_at="3015", back="3010", of_few=True),
        ),
    ),
    paths={
        Verb.PLACE: _PLACE,
        Verb.CANCEL: (f"DELETE {_LINEAR_ORDER}", f"DELETE {_SPOT_ORDER}", f"DELETE {_ALGO_ORDER}"),
        Verb.FIND_ORDER: _FIND,
        Verb.OPEN_ORDERS: _OPEN,
        Verb.ORDER_HISTORY: _HISTORY,
        Verb.FILLS: _FILLS,
        Verb.POSITIONS: _POSITIONS,
        "order": _PLACE,
        "orders": (*_FIND, *_OPEN, *_HISTORY),
        "every_read": (*_FIND, *_OPEN, *_HISTORY, *_FILLS, *_POSITIONS),
        "every_request": ("*",),
    },
    start=_start,
    configure=_account,
    proves=_proves,
    turn=3,
)
