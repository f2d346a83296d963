"""What an operator wants to hold: target weights and the rules of getting there.

Weights are fractions of the investable equity, which is the account's equity less the cash buffer; a negative weight is
a short position. Numbers are given as decimal text or Decimal: a binary float is refused, because it has already lost
the digits.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator

from brokers.ids import InstrumentId
from brokers.rounding import decimal_text, parse_decimal

LINES_MAX = 20_000


def _exact(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError(f"must be decimal text such as '0.25' (in quotes), was the binary float {value!r}")
    return parse_decimal(value) if isinstance(value, (str, int, Decimal)) else value


def _instrument(value: Any) -> Any:
    return InstrumentId(value) if isinstance(value, str) else value


Exact = Annotated[Decimal, BeforeValidator(_exact), PlainSerializer(decimal_text, return_type=str)]
Fraction = Annotated[Exact, Field(ge=0, le=1)]
InstrumentKey = Annotated[InstrumentId, BeforeValidator(_instrument), PlainSerializer(str, return_type=str)]


class Model(BaseModel):
    """Strict, frozen, closed: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True)


def _closed_set(kind: type[StrEnum]) -> BeforeValidator:
    return BeforeValidator(lambda value: kind(value) if isinstance(value, str) else value)


class BandRule(StrEnum):
    """Which of the given bands must be left before a line is traded."""

    ANY = "any"
    ALL = "all"


class Scope(StrEnum):
    """What is traded once a line has left its band."""

    WHOLE_BOOK = "whole_book"
    BREACHING_LINES = "breaching_lines"


class OrderStyle(StrEnum):
    """How legs are sent; both end at once and never rest in the book."""

    MARKET = "market"  # not sent when the market moved more than the collar since the plan
    LIMIT = "limit"  # immediate-or-cancel at the protected price: the quote plus or minus the collar


class Unmanaged(StrEnum):
    """What becomes of holdings that the portfolio does not name."""

    LEAVE = "leave"
    CLOSE = "close"


class DriftRule(Model):
    """Bands around the target weight.

    `absolute` is in weight (0.02 is two points), `relative` a fraction of the target. Without any band every
    difference is traded (subject to the minimum trade).
    """

    absolute: Fraction | None = None
    relative: Annotated[Exact, Field(ge=0, le=100)] | None = None
    rule: Annotated[BandRule, _closed_set(BandRule)] = BandRule.ANY

    def is_breached(self, *, current: Decimal, target: Decimal) -> bool:
        """Whether weights differ by more than the bands allow; a band's edge is still inside."""
        drift = abs(current - target)
        if drift == 0:
            return False
        outside = []
        if self.absolute is not None:
            outside.append(drift > self.absolute)
        if self.relative is not None:
            outside.append(drift > self.relative * abs(target))
        if not outside:
            return True
        return any(outside) if self.rule is BandRule.ANY else all(outside)


class Portfolio(Model):
    """A named set of target weights.

    `cash_buffer`: fraction of equity never invested. `tolerance`: largest distance from a line's target, as a fraction
    of equity, that still counts as reached. `cost_rate`: assumed cost of trading beyond the venue's fee, as a fraction
    of notional. `collar`: furthest acceptable price from the quote, `price_move_max`: from the plan's price, both
    fractions. `gross_max`: largest sum of absolute weights. `rounds_max`: orders per leg. `plan_age_s_max`: a plan not
    begun within this time is stale.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    quote_currency: Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]
    targets: dict[InstrumentKey, Annotated[Exact, Field(ge=-100, le=100)]]
    cash_buffer: Fraction = Decimal("0.0025")
    drift: DriftRule = DriftRule()
    scope: Annotated[Scope, _closed_set(Scope)] = Scope.WHOLE_BOOK
    minimum_trade_notional: Annotated[Exact, Field(ge=0)] = Decimal(0)
    tolerance: Fraction = Decimal("0.005")
    order_style: Annotated[OrderStyle, _closed_set(OrderStyle)] = OrderStyle.LIMIT
    collar: Annotated[Exact, Field(gt=0, le=Decimal("0.2"))] = Decimal("0.01")
    price_move_max: Annotated[Exact, Field(gt=0, le=1)] = Decimal("0.03")
    cost_rate: Annotated[Exact, Field(ge=0, le=Decimal("0.1"))] = Decimal("0.0005")
    gross_max: Annotated[Exact, Field(gt=0, le=100)] = Decimal(1)
    unmanaged: Annotated[Unmanaged, _closed_set(Unmanaged)] = Unmanaged.LEAVE
    rounds_max: Annotated[int, Field(ge=1, le=10)] = 3
    plan_age_s_max: Annotated[int, Field(ge=1, le=86_400)] = 900

    @model_validator(mode="after")
    def _check_weights(self) -> Self:
        if not self.targets:
            raise ValueError(f"portfolio {self.name} has no targets; to sell all, give the instruments weight 0")
        if len(self.targets) > LINES_MAX:
            raise ValueError(f"portfolio {self.name} may have at most {LINES_MAX} targets, has {len(self.targets)}")
        gross = sum((abs(weight) for weight in self.targets.values()), Decimal(0))
        if gross > self.gross_max:
            raise ValueError(
                f"portfolio {self.name}: absolute weights sum to {decimal_text(gross)}, above gross_max "
                f"{decimal_text(self.gross_max)}; lower the weights or raise gross_max on purpose"
            )
        object.__setattr__(self, "targets", dict(sorted(self.targets.items())))
        return self
