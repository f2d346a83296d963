"""/fapi: balances, the account, income."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal

from simulators.binance.filters import Row
from simulators.binance.finding import FUTURES_WINDOW_MS, window
from simulators.binance.formats import fixed
from simulators.binance.futures_positions import account_row, account_v2_row, every_position, used_positions
from simulators.binance.house import coin_of, futures_wallet, is_futures
from simulators.binance.params import Context
from simulators.core.accounts import newest_first
from simulators.core.margin import MarginState
from simulators.core.money import ONE, ZERO, floor_to
from simulators.core.types import (
    Entry,
    EntryKind,
)

Rows = list[object]
NEVER_HELD = "BNB"
USD_COINS = frozenset({"USDT", "USDC", "FDUSD"})
EIGHT = Decimal("1e-8")
INCOME_LIMIT, INCOME_LIMIT_MAX = 100, 1000
_TRANSFERS = frozenset({EntryKind.DEPOSIT, EntryKind.WITHDRAWAL, EntryKind.TRANSFER_IN, EntryKind.TRANSFER_OUT})


@dataclass(frozen=True, slots=True)
class Funds:
    """Each coin's margin; in multi-assets mode one pool of all coins, told again in each of them."""

    states: dict[str, MarginState]
    prices: dict[str, Decimal]
    is_joint: bool

    def available(self, coin: str) -> Decimal:
        """Return what is available in a coin: in multi-assets mode the whole pool, whatever the coin's own wallet."""
        own = max(self.states[coin].available, ZERO)
        if not self.is_joint or not self.prices[coin]:
            return own
        pool = self.total(lambda state: state.available)
        return floor_to(max(pool, ZERO) / self.prices[coin], EIGHT)

    def removable(self, coin: str) -> Decimal:
        """Return what could be taken out of a coin's wallet."""
        return min(self.available(coin), max(self.states[coin].wallet, ZERO))

    def total(self, figure: Callable[[MarginState], Decimal]) -> Decimal:
        """Return a figure of the whole account: in USD over all coins, or USDT's alone in single-asset mode."""
        if not self.is_joint:
            return figure(self.states["USDT"]) if "USDT" in self.states else ZERO
        return sum((figure(state) * self.prices[coin] for coin, state in self.states.items()), ZERO)


def _funds(context: Context) -> Funds:
    """Return the account's funds, in every coin that positions settle in and in those held."""
    venue, me = context.venue, context.me
    view = context.view_ms(venue.lags.wallet_ms)
    coins = {instrument.settle for instrument in context.instruments} | {NEVER_HELD}
    coins |= {coin_of(wallet) for wallet in me.wallets(view) if is_futures(wallet)}
    raw = venue.board.raw
    return Funds(
        states={coin: venue.margin.state(me, futures_wallet(coin), view_ms=view) for coin in sorted(coins)},
        prices={coin: ONE if coin in USD_COINS else raw.get(f"{coin}USDT", ZERO) for coin in coins},
        is_joint=me.name in context.house.multi_assets,
    )


def balance(context: Context) -> Rows:
    """GET /fapi/v2 and v3/balance."""
    funds = _funds(context)
    return [
        {
            "accountAlias": "SgsR",
            "asset": coin,
            "balance": fixed(state.wallet),
            "crossWalletBalance": fixed(state.wallet),
            "crossUnPnl": fixed(state.unrealised),
            "availableBalance": fixed(funds.available(coin)),
            "maxWithdrawAmount": fixed(funds.removable(coin)),
            "marginAvailable": True,
            "updateTime": _updated(context, coin),
        }
        for coin, state in funds.states.items()
    ]


def _updated(context: Context, coin: str) -> int:
    wallet = futures_wallet(coin)
    if wallet not in context.me.wallets():
        return 0
    return next((entry.time_ms for entry in newest_first(context.me.entries) if entry.coin == wallet), 0)


def account_v2(context: Context) -> Row:
    """GET /fapi/v2/account: every symbol and every asset, with the account's rights."""
    funds = _funds(context)
    rights: Row = {
        "feeTier": 0,
        "feeBurn": context.me.name in context.house.bnb_fees,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": funds.is_joint,
        "tradeGroupId": -1,
    }
    assets: Rows = [_asset(context, funds, coin) | {"marginAvailable": True} for coin in funds.states]
    positions: Rows = [account_v2_row(context, *found) for found in every_position(context)]
    return rights | _totals(funds) | {"assets": assets, "positions": positions}


def account_v3(context: Context) -> Row:
    """GET /fapi/v3/account: only assets and positions in use; in multi-assets mode every asset is."""
    funds = _funds(context)
    used = [c for c, state in funds.states.items() if state.wallet or state.position_margin or funds.is_joint]
    assets: Rows = [_asset(context, funds, coin) for coin in used]
    positions: Rows = [account_row(context, *found) for found in used_positions(context)]
    return _totals(funds) | {"assets": assets, "positions": positions}


def _totals(funds: Funds) -> Row:
    wallet = fixed(funds.total(lambda state: state.wallet))
    unrealised = fixed(funds.total(lambda state: state.unrealised))
    available = max(funds.total(lambda state: state.available), ZERO)
    return {
        "totalInitialMargin": fixed(funds.total(lambda state: state.position_margin + state.order_margin)),
        "totalMaintMargin": fixed(funds.total(lambda state: state.maintenance)),
        "totalWalletBalance": wallet,
        "totalUnrealizedProfit": unrealised,
        "totalMarginBalance": fixed(funds.total(lambda state: state.equity)),
        "totalPositionInitialMargin": fixed(funds.total(lambda state: state.position_margin)),
        "totalOpenOrderInitialMargin": fixed(funds.total(lambda state: state.order_margin)),
        "totalCrossWalletBalance": wallet,
        "totalCrossUnPnl": unrealised,
        "availableBalance": fixed(available),
        "maxWithdrawAmount": fixed(min(available, max(funds.total(lambda state: state.wallet), ZERO))),
    }


def _asset(context: Context, funds: Funds, coin: str) -> Row:
    state = funds.states[coin]
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
        "availableBalance": fixed(funds.available(coin)),
        "maxWithdrawAmount": fixed(funds.removable(coin)),
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
