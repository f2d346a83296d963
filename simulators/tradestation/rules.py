"""Which orders TradeStation takes from whom and when: account and symbol class, position side, duration, session."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.money import plain
from simulators.core.types import Instrument, PositionSide, Reason
from simulators.tradestation.book import Duration, Ticket, TradeAction
from simulators.tradestation.config import AccountType, ClosedMarket
from simulators.tradestation.context import House
from simulators.tradestation.errors import Failed, bad_request
from simulators.tradestation.sessions import AssetType

LIFE_DAYS_MAX = 90
ADVANCED = (
    *("AddLiquidity", "AllOrNone", "BookOnly", "DiscretionaryPrice", "MarketActivationRules", "NonDisplay"),
    *("PegValue", "ShowOnlyQuantity", "TimeActivationRules", "TrailingStop"),
)
"""Advanced options that would change what an order does, and are not simulated."""
ACTION_WORDS: Mapping[TradeAction, str] = {
    TradeAction.BUY: "Buy",
    TradeAction.SELL: "Sell",
    TradeAction.BUYTOCOVER: "Buy to Cover",
    TradeAction.SELLSHORT: "Sell Short",
}
TYPE_WORDS = {"Market": "MKT", "Limit": "LMT", "StopMarket": "STP", "StopLimit": "STPLMT"}
MINUTES: Mapping[Duration, int] = {Duration.MINUTE_1: 1, Duration.MINUTES_3: 3, Duration.MINUTES_5: 5}
EQUITIES_ONLY = frozenset({*MINUTES, Duration.OPENING})
_AT_ONCE = frozenset({Duration.IOC, Duration.FOK})
_TO_CLOSE = frozenset({Duration.DAY, Duration.DAY_PLUS})
_CANCELLED = frozenset({Duration.GTC, Duration.GTC_PLUS})


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of the rules: an order without its prices."""

    action: TradeAction
    duration: Duration
    qty: Decimal
    is_limit: bool
    is_stop: bool
    expires_on: date | None
    route: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What the rules say: the order's ticket, when it acts (None: now), when it ends (None: never), or why it is dead.

    An order with `rejected` is taken and rejected afterwards, as one that reaches a closed exchange.
    """

    ticket: Ticket
    release_ms: int | None = None
    expires_ms: int | None = None
    rejected: Reason | None = None


def judge(house: House, account: Account, instrument: Instrument, wish: Wish) -> Terms:
    """Return an order's terms, or raise Failed (HTTP 200) or ApiError."""
    asset = house.symbols[instrument.symbol].asset_type
    kind = house.accounts[account.name].account_type
    if (asset is AssetType.FUTURE) != (kind is AccountType.FUTURES):
        raise Failed(f"Account {account.name} is not authorized to trade {asset.value} symbols")
    held = account.position(instrument.symbol, PositionSide.BOTH).signed_qty
    if asset is AssetType.STOCK:
        _check_side(wish, held)
        if wish.action is TradeAction.SELLSHORT:
            _check_short(house, instrument, kind)
    elif wish.action not in (TradeAction.BUY, TradeAction.SELL):
        raise Failed(f"TradeAction {wish.action.value} is not valid for {asset.value} symbols", in_errors=True)
    if asset is AssetType.FUTURE and wish.duration in EQUITIES_ONLY:
        raise Failed(f"Duration {wish.duration.value} is only valid for equity orders", in_errors=True)
    ticket = Ticket(
        action=wish.action,
        duration=wish.duration,
        asset=asset,
        closes=held < 0 if wish.action.side.sign > 0 else held > 0,
        route=wish.route,
        good_till=_good_till(house, wish),
    )
    return _in_time(house, instrument.symbol, wish, ticket)


def _check_side(wish: Wish, held: Decimal) -> None:
    """Refuse an order on the wrong side of a position, or one that crosses zero: it must be sent as two."""
    stands = f"You are {'short' if held < 0 else 'long'} {plain(abs(held))} shares."
    conflicts = {
        TradeAction.SELLSHORT: ("EC601", held > 0),
        TradeAction.SELL: ("EC602", held <= 0 or wish.qty > held),
        TradeAction.BUY: ("EC701", held < 0),
        TradeAction.BUYTOCOVER: ("EC702", held >= 0 or wish.qty > -held),
    }
    code, is_conflict = conflicts[wish.action]
    if is_conflict:
        raise Failed(f"[{code}]: {stands}")


def _check_short(house: House, instrument: Instrument, kind: AccountType) -> None:
    if kind is AccountType.CASH:
        raise Failed("Short sales are not permitted in a Cash account")
    if house.flags[instrument.symbol].is_hard_to_borrow:
        raise Failed(f"No shares of {instrument.symbol} are available to borrow")


def _good_till(house: House, wish: Wish) -> date | None:
    """Return the last day of an order that outlives its session: ninety days away at most."""
    today = house.hours.day(house.venue.now_ms())
    last = today + timedelta(days=LIFE_DAYS_MAX)
    if wish.duration in _CANCELLED:
        return last
    if wish.expires_on is None:
        return None
    if not today <= wish.expires_on <= last:
        raise bad_request(f"TimeInForce.Expiration must be within {LIFE_DAYS_MAX} days, was {wish.expires_on}")
    return wish.expires_on


def _in_time(house: House, symbol: str, wish: Wish, ticket: Ticket) -> Terms:
    hours, now = house.hours, house.venue.now_ms()
    if house.flags[symbol].is_halted:
        return Terms(ticket, rejected=Reason.SYMBOL_NOT_TRADING)
    extended = wish.duration.extended
    if wish.duration is Duration.OPENING:
        if not hours.takes_opg(now):
            raise Failed("No OPG Orders after 9:29AM Eastern Time")
        return _waiting(ticket, hours.opens_ms(ticket.asset, now), now)
    if extended and not wish.is_limit and not hours.is_open(ticket.asset, now):
        raise Failed("Only Limit orders are accepted outside of regular trading hours")
    is_open = hours.is_open(ticket.asset, now, extended=extended)
    rejects = house.config.quirks.closed_market is ClosedMarket.REJECT and not wish.is_limit and not wish.is_stop
    if not is_open and (rejects or wish.duration in _AT_ONCE):
        return Terms(ticket, rejected=Reason.MARKET_CLOSED)
    if wish.duration is Duration.CLOSING:
        return _waiting(ticket, hours.closes_ms(ticket.asset, now), now)
    expires = _expires_ms(house, wish, ticket, now)
    if not is_open:
        waiting = _waiting(ticket, hours.opens_ms(ticket.asset, now, extended=extended), now)
        return Terms(ticket, release_ms=waiting.release_ms, expires_ms=expires)
    return Terms(ticket, expires_ms=expires)


def _waiting(ticket: Ticket, at_ms: int, now: int) -> Terms:
    if at_ms <= now:
        return Terms(ticket)
    ticket.held = True
    return Terms(ticket, release_ms=at_ms)


def _expires_ms(house: House, wish: Wish, ticket: Ticket, now: int) -> int | None:
    hours = house.hours
    if wish.duration in MINUTES:
        return now + MINUTES[wish.duration] * 60_000
    if wish.duration in _TO_CLOSE:
        return hours.closes_ms(ticket.asset, now, extended=wish.duration.extended)
    if ticket.good_till is not None:
        return hours.day_end_ms(ticket.good_till)
    return None
