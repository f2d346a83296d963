"""Properties of the core under random trading: money and quantity are conserved, limits hold."""

from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import Control
from simulators.bybit.simulator import build_bybit
from simulators.core.config import AccountConfig, LiquidityConfig
from simulators.core.margin import MarginState
from simulators.core.settlement import trade_position
from simulators.core.types import ExecutionKind, OrderSide, Position, PositionMode, PositionSide, Refusal
from simulators.testing import small_config

COIN_OF = {"AAPLUSDT": "linear", "MSFTUSDT": "linear", "BTCUSDT": "spot"}
STEP = {"AAPLUSDT": Decimal("0.01"), "MSFTUSDT": Decimal("0.01"), "BTCUSDT": Decimal("0.000001")}

orders = st.fixed_dictionaries(
    {
        "do": st.just("order"),
        "symbol": st.sampled_from(sorted(COIN_OF)),
        "side": st.sampled_from(["buy", "sell"]),
        "lots": st.integers(1, 400_000),
        "offset": st.none() | st.integers(-500, 500),
        "reduce_only": st.booleans(),
        "time_in_force": st.sampled_from(["gtc", "ioc", "fok", "post_only"]),
    }
)
moves = st.fixed_dictionaries(
    {"do": st.just("move"), "symbol": st.sampled_from(sorted(COIN_OF)), "bps": st.integers(-400, 400)}
)
waits = st.fixed_dictionaries({"do": st.just("wait"), "hours": st.integers(1, 30)})
cancels = st.fixed_dictionaries({"do": st.just("cancel")})
steps = st.lists(orders | orders | moves | waits | cancels, max_size=40)


def venue(mode: PositionMode, level_notional: Decimal | None) -> Control:
    prices = small_config().prices.model_copy(update={"liquidity": LiquidityConfig(level_notional=level_notional)})
    account = AccountConfig(name="main", balances={"USDT": Decimal(50_000)}, position_mode=mode)
    control = Control(build_bybit(small_config(accounts=(account,), prices=prices, price_band=None)))
    control.set_funding_rate("0.0003")
    return control


def play(control: Control, step: dict) -> None:
    if step["do"] == "move":
        price = control.prices()[step["symbol"]]
        control.set_price(step["symbol"], (price * (10_000 + step["bps"]) / 10_000).quantize(Decimal("0.01")))
    elif step["do"] == "wait":
        control.advance(seconds=step["hours"] * 3600)
    elif step["do"] == "cancel":
        for order in control.orders("main", open_only=True):
            control.cancel_order("main", order.order_id)
    else:
        place(control, step)


def place(control: Control, step: dict) -> None:
    symbol, kind = step["symbol"], COIN_OF[step["symbol"]]
    last = control.quote(symbol, kind).last
    price = None
    if step["offset"] is not None:
        price = (last * (10_000 + step["offset"]) / 10_000).quantize(Decimal("0.1"))
    before = control.margin("main")
    try:
        control.place_order(
            "main",
            symbol,
            step["side"],
            step["lots"] * STEP[symbol],
            price=price,
            kind=kind,
            reduce_only=step["reduce_only"] and kind == "linear",
            time_in_force=step["time_in_force"],
        )
    except Refusal:
        assert control.margin("main") == before
        return
    after = control.margin("main")
    enlarged = needs(after) > needs(before) or (kind == "spot" and step["side"] == "buy")
    assert after.available >= 0 or not enlarged, "an accepted order that asks for margin finds it"


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
        if COIN_OF[trade.symbol] == "linear":
            key = (trade.symbol, sides[trade.order_id])
            summed[key] = summed.get(key, Decimal(0)) + trade.side.sign * trade.qty
    assert {key: qty for key, qty in summed.items() if qty} == held


def check_orders(control: Control) -> None:
    executions = control.executions("main")
    for order in control.orders("main"):
        mine = [e for e in executions if e.order_id == order.order_id and e.kind is not ExecutionKind.FUNDING]
        assert sum((e.qty for e in mine), Decimal(0)) == order.filled_qty <= order.qty
        assert sum((e.value for e in mine), Decimal(0)) == order.filled_value
        assert all((e.price - order.price) * order.request.side.sign <= 0 for e in mine)
        totals: dict[str, Decimal] = {}
        for execution in mine:
            totals[execution.fee_coin] = totals.get(execution.fee_coin, Decimal(0)) + execution.fee
        assert dict(order.fees) == totals


@settings(max_examples=60, deadline=None)
@given(steps=steps, mode=st.sampled_from(PositionMode), depth=st.sampled_from([None, Decimal(20_000)]))
def test_books_balance_and_limits_hold(steps: list[dict], mode: PositionMode, depth: Decimal | None):
    control = venue(mode, depth)
    for step in steps:
        play(control, step)
        assert all(balance >= 0 for coin, balance in control.wallets("main").items() if coin != "USDT")
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
