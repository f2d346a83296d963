"""/sapi/v1 of the wallet, and what clients ask of products that this venue has not: margin and COIN-M, both empty."""

from datetime import UTC, datetime

from simulators.binance.filters import Row
from simulators.binance.finding import window
from simulators.binance.formats import fixed
from simulators.binance.house import is_futures
from simulators.binance.params import DAY_MS, Context
from simulators.core.money import ZERO
from simulators.core.types import Entry, EntryKind

Rows = list[object]
WALLET_WINDOW_MS = 90 * DAY_MS


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


def deposits(context: Context) -> Rows:
    """GET /sapi/v1/capital/deposit/hisrec: what came into the spot wallet, latest first."""
    return [
        {
            "id": entry.entry_id,
            "amount": fixed(entry.change),
            "coin": entry.coin,
            "network": "ETH",
            "status": 1,
            "address": "0x788cabe9236ce061e5a892e1a59395a81fc8d62c",
            "addressTag": "",
            "txId": f"0x{entry.entry_id}",
            "insertTime": entry.time_ms,
            "completeTime": entry.time_ms,
            "transferType": 0,
            "confirmTimes": "12/12",
            "unlockConfirm": 12,
            "walletType": 0,
        }
        for entry in _moved(context, EntryKind.DEPOSIT)
    ]


def withdrawals(context: Context) -> Rows:
    """GET /sapi/v1/capital/withdraw/history: what left the spot wallet, latest first; sending costs nothing here."""
    return [
        {
            "id": entry.entry_id,
            "amount": fixed(-entry.change),
            "transactionFee": "0",
            "coin": entry.coin,
            "status": 6,
            "address": "0x94df8b352de7f46f64b01d3666bf6e936e44ce60",
            "txId": f"0x{entry.entry_id}",
            "applyTime": _written(entry.time_ms),
            "network": "ETH",
            "transferType": 0,
            "info": "",
            "confirmNo": 12,
            "walletType": 0,
            "txKey": "",
            "completeTime": _written(entry.time_ms),
        }
        for entry in _moved(context, EntryKind.WITHDRAWAL)
    ]


def _moved(context: Context, kind: EntryKind) -> list[Entry]:
    params, now = context.params, context.venue.now_ms()
    span = window(context, WALLET_WINDOW_MS) or (now - WALLET_WINDOW_MS, now)
    view = context.view_ms(context.venue.lags.entries_ms)
    until = span[1] if view is None else min(span[1], view)
    found = [
        entry
        for entry in reversed(context.me.entries)
        if entry.kind is kind and not is_futures(entry.coin) and span[0] <= entry.time_ms <= until
    ]
    offset, limit = params.integer("offset") or 0, params.limit(1000, 1000)
    return found[offset : offset + limit]


def _written(time_ms: int) -> str:
    """Return a time as the list of withdrawals prints it: whole seconds, in UTC, without a zone."""
    return datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")


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
