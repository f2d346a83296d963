"""A run of 200 legs over three accounts, each at a venue of its own, against what the venues' rate limits allow.

The venues are simulators in processes of their own with their documented limits switched on: two of Bybit (10 orders a
second each) and one of TradeStation (250 requests about orders in five minutes, 30 for quotes in a minute: orders that
are sent together share a read of quotes). There is no network between: on real venues each answer takes longer, and the
legs of an account speak with it at the same time.

The bound of a venue is what it needs to let so many orders pass: the first window at once, each further one after its
time. The run's bound is that of the slowest venue, and the machine runs the venues as well.
"""

from __future__ import annotations

import math
import resource
import string
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from itertools import product
from pathlib import Path

from pydantic import SecretStr
from sqlmodel import select

from bench.measure import Row
from bench.processes import simulator
from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment
from brokers.tradestation.tokens import Tokens, TokenStore
from brokers.types import ProductKind
from cli.steps import telling_step
from ledger.engine import Ledger
from ledger.states import RunState
from ledger.tables import OrderSend
from simulators.bybit.simulator import RateLimitConfig
from simulators.core.config import AccountConfig as SimulatedAccount
from simulators.core.config import KeyConfig, PricesConfig
from simulators.demo import EQUITIES_ACCOUNT, equity, stock
from simulators.testing import small_config, small_tradestation_config
from simulators.tradestation.config import QuotaConfig
from tasks.beside import in_threads
from trading.orders import OrderDesk
from trading.rebalancing import Portfolio
from trading.rebalancing.subscription import Subscription
from trading.risk import RiskPolicy
from trading.runs import RunOutcome, run_portfolio
from trading.runtime import Runtime

LEGS = 200
BYBIT_PER_S = 10
ORDERS_PER_WINDOW = 250
FACTOR_MAX = 3.0
EQUITY = Decimal(1_000_000)


def run(*, legs: int = LEGS) -> list[Row]:
    """One run from its first reading to its proof."""
    third = legs * 16 // 100  # more legs would wait for its next five minutes: looks at orders count as well
    shares = ((legs - third + 1) // 2, (legs - third) // 2, third)
    with tempfile.TemporaryDirectory() as folder, _accounts(Path(folder), shares) as runtimes:
        began, cpu = time.perf_counter(), _cpu_s()
        outcome = _execute(runtimes, _names(shares))
        took_s, used_s = time.perf_counter() - began, _cpu_s() - cpu
        sends_s = _sends_s(runtimes["bybit-simulated-bench0"])
    result = outcome.result
    assert outcome.state is RunState.COMPLETED, (outcome.state, outcome.interruptions, result and result.reasons)
    assert result is not None and len(result.legs) == legs, "every leg was to be traded"
    bybit_s, tradestation_s = _bound_s(shares[0], BYBIT_PER_S, 1.0), _bound_s(shares[2], ORDERS_PER_WINDOW, 300.0)
    bound_s = max(bybit_s, tradestation_s, 1.0)
    ratio = took_s / bound_s
    detail = f"shortfall {result.shortfall.bps:.1f} bps; {used_s:.1f} s of processor in this process; loopback"
    aim, held = f"≤ {FACTOR_MAX:.0f}", ratio <= FACTOR_MAX
    return [
        Row("Run", f"{legs} legs on {len(shares)} accounts, planned to proved", f"{took_s:.1f} s",
            f"{bound_s:.1f} s by the venues' limits", f"{ratio:.1f}", aim, held, detail),
        Row("Run", f"of it {shares[0]} orders at one Bybit account, first to last", f"{sends_s:.1f} s",
            f"{bybit_s:.1f} s by its limit", f"{sends_s / max(bybit_s, 1.0):.1f}",
            detail="the processor decides: three venues and three accounts share it"),
    ]  # fmt: skip


def _sends_s(runtime: Runtime) -> float:
    """From the first send of an account to its last, by the ledger."""
    with runtime.ledger.read() as session:
        times = list(
            session.exec(select(OrderSend.committed_at).where(OrderSend.account_id == str(runtime.account_id)))
        )
    return (max(times) - min(times)).total_seconds()


def _bound_s(orders: int, limit: int, window_s: float) -> float:
    return (math.ceil(orders / limit) - 1) * window_s


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _names(shares: tuple[int, ...]) -> list[list[str]]:
    """Tickers by venue: no two venues list the same."""
    letters = ("".join(pair) for pair in product(string.ascii_uppercase, repeat=2))
    endings = list(letters)
    return [[f"{'PQR'[place]}{ending}" for ending in endings[:count]] for place, count in enumerate(shares)]


def _execute(runtimes: Mapping[str, Runtime], names: list[list[str]]) -> RunOutcome:
    weight = (Decimal("0.7") / sum(len(each) for each in names)).quantize(Decimal("1e-6"))
    perpetuals = {f"{name}/USDT:USDT": weight for each in names[:2] for name in each}
    portfolio = Portfolio(
        name="bench",
        quote_currency="USD",
        targets={**perpetuals, **dict.fromkeys(names[2], weight)},
        cash_buffer=Decimal("0.02"),
        rounds_max=5,
    )
    first, second, third = runtimes
    subscription = Subscription.model_validate(
        {
            "name": "bench",
            "portfolio": "bench",
            "base_currency": "USD",
            "split": "by_instrument",
            "accounts": [
                {"account": first, "quote_currency": "USDT"},
                {"account": second, "quote_currency": "USDT"},
                {"account": third},
            ],
            "conversions": {"USDT": {"rate": "1"}},
        }
    )
    step = telling_step(lambda text: None, clock=SystemClock())  # reads that the venue holds back are asked again
    return run_portfolio(runtimes, subscription, portfolio, business_key="bench", step=step, beside=in_threads)


@contextmanager
def _accounts(folder: Path, shares: tuple[int, ...]) -> Iterator[dict[str, Runtime]]:
    names = _names(shares)
    with ExitStack() as stack:
        ledger = stack.enter_context(
            Ledger.open(f"sqlite:///{folder / 'ledger.db'}", environment=Environment.SIMULATED)
        )
        found = {}
        for place in (0, 1):
            (folder / str(place)).mkdir()
            url = stack.enter_context(simulator(folder / str(place), _bybit(names[place])))
            connection = AccountConfig(
                account_id=AccountId.parse(f"bybit.simulated.bench{place}"),
                api_key=SecretStr(f"bench{place}-key"),
                api_secret=SecretStr("bench-secret"),
                base_url=url,
                settle_currencies=("USDT",),
            )
            found[f"bybit-simulated-bench{place}"] = _runtime(stack, connection, ledger)
        (folder / "2").mkdir()
        url = stack.enter_context(simulator(folder / "2", _tradestation(names[2]), venue="tradestation"))
        found["tradestation-simulated-bench"] = _runtime(stack, _logged_in(url, folder), ledger)
        yield found


def _bybit(names: list[str]) -> str:
    keys = tuple(KeyConfig(api_key=f"bench{place}-key", api_secret="bench-secret") for place in (0, 1))
    accounts = (SimulatedAccount(name="main", balances={"USDT": EQUITY}, keys=keys),)
    prices = PricesConfig(start={f"{name}USDT": Decimal(100) for name in names}, spread_bps=Decimal(2))
    config = small_config(
        accounts=accounts,
        instruments=tuple(stock(name) for name in names),
        prices=prices,
        rate_limits=RateLimitConfig(enabled=True),
    )
    return config.model_dump_json()


def _tradestation(names: list[str]) -> str:
    config = small_tradestation_config()
    accounts = tuple(
        account.model_copy(update={"balances": {"USD": EQUITY}}) if account.name == EQUITIES_ACCOUNT else account
        for account in config.accounts
    )
    changed = config.model_copy(
        update={
            "accounts": accounts,
            "instruments": tuple(equity(name) for name in names),
            "prices": PricesConfig(start=dict.fromkeys(names, Decimal(100)), spread_bps=Decimal(2)),
            "rate_limits": QuotaConfig(enabled=True),
        }
    )
    return changed.model_dump_json()


def _logged_in(url: str, folder: Path) -> AccountConfig:
    store = TokenStore(folder, client_id="main-id", auth_base=url)
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    store.write(Tokens(SecretStr("over-since-long"), SecretStr("main-refresh"), long_ago, ()))
    return AccountConfig(
        account_id=AccountId.parse("tradestation.simulated.bench"),
        api_key=SecretStr("main-id"),
        api_secret=SecretStr("main-secret"),
        base_url=url,
        settle_currencies=("USD",),
        products=frozenset({ProductKind.EQUITY}),
        venue_account=EQUITIES_ACCOUNT,
        secrets_folder=folder,
    )


def _runtime(stack: ExitStack, connection: AccountConfig, ledger: Ledger) -> Runtime:
    clock = SystemClock()
    broker = stack.enter_context(open_broker(connection, clock=clock))
    broker.connect()
    policy = RiskPolicy.for_environment(Environment.SIMULATED).model_copy(
        update={"venue_rate_share": Decimal(1), "gross_notional_max": EQUITY * 10}
    )
    desk = OrderDesk(ledger=ledger, broker=broker, clock=clock, policy=policy, worker=str(connection.account_id))
    return Runtime(account_id=connection.account_id, ledger=ledger, broker=broker, desk=desk, clock=clock)
