"""Cross margin of one settlement wallet, as pure functions of an account and the prices.

Initial margin of a position is |quantity| x mark / leverage. Orders need margin for the part that would enlarge the
position, the larger of the buying and the selling side. Spot orders lock what they would pay. Equity is the wallet less
locked amounts plus unrealised profit. Available is equity less initial margin.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.money import ZERO
from simulators.core.prices import PriceBoard
from simulators.core.types import (
    Instrument,
    InstrumentKey,
    MarketKind,
    Order,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    TimeInForce,
)

DEFAULT_LEVERAGE = Decimal(10)


@dataclass(frozen=True, slots=True)
class MarginState:
    """The margin of one settlement coin, in that coin."""

    wallet: Decimal
    locked: Decimal
    unrealised: Decimal
    position_margin: Decimal
    order_margin: Decimal
    maintenance: Decimal

    @property
    def equity(self) -> Decimal:
        return self.wallet + self.unrealised

    @property
    def available(self) -> Decimal:
        return self.equity - self.locked - self.position_margin - self.order_margin


class MarginBook:
    """Computes margin for accounts of one venue."""

    def __init__(
        self,
        instruments: dict[InstrumentKey, Instrument],
        board: PriceBoard,
        *,
        default_leverage: Decimal = DEFAULT_LEVERAGE,
    ) -> None:
        self._instruments = instruments
        self._board = board
        self._default_leverage = default_leverage

    def leverage(self, account: Account, instrument: Instrument) -> Decimal:
        """Return the leverage in force for a symbol."""
        return account.leverages.get(instrument.symbol, min(self._default_leverage, instrument.leverage_max))

    def spot_hold(self, order: Order) -> tuple[str, Decimal]:
        """Return the coin and the amount that an open spot order holds."""
        instrument = self._instruments[(MarketKind.SPOT, order.request.symbol)]
        if order.request.side is OrderSide.SELL:
            return instrument.base, order.remaining_qty
        if order.request.quote_qty is not None:
            return instrument.quote, order.request.quote_qty - order.filled_value
        return instrument.quote, order.remaining_qty * order.price

    def state(self, account: Account, coin: str, *, without: str = "", view_ms: int | None = None) -> MarginState:
        """Return the margin state of a settlement coin, leaving out the order `without`."""
        positions = [p for p in account.positions(view_ms) if self._linear(p.symbol).settle_wallet == coin]
        orders = [o for o in account.open_orders() if o.order_id != without]
        marks = {p.symbol: self._board.last(self._linear(p.symbol)) for p in positions}
        return MarginState(
            wallet=account.wallet(coin, view_ms),
            locked=sum((self._hold_of(o, coin) for o in orders), ZERO),
            unrealised=sum((p.unrealised(marks[p.symbol]) for p in positions), ZERO),
            position_margin=sum((self.position_margin(account, p) for p in positions), ZERO),
            order_margin=self._order_margin(account, coin, orders, positions),
            maintenance=sum(
                (p.qty * p.multiplier * marks[p.symbol] * self._linear(p.symbol).maintenance_rate for p in positions),
                ZERO,
            ),
        )

    def _linear(self, symbol: str) -> Instrument:
        return self._instruments[(MarketKind.LINEAR, symbol)]

    def _hold_of(self, order: Order, coin: str) -> Decimal:
        if order.request.kind is not MarketKind.SPOT or not reserves(order):
            return ZERO
        held_coin, amount = self.spot_hold(order)
        return amount if held_coin == coin else ZERO

    def position_margin(self, account: Account, position: Position) -> Decimal:
        """Return a position's initial margin at the present mark."""
        instrument = self._linear(position.symbol)
        return position.qty * instrument.multiplier * self._board.last(instrument) / self.leverage(account, instrument)

    def _order_margin(
        self, account: Account, coin: str, orders: Iterable[Order], positions: Iterable[Position]
    ) -> Decimal:
        grouped: dict[tuple[str, PositionSide], list[Order]] = defaultdict(list)
        for order in orders:
            request = order.request
            if request.kind is not MarketKind.LINEAR or request.reduce_only:
                continue
            if not reserves(order) or self._linear(request.symbol).settle_wallet != coin:
                continue
            grouped[(request.symbol, request.position_side)].append(order)
        held = {(p.symbol, p.position_side): p.signed_qty for p in positions}
        total = ZERO
        for key, group in grouped.items():
            need = max(_enlarging(group, side, held.get(key, ZERO)) for side in OrderSide)
            instrument = self._linear(key[0])
            total += need * instrument.multiplier / self.leverage(account, instrument)
        return total

    def order_need(self, account: Account, coin: str, orders: list[Order], positions: list[Position]) -> Decimal:
        """Return the order margin of a hypothetical set of open orders and positions."""
        return self._order_margin(account, coin, orders, positions)


def reserves(order: Order) -> bool:
    """Tell whether an open order holds money: one that may rest does; stops and orders of a moment do not."""
    waits = order.request.trigger_price is not None and not order.triggered
    rests = order.request.time_in_force in (TimeInForce.GTC, TimeInForce.POST_ONLY)
    return rests and not waits and order.request.order_type is OrderType.LIMIT


def _enlarging(orders: list[Order], side: OrderSide, held: Decimal) -> Decimal:
    """Return the value by which the orders of one side could enlarge a position of `held` (signed)."""
    same = [order for order in orders if order.request.side is side]
    qty = sum((order.remaining_qty for order in same), ZERO)
    if qty == 0:
        return ZERO
    value = sum((order.remaining_qty * order.price for order in same), ZERO)
    extra = max(abs(held + side.sign * qty) - abs(held), ZERO)
    return value * extra / qty


def position_side_for(mode: PositionMode, side: OrderSide, reduce_only: bool) -> PositionSide:
    """Return the position that an order of a human belongs to under a mode."""
    if mode is PositionMode.ONE_WAY:
        return PositionSide.BOTH
    opens_long = (side is OrderSide.BUY) != reduce_only
    return PositionSide.LONG if opens_long else PositionSide.SHORT
