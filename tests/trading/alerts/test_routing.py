from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from brokers.ids import Environment
from brokers.types import OrderType, PositionSide
from tests.trading.alerts.building import D, make_alert, make_config, make_route
from trading.alerts import AlertAction, AlertConfig, AlertReason, AlertRefused, RoutesRefused
from trading.alerts.routing import RouteAction

FILE = """
sources:
  - name: tv-momentum
    dialect: algotrendy
    require_explicit_key: true
    secrets: {secret: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}
routes:
  - name: aapl
    source: tv-momentum
    strategy: momentum*
    symbol: AAPL
    account: tradestation-simulated-demo
    quantity_max: "100"
  - name: es
    source: tv-momentum
    symbol: CME_MINI:ES1!
    account: tradestation.simulated.futures
    roll:
      - {instrument: ESU6, until: 2026-09-14}
      - {instrument: ESZ6, until: 2026-12-14}
    quantity_max: "2"
    actions: [open_long, open_short]
    ttl_market_s: 20
    review: {url: "http://127.0.0.1:8283", kind: letta, agent: agent-1, confidence_min: "0.8"}
"""


def parse(text: str) -> AlertConfig:
    return AlertConfig.parse(text)


def test_a_file_is_read_and_its_canonical_text_is_the_same_configuration() -> None:
    config = parse(FILE)
    assert config.route(make_alert(source="tv-momentum", strategy="momentum", symbol="AAPL")).name == "aapl"
    again = parse(config.to_json())
    assert (again, again.sha256, again.to_json()) == (config, config.sha256, config.to_json())
    assert [str(account) for account in config.accounts] == [
        "tradestation.simulated.demo",
        "tradestation.simulated.futures",
    ]
    assert config.routes[0].actions == {RouteAction.OPEN_LONG}


def test_the_order_of_lines_does_not_change_the_hash_of_what_they_allow() -> None:
    one = parse(FILE).sha256
    assert parse(FILE.replace("[open_long, open_short]", "[open_short, open_long]")).sha256 == one
    assert parse(FILE.replace("ttl_market_s: 20", "ttl_market_s: 21")).sha256 != one


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("quantity_max", "quantity_maximum", r"routes.0.quantity_maximum: Extra inputs"),
        ('quantity_max: "100"', "quantity_max: 0.5", r"routes.0.quantity_max: must be decimal text"),
        ('quantity_max: "100"', 'quantity_max: "-1"', r"routes.0.quantity_max: Input should be greater than 0"),
        ('quantity_max: "100"', "ttl_exit_s: 60", r"routes.0: a route needs quantity_max or notional_max"),
        ("account: tradestation-simulated-demo", "account: demo", r"routes.0.account: .*venue-environment-name"),
        ("symbol: AAPL", "symbol: EURUSD", r"routes.0: which instrument of tradestation EURUSD is has to stand"),
        ("symbol: AAPL", "symbol: 'A A'", r"routes.0: symbol must read"),
        ("source: tv-momentum\n    strategy", "source: other\n    strategy", r"for source 'other'; known: tv-momentum"),
        ("strategy: momentum*", "strategy: '*mom*'", r"routes.0: strategy must be a text or the beginning"),
        ("name: es", "name: aapl", r"names of routes must be unique, repeated: aapl"),
        ("2026-12-14", "2026-09-14", r"routes.1: roll must name its contracts in the order"),
        ("dialect: algotrendy", "dialect: morse", r"sources.0.dialect: Input should be"),
        ("secret: 9f86", "secret: xyz", r"sources.0.secrets.secret: String should match"),
        ("http://127.0.0.1:8283", "http://user:word@host", r"routes.1.review.url: String should match"),
        ("name: tv-momentum\n", "name: tv-momentum\n    name: b\n", r"not valid YAML: a key stands twice"),
        ("sources:", "sources: [", r"not valid YAML"),
        ("    ttl_market_s: 20\n", "    when_closed: wait\n", r"routes.1: when_closed needs a calendar"),
        ("secrets: {secret:", "secrets: {'a b':", r"sources.0.secrets: secrets maps names of fields"),
        (
            'quantity_max: "2"',
            'quantity_max: "2"\n    instrument: ESZ6',
            r"routes.1: give instrument or roll",
        ),
        ("ttl_market_s: 20", "quantity_mode: percent_of_position", r"routes.1: quantity_mode of a route must fit"),
        ("sources:", "version: 2\nsources:", r"version: Input should be less than or equal to 1"),
    ],
)
def test_a_mistake_is_named_with_its_place(old: str, new: str, message: str) -> None:
    assert old in FILE
    with pytest.raises(RoutesRefused, match=message) as caught:
        parse(FILE.replace(old, new))
    assert "9f86d081" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "a", "", "{", "{sources: []} x", '{"sources":[],"sources":[]}'])
def test_what_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(RoutesRefused, match=r"must be a mapping|not valid YAML"):
        parse(text)


def test_yaml_in_braces_is_read_too() -> None:
    assert parse("{sources: [{name: tv}]}").sources[0].name == "tv"


def test_a_route_may_name_its_instrument() -> None:
    assert str(make_route(symbol="ES1!", instrument="ESZ6").instrument_at(datetime(2030, 1, 1, tzinfo=UTC))) == "ESZ6"


def test_a_calendar_that_there_is_none_of_is_refused_when_routes_are_applied() -> None:
    make_config(make_route(calendar="NYSE")).require_calendars()
    with pytest.raises(RoutesRefused, match="route aapl: there is no calendar 'WALLSTREET'"):
        make_config(make_route(calendar="WALLSTREET")).require_calendars()


def test_routes_lead_to_accounts_of_the_ledgers_environment_only() -> None:
    config = parse(FILE)
    config.require_environment(Environment.SIMULATED)
    with pytest.raises(RoutesRefused, match=r"route aapl leads to tradestation\.simulated\.demo"):
        config.require_environment(Environment.PRODUCTION)


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ({"strategy": "*"}, {"strategy": "a"}, True),
        ({"strategy": "a"}, {"strategy": "b"}, False),
        ({"strategy": "a"}, {"strategy": "a"}, True),
        ({"strategy": "a*"}, {"strategy": "ab*"}, True),
        ({"strategy": "a*"}, {"strategy": "ab"}, True),
        ({"strategy": "ab"}, {"strategy": "a*"}, True),
        ({"strategy": "a*"}, {"strategy": "b*"}, False),
        ({"strategy": "a*"}, {"strategy": "b"}, False),
        ({"symbol": "NASDAQ:AAPL"}, {"symbol": "NYSE:AAPL"}, False),
        ({"symbol": "NASDAQ:AAPL"}, {"symbol": "AAPL"}, True),
        ({"symbol": "MSFT"}, {"symbol": "AAPL"}, False),
        ({"symbol": "ESZ26", "instrument": "ESZ6"}, {"symbol": "ESZ2026", "instrument": "ESZ6"}, True),
    ],
)
def test_two_routes_for_one_alert_are_refused_when_the_file_is_read(
    one: dict[str, Any], other: dict[str, Any], meets: bool
) -> None:
    routes = (make_route(**one), make_route(name="second", **other))
    if not meets:
        assert len(make_config(*routes).routes) == 2
        return
    with pytest.raises(ValueError, match="aapl and second could take the same alert"):
        make_config(*routes)


@pytest.mark.parametrize(
    ("changes", "route"),
    [
        ({"strategy": "momentum-5m"}, "one"),
        ({"strategy": "momentum"}, "one"),
        ({"strategy": "exact"}, "two"),
        ({"symbol": "MSFT", "exchange": "NASDAQ"}, "three"),
        ({"strategy": ""}, None),
        ({"strategy": "exact2"}, None),
        ({"symbol": "MSFT"}, None),
        ({"source": "other", "strategy": "exact"}, None),
    ],
)
def test_an_alert_finds_its_one_route_or_is_refused(changes: dict[str, Any], route: str | None) -> None:
    config = make_config(
        make_route(name="one", strategy="momentum*"),
        make_route(name="two", strategy="exact"),
        make_route(name="three", symbol="NASDAQ:MSFT"),
    )
    alert = make_alert(**changes)
    if route is not None:
        assert config.route(alert).name == route
        return
    with pytest.raises(AlertRefused) as caught:
        config.route(alert)
    assert caught.value.reason is AlertReason.ROUTE_MISSING


def test_a_copy_with_other_routes_goes_by_them() -> None:
    config = make_config()
    assert config.route(make_alert()).name == "aapl"
    copy = config.model_copy(update={"routes": (make_route(name="other"),)})
    assert (copy.route(make_alert()).name, config.route(make_alert()).name) == ("other", "aapl")


def test_a_roll_table_gives_the_contract_of_the_day_and_ends() -> None:
    route = parse(FILE).routes[1]
    moments = ("2026-07-20T14:00", "2026-09-13T23:59", "2026-09-14T00:00", "2026-12-13T12:00")
    found = [str(route.instrument_at(datetime.fromisoformat(moment).replace(tzinfo=UTC))) for moment in moments]
    assert found == ["ESU6", "ESU6", "ESZ6", "ESZ6"]
    with pytest.raises(AlertRefused) as caught:
        route.instrument_at(datetime(2026, 12, 14, tzinfo=UTC))
    assert caught.value.reason is AlertReason.ROLL_TABLE_OVER


def test_delayed_data_open_nothing_unless_the_route_says_so() -> None:
    delayed = {"is_delayed": True, "exchange_raw": "NASDAQ_DLY"}
    with pytest.raises(AlertRefused) as caught:
        make_config().route(make_alert(**delayed))
    assert caught.value.reason is AlertReason.DATA_DELAYED
    assert make_config().route(make_alert(action=AlertAction.EXIT, quantity=None, **delayed)).name == "aapl"
    assert make_config(make_route(delayed_data="ignore")).route(make_alert(**delayed)).name == "aapl"


def test_exits_live_longest() -> None:
    route = make_route(ttl_market_s=30, ttl_limit_s=120, ttl_exit_s=300)
    assert route.ttl_s(make_alert()) == 30
    assert route.ttl_s(make_alert(order_type=OrderType.LIMIT, limit_price=D(5))) == 120
    assert route.ttl_s(make_alert(action=AlertAction.EXIT, quantity=None)) == 300
    assert route.ttl_s(make_alert(action=AlertAction.CANCEL, quantity=None)) == 300
    assert route.ttl_s(make_alert(action=AlertAction.REVERSE, target=PositionSide.LONG)) == 30
