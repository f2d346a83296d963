"""How a portfolio is shared out, case by case."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from brokers.ids import AccountId, InstrumentId
from brokers.types import ProductKind
from tests.trading.rebalancing.building import make_portfolio, make_view
from trading.rebalancing import AccountView, Portfolio, plan
from trading.rebalancing.allocation import Allocated, allocate, read_as
from trading.rebalancing.reasons import AccountReason, LineReason
from trading.rebalancing.subscription import Subscription

D = Decimal
CRYPTO, SHARES = "bybit-simulated-main", "tradestation-simulated-main"
BTC, ETH, AAPL = "BTC/USDT:USDT", "ETH/USDT:USDT", "AAPL"
SHARE = {
    "product": ProductKind.EQUITY,
    "base_currency": "AAPL",
    "quote_currency": "USD",
    "settle_currency": "USD",
    "lot_size": D(1),
    "quantity_min": D(1),
}


def portfolio(**changes: Any) -> Portfolio:
    return make_portfolio({BTC: "0.3", AAPL: "0.4"}, **{"quote_currency": "USD", **changes})


def subscription(split: str = "by_instrument", **changes: Any) -> Subscription:
    fields: dict[str, Any] = {
        "name": "world",
        "portfolio": "core",
        "base_currency": "USD",
        "split": split,
        "accounts": [{"account": CRYPTO, "quote_currency": "USDT"}, {"account": SHARES}],
        "conversions": {"USDT": {"rate": "0.5"}},
    }
    return Subscription.model_validate({**fields, **changes})


def crypto(equity: str = "20000", **changes: Any) -> AccountView:
    return make_view({BTC: "50000"}, equity=equity, leverages={BTC: "2"}, **changes)


def shares(equity: str = "30000", **changes: Any) -> AccountView:
    fields = {"account_id": AccountId.parse("tradestation.simulated.main"), "quote_currency": "USD", **changes}
    return make_view({AAPL: "200"}, **{"equity": equity, "instruments": {AAPL: SHARE}, **fields})


def shared(
    views: Mapping[str, AccountView],
    *,
    book: Portfolio | None = None,
    binding: Subscription | None = None,
    unread: frozenset[str] = frozenset(),
) -> dict[str, Allocated]:
    return allocate(
        binding or subscription(),
        book or portfolio(),
        views=views,
        rates={"USD": D(1), "USDT": D("0.5")},
        unread=unread,
    )


def targets(found: Allocated) -> dict[str, Decimal]:
    assert found.portfolio is not None, found
    return {str(key): weight for key, weight in found.portfolio.targets.items()}


def test_each_line_goes_where_it_is_listed_in_the_measure_of_the_joint_equity() -> None:
    found = shared({CRYPTO: crypto(), SHARES: shares()})  # 10,000 and 30,000 dollars
    assert targets(found[CRYPTO]) == {BTC: D("1.2")}
    assert targets(found[SHARES]) == {AAPL: D("0.4") * 40 / 30 - D("1e-18") / 3}
    derived = found[CRYPTO].portfolio
    assert derived is not None
    assert (derived.quote_currency, derived.gross_limit, derived.name) == ("USDT", D(1), "core")


def test_bands_tolerance_and_smallest_trade_are_those_of_the_joint_book() -> None:
    book = portfolio(drift={"absolute": "0.02", "relative": "0.1"}, tolerance="0.005", minimum_trade_notional="50")
    derived = shared({CRYPTO: crypto(), SHARES: shares()}, book=book)[CRYPTO].portfolio
    assert derived is not None
    assert derived.drift.absolute == D("0.08")
    assert derived.drift.relative == D("0.1")
    assert derived.tolerance == D("0.02")
    assert derived.minimum_trade_notional == 100  # of a currency that is worth half


def test_by_shares_every_account_holds_the_whole_book() -> None:
    accounts = [{"account": CRYPTO, "quote_currency": "USDT", "share": "0.25"}, {"account": SHARES, "share": "0.75"}]
    found = shared({CRYPTO: crypto("40000"), SHARES: shares()}, binding=subscription("shares", accounts=accounts))
    assert targets(found[CRYPTO]) == {AAPL: D("0.25"), BTC: D("0.1875")}  # 12,500 of its 20,000 dollars
    assert targets(found[SHARES]) == {AAPL: D("0.5"), BTC: D("0.375")}  # 37,500 of 30,000


def test_on_its_own_equity_an_account_keeps_the_weights_and_may_take_some_lines_only() -> None:
    accounts = [{"account": CRYPTO, "quote_currency": "USDT", "instruments": [BTC]}, {"account": SHARES}]
    found = shared({CRYPTO: crypto(), SHARES: shares()}, binding=subscription("own_equity", accounts=accounts))
    assert targets(found[CRYPTO]) == {BTC: D("0.3")}
    assert targets(found[SHARES]) == {AAPL: D("0.4"), BTC: D("0.3")}
    assert found[CRYPTO].portfolio is not None and found[CRYPTO].portfolio.gross_limit is None


def test_a_line_that_lies_in_the_wrong_account_is_brought_home() -> None:
    accounts = [
        {"account": CRYPTO, "quote_currency": "USDT"},
        {"account": "bybit-simulated-new", "instruments": [BTC], "quote_currency": "USDT"},
    ]
    views = {CRYPTO: crypto(holdings={BTC: "0.1"}), "bybit-simulated-new": crypto()}
    found = shared(views, book=make_portfolio({BTC: "0.3", ETH: "0.1"}), binding=subscription(accounts=accounts))
    assert targets(found[CRYPTO]) == {BTC: D(0), ETH: D("0.2")}
    assert targets(found["bybit-simulated-new"]) == {BTC: D("0.6")}


def test_what_nobody_lists_is_stated_by_the_first_account() -> None:
    book = make_portfolio({BTC: "0.3", AAPL: "0.4", "NOWHERE": "0.1"}, quote_currency="USD")
    found = shared({CRYPTO: crypto(), SHARES: shares()}, book=book)
    decided = plan(found[CRYPTO].portfolio or book, crypto())
    reasons = {str(line.instrument_id): line.reasons for line in decided.lines}
    assert reasons["NOWHERE"] == (LineReason.INSTRUMENT_UNKNOWN,)


@pytest.mark.parametrize(
    ("views", "name", "reason"),
    [
        ({CRYPTO: crypto("0"), SHARES: shares()}, CRYPTO, AccountReason.ACCOUNT_WITHOUT_EQUITY),
        ({CRYPTO: crypto("10"), SHARES: shares()}, CRYPTO, AccountReason.ACCOUNT_TOO_SMALL),
        ({CRYPTO: crypto(), SHARES: shares(instruments={AAPL: {**SHARE, "quote_currency": "EUR"}})}, SHARES,
         AccountReason.NOTHING_ALLOCATED),
    ],
)  # fmt: skip
def test_an_account_that_cannot_carry_its_part_says_why(
    views: dict[str, AccountView], name: str, reason: AccountReason
) -> None:
    found = shared(views)
    assert (found[name].portfolio, found[name].reason) == (None, reason)
    assert found[name].detail
    other = next(key for key in views if key != name)
    assert found[other].portfolio is not None


def test_a_joint_equity_of_which_a_part_is_unread_moves_nobody() -> None:
    found = shared({CRYPTO: crypto()}, unread=frozenset({SHARES}))
    assert found[CRYPTO].reason is AccountReason.JOINT_EQUITY_UNKNOWN
    assert SHARES in found[CRYPTO].detail
    alone = shared({CRYPTO: crypto()}, binding=subscription("own_equity"), unread=frozenset({SHARES}))
    assert alone[CRYPTO].portfolio is not None


def test_the_hours_of_a_market_bind_the_account_that_keeps_them() -> None:
    accounts = [{"account": CRYPTO, "quote_currency": "USDT"}, {"account": SHARES, "sessions": "NYSE"}]
    sunday = datetime(2026, 3, 1, 15, tzinfo=UTC)
    views = {CRYPTO: crypto(time=sunday), SHARES: shares(time=sunday)}
    found = shared(views, binding=subscription(accounts=accounts))
    plans = {name: plan(item.portfolio, views[name]) for name, item in found.items() if item.portfolio}
    assert plans[CRYPTO].legs
    assert plans[SHARES].lines[0].reasons == (LineReason.SESSION_CLOSED,)


def test_an_account_is_read_in_its_own_currency() -> None:
    assert read_as(subscription(), portfolio(), CRYPTO).quote_currency == "USDT"
    assert read_as(subscription(), portfolio(), SHARES) == portfolio()
    assert set(read_as(subscription(), portfolio(), CRYPTO).targets) == {InstrumentId(BTC), InstrumentId(AAPL)}
