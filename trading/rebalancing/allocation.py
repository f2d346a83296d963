"""From one portfolio to that of each account: weights, bands and limits in the measure of its own equity. Pure.

A split gives each account a measure, the equity that the portfolio's weights are fractions of: its own, its share of
the joint one, or the joint one. The account's weights, absolute band and tolerance are the portfolio's times measure
over own equity, so that the same rule holds on the joint book. Invariants (property-tested):
1. Over all accounts, the target values sum to the portfolio's weights times the joint investable equity.
2. In split by_instrument, each instrument has a weight other than 0 in one account at most.
3. What an account holds of the portfolio and shall not hold any more gets the weight 0 there.
4. No account is planned from a joint equity of which a part could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal, localcontext

from brokers.ids import InstrumentId
from brokers.rounding import MONEY, decimal_text
from brokers.types import ZERO
from trading.rebalancing.lines import ONE
from trading.rebalancing.portfolio import Portfolio
from trading.rebalancing.reasons import AccountReason
from trading.rebalancing.subscription import Split, SubscribedAccount, Subscription
from trading.rebalancing.view import AccountView

WEIGHT_MAX = 100
_PLACES = Decimal("1e-18")


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocated:
    """An account's own portfolio, or why it has none."""

    portfolio: Portfolio | None
    reason: AccountReason | None = None
    detail: str = ""


def read_as(subscription: Subscription, portfolio: Portfolio, name: str) -> Portfolio:
    """The portfolio as the account is read with it: all lines, in the account's quote currency."""
    currency = subscription.account(name).quote_currency
    return portfolio if currency is None else portfolio.model_copy(update={"quote_currency": currency})


def allocate(
    subscription: Subscription,
    portfolio: Portfolio,
    *,
    views: Mapping[str, AccountView],
    rates: Mapping[str, Decimal],
    unread: frozenset[str] = frozenset(),
) -> dict[str, Allocated]:
    """The portfolio of every account that has a view. `rates`: one unit of a currency in base currency.

    `unread` accounts have no view: in a joint split nobody is planned then, because a part of the equity is not known.
    """
    if subscription.split is not Split.OWN_EQUITY and unread:
        lost = Allocated(
            portfolio=None,
            reason=AccountReason.JOINT_EQUITY_UNKNOWN,
            detail=f"the joint equity needs {', '.join(sorted(unread))}, which could not be read",
        )
        return dict.fromkeys(views, lost)
    with localcontext(MONEY):
        joint = sum((view.equity * rates[view.quote_currency] for view in views.values()), ZERO)
        homes = _homes(subscription, portfolio, views) if subscription.split is Split.BY_INSTRUMENT else {}
        return {
            name: _account(
                subscription, portfolio, subscription.account(name), view, rates=rates, joint=joint, homes=homes
            )
            for name, view in views.items()
        }


def _homes(
    subscription: Subscription, portfolio: Portfolio, views: Mapping[str, AccountView]
) -> dict[InstrumentId, str]:
    """Which account holds each instrument: the one that names it, else the first without names whose venue lists it.

    What nobody lists goes to the first one too, whose plan says that the venue does not know it.
    """
    named = {key: item.account for item in subscription.accounts for key in item.instruments}
    open_to_all = [item.account for item in subscription.accounts if not item.instruments and item.account in views]
    fallback = open_to_all[0] if open_to_all else subscription.accounts[0].account
    return {
        key: named.get(key) or next((name for name in open_to_all if _lists(views[name], key)), fallback)
        for key in portfolio.targets
    }


def _lists(view: AccountView, key: InstrumentId) -> bool:
    item = view.instruments.get(key)
    return item is not None and item.quote_currency == item.settle_currency == view.quote_currency


def _account(
    subscription: Subscription,
    portfolio: Portfolio,
    entry: SubscribedAccount,
    view: AccountView,
    *,
    rates: Mapping[str, Decimal],
    joint: Decimal,
    homes: Mapping[InstrumentId, str],
) -> Allocated:
    if view.equity <= 0:
        return Allocated(
            portfolio=None,
            reason=AccountReason.ACCOUNT_WITHOUT_EQUITY,
            detail=f"equity is {decimal_text(view.equity)} {view.quote_currency}",
        )
    own = view.equity * rates[view.quote_currency]
    scale = _measure(subscription.split, entry, own=own, joint=joint) / own
    weights = {
        key: _placed(weight * scale, ROUND_DOWN)
        for key, weight in _own_targets(subscription.split, portfolio, entry, view, homes).items()
    }
    if not weights:
        return Allocated(
            portfolio=None,
            reason=AccountReason.NOTHING_ALLOCATED,
            detail=f"no line of {portfolio.name} is held in {entry.account}",
        )
    gross = sum((abs(weight) for weight in weights.values()), ZERO)
    if gross > WEIGHT_MAX:
        return Allocated(
            portfolio=None,
            reason=AccountReason.ACCOUNT_TOO_SMALL,
            detail=f"its lines are {decimal_text(_placed(gross, ROUND_DOWN))} times its own equity, above {WEIGHT_MAX}",
        )
    per_unit = rates[portfolio.quote_currency] / rates[view.quote_currency]
    return Allocated(portfolio=_derived(subscription, portfolio, entry, view, weights, gross, scale, per_unit))


def _measure(split: Split, entry: SubscribedAccount, *, own: Decimal, joint: Decimal) -> Decimal:
    """The equity that the portfolio's weights are fractions of, in base currency."""
    if split is Split.OWN_EQUITY:
        return own
    if split is Split.BY_INSTRUMENT:
        return joint
    assert entry.share is not None, "a subscription by shares has one for each account"
    return joint * entry.share


def _own_targets(
    split: Split,
    portfolio: Portfolio,
    entry: SubscribedAccount,
    view: AccountView,
    homes: Mapping[InstrumentId, str],
) -> dict[InstrumentId, Decimal]:
    """The lines that the account takes; a line that has its home elsewhere is left, not forgotten."""
    if split is Split.SHARES:
        return dict(portfolio.targets)
    if split is Split.OWN_EQUITY:
        return {k: w for k, w in portfolio.targets.items() if not entry.instruments or k in entry.instruments}
    held = {holding.instrument_id for holding in view.holdings}
    return {
        key: weight if homes[key] == entry.account else ZERO
        for key, weight in portfolio.targets.items()
        if homes[key] == entry.account or key in held
    }


def _derived(
    subscription: Subscription,
    portfolio: Portfolio,
    entry: SubscribedAccount,
    view: AccountView,
    weights: Mapping[InstrumentId, Decimal],
    gross: Decimal,
    scale: Decimal,
    per_unit: Decimal,
) -> Portfolio:
    """The account's own portfolio, checked like one that was written down."""
    drift, limit = portfolio.drift, entry.gross_max
    if limit is None and subscription.split is not Split.OWN_EQUITY:
        limit = portfolio.gross_max
    if drift.absolute is not None:
        drift = drift.model_copy(update={"absolute": min(_placed(drift.absolute * scale, ROUND_DOWN), ONE)})
    changes = {
        "quote_currency": view.quote_currency,
        "targets": dict(weights),
        "drift": drift,
        "tolerance": min(_placed(portfolio.tolerance * scale, ROUND_DOWN), ONE),
        "minimum_trade_notional": _placed(portfolio.minimum_trade_notional * per_unit, ROUND_UP),
        "gross_max": max(portfolio.gross_max, _placed(gross, ROUND_UP)),
        "gross_limit": limit,
        "calendar": portfolio.calendar
        if entry.sessions is None
        else portfolio.calendar.model_copy(update={"sessions": entry.sessions}),
    }
    return Portfolio.model_validate({**dict(portfolio), **changes})


def _placed(value: Decimal, rounding: str) -> Decimal:
    """At most 18 places, as the ledger keeps them."""
    return value.quantize(_PLACES, rounding=rounding, context=MONEY)
