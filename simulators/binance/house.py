"""What Binance knows of an account and the shared core does not: margin types, and how a symbol's name is split."""

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum

from simulators.binance.countdown import Countdowns
from simulators.binance.limits import RequestLimits
from simulators.core.accounts import Account
from simulators.core.money import fee_of
from simulators.core.types import Instrument, MarketKind
from simulators.core.venue import Venue

FUTURES_WALLET = "@futures"
BNB_SPOT, BNB_FUTURES = Decimal("0.75"), Decimal("0.9")  # what is left of a fee that is paid in BNB
BNB_QUANTUM = Decimal("1e-8")


class MarginType(Enum):
    """How a symbol's position is margined; the words of the two places where Binance prints them."""

    CROSSED = "CROSSED"
    ISOLATED = "ISOLATED"

    @property
    def lower(self) -> str:
        """Return positionRisk's word."""
        return "cross" if self is MarginType.CROSSED else "isolated"


@dataclass(slots=True)
class House:
    """State of one venue beside the core's. `percent_price`, a fraction of the last price, bounds futures' limits."""

    limits: RequestLimits
    percent_price: Decimal | None = None
    spot_multiplier_up: Decimal = Decimal(5)
    spot_multiplier_down: Decimal = Decimal("0.2")
    multi_assets: set[str] = field(default_factory=set)
    bnb_fees: set[str] = field(default_factory=set)
    margin_types: dict[str, dict[str, MarginType]] = field(default_factory=lambda: defaultdict(dict))
    countdowns: Countdowns = field(default_factory=Countdowns)

    def margin_type(self, account: str, symbol: str) -> MarginType:
        """Return a symbol's margin type; cross until it is changed."""
        return self.margin_types[account].get(symbol, MarginType.CROSSED)


@dataclass(frozen=True, slots=True)
class BnbFees:
    """Fees paid in BNB at a discount, while an account wants it, BNB is listed and its wallet holds enough."""

    venue: Venue
    house: House

    def __call__(self, account: Account, instrument: Instrument, coin: str, fee: Decimal) -> tuple[str, Decimal]:
        """Return the coin and the amount of a fee that is due in `coin`."""
        market = self.venue.instruments.get((MarketKind.SPOT, f"BNB{instrument.quote}"))
        if market is None or account.name not in self.house.bnb_fees or fee <= 0:
            return coin, fee
        value = fee * self.venue.board.last(instrument) if coin == instrument.base else fee
        spot = instrument.kind is MarketKind.SPOT
        amount = fee_of(value / self.venue.board.last(market), BNB_SPOT if spot else BNB_FUTURES, BNB_QUANTUM)
        wallet = "BNB" if spot else futures_wallet("BNB")
        free = account.wallet(wallet) - self.venue.margin.state(account, wallet).locked
        return ("BNB", amount) if amount <= free else (coin, fee)


def futures_wallet(coin: str) -> str:
    """Return the name of a coin's wallet of USDⓈ-M futures."""
    return f"{coin}{FUTURES_WALLET}"


def coin_of(wallet: str) -> str:
    """Return the coin of a wallet, whichever product it belongs to."""
    return wallet.removesuffix(FUTURES_WALLET)


def is_futures(wallet: str) -> bool:
    """Tell whether a wallet is one of USDⓈ-M futures."""
    return wallet.endswith(FUTURES_WALLET)
