"""The web socket of trade updates: signing in, what is told, and that nothing is told again; alpaca-py on it."""

import json
import threading
from collections.abc import Callable, Iterator
from queue import Queue
from typing import Any

import pytest
from alpaca.trading.stream import TradingStream
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from simulators import AlpacaControl, Running

WAIT_S = 5


class Listener:
    """A bare client of the socket."""

    def __init__(self, url: str) -> None:
        self.socket: ClientConnection = connect(f"{url.replace('http', 'ws')}/stream", proxy=None)

    def say(self, action: str, **data: Any) -> dict[str, Any]:
        self.socket.send(json.dumps({"action": action, "data": data}))
        return self.hear()

    def hear(self) -> dict[str, Any]:
        frame = self.socket.recv(timeout=WAIT_S)
        assert isinstance(frame, bytes), "frames are binary"
        return json.loads(frame)

    def sign_in(self, name: str = "main") -> "Listener":
        answer = self.say("authenticate", key_id=f"{name}-key", secret_key=f"{name}-secret")
        assert answer == {"stream": "authorization", "data": {"status": "authorized", "action": "authenticate"}}
        answer = self.say("listen", streams=["trade_updates", "account_updates"])
        assert answer == {"stream": "listening", "data": {"streams": ["trade_updates"]}}
        return self

    def events(self, count: int) -> list[str]:
        return [self.hear()["data"]["event"] for _ in range(count)]


@pytest.fixture
def listener_of(sim: Running[AlpacaControl]) -> Iterator[Callable[[], Listener]]:
    made: list[Listener] = []

    def make() -> Listener:
        made.append(Listener(sim.url))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


def test_an_order_is_told_from_its_receipt_to_its_end(wire: Any, listener_of: Callable[[], Listener]):
    listener = listener_of().sign_in()
    order_id = wire.place(client_order_id="told")["id"]
    told = [listener.hear() for _ in range(3)]
    assert {row["stream"] for row in told} == {"trade_updates"}
    assert [row["data"]["event"] for row in told] == ["pending_new", "new", "fill"]
    fill = told[-1]["data"]
    assert (fill["price"], fill["qty"], fill["position_qty"]) == ("200.02", "10", "10")
    order = fill["order"]
    assert (order["id"], order["status"], order["client_order_id"]) == (order_id, "filled", "told")
    (activity,) = wire.activities("activity_types=FILL")
    assert activity["id"].endswith(fill["execution_id"])


def test_cancels_replacements_and_parts(wire: Any, control: AlpacaControl, listener_of: Callable[[], Listener]):
    control.set_liquidity("AAPL", level_notional="555", levels=1)
    listener = listener_of().sign_in()
    old = wire.limit("190", qty="5", time_in_force="gtc")["id"]
    control.set_price("AAPL", "185")
    new = wire.send("PATCH", f"/v2/orders/{old}", {"limit_price": "150"}).json()["id"]
    wire.send("DELETE", f"/v2/orders/{new}")
    told = [listener.hear()["data"] for _ in range(7)]
    assert [(row["event"], row["order"]["id"]) for row in told] == [
        ("pending_new", old),
        ("new", old),
        ("partial_fill", old),
        ("pending_new", new),
        ("new", new),
        ("replaced", old),
        ("canceled", new),
    ]
    assert told[5]["order"]["replaced_by"] == new


def test_nothing_is_told_of_the_past_or_of_others(wire: Any, listener_of: Callable[[], Listener]):
    other, mine = listener_of().sign_in("second"), listener_of()
    wire.limit("190")
    mine.sign_in()
    wire.limit("191", client_order_id="later")
    assert mine.hear()["data"]["order"]["client_order_id"] == "later"
    assert other.say("listen", streams=[])["stream"] == "listening", "nothing came before that"


def test_who_is_not_let_in(listener_of: Callable[[], Listener]):
    listener = listener_of()
    assert listener.say("listen", streams=["trade_updates"])["data"]["status"] == "unauthorized"
    assert listener.say("authenticate", key_id="main-key", secret_key="no")["data"]["status"] == "unauthorized"
    assert listener.say("dance")["stream"] == "error"
    listener.socket.send("{")
    assert listener.hear()["stream"] == "error"
    listener.socket.send(json.dumps({"action": "auth", "key": "main-key", "secret": "main-secret"}))
    assert listener.hear()["data"]["status"] == "authorized", "the newer form"


def test_the_venue_may_hang_up(control: AlpacaControl, listener_of: Callable[[], Listener], wire: Any):
    listener = listener_of().sign_in()
    assert control.end_sockets() == 1
    with pytest.raises(ConnectionClosed):
        listener.hear()
    assert wire.send("GET", "/stream").status_code == 404, "without an upgrade there is nothing"


def test_alpaca_py_listens(sim: Running[AlpacaControl], wire: Any, eventually: Any):
    heard: Queue[Any] = Queue()
    stream = TradingStream("main-key", "main-secret", url_override=f"{sim.url.replace('http', 'ws')}/stream")

    async def hear(update: Any) -> None:
        heard.put(update)

    stream.subscribe_trade_updates(hear)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: [one["listens"] for one in sim.control.sockets()] == [True])
        wire.place(client_order_id="heard")
        updates = [heard.get(timeout=WAIT_S) for _ in range(3)]
        assert [one.event for one in updates] == ["pending_new", "new", "fill"]
        assert (updates[-1].order.client_order_id, updates[-1].position_qty) == ("heard", 10)
    finally:
        stream.stop()
        wire.place(client_order_id="wakes it up")
        thread.join(timeout=WAIT_S)
    assert not thread.is_alive()
