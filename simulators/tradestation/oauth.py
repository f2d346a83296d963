"""Signing in, Auth0's way: /authorize, /oauth/token, /oauth/revoke, and who a bearer token stands for."""

import base64
import hashlib
import hmac
import json
import random
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from simulators.core.wire import Answer, Call, dump
from simulators.tradestation.config import ClientConfig

AUDIENCE = "https://api.tradestation.com"
ISSUER = "https://signin.tradestation.com/"
TOKEN_PATHS = frozenset({"/oauth/token", "/oauth/revoke"})
FORM = "application/x-www-form-urlencoded"
LETTERS = string.ascii_letters + string.digits
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class OAuthError(Exception):
    """A refusal of the token endpoint."""

    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(f"{error}: {description}")
        self.status = status
        self.error = error
        self.description = description


def _bad_grant(description: str) -> OAuthError:
    return OAuthError(403, "invalid_grant", description)


@dataclass(frozen=True, slots=True)
class _Code:
    client_id: str
    redirect_uri: str
    scopes: frozenset[str]
    challenge: str
    ends_ms: int


@dataclass(slots=True)
class RefreshToken:
    """One refresh token. `public`: it came through PKCE without a secret, and is used so."""

    client_id: str
    scopes: frozenset[str]
    public: bool = False
    login_ms: int = 0
    ends_ms: int | None = None
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """What an access token stands for."""

    client: ClientConfig
    scopes: frozenset[str]
    ends_ms: int


class OAuth:
    """All keys and tokens of one venue."""

    def __init__(self, clients: tuple[ClientConfig, ...], *, seed: int, now_ms: Callable[[], int]) -> None:
        self.clients = {client.client_id: client for client in clients}
        self._now_ms = now_ms
        self._random = random.Random(f"{seed}:oauth")  # noqa: S311 - simulated tokens, reproducible
        self._codes: dict[str, _Code] = {}
        self._access: dict[str, Bearer] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        for client in clients:
            for token in client.refresh_tokens:
                self.add_refresh(client, token=token)

    def _word(self, length: int = 43) -> str:
        return "".join(self._random.choices(LETTERS, k=length))

    # levers
    def add_refresh(self, client: ClientConfig, *, token: str = "", public: bool = False) -> str:
        """Give out a refresh token as if the user had just signed in."""
        granted = RefreshToken(client.client_id, client.scopes, public=public, login_ms=self._now_ms())
        return self._keep(client, granted, token=token)

    def _keep(self, client: ClientConfig, granted: RefreshToken, *, token: str = "") -> str:
        granted.token = token or f"v1.{self._word()}"
        if client.rotates:
            granted.ends_ms = granted.login_ms + client.rotating_life_s * 1000
        self.refresh_tokens[granted.token] = granted
        return granted.token

    def expire_access(self) -> int:
        """End every access token; return how many there were."""
        count = len(self._access)
        self._access.clear()
        return count

    def revoke(self, client_id: str) -> int:
        """End every refresh token of a key; return how many there were."""
        mine = [token for token, granted in self.refresh_tokens.items() if granted.client_id == client_id]
        for token in mine:
            del self.refresh_tokens[token]
        return len(mine)

    def bearer(self, call: Call) -> Bearer | None:
        """Return what the request's access token stands for, or None when it is absent, unknown or over."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        found = self._access.get(token.strip()) if kind.lower() == "bearer" else None
        return found if found is not None and self._now_ms() < found.ends_ms else None

    # endpoints
    def handle(self, call: Call) -> Answer | None:
        """Answer a request to the sign-in host; None for any other path."""
        if call.path == "/authorize":
            return self._authorize(dict(parse_qsl(call.raw_query, keep_blank_values=True)))
        if call.path not in TOKEN_PATHS:
            return None
        try:
            if call.method != "POST":
                raise OAuthError(404, "not_found", "Cannot " + call.method + " " + call.path)
            fields = _form(call)
            body = self._token(fields) if call.path == "/oauth/token" else self._revoke(fields)
        except OAuthError as error:
            refused = {"error": error.error, "error_description": error.description}
            return Answer(status=error.status, body=dump(refused), headers=NO_STORE, code=error.error)
        return Answer(status=200, body=body, headers=NO_STORE, executed=True, code="200")

    def _authorize(self, query: Mapping[str, str]) -> Answer:
        client = self.clients.get(query.get("client_id", ""))
        uri = query.get("redirect_uri", "")
        if client is None:
            return _page(403, f"Unknown client: {query.get('client_id', '')}")
        if not any(_same_place(uri, allowed) for allowed in client.redirect_uris):
            return _page(403, f"Callback URL mismatch. {uri} is not in the list of allowed callback URLs")
        try:
            found = {"code": self._grant(client, uri, query)}
        except OAuthError as error:
            found = {"error": error.error, "error_description": error.description}
        if "state" in query:
            found["state"] = query["state"]
        joint = "&" if urlsplit(uri).query else "?"
        return Answer(status=302, body=b"", headers={"Location": f"{uri}{joint}{urlencode(found)}"}, executed=True)

    def _grant(self, client: ClientConfig, uri: str, query: Mapping[str, str]) -> str:
        if query.get("response_type") != "code":
            raise OAuthError(302, "unsupported_response_type", f"response_type was {query.get('response_type', '')!r}")
        if query.get("audience") != AUDIENCE:
            raise OAuthError(302, "access_denied", f"Service not found: {query.get('audience', '')}")
        challenge = query.get("code_challenge", "")
        if challenge and query.get("code_challenge_method", "plain") != "S256":
            raise OAuthError(302, "invalid_request", "Only code_challenge_method S256 is supported")
        if not challenge and not client.secret_needed:
            raise OAuthError(302, "invalid_request", "Missing required parameter: code_challenge")
        if not client.consents:
            raise OAuthError(302, "access_denied", "User did not authorize the request")
        scopes = frozenset(query.get("scope", "").split()) & client.scopes
        code = self._word()
        self._codes[code] = _Code(client.client_id, uri, scopes, challenge, self._now_ms() + client.code_life_s * 1000)
        return code

    def _token(self, fields: Mapping[str, str]) -> bytes:
        grant = fields.get("grant_type", "")
        client = self._client(fields)
        if grant == "authorization_code":
            return self._exchange(client, fields)
        if grant == "refresh_token":
            return self._refresh(client, fields)
        if grant in ("client_credentials", "password"):
            raise OAuthError(403, "unauthorized_client", f"Grant type '{grant}' not allowed for the client.")
        raise OAuthError(403, "unsupported_grant_type", f"Unsupported grant type: {grant}")

    def _client(self, fields: Mapping[str, str]) -> ClientConfig:
        client = self.clients.get(fields.get("client_id", ""))
        if client is None:
            raise OAuthError(401, "invalid_client", "Unknown or invalid client_id.")
        secret = fields.get("client_secret")
        if secret is not None and not hmac.compare_digest(secret.encode(), client.client_secret.encode()):
            raise OAuthError(401, "access_denied", "Unauthorized")
        return client

    @staticmethod
    def _need_secret(client: ClientConfig, fields: Mapping[str, str], *, public: bool) -> None:
        if client.secret_needed and not public and "client_secret" not in fields:
            raise OAuthError(401, "access_denied", "Unauthorized")

    def _exchange(self, client: ClientConfig, fields: Mapping[str, str]) -> bytes:
        code = self._codes.pop(fields.get("code", ""), None)
        if code is None or code.client_id != client.client_id or self._now_ms() >= code.ends_ms:
            raise _bad_grant("Invalid authorization code")
        public = bool(code.challenge) and "client_secret" not in fields
        self._need_secret(client, fields, public=public)
        if code.redirect_uri != fields.get("redirect_uri"):
            raise _bad_grant("Invalid redirect_uri")
        if code.challenge and _challenge(fields.get("code_verifier", "")) != code.challenge:
            raise _bad_grant("Failed to verify code verifier")
        new = ""
        if "offline_access" in code.scopes:
            granted = RefreshToken(client.client_id, code.scopes, public=public, login_ms=self._now_ms())
            new = self._keep(client, granted)
        return self._give(client, code.scopes, refresh=new)

    def _refresh(self, client: ClientConfig, fields: Mapping[str, str]) -> bytes:
        granted = self.refresh_tokens.get(fields.get("refresh_token", ""))
        over = granted is not None and granted.ends_ms is not None and self._now_ms() >= granted.ends_ms
        if granted is None or granted.client_id != client.client_id or over:
            raise _bad_grant("Unknown or invalid refresh token.")
        self._need_secret(client, fields, public=granted.public)
        new = ""
        if client.rotates:
            later = RefreshToken(granted.client_id, granted.scopes, public=granted.public, login_ms=granted.login_ms)
            new = self._keep(client, later)
            overlap_ms = self._now_ms() + client.overlap_s * 1000
            granted.ends_ms = min(overlap_ms, granted.ends_ms or overlap_ms)
        return self._give(client, granted.scopes, refresh=new)

    def _give(self, client: ClientConfig, scopes: frozenset[str], *, refresh: str) -> bytes:
        now_s = self._now_ms() // 1000
        claims = {"iss": ISSUER, "sub": f"auth0|{client.user}", "iat": now_s, "exp": now_s + client.access_life_s}
        scope = " ".join(sorted(scopes))
        access = self._jwt(client, {**claims, "aud": AUDIENCE, "azp": client.client_id, "scope": scope})
        self._access[access] = Bearer(client, scopes, self._now_ms() + client.access_life_s * 1000)
        body: dict[str, object] = {"access_token": access}
        if refresh:
            body["refresh_token"] = refresh
        if "openid" in scopes:
            body["id_token"] = self._jwt(client, {**claims, "aud": client.client_id, "nickname": client.user})
        return dump({**body, "scope": scope, "expires_in": client.access_life_s, "token_type": "Bearer"})

    def _jwt(self, client: ClientConfig, claims: Mapping[str, object]) -> str:
        head = _b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        body = _b64(json.dumps({**claims, "jti": self._word(16)}).encode())
        signed = hmac.new(client.client_secret.encode(), f"{head}.{body}".encode(), hashlib.sha256).digest()
        return f"{head}.{body}.{_b64(signed)}"

    def _revoke(self, fields: Mapping[str, str]) -> bytes:
        client = self._client(fields)
        granted = self.refresh_tokens.get(fields.get("token", ""))
        self._need_secret(client, fields, public=granted is not None and granted.public)
        if "token" not in fields:
            raise OAuthError(400, "invalid_request", "Missing required parameter: token")
        if granted is not None and granted.client_id == client.client_id:
            self.revoke(client.client_id)
        return b""


def _form(call: Call) -> dict[str, str]:
    if not call.headers.get("content-type", "").startswith(FORM):
        raise OAuthError(400, "invalid_request", f"Content-Type must be {FORM}")
    fields = dict(parse_qsl(call.body.decode("utf-8", "replace"), keep_blank_values=True))
    if call.path == "/oauth/token" and not fields.get("grant_type"):
        raise OAuthError(400, "invalid_request", "Missing required parameter: grant_type")
    return fields


def _same_place(uri: str, allowed: str) -> bool:
    """Tell whether a redirect goes to an allowed place; its path is free, as the venue says nothing of paths."""
    asked = urlsplit(uri)
    any_port = allowed.endswith(":*")
    wanted = urlsplit(allowed.removesuffix(":*"))
    if (asked.scheme, asked.hostname) != (wanted.scheme, wanted.hostname) or asked.fragment:
        return False
    return any_port or (asked.port or 80) == (wanted.port or 80)


def _challenge(verifier: str) -> str:
    return _b64(hashlib.sha256(verifier.encode()).digest())


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _page(status: int, text: str) -> Answer:
    body = f"<!DOCTYPE html><html><body><h1>Oops!, something went wrong</h1><p>{escape(text)}</p></body></html>"
    return Answer(status=status, body=body.encode(), content_type="text/html; charset=utf-8", code=str(status))
