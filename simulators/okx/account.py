"""/api/v5/account: the key's and the account's own facts, balances, fees; /api/v5/asset: funding and currencies."""

from decimal import Decimal

from simulators.core.margin import MarginState
from simulators.core.money import ONE, ZERO, plain
from simulators.core.types import ApiKey, MarketKind
from simulators.core.venue import Venue
from simulators.okx.desk import AccountLevel
from simulators.okx.params import MODE_NAMES, Context
from simulators.okx.render import Row

USD_COINS = frozenset({"USD", "USDT", "USDC"})
COINS_MAX = 20
FLOAT_NOISE = Decimal("1e-16")
LIVING = frozenset({AccountLevel.MULTI_CURRENCY, AccountLevel.PORTFOLIO})
"""The account modes that hold one margin in US dollars."""


def config(context: Context) -> list[Row]:
    """GET /api/v5/account/config."""
    key, account = context.key, context.me
    assert key is not None
    return [
        {
            "uid": str(account.uid),
            "mainUid": str(account.uid),
            "acctLv": context.level.value,
            "posMode": MODE_NAMES[account.default_mode],
            "acctStpMode": "cancel_maker",
            "autoLoan": False,
            "ctIsoMode": "automatic",
            "mgnIsoMode": "automatic",
            "enableSpotBorrow": False,
            "spotBorrowAutoRepay": False,
            "greeksType": "PA",
            "feeType": "0",
            "ip": ",".join(key.ips),
            "perm": ",".join(rights(key)),
            "kycLv": "2",
            "label": key.note,
            "level": "Lv1",
            "levelTmp": "",
            "liquidationGear": "-1",
            "opAuth": "0",
            "roleType": "0",
            "spotRoleType": "0",
            "spotOffsetType": "",
            "stgyType": "0",
            "traderInsts": [],
            "spotTraderInsts": [],
            "settleCcy": "USDT",
            "settleCcyList": ["USD", "USDC"],
            "type": "0",
        }
    ]


def rights(key: ApiKey) -> tuple[str, ...]:
    """Return what a key may do in OKX's words; it knows no rights by product."""
    found = ["read_only"]
    if "withdraw" in key.permissions:
        found.append("withdraw")
    if not key.read_only:
        found.append("trade")
    return tuple(found)


def usd_price(venue: Venue, coin: str) -> Decimal:
    """Return a coin's value in USD; unlisted coins count nothing."""
    return ONE if coin in USD_COINS else venue.board.raw.get(f"{coin}-USDT", ZERO)


def balance(context: Context) -> list[Row]:
    """GET /api/v5/account/balance: currencies that hold nothing are left out, named or not."""
    named = context.params.many("ccy", COINS_MAX)
    view = context.view_ms(context.venue.lags.wallet_ms)
    venue, account = context.venue, context.me
    held = [coin for coin, amount in account.wallets(view).items() if amount or _settles(context, coin, view)]
    states = {coin: venue.margin.state(account, coin, view_ms=view) for coin in held}
    stamp = str(account.entries[-1].time_ms if account.entries else venue.now_ms())
    shown = [coin for coin in states if not named or coin in named]
    details = [_detail(context, coin, states[coin], stamp) for coin in shown]
    return [_totals(context, states) | {"details": details, "uTime": stamp}]


def _settles(context: Context, coin: str, view: int | None) -> bool:
    """Tell whether a position that settles in a coin was held, though the coin was not."""
    listed = context.venue.instruments
    return any(listed[(MarketKind.LINEAR, p.symbol)].settle == coin for p in context.me.positions(view))


def _totals(context: Context, states: dict[str, MarginState]) -> Row:
    """Return the account's figures in USD; which of them an account mode has differs."""
    venue, living = context.venue, context.level in LIVING

    def usd(amounts: dict[str, Decimal]) -> Decimal:
        return sum((amount * usd_price(venue, coin) for coin, amount in amounts.items()), ZERO)

    equity = usd({c: s.equity for c, s in states.items()})
    initial = usd({c: s.position_margin + s.order_margin for c, s in states.items()})
    maintenance = usd({c: s.maintenance for c, s in states.items()})
    notional = usd({c: _notional(context, c) for c in states})
    found: Row = {
        "adjEq": equity,
        "availEq": usd({c: s.available for c, s in states.items()}),
        "imr": initial,
        "mmr": maintenance,
        "mgnRatio": equity / maintenance if maintenance else None,
        "notionalUsd": notional,
        "notionalUsdForSwap": notional,
        "notionalUsdForFutures": ZERO,
        "notionalUsdForOption": ZERO,
        "notionalUsdForBorrow": ZERO,
        "ordFroz": usd({c: s.order_margin for c, s in states.items()}),
        "borrowFroz": ZERO,
        "upl": usd({c: s.unrealised for c, s in states.items()}),
        "delta": None,
        "deltaLever": None,
        "deltaNeutralStatus": None,
    }
    shown: Row = {name: plain(v, 12) if living and isinstance(v, Decimal) else "" for name, v in found.items()}
    return shown | {"totalEq": plain(equity, 12), "isoEq": "0" if context.level is not AccountLevel.SPOT else ""}


def _notional(context: Context, coin: str) -> Decimal:
    """Return the value of the positions that settle in a coin."""
    venue = context.venue
    total = ZERO
    for position in context.me.positions():
        instrument = venue.instruments[(MarketKind.LINEAR, position.symbol)]
        if instrument.settle == coin:
            total += position.qty * position.multiplier * venue.board.last(instrument)
    return total


def _detail(context: Context, coin: str, state: MarginState, stamp: str) -> Row:
    """Return one currency; margin by currency is a thing of the futures mode."""
    futures = context.level is AccountLevel.FUTURES
    spot = context.level is AccountLevel.SPOT
    frozen = state.locked + state.position_margin + state.order_margin
    margin = state.position_margin + state.order_margin
    ratio = plain(state.equity / state.maintenance, 8) if futures and state.maintenance else ""
    usd = state.equity * usd_price(context.venue, coin)
    return {
        "ccy": coin,
        "cashBal": plain(state.wallet),
        "eq": _figure(context, state.equity),
        "eqUsd": plain(usd, 12),
        "disEq": plain(usd, 12),
        "availBal": _figure(context, max(min(state.wallet - state.locked, state.available), ZERO)),
        "availEq": "" if spot else _figure(context, max(state.available, ZERO)),
        "frozenBal": plain(frozen, 12),
        "ordFrozen": plain(state.locked + state.order_margin, 12),
        "upl": plain(state.unrealised, 12),
        "imr": plain(margin, 12) if futures else "",
        "mmr": plain(state.maintenance, 12) if futures else "",
        "mgnRatio": ratio,
        "uTime": stamp,
        "collateralEnabled": False,
        "collateralRestrict": False,
        "colRes": "0",
        "autoLendStatus": "off",
        "autoLendMtAmt": "0",
        "colBorrAutoConversion": "0",
        **dict.fromkeys(("liab", "crossLiab", "isoLiab", "isoEq", "isoUpl", "uplLiab", "interest"), "0"),
        **dict.fromkeys(("borrowFroz", "fixedBal", "maxLoan", "rewardBal", "smtSyncEq", "spotCopyTradingEq"), "0"),
        **dict.fromkeys(("spotIsoBal", "stgyEq", "twap"), "0"),
        **dict.fromkeys(("notionalLever", "spotInUseAmt", "clSpotInUseAmt", "maxSpotInUse", "spotBal"), ""),
        **dict.fromkeys(("openAvgPx", "accAvgPx", "spotUpl", "spotUplRatio", "totalPnl", "totalPnlRatio"), ""),
    }


def _figure(context: Context, value: Decimal) -> str:
    """Return a computed amount; OKX's come through binary floats, which shows in the sixteenth place."""
    noisy = context.desk.habits.float_noise and value != value.to_integral_value()
    return plain(value - FLOAT_NOISE, 16) if noisy else plain(value, 12)


def trade_fee(context: Context) -> list[Row]:
    """GET /api/v5/account/trade-fee: negative rates are paid."""
    kinds = context.kinds(required=True)
    wanted = context.params.text("instId") or context.params.text("instFamily")
    if context.params.has("instId"):
        context.instrument(wanted)
    found = [
        i
        for i in context.venue.instruments.values()
        if i.kind in kinds and wanted in ("", i.symbol, i.symbol.removesuffix("-SWAP"))
    ]
    if not found:
        return []
    first = found[0]
    spot = first.kind is MarketKind.SPOT
    maker, taker = plain(-first.maker_rate), plain(-first.taker_rate)
    return [
        {
            "instType": context.params.text("instType"),
            "level": "Lv1",
            "maker": maker if spot else "",
            "taker": taker if spot else "",
            "makerU": "" if spot else maker,
            "takerU": "" if spot else taker,
            "makerUSDC": maker,
            "takerUSDC": taker,
            "delivery": "",
            "exercise": "",
            "category": "1",
            "ruleType": "normal",
            "fiat": [],
            "feeGroup": [{"groupId": "1", "maker": maker, "taker": taker}],
            "ts": str(context.venue.now_ms()),
        }
    ]


def funding_balances(context: Context) -> list[Row]:
    """GET /api/v5/asset/balances: all money is in the trading account."""
    context.params.many("ccy", COINS_MAX)
    return []


def currencies(context: Context) -> list[Row]:
    """GET /api/v5/asset/currencies: one chain each, enough for clients that list currencies."""
    wanted = context.params.many("ccy", COINS_MAX)
    listed = context.venue.instruments.values()
    coins = sorted({c for i in listed for c in (i.base, i.quote)} | set(context.me.wallets()))
    return [
        {
            "ccy": coin,
            "name": coin,
            "chain": f"{coin}-{coin}",
            "mainNet": True,
            "canDep": False,
            "canWd": False,
            "canInternal": False,
            "minFee": "0",
            "maxFee": "0",
            "fee": "0",
            "minWd": "0",
            "maxWd": "0",
            "wdTickSz": "8",
            "wdQuota": "0",
            "usedWdQuota": "0",
            "logoLink": "",
        }
        for coin in coins
        if not wanted or coin in wanted
    ]
