"""/fapi/v1: leverage, margin type, position mode, brackets, fees."""

from decimal import Decimal

from simulators.binance.errors import BinanceError, translate
from simulators.binance.filters import Row
from simulators.binance.house import MarginType
from simulators.binance.params import Context
from simulators.core.money import plain
from simulators.core.settlement import flat
from simulators.core.types import (
    MarketKind,
    PositionMode,
    Reason,
    Refusal,
)

Rows = list[object]
DONE: Row = {"code": 200, "msg": "success"}


def symbol_config(context: Context) -> Rows:
    """GET /fapi/v1/symbolConfig."""
    wanted = context.instrument(required=False)
    return [
        {
            "symbol": instrument.symbol,
            "marginType": context.house.margin_type(context.me.name, instrument.symbol).value,
            "isAutoAddMargin": False,
            "leverage": int(context.venue.margin.leverage(context.me, instrument)),
            "maxNotionalValue": plain(instrument.notional_max),
        }
        for instrument in (context.instruments if wanted is None else [wanted])
    ]


def account_config(context: Context) -> Row:
    """GET /fapi/v1/accountConfig."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": _is_hedged(context),
        "updateTime": 0,
        "multiAssetsMargin": context.me.name in context.house.multi_assets,
        "tradeGroupId": -1,
    }


def leverage_bracket(context: Context) -> Row | Rows:
    """GET /fapi/v1/leverageBracket: one bracket a symbol, as the core knows one maintenance rate."""
    wanted = context.instrument(required=False)
    return [
        {
            "symbol": instrument.symbol,
            "brackets": [
                {
                    "bracket": 1,
                    "initialLeverage": int(instrument.leverage_max),
                    "notionalCap": int(instrument.notional_max),
                    "notionalFloor": 0,
                    "maintMarginRatio": _number(instrument.maintenance_rate),
                    "cum": 0,
                }
            ],
        }
        for instrument in (context.instruments if wanted is None else [wanted])
    ]


def _number(rate: Decimal) -> float:
    """Return a rate as the JSON number that the venue prints here, and nowhere else."""
    return float(rate)


def commission_rate(context: Context) -> Row:
    """GET /fapi/v1/commissionRate."""
    instrument = context.listed()
    return {
        "symbol": instrument.symbol,
        "makerCommissionRate": plain(instrument.maker_rate),
        "takerCommissionRate": plain(instrument.taker_rate),
        "rpiCommissionRate": plain(instrument.maker_rate),
    }


def set_leverage(context: Context) -> Row:
    """POST /fapi/v1/leverage: the same value again is fine."""
    instrument = context.listed()
    number = context.params.integer("leverage", required=True)
    assert number is not None
    isolated = context.house.margin_type(context.me.name, instrument.symbol) is MarginType.ISOLATED
    before = context.venue.margin.leverage(context.me, instrument)
    if isolated and number < before and not flat(context.me, instrument.symbol):
        text = "Leverage reduction is not supported in Isolated Margin Mode with open positions."
        raise BinanceError(-4161, text)
    try:
        context.venue.set_leverage(context.me, instrument, Decimal(number))
    except Refusal as refusal:
        if refusal.reason is not Reason.LEVERAGE_NOT_MODIFIED:
            raise
    return {"leverage": number, "maxNotionalValue": plain(instrument.notional_max), "symbol": instrument.symbol}


def set_margin_type(context: Context) -> Row:
    """POST /fapi/v1/marginType: recorded and shown; the core margins every position across its wallet."""
    instrument, params = context.listed(), context.params
    words = {kind.value: kind for kind in MarginType}
    error = BinanceError(-1130, "Data sent for parameter 'marginType' is not valid.")
    wanted = params.word("marginType", words, error, required=True)
    assert wanted is not None
    if context.house.margin_type(context.me.name, instrument.symbol) is wanted:
        raise BinanceError(-4046)
    if wanted is MarginType.ISOLATED and context.me.name in context.house.multi_assets:
        raise BinanceError(-4168)
    open_ones = [order for order in context.me.open_orders() if order.request.symbol == instrument.symbol]
    if any(order.request.kind is MarketKind.LINEAR for order in open_ones):
        raise BinanceError(-4047)
    if not flat(context.me, instrument.symbol):
        raise BinanceError(-4048)
    context.house.margin_types[context.me.name][instrument.symbol] = wanted
    return DONE


def _is_hedged(context: Context) -> bool:
    return context.me.default_mode is PositionMode.HEDGE


def position_mode(context: Context) -> Row:
    """GET /fapi/v1/positionSide/dual: true is hedge mode, of the whole account."""
    return {"dualSidePosition": _is_hedged(context)}


def set_position_mode(context: Context) -> Row:
    """POST /fapi/v1/positionSide/dual."""
    hedged = context.params.flag("dualSidePosition", required=True)
    me = context.me
    if hedged is _is_hedged(context):
        raise translate(Refusal(Reason.MODE_NOT_MODIFIED), MarketKind.LINEAR)
    if any(order.request.kind is MarketKind.LINEAR for order in me.open_orders()):
        raise translate(Refusal(Reason.MODE_HAS_ORDERS), MarketKind.LINEAR)
    if me.positions():
        raise translate(Refusal(Reason.MODE_HAS_POSITION), MarketKind.LINEAR)
    me.default_mode = PositionMode.HEDGE if hedged else PositionMode.ONE_WAY
    return DONE


def bnb_fees(context: Context) -> Row:
    """GET /fapi/v1/feeBurn: whether fees are paid in BNB; one switch for both products here."""
    return {"feeBurn": context.me.name in context.house.bnb_fees}


def set_bnb_fees(context: Context) -> Row:
    """POST /fapi/v1/feeBurn."""
    change = (
        context.house.bnb_fees.add if context.params.flag("feeBurn", required=True) else context.house.bnb_fees.discard
    )
    change(context.me.name)
    return DONE


def multi_assets_mode(context: Context) -> Row:
    """GET /fapi/v1/multiAssetsMargin."""
    return {"multiAssetsMargin": context.me.name in context.house.multi_assets}


def set_multi_assets_mode(context: Context) -> Row:
    """POST /fapi/v1/multiAssetsMargin: how balances are told; each contract is still margined in its own coin."""
    wanted, me, joint = context.params.flag("multiAssetsMargin", required=True), context.me, context.house.multi_assets
    if wanted is (me.name in joint):
        raise BinanceError(-4171)
    types = context.house.margin_types[me.name].values()
    if wanted and MarginType.ISOLATED in types:
        raise BinanceError(-4167)
    if any(order.request.kind is MarketKind.LINEAR for order in me.open_orders()):
        raise BinanceError(-4170)
    if wanted:
        joint.add(me.name)
    else:
        joint.discard(me.name)
    return DONE


def count_down(context: Context) -> Row:
    """POST /fapi/v1/countdownCancelAll: milliseconds, 0 to stop."""
    instrument = context.listed()
    delay_ms = context.params.integer("countdownTime", required=True)
    assert delay_ms is not None
    context.house.countdowns.start(context.venue, context.me, instrument.symbol, delay_ms)
    return {"symbol": instrument.symbol, "countdownTime": str(delay_ms)}
