"""The wire layer, cut for the suite: every fault at least once, and proof that the layer can see a broken rule."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from brokers.bybit import codes
from brokers.errors import OrderInvalid
from brokers.transport import GuardedAdapter
from tests.egress import egress
from tests.proof import wire_layer
from tests.proof.layers import LAYERS
from tests.proof.wire_case import Case
from tests.proof.wire_faults import FAULTS, READS, End, Verb

_READS = sorted(READS)


def _is_in_the_cut(case: Case) -> bool:
    """Each fault of placing on one product, in turn; of cancelling and reading a few. `make prove` plays them all."""
    number = FAULTS.index(case.fault)
    if case.venue.name != "bybit":  # the faults play on Bybit; on each other venue a few of them
        every, products = case.venue.in_suite.get(case.verb, len(FAULTS)), case.venue.products
        turn = number // every + list(Verb).index(case.verb)  # each on one product, in turn
        return number % every == case.venue.turn % every and products[turn % len(products)] == case.product
    is_linear = case.product.name == "linear"
    if case.verb is Verb.PLACE:
        return case.fault.end is End.DOUBLED or is_linear is bool(number % 2)
    if case.verb is Verb.CANCEL:
        return (case.fault.place is None or number % 6 == 0) and is_linear is bool(number % 4)
    is_read_only = case.fault.place is None
    turn = _READS[number % len(_READS)]
    return case.verb is turn and (is_read_only or number % 3 == 0) and is_linear is bool(number // len(_READS) % 2)


CUT = [case.name for case in wire_layer.cases() if _is_in_the_cut(case)]


@pytest.mark.parametrize("name", CUT)
def test_one_order_or_none_and_the_ledger_knows(name: str) -> None:
    assert wire_layer.judged(name, 0).findings == ()


def test_a_case_under_another_seed_is_varied_and_holds() -> None:
    assert wire_layer.judged("bybit linear place: executed, reset in the answer's body", 1).findings == ()


def test_the_table_names_each_case_once_and_every_fault_has_one() -> None:
    names = [case.name for case in wire_layer.cases()]
    assert len(names) == len(set(names)) > 600
    assert LAYERS["wire"].full == len(names), "at full strength every case is played once"
    assert {case.fault.name for case in wire_layer.cases()} == {fault.name for fault in FAULTS}
    assert {case.fault.name for case in wire_layer.cases() if case.name in CUT} == {fault.name for fault in FAULTS}


def test_run_and_replay_report_one_row_and_one_command() -> None:
    said: list[str] = []
    (row,) = wire_layer.run(histories=2, seed=0, jobs=1, say=said.append)
    assert (row.layer, row.histories, row.holds) == ("wire", 2, True) and row.faults >= 2
    name = "bybit spot fills: HTTP 500"
    assert wire_layer.replay(kind=name, seed=0, say=said.append) == []
    (row,) = wire_layer.run(histories=1_000, seed=0, jobs=1, say=said.append, kind=name)
    assert (row.histories, row.holds) == (1, True)
    with pytest.raises(ValueError, match="name of a case"):
        wire_layer.replay(kind="bybit spot fills: nothing", seed=0, say=said.append)


# -- it can fail ------------------------------------------------------------------------------------------------
def test_a_5xx_that_is_believed_to_refuse_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def believing(status: int, body: bytes, **_: Any) -> Exception:
        return OrderInvalid(f"HTTP {status}", code=str(status))

    monkeypatch.setattr(codes, "status_error", believing)
    name = "bybit linear place: executed, HTTP 500"
    found = {invariant for invariant, _ in wire_layer.judged(name, 0).findings}
    assert wire_layer.ORPHANED in found
    (failure, *_) = wire_layer.replay(kind=name, seed=0, say=lambda _: None)
    assert failure.replay == f'python -m tests.proof --layer wire --kind "{name}" --seed 0'


def test_a_transport_that_sends_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    once = GuardedAdapter.send

    def twice(self: GuardedAdapter, request: Any, *args: Any, **options: Any) -> Any:
        if request.method == "POST":
            guard, record = self._guard, self._guard.ticket.record if self._guard.ticket else None
            once(self, request, *args, **options)
            if record is not None:
                record.sends, record.phase = 0, type(record.phase).NOT_STARTED
            assert guard is self._guard
        return once(self, request, *args, **options)

    monkeypatch.setattr(GuardedAdapter, "send", twice)
    found = {invariant for invariant, _ in wire_layer.judged("bybit spot place: wrong content type", 0).findings}
    assert {wire_layer.DUPLICATED, "I14"} <= found


def test_a_call_over_its_bound_is_found_unless_it_was_slow_once_only(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "bybit spot fills: HTTP 500"
    monkeypatch.setattr(wire_layer, "SLACK_S", -100.0)
    assert {invariant for invariant, _ in wire_layer.judged(name, 0).findings} == {wire_layer.SLOW}
    plays = iter([[(wire_layer.SLOW, "once")], []])
    monkeypatch.setattr(wire_layer, "_findings", lambda played, is_varied: next(plays))
    assert wire_layer.judged(name, 0).findings == () and next(plays, None) is None


def test_the_recorder_hears_every_connection() -> None:
    with egress().recording() as seen:
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
            pass
        socket.getaddrinfo("localhost", 1)
    assert any("127.0.0.1" in address for address in seen) and any("localhost" in address for address in seen)
