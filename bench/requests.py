"""How many requests each operation of an adapter takes, counted by the venue, against the fewest that it offers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from bench.measure import Row
from bench.venue_calls import place_once
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.port import Broker
from brokers.tradestation.tokens import Tokens, TokenStore
from brokers.types import OrderRequest, OrderSide, OrderType, ProductKind
from simulators import running_alpaca, running_binance, running_bybit, running_okx, running_tradestation
from simulators.core.config import PricesConfig
from simulators.demo import EQUITIES_ACCOUNT, equity, stock
from simulators.demo_alpaca import share
from simulators.demo_binance import binance_coins
from simulators.demo_okx import okx_swap
from simulators.testing import small_config, small_tradestation_config
from simulators.testing_alpaca import small_alpaca_config
from simulators.testing_binance import small_binance_config
from simulators.testing_okx import small_okx_config

SYMBOLS = 50
_ONE = dict.fromkeys(("balances", "positions", "quotes", "open orders", "one order"), 1)


@dataclass(frozen=True, slots=True)
class Subject:
    """One venue with fifty instruments. `fewest`: requests that an operation needs there, and why where it is more."""

    venue: Venue
    start: Callable[[list[str]], Any]
    name: Callable[[str], str]
    fewest: dict[str, int]
    why: str = ""
    more: Callable[[str, Path, list[InstrumentId]], dict[str, Any]] = lambda url, folder, ids: {}


def _prices(names: Sequence[str]) -> PricesConfig:
    return PricesConfig(start=dict.fromkeys(names, Decimal(100)), spread_bps=Decimal(2))


def _bybit(bases: list[str]) -> Any:
    return running_bybit(
        small_config(instruments=tuple(map(stock, bases)), prices=_prices([f"{b}USDT" for b in bases]))
    )


def _binance(bases: list[str]) -> Any:
    model = binance_coins()[2]
    coins = tuple(model.model_copy(update={"symbol": f"{base}USDT", "base": base}) for base in bases)
    return running_binance(small_binance_config(instruments=coins, prices=_prices([coin.symbol for coin in coins])))


def _okx(bases: list[str]) -> Any:
    swaps = tuple(okx_swap(base, size="1", tick="0.01", market_max="10000") for base in bases)
    return running_okx(small_okx_config(instruments=swaps, prices=_prices([swap.symbol for swap in swaps])))


def _alpaca(bases: list[str]) -> Any:
    return running_alpaca(small_alpaca_config(instruments=tuple(map(share, bases)), prices=_prices(bases)))


def _tradestation(bases: list[str]) -> Any:
    return running_tradestation(small_tradestation_config(instruments=tuple(map(equity, bases)), prices=_prices(bases)))


def _logged_in(url: str, folder: Path, ids: list[InstrumentId]) -> dict[str, Any]:
    store = TokenStore(folder, client_id="main-id", auth_base=url)
    store.write(Tokens(SecretStr("over-since-long"), SecretStr("main-refresh"), datetime(2020, 1, 1, tzinfo=UTC), ()))
    return {
        "api_key": SecretStr("main-id"),
        "venue_account": EQUITIES_ACCOUNT,
        "secrets_folder": folder,
        "products": frozenset({ProductKind.EQUITY}),
        "settle_currencies": ("USD",),
    }


_LINEAR = {"products": frozenset({ProductKind.LINEAR})}
_SHARES = {"products": frozenset({ProductKind.EQUITY}), "settle_currencies": ("USD",)}
SUBJECTS = (
    Subject(
        Venue.BYBIT,
        _bybit,
        lambda base: f"{base}/USDT:USDT",
        {**_ONE, "positions": 2},
        "the last page of positions names a next one too",
        lambda url, folder, ids: _LINEAR,
    ),
    Subject(
        Venue.BINANCE,
        _binance,
        lambda base: f"{base}/USDT:USDT",
        {**_ONE, "positions": 2, "quotes": 2, "open orders": 2},
        "leverages, last prices and conditional orders have endpoints of their own",
        lambda url, folder, ids: {**_LINEAR, "instruments": tuple(ids)},
    ),
    Subject(
        Venue.OKX,
        _okx,
        lambda base: f"{base}/USDT:USDT",
        {**_ONE, "open orders": 7},
        "each of six kinds of conditional orders has a list of its own",
        lambda url, folder, ids: {**_LINEAR, "api_passphrase": SecretStr("main-passphrase")},
    ),
    Subject(
        Venue.ALPACA,
        _alpaca,
        lambda base: base,
        {**_ONE, "balances": 2},
        "coins are shown among the positions",
        lambda url, folder, ids: _SHARES,
    ),
    Subject(
        Venue.TRADESTATION,
        _tradestation,
        lambda base: base,
        {**_ONE, "one order": 2},
        "the position decides between SELL and SELLSHORT, BUY and BUYTOCOVER",
        _logged_in,
    ),
)


def run(folder: Path) -> list[Row]:
    """One row per venue."""
    return [_row(subject, _counted(subject, folder)) for subject in SUBJECTS]


def _row(subject: Subject, counted: dict[str, int]) -> Row:
    return Row(
        section="Requests",
        what=f"{subject.venue.value}: {', '.join(counted)}",
        ours=" / ".join(map(str, counted.values())),
        baseline=" / ".join(str(subject.fewest[what]) for what in counted),
        ratio="",
        aim="as few",
        held=all(count <= subject.fewest[what] for what, count in counted.items()),
        detail=f"quotes of {SYMBOLS} instruments{'; ' + subject.why if subject.why else ''}",
    )


def _counted(subject: Subject, folder: Path) -> dict[str, int]:
    bases = [f"Q{chr(65 + number // 26)}{chr(65 + number % 26)}" for number in range(SYMBOLS)]
    ids = [InstrumentId(subject.name(base)) for base in bases]
    with ExitStack() as stack:
        sim = stack.enter_context(subject.start(bases))
        fields = {
            "api_key": SecretStr("main-key"),
            "settle_currencies": ("USDT",),
            **subject.more(sim.url, folder, ids),
        }
        config = AccountConfig(
            account_id=AccountId(subject.venue, Environment.SIMULATED, "bench"),
            api_secret=SecretStr("main-secret"),
            base_url=sim.url,
            **fields,
        )
        broker = stack.enter_context(open_broker(config, clock=SystemClock()))
        broker.connect()
        broker.instruments(ids)
        place_once(broker, _order(ids[0]))  # something is held, and everything was asked for once
        broker.positions()
        return {what: _requests(sim, call) for what, call in _calls(broker, ids)}


def _order(instrument_id: InstrumentId) -> OrderRequest:
    return OrderRequest(
        instrument_id=instrument_id, side=OrderSide.BUY, order_type=OrderType.MARKET, quantity=Decimal(2)
    )


def _calls(broker: Broker, ids: list[InstrumentId]) -> Iterator[tuple[str, Callable[[], object]]]:
    yield "balances", broker.balances
    yield "positions", broker.positions
    yield "quotes", lambda: broker.quotes(ids)
    yield "open orders", broker.open_orders
    yield "one order", lambda: place_once(broker, _order(ids[0]))


def _requests(sim: Any, call: Callable[[], object]) -> int:
    before = int(sim.control.health()["requests"])
    call()
    return int(sim.control.health()["requests"]) - before
