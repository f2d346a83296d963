"""The official OpenAPI document (WebAPI v3): its requests are understood, and no answer has a field that it lacks.

`schema.json` holds the document's names and types of fields, nothing of its text.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from simulators import TradeStationControl

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
BOTH = f"{EQUITIES},{FUTURES}"
SCHEMA = json.loads(Path(__file__).with_name("schema.json").read_text(encoding="utf-8"))
TYPES = {"string": str, "boolean": bool, "array": list, "object": dict, "integer": int}
INNER = {
    ("Balance", "BalanceDetail"): "BalanceDetail",
    ("Balance", "CurrencyDetails"): "CurrencyDetail",
    ("BODBalance", "BalanceDetail"): "BODBalanceDetail",
    ("BODBalance", "CurrencyDetails"): "BODCurrencyDetail",
    ("Account", "AccountDetail"): "AccountDetail",
    ("Order", "Legs"): "OrderLeg",
    ("Order", "ConditionalOrders"): "OrderRelationship",
    ("SymbolDetail", "PriceFormat"): "PriceFormat",
    ("SymbolDetail", "QuantityFormat"): "QuantityFormat",
    ("Quote", "MarketFlags"): "MarketFlags",
}
LOOSE = {("OrderLeg", "ExpirationDate")}
"""Fields whose type the document gives otherwise than its own examples."""


def check(schema: str, row: dict[str, Any]) -> None:
    """See that a row has no field that the document lacks, and every field in the document's type."""
    for name, value in row.items():
        assert name in SCHEMA[schema], f"{schema}.{name} is not documented"
        if (schema, name) not in LOOSE:
            assert isinstance(value, TYPES[SCHEMA[schema][name]]), f"{schema}.{name} was {value!r}"
        inner = INNER.get((schema, name))
        if inner is not None:
            for item in value if isinstance(value, list) else [value]:
                check(inner, item)


@pytest.mark.parametrize(
    ("path", "name", "schema"),
    [
        ("/v3/brokerage/accounts", "Accounts", "Account"),
        (f"/v3/brokerage/accounts/{BOTH}/balances", "Balances", "Balance"),
        (f"/v3/brokerage/accounts/{BOTH}/bodbalances", "BODBalances", "BODBalance"),
        (f"/v3/brokerage/accounts/{BOTH}/positions", "Positions", "Position"),
        (f"/v3/brokerage/accounts/{BOTH}/orders", "Orders", "Order"),
        ("/v3/marketdata/symbols/AAPL,MESZ26,@ES", "Symbols", "SymbolDetail"),
        ("/v3/marketdata/quotes/AAPL,MESZ26", "Quotes", "Quote"),
        ("/v3/orderexecution/routes", "Routes", "Routes"),
        ("/v3/orderexecution/activationtriggers", "ActivationTriggers", "ActivationTrigger"),
    ],
)
def test_answers_hold_what_the_document_names(wire: Any, path: str, name: str, schema: str):
    wire.place()
    wire.limit("190", TimeInForce={"Duration": "GTC"})
    wire.place(Symbol="MSFT", TradeAction="SELLSHORT", OrderType="StopLimit", StopPrice="390", LimitPrice="389")
    wire.future(TradeAction="SELL")
    rows = wire.get(path)[name]
    assert rows
    for row in rows:
        check(schema, row)


def test_statuses_are_the_documents(wire: Any):
    wire.place()
    cancelled = wire.limit("190")
    wire.send("DELETE", f"/v3/orderexecution/orders/{cancelled}")
    assert {row["Status"] for row in wire.rows("orders", "Orders")} <= set(SCHEMA["Status"])


SIMPLE = [
    {"OrderType": "Market", "TradeAction": "BUY", "TimeInForce": {"Duration": "DAY"}},
    {"OrderType": "Limit", "TradeAction": "BUY", "LimitPrice": "132.52", "TimeInForce": {"Duration": "GTC"}},
    {"OrderType": "StopMarket", "TradeAction": "BUY", "TimeInForce": {"Duration": "GTC"}, "StopPrice": "415.00"},
    {
        "OrderType": "StopLimit",
        "TradeAction": "SELL",
        "StopPrice": "215.00",
        "LimitPrice": "200.00",
        "TimeInForce": {"Duration": "GTC"},
    },
]


@pytest.mark.parametrize("order", SIMPLE, ids=[order["OrderType"] for order in SIMPLE])
def test_the_documents_orders_are_taken(wire: Any, control: TradeStationControl, order: dict[str, Any]):
    wire.place(Symbol="MSFT")
    body = {"AccountID": EQUITIES, "Symbol": "MSFT", "Quantity": "10", "Route": "Intelligent", **order}
    (preview,) = wire.send("POST", "/v3/orderexecution/orderconfirm", body).json()["Confirmations"]
    check("OrderConfirmResponse", preview)
    answer = wire.send("POST", "/v3/orderexecution/orders", body).json()
    (row,) = answer["Orders"]
    check("OrderResponse", row)
    assert (answer["Errors"], "Error" in row) == ([], False)
    assert control.orders(EQUITIES)[-1].order_id == row["OrderID"]


@pytest.mark.parametrize(
    ("change", "order"),
    [
        ({"Quantity": "10", "LimitPrice": "132.52"}, SIMPLE[1]),
        ({"Quantity": "10", "StopPrice": "420.60"}, SIMPLE[2]),
        ({"Quantity": "10", "LimitPrice": "200.00", "StopPrice": "215.50"}, SIMPLE[3]),
        ({"OrderType": "Market"}, SIMPLE[1]),
    ],
)
def test_the_documents_replacements_are_taken(wire: Any, change: dict[str, str], order: dict[str, Any]):
    wire.place(Symbol="MSFT")
    order_id = wire.place(Symbol="MSFT", **order)
    answer = wire.send("PUT", f"/v3/orderexecution/orders/{order_id}", change)
    assert answer.json() == {"Message": "Cancel/Replace order sent.", "OrderID": order_id}


GROUPS = [
    {
        "Type": "OCO",
        "Orders": [
            {"OrderType": "StopMarket", "StopPrice": "437", "TradeAction": "Buy"},
            {"OrderType": "StopMarket", "StopPrice": "333", "TradeAction": "SellShort"},
        ],
    },
    {
        "Type": "NORMAL",
        "Orders": [
            {"OrderType": "Limit", "LimitPrice": "60.00", "TradeAction": "Buy"},
            {"OrderType": "Limit", "LimitPrice": "150.00", "TradeAction": "Buy"},
        ],
    },
]


@pytest.mark.parametrize("group", GROUPS, ids=[group["Type"] for group in GROUPS])
def test_the_documents_groups_are_taken(wire: Any, group: dict[str, Any]):
    shared = {"AccountID": EQUITIES, "Quantity": "10", "Symbol": "MSFT", "TimeInForce": {"Duration": "GTC"}}
    body = {"Type": group["Type"], "Orders": [{**shared, **order} for order in group["Orders"]]}
    answer = wire.send("POST", "/v3/orderexecution/ordergroups", body).json()
    assert (len(answer["Orders"]), answer["Errors"]) == (2, [])
    for row in answer["Orders"]:
        check("OrderResponse", row)


def test_the_documents_error_bodies(wire: Any):
    check("ErrorResponse", wire.post(Quantity=None).json())
    answer = wire.get(f"/v3/brokerage/accounts/{EQUITIES},SIM123456C/orders/1")
    for row in answer["Errors"]:
        check("OrderByIDError", row)
