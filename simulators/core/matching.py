"""Brings orders to life against the book: activation, immediate fills, resting fills, triggers, liquidation.

Accounts trade against the venue's liquidity, not against each other. A taker pays the levels it meets, a maker gets its
own limit price when the opposite quote reaches it. No fill is ever beyond an order's limit price.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.margin import MarginBook, reserves
from simulators.core.money import BASIS_POINT, ONE, ZERO, ceil_to, fee_of, floor_to
from simulators.core.prices import PriceBoard, plan_fills
from simulators.core.settlement import Settlement
from simulators.core.types import (
    Instrument,
    InstrumentKey,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    Reason,
    Refusal,
    TimeInForce,
    TriggerDirection,
)


@dataclass(frozen=True, slots=True)
class CapRule:
    """How far from the best price a market order may reach, in basis points."""

    linear_bps: Decimal = Decimal(500)
    spot_bps: Decimal = Decimal(500)


class Matching:
    """Applies orders of all accounts to the board."""

    def __init__(
        self,
        *,
        instruments: dict[InstrumentKey, Instrument],
        board: PriceBoard,
        settlement: Settlement,
        margin: MarginBook,
        cap: CapRule,
        now_ms: Callable[[], int],
    ) -> None:
        self._instruments = instruments
        self._board = board
        self._settlement = settlement
        self._margin = margin
        self._cap = cap
        self._now_ms = now_ms
        self.trades_now: Callable[[Order], bool] = lambda order: True

    # prices
    def cap_price(self, request: OrderRequest, instrument: Instrument) -> Decimal:
        """Return the protective limit of a market order, on the tick grid."""
        quote = self._board.quote(instrument)
        buying = request.side is OrderSide.BUY
        best = quote.ask if buying else quote.bid
        if request.cap_ticks is not None:
            raw = best + request.side.sign * request.cap_ticks * instrument.tick
        else:
            bps = self._cap.linear_bps if instrument.kind is MarketKind.LINEAR else self._cap.spot_bps
            ratio = request.cap_ratio if request.cap_ratio is not None else bps * BASIS_POINT
            raw = best * (ONE + request.side.sign * ratio)
        rounded = floor_to(raw, instrument.tick) if buying else ceil_to(raw, instrument.tick)
        return max(rounded, instrument.tick)

    def would_take(self, order: Order) -> bool:
        """Tell whether an order at its price meets the opposite quote."""
        quote = self._board.quote(self._instrument(order))
        best = quote.ask if order.request.side is OrderSide.BUY else quote.bid
        return (order.price - best) * order.request.side.sign >= 0

    def _instrument(self, order: Order) -> Instrument:
        return self._instruments[(order.request.kind, order.request.symbol)]

    # closing orders
    def closable(self, account: Account, request: OrderRequest) -> Decimal:
        """Return how much a reduce-only order could close now."""
        position = account.position(request.symbol, request.position_side)
        return position.qty if position.side is request.side.opposite else ZERO

    # money
    def plan(self, order: Order) -> list[tuple[Decimal, Decimal]]:
        """Return what an order would take from the book right now."""
        if not self.would_take(order):
            return []
        instrument = self._instrument(order)
        request = order.request
        by_value = request.quote_qty is not None
        return plan_fills(
            self._board.levels(instrument, request.side),
            side=request.side,
            limit=order.price,
            qty=None if by_value else order.remaining_qty,
            value=request.quote_qty - order.filled_value if request.quote_qty is not None else None,
            step=instrument.step,
        )

    def check_money(self, account: Account, order: Order) -> None:
        """Refuse an order that the account cannot pay for; orders that only reduce need no money."""
        if order.request.kind is MarketKind.SPOT:
            self._check_spot(account, order)
        elif not order.request.reduce_only:
            self._check_linear(account, order)

    def _check_spot(self, account: Account, order: Order) -> None:
        coin, need = self._margin.spot_hold(order)
        state = self._margin.state(account, coin, without=order.order_id)
        free = state.wallet - state.locked
        settles = any(i.settle_wallet == coin for i in self._instruments.values() if i.kind is MarketKind.LINEAR)
        if settles:
            free = min(free, state.available)
        if order.request.order_type is OrderType.MARKET:
            need = self._market_need(order)
        if need > free:
            raise Refusal(Reason.INSUFFICIENT_BALANCE, coin=coin, need=need, free=free)

    def _market_need(self, order: Order) -> Decimal:
        """Return what a spot market order would give away: base coin sold, or quote coin paid."""
        fills = self.plan(order)
        if order.request.side is OrderSide.SELL:
            return sum((qty for _, qty in fills), ZERO)
        if order.request.quote_qty is not None:
            return order.request.quote_qty
        return sum((price * qty for price, qty in fills), ZERO)

    def _check_linear(self, account: Account, order: Order) -> None:
        instrument = self._instrument(order)
        coin = instrument.settle_wallet
        before = self._margin.state(account, coin, without=order.order_id)
        mark = self._board.last(instrument)
        sign = order.request.side.sign
        fills = self.plan(order)
        taken = sum((qty for _, qty in fills), ZERO)
        unit = instrument.multiplier
        loss = sum(((price - mark) * sign * qty * unit for price, qty in fills), ZERO)
        fees = sum((fee_of(price * qty * unit, instrument.taker_rate) for price, qty in fills), ZERO)
        fees += instrument.fee_unit * taken + (instrument.fee_flat if taken else ZERO)
        position = account.position(instrument.symbol, order.request.position_side)
        after = abs(position.signed_qty + sign * taken)
        leverage = self._margin.leverage(account, instrument)
        positions = [p for p in account.positions() if p is not position]
        if after:
            side = OrderSide.BUY if position.signed_qty + sign * taken > 0 else OrderSide.SELL
            positions.append(replace(position, qty=after, side=side, cost=after * mark * unit, multiplier=unit))
        orders = [o for o in account.open_orders() if o.order_id != order.order_id]
        if reserves(order):
            orders.append(replace(order, qty=order.qty - taken))
        order_need = self._margin.order_need(account, coin, orders, positions)
        position_need = before.position_margin + (after - position.qty) * mark * unit / leverage
        need_after = order_need + position_need
        need_before = before.order_margin + before.position_margin
        free = before.equity - before.locked - loss - fees - need_after
        if free < 0 and need_after > need_before:
            raise Refusal(Reason.INSUFFICIENT_BALANCE, coin=coin, need=need_after - need_before, free=free)

    # life
    def apply(self, account: Account, order: Order, *, paid: bool = False) -> Order:
        """Bring an acknowledged order into the engine; `paid` says that its money was checked this very moment."""
        if order.request.trigger_price is not None and not order.triggered:
            return self._store(account, replace(order, status=OrderStatus.UNTRIGGERED))
        return self._activate(account, order, paid=paid)

    def _activate(self, account: Account, order: Order, *, paid: bool = False) -> Order:
        request = order.request
        if request.reduce_only and request.kind is MarketKind.LINEAR:
            closable = self.closable(account, request)
            if closable == 0:
                return self.end(account, order, self._refused(order), Reason.REDUCE_ONLY_ZERO)
            order = replace(order, qty=min(order.qty, closable))
        if order.request.order_type is OrderType.MARKET and order.triggered:
            order = replace(order, price=self.cap_price(request, self._instrument(order)))
        try:
            if not paid:
                self.check_money(account, order)
        except Refusal as refusal:
            return self.end(account, order, self._refused(order), refusal.reason)
        if request.time_in_force is TimeInForce.POST_ONLY and self.would_take(order):
            return self.end(account, order, OrderStatus.CANCELLED, Reason.POST_ONLY_WOULD_TAKE)
        fills = self.plan(order)
        if request.time_in_force is TimeInForce.FOK and sum((q for _, q in fills), ZERO) < order.qty:
            return self.end(account, order, OrderStatus.CANCELLED, Reason.NOT_FULLY_FILLABLE)
        order = self._store(account, replace(order, status=OrderStatus.OPEN))
        order = self._take(account, order, fills)
        return self._rest(account, order)

    @staticmethod
    def _refused(order: Order) -> OrderStatus:
        return OrderStatus.CANCELLED if order.triggered else OrderStatus.REJECTED

    def _take(self, account: Account, order: Order, fills: list[tuple[Decimal, Decimal]]) -> Order:
        instrument = self._instrument(order)
        levels = {level.price: level for level in self._board.levels(instrument, order.request.side)}
        allowed = None
        if order.fill_ratio is not None:
            planned = sum((qty for _, qty in fills), ZERO)
            allowed = floor_to(planned * order.fill_ratio, instrument.step)
        for price, qty in fills:
            take = qty if allowed is None else min(qty, allowed)
            if take <= 0:
                break
            allowed = None if allowed is None else allowed - take
            level = levels[price]
            level.left = None if level.left is None else level.left - take
            order = self._fill(account, order, price=price, qty=take, is_maker=False)
        if fills:
            self._after_trade(account, order)
        return order

    def _fill(self, account: Account, order: Order, *, price: Decimal, qty: Decimal, is_maker: bool) -> Order:
        instrument = self._instrument(order)
        return self._settlement.fill(
            account,
            order,
            instrument,
            price=price,
            qty=qty,
            is_maker=is_maker,
            mark=self._board.last(instrument),
            leverage=self._margin.leverage(account, instrument),
            at_ms=self._now_ms(),
        )

    def _rest(self, account: Account, order: Order) -> Order:
        request = order.request
        if not order.is_open:
            return order
        if request.quote_qty is not None:
            instrument = self._instrument(order)
            left = request.quote_qty - order.filled_value
            spent = order.filled_qty > 0 and left < self._board.quote(instrument).ask * instrument.step
            if spent:
                return self.end(account, order, OrderStatus.FILLED, Reason.NONE)
        if request.order_type is OrderType.MARKET or request.time_in_force is TimeInForce.IOC:
            return self.end(account, order, OrderStatus.CANCELLED, Reason.NO_LIQUIDITY)
        return order

    def end(self, account: Account, order: Order, status: OrderStatus, reason: Reason) -> Order:
        """Move an order to a terminal state."""
        assert not status.is_open, f"an order ends in a terminal state, was {status}"
        return self._store(account, replace(order, status=status, reason=reason))

    def _store(self, account: Account, order: Order) -> Order:
        now = self._now_ms()
        order = replace(order, updated_ms=now)
        account.put_order(order, now)
        return order

    # resting orders
    def on_price(self, account: Account, moved: set[str]) -> None:
        """Trigger and fill an account's orders after prices of `moved` symbols changed."""
        for order in account.open_orders():
            if order.request.symbol not in moved or not self.trades_now(order):
                continue
            order = account.orders[order.order_id].now
            if order.status is OrderStatus.UNTRIGGERED and self._triggers(order):
                self._activate(account, replace(order, triggered=True, triggered_ms=self._now_ms()))
            elif order.status in _LIVE:
                self.match_resting(account, order)

    def _triggers(self, order: Order) -> bool:
        trigger = order.request.trigger_price
        assert trigger is not None
        last = self._board.last(self._instrument(order))
        rising = order.request.trigger_direction is TriggerDirection.RISE
        return last >= trigger if rising else last <= trigger

    def match_resting(self, account: Account, order: Order) -> Order:
        """Fill a resting order at its own price as far as the opposite side reaches it."""
        if not self.would_take(order):
            return order
        instrument = self._instrument(order)
        want = order.remaining_qty
        if order.request.reduce_only:
            want = min(want, self.closable(account, order.request))
        for level in self._board.levels(instrument, order.request.side):
            if (level.price - order.price) * order.request.side.sign > 0 or want <= 0:
                break
            take = want if level.left is None else min(want, level.left)
            if take <= 0:
                continue
            level.left = None if level.left is None else level.left - take
            want -= take
            order = self._fill(account, order, price=order.price, qty=take, is_maker=True)
        self._after_trade(account, order)
        return account.orders[order.order_id].now

    def amended(self, account: Account, order: Order) -> Order:
        """Let an amended order trade at once if it now crosses."""
        order = self._take(account, order, self.plan(order))
        return self._rest(account, order)

    def _after_trade(self, account: Account, order: Order) -> None:
        """Cancel reduce-only orders that have nothing left to close."""
        request = order.request
        if request.kind is not MarketKind.LINEAR:
            return
        for other in account.open_orders():
            same = other.request.symbol == request.symbol and other.request.kind is MarketKind.LINEAR
            if not same or not other.request.reduce_only or other.status not in _LIVE:
                continue
            if self.closable(account, other.request) == 0:
                self.end(account, other, OrderStatus.CANCELLED, Reason.REDUCE_ONLY_ZERO)

    # liquidation
    def liquidate_if_due(self, account: Account, coin: str) -> bool:
        """Cancel all and close all positions of a coin once equity is below maintenance margin."""
        positions = [p for p in account.positions() if self._linear(p.symbol).settle_wallet == coin]
        if not positions:
            return False
        state = self._margin.state(account, coin)
        if state.equity - state.locked >= state.maintenance:
            return False
        for order in account.open_orders():
            if order.request.kind is MarketKind.LINEAR:
                self.end(account, order, OrderStatus.CANCELLED, Reason.CANCELLED_BY_LIQUIDATION)
        return True

    def _linear(self, symbol: str) -> Instrument:
        return self._instruments[(MarketKind.LINEAR, symbol)]


_LIVE = frozenset({OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED})
