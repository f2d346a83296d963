"""The command that receives alerts: one process for each environment, beside its ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import EnvironmentName, EnvironmentOption


def receive(
    environment: EnvironmentOption = EnvironmentName.SIMULATED,
    host: Annotated[str, typer.Option(help="Address to listen on, as a number.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free one.")] = 5004,
    behind_proxy: Annotated[
        list[str] | None,
        typer.Option(
            "--behind-proxy",
            help="Address or network of the TLS proxy in front; only its X-Forwarded-For is believed. May be repeated.",
            show_default=False,
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            help="Address or network that may send alerts, `tradingview` for TradingView's four, or `anyone`. May be "
            "repeated. Without it: anyone on plain loopback, else tradingview.",
            show_default=False,
        ),
    ] = None,
    signing_secrets: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of source to Standard Webhooks secret (whsec_…): these sources must sign.",
            exists=True,
            dir_okay=False,
            readable=True,
            show_default=False,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No line for each request.")] = False,
) -> None:
    """Receive alerts over HTTP and store them durably before they are answered; runs until Ctrl-C or SIGTERM.

    It speaks plain HTTP/1.1: put a TLS proxy in front of it (docs/alerts.md has one). What the alerts mean is decided
    by the drain.
    """
    import logging
    from functools import partial

    from brokers.ids import Environment
    from cli import opening
    from webhooks.logs import logging_to
    from webhooks.server import Receiver, bind, run
    from webhooks.settings import listening
    from webhooks.signatures import Signatures

    chosen = Environment(environment.value)
    settings = listening(host=host, port=port, proxies=tuple(behind_proxy or ()), allowed=tuple(allow or ()))
    signatures = Signatures() if signing_secrets is None else Signatures.load(signing_secrets)
    bound = bind(settings)
    with (
        bound,
        opening.ledger(chosen) as ledger,
        logging_to(level=logging.WARNING if quiet else logging.INFO) as lines,
    ):
        typer.echo(f"{chosen.value} ledger {ledger.url}", err=True)
        run(Receiver(ledger, settings, signatures=signatures, lines=lines), bound, say=partial(typer.echo, err=True))
