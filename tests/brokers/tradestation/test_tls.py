"""TLS as production speaks it: a stranger's certificate ends before a byte, a trusted one carries requests and keeps
the connection."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from brokers import transport_httpx
from brokers.clock import SystemClock
from brokers.errors import AnswerTimedOut, ConnectFailed
from brokers.guard import Origin, SendGuard
from brokers.tradestation.client import classify
from brokers.transport_httpx import GuardedTransport
from brokers.wire import WirePhase
from tests.brokers.loopback import eventually, ticket

READ, PLACE = "/v3/brokerage/accounts", "/v3/orderexecution/orders"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    plain = serialization.NoEncryption()
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


class Server:
    """Answers each request with {}; `silent` reads and says nothing."""

    def __init__(self, certificate: Path) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []
        self.silent = False
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(plain,), daemon=True).start()

    def _talk(self, plain: socket.socket) -> None:
        try:
            with self._context.wrap_socket(plain, server_side=True) as sock:
                self.connections += 1
                buffer = b""
                while data := sock.recv(65536):
                    buffer += data
                    head, found, body = buffer.partition(b"\r\n\r\n")
                    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                    if not found or len(body) < (int(length[0].split(b":")[1]) if length else 0):
                        continue
                    self.requests.append(buffer)
                    buffer = b""
                    if not self.silent:
                        sock.sendall(ANSWER)
        except (OSError, ssl.SSLError):
            plain.close()


@pytest.fixture
def server(certificate: Path) -> Iterator[Server]:
    running = Server(certificate)
    yield running
    running.close()


def client_at(server: Server, *, timeout_s: float = 30.0) -> tuple[SendGuard, httpx.Client, str]:
    url = f"https://127.0.0.1:{server.port}"
    origins = frozenset({Origin.of(url)})
    guard = SendGuard(origins=origins, classify=classify, clock=SystemClock(), timeout_s=timeout_s)
    return guard, GuardedTransport(guard).client(), url


def test_a_certificate_that_nobody_signed_ends_before_a_byte(server: Server) -> None:
    guard, client, url = client_at(server)
    leave = ticket()
    with client, pytest.raises(ConnectFailed, match="CERTIFICATE_VERIFY_FAILED"), guard.sending(leave, sha256=""):
        client.post(url + PLACE, content=b"{}")
    assert leave.record.sends == 0 and leave.record.phase is WirePhase.CONNECTING and server.requests == []


def trusting(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        transport_httpx, "verifying_context", lambda: ssl.create_default_context(cafile=str(certificate))
    )


def test_a_trusted_one_carries_an_order_and_is_kept(
    server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting(certificate, monkeypatch)
    guard, client, url = client_at(server)
    with client:
        assert client.get(url + READ).status_code == 200
        with guard.sending(ticket(), sha256="") as record:
            assert client.post(url + PLACE, content=b'{"a":1}').json() == {}
        assert client.get(url + READ).status_code == 200
    assert record.phase is WirePhase.ANSWERED and record.sends == 1
    assert server.connections == 1 and len(server.requests) == 3 and server.requests[1].endswith(b'{"a":1}')


def test_silence_after_the_first_byte_is_cut_off_and_proves_nothing(
    server: Server, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trusting(certificate, monkeypatch)
    guard, client, url = client_at(server)
    leave = ticket(timeout_s=0.4)
    with client:
        client.get(url + READ)  # the handshake has its own time
        server.silent = True
        with pytest.raises(AnswerTimedOut), guard.sending(leave, sha256=""):
            client.post(url + PLACE, content=b"{}")
    assert leave.record.sends == 1
    eventually(lambda: len(server.requests) == 2)
