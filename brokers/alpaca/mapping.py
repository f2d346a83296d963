"""Alpaca's account, position, market and clock rows as domain values. Pure; every malformed row is AnswerUnreadable.

Source: Alpaca documentation, pages "Working with /account", "Working with /positions", "Real-time Stock Data", and its
OpenAPI description. Coins are shown among the positions; they are wallets here, because their fees are taken in them
and no coin can be held short.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time

from brokers.alpaca.fields import (
    NEW_YORK,
    Row,
    base_and_quote,
    flag,
    instrument_id_of,
    moment,
    number,
    number_or_none,
    positive_or_none,
    required,
    text,
)
from brokers.alpaca.profile import CURRENCY
from brokers.errors import AnswerUnreadable, VenueUnavailable
from brokers.fields import computed_above_zero, computed_or_none
from brokers.ids import AccountId, InstrumentId
from brokers.rounding import MONEY
from brokers.types import (
    ZERO,
    Balance,
    MarginHealth,
    MarginMode,
    Position,
    PositionMode,
    PositionSide,
    Quote,
)

_SIDES = {"long": PositionSide.LONG, "short": PositionSide.SHORT}
CRYPTO = "crypto"


@dataclass(frozen=True, slots=True)
class MarketClock:
    """The venue's clock of US shares: their regular session only."""

    time: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


@dataclass(frozen=True, slots=True)
class TradingDay:
    """One day of the venue's calendar: the regular session, with half days told by their closing."""

    day: date
    opens_at: datetime
    closes_at: datetime


def balances(account: Row, positions: Iterable[Row], *, account_id: AccountId, time: datetime) -> tuple[Balance, ...]:
    """Dollars, and each coin.

    What of the dollars may be spent is `non_marginable_buying_power`, which open orders make less, and never more than
    there is: in a margin account it counts what shares could be borrowed upon. The larger `buying_power` counts loans
    that coins and parts of shares may not be bought with.
    """
    total, stated = number(account, "cash"), number_or_none(account, "non_marginable_buying_power")
    available = None if stated is None else min(max(stated, ZERO), max(total, ZERO))
    held = ZERO if available is None else max(MONEY.subtract(total, available), ZERO)
    dollars = Balance(account_id=account_id, currency=CURRENCY, total=total, available=available, held=held, time=time)
    coins = [coin(row, account_id=account_id, time=time) for row in positions if text(row, "asset_class") == CRYPTO]
    return tuple(item for item in (dollars, *coins) if item.total or item.held)


def coin(row: Row, *, account_id: AccountId, time: datetime) -> Balance:
    """A coin that is held, from its row among the positions."""
    base, _ = base_and_quote(instrument_id_of(required(row, "symbol")))
    total, available = number(row, "qty"), number_or_none(row, "qty_available")
    if total < 0 or text(row, "side") != "long":
        raise AnswerUnreadable(f"a coin must be held long, was {text(row, 'side')!r} {total} of {base}")
    held = ZERO if available is None else max(MONEY.subtract(total, available), ZERO)
    return Balance(account_id=account_id, currency=base, total=total, available=available, held=held, time=time)


def position(row: Row, *, account_id: AccountId, time: datetime) -> Position:
    """A share's position. A short one has a negative quantity already, and its side says so too."""
    side_text, quantity = required(row, "side"), number(row, "qty")
    side = _SIDES.get(side_text)
    if side is None or not quantity or (quantity > 0) is not (side is PositionSide.LONG):
        raise AnswerUnreadable(f"side and qty must fit, were {side_text!r} and {quantity}")
    return Position(
        account_id=account_id,
        instrument_id=instrument_id_of(required(row, "symbol")),
        side=side,
        quantity=quantity,
        average_price=computed_above_zero(row, "avg_entry_price"),
        mark_price=computed_above_zero(row, "current_price"),
        unrealised_pnl=computed_or_none(row, "unrealized_pl"),
        realised_pnl=None,
        leverage=None,
        mode=PositionMode.ONE_WAY,
        time=time,
    )


def margin_health(row: Row, *, account_id: AccountId, time: datetime) -> MarginHealth:
    """The account in dollars as Alpaca states it; `available` is its buying power, loans included."""
    equity, maintenance = number(row, "equity"), number_or_none(row, "maintenance_margin")
    return MarginHealth(
        account_id=account_id,
        currency=CURRENCY,
        equity=equity,
        available=number_or_none(row, "buying_power"),
        initial_margin=number_or_none(row, "initial_margin"),
        maintenance_margin=maintenance,
        maintenance_ratio=MONEY.divide(maintenance, equity) if maintenance is not None and equity > 0 else None,
        time=time,
    )


def margin_mode(account: Row) -> MarginMode:
    """By the account's multiplier: 1 is a cash account, 2 and 4 may borrow."""
    return MarginMode.CASH if number(account, "multiplier") <= 1 else MarginMode.CROSS


def may_trade(account: Row) -> bool:
    blocks = ("trading_blocked", "account_blocked", "trade_suspended_by_user")
    return text(account, "status") == "ACTIVE" and not any(flag(account, name) for name in blocks)


def quote(snapshot: Row, instrument_id: InstrumentId) -> Quote:
    """A snapshot's quote and last trade, with the time of the quote; VenueUnavailable where a side is missing.

    Alpaca writes 0 for "no quote on this side". Outside the session the quote is the last one, and its time says so.
    """
    book, trade = _part(snapshot, "latestQuote", instrument_id), _part(snapshot, "latestTrade", instrument_id)
    prices = {name: positive_or_none(row, name) for row, name in ((book, "bp"), (book, "ap"), (trade, "p"))}
    bid, ask, last = prices["bp"], prices["ap"], prices["p"]
    if bid is None or ask is None or last is None:
        missing = ", ".join(name for name, price in prices.items() if price is None)
        raise VenueUnavailable(f"{instrument_id} has no {missing} now; there is no market to quote")
    return Quote(instrument_id=instrument_id, bid=bid, ask=ask, last=last, time=moment(book, "t"))


def _part(snapshot: Row, name: str, instrument_id: InstrumentId) -> Row:
    found = snapshot.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise AnswerUnreadable(f"{name} of {instrument_id} must be an object, was {type(found).__name__}")
    return found


def market_clock(row: Row) -> MarketClock:
    return MarketClock(
        time=moment(row, "timestamp"),
        is_open=flag(row, "is_open"),
        next_open=moment(row, "next_open"),
        next_close=moment(row, "next_close"),
    )


def trading_day(row: Row) -> TradingDay:
    """A row of the calendar; its times are New York's and carry no zone."""
    try:
        day = date.fromisoformat(required(row, "date"))
        opens, closes = (time.fromisoformat(required(row, name)) for name in ("open", "close"))
    except ValueError as error:
        raise AnswerUnreadable(f"a day of the calendar must read date, open, close, was {dict(row)}") from error
    return TradingDay(
        day=day,
        opens_at=datetime.combine(day, opens, NEW_YORK),
        closes_at=datetime.combine(day, closes, NEW_YORK),
    )


def has_whitelisted(rows: Iterable[Row]) -> bool:
    """Whether coins could be withdrawn to an address that was approved."""
    return any(text(row, "status").upper() != "REJECTED" for row in rows)
