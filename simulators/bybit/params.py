"""Reads request parameters the way Bybit does: strings for numbers, 10001 for what is missing or malformed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from urllib.parse import unquote

from simulators.bybit.errors import BybitError, bad_request
from simulators.core.accounts import Account
from simulators.core.types import ApiKey, MarketKind, PositionSide
from simulators.core.venue import Venue
from simulators.core.wire import Handling

LINK_ID = re.compile(r"[A-Za-z0-9_-]{1,36}")
NUMBER = re.compile(r"\d+(\.\d+)?")
DAY_MS = 86_400_000
WINDOW_MS = 7 * DAY_MS
RETENTION_MS = 730 * DAY_MS
POSITION_SIDES = {0: PositionSide.BOTH, 1: PositionSide.LONG, 2: PositionSide.SHORT}
POSITION_INDEX = {side: index for index, side in POSITION_SIDES.items()}


@dataclass(frozen=True, slots=True)
class Params:
    """One request's parameters, from the query string or the JSON body."""

    values: Mapping[str, object]

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a string parameter, or "" when absent."""
        value = self.values.get(name)
        if value is None or value == "":
            if required:
                raise bad_request(f"params error: {name} is required")
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise bad_request(f"params error: {name} invalid")
        return str(value)

    def choice(self, name: str, allowed: tuple[str, ...], *, default: str | None = None) -> str:
        """Return one of the allowed words."""
        value = self.text(name, required=default is None) or default or ""
        if value not in allowed:
            raise bad_request(f"params error: {name} invalid")
        return value

    def decimal(self, name: str, *, required: bool = False) -> Decimal | None:
        """Return a number sent as a plain string, or None when absent."""
        value = self.values.get(name)
        if value is None or value == "":
            if required:
                raise bad_request(f"params error: {name} is required")
            return None
        if not isinstance(value, str) or not NUMBER.fullmatch(value):
            raise bad_request(f"params error: {name} invalid")
        try:
            return Decimal(value)
        except InvalidOperation:
            raise bad_request(f"params error: {name} invalid") from None

    def integer(self, name: str, default: int | None = None) -> int | None:
        """Return an integer, sent as a number or a string."""
        value = self.values.get(name)
        if value is None or value == "":
            return default
        if isinstance(value, bool):
            raise bad_request(f"params error: {name} invalid")
        try:
            return int(str(value))
        except ValueError:
            raise bad_request(f"params error: {name} invalid") from None

    def flag(self, name: str) -> bool:
        """Return a boolean, false when absent."""
        value = self.values.get(name)
        if value in (None, "", False, 0, "false", "0"):
            return False
        if value in (True, 1, "true", "1"):
            return True
        raise bad_request(f"params error: {name} invalid")

    def limit(self, default: int, maximum: int) -> int:
        """Return the page size, clipped to the endpoint's maximum."""
        value = self.integer("limit", default)
        assert value is not None
        if value < 1:
            raise bad_request("params error: limit invalid")
        return min(value, maximum)

    def before(self) -> int | None:
        """Return the number that the cursor points at: the page goes on below it."""
        cursor = unquote(self.text("cursor"))
        if not cursor:
            return None
        number = cursor.rpartition(":")[2]
        if not number.isdigit():
            raise bad_request("params error: cursor invalid")
        return int(number)

    def category(self) -> MarketKind:
        """Return the market of a request; inverse and option are not listed here."""
        value = self.choice("category", ("linear", "spot", "inverse", "option"))
        if value in ("inverse", "option"):
            raise BybitError(10001, "Not supported symbols")
        return MarketKind(value)

    def window(self, now_ms: int, *, default_ms: int = WINDOW_MS) -> tuple[int, int]:
        """Return startTime and endTime; at most seven days apart, at most two years back."""
        start, end = self.integer("startTime"), self.integer("endTime")
        if start is not None and end is not None:
            if end < start:
                raise bad_request("params error: endTime should be greater than startTime")
            if end - start > WINDOW_MS:
                raise bad_request("The time range between startTime and endTime cannot exceed 7 days")
        elif start is not None:
            end = start + default_ms
        elif end is not None:
            start = end - default_ms
        else:
            start, end = now_ms - default_ms, now_ms + 1000
        assert start is not None
        assert end is not None
        return max(start, now_ms - RETENTION_MS), end

    def link_id(self) -> str:
        """Return a well-formed orderLinkId, or ""."""
        value = self.text("orderLinkId")
        if value and not LINK_ID.fullmatch(value):
            raise bad_request("params error: orderLinkId invalid")
        return value


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler works with."""

    venue: Venue
    account: Account | None
    key: ApiKey | None
    params: Params
    handling: Handling

    @property
    def me(self) -> Account:
        """Return the caller's account; only signed endpoints ask for it."""
        assert self.account is not None, "a signed endpoint has an account"
        return self.account

    def view_ms(self, lag_ms: int) -> int | None:
        """Return the moment whose state a read shows, None for the present."""
        lag = max(lag_ms, self.handling.stale_ms or 0)
        return self.venue.now_ms() - lag if lag else None
