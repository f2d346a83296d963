"""How TradeStation writes moments, beside the sessions that it shares with other venues of stocks."""

from datetime import UTC, date, datetime

from simulators.core.sessions import NEW_YORK, AssetType, Hours, SessionConfig, SessionMode

__all__ = ["NEW_YORK", "AssetType", "Hours", "SessionConfig", "SessionMode", "iso", "iso_day"]


def iso(at_ms: int) -> str:
    """Write a moment as the venue does: UTC, whole seconds."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_day(day: date) -> str:
    """Write an exchange date as the venue does: midnight Z."""
    return f"{day.isoformat()}T00:00:00Z"
