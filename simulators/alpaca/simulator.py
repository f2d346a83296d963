"""Builds an Alpaca simulator from its configuration and runs it in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager

from simulators.alpaca.config import AlpacaConfig
from simulators.alpaca.control import AlpacaControl
from simulators.alpaca.front import AlpacaFront
from simulators.alpaca.ids import AlpacaIds
from simulators.core.matching import CapRule
from simulators.core.server import Running, serve_in_thread
from simulators.core.simulator import Blueprint, Simulator
from simulators.core.types import IdScope, MarketKind
from simulators.core.venue import Venue, VenueRules


def build_alpaca(config: AlpacaConfig) -> Simulator:
    """Return a simulator that is not serving yet."""

    def make_front(venue: Venue) -> AlpacaFront:
        return AlpacaFront(venue, config)

    rules = VenueRules(
        id_scope={MarketKind.LINEAR: IdScope.FOREVER, MarketKind.SPOT: IdScope.FOREVER},
        open_orders_max=config.open_orders_max,
        conditional_orders_max=config.conditional_orders_max,
        price_band=config.price_band,
        cap=CapRule(linear_bps=config.market_cap_bps, spot_bps=config.market_cap_bps),
        liquidation=config.liquidation,
    )
    return Simulator(Blueprint(config=config, rules=rules, make_ids=AlpacaIds, make_front=make_front))


@contextmanager
def running_alpaca(config: AlpacaConfig | None = None, *, port: int = 0) -> Iterator[Running[AlpacaControl]]:
    """Serve an Alpaca simulator on loopback in a background thread; without a config, the demo one."""
    if config is None:
        from simulators.demo_alpaca import alpaca_demo_config

        config = alpaca_demo_config()
    simulator = build_alpaca(config)
    with serve_in_thread(simulator, AlpacaControl(simulator), port=port) as running:
        yield running
