"""What a simulated venue is made of, as strict models loaded from YAML or JSON; numbers are quoted strings."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, model_validator

from simulators.core.accounts import Account
from simulators.core.clock import Clock, ClockMode, GatewayClock
from simulators.core.money import Money
from simulators.core.prices import Liquidity, PriceBoard, PriceSource, RandomWalk, Replay
from simulators.core.types import ApiKey, Instrument, InstrumentKey, MarketKind, PositionMode
from simulators.core.venue import Lags

Positive = Annotated[Money, Field(gt=0)]


class Strict(BaseModel):
    """Base of all configuration models: frozen, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KeyConfig(Strict):
    """One API key of an account. `permissions` are names of the venue-neutral core.

    They are spot, derivatives, wallet, and withdraw, which nobody has unless it is given. A `passphrase` belongs to a
    key where the venue knows such a thing.
    """

    api_key: str = Field(min_length=4)
    api_secret: str = Field(min_length=4, repr=False)
    passphrase: str = Field(default="", repr=False)
    read_only: bool = False
    permissions: frozenset[str] = frozenset({"spot", "derivatives", "wallet"})
    ips: tuple[str, ...] = ()
    expires_at: AwareDatetime | None = None
    note: str = "simulated"

    def build(self) -> ApiKey:
        """Return the key as the core keeps it."""
        expires = int(self.expires_at.timestamp() * 1000) if self.expires_at else None
        return ApiKey(
            key=self.api_key,
            secret=self.api_secret,
            passphrase=self.passphrase,
            read_only=self.read_only,
            permissions=self.permissions,
            ips=self.ips,
            expires_ms=expires,
            note=self.note,
        )


def named_keys(*names: str) -> tuple[KeyConfig, ...]:
    """Return keys `<name>-key` with `<name>-secret` and `<name>-passphrase`."""
    return tuple(
        KeyConfig(api_key=f"{name}-key", api_secret=f"{name}-secret", passphrase=f"{name}-passphrase") for name in names
    )


class AccountConfig(Strict):
    """One customer. Without `keys`, one key named after the account is made: `<name>-key`, `<name>-secret`.

    Its passphrase, where the venue has one, is `<name>-passphrase`.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_-]+$")
    uid: int | None = None
    keys: tuple[KeyConfig, ...] = ()
    balances: dict[str, Money] = {}
    position_mode: PositionMode = PositionMode.ONE_WAY
    leverages: dict[str, Money] = {}

    def build(self, number: int) -> Account:
        """Return an empty account; balances are deposited by the caller so that they are logged."""
        keys = self.keys or named_keys(self.name)
        account = Account(
            name=self.name,
            uid=self.uid if self.uid is not None else 100_000_000 + number,
            keys=[key.build() for key in keys],
            mode=self.position_mode,
        )
        account.leverages.update(self.leverages)
        return account


class InstrumentConfig(Strict):
    """One listed instrument; `step` and `tick` are the lot and price grids, rates are fractions."""

    symbol: str
    kind: MarketKind = MarketKind.LINEAR
    base: str
    quote: str = "USDT"
    settle: str = "USDT"
    tick: Positive
    step: Positive
    qty_min: Positive
    qty_max: Positive = Decimal(100_000)
    qty_max_market: Positive = Decimal(50_000)
    notional_min: Money = Decimal(5)
    notional_max: Money = Decimal(50_000_000)
    price_min: Money | None = None
    price_max: Money = Decimal("1999999.80")
    maker_rate: Money = Decimal("0.0002")
    taker_rate: Money = Decimal("0.00055")
    leverage_max: Money = Decimal(25)
    leverage_step: Money = Decimal("0.01")
    maintenance_rate: Money = Decimal("0.02")
    funding_interval_s: int = 28_800
    trading: bool = True
    multiplier: Positive = Decimal(1)
    fee_flat: Money = Decimal(0)
    fee_unit: Money = Decimal(0)
    wallet: str = ""

    def build(self) -> Instrument:
        """Return the instrument as the core keeps it."""
        fields = self.model_dump(include=set(InstrumentConfig.model_fields))
        fields["price_min"] = self.price_min if self.price_min is not None else self.tick
        return Instrument(**fields)


class WalkConfig(Strict):
    """A seeded random walk of some symbols: one step each `interval_s` of market time."""

    symbols: tuple[str, ...]
    interval_s: int = Field(default=60, gt=0)
    volatility_bps: Money = Decimal(5)


class ReplayConfig(Strict):
    """A file of real history: CSV, plain or .gz, one column per symbol."""

    path: Path
    columns: dict[str, str]
    time_column: str = "Date"


class LiquidityConfig(Strict):
    """How much can be traded at each of `levels` prices; without `level_notional` it is endless."""

    level_notional: Positive | None = None
    levels: int = Field(default=5, gt=0)
    gap_bps: Money = Decimal(5)

    def build(self) -> Liquidity:
        """Return the core's form."""
        return Liquidity(level_notional=self.level_notional, levels=self.levels, gap_bps=self.gap_bps)


class PricesConfig(Strict):
    """First prices, what moves them, the spread around them and the liquidity behind it."""

    start: dict[str, Positive] = {}
    walks: tuple[WalkConfig, ...] = ()
    replay: ReplayConfig | None = None
    spread_bps: Money = Decimal(2)
    liquidity: LiquidityConfig = LiquidityConfig()
    liquidity_of: dict[str, LiquidityConfig] = {}


class ClockConfig(Strict):
    """See simulators.core.clock. `market_start` places the market in history while stamps follow the wall clock."""

    mode: ClockMode = ClockMode.WALL
    start: AwareDatetime | None = None
    market_start: AwareDatetime | None = None
    market_follows: bool = False
    gateway: GatewayClock = GatewayClock.WALL
    skew_ms: int = 0

    def build(self) -> Clock:
        """Return a running clock."""
        return Clock(
            mode=self.mode,
            start_ms=_ms(self.start),
            market_start_ms=_ms(self.market_start),
            market_follows=self.market_follows,
            gateway=self.gateway,
            skew_ms=self.skew_ms,
        )


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


class LagsConfig(Strict):
    """Milliseconds until an acknowledged request is applied, and by which each kind of read is stale."""

    apply_ms: int = Field(default=0, ge=0)
    orders_ms: int = Field(default=0, ge=0)
    executions_ms: int = Field(default=0, ge=0)
    positions_ms: int = Field(default=0, ge=0)
    wallet_ms: int = Field(default=0, ge=0)
    entries_ms: int = Field(default=0, ge=0)

    def build(self) -> Lags:
        """Return the core's form."""
        return Lags(**self.model_dump())


class VenueConfig(Strict):
    """A whole venue, protocol apart."""

    seed: int = 1
    accounts: tuple[AccountConfig, ...] = ()
    instruments: tuple[InstrumentConfig, ...] = ()
    prices: PricesConfig = PricesConfig()
    clock: ClockConfig = ClockConfig()
    lags: LagsConfig = LagsConfig()
    funding_rate: Money = Decimal(0)
    funding_rates: dict[str, Money] = {}
    price_band: Money | None = None
    market_cap_bps: Money = Decimal(500)
    open_orders_max: int = 500
    conditional_orders_max: int = 10
    liquidation: bool = True
    requests_kept_max: int = 20_000
    faults: tuple[dict[str, object], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [account.name for account in self.accounts]
        if len(set(names)) != len(names):
            raise ValueError(f"account names must differ, were {names}")
        listed = [(i.kind, i.symbol) for i in self.instruments]
        if len(set(listed)) != len(listed):
            raise ValueError("an instrument is listed twice")
        keys = [key.api_key for account in self.accounts for key in account.keys]
        if len(set(keys)) != len(keys):
            raise ValueError("two keys have the same api_key")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML or JSON file (JSON is YAML)."""
        return cls.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))


def build_board(config: VenueConfig, instruments: dict[InstrumentKey, Instrument], clock: Clock) -> PriceBoard:
    """Return the price board of a configuration, brought to the clock's market time."""
    prices: dict[str, Decimal] = dict(config.prices.start)
    sources: list[PriceSource] = []
    now = clock.market_ms()
    if config.prices.replay is not None:
        replay = Replay.read(
            config.prices.replay.path,
            columns=config.prices.replay.columns,
            time_column=config.prices.replay.time_column,
        )
        replay.start(now, prices)
        sources.append(replay)
    for walk in config.prices.walks:
        sources.extend(_walks(walk, config.seed, now))
    return PriceBoard(
        instruments=instruments,
        prices=prices,
        sources=sources,
        spread_bps=config.prices.spread_bps,
        liquidity=config.prices.liquidity.build(),
        liquidity_of={symbol: one.build() for symbol, one in config.prices.liquidity_of.items()},
    )


def _walks(walk: WalkConfig, seed: int, now: int) -> Iterable[RandomWalk]:
    for symbol in walk.symbols:
        yield RandomWalk(
            symbol=symbol,
            seed=seed,
            start_ms=now,
            interval_s=walk.interval_s,
            volatility_bps=walk.volatility_bps,
        )
