"""Turning a position into the orders that close it. Pure.

Invariants: no order opens anything (contracts: reduce-only, opposite side), the quantities together never exceed the
position, and each is a multiple of the lot; what is left is dust smaller than one lot. Where the venue deals in parts
of a share an order may be for such a part, and then for the day.
"""

from __future__ import annotations

from decimal import Decimal

from brokers.errors import InvalidOrder
from brokers.rounding import MONEY, is_multiple, quantise_quantity
from brokers.types import (
    Instrument,
    OrderRequest,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    TimeInForce,
)

PARTS_MAX = 100


def time_in_force_of(quantity: Decimal, instrument: Instrument) -> TimeInForce:
    """At once; for a part of a lot what its terms allow."""
    parts = instrument.parts
    is_whole = parts is None or is_multiple(quantity, step=instrument.lot_size)
    return TimeInForce.IOC if parts is None or is_whole else parts.times_in_force[0]


def closing_requests(position: Position, instrument: Instrument) -> tuple[OrderRequest, ...]:
    """Market orders that close the position, split where the venue limits a market order's size.

    An empty tuple when there is less than one lot to close. InvalidOrder when position and instrument differ or more
    than 100 orders would be needed.
    """
    if position.instrument_id != instrument.instrument_id:
        raise InvalidOrder(
            f"instrument must be the position's {position.instrument_id}, was {instrument.instrument_id}"
        )
    finest = instrument.finest_lot
    left = quantise_quantity(position.quantity.copy_abs(), lot=finest)
    most = quantise_quantity(instrument.quantity_max_market or left, lot=finest)
    parts: list[Decimal] = []
    while left > 0:
        if most <= 0 or len(parts) == PARTS_MAX:
            raise InvalidOrder(
                f"closing {position.quantity} of {position.instrument_id} needs more than {PARTS_MAX} orders"
            )
        part = min(left, most)
        parts.append(part)
        left = MONEY.subtract(left, part)
    return tuple(
        OrderRequest(
            instrument_id=position.instrument_id,
            side=OrderSide.SELL if position.quantity > 0 else OrderSide.BUY,
            order_type=OrderType.MARKET,
            quantity=part,
            time_in_force=time_in_force_of(part, instrument),
            reduce_only=instrument.is_position,
            position_side=position.side if position.mode is PositionMode.HEDGE else None,
        )
        for part in parts
    )
