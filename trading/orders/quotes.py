"""Quotes for orders that are sent together: one read serves all of them, each of them once, while it is young.

Every order is judged by a quote, and a venue may allow few requests for quotes (TradeStation: thirty a minute). Who
drives several orders says so (`together`); the first that needs its quote then reads those of all that wait. A quote
that was read for an order serves that order alone, once, and only within half of the age that risk allows
(`quote_age_s_max`), by our clock since before it was read and by its own time; after that it is read again. An order
that nobody has announced reads for itself. Risk checks the age of whatever it is given in any case.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from brokers.clock import Clock
from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.port import Broker
from brokers.types import Quote

_PAUSE_S = 0.01  # of an order whose quote another one is reading
_SHARE = 2  # a quote that was read for several serves within this part of its allowed age


@dataclass(frozen=True, slots=True)
class _Read:
    """A quote and when, on our monotonic clock, its request began."""

    quote: Quote
    began_s: float


class SharedQuotes:
    """The quotes of one desk's orders. Safe to use from several threads: who waits for a read makes none."""

    def __init__(
        self,
        broker: Broker,
        *,
        clock: Clock,
        venue_now: Callable[[], datetime],
        age_s_max: Callable[[InstrumentId], Decimal],
    ) -> None:
        self._broker, self._clock, self._venue_now, self._age_s_max = broker, clock, venue_now, age_s_max
        self._lock = threading.Lock()
        self._announced: set[str] = set()
        self._waiting: dict[str, InstrumentId] = {}  # announced, and nothing was read for them yet
        self._read: dict[str, _Read] = {}
        self._under_way: set[str] = set()

    @contextmanager
    def together(self, orders: Mapping[str, InstrumentId]) -> Iterator[None]:
        """While the block runs these orders (by intent) share reads; those that are announced already stay with it."""
        with self._lock:
            fresh = orders.keys() - self._announced
            self._announced |= fresh
            self._waiting.update({intent_id: orders[intent_id] for intent_id in fresh})
        try:
            yield
        finally:
            with self._lock:
                self._announced -= fresh
                for intent_id in fresh:
                    self._waiting.pop(intent_id, None)
                    self._read.pop(intent_id, None)

    def of(self, intent_id: str, instrument_id: InstrumentId) -> Quote:
        """The order's quote, or the venue's error."""
        while True:
            with self._lock:
                found = self._read.pop(intent_id, None)
                if found is not None and self._is_young(found):
                    return found.quote
                if intent_id not in self._under_way:
                    group = self._begin(intent_id, instrument_id)
                    break
            self._clock.wait(_PAUSE_S)
        return self._lead(intent_id, group)

    def _begin(self, intent_id: str, instrument_id: InstrumentId) -> dict[str, InstrumentId]:
        """Take all that wait into one read. The lock is held."""
        for other in [other for other, read in self._read.items() if not self._is_young(read)]:
            self._waiting[other] = self._read.pop(other).quote.instrument_id  # read for it, but too long ago
        group = {**self._waiting, intent_id: instrument_id}
        self._waiting.clear()
        self._under_way |= group.keys()
        return group

    def _lead(self, intent_id: str, group: Mapping[str, InstrumentId]) -> Quote:
        """Read for the group. What fails is read again by each of them for itself."""
        quotes: Mapping[InstrumentId, Quote] = {}
        began_s = self._clock.monotonic()
        try:
            quotes = self._quotes(group[intent_id], sorted(set(group.values())))
            return quotes[group[intent_id]]
        finally:
            with self._lock:
                self._under_way -= group.keys()
                for other in self._announced & (group.keys() - {intent_id}):
                    if group[other] in quotes:
                        self._read[other] = _Read(quotes[group[other]], began_s)

    def _quotes(self, own: InstrumentId, every: list[InstrumentId]) -> dict[InstrumentId, Quote]:
        """The quotes of all; of the own instrument alone where another one spoils the answer."""
        try:
            return {quote.instrument_id: quote for quote in self._broker.quotes(every)}
        except BrokerError as error:
            if len(every) == 1 or error.retryable:
                raise
            return {own: self._broker.quotes([own])[0]}

    def _is_young(self, read: _Read) -> bool:
        limit_s = float(self._age_s_max(read.quote.instrument_id)) / _SHARE
        age_s = self._clock.monotonic() - read.began_s
        return age_s <= limit_s and (self._venue_now() - read.quote.time).total_seconds() <= limit_s
