"""/fapi: balances, the account, income."""

from collections.abc import Iterator
from decimal import Decimal

from simulators.binance.filters import Row
from simulators.binance.finding import FUTURES_WINDOW_MS, window
from simulators.binance.formats import fixed
from simulators.binance.futures_positions import account_row, account_v2_row, every_position, used_positions
from simulators.binance.house import coin_of, futures_wallet, is_futures
from simulators.binance.params import Context
from simulators.core.accounts import newest_first
from simulators.core.margin import MarginState
from simulators.core.money import ZERO
from simulators.core.types import (
    Entry,
    EntryKind,
)

Rows = list[object]
NEVER_HELD = "BNB"
INCOME_LIMIT, INCOME_LIMIT_MAX = 100, 1000
_TRANSFERS = frozenset({EntryKind.DEPOSIT, EntryKind.WITHDRAWAL, EntryKind.TRANSFER_IN, EntryKind.TRANSFER_OUT})


def _states(context: Context) -> dict[str, MarginState]:
    """Return each coin's margin, of every coin that positions settle in and of those held."""
    venue, me = context.venue, context.me
    view = context.view_ms(venue.lags.wallet_ms)
    coins = {instrument.settle for instrument in context.instruments} | {NEVER_HELD}
    coins |= {coin_of(wallet) for wallet in me.wallets(view) if is_futures(wallet)}
    return {coin: venue.margin.state(me, futures_wallet(coin), view_ms=view) for coin in sorted(coins)}


def _available(state: MarginState) -> Decimal:
    return max(state.available, ZERO)


def balance(context: Context) -> Rows:
    """GET /fapi/v2 and v3/balance."""
    return [
        {
            "accountAlias": "SgsR",
            "asset": coin,
            "balance": fixed(state.wallet),
            "crossWalletBalance": fixed(state.wallet),
            "crossUnPnl": fixed(state.unrealised),
            "availableBalance": fixed(_available(state)),
            "maxWithdrawAmount": fixed(min(_available(state), max(state.wallet, ZERO))),
            "marginAvailable": True,
            "updateTime": _updated(context, coin),
        }
        for coin, state in _states(context).items()
    ]


def _updated(context: Context, coin: str) -> int:
    wallet = futures_wallet(coin)
    if wallet not in context.me.wallets():
        return 0
    return next((entry.time_ms for entry in newest_first(context.me.entries) if entry.coin == wallet), 0)


def account_v2(context: Context) -> Row:
    """GET /fapi/v2/account: every symbol and every asset, with the account's rights."""
    rights: Row = {
        "feeTier": 0,
        "feeBurn": context.me.name in context.house.bnb_fees,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }
    positions: Rows = [account_v2_row(context, *found) for found in every_position(context)]
    return rights | _account(context, _states(context), positions)


def account_v3(context: Context) -> Row:
    """GET /fapi/v3/account: only assets and positions in use."""
    states = {coin: state for coin, state in _states(context).items() if state.wallet or state.position_margin}
    positions: Rows = [account_row(context, *found) for found in used_positions(context)]
    return _account(context, states, positions)


def _account(context: Context, states: dict[str, MarginState], positions: Rows) -> Row:
    total = _totals(states)
    assets = [_asset(context, coin, state) for coin, state in states.items()]
    return total | {"assets": assets, "positions": positions}


def _totals(states: dict[str, MarginState]) -> Row:
    """Return the account's totals: those of USDT, as in single-asset mode."""
    state = states.get("USDT", MarginState(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO))
    return {
        "totalInitialMargin": fixed(state.position_margin + state.order_margin),
        "totalMaintMargin": fixed(state.maintenance),
        "totalWalletBalance": fixed(state.wallet),
        "totalUnrealizedProfit": fixed(state.unrealised),
        "totalMarginBalance": fixed(state.equity),
        "totalPositionInitialMargin": fixed(state.position_margin),
        "totalOpenOrderInitialMargin": fixed(state.order_margin),
        "totalCrossWalletBalance": fixed(state.wallet),
        "totalCrossUnPnl": fixed(state.unrealised),
        "availableBalance": fixed(_available(state)),
        "maxWithdrawAmount": fixed(min(_available(state), max(state.wallet, ZERO))),
    }


def _asset(context: Context, coin: str, state: MarginState) -> Row:
    return {
        "asset": coin,
        "walletBalance": fixed(state.wallet),
        "unrealizedProfit": fixed(state.unrealised),
        "marginBalance": fixed(state.equity),
        "maintMargin": fixed(state.maintenance),
        "initialMargin": fixed(state.position_margin + state.order_margin),
        "positionInitialMargin": fixed(state.position_margin),
        "openOrderInitialMargin": fixed(state.order_margin),
        "crossWalletBalance": fixed(state.wallet),
        "crossUnPnl": fixed(state.unrealised),
        "availableBalance": fixed(_available(state)),
        "maxWithdrawAmount": fixed(min(_available(state), max(state.wallet, ZERO))),
        "marginAvailable": True,
        "updateTime": _updated(context, coin),
    }


# income
def income(context: Context) -> Rows:
    """GET /fapi/v1/income: profit, fees, funding and transfers of the futures wallets, oldest first."""
    params = context.params
    symbol, kind = params.text("symbol"), params.text("incomeType")
    now = context.venue.now_ms()
    span = window(context, 90 * 86_400_000) or (now - FUTURES_WINDOW_MS, now)
    view = context.view_ms(context.venue.lags.entries_ms)
    until = span[1] if view is None else min(span[1], view)
    rows = [
        row
        for entry in context.me.entries
        if is_futures(entry.coin) and span[0] <= entry.time_ms <= until and symbol in ("", entry.symbol)
        for row in _income_rows(entry)
        if kind in ("", row["incomeType"])
    ]
    limit, page = params.limit(INCOME_LIMIT, INCOME_LIMIT_MAX), params.integer("page") or 1
    return [*rows[(page - 1) * limit : page * limit]]


def _income_rows(entry: Entry) -> Iterator[Row]:
    if entry.kind in _TRANSFERS:
        yield _income_row(entry, "TRANSFER", entry.change)
    elif entry.kind is EntryKind.FUNDING:
        yield _income_row(entry, "FUNDING_FEE", entry.funding)
    else:
        if entry.cash_flow:
            yield _income_row(entry, "REALIZED_PNL", entry.cash_flow)
        if entry.fee:
            yield _income_row(entry, "COMMISSION", -entry.fee)


def _income_row(entry: Entry, kind: str, amount: Decimal) -> Row:
    is_trade = kind in ("REALIZED_PNL", "COMMISSION")
    return {
        "symbol": entry.symbol,
        "incomeType": kind,
        "income": fixed(amount),
        "asset": coin_of(entry.coin),
        "info": entry.execution_id if is_trade else kind,
        "time": entry.time_ms,
        "tranId": int(entry.entry_id),
        "tradeId": entry.execution_id if is_trade else "",
    }
