"""Bybit's row of facts: hosts, products, identity, budgets. Imports no SDK.

Sources: Bybit V5 documentation, pages "Integration Guidance", "Place Order", "Get Open & Closed Orders",
"Get Order History", "Rate Limit", "Demo Trading Service". Unproved properties take their worse value.
"""

from __future__ import annotations

from brokers.capabilities import Capabilities, DeadManKind, DeadManSwitch, Host, IdScope, OrderIdentity, RateBudget
from brokers.ids import Environment, Venue
from brokers.types import MarginMode, OrderType, PositionMode, ProductKind, TimeInForce

RECV_WINDOW_MS_MAX = 5_000
CLIENT_ID_LENGTH_MAX = 36
CLIENT_ID_ALPHABET = "[A-Za-z0-9_-]"
_DAY_S = 86_400

PRIVATE_STREAM = "private_stream"  # the other origin

# Name, REST, and the private websocket where its host is documented (V5 "Connect", "System Status", "Demo Trading").
_PRODUCTION = (
    ("production", "https://api.bybit.com", "https://stream.bybit.com"),
    ("bytick", "https://api.bytick.com", ""),
    ("nl", "https://api.bybit.nl", ""),
    ("kz", "https://api.bybit.kz", "https://stream.bybit.kz"),
    ("ae", "https://api.bybit.ae", ""),
    ("eu", "https://api.bybit.eu", "https://stream.bybit.eu"),
    ("id", "https://api.bybit.id", "https://stream.bybit.id"),
    ("tr", "https://api.bybit.tr", "https://stream.bybit.tr"),
    ("ge", "https://api.bybitgeorgia.ge", "https://stream.bybitgeorgia.ge"),
    ("jp", "https://api.manepa.jp", "https://stream.manepa.jp"),
)


def _stream(url: str) -> dict[str, str]:
    return {PRIVATE_STREAM: url} if url else {}


HOSTS = (
    Host("testnet", Environment.TESTNET, "https://api-testnet.bybit.com", _stream("https://stream-testnet.bybit.com")),
    Host("demo", Environment.TESTNET, "https://api-demo.bybit.com", _stream("https://stream-demo.bybit.com")),
    *(Host(name, Environment.PRODUCTION, url, _stream(stream)) for name, url, stream in _PRODUCTION),
)


def _identity(scope: IdScope, proof: str) -> OrderIdentity:
    return OrderIdentity(
        id_scope=scope,
        deadline_s_max=RECV_WINDOW_MS_MAX // 1000,
        visibility_horizon_s=60,
        lookup_by_client_id=True,
        fills_carry_client_id=True,
        acknowledges_asynchronously=True,
        client_id_length_max=CLIENT_ID_LENGTH_MAX,
        client_id_alphabet=CLIENT_ID_ALPHABET,
        lookup_window_unfilled_s=_DAY_S,
        lookup_window_filled_s=7 * _DAY_S,  # two years on production and testnet, seven days on demo
        proof=proof,
    )


CAPABILITIES = Capabilities(
    venue=Venue.BYBIT,
    products=frozenset({ProductKind.SPOT, ProductKind.LINEAR}),
    order_types=frozenset(OrderType),
    time_in_force=frozenset({TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
    post_only=True,
    reduce_only=True,
    position_modes=frozenset(PositionMode),
    margin_modes=frozenset({MarginMode.CROSS, MarginMode.ISOLATED, MarginMode.PORTFOLIO}),
    sets_leverage=True,
    cash_events=True,
    identity={
        ProductKind.LINEAR: _identity(
            IdScope.PERMANENT,
            "documented: orderLinkId of perpetuals and futures is 'always unique'; duplicate answers 110072",
        ),
        ProductKind.SPOT: _identity(
            IdScope.OPEN_ONLY,
            "duplicate answers 170141; no retention of ids is published for spot, so the worse value is taken",
        ),
    },
    budgets=(
        RateBudget("ip", 600, 5.0),
        RateBudget("place_linear", 10, 1.0),
        RateBudget("place_spot", 20, 1.0),
        RateBudget("cancel_linear", 10, 1.0),
        RateBudget("cancel_spot", 20, 1.0),
        RateBudget("read", 50, 1.0),
        RateBudget("transaction_log", 25, 1.0),
        RateBudget("settings", 10, 1.0),
    ),
    hosts=HOSTS,
    fee_rate_taker="0.001",
    # https://bybit-exchange.github.io/docs/v5/order/dcp and /v5/websocket/private/dcp: the time is set over REST (3 to
    # 300 s), and it acts when the last private websocket that subscribed `dcp` is lost; Bybit's client manager switches
    # it on, for institutional clients only, and it cancels ALL orders of the product, other people's too. Ten seconds
    # and more leave room to connect again, and for the next watch to start.
    dead_man=DeadManSwitch(
        DeadManKind.STREAM_LOSS,
        timeout_s_min=10,
        timeout_s_max=300,
        is_armed_by_us=False,
        note="Bybit's DCP cancels all orders of the account, other people's too, when a private websocket is lost, and "
        "Bybit switches it on for institutional clients only; the websocket is kept where the account says "
        "dead_man_may_cancel_all_orders",
        cancels_all_orders=True,
    ),
)
