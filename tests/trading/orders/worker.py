"""A worker process for the kill tests: `python -m tests.trading.orders.worker JSON`.

Submits the orders that it is told and drives them; with `ALGOTRENDY_CRASH_AT` it dies on its way. Limits are those of
production, shortened so that a test does not wait.
"""

from __future__ import annotations

import json
import sys
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import AccountId, Environment, InstrumentId
from brokers.types import OrderRequest, OrderSide, OrderType
from ledger.engine import Ledger
from trading.orders.desk import OrderDesk
from trading.orders.intents import WantedOrder
from trading.orders.protocol import ProtocolLimits
from trading.risk import RiskPolicy

LIMITS = ProtocolLimits(
    lease_s=3.0,
    validity_s=2.0,
    send_by_s=0.9,
    answer_timeout_s=2.0,
    ladder_gap_s=5.0,
    horizon_s=2.0,
    query_every_s=0.3,
    wait_s=0.3,
    cancel_again_s=0.5,
)
ACCOUNT = AccountId.parse("bybit.simulated.main")


def wanted_order(key: str, symbol: str, limit: str | None, reference: Any, ttl_s: float = 300.0) -> WantedOrder:
    request = OrderRequest(
        instrument_id=InstrumentId(symbol),
        side=OrderSide.BUY,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity=Decimal("0.01") if symbol.startswith(("BTC", "ETH")) else Decimal(1),
        limit_price=None if limit is None else Decimal(limit),
    )
    return WantedOrder(ACCOUNT, key, "kill test", request, reference, ttl_s)


def main() -> None:
    told = json.loads(sys.argv[1])
    config = AccountConfig(
        account_id=ACCOUNT,
        api_key=SecretStr("main-key"),
        api_secret=SecretStr("main-secret"),
        base_url=told["url"],
        read_timeout_s=5.0,
        write_timeout_s=5.0,
    )
    clock = SystemClock()
    with Ledger.open(told["ledger"], environment=Environment.SIMULATED) as ledger:
        broker = open_broker(config, clock=clock)
        desk = OrderDesk(
            ledger=ledger,
            broker=broker,
            clock=clock,
            policy=RiskPolicy.for_environment(Environment.SIMULATED),
            worker=told["worker"],
            limits=LIMITS,
        )
        if told.get("sweep"):
            report = desk.sweep()
            assert not report.sightings, report
        ids = []
        for key, symbol, limit in told["orders"]:
            reference = broker.quotes([InstrumentId(symbol)])[0]
            ids.append(desk.submit(wanted_order(key, symbol, limit, reference)).intent_id)
        if told.get("cancel"):
            desk.drive(ids, timeout_s=1.0)
            for intent_id in ids:
                desk.cancel(intent_id, reason="kill test")
        views = desk.drive(ids, timeout_s=told.get("timeout_s", 60.0))
        print(json.dumps([[str(view.intent_id), view.state.value, view.reason] for view in views]))
        broker.close()


if __name__ == "__main__":
    main()
