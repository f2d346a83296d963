"""Health, readiness, metrics, the description of the pages, and what the log says."""

from __future__ import annotations

import base64
import io
import logging
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from ledger.inbox_tokens import ActiveTokens
from tests.canaries import leaks
from tests.conftest import Eventually
from tests.webhooks.client import Wire, ask, head
from tests.webhooks.conftest import PATH, SOURCE, TOKEN, Serve, Served
from webhooks.logs import LOGGERS, logging_to, redact
from webhooks.reasons import ReceiverReason as R
from webhooks.server import start_lines
from webhooks.settings import Limits, ReceiverRefused
from webhooks.signatures import Signatures

FORWARDED = {"X-Forwarded-For": "203.0.113.1"}
SECRET = "whsec_" + base64.b64encode(b"canary-signing-secret-0123456789").decode()


def test_it_is_live_and_ready(shared: Served) -> None:
    assert shared.get("/health").json == {"status": "live"}
    ready = shared.get("/ready")
    assert (ready.status, ready.json) == (200, {"status": "ready", "reasons": []})


def test_a_full_backlog_and_a_low_disk_are_told_before_they_refuse(
    serve: Serve, sqlite_url: str, eventually: Eventually
) -> None:
    served = serve(sqlite_url, limits=Limits(backlog_new_max=2, refresh_s=0.05, disk_free_bytes_min=1 << 60))
    assert served.get("/ready").json["reasons"] == [R.DISK_LOW]
    for body in (b"one", b"two"):
        assert served.post(body).status == 200, "the ledger's own limits decide"
    eventually(lambda: served.get("/ready").json["reasons"] == [R.BACKLOG_FULL, R.DISK_LOW])
    assert served.metric('algotrendy_inbox_alerts{state="new"}') == 2


def test_metrics_count_alerts_and_refusals(serve: Serve, sqlite_url: str) -> None:
    served = serve(sqlite_url)
    served.post(b"a"), served.post(b"a"), served.post(path=f"{PATH}/wrong")
    assert served.metric(f'algotrendy_receiver_alerts_stored_total{{kind="new",source="{SOURCE}"}}') == 1
    assert served.metric(f'algotrendy_receiver_alerts_stored_total{{kind="repeated",source="{SOURCE}"}}') == 1
    assert served.metric('algotrendy_receiver_answers_total{reason="RECEIVER_NOT_FOUND",status="404"}') == 1
    assert served.metric("algotrendy_receiver_answer_seconds_count") == 3
    assert served.metric(f'algotrendy_receiver_tokens{{source="{SOURCE}"}}') == 1
    assert served.metric("algotrendy_receiver_connections") >= 1


@pytest.mark.parametrize("page", ["/metrics", "/openapi.json"])
def test_figures_and_the_description_are_for_this_machine_alone(shared: Served, page: str) -> None:
    assert ask(shared.url, page, method="GET").status == 200
    for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
        hidden = ask(shared.url, page, method="GET", headers={header: "127.0.0.1"})
        assert (hidden.status, hidden.error) == (404, R.NOT_FOUND), "a proxy asks for somebody else"


def test_no_page_loads_scripts(shared: Served) -> None:
    for page in ("/docs", "/redoc", "/", "/docs/oauth2-redirect"):
        assert shared.get(page).status == 404


def routes(app: Any) -> set[tuple[str, str]]:
    return {(route.path, method) for route in app.routes for method in route.methods}


def test_the_description_names_every_page_and_no_other(shared: Served) -> None:
    described = shared.get("/openapi.json").json
    pages = {(path, method.upper()) for path, item in described["paths"].items() for method in item}
    assert pages == routes(shared.receiver.app._app)  # type: ignore[attr-defined]
    assert len(pages) == 8


def test_every_answer_of_an_alert_is_described(shared: Served) -> None:
    answered = shared.get("/openapi.json")
    assert len(answered.body) < 12_000, "what every address answers is said once"
    whole = answered.json
    described = {
        status: whole["components"]["responses"][answer["$ref"].rpartition("/")[2]]
        for status, answer in whole["paths"][PATH + "/{token}"]["post"]["responses"].items()
    }
    assert "422" not in described, "no body is refused for what is in it"
    answers = [
        shared.post(b"described"),
        shared.post(path=f"{PATH}/wrong"),
        shared.post(b"x" * 70_000),
        shared.post(headers={"Content-Encoding": "br"}),
        shared.post(headers={f"X-{n}": "" for n in range(70)}),
        ask(shared.url, f"{PATH}/{TOKEN}", method="GET"),
    ]
    assert {answer.status for answer in answers} == {200, 404, 413, 415, 431, 405}
    for answer in answers:
        schema = described[str(answer.status)]["content"]["application/json"]["schema"]
        assert set(answer.json) == set(schema["required"])
        if answer.status != 200:
            assert answer.error in schema["properties"]["error"]["enum"]


# -- signatures -------------------------------------------------------------------------------------------------
def signed(body: bytes, *, secret: str = SECRET, age_s: float = 0) -> dict[str, str]:
    from datetime import UTC, datetime, timedelta

    at = datetime.now(UTC) - timedelta(seconds=age_s)
    signature = Webhook(secret).sign("msg-1", at, body.decode())
    return {"webhook-id": "msg-1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}


def test_a_source_that_must_sign_is_refused_without(serve: Serve, sqlite_url: str) -> None:
    other = "whsec_" + base64.b64encode(b"another secret of thirty bytes..").decode()
    served = serve(sqlite_url, signatures=Signatures({SOURCE: (Webhook(other), Webhook(SECRET))}))
    body = b'{"action": "buy"}'
    assert served.post(body, headers=signed(body)).status == 200
    assert served.post(body + b" ", headers=signed(body + b" ", secret=other)).status == 200, "two while it changes"
    wrong = "whsec_" + base64.b64encode(b"a third secret of thirty bytes..").decode()
    for headers in (
        {},
        signed(b"another body"),
        signed(body, secret=wrong),
        signed(body, age_s=400),
        signed(body) | {"webhook-timestamp": "nan"},
        signed(body) | {"webhook-signature": "v1"},
        signed(body) | {"webhook-signature": "v1,!,v2"},
    ):
        refused = served.post(body, headers=headers)
        assert (refused.status, refused.error) == (401, R.SIGNATURE_REFUSED)
    assert served.post(b"\xff\xfe", headers=signed(body)).status == 401
    assert len(served.stored()) == 2


def test_secrets_of_signatures_are_read_from_a_file_that_nobody_else_can_read(tmp_path: Path) -> None:
    file = tmp_path / "secrets.yaml"
    file.write_text(f"{SOURCE}: [{SECRET}]\n")
    file.chmod(0o644)
    with pytest.raises(ReceiverRefused, match="chmod 600"):
        Signatures.load(file)
    file.chmod(0o600)
    assert Signatures.load(file).sources == (SOURCE,)
    for text in ("- x", "a: []", "a: [b, c, d]", "a: whsec_short", f"a: [{SECRET}, 1]", "a: {b: c}", ":\n:", "\t"):
        file.write_text(text)
        with pytest.raises(ReceiverRefused) as caught:
            Signatures.load(file)
        assert (caught.value.field, caught.value.reason) == ("--signing-secrets", R.SETTING_REFUSED)
        assert "whsec_short" not in str(caught.value)


# -- the log ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text",
    [
        f"POST {PATH}/{TOKEN} 200",
        f"POST /webhook/{TOKEN}?a=b HTTP/1.1",
        f"path='/webhook/{TOKEN}'",
        f"http://host/api/webhook/tradingview/{TOKEN}",
        f"api%2Fwebhook%2Ftradingview%2F{TOKEN}",
        f"Authorization: Bearer {TOKEN}",
        f"(b'authorization', b'Bearer {TOKEN}')",
        f"{{'authorization': 'bearer {TOKEN}'}}",
        f"secret {SECRET} of a source",
    ],
)
def test_a_line_is_blotted_wherever_a_token_stands(text: str) -> None:
    assert leaks(redact(text), [TOKEN, SECRET.removeprefix("whsec_")]) == []
    assert redact("GET /health 200") == "GET /health 200"
    assert redact("POST /webhook/{token} 200 new") == "POST /webhook/[token] 200 new"


def test_lines_that_find_no_room_are_dropped_and_counted() -> None:
    class Stalled(io.StringIO):
        def write(self, text: str) -> int:
            entered.set()
            goes_on.wait(20)
            return super().write(text)

    entered, goes_on = threading.Event(), threading.Event()
    stream = Stalled()
    with logging_to(stream) as lines:
        logger = logging.getLogger(LOGGERS[0])
        logger.info("first")
        assert entered.wait(20)
        for number in range(10_100):
            logger.info("line %d", number)
        assert lines.dropped >= 100, "and none of them waited"
        goes_on.set()
    assert "line 0\n" in stream.getvalue()


def test_a_stream_that_stalls_for_ever_does_not_keep_the_process_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("webhooks.logs.STOP_S_MAX", 0.1)
    goes_on = threading.Event()

    class Stalled(io.StringIO):
        def write(self, text: str) -> int:
            goes_on.wait(20)
            return 0

    with logging_to(Stalled()):
        logging.getLogger(LOGGERS[0]).info("never written")
    goes_on.set()


def test_no_secret_is_left_in_the_log_at_debug(serve: Serve, sqlite_url: str) -> None:
    stream = io.StringIO()
    with logging_to(stream, level=logging.DEBUG):
        served = serve(sqlite_url, signatures=Signatures({"own": (Webhook(SECRET),)}))
        took = served.receiver.writer._receive

        def fails(deliveries: Any) -> tuple[()]:
            raise RuntimeError(f"a defect that quotes /webhook/{TOKEN}")

        for path, headers in ((f"{PATH}/{TOKEN}", {}), ("/webhook", {"Authorization": f"Bearer {TOKEN}"})):
            assert served.post(b"1", path=path, headers=headers).status == 200
            assert served.post(b"1" * 70_000, path=path, headers=headers).status == 413
            assert ask(served.url, path, method="GET", headers=headers).status == 405
            served.receiver.writer._receive = fails
            assert served.post(b"2", path=path, headers=headers).status == 503
            served.receiver.writer._receive = took
        with Wire(served.url) as wire:
            wire.send(head(f"{PATH}/{TOKEN}", headers={"Upgrade": "websocket", "Connection": "Upgrade"}))
            wire.answer()
        with Wire(served.url) as wire:
            wire.send(f"POST {PATH}/{TOKEN} HTTP/1.1\r\n nonsense\r\n\r\n".encode())
            wire.answer()
        figures = served.get("/metrics").body
    told = stream.getvalue()
    assert "a defect that quotes /webhook/[token]" in told and "Traceback" in told
    assert re.search(rf"POST {PATH}/\[token\] 200 new .* source {SOURCE} alert \d+", told)
    assert leaks(told, [TOKEN, SECRET]) == [] and leaks(figures, [TOKEN, SECRET]) == []


def test_it_says_how_it_listens(serve: Serve, sqlite_url: str) -> None:
    signatures = Signatures({"own": (Webhook(SECRET),)})
    served = serve(sqlite_url, senders={"proxies": ("127.0.0.1",)}, signatures=signatures)
    told = list(start_lines(served.receiver, bound_to(5004)))
    assert told == [
        "receiver listening on http://127.0.0.1:5004",
        f"sources with active tokens: {SOURCE} (1)",
        "sources that must sign: own",
        "alerts are taken from: 52.89.214.238/32, 34.212.75.30/32, 54.218.53.128/32, 52.32.178.7/32",
        "X-Forwarded-For is believed from: 127.0.0.1/32",
        "limits: head 2 s and 16384 bytes, body 65536 bytes, request 2.5 s, commit 2.4 s, 1000 connections, "
        "2000 alerts in memory",
    ]
    assert leaks("".join(told), [TOKEN, SECRET]) == []
    served.receiver.watch.tokens = ActiveTokens({})
    assert "sources with active tokens: none, so every alert is answered 404" in start_lines(
        served.receiver, bound_to(0)
    )


def bound_to(port: int) -> Any:
    """What a socket says of its address."""

    class Bound:
        def getsockname(self) -> tuple[str, int]:
            return "127.0.0.1", port

    return Bound()
