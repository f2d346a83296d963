"""Bybit as `python -m simulators` runs it."""

from simulators.bybit.simulator import BybitConfig, build_bybit
from simulators.demo import demo_config
from simulators.row import Row

ROW = Row(config=BybitConfig, demo=demo_config, build=build_bybit)
