"""The light sweep: open orders and positions of an account against the ledger, every few seconds to minutes.

It reads the venue's open orders and positions, looks up orders that the ledger holds for open and no list shows, and
compares what it read. Only where a position differs does it read fills too, from the feed's cursor on, because news
explain most differences. Balances, fills and wallet changes are left to the full run; it says so.

Invariants
1. Nothing is imported and nothing is sent; breaks of the kinds that it compared are recorded, seen again or cleared.
2. A venue that cannot be read gives NOT_RECONCILED, never CLEAN, and clears nothing.
3. A run is stored when something changed, and at least every RECORDED_EVERY: sweeps do not fill the ledger.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Session, func, select

from brokers.errors import BrokerError
from brokers.ids import AccountId, InstrumentId
from brokers.strictjson import encode
from brokers.types import Fill, Order, Position
from ledger.break_tables import Adjustment, InferredFill
from ledger.breaks import BreakChanges, record_breaks, record_run
from ledger.engine import NoBaseline
from ledger.reconciliations import SWEEP
from ledger.records import Feed, cursor
from ledger.states import ReconciliationOutcome
from ledger.tables import FillRow
from trading.activity import acted_on, held_back
from trading.books import open_of, outcome_of, still_open
from trading.ledger_view import ledger_view, position_sums
from trading.reconciliation import BreakKind, Findings, Tolerances, VenueView, reconcile
from trading.reconciliation.accepting import is_as_accepted
from trading.reconciling import ReconcilingReason
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly
from trading.sync import OVERLAP
from trading.venue_reading import look_up

RECORDED_EVERY = timedelta(minutes=15)
NOT_SWEPT = "balances, fills and wallet changes (the full run compares them)"
SWEPT_KINDS = frozenset(
    {
        BreakKind.ORDER_MISSING_AT_VENUE,
        BreakKind.ORDER_UNKNOWN_TO_LEDGER,
        BreakKind.ORDER_STATUS_DIFFERS,
        BreakKind.ORDER_FILLED_QUANTITY_DIFFERS,
        BreakKind.ORDER_OUTCOME_UNKNOWN,
        BreakKind.ORDER_ADOPTED_LATE,
        BreakKind.POSITION_DIFFERS,
        BreakKind.POSITION_VANISHED,
        BreakKind.POSITION_UNKNOWN,
    }
)
_POSITIONS = frozenset({BreakKind.POSITION_DIFFERS, BreakKind.POSITION_VANISHED, BreakKind.POSITION_UNKNOWN})
Mark = tuple[int, datetime | None, datetime | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepResult:
    """One sweep. `run_id` is None where no run of its own was stored; `still_open` are breaks it could not judge.

    `accepted` are those, in words, that are open and as a person accepted them.
    """

    account_id: AccountId
    outcome: ReconciliationOutcome
    findings: Findings | None
    changes: BreakChanges = field(default_factory=BreakChanges)
    read_fills: bool = False
    still_open: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    run_id: int | None = None
    started_at: datetime
    ended_at: datetime
    reason: str = ""
    detail: str = ""

    @property
    def is_news(self) -> bool:
        """Whether a break came, went, came again or is no longer accepted."""
        found = self.changes
        return bool(found.opened or found.reopened or found.cleared or found.acceptance_ended)


@dataclass(frozen=True, slots=True)
class _Reading:
    """The venue's side. `since` is where its fills begin; None where none were read."""

    read_at: datetime
    orders: tuple[Order, ...]
    positions: tuple[Position, ...]
    fills: tuple[Fill, ...] = ()
    since: datetime | None = None

    def view(self, runtime: Runtime) -> VenueView:
        return VenueView(
            account_id=runtime.account_id,
            orders=self.orders,
            fills=self.fills,
            cash_events=(),
            positions=self.positions,
            balances=(),
            window_start=self.since or self.read_at,
            read_at=self.read_at,
            has_cash_feed=False,
            fills_are_totals=runtime.broker.capabilities.fills_are_totals,
        )


@dataclass(slots=True)
class Sweeper:
    """Sweeps one account again and again; remembers what need not be read twice."""

    runtime: Runtime
    tolerances: Tolerances = field(default_factory=Tolerances)
    sweeps: int = 0
    _positions: tuple[Mark, Mapping[InstrumentId, Decimal]] | None = None
    _last: tuple[ReconciliationOutcome, datetime] | None = None
    _recorded_at_sweep: int = 0

    def sweep(self, *, step: Step = call_directly) -> SweepResult:
        """One look. Raises LedgerError only."""
        runtime = self.runtime
        self.sweeps += 1
        started_at = runtime.clock.now()
        try:
            reading = self._read(step)
            findings = self._compare(reading)
            if any(item.kind in _POSITIONS for item in findings.breaks) or _has_position(findings.pending):
                reading = self._with_fills(reading, step)
                findings = self._compare(reading)
        except NoBaseline as error:
            return self._not_reconciled(started_at, error.reason, str(error))
        except BrokerError as error:
            return self._not_reconciled(started_at, error.reason, f"{error.code} {error.text or error.message}".strip())
        return self._record(findings, reading, started_at)

    # -- reading ------------------------------------------------------------------------------------------------
    def _read(self, step: Step) -> _Reading:
        broker, account = self.runtime.broker, self.runtime.account_id
        read_at = step("read the venue's clock", StepKind.READ, broker.clock_reading).venue_time
        positions = step(f"read positions of {account}", StepKind.READ, broker.positions)
        shown = {
            order.venue_order_id: order
            for order in step(f"read open orders of {account}", StepKind.READ, broker.open_orders)
        }
        return _Reading(read_at, (*shown.values(), *look_up(self.runtime, shown.keys(), step)), positions)

    def _with_fills(self, reading: _Reading, step: Step) -> _Reading:
        """The same account read again, with its fills since the feed's cursor: one moment, so that they belong."""
        broker, account = self.runtime.broker, self.runtime.account_id
        with self.runtime.ledger.read() as session:
            known_until = cursor(session, account, Feed.FILLS)
        since = (known_until or reading.read_at) - OVERLAP
        again = self._read(step)
        until = step("read the venue's clock", StepKind.READ, broker.clock_reading).venue_time
        fills = step(f"read fills of {account}", StepKind.READ, lambda: broker.fills(since=since, until=until))
        return replace(again, fills=fills, since=since)

    # -- comparing ----------------------------------------------------------------------------------------------
    def _compare(self, reading: _Reading) -> Findings:
        runtime, since = self.runtime, reading.since or reading.read_at
        with runtime.ledger.read() as session:
            now = runtime.ledger.now(session)
            active = acted_on(session, runtime.account_id, within=self.tolerances.guard, at=now)
            ours = ledger_view(
                session,
                runtime.account_id,
                since=since,
                until=reading.read_at,
                positions=self._held(session, reading.read_at),
                balances={},
            )
            # Whose orders are is left to the full run, which sees every one of them.
            fills = ours.fills if reading.since else ()
            view = replace(ours, cash_events=(), has_traded=True, fills=fills, ownership=None)
            found = reconcile(view, reading.view(runtime), now=reading.read_at, tolerances=self.tolerances)
        return replace(held_back(found, active), not_compared=(NOT_SWEPT,))

    def _held(self, session: Session, until: datetime) -> Mapping[InstrumentId, Decimal]:
        """The ledger's positions; summed again only when evidence came that moves them."""
        mark = evidence_mark(session, self.runtime.account_id)
        is_later = mark[2] is not None and mark[2] > until
        if self._positions is None or self._positions[0] != mark or is_later:
            self._positions = (mark, position_sums(session, self.runtime.account_id, until=until))
        return self._positions[1]

    # -- recording ----------------------------------------------------------------------------------------------
    def _record(self, findings: Findings, reading: _Reading, started_at: datetime) -> SweepResult:
        """Store breaks, and a run where something changed or none was stored for a while, in one commit."""
        runtime = self.runtime
        with runtime.ledger.write() as session:
            changes = record_breaks(
                session,
                runtime.account_id,
                [item.as_seen() for item in findings.breaks],
                at=runtime.ledger.now(session),
                compared_kinds={kind.value for kind in SWEPT_KINDS},
                is_unjudged=findings.is_unjudged,
                is_as_accepted=is_as_accepted,
            )
            standing = open_of(session, runtime.account_id, changes.accepted)
            outcome = outcome_of(standing, findings)
            result = SweepResult(
                account_id=runtime.account_id,
                outcome=outcome,
                findings=findings,
                changes=changes,
                read_fills=reading.since is not None,
                still_open=still_open(standing, changes),
                accepted=tuple(item.accepted_text for item in standing if item.accepted is not None),
                started_at=started_at,
                ended_at=runtime.clock.now(),
                reason=ReconcilingReason.RECONCILING_STILL_PENDING.value
                if outcome is ReconciliationOutcome.NOT_RECONCILED
                else "",
                detail=", ".join(findings.pending),
            )
            return replace(result, run_id=self._store_run(session, result))

    def _not_reconciled(self, started_at: datetime, reason: str, detail: str) -> SweepResult:
        result = SweepResult(
            account_id=self.runtime.account_id,
            outcome=ReconciliationOutcome.NOT_RECONCILED,
            findings=None,
            started_at=started_at,
            ended_at=self.runtime.clock.now(),
            reason=reason,
            detail=detail,
        )
        with self.runtime.ledger.write() as session:
            return replace(result, run_id=self._store_run(session, result))

    def _store_run(self, session: Session, result: SweepResult) -> int | None:
        is_same = self._last is not None and self._last[0] is result.outcome and not result.is_news
        if is_same and self._last is not None and result.ended_at - self._last[1] < RECORDED_EVERY:
            return None
        found = result.findings
        summary = {
            "scope": SWEEP,
            "sweeps": self.sweeps - self._recorded_at_sweep,
            "compared": {} if found is None else dict(found.compared),
            "pending": [] if found is None else list(found.pending),
            "not_compared": [NOT_SWEPT],
            "breaks": {} if found is None else {kind.value: count for kind, count in sorted(found.by_kind().items())},
            "still_open": list(result.still_open),
            "accepted": list(result.accepted),
            "reason": result.reason,
            "detail": result.detail,
        }
        self._last, self._recorded_at_sweep = (result.outcome, result.ended_at), self.sweeps
        return record_run(
            session,
            result.account_id,
            outcome=result.outcome,
            summary=encode(summary),
            started_at=result.started_at,
            ended_at=result.ended_at,
        )


def sweep_account(
    runtime: Runtime, *, step: Step = call_directly, tolerances: Tolerances = Tolerances()
) -> SweepResult:
    """One sweep on its own."""
    return Sweeper(runtime, tolerances).sweep(step=step)


def evidence_mark(session: Session, account_id: AccountId) -> Mark:
    """Changes whenever something comes that moves the ledger's positions; its last part is the newest fill's time."""
    table = FillRow.__table__  # type: ignore[attr-defined]
    query = select(func.count(), func.max(table.c.recorded_at), func.max(table.c.time)).where(
        table.c.account_id == str(account_id)
    )
    count, recorded_at, time = session.connection().execute(query).one()
    beside = (Adjustment, InferredFill)  # rows are only ever added, so their number tells
    others = [
        session.exec(select(func.count()).select_from(model).where(model.account_id == str(account_id))).one()
        for model in beside
    ]
    return count + sum(others), recorded_at, time


def _has_position(subjects: Iterable[str]) -> bool:
    return any(subject.startswith("position ") for subject in subjects)
