"""Binance's account and market rows as domain values. Pure; every malformed row is AnswerUnreadable.

Sources: Spot "Account information", "Symbol order book ticker", "Symbol price ticker"; USDⓈ-M "Account Information V3",
"Position Information V3", "Symbol Configuration", "Get Current Position Mode".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal

from brokers.binance.instruments import Market
from brokers.errors import AnswerUnreadable, VenueUnavailable
from brokers.fields import (
    Row,
    computed_above_zero,
    computed_or_none,
    flag,
    member,
    moment,
    number,
    number_or_none,
    number_or_zero,
    positive_or_none,
    required,
    text,
)
from brokers.ids import AccountId
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
    Quote,
)

DOLLARS = "USDT"  # what spot is valued in; futures state their sums in it, or in US dollars with several margin assets
_MARGIN_MODES = {
    "CROSSED": MarginMode.CROSS,
    "CROSS": MarginMode.CROSS,
    "cross": MarginMode.CROSS,
    "ISOLATED": MarginMode.ISOLATED,
    "isolated": MarginMode.ISOLATED,
}
_POSITION_SIDES = {"BOTH": None, "LONG": PositionSide.LONG, "SHORT": PositionSide.SHORT}


# -- prices -----------------------------------------------------------------------------------------------------
def quote(book: Row, last: Row, market: Market, time: datetime) -> Quote:
    """Best prices and the last one; VenueUnavailable where one side of the book is empty. Spot tells no time."""
    prices = {
        "bidPrice": positive_or_none(book, "bidPrice"),
        "askPrice": positive_or_none(book, "askPrice"),
        "price": positive_or_none(last, "price"),
    }
    bid, ask, price = prices.values()
    if bid is None or ask is None or price is None:
        missing = ", ".join(name for name, found in prices.items() if found is None)
        raise VenueUnavailable(f"{market.instrument_id} has no {missing} now; there is no market to quote")
    told_at = moment(book, "time") if text(book, "time") else time
    return Quote(instrument_id=market.instrument_id, bid=bid, ask=ask, last=price, time=min(told_at, time))


# -- money ------------------------------------------------------------------------------------------------------
def right(rights: Row, name: str) -> bool:
    """A right of a key. One that is not told may not be taken for one that it has not."""
    if not isinstance(rights.get(name), bool):
        raise AnswerUnreadable(f"{name} must be true or false, was {rights.get(name)!r}")
    return flag(rights, name)


def moves_money_out(rights: Row) -> bool:
    """Whether a key may move money out of the account: withdraw it, or transfer it to another one of its master."""
    return right(rights, "enableWithdrawals") or right(rights, "enableInternalTransfer")


def spot_balance(row: Row, *, account_id: AccountId, time: datetime) -> Balance:
    free, locked = number(row, "free"), number(row, "locked")
    return Balance(
        account_id=account_id,
        currency=required(row, "asset"),
        total=MONEY.add(free, locked),
        available=free,
        held=locked,
        time=time,
    )


def futures_balance(row: Row, *, account_id: AccountId, is_shared: bool, time: datetime) -> Balance:
    """One margin asset; what margins and losses take is held, and an open profit is not yet money.

    With several margin assets each `availableBalance` is the one shared pool in another coin: not this coin's own.
    """
    total = number(row, "walletBalance")
    available = None if is_shared else min(number(row, "availableBalance"), total)
    return Balance(
        account_id=account_id,
        currency=required(row, "asset"),
        total=total,
        available=available,
        held=number_or_zero(row, "initialMargin") if available is None else MONEY.subtract(total, available),
        time=time,
    )


def has_money(balance: Balance) -> bool:
    return bool(balance.total or balance.held)


def together(balances: Iterable[Balance]) -> tuple[Balance, ...]:
    """One balance per currency over both wallets. Neither can spend what is in the other: where both hold a currency no
    one figure is available to an order."""
    found: dict[str, Balance] = {}
    for balance in balances:
        known = found.get(balance.currency)
        found[balance.currency] = balance if known is None else _sum(known, balance)
    return tuple(found.values())


def _sum(first: Balance, second: Balance) -> Balance:
    return Balance(
        account_id=first.account_id,
        currency=first.currency,
        total=MONEY.add(first.total, second.total),
        available=None,
        held=MONEY.add(first.held, second.held),
        time=max(first.time, second.time),
    )


def spot_value(balances: Iterable[Balance], prices: Mapping[str, Decimal]) -> Decimal:
    """Spot in USDT at last prices. A currency without a pair in USDT counts nothing: equity is not guessed upwards."""
    value = ZERO
    for balance in balances:
        price = Decimal(1) if balance.currency == DOLLARS else prices.get(f"{balance.currency}{DOLLARS}", ZERO)
        value = MONEY.add(value, MONEY.multiply(balance.total, price))
    return value


def margin_health(
    futures: Row | None,
    spot: Decimal | None,
    *,
    free: Decimal | None = None,
    account_id: AccountId,
    is_shared: bool,
    time: datetime,
) -> MarginHealth:
    """Futures as Binance states them, plus the value of spot; the ratio is of futures alone, which spot cannot save.

    `free` is what the spot wallet can spend. Of both wallets the smaller figure is available, so that it is there for
    an order of either product; a wallet without money is not counted on.
    """
    if futures is None:
        return MarginHealth(
            account_id=account_id,
            currency=DOLLARS,
            equity=spot or ZERO,
            available=free,
            initial_margin=None,
            maintenance_margin=None,
            maintenance_ratio=None,
            time=time,
        )
    own, maintenance = number(futures, "totalMarginBalance"), number(futures, "totalMaintMargin")
    ratio = MONEY.divide(maintenance, own).quantize(Decimal("1e-8"), context=MONEY) if own > 0 else None
    return MarginHealth(
        account_id=account_id,
        currency="USD" if is_shared and spot is None else DOLLARS,
        equity=MONEY.add(own, spot or ZERO),
        available=_of_either(number_or_none(futures, "availableBalance"), free),
        initial_margin=number_or_none(futures, "totalInitialMargin"),
        maintenance_margin=maintenance,
        maintenance_ratio=ratio,
        time=time,
    )


def _of_either(futures: Decimal | None, spot: Decimal | None) -> Decimal | None:
    known = [amount for amount in (futures, spot) if amount is not None]
    return min((amount for amount in known if amount > 0), default=min(known, default=None))


# -- positions --------------------------------------------------------------------------------------------------
def position(row: Row, market: Market, *, account_id: AccountId, leverage: Decimal | None) -> Position:
    """One leg. The amount is signed in one-way mode; in hedge mode the leg's name must agree with its sign."""
    amount = number(row, "positionAmt")
    leg = member(row, "positionSide", _POSITION_SIDES)
    side = PositionSide.FLAT if not amount else PositionSide.LONG if amount > 0 else PositionSide.SHORT
    if leg is not None and amount and side is not leg:
        raise AnswerUnreadable(f"positionSide {leg} of {market.instrument_id} must fit its amount, was {amount}")
    return Position(
        account_id=account_id,
        instrument_id=market.instrument_id,
        side=side,
        quantity=amount,
        average_price=computed_above_zero(row, "entryPrice"),
        mark_price=computed_above_zero(row, "markPrice"),
        unrealised_pnl=computed_or_none(row, "unRealizedProfit"),
        realised_pnl=None,  # Binance tells it trade by trade, never of a position
        leverage=leverage,
        mode=PositionMode.ONE_WAY if leg is None else PositionMode.HEDGE,
        time=moment(row, "updateTime"),
        liquidation_price=computed_above_zero(row, "liquidationPrice"),
    )


def leverage_info(configured: Sequence[Row], market: Market, mode: PositionMode) -> LeverageInfo:
    """One symbol's own leverage and margin mode; both legs share them. The position mode is the account's."""
    found = [row for row in configured if text(row, "symbol") == market.symbol]
    if len(found) != 1:
        raise AnswerUnreadable(f"symbolConfig must show {market.symbol} once, showed it {len(found)} times")
    leverage = number(found[0], "leverage")
    return LeverageInfo(
        instrument_id=market.instrument_id,
        long_leverage=leverage,
        short_leverage=leverage,
        margin_mode=member(found[0], "marginType", _MARGIN_MODES),
        position_mode=mode,
    )


def leverages(configured: Iterable[Row]) -> dict[str, Decimal]:
    return {required(row, "symbol"): number(row, "leverage") for row in configured}


def position_mode(answer: Row) -> PositionMode:
    if not isinstance(answer.get("dualSidePosition"), bool):
        raise AnswerUnreadable(f"dualSidePosition must be true or false, was {answer.get('dualSidePosition')!r}")
    return PositionMode.HEDGE if flag(answer, "dualSidePosition") else PositionMode.ONE_WAY
