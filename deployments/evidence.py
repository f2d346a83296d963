"""Does the venue hold the target? Asked through our adapter, and past it at the simulator's control interface."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from brokers.clock import SystemClock
from brokers.factory import open_broker
from brokers.ids import InstrumentId
from brokers.types import ZERO
from tasks.config import Account
from trading.rebalancing.portfolio import Portfolio

Control = Any  # Stack.control


@dataclass(frozen=True, slots=True)
class Holdings:
    """What an account holds by one source: signed quantities, prices of a unit, equity in quote currency."""

    source: str
    quantities: Mapping[InstrumentId, Decimal]
    prices: Mapping[InstrumentId, Decimal]
    equity: Decimal

    def weight(self, instrument_id: InstrumentId) -> Decimal:
        """Signed part of the equity."""
        return self.quantities.get(instrument_id, ZERO) * self.prices[instrument_id] / self.equity


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
        return Holdings("adapter", held, quotes, broker.margin_health().equity)


def by_control(control: Control, account: str, wanted: Iterable[InstrumentId]) -> Holdings:
    """Read the account as the simulator itself has it; no code of the venue layer is involved."""
    symbols = {f"{str(i).split('/')[0]}USDT": i for i in wanted}
    prices = {symbols[symbol]: Decimal(price) for symbol, price in control("prices").items() if symbol in symbols}
    held = {
        symbols.get(row["symbol"], InstrumentId(row["symbol"])): Decimal(row["signed_qty"])
        for row in control("positions", account=account)
    }
    return Holdings("simulator", held, prices, Decimal(control("margin", account=account)["equity"]))


def check(portfolio: Portfolio, holdings: Holdings) -> tuple[Check, ...]:
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


def strangers(portfolio: Portfolio, holdings: Holdings) -> tuple[InstrumentId, ...]:
    """What is held and not in the portfolio."""
    return tuple(sorted(i for i, quantity in holdings.quantities.items() if quantity and i not in portfolio.targets))
