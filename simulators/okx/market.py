"""/api/v5/public, /api/v5/market, /api/v5/system: instruments, prices, time. Public, unsigned."""

from collections.abc import Iterable

from simulators.core.money import ONE, ZERO, plain
from simulators.core.types import Instrument, MarketKind, OrderSide
from simulators.okx.errors import refused, wrong
from simulators.okx.params import TYPES, Context, family
from simulators.okx.render import Row

LISTED_MS = 1_573_557_408_000
BOOK_MAX = 400


def server_time(context: Context) -> list[Row]:
    """GET /api/v5/public/time."""
    return [{"ts": str(context.venue.clock.gateway_ms())}]


def status(context: Context) -> list[Row]:
    """GET /api/v5/system/status: announced maintenance; none is announced unless the control API did."""
    wanted = context.params.text("state")
    states = (wanted,) if wanted else ("scheduled", "ongoing", "pre_open")
    return [row for row in context.desk.maintenance if row["state"] in states]


def instruments(context: Context) -> list[Row]:
    """GET /api/v5/public/instruments and /api/v5/account/instruments."""
    found = list(_listed(context, required=True))
    wanted = context.params.text("instId")
    if wanted:
        context.instrument(wanted)
        found = [i for i in found if i.symbol == wanted]
    if context.params.text("instType") == "OPTION" and not (
        context.params.has("instFamily") or context.params.has("uly")
    ):
        raise refused(50015, first="instFamily", second="uly")
    codes = {key: 10_000 + number for number, key in enumerate(context.venue.instruments, start=1)}
    return [instrument_row(i, codes[i.key], context.desk.state(i)) for i in found]


def _listed(context: Context, *, required: bool) -> Iterable[Instrument]:
    kinds = context.kinds(required=required)
    wanted = context.params.text("instFamily") or context.params.text("uly")
    for instrument in context.venue.instruments.values():
        if instrument.kind in kinds and wanted in ("", family(instrument)):
            yield instrument


def instrument_row(instrument: Instrument, code: int, state: str) -> Row:
    """Return one instrument; quantities of contracts are in contracts, which are `ctVal` of `ctValCcy` each."""
    spot = instrument.kind is MarketKind.SPOT
    largest, amount = plain(instrument.qty_max), plain(instrument.notional_max)
    market = amount if spot else plain(instrument.qty_max_market)
    contract: Row = dict.fromkeys(("ctMult", "ctType", "ctVal", "ctValCcy", "settleCcy"), "")
    if not spot:
        contract = {
            "ctMult": "1",
            "ctType": "linear",
            "ctVal": plain(instrument.multiplier),
            "ctValCcy": instrument.base,
            "settleCcy": instrument.settle,
        }
    return contract | {
        "instType": TYPES[instrument.kind],
        "instId": instrument.symbol,
        "uly": family(instrument),
        "instFamily": family(instrument),
        "baseCcy": instrument.base if spot else "",
        "quoteCcy": instrument.quote if spot else "",
        "tradeQuoteCcyList": [instrument.quote] if spot else [],
        "tickSz": plain(instrument.tick),
        "lotSz": plain(instrument.step),
        "minSz": plain(instrument.qty_min),
        "maxLmtSz": largest,
        "maxMktSz": market,
        "maxLmtAmt": amount,
        "maxMktAmt": amount if spot else "",
        "maxStopSz": market,
        "maxTwapSz": f"{largest}.0000000000000000",
        "maxIcebergSz": f"{largest}.0000000000000000",
        "maxTriggerSz": f"{largest}.0000000000000000",
        "lever": "" if spot else plain(instrument.leverage_max),
        "state": state,
        "instIdCode": code,
        "listTime": str(LISTED_MS),
        "category": "1",
        "instCategory": "1",
        "ruleType": "normal",
        "futureSettlement": False,
        "groupId": "1",
        "upcChg": [],
        **dict.fromkeys(("alias", "auctionEndTime", "contTdSwTime", "expTime", "openType", "optType"), ""),
        **dict.fromkeys(("preMktSwTime", "stk", "posLmtAmt", "posLmtPct", "maxPlatOILmt"), ""),
    }


def ticker(context: Context) -> list[Row]:
    """GET /api/v5/market/ticker."""
    return [ticker_row(context, context.instrument(context.params.required("instId")))]


def tickers(context: Context) -> list[Row]:
    """GET /api/v5/market/tickers."""
    return [ticker_row(context, i) for i in _listed(context, required=True)]


def ticker_row(context: Context, instrument: Instrument) -> Row:
    """Return one ticker; nothing was traded by others, so the day's figures are those of the last price."""
    quote = context.venue.board.quote(instrument)
    size = plain(quote.size if quote.size is not None else instrument.qty_max)
    last = plain(quote.last)
    return {
        "instType": TYPES[instrument.kind],
        "instId": instrument.symbol,
        "last": last,
        "lastSz": plain(instrument.qty_min),
        "askPx": plain(quote.ask),
        "askSz": size,
        "bidPx": plain(quote.bid),
        "bidSz": size,
        **dict.fromkeys(("open24h", "high24h", "low24h", "sodUtc0", "sodUtc8"), last),
        "volCcy24h": "0",
        "vol24h": "0",
        "ts": str(context.venue.now_ms()),
    }


def books(context: Context) -> list[Row]:
    """GET /api/v5/market/books: the liquidity that an order would meet now."""
    instrument = context.instrument(context.params.required("instId"))
    depth = context.params.integer("sz") or 1
    if depth > BOOK_MAX:
        raise wrong("sz")

    def side(taker: OrderSide) -> list[list[str]]:
        levels = context.venue.board.levels(instrument, taker)[:depth]
        sizes = [level.left if level.left is not None else instrument.qty_max for level in levels]
        return [[plain(lv.price), plain(size), "0", "1"] for lv, size in zip(levels, sizes, strict=True) if size > ZERO]

    now = str(context.venue.now_ms())
    return [{"asks": side(OrderSide.BUY), "bids": side(OrderSide.SELL), "ts": now, "seqId": 1}]


def mark_prices(context: Context) -> list[Row]:
    """GET /api/v5/public/mark-price: contracts only."""
    kinds = context.kinds(required=True)
    wanted = context.params.text("instId")
    if wanted:
        context.instrument(wanted)
    return [
        {
            "instType": TYPES[i.kind],
            "instId": i.symbol,
            "markPx": plain(context.venue.board.last(i)),
            "ts": str(context.venue.now_ms()),
        }
        for i in context.venue.instruments.values()
        if i.kind in kinds and i.kind is MarketKind.LINEAR and wanted in ("", i.symbol)
    ]


def price_limit(context: Context) -> list[Row]:
    """GET /api/v5/public/price-limit: the band around the last price, where the venue has one."""
    instrument = context.instrument(context.params.required("instId"))
    band = context.venue.rules.price_band
    last = context.venue.board.last(instrument)
    return [
        {
            "instType": TYPES[instrument.kind],
            "instId": instrument.symbol,
            "buyLmt": plain(last * (ONE + band)) if band is not None else "",
            "sellLmt": plain(last * (ONE - band)) if band is not None else "",
            "ts": str(context.venue.now_ms()),
            "enabled": band is not None,
        }
    ]


def funding_rate(context: Context) -> list[Row]:
    """GET /api/v5/public/funding-rate: of one contract, or of ANY."""
    wanted = context.params.required("instId")
    every = [i for i in context.venue.instruments.values() if i.kind is MarketKind.LINEAR]
    found = every if wanted == "ANY" else [i for i in every if i.symbol == wanted]
    if not found:
        raise refused(51001)
    return [_funding_row(context, i) for i in found]


def _funding_row(context: Context, instrument: Instrument) -> Row:
    due = context.venue.next_funding_ms(instrument)
    return {
        "instType": "SWAP",
        "instId": instrument.symbol,
        "method": "current_period",
        "formulaType": "noRate",
        "fundingRate": plain(context.venue.rate_of(instrument.symbol)),
        "fundingTime": str(due),
        "nextFundingRate": "",
        "nextFundingTime": str(due + instrument.funding_interval_s * 1000),
        "minFundingRate": "-0.00375",
        "maxFundingRate": "0.00375",
        "settState": "settled",
        "settFundingRate": plain(context.venue.rate_of(instrument.symbol)),
        **dict.fromkeys(("interestRate", "impactValue", "premium"), ""),
        "ts": str(context.venue.now_ms()),
    }
