"""/api/v5/trade/fills(-history) and /api/v5/account/bills(-archive): what happened, newest first, paged by billId."""

from collections.abc import Iterator
from itertools import takewhile

from simulators.core.money import plain
from simulators.core.types import Entry, EntryKind, MarketKind
from simulators.okx.desk import Fill, OrderNote
from simulators.okx.paging import older, page, window
from simulators.okx.params import DAY_MS, INSTRUMENT_TYPES, TYPES, Context, family
from simulators.okx.render import Row, fill_row, sub_type, trade_number

ARCHIVE_DAYS = 90
BILL_TYPES = {
    EntryKind.TRADE: "2",
    EntryKind.LIQUIDATION: "5",
    EntryKind.FUNDING: "8",
    EntryKind.DEPOSIT: "1",
    EntryKind.WITHDRAWAL: "1",
    EntryKind.TRANSFER_IN: "1",
    EntryKind.TRANSFER_OUT: "1",
}
FUNDING_ACCOUNT, TRADING_ACCOUNT = "6", "18"


def fills(context: Context) -> list[Row]:
    """GET /api/v5/trade/fills: the last three days."""
    return _fills(context, days=3, required=False)


def fills_history(context: Context) -> list[Row]:
    """GET /api/v5/trade/fills-history: the last three months."""
    return _fills(context, days=ARCHIVE_DAYS, required=True)


def _fills(context: Context, *, days: int, required: bool) -> list[Row]:
    params = context.params
    kinds = context.kinds(required=required)
    listed, desk, account = context.venue.instruments, context.desk, context.me
    name, order_id, sub = params.text("instId"), params.text("ordId"), params.text("subType")
    of = params.text("instFamily") or params.text("uly")
    if name:
        context.instrument(name)
    oldest = context.venue.now_ms() - days * DAY_MS
    view, within = context.view_ms(context.venue.lags.executions_ms), window(params)

    def wanted(fill: Fill) -> bool:
        execution = fill.execution
        if execution.market not in kinds or not within(execution.time_ms):
            return False
        if view is not None and execution.time_ms > view:
            return False
        if of and family(listed[(execution.market, execution.symbol)]) != of:
            return False
        mine = name in ("", execution.symbol) and order_id in ("", execution.order_id)
        return mine and sub in ("", sub_type(fill))

    kept = takewhile(lambda f: f.execution.time_ms >= oldest, older(desk.fills[account.name], params, number=_number))
    found = page(filter(wanted, kept), params, number=_number)
    rows = []
    for fill in found:
        execution = fill.execution
        note = desk.notes.get(execution.order_id) or OrderNote()
        rows.append(fill_row(fill, listed[(execution.market, execution.symbol)], note))
    return rows


def _number(fill: Fill) -> str:
    return fill.bill_id


def bills(context: Context) -> list[Row]:
    """GET /api/v5/account/bills: the last seven days."""
    return _bills(context, days=7)


def bills_archive(context: Context) -> list[Row]:
    """GET /api/v5/account/bills-archive: the last three months."""
    return _bills(context, days=ARCHIVE_DAYS)


def _bills(context: Context, *, days: int) -> list[Row]:
    params = context.params
    kind = params.choice("instType", ("", *INSTRUMENT_TYPES), default="")
    coin, bill_type, sub, name = (params.text(n) for n in ("ccy", "type", "subType", "instId"))
    margin = params.choice("mgnMode", ("", "cross", "isolated", "cash"), default="")
    oldest = context.venue.now_ms() - days * DAY_MS
    view, within = context.view_ms(context.venue.lags.entries_ms), window(params)

    def rows() -> Iterator[Row]:
        for entry in older(context.me.entries, params, number=lambda entry: entry.entry_id):
            if entry.time_ms < oldest:
                return
            if (view is not None and entry.time_ms > view) or not within(entry.time_ms):
                continue
            row = bill_row(context, entry)
            asked = {"instType": kind, "ccy": coin, "type": bill_type, "subType": sub, "instId": name}
            if all(value in ("", row[field]) for field, value in asked.items()) and margin in ("", row["mgnMode"]):
                yield row

    return page(rows(), params, number=lambda row: str(row["billId"]))


def bill_row(context: Context, entry: Entry) -> Row:
    """Return one bill: balChg = pnl or amount, with the fee (negative) or the funding in it."""
    trade = entry.kind in {EntryKind.TRADE, EntryKind.LIQUIDATION}
    spot = entry.market is MarketKind.SPOT
    fill = _fill_of(context, entry) if trade else None
    profit = entry.funding if entry.kind is EntryKind.FUNDING else entry.cash_flow if trade and not spot else None
    source, target = _transfer(entry)
    execution = fill.execution if fill else None
    note = context.desk.notes.get(entry.order_id)
    return {
        "billId": entry.entry_id,
        "instType": TYPES[entry.market] if entry.market else "",
        "instId": entry.symbol,
        "type": BILL_TYPES[entry.kind],
        "subType": sub_type(fill) if fill else _sub_type(entry),
        "ccy": entry.coin,
        "bal": plain(entry.balance),
        "balChg": plain(entry.change),
        "posBal": "0",
        "posBalChg": "0",
        "sz": plain(abs(entry.qty)),
        "px": plain(entry.price) if entry.market else "",
        "pnl": plain(profit) if profit is not None else "0",
        "fee": plain(-entry.fee),
        "earnAmt": "",
        "earnApr": "",
        "mgnMode": "" if not entry.market else "cash" if spot else "cross",
        "ordId": entry.order_id if trade else "",
        "clOrdId": note.algo.child_id if note and note.algo else entry.client_id,
        "tradeId": trade_number(fill) if fill else "",
        "execType": ("M" if execution.is_maker else "T") if execution else "",
        "from": source,
        "to": target,
        "notes": "",
        "interest": "0",
        "tag": note.tag if note else "",
        "fillTime": str(entry.time_ms) if trade else "",
        "fillIdxPx": plain(execution.mark_price) if execution else "",
        "fillMarkPx": plain(execution.mark_price) if execution and not spot else "",
        **dict.fromkeys(("fillPxVol", "fillPxUsd", "fillMarkVol", "fillFwdPx"), ""),
        "ts": str(entry.time_ms),
    }


def _fill_of(context: Context, entry: Entry) -> Fill | None:
    mine = context.desk.by_order.get(entry.order_id, [])
    return next((fill for fill in mine if fill.execution.execution_id == entry.execution_id), None)


def _sub_type(entry: Entry) -> str:
    if entry.kind is EntryKind.FUNDING:
        return "174" if entry.funding > 0 else "173"
    return "11" if entry.change >= 0 else "12"


def _transfer(entry: Entry) -> tuple[str, str]:
    """Return from and to: money comes from and goes to the funding account."""
    if BILL_TYPES[entry.kind] != "1":
        return "", ""
    into = (FUNDING_ACCOUNT, TRADING_ACCOUNT)
    return into if entry.change >= 0 else (TRADING_ACCOUNT, FUNDING_ACCOUNT)
