"""TradeStation's row: no order shows an id of ours, no request has a deadline: absence is a person's to decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import EllipsisType
from typing import Any

from brokers.config import AccountConfig
from brokers.ids import InstrumentId
from simulators import running_tradestation
from simulators.testing import small_tradestation_config
from tests.proof.wire_faults import End, Known, Verb, WireFault
from tests.proof.wire_venues import Product, Stop, WireVenue, venue_clock
from tests.trading.simulated_tradestation import ACCOUNT, connection_at, log_in


@contextmanager
def _start(start: datetime) -> Iterator[Any]:
    with running_tradestation(small_tradestation_config(clock=venue_clock(start))) as running:
        yield running


_TOKENS = TemporaryDirectory(prefix="wire-proof-tokens-")


def _account(url: str, timeout_s: float) -> AccountConfig:
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


def _proves(fault: WireFault, verb: Verb) -> Known | EllipsisType | None:
    if verb in _NOT_HERE.get(fault.name, frozenset()):
        return None
    if verb is Verb.PLACE and fault.name in _REFUSED_HERE:
        return Known.REFUSED
    if verb is Verb.PLACE and fault.name == "request duplicated on the wire":
        return Known.EXISTS  # the second copy is refused as a duplicate of the first
    return ...


def _ends(fault: WireFault, verb: Verb) -> End | None:
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


_PATH = "/v3/brokerage/accounts/SIM123456M"
_ORDERS = (f"{_PATH}/orders", f"{_PATH}/historicalorders")
_SHARE = Product(
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
)
VENUE = WireVenue(
    name="tradestation",
    account_id=ACCOUNT,
    owner="SIM123456M",
    products=(_SHARE,),
    stops=(
        replace(
            _SHARE,
            name="equity stop",
            crossing="203.00",
            stop=Stop("202.00", "202.50", rests_at="201.00", back="200.50", of_few=True),
        ),
    ),
    paths={
        Verb.PLACE: ("/v3/orderexecution/orders",),
        Verb.CANCEL: ("/v3/orderexecution/orders/*",),
        Verb.FIND_ORDER: (f"{_PATH}/orders", f"{_PATH}/historicalorders*"),
        Verb.OPEN_ORDERS: (f"{_PATH}/orders",),
        Verb.ORDER_HISTORY: (f"{_PATH}/historicalorders",),
        Verb.FILLS: _ORDERS,
        Verb.POSITIONS: (f"{_PATH}/positions",),
        "order": ("/v3/orderexecution/orders",),
        "orders": _ORDERS,
        "every_read": (*_ORDERS, f"{_PATH}/positions"),
        "every_request": ("*",),
    },
    start=_start,
    configure=_account,
    proves=_proves,
    ends=_ends,
    fills_are_totals=True,
    shows_our_ids=False,
    turn=21,
)
