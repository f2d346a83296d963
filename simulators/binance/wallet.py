"""/sapi/v1 of the wallet, and what clients ask of products that this venue has not: margin and COIN-M, both empty."""

from simulators.binance.filters import Row
from simulators.binance.formats import fixed
from simulators.binance.params import Context
from simulators.core.money import ZERO

Rows = list[object]


def api_restrictions(context: Context) -> Row:
    """GET /sapi/v1/account/apiRestrictions: what the caller's key may do; only live has it."""
    key = context.key
    assert key is not None, "a signed endpoint has a key"
    writes = not key.read_only
    return {
        "ipRestrict": bool(key.ips),
        "createTime": 1704067200000,
        "enableReading": True,
        "enableWithdrawals": writes and "withdraw" in key.permissions,
        "enableInternalTransfer": writes and "withdraw" in key.permissions,
        "enableMargin": False,
        "enableFutures": writes and "derivatives" in key.permissions,
        "permitsUniversalTransfer": writes and "wallet" in key.permissions,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": True,
        "enableSpotAndMarginTrading": writes and "spot" in key.permissions,
        "enablePortfolioMarginTrading": False,
    }


def system_status(context: Context) -> Row:
    """GET /sapi/v1/system/status."""
    return {"status": 0, "msg": "normal"}


def coins(context: Context) -> Rows:
    """GET /sapi/v1/capital/config/getall: the listed coins, none of which can be moved in or out."""
    listed = sorted({coin for instrument in context.instruments for coin in (instrument.base, instrument.quote)})
    return [_coin_row(context, coin) for coin in listed]


def _coin_row(context: Context, coin: str) -> Row:
    state = context.venue.margin.state(context.me, coin, view_ms=context.view_ms(context.venue.lags.wallet_ms))
    nothing = dict.fromkeys(("freeze", "ipoable", "ipoing", "storage", "withdrawing"), fixed(ZERO))
    return nothing | {
        "coin": coin,
        "name": coin,
        "free": fixed(state.wallet - state.locked),
        "locked": fixed(state.locked),
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


def no_pairs(context: Context) -> Rows:
    """GET /sapi/v1/margin/allPairs and isolated/allPairs: there is no margin trading."""
    return []


def no_contracts(context: Context) -> Row:
    """GET /dapi/v1/exchangeInfo: there are no COIN-M futures."""
    return {
        "timezone": "UTC",
        "serverTime": context.venue.clock.gateway_ms(),
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }
