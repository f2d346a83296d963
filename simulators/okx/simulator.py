"""Builds an OKX simulator from its configuration and runs it in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Self

from pydantic import model_validator

from simulators.core.config import Strict, VenueConfig
from simulators.core.matching import CapRule
from simulators.core.server import Running, serve_in_thread
from simulators.core.simulator import Blueprint, Simulator
from simulators.core.types import IdScope, MarketKind
from simulators.core.venue import Venue, VenueRules
from simulators.okx.control import OKXControl
from simulators.okx.desk import AccountLevel, Desk, Habits
from simulators.okx.front import Gateway, OKXFront
from simulators.okx.ids import OKXIds
from simulators.okx.limits import RequestLimits

SWAP = "-SWAP"


class OKXLimitConfig(Strict):
    """Request limits; `per_window` overrides the documented number (in two seconds) of an endpoint path.

    `status` is the HTTP status of 50011, of which 200 and 429 are documented.
    """

    enabled: bool = True
    per_window: dict[str, int] = {}
    account_max: int = 1_000
    status: Literal[200, 429] = 429


class OKXConfig(VenueConfig):
    """An OKX venue. Symbols are instIds: `BTC-USDT` on spot, `BTC-USDT-SWAP` for a contract of `multiplier` BTC.

    `environments` binds a key to demo or live trading; keys that it does not name work in both. `linked_prices`: a
    contract's price and its spot pair's move as one. `leverage_with_orders`: leverage may change while orders wait.
    `reduce_only_shrinks`: in net mode a reduce-only order above the position shrinks to it, instead of being refused.
    `float_noise`: computed balances end in the digits of a binary float, as recorded. `child_ids`: the order that a
    triggered algo order places has a clOrdId of OKX's making; otherwise none. Both are seen.
    """

    rate_limits: OKXLimitConfig = OKXLimitConfig()
    account_level: AccountLevel = AccountLevel.FUTURES
    account_levels: dict[str, AccountLevel] = {}
    environments: dict[str, Literal["demo", "live"]] = {}
    id_scope: IdScope = IdScope.OPEN_ONLY
    linked_prices: bool = True
    leverage_with_orders: bool = True
    reduce_only_shrinks: bool = False
    float_noise: bool = False
    child_ids: bool = True

    @model_validator(mode="after")
    def _check_symbols(self) -> Self:
        for one in self.instruments:
            plain = f"{one.base}-{one.quote}"
            wanted = plain + SWAP if one.kind is MarketKind.LINEAR else plain
            if one.symbol != wanted:
                raise ValueError(f"symbol of {one.kind.value} {plain} must be {wanted}, was {one.symbol}")
        return self


def build_okx(config: OKXConfig) -> Simulator:
    """Return a simulator that is not serving yet."""
    limits = config.rate_limits

    def make_front(venue: Venue) -> OKXFront:
        desk = Desk(
            venue,
            Habits(
                level=config.account_level,
                levels=config.account_levels,
                id_scope=config.id_scope,
                leverage_with_orders=config.leverage_with_orders,
                reduce_only_shrinks=config.reduce_only_shrinks,
                float_noise=config.float_noise,
                child_ids=config.child_ids,
            ),
        )
        if config.linked_prices:
            venue.on_moved.append(lambda moved: _link(venue, moved))
        counted = RequestLimits(enabled=limits.enabled, overrides=limits.per_window, account_max=limits.account_max)
        return OKXFront(venue, desk, counted, Gateway(config.environments, limits.status))

    rules = VenueRules(
        id_scope=dict.fromkeys(MarketKind, IdScope.NONE),  # the front keeps it, across instruments
        open_orders_max=config.open_orders_max,
        conditional_orders_max=config.conditional_orders_max,
        price_band=config.price_band,
        cap=CapRule(linear_bps=config.market_cap_bps, spot_bps=config.market_cap_bps),
        liquidation=config.liquidation,
    )
    return Simulator(Blueprint(config=config, rules=rules, make_ids=OKXIds, make_front=make_front))


def _link(venue: Venue, moved: set[str]) -> None:
    """Let a contract follow its spot pair and the pair its contract, before orders react."""
    for symbol in sorted(moved):
        twin = symbol.removesuffix(SWAP) if symbol.endswith(SWAP) else symbol + SWAP
        if twin in venue.board.raw and twin not in moved:
            venue.board.set_price(twin, venue.board.raw[symbol])
            moved.add(twin)


@contextmanager
def running_okx(config: OKXConfig | None = None, *, port: int = 0) -> Iterator[Running[OKXControl]]:
    """Serve an OKX simulator on loopback in a background thread; without a config, the demonstration one."""
    if config is None:
        from simulators.demo_okx import okx_demo_config

        config = okx_demo_config()
    simulator = build_okx(config)
    with serve_in_thread(simulator, OKXControl(simulator), port=port) as running:
        yield running
