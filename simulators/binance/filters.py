"""Binance's filters as exchangeInfo lists them, and those checks on an order that the core does not make."""

from decimal import Decimal

from simulators.binance.errors import BinanceError
from simulators.binance.formats import ASSET_PLACES, fixed, places, price_places, qty_places
from simulators.binance.house import House
from simulators.core.money import ZERO, floor_to, plain
from simulators.core.types import Instrument, MarketKind, OrderRequest, OrderSide, Quote

Row = dict[str, object]
PRECISION = "Precision is over the maximum defined for this asset."


def spot_filters(instrument: Instrument, house: House, *, orders_max: int, stops_max: int) -> list[Row]:
    """Return the filters of a spot symbol."""
    up, down = plain(house.spot_multiplier_up), plain(house.spot_multiplier_down)
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": fixed(instrument.price_min),
            "maxPrice": fixed(instrument.price_max),
            "tickSize": fixed(instrument.tick),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": fixed(instrument.qty_min),
            "maxQty": fixed(instrument.qty_max),
            "stepSize": fixed(instrument.step),
        },
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": fixed(ZERO),
            "maxQty": fixed(instrument.qty_max_market),
            "stepSize": fixed(ZERO),
        },
        {
            "filterType": "PERCENT_PRICE_BY_SIDE",
            "bidMultiplierUp": up,
            "bidMultiplierDown": down,
            "askMultiplierUp": up,
            "askMultiplierDown": down,
            "avgPriceMins": 5,
        },
        {
            "filterType": "NOTIONAL",
            "minNotional": fixed(instrument.notional_min),
            "applyMinToMarket": True,
            "maxNotional": fixed(instrument.notional_max),
            "applyMaxToMarket": False,
            "avgPriceMins": 5,
        },
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": orders_max},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": stops_max},
    ]


def futures_filters(instrument: Instrument, house: House, *, orders_max: int, stops_max: int) -> list[Row]:
    """Return the filters of a futures symbol."""
    band = house.percent_price if house.percent_price is not None else Decimal("0.99")
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": plain(instrument.price_min),
            "maxPrice": plain(instrument.price_max),
            "tickSize": fixed(instrument.tick, max(places(instrument.tick), 2)),
        },
        {
            "filterType": "LOT_SIZE",
            "minQty": plain(instrument.qty_min),
            "maxQty": plain(instrument.qty_max),
            "stepSize": plain(instrument.step),
        },
        {
            "filterType": "MARKET_LOT_SIZE",
            "minQty": plain(instrument.qty_min),
            "maxQty": plain(instrument.qty_max_market),
            "stepSize": plain(instrument.step),
        },
        {"filterType": "MAX_NUM_ORDERS", "limit": orders_max},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": stops_max},
        {"filterType": "MIN_NOTIONAL", "notional": plain(instrument.notional_min)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": fixed(1 + band, 4),
            "multiplierDown": fixed(1 - band, 4),
            "multiplierDecimal": "4",
        },
    ]


def check_filters(request: OrderRequest, instrument: Instrument, quote: Quote, house: House) -> None:
    """Refuse too many decimals, and limit prices too far from the last price."""
    if instrument.kind is MarketKind.SPOT:
        _check_spot(request, quote, house)
    else:
        _check_futures(request, instrument, quote, house)


def _check_spot(request: OrderRequest, quote: Quote, house: House) -> None:
    named = {
        "quantity": request.qty,
        "quoteOrderQty": request.quote_qty,
        "price": request.price,
        "stopPrice": request.trigger_price,
    }
    for name, value in named.items():
        if value is not None and places(value) > ASSET_PLACES:
            raise BinanceError(-1111, f"Parameter '{name}' has too much precision.")
    if request.price is None:
        return
    low, high = quote.last * house.spot_multiplier_down, quote.last * house.spot_multiplier_up
    if request.price > 0 and not low <= request.price <= high:
        raise BinanceError(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")


def _check_futures(request: OrderRequest, instrument: Instrument, quote: Quote, house: House) -> None:
    if places(request.qty) > qty_places(instrument):
        raise BinanceError(-1111, PRECISION)
    for value in (request.price, request.trigger_price):
        if value is not None and places(value) > price_places(instrument):
            raise BinanceError(-1111, PRECISION)
    if request.price is None or house.percent_price is None:
        return
    high = floor_to(quote.last * (1 + house.percent_price), instrument.tick)
    low = floor_to(quote.last * (1 - house.percent_price), instrument.tick)
    if request.side is OrderSide.BUY and request.price > high:
        raise BinanceError(-4016, f"Limit price can't be higher than {plain(high)}.")
    if request.side is OrderSide.SELL and 0 < request.price < low:
        raise BinanceError(-4024, f"Limit price can't be lower than {plain(low)}.")
