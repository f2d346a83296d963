"""Wire-level venues on loopback: a matching core, one protocol front per venue, scripted faults, a control API."""

from simulators.bybit.simulator import BybitConfig, build_bybit, running_bybit
from simulators.core.control import Control
from simulators.core.faults import Action, After, Fault, FaultKind, Match
from simulators.core.server import Running
from simulators.demo import demo_config
from simulators.remote import RemoteControl

__all__ = [
    "Action",
    "After",
    "BybitConfig",
    "Control",
    "Fault",
    "FaultKind",
    "Match",
    "RemoteControl",
    "Running",
    "build_bybit",
    "demo_config",
    "running_bybit",
]
