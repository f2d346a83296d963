"""The hash of a policy: the same limits, the same hash; any other limit, another."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from brokers.ids import Environment
from trading.risk import InstrumentLimits, RiskPolicy, policy_sha256

POLICY = RiskPolicy.for_environment(Environment.PRODUCTION)


def test_the_same_limits_have_the_same_hash_however_they_were_written() -> None:
    names = ("ETH/USDT", "BTC/USDT")
    own = {"BTC/USDT": InstrumentLimits(quantity_max=Decimal(2)), "ETH/USDT": InstrumentLimits(open_orders_max=3)}
    one = RiskPolicy(leverage_max=Decimal("5.00"), allowed_instruments=names, instruments=own)
    other = RiskPolicy(
        leverage_max=Decimal(5),
        allowed_instruments=tuple(reversed(names)),
        instruments=dict(reversed(list(own.items()))),
    )
    assert policy_sha256(one) == policy_sha256(other)
    assert policy_sha256(one) == policy_sha256(RiskPolicy.model_validate(one.model_dump()))
    assert len(policy_sha256(one)) == 64


@pytest.mark.parametrize("name", sorted(RiskPolicy.model_fields))
def test_every_limit_counts(name: str) -> None:
    value = getattr(POLICY, name)
    changed: Any = ("BTC/USDT",) if value == () else ()
    if isinstance(value, bool):
        changed = not value
    elif isinstance(value, (int, Decimal)):
        changed = value + 1
    elif name == "daily_loss_amount_max":
        changed = Decimal(1)
    elif name == "instruments":
        changed = {"BTC/USDT": InstrumentLimits(quantity_max=Decimal(1))}
    assert changed != value
    assert policy_sha256(POLICY.model_copy(update={name: changed})) != policy_sha256(POLICY)


def test_the_documentation_names_every_limit() -> None:
    text = (Path(__file__).parents[3] / "docs" / "orders.md").read_text(encoding="utf-8")
    assert [name for name in RiskPolicy.model_fields if f"`{name}`" not in text] == []


def test_no_list_is_not_an_empty_list() -> None:
    closed, open_ = (RiskPolicy(allowed_instruments=allowed) for allowed in ((), None))
    assert policy_sha256(closed) != policy_sha256(open_)
