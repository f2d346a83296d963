"""Fees that no fill shows: regulatory ones of the next day, and crypto's, posted when the day is over."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_UP, Decimal

from simulators.alpaca.config import STEP, USD, AlpacaAsset, AlpacaConfig, CryptoFees
from simulators.alpaca.ids import random_uuid
from simulators.core.money import ZERO, ceil_to, plain
from simulators.core.sessions import Hours
from simulators.core.types import EntryKind, Execution, ExecutionKind, OrderSide
from simulators.core.venue import Venue

CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Posting:
    """One activity that is no trade. `day` is what it is for; at `at_ms` it was posted and the account changed."""

    activity_id: str
    sequence: int
    account: str
    kind: str
    day: date
    at_ms: int
    net_amount: Decimal
    description: str
    symbol: str = ""
    qty: Decimal | None = None
    price: Decimal | None = None


@dataclass(slots=True)
class _Day:
    """What one account owes for one day of trading: fees by pair and coin, proceeds and shares sold."""

    crypto: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    proceeds: Decimal = ZERO
    shares: Decimal = ZERO
    trades: int = 0


class FeeBook:
    """Accrues fees from executions and posts them at New York's midnight."""

    def __init__(self, venue: Venue, config: AlpacaConfig, hours: Hours, assets: dict[str, AlpacaAsset]) -> None:
        self._venue = venue
        self._config = config
        self._hours = hours
        self._assets = assets
        self._owed: dict[tuple[str, date], _Day] = {}
        self._due: set[date] = set()
        self.postings: list[Posting] = []
        venue.settlement.on_execution.append(self._executed)

    @property
    def _at_fill(self) -> bool:
        return self._config.fees.crypto is CryptoFees.AT_FILL

    def owed(self, account: str, coin: str) -> Decimal:
        """Return what is still to leave an account's wallet of a coin."""
        total = ZERO
        for (name, _), day in self._owed.items():
            if name == account and not self._at_fill:
                total += sum((fee for (_, owed), fee in day.crypto.items() if owed == coin), ZERO)
        return total

    def accrued_usd(self, account: str) -> Decimal:
        """Return the fees in dollars that are not posted yet."""
        regulatory = (sum(self._regulatory(day), ZERO) for (name, _), day in self._owed.items() if name == account)
        return self.owed(account, USD) + sum(regulatory, ZERO)

    # accruing
    def _executed(self, execution: Execution) -> None:
        asset = self._assets[execution.symbol]
        if execution.kind is ExecutionKind.FUNDING:
            return
        day = self._hours.day(execution.time_ms)
        owed = self._owed.setdefault((execution.account, day), _Day())
        if asset.is_crypto:
            self._accrue_crypto(execution, asset, owed)
        elif execution.side is OrderSide.SELL and self._config.fees.regulatory:
            owed.proceeds += execution.value
            owed.shares += execution.qty
            owed.trades += 1
        if day not in self._due:
            self._due.add(day)
            self._venue.later(self._hours.day_end_ms(day) - self._venue.now_ms(), lambda: self._day_over(day))

    def _accrue_crypto(self, execution: Execution, asset: AlpacaAsset, owed: _Day) -> None:
        """Charge what is received: the base coin of a purchase, the quote coin of a sale."""
        buying = execution.side is OrderSide.BUY
        coin, amount = (asset.base, execution.qty) if buying else (asset.quote, execution.value)
        rate = asset.fee_maker if execution.is_maker else asset.fee_taker
        fee = ceil_to(amount * rate, STEP)
        key = (asset.symbol, coin)
        owed.crypto[key] = owed.crypto.get(key, ZERO) + fee
        if self._at_fill:
            self._charge(execution.account, coin, fee)

    def _charge(self, name: str, coin: str, fee: Decimal) -> None:
        account = self._venue.accounts[name]
        self._venue.settlement.post(account, EntryKind.FEE, coin, at_ms=self._venue.now_ms(), fee=fee)

    # posting
    def _day_over(self, day: date) -> None:
        self._due.discard(day)
        for key in [key for key in self._owed if key[1] <= day]:
            self._post(*key, self._owed.pop(key))

    def post_all(self) -> int:
        """Post everything that is owed, as if the day were over; return how many activities that made."""
        before = len(self.postings)
        for key in list(self._owed):
            self._post(*key, self._owed.pop(key))
        return len(self.postings) - before

    def _post(self, name: str, day: date, owed: _Day) -> None:
        for (symbol, coin), fee in owed.crypto.items():
            self._post_crypto(name, day, symbol, coin, fee)
        sec, taf = self._regulatory(owed)
        following = day + timedelta(days=1)
        if sec:
            text = f"REG fee for proceed of ${plain(owed.proceeds, 2)} on {day} by {name}"
            self._post_usd(name, following, "FEE", sec, text)
        if taf:
            text = f"TAF fee for proceed of {plain(owed.shares)} shares ({owed.trades} trades) on {day} by {name}"
            self._post_usd(name, following, "FEE", taf, text)

    def _post_crypto(self, name: str, day: date, symbol: str, coin: str, fee: Decimal) -> None:
        if not self._at_fill:
            self._charge(name, coin, fee)
        if coin == USD:
            text = "Coin Pair Transaction Fee (USD)"
            self._add(name, self._config.fees.crypto_usd_type, day, -fee, text, symbol=symbol)
            return
        asset = self._assets[symbol]
        price = self._venue.board.last(self._venue.instruments[(asset.kind, symbol)])
        text = "Coin Pair Transaction Fee (Non USD)"
        self._add(name, "CFEE", day, ZERO, text, symbol=symbol, qty=-fee, price=price)

    def _post_usd(self, name: str, day: date, kind: str, fee: Decimal, text: str) -> None:
        self._charge(name, USD, fee)
        self._add(name, kind, day, -fee, text)

    def _add(
        self,
        name: str,
        kind: str,
        day: date,
        net_amount: Decimal,
        text: str,
        *,
        symbol: str = "",
        qty: Decimal | None = None,
        price: Decimal | None = None,
    ) -> None:
        number = f"{day:%Y%m%d}000000000::{random_uuid(self._venue.rng)}"
        symbol = symbol.replace("/", "")
        sequence = self._venue.settlement.next_sequence()
        at_ms = self._venue.now_ms()
        self.postings.append(Posting(number, sequence, name, kind, day, at_ms, net_amount, text, symbol, qty, price))

    def _regulatory(self, owed: _Day) -> tuple[Decimal, Decimal]:
        """Return the SEC's and FINRA's fees of a day, each rounded up to the cent."""
        fees = self._config.fees
        sec = (owed.proceeds * fees.sec_rate).quantize(CENT, rounding=ROUND_UP)
        taf = min(owed.shares * fees.taf_share, fees.taf_max).quantize(CENT, rounding=ROUND_UP)
        return sec, taf
