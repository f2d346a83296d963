"""What was paid for crypto: the core keeps coins as balances, Alpaca as positions with an average price."""

from decimal import Decimal

from simulators.alpaca.config import AlpacaAsset
from simulators.core.types import Execution, OrderSide
from simulators.core.venue import Venue


class CostBook:
    """Keeps average prices: a purchase mixes them, sales and fees leave them. Hears of executions before fees do."""

    def __init__(self, venue: Venue, assets: dict[str, AlpacaAsset]) -> None:
        self._venue = venue
        self._assets = assets
        self._averages: dict[tuple[str, str], Decimal] = {}
        venue.settlement.on_execution.append(self._executed)

    def average(self, account: str, asset: AlpacaAsset) -> Decimal | None:
        """Return the average price that was paid, None for coins that came in without a trade."""
        return self._averages.get((account, asset.symbol))

    def _executed(self, execution: Execution) -> None:
        asset = self._assets[execution.symbol]
        if not asset.is_crypto:
            return
        key = (execution.account, execution.symbol)
        held = self._venue.accounts[execution.account].wallet(asset.base)
        if execution.side is OrderSide.BUY:
            before = max(held - execution.qty, Decimal(0))
            average = self._averages.get(key, execution.price)
            self._averages[key] = (before * average + execution.value) / (before + execution.qty)
        elif held <= 0:
            self._averages.pop(key, None)
