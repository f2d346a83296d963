"""What may be moved at OKX beyond the core's levers: account modes, instrument states, announced maintenance."""

from typing import Any

from simulators.core.control import Control, ControlError, exposed
from simulators.okx.desk import AccountLevel, Desk
from simulators.okx.front import OKXFront

INSTRUMENT_STATES = ("live", "suspend", "preopen", "test", "rebase", "post_only")
MAINTENANCE_STATES = ("scheduled", "ongoing", "pre_open", "completed", "canceled")


class OKXControl(Control):
    """The control API of an OKX simulator."""

    @property
    def _desk(self) -> Desk:
        front = self._simulator.front
        assert isinstance(front, OKXFront)
        return front.desk

    @exposed("POST")
    def set_account_level(self, account: str, level: str) -> None:
        """Switch an account's mode, as its human would: 1 spot, 2 futures, 3 multi-currency, 4 portfolio margin."""
        with self._simulator.lock:
            try:
                self._desk.set_level(self._account(account).name, AccountLevel(level))
            except ValueError:
                raise ControlError(f"level must be one of 1, 2, 3, 4, was {level!r}") from None

    @exposed("POST")
    def set_state(self, symbol: str, state: str) -> None:
        """Put an instrument into a state: only live ones take all orders, post_only ones take those."""
        if state not in INSTRUMENT_STATES:
            raise ControlError(f"state must be one of {', '.join(INSTRUMENT_STATES)}, was {state!r}")
        with self._simulator.lock:
            listed = sorted(i.symbol for i in self._simulator.venue.instruments.values())
            if symbol not in listed:
                raise ControlError(f"unknown symbol {symbol!r}; listed are {listed}")
            self._desk.states[symbol] = state

    @exposed("POST")
    def announce(self, state: str, begin_ms: int, end_ms: int, title: str = "System upgrade") -> dict[str, Any]:
        """Announce maintenance in system/status, in place of an earlier one; nothing else changes."""
        if state not in MAINTENANCE_STATES:
            raise ControlError(f"state must be one of {', '.join(MAINTENANCE_STATES)}, was {state!r}")
        row: dict[str, Any] = {
            "title": title,
            "state": state,
            "begin": str(begin_ms),
            "end": str(end_ms),
            "preOpenBegin": "",
            "href": "",
            "serviceType": "5",
            "system": "unified",
            "scheDesc": "",
            "maintType": "1",
            "env": "1",
        }
        with self._simulator.lock:
            self._desk.maintenance[:] = [row]
        return row
