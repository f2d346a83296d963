"""Job: make the sources and routes of a block count for the alerts of the pool."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed

from flows.parameters import PersonName, RoutesName
from flows.pool_job import PoolJob, run_pool_job
from tasks.blocks import load_routes
from trading.alerts.operating import apply_routes as apply_routes_of
from trading.alerts.operating import current_routes

DESCRIPTION = """
Read the block **Alert Routes**, check it as a whole, and make it count: the next alert that is read goes by it. What
cannot be used is refused with the place and the remedy, and the former routes stay in force.

The form that saves a block does not check it; this job does.
"""


@flow(
    name="apply-routes",
    flow_run_name="Apply the routes {routes}",
    description=DESCRIPTION.strip(),
    persist_result=False,
    retries=0,
)
def apply_routes(set_by: PersonName, routes: RoutesName = "alert-routes") -> State[Any]:
    """Apply routes.

    Args:
        set_by: Your name. It is kept with the version for ever.
        routes: Name of the block with the sources and routes.
    """
    return run_pool_job("apply-routes", lambda job: _apply(job, set_by, routes))


def _apply(job: PoolJob, by: str, name: str) -> State[Any]:
    config = load_routes(name)
    before = current_routes(job.ledger)
    version = apply_routes_of(config, job.ledger, by=by)
    job.publish(config)
    counted = f"{len(config.sources)} sources and {len(config.routes)} routes"
    if before is not None and before[0].version == version.version:
        return Completed(message=f"version {version.version} counts already: {counted}")
    return Completed(message=f"version {version.version} counts from now on: {counted}")
