"""What a fill, a funding moment or a transfer does to wallets, positions and the records of them.

Invariants: every wallet change is one entry, so the sum of `change` is the wallet; every position change is one
execution, so the signed sum of trades is the position.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Protocol

from simulators.core.accounts import Account
from simulators.core.money import CASH_QUANTUM, ZERO, cash, fee_of
from simulators.core.types import (
    ClosedTrade,
    Entry,
    EntryKind,
    Execution,
    ExecutionKind,
    Instrument,
    MarketKind,
    Order,
    OrderSide,
    OrderStatus,
    Origin,
    Position,
    PositionSide,
)


class Ids(Protocol):
    """Makes identifiers of the venue's own form, reproducible from the generator it is given."""

    def order_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str: ...
    def client_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str: ...
    def execution_id(self, kind: MarketKind, now_ms: int, rng: random.Random) -> str: ...
    def entry_id(self, symbol: str, now_ms: int, rng: random.Random) -> str: ...


@dataclass(frozen=True, slots=True)
class PositionChange:
    """The effect of one trade on one position."""

    position: Position
    realised: Decimal
    closed_qty: Decimal
    entry_value: Decimal
    open_fee: Decimal


def trade_position(
    before: Position,
    *,
    side: OrderSide,
    qty: Decimal,
    price: Decimal,
    fee: Decimal,
    at_ms: int,
    sequence: int,
    quantum: Decimal = CASH_QUANTUM,
) -> PositionChange:
    """Return the position after a trade; the part against it realises profit, the rest opens."""
    closing = min(qty, before.qty) if before.side is side.opposite else ZERO
    opening = qty - closing
    realised = entry_value = open_fee = ZERO
    left = before
    if closing:
        assert before.side is not None
        share = closing / before.qty
        entry_value = before.cost if closing == before.qty else cash(before.cost * share, quantum)
        open_fee = before.entry_fees if closing == before.qty else cash(before.entry_fees * share, quantum)
        realised = cash(before.side.sign * (closing * price * before.multiplier - entry_value), quantum)
        left = replace(
            before,
            qty=before.qty - closing,
            cost=before.cost - entry_value,
            entry_fees=before.entry_fees - open_fee,
        )
    booked = realised - fee
    opened = before.side is None or (opening > 0 and left.qty == 0)
    after = replace(
        left,
        realised=before.realised + booked,
        realised_open=booked if opened else before.realised_open + booked,
        updated_ms=at_ms,
        sequence=sequence,
        opened_ms=at_ms if opened else before.opened_ms,
    )
    if opening:
        after = replace(
            after,
            side=side,
            qty=left.qty + opening,
            cost=left.cost + opening * price * before.multiplier,
            entry_fees=left.entry_fees + cash(fee * opening / qty, quantum),
        )
    elif after.qty == 0:
        after = replace(after, side=None, cost=ZERO, entry_fees=ZERO)
    return PositionChange(after, realised, closing, entry_value, open_fee)


FeePaid = Callable[[Account, Instrument, str, Decimal], tuple[str, Decimal]]
"""Says in which coin, and how much of it, an account pays a fee that is due in a coin."""


class Settlement:
    """Books trades, funding and transfers into accounts."""

    def __init__(
        self, *, ids: Ids, rng: random.Random, spot_fee_in_received_coin: bool, quantum: Decimal = CASH_QUANTUM
    ) -> None:
        self._ids = ids
        self._rng = rng
        self._spot_fee_in_received_coin = spot_fee_in_received_coin
        self._quantum = quantum
        self.new_trade_id: Callable[[Instrument, int], str] = self._trade_id
        self.fee_paid: FeePaid = lambda account, instrument, coin, fee: (coin, fee)
        self._sequence = 0
        self.on_execution: list[Callable[[Execution], None]] = []

    def _trade_id(self, instrument: Instrument, at_ms: int) -> str:
        return self._ids.execution_id(instrument.kind, at_ms, self._rng)

    def next_sequence(self) -> int:
        """Return the venue-wide event number."""
        self._sequence += 1
        return self._sequence

    def post(
        self,
        account: Account,
        kind: EntryKind,
        coin: str,
        *,
        at_ms: int,
        cash_flow: Decimal = ZERO,
        funding: Decimal = ZERO,
        fee: Decimal = ZERO,
        execution: Execution | None = None,
        position_qty: Decimal = ZERO,
        qty: Decimal = ZERO,
    ) -> Entry:
        """Change one wallet and write the row that says why; the only writer of wallets."""
        change = cash_flow + funding - fee
        balance = account.wallet(coin) + change
        symbol = execution.symbol if execution else ""
        entry = Entry(
            entry_id=self._ids.entry_id(symbol or coin, at_ms, self._rng),
            account=account.name,
            kind=kind,
            coin=coin,
            cash_flow=cash_flow,
            funding=funding,
            fee=fee,
            change=change,
            balance=balance,
            time_ms=at_ms,
            sequence=self.next_sequence(),
            market=execution.market if execution else None,
            symbol=symbol,
            side=execution.side if execution else None,
            qty=qty,
            position_qty=position_qty,
            price=execution.price if execution else ZERO,
            fee_rate=execution.fee_rate if execution else ZERO,
            execution_id=execution.execution_id if execution else "",
            order_id=execution.order_id if execution else "",
            client_id=execution.client_id if execution else "",
        )
        account.put_wallet(coin, balance, at_ms)
        account.entries.append(entry)
        if entry.market is MarketKind.LINEAR:
            account.realised[coin] += change
        return entry

    def fill(
        self,
        account: Account,
        order: Order,
        instrument: Instrument,
        *,
        price: Decimal,
        qty: Decimal,
        is_maker: bool,
        mark: Decimal,
        leverage: Decimal,
        at_ms: int,
    ) -> Order:
        """Execute part of an order and return the order after it."""
        assert 0 < qty <= order.remaining_qty or order.request.quote_qty is not None, "no fill beyond the order"
        assert (price - order.price) * order.request.side.sign <= 0, "no fill beyond the limit price"
        rate = instrument.maker_rate if is_maker else instrument.taker_rate
        value = price * qty * instrument.multiplier
        spot = instrument.kind is MarketKind.SPOT
        in_base = spot and self._spot_fee_in_received_coin and order.request.side is OrderSide.BUY
        fee_coin = instrument.base if in_base else instrument.quote if spot else instrument.settle
        fee = fee_of(qty if in_base else value, rate, self._quantum) + instrument.fee_unit * qty
        if order.filled_qty == 0:
            fee += instrument.fee_flat
        fee_coin, fee = self.fee_paid(account, instrument, fee_coin, fee)
        filled = self._advance(order, qty=qty, value=price * qty, fee=fee, fee_coin=fee_coin, at_ms=at_ms)
        execution = Execution(
            execution_id=self.new_trade_id(instrument, at_ms),
            account=account.name,
            kind=ExecutionKind.LIQUIDATION if order.request.origin is Origin.VENUE else ExecutionKind.TRADE,
            market=instrument.kind,
            symbol=instrument.symbol,
            side=order.request.side,
            price=price,
            qty=qty,
            value=value,
            fee=fee,
            fee_coin=fee_coin,
            fee_rate=rate,
            is_maker=is_maker,
            order_id=order.order_id,
            client_id=order.client_id,
            order_type=order.request.order_type,
            order_price=order.price,
            order_qty=order.qty,
            remaining_qty=filled.remaining_qty if filled.is_open else ZERO,
            closed_qty=ZERO,
            mark_price=mark,
            time_ms=at_ms,
            sequence=self.next_sequence(),
        )
        if spot:
            self._settle_spot(account, execution, instrument)
        else:
            execution = self._settle_linear(account, execution, order, instrument, leverage=leverage)
        account.executions.append(execution)
        account.put_order(filled, at_ms)
        for listener in self.on_execution:
            listener(execution)
        return filled

    @staticmethod
    def _advance(order: Order, *, qty: Decimal, value: Decimal, fee: Decimal, fee_coin: str, at_ms: int) -> Order:
        filled_qty = order.filled_qty + qty
        fees = dict(order.fees)
        fees[fee_coin] = fees.get(fee_coin, ZERO) + fee
        done = order.request.quote_qty is None and filled_qty == order.qty
        return replace(
            order,
            filled_qty=filled_qty,
            filled_value=order.filled_value + value,
            fees=tuple(fees.items()),
            status=OrderStatus.FILLED if done else OrderStatus.PARTIALLY_FILLED,
            updated_ms=at_ms,
        )

    def _settle_spot(self, account: Account, execution: Execution, instrument: Instrument) -> None:
        sign = execution.side.sign
        for coin, amount in (
            (instrument.quote, -sign * execution.value),
            (instrument.base, sign * execution.qty),
        ):
            fee = execution.fee if coin == execution.fee_coin else ZERO
            self.post(
                account,
                EntryKind.TRADE,
                coin,
                at_ms=execution.time_ms,
                cash_flow=amount,
                fee=fee,
                execution=execution,
                qty=amount,
            )
        if execution.fee_coin not in (instrument.quote, instrument.base):
            self._post_fee(account, execution, execution.fee_coin)

    def _post_fee(self, account: Account, execution: Execution, wallet: str) -> None:
        """Take a fee from a wallet that the trade itself does not touch."""
        self.post(account, EntryKind.TRADE, wallet, at_ms=execution.time_ms, fee=execution.fee, execution=execution)

    def _settle_linear(
        self, account: Account, execution: Execution, order: Order, instrument: Instrument, *, leverage: Decimal
    ) -> Execution:
        held = account.position(instrument.symbol, order.request.position_side)
        before = replace(held, multiplier=instrument.multiplier)
        own_fee = execution.fee if execution.fee_coin == instrument.settle else ZERO
        change = trade_position(
            before,
            side=execution.side,
            qty=execution.qty,
            price=execution.price,
            fee=own_fee,
            at_ms=execution.time_ms,
            sequence=execution.sequence,
            quantum=self._quantum,
        )
        execution = replace(execution, closed_qty=change.closed_qty)
        account.put_position(change.position, execution.time_ms)
        self.post(
            account,
            EntryKind.LIQUIDATION if execution.kind is ExecutionKind.LIQUIDATION else EntryKind.TRADE,
            instrument.settle_wallet,
            at_ms=execution.time_ms,
            cash_flow=change.realised,
            fee=own_fee,
            execution=execution,
            qty=execution.qty,
            position_qty=change.position.signed_qty,
        )
        if execution.fee_coin != instrument.settle:
            self._post_fee(
                account, execution, instrument.settle_wallet.replace(instrument.settle, execution.fee_coin, 1)
            )
        if change.closed_qty:
            self._record_closed(account, replace(execution, fee=own_fee), order, change, leverage=leverage)
        return execution

    def _record_closed(
        self, account: Account, execution: Execution, order: Order, change: PositionChange, *, leverage: Decimal
    ) -> None:
        close_fee = cash(execution.fee * change.closed_qty / execution.qty, self._quantum)
        profit = change.realised - change.open_fee - close_fee
        exit_value = change.closed_qty * execution.price * change.position.multiplier
        last = account.closed[-1] if account.closed else None
        if last is not None and last.order_id == order.order_id:
            account.closed[-1] = replace(
                last,
                qty=last.qty + change.closed_qty,
                entry_value=last.entry_value + change.entry_value,
                exit_value=last.exit_value + exit_value,
                open_fee=last.open_fee + change.open_fee,
                close_fee=last.close_fee + close_fee,
                profit=last.profit + profit,
                fill_count=last.fill_count + 1,
                updated_ms=execution.time_ms,
            )
            return
        account.closed.append(
            ClosedTrade(
                symbol=execution.symbol,
                order_id=order.order_id,
                side=execution.side,
                order_type=order.request.order_type,
                order_qty=order.qty,
                order_price=order.price,
                leverage=leverage,
                qty=change.closed_qty,
                entry_value=change.entry_value,
                exit_value=exit_value,
                open_fee=change.open_fee,
                close_fee=close_fee,
                profit=profit,
                fill_count=1,
                created_ms=execution.time_ms,
                updated_ms=execution.time_ms,
                sequence=execution.sequence,
            )
        )

    def fund(
        self, account: Account, position: Position, instrument: Instrument, *, rate: Decimal, mark: Decimal, at_ms: int
    ) -> None:
        """Settle funding on one position: at a positive rate longs pay and shorts receive."""
        assert position.side is not None
        value = position.qty * mark * position.multiplier
        paid = cash(value * rate * position.side.sign, self._quantum)
        execution = Execution(
            execution_id=self.new_trade_id(instrument, at_ms),
            account=account.name,
            kind=ExecutionKind.FUNDING,
            market=instrument.kind,
            symbol=instrument.symbol,
            side=position.side,
            price=mark,
            qty=position.qty,
            value=value,
            fee=paid,
            fee_coin=instrument.settle,
            fee_rate=rate * position.side.sign,
            is_maker=False,
            order_id=self._ids.order_id(instrument.kind, at_ms, self._rng),
            client_id="",
            order_type=None,
            order_price=ZERO,
            order_qty=ZERO,
            remaining_qty=ZERO,
            closed_qty=ZERO,
            mark_price=mark,
            time_ms=at_ms,
            sequence=self.next_sequence(),
        )
        account.executions.append(execution)
        self.post(
            account,
            EntryKind.FUNDING,
            instrument.settle_wallet,
            at_ms=at_ms,
            funding=-paid,
            execution=execution,
            qty=position.qty,
            position_qty=position.signed_qty,
        )
        account.put_position(
            replace(
                position,
                realised=position.realised - paid,
                realised_open=position.realised_open - paid,
                updated_ms=at_ms,
                sequence=execution.sequence,
            ),
            at_ms,
        )
        for listener in self.on_execution:
            listener(execution)


def flat(account: Account, symbol: str) -> bool:
    """Tell whether an account holds no position in a symbol."""
    return all(account.position(symbol, side).qty == 0 for side in PositionSide)
