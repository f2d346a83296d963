"""What only a person may do about an order: see open intents, record a decision."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

from brokers.ids import AccountId, Environment
from cli.control import Found
from ledger.engine import Ledger
from ledger.states import IntentState
from ledger.tables import OrderIntent
from tests.cli.conftest import Cli
from trading.orders import Verdict

MAIN = ("--account", "bybit-simulated-main")
ACCOUNT = AccountId.parse("bybit.simulated.main")


def test_the_words_are_those_of_the_desk() -> None:
    assert {item.value for item in Found} == {item.value for item in Verdict}


def needs_human(state: IntentState = IntentState.NEEDS_HUMAN) -> str:
    """Store an intent in that state, as the desk would have left it."""
    url = f"sqlite:///{os.environ['ALGOTRENDY_HOME']}/ledger/simulated.db"
    with Ledger.open(url, environment=Environment.SIMULATED) as ledger, ledger.write() as session:
        now = ledger.now(session)
        session.add(
            OrderIntent(
                intent_id="intent-1",
                account_id=str(ACCOUNT),
                business_key="test",
                terms_sha256="0",
                source="test",
                instrument_id="BTC/USDT:USDT",
                side="buy",
                order_type="market",
                time_in_force="ioc",
                quantity=Decimal("0.01"),
                state=state.value,
                state_reason="PROOF_IMPOSSIBLE",
                created_at=now,
                updated_at=now,
                expires_at=now + timedelta(minutes=1),
            )
        )
    return "intent-1"


def test_an_intent_that_needs_a_person_is_shown_and_decided(cli: Cli) -> None:
    assert cli("intents", *MAIN).code == 0
    intent = needs_human()
    shown = cli("intents", *MAIN)
    assert "needs a person: intent-1 (PROOF_IMPOSSIBLE)" in shown.err
    assert cli("intents", *MAIN, "--json").json["intents"][0]["intent_id"] == intent
    decision = ("decide", intent, "--found", "not_placed", "--reason", "order list of the venue", *MAIN)
    assert cli(*decision).code == 2  # nobody is named
    done = cli(*decision, "--by", "Ada", "--json")
    assert done.code == 0, done.err
    assert (done.json["state"], done.json["reason"]) == ("expired", "DECIDED_BY_PERSON")
    assert cli("intents", *MAIN, "--json").json["intents"] == []
    assert len(cli("intents", *MAIN, "--all", "--json").json["intents"]) == 1


def test_only_an_open_question_can_be_decided(cli: Cli) -> None:
    cli("intents", *MAIN)
    intent = needs_human(IntentState.FILLED)
    done = cli("decide", intent, "--found", "placed", "--by", "Ada", "--reason", "seen", *MAIN)
    assert done.code == 3
    assert "must be needs_human" in done.err


def test_keys_are_listed_and_released_by_fingerprint(cli: Cli, accounts_file: Path) -> None:
    assert "None was used yet" in cli("accounts", "keys").out
    assert cli("balances", *MAIN).code == 0
    (held,) = cli("accounts", "keys", "--json").json["keys"]
    assert held["account_id"] == "bybit.simulated.main" and "main-key" not in str(held)
    accounts_file.write_text(accounts_file.read_text().replace("    name: main\n", "    name: renamed\n", 1))
    refused = cli("balances", "--account", "bybit-simulated-renamed")
    assert refused.code == 3 and "KEY_OF_OTHER_ACCOUNT" in refused.err and "release-key" in refused.err
    assert "main-key" not in refused.err and "main-secret" not in refused.err
    assert cli("accounts", "release-key", held["fingerprint"][:12], "--by", "ann", "--reason", "renamed").code == 0
    assert cli("balances", "--account", "bybit-simulated-renamed").code == 0
    again = cli("accounts", "release-key", "00000000", "--by", "ann", "--reason", "typo")
    assert again.code == 3 and "KEY_UNKNOWN" in again.err


def test_a_key_that_may_withdraw_is_shown_and_not_used(cli: Cli, accounts_file: Path) -> None:
    text = accounts_file.read_text()
    text = text.replace("api_key: reader, api_secret: reader-secret", "api_key: drainer, api_secret: drainer-secret")
    accounts_file.write_text(text.replace("name: reader", "name: drainer"))
    drainer = ("--account", "bybit-simulated-drainer")
    shown = cli("accounts", "check", *drainer, "--json")
    assert shown.code == 0 and shown.json["can_withdraw"] is True
    for command in (("balances",), ("reconcile",)):
        refused = cli(*command, *drainer)
        assert refused.code != 0 and "KEY_MAY_WITHDRAW" in refused.err, refused.err
