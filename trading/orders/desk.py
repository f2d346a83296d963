"""The order desk: what jobs call. An intent puts at most one order on a venue, and none is lost.

`submit` is idempotent by business key; `advance` takes one step, holds at most one conversation with the venue and may
be called by anyone, anywhere, any time; `drive` advances until nothing more happens by itself; `sweep` does so for all
intents of the account that others left behind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from sqlmodel import col, select

from brokers.clock import Clock
from brokers.errors import BrokerError
from brokers.ids import Environment, IntentId
from brokers.port import Broker
from ledger.control_file import ControlFile
from ledger.engine import Ledger
from ledger.states import CancelState, IntentState, ObservationSource
from ledger.tables import OrderIntent
from trading.arming import ArmingGuard
from trading.orders import resolving, store, tracking
from trading.orders.adopting import Sightings, check_orders
from trading.orders.clearing import Clearing
from trading.orders.context import DeskContext
from trading.orders.counting import begin_counting
from trading.orders.deciding import Verdict, decide
from trading.orders.gates import may_go
from trading.orders.intake import Also, judge, receive
from trading.orders.intents import IntentView, WantedOrder, view_of
from trading.orders.moves import Who
from trading.orders.protocol import Action, ProtocolLimits, Step, next_step
from trading.orders.sending import send
from trading.orders.spool import Spool, spool_of
from trading.risk import RiskPolicy
from trading.steps import Step as JobStep
from trading.steps import StepKind, call_directly

S = IntentState
_PASS_PAUSE_S = 0.02
_FRESH_S = 0.5  # a decision older than that is made again
_HISTORY_S = 86_400.0
_UNSENT = frozenset({S.RECEIVED, S.READY})
_BY_RECORD = frozenset({Action.RELEASE, Action.TAKE_OVER, Action.APPLY_ANSWER})

Handler = Callable[[DeskContext, OrderIntent, Step], None]
Decided = tuple[OrderIntent, Step, datetime]


def _is_over(view: IntentView) -> bool:
    return view.is_over


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep found and moved. `unread` says why the venue's open orders could not be compared, if so."""

    advanced: tuple[IntentView, ...]
    spooled: int
    sightings: Sightings
    unread: str = ""


class OrderDesk:
    """One account's desk. Safe to use from several threads and processes: every move is compare-and-set."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        broker: Broker,
        clock: Clock,
        policy: RiskPolicy,
        worker: str,
        pool: str = "",
        limits: ProtocolLimits = ProtocolLimits(),
        spool: Path | None = None,
        control_file: ControlFile | None = None,
        dry_run: bool = False,
        arming: ArmingGuard | None = None,
    ) -> None:
        if ledger.environment is not broker.account_id.environment:
            raise ValueError(
                f"ledger is {ledger.environment}, account {broker.account_id} is not: open the account's own ledger"
            )
        if not worker.strip():
            raise ValueError("worker must name who holds the leases")
        used_file = control_file or ControlFile.beside(ledger.url)
        if used_file is None and ledger.environment is Environment.PRODUCTION:
            raise ValueError(
                "a production desk on a server's ledger needs a control file: name one in ALGOTRENDY_CONTROL_FILE"
            )
        self._ctx = DeskContext(
            ledger=ledger,
            broker=broker,
            clock=clock,
            policy=policy,
            worker=worker,
            pool=pool,
            limits=limits,
            spool=Spool(spool) if spool is not None else spool_of(ledger.url),
            control_file=used_file,
            dry_run=dry_run,
            arming=arming,
        )
        begin_counting(broker)
        self._checked_history = False

    @property
    def limits(self) -> ProtocolLimits:
        return self._ctx.limits

    @property
    def policy(self) -> RiskPolicy:
        """The limits of the account."""
        return self._ctx.policy

    @property
    def is_dry_run(self) -> bool:
        """Whether orders end before they are sent: a property of the pool."""
        return self._ctx.dry_run

    # -- asking -------------------------------------------------------------------------------------------------
    def submit(self, wanted: WantedOrder, *, also: Also | None = None) -> IntentView:
        """Record an intention and check its risk: READY or DENIED. The same key again gives the same intent.

        `also` is called inside the transaction that makes the intent READY (with its reservation) or DENIED, which then
        is the one that records it as well: both are stored, or neither. It is not called for an intent that was judged
        before. What it raises goes on to the caller.

        Raises TermsConflict when the key was used for other terms; nothing is sent either way.
        """
        ctx = self._ctx
        if str(wanted.account_id) != ctx.account_id:
            raise ValueError(f"this desk serves {ctx.account_id}, the order is for {wanted.account_id}")
        if also is not None:
            judge(ctx, wanted.intent_id, wanted=wanted, also=also)
            return self.view(wanted.intent_id)
        with ctx.ledger.write() as session:
            row = receive(ctx, session, wanted)
        if row.state == S.RECEIVED.value:
            judge(ctx, row.intent_id, wanted=wanted)
        return self.view(wanted.intent_id)

    # -- moving -------------------------------------------------------------------------------------------------
    def advance(self, intent_id: IntentId | str) -> IntentView:
        """Take the one next step of an intent; a step that another worker took meanwhile is left to it."""
        return self._advance(str(intent_id))[0]

    def take_over(self, intent_id: IntentId | str) -> IntentView:
        """Take the next step only if it is a move by what is on record, after a lease that is over: the venue is not
        asked and nothing is sent, so that it takes no longer than a commit."""
        return self._advance(str(intent_id), only=_BY_RECORD)[0]

    def _advance(
        self, intent_id: str, decided: Decided | None = None, *, only: frozenset[Action] | None = None
    ) -> tuple[IntentView, Decided]:
        """One step, and what was decided to come next. `decided` is what the last call returned, if it is of now:
        every move is compare-and-set, so at worst the step is lost to someone else."""
        row, step, now = decided or self._next(intent_id)
        handler = self._handlers.get(step.action) if only is None or step.action in only else None
        if handler is not None:
            with suppress(store.LostRace):  # someone else moved it first: that is what compare-and-set is for
                handler(self._ctx, row, step)
            row, step, now = self._next(intent_id)
        return view_of(row), (row, step, now)

    def _next(self, intent_id: str) -> Decided:
        ctx = self._ctx
        with ctx.ledger.read() as session:
            row = store.load(session, intent_id)
            now = ctx.ledger.now(session)
            is_allowed = True
            if row.state == S.UNKNOWN.value:  # elsewhere the sender asks, in its own transaction
                is_allowed = may_go(ctx, session, row)
            intent = resolving.snapshot(ctx, session, row, may_send=is_allowed)
        # What time proves must hold on both clocks, the database's and the venue's.
        if intent.state is S.UNKNOWN:
            now = min(now, ctx.venue_now())
        return row, next_step(intent, ctx.identity(row.instrument_id), now, ctx.limits), now

    @property
    def _handlers(self) -> Mapping[Action, Handler]:
        return {
            Action.ASSESS: lambda ctx, row, step: judge(ctx, row.intent_id),
            Action.SEND: lambda ctx, row, step: send(ctx, row.intent_id),
            Action.WITHDRAW: partial(_end, to_state=S.WITHDRAWN, who=Who.OPERATOR),
            Action.EXPIRE: _expire,
            Action.RELEASE: resolving.release,
            Action.TAKE_OVER: resolving.take_over,
            Action.APPLY_ANSWER: resolving.apply_answer,
            Action.QUERY: resolving.query,
            Action.RESEND: resolving.send_again,
            Action.LADDER: resolving.ladder,
            Action.CONFIRM_ABSENT: resolving.confirm_absent,
            Action.RETRY: resolving.retry,
            Action.TRACK: tracking.track,
            Action.CANCEL: tracking.cancel,
            Action.GIVE_TO_PERSON: resolving.give_to_person,
            Action.WATCH: resolving.watch,
        }

    def drive(
        self,
        intent_ids: Iterable[IntentId | str],
        *,
        timeout_s: float,
        step: JobStep = call_directly,
        until: Callable[[IntentView], bool] = _is_over,
    ) -> tuple[IntentView, ...]:
        """Advance all until each is terminal or needs a person, or `timeout_s` is over; waits on the clock between.

        `until` says what is enough of one order, for those who need not see its end.
        """
        ids = list(dict.fromkeys(str(intent_id) for intent_id in intent_ids))
        with self._ctx.ledger.read() as session:
            views = {intent_id: view_of(store.load(session, intent_id)) for intent_id in ids}
        with self.together(views.values()):
            return self._drive(views, timeout_s=timeout_s, step=step, until=until)

    @contextmanager
    def together(self, views: Iterable[IntentView]) -> Iterator[None]:
        """While the block runs, those of them that are yet to be sent share their reads of quotes."""
        unsent = {str(view.intent_id): view.request.instrument_id for view in views if view.state in _UNSENT}
        with self._ctx.quotes.together(unsent):
            yield

    def _drive(
        self,
        views: dict[str, IntentView],
        *,
        timeout_s: float,
        step: JobStep,
        until: Callable[[IntentView], bool],
    ) -> tuple[IntentView, ...]:
        clock, ids = self._ctx.clock, list(views)

        def is_enough(view: IntentView) -> bool:
            return view.is_over or until(view)

        deadline = clock.monotonic() + timeout_s
        due_at_s = dict.fromkeys(ids, clock.monotonic())
        decided: dict[str, Decided] = {}
        while True:
            before = dict(views)
            for intent_id in ids:
                if is_enough(views[intent_id]) or due_at_s[intent_id] > clock.monotonic():
                    continue
                name = _sentence(views[intent_id])
                known = decided.pop(intent_id, None) if clock.monotonic() - due_at_s[intent_id] < _FRESH_S else None
                views[intent_id], after = step(name, StepKind.ADVANCE, partial(self._advance, intent_id, known))
                wait_s = _wait_s(after)
                due_at_s[intent_id] = clock.monotonic() + wait_s
                if wait_s <= 0:
                    decided[intent_id] = after
            waiting = [due_at_s[intent_id] for intent_id in ids if not is_enough(views[intent_id])]
            left_s = deadline - clock.monotonic()
            if not waiting or left_s <= 0:
                return tuple(views[intent_id] for intent_id in ids)
            if views == before or min(waiting) > clock.monotonic():
                clock.wait(min(max(min(waiting) - clock.monotonic(), _PASS_PAUSE_S), left_s))

    def cancel(self, intent_id: IntentId | str, *, reason: str) -> IntentView:
        """Take an order back: at once where nothing was sent, by a cancel request where it may be at the venue."""
        ctx = self._ctx
        with ctx.ledger.write() as session:
            row = store.load(session, str(intent_id))
            state = IntentState(row.state)
            if state.is_terminal:
                return view_of(row)
            if row.cancel_state == CancelState.NONE.value:
                due = {"next_check_at": None} if state.is_live_at_venue else {}
                store.touch(session, row, cancel_state=CancelState.READY.value, cancel_reason=reason[:500], **due)
        return self.advance(intent_id)

    def clearing(self) -> Clearing:
        """What a kill needs: the account's open ends, and cancels of whatever the venue shows."""
        return Clearing(self._ctx)

    def decide(
        self, intent_id: IntentId | str, *, verdict: Verdict, people: tuple[str, ...], reason: str
    ) -> IntentView:
        """Record what a person found out about an intent in NEEDS_HUMAN; two people in production."""
        decide(self._ctx, str(intent_id), verdict=verdict, people=people, reason=reason)
        return self.view(intent_id)

    # -- sweeping -----------------------------------------------------------------------------------------------
    def sweep(self, *, advances: bool = True) -> SweepReport:
        """Take in spooled answers, compare the venue's orders with the attempts on record, advance what is due.

        The first sweep of a desk also compares a day of order history (an older ledger may have been restored); until
        that could be read (`has_compared`), nothing that waits on record is sent. Without `advances` the intents are
        left to the caller.
        """
        ctx = self._ctx
        spooled = self._take_in_spool()
        sightings, unread = self._compare_with_venue()
        if not advances:
            return SweepReport(advanced=(), spooled=spooled, sightings=sightings, unread=unread)
        with ctx.ledger.read() as session:
            now = ctx.ledger.now(session)
            due = store.due_intents(session, ctx.account_id, now=now)
            if not self._checked_history:  # what waits may be at the venue already: the ledger may be an older one
                due = tuple(i for i in due if store.load(session, i).state != S.READY.value)
        views = tuple(self.advance(intent_id) for intent_id in due)
        return SweepReport(advanced=views, spooled=spooled, sightings=sightings, unread=unread)

    @property
    def has_compared(self) -> bool:
        """Whether this desk has compared a day of the venue's orders with the attempts on record."""
        return self._checked_history

    def _take_in_spool(self) -> int:
        ctx, count = self._ctx, 0
        for path, entry in list(ctx.spool.entries()):
            with ctx.ledger.write() as session:
                if not store.has_answer(session, entry):
                    store.observe_answer(session, entry, source=ObservationSource.SPOOL)
            ctx.spool.remove(path)
            count += 1
        return count

    def _compare_with_venue(self) -> tuple[Sightings, str]:
        ctx = self._ctx
        try:
            orders = ctx.broker.open_orders()
            if not self._checked_history:
                until = ctx.venue_now()
                orders += ctx.broker.order_history(since=until - timedelta(seconds=_HISTORY_S), until=until)
        except BrokerError as error:
            return Sightings(), f"{error.reason}: {error.message}"
        self._checked_history = True
        return check_orders(ctx, orders), ""

    # -- reading ------------------------------------------------------------------------------------------------
    def view(self, intent_id: IntentId | str) -> IntentView:
        """Where an intent stands; UnknownIntent when there is none."""
        with self._ctx.ledger.read() as session:
            return view_of(store.load(session, str(intent_id)))

    def views(self, *, plan_id: str) -> tuple[IntentView, ...]:
        """The intents of a plan, by leg."""
        with self._ctx.ledger.read() as session:
            query = select(OrderIntent).where(
                OrderIntent.account_id == self._ctx.account_id, OrderIntent.plan_id == plan_id
            )
            rows = session.exec(query.order_by(col(OrderIntent.leg_number), col(OrderIntent.created_at)))
            return tuple(view_of(row) for row in rows)


def _wait_s(decided: Decided) -> float:
    """Seconds until the decided step is due; 0 when it is due now."""
    _, step, now = decided
    return (step.at - now).total_seconds() if step.action is Action.WAIT and step.at is not None else 0.0


def _expire(ctx: DeskContext, row: OrderIntent, step: Step) -> None:
    who = Who.RESOLVER if row.state == S.NOT_PLACED.value else Who.SWEEPER
    _end(ctx, row, step, to_state=S.EXPIRED, who=who)


def _end(ctx: DeskContext, row: OrderIntent, step: Step, *, to_state: IntentState, who: Who) -> None:
    assert step.reason is not None
    with ctx.ledger.write() as session:
        store.move(
            session,
            row,
            to_state,
            who=who,
            worker=ctx.worker,
            reason=step.reason,
            detail=row.cancel_reason or row.state_detail,
            now=ctx.ledger.now(session),
        )


def _sentence(view: IntentView) -> str:
    """The step's name as an operator reads it."""
    request = view.request
    return f"Advance {request.side} {request.quantity:f} {request.instrument_id} ({view.state})"
