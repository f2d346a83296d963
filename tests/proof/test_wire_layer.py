"""The wire layer, cut for the suite: every fault at least once, and proof that the layer can see a broken rule."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from brokers.binance import algos
from brokers.bybit import codes
from brokers.errors import OrderInvalid
from brokers.okx.stops import Stops
from brokers.transport import GuardedAdapter
from tests.egress import egress
from tests.proof import wire_case, wire_layer, wire_stops
from tests.proof.layers import LAYERS
from tests.proof.wire_case import Case
from tests.proof.wire_faults import FAULTS, READS, STOP_FAULTS, End, Verb

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


def _of_stops() -> list[str]:
    """One in thirteen of the table of stops: some of each verb, at each venue other faults."""
    return [case.name for case in wire_layer.cases() if case.product.stop is not None][::13]


CUT = [case.name for case in wire_layer.cases() if case.product.stop is None and _is_in_the_cut(case)] + _of_stops()


@pytest.mark.parametrize("name", CUT)
def test_one_order_or_none_and_the_ledger_knows(name: str) -> None:
    assert wire_layer.judged(name, 0).findings == ()


def test_a_case_under_another_seed_is_varied_and_holds() -> None:
    assert wire_layer.judged("bybit linear place: executed, reset in the answer's body", 1).findings == ()


def test_the_table_names_each_case_once_and_every_fault_has_one() -> None:
    names = [case.name for case in wire_layer.cases()]
    assert len(names) == len(set(names)) > 600
    assert LAYERS["wire"].full == len(names), "at full strength every case is played once"
    faults = {fault.name for fault in FAULTS}
    assert {case.fault.name for case in wire_layer.cases()} == faults | {fault.name for fault in STOP_FAULTS}
    assert faults <= {case.fault.name for case in wire_layer.cases() if case.name in CUT}


@pytest.mark.parametrize("venue", ["okx", "binance"])
def test_every_fault_of_placing_cancelling_and_finding_is_played_on_stops_of_a_service_of_their_own(venue: str) -> None:
    cases = [case for case in wire_layer.cases() if case.venue.name == venue]
    for verb in set(Verb) - {Verb.FILLS, Verb.POSITIONS}:
        ordinary = {case.fault.name for case in cases if case.verb is verb and case.product.stop is None}
        of_stops = {case.fault.name for case in cases if case.verb is verb and case.product.name.endswith(" stop")}
        assert ordinary - wire_stops.AS_OTHERS <= of_stops


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


def test_a_cancel_that_ends_at_the_trigger_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stops, "open_children", lambda *_: [])
    monkeypatch.setattr(wire_case, "DRIVE_S", 60.0)  # nothing comes of it however long it is waited for
    name = next(case.name for case in wire_layer.cases() if _is_of(case, "okx", "at request 0 of a cancel; it rests"))
    assert wire_layer.ORPHANED in {invariant for invariant, _ in wire_layer.judged(name, 0).findings}


def test_a_triggered_order_that_is_taken_for_one_of_its_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(algos, "child_number", lambda row: "")
    for module in (wire_case, wire_stops):
        monkeypatch.setattr(module, "DRIVE_S", 60.0)
    name = next(case.name for case in wire_layer.cases() if _is_of(case, "binance", "at request 1 of a sweep"))
    assert wire_layer.STUCK in {invariant for invariant, _ in wire_layer.judged(name, 0).findings}


def _is_of(case: Case, venue: str, words: str) -> bool:
    return case.venue.name == venue and case.product.name.endswith(" stop") and words in case.fault.name


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
