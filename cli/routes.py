"""Commands for the routes of alerts, and for the tokens of their sources."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import EnvironmentName, EnvironmentOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ledger.engine import Ledger
    from trading.alerts.routing import AlertConfig

routes_app = typer.Typer(
    help="Routes: which alert may trade what, where, how much and when (docs/alerts.md, Routes).", no_args_is_help=True
)
sources_app = typer.Typer(
    help="Sources of alerts: each has a token in its address. The routes say how it writes.", no_args_is_help=True
)
PATH = "/api/webhook/tradingview"
FileArgument = Annotated[
    Path, typer.Argument(help="YAML file with the keys sources and routes.", exists=True, dir_okay=False, readable=True)
]
ByOption = Annotated[str, typer.Option("--by", help="Your name. It is kept for ever.")]
SourceArgument = Annotated[str, typer.Argument(help="Name of the source, as the routes name it.")]


# -- routes -----------------------------------------------------------------------------------------------------
@routes_app.command("check")
def check(
    file: FileArgument, environment: EnvironmentOption = EnvironmentName.SIMULATED, json: JsonOption = False
) -> None:
    """Read FILE as `apply` would, and change nothing."""
    from trading.alerts.operating import check_routes

    config = _read(file)
    with _ledger(environment) as ledger:
        check_routes(config, ledger)
    _print(config, json=json)


@routes_app.command("apply")
def apply(file: FileArgument, by: ByOption, environment: EnvironmentOption = EnvironmentName.SIMULATED) -> None:
    """Make the sources and routes of FILE count in the environment's ledger, from the next alert on."""
    from cli import output
    from trading.alerts.operating import apply_routes

    config = _read(file)
    with _ledger(environment) as ledger:
        version = apply_routes(config, ledger, by=by)
    counted = f"{len(config.sources)} sources, {len(config.routes)} routes"
    output.out().print(f"version {version.version} counts: {counted} (sha256 {version.sha256[:16]})")


@routes_app.command("show")
def show(
    file: Annotated[
        Path | None,
        typer.Argument(help="A file to show instead of what counts.", exists=True, dir_okay=False, show_default=False),
    ] = None,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    json: JsonOption = False,
) -> None:
    """Show the sources and routes that count now, or those of FILE."""
    from cli import output
    from cli.failures import CliError
    from trading.alerts.operating import current_routes

    if file is not None:
        _print(_read(file), json=json)
        return
    with _ledger(environment) as ledger:
        found = current_routes(ledger)
    if found is None:
        raise CliError(
            f"no routes were applied to the {environment.value} ledger",
            title="Not found",
            remedy="write some (docs/alerts.md, Routes), then: algotrendy routes apply FILE --by NAME",
        )
    version, config = found
    if not json:
        at = f"{version.applied_at:%Y-%m-%d %H:%M:%S} UTC"
        output.say(f"version {version.version}, applied by {version.applied_by} at {at}")
    _print(config, json=json)


# -- sources ----------------------------------------------------------------------------------------------------
@sources_app.command("list")
def list_sources(environment: EnvironmentOption = EnvironmentName.SIMULATED, json: JsonOption = False) -> None:
    """Show the sources' tokens by the beginning of their hash. No token is shown: none is kept."""
    from cli import output
    from flows.reports.model import Column, Table, Tone
    from flows.reports.plain import DASH, moment
    from ledger.inbox_tokens import AlertTokens

    with _ledger(environment) as ledger:
        found = AlertTokens(ledger).tokens()
    if json:
        output.print_json(list(found))
        return
    rows = tuple(
        (
            token.source,
            token.token_sha256[:12],
            "retired" if token.retired_at else "active",
            moment(token.created_at),
            token.created_by,
            moment(token.retired_at) if token.retired_at else DASH,
            token.retired_by or DASH,
        )
        for token in found
    )
    columns = tuple(Column(t) for t in ("Source", "Token", "State", "Added", "By", "Retired", "Retired by"))
    tones = tuple(Tone.NEUTRAL if token.retired_at else Tone.GOOD for token in found)
    output.print_table(Table("tokens", "Tokens of alert sources", columns, rows, empty="None yet.", tones=tones))


@sources_app.command("add")
def add(
    source: SourceArgument,
    by: ByOption,
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    url: Annotated[
        str, typer.Option(help="Where the sender reaches the receiver: the address of your TLS proxy.")
    ] = "http://127.0.0.1:5004",
    json: JsonOption = False,
) -> None:
    """Make a token for SOURCE and print its webhook address, once.

    A source may have two: add the new one, change the alert, retire the old one.
    """
    from cli import output
    from ledger.inbox_tokens import AlertTokens
    from trading.alerts.operating import current_routes

    with _ledger(environment) as ledger:
        token = AlertTokens(ledger).add_token(source, by=by)
        routes = current_routes(ledger)
    address = f"{url.rstrip('/')}{PATH}/{token}"
    if json:
        output.print_json({"source": source, "url": address, "token": token})
    else:
        output.out().print(address, soft_wrap=True)
        output.say("This is shown once. Whoever has it may send alerts as this source: keep it like a password.")
    if routes is None or source not in {known.name for known in routes[1].sources}:
        output.say(f"The routes name no source {source!r} yet: its alerts end refused until they do.", style="yellow")


@sources_app.command("retire")
def retire(
    source: SourceArgument,
    token: Annotated[str, typer.Argument(help="Beginning of the token's hash, as `algotrendy sources list` shows it.")],
    by: ByOption,
    reason: Annotated[str, typer.Option("--reason", help="Why; it is kept for ever.")],
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
) -> None:
    """Let a token count no more. The receiver follows within seconds."""
    from cli import output
    from ledger.inbox_tokens import AlertTokens

    with _ledger(environment) as ledger:
        AlertTokens(ledger).retire_token(source, token, by=by, reason=reason)
    output.out().print(f"the token {token} of {source} counts no more")


# -- inside -----------------------------------------------------------------------------------------------------
@contextmanager
def _ledger(environment: EnvironmentName) -> Iterator[Ledger]:
    from brokers.ids import Environment
    from cli import opening

    with opening.ledger(Environment(environment.value)) as ledger:
        yield ledger


def _read(file: Path) -> AlertConfig:
    from trading.alerts.routing import AlertConfig, RoutesRefused

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RoutesRefused(f"{file} is not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    return AlertConfig.parse(text, where=str(file))


def _print(config: AlertConfig, *, json: bool) -> None:
    from cli import output
    from flows.reports.alerts import routes_report

    report = routes_report(config)
    if json:
        output.print_json(report.data)
    else:
        output.print_report(report)
