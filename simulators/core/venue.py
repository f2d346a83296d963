"""The engine of one venue: accounts, market and orders behind one object that a protocol front translates.

Nothing here runs by itself: `settle` brings the state up to the clock and is called before anything is looked at, so a
run is a function of its seed and of the calls made.
"""

import heapq
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.clock import Clock
from simulators.core.margin import DEFAULT_LEVERAGE, MarginBook
from simulators.core.matching import CapRule, Matching
from simulators.core.money import CASH_QUANTUM, ZERO, is_multiple
from simulators.core.prices import PriceBoard
from simulators.core.rules import check_price, check_qty, check_request
from simulators.core.settlement import Ids, Settlement, flat
from simulators.core.types import (
    EntryKind,
    IdScope,
    Instrument,
    InstrumentKey,
    MarketKind,
    Order,
    OrderRequest,
    OrderSide,
    OrderStatus,
    OrderType,
    Origin,
    PositionMode,
    PositionSide,
    Reason,
    Refusal,
    TimeInForce,
)


@dataclass(frozen=True, slots=True)
class VenueRules:
    """What differs between venues and is no matter of wire format."""

    id_scope: Mapping[MarketKind, IdScope]
    spot_fee_in_received_coin: bool = True
    open_orders_max: int = 500
    conditional_orders_max: int = 10
    price_band: Decimal | None = None
    cap: CapRule = field(default_factory=CapRule)
    liquidation: bool = True
    default_leverage: Decimal = DEFAULT_LEVERAGE
    cash_quantum: Decimal = CASH_QUANTUM


@dataclass(frozen=True, slots=True)
class Lags:
    """How late the engine acts and how stale its reads are, in milliseconds of engine time."""

    apply_ms: int = 0
    orders_ms: int = 0
    executions_ms: int = 0
    positions_ms: int = 0
    wallet_ms: int = 0
    entries_ms: int = 0


class Venue:
    """One venue. Not thread-safe: its server serialises all calls with one lock."""

    def __init__(
        self,
        *,
        clock: Clock,
        instruments: Iterable[Instrument],
        board: PriceBoard,
        rules: VenueRules,
        ids: Ids,
        seed: int,
        lags: Lags | None = None,
        funding_rates: Mapping[str, Decimal] | None = None,
        funding_rate: Decimal = ZERO,
    ) -> None:
        self.clock = clock
        self.instruments: dict[InstrumentKey, Instrument] = {i.key: i for i in instruments}
        self.board = board
        self.rules = rules
        self.lags = lags or Lags()
        self.rng = random.Random(f"{seed}:ids")  # noqa: S311 - reproducible identifiers, not secrets
        self.ids = ids
        self.settlement = Settlement(
            ids=ids,
            rng=self.rng,
            spot_fee_in_received_coin=rules.spot_fee_in_received_coin,
            quantum=rules.cash_quantum,
        )
        self.margin = MarginBook(self.instruments, board, default_leverage=rules.default_leverage)
        self.matching = Matching(
            instruments=self.instruments,
            board=board,
            settlement=self.settlement,
            margin=self.margin,
            cap=rules.cap,
            now_ms=self.now_ms,
        )
        self.accounts: dict[str, Account] = {}
        self.funding_rate = funding_rate
        self.funding_rates: dict[str, Decimal] = dict(funding_rates or {})
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._event_number = 0
        self._stamp_ms: int | None = None
        self.on_moved: list[Callable[[set[str]], None]] = []

    # time
    def now_ms(self) -> int:
        """Return the stamp of what happens now: the event's own time while an event runs."""
        return self._stamp_ms if self._stamp_ms is not None else self.clock.now_ms()

    def later(self, delay_ms: int, action: Callable[[], object]) -> None:
        """Run `action` once the engine's clock is `delay_ms` further."""
        self._event_number += 1
        heapq.heappush(self._events, (self.now_ms() + delay_ms, self._event_number, action))

    def settle(self) -> None:
        """Bring everything that is due up to the present."""
        due = self.clock.market_due_ms()
        if due > self.clock.market_ms():
            self._move_market(due)
        self._run_events(self.clock.now_ms())

    def _run_events(self, until_ms: int) -> None:
        while self._events and self._events[0][0] <= until_ms:
            at_ms, _, action = heapq.heappop(self._events)
            self._stamp_ms = at_ms
            try:
                action()
            finally:
                self._stamp_ms = None

    def advance(self, to_ms: int) -> None:
        """Move the market to a later moment through every price change, funding and due event in between."""
        self.settle()
        self._move_market(to_ms)
        self.settle()

    def _move_market(self, to_ms: int) -> None:
        while True:
            price_ms = self.board.next_ms()
            funding_ms = self._next_funding_ms()
            at_ms = min(to_ms, price_ms if price_ms is not None else to_ms, funding_ms)
            self.clock.move_market(at_ms)
            self._run_events(self.clock.now_ms())
            if price_ms is not None and price_ms <= at_ms:
                self._on_moved(self.board.step(price_ms))
            if funding_ms <= at_ms:
                self._fund(funding_ms)
            if at_ms >= to_ms:
                return

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Move one symbol's price by hand and let orders react."""
        self.settle()
        self.board.set_price(symbol, price)
        self._on_moved({symbol})

    def _on_moved(self, moved: set[str]) -> None:
        for listener in self.on_moved:
            listener(moved)
        for account in self.accounts.values():
            if account.open_ids:
                self.matching.on_price(account, moved)
            if self.rules.liquidation:
                self._liquidate(account)

    # funding and liquidation
    def _next_funding_ms(self) -> int:
        intervals = {i.funding_interval_s * 1000 for i in self.instruments.values() if i.kind is MarketKind.LINEAR}
        now = self.clock.market_ms()
        return min(((now // step + 1) * step for step in intervals), default=now + 2**53)

    def next_funding_ms(self, instrument: Instrument) -> int:
        """Return the market time of an instrument's next funding."""
        step = instrument.funding_interval_s * 1000
        return (self.clock.market_ms() // step + 1) * step

    def rate_of(self, symbol: str) -> Decimal:
        """Return the funding rate in force for a symbol."""
        return self.funding_rates.get(symbol, self.funding_rate)

    def _fund(self, at_ms: int) -> None:
        for account in self.accounts.values():
            for position in account.positions():
                instrument = self.instruments[(MarketKind.LINEAR, position.symbol)]
                rate = self.rate_of(position.symbol)
                if rate and at_ms % (instrument.funding_interval_s * 1000) == 0:
                    mark = self.board.last(instrument)
                    self.settlement.fund(account, position, instrument, rate=rate, mark=mark, at_ms=self.now_ms())

    def _liquidate(self, account: Account) -> None:
        coins = {self.instruments[(MarketKind.LINEAR, p.symbol)].settle_wallet for p in account.positions()}
        for coin in sorted(coins):
            if not self.matching.liquidate_if_due(account, coin):
                continue
            for position in account.positions():
                instrument = self.instruments[(MarketKind.LINEAR, position.symbol)]
                if instrument.settle_wallet == coin and position.side is not None:
                    self.place(
                        account,
                        OrderRequest(
                            kind=MarketKind.LINEAR,
                            symbol=position.symbol,
                            side=position.side.opposite,
                            order_type=OrderType.MARKET,
                            qty=position.qty,
                            time_in_force=TimeInForce.IOC,
                            reduce_only=True,
                            position_side=position.position_side,
                            origin=Origin.VENUE,
                        ),
                    )

    # orders
    def instrument(self, kind: MarketKind, symbol: str) -> Instrument:
        """Return a listed instrument or refuse."""
        found = self.instruments.get((kind, symbol))
        if found is None:
            raise Refusal(Reason.UNKNOWN_SYMBOL, symbol=symbol, kind=kind.value)
        return found

    def place(
        self, account: Account, request: OrderRequest, *, fill_ratio: Decimal | None = None, hold: bool = False
    ) -> Order:
        """Acknowledge an order or refuse it; the engine applies it now, after `lags.apply_ms`, or when released."""
        instrument = self.instrument(request.kind, request.symbol)
        self._check_client_id(account, request)
        request = self._closing_all(account, request, instrument)
        if request.origin is not Origin.VENUE:
            quote = self.board.quote(instrument)
            check_request(request, instrument, quote, mode=account.mode(instrument), band=self.rules.price_band)
            self._check_counts(account, request)
        self._check_reduce_only(account, request)
        now = self.now_ms()
        order = self._new_order(account, request, instrument, now, fill_ratio)
        if request.trigger_price is None and request.origin is not Origin.VENUE:
            self.matching.check_money(account, order)
        account.put_order(order, now)
        if hold:
            return order
        if self.lags.apply_ms and request.origin is Origin.API:
            self.later(self.lags.apply_ms, lambda: self.release(account, order.order_id))
            return order
        return self.matching.apply(account, order, paid=True)

    def _new_order(
        self,
        account: Account,
        request: OrderRequest,
        instrument: Instrument,
        now: int,
        fill_ratio: Decimal | None,
    ) -> Order:
        qty = request.qty
        if request.reduce_only and request.trigger_price is None:
            qty = min(qty, self.matching.closable(account, request))
        if request.order_type is OrderType.MARKET:
            price = self.matching.cap_price(request, instrument)
            request = replace(request, time_in_force=TimeInForce.IOC)
        else:
            assert request.price is not None
            price = request.price
        order_id = self.ids.order_id(request.kind, now, self.rng)
        if not request.client_id and request.origin is Origin.API:
            request = replace(request, client_id=self.ids.client_id(request.kind, now, self.rng))
        return Order(
            order_id=order_id,
            account=account.name,
            request=request,
            qty=qty,
            price=price,
            status=OrderStatus.PENDING,
            created_ms=now,
            updated_ms=now,
            sequence=self.settlement.next_sequence(),
            last_on_created=self.board.last(instrument),
            fill_ratio=fill_ratio,
        )

    def release(self, account: Account, order_id: str) -> None:
        """Let the engine apply an acknowledged order."""
        order = account.orders[order_id].now
        if order.status is OrderStatus.PENDING:
            self.matching.apply(account, order)

    def _closing_all(self, account: Account, request: OrderRequest, instrument: Instrument) -> OrderRequest:
        """Give a quantity to a closing order that asks for all of the position."""
        if not (request.qty == 0 and request.reduce_only and request.close_on_trigger):
            return request
        closable = self.matching.closable(account, request)
        if closable == 0:
            raise Refusal(Reason.REDUCE_ONLY_ZERO)
        largest = instrument.qty_max_market if request.order_type is OrderType.MARKET else instrument.qty_max
        return replace(request, qty=min(closable, largest))

    def _check_client_id(self, account: Account, request: OrderRequest) -> None:
        scope = self.rules.id_scope.get(request.kind, IdScope.NONE)
        if not request.client_id or scope is IdScope.NONE:
            return
        known = account.orders_by_client(request.kind, request.client_id)
        if any(scope is IdScope.FOREVER or order.is_open for order in known):
            raise Refusal(Reason.DUPLICATE_CLIENT_ID, client_id=request.client_id)

    def _check_counts(self, account: Account, request: OrderRequest) -> None:
        same = [
            order
            for order in account.open_orders()
            if order.request.kind is request.kind
            and (request.kind is MarketKind.SPOT or order.request.symbol == request.symbol)
        ]
        waiting = sum(order.status is OrderStatus.UNTRIGGERED for order in same)
        if request.trigger_price is not None and waiting >= self.rules.conditional_orders_max:
            raise Refusal(Reason.TOO_MANY_CONDITIONAL_ORDERS, maximum=self.rules.conditional_orders_max)
        if len(same) - waiting >= self.rules.open_orders_max:
            raise Refusal(Reason.TOO_MANY_OPEN_ORDERS, maximum=self.rules.open_orders_max)

    def _check_reduce_only(self, account: Account, request: OrderRequest) -> None:
        if not request.reduce_only or request.kind is not MarketKind.LINEAR or request.trigger_price is not None:
            return
        position = account.position(request.symbol, request.position_side)
        if position.qty == 0:
            raise Refusal(Reason.REDUCE_ONLY_ZERO)
        if position.side is request.side:
            raise Refusal(Reason.REDUCE_ONLY_SAME_SIDE)

    @staticmethod
    def _open_order(account: Account, order_id: str) -> Order:
        order = account.order(order_id)
        if order is None or not order.is_open:
            raise Refusal(Reason.ORDER_NOT_FOUND, order=order)
        return order

    def cancel(self, account: Account, order_id: str, *, reason: Reason = Reason.CANCELLED_BY_USER) -> Order:
        """Acknowledge a cancel; the engine applies it now or after `lags.apply_ms`."""
        order = self._open_order(account, order_id)
        if self.lags.apply_ms:
            self.later(self.lags.apply_ms, lambda: self.cancel_now(account, order_id, reason))
            return order
        return self.cancel_now(account, order_id, reason)

    def cancel_now(self, account: Account, order_id: str, reason: Reason) -> Order:
        """End an order at once, if it is open."""
        order = account.orders[order_id].now
        if not order.is_open:
            return order
        waiting = order.status is OrderStatus.UNTRIGGERED
        status = OrderStatus.DEACTIVATED if waiting else OrderStatus.CANCELLED
        return self.matching.end(account, order, status, reason)

    def amend(
        self,
        account: Account,
        order_id: str,
        *,
        qty: Decimal | None = None,
        price: Decimal | None = None,
        trigger_price: Decimal | None = None,
    ) -> Order:
        """Change an open order's quantity, price or trigger; an order that now crosses trades."""
        order = self._open_order(account, order_id)
        instrument = self.instrument(order.request.kind, order.request.symbol)
        request = replace(
            order.request,
            qty=qty if qty is not None else order.qty,
            price=price if price is not None else order.request.price,
            trigger_price=trigger_price if trigger_price is not None else order.request.trigger_price,
        )
        new_price = request.price if request.order_type is OrderType.LIMIT and request.price else order.price
        after = replace(order, request=request, qty=request.qty, price=new_price)
        unchanged = (after.qty, after.price) == (order.qty, order.price)
        if unchanged and request.trigger_price == order.request.trigger_price:
            raise Refusal(Reason.ORDER_NOT_MODIFIED)
        check_qty(request, instrument)
        if request.order_type is OrderType.LIMIT:
            check_price(new_price, instrument)
        if request.qty <= order.filled_qty:
            raise Refusal(Reason.AMEND_BELOW_FILLED, qty=request.qty, filled=order.filled_qty)
        if order.status is not OrderStatus.UNTRIGGERED:
            self.matching.check_money(account, after)
        account.put_order(replace(after, updated_ms=self.now_ms()), self.now_ms())
        if after.status in {OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED}:
            return self.matching.amended(account, after)
        return after

    def to_market(self, account: Account, order_id: str, *, qty: Decimal | None = None) -> Order:
        """Turn an open order into a market order, which trades at once or, before its release, when it is released."""
        order = self._open_order(account, order_id)
        instrument = self.instrument(order.request.kind, order.request.symbol)
        request = replace(
            order.request,
            qty=qty if qty is not None else order.qty,
            order_type=OrderType.MARKET,
            price=None,
            time_in_force=TimeInForce.IOC,
            trigger_price=None,
            trigger_direction=None,
        )
        check_qty(request, instrument)
        if request.qty <= order.filled_qty:
            raise Refusal(Reason.AMEND_BELOW_FILLED, qty=request.qty, filled=order.filled_qty)
        after = replace(order, request=request, qty=request.qty, price=self.matching.cap_price(request, instrument))
        self.matching.check_money(account, after)
        waits = order.status is OrderStatus.PENDING
        after = replace(after, status=order.status if waits or order.filled_qty else OrderStatus.OPEN)
        account.put_order(replace(after, updated_ms=self.now_ms()), self.now_ms())
        return after if waits else self.matching.amended(account, after)

    # settings
    def set_leverage(self, account: Account, instrument: Instrument, leverage: Decimal) -> None:
        """Set a symbol's leverage, both sides alike."""
        outside = not instrument.leverage_min <= leverage <= instrument.leverage_max
        if outside or not is_multiple(leverage, instrument.leverage_step):
            raise Refusal(Reason.LEVERAGE_INVALID, leverage=leverage, maximum=instrument.leverage_max)
        before = self.margin.leverage(account, instrument)
        if leverage == before:
            raise Refusal(Reason.LEVERAGE_NOT_MODIFIED)
        account.leverages[instrument.symbol] = leverage
        if leverage < before and self.margin.state(account, instrument.settle_wallet).available < 0:
            account.leverages[instrument.symbol] = before
            raise Refusal(Reason.LEVERAGE_MARGIN, leverage=leverage)

    def set_mode(
        self, account: Account, mode: PositionMode, *, symbol: str | None = None, coin: str | None = None
    ) -> None:
        """Set the position mode of a symbol or of all symbols of a settlement coin."""
        if (symbol is None) == (coin is None):
            raise ValueError("give either symbol or coin")
        linear = [i for i in self.instruments.values() if i.kind is MarketKind.LINEAR]
        touched = [i for i in linear if i.symbol == symbol or i.settle == coin]
        if not touched:
            raise Refusal(Reason.UNKNOWN_SYMBOL, symbol=symbol or coin)
        if all(account.mode(i) is mode for i in touched):
            raise Refusal(Reason.MODE_NOT_MODIFIED)
        changed = {i.symbol for i in touched if account.mode(i) is not mode}
        if any(not flat(account, name) for name in changed):
            raise Refusal(Reason.MODE_HAS_POSITION)
        if any(o.request.symbol in changed and o.request.kind is MarketKind.LINEAR for o in account.open_orders()):
            raise Refusal(Reason.MODE_HAS_ORDERS)
        if symbol is not None:
            account.modes_by_symbol[symbol] = mode
        else:
            assert coin is not None
            account.modes_by_coin[coin] = mode

    # cash
    def deposit(self, account: Account, coin: str, amount: Decimal, *, kind: EntryKind = EntryKind.DEPOSIT) -> None:
        """Add to a wallet (a negative amount takes away) under the given kind of entry."""
        if amount < 0 and account.wallet(coin) + amount < 0:
            raise Refusal(Reason.INSUFFICIENT_BALANCE, coin=coin, need=-amount, free=account.wallet(coin))
        self.settlement.post(account, kind, coin, at_ms=self.now_ms(), cash_flow=amount, qty=amount)

    def sides(self, account: Account, instrument: Instrument) -> tuple[PositionSide, ...]:
        """Return the positions that an instrument has in the account's mode."""
        if account.mode(instrument) is PositionMode.HEDGE:
            return (PositionSide.LONG, PositionSide.SHORT)
        return (PositionSide.BOTH,)

    def opposite_quote(self, instrument: Instrument, side: OrderSide) -> Decimal:
        """Return the price that an order of `side` meets first."""
        quote = self.board.quote(instrument)
        return quote.ask if side is OrderSide.BUY else quote.bid
