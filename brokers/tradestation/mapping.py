"""TradeStation's account and market rows as domain values. Pure; every malformed row is AnswerUnreadable.

Source: TradeStation WebAPI v3, "Get Accounts", "Get Balances", "Get Positions", "Get Quote Snapshots". Numbers are
text.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from brokers.errors import AnswerUnreadable, VenueUnavailable
from brokers.fields import Row, flag, number, number_or_none, positive_or_none, required, rows, text
from brokers.fields import iso_moment as moment
from brokers.ids import AccountId, InstrumentId
from brokers.rounding import MONEY
from brokers.tradestation.instruments import unified
from brokers.types import (
    ZERO,
    Balance,
    Instrument,
    MarginHealth,
    MarginMode,
    Position,
    PositionMode,
    PositionSide,
    ProductKind,
    Quote,
)

CURRENCY = "USD"
_SIDES = {"Long": PositionSide.LONG, "Short": PositionSide.SHORT}
_PRODUCTS_OF_TYPE = {
    "Cash": ProductKind.EQUITY,
    "Margin": ProductKind.EQUITY,
    "DVP": ProductKind.EQUITY,
    "Futures": ProductKind.FUTURE,
}


def only_row(found: Iterable[Row], account: str, *, what: str) -> Row:
    """The one row of this account."""
    own = [row for row in found if text(row, "AccountID") == account]
    if len(own) != 1:
        raise AnswerUnreadable(f"{what} must show account {account} once, showed it {len(own)} times")
    return own[0]


def product_of_type(account_type: str) -> ProductKind | None:
    """What an account trades: shares or futures, never both; None for kinds that this adapter does not know."""
    return _PRODUCTS_OF_TYPE.get(account_type)


def margin_mode(account_type: str) -> MarginMode:
    return MarginMode.CASH if account_type in ("Cash", "DVP") else MarginMode.CROSS


def balances(row: Row, *, account_id: AccountId, time: datetime) -> tuple[Balance, ...]:
    """Cash by currency. `available` is None: what may be spent is stated for the account as a whole (margin)."""
    detail = _detail(row)
    listed = rows(row, "CurrencyDetails") or rows(detail, "CurrencyDetails")
    cash = [(text(item, "Currency") or CURRENCY, number(item, "CashBalance")) for item in listed]
    if not cash:
        cash = [(CURRENCY, number(row, "CashBalance"))]
    held = number_or_none(detail, "InitialMargin") or ZERO
    return tuple(
        Balance(
            account_id=account_id,
            currency=currency,
            total=total,
            available=None,
            held=held if currency == CURRENCY else ZERO,
            time=time,
        )
        for currency, total in cash
    )


def margin_health(row: Row, *, account_id: AccountId, time: datetime) -> MarginHealth:
    """The account in dollars, as TradeStation states it: `available` is its buying power."""
    detail = _detail(row)
    equity, maintenance = number(row, "Equity"), number_or_none(detail, "MaintenanceMargin")
    initial = number_or_none(detail, "InitialMargin")
    return MarginHealth(
        account_id=account_id,
        currency=CURRENCY,
        equity=equity,
        available=number_or_none(row, "BuyingPower"),
        initial_margin=initial if initial is not None else number_or_none(detail, "RequiredMargin"),
        maintenance_margin=maintenance,
        maintenance_ratio=MONEY.divide(maintenance, equity) if maintenance is not None and equity > 0 else None,
        time=time,
    )


def _detail(row: Row) -> Row:
    detail = row.get("BalanceDetail")
    if detail is None:
        return {}
    if not isinstance(detail, dict):
        raise AnswerUnreadable(f"BalanceDetail must be an object, was {type(detail).__name__}")
    return detail


def position(row: Row, *, account_id: AccountId, time: datetime) -> Position:
    """An open position; a short one has a negative quantity and says so too."""
    side_text, quantity = required(row, "LongShort"), number(row, "Quantity")
    side = _SIDES.get(side_text)
    if side is None or (quantity > 0) is not (side is PositionSide.LONG) or quantity == 0:
        raise AnswerUnreadable(f"LongShort and Quantity must fit, were {side_text!r} and {quantity}")
    return Position(
        account_id=account_id,
        instrument_id=unified(required(row, "Symbol")),
        side=side,
        quantity=quantity,
        average_price=positive_or_none(row, "AveragePrice"),
        mark_price=positive_or_none(row, "Last"),
        unrealised_pnl=number_or_none(row, "UnrealizedProfitLoss"),
        realised_pnl=None,
        leverage=None,
        mode=PositionMode.ONE_WAY,
        time=time,
    )


def quote(row: Row, instrument: Instrument, *, time: datetime) -> Quote:
    """A snapshot; VenueUnavailable while trading is halted or one side of the book is empty.

    A delayed quote (no market-data agreement) carries the time of its last trade, so that it is not taken for fresh.
    """
    key: InstrumentId = instrument.instrument_id
    flags = row.get("MarketFlags")
    marks: Row = flags if isinstance(flags, dict) else {}
    if flag(marks, "IsHalted"):
        raise VenueUnavailable(f"trading in {key} is halted")
    prices = {name: positive_or_none(row, name) for name in ("Bid", "Ask", "Last")}
    bid, ask, last = prices["Bid"], prices["Ask"], prices["Last"]
    if bid is None or ask is None or last is None:
        missing = ", ".join(name for name, price in prices.items() if price is None)
        raise VenueUnavailable(f"{key} has no {missing} now; there is no market to quote")
    is_delayed = flag(marks, "IsDelayed")
    return Quote(instrument_id=key, bid=bid, ask=ask, last=last, time=moment(row, "TradeTime") if is_delayed else time)


def has_money(balance: Balance) -> bool:
    return balance.total != Decimal(0) or balance.held != Decimal(0)
