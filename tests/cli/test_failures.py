"""Errors: one panel with field, value and remedy, an exit code by certainty, no traceback, no secret."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from pydantic import BaseModel, Field, SecretStr, ValidationError

from brokers import errors
from brokers.ids import AccountId
from cli import jobs
from cli.failures import CliError, ExitCode, failure_of
from cli.output import print_failure
from ledger.errors import LedgerUrlRefused
from simulators import Control, Running
from tests.cli.conftest import Cli
from trading.plan_store import AnotherPlanRuns, PlanBusy, PlanKeyTaken, PlanUnfinished
from trading.starting import NotReadyToTrade, StartReason
from trading.sync import BaselineUnsettled


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConnectFailed("no connection"), ExitCode.NOT_SENT),
        (errors.SecondSendRefused("twice"), ExitCode.NOT_SENT),
        (errors.EnvironmentMismatch("mixed"), ExitCode.CONFIGURATION),
        (errors.InsufficientFunds("no money", code="110007", text="ab not enough"), ExitCode.REFUSED),
        (errors.AnswerTimedOut("silence"), ExitCode.UNKNOWN),
        (LedgerUrlRefused("use sqlite"), ExitCode.CONFIGURATION),
        (PlanBusy("another worker"), ExitCode.UNKNOWN),
        (PlanUnfinished("legs left"), ExitCode.UNKNOWN),
        (AnotherPlanRuns("begun"), ExitCode.NOT_SENT),
        (PlanKeyTaken("another portfolio"), ExitCode.CONFIGURATION),
        (BaselineUnsettled("it moves"), ExitCode.NOT_SENT),
        (NotReadyToTrade(StartReason.ORDERS_UNEXPLAINED, "seen"), ExitCode.UNKNOWN),
        (NotReadyToTrade(StartReason.ORDERS_UNREAD, "not seen"), ExitCode.NOT_SENT),
        (NotReadyToTrade(StartReason.KEY_MAY_NOT_TRADE, "no right"), ExitCode.CONFIGURATION),
        (ValueError("wrong"), ExitCode.CONFIGURATION),
        (RuntimeError("bug"), ExitCode.UNEXPECTED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
    ],
    ids=lambda item: type(item).__name__,
)
def test_the_exit_code_says_what_is_certain(error: BaseException, code: ExitCode) -> None:
    assert failure_of(error).code is code


def test_a_broker_error_brings_the_venues_words_and_a_remedy() -> None:
    failure = failure_of(errors.InsufficientFunds("no money", code="110007", text="ab not enough"))
    assert failure.venue == "110007 ab not enough"
    assert failure.reason == "VENUE_INSUFFICIENT_FUNDS"
    assert "Deposit" in failure.remedy


def test_a_validation_error_names_the_field_and_hides_secrets() -> None:
    class Model(BaseModel):
        amount: int = Field(ge=1)
        api_secret: SecretStr = Field(min_length=100)

    with pytest.raises(ValidationError) as caught:
        Model(amount=0, api_secret=SecretStr("hush"))
    failure = failure_of(caught.value)
    assert (failure.field, failure.value) == ("amount", "0")
    with pytest.raises(ValidationError) as caught:
        Model(amount=1, api_secret=SecretStr("hush"))
    assert "hush" not in str(failure_of(caught.value))


def test_exit_codes_are_stable() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "DONE": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "CONFIGURATION": 3,
        "NOT_SENT": 4,
        "REFUSED": 5,
        "UNKNOWN": 6,
        "NOT_AS_WISHED": 7,
        "DECLINED": 8,
        "INTERRUPTED": 130,
    }
    assert all(code.meaning for code in ExitCode)


def test_markup_in_an_error_is_shown_as_it_is(capfd: pytest.CaptureFixture[str]) -> None:
    print_failure(failure_of(CliError("a [bold]text[/bold] [/]", field="[red]", value="[x]", remedy="[y]")))
    shown = capfd.readouterr().err
    assert "[bold]text[/bold] [/]" in shown
    assert "[red]" in shown


def test_without_accounts_or_stack_the_remedy_is_named(bare: Cli) -> None:
    done = bare("balances")
    assert done.code == ExitCode.CONFIGURATION
    assert done.out == ""
    assert "algotrendy up" in done.err
    assert "Traceback" not in done.err


def test_debug_shows_where_it_happened(bare: Cli) -> None:
    assert "Traceback" in bare("--debug", "balances").err


def test_a_venue_that_does_not_answer_is_not_sent(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALGOTRENDY_SIMULATOR", "http://127.0.0.1:1")
    done = cli("balances", "--account", "bybit-simulated-main")
    assert done.code == ExitCode.NOT_SENT
    assert "CONNECT_FAILED" in done.err


def test_a_simulated_account_goes_nowhere_but_loopback(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALGOTRENDY_SIMULATOR", "https://api.bybit.com")
    done = cli("balances", "--account", "bybit-simulated-main")
    assert done.code == ExitCode.CONFIGURATION


@pytest.mark.parametrize(
    "line",
    ["{api_key: k, api_secret: CANARY7F3A9: x}", "{api_secret: *CANARY7F3A9 }", "{api_secret: !!int CANARY7F3A9}"],
)
def test_a_malformed_file_shows_no_secret_also_with_debug(bare: Cli, tmp_path: Path, line: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(f"accounts:\n  - credentials: {line}\n")
    for arguments in (("balances",), ("--debug", "balances")):
        done = bare(*arguments, "--accounts", str(file))
        assert done.code == ExitCode.CONFIGURATION
        assert "not valid YAML" in done.err
        assert "CANARY7F3A9" not in done.err + done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("balances", "--account", "nobody"), "known: bybit-simulated-main"),
        (("balances",), "name one"),
        (("balances", "--account", "bybit-testnet-main"), "TEST_KEY"),
    ],
)
def test_a_wrong_account_is_named_with_what_there_is(cli: Cli, arguments: tuple[str, ...], said: str) -> None:
    done = cli(*arguments)
    assert done.code == ExitCode.CONFIGURATION
    assert said in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("trade",),
        ("balances", "--nope"),
        ("close", "--account", "bybit-simulated-main"),
        ("close", "BTC/USDT:USDT", "--all"),
        ("leverage", "BTC"),
        ("leverage", "BTC/USDT:USDT=abc"),
        ("venues", "kraken"),
        ("reconcile", "--days", "0"),
    ],
    ids=" ".join,
)
def test_wrong_usage(cli: Cli, arguments: tuple[str, ...]) -> None:
    done = cli(*arguments)
    if arguments[0] == "leverage":
        done = cli(*arguments, "--account", "bybit-simulated-main")
    assert done.code == ExitCode.USAGE
    assert "Traceback" not in done.err


# -- asking before trading --------------------------------------------------------------------------------------
TESTNET, PRODUCTION = AccountId.parse("bybit.testnet.main"), AccountId.parse("bybit.production.main")


def test_simulated_is_never_asked() -> None:
    jobs.confirm(AccountId.parse("bybit.simulated.main"), "close ALL positions", yes=False)


def test_yes_is_an_answer() -> None:
    jobs.confirm(PRODUCTION, "close ALL positions", yes=True)


@pytest.mark.parametrize("account_id", [TESTNET, PRODUCTION], ids=str)
def test_without_a_terminal_nothing_is_sent(account_id: AccountId, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(CliError, match="no terminal to ask") as caught:
        jobs.confirm(account_id, "close ALL positions", yes=False)
    assert caught.value.failure.code is ExitCode.DECLINED


@pytest.mark.parametrize(("answer", "is_declined"), [(True, False), (False, True)])
def test_the_answer_counts(monkeypatch: pytest.MonkeyPatch, answer: bool, is_declined: bool) -> None:
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr(typer, "confirm", lambda text, err: asked.append(text) or answer)
    if is_declined:
        with pytest.raises(CliError, match="nothing was sent"):
            jobs.confirm(PRODUCTION, "close ALL positions", yes=False)
    else:
        jobs.confirm(PRODUCTION, "close ALL positions", yes=False)
    assert "PRODUCTION" in asked[0]


def test_a_testnet_job_asks_before_it_reads_anything(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Declined before a connection is made: the order of guards is part of the promise."""
    monkeypatch.setenv("TEST_KEY", "key-of-a-test")
    monkeypatch.setenv("TEST_SECRET", "secret-of-a-test")
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    monkeypatch.setattr("brokers.factory.open_broker", lambda *_, **__: pytest.fail("a broker was opened"))
    for command in (
        ("rebalance", "--portfolio", "pair"),
        ("close", "--all"),
        ("leverage", "BTC/USDT:USDT=2"),
        ("resume-orders",),
    ):
        done = cli(*command, "--account", "bybit-testnet-main")
        assert done.code == ExitCode.DECLINED, done.err
        assert "secret-of-a-test" not in done.err


def test_a_ledger_of_another_environment_is_refused(
    cli: Cli, sim: Running[Control], monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    from brokers.ids import Environment
    from ledger.engine import Ledger

    url = f"sqlite:///{tmp_path}/testnet.db"
    Ledger.open(url, environment=Environment.TESTNET).close()
    monkeypatch.setenv("ALGOTRENDY_LEDGER_URL", url)
    done = cli("sync", "--account", "bybit-simulated-main")
    assert done.code == ExitCode.CONFIGURATION
    assert "LEDGER_ENVIRONMENT_MISMATCH" in done.err


def test_a_simulator_of_another_venue_is_called_so(cli: Cli, accounts_file: Path, sim: Running[Control]) -> None:
    """Its refusals would be about orders and symbols, and lead nowhere."""
    accounts_file.write_text(
        "accounts:\n  - {venue: alpaca, environment: simulated, name: main, "
        "credentials: {api_key: PKMAIN, api_secret: secret}}\n"
    )
    done = cli("balances", "--account", "alpaca-simulated-main")
    assert done.code == 3
    assert f"the simulator at {sim.url} is bybit's" in done.err and "alpaca.simulated.main" in done.err
    assert "ALGOTRENDY_SIMULATOR" in done.err and "algotrendy simulate alpaca" in done.err
