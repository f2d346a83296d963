"""What an account does beside its own API: fees in BNB, orders of its human, the end by liquidation."""

from decimal import Decimal
from typing import Any

import pytest

from simulators import Control
from simulators.core.config import AccountConfig, InstrumentConfig, PricesConfig
from simulators.core.types import MarketKind
from simulators.demo_binance import binance_coins

SYMBOL = {"symbol": "BTCUSDT"}
BNB = InstrumentConfig(
    symbol="BNBUSDT",
    kind=MarketKind.SPOT,
    base="BNB",
    tick=Decimal("0.01"),
    step=Decimal("0.001"),
    qty_min=Decimal("0.001"),
    leverage_max=Decimal(1),
)
PRICES = {"BTCUSDT": Decimal(60_000), "ETHUSDT": Decimal(3_000), "BNBUSDT": Decimal(600)}
MONEY = {"USDT": Decimal(100_000), "USDT@futures": Decimal(100_000), "BNB": Decimal(1), "BNB@futures": Decimal("0.001")}
LISTED = {
    "instruments": (*binance_coins(), BNB),
    "accounts": (AccountConfig(name="main", balances=MONEY),),
    "prices": PricesConfig(start=PRICES, spread_bps=Decimal(2)),
    "bnb_fees": True,
}


@pytest.mark.parametrize("config_changes", [LISTED], ids=["bnb"])
def test_fees_may_be_paid_in_bnb(wire: Any, control: Control):
    placed = wire.spot(quantity="0.1")
    # 0.1 % of 0.1 BTC at 60000 is 6 USDT, three quarters of that at 600 are 0.0075 BNB
    fee = {"commission": "0.00750000", "commissionAsset": "BNB"}
    assert placed["fills"][0] == {**placed["fills"][0], **fee}
    (trade,) = wire.get("/api/v3/myTrades", **SYMBOL)
    assert trade == {**trade, **fee}
    assert (control.wallets("main")["BTC"], control.wallets("main")["BNB"]) == (Decimal("0.1"), Decimal("0.9925"))
    wire.futures(side="SELL")
    wire.futures(side="BUY")
    first, second = wire.get("/fapi/v1/userTrades", **SYMBOL)
    # 0.05 % of 599.94 USDT, nine tenths of that at 600 are 0.00044996 BNB (rounded up); then 0.00045005
    assert (first["commission"], first["commissionAsset"]) == ("0.00044996", "BNB")
    assert (second["commission"], second["realizedPnl"]) == ("0.00045005", "-0.12000000")
    wire.futures()
    assert wire.get("/fapi/v1/userTrades", **SYMBOL)[-1]["commissionAsset"] == "USDT", "there is not enough BNB left"
    rows = wire.get("/fapi/v1/income")
    for asset in ("BNB", "USDT"):
        income = sum(Decimal(row["income"]) for row in rows if row["asset"] == asset)
        assert income == control.wallets("main")[f"{asset}@futures"]
    assert wire.get("/fapi/v1/feeBurn") == {"feeBurn": True}
    wire.post("/fapi/v1/feeBurn", feeBurn="false")
    assert wire.spot()["fills"][0]["commissionAsset"] == "BTC"


@pytest.mark.parametrize(("kind", "path"), [("spot", "/api/v3"), ("linear", "/fapi/v1")])
def test_orders_of_the_human_bear_an_id_of_the_web(wire: Any, control: Control, kind: str, path: str):
    order = control.place_order("main", "BTCUSDT", "buy", "0.01", price="59000", kind=kind)
    (row,) = wire.get(f"{path}/openOrders", **SYMBOL)
    assert row["clientOrderId"] == f"web_{order.order_id}"
    named = {**SYMBOL, "origClientOrderId": row["clientOrderId"]}
    assert wire.get(f"{path}/order", **named)["orderId"] == row["orderId"]
    assert wire.get(f"{path}/order", **{**named, "origClientOrderId": f"x_{order.order_id}"})["code"] == -2013
    assert wire.delete(f"{path}/order", **named)["status"] == "CANCELED"


def test_liquidation(wire: Any, control: Control):
    wire.futures(quantity="30")
    control.set_price("BTCUSDT", 56_000)
    assert wire.get("/fapi/v3/positionRisk") == []
    last = wire.get("/fapi/v1/allOrders", **SYMBOL)[-1]
    assert (last["clientOrderId"].startswith("autoclose-"), last["status"]) == (True, "FILLED")
    assert wire.get("/fapi/v1/userTrades", **SYMBOL)[-1]["orderId"] == last["orderId"]


def test_accounts_are_apart(wire: Any, wire_of: Any):
    placed = wire.spot(type="LIMIT", timeInForce="GTC", price="59000", newClientOrderId="mine")
    other = wire_of(key="second-key", secret="second-secret")
    assert other.get("/api/v3/order", **SYMBOL, orderId=placed["orderId"])["code"] == -2013
    assert other.delete("/api/v3/order", **SYMBOL, origClientOrderId="mine")["code"] == -2011
    assert other.spot(newClientOrderId="mine")["status"] == "FILLED"
    assert wire.get("/api/v3/myTrades", **SYMBOL) == []


def test_multi_assets_mode_tells_one_pool_in_every_coin(wire: Any, control: Control):
    """Sheet trap 8: whoever sums availableBalance counts the same money several times."""
    control.deposit("main", "USDC@futures", 50)
    wire.futures()
    assert [row["availableBalance"] for row in wire.get("/fapi/v3/account")["assets"]] == [
        "50.00000000",
        "99969.63997000",
    ]
    joint = {"multiAssetsMargin": "true"}
    resting = wire.futures(type="LIMIT", timeInForce="GTC", price="59000")
    assert wire.post("/fapi/v1/multiAssetsMargin", **joint)["code"] == -4170
    wire.delete("/fapi/v1/order", **SYMBOL, orderId=resting["orderId"])
    assert wire.post("/fapi/v1/multiAssetsMargin", **joint) == {"code": 200, "msg": "success"}
    assert wire.get("/fapi/v1/multiAssetsMargin") == {"multiAssetsMargin": True}
    pool = "100019.63997000"
    account = wire.get("/fapi/v3/account")
    assert (account["totalWalletBalance"], account["availableBalance"]) == ("100049.69997000", pool)
    rows = {row["asset"]: (row["walletBalance"], row["availableBalance"]) for row in account["assets"]}
    assert rows == {
        "BNB": ("0.00000000", "0.00000000"),
        "USDC": ("50.00000000", pool),
        "USDT": ("99999.69997000", pool),
    }
    assert {row["asset"]: row["availableBalance"] for row in wire.get("/fapi/v3/balance")}["USDC"] == pool
    assert wire.post("/fapi/v1/marginType", symbol="ETHUSDT", marginType="ISOLATED")["code"] == -4168
    assert wire.post("/fapi/v1/multiAssetsMargin", **joint)["code"] == -4171
    assert wire.post("/fapi/v1/multiAssetsMargin", multiAssetsMargin="false")["code"] == 200
    wire.post("/fapi/v1/marginType", symbol="ETHUSDT", marginType="ISOLATED")
    assert wire.post("/fapi/v1/multiAssetsMargin", **joint)["code"] == -4167
