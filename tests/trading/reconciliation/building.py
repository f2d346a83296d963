"""A consistent account: opening figures, orders, fills, cash events and the figures that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

from brokers.ids import AccountId, ClientOrderId, InstrumentId, TradeId, VenueOrderId
from brokers.types import (
    Balance,
    CashEvent,
    CashEventKind,
    Fill,
    LeverageInfo,
    LiquiditySide,
    MarginMode,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    TimeInForce,
)
from ledger.adjustments import Correction
from trading.reconciliation import LedgerView, Ownership, UnresolvedOrder, VenueView

ACCOUNT = AccountId.parse("bybit.simulated.main")
START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = START + timedelta(days=2)
PERPS = [InstrumentId(f"{base}/USDT:USDT") for base in ("BTC", "ETH", "SOL")]
SPOT = InstrumentId("BTC/USDT")
D = Decimal


def is_ours(client_order_id: ClientOrderId) -> bool:
    """The scheme of these books."""
    return client_order_id.value.startswith("client-")


@dataclass
class Side:
    """One side's facts, free to be corrupted."""

    orders: list[Order] = field(default_factory=list)
    fills: list[Fill] = field(default_factory=list)
    cash_events: list[CashEvent] = field(default_factory=list)
    positions: dict[InstrumentId, Decimal] = field(default_factory=dict)
    balances: dict[str, Decimal] = field(default_factory=dict)
    leverages: dict[InstrumentId, Decimal] = field(default_factory=dict)

    def copy(self) -> Side:
        return Side(*(type(getattr(self, name))(getattr(self, name)) for name in self.__dataclass_fields__))


@dataclass
class Books:
    """Both sides of one account."""

    ledger: Side
    venue: Side
    unresolved: list[UnresolvedOrder] = field(default_factory=list)
    known_until: datetime = NOW
    read_at: datetime = NOW
    has_cash_feed: bool = True
    has_traded: bool = False
    fills_are_totals: bool = False
    corrections: dict[str, Correction] = field(default_factory=dict)
    inferred: dict[VenueOrderId, Decimal] = field(default_factory=dict)
    placed: frozenset[VenueOrderId] = frozenset()
    claimed: frozenset[str] = frozenset()

    def ledger_view(self) -> LedgerView:
        return LedgerView(
            account_id=ACCOUNT,
            orders=self.ledger.orders,
            fills=iter(self.ledger.fills),
            cash_events=iter(self.ledger.cash_events),
            positions={key: quantity for key, quantity in self.ledger.positions.items() if quantity},
            balances={key: amount for key, amount in self.ledger.balances.items() if amount},
            unresolved=self.unresolved,
            orders_known_until=self.known_until,
            fills_known_until=self.known_until,
            cash_events_known_until=self.known_until,
            expected_leverage=self.ledger.leverages,
            has_traded=self.has_traded,
            corrections=self.corrections,
            inferred=self.inferred,
            ownership=Ownership(is_ours=is_ours, placed=self.placed, claimed=self.claimed),
        )

    def venue_view(self) -> VenueView:
        return VenueView(
            account_id=ACCOUNT,
            orders=self.venue.orders,
            fills=iter(self.venue.fills),
            cash_events=iter(self.venue.cash_events),
            positions=[make_position(key, quantity) for key, quantity in self.venue.positions.items() if quantity],
            balances=[make_balance(key, amount) for key, amount in self.venue.balances.items()],
            leverages=[make_leverage(key, value) for key, value in self.venue.leverages.items()],
            window_start=START,
            read_at=self.read_at,
            has_cash_feed=self.has_cash_feed,
            fills_are_totals=self.fills_are_totals,
        )


def make_books(*, fills: int = 12, seed: int = 7) -> Books:
    """Both sides equal. Every order has one or two fills; fills have a cash event, some hours have funding."""
    side, random = Side(), Random(seed)
    side.positions = {PERPS[0]: D("1.5")}
    side.balances = {"USDT": D("100000"), "BTC": D("0.25")}
    step = timedelta(days=1, hours=20) / max(fills, 1)
    for number in range(fills):
        time = START + timedelta(minutes=5) + step * number
        _add_trade(side, number, time, random)
        if number % 4 == 3:
            _add_event(side, f"funding-{number}", CashEventKind.FUNDING, D("-0.015"), time, instrument=PERPS[0])
    side.orders.append(make_order("resting", PERPS[1], quantity=D(2), filled=D(0), status=OrderStatus.WORKING))
    side.leverages = {PERPS[0]: D(3)}
    return Books(ledger=side, venue=side.copy())


def _add_trade(side: Side, number: int, time: datetime, random: Random) -> None:
    instrument = SPOT if number % 5 == 4 else PERPS[number % 3]
    quantity = D(random.randint(1, 900)) / 1000
    order = make_order(f"order-{number}", instrument, quantity=quantity, filled=quantity, at=time)
    side.orders.append(order)
    fill = make_fill(f"trade-{number}", order, time=time)
    side.fills.append(fill)
    if instrument == SPOT:
        _add_event(side, f"cost-{number}", CashEventKind.TRADE, -quantity * fill.price, time, fill=fill)
        _add_event(side, f"base-{number}", CashEventKind.TRADE, quantity, time, fill=fill, currency="BTC")
    else:
        side.positions[instrument] = side.positions.get(instrument, D(0)) + fill.side.sign * quantity
        _add_event(side, f"fee-{number}", CashEventKind.FEE, -fill.fee, time, fill=fill)


def _add_event(
    side: Side,
    identity: str,
    kind: CashEventKind,
    amount: Decimal,
    time: datetime,
    *,
    fill: Fill | None = None,
    instrument: InstrumentId | None = None,
    currency: str = "USDT",
) -> None:
    side.cash_events.append(
        CashEvent(
            account_id=ACCOUNT,
            event_id=identity,
            kind=kind,
            currency=currency,
            amount=amount,
            time=time,
            instrument_id=fill.instrument_id if fill else instrument,
            trade_id=fill.trade_id if fill else None,
            venue_order_id=fill.venue_order_id if fill else None,
            venue_kind=kind.value.upper(),
        )
    )
    side.balances[currency] = side.balances.get(currency, D(0)) + amount


def make_order(
    identity: str,
    instrument: InstrumentId,
    *,
    quantity: Decimal,
    filled: Decimal,
    status: OrderStatus = OrderStatus.FILLED,
    at: datetime = START + timedelta(hours=1),
    **changes: Any,
) -> Order:
    fields: dict[str, Any] = {
        "account_id": ACCOUNT,
        "venue_order_id": VenueOrderId(identity),
        "client_order_id": ClientOrderId(f"client-{identity}"),
        "instrument_id": instrument,
        "side": OrderSide.BUY if len(identity) % 2 or instrument == SPOT else OrderSide.SELL,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.IOC,
        "quantity": quantity,
        "filled_quantity": filled,
        "average_price": D(100) if filled else None,
        "limit_price": D(101),
        "trigger_price": None,
        "status": status,
        "reduce_only": False,
        "created_at": at,
        "updated_at": at,
    }
    return Order(**{**fields, **changes})


def make_fill(identity: str, order: Order, *, time: datetime, quantity: Decimal | None = None) -> Fill:
    amount = order.quantity if quantity is None else quantity
    return Fill(
        account_id=ACCOUNT,
        trade_id=TradeId(identity),
        venue_order_id=order.venue_order_id,
        client_order_id=order.client_order_id,
        instrument_id=order.instrument_id,
        side=order.side,
        quantity=amount,
        price=D("100.25"),
        fee=amount * D("0.1"),
        fee_currency="USDT",
        liquidity=LiquiditySide.TAKER,
        time=time,
    )


def make_position(instrument: InstrumentId, quantity: Decimal) -> Position:
    return Position(
        account_id=ACCOUNT,
        instrument_id=instrument,
        side=PositionSide.LONG if quantity > 0 else PositionSide.SHORT,
        quantity=quantity,
        average_price=D(100),
        mark_price=D(100),
        unrealised_pnl=D(0),
        realised_pnl=None,
        leverage=D(3),
        mode=PositionMode.ONE_WAY,
        time=NOW,
    )


def make_balance(currency: str, total: Decimal) -> Balance:
    return Balance(ACCOUNT, currency, total, None, D(0), NOW)


def make_leverage(instrument: InstrumentId, value: Decimal) -> LeverageInfo:
    return LeverageInfo(instrument, value, value, MarginMode.CROSS, PositionMode.ONE_WAY)


def changed(items: list[Any], index: int, **values: Any) -> None:
    """Replace one fact by a changed copy."""
    items[index] = replace(items[index], **values)
