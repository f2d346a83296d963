"""/v5/account, /v5/user and /v5/asset: balances, transaction log, fees, the key's own facts."""

from datetime import UTC, datetime
from decimal import Decimal

from simulators.bybit.errors import BybitError, bad_request
from simulators.bybit.paging import page
from simulators.bybit.params import DAY_MS, Context
from simulators.bybit.render import ENTRIES, Row, entry_row
from simulators.core.accounts import Account, newest_first
from simulators.core.margin import MarginState
from simulators.core.money import ONE, ZERO, plain
from simulators.core.types import ApiKey, Entry, MarketKind
from simulators.core.venue import Venue

USD_COINS = frozenset({"USD", "USDT", "USDC"})


def query_api(context: Context) -> Row:
    """GET /v5/user/query-api: what the caller's key may do."""
    key, account = context.key, context.me
    assert key is not None
    derivatives, spot = "derivatives" in key.permissions, "spot" in key.permissions
    expires = key.expires_ms if key.expires_ms is not None else context.venue.clock.gateway_ms() + 90 * DAY_MS
    left = max(0, expires - context.venue.clock.gateway_ms()) // DAY_MS
    return {
        "id": str(account.uid)[-7:],
        "note": key.note,
        "apiKey": key.key,
        "readOnly": 1 if key.read_only else 0,
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"] if derivatives else [],
            "Spot": ["SpotTrade"] if spot else [],
            "Wallet": _wallet_rights(key),
            "Options": ["OptionsTrade"] if derivatives else [],
            "Derivatives": ["DerivativesTrade"] if derivatives else [],
            "CopyTrading": [],
            "BlockTrade": [],
            "Exchange": [],
            "NFT": [],
            "Affiliate": [],
            "Earn": [],
        },
        "ips": list(key.ips) or ["*"],
        "type": 1,
        "deadlineDay": left,
        "expiredAt": _iso(expires),
        "createdAt": "2024-01-01T00:00:00Z",
        "unified": 0,
        "uta": 1,
        "userID": account.uid,
        "inviterID": 0,
        "vipLevel": "No VIP",
        "mktMakerLevel": "0",
        "affiliateID": 0,
        "rsaPublicKey": "",
        "isMaster": True,
        "parentUid": "0",
        "kycLevel": "LEVEL_DEFAULT",
        "kycRegion": "",
    }


def _wallet_rights(key: ApiKey) -> list[str]:
    rights = ["AccountTransfer", "SubMemberTransfer"] if "wallet" in key.permissions else []
    return [*rights, "Withdraw"] if "withdraw" in key.permissions else rights


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def account_info(context: Context) -> Row:
    """GET /v5/account/info: always unified and cross margin."""
    return {
        "marginMode": "REGULAR_MARGIN",
        "updatedTime": "1704067200000",
        "unifiedMarginStatus": 6,
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
    }


def usd_price(venue: Venue, coin: str) -> Decimal:
    """Return a coin's value in USD; unlisted coins count nothing."""
    return ONE if coin in USD_COINS else venue.board.raw.get(f"{coin}USDT", ZERO)


def _settles(venue: Venue) -> set[str]:
    return {i.settle for i in venue.instruments.values() if i.kind is MarketKind.LINEAR}


def wallet_balance(context: Context) -> Row:
    """GET /v5/account/wallet-balance: coins without assets are left out unless named."""
    params = context.params
    if params.text("accountType", required=True) != "UNIFIED":
        raise BybitError(10001, "accountType only support UNIFIED.")
    view = context.view_ms(context.venue.lags.wallet_ms)
    named = [coin for coin in params.text("coin").split(",") if coin]
    held = [coin for coin, amount in context.me.wallets(view).items() if amount]
    venue, account = context.venue, context.me
    states = {c: venue.margin.state(account, c, view_ms=view) for c in dict.fromkeys([*held, *named])}
    shown = named or list(states)
    return {"list": [_totals(venue, states) | {"coin": [_coin(venue, account, c, states[c]) for c in shown]}]}


def _totals(venue: Venue, states: dict[str, MarginState]) -> Row:
    def usd(coin: str, amount: Decimal) -> Decimal:
        return amount * usd_price(venue, coin)

    collateral = {coin: state for coin, state in states.items() if coin in _settles(venue)}
    equity = sum((usd(c, s.equity) for c, s in states.items()), ZERO)
    margin = sum((usd(c, s.equity - s.locked) for c, s in collateral.items()), ZERO)
    initial = sum((usd(c, s.position_margin + s.order_margin) for c, s in collateral.items()), ZERO)
    maintenance = sum((usd(c, s.maintenance) for c, s in collateral.items()), ZERO)
    initial_rate = plain(initial / margin, 8) if margin > 0 else "0"
    maintenance_rate = plain(maintenance / margin, 8) if margin > 0 else "0"
    return {
        "accountType": "UNIFIED",
        "accountLTV": "",
        "accountIMRate": initial_rate,
        "accountIMRateByMp": initial_rate,
        "accountMMRate": maintenance_rate,
        "accountMMRateByMp": maintenance_rate,
        "totalEquity": plain(equity, 8),
        "totalWalletBalance": plain(sum((usd(c, s.wallet) for c, s in states.items()), ZERO), 8),
        "totalMarginBalance": plain(margin, 8),
        "totalAvailableBalance": plain(margin - initial, 8),
        "totalPerpUPL": plain(sum((usd(c, s.unrealised) for c, s in states.items()), ZERO), 8),
        "totalInitialMargin": plain(initial, 8),
        "totalInitialMarginByMp": plain(initial, 8),
        "totalMaintenanceMargin": plain(maintenance, 8),
        "totalMaintenanceMarginByMp": plain(maintenance, 8),
    }


def _coin(venue: Venue, account: Account, coin: str, state: MarginState) -> Row:
    collateral = coin in _settles(venue)
    return {
        "coin": coin,
        "equity": plain(state.equity, 8),
        "usdValue": plain(state.equity * usd_price(venue, coin), 8),
        "walletBalance": plain(state.wallet),
        "locked": plain(state.locked),
        "spotHedgingQty": "0",
        "borrowAmount": "0",
        "spotBorrow": "0",
        "availableToWithdraw": "",
        "availableToBorrow": "",
        "accruedInterest": "0",
        "totalOrderIM": plain(state.order_margin, 8),
        "totalPositionIM": plain(state.position_margin, 8),
        "totalPositionMM": plain(state.maintenance, 8),
        "unrealisedPnl": plain(state.unrealised, 8),
        "cumRealisedPnl": plain(account.realised[coin], 8),
        "bonus": "0",
        "marginCollateral": collateral,
        "collateralSwitch": collateral,
    }


def transaction_log(context: Context) -> Row:
    """GET /v5/account/transaction-log: newest first; the last 24 hours unless a window is given."""
    params = context.params
    category, coin = params.text("category"), params.text("currency")
    base, kind = params.text("baseCoin"), params.text("type")
    now = context.venue.now_ms()
    start, end = params.window(now, default_ms=DAY_MS)
    view = context.view_ms(context.venue.lags.entries_ms)
    until = end if view is None else min(end, view)

    def wanted(entry: Entry) -> bool:
        if not start <= entry.time_ms <= until:
            return False
        if base and not entry.symbol.startswith(base):
            return False
        if category and (entry.market is None or entry.market.value != category):
            return False
        return (not coin or entry.coin == coin) and (not kind or ENTRIES[entry.kind] == kind)

    return page(
        filter(wanted, newest_first(context.me.entries, params.before())),
        anchor=lambda entry: (entry.entry_id, entry.sequence),
        render=entry_row,
        limit=params.limit(20, 50),
    )


def fee_rate(context: Context) -> Row:
    """GET /v5/account/fee-rate."""
    kind = context.params.category()
    symbol = context.params.text("symbol")
    if symbol:
        context.venue.instrument(kind, symbol)
    rows = [
        {
            "symbol": i.symbol,
            "baseCoin": i.base if kind is MarketKind.SPOT else "",
            "takerFeeRate": plain(i.taker_rate),
            "makerFeeRate": plain(i.maker_rate),
        }
        for i in context.venue.instruments.values()
        if i.kind is kind and symbol in ("", i.symbol)
    ]
    return {"list": rows}


def coin_info(context: Context) -> Row:
    """GET /v5/asset/coin/query-info: one chain per coin, enough for clients that list currencies."""
    wanted = context.params.text("coin")
    instruments = context.venue.instruments.values()
    coins = sorted({c for i in instruments for c in (i.base, i.quote)} | set(context.me.wallets()))
    if wanted and wanted not in coins:
        raise bad_request("params error: coin invalid")
    return {
        "rows": [
            {
                "name": coin,
                "coin": coin,
                "remainAmount": "0",
                "chains": [
                    {
                        "chainType": coin,
                        "confirmation": "1",
                        "withdrawFee": "0",
                        "depositMin": "0",
                        "withdrawMin": "0",
                        "chain": coin,
                        "chainDeposit": "0",
                        "chainWithdraw": "0",
                        "minAccuracy": "8",
                        "withdrawPercentageFee": "0",
                        "contractAddress": "",
                    }
                ],
            }
            for coin in coins
            if wanted in ("", coin)
        ]
    }
