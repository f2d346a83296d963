"""Kill one account: cancel what is ours, close positions on request, and prove both by reading the venue.

KILLED → CANCELLING → (FLATTENING) → CANCELLED_PROVEN | FLAT_PROVEN, or LEFT, which names what is left and why. The
control state KILL comes first and keeps every order here, so what is cancelled stays cancelled. Invariants:

- proved is only what two complete reads of the venue show, some time apart, both after everything that was ever sent
  must be visible there, with no intent of the account that was sent and is not over; a failed read starts again;
- orders of other people are left alone unless `everything` is asked for;
- every step may be repeated, by this process or another, at once or after a crash: the row in table `kill` only moves
  forward, cancels are harmless, closing orders carry the kill's own keys.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from brokers.errors import BrokerError
from brokers.ids import InstrumentId
from brokers.rounding import decimal_text
from brokers.types import Order, Position, PositionMode, ProductKind
from ledger.controlling import require_two_people
from ledger.states import KILL_SOURCE, CancelState, IntentState, KillState
from ledger.tables import OrderIntent
from trading.budget import ExactBudget
from trading.closing import ClosedPosition, close_positions
from trading.kill_model import KillLimits, KillReason, KillReport, KillRequest, Leftover, VenueRead
from trading.kill_store import begin, facts_of, move
from trading.orders import IntentView
from trading.orders.clearing import Clearing
from trading.orders.kill_orders import kill_key
from trading.orders.tracking import Asked
from trading.runtime import Runtime
from trading.steps import Step, StepKind, call_directly

S = KillState
T = TypeVar("T")
_UNSENT = frozenset({IntentState.RECEIVED, IntentState.READY, IntentState.CLAIMED})
_CONTRACTS = frozenset({ProductKind.LINEAR, ProductKind.FUTURE})


@dataclass
class _Run:
    """One run of a kill; what must survive it stands in the ledger."""

    runtime: Runtime
    clearing: Clearing
    request: KillRequest
    settle_currencies: Collection[str]
    limits: KillLimits
    step: Step
    kill_id: int
    flatten: bool
    deadline_s: float
    flatten_round: int = 0
    ours: tuple[Order, ...] = ()
    others: tuple[Order, ...] = ()
    positions: tuple[Position, ...] | None = None
    reads: tuple[VenueRead, ...] = ()
    closed: list[ClosedPosition] = field(default_factory=list)
    others_cancelled: dict[str, str] = field(default_factory=dict)
    asked_at_s: dict[str, float] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)
    unread: str = ""
    currencies_unread: tuple[str, ...] = ()
    budgets: dict[str, ExactBudget] = field(default_factory=dict)
    products: dict[InstrumentId, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return kill_key(self.kill_id)

    def is_over(self) -> bool:
        return self.runtime.clock.monotonic() > self.deadline_s

    def extend(self) -> None:
        self.deadline_s = self.runtime.clock.monotonic() + self.limits.timeout_s


def kill_account(
    runtime: Runtime,
    request: KillRequest,
    *,
    settle_currencies: Collection[str],
    limits: KillLimits = KillLimits(),
    step: Step = call_directly,
) -> KillReport:
    """Cancel, close on request, prove; continues a kill that another run began. The control state must be KILL.

    `settle_currencies` are those whose positions the account reads.
    Raises KillRefused (KILL_NOT_SET, KILL_LOWERED), NeedsTwoPeople and the ledger's errors; what the venue does is in
    the report.
    """
    if request.flatten:
        first, second = request.requested_by, request.approved_by
        require_two_people(runtime.account_id.environment, first, second, what="closing positions")
    clearing = runtime.desk.clearing()
    row = begin(runtime, clearing, request)
    assert row.kill_id is not None
    clearing.crash("C25a")
    deadline_s = runtime.clock.monotonic() + limits.timeout_s
    run = _Run(runtime, clearing, request, settle_currencies, limits, step, row.kill_id, row.flatten, deadline_s)
    _note_before(run)
    is_proved = _clear(run, until_proved=not run.flatten)
    if run.flatten and is_proved:
        is_proved = _flatten(run)
    return _finish(run, is_proved)


def _note_before(run: _Run) -> None:
    """Move to CANCELLING, and keep the positions as they were when the kill began."""
    row = move(run.runtime, run.clearing, run.kill_id, S.CANCELLING)
    facts = facts_of(row)
    run.flatten_round = int(facts.get("flatten_round", 0))
    if facts.get("positions_before") is None:
        try:
            held = run.runtime.broker.positions()
        except BrokerError:
            return  # the report says that it is not known
        shown = {name: str(quantity) for name, quantity in _by_name(held).items()}
        move(run.runtime, run.clearing, run.kill_id, S.CANCELLING, positions_before=shown)


# -- cancelling -------------------------------------------------------------------------------------------------
def _clear(run: _Run, *, until_proved: bool) -> bool:
    """Cancel until no open order is seen, or until that is proved; False when the time is over first.

    With positions to be flat, a position that is seen ends it as well: closing comes again.
    """
    clean: list[VenueRead] = []
    while True:
        _cancel_intents(run)
        unfinished = _sent_and_unfinished(run)  # before the read: what ends later was still visible in it
        seen = run.step("look at the venue", StepKind.ADVANCE, lambda: _look(run))
        if seen is None or _in_the_way(run):
            clean.clear()
            _cancel_again(run)
        elif not until_proved:
            return True
        elif run.flatten and seen.open_positions:
            return False
        elif _counts(run, unfinished):
            if not clean or seen.at_monotonic_s - clean[-1].at_monotonic_s >= run.limits.read_gap_s:
                clean.append(seen)
                run.clearing.crash("C25c")
            if len(clean) == 2:
                run.reads = tuple(clean)
                return not unfinished
        if run.is_over():
            return False
        _settle(run, unfinished, is_quiet=seen is not None and not _in_the_way(run))


def _counts(run: _Run, unfinished: tuple[IntentView, ...]) -> bool:
    """Whether a read proves something: nothing is under way, and all that was sent must be visible by now."""
    return all(view.is_over for view in unfinished) and _visible_in_s(run) <= 0


def _visible_in_s(run: _Run) -> float:
    visible_at = run.clearing.all_visible_at()
    if visible_at is None:
        return 0.0
    with run.runtime.ledger.read() as session:
        return (visible_at - run.runtime.ledger.now(session)).total_seconds()


def _sent_and_unfinished(run: _Run) -> tuple[IntentView, ...]:
    """What was never sent is not asked about: KILL keeps it here."""
    return tuple(view for view in run.clearing.unfinished() if view.state not in _UNSENT)


def _settle(run: _Run, unfinished: tuple[IntentView, ...], *, is_quiet: bool) -> None:
    """Let outcomes be proved, and time pass; more of it where there is nothing but the horizon to wait for."""
    moving = [view.intent_id for view in unfinished if not view.is_over]
    if moving:
        run.runtime.desk.drive(moving, timeout_s=run.limits.poll_s)
    wait_s = run.limits.poll_s
    if is_quiet and not moving:
        left_s = run.deadline_s - run.runtime.clock.monotonic()
        wait_s = max(min(_visible_in_s(run), run.limits.watch_s_max, left_s), wait_s)
    run.runtime.clock.wait(wait_s)


def _cancel_intents(run: _Run) -> None:
    """Take back every intent of the account; what was never sent is withdrawn. The kill's own closing orders stay."""
    todo = [view for view in run.clearing.unfinished() if view.cancel_state is CancelState.NONE]
    sources = run.clearing.source_of(str(view.intent_id) for view in todo)
    own = f":{run.key}-"
    todo = [v for v in todo if sources.get(str(v.intent_id)) != KILL_SOURCE or own not in v.business_key]
    if not todo:
        return
    _learn_products(run, {view.request.instrument_id for view in todo})
    unsent = [view for view in todo if not view.state.is_live_at_venue]
    name = f"cancel {len(todo)} orders of {run.runtime.account_id}"
    run.step(name, StepKind.ADVANCE, lambda: _cancel_all(run, unsent, [v for v in todo if v not in unsent]))


def _cancel_all(run: _Run, unsent: list[IntentView], live: list[IntentView]) -> None:
    """What is in the book first, with as little as possible between the requests; then what was never sent."""
    answers: list[tuple[OrderIntent, Asked]] = []

    def one(row: OrderIntent) -> None:
        with _budget(run, InstrumentId(row.instrument_id)).slot():
            answers.append((row, run.clearing.ask(row)))
        run.asked_at_s[str(row.venue_order_id)] = run.runtime.clock.monotonic()
        run.clearing.crash("C25b")

    _side_by_side(run, one, run.clearing.take_back(live, run.key) if live else ())
    if answers:
        run.clearing.note_answers(answers)
    for view in unsent:  # nothing leaves for these, or a look-up
        run.runtime.desk.cancel(view.intent_id, reason=run.key)
        run.clearing.crash("C25b")


def _cancel_again(run: _Run) -> None:
    """Ask for the end of every order that a read still shows: ours, and with `everything` all others."""
    now_s = run.runtime.clock.monotonic()
    wanted = (*run.ours, *(run.others if run.request.everything else ()))
    due = [
        order
        for order in wanted
        if now_s - run.asked_at_s.get(str(order.venue_order_id), float("-inf")) >= run.limits.cancel_again_s
    ]
    _learn_products(run, {order.instrument_id for order in due})
    ours = {order.venue_order_id for order in run.ours}

    def one(order: Order) -> None:
        with _budget(run, order.instrument_id).slot():
            problem = run.clearing.cancel_at_venue(order)
        run.asked_at_s[str(order.venue_order_id)] = run.runtime.clock.monotonic()
        run.refusals[str(order.venue_order_id)] = problem
        if order.venue_order_id not in ours:
            run.others_cancelled[str(order.venue_order_id)] = _order_name(order)
        run.clearing.crash("C25b")

    if due:
        run.step(f"cancel {len(due)} orders again", StepKind.ADVANCE, lambda: _side_by_side(run, one, due))


def _side_by_side(run: _Run, one: Callable[[T], None], items: Iterable[T]) -> None:
    with ThreadPoolExecutor(max_workers=run.limits.threads_max, thread_name_prefix="kill") as pool:
        for done in [pool.submit(one, item) for item in items]:
            done.result()


def _learn_products(run: _Run, instruments: set[InstrumentId]) -> None:
    """Which budget each instrument's cancels come from; where that cannot be read, the smallest counts."""
    missing = sorted(instruments - set(run.products))
    if not missing:
        return
    try:
        found = run.runtime.broker.instruments(missing)
    except BrokerError:
        return
    run.products.update({item.instrument_id: item.product.value for item in found})


def _budget(run: _Run, instrument_id: InstrumentId) -> ExactBudget:
    product = run.products.get(instrument_id, "")
    return run.budgets.get(product) or run.budgets.setdefault(product, _new_budget(run, product))


def _new_budget(run: _Run, product: str) -> ExactBudget:
    known = [b for b in run.runtime.broker.capabilities.budgets if b.name.split("_")[0] == "cancel"]
    fitting = [b for b in known if b.name in ("cancel", f"cancel_{product}")] or known
    if not fitting:
        return ExactBudget(run.limits.threads_max, 1.0, clock=run.runtime.clock)
    least = min(fitting, key=lambda b: b.limit / b.window_s)
    return ExactBudget(least.limit, least.window_s, clock=run.runtime.clock)


# -- reading ----------------------------------------------------------------------------------------------------
def _look(run: _Run) -> VenueRead | None:
    """One complete look at the venue; None when any part of it could not be read."""
    clock, broker = run.runtime.clock, run.runtime.broker
    try:
        orders = broker.open_orders()
        positions = broker.positions() if run.flatten else None
    except BrokerError as error:
        run.unread = f"{error.reason}: {error.message}"
        return None
    run.unread = ""
    run.ours, run.others = run.clearing.split(orders)
    if positions is not None:
        run.positions = tuple(position for position in positions if position.quantity != 0)
    return VenueRead(clock.now(), clock.monotonic(), len(run.ours), len(run.others), run.positions)


def _in_the_way(run: _Run) -> bool:
    return bool(run.ours or (run.request.everything and run.others))


# -- closing ----------------------------------------------------------------------------------------------------
def _flatten(run: _Run) -> bool:
    """Close what the venue shows, prove it flat; again with new keys while a late fill opens something."""
    row = move(run.runtime, run.clearing, run.kill_id, S.FLATTENING)
    run.flatten_round = int(facts_of(row).get("flatten_round", 0))
    run.clearing.crash("C25d")
    for _ in range(run.limits.flatten_rounds_max):
        if not _close(run):
            return False
        run.clearing.crash("C25e")
        run.extend()
        if _clear(run, until_proved=True):
            return _reads_all_currencies(run)
        if not run.positions:
            return False  # flat as far as seen, and something else is not proved
        run.flatten_round += 1
        move(run.runtime, run.clearing, run.kill_id, S.FLATTENING, flatten_round=run.flatten_round)
    return False


def _close(run: _Run) -> bool:
    """One round of closing, asked again under its key while the venue cannot be read or an order of it has not ended;
    False when the time is over first. A round with new keys beside a pending order could close a position twice."""
    run.extend()
    while True:
        try:
            closed = close_positions(
                run.runtime,
                business_key=f"{run.key}-{run.flatten_round}",
                settle_currencies=run.settle_currencies,
                step=run.step,
                source=KILL_SOURCE,
            )
        except BrokerError as error:
            run.unread = f"{error.reason}: {error.message}"
            if run.is_over():
                return False
            run.runtime.clock.wait(run.limits.poll_s)
            continue
        is_pending = any(item.has_pending_order for item in closed)
        if is_pending and not run.is_over():
            run.runtime.clock.wait(run.limits.poll_s)
            continue
        run.closed.extend(closed)
        return not is_pending


def _reads_all_currencies(run: _Run) -> bool:
    """Flat is flat in every currency in which the venue settles contracts, not only in those that are looked at."""
    if not run.runtime.broker.capabilities.positions_by_currency:
        return True
    try:
        listed = run.runtime.broker.instruments()
    except BrokerError as error:
        run.unread = f"{error.reason}: {error.message}"
        return False
    settled = {item.settle_currency for item in listed if item.product in _CONTRACTS and item.settle_currency}
    run.currencies_unread = tuple(sorted(settled - set(run.settle_currencies)))
    return not run.currencies_unread


# -- the end ----------------------------------------------------------------------------------------------------
def _finish(run: _Run, is_proved: bool) -> KillReport:
    left = () if is_proved else _left(run)
    state = S.LEFT if not is_proved else S.FLAT_PROVEN if run.flatten else S.CANCELLED_PROVEN
    if is_proved:
        run.clearing.crash("C25f")
    facts = {"left": [[item.reason.value, item.name, item.detail] for item in left]}
    row = move(run.runtime, run.clearing, run.kill_id, state, **facts)
    with run.runtime.ledger.read() as session:
        control = run.clearing.control(session)
    taken_back = run.clearing.cancelled_for(run.key)
    before = facts_of(row).get("positions_before")
    return KillReport(
        account_id=str(run.runtime.account_id),
        kill_id=run.kill_id,
        state=S(row.state),
        flatten=run.flatten,
        everything=run.request.everything,
        control_after=control,
        started_at=row.started_at,
        ended_at=row.updated_at,
        cancelled=_named(taken_back, {IntentState.CANCELLED}),
        withdrawn=_named(taken_back, {IntentState.WITHDRAWN, IntentState.EXPIRED}),
        ended_otherwise=_named(taken_back, {IntentState.FILLED, IntentState.REFUSED, IntentState.VENUE_EXPIRED}),
        others_cancelled=tuple(run.others_cancelled.values()),
        others_open=tuple(_order_name(order) for order in run.others),
        closed=tuple(run.closed),
        positions_before=None if before is None else {name: Decimal(text) for name, text in before.items()},
        positions_after=None if run.positions is None else _by_name(run.positions),
        reads=run.reads,
        left=left,
    )


def _left(run: _Run) -> tuple[Leftover, ...]:
    """What a person has to look at, by name."""
    found = [_leftover(run, KillReason.KILL_ORDER_OPEN, order) for order in run.ours]
    if run.request.everything:
        found += [_leftover(run, KillReason.KILL_FOREIGN_ORDER_OPEN, order) for order in run.others]
    for view in _sent_and_unfinished(run):
        name = f"{view.request.side} {decimal_text(view.request.quantity)} {view.request.instrument_id}"
        detail = f"intent {view.intent_id}: {view.state} {view.reason}"
        found.append(Leftover(KillReason.KILL_INTENT_UNRESOLVED, name, detail))
    why = {str(item.instrument_id): f"{item.outcome} {item.reason}".strip() for item in run.closed}
    for position in (run.positions or ()) if run.flatten else ():
        name = f"{position.instrument_id} {decimal_text(position.quantity)}"
        found.append(Leftover(KillReason.KILL_POSITION_OPEN, name, why.get(str(position.instrument_id), "")))
    found += [Leftover(KillReason.KILL_CURRENCY_NOT_READ, currency) for currency in run.currencies_unread]
    if run.unread:
        found.append(Leftover(KillReason.KILL_VENUE_UNREAD, str(run.runtime.account_id), run.unread))
    return tuple(found) or (Leftover(KillReason.KILL_NOT_PROVED_IN_TIME, str(run.runtime.account_id)),)


def _leftover(run: _Run, reason: KillReason, order: Order) -> Leftover:
    return Leftover(reason, _order_name(order), run.refusals.get(str(order.venue_order_id), ""))


def _order_name(order: Order) -> str:
    price = f" at {decimal_text(order.limit_price)}" if order.limit_price is not None else ""
    what = f"{order.side} {decimal_text(order.quantity)} {order.instrument_id}{price}"
    return f"{what} ({order.venue_order_id})"


def _named(views: Iterable[IntentView], states: set[IntentState]) -> tuple[str, ...]:
    return tuple(
        f"{view.request.side} {decimal_text(view.request.quantity)} {view.request.instrument_id}"
        f" ({view.venue_order_id or view.intent_id})"
        for view in views
        if view.state in states
    )


def _by_name(positions: Iterable[Position]) -> dict[str, Decimal]:
    """Signed quantities; in hedge mode one per side."""
    return {
        f"{p.instrument_id} {p.side}" if p.mode is PositionMode.HEDGE else str(p.instrument_id): p.quantity
        for p in positions
        if p.quantity != 0
    }
