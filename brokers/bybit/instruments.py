"""Instruments: Bybit symbols to unified ones, and the book that remembers them.

Source: Bybit V5 documentation, page "Get Instruments Info". Linear contracts are sized in base currency; spot has no
quantity step and uses `basePrecision`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from brokers.bybit.fields import Row, moment, number, number_or_none, number_or_zero, positive_or_none, required, text
from brokers.bybit.paging import pages
from brokers.clock import Clock
from brokers.errors import AnswerUnreadable, InstrumentUnknown, OrderInvalid
from brokers.ids import InstrumentId
from brokers.types import Instrument, ProductKind

CATEGORY = {ProductKind.LINEAR: "linear", ProductKind.SPOT: "spot"}
PRODUCT = {category: product for product, category in CATEGORY.items()}
AGE_MAX = timedelta(hours=1)
AGE_ASKED_MAX = timedelta(minutes=1)  # where filters are asked for, not only names
# Quote currencies by which the symbol of a delisted pair can still be split; longest match first.
_QUOTES = ("USDT", "USDC", "USDE", "USDR", "BRZ", "EUR", "BRL", "TRY", "PLN", "DAI", "BTC", "ETH", "MNT", "SOL")


@dataclass(frozen=True, slots=True)
class Market:
    """What mapping a row needs to know of its symbol."""

    instrument_id: InstrumentId
    symbol: str
    product: ProductKind
    base: str
    quote: str
    settle: str
    is_listed: bool = True

    @property
    def category(self) -> str:
        return CATEGORY[self.product]


def market_of(instrument: Instrument) -> Market:
    return Market(
        instrument_id=instrument.instrument_id,
        symbol=instrument.venue_symbol,
        product=instrument.product,
        base=instrument.base_currency,
        quote=instrument.quote_currency,
        settle=instrument.settle_currency,
    )


def instrument(row: Row, product: ProductKind) -> Instrument | None:
    """One row of instruments-info; None for contracts that are not ours to trade (none are on spot)."""
    try:
        return _spot(row) if product is ProductKind.SPOT else _linear(row)
    except ValueError as error:
        raise AnswerUnreadable(f"instrument {text(row, 'symbol')}: {error}") from error


def _spot(row: Row) -> Instrument:
    base, quote = required(row, "baseCoin"), required(row, "quoteCoin")
    lot, price = _part(row, "lotSizeFilter"), _part(row, "priceFilter")
    return Instrument(
        instrument_id=InstrumentId(f"{base}/{quote}"),
        venue_symbol=required(row, "symbol"),
        product=ProductKind.SPOT,
        base_currency=base,
        quote_currency=quote,
        settle_currency=quote,
        tick_size=number(price, "tickSize"),
        lot_size=number(lot, "basePrecision"),
        quantity_min=number_or_zero(lot, "minOrderQty"),
        notional_min=number_or_zero(lot, "minOrderAmt"),
        quantity_max_limit=positive_or_none(lot, "maxLimitOrderQty") or positive_or_none(lot, "maxOrderQty"),
        quantity_max_market=positive_or_none(lot, "maxMarketOrderQty") or positive_or_none(lot, "maxOrderQty"),
        is_trading=text(row, "status") == "Trading",
    )


def _linear(row: Row) -> Instrument | None:
    contract = text(row, "contractType")
    if contract not in ("LinearPerpetual", "LinearFutures"):
        return None
    base, quote, settle = (required(row, name) for name in ("baseCoin", "quoteCoin", "settleCoin"))
    expiry = f"-{moment(row, 'deliveryTime'):%y%m%d}" if contract == "LinearFutures" else ""
    lot, price, leverage = (_part(row, name) for name in ("lotSizeFilter", "priceFilter", "leverageFilter"))
    return Instrument(
        instrument_id=InstrumentId(f"{base}/{quote}:{settle}{expiry}"),
        venue_symbol=required(row, "symbol"),
        product=ProductKind.LINEAR,
        base_currency=base,
        quote_currency=quote,
        settle_currency=settle,
        tick_size=number(price, "tickSize"),
        lot_size=number(lot, "qtyStep"),
        quantity_min=number_or_zero(lot, "minOrderQty"),
        notional_min=number_or_zero(lot, "minNotionalValue"),
        contract_size=Decimal(1),
        quantity_max_limit=positive_or_none(lot, "maxOrderQty"),
        quantity_max_market=positive_or_none(lot, "maxMktOrderQty"),
        leverage_min=number_or_none(leverage, "minLeverage"),
        leverage_max=number_or_none(leverage, "maxLeverage"),
        leverage_step=positive_or_none(leverage, "leverageStep"),
        is_trading=text(row, "status") == "Trading",
    )


def _part(row: Row, name: str) -> Row:
    value = row.get(name)
    if not isinstance(value, dict):
        raise AnswerUnreadable(f"instrument {text(row, 'symbol')} has no {name}")
    return value


def delisted(symbol: str, product: ProductKind) -> Market:
    """The market of a symbol that the venue no longer lists, from its name alone; AnswerUnreadable if it tells nothing.

    Only for reading history: names of perpetuals end in USDT (settled in it) or PERP (settled in USDC).
    """
    if product is ProductKind.LINEAR:
        if symbol.endswith("PERP") and len(symbol) > 4:
            base, quote = symbol[:-4], "USDC"
        elif symbol.endswith("USDT") and len(symbol) > 4:
            base, quote = symbol[:-4], "USDT"
        else:
            raise AnswerUnreadable(f"symbol {symbol!r} is not listed and its name does not tell its currencies")
        return Market(InstrumentId(f"{base}/{quote}:{quote}"), symbol, product, base, quote, quote, is_listed=False)
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            base = symbol[: -len(quote)]
            return Market(InstrumentId(f"{base}/{quote}"), symbol, product, base, quote, quote, is_listed=False)
    raise AnswerUnreadable(f"symbol {symbol!r} is not listed and its name does not tell its currencies")


def symbol_of(instrument_id: InstrumentId) -> str:
    """Bybit's name by the unified one: what to ask for where it is not listed; the answer proves it."""
    pair, _, settle = instrument_id.value.partition(":")
    base, _, quote = pair.partition("/")
    return f"{base}PERP" if settle == "USDC" else f"{base}{quote}"


class InstrumentBook:
    """The venue's instruments, read when needed and again after an hour (limits are revised twice a month)."""

    def __init__(self, fetch: Callable[..., dict[str, Any]], *, products: Iterable[ProductKind], clock: Clock) -> None:
        self._fetch = fetch
        self._products = tuple(sorted(products))
        self._clock = clock
        self._lock = threading.RLock()
        self._by_id: dict[InstrumentId, Instrument] = {}
        self._by_symbol: dict[tuple[ProductKind, str], Instrument] = {}
        self._read_at: dict[ProductKind, Any] = {}

    def all(self) -> tuple[Instrument, ...]:
        """Every instrument, read from the venue now."""
        with self._lock:
            for product in self._products:
                self._read(product)
            return tuple(self._by_id.values())

    def get(self, instrument_id: InstrumentId, *, age_max: timedelta = AGE_MAX) -> Instrument:
        """One instrument from memory where it is fresh; InstrumentUnknown when the venue does not list it."""
        product = ProductKind.LINEAR if ":" in instrument_id.value else ProductKind.SPOT
        with self._lock:
            if product in self._products:
                self._refresh(product, age_max)
            found = self._by_id.get(instrument_id)
        if found is None:
            raise InstrumentUnknown(
                f"Bybit lists no {instrument_id} among {', '.join(self._products)}; unified symbols read "
                "BTC/USDT (spot) or BTC/USDT:USDT (linear)"
            )
        return found

    def known(self, instrument_id: InstrumentId) -> Market:
        """The market to look up orders of, listed or not: one that no longer is has orders and fills all the same."""
        try:
            return market_of(self.get(instrument_id))
        except InstrumentUnknown as unknown:
            product = ProductKind.LINEAR if ":" in instrument_id.value else ProductKind.SPOT
            try:
                found = delisted(symbol_of(instrument_id), product)
            except AnswerUnreadable:
                raise unknown from None
            if product not in self._products or found.instrument_id != instrument_id:
                raise
            return found

    def market(self, product: ProductKind, symbol: str) -> Market:
        """The market of a venue symbol, listed or not (then by its own page, then by its name)."""
        with self._lock:
            self._refresh(product)
            found = self._by_symbol.get((product, symbol)) or self._read_one(product, symbol)
        return market_of(found) if found else delisted(symbol, product)

    def _refresh(self, product: ProductKind, age_max: timedelta = AGE_MAX) -> None:
        read_at = self._read_at.get(product)
        if read_at is None or self._clock.now() - read_at > age_max:
            self._read(product)

    def _read(self, product: ProductKind) -> None:
        for row in pages(self._fetch, category=CATEGORY[product], limit=1000):
            self._keep(instrument(row, product))
        self._read_at[product] = self._clock.now()

    def _read_one(self, product: ProductKind, symbol: str) -> Instrument | None:
        try:
            found = self._fetch(category=CATEGORY[product], symbol=symbol)
        except (InstrumentUnknown, OrderInvalid):
            return None
        for row in found.get("list") or []:
            self._keep(instrument(row, product))
        return self._by_symbol.get((product, symbol))

    def _keep(self, found: Instrument | None) -> None:
        if found is not None:
            self._by_id[found.instrument_id] = found
            self._by_symbol[(found.product, found.venue_symbol)] = found
