"""The single send point: an intent puts at most one order on a venue, and none is lost.

`OrderDesk` is what jobs use. Names are loaded when asked for, so that the pure modules (`protocol`, `moves`,
`progress`, `identity`) can be imported without a database.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trading.orders.deciding import Verdict
    from trading.orders.desk import OrderDesk, SweepReport
    from trading.orders.intents import IntentView, TermsConflict, UnknownIntent, WantedOrder
    from trading.orders.protocol import ProtocolLimits
    from trading.orders.reasons import OrderReason

__all__ = [
    "IntentView",
    "OrderDesk",
    "OrderReason",
    "ProtocolLimits",
    "SweepReport",
    "TermsConflict",
    "UnknownIntent",
    "Verdict",
    "WantedOrder",
]

_HOME = {
    "IntentView": "intents",
    "OrderDesk": "desk",
    "OrderReason": "reasons",
    "ProtocolLimits": "protocol",
    "SweepReport": "desk",
    "TermsConflict": "intents",
    "UnknownIntent": "intents",
    "Verdict": "deciding",
    "WantedOrder": "intents",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
