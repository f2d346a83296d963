"""Commands that look and change nothing at a venue: accounts, balances, positions, orders, venues, reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AccountOption, AccountsOption, JsonOption

_SHOWN_PACKAGES = ("prefect", "sqlmodel", "typer", "httpx", "pybit", "python-binance", "alpaca-py")

accounts_app = typer.Typer(
    help="List accounts and portfolios, or load them from YAML into the running stack.",
    invoke_without_command=True,
    no_args_is_help=False,
)


@accounts_app.callback()
def accounts(context: typer.Context, accounts: AccountsOption = None, json: JsonOption = False) -> None:
    """List accounts and portfolios, or load them from YAML into the running stack."""
    if context.invoked_subcommand is None:
        _list_accounts(accounts, json=json)


@accounts_app.command("list")
def accounts_list(accounts: AccountsOption = None, json: JsonOption = False) -> None:
    """List accounts and portfolios by name. Secrets are never shown."""
    _list_accounts(accounts, json=json)


@accounts_app.command("apply")
def accounts_apply(
    file: Annotated[Path, typer.Argument(help="YAML file of accounts and portfolios.", exists=True, dir_okay=False)],
) -> None:
    """Check FILE and store its accounts and portfolios as Prefect blocks of the running stack."""
    from cli import opening, output

    for line in opening.apply(file):
        output.say(line)


@accounts_app.command("check")
def accounts_check(account: AccountOption = "", accounts: AccountsOption = None, json: JsonOption = False) -> None:
    """Prove an account at its venue: host, key, rights, clock. Nothing is traded."""
    from cli import opening, output
    from flows.reports import tables

    with opening.connection(account, accounts) as broker:
        proof = broker.connect()
        if json:
            output.print_json(proof)
        else:
            output.print_table(tables.proof(proof))


@accounts_app.command("keys")
def accounts_keys(json: JsonOption = False) -> None:
    """List which account uses which API key, by fingerprint. No key is shown."""
    from cli import opening, output
    from flows.reports.model import Column, Table
    from tasks.keys import KeyRegistry

    held = KeyRegistry(opening.key_registry()).held()
    if json:
        output.print_json({"keys": held})
        return
    rows = tuple((event.fingerprint[:16], event.environment, event.account_id, event.at) for event in held)
    columns = tuple(Column(title) for title in ("Fingerprint", "Environment", "Account", "Since"))
    output.print_table(Table("keys", "API keys", columns, rows, empty="None was used yet."))


@accounts_app.command("release-key")
def accounts_release_key(
    fingerprint: Annotated[str, typer.Argument(help="How its fingerprint begins (8 digits or more): accounts keys.")],
    by: Annotated[str, typer.Option("--by", help="Your name.")],
    reason: Annotated[str, typer.Option("--reason", help="Why the key may be used elsewhere. It is recorded.")],
) -> None:
    """Let an API key go, so that another account or environment may use it. Recorded with name and reason."""
    from brokers.ids import Environment
    from cli import opening, output
    from tasks.keys import KeyRegistry, forget_key

    released = KeyRegistry(opening.key_registry()).release(fingerprint, by=by, reason=reason)
    with opening.ledger(Environment(released.environment)) as ledger:
        forget_key(ledger, released)
    output.say(f"key {released.fingerprint[:16]} of {released.account_id} is released")


def _list_accounts(file: Path | None, *, json: bool) -> None:
    from cli import opening, output
    from flows.reports.model import Column, Table

    found = opening.catalogue(file)
    if json:
        output.print_json(
            {"accounts": found.accounts, "portfolios": found.portfolios, "subscriptions": found.subscriptions}
        )
        return
    output.print_table(
        Table(
            "accounts",
            "Accounts",
            tuple(Column(title) for title in ("Name", "Venue", "Environment", "Address")),
            tuple((item.name, item.venue, item.environment, item.address) for item in found.accounts),
            empty="None. Load some with `algotrendy accounts apply FILE`.",
        )
    )
    output.print_table(
        Table(
            "portfolios",
            "Portfolios",
            (Column("Name"), Column("Currency"), Column("Lines", is_number=True), Column("Targets")),
            tuple((item.name, item.currency, str(item.lines), item.targets) for item in found.portfolios),
        )
    )
    if found.subscriptions:
        output.print_table(
            Table(
                "subscriptions",
                "Subscriptions",
                tuple(Column(title) for title in ("Name", "Portfolio", "Split", "Accounts", "Approval")),
                tuple(
                    (item.name, item.portfolio, item.split, item.accounts, item.approval)
                    for item in found.subscriptions
                ),
            )
        )


def balances(account: AccountOption = "", accounts: AccountsOption = None, json: JsonOption = False) -> None:
    """Show what the account holds in each currency, read from the venue now."""
    from cli import opening, output
    from flows.reports import tables

    with opening.broker(account, accounts) as broker:
        found = broker.balances()
        if json:
            output.print_json({"account": broker.account_id, "balances": found})
        else:
            output.print_table(tables.balances(found, title=f"Balances of {broker.account_id}"))


def positions(account: AccountOption = "", accounts: AccountsOption = None, json: JsonOption = False) -> None:
    """Show open positions, margin health and profit, read from the venue now."""
    from cli import opening, output
    from flows.reports import tables

    with opening.broker(account, accounts) as broker:
        found, health = broker.positions(), broker.margin_health()
        if json:
            output.print_json({"account": broker.account_id, "positions": found, "margin": health})
        else:
            output.print_table(tables.positions(found, title=f"Positions of {broker.account_id}"))
            output.print_table(tables.margin(health))


def orders(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    hours: Annotated[int, typer.Option(min=0, max=24 * 7, help="Also show closed orders of the last HOURS hours.")] = 0,
    json: JsonOption = False,
) -> None:
    """Show open orders (and recent closed ones), read from the venue now."""
    from datetime import timedelta

    from cli import opening, output
    from flows.reports import tables

    with opening.broker(account, accounts) as broker:
        found = broker.open_orders()
        if hours:
            until = opening.CLOCK.now()
            found += broker.order_history(since=until - timedelta(hours=hours), until=until)
        if json:
            output.print_json({"account": broker.account_id, "orders": found})
        else:
            output.print_table(tables.orders(found, title=f"Orders of {broker.account_id}"))


def venues(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[VENUE]...", help="Venues to show; all where none is named.")
    ] = None,
    identity: Annotated[bool, typer.Option("--identity", help="Show how unanswered orders are resolved.")] = False,
    requests: Annotated[bool, typer.Option("--requests", help="Show how many requests one operation takes.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/venues.md.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what each venue can do (products, order forms, identity of orders, limits, hosts) and how it is proved."""
    from cli import matrix, output
    from cli import venues as facts

    if markdown:
        output.out().file.write(matrix.as_markdown())
        return
    found = facts.rows(names or [])
    proved = matrix.outcomes(found)
    if json:
        shown = {
            name: {**row, "conformance": matrix.as_json(proved, name)} for name, row in facts.as_json(found).items()
        }
        output.print_json(shown)
    elif identity:
        output.print_table(facts.identity(found))
    elif requests:
        output.print_table(matrix.requests(proved))
    else:
        output.print_table(facts.matrix(found))
        output.print_table(matrix.matrix(proved))


def version(json: JsonOption = False) -> None:
    """Show the versions of AlgoTrendy, Python, Prefect and the venue SDKs, and the hash of the code that runs here."""
    import platform
    from importlib.metadata import version as version_of

    from cli import output
    from flows.reports.html import product_version
    from trading.code_hash import code_sha256

    found = {"algotrendy": product_version(), "python": platform.python_version()}
    found |= {name: version_of(name) for name in _SHOWN_PACKAGES}
    found["code"] = code_sha256()
    if json:
        output.print_json(found)
    else:
        for name, text in found.items():
            output.out().print(f"{name} {text}")


def reasons(
    markdown: Annotated[bool, typer.Option("--markdown", help="Print docs/reasons.md.")] = False,
    json: JsonOption = False,
) -> None:
    """List every reason code with its meaning and remedy."""
    import sys

    from cli import output
    from cli.reasons import as_markdown, catalogue
    from flows.reports.model import Column, Table

    if markdown:
        sys.stdout.write(as_markdown())
    elif json:
        output.print_json(catalogue())
    else:
        columns = tuple(Column(title) for title in ("Code", "Meaning", "What to do"))
        rows = tuple((reason.code, reason.meaning, reason.remedy) for reason in catalogue())
        output.print_table(Table("reasons", "Reason codes", columns, rows))
