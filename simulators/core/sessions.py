"""When a symbol trades: US equities regular and extended, futures nearly round the clock, or always."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from zoneinfo import ZoneInfo

from simulators.core.config import Strict

NEW_YORK = ZoneInfo("America/New_York")
DAY_MS = 86_400_000
OPG_DEADLINE = time(9, 29)
FUTURES_OPEN = time(18)
FUTURES_CLOSE = time(17)
SEARCH_DAYS = 14


class AssetType(Enum):
    STOCK = "STOCK"
    FUTURE = "FUTURE"


class SessionMode(Enum):
    ALWAYS = "always"
    EXCHANGE = "exchange"


Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Hours:
    """The calendar of one venue. Times are New York's; spans are milliseconds, the end excluded."""

    mode: SessionMode
    opens: time = time(9, 30)
    closes: time = time(16)
    extended_opens: time = time(4)
    extended_closes: time = time(20)
    holidays: Collection[date] = ()
    early_closes: Mapping[date, time] = field(default_factory=dict)

    def day(self, at_ms: int) -> date:
        """Return New York's date at a moment."""
        return _local(at_ms).date()

    def day_start_ms(self, at_ms: int) -> int:
        """Return the midnight with which New York's day began."""
        return _ms(self.day(at_ms), time(0))

    @staticmethod
    def day_end_ms(day: date) -> int:
        """Return the midnight with which a day of New York ends."""
        return _ms(day + timedelta(days=1), time(0))

    def is_open(self, asset: AssetType, at_ms: int, *, extended: bool = False) -> bool:
        """Tell whether orders of a kind trade at a moment."""
        return self.mode is SessionMode.ALWAYS or self._span_at(asset, at_ms, extended=extended) is not None

    def closes_ms(self, asset: AssetType, at_ms: int, *, extended: bool = False) -> int:
        """Return when the present session ends, or the next one when none is on; a day later if it never does."""
        if self.mode is SessionMode.ALWAYS:
            return at_ms + DAY_MS
        return self._first(asset, at_ms, lambda span: span[1] > at_ms, extended=extended)[1]

    def opens_ms(self, asset: AssetType, at_ms: int, *, extended: bool = False) -> int:
        """Return when the next session begins; at once if it is always on."""
        if self.mode is SessionMode.ALWAYS:
            return at_ms
        return self._first(asset, at_ms, lambda span: span[0] > at_ms, extended=extended)[0]

    def by_exchange(self) -> "Hours":
        """Return the same calendar with the exchange's hours."""
        return replace(self, mode=SessionMode.EXCHANGE)

    def takes_opg(self, at_ms: int) -> bool:
        """Tell whether an order for the opening is still taken: not between 9:29 and the close of a trading day."""
        local = _local(at_ms)
        trades = self.equity_span(local.date(), extended=False) is not None
        return self.mode is SessionMode.ALWAYS or not trades or not OPG_DEADLINE <= local.time() < self.closes

    def next_boundary_ms(self, at_ms: int) -> int | None:
        """Return when any kind of session opens next; None when all are always on."""
        if self.mode is SessionMode.ALWAYS:
            return None
        return min(self.opens_ms(asset, at_ms, extended=extended) for asset in AssetType for extended in (False, True))

    def _span_at(self, asset: AssetType, at_ms: int, *, extended: bool) -> Span | None:
        today = self.day(at_ms)
        for day in (today, today + timedelta(days=1)):
            span = self._span(asset, day, extended=extended)
            if span is not None and span[0] <= at_ms < span[1]:
                return span
        return None

    def _first(self, asset: AssetType, at_ms: int, wanted: Callable[[Span], bool], *, extended: bool) -> Span:
        today = self.day(at_ms)
        for offset in range(SEARCH_DAYS):
            span = self._span(asset, today + timedelta(days=offset), extended=extended)
            if span is not None and wanted(span):
                return span
        raise ValueError(f"no session within {SEARCH_DAYS} days of {today}; check session.holidays")

    def _span(self, asset: AssetType, day: date, *, extended: bool) -> Span | None:
        if asset is AssetType.STOCK:
            return self.equity_span(day, extended=extended)
        if day.weekday() > 4:
            return None
        return _ms(day - timedelta(days=1), FUTURES_OPEN), _ms(day, FUTURES_CLOSE)

    def equity_span(self, day: date, *, extended: bool) -> Span | None:
        """Return when stocks trade on a day, whatever the mode; None on weekends and holidays."""
        if day.weekday() > 4 or day in self.holidays:
            return None
        if extended:
            return _ms(day, self.extended_opens), _ms(day, self.extended_closes)
        return _ms(day, self.opens), _ms(day, self.early_closes.get(day, self.closes))


def _local(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(NEW_YORK)


def _ms(day: date, at: time) -> int:
    return int(datetime.combine(day, at, NEW_YORK).timestamp() * 1000)


class SessionConfig(Strict):
    """When orders trade. `always` has no closed hours; `exchange` follows New York's times, holidays excepted."""

    mode: SessionMode = SessionMode.ALWAYS
    opens: time = time(9, 30)
    closes: time = time(16)
    extended_opens: time = time(4)
    extended_closes: time = time(20)
    holidays: tuple[date, ...] = ()
    early_closes: dict[date, time] = {}

    def build(self) -> Hours:
        """Return the calendar."""
        return Hours(
            mode=self.mode,
            opens=self.opens,
            closes=self.closes,
            extended_opens=self.extended_opens,
            extended_closes=self.extended_closes,
            holidays=frozenset(self.holidays),
            early_closes=self.early_closes,
        )
