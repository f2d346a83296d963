"""Builds a TradeStation simulator from its configuration and runs it in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager

from simulators.core.matching import CapRule
from simulators.core.server import Running, serve_in_thread
from simulators.core.simulator import Blueprint, Simulator
from simulators.core.types import IdScope, MarketKind
from simulators.core.venue import Venue, VenueRules
from simulators.tradestation.config import TradeStationConfig
from simulators.tradestation.control import TradeStationControl
from simulators.tradestation.front import TradeStationFront
from simulators.tradestation.ids import TradeStationIds


def build_tradestation(config: TradeStationConfig) -> Simulator:
    """Return a simulator that is not serving yet."""

    def make_front(venue: Venue) -> TradeStationFront:
        return TradeStationFront(venue, config, seed=config.seed)

    rules = VenueRules(
        id_scope={MarketKind.LINEAR: IdScope.NONE},
        open_orders_max=config.open_orders_max,
        conditional_orders_max=config.conditional_orders_max,
        price_band=config.price_band,
        cap=CapRule(linear_bps=config.market_cap_bps),
        liquidation=config.liquidation,
    )
    return Simulator(Blueprint(config=config, rules=rules, make_ids=TradeStationIds, make_front=make_front))


@contextmanager
def running_tradestation(
    config: TradeStationConfig | None = None, *, port: int = 0
) -> Iterator[Running[TradeStationControl]]:
    """Serve a TradeStation simulator on loopback in a background thread; without a config, the demo one."""
    if config is None:
        from simulators.demo import tradestation_demo_config

        config = tradestation_demo_config()
    simulator = build_tradestation(config)
    with serve_in_thread(simulator, TradeStationControl(simulator), port=port) as running:
        yield running
