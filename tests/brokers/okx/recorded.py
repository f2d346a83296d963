"""Bodies as OKX answered them, and builders for the rows that tests change.

Sources, beside each row: live answers that the ccxt project keeps for its tests (ts/src/test/static/response/okx.json),
live answers among NautilusTrader's test data (crates/adapters/okx/test_data), and the examples of OKX's own
documentation. Fields that no reader needs are left out.
"""

from __future__ import annotations

import json
from typing import Any

# NautilusTrader, http_get_instruments_swap.json: the inverse one first.
INVERSE_ROW: dict[str, Any] = {
    "instType": "SWAP", "instId": "BTC-USD-SWAP", "instFamily": "BTC-USD", "uly": "BTC-USD", "baseCcy": "",
    "quoteCcy": "", "ctType": "inverse", "ctVal": "100", "ctValCcy": "USD", "ctMult": "1", "settleCcy": "BTC",
    "lotSz": "1", "minSz": "1", "tickSz": "0.1", "lever": "100", "maxLmtSz": "100000000", "maxMktSz": "30000",
    "state": "live",
}  # fmt: skip
ETH_SWAP_ROW: dict[str, Any] = {
    "instType": "SWAP", "instId": "ETH-USDT-SWAP", "instFamily": "ETH-USDT", "uly": "ETH-USDT", "baseCcy": "",
    "quoteCcy": "", "ctType": "linear", "ctVal": "0.1", "ctValCcy": "ETH", "ctMult": "1", "settleCcy": "USDT",
    "lotSz": "0.01", "minSz": "0.01", "tickSz": "0.01", "lever": "100", "maxLmtSz": "100000000", "maxMktSz": "20000",
    "state": "live",
}  # fmt: skip
SWAP_ROW: dict[str, Any] = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "instFamily": "BTC-USDT", "uly": "BTC-USDT", "baseCcy": "",
    "quoteCcy": "", "ctType": "linear", "ctVal": "0.01", "ctValCcy": "BTC", "ctMult": "1", "settleCcy": "USDT",
    "lotSz": "0.01", "minSz": "0.01", "tickSz": "0.1", "lever": "100", "maxLmtSz": "100000000", "maxMktSz": "12000",
    "state": "live", "instIdCode": 10459,
}  # fmt: skip
# The form of NautilusTrader's http_get_instruments_spot.json, of the pair that the tests trade.
SPOT_ROW: dict[str, Any] = {
    "instType": "SPOT", "instId": "BTC-USDT", "baseCcy": "BTC", "quoteCcy": "USDT", "ctType": "", "ctVal": "",
    "ctValCcy": "", "ctMult": "", "settleCcy": "", "lotSz": "0.00000001", "minSz": "0.00001", "tickSz": "0.1",
    "lever": "10", "maxLmtSz": "9999999999", "maxMktSz": "1000000", "maxMktAmt": "1000000", "state": "live",
}  # fmt: skip

# ccxt, createOrder.
ACK_ROW: dict[str, Any] = {
    "clOrdId": "6b9ad766b55dBCDE63969a1144bfb943", "ordId": "2896576259728695296", "sCode": "0",
    "sMsg": "Order placed", "tag": "6b9ad766b55dBCDE", "ts": "1758827099512",
}  # fmt: skip
# ccxt, the answer to an order that compliance refused.
REFUSED = (
    '{"code":"1","data":[{"clOrdId":"e847xxx","ordId":"","sCode":"51155","sMsg":"You can\'t trade this pair or '
    'borrow this crypto due to local compliance restrictions.","tag":"e847xxx","ts":"1753979177157"}],'
    '"inTime":"1753979177157408","msg":"All operations failed","outTime":"1753979177158000"}'
)
# A live answer quoted in public issues.
TIMED_OUT = '{"code":"50004","data":[],"msg":"API endpoint request timeout "}'

# ccxt, fetchClosedOrders: a swap in hedge mode, filled.
FILLED_SWAP: dict[str, Any] = {
    "instId": "LTC-USDT-SWAP", "instType": "SWAP", "ordId": "672515387010932736",
    "clOrdId": "e847386590ce4dBC2f7dbb9924c2b77c", "ordType": "market", "side": "buy", "posSide": "long",
    "tdMode": "cross", "sz": "1", "px": "", "accFillSz": "1", "avgPx": "68.24", "fillPx": "68.24", "fillSz": "1",
    "fillTime": "1706612162995", "tradeId": "38002016", "state": "filled", "fee": "-0.00003412", "feeCcy": "USDT",
    "rebate": "0", "rebateCcy": "USDT", "pnl": "0", "lever": "3.0", "reduceOnly": "false", "category": "normal",
    "cancelSource": "", "tgtCcy": "", "cTime": "1706612162995", "uTime": "1706612162996",
}  # fmt: skip
# NautilusTrader, http_get_orders_history.json: fractional contracts under isolated margin.
FRACTIONAL_SWAP: dict[str, Any] = {
    **FILLED_SWAP, "instId": "BTC-USDT-SWAP", "ordId": "2497956918703120384", "clOrdId": "", "tdMode": "isolated",
    "sz": "0.03", "accFillSz": "0.03", "avgPx": "103698.9", "fillPx": "103698.9", "fillSz": "0.03",
    "fee": "-0.021776769", "lever": "2.0", "tradeId": "1518905529", "cTime": "1746947317401",
    "uTime": "1746947317402",
}  # fmt: skip
# OKX's documentation, "Get order": a spot market buy that someone placed by value (100 USDT).
BY_VALUE: dict[str, Any] = {
    "instId": "BTC-USDT", "instType": "SPOT", "ordId": "680800019749904384", "clOrdId": "", "ordType": "market",
    "side": "buy", "posSide": "net", "tdMode": "cash", "tgtCcy": "quote_ccy", "sz": "100", "px": "",
    "accFillSz": "0.00192834", "avgPx": "51858", "state": "filled", "fee": "-0.00000192834", "feeCcy": "BTC",
    "rebate": "0", "rebateCcy": "USDT", "reduceOnly": "false", "cancelSource": "", "tradeId": "744876980",
    "cTime": "1708587373361", "uTime": "1708587373362",
}  # fmt: skip
# OKX's documentation, "Algo order list": a take-profit that a person left on a spot pair, by value.
ALGO_BY_VALUE: dict[str, Any] = {
    "instId": "BTC-USDT", "instType": "SPOT", "algoId": "1753184812254216192", "algoClOrdId": "", "clOrdId": "",
    "ordType": "conditional", "side": "buy", "posSide": "net", "tdMode": "cash", "tgtCcy": "quote_ccy", "sz": "10",
    "state": "live", "tpTriggerPx": "10000", "tpTriggerPxType": "last", "tpOrdPx": "-1", "slTriggerPx": "",
    "slTriggerPxType": "", "slOrdPx": "", "triggerPx": "", "triggerPxType": "", "ordPx": "", "ordId": "",
    "ordIdList": [], "actualPx": "", "actualSide": "", "actualSz": "0", "closeFraction": "", "failCode": "0",
    "reduceOnly": "false", "last": "62916.5", "lever": "", "tag": "", "triggerTime": "", "activePx": "",
    "moveTriggerPx": "", "pxLimit": "", "cTime": "1724751378980", "uTime": "1724751378980",
}  # fmt: skip
# OKX's documentation, "Algo order history": take-profit and stop-loss of a whole position, after the former triggered.
ALGO_EFFECTIVE: dict[str, Any] = {
    **ALGO_BY_VALUE, "instId": "BTC-USDT-SWAP", "instType": "SWAP", "algoId": "1880721064716505088", "ordType": "oco",
    "side": "sell", "posSide": "long", "tdMode": "isolated", "tgtCcy": "", "sz": "100", "state": "effective",
    "tpTriggerPx": "63000", "slTriggerPx": "57000", "slTriggerPxType": "mark", "slOrdPx": "-1", "actualSide": "tp",
    "actualSz": "100", "ordId": "1884789786215137280", "ordIdList": ["1884789786215137280"], "closeFraction": "1",
    "failCode": "1", "reduceOnly": "true", "lever": "10", "triggerTime": "1728673513447", "cTime": "1728552255493",
    "uTime": "1728673513447",
}  # fmt: skip
# A live answer in ccxt's pull request 17022: a trigger order of an API client that waits.
ALGO_TRIGGER: dict[str, Any] = {
    **ALGO_BY_VALUE, "instId": "LTC-USDT-SWAP", "instType": "SWAP", "algoId": "551544169240731648",
    "algoClOrdId": "e847386590ce4dBC966d26e514409045", "clOrdId": "e847386590ce4dBC966d26e514409045",
    "ordType": "trigger", "posSide": "long", "tdMode": "cross", "tgtCcy": "", "sz": "1", "tpTriggerPx": "",
    "tpOrdPx": "", "triggerPx": "50", "triggerPxType": "last", "ordPx": "45", "last": "94.65", "lever": "3",
    "failCode": "", "reduceOnly": "", "cTime": "1677770377143", "uTime": "1677770377143",
}  # fmt: skip
# OKX's documentation, "Place algo order".
ALGO_ACK: dict[str, Any] = {
    "algoClOrdId": "order1234", "algoId": "1836487817828872192", "clOrdId": "", "sCode": "0", "sMsg": "", "tag": "",
}  # fmt: skip
# ccxt, fetchMyTrades.
FILL_ROW: dict[str, Any] = {
    "instType": "SPOT", "instId": "LTC-USDT", "side": "buy", "fillSz": "0.1", "fillPx": "67.84", "fee": "-0.0001",
    "feeCcy": "LTC", "feeRate": "-0.001", "fillPnl": "0", "ordId": "639895991331667968",
    "clOrdId": "e847386590ce4dBCff0cf9a74b5f3bcf", "tradeId": "56181695", "billId": "639895991340056576",
    "subType": "1", "execType": "T", "posSide": "net", "fillTime": "1698835093027", "ts": "1698835093028",
}  # fmt: skip
# ccxt, fetchPositions: hedge mode.
POSITION_ROW: dict[str, Any] = {
    "instId": "LTC-USDT-SWAP", "instType": "SWAP", "mgnMode": "cross", "posSide": "long", "pos": "1",
    "availPos": "1", "avgPx": "68.24", "markPx": "68.24", "last": "68.24", "upl": "0", "uplRatio": "0", "lever": "3",
    "liqPx": "", "margin": "", "imr": "0.0227466666666667", "mmr": "0.00044356", "mgnRatio": "141687115.0546428",
    "notionalUsd": "0.0682283992", "ccy": "USDT", "posId": "653944598162657280", "tradeId": "38002016",
    "fee": "-0.00003412", "fundingFee": "0", "pnl": "0", "realizedPnl": "-0.00003412", "adl": "1", "posCcy": "",
    "cTime": "1706612162996", "uTime": "1706612162996",
}  # fmt: skip
# ccxt, fetchBalance: multi-currency margin, with the noise of binary floats in what is available.
BTC_DETAIL: dict[str, Any] = {
    "ccy": "BTC", "cashBal": "1.06126645222", "eq": "1.06126645222", "eqUsd": "125092.85636955927",
    "availBal": "0.6612664522199999", "availEq": "0.6612664522199999", "frozenBal": "0.4", "ordFrozen": "0.4",
    "isoEq": "0", "liab": "0", "crossLiab": "0", "upl": "0", "imr": "", "mmr": "", "uTime": "1639596891483",
}  # fmt: skip
BALANCE_ROW: dict[str, Any] = {
    "adjEq": "152550.80919105993", "availEq": "151083.76008402856", "totalEq": "43749472.35962724",
    "imr": "101.55048142073795", "mmr": "9.073098173527129", "mgnRatio": "16813.53", "isoEq": "0", "upl": "0",
    "ordFroz": "13.335066666666664", "notionalUsd": "441.07707377035644", "uTime": "1752243327154",
    "details": [BTC_DETAIL],
}  # fmt: skip
# NautilusTrader, http_get_account_balance.json: futures mode with an isolated position.
ISOLATED_DETAIL: dict[str, Any] = {
    "ccy": "USDT", "cashBal": "94.42612990333333", "eq": "99.89469657000001", "eqUsd": "99.88870288820581",
    "availBal": "94.42612990333333", "availEq": "94.42612990333333", "frozenBal": "5.468566666666667",
    "ordFrozen": "0", "isoEq": "5.468566666666667", "isoUpl": "-0.0273000000000002", "liab": "",
    "upl": "-0.0273000000000002", "imr": "0", "mmr": "0", "uTime": "1744498994783",
}  # fmt: skip
# OKX's documentation, "Get bills details".
BILL_ROW: dict[str, Any] = {
    "bal": "8694.2179403378290202", "balChg": "0.0219338232210000", "billId": "623950854533513219", "ccy": "USDT",
    "clOrdId": "", "execType": "T", "fee": "-0.000021955779", "fillTime": "1695033476166", "from": "",
    "instId": "BTC-USDT", "instType": "SPOT", "interest": "0", "mgnMode": "isolated", "notes": "",
    "ordId": "623950854525124608", "pnl": "0", "posBal": "0", "posBalChg": "0", "px": "27105.9", "subType": "1",
    "sz": "0.021955779", "tag": "", "to": "", "tradeId": "586760148", "ts": "1695033476167", "type": "2",
}  # fmt: skip
# OKX's documentation, "Get account configuration".
CONFIG_ROW: dict[str, Any] = {
    "acctLv": "2", "acctStpMode": "cancel_maker", "autoLoan": False, "ip": "", "kycLv": "3", "label": "v5 test",
    "level": "Lv1", "mainUid": "44705892343619584", "perm": "read_only,withdraw,trade", "posMode": "net_mode",
    "roleType": "0", "type": "0", "uid": "44705892343619584", "settleCcy": "USDC",
}  # fmt: skip
TICKER_ROW: dict[str, Any] = {
    "instType": "SWAP", "instId": "BTC-USDT-SWAP", "last": "60000.1", "lastSz": "1", "askPx": "60000.2",
    "askSz": "11", "bidPx": "60000", "bidSz": "5", "ts": "1597026383085",
}  # fmt: skip


def body(*rows: Any, code: str = "0", msg: str = "") -> str:
    """OKX's envelope."""
    return json.dumps({"code": code, "msg": msg, "data": list(rows)})


def order_row(**changes: Any) -> dict[str, Any]:
    """An order in the spot pair of the tests, resting in net mode."""
    row = {
        "instId": "BTC-USDT", "instType": "SPOT", "ordId": "680800019749904001", "clOrdId": "a1b2", "ordType": "limit",
        "side": "buy", "posSide": "net", "tdMode": "cash", "tgtCcy": "", "sz": "0.01", "px": "58000",
        "accFillSz": "0", "avgPx": "", "fillPx": "", "fillSz": "0", "fillTime": "", "tradeId": "", "state": "live",
        "fee": "0", "feeCcy": "BTC", "rebate": "0", "rebateCcy": "USDT", "reduceOnly": "false", "cancelSource": "",
        "lever": "", "cTime": "1708587373361", "uTime": "1708587373362",
    }  # fmt: skip
    return {**row, **changes}


def stop_row(**changes: Any) -> dict[str, Any]:
    """A stop of ours in the spot pair of the tests, waiting."""
    own = {
        "algoId": "900", "algoClOrdId": "a1b2", "tgtCcy": "base_ccy", "sz": "0.02", "tpTriggerPx": "", "tpOrdPx": "",
        "slTriggerPx": "61000", "slTriggerPxType": "last", "slOrdPx": "-1", "tag": "algotrendy",
    }  # fmt: skip
    return {**ALGO_BY_VALUE, **own, **changes}


def child_row(**changes: Any) -> dict[str, Any]:
    """What that stop became: OKX gives it a client id of its own making, or none."""
    own = {"ordId": "901", "clOrdId": "O901", "algoId": "900", "algoClOrdId": "a1b2", "source": "7", "sz": "0.02"}
    return {**order_row(**own), "ordType": "market", "px": "", **changes}
