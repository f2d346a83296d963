"""Recorded bodies: what venues really answered, or print in their documentation, replayed through the adapter.

One file per body in `recorded/<venue>/`, with its source beside it and the expected values worked out by hand from the
body, never by running the adapter. The adapter asks a loopback server over a real socket:

    {"id": "REC-BALANCES-01", "capability": "balances",
     "source": "where the body was published",
     "now": "2023-11-14T08:00:00+00:00",
     "operation": "balances", "arguments": {},
     "exchange": [{"path": "/v5/account/wallet-balance", "body": {…}}],
     "expected": [{"currency": "USDT", "total": "3322.25896609", "available": null}]}

`operation` is a method of the port; `arguments` are its keywords as text (times in ISO form; `place` takes the terms of
an OrderRequest and `client_order_id`). An exchange answers a path, where `query` is given only such a query; its
`status` is 200 unless said. `expected` names the fields that matter; an error reads {"error": "InsufficientFunds",
"code": "110007"}. What is asked for beside that (clock, tokens, instruments) is answered by the venue's row (`serve`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from copy import deepcopy
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from enum import Enum
from pathlib import Path
from typing import Any

from brokers.clock import ManualClock
from brokers.errors import BrokerError
from brokers.factory import open_broker
from brokers.ids import ClientOrderId, InstrumentId, VenueOrderId
from brokers.port import Broker
from brokers.rounding import decimal_text
from brokers.types import OrderRequest, OrderSide, OrderType, TimeInForce
from brokers.wire import SendTicket
from tests.brokers.loopback import Loopback, Request, Responder, reply, start_loopback
from tests.conformance.venue import VenueUnderTest

CALLS_APART_S = 30.0  # more than any answer is kept for the next call
FOLDER = Path(__file__).parent / "recorded"
_IDS = {"instrument_id": InstrumentId, "client_order_id": ClientOrderId, "venue_order_id": VenueOrderId}
_TERMS = {
    "instrument_id": InstrumentId,
    "side": OrderSide,
    "order_type": OrderType,
    "quantity": Decimal,
    "time_in_force": TimeInForce,
    "limit_price": Decimal,
    "trigger_price": Decimal,
}


@dataclass(frozen=True)
class Recording:
    """One file, read."""

    id: str
    capability: str
    source: str
    now: datetime
    operation: str
    arguments: Mapping[str, Any]
    exchange: Sequence[Mapping[str, Any]]
    expected: Any

    @property
    def body(self) -> Any:
        """A copy of the body that matters, which is that of the last exchange, to be changed."""
        return deepcopy(self.exchange[-1]["body"])


def recordings(venue: str) -> tuple[Recording, ...]:
    """Every recording of a venue, by file name."""
    found = []
    for path in sorted((FOLDER / venue).glob("*.json")):
        text = json.loads(path.read_text())
        found.append(Recording(**{**text, "now": datetime.fromisoformat(text["now"])}))
    return tuple(found)


def recording(venue: str, name: str) -> Recording:
    """The recording of a venue by its id; LookupError says which file is missing."""
    for found in recordings(venue):
        if found.id == name:
            return found
    raise LookupError(
        f"there is no recorded body {name} of {venue}; write tests/conformance/recorded/{venue}/{name}.json "
        "(tests/conformance/recorded.py says how), or leave out the field of the venue's row that needs it"
    )


def replayed(venue: VenueUnderTest, recorded: Recording) -> Any:
    """What the adapter makes of it: plain values, or the error as a mapping."""
    with replay(venue, recorded) as player:
        try:
            return plain(player.value())
        except BrokerError as error:
            return {"error": type(error).__name__, "code": error.code, "text": error.text}


@dataclass
class Replay:
    """A broker on a loopback server that answers as recorded; the body that matters may be changed between calls."""

    recorded: Recording
    broker: Broker
    clock: ManualClock
    answers: list[dict[str, Any]]

    def value(self, body: Any = ...) -> Any:
        """What the adapter makes of the recorded body, or of this one; its errors are raised."""
        self.answers[-1]["body"] = self.recorded.exchange[-1]["body"] if body is ... else body
        self.clock.wait(CALLS_APART_S)
        return _call(self.broker, self.recorded, self.clock)


@contextmanager
def replay(venue: VenueUnderTest, recorded: Recording) -> Iterator[Replay]:
    """Serve a recording over a real socket and open a broker on it."""
    assert venue.serve is not None and venue.recorded_account is not None
    server, listener = start_loopback()
    with closing(listener):
        try:
            venue.serve(server, recorded.now)
            answers = [dict(one) for one in recorded.exchange]
            for path in dict.fromkeys(one["path"] for one in answers):
                _answer(server, path, [one for one in answers if one["path"] == path], recorded.now)
            clock = ManualClock(recorded.now - timedelta(seconds=CALLS_APART_S))
            with open_broker(venue.recorded_account(server.url), clock=clock) as broker:
                yield Replay(recorded, broker, clock, answers)
        finally:
            server.stop.set()


def _answer(server: Loopback, path: str, answers: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Answer the path as recorded where the query fits, else as the venue's row does."""
    usual = server.routes.get(path)

    def send(request: Request, sock: Any) -> bool:
        for one in answers:
            if all(request.query.get(name) == text for name, text in one.get("query", {}).items()):
                return _reply(one, now)(request, sock)
        route = usual[-1] if isinstance(usual, list) else usual
        return (route or reply(404, "not recorded"))(request, sock)

    server.on(path, send)


def _reply(one: Mapping[str, Any], now: datetime) -> Responder:
    body = one["body"]
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    stamp = format_datetime(now.astimezone(UTC).replace(microsecond=0), usegmt=True)
    return reply(one.get("status", 200), text, **{"Date": stamp, **one.get("headers", {})})


def _call(broker: Broker, recorded: Recording, clock: ManualClock) -> Any:
    arguments = {name: _argument(name, text) for name, text in recorded.arguments.items()}
    if recorded.operation == "place":
        ours = arguments.pop("client_order_id")
        request = OrderRequest(**{name: _TERMS[name](str(text)) for name, text in recorded.arguments["terms"].items()})
        ticket = SendTicket("recorded", clock.now() + timedelta(seconds=5), clock.monotonic() + 5, timeout_s=4.0)
        return broker.place(broker.prepare_order(request, ours), ticket)
    return getattr(broker, recorded.operation)(**arguments)


def _argument(name: str, text: Any) -> Any:
    if name in ("since", "until"):
        return datetime.fromisoformat(text)
    if name == "ids":
        return [InstrumentId(one) for one in text]
    if name == "leverage":
        return Decimal(text)
    return _IDS[name](text) if name in _IDS else text


def plain(found: Any) -> Any:
    """A value as JSON would hold it: numbers and times as text."""
    if isinstance(found, Decimal):
        return decimal_text(found)
    if isinstance(found, datetime):
        return found.isoformat()
    if isinstance(found, timedelta):
        return str(found)
    if isinstance(found, Enum):
        return found.value
    if isinstance(found, Mapping):
        return {str(name): plain(one) for name, one in found.items()}
    if isinstance(found, tuple | list):
        return [plain(one) for one in found]
    if is_dataclass(found) and not isinstance(found, type):
        named = fields(found)
        if [one.name for one in named] == ["value"]:
            return str(found)
        return {one.name: plain(getattr(found, one.name)) for one in named}
    return found


def agrees(found: Any, expected: Any) -> bool:
    """Whether everything that is expected is found; lists have the same length."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and all(n in found and agrees(found[n], one) for n, one in expected.items())
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(map(agrees, found, expected))
    return bool(found == expected)
