"""The types of flow parameters: what the form checks, the run checks again.

Everything is text, a closed set or a list: no unions, no dictionaries, no secrets, no `Decimal` (its form accepts
anything). A flow's docstring labels the fields.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from brokers.ids import InstrumentId

AccountName = Annotated[str, Field(pattern=r"^[a-z]+-(simulated|testnet|production)-[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
PortfolioName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=64)]
SubscriptionName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=63)]
Symbol = Annotated[str, Field(pattern=r"^[A-Z0-9]+(/[A-Z0-9]+(:[A-Z0-9]+)?)?$", max_length=64)]
Symbols = list[Symbol]
# Empty or from 1 to 100 with at most two decimals.
LeverageText = Annotated[str, Field(pattern=r"^$|^([1-9]\d?|100)(\.\d{1,2})?$")]
Minutes = Annotated[int, Field(ge=0, le=10)]
WatchMinutes = Annotated[int, Field(ge=1, le=1440)]
DeadManSeconds = Annotated[int, Field(ge=0, le=120)]
# Empty, or a day as YYYY-MM-DD.
DayText = Annotated[str, Field(pattern=r"^$|^20\d{2}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$")]
SweepSeconds = Annotated[int, Field(ge=5, le=300)]
LaneCount = Annotated[int, Field(ge=1, le=16)]
AlertNumber = Annotated[int, Field(ge=1, le=999_999_999)]
RoutesName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", max_length=64)]
Days = Annotated[int, Field(ge=1, le=30)]
Key = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@+-]*$", max_length=100)]
BreakText = Annotated[str, Field(pattern=r"^[0-9a-f]{8,32}$")]
OverrideHours = Annotated[int, Field(ge=1, le=24)]
AcceptDays = Annotated[int, Field(ge=1, le=365)]
# Empty or a signed number, at most 20 digits before and 18 after the point.
AmountText = Annotated[str, Field(pattern=r"^$|^-?\d{1,20}(\.\d{1,18})?$")]

PersonName = Annotated[str, Field(pattern=r"^\S.{0,78}\S$")]
OtherPersonName = Annotated[str, Field(pattern=r"^(\S.{0,78}\S)?$")]
ReasonText = Annotated[str, Field(pattern=r"^\S[^\r\n]{2,398}$")]


def instruments(symbols: list[str]) -> tuple[InstrumentId, ...]:
    """The instruments, once each, in the order given."""
    return tuple(InstrumentId(symbol) for symbol in dict.fromkeys(symbols))


def number(text: str) -> Decimal | None:
    """The number, or None for empty text."""
    return Decimal(text) if text else None
