"""A position from its opening to its end: what it cost, what it made, and the rows of positions-history."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.money import ZERO, cash
from simulators.core.types import Execution, ExecutionKind, MarketKind, OrderSide, PositionSide
from simulators.core.venue import Venue
from simulators.okx.ids import OKXIds

PositionKey = tuple[str, str, PositionSide]
NUMBER_KEPT_MS = 30 * 86_400_000
PARTLY, WHOLLY, LIQUIDATED = "1", "2", "3"


@dataclass(slots=True)
class Life:
    """One life of a position; `ended` is how it was last reduced, "" as long as it only grew."""

    symbol: str
    side: PositionSide
    position_id: str
    direction: OrderSide
    opened_ms: int
    leverage: Decimal
    updated_ms: int = 0
    fee: Decimal = ZERO
    funding: Decimal = ZERO
    profit: Decimal = ZERO
    opened_qty: Decimal = ZERO
    opened_value: Decimal = ZERO
    closed_qty: Decimal = ZERO
    closed_value: Decimal = ZERO
    largest: Decimal = ZERO
    ended: str = ""
    trade_id: str = ""

    @property
    def realised(self) -> Decimal:
        return self.profit + self.fee + self.funding


@dataclass(slots=True)
class Lives:
    """All lives of all positions of one venue."""

    venue: Venue
    _now: dict[PositionKey, Life] = field(default_factory=dict)
    _all: dict[str, list[Life]] = field(default_factory=lambda: defaultdict(list))

    def of(self, account: str, symbol: str, side: PositionSide) -> Life | None:
        """Return the present life of a position, or its last one."""
        return self._now.get((account, symbol, side))

    def reduced(self, account: str) -> list[Life]:
        """Return the lives of which something was closed, the most lately changed first."""
        return sorted((life for life in self._all[account] if life.ended), key=lambda life: -life.updated_ms)

    def on_execution(self, account: Account, execution: Execution, side: PositionSide, profit: Decimal) -> None:
        """Write a trade or a funding into the life that it belongs to; one that turns round ends and begins one."""
        life = self.of(account.name, execution.symbol, side)
        if execution.kind is ExecutionKind.FUNDING:
            assert life is not None, "only a position is funded"
            life.funding -= execution.fee
            return
        opened, held = execution.qty - execution.closed_qty, account.position(execution.symbol, side).qty
        paid = cash(execution.fee * execution.closed_qty / execution.qty)
        if execution.closed_qty:
            assert life is not None, "only a position is closed"
            _reduce(life, execution, paid, profit, is_whole=held == opened)
        if not opened:
            return
        if held == opened:
            life = self._begin(account, execution, side)
        assert life is not None, "a position that grows has begun"
        life.fee -= execution.fee - paid
        life.opened_qty += opened
        life.opened_value += opened * execution.price
        life.largest = max(life.largest, held)
        life.updated_ms, life.trade_id = execution.time_ms, execution.execution_id

    def _begin(self, account: Account, execution: Execution, side: PositionSide) -> Life:
        """Start a life; the number of a position is kept for thirty days after its end."""
        last = self.of(account.name, execution.symbol, side)
        fresh = last is None or execution.time_ms - last.updated_ms > NUMBER_KEPT_MS
        ids = self.venue.ids
        assert isinstance(ids, OKXIds)
        number = ids.number(execution.time_ms) if fresh or last is None else last.position_id
        instrument = self.venue.instruments[(MarketKind.LINEAR, execution.symbol)]
        rate = self.venue.margin.leverage(account, instrument)
        life = Life(execution.symbol, side, number, execution.side, execution.time_ms, rate)
        self._now[(account.name, execution.symbol, side)] = life
        self._all[account.name].append(life)
        return life


def _reduce(life: Life, execution: Execution, paid: Decimal, profit: Decimal, *, is_whole: bool) -> None:
    life.fee -= paid
    life.profit += profit
    life.closed_qty += execution.closed_qty
    life.closed_value += execution.closed_qty * execution.price
    life.ended = LIQUIDATED if execution.kind is ExecutionKind.LIQUIDATION else WHOLLY if is_whole else PARTLY
    life.updated_ms, life.trade_id = execution.time_ms, execution.execution_id
