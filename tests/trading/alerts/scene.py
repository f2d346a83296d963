"""Alerts on a modelled venue: a ledger, a queue, a desk and a clock that moves only when told."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from brokers.clock import ManualClock
from brokers.ids import AccountId, ClientOrderId, Environment
from brokers.types import OrderRequest, OrderSide, OrderStatus, OrderType, PositionSide
from ledger.engine import Ledger
from ledger.inbox import Admission, AlertStore, Delivery, InboxState, StoredAlert
from ledger.invariants import check_record
from tests.trading.orders.modelled import BTC, ModelVenue, Truth
from trading.alerts import Alert, AlertAction, AlertConfig, Dialect, Route, Source
from trading.alerts.handling import handle
from trading.alerts.handling_model import Handled, HandlingLimits, Tools
from trading.alerts.review_client import Reviewer
from trading.alerts.routing import BareAction, RouteAction
from trading.orders import OrderDesk, ProtocolLimits
from trading.risk import RiskPolicy
from trading.runtime import Runtime

D = Decimal
S = InboxState
POLICY = RiskPolicy.for_environment(Environment.SIMULATED)
LONG, SHORT, FLAT = PositionSide.LONG, PositionSide.SHORT, PositionSide.FLAT


def no_reviewer(question: Any, rule: Any) -> Any:
    raise AssertionError("nobody is to be asked")


class Scene:
    """What a test plays on. A `worker` is a process of its own: its desk knows nothing but the ledger."""

    def __init__(self, ledger: Ledger, venue: ModelVenue, clock: ManualClock) -> None:
        self.ledger, self.venue, self.clock = ledger, venue, clock
        self.store = AlertStore(ledger, free_bytes=lambda: 10**12)
        self.route_changes: dict[str, Any] = {}
        self.policy = POLICY
        self.review: Reviewer = no_reviewer
        self.limits = HandlingLimits()
        self.protocol = ProtocolLimits()
        self.dry_run = False
        self.account_error: Exception | None = None
        self.is_stopping: Callable[[], bool] = lambda: False
        self._runtimes: dict[str, Runtime] = {}
        self._bodies: dict[bytes, Alert] = {}

    # -- alerts -------------------------------------------------------------------------------------------------
    @property
    def config(self) -> AlertConfig:
        fields: dict[str, Any] = {
            "name": "btc",
            "source": "tv",
            "symbol": "BTCUSDT.P",
            "account": str(self.venue.account_id),
            "instrument": str(BTC),
            "quantity_max": "1",
            "actions": frozenset(RouteAction),
            "bare_action": BareAction.DIRECTION,
        }
        return AlertConfig(sources=(Source(name="tv"),), routes=(Route(**{**fields, **self.route_changes}),))

    def send(self, action: AlertAction = AlertAction.BUY, *, ttl_s: float | None = None, **changes: Any) -> int:
        """One alert, received and admitted; its number."""
        fields: dict[str, Any] = {
            "source": "tv",
            "dialect": Dialect.ALGOTRENDY,
            "action": action,
            "symbol": "BTCUSDT.P",
            "symbol_raw": "BTCUSDT.P",
            "event_time": self.clock.now(),
        }
        if action.is_order or action is AlertAction.REVERSE:
            fields["quantity"] = D("0.01")
        alert = Alert(**{**fields, **changes})
        raw = f"body {len(self._bodies) + 1}".encode()
        self._bodies[raw] = alert
        (receipt,) = self.store.receive([Delivery(source="tv", raw=raw, received_at=self.clock.now())])

        def read(stored: StoredAlert) -> Admission:
            own = self._bodies[stored.raw]
            ttl = self.config.routes[0].ttl_s(own) if ttl_s is None else ttl_s
            return Admission(
                state=S.QUEUED,
                reason="READY_TO_TRADE",
                account_id=str(self.venue.account_id),
                instrument_id=str(BTC),
                strategy=own.strategy,
                is_exit=own.is_exit,
                expires_at=stored.received_at + timedelta(seconds=ttl),
                parsed=own.to_json(),
            )

        assert self.store.admit(read, worker="reader") == 1
        return receipt.alert_id

    # -- working ------------------------------------------------------------------------------------------------
    def runtime(self, worker: str = "first") -> Runtime:
        if worker not in self._runtimes:
            desk = OrderDesk(
                ledger=self.ledger,
                broker=self.venue,
                clock=self.clock,
                policy=self.policy,
                worker=worker,
                limits=self.protocol,
                dry_run=self.dry_run,
            )
            account_id = self.venue.account_id
            self._runtimes[worker] = Runtime(
                account_id=account_id, ledger=self.ledger, broker=self.venue, desk=desk, clock=self.clock
            )
        return self._runtimes[worker]

    def tools(self, worker: str = "first") -> Tools:
        def account(account_id: AccountId) -> Runtime:
            if self.account_error is not None:
                raise self.account_error
            return self.runtime(worker)

        return Tools(
            store=self.store,
            accounts=account,
            config=self.config,
            review=self.review,
            limits=self.limits,
            is_stopping=self.is_stopping,
        )

    def work(self, worker: str = "first") -> Handled | None:
        """Claim what is due and handle it; None when nothing is."""
        claim = self.store.claim(worker=worker)
        return None if claim is None else handle(claim, self.tools(worker))

    def work_until_over(self, alert_id: int, *, worker: str = "second", seconds_max: float = 900) -> StoredAlert:
        """Let time pass and work on whatever is due, until the alert is over or asks a person."""
        for _ in range(int(seconds_max)):
            stored = self.store.show(alert_id)
            if not stored.state.is_open:
                return stored
            if self.work(worker) is None:
                self.clock.wait(1)
        raise AssertionError(f"alert {alert_id} is still {self.store.show(alert_id).state}")

    # -- truth --------------------------------------------------------------------------------------------------
    @property
    def position(self) -> Decimal:
        return sum((f.side.sign * f.quantity for order in self.venue.orders for f in order.fills), D(0))

    def hold(self, quantity: str) -> None:
        """A position that somebody opened by hand."""
        side = OrderSide.BUY if D(quantity) > 0 else OrderSide.SELL
        request = OrderRequest(instrument_id=BTC, side=side, order_type=OrderType.MARKET, quantity=abs(D(quantity)))
        self.by_hand(request)

    def by_hand(self, request: OrderRequest) -> Truth:
        prepared = self.venue.prepare_order(request, ClientOrderId(f"hand-{len(self.venue.orders)}"))
        order = self.venue._accept(prepared, self.venue.now() + timedelta(seconds=5), at=self.venue.now())
        assert order is not None
        return order

    def ours(self) -> list[Truth]:
        return [order for order in self.venue.orders if not (order.client_order_id or "").startswith("hand-")]

    def open_orders(self) -> list[Truth]:
        return [order for order in self.ours() if order.status in (OrderStatus.WORKING, OrderStatus.PARTIALLY_FILLED)]

    def reasons(self, alert_id: int) -> list[str]:
        return [event.reason for event in self.store.events(alert_id)]

    def check(self) -> None:
        """The ledger's own invariants of intents and sends."""
        with self.ledger.read() as session:
            assert check_record(session) == ()


def open_scene(folder: Path, template: Path, clock: ManualClock) -> tuple[Ledger, Scene]:
    """A scene on a copy of a migrated ledger."""
    shutil.copy(template, folder / "ledger.db")
    url = f"sqlite:///{folder / 'ledger.db'}"
    ledger = Ledger.open(url, environment=Environment.SIMULATED, clock=clock)
    return ledger, Scene(ledger, ModelVenue(clock), clock)
