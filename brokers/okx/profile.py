"""OKX's row of facts: hosts, products, identity, budgets. Imports no HTTP library.

Sources: OKX V5 documentation, pages "Overview", "Place order", "Get order", "Order history", "Transaction details",
"Get bills details", "Cancel All After", "Place algo order", "Algo order history". Unproved properties take their worse
value.
"""

from __future__ import annotations

from brokers.capabilities import (
    Access,
    Capabilities,
    DeadManKind,
    DeadManSwitch,
    Host,
    IdScope,
    OrderIdentity,
    RateBudget,
)
from brokers.ids import Environment, Venue
from brokers.types import MarginMode, OrderType, PositionMode, ProductKind, TimeInForce

API_PREFIX = "/api/v5"
DEADLINE_S_MAX = 5
CLIENT_ID_LENGTH_MAX = 32
CLIENT_ID_ALPHABET = "[A-Za-z0-9]"
ORDER_TAG = "algotrendy"  # of every order of ours: at most 16 letters and digits; the dead-man switch goes by it
PAGE_SIZE = 100  # rows of one answer of every list
_DAY_S = 86_400
_UNFILLED_S = 2 * 3_600

# Demo trading has the hosts of production: a header of each request tells them apart, and a key belongs to one of them.
DEMO_HEADER = "x-simulated-trading"
DEMO_FLAG = {Environment.PRODUCTION: "0", Environment.TESTNET: "1", Environment.SIMULATED: "1"}
_SITES = (
    ("global", "https://openapi.okx.com"),
    ("www", "https://www.okx.com"),
    ("us", "https://us.okx.com"),
    ("eea", "https://eea.okx.com"),
    ("tr", "https://tr.okx.com"),
)
HOSTS = (
    *(Host(f"demo-{name}", Environment.TESTNET, url) for name, url in _SITES),
    *(Host(name, Environment.PRODUCTION, url) for name, url in _SITES),
)

IDENTITY = OrderIdentity(
    id_scope=IdScope.OPEN_ONLY,
    deadline_s_max=DEADLINE_S_MAX,
    visibility_horizon_s=60,
    lookup_by_client_id=True,
    fills_carry_client_id=True,
    acknowledges_asynchronously=True,
    client_id_length_max=CLIENT_ID_LENGTH_MAX,
    client_id_alphabet=CLIENT_ID_ALPHABET,
    lookup_window_unfilled_s=_UNFILLED_S,
    lookup_window_filled_s=7 * _DAY_S,
    proof=(
        "documented: clOrdId must differ from those of pending orders only and may be used again after the end of an "
        "order; a duplicate answers 51016; a request past its expTime is not processed (50036, 50037); orders that "
        "were cancelled unfilled are shown for two hours. Stop orders: a duplicate algoClOrdId answers 51065 or 51068, "
        "among which orders is not said, so the worse holds; expTime is not offered, but a request dated more than "
        "thirty seconds before it arrives is refused (50102), and theirs are dated thirty seconds before the deadline"
    ),
)
CAPABILITIES = Capabilities(
    venue=Venue.OKX,
    products=frozenset({ProductKind.SPOT, ProductKind.LINEAR}),
    order_types=frozenset(OrderType),
    time_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
    post_only=True,
    reduce_only=True,
    position_modes=frozenset(PositionMode),
    margin_modes=frozenset({MarginMode.CASH, MarginMode.CROSS, MarginMode.PORTFOLIO}),
    sets_leverage=True,
    cash_events=True,
    identity={ProductKind.SPOT: IDENTITY, ProductKind.LINEAR: IDENTITY},
    budgets=(
        RateBudget("place", 60, 2.0),
        RateBudget("cancel", 60, 2.0),
        RateBudget("orders", 60, 2.0),
        RateBudget("place_stop", 20, 2.0),
        RateBudget("cancel_stop", 20, 2.0),
        RateBudget("stops", 20, 2.0),
        RateBudget("stop_history", 20, 2.0),
        RateBudget("order_history", 40, 2.0),
        RateBudget("order_archive", 20, 2.0),
        RateBudget("fills", 60, 2.0),
        RateBudget("fills_archive", 10, 2.0),
        RateBudget("bills", 5, 1.0),
        RateBudget("bills_archive", 5, 2.0),
        RateBudget("balances", 10, 2.0),
        RateBudget("positions", 10, 2.0),
        RateBudget("account_config", 5, 2.0),
        RateBudget("leverage", 20, 2.0),
        RateBudget("position_mode", 5, 2.0),
        RateBudget("market_data", 20, 2.0),
    ),
    hosts=HOSTS,
    fee_rate_taker="0.001",
    # A timer of ours alone starts it, and with a tag it cancels the orders with that tag only: other people's stay.
    dead_man=DeadManSwitch(
        DeadManKind.REQUEST_TIMER,
        timeout_s_min=10,
        timeout_s_max=120,
        is_armed_by_us=True,
        note=f"Cancel All After for the order tag {ORDER_TAG!r}: orders of other hands are left alone. That it cancels "
        "stop orders which wait is not documented: count on it that they stay",
    ),
    access=Access(needs_passphrase=True),
    settle_currencies=("USDT", "USDC"),
    positions_by_currency=False,
)
