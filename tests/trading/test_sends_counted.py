"""The transport's own count on a real HTTP path: an adapter that goes around its ticket halts everything at once."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from brokers.ids import ClientOrderId
from brokers.types import OrderAck, OrderRequest, OrderSide, OrderType, PreparedOrder
from brokers.wire import SendTicket, WireRecord
from ledger.controls import current_control
from ledger.states import ControlState, IntentState
from tests.trading.simulated import ACCOUNT, ids, stage
from trading.orders import WantedOrder
from trading.orders.reasons import OrderReason


def test_a_second_order_under_a_ticket_of_its_own_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stage(tmp_path) as scene:
        runtime = scene.runtime
        broker, desk = runtime.broker, runtime.desk
        (instrument_id,) = ids("BTC/USDT:USDT")
        request = OrderRequest(instrument_id, OrderSide.BUY, OrderType.MARKET, Decimal("0.01"))

        def want(key: str) -> WantedOrder:
            quote = broker.quotes([instrument_id])[0]
            return WantedOrder(ACCOUNT, key, "test", request, quote, ttl_s=60)

        original = broker.place

        def twice(prepared: PreparedOrder, ticket: SendTicket) -> OrderAck:
            answer = original(prepared, ticket)
            again = broker.prepare_order(request, ClientOrderId("around-the-desk"))
            original(again, replace(ticket, send_id="forged", record=WireRecord()))
            return answer

        (view,) = desk.drive([desk.submit(want("right")).intent_id], timeout_s=10)
        assert (view.state, broker.order_requests_sent) == (IntentState.FILLED, 1)
        monkeypatch.setattr(broker, "place", twice)
        desk.advance(desk.submit(want("wrong")).intent_id)
        assert broker.order_requests_sent == 3
        with runtime.ledger.read() as session:
            control = current_control(session, ACCOUNT)
        assert control is not None
        assert (control.state, control.reason.split(":")[0]) == (ControlState.HALT, OrderReason.SENDS_UNACCOUNTED)
        monkeypatch.undo()
        view = desk.advance(desk.submit(want("after")).intent_id)
        assert (view.state, broker.order_requests_sent) == (IntentState.READY, 3)
