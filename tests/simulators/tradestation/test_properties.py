"""Invariants over random histories: the wire tells the engine's truth, and nothing that ended lives again.

The requests go straight to the gateway, without sockets, so that many histories fit into a second.
"""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators import Control, build_tradestation
from simulators.core.clock import ClockMode, GatewayClock
from simulators.core.config import ClockConfig, LagsConfig, LiquidityConfig, PricesConfig
from simulators.core.types import ExecutionKind
from simulators.core.wire import Call, Handling
from simulators.testing import small_tradestation_config
from simulators.tradestation.config import ClosedMarket, QuirksConfig, SessionConfig
from simulators.tradestation.sessions import SessionMode

EQUITIES, FUTURES = "SIM123456M", "SIM123456F"
START = datetime(2026, 3, 2, 15, tzinfo=UTC)
ENDS = frozenset({"FLL", "FLP", "OUT", "EXP", "REJ"})
ORDERS = "/v3/orderexecution/orders"


class Desk:
    """One venue in this process, and what its order stream has said so far."""

    def __init__(self, **changes: Any) -> None:
        thin = LiquidityConfig(level_notional=Decimal(3_000), levels=2)
        prices = {"AAPL": Decimal(200), "MSFT": Decimal(400), "MESZ26": Decimal(600), "@ES": Decimal(6_000)}
        self.simulator = build_tradestation(
            small_tradestation_config(
                clock=ClockConfig(mode=ClockMode.MANUAL, start=START, gateway=GatewayClock.WALL),
                prices=PricesConfig(start=prices, liquidity=thin),
                **changes,
            )
        )
        self.control = Control(self.simulator)
        form = "grant_type=refresh_token&client_id=main-id&client_secret=main-secret&refresh_token=main-refresh"
        answer = self._call("POST", "/oauth/token", form, kind="application/x-www-form-urlencoded")
        self.headers = {"authorization": f"Bearer {answer['access_token']}"}
        path = f"/v3/brokerage/stream/accounts/{EQUITIES},{FUTURES}/orders"
        opened: Any = self.simulator.front.open_stream(self._request("GET", path), Handling())
        self.stream = opened
        self.said: list[dict[str, Any]] = []
        self.ids: list[str] = []

    headers: dict[str, str] = {}

    def _request(self, method: str, path: str, body: str = "", kind: str = "application/json") -> Call:
        return Call(method, path, "", body.encode(), {"content-type": kind, **self.headers}, "127.0.0.1", 0)

    def _call(self, method: str, path: str, body: str = "", kind: str = "application/json") -> Any:
        answer = self.simulator.front.handle(self._request(method, path, body, kind), Handling())
        return json.loads(answer.body)

    def listen(self) -> None:
        self.simulator.venue.settle()
        rows = [json.loads(line) for line in self.stream.poll()]
        self.said += [row for row in rows if "OrderID" in row]

    def rows(self, what: str, name: str) -> list[dict[str, Any]]:
        answer = self._call("GET", f"/v3/brokerage/accounts/{EQUITIES},{FUTURES}/{what}")
        assert answer["Errors"] == []
        return answer[name]

    def place(self, *, future: bool, action: str, qty: int, price: int | None, stop: bool, duration: str) -> None:
        symbol, base = ("MESZ26", 600) if future else ("AAPL", 200)
        away = base + (price or 0)
        kind = {(False, False): "Market", (True, False): "Limit"}.get((price is not None, stop), "StopLimit")
        body = {
            "AccountID": FUTURES if future else EQUITIES,
            "Symbol": symbol,
            "Quantity": str(qty),
            "OrderType": kind,
            "TradeAction": action,
            "TimeInForce": {"Duration": duration},
            "LimitPrice": str(away),
            "StopPrice": str(away),
        }
        for row in self._call("POST", ORDERS, json.dumps(body))["Orders"]:
            if "Error" not in row:
                self.ids.append(row["OrderID"])

    def change(self, index: int, qty: int | None) -> None:
        if not self.ids:
            return
        path = f"{ORDERS}/{self.ids[index % len(self.ids)]}"
        if qty is None:
            self._call("DELETE", path)
        else:
            self._call("PUT", path, json.dumps({"Quantity": str(qty)}))


PLACE = st.fixed_dictionaries(
    {
        "future": st.booleans(),
        "action": st.sampled_from(["BUY", "SELL", "SELLSHORT", "BUYTOCOVER"]),
        "qty": st.integers(1, 40),
        "price": st.none() | st.integers(-15, 15),
        "stop": st.booleans(),
        "duration": st.sampled_from(["DAY", "DYP", "GTC", "IOC", "FOK", "1", "CLO", "OPG"]),
    }
)
STEPS = st.lists(
    st.one_of(
        PLACE,
        st.tuples(st.just("change"), st.integers(0, 30), st.none() | st.integers(1, 40)),
        st.tuples(st.just("price"), st.sampled_from(["AAPL", "MESZ26"]), st.integers(-15, 15)),
        st.tuples(st.just("time"), st.integers(1, 30_000), st.just(0)),
    ),
    max_size=25,
)
VENUES = st.sampled_from(
    [
        {},
        {"lags": LagsConfig(apply_ms=1_000)},
        {"session": SessionConfig(mode=SessionMode.EXCHANGE)},
        {
            "session": SessionConfig(mode=SessionMode.EXCHANGE),
            "quirks": QuirksConfig(closed_market=ClosedMarket.QUEUE, ack_fill_ms=500, early_out=True, working_ack=True),
        },
    ]
)


def live(desk: Desk, steps: list[Any]) -> None:
    for step in steps:
        if isinstance(step, dict):
            desk.place(**step)
        elif step[0] == "change":
            desk.change(step[1], step[2])
        elif step[0] == "price":
            desk.control.set_price(step[1], (200 if step[1] == "AAPL" else 600) + step[2])
        else:
            desk.control.advance(seconds=step[1])
        desk.listen()


def final_of(row: dict[str, Any]) -> bool:
    """Tell whether a row says that its order is over."""
    return row["Status"] in ENDS and "ClosedDateTime" in row


@settings(max_examples=60, deadline=None)
@given(venue=VENUES, steps=STEPS)
def test_the_wire_tells_the_truth(venue: dict[str, Any], steps: list[Any]):
    desk = Desk(**venue)
    live(desk, steps)
    held = {row["Symbol"]: Decimal(row["Quantity"]) for row in desk.rows("positions", "Positions")}
    money = {row["AccountID"]: row for row in desk.rows("balances", "Balances")}
    for name in (EQUITIES, FUTURES):
        trades = [e for e in desk.control.executions(name) if e.kind is ExecutionKind.TRADE]
        bought: dict[str, Decimal] = {}
        for trade in trades:
            bought[trade.symbol] = bought.get(trade.symbol, Decimal(0)) + trade.side.sign * trade.qty
        assert {symbol: qty for symbol, qty in bought.items() if qty} == {
            symbol: held[symbol] for symbol in held if (symbol == "MESZ26") == (name == FUTURES)
        }
        assert Decimal(money[name]["Equity"]) == desk.control.margin(name, "USD").equity
        entries = desk.control.transaction_log(name)
        assert sum(entry.change for entry in entries) == desk.control.wallets(name)["USD"]
        filled = sum(order.filled_qty for order in desk.control.orders(name))
        assert filled == sum(trade.qty for trade in trades)


@settings(max_examples=60, deadline=None)
@given(venue=VENUES, steps=STEPS)
def test_an_orders_story_has_one_end(venue: dict[str, Any], steps: list[Any]):
    desk = Desk(**venue)
    live(desk, steps)
    stories: dict[str, list[dict[str, Any]]] = {}
    for row in desk.said:
        stories.setdefault(row["OrderID"], []).append(row)
    assert set(desk.ids) <= set(stories)
    for rows in stories.values():
        done = [Decimal(row["Legs"][0]["ExecQuantity"]) for row in rows]
        assert done == sorted(done), "quantities only grow"
        final = [final_of(row) for row in rows]
        assert True not in final[:-1], "after its end an order is silent"
        assert all(row["Legs"][0]["QuantityRemaining"] == "0" for row in rows if final_of(row))
    for order_id, rows in stories.items():
        account = rows[0]["AccountID"]
        truth = next(order for order in desk.control.orders(account) if order.order_id == order_id)
        last = rows[-1]
        assert final_of(last) is not truth.is_open or last["Status"] == "ACK", "but for a fill that is shown as ACK"
        assert Decimal(last["Legs"][0]["ExecQuantity"]) == truth.filled_qty


@settings(max_examples=60, deadline=None)
@given(venue=VENUES, steps=STEPS)
def test_the_stream_ends_where_the_list_stands(venue: dict[str, Any], steps: list[Any]):
    desk = Desk(**venue)
    live(desk, steps)
    last = {row["OrderID"]: row for row in desk.said}
    for row in desk.rows("orders", "Orders"):
        told = last[row["OrderID"]]
        if row["Status"] in ENDS:
            assert told == row
        same = ("QuantityOrdered", "ExecQuantity", "Symbol", "BuyOrSell", "OpenOrClose")
        assert [told["Legs"][0][name] for name in same] == [row["Legs"][0][name] for name in same]


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_no_share_is_sold_that_is_not_held(steps: list[Any]):
    desk = Desk()
    live(desk, steps)
    position = Decimal(0)
    actions = {row["OrderID"]: row["Legs"][0]["BuyOrSell"] for row in desk.said}
    for trade in desk.control.executions(EQUITIES):
        position += trade.side.sign * trade.qty
        action = actions[trade.order_id]
        if action == "Sell":
            assert position >= 0
        if action == "BuyToCover":
            assert position <= 0
