"""/v5/position: list, set-leverage, switch-mode, closed-pnl."""

from decimal import Decimal

from simulators.bybit.errors import BybitError, bad_request
from simulators.bybit.paging import page
from simulators.bybit.params import NUMBER, Context
from simulators.bybit.render import Row, closed_row, position_row
from simulators.core.accounts import newest_first
from simulators.core.types import Instrument, MarketKind, Position, PositionMode

MODES = {0: PositionMode.ONE_WAY, 3: PositionMode.HEDGE}


def positions(context: Context) -> Row:
    """GET /v5/position/list: with symbol flat rows too, with settleCoin only held ones."""
    params = context.params
    kind = _linear_only(context)
    symbol, coin = params.text("symbol"), params.text("settleCoin")
    if not (symbol or coin):
        raise bad_request("params error: symbol or settleCoin is required")
    view = context.view_ms(context.venue.lags.positions_ms)
    venue, account = context.venue, context.me
    found: list[tuple[Instrument, Position]] = []
    if symbol:
        instrument = venue.instrument(kind, symbol)
        sides = venue.sides(account, instrument)
        found = [(instrument, account.position(symbol, side, view)) for side in sides]
    else:
        for position in account.positions(view):
            instrument = venue.instruments[(kind, position.symbol)]
            if instrument.settle == coin:
                found.append((instrument, position))
    before = params.before()
    numbered = [(len(found) - number, item) for number, item in enumerate(found)]
    numbered = [row for row in numbered if before is None or row[0] < before]
    body = page(
        numbered,
        anchor=lambda row: (row[1][1].symbol, row[0]),
        render=lambda row: position_row(venue, account, row[1][0], row[1][1]),
        limit=params.limit(20, 200),
    )
    return body | {"category": kind.value}


def _linear_only(context: Context) -> MarketKind:
    kind = context.params.category()
    if kind is not MarketKind.LINEAR:
        raise bad_request("params error: category invalid")
    return kind


def set_leverage(context: Context) -> Row:
    """POST /v5/position/set-leverage: cross margin needs both sides alike."""
    params = context.params
    instrument = context.venue.instrument(_linear_only(context), params.text("symbol", required=True))
    buy, sell = _leverage(context, "buyLeverage"), _leverage(context, "sellLeverage")
    if buy != sell:
        raise bad_request("buy leverage not equal sell leverage")
    context.venue.set_leverage(context.me, instrument, buy)
    return {}


def _leverage(context: Context, name: str) -> Decimal:
    """Return a leverage; the venue documents a string, clients send numbers too."""
    text = context.params.text(name, required=True)
    if not NUMBER.fullmatch(text):
        raise bad_request(f"params error: {name} invalid")
    return Decimal(text)


def switch_mode(context: Context) -> Row:
    """POST /v5/position/switch-mode: hedge mode exists on USDT perpetuals only."""
    params = context.params
    _linear_only(context)
    symbol, coin = params.text("symbol"), params.text("coin")
    number = params.integer("mode")
    mode = MODES.get(number) if number is not None else None
    if mode is None:
        raise bad_request("params error: mode invalid")
    if not symbol and not coin:
        raise bad_request("params error: symbol or coin is required")
    if symbol:
        coin = context.venue.instrument(MarketKind.LINEAR, symbol).settle
    if mode is PositionMode.HEDGE and coin != "USDT":
        raise BybitError(110029, "Hedge mode is not supported for this symbol.")
    if symbol:
        context.venue.set_mode(context.me, mode, symbol=symbol)
    else:
        context.venue.set_mode(context.me, mode, coin=coin)
    return {}


def closed_pnl(context: Context) -> Row:
    """GET /v5/position/closed-pnl: newest first."""
    params = context.params
    kind = _linear_only(context)
    symbol = params.text("symbol")
    start, end = params.window(context.venue.now_ms())
    chosen = (
        closed
        for closed in newest_first(context.me.closed, params.before())
        if start <= closed.updated_ms <= end and symbol in ("", closed.symbol)
    )
    body = page(
        chosen,
        anchor=lambda closed: (closed.order_id, closed.sequence),
        render=closed_row,
        limit=params.limit(50, 100),
    )
    return body | {"category": kind.value}
