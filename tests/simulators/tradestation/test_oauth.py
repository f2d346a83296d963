"""Signing in: the redirect with its code, the two grants, rotation, revocation, scopes, and what is refused how."""

import base64
import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from simulators import Running, TradeStationControl
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig

CALLBACK = "http://localhost:8080/done"
VERIFIER = "a-verifier-of-at-least-forty-three-characters-0123"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
MANUAL = {
    "clock": ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC), gateway=GatewayClock.ENGINE)
}
ACCOUNTS = "/v3/brokerage/accounts"


def authorize(wire: Any, **changes: str | None) -> Any:
    query = {
        "response_type": "code",
        "client_id": "main-id",
        "audience": "https://api.tradestation.com",
        "redirect_uri": CALLBACK,
        "scope": "openid offline_access profile MarketData ReadAccount Trade",
        "state": "n0nce",
        **changes,
    }
    given = {name: value for name, value in query.items() if value is not None}
    return wire.send("GET", "/authorize", params=given)


def landed(answer: Any) -> dict[str, str]:
    assert answer.status_code == 302, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["Location"]).query).items()}


def exchange(wire: Any, code: str, **changes: str | None) -> Any:
    fields = {
        "grant_type": "authorization_code",
        "client_id": "main-id",
        "client_secret": "main-secret",
        "code": code,
        "redirect_uri": CALLBACK,
        **changes,
    }
    return wire.form("/oauth/token", **{name: value for name, value in fields.items() if value is not None})


@pytest.fixture
def anyone(wire_of: Callable[..., Any]) -> Any:
    """A client that has not signed in."""
    return wire_of()


def test_a_code_is_exchanged_once_for_tokens_that_work(anyone: Any):
    answer = authorize(anyone)
    assert answer.headers["Location"].startswith(f"{CALLBACK}?code=")
    assert landed(answer)["state"] == "n0nce"
    tokens = exchange(anyone, landed(answer)["code"]).json()
    assert (tokens["expires_in"], tokens["token_type"]) == (1200, "Bearer")
    assert set(tokens["scope"].split()) == {
        *("openid", "offline_access", "profile", "MarketData", "ReadAccount", "Trade")
    }
    anyone.token = tokens["access_token"]
    assert len(anyone.get(ACCOUNTS)["Accounts"]) == 3
    assert anyone.refresh(refresh_token=tokens["refresh_token"]).status_code == 200
    again = exchange(anyone, landed(answer)["code"])
    assert (again.status_code, again.json()["error"]) == (403, "invalid_grant")


def test_without_offline_access_there_is_no_refresh_token(anyone: Any):
    tokens = exchange(anyone, landed(authorize(anyone, scope="openid ReadAccount"))["code"]).json()
    assert "refresh_token" not in tokens
    assert set(tokens["scope"].split()) == {"openid", "ReadAccount"}


def test_pkce_needs_the_verifier_and_no_secret(anyone: Any):
    def code() -> str:
        return landed(authorize(anyone, code_challenge=CHALLENGE, code_challenge_method="S256"))["code"]

    wrong = exchange(anyone, code(), client_secret=None, code_verifier="something else")
    assert (wrong.status_code, wrong.json()["error"]) == (403, "invalid_grant")
    tokens = exchange(anyone, code(), client_secret=None, code_verifier=VERIFIER)
    assert tokens.status_code == 200, tokens.text
    bare = {"grant_type": "refresh_token", "client_id": "main-id", "refresh_token": tokens.json()["refresh_token"]}
    assert anyone.form("/oauth/token", **bare).status_code == 200, "what came without a secret is used without one"
    bare["refresh_token"] = "main-refresh"
    assert anyone.form("/oauth/token", **bare).status_code == 401


def test_plain_pkce_is_refused(anyone: Any):
    assert landed(authorize(anyone, code_challenge="x", code_challenge_method="plain"))["error"] == "invalid_request"


def test_a_public_client_must_use_pkce(anyone: Any):
    assert landed(authorize(anyone, client_id="public-id"))["error"] == "invalid_request"


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"audience": None}, "access_denied"),
        ({"audience": "https://elsewhere.example"}, "access_denied"),
    ],
)
def test_a_bad_request_comes_back_to_the_callback(anyone: Any, changes: dict[str, str], error: str):
    found = landed(authorize(anyone, **changes))
    assert (found["error"], found["state"]) == (error, "n0nce")


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": "http://localhost:8081"},
        {"redirect_uri": "https://localhost:8080"},
        {"redirect_uri": "http://example.com:8080"},
        {"redirect_uri": "http://localhost:8080@example.com/"},
    ],
)
def test_nobody_is_redirected_to_a_place_that_is_not_allowed(anyone: Any, changes: dict[str, str]):
    answer = authorize(anyone, **changes)
    assert (answer.status_code, "Location" in answer.headers) == (403, False)


@pytest.mark.parametrize(
    ("changes", "status", "error"),
    [
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"client_secret": "wrong"}, 401, "access_denied"),
        ({"refresh_token": "unknown"}, 403, "invalid_grant"),
        ({"refresh_token": "reader-refresh"}, 403, "invalid_grant"),
        ({"grant_type": "client_credentials"}, 403, "unauthorized_client"),
        ({"grant_type": "password"}, 403, "unauthorized_client"),
        ({"grant_type": "device"}, 403, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
    ],
)
def test_what_the_token_endpoint_refuses(anyone: Any, changes: dict[str, str], status: int, error: str):
    answer = anyone.refresh(**changes)
    assert (answer.status_code, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}


def test_a_json_body_is_no_form(anyone: Any):
    answer = anyone.send("POST", "/oauth/token", {"grant_type": "refresh_token"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_refresh_token_without_rotation_is_used_again_and_again(anyone: Any):
    first, second = anyone.refresh().json(), anyone.refresh().json()
    assert "refresh_token" not in first
    assert first["access_token"] != second["access_token"]
    claims = json.loads(base64.urlsafe_b64decode(first["id_token"].split(".")[1] + "=="))
    assert claims["sub"] == "auth0|demo-user"


@pytest.mark.parametrize("config_changes", [MANUAL])
def test_a_rotated_token_lives_on_for_half_an_hour(wire_of: Callable[..., Any], control: TradeStationControl):
    client = wire_of("rotating")
    new = client.refresh().json()["refresh_token"]
    control.advance(seconds=1799)
    assert client.refresh().status_code == 200, "the old token, still within its overlap"
    control.advance(seconds=1)
    assert client.refresh().json()["error"] == "invalid_grant"
    assert client.refresh(refresh_token=new).status_code == 200


@pytest.mark.parametrize("config_changes", [MANUAL])
def test_rotation_ends_a_day_after_signing_in(wire_of: Callable[..., Any], control: TradeStationControl):
    client = wire_of("rotating")
    control.advance(seconds=23 * 3600)
    new = client.refresh().json()["refresh_token"]
    control.advance(seconds=3600)
    assert client.refresh(refresh_token=new).json()["error"] == "invalid_grant"
    assert client.refresh(refresh_token=control.sign_in("rotating-id")).status_code == 200


@pytest.mark.parametrize("config_changes", [MANUAL])
def test_an_access_token_ends_after_twenty_minutes(wire: Any, control: TradeStationControl):
    control.advance(seconds=1199)
    assert wire.send("GET", ACCOUNTS).status_code == 200
    control.advance(seconds=1)
    answer = wire.send("GET", ACCOUNTS)
    assert (answer.status_code, answer.json()["Error"]) == (401, "Unauthorized")
    assert wire.sign_in().send("GET", ACCOUNTS).status_code == 200


def test_revoking_one_token_revokes_all_of_the_key(wire: Any, control: TradeStationControl):
    other = control.sign_in("main-id")
    body = {"client_id": "main-id", "client_secret": "main-secret", "token": other}
    assert wire.form("/oauth/revoke", **body).status_code == 200
    assert wire.refresh().json()["error"] == "invalid_grant"
    assert wire.send("GET", ACCOUNTS).status_code == 200, "an access token lives until its end"
    control.expire_access_tokens()
    assert wire.send("GET", ACCOUNTS).status_code == 401


def test_nobody_revokes_without_the_secret(wire: Any):
    assert wire.form("/oauth/revoke", client_id="main-id", token="main-refresh").status_code == 401
    assert wire.refresh().status_code == 200


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer nonsense", "Basic bWFpbg=="])
def test_a_request_without_a_token_is_401(sim: Running[TradeStationControl], wire: Any, header: str):
    wire.session.headers["Authorization"] = header
    wire.token = ""
    assert wire.send("GET", ACCOUNTS).status_code == 401


def test_a_missing_scope_is_403(wire_of: Callable[..., Any]):
    reader = wire_of("reader").sign_in()
    assert reader.send("GET", ACCOUNTS).status_code == 200
    answer = reader.post()
    assert (answer.status_code, answer.json()["Error"]) == (403, "Forbidden")


def test_the_request_log_keeps_no_secret(wire: Any, control: TradeStationControl):
    wire.get(ACCOUNTS)
    logged = str(control.requests())
    assert "oauth/token" in logged
    assert not any(secret in logged for secret in ("main-secret", "main-refresh", wire.token))
