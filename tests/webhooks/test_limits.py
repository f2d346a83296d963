"""Slow, idle, endless and many: what is closed, when, and that nobody else notices."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.conftest import Eventually
from tests.webhooks.client import Wire, head
from tests.webhooks.conftest import PATH, TOKEN, Launch, Serve, Served
from tests.webhooks.sizes import FULL, GOOD_MS_P99_MAX, LATE_S, QUICK, SLOW_CONNECTIONS, SLOW_ENDED_MIN
from webhooks.reasons import ReceiverReason
from webhooks.settings import Limits

HERE = f"{PATH}/{TOKEN}"


@pytest.fixture
def quick(serve: Serve, sqlite_url: str) -> Served:
    """The same rules with shorter times."""
    return serve(sqlite_url, limits=QUICK)


def trickle(wire: Wire, data: bytes, *, every_s: float) -> float:
    """A byte at a time until the other side closes; the seconds since the connect."""
    ended = threading.Event()

    def send() -> None:
        for number in range(len(data)):
            try:
                wire.send(data[number : number + 1])
            except OSError:
                return
            if ended.wait(every_s):
                return

    sender = threading.Thread(target=send)
    sender.start()
    took = wire.ended_after_s()
    ended.set()
    sender.join()
    return took


def test_a_head_that_trickles_is_ended_at_its_deadline(quick: Served) -> None:
    with Wire(quick.url) as wire:
        took = trickle(wire, head(HERE, headers={"X-Slow": "x" * 200}), every_s=0.02)
    assert QUICK.head_s_max - 0.05 <= took < QUICK.head_s_max + LATE_S, "each byte must not start the clock again"
    assert quick.metric('algotrendy_receiver_connections_closed_total{reason="head_too_slow"}') == 1


def test_a_late_head_is_told_so(quick: Served) -> None:
    with Wire(quick.url) as wire:
        wire.send(b"POST /")
        assert wire.answer().status == 408


def test_a_body_that_trickles_is_answered_503_and_closed(quick: Served) -> None:
    with Wire(quick.url) as wire:
        wire.send(head(HERE, length=5000))
        done = threading.Event()

        def send() -> None:
            while not done.wait(0.02):
                try:
                    wire.send(b"x")
                except OSError:
                    return

        sender = threading.Thread(target=send)
        sender.start()
        answer = wire.answer()
        ended = wire.ended_after_s()
        done.set()
        sender.join()
    assert (answer.status, answer.error) == (503, ReceiverReason.BODY_TOO_SLOW), "a 4xx would not be sent again"
    assert QUICK.request_s_max - 0.05 <= answer.took_s < QUICK.request_s_max + LATE_S
    assert ended < QUICK.connection_s_max + LATE_S
    assert quick.stored() == {}


def test_a_connection_that_says_nothing_is_closed(quick: Served) -> None:
    with Wire(quick.url) as wire:
        took = wire.ended_after_s()
    assert QUICK.head_s_max - 0.05 <= took < QUICK.head_s_max + LATE_S
    assert quick.metric('algotrendy_receiver_connections_closed_total{reason="silent"}') == 1


def test_a_kept_connection_is_closed_when_it_is_idle(quick: Served) -> None:
    with Wire(quick.url) as wire:
        wire.send(head(HERE, length=3) + b"one")
        answered = wire.answer()
        took = wire.ended_after_s()
    assert answered.status == 200
    assert took < answered.took_s + QUICK.idle_s_max + LATE_S


def test_the_next_request_of_a_kept_connection_has_its_own_clock(quick: Served, eventually: Eventually) -> None:
    with Wire(quick.url) as wire:
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < 1.1 * QUICK.connection_s_max:
            number += 1
            body = b"alert %d" % number
            wire.send(head(HERE, length=len(body)) + body)
            assert wire.answer().status == 200
        wire.send(b"POST /")
        assert wire.answer().status == 408, "and is held to it"


def test_a_sender_of_a_refused_body_reads_the_answer_and_is_cut_off(quick: Served) -> None:
    limits = quick.receiver.listening.limits
    with Wire(quick.url) as wire:
        wire.send(head(HERE, length=100_000_000))
        assert wire.answer().status == 413
        sent = 0
        with pytest.raises(OSError):
            while sent < 100_000_000:
                wire.send(b"x" * 65_536)
                sent += 65_536
    assert sent < limits.rest_bytes_max + 8_000_000, "no more than the sockets' buffers beyond the limit"
    assert quick.metric('algotrendy_receiver_connections_closed_total{reason="rest_too_large"}') == 1


def test_a_small_rest_is_dropped_and_the_connection_goes_on(quick: Served) -> None:
    with Wire(quick.url) as wire:
        wire.send(head(f"{PATH}/wrong", length=9) + b"dropped")
        assert wire.answer().status == 404
        wire.send(b"..")
        wire.send(head(HERE, length=4) + b"next")
        assert wire.answer().status == 200
    assert list(quick.stored().values()) == [b"next"]


def test_a_rest_that_does_not_come_is_not_awaited_for_ever(quick: Served) -> None:
    with Wire(quick.url) as wire:
        wire.send(head(f"{PATH}/wrong", length=9))
        assert wire.answer().status == 404
        assert wire.ended_after_s() < QUICK.connection_s_max + LATE_S


def test_pipelined_requests_are_answered_in_order_and_once(shared: Served) -> None:
    bodies = [b"pipelined %d" % number for number in range(50)]
    with Wire(shared.url) as wire:
        wire.send(b"".join(head(HERE, length=len(body)) + body for body in bodies))
        numbers = [wire.answer().json["id"] for _ in bodies]
    assert [shared.stored()[number] for number in numbers] == bodies
    assert numbers == sorted(numbers)


def test_a_pipelined_head_that_is_left_half_sent_is_ended(quick: Served) -> None:
    with Wire(quick.url) as wire:
        wire.send(head(HERE, length=3) + b"two" + b"POST /half HTTP/1.1\r\nHost: x\r\n")
        answered = wire.answer()
        assert answered.status == 200
        assert wire.answer().status == 408


def test_more_connections_than_allowed_push_out_those_that_wait_longest(serve: Serve, sqlite_url: str) -> None:
    patient = Limits(head_s_max=20, request_s_max=21, commit_s_max=20, connection_s_max=22, connections_max=10)
    served = serve(sqlite_url, limits=patient)
    with ExitStack() as stack:
        silent = [stack.enter_context(Wire(served.url)) for _ in range(30)]
        for number in range(20):
            assert served.post(b"in between %d" % number).status == 200, "nobody with an alert is turned away"
        assert len(served.receiver.connections.open) <= 10
        assert silent[0].ended_after_s() < 30
    assert served.metric('algotrendy_receiver_connections_closed_total{reason="made_room"}') >= 20


# -- many at once -----------------------------------------------------------------------------------------------
class Slow:
    """Connections that each send a byte now and then, opened anew whenever they are closed."""

    def __init__(self, url: str, count: int) -> None:
        self.held_s: list[float] = []
        self._url = url
        self._count = count
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Slow:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        wires: list[Wire] = []
        starts = (b"POST /webhook/x HTTP/1.1\r\nX: ", head(HERE, length=60_000), b"")
        while not self._end.is_set():
            wires = [wire for wire in wires if self._lives(wire)]
            for number in range(self._count - len(wires)):
                wire = Wire(self._url)
                wire.send(starts[number % len(starts)])
                wire.socket.setblocking(False)
                wires.append(wire)
            self._end.wait(0.2)
        for wire in wires:
            wire.socket.close()

    def _lives(self, wire: Wire) -> bool:
        try:
            wire.socket.send(b"x")
            while wire.socket.recv(65_536):
                pass
        except BlockingIOError:
            return True
        except OSError:
            pass
        wire.socket.close()
        self.held_s.append(time.monotonic() - wire.connected_at)
        return False


@pytest.fixture
def target(request: pytest.FixtureRequest) -> tuple[str, Callable[[], int]]:
    """An address, and in full the resident bytes of the process behind it."""
    if not FULL:
        shared: Served = request.getfixturevalue("shared")
        return shared.url, lambda: 0
    launch: Launch = request.getfixturevalue("launch")
    process = launch(request.getfixturevalue("sqlite_url"), "--quiet")
    return process.url, lambda: int(psutil.Process(process.child.pid).memory_info().rss)


def test_slow_connections_are_closed_and_good_alerts_do_not_wait(
    target: tuple[str, Callable[[], int]], eventually: Eventually
) -> None:
    url, rss = target
    took_ms: list[float] = []

    def good() -> bool:
        with Wire(url) as wire:
            body = b"good %d" % len(took_ms)
            wire.send(head(HERE, length=len(body)) + body)
            assert wire.answer().status == 200
            took_ms.append((time.monotonic() - wire.connected_at) * 1000)
        return len(senders.held_s) >= SLOW_ENDED_MIN and len(took_ms) >= 50

    with Slow(url, SLOW_CONNECTIONS) as senders:
        eventually(good, timeout_s=120)
        memory = rss()
    took_ms.sort()
    p99 = took_ms[int(len(took_ms) * 0.99)]
    print(
        f"{SLOW_CONNECTIONS} slow connections at a time, {len(senders.held_s)} closed, after at most "
        f"{max(senders.held_s):.2f} s; {len(took_ms)} good alerts: p50 {took_ms[len(took_ms) // 2]:.1f} ms, "
        f"p99 {p99:.1f} ms; {memory / 1e6:.0f} MB"
    )
    assert max(senders.held_s) < 5 + LATE_S
    assert p99 <= GOOD_MS_P99_MAX
    assert memory < 300e6


def test_the_receivers_own_limit_of_open_files_is_raised(tmp_path: Path) -> None:
    import resource

    from webhooks.server import allow_open_files

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = soft + 1 if hard in (resource.RLIM_INFINITY,) or hard > soft else soft
    try:
        allow_open_files(wanted)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard)
        allow_open_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (wanted, hard), "never lowered"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
