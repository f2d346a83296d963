"""What a handler works with, and how TradeStation reads a request: names in any case, numbers as strings."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from simulators.core.accounts import Account
from simulators.core.tape import Tape
from simulators.core.types import Instrument, MarketKind
from simulators.core.venue import Venue
from simulators.core.wire import Handling
from simulators.tradestation.book import Book
from simulators.tradestation.config import (
    AccountType,
    ClientConfig,
    TradeStationAccount,
    TradeStationConfig,
    TradeStationSymbol,
)
from simulators.tradestation.errors import INVALID_ACCOUNT, WRONG_ACCOUNT_TYPE, ApiError, bad_request
from simulators.tradestation.sessions import Hours

if TYPE_CHECKING:
    from simulators.tradestation.streams import TradeStationStream

Row = dict[str, object]
E = TypeVar("E", bound=Enum)
NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,10})?")
ACCOUNTS_MAX = 25


@dataclass(frozen=True, slots=True)
class Flags:
    """What the market says of a symbol: quotes print it, and orders feel it."""

    is_halted: bool = False
    is_delayed: bool = False
    is_hard_to_borrow: bool = False


@dataclass(frozen=True, slots=True)
class House:
    """All of one venue that its handlers share."""

    venue: Venue
    config: TradeStationConfig
    book: Book
    tape: Tape
    hours: Hours
    accounts: dict[str, TradeStationAccount]
    symbols: Mapping[str, TradeStationSymbol]
    confirm_ids: set[tuple[str, str]]
    streams: "set[TradeStationStream]"
    flags: dict[str, Flags]

    def instrument(self, symbol: str) -> Instrument | None:
        """Return a listed instrument, whatever the case of its name."""
        return self.venue.instruments.get((MarketKind.LINEAR, symbol.upper()))


class Body:
    """A JSON object whose names may be in any case."""

    def __init__(self, values: Mapping[str, object], path: str = "") -> None:
        self._values = {name.lower(): value for name, value in values.items()}
        self._path = path

    @classmethod
    def read(cls, raw: bytes) -> "Body":
        """Read a request's body."""
        try:
            values = json.loads(raw)
        except ValueError:
            raise bad_request("Invalid JSON") from None
        if not isinstance(values, dict):
            raise bad_request("Invalid JSON")
        return cls(values)

    def has(self, name: str) -> bool:
        """Tell whether a field is given and is not empty."""
        return self._values.get(name.lower()) not in (None, "", [], {})

    def asks(self, name: str) -> bool:
        """Tell whether an option is given and switched on."""
        value = self._values.get(name.lower())
        return self.has(name) and value is not False and str(value).lower() not in ("false", "0")

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a string field, "" when absent."""
        value = self._values.get(name.lower())
        if value is None or value == "":
            if required:
                raise bad_request(f"{self._path}{name} is required")
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise bad_request(f"{self._path}{name} must be a string")
        return str(value)

    def word(self, name: str, words: type[E]) -> E:
        """Return a word of a closed set, whatever its case."""
        value = self.text(name, required=True)
        for word in words:
            if str(word.value).lower() == value.lower():
                return word
        raise bad_request(f"{self._path}{name} {value!r} is not valid")

    def decimal(self, name: str, *, required: bool = False) -> Decimal | None:
        """Return a number, sent as a string or an integer; None when absent."""
        value = self.text(name, required=required)
        if not value:
            return None
        if not NUMBER.fullmatch(value):
            raise bad_request(f"{self._path}{name} {value!r} is not a number")
        return Decimal(value)

    def inner(self, name: str) -> "Body":
        """Return an object field; an empty one when absent."""
        value = self._values.get(name.lower()) or {}
        if not isinstance(value, dict):
            raise bad_request(f"{self._path}{name} must be an object")
        return Body(value, f"{self._path}{name}.")

    def rows(self, name: str) -> "list[Body]":
        """Return a list of objects; an empty one when absent."""
        value = self._values.get(name.lower()) or []
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise bad_request(f"{self._path}{name} must be a list of objects")
        return [Body(row, f"{self._path}{name}[{number}].") for number, row in enumerate(value)]


@dataclass(frozen=True, slots=True)
class Context:
    """One request of one client."""

    house: House
    client: ClientConfig
    path: Mapping[str, str]
    query: Mapping[str, str]
    raw_body: bytes
    handling: Handling

    @property
    def venue(self) -> Venue:
        return self.house.venue

    def body(self) -> Body:
        """Return the request's JSON object."""
        return Body.read(self.raw_body)

    def listed(self, name: str, maximum: int) -> list[str]:
        """Return the comma list in a path."""
        found = [part.strip() for part in self.path[name].split(",") if part.strip()]
        if not found or len(found) > maximum:
            raise bad_request(f"{name} must name 1 to {maximum}, named {len(found)}")
        return list(dict.fromkeys(found))

    def owns(self, account_id: str) -> bool:
        """Tell whether an account exists and is this client's."""
        mine = not self.client.accounts or account_id in self.client.accounts
        return mine and account_id in self.venue.accounts

    def one(self, account_id: str) -> Account:
        """Return an account to trade in, or refuse with HTTP 403."""
        if not self.owns(account_id):
            raise ApiError(403, INVALID_ACCOUNT)
        if self.house.accounts[account_id].account_type is AccountType.CRYPTO:
            raise ApiError(403, WRONG_ACCOUNT_TYPE)
        return self.venue.accounts[account_id]

    def named(self) -> tuple[list[Account], list[Row]]:
        """Return the accounts in the path that may be read, and a row of `Errors` for each other one."""
        found: list[Account] = []
        errors: list[Row] = []
        for account_id in self.listed("accounts", ACCOUNTS_MAX):
            try:
                found.append(self.one(account_id))
            except ApiError as error:
                errors.append({"AccountID": account_id, **error.body})
        return found, errors

    def view_ms(self, lag_ms: int) -> int | None:
        """Return the moment whose state a read shows, None for the present."""
        lag = max(lag_ms, self.handling.stale_ms or 0)
        return self.venue.now_ms() - lag if lag else None


def with_errors(name: str, rows: list[Row], errors: list[Row]) -> Row:
    """Return a list answer; `Errors` is there even when it is empty."""
    return {name: rows, "Errors": errors}
