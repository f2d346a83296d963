"""HTTP streams: a snapshot, its end, changes, heartbeats of the simulator's clock, goodbyes, cuts anywhere."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import requests

from simulators import Running, TradeStationControl
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.testing import RECORDED_QUIRKS
from simulators.tradestation.config import QuirksConfig, StreamConfig

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
ORDERS = f"/v3/brokerage/stream/accounts/{EQUITIES}/orders"
POSITIONS = f"/v3/brokerage/stream/accounts/{EQUITIES}/positions"
MANUAL = ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC), gateway=GatewayClock.ENGINE)
END = {"StreamStatus": "EndSnapshot"}


class Reader:
    """Reads objects from a stream, wherever its chunks begin and end."""

    def __init__(self, answer: requests.Response) -> None:
        self.answer = answer
        self._chunks = answer.iter_content(chunk_size=None)
        self._text = ""

    def next(self) -> dict[str, Any]:
        while "\r\n" not in self._text:
            self._text += next(self._chunks).decode()
        line, _, self._text = self._text.partition("\r\n")
        return json.loads(line)

    def until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        rows = [self.next()]
        while not wanted(rows[-1]):
            rows.append(self.next())
        return rows

    def ended(self) -> bool:
        """Tell that the venue ended the stream properly, with nothing more to say."""
        return self._text == "" and next(self._chunks, None) is None


@pytest.fixture
def listen(wire: Any) -> Iterator[Callable[[str], Reader]]:
    opened: list[requests.Response] = []

    def make(path: str) -> Reader:
        headers = {"Authorization": f"Bearer {wire.token}"}
        opened.append(wire.session.get(f"{wire.url}{path}", headers=headers, stream=True, timeout=30))
        return Reader(opened[-1])

    yield make
    for answer in opened:
        answer.close()


def is_end(row: dict[str, Any]) -> bool:
    return row == END


def codes(rows: list[dict[str, Any]]) -> list[str]:
    return [row["Status"] for row in rows]


def test_orders_begin_with_a_snapshot_of_today(wire: Any, listen: Callable[[str], Reader]):
    ids = [wire.place(), wire.limit("190")]
    stream = listen(ORDERS)
    assert stream.answer.headers["Content-Type"] == "application/vnd.tradestation.streams.v3+json"
    *rows, end = stream.until(is_end)
    assert end == END
    assert [row["OrderID"] for row in rows] == ids
    assert rows == [wire.seen(order_id) for order_id in ids], "the same rows as the list prints"


def test_each_change_resends_the_whole_order(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen(ORDERS)
    stream.until(is_end)
    order_id = wire.limit("190")
    control.set_price("AAPL", "189")
    rows = stream.until(lambda row: row["Status"] == "FLL")
    assert codes(rows) == ["ACK", "OPN", "FLL"]
    assert {row["OrderID"] for row in rows} == {order_id}
    assert rows[-1] == wire.seen(order_id)


def test_a_cancel_is_sent_then_out(wire: Any, listen: Callable[[str], Reader]):
    stream = listen(ORDERS)
    stream.until(is_end)
    wire.send("DELETE", f"/v3/orderexecution/orders/{wire.limit('190')}")
    rows = stream.until(lambda row: row["Status"] == "OUT")
    assert codes(rows) == ["ACK", "OPN", "UCN", "OUT"]
    assert ["ClosedDateTime" in row for row in rows] == [False, False, False, True]


def test_a_replacement_passes_through_out(wire: Any, listen: Callable[[str], Reader]):
    stream = listen(ORDERS)
    stream.until(is_end)
    wire.send("PUT", f"/v3/orderexecution/orders/{wire.limit('190')}", {"LimitPrice": "191"})
    rows = stream.until(lambda row: row["LimitPrice"] == "191")
    assert codes(rows) == ["ACK", "OPN", "RSN", "UCH", "OUT", "OPN"]
    assert not any("ClosedDateTime" in row for row in rows)


def test_a_stop_that_is_hit_is_printed_closed_though_it_lives(
    wire: Any, listen: Callable[[str], Reader], control: TradeStationControl
):
    stream = listen(ORDERS)
    stream.until(is_end)
    wire.place(OrderType="StopMarket", StopPrice="210")
    control.set_price("AAPL", "211")
    rows = stream.until(lambda row: row["Status"] == "FLL")
    assert codes(rows)[-3:] == ["STP", "OPN", "FLL"]
    assert "ClosedDateTime" in next(row for row in rows if row["Status"] == "STP"), "as recorded"


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL, "quirks": QuirksConfig(ack_fill_ms=1000)}])
def test_a_fill_may_be_acknowledged_before_it_is_filled(
    wire: Any, listen: Callable[[str], Reader], control: TradeStationControl
):
    stream = listen(ORDERS)
    stream.until(is_end)
    wire.place()
    control.advance(seconds=1)
    rows = stream.until(lambda row: row["Status"] == "FLL")
    assert [(row["Status"], row["Legs"][0]["ExecQuantity"]) for row in rows] == [
        *(("ACK", "0"), ("OPN", "0"), ("ACK", "10"), ("FLL", "10"))
    ]


@pytest.mark.parametrize("config_changes", [{"quirks": QuirksConfig(early_out=True)}])
def test_an_end_may_come_twice_first_without_its_time(wire: Any, listen: Callable[[str], Reader]):
    stream = listen(ORDERS)
    stream.until(is_end)
    wire.place()
    rows = stream.until(lambda row: "ClosedDateTime" in row)
    assert codes(rows)[-2:] == ["FLL", "FLL"]


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL, "quirks": RECORDED_QUIRKS}])
def test_a_life_as_recorded(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen(ORDERS)
    stream.until(is_end)
    wire.limit("190", TimeInForce={"Duration": "GTC"})
    control.set_price("AAPL", "189")
    control.advance(seconds=1)
    rows = stream.until(lambda row: "ClosedDateTime" in row)
    assert [
        (row["Status"], row["Legs"][0]["ExecQuantity"], row["FilledPrice"], row["CommissionFee"]) for row in rows
    ] == [
        ("ACK", "0", "0", "0"),
        ("ACK", "10", "190", "1"),
        ("FLL", "10", "190", "1"),
        ("FLL", "10", "190", "1"),
    ]


def test_a_stream_of_some_orders(wire: Any, listen: Callable[[str], Reader]):
    mine, other = wire.limit("190"), wire.limit("191")
    stream = listen(f"{ORDERS}/{mine}")
    assert [row["OrderID"] for row in stream.until(is_end)[:-1]] == [mine]
    for order_id in (other, mine):
        wire.send("DELETE", f"/v3/orderexecution/orders/{order_id}")
    assert stream.next()["OrderID"] == mine


def test_an_account_that_may_not_be_read_is_an_error_in_the_stream(wire: Any, listen: Callable[[str], Reader]):
    stream = listen(ORDERS.replace(EQUITIES, f"SIM999999M,{EQUITIES}"))
    assert stream.next() == {"AccountID": "SIM999999M", "Error": "Forbidden", "Message": "Invalid Account ID."}
    assert stream.next() == END


# positions
def test_positions_are_resent_whole(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    wire.place()
    stream = listen(POSITIONS)
    first, _ = stream.until(is_end)
    control.set_price("AAPL", "210")
    row = stream.next()
    assert (row["PositionID"], row["Last"], row["UnrealizedProfitLoss"]) == (first["PositionID"], "210", "99.8")
    assert set(row) == set(first)


def test_with_changes_only_what_changed_is_sent(
    wire: Any, listen: Callable[[str], Reader], control: TradeStationControl
):
    stream = listen(f"{POSITIONS}?changes=true")
    assert stream.next() == END
    wire.place()
    whole = stream.next()
    assert (whole["Symbol"], whole["Quantity"]) == ("AAPL", "10")
    control.set_price("AAPL", "210")
    change = stream.next()
    assert "Symbol" not in change
    assert change["Last"] == "210"
    wire.place(TradeAction="SELL")
    assert stream.next() == {"PositionID": whole["PositionID"], "Deleted": True}


# quotes
def test_quotes_send_changed_fields(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen("/v3/marketdata/stream/quotes/AAPL,MSFT,NOPE")
    assert stream.answer.headers["Content-Type"] == "application/vnd.tradestation.streams.v2+json"
    assert stream.next() == {"Symbol": "NOPE", "Error": "FAILED, INVALID SYMBOL"}
    whole = [stream.next(), stream.next()]
    assert [row["Symbol"] for row in whole] == ["AAPL", "MSFT"]
    control.set_price("MSFT", "401")
    change = stream.next()
    assert (change["Symbol"], change["Last"]) == ("MSFT", "401")
    assert change["NetChangePct"] == "0.0025", "a fraction, where the snapshot of a quote gives percent"
    assert "PreviousClose" not in change


# life
@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_heartbeats_follow_the_simulators_clock(
    wire: Any, listen: Callable[[str], Reader], control: TradeStationControl
):
    stream = listen(ORDERS)
    stream.until(is_end)
    control.advance(seconds=5)
    assert stream.next() == {"Heartbeat": 1, "Timestamp": "2026-03-02T15:00:05Z"}
    control.advance(seconds=4)
    wire.limit("190")
    assert codes([stream.next(), stream.next()]) == ["ACK", "OPN"], "a stream that speaks needs no heartbeat"
    control.advance(seconds=4)
    control.advance(seconds=1)
    assert stream.next() == {"Heartbeat": 2, "Timestamp": "2026-03-02T15:00:14Z"}


@pytest.mark.parametrize("config_changes", [{"streams": StreamConfig(piece_bytes=size)} for size in (1, 7, 1000)])
def test_chunks_may_end_anywhere(wire: Any, listen: Callable[[str], Reader], config_changes: dict[str, Any]):
    wire.place()
    chunks = [b""]
    for chunk in listen(ORDERS).answer.raw.read_chunked():
        chunks.append(chunk)
        if b"".join(chunks).endswith(b'"EndSnapshot"}\r\n'):
            break
    assert max(map(len, chunks)) <= config_changes["streams"].piece_bytes
    assert [json.loads(line)["Status"] for line in b"".join(chunks).splitlines()[:-1]] == ["FLL"]


def test_go_away_then_the_end(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    stream, quotes = listen(ORDERS), listen("/v3/marketdata/stream/quotes/AAPL")
    stream.until(is_end)
    quotes.next()
    assert {row["kind"] for row in control.streams()} == {"orders", "quotes"}
    assert control.go_away() == 2
    assert stream.next() == {"StreamStatus": "GoAway"}
    assert quotes.next() == {"Error": "GoAway", "Message": "The server is about to shut down."}
    assert stream.ended()
    assert quotes.ended()


def test_an_error_ends_a_stream(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen(ORDERS)
    stream.until(is_end)
    assert control.stream_error("DualLogon", "Another session took the feed", kind="orders") == 1
    assert stream.next() == {"Error": "DualLogon", "Message": "Another session took the feed"}
    assert stream.ended()


def test_a_stream_may_end_without_a_word(listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen(ORDERS)
    stream.until(is_end)
    assert control.end_streams() == 1
    assert stream.ended()


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_a_muted_stream_is_silent_and_says_it_all_later(
    wire: Any, listen: Callable[[str], Reader], control: TradeStationControl
):
    stream = listen(ORDERS)
    stream.until(is_end)
    control.mute_streams()
    wire.limit("190")
    control.advance(seconds=60)
    control.mute_streams(False)
    assert codes([stream.next(), stream.next()]) == ["ACK", "OPN"]


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL, "streams": StreamConfig(end_with_token=True)}])
def test_a_stream_may_end_with_its_token(listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen(ORDERS)
    stream.until(is_end)
    control.advance(seconds=1200)
    assert "Heartbeat" in stream.next()
    assert stream.ended()


@pytest.mark.parametrize("config_changes", [{"streams": StreamConfig(orders_max=1)}])
def test_only_so_many_streams_of_a_kind(wire: Any, listen: Callable[[str], Reader], control: TradeStationControl):
    first = listen(ORDERS)
    first.until(is_end)
    assert listen(ORDERS).answer.status_code == 429
    assert listen(POSITIONS).answer.status_code == 200
    control.end_streams("orders")


def test_a_stream_needs_a_token_and_its_scope(wire: Any, sim: Running[TradeStationControl]):
    assert requests.get(f"{sim.url}{ORDERS}", timeout=30).status_code == 401
    assert wire.send("GET", f"{ORDERS}/{','.join(map(str, range(51)))}").status_code == 400


def test_a_reset_ends_the_streams_of_what_was(listen: Callable[[str], Reader], control: TradeStationControl):
    stream = listen(ORDERS)
    stream.until(is_end)
    control.reset()
    assert stream.ended()


def test_a_client_that_leaves_is_forgotten(
    wire: Any, sim: Running[TradeStationControl], control: TradeStationControl, eventually: Callable[..., None]
):
    host, port = sim.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        head = f"GET {ORDERS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {wire.token}\r\n\r\n"
        raw.sendall(head.encode())
        assert b"200" in raw.recv(1000)
        assert len(control.streams()) == 1
    eventually(lambda: control.streams() == [])


# faults
def test_a_fault_cuts_a_stream_after_so_many_bytes(
    wire: Any, listen: Callable[[str], Reader], control: TradeStationControl
):
    wire.place()
    for kind in ("truncated", "reset"):
        control.fault(kind, path=ORDERS, after_bytes=100)
        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            listen(ORDERS).until(is_end)
    listen(ORDERS).until(is_end)


@pytest.mark.parametrize(("kind", "fields", "status"), [("status", {"status": 503}, 503), ("html", {}, 200)])
def test_a_fault_answers_instead_of_a_stream(
    listen: Callable[[str], Reader], control: TradeStationControl, kind: str, fields: dict[str, Any], status: int
):
    control.fault(kind, path=ORDERS, **fields)
    answer = listen(ORDERS).answer
    assert (answer.status_code, answer.headers["Content-Type"].startswith("application/vnd")) == (status, False)
    assert control.streams() == []
