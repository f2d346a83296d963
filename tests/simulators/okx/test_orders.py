"""Life of an order: times in force, contracts, long/short mode, reduce-only, lags, retention, paging."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import OKXControl
from simulators.core.config import ClockConfig, LagsConfig

SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"
START = datetime(2024, 3, 1, tzinfo=UTC)
MANUAL = {"clock": ClockConfig.model_validate({"mode": "manual", "start": START})}
BEGIN_MS = round(START.timestamp() * 1000)
LIMIT = {"ordType": "limit", "px": "59000"}


@pytest.mark.parametrize(
    ("order", "state", "source", "filled"),
    [
        ({"ordType": "limit", "px": "59000"}, "live", "", "0"),
        ({"ordType": "limit", "px": "60100"}, "filled", "", "5"),
        ({"ordType": "ioc", "px": "59000"}, "canceled", "14", "0"),
        ({"ordType": "ioc", "px": "60100"}, "filled", "", "5"),
        ({"ordType": "fok", "px": "59000"}, "canceled", "13", "0"),
        ({"ordType": "fok", "px": "60100"}, "filled", "", "5"),
        ({"ordType": "post_only", "px": "59000"}, "live", "", "0"),
        ({"ordType": "post_only", "px": "60100"}, "canceled", "31", "0"),
        ({"ordType": "market"}, "filled", "", "5"),
        ({"ordType": "optimal_limit_ioc"}, "filled", "", "5"),
    ],
)
def test_order_types(wire: Any, order: dict[str, str], state: str, source: str, filled: str):
    assert wire.place(**order, sz="5", clOrdId="x")["sCode"] == "0", "what ends at once was accepted, too"
    row = wire.order("x")
    assert (row["state"], row["cancelSource"], row["accFillSz"]) == (state, source, filled)
    assert (row["ordType"], row["px"]) == (order["ordType"], order.get("px", ""))
    assert (row["avgPx"] == "") == (filled == "0")


@pytest.fixture
def thin(control: OKXControl) -> OKXControl:
    control.set_liquidity(SWAP, level_notional="6000", levels=3, gap_bps="10")
    return control


def test_market_order_walks_the_levels_and_loses_the_rest(wire: Any, thin: OKXControl):
    wire.place(sz="35", clOrdId="x")
    fills = thin.executions("main")
    assert [(fill.price, fill.qty) for fill in fills] == [
        (Decimal(60_006), 10),
        (Decimal("60066.1"), 10),
        (Decimal("60126.1"), 10),
    ]
    row = wire.order("x")
    assert (row["state"], row["sz"], row["accFillSz"], row["cancelSource"]) == ("canceled", "35", "30", "14")
    assert (row["fillSz"], row["fillPx"], row["tradeId"]) == ("10", "60126.1", fills[-1].execution_id)
    assert Decimal(row["avgPx"]) == pytest.approx(Decimal("60066.0666666667"))
    assert Decimal(row["fee"]) == -sum(fill.fee for fill in fills)


def test_limit_order_rests_with_what_liquidity_left(wire: Any, thin: OKXControl):
    wire.place(ordType="limit", px="60010", sz="15", clOrdId="x")
    assert (wire.order("x")["state"], wire.order("x")["accFillSz"]) == ("partially_filled", "10")
    assert [row["clOrdId"] for row in wire.rows("/trade/orders-pending", "state=partially_filled")] == ["x"]
    thin.set_price(SWAP, "59900")
    assert wire.order("x")["state"] == "filled"
    assert [row["execType"] for row in wire.rows("/trade/fills", "instType=SWAP")] == ["M", "T"]


def test_contracts_are_counted_and_coins_are_paid_for(wire: Any, control: OKXControl):
    wire.place(sz="0.01", clOrdId="least")
    (execution,) = control.executions("main")
    assert execution.value == Decimal("0.01") * Decimal("0.01") * 60_006
    assert wire.order("least")["fee"] == f"-{execution.value * Decimal('0.0005')}".rstrip("0")
    wire.place(instId="ETH-USDT-SWAP", sz="2.5")
    assert {row["instId"]: (row["pos"], row["notionalUsd"]) for row in wire.rows("/account/positions")} == {
        SWAP: ("0.01", "6"),
        "ETH-USDT-SWAP": ("2.5", "750"),
    }


def test_one_order_turns_a_position_round(wire: Any, control: OKXControl):
    wire.place(sz="3")
    control.set_price(PAIR, "61000")
    wire.place(side="sell", sz="5", clOrdId="turn")
    (row,) = wire.rows("/account/positions", f"instId={SWAP}")
    assert (row["pos"], row["avgPx"], row["posSide"]) == ("-2", "60993.9", "net")
    turn = wire.order("turn")
    assert Decimal(turn["pnl"]) == 3 * Decimal("0.01") * (Decimal("60993.9") - 60_006)
    (fill,) = wire.rows("/trade/fills", f"instType=SWAP&ordId={turn['ordId']}")
    assert (fill["fillPnl"], fill["subType"]) == (turn["pnl"], "2")


def test_a_pair_and_its_swap_move_as_one(wire: Any, control: OKXControl):
    wire.place(**LIMIT, clOrdId="x")
    control.set_price(PAIR, "58000")
    assert wire.order("x")["state"] == "filled"
    assert wire.rows("/market/ticker", f"instId={SWAP}")[0]["last"] == "58000"


@pytest.mark.parametrize("config_changes", [{"linked_prices": False}], ids=["apart"])
def test_prices_may_stand_apart(wire: Any, control: OKXControl):
    control.set_price(PAIR, "58000")
    assert wire.rows("/public/mark-price", f"instType=SWAP&instId={SWAP}")[0]["markPx"] == "60000"


# reduce-only and sides
def test_reduce_only_above_the_position_is_refused_whole(wire: Any, control: OKXControl):
    wire.place(sz="2")
    assert wire.place(side="sell", sz="2.01", reduceOnly=True)["sCode"] == "51112"
    assert wire.place(side="sell", sz="2", reduceOnly=True, clOrdId="r")["sCode"] == "0"
    assert (wire.order("r")["state"], wire.order("r")["reduceOnly"]) == ("filled", "true")
    assert control.positions("main") == []


@pytest.mark.parametrize("config_changes", [{"reduce_only_shrinks": True}], ids=["shrinks"])
def test_reduce_only_may_be_cut_to_the_position(wire: Any, control: OKXControl):
    wire.place(sz="2")
    wire.place(side="sell", sz="5", reduceOnly=True, clOrdId="r")
    assert (wire.order("r")["sz"], wire.order("r")["state"]) == ("2", "filled")
    assert control.positions("main") == []


@pytest.mark.parametrize(
    ("second", "first_ends", "second_ends"),
    [
        ({"px": "61000", "sz": "1"}, "", ""),
        ({"px": "61000", "sz": "2"}, "23", ""),
        ({"px": "62000", "sz": "2"}, "", "22"),
        ({"px": "63000", "sz": "2"}, "", "22"),
        ({"ordType": "market", "sz": "2"}, "23", ""),
    ],
)
def test_of_several_reduce_only_orders_the_better_is_served(
    wire: Any, second: dict[str, str], first_ends: str, second_ends: str
):
    wire.place(sz="3")
    common = {"side": "sell", "ordType": "limit", "reduceOnly": True}
    wire.place(**common, px="62000", sz="2", clOrdId="first")
    assert wire.place(**{**common, **second}, clOrdId="second")["sCode"] == "0", "it is accepted in any case"
    assert [wire.order(name)["cancelSource"] for name in ("first", "second")] == [first_ends, second_ends]
    assert wire.order("second")["accFillSz"] == ("2" if second.get("ordType") else "0")


def test_resting_reduce_only_order_dies_with_its_position(wire: Any):
    wire.place(sz="3")
    wire.place(ordType="limit", side="sell", px="62000", sz="3", reduceOnly="true", clOrdId="take")
    wire.place(side="sell", sz="3")
    assert (wire.order("take")["state"], wire.order("take")["cancelSource"]) == ("canceled", "2")


@pytest.fixture
def hedged(wire: Any) -> Any:
    assert wire.post("/account/set-position-mode", {"posMode": "long_short_mode"})["code"] == "0"
    return wire


def test_long_and_short_live_side_by_side(hedged: Any):
    for side, position, sub_type in (("buy", "long", "3"), ("sell", "short", "4")):
        assert hedged.place(side=side, posSide=position, sz="2")["sCode"] == "0"
        assert hedged.rows("/trade/fills", "instType=SWAP")[0]["subType"] == sub_type
    held = [(row["posSide"], row["pos"], row["availPos"]) for row in hedged.rows("/account/positions")]
    assert held == [("long", "2", "2"), ("short", "2", "2")]
    for side, position, sub_type in (("sell", "long", "5"), ("buy", "short", "6")):
        assert hedged.place(side=side, posSide=position, sz="2")["sCode"] == "0"
        assert hedged.rows("/trade/fills", "instType=SWAP")[0]["subType"] == sub_type
    assert hedged.rows("/account/positions") == []


def test_closing_a_side_never_turns_it_round(hedged: Any):
    assert hedged.place(side="sell", posSide="long")["sCode"] == "51169"
    hedged.place(posSide="long", sz="2")
    assert hedged.place(side="sell", posSide="long", sz="2.01")["sCode"] == "51112"
    hedged.place(side="sell", posSide="long", ordType="limit", px="62000", sz="1.5", reduceOnly=True, clOrdId="c")
    assert hedged.order("c")["reduceOnly"] == "false", "in long/short mode the word is ignored"
    assert hedged.place(side="sell", posSide="long", sz="0.51")["sCode"] == "51112", "what waits to close counts"
    assert hedged.place(side="sell", posSide="long", sz="0.5")["sCode"] == "0"


def test_close_position_by_side(hedged: Any, control: OKXControl):
    hedged.place(posSide="long", sz="2")
    hedged.place(side="sell", posSide="short", sz="3")
    close = {"instId": SWAP, "mgnMode": "cross"}
    assert hedged.post("/trade/close-position", close)["code"] == "51000"
    assert hedged.post("/trade/close-position", {**close, "posSide": "short"})["data"][0]["posSide"] == "short"
    assert [(p.position_side.value, p.qty) for p in control.positions("main")] == [("long", 2)]


def test_waiting_orders_are_in_the_way_of_close_position(wire: Any, control: OKXControl):
    wire.place(sz="2")
    wire.place(ordType="limit", side="sell", px="62000", sz="1", reduceOnly=True, clOrdId="take")
    close = {"instId": SWAP, "mgnMode": "cross"}
    response = wire.send("POST", "/trade/close-position", body=f'{{"instId": "{SWAP}", "mgnMode": "cross"}}')
    assert (response.status_code, response.json()["code"]) == (429, "51115")
    answer = wire.post("/trade/close-position", {**close, "autoCxl": True, "clOrdId": "mine"})
    assert answer["data"] == [{"instId": SWAP, "posSide": "net", "clOrdId": "mine", "tag": ""}]
    assert control.positions("main") == []
    assert (wire.order("take")["state"], wire.order("mine")["state"]) == ("canceled", "filled")


# spot
def test_sell_by_value_and_shrinking(wire: Any, control: OKXControl):
    control.deposit("main", "BTC", "0.01")
    wire.spot(side="sell", tgtCcy="quote_ccy", sz="300", clOrdId="v")
    assert (wire.order("v", PAIR)["sz"], wire.order("v", PAIR)["accFillSz"]) == ("300", "0.0050005")
    refused = wire.spot(tgtCcy="base_ccy", sz="2", banAmend=True)
    assert refused["sCode"] == "51008"
    assert wire.spot(tgtCcy="base_ccy", sz="2", clOrdId="s")["sCode"] == "0"
    row = wire.order("s", PAIR)
    assert row["state"] == "filled"
    assert Decimal("1.66") < Decimal(row["sz"]) == Decimal(row["accFillSz"]) < Decimal("1.68")
    assert Decimal(0) <= control.wallets("main")["USDT"] < Decimal("0.01")


def test_a_spot_limit_buy_holds_quote_currency(wire: Any, control: OKXControl):
    wire.spot(**LIMIT, sz="0.5", clOrdId="h", tgtCcy="base_ccy")
    assert wire.order("h", PAIR)["tgtCcy"] == "", "only market orders have a target"
    (row,) = wire.rows("/account/balance", "ccy=USDT")[0]["details"]
    assert (row["cashBal"], row["availBal"], row["ordFrozen"], row["frozenBal"]) == (
        "100000",
        "70500",
        "29500",
        "29500",
    )
    control.set_price(PAIR, "58900")
    fill = wire.rows("/trade/fills", "instType=SPOT")[0]
    assert (fill["feeCcy"], fill["fee"], fill["feeRate"], fill["execType"]) == ("BTC", "-0.0004", "-0.0008", "M")
    bills = wire.rows("/account/bills", "type=2")
    assert {(b["ccy"], b["balChg"], b["fee"]) for b in bills} == {
        ("USDT", "-29500", "0"),
        ("BTC", "0.4996", "-0.0004"),
    }
    assert fill["billId"] in {b["billId"] for b in bills}


def test_slippage_bounds_a_market_order_in_the_received_currency(wire: Any, control: OKXControl):
    control.set_liquidity(PAIR, level_notional="6000", levels=3, gap_bps="10")
    assert wire.spot(tgtCcy="base_ccy", sz="0.25", slippagePct="0.0015", clOrdId="s")["sCode"] == "0"
    row = wire.order("s", PAIR)
    assert (row["state"], row["accFillSz"], row["fillPx"]) == ("canceled", "0.2", "60066.1")
    codes = [
        wire.spot(**order)["sCode"]
        for order in (
            {"tgtCcy": "base_ccy", "sz": "0.01", "slippagePct": "0.051"},
            {"tgtCcy": "base_ccy", "sz": "0.01", "slippagePct": "0.01234"},
            {"sz": "100", "slippagePct": "0.01"},
            {"tgtCcy": "base_ccy", "sz": "0.0001", "slippagePct": "0"},
        )
    ]
    assert codes == ["54084", "54085", "51000", "0"]


# lags
@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_acknowledgement_is_not_a_live_order(wire: Any, control: OKXControl):
    ack = wire.place(clOrdId="x")
    assert ack["sCode"] == "0"
    for query in ("clOrdId=x", f"ordId={ack['ordId']}"):
        assert wire.get("/trade/order", f"instId={SWAP}&{query}")["code"] == "51603"
    assert wire.rows("/trade/orders-pending") == []
    assert wire.place(clOrdId="x")["sCode"] == "51016", "but its id is taken"
    control.advance(seconds=2)
    row = wire.order("x")
    assert (row["state"], row["cTime"], row["uTime"]) == ("filled", str(BEGIN_MS), str(BEGIN_MS + 2_000))
    assert ack["ts"] == row["cTime"]


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_cancel_is_asynchronous_too(wire: Any, control: OKXControl):
    wire.place(**LIMIT, clOrdId="x")
    control.advance(seconds=2)
    assert wire.cancel("x")["sCode"] == "0"
    assert wire.order("x")["state"] == "live"
    assert wire.cancel("x")["sCode"] == "51410"
    control.set_price(PAIR, "58000")
    control.advance(seconds=2)
    assert wire.order("x")["state"] == "filled", "a fill may overtake an acknowledged cancel"


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_reduce_only_waits_for_the_engine_too(wire: Any, control: OKXControl):
    wire.place(sz="2")
    control.advance(seconds=2)
    ack = wire.place(side="sell", sz="2", reduceOnly=True, clOrdId="r")
    assert (ack["sCode"], len(control.positions("main"))) == ("0", 1)
    assert wire.get("/trade/order", f"instId={SWAP}&clOrdId=r")["code"] == "51603"
    control.advance(seconds=2)
    assert (wire.order("r")["state"], control.positions("main")) == ("filled", [])


@pytest.mark.parametrize("config_changes", [{**MANUAL, "lags": LagsConfig(apply_ms=2_000)}], ids=["late"])
def test_refused_for_money_after_the_acknowledgement(wire: Any, control: OKXControl):
    assert wire.place(sz="1500", clOrdId="x")["sCode"] == "0"
    control.withdraw("main", "USDT", "90000")
    control.advance(seconds=2)
    assert (wire.order("x")["state"], wire.order("x")["cancelSource"]) == ("canceled", "0")


# ids
def test_an_id_is_unique_among_pending_orders_of_all_instruments(wire: Any, control: OKXControl):
    assert wire.place(**LIMIT, clOrdId="once")["sCode"] == "0"
    assert wire.place(**LIMIT, clOrdId="once")["sCode"] == "51016"
    assert wire.spot(ordType="limit", px="59000", sz="0.01", clOrdId="once")["sCode"] == "51016"
    assert wire.place(**LIMIT, clOrdId="ONCE")["sCode"] == "0", "capitals make another id"
    wire.cancel("once")
    assert wire.place(clOrdId="once")["sCode"] == "0"
    assert wire.place(clOrdId="once")["sCode"] == "0", "a filled order's id may be used again: it duplicates"
    newest = control.orders("main")[-1]
    assert wire.order("once")["ordId"] == newest.order_id, "only the latest is shown"
    assert len(control.executions("main")) == 2


@pytest.mark.parametrize("config_changes", [{"id_scope": "forever"}], ids=["forever"])
def test_id_scope_is_a_setting(wire: Any):
    assert [wire.place(clOrdId="once")["sCode"] for _ in range(2)] == ["0", "51016"]


# retention and paging
@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_unfilled_cancelled_orders_are_kept_for_two_hours(wire: Any, control: OKXControl):
    wire.place(**LIMIT, clOrdId="gone")
    wire.cancel("gone")
    wire.place(clOrdId="done")

    def seen(path: str) -> list[str]:
        return [row["clOrdId"] for row in wire.rows(path, "instType=SWAP")]

    def found(name: str) -> bool:
        return wire.get("/trade/order", f"instId={SWAP}&clOrdId={name}")["code"] == "0"

    history, archive = "/trade/orders-history", "/trade/orders-history-archive"
    control.advance(seconds=7_200)
    assert (seen(history), seen(archive), found("gone")) == (["done", "gone"], ["done"], True)
    control.advance(seconds=1)
    assert (seen(history), found("gone"), found("done")) == (["done"], False, True)
    control.advance(days=7)
    assert (seen(history), seen(archive), found("done")) == ([], ["done"], False)
    control.advance(days=84)
    assert seen(archive) == []


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_fills_and_bills_are_kept_for_their_days(wire: Any, control: OKXControl):
    wire.place()

    def counts() -> list[int]:
        paths = ("/trade/fills", "/account/bills", "/trade/fills-history", "/account/bills-archive")
        return [len(wire.rows(path, "instType=SWAP")) for path in paths]

    assert counts() == [1, 1, 1, 1]
    control.advance(days=4)
    assert counts() == [0, 1, 1, 1]
    control.advance(days=4)
    assert counts() == [0, 0, 1, 1]
    control.advance(days=85)
    assert counts() == [0, 0, 0, 0]


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_windows_include_their_ends(wire: Any, control: OKXControl):
    for _ in range(3):
        wire.place()
        control.advance(seconds=1)
    for path in ("/trade/fills", "/trade/orders-history", "/account/bills"):
        rows = wire.rows(path, f"instType=SWAP&begin={BEGIN_MS + 1_000}&end={BEGIN_MS + 2_000}")
        assert len(rows) == 2


def pages(wire: Any, path: str, query: str, key: str) -> list[str]:
    """Follow `after` to the end."""
    found: list[str] = []
    after = ""
    while rows := wire.rows(path, f"{query}&limit=3{after}"):
        found += [row[key] for row in rows]
        assert len(found) < 50, "pages that go in a circle"
        after = f"&after={found[-1]}"
    return found


@pytest.mark.parametrize(
    ("path", "query", "key"),
    [
        ("/trade/orders-history", "instType=SWAP", "ordId"),
        ("/trade/orders-history-archive", "instType=SWAP", "ordId"),
        ("/trade/orders-pending", "instType=SPOT", "ordId"),
        ("/trade/fills", "instType=SWAP", "billId"),
        ("/trade/fills-history", "instType=SWAP", "billId"),
        ("/account/bills", "instType=SWAP", "billId"),
    ],
)
def test_after_covers_everything_once_newest_first(wire: Any, path: str, query: str, key: str):
    for number in range(7):
        wire.place()
        wire.spot(ordType="limit", px=str(50_000 + number), sz="0.001")
    found = pages(wire, path, query, key)
    assert found == [row[key] for row in wire.rows(path, query)]
    assert len(set(found)) == 7
    assert found == sorted(found, key=int, reverse=True)
    newer = wire.rows(path, f"{query}&before={found[4]}&limit=2")
    assert [row[key] for row in newer] == found[:2], "`before` shows the newest, not the next"


def test_after_survives_new_rows(wire: Any):
    for number in range(4):
        wire.place(clOrdId=f"a{number}")
    first = wire.rows("/trade/orders-history", "instType=SWAP&limit=2")
    wire.place(clOrdId="late")
    second = wire.rows("/trade/orders-history", f"instType=SWAP&limit=2&after={first[-1]['ordId']}")
    assert [row["clOrdId"] for row in second] == ["a1", "a0"]


def test_trade_numbers_repeat_between_markets(wire: Any):
    wire.place()
    wire.spot(sz="100")
    fills = wire.rows("/trade/fills")
    assert [row["instType"] for row in fills] == ["SPOT", "SWAP"]
    assert fills[0]["tradeId"] == fills[1]["tradeId"]
    assert fills[0]["billId"] != fills[1]["billId"]


def test_listings_can_be_narrowed(wire: Any):
    wire.place(**LIMIT, clOrdId="a")
    wire.place(ordType="post_only", px="59000", clOrdId="b")
    wire.place(instId="ETH-USDT-SWAP", ordType="limit", px="2900", clOrdId="c")
    wire.spot(ordType="limit", px="59000", sz="0.001", clOrdId="d")

    def seen(query: str) -> str:
        return "".join(row["clOrdId"] for row in wire.rows("/trade/orders-pending", query))

    assert seen("") == "dcba"
    assert seen("instType=SWAP") == "cba"
    assert seen("instType=FUTURES") == ""
    assert seen(f"instId={SWAP}") == "ba"
    assert seen("instFamily=ETH-USDT") == "c"
    assert seen("ordType=post_only,fok") == "b"
    assert seen("state=partially_filled") == ""


# cancel all after
@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_cancel_all_after(wire: Any, control: OKXControl):
    wire.place(**LIMIT, clOrdId="a", tag="mine")
    wire.place(**LIMIT, clOrdId="b")

    def arm(**body: str) -> Any:
        return wire.post("/trade/cancel-all-after", body)

    assert arm(timeOut="10", tag="mine")["data"][0]["triggerTime"] == str(BEGIN_MS + 10_000)
    control.advance(seconds=10)
    assert (wire.order("a")["state"], wire.order("a")["cancelSource"]) == ("canceled", "20")
    assert wire.order("b")["state"] == "live"
    arm(timeOut="20")
    control.advance(seconds=15)
    arm(timeOut="20")
    control.advance(seconds=15)
    assert wire.order("b")["state"] == "live", "a heartbeat postpones it"
    assert arm(timeOut="0")["data"][0]["triggerTime"] == "0"
    control.advance(seconds=60)
    assert wire.order("b")["state"] == "live"
    assert [arm(timeOut=text)["code"] for text in ("5", "121", "soon", "")] == ["51000", "51000", "51000", "50014"]
