"""Builds a Binance simulator from its configuration and runs it in a thread."""

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

from pydantic import Field

from simulators.binance.front import BinanceFront
from simulators.binance.house import BnbFees, House, futures_wallet
from simulators.binance.ids import BinanceIds
from simulators.binance.limits import DAY, MINUTE, TEN_SECONDS, ProductLimits, RequestLimits
from simulators.core.config import Strict, VenueConfig
from simulators.core.control import Control
from simulators.core.matching import CapRule
from simulators.core.money import Money
from simulators.core.server import Running, serve_in_thread
from simulators.core.simulator import Blueprint, Simulator
from simulators.core.types import IdScope, MarketKind
from simulators.core.venue import Venue, VenueRules

ASSET_QUANTUM = Decimal("1e-8")
DEFAULT_LEVERAGE = Decimal(20)


class RateLimitConfig(Strict):
    """Limits: request weight a minute and address, orders an interval and account; see simulators.binance.limits.

    `ban_after` requests of a minute are answered with 429, the next with 418 and a ban of `ban_s`, doubled each time.
    """

    enabled: bool = True
    spot_weight_max: int = 6000
    futures_weight_max: int = 2400
    spot_orders_10s: int = 100
    spot_orders_day: int = 200_000
    futures_orders_10s: int = 300
    futures_orders_minute: int = 1200
    ban_after: int = Field(default=5, ge=0)
    ban_s: int = Field(default=120, gt=0)

    def build(self) -> RequestLimits:
        """Return the counters of a venue."""
        spot_orders = ((TEN_SECONDS, self.spot_orders_10s), (DAY, self.spot_orders_day))
        futures_orders = ((TEN_SECONDS, self.futures_orders_10s), (MINUTE, self.futures_orders_minute))
        return RequestLimits(
            enabled=self.enabled,
            products={
                MarketKind.SPOT: ProductLimits(self.spot_weight_max, spot_orders),
                MarketKind.LINEAR: ProductLimits(self.futures_weight_max, futures_orders),
            },
            ban_after=self.ban_after,
            ban_s=self.ban_s,
        )


class BinanceConfig(VenueConfig):
    """A Binance venue.

    Spot and futures have wallets of their own: an account's `balances` name a futures wallet `USDT@futures`. The
    `price_band` is futures' PERCENT_PRICE; spot's limit prices lie between `spot_multiplier_down` and `_up` times the
    last price. `bnb_fees` lets every account pay fees in BNB, where BNB is listed and held; accounts may change it.
    """

    rate_limits: RateLimitConfig = RateLimitConfig()
    open_orders_max: int = 200
    spot_multiplier_up: Money = Decimal(5)
    spot_multiplier_down: Money = Decimal("0.2")
    bnb_fees: bool = False


def build_binance(config: BinanceConfig) -> Simulator:
    """Return a simulator that is not serving yet."""

    def make_front(venue: Venue) -> BinanceFront:
        house = House(
            limits=config.rate_limits.build(),
            percent_price=config.price_band,
            spot_multiplier_up=config.spot_multiplier_up,
            spot_multiplier_down=config.spot_multiplier_down,
        )
        assert isinstance(venue.ids, BinanceIds), "the venue was built with Binance's ids"
        venue.settlement.new_trade_id = venue.ids.trade_id
        venue.settlement.fee_paid = BnbFees(venue, house)
        house.bnb_fees.update(account.name for account in config.accounts if config.bnb_fees)
        return BinanceFront(venue, house)

    rules = VenueRules(
        id_scope=dict.fromkeys(MarketKind, IdScope.OPEN_ONLY),
        open_orders_max=config.open_orders_max,
        conditional_orders_max=config.conditional_orders_max,
        price_band=None,
        cap=CapRule(linear_bps=config.market_cap_bps, spot_bps=max(config.market_cap_bps, Decimal(1))),
        liquidation=config.liquidation,
        default_leverage=DEFAULT_LEVERAGE,
        cash_quantum=ASSET_QUANTUM,
    )
    return Simulator(Blueprint(config=_with_wallets(config), rules=rules, make_ids=BinanceIds, make_front=make_front))


def _with_wallets(config: BinanceConfig) -> BinanceConfig:
    """Return a configuration whose futures settle in wallets of their own."""
    instruments = tuple(
        one.model_copy(update={"wallet": futures_wallet(one.settle), "leverage_step": Decimal(1)})
        if one.kind is MarketKind.LINEAR
        else one
        for one in config.instruments
    )
    return config.model_copy(update={"instruments": instruments})


@contextmanager
def running_binance(config: BinanceConfig | None = None, *, port: int = 0) -> Iterator[Running[Control]]:
    """Serve a Binance simulator on loopback in a background thread; without a config, the demo one."""
    if config is None:
        from simulators.demo_binance import binance_demo_config

        config = binance_demo_config()
    simulator = build_binance(config)
    with serve_in_thread(simulator, Control(simulator), port=port) as running:
        yield running
