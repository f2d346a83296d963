"""Without a valid record that two people made, nothing is sent: every way to be without one has its own reason.

Most tests use a policy that asks for an arming on a simulated ledger, whose clock moves only when told; production
itself runs on the database's clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from sqlmodel import select

from brokers.clock import ManualClock, SystemClock
from brokers.ids import Environment
from ledger.arming import disarm_pool
from ledger.auditing import verify_audit
from ledger.controls import pool_scope, set_control
from ledger.engine import Ledger
from ledger.states import ControlState, IntentState, KillState
from ledger.tables import ArmingRow, KillRow, OrderIntent, OrderSend
from tests.trading.orders.conftest import POLICY, Want
from tests.trading.orders.modelled import ModelVenue
from trading.arming import ArmingGuard, ArmingReason, ArmingRefused, People, Role, approve_arming, request_arming
from trading.arming.people import code_of, read_person_key
from trading.orders.desk import OrderDesk
from trading.orders.intents import IntentView
from trading.orders.protocol import ProtocolLimits
from trading.risk import RiskPolicy, policy_sha256

KEY = SecretStr("k" * 64)
CODE = "c" * 64
POOL = "simulated"
STRICT = POLICY.model_copy(update={"arming_required": True})
ATTEMPTS = int(os.environ.get("ALGOTRENDY_ARMING_ATTEMPTS", "300"))
R = ArmingReason


@dataclass
class Armoury:
    """Two people with their keys, and a ledger to arm."""

    ledger: Ledger
    people: People
    files: dict[str, Path]
    account_id: str
    policy: RiskPolicy = STRICT
    pool: str = POOL

    def request(self, **changes: Any) -> ArmingRow:
        wanted: dict[str, Any] = {
            "pool": self.pool,
            "policies": {self.account_id: policy_sha256(self.policy)},
            "notional_max": Decimal(10_000),
            "hours": 8,
            "requested_by": "ann",
            "reason": "rebalance",
            "people": self.people,
            "key": KEY,
            "code_sha256": CODE,
        }
        return request_arming(self.ledger, **(wanted | changes))

    def approve(self, record: str, *, by: str = "bob", requester: str = "ann", **changes: Any) -> ArmingRow:
        wanted: dict[str, Any] = {
            "pool": self.pool,
            "policies": {self.account_id: policy_sha256(self.policy)},
            "approved_by": by,
            "request_code": self.code(requester, Role.REQUEST, record),
            "approve_code": self.code(by, Role.APPROVE, record),
            "people": self.people,
            "key": KEY,
            "code_sha256": CODE,
        }
        return approve_arming(self.ledger, record, **(wanted | changes))

    def arm(self, **changes: Any) -> ArmingRow:
        return self.approve(self.request(**changes).record_sha256)

    def code(self, name: str, role: Role, record: str) -> str:
        return code_of(read_person_key(self.files[name]), name=name, role=role, record_sha256=record)


def armoury_of(ledger: Ledger, folder: Path, account_id: str, **fields: Any) -> Armoury:
    people = People(folder)
    return Armoury(ledger, people, {name: people.enrol(name) for name in ("ann", "bob", "cat")}, account_id, **fields)


@pytest.fixture
def armoury(ledger: Ledger, venue: ModelVenue, tmp_path: Path) -> Armoury:
    return armoury_of(ledger, tmp_path / "secrets", str(venue.account_id))


Make = Callable[..., OrderDesk]


@pytest.fixture
def make(ledger: Ledger, venue: ModelVenue, clock: ManualClock) -> Make:
    def made(*, policy: RiskPolicy = STRICT, arming: ArmingGuard | None = ArmingGuard(KEY, CODE)) -> OrderDesk:
        return OrderDesk(
            ledger=ledger,
            broker=venue,
            clock=clock,
            policy=policy,
            worker="w",
            pool=POOL,
            arming=arming,
            limits=AT_ONCE,
        )

    return made


def tried(desk: OrderDesk, want: Want, key: str = "order-1", **fields: Any) -> IntentView:
    return desk.advance(desk.submit(want(key, **fields)).intent_id)


def test_an_armed_pool_sends_and_notes_what_was_used(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, ledger: Ledger
) -> None:
    row = armoury.arm()
    assert tried(make(), want, quantity="0.1").state is IntentState.ACKED
    with ledger.read() as session:
        (send,) = session.exec(select(OrderSend))
        assert (send.arming_id, send.notional) == (row.arming_id, Decimal("5000.01"))
        assert verify_audit(session).is_whole


def _sql(statement: str) -> Callable[[Armoury, ManualClock], None]:
    """Write to the ledger past the program, as somebody with the database's own tools may."""

    def apply(armoury: Armoury, clock: ManualClock) -> None:
        with armoury.ledger.write() as session:
            for table in ("arming", "audit"):
                for verb in ("update", "delete"):
                    session.connection().execute(text(f"DROP TRIGGER {table}_no_{verb}"))
            assert session.connection().execute(text(statement)).rowcount

    return apply


def _stop(scope: str, state: ControlState) -> Callable[[Armoury, ManualClock], None]:
    """Set a stop after the arming, and lift it again."""

    def apply(armoury: Armoury, clock: ManualClock) -> None:
        clock.advance(timedelta(seconds=1))
        with armoury.ledger.write() as session:
            for one in (state, ControlState.RUN):
                set_control(session, scope, one, reason="r", set_by="s", at=armoury.ledger.now(session))

    return apply


def _disarm(armoury: Armoury, clock: ManualClock) -> None:
    with armoury.ledger.write() as session:
        disarm_pool(session, POOL, by="cat", reason="storm", at=clock.now())


def _copy(armoury: Armoury, clock: ManualClock) -> None:
    """Disarm, then store the armed row once more as the newest, through the program's own door."""
    _disarm(armoury, clock)
    with armoury.ledger.write() as session:
        row = session.exec(select(ArmingRow).where(ArmingRow.state == "armed")).one()
        session.add(ArmingRow(**row.model_dump(exclude={"arming_id"})))


def _undo_disarming(armoury: Armoury, clock: ManualClock) -> None:
    _disarm(armoury, clock)
    _sql("DELETE FROM arming WHERE state = 'disarmed'")(armoury, clock)


def _hide_disarming(armoury: Armoury, clock: ManualClock) -> None:
    _disarm(armoury, clock)
    _sql("UPDATE arming SET state = 'requested' WHERE state = 'disarmed'")(armoury, clock)


def _set_back(armoury: Armoury, clock: ManualClock) -> None:
    clock._now -= timedelta(seconds=10)


Change = Callable[[Armoury, ManualClock], None]
WAYS: dict[str, tuple[Change, ArmingReason]] = {
    "disarmed": (_disarm, R.DISARMED),
    "expired": (lambda armoury, clock: clock.advance(timedelta(hours=8)), R.ARMING_EXPIRED),
    "clock set back": (_set_back, R.ARMING_CLOCK_BACKWARDS),
    "account halted since": (_stop("bybit.simulated.main", ControlState.HALT), R.ARMING_STOPPED_SINCE),
    "pool killed since": (_stop(pool_scope(POOL), ControlState.KILL), R.ARMING_STOPPED_SINCE),
    "longer by an edit": (_sql("UPDATE arming SET expires_at = '2099-01-01T00:00:00.000000Z'"), R.ARMING_FORGED),
    "more by an edit": (_sql("UPDATE arming SET notional_max = '999999'"), R.ARMING_FORGED),
    "approver edited": (_sql("UPDATE arming SET approved_by = 'cat' WHERE state = 'armed'"), R.ARMING_FORGED),
    "request deleted": (_sql("DELETE FROM arming WHERE state = 'requested'"), R.ARMING_FORGED),
    "copied after disarming": (_copy, R.ARMING_REPLAYED),
    "disarming deleted": (_undo_disarming, R.ARMING_FORGED),
    "disarming hidden": (_hide_disarming, R.ARMING_FORGED),
    "audit deleted": (_sql("DELETE FROM audit WHERE kind = 'arming'"), R.ARMING_FORGED),
}


@pytest.mark.parametrize("name", WAYS)
def test_what_was_armed_does_not_hold(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, clock: ManualClock, name: str
) -> None:
    change, reason = WAYS[name]
    armoury.arm()
    change(armoury, clock)
    view = tried(make(), want)
    assert (view.state, view.reason, venue.sends) == (IntentState.READY, reason.value, 0), view.detail


AT_ONCE = ProtocolLimits(wait_s=0.0)
BLIND = ArmingGuard(key=None, code_sha256=CODE)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"arming": None}, R.ARMING_KEY_MISSING),
        ({"arming": BLIND}, R.ARMING_KEY_MISSING),
        ({"arming": ArmingGuard(SecretStr("x" * 64), CODE)}, R.ARMING_FORGED),
        ({"arming": ArmingGuard(KEY, "d" * 64)}, R.ARMING_OTHER_CODE),
        ({"policy": STRICT.model_copy(update={"open_orders_max": 19})}, R.ARMING_OTHER_POLICY),
    ],
)
def test_a_desk_that_differs_from_what_was_armed_sends_nothing(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, fields: dict[str, Any], reason: ArmingReason
) -> None:
    armoury.arm()
    view = tried(make(**fields), want)
    assert (view.state, view.reason, venue.sends) == (IntentState.READY, reason.value, 0), view.detail


def test_an_unarmed_pool_and_another_account_send_nothing(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue
) -> None:
    assert tried(make(), want).reason == R.DISARMED
    armoury.request()
    assert tried(make(), want, "order-2").reason == R.DISARMED
    armoury.account_id = "bybit.simulated.other"
    armoury.arm()
    assert tried(make(), want, "order-3").reason == R.ARMING_OTHER_ACCOUNT
    assert venue.sends == 0


def test_of_two_versions_only_the_armed_one_claims(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    armoury.arm()
    old, new = make(arming=ArmingGuard(KEY, "0" * 64)), make()
    intent_id = new.submit(want()).intent_id
    assert old.advance(intent_id).state is IntentState.READY
    with ledger.read() as session:
        assert session.exec(select(OrderIntent)).one().epoch == 0  # not even claimed
    assert new.advance(intent_id).state is IntentState.ACKED
    assert venue.sends == 1


def test_the_notional_is_used_up_exactly(armoury: Armoury, make: Make, want: Want, venue: ModelVenue) -> None:
    armoury.arm(notional_max=Decimal("10000.02"))
    desk = make()
    assert [tried(desk, want, f"o{n}", quantity="0.1").state for n in range(2)] == [IntentState.ACKED] * 2
    view = tried(desk, want, "o3", quantity="0.001", reduce_only=False)
    assert (view.state, view.reason, venue.sends) == (IntentState.READY, R.ARMING_NOTIONAL_USED.value, 2)
    armoury.arm()
    assert desk.advance(view.intent_id).state is IntentState.ACKED


@pytest.mark.parametrize("call", ["clock_reading", "quotes"])
def test_an_arming_that_ends_between_claim_and_commit_sends_nothing(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, clock: ManualClock, call: str
) -> None:
    """C26: the transaction that would send asks again."""
    armoury.arm()
    desk = make()
    intent_id = desk.submit(want()).intent_id

    def end(name: str) -> None:
        if name == call:
            _disarm(armoury, clock)

    venue.on_call = end
    view = desk.advance(intent_id)
    assert (view.state, view.reason, venue.sends) == (IntentState.READY, R.DISARMED.value, 0)


def test_an_arming_that_ends_after_the_commit_keeps_the_first_byte_back(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, clock: ManualClock
) -> None:
    from trading.orders.crash import crash_hook

    armoury.arm()
    desk = make()
    intent_id = desk.submit(want()).intent_id
    with crash_hook(lambda name: _disarm(armoury, clock) if name == "C09" else None):
        view = desk.advance(intent_id)
    assert venue.sends == 0
    assert view.state is not IntentState.ACKED


def test_only_the_closing_orders_of_a_kill_under_way_need_no_arming(
    armoury: Armoury, make: Make, want: Want, venue: ModelVenue, ledger: Ledger, clock: ManualClock
) -> None:
    armoury.arm()
    desk = make()
    assert tried(desk, want, "long", quantity="0.05").state is IntentState.ACKED
    _disarm(armoury, clock)
    from dataclasses import replace

    from brokers.types import OrderSide

    def close(key: str, source: str) -> IntentView:
        wanted = replace(want(key, quantity="0.01", side=OrderSide.SELL, reduce_only=True), source=source)
        return desk.advance(desk.submit(wanted).intent_id)

    assert close("early", "kill_switch").reason == R.DISARMED
    with ledger.write() as session:
        now = clock.now()
        session.add(
            KillRow(
                account_id=str(venue.account_id),
                state=KillState.FLATTENING.value,
                flatten=True,
                requested_by="ann",
                reason="storm",
                started_at=now,
                updated_at=now,
            )
        )
    own = "close:BTC:kill-1-1"
    assert close(f"{own}:1", "kill_switch").state is IntentState.ACKED
    assert close("of no kill", "kill_switch").reason == R.DISARMED
    assert close(f"{own}:2", "close_positions").reason == R.DISARMED
    with ledger.write() as session:
        session.exec(select(KillRow)).one().state = KillState.FLAT_PROVEN.value
    assert close(f"{own}:3", "kill_switch").reason == R.DISARMED


# -- the two steps ----------------------------------------------------------------------------------------------
def refused(reason: ArmingReason, call: Callable[[], object], words: str | None = None) -> None:
    with pytest.raises(ArmingRefused, match=words) as caught:
        call()
    assert caught.value.reason is reason


def test_two_people_are_needed_and_each_code_is_of_one_record(armoury: Armoury, clock: ManualClock) -> None:
    asked = armoury.request()
    assert armoury.request().arming_id == asked.arming_id  # in the same instant
    clock.advance(timedelta(seconds=1))
    first, record = asked.record_sha256, armoury.request().record_sha256
    assert record != first
    refused(R.ARMING_SAME_PERSON, lambda: armoury.approve(record, by="ann"))
    wrong = (
        {"approve_code": armoury.code("bob", Role.APPROVE, first)},
        {"request_code": armoury.code("bob", Role.REQUEST, record)},
        {"approve_code": armoury.code("bob", Role.REQUEST, record)},
    )
    for code in wrong:
        with pytest.raises(ArmingRefused) as caught:
            armoury.approve(record, **code)
        assert caught.value.reason is R.ARMING_CODE_WRONG
    refused(R.ARMING_REQUEST_UNKNOWN, lambda: armoury.approve(first))
    refused(R.ARMING_REQUEST_UNKNOWN, lambda: armoury.approve(record[:7]))
    armed = armoury.approve(record)
    assert (armed.requested_by, armed.approved_by) == ("ann", "bob")
    assert armoury.approve(record).arming_id == armed.arming_id  # the same approval again changes nothing
    refused(R.ARMING_REQUEST_UNKNOWN, lambda: armoury.approve(record, by="cat"))


def test_a_copied_key_is_no_second_person(armoury: Armoury) -> None:
    armoury.files["bob"].write_text(armoury.files["ann"].read_text())
    record = armoury.request().record_sha256
    refused(R.ARMING_SAME_PERSON, lambda: armoury.approve(record))


def test_what_changed_since_the_request_is_not_armed(armoury: Armoury, clock: ManualClock) -> None:
    record = armoury.request().record_sha256
    refused(R.ARMING_CHANGED, lambda: armoury.approve(record, policies={armoury.account_id: "other"}), "policy")
    refused(R.ARMING_CHANGED, lambda: armoury.approve(record, code_sha256="e" * 64), "runs")
    clock.advance(timedelta(minutes=15, seconds=1))
    refused(R.ARMING_REQUEST_OLD, lambda: armoury.approve(record))
    record = armoury.request().record_sha256
    _disarm(armoury, clock)
    refused(R.ARMING_REQUEST_UNKNOWN, lambda: armoury.approve(record), "taken back")
    clock.advance(timedelta(seconds=1))
    record = armoury.request().record_sha256
    _sql("UPDATE arming SET notional_max = '999999' WHERE state = 'requested'")(armoury, clock)
    refused(R.ARMING_FORGED, lambda: armoury.approve(record))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hours": 9}, "hours must be 1 to 8, was 9"),
        ({"hours": 0}, "hours"),
        ({"notional_max": Decimal(0)}, "notional_max must be above zero"),
        ({"notional_max": Decimal("NaN")}, "notional_max cannot be kept"),
        ({"policies": {}}, "accounts must name"),
        ({"reason": " "}, "reason must say why"),
        ({"requested_by": "Ann B"}, "lowercase"),
    ],
)
def test_a_wrong_request_names_its_field(armoury: Armoury, changes: dict[str, Any], words: str) -> None:
    refused(R.ARMING_REQUEST_INVALID, lambda: armoury.request(**changes), words)


def test_a_stranger_may_not_ask_and_a_run_asks_once(armoury: Armoury) -> None:
    refused(R.ARMING_PERSON_UNKNOWN, lambda: armoury.request(requested_by="eve"), "ann, bob, cat")
    first = armoury.request(run="run-1")
    assert armoury.request(run="run-1").arming_id == first.arming_id
    assert armoury.request(run="run-2").arming_id != first.arming_id


# -- production -------------------------------------------------------------------------------------------------
@pytest.fixture
def production(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(f"sqlite:///{tmp_path / 'production.db'}", environment=Environment.PRODUCTION) as opened:
        yield opened


def test_production_sends_nothing_in_many_attempts_and_then_what_is_armed(
    production: Ledger, tmp_path: Path, want: Want
) -> None:
    """Attempts with no record, an expired one, another policy, another code, a copied record, and after a restart."""
    venue = ModelVenue(ManualClock(SystemClock().now()), environment=Environment.PRODUCTION)
    policy = RiskPolicy.for_environment(Environment.PRODUCTION).model_copy(
        update={"allowed_instruments": None, "arming_required": False, "order_rate_max": 1000}
    )
    armoury = armoury_of(production, tmp_path, str(venue.account_id), policy=policy, pool="production")

    def desk(code: str = CODE, **changes: Any) -> OrderDesk:
        return OrderDesk(
            ledger=production,
            broker=venue,
            clock=venue.clock,
            policy=policy.model_copy(update=changes),
            worker="w",
            arming=ArmingGuard(KEY, code),
            limits=AT_ONCE,
        )

    def wanted(key: str) -> Any:
        from dataclasses import replace

        from tests.trading.orders.modelled import quote

        return replace(want(key, limit="50000", ttl_s=3600), account_id=venue.account_id, reference=quote(venue))

    def attempts(with_desk: OrderDesk, intent_id: Any, count: int) -> set[str]:
        return {with_desk.advance(intent_id).reason for _ in range(count)}

    share = ATTEMPTS // 5
    intent_id = desk().submit(wanted("one")).intent_id
    assert attempts(desk(), intent_id, share) == {R.DISARMED.value}
    armoury.arm()
    assert attempts(desk(code="x" * 64), intent_id, share) == {R.ARMING_OTHER_CODE.value}
    assert attempts(desk(open_orders_max=1), intent_id, share) == {R.ARMING_OTHER_POLICY.value}
    with production.write() as session:  # a start
        disarm_pool(session, "production", by="stack", reason="started", at=production.now(session))
    assert attempts(desk(), intent_id, share) == {R.DISARMED.value}
    with production.write() as session:
        row = session.exec(select(ArmingRow).where(ArmingRow.state == "armed")).one()
        session.add(ArmingRow(**row.model_dump(exclude={"arming_id"})))
    assert attempts(desk(), intent_id, share) == {R.ARMING_REPLAYED.value}
    assert venue.sends == 0
    with production.read() as session:
        assert session.exec(select(OrderSend)).first() is None
    armoury.arm()
    assert desk().advance(intent_id).state is IntentState.ACKED, desk().view(intent_id)
    assert venue.sends == 1


def test_the_armed_time_is_the_databases(production: Ledger, tmp_path: Path) -> None:
    armoury = armoury_of(production, tmp_path, "bybit.production.main", pool="production")
    row = armoury.request(hours=1)
    assert row.expires_at is not None
    assert row.expires_at - row.recorded_at == timedelta(hours=1)
