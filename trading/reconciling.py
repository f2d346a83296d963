"""Reconcile an account: read the venue, compare with the ledger, store run and breaks, then import what was missing.

The comparison comes before the import, so that it can find what an import has missed: what lies before a feed's
cursor should be known already and is a break when it is not; what lies after it is news. Missing evidence is imported
after the breaks were stored, and the next run clears them. A venue that cannot be read is NOT_RECONCILED with the
reason, which is never called clean and clears nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal

from brokers.capabilities import Capabilities
from brokers.errors import BrokerError
from brokers.ids import AccountId, InstrumentId
from brokers.reasons import Reason
from brokers.strictjson import encode
from brokers.types import CashEvent, Fill, Order
from ledger.breaks import BreakChanges, open_breaks, record_breaks, record_run
from ledger.engine import ConflictingEvidence, NoBaseline
from ledger.records import (
    insert_cash_events,
    insert_fills,
    lock_account,
    upsert_orders,
)
from ledger.snapshots import baseline
from ledger.states import ReconciliationOutcome, SnapshotPurpose
from trading.books import (
    Books,
    OpenBreak,
    books_of,
    equation_summary,
    news_of,
    open_of,
    outcome_of,
    still_open,
    with_accepted,
)
from trading.cash_flows import cash_flows
from trading.inferring import store_inferences
from trading.ledger_view import ledger_view
from trading.reconciliation import BreakKind, Findings, Tolerances, reconcile
from trading.reconciliation.accepting import is_as_accepted
from trading.reconciliation.equation import Rounding, equations, judge
from trading.reconciliation.unposted import POSTED_WITHIN, unposted_fees
from trading.runtime import Runtime
from trading.settling import settled
from trading.steps import Step, StepKind, call_directly
from trading.sync import SyncResult, sync_account
from trading.venue_reading import VenueReading, read_venue

SCOPE = "full"
LOOKBACK = timedelta(days=7)
READINGS_MAX = 3
_FEED_KINDS = frozenset(kind for kind in BreakKind if kind.value.startswith("CASH_EVENT")) | {
    BreakKind.BALANCE_UNEXPLAINED,
    BreakKind.CASH_FEED_INCOMPLETE,
    BreakKind.BALANCE_EQUATION_INCOMPLETE,
}


class ReconcilingReason(Reason):
    """Stable codes of this module."""

    RECONCILING_STILL_PENDING = (
        "RECONCILING_STILL_PENDING",
        "Differences were too young to judge at every reading, so the account is not called clean.",
        "Reconcile again when the account is quiet.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationResult:
    """One run. `reason` and `detail` say why an account was not reconciled, or why an import was refused.

    `still_open`: kind and subject of breaks from former runs that this run neither saw nor could clear and that nobody
    has accepted; the outcome is BREAKS while there is one, or while it saw one that is not as it was accepted.
    """

    account_id: AccountId
    run_id: int
    outcome: ReconciliationOutcome
    findings: Findings | None
    changes: BreakChanges
    window_start: datetime | None
    started_at: datetime
    ended_at: datetime
    sync: SyncResult | None
    reason: str = ""
    detail: str = ""
    still_open: tuple[str, ...] = ()
    open_breaks: tuple[OpenBreak, ...] = ()  # all that are open after the run, with their age and acceptance
    books: Books | None = None

    @property
    def accepted(self) -> tuple[OpenBreak, ...]:
        """Those that are as a person accepted them."""
        return tuple(item for item in self.open_breaks if item.accepted is not None)


@dataclass(frozen=True, slots=True)
class _Options:
    lookback: timedelta
    tolerances: Tolerances
    expected_leverage: Mapping[InstrumentId, Decimal] = field(default_factory=dict)


def reconcile_account(
    runtime: Runtime,
    *,
    step: Step = call_directly,
    lookback: timedelta = LOOKBACK,
    tolerances: Tolerances = Tolerances(),
    expected_leverage: Mapping[InstrumentId, Decimal] | None = None,
) -> ReconciliationResult:
    """Compare the account both ways over `lookback` (never before its baseline) and store what was found.

    Positions and balances are compared over the whole time since the baseline. While something is too young to judge,
    the guard is waited for and the account is read again, READINGS_MAX times in all. Raises LedgerError only.
    """
    options = _Options(lookback, tolerances, expected_leverage or {})
    started_at = runtime.clock.now()
    try:
        start = step(f"read the ledger of {runtime.account_id}", StepKind.READ, lambda: _window_start(runtime, options))
        compared = _read_and_compare(runtime, start, options, step)
    except NoBaseline as error:
        return _not_reconciled(runtime, started_at, error.reason, str(error))
    except BrokerError as error:
        return _not_reconciled(runtime, started_at, error.reason, f"{error.code} {error.text or error.message}".strip())
    findings = compared.findings
    recorded = step(
        f"record {len(findings.breaks)} breaks",
        StepKind.RECORD,
        lambda: _record(runtime, compared, started_at, start),
    )
    sync, reason, detail = _import(runtime, findings, compared.reading, step)
    if not reason and recorded.outcome is ReconciliationOutcome.NOT_RECONCILED:
        reason, detail = ReconcilingReason.RECONCILING_STILL_PENDING, ", ".join(findings.pending)
    return ReconciliationResult(
        account_id=runtime.account_id,
        run_id=recorded.run_id,
        outcome=recorded.outcome,
        findings=findings,
        changes=recorded.changes,
        window_start=start,
        started_at=started_at,
        ended_at=runtime.clock.now(),
        sync=sync,
        reason=reason,
        detail=detail,
        still_open=recorded.still_open,
        open_breaks=recorded.standing,
        books=recorded.books,
    )


def _read_and_compare(runtime: Runtime, start: datetime, options: _Options, step: Step) -> _Compared:
    """Read and compare until nothing is pending, or READINGS_MAX times; the last reading counts."""
    for number in range(READINGS_MAX):
        if number:
            runtime.clock.wait(options.tolerances.guard.total_seconds())
        reading = read_venue(runtime, start, leverage_of=options.expected_leverage, step=step)
        compared = step(
            f"compare {runtime.account_id}",
            StepKind.READ,
            lambda reading=reading: _compare(runtime, start, reading, options),  # type: ignore[misc]
        )
        if not compared.findings.pending:
            break
    return compared


def _not_reconciled(runtime: Runtime, started_at: datetime, reason: str, detail: str) -> ReconciliationResult:
    ended_at = runtime.clock.now()
    with runtime.ledger.write() as session:
        run_id = record_run(
            session,
            runtime.account_id,
            outcome=ReconciliationOutcome.NOT_RECONCILED,
            summary=encode({"scope": SCOPE, "reason": reason, "detail": detail}),
            started_at=started_at,
            ended_at=ended_at,
        )
    return ReconciliationResult(
        account_id=runtime.account_id,
        run_id=run_id,
        outcome=ReconciliationOutcome.NOT_RECONCILED,
        findings=None,
        changes=BreakChanges(),
        window_start=None,
        started_at=started_at,
        ended_at=ended_at,
        sync=None,
        reason=reason,
        detail=detail,
    )


def _window_start(runtime: Runtime, options: _Options) -> datetime:
    """Where the comparison of facts begins: the look-back, further for facts in open breaks, never before baseline."""
    with runtime.ledger.read() as session:
        opening = baseline(session, runtime.account_id).taken_at
        start = runtime.clock.now() - options.lookback
        for row in open_breaks(session, runtime.account_id):
            time = json.loads(row.evidence or "{}").get("time")
            if time:
                start = min(start, datetime.fromisoformat(time) - timedelta(minutes=1))
    return max(start, opening)


# -- comparing -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Compared:
    """`reading`: with what was left of its histories to compare."""

    findings: Findings
    books: Books
    reading: VenueReading


def _compare(runtime: Runtime, start: datetime, reading: VenueReading, options: _Options) -> _Compared:
    """Compare inside one read of the ledger, so that its figures and facts are of one moment."""
    capabilities = runtime.broker.capabilities
    rounding = Rounding(
        Decimal(capabilities.cash_event_step),
        Decimal(capabilities.balance_step),
        frozenset(capabilities.rounded_currencies),
    )
    with runtime.ledger.read() as session:
        ours = ledger_view(session, runtime.account_id, since=start, until=reading.read_at, orders=())
        view, reading = settled(
            session,
            replace(ours, expected_leverage=options.expected_leverage),
            reading,
            since=start,
            keep_after=_keep_after(capabilities, reading, options.tolerances.guard),
        )
        news = news_of(session, view, reading)
        cash = cash_flows(
            session, runtime.account_id, until=reading.read_at, news=news.cash_events, new_fills=news.fills
        )
        computed = {
            currency: rounding.tolerance(flow.events, currency=currency)[0] for currency, flow in cash.flows.items()
        }
        unposted = {} if capabilities.fills_carry_fees else _unposted(capabilities, rounding, reading)
        balances = {**computed, **options.tolerances.balances}
        tolerances = replace(options.tolerances, balances=balances, unposted=unposted)
        findings = reconcile(view, reading.view(runtime, start), now=reading.now, tolerances=tolerances)
    found = equations(
        cash,
        ledger=view.balances,
        venue={item.currency: item.total for item in reading.balances},
        rounding=rounding,
        unposted=unposted,
    )
    judged, told = judge(findings, cash, found)
    return _Compared(judged, books_of(view, reading, news, told, cash), reading)


def _keep_after(capabilities: Capabilities, reading: VenueReading, guard: timedelta) -> datetime:
    """Facts after this are compared one by one even where both sides agree: their age tells something."""
    young = min(reading.read_at, reading.now - guard)
    return young if capabilities.fills_carry_fees else min(young, reading.now - POSTED_WITHIN)


def _unposted(capabilities: Capabilities, rounding: Rounding, reading: VenueReading) -> dict[str, Decimal]:
    steps = dict.fromkeys(rounding.currencies, rounding.balance)
    rate = Decimal(capabilities.fee_rate_taker)
    return unposted_fees(reading.fills, reading.cash_events, rate=rate, now=reading.now, steps=steps)


# -- storing and importing -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Recorded:
    run_id: int
    changes: BreakChanges
    outcome: ReconciliationOutcome
    still_open: tuple[str, ...]
    standing: tuple[OpenBreak, ...]
    books: Books


def _record(runtime: Runtime, compared: _Compared, started_at: datetime, start: datetime) -> _Recorded:
    """Store breaks and run in one commit; breaks that this run could not judge are not cleared."""
    findings, reading = compared.findings, compared.reading
    kinds = set(BreakKind) if reading.has_cash_feed else set(BreakKind) - _FEED_KINDS
    if not reading.leverages:
        kinds.discard(BreakKind.LEVERAGE_DIFFERS)
    summary = {
        "scope": SCOPE,
        "compared": dict(findings.compared),
        "news": dict(findings.news),
        "pending": list(findings.pending),
        "not_compared": list(findings.not_compared),
        "expected": list(findings.expected),
        "breaks": {kind.value: count for kind, count in sorted(findings.by_kind().items())},
        "window_start": start.isoformat(),
        "venue_read_at": reading.read_at.isoformat(),
    }
    with runtime.ledger.write() as session:
        at = runtime.ledger.now(session)
        changes = record_breaks(
            session,
            runtime.account_id,
            [item.as_seen() for item in findings.breaks],
            at=at,
            compared_kinds={kind.value for kind in kinds},
            is_unjudged=findings.is_unjudged,
            is_as_accepted=is_as_accepted,
        )
        store_inferences(session, runtime.account_id, findings, changes, reading.orders, at=at)
        standing = open_of(session, runtime.account_id, changes.accepted)
        books = with_accepted(compared.books, standing)
        outcome, left = outcome_of(standing, findings), still_open(standing, changes)
        run_id = record_run(
            session,
            runtime.account_id,
            outcome=outcome,
            summary=encode(
                {
                    **summary,
                    "equations": [equation_summary(item) for item in books.equations],
                    "still_open": list(left),
                    "accepted": [item.accepted_text for item in standing if item.accepted is not None],
                }
            ),
            started_at=started_at,
            ended_at=runtime.clock.now(),
        )
    return _Recorded(run_id, changes, outcome, left, standing, books)


def _import(
    runtime: Runtime, findings: Findings, reading: VenueReading, step: Step
) -> tuple[SyncResult | None, str, str]:
    """Take in what the comparison found missing, then sync as usual. Evidence that conflicts is refused and told."""
    wanted = {item.subject for item in findings.breaks if item.kind in _IMPORTED} | set(findings.replaced)
    try:
        step(
            "import missing evidence",
            StepKind.RECORD,
            lambda: _store_missing(
                runtime,
                [order for order in reading.orders if f"order {order.venue_order_id}" in wanted],
                [fill for fill in reading.fills if f"trade {fill.trade_id}" in wanted],
                [event for event in reading.cash_events if f"cash event {event.event_id}" in wanted],
            ),
        )
        synced = sync_account(
            runtime.ledger, runtime.broker, clock=runtime.clock, purpose=SnapshotPurpose.RECONCILIATION, step=step
        )
    except ConflictingEvidence as error:
        return None, error.reason, str(error)
    except BrokerError as error:
        return None, error.reason, error.message
    return synced, "", ""


_IMPORTED = frozenset(
    {
        BreakKind.ORDER_UNKNOWN_TO_LEDGER,
        BreakKind.ORDER_EXTERNAL,
        BreakKind.ORDER_STATUS_DIFFERS,
        BreakKind.ORDER_FILLED_QUANTITY_DIFFERS,
        BreakKind.FILL_MISSING_IN_LEDGER,
        BreakKind.CASH_EVENT_MISSING_IN_LEDGER,
    }
)


def _store_missing(runtime: Runtime, orders: list[Order], fills: list[Fill], events: list[CashEvent]) -> None:
    if not (orders or fills or events):
        return
    with runtime.ledger.write() as session:
        at = runtime.ledger.now(session)
        lock_account(session, runtime.account_id)
        upsert_orders(session, orders, at=at)
        insert_fills(session, fills, at=at)
        insert_cash_events(session, events, at=at)
