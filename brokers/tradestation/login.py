"""One login by a person: the address to open, and what the browser brings back. No sockets, no chance.

Source: TradeStation WebAPI v3, "Authentication" (authorization code flow, PKCE).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from brokers.tradestation.oauth import TokenEndpoint, authorize_url
from brokers.tradestation.reasons import LoginReason, LoginRefused
from brokers.tradestation.tokens import Tokens, TokenStore

PORTS = (31022, 3000, 3001, 8080, 80)  # to which a fresh API key may be sent back; others by TradeStation's support
_DRAWN_LENGTH_MIN = 43  # of a PKCE verifier (RFC 7636), and long enough for a state


@dataclass(frozen=True, slots=True)
class Login:
    """One login under way. `state` and `verifier` are drawn by the caller, once per login."""

    auth_base: str
    client_id: str
    port: int
    state: SecretStr
    verifier: SecretStr

    def __post_init__(self) -> None:
        for name in ("state", "verifier"):
            drawn: SecretStr = getattr(self, name)
            if len(drawn.get_secret_value()) < _DRAWN_LENGTH_MIN:
                raise ValueError(f"{name} must have at least {_DRAWN_LENGTH_MIN} characters")

    @property
    def redirect_uri(self) -> str:
        return "http://localhost" if self.port == 80 else f"http://localhost:{self.port}"

    @property
    def url(self) -> str:
        """What the person opens."""
        return authorize_url(
            self.auth_base,
            client_id=self.client_id,
            redirect_uri=self.redirect_uri,
            state=self.state.get_secret_value(),
            verifier=self.verifier.get_secret_value(),
        )

    def finish(self, query: Mapping[str, str], *, endpoint: TokenEndpoint, store: TokenStore) -> Tokens:
        """Turn what the browser brought back into stored tokens; LoginRefused when it is no answer to this login."""
        if not hmac.compare_digest(query.get("state", "").encode(), self.state.get_secret_value().encode()):
            raise LoginRefused(LoginReason.LOGIN_STATE_WRONG, "state must be this login's, was another one's")
        if query.get("error"):
            words = " ".join(query.get(name, "") for name in ("error", "error_description")).strip()[:200]
            raise LoginRefused(LoginReason.LOGIN_DENIED, f"TradeStation answered {words}")
        if not query.get("code"):
            raise LoginRefused(LoginReason.LOGIN_DENIED, "TradeStation sent neither a code nor an error")
        with store.locked():
            tokens = endpoint.exchange(
                code=query["code"], redirect_uri=self.redirect_uri, verifier=self.verifier.get_secret_value()
            )
            store.write(tokens)
        return tokens
