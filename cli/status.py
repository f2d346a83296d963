"""`algotrendy status`: what may leave now and why, kills, open questions, and who answers.

Everything is read on its own and says so when it cannot be: it works with the Prefect server down and with the database
down, when what cannot be read counts as HALT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import JsonOption

if TYPE_CHECKING:
    from sqlmodel import Session

    from brokers.ids import Environment
    from ledger.control_file import FileEntry
    from ledger.engine import Ledger

UNREADABLE = "cannot be read: counts as HALT"
PROBE_TIMEOUT_S = 2.0
_LISTED = (
    ("overridden", "lock overridden"),
    ("need_a_person", "needs a person"),
    ("in_flight", "under way"),
    ("breaks", "open break"),
    ("dead_man", "dead-man switch"),
)
_SWITCHES = {
    "armed": "armed",
    "left": "armed",
    "not_armed": "NOT armed",
    "unknown": "perhaps not armed",
    "off": "not armed",
}


def status(
    pool: Annotated[
        str, typer.Option("--pool", help="One pool: simulated, testnet or production.", show_default=False)
    ] = "",
    json: JsonOption = False,
) -> None:
    """Show what may leave now (database, file, locks), arming, kills, orders for a person, breaks, and who answers.

    Exit code 7: something could not be read, a kill is not over, an order needs a person, or a break locks orders.
    """
    from cli import output
    from cli.failures import ExitCode
    from cli.stopping import environments

    chosen = [_environment(pool)] if pool else environments()
    shown = [_pool(environment) for environment in chosen]
    prefect = _prefect(chosen)
    if json:
        output.print_json({"pools": shown, "prefect": prefect})
    else:
        _print(shown, prefect)
    if any(item[name] for item in shown for name in ("problems", "kills", "need_a_person", "locks")):
        raise typer.Exit(ExitCode.NOT_AS_WISHED)


def _environment(pool: str) -> Environment:
    from brokers.ids import Environment
    from cli.failures import CliError, ExitCode

    if pool not in set(Environment):
        raise CliError(
            f"there is no pool {pool!r}",
            title="Usage",
            code=ExitCode.USAGE,
            field="--pool",
            value=pool,
            remedy=", ".join(Environment),
        )
    return Environment(pool)


# -- gathering --------------------------------------------------------------------------------------------------
def _pool(environment: Environment) -> dict[str, Any]:
    """One pool: its scopes, kills and open questions; `problems` says what could not be read."""
    from cli import opening
    from ledger.errors import ControlFileUnreadable

    file, problems = opening.control_file(environment), []
    entries: dict[str, FileEntry] | None = {}
    try:
        entries = file.read() if file is not None else {}
    except ControlFileUnreadable as error:
        entries = None
        problems.append(f"{error}: everything of {environment} is halted")
    found: dict[str, Any] = {
        "arming": UNREADABLE,
        "kills": [],
        "in_flight": [],
        "need_a_person": [],
        "breaks": [],
        "locks": [],
        "dead_man": [],
    }
    found["overridden"] = []
    try:
        with opening.ledger(environment) as ledger, ledger.read() as session:
            scopes = _scopes(session, environment, entries)
            found = {"arming": _arming(ledger, session, environment), **_open_ends(ledger, session)}
    except Exception as error:  # noqa: BLE001  whatever keeps the database from answering is said, not raised
        problems.append(f"database: {type(error).__name__}: {error}: everything of {environment} counts as halted")
        scopes = [_row(name, None, entries, is_read=False) for name in _names(environment, entries, [])]
    return {
        "pool": environment.value,
        "control_file": str(file.path) if file is not None else "",
        "scopes": scopes,
        **found,
        "problems": problems,
    }


def _names(environment: Environment, entries: dict[str, FileEntry] | None, known: list[str]) -> list[str]:
    return list(dict.fromkeys([f"pool:{environment.value}", *sorted([*known, *(entries or {})])]))


def _scopes(session: Session, environment: Environment, entries: dict[str, FileEntry] | None) -> list[dict[str, Any]]:
    """The pool, every account that was ever proved, and every other scope that was ever set."""
    from sqlmodel import select

    from ledger.controls import current_control
    from ledger.tables import AccountRow, Control

    known = [*session.exec(select(AccountRow.account_id)), *session.exec(select(Control.scope).distinct())]
    return [
        _row(name, current_control(session, name), entries, is_read=True)
        for name in _names(environment, entries, known)
    ]


def _row(name: str, row: Any, entries: dict[str, FileEntry] | None, *, is_read: bool) -> dict[str, Any]:
    """One scope: what database and file say, and what counts of the two."""
    from ledger.controls import strictest
    from ledger.states import ControlState

    entry = (entries or {}).get(name)
    in_file = ControlState.HALT if entries is None else entry.state if entry else None
    in_database = ControlState.HALT if not is_read or (row and row.state not in set(ControlState)) else None
    if in_database is None and row:
        in_database = ControlState(row.state)
    by_file = entry is not None and (row is None or entry.set_at > row.set_at.isoformat())
    newest: Any = entry if by_file else row
    return {
        "scope": name,
        "effective": strictest(state for state in (in_database, in_file) if state is not None).value,
        "database": UNREADABLE if not is_read else row.state if row else "",
        "file": UNREADABLE if entries is None else entry.state.value if entry else "",
        "set_by": newest.set_by if newest else "",
        "approved_by": (newest.approved_by or "") if newest else "",
        "reason": newest.reason if newest else "",
        "set_at": newest.set_at if newest else None,
    }


def _arming(ledger: Ledger, session: Session, environment: Environment) -> str:
    """What the rows say of the pool's arming; signature, policies and code are judged by the sender alone."""
    from brokers.ids import Environment
    from ledger.arming import ArmingState, newest_step, newest_stop, notional_sent

    step = newest_step(session, environment.value)
    if step is None:
        return "never armed: nothing may leave" if environment is Environment.PRODUCTION else "not needed"
    people = " and ".join(filter(None, (step.requested_by, step.approved_by))) or "the program"
    if step.state != ArmingState.ARMED.value:
        return f"disarmed by {people}: {step.reason}"
    until, stopped_at = step.expires_at, newest_stop(session, [f"pool:{environment.value}"])
    if until is None or until <= ledger.now(session):
        return f"over since {str(until)[:19]} (was armed by {people})"
    if stopped_at is not None and stopped_at >= step.recorded_at:
        return f"ended by the stop at {str(stopped_at)[:19]} (was armed by {people})"
    sent, most = notional_sent(session, step), step.notional_max
    return f"armed until {str(until)[:19]} by {people}; {sent:f} of {most if most is None else f'{most:f}'} sent"


def _open_ends(ledger: Ledger, session: Session) -> dict[str, Any]:
    """Kills that are not over, orders in flight, orders for a person, open breaks."""
    from sqlmodel import col, select

    from ledger.breaks import open_breaks
    from ledger.controlling import kills_that_keep_the_stop
    from ledger.states import TERMINAL_STATES, IntentState
    from ledger.tables import OrderIntent

    query = select(OrderIntent).where(col(OrderIntent.state).not_in([state.value for state in TERMINAL_STATES]))
    intents = list(session.exec(query.order_by(col(OrderIntent.created_at))))
    shown = [(row.state, f"{row.account_id} {row.side} {row.quantity:f} {row.instrument_id}") for row in intents]
    person = IntentState.NEEDS_HUMAN.value
    return {
        "kills": [
            {"kill_id": row.kill_id, "account": row.account_id, "state": row.state, "by": row.requested_by}
            for row in kills_that_keep_the_stop(session, "pool:")
        ],
        "in_flight": [f"{text} ({state})" for state, text in shown if state != person],
        "need_a_person": [
            f"{row.account_id} {row.intent_id} ({row.state_reason})" for row in intents if row.state == person
        ],
        "breaks": [f"{row.account_id} {row.kind} {row.subject} ({row.state})" for row in open_breaks(session)],
        **_locks(ledger, session),
        "dead_man": _switches(session),
    }


def _switches(session: Session) -> list[str]:
    """What the watch of each account told last of its venue's dead-man switch."""
    from ledger.dead_man import switch_notes

    return [
        f"{note.account_id} {_SWITCHES.get(note.state, note.state)} (told {str(note.observed_at)[:19]}): {note.text}"
        for note in switch_notes(session)
    ]


def _locks(ledger: Ledger, session: Session) -> dict[str, list[str]]:
    """What breaks keep here now, and what they would if it were not overridden."""
    from ledger.locks import EVERYTHING, locks_of

    found: dict[str, list[str]] = {"locks": [], "overridden": []}
    now = ledger.now(session)
    for lock in locks_of(session):
        what = "everything" if lock.instrument_id == EVERYTHING else lock.instrument_id
        text = f"{lock.account_id} {what} by break {lock.break_id[:8]} ({lock.kind})"
        if lock.overridden_until is not None and lock.overridden_until > now:
            found["overridden"].append(f"{text} until {str(lock.overridden_until)[:19]}")
        else:
            found["locks"].append(text + ("; reductions leave" if lock.lets_reductions_out else ""))
    return found


def _prefect(chosen: list[Environment]) -> dict[str, str]:
    """Whether the server answers, and the workers of each pool; a stop needs neither."""
    import os

    import requests

    from cli import opening
    from deployments.home import API_VARIABLE

    stack = opening.running_stack()
    url = os.environ.get(API_VARIABLE, "") or (stack.api_url if stack is not None else "")
    if not url:
        return {"server": "no stack is running here and PREFECT_API_URL is not set"}
    found = {}
    try:
        with requests.Session() as session:
            session.trust_env = False
            session.get(f"{url}/health", timeout=PROBE_TIMEOUT_S, allow_redirects=False).raise_for_status()
            found["server"] = f"answers at {url}"
            for environment in chosen:
                answer = session.post(
                    f"{url}/work_pools/{environment.value}/workers/filter",
                    json={},
                    timeout=PROBE_TIMEOUT_S,
                    allow_redirects=False,
                )
                rows = answer.json() if answer.ok else []
                online = [row for row in rows if row.get("status") == "ONLINE"]
                found[f"workers of {environment.value}"] = f"{len(online)} answer"
    except (requests.RequestException, ValueError) as error:
        found.setdefault("server", f"does not answer ({type(error).__name__})")
    return found


# -- showing ----------------------------------------------------------------------------------------------------
def _print(shown: list[dict[str, Any]], prefect: dict[str, str]) -> None:
    from cli import output
    from flows.reports.model import Column, Table

    titles = ("Scope", "State", "Database", "File", "Set by", "Reason", "Set at")
    columns = tuple(Column(title) for title in titles)
    for pool in shown:
        rows = tuple(
            (
                row["scope"],
                row["effective"].upper(),
                row["database"],
                row["file"],
                " and ".join(filter(None, (row["set_by"], row["approved_by"]))),
                row["reason"],
                "" if row["set_at"] is None else str(row["set_at"])[:19],
            )
            for row in pool["scopes"]
        )
        output.print_table(Table("scopes", f"Pool {pool['pool']}", columns, rows))
        output.say(f"arming: {pool['arming']}")
        for problem in pool["problems"]:
            output.say(problem, style="red")
        for kill in pool["kills"]:
            output.say(f"kill {kill['kill_id']} of {kill['account']} is {kill['state']} (by {kill['by']})", style="red")
        for line in pool["locks"]:
            output.say(f"locked: {line}", style="red")
        for name, text in _LISTED:
            for line in pool[name]:
                output.say(f"{text}: {line}")
    if not shown:
        from deployments.home import Home

        output.say(f"no ledger and no control file is in {Home.default().root}: nothing that trades has run here")
    for name, text in prefect.items():
        output.say(f"{name}: {text}")
