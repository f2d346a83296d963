"""Bodies as TradeStation's documentation and its API show them, and builders for the rows that tests change."""

from __future__ import annotations

import json
from typing import Any

ACCOUNT = "123456782"
MSFT_SYMBOL: dict[str, Any] = {
    "AssetType": "STOCK",
    "Country": "United States",
    "Currency": "USD",
    "Description": "MICROSOFT CORP",
    "Exchange": "NASDAQ",
    "Symbol": "MSFT",
    "Root": "MSFT",
    "PriceFormat": {
        "Format": "Decimal",
        "Decimals": "2",
        "IncrementStyle": "Simple",
        "Increment": "0.01",
        "PointValue": "1",
    },
    "QuantityFormat": {
        "Format": "Decimal",
        "Decimals": "0",
        "IncrementStyle": "Simple",
        "Increment": "1",
        "MinimumTradeQuantity": "1",
    },
}
MES_SYMBOL: dict[str, Any] = {
    "AssetType": "FUTURE",
    "Symbol": "MESZ26",
    "Root": "MES",
    "Exchange": "CME",
    "Currency": "USD",
    "FutureType": "Electronic",
    "ExpirationDate": "2026-12-18T00:00:00Z",
    "PriceFormat": {
        "Format": "Decimal",
        "Decimals": "2",
        "IncrementStyle": "Simple",
        "Increment": "0.25",
        "PointValue": "5",
    },
    "QuantityFormat": {
        "Format": "Decimal",
        "Decimals": "0",
        "IncrementStyle": "Simple",
        "Increment": "1",
        "MinimumTradeQuantity": "1",
    },
}
QUOTE: dict[str, Any] = {
    "Symbol": "MSFT",
    "Last": "212.85",
    "Bid": "212.85",
    "Ask": "212.87",
    "BidSize": "200",
    "AskSize": "300",
    "PreviousClose": "214.46",
    "Volume": "5852511",
    "TradeTime": "2020-11-18T15:19:14Z",
    "MarketFlags": {"IsDelayed": False, "IsHalted": False, "IsHardToBorrow": False, "IsBats": False},
}
BALANCE: dict[str, Any] = {
    "AccountID": ACCOUNT,
    "AccountType": "Margin",
    "CashBalance": "39735538.661",
    "BuyingPower": "39735498.661",
    "Equity": "39893233.6211",
    "MarketValue": "157727.6092",
    "TodaysProfitLoss": "982.8001",
    "UnclearedDeposit": "0",
    "Commission": "0",
    "BalanceDetail": {
        "CostOfPositions": "134589.21",
        "DayTrades": "0",
        "RequiredMargin": "134589.21",
        "RealizedProfitLoss": "0",
        "UnrealizedProfitLoss": "23138.39",
    },
}
FUTURES_BALANCE: dict[str, Any] = {
    "AccountID": ACCOUNT,
    "AccountType": "Futures",
    "CashBalance": "50000.00",
    "BuyingPower": "47000.00",
    "Equity": "50250.00",
    "BalanceDetail": {
        "InitialMargin": "3000.00",
        "MaintenanceMargin": "2512.50",
        "OpenOrderMargin": "0",
        "TradeEquity": "50250.00",
    },
    "CurrencyDetails": [
        {"Currency": "USD", "CashBalance": "49000.00"},
        {"Currency": "EUR", "CashBalance": "920.50"},
    ],
}
POSITION: dict[str, Any] = {
    "AccountID": ACCOUNT,
    "AveragePrice": "216.68",
    "AssetType": "STOCK",
    "Last": "216.63",
    "Bid": "216.62",
    "Ask": "216.64",
    "PositionID": "64630792",
    "LongShort": "Long",
    "Quantity": "10",
    "Symbol": "MSFT",
    "Timestamp": "2020-11-16T16:53:37Z",
    "TotalCost": "2166.8",
    "MarketValue": "2166.3",
    "MarkToMarketPrice": "216.68",
    "TodaysProfitLoss": "-0.5",
    "UnrealizedProfitLoss": "-0.5",
    "UnrealizedProfitLossPercent": "-0.023",
    "ConversionRate": "1",
}
ORDER: dict[str, Any] = {
    "AccountID": ACCOUNT,
    "OrderID": "286234131",
    "Status": "FLL",
    "StatusDescription": "Filled",
    "OrderType": "Market",
    "Duration": "GTC",
    "Currency": "USD",
    "OpenedDateTime": "2020-11-16T16:53:36Z",
    "ClosedDateTime": "2020-11-16T16:53:37Z",
    "FilledPrice": "216.68",
    "LimitPrice": "0",
    "CommissionFee": "4.95",
    "UnbundledRouteFee": "0.05",
    "Routing": "Intelligent",
    "PriceUsedForBuyingPower": "216.66",
    "Legs": [
        {
            "Symbol": "MSFT",
            "AssetType": "STOCK",
            "BuyOrSell": "Buy",
            "OpenOrClose": "Open",
            "QuantityOrdered": "10",
            "ExecQuantity": "10",
            "QuantityRemaining": "0",
            "ExecutionPrice": "216.68",
        }
    ],
}
ACCOUNTS = {
    "Accounts": [
        {"AccountID": ACCOUNT, "AccountType": "Margin", "Alias": "", "Currency": "USD", "Status": "Active"},
        {"AccountID": "210FUT", "AccountType": "Futures", "Currency": "USD", "Status": "Active"},
    ]
}


def order_row(*, leg: dict[str, Any] | None = None, without: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    """An order row with other fields; `leg` changes its one leg, `without` takes fields out."""
    row = {**ORDER, **changes, "Legs": [{**ORDER["Legs"][0], **(leg or {})}]}
    return {name: value for name, value in row.items() if name not in without}


def open_row(**changes: Any) -> dict[str, Any]:
    """An order that rests: nothing filled, no closing time."""
    leg = {"ExecQuantity": "0", "QuantityRemaining": "10", **changes.pop("leg", {})}
    fields = {"Status": "ACK", "StatusDescription": "Received", "OrderType": "Limit", "LimitPrice": "210.00"}
    return order_row(leg=leg, without=("ClosedDateTime", "FilledPrice"), **{**fields, **changes})


def body(name: str, *items: Any, errors: tuple[Any, ...] = (), **more: Any) -> str:
    return json.dumps({name: list(items), "Errors": list(errors), **more})
