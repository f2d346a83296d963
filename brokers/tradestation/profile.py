"""TradeStation's row of facts: hosts, products, identity, budgets. Imports no HTTP library.

Sources: TradeStation WebAPI v3, OpenAPI description and the pages "Authentication", "Rate Limiting", "SIM vs LIVE".
Unproved properties take their worse value.
"""

from __future__ import annotations

import re

from brokers.capabilities import Access, Capabilities, Host, IdScope, OrderIdentity, RateBudget
from brokers.ids import Environment, Venue
from brokers.types import MarginMode, OrderType, PositionMode, ProductKind, TimeInForce

API_PREFIX = "/v3"
AUTH_BASE = "https://signin.tradestation.com"  # the same for SIM and LIVE
AUDIENCE = "https://api.tradestation.com"
SCOPES = ("openid", "offline_access", "profile", "MarketData", "ReadAccount", "Trade")
TRADE_SCOPE = "Trade"
SIM_PREFIX = "SIM"  # of the account numbers of the simulation environment, and of no others
HISTORY_DAYS_MAX = 90
QUOTES_MAX = 100  # symbols of one request
SYMBOLS_MAX = 50
PAGE_SIZE = 600
CLIENT_ID_LENGTH_MAX = 22
CLIENT_ID_ALPHABET = "[A-Za-z0-9]"
_DAY_S = 86_400

# `MESZ6` as the unified symbol, `MESZ26` as TradeStation's. `@ES` is a continuous series of data: no order can name it.
FUTURE_ID = re.compile(r"(?P<root>[A-Z0-9]{1,4})(?P<month>[FGHJKMNQUVXZ])(?P<year>[0-9])", re.ASCII)
FUTURE_SYMBOL = re.compile(r"(?P<root>[A-Z0-9]{1,4})(?P<month>[FGHJKMNQUVXZ])(?P<year>[0-9]{2})", re.ASCII)
EQUITY_SYMBOL = re.compile(r"[A-Z]{1,6}(?:[./][A-Z]{1,3})?", re.ASCII)

HOSTS = (
    Host("sim", Environment.TESTNET, "https://sim-api.tradestation.com"),
    Host("live", Environment.PRODUCTION, "https://api.tradestation.com"),
)
IDENTITY = OrderIdentity(
    id_scope=IdScope.NONE,
    deadline_s_max=0,
    visibility_horizon_s=60,
    lookup_by_client_id=False,
    fills_carry_client_id=False,
    acknowledges_asynchronously=True,
    client_id_length_max=CLIENT_ID_LENGTH_MAX,
    client_id_alphabet=CLIENT_ID_ALPHABET,
    lookup_window_unfilled_s=HISTORY_DAYS_MAX * _DAY_S,
    lookup_window_filled_s=HISTORY_DAYS_MAX * _DAY_S,
    proof=(
        "OrderConfirmID is sent and 'used to prevent duplicates', but neither its retention nor the answer to a second "
        "use is published, and no order shows it; there is no deadline on a request"
    ),
    orders_show_client_id=False,
)
CAPABILITIES = Capabilities(
    venue=Venue.TRADESTATION,
    products=frozenset({ProductKind.EQUITY, ProductKind.FUTURE}),
    order_types=frozenset(OrderType),
    time_in_force=frozenset(TimeInForce),
    post_only=False,
    reduce_only=True,
    position_modes=frozenset({PositionMode.ONE_WAY}),
    margin_modes=frozenset({MarginMode.CASH, MarginMode.CROSS}),
    sets_leverage=False,
    cash_events=False,
    identity={ProductKind.EQUITY: IDENTITY, ProductKind.FUTURE: IDENTITY},
    budgets=(
        RateBudget("accounts", 250, 300.0),
        RateBudget("orders", 250, 300.0),
        RateBudget("balances", 250, 300.0),
        RateBudget("positions", 250, 300.0),
        RateBudget("quotes", 30, 60.0),
    ),
    hosts=HOSTS,
    fee_rate_taker="0.0001",
    access=Access(needs_login=True, needs_secret=False, names_account=True),
    settle_currencies=("USD",),
    positions_by_currency=False,
    fills_are_totals=True,
)


def product_of(instrument_id: str) -> ProductKind:
    """The product that a unified symbol names, by its form alone: `MESZ6` is a future, `AAPL` an equity."""
    return ProductKind.FUTURE if FUTURE_ID.fullmatch(instrument_id) else ProductKind.EQUITY
