"""OKX's account and market rows as domain values. Pure; every malformed row is AnswerUnreadable.

Source: OKX V5 documentation, pages "Get account configuration", "Get balance", "Get positions", "Get leverage",
"Get tickers". "" stands for what does not apply; shares of a whole carry the noise of binary floats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, ROUND_UP, Decimal
from functools import reduce

from brokers.errors import AnswerUnreadable, VenueUnavailable
from brokers.fields import (
    Row,
    computed,
    computed_above_zero,
    computed_or_none,
    computed_or_zero,
    moment,
    number,
    positive_or_none,
    required,
    text,
)
from brokers.ids import AccountId
from brokers.okx.instruments import Market
from brokers.rounding import MONEY
from brokers.types import (
    ZERO,
    Balance,
    LeverageInfo,
    MarginHealth,
    MarginMode,
    Position,
    PositionMode,
    PositionSide,
    ProfitAndLoss,
    Quote,
)

NOISE = Decimal("1E-12")  # figures that OKX computes differ from the exact ones by less than this
_STEP = Decimal("1E-8")
_MARGIN_MODES = {"1": MarginMode.CASH, "2": MarginMode.CROSS, "3": MarginMode.CROSS, "4": MarginMode.PORTFOLIO}
_POSITION_MODES = {"net_mode": PositionMode.ONE_WAY, "long_short_mode": PositionMode.HEDGE}
POSITION_MODE_NAMES = {mode: name for name, mode in _POSITION_MODES.items()}


@dataclass(frozen=True, slots=True)
class AccountMode:
    """What an account's configuration means for its orders. `level` is OKX's `acctLv`."""

    level: str
    margin_mode: MarginMode
    position_mode: PositionMode

    @property
    def trades_swaps(self) -> bool:
        """Not in spot mode."""
        return self.margin_mode is not MarginMode.CASH

    @property
    def spot_trade_mode(self) -> str:
        """`tdMode` of spot orders: without margin in spot and futures mode, across the account in the others."""
        return "cash" if self.level in ("1", "2") else "cross"

    @property
    def order_types_of_spot(self) -> tuple[str, ...]:
        """The product types under which orders and fills of spot pairs may be filed."""
        return ("SPOT",) if self.level in ("1", "2") else ("SPOT", "MARGIN")


def account_mode(row: Row) -> AccountMode:
    level, position = required(row, "acctLv"), required(row, "posMode")
    if level not in _MARGIN_MODES:
        raise AnswerUnreadable(f"acctLv must be one of {', '.join(_MARGIN_MODES)}, was {level!r}")
    if position not in _POSITION_MODES:
        raise AnswerUnreadable(f"posMode must be one of {', '.join(_POSITION_MODES)}, was {position!r}")
    return AccountMode(level, _MARGIN_MODES[level], _POSITION_MODES[position])


def permissions(row: Row) -> tuple[str, ...]:
    """`read_only`, `trade`, `withdraw`: what the key may do, sorted."""
    return tuple(sorted(word for word in text(row, "perm").split(",") if word))


def quote(row: Row, market: Market) -> Quote:
    """A ticker with the venue's time of it; VenueUnavailable where one side of the book is empty."""
    prices = {name: positive_or_none(row, name) for name in ("bidPx", "askPx", "last")}
    bid, ask, last = prices["bidPx"], prices["askPx"], prices["last"]
    if bid is None or ask is None or last is None:
        missing = ", ".join(name for name, price in prices.items() if price is None)
        raise VenueUnavailable(f"{market.instrument_id} has no {missing} now; there is no market to quote")
    return Quote(instrument_id=market.instrument_id, bid=bid, ask=ask, last=last, time=moment(row, "ts"))


# -- balances ---------------------------------------------------------------------------------------------------
def balance(row: Row, *, account_id: AccountId, mode: AccountMode, time: datetime) -> Balance:
    """One currency: `total` is its cash, without what open positions have gained and what isolated ones hold.

    `available` is OKX's own figure for the currency: `availBal` without margin, `availEq` where positions share it.
    OKX counts the equity of isolated positions as frozen, although it has left the cash.
    """
    total, frozen, isolated = (
        computed(row, "cashBal"),
        computed_or_zero(row, "frozenBal"),
        computed_or_zero(row, "isoEq"),
    )
    held = max(MONEY.subtract(frozen, isolated), ZERO)
    stated = computed_or_none(row, "availBal" if mode.margin_mode is MarginMode.CASH else "availEq")
    if stated is None:
        stated = computed_or_none(row, "availBal")
    free = MONEY.subtract(total, held)
    return Balance(
        account_id=account_id,
        currency=required(row, "ccy"),
        total=total,
        available=None if stated is None else _without_noise(stated, exact=free),
        held=held,
        time=time,
    )


def _without_noise(stated: Decimal, *, exact: Decimal) -> Decimal:
    """The exact figure where the stated one differs by noise alone; otherwise what was stated, cut below the noise."""
    if abs(MONEY.subtract(stated, exact)) < NOISE:
        return exact
    return stated.quantize(NOISE, rounding=ROUND_FLOOR, context=MONEY).normalize(MONEY) if stated else ZERO


def has_money(row: Row) -> bool:
    """Whether a currency has a balance, a liability or an equity."""
    return any(computed_or_zero(row, name) for name in ("cashBal", "eq", "liab"))


def margin_health(row: Row, *, account_id: AccountId) -> MarginHealth:
    """The account in USD, as OKX states it; what its mode does not have stays None.

    In futures mode each currency is a margin account of its own: their margins are added up at OKX's rates, and the
    ratio is that of the currency which is nearest to its end.
    """
    initial, maintenance = computed_or_none(row, "imr"), computed_or_none(row, "mmr")
    adjusted = computed_above_zero(row, "adjEq")
    if initial is None and adjusted is None:
        initial, maintenance, ratio = _by_currency(details(row))
    else:
        ratio = _ratio(maintenance, adjusted)  # OKX's own ratio is the inverse: equity over maintenance
    return MarginHealth(
        account_id=account_id,
        currency="USD",
        equity=computed(row, "totalEq"),
        available=computed_or_none(row, "availEq"),
        initial_margin=initial,
        maintenance_margin=maintenance,
        maintenance_ratio=ratio,
        time=moment(row, "uTime"),
    )


def details(row: Row) -> list[Row]:
    """The currencies of a balance."""
    found = row.get("details")
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise AnswerUnreadable(f"details of the balance must be a list of objects, was {type(found).__name__}")
    return found


def _by_currency(rows: Iterable[Row]) -> tuple[Decimal | None, Decimal | None, Decimal | None]:
    """Initial and maintenance margin in USD and the highest ratio; None where no currency states a margin."""
    initial, maintenance, ratios = ZERO, ZERO, list[Decimal]()
    for row in rows:
        equity, worth = computed_above_zero(row, "eq"), computed_or_none(row, "eqUsd")
        ratio = _ratio(computed_above_zero(row, "mmr"), equity)
        if ratio is None or equity is None or worth is None:
            continue
        ratios.append(ratio)
        initial = MONEY.add(initial, _at_rate(computed_or_zero(row, "imr"), worth, equity))
        maintenance = MONEY.add(maintenance, _at_rate(computed(row, "mmr"), worth, equity))
    return (initial, maintenance, max(ratios)) if ratios else (None, None, None)


def _at_rate(amount: Decimal, worth: Decimal, equity: Decimal) -> Decimal:
    return MONEY.divide(MONEY.multiply(amount, worth), equity).quantize(_STEP, rounding=ROUND_UP, context=MONEY)


def _ratio(maintenance: Decimal | None, equity: Decimal | None) -> Decimal | None:
    if maintenance is None or equity is None:
        return None
    return MONEY.divide(maintenance, equity).quantize(_STEP, rounding=ROUND_UP, context=MONEY)


# -- positions --------------------------------------------------------------------------------------------------
def position(row: Row, market: Market, *, account_id: AccountId) -> Position:
    """One row, in contracts: in net mode the sign tells the side, in hedge mode `posSide` does."""
    side_name, size = required(row, "posSide"), number(row, "pos")
    if side_name not in ("net", "long", "short") or (side_name != "net" and size < 0):
        raise AnswerUnreadable(f"posSide and pos of {market.symbol} must fit, was {side_name!r} {size}")
    is_short = side_name == "short" or (side_name == "net" and text(row, "instType") == "MARGIN" and _owes_base(row))
    quantity = size.copy_negate() if is_short and size else size
    return Position(
        account_id=account_id,
        instrument_id=market.instrument_id,
        side=_side(quantity),
        quantity=quantity,
        average_price=computed_above_zero(row, "avgPx"),
        mark_price=computed_above_zero(row, "markPx"),
        unrealised_pnl=computed_or_none(row, "upl"),
        realised_pnl=computed_or_none(row, "realizedPnl"),
        leverage=computed_above_zero(row, "lever"),
        mode=PositionMode.ONE_WAY if side_name == "net" else PositionMode.HEDGE,
        time=moment(row, "uTime"),
        liquidation_price=computed_above_zero(row, "liqPx"),
    )


def _owes_base(row: Row) -> bool:
    """A position in a margin pair has no sign: it is short where what it holds is the quote currency."""
    return text(row, "posCcy") not in ("", text(row, "instId").partition("-")[0])


def _side(quantity: Decimal) -> PositionSide:
    if not quantity:
        return PositionSide.FLAT
    return PositionSide.LONG if quantity > 0 else PositionSide.SHORT


def merged(positions: Iterable[Position]) -> tuple[Position, ...]:
    """One position per instrument and side: OKX keeps cross and isolated margin apart, and here they add up.

    What cannot be added (prices, leverage) is left out of the sum.
    """
    found: dict[tuple[object, object], Position] = {}
    for item in positions:
        key = (item.instrument_id, item.side if item.mode is PositionMode.HEDGE else None)
        known = found.get(key)
        found[key] = item if known is None else _added(known, item)
    return tuple(item for item in found.values() if item.quantity)


def _added(one: Position, other: Position) -> Position:
    quantity = MONEY.add(one.quantity, other.quantity)
    return Position(
        account_id=one.account_id,
        instrument_id=one.instrument_id,
        side=_side(quantity),
        quantity=quantity,
        average_price=None,
        mark_price=one.mark_price,
        unrealised_pnl=_sum_or_none(one.unrealised_pnl, other.unrealised_pnl),
        realised_pnl=_sum_or_none(one.realised_pnl, other.realised_pnl),
        leverage=None,
        mode=one.mode,
        time=max(one.time, other.time),
    )


def _sum_or_none(*numbers: Decimal | None) -> Decimal | None:
    known = [item for item in numbers if item is not None]
    return reduce(MONEY.add, known) if len(known) == len(numbers) else None


def profit_and_loss(
    found: Iterable[tuple[Row, Market]], *, account_id: AccountId, time: datetime
) -> tuple[ProfitAndLoss, ...]:
    """Realised since each position was opened, fees and funding included, and unrealised; all sides together."""
    totals: dict[Market, tuple[Decimal, Decimal]] = {}
    for row, market in found:
        realised, unrealised = totals.get(market, (ZERO, ZERO))
        totals[market] = (
            MONEY.add(realised, computed_or_zero(row, "realizedPnl")),
            MONEY.add(unrealised, computed_or_zero(row, "upl")),
        )
    return tuple(
        ProfitAndLoss(
            account_id=account_id,
            instrument_id=market.instrument_id,
            currency=market.settle,
            realised=realised,
            unrealised=unrealised,
            time=time,
        )
        for market, (realised, unrealised) in totals.items()
    )


def leverage_info(found: Sequence[Row], market: Market, mode: AccountMode) -> LeverageInfo:
    """Leverage of one swap under cross margin: one row in net mode, a row per side in hedge mode."""
    rows = [row for row in found if text(row, "instId") == market.symbol and text(row, "mgnMode") == "cross"]
    by_side = {text(row, "posSide") or "net": number(row, "lever") for row in rows}
    long_leverage, short_leverage = (by_side.get(name, by_side.get("net")) for name in ("long", "short"))
    if long_leverage is None or short_leverage is None:
        raise AnswerUnreadable(f"leverage-info of {market.symbol} must show net or both sides, shows {sorted(by_side)}")
    return LeverageInfo(
        instrument_id=market.instrument_id,
        long_leverage=long_leverage,
        short_leverage=short_leverage,
        margin_mode=mode.margin_mode,
        position_mode=mode.position_mode,
    )
