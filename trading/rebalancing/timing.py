"""Whether a portfolio may be traded now: its session, its cooldown, its period, and whether its weights still hold.

A function of the portfolio, the snapshot's time and the time of the last rebalance, so that a plan can be made again.
Days, weeks and longer periods are those of UTC.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from trading.market_hours import market_state
from trading.rebalancing.portfolio import Period, Portfolio
from trading.rebalancing.reasons import LineReason


def hold_reason(portfolio: Portfolio, *, now: datetime, last_traded_at: datetime | None) -> LineReason | None:
    """Why no line is traded now, or None."""
    if not market_state(portfolio.calendar.sessions, now).is_open:
        return LineReason.SESSION_CLOSED
    if last_traded_at is None:
        return None
    if now - last_traded_at < timedelta(seconds=portfolio.cooldown_s):
        return LineReason.COOLDOWN
    every = portfolio.calendar.every
    if every is not None and last_traded_at >= period_start(every, now):
        return LineReason.NOT_DUE
    return None


def targets_ended(portfolio: Portfolio, now: datetime) -> datetime | None:
    """When the weights stopped being good; None while they are."""
    end = portfolio.targets_end
    return end if end is not None and now > end else None


def period_start(period: Period, now: datetime) -> datetime:
    """The first moment of the period that `now` is in."""
    day = now.replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case Period.DAY:
            return day
        case Period.WEEK:
            return day - timedelta(days=day.weekday())
        case Period.MONTH:
            return day.replace(day=1)
        case Period.QUARTER:
            return day.replace(month=3 * ((day.month - 1) // 3) + 1, day=1)
        case Period.YEAR:
            return day.replace(month=1, day=1)
