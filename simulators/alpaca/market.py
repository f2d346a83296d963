"""Market data: latest quotes, trades and snapshots of stocks (/v2/stocks) and of crypto (/v1beta3/crypto)."""

import re
from collections.abc import Callable
from datetime import date, timedelta

from simulators.alpaca.config import AlpacaAsset
from simulators.alpaca.context import Context, House, Row
from simulators.alpaca.errors import UNPROCESSABLE, ApiError
from simulators.alpaca.moments import midnight, moment
from simulators.alpaca.render import bar_row, number, quote_row, trade_row
from simulators.core.sessions import AssetType
from simulators.core.types import OrderSide

FEEDS = ("iex", "sip", "delayed_sip", "boats", "overnight", "otc")
STOCK_NAME, PAIR_NAME = re.compile(r"[A-Z][A-Z0-9.]{0,9}"), re.compile(r"[A-Z0-9]+/[A-Z]+")
LOCATIONS = ("us", "us-1", "us-2", "eu-1", "global")
Read = Callable[[House, AlpacaAsset], Row]


# reading
def quote(house: House, asset: AlpacaAsset) -> Row:
    """Return the latest quote."""
    return quote_row(house, asset, house.venue.board.quote(house.instrument(asset)), _seen(house, asset))


def trade(house: House, asset: AlpacaAsset) -> Row:
    """Return the latest trade."""
    bar = house.tape.bar(house.instrument(asset))
    return trade_row(asset, house.price(asset), _seen(house, asset), bar.traded_ms % 10**9)


def snapshot(house: House, asset: AlpacaAsset) -> Row:
    """Return quote, trade and bars of an asset."""
    bar = house.tape.bar(house.instrument(asset))
    before, last = bar.previous_close, house.price(asset)
    return {
        "latestTrade": trade(house, asset),
        "latestQuote": quote(house, asset),
        "minuteBar": bar_row(_seen(house, asset)[:16] + ":00Z", (last, last, last, last)),
        "dailyBar": bar_row(_start(bar.day), (bar.open, bar.high, bar.low, bar.last)),
        "prevDailyBar": bar_row(_start(bar.day - timedelta(days=1)), (before, before, before, before)),
    }


def _start(day: date) -> str:
    return moment(int(midnight(day).timestamp()) * 1_000_000)


def orderbook(house: House, asset: AlpacaAsset) -> Row:
    """Return the levels of a crypto pair."""

    def side(which: OrderSide) -> list[Row]:
        levels = house.venue.board.levels(house.instrument(asset), which)
        return [
            {"p": number(one.price), "s": number(one.left) if one.left is not None else 100}
            for one in levels
            if one.left is None or one.left > 0
        ]

    return {"t": _seen(house, asset), "b": side(OrderSide.SELL), "a": side(OrderSide.BUY)}


def _seen(house: House, asset: AlpacaAsset) -> str:
    """Return when a market was last heard of: now while it is open, else at its last move."""
    now = house.venue.now_ms()
    is_open = asset.is_crypto or house.hours.is_open(AssetType.STOCK, now, extended=True)
    return moment((now if is_open else house.tape.bar(house.instrument(asset)).traded_ms) * 1000)


# stocks
def _feed(context: Context) -> None:
    feed = context.query.get("feed", "")
    if feed not in ("", *FEEDS):
        raise ApiError(400, f"invalid feed: {feed}")
    if feed == "sip" and not context.house.config.quirks.sip:
        raise ApiError(403, "subscription does not permit querying recent SIP data", code=UNPROCESSABLE)


def _stock(context: Context, name: str) -> AlpacaAsset | None:
    if not STOCK_NAME.fullmatch(name):
        raise ApiError(400, f"invalid symbol: {name}")
    found = context.house.assets.get(name)
    return found if found is not None and not found.is_crypto else None


def _named(context: Context) -> list[str]:
    names = [name.strip() for name in context.query.get("symbols", "").split(",") if name.strip()]
    if not names:
        raise ApiError(400, "symbols is required")
    return list(dict.fromkeys(names))


def _stocks(context: Context, read: Read) -> Row:
    _feed(context)
    found = {name: _stock(context, name) for name in _named(context)}
    return {name: read(context.house, one) for name, one in found.items() if one is not None}


def _one_stock(context: Context, read: Read, what: str) -> Row:
    _feed(context)
    name = context.path["symbol"]
    found = _stock(context, name)
    if found is None:
        raise ApiError(404, f"no {what} found for {name}")
    return read(context.house, found)


def stock_quotes(context: Context) -> Row:
    """GET /v2/stocks/quotes/latest: what is unknown is left out."""
    return {"quotes": _stocks(context, quote)}


def stock_trades(context: Context) -> Row:
    """GET /v2/stocks/trades/latest."""
    return {"trades": _stocks(context, trade)}


def stock_snapshots(context: Context) -> Row:
    """GET /v2/stocks/snapshots: the symbols stand at the top, other than for crypto."""
    return _stocks(context, snapshot)


def stock_quote(context: Context) -> Row:
    """GET /v2/stocks/{symbol}/quotes/latest."""
    return {"symbol": context.path["symbol"], "quote": _one_stock(context, quote, "quote")}


def stock_trade(context: Context) -> Row:
    """GET /v2/stocks/{symbol}/trades/latest."""
    return {"symbol": context.path["symbol"], "trade": _one_stock(context, trade, "trade")}


def stock_snapshot(context: Context) -> Row:
    """GET /v2/stocks/{symbol}/snapshot."""
    return {"symbol": context.path["symbol"], **_one_stock(context, snapshot, "snapshot")}


# crypto
def _pairs(context: Context, read: Read) -> Row:
    if context.path["loc"] not in LOCATIONS:
        raise ApiError(400, f"invalid location: {context.path['loc']}")
    rows: Row = {}
    for name in _named(context):
        if not PAIR_NAME.fullmatch(name):
            raise ApiError(400, f"Invalid symbol(s): {name} does not match ^[A-Z]+/[A-Z]+$")
        found = context.house.assets.get(name)
        if found is not None:
            rows[name] = read(context.house, found)
    return rows


def crypto_quotes(context: Context) -> Row:
    """GET /v1beta3/crypto/{loc}/latest/quotes."""
    return {"quotes": _pairs(context, quote)}


def crypto_trades(context: Context) -> Row:
    """GET /v1beta3/crypto/{loc}/latest/trades."""
    return {"trades": _pairs(context, trade)}


def crypto_orderbooks(context: Context) -> Row:
    """GET /v1beta3/crypto/{loc}/latest/orderbooks."""
    return {"orderbooks": _pairs(context, orderbook)}


def crypto_snapshots(context: Context) -> Row:
    """GET /v1beta3/crypto/{loc}/snapshots."""
    return {"snapshots": _pairs(context, snapshot)}
