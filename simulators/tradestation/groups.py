"""/v3/orderexecution/ordergroups: orders sent together; OCO and bracket siblings end one another.

OCO: a fill of one, even a part, cancels the others. BRK: orders of one symbol and side that close a position; a part
filled takes as much from the others, the whole cancels them. NORMAL: nothing but sent together.
"""

from enum import Enum

from simulators.core.accounts import Account
from simulators.core.types import Execution, Reason
from simulators.tradestation.context import Body, Context, House, Row
from simulators.tradestation.errors import bad_request
from simulators.tradestation.execution import confirmation
from simulators.tradestation.trade import Asked, answered, place_one, read_order

ORDERS_MAX = 40


class GroupType(Enum):
    OCO = "OCO"
    BRACKET = "BRK"
    NORMAL = "NORMAL"


def place_group(context: Context) -> Row:
    """POST /v3/orderexecution/ordergroups."""
    kind, asked = _read(context, context.body())
    rows = [place_one(context, one) for one in asked]
    ids = [str(row["OrderID"]) for row, _ in rows if "Error" not in row]
    if kind is not GroupType.NORMAL and len(ids) > 1:
        _link(context.house, kind, ids)
    return answered(rows)


def confirm_group(context: Context) -> Row:
    """POST /v3/orderexecution/ordergroupconfirm."""
    _, asked = _read(context, context.body())
    return {"Confirmations": [confirmation(context, one) for one in asked]}


def _read(context: Context, body: Body) -> tuple[GroupType, list[Asked]]:
    kind = body.word("Type", GroupType)
    rows = body.rows("Orders")
    if not 1 <= len(rows) <= ORDERS_MAX:
        raise bad_request(f"Orders must hold 1 to {ORDERS_MAX} orders, held {len(rows)}")
    asked = [read_order(context, row) for row in rows]
    if kind is GroupType.BRACKET and len({(one.symbol, one.action) for one in asked}) > 1:
        raise bad_request("Bracket orders must have the same symbol and the same side")
    return kind, asked


def _link(house: House, kind: GroupType, ids: list[str]) -> None:
    name = f"{kind.value} {ids[0]}"
    for order_id in ids:
        ticket = house.book.tickets[order_id]
        ticket.group = name
        ticket.links += [(kind.value, other) for other in ids if other != order_id]


class Siblings:
    """Ends or shrinks the siblings of orders that fill."""

    def __init__(self, house: House) -> None:
        self._house = house
        house.venue.settlement.on_execution.append(self._filled)

    def _filled(self, execution: Execution) -> None:
        ticket = self._house.book.tickets.get(execution.order_id)
        if ticket is None or not ticket.links:
            return
        account = self._house.venue.accounts[execution.account]
        is_done = execution.remaining_qty == 0
        for kind, other in ticket.links:
            self._follow(account, other, execution, cancels=kind == GroupType.OCO.value or is_done)

    def _follow(self, account: Account, order_id: str, execution: Execution, *, cancels: bool) -> None:
        order = account.orders[order_id].now
        if not order.is_open:
            return
        left = order.qty - execution.qty
        if cancels or left <= order.filled_qty:
            self._house.venue.cancel_now(account, order_id, Reason.CANCELLED_BY_GROUP)
        else:
            self._house.venue.amend(account, order_id, qty=left)
