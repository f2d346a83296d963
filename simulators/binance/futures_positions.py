"""/fapi positionRisk, and the rows of positions in an account."""

from collections.abc import Iterator
from decimal import Decimal

from simulators.binance.filters import Row
from simulators.binance.finding import alive
from simulators.binance.formats import fixed, qty
from simulators.binance.house import MarginType
from simulators.binance.params import Context
from simulators.binance.words import POSITION_SIDES
from simulators.core.money import ONE, ZERO, plain
from simulators.core.types import (
    Instrument,
    Order,
    OrderSide,
    Position,
    PositionMode,
    PositionSide,
)

Rows = list[object]


def every_position(context: Context) -> Iterator[tuple[Instrument, Position]]:
    """Yield every symbol's rows: one in one-way mode, three in hedge mode."""
    view = context.view_ms(context.venue.lags.positions_ms)
    wanted = context.instrument(required=False)
    for instrument in context.instruments if wanted is None else [wanted]:
        hedged = context.me.mode(instrument) is PositionMode.HEDGE
        for side in PositionSide if hedged else (PositionSide.BOTH,):
            yield instrument, context.me.position(instrument.symbol, side, view)


def used_positions(context: Context) -> Iterator[tuple[Instrument, Position]]:
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
    for instrument, position in every_position(context):
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
    return [_risk(context, *found) for found in used_positions(context)]


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


def account_row(context: Context, instrument: Instrument, position: Position) -> Row:
    """Return a position as /fapi/v3/account has it, which spells unrealizedProfit otherwise than positionRisk."""
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


def account_v2_row(context: Context, instrument: Instrument, position: Position) -> Row:
    """Return a position as /fapi/v2/account has it, with leverage and entry price."""
    risk = _risk(context, instrument, position)
    isolated = context.house.margin_type(context.me.name, instrument.symbol) is MarginType.ISOLATED
    return account_row(context, instrument, position) | {
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
