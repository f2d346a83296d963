"""ccxt as the independent client of each venue that it knows, and why its reading differs from ours where it does."""

from __future__ import annotations

from typing import Any

from tests.conformance.differential import CcxtClient
from tests.proof.wire_venues import Product

KEYS = {"apiKey": "main-key", "secret": "main-secret", "enableRateLimit": False}


def _bybit(url: str, product: Product) -> Any:
    import ccxt

    exchange = ccxt.bybit(KEYS)
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], url)
    exchange.options["fetchMarkets"] = {"types": ["spot", "linear"]}
    return exchange


def _binance(url: str, product: Product) -> Any:
    import ccxt

    exchange = (ccxt.binance if product.kind == "spot" else ccxt.binanceusdm)(KEYS)
    addresses = exchange.urls["api"].items()
    exchange.urls["api"] = {name: url + at[at.index("/", 8) :] for name, at in addresses if "://" in at}
    return exchange


def _binance_ticker(exchange: Any, symbol: str) -> dict[str, Any]:
    """The book and the last price, which are routes of their own; ccxt's usual one is the statistics of a day."""
    return {**exchange.fetch_bids_asks([symbol])[symbol], "last": exchange.fetch_last_prices([symbol])[symbol]["price"]}


def _okx(url: str, product: Product) -> Any:
    import ccxt

    exchange = ccxt.okx({**KEYS, "password": "main-passphrase"})
    exchange.urls["api"] = {"rest": url}
    return exchange


def _alpaca(url: str, product: Product) -> Any:
    import ccxt

    exchange = ccxt.alpaca(KEYS)
    exchange.urls["api"] = dict.fromkeys(exchange.urls["api"], url)
    return exchange


BYBIT = CcxtClient(
    open=_bybit,
    differences={
        "CLIENT-BALANCES-01.available": "in cross margin Bybit vouches for no figure per currency; ccxt subtracts",
    },
)
BINANCE = CcxtClient(
    open=_binance,
    ticker=_binance_ticker,
    own_id=lambda text: text.rpartition(":")[2],  # ours name product and symbol, within which Binance's are unique
    lacks=frozenset({"CLIENT-CASH-01"}),  # an account of both products has no feed of both
    differences={
        "CLIENT-BALANCES-01.total": "ccxt reads one product's wallet and counts unrealised profit in; ours is both",
        "CLIENT-BALANCES-01.available": "the account has two figures, one per wallet, of which none is the account's",
        "linear/CLIENT-BALANCES-01.row": "ccxt's futures client does not see the coins of the spot wallet",
        "CLIENT-POSITIONS-01.leverage": "its positions tell none any more; ours is read from the symbol's setting",
    },
)
OKX = CcxtClient(
    open=_okx,
    own_id=lambda text: text.rpartition(":")[2],  # ours name the instrument, within which OKX's trade ids are unique
    differences={
        "CLIENT-BALANCES-01.total": "ccxt takes the equity, which counts unrealised profit in; ours is the cash",
        "CLIENT-CASH-01.row": "ccxt asks for the bills of one kind of product at a time; ours are the account's",
    },
)
ALPACA = CcxtClient(
    open=_alpaca,
    products=("crypto",),
    their_id=lambda text: text.rpartition("::")[2],  # an activity's id begins with its moment, an execution's does not
    differences={
        "CLIENT-BALANCES-01.available": "ccxt takes the cash; ours is what Alpaca says may be spent without a loan",
        "CLIENT-FILLS-01.fee": "Alpaca posts fees later, as activities of their own: ours is zero until then",
        "CLIENT-FILLS-01.fee_currency": "as above",
        "CLIENT-FILLS-01.liquidity": "Alpaca does not say who took; ccxt calls each fill a taker's",
    },
    lacks=frozenset({"CLIENT-POSITIONS-01", "CLIENT-LEVERAGE-01", "CLIENT-CASH-01"}),  # of shares, or not known to ccxt
)
