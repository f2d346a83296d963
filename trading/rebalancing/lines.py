"""One instrument and its wanted orders while a plan is being made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from brokers.ids import InstrumentId
from brokers.types import ZERO, Instrument, OrderSide, PartTerms, Quote
from trading.rebalancing.portfolio import OrderStyle, Portfolio
from trading.rebalancing.reasons import LineReason

ONE = Decimal(1)


@dataclass(slots=True, eq=False)
class Draft:
    """A wanted order before numbering, at the side of the quote that it would meet."""

    line: Line
    direction: int  # +1 works on the long part, -1 on the short part
    is_reduction: bool
    quantity: Decimal
    parts: PartTerms | None = None  # of the line, where orders on this side may be for parts of a lot
    side: OrderSide = field(init=False)
    price: Decimal = field(init=False)

    def __post_init__(self) -> None:
        quote = self.line.quote
        assert quote is not None, "a draft is made for quoted lines only"
        is_buy = (self.direction > 0) != self.is_reduction
        self.side = OrderSide.BUY if is_buy else OrderSide.SELL
        self.price = quote.ask if is_buy else quote.bid

    @property
    def step(self) -> Decimal:
        """What quantities are multiples of."""
        assert self.line.instrument is not None, "a draft is made for known lines only"
        return self.line.instrument.lot_size if self.parts is None else self.parts.step

    @property
    def notional_min(self) -> Decimal:
        """The venue's smallest order; one rule for all orders of a line that deals in parts."""
        assert self.line.instrument is not None, "a draft is made for known lines only"
        least = self.line.instrument.notional_min
        return least if self.parts is None else max(least, self.parts.notional_min)


@dataclass(slots=True, eq=False)
class Line:
    """One instrument while the plan is being made."""

    instrument_id: InstrumentId
    is_managed: bool
    instrument: Instrument | None
    quote: Quote | None
    long: Decimal  # magnitudes
    short: Decimal
    available: Decimal | None  # of the long part; None where open orders hold nothing back
    weight: Decimal  # of equity, the buffer taken off
    parts: PartTerms | None = None  # where the long part may be traded in parts of a lot
    target: Decimal = ZERO  # signed quantity, not rounded
    aim: Decimal | None = None  # where the plan brings it when that is the band's edge
    is_breached: bool = False
    reasons: list[LineReason] = field(default_factory=list)
    drafts: list[Draft] = field(default_factory=list)
    mid: Decimal = field(init=False)
    unit: Decimal = field(init=False)  # value of one unit of quantity at the plan's price; zero where there is none

    def __post_init__(self) -> None:
        self.mid = ZERO if self.quote is None else self.quote.mid
        self.unit = ZERO if self.instrument is None else self.mid * self.instrument.contract_size

    @property
    def current(self) -> Decimal:
        return self.long - self.short

    @property
    def wanted(self) -> Decimal:
        return self.target if self.aim is None else self.aim

    @property
    def lot(self) -> Decimal:
        """The step in which the line comes nearest to its target: only what is held long is traded in parts."""
        if self.instrument is None:
            return ONE
        is_long = self.parts is not None and self.short == 0 and self.target >= 0
        return self.parts.step if self.parts is not None and is_long else self.instrument.lot_size

    @property
    def is_hedged(self) -> bool:
        return bool(self.long and self.short)

    def drop(self, drafts: Iterable[Draft], reason: LineReason) -> None:
        """Take orders out again and say why, once."""
        dropped = list(drafts)
        self.drafts = [draft for draft in self.drafts if draft not in dropped]
        if dropped and reason not in self.reasons:
            self.reasons.append(reason)


def filter_reason(draft: Draft, quantity: Decimal, portfolio: Portfolio) -> LineReason | None:
    """Why the venue would refuse an order of this quantity, or None."""
    instrument, quote = draft.line.instrument, draft.line.quote
    assert instrument is not None and quote is not None
    if quantity < draft.step:
        return LineReason.BELOW_LOT
    if quantity < instrument.quantity_min:
        return LineReason.BELOW_QUANTITY_MIN
    cautious = quote.bid
    if draft.side is OrderSide.SELL and portfolio.order_style is not OrderStyle.MARKET:
        cautious = quote.bid * (ONE - portfolio.collar)
    if quantity * instrument.contract_size * cautious < draft.notional_min:
        return LineReason.BELOW_NOTIONAL_MIN
    return None
