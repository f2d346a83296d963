"""How Alpaca writes moments: UTC for orders, New York's clock in the ids of activities."""

from datetime import UTC, date, datetime, time

from simulators.core.sessions import NEW_YORK


def moment(at_us: int) -> str:
    """Write a moment as the trading API does."""
    return datetime.fromtimestamp(at_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{at_us % 1_000_000:06d}Z"


def eastern(at_ms: int) -> datetime:
    """Return a moment on New York's clock."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(NEW_YORK)


def midnight(day: date) -> datetime:
    """Return the beginning of a day in New York."""
    return datetime.combine(day, time(0), NEW_YORK)


def activity_time(at_ms: int) -> str:
    """Return the first part of an activity's id: a moment of New York in digits."""
    return f"{eastern(at_ms):%Y%m%d%H%M%S}{at_ms % 1000:03d}"
