"""What an account has and may still spend. The three buying powers are this simulator's reading, see docs.

Each takes from equity what positions and open orders bind: a stock its value divided by the multiplier, crypto all of
its value. `buying_power` is what is left times the account's multiplier, `regt_buying_power` the same at two at most,
and `non_marginable_buying_power` what is left at two at most, unmultiplied.
"""

from dataclasses import dataclass
from decimal import Decimal

from simulators.alpaca.book import Kind, Ticket
from simulators.alpaca.config import USD, AlpacaAsset
from simulators.alpaca.context import House
from simulators.core.accounts import Account
from simulators.core.money import ZERO
from simulators.core.types import MarketKind, Order, OrderSide, OrderStatus, OrderType, PositionSide

_STOPS = frozenset({Kind.STOP, Kind.STOP_LIMIT})
COLLAR_LOW, COLLAR_HIGH = Decimal("1.04"), Decimal("1.025")
COLLAR_FROM = Decimal(50)
SHORT_RESERVE = Decimal("1.03")
MAINTENANCE = Decimal("0.3")


def collar(price: Decimal) -> Decimal:
    """Return how far a market buy may run: 4 % below fifty dollars, else 2.5 %."""
    return price * (COLLAR_LOW if price < COLLAR_FROM else COLLAR_HIGH)


@dataclass(frozen=True, slots=True)
class Funds:
    """One account's money in dollars. `held_stock` and `held_crypto` are what open orders that open positions bind."""

    wallet: Decimal
    cost: Decimal
    long_value: Decimal
    short_value: Decimal
    crypto_value: Decimal
    held_stock: Decimal
    held_crypto: Decimal
    multiplier: int

    @property
    def cash(self) -> Decimal:
        return self.wallet - self.cost

    @property
    def equity(self) -> Decimal:
        return self.cash + self.long_value + self.short_value + self.crypto_value

    @property
    def stock_value(self) -> Decimal:
        return self.long_value - self.short_value

    def _free(self, multiplier: int) -> Decimal:
        bound = (self.stock_value + self.held_stock) / multiplier + self.crypto_value + self.held_crypto
        return max(self.equity - bound, ZERO)

    @property
    def buying_power(self) -> Decimal:
        return self._free(self.multiplier) * self.multiplier

    @property
    def regt_buying_power(self) -> Decimal:
        return self._free(min(self.multiplier, 2)) * min(self.multiplier, 2)

    @property
    def non_marginable_buying_power(self) -> Decimal:
        return self._free(min(self.multiplier, 2))

    @property
    def initial_margin(self) -> Decimal:
        return self.stock_value / min(self.multiplier, 2) + self.crypto_value

    @property
    def maintenance_margin(self) -> Decimal:
        return self.stock_value * MAINTENANCE + self.crypto_value


def funds(house: House, account: Account, view_ms: int | None = None, *, without: str = "") -> Funds:
    """Return an account's money, leaving the order `without` out of what is held."""
    cost = longs = shorts = ZERO
    for position in account.positions(view_ms):
        value = position.signed_qty * house.price(house.assets[position.symbol])
        cost += position.cost if position.signed_qty > 0 else -position.cost
        longs, shorts = longs + max(value, ZERO), shorts + min(value, ZERO)
    crypto = (amount * coin_price(house, coin) for coin, amount in account.wallets(view_ms).items() if coin != USD)
    orders = [order for order in account.open_orders() if order.order_id != without]
    held = [(house.book.ticket(order).asset, opening_value(house, order)) for order in orders]
    return Funds(
        wallet=account.wallet(USD, view_ms),
        cost=cost,
        long_value=longs,
        short_value=shorts,
        crypto_value=sum(crypto, ZERO),
        held_stock=sum((value for asset, value in held if not asset.is_crypto), ZERO),
        held_crypto=sum((value for asset, value in held if asset.is_crypto and asset.quote == USD), ZERO),
        multiplier=house.accounts[account.name].multiplier,
    )


def coin_price(house: House, coin: str) -> Decimal:
    """Return what a coin is worth in dollars; nothing where no such pair is listed."""
    asset = house.assets.get(f"{coin}/{USD}")
    return house.price(asset) if asset is not None else ZERO


def opening_value(house: House, order: Order) -> Decimal:
    """Return what an open order binds of its quote currency: nothing where it closes, or sells crypto."""
    ticket = house.book.ticket(order)
    selling = order.request.side is OrderSide.SELL
    if ticket.closes or ticket.parent or (selling and ticket.asset.is_crypto):
        return ZERO
    if order.request.quote_qty is not None:
        return order.request.quote_qty - order.filled_value
    limit = order.price if order.request.order_type is OrderType.LIMIT else None
    return order.remaining_qty * unit_value(house, ticket.asset, order.request.side, limit)


def unit_value(house: House, asset: AlpacaAsset, side: OrderSide, limit: Decimal | None) -> Decimal:
    """Return what one unit of an opening order is counted at."""
    ask = house.venue.board.quote(house.instrument(asset)).ask
    if side is OrderSide.SELL:
        return max(limit or ZERO, ask * SHORT_RESERVE)
    if limit is not None:
        return limit
    return ask if asset.is_crypto else collar(ask)


def stop_limit_of(stop: Decimal, tick: Decimal) -> Decimal:
    """Return the limit price into which the venue turns a buy stop."""
    return (collar(stop) / tick).to_integral_value() * tick


@dataclass(frozen=True, slots=True)
class Holding:
    """How much of an asset an account has, and how much of it open orders have not spoken for."""

    qty: Decimal
    held: Decimal
    orders: tuple[str, ...]

    @property
    def available(self) -> Decimal:
        return max(abs(self.qty) - self.held, ZERO)


def holding(
    house: House, account: Account, asset: AlpacaAsset, view_ms: int | None = None, *, without: str = ""
) -> Holding:
    """Return an account's holding of an asset; crypto that is owed as a fee is not available either."""
    if asset.is_crypto:
        qty, owed = account.wallet(asset.base, view_ms), house.fees.owed(account.name, asset.base)
    else:
        qty, owed = account.position(asset.symbol, PositionSide.BOTH, view_ms).signed_qty, ZERO
    closing = [
        order
        for order in account.open_orders()
        if order.order_id != without and _closes(order, house.book.ticket(order), asset)
    ]
    held = sum((order.remaining_qty for order in closing), ZERO)
    return Holding(qty, held + owed, tuple(order.order_id for order in closing))


def _closes(order: Order, ticket: Ticket, asset: AlpacaAsset) -> bool:
    """Tell whether an order gives away some of an asset; of a group's exits one binds it, once its entry is filled."""
    if ticket.parent and (ticket.kind in _STOPS or order.status is OrderStatus.PENDING):
        return False
    if asset.is_crypto:
        sells = order.request.kind is MarketKind.SPOT and order.request.side is OrderSide.SELL
        return sells and ticket.asset.base == asset.base
    return ticket.closes and ticket.asset.symbol == asset.symbol
