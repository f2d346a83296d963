"""Every endpoint: who answers it, what a key needs, what it weighs, what it reads (venues/binance.md §3, §6)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from simulators.binance import (
    algo,
    futures,
    futures_account,
    futures_positions,
    futures_settings,
    market,
    spot,
    spot_account,
    wallet,
)
from simulators.binance.filters import Row
from simulators.binance.params import Context, Params

Handler = Callable[[Context], Row | list[object]]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint. `permission` is what a key needs: None public, "read" any valid key, "trade" its product's right.

    `weight` falls to `light[1]` when the parameter `light[0]` is sent. `places` counts the order of a request that
    succeeded; such a request, and a cancel, weighs `weight_done` then.
    """

    handler: Handler
    permission: str | None = "read"
    weight: int = 1
    light: tuple[str, int] | None = None
    accepts: tuple[str, ...] = ()
    places: bool = False
    weight_done: int | None = None

    def weighs(self, params: Params) -> int:
        """Return the weight of a request."""
        if self.light is not None and params.given(self.light[0]):
            return self.light[1]
        return self.weight


_IDS = ("symbol", "orderId", "origClientOrderId")
_ALGO_IDS = ("symbol", "algoId", "clientAlgoId")
_PAGE = ("symbol", "orderId", "startTime", "endTime", "limit")
_TRADES = (*_PAGE, "fromId")
_BY_SYMBOL = ("symbol",)
_WALLET = ("startTime", "endTime", "offset", "limit")
_ALL_ALGO = ("symbol", "algoId", "startTime", "endTime", "page", "limit")
_OPEN_ALGO = ("algoType", "symbol", "algoId")

_SPOT: Mapping[tuple[str, str], Route] = {
    ("GET", "/api/v3/ping"): Route(market.ping, None),
    ("GET", "/api/v3/time"): Route(market.server_time, None),
    ("GET", "/api/v3/exchangeInfo"): Route(
        market.spot_exchange_info,
        None,
        20,
        accepts=("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus"),
    ),
    ("GET", "/api/v3/ticker/price"): Route(market.last_price, None, 4, ("symbol", 2), ("symbol", "symbols")),
    ("GET", "/api/v3/ticker/bookTicker"): Route(market.book_ticker, None, 4, ("symbol", 2), ("symbol", "symbols")),
    ("GET", "/api/v3/ticker/24hr"): Route(market.day_ticker, None, 80, ("symbol", 2), ("symbol", "symbols")),
    ("GET", "/api/v3/avgPrice"): Route(market.average_price, None, 2, accepts=_BY_SYMBOL),
    ("GET", "/api/v3/depth"): Route(market.depth, None, 5, accepts=("symbol", "limit")),
    ("GET", "/api/v3/account"): Route(spot_account.account, weight=20, accepts=("omitZeroBalances",)),
    ("GET", "/api/v3/account/commission"): Route(spot_account.commission, weight=20, accepts=_BY_SYMBOL),
    ("GET", "/api/v3/rateLimit/order"): Route(spot_account.order_counts, weight=40),
    ("POST", "/api/v3/order"): Route(spot.new_order, "trade", accepts=spot.ORDER_FIELDS, places=True, weight_done=0),
    ("POST", "/api/v3/order/test"): Route(spot.test_order, "trade", accepts=spot.ORDER_FIELDS),
    ("DELETE", "/api/v3/order"): Route(
        spot.cancel_order, "trade", accepts=(*_IDS, "newClientOrderId", "cancelRestrictions"), weight_done=0
    ),
    ("DELETE", "/api/v3/openOrders"): Route(spot.cancel_open_orders, "trade", accepts=_BY_SYMBOL, weight_done=0),
    ("GET", "/api/v3/order"): Route(spot.get_order, weight=4, accepts=_IDS),
    ("GET", "/api/v3/openOrders"): Route(spot.get_open_orders, "read", 80, ("symbol", 6), _BY_SYMBOL),
    ("GET", "/api/v3/allOrders"): Route(spot.get_all_orders, weight=20, accepts=_PAGE),
    ("GET", "/api/v3/myTrades"): Route(spot.my_trades, "read", 20, ("orderId", 5), _TRADES),
    ("GET", "/sapi/v1/system/status"): Route(wallet.system_status, None),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(wallet.api_restrictions),
    ("GET", "/sapi/v1/capital/deposit/hisrec"): Route(wallet.deposits, accepts=_WALLET),
    ("GET", "/sapi/v1/capital/withdraw/history"): Route(wallet.withdrawals, accepts=_WALLET),
    ("GET", "/sapi/v1/capital/config/getall"): Route(wallet.coins, weight=10),
    ("GET", "/sapi/v1/margin/allPairs"): Route(wallet.no_pairs, None),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(wallet.no_pairs, None),
    ("GET", "/dapi/v1/exchangeInfo"): Route(wallet.no_contracts, None),
}

_FUTURES: Mapping[tuple[str, str], Route] = {
    ("GET", "/fapi/v1/ping"): Route(market.ping, None),
    ("GET", "/fapi/v1/time"): Route(market.server_time, None),
    ("GET", "/fapi/v1/exchangeInfo"): Route(market.futures_exchange_info, None),
    ("GET", "/fapi/v1/ticker/price"): Route(market.last_price, None, 2, ("symbol", 1), _BY_SYMBOL),
    ("GET", "/fapi/v2/ticker/price"): Route(market.last_price, None, 2, ("symbol", 1), _BY_SYMBOL),
    ("GET", "/fapi/v1/ticker/bookTicker"): Route(market.book_ticker, None, 5, ("symbol", 2), _BY_SYMBOL),
    ("GET", "/fapi/v1/ticker/24hr"): Route(market.day_ticker, None, 40, ("symbol", 1), _BY_SYMBOL),
    ("GET", "/fapi/v1/premiumIndex"): Route(market.premium_index, None, 10, ("symbol", 1), _BY_SYMBOL),
    ("GET", "/fapi/v1/fundingInfo"): Route(market.funding_info, None, 0),
    ("GET", "/fapi/v1/depth"): Route(market.depth, None, 10, accepts=("symbol", "limit")),
    ("GET", "/fapi/v2/account"): Route(futures_account.account_v2, weight=5),
    ("GET", "/fapi/v3/account"): Route(futures_account.account_v3, weight=5),
    ("GET", "/fapi/v2/balance"): Route(futures_account.balance, weight=5),
    ("GET", "/fapi/v3/balance"): Route(futures_account.balance, weight=5),
    ("GET", "/fapi/v1/positionRisk"): Route(futures_positions.position_risk_v2, weight=5, accepts=_BY_SYMBOL),
    ("GET", "/fapi/v2/positionRisk"): Route(futures_positions.position_risk_v2, weight=5, accepts=_BY_SYMBOL),
    ("GET", "/fapi/v3/positionRisk"): Route(futures_positions.position_risk_v3, weight=5, accepts=_BY_SYMBOL),
    ("GET", "/fapi/v1/symbolConfig"): Route(futures_settings.symbol_config, weight=5, accepts=_BY_SYMBOL),
    ("GET", "/fapi/v1/accountConfig"): Route(futures_settings.account_config, weight=5),
    ("GET", "/fapi/v1/leverageBracket"): Route(futures_settings.leverage_bracket, accepts=_BY_SYMBOL),
    ("GET", "/fapi/v1/commissionRate"): Route(futures_settings.commission_rate, weight=20, accepts=_BY_SYMBOL),
    ("GET", "/fapi/v1/rateLimit/order"): Route(spot_account.order_counts),
    ("GET", "/fapi/v1/income"): Route(
        futures_account.income,
        weight=30,
        accepts=("symbol", "incomeType", "startTime", "endTime", "page", "limit"),
    ),
    ("POST", "/fapi/v1/leverage"): Route(futures_settings.set_leverage, "trade", accepts=("symbol", "leverage")),
    ("POST", "/fapi/v1/marginType"): Route(futures_settings.set_margin_type, "trade", accepts=("symbol", "marginType")),
    ("GET", "/fapi/v1/positionSide/dual"): Route(futures_settings.position_mode, weight=30),
    ("POST", "/fapi/v1/positionSide/dual"): Route(
        futures_settings.set_position_mode, "trade", accepts=("dualSidePosition",)
    ),
    ("GET", "/fapi/v1/feeBurn"): Route(futures_settings.bnb_fees, weight=30),
    ("POST", "/fapi/v1/feeBurn"): Route(futures_settings.set_bnb_fees, "trade", accepts=("feeBurn",)),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(futures_settings.multi_assets_mode, weight=30),
    ("POST", "/fapi/v1/multiAssetsMargin"): Route(
        futures_settings.set_multi_assets_mode, "trade", accepts=("multiAssetsMargin",)
    ),
    ("POST", "/fapi/v1/order"): Route(futures.new_order, "trade", 0, accepts=futures.ORDER_FIELDS, places=True),
    ("POST", "/fapi/v1/order/test"): Route(futures.test_order, "trade", 0, accepts=futures.ORDER_FIELDS),
    ("PUT", "/fapi/v1/order"): Route(futures.modify_order, "trade", 0, accepts=futures.MODIFY_FIELDS, places=True),
    ("DELETE", "/fapi/v1/order"): Route(futures.cancel_order, "trade", accepts=_IDS),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(futures.cancel_open_orders, "trade", accepts=_BY_SYMBOL),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(
        futures_settings.count_down, "trade", 10, accepts=("symbol", "countdownTime")
    ),
    ("GET", "/fapi/v1/order"): Route(futures.get_order, accepts=_IDS),
    ("GET", "/fapi/v1/openOrder"): Route(futures.get_open_order, accepts=_IDS),
    ("GET", "/fapi/v1/openOrders"): Route(futures.get_open_orders, "read", 40, ("symbol", 1), _BY_SYMBOL),
    ("GET", "/fapi/v1/allOrders"): Route(futures.get_all_orders, weight=5, accepts=_PAGE),
    ("GET", "/fapi/v1/userTrades"): Route(futures.user_trades, weight=5, accepts=_TRADES),
    ("POST", "/fapi/v1/algoOrder"): Route(algo.new_order, "trade", 0, accepts=algo.ORDER_FIELDS, places=True),
    ("DELETE", "/fapi/v1/algoOrder"): Route(algo.cancel_order, "trade", accepts=_ALGO_IDS),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(algo.cancel_open_orders, "trade", accepts=_BY_SYMBOL),
    ("GET", "/fapi/v1/algoOrder"): Route(algo.get_order, accepts=_ALGO_IDS),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(algo.get_open_orders, "read", 40, ("symbol", 1), _OPEN_ALGO),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(algo.get_all_orders, weight=5, accepts=_ALL_ALGO),
}

ROUTES: Mapping[tuple[str, str], Route] = {**_SPOT, **_FUTURES}
