"""What a venue can be asked for: the rows of the matrix, and which of them its own row of facts denies."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum

from brokers.capabilities import Capabilities, OrderIdentity
from brokers.types import OrderType, PositionMode, TimeInForce


class Capability(StrEnum):
    """One row of the matrix; the value is what a reader sees."""

    CONNECTION = "connection and environment"
    CLOCK = "clock"
    INSTRUMENTS = "instruments"
    INSTRUMENT_LIST = "list of all instruments"
    ROUNDING = "filters and rounding"
    QUOTES = "quotes"
    BALANCES = "balances"
    POSITIONS = "positions"
    MARGIN_HEALTH = "margin health"
    PROFIT_AND_LOSS = "profit and loss"
    CLOSING = "closing"
    MARKET = "market orders"
    LIMIT = "limit orders"
    STOP_MARKET = "stop-market orders"
    STOP_LIMIT = "stop-limit orders"
    GTC = "time in force gtc"
    IOC = "time in force ioc"
    FOK = "time in force fok"
    DAY = "time in force day"
    DAY_EXTENDED = "time in force day_extended"
    GTC_EXTENDED = "time in force gtc_extended"
    POST_ONLY = "post-only"
    REDUCE_ONLY = "reduce-only"
    HEDGE = "hedge mode"
    SENDING = "one send, frozen terms"
    CANCEL = "cancel"
    PARTIAL_FILLS = "partial fills"
    FIND_BY_CLIENT_ID = "look-up by our id"
    FIND_BY_VENUE_ID = "look-up by the venue's id"
    OPEN_ORDERS = "open orders"
    ORDER_HISTORY = "order history"
    DUPLICATE_IDS = "duplicate ids"
    FILLS = "fills"
    CASH_EVENTS = "cash events"
    LEVERAGE = "leverage"
    POSITION_MODE = "position mode"
    MARGIN_MODE = "margin mode"
    SET_MARGIN_MODE = "setting the margin mode"
    DEAD_MAN = "dead-man switch"
    ERRORS = "error table"
    RATE_LIMITS = "rate limits"
    WIRE_FAULTS = "wire faults"
    ODD_BODIES = "odd bodies"
    REQUESTS = "requests per operation"


_Facts = Callable[[Capabilities, OrderIdentity], bool]
_TYPES = {
    Capability.MARKET: OrderType.MARKET,
    Capability.LIMIT: OrderType.LIMIT,
    Capability.STOP_MARKET: OrderType.STOP_MARKET,
    Capability.STOP_LIMIT: OrderType.STOP_LIMIT,
}
_TIMES = {
    Capability.GTC: TimeInForce.GTC,
    Capability.IOC: TimeInForce.IOC,
    Capability.FOK: TimeInForce.FOK,
    Capability.DAY: TimeInForce.DAY,
    Capability.DAY_EXTENDED: TimeInForce.DAY_EXTENDED,
    Capability.GTC_EXTENDED: TimeInForce.GTC_EXTENDED,
}
_STATED: Mapping[Capability, _Facts] = {
    Capability.POST_ONLY: lambda row, _: row.post_only,
    Capability.REDUCE_ONLY: lambda row, _: row.reduce_only,
    Capability.HEDGE: lambda row, _: PositionMode.HEDGE in row.position_modes,
    Capability.POSITION_MODE: lambda row, _: PositionMode.HEDGE in row.position_modes,
    Capability.LEVERAGE: lambda row, _: row.sets_leverage,
    Capability.CASH_EVENTS: lambda row, _: row.cash_events,
    Capability.DEAD_MAN: lambda row, _: row.dead_man.is_armed_by_us or row.dead_man.cancels_all_orders,
    Capability.FIND_BY_CLIENT_ID: lambda _, identity: identity.lookup_by_client_id,
}


def states(capability: Capability, row: Capabilities, identity: OrderIdentity) -> bool:
    """Whether the venue's row of facts says that it has this; what the row does not speak of, every venue has."""
    if capability in _TYPES:
        return _TYPES[capability] in row.order_types
    if capability in _TIMES:
        return _TIMES[capability] in row.time_in_force
    stated = _STATED.get(capability)
    return stated is None or stated(row, identity)
