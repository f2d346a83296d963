"""Schedules of an account that nobody has stored stay off: a row of refusals teaches people to look away."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from prefect.exceptions import ObjectNotFound

from brokers.ids import Environment
from deployments import deploy, manifest

ACCOUNT = "bybit-testnet-main"


class Server:
    """The calls that deploying makes about blocks and schedules."""

    def __init__(self, blocks: dict[str, dict[str, dict[str, Any]]]) -> None:
        self.blocks = blocks
        self.schedules: dict[Any, SimpleNamespace] = {}
        self.deployments: list[Any] = []

    def read_block_documents_by_type(self, slug: str, **_: Any) -> list[Any]:
        if slug not in self.blocks:
            raise ObjectNotFound(RuntimeError(slug))
        return [SimpleNamespace(name=name, data=data) for name, data in self.blocks[slug].items()]

    def hold(self, *deployments: manifest.Deployment) -> None:
        for deployment in deployments:
            schedules = [SimpleNamespace(id=uuid4(), slug=s.slug, active=s.active) for s in deployment.schedules]
            self.schedules |= {schedule.id: schedule for schedule in schedules}
            self.deployments.append(SimpleNamespace(id=uuid4(), name=deployment.name, schedules=schedules))

    def read_deployments(self, **_: Any) -> list[Any]:
        return self.deployments

    def update_deployment_schedule(self, _: Any, schedule_id: Any, active: bool) -> None:
        self.schedules[schedule_id].active = active


def server(**blocks: dict[str, dict[str, Any]]) -> Any:
    return Server({name.replace("_", "-"): documents for name, documents in blocks.items()})


@pytest.mark.parametrize(
    ("account", "credentials", "is_ready"),
    [
        ({"venue": "bybit", "credentials_name": "keys"}, {"keys": {}}, True),
        ({"venue": "bybit", "credentials_name": "keys"}, {"others": {}}, False),
        ({"venue": "okx", "credentials_name": "keys"}, {"keys": {}}, False),  # bybit's credentials
        ({}, {"keys": {}}, False),
    ],
)
def test_an_account_counts_with_the_credentials_that_it_names(
    account: dict[str, Any], credentials: dict[str, Any], is_ready: bool
) -> None:
    client = server(trading_account={ACCOUNT: account}, bybit_credentials=credentials)
    assert deploy.ready_accounts(client) == ({ACCOUNT} if is_ready else frozenset())


def test_a_server_that_knows_no_block_types_has_no_accounts_and_no_choices() -> None:
    assert deploy.ready_accounts(server()) == frozenset()
    assert deploy.stored_names(server()) == {"portfolio": (), "subscription": ()}


def test_schedules_wait_for_the_account_and_come_on_with_it() -> None:
    shipped = manifest.load().of((Environment.TESTNET,))
    on = {(each.name, s.slug) for each in shipped for s in each.schedules if s.active}
    assert {each.name for each in deploy.waiting(shipped, [])} == {name for name, _ in on} and len(on) >= 5
    assert deploy.waiting(shipped, [ACCOUNT]) == []
    held = [deploy.held_back(each, []) for each in shipped]
    assert not any(schedule.active for each in held for schedule in each.schedules)
    assert [deploy.held_back(each, [ACCOUNT]) for each in shipped] == list(shipped)

    client = server()
    client.hold(*held)
    assert deploy.switch_on(client, {"bybit-testnet-other"}) == 0
    assert deploy.switch_on(client, {ACCOUNT}) == len(on)
    assert {(d.name, s.slug) for d in client.deployments for s in d.schedules if s.active} == on
