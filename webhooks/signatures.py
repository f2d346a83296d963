"""Signed alerts of senders of our own, after Standard Webhooks (https://www.standardwebhooks.com).

TradingView cannot sign. A source that stands in the secrets file must: `webhook-id`, `webhook-timestamp` and
`webhook-signature` then hold for the body, or the alert is refused. A source may have two secrets while it changes
from one to the other.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from standardwebhooks import Webhook, WebhookVerificationError
from standardwebhooks.webhooks import EmptyWebhookSecretError

from webhooks.reasons import ReceiverReason
from webhooks.settings import ReceiverRefused

SECRET_BYTES_MIN = 24  # of the specification


class Signatures:
    """Which sources must sign, and whether they did."""

    def __init__(self, secrets: Mapping[str, tuple[Webhook, ...]] | None = None) -> None:
        self._secrets = dict(secrets or {})

    @property
    def sources(self) -> tuple[str, ...]:
        return tuple(sorted(self._secrets))

    def holds(self, source: str, headers: Mapping[str, str], raw: bytes) -> bool:
        """True for a source that need not sign."""
        if source not in self._secrets:
            return True
        return any(_is_signed(secret, headers, raw) for secret in self._secrets[source])

    @classmethod
    def load(cls, file: Path) -> Signatures:
        """From a YAML file of source to `whsec_…` or a list of them. Raises ReceiverRefused."""
        if file.stat().st_mode & 0o077:
            raise _refused(f"{file} holds secrets and others may read it; run chmod 600 on it", str(file))
        try:
            found = yaml.safe_load(file.read_text())
        except (yaml.YAMLError, UnicodeDecodeError):
            raise _refused(f"{file} is not YAML of source to secret", str(file)) from None  # the cause quotes the file
        if not isinstance(found, dict) or not all(isinstance(source, str) for source in found):
            raise _refused(f"{file} must map sources to secrets", str(file))
        return cls({source: _webhooks(file, source, given) for source, given in found.items()})


def _is_signed(secret: Webhook, headers: Mapping[str, str], raw: bytes) -> bool:
    try:
        secret.verify(raw, dict(headers), json_parse=False)
    except (WebhookVerificationError, ValueError):  # ValueError: a header or a body that is no text
        return False
    return True


def _webhooks(file: Path, source: str, given: Any) -> tuple[Webhook, ...]:
    secrets = given if isinstance(given, list) else [given]
    if not 1 <= len(secrets) <= 2:
        raise _refused(f"{file}: source {source!r} needs one secret, or two while it changes", source)
    return tuple(_webhook(file, source, secret) for secret in secrets)


def _webhook(file: Path, source: str, secret: Any) -> Webhook:
    try:
        size = len(binascii.a2b_base64(str(secret).removeprefix("whsec_") + "=="))
        if size >= SECRET_BYTES_MIN:
            return Webhook(str(secret))
    except (ValueError, EmptyWebhookSecretError):
        size = 0
    raise _refused(
        f"{file}: a secret of source {source!r} must be whsec_ and base64 of at least {SECRET_BYTES_MIN} bytes, "
        f"was of {size}",
        source,
    )


def _refused(message: str, value: str) -> ReceiverRefused:
    return ReceiverRefused(message, field="--signing-secrets", value=value, reason=ReceiverReason.SETTING_REFUSED)
