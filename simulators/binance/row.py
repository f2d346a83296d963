"""Binance's row in the table of simulated venues."""

from simulators.binance.simulator import BinanceConfig, build_binance
from simulators.demo_binance import binance_demo_config
from simulators.row import Row

ROW = Row(config=BinanceConfig, demo=binance_demo_config, build=build_binance)
