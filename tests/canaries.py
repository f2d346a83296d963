"""Secrets that must turn up nowhere, and the search for them in every form in which a secret could leak."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote, quote_plus

FILE_BYTES_MAX = 64_000_000
FLOWS_SECRET = "canary-7f3a9-never-in-any-log"  # of every account at the stack's simulator
LOOPBACK_SECRET = "loopback-secret-111"  # of every account at a scripted server
LOOPBACK_CLIENT_SECRET = "loopback-client-secret-000"  # of every TradeStation client at a scripted server
LOOPBACK_PASSPHRASE = "loopback-passphrase-222"  # of every OKX account at a scripted server
SUITE_SECRETS = (FLOWS_SECRET, LOOPBACK_SECRET, LOOPBACK_CLIENT_SECRET, LOOPBACK_PASSPHRASE)


def forms(secret: str) -> frozenset[bytes]:
    """Plain, url-encoded, and base64 (both alphabets) wherever in a longer text the secret may stand."""
    plain = {secret.encode(), quote(secret, safe="").encode(), quote_plus(secret).encode()}
    found = set(plain)
    for text in plain:
        for offset in range(3):
            coded = base64.b64encode(b"\0" * offset + text)
            # The first and the last characters depend on the neighbours, so they are not searched for.
            whole = coded[(offset * 8 + 5) // 6 : (offset + len(text)) * 8 // 6]
            found |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    assert min(map(len, found)) >= 12, "a canary must be long enough to be told from chance"
    return frozenset(found)


def leaks(data: bytes | str, secrets: Iterable[str]) -> list[str]:
    """The secrets that stand in the data in any form."""
    searched = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    return [secret for secret in secrets if any(form in searched for form in forms(secret))]


def leaking_files(folder: Path, secrets: Iterable[str], *, except_names: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every file below the folder that holds one of the secrets."""
    told = {secret: forms(secret) for secret in secrets}
    for file in sorted(folder.rglob("*")):
        try:
            if file.is_symlink() or not file.is_file() or file.name in except_names:
                continue
            if file.stat().st_size > FILE_BYTES_MAX:
                continue
            data = file.read_bytes()
        except OSError:
            continue  # a socket, or gone meanwhile
        for secret, written in told.items():
            if any(form in data for form in written):
                yield f"{file}: {secret[:6]}…"
