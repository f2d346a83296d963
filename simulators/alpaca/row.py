"""Alpaca as `python -m simulators` runs it."""

from simulators.alpaca.config import AlpacaConfig
from simulators.alpaca.control import AlpacaControl
from simulators.alpaca.simulator import build_alpaca
from simulators.demo_alpaca import alpaca_demo_config
from simulators.row import Row

ROW = Row(config=AlpacaConfig, demo=alpaca_demo_config, build=build_alpaca, control=AlpacaControl)
