"""Accounts, balances, positions, market data, pages of orders and quotas, beside the simulator's own truth."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import TradeStationControl
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig
from simulators.tradestation.config import QuotaConfig
from simulators.tradestation.sessions import NEW_YORK

EQUITIES, FUTURES, CRYPTO = "SIM123456M", "SIM123456F", "SIM123456C"
MANUAL = ClockConfig(mode=ClockMode.MANUAL, start=datetime(2026, 3, 2, 15, tzinfo=UTC), gateway=GatewayClock.ENGINE)


def test_accounts_are_a_users_own(wire: Any, wire_of: Callable[..., Any]):
    rows = wire.get("/v3/brokerage/accounts")["Accounts"]
    assert {row["AccountID"]: row["AccountType"] for row in rows} == {
        EQUITIES: "Margin",
        FUTURES: "Futures",
        CRYPTO: "Crypto",
    }
    assert ["AccountDetail" in row for row in rows] == [True, False, False]
    (other,) = wire_of("other").sign_in().get("/v3/brokerage/accounts")["Accounts"]
    assert other["AccountID"] == "SIM999999M"


def test_an_account_that_cannot_be_read_does_not_spoil_the_others(wire: Any):
    for what in ("balances", "bodbalances", "positions", "orders"):
        answer = wire.get(f"/v3/brokerage/accounts/{EQUITIES},{CRYPTO},SIM999999M/{what}")
        assert answer["Errors"] == [
            {"AccountID": CRYPTO, "Error": "Forbidden", "Message": "Request not supported for account type."},
            {"AccountID": "SIM999999M", "Error": "Forbidden", "Message": "Invalid Account ID."},
        ]


def test_at_most_twenty_five_accounts(wire: Any):
    ids = ",".join(f"SIM{number}M" for number in range(26))
    assert wire.send("GET", f"/v3/brokerage/accounts/{ids}/balances").status_code == 400


def test_equities_balances_add_up_and_are_the_truth(wire: Any, control: TradeStationControl):
    wire.place()
    wire.place(Symbol="MSFT", TradeAction="SELLSHORT", Quantity="5")
    control.set_price("AAPL", "210")
    (row,) = wire.rows("balances", "Balances")
    money = {name: Decimal(row[name]) for name in ("CashBalance", "MarketValue", "Equity", "BuyingPower")}
    assert money["CashBalance"] + money["MarketValue"] == money["Equity"]
    state = control.margin(EQUITIES, "USD")
    assert money["Equity"] == state.equity
    assert money["MarketValue"] == 10 * 210 - 5 * 400
    assert money["BuyingPower"] == state.available * 4
    assert Decimal(row["BalanceDetail"]["UnrealizedProfitLoss"]) == state.unrealised == Decimal("99.6")
    assert row["Commission"] == "2"


def test_futures_balances_count_the_point_value(wire: Any, control: TradeStationControl):
    wire.future()
    control.set_price("MESZ26", "6010")
    (row,) = wire.rows("balances", "Balances", FUTURES)
    state = control.margin(FUTURES, "USD")
    assert Decimal(row["BalanceDetail"]["TradeEquity"]) == state.unrealised == (6010 - Decimal("6000.75")) * 2 * 5
    assert Decimal(row["Equity"]) == state.equity == Decimal(100_000) + state.unrealised - Decimal("1.7")
    assert row["CurrencyDetails"][0]["CashBalance"] == row["CashBalance"] == "99998.3"
    wire.future(TradeAction="SELL")
    (row,) = wire.rows("balances", "Balances", FUTURES)
    (entry,) = [e for e in control.transaction_log(FUTURES) if e.cash_flow and e.symbol]
    assert Decimal(row["BalanceDetail"]["RealizedProfitLoss"]) == entry.cash_flow == Decimal("85")


def test_positions_are_the_truth(wire: Any, control: TradeStationControl):
    wire.place()
    wire.place(Symbol="MSFT", TradeAction="SELLSHORT", Quantity="5")
    wire.future()
    rows = wire.rows("positions", "Positions", f"{EQUITIES},{FUTURES}")
    truth = {p.symbol: p for name in (EQUITIES, FUTURES) for p in control.positions(name)}
    assert {row["Symbol"]: Decimal(row["Quantity"]) for row in rows} == {s: p.signed_qty for s, p in truth.items()}
    assert {row["Symbol"]: Decimal(row["AveragePrice"]) for row in rows} == {
        symbol: position.average_price for symbol, position in truth.items()
    }
    future = next(row for row in rows if row["AssetType"] == "FUTURE")
    assert (future["TotalCost"], future["MarketValue"]) == ("60007.5", "60000")
    assert future["ExpirationDate"] == "2026-12-18T00:00:00Z"
    assert len({row["PositionID"] for row in rows}) == 3


@pytest.mark.parametrize(
    ("asked", "found"),
    [("AAPL", ["AAPL"]), ("aapl", ["AAPL"]), ("A*,MSFT", ["AAPL", "MSFT"]), ("?SFT", ["MSFT"]), ("NOPE", [])],
)
def test_positions_are_filtered_by_names_and_wildcards(wire: Any, asked: str, found: list[str]):
    wire.place()
    wire.place(Symbol="MSFT")
    assert [row["Symbol"] for row in wire.rows(f"positions?symbol={asked}", "Positions")] == found


# market data
def test_symbols_tell_grids_and_point_values(wire: Any):
    answer = wire.get("/v3/marketdata/symbols/aapl,MESZ26,@ES,BAD")
    rows = {row["Symbol"]: row for row in answer["Symbols"]}
    (error,) = answer["Errors"]
    assert (error["Symbol"], error["Error"]) == ("BAD", "FAILED, INVALID SYMBOL")
    assert (rows["AAPL"]["AssetType"], rows["AAPL"]["PriceFormat"]["Increment"]) == ("STOCK", "0.01")
    assert rows["AAPL"]["QuantityFormat"]["Increment"] == rows["AAPL"]["QuantityFormat"]["MinimumTradeQuantity"] == "1"
    assert rows["MESZ26"]["PriceFormat"] == {
        "Format": "Decimal",
        "Decimals": "2",
        "IncrementStyle": "Simple",
        "Increment": "0.25",
        "PointValue": "5",
    }
    assert (rows["@ES"]["Root"], rows["@ES"]["Underlying"], "ExpirationDate" in rows["@ES"]) == ("ES", "ESZ26", False)


def test_lists_of_symbols_are_bounded(wire: Any):
    assert wire.send("GET", f"/v3/marketdata/symbols/{','.join(map(str, range(51)))}").status_code == 400
    assert wire.send("GET", f"/v3/marketdata/quotes/{','.join(map(str, range(101)))}").status_code == 400


def test_quotes_follow_the_board(wire: Any, control: TradeStationControl):
    control.set_price("AAPL", "210")
    control.set_price("AAPL", "190")
    answer = wire.get("/v3/marketdata/quotes/AAPL,NOPE")
    (row,) = answer["Quotes"]
    quote = control.quote("AAPL")
    assert [Decimal(row[name]) for name in ("Bid", "Ask", "Last")] == [quote.bid, quote.ask, quote.last]
    assert (row["High"], row["Low"], row["NetChange"], row["NetChangePct"]) == ("210", "190", "-10", "-5")
    assert row["MarketFlags"] == {"IsDelayed": False, "IsHardToBorrow": False, "IsBats": False, "IsHalted": False}
    assert answer["Errors"] == [{"Symbol": "NOPE", "Error": "FAILED, INVALID SYMBOL"}]


# pages
def test_orders_come_in_pages(wire: Any):
    ids = [wire.limit("190") for _ in range(5)]
    path = f"/v3/brokerage/accounts/{EQUITIES}/orders?pageSize=2"
    found, answer = [], wire.get(path)
    while True:
        found += [row["OrderID"] for row in answer["Orders"]]
        if "NextToken" not in answer:
            break
        answer = wire.get(f"{path}&nextToken={answer['NextToken']}")
    assert found == ids[::-1]
    assert "NextToken" not in wire.get(f"/v3/brokerage/accounts/{EQUITIES}/orders")


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_a_page_token_lives_an_hour(wire: Any, control: TradeStationControl):
    for _ in range(2):
        wire.limit("190")
    path = f"/v3/brokerage/accounts/{EQUITIES}/orders?pageSize=1"
    token = wire.get(path)["NextToken"]
    control.advance(seconds=3599)
    assert wire.sign_in().send("GET", f"{path}&nextToken={token}").status_code == 200
    control.advance(seconds=1)
    answer = wire.sign_in().send("GET", f"{path}&nextToken={token}")
    assert (answer.status_code, answer.json()["Message"]) == (400, "nextToken has expired")


@pytest.mark.parametrize("query", ["pageSize=0", "pageSize=601", "pageSize=x", "pageSize=5&nextToken=?"])
def test_bad_pages_are_400(wire: Any, query: str):
    assert wire.send("GET", f"/v3/brokerage/accounts/{EQUITIES}/orders?{query}").status_code == 400


def test_history_pages_run_from_the_latest_closed(wire: Any):
    first, second = wire.limit("190"), wire.place()
    wire.limit("191")
    wire.send("DELETE", f"/v3/orderexecution/orders/{first}")
    today = datetime.now(NEW_YORK).strftime("%m/%d/%Y")
    answer = wire.get(f"/v3/brokerage/accounts/{EQUITIES}/historicalorders?since={today}&pageSize=1")
    later = wire.get(
        f"/v3/brokerage/accounts/{EQUITIES}/historicalorders?since={today}&pageSize=1&nextToken={answer['NextToken']}"
    )
    assert [answer["Orders"][0]["OrderID"], later["Orders"][0]["OrderID"]] == [first, second], "open ones are left out"


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("", "since is required"),
        ("?since=yesterday", "since 'yesterday' is not a date"),
        ("?since=2020-01-01", "since is limited to 90 days prior to the current date"),
    ],
)
def test_history_needs_a_date_within_ninety_days(wire: Any, query: str, says: str):
    answer = wire.send("GET", f"/v3/brokerage/accounts/{EQUITIES}/historicalorders{query}")
    assert (answer.status_code, answer.json()["Message"].startswith(says)) == (400, True)


def test_an_unknown_order_is_an_error_row(wire: Any):
    order_id = wire.limit("190")
    answer = wire.get(f"/v3/brokerage/accounts/{EQUITIES}/orders/{order_id},123")
    assert [row["OrderID"] for row in answer["Orders"]] == [order_id]
    (error,) = answer["Errors"]
    assert (error["OrderID"], error["Error"]) == ("123", "NotFound")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v3/brokerage/nothing"),
        ("GET", "/v3/orderexecution/orders/1"),
        ("POST", "/v3/brokerage/accounts"),
        ("GET", "/brokerage/accounts"),
    ],
)
def test_what_is_not_there_is_404(wire: Any, method: str, path: str):
    answer = wire.send(method, path)
    assert (answer.status_code, answer.json()["Error"]) == (404, "NotFound")


@pytest.mark.parametrize("config_changes", [{"clock": MANUAL}])
def test_every_answer_carries_the_venues_date(wire: Any, control: TradeStationControl):
    assert wire.send("GET", "/v3/brokerage/accounts").headers["Date"] == "Mon, 02 Mar 2026 15:00:00 GMT"
    control.advance(seconds=61)
    control.fault("clock_skew", path="/v3/*", skew_ms=-1_000)
    dates = [wire.send("GET", path).headers["Date"] for path in ("/v3/brokerage/accounts", "/v3/nothing")]
    assert dates == ["Mon, 02 Mar 2026 15:01:00 GMT", "Mon, 02 Mar 2026 15:01:01 GMT"]


# quotas
@pytest.mark.parametrize("config_changes", [{"clock": MANUAL, "rate_limits": QuotaConfig(per_window={"balances": 2})}])
def test_a_quota_is_a_rolling_window_of_one_resource(wire: Any, control: TradeStationControl):
    path = f"/v3/brokerage/accounts/{EQUITIES}/balances"

    def tried() -> tuple[int, str, str, str]:
        answer = wire.send("GET", path)
        names = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
        return answer.status_code, *(answer.headers[name] for name in names)

    assert tried() == (200, "2", "1", "300")
    control.advance(seconds=100)
    assert tried() == (200, "2", "0", "200")
    assert tried() == (429, "2", "0", "200")
    assert wire.send("GET", path).json() == {"Error": "TooManyRequests", "Message": "Rate quota exceeded."}
    assert wire.send("GET", "/v3/brokerage/accounts").status_code == 200, "another resource"
    control.advance(seconds=200)
    assert tried() == (200, "2", "0", "100")
    control.set_rate_limits(enabled=False)
    assert [tried()[0] for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("config_changes", [{"rate_limits": QuotaConfig(per_window={"quotes": 1})}])
def test_quotas_are_a_keys_own(wire: Any, wire_of: Callable[..., Any]):
    other = wire_of("rotating").sign_in()
    path = "/v3/marketdata/quotes/AAPL"
    assert [client.send("GET", path).status_code for client in (wire, other, wire, other)] == [200, 200, 429, 429]
