"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class EnvironmentName(StrEnum):
    """The environments (the words of the venue layer)."""

    SIMULATED = "simulated"
    TESTNET = "testnet"
    PRODUCTION = "production"


ACCOUNTS_VARIABLE = "ALGOTRENDY_ACCOUNTS"

AccountOption = Annotated[
    str,
    typer.Option(
        "--account",
        "-a",
        help="Account by block name (bybit-simulated-demo) or id (bybit.simulated.demo). "
        "May be left out where there is only one.",
        show_default=False,
    ),
]
AccountsOption = Annotated[
    Path | None,
    typer.Option(
        "--accounts",
        "-f",
        help="YAML file of accounts and portfolios, used instead of the Prefect blocks (no server needed).",
        envvar=ACCOUNTS_VARIABLE,
        exists=True,
        dir_okay=False,
        readable=True,
        show_default=False,
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON on standard output instead of tables.")]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask before trading outside the simulated environment.")
]
EnvironmentOption = Annotated[EnvironmentName, typer.Option("--environment", "-e", help="Whose ledger and pool.")]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", help="Folder to write report.html, report.md, result.json and CSV files to.", show_default=False
    ),
]
PortfolioOption = Annotated[
    str,
    typer.Option(
        "--portfolio",
        "-p",
        help="Portfolio by name, from the same place as the account. May be left out where there is only one.",
        show_default=False,
    ),
]
