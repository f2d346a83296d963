"""Alpaca's row: ids for ever and no deadline. An unanswered order is sent again under its id, which is the query;
only one that was taken back while nobody knows of it is a person's to decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from types import EllipsisType
from typing import Any

from pydantic import SecretStr

from brokers.config import AccountConfig
from brokers.ids import AccountId, InstrumentId
from brokers.types import ProductKind
from simulators import running_alpaca
from simulators.alpaca.config import CryptoFees, FeesConfig
from simulators.testing_alpaca import small_alpaca_config
from tests.proof.wire_faults import End, Known, Verb, WireFault
from tests.proof.wire_venues import Product, Stop, WireVenue, venue_clock


@contextmanager
def _start(start: datetime) -> Iterator[Any]:
    # Fees of coins leave when they are posted: what is held is then the sum of what was told at every moment.
    fees = FeesConfig(crypto=CryptoFees.WHEN_POSTED)
    with running_alpaca(small_alpaca_config(clock=venue_clock(start), fees=fees)) as running:
        yield running


ACCOUNT = AccountId.parse("alpaca.simulated.main")


def account_at(url: str, timeout_s: float, **changes: Any) -> AccountConfig:
    """The account `main` of the small simulated Alpaca."""
    values: dict[str, Any] = {
        "account_id": ACCOUNT,
        "api_key": SecretStr("main-key"),
        "api_secret": SecretStr("main-secret"),
        "base_url": url,
        "products": frozenset({ProductKind.EQUITY, ProductKind.SPOT}),
        "settle_currencies": ("USD",),
        "read_timeout_s": timeout_s,
        "write_timeout_s": timeout_s,
    }
    return AccountConfig(**{**values, **changes})


_NOT_HERE: Mapping[str, frozenset[Verb]] = {
    "clock code": frozenset(Verb),  # it checks no clock
    "maintenance code": frozenset(Verb),  # it documents none: an outage answers in HTML
}
# A cancel is answered by 204 without a body, an empty list by two bytes: there is nothing to spoil.
_NOTHING_TO_SPOIL: Mapping[Verb, frozenset[str]] = {
    Verb.CANCEL: frozenset(
        {
            "executed, reset in the answer's body",
            "slow trickle of the answer",
            "truncated JSON",
            "empty body",
            "huge body",
        }
    ),
    **dict.fromkeys(
        (Verb.OPEN_ORDERS, Verb.ORDER_HISTORY, Verb.POSITIONS),
        frozenset({"slow trickle of the answer", "truncated JSON"}),
    ),
}
# Alpaca's own words, with a code, refuse before anything is executed.
_REFUSED_HERE = frozenset({"HTTP 429"})


def _proves(fault: WireFault, verb: Verb) -> Known | EllipsisType | None:
    if verb in _NOT_HERE.get(fault.name, frozenset()):
        return None
    if verb is Verb.PLACE and fault.name == "executed, HTTP 429":
        return None  # its own words say that the limit refused it: not executed
    if verb is Verb.PLACE and fault.name in _REFUSED_HERE:
        return Known.REFUSED
    return None if fault.name in _NOTHING_TO_SPOIL.get(verb, frozenset()) else ...


_ENDS_HERE: Mapping[str, End] = {
    "partial fill, then cancelled": End.CANCELLED,  # its order has no terms of its own that would end it
    # Its quotes carry the engine's time, so that the check of the clock itself stops it, whichever way it is off.
    "venue's clock 30 s off for good": End.EXPIRED,
    "venue's clock -3 s off for good": End.EXPIRED,
}


def _ends(fault: WireFault, verb: Verb) -> End | None:
    if verb in (Verb.OPEN_ORDERS, Verb.ORDER_HISTORY, Verb.POSITIONS):
        return End.PERSON  # taken back before it was known to have arrived, and no request has a deadline
    return _ENDS_HERE.get(fault.name) if verb is Verb.PLACE else None


_CODES: Mapping[str, int | tuple[int, str]] = {
    "unknown": 42_299_999,
    "ambiguous": 50_010_000,
    "busy": 42_910_000,
    "no_money": (40_310_000, "insufficient buying power"),
}
_ORDERS = ("GET /v2/orders:by_client_order_id", "GET /v2/orders/*", "GET /v2/orders")
_SHARE = Product(
    "equity",
    InstrumentId("AAPL"),
    "AAPL",
    "linear",
    quantity="10",
    resting="195.00",
    crossing="202.00",
    level_notional="800",
    codes=_CODES,
    has_permanent_ids=True,
)
VENUE = WireVenue(
    name="alpaca",
    account_id=ACCOUNT,
    owner="main",
    products=(
        _SHARE,
        Product(
            "crypto",
            InstrumentId("BTC/USD"),
            "BTC/USD",
            "spot",
            quantity="0.010",
            resting="58000",
            crossing="60600.00",
            level_notional="250",
            codes=_CODES,
            has_permanent_ids=True,
        ),
    ),
    stops=(
        replace(
            _SHARE,
            name="equity stop",
            crossing="203.00",
            stop=Stop("202.00", "202.50", rests_at="201.00", back="200.50", of_few=True),
        ),
    ),
    paths={
        Verb.PLACE: ("POST /v2/orders",),
        Verb.CANCEL: ("DELETE /v2/orders/*",),
        Verb.FIND_ORDER: _ORDERS[:2],
        Verb.OPEN_ORDERS: ("GET /v2/orders",),
        Verb.ORDER_HISTORY: ("GET /v2/orders",),
        Verb.FILLS: ("/v2/account/activities/FILL",),
        Verb.POSITIONS: ("/v2/positions",),
        "order": ("POST /v2/orders",),
        "orders": _ORDERS,
        "every_read": (*_ORDERS, "/v2/account/activities*", "/v2/positions"),
        "every_request": ("*",),
    },
    start=_start,
    configure=account_at,
    proves=_proves,
    ends=_ends,
    in_suite={Verb.PLACE: 24, Verb.CANCEL: 48, Verb.FIND_ORDER: 48, Verb.OPEN_ORDERS: 48},
    turn=7,
)
