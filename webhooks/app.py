"""The pages of the receiver. Everything that costs time or can fail stands behind them, in `webhooks.intake`.

`/metrics` and `/openapi.json` answer programs on this machine alone, and no page draws the schema: such pages load
scripts from foreign networks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Request, Security
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from webhooks.addresses import is_local
from webhooks.intake import Intake, Note, refusal
from webhooks.metrics import Metrics
from webhooks.protocol import STARTED_AT
from webhooks.reasons import ReceiverReason
from webhooks.settings import Limits

_access = logging.getLogger("algotrendy.receiver.access")
PATH = "/api/webhook/tradingview"
OLDER_PATH = "/webhook"
METHOD_CHARS_MAX = 10  # in the log; a sender may call it what it likes
_bearer = HTTPBearer(auto_error=False, description="The source's token, for senders that can set a header.")
Bearer = Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)]

_RECEIPT = {
    "type": "object",
    "properties": {"id": {"type": "integer", "minimum": 1}},
    "required": ["id"],
    "additionalProperties": False,
}
_R = ReceiverReason


def _answer(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusal(description: str, *reasons: ReceiverReason) -> dict[str, Any]:
    schema = {
        "type": "object",
        "properties": {"error": {"type": "string", "enum": [reason.value for reason in reasons]}},
        "required": ["error"],
        "additionalProperties": False,
    }
    return _answer(description, schema)


_UNSTORED = (
    *(_R.BODY_TOO_SLOW, _R.NOT_COMMITTED_IN_TIME, _R.QUEUE_FULL, _R.BACKLOG_FULL, _R.DISK_LOW),
    *(_R.LEDGER_UNAVAILABLE, _R.COMMIT_UNKNOWN, _R.STOPPING, _R.LEDGER_STALE, _R.TOKENS_STALE),
)
ALERT_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: _answer("Stored durably; the same id for an alert that was delivered before.", _RECEIPT),
    401: _refusal("The source must sign its alerts, and this signature does not hold.", _R.SIGNATURE_REFUSED),
    403: _refusal("The sender's address is not on the list.", _R.ADDRESS_REFUSED),
    404: _refusal("No source has this token.", _R.NOT_FOUND),
    405: _refusal("Alerts are sent with POST.", _R.METHOD_REFUSED),
    413: _refusal("The body is larger than is taken.", _R.BODY_TOO_LARGE),
    415: _refusal("The body is compressed or encoded.", _R.BODY_ENCODED),
    431: _refusal("The head is larger than is taken.", _R.HEAD_TOO_LARGE),
    503: _refusal("Not, or not surely, stored: send it again after the seconds in Retry-After.", *_UNSTORED),
}
_HIDDEN: dict[int | str, dict[str, Any]] = {404: _refusal("Not asked on this machine.", _R.NOT_FOUND)}
_BODY: dict[str, Any] = {
    "requestBody": {
        "description": "The alert's message as it is, JSON or text. It is stored first and read afterwards.",
        "required": True,
        "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class Edge:
    """Around all pages: the head's size, one line in the log and one count for each request."""

    def __init__(self, app: ASGIApp, *, limits: Limits, metrics: Metrics) -> None:
        self._app = app
        self._limits = limits
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        note = scope["state"]["note"] = Note()
        began: float = scope["state"].setdefault(STARTED_AT, loop.time())
        status = 0

        async def remember(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._is_too_large(scope):
                note.reason = ReceiverReason.HEAD_TOO_LARGE.value
                await refusal(ReceiverReason.HEAD_TOO_LARGE, closes=True)(scope, receive, remember)
            else:
                await self._app(scope, receive, remember)
        finally:
            self._tell(scope, note, status, loop.time() - began)

    def _is_too_large(self, scope: Scope) -> bool:
        headers = scope["headers"]
        if len(headers) > self._limits.header_count_max:
            return True
        size = len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(n) + len(v) for n, v in headers)
        return size > self._limits.head_bytes_max

    def _tell(self, scope: Scope, note: Note, status: int, took_s: float) -> None:
        self._metrics.answers.labels(str(status), note.reason).inc()
        if not _access.isEnabledFor(logging.INFO):
            return
        page = getattr(scope.get("route"), "path", "-")  # the template, never the path: that holds a token
        _access.info(
            "%s %s %d %s %.1f ms from %s%s%s",
            scope["method"][:METHOD_CHARS_MAX],
            page,
            status,
            note.reason or note.kind or "-",
            took_s * 1000,
            note.sender or (scope["client"] or ("-",))[0],
            f" source {note.source}" if note.source else "",
            f" alert {note.alert_id}" if note.alert_id is not None else "",
        )


def create_app(
    *,
    intake: Intake,
    metrics: Metrics,
    limits: Limits,
    unready: Callable[[], list[ReceiverReason]],
    measure: Callable[[], None],
    lifespan: Callable[[], AbstractAsyncContextManager[None]],
) -> ASGIApp:
    """The application. `unready` says why it is not ready; `measure` brings the metrics up to date."""

    @asynccontextmanager
    async def living(app: FastAPI) -> AsyncIterator[None]:
        async with lifespan():
            yield

    app = FastAPI(
        title="AlgoTrendy receiver",
        version="1",
        description="Stores alerts durably and answers at once; they are read and traded afterwards.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        lifespan=living,
    )
    _add_alerts(app, intake)
    _add_watching(app, metrics=metrics, unready=unready, measure=measure)

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        is_method = error.status_code == 405
        reason = ReceiverReason.METHOD_REFUSED if is_method else ReceiverReason.NOT_FOUND
        request.state.note.reason = reason.value
        response = refusal(reason)
        response.headers.update(error.headers or {})
        return response

    return Edge(app, limits=limits, metrics=metrics)


def _add_alerts(app: FastAPI, intake: Intake) -> None:
    async def by_path(token: str, request: Request) -> Response:
        """Take an alert; the token stands in the path, because TradingView cannot set a header."""
        return await intake.take(request, token)

    async def by_header(request: Request, bearer: Bearer) -> Response:
        """Take an alert of a sender that can set the header `Authorization: Bearer TOKEN`."""
        return await intake.take(request, "" if bearer is None else bearer.credentials)

    for path in (PATH, OLDER_PATH):
        name = path.strip("/").replace("/", "_")
        options: dict[str, Any] = {"methods": ["POST"], "responses": ALERT_ANSWERS, "tags": ["alerts"]}
        options |= {"openapi_extra": _BODY, "response_class": Response}
        app.add_api_route(path + "/{token}", by_path, operation_id=f"{name}_by_path", **options)
        app.add_api_route(path, by_header, operation_id=f"{name}_by_header", **options)


def _add_watching(
    app: FastAPI, *, metrics: Metrics, unready: Callable[[], list[ReceiverReason]], measure: Callable[[], None]
) -> None:
    @app.get("/health", tags=["watching"])
    async def health() -> dict[str, str]:
        """Live: the process answers."""
        return {"status": "live"}

    @app.get("/ready", tags=["watching"], responses={503: {"description": "Not ready; `reasons` says why."}})
    async def ready() -> JSONResponse:
        """Ready: the ledger takes transactions, and there is room for alerts."""
        reasons = [reason.value for reason in unready()]
        status = "not_ready" if reasons else "ready"
        return JSONResponse({"status": status, "reasons": reasons}, status_code=503 if reasons else 200)

    @app.get("/metrics", tags=["watching"], responses=_HIDDEN)
    async def figures(request: Request) -> Response:
        """Figures for Prometheus."""
        _only_local(request)
        measure()
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    @app.get("/openapi.json", tags=["watching"], responses=_HIDDEN)
    async def schema(request: Request) -> JSONResponse:
        """This description."""
        _only_local(request)
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return JSONResponse(app.openapi_schema)


def _described(app: FastAPI) -> dict[str, Any]:
    """The pages and their answers. What all four addresses of alerts answer is said once, and the 422 that FastAPI adds
    is left out: a token is any text."""
    document = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    names = {str(status): f"Alert{status}" for status in ALERT_ANSWERS}
    shared: dict[str, Any] = {}
    for item in document["paths"].values():
        for operation in item.values():
            if "alerts" in operation["tags"]:
                shared |= {name: operation["responses"][status] for status, name in names.items()}
                operation["responses"] = {
                    status: {"$ref": f"#/components/responses/{name}"} for status, name in names.items()
                }
    document["components"] = {"responses": shared, "securitySchemes": document["components"]["securitySchemes"]}
    return document


def _only_local(request: Request) -> None:
    peer = request.client.host if request.client is not None else ""
    if not is_local(peer, (name for name, _ in request.scope["headers"])):
        raise HTTPException(404)
