"""Commands for prefect.yaml: what is deployed for which account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

deployments_app = typer.Typer(
    help="Entries of prefect.yaml: which jobs are deployed for which account.", no_args_is_help=True
)
AccountArgument = Annotated[str, typer.Argument(help="Account as venue-environment-name, e.g. okx-testnet-main.")]
FileOption = Annotated[
    Path | None,
    typer.Option(help="Another file than the project's own.", exists=True, dir_okay=False, show_default=False),
]


@deployments_app.command("add")
def add(
    account: AccountArgument,
    portfolio: Annotated[str, typer.Option(help="Portfolio of its `rebalance` job; without it none.")] = "",
    file: FileOption = None,
    show: Annotated[bool, typer.Option("--show", help="Print the entries and change nothing.")] = False,
) -> None:
    """Add the jobs of ACCOUNT that prefect.yaml has not, like those of the first account of its environment.

    What its venue cannot do is left out. Deploy with `python -m deployments.deploy --pool ENVIRONMENT`.
    """
    from brokers.ids import AccountId
    from cli import output
    from cli.failures import CliError, ExitCode
    from deployments.entries import add_account
    from deployments.manifest import FILE, ManifestRefused

    try:
        wanted = AccountId.parse(account.replace("-", ".", 2))
    except ValueError as error:
        raise CliError(
            str(error),
            title="Not an account",
            code=ExitCode.USAGE,
            field="ACCOUNT",
            value=account,
            remedy="write venue-environment-name, e.g. okx-testnet-main",
        ) from error
    try:
        text = add_account(wanted, portfolio=portfolio, file=file or FILE, is_dry=show)
    except ManifestRefused as error:
        raise CliError(
            str(error),
            title="prefect.yaml",
            code=ExitCode.USAGE,
            field="ACCOUNT",
            value=account,
            remedy="correct what it names",
        ) from error
    if show:
        output.out().print(text, markup=False, highlight=False, soft_wrap=True)
        return
    count = text.count("- name: ")
    output.out().print(f"{count} jobs of {account} added to {(file or FILE).name}")
    output.say(f"next: python -m deployments.deploy --pool {wanted.environment.value}", style="dim")
