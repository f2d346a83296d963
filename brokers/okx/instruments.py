"""Instruments: OKX symbols to unified ones, and the book that remembers them.

Source: OKX V5 documentation, page "Get instruments". Sizes of swaps are in contracts, which may be fractional, each
worth `ctVal` x `ctMult` of the base currency; sizes of spot are in base currency. OKX has no least notional.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.clock import Clock
from brokers.errors import AnswerUnreadable, InstrumentUnknown, Unsupported
from brokers.fields import Row, number, number_or_zero, positive_or_none, required, text
from brokers.ids import InstrumentId
from brokers.rounding import MONEY
from brokers.types import Instrument, ProductKind

INST_TYPE = {ProductKind.LINEAR: "SWAP", ProductKind.SPOT: "SPOT"}
# With margin switched on, OKX may file an order in a spot pair under MARGIN.
PRODUCT = {"SWAP": ProductKind.LINEAR, "SPOT": ProductKind.SPOT, "MARGIN": ProductKind.SPOT}
SETTLE_CURRENCIES = ("USDT", "USDC")
AGE_MAX = timedelta(hours=1)
_LEVERAGE_STEP = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Market:
    """What mapping a row needs to know of its symbol. `product` is None for what is not traded here."""

    instrument_id: InstrumentId
    symbol: str
    product: ProductKind | None
    base: str
    quote: str
    settle: str
    is_listed: bool = True


def market_of(instrument: Instrument) -> Market:
    return Market(
        instrument_id=instrument.instrument_id,
        symbol=instrument.venue_symbol,
        product=instrument.product,
        base=instrument.base_currency,
        quote=instrument.quote_currency,
        settle=instrument.settle_currency,
    )


def foreign(symbol: str) -> Market:
    """The market of what is not traded here (futures, options, inverse contracts): it keeps OKX's name."""
    return Market(InstrumentId(symbol), symbol, None, "", "", "")


def delisted(symbol: str, inst_type: str) -> Market:
    """The market of a symbol that OKX no longer lists, by its name: `BTC-USDT`, `BTC-USDT-SWAP`. For history only."""
    parts = symbol.split("-")
    product = PRODUCT.get(inst_type)
    if product is ProductKind.SPOT and len(parts) == 2 and all(parts):
        base, quote = parts
        return Market(InstrumentId(f"{base}/{quote}"), symbol, product, base, quote, quote, is_listed=False)
    if product is ProductKind.LINEAR and len(parts) == 3 and parts[0] and parts[1] in SETTLE_CURRENCIES:
        base, quote = parts[:2]
        return Market(InstrumentId(f"{base}/{quote}:{quote}"), symbol, product, base, quote, quote, is_listed=False)
    return foreign(symbol)


def symbol_of(instrument_id: InstrumentId) -> str:
    """OKX's name by the unified one: what to ask for where it is not listed; the answer proves it."""
    pair, _, settle = instrument_id.value.partition(":")
    return pair.replace("/", "-") + ("-SWAP" if settle else "")


def instrument(row: Row, product: ProductKind) -> Instrument | str:
    """One row; for what is not ours to trade, the words that say why."""
    try:
        return _spot(row) if product is ProductKind.SPOT else _swap(row)
    except (ValueError, AnswerUnreadable) as error:
        state = text(row, "state")
        if state != "live":  # announced or ending: OKX may leave its filters empty
            return f"it is {state or 'without a state'} and its filters are not stated"
        raise AnswerUnreadable(f"instrument {text(row, 'instId')}: {error}") from error


def _spot(row: Row) -> Instrument:
    base, quote = required(row, "baseCcy"), required(row, "quoteCcy")
    return Instrument(
        instrument_id=InstrumentId(f"{base}/{quote}"),
        venue_symbol=required(row, "instId"),
        product=ProductKind.SPOT,
        base_currency=base,
        quote_currency=quote,
        settle_currency=quote,
        tick_size=number(row, "tickSz"),
        lot_size=number(row, "lotSz"),
        quantity_min=number_or_zero(row, "minSz"),
        notional_min=Decimal(0),
        quantity_max_limit=positive_or_none(row, "maxLmtSz"),
        quantity_max_market=None,  # OKX states it in USDT, which is no quantity
        is_trading=text(row, "state") == "live",
    )


def _swap(row: Row) -> Instrument | str:
    symbol, settle = required(row, "instId"), text(row, "settleCcy")
    base, quote = _currencies(symbol)
    refused = _why_not(row, base=base, quote=quote)
    if refused:
        return refused
    return Instrument(
        instrument_id=InstrumentId(f"{base}/{quote}:{settle}"),
        venue_symbol=symbol,
        product=ProductKind.LINEAR,
        base_currency=base,
        quote_currency=quote,
        settle_currency=settle,
        tick_size=number(row, "tickSz"),
        lot_size=number(row, "lotSz"),
        quantity_min=number_or_zero(row, "minSz"),
        notional_min=Decimal(0),
        contract_size=MONEY.multiply(number(row, "ctVal"), positive_or_none(row, "ctMult") or Decimal(1)),
        quantity_max_limit=positive_or_none(row, "maxLmtSz"),
        quantity_max_market=positive_or_none(row, "maxMktSz"),
        leverage_min=Decimal(1),
        leverage_max=positive_or_none(row, "lever"),
        leverage_step=_LEVERAGE_STEP,
        is_trading=text(row, "state") == "live",
    )


def _currencies(symbol: str) -> tuple[str, str]:
    """Base and quote by the name `BASE-QUOTE-SWAP`: OKX leaves both fields empty on derivatives."""
    parts = symbol.split("-")
    return (parts[0], parts[1]) if len(parts) == 3 and all(parts) else ("", "")


def _why_not(row: Row, *, base: str, quote: str) -> str:
    kind, settle, unit = text(row, "ctType"), text(row, "settleCcy") or "nothing", text(row, "ctValCcy")
    if kind != "linear":
        return f"it is an {kind or 'unknown'} contract, settled in {settle}; linear ones read BTC/USDT:USDT"
    if settle not in SETTLE_CURRENCIES or quote != settle:
        return f"it is quoted in {quote or 'nothing'} and settled in {settle}; both must be USDT, or both USDC"
    return "" if unit == base else f"its contracts are worth {unit or 'nothing'}, not {base}"


class InstrumentBook:
    """The venue's instruments, read when needed and again after an hour: one request per product."""

    def __init__(self, fetch: Callable[[str], list[Row]], *, products: Iterable[ProductKind], clock: Clock) -> None:
        self._fetch = fetch
        self._products = tuple(sorted(products))
        self._clock = clock
        self._lock = threading.RLock()
        self._by_id: dict[InstrumentId, Instrument] = {}
        self._by_symbol: dict[str, Instrument] = {}
        self._refused: dict[str, str] = {}
        self._read_at: dict[ProductKind, datetime] = {}

    def all(self) -> tuple[Instrument, ...]:
        """Every instrument, read from the venue now."""
        with self._lock:
            for product in self._products:
                self._read(product)
            return tuple(self._by_id.values())

    def get(self, instrument_id: InstrumentId) -> Instrument:
        """One instrument from memory where it is fresh.

        Unsupported for contracts that OKX lists and this adapter does not trade; InstrumentUnknown for all else.
        """
        name = instrument_id.value
        product = ProductKind.LINEAR if ":" in name or name.endswith("-SWAP") else ProductKind.SPOT
        with self._lock:
            if product in self._products:
                self._refresh(product)
            found, refused = self._by_id.get(instrument_id), self._refused.get(name)
        if refused:
            raise Unsupported(f"{instrument_id} cannot be traded here: {refused}")
        if found is None:
            raise InstrumentUnknown(
                f"OKX lists no {instrument_id} among {', '.join(self._products)}; unified symbols read BTC/USDT (spot) "
                "or BTC/USDT:USDT (linear)"
            )
        return found

    def known(self, instrument_id: InstrumentId) -> Market:
        """The market to look up orders of, listed or not: one that no longer is has orders and fills all the same."""
        try:
            return market_of(self.get(instrument_id))
        except InstrumentUnknown:
            product = ProductKind.LINEAR if ":" in instrument_id.value else ProductKind.SPOT
            found = delisted(symbol_of(instrument_id), INST_TYPE[product])
            if found.product not in self._products or found.instrument_id != instrument_id:
                raise
            return found

    def market(self, symbol: str, inst_type: str) -> Market:
        """The market of a venue symbol, listed or not."""
        product = PRODUCT.get(inst_type)
        if product is None:
            return foreign(symbol)
        with self._lock:
            if product in self._products:
                self._refresh(product)
            found = self._by_symbol.get(symbol)
        if found is not None:
            return market_of(found)
        return foreign(symbol) if symbol in self._refused else delisted(symbol, inst_type)

    def _refresh(self, product: ProductKind) -> None:
        read_at = self._read_at.get(product)
        if read_at is None or self._clock.now() - read_at > AGE_MAX:
            self._read(product)

    def _read(self, product: ProductKind) -> None:
        rows = [(row, instrument(row, product)) for row in self._fetch(INST_TYPE[product])]
        for gone in [item for item in self._by_id.values() if item.product is product]:
            del self._by_id[gone.instrument_id], self._by_symbol[gone.venue_symbol]
        for row, found in rows:
            if isinstance(found, Instrument):
                self._by_id[found.instrument_id] = found
                self._by_symbol[found.venue_symbol] = found
            else:
                self._refuse(row, found)
        self._read_at[product] = self._clock.now()

    def _refuse(self, row: Row, why: str) -> None:
        """Remember why, under OKX's name and under the unified one."""
        symbol = required(row, "instId")
        base, quote = _currencies(symbol)
        self._refused[symbol] = why
        if base:
            self._refused[f"{base}/{quote}:{text(row, 'settleCcy')}"] = why
