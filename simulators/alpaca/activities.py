"""/v2/account/activities: fills, fees and moves of money in the order of their ids, in pages."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

from simulators.alpaca.config import USD
from simulators.alpaca.context import Context, Row
from simulators.alpaca.fees import Posting
from simulators.alpaca.fills import Fill
from simulators.alpaca.moments import eastern, midnight
from simulators.alpaca.render import fill_row, posting_row
from simulators.core.types import Entry, EntryKind

PAGE_MAX = 100
NO_PAGES = 10**9
CASH_KINDS = {
    EntryKind.DEPOSIT: "CSD",
    EntryKind.WITHDRAWAL: "CSW",
    EntryKind.TRANSFER_IN: "JNLC",
    EntryKind.TRANSFER_OUT: "JNLC",
}
TRANSFERS = ("CSD", "CSW")
NO_TRADES = frozenset({"CSD", "CSW", "JNLC", "JNLS", "FEE", "CFEE"})


@dataclass(frozen=True, slots=True)
class Activity:
    """One activity, not printed yet. `stamp` is the moment in its id, which orders it, before its number."""

    stamp: str
    sequence: int
    at_us: int
    activity_id: str
    print: Callable[[], Row]

    @property
    def key(self) -> tuple[str, int]:
        return self.stamp, self.sequence


def activities(context: Context) -> list[Row]:
    """GET /v2/account/activities, or of one type: newest first unless asked otherwise, a hundred at most."""
    kinds = _kinds(context)
    ascending = context.choice("direction", ("desc", "asc")) == "asc"
    on_date = context.day("date")
    most = NO_PAGES if on_date else PAGE_MAX
    size = context.whole("page_size", most, most)
    found = [*_fills(context)] if not kinds or "FILL" in kinds else []
    found += _postings(context, kinds)
    found = _in_window(context, found, on_date)
    found.sort(key=lambda one: one.key, reverse=not ascending)
    return [one.print() for one in _after_token(found, context.query.get("page_token", ""), ascending)[:size]]


def _kinds(context: Context) -> frozenset[str]:
    """Return the wanted types; empty means all."""
    category = context.query.get("category", "")
    if category in ("trade_activity", "non_trade_activity"):
        return frozenset({"FILL"}) if category == "trade_activity" else NO_TRADES
    asked = context.path.get("activity_type", "") or context.query.get("activity_types", "")
    kinds = {kind.strip() for kind in asked.split(",") if kind.strip()}
    if "TRANS" in kinds:
        kinds = (kinds - {"TRANS"}) | set(TRANSFERS)
    return frozenset(kinds)


def _in_window(context: Context, found: list[Activity], on_date: date | None) -> list[Activity]:
    """Keep what is within the asked moments, or on the asked day of New York."""
    if on_date is not None:
        day = f"{on_date:%Y%m%d}"
        return [one for one in found if one.stamp.startswith(day)]
    after, until = context.moment_us("after"), context.moment_us("until")
    if after is not None:
        found = [one for one in found if one.at_us > after]
    return [one for one in found if one.at_us < until] if until is not None else found


def _after_token(found: list[Activity], token: str, ascending: bool) -> list[Activity]:
    """Return what follows the activity with an id; one that is not there counts by the moment in it."""
    if not token:
        return found
    for index, one in enumerate(found):
        if one.activity_id == token:
            return found[index + 1 :]
    stamp = token.partition("::")[0]
    return [one for one in found if (one.stamp > stamp if ascending else one.stamp < stamp)]


def _fills(context: Context) -> Iterator[Activity]:
    view = context.view_ms(context.venue.lags.executions_ms)
    for fill in context.house.fills.of(context.account.name):
        execution = fill.execution
        if view is None or execution.time_ms <= view:
            yield Activity(
                stamp=fill.stamp,
                sequence=execution.sequence,
                at_us=execution.time_ms * 1000,
                activity_id=f"{fill.stamp}::{execution.execution_id}",
                print=partial(_fill_row, context, fill),
            )


def _fill_row(context: Context, fill: Fill) -> Row:
    order = context.account.orders[fill.execution.order_id].now
    return fill_row(fill.execution, order, context.house.book.ticket(order), filled=fill.filled, stamp=fill.stamp)


def _postings(context: Context, kinds: frozenset[str]) -> Iterator[Activity]:
    postings = (posting for posting in context.house.fees.postings if posting.account == context.account.name)
    cash = (_cash(entry) for entry in context.account.entries if entry.kind in CASH_KINDS)
    for posting in (*postings, *cash):
        if not kinds or posting.kind in kinds:
            yield Activity(
                stamp=posting.activity_id.partition("::")[0],
                sequence=posting.sequence,
                at_us=int(midnight(posting.day).timestamp()) * 1_000_000,
                activity_id=posting.activity_id,
                print=partial(posting_row, posting),
            )


def _cash(entry: Entry) -> Posting:
    """Return what a deposit, a withdrawal or a journal looks like; other coins than dollars move as securities."""
    in_usd = entry.coin == USD
    day = eastern(entry.time_ms).date()
    return Posting(
        activity_id=f"{day:%Y%m%d}000000000::{entry.entry_id}",
        sequence=entry.sequence,
        account=entry.account,
        kind=CASH_KINDS[entry.kind] if in_usd else "JNLS",
        day=day,
        at_ms=entry.time_ms,
        net_amount=entry.change if in_usd else Decimal(0),
        description="",
        symbol="" if in_usd else f"{entry.coin}{USD}",
        qty=None if in_usd else entry.change,
    )
