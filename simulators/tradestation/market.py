"""/v3/marketdata: symbol details and quote snapshots."""

from simulators.core.types import Instrument
from simulators.tradestation.context import Context, House, Row, with_errors
from simulators.tradestation.errors import INVALID_SYMBOL
from simulators.tradestation.render import quote_row, symbol_row

SYMBOLS_MAX = 50
QUOTES_MAX = 100


def symbols(context: Context) -> Row:
    """GET /v3/marketdata/symbols/{symbols}: at most fifty."""
    found, errors = _named(context, SYMBOLS_MAX)
    for error in errors:
        error["Message"] = f"Symbol {error['Symbol']} was not found."
    return with_errors("Symbols", [symbol_row(context.house.symbols[one.symbol]) for one in found], errors)


def quotes(context: Context) -> Row:
    """GET /v3/marketdata/quotes/{symbols}: at most a hundred."""
    found, errors = _named(context, QUOTES_MAX)
    return with_errors("Quotes", [quote(context.house, instrument) for instrument in found], errors)


def quote(house: House, instrument: Instrument) -> Row:
    """Return a symbol's present quote."""
    return quote_row(
        instrument,
        house.venue.board.quote(instrument),
        house.tape.bar(instrument),
        venue=house.symbols[instrument.symbol].exchange,
        flags=house.flags[instrument.symbol],
    )


def _named(context: Context, maximum: int) -> tuple[list[Instrument], list[Row]]:
    found: list[Instrument] = []
    errors: list[Row] = []
    for name in context.listed("symbols", maximum):
        instrument = context.house.instrument(name)
        if instrument is None:
            errors.append({"Symbol": name, "Error": INVALID_SYMBOL})
        else:
            found.append(instrument)
    return found, errors
