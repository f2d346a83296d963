"""Bodies as Binance's documentation and its API show them, and builders for the rows that tests change.

Live answers are those that ccxt keeps for its own tests (`ts/src/test/static/response/binance.json`), with numbers as
they are on the wire; the others are the examples of Binance's own documents.
"""

from __future__ import annotations

from typing import Any

# -- live: ccxt's recordings ------------------------------------------------------------------------------------
SPOT_ACCOUNT: dict[str, Any] = {
    "makerCommission": 10,
    "takerCommission": 10,
    "commissionRates": {"maker": "0.00100000", "taker": "0.00100000", "buyer": "0.00000000", "seller": "0.00000000"},
    "canTrade": True,
    "canWithdraw": True,
    "canDeposit": True,
    "brokered": False,
    "updateTime": 1701856395927,
    "accountType": "SPOT",
    "balances": [{"asset": "LTC", "free": "0.91974100", "locked": "0.00000000"}],
    "permissions": ["SPOT"],
    "uid": 365859102,
}
SPOT_PLACED: dict[str, Any] = {
    "symbol": "SOLUSDT",
    "orderId": 9780331417,
    "orderListId": -1,
    "clientOrderId": "x-R4BD3S824d31be3228a348eaa0a303",
    "transactTime": 1737635557417,
    "price": "241.00000000",
    "origQty": "0.05000000",
    "executedQty": "0.00000000",
    "origQuoteOrderQty": "0.00000000",
    "cummulativeQuoteQty": "0.00000000",
    "status": "NEW",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "workingTime": 1737635557417,
    "fills": [],
    "selfTradePreventionMode": "EXPIRE_MAKER",
}
SPOT_CANCELLED: dict[str, Any] = {
    "symbol": "LTCUSDT",
    "orderId": 3854801792,
    "orderListId": -1,
    "clientOrderId": "x-R4BD3S82d1481ae59ba59326d82c8a",
    "price": "50.00000000",
    "origQty": "0.10000000",
    "executedQty": "0.00000000",
    "cummulativeQuoteQty": "0.00000000",
    "status": "CANCELED",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "side": "BUY",
    "stopPrice": "0.00000000",
    "icebergQty": "0.00000000",
    "time": 1701856395927,
    "updateTime": 1706883268013,
    "isWorking": True,
    "workingTime": 1701856395927,
    "origQuoteOrderQty": "0.00000000",
    "selfTradePreventionMode": "EXPIRE_MAKER",
}
SPOT_TRADE: dict[str, Any] = {
    "symbol": "LTCUSDT",
    "id": 309520010,
    "orderId": 3784695242,
    "orderListId": -1,
    "price": "69.63000000",
    "qty": "0.20000000",
    "quoteQty": "13.92600000",
    "commission": "0.01392600",
    "commissionAsset": "USDT",
    "time": 1698138992358,
    "isBuyer": False,
    "isMaker": False,
    "isBestMatch": True,
}
FUTURES_PLACED: dict[str, Any] = {
    "orderId": 4087922044,
    "symbol": "BTCUSDT",
    "status": "NEW",
    "clientOrderId": "x-xcKtGhcu04075babaeb34c55af79ba",
    "price": "110001.00",
    "avgPrice": "0.00",
    "origQty": "0.200",
    "executedQty": "0.000",
    "cumQty": "0.000",
    "cumQuote": "0.00000",
    "timeInForce": "GTC",
    "type": "LIMIT",
    "reduceOnly": False,
    "closePosition": False,
    "side": "SELL",
    "positionSide": "BOTH",
    "stopPrice": "0.00",
    "workingType": "CONTRACT_PRICE",
    "priceProtect": False,
    "origType": "LIMIT",
    "priceMatch": "NONE",
    "selfTradePreventionMode": "NONE",
    "goodTillDate": 0,
    "updateTime": 1739781831932,
}
FUTURES_POSITION: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "positionSide": "BOTH",
    "positionAmt": "0.009",
    "entryPrice": "67445.9",
    "breakEvenPrice": "67479.62295",
    "markPrice": "67502.68519858",
    "unRealizedProfit": "0.51106678",
    "liquidationPrice": "64846.98753790",
    "isolatedMargin": "0",
    "notional": "607.52416678",
    "marginAsset": "USDT",
    "isolatedWallet": "0",
    "initialMargin": "7.59405208",
    "maintMargin": "2.43009666",
    "positionInitialMargin": "7.59405208",
    "openOrderInitialMargin": "0",
    "adl": 2,
    "bidNotional": "0",
    "askNotional": "0",
    "updateTime": 1722161166529,
}
# The third version of the account with several margin assets; the flag is of the second.
FUTURES_SHARED: dict[str, Any] = {
    "canTrade": True,
    "canWithdraw": True,
    "multiAssetsMargin": True,
    "totalInitialMargin": "7.59482199",
    "totalMaintMargin": "2.43034303",
    "totalWalletBalance": "25.72610060",
    "totalUnrealizedProfit": "0.54230362",
    "totalMarginBalance": "26.26840422",
    "availableBalance": "18.65949928",
    "maxWithdrawAmount": "18.65949928",
    "assets": [
        {
            "asset": "FDUSD",
            "walletBalance": "0.00000000",
            "marginBalance": "0.00000000",
            "initialMargin": "0.00000000",
            "availableBalance": "18.46663722",
        },
        {
            "asset": "USDT",
            "walletBalance": "3.72964781",
            "unrealizedProfit": "0.54238506",
            "marginBalance": "4.27203287",
            "maintMargin": "2.43022194",
            "initialMargin": "7.59444356",
            "crossWalletBalance": "3.72964781",
            "availableBalance": "18.65856952",
        },
    ],
    "positions": [],
}
FUTURES_TRADE: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "id": 272536245,
    "orderId": 3524852987,
    "side": "BUY",
    "price": "36567.10",
    "qty": "0.010",
    "realizedPnl": "0",
    "quoteQty": "365.67100",
    "commission": "0.14626840",
    "commissionAsset": "USDT",
    "time": 1699972836419,
    "positionSide": "BOTH",
    "maker": False,
    "buyer": True,
}

# -- examples of Binance's documents ----------------------------------------------------------------------------
SPOT_SYMBOL: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "status": "TRADING",
    "baseAsset": "BTC",
    "baseAssetPrecision": 8,
    "quoteAsset": "USDT",
    "quotePrecision": 8,
    "orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"],
    "isSpotTradingAllowed": True,
    "filters": [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01000000",
            "maxPrice": "1000000.00000000",
            "tickSize": "0.01000000",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00001000", "maxQty": "9000.00000000", "stepSize": "0.00001000"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.00000000", "maxQty": "120.50000000", "stepSize": "0.00000000"},
        {"filterType": "NOTIONAL", "minNotional": "5.00000000", "applyMinToMarket": True, "maxNotional": "9000000.0"},
    ],
}
FUTURES_SYMBOL: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "pair": "BTCUSDT",
    "contractType": "PERPETUAL",
    "deliveryDate": 4133404800000,
    "status": "TRADING",
    "baseAsset": "BTC",
    "quoteAsset": "USDT",
    "marginAsset": "USDT",
    "pricePrecision": 2,
    "quantityPrecision": 3,
    "filters": [
        {"filterType": "PRICE_FILTER", "minPrice": "556.80", "maxPrice": "4529764", "tickSize": "0.10"},
        {"filterType": "LOT_SIZE", "minQty": "0.001", "maxQty": "1000", "stepSize": "0.001"},
        {"filterType": "MARKET_LOT_SIZE", "minQty": "0.001", "maxQty": "120", "stepSize": "0.001"},
        {"filterType": "MIN_NOTIONAL", "notional": "100"},
    ],
}
FUTURES_ACCOUNT: dict[str, Any] = {
    "feeTier": 0,
    "canTrade": True,
    "canDeposit": True,
    "canWithdraw": True,
    "updateTime": 0,
    "multiAssetsMargin": False,
    "tradeGroupId": -1,
    "totalInitialMargin": "3.00000000",
    "totalMaintMargin": "0.50000000",
    "totalWalletBalance": "23.72469206",
    "totalUnrealizedProfit": "0.00000000",
    "totalMarginBalance": "25.00000000",
    "availableBalance": "20.72469206",
    "assets": [
        {
            "asset": "USDT",
            "walletBalance": "23.72469206",
            "marginBalance": "25.00000000",
            "initialMargin": "3.00000000",
            "availableBalance": "20.72469206",
        },
        {
            "asset": "BNB",
            "walletBalance": "0.00000000",
            "initialMargin": "0.00000000",
            "availableBalance": "0.00000000",
        },
    ],
    "positions": [],
}
FUTURES_BALANCE: dict[str, Any] = {
    "accountAlias": "SgsR",
    "asset": "USDT",
    "balance": "122.12345678",
    "availableBalance": "122.12345678",
    "crossUnPnl": "0.00000000",
    "updateTime": 1617939110373,
}
SYMBOL_CONFIG: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "marginType": "CROSSED",
    "isAutoAddMargin": False,
    "leverage": 21,
    "maxNotionalValue": "1000000",
}
TRANSFER_INCOME: dict[str, Any] = {
    "symbol": "",
    "incomeType": "TRANSFER",
    "income": "-0.37500000",
    "asset": "USDT",
    "info": "TRANSFER",
    "time": 1570608000000,
    "tranId": 9689322392,
    "tradeId": "",
}
COMMISSION_INCOME: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "incomeType": "COMMISSION",
    "income": "-0.01000000",
    "asset": "USDT",
    "info": "COMMISSION",
    "time": 1570636800000,
    "tranId": 9689322392,
    "tradeId": "2059192",
}


ALGO_ORDER: dict[str, Any] = {
    "algoId": 2148627,
    "clientAlgoId": "MRumok0dkhrP4kCm12AHaB",
    "algoType": "CONDITIONAL",
    "orderType": "TAKE_PROFIT",
    "symbol": "BNBUSDT",
    "side": "SELL",
    "positionSide": "BOTH",
    "timeInForce": "GTC",
    "quantity": "0.01",
    "algoStatus": "NEW",
    "actualOrderId": "",
    "actualPrice": "0.00000",
    "triggerPrice": "750.000",
    "price": "750.000",
    "icebergQuantity": None,
    "selfTradePreventionMode": "EXPIRE_MAKER",
    "workingType": "CONTRACT_PRICE",
    "priceMatch": "NONE",
    "closePosition": False,
    "priceProtect": False,
    "reduceOnly": False,
    "createTime": 1750514941540,
    "updateTime": 1750514941540,
    "triggerTime": 0,
    "goodTillDate": 0,
}


def spot_order(**changes: Any) -> dict[str, Any]:
    """A query's answer about a working spot order in BTCUSDT."""
    return {**SPOT_CANCELLED, "symbol": "BTCUSDT", "orderId": 28, "clientOrderId": "at-1", "status": "NEW", **changes}


def futures_order(**changes: Any) -> dict[str, Any]:
    """A query's answer about a working futures order in BTCUSDT."""
    return {**FUTURES_PLACED, "orderId": 28, "clientOrderId": "at-1", "time": 1739781831932, **changes}
