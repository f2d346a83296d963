"""Ids that can be made again from nothing but the intent: no clock, no randomness, no database.

A client order id is 128 bits: 16-bit installation tag, 1 pool bit (production or not), 7-bit attempt number, 104 bits
of the intent's hash. It is rendered for the venue as 32 hex digits, as a UUID, or as 22 base-62 digits.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from brokers.capabilities import OrderIdentity
from brokers.ids import AccountId, ClientOrderId, IntentId

ATTEMPT_MAX = 127
TAG_MAX = 0xFFFF
_DIGEST_BITS = 104
_BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_HEX32 = re.compile(r"[0-9a-f]{32}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BASE62_22 = re.compile(r"[0-9A-Za-z]{22}")
_SAMPLE_HEX = "0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Mark:
    """What a client order id of ours says about itself."""

    tag: int
    is_production: bool
    attempt: int
    digest: int

    def __post_init__(self) -> None:
        if not 0 <= self.tag <= TAG_MAX:
            raise ValueError(f"installation tag must fit 16 bits, was {self.tag}")
        if not 1 <= self.attempt <= ATTEMPT_MAX:
            raise ValueError(f"attempt must be 1 to {ATTEMPT_MAX}, was {self.attempt}")

    @property
    def number(self) -> int:
        head = self.tag << 8 | int(self.is_production) << 7 | self.attempt
        return head << _DIGEST_BITS | self.digest


def make_intent_id(account_id: AccountId, business_key: str) -> IntentId:
    """The same account and business key always give the same intent."""
    if not business_key.strip():
        raise ValueError("business_key must be non-empty text: it is what makes a repeated request harmless")
    return IntentId(hashlib.sha256(f"{account_id}\n{business_key}".encode()).hexdigest()[:32])


def make_client_order_id(
    intent_id: IntentId, *, attempt: int, tag: int, is_production: bool, identity: OrderIdentity
) -> ClientOrderId:
    """The id of one attempt, within the venue's length and alphabet; ValueError where it cannot carry 128 bits."""
    digest = int.from_bytes(hashlib.sha256(str(intent_id).encode()).digest()[: _DIGEST_BITS // 8], "big")
    return ClientOrderId(render(Mark(tag, is_production, attempt, digest).number, identity))


def render(number: int, identity: OrderIdentity) -> str:
    """Write 128 bits the way the venue takes them."""
    assert 0 <= number < 1 << 128
    length, allows = identity.client_id_length_max, _allowed(identity.client_id_alphabet)
    if identity.client_id_alphabet == "uuid":
        return _as_uuid(number)
    if length == 0 or (length >= 32 and allows(_SAMPLE_HEX)):  # length 0: the venue carries no id, ours is local
        return f"{number:032x}"
    if length >= 22 and allows(_BASE62):
        return _as_base62(number)
    raise ValueError(
        f"client_id_length_max must be at least 32 (hex) or 22 (base 62) to carry 128 bits, was {length} "
        f"with alphabet {identity.client_id_alphabet!r}; give the venue its own id scheme"
    )


def read_mark(text: str) -> Mark | None:
    """Read a client order id in any of our renderings; None when it cannot be one of ours."""
    number = _number_of(text)
    if number is None:
        return None
    head = number >> _DIGEST_BITS
    attempt = head & 0x7F
    if attempt == 0:
        return None
    return Mark(head >> 8, bool(head & 0x80), attempt, number & ((1 << _DIGEST_BITS) - 1))


def is_ours(client_order_id: ClientOrderId | str | None, tag: int) -> bool:
    """Whether an order at the venue carries this installation's tag."""
    if client_order_id is None:
        return False
    mark = read_mark(str(client_order_id))
    return mark is not None and mark.tag == tag


def is_of_production(client_order_id: ClientOrderId | str) -> bool:
    """The pool bit of an id of ours: whether a production pool made it."""
    mark = read_mark(str(client_order_id))
    return mark is not None and mark.is_production


def _number_of(text: str) -> int | None:
    if _HEX32.fullmatch(text) or _UUID.fullmatch(text):
        return int(text.replace("-", ""), 16)
    if _BASE62_22.fullmatch(text):
        number = 0
        for digit in text:
            number = number * 62 + _BASE62.index(digit)
        return number if number < 1 << 128 else None
    return None


def _as_uuid(number: int) -> str:
    text = f"{number:032x}"
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


def _as_base62(number: int) -> str:
    digits = []
    for _ in range(22):
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def _allowed(alphabet: str) -> Callable[[str], bool]:
    """Whether every character of a text is in an alphabet written as the inside of a regex class."""
    inner = alphabet.removeprefix("[").removesuffix("]")
    pattern = re.compile(f"[{inner}]+") if inner else None
    return lambda text: pattern is not None and pattern.fullmatch(text) is not None
