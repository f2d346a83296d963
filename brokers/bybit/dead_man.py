"""Bybit's disconnection protection (DCP): all orders of a product are cancelled when our last websocket has been gone.

Sources: V5 "Set Disconnect Cancel All", "Get DCP Info", "Dcp". The time is the account's setting, one per product, and
stays. Bybit switches protection on by hand, for institutional clients only: an account that it is not switched on for
is shown none. A setting takes about ten seconds to show; the protection of conditional orders is not documented.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from brokers.bybit.fields import Row, listed, required, text
from brokers.bybit.profile import CAPABILITIES, PRIVATE_STREAM
from brokers.bybit.stream import PrivateStream
from brokers.capabilities import DeadManSwitch
from brokers.clock import Clock
from brokers.config import AccountConfig
from brokers.errors import PermissionRefused, Unsupported
from brokers.types import ProductKind

CHECKED_EVERY_S = 60.0
SHOWN_AFTER_S = 10.0  # "the system needs a certain time to take effect"
ASKED_EVERY_S = 2.0
_PRODUCTS = {ProductKind.LINEAR: "DERIVATIVES", ProductKind.SPOT: "SPOT"}
_TOPICS = {ProductKind.LINEAR: "dcp.future", ProductKind.SPOT: "dcp.spot"}
Call = Callable[..., Any]


def switch_of(config: AccountConfig) -> DeadManSwitch:
    """What the account has of it: nothing, unless its owner lets it cancel every order of the account."""
    switch = CAPABILITIES.dead_man
    if not config.dead_man_may_cancel_all_orders:
        return switch
    return switch.agreed_to(uncovered="stops that wait may stay")


class DisconnectionProtection:
    """One account's: the time as it is set, and the websocket that holds it off. It makes no request until asked."""

    def __init__(
        self, config: AccountConfig, *, base_url: str, read: Callable[[], Row], write: Callable[..., None], clock: Clock
    ) -> None:
        """`read` gives the result of query-dcp-info, `write` sends product and timeWindow."""
        self._account_id = config.account_id
        self._products = tuple(_PRODUCTS[product] for product in sorted(config.products))
        self._read = read
        self._write = write
        self._clock = clock
        self._stream = PrivateStream(
            url=stream_url(config, base_url=base_url),
            api_key=config.api_key.get_secret_value(),
            api_secret=config.api_secret.get_secret_value(),
            topics=tuple(_TOPICS[product] for product in sorted(config.products)),
            clock=clock,
        )
        self._shown = (0, float("-inf"))  # the time that the venue showed of each product, and when to ask again
        self._set_at_s = float("-inf")
        self._is_allowed = False

    def keep(self, timeout_s: int, *, offset: timedelta) -> bool:
        """Whether the venue shows this time and the websocket stands.

        PermissionRefused where Bybit has not switched protection on; what the stream raises where it cannot be opened.
        """
        if self._is_allowed:
            self._stream.keep(offset=offset)  # first: what REST answers, or does not, must not let it be cut off
        is_shown = self._shows(timeout_s)
        self._is_allowed = True
        self._stream.keep(offset=offset)  # also while the new time does not show: the old one counts until then
        return is_shown

    def close(self) -> None:
        self._stream.shut()

    def _shows(self, timeout_s: int) -> bool:
        now_s = self._clock.monotonic()
        if now_s < self._shown[1]:
            return self._shown[0] == timeout_s
        times = self._times()
        differing = [product for product in self._products if times[product] != str(timeout_s)]
        self._shown = (0, now_s + ASKED_EVERY_S) if differing else (timeout_s, now_s + CHECKED_EVERY_S)
        if differing and now_s - self._set_at_s >= SHOWN_AFTER_S:
            for product in differing:
                self._write(product=product, timeWindow=timeout_s)
            self._set_at_s = now_s
        return not differing

    def _times(self) -> dict[str, str]:
        rows = listed(self._read(), "dcpInfos")
        found = {required(row, "product"): text(row, "timeWindow") for row in rows if text(row, "dcpStatus") == "ON"}
        missing = [product for product in self._products if product not in found]
        if missing:
            raise PermissionRefused(
                f"Bybit has not switched disconnection protection on for {', '.join(missing)} of {self._account_id}: "
                "its client manager does, for institutional clients; nothing cancels these orders when nobody watches"
            )
        return found


def stream_url(config: AccountConfig, *, base_url: str) -> str:
    """The origin of the private websocket; Unsupported where none is documented for the account's host."""
    try:
        return CAPABILITIES.other_url(
            PRIVATE_STREAM, environment=config.account_id.environment, host=config.host, base_url=base_url
        )
    except KeyError:
        raise Unsupported(
            f"dead_man_may_cancel_all_orders of {config.account_id} must be left out: no private websocket is "
            f"documented for Bybit's host {config.host!r}"
        ) from None
