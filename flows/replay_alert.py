"""Job: put an alert that ended badly back into the queue, under its key and with a person's name and reason."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.parameters import AlertNumber, PersonName, ReasonText
from flows.pool_job import PoolJob, run_pool_job
from flows.states import FinalState
from ledger.inbox import AlertStore
from trading.alerts.operating import replay
from trading.alerts.overview import read_story

DESCRIPTION = """
Put an alert back that is **dead**, **refused**, **unreadable** or waits for a person. It keeps its key and its orders:
what was sent for it is found, not sent again. Its time to live begins anew, so look at the market first.

A lane that stood still for it goes on. The drain does the rest.
"""


@flow(
    name="replay-alert",
    flow_run_name="Replay alert {alert}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def replay_alert(alert: AlertNumber, set_by: PersonName, reason: ReasonText) -> State[Any]:
    """Replay an alert.

    Args:
        alert: Number of the alert, as the report of the alerts shows it.
        set_by: Your name. It is kept with the alert for ever.
        reason: Why it is worth another try, in a sentence. It is kept as well.
    """
    return run_pool_job("replay-alert", lambda job: _replay(job, alert, set_by, reason))


def _replay(job: PoolJob, alert_id: int, by: str, reason: str) -> State[Any]:
    store = AlertStore(job.ledger)
    try:
        before = store.show(alert_id)
    except LookupError as error:
        return FinalState.REFUSED.state(f"ALERT_UNKNOWN: {error}; see the report of the alerts for their numbers")
    state = replay(store, alert_id, by=by, reason=reason)
    job.publish(read_story(store, alert_id))
    was = f"{before.state.value} ({before.reason})"
    return Completed(message=f"alert {alert_id} was {was} and is {state.value} again under its key")
