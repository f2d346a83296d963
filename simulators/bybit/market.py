"""/v5/market: time, instruments-info, tickers, orderbook. Public, unsigned."""

from decimal import Decimal

from simulators.bybit.errors import bad_request
from simulators.bybit.params import Context
from simulators.bybit.render import Row, instrument_row, ticker_row
from simulators.core.money import plain
from simulators.core.types import Instrument, MarketKind, OrderSide


def server_time(context: Context) -> Row:
    """GET /v5/market/time."""
    now = context.venue.clock.gateway_ns()
    return {"timeSecond": str(now // 1_000_000_000), "timeNano": str(now)}


def _listed(context: Context) -> tuple[str, list[Instrument]]:
    """Return the category and its instruments, filtered by symbol and baseCoin; inverse and option are empty."""
    params = context.params
    category = params.choice("category", ("linear", "spot", "inverse", "option"))
    symbol, base = params.text("symbol"), params.text("baseCoin")
    found = [i for i in context.venue.instruments.values() if i.kind.value == category]
    if symbol:
        found = [i for i in found if i.symbol == symbol]
        if not found:
            raise bad_request("params error: symbol invalid")
    if base:
        found = [i for i in found if i.base == base]
    return category, found


def instruments_info(context: Context) -> Row:
    """GET /v5/market/instruments-info: spot ignores limit and cursor; linear pages by symbol."""
    category, found = _listed(context)
    params = context.params
    band = context.venue.rules.price_band
    wanted = params.text("status") or "Trading"
    found = [i for i in found if (wanted == "Trading") == i.trading]
    if category == MarketKind.SPOT.value:
        return {"category": category, "list": [instrument_row(i, band) for i in found]}
    start = params.integer("cursor", 0) or 0
    limit = params.limit(500, 1000)
    rows = found[start : start + limit]
    cursor = str(start + limit) if len(found) > start + limit else ""
    return {"category": category, "list": [instrument_row(i, band) for i in rows], "nextPageCursor": cursor}


def tickers(context: Context) -> Row:
    """GET /v5/market/tickers."""
    category, found = _listed(context)
    board = context.venue.board
    return {"category": category, "list": [ticker_row(context.venue, i, board.quote(i)) for i in found]}


def orderbook(context: Context) -> Row:
    """GET /v5/market/orderbook: the liquidity that an order would meet now."""
    kind = context.params.category()
    instrument = context.venue.instrument(kind, context.params.text("symbol", required=True))
    depth = context.params.limit(1 if kind is MarketKind.SPOT else 25, 500)

    def side(taker: OrderSide) -> list[list[str]]:
        levels = context.venue.board.levels(instrument, taker)[:depth]
        sizes = [level.left if level.left is not None else instrument.qty_max for level in levels]
        return [[plain(lv.price), plain(size)] for lv, size in zip(levels, sizes, strict=True) if size > Decimal(0)]

    now = context.venue.now_ms()
    return {
        "s": instrument.symbol,
        "b": side(OrderSide.SELL),
        "a": side(OrderSide.BUY),
        "ts": now,
        "u": 1,
        "seq": 1,
        "cts": now,
    }
