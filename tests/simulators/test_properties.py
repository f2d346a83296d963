"""Properties of the core under random trading: money and quantity are conserved, limits hold."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import Control
from simulators.bybit.simulator import build_bybit
from simulators.core.config import AccountConfig, ClockConfig, LagsConfig, LiquidityConfig
from simulators.core.margin import MarginState
from simulators.core.settlement import trade_position
from simulators.core.simulator import Simulator
from simulators.core.types import (
    ExecutionKind,
    MarketKind,
    OrderRequest,
    OrderSide,
    OrderType,
    Position,
    PositionMode,
    PositionSide,
    Refusal,
    TimeInForce,
    TriggerDirection,
)
from simulators.testing import small_config

COIN_OF = {"AAPLUSDT": MarketKind.LINEAR, "MSFTUSDT": MarketKind.LINEAR, "BTCUSDT": MarketKind.SPOT}

orders = st.fixed_dictionaries(
    {
        "do": st.just("order"),
        "symbol": st.sampled_from(sorted(COIN_OF)),
        "side": st.sampled_from(OrderSide),
        "lots": st.integers(1, 2_000) | st.integers(1, 400_000),
        "offset": st.none() | st.integers(-500, 500),
        "trigger": st.none() | st.none() | st.integers(-300, 300),
        "by_value": st.booleans(),
        "reduce_only": st.booleans(),
        "time_in_force": st.sampled_from(TimeInForce),
        "hedge_side": st.sampled_from([PositionSide.LONG, PositionSide.SHORT]),
        "fill_ratio": st.sampled_from([None, None, Decimal("0.4")]),
    }
)
moves = st.fixed_dictionaries(
    {"do": st.just("move"), "symbol": st.sampled_from(sorted(COIN_OF)), "bps": st.integers(-400, 400)}
)
waits = st.fixed_dictionaries({"do": st.just("wait"), "hours": st.integers(1, 30)})
cancels = st.fixed_dictionaries({"do": st.just("cancel")})
steps = st.lists(orders | orders | moves | waits | cancels, min_size=10, max_size=60)


def simulator(mode: PositionMode, level_notional: Decimal | None, apply_ms: int) -> Simulator:
    small = small_config()
    prices = small.prices.model_copy(update={"liquidity": LiquidityConfig(level_notional=level_notional)})
    account = AccountConfig(name="main", balances={"USDT": Decimal(50_000)}, position_mode=mode)
    clock = ClockConfig.model_validate({"mode": "manual", "start": "2024-03-01T00:00:00Z"})
    changes = {"accounts": (account,), "prices": prices, "price_band": None, "clock": clock}
    made = build_bybit(small_config(**changes, lags=LagsConfig(apply_ms=apply_ms)))
    made.venue.funding_rate = Decimal("0.0003")
    return made


def play(sim: Simulator, step: dict) -> None:
    venue = sim.venue
    account = venue.accounts["main"]
    if step["do"] == "move":
        price = venue.board.raw[step["symbol"]]
        venue.set_price(step["symbol"], (price * (10_000 + step["bps"]) / 10_000).quantize(Decimal("0.01")))
    elif step["do"] == "wait":
        venue.advance(venue.clock.market_ms() + step["hours"] * 3_600_000)
    elif step["do"] == "cancel":
        for order in account.open_orders():
            venue.cancel(account, order.order_id)
    else:
        place(sim, step)


def off(price: Decimal, bps: int) -> Decimal:
    return (price * (10_000 + bps) / 10_000).quantize(Decimal("0.1"))


def request_of(sim: Simulator, step: dict) -> OrderRequest:
    symbol, kind = step["symbol"], COIN_OF[step["symbol"]]
    account = sim.venue.accounts["main"]
    instrument = sim.venue.instrument(kind, symbol)
    last = sim.venue.board.last(instrument)
    spot, market, trigger = kind is MarketKind.SPOT, step["offset"] is None, step["trigger"]
    qty = step["lots"] * instrument.step
    hedged = account.mode(instrument) is PositionMode.HEDGE and not spot
    return OrderRequest(
        kind=kind,
        symbol=symbol,
        side=step["side"],
        order_type=OrderType.MARKET if market else OrderType.LIMIT,
        qty=Decimal(0) if spot and market and step["by_value"] else qty,
        quote_qty=(qty * last).quantize(Decimal("0.01")) if spot and market and step["by_value"] else None,
        price=None if market else off(last, step["offset"]),
        time_in_force=step["time_in_force"],
        reduce_only=step["reduce_only"] and not spot,
        position_side=step["hedge_side"] if hedged else PositionSide.BOTH,
        trigger_price=None if trigger is None else off(last, trigger),
        trigger_direction=TriggerDirection.RISE if (trigger or 0) > 0 else TriggerDirection.FALL,
    )


def place(sim: Simulator, step: dict) -> None:
    venue, account = sim.venue, sim.venue.accounts["main"]
    request = request_of(sim, step)
    before = venue.margin.state(account, "USDT")
    try:
        venue.place(account, request, fill_ratio=step["fill_ratio"])
    except Refusal:
        assert venue.margin.state(account, "USDT") == before, "a refusal changes nothing"
        return
    after = venue.margin.state(account, "USDT")
    pays = request.kind is MarketKind.SPOT and request.side is OrderSide.BUY and request.trigger_price is None
    if needs(after) > needs(before) or pays:
        assert after.available >= 0, "an accepted order that asks for margin finds it"


def needs(state: MarginState) -> Decimal:
    return state.position_margin + state.order_margin


def check_books(control: Control) -> None:
    entries, executions = control.transaction_log("main"), control.executions("main")
    for coin, balance in control.wallets("main").items():
        assert sum((e.change for e in entries if e.coin == coin), Decimal(0)) == balance
        running = Decimal(0)
        for entry in (e for e in entries if e.coin == coin):
            assert entry.change == entry.cash_flow + entry.funding - entry.fee
            running += entry.change
            assert entry.balance == running
    trades = [e for e in executions if e.kind is not ExecutionKind.FUNDING]
    held = {(p.symbol, p.position_side): p.signed_qty for p in control.positions("main")}
    sides = {o.order_id: o.request.position_side for o in control.orders("main")}
    summed: dict[tuple[str, PositionSide], Decimal] = {}
    for trade in trades:
        if trade.market is MarketKind.LINEAR:
            key = (trade.symbol, sides[trade.order_id])
            summed[key] = summed.get(key, Decimal(0)) + trade.side.sign * trade.qty
    assert {key: qty for key, qty in summed.items() if qty} == held


def check_orders(control: Control) -> None:
    executions = control.executions("main")
    for order in control.orders("main"):
        mine = [e for e in executions if e.order_id == order.order_id and e.kind is not ExecutionKind.FUNDING]
        assert sum((e.qty for e in mine), Decimal(0)) == order.filled_qty
        assert order.filled_qty <= order.qty or order.request.quote_qty is not None
        assert order.filled_value <= (order.request.quote_qty or order.filled_value)
        assert sum((e.value for e in mine), Decimal(0)) == order.filled_value
        assert all((e.price - order.price) * order.request.side.sign <= 0 for e in mine)
        totals: dict[str, Decimal] = {}
        for execution in mine:
            totals[execution.fee_coin] = totals.get(execution.fee_coin, Decimal(0)) + execution.fee
        assert dict(order.fees) == totals


@settings(max_examples=60, deadline=None)
@given(
    steps=steps,
    mode=st.sampled_from(PositionMode),
    depth=st.sampled_from([None, Decimal(20_000)]),
    apply_ms=st.sampled_from([0, 0, 5_000_000]),
)
def test_books_balance_and_limits_hold(steps: list[dict], mode: PositionMode, depth: Decimal | None, apply_ms: int):
    sim = simulator(mode, depth, apply_ms)
    for step in steps:
        play(sim, step)
        assert all(balance >= 0 for coin, balance in sim.venue.accounts["main"].wallets().items() if coin != "USDT")
    control = Control(sim)
    check_books(control)
    check_orders(control)


trades = st.lists(
    st.tuples(st.sampled_from(OrderSide), st.integers(1, 10_000), st.integers(1, 100_000)), min_size=1, max_size=30
)


@given(trades)
def test_position_profit_is_exact_over_any_path(path: list[tuple[OrderSide, int, int]]):
    """Realised profit plus the cost still held equals what was paid, to the last digit."""
    position, realised, paid = Position("X", PositionSide.BOTH), Decimal(0), Decimal(0)
    for number, (side, lots, ticks) in enumerate(path):
        qty, price = lots * Decimal("0.001"), ticks * Decimal("0.01")
        change = trade_position(
            position, side=side, qty=qty, price=price, fee=Decimal(0), at_ms=number, sequence=number
        )
        position, realised = change.position, realised + change.realised
        paid += side.sign * qty * price
    held = Decimal(0) if position.side is None else position.side.sign * position.cost
    assert realised == held - paid
    assert position.realised == realised
    assert (position.qty == 0) == (position.side is None)
