"""How Binance prints numbers: fixed decimals, eight on spot, as many as a symbol's precision says on futures."""

from decimal import ROUND_HALF_EVEN, Decimal

from simulators.core.money import ZERO
from simulators.core.types import Instrument, MarketKind

ASSET_PLACES = 8
PRICE_PLACES_MIN = 2
AVERAGE_PLACES = 5


def fixed(value: Decimal, places: int = ASSET_PLACES) -> str:
    """Return a number with exactly so many decimals."""
    return format(value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN) + ZERO, "f")


def places(step: Decimal) -> int:
    """Return how many decimals a grid has."""
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return max(0, -exponent)


def price_places(instrument: Instrument) -> int:
    """Return pricePrecision, which is no tick: BTCUSDT has two decimals and a tick of 0.1."""
    if instrument.kind is MarketKind.SPOT:
        return ASSET_PLACES
    return max(places(instrument.tick), PRICE_PLACES_MIN)


def qty_places(instrument: Instrument) -> int:
    """Return quantityPrecision of a futures symbol; eight on spot."""
    return ASSET_PLACES if instrument.kind is MarketKind.SPOT else places(instrument.step)


def price(value: Decimal, instrument: Instrument) -> str:
    """Return a price of a symbol."""
    return fixed(value, price_places(instrument))


def qty(value: Decimal, instrument: Instrument) -> str:
    """Return a quantity of a symbol."""
    return fixed(value, qty_places(instrument))
