"""Binance's countdown: one futures symbol's open orders are cancelled, everybody's, when it is not wound in time.

Source: USDⓈ-M Futures "Auto-Cancel All Open Orders" (weight 10; the example winds 120 s every 30 s; 0 stops the timer).
Of spot there is nothing like it, and of conditional orders, which wait in the algo service, it says nothing.
"""

from __future__ import annotations

from dataclasses import replace

from brokers.binance.fields import row_of
from brokers.binance.profile import CAPABILITIES
from brokers.capabilities import DeadManSwitch
from brokers.config import AccountConfig
from brokers.errors import VerificationFailed
from brokers.fields import text
from brokers.types import ProductKind


def switch_of(config: AccountConfig) -> DeadManSwitch:
    """What the account has of it: nothing, unless its owner lets it cancel every order in a symbol."""
    switch = CAPABILITIES.dead_man
    if not config.dead_man_may_cancel_all_orders:
        return switch
    if ProductKind.LINEAR not in config.products:
        return replace(switch, note="Binance has no dead-man switch for spot orders, and the account trades spot alone")
    stays = "spot orders and stops that wait" if ProductKind.SPOT in config.products else "stops that wait"
    return switch.agreed_to(uncovered=f"{stays} stay")


def require_wound(answer: object, *, symbol: str, countdown_ms: int) -> None:
    """VerificationFailed unless the answer names this symbol and this countdown."""
    row = row_of(answer, "countdownCancelAll")
    shown = (text(row, "symbol"), text(row, "countdownTime"))
    if shown != (symbol, str(countdown_ms)):
        raise VerificationFailed(
            f"the countdown of {symbol} must read {countdown_ms} ms after setting it, was {shown[1]!r} for {shown[0]!r}"
        )
