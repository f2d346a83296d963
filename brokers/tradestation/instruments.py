"""Instruments: unified symbols to TradeStation's and back, and the book that remembers them.

Source: TradeStation WebAPI v3, "Get Symbol Details". Shares are whole; `PointValue` is what one point of one contract
is worth. Continuous series (`@ES`) are data: no order can name them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.clock import Clock
from brokers.errors import AnswerUnreadable, InstrumentUnknown
from brokers.fields import Row, number, positive_or_none, required, rows, text
from brokers.ids import InstrumentId
from brokers.tradestation import codes
from brokers.tradestation.profile import EQUITY_SYMBOL, FUTURE_ID, FUTURE_SYMBOL, SYMBOLS_MAX, product_of
from brokers.types import Instrument, ProductKind

AGE_MAX = timedelta(hours=1)
_PRODUCTS = {"STOCK": ProductKind.EQUITY, "FUTURE": ProductKind.FUTURE}
_YEARS_BACK = 1  # a contract's year is the one with its digit from last year on


def venue_symbol(instrument_id: InstrumentId, *, now: datetime) -> str:
    """TradeStation's symbol; InstrumentUnknown says how symbols are written here."""
    name = instrument_id.value
    future = FUTURE_ID.fullmatch(name)
    if future is not None:
        first = now.year - _YEARS_BACK
        year = first + (int(future["year"]) - first) % 10
        return f"{future['root']}{future['month']}{year % 100:02d}"
    if EQUITY_SYMBOL.fullmatch(name):
        return name
    hint = "shares read AAPL, futures MESZ6 (root, month, last digit of the year)"
    if name.startswith("@"):
        hint = f"{name} is a continuous series, which cannot be traded: name a contract, for instance MESZ6"
    elif FUTURE_SYMBOL.fullmatch(name):
        hint = f"write the contract with one digit of its year: {name[:-2]}{name[-1]}"
    raise InstrumentUnknown(f"TradeStation lists no {name}; {hint}")


def unified(symbol: str) -> InstrumentId:
    """The unified symbol of TradeStation's; what is no share or future keeps its name and cannot be traded here."""
    future = FUTURE_SYMBOL.fullmatch(symbol)
    return InstrumentId(f"{future['root']}{future['month']}{future['year'][-1]}" if future else symbol)


def instrument(row: Row, *, now: datetime) -> Instrument:
    """One row of symbol details; InstrumentUnknown for a kind that is not traded here."""
    symbol, kind = required(row, "Symbol"), required(row, "AssetType")
    product = _PRODUCTS.get(kind)
    if product is None:
        raise InstrumentUnknown(f"{symbol} is {kind.lower()}: this adapter trades stocks and futures")
    prices, quantities = _part(row, "PriceFormat"), _part(row, "QuantityFormat")
    currency, lot = text(row, "Currency") or "USD", number(quantities, "Increment")
    try:
        return Instrument(
            instrument_id=unified(symbol),
            venue_symbol=symbol,
            product=product,
            base_currency=text(row, "Root") or symbol,
            quote_currency=currency,
            settle_currency=currency,
            tick_size=_tick(prices),
            lot_size=lot,
            quantity_min=positive_or_none(quantities, "MinimumTradeQuantity") or lot,
            notional_min=Decimal(0),
            contract_size=positive_or_none(prices, "PointValue") or Decimal(1),
            is_trading=_is_alive(row, now),
        )
    except ValueError as error:
        raise AnswerUnreadable(f"symbol {symbol}: {error}") from error


def _tick(prices: Row) -> Decimal:
    """The step of prices; where it depends on the price, the coarsest, which fits everywhere."""
    steps = [number(step, "Increment") for step in rows(prices, "IncrementSchedule")]
    if text(prices, "IncrementStyle") == "Schedule" and steps:
        return max(steps)
    return number(prices, "Increment")


def _is_alive(row: Row, now: datetime) -> bool:
    expires = text(row, "ExpirationDate")
    if not expires:
        return True
    try:
        found = datetime.fromisoformat(expires)
    except ValueError as error:
        raise AnswerUnreadable(f"ExpirationDate must be a time, was {expires!r}") from error
    ends = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return now < ends + timedelta(days=1)  # a date: traded to the end of that day


def _part(row: Row, name: str) -> Row:
    value = row.get(name)
    if not isinstance(value, dict):
        raise AnswerUnreadable(f"symbol {text(row, 'Symbol')} has no {name}")
    return value


class InstrumentBook:
    """The instruments that were asked for, read again after an hour. TradeStation has no list of all."""

    def __init__(self, fetch: Callable[[str], dict[str, Any]], *, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = threading.RLock()
        self._known: dict[InstrumentId, tuple[Instrument, datetime]] = {}

    def get(self, ids: Sequence[InstrumentId]) -> tuple[Instrument, ...]:
        """In the order asked; InstrumentUnknown names the first that the venue does not list."""
        now = self._clock.now()
        with self._lock:
            stale = [key for key in dict.fromkeys(ids) if self._is_stale(key, now)]
            for at in range(0, len(stale), SYMBOLS_MAX):
                self._read(stale[at : at + SYMBOLS_MAX], now)
            return tuple(self._known[key][0] for key in ids)

    def _is_stale(self, key: InstrumentId, now: datetime) -> bool:
        known = self._known.get(key)
        return known is None or now - known[1] > AGE_MAX

    def _read(self, ids: Iterable[InstrumentId], now: datetime) -> None:
        wanted = {venue_symbol(key, now=now): key for key in ids}
        answer = self._fetch(",".join(wanted))
        for row in rows(answer, "Symbols"):
            key = wanted.pop(text(row, "Symbol"), None)
            if key is not None:
                found = instrument(row, now=now)
                if found.product is not product_of(key.value):
                    raise InstrumentUnknown(f"{key} is {found.product.value} at TradeStation, its name says otherwise")
                self._known[key] = (found, now)
        for error in rows(answer, "Errors"):
            refused = codes.item_error(error, what=f"symbol {text(error, 'Symbol')}")
            if not isinstance(refused, InstrumentUnknown):
                raise refused
        if wanted:
            raise InstrumentUnknown(f"TradeStation lists no {next(iter(wanted.values()))}")
