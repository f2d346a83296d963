"""What was last seen of a venue's dead-man switch, as evidence: an observation of the account, of no intent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sqlalchemy import func
from sqlmodel import Session, col, select

from brokers.closed_sets import plain_members
from brokers.ids import AccountId
from ledger.engine import Ledger
from ledger.states import ObservationSource
from ledger.tables import Observation

TEXT_MAX = 2_000
# Of no intent: by that the index finds these few among all observations.
_OF_SWITCHES = (col(Observation.intent_id).is_(None), col(Observation.source) == ObservationSource.DEAD_MAN.value)


@plain_members
class SwitchState(StrEnum):
    """Whether the venue cancels our resting orders by itself when nobody watches any more."""

    ARMED = "armed"  # by the venue's own word
    NOT_ARMED = "not_armed"  # it was refused, or the request never left
    UNKNOWN = "unknown"  # the request left, and no usable answer came
    LEFT = "left"  # armed, and the watch that wound it is over
    OFF = "off"  # nobody asked for it, or the account's venue has none


@dataclass(frozen=True, slots=True)
class SwitchNote:
    """One account's switch, as it was last told."""

    account_id: str
    state: str
    text: str
    observed_at: datetime


def note_switch(ledger: Ledger, account_id: AccountId, state: SwitchState, text: str) -> None:
    """Append what was seen; the same as before, off, is not said again."""
    with ledger.write() as session:
        last = _newest(session, str(account_id))
        if state is SwitchState.OFF and (last is None or (last.outcome, last.text) == (state.value, text)):
            return
        session.add(
            Observation(
                account_id=str(account_id),
                source=ObservationSource.DEAD_MAN.value,
                outcome=state.value,
                text=text.replace("\x00", "")[:TEXT_MAX],
                observed_at=ledger.now(session),
            )
        )


def switch_notes(session: Session) -> list[SwitchNote]:
    """The newest of each account, by name."""
    newest = select(func.max(col(Observation.observation_id))).where(*_OF_SWITCHES).group_by(Observation.account_id)
    rows = session.exec(
        select(Observation).where(col(Observation.observation_id).in_(newest)).order_by(Observation.account_id)
    )
    return [SwitchNote(row.account_id, row.outcome, row.text, row.observed_at) for row in rows]


def _newest(session: Session, account_id: str) -> Observation | None:
    query = select(Observation).where(*_OF_SWITCHES, Observation.account_id == account_id)
    return session.exec(query.order_by(col(Observation.observation_id).desc()).limit(1)).first()
