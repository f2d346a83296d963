"""Bybit under test: linear perpetuals and spot of one unified account."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from brokers.bybit import codes
from brokers.ids import InstrumentId
from simulators import running_bybit
from simulators.core.config import PricesConfig
from simulators.demo import stock
from simulators.testing import small_config
from tests.conformance.capability import Capability
from tests.conformance.venue import ErrorRow, KeyKind, VenueUnderTest, wire_row
from tests.proof.wire_venues import venue_clock

_SPOT_LACKS = {Capability.REDUCE_ONLY, Capability.HEDGE, Capability.POSITION_MODE, Capability.LEVERAGE}


def _key(name: str, secret: str = "") -> dict[str, Any]:
    return {"api_key": SecretStr(name), "api_secret": SecretStr(secret or f"{name}-secret")}


@contextmanager
def _many(start: datetime) -> Iterator[tuple[Any, Sequence[InstrumentId]]]:
    names = [f"S{number:02d}" for number in range(50)]
    config = small_config(
        instruments=tuple(stock(name) for name in names),
        prices=PricesConfig(start={f"{name}USDT": Decimal(100) for name in names}, spread_bps=Decimal(2)),
        clock=venue_clock(start),
    )
    with running_bybit(config) as running:
        yield running, [InstrumentId(f"{name}/USDT:USDT") for name in names]


def _errors() -> Iterable[ErrorRow]:
    return sorted(codes.CODES.items())


VENUE = VenueUnderTest(
    wire=wire_row("bybit"),
    lacks={"spot": frozenset(_SPOT_LACKS)},
    keys={
        KeyKind.UNKNOWN: _key("nobody"),
        KeyKind.WRONG_SECRET: _key("main-key", "another-secret"),
        KeyKind.READ_ONLY: _key("reader"),
        KeyKind.CAN_WITHDRAW: _key("drainer"),
        KeyKind.EXPIRED: _key("expired"),
        KeyKind.BOUND_ELSEWHERE: _key("elsewhere"),
    },
    errors=_errors,
    many=_many,
)
