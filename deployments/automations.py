"""Automations: one ends zombies, three start a long-running job again when its run has died.

A zombie is a run whose process is gone but which Prefect still shows as Running.

A killed worker leaves its run Running for ever, and such a run holds the deployment's only slot. Every run sends a
heartbeat (deployments/settings.py); silence of three heartbeats means that nobody is there any more. A run of the same
key may then be started again: the ledger decides what is left to do.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, RunDeployment
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from deployments.settings import HEARTBEAT_S
from flows.states import FINAL_STATE_NAMES

SILENCE_S = 3 * HEARTBEAT_S
WATCH_FLOW = "watch-orders"
DRAIN_FLOW = "drain-alerts"
SWEEP_FLOW = "sweep-account"
HEARTBEAT_EVENT = "prefect.flow-run.heartbeat"
ENDED = ("Completed", "Failed", "Cancelled", "Crashed", "Paused", "Suspended")


def zombies() -> AutomationCore:
    """After a heartbeat, either another one or an end within the time; else the run has crashed.

    Prefect names events after the state's name, so every name of ours must be listed.
    """
    ends = {f"prefect.flow-run.{name}" for name in (*ENDED, *FINAL_STATE_NAMES)}
    return AutomationCore(
        name="End runs whose process is gone",
        description=f"No heartbeat for {SILENCE_S} s: the run is marked Crashed, its slot is free again.",
        enabled=True,
        trigger=EventTrigger(
            after={HEARTBEAT_EVENT},
            expect={HEARTBEAT_EVENT, *ends},
            match=ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_S),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED,
                message=f"No heartbeat for {SILENCE_S} s: the process is gone. Nothing follows about its orders; "
                "run resume orders, then start the job again.",
            )
        ],
    )


def watch_again() -> AutomationCore:
    """A watch that crashed (its process was killed, its worker is gone) is started again, by its own deployment."""
    return _again(WATCH_FLOW, name="Watch orders again")


def drain_again() -> AutomationCore:
    """The same for a drain: alerts that wait for nobody would only expire."""
    return _again(DRAIN_FLOW, name="Drain alerts again")


def sweep_again() -> AutomationCore:
    """And for a sweep: nobody would look."""
    return _again(SWEEP_FLOW, name="Sweep accounts again")


def _again(flow: str, *, name: str) -> AutomationCore:
    return AutomationCore(
        name=name,
        description=f"A {flow} run crashed: its deployment is run again at once, not only at the next slot.",
        enabled=True,
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match=ResourceSpecification.model_validate({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=ResourceSpecification.model_validate(
                {"prefect.resource.role": "flow", "prefect.resource.name": flow}
            ),
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(source="inferred")],
    )


def register(client: SyncPrefectClient) -> Iterator[str]:
    """Create each automation or bring it up to date."""
    for automation in (zombies(), watch_again(), drain_again(), sweep_again()):
        found = client.read_automations_by_name(automation.name)
        if not found:
            client.create_automation(automation)
        else:
            client.update_automation(found[0].id, automation)
            for spare in found[1:]:
                client.delete_automation(spare.id)
        yield automation.name
