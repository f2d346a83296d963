"""What an operator runs, through deployments on a real worker, and a death in the middle of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from prefect.client.orchestration import SyncPrefectClient

from brokers.ids import Environment
from deployments import evidence, runs
from deployments.register import EXAMPLE
from tasks.config import load
from tests.trading.simulated import end_leases

if TYPE_CHECKING:
    from deployments.processes import Child
    from deployments.runs import Run
    from deployments.stack import Stack

ACCOUNT = "bybit-simulated-main"
PORTFOLIO = load(EXAMPLE).portfolio("us-stocks")
REBALANCE = f"rebalance/rebalance-{ACCOUNT}"


def our_orders(stack: Stack) -> list[dict[str, Any]]:
    """Orders with our mark; the account's human has none."""
    return [order for order in stack.control("orders", account="main") if order["client_id"]]


def is_on_target(stack: Stack) -> bool:
    holdings = evidence.by_control(stack.control, "main", PORTFOLIO.targets)
    return all(line.holds for line in evidence.check(PORTFOLIO, holdings))


def test_the_demonstrations_sequence(stack: Stack, worker: Child, run: Callable[..., Run]) -> None:
    ended = [
        run("sync-positions"),
        run("set-leverage"),
        run("rebalance", mode="execute"),
        run("reconcile"),
    ]
    assert [one.state for one in ended] == ["Completed"] * 4, [one.message for one in ended]
    assert is_on_target(stack)
    assert ended[2].name == "Rebalance bybit-simulated-main to us-stocks"


def shake(stack: Stack) -> None:
    """Move the book away from its target, as a market or a person would."""
    for symbol, side, quantity in (("AAPLUSDT", "buy", "400"), ("MSFTUSDT", "sell", "150"), ("KOUSDT", "buy", "300")):
        stack.control("place_order", post={"account": "main", "symbol": symbol, "side": side, "qty": quantity})


@pytest.mark.parametrize("point", ["C09", "C15:2"])
def test_a_killed_rebalance_continues_and_sends_nothing_twice(
    stack: Stack, client: SyncPrefectClient, worker: Child, run: Callable[..., Run], point: str
) -> None:
    """SIGKILL on the way to the venue: once SENDING is committed, or when the second answer is read.

    The run is retried under its own id. Every leg has one order at the venue, and the plan completes.
    """
    if not is_on_target(stack):
        levered = run("set-leverage")
        assert levered.is_completed, levered.message
        assert run("rebalance", mode="execute").is_completed
    shake(stack)
    before = len(our_orders(stack))
    stack.supervisor.end(worker)
    fragile = stack.start_worker("simulated", env={"ALGOTRENDY_CRASH_AT": point})
    run_id = runs.start(client, REBALANCE, {"mode": "execute"})
    died = runs.follow(client, run_id, deployment=REBALANCE, timeout_s=120.0, check=stack.supervisor.check)
    assert died.state_type == "CRASHED", died
    stack.supervisor.end(fragile)
    end_leases(stack.home.ledger_url(Environment.SIMULATED))  # tests/stack/test_takeover.py waits for them
    sent_before_death = len(our_orders(stack)) - before

    stack.start_worker("simulated")
    runs.retry(client, run_id)
    again = runs.follow(client, run_id, deployment=REBALANCE, timeout_s=180.0, check=stack.supervisor.check)
    assert again.state == "Completed", again.message
    assert is_on_target(stack)
    sent = our_orders(stack)[before:]
    lines = Counter(order["request"]["symbol"] for order in sent)
    assert lines == Counter({"AAPLUSDT": 1, "MSFTUSDT": 1, "KOUSDT": 1})  # one order a leg, none lost, none twice
    assert len({order["client_id"] for order in sent}) == len(sent)
    # Legs are sent beside each other: a third may be on its way when the second answer is read.
    assert sent_before_death in ((0,) if point == "C09" else (2, 3))
    reconciled = run("reconcile")  # all agrees, but for the orders of the person who shook the book
    assert re.match(r"(\d+) breaks: \1 ORDER_EXTERNAL; compared", reconciled.message or ""), reconciled.message
