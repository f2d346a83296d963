from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

import pytest

from tests.trading.alerts.samples import CANARY, SAMPLES, Sample
from trading.alerts import Alert, AlertReason, AlertRefused, Dialect, QuantityMode
from trading.alerts.dialects import parse, read
from trading.alerts.dialects.bodies import BODY_BYTES_MAX

BY_NAME = {sample.name: sample for sample in SAMPLES}
NAMES = [sample.name for sample in SAMPLES]
# What an alert is where its body does not say otherwise.
DEFAULTS = {item.name: item.default for item in fields(Alert)}
RAW = ("source", "dialect", "symbol_raw", "exchange_raw")


def said(alert: Alert) -> dict[str, Any]:
    """What differs from the defaults, but for the sender's own wording."""
    found = {name: getattr(alert, name) for name in DEFAULTS if name not in RAW}
    return {name: value for name, value in found.items() if value != DEFAULTS[name]}


def refusal(body: str | bytes, dialect: Dialect = Dialect.AUTO) -> AlertRefused:
    with pytest.raises(AlertRefused) as caught:
        parse(body.encode() if isinstance(body, str) else body, dialect=dialect)
    return caught.value


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
@pytest.mark.parametrize("is_auto", [True, False], ids=["auto", "named"])
def test_a_sample_is_the_alert_worked_out_by_hand(sample: Sample, is_auto: bool) -> None:
    reading = parse(sample.body.encode(), dialect=Dialect.AUTO if is_auto else sample.dialect)
    assert reading.alert.dialect is sample.dialect
    assert said(reading.alert) == sample.fields
    assert Alert.from_json(reading.alert.to_json()) == reading.alert


@pytest.mark.parametrize("sample", SAMPLES, ids=NAMES)
def test_a_secret_is_checked_by_its_sum_and_never_kept(sample: Sample) -> None:
    reading = parse(sample.body.encode(), dialect=Dialect.AUTO)
    assert tuple(sorted(reading.secrets)) == tuple(sorted(sample.secrets))
    assert CANARY not in reading.alert.to_json()
    assert CANARY not in repr(reading)
    for name in sample.secrets:
        if name in ("secret", "passphrase", "email_token", "sig"):
            assert reading.secrets[name] == hashlib.sha256(CANARY.encode()).hexdigest()


@pytest.mark.parametrize("sample", [s for s in SAMPLES if s.body.startswith("{")], ids=lambda s: s.name)
def test_every_field_of_an_object_is_read_strictly_or_not_at_all(sample: Sample) -> None:
    """With any one field broken in any way, an alert or a refusal comes out, and never a secret."""
    whole = json.loads(sample.body.replace("NaN", "null").replace(",}", "}"))
    for name in whole:
        for value in (None, True, [], {}, [1], {"a": 1}, "", "x" * 300, "{{strategy.order.id}}", -1, 0, "NaN", "1e400"):
            body = json.dumps({**whole, name: value})
            try:
                reading = parse(body.encode(), dialect=sample.dialect)
            except AlertRefused as error:
                assert CANARY not in str(error)
            else:
                assert "{{" not in "".join(map(str, (reading.alert.key, reading.alert.symbol, reading.alert.strategy)))


@pytest.mark.parametrize(
    "name",
    [
        "ours, a strategy that opens",
        "predecessor, first template",
        "TradersPost, the first example of its reference",
        "WunderTrading, JSON with a share of the portfolio",
        "hackingthemarkets",
    ],
)
def test_an_unknown_field_is_refused_where_it_might_mean_something(name: str) -> None:
    body = BY_NAME[name].body.rstrip().removesuffix("}") + ',"quantitty":7}'
    assert refusal(body).reason is AlertReason.FIELD_UNKNOWN


@pytest.mark.parametrize("name", ["3Commas, strategy type", "robswc, key with an event"])
def test_an_unknown_field_is_ignored_where_the_dialect_says_so(name: str) -> None:
    sample = BY_NAME[name]
    reading = parse((sample.body.rstrip().removesuffix("}") + ',"mood2":7}').encode(), dialect=Dialect.AUTO)
    assert said(reading.alert) == sample.fields


OURS = '{"v":1,"symbol":"AAPL","action":"buy","quantity":1'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("", AlertReason.BODY_EMPTY),
        ("  \n", AlertReason.BODY_EMPTY),
        (b"\xff\xfe{}", AlertReason.BODY_NOT_TEXT),
        ("\ufeff", AlertReason.BODY_EMPTY),
        (OURS + ',"comment":"a\x07b"}', AlertReason.BODY_NOT_TEXT),
        (OURS + ',"comment":"a\\u0000b"}', AlertReason.BODY_NOT_TEXT),
        (OURS + ',"strategy":"a\\u202eb"}', AlertReason.BODY_NOT_TEXT),
        (OURS + ',"comment":"a\\ud800b"}', AlertReason.BODY_NOT_TEXT),
        ("x" * (BODY_BYTES_MAX + 1), AlertReason.BODY_TOO_LARGE),
        ('{"v":' + "[" * 9 + "]" * 9 + "}", AlertReason.BODY_TOO_LARGE),
        ("[" * 5000, AlertReason.DIALECT_UNKNOWN),
        ("{" + ",".join(f'"k{n}":1' for n in range(65)) + "}", AlertReason.BODY_TOO_LARGE),
        (OURS + ',"comment":"' + "x" * 4097 + '"}', AlertReason.BODY_TOO_LARGE),
        (OURS + ',"position_size":' + "9" * 41 + "}", AlertReason.BODY_TOO_LARGE),
        (OURS + ',"position_size":' + "9" * 39 + "}", AlertReason.NUMBER_INVALID),
        (OURS + ',"position_size":1e400}', AlertReason.BODY_NOT_JSON),
        (OURS + ',"position_size":Infinity}', AlertReason.BODY_NOT_JSON),
        (OURS + ',"quantity":100}', AlertReason.BODY_NOT_JSON),  # twice: which one?
        (OURS + ',"comment":"a "quoted" word"}', AlertReason.BODY_NOT_JSON),
        (OURS, AlertReason.BODY_NOT_JSON),
        (OURS + "}{}", AlertReason.BODY_NOT_JSON),
        ("{'v':1}", AlertReason.BODY_NOT_JSON),
        ('{"a":__import__("os")}', AlertReason.BODY_NOT_JSON),
        ("buy AAPL 10", AlertReason.DIALECT_UNKNOWN),
        ('{"hello":"world"}', AlertReason.DIALECT_UNKNOWN),
    ],
)
def test_a_body_that_cannot_be_read_says_why(body: str | bytes, reason: AlertReason) -> None:
    assert refusal(body).reason is reason


@pytest.mark.parametrize(
    ("body", "name"),
    [
        ("key=abc;command=place;account=Sim101;instrument=ES1!;action=buy;qty=1;", "CrossTrade"),
        ("e=bitmex s=XBTUSD b=long q=100 t=market", "Autoview"),
        ("a=* c=position", "Autoview"),
        ("mykey|momentum|buy|AAPL", "text with |"),
        ('{"token":"t","pair":"BTCUSDT","exchange":"bybit","apiKey":"main","isBuy":true}', "TV-Hub"),
        ('{"stub":"dev","direction":"long","symbol":"ETH-PERP","size":"50"}', "tradingview-alerts-processor"),
    ],
)
def test_a_dialect_that_is_known_and_not_supported_is_named(body: str, name: str) -> None:
    error = refusal(body)
    assert error.reason is AlertReason.DIALECT_UNSUPPORTED
    assert name in error.detail


@pytest.mark.parametrize(
    "body",
    [
        "\ufeff" + OURS + "}",
        OURS + "}\n",
        "\n " + OURS + "}",
        OURS + ",}",
        OURS + ',"price":NaN}',
        OURS + ',"price":na,\n}',
    ],
)
def test_what_templates_leave_behind_is_repaired(body: str) -> None:
    assert read(body.encode(), dialect=Dialect.AUTO) == read((OURS + "}").encode(), dialect=Dialect.AUTO)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"quantity": "{{strategy.order.contracts}}"}, AlertReason.PLACEHOLDER_UNRESOLVED),
        ({"action": "{{strategy.order.action}}"}, AlertReason.PLACEHOLDER_UNRESOLVED),
        ({"id": "{{strategy.order.id}}-1"}, AlertReason.PLACEHOLDER_UNRESOLVED),
        ({"symbol": "{{ticker}}"}, AlertReason.PLACEHOLDER_UNRESOLVED),
        ({"position": "{{strategy.market_position}}"}, AlertReason.PLACEHOLDER_UNRESOLVED),
        ({"quantity": None}, AlertReason.NUMBER_INVALID),
        ({"quantity": "NaN"}, AlertReason.NUMBER_INVALID),
        ({"quantity": "na"}, AlertReason.NUMBER_INVALID),
        ({"quantity": ""}, AlertReason.NUMBER_INVALID),
        ({"quantity": -1}, AlertReason.NUMBER_INVALID),
        ({"quantity": 0}, AlertReason.NUMBER_INVALID),
        ({"quantity": "1,000"}, AlertReason.NUMBER_INVALID),
        ({"quantity": "ten"}, AlertReason.NUMBER_INVALID),
        ({"quantity": True}, AlertReason.NUMBER_INVALID),
        ({"order_type": "limit", "limit_price": 0}, AlertReason.NUMBER_INVALID),
        ({"order_type": "limit"}, AlertReason.FIELD_MISSING),
        ({"limit_price": 5}, AlertReason.FIELDS_CONTRADICT),
        ({"order_type": "iceberg"}, AlertReason.FIELD_INVALID),
        ({"action": "hold"}, AlertReason.ACTION_UNKNOWN),
        ({"action": None}, AlertReason.FIELD_MISSING),
        ({"action": "reverse"}, AlertReason.FIELD_MISSING),
        ({"action": "exit", "position": "long"}, AlertReason.FIELDS_CONTRADICT),
        ({"closes": "long"}, AlertReason.FIELDS_CONTRADICT),
        ({"position": "short", "previous_position": "flat"}, AlertReason.FIELDS_CONTRADICT),
        ({"position": "flat", "previous_position": "long"}, AlertReason.FIELDS_CONTRADICT),
        ({"contracts": 5}, AlertReason.FIELDS_CONTRADICT),
        ({"quantity_mode": "cash", "quantity": "absent"}, AlertReason.NUMBER_INVALID),
        ({"quantity_mode": "percent_of_position", "quantity": 101}, AlertReason.NUMBER_INVALID),
        ({"symbol": "AAPL; DROP"}, AlertReason.SYMBOL_UNKNOWN),
        ({"symbol": "NASDAQ:AAPL", "exchange": "NYSE"}, AlertReason.FIELDS_CONTRADICT),
        ({"symbol": None}, AlertReason.FIELD_MISSING),
        ({"time": "yesterday"}, AlertReason.FIELD_INVALID),
        ({"time": "2026-02-30T00:00:00Z"}, AlertReason.FIELD_INVALID),
        ({"v": 2}, AlertReason.FIELD_INVALID),
        ({"strategy": "x" * 81}, AlertReason.FIELD_INVALID),
        ({"cancel_first": "yes"}, AlertReason.FIELD_INVALID),
        ({"colour": "red"}, AlertReason.FIELD_UNKNOWN),
    ],
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any], reason: AlertReason) -> None:
    body = {"v": 1, "symbol": "AAPL", "action": "buy", "quantity": "1", **change}
    if "contracts" in change:
        body["quantity"] = "1"
    assert refusal(json.dumps(body)).reason is reason


@pytest.mark.parametrize("text", ["2026-07-20T14:31:02Z", "2026-07-20T10:31:02-04:00", "1784557862", "1784557862000"])
def test_times_are_read_as_they_are_sent(text: str) -> None:
    alert = read((OURS + f',"time":"{text}"}}').encode(), dialect=Dialect.AUTO)
    assert alert.event_time is not None
    assert alert.event_time.isoformat() == "2026-07-20T14:31:02+00:00"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ('{"ticker":"A","action":"buy","orderType":"trailing_stop"}', AlertReason.COMMAND_UNSUPPORTED),
        ('{"ticker":"A","action":"buy","timeInForce":"opg"}', AlertReason.COMMAND_UNSUPPORTED),
        ('{"ticker":"A","action":"buy","optionType":"call"}', AlertReason.FIELD_UNSUPPORTED),
        ('{"ticker":"A","action":"buy","delay":5}', AlertReason.FIELD_UNSUPPORTED),
        ('{"ticker":"A","action":"add"}', AlertReason.FIELD_MISSING),
        ('{"ticker":"A","action":"reverse"}', AlertReason.FIELD_MISSING),
        ('{"ticker":"A","action":"exit","sentiment":"bullish"}', AlertReason.FIELDS_CONTRADICT),
        ('{"ticker":"A","action":"hold"}', AlertReason.ACTION_UNKNOWN),
        (
            '{"secret":"s","bot_uuid":"b","tv_instrument":"A","action":"enter_long",'
            '"order":{"amount":5,"currency_type":"margin_percent"}}',
            AlertReason.COMMAND_UNSUPPORTED,
        ),
        (
            '{"secret":"s","bot_uuid":"b","tv_instrument":"A","action":"enter_long","order":{"amount":5}}',
            AlertReason.FIELD_MISSING,
        ),
        ('{"secret":"s","bot_uuid":"b","tv_instrument":"A","action":"disable"}', AlertReason.COMMAND_UNSUPPORTED),
        ('{"secret":"s","bot_uuid":"b","tv_instrument":"A","action":"hold"}', AlertReason.ACTION_UNKNOWN),
        ('{"message_type":"bot","bot_id":1,"email_token":"t","delay_seconds":0}', AlertReason.COMMAND_UNSUPPORTED),
        (
            '{"message_type":"bot","bot_id":1,"email_token":"t","delay_seconds":9,"pair":"USDT_BTC",'
            '"action":"close_at_market_price"}',
            AlertReason.FIELD_UNSUPPORTED,
        ),
        (
            '{"message_type":"bot","bot_id":1,"email_token":"t","action":"close_at_market_price"}',
            AlertReason.FIELD_MISSING,
        ),
        ("ENTER-LONG_canary-5a1b9e", AlertReason.SYMBOL_UNKNOWN),
        ("ENTER-LONG_Bybit_NONE_bot_15M_canary-5a1b9e", AlertReason.SYMBOL_UNKNOWN),
        ("ENTER-BOTH_Bybit_ETHUSDT_bot_15M_canary-5a1b9e", AlertReason.ACTION_UNKNOWN),
        (
            '{"code":"ENTER-LONG_X_ETHUSDT_bot_15M_1","amountPerTrade":25,"amountPerTradeType":"percents"}',
            AlertReason.NUMBER_INVALID,
        ),
        ('{"code":"ENTER-LONG_X_ETHUSDT_bot_15M_1","amountPerTrade":25}', AlertReason.FIELD_MISSING),
        (
            '{"code":"ENTER-LONG_X_ETHUSDT_bot_15M_1","amountPerTrade":25,"amountPerTradeType":"fixed"}',
            AlertReason.COMMAND_UNSUPPORTED,
        ),
        ('{"code":"ENTER-LONG_X_ETHUSDT_bot_15M_1","leverage":10}', AlertReason.FIELD_UNSUPPORTED),
        ('{"code":"ENTER-LONG_X_ETHUSDT_bot_15M_1","orderType":"stop_market"}', AlertReason.COMMAND_UNSUPPORTED),
        ("ENTER-LONG_X_ETH USDT_bot_15M_canary-5a1b9e", AlertReason.SYMBOL_UNKNOWN),
        (
            '{"secret":"s","bot_uuid":"b","tv_instrument":"A","action":"exit_long","max_lag":"1.5"}',
            AlertReason.FIELD_INVALID,
        ),
        ("60123456789,buy,AUDUSD,risk=0.1", AlertReason.FIELD_UNSUPPORTED),
        ("60123456789,buy,AUDUSD,vol_lots", AlertReason.FIELD_INVALID),
        ("60123456789,buylimit,AUDUSD,vol_lots=1,price=5", AlertReason.COMMAND_UNSUPPORTED),
        ("60123456789,buy,AUDUSD,vol_lots=1,price=5", AlertReason.FIELD_UNSUPPORTED),
        ("60123456789,buy,AUDUSD,vol_lots=1,spread=5", AlertReason.FIELD_UNSUPPORTED),
        ("60123456789,buy,AUDUSD,vol_lots=1,risk=5", AlertReason.FIELDS_CONTRADICT),
        ("60123456789,buy,AUDUSD,vol_lots=1,vol_lots=5", AlertReason.FIELDS_CONTRADICT),
        ("60123456789,closelong,AUDUSD,vol_lots=1", AlertReason.FIELDS_CONTRADICT),
        ("60123456789,closelongpct,AUDUSD", AlertReason.FIELD_MISSING),
        ("60123456789,closelongpct,AUDUSD,risk=0.5", AlertReason.NUMBER_INVALID),
        ("60123456789,closeshortpct,AUDUSD,risk=101", AlertReason.NUMBER_INVALID),
        ("60123456789,closeshortpct,AUDUSD,risk=50,vol_lots=1", AlertReason.FIELD_UNSUPPORTED),
        ("60123456789,closelongvol,AUDUSD", AlertReason.FIELD_MISSING),
        ("60123456789,closelongvol,AUDUSD,risk=1", AlertReason.FIELD_UNSUPPORTED),
        ("60123456789,closelongopenshort,AUDUSD,vol_lots=1", AlertReason.COMMAND_UNSUPPORTED),
        ("60123456789,buy,AUDUSD,vol_lot=1", AlertReason.FIELD_UNKNOWN),
        ("60123456789,dance,AUDUSD", AlertReason.ACTION_UNKNOWN),
        ("60123456789,buy,AUDUSD\n60123456789,buy,AUDUSD", AlertReason.BODY_TOO_LARGE),
        ("K(X) { market(side=buy, amount=1); wait(5s); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { market(side=buy, amount=1); market(side=buy, amount=1); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { market(side=buy, amount=1); cancel(which=all); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { market(amount=1); }", AlertReason.FIELD_MISSING),
        ("K(X) { market(side=buy, amount=1btc); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { limit(side=buy, amount=1, offset=50); }", AlertReason.PRICE_RELATIVE),
        ("K(X) { market(position=5); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { market(position=50%); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { market(position=100%p); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { market(position=-50%p); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { cancel(which=session); }", AlertReason.COMMAND_UNSUPPORTED),
        ("K(X) { }", AlertReason.FIELD_MISSING),
        ("K(X) { market(side=buy, amount); }", AlertReason.FIELD_INVALID),
        ("K(X) { market(side=buy, side=sell); }", AlertReason.FIELD_INVALID),
        ("K(X) { market[side=buy]; }", AlertReason.FIELD_INVALID),
        ("K(X) {" + "notify(msg=a);" * 17 + " }", AlertReason.BODY_TOO_LARGE),
        ("K(X) { market(side=buy, amount=1, mood=good); }", AlertReason.FIELD_UNKNOWN),
        ("K(X) { market(side={{strategy.order.action}}, amount=1); }", AlertReason.PLACEHOLDER_UNRESOLVED),
        ("K(X) { market(side=buy); } L(Y) { market(side=buy); }", AlertReason.FIELD_UNSUPPORTED),
        ('{"key":"E:s","ticker":"A","action":"buy","stop_loss":5}', AlertReason.FIELD_UNSUPPORTED),
        ('{"key":"E:s","ticker":"A","action":"hold"}', AlertReason.ACTION_UNKNOWN),
        ('{"key":"E:s","ticker":"A","action":"buy","quantity":1,"contracts":1}', AlertReason.FIELDS_CONTRADICT),
        ('{"symbol":"A","action":"HOLD"}', AlertReason.ACTION_UNKNOWN),
        ('{"symbol":"A","action":"buy","Action":"sell"}', AlertReason.FIELDS_CONTRADICT),
    ],
)
def test_what_a_dialect_can_say_and_is_not_done_is_refused_by_name(body: str, reason: AlertReason) -> None:
    error = refusal(body)
    assert error.reason is reason, error
    assert CANARY not in str(error)


def test_a_licence_in_the_wrong_place_is_not_repeated() -> None:
    error = refusal("buy,60123456789,EURUSD", Dialect.PINECONNECTOR)
    assert "60123456789" not in str(error)


def test_what_risk_means_is_a_setting_of_the_source() -> None:
    body = b"60123456789,buy,AUDUSD,risk=0.1"
    alert = parse(body, dialect=Dialect.PINECONNECTOR, volume_mode=QuantityMode.PERCENT_OF_EQUITY).alert
    assert (str(alert.quantity), alert.quantity_mode) == ("0.1", QuantityMode.PERCENT_OF_EQUITY)


@pytest.mark.parametrize("mode", [None, QuantityMode.CASH])
def test_percent_of_a_position_is_percent_whatever_risk_means_elsewhere(mode: QuantityMode | None) -> None:
    body = b"60123456789,closeshortpct,AUDUSD,risk=25"
    alert = parse(body, dialect=Dialect.PINECONNECTOR, volume_mode=mode).alert
    assert (str(alert.quantity), alert.quantity_mode) == ("25", QuantityMode.PERCENT_OF_POSITION)
    assert not alert.cancel_first


def test_a_named_dialect_reads_no_other() -> None:
    traderspost = BY_NAME["TradersPost, its smallest example"].body
    assert refusal(traderspost, Dialect.ALGOTRENDY).reason is AlertReason.FIELD_INVALID
    assert refusal(traderspost, Dialect.PINECONNECTOR).reason is AlertReason.DIALECT_UNKNOWN
    assert refusal("60123456789,closelong,GBPUSD", Dialect.TRADERSPOST).reason is AlertReason.BODY_NOT_JSON


def test_a_mode_without_a_quantity_means_nothing() -> None:
    assert refusal('{"v":1,"symbol":"A","action":"buy","quantity_mode":"cash"}').reason is AlertReason.FIELD_MISSING


def test_a_command_needs_its_three_parts() -> None:
    assert refusal("60123456789,buy", Dialect.PINECONNECTOR).reason is AlertReason.FIELD_MISSING


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"ticker":"A","action":"cancel"}', {"action": "cancel", "cancel_first": True}),
        (
            '{"ticker":"A","action":"reverse","sentiment":"long","quantity":2,"extendedHours":"true"}',
            {"action": "reverse", "target": "long", "cancel_first": True, "extended_hours": True, "quantity": 2},
        ),
        ('{"key":"E:s","ticker":"A","action":"close"}', {"action": "exit", "cancel_first": True, "strategy": "E"}),
        ("K(A) { cancel(which=all); }", {"action": "cancel", "strategy": "K"}),
        (
            "K(A) { market(side=buy, reduceOnly=true,); notify(msg=a); }",
            {"action": "buy", "reduce_only": True, "strategy": "K"},
        ),
    ],
)
def test_further_commands_of_the_dialects(body: str, expected: dict[str, Any]) -> None:
    alert = read(body.encode(), dialect=Dialect.AUTO)
    assert said(alert) == {"symbol": "A", **expected}
