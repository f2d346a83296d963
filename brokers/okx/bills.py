"""OKX's bills as cash events. Pure.

Source: OKX V5 documentation, pages "Get bills details" and "Get bills types". `balChg` is the whole change of one
currency, fees and funding included, so the amounts of a currency sum to the change of its cash exactly.
"""

from __future__ import annotations

from brokers.fields import Row, computed, computed_or_none, moment, required, text
from brokers.ids import AccountId, VenueOrderId
from brokers.okx.instruments import Market
from brokers.okx.orders import trade_id
from brokers.types import CashEvent, CashEventKind

# By the bill's type. What OKX lends, and what it takes to save itself (clawback, forced repayment and conversion), is
# left unmapped: a person looks at it.
KINDS = {
    "1": CashEventKind.TRANSFER,
    "2": CashEventKind.TRADE,
    "3": CashEventKind.SETTLEMENT,  # delivery
    "5": CashEventKind.TRADE,  # liquidation
    "6": CashEventKind.TRANSFER,  # margin of an isolated position
    "7": CashEventKind.INTEREST,
    "8": CashEventKind.FUNDING,
    "9": CashEventKind.TRADE,  # auto-deleveraging
    "12": CashEventKind.TRANSFER,  # to and from a strategy
    "13": CashEventKind.TRADE,  # delta dynamic hedging
    "14": CashEventKind.TRADE,  # block trade
    "24": CashEventKind.TRADE,  # spread trade
    "26": CashEventKind.TRANSFER,  # to and from structured products
    "27": CashEventKind.TRADE,  # convert
    "28": CashEventKind.TRADE,  # easy convert
    "29": CashEventKind.TRADE,  # one-click repay
    "30": CashEventKind.TRADE,  # simple trade
    "32": CashEventKind.TRADE,  # moved position
    "34": CashEventKind.SETTLEMENT,
    "250": CashEventKind.FEE,  # profit shared with a copied trader
    "251": CashEventKind.FEE,
    "381": CashEventKind.INTEREST,  # lent automatically
}
_TRADES = frozenset({"2", "5", "9"})  # bills with an order and a trade of their own


def cash_event(row: Row, market: Market | None, *, account_id: AccountId) -> CashEvent:
    """One bill as one event. A TRADE amount is net of its fee; the fee itself is on the fill."""
    kind, sub_type = required(row, "type"), text(row, "subType")
    is_trade = kind in _TRADES and market is not None and text(row, "tradeId") not in ("", "0")
    return CashEvent(
        account_id=account_id,
        event_id=required(row, "billId"),
        kind=KINDS.get(kind, CashEventKind.UNMAPPED),
        currency=required(row, "ccy"),
        amount=computed(row, "balChg"),
        time=moment(row, "ts"),
        instrument_id=market.instrument_id if market else None,
        trade_id=trade_id(row, market) if is_trade and market is not None else None,
        venue_order_id=VenueOrderId(text(row, "ordId")) if text(row, "ordId") else None,
        balance_after=computed_or_none(row, "bal"),
        venue_kind=f"{kind}/{sub_type}" if sub_type else kind,
    )
