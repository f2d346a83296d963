"""Builds a Bybit simulator from its configuration and runs it in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from simulators.bybit.front import BybitFront
from simulators.bybit.ids import BybitIds
from simulators.bybit.limits import RequestLimits
from simulators.core.config import Strict, VenueConfig
from simulators.core.control import Control
from simulators.core.matching import CapRule
from simulators.core.server import Running, serve_in_thread
from simulators.core.simulator import Blueprint, Simulator
from simulators.core.types import IdScope, MarketKind
from simulators.core.venue import Venue, VenueRules


class RateLimitConfig(Strict):
    """Request limits; `per_second` overrides the documented number of an endpoint path."""

    enabled: bool = True
    per_second: dict[str, int] = {}
    ip_max: int = 600
    ip_window_s: int = 5
    ip_ban_s: int = 600


class BybitConfig(VenueConfig):
    """A Bybit venue. `id_scope_*` say among which orders an orderLinkId must be unique.

    `dcp_accounts` names those for which Bybit has switched disconnection protection on; others have no right to it.
    """

    rate_limits: RateLimitConfig = RateLimitConfig()
    id_scope_linear: IdScope = IdScope.FOREVER
    id_scope_spot: IdScope = IdScope.OPEN_ONLY
    dcp_accounts: tuple[str, ...] = ()


def build_bybit(config: BybitConfig) -> Simulator:
    """Return a simulator that is not serving yet."""
    limits = config.rate_limits

    def make_front(venue: Venue) -> BybitFront:
        return BybitFront(
            venue,
            RequestLimits(
                enabled=limits.enabled,
                overrides=limits.per_second,
                ip_max=limits.ip_max,
                ip_window_ms=limits.ip_window_s * 1000,
                ip_ban_ms=limits.ip_ban_s * 1000,
            ),
            dcp_accounts=frozenset(config.dcp_accounts),
        )

    rules = VenueRules(
        id_scope={MarketKind.LINEAR: config.id_scope_linear, MarketKind.SPOT: config.id_scope_spot},
        open_orders_max=config.open_orders_max,
        conditional_orders_max=config.conditional_orders_max,
        price_band=config.price_band,
        cap=CapRule(linear_bps=config.market_cap_bps, spot_bps=max(config.market_cap_bps, Decimal(1))),
        liquidation=config.liquidation,
    )
    return Simulator(Blueprint(config=config, rules=rules, make_ids=BybitIds, make_front=make_front))


@contextmanager
def running_bybit(config: BybitConfig | None = None, *, port: int = 0) -> Iterator[Running[Control]]:
    """Serve a Bybit simulator on loopback in a background thread; without a config, the demo one."""
    if config is None:
        from simulators.demo import demo_config

        config = demo_config()
    simulator = build_bybit(config)
    with serve_in_thread(simulator, Control(simulator), port=port) as running:
        yield running
