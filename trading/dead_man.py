"""Keep the venue's dead-man switch wound: what rests there is cancelled by the venue itself when we fall silent.

Whoever watches an account winds the switch again and again; when the process, the machine or its line is gone, the
venue's countdown ends and it cancels our resting orders. Only a switch that acts on our own orders, by a request, is
wound (`capabilities.dead_man.is_armed_by_us`); at other venues nothing is claimed.

Invariants
- The switch is called wound by the venue's own answer alone, and is due again from before the request on.
- A switch that cannot be wound ends nothing: the orders are still watched, and the failure is on record.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from brokers.errors import BrokerError
from trading.runtime import Runtime

_log = logging.getLogger(__name__)
WOUND_PER_COUNTDOWN = 3  # two attempts may fail before the countdown ends


@dataclass(slots=True)
class SwitchSeen:
    """What became of the switch. `timeout_s` is 0 where none is wound, and `note` says why."""

    timeout_s: int = 0
    note: str = ""
    wound: int = 0
    failed: int = 0

    def told(self) -> str:
        """In a phrase, for people; empty where there is nothing to say."""
        if not self.timeout_s:
            return ""
        if not self.wound:
            return f"the dead-man switch of {self.timeout_s} s could NOT be set ({self.note})"
        lapses = f", {self.failed} times not ({self.note})" if self.failed else ""
        return f"the dead-man switch of {self.timeout_s} s was set {self.wound} times{lapses}"


class DeadManKeeper:
    """Winds one account's switch whenever a third of its countdown is over.

    Raises ValueError where `timeout_s` (0: never wind it) is outside of what the venue's switch takes.
    """

    def __init__(self, runtime: Runtime, timeout_s: int) -> None:
        self.seen = SwitchSeen()
        self._runtime = runtime
        self._due_at_s = float("-inf")
        switch = runtime.broker.capabilities.dead_man
        if not timeout_s or not switch.is_armed_by_us:
            self.seen.note = "" if not timeout_s else switch.note or switch.kind.value
            return
        if not switch.timeout_s_min <= timeout_s <= switch.timeout_s_max:
            raise ValueError(
                f"dead_man_s of {runtime.account_id} must be {switch.timeout_s_min} to {switch.timeout_s_max}, "
                f"or 0 for none, was {timeout_s}"
            )
        self.seen.timeout_s = timeout_s

    def wind(self) -> None:
        """Wind the switch if it is time; a failure is told once and tried again at the next call."""
        clock, seen = self._runtime.clock, self.seen
        began_s = clock.monotonic()
        if not seen.timeout_s or began_s < self._due_at_s:
            return
        try:
            self._runtime.broker.arm_dead_man(seen.timeout_s)
        except BrokerError as error:
            seen.failed += 1
            if seen.note != str(error):
                _log.warning("the dead-man switch of %s could not be set: %s", self._runtime.account_id, error)
            seen.note = str(error)
            return
        if not seen.wound:
            _log.info("%s cancels our resting orders after %d s of silence", self._runtime.account_id, seen.timeout_s)
        seen.wound += 1
        self._due_at_s = began_s + seen.timeout_s / WOUND_PER_COUNTDOWN
