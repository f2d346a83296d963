"""TradeStation as `python -m simulators` runs it."""

from simulators.demo import tradestation_demo_config
from simulators.row import Row
from simulators.tradestation.config import TradeStationConfig
from simulators.tradestation.control import TradeStationControl
from simulators.tradestation.simulator import build_tradestation


def _sign_in(config: TradeStationConfig) -> dict[str, object]:
    """The clients, and the accounts that each of them owns."""
    every = [account.name for account in config.accounts]
    clients = [
        {
            "client_id": client.client_id,
            "client_secret": client.client_secret,
            "refresh_tokens": client.refresh_tokens,
            "accounts": client.accounts or every,
        }
        for client in config.clients
    ]
    return {"clients": clients}


ROW = Row(
    config=TradeStationConfig,
    demo=tradestation_demo_config,
    build=build_tradestation,
    control=TradeStationControl,
    sign_in=_sign_in,
)
