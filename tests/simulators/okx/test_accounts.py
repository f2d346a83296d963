"""Account modes, balances, positions, leverage, funding, liquidation and bills, as the truth has them."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from simulators import OKXControl, build_okx, okx_demo_config
from simulators.core.config import ClockConfig
from simulators.core.control import ControlError
from simulators.okx.simulator import OKXConfig
from simulators.testing_okx import small_okx_config

SWAP, PAIR = "BTC-USDT-SWAP", "BTC-USDT"
START = datetime(2024, 3, 1, tzinfo=UTC)
MANUAL = {"clock": ClockConfig.model_validate({"mode": "manual", "start": START})}
LIMIT = {"ordType": "limit", "px": "59000"}


def detail(wire: Any, coin: str = "USDT") -> dict[str, str]:
    (row,) = wire.rows("/account/balance", f"ccy={coin}")[0]["details"]
    return row


# account modes
@pytest.mark.parametrize(
    ("level", "swap", "pair_cash", "pair_cross", "isolated"),
    [
        ("1", "51010", "0", "51010", "51010"),
        ("2", "0", "0", "51010", "51010"),
        ("3", "0", "51000", "0", "50072"),
        ("4", "0", "51000", "0", "50072"),
    ],
)
def test_trade_modes_by_account_mode(
    wire: Any, control: OKXControl, level: str, swap: str, pair_cash: str, pair_cross: str, isolated: str
):
    control.set_account_level("main", level)
    assert wire.rows("/account/config")[0]["acctLv"] == level
    assert wire.place()["sCode"] == swap
    assert wire.spot(sz="10")["sCode"] == pair_cash
    assert wire.spot(sz="10", tdMode="cross")["sCode"] == pair_cross
    assert wire.place(tdMode="isolated")["sCode"] == isolated


def test_figures_by_account_mode(wire: Any, control: OKXControl):
    wire.place(sz="10")
    futures = wire.rows("/account/balance")[0]
    assert [futures[name] for name in ("adjEq", "availEq", "imr", "mmr", "mgnRatio", "notionalUsd")] == [""] * 6
    assert (detail(wire)["imr"], detail(wire)["mmr"]) == ("600", "24")
    control.set_account_level("main", "3")
    several = wire.rows("/account/balance")[0]
    assert (several["imr"], several["mmr"], several["notionalUsd"]) == ("600", "24", "6000")
    assert several["adjEq"] == several["totalEq"]
    assert (detail(wire)["imr"], detail(wire)["availEq"] != "") == ("", True)
    control.set_account_level("main", "1")
    assert detail(wire)["availEq"] == ""


def test_portfolio_margin_knows_no_leverage_and_no_hedge(wire: Any, control: OKXControl):
    control.set_account_level("main", "4")
    body = {"instId": SWAP, "mgnMode": "cross", "lever": "3"}
    assert wire.post("/account/set-leverage", body)["code"] == "51039"
    assert wire.get("/account/leverage-info", f"instId={SWAP}&mgnMode=cross")["code"] == "59111"
    assert wire.post("/account/set-position-mode", {"posMode": "long_short_mode"})["code"] == "51041"
    assert wire.post("/account/set-position-mode", {"posMode": "net_mode"})["code"] == "0"
    with pytest.raises(ControlError, match="level must be one of"):
        control.set_account_level("main", "5")


@pytest.mark.parametrize("config_changes", [{"account_levels": {"main": "1"}}], ids=["spot"])
def test_spot_mode_has_no_contracts(wire: Any):
    assert wire.rows("/account/config")[0]["acctLv"] == "1"
    assert wire.post("/account/set-position-mode", {"posMode": "long_short_mode"})["code"] == "51010"
    assert wire.get("/account/leverage-info", f"instId={SWAP}&mgnMode=cross")["code"] == "51010"


# balances
def test_balance_shows_what_is_held_only(wire: Any, control: OKXControl):
    assert wire.rows("/account/balance", "ccy=BTC,ETH")[0]["details"] == []
    control.deposit("main", "BTC", "0.5")
    row = wire.rows("/account/balance")[0]
    assert [(d["ccy"], d["cashBal"], d["eqUsd"]) for d in row["details"]] == [
        ("USDT", "100000", "100000"),
        ("BTC", "0.5", "30000"),
    ]
    assert row["totalEq"] == "130000"
    control.withdraw("main", "BTC", "0.5")
    assert [d["ccy"] for d in wire.rows("/account/balance")[0]["details"]] == ["USDT"]


def test_margin_is_frozen_and_profit_is_equity(wire: Any, control: OKXControl):
    wire.place(sz="10")
    wire.place(**LIMIT, sz="10")
    control.set_price(PAIR, "60500")
    row, truth = detail(wire), control.margin("main")
    assert Decimal(row["upl"]) == 10 * Decimal("0.01") * (60_500 - 60_006) == truth.unrealised
    assert Decimal(row["eq"]) == Decimal(row["cashBal"]) + Decimal(row["upl"])
    assert Decimal(row["imr"]) == 605 + 590
    assert Decimal(row["availEq"]) == Decimal(row["eq"]) - Decimal(row["frozenBal"]) == truth.available
    assert row["ordFrozen"] == "590"


@pytest.mark.parametrize("config_changes", [{"float_noise": True}], ids=["noisy"])
def test_balances_may_carry_the_noise_of_floats(wire: Any):
    wire.place()
    row = detail(wire)
    assert row["availBal"] == "99939.6399699999999999"
    assert row["cashBal"] == "99999.69997"


# positions
def test_a_position_tells_what_it_cost_since_it_was_opened(wire: Any, control: OKXControl):
    control.set_funding_rate("0.0001")
    wire.place(sz="10")
    control.advance(seconds=8 * 3_600)
    control.set_price(PAIR, "61000")
    wire.place(side="sell", sz="4")
    (row,) = wire.rows("/account/positions", "instType=SWAP")
    fees = sum(e.fee for e in control.executions("main") if e.kind.value == "trade")
    assert (Decimal(row["fee"]), row["fundingFee"]) == (-fees, "-0.6")
    assert Decimal(row["pnl"]) == 4 * Decimal("0.01") * (Decimal("60993.9") - 60_006)
    assert Decimal(row["realizedPnl"]) == Decimal(row["pnl"]) + Decimal(row["fee"]) + Decimal(row["fundingFee"])
    assert Decimal(row["upl"]) == 6 * Decimal("0.01") * (61_000 - 60_006)
    assert (row["pos"], row["lever"], row["mgnMode"], row["ccy"]) == ("6", "10", "cross", "USDT")
    assert wire.rows("/account/positions", f"posId={row['posId']}") == [row]
    assert wire.rows("/account/positions", "posId=1") == []


def test_a_flat_position_is_shown_by_name_only_and_starts_afresh(wire: Any):
    assert wire.rows("/account/positions", f"instId={SWAP}") == [], "never held"
    wire.place()
    wire.place(side="sell")
    (flat,) = wire.rows("/account/positions", f"instId={SWAP}")
    assert [flat[name] for name in ("pos", "avgPx", "imr", "notionalUsd", "uplRatio")] == ["0", "", "", "", ""]
    assert wire.rows("/account/positions") == []
    wire.place(sz="2")
    (row,) = wire.rows("/account/positions")
    assert (row["posId"], row["fee"]) == (flat["posId"], "-0.60006"), "fees are counted anew"


def test_several_positions_in_one_reading(wire: Any):
    wire.place()
    wire.place(instId="ETH-USDT-SWAP", side="sell")
    assert [row["pos"] for row in wire.rows("/account/positions", f"instId={SWAP},ETH-USDT-SWAP")] == ["1", "-1"]
    assert wire.rows("/account/positions", "instType=FUTURES") == []


@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_the_lives_of_a_position_are_told_when_it_is_reduced(wire: Any, control: OKXControl):
    def history(query: str = "") -> list[tuple[str, ...]]:
        names = ("type", "direction", "openMaxPos", "closeTotalPos", "openAvgPx", "closeAvgPx")
        return [tuple(row[name] for name in names) for row in wire.rows("/account/positions-history", query)]

    wire.place(sz="3")
    assert history() == [], "what only grew is not history"
    control.advance(seconds=1)
    wire.place(side="sell", sz="1")
    assert history() == [("1", "long", "3", "1", "60006", "59994")]
    control.advance(seconds=1)
    wire.place(side="sell", sz="5")
    assert history() == [("2", "long", "3", "3", "60006", "59994")], "the other side has begun and is not reduced yet"
    (row,) = wire.rows("/account/positions-history")
    paid = Decimal(6) * Decimal("0.01") * Decimal("60000") * Decimal("0.0005")
    assert (Decimal(row["pnl"]), Decimal(row["fee"])) == (3 * Decimal("0.01") * -12, -paid)
    assert Decimal(row["realizedPnl"]) == Decimal(row["pnl"]) + Decimal(row["fee"]) + Decimal(row["fundingFee"])
    (held,) = wire.rows("/account/positions")
    assert (held["pos"], held["pnl"], held["posId"]) == ("-3", "0", row["posId"])
    control.advance(seconds=1)
    wire.place(sz="3")
    assert [row[:2] for row in history()] == [("2", "short"), ("2", "long")]
    assert history("type=1") == history(f"posId={int(row['posId']) + 1}") == []
    first, second = (row["uTime"] for row in wire.rows("/account/positions-history"))
    assert [row[1] for row in history(f"after={first}")] == ["long"]
    assert [row[1] for row in history(f"before={second}")] == ["short"]
    assert len(history("limit=1")) == 1
    control.advance(days=31)
    wire.place()
    assert wire.rows("/account/positions")[0]["posId"] != row["posId"], "after thirty days the number is another"
    control.advance(days=60)
    assert history() == []


# leverage and mode
@pytest.mark.parametrize(
    ("lever", "status", "code"),
    [
        ("10", 200, "0"),
        (4, 200, "0"),
        ("2.5", 200, "0"),
        ("100.01", 200, "59102"),
        ("0.5", 400, "59105"),
        ("many", 400, "51000"),
        ("", 400, "50014"),
    ],
)
def test_leverage(wire: Any, lever: Any, status: int, code: str):

    body = json.dumps({"instId": SWAP, "mgnMode": "cross", "lever": lever})
    response = wire.send("POST", "/account/set-leverage", body=body)
    assert (response.status_code, response.json()["code"]) == (status, code)
    (row,) = wire.rows("/account/leverage-info", f"instId={SWAP}&mgnMode=cross")
    assert row["lever"] == (str(lever) if code == "0" else "10")


def test_leverage_cannot_fall_below_what_the_margin_allows(wire: Any):
    wire.place(sz="1500")
    body = {"instId": SWAP, "mgnMode": "cross", "lever": "5"}
    assert wire.post("/account/set-leverage", body)["code"] == "59103"
    assert wire.rows("/account/positions")[0]["lever"] == "10"


def test_isolated_leverage_is_kept_by_side(wire: Any):
    def lever(**body: str) -> str:
        return wire.post("/account/set-leverage", {"instId": SWAP, "mgnMode": "isolated", "lever": "3", **body})["code"]

    assert lever() == "0"
    wire.post("/account/set-position-mode", {"posMode": "long_short_mode"})
    assert lever() == "51000"
    assert [lever(posSide="long", lever="4"), lever(posSide="short", lever="7")] == ["0", "0"]
    rows = wire.rows("/account/leverage-info", f"instId={SWAP}&mgnMode=isolated")
    assert [(row["posSide"], row["lever"]) for row in rows] == [("long", "4"), ("short", "7")]
    cross = wire.rows("/account/leverage-info", f"instId={SWAP},ETH-USDT-SWAP&mgnMode=cross")
    assert {(row["instId"], row["lever"]) for row in cross} == {(SWAP, "10"), ("ETH-USDT-SWAP", "10")}


@pytest.mark.parametrize("config_changes", [{"leverage_with_orders": False}], ids=["strict"])
def test_waiting_orders_may_bar_a_change_of_leverage(wire: Any):
    wire.place(**LIMIT, clOrdId="w")
    body = {"instId": SWAP, "mgnMode": "cross", "lever": "3"}
    assert wire.post("/account/set-leverage", body)["code"] == "59107"
    assert wire.post("/account/set-leverage", {**body, "instId": "ETH-USDT-SWAP"})["code"] == "0"
    wire.cancel("w")
    assert wire.post("/account/set-leverage", body)["code"] == "0"


def test_position_mode_wants_nothing_open(wire: Any):
    def switch(mode: str) -> str:
        return wire.post("/account/set-position-mode", {"posMode": mode})["code"]

    assert [switch("net_mode"), switch("both"), switch("")] == ["0", "51000", "50014"]
    wire.place(**LIMIT, clOrdId="open")
    assert switch("long_short_mode") == "59000"
    wire.cancel("open")
    wire.place()
    assert switch("long_short_mode") == "59000"
    assert switch("net_mode") == "0", "the mode that is on is no change"
    wire.place(side="sell")
    wire.spot(ordType="limit", px="59000", sz="0.01")
    assert switch("long_short_mode") == "0"


# cash events
@pytest.mark.parametrize("config_changes", [MANUAL], ids=["manual"])
def test_funding_is_a_bill_and_no_fill(wire: Any, control: OKXControl):
    control.set_funding_rate("0.0001")
    control.set_funding_rate("-0.0002", symbol="ETH-USDT-SWAP")
    wire.place(sz="10")
    wire.place(instId="ETH-USDT-SWAP", sz="10")
    control.advance(seconds=8 * 3_600)
    assert len(wire.rows("/trade/fills")) == 2
    bills = wire.rows("/account/bills", "type=8")
    assert [(b["instId"], b["subType"], b["balChg"], b["pnl"], b["fee"]) for b in bills] == [
        ("ETH-USDT-SWAP", "174", "0.6", "0.6", "0"),
        (SWAP, "173", "-0.6", "-0.6", "0"),
    ]
    assert [b["ordId"] for b in bills] == ["", ""]
    (rate,) = wire.rows("/public/funding-rate", f"instId={SWAP}")
    assert (rate["fundingRate"], int(rate["fundingTime"]) % 28_800_000) == ("0.0001", 0)


def test_transfers_are_bills(wire: Any, control: OKXControl):
    control.deposit("main", "BTC", "1")
    control.withdraw("main", "USDT", "250")
    control.transfer("main", "second", "USDT", "100")
    bills = wire.rows("/account/bills", "type=1")
    assert [(b["ccy"], b["subType"], b["balChg"], b["sz"], b["from"], b["to"]) for b in bills] == [
        ("USDT", "12", "-100", "100", "18", "6"),
        ("USDT", "12", "-250", "250", "18", "6"),
        ("BTC", "11", "1", "1", "6", "18"),
        ("USDT", "11", "100000", "100000", "6", "18"),
    ]
    assert [b["ccy"] for b in wire.rows("/account/bills", "ccy=BTC")] == ["BTC"]
    assert wire.rows("/account/bills", "subType=12&limit=1") == bills[:1]
    assert wire.rows("/account/bills", "type=2") == []


def test_liquidation_closes_everything_and_says_so(wire: Any, control: OKXControl):
    control.withdraw("main", "USDT", "98000")
    wire.place(sz="30")
    wire.place(ordType="limit", side="sell", px="62000", clOrdId="resting")
    control.set_price(PAIR, "53500")
    assert control.positions("main") == []
    fill = wire.rows("/trade/fills", "instType=SWAP")[0]
    assert (fill["subType"], fill["tradeId"][0]) == ("107", "-")
    order = wire.rows("/trade/orders-history", "instType=SWAP&state=filled")[0]
    assert (order["category"], order["tradeId"]) == ("full_liquidation", fill["tradeId"])
    assert wire.rows("/account/bills", "type=5")[0]["tradeId"] == fill["tradeId"]
    assert [row["type"] for row in wire.rows("/account/positions-history")] == ["3"]
    assert wire.order("resting")["cancelSource"] == "3"


def test_orders_of_the_accounts_human_are_shown(wire: Any, control: OKXControl):
    order = control.place_order("main", SWAP, "buy", "2", price="59000")
    (row,) = wire.rows("/trade/orders-pending")
    assert (row["ordId"], row["clOrdId"], row["tdMode"], row["ordType"]) == (order.order_id, "", "cross", "limit")
    control.cancel_order("main", order.order_id)
    (gone,) = wire.rows("/trade/orders-history", "instType=SWAP")
    assert (gone["state"], gone["cancelSource"]) == ("canceled", "0")
    control.place_order("main", PAIR, "buy", "0.01", kind="spot")
    assert wire.rows("/trade/orders-history", "instType=SPOT")[0]["tdMode"] == "cash"


# configuration
def test_a_symbol_is_an_instrument_id():
    swap = small_okx_config().instruments[0]
    wrong = swap.model_copy(update={"symbol": "BTCUSDT"})
    with pytest.raises(ValueError, match="must be BTC-USDT-SWAP, was BTCUSDT"):
        OKXConfig.model_validate({**small_okx_config().model_dump(), "instruments": [wrong.model_dump()]})


def test_the_demonstration_walks_and_funds():
    control = OKXControl(build_okx(okx_demo_config()))
    control.place_order("main", SWAP, "buy", "1")
    before = control.prices()
    control.advance(days=30)
    after = control.prices()
    assert after[PAIR] == after[SWAP] != before[PAIR] == before[SWAP] == 60_000
    assert len([e for e in control.transaction_log("main") if e.kind.value == "funding"]) == 90


def test_a_reset_forgets_everything(wire: Any, control: OKXControl):
    wire.place(clOrdId="x")
    control.set_account_level("main", "3")
    control.reset()
    assert wire.get("/trade/order", f"instId={SWAP}&clOrdId=x")["code"] == "51603"
    assert wire.rows("/account/config")[0]["acctLv"] == "2"
    assert wire.rows("/trade/fills") == []
