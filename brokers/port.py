"""The one port: what every venue adapter offers. Synchronous, no Prefect, no database.

Every method raises only `brokers.errors.BrokerError`. Reads may be asked again when the error is `retryable`; `place`
may not: it is called by `trading.orders` alone, with a ticket that the transport lets through once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from brokers.capabilities import Capabilities, OrderIdentity
from brokers.errors import Unsupported
from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.types import (
    AccountProof,
    Balance,
    CashEvent,
    ClockReading,
    Fill,
    Instrument,
    LeverageInfo,
    MarginHealth,
    MarginMode,
    Order,
    OrderAck,
    OrderRequest,
    Position,
    PositionMode,
    PreparedOrder,
    ProfitAndLoss,
    Quote,
)
from brokers.wire import SendTicket, WireRecord


class Broker(ABC):
    """One account at one venue."""

    account_id: AccountId
    capabilities: Capabilities

    @property
    def order_requests_sent(self) -> int | None:
        """How many order requests have left this connection, counted by its transport; None where nothing counts."""
        return None

    # -- connection ---------------------------------------------------------------------------------------------
    @abstractmethod
    def connect(self) -> AccountProof:
        """Prove host, key, permissions and clock; EnvironmentMismatch when they do not belong together."""

    @abstractmethod
    def clock_reading(self) -> ClockReading:
        """Measure the venue's clock; also sets the offset that later signatures use."""

    @abstractmethod
    def close(self) -> None:
        """Release sockets. No request may follow."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- market data that operations need -----------------------------------------------------------------------
    @abstractmethod
    def instruments(self, ids: Iterable[InstrumentId] | None = None) -> tuple[Instrument, ...]:
        """The instruments asked for, or all; InstrumentUnknown names the first id that the venue does not list."""

    @abstractmethod
    def quotes(self, ids: Sequence[InstrumentId]) -> tuple[Quote, ...]:
        """Quotes in the order asked, in as few requests as the venue offers."""

    # -- account ------------------------------------------------------------------------------------------------
    @abstractmethod
    def balances(self) -> tuple[Balance, ...]:
        """Every currency with a balance or a liability."""

    @abstractmethod
    def positions(self) -> tuple[Position, ...]:
        """Every open position (in hedge mode one per side)."""

    @abstractmethod
    def margin_health(self) -> MarginHealth: ...

    @abstractmethod
    def profit_and_loss(self) -> tuple[ProfitAndLoss, ...]: ...

    @abstractmethod
    def leverage(self, instrument_id: InstrumentId) -> LeverageInfo: ...

    @abstractmethod
    def set_leverage(self, instrument_id: InstrumentId, leverage: Decimal) -> LeverageInfo:
        """Set, read back, compare; the result is what was read. 'Not modified' is success."""

    @abstractmethod
    def set_position_mode(self, instrument_id: InstrumentId, mode: PositionMode) -> LeverageInfo:
        """Set, read back, compare."""

    def set_margin_mode(self, instrument_id: InstrumentId, mode: MarginMode) -> LeverageInfo:
        """Set, read back, compare; Unsupported where the mode belongs to the account or cannot be set here."""
        raise Unsupported(f"margin mode {mode} of {instrument_id} on {self.account_id}: it is set on the venue's site")

    # -- orders: reads ------------------------------------------------------------------------------------------
    @abstractmethod
    def find_order(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> Order | None:
        """Open and recent orders first, then history. None means: all reads succeeded and none shows it."""

    @abstractmethod
    def open_orders(self) -> tuple[Order, ...]: ...

    @abstractmethod
    def order_history(self, *, since: datetime, until: datetime) -> tuple[Order, ...]:
        """Every closed order that the venue still shows, paged to the end."""

    @abstractmethod
    def fills(self, *, since: datetime, until: datetime, instrument_id: InstrumentId | None = None) -> tuple[Fill, ...]:
        """Every fill in the window, oldest first, paged to the end; funding and settlement rows are not fills."""

    @abstractmethod
    def cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """Every wallet change in the window, oldest first, paged to the end; unknown kinds come as UNMAPPED."""

    # -- orders: writes, for trading.orders only ----------------------------------------------------------------
    @abstractmethod
    def identity(self, instrument_id: InstrumentId) -> OrderIdentity:
        """How an order in this instrument is identified and resolved."""

    @abstractmethod
    def prepare_order(self, request: OrderRequest, client_order_id: ClientOrderId) -> PreparedOrder:
        """Freeze the payload without sending; InvalidOrder or Unsupported when it cannot be."""

    @abstractmethod
    def place(self, prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
        """Send once. NotSent, Refused or OutcomeUnknown; the evidence is in `ticket.record` either way."""

    def arm_dead_man(self, timeout_s: int, *, instrument_id: InstrumentId | None = None) -> bool:
        """Have the venue cancel this account's orders when it hears nothing for `timeout_s`; call it again before that.

        `instrument_id` is given where each instrument has a switch of its own; 0 takes a countdown back. Whether the
        venue acknowledged it: False while it has the request and does not show it yet. Unsupported, with the reason,
        where the venue has no switch that this account makes act (`capabilities.dead_man`).
        """
        switch = self.capabilities.dead_man
        raise Unsupported(f"dead-man switch of {timeout_s} s on {self.account_id}: {switch.kind}: {switch.note}")

    @abstractmethod
    def cancel(
        self,
        *,
        instrument_id: InstrumentId,
        client_order_id: ClientOrderId | None = None,
        venue_order_id: VenueOrderId | None = None,
    ) -> WireRecord:
        """Ask for cancellation (may be repeated freely). OrderAlreadyDone and OrderNotFound: read the order again."""


@runtime_checkable
class PartialCashFeed(Protocol):
    """A venue that tells the wallet changes of some products of an account (`Capabilities.cash_event_products`)."""

    def partial_cash_events(self, *, since: datetime, until: datetime) -> tuple[CashEvent, ...]:
        """Their wallet changes in the window, oldest first; what moved within the account adds up to nothing."""
