"""The day's open, high, low and previous close of each symbol, kept from the price board's own moves."""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from decimal import Decimal

from simulators.core.types import Instrument, MarketKind
from simulators.core.venue import Venue


@dataclass(frozen=True, slots=True)
class Bar:
    """One symbol's trading day."""

    day: date
    open: Decimal
    high: Decimal
    low: Decimal
    last: Decimal
    previous_close: Decimal
    traded_ms: int


class Tape:
    """Watches a venue's prices. Days are the market clock's, so that a replayed year has as many closes as days."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue
        self._bars: dict[str, Bar] = {}
        for instrument in venue.instruments.values():
            last = venue.board.last(instrument)
            self._bars[instrument.symbol] = Bar(self._day(), last, last, last, last, last, venue.now_ms())
        venue.on_moved.append(self._moved)

    def _day(self) -> date:
        return datetime.fromtimestamp(self._venue.clock.market_ms() / 1000, UTC).date()

    def bar(self, instrument: Instrument) -> Bar:
        """Return a symbol's present day."""
        return self._bars[instrument.symbol]

    def _moved(self, symbols: set[str]) -> None:
        day, now, listed = self._day(), self._venue.now_ms(), self._venue.instruments
        for symbol in symbols:
            instrument = next((one for kind in MarketKind if (one := listed.get((kind, symbol))) is not None), None)
            if instrument is None:
                continue
            last, before = self._venue.board.last(instrument), self._bars[symbol]
            if day > before.day:
                bar = Bar(day, last, last, last, last, before.last, now)
            else:
                high, low = max(before.high, last), min(before.low, last)
                bar = replace(before, high=high, low=low, last=last, traded_ms=now)
            self._bars[symbol] = bar
