"""Commands for what only a person may do about an order: see open intents, record a decision."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AccountOption, AccountsOption, JsonOption, YesOption

if TYPE_CHECKING:
    from brokers.ids import AccountId
    from ledger.engine import Ledger
    from trading.orders import IntentView


class Found(StrEnum):
    """What a person found out about an order (the words of the order desk)."""

    PLACED = "placed"
    NOT_PLACED = "not_placed"
    CLOSED = "closed"


ByOption = Annotated[
    list[str], typer.Option("--by", help="Who decides; give it twice for two people, as production needs.")
]
ReasonOption = Annotated[str, typer.Option("--reason", help="How it was found out, or why; it is kept for ever.")]


def intents(
    account: AccountOption = "",
    accounts: AccountsOption = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that have ended.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the orders that this installation wanted and where they stand, from the ledger; no request is made."""
    from cli import opening, output
    from flows.reports.orders import intents_evidence, intents_table

    chosen = opening.account(account, accounts)
    with opening.ledger(chosen.account_id.environment) as ledger:
        found = _intents(ledger, chosen.account_id, everything=everything)
    rows = [{"intent_id": str(view.intent_id), **row} for view, row in zip(found, intents_evidence(found), strict=True)]
    if json:
        output.print_json({"account": chosen.account_id, "intents": rows})
        return
    output.print_table(intents_table(found, title=f"Intents of {chosen.account_id}", name="intents"))
    for view in found:
        if view.state.value == "needs_human":
            output.say(f"needs a person: {view.intent_id} ({view.reason}) {view.detail}", style="red")


def _intents(ledger: Ledger, account_id: AccountId, *, everything: bool) -> list[IntentView]:
    from sqlmodel import col, select

    from ledger.states import TERMINAL_STATES
    from ledger.tables import OrderIntent
    from trading.orders.intents import view_of

    query = select(OrderIntent).where(OrderIntent.account_id == str(account_id))
    if not everything:
        query = query.where(col(OrderIntent.state).not_in([state.value for state in TERMINAL_STATES]))
    with ledger.read() as session:
        return [view_of(row) for row in session.exec(query.order_by(col(OrderIntent.created_at)))]


def decide(
    intent: Annotated[str, typer.Argument(help="Intent that needs a person, as `algotrendy intents` lists it.")],
    found: Annotated[
        Found,
        typer.Option(
            "--found",
            help="What the venue's own screen shows: placed (follow it), not_placed (it never was), or closed (it is "
            "over there: end it with the fills on record).",
        ),
    ],
    by: ByOption,
    reason: ReasonOption,
    account: AccountOption = "",
    accounts: AccountsOption = None,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Record what a person found out about an order whose outcome no machine can prove. It is never sent again."""
    from cli import opening, output
    from cli.jobs import confirm
    from flows.reports.orders import intents_evidence, intents_table
    from trading.orders import Verdict

    chosen = opening.account(account, accounts)
    confirm(chosen.account_id, f"record that intent {intent} was {found.value.replace('_', ' ')}", yes=yes)
    with opening.runtime(chosen) as runtime:
        view = runtime.desk.decide(intent, verdict=Verdict(found.value), people=tuple(by), reason=reason)
    if json:
        output.print_json(intents_evidence([view])[0])
    else:
        output.print_table(intents_table([view], title="Decided"))
