"""The pre-trade check: every limit at its boundary, all refusals at once, and closed whenever something is missing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from brokers.ids import Environment, InstrumentId
from brokers.types import Instrument, OrderRequest, OrderSide, OrderType, PartTerms, ProductKind, Quote, TimeInForce
from trading.risk import (
    Conduct,
    Exposure,
    GoodQuote,
    InstrumentLimits,
    Resting,
    RiskPolicy,
    RiskReason,
    TradingSession,
    assess,
)

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BTC = InstrumentId("BTC/USDT:USDT")
INSTRUMENT = Instrument(
    instrument_id=BTC,
    venue_symbol="BTCUSDT",
    product=ProductKind.LINEAR,
    base_currency="BTC",
    quote_currency="USDT",
    settle_currency="USDT",
    tick_size=Decimal("0.5"),
    lot_size=Decimal("0.01"),
    quantity_min=Decimal("0.02"),
    notional_min=Decimal(5),
    quantity_max_limit=Decimal(100),
    quantity_max_market=Decimal(50),
)
QUOTE = Quote(BTC, Decimal(99), Decimal(101), Decimal(100), NOW)
FLAT = Exposure(
    equity=Decimal(1_000_000), position_quantity=Decimal(0), gross_notional=Decimal(0), net_notional=Decimal(0)
)
POLICY = RiskPolicy.for_environment(Environment.TESTNET)
R = RiskReason
NOTIONALS = ("order_notional_max", "position_notional_max", "gross_notional_max", "net_notional_max")


def order(
    quantity: str = "1", *, limit: str | None = None, side: OrderSide = OrderSide.BUY, **more: Any
) -> OrderRequest:
    order_type = more.pop("order_type", OrderType.MARKET if limit is None else OrderType.LIMIT)
    return OrderRequest(
        instrument_id=more.pop("instrument_id", BTC),
        side=side,
        order_type=order_type,
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        **more,
    )


def reasons(request: OrderRequest, **changes: Any) -> list[RiskReason]:
    exposure = changes.pop("exposure", FLAT)
    policy = changes.pop("policy", POLICY)
    instrument = changes.pop("instrument", INSTRUMENT)
    quote = changes.pop("quote", QUOTE)
    now = changes.pop("now", NOW)
    assert not changes
    return [refusal.reason for refusal in assess(request, instrument, quote, exposure, policy, now)]


def limited(**limits: Any) -> RiskPolicy:
    return POLICY.model_copy(update={k: Decimal(v) if isinstance(v, str) else v for k, v in limits.items()})


def test_an_ordinary_order_passes() -> None:
    assert reasons(order()) == []
    assert reasons(order(limit="100")) == []


def test_a_part_of_a_share_is_for_the_day_alone() -> None:
    parts = PartTerms(step=Decimal("0.001"), notional_min=Decimal(1), times_in_force=(TimeInForce.DAY,))
    whole = replace(INSTRUMENT, lot_size=Decimal(1), parts=parts)
    assert reasons(order("1.5"), instrument=whole) == [R.QUANTITY_OFF_LOT]
    assert reasons(order("1.5", time_in_force=TimeInForce.DAY), instrument=whole) == []
    assert reasons(order("1.0005", time_in_force=TimeInForce.DAY), instrument=whole) == [R.QUANTITY_OFF_LOT]


# -- each limit at its boundary ---------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("request_", "changes", "expected"),
    [
        (order("0.02", limit="250"), {"policy": limited(price_collar="9")}, []),
        (order("0.01"), {}, [R.QUANTITY_BELOW_MINIMUM, R.NOTIONAL_BELOW_MINIMUM]),
        (order("50"), {}, []),
        (order("50.01"), {}, [R.QUANTITY_ABOVE_MAXIMUM]),
        (order("100", limit="100"), {}, []),
        (order("100.01", limit="100"), {}, [R.QUANTITY_ABOVE_MAXIMUM]),
        (order("1.005"), {}, [R.QUANTITY_OFF_LOT]),
        (order(limit="100.25"), {}, [R.PRICE_OFF_TICK]),
        (order("0.05", limit="100"), {}, []),
        (order("0.04", limit="100"), {}, [R.NOTIONAL_BELOW_MINIMUM]),
        (order("10", limit="100"), {"policy": limited(order_notional_max="1000")}, []),
        (order("10.01", limit="100"), {"policy": limited(order_notional_max="1000")}, [R.ORDER_NOTIONAL]),
        (order("10", limit="100"), {"policy": limited(position_notional_max="1000")}, []),
        (order("10.01", limit="100"), {"policy": limited(position_notional_max="1000")}, [R.POSITION_NOTIONAL]),
        (order("10.01", limit="100"), {"policy": limited(gross_notional_max="1000")}, [R.GROSS_EXPOSURE]),
        (order(limit="105"), {}, []),
        (order(limit="105.5"), {}, [R.PRICE_COLLAR]),
        (order(limit="95", side=OrderSide.SELL), {}, []),
        (order(limit="94.5", side=OrderSide.SELL), {}, [R.PRICE_COLLAR]),
        (order(limit="50"), {}, []),  # far from the market on the harmless side
        (order(), {"policy": limited(price_collar="0.009")}, [R.PRICE_COLLAR]),
        (order(), {"now": NOW + timedelta(seconds=5)}, []),
        (order(), {"now": NOW + timedelta(seconds=5.1)}, [R.QUOTE_STALE]),
        (order(), {"now": NOW - timedelta(seconds=5.1)}, [R.QUOTE_STALE]),
        (order(), {"policy": limited(allowed_instruments=("ETH/USDT:USDT",))}, [R.INSTRUMENT_NOT_ALLOWED]),
        (order(), {"policy": limited(allowed_instruments=(str(BTC),))}, []),
        (order(), {"policy": limited(market_orders_allowed=False)}, [R.ORDER_TYPE_NOT_ALLOWED]),
        (order(limit="100"), {"policy": limited(market_orders_allowed=False)}, []),
    ],
)
def test_a_limit_holds_at_its_boundary(
    request_: OrderRequest, changes: dict[str, Any], expected: list[RiskReason]
) -> None:
    assert reasons(request_, **changes) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"net_notional": Decimal(499_900)}, []),
        ({"net_notional": Decimal(499_901)}, [R.NET_EXPOSURE]),
        ({"net_notional": Decimal(-900_000)}, []),  # buying brings it nearer to zero
        ({"net_notional": Decimal(400_000), "pending_buy_notional": Decimal(99_901)}, [R.NET_EXPOSURE]),
        ({"net_notional": Decimal(400_000), "pending_sell_notional": Decimal(99_901)}, []),
        ({"pool_notional": Decimal(1_999_900)}, []),
        ({"pool_notional": Decimal(1_999_901)}, [R.POOL_EXPOSURE]),
        ({"pool_notional": Decimal(1_500_000), "gross_notional": Decimal(499_901)}, [R.POOL_EXPOSURE]),
        ({"pool_unread": ("bybit.testnet.b",)}, []),  # the testnet's default counts what is known
        ({"recent_sends": 4}, []),
        ({"recent_sends": 5}, [R.ORDER_RATE]),
        ({"open_orders": 19}, []),
        ({"open_orders": 20}, [R.OPEN_ORDERS]),
        ({"equity": Decimal(20)}, []),
        ({"equity": Decimal("19.9")}, [R.LEVERAGE_AFTER_FILL]),
        ({"equity": Decimal(0)}, [R.LEVERAGE_AFTER_FILL]),
        ({"equity": Decimal(-5)}, [R.LEVERAGE_AFTER_FILL]),
        ({"pending_buy_quantity": Decimal(2499)}, []),
        ({"pending_buy_quantity": Decimal("2499.01")}, [R.POSITION_NOTIONAL]),
        ({"pending_sell_quantity": Decimal(9999)}, []),
        ({"position_quantity": Decimal(2499)}, []),
        ({"position_quantity": Decimal("2499.01")}, [R.POSITION_NOTIONAL]),
        ({"position_quantity": Decimal(-9999)}, []),  # buying reduces it
        ({"gross_notional": Decimal(999_900)}, []),
        ({"gross_notional": Decimal(999_901)}, [R.GROSS_EXPOSURE]),
        ({"gross_notional": Decimal(900_000), "pending_notional": Decimal(99_901)}, [R.GROSS_EXPOSURE]),
    ],
)
def test_exposure_counts_what_is_open_and_in_flight(changes: dict[str, Any], expected: list[RiskReason]) -> None:
    assert reasons(order(limit="100"), exposure=replace(FLAT, **changes)) == expected


@pytest.mark.parametrize("missing", ["equity", "position_quantity", "gross_notional", "net_notional"])
def test_what_cannot_be_read_is_a_refusal(missing: str) -> None:
    refusals = assess(order(), INSTRUMENT, QUOTE, replace(FLAT, **{missing: None}), POLICY, NOW)
    assert [refusal.reason for refusal in refusals] == [R.ACCOUNT_UNREADABLE]
    assert missing in refusals[0].detail


@pytest.mark.parametrize(
    "quote",
    [
        None,
        replace(QUOTE, instrument_id=InstrumentId("ETH/USDT:USDT")),
        replace(QUOTE, bid=Decimal(0)),
        replace(QUOTE, bid=Decimal(102)),
        replace(QUOTE, ask=Decimal("NaN")),
        replace(QUOTE, ask=Decimal("Infinity")),
    ],
)
def test_without_a_usable_quote_nothing_is_sent(quote: Quote | None) -> None:
    assert reasons(order(), quote=quote) == [R.QUOTE_MISSING]


@pytest.mark.parametrize(
    "instrument",
    [None, replace(INSTRUMENT, is_trading=False), replace(INSTRUMENT, instrument_id=InstrumentId("ETH/USDT:USDT"))],
)
def test_an_unknown_instrument_is_refused(instrument: Instrument | None) -> None:
    assert reasons(order(), instrument=instrument) == [R.INSTRUMENT_UNKNOWN]


@pytest.mark.parametrize(
    ("position", "side", "quantity", "is_true"),
    [
        ("2", OrderSide.SELL, "2", True),
        ("2", OrderSide.SELL, "1", True),
        ("2", OrderSide.SELL, "2.01", False),
        ("2", OrderSide.BUY, "1", False),
        ("-2", OrderSide.BUY, "2", True),
        ("-2", OrderSide.SELL, "1", False),
        ("0", OrderSide.SELL, "1", False),
    ],
)
def test_reduce_only_must_be_true(position: str, side: OrderSide, quantity: str, is_true: bool) -> None:
    exposure = replace(FLAT, position_quantity=Decimal(position))
    found = reasons(order(quantity, side=side, reduce_only=True), exposure=exposure)
    assert (R.REDUCE_ONLY_UNTRUE not in found) is is_true


def test_a_reduction_passes_whatever_the_exposure_is() -> None:
    """An account above every limit must be able to get smaller."""
    exposure = replace(FLAT, position_quantity=Decimal(9_000), gross_notional=Decimal(10**9), equity=Decimal(1))
    assert reasons(order("50", side=OrderSide.SELL), exposure=exposure) == []
    assert reasons(order("0.02", side=OrderSide.SELL, reduce_only=True), exposure=exposure) == []


def test_a_protected_pool_lets_a_reduction_be_a_market_order() -> None:
    policy = limited(market_orders_allowed=False)
    exposure = replace(FLAT, position_quantity=Decimal(5))
    assert reasons(order(side=OrderSide.SELL, reduce_only=True), policy=policy, exposure=exposure) == []


def test_a_stop_order_is_measured_against_its_own_trigger() -> None:
    stop = order(order_type=OrderType.STOP_MARKET, trigger_price=Decimal(150))
    assert reasons(stop) == []
    near = order(limit="157.5", order_type=OrderType.STOP_LIMIT, trigger_price=Decimal(150))
    far = order(limit="158", order_type=OrderType.STOP_LIMIT, trigger_price=Decimal(150))
    assert (reasons(near), reasons(far)) == ([], [R.PRICE_COLLAR])
    off = order(order_type=OrderType.STOP_MARKET, trigger_price=Decimal("150.1"))
    assert reasons(off) == [R.PRICE_OFF_TICK]


@pytest.mark.parametrize(("side", "trigger"), [(OrderSide.BUY, "50"), (OrderSide.SELL, "150")])
def test_a_stop_that_the_market_has_passed_is_a_market_order(side: OrderSide, trigger: str) -> None:
    """It is filled where the market is, far worse than its trigger says."""
    stop = order(side=side, order_type=OrderType.STOP_MARKET, trigger_price=Decimal(trigger))
    assert reasons(stop) == [R.PRICE_COLLAR]


def test_a_stop_that_the_market_has_passed_is_valued_at_the_market() -> None:
    stop = order("9", order_type=OrderType.STOP_MARKET, trigger_price=Decimal(100))
    assert reasons(stop, policy=limited(order_notional_max="908")) == [R.ORDER_NOTIONAL]
    assert reasons(stop, policy=limited(order_notional_max="909")) == []


def test_an_order_through_zero_is_no_reduction_whatever_it_leaves() -> None:
    """Long 10 here and short 10 elsewhere: what turns this one leaves everything on one side."""
    held = replace(FLAT, position_quantity=Decimal(10), gross_notional=Decimal(2000), net_notional=Decimal(0))
    limits = limited(net_notional_max="1500")
    assert reasons(order("10", side=OrderSide.SELL), exposure=held, policy=limits) == []
    assert reasons(order("18", side=OrderSide.SELL), exposure=held, policy=limits) == [R.NET_EXPOSURE]


def test_contract_size_counts() -> None:
    big = replace(INSTRUMENT, contract_size=Decimal(50))
    assert reasons(order("21", limit="100"), instrument=big) == [R.ORDER_NOTIONAL]


def test_all_refusals_come_at_once_with_figures() -> None:
    refusals = assess(
        order("60.005", limit="150.3"),
        INSTRUMENT,
        replace(QUOTE, time=NOW - timedelta(minutes=1)),
        replace(FLAT, equity=Decimal(1), recent_sends=9, open_orders=99),
        limited(
            order_notional_max="10",
            position_notional_max="10",
            gross_notional_max="10",
            net_notional_max="10",
            allowed_instruments=(),
        ),
        NOW,
    )
    assert [refusal.reason for refusal in refusals] == [
        R.INSTRUMENT_NOT_ALLOWED,
        R.ORDER_RATE,
        R.OPEN_ORDERS,
        R.QUOTE_STALE,
        R.QUANTITY_OFF_LOT,
        R.PRICE_OFF_TICK,
        R.ORDER_NOTIONAL,
        R.PRICE_COLLAR,
        R.POSITION_NOTIONAL,
        R.GROSS_EXPOSURE,
        R.NET_EXPOSURE,
        R.LEVERAGE_AFTER_FILL,
    ]
    assert "at most 10, was 9018.7515" in refusals[6].detail
    assert all(refusal.detail for refusal in refusals)


# -- what came before -------------------------------------------------------------------------------------------
def after(**conduct: Any) -> Exposure:
    return replace(FLAT, conduct=Conduct(**conduct))


@pytest.mark.parametrize(
    ("conduct", "expected"),
    [
        ({"repeats": 9}, []),
        ({"repeats": 10}, [R.REPEATED_EXECUTION]),
        ({"is_strategy_disabled": True}, [R.STRATEGY_DISABLED]),
        ({"duplicates": ("other",)}, [R.DUPLICATE_ORDER]),
        ({"last_quote": GoodQuote(Decimal("95.25"), NOW)}, []),  # 4.987 %
        ({"last_quote": GoodQuote(Decimal("95.23"), NOW)}, [R.QUOTE_JUMPED]),  # 5.009 %
        ({"last_quote": GoodQuote(Decimal("105.2"), NOW)}, []),
        ({"last_quote": GoodQuote(Decimal("105.3"), NOW)}, [R.QUOTE_JUMPED]),
        ({"last_quote": GoodQuote(Decimal(50), NOW - timedelta(seconds=10))}, [R.QUOTE_JUMPED]),
        ({"last_quote": GoodQuote(Decimal(50), NOW - timedelta(seconds=10.1))}, []),
        ({"opening_equity": Decimal(1_111_111)}, []),
        ({"opening_equity": Decimal(1_111_112)}, [R.DAILY_LOSS]),
        ({"highest_equity": Decimal(1_428_571)}, []),
        ({"highest_equity": Decimal(1_428_572)}, [R.DRAWDOWN]),
        ({"resting": (Resting(OrderSide.SELL, Decimal("100.5"), "r"),)}, []),
        ({"resting": (Resting(OrderSide.SELL, Decimal(100), "r"),)}, [R.SELF_CROSS]),
        ({"resting": (Resting(OrderSide.BUY, Decimal(100), "r"),)}, []),  # the same side
    ],
)
def test_the_past_of_an_order_counts(conduct: dict[str, Any], expected: list[RiskReason]) -> None:
    assert reasons(order(limit="100"), exposure=after(**conduct)) == expected


def test_a_market_order_may_not_meet_our_own_within_its_reach() -> None:
    for price, expected in (("111.1", [R.SELF_CROSS]), ("111.2", [])):
        resting = (Resting(OrderSide.SELL, Decimal(price), "r"),)
        assert reasons(order(), exposure=after(resting=resting)) == expected
    sell = order(side=OrderSide.SELL, limit="100")
    assert reasons(sell, exposure=after(resting=(Resting(OrderSide.BUY, Decimal(100), "r"),))) == [R.SELF_CROSS]
    only_rests = order(limit="100", post_only=True)
    assert reasons(only_rests, exposure=after(resting=(Resting(OrderSide.SELL, Decimal(90), "r"),))) == []


def test_a_loss_in_money_counts_beside_the_fraction() -> None:
    policy = limited(daily_loss_amount_max="100")
    for opening, expected in ((1_000_100, []), (1_000_101, [R.DAILY_LOSS])):
        assert reasons(order(), policy=policy, exposure=after(opening_equity=Decimal(opening))) == expected


def test_what_reduces_goes_on_after_a_loss_and_after_repetition() -> None:
    past = Conduct(
        repeats=99,
        duplicates=("other",),
        is_strategy_disabled=True,
        opening_equity=Decimal(10**8),
        highest_equity=Decimal(10**8),
    )
    exposure = replace(FLAT, position_quantity=Decimal(5), conduct=past)
    assert reasons(order("5", side=OrderSide.SELL, reduce_only=True), exposure=exposure) == []
    plain = reasons(order("5", side=OrderSide.SELL), exposure=exposure)
    assert plain == [R.STRATEGY_DISABLED, R.REPEATED_EXECUTION, R.DUPLICATE_ORDER]
    assert R.DAILY_LOSS in reasons(order("5"), exposure=exposure)


def test_an_unread_account_of_the_pool_is_refused_where_the_policy_says_so() -> None:
    policy = limited(pool_may_be_unread=False)
    exposure = replace(FLAT, pool_unread=("bybit.testnet.b",))
    assert reasons(order(), policy=policy, exposure=exposure) == [R.POOL_UNREADABLE]
    assert not RiskPolicy.for_environment(Environment.PRODUCTION).pool_may_be_unread


def test_a_restricted_instrument_is_refused_even_when_it_is_allowed() -> None:
    policy = limited(allowed_instruments=(str(BTC),), restricted_instruments=(str(BTC),))
    assert reasons(order(), policy=policy) == [R.INSTRUMENT_RESTRICTED]


NEW_YORK = TradingSession(opens="09:30", closes="16:00", zone="America/New_York")
NIGHT = TradingSession(weekdays=("mon",), opens="22:00", closes="02:00", zone="UTC")


@pytest.mark.parametrize(
    ("session", "at", "is_open"),
    [
        (NEW_YORK, datetime(2026, 3, 2, 14, 30, tzinfo=UTC), True),  # winter: five hours behind
        (NEW_YORK, datetime(2026, 3, 2, 14, 29, 59, tzinfo=UTC), False),
        (NEW_YORK, datetime(2026, 3, 2, 20, 59, 59, tzinfo=UTC), True),
        (NEW_YORK, datetime(2026, 3, 2, 21, 0, tzinfo=UTC), False),
        (NEW_YORK, datetime(2026, 6, 1, 13, 30, tzinfo=UTC), True),  # summer: four
        (NEW_YORK, datetime(2026, 3, 7, 15, 0, tzinfo=UTC), False),  # a Saturday
        (NIGHT, datetime(2026, 3, 2, 22, 0, tzinfo=UTC), True),
        (NIGHT, datetime(2026, 3, 3, 1, 59, tzinfo=UTC), True),
        (NIGHT, datetime(2026, 3, 3, 2, 0, tzinfo=UTC), False),
        (NIGHT, datetime(2026, 3, 3, 22, 0, tzinfo=UTC), False),
    ],
)
def test_outside_its_sessions_an_instrument_is_not_traded(session: TradingSession, at: datetime, is_open: bool) -> None:
    quote = replace(QUOTE, time=at)
    expected = [] if is_open else [R.OUTSIDE_SESSION]
    assert reasons(order(), policy=limited(sessions=(session,)), quote=quote, now=at) == expected
    own = limited(sessions=(), instruments={str(BTC): InstrumentLimits(sessions=(session,))})
    assert reasons(order(), policy=own, quote=quote, now=at) == expected


@pytest.mark.parametrize(
    "fields",
    [{"opens": "9:30"}, {"closes": "24:00"}, {"zone": "Mars/Olympus"}, {"zone": "../etc"}, {"weekdays": ()}],
)
def test_a_session_that_cannot_be_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TradingSession(**{"opens": "09:30", "closes": "16:00", "zone": "UTC", **fields})


# -- the policy -------------------------------------------------------------------------------------------------
def test_production_allows_nothing_until_it_is_configured() -> None:
    policy = RiskPolicy.for_environment(Environment.PRODUCTION)
    assert R.INSTRUMENT_NOT_ALLOWED in reasons(order(), policy=policy)
    assert R.ORDER_TYPE_NOT_ALLOWED in reasons(order(), policy=policy)
    assert (policy.price_collar, policy.quote_age_s_max) == (Decimal("0.02"), Decimal(2))


def test_environments_get_stricter() -> None:
    environments = (Environment.SIMULATED, Environment.TESTNET, Environment.PRODUCTION)
    ordered = [RiskPolicy.for_environment(environment) for environment in environments]
    for name in (
        *NOTIONALS,
        "leverage_max",
        "quote_age_s_max",
        "quote_jump_max",
        "daily_loss_max",
        "drawdown_max",
        "pool_gross_notional_max",
    ):
        figures = [getattr(policy, name) for policy in ordered]
        assert figures == sorted(figures, reverse=True)
        assert figures[-1] < figures[0]


def test_an_instruments_own_limits_replace_the_accounts() -> None:
    own = InstrumentLimits(
        order_notional_max=Decimal(50),
        position_notional_max=Decimal(60),
        quantity_max=Decimal("0.5"),
        price_collar=Decimal("0.001"),
        open_orders_max=1,
        quote_age_s_max=Decimal("0.5"),
        quote_jump_max=Decimal("0.001"),
        repeat_max=2,
    )
    policy = POLICY.model_copy(update={"instruments": {str(BTC): own}})
    conduct = Conduct(repeats=2, last_quote=GoodQuote(Decimal("100.2"), NOW))
    exposure = replace(FLAT, open_orders=1, conduct=conduct)
    now = NOW + timedelta(seconds=0.6)
    assert reasons(order(limit="101"), policy=policy, exposure=exposure, now=now) == [
        R.REPEATED_EXECUTION,
        R.OPEN_ORDERS,
        R.QUOTE_STALE,
        R.QUANTITY_ABOVE_MAXIMUM,
        R.QUOTE_JUMPED,
        R.ORDER_NOTIONAL,
        R.PRICE_COLLAR,
        R.POSITION_NOTIONAL,
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"order_notional_max": 0.5},
        {"order_notional_max": "-1"},
        {"order_notional_max": "NaN"},
        {"order_notional_max": True},
        {"unknown": 1},
        {"open_orders_max": 0},
        {"attempts_max": 101},
        {"venue_rate_share": "1.5"},
        {"instruments": {"BTC/USDT": {"quantity_max": 0.1}}},
    ],
)
def test_a_policy_refuses_floats_nonsense_and_unknown_fields(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RiskPolicy(**fields)


def test_a_policy_reads_decimal_text_and_cannot_be_changed() -> None:
    policy = RiskPolicy(order_notional_max="1000.50", leverage_max=2)  # type: ignore[arg-type]
    assert (policy.order_notional_max, policy.leverage_max) == (Decimal("1000.50"), Decimal(2))
    with pytest.raises(ValidationError, match="frozen"):
        policy.leverage_max = Decimal(9)  # type: ignore[misc]
    assert RiskPolicy.model_validate_json(policy.model_dump_json()) == policy


def test_every_reason_has_words() -> None:
    for reason in RiskReason:
        assert reason.value.startswith("RISK_")
        assert reason.meaning.endswith(".")
        assert reason.remedy.endswith(".")
    assert {reason for reason in RiskReason if reason.passes} == {
        R.ORDER_RATE,
        R.QUOTE_STALE,
        R.QUOTE_JUMPED,
        R.OPEN_ORDERS,
    }


# -- properties -------------------------------------------------------------------------------------------------
amounts = st.decimals("0.01", "5000", places=2)
exposures = st.builds(
    Exposure,
    equity=st.none() | st.decimals(0, 10**6, places=0),
    position_quantity=st.none() | st.decimals(-5000, 5000, places=2),
    gross_notional=st.none() | st.decimals(0, 10**6, places=0),
    net_notional=st.none() | st.decimals(-(10**6), 10**6, places=0),
    pending_buy_quantity=st.decimals(0, 1000, places=2),
    pending_sell_quantity=st.decimals(0, 1000, places=2),
    pending_notional=st.decimals(0, 10**6, places=0),
    pending_buy_notional=st.decimals(0, 10**6, places=0),
    pending_sell_notional=st.decimals(0, 10**6, places=0),
    open_orders=st.integers(0, 25),
    recent_sends=st.integers(0, 8),
    pool_notional=st.decimals(0, 2 * 10**6, places=0),
    pool_unread=st.sampled_from([(), ("bybit.testnet.other",)]),
    conduct=st.builds(
        Conduct,
        last_quote=st.none()
        | st.builds(
            GoodQuote,
            st.decimals(90, 110, places=1),
            st.sampled_from([NOW, NOW - timedelta(seconds=10), NOW - timedelta(seconds=11)]),
        ),
        repeats=st.integers(0, 12),
        duplicates=st.sampled_from([(), ("other key",)]),
        resting=st.lists(
            st.builds(Resting, st.sampled_from(OrderSide), st.decimals(80, 120, places=1), st.just("resting")),
            max_size=2,
        ).map(tuple),
        is_strategy_disabled=st.booleans(),
        opening_equity=st.none() | st.decimals(0, 10**6, places=0),
        highest_equity=st.none() | st.decimals(0, 10**6, places=0),
    ),
)
requests = st.builds(
    lambda quantity, side, limit, is_limit, reduces: order(
        str(quantity), side=side, limit=str(limit) if is_limit else None, reduce_only=reduces
    ),
    amounts,
    st.sampled_from(OrderSide),
    st.decimals(80, 120, places=1),
    st.booleans(),
    st.booleans(),
)
GROWING = {
    R.ORDER_NOTIONAL,
    R.POSITION_NOTIONAL,
    R.GROSS_EXPOSURE,
    R.NET_EXPOSURE,
    R.POOL_EXPOSURE,
    R.LEVERAGE_AFTER_FILL,
}
TIGHTER_WHEN_SMALLER = (
    *NOTIONALS,
    "leverage_max",
    "price_collar",
    "quote_jump_max",
    "daily_loss_max",
    "drawdown_max",
    "pool_gross_notional_max",
    "repeat_max",
    "open_orders_max",
    "order_rate_max",
    "quote_age_s_max",
)


@given(requests, exposures, st.sampled_from(TIGHTER_WHEN_SMALLER))
def test_a_tighter_limit_never_removes_a_refusal(request_: OrderRequest, exposure: Exposure, name: str) -> None:
    loose = set(reasons(request_, exposure=exposure))
    tighter = POLICY.model_copy(update={name: getattr(POLICY, name) * Decimal("0.1")})
    assert loose <= set(reasons(request_, exposure=exposure, policy=tighter))


@given(requests, exposures, amounts)
def test_a_larger_order_never_breaks_fewer_exposure_limits(
    request_: OrderRequest, exposure: Exposure, more: Decimal
) -> None:
    small = set(reasons(request_, exposure=exposure)) & GROWING
    large = set(reasons(replace(request_, quantity=request_.quantity + more), exposure=exposure)) & GROWING
    assert small <= large


@given(requests, exposures)
def test_an_accepted_order_keeps_every_limit(request_: OrderRequest, exposure: Exposure) -> None:
    if reasons(request_, exposure=exposure):
        return
    assert exposure.equity is not None
    assert exposure.position_quantity is not None
    assert exposure.gross_notional is not None
    price = request_.limit_price or (QUOTE.ask if request_.side is OrderSide.BUY else QUOTE.bid)
    assert request_.quantity * price <= POLICY.order_notional_max
    assert (price - QUOTE.mid) * request_.side.sign <= QUOTE.mid * POLICY.price_collar
    pending = exposure.pending_buy_quantity if request_.side is OrderSide.BUY else exposure.pending_sell_quantity
    after = abs(exposure.position_quantity + request_.side.sign * (request_.quantity + pending))
    if after > abs(exposure.position_quantity):
        assert after * price <= POLICY.position_notional_max
        assert exposure.gross_notional + exposure.pending_notional <= POLICY.gross_notional_max
        assert not request_.reduce_only or abs(
            exposure.position_quantity + request_.side.sign * request_.quantity
        ) <= abs(exposure.position_quantity)


@given(requests, exposures)
def test_an_answer_is_a_function_of_its_inputs(request_: OrderRequest, exposure: Exposure) -> None:
    first = assess(request_, INSTRUMENT, QUOTE, exposure, POLICY, NOW)
    assert first == assess(request_, INSTRUMENT, QUOTE, exposure, POLICY, NOW)
    assert len({refusal.reason for refusal in first}) == len(first)
