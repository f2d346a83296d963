"""Orders from request to status: what is taken, what is refused in which form, and what an order's row prints."""

from decimal import Decimal
from typing import Any

from simulators import TradeStationControl

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"


def test_a_market_order_is_filled_with_its_fee(wire: Any, control: TradeStationControl):
    row = wire.seen(wire.place())
    (execution,) = control.executions(EQUITIES)
    assert (row["Status"], row["StatusDescription"]) == ("FLL", "Filled")
    assert row["FilledPrice"] == row["Legs"][0]["ExecutionPrice"] == str(execution.price)
    assert (row["Legs"][0]["ExecQuantity"], row["Legs"][0]["QuantityRemaining"]) == ("10", "0")
    assert Decimal(row["CommissionFee"]) + Decimal(row["UnbundledRouteFee"]) == execution.fee == 1
    assert "ClosedDateTime" in row
    assert "RejectReason" not in row, "what has no value is absent, not null"
