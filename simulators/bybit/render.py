"""Writes the core's facts as Bybit's rows, with its empty strings and its number forms (venues/bybit.md §3)."""

from decimal import Decimal

from simulators.bybit.errors import cancel_type, reject_reason
from simulators.bybit.params import POSITION_INDEX
from simulators.core.accounts import Account
from simulators.core.money import ZERO, plain
from simulators.core.types import (
    ClosedTrade,
    Entry,
    EntryKind,
    Execution,
    ExecutionKind,
    Instrument,
    MarketKind,
    Order,
    OrderSide,
    OrderStatus,
    OrderType,
    Position,
    Quote,
    TimeInForce,
    TriggerDirection,
)
from simulators.core.venue import Venue

Row = dict[str, object]

SIDES = {OrderSide.BUY: "Buy", OrderSide.SELL: "Sell"}
TYPES = {OrderType.MARKET: "Market", OrderType.LIMIT: "Limit"}
TIMES = {
    TimeInForce.GTC: "GTC",
    TimeInForce.IOC: "IOC",
    TimeInForce.FOK: "FOK",
    TimeInForce.POST_ONLY: "PostOnly",
}
STATUSES = {
    OrderStatus.PENDING: "Created",
    OrderStatus.UNTRIGGERED: "Untriggered",
    OrderStatus.OPEN: "New",
    OrderStatus.PARTIALLY_FILLED: "PartiallyFilled",
    OrderStatus.FILLED: "Filled",
    OrderStatus.CANCELLED: "Cancelled",
    OrderStatus.REJECTED: "Rejected",
    OrderStatus.DEACTIVATED: "Deactivated",
}
EXECUTIONS = {
    ExecutionKind.TRADE: "Trade",
    ExecutionKind.FUNDING: "Funding",
    ExecutionKind.LIQUIDATION: "BustTrade",
}
ENTRIES = {
    EntryKind.TRADE: "TRADE",
    EntryKind.FUNDING: "SETTLEMENT",
    EntryKind.DEPOSIT: "TRANSFER_IN",
    EntryKind.WITHDRAWAL: "TRANSFER_OUT",
    EntryKind.TRANSFER_IN: "TRANSFER_IN",
    EntryKind.TRANSFER_OUT: "TRANSFER_OUT",
    EntryKind.LIQUIDATION: "LIQUIDATION",
}


def status_of(order: Order) -> str:
    """Return orderStatus; spot alone tells a cancelled order with fills apart."""
    partly = order.status is OrderStatus.CANCELLED and order.filled_qty > 0
    if partly and order.request.kind is MarketKind.SPOT:
        return "PartiallyFilledCanceled"
    return STATUSES[order.status]


def order_row(order: Order) -> Row:
    """Return one row of realtime or history."""
    request = order.request
    average = order.average_price
    left = order.remaining_qty if order.is_open else ZERO
    by_value = request.quote_qty is not None
    direction = {None: 0, TriggerDirection.RISE: 1, TriggerDirection.FALL: 2}[request.trigger_direction]
    # Spot rows have no createType (bybit-exchange/docs order/open-order.mdx).
    created: Row = {} if request.kind is MarketKind.SPOT else {"createType": "CreateByUser"}
    return created | {
        "orderId": order.order_id,
        "orderLinkId": order.client_id,
        "blockTradeId": "",
        "symbol": request.symbol,
        "price": plain(order.price),
        "qty": plain(request.quote_qty if request.quote_qty is not None else order.qty),
        "side": SIDES[request.side],
        "isLeverage": "0" if request.kind is MarketKind.SPOT else "",
        "positionIdx": POSITION_INDEX[request.position_side],
        "orderStatus": status_of(order),
        "cancelType": cancel_type(order.reason),
        "rejectReason": reject_reason(order.reason),
        "avgPrice": "" if average is None else plain(average, 8),
        "leavesQty": plain(left if not by_value else ZERO),
        "leavesValue": plain(left * order.price if not by_value else ZERO),
        "cumExecQty": plain(order.filled_qty),
        "cumExecValue": plain(order.filled_value),
        "cumExecFee": plain(sum((amount for _, amount in order.fees), ZERO)),
        "cumFeeDetail": {coin: plain(amount) for coin, amount in order.fees},
        "timeInForce": TIMES[request.time_in_force],
        "orderType": TYPES[request.order_type],
        "stopOrderType": "" if request.trigger_price is None else "Stop",
        "orderIv": "",
        "marketUnit": "quoteCoin" if by_value else "baseCoin" if request.kind is MarketKind.SPOT else "",
        "triggerPrice": "" if request.trigger_price is None else plain(request.trigger_price),
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "",
        "ocoTriggerBy": "",
        "tpLimitPrice": "",
        "slLimitPrice": "",
        "tpTriggerBy": "",
        "slTriggerBy": "",
        "triggerDirection": direction,
        "triggerBy": "" if request.trigger_price is None else "LastPrice",
        "lastPriceOnCreated": plain(order.last_on_created),
        "basePrice": "",
        "reduceOnly": request.reduce_only,
        "closeOnTrigger": request.close_on_trigger,
        "placeType": "",
        "smpType": "None",
        "smpGroup": 0,
        "smpOrderId": "",
        "createdTime": str(order.created_ms),
        "updatedTime": str(order.updated_ms),
    }


def execution_row(execution: Execution) -> Row:
    """Return one row of execution/list; funding rows are mixed in with orderType UNKNOWN."""
    funding = execution.kind is ExecutionKind.FUNDING
    kind = execution.order_type
    return {
        "symbol": execution.symbol,
        "orderId": execution.order_id,
        "orderLinkId": execution.client_id,
        "side": SIDES[execution.side],
        "orderType": "UNKNOWN" if kind is None else TYPES[kind],
        "stopOrderType": "UNKNOWN" if execution.market is MarketKind.LINEAR else "",
        "orderPrice": plain(execution.order_price),
        "orderQty": plain(execution.order_qty),
        "leavesQty": plain(execution.remaining_qty),
        "createType": "" if funding else "CreateByUser",
        "execId": execution.execution_id,
        "execPrice": plain(execution.price),
        "execQty": plain(execution.qty),
        "execValue": plain(execution.value),
        "execType": EXECUTIONS[execution.kind],
        "execFee": plain(execution.fee),
        "feeRate": plain(execution.fee_rate),
        "feeCurrency": execution.fee_coin,
        "execTime": str(execution.time_ms),
        "isMaker": execution.is_maker,
        "closedSize": plain(execution.closed_qty) if execution.closed_qty else "",
        "markPrice": plain(execution.mark_price) if execution.market is MarketKind.LINEAR else "",
        "indexPrice": "",
        "underlyingPrice": "",
        "tradeIv": "",
        "markIv": "",
        "blockTradeId": "",
        "extraFees": "",
        "seq": execution.sequence,
    }


def entry_row(entry: Entry) -> Row:
    """Return one row of the transaction log; funding is positive when received."""
    trade = entry.kind in {EntryKind.TRADE, EntryKind.FUNDING, EntryKind.LIQUIDATION}
    return {
        "id": entry.entry_id,
        "symbol": entry.symbol,
        "category": entry.market.value if entry.market else "",
        "side": SIDES[entry.side] if entry.side else "None",
        "transactionTime": str(entry.time_ms),
        "type": ENTRIES[entry.kind],
        "transSubType": "",
        "qty": plain(entry.qty),
        "size": plain(entry.position_qty),
        "currency": entry.coin,
        "tradePrice": plain(entry.price) if trade else "",
        "funding": plain(entry.funding) if entry.kind is EntryKind.FUNDING else "",
        "fee": plain(entry.fee),
        "cashFlow": plain(entry.cash_flow),
        "change": plain(entry.change),
        "cashBalance": plain(entry.balance),
        "feeRate": plain(entry.fee_rate) if trade else "",
        "bonusChange": "",
        "tradeId": entry.execution_id,
        "orderId": entry.order_id,
        "orderLinkId": entry.client_id,
        "extraFees": "",
    }


def position_row(venue: Venue, account: Account, instrument: Instrument, position: Position) -> Row:
    """Return one row of position/list; a flat one has empty strings where Bybit has them."""
    leverage = venue.margin.leverage(account, instrument)
    mark = venue.board.last(instrument)
    average = position.average_price
    held = average is not None
    margin = venue.margin.position_margin(account, position) if held else ZERO
    return {
        "symbol": position.symbol,
        "leverage": plain(leverage),
        "autoAddMargin": 0,
        "avgPrice": plain(average, 8) if average is not None else "0",
        "breakEvenPrice": _break_even(instrument, position),
        "liqPrice": "",
        "riskLimitValue": plain(instrument.notional_max),
        "takeProfit": "",
        "positionValue": plain(position.cost, 8) if held else "",
        "isReduceOnly": False,
        "positionIMByMp": plain(margin, 8) if held else "",
        "tpslMode": "Full",
        "riskId": 1,
        "trailingStop": "0",
        "unrealisedPnl": plain(position.unrealised(mark), 8) if held else "",
        "markPrice": plain(mark),
        "adlRankIndicator": 2 if held else 0,
        "cumRealisedPnl": plain(position.realised, 8),
        "curRealisedPnl": plain(position.realised_open if held else ZERO, 8),
        "positionMM": plain(position.qty * mark * instrument.maintenance_rate, 8) if held else "",
        "positionMMByMp": plain(position.qty * mark * instrument.maintenance_rate, 8) if held else "",
        "createdTime": str(position.opened_ms) if position.opened_ms else "0",
        "positionIdx": POSITION_INDEX[position.position_side],
        "positionIM": plain(margin, 8) if held else "",
        "seq": position.sequence if position.sequence else -1,
        "updatedTime": str(position.updated_ms) if position.updated_ms else "",
        "side": SIDES[position.side] if position.side else "",
        "bustPrice": "",
        "positionBalance": plain(margin, 8) if held else "",
        "leverageSysUpdatedTime": "",
        "mmrSysUpdatedTime": "",
        "stopLoss": "",
        "tradeMode": 0,
        "size": plain(position.qty),
        "positionStatus": "Normal",
        "sessionAvgPrice": "",
    }


def _break_even(instrument: Instrument, position: Position) -> str:
    """Return (entry x qty - realised) / (qty - |qty| x fee rate), as position/position.mdx gives it."""
    if not position.qty or position.side is None:
        return ""
    qty = position.signed_qty
    rate = max(instrument.taker_rate, Decimal("0.00055"))
    value = position.cost * position.side.sign - position.realised_open
    return plain(value / (qty - position.qty * rate), 8)


def closed_row(closed: ClosedTrade) -> Row:
    """Return one row of closed-pnl; `side` is the closing order's."""
    return {
        "symbol": closed.symbol,
        "orderId": closed.order_id,
        "side": SIDES[closed.side],
        "qty": plain(closed.order_qty),
        "orderPrice": plain(closed.order_price),
        "orderType": TYPES[closed.order_type],
        "execType": "Trade",
        "closedSize": plain(closed.qty),
        "cumEntryValue": plain(closed.entry_value, 8),
        "avgEntryPrice": plain(closed.entry_value / closed.qty, 8),
        "cumExitValue": plain(closed.exit_value, 8),
        "avgExitPrice": plain(closed.exit_value / closed.qty, 8),
        "closedPnl": plain(closed.profit, 8),
        "fillCount": str(closed.fill_count),
        "leverage": plain(closed.leverage),
        "openFee": plain(closed.open_fee, 8),
        "closeFee": plain(closed.close_fee, 8),
        "createdTime": str(closed.created_ms),
        "updatedTime": str(closed.updated_ms),
    }


def instrument_row(instrument: Instrument, band: Decimal | None) -> Row:
    """Return one row of instruments-info; spot has basePrecision instead of qtyStep."""
    limit = plain(band) if band is not None else ""
    common: Row = {
        "symbol": instrument.symbol,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "status": "Trading" if instrument.trading else "Closed",
        "symbolType": "",
        "riskParameters": {"priceLimitRatioX": limit, "priceLimitRatioY": limit},
    }
    if instrument.kind is MarketKind.SPOT:
        return common | {
            "innovation": "0",
            "marginTrading": "none",
            "stTag": "0",
            "lotSizeFilter": {
                "basePrecision": plain(instrument.step),
                "quotePrecision": plain(instrument.quote_step),
                "minOrderQty": plain(instrument.qty_min),
                "maxOrderQty": plain(instrument.qty_max),
                "minOrderAmt": plain(instrument.notional_min),
                "maxOrderAmt": plain(instrument.notional_max),
                "maxLimitOrderQty": plain(instrument.qty_max),
                "maxMarketOrderQty": plain(instrument.qty_max_market),
                "postOnlyMaxLimitOrderSize": plain(instrument.qty_max),
            },
            "priceFilter": {"tickSize": plain(instrument.tick)},
        }
    return common | {
        "contractType": "LinearPerpetual",
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(max(0, -_exponent(instrument.tick))),
        "leverageFilter": {
            "minLeverage": plain(instrument.leverage_min),
            "maxLeverage": format(instrument.leverage_max, ".2f"),
            "leverageStep": plain(instrument.leverage_step),
        },
        "priceFilter": {
            "minPrice": plain(instrument.price_min),
            "maxPrice": plain(instrument.price_max),
            "tickSize": plain(instrument.tick),
        },
        "lotSizeFilter": {
            "maxOrderQty": plain(instrument.qty_max),
            "minOrderQty": plain(instrument.qty_min),
            "qtyStep": plain(instrument.step),
            "postOnlyMaxOrderQty": plain(instrument.qty_max),
            "maxMktOrderQty": plain(instrument.qty_max_market),
            "minNotionalValue": plain(instrument.notional_min),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": instrument.funding_interval_s // 60,
        "settleCoin": instrument.settle,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
        "preListingInfo": None,
    }


def _exponent(value: Decimal) -> int:
    exponent = value.normalize().as_tuple().exponent
    assert isinstance(exponent, int)
    return exponent


def ticker_row(venue: Venue, instrument: Instrument, quote: Quote) -> Row:
    """Return one row of tickers; volumes are empty because no other customers exist."""
    size = plain(quote.size if quote.size is not None else instrument.qty_max)
    row: Row = {
        "symbol": instrument.symbol,
        "bid1Price": plain(quote.bid),
        "bid1Size": size,
        "ask1Price": plain(quote.ask),
        "ask1Size": size,
        "lastPrice": plain(quote.last),
        "prevPrice24h": plain(quote.last),
        "price24hPcnt": "0",
        "highPrice24h": plain(quote.last),
        "lowPrice24h": plain(quote.last),
        "turnover24h": "0",
        "volume24h": "0",
    }
    if instrument.kind is MarketKind.SPOT:
        return row | {"usdIndexPrice": plain(quote.last)}
    return row | {
        "indexPrice": plain(quote.last),
        "markPrice": plain(quote.last),
        "prevPrice1h": plain(quote.last),
        "openInterest": "0",
        "openInterestValue": "0",
        "fundingIntervalHour": str(instrument.funding_interval_s // 3600),
        "fundingCap": "0.00375",
        "basisRateYear": "",
        "fundingRate": plain(venue.rate_of(instrument.symbol)),
        "nextFundingTime": str(venue.next_funding_ms(instrument)),
        "predictedDeliveryPrice": "",
        "basisRate": "",
        "basis": "",
        "deliveryFeeRate": "",
        "deliveryTime": "0",
        "preOpenPrice": "",
        "preQty": "",
        "curPreListingPhase": "",
    }
