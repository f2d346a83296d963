"""What an operator wants to hold: target weights and the rules of getting there.

Weights are fractions of the investable equity, which is the account's equity less the cash buffer; a negative weight is
a short position. Numbers are given as decimal text or Decimal: a binary float is refused, because it has already lost
the digits.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, field_validator, model_validator

from brokers.ids import InstrumentId
from brokers.rounding import decimal_text, parse_decimal
from trading.market_hours import require_calendar

LINES_MAX = 20_000


def _exact(value: Any) -> Any:
    if isinstance(value, float):
        raise ValueError(f"must be decimal text such as '0.25' (in quotes), was the binary float {value!r}")
    return parse_decimal(value) if isinstance(value, (str, int, Decimal)) else value


def _instrument(value: Any) -> Any:
    return InstrumentId(value) if isinstance(value, str) else value


def _moment(value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"must be a time such as '2026-03-02T12:00:00Z', was {value[:40]!r}") from None
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise ValueError(f"must say its time zone, such as '2026-03-02T12:00:00Z', was {value.isoformat()}")
        return value.astimezone(UTC)
    return value


Exact = Annotated[Decimal, BeforeValidator(_exact), PlainSerializer(decimal_text, return_type=str)]
Fraction = Annotated[Exact, Field(ge=0, le=1)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Currency = Annotated[str, Field(pattern=r"^[A-Z0-9]{2,12}$")]
InstrumentKey = Annotated[InstrumentId, BeforeValidator(_instrument), PlainSerializer(str, return_type=str)]


class Model(BaseModel):
    """Strict, frozen, closed: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", arbitrary_types_allowed=True)


def closed_set(kind: type[StrEnum]) -> BeforeValidator:
    """Read a member from its text; the error lists what there is."""

    def read(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value not in set(kind):
            raise ValueError(f"must be one of {', '.join(kind)}, was {value[:40]!r}; choose one")
        return kind(value)

    return BeforeValidator(read)


class BandRule(StrEnum):
    """Which of the given bands must be left before a line is traded."""

    ANY = "any"
    ALL = "all"


class Scope(StrEnum):
    """What is traded once a line has left its band."""

    WHOLE_BOOK = "whole_book"
    BREACHING_LINES = "breaching_lines"


class OrderStyle(StrEnum):
    """How legs are sent. Only `limit_then_market` rests in the book, and only for its bounded time."""

    MARKET = "market"  # not sent when the market moved more than the collar since the plan
    LIMIT = "limit"  # immediate-or-cancel at the protected price: the quote plus or minus the collar
    LIMIT_THEN_MARKET = "limit_then_market"  # rests at the touch, is repriced, then crosses inside the collar
    SLICED = "sliced"  # a leg in equal parts with a pause between them, each sent as `limit`


class TradeTo(StrEnum):
    """How far a line that has left its band is brought back."""

    TARGET = "target"
    BAND_EDGE = "band_edge"  # the nearest weight that the bands allow: less turnover, and drift stays


class Period(StrEnum):
    """How often a portfolio may be rebalanced at most; periods begin at midnight UTC."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"


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
    rule: Annotated[BandRule, closed_set(BandRule)] = BandRule.ANY
    trade_to: Annotated[TradeTo, closed_set(TradeTo)] = TradeTo.TARGET

    def width(self, target: Decimal) -> Decimal | None:
        """How far a weight may be from the target and still be inside; None without bands."""
        widths = []
        if self.absolute is not None:
            widths.append(self.absolute)
        if self.relative is not None:
            widths.append(self.relative * abs(target))
        if not widths:
            return None
        return min(widths) if self.rule is BandRule.ANY else max(widths)

    def aim(self, *, current: Decimal, target: Decimal) -> Decimal:
        """The weight that a line outside its band is brought to: the target, or the band's edge on its side."""
        width = self.width(target)
        if width is None or self.trade_to is TradeTo.TARGET or target == 0:
            return target  # a weight of 0 is an exit, not a small holding
        return min(max(current, target - width), target + width)

    def is_breached(self, *, current: Decimal, target: Decimal) -> bool:
        """Whether weights differ by more than the bands allow; a band's edge is still inside."""
        drift = abs(current - target)
        if drift == 0:
            return False
        width = self.width(target)
        return width is None or drift > width


class CalendarRule(Model):
    """When lines may be traded: in the sessions of a market, and at most once in a period.

    `sessions` names a market's calendar; outside its regular hours nothing is planned to be traded. `every` leaves the
    portfolio alone until the next period begins, counted from its last rebalance that traded.
    """

    sessions: Annotated[str, Field(max_length=64)] = ""
    every: Annotated[Period, closed_set(Period)] | None = None

    @field_validator("sessions")
    @classmethod
    def _known(cls, name: str) -> str:
        require_calendar(name)
        return name


class Portfolio(Model):
    """A named set of target weights.

    `cash_buffer`: fraction of equity never invested. `tolerance`: largest distance from a line's target, as a fraction
    of equity, that still counts as reached. `cost_rate`: assumed cost of trading beyond the venue's fee, as a fraction
    of notional. `collar`: furthest acceptable price from the quote, `price_move_max`: from the plan's price, both
    fractions. `gross_max`: largest sum of absolute weights. `rounds_max`: orders per leg. `plan_age_s_max`: a plan not
    begun within this time is stale.

    `reprice_*` belong to order style limit_then_market, `slice*` to sliced. `cooldown_s`: shortest time since the last
    rebalance that traded. `cost_max`: largest expected cost of a plan, of equity; `slippage_max`: furthest price of a
    line from its mid, of the mid; `quote_age_s_max`: oldest usable quote. `targets_at` is when the weights were made,
    `target_age_s_max` how long they hold then, `targets_valid_until` the end in so many words. `gross_limit`, which a
    subscription sets for its accounts, makes increases smaller where `gross_max` refuses the weights. `whole_lots`
    leaves parts of a lot (of a share) alone where a venue divides them.
    """

    name: Annotated[str, Field(min_length=1, max_length=64)]
    quote_currency: Currency
    targets: dict[InstrumentKey, Annotated[Exact, Field(ge=-100, le=100)]]
    cash_buffer: Fraction = Decimal("0.0025")
    drift: DriftRule = DriftRule()
    scope: Annotated[Scope, closed_set(Scope)] = Scope.WHOLE_BOOK
    minimum_trade_notional: Annotated[Exact, Field(ge=0)] = Decimal(0)
    tolerance: Fraction = Decimal("0.005")
    order_style: Annotated[OrderStyle, closed_set(OrderStyle)] = OrderStyle.LIMIT
    reprice_steps: Annotated[int, Field(ge=0, le=20)] = 3
    reprice_wait_s: Annotated[int, Field(ge=1, le=600)] = 5
    slices: Annotated[int, Field(ge=2, le=50)] = 4
    slice_interval_s: Annotated[int, Field(ge=0, le=3600)] = 60
    collar: Annotated[Exact, Field(gt=0, le=Decimal("0.2"))] = Decimal("0.01")
    price_move_max: Annotated[Exact, Field(gt=0, le=1)] = Decimal("0.03")
    cost_rate: Annotated[Exact, Field(ge=0, le=Decimal("0.1"))] = Decimal("0.0005")
    gross_max: Annotated[Exact, Field(gt=0, le=100)] = Decimal(1)
    unmanaged: Annotated[Unmanaged, closed_set(Unmanaged)] = Unmanaged.LEAVE
    whole_lots: bool = False
    rounds_max: Annotated[int, Field(ge=1, le=10)] = 3
    plan_age_s_max: Annotated[int, Field(ge=1, le=86_400)] = 900
    cooldown_s: Annotated[int, Field(ge=0, le=31_622_400)] = 0
    calendar: CalendarRule = CalendarRule()
    cost_max: Annotated[Exact, Field(gt=0, le=1)] | None = None
    slippage_max: Annotated[Exact, Field(gt=0, le=1)] | None = None
    quote_age_s_max: Annotated[int, Field(ge=1, le=604_800)] | None = None
    targets_at: Moment | None = None
    target_age_s_max: Annotated[int, Field(ge=1, le=31_622_400)] | None = None
    targets_valid_until: Moment | None = None
    gross_limit: Annotated[Exact, Field(gt=0, le=100)] | None = None

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
        if self.target_age_s_max is not None and self.targets_at is None:
            raise ValueError(
                f"portfolio {self.name}: target_age_s_max {self.target_age_s_max} needs targets_at, the time that the "
                "weights were made; state it, or give targets_valid_until alone"
            )
        object.__setattr__(self, "targets", dict(sorted(self.targets.items())))
        return self

    @property
    def targets_end(self) -> datetime | None:
        """When the weights stop being good; None where no guard is set."""
        ends = [] if self.targets_valid_until is None else [self.targets_valid_until]
        if self.targets_at is not None and self.target_age_s_max is not None:
            ends.append(self.targets_at + timedelta(seconds=self.target_age_s_max))
        return min(ends, default=None)
