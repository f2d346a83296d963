"""Instruments: Binance symbols to unified ones, and the book that remembers them.

Sources: Spot "Exchange information" and "Filters"; USDⓈ-M "Exchange Information". Precisions are not steps: the tick is
PRICE_FILTER's, the lot LOT_SIZE's. Futures quantities are in base currency.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from brokers.binance.fields import row_of
from brokers.binance.profile import product_of
from brokers.clock import Clock
from brokers.errors import AnswerUnreadable, InstrumentUnknown
from brokers.fields import Row, listed, moment, number, number_or_zero, positive_or_none, required, text
from brokers.ids import InstrumentId
from brokers.types import Instrument, ProductKind

AGE_MAX = timedelta(hours=1)
_PERPETUALS = ("PERPETUAL", "TRADIFI_PERPETUAL")
_DATED = ("CURRENT_QUARTER", "NEXT_QUARTER", "CURRENT_MONTH", "NEXT_MONTH")
# Quote currencies by which the symbol of a delisted pair can still be split; the longer first.
_QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "USD1", "EUR", "TRY", "BRL", "BTC", "ETH", "BNB")
_DATED_SYMBOL = re.compile(r"(?P<pair>[A-Z0-9]+)_(?P<expiry>[0-9]{6})", re.ASCII)
_NO_LIMIT = Decimal("1e18")  # a filter that is written but does not bound anything


@dataclass(frozen=True, slots=True)
class Market:
    """What mapping a row needs to know of its symbol."""

    instrument_id: InstrumentId
    symbol: str
    product: ProductKind
    base: str
    quote: str
    settle: str

    @property
    def is_spot(self) -> bool:
        return self.product is ProductKind.SPOT


def market_of(instrument: Instrument) -> Market:
    return Market(
        instrument_id=instrument.instrument_id,
        symbol=instrument.venue_symbol,
        product=instrument.product,
        base=instrument.base_currency,
        quote=instrument.quote_currency,
        settle=instrument.settle_currency,
    )


def named(instrument_id: InstrumentId, symbol: str) -> Market:
    """What an answer about one symbol is read with, without asking the venue for it: its currencies are not needed."""
    return Market(instrument_id, symbol, product_of(instrument_id.value), "", "", "")


def instrument(row: Row, product: ProductKind) -> Instrument | None:
    """One symbol of exchangeInfo; None for contracts that are not ours to trade (none are on spot), and for what is
    announced or over and has no filters that could be read: such a row must not take the whole list with it."""
    try:
        return _spot(row) if product is ProductKind.SPOT else _linear(row)
    except (ValueError, AnswerUnreadable) as error:
        if text(row, "status") not in ("", "TRADING"):
            return None
        raise AnswerUnreadable(f"instrument {text(row, 'symbol')}: {error}") from error


def _spot(row: Row) -> Instrument:
    base, quote = required(row, "baseAsset"), required(row, "quoteAsset")
    filters = _filters(row)
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    return Instrument(
        instrument_id=InstrumentId(f"{base}/{quote}"),
        product=ProductKind.SPOT,
        settle_currency=quote,
        notional_min=number_or_zero(notional, "minNotional"),
        is_trading=text(row, "status") == "TRADING" and row.get("isSpotTradingAllowed") is not False,
        **_common(row, filters),
    )


def _linear(row: Row) -> Instrument | None:
    contract = text(row, "contractType")
    if contract not in (*_PERPETUALS, *_DATED):
        return None
    base, quote, settle = (required(row, name) for name in ("baseAsset", "quoteAsset", "marginAsset"))
    expiry = f"-{moment(row, 'deliveryDate'):%y%m%d}" if contract in _DATED else ""
    filters = _filters(row)
    return Instrument(
        instrument_id=InstrumentId(f"{base}/{quote}:{settle}{expiry}"),
        product=ProductKind.LINEAR,
        settle_currency=settle,
        notional_min=number_or_zero(filters.get("MIN_NOTIONAL") or {}, "notional"),
        leverage_min=Decimal(1),
        leverage_step=Decimal(1),  # the highest differs by symbol and size: the venue refuses with -4028 or -2027
        is_trading=text(row, "status") == "TRADING",
        **_common(row, filters),
    )


def _common(row: Row, filters: dict[str, Row]) -> dict[str, Any]:
    price, lot = _filter(row, filters, "PRICE_FILTER"), _filter(row, filters, "LOT_SIZE")
    market = filters.get("MARKET_LOT_SIZE") or {}
    most = positive_or_none(lot, "maxQty")
    most_market = _smaller(most, positive_or_none(market, "maxQty"))
    return {
        "venue_symbol": required(row, "symbol"),
        "base_currency": required(row, "baseAsset"),
        "quote_currency": required(row, "quoteAsset"),
        "tick_size": number(price, "tickSize"),
        # Market orders may have a coarser step of their own: what is a multiple of it fits both.
        "lot_size": max(number(lot, "stepSize"), number_or_zero(market, "stepSize")),
        "quantity_min": max(number_or_zero(lot, "minQty"), number_or_zero(market, "minQty")),
        "quantity_max_limit": most,
        "quantity_max_market": most_market,
    }


def _smaller(first: Decimal | None, second: Decimal | None) -> Decimal | None:
    known = [value for value in (first, second) if value is not None and value < _NO_LIMIT]
    return min(known, default=None)


def _filters(row: Row) -> dict[str, Row]:
    return {text(found, "filterType"): found for found in listed(row, "filters")}


def _filter(row: Row, filters: dict[str, Row], name: str) -> Row:
    if name not in filters:
        raise AnswerUnreadable(f"instrument {text(row, 'symbol')} has no filter {name}")
    return filters[name]


def delisted(symbol: str, product: ProductKind) -> Market:
    """The market of a symbol that the venue no longer lists, from its name alone; AnswerUnreadable if it tells nothing.

    Only for reading history.
    """
    dated = _DATED_SYMBOL.fullmatch(symbol) if product is ProductKind.LINEAR else None
    pair, expiry = (dated["pair"], f"-{dated['expiry']}") if dated else (symbol, "")
    for quote in _QUOTES:
        if pair.endswith(quote) and len(pair) > len(quote):
            base = pair[: -len(quote)]
            settle = f":{quote}{expiry}" if product is ProductKind.LINEAR else ""
            return Market(InstrumentId(f"{base}/{quote}{settle}"), symbol, product, base, quote, quote)
    raise AnswerUnreadable(f"symbol {symbol!r} is not listed and its name does not tell its currencies")


def symbol_of(instrument_id: InstrumentId) -> str:
    """Binance's name by the unified one: what to ask for; the answer proves it."""
    pair, _, settle = instrument_id.value.partition(":")
    _, dash, expiry = settle.partition("-")
    return pair.replace("/", "") + (f"_{expiry}" if dash else "")


class InstrumentBook:
    """The venue's instruments, read when needed and again after an hour.

    Spot's whole list has many megabytes: one instrument is read by its symbol, several by the whole list.
    """

    def __init__(
        self, fetch: Callable[[ProductKind, str], Any], *, products: Iterable[ProductKind], clock: Clock
    ) -> None:
        self._fetch = fetch
        self._products = tuple(sorted(products))
        self._clock = clock
        self._lock = threading.RLock()
        self._by_id: dict[InstrumentId, Instrument] = {}
        self._by_symbol: dict[tuple[ProductKind, str], Instrument] = {}
        self._whole_at: dict[ProductKind, datetime] = {}
        self._read_at: dict[InstrumentId, datetime] = {}

    def all(self) -> tuple[Instrument, ...]:
        """Every instrument, read from the venue now."""
        with self._lock:
            for product in self._products:
                self._read(product)
            return tuple(self._by_id.values())

    def some(self, ids: Iterable[InstrumentId]) -> tuple[Instrument, ...]:
        """Those asked for; InstrumentUnknown names the first that is not listed."""
        wanted = tuple(ids)
        with self._lock:
            for product in self._products:
                missing = [key for key in wanted if product_of(key.value) is product and not self._is_fresh(key)]
                if len(set(missing)) > 1:
                    self._read(product)
        return tuple(self.get(key) for key in wanted)

    def get(self, instrument_id: InstrumentId) -> Instrument:
        """One instrument from memory where it is fresh; InstrumentUnknown when the venue does not list it."""
        product = product_of(instrument_id.value)
        with self._lock:
            if product in self._products and not self._is_fresh(instrument_id):
                self._read_one(product, instrument_id)
            found = self._by_id.get(instrument_id)
        if found is None:
            raise InstrumentUnknown(
                f"Binance lists no {instrument_id} among {', '.join(self._products)}; unified symbols read "
                "BTC/USDT (spot) or BTC/USDT:USDT (linear)"
            )
        return found

    def histories(self, ids: Iterable[InstrumentId]) -> list[Market]:
        """The markets to read histories of: one that the venue no longer lists has a past all the same."""
        wanted = tuple(ids)
        try:
            return [market_of(item) for item in self.some(wanted)]
        except InstrumentUnknown:
            return [self._listed_or_not(key) for key in wanted]

    def _listed_or_not(self, instrument_id: InstrumentId) -> Market:
        try:
            return market_of(self.get(instrument_id))
        except InstrumentUnknown:
            return delisted(symbol_of(instrument_id), product_of(instrument_id.value))

    def known(self, instrument_id: InstrumentId) -> Market:
        """The market to look up orders of: one that is no longer listed has orders and fills all the same."""
        try:
            return market_of(self.get(instrument_id))
        except InstrumentUnknown as unknown:
            product = product_of(instrument_id.value)
            try:
                found = delisted(symbol_of(instrument_id), product)
            except AnswerUnreadable:
                raise unknown from None
            if product not in self._products or found.instrument_id != instrument_id:
                raise
            return found

    def market(self, product: ProductKind, symbol: str) -> Market:
        """The market of a venue symbol, listed or not (then by its name)."""
        with self._lock:
            if (product, symbol) not in self._by_symbol and not self._is_whole(product):
                self._read_symbol(product, symbol)
            found = self._by_symbol.get((product, symbol))
        return market_of(found) if found else delisted(symbol, product)

    def _is_fresh(self, instrument_id: InstrumentId) -> bool:
        read_at = self._read_at.get(instrument_id)
        if read_at is not None and self._clock.now() - read_at <= AGE_MAX:
            return True
        return read_at is None and self._is_whole(product_of(instrument_id.value))

    def _is_whole(self, product: ProductKind) -> bool:
        read_at = self._whole_at.get(product)
        return read_at is not None and self._clock.now() - read_at <= AGE_MAX

    def _read(self, product: ProductKind) -> None:
        self._keep(product, self._fetch(product, ""))
        self._whole_at[product] = self._clock.now()

    def _read_one(self, product: ProductKind, instrument_id: InstrumentId) -> None:
        if product is ProductKind.SPOT:
            self._by_id.pop(instrument_id, None)
            self._read_symbol(product, symbol_of(instrument_id))
        else:
            self._read(product)  # futures know no other way to ask

    def _read_symbol(self, product: ProductKind, symbol: str) -> None:
        if product is not ProductKind.SPOT:
            self._read(product)
            return
        try:
            self._keep(product, self._fetch(product, symbol))
        except InstrumentUnknown:
            return

    def _keep(self, product: ProductKind, answer: Any) -> None:
        for row in listed(row_of(answer, "exchangeInfo"), "symbols"):
            found = instrument(row, product)
            if found is not None:
                self._by_id[found.instrument_id] = found
                self._by_symbol[(found.product, found.venue_symbol)] = found
                self._read_at[found.instrument_id] = self._clock.now()
