"""TradingView's names of instruments: what they say, and which instrument of a venue they are.

Nothing is looked up and nothing is guessed: a name that is not plainly one thing needs the instrument in its route.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from brokers.ids import InstrumentId, Venue
from trading.alerts.reasons import AlertReason, AlertRefused

_TEXT = re.compile(r"(?:(?P<exchange>[A-Z][A-Z0-9_]{0,31}):)?(?P<ticker>[A-Z0-9][A-Z0-9.!_/-]{0,39})", re.ASCII)
_EXCHANGE = re.compile(r"[A-Z][A-Z0-9_]{0,31}", re.ASCII)
_DELAYED = ("_DLY", "_DL")
_DATED = re.compile(r"(?P<root>[A-Z0-9]{1,5}?)(?P<month>[FGHJKMNQUVXZ])(?P<year>20\d\d|\d\d)", re.ASCII)
_CONTINUOUS = re.compile(r"(?P<root>[A-Z0-9]{1,5})(?P<number>[12])!", re.ASCII)
_STOCK = re.compile(r"[A-Z]{1,5}(?:\.[A-Z]{1,2})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewedSymbol:
    """A name as it stands in an alert: `NASDAQ_DL:AAPL` is ticker AAPL of exchange NASDAQ on delayed data.

    Dated futures have their year with four digits, however they were written. A year of one digit is left as it is:
    which decade is meant depends on the day.
    """

    ticker: str
    exchange: str = ""
    is_delayed: bool = False

    @property
    def is_continuous(self) -> bool:
        """`ES1!`, `ES2!`: a series of contracts, not one that can be traded."""
        return _CONTINUOUS.fullmatch(self.ticker) is not None

    @property
    def dated(self) -> tuple[str, str, int] | None:
        """Root, month letter and year of a dated future."""
        found = _DATED.fullmatch(self.ticker)
        if found is None or len(found["year"]) != 4:
            return None
        return found["root"], found["month"], int(found["year"])


def read_symbol(text: str, *, exchange: str = "") -> ViewedSymbol:
    """Read `AAPL`, `NASDAQ:AAPL`, `BRK.B`, `ESZ2025`, `ES1!`, `BTCUSDT.P`; an exchange may stand beside it, too."""
    found = _TEXT.fullmatch(text.strip().upper())
    if found is None:
        raise AlertRefused(AlertReason.SYMBOL_UNKNOWN, f"symbol must read TICKER or EXCHANGE:TICKER, was {text[:40]!r}")
    beside, is_delayed = _exchange(exchange)
    within, is_delayed_within = _exchange(found["exchange"] or "")
    if beside and within and beside != within:
        raise AlertRefused(AlertReason.FIELDS_CONTRADICT, f"symbol is of {within}, exchange says {beside}")
    return ViewedSymbol(
        ticker=_long_year(found["ticker"]),
        exchange=within or beside,
        is_delayed=is_delayed or is_delayed_within,
    )


def instrument_of(symbol: ViewedSymbol, venue: Venue) -> InstrumentId:
    """The instrument that a name plainly is at a venue; SYMBOL_UNKNOWN where only a person can say.

    Plain are stocks and class shares at TradeStation and Alpaca, and dated futures at TradeStation. Everything else
    (continuous futures, forex, pairs of currencies, perpetuals) needs `instrument` or `roll` in the route.
    """
    if symbol.is_continuous:
        text = f"{symbol.ticker} is a series of contracts: name the contract (instrument) or a roll table (roll)"
        raise AlertRefused(AlertReason.SYMBOL_UNKNOWN, text)
    if symbol.dated is not None:
        if venue in _FUTURE_VENUES:
            root, month, year = symbol.dated
            return InstrumentId(f"{root}{month}{year % 10}")  # the unified symbol, as MESZ6; the venue's has two digits
    elif venue in _STOCK_VENUES and _STOCK.fullmatch(symbol.ticker):
        return InstrumentId(symbol.ticker)
    text = f"which instrument of {venue.value} {symbol.ticker} is has to stand in the route (instrument)"
    raise AlertRefused(AlertReason.SYMBOL_UNKNOWN, text)


# Venues whose unified symbols of stocks are TradingView's own, with a dot in class shares.
_STOCK_VENUES = frozenset({Venue.ALPACA, Venue.TRADESTATION})
_FUTURE_VENUES = frozenset({Venue.TRADESTATION})


def _exchange(text: str) -> tuple[str, bool]:
    name = text.strip().upper()
    if name and not _EXCHANGE.fullmatch(name):
        raise AlertRefused(AlertReason.SYMBOL_UNKNOWN, f"exchange must be letters, digits and _, was {text[:40]!r}")
    for suffix in _DELAYED:
        if name.endswith(suffix):
            return name.removesuffix(suffix), True
    return name, False


def _long_year(ticker: str) -> str:
    found = _DATED.fullmatch(ticker)
    if found is None or len(found["year"]) == 4:
        return ticker
    return f"{found['root']}{found['month']}20{found['year']}"
