"""`algotrendy venues`: what each venue can do and how certain it is, from the venue's row of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from brokers.capabilities import Capabilities
    from brokers.ids import Venue
    from flows.reports.model import Table


def rows(names: list[str]) -> dict[str, Capabilities]:
    """Capabilities by venue, all or those named; CliError for a name that has no adapter."""
    from brokers.registry import capabilities, supported_venues
    from cli.failures import CliError, ExitCode

    supported = supported_venues()
    unknown = [name for name in names if name not in supported]
    if unknown:
        raise CliError(
            f"there is no adapter for {unknown[0]}",
            title="Unknown venue",
            code=ExitCode.USAGE,
            field="VENUE",
            value=unknown[0],
            remedy=f"choose one of {', '.join(supported)}",
        )
    wanted: tuple[Venue, ...] = tuple(venue for venue in supported if not names or venue in names)
    return {venue.value: capabilities(venue) for venue in wanted}


def as_json(found: dict[str, Capabilities]) -> dict[str, Any]:
    return {name: row.as_json() for name, row in found.items()}


def matrix(found: dict[str, Capabilities]) -> Table:
    """One column per venue, one row per capability."""
    from flows.reports.model import Column, Table

    lines = [(label, *(show(row) for row in found.values())) for label, show in _LINES]
    return Table(
        name="venues",
        title="What each venue can do",
        columns=(Column("Capability"), *(Column(name, narrow=index < 6) for index, name in enumerate(found))),
        rows=tuple(lines),
        note="Unproved properties take their worse value. `--identity` shows how an unanswered order is resolved.",
    )


def identity(found: dict[str, Capabilities]) -> Table:
    """How an order is identified and resolved, per venue and product."""
    from flows.reports.model import Column, Table

    lines = []
    for name, row in found.items():
        for product, item in sorted(row.identity.items()):
            lines.append(
                (
                    name,
                    product.value,
                    item.id_scope.value.replace("_", " "),
                    f"{item.deadline_s_max} s" if item.deadline_s_max else "none",
                    f"{item.visibility_horizon_s} s",
                    _yes(item.lookup_by_client_id),
                    _yes(item.orders_show_client_id),
                    _yes(item.fills_carry_client_id),
                    item.proof,
                )
            )
    return Table(
        name="identity",
        title="How an unanswered order is resolved",
        columns=(
            Column("Venue"),
            Column("Product"),
            Column("Id refused again"),
            Column("Deadline", is_number=True),
            Column("Horizon", is_number=True),
            Column("Look-up by our id"),
            Column("Orders show our id", narrow=False),
            Column("Fills carry our id"),
            Column("Proof", narrow=False),
        ),
        rows=tuple(lines),
    )


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _list(values: Any) -> str:
    return ", ".join(sorted(str(value).replace("_", " ") for value in values)) or "none"


def _dead_man(row: Capabilities) -> str:
    switch = row.dead_man
    whose = "armed by us" if switch.is_armed_by_us else "not armed by us"
    if switch.cancels_all_orders:
        whose = "armed by us for an account that says dead_man_may_cancel_all_orders"
    return f"{switch.kind.value} ({whose})"


def _budgets(row: Capabilities) -> str:
    return ", ".join(f"{b.name} {b.limit}/{b.window_s:g} s" for b in row.budgets)


def _hosts(row: Capabilities) -> str:
    return ", ".join(f"{host.name} ({host.environment.value})" for host in row.hosts)


def _fees(row: Capabilities) -> str:
    others = [f"{row.fee_rates_taker[product]} ({product})" for product in sorted(row.fee_rates_taker)]
    return ", ".join([row.fee_rate_taker, *others])


_LINES: tuple[tuple[str, Any], ...] = (
    ("products", lambda row: _list(row.products)),
    ("order types", lambda row: _list(row.order_types)),
    ("time in force", lambda row: _list(row.time_in_force)),
    ("post only", lambda row: _yes(row.post_only)),
    ("reduce only", lambda row: _yes(row.reduce_only)),
    ("position modes", lambda row: _list(row.position_modes)),
    ("margin modes", lambda row: _list(row.margin_modes)),
    ("sets leverage", lambda row: _yes(row.sets_leverage)),
    ("cash events", lambda row: _yes(row.cash_events)),
    ("fills", lambda row: "one per order, at its end" if row.fills_are_totals else "each execution"),
    ("login by a person", lambda row: _yes(row.access.needs_login)),
    ("account number needed", lambda row: _yes(row.access.names_account)),
    ("taker fee (default)", lambda row: _fees(row)),
    ("request budgets", _budgets),
    ("dead-man switch", _dead_man),
    ("hosts", _hosts),
)
