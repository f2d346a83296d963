"""Reading new alerts: order, keys, conflicts, weak duplicates, readers that fail, die or are overtaken."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ledger.alert_states import KeyKind
from ledger.inbox import Admission, StoredAlert
from ledger.inbox_moves import INBOX
from tests.ledger.inbox_scene import START, S, Scene, read


class Died(BaseException):
    """The process is gone: nothing of ours runs after it."""


def test_alerts_are_read_in_order_and_numbered_by_lane(scene: Scene) -> None:
    for symbol in ("AAPL", "MSFT", "AAPL", "MSFT", "AAPL"):
        scene.send(symbol=symbol, salt=len(scene.store.list()))
    seen: list[int] = []

    def remember(alert: StoredAlert) -> Admission:
        seen.append(alert.alert_id)
        return read(alert)

    assert [scene.store.admit(remember, worker="r", limit=2) for _ in range(4)] == [2, 2, 1, 0]
    assert seen == [1, 2, 3, 4, 5]
    assert [scene.store.show(number).lane_seq for number in seen] == [1, 1, 2, 2, 3]
    assert {scene.state(number) for number in seen} == {S.QUEUED}


def test_what_reading_says_is_stored(scene: Scene) -> None:
    number = scene.queue(key="k", strategy="trend", is_exit=True, skippable=False, ttl_s=120, detail="d")
    alert = scene.store.show(number)
    assert (alert.strategy, alert.is_exit, alert.skippable, alert.detail) == ("trend", True, False, "d")
    assert (alert.dedupe_key, alert.key_kind, alert.attempts) == ("k", KeyKind.EXPLICIT, 0)
    assert (alert.alert_time, alert.expires_at) == (START, START + timedelta(seconds=120))
    assert alert.parsed == alert.raw.decode()


@pytest.mark.parametrize("state", [S.REFUSED, S.NOTHING_TO_DO, S.EXPIRED])
def test_what_ends_while_it_is_read_has_no_lane(scene: Scene, state: str) -> None:
    number = scene.queue(state=state, reason="TEST_NO_ROUTE")
    alert = scene.store.show(number)
    assert (alert.state, alert.reason, alert.lane, alert.finished_at) == (state, "TEST_NO_ROUTE", None, START)
    assert scene.store.claim(worker="w") is None


def test_what_cannot_be_read_is_poison(scene: Scene) -> None:
    number = scene.store.receive([scene.delivery(raw=b"{")])[0].alert_id
    scene.store.admit(read, worker="r")
    alert = scene.store.show(number)
    assert (alert.state, alert.reason, alert.raw, alert.key_kind) == (S.POISON, "TEST_UNREADABLE", b"{", KeyKind.NONE)


# -- keys -------------------------------------------------------------------------------------------------------
def test_a_key_is_for_ever(scene: Scene) -> None:
    first = scene.queue(key="k", salt="")
    scene.store.finish(scene.claim(), S.PLACED, reason="TEST")
    scene.pass_s(10 * 365 * 86_400)
    again = scene.queue(key="k", salt="")
    alert = scene.store.show(again)
    assert (alert.state, alert.reason, alert.duplicate_of, alert.flag) == (S.DUPLICATE, "ALERT_DUPLICATE", first, "")
    assert scene.queue(key="k", salt="", source="other") and scene.claim().alert.source == "other"


def test_a_key_with_another_body_trades_neither(scene: Scene) -> None:
    first, second = scene.queue(key="k", salt=1), scene.queue(key="k", salt=2)
    for number, other in ((first, second), (second, first)):
        alert = scene.store.show(number)
        assert (alert.state, alert.reason, alert.flag) == (S.CONFLICT, "ALERT_KEY_CONFLICT", "ALERT_KEY_CONFLICT")
        assert f"alert {other} has the same key" in alert.detail
    assert scene.store.claim(worker="w") is None
    assert [alert.alert_id for alert in scene.store.list(flagged=True)] == [second, first]
    behind = scene.queue()
    assert scene.claim().alert_id == behind


def test_both_of_a_conflict_may_come_in_one_batch(scene: Scene) -> None:
    group = [scene.delivery(key="k", salt=salt) for salt in (1, 2, 1)] + [scene.delivery(key="k2", salt=3)]
    scene.store.receive(group)
    assert scene.store.admit(read, worker="r") == 3
    assert [scene.state(number) for number in (1, 2, 3)] == [S.CONFLICT, S.CONFLICT, S.QUEUED]
    assert scene.claim().alert_id == 3


@pytest.mark.parametrize("state", [S.WORKING, S.WAITING, S.PLACED])
def test_the_first_of_a_conflict_is_left_alone_once_it_was_worked_on(scene: Scene, state: str) -> None:
    first = scene.queue(key="k", salt=1)
    claim = scene.claim()
    if state != S.WORKING:
        scene.store.finish(claim, S(state), reason="TEST")
    second = scene.queue(key="k", salt=2)
    alert = scene.store.show(first)
    assert (alert.state, alert.flag) == (state, "ALERT_KEY_CONFLICT")
    assert scene.reasons(first)[-1] == "ALERT_KEY_CONFLICT"
    assert scene.state(second) is S.CONFLICT


def test_a_key_stands_also_for_what_was_refused(scene: Scene) -> None:
    first = scene.queue(key="k", salt="", state=S.REFUSED, reason="TEST")
    scene.pass_s(61)
    assert scene.store.show(scene.queue(key="k", salt="", state=S.REFUSED, reason="TEST")).duplicate_of == first


# -- without a key ----------------------------------------------------------------------------------------------
def test_without_a_key_the_same_bytes_within_half_a_minute_are_one_alert(scene: Scene) -> None:
    """Only two receivers on two clocks can make two rows of them; here one row is moved in time."""
    first = scene.send(salt="", ttl_s=600).alert_id
    scene.pass_s(61)
    second = scene.send(salt="", ttl_s=600).alert_id
    near = scene.clock.now() - timedelta(seconds=30)
    with scene.ledger.write() as session:
        session.connection().execute(INBOX.update().where(INBOX.c.alert_id == first).values(received_at=near))
    scene.store.admit(read, worker="r")
    alert = scene.store.show(second)
    assert (scene.state(first), scene.store.show(first).key_kind) == (S.QUEUED, KeyKind.WEAK)
    assert (alert.state, alert.reason, alert.duplicate_of) == (S.DUPLICATE, "ALERT_DUPLICATE_WEAK", first)
    assert alert.flag == "ALERT_DUPLICATE_WEAK"


def test_without_a_key_the_same_bytes_later_are_another_alert(scene: Scene) -> None:
    for _ in range(3):
        number = scene.queue(salt="")
        assert scene.state(number) is S.QUEUED
        scene.pass_s(61)


# -- time -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("ahead_s", "state"), [(5.0, S.QUEUED), (5.001, S.CONFLICT)])
def test_an_alert_from_the_future_does_not_trade(scene: Scene, ahead_s: float, state: str) -> None:
    alert = scene.store.show(scene.queue(ahead_s=ahead_s))
    assert alert.state == state
    if state == S.CONFLICT:
        assert alert.reason == "ALERT_TIME_IN_FUTURE" and "5.001 s after its receipt" in alert.detail


def test_what_is_stale_before_it_is_read_ends_as_expired(scene: Scene) -> None:
    scene.send(ttl_s=30)
    scene.pass_s(30)
    scene.store.admit(read, worker="r")
    alert = scene.store.show(1)
    assert (alert.state, alert.reason, alert.lane) == (S.EXPIRED, "ALERT_EXPIRED", None)


# -- readers ----------------------------------------------------------------------------------------------------
def test_a_reader_that_fails_costs_one_alert(scene: Scene) -> None:
    for number in range(3):
        scene.send(salt=number)

    def fails(alert: StoredAlert) -> Admission:
        if alert.alert_id == 2:
            raise KeyError("action")
        return read(alert)

    assert scene.store.admit(fails, worker="r") == 3
    assert [scene.state(number) for number in (1, 2, 3)] == [S.QUEUED, S.POISON, S.QUEUED]
    assert (scene.store.show(2).reason, scene.store.show(2).detail) == ("ALERT_READER_FAILED", "KeyError: 'action'")


def test_an_alert_that_kills_its_reader_is_dead_after_five_and_costs_no_other(scene: Scene) -> None:
    for number in range(6):
        scene.send(salt=number, ttl_s=600)
    reads: list[int] = []

    def dies(alert: StoredAlert) -> Admission:
        reads.append(alert.alert_id)
        if alert.alert_id == 4:
            raise Died
        return read(alert)

    deaths = 0
    for turn in range(20):
        try:
            scene.store.admit(dies, worker=f"r{turn}")
        except Died:
            deaths += 1
            assert scene.store.admit(dies, worker="other") == 0  # its lease runs
            scene.pass_s(5)
    assert deaths == 5 and reads.count(4) == 5
    assert reads.count(5) <= 1 and reads.count(1) == 2  # in the batch that died, and alone
    assert [scene.state(number) for number in range(1, 7)] == [S.QUEUED] * 3 + [S.DEAD] + [S.QUEUED] * 2
    assert scene.store.show(4).reason == "ALERT_READER_DIED"
    assert [scene.store.show(number).lane_seq for number in (1, 2, 3, 5, 6)] == [1, 2, 3, 4, 5]


def test_a_reader_that_was_overtaken_stores_nothing(scene: Scene) -> None:
    scene.send(salt=1, ttl_s=600)

    def slow(alert: StoredAlert) -> Admission:
        scene.pass_s(6)
        assert scene.store.admit(read, worker="fast") == 1
        return Admission(state=S.REFUSED, reason="TEST_TOO_LATE")

    assert scene.store.admit(slow, worker="slow") == 0
    assert scene.state(1) is S.QUEUED
    assert len(scene.store.events(1)) == 1


def test_a_slow_reader_stores_what_it_has_read_in_time(scene: Scene) -> None:
    for number in range(4):
        scene.send(salt=number, ttl_s=600)

    def slow(alert: StoredAlert) -> Admission:
        scene.pass_s(2)
        return read(alert)

    assert [scene.store.admit(slow, worker="r") for _ in range(3)] == [2, 2, 0]
    assert scene.store.show(4).attempts == 0


def test_reading_is_outside_of_any_transaction(scene: Scene) -> None:
    scene.send(salt=1)

    def looks(alert: StoredAlert) -> Admission:
        assert scene.store.show(alert.alert_id).attempts == 1  # counted and committed before
        return read(alert)

    assert scene.store.admit(looks, worker="r") == 1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"state": S.WORKING, "reason": "X"}, "ends in queued or a terminal state, was working"),
        ({"state": S.QUEUED, "reason": "X", "account_id": "a"}, "needs account and instrument"),
        ({"state": S.REFUSED, "reason": ""}, "ends as refused needs a reason"),
        ({"state": S.REFUSED, "reason": "X", "alert_time": START.replace(tzinfo=None)}, "alert_time must be aware"),
    ],
)
def test_a_wrong_answer_of_a_reader_is_refused(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Admission(**fields)  # type: ignore[arg-type]


def test_a_limit_must_let_something_through(scene: Scene) -> None:
    with pytest.raises(ValueError, match="limit must be above zero, was 0"):
        scene.store.admit(read, worker="r", limit=0)
