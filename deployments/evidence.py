"""Do the venues hold the target? Asked through our adapters, and past them at the simulators' control interfaces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

from brokers.clock import SystemClock
from brokers.factory import open_broker
from brokers.ids import InstrumentId, Venue
from brokers.types import ZERO, ProductKind
from tasks.config import Account
from trading.rebalancing.portfolio import Portfolio

Control = Any  # Stack.control
_SYMBOLS: dict[Venue, Callable[[str, str, bool], str]] = {  # of base, quote, and whether it is a perpetual
    Venue.OKX: lambda base, quote, is_perpetual: f"{base}-{quote}-SWAP" if is_perpetual else f"{base}-{quote}",
    Venue.ALPACA: lambda base, quote, is_perpetual: f"{base}/{quote}" if quote else base,
}


class Weighed(Protocol):
    """Something that tells how much of its equity an instrument is."""

    @property
    def source(self) -> str: ...

    def weight(self, instrument_id: InstrumentId) -> Decimal: ...


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account holds by one source: signed units of the base, prices of a unit, equity in quote currency."""

    source: str
    quantities: Mapping[InstrumentId, Decimal]
    prices: Mapping[InstrumentId, Decimal]
    equity: Decimal

    def value(self, instrument_id: InstrumentId) -> Decimal:
        """Signed, in quote currency."""
        return self.quantities.get(instrument_id, ZERO) * self.prices[instrument_id]

    def weight(self, instrument_id: InstrumentId) -> Decimal:
        """Signed part of the equity."""
        return self.value(instrument_id) / self.equity


@dataclass(frozen=True, slots=True)
class JointHoldings:
    """What several accounts hold together, in one currency: each line is held in one of them (`homes`)."""

    accounts: Mapping[str, Holdings]
    homes: Mapping[InstrumentId, str]

    @property
    def source(self) -> str:
        (source,) = {holdings.source for holdings in self.accounts.values()}
        return source

    @property
    def equity(self) -> Decimal:
        return sum((holdings.equity for holdings in self.accounts.values()), ZERO)

    def quantity(self, instrument_id: InstrumentId) -> Decimal:
        return self.accounts[self.homes[instrument_id]].quantities.get(instrument_id, ZERO)

    def weight(self, instrument_id: InstrumentId) -> Decimal:
        """Signed part of the joint equity."""
        return self.accounts[self.homes[instrument_id]].value(instrument_id) / self.equity


@dataclass(frozen=True, slots=True)
class Check:
    """One line of a portfolio against one source. `distance` and `tolerance` are fractions of equity."""

    instrument_id: InstrumentId
    source: str
    target: Decimal
    weight: Decimal
    tolerance: Decimal

    @property
    def distance(self) -> Decimal:
        return abs(self.weight - self.target)

    @property
    def holds(self) -> bool:
        return self.distance <= self.tolerance


def by_adapter(account: Account, wanted: Iterable[InstrumentId]) -> Holdings:
    """Read the account through our own adapter."""
    ids = tuple(wanted)
    with open_broker(account.connection, clock=SystemClock()) as broker:
        broker.connect()
        quotes = {quote.instrument_id: quote.mid for quote in broker.quotes(ids)}
        held = {position.instrument_id: position.quantity for position in broker.positions()}
        owned = {balance.currency: balance.total for balance in broker.balances()}
        for item in broker.instruments(ids):
            if item.product is ProductKind.SPOT:
                held[item.instrument_id] = owned.get(item.base_currency, ZERO)
            else:
                held[item.instrument_id] = held.get(item.instrument_id, ZERO) * item.contract_size
        return Holdings("adapter", held, quotes, broker.margin_health().equity)


def by_control(
    control: Control, account: str, wanted: Iterable[InstrumentId], *, venue: Venue = Venue.BYBIT
) -> Holdings:
    """Read the account as the simulator itself has it; no code of the venue layer is involved."""
    at = {"venue": venue.value}
    prices = {symbol: Decimal(price) for symbol, price in control("prices", **at).items()}
    rows = {row["symbol"]: row for row in control("positions", account=account, **at)}
    wallets = {name: Decimal(amount) for name, amount in control("wallets", account=account, **at).items()}
    held, worth = {}, {}
    for instrument_id in wanted:
        symbol, base, is_spot = _symbol(instrument_id, venue)
        worth[instrument_id] = prices[symbol]
        held[instrument_id] = wallets.get(base, ZERO) if is_spot else _exposure(rows.get(symbol))
    money = sum((amount for name, amount in wallets.items() if name.startswith("USD")), ZERO)
    coins = sum((held[key] * worth[key] for key in held if _symbol(key, venue)[2]), ZERO)
    gains = sum((_exposure(row) * prices[symbol] - _cost(row) for symbol, row in rows.items()), ZERO)
    return Holdings("simulator", held, worth, money + coins + gains)


def _symbol(instrument_id: InstrumentId, venue: Venue) -> tuple[str, str, bool]:
    """The simulator's symbol, the base currency, and whether it is owned in a wallet."""
    pair, _, settle = str(instrument_id).partition(":")
    base, _, quote = pair.partition("/")
    symbol = _SYMBOLS[venue](base, quote, bool(settle)) if venue in _SYMBOLS else f"{base}{quote}"
    return symbol, base, bool(quote) and not settle


def _exposure(row: Mapping[str, Any] | None) -> Decimal:
    """Signed units of the base, contracts multiplied out."""
    return Decimal(row["signed_qty"]) * Decimal(row["multiplier"]) if row is not None else ZERO


def _cost(row: Mapping[str, Any]) -> Decimal:
    """What the position was opened at, signed like it."""
    return Decimal(row["cost"]).copy_sign(Decimal(row["signed_qty"]))


def check(portfolio: Portfolio, holdings: Weighed) -> tuple[Check, ...]:
    """Each line of the portfolio against what is held. Targets are of the equity less the cash buffer."""
    invested = 1 - portfolio.cash_buffer
    return tuple(
        Check(
            instrument_id=instrument_id,
            source=holdings.source,
            target=target * invested,
            weight=holdings.weight(instrument_id),
            tolerance=portfolio.tolerance,
        )
        for instrument_id, target in portfolio.targets.items()
    )
