"""Wire-level venues on loopback: a matching core, one protocol front per venue, scripted faults, a control API."""

from simulators.alpaca.config import AlpacaConfig
from simulators.alpaca.control import AlpacaControl
from simulators.alpaca.simulator import build_alpaca, running_alpaca
from simulators.binance.simulator import BinanceConfig, build_binance, running_binance
from simulators.bybit.simulator import BybitConfig, build_bybit, running_bybit
from simulators.core.control import Control
from simulators.core.faults import Action, After, Fault, FaultKind, Match
from simulators.core.server import Running
from simulators.demo import demo_config, tradestation_demo_config
from simulators.demo_alpaca import alpaca_demo_config
from simulators.demo_binance import binance_demo_config
from simulators.demo_okx import okx_demo_config
from simulators.okx.control import OKXControl
from simulators.okx.simulator import OKXConfig, build_okx, running_okx
from simulators.remote import RemoteControl
from simulators.tradestation.config import TradeStationConfig
from simulators.tradestation.control import TradeStationControl
from simulators.tradestation.simulator import build_tradestation, running_tradestation

__all__ = [
    "Action",
    "After",
    "BinanceConfig",
    "AlpacaConfig",
    "AlpacaControl",
    "BybitConfig",
    "Control",
    "Fault",
    "FaultKind",
    "Match",
    "OKXConfig",
    "OKXControl",
    "RemoteControl",
    "Running",
    "TradeStationConfig",
    "TradeStationControl",
    "binance_demo_config",
    "build_binance",
    "alpaca_demo_config",
    "build_alpaca",
    "build_bybit",
    "build_okx",
    "build_tradestation",
    "demo_config",
    "okx_demo_config",
    "running_binance",
    "running_alpaca",
    "running_bybit",
    "running_okx",
    "running_tradestation",
    "tradestation_demo_config",
]
