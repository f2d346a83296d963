"""The arming job without a server: what it asks for, what becomes of each answer, and that it asks once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import select

from brokers.ids import Environment
from deployments.register import EXAMPLE
from flows import arm_production as job
from ledger.engine import Ledger
from ledger.tables import ArmingRow
from tasks.config import load
from trading.arming import People, Role
from trading.arming.people import code_of, read_person_key

ACCOUNT = "bybit-simulated-main"


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the job to its end, with this answer in the form."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = {
        "ENVIRONMENT": "simulated",
        "LEDGER_URL": url,
        "POOL": "simulated",
        "SECRETS": str(tmp_path),
        "KEY_REGISTRY": str(tmp_path / "keys.json"),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"ALGOTRENDY_{name}", value)
    people = People(tmp_path)
    keys = {name: read_person_key(people.enrol(name)) for name in ("ann", "bob")}
    monkeypatch.setattr(job, "load_account", lambda name, environment: load(EXAMPLE).account(name).resolve())
    monkeypatch.setattr(job, "create_markdown_artifact", lambda *args, **kwargs: None)
    monkeypatch.setattr(job, "get_run_logger", lambda: logging.getLogger("test"))
    monkeypatch.setattr(job, "flow_run_runtime", SimpleNamespace(id="run-1", run_count=1))

    def rows() -> list[ArmingRow]:
        with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.read() as session:
            return list(session.exec(select(ArmingRow)))

    def run(decision: str, *, codes: bool = True, **wish: Any) -> tuple[Any, list[ArmingRow]]:
        def suspend(**options: Any) -> job.ArmingDecision:
            record = rows()[-1].record_sha256
            said = {"decision": decision, "approver": "bob"}
            if codes:
                made = {"ann": Role.REQUEST, "bob": Role.APPROVE}
                code = {n: code_of(keys[n], name=n, role=role, record_sha256=record) for n, role in made.items()}
                said |= {"request_code": code["ann"], "approve_code": code["bob"]}
            return job.ArmingDecision(**said)

        monkeypatch.setattr(job, "suspend_flow_run", suspend)
        values = {"account": ACCOUNT, "requested_by": "ann", "reason": "practice", "notional": "25000", **wish}
        return job.arm_production.fn(**values), rows()

    return run


def test_approved_with_both_codes_it_arms_and_again_changes_nothing(answered: Callable[..., Any]) -> None:
    for _ in range(2):  # Prefect runs a resumed flow from the top
        state, rows = answered("approve")
        assert (state.type.value, [row.state for row in rows]) == ("COMPLETED", ["requested", "armed"]), state.message
    assert "asked for by ann, approved by bob" in state.message


def test_rejected_it_ends_as_rejected_and_needs_no_code(answered: Callable[..., Any]) -> None:
    state, rows = answered("reject", codes=False)
    assert (state.name, state.type.value, len(rows)) == ("REJECTED", "CANCELLED", 1)


def test_approved_without_the_codes_it_is_refused(answered: Callable[..., Any]) -> None:
    state, rows = answered("approve", codes=False)
    assert (state.name, len(rows)) == ("REFUSED", 1)
    assert state.message.startswith("ARMING_CODE_WRONG")


def test_a_stranger_is_refused_before_anything_is_stored(answered: Callable[..., Any]) -> None:
    state, rows = answered("approve", requested_by="eve")
    assert (state.name, rows) == ("REFUSED", [])


@pytest.mark.parametrize(
    "said",
    [
        {"approver": "bob"},
        {"decision": "maybe", "approver": "bob"},
        {"decision": "reject", "approver": "Bob B"},
        {"decision": "approve", "approver": "bob", "approve_code": "1234"},
    ],
)
def test_the_form_is_typed_and_has_no_default_decision(said: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        job.ArmingDecision(**said)
