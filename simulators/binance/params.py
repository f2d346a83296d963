"""Reads request parameters as Binance does: query before form, -1102 for a missing one, -1100 for a malformed one."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar
from urllib.parse import parse_qsl

from simulators.binance.errors import INTEGER_RANGE, NUMBER_RANGE, BinanceError, illegal, missing
from simulators.binance.house import House
from simulators.core.accounts import Account
from simulators.core.types import ApiKey, Instrument, MarketKind
from simulators.core.venue import Venue
from simulators.core.wire import Call, Handling

V = TypeVar("V")
DAY_MS = 86_400_000
SECURITY = frozenset({"timestamp", "recvWindow", "signature"})
_NUMBER = re.compile(NUMBER_RANGE)
_INTEGER = re.compile(INTEGER_RANGE)
_SPOT_ID = re.compile(r"[.A-Za-z0-9:/_-]{1,36}")
_LEGAL_ID = "^[a-zA-Z0-9-_]{1,36}$"


@dataclass(frozen=True, slots=True)
class Params:
    """One request's parameters; all values are text."""

    values: Mapping[str, str]

    def given(self, name: str) -> bool:
        """Tell whether a parameter was sent, empty or not."""
        return name in self.values

    def text(self, name: str, *, required: bool = False) -> str:
        """Return a parameter, or "" when absent."""
        value = self.values.get(name, "")
        if value == "" and required:
            raise missing(name)
        if value == "" and name in self.values:
            raise BinanceError(-1105, f"Parameter '{name}' was empty.")
        return value

    def word(self, name: str, table: Mapping[str, V], error: BinanceError, *, required: bool = False) -> V | None:
        """Return what a word of a closed set stands for, or None when absent."""
        value = self.text(name, required=required)
        if value and value not in table:
            raise error
        return table[value] if value else None

    def decimal(self, name: str, *, required: bool = False) -> Decimal | None:
        """Return a number in plain notation, or None when absent."""
        value = self.text(name, required=required)
        if not value:
            return None
        if not _NUMBER.fullmatch(value):
            raise illegal(name, NUMBER_RANGE)
        return Decimal(value)

    def integer(self, name: str, *, required: bool = False) -> int | None:
        """Return an integer, or None when absent."""
        value = self.text(name, required=required)
        if not value:
            return None
        if not _INTEGER.fullmatch(value):
            raise illegal(name, INTEGER_RANGE)
        return int(value)

    def flag(self, name: str, *, required: bool = False) -> bool | None:
        """Return a boolean, or None when absent; the case of its letters does not matter."""
        value = self.text(name, required=required).lower()
        if value not in ("", "true", "false"):
            raise BinanceError(-1130, f"Data sent for parameter '{name}' is not valid.")
        return value == "true" if value else None

    def limit(self, default: int, maximum: int) -> int:
        """Return the number of rows, clipped to the endpoint's maximum."""
        value = self.integer("limit")
        if value == 0:
            raise BinanceError(-1130, "Data sent for parameter 'limit' is not valid.")
        return min(value or default, maximum)

    def client_id(self, name: str, kind: MarketKind) -> str:
        """Return a well-formed client order id, or "" when absent."""
        if self.values.get(name) == "":
            raise BinanceError(-1118)
        value = self.text(name)
        if kind is MarketKind.LINEAR and len(value) > 36:
            raise BinanceError(-4015)
        if value and not _SPOT_ID.fullmatch(value):
            raise illegal(name, _LEGAL_ID if kind is MarketKind.SPOT else "^[.A-Z:/a-z0-9_-]{1,36}$")
        return value


def parse(call: Call) -> Params:
    """Return the parameters of query and form body; the query's win, and none may be given twice."""
    query = parse_qsl(call.raw_query, keep_blank_values=True)
    form = [] if call.method == "GET" else parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True)
    for pairs in (query, form):
        if len({name for name, _ in pairs}) != len(pairs):
            raise BinanceError(-1101, "Duplicate values for a parameter detected.")
    return Params({**dict(form), **dict(query)})


def check_known(params: Params, accepted: Iterable[str]) -> None:
    """Refuse parameters that the endpoint does not read."""
    sent = set(params.values)
    read = sent & (set(accepted) | SECURITY)
    if read != sent:
        text = f"Not all sent parameters were read; read '{len(read)}' parameter(s) but was sent '{len(sent)}'."
        raise BinanceError(-1104, text)


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler works with."""

    venue: Venue
    house: House
    kind: MarketKind
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

    def instrument(self, *, required: bool = True) -> Instrument | None:
        """Return the instrument that `symbol` names."""
        symbol = self.params.text("symbol", required=required)
        return self.venue.instrument(self.kind, symbol) if symbol else None

    def listed(self) -> Instrument:
        """Return the instrument that the mandatory `symbol` names."""
        found = self.instrument()
        assert found is not None, "a mandatory symbol was given"
        return found

    @property
    def instruments(self) -> list[Instrument]:
        """Return every instrument of the product."""
        return [i for i in self.venue.instruments.values() if i.kind is self.kind]
