"""Tokens: kept durably before they are used, refreshed by one while the others wait, and shown nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.errors import AnswerUnreadable, AuthenticationRefused, BrokerError, ConnectionLost, VenueFaulted
from brokers.guard import Verb
from brokers.tradestation import tokens as tokens_module
from brokers.tradestation.login import Login
from brokers.tradestation.oauth import AccessTokens, TokenEndpoint, challenge_of, classify
from brokers.tradestation.reasons import LoginReason, LoginRefused
from brokers.tradestation.tokens import Tokens, TokenStore
from tests.brokers.loopback import Loopback, drop, reply
from tests.brokers.tradestation.conftest import ACCESS, CLIENT_ID, CLIENT_SECRET, REFRESH, SCOPES, logged_in

PROJECT = Path(__file__).resolve().parents[3]
TOKEN = "/oauth/token"
NEW_ACCESS, NEW_REFRESH = "access-token-of-the-tests-2", "refresh-token-of-the-tests-2"


def answer(**changes: Any) -> str:
    fields = {"access_token": NEW_ACCESS, "expires_in": 1200, "token_type": "Bearer", "id_token": "x", **changes}
    return json.dumps({name: value for name, value in fields.items() if value is not None})


def endpoint_at(url: str, *, secret: str = CLIENT_SECRET) -> TokenEndpoint:
    return TokenEndpoint(
        auth_base=url, client_id=CLIENT_ID, client_secret=SecretStr(secret), clock=SystemClock(), timeout_s=3.0
    )


def access_at(loopback: Loopback, store: TokenStore) -> tuple[AccessTokens, TokenEndpoint]:
    endpoint = endpoint_at(loopback.url)
    return AccessTokens(store=store, endpoint=endpoint, clock=SystemClock()), endpoint


def sent_form(loopback: Loopback) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(loopback.to(TOKEN)[-1].body.decode()).items()}


# -- the store --------------------------------------------------------------------------------------------------
def test_what_is_stored_is_read_back_and_is_the_owners_alone(tmp_path: Path) -> None:
    store = logged_in("http://127.0.0.1:9", tmp_path)
    assert store.file.stat().st_mode & 0o777 == 0o600 and store.file.parent.stat().st_mode & 0o777 == 0o700
    found = store.read()
    assert found is not None and found.access.get_secret_value() == ACCESS and found.scopes == SCOPES
    assert ACCESS not in repr(found) and REFRESH not in repr(found)
    assert TokenStore(tmp_path, client_id="another", auth_base="http://127.0.0.1:9").read() is None
    assert TokenStore(tmp_path, client_id=CLIENT_ID, auth_base="http://127.0.0.1:8").read() is None


def test_a_file_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    store = logged_in("http://127.0.0.1:9", tmp_path)
    store.file.chmod(0o640)
    with pytest.raises(LoginRefused, match="chmod 600") as caught:
        store.read()
    assert caught.value.kind is LoginReason.LOGIN_STORE_UNUSABLE


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"version": 2}', '{"version":1,"access_token":"a","refresh_token":"b","expires_at":"x"}'],
)
def test_a_file_that_is_no_token_file_is_named_without_its_content(tmp_path: Path, text: str) -> None:
    store = logged_in("http://127.0.0.1:9", tmp_path)
    store.file.write_text(text.replace("a", "secret-of-the-file"))
    with pytest.raises(LoginRefused, match=str(store.file)) as caught:
        store.read()
    assert "secret-of-the-file" not in str(caught.value)


def test_the_file_is_synced_then_renamed_then_its_folder_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = logged_in("http://127.0.0.1:9", tmp_path)
    done: list[str] = []
    real_sync, real_replace = os.fsync, Path.replace

    def sync(descriptor: int) -> None:
        done.append("folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "file")
        real_sync(descriptor)

    def rename(self: Path, target: Any) -> Path:
        done.append("rename")
        return real_replace(self, target)

    monkeypatch.setattr(tokens_module.os, "fsync", sync)
    monkeypatch.setattr(Path, "replace", rename)
    store.write(Tokens(SecretStr("a"), SecretStr("b"), datetime.now(UTC), ()))
    assert done == ["file", "rename", "folder"]


# -- refreshing -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("left_s", "refreshes"), [(1200, False), (125, False), (119, True), (0, True), (-5000, True)])
def test_a_token_is_refreshed_when_less_than_two_minutes_are_left(
    loopback: Loopback, tmp_path: Path, left_s: int, refreshes: bool
) -> None:
    store = logged_in(loopback.url, tmp_path, lifetime=timedelta(seconds=left_s))
    loopback.on(TOKEN, reply(200, answer()))
    tokens, endpoint = access_at(loopback, store)
    assert tokens.current() == (NEW_ACCESS if refreshes else ACCESS)
    assert tokens.current() == (NEW_ACCESS if refreshes else ACCESS)
    assert len(loopback.to(TOKEN)) == int(refreshes)
    endpoint.close()
    if refreshes:
        assert sent_form(loopback) == {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH,
        }


def test_an_answer_without_a_refresh_token_keeps_the_old_one(loopback: Loopback, tmp_path: Path) -> None:
    store = logged_in(loopback.url, tmp_path, lifetime=timedelta(0))
    loopback.on(TOKEN, reply(200, answer()))
    tokens, endpoint = access_at(loopback, store)
    tokens.current()
    endpoint.close()
    found = store.read()
    assert found is not None and found.refresh.get_secret_value() == REFRESH
    assert found.access.get_secret_value() == NEW_ACCESS and found.scopes == SCOPES == tokens.scopes


def test_a_rotated_token_is_durable_before_the_access_token_is_used(
    loopback: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails as the rotated token is stored: the access token that came with it must not be given out."""
    store = logged_in(loopback.url, tmp_path, lifetime=timedelta(0))
    loopback.on(TOKEN, reply(200, answer(refresh_token=NEW_REFRESH)))
    tokens, endpoint = access_at(loopback, store)
    with monkeypatch.context() as patch:
        patch.setattr(tokens_module.os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(BrokerError, match="No space left"):
            tokens.current()
    kept = store.read()
    assert kept is not None and kept.refresh.get_secret_value() == REFRESH, "the old one still stands"
    assert tokens.current() == NEW_ACCESS
    kept = store.read()
    assert kept is not None and kept.refresh.get_secret_value() == NEW_REFRESH
    endpoint.close()


def test_a_refused_token_is_replaced_although_its_time_is_not_over(loopback: Loopback, tmp_path: Path) -> None:
    store = logged_in(loopback.url, tmp_path)
    loopback.on(TOKEN, reply(200, answer()))
    tokens, endpoint = access_at(loopback, store)
    assert tokens.after_refusal(tokens.current()) == NEW_ACCESS
    assert tokens.after_refusal(ACCESS) == NEW_ACCESS, "another thread was refused before: nothing is asked again"
    assert len(loopback.to(TOKEN)) == 1
    endpoint.close()


def test_threads_that_need_a_token_ask_once(loopback: Loopback, tmp_path: Path) -> None:
    store = logged_in(loopback.url, tmp_path, lifetime=timedelta(0))
    loopback.on(TOKEN, reply(200, answer()))
    tokens, endpoint = access_at(loopback, store)
    others = [access_at(loopback, store) for _ in range(3)]  # other brokers of this process
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda one=one: found.append(one.current()))
        for one in (tokens, tokens, *(other for other, _ in others))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [NEW_ACCESS] * 5 and len(loopback.to(TOKEN)) == 1
    for each in (endpoint, *(other for _, other in others)):
        each.close()


_REFRESH_IN_A_PROCESS = """
import sys
from pathlib import Path
from pydantic import SecretStr
from brokers.clock import SystemClock
from brokers.tradestation.oauth import AccessTokens, TokenEndpoint
from brokers.tradestation.tokens import TokenStore
url, folder, client_id, secret = sys.argv[1:]
clock = SystemClock()
endpoint = TokenEndpoint(
    auth_base=url, client_id=client_id, client_secret=SecretStr(secret), clock=clock, timeout_s=20.0
)
store = TokenStore(Path(folder), client_id=client_id, auth_base=url)
print("ready", flush=True)
sys.stdin.readline()
print(AccessTokens(store=store, endpoint=endpoint, clock=clock).current()[-1], flush=True)
"""


def test_processes_that_need_a_token_ask_once(loopback: Loopback, tmp_path: Path) -> None:
    """With rotating tokens two refreshes at once would end in a login by a person."""
    logged_in(loopback.url, tmp_path, lifetime=timedelta(0))
    seen: list[str] = []

    def rotate(request: Any, sock: Any) -> bool:
        seen.append(parse_qs(request.body.decode())["refresh_token"][0])
        return reply(200, answer(refresh_token=NEW_REFRESH))(request, sock)

    loopback.on(TOKEN, rotate)
    command = [sys.executable, "-c", _REFRESH_IN_A_PROCESS, loopback.url, str(tmp_path), CLIENT_ID, CLIENT_SECRET]
    processes = [
        subprocess.Popen(command, cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate(timeout=30)[0] for process in processes] == ["2\n"] * 4
    assert seen == [REFRESH]


# -- what the login host answers --------------------------------------------------------------------------------
def test_before_the_first_login_the_remedy_is_named(loopback: Loopback, tmp_path: Path) -> None:
    store = TokenStore(tmp_path, client_id=CLIENT_ID, auth_base=loopback.url)
    tokens, endpoint = access_at(loopback, store)
    with pytest.raises(LoginRefused, match="algotrendy login tradestation") as caught:
        tokens.current()
    assert caught.value.reason == "LOGIN_NEEDED" and loopback.requests == []
    endpoint.close()


REFUSED = json.dumps({"error": "invalid_grant", "error_description": "Unknown or invalid refresh token."})


@pytest.mark.parametrize(
    ("responder", "kind", "words"),
    [
        (reply(403, REFUSED), LoginRefused, "algotrendy login tradestation"),
        (reply(401, '{"error":"invalid_client","error_description":"x"}'), AuthenticationRefused, "API key and secret"),
        (reply(401, '{"error":"access_denied"}'), AuthenticationRefused, "API key and secret"),
        (reply(403, "<html>"), VenueFaulted, "403"),
        (reply(500, '{"error":"server_error"}'), VenueFaulted, "500"),
        (reply(200, "not json"), AnswerUnreadable, "not JSON"),
        (reply(200, "[]"), AnswerUnreadable, "object"),
        (reply(200, answer(access_token=None)), AnswerUnreadable, "access_token"),
        (reply(200, answer(access_token="two words\n")), AnswerUnreadable, "access_token"),
        (reply(200, answer(expires_in="1200")), AnswerUnreadable, "expires_in"),
        (reply(200, answer(expires_in=0)), AnswerUnreadable, "expires_in"),
        (drop, ConnectionLost, "broke"),
    ],
)
def test_answers_that_give_no_token_change_nothing(
    loopback: Loopback, tmp_path: Path, responder: Any, kind: type[BrokerError], words: str
) -> None:
    store = logged_in(loopback.url, tmp_path, lifetime=timedelta(0))
    before = store.file.read_bytes()
    loopback.on(TOKEN, responder)
    tokens, endpoint = access_at(loopback, store)
    with pytest.raises(BrokerError, match=words) as caught:
        tokens.current()
    assert type(caught.value) is kind and store.file.read_bytes() == before
    said = str(caught.value) + caught.value.text + repr(caught.value.args)
    assert not any(secret in said for secret in (REFRESH, ACCESS, CLIENT_SECRET, NEW_ACCESS))
    endpoint.close()


def test_only_the_token_endpoint_may_be_asked() -> None:
    assert classify("POST", TOKEN) is Verb.WRITE
    assert {classify("GET", TOKEN), classify("POST", "/oauth/revoke"), classify("GET", "/authorize")} == {
        Verb.FORBIDDEN
    }


# -- a login ----------------------------------------------------------------------------------------------------
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # of RFC 7636, appendix B
STATE = "s" * 48


def login_at(url: str, **changes: Any) -> Login:
    fields: dict[str, Any] = {
        "auth_base": url, "client_id": CLIENT_ID, "port": 31022, "state": SecretStr(STATE),
        "verifier": SecretStr(VERIFIER),
    }  # fmt: skip
    return Login(**{**fields, **changes})


def test_the_challenge_is_that_of_the_rfc() -> None:
    assert challenge_of(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_the_address_to_open_holds_nothing_secret() -> None:
    parts = urlsplit(login_at("https://signin.tradestation.com").url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert (parts.scheme, parts.netloc, parts.path) == ("https", "signin.tradestation.com", "/authorize")
    assert query == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "audience": "https://api.tradestation.com",
        "redirect_uri": "http://localhost:31022",
        "scope": "openid offline_access profile MarketData ReadAccount Trade",
        "state": STATE,
        "code_challenge": challenge_of(VERIFIER),
        "code_challenge_method": "S256",
    }
    assert login_at("https://x.example", port=80).redirect_uri == "http://localhost"
    assert VERIFIER not in repr(login_at("https://x.example")) and STATE not in repr(login_at("https://x.example"))
    with pytest.raises(ValueError, match="verifier"):
        login_at("https://x.example", verifier=SecretStr("short"))


def test_a_code_becomes_stored_tokens(loopback: Loopback, tmp_path: Path) -> None:
    store = TokenStore(tmp_path, client_id=CLIENT_ID, auth_base=loopback.url)
    loopback.on(TOKEN, reply(200, answer(refresh_token=NEW_REFRESH, scope="Trade ReadAccount")))
    endpoint = endpoint_at(loopback.url, secret="")
    login_at(loopback.url).finish({"code": "c-1", "state": STATE}, endpoint=endpoint, store=store)
    assert sent_form(loopback) == {
        "grant_type": "authorization_code",
        "client_id": CLIENT_ID,
        "code": "c-1",
        "redirect_uri": "http://localhost:31022",
        "code_verifier": VERIFIER,
    }
    found = store.read()
    assert found is not None and found.refresh.get_secret_value() == NEW_REFRESH
    assert found.scopes == ("ReadAccount", "Trade") and found.remaining_s(datetime.now(UTC)) > 1100
    endpoint.close()


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ({"code": "c", "state": "of another"}, LoginReason.LOGIN_STATE_WRONG),
        ({"code": "c"}, LoginReason.LOGIN_STATE_WRONG),
        ({"error": "access_denied", "state": STATE}, LoginReason.LOGIN_DENIED),
        ({"state": STATE}, LoginReason.LOGIN_DENIED),
    ],
)
def test_what_is_no_answer_to_this_login_is_not_exchanged(
    loopback: Loopback, tmp_path: Path, query: dict[str, str], reason: LoginReason
) -> None:
    store = TokenStore(tmp_path, client_id=CLIENT_ID, auth_base=loopback.url)
    endpoint = endpoint_at(loopback.url)
    with pytest.raises(LoginRefused) as caught:
        login_at(loopback.url).finish(query, endpoint=endpoint, store=store)
    assert caught.value.kind is reason and loopback.requests == [] and store.read() is None
    endpoint.close()


def test_a_login_without_a_refresh_token_is_none(loopback: Loopback, tmp_path: Path) -> None:
    store = TokenStore(tmp_path, client_id=CLIENT_ID, auth_base=loopback.url)
    loopback.on(TOKEN, reply(200, answer()))
    endpoint = endpoint_at(loopback.url)
    with pytest.raises(LoginRefused, match="offline_access"):
        login_at(loopback.url).finish({"code": "c", "state": STATE}, endpoint=endpoint, store=store)
    assert store.read() is None
    endpoint.close()
