"""/v3/orderexecution beside the orders themselves: previews, routes, activation triggers."""

from decimal import Decimal

from simulators.core.money import ZERO, plain
from simulators.core.types import MarketKind, OrderSide
from simulators.tradestation.context import Context, Row
from simulators.tradestation.errors import Failed, bad_request
from simulators.tradestation.ids import confirm_id
from simulators.tradestation.rules import judge
from simulators.tradestation.sessions import AssetType
from simulators.tradestation.trade import Asked, read_order, wish_of

ROUTES: list[Row] = [
    {"Id": "Intelligent", "Name": "Intelligent", "AssetTypes": ["STOCK", "FUTURE"]},
    {"Id": "AMEX", "Name": "AMEX", "AssetTypes": ["STOCK"]},
    {"Id": "ARCA", "Name": "ARCX", "AssetTypes": ["STOCK"]},
    {"Id": "NSDQ", "Name": "NSDQ", "AssetTypes": ["STOCK"]},
]
ROUTE_IDS = frozenset(str(route["Id"]) for route in ROUTES)
TRIGGERS = {
    "STT": "Single Trade Tick",
    "STTN": "Single Trade Tick Within NBBO",
    "SBA": "Single Bid/Ask Tick",
    "SAB": "Single Ask/Bid Tick",
    "DTT": "Double Trade Tick",
    "DTTN": "Double Trade Tick Within NBBO",
    "DBA": "Double Bid/Ask Tick",
    "DAB": "Double Ask/Bid Tick",
    "TTT": "Twice Trade Tick",
    "TTTN": "Twice Trade Tick Within NBBO",
    "TBA": "Twice Bid/Ask Tick",
    "TAB": "Twice Ask/Bid Tick",
}


def routes(context: Context) -> Row:
    """GET /v3/orderexecution/routes."""
    return {"Routes": ROUTES}


def triggers(context: Context) -> Row:
    """GET /v3/orderexecution/activationtriggers."""
    return {"ActivationTriggers": [{"Key": key, "Name": name, "Description": name} for key, name in TRIGGERS.items()]}


def confirm(context: Context) -> Row:
    """POST /v3/orderexecution/orderconfirm: what the order would cost; nothing is sent."""
    return {"Confirmations": [confirmation(context, read_order(context, context.body()))]}


def confirmation(context: Context, asked: Asked) -> Row:
    """Return one order's preview, with an OrderConfirmID of its own unless it has one."""
    house = context.house
    instrument = house.instrument(asked.symbol)
    if instrument is None:
        raise bad_request(f"Invalid symbol {asked.symbol}")
    try:
        judge(house, asked.account, instrument, wish_of(asked))
    except Failed as failed:
        raise bad_request(failed.message) from None
    symbol = house.symbols[instrument.symbol]
    quote = house.venue.board.quote(house.venue.instruments[(MarketKind.LINEAR, instrument.symbol)])
    buying = asked.action.side is OrderSide.BUY
    price = asked.limit or asked.stop or (quote.ask if buying else quote.bid)
    cost = price * asked.qty * instrument.multiplier
    future = symbol.asset_type is AssetType.FUTURE
    row: Row = {
        "OrderAssetCategory": "FUTURE" if future else "EQUITY",
        "Currency": "USD",
        "Route": asked.route,
        "TimeInForce": {"Duration": asked.duration.value},
        "AccountID": asked.account.name,
        "OrderConfirmID": asked.confirm_id or confirm_id(house.venue.rng),
        "EstimatedPrice": plain(price),
        "EstimatedCost": plain(cost),
        "DebitCreditEstimatedCost": plain(cost if buying else -cost),
        "EstimatedCommission": plain(instrument.fee_flat + instrument.fee_unit * asked.qty),
        "SummaryMessage": asked.words,
    }
    if future:
        margin = cost / _leverage(instrument.leverage_max)
        row |= {"ProductCurrency": "USD", "AccountCurrency": "USD", "InitialMarginDisplay": plain(margin, 2)}
    return row


def _leverage(maximum: Decimal) -> Decimal:
    return maximum if maximum > ZERO else Decimal(1)
