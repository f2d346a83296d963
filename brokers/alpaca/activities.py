"""Alpaca's account activities as fills and cash events. Pure; malformed rows are AnswerUnreadable.

Source: Alpaca documentation, pages "Account Activities", "Crypto Spot Trading Fees", "Regulatory Fees".

Every change of the account is an activity. A fill is one row without a fee: what regulators take comes as FEE rows at
the end of the day or on the next one, what a crypto trade costs as CFEE rows, in the coin that was bought or in
dollars. Neither names an order. Their `created_at` says when they were posted, which is when the wallet changed; `date`
is the day that they are for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from brokers.alpaca.fields import (
    Row,
    base_and_quote,
    day_start,
    instrument_id_of,
    is_option,
    moment,
    moment_or_none,
    number,
    number_or_zero,
    required,
    text,
)
from brokers.alpaca.orders import side
from brokers.alpaca.profile import CURRENCY, product_of
from brokers.ids import AccountId, InstrumentId, TradeId, VenueOrderId
from brokers.rounding import MONEY
from brokers.types import ZERO, CashEvent, CashEventKind, Fill, LiquiditySide, OrderSide, ProductKind

FILL = "FILL"
OPTION_SIZE = Decimal(100)  # shares of one option; what it costs is so many times its price
_EXECUTED = ("", "executed")
_MOVED_IN_KIND = ("JNLS", "ACATS")  # coins that came or went; of shares such a row has no money, and is UNMAPPED
_BY_KIND: Mapping[CashEventKind, tuple[str, ...]] = {
    CashEventKind.FEE: ("FEE", "CFEE", "PTC", "PTR", "DIVFEE"),
    CashEventKind.DIVIDEND: (
        "DIV", "DIVCGL", "DIVCGS", "DIVFT", "DIVNRA", "DIVROC", "DIVTW", "DIVTXEX", "DIVWH",
    ),
    CashEventKind.INTEREST: ("INT", "INTNRA", "INTTW"),
    CashEventKind.DEPOSIT: ("CSD",),
    CashEventKind.WITHDRAWAL: ("CSW",),
    CashEventKind.SETTLEMENT: ("CIL",),  # cash in lieu of a part of a share
    CashEventKind.TRANSFER: ("JNL", "JNLC", "ACATC"),
}  # fmt: skip
CASH_KINDS: Mapping[str, CashEventKind] = {name: kind for kind, names in _BY_KIND.items() for name in names}


def is_fill(row: Row) -> bool:
    return required(row, "activity_type") == FILL


def is_shown(row: Row) -> bool:
    """Whether the port has words for what a fill traded: a share or a pair; options are neither."""
    return not is_option(required(row, "symbol"))


def happened_at(row: Row) -> datetime:
    """When the account changed: the execution, or the posting; where only a date is given, its first moment."""
    if is_fill(row):
        return moment(row, "transaction_time")
    posted = moment_or_none(row, "created_at") or moment_or_none(row, "transaction_time")
    return posted or day_start(row, "date")


def fill(row: Row, *, account_id: AccountId) -> Fill:
    """One execution. Its fee is zero here, because Alpaca posts fees apart, as cash events."""
    instrument_id, direction = instrument_id_of(required(row, "symbol")), side(row)
    return Fill(
        account_id=account_id,
        trade_id=_execution_id(row),
        venue_order_id=VenueOrderId(required(row, "order_id")),
        client_order_id=None,
        instrument_id=instrument_id,
        side=direction,
        quantity=number(row, "qty"),
        price=number(row, "price"),
        fee=ZERO,
        fee_currency=_received(instrument_id, direction),
        liquidity=LiquiditySide.UNKNOWN,
        time=moment(row, "transaction_time"),
    )


def _execution_id(row: Row) -> TradeId:
    """The execution's own id, which the trade stream shows as well: an activity's is a moment, `::` and that."""
    number = required(row, "id")
    return TradeId(number.rpartition("::")[2] or number)


def cash_events(row: Row, *, account_id: AccountId) -> tuple[CashEvent, ...]:
    """What an activity did to the wallets: both sides of a trade in coins, the money of one in shares, else one event.

    A kind that nobody mapped, and a row that is not executed (a correction, a cancellation), is UNMAPPED with what the
    row says: always a break, never ignored.
    """
    if is_fill(row):
        return tuple(_of_fill(row, account_id=account_id))
    kind = CASH_KINDS.get(required(row, "activity_type"), CashEventKind.UNMAPPED)
    if text(row, "status").lower() not in _EXECUTED:
        kind = CashEventKind.UNMAPPED
    named = instrument_id_of(text(row, "symbol")) if text(row, "symbol") else None
    amount, currency = number_or_zero(row, "net_amount"), text(row, "currency") or CURRENCY
    if named is not None and product_of(named.value) is ProductKind.SPOT and not amount:
        amount, currency = number_or_zero(row, "qty"), base_and_quote(named)[0]
        kind = CashEventKind.TRANSFER if row["activity_type"] in _MOVED_IN_KIND else kind
    return (
        CashEvent(
            account_id=account_id,
            event_id=required(row, "id"),
            kind=kind,
            currency=currency,
            amount=amount,
            time=happened_at(row),
            instrument_id=named,
            venue_kind=_venue_kind(row),
        ),
    )


def _of_fill(row: Row, *, account_id: AccountId) -> Iterable[CashEvent]:
    found = fill(row, account_id=account_id)
    sign, size = found.side.sign, OPTION_SIZE if is_option(found.instrument_id.value) else Decimal(1)
    money = MONEY.multiply(MONEY.multiply(found.price, found.quantity * -sign), size)
    moves = [(_quote_of(found.instrument_id), money, "money")]
    if product_of(found.instrument_id.value) is ProductKind.SPOT:
        moves.append((base_and_quote(found.instrument_id)[0], found.quantity * sign, "coin"))
    for currency, amount, leg in moves:
        yield CashEvent(
            account_id=account_id,
            event_id=f"{found.trade_id}:{leg}",
            kind=CashEventKind.TRADE,
            currency=currency,
            amount=amount,
            time=found.time,
            instrument_id=found.instrument_id,
            trade_id=found.trade_id,
            venue_order_id=found.venue_order_id,
            venue_kind=FILL,
        )


def _venue_kind(row: Row) -> str:
    """The venue's own words: type, sub-type (REG, TAF, CAT, …) and a status other than executed."""
    parts = [required(row, "activity_type"), text(row, "activity_sub_type")]
    if text(row, "status").lower() not in _EXECUTED:
        parts.append(text(row, "status"))
    return " ".join(part for part in parts if part)


def _quote_of(instrument_id: InstrumentId) -> str:
    is_pair = product_of(instrument_id.value) is ProductKind.SPOT
    return base_and_quote(instrument_id)[1] if is_pair else CURRENCY


def _received(instrument_id: InstrumentId, direction: OrderSide) -> str:
    """What a trade pays in, which is what its fee is taken from."""
    if product_of(instrument_id.value) is not ProductKind.SPOT:
        return CURRENCY
    return base_and_quote(instrument_id)[0 if direction is OrderSide.BUY else 1]
