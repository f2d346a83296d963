"""Where prices come from: fixed, a seeded random walk, or a replay of real history; they move only with the clock."""

import csv
import gzip
import random
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from simulators.core.money import BASIS_POINT, ONE, ZERO, ceil_to, floor_to, nearest
from simulators.core.types import Instrument, InstrumentKey, OrderSide, Quote

RAW_QUANTUM = Decimal("1e-8")


class PriceSource(Protocol):
    """Moves the raw prices of one or more symbols at moments of its own."""

    def next_ms(self) -> int | None:
        """Return when the next change is due, or None when there is none."""
        ...

    def step(self, prices: dict[str, Decimal]) -> Sequence[str]:
        """Apply that change to `prices` and return the symbols that moved."""
        ...


class RandomWalk:
    """A geometric walk of one symbol; the same seed gives the same path."""

    def __init__(self, *, symbol: str, seed: int, start_ms: int, interval_s: int, volatility_bps: Decimal) -> None:
        self._symbol = symbol
        self._random = random.Random(f"{seed}:{symbol}")  # noqa: S311 - a price path, not a secret
        self._interval_ms = interval_s * 1000
        self._next_ms = start_ms + self._interval_ms
        self._volatility = volatility_bps * BASIS_POINT

    def next_ms(self) -> int | None:
        return self._next_ms

    def step(self, prices: dict[str, Decimal]) -> Sequence[str]:
        shock = Decimal(round(self._random.gauss(0.0, 1.0) * 1_000_000)).scaleb(-6)
        factor = max(ONE + shock * self._volatility, Decimal("0.5"))
        prices[self._symbol] = max((prices[self._symbol] * factor).quantize(RAW_QUANTUM), RAW_QUANTUM)
        self._next_ms += self._interval_ms
        return (self._symbol,)


class Replay:
    """Rows of real history: at each row's time every symbol takes the value of its column."""

    def __init__(self, times_ms: Sequence[int], columns: Mapping[str, Sequence[Decimal]]) -> None:
        self.times_ms = times_ms
        self.columns = columns
        self._index = 0

    @classmethod
    def read(cls, path: Path, *, columns: Mapping[str, str], time_column: str) -> "Replay":
        """Read a CSV (plain or .gz); `columns` maps a symbol to its column; times are ISO dates or timestamps."""
        now = path.stat()
        return cls(*_history(path, (now.st_mtime_ns, now.st_size), tuple(columns.items()), time_column))

    def start(self, at_ms: int, prices: dict[str, Decimal]) -> None:
        """Take the last row at or before `at_ms` as the present."""
        self._index = bisect_right(self.times_ms, at_ms)
        if self._index == 0:
            raise ValueError(f"replay starts at {self.times_ms[0]} ms, later than the market's start {at_ms} ms")
        self._apply(self._index - 1, prices)

    def _apply(self, row: int, prices: dict[str, Decimal]) -> None:
        for symbol, values in self.columns.items():
            prices[symbol] = values[row]

    def next_ms(self) -> int | None:
        return self.times_ms[self._index] if self._index < len(self.times_ms) else None

    def step(self, prices: dict[str, Decimal]) -> Sequence[str]:
        self._apply(self._index, prices)
        self._index += 1
        return tuple(self.columns)


@lru_cache(maxsize=4)
def _history(
    path: Path, version: tuple[int, int], columns: tuple[tuple[str, str], ...], time_column: str
) -> tuple[Sequence[int], Mapping[str, Sequence[Decimal]]]:
    """Times and columns of a file; kept, because a venue that is started or reset again reads the same years."""
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        raise ValueError(f"replay file {path} holds no rows")
    absent = sorted({time_column, *(column for _, column in columns)} - set(rows[0]))
    if absent:
        raise ValueError(f"replay file {path} has no column {absent}; it has {sorted(rows[0])}")
    times = tuple(_epoch_ms(row[time_column]) for row in rows)
    if any(later <= earlier for earlier, later in pairwise(times)):
        raise ValueError(f"replay file {path}: column {time_column} must be strictly increasing")
    values = {symbol: tuple(Decimal(row[column]) for row in rows) for symbol, column in columns}
    return times, MappingProxyType(values)


def _epoch_ms(text: str) -> int:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Liquidity:
    """How much can be traded: `levels` price levels, `gap_bps` apart, each worth `level_notional` (None: endless)."""

    level_notional: Decimal | None = None
    levels: int = 5
    gap_bps: Decimal = Decimal(5)


@dataclass(slots=True)
class Level:
    """One price level and what is left of it; None is endless."""

    price: Decimal
    left: Decimal | None


class PriceBoard:
    """Last prices, the book derived from them, and what has been taken from it since the last change."""

    def __init__(
        self,
        *,
        instruments: Mapping[InstrumentKey, Instrument],
        prices: Mapping[str, Decimal],
        sources: Sequence[PriceSource],
        spread_bps: Decimal,
        liquidity: Liquidity,
        liquidity_of: Mapping[str, Liquidity] | None = None,
    ) -> None:
        self._instruments = instruments
        self.raw: dict[str, Decimal] = dict(prices)
        self.sources = list(sources)
        self.spread_bps = spread_bps
        self.liquidity = liquidity
        self.liquidity_of: dict[str, Liquidity] = dict(liquidity_of or {})
        self._books: dict[tuple[InstrumentKey, OrderSide], list[Level]] = {}
        self._quotes: dict[InstrumentKey, Quote] = {}
        absent = sorted({i.symbol for i in instruments.values()} - set(self.raw))
        if absent:
            raise ValueError(f"no price for {absent}; give each symbol a price, a walk or a replay column")

    def next_ms(self) -> int | None:
        """Return when the next price change is due."""
        due = [moment for source in self.sources if (moment := source.next_ms()) is not None]
        return min(due) if due else None

    def step(self, at_ms: int) -> set[str]:
        """Apply every change that is due at `at_ms` and return the symbols that moved."""
        moved: set[str] = set()
        for source in self.sources:
            if source.next_ms() == at_ms:
                moved.update(source.step(self.raw))
        for symbol in moved:
            self.refresh(symbol)
        return moved

    def set_price(self, symbol: str, price: Decimal) -> None:
        """Set a symbol's last price by hand; its source, if it has one, goes on from here."""
        if symbol not in self.raw:
            raise ValueError(f"unknown symbol {symbol!r}; listed are {sorted(self.raw)}")
        if price <= 0:
            raise ValueError(f"price of {symbol} must be positive, was {price}")
        self.raw[symbol] = price
        self.refresh(symbol)

    def refresh(self, symbol: str) -> None:
        """Forget what was taken from the symbol's books, so that they are full again."""
        self._books = {k: v for k, v in self._books.items() if k[0][1] != symbol}
        self._quotes = {k: v for k, v in self._quotes.items() if k[1] != symbol}

    def last(self, instrument: Instrument) -> Decimal:
        """Return the last price on the instrument's tick grid."""
        return max(nearest(self.raw[instrument.symbol], instrument.tick), instrument.tick)

    def quote(self, instrument: Instrument) -> Quote:
        """Return the present top of the book."""
        cached = self._quotes.get(instrument.key)
        if cached is None:
            last = self.last(instrument)
            half = last * self.spread_bps * BASIS_POINT / 2
            bid = max(floor_to(last - half, instrument.tick), instrument.tick)
            ask = max(ceil_to(last + half, instrument.tick), bid + instrument.tick)
            cached = self._quotes[instrument.key] = Quote(bid, ask, last, self._size(instrument, last))
        return cached

    def _liquidity(self, symbol: str) -> Liquidity:
        return self.liquidity_of.get(symbol, self.liquidity)

    def _size(self, instrument: Instrument, last: Decimal) -> Decimal | None:
        notional = self._liquidity(instrument.symbol).level_notional
        if notional is None:
            return None
        return max(floor_to(notional / (last * instrument.multiplier), instrument.step), ZERO)

    def levels(self, instrument: Instrument, side: OrderSide) -> list[Level]:
        """Return what an order of `side` meets, best price first; taking from the levels is remembered."""
        key = (instrument.key, side)
        book = self._books.get(key)
        if book is None:
            book = self._books[key] = self._fresh_levels(instrument, side)
        return book

    def _fresh_levels(self, instrument: Instrument, side: OrderSide) -> list[Level]:
        quote = self.quote(instrument)
        best = quote.ask if side is OrderSide.BUY else quote.bid
        if quote.size is None:
            return [Level(best, None)]
        liquidity = self._liquidity(instrument.symbol)
        levels = []
        for number in range(liquidity.levels):
            away = best * liquidity.gap_bps * BASIS_POINT * number * side.sign
            rounded = ceil_to(best + away, instrument.tick) if side.sign > 0 else floor_to(best + away, instrument.tick)
            if rounded >= instrument.tick:
                levels.append(Level(rounded, quote.size))
        return levels


def plan_fills(
    levels: Sequence[Level],
    *,
    side: OrderSide,
    limit: Decimal,
    qty: Decimal | None,
    value: Decimal | None = None,
    step: Decimal,
) -> list[tuple[Decimal, Decimal]]:
    """Return the (price, quantity) pairs that an order would take within its limit, by quantity or by value."""
    fills: list[tuple[Decimal, Decimal]] = []
    for level in levels:
        if (level.price - limit) * side.sign > 0:
            break
        want = floor_to(value / level.price, step) if value is not None else qty
        assert want is not None, "an order has a quantity or a value"
        take = want if level.left is None else min(want, level.left)
        if take <= 0:
            continue
        fills.append((level.price, take))
        if value is not None:
            value -= take * level.price
        else:
            qty = want - take
            if qty == 0:
                break
    return fills
