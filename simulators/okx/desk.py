"""What OKX keeps beside the core's records: an order's own words, fills by order and bill, timers, leverage by side."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum

from simulators.core.accounts import Account
from simulators.core.money import ZERO
from simulators.core.types import (
    Execution,
    ExecutionKind,
    IdScope,
    Instrument,
    MarketKind,
    Order,
    OrderSide,
    PositionMode,
    PositionSide,
    Reason,
)
from simulators.core.venue import Venue
from simulators.okx.lives import Lives, PositionKey

ALGO_STEP = 1 << 21


class AccountLevel(Enum):
    """The account mode, `acctLv`."""

    SPOT = "1"
    FUTURES = "2"
    MULTI_CURRENCY = "3"
    PORTFOLIO = "4"


@dataclass(frozen=True, slots=True)
class OrderNote:
    """What an order asked for in words that the core does not have; `ending` is an own cancelSource and its text."""

    trade_mode: str = ""
    tag: str = ""
    order_type: str = ""
    target: str = ""
    reduce_only: bool = False
    stp_mode: str = "cancel_maker"
    leverage: Decimal | None = None
    ending: tuple[str, str] | None = None
    algo: "AlgoNote | None" = None


@dataclass(frozen=True, slots=True)
class AlgoNote:
    """What a conditional order asked for: its type, the name of its trigger, and the client's id of it."""

    kind: str
    trigger: str
    client_id: str = ""
    child_id: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution with the bill that tells it and the profit that it realised."""

    execution: Execution
    bill_id: str
    profit: Decimal
    position_side: PositionSide


@dataclass(frozen=True, slots=True)
class Habits:
    """What of the venue's behaviour is a setting; see simulators.okx.simulator.OKXConfig."""

    level: AccountLevel
    levels: Mapping[str, AccountLevel]
    id_scope: IdScope
    leverage_with_orders: bool
    reduce_only_shrinks: bool
    float_noise: bool
    child_ids: bool


def waits(order: Order) -> bool:
    """Tell whether an order is a conditional one that has not triggered: it is not in the book, and holds no money."""
    return order.request.trigger_price is not None and not order.triggered


def algo_number(order: Order) -> str:
    """Return algoId: algo orders and orders are numbered apart."""
    return str(int(order.order_id) + ALGO_STEP)


class Desk:
    """The side tables of one venue; made anew with its front."""

    def __init__(self, venue: Venue, habits: Habits) -> None:
        self._venue = venue
        self._levels = dict(habits.levels)
        self.habits = habits
        self.states: dict[str, str] = {}
        self.maintenance: list[dict[str, object]] = []
        self.notes: dict[str, OrderNote] = {}
        self.fills: dict[str, list[Fill]] = defaultdict(list)
        self.by_order: dict[str, list[Fill]] = defaultdict(list)
        self.lives = Lives(venue)
        self.isolated: dict[PositionKey, Decimal] = {}
        self.cancelling: set[str] = set()
        self._timers: dict[tuple[str, str], int] = {}
        self._timer_number = 0
        venue.settlement.on_execution.append(self._on_execution)

    def level(self, account: str) -> AccountLevel:
        """Return an account's mode."""
        return self._levels.get(account, self.habits.level)

    def state(self, instrument: Instrument) -> str:
        """Return an instrument's state."""
        return self.states.get(instrument.symbol, "live" if instrument.trading else "suspend")

    def set_level(self, account: str, level: AccountLevel) -> None:
        """Switch an account's mode."""
        self._levels[account] = level

    def note(self, order: Order) -> OrderNote:
        """Return an order's own words; those of an order that came another way are the plain ones."""
        known = self.notes.get(order.order_id)
        if known is not None:
            return known
        spot = order.request.kind is MarketKind.SPOT
        crossed = self.level(order.account) in (AccountLevel.MULTI_CURRENCY, AccountLevel.PORTFOLIO)
        return OrderNote(
            trade_mode="cash" if spot and not crossed else "cross",
            reduce_only=order.request.reduce_only and order.request.position_side is PositionSide.BOTH,
        )

    def triggered_ms(self, order: Order) -> int:
        """Return when a conditional order triggered, 0 if it did not."""
        account = self._venue.accounts[order.account]
        found = account.orders[order.order_id].first(lambda one: one.triggered) if order.triggered else None
        return found.updated_ms if found is not None else 0

    # fills
    def _on_execution(self, execution: Execution) -> None:
        """Remember what the core's records lack: called once the execution's entries are written."""
        account = self._venue.accounts[execution.account]
        entry = account.entries[-1]
        assert entry.execution_id == execution.execution_id, "an execution's last entry is the newest"
        order = account.order(execution.order_id)
        side = order.request.position_side if order is not None else self._funded_side(account, execution)
        profit = ZERO
        if execution.market is MarketKind.LINEAR:
            profit = entry.cash_flow
            self.lives.on_execution(account, execution, side, profit)
        if execution.kind is ExecutionKind.FUNDING:
            return
        fill = Fill(execution, entry.entry_id, profit, side)
        self.fills[account.name].append(fill)
        self.by_order[execution.order_id].append(fill)

    @staticmethod
    def _funded_side(account: Account, execution: Execution) -> PositionSide:
        if account.default_mode is PositionMode.ONE_WAY:
            return PositionSide.BOTH
        return PositionSide.LONG if execution.side is OrderSide.BUY else PositionSide.SHORT

    # cancel all after
    def arm(self, account: Account, tag: str, seconds: int) -> None:
        """Cancel the account's orders (with a tag: those that carry it) in so many seconds; 0 disarms."""
        self._timer_number += 1
        number = self._timer_number
        key = (account.name, tag)
        self._timers[key] = number
        if seconds:
            self._venue.later(seconds * 1000, lambda: self._expire(account, key, number))

    def _expire(self, account: Account, key: tuple[str, str], number: int) -> None:
        if self._timers.get(key) != number:
            return
        for order in account.open_orders():
            if not waits(order) and key[1] in ("", self.note(order).tag):
                self._venue.cancel_now(account, order.order_id, Reason.EXPIRED)
