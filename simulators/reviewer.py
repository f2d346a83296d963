"""A reviewer of trading signals on loopback: the plain endpoint and, under a Letta server's path, an agent.

It stands in for a language model. What it answers is a function of the question; without one it approves what asks for
at most `QUANTITY_MAX` units, and says so.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

QUANTITY_MAX = 100
_AGENT = re.compile(r"/v1/agents/([A-Za-z0-9_-]+)/messages/?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back: a value that becomes JSON, or bytes as they are; after a pause, if any."""

    value: Any
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pause: threading.Event | None = None  # answered only once it is set
    drips: bool = False  # byte by byte, without end


def cautious(question: dict[str, Any]) -> Answer:
    """Approve what is small enough."""
    quantity = Decimal(question.get("quantity") or 0)
    fine = quantity <= QUANTITY_MAX
    return Answer(
        {
            "action": "approve" if fine else "reject",
            "confidence": 0.91 if fine else 0.83,
            "reasoning": f"{quantity:f} units are {'within' if fine else 'above'} what I let pass ({QUANTITY_MAX}).",
        }
    )


@dataclass(slots=True)
class Reviewer:
    """A running reviewer. `asked` holds the questions, `paths` and `keys` how they came."""

    url: str
    answer: Callable[[dict[str, Any]], Answer] = cautious
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)

    def to(self, path: str, question: dict[str, Any], key: str) -> Answer:
        """Take a question down and answer it, wrapped as the path wants it."""
        self.asked.append(question)
        self.paths.append(path)
        self.keys.append(key)
        answer = self.answer(question)
        if _AGENT.fullmatch(path) and answer.status == 200 and not isinstance(answer.value, bytes):
            return Answer(_said(answer.value), headers=answer.headers, pause=answer.pause, drips=answer.drips)
        return answer


@contextmanager
def running_reviewer(answer: Callable[[dict[str, Any]], Answer] = cautious) -> Iterator[Reviewer]:
    """Serve on a free loopback port until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.reviewer = Reviewer(f"http://127.0.0.1:{server.server_port}", answer)  # type: ignore[attr-defined]
    server.ended = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.reviewer  # type: ignore[attr-defined]
    finally:
        server.ended.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()
        thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length", "0"))
        question = _question(self.path, self.rfile.read(length))
        answer = self.server.reviewer.to(self.path, question, self.headers.get("Authorization", ""))  # type: ignore[attr-defined]
        if answer.pause is not None:
            answer.pause.wait(60)
        body = answer.value if isinstance(answer.value, bytes) else json.dumps(answer.value).encode()
        self.send_response(answer.status)
        for name, value in (*answer.headers, ("Content-Type", "application/json")):
            self.send_header(name, value)
        if not answer.drips:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self._drip() if answer.drips else self.wfile.write(body)
        except OSError:
            return  # whoever asked has had enough

    def _drip(self) -> None:
        while not self.server.ended.wait(0.05):  # type: ignore[attr-defined]
            self.wfile.write(b" ")
            self.wfile.flush()

    def log_message(self, format: str, *arguments: object) -> None:
        return


def _question(path: str, body: bytes) -> dict[str, Any]:
    """The question itself; an agent gets it behind words that say what to do."""
    sent = json.loads(body)
    if not _AGENT.fullmatch(path):
        return dict(sent)
    text = sent["messages"][-1]["content"]
    return dict(json.loads(text[text.index("\n") + 1 :]))


def _said(value: Any) -> dict[str, Any]:
    """An agent's answer: a thought that is its own, then words around the object."""
    now = datetime.now(UTC).isoformat()
    return {
        "messages": [
            {
                "id": "message-1",
                "date": now,
                "message_type": "reasoning_message",
                "reasoning": 'Maybe {"action": "x"}?',
            },
            {
                "id": "message-2",
                "date": now,
                "message_type": "assistant_message",
                "content": f"Here is my review:\n```json\n{json.dumps(value)}\n```",
            },
        ],
        "stop_reason": {"message_type": "stop_reason", "stop_reason": "end_turn"},
        "usage": {"message_type": "usage_statistics", "completion_tokens": 20, "prompt_tokens": 90, "step_count": 1},
    }
