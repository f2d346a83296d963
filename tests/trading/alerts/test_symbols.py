from __future__ import annotations

import pytest

from brokers.ids import Venue
from trading.alerts import AlertReason, AlertRefused
from trading.alerts.symbols import instrument_of, read_symbol


@pytest.mark.parametrize(
    ("text", "exchange", "ticker", "place", "is_delayed"),
    [
        ("AAPL", "", "AAPL", "", False),
        (" aapl ", "nasdaq", "AAPL", "NASDAQ", False),
        ("NASDAQ:AAPL", "", "AAPL", "NASDAQ", False),
        ("NASDAQ:AAPL", "NASDAQ_DLY", "AAPL", "NASDAQ", True),
        ("CME_MINI_DL:ES1!", "", "ES1!", "CME_MINI", True),
        ("BRK.B", "NYSE", "BRK.B", "NYSE", False),
        ("BTCUSDT.P", "BINANCE", "BTCUSDT.P", "BINANCE", False),
        ("ESZ2026", "", "ESZ2026", "", False),
        ("ESZ26", "", "ESZ2026", "", False),
        ("MESZ6", "", "MESZ6", "", False),
        ("M6EH27", "", "M6EH2027", "", False),
        ("1INCHUSDT", "", "1INCHUSDT", "", False),
    ],
)
def test_a_name_is_taken_apart(text: str, exchange: str, ticker: str, place: str, is_delayed: bool) -> None:
    found = read_symbol(text, exchange=exchange)
    assert (found.ticker, found.exchange, found.is_delayed) == (ticker, place, is_delayed)


@pytest.mark.parametrize("text", ["", ":AAPL", "AAPL;", "A B", "ÄÖ", "NASDAQ:", "A" * 41, "A:B:C", "{{ticker}}"])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(AlertRefused) as caught:
        read_symbol(text)
    assert caught.value.reason is AlertReason.SYMBOL_UNKNOWN


@pytest.mark.parametrize(
    ("text", "expected"), [("AAPL", "AAPL"), ("BRK.B", "BRK.B"), ("ESZ2025", "ESZ5"), ("MESZ26", "MESZ6")]
)
def test_what_is_plainly_one_instrument_needs_no_more(text: str, expected: str) -> None:
    assert str(instrument_of(read_symbol(text), Venue.TRADESTATION)) == expected


@pytest.mark.parametrize("text", ["AAPL", "BRK.B"])
def test_shares_are_plain_at_alpaca_too(text: str) -> None:
    assert str(instrument_of(read_symbol(text), Venue.ALPACA)) == text


@pytest.mark.parametrize(
    ("text", "venue", "hint"),
    [
        ("ES1!", Venue.TRADESTATION, "name the contract"),
        ("ES2!", Venue.TRADESTATION, "name the contract"),
        ("EURUSD", Venue.TRADESTATION, "has to stand in the route"),
        ("BTCUSDT.P", Venue.TRADESTATION, "has to stand in the route"),
        ("BTCUSDT", Venue.BYBIT, "has to stand in the route"),
        ("AAPL", Venue.BYBIT, "has to stand in the route"),
        ("ESZ2026", Venue.ALPACA, "has to stand in the route"),
        ("BTCUSD", Venue.ALPACA, "has to stand in the route"),
    ],
)
def test_what_only_a_person_can_say_is_refused(text: str, venue: Venue, hint: str) -> None:
    with pytest.raises(AlertRefused, match=hint) as caught:
        instrument_of(read_symbol(text), venue)
    assert caught.value.reason is AlertReason.SYMBOL_UNKNOWN
