"""Invariants over random histories: the wire tells the engine's truth, and nothing that ended lives again.

The requests go straight to the gateway, without sockets, so that many histories fit into a second.
"""

import json
from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.alpaca.config import FeesConfig
from simulators.alpaca.control import AlpacaControl
from simulators.alpaca.simulator import build_alpaca
from simulators.core.clock import ClockMode
from simulators.core.config import ClockConfig, LagsConfig, LiquidityConfig, PricesConfig
from simulators.core.sessions import SessionConfig, SessionMode
from simulators.core.wire import Call, Handling
from simulators.testing_alpaca import small_alpaca_config

START = datetime(2026, 3, 2, 15, tzinfo=UTC)
PRICES = {"AAPL": Decimal(200), "MSFT": Decimal(400), "BTC/USD": Decimal(60_000)}
ENDS = frozenset({"filled", "canceled", "expired", "rejected", "replaced"})
HEADERS = {"apca-api-key-id": "main-key", "apca-api-secret-key": "main-secret"}


class Desk:
    """One venue in this process, and every status that was seen of each order."""

    def __init__(self, **changes: Any) -> None:
        thin = LiquidityConfig(level_notional=Decimal(3_000), levels=2)
        clock = ClockConfig(mode=ClockMode.MANUAL, start=START)
        config = small_alpaca_config(clock=clock, prices=PricesConfig(start=PRICES, liquidity=thin), **changes)
        self.simulator = build_alpaca(config)
        self.control = AlpacaControl(self.simulator)
        self.seen: dict[str, list[dict[str, Any]]] = defaultdict(list)

    def call(self, method: str, path: str, query: str = "", body: Any = None) -> Any:
        raw = b"" if body is None else json.dumps(body).encode()
        answer = self.simulator.front.handle(Call(method, path, query, raw, HEADERS, "127.0.0.1", 0), Handling())
        assert answer.status < 500
        return json.loads(answer.body) if answer.body else None

    def look(self) -> None:
        for row in self.call("GET", "/v2/orders", "status=all&limit=500"):
            self.seen[row["id"]].append(row)

    def activities(self, query: str = "") -> list[dict[str, Any]]:
        """Return all activities, page by page."""
        rows: list[dict[str, Any]] = []
        while True:
            token = f"&page_token={rows[-1]['id']}" if rows else ""
            page = self.call("GET", "/v2/account/activities", f"direction=asc&page_size=7{query}{token}")
            if not page:
                return rows
            rows += page

    def place(self, *, symbol: str, side: str, size: int, price: int | None, stop: bool, force: str) -> None:
        base = int(PRICES[symbol])
        coin = "/" in symbol
        away = str(base + (price or 0) * (base // 200))
        body: dict[str, Any] = {"symbol": symbol, "side": side, "time_in_force": force}
        body["type"] = {(False, False): "market", (True, False): "limit"}.get((price is not None, stop), "stop_limit")
        body["qty"] = str(Decimal(size) / (100 if coin else 4 if size % 5 == 0 else 1))
        body |= {"limit_price": away} if price is not None or stop else {}
        body |= {"stop_price": away} if stop else {}
        self.call("POST", "/v2/orders", body={name: value for name, value in body.items() if value})

    def change(self, index: int, qty: int | None) -> None:
        ids = list(self.seen)
        if not ids:
            return
        path = f"/v2/orders/{ids[index % len(ids)]}"
        if qty is None:
            self.call("DELETE", path)
        else:
            self.call("PATCH", path, body={"qty": str(qty)})


PLACE = st.fixed_dictionaries(
    {
        "symbol": st.sampled_from(["AAPL", "AAPL", "MSFT", "BTC/USD"]),
        "side": st.sampled_from(["buy", "sell"]),
        "size": st.integers(1, 60),
        "price": st.none() | st.integers(-15, 15),
        "stop": st.sampled_from([False, False, True]),
        "force": st.sampled_from(["day", "gtc", "gtc", "ioc", "fok", "opg", "cls"]),
    }
)
STEPS = st.lists(
    st.one_of(
        PLACE,
        st.tuples(st.just("change"), st.integers(0, 30), st.none() | st.integers(1, 60)),
        st.tuples(st.just("price"), st.sampled_from(list(PRICES)), st.integers(-15, 15)),
        st.tuples(st.just("time"), st.integers(1, 60_000), st.just(0)),
        st.tuples(st.just("close"), st.sampled_from(["AAPL", "BTCUSD"]), st.just(0)),
    ),
    min_size=6,
    max_size=25,
)
EXCHANGE = SessionConfig(mode=SessionMode.EXCHANGE, holidays=(date(2026, 3, 3),))
VENUES = st.sampled_from(
    [
        {},
        {"lags": LagsConfig(apply_ms=1_000)},
        {"session": EXCHANGE},
        {"session": EXCHANGE, "fees": FeesConfig.model_validate({"crypto": "at_fill", "regulatory": False})},
    ]
)


def live(desk: Desk, steps: list[Any]) -> None:
    for step in steps:
        if isinstance(step, dict):
            desk.place(**step)
        elif step[0] == "change":
            desk.change(step[1], step[2])
        elif step[0] == "price":
            base = PRICES[step[1]]
            desk.control.set_price(step[1], base + step[2] * (base // 200))
        elif step[0] == "close":
            desk.call("DELETE", f"/v2/positions/{step[1]}")
        else:
            desk.control.advance(seconds=step[1])
        desk.look()


@settings(max_examples=60, deadline=None)
@given(venue=VENUES, steps=STEPS)
def test_the_wire_tells_the_truth(venue: dict[str, Any], steps: list[Any]):
    desk = Desk(**venue)
    live(desk, steps)
    desk.control.advance(days=2)
    desk.look()
    rows = desk.activities()
    assert len({row["id"] for row in rows}) == len(rows)
    stamps = [row["id"].partition("::")[0] for row in rows]
    assert stamps == sorted(stamps)
    held, cash = replayed(rows)
    positions = {row["symbol"]: row for row in desk.call("GET", "/v2/positions")}
    assert {name: Decimal(row["qty"]) for name, row in positions.items()} == {n: q for n, q in held.items() if q}
    account = desk.call("GET", "/v2/account")
    assert abs(Decimal(account["cash"]) - cash) <= Decimal("0.005"), "dollars are told in cents"
    values = sum(Decimal(row["market_value"]) for row in positions.values())
    assert abs(Decimal(account["equity"]) - cash - values) <= Decimal("0.00501")
    for row in positions.values():
        assert abs(Decimal(row["qty_available"])) <= abs(Decimal(row["qty"]))
    entries = desk.control.transaction_log("main")
    assert sum(entry.change for entry in entries if entry.coin == "USD") == desk.control.wallets("main")["USD"]


def replayed(rows: list[dict[str, Any]]) -> tuple[dict[str, Decimal], Decimal]:
    """Return holdings and cash as the activities alone make them."""
    held: dict[str, Decimal] = defaultdict(Decimal)
    cash = Decimal(0)
    for row in rows:
        if row["activity_type"] == "FILL":
            sign = 1 if row["side"] == "buy" else -1
            held[row["symbol"].replace("/", "")] += sign * Decimal(row["qty"])
            cash -= sign * Decimal(row["qty"]) * Decimal(row["price"])
            continue
        cash += Decimal(row["net_amount"])
        if row["activity_type"] == "CFEE" and "qty" in row:
            held[row["symbol"]] += Decimal(row["qty"])
    return held, cash


@settings(max_examples=60, deadline=None)
@given(venue=VENUES, steps=STEPS)
def test_an_orders_story_has_one_end_and_agrees_with_its_fills(venue: dict[str, Any], steps: list[Any]):
    desk = Desk(**venue)
    live(desk, steps)
    filled: dict[str, Decimal] = defaultdict(Decimal)
    for row in desk.activities("&activity_types=FILL"):
        filled[row["order_id"]] += Decimal(row["qty"])
        assert Decimal(row["cum_qty"]) == filled[row["order_id"]]
    for order_id, story in desk.seen.items():
        over = [row["status"] in ENDS for row in story]
        assert over == sorted(over), "what is over stays over"
        if True in over:
            first = over.index(True)
            assert all(row == story[first] for row in story[first:]), "and does not change"
        amounts = [Decimal(row["filled_qty"]) for row in story]
        assert amounts == sorted(amounts), "quantities only grow"
        assert amounts[-1] == filled[order_id] <= Decimal(story[-1]["qty"])
    ids = [story[0]["client_order_id"] for story in desk.seen.values()]
    moments = [story[0]["submitted_at"] for story in desk.seen.values()]
    assert len(set(ids)) == len(ids)
    assert len(set(moments)) == len(moments)


@settings(max_examples=60, deadline=None)
@given(venue=VENUES, steps=STEPS)
def test_no_order_crosses_its_position(venue: dict[str, Any], steps: list[Any]):
    desk = Desk(**venue)
    live(desk, steps)
    intents = {order_id: story[0]["position_intent"] for order_id, story in desk.seen.items()}
    position: dict[str, Decimal] = defaultdict(Decimal)
    for row in desk.activities("&activity_types=FILL"):
        sign = 1 if row["side"] == "buy" else -1
        position[row["symbol"]] += sign * Decimal(row["qty"])
        if intents[row["order_id"]].endswith("close"):
            assert position[row["symbol"]] * sign <= 0
        if "/" in row["symbol"]:
            assert position[row["symbol"]] >= 0
