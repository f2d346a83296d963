"""`algotrendy login tradestation` against the simulated login: a browser of ours goes the way of a person's."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from cli import login as login_module
from cli.main import main
from deployments import ports
from simulators import Running, TradeStationControl, running_tradestation
from simulators.testing import small_tradestation_config
from simulators.tradestation.config import ClientConfig

ACCOUNTS = """
accounts:
  - venue: tradestation
    environment: simulated
    name: equities
    credentials: {{api_key: {client}, api_secret: {client_secret}}}
    venue_account: SIM123456M
    products: [equity]
    base_url: {url}
  - venue: bybit
    environment: simulated
    name: main
    credentials: {{api_key: main-key, api_secret: main-secret}}
"""
ACCOUNT = ("--account", "tradestation-simulated-equities")


def client(**changes: Any) -> ClientConfig:
    fields: dict[str, Any] = {
        "client_id": "login-id",
        "client_secret": "login-secret",
        "accounts": ("SIM123456M",),
        "redirect_uris": ("http://localhost:*",),
    }
    return ClientConfig(**{**fields, **changes})


@pytest.fixture
def consents() -> bool:
    return True


@pytest.fixture
def sim(consents: bool) -> Iterator[Running[TradeStationControl]]:
    with running_tradestation(small_tradestation_config(clients=(client(consents=consents),))) as running:
        yield running


@pytest.fixture
def file(sim: Running[TradeStationControl], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ALGOTRENDY_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("ALGOTRENDY_SECRETS", raising=False)
    written = tmp_path / "accounts.yaml"
    written.write_text(ACCOUNTS.format(client="login-id", client_secret="login-secret", url=sim.url))
    return written


@pytest.fixture
def port() -> int:
    return ports.pick(1)[0]


class Person:
    """Opens what the command would open, as a browser does: follows redirects, keeps the pages."""

    def __init__(self, way: Callable[[str], list[str]]) -> None:
        self._way = way
        self.opened: list[str] = []
        self.pages: list[requests.Response] = []
        self._thread: threading.Thread | None = None

    def open(self, url: str) -> bool:
        self.opened.append(url)

        def go() -> None:
            with requests.Session() as session:
                session.trust_env = False
                for address in self._way(url):
                    self.pages.append(session.get(address, timeout=10))

        self._thread = threading.Thread(target=go)
        self._thread.start()
        return True

    def done(self) -> None:
        if self._thread is not None:
            self._thread.join(timeout=10)


def command(file: Path, port: int, *more: str) -> list[str]:
    return ["login", "tradestation", *ACCOUNT, "--accounts", str(file), "--port", str(port), *more]


def goes_with(monkeypatch: pytest.MonkeyPatch, way: Callable[[str], list[str]]) -> Person:
    person = Person(way)
    monkeypatch.setattr("webbrowser.open", person.open)
    return person


def test_a_person_logs_in_and_the_account_can_be_checked(
    file: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person = goes_with(monkeypatch, lambda url: [f"http://127.0.0.1:{port}/favicon.ico", url])
    assert main(command(file, port)) == 0
    person.done()
    said = capsys.readouterr()
    assert "logged in for tradestation.simulated.equities" in said.err and "Trade" in said.err
    favicon, last = person.pages
    assert favicon.status_code == 404 and last.status_code == 200 and "Logged in" in last.text
    assert last.history[0].status_code == 302 and f"localhost:{port}" in last.history[0].headers["location"]
    code = re.search("code=([^&]+)", last.history[0].headers["location"])
    assert code is not None and code[1] not in said.out + said.err + last.text
    (stored,) = (file.parent / "home" / "secrets" / "tradestation").glob("*.json")
    assert stored.stat().st_mode & 0o777 == 0o600 and "login-secret" not in stored.read_text()
    assert main(["accounts", "check", *ACCOUNT, "--accounts", str(file)]) == 0
    assert "SIM123456M" in capsys.readouterr().out


def test_without_a_browser_the_address_is_printed(
    file: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person = Person(lambda url: [url])
    show = login_module._show

    def shown(url: str, *, no_browser: bool) -> None:
        show(url, no_browser=no_browser)
        person.open(url)

    monkeypatch.setattr(login_module, "_show", shown)
    monkeypatch.setattr("webbrowser.open", lambda _: pytest.fail("no browser was asked for"))
    assert main(command(file, port, "--no-browser")) == 0
    person.done()
    said = capsys.readouterr()
    assert person.opened[0] in said.out.replace("\n", "") and "open this address" in said.err


def test_an_answer_to_another_login_is_not_taken(
    file: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stranger = f"http://127.0.0.1:{port}/?code=stolen&state=guess"
    person = goes_with(monkeypatch, lambda url: [stranger, url])
    assert main(command(file, port)) == 0
    person.done()
    assert [page.status_code for page in person.pages] == [400, 200]
    assert "another login" in person.pages[0].text


def test_nobody_comes(
    file: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    goes_with(monkeypatch, lambda url: [])
    assert main(command(file, port, "--timeout", "1")) == 3
    said = capsys.readouterr().err
    assert "LOGIN_TIMED_OUT" in said and "within 1 s" in said
    with socket.create_server(("127.0.0.1", port)):
        pass  # the port is free again


@pytest.mark.parametrize("consents", [False])
def test_a_person_declines(
    file: Path, port: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    person = goes_with(monkeypatch, lambda url: [url])
    assert main(command(file, port)) == 3
    person.done()
    assert "LOGIN_DENIED" in capsys.readouterr().err and person.pages[0].status_code == 400


def test_a_login_host_that_fails_leaves_nothing(
    file: Path,
    port: int,
    sim: Running[TradeStationControl],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sim.control.fault("status", path="/oauth/token", status=503)
    person = goes_with(monkeypatch, lambda url: [url])
    assert main(command(file, port)) == 6
    person.done()
    assert person.pages[0].status_code == 502 and "VENUE_FAULTED" in capsys.readouterr().err
    assert list((file.parent / "home" / "secrets" / "tradestation").glob("*.json")) == []


def test_a_port_in_use_and_another_venue_are_refused(file: Path, port: int, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", port)):
        assert main(command(file, port)) == 3
    assert "LOGIN_PORT_TAKEN" in capsys.readouterr().err
    other = ["login", "tradestation", "--account", "bybit-simulated-main", "--accounts", str(file)]
    assert main(other) == 3 and "LOGIN_NOT_OFFERED" in capsys.readouterr().err


def test_before_a_login_every_job_says_what_to_do(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["balances", *ACCOUNT, "--accounts", str(file)]) == 3
    said = capsys.readouterr().err
    assert "LOGIN_NEEDED" in said and "algotrendy login tradestation" in said
