"""The demonstration's alerts: sent to the receiver over HTTP, drained through Prefect, ended at TradeStation.

A buy, its three re-deliveries, one that is stale, one that nobody can read, one that reuses an id for something else,
and an exit. What became of each is read from the ledger, and the orders from the venue itself, past all of our code.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from brokers.ids import Environment
from deployments import alerting
from deployments.home import Home
from deployments.processes import StackFailed
from ledger.engine import Ledger
from ledger.inbox import AlertStore, InboxState
from trading.alerts.overview import AlertLine, read_overview

if TYPE_CHECKING:
    from deployments.stack import Stack
    from flows.reports.model import Report

DEPLOYMENT = "drain-alerts/drain-alerts-simulated"
# The venue that the alerts go to: its account's number there, and the symbol. Another route, another venue.
VENUE_ACCOUNT, SYMBOL, QUANTITY = "SIM123456M", "AAPL", "10"
RE_DELIVERIES = 3
OVER_S_MAX = 60.0
S = InboxState


@dataclass(frozen=True, slots=True)
class Sent:
    """One request and what the receiver answered: the alert's number."""

    name: str
    alert_id: int
    status: int


@dataclass(frozen=True, slots=True)
class AlertsOutcome:
    """What became of the alerts, and what the venue has."""

    home: Home
    sent: tuple[Sent, ...] = ()
    lines: Mapping[int, AlertLine] = field(default_factory=dict)
    venue_orders: tuple[Mapping[str, Any], ...] = ()
    venue_position: str = "0"

    @property
    def checks(self) -> dict[str, bool]:
        """What must hold, each as a sentence."""
        buys = self._of("buy") + self._of("re-delivery")
        buy = self._line("buy")
        return {
            "every alert was stored and answered with 200": bool(self.sent) and {s.status for s in self.sent} == {200},
            f"the buy and its {RE_DELIVERIES} re-deliveries are one alert": len(buys) == 1 + RE_DELIVERIES
            and len({one.alert_id for one in buys}) == 1
            and buy is not None
            and buy.stored.deliveries == 1 + RE_DELIVERIES,
            "the buy is placed, with one order": self._ended("buy", S.PLACED)
            and buy is not None
            and len(buy.orders) == 1,
            "the stale alert expired and made no order": self._ended("stale", S.EXPIRED, orders=0),
            "the malformed alert is kept for a person and made no order": self._ended("malformed", S.POISON, orders=0),
            "the id that was used for something else is a conflict and made no order": self._ended(
                "other content", S.CONFLICT, orders=0
            ),
            "the exit is placed": self._ended("exit", S.PLACED),
            f"TradeStation has one buy and one sell of {QUANTITY} {SYMBOL}, and is flat": self._venue_agrees(),
        }

    def report(self) -> Report:
        """The alerts as the page of the drain shows them, read from the ledger."""
        from flows.reports.alerts import alerts_report

        with _ledger(self.home) as ledger:
            return alerts_report(read_overview(AlertStore(ledger)))

    def _of(self, name: str) -> list[Sent]:
        return [one for one in self.sent if one.name == name]

    def _line(self, name: str) -> AlertLine | None:
        found = self._of(name)
        return self.lines.get(found[0].alert_id) if found else None

    def _ended(self, name: str, state: InboxState, *, orders: int | None = None) -> bool:
        line = self._line(name)
        return line is not None and line.stored.state is state and orders in (None, len(line.orders))

    def _venue_agrees(self) -> bool:
        sides = sorted(str(order["request"]["side"]).lower() for order in self.venue_orders)
        is_filled = all(Decimal(order["filled_qty"]) == Decimal(QUANTITY) for order in self.venue_orders)
        return sides == ["buy", "sell"] and is_filled and Decimal(self.venue_position) == 0


def play(stack: Stack, say: Callable[[str], None]) -> AlertsOutcome:
    """Send the alerts while the drain runs, and wait until each is over."""
    url = alerting.webhook_url(stack.home, stack.addresses.receiver_url)
    now = datetime.now(UTC)
    buy = _body(action="buy", quantity=QUANTITY, id="demo-buy", time=_at(now))
    stale = _body(action="buy", quantity=QUANTITY, id="demo-stale", time=_at(now - timedelta(hours=1)))
    sent = [_post(url, "buy", buy), *(_post(url, "re-delivery", buy) for _ in range(RE_DELIVERIES))]
    sent += [_post(url, "stale", stale), _post(url, "malformed", b'{"v": 1, "symbol": "AAPL", "action": ')]
    _wait_until_over(stack, sent)
    sent.append(_post(url, "other content", _body(action="buy", quantity="99", id="demo-buy", time=_at(now))))
    sent.append(_post(url, "exit", _body(action="exit", id="demo-exit", time=_at(datetime.now(UTC)))))
    lines = _wait_until_over(stack, sent)
    for line in sorted(lines.values(), key=lambda line: line.stored.alert_id):
        stored = line.stored
        orders = "; ".join(f"{v.request.side.value} {v.request.quantity:f} {v.state.value}" for v in line.orders)
        say(f"    alert {stored.alert_id} {line.what}: {stored.state.value} ({stored.reason}) {orders}".rstrip())
    positions = stack.control("positions", venue="tradestation", account=VENUE_ACCOUNT)
    return AlertsOutcome(
        home=stack.home,
        sent=tuple(sent),
        lines=lines,
        venue_orders=tuple(stack.control("orders", venue="tradestation", account=VENUE_ACCOUNT)),
        venue_position=next((row["signed_qty"] for row in positions if row["symbol"] == SYMBOL), "0"),
    )


def _wait_until_over(stack: Stack, sent: list[Sent]) -> dict[int, AlertLine]:
    """The alerts by number, once none of them is under way."""
    wanted = {one.alert_id for one in sent}
    with _ledger(stack.home) as ledger:
        store = AlertStore(ledger)

        def over() -> bool:
            found = {line.alert_id: line.state for line in store.list()}
            return all(not found[number].is_open for number in wanted)

        stack.supervisor.wait_until("every alert of the demonstration", over, timeout_s=OVER_S_MAX)
        overview = read_overview(store)
    return {line.stored.alert_id: line for line in overview.lines if line.stored.alert_id in wanted}


def _ledger(home: Home) -> Ledger:
    return Ledger.open(home.ledger_url(Environment.SIMULATED), environment=Environment.SIMULATED)


def _at(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _body(**fields: str) -> bytes:
    return json.dumps({"v": 1, "symbol": SYMBOL, "strategy": "demo", **fields}).encode()


def _post(url: str, name: str, body: bytes) -> Sent:
    """Send as TradingView does: the body, nothing else. StackFailed when it is not taken."""
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json; charset=utf-8"})  # noqa: S310
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    began = time.monotonic()
    try:
        with opener.open(request, timeout=5) as response:
            return Sent(name, int(json.load(response)["id"]), int(response.status))
    except urllib.error.HTTPError as error:
        took = time.monotonic() - began
        raise StackFailed(f"the receiver answered {error.code} to the alert {name!r} after {took:.1f} s") from error
