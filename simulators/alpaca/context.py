"""What a handler works with, and how Alpaca reads a request: JSON numbers or strings, exact to the digit."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

from simulators.alpaca.book import Book
from simulators.alpaca.config import USD, AlpacaAccount, AlpacaAsset, AlpacaConfig
from simulators.alpaca.costs import CostBook
from simulators.alpaca.errors import BAD_BODY, bad_parameter, refused
from simulators.alpaca.fees import FeeBook
from simulators.alpaca.fills import FillBook
from simulators.alpaca.ids import named_uuid
from simulators.core.accounts import Account
from simulators.core.sessions import NEW_YORK, Hours
from simulators.core.tape import Tape
from simulators.core.types import EntryKind, Instrument, PositionSide
from simulators.core.venue import Venue
from simulators.core.wire import Handling

if TYPE_CHECKING:
    from simulators.alpaca.groups import Groups

Row = dict[str, object]
W = TypeVar("W", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class House:
    """All of one venue that its handlers share. `one_sided` says which sides of a quote are missing."""

    venue: Venue
    config: AlpacaConfig
    book: Book
    tape: Tape
    hours: Hours
    fees: FeeBook
    costs: CostBook
    fills: FillBook
    groups: "Groups"
    assets: dict[str, AlpacaAsset]
    accounts: dict[str, AlpacaAccount]
    one_sided: dict[str, tuple[bool, bool]]
    closing_equity: dict[str, Decimal]

    def find(self, name: str) -> AlpacaAsset | None:
        """Return an asset by symbol, by a pair's symbol without its slash, or by id."""
        found = self.assets.get(name)
        if found is not None:
            return found
        for asset in self.assets.values():
            if asset.symbol.replace("/", "") == name or named_uuid("asset", asset.symbol) == name.lower():
                return asset
        return None

    def instrument(self, asset: AlpacaAsset) -> Instrument:
        """Return the core's form of an asset."""
        return self.venue.instruments[(asset.kind, asset.symbol)]

    def price(self, asset: AlpacaAsset) -> Decimal:
        """Return an asset's last price."""
        return self.venue.board.last(self.instrument(asset))

    def cost_of(self, account: Account, asset: AlpacaAsset, qty: Decimal, view_ms: int | None) -> Decimal:
        """Return what a holding cost, a positive amount."""
        if not asset.is_crypto:
            return account.position(asset.symbol, PositionSide.BOTH, view_ms).cost
        average = self.costs.average(account.name, asset)
        return qty * (average if average is not None else self.price(asset))

    def last_equity(self, account: Account) -> Decimal:
        """Return the equity with which the day before ended; on the first day what was paid in."""
        paid_in = (entry.change for entry in account.entries if entry.kind is EntryKind.DEPOSIT and entry.coin == USD)
        return self.closing_equity.get(account.name, sum(paid_in, Decimal(0)))

    def change(self, name: str, **changes: object) -> None:
        """Change an account's settings; its multiplier is the core's leverage of every stock."""
        settings = AlpacaAccount.model_validate({**self.accounts[name].model_dump(), **changes})
        self.accounts[name] = settings
        leverages = self.venue.accounts[name].leverages
        leverages.update(dict.fromkeys(self.assets, Decimal(settings.multiplier)))


class Body:
    """A JSON object, the names in it under `path`."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = values
        self._path = path

    @classmethod
    def read(cls, raw: bytes) -> "Body":
        """Read a request's body."""
        try:
            values = json.loads(raw or b"{}", parse_float=Decimal)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise refused(BAD_BODY, "request body format is invalid")
        return cls(values)

    def has(self, name: str) -> bool:
        """Tell whether a field is given."""
        return self._values.get(name) not in (None, "")

    def text(self, name: str) -> str:
        """Return a string field, "" when absent."""
        value = self._values.get(name)
        if value is None:
            return ""
        if isinstance(value, bool | dict | list):
            raise bad_parameter(f"{self._path}{name} must be a string")
        return str(value)

    def word(self, name: str, words: type[W], message: str) -> W:
        """Return a word of a closed set."""
        try:
            return words(self.text(name))
        except ValueError:
            raise bad_parameter(message) from None

    def decimal(self, name: str) -> Decimal | None:
        """Return a number, sent as a string or as a number; None when absent."""
        if not self.has(name):
            return None
        try:
            value = Decimal(self.text(name))
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite():
            raise bad_parameter(f"{self._path}{name} must be a number")
        return value

    def flag(self, name: str) -> bool | None:
        """Return a boolean, None when absent."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, bool):
            raise bad_parameter(f"{self._path}{name} must be a boolean")
        return value

    def inner(self, name: str) -> "Body | None":
        """Return an object field, None when absent."""
        value = self._values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise bad_parameter(f"{self._path}{name} must be an object")
        return Body(value, f"{self._path}{name}.")


@dataclass(frozen=True, slots=True)
class Context:
    """One request; `account` is absent where market data needs no key."""

    house: House
    owner: Account | None
    path: Mapping[str, str]
    query: Mapping[str, str]
    raw_body: bytes
    handling: Handling

    @property
    def venue(self) -> Venue:
        return self.house.venue

    @property
    def account(self) -> Account:
        assert self.owner is not None, "the gateway admits no trading request without an account"
        return self.owner

    @property
    def settings(self) -> AlpacaAccount:
        return self.house.accounts[self.account.name]

    def body(self) -> Body:
        """Return the request's JSON object."""
        return Body.read(self.raw_body)

    def view_ms(self, lag_ms: int) -> int | None:
        """Return the moment whose state a read shows, None for the present."""
        lag = max(lag_ms, self.handling.stale_ms or 0)
        return self.venue.now_ms() - lag if lag else None

    # query
    def flag(self, name: str) -> bool:
        """Return a boolean of the query; absent is false."""
        text = self.query.get(name, "").lower()
        if text not in ("", "true", "false"):
            raise bad_parameter(f"{name} must be true or false")
        return text == "true"

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        """Return a word of the query; the first is the default."""
        value = self.query.get(name) or allowed[0]
        if value not in allowed:
            raise bad_parameter(f"invalid {name} {value}, must be one of {', '.join(allowed)}")
        return value

    def whole(self, name: str, default: int, maximum: int) -> int:
        """Return a number between 1 and a maximum."""
        text = self.query.get(name, "")
        if not text:
            return default
        if not text.isdigit() or not 1 <= int(text) <= maximum:
            raise bad_parameter(f"{name} must be between 1 and {maximum}, was {text}")
        return int(text)

    def decimal(self, name: str) -> Decimal | None:
        """Return a number of the query, None when absent."""
        return Body(self.query).decimal(name)

    def moment_us(self, name: str) -> int | None:
        """Return a moment of the query in microseconds: RFC 3339, or a date, which is New York's midnight."""
        text = self.query.get(name, "")
        return moment_us(text, name) if text else None

    def day(self, name: str) -> date | None:
        """Return a date of the query."""
        text = self.query.get(name, "")
        if not text:
            return None
        try:
            return date.fromisoformat(text[:10])
        except ValueError:
            raise bad_parameter(f"Invalid format for parameter {name}: {text!r} is not a date") from None


def moment_us(text: str, name: str) -> int:
    """Read a moment."""
    try:
        if len(text) == len("2026-01-01"):
            found = datetime.combine(date.fromisoformat(text), time(0), NEW_YORK)
        else:
            # A plus sign that was not encoded arrives as a blank.
            found = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError:
        raise bad_parameter(f"Invalid format for parameter {name}: {text!r} is not RFC 3339") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (int(found.timestamp()) * 1_000_000) + found.microsecond
