"""Reads request parameters the way OKX does: everything a string, an empty one is none, 51000 for what is malformed."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from simulators.core.accounts import Account
from simulators.core.types import ApiKey, Instrument, MarketKind, PositionMode, PositionSide
from simulators.core.venue import Venue
from simulators.core.wire import Handling
from simulators.okx.desk import AccountLevel, Desk
from simulators.okx.errors import OKXError, refused, wrong

CLIENT_ID = re.compile(r"[A-Za-z0-9]{1,32}")
TAG = re.compile(r"[A-Za-z0-9]{1,16}")
NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,18})?")
WHOLE = re.compile(r"[0-9]{1,19}")
DAY_MS = 86_400_000
PAGE_MAX = 100
INSTRUMENT_TYPES = ("SPOT", "MARGIN", "SWAP", "FUTURES", "OPTION", "EVENTS")
KINDS = {"SPOT": MarketKind.SPOT, "SWAP": MarketKind.LINEAR}
TYPES = {kind: name for name, kind in KINDS.items()}
SIDES = {"net": PositionSide.BOTH, "long": PositionSide.LONG, "short": PositionSide.SHORT}
SIDE_NAMES = {side: name for name, side in SIDES.items()}
MODES = {"net_mode": PositionMode.ONE_WAY, "long_short_mode": PositionMode.HEDGE}
MODE_NAMES = {mode: name for name, mode in MODES.items()}


@dataclass(frozen=True, slots=True)
class Params:
    """The parameters of a request, or of one item of it, from the query string or the JSON body."""

    values: Mapping[str, object]

    def has(self, name: str) -> bool:
        """Tell whether a parameter says anything: "", null and [] do not."""
        return self.values.get(name) not in (None, "", [], {})

    def text(self, name: str) -> str:
        """Return a string parameter, or "" when absent; clients send numbers bare, too."""
        value = self.values.get(name)
        if value is None:
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
            raise wrong(name)
        return format(value, "f") if isinstance(value, Decimal) else str(value)

    def required(self, name: str) -> str:
        """Return a string parameter that a read or a setting cannot go without."""
        value = self.text(name)
        if not value:
            raise refused(50014, name=name)
        return value

    def choice(self, name: str, allowed: tuple[str, ...], *, default: str | None = None) -> str:
        """Return one of the allowed words."""
        value = self.text(name) or default or ""
        if value not in allowed:
            raise wrong(name)
        return value

    def decimal(self, name: str) -> Decimal | None:
        """Return a plain number, or None when absent."""
        value = self.text(name)
        if not value:
            return None
        if not NUMBER.fullmatch(value):
            raise wrong(name)
        return Decimal(value)

    def integer(self, name: str) -> int | None:
        """Return a whole number, or None when absent."""
        value = self.text(name)
        if not value:
            return None
        if not WHOLE.fullmatch(value):
            raise wrong(name)
        return int(value)

    def flag(self, name: str) -> bool:
        """Return a boolean, sent as such or as a word; false when absent."""
        value = self.values.get(name)
        if value in (None, "", False, "false"):
            return False
        if value in (True, "true"):
            return True
        raise wrong(name)

    def limit(self) -> int:
        """Return the page size."""
        value = self.integer("limit")
        if value is None:
            return PAGE_MAX
        if not 1 <= value <= PAGE_MAX:
            raise wrong("limit")
        return value

    def many(self, name: str, maximum: int) -> tuple[str, ...]:
        """Return what a comma separates, at most so many."""
        found = tuple(part for part in self.text(name).split(",") if part)
        if len(found) > maximum:
            raise wrong(name)
        return found

    def well_formed(self, name: str, pattern: re.Pattern[str]) -> str:
        """Return an id of the client's, or ""; the odd blanks of the text are OKX's own."""
        value = self.text(name)
        if value and not pattern.fullmatch(value):
            raise OKXError(51000, f"Parameter {name}  error")
        return value


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler works with."""

    venue: Venue
    desk: Desk
    account: Account | None
    key: ApiKey | None
    params: Params
    handling: Handling

    @property
    def me(self) -> Account:
        """Return the caller's account; only signed endpoints ask for it."""
        assert self.account is not None, "a signed endpoint has an account"
        return self.account

    @property
    def level(self) -> AccountLevel:
        """Return the caller's account mode."""
        return self.desk.level(self.me.name)

    @property
    def hedged(self) -> bool:
        return self.me.default_mode is PositionMode.HEDGE

    def view_ms(self, lag_ms: int) -> int | None:
        """Return the moment whose state a read shows, None for the present."""
        lag = max(lag_ms, self.handling.stale_ms or 0)
        return self.venue.now_ms() - lag if lag else None

    def instrument(self, inst_id: str) -> Instrument:
        """Return a listed instrument or refuse."""
        for kind in MarketKind:
            found = self.venue.instruments.get((kind, inst_id))
            if found is not None:
                return found
        raise refused(51001)

    def kinds(self, *, required: bool = False) -> frozenset[MarketKind]:
        """Return the markets of instType: all when it is absent, none for a type that is not listed here."""
        name = self.params.required("instType") if required else self.params.text("instType")
        if not name:
            return frozenset(MarketKind)
        if name not in INSTRUMENT_TYPES:
            raise wrong("instType")
        return frozenset({KINDS[name]} if name in KINDS else ())


def family(instrument: Instrument) -> str:
    """Return a contract's family and underlying, e.g. BTC-USDT; "" on spot."""
    return "" if instrument.kind is MarketKind.SPOT else instrument.symbol.removesuffix("-SWAP")
