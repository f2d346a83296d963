"""The jobs as flows, in this process, against the simulator: what they end as, what they leave, what they refuse."""

from __future__ import annotations

import os
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ParameterTypeError

from brokers.ids import Environment, Venue
from flows.check_account import check_account
from flows.close_positions import close_positions
from flows.decide_break import decide_break
from flows.rebalance import rebalance
from flows.reconcile import reconcile
from flows.resume_orders import resume_orders
from flows.set_leverage import set_leverage
from flows.sync_positions import sync_positions
from ledger.engine import Ledger
from tasks.blocks import TradingAccount
from tasks.process import ENVIRONMENT_VARIABLE, LEDGER_VARIABLE
from tests.trading.simulated import end_leases
from trading.beside import one_by_one
from trading.breaks import read_breaks


def ended(state: State[Any]) -> tuple[str, str]:
    """Name and message."""
    return str(state.name), str(state.message)


def run_id(state: State[Any]) -> Any:
    return state.state_details.flow_run_id


def test_check_account_proves_the_account(venue: Any) -> None:
    name, message = ended(check_account(venue.block, return_state=True))
    assert name == "Completed"
    assert f"bybit.simulated.{venue.name} answers at http://127.0.0.1:" in message and "may trade" in message


def test_the_first_sync_opens_the_ledger_and_the_second_adds_nothing(venue: Any, tmp_path: Path) -> None:
    venue.trade("AAPLUSDT", "buy", "10")
    first = sync_positions(venue.block, return_state=True)
    assert (
        ended(first)[0] == "Completed" and "Opened the ledger" in ended(first)[1] and "1 positions" in ended(first)[1]
    )
    second = sync_positions(venue.block, return_state=True)
    assert ended(second) == ("Completed", "1 positions, 0 new fills, 0 new wallet changes")
    folder = tmp_path / "reports" / f"sync-positions-{venue.block}" / str(run_id(first))
    assert {"report.html", "report.md", "result.json"} <= {file.name for file in folder.iterdir()}


def test_reports_stand_under_a_stable_key_with_their_history(venue: Any) -> None:
    for _ in range(2):
        sync_positions(venue.block, return_state=True)
    with get_client(sync_client=True) as client:
        from prefect.client.schemas.filters import ArtifactFilter

        key = f"sync-positions-{venue.block}"
        found = client.read_artifacts(artifact_filter=ArtifactFilter.model_validate({"key": {"any_": [key]}}))
    assert len(found) == 2
    assert all(artifact.type == "markdown" and "AAPL" not in str(artifact.key) for artifact in found)


def test_no_secret_reaches_logs_parameters_tasks_or_reports(venue: Any, logged: Any, tmp_path: Path) -> None:
    states = [
        sync_positions(venue.block, return_state=True),
        rebalance(venue.block, "pair", mode="execute", return_state=True),
        check_account(venue.block, return_state=True),
    ]
    for state in states:
        text = logged(run_id(state))
        assert venue.name in text
        assert venue.canary not in text
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert any(file.name == "report.html" for file in written)
    assert not [file for file in written if venue.canary.encode() in file.read_bytes()]


# -- environments ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "process"), [(one, other) for one in Environment for other in Environment if one is not other]
)
def test_a_pool_refuses_accounts_of_another_environment_before_any_request(
    venue: Any, monkeypatch: pytest.MonkeyPatch, account: Environment, process: Environment
) -> None:
    """The foreign account's credentials do not even exist: they are never read."""
    monkeypatch.setenv(ENVIRONMENT_VARIABLE, process.value)
    name = venue.block
    if account is not Environment.SIMULATED:
        name = f"bybit-{account.value}-foreign"
        block = TradingAccount(
            venue=Venue.BYBIT, environment=account, account_name="foreign", credentials_name="there-are-none"
        )
        block.save(name, overwrite=True)
    before = venue.requests()
    for flow, parameters in (
        (sync_positions, {}),
        (rebalance, {"portfolio": "pair", "mode": "execute"}),
        (close_positions, {"which": "all"}),
    ):
        state = flow(account=name, return_state=True, **parameters)  # type: ignore[operator]
        assert ended(state)[0] == "REFUSED" and "ENVIRONMENT_MISMATCH" in ended(state)[1], ended(state)
    assert venue.requests() == before


@pytest.mark.parametrize("variable", [ENVIRONMENT_VARIABLE, LEDGER_VARIABLE])
def test_a_process_without_a_pool_refuses(venue: Any, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.delenv(variable)
    name, message = ended(sync_positions(venue.block, return_state=True))
    assert name == "REFUSED" and variable in message


def test_a_ledger_of_another_environment_refuses(
    venue: Any, pool_environment: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from ledger.engine import Ledger

    url = f"sqlite:///{tmp_path / 'testnet.db'}"
    Ledger.open(url, environment=Environment.TESTNET).close()
    monkeypatch.setenv(LEDGER_VARIABLE, url)
    before = venue.requests()
    name, message = ended(sync_positions(venue.block, return_state=True))
    assert name == "REFUSED" and "LEDGER_ENVIRONMENT_MISMATCH" in message
    assert venue.requests() == before


@pytest.mark.parametrize("account", ["bybit-simulated-nobody", "bybit-simulated-other"])
def test_accounts_that_cannot_be_used_are_named(venue: Any, account: str) -> None:
    """One is missing; the other is stored under a name that is not its own."""
    if account.endswith("other"):
        TradingAccount.load(venue.block).save(account, overwrite=True)
    name, message = ended(sync_positions(account, return_state=True))
    assert name == "REFUSED" and account in message


# -- leverage --------------------------------------------------------------------------------------------------


def test_leverage_targets_of_the_account_are_set_and_read_back(venue: Any) -> None:
    name, message = ended(set_leverage(venue.block, return_state=True))
    assert name == "Completed" and message.startswith("2 of 2 instruments")
    again = ended(set_leverage(venue.block, leverage="4", instruments=["AAPL/USDT:USDT"], return_state=True))
    assert again == ("Completed", "1 of 1 instruments hold the wanted leverage, read back from the venue")


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"leverage": "50"}, "above the account's limit 10"),
        ({"instruments": ["BTC/USDT:USDT"]}, "no leverage target for BTC/USDT:USDT"),
    ],
)
def test_leverage_outside_the_rules_is_refused(venue: Any, parameters: dict[str, Any], told: str) -> None:
    name, message = ended(set_leverage(venue.block, return_state=True, **parameters))
    assert name == "REFUSED" and told in message


# -- rebalance -------------------------------------------------------------------------------------------------


def test_a_plan_sends_nothing(venue: Any) -> None:
    name, message = ended(rebalance(venue.block, "pair", return_state=True))
    assert name == "Completed" and "nothing was sent" in message
    assert venue.orders() == []


def test_a_rebalance_reaches_its_target_and_is_clean(venue: Any) -> None:
    venue.trade("AAPLUSDT", "buy", "2000")
    assert ended(set_leverage(venue.block, return_state=True))[0] == "Completed"
    name, message = ended(rebalance(venue.block, "pair", mode="execute", return_state=True))
    assert name == "Completed" and message.startswith("2 of 2 lines on target")
    assert set(venue.positions()) == {"AAPLUSDT", "MSFTUSDT"}
    assert Decimal(venue.positions()["AAPLUSDT"]) < 2000
    assert ended(reconcile(venue.block, return_state=True))[0] == "Completed"


def test_the_same_key_never_trades_twice(venue: Any) -> None:
    first = rebalance(venue.block, "pair", mode="execute", key="monday", return_state=True)
    assert ended(first)[0] == "Completed"
    orders = venue.orders()
    assert len(orders) == 2
    again = rebalance(venue.block, "pair", mode="execute", key="monday", return_state=True)
    assert ended(again)[0] == "Completed" and "had ended before" in ended(again)[1]
    assert venue.orders() == orders


def test_a_key_of_another_portfolio_is_refused(venue: Any) -> None:
    from tasks.blocks import PortfolioBlock, TargetWeight

    other = [TargetWeight(instrument="AAPL/USDT:USDT", weight="0.1")]
    PortfolioBlock(portfolio_name="single", targets=other).save("single", overwrite=True)
    rebalance(venue.block, "pair", key="monday", return_state=True)
    name, message = ended(rebalance(venue.block, "single", mode="execute", key="monday", return_state=True))
    assert name == "REFUSED" and "PLAN_KEY_TAKEN" in message
    assert venue.orders() == []


def test_a_portfolio_that_is_not_there_is_refused(venue: Any) -> None:
    name, message = ended(rebalance(venue.block, "nowhere", mode="execute", return_state=True))
    assert name == "REFUSED" and "portfolio/nowhere" in message


@pytest.mark.parametrize(
    "parameters",
    [
        {"account": "main", "portfolio": "pair"},
        {"account": "bybit-simulated-main", "portfolio": "Pair!"},
        {"account": "bybit-simulated-main", "portfolio": "pair", "mode": "live"},
        {"account": "bybit-simulated-main", "portfolio": "pair", "key": "a b"},
    ],
)
def test_parameters_are_checked_in_the_run_too(stack: Any, parameters: dict[str, Any]) -> None:
    with pytest.raises(Exception, match="invalid parameters"):
        rebalance.validate_parameters(parameters)


# -- reconcile, close, resume ----------------------------------------------------------------------------------


def test_reconcile_without_a_baseline_is_never_clean(venue: Any) -> None:
    name, message = ended(reconcile(venue.block, return_state=True))
    assert name == "NOT_RECONCILED" and "BASELINE" in message


def test_breaks_make_the_run_fail_by_name(venue: Any) -> None:
    sync_positions(venue.block, return_state=True)
    assert ended(set_leverage(venue.block, return_state=True))[0] == "Completed"
    other = {"leverage": "5", "instruments": ["AAPL/USDT:USDT"]}
    assert ended(set_leverage(venue.block, return_state=True, **other))[0] == "Completed"
    name, message = ended(reconcile(venue.block, return_state=True))
    assert name == "BREAKS_FOUND" and "LEVERAGE" in message


def test_a_break_is_decided_by_a_form_and_its_story_is_a_report(venue: Any, tmp_path: Path) -> None:
    sync_positions(venue.block, return_state=True)
    set_leverage(venue.block, return_state=True)
    venue.trade("AAPLUSDT", "buy", "10")
    name, message = ended(reconcile(venue.block, return_state=True))
    assert name == "BREAKS_FOUND" and "1 ORDER_EXTERNAL" in message
    with Ledger.open(os.environ[LEDGER_VARIABLE], environment=Environment.SIMULATED) as ledger:
        identity = read_breaks(ledger, kind="ORDER_EXTERNAL").lines[0].row.break_id
    said = {"break_id": identity[:8], "set_by": "ann", "reason": "the desk bought them by hand", "return_state": True}
    name, message = ended(decide_break(decision="override", hours=2, **said))
    assert name == "REFUSED" and message.startswith("BREAK_NOT_LOCKED")
    state = decide_break(decision="claim", owner="discretionary desk", **said)
    assert ended(state)[0] == "Completed" and "was claimed by ann" in ended(state)[1]
    folder = tmp_path / "reports" / "decide-break-simulated" / str(run_id(state))
    assert "discretionary desk" in (folder / "report.html").read_text()
    assert "ORDER_EXTERNAL" not in ended(reconcile(venue.block, return_state=True))[1]
    assert ended(decide_break(decision="unclaim", **said))[0] == "Completed"
    assert ended(reconcile(venue.block, return_state=True))[0] == "BREAKS_FOUND"
    name, message = ended(decide_break(decision="accept", amount="0.5", **said))
    assert name == "REFUSED" and message.startswith("BREAK_NOT_BOUNDED")
    assert ended(decide_break(decision="accept", days=7, **said))[0] == "Completed"
    name, message = ended(reconcile(venue.block, return_state=True))
    assert name == "CLEAN_WITH_ACCEPTED" and "ORDER_EXTERNAL" in message and "(by ann until" in message
    assert ended(decide_break(decision="unaccept", **said))[0] == "Completed"
    assert ended(reconcile(venue.block, return_state=True))[0] == "BREAKS_FOUND"


def test_the_form_of_a_decision_refuses_what_it_cannot_mean() -> None:
    whole = {"break_id": "0123abcd", "decision": "accept", "set_by": "ann", "reason": "known"}
    assert decide_break.validate_parameters(whole)
    wrong = {"break_id": "not-hex", "decision": "ignore", "amount": "1e5", "hours": 25, "reason": ""}
    for name, value in wrong.items():
        with pytest.raises(ParameterTypeError, match=name):
            decide_break.validate_parameters(whole | {name: value})


def test_all_positions_are_closed_and_proved_flat(venue: Any) -> None:
    venue.trade("AAPLUSDT", "buy", "10")
    venue.trade("MSFTUSDT", "sell", "5")
    name, message = ended(close_positions(venue.block, which="all", return_state=True))
    assert (name, message) == ("Completed", "2 positions are flat, read back from the venue")
    assert venue.positions() == {}


def test_only_listed_positions_are_closed(venue: Any) -> None:
    venue.trade("AAPLUSDT", "buy", "10")
    venue.trade("MSFTUSDT", "sell", "5")
    state = close_positions(venue.block, which="listed", instruments=["AAPL/USDT:USDT"], return_state=True)
    assert ended(state)[0] == "Completed"
    assert set(venue.positions()) == {"MSFTUSDT"}


@pytest.mark.parametrize(("which", "instruments"), [("all", ["AAPL/USDT:USDT"]), ("listed", [])])
def test_closing_says_what_it_closes(venue: Any, which: Any, instruments: list[str]) -> None:
    venue.trade("AAPLUSDT", "buy", "10")
    state = close_positions(venue.block, which=which, instruments=instruments, return_state=True)
    assert ended(state)[0] == "REFUSED"
    assert set(venue.positions()) == {"AAPLUSDT"}


@pytest.mark.parametrize(
    ("name", "reason"), [("BTC/USDT", "NOT_A_POSITION"), ("NOSUCH/USDT:USDT", "VENUE_INSTRUMENT_UNKNOWN")]
)
def test_closing_what_is_no_position_is_refused(venue: Any, name: str, reason: str) -> None:
    state = close_positions(venue.block, which="listed", instruments=[name], return_state=True)
    assert ended(state)[0] == "REFUSED" and reason in ended(state)[1]


def test_resuming_with_nothing_left_behind(venue: Any) -> None:
    state = resume_orders(venue.block, minutes=0, return_state=True)
    assert ended(state) == ("Completed", "0 orders looked at, every outcome is known")


def test_resuming_needs_the_right_to_trade_also_without_plans(venue: Any) -> None:
    """The sweep itself may send an order that was wanted and never left."""
    from pydantic import SecretStr

    from tasks.blocks import BybitCredentials

    name = f"{venue.name}-reader"
    keys = [{"api_key": name, "api_secret": venue.canary, "read_only": True}]
    venue.stack.control("create_account", post={"name": name, "balances": {"USDT": "1"}, "keys": keys})
    credentials = {"api_key": SecretStr(name), "api_secret": SecretStr(venue.canary)}
    BybitCredentials(environment=Environment.SIMULATED, **credentials).save(venue.block, overwrite=True)
    state = resume_orders(venue.block, minutes=0, return_state=True)
    assert ended(state)[0] == "REFUSED" and "KEY_MAY_NOT_TRADE" in ended(state)[1]


def test_resuming_reports_orders_that_nobody_can_explain(venue: Any, tmp_path: Path) -> None:
    """A ledger restored from before a trade: NEEDS_HUMAN with a report, and no plan goes on."""
    used = Path(os.environ[LEDGER_VARIABLE].removeprefix("sqlite:///"))
    assert ended(sync_positions(venue.block, return_state=True))[0] == "Completed"
    shutil.copy(used, tmp_path / "backup")
    assert ended(rebalance(venue.block, "pair", mode="execute", return_state=True))[0] == "Completed"
    shutil.copy(tmp_path / "backup", used)
    for suffix in ("-wal", "-shm"):
        Path(f"{used}{suffix}").unlink(missing_ok=True)
    state = resume_orders(venue.block, minutes=0, plans=True, return_state=True)
    assert ended(state)[0] == "NEEDS_HUMAN" and "untracked" in ended(state)[1]
    folder = tmp_path / "reports" / f"resume-orders-{venue.block}" / str(run_id(state))
    assert (folder / "report.html").is_file()


def die_between_two_orders(venue: Any) -> None:
    """A run of Monday whose process ends before its second order, with its orders one after the other."""
    from trading.orders.crash import crash_hook

    class Died(BaseException):
        pass

    def die(point: str) -> None:
        if point == "C06" and len(venue.orders()) == 1:
            raise Died(point)

    with crash_hook(die), pytest.MonkeyPatch.context() as patched, pytest.raises(Died):
        patched.setattr("flows.rebalance.in_threads", one_by_one)
        rebalance(venue.block, "pair", mode="execute", key="monday", return_state=True)
    end_leases(os.environ[LEDGER_VARIABLE])
    assert len(venue.orders()) == 1


def test_an_interrupted_plan_is_continued_when_asked(venue: Any) -> None:
    """The run dies between two orders; resume orders alone trades nothing, with plans it finishes the plan."""
    die_between_two_orders(venue)
    assert ended(resume_orders(venue.block, minutes=1, return_state=True))[0] == "Completed"
    name, message = ended(resume_orders(venue.block, minutes=1, plans=True, return_state=True))
    assert name == "Completed" and "2 of 2 lines on target" in message
    assert len(venue.orders()) == 2


@pytest.mark.parametrize("choice", ["resume", "cancel", "refuse"])
def test_a_new_run_deals_with_an_interrupted_plan_first(venue: Any, choice: Any) -> None:
    die_between_two_orders(venue)
    state = rebalance(venue.block, "pair", mode="execute", unfinished=choice, key="tuesday", return_state=True)
    if choice == "refuse":
        assert ended(state)[0] == "REFUSED" and "ANOTHER_PLAN_RUNS" in ended(state)[1]
        assert len(venue.orders()) == 1
        return
    assert ended(state)[0] == "Completed", ended(state)
    found = [(order["request"]["symbol"], order["request"]["side"], order["qty"]) for order in venue.orders()]
    assert [symbol for symbol, _, _ in found] == ["MSFTUSDT", "AAPLUSDT"], found
