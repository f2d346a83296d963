"""/api/v3: balances, fees, counts of orders."""

from decimal import Decimal

from simulators.binance.filters import Row
from simulators.binance.formats import fixed
from simulators.binance.house import is_futures
from simulators.binance.params import Context
from simulators.core.money import ZERO

Rows = list[object]
NEVER_HELD = ("BNB", "LTC")


def account(context: Context) -> Row:
    """GET /api/v3/account: every listed coin, held or not, unless zero balances are left out."""
    venue, me = context.venue, context.me
    view = context.view_ms(venue.lags.wallet_ms)
    coins = {coin for coin in me.wallets(view) if not is_futures(coin)}
    if not context.params.flag("omitZeroBalances"):
        coins |= {coin for i in context.instruments for coin in (i.base, i.quote)} | set(NEVER_HELD)
    balances: Rows = []
    for coin in sorted(coins):
        state = venue.margin.state(me, coin, view_ms=view)
        if state.wallet or not context.params.flag("omitZeroBalances"):
            balances.append({"asset": coin, "free": fixed(state.wallet - state.locked), "locked": fixed(state.locked)})
    maker, taker = _rates(context)
    spot_entries = [entry for entry in me.entries[-50:] if not is_futures(entry.coin)]
    return {
        "makerCommission": int(maker * 10_000),
        "takerCommission": int(taker * 10_000),
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": {"maker": fixed(maker), "taker": fixed(taker), "buyer": fixed(ZERO), "seller": fixed(ZERO)},
        "canTrade": True,
        "canWithdraw": True,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": spot_entries[-1].time_ms if spot_entries else 0,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": me.uid,
    }


def _rates(context: Context) -> tuple[Decimal, Decimal]:
    """Return the account's rates: those of the first symbol, as all are alike."""
    for instrument in context.instruments:
        return instrument.maker_rate, instrument.taker_rate
    return ZERO, ZERO


def commission(context: Context) -> Row:
    """GET /api/v3/account/commission."""
    instrument = context.listed()
    nothing = {name: fixed(ZERO) for name in ("maker", "taker", "buyer", "seller")}
    return {
        "symbol": instrument.symbol,
        "standardCommission": nothing | {"maker": fixed(instrument.maker_rate), "taker": fixed(instrument.taker_rate)},
        "specialCommission": nothing,
        "taxCommission": nothing,
        "discount": {
            "enabledForAccount": context.me.name in context.house.bnb_fees,
            "enabledForSymbol": True,
            "discountAsset": "BNB",
            "discount": "0.75000000",
        },
    }


def order_counts(context: Context) -> Rows:
    """GET /api/v3/rateLimit/order, /fapi/v1/rateLimit/order."""
    now = context.venue.clock.gateway_ms()
    return [*context.house.limits.order_rows(context.kind, context.me.name, now)]
