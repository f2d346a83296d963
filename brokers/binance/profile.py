"""Binance's row of facts: hosts, products, identity, budgets. Imports no SDK.

Sources: Binance's Spot REST API documents (general information, trading and account endpoints, error codes, filters)
and the USDⓈ-M Futures documents of the same names, as of 2026-08. Unproved properties take their worse value.
"""

from __future__ import annotations

from brokers.capabilities import Capabilities, DeadManKind, DeadManSwitch, Host, IdScope, OrderIdentity, RateBudget
from brokers.ids import Environment, Venue
from brokers.types import MarginMode, OrderType, PositionMode, ProductKind, TimeInForce

FUTURES = "futures"  # the other origin
RECV_WINDOW_MS_MAX = 5_000
LIST_BYTES_MAX = 32_000_000  # the whole list of spot instruments has many megabytes
CLIENT_ID_LENGTH_MAX = 36
CLIENT_ID_ALPHABET = "[A-Za-z0-9_-]"
PAGE_SIZE = 1_000
_DAY_S = 86_400
_LIVE_FUTURES = {FUTURES: "https://fapi.binance.com"}

# One key of the demo environment serves both products; the two test networks have keys of their own.
HOSTS = (
    Host("demo", Environment.TESTNET, "https://demo-api.binance.com", {FUTURES: "https://demo-fapi.binance.com"}),
    Host(
        "testnet",
        Environment.TESTNET,
        "https://testnet.binance.vision",
        {FUTURES: "https://testnet.binancefuture.com"},
    ),
    Host("production", Environment.PRODUCTION, "https://api.binance.com", _LIVE_FUTURES),
    Host("gcp", Environment.PRODUCTION, "https://api-gcp.binance.com", _LIVE_FUTURES),
    *(
        Host(f"api{number}", Environment.PRODUCTION, f"https://api{number}.binance.com", _LIVE_FUTURES)
        for number in (1, 2, 3, 4)
    ),
)


def _identity(*, unfilled_days: int, proof: str) -> OrderIdentity:
    return OrderIdentity(
        id_scope=IdScope.OPEN_ONLY,
        deadline_s_max=RECV_WINDOW_MS_MAX // 1000,
        # recvWindow is checked again before the matching engine, which has ten seconds of its own; the rest is room for
        # the copies that look-ups are answered from.
        visibility_horizon_s=60,
        lookup_by_client_id=True,
        fills_carry_client_id=False,
        acknowledges_asynchronously=False,
        client_id_length_max=CLIENT_ID_LENGTH_MAX,
        client_id_alphabet=CLIENT_ID_ALPHABET,
        lookup_window_unfilled_s=unfilled_days * _DAY_S,
        lookup_window_filled_s=90 * _DAY_S,
        proof=proof,
    )


CAPABILITIES = Capabilities(
    venue=Venue.BINANCE,
    products=frozenset({ProductKind.SPOT, ProductKind.LINEAR}),
    order_types=frozenset(OrderType),
    time_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
    post_only=True,
    reduce_only=True,
    position_modes=frozenset(PositionMode),
    margin_modes=frozenset({MarginMode.CASH, MarginMode.CROSS, MarginMode.ISOLATED}),
    sets_leverage=True,
    cash_events=False,
    identity={
        ProductKind.SPOT: _identity(
            unfilled_days=90,
            proof="documented: newClientOrderId is 'a unique id among open orders' and may be used again once the "
            "previous order is filled; duplicate answers -2010 'Duplicate order sent.'; recvWindow is a deadline",
        ),
        ProductKind.LINEAR: _identity(
            unfilled_days=3,
            proof="documented: newClientOrderId is 'a unique id among open orders'; duplicate answers -4116; "
            "recvWindow is a deadline; cancelled orders without a fill are shown for three days",
        ),
    },
    budgets=(
        RateBudget("ip_weight_spot", 6_000, 60.0),
        RateBudget("ip_weight_linear", 2_400, 60.0),
        RateBudget("place_spot", 50, 10.0),
        RateBudget("place_linear", 300, 10.0),
        RateBudget("cancel_spot", 3_000, 60.0),
        RateBudget("cancel_linear", 1_200, 60.0),
    ),
    hosts=HOSTS,
    fee_rate_taker="0.001",
    # /fapi/v1/countdownCancelAll: one symbol at a time, futures only, and it cancels everybody's orders in it. Binance
    # names no bounds and warns of small figures; ours leave room for a slow look, and for the next watch to start.
    dead_man=DeadManSwitch(
        DeadManKind.REQUEST_TIMER,
        timeout_s_min=10,
        timeout_s_max=_DAY_S,
        is_armed_by_us=False,
        note="Binance's countdown cancels all orders in a futures symbol, other people's too, and no spot order; it is "
        "wound where the account says dead_man_may_cancel_all_orders",
        cancels_all_orders=True,
        per_instrument=True,
        contracts_only=True,
    ),
    settle_currencies=("USDT", "USDC"),
    positions_by_currency=False,
    reads_by_instrument=True,
    # Of spot only deposits and withdrawals are told, by /sapi, which production alone serves.
    cash_event_products=frozenset({ProductKind.LINEAR}),
    fills_tell_balances=True,
)


def serves_wallet(environment: Environment) -> bool:
    """Whether /sapi, Binance's API of the wallet, is there: production has it and is simulated with it, the demo
    environment and the test networks have none."""
    return environment is not Environment.TESTNET


def product_of(instrument_id: str) -> ProductKind:
    """The product that a unified symbol names, by its form alone."""
    return ProductKind.LINEAR if ":" in instrument_id else ProductKind.SPOT
