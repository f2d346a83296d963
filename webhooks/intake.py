"""What happens to one alert before it is answered, in this order, and nothing else:

1. the sender's address is on the list (a TLS proxy in front has checked the client certificate);
2. the head does not announce too large a body;
3. the token belongs to a source: the same work for every token, 404 for an unknown one;
4. the body is read to its end, as it is, within its size and the deadline; a signature is checked where the source
   must sign; nothing is parsed;
5. it is committed to the ledger together with what else waits;
6. only now it is answered: 200 for a new alert and for one that was delivered before; 503 whenever it was not, or not
   surely, committed. TradingView sends again after 5xx alone, so there is no 429, and no 4xx for what cannot be parsed.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from brokers.clock import Clock
from ledger.inbox_values import Delivery
from webhooks.metrics import Metrics
from webhooks.protocol import STARTED_AT
from webhooks.reasons import ReceiverReason
from webhooks.settings import RETRY_AFTER_S, Limits, Listening
from webhooks.signatures import Signatures
from webhooks.watch import Watch
from webhooks.writer import GroupWriter, NotTaken

_log = logging.getLogger("algotrendy.receiver")
CONTENT_TYPE_CHARS_MAX = 200
STATUS = {
    ReceiverReason.NOT_FOUND: 404,
    ReceiverReason.ADDRESS_REFUSED: 403,
    ReceiverReason.METHOD_REFUSED: 405,
    ReceiverReason.SIGNATURE_REFUSED: 401,
    ReceiverReason.HEAD_TOO_LARGE: 431,
    ReceiverReason.BODY_TOO_LARGE: 413,
    ReceiverReason.BODY_ENCODED: 415,
}  # everything else is 503


class Refused(Exception):
    """The request ends here with this reason."""

    def __init__(self, reason: ReceiverReason, *, closes: bool = False) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.closes = closes


@dataclass(slots=True)
class Note:
    """What the log says of a request."""

    reason: str = ""
    source: str = ""
    sender: str = ""
    alert_id: int | None = None
    kind: str = ""


def refusal(reason: ReceiverReason, *, closes: bool = False) -> Response:
    """The answer for a reason: its code, and nothing of the request."""
    status = STATUS.get(reason, 503)
    headers = {"retry-after": str(RETRY_AFTER_S)} if status == 503 else {}
    if closes:
        headers["connection"] = "close"
    body = b'{"error": "%s"}' % reason.value.encode()
    return Response(body, status_code=status, headers=headers, media_type="application/json")


class Intake:
    """Takes alerts while it is open."""

    def __init__(
        self,
        *,
        listening: Listening,
        watch: Watch,
        writer: GroupWriter,
        signatures: Signatures,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.is_stopping = False
        self._listening = listening
        self._signatures = signatures
        self._watch = watch
        self._writer = writer
        self._clock = clock
        self._metrics = metrics

    async def take(self, request: Request, token: str) -> Response:
        """Answer one alert."""
        note: Note = request.state.note
        began: float = getattr(request.state, STARTED_AT)
        try:
            response = await self._take(request, token, note, began)
        except (Refused, NotTaken) as error:
            note.reason = error.reason.value
            response = refusal(error.reason, closes=self.is_stopping or getattr(error, "closes", False))
        self._metrics.answer_s.observe(asyncio.get_running_loop().time() - began)
        return response

    async def _take(self, request: Request, token: str, note: Note, began: float) -> Response:
        limits = self._listening.limits
        note.sender = self._sender(request)
        _check_head(request, limits)
        source = self._watch.tokens.matches(token)
        if source is None:
            raise Refused(ReceiverReason.NOT_FOUND)
        note.source = source
        if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Refused(ReceiverReason.BODY_ENCODED)
        if self.is_stopping:
            raise Refused(ReceiverReason.STOPPING, closes=True)
        raw = await _body(request, limits, deadline=began + limits.request_s_max)
        if not self._signatures.holds(source, request.headers, raw):
            raise Refused(ReceiverReason.SIGNATURE_REFUSED)
        delivery = Delivery(
            source=source,
            raw=raw,
            received_at=self._clock.now(),
            source_ip=note.sender,
            content_type=request.headers.get("content-type", "")[:CONTENT_TYPE_CHARS_MAX],
        )
        return await self._store(delivery, note, deadline=began + limits.commit_s_max)

    async def _store(self, delivery: Delivery, note: Note, *, deadline: float) -> Response:
        stored = self._writer.offer(delivery)
        try:
            async with asyncio.timeout_at(deadline):
                receipt = await stored
        except TimeoutError as error:
            raise Refused(ReceiverReason.NOT_COMMITTED_IN_TIME) from error
        note.alert_id = receipt.alert_id
        note.kind = "new" if receipt.is_new else "repeated"
        self._metrics.stored.labels(delivery.source, note.kind).inc()
        return Response(b'{"id": %d}' % receipt.alert_id, media_type="application/json")

    def _sender(self, request: Request) -> str:
        peer = request.client.host if request.client is not None else ""
        senders = self._listening.senders
        sender = senders.sender(peer, request.headers.getlist("x-forwarded-for"))
        if not senders.allows(sender):
            raise Refused(ReceiverReason.ADDRESS_REFUSED)
        return "" if sender is None else str(sender)


def _check_head(request: Request, limits: Limits) -> None:
    """What the head says of the body. That it is a number, h11 has checked."""
    if int(request.headers.get("content-length", "0")) > limits.body_bytes_max:
        raise Refused(ReceiverReason.BODY_TOO_LARGE)


async def _body(request: Request, limits: Limits, *, deadline: float) -> bytes:
    """The whole body; at no time is more than one chunk above the limit held."""
    read = bytearray()
    try:
        async with asyncio.timeout_at(deadline):
            async for chunk in request.stream():
                read += chunk
                if len(read) > limits.body_bytes_max:
                    raise Refused(ReceiverReason.BODY_TOO_LARGE)
    except (TimeoutError, ClientDisconnect) as error:
        raise Refused(ReceiverReason.BODY_TOO_SLOW, closes=True) from error
    return bytes(read)
