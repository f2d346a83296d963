"""What docs/alerts.md offers to copy works, and its tables name what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.trading.alerts.samples import FIRED
from trading.alerts import (
    Alert,
    AlertAction,
    AlertConfig,
    AlertReason,
    AlertRefused,
    Dialect,
    QuantityMode,
    Route,
    Source,
)
from trading.alerts.dialects import read
from trading.alerts.dialects.algotrendy import KNOWN

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "alerts.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILLED = {
    "{{strategy.order.id}}": "Long",
    "{{strategy.order.action}}": "sell",
    "{{strategy.order.contracts}}": "25",
    "{{strategy.order.price}}": "212.35",
    "{{strategy.market_position}}": "short",
    "{{strategy.market_position_size}}": "15",
    "{{strategy.prev_market_position}}": "long",
    "{{strategy.prev_market_position_size}}": "10",
    "{{ticker}}": "AAPL",
    "{{exchange}}": "NASDAQ",
    "{{interval}}": "5",
    "{{time}}": "2026-07-20T14:25:00Z",
    "{{timenow}}": "2026-07-20T14:31:02Z",
    "{{close}}": "212.35",
}


def template(number: int) -> str:
    found = [text for language, text in BLOCKS if language in ("json", "text")]
    return found[number]


def filled(number: int) -> Alert:
    text = template(number)
    for placeholder, value in FILLED.items():
        text = text.replace(placeholder, value)
    return read(text.encode(), dialect=Dialect.AUTO)


def test_the_template_for_strategies_tells_a_reversal_and_its_new_size() -> None:
    alert = filled(0)
    assert (alert.action, alert.target, alert.target_size) == (AlertAction.REVERSE, "short", 15)
    assert (alert.event_time, alert.key) == (FIRED, "Long|AAPL|2026-07-20T14:31:02Z|sell|25|15")


def test_the_template_for_indicators_and_the_text_form_are_read() -> None:
    indicator, lines = filled(1), filled(2)
    assert (indicator.action, indicator.quantity, indicator.key) == ("buy", 10, "rsi-buy|AAPL|2026-07-20T14:31:02Z")
    assert (lines.action, lines.event_time) == ("exit", FIRED)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_template_that_nobody_filled_in_is_refused(number: int) -> None:
    with pytest.raises(AlertRefused) as caught:
        read(template(number).encode(), dialect=Dialect.AUTO)
    assert caught.value.reason is AlertReason.PLACEHOLDER_UNRESOLVED


def test_the_routes_of_the_page_are_read() -> None:
    text = next(text for language, text in BLOCKS if language == "yaml")
    config = AlertConfig.parse(text, where="docs/alerts.md")
    config.require_calendars()
    assert [route.name for route in config.routes] == ["aapl-long", "es"]


def test_every_field_setting_and_dialect_has_its_line() -> None:
    names = {*KNOWN, *Route.model_fields, *Source.model_fields, *QuantityMode, *(set(Dialect) - {Dialect.AUTO})}
    missing = sorted(name for name in names if not re.search(rf"\b{re.escape(name)}\b", PAGE))
    assert missing == []
