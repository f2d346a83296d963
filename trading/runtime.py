"""What every job of one account works with."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brokers.clock import Clock
from brokers.ids import AccountId
from brokers.port import Broker
from ledger.engine import Ledger

if TYPE_CHECKING:
    from trading.orders import OrderDesk


def _worker() -> str:
    return f"job-{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Runtime:
    """One account's broker, ledger and order desk. `worker` names who holds the lease of a plan."""

    account_id: AccountId
    ledger: Ledger
    broker: Broker
    desk: OrderDesk
    clock: Clock
    worker: str = field(default_factory=_worker)

    def __post_init__(self) -> None:
        if self.broker.account_id != self.account_id:
            raise ValueError(f"the broker must be of account {self.account_id}, was {self.broker.account_id}")
