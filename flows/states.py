"""The final states of our flows beyond Prefect's own, each with its meaning and what to do.

Prefect shows a state's name verbatim and names its events after it, so an automation that waits for the end of a run
must list these names (deployments/automations.py does).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from prefect.client.schemas.objects import State
from prefect.states import Cancelled, Completed, Failed


class FinalState(StrEnum):
    """Name, meaning, remedy. The colour follows the type: green completed, red failed."""

    COMPLETED_ADJUSTED = "COMPLETED_ADJUSTED"
    CLEAN_WITH_ACCEPTED = "CLEAN_WITH_ACCEPTED"
    BREAKS_FOUND = "BREAKS_FOUND"
    NOT_RECONCILED = "NOT_RECONCILED"
    TARGET_NOT_REACHED = "TARGET_NOT_REACHED"
    NEEDS_HUMAN = "NEEDS_HUMAN"
    LEVERAGE_NOT_SET = "LEVERAGE_NOT_SET"
    NOT_CLOSED = "NOT_CLOSED"
    KILL_NOT_PROVED = "KILL_NOT_PROVED"
    CONTROL_HALF_SET = "CONTROL_HALF_SET"
    PLAN_UNFINISHED = "PLAN_UNFINISHED"
    REFUSED = "REFUSED"
    CANCELLED_MID_RUN = "CANCELLED_MID_RUN"
    REJECTED = "REJECTED"
    APPROVAL_TIMED_OUT = "APPROVAL_TIMED_OUT"

    @property
    def meaning(self) -> str:
        return _TEXTS[self][1]

    @property
    def remedy(self) -> str:
        return _TEXTS[self][2]

    def state(self, message: str) -> State[Any]:
        """The Prefect state; it carries no data, because results stay in the ledger and in the report."""
        state: State[Any] = _TEXTS[self][0](name=self.value, message=message)
        return state


_TEXTS: dict[FinalState, tuple[Any, str, str]] = {
    FinalState.COMPLETED_ADJUSTED: (
        Completed,
        "The job ended with proof from the venue, and lines were skipped, refused or left over for stated reasons.",
        "Read the reasons in the report; most mean that the difference is too small to trade.",
    ),
    FinalState.CLEAN_WITH_ACCEPTED: (
        Completed,
        "Venue and ledger were compared and differ by nothing but what a person accepted, and by no more.",
        "None needed until an acceptance ends. What it locks stays locked: see `algotrendy breaks list`.",
    ),
    FinalState.BREAKS_FOUND: (
        Failed,
        "Venue and ledger were compared and differ.",
        "Read each break in the report: it names kind, amounts and evidence. Do not trade the account before that.",
    ),
    FinalState.NOT_RECONCILED: (
        Failed,
        "The venue could not be read completely, so nothing was compared and nothing is called clean.",
        "Run it again when the venue answers.",
    ),
    FinalState.TARGET_NOT_REACHED: (
        Failed,
        "The plan is over and the venue does not hold the target within tolerance.",
        "Read the reason of each line in the report, then run the portfolio again.",
    ),
    FinalState.NEEDS_HUMAN: (
        Failed,
        "An order's outcome cannot be proved by the machine. Nothing is sent for it again.",
        "Look at the order at the venue, then record it: algotrendy intents lists it, algotrendy decide ends it.",
    ),
    FinalState.LEVERAGE_NOT_SET: (
        Failed,
        "At least one instrument does not hold the wanted leverage, or it could not be read back.",
        "Read the venue's answer in the report; instruments that were proved stay as they are.",
    ),
    FinalState.NOT_CLOSED: (
        Failed,
        "Positions that were to be closed are still open at the venue.",
        "Read the reason of each line in the report, then run the job again.",
    ),
    FinalState.KILL_NOT_PROVED: (
        Failed,
        "The account is stopped, and something is or may be left at the venue: the report names it. KILL holds.",
        "Read what is left in the report, look at the venue's own screen, and run the kill switch again: it continues.",
    ),
    FinalState.CONTROL_HALF_SET: (
        Failed,
        "The stop holds, in one of database and control file only.",
        "Repair what the message names, then set the same state again.",
    ),
    FinalState.PLAN_UNFINISHED: (
        Failed,
        "The plan was begun and could not be brought to its end in the time of one run.",
        "Retry the run (three dots, Retry): it continues the same plan and sends no order twice.",
    ),
    FinalState.CANCELLED_MID_RUN: (
        Cancelled,
        "A person cancelled the run in the middle: open orders were taken back, what was filled stays filled.",
        "Read in the report what was left out; start another run to go on.",
    ),
    FinalState.REJECTED: (
        Cancelled,
        "A person rejected what the run asked for; nothing was sent.",
        "None, or start another run.",
    ),
    FinalState.APPROVAL_TIMED_OUT: (
        Cancelled,
        "Nobody approved the plan in its time; nothing was sent.",
        "Start another run when somebody is there to approve it.",
    ),
    FinalState.REFUSED: (
        Failed,
        "A guard stopped the job: environment, configuration, an earlier plan or a control state forbids it.",
        "The run's message names the cause and the remedy; its log says whether orders had been sent before.",
    ),
}

FINAL_STATE_NAMES: tuple[str, ...] = tuple(FinalState)
