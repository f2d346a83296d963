"""Deposits and withdrawals of the spot wallet, where the environment serves Binance's wallet API. Reads only.

Both lists go by the time at which something was announced, and a wallet moves when it is complete: the lists are read
from some days earlier and cut by the moment of completion. What is under way has no such moment and is told later;
until then the balance lacks a cause, which reconciliation shows as a break.

Sources: Wallet "Deposit History (supporting network)", "Withdraw History (supporting network)". Not told by either:
transfers to and from other wallets than futures, dust that was converted, distributions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from brokers import history
from brokers.binance.account import ask
from brokers.binance.client import BinanceClient
from brokers.binance.fields import rows_of
from brokers.errors import AnswerUnreadable, BrokerError
from brokers.fields import Row, integer, moment, number, number_or_zero, required, text
from brokers.ids import AccountId
from brokers.rounding import MONEY
from brokers.types import CashEvent, CashEventKind

PAGE_SIZE = 1_000
UNDER_WAY_MAX = timedelta(days=7)  # from the announcement to the end: what takes longer is told by no reading
_WINDOW_MS = 80 * 86_400_000  # below the documented ninety days
_SPOT = ("0", "")  # rows of before there was a choice do not say it
_NOT_SERVED = "404"
# True: it is complete. False: nothing moved, or not yet.
_DEPOSITS = {0: False, 1: True, 2: False, 6: True, 7: False, 8: False}
_WITHDRAWALS = {0: False, 1: False, 2: False, 3: False, 4: False, 5: False, 6: True}


def changes(client: BinanceClient, *, since: datetime, until: datetime, account_id: AccountId) -> Iterator[CashEvent]:
    """What came in and went out in `since <= time < until`."""
    for read, make in ((client.get_deposit_history, _deposit), (client.get_withdraw_history, _withdrawal)):
        for row in _rows(read, since - UNDER_WAY_MAX, until):
            event = make(row, account_id)
            if event is not None and since <= event.time < until:
                yield event


def _rows(read: Callable[..., Any], since: datetime, until: datetime) -> Iterator[Row]:
    """A list read to the end; empty where the host does not serve it, as the balance then shows what it lacks."""
    seen: set[str] = set()
    for start, end in history.windows(since, until, span_ms=_WINDOW_MS):
        for page in range(history.PAGES_MAX):
            try:
                found = rows_of(
                    ask(read, startTime=start, endTime=end, offset=page * PAGE_SIZE, limit=PAGE_SIZE), "history"
                )
            except BrokerError as error:
                if error.code == _NOT_SERVED:
                    return
                raise
            fresh = [row for row in found if required(row, "id") not in seen]
            seen.update(required(row, "id") for row in fresh)
            yield from fresh
            if len(found) < PAGE_SIZE:
                break
        else:
            raise AnswerUnreadable(f"the venue gave more than {history.PAGES_MAX} pages; ask for a shorter window")


def _is_complete(row: Row, known: dict[int, bool]) -> bool:
    status = integer(row, "status")
    if status not in known:
        raise AnswerUnreadable(f"status must be one of {', '.join(map(str, known))}, was {status}", text=str(status))
    return known[status] and text(row, "walletType") in _SPOT


def _deposit(row: Row, account_id: AccountId) -> CashEvent | None:
    """One that is credited and not yet free to withdraw has moved the wallet as well, once it says when."""
    if not _is_complete(row, _DEPOSITS) or not row.get("completeTime"):
        return None
    return CashEvent(
        account_id=account_id,
        event_id=f"deposit:{required(row, 'id')}",
        kind=CashEventKind.DEPOSIT,
        currency=required(row, "coin"),
        amount=number(row, "amount"),
        time=moment(row, "completeTime"),
        venue_kind="DEPOSIT",
    )


def _withdrawal(row: Row, account_id: AccountId) -> CashEvent | None:
    """What arrived and what sending it cost, both of which leave the wallet."""
    if not _is_complete(row, _WITHDRAWALS):
        return None
    paid = MONEY.add(number(row, "amount"), number_or_zero(row, "transactionFee"))
    return CashEvent(
        account_id=account_id,
        event_id=f"withdrawal:{required(row, 'id')}",
        kind=CashEventKind.WITHDRAWAL,
        currency=required(row, "coin"),
        amount=-paid,
        time=_utc(required(row, "completeTime")),
        venue_kind="WITHDRAW",
    )


def _utc(written: str) -> datetime:
    """A time in this list is text in UTC without a zone."""
    try:
        found = datetime.fromisoformat(written)
    except ValueError as error:
        raise AnswerUnreadable(f"completeTime must be a time, was {written[:40]!r}") from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
