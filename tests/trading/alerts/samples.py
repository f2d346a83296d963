"""Bodies as they are sent, with the alert that each one is, worked out by hand from the page that describes it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from brokers.types import OrderType, PositionSide, TimeInForce
from trading.alerts import AlertAction, Dialect, QuantityMode

D = Decimal
LONG, SHORT, FLAT = PositionSide.LONG, PositionSide.SHORT, PositionSide.FLAT
BUY, SELL, EXIT, CANCEL, REVERSE = AlertAction
FIRED = datetime(2026, 7, 20, 14, 31, 2, tzinfo=UTC)
CANARY = "canary-5a1b9e"  # stands for every secret: it must never come out again


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`fields`: what of the alert is not at its default. `secrets`: which fields of the body held one."""

    name: str
    dialect: Dialect
    body: str
    fields: dict[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


SAMPLES = (
    # -- ours: docs/alerts.md -------------------------------------------------------------------------------------
    Sample(
        name="ours, a strategy that opens",
        dialect=Dialect.ALGOTRENDY,
        body="""{"v":1,"id":"Long|AAPL|2026-07-20T14:31:02Z|buy|10|long","time":"2026-07-20T14:31:02Z",
            "strategy":"momentum","symbol":"AAPL","exchange":"NASDAQ","interval":"5","bar_time":"2026-07-20T14:25:00Z",
            "action":"buy","contracts":"10","position":"long","position_size":"10","previous_position":"flat",
            "previous_position_size":"0","price":"212.35"}""",
        fields={
            "key": "Long|AAPL|2026-07-20T14:31:02Z|buy|10|long",
            "strategy": "momentum",
            "symbol": "AAPL",
            "exchange": "NASDAQ",
            "interval": "5",
            "event_time": FIRED,
            "bar_time": datetime(2026, 7, 20, 14, 25, tzinfo=UTC),
            "action": BUY,
            "target": LONG,
            "previous": FLAT,
            "target_size": D(10),
            "previous_size": D(0),
            "quantity": D(10),
            "is_contracts": True,
            "price_hint": D("212.35"),
        },
    ),
    Sample(
        name="ours, a strategy that reverses: contracts are old and new together",
        dialect=Dialect.ALGOTRENDY,
        body='{"v":1,"symbol":"AAPL","action":"sell","contracts":25,"position":"short","position_size":15,'
        '"previous_position":"long","previous_position_size":10}',
        fields={
            "symbol": "AAPL",
            "action": REVERSE,
            "target": SHORT,
            "previous": LONG,
            "target_size": D(15),
            "previous_size": D(10),
            "quantity": D(25),
            "is_contracts": True,
            "cancel_first": True,
        },
    ),
    Sample(
        name="ours, an indicator with a limit order",
        dialect=Dialect.ALGOTRENDY,
        body='{"v":1,"id":"x-1","symbol":"BRK.B","action":"buy","quantity":"2500","quantity_mode":"cash",'
        '"order_type":"limit","limit_price":"410.5","time_in_force":"day","secret":"canary-5a1b9e"}',
        fields={
            "key": "x-1",
            "symbol": "BRK.B",
            "action": BUY,
            "quantity": D(2500),
            "quantity_mode": QuantityMode.CASH,
            "order_type": OrderType.LIMIT,
            "limit_price": D("410.5"),
            "time_in_force": TimeInForce.DAY,
        },
        secrets=("secret",),
    ),
    Sample(
        name="ours, as lines",
        dialect=Dialect.ALGOTRENDY,
        body="# out of it\nv=1\nid = x-2\nsymbol=CME_MINI:ESZ2026\naction=exit\nsecret=canary-5a1b9e\n",
        fields={"key": "x-2", "symbol": "ESZ2026", "exchange": "CME_MINI", "action": EXIT, "cancel_first": True},
        secrets=("secret",),
    ),
    # -- the system that is replaced: its WebhookController and its webhook_template.json ------------------------
    Sample(
        name="predecessor, first template",
        dialect=Dialect.PREDECESSOR,
        body='{"symbol":"BTCUSDT","action":"close_long","price":50000,"strategy":"rsi","interval":"15",'
        '"quantity":0.5,"message":"RSI > 70"}',
        fields={
            "symbol": "BTCUSDT",
            "action": EXIT,
            "closes": LONG,
            "strategy": "rsi",
            "interval": "15",
            "quantity": D("0.5"),
            "price_hint": D(50000),
            "comment": "RSI > 70",
        },
    ),
    Sample(
        name="predecessor, its test message",
        dialect=Dialect.PREDECESSOR,
        body='{"symbol":"BTCUSDT","action":"BUY","price":50000,"timestamp":"2025-10-15T00:00:00Z","source":"test"}',
        fields={
            "symbol": "BTCUSDT",
            "action": BUY,
            "bar_time": datetime(2025, 10, 15, tzinfo=UTC),
            "price_hint": D(50000),
        },
    ),
    Sample(
        name="predecessor, enhanced template with placeholders that TradingView does not know",
        dialect=Dialect.PREDECESSOR,
        body='{"symbol":"AAPL","action":"short","price":"212.35","high":"213","low":"211.9","volume":"NaN",'
        '"rsi":"{{rsi}}","macd":"{{macd}}","timestamp":"2026-07-20T14:25:00Z","timeframe":"5",'
        '"source":"tradingview_enhanced"}',
        fields={
            "symbol": "AAPL",
            "action": SELL,
            "target": SHORT,
            "is_target_only": True,
            "interval": "5",
            "bar_time": datetime(2026, 7, 20, 14, 25, tzinfo=UTC),
            "price_hint": D("212.35"),
        },
    ),
    Sample(
        name="predecessor, flat",
        dialect=Dialect.PREDECESSOR,
        body='{"symbol":"AAPL","action":"flat","price":NaN,}',
        fields={"symbol": "AAPL", "action": EXIT, "target": FLAT, "cancel_first": True},
    ),
    # -- TradersPost: docs.traderspost.io/docs/core-concepts/signals/webhooks and …/learn/signal-sources/tradingview --
    Sample(
        name="TradersPost, the first example of its reference",
        dialect=Dialect.TRADERSPOST,
        body='{"ticker":"AMD","action":"buy","signalPrice":143.12,"quantity":1,"takeProfit":{"percent":10},'
        '"stopLoss":{"type":"stop","percent":5}}',
        fields={
            "symbol": "AMD",
            "action": BUY,
            "is_target_only": True,
            "quantity": D(1),
            "is_contracts": True,
            "brackets": ("stopLoss.type", "stopLoss.percent", "takeProfit.percent"),
            "cancel_first": True,
            "price_hint": D("143.12"),
        },
    ),
    Sample(
        name="TradersPost, its smallest example",
        dialect=Dialect.TRADERSPOST,
        body='{"ticker":"TSLA","action":"buy","price":"420.69"}',
        fields={
            "symbol": "TSLA",
            "action": BUY,
            "is_target_only": True,
            "is_contracts": True,
            "cancel_first": True,
            "price_hint": D("420.69"),
        },
    ),
    Sample(
        name="TradersPost, its template for strategies",
        dialect=Dialect.TRADERSPOST,
        body='{"ticker":"MESZ2026","action":"sell","sentiment":"flat","quantity":"2","price":"5512.25",'
        '"time":"2026-07-20T14:31:02Z","interval":"5"}',
        fields={
            "symbol": "MESZ2026",
            "action": EXIT,
            "target": FLAT,
            "closes": LONG,
            "quantity": D(2),
            "is_contracts": True,
            "event_time": FIRED,
            "interval": "5",
            "cancel_first": True,
            "price_hint": D("5512.25"),
        },
    ),
    Sample(
        name="TradersPost, half of a position, orders left alone",
        dialect=Dialect.TRADERSPOST,
        body='{"ticker":"TSLA","action":"exit","quantityType":"percent_of_position","quantity":50,"cancel":false}',
        fields={
            "symbol": "TSLA",
            "action": EXIT,
            "quantity": D(50),
            "quantity_mode": QuantityMode.PERCENT_OF_POSITION,
        },
    ),
    Sample(
        name="TradersPost, by risk with a limit",
        dialect=Dialect.TRADERSPOST,
        body='{"ticker":"TSLA","action":"add","sentiment":"bearish","quantityType":"risk_dollar_amount","quantity":200,'
        '"orderType":"limit","limitPrice":120.12,"stopLoss":{"stopPrice":125},"timeInForce":"gtc",'
        '"extras":{"id":"7","strategy":"breakout","note":"free"}}',
        fields={
            "symbol": "TSLA",
            "action": SELL,
            "target": SHORT,
            "previous": SHORT,
            "key": "7",
            "strategy": "breakout",
            "quantity": D(200),
            "quantity_mode": QuantityMode.RISK_AMOUNT,
            "order_type": OrderType.LIMIT,
            "limit_price": D("120.12"),
            "time_in_force": TimeInForce.GTC,
            "stop_loss": D(125),
            "brackets": ("stopLoss.stopPrice",),
            "cancel_first": True,
        },
    ),
    # -- 3Commas: help.3commas.io/en/articles/9374557 (strategy), 8894481 (custom), and the DCA bot's message ----------
    Sample(
        name="3Commas, strategy type",
        dialect=Dialect.THREE_COMMAS,
        body="""{"secret":"canary-5a1b9e","max_lag":"300","timestamp":"2026-07-20T14:31:02Z","trigger_price":"61000.5",
            "tv_exchange":"BINANCE","tv_instrument":"BTCUSDT.P","action":"sell","bot_uuid":"canary-5a1b9e",
            "strategy_info":{"market_position":"short","market_position_size":"0.3","prev_market_position":"long",
            "prev_market_position_size":"0.2"},"order":{"amount":"0.5","currency_type":"base"}}""",
        fields={
            "symbol": "BTCUSDT.P",
            "exchange": "BINANCE",
            "action": REVERSE,
            "target": SHORT,
            "previous": LONG,
            "target_size": D("0.3"),
            "previous_size": D("0.2"),
            "quantity": D("0.5"),
            "is_contracts": True,
            "event_time": FIRED,
            "max_age_s": 300,
            "cancel_first": True,
            "price_hint": D("61000.5"),
        },
        secrets=("secret", "bot_uuid"),
    ),
    Sample(
        name="3Commas, custom type",
        dialect=Dialect.THREE_COMMAS,
        body='{"secret":"canary-5a1b9e","max_lag":"300","timestamp":"2026-07-20T14:31:02Z","trigger_price":"61000.5",'
        '"tv_exchange":"BINANCE","tv_instrument":"BTCUSDT","action":"exit_long","bot_uuid":"canary-5a1b9e",'
        '"order":{"amount":"50","currency_type":"position_percent"}}',
        fields={
            "symbol": "BTCUSDT",
            "exchange": "BINANCE",
            "action": EXIT,
            "closes": LONG,
            "quantity": D(50),
            "quantity_mode": QuantityMode.PERCENT_OF_POSITION,
            "event_time": FIRED,
            "max_age_s": 300,
            "price_hint": D("61000.5"),
        },
        secrets=("secret", "bot_uuid"),
    ),
    Sample(
        name="3Commas, a DCA bot closes",
        dialect=Dialect.THREE_COMMAS,
        body='{"action":"close_at_market_price","message_type":"bot","bot_id":14359731,'
        '"email_token":"canary-5a1b9e","delay_seconds":0,"pair":"USDT_BTC"}',
        fields={"symbol": "BTCUSDT", "action": EXIT, "cancel_first": True},
        secrets=("bot_id", "email_token"),
    ),
    # -- WunderTrading: help.wundertrading.com (signal bot, full JSON guide); codes as bots make them ------------------
    Sample(
        name="WunderTrading, JSON with a share of the portfolio",
        dialect=Dialect.WUNDERTRADING,
        body='{"code":"ENTER-LONG_Bybit_ETHUSDT_Eth short 15_15M_canary-5a1b9e","amountPerTrade":"0.25",'
        '"amountPerTradeType":"percents"}',
        fields={
            "symbol": "ETHUSDT",
            "exchange": "BYBIT",
            "action": BUY,
            "target": LONG,
            "strategy": "Eth short 15",
            "quantity": D(25),
            "quantity_mode": QuantityMode.PERCENT_OF_EQUITY,
        },
        secrets=("code",),
    ),
    Sample(
        name="WunderTrading, limit order with stops",
        dialect=Dialect.WUNDERTRADING,
        body='{"code":"ENTER-SHORT_KUCOIN_BTC-USDT_BOTNAME1_1H_canary-5a1b9e","orderType":"limit","price":61000,'
        '"amountPerTradeType":"quote","amountPerTrade":250,"leverage":1,"reduceOnly":false,'
        '"takeProfits":[{"priceDeviation":0.02,"portfolio":1}],"stopLoss":{"priceDeviation":0.01},'
        '"placeConditionalOrdersOnExchange":true}',
        fields={
            "symbol": "BTC-USDT",
            "exchange": "KUCOIN",
            "action": SELL,
            "target": SHORT,
            "strategy": "BOTNAME1",
            "quantity": D(250),
            "quantity_mode": QuantityMode.CASH,
            "order_type": OrderType.LIMIT,
            "limit_price": D(61000),
            "brackets": ("takeProfits", "stopLoss"),
        },
        secrets=("code",),
    ),
    Sample(
        name="WunderTrading, a bare code",
        dialect=Dialect.WUNDERTRADING,
        body="EXIT-ALL_BINANCE_API3USDT_BOT-NAME-RDSh9d_5M_canary-5a1b9e",
        fields={
            "symbol": "API3USDT",
            "exchange": "BINANCE",
            "action": EXIT,
            "strategy": "BOT-NAME-RDSh9d",
            "cancel_first": True,
        },
        secrets=("code",),
    ),
    # -- PineConnector: docs.pineconnector.com/syntax ---------------------------------------------------------------
    Sample(
        name="PineConnector, lots and a secret",
        dialect=Dialect.PINECONNECTOR,
        body="60123456789,sell,EURUSD,vol_lots=1, secret=canary-5a1b9e",
        fields={"symbol": "EURUSD", "action": SELL, "quantity": D(1)},
        secrets=("LicenseID", "secret"),
    ),
    Sample(
        name="PineConnector, closing with blanks",
        dialect=Dialect.PINECONNECTOR,
        body="60123456789 , closelong , GBPUSD",
        fields={"symbol": "GBPUSD", "action": EXIT, "closes": LONG, "cancel_first": True},
        secrets=("LicenseID",),
    ),
    Sample(
        name="PineConnector, half of a position",
        dialect=Dialect.PINECONNECTOR,
        body="60123456789,closelongpct,GBPUSD,risk=50",
        fields={
            "symbol": "GBPUSD",
            "action": EXIT,
            "closes": LONG,
            "quantity": D(50),
            "quantity_mode": QuantityMode.PERCENT_OF_POSITION,
        },
        secrets=("LicenseID",),
    ),
    Sample(
        name="PineConnector, a volume of a position",
        dialect=Dialect.PINECONNECTOR,
        body="60123456789,closeshortvol,GBPUSD,vol_lots=0.4,comment=half",
        fields={"symbol": "GBPUSD", "action": EXIT, "closes": SHORT, "quantity": D("0.4"), "comment": "half"},
        secrets=("LicenseID",),
    ),
    # -- Alertatron and Instabot: alertatron.com/docs, github.com/instabot42/trader-docs ------------------------------
    Sample(
        name="Alertatron, cancel and buy",
        dialect=Dialect.ALERTATRON,
        body="Crossed up!\nMyKeys(XBTUSD) {\n  cancel(which=all);\n  market(side=buy, amount=100);\n}\n#bot",
        fields={"symbol": "XBTUSD", "action": BUY, "strategy": "MyKeys", "quantity": D(100), "cancel_first": True},
    ),
    Sample(
        name="Instabot, limit at a price, signed",
        dialect=Dialect.ALERTATRON,
        body="bitfinex(BTCUSD) { limitOrder(side=sell, amount=5%, offset=@68000, tag=a); }\nsig:canary-5a1b9e",
        fields={
            "symbol": "BTCUSD",
            "action": SELL,
            "strategy": "bitfinex",
            "quantity": D(5),
            "quantity_mode": QuantityMode.PERCENT_OF_EQUITY,
            "order_type": OrderType.LIMIT,
            "limit_price": D(68000),
        },
        secrets=("sig",),
    ),
    Sample(
        name="Alertatron, out of the position",
        dialect=Dialect.ALERTATRON,
        body="MyKeys(XBTUSD) { market(position=0); } #bot",
        fields={"symbol": "XBTUSD", "action": EXIT, "strategy": "MyKeys", "cancel_first": True},
    ),
    Sample(
        name="Alertatron, down to a quarter of the position",
        dialect=Dialect.ALERTATRON,
        body="MyKeys(XBTUSD) { market(position=25%p); } #bot",
        fields={
            "symbol": "XBTUSD",
            "action": EXIT,
            "strategy": "MyKeys",
            "quantity": D(75),
            "quantity_mode": QuantityMode.PERCENT_OF_POSITION,
            "reduce_only": True,
        },
    ),
    # -- robswc/tradingview-webhooks-bot: its README; the fields beside `key` are its user's -------------------------
    Sample(
        name="robswc, key with an event",
        dialect=Dialect.ROBSWC,
        body='{"key":"WebhookReceived:canary-5a1b9e","message":"I\'m a webhook!","ticker":"AAPL","action":"buy",'
        '"contracts":"3","position":"long","previous_position":"flat","mood":"good"}',
        fields={
            "symbol": "AAPL",
            "action": BUY,
            "target": LONG,
            "previous": FLAT,
            "strategy": "WebhookReceived",
            "quantity": D(3),
            "is_contracts": True,
            "comment": "I'm a webhook!",
        },
        secrets=("key",),
    ),
    # -- hackingthemarkets/tradingview-binance-strategy-alert-webhook: payloads/…_payload_filled.json -----------------
    Sample(
        name="hackingthemarkets",
        dialect=Dialect.HACKINGTHEMARKETS,
        body="""{"passphrase":"canary-5a1b9e","time":"2020-09-06T01:44:17Z","exchange":"BINANCE","ticker":"DOGEUSDT",
            "bar":{"time":"2020-09-06T01:43:00Z","open":0.002748,"high":0.0027486,"low":0.002748,"close":0.0027486,
            "volume":150177},"strategy":{"position_size":10000,"order_action":"buy","order_contracts":10000,
            "order_price":0.0027451,"order_id":"doge door","market_position":"long","market_position_size":10000,
            "prev_market_position":"flat","prev_market_position_size":0}}""",
        fields={
            "symbol": "DOGEUSDT",
            "exchange": "BINANCE",
            "action": BUY,
            "target": LONG,
            "previous": FLAT,
            "target_size": D(10000),
            "previous_size": D(0),
            "quantity": D(10000),
            "is_contracts": True,
            "event_time": datetime(2020, 9, 6, 1, 44, 17, tzinfo=UTC),
            "bar_time": datetime(2020, 9, 6, 1, 43, tzinfo=UTC),
            "price_hint": D("0.0027451"),
            "comment": "doge door",
        },
        secrets=("passphrase",),
    ),
)
