"""/fapi: balances, positions, leverage, margin type, position mode, income."""

from collections.abc import Iterator
from decimal import Decimal

from simulators.binance.errors import BinanceError, not_simulated, translate
from simulators.binance.filters import Row
from simulators.binance.finding import FUTURES_WINDOW_MS, alive, window
from simulators.binance.formats import fixed, price, qty
from simulators.binance.house import MarginType, coin_of, futures_wallet, is_futures
from simulators.binance.params import Context
from simulators.binance.words import POSITION_SIDES
from simulators.core.accounts import newest_first
from simulators.core.margin import MarginState
from simulators.core.money import ONE, ZERO, plain
from simulators.core.settlement import flat
from simulators.core.types import (
    Entry,
    EntryKind,
    Instrument,
    MarketKind,
    Order,
    OrderSide,
    Position,
    PositionMode,
    PositionSide,
    Reason,
    Refusal,
)

Rows = list[object]
DONE: Row = {"code": 200, "msg": "success"}
NEVER_HELD = "BNB"
INCOME_LIMIT, INCOME_LIMIT_MAX = 100, 1000
_TRANSFERS = frozenset({EntryKind.DEPOSIT, EntryKind.WITHDRAWAL, EntryKind.TRANSFER_IN, EntryKind.TRANSFER_OUT})


# balances
def _states(context: Context) -> dict[str, MarginState]:
    """Return each coin's margin, of every coin that positions settle in and of those held."""
    venue, me = context.venue, context.me
    view = context.view_ms(venue.lags.wallet_ms)
    coins = {instrument.settle for instrument in context.instruments} | {NEVER_HELD}
    coins |= {coin_of(wallet) for wallet in me.wallets(view) if is_futures(wallet)}
    return {coin: venue.margin.state(me, futures_wallet(coin), view_ms=view) for coin in sorted(coins)}


def _available(state: MarginState) -> Decimal:
    return max(state.available, ZERO)


def balance(context: Context) -> Rows:
    """GET /fapi/v2 and v3/balance."""
    return [
        {
            "accountAlias": "SgsR",
            "asset": coin,
            "balance": fixed(state.wallet),
            "crossWalletBalance": fixed(state.wallet),
            "crossUnPnl": fixed(state.unrealised),
            "availableBalance": fixed(_available(state)),
            "maxWithdrawAmount": fixed(min(_available(state), max(state.wallet, ZERO))),
            "marginAvailable": True,
            "updateTime": _updated(context, coin),
        }
        for coin, state in _states(context).items()
    ]


def _updated(context: Context, coin: str) -> int:
    wallet = futures_wallet(coin)
    return next((entry.time_ms for entry in newest_first(context.me.entries) if entry.coin == wallet), 0)


def account_v2(context: Context) -> Row:
    """GET /fapi/v2/account: every symbol and every asset, with the account's rights."""
    rights: Row = {
        "feeTier": 0,
        "feeBurn": False,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }
    positions = [_account_v2_position(context, *found) for found in _every_position(context)]
    return rights | _account(context, _states(context), positions)


def account_v3(context: Context) -> Row:
    """GET /fapi/v3/account: only assets and positions in use."""
    states = {coin: state for coin, state in _states(context).items() if state.wallet or state.position_margin}
    positions = [_account_position(context, *found) for found in _used_positions(context)]
    return _account(context, states, positions)


def _account(context: Context, states: dict[str, MarginState], positions: Rows) -> Row:
    total = _totals(states)
    assets = [_asset(context, coin, state) for coin, state in states.items()]
    return total | {"assets": assets, "positions": positions}


def _totals(states: dict[str, MarginState]) -> Row:
    """Return the account's totals: those of USDT, as in single-asset mode."""
    state = states.get("USDT", MarginState(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO))
    return {
        "totalInitialMargin": fixed(state.position_margin + state.order_margin),
        "totalMaintMargin": fixed(state.maintenance),
        "totalWalletBalance": fixed(state.wallet),
        "totalUnrealizedProfit": fixed(state.unrealised),
        "totalMarginBalance": fixed(state.equity),
        "totalPositionInitialMargin": fixed(state.position_margin),
        "totalOpenOrderInitialMargin": fixed(state.order_margin),
        "totalCrossWalletBalance": fixed(state.wallet),
        "totalCrossUnPnl": fixed(state.unrealised),
        "availableBalance": fixed(_available(state)),
        "maxWithdrawAmount": fixed(min(_available(state), max(state.wallet, ZERO))),
    }


def _asset(context: Context, coin: str, state: MarginState) -> Row:
    return {
        "asset": coin,
        "walletBalance": fixed(state.wallet),
        "unrealizedProfit": fixed(state.unrealised),
        "marginBalance": fixed(state.equity),
        "maintMargin": fixed(state.maintenance),
        "initialMargin": fixed(state.position_margin + state.order_margin),
        "positionInitialMargin": fixed(state.position_margin),
        "openOrderInitialMargin": fixed(state.order_margin),
        "crossWalletBalance": fixed(state.wallet),
        "crossUnPnl": fixed(state.unrealised),
        "availableBalance": fixed(_available(state)),
        "maxWithdrawAmount": fixed(min(_available(state), max(state.wallet, ZERO))),
        "marginAvailable": True,
        "updateTime": _updated(context, coin),
    }


# positions
def _every_position(context: Context) -> Iterator[tuple[Instrument, Position]]:
    """Yield every symbol's rows: one in one-way mode, three in hedge mode."""
    view = context.view_ms(context.venue.lags.positions_ms)
    wanted = context.instrument(required=False)
    for instrument in context.instruments if wanted is None else [wanted]:
        hedged = context.me.mode(instrument) is PositionMode.HEDGE
        for side in PositionSide if hedged else (PositionSide.BOTH,):
            yield instrument, context.me.position(instrument.symbol, side, view)


def _used_positions(context: Context) -> Iterator[tuple[Instrument, Position]]:
    """Yield the rows of symbols with a position or an open order; in hedge mode both sides of them."""
    view = context.view_ms(context.venue.lags.positions_ms)
    wanted = context.instrument(required=False)
    for instrument in context.instruments if wanted is None else [wanted]:
        sides = context.venue.sides(context.me, instrument)
        rows = [context.me.position(instrument.symbol, side, view) for side in sides]
        if any(row.qty for row in rows) or alive(context, instrument):
            yield from ((instrument, row) for row in rows)


def position_risk_v2(context: Context) -> Rows:
    """GET /fapi/v1 and v2/positionRisk: every symbol, with leverage and margin type."""
    rows: Rows = []
    for instrument, position in _every_position(context):
        margin_type = context.house.margin_type(context.me.name, instrument.symbol)
        row = _risk(context, instrument, position)
        rows.append(
            {
                "symbol": instrument.symbol,
                "positionAmt": row["positionAmt"],
                "entryPrice": row["entryPrice"],
                "breakEvenPrice": row["breakEvenPrice"],
                "markPrice": row["markPrice"],
                "unRealizedProfit": row["unRealizedProfit"],
                "liquidationPrice": row["liquidationPrice"],
                "leverage": plain(context.venue.margin.leverage(context.me, instrument)),
                "maxNotionalValue": plain(instrument.notional_max),
                "marginType": margin_type.lower,
                "isolatedMargin": row["isolatedMargin"],
                "isAutoAddMargin": "false",
                "positionSide": row["positionSide"],
                "notional": row["notional"],
                "isolatedWallet": row["isolatedWallet"],
                "updateTime": row["updateTime"],
                "isolated": margin_type is MarginType.ISOLATED,
                "adlQuantile": row["adl"],
            }
        )
    return rows


def position_risk_v3(context: Context) -> Rows:
    """GET /fapi/v3/positionRisk: only symbols in use, neither leverage nor margin type."""
    return [_risk(context, *found) for found in _used_positions(context)]


def _risk(context: Context, instrument: Instrument, position: Position) -> Row:
    mark = context.venue.board.last(instrument)
    average = position.average_price
    isolated = context.house.margin_type(context.me.name, instrument.symbol) is MarginType.ISOLATED
    margin = context.venue.margin.position_margin(context.me, position) if position.qty else ZERO
    orders = _order_margin(context, instrument, position.position_side)
    buys, sells = _resting(context, instrument, OrderSide.BUY), _resting(context, instrument, OrderSide.SELL)
    return {
        "symbol": instrument.symbol,
        "positionSide": POSITION_SIDES[position.position_side],
        "positionAmt": qty(position.signed_qty, instrument),
        "entryPrice": "0.0" if average is None else plain(average, 8),
        "breakEvenPrice": "0.0" if average is None else plain(_break_even(position, instrument), 8),
        "markPrice": fixed(mark),
        "unRealizedProfit": fixed(position.unrealised(mark)),
        "liquidationPrice": _liquidation(context, instrument, position),
        "isolatedMargin": fixed(margin) if isolated and position.qty else "0",
        "notional": fixed(position.signed_qty * mark) if position.qty else "0",
        "marginAsset": instrument.settle,
        "isolatedWallet": fixed(margin) if isolated and position.qty else "0",
        "initialMargin": fixed(margin + orders) if margin + orders else "0",
        "maintMargin": fixed(position.qty * mark * instrument.maintenance_rate) if position.qty else "0",
        "positionInitialMargin": fixed(margin) if margin else "0",
        "openOrderInitialMargin": fixed(orders) if orders else "0",
        "adl": 2 if position.qty else 0,
        "bidNotional": plain(buys, 8),
        "askNotional": plain(sells, 8),
        "updateTime": position.updated_ms,
    }


def _live(context: Context, instrument: Instrument) -> list[Order]:
    return [order for order in alive(context, instrument) if not order.request.reduce_only]


def _resting(context: Context, instrument: Instrument, side: OrderSide) -> Decimal:
    orders = [order for order in _live(context, instrument) if order.request.side is side]
    return sum((order.remaining_qty * order.price for order in orders), ZERO)


def _order_margin(context: Context, instrument: Instrument, side: PositionSide) -> Decimal:
    mine = [order for order in _live(context, instrument) if order.request.position_side is side]
    held = [position for position in context.me.positions() if position.symbol == instrument.symbol]
    return context.venue.margin.order_need(context.me, instrument.settle_wallet, mine, held)


def _break_even(position: Position, instrument: Instrument) -> Decimal:
    """Return the price at which the position closes without loss, the opening fees and the closing fee included."""
    assert position.side is not None, "a position has a side"
    sign, rate = position.side.sign, instrument.taker_rate
    return (position.cost + sign * position.entry_fees) / (position.qty * (ONE - sign * rate))


def _liquidation(context: Context, instrument: Instrument, position: Position) -> str:
    """Return the mark at which the wallet's equity falls to its maintenance margin, the other positions unmoved."""
    if position.side is None:
        return "0"
    state = context.venue.margin.state(context.me, instrument.settle_wallet)
    mark, sign = context.venue.board.last(instrument), position.side.sign
    own = position.qty * mark * instrument.maintenance_rate
    rest = state.wallet + state.unrealised - position.unrealised(mark) - (state.maintenance - own)
    at = (position.cost * sign - rest) / (position.qty * (sign - instrument.maintenance_rate))
    return fixed(at) if at > 0 else "0"


def _account_position(context: Context, instrument: Instrument, position: Position) -> Row:
    risk = _risk(context, instrument, position)
    return {
        "symbol": instrument.symbol,
        "positionSide": risk["positionSide"],
        "positionAmt": risk["positionAmt"],
        "unrealizedProfit": risk["unRealizedProfit"],
        "isolatedMargin": risk["isolatedMargin"],
        "notional": risk["notional"],
        "isolatedWallet": risk["isolatedWallet"],
        "initialMargin": risk["initialMargin"],
        "maintMargin": risk["maintMargin"],
        "updateTime": risk["updateTime"],
    }


def _account_v2_position(context: Context, instrument: Instrument, position: Position) -> Row:
    risk = _risk(context, instrument, position)
    isolated = context.house.margin_type(context.me.name, instrument.symbol) is MarginType.ISOLATED
    return _account_position(context, instrument, position) | {
        "positionInitialMargin": risk["positionInitialMargin"],
        "openOrderInitialMargin": risk["openOrderInitialMargin"],
        "leverage": plain(context.venue.margin.leverage(context.me, instrument)),
        "isolated": isolated,
        "entryPrice": risk["entryPrice"],
        "breakEvenPrice": risk["breakEvenPrice"],
        "maxNotional": plain(instrument.notional_max),
        "bidNotional": risk["bidNotional"],
        "askNotional": risk["askNotional"],
    }


# settings
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
        "multiAssetsMargin": False,
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
    words = {kind.value: kind for kind in MarginType} | {"CROSS": MarginType.CROSSED}
    error = BinanceError(-1130, "Data sent for parameter 'marginType' is not valid.")
    wanted = params.word("marginType", words, error, required=True)
    assert wanted is not None
    if context.house.margin_type(context.me.name, instrument.symbol) is wanted:
        raise BinanceError(-4046, "No need to change margin type.")
    open_ones = [order for order in context.me.open_orders() if order.request.symbol == instrument.symbol]
    if any(order.request.kind is MarketKind.LINEAR for order in open_ones):
        raise BinanceError(-4047, "Margin type cannot be changed if there exists open orders.")
    if not flat(context.me, instrument.symbol):
        raise BinanceError(-4048, "Margin type cannot be changed if there exists position.")
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


def multi_assets_mode(context: Context) -> Row:
    """GET /fapi/v1/multiAssetsMargin: single-asset mode."""
    return {"multiAssetsMargin": False}


def set_multi_assets_mode(context: Context) -> Row:
    """POST /fapi/v1/multiAssetsMargin: there is single-asset mode only."""
    if context.params.flag("multiAssetsMargin", required=True):
        raise not_simulated("multi-assets mode")
    raise BinanceError(-4171, "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.")


# income
def income(context: Context) -> Rows:
    """GET /fapi/v1/income: profit, fees, funding and transfers of the futures wallets, oldest first."""
    params = context.params
    symbol, kind = params.text("symbol"), params.text("incomeType")
    now = context.venue.now_ms()
    span = window(context, 90 * 86_400_000) or (now - FUTURES_WINDOW_MS, now)
    view = context.view_ms(context.venue.lags.entries_ms)
    until = span[1] if view is None else min(span[1], view)
    rows = [
        row
        for entry in context.me.entries
        if is_futures(entry.coin) and span[0] <= entry.time_ms <= until and symbol in ("", entry.symbol)
        for row in _income_rows(entry)
        if kind in ("", row["incomeType"])
    ]
    limit, page = params.limit(INCOME_LIMIT, INCOME_LIMIT_MAX), params.integer("page") or 1
    return [*rows[(page - 1) * limit : page * limit]]


def _income_rows(entry: Entry) -> Iterator[Row]:
    if entry.kind in _TRANSFERS:
        yield _income_row(entry, "TRANSFER", entry.change)
    elif entry.kind is EntryKind.FUNDING:
        yield _income_row(entry, "FUNDING_FEE", entry.funding)
    else:
        if entry.cash_flow:
            yield _income_row(entry, "REALIZED_PNL", entry.cash_flow)
        if entry.fee:
            yield _income_row(entry, "COMMISSION", -entry.fee)


def _income_row(entry: Entry, kind: str, amount: Decimal) -> Row:
    is_trade = kind in ("REALIZED_PNL", "COMMISSION")
    return {
        "symbol": entry.symbol,
        "incomeType": kind,
        "income": fixed(amount),
        "asset": coin_of(entry.coin),
        "info": entry.execution_id if is_trade else kind,
        "time": entry.time_ms,
        "tranId": int(entry.entry_id),
        "tradeId": entry.execution_id if is_trade else "",
    }
