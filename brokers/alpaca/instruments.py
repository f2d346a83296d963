"""Instruments: Alpaca's assets as ours, and the book that remembers them.

Source: Alpaca documentation, pages "Working with /assets", "Fractional Trading", "Crypto Spot Trading". Shares carry no
price step: it is a cent, and a hundredth of that below a dollar (SEC rule 612). Crypto carries its steps.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from brokers.alpaca.client import as_object, as_rows
from brokers.alpaca.fields import Row, base_and_quote, flag, number, product_of_class, required, text
from brokers.alpaca.profile import CURRENCY, product_of
from brokers.clock import Clock
from brokers.errors import AnswerUnreadable, InstrumentUnknown, OrderNotFound
from brokers.ids import InstrumentId
from brokers.types import Instrument, PartTerms, ProductKind, TimeInForce

AGE_MAX = timedelta(hours=1)
SINGLES_MAX = 5  # so many unknown shares are asked for one by one; more of them cost the whole list
SHARE_TICK, PENNY_TICK = Decimal("0.01"), Decimal("0.0001")
PENNY_BELOW = Decimal(1)
PARTS = PartTerms(
    step=Decimal("0.000000001"),
    notional_min=Decimal(1),
    times_in_force=(TimeInForce.DAY, TimeInForce.DAY_EXTENDED),
)
CRYPTO_NOTIONAL_MIN = Decimal(10)
_DOLLARS = frozenset({"USD", "USDT", "USDC", "USDG"})
_CLASS = {ProductKind.EQUITY: "us_equity", ProductKind.SPOT: "crypto"}
NAMES = "shares read AAPL or BRK.B, crypto pairs BTC/USD"


def share_tick(price: Decimal) -> Decimal:
    """The step of a share's price at this price."""
    return SHARE_TICK if price >= PENNY_BELOW else PENNY_TICK


def is_whole(quantity: Decimal) -> bool:
    return quantity == quantity.to_integral_value()


def instrument(row: Row) -> Instrument | None:
    """One asset; None for classes that are not traded here."""
    product = product_of_class(required(row, "class"))
    if product is None:
        return None
    try:
        return _crypto(row) if product is ProductKind.SPOT else _share(row)
    except ValueError as error:
        raise AnswerUnreadable(f"asset {text(row, 'symbol')}: {error}") from error


def _is_trading(row: Row) -> bool:
    return text(row, "status") == "active" and flag(row, "tradable")


def _share(row: Row) -> Instrument:
    """Whole shares, and parts of one for the day where the asset may be divided.

    The tick is the coarse one, which fits at every price; what is finer below a dollar is checked with the order.
    """
    symbol, is_fractionable = required(row, "symbol"), flag(row, "fractionable")
    return Instrument(
        instrument_id=InstrumentId(symbol),
        venue_symbol=symbol,
        product=ProductKind.EQUITY,
        base_currency=symbol,
        quote_currency=CURRENCY,
        settle_currency=CURRENCY,
        tick_size=SHARE_TICK,
        lot_size=Decimal(1),
        quantity_min=PARTS.step if is_fractionable else Decimal(1),
        notional_min=Decimal(0),
        is_trading=_is_trading(row),
        parts=PARTS if is_fractionable else None,
    )


def _crypto(row: Row) -> Instrument:
    symbol = required(row, "symbol")
    base, quote_currency = base_and_quote(InstrumentId(symbol))
    return Instrument(
        instrument_id=InstrumentId(symbol),
        venue_symbol=symbol,
        product=ProductKind.SPOT,
        base_currency=base,
        quote_currency=quote_currency,
        settle_currency=quote_currency,
        tick_size=number(row, "price_increment"),
        lot_size=number(row, "min_trade_increment"),
        quantity_min=number(row, "min_order_size"),
        notional_min=CRYPTO_NOTIONAL_MIN if quote_currency in _DOLLARS else Decimal(0),
        is_trading=_is_trading(row),
    )


class InstrumentBook:
    """The assets that were asked for, read again after an hour.

    The list of all shares is several megabytes, so a few are asked for one by one; the list of pairs is short.
    """

    def __init__(self, read: Callable[..., Any], *, products: Iterable[ProductKind], clock: Clock) -> None:
        self._read = read
        self._products = tuple(sorted(products))
        self._clock = clock
        self._lock = threading.RLock()
        self._known: dict[InstrumentId, tuple[Instrument, datetime]] = {}
        self._listed_at: dict[ProductKind, datetime] = {}

    def all(self) -> tuple[Instrument, ...]:
        """Every active one of the account's products, read now."""
        with self._lock:
            found = [item for product in self._products for item in self._list(product)]
        return tuple(found)

    def get(self, ids: Sequence[InstrumentId]) -> tuple[Instrument, ...]:
        """In the order asked; InstrumentUnknown names the first that the venue does not list."""
        with self._lock:
            for product in ProductKind:
                stale = [key for key in dict.fromkeys(ids) if product_of(key.value) is product and self._is_stale(key)]
                if stale:
                    self._read_some(product, stale)
            return tuple(self._known[key][0] for key in ids)

    def _is_stale(self, key: InstrumentId) -> bool:
        known = self._known.get(key)
        return known is None or self._clock.now() - known[1] > AGE_MAX

    def _read_some(self, product: ProductKind, ids: Sequence[InstrumentId]) -> None:
        if product not in self._products:
            raise InstrumentUnknown(
                f"{ids[0]} is {product.value}, and the account trades {', '.join(self._products)}; {NAMES}"
            )
        if product is ProductKind.SPOT or len(ids) > SINGLES_MAX:
            self._list(product)
        for key in [key for key in ids if self._is_stale(key)]:  # not active, or no list was read
            self._read_one(key)

    def _list(self, product: ProductKind) -> list[Instrument]:
        answer = self._read("/assets", status="active", asset_class=_CLASS[product])
        found = [item for row in as_rows(answer) if (item := instrument(row)) is not None and item.product is product]
        for item in found:
            self._keep(item)
        return found

    def _read_one(self, key: InstrumentId) -> None:
        """A pair is asked for without its slash, which no path can carry."""
        symbol = key.value.replace("/", "")
        try:
            row = as_object(self._read(f"/assets/{quote(symbol, safe='')}"))
        except (OrderNotFound, InstrumentUnknown) as error:
            raise InstrumentUnknown(f"Alpaca lists no {key}; {NAMES}", code=error.code, text=error.text) from error
        found = instrument(row)
        if found is None:
            raise InstrumentUnknown(f"{key} is {text(row, 'class')}: this adapter trades shares and crypto pairs")
        if found.instrument_id != key:
            raise AnswerUnreadable(f"asked for the asset {key}, the venue showed {found.instrument_id}")
        self._keep(found)

    def _keep(self, found: Instrument) -> None:
        self._known[found.instrument_id] = (found, self._clock.now())
