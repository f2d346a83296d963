"""Bodies as Alpaca's documentation, its SDK's tests and its API show them, and builders for the rows that tests change.

Source beside each: [D] documentation, [S] alpaca-py's own tests, [A] answers of the API that were published.
"""

from __future__ import annotations

import json
from typing import Any

# [D] "Working with /account": the margin account of the page, trimmed.
ACCOUNT: dict[str, Any] = {
    "id": "e6fe16f3-64a4-4921-8928-cadf02f92f98",
    "account_number": "PA3ZV9XXXX7Q",
    "status": "ACTIVE",
    "crypto_status": "ACTIVE",
    "currency": "USD",
    "buying_power": "262113.632",
    "regt_buying_power": "262113.632",
    "non_marginable_buying_power": "99800.25",
    "cash": "100000",
    "accrued_fees": "0",
    "portfolio_value": "103820.56",
    "equity": "103820.56",
    "last_equity": "103529.24",
    "multiplier": "4",
    "initial_margin": "63480.38",
    "maintenance_margin": "38088.228",
    "long_market_value": "126960.76",
    "short_market_value": "-23140.2",
    "shorting_enabled": True,
    "trading_blocked": False,
    "transfers_blocked": False,
    "account_blocked": False,
    "trade_suspended_by_user": False,
    "created_at": "2019-06-12T22:47:07.99658Z",
}
# [D] "Working with /positions"
AAPL_POSITION: dict[str, Any] = {
    "asset_id": "904837e3-3b76-47ec-b432-046db621571b",
    "symbol": "AAPL",
    "exchange": "NASDAQ",
    "asset_class": "us_equity",
    "avg_entry_price": "100.0",
    "qty": "5",
    "qty_available": "4",
    "side": "long",
    "market_value": "600.0",
    "cost_basis": "500.0",
    "unrealized_pl": "100.0",
    "unrealized_plpc": "0.20",
    "current_price": "120.0",
    "lastday_price": "119.0",
    "change_today": "0.0084",
}
SHORT_POSITION: dict[str, Any] = {
    **AAPL_POSITION,
    "symbol": "MSFT",
    "qty": "-3",
    "qty_available": "-3",
    "side": "short",
    "market_value": "-1200",
    "cost_basis": "-1230",
    "unrealized_pl": "30",
    "avg_entry_price": "410",
    "current_price": None,
}
# [A] a coin among the positions: its symbol has no slash
BTC_POSITION: dict[str, Any] = {
    "asset_id": "276e2673-764b-4ab6-a611-caf665ca6340",
    "symbol": "BTCUSD",
    "exchange": "CRYPTO",
    "asset_class": "crypto",
    "avg_entry_price": "84600.385",
    "qty": "0.052499211",
    "qty_available": "0.05",
    "side": "long",
    "market_value": "4389.8",
    "cost_basis": "4441.45",
    "unrealized_pl": "-51.65",
    "current_price": "83616.292",
}
# [D] "Working with /assets"
AAPL_ASSET: dict[str, Any] = {
    "id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "class": "us_equity",
    "exchange": "NASDAQ",
    "symbol": "AAPL",
    "name": "Apple Inc. Common Stock",
    "status": "active",
    "tradable": True,
    "marginable": True,
    "shortable": True,
    "easy_to_borrow": True,
    "fractionable": True,
    "maintenance_margin_requirement": 30,
    "attributes": ["fractional_eh_enabled", "has_options"],
}
WHOLE_ASSET: dict[str, Any] = {**AAPL_ASSET, "symbol": "BRK.A", "fractionable": False, "attributes": []}
# [D] "Crypto Spot Trading"
BTC_ASSET: dict[str, Any] = {
    "id": "276e2673-764b-4ab6-a611-caf665ca6340",
    "class": "crypto",
    "exchange": "ALPACA",
    "symbol": "BTC/USD",
    "name": "BTC/USD pair",
    "status": "active",
    "tradable": True,
    "marginable": False,
    "shortable": False,
    "easy_to_borrow": False,
    "fractionable": True,
    "min_order_size": "0.0001",
    "min_trade_increment": "0.0001",
    "price_increment": "1",
}
# [S] tests/trading/trading_client/test_order_routes.py, with the ids of this test
ORDER: dict[str, Any] = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d",
    "client_order_id": "at-0001",
    "created_at": "2026-03-02T11:30:00.123456789Z",
    "updated_at": "2026-03-02T11:30:01.2Z",
    "submitted_at": "2026-03-02T11:30:00.2Z",
    "filled_at": None,
    "expired_at": None,
    "canceled_at": None,
    "failed_at": None,
    "replaced_at": None,
    "replaced_by": None,
    "replaces": None,
    "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "symbol": "AAPL",
    "asset_class": "us_equity",
    "notional": None,
    "qty": "2",
    "filled_qty": "0",
    "filled_avg_price": None,
    "order_class": "",
    "order_type": "limit",
    "type": "limit",
    "side": "buy",
    "time_in_force": "day",
    "limit_price": "190.1",
    "stop_price": None,
    "status": "accepted",
    "extended_hours": False,
    "legs": None,
    "trail_percent": None,
    "trail_price": None,
    "hwm": None,
    "position_intent": "buy_to_open",
}
# [D] "Account Activities": the page's execution, and the documented fee of a crypto trade
FILL: dict[str, Any] = {
    "activity_type": "FILL",
    "cum_qty": "1",
    "id": "20190524113406977::8efc7b9a-8b2b-4000-9955-d36e7db0df74",
    "leaves_qty": "0",
    "price": "1.63",
    "qty": "1",
    "side": "buy",
    "symbol": "LPCN",
    "transaction_time": "2019-05-24T15:34:06.977Z",
    "order_id": "904837e3-3b76-47ec-b432-046db621571b",
    "type": "fill",
}
COIN_FEE: dict[str, Any] = {
    "id": "20220812000000000::53be51ba-46f9-43de-b81f-576f241dc680",
    "activity_type": "CFEE",
    "date": "2022-08-12",
    "net_amount": "0",
    "description": "Coin Pair Transaction Fee (Non USD)",
    "symbol": "ETHUSD",
    "qty": "-0.000195",
    "price": "1884.5",
    "status": "executed",
}
# [A] regulatory fees of 8 September, posted a quarter past midnight (UTC) of the next day
REG_FEE: dict[str, Any] = {
    "id": "20260908000000000::97e8ab4e-6a81-42f5-8338-1bd6b5609864",
    "activity_type": "FEE",
    "activity_sub_type": "REG",
    "date": "2026-09-08",
    "created_at": "2026-09-09T00:17:05.448916Z",
    "net_amount": "-3.82",
    "description": "REG fee for proceed of $185271.37 on 2026-09-08",
    "status": "executed",
    "currency": "USD",
}
# [A] the fee of a sale of coins: in dollars, without a symbol
USD_FEE: dict[str, Any] = {
    "id": "20260924000000000::7b93c848-0000-4000-8000-000000000001",
    "activity_type": "CFEE",
    "date": "2026-09-24",
    "created_at": "2026-09-24T12:00:03.1Z",
    "net_amount": "-0.02",
    "description": "Coin Pair Transaction Fee (USD)",
    "currency": "USD",
    "status": "executed",
}
# [D] the dividend of the page "Account Activities"
DIVIDEND: dict[str, Any] = {
    "activity_type": "DIV",
    "id": "20190801011955195::5f596936-6f23-4cef-bdf1-3806aae57dbf",
    "date": "2019-08-01",
    "net_amount": "1.02",
    "symbol": "T",
    "qty": "2",
    "per_share_amount": "0.51",
}
# [D] "Working with /clock", "Working with /calendar"
CLOCK: dict[str, Any] = {
    "timestamp": "2026-03-02T06:00:00.123456789-05:00",
    "is_open": False,
    "next_open": "2026-03-02T09:30:00-05:00",
    "next_close": "2026-03-02T16:00:00-05:00",
}
HALF_DAY: dict[str, Any] = {
    "date": "2026-11-27",
    "open": "09:30",
    "close": "13:00",
    "session_open": "0400",
    "session_close": "1700",
    "settlement_date": "2026-11-30",
}
# [D] "Snapshots": numbers are JSON numbers here
SNAPSHOT: dict[str, Any] = {
    "latestTrade": {"t": "2026-03-02T11:59:59.5Z", "x": "V", "p": 190.25, "s": 100, "c": ["@"], "i": 1, "z": "C"},
    "latestQuote": {
        "t": "2026-03-02T11:59:59.987654321Z",
        "ax": "V",
        "ap": 190.3,
        "as": 200,
        "bx": "V",
        "bp": 190.2,
        "bs": 100,
        "c": ["R"],
        "z": "C",
    },
    "minuteBar": {"t": "2026-03-02T11:58:00Z", "o": 190, "h": 191, "l": 189.5, "c": 190.25, "v": 1000},
}


def body(value: Any) -> str:
    return json.dumps(value)


def error(code: int | None, message: str, **more: Any) -> str:
    """An error as Alpaca writes it; without a code as its edge does."""
    return json.dumps({**({} if code is None else {"code": code}), "message": message, **more})
