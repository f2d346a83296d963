"""What the parts of one desk share: ledger, venue, clocks, limits, and readings of the account with their age."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import TypeVar

from sqlmodel import Session

from brokers.capabilities import OrderIdentity
from brokers.clock import Clock
from brokers.errors import BrokerError, InstrumentUnknown
from brokers.ids import Environment, InstrumentId
from brokers.port import Broker
from brokers.types import Balance, ClockReading, Instrument, Position, ProductKind, Quote
from ledger.contract_sizes import contract_sizes
from ledger.control_file import ControlFile
from ledger.controls import effective_control, scopes_of, states_of
from ledger.engine import Ledger
from ledger.states import ControlState
from trading.arming import ArmingGuard
from trading.orders.crash import crash_point
from trading.orders.pool import held_instruments
from trading.orders.protocol import ProtocolLimits
from trading.orders.quotes import SharedQuotes
from trading.orders.reasons import OrderReason
from trading.orders.spool import Spool
from trading.risk import RiskPolicy, policy_sha256

T = TypeVar("T")
_READ_TRIES = 3
_READ_PAUSE_S = 0.5
_PATIENCE = 4  # a reading may wait for this part of a lease: a step takes up to three readings


@dataclass(frozen=True, slots=True)
class AccountReading:
    """Equity, positions and balances as read at `taken_at` (our clock); None where a read failed."""

    taken_at: datetime
    read_at_monotonic_s: float
    equity: Decimal | None
    positions: tuple[Position, ...] | None
    balances: tuple[Balance, ...] | None


@dataclass
class DeskContext:
    """Shared by sending, resolving and tracking of one desk. Its caches are only ever replaced by fresher readings."""

    ledger: Ledger
    broker: Broker
    clock: Clock
    policy: RiskPolicy
    worker: str
    pool: str
    limits: ProtocolLimits
    spool: Spool
    control_file: ControlFile | None = None
    dry_run: bool = False
    arming: ArmingGuard | None = None  # without one nothing that needs an arming leaves
    instruments: dict[InstrumentId, Instrument] = field(default_factory=dict)
    _instruments_read_at_s: dict[InstrumentId, float] = field(default_factory=dict)
    reading: AccountReading | None = None
    _venue_clock: ClockReading | None = None
    _venue_clock_at_s: float = float("-inf")
    _venue_clock_local: datetime | None = None

    @property
    def account_id(self) -> str:
        return str(self.broker.account_id)

    @property
    def environment(self) -> Environment:
        return self.broker.account_id.environment

    @cached_property
    def policy_sha256(self) -> str:
        """The hash of the policy that this desk runs with."""
        return policy_sha256(self.policy)

    def crash(self, name: str) -> None:
        """Pass a crash point."""
        crash_point(name, self.environment)

    def control(self, session: Session) -> ControlState:
        """What account and pool let out: the database as of this transaction, the control file as of now."""
        return effective_control(session, self.account_id, self.pool, file=self.control_file)

    def controls(self, session: Session, strategy: str) -> tuple[ControlState, ControlState]:
        """The same, and what counts for one more scope, a strategy's: one query for both."""
        groups = [scopes_of(self.account_id, self.pool), [strategy]]
        together, of_strategy = states_of(session, groups, file=self.control_file)
        return together, of_strategy

    def identity(self, instrument_id: str) -> OrderIdentity:
        return self.broker.identity(InstrumentId(instrument_id))

    # -- time ---------------------------------------------------------------------------------------------------
    @property
    def offset(self) -> timedelta:
        """Venue time minus ours, as last measured."""
        return self._venue_clock.offset if self._venue_clock else timedelta(0)

    def venue_now(self) -> datetime:
        return self.clock.now() + self.offset

    @property
    def measured_venue_time(self) -> datetime:
        """The venue's own time in the last measure: no step of our clock can move it."""
        assert self._venue_clock is not None, "measure_clock comes first"
        return self._venue_clock.venue_time

    def clock_problem(self) -> tuple[OrderReason, str] | None:
        """Measure the venue's clock when the last measure is old; say why it is not safe to send, or None."""
        age_s = self.clock.monotonic() - self._venue_clock_at_s
        if age_s > self.limits.clock_age_s_max or self._clock_stepped_s(age_s) > self.limits.clock_error_s_max:
            return self.measure_clock()
        return self._judge_clock()

    def measure_clock(self) -> tuple[OrderReason, str] | None:
        """Read the venue's clock now, whatever is known of it; say why the measure is no use, or None."""
        self._venue_clock_at_s = float("-inf")  # what was measured before counts for look-up windows only
        try:
            self._venue_clock = self.broker.clock_reading()
        except BrokerError as error:
            return OrderReason.CLOCK_UNREADABLE, f"{error.reason}: {error.message}"
        self._venue_clock_at_s, self._venue_clock_local = self.clock.monotonic(), self.clock.now()
        return self._judge_clock()

    def _clock_stepped_s(self, age_s: float) -> float:
        """By how much our clock and its monotonic sister disagree on the time since the last measure."""
        if self._venue_clock_local is None:
            return 0.0
        return abs((self.clock.now() - self._venue_clock_local).total_seconds() - age_s)

    def _judge_clock(self) -> tuple[OrderReason, str] | None:
        assert self._venue_clock is not None
        offset_s = self._venue_clock.offset.total_seconds()
        error_s = self._venue_clock.error.total_seconds()
        if abs(offset_s) > self.limits.clock_offset_s_max or error_s > self.limits.clock_error_s_max:
            self._venue_clock_at_s = float("-inf")  # measure again before the next try
            return OrderReason.CLOCK_UNSAFE, (
                f"offset must be within {self.limits.clock_offset_s_max} s and its error within "
                f"{self.limits.clock_error_s_max} s, was {offset_s:.3f} s and {error_s:.3f} s"
            )
        return None

    # -- readings -----------------------------------------------------------------------------------------------
    def instrument(self, instrument_id: InstrumentId) -> Instrument | None:
        """The instrument's filters, read again when old; None when the venue does not know it or cannot be read.

        What cannot be read again is not sent, but what is held of it is still valued by what was known of it.
        """
        now_s = self.clock.monotonic()
        read_at_s = self._instruments_read_at_s.get(instrument_id, float("-inf"))
        if instrument_id not in self.instruments or now_s - read_at_s > self.limits.instrument_age_s_max:
            try:
                found = self._patiently(lambda: self.broker.instruments([instrument_id]), self._patience_until_s())
            except BrokerError:
                return None
            self.instruments.update({instrument.instrument_id: instrument for instrument in found})
            self._instruments_read_at_s |= dict.fromkeys((item.instrument_id for item in found), now_s)
        return self.instruments.get(instrument_id)

    def contract_sizes(self, session: Session, names: Iterable[str]) -> dict[str, Decimal]:
        """What a unit of each is worth in its base currency: as read, or as noted with an order or a holding of it.

        The second counts for what the venue lists no more.
        """
        read = {name: self.instruments.get(InstrumentId(name)) for name in names}
        sizes = {name: found.contract_size for name, found in read.items() if found is not None}
        if len(sizes) == len(read):
            return sizes
        noted = contract_sizes(session, self.broker.account_id.venue)
        return {**{name: noted[name] for name in read if name in noted}, **sizes}

    def quote(self, instrument_id: InstrumentId) -> Quote:
        """A fresh quote, or the venue's error."""
        return self.broker.quotes([instrument_id])[0]

    @cached_property
    def quotes(self) -> SharedQuotes:
        """The quotes of orders that are sent, shared among those that are sent together."""
        return SharedQuotes(
            self.broker, clock=self.clock, venue_now=self.venue_now, age_s_max=self.policy.quote_age_limit
        )

    def account(self, *, instrument_id: InstrumentId, fresh: bool = False) -> AccountReading:
        """Positions and equity (balances too for spot), not older than the policy allows."""
        known, needs_balances = self.reading, self._is_spot(instrument_id)
        if known is not None and not fresh:
            age_s = self.clock.monotonic() - known.read_at_monotonic_s
            complete = known.equity is not None and known.positions is not None
            complete = complete and (known.balances is not None or not needs_balances)
            if complete and age_s <= float(self.policy.account_age_s_max):
                return known
        self.reading = self._read_account(needs_balances)
        return self.reading

    def _read_account(self, needs_balances: bool) -> AccountReading:
        taken_at, at_s = self.clock.now(), self.clock.monotonic()
        until_s = self._patience_until_s()
        equity: Decimal | None = None
        positions: tuple[Position, ...] | None = None
        balances: tuple[Balance, ...] | None = None
        try:
            equity = self._patiently(self.broker.margin_health, until_s).equity
            positions = self._patiently(self.broker.positions, until_s)
            held = {position.instrument_id for position in positions}
            for needed in sorted(held.union(self._pool_instruments())):  # contract sizes are needed to value them
                self.instrument(needed)
            balances = self._patiently(self.broker.balances, until_s) if needs_balances else None
        except BrokerError:
            pass  # what is None is refused by the risk check, with its own reason
        return AccountReading(taken_at, at_s, equity, positions, balances)

    def _pool_instruments(self) -> tuple[InstrumentId, ...]:
        with self.ledger.read() as session:
            return held_instruments(session, self.account_id)

    def _is_spot(self, instrument_id: InstrumentId) -> bool:
        instrument = self.instrument(instrument_id)
        return instrument is not None and instrument.product is ProductKind.SPOT

    def _patience_until_s(self) -> float:
        return self.clock.monotonic() + self.limits.lease_s / _PATIENCE

    def _patiently(self, read: Callable[[], T], until_s: float) -> T:
        """A read asked again a few times where that may help, never waiting past `until_s`: a lease is running."""
        for _ in range(_READ_TRIES - 1):
            try:
                return read()
            except InstrumentUnknown:
                raise
            except BrokerError as error:
                wait_s = error.retry_after_s or _READ_PAUSE_S
                if not error.retryable or self.clock.monotonic() + wait_s > until_s:
                    raise
                self.clock.wait(wait_s)
        return read()
