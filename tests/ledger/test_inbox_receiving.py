"""Taking deliveries in: what is one alert, in which order numbers are given, and when the queue says no."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from ledger.engine import CommitUnknown, Ledger, LedgerUnavailable
from ledger.inbox import AlertStore, Delivery, DiskLow, QueueFull, QueueLimits, Receipt
from ledger.inbox_receiving import free_bytes_at
from tests.ledger.inbox_scene import START, S, Scene, read


def test_every_byte_is_kept(scene: Scene) -> None:
    raw = bytes(range(256)) + "é☃".encode()
    scene.store.receive([scene.delivery(raw=raw), scene.delivery(raw=b"")])
    assert scene.store.show(1).raw == raw
    empty = scene.store.show(2)
    assert (empty.raw, empty.raw_kept, empty.source_ip, empty.content_type) == (
        b"",
        True,
        "127.0.0.1",
        "application/json",
    )
    assert (empty.state, empty.received_at, empty.deliveries) == (S.NEW, START, 1)
    assert scene.store.receive([]) == ()


def test_a_group_is_answered_in_its_order(scene: Scene) -> None:
    raws = [b"1", b"2", b"1", b"3", b"2", b"1"]
    receipts = scene.store.receive([scene.delivery(raw=raw) for raw in raws])
    assert [receipt.is_new for receipt in receipts] == [True, True, False, True, False, False]
    assert [scene.store.show(receipt.alert_id).raw for receipt in receipts] == raws
    assert [scene.store.show(number).deliveries for number in (1, 2, 3)] == [3, 2, 1]


@pytest.mark.parametrize(
    ("gaps_s", "alerts"),
    [
        ((5, 5, 5), 1),  # as TradingView sends again
        ((30,), 1),
        ((30.001,), 2),
        ((29, 29), 1),
        ((29, 29, 2), 1),
        ((29, 29, 3), 2),  # more than 60 s after the first: no sender repeats itself so long
    ],
)
def test_what_one_alert_is(scene: Scene, gaps_s: tuple[float, ...], alerts: int) -> None:
    scene.send(salt="same")
    for gap_s in gaps_s:
        scene.pass_s(gap_s)
        scene.send(salt="same")
    found = scene.store.list()
    assert len(found) == alerts
    assert sum(alert.deliveries for alert in found) == 1 + len(gaps_s)


def test_another_source_or_another_byte_is_another_alert(scene: Scene) -> None:
    group = [scene.delivery(raw=b"x"), scene.delivery(raw=b"x", source="other"), scene.delivery(raw=b"x ")]
    assert [receipt.is_new for receipt in scene.store.receive(group)] == [True, True, True]


def test_a_delivery_that_was_overtaken_is_still_the_same_alert(scene: Scene) -> None:
    late = scene.delivery(raw=b"x")
    scene.pass_s(5)
    first = scene.store.receive([scene.delivery(raw=b"x")])[0]
    assert scene.store.receive([late]) == (Receipt(first.alert_id, False),)
    assert scene.store.show(first.alert_id).last_delivered_at == scene.clock.now()


def test_a_delivery_again_is_known_after_its_alert_has_ended(scene: Scene) -> None:
    number = scene.queue(key="k")
    delivery = replace(scene.delivery(), raw=scene.store.show(number).raw)
    scene.store.finish(scene.claim(), S.PLACED, reason="TEST")
    assert scene.store.receive([delivery]) == (Receipt(number, False),)
    assert scene.state(number) is S.PLACED


def test_a_full_queue_stores_nothing_and_takes_again(scene: Scene) -> None:
    scene.limit(rows_new_max=10)
    for number in range(9):
        scene.send(salt=number)
    with pytest.raises(QueueFull, match="takes 1 more of at most 10 alerts that nobody has read, 2 came at once"):
        scene.store.receive([scene.delivery(salt="a"), scene.delivery(salt="b")])
    scene.send(salt="a")
    with pytest.raises(QueueFull) as caught:
        scene.send(salt="b")
    assert caught.value.reason == "ALERT_QUEUE_FULL"
    assert not scene.send(salt="a").is_new  # one more delivery needs no room
    assert len(scene.store.list()) == 10
    scene.store.admit(read, worker="r")
    assert scene.send(salt="b").is_new


def test_a_full_disk_stores_nothing_and_is_looked_at_once_a_second(scene: Scene) -> None:
    looks, free = [], 600_000_000

    def free_bytes() -> int:
        looks.append(free)
        return free

    store = AlertStore(scene.ledger, free_bytes=free_bytes)
    for number in range(5):
        store.receive([scene.delivery(salt=number)])
    assert len(looks) == 1
    free = 499_999_999
    scene.pass_s(1)
    with pytest.raises(DiskLow, match="has 499999999 bytes free, needed are 500000000") as caught:
        store.receive([scene.delivery(salt="a")])
    assert caught.value.reason == "ALERT_DISK_LOW" and isinstance(caught.value, QueueFull)
    free = 500_000_000
    assert store.receive([scene.delivery(salt="a")])[0].is_new


def test_the_disk_of_a_file_is_the_one_that_it_lies_on(tmp_path: Path) -> None:
    assert free_bytes_at(tmp_path)() > 0


@pytest.mark.parametrize("field", [{"source": ""}, {"received_at": START.replace(tzinfo=None)}])
def test_a_delivery_says_where_and_when(field: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(field))):
        Delivery(**({"source": "tv", "raw": b"", "received_at": START} | field))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "limits", [{"rows_new_max": 0}, {"lease_s": 0}, {"backoff_s": ()}, {"heartbeat_s": 15.0}, {"raw_days": -1}]
)
def test_limits_that_cannot_be(limits: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(limits))):
        QueueLimits(**limits)  # type: ignore[arg-type]


def test_receivers_side_by_side_make_one_alert_of_one_body(open_queue: Callable[..., Ledger], scene: Scene) -> None:
    """Each with its own ledger, as two processes have: numbers rise, nothing is lost, nothing is taken twice."""
    bodies = [f"{number}".encode() for number in range(40)]
    limits = QueueLimits(rows_new_max=1_000)
    stores = [AlertStore(open_queue(scene.clock), limits=limits, free_bytes=lambda: 1 << 40) for _ in range(3)]
    receipts: list[Receipt] = []

    def send(store: AlertStore, turn: int) -> None:
        for start in range(0, 40, 8):
            chunk = bodies[start : start + 8][:: 1 if turn % 2 else -1]
            receipts.extend(store.receive([scene.delivery(raw=raw) for raw in chunk]))

    threads = [threading.Thread(target=send, args=(store, turn)) for turn, store in enumerate(stores)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(receipt.is_new for receipt in receipts) == 40 and len(receipts) == 120
    found = scene.store.list(limit=500)
    assert sorted(alert.raw for alert in found) == sorted(bodies)
    assert {alert.deliveries for alert in found} == {3}


def test_a_commit_whose_answer_is_lost_is_sent_again_without_harm(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Ledger._commit

    def lose(self: Ledger, session: object) -> None:
        whole(self, session)  # type: ignore[arg-type]
        raise CommitUnknown("the answer to COMMIT was lost")

    with monkeypatch.context() as patched, pytest.raises(CommitUnknown):
        patched.setattr(Ledger, "_commit", lose)
        scene.send(salt="x")
    scene.pass_s(5)
    receipt = scene.send(salt="x")
    assert not receipt.is_new
    assert len(scene.store.list()) == 1


def test_a_closed_door_is_no_receipt(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Ledger, session: object) -> None:
        raise LedgerUnavailable("busy")

    with monkeypatch.context() as patched, pytest.raises(LedgerUnavailable):
        patched.setattr(Ledger, "_commit", refuse)
        scene.send(salt="x")
    assert scene.store.list() == ()
    assert scene.clock.now() - START == timedelta(0)
