"""Venue to capabilities and adapter. A venue without an adapter has no row: nothing is promised that is not built.

Rows are data and import no SDK; the adapter's SDK is imported when a broker is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from brokers.alpaca.profile import CAPABILITIES as ALPACA
from brokers.binance.profile import CAPABILITIES as BINANCE
from brokers.bybit.profile import CAPABILITIES as BYBIT
from brokers.capabilities import Capabilities
from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.errors import Unsupported
from brokers.ids import Venue
from brokers.okx.profile import CAPABILITIES as OKX
from brokers.port import Broker
from brokers.tradestation.profile import CAPABILITIES as TRADESTATION


@dataclass(frozen=True, slots=True)
class Entry:
    """One venue: its row of facts and how to open it (the base URL is checked and final)."""

    capabilities: Capabilities
    open: Callable[[AccountConfig, str, Clock], Broker]


def _open_alpaca(config: AccountConfig, base_url: str, clock: Clock) -> Broker:
    from brokers.alpaca.adapter import AlpacaBroker

    return AlpacaBroker(config, base_url=base_url, clock=clock)


def _open_binance(config: AccountConfig, base_url: str, clock: Clock) -> Broker:
    from brokers.binance.adapter import BinanceBroker

    return BinanceBroker(config, base_url=base_url, clock=clock)


def _open_bybit(config: AccountConfig, base_url: str, clock: Clock) -> Broker:
    from brokers.bybit.adapter import BybitBroker

    return BybitBroker(config, base_url=base_url, clock=clock)


def _open_okx(config: AccountConfig, base_url: str, clock: Clock) -> Broker:
    from brokers.okx.adapter import OKXBroker

    return OKXBroker(config, base_url=base_url, clock=clock)


def _open_tradestation(config: AccountConfig, base_url: str, clock: Clock) -> Broker:
    from brokers.tradestation.adapter import TradeStationBroker

    return TradeStationBroker(config, base_url=base_url, clock=clock)


_ENTRIES: dict[Venue, Entry] = {
    Venue.ALPACA: Entry(capabilities=ALPACA, open=_open_alpaca),
    Venue.BINANCE: Entry(capabilities=BINANCE, open=_open_binance),
    Venue.BYBIT: Entry(capabilities=BYBIT, open=_open_bybit),
    Venue.OKX: Entry(capabilities=OKX, open=_open_okx),
    Venue.TRADESTATION: Entry(capabilities=TRADESTATION, open=_open_tradestation),
}


def entry(venue: Venue) -> Entry:
    """The venue's entry; Unsupported lists the venues that have one."""
    found = _ENTRIES.get(venue)
    if found is None:
        known = ", ".join(sorted(_ENTRIES))
        raise Unsupported(f"there is no adapter for {venue.value} yet; adapters: {known}")
    return found


def capabilities(venue: Venue) -> Capabilities:
    """The venue's row of facts; Unsupported where there is no adapter."""
    return entry(venue).capabilities


def supported_venues() -> tuple[Venue, ...]:
    """Every venue with an adapter, by name."""
    return tuple(sorted(_ENTRIES))
