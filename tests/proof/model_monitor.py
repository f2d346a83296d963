"""What must hold in every history of the model, judged by the venue's truth and true time, not by the desk's own view.

I1 at most one order per intent. I2 only what is committed leaves. I3 nothing alive is called dead. I4 what is called
placed, or refused, is. I5 every intent ends within its bound, and a person is asked only where nothing else helps.
I8 no move without compare-and-set, no live lease taken, one epoch per claim. I10 nothing leaves while halted,
withdrawn, expired or later than a second after its commit. I14 sends and attempts stay within their limits.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from brokers.capabilities import IdScope, OrderIdentity
from ledger.states import IntentState
from tests.proof.model_venue import FOREVER_S
from trading.orders import protocol
from trading.orders.moves import MOVES
from trading.orders.protocol import Action, IntentSnapshot, ProtocolLimits
from trading.orders.reasons import OrderReason

if TYPE_CHECKING:
    from tests.proof.model_desk import Process, Sent

S = IntentState
CALLED_DEAD = (S.REFUSED, S.EXPIRED, S.DENIED, S.WITHDRAWN)
_CALLED_PLACED = (S.FILLED, S.CANCELLED, S.VENUE_EXPIRED)
ENDED = frozenset({*CALLED_DEAD, S.FILLED, S.CANCELLED, S.VENUE_EXPIRED, S.NEEDS_HUMAN, S.ADOPTED_LATE})
_MOVES_FROM = {state: frozenset(end for start, end in MOVES if start is state) for state in S}
_TAKES = frozenset({Action.RELEASE, Action.TAKE_OVER, Action.QUERY, Action.LADDER, Action.RESEND})
_BY_ABSENCE = frozenset({Action.LADDER, Action.CONFIRM_ABSENT, Action.GIVE_TO_PERSON})
LIMITS = ProtocolLimits()  # as production runs, whatever a mutant does to its own
_HALT_S = 0.25  # the last byte after a halt is committed
_SLACK_S = 1.5  # error of clock readings and the time that reads take


@lru_cache(maxsize=64)
def _as_open_only(identity: OrderIdentity) -> OrderIdentity:
    return replace(identity, id_scope=IdScope.OPEN_ONLY)


class Monitor:
    """The findings of one history: (invariant, sentence)."""

    def __init__(self, history: Process) -> None:
        self.history = history
        self.findings: list[tuple[str, str]] = []
        self.left: dict[int, int] = {}  # requests that left, by attempt
        self.disturbed_s = self.since_s = -FOREVER_S
        self.may_resend = history.identity.id_scope is IdScope.PERMANENT
        self.by_absence = self.is_stuck = self.is_lost = False
        self.placed = 0

    def find(self, invariant: str, text: str) -> None:
        self.findings.append((invariant, text))
        self.history.note(f"{invariant}: {text}")

    def disturb(self) -> None:
        """A fault made the outcome take longer: the bound counts from here."""
        self.disturbed_s = self.history.time.true_s

    # -- steps --------------------------------------------------------------------------------------------------
    def acts(self, action: Action, intent: IntentSnapshot) -> None:
        leased = intent.lease_until
        if leased is not None and action in _TAKES and leased > self.history.time.database:
            self.find("I8", f"{action.value} took a lease that was not over")
        if self.may_resend and not self.by_absence:
            self.by_absence = self._must_prove(intent) if action is Action.QUERY else action in _BY_ABSENCE

    def _must_prove(self, intent: IntentSnapshot) -> bool:
        """Whether an id that is kept for ever may not be sent again now: the bound of the proof of absence holds."""
        history = self.history
        return not protocol.may_resend(intent, history.identity, history.time.database, history.limits)

    def moves(self, held: tuple[IntentState, int], to_state: IntentState) -> None:
        row, from_state = self.history.row, held[0]
        if row.state is not from_state or row.epoch != held[1]:
            self.find("I8", f"moved from {held[0].value} at epoch {held[1]}, was {row.state.value} at {row.epoch}")
        if to_state not in _MOVES_FROM[from_state]:
            self.find("moves", f"no move leads from {held[0].value} to {to_state.value}")
        if to_state is S.ADOPTED_LATE:
            venue = self.history.venue
            if not venue.lies and any(not order.is_rejected for order in venue.orders):
                self.find("I3", f"was called {held[0].value} and was seen afterwards")
        if to_state is S.NEEDS_HUMAN:
            return  # its reason is judged in the end
        was_unresolved = from_state is S.UNKNOWN or from_state is S.SENDING
        if was_unresolved and to_state is not S.UNKNOWN and to_state is not S.SENDING:
            self._resolved()

    def commits(self, sent: Sent) -> None:
        history = self.history
        self.since_s, self.by_absence = sent.committed_s, False
        if history.row.attempts > history.attempts_max:
            self.find("I14", f"attempt {history.row.attempts} of {history.attempts_max}")

    def leaves(self, attempt: int, send_by_s: float, *, is_unchecked: bool) -> None:
        """A byte leaves. `is_unchecked`: the process was stopped after its last check."""
        history = self.history
        row, time = history.row, history.time
        self.left[attempt] = count = self.left.get(attempt, 0) + 1
        if count > len(row.sends.get(attempt, ())):
            self.find("I2", f"request {count} of attempt {attempt} left and is not on record")
        if count > LIMITS.sends_max:
            self.find("I14", f"request {count} of attempt {attempt} left, {LIMITS.sends_max} are allowed")
        if is_unchecked:
            return
        if time.true_s > send_by_s + 0.001:
            self.find("I10", f"a request left {time.true_s - send_by_s:.1f} s after its send_by")
        halted_s = time.true_s - history.halted_s[0]
        if halted_s > _HALT_S and time.true_s < history.halted_s[1]:
            self.find("I10", f"a request left {halted_s:.2f} s after the halt")
        send_s = LIMITS.send_by_s
        if time.true_s > history.cancel_at_s + send_s:
            self.find("I10", f"a request left {time.true_s - history.cancel_at_s:.1f} s after it was withdrawn")
        late_s = (time.database - row.expires_at).total_seconds()
        if late_s > send_s and time.true_s - time.stepped_at_s > 2 * send_s:
            self.find("I10", f"a request left {late_s:.1f} s after its intent expired")

    # -- bounds -------------------------------------------------------------------------------------------------
    def _resolved(self) -> None:
        took_s = self.history.time.true_s - self.since_s
        if took_s > self._bound_s() and self.since_s > -FOREVER_S:
            self.is_stuck = True
            self.find("I5", f"unknown for {took_s:.1f} s, the bound is {self._bound_s():.1f} s")

    def _bound_s(self) -> float:
        """The protocol's own bound; where faults went on, so long after the last of them."""
        history = self.history
        identity, limits, time = history.identity, LIMITS, history.time
        if self.by_absence:  # an id that is kept for ever was no longer to be sent again
            identity = _as_open_only(identity)
        bound_s = protocol.resolution_bound_s(identity, limits)
        after_s = limits.lease_s + history.query_every_s_max + (limits.ladders_min + 1) * limits.ladder_gap_s
        bound_s = max(bound_s, self.disturbed_s - self.since_s + after_s)
        if time.stepped_at_s > self.since_s - 3_600:  # times on record may lie an hour ahead after a step back
            bound_s = max(bound_s, time.stepped_at_s - self.since_s + after_s + 4 * 3_600.0)
        # What the clocks differ by counts twice: until the horizon is over on both, and until the gap is.
        return bound_s + _SLACK_S + 2 * (abs(time.database_off_s) + abs(time.machine_off_s))

    def _asked(self, reason: str) -> None:
        """A person was asked: only where absence cannot be proved, or look-ups failed for long."""
        history = self.history
        if reason == OrderReason.PROOF_IMPOSSIBLE and protocol.absence_is_provable(history.identity):
            self.find("I5", "a person was asked although absence can be proved")
        if reason == OrderReason.LOOKUPS_FAILING and history.time.stepped_at_s < 0:
            asked_s = history.asked_s - self.since_s
            if asked_s < LIMITS.resolve_s_max:
                self.find("I5", f"a person was asked after {asked_s:.0f} s of failing look-ups")

    # -- the end ------------------------------------------------------------------------------------------------
    def close(self) -> None:
        history = self.history
        row, venue = history.row, history.venue
        placed = [order for order in venue.orders if not order.is_rejected]
        self.placed = len(placed)
        if row.state is S.NEEDS_HUMAN:
            self._asked(str(row.reason))
        if row.state not in ENDED:
            self.is_lost = True
            self.find("I5", f"not over: {row.state.value}")
        if venue.lies:
            self._close_lied()
            return
        if self.placed > 1:
            self.find("I1", f"{self.placed} orders at the venue, {row.state.value}")
        if placed and row.state in CALLED_DEAD:
            self.find("I3", f"lives at the venue, called {row.state.value} {row.reason}")
        self._close_claims()

    def _close_claims(self) -> None:
        row = self.history.row
        if row.state in _CALLED_PLACED and not self._is_at_venue():
            self.find("I4", f"called {row.state.value}, not at the venue")
        if row.state is S.REFUSED and not self._is_refused():
            self.find("I4", "called refused, the venue did not refuse it")
        if row.reason == OrderReason.ACKED_NOT_VISIBLE and not self._is_at_venue():
            self.find("I4", "acknowledged, and the venue never had it")
        if row.state is S.DENIED:
            self.find("I4", "called denied, nothing was wrong with it")

    def _is_at_venue(self) -> bool:
        attempt = self.history.row.attempt
        return any(order.attempt == attempt for order in self.history.venue.orders)

    def _is_refused(self) -> bool:
        venue = self.history.venue
        return self.history.row.attempt in venue.refusals or any(order.is_rejected for order in venue.orders)

    def _close_lied(self) -> None:
        """The venue broke A1: what no proof can prevent must be noticed, and must stop everything."""
        history = self.history
        row = history.row
        if self.placed and row.state in CALLED_DEAD:
            self.find("I3", f"lives at the venue, called {row.state.value} {row.reason}, not noticed")
        if (self.placed > 1 or row.state is S.ADOPTED_LATE) and not row.is_halted:
            self.find("I1", f"{self.placed} orders at the venue, {row.state.value}, and nothing is halted")
