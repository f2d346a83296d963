"""The wire layer of the proof: adapters × faults × verbs, each through the real SDK, desk and ledger.

Of each case: at most one request with the order verb left per call and per committed send, counted by the simulator; no
byte to any other address; every call ended within its deadline; the error's certainty is the right one; and in the end
there is exactly one order, or proof that there is none, the ledger equals the simulator, and nothing is stuck.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlmodel import select

from ledger.controls import scope_control
from ledger.invariants import check_record
from ledger.records import fills_of_intent
from ledger.states import ControlState, IntentState
from ledger.tables import OrderAttempt, OrderRow, OrderSend
from tests.proof.result import Failure, LayerResult
from tests.proof.venues import VENUES
from tests.proof.wire_case import SLACK_S, Case, Played, is_case, played
from tests.proof.wire_faults import FAULTS, STOP_FAULTS, End, Verb, varied
from tests.proof.wire_venues import WireVenue

LAYER = "wire"
SLOW_PLAYS_MAX = 3  # a call over its bound counts when it is over it every time: a busy machine is not a broken rule
S = IntentState
_STATE: dict[End, IntentState] = {
    End.FILLED: S.FILLED,
    End.DOUBLED: S.FILLED,
    End.CANCELLED: S.CANCELLED,
    End.PARTLY: S.VENUE_EXPIRED,
    End.REFUSED: S.REFUSED,
    End.EXPIRED: S.EXPIRED,
    End.DENIED: S.DENIED,
    End.PERSON: S.NEEDS_HUMAN,
}
_NEVER_PLACED = frozenset({S.DENIED, S.WITHDRAWN, S.EXPIRED, S.REFUSED, S.NOT_PLACED})
DUPLICATED, LOST, ORPHANED, STUCK, OTHER, SLOW = "I1", "I5", "I3", "I5 bound", "wire", "wire deadline"
Finding = tuple[str, str]


@dataclass(frozen=True)
class Verdict:
    """What one case came to."""

    name: str
    seed: int
    faults: int
    needed_person: bool
    findings: tuple[Finding, ...]


@cache
def cases() -> tuple[Case, ...]:
    """The whole table."""
    ordinary = (
        Case(venue, product, verb, fault)
        for venue in VENUES
        for product in venue.products
        for verb in Verb
        for fault in FAULTS
        if is_case(venue, product, verb, fault)
    )
    return (*ordinary, *_stops())


def _stops() -> Iterator[Case]:
    """Each fault of a verb on one of a venue's kinds of stops, in turn."""
    for venue in VENUES:
        for product in venue.stops:
            assert product.stop is not None
            for verb in Verb:
                for number, fault in enumerate((*FAULTS, *STOP_FAULTS), start=list(Verb).index(verb)):
                    is_turn = number % product.stop.shares == product.stop.turn
                    if is_turn and is_case(venue, product, verb, fault):
                        yield Case(venue, product, verb, fault)


@cache
def _by_name() -> Mapping[str, Case]:
    return {case.name: case for case in cases()}


def run(*, histories: int, seed: int, jobs: int, say: Callable[[str], None], kind: str = "") -> list[LayerResult]:
    """Play `histories` cases: a spread of the table, or the whole table with one seed after another.

    `kind` names one case, which is then the only one.
    """
    started = time.monotonic()
    told = [(kind, seed)] if kind else list(_chosen(histories, seed))
    verdicts: list[Verdict] = []
    with ExitStack() as stack:
        each: Iterable[Verdict] = map(_judged, told)
        if jobs > 1:
            spawn = multiprocessing.get_context("spawn")
            # One more than there are cores: some cases wait for their deadline.
            pool = stack.enter_context(ProcessPoolExecutor(jobs + 1, mp_context=spawn))
            each = pool.map(_judged, told, chunksize=4)
        for number, verdict in enumerate(each, start=1):
            verdicts.append(verdict)
            for invariant, detail in verdict.findings:
                say(f"{verdict.name} (seed {verdict.seed}): {invariant} {detail}")
            if number % 100 == 0:
                say(f"{number} of {len(told)} cases")
    return [result(verdicts, seconds=time.monotonic() - started)]


def replay(*, kind: str, seed: int, say: Callable[[str], None]) -> list[Failure]:
    """Play the one case of this name again."""
    verdict = judged(kind, seed)
    say(f"{kind} (seed {seed}): {len(verdict.findings)} findings")
    return _failures(verdict)


def result(verdicts: Sequence[Verdict], *, seconds: float) -> LayerResult:
    """The layer's row."""

    def count(invariant: str) -> int:
        return sum(any(found == invariant for found, _ in verdict.findings) for verdict in verdicts)

    return LayerResult(
        layer=LAYER,
        histories=len(verdicts),
        faults=sum(verdict.faults for verdict in verdicts),
        duplicated=count(DUPLICATED),
        lost=count(LOST),
        orphaned=count(ORPHANED),
        stuck=count(STUCK),
        to_person=sum(verdict.needed_person for verdict in verdicts),
        seconds=seconds,
        failures=tuple(failure for verdict in verdicts for failure in _failures(verdict)),
    )


def _failures(verdict: Verdict) -> list[Failure]:
    again = f'python -m tests.proof --layer {LAYER} --kind "{verdict.name}" --seed {verdict.seed}'
    return [Failure(invariant, f"{verdict.name}: {detail}", again) for invariant, detail in verdict.findings]


def _chosen(histories: int, seed: int) -> Iterator[tuple[str, int]]:
    names = [case.name for case in cases()]
    if histories < len(names):
        step = len(names) / max(histories, 1)
        names = [names[int(number * step)] for number in range(histories)]
    for number in range(histories):
        yield names[number % len(names)], seed + number // len(names)


def _judged(told: tuple[str, int]) -> Verdict:
    return judged(*told)


def judged(name: str, seed: int) -> Verdict:
    """Play one case and look for everything that must not be. Seed 0 is the table as written; others vary it."""
    found = _by_name().get(name)
    if found is None:
        raise ValueError(f"kind must be the name of a case, was {name!r}; tests.proof.wire_layer.cases() lists them")
    case = replace(found, fault=varied(found.fault, random.Random(f"{seed} {name}"))) if seed else found
    for _ in range(SLOW_PLAYS_MAX):
        with played(case, seed=seed) as result:
            findings = tuple(_findings(result, is_varied=bool(seed)))
            verdict = Verdict(name, seed, result.fired, result.view.state is S.NEEDS_HUMAN, findings)
        if not findings or any(invariant != SLOW for invariant, _ in findings):
            break
    return verdict


# -- the oracle -------------------------------------------------------------------------------------------------
def _findings(result: Played, *, is_varied: bool) -> Iterator[Finding]:
    yield from _on_the_wire(result)
    yield from _on_the_calls(result, is_varied=is_varied)
    yield from _on_the_order(result)
    yield from _on_the_ledger(result)


def _on_the_wire(result: Played) -> Iterator[Finding]:
    with result.ledger.read() as session:
        sends = len(session.exec(select(OrderSend)).all())
    paths = result.case.venue.order_paths
    requests = [r for r in result.sim.control.requests(method="POST") if r.path in paths]
    if len(requests) - result.placed_by_others > sends:
        yield "I14", f"{sends} sends were committed, {len(requests)} order requests reached the venue"
    if result.decoy.connections or result.decoy.requests:
        yield OTHER, f"{result.decoy.connections} connections to another origin"
    port = result.sim.url.rpartition(":")[2]
    elsewhere = [address for address in result.egress if port not in address]
    if elsewhere:
        yield OTHER, f"connections to {elsewhere[:3]}, pinned is port {port}"
    if not result.fired:
        yield OTHER, "the fault never fired: the case shows nothing"
    if not result.is_in_time:
        yield OTHER, "the price did not move in its moment: the case shows nothing"


def _on_the_calls(result: Played, *, is_varied: bool) -> Iterator[Finding]:
    case = result.case
    want = case.wanted
    faulted = [call for call in result.calls if call.verb is case.verb and call.is_faulted]
    for call in result.calls:
        requests_max = case.product.cancel_requests_max if call.verb is Verb.CANCEL else 1
        if call.orders > (call.verb is Verb.PLACE):
            yield DUPLICATED, f"one call of {call.verb} made {call.orders} order requests"
        if call.verb is Verb.CANCEL and call.requests > requests_max:
            yield OTHER, f"one cancel made {call.requests} requests"
        bound_s = case.deadline_s * max(call.requests, 1) + SLACK_S
        if call.seconds > bound_s:
            yield SLOW, f"{call.verb} took {call.seconds:.1f} s, its bound is {bound_s:.1f} s"
        if call.known.value == "unknown" and not call.error:
            yield OTHER, f"{call.verb} raised something without words"
    if case.fault.arms and case.fault.arms[0].is_main and case.fault.before != "crowd" and not faulted:
        yield OTHER, f"no call of {case.verb} met the fault"
    first = faulted[:1] if is_varied else faulted
    for call in first:
        if call.known is not want:
            yield OTHER, f"{case.verb} must end as {want}, was {call.known} ({call.error})"


def _on_the_order(result: Played) -> Iterator[Finding]:
    case, view = result.case, result.view
    lived = [order for order in _ours(result) if not (order.status.value == "rejected" and not order.filled_qty)]
    if not (view.state.is_terminal or view.state is S.NEEDS_HUMAN):
        yield STUCK, f"still {view.state} ({view.reason})"
    if view.state is not _STATE[result.end]:
        is_open = not view.state.is_terminal and view.state is not S.NEEDS_HUMAN
        yield LOST if is_open else OTHER, f"must end {result.end}, was {view.state}: {view.reason} {view.detail}"
    if len(lived) > 1 and result.end is not End.DOUBLED:
        yield DUPLICATED, f"{len(lived)} orders at the venue"
    if result.believed in _NEVER_PLACED and lived:
        yield ORPHANED, f"called {result.believed}, {len(lived)} orders at the venue"
    if view.state not in _NEVER_PLACED and not lived and result.end is not End.PERSON:
        yield "I4", f"called {view.state}, no order at the venue"
    if result.unread:
        yield OTHER, f"the last sweep could not read: {result.unread}"
    yield from _on_sightings(result, len(lived))
    is_anothers = case.product.stop is not None and case.fault.before in (
        "other",
        "trigger",
    )  # it waits, and is a person's
    if any(order.is_open for order in lived) and not is_anothers:
        yield ORPHANED, "an order of ours is still open at the venue"
    if case.fault.end is End.PARTLY and not 0 < view.filled_quantity < view.request.quantity:
        yield OTHER, f"{view.filled_quantity} of {view.request.quantity} filled, must be a part"


def _on_sightings(result: Played, lived: int) -> Iterator[Finding]:
    """A second order under our id, which no client can prevent where ids are not permanent, must stop everything."""
    if result.mid_sightings:
        yield DUPLICATED, f"a sweep in the moment of the trigger found {result.mid_sightings}"
    if result.end is not End.DOUBLED:
        if result.sightings:
            yield OTHER, f"the last sweep found {result.sightings}"
        return
    with result.ledger.read() as session:
        control = scope_control(session, str(result.case.venue.account_id))
    if lived != 2 or not result.sightings.duplicates or control is not ControlState.HALT:
        yield DUPLICATED, f"{lived} orders, {result.sightings}, control {control}: the second must be found and halt"


def _on_the_ledger(result: Played) -> Iterator[Finding]:
    case, view = result.case, result.view
    with result.ledger.read() as session:
        findings = check_record(session)
        fills = fills_of_intent(session, str(view.intent_id))
        rows = {row.venue_order_id: row for row in session.exec(select(OrderRow))}
    for finding in findings:
        yield OTHER, str(finding)
    if view.state is S.NEEDS_HUMAN:
        return  # a person compares: what the ledger took over is not claimed to be ours
    own = [order for order in _ours(result) if order.order_id == str(view.venue_order_id)]
    executions = [
        e for e in result.sim.control.executions(result.case.venue.owner) if own and e.order_id == own[0].order_id
    ]
    recorded = {(f.trade_id, f.quantity, f.price, f.fee) for f in fills}
    if recorded != _told(executions, case.venue):
        yield "I6", f"ledger has the fills {sorted(recorded)}, the venue {executions}"
    if case.fault.before == "levels" and len(executions) < 2:
        yield OTHER, f"{len(executions)} fills: the case needs several"
    if case.fault.before == "partly" and not 0 < view.filled_quantity < view.request.quantity:
        yield OTHER, f"{view.filled_quantity} of {view.request.quantity} filled before the cancel, must be a part"
    if sum(f.quantity for f in fills) != view.filled_quantity or view.filled_quantity > view.request.quantity:
        yield (
            "I7",
            f"{view.filled_quantity} of {view.request.quantity} filled, fills say {sum(f.quantity for f in fills)}",
        )
    for order in own:
        row = rows.get(order.order_id)
        if row is None or row.filled_quantity != order.filled_qty:
            yield "I4", f"the order reads {row} in the ledger and {order} at the venue"


def _told(executions: list[Any], venue: WireVenue) -> set[tuple[Any, ...]]:
    """The fills that the venue tells of these executions of one order: each, or their total at its average price."""
    if not venue.fills_are_totals:
        return {(venue.trade_id(e), e.qty, e.price, e.fee) for e in executions}
    quantity = sum(e.qty for e in executions)
    if not quantity:
        return set()
    average = sum(e.qty * e.price for e in executions) / quantity
    fee = sum(e.fee for e in executions)
    return {(f"{executions[0].order_id}:{quantity.normalize():f}", quantity, average, fee)}


def _ours(result: Played) -> list[Any]:
    """Orders at the venue that carry an id of the intent's attempts."""
    with result.ledger.read() as session:
        ids = {attempt.client_order_id for attempt in session.exec(select(OrderAttempt))}
    return [order for order in result.sim.control.orders(result.case.venue.owner) if order.client_id in ids]
