"""When an instrument may be traded: weekly sessions in the time of their own place."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_WEEKDAYS: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME = r"^([01]\d|2[0-3]):[0-5]\d$"


class TradingSession(BaseModel):
    """From `opens` (included) to `closes` (not included) on the named weekdays; `closes` not after `opens` is the next
    day's. `zone` is an IANA name, so that summer time moves with the place."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    weekdays: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri")
    opens: str = Field(pattern=_TIME)
    closes: str = Field(pattern=_TIME)
    zone: str

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.weekdays:
            raise ValueError("weekdays must name at least one day")
        try:
            ZoneInfo(self.zone)
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(f"zone must be an IANA time zone such as America/New_York, was {self.zone!r}") from error
        return self

    def is_open(self, at: datetime) -> bool:
        """Whether the session is open at an aware time."""
        local = at.astimezone(ZoneInfo(self.zone))
        opens, closes, now = time.fromisoformat(self.opens), time.fromisoformat(self.closes), local.time()
        today, yesterday = _WEEKDAYS[local.weekday()], _WEEKDAYS[(local - timedelta(days=1)).weekday()]
        if opens < closes:
            return today in self.weekdays and opens <= now < closes
        return (today in self.weekdays and now >= opens) or (yesterday in self.weekdays and now < closes)


def is_open(sessions: Iterable[TradingSession], at: datetime) -> bool:
    """Whether any of the sessions is open."""
    return any(session.is_open(at) for session in sessions)
