"""`algotrendy login`: a person logs in with a browser, once, and every process of this machine can use it.

The browser comes back to a port of this machine alone. What it brings is exchanged and stored before it is told that it
worked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.options import AccountOption, AccountsOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from http.server import HTTPServer

    from brokers.config import AccountConfig
    from brokers.tradestation.tokens import Tokens

LISTEN_HOST: Final = "127.0.0.1"
CALLBACK_S_MAX: Final = 5.0  # for one request of a browser
TICK_S: Final = 0.5
QUERY_LENGTH_MAX: Final = 8_000

login_app = typer.Typer(
    no_args_is_help=True, help="Log in at a venue that asks for a person: once per API key and machine."
)


@login_app.command("tradestation")
def tradestation(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    port: Annotated[
        int,
        typer.Option(
            "--port",
            min=1,
            max=65_535,
            help="Where the browser comes back to on this machine; must be allowed for the API key: 31022, 3000, 3001, "
            "8080 and 80 are from the start.",
        ),
    ] = 31022,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address instead of opening a browser.")
    ] = False,
    timeout_s: Annotated[
        int, typer.Option("--timeout", min=1, max=3600, help="Seconds to wait for the browser.")
    ] = 300,
) -> None:
    """Log in at TradeStation and keep the tokens where jobs find them.

    With a browser on another machine, forward the port to it first: ssh -L 31022:127.0.0.1:31022 HOST.
    """
    import secrets

    from pydantic import SecretStr

    from brokers.factory import base_url_of
    from brokers.tradestation.adapter import auth_base_of, token_store
    from brokers.tradestation.login import Login
    from brokers.tradestation.oauth import TokenEndpoint
    from cli import opening, output

    config = _config(account, accounts)
    base_url = base_url_of(config)
    store, auth_base = token_store(config, base_url), auth_base_of(config, base_url)
    client_id = config.api_key.get_secret_value()
    login = Login(
        auth_base=auth_base,
        client_id=client_id,
        port=port,
        state=SecretStr(secrets.token_urlsafe(48)),
        verifier=SecretStr(secrets.token_urlsafe(64)),
    )
    endpoint = TokenEndpoint(
        auth_base=auth_base,
        client_id=client_id,
        client_secret=config.api_secret,
        clock=opening.CLOCK,
        timeout_s=config.read_timeout_s,
    )
    try:
        with _listening(port) as server:
            _show(login.url, no_browser=no_browser)
            tokens = _wait(server, timeout_s, lambda query: login.finish(query, endpoint=endpoint, store=store))
    finally:
        endpoint.close()
    output.say(f"logged in for {config.account_id}; tokens are in {store.file}", style="green")
    output.say(f"granted: {', '.join(tokens.scopes) or 'not said'}")
    output.say("next: algotrendy accounts check", style="dim")


def _config(name: str, file: Any) -> AccountConfig:
    """The account's connection, which must be TradeStation's; nothing is opened."""
    from dataclasses import replace

    from brokers.config import require_secrets
    from brokers.ids import Venue
    from brokers.tradestation.reasons import LoginReason, LoginRefused
    from cli import opening

    config = opening.account(name, file).connection
    if config.account_id.venue is not Venue.TRADESTATION:
        raise LoginRefused(LoginReason.LOGIN_NOT_OFFERED, f"account {config.account_id} is no account of TradeStation")
    require_secrets(config, needs_secret=False)
    return replace(config, secrets_folder=opening.secrets_folder())


def _show(url: str, *, no_browser: bool) -> None:
    import webbrowser

    from cli import output

    if no_browser or not webbrowser.open(url):
        output.say("open this address in a browser and log in:")
    else:
        output.say("a browser was opened; if not, open this address and log in:")
    output.out().print(url, soft_wrap=True)


def _listening(port: int) -> HTTPServer:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from brokers.tradestation.reasons import LoginReason, LoginRefused

    class Callback(BaseHTTPRequestHandler):
        timeout = CALLBACK_S_MAX
        server_version, sys_version = "algotrendy", ""

        def do_GET(self) -> None:
            status, title, words = self.server.came_back(self.path)  # type: ignore[attr-defined]
            body = _page(title, words)
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """The address holds a code: it is written nowhere."""

    try:
        return HTTPServer((LISTEN_HOST, port), Callback)
    except OSError as error:
        raise LoginRefused(
            LoginReason.LOGIN_PORT_TAKEN, f"port {port} cannot be listened on: {error.strerror}"
        ) from error


def _wait(server: HTTPServer, timeout_s: int, finish: Callable[[Mapping[str, str]], Tokens]) -> Tokens:
    """Answer browsers until one brings the login back, or the time is over."""
    from brokers.tradestation.reasons import LoginReason, LoginRefused
    from cli import opening, output

    outcome = _Outcome(finish)
    server.came_back = outcome.came_back  # type: ignore[attr-defined]
    server.timeout = TICK_S
    ends_at_s = opening.CLOCK.monotonic() + timeout_s
    with output.progress("waiting for the browser") as tell:
        told = 0
        while outcome.tokens is None and outcome.error is None:
            left_s = ends_at_s - opening.CLOCK.monotonic()
            if left_s <= 0:
                told_of = f"; {outcome.strangers} answers were to other logins" if outcome.strangers else ""
                raise LoginRefused(LoginReason.LOGIN_TIMED_OUT, f"nobody came back within {timeout_s} s{told_of}")
            if int(left_s) // 30 != told:
                told = int(left_s) // 30
                tell(f"{int(left_s)} s left")
            server.handle_request()
    if outcome.error is not None:
        raise outcome.error
    assert outcome.tokens is not None
    return outcome.tokens


class _Outcome:
    """What the browsers that came back have led to."""

    def __init__(self, finish: Callable[[Mapping[str, str]], Tokens]) -> None:
        self._finish = finish
        self.tokens: Tokens | None = None
        self.error: Exception | None = None
        self.strangers = 0

    def came_back(self, target: str) -> tuple[int, str, str]:
        """The answer to one request: status, title and words of the page."""
        from urllib.parse import parse_qsl

        from brokers.errors import BrokerError
        from brokers.tradestation.reasons import LoginReason, LoginRefused

        query_text = target.partition("?")[2]
        query = dict(parse_qsl(query_text)) if len(query_text) <= QUERY_LENGTH_MAX else {}
        if not {"code", "error", "state"} & query.keys():
            return 404, "Nothing here", "This address waits for a login."
        if self.tokens is not None or self.error is not None:
            return 400, "This login is over", "Close this page."
        try:
            self.tokens = self._finish(query)
        except LoginRefused as error:
            if error.kind is LoginReason.LOGIN_STATE_WRONG:
                self.strangers += 1  # not ours: the login that is under way goes on
            else:
                self.error = error
            return 400, "Not logged in", error.kind.meaning
        except BrokerError as error:
            self.error = error
            return 502, "Not logged in", "The terminal says what went wrong."
        return 200, "Logged in", "You may close this page and go back to the terminal."


def _page(title: str, words: str) -> bytes:
    from html import escape

    return (
        "<!DOCTYPE html><html lang='en'><head><meta charset='utf-8'><title>AlgoTrendy</title></head>"
        "<body style='font-family:sans-serif;max-width:36em;margin:4em auto'>"
        f"<h1>{escape(title)}</h1><p>{escape(words)}</p></body></html>"
    ).encode()
