"""Each invariant is broken once on each side, and the oracle names it: it must be able to fail."""

from __future__ import annotations

import copy
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.clock import ManualClock
from brokers.ids import AccountId
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger import invariants
from ledger.controls import set_control
from ledger.evidence import read_evidence
from ledger.invariants import Invariant, Rules, check_ledger
from ledger.replay import recorded, replayed, state_hash
from ledger.states import ControlState, IntentState
from tests.proof import oracle
from tests.proof.histories import LIMITS, POLICY
from tests.proof.ledgers import HistoryLedger, open_copy
from tests.proof.oracle import judge
from tests.proof.venue import HistoryVenue
from tests.trading.orders.modelled import BTC, START, Fault, quote
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder
from trading.orders.judging import judge_ledger

I = Invariant  # noqa: E741
S = IntentState


class World:
    """Four intents that came to rest: filled, cancelled, expired unsent, and denied."""

    def __init__(self, ledger: HistoryLedger, file: Path, clock: ManualClock) -> None:
        self.ledger, self.file, self.clock = ledger, file, clock
        self.venue = HistoryVenue(clock, kind="no id", seed=3, name="main", weights={Fault.NONE: 1})
        self.venue.is_calm = True
        self.venue.read_fails = 0.0
        self.venue.stale_s_max = 0.0
        self.desk = OrderDesk(ledger=ledger, broker=self.venue, clock=clock, policy=POLICY, worker="w", limits=LIMITS)
        self.filled = self._play("filled", S.FILLED)
        self.cancelled = self._play("cancelled", S.CANCELLED, limit_price=Decimal(49_000))
        self._control(ControlState.HALT)
        self.expired = self._play("expired", S.EXPIRED)
        self._control(ControlState.RUN)
        self.denied = self._play("denied", S.DENIED, quantity=Decimal(1_000))

    def _play(
        self,
        key: str,
        state: IntentState,
        *,
        quantity: Decimal = Decimal("0.01"),
        limit_price: Decimal | None = None,
    ) -> str:
        order_type = OrderType.MARKET if limit_price is None else OrderType.LIMIT
        request = OrderRequest(
            instrument_id=BTC, side=OrderSide.BUY, order_type=order_type, quantity=quantity, limit_price=limit_price
        )
        wanted = WantedOrder(self.venue.account_id, key, "test", request, quote(self.venue), ttl_s=30)
        view = self.desk.submit(wanted)
        if limit_price is not None:
            self.venue._plan_fills = lambda order, at: None  # type: ignore[method-assign]
            self.desk.drive([wanted.intent_id], timeout_s=5)
            self.desk.cancel(wanted.intent_id, reason="test")
        (view,) = self.desk.drive([wanted.intent_id], timeout_s=100)
        assert view.state is state
        return str(wanted.intent_id)

    def _control(self, state: ControlState) -> None:
        self.clock.wait(1)
        with self.ledger.write() as session:
            set_control(session, self.venue.account_id, state, reason="test", set_by="test", at=self.clock.now())
        self.clock.wait(1)

    def tamper(self, statement: str, *values: object) -> None:
        """Change the ledger behind its back, past the triggers that keep evidence append-only."""
        connection = sqlite3.connect(self.file)
        triggers = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        with connection:
            for name in triggers:
                connection.execute(f"DROP TRIGGER {name}")
            changed = connection.execute(statement, values).rowcount
        connection.close()
        assert changed > 0, statement

    def named(self) -> set[Invariant]:
        with self.ledger.read() as session:
            return {finding.invariant for finding in judge(session, self.venue).findings}


@pytest.fixture(scope="session")
def played(source: Path) -> Iterator[World]:
    """Played once; each test changes a copy."""
    clock, file = ManualClock(START), source.with_name("played.db")
    with open_copy(source, file, clock) as ledger:
        yield World(ledger, file, clock)


@pytest.fixture
def world(played: World, place: Path) -> Iterator[World]:
    mine, file = copy.copy(played), place / "ledger.db"
    with open_copy(played.file, file, played.clock) as ledger:
        mine.ledger, mine.file, mine.venue = ledger, file, copy.deepcopy(played.venue)
        yield mine


def test_a_sound_world_breaks_nothing(world: World) -> None:
    with world.ledger.read() as session:
        assert judge(session, world.venue).findings == ()
        assert check_ledger(session, rules=Rules(now=world.clock.now() + timedelta(days=1))) == ()
        evidence = read_evidence(session, world.venue.account_id)
    assert len(evidence.intents) == 4
    assert state_hash(replayed(evidence)) == state_hash(recorded(evidence))


def test_every_invariant_is_judged() -> None:
    assert set(invariants.CHECKS) == set(Invariant)
    assert set(oracle.CHECKS) < set(invariants.CHECKS)
    assert [invariant.value for invariant in Invariant] == [f"I{number}" for number in range(1, 18)]


BY_LEDGER: list[tuple[Invariant, str]] = [
    (I.ONE_ORDER, "INSERT INTO venue_order SELECT account_id, 'second', client_order_id, intent_id, instrument_id, "
     "side, order_type, time_in_force, quantity, filled_quantity, average_price, limit_price, trigger_price, status, "
     "status_text, reject_code, reduce_only, created_at, updated_at, first_seen_at, last_seen_at "
     "FROM venue_order LIMIT 1"),
    (I.DURABLE_FIRST, "DELETE FROM order_send"),
    (I.DURABLE_FIRST, "UPDATE order_attempt SET payload = '{}'"),
    (I.NOT_PLACED_MEANS_NONE, "UPDATE order_intent SET state = 'expired' WHERE state = 'filled'"),
    (I.NOT_PLACED_MEANS_NONE, "UPDATE transition SET to_state = 'adopted_late' WHERE to_state = 'denied'"),
    (I.ACKED_MEANS_ONE, "DELETE FROM observation"),
    (I.ACKED_MEANS_ONE, "UPDATE venue_order SET side = 'sell'"),
    (I.ACKED_MEANS_ONE, "UPDATE venue_order SET quantity = '0.02'"),
    (I.ENDS, "UPDATE order_intent SET state = 'unknown' WHERE state = 'filled'"),
    (I.FILLS_EQUAL, "DELETE FROM fill"),
    (I.FILLS_EQUAL, "UPDATE fill SET quantity = '0.009'"),
    (I.NOT_OVERFILLED, "UPDATE order_intent SET quantity = '0.005' WHERE state = 'filled'"),
    (I.EPOCHS_RISE, "UPDATE transition SET epoch = 0 WHERE to_state = 'claimed'"),
    (I.EPOCHS_RISE, "DELETE FROM transition WHERE to_state = 'sending'"),
    (I.RESERVED, "UPDATE order_intent SET reserved_notional = '5' WHERE state = 'cancelled'"),
    (I.STOPPED_MEANS_NONE, "UPDATE control SET set_at = '2000-01-01T00:00:00.000000Z' WHERE state = 'halt'"),
    (I.OWN_LANE, "UPDATE transition SET transition_id = transition_id + 1000 WHERE to_state IN ('acked', 'filled')"),
    (I.SENDS_BOUNDED, "UPDATE order_intent SET attempts_max = 0"),
    (I.SENDS_BOUNDED, "UPDATE order_send SET client_order_id = 'x' || client_order_id"),
    (I.LOCKED_MEANS_NONE, "INSERT INTO instrument_lock (account_id, instrument_id, break_id, kind, "
     "lets_reductions_out, clean_runs, locked_at) SELECT account_id, '*', 'b', 'K', 0, 0, "
     "'2000-01-01T00:00:00.000000Z' FROM order_intent LIMIT 1"),
    (I.CLEARED_BY_A_RUN, "INSERT INTO break_event (break_id, account_id, subject, step, who, approved_by, reason, "
     "detail, runs_before, at) SELECT 'b', account_id, 's', 'cleared', 'run', '', '', '{}', 0, created_at "
     "FROM order_intent LIMIT 1"),
    (I.REPLAYS, "UPDATE order_intent SET attempt_count = 3 WHERE state = 'filled'"),
    (I.REPLAYS, "UPDATE order_intent SET state_reason = 'OTHER' WHERE state = 'denied'"),
]  # fmt: skip


@pytest.mark.parametrize(("invariant", "statement"), BY_LEDGER)
def test_a_ledger_that_was_changed_is_named(world: World, invariant: Invariant, statement: str) -> None:
    world.tamper(statement)
    with world.ledger.read() as session:
        rules = Rules(lanes=[str(world.venue.account_id)])
        found = [finding for finding in check_ledger(session, rules=rules) if finding.invariant is invariant]
    assert found
    assert str(found[0]).startswith(f"{invariant.value} ")


def test_a_ledger_in_use_is_judged_by_its_own_pool(world: World) -> None:
    moved = "SET set_at = '2000-01-01T00:00:00.000000Z', scope = 'pool:simulated'"
    world.tamper(f"UPDATE control {moved} WHERE state = 'halt'")
    with world.ledger.read() as session:
        found = judge_ledger(session, now=world.clock.now()).findings
        none = judge_ledger(session, now=world.clock.now(), account_id=AccountId.parse("bybit.simulated.other"))
    assert {finding.invariant for finding in found} == {I.STOPPED_MEANS_NONE}
    assert (none.intents, none.findings) == (0, ())


def _second_order(world: World) -> None:
    first = world.venue.orders[0]
    world.venue.orders.append(replace(first, venue_order_id="second"))
    world.venue.origins["second"] = world.venue.origins[first.venue_order_id]


def _stranger(world: World) -> None:
    world.venue.orders.append(replace(world.venue.orders[0], venue_order_id="stranger"))
    world.venue.origins["stranger"] = "an id that nobody sent"


def _left_early(world: World) -> None:
    world.venue.arrivals[0] = replace(world.venue.arrivals[0], was_committed=False)


def _other_bytes(world: World) -> None:
    world.venue.arrivals[0] = replace(world.venue.arrivals[0], sha256="0" * 64)


def _left_uncommitted(world: World) -> None:
    world.venue.arrivals.append(replace(world.venue.arrivals[0], send_id="never committed"))


def _left_twice(world: World) -> None:
    world.venue.arrivals.append(world.venue.arrivals[0])


def _lives(world: World) -> None:
    world.tamper("UPDATE order_intent SET state = 'refused' WHERE state = 'filled'")


def _other_terms(world: World) -> None:
    order = world.venue.orders[0]
    order.request = replace(order.request, side=OrderSide.SELL)


def _not_there(world: World) -> None:
    del world.venue.orders[0]


def _another_fill(world: World) -> None:
    world.venue.fill(world.venue.orders[0], Decimal("0.001"))


def _less_filled(world: World) -> None:
    world.venue.orders[0].fills.clear()


def _fee_not_told(world: World) -> None:
    world.tamper("UPDATE fill SET fee = '0'")


def _other_price(world: World) -> None:
    world.tamper("UPDATE fill SET price = '50001'")


def _fill_of_no_order(world: World) -> None:
    world.tamper(
        "INSERT INTO fill SELECT account_id, 'stray', 'nowhere', NULL, instrument_id, side, quantity, price, fee, "
        "fee_currency, liquidity, kind, time, recorded_at FROM fill LIMIT 1"
    )


def _reserves_other(world: World) -> None:
    world.tamper("UPDATE order_intent SET state = 'unknown', reserved_notional = '7' WHERE state = 'filled'")


BY_VENUE: list[tuple[Invariant, Callable[[World], None]]] = [
    (I.ONE_ORDER, _second_order),
    (I.ONE_ORDER, _stranger),
    (I.DURABLE_FIRST, _left_early),
    (I.DURABLE_FIRST, _other_bytes),
    (I.DURABLE_FIRST, _left_uncommitted),
    (I.NOT_PLACED_MEANS_NONE, _lives),
    (I.ACKED_MEANS_ONE, _other_terms),
    (I.ACKED_MEANS_ONE, _not_there),
    (I.FILLS_EQUAL, _another_fill),
    (I.FILLS_EQUAL, _less_filled),
    (I.NOT_OVERFILLED, _another_fill),
    (I.BALANCED, _another_fill),
    (I.BALANCED, _fee_not_told),
    (I.BALANCED, _other_price),
    (I.BALANCED, _fill_of_no_order),
    (I.RESERVED, _reserves_other),
    (I.SENDS_BOUNDED, _left_twice),
]


@pytest.mark.parametrize(("invariant", "change"), BY_VENUE)
def test_a_venue_that_disagrees_is_named(world: World, invariant: Invariant, change: Callable[[World], None]) -> None:
    change(world)
    assert invariant in world.named()
    with world.ledger.read() as session:
        found = oracle.CHECKS[invariant](world.venue, read_evidence(session, world.venue.account_id))
        assert list(found)


def test_an_intent_that_is_late_is_named_once_its_time_is_long_over(world: World) -> None:
    world.tamper("UPDATE order_intent SET state = 'unknown' WHERE state = 'filled'")
    for late, is_named in ((timedelta(minutes=1), False), (timedelta(hours=1), True)):
        with world.ledger.read() as session:
            rules = Rules(now=world.clock.now() + late)
            named = {finding.invariant for finding in check_ledger(session, rules=rules)}
        assert (Invariant.ENDS in named) is is_named


def test_a_second_order_of_the_wire_must_be_noticed(world: World) -> None:
    _second_order(world)
    world.venue.doubled.append("second")
    with world.ledger.read() as session:
        verdict = judge(session, world.venue)
    assert verdict.doubled == 1
    assert Invariant.ONE_ORDER not in {finding.invariant for finding in verdict.findings}
    assert verdict.is_noticed  # the account was halted once in this world
    world.tamper("DELETE FROM control")
    with world.ledger.read() as session:
        assert not judge(session, world.venue).is_noticed
