"""Ask a reviewer about an alert over HTTP: an endpoint that answers action, confidence and reasoning, or a Letta agent.

The answer is advice of a stranger: at most 64 KiB, one deadline over everything, no redirect, https unless it comes
from this machine, and whatever cannot be read is no answer. The route's rule judges it (`reviewing`). What the sender
wrote as free text is not passed on: the reviewer may be a language model, and takes text for instructions.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx

from brokers.clock import Clock, SystemClock
from brokers.errors import BrokerError
from brokers.guard import Origin, SendGuard, Verb
from brokers.rounding import decimal_text, parse_decimal
from brokers.strictjson import decode, encode
from brokers.transport_httpx import GuardedTransport
from trading.alerts.model import Alert, AlertAction
from trading.alerts.reviewing import Review, ReviewerKind, ReviewRule, ReviewVerdict

ANSWER_BYTES_MAX = 65_536
REASONING_MAX = 2_000
APPROVING = frozenset({"approve", "approved", "allow", "pass"})
REJECTING = frozenset({"reject", "rejected", "deny", "block", "hold", "wait", "none", "skip"})
ASKED = (
    "Review this trading signal before it becomes an order. Answer with one JSON object and nothing else: "
    '{"action": "approve" or "reject", "confidence": a number from 0 to 1, "reasoning": "in one or two sentences"}.\n'
)
Reviewer = Callable[["Question", ReviewRule], Review]


class NoAnswer(Exception):
    """The reviewer gave nothing that can be used; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a reviewer is told. Figures that could not be read are None."""

    alert_id: int
    alert: Alert
    account_id: str
    instrument_id: str
    position: Decimal | None = None
    bid: Decimal | None = None
    ask: Decimal | None = None
    equity: Decimal | None = None

    def to_json(self) -> str:
        """Canonical text, the same for the same question."""
        alert = self.alert
        named: dict[str, Any] = {
            "version": 1,
            "alert_id": self.alert_id,
            "account": self.account_id,
            "instrument": self.instrument_id,
            "action": alert.action.value,
            "target": alert.target.value if alert.target else None,
            "order_type": alert.order_type.value,
            "quantity_mode": alert.quantity_mode.value,
            "strategy": alert.strategy,
            "interval": alert.interval,
            "event_time": alert.event_time.isoformat() if alert.event_time else None,
        }
        numbers = {
            "quantity": alert.quantity,
            "limit_price": alert.limit_price,
            "stop_price": alert.stop_price,
            "price_hint": alert.price_hint,
            "position": self.position,
            "bid": self.bid,
            "ask": self.ask,
            "equity": self.equity,
        }
        return encode(named | {name: None if n is None else decimal_text(n) for name, n in numbers.items()})


def ask(
    question: Question,
    rule: ReviewRule,
    *,
    clock: Clock | None = None,
    environ: Mapping[str, str] | None = None,
) -> Review:
    """Ask once. Never raises for what the reviewer does or fails to do: that is a review without an answer."""
    used = clock or SystemClock()
    began_s = used.monotonic()
    name = f"{rule.kind.value}:{rule.agent or urlsplit(rule.url).hostname or ''}"
    try:
        verdict, confidence, reasoning = _asked(question, rule, os.environ if environ is None else environ)
    except NoAnswer as error:
        verdict, confidence, reasoning = ReviewVerdict.NO_ANSWER, None, str(error)
    took_ms = round((used.monotonic() - began_s) * 1000)
    return Review(
        verdict=verdict, confidence=confidence, reasoning=reasoning[:REASONING_MAX], reviewer=name, took_ms=took_ms
    )


def address_problem(url: str) -> str:
    """Why an address may not be asked; empty where it may: https anywhere, http on this machine only."""
    parts = urlsplit(url)
    if parts.scheme == "https":
        return ""
    host = parts.hostname or ""
    try:
        is_ours = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_ours = host == "localhost"
    if parts.scheme == "http" and is_ours:
        return ""
    return f"the reviewer's url must be https, or http on a loopback address, was {parts.scheme}://{host}"


# -- asking -----------------------------------------------------------------------------------------------------
def _asked(
    question: Question, rule: ReviewRule, environ: Mapping[str, str]
) -> tuple[ReviewVerdict, Decimal | None, str]:
    problem = address_problem(rule.url)
    if problem:
        raise NoAnswer(problem)
    key = environ.get(rule.api_key_env, "") if rule.api_key_env else ""
    if rule.api_key_env and not key:
        raise NoAnswer(f"environment variable {rule.api_key_env} is not set")
    transport = _transport(rule, key)
    try:
        with transport.client() as client:
            text = (
                _of_endpoint(client, question, rule, key)
                if rule.kind is ReviewerKind.HTTP
                else _of_agent(client, question, rule, key)
            )
    finally:
        transport.close()
    return read_answer(text, question.alert.action)


def _transport(rule: ReviewRule, key: str) -> GuardedTransport:
    """One POST to one origin: nothing else leaves, whatever a client library would like to ask."""
    guard = SendGuard(
        origins=frozenset({Origin.of(rule.url)}),
        classify=lambda method, path: Verb.WRITE if method == "POST" else Verb.FORBIDDEN,
        clock=SystemClock(),
        timeout_s=float(rule.timeout_s),
        answer_bytes_max=ANSWER_BYTES_MAX,
        secrets=(key,) if key else (),
    )
    return GuardedTransport(guard)


def _of_endpoint(client: httpx.Client, question: Question, rule: ReviewRule, key: str) -> str:
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    try:
        answer = client.post(rule.url, content=question.to_json(), headers=headers)
    except (BrokerError, httpx.HTTPError) as error:
        raise NoAnswer(_why(error)) from error
    if answer.status_code != 200:
        raise NoAnswer(f"the reviewer answered with status {answer.status_code}")
    return answer.text


def _of_agent(client: httpx.Client, question: Question, rule: ReviewRule, key: str) -> str:
    """The last thing that the agent said; its own client library speaks, through our transport, and never twice."""
    if not rule.agent:
        raise NoAnswer("the review rule names no agent of the Letta server")
    from letta_client import Letta, LettaError

    letta = Letta(base_url=rule.url.rstrip("/"), api_key=key or "none", max_retries=0, http_client=client)
    try:
        answer = letta.agents.messages.create(
            rule.agent,
            messages=[{"role": "user", "content": ASKED + question.to_json()}],
            streaming=False,
            timeout=float(rule.timeout_s),
        )
    except (LettaError, BrokerError, httpx.HTTPError, ValueError) as error:
        raise NoAnswer(_why(error.__cause__ or error)) from error
    said = [text for message in answer.messages for text in _texts(message)]
    if not said:
        raise NoAnswer("the agent said nothing")
    return said[-1]


def _texts(message: Any) -> list[str]:
    """What the agent said to us; its thoughts and its calls of tools are its own."""
    if getattr(message, "message_type", None) != "assistant_message":
        return []
    content = message.content
    parts = [content] if isinstance(content, str) else [getattr(part, "text", "") for part in content]
    return ["".join(parts)]


def _why(error: BaseException) -> str:
    return f"{getattr(error, 'reason', '') or type(error).__name__}: {error}"


# -- reading ----------------------------------------------------------------------------------------------------
def read_answer(text: str, action: AlertAction) -> tuple[ReviewVerdict, Decimal, str]:
    """Verdict, confidence and reasoning of an answer's JSON; NoAnswer where any of them cannot be read.

    The alert's own action is an approval, another one a rejection: a reviewer that would rather sell does not
    approve to buy.
    """
    found = _object(text)
    said = str(found.get("action", "")).strip().lower()
    reasoning = found.get("reasoning", "")
    if not isinstance(reasoning, str):
        raise NoAnswer("the reviewer's reasoning must be text")
    if said in APPROVING or said == action.value:
        verdict = ReviewVerdict.APPROVE
    elif said in REJECTING or said in set(AlertAction):
        verdict = ReviewVerdict.REJECT
        reasoning = f"{said} instead of {action.value}: {reasoning}" if said in set(AlertAction) else reasoning
    else:
        raise NoAnswer(f"the reviewer's action must be approve, reject or the alert's own, was {said[:40]!r}")
    return verdict, _confidence(found.get("confidence")), reasoning


def _object(text: str) -> dict[str, Any]:
    """The one JSON object of an answer; a language model likes to wrap it in words."""
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise NoAnswer("the reviewer's answer holds no JSON object")
    try:
        found = decode(text[start : end + 1])
    except ValueError as error:
        raise NoAnswer(f"the reviewer's answer cannot be read: {error}") from error
    assert isinstance(found, dict), "text in braces is an object"
    return found


def _confidence(value: object) -> Decimal:
    try:
        found = value if isinstance(value, Decimal) else parse_decimal(str(value))
    except ValueError:
        found = None
    if isinstance(value, bool) or found is None or not 0 <= found <= 1:
        raise NoAnswer(f"the reviewer's confidence must be a number from 0 to 1, was {str(value)[:40]!r}")
    return found
