"""/api/v5/account: positions, leverage-info, set-leverage, set-position-mode."""

from collections.abc import Iterator
from decimal import Decimal

from simulators.core.money import ZERO, plain
from simulators.core.types import (
    Instrument,
    MarketKind,
    OrderSide,
    Position,
    PositionMode,
    PositionSide,
    Reason,
    Refusal,
)
from simulators.okx.account import usd_price
from simulators.okx.desk import AccountLevel, waits
from simulators.okx.errors import refused, wrong
from simulators.okx.lives import NUMBER_KEPT_MS, Life
from simulators.okx.params import DAY_MS, INSTRUMENT_TYPES, MODES, SIDE_NAMES, SIDES, Context, family
from simulators.okx.render import Row, one_decimal

POSITIONS_MAX, IDS_MAX, LEVERAGES_MAX = 10, 20, 20
TRADE_MODES = ("cross", "isolated")
HISTORY_MS = 90 * DAY_MS


def positions(context: Context) -> list[Row]:
    """GET /api/v5/account/positions: a flat one is shown only when its instrument is named and was held before."""
    kind = context.params.choice("instType", ("", *INSTRUMENT_TYPES[1:]), default="")
    named = context.params.many("instId", POSITIONS_MAX)
    ids = context.params.many("posId", IDS_MAX)
    if kind and any(TYPES_OF.get(context.instrument(name).kind) != kind for name in named):
        raise refused(51015)
    if kind not in ("", "SWAP"):
        return []
    rows = [position_row(context, i, p) for i, p in _found(context, named)]
    return [row for row in rows if not ids or row["posId"] in ids]


TYPES_OF = {MarketKind.LINEAR: "SWAP"}


def _found(context: Context, named: tuple[str, ...]) -> Iterator[tuple[Instrument, Position]]:
    view = context.view_ms(context.venue.lags.positions_ms)
    listed, now = context.venue.instruments, context.venue.now_ms()
    if not named:
        for position in context.me.positions(view):
            yield listed[(MarketKind.LINEAR, position.symbol)], position
        return
    for name in named:
        instrument = context.instrument(name)
        for side in PositionSide:
            position = context.me.position(name, side, view)
            if position.qty or (position.opened_ms and now - position.updated_ms <= NUMBER_KEPT_MS):
                yield instrument, position


def position_row(context: Context, instrument: Instrument, position: Position) -> Row:
    """Return one position, in contracts; signed in net mode."""
    venue, account = context.venue, context.me
    life = context.desk.lives.of(account.name, position.symbol, position.position_side)
    assert life is not None, "what is or was held has a life"
    mark = venue.board.last(instrument)
    held = position.qty != ZERO
    leverage = venue.margin.leverage(account, instrument)
    initial = venue.margin.position_margin(account, position) if held else ZERO
    value = position.qty * instrument.multiplier * mark
    maintenance = value * instrument.maintenance_rate
    profit = position.unrealised(mark)
    state = venue.margin.state(account, instrument.settle)
    net = position.position_side is PositionSide.BOTH
    average = position.average_price
    ratio = plain(state.equity / state.maintenance, 8) if held and state.maintenance else ""
    return {
        "instType": "SWAP",
        "instId": position.symbol,
        "mgnMode": "cross",
        "posId": life.position_id,
        "posSide": SIDE_NAMES[position.position_side],
        "pos": plain(position.signed_qty if net else position.qty),
        "posCcy": "",
        "availPos": "" if net else plain(position.qty),
        "avgPx": plain(average, 12) if average is not None else "",
        "markPx": plain(mark),
        "idxPx": plain(mark),
        "last": plain(mark),
        "upl": plain(profit, 12),
        "uplRatio": plain(profit / initial, 12) if initial else "",
        "uplLastPx": plain(profit, 12),
        "uplRatioLastPx": plain(profit / initial, 12) if initial else "",
        "lever": plain(leverage),
        "liqPx": "",
        "imr": plain(initial, 12) if held else "",
        "mmr": plain(maintenance, 12) if held else "",
        "margin": "",
        "mgnRatio": ratio,
        "notionalUsd": plain(value * usd_price(venue, instrument.quote), 12) if held else "",
        "ccy": instrument.settle,
        "tradeId": life.trade_id,
        "fee": plain(life.fee),
        "fundingFee": plain(life.funding),
        "liqPenalty": "0",
        "pnl": plain(life.profit),
        "realizedPnl": plain(life.realised),
        "adl": "1" if held else "",
        "cTime": str(position.opened_ms),
        "uTime": str(position.updated_ms),
        "closeOrderAlgo": [],
        **dict.fromkeys(("baseBal", "baseBorrowed", "baseInterest", "quoteBal", "quoteBorrowed", "quoteInterest"), ""),
        **dict.fromkeys(("interest", "liab", "liabCcy", "optVal", "pendingCloseOrdLiabVal", "usdPx", "bePx"), ""),
        **dict.fromkeys(("bizRefId", "bizRefType", "clSpotInUseAmt", "maxSpotInUseAmt", "spotInUseAmt"), ""),
        **dict.fromkeys(("spotInUseCcy", "nonSettleAvgPx", "settledPnl", "hedgedPos"), ""),
        **dict.fromkeys(("deltaBS", "deltaPA", "gammaBS", "gammaPA", "thetaBS", "thetaPA", "vegaBS", "vegaPA"), ""),
    }


def positions_history(context: Context) -> list[Row]:
    """GET /api/v5/account/positions-history: three months, by the time of the last change; it pages by that, too."""
    params = context.params
    kind = params.choice("instType", ("", *INSTRUMENT_TYPES[1:]), default="")
    name, position_id, how = params.text("instId"), params.text("posId"), params.text("type")
    mode = params.choice("mgnMode", ("", *TRADE_MODES), default="")
    after, before, limit = params.integer("after"), params.integer("before"), params.limit()
    oldest = context.venue.now_ms() - HISTORY_MS
    found = [
        life
        for life in context.desk.lives.reduced(context.me.name)
        if life.updated_ms >= oldest
        and kind in ("", "SWAP")
        and mode in ("", "cross")
        and name in ("", life.symbol)
        and position_id in ("", life.position_id)
        and how in ("", life.ended)
        and (after is None or life.updated_ms < after)
        and (before is None or life.updated_ms > before)
    ]
    last = found[limit - 1].updated_ms if len(found) > limit else 0
    return [_life_row(context, life) for life in found if life.updated_ms >= last]


def _life_row(context: Context, life: Life) -> Row:
    instrument = context.venue.instruments[(MarketKind.LINEAR, life.symbol)]
    margin = life.opened_value * instrument.multiplier / life.leverage
    return {
        "instType": "SWAP",
        "instId": life.symbol,
        "uly": family(instrument),
        "ccy": instrument.settle,
        "mgnMode": "cross",
        "type": life.ended,
        "posId": life.position_id,
        "posSide": SIDE_NAMES[life.side],
        "direction": "long" if life.direction is OrderSide.BUY else "short",
        "lever": one_decimal(life.leverage),
        "openAvgPx": plain(life.opened_value / life.opened_qty, 12),
        "closeAvgPx": plain(life.closed_value / life.closed_qty, 12),
        "openMaxPos": plain(life.largest),
        "closeTotalPos": plain(life.closed_qty),
        "pnl": plain(life.profit),
        "fee": plain(life.fee),
        "fundingFee": plain(life.funding),
        "liqPenalty": "0",
        "realizedPnl": plain(life.realised),
        "pnlRatio": plain(life.realised / margin, 12),
        "cTime": str(life.opened_ms),
        "uTime": str(life.updated_ms),
        **dict.fromkeys(("triggerPx", "nonSettleAvgPx", "settledPnl"), ""),
    }


def leverage_info(context: Context) -> list[Row]:
    """GET /api/v5/account/leverage-info: in long/short mode both sides."""
    mode = context.params.required("mgnMode")
    if mode not in TRADE_MODES:
        raise wrong("mgnMode")
    if context.level is AccountLevel.PORTFOLIO:
        raise refused(59111)
    context.params.required("instId")
    names = context.params.many("instId", LEVERAGES_MAX)
    rows: list[Row] = []
    for name in names:
        instrument = _contract(context, name)
        for side in context.venue.sides(context.me, instrument):
            lever = plain(_leverage(context, instrument, mode, side))
            rows.append({"instId": name, "ccy": "", "mgnMode": mode, "posSide": SIDE_NAMES[side], "lever": lever})
    return rows


def _contract(context: Context, name: str) -> Instrument:
    instrument = context.instrument(name)
    if instrument.kind is not MarketKind.LINEAR or context.level is AccountLevel.SPOT:
        raise refused(51010)  # borrowing on spot pairs is not simulated
    return instrument


def _leverage(context: Context, instrument: Instrument, mode: str, side: PositionSide) -> Decimal:
    shared = context.venue.margin.leverage(context.me, instrument)
    if mode == "cross":
        return shared
    return context.desk.isolated.get((context.me.name, instrument.symbol, side), shared)


def set_leverage(context: Context) -> list[Row]:
    """POST /api/v5/account/set-leverage: the same value again is no error."""
    params = context.params
    mode = params.required("mgnMode")
    if mode not in TRADE_MODES:
        raise wrong("mgnMode")
    params.required("lever")
    value = params.decimal("lever")
    assert value is not None
    instrument = _contract(context, params.required("instId"))
    if value > instrument.leverage_max:
        raise refused(59102)
    if value < instrument.leverage_min:
        raise refused(59105, minimum=instrument.leverage_min)
    side = _leverage_side(context, mode)
    if mode == "cross":
        _set_cross(context, instrument, value)
    else:
        context.desk.isolated[(context.me.name, instrument.symbol, side)] = value
    shown = SIDE_NAMES[side] if mode == "isolated" else ""
    return [{"lever": plain(value), "mgnMode": mode, "instId": instrument.symbol, "posSide": shown}]


def _leverage_side(context: Context, mode: str) -> PositionSide:
    """Return whose leverage is set: a side of its own only where margin is isolated and the mode long/short."""
    if mode == "cross" or not context.hedged:
        return PositionSide.BOTH
    return SIDES[context.params.choice("posSide", ("long", "short"))]


def _set_cross(context: Context, instrument: Instrument, value: Decimal) -> None:
    if context.level is AccountLevel.PORTFOLIO:
        raise refused(51039)
    mine = [o for o in context.me.open_orders() if o.request.symbol == instrument.symbol]
    if any(waits(order) for order in mine):
        raise refused(59669)
    waiting = bool(mine)
    if waiting and not context.desk.habits.leverage_with_orders:
        raise refused(59107)
    try:
        context.venue.set_leverage(context.me, instrument, value)
    except Refusal as refusal:
        if refusal.reason is not Reason.LEVERAGE_NOT_MODIFIED:
            raise


def set_position_mode(context: Context) -> list[Row]:
    """POST /api/v5/account/set-position-mode: of the whole account, with nothing open."""
    name = context.params.required("posMode")
    if name not in MODES:
        raise wrong("posMode")
    mode, account = MODES[name], context.me
    if context.level is AccountLevel.SPOT:
        raise refused(51010)
    if context.level is AccountLevel.PORTFOLIO and mode is PositionMode.HEDGE:
        raise refused(51041)
    if mode is not account.default_mode:
        orders = any(o.request.kind is MarketKind.LINEAR for o in account.open_orders())
        if orders or account.positions():
            raise refused(59000)
        account.default_mode = mode
    return [{"posMode": name}]
