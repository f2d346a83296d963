"""Whatever is traded, what the wire tells adds up to what the truth holds."""

import base64
import hashlib
import hmac
import json
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.core.config import AccountConfig, ClockConfig, LiquidityConfig, PricesConfig
from simulators.core.simulator import Simulator
from simulators.core.types import PositionMode
from simulators.core.wire import Call, Handling
from simulators.demo_okx import PRICES, okx_prices
from simulators.okx.front import OKXFront
from simulators.okx.simulator import build_okx
from simulators.testing_okx import small_okx_config

START = datetime(2024, 3, 1, tzinfo=UTC)
STEPS = {"BTC-USDT-SWAP": "0.01", "ETH-USDT-SWAP": "0.05", "BTC-USDT": "0.00025"}

orders = st.fixed_dictionaries(
    {
        "do": st.just("order"),
        "instId": st.sampled_from(sorted(STEPS)),
        "side": st.sampled_from(["buy", "sell"]),
        "ordType": st.sampled_from(["market", "limit", "post_only", "ioc", "fok"]),
        "lots": st.integers(1, 3_000) | st.integers(1, 200_000),
        "bps": st.integers(-400, 400),
        "posSide": st.sampled_from(["long", "short"]),
        "reduceOnly": st.sampled_from([False, False, True]),
        "tgtCcy": st.sampled_from(["", "base_ccy", "quote_ccy"]),
    }
)
moves = st.fixed_dictionaries({"do": st.just("move"), "bps": st.integers(-300, 300)})
waits = st.fixed_dictionaries({"do": st.just("wait"), "hours": st.integers(1, 9)})
steps = st.lists(orders | orders | orders | moves | waits, min_size=20, max_size=60)


class Direct:
    """Signed requests handed to the front without a socket."""

    def __init__(self, mode: PositionMode, level_notional: Decimal | None) -> None:
        prices = PricesConfig(
            start=okx_prices(**PRICES), spread_bps=Decimal(2), liquidity=LiquidityConfig(level_notional=level_notional)
        )
        clock = ClockConfig.model_validate({"mode": "manual", "start": START, "gateway": "engine"})
        account = AccountConfig(name="main", balances={"USDT": Decimal(50_000)}, position_mode=mode)
        self.sim: Simulator = build_okx(
            small_okx_config(accounts=(account,), prices=prices, clock=clock, price_band=None, environments={})
        )
        self.sim.venue.funding_rate = Decimal("0.0003")
        self.hedged = mode is PositionMode.HEDGE

    def send(self, method: str, path: str, query: str = "", body: Any = None) -> dict[str, Any]:
        raw = json.dumps(body) if body is not None else ""
        target = f"/api/v5{path}" + (f"?{query}" if query else "")
        now = datetime.fromtimestamp(self.sim.gateway_ms() / 1000, UTC)
        stamp = now.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        sign = hmac.new(b"main-secret", f"{stamp}{method}{target}{raw}".encode(), hashlib.sha256).digest()
        headers = {
            "ok-access-key": "main-key",
            "ok-access-passphrase": "main-passphrase",
            "ok-access-timestamp": stamp,
            "ok-access-sign": base64.b64encode(sign).decode(),
            "content-type": "application/json",
        }
        call = Call(method, f"/api/v5{path}", query, raw.encode(), headers, "127.0.0.1", self.sim.gateway_ms())
        answer = self.sim.front.handle(call, Handling())
        found: dict[str, Any] = json.loads(answer.body)
        return found

    def every(self, path: str, query: str, key: str) -> list[dict[str, Any]]:
        """Return all rows, followed to the end in small pages."""
        found: list[dict[str, Any]] = []
        after = ""
        while rows := self.send("GET", path, f"{query}&limit=7{after}")["data"]:
            found += rows
            after = f"&after={rows[-1][key]}"
        return found


def play(venue: Direct, step: dict[str, Any]) -> None:
    core = venue.sim.venue
    if step["do"] == "move":
        for symbol in ("BTC-USDT", "ETH-USDT"):
            core.set_price(symbol, (core.board.raw[symbol] * (10_000 + step["bps"]) / 10_000).quantize(Decimal("0.01")))
        return
    if step["do"] == "wait":
        core.advance(core.clock.market_ms() + step["hours"] * 3_600_000)
        return
    spot = not step["instId"].endswith("SWAP")
    last = core.board.raw[step["instId"]]
    body = {
        "instId": step["instId"],
        "tdMode": "cash" if spot else "cross",
        "side": step["side"],
        "ordType": step["ordType"],
        "sz": format(step["lots"] * Decimal(STEPS[step["instId"]]), "f"),
        "px": format((last * (10_000 + step["bps"]) / 10_000).quantize(Decimal("0.1")), "f"),
        "posSide": step["posSide"] if venue.hedged and not spot else "",
        "reduceOnly": step["reduceOnly"] and not spot,
        "tgtCcy": step["tgtCcy"] if spot else "",
    }
    before = core.accounts["main"].wallets()
    answer = venue.send("POST", "/trade/order", body=body)
    assert answer["code"] in ("0", "1"), answer
    if answer["code"] == "1":
        assert core.accounts["main"].wallets() == before, "a refusal changes nothing"


def check(venue: Direct) -> None:
    account = venue.sim.venue.accounts["main"]
    bills = venue.every("/account/bills-archive", "", "billId")
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for bill in reversed(bills):
        sums[bill["ccy"]] += Decimal(bill["balChg"])
        assert sums[bill["ccy"]] == Decimal(bill["bal"]), "each bill tells the balance after it"
    assert sums == account.wallets()
    fills = venue.every("/trade/fills-history", "instType=SWAP", "billId")
    by_position: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for fill in fills:
        sign = 1 if fill["side"] == "buy" else -1
        by_position[(fill["instId"], fill["posSide"])] += sign * Decimal(fill["fillSz"])
    rows = venue.send("GET", "/account/positions")["data"]
    held = {(r["instId"], r["posSide"]): Decimal(r["pos"]) * (-1 if r["posSide"] == "short" else 1) for r in rows}
    assert {key: qty for key, qty in by_position.items() if qty} == held
    profit = sum(Decimal(b["pnl"]) + Decimal(b["fee"]) for b in bills if b["type"] in "25" and b["mgnMode"] == "cross")
    assert profit == sum(Decimal(f["fillPnl"]) + Decimal(f["fee"]) for f in fills)
    front = venue.sim.front
    assert isinstance(front, OKXFront)
    reduced = sum(life.realised for life in front.desk.lives.reduced("main"))
    now = [front.desk.lives.of("main", p.symbol, p.position_side) for p in account.positions()]
    growing = sum(life.realised for life in now if life is not None and not life.ended)
    assert reduced + growing == sum(Decimal(b["balChg"]) for b in bills if b["instType"] == "SWAP")
    check_orders(venue, fills)


def check_orders(venue: Direct, fills: list[dict[str, Any]]) -> None:
    spot_fills = venue.every("/trade/fills-history", "instType=SPOT", "billId")
    filled: dict[str, Decimal] = defaultdict(Decimal)
    fees: dict[str, Decimal] = defaultdict(Decimal)
    for fill in fills + spot_fills:
        filled[fill["ordId"]] += Decimal(fill["fillSz"])
        fees[fill["ordId"]] += Decimal(fill["fee"])
    rows = [
        *venue.every("/trade/orders-history", "instType=SWAP", "ordId"),
        *venue.every("/trade/orders-history", "instType=SPOT", "ordId"),
        *venue.every("/trade/orders-pending", "", "ordId"),
    ]
    assert len({row["ordId"] for row in rows}) == len(rows)
    for row in rows:
        assert Decimal(row["accFillSz"]) == filled[row["ordId"]]
        assert Decimal(row["fee"]) == fees[row["ordId"]]
        assert (row["avgPx"] == "") == (row["tradeId"] == "") == (filled[row["ordId"]] == 0)


@settings(max_examples=60, deadline=None)
@given(steps=steps, mode=st.sampled_from(PositionMode), depth=st.sampled_from([None, Decimal(20_000)]))
def test_the_wire_adds_up_to_the_truth(steps: list[dict[str, Any]], mode: PositionMode, depth: Decimal | None):
    venue = Direct(mode, depth)
    for step in steps:
        play(venue, step)
        wallets = venue.sim.venue.accounts["main"].wallets()
        assert all(amount >= 0 for coin, amount in wallets.items() if coin != "USDT")
    check(venue)
