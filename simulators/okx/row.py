"""OKX as `python -m simulators` runs it."""

from simulators.demo_okx import okx_demo_config
from simulators.okx.control import OKXControl
from simulators.okx.simulator import OKXConfig, build_okx
from simulators.row import Row

ROW = Row(config=OKXConfig, demo=okx_demo_config, build=build_okx, control=OKXControl)
