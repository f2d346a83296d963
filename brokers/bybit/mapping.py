"""Bybit's account and market rows as domain values. Pure; every malformed row is AnswerUnreadable.

Source: Bybit V5 documentation, pages "Get Wallet Balance", "Get Position Info", "Get Tickers", "Get Account Info",
"Get API Key Information".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from functools import reduce

from brokers.bybit.fields import (
    Row,
    flag,
    integer,
    moment,
    number,
    number_or_none,
    number_or_zero,
    positive_or_none,
    required,
    text,
)
from brokers.bybit.instruments import Market
from brokers.errors import AnswerUnreadable, Unsupported, VenueUnavailable
from brokers.ids import AccountId
from brokers.rounding import MONEY
from brokers.types import (
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

_MARGIN_MODES = {
    "REGULAR_MARGIN": MarginMode.CROSS,
    "ISOLATED_MARGIN": MarginMode.ISOLATED,
    "PORTFOLIO_MARGIN": MarginMode.PORTFOLIO,
}
_SIDES = {"Buy": PositionSide.LONG, "Sell": PositionSide.SHORT, "": PositionSide.FLAT, "None": PositionSide.FLAT}


def margin_mode(result: Row) -> MarginMode:
    name = required(result, "marginMode")
    if name not in _MARGIN_MODES:
        raise AnswerUnreadable(f"marginMode must be one of {', '.join(_MARGIN_MODES)}, was {name!r}")
    return _MARGIN_MODES[name]


def quote(row: Row, market: Market, time: datetime) -> Quote:
    """A ticker; VenueUnavailable where one side of the book is empty."""
    prices = {name: positive_or_none(row, name) for name in ("bid1Price", "ask1Price", "lastPrice")}
    bid, ask, last = prices["bid1Price"], prices["ask1Price"], prices["lastPrice"]
    if bid is None or ask is None or last is None:
        missing = ", ".join(name for name, price in prices.items() if price is None)
        raise VenueUnavailable(f"{market.instrument_id} has no {missing} now; there is no market to quote")
    return Quote(
        instrument_id=market.instrument_id,
        bid=bid,
        ask=ask,
        last=last,
        time=time,
        mark=positive_or_none(row, "markPrice"),
    )


def balance(row: Row, *, account_id: AccountId, mode: MarginMode, time: datetime) -> Balance:
    """One coin. `available` is given in isolated mode only: elsewhere Bybit states it for the whole account, in USD."""
    total = number(row, "walletBalance")
    held = _sum(number_or_zero(row, name) for name in ("locked", "totalOrderIM", "totalPositionIM"))
    free = _sum((total, held.copy_negate(), number_or_zero(row, "bonus").copy_negate()))
    return Balance(
        account_id=account_id,
        currency=required(row, "coin"),
        total=total,
        available=free if mode is MarginMode.ISOLATED else None,
        held=held,
        time=time,
    )


def _sum(numbers: Iterable[Decimal]) -> Decimal:
    return reduce(MONEY.add, numbers, Decimal(0))


def has_money(row: Row) -> bool:
    """Whether a coin has a balance, a liability or an equity."""
    return any(number_or_zero(row, name) for name in ("walletBalance", "equity", "borrowAmount", "spotBorrow"))


def margin_health(row: Row, *, account_id: AccountId, time: datetime) -> MarginHealth:
    """The account in USD, as Bybit states it. In isolated mode these figures say nothing of single positions."""
    equity = number_or_none(row, "totalEquity")
    if equity is None:
        raise Unsupported("Bybit states no account-wide equity for this account (isolated margin has none)")
    return MarginHealth(
        account_id=account_id,
        currency="USD",
        equity=equity,
        available=number_or_none(row, "totalAvailableBalance"),
        initial_margin=number_or_none(row, "totalInitialMargin"),
        maintenance_margin=number_or_none(row, "totalMaintenanceMargin"),
        maintenance_ratio=number_or_none(row, "accountMMRate"),
        time=time,
    )


def position_mode(row: Row) -> PositionMode:
    """positionIdx 0 is one-way; 1 and 2 are the sides of hedge mode."""
    index = integer(row, "positionIdx")
    if index not in (0, 1, 2):
        raise AnswerUnreadable(f"positionIdx must be 0, 1 or 2, was {index}")
    return PositionMode.ONE_WAY if index == 0 else PositionMode.HEDGE


def position(row: Row, market: Market, *, account_id: AccountId) -> Position:
    size = number(row, "size")
    side_text = text(row, "side")
    if side_text not in _SIDES or size < 0:
        raise AnswerUnreadable(f"position side and size must fit, was {side_text!r} {size}")
    side = _SIDES[side_text] if size else PositionSide.FLAT
    if size and side is PositionSide.FLAT:
        raise AnswerUnreadable(f"position of {market.instrument_id} has size {size} but no side")
    return Position(
        account_id=account_id,
        instrument_id=market.instrument_id,
        side=side,
        quantity=size.copy_negate() if side is PositionSide.SHORT else size,
        average_price=positive_or_none(row, "avgPrice"),
        mark_price=positive_or_none(row, "markPrice"),
        unrealised_pnl=number_or_none(row, "unrealisedPnl"),
        realised_pnl=number_or_none(row, "curRealisedPnl"),
        leverage=positive_or_none(row, "leverage"),
        mode=position_mode(row),
        time=moment(row, "updatedTime"),
        liquidation_price=positive_or_none(row, "liqPrice"),
    )


def profit_and_loss(
    rows: list[tuple[Row, Market]], *, account_id: AccountId, time: datetime
) -> tuple[ProfitAndLoss, ...]:
    """All-time realised and current unrealised profit per instrument; both sides of hedge mode together."""
    totals: dict[Market, tuple[Decimal, Decimal]] = {}
    for row, market in rows:
        realised, unrealised = totals.get(market, (Decimal(0), Decimal(0)))
        totals[market] = (
            _sum((realised, number_or_zero(row, "cumRealisedPnl"))),
            _sum((unrealised, number_or_zero(row, "unrealisedPnl"))),
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


def leverage_info(rows: list[Row], market: Market, mode: MarginMode) -> LeverageInfo:
    """Leverage of one symbol: one row in one-way mode, a row per side in hedge mode."""
    by_index = {integer(row, "positionIdx"): row for row in rows if text(row, "symbol") == market.symbol}
    if not by_index:
        raise AnswerUnreadable(f"the venue shows no position row for {market.symbol}")
    if any(not text(row, "leverage") for row in by_index.values()):
        raise Unsupported(f"{market.instrument_id} has no leverage of its own in {mode} margin mode")
    long_row = by_index.get(1) or by_index.get(0)
    short_row = by_index.get(2) or by_index.get(0)
    if long_row is None or short_row is None:
        raise AnswerUnreadable(f"hedge mode must show both sides of {market.symbol}, shows {sorted(by_index)}")
    return LeverageInfo(
        instrument_id=market.instrument_id,
        long_leverage=number(long_row, "leverage"),
        short_leverage=number(short_row, "leverage"),
        margin_mode=mode,
        position_mode=position_mode(long_row),
    )


def permissions(result: Row) -> tuple[str, ...]:
    """`Group.Right` of every right that the key has, sorted."""
    granted = result.get("permissions")
    if not isinstance(granted, dict):
        raise AnswerUnreadable("query-api answer has no permissions")
    return tuple(sorted(f"{group}.{right}" for group, rights in granted.items() for right in rights or []))


def is_read_only(result: Row) -> bool:
    return integer(result, "readOnly") == 1


def is_unified(result: Row) -> bool:
    return integer(result, "uta") == 1 if text(result, "uta") else True


def expires_at(result: Row) -> datetime | None:
    """The key's expiry; Bybit writes 1970 for keys that are bound to addresses and do not expire."""
    value = text(result, "expiredAt")
    if not value:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as error:
        raise AnswerUnreadable(f"expiredAt must be a time, was {value!r}") from error
    if found.tzinfo is None:
        raise AnswerUnreadable(f"expiredAt must carry its time zone, was {value!r}")
    return found if found.year > 1970 else None


def is_master(result: Row) -> bool:
    return flag(result, "isMaster")
