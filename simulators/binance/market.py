"""Public reads of both products: time, rules, best prices, last prices, mark prices, the book."""

import json
from decimal import Decimal

from simulators.binance.errors import BinanceError, illegal
from simulators.binance.filters import Row, futures_filters, spot_filters
from simulators.binance.formats import fixed, price, qty
from simulators.binance.params import Context
from simulators.core.money import ZERO
from simulators.core.types import Instrument, MarketKind, OrderSide, Quote

Rows = list[object]
SPOT_TYPES = ("LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT")
FUTURES_TYPES = ("LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET")
STP_MODES = ("EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
SYMBOLS_RANGE = r"^\[(\"[A-Z0-9-_.]{1,20}\"(,\"[A-Z0-9-_.]{1,20}\"){0,}){0,1}\]$"


def ping(context: Context) -> Row:
    """GET /api/v3/ping, /fapi/v1/ping."""
    return {}


def server_time(context: Context) -> Row:
    """GET /api/v3/time, /fapi/v1/time."""
    return {"serverTime": context.venue.clock.gateway_ms()}


# rules
def spot_exchange_info(context: Context) -> Row:
    """GET /api/v3/exchangeInfo."""
    return {
        "timezone": "UTC",
        "serverTime": context.venue.clock.gateway_ms(),
        "rateLimits": context.house.limits.products[MarketKind.SPOT].rows(),
        "exchangeFilters": [],
        "symbols": [_spot_symbol(context, instrument) for instrument in _chosen(context) or context.instruments],
    }


def futures_exchange_info(context: Context) -> Row:
    """GET /fapi/v1/exchangeInfo: always whole."""
    return {
        "timezone": "UTC",
        "serverTime": context.venue.clock.gateway_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": context.house.limits.products[MarketKind.LINEAR].rows(),
        "exchangeFilters": [],
        "assets": [
            {"asset": coin, "marginAvailable": True, "autoAssetExchange": "-10000"}
            for coin in sorted({instrument.settle for instrument in context.instruments})
        ],
        "symbols": [_futures_symbol(context, instrument) for instrument in context.instruments],
    }


def _spot_symbol(context: Context, instrument: Instrument) -> Row:
    rules = context.venue.rules
    return {
        "symbol": instrument.symbol,
        "status": "TRADING" if instrument.trading else "BREAK",
        "baseAsset": instrument.base,
        "baseAssetPrecision": 8,
        "quoteAsset": instrument.quote,
        "quotePrecision": 8,
        "quoteAssetPrecision": 8,
        "baseCommissionPrecision": 8,
        "quoteCommissionPrecision": 8,
        "orderTypes": list(SPOT_TYPES),
        "icebergAllowed": False,
        "ocoAllowed": False,
        "otoAllowed": False,
        "opoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "pegInstructionsAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": spot_filters(
            instrument, context.house, orders_max=rules.open_orders_max, stops_max=rules.conditional_orders_max
        ),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": list(STP_MODES),
    }


def _futures_symbol(context: Context, instrument: Instrument) -> Row:
    rules = context.venue.rules
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": "TRADING" if instrument.trading else "SETTLING",
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.settle,
        "pricePrecision": _decimals(price(instrument.tick, instrument)),
        "quantityPrecision": _decimals(qty(instrument.step, instrument)),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": futures_filters(
            instrument, context.house, orders_max=rules.open_orders_max, stops_max=rules.conditional_orders_max
        ),
        "orderTypes": list(FUTURES_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
        "permissionSets": ["GRID", "COPY"],
    }


def _decimals(text: str) -> int:
    return len(text.partition(".")[2])


# prices
def _chosen(context: Context) -> list[Instrument] | None:
    """Return the instruments that `symbol` or `symbols` name; None when neither was sent."""
    params = context.params
    if params.given("symbols") and params.given("symbol"):
        raise BinanceError(-1128)
    if params.given("symbols"):
        try:
            names = json.loads(params.text("symbols"))
        except ValueError:
            names = None
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise illegal("symbols", SYMBOLS_RANGE)
        if len(set(names)) != len(names):
            raise BinanceError(-1151)
        return [context.venue.instrument(context.kind, name) for name in names]
    one = context.instrument(required=False)
    return None if one is None else [one]


def _one_or_all(context: Context, rows: Rows) -> Row | Rows:
    """Answer an object where `symbol` was sent, an array otherwise."""
    if not context.params.given("symbol"):
        return rows
    (row,) = rows
    assert isinstance(row, dict)
    return row


def book_ticker(context: Context) -> Row | Rows:
    """GET /api/v3/ticker/bookTicker, /fapi/v1/ticker/bookTicker."""
    rows: Rows = []
    for instrument in _chosen(context) or context.instruments:
        quote = context.venue.board.quote(instrument)
        size = qty(_size(quote, instrument), instrument)
        row: Row = {
            "symbol": instrument.symbol,
            "bidPrice": price(quote.bid, instrument),
            "bidQty": size,
            "askPrice": price(quote.ask, instrument),
            "askQty": size,
        }
        if context.kind is MarketKind.LINEAR:
            row |= {"time": context.venue.now_ms(), "lastUpdateId": 1}
        rows.append(row)
    return _one_or_all(context, rows)


def _size(quote: Quote, instrument: Instrument) -> Decimal:
    return quote.size if quote.size is not None else instrument.qty_max


def last_price(context: Context) -> Row | Rows:
    """GET /api/v3/ticker/price, /fapi/v1 and v2/ticker/price."""
    rows: Rows = []
    for instrument in _chosen(context) or context.instruments:
        row: Row = {"symbol": instrument.symbol, "price": price(context.venue.board.last(instrument), instrument)}
        if context.kind is MarketKind.LINEAR:
            row["time"] = context.venue.now_ms()
        rows.append(row)
    return _one_or_all(context, rows)


def day_ticker(context: Context) -> Row | Rows:
    """GET /api/v3/ticker/24hr, /fapi/v1/ticker/24hr: a day without other customers; futures tell no best prices."""
    rows: Rows = []
    for instrument in _chosen(context) or context.instruments:
        quote, now = context.venue.board.quote(instrument), context.venue.now_ms()
        last, nothing = price(quote.last, instrument), qty(ZERO, instrument)
        size = qty(_size(quote, instrument), instrument)
        row: Row = {
            "symbol": instrument.symbol,
            "priceChange": price(ZERO, instrument),
            "priceChangePercent": "0.000",
            "weightedAvgPrice": last,
            "lastPrice": last,
            "lastQty": nothing,
            **dict.fromkeys(("openPrice", "highPrice", "lowPrice"), last),
            "volume": nothing,
            "quoteVolume": nothing,
            "openTime": now - 86_400_000,
            "closeTime": now,
            "firstId": -1,
            "lastId": -1,
            "count": 0,
        }
        if context.kind is MarketKind.SPOT:
            bid, ask = price(quote.bid, instrument), price(quote.ask, instrument)
            row |= {"prevClosePrice": last, "bidPrice": bid, "bidQty": size, "askPrice": ask, "askQty": size}
        rows.append(row)
    return _one_or_all(context, rows)


def premium_index(context: Context) -> Row | Rows:
    """GET /fapi/v1/premiumIndex: the mark is the last price."""
    rows: Rows = []
    for instrument in _chosen(context) or context.instruments:
        mark = fixed(context.venue.board.last(instrument))
        rows.append(
            {
                "symbol": instrument.symbol,
                "markPrice": mark,
                "indexPrice": mark,
                "estimatedSettlePrice": mark,
                "lastFundingRate": fixed(context.venue.rate_of(instrument.symbol)),
                "interestRate": "0.00010000",
                "nextFundingTime": context.venue.next_funding_ms(instrument),
                "time": context.venue.now_ms(),
            }
        )
    return _one_or_all(context, rows)


def depth(context: Context) -> Row:
    """GET /api/v3/depth, /fapi/v1/depth: the liquidity that an order would meet now."""
    instrument = context.listed()
    limit = context.params.limit(100 if context.kind is MarketKind.SPOT else 500, 1000)

    def side(taker: OrderSide) -> list[list[str]]:
        levels = context.venue.board.levels(instrument, taker)[:limit]
        sizes = [level.left if level.left is not None else instrument.qty_max for level in levels]
        return [
            [price(level.price, instrument), qty(size, instrument)]
            for level, size in zip(levels, sizes, strict=True)
            if size > 0
        ]

    now = context.venue.now_ms()
    times: Row = {} if context.kind is MarketKind.SPOT else {"E": now, "T": now}
    return {"lastUpdateId": 1, **times, "bids": side(OrderSide.SELL), "asks": side(OrderSide.BUY)}


def average_price(context: Context) -> Row:
    """GET /api/v3/avgPrice: the price that NOTIONAL and PERCENT_PRICE_BY_SIDE use, here the last one."""
    instrument = context.listed()
    now = context.venue.now_ms()
    return {"mins": 5, "price": fixed(context.venue.board.last(instrument)), "closeTime": now}


def funding_info(context: Context) -> Rows:
    """GET /fapi/v1/fundingInfo."""
    return [
        {
            "symbol": instrument.symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": instrument.funding_interval_s // 3600,
            "disclaimer": False,
        }
        for instrument in context.instruments
    ]
