"""Alpaca's row of facts: hosts, products, identity, budgets. Imports no SDK.

Sources: Alpaca documentation, pages "Working with /orders", "Crypto Spot Trading", "Fractional Trading", "Usage
Limits", "Market Data FAQ". Unproved properties take their worse value.
"""

from __future__ import annotations

from brokers.capabilities import Capabilities, Host, IdScope, OrderIdentity, RateBudget
from brokers.ids import Environment, Venue
from brokers.types import MarginMode, OrderType, PositionMode, ProductKind, TimeInForce

DATA = "data"  # the name of the second origin: market data has a host of its own, the same for paper and live keys
CURRENCY = "USD"  # what an account is kept in
CLIENT_ID_LENGTH_MAX = 48  # the older of the two published limits; the newer one is 128
CLIENT_ID_ALPHABET = "[A-Za-z0-9_-]"
ORDERS_PAGE = 500
ACTIVITIES_PAGE = 100
ASSETS_BYTES_MAX = 32_000_000  # the list of all shares has some 12,000 rows
PAPER_KEY, LIVE_KEY = "PK", "AK"  # what keys begin with
PAPER_ACCOUNT = "PA"  # what the account numbers of the paper environment begin with
_YEARS_S = 7 * 365 * 86_400

HOSTS = (
    Host("paper", Environment.TESTNET, "https://paper-api.alpaca.markets", {DATA: "https://data.alpaca.markets"}),
    Host("live", Environment.PRODUCTION, "https://api.alpaca.markets", {DATA: "https://data.alpaca.markets"}),
)
IDENTITY = OrderIdentity(
    id_scope=IdScope.PERMANENT,
    deadline_s_max=0,
    visibility_horizon_s=60,
    lookup_by_client_id=True,
    fills_carry_client_id=False,
    acknowledges_asynchronously=True,
    client_id_length_max=CLIENT_ID_LENGTH_MAX,
    client_id_alphabet=CLIENT_ID_ALPHABET,
    lookup_window_unfilled_s=_YEARS_S,
    lookup_window_filled_s=_YEARS_S,
    proof=(
        "client_order_id is unique in an account for ever, also over orders that are over: a second use answers 422 "
        "'client_order_id must be unique'; one request finds an order by it in whatever state; there is no deadline"
    ),
)
CAPABILITIES = Capabilities(
    venue=Venue.ALPACA,
    products=frozenset({ProductKind.EQUITY, ProductKind.SPOT}),
    order_types=frozenset(OrderType),
    time_in_force=frozenset(TimeInForce) - {TimeInForce.GTC_EXTENDED},  # documented for day orders alone
    post_only=False,
    reduce_only=True,  # of shares: checked against the position as it is read; the venue has no such order
    position_modes=frozenset({PositionMode.ONE_WAY}),
    margin_modes=frozenset({MarginMode.CASH, MarginMode.CROSS}),
    sets_leverage=False,
    cash_events=True,
    identity={ProductKind.EQUITY: IDENTITY, ProductKind.SPOT: IDENTITY},
    # One pool serves orders, cancels and every look at them: half of it for either, so that looks are left.
    budgets=(
        RateBudget("trading", 200, 60.0),
        RateBudget("place", 100, 60.0),
        RateBudget("cancel", 100, 60.0),
        RateBudget("data", 200, 60.0),
    ),
    hosts=HOSTS,
    fee_rate_taker="0.0025",  # of crypto, its dearest tier
    fee_rates_taker={ProductKind.EQUITY: "0.0001"},  # no commission; what regulators take of sales is below this
    settle_currencies=(CURRENCY,),
    balance_step="0.01",  # an account's dollars are told in cents; coins and trades exactly
    rounded_currencies=(CURRENCY,),
    fills_carry_fees=False,
    positions_by_currency=False,
)


def product_of(instrument_id: str) -> ProductKind:
    """The product that a unified symbol names, by its form alone: `BTC/USD` is a crypto pair, `AAPL` a share."""
    return ProductKind.SPOT if "/" in instrument_id else ProductKind.EQUITY
