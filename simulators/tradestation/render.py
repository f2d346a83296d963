"""TradeStation's rows: every number a string, a field that has no value left out rather than null."""

from collections.abc import Mapping
from decimal import Decimal

from simulators.core.money import ZERO, plain
from simulators.core.tape import Bar
from simulators.core.types import Instrument, Order, OrderSide, OrderType, Position, Quote
from simulators.tradestation.book import Duration, Sight, TradeAction, type_of
from simulators.tradestation.config import TradeStationAccount, TradeStationSymbol
from simulators.tradestation.context import Flags, Row
from simulators.tradestation.sessions import AssetType, iso, iso_day

AVERAGE_DECIMALS = 10
BUY_OR_SELL: Mapping[TradeAction, str] = {
    TradeAction.BUY: "Buy",
    TradeAction.SELL: "Sell",
    TradeAction.BUYTOCOVER: "BuyToCover",
    TradeAction.SELLSHORT: "SellShort",
}
DURATIONS: Mapping[Duration, str] = {
    **{duration: duration.value for duration in Duration},
    Duration.DAY_PLUS: "DAY+",
    Duration.GTC_PLUS: "GTC+",
    Duration.GTD_PLUS: "GTD+",
    Duration.MINUTE_1: "1 min",
    Duration.MINUTES_3: "3 min",
    Duration.MINUTES_5: "5 min",
}
STATUSES: Mapping[str, str] = {
    "ACK": "Received",
    "OPN": "Sent",
    "DON": "Queued",
    "STP": "Stop Hit",
    "FPR": "Partial Fill (Alive)",
    "FLL": "Filled",
    "FLP": "Partial Fill (UROut)",
    "OUT": "UROut",
    "EXP": "Expired",
    "REJ": "Rejected",
    "UCN": "Cancel Sent",
    "UCH": "Replaced",
    "RSN": "Replace Sent",
    "RPD": "Replace Pending",
}


def order_row(sight: Sight, symbol: TradeStationSymbol, *, reject_reason: str, zero_fields: bool) -> Row:
    """Return one order. The client's OrderConfirmID is not part of it."""
    order, ticket = sight.order, sight.ticket
    commission, routing = _fees(sight, symbol)
    row: Row = {
        "AccountID": order.account,
        "ClosedDateTime": iso(order.updated_ms) if sight.closed else None,
        "CommissionFee": plain(commission),
        "ConditionalOrders": [{"Relationship": kind, "OrderID": other} for kind, other in ticket.links] or None,
        "Currency": "USD",
        "Duration": DURATIONS[ticket.duration],
        "FilledPrice": _average(order) or ("0" if zero_fields else None),
        "GoodTillDate": iso_day(ticket.good_till) if ticket.good_till else None,
        "GroupName": ticket.group or None,
        "Legs": [_leg(sight, symbol)],
        "OpenedDateTime": iso(order.created_ms),
        "OrderID": order.order_id,
        "OrderType": type_of(order),
        "PriceUsedForBuyingPower": plain(order.request.price or order.last_on_created),
        "RejectReason": reject_reason or None,
        "Routing": ticket.route,
        "Status": sight.code,
        "StatusDescription": STATUSES[sight.code],
        "UnbundledRouteFee": plain(routing) if ticket.asset is AssetType.STOCK else None,
    }
    if order.request.order_type is OrderType.LIMIT:
        row["LimitPrice"] = plain(order.price)
    if order.request.trigger_price is not None:
        row["StopPrice"] = plain(order.request.trigger_price)
        row["AdvancedOptions"] = "STPTRG=STT;"
    return {name: value for name, value in row.items() if value is not None}


def _fees(sight: Sight, symbol: TradeStationSymbol) -> tuple[Decimal, Decimal]:
    """Return commission and route fee: an order's own, known once it is done or a fill is acknowledged."""
    if sight.code not in ("ACK", "FLL", "FLP"):
        return ZERO, ZERO
    total = sum((amount for _, amount in sight.order.fees), ZERO)
    routing = symbol.fee_unit * sight.order.filled_qty if symbol.asset_type is AssetType.STOCK else ZERO
    return total - routing, routing


def _average(order: Order) -> str | None:
    average = order.average_price
    return None if average is None else plain(average, AVERAGE_DECIMALS)


def _leg(sight: Sight, symbol: TradeStationSymbol) -> Row:
    order, ticket = sight.order, sight.ticket
    leg: Row = {
        "AssetType": ticket.asset.value,
        "BuyOrSell": BUY_OR_SELL[ticket.action],
        "ExecQuantity": plain(order.filled_qty),
        "ExecutionPrice": _average(order),
        "ExpirationDate": iso_day(symbol.expires_on) if symbol.expires_on else None,
        "OpenOrClose": "Close" if ticket.closes else "Open",
        "QuantityOrdered": plain(order.qty),
        "QuantityRemaining": plain(order.remaining_qty) if order.is_open else "0",
        "Symbol": order.request.symbol,
        "Underlying": (symbol.underlying or symbol.root) if ticket.asset is AssetType.FUTURE else None,
    }
    return {name: value for name, value in leg.items() if value is not None}


def account_row(config: TradeStationAccount) -> Row:
    """Return one account; details are an equities account's only."""
    row: Row = {
        "AccountID": config.name,
        "AccountType": config.account_type.value,
        "Currency": "USD",
        "Status": "Active",
    }
    if config.alias:
        row["Alias"] = config.alias
    if config.account_type.value in ("Cash", "Margin"):
        row["AccountDetail"] = {
            "IsStockLocateEligible": False,
            "EnrolledInRegTProgram": False,
            "RequiresBuyingPowerWarning": False,
            "DayTradingQualified": True,
            "OptionApprovalLevel": 0,
            "PatternDayTrader": False,
        }
    return row


def symbol_row(symbol: TradeStationSymbol) -> Row:
    """Return one symbol's details."""
    row: Row = {
        "AssetType": symbol.asset_type.value,
        "Country": "United States",
        "Currency": "USD",
        "Description": symbol.description or symbol.symbol,
        "Exchange": symbol.exchange,
        "Symbol": symbol.symbol,
        "Root": symbol.root or symbol.base,
        "PriceFormat": {
            "Format": "Decimal",
            "Decimals": str(_decimals(symbol.tick)),
            "IncrementStyle": "Simple",
            "Increment": plain(symbol.tick),
            "PointValue": plain(symbol.multiplier),
        },
        "QuantityFormat": {
            "Format": "Decimal",
            "Decimals": str(_decimals(symbol.step)),
            "IncrementStyle": "Simple",
            "Increment": plain(symbol.step),
            "MinimumTradeQuantity": plain(symbol.qty_min),
        },
    }
    if symbol.asset_type is AssetType.FUTURE:
        row["FutureType"] = "Electronic"
    if symbol.underlying:
        row["Underlying"] = symbol.underlying
    if symbol.expires_on is not None:
        row["ExpirationDate"] = iso_day(symbol.expires_on)
    return row


def _decimals(step: Decimal) -> int:
    exponent = step.normalize().as_tuple().exponent
    assert isinstance(exponent, int), f"a grid is finite, was {step}"
    return max(-exponent, 0)


def quote_row(instrument: Instrument, quote: Quote, bar: Bar, *, venue: str, flags: Flags) -> Row:
    """Return one quote snapshot. Sizes are what the book holds, or a round lot where it is endless."""
    size = plain(quote.size) if quote.size is not None else "100"
    change = quote.last - bar.previous_close
    return {
        "Symbol": instrument.symbol,
        "Open": plain(bar.open),
        "High": plain(bar.high),
        "Low": plain(bar.low),
        "PreviousClose": plain(bar.previous_close),
        "Last": plain(quote.last),
        "Ask": plain(quote.ask),
        "AskSize": size,
        "Bid": plain(quote.bid),
        "BidSize": size,
        "NetChange": plain(change),
        "NetChangePct": plain(change / bar.previous_close * 100, 4),
        "Close": plain(quote.last),
        "Volume": "0",
        "PreviousVolume": "0",
        "DailyOpenInterest": "0",
        "TradeTime": iso(bar.traded_ms),
        "TickSizeTier": "0",
        "LastSize": size,
        "LastVenue": venue,
        "VWAP": plain((bar.high + bar.low + quote.last) / 3, 6),
        "MarketFlags": {
            "IsDelayed": flags.is_delayed,
            "IsHardToBorrow": flags.is_hard_to_borrow,
            "IsBats": False,
            "IsHalted": flags.is_halted,
        },
    }


def position_row(
    position: Position, symbol: TradeStationSymbol, quote: Quote, bar: Bar, *, account: str, number: str, today: bool
) -> Row:
    """Return one position: a short one has a negative quantity as well. Values include the point value."""
    average = position.average_price
    assert average is not None, "a flat position is not listed"
    unit, signed = position.multiplier, position.signed_qty
    future = symbol.asset_type is AssetType.FUTURE
    profit = position.unrealised(quote.last)
    mark = average if today else bar.previous_close
    margin = position.qty * unit * quote.last
    row: Row = {
        "AccountID": account,
        "AveragePrice": plain(average, AVERAGE_DECIMALS),
        "AssetType": symbol.asset_type.value,
        "Last": plain(quote.last),
        "Bid": plain(quote.bid),
        "Ask": plain(quote.ask),
        "ConversionRate": "1",
        "DayTradeRequirement": "0",
        "InitialRequirement": plain(margin / symbol.leverage_max, 2) if future else "0",
        "MaintenanceMargin": plain(margin * symbol.maintenance_rate, 2) if future else "0",
        "PositionID": number,
        "LongShort": "Short" if position.side is OrderSide.SELL else "Long",
        "Quantity": plain(signed),
        "Symbol": position.symbol,
        "Timestamp": iso(position.opened_ms),
        "TodaysProfitLoss": plain((quote.last - mark) * signed * unit),
        "TotalCost": plain(position.cost if signed > 0 else -position.cost),
        "MarketValue": plain(quote.last * signed * unit),
        "MarkToMarketPrice": plain(mark, AVERAGE_DECIMALS),
        "UnrealizedProfitLoss": plain(profit),
        "UnrealizedProfitLossPercent": plain(profit / position.cost * 100, 3),
        "UnrealizedProfitLossQty": plain(profit / position.qty, 6),
    }
    if symbol.expires_on is not None:
        row["ExpirationDate"] = iso_day(symbol.expires_on)
    return row
