"""The queue in memory and its one thread, without HTTP around it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from brokers.clock import SystemClock
from ledger.inbox_values import Delivery, Receipt
from tests.conftest import Eventually
from webhooks.metrics import Metrics
from webhooks.reasons import ReceiverReason as R
from webhooks.settings import Limits
from webhooks.writer import GroupWriter, NotTaken

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


class Store:
    """Takes groups when it is let, and refuses what it is told to."""

    def __init__(self) -> None:
        self.groups: list[list[bytes]] = []
        self.goes_on = threading.Event()
        self.entered = threading.Event()
        self.poison = b""

    def receive(self, deliveries: Sequence[Delivery]) -> tuple[Receipt, ...]:
        self.entered.set()
        self.goes_on.wait(20)
        raws = [delivery.raw for delivery in deliveries]
        if self.poison in raws and self.poison:
            raise ValueError("the ledger cannot take this one")
        self.groups.append(raws)
        return tuple(Receipt(int(raw), is_new=True) for raw in raws)


def writer_of(store: Store, **limits: Any) -> GroupWriter:
    return GroupWriter(
        store.receive, probe=lambda: None, clock=SystemClock(), limits=Limits(**limits), metrics=Metrics()
    )


def delivery(number: int) -> Delivery:
    return Delivery(source="s", raw=b"%d" % number, received_at=NOW)


def played(play: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(play(), 30))


def test_what_gathers_during_a_commit_is_committed_together_and_in_order() -> None:
    async def play() -> None:
        store = Store()
        writer = writer_of(store, group_count_max=40)
        writer.start(asyncio.get_running_loop())
        first = writer.offer(delivery(0))
        await asyncio.to_thread(store.entered.wait, 20)
        rest = [writer.offer(delivery(number)) for number in range(1, 101)]
        assert (writer.count, writer.bytes) == (100, 9 + 90 * 2 + 3)
        store.goes_on.set()
        receipts = [await each for each in (first, *rest)]
        assert [receipt.alert_id for receipt in receipts] == list(range(101))
        assert [len(group) for group in store.groups] == [1, 40, 40, 20]
        assert [int(raw) for group in store.groups for raw in group] == list(range(101))
        assert (writer.count, writer.bytes) == (0, 0)
        assert writer.stop(timeout_s=20)

    played(play)


def test_one_alert_that_the_ledger_cannot_take_does_not_take_the_others_along() -> None:
    async def play() -> None:
        store = Store()
        store.poison = b"3"
        writer = writer_of(store)
        writer.start(asyncio.get_running_loop())
        first = writer.offer(delivery(0))
        await asyncio.to_thread(store.entered.wait, 20)
        rest = [writer.offer(delivery(number)) for number in range(1, 6)]
        store.goes_on.set()
        assert (await first).alert_id == 0
        found = await asyncio.gather(*rest, return_exceptions=True)
        assert [each.alert_id for each in found if isinstance(each, Receipt)] == [1, 2, 4, 5]
        (refused,) = [each for each in found if isinstance(each, NotTaken)]
        assert refused.reason is R.LEDGER_UNAVAILABLE
        assert writer.stop(timeout_s=20)

    played(play)


def test_what_is_queued_is_written_before_it_ends_and_nothing_is_taken_afterwards() -> None:
    async def play() -> None:
        store = Store()
        writer = writer_of(store)
        writer.start(asyncio.get_running_loop())
        waiting = [writer.offer(delivery(number)) for number in range(10)]
        stopping = asyncio.create_task(asyncio.to_thread(writer.stop, timeout_s=20))
        await asyncio.to_thread(store.entered.wait, 20)
        store.goes_on.set()
        assert await stopping
        assert [(await each).alert_id for each in waiting] == list(range(10))
        with pytest.raises(NotTaken) as caught:
            writer.offer(delivery(11))
        assert caught.value.reason is R.STOPPING

    played(play)


def test_an_alert_whose_sender_has_left_is_written_all_the_same() -> None:
    async def play() -> None:
        store = Store()
        writer = writer_of(store)
        writer.start(asyncio.get_running_loop())
        waiting = writer.offer(delivery(7))
        waiting.cancel()  # its 503 has left
        store.goes_on.set()
        assert await asyncio.to_thread(writer.stop, timeout_s=20)
        assert store.groups == [[b"7"]]

    played(play)


def test_an_idle_writer_tries_the_ledger(eventually: Eventually) -> None:
    async def play() -> None:
        tried: list[int] = []

        def probe() -> None:
            tried.append(1)
            if len(tried) == 2:
                raise RuntimeError("down")

        writer = GroupWriter(
            Store().receive, probe=probe, clock=SystemClock(), limits=Limits(probe_s=0.01), metrics=Metrics()
        )
        writer.start(asyncio.get_running_loop())
        await asyncio.to_thread(eventually, lambda: len(tried) >= 4)
        assert writer.written_s < 20
        assert writer.stop(timeout_s=20)

    played(play)
