"""TradeStation's login (OAuth 2.0, authorization code with PKCE) and the access token that every request needs.

Refreshing is single flight over threads and processes: who holds the store's lock refreshes, everybody else reads what
was stored. A rotated refresh token is durable before the access token that came with it is used; an answer without one
keeps the old. Only a login by a person can replace a refresh token that TradeStation no longer takes.

Source: TradeStation WebAPI v3, pages "Authentication" and "Refresh Tokens"; RFC 6749, RFC 7636.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from pydantic import SecretStr

from brokers.clock import Clock
from brokers.errors import AnswerUnreadable, AuthenticationRefused, BrokerError, OutcomeUnknown, VenueFaulted
from brokers.guard import Origin, SendGuard, Verb
from brokers.strictjson import decode
from brokers.tradestation.profile import AUDIENCE, SCOPES
from brokers.tradestation.reasons import LOGIN, LoginReason, LoginRefused
from brokers.tradestation.tokens import Tokens, TokenStore
from brokers.transport_httpx import GuardedTransport

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path
AUTHORIZE_PATH = "/authorize"
REMAINING_S_MIN = 120.0
LIFETIME_S_MAX = 86_400
_CODES_REFUSED = (400, 401, 403)


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorize_url(auth_base: str, *, client_id: str, redirect_uri: str, state: str, verifier: str) -> str:
    """Where a person logs in. Nothing secret stands in it."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "audience": AUDIENCE,
        "redirect_uri": redirect_uri,
        "scope": " ".join(SCOPES),
        "state": state,
        "code_challenge": challenge_of(verifier),
        "code_challenge_method": "S256",
    }
    return f"{auth_base}{AUTHORIZE_PATH}?{urlencode(query)}"


def classify(method: str, path: str) -> Verb:
    """Of the login host only the token endpoint is ours to ask."""
    return Verb.WRITE if (method, path) == ("POST", TOKEN_PATH) else Verb.FORBIDDEN


class TokenEndpoint:
    """The login host's token endpoint, behind a guard of its own: what it answers is secret from the first byte on."""

    def __init__(
        self, *, auth_base: str, client_id: str, client_secret: SecretStr, clock: Clock, timeout_s: float
    ) -> None:
        self._url = f"{auth_base}{TOKEN_PATH}"
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._transport = GuardedTransport(
            SendGuard(origins=frozenset({Origin.of(auth_base)}), classify=classify, clock=clock, timeout_s=timeout_s)
        )
        self._client = self._transport.client()

    def close(self) -> None:
        self._client.close()

    def exchange(self, *, code: str, redirect_uri: str, verifier: str) -> Tokens:
        """Turn the code of a login into tokens; AuthenticationRefused says what the host said."""
        answer = self._ask(
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": verifier,
            }
        )
        refresh = answer.get("refresh_token")
        if not isinstance(refresh, str) or not refresh:
            raise LoginRefused(
                LoginReason.LOGIN_DENIED,
                "the login gave no refresh token: the key lacks the scope offline_access; ask TradeStation for it",
            )
        return self._tokens(answer, SecretStr(refresh))

    def refresh(self, known: Tokens) -> Tokens:
        """New tokens; the refresh token stays the old one where the answer has none."""
        answer = self._ask({"grant_type": "refresh_token", "refresh_token": known.refresh.get_secret_value()})
        rotated = answer.get("refresh_token")
        refresh = SecretStr(rotated) if isinstance(rotated, str) and rotated else known.refresh
        return self._tokens(answer, refresh, scopes=known.scopes)

    def _ask(self, form: Mapping[str, str]) -> dict[str, Any]:
        fields = {"client_id": self._client_id, **form}
        if self._client_secret.get_secret_value():
            fields["client_secret"] = self._client_secret.get_secret_value()
        response = self._client.post(self._url, data=fields, headers={"Accept": "application/json"})
        if response.status_code != 200:
            raise _token_error(response.status_code, response.content)
        try:
            answer = decode(response.content)
        except ValueError:
            raise AnswerUnreadable("the token endpoint's answer is not JSON") from None
        if not isinstance(answer, dict):
            raise AnswerUnreadable("the token endpoint's answer is not a JSON object")
        return answer

    def _tokens(self, answer: Mapping[str, Any], refresh: SecretStr, scopes: tuple[str, ...] = ()) -> Tokens:
        access, lifetime_s = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(access, str) or not access or not access.isascii() or not access.isprintable():
            raise AnswerUnreadable("the token endpoint's answer has no usable access_token")
        if not isinstance(lifetime_s, int) or isinstance(lifetime_s, bool) or not 0 < lifetime_s <= LIFETIME_S_MAX:
            raise AnswerUnreadable(f"expires_in must be from 1 to {LIFETIME_S_MAX} seconds")
        scope = answer.get("scope")
        granted = tuple(sorted(scope.split())) if isinstance(scope, str) and scope.strip() else scopes
        return Tokens(SecretStr(access), refresh, self._clock.now() + timedelta(seconds=lifetime_s), granted)


class AccessTokens:
    """The access token of one account's requests, read from the store and refreshed in time."""

    def __init__(self, *, store: TokenStore, endpoint: TokenEndpoint, clock: Clock) -> None:
        self._store = store
        self._endpoint = endpoint
        self._clock = clock
        self._lock = threading.Lock()
        self._known: Tokens | None = None

    @property
    def scopes(self) -> tuple[str, ...]:
        """What the login granted, as last seen."""
        return self._known.scopes if self._known is not None else ()

    def current(self) -> str:
        """A token that is good for at least two minutes; refreshed where it is not."""
        with self._lock:
            if self._known is None or self._known.remaining_s(self._clock.now()) < REMAINING_S_MIN:
                self._known = self._renewed(refused=None)
            return self._known.access.get_secret_value()

    def after_refusal(self, refused: str) -> str:
        """A token other than the one that was refused, whatever its time says."""
        with self._lock:
            known = self._known
            if known is None or known.access.get_secret_value() == refused:
                self._known = self._renewed(refused=refused)
            assert self._known is not None
            return self._known.access.get_secret_value()

    def _renewed(self, *, refused: str | None) -> Tokens:
        with self._store.locked():
            stored = self._store.read()
            if stored is None:
                raise LoginRefused(
                    LoginReason.LOGIN_NEEDED, f"nobody has logged in for this key on this machine; run: {LOGIN}"
                )
            is_good = stored.remaining_s(self._clock.now()) >= REMAINING_S_MIN
            if is_good and stored.access.get_secret_value() != refused:
                return stored  # another process was first
            fresh = self._endpoint.refresh(stored)
            self._store.write(fresh)
            return fresh


def _token_error(status: int, body: bytes) -> BrokerError:
    """The typed error of the token endpoint; of its words only code and description, which hold no token."""
    name, words = "", ""
    try:
        row = decode(body)
    except ValueError:
        row = None
    if isinstance(row, dict):
        name, words = str(row.get("error", ""))[:60], str(row.get("error_description", ""))[:200]
    if status not in _CODES_REFUSED or not name:
        kind: type[OutcomeUnknown] = VenueFaulted if status >= 400 else AnswerUnreadable
        return kind(f"the token endpoint answered HTTP {status}", code=str(status))
    if name == "invalid_grant":
        return LoginRefused(LoginReason.LOGIN_NEEDED, f"TradeStation answered {name}: {words}; log in again: {LOGIN}")
    remedy = "check the API key and secret of the account"
    return AuthenticationRefused(f"the token endpoint answered {name}: {words}; {remedy}", code=name, text=words)
