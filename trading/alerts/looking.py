"""Look at what an alert is decided from: position, open orders, quote, equity, instrument, as the venue has them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from sqlmodel import col, select

from brokers.ids import InstrumentId, IntentId
from brokers.types import (
    ZERO,
    Balance,
    Instrument,
    Order,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    Quote,
    TimeInForce,
)
from ledger.states import TERMINAL_STATES, IntentState
from ledger.tables import OrderAttempt, OrderIntent
from trading.alerts.model import Alert, AlertAction, QuantityMode
from trading.alerts.routing import Route
from trading.alerts.values import AlertSnapshot, OpenOrder
from trading.runtime import Runtime

S = IntentState
ON_THE_WAY = frozenset({S.CLAIMED, S.SENDING, S.UNKNOWN, S.NOT_PLACED})
_NEEDS_EQUITY = frozenset({QuantityMode.PERCENT_OF_EQUITY, QuantityMode.RISK_PERCENT})


def read_snapshot(
    runtime: Runtime, instrument_id: InstrumentId, alert: Alert, route: Route, *, expires_at: datetime | None
) -> AlertSnapshot:
    """Everything that the decision needs, or the venue's error: what cannot be read is never assumed.

    What is open is read before what is held: an order that is filled in between counts twice, never not at all, so that
    an exit is too small rather than too large, and a limit is met too early rather than passed.
    """
    broker = runtime.broker
    (instrument,) = broker.instruments([instrument_id])
    orders = _open_orders(runtime, instrument_id)
    held = [position for position in _positions(runtime, instrument) if position.instrument_id == instrument_id]
    is_hedged = any(position.mode is PositionMode.HEDGE for position in held)
    equity, currency = _equity(runtime, alert, route)
    quote = _quote(runtime, instrument_id) if alert.action is not AlertAction.CANCEL else None
    quantity = sum((position.quantity for position in held), ZERO)
    return AlertSnapshot(
        time=runtime.clock.now(),
        instrument=instrument,
        position=quantity if instrument.is_position else held_coin(broker.balances(), instrument, quote, orders),
        quote=quote,
        equity=equity,
        equity_currency=currency,
        open_orders=orders,
        position_mode=PositionMode.HEDGE if is_hedged else PositionMode.ONE_WAY,
        expires_at=expires_at,
    )


def _positions(runtime: Runtime, instrument: Instrument) -> tuple[Position, ...]:
    return runtime.broker.positions() if instrument.is_position else ()


def held_coin(
    balances: Iterable[Balance], instrument: Instrument, quote: Quote | None, orders: Iterable[OpenOrder]
) -> Decimal:
    """What is held of a coin and can be sold, open sales included: its wallet is the position of a spot instrument.

    A fee that is taken in the coin, or is still to be, makes it less than was bought, and what is left after a sale may
    be too little for any order. Such a rest is no position: nothing could close it, and it must not stop an entry.
    """
    (coin,) = [item for item in balances if item.currency == instrument.base_currency] or (None,)
    if coin is None:
        return ZERO
    leaving = sum((order.remaining for order in orders if order.side is OrderSide.SELL), ZERO)
    held = coin.total if coin.available is None else min(coin.total, coin.available + leaving)
    is_a_rest = held < max(instrument.quantity_min, instrument.lot_size)
    if quote is not None and held * quote.bid * instrument.contract_size < instrument.notional_min:
        is_a_rest = True
    return ZERO if is_a_rest else held


def unsettled(runtime: Runtime, instrument_id: InstrumentId, *, but_for: Sequence[str] = ()) -> tuple[str, ...]:
    """Orders of ours in the instrument that are on their way or about to be filled: until they are over, what the
    venue says of the position may lag behind them. Orders that rest are none of these."""
    with runtime.ledger.read() as session:
        query = select(OrderIntent).where(
            OrderIntent.account_id == str(runtime.account_id),
            OrderIntent.instrument_id == str(instrument_id),
            col(OrderIntent.state).not_in([state.value for state in TERMINAL_STATES]),
        )
        rows = list(session.exec(query.order_by(col(OrderIntent.created_at))))
    return tuple(row.intent_id for row in rows if row.intent_id not in but_for and _moves_the_position(row))


def _moves_the_position(row: OrderIntent) -> bool:
    state = S(row.state)
    return state in ON_THE_WAY or (state.is_live_at_venue and not rests(row.order_type, row.time_in_force))


def rests(order_type: str, time_in_force: str) -> bool:
    """Whether an order may stay open at the venue; market orders and immediate ones are over at once."""
    return order_type != OrderType.MARKET.value and time_in_force not in (
        TimeInForce.IOC.value,
        TimeInForce.FOK.value,
    )


def _quote(runtime: Runtime, instrument_id: InstrumentId) -> Quote:
    (quote,) = runtime.broker.quotes([instrument_id])
    return quote


def _equity(runtime: Runtime, alert: Alert, route: Route) -> tuple[Decimal | None, str]:
    """The account's equity where a quantity follows from it; nobody else needs the request."""
    mode = alert.quantity_mode if alert.quantity is not None else route.quantity_mode
    if mode not in _NEEDS_EQUITY:
        return None, ""
    health = runtime.broker.margin_health()
    return health.equity, health.currency


def _open_orders(runtime: Runtime, instrument_id: InstrumentId) -> tuple[OpenOrder, ...]:
    orders = [order for order in runtime.broker.open_orders() if order.instrument_id == instrument_id]
    if not orders:
        return ()
    ours = _intents_of(runtime, orders)
    return tuple(
        OpenOrder(
            intent_id=ours.get(str(order.venue_order_id)),
            side=order.side,
            remaining=order.quantity - order.filled_quantity,
        )
        for order in orders
    )


def _intents_of(runtime: Runtime, orders: Sequence[Order]) -> dict[str, IntentId]:
    """Which of the venue's orders are ours: by the id that we gave, or where it is not carried by the venue's own."""
    given = {str(order.client_order_id): str(order.venue_order_id) for order in orders if order.client_order_id}
    own = [str(order.venue_order_id) for order in orders]
    with runtime.ledger.read() as session:
        attempts = session.exec(
            select(OrderAttempt.client_order_id, OrderAttempt.intent_id).where(
                col(OrderAttempt.client_order_id).in_(list(given))
            )
        )
        found = {given[client_id]: IntentId(intent_id) for client_id, intent_id in attempts}
        intents = session.exec(
            select(OrderIntent.venue_order_id, OrderIntent.intent_id).where(
                OrderIntent.account_id == str(runtime.account_id), col(OrderIntent.venue_order_id).in_(own)
            )
        )
        found |= {str(venue_id): IntentId(intent_id) for venue_id, intent_id in intents}
    return found
