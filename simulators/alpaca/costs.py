"""What was paid for crypto: the core keeps coins as balances, Alpaca as positions with an average price."""

from decimal import Decimal

from simulators.alpaca.config import AlpacaAsset
from simulators.core.money import ZERO
from simulators.core.types import Execution, OrderSide
from simulators.core.venue import Venue


class CostBook:
    """Follows executions; a sale and a fee leave the average price as it is."""

    def __init__(self, venue: Venue, assets: dict[str, AlpacaAsset]) -> None:
        self._assets = assets
        self._held: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
        venue.settlement.on_execution.append(self._executed)

    def average(self, account: str, asset: AlpacaAsset) -> Decimal | None:
        """Return the average price that was paid, None for coins that came in without a trade."""
        qty, cost = self._held.get((account, asset.symbol), (ZERO, ZERO))
        return cost / qty if qty else None

    def _executed(self, execution: Execution) -> None:
        if not self._assets[execution.symbol].is_crypto:
            return
        key = (execution.account, execution.symbol)
        qty, cost = self._held.get(key, (ZERO, ZERO))
        if execution.side is OrderSide.BUY:
            self._held[key] = (qty + execution.qty, cost + execution.value)
            return
        left = max(qty - execution.qty, ZERO)
        self._held[key] = (left, cost * left / qty if qty else ZERO)
