"""What is compared, and what comes out: two views of one account, breaks, findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.ids import AccountId, ClientOrderId, InstrumentId, VenueOrderId
from brokers.rounding import MONEY, decimal_text
from brokers.strictjson import encode
from brokers.types import ZERO, Balance, CashEvent, Fill, LeverageInfo, Order, Position
from ledger.adjustments import Correction
from ledger.breaks import SeenBreak, break_id
from ledger.locks import EVERYTHING
from trading.reconciliation.kinds import BreakKind, Lock, Severity
from trading.reconciliation.settled import Settled

NO_TOLERANCES: Mapping[str, Decimal] = {}
FEES_DUE = "fees_due_at_most"  # evidence of a balance: what may have left in fees that the venue tells of later


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerances:
    """How far amounts may be apart: 0 where the venue is exact, by currency or instrument where it is not.

    `unposted`: by currency, how much less than the books the venue may show for fees that it tells of later.
    `guard`: facts younger than this are on their way, and are reported as pending instead of broken.
    """

    balances: Mapping[str, Decimal] = field(default_factory=lambda: NO_TOLERANCES)
    positions: Mapping[str, Decimal] = field(default_factory=lambda: NO_TOLERANCES)
    unposted: Mapping[str, Decimal] = field(default_factory=lambda: NO_TOLERANCES)
    guard: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnresolvedOrder:
    """An intent whose order is not settled: sent without a known outcome, or adopted late."""

    subject: str  # intent id
    instrument_id: InstrumentId
    is_adopted_late: bool
    state: str
    quantity: Decimal
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ownership:
    """Which orders are ours, by our scheme of client order ids and by what the ledger placed, and which were claimed.

    `claimed`: subjects of external orders and trades that have an owner.
    """

    is_ours: Callable[[ClientOrderId], bool]
    placed: frozenset[VenueOrderId] = frozenset()
    claimed: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerView:
    """What the ledger knows. Fills and cash events are those later than the venue view's window start, read once.

    `positions` and `balances` are the ledger's own sums up to the venue view's `read_at`: opening figures plus all
    evidence, correcting entries and inferred fills. The `…_known_until` say how far each feed was imported: a venue
    fact then or later is news, not a break. `corrections` are entries about single facts, by subject; `inferred` is
    what an order's fills lack and the position counts all the same. Without `ownership` no order is called external.
    `settled`: facts that both sides hold alike and that are in neither view.
    """

    account_id: AccountId
    orders: Sequence[Order]
    fills: Iterable[Fill]
    cash_events: Iterable[CashEvent]
    positions: Mapping[InstrumentId, Decimal]
    balances: Mapping[str, Decimal]
    unresolved: Sequence[UnresolvedOrder] = ()
    orders_known_until: datetime
    fills_known_until: datetime
    cash_events_known_until: datetime
    expected_leverage: Mapping[InstrumentId, Decimal] = field(default_factory=dict)
    has_traded: bool = False  # since the opening figures
    corrections: Mapping[str, Correction] = field(default_factory=dict)
    inferred: Mapping[VenueOrderId, Decimal] = field(default_factory=dict)
    ownership: Ownership | None = None
    settled: Settled = field(default_factory=Settled)


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueView:
    """What the venue says: positions and balances at `read_at`, the histories after it and from `window_start`.

    `feed_is_whole`: False where wallet changes are known from trades alone, so that a deposit is told by nothing.
    `fills_are_totals`: an order's fills are one, given when it is over; what an open one has filled stands on it.
    """

    account_id: AccountId
    orders: Sequence[Order]
    fills: Iterable[Fill]
    cash_events: Iterable[CashEvent]
    positions: Sequence[Position]
    balances: Sequence[Balance]
    leverages: Sequence[LeverageInfo] = ()
    window_start: datetime
    read_at: datetime
    has_cash_feed: bool = True
    feed_is_whole: bool = True
    fills_are_totals: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """One difference. `difference` is venue minus ledger."""

    kind: BreakKind
    subject: str
    instrument_id: InstrumentId | None = None
    currency: str | None = None
    ledger_amount: Decimal | None = None
    venue_amount: Decimal | None = None
    tolerance: Decimal = ZERO
    evidence: Mapping[str, str] = field(default_factory=dict)

    @property
    def severity(self) -> Severity:
        return self.kind.severity

    @property
    def difference(self) -> Decimal | None:
        if self.ledger_amount is None or self.venue_amount is None:
            return None
        return MONEY.subtract(self.venue_amount, self.ledger_amount)

    def id_for(self, account_id: AccountId) -> str:
        """The same difference has the same id for ever."""
        return break_id(account_id, self.kind.value, self.subject)

    @property
    def locks(self) -> str:
        """The instrument that it locks once it is sure, EVERYTHING, or "" for none."""
        if self.kind.lock is Lock.NONE:
            return ""
        is_of_instrument = self.kind.lock is not Lock.ACCOUNT and self.instrument_id is not None
        return str(self.instrument_id) if is_of_instrument else EVERYTHING

    def as_seen(self) -> SeenBreak:
        """The form in which the ledger stores it."""
        return SeenBreak(
            kind=self.kind.value,
            severity=self.severity.value,
            subject=self.subject,
            instrument_id=None if self.instrument_id is None else str(self.instrument_id),
            currency=self.currency,
            ledger_amount=self.ledger_amount,
            venue_amount=self.venue_amount,
            difference=self.difference,
            tolerance=self.tolerance,
            evidence=encode(dict(self.evidence)),
            may_be_timing=self.kind.may_be_timing,
            locks=self.locks,
            lets_reductions_out=self.kind.lock.lets_reductions_out,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The outcome. `pending` are the subjects of differences too young to judge, `news` facts after the last import.

    `not_compared` says what the venue gives no means to judge, and why. `replaced` are the subjects of fills that the
    feed shows late and that were inferred until now. `expected`: differences that fees explain which the venue tells
    of later.
    """

    breaks: tuple[Break, ...]
    pending: tuple[str, ...]
    news: Mapping[str, int]
    compared: Mapping[str, int]
    unjudged: frozenset[tuple[str, str]] = frozenset()  # kinds and subjects for which one side's fact was not at hand
    not_compared: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    expected: tuple[str, ...] = ()

    @property
    def is_clean(self) -> bool:
        return not self.breaks

    def by_kind(self) -> Counter[BreakKind]:
        return Counter(item.kind for item in self.breaks)

    def is_unjudged(self, kind: str, subject: str) -> bool:
        """Whether this comparison can say neither that such a break is there nor that it is gone."""
        return subject in self.pending or (kind, subject) in self.unjudged


@dataclass(slots=True)
class Collector:
    """Gathers findings while the views are compared."""

    now: datetime
    tolerances: Tolerances
    breaks: list[Break] = field(default_factory=list)
    pending: list[str] = field(default_factory=list)
    news: Counter[str] = field(default_factory=Counter)
    compared: Counter[str] = field(default_factory=Counter)
    unjudged: set[tuple[str, str]] = field(default_factory=set)
    not_compared: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def is_young(self, *times: datetime) -> bool:
        """Whether any of the times lies within the guard before now (or after it)."""
        return any(self.now - time < self.tolerances.guard for time in times)

    def findings(self) -> Findings:
        ordered = sorted(self.breaks, key=lambda item: (item.kind.value, item.subject))
        return Findings(
            breaks=tuple(ordered),
            pending=tuple(sorted(set(self.pending))),
            news=dict(sorted(self.news.items())),
            compared=dict(sorted(self.compared.items())),
            unjudged=frozenset(self.unjudged),
            not_compared=tuple(self.not_compared),
            replaced=tuple(sorted(self.replaced)),
            expected=tuple(self.expected),
        )


def text_of(value: object) -> str:
    """A value as evidence: decimals plain, times ISO, enums by their value, None empty."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return decimal_text(value)
    return value.isoformat() if isinstance(value, datetime) else str(value)
