"""Tables of the domain's own values: balances, positions, orders, fills. Exact numbers, times in UTC."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from brokers.types import AccountProof, Balance, Fill, MarginHealth, Order, OrderStatus, Position
from flows.reports.model import Column, Table, Tone
from flows.reports.plain import DASH, moment, number, percent, words


def balances(items: Iterable[Balance], *, title: str = "Balances", name: str = "balances") -> Table:
    """One row per currency."""
    rows = tuple(
        (item.currency, number(item.total), number(item.available), number(item.held), moment(item.time))
        for item in sorted(items, key=lambda item: item.currency)
    )
    columns = (
        Column("Currency"),
        Column("Total", is_number=True),
        Column("Available", is_number=True),
        Column("Held", is_number=True),
        Column("Time", narrow=False),
    )
    without = any(row[2] == DASH for row in rows)
    note = "A dash: the venue gives no trustworthy figure of available money for that currency." if without else ""
    return Table(name, title, columns, rows, note=note, empty="No currency has a balance.")


def positions(items: Iterable[Position], *, title: str = "Positions", name: str = "positions") -> Table:
    """One row per position; a short position has a negative quantity."""
    rows = tuple(
        (
            str(item.instrument_id),
            words(item.side),
            number(item.quantity),
            number(item.average_price),
            number(item.mark_price),
            number(item.unrealised_pnl, signed=True),
            DASH if item.leverage is None else f"{number(item.leverage)}×",
            number(item.liquidation_price),
            moment(item.time),
        )
        for item in sorted(items, key=lambda item: (item.instrument_id, item.side))
    )
    columns = (
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Average price", is_number=True),
        Column("Mark price", is_number=True),
        Column("Unrealised", is_number=True),
        Column("Leverage", is_number=True),
        Column("Liquidation", is_number=True, narrow=False),
        Column("Time", narrow=False),
    )
    return Table(name, title, columns, rows, empty="No open position.")


def orders(items: Iterable[Order], *, title: str = "Orders", name: str = "orders") -> Table:
    """One row per order as the venue reports it."""
    kept = sorted(items, key=lambda item: item.created_at)
    rows = tuple(
        (
            str(item.instrument_id),
            words(item.side),
            words(item.order_type),
            number(item.quantity),
            number(item.filled_quantity),
            _price(item),
            words(item.status) + (f" ({item.reject_code})" if item.reject_code else ""),
            moment(item.created_at),
            "" if item.client_order_id is None else str(item.client_order_id),
            str(item.venue_order_id),
        )
        for item in kept
    )
    columns = (
        Column("Instrument"),
        Column("Side"),
        Column("Type"),
        Column("Quantity", is_number=True),
        Column("Filled", is_number=True),
        Column("Price"),
        Column("Status"),
        Column("Created", narrow=False),
        Column("Client order id", narrow=False),
        Column("Venue order id", narrow=False),
    )
    return Table(name, title, columns, rows, empty="No order.", tones=tuple(_order_tone(item) for item in kept))


def fills(items: Iterable[Fill], *, title: str = "Fills", name: str = "fills") -> Table:
    """One row per execution; a negative fee is a rebate."""
    rows = tuple(
        (
            moment(item.time),
            str(item.instrument_id),
            words(item.side),
            number(item.quantity),
            number(item.price),
            f"{number(item.fee)} {item.fee_currency}",
            words(item.liquidity),
            str(item.trade_id),
        )
        for item in items
    )
    columns = (
        Column("Time"),
        Column("Instrument"),
        Column("Side"),
        Column("Quantity", is_number=True),
        Column("Price", is_number=True),
        Column("Fee", is_number=True),
        Column("Liquidity"),
        Column("Trade id", narrow=False),
    )
    return Table(name, title, columns, rows, empty="No fill.")


def margin(health: MarginHealth) -> Table:
    """The account's margin as the venue states it; a maintenance ratio of 100 % is liquidation."""
    rows = (
        ("equity", number(health.equity)),
        ("available", number(health.available)),
        ("initial margin", number(health.initial_margin)),
        ("maintenance margin", number(health.maintenance_margin)),
        ("maintenance ratio", percent(health.maintenance_ratio)),
    )
    columns = (Column("Figure"), Column(health.currency, is_number=True))
    return Table("margin", "Margin", columns, rows)


def proof(found: AccountProof) -> Table:
    """What the connection test proved."""
    offset_ms = found.clock.offset.total_seconds() * 1000
    rows = (
        ("account", str(found.account_id)),
        ("venue's own account", found.venue_account),
        ("host", found.host),
        ("key", f"{found.key_fingerprint} (fingerprint)"),
        ("may trade", "yes" if found.can_trade else "no"),
        ("may withdraw", "YES: make a key without this right" if found.can_withdraw else "no"),
        ("permissions", ", ".join(found.permissions)),
        ("margin mode", words(found.margin_mode)),
        ("venue clock", f"{offset_ms:+.1f} ms from ours, ± {found.clock.error.total_seconds() * 1000:.1f} ms"),
        ("key expires", moment(found.expires_at) if found.expires_at else "never"),
        *((name.replace("_", " "), text) for name, text in found.extra.items() if text),
    )
    bad = {"may trade": not found.can_trade, "may withdraw": found.can_withdraw}
    tones = tuple(Tone.WARN if bad.get(name, False) else Tone.NEUTRAL for name, _ in rows)
    return Table("proof", "What the venue proved", (Column("Fact"), Column("Value")), rows, tones=tones)


def _price(order: Order) -> str:
    parts = []
    if order.trigger_price is not None:
        parts.append(f"trigger {number(order.trigger_price)}")
    if order.limit_price is not None:
        parts.append(f"limit {number(order.limit_price)}")
    if order.average_price is not None and order.filled_quantity > Decimal(0):
        parts.append(f"filled at {number(order.average_price)}")
    return ", ".join(parts) or DASH


def _order_tone(order: Order) -> Tone:
    if order.status is OrderStatus.FILLED:
        return Tone.GOOD
    return Tone.BAD if order.status is OrderStatus.REJECTED else Tone.NEUTRAL
