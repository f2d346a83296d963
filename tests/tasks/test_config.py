"""Accounts and portfolios in YAML: read strictly, secrets only by name outside simulators."""

import traceback
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from brokers.capabilities import Access
from brokers.errors import EnvironmentMismatch
from brokers.factory import base_url_of
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.registry import capabilities, supported_venues
from brokers.types import ProductKind
from tasks.config import ConfigRefused, block_name, load, parse, require_environment, risk_policy

ROOT = Path(__file__).resolve().parents[2]
STRAY = "Canary7f3a9"  # where a plain secret of a key would stand
SECRET = "do-not-show-this-secret"
ACCOUNT = """
  - venue: bybit
    environment: testnet
    name: main
    credentials: {api_key_env: THE_KEY, api_secret_env: THE_SECRET}
"""


def file_with(account: str = ACCOUNT, more: str = "") -> str:
    return f"accounts:{account}{more}"


def test_the_examples_are_valid() -> None:
    simulated = load(ROOT / "examples" / "simulated.yaml")
    testnet = load(ROOT / "examples" / "testnet.yaml")
    assert {a.block_name for a in simulated.accounts} == {
        f"{venue.value}-simulated-main" for venue in supported_venues()
    }
    assert [a.block_name for a in testnet.accounts] == ["bybit-testnet-main"]
    assert testnet.accounts[0].resolve(
        {"BYBIT_TESTNET_API_KEY": "key", "BYBIT_TESTNET_API_SECRET": "secret"}
    ).policy.order_notional_max == Decimal(5000)
    assert simulated.portfolio("us-stocks").targets[InstrumentId("XOM/USDT:USDT")] < 0


def test_secrets_come_from_the_named_variables() -> None:
    settings = parse(file_with()).account("bybit-testnet-main")
    account = settings.resolve({"THE_KEY": "k", "THE_SECRET": SECRET})
    assert account.connection.api_secret.get_secret_value() == SECRET
    assert SECRET not in repr(account)
    assert SECRET not in repr(settings)


def test_a_missing_variable_is_named() -> None:
    with pytest.raises(ConfigRefused, match="THE_SECRET is not set"):
        parse(file_with()).account("bybit.testnet.main").resolve({"THE_KEY": "k"})


@pytest.mark.parametrize("environment", ["testnet", "production"])
def test_inline_secrets_are_for_simulated_accounts_only(environment: str) -> None:
    text = ACCOUNT.replace("testnet", environment).replace(
        "{api_key_env: THE_KEY, api_secret_env: THE_SECRET}", f"{{api_key: k, api_secret: {SECRET}}}"
    )
    with pytest.raises(ConfigRefused, match="must name environment variables") as caught:
        parse(file_with(text))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None  # the original error holds the input


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("name: main", "name: main\n    colour: red"), "colour"),
        (("name: main", "name: Main"), "name"),
        (("venue: bybit", "venue: mtgox"), "venue"),
        (("environment: testnet", "environment: live"), "environment"),
        (("name: main", "name: main\n    base_url: http://127.0.0.1:1"), "simulated accounts only"),
        (("name: main", "name: main\n    name: other"), "stands twice"),
        (("name: main", "name: main\n    risk: {order_notional_maximum: '5'}"), "order_notional_maximum"),
        (("name: main", "name: main\n    risk: {order_notional_max: 5.5}"), "order_notional_max|limit"),
        (("name: main", "name: main\n    leverage: {'BTC/USDT:USDT': 2.5}"), "binary float"),
        (("name: main", "name: main\n    leverage: {'BTC/USDT:USDT': '0'}"), "greater than 0"),
        (("api_secret_env: THE_SECRET", "api_secret: x"), "credentials must give"),
        (("{api_key_env: THE_KEY, api_secret_env: THE_SECRET}", "{}"), "credentials must give"),
    ],
)
def test_every_mistake_is_refused_with_its_place(change: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigRefused, match=told):
        parse(file_with(ACCOUNT.replace(*change)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a mapping"),
        ("[1, 2]", "must be a mapping"),
        ("accounts: {", "not valid YAML"),
        ("account: []", "account: Extra inputs"),
        (file_with(ACCOUNT + ACCOUNT), "repeated: bybit-testnet-main"),
        ("portfolios: [{name: P, quote_currency: USDT, targets: {'BTC/USDT': '1'}}]", "lowercase"),
        ("portfolios: [{name: p, quote_currency: USDT, targets: {'BTC/USDT': 0.5}}]", "binary float"),
        ("portfolios: [{name: p, quote_currency: USDT, targets: {}}]", "no targets"),
    ],
)
def test_files_that_are_not_a_configuration(text: str, told: str) -> None:
    with pytest.raises(ConfigRefused, match=told):
        parse(text)


MALFORMED = {
    "mapping_in_a_flow": "accounts:\n  - {credentials: {api_key: k, api_secret: CANARY: x}}\n",
    "text_after_a_quote": 'accounts:\n  - credentials:\n      api_secret: "CANARY"CANARY\n',
    "open_quote": 'accounts:\n  - credentials:\n      api_secret: "CANARY\n',
    "no_space": "accounts:\n  - credentials:\n      api_key: k\n      api_secret:CANARY\n",
    "alias": "accounts:\n  - credentials: {api_secret: *CANARY }\n",
    "anchor_twice": "accounts:\n  - {api_key: &CANARY a, api_secret: &CANARY b}\n",
    "tag": "accounts:\n  - credentials: {api_secret: !CANARY x}\n",
    "tag_handle": "accounts:\n  - credentials: {api_secret: !CANARY!x y}\n",
    "number": "accounts:\n  - credentials: {api_secret: !!int CANARY}\n",
    "truth": "accounts:\n  - credentials: {api_secret: !!bool CANARY}\n",
    "time": "accounts:\n  - credentials: {api_secret: !!timestamp CANARY}\n",
    "binary": "accounts:\n  - credentials: {api_secret: !!binary CANARYé}\n",
    "date": "accounts:\n  - credentials: {api_secret: 2026-99-99, api_key: CANARY}\n",
    "key_twice": "accounts:\n  - credentials: {CANARY: 1, CANARY: 2}\n",
    "tab": "accounts:\n  - credentials:\n\tapi_secret: CANARY\n",
    "control_character": "accounts:\n  - credentials: {api_secret: CANARY\x01}\n",
    "escape": 'accounts:\n  - credentials: {api_secret: "CANARY\\q"}\n',
    "secret_as_a_key": "accounts:\n  - credentials: {api_key: k, api_secret CANARY}\n",
    "secret_as_a_top_key": "CANARY: x\n",
    "secret_as_the_credentials": "accounts:\n  - credentials: CANARY\n",
    "unhashable": "accounts:\n  - {[CANARY]: x}\n",
}


@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED)
def test_no_malformed_document_brings_a_secret_into_the_error(text: str) -> None:
    with pytest.raises(ConfigRefused) as caught:
        parse(text.replace("CANARY", STRAY))
    shown = "".join(traceback.format_exception(caught.value))
    assert STRAY.lower() not in shown.lower()
    assert not isinstance(caught.value.__context__, yaml.YAMLError)


def test_a_syntax_error_keeps_its_words_and_its_place() -> None:
    with pytest.raises(ConfigRefused, match=r"mapping values are not allowed here \(line 2, column 9\)"):
        parse("accounts:\n  - a: b: c\n")


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "accounts.yaml").write_bytes(b"accounts: \xff")
    with pytest.raises(ConfigRefused, match="not UTF-8"):
        load(tmp_path / "accounts.yaml")


def test_unknown_names_list_the_known_ones() -> None:
    configuration = parse(file_with())
    with pytest.raises(ConfigRefused, match="known: bybit-testnet-main"):
        configuration.account("bybit-testnet-other")
    with pytest.raises(ConfigRefused, match="known: none"):
        configuration.portfolio("majors")
    with pytest.raises(ConfigRefused, match="there is no file"):
        load(ROOT / "no-such-file.yaml")


def test_simulated_accounts_are_given_the_simulators_address() -> None:
    simulated = load(ROOT / "examples" / "simulated.yaml").at_simulator("http://127.0.0.1:9")
    assert {account.base_url for account in simulated.accounts} == {"http://127.0.0.1:9"}
    assert parse(file_with()).at_simulator("http://127.0.0.1:9").accounts[0].base_url == ""
    apart = load(ROOT / "examples" / "simulated.yaml").at_simulators({Venue.TRADESTATION: "http://127.0.0.1:8"})
    assert {account.venue: account.base_url for account in apart.accounts if account.base_url} == {
        Venue.TRADESTATION: "http://127.0.0.1:8"
    }


@pytest.mark.parametrize("account", Environment)
@pytest.mark.parametrize("process", Environment)
def test_an_account_of_another_environment_is_refused(account: Environment, process: Environment) -> None:
    account_id = AccountId(Venue.BYBIT, account, "main")
    if account is process:
        require_environment(account_id, process)
        return
    with pytest.raises(EnvironmentMismatch, match=f"deployment of the {account.value} pool"):
        require_environment(account_id, process)


def test_risk_overrides_keep_the_environments_other_defaults() -> None:
    production = risk_policy(Environment.PRODUCTION, {"allowed_instruments": ["BTC/USDT:USDT"]})
    assert production.allows(InstrumentId("BTC/USDT:USDT"))
    assert not production.market_orders_allowed
    assert not risk_policy(Environment.PRODUCTION, {}).allows(InstrumentId("BTC/USDT:USDT"))


def test_block_names_are_what_prefect_accepts() -> None:
    for venue in Venue:
        name = block_name(AccountId(venue, Environment.TESTNET, "desk-2"))
        assert name.replace("-", "").isalnum() and name == name.lower() and "_" not in name


def test_every_risk_limit_may_be_written_down() -> None:
    written = {
        "daily_loss_max": "0.02",
        "daily_loss_amount_max": "500",
        "restricted_instruments": ["LUNA/USDT"],
        "sessions": [{"weekdays": ["mon"], "opens": "09:30", "closes": "16:00", "zone": "America/New_York"}],
        "instruments": {"BTC/USDT": {"repeat_max": 3, "sessions": []}},
    }
    policy = risk_policy(Environment.TESTNET, written)
    assert policy.restricted_instruments == ("LUNA/USDT",)
    assert policy.sessions is not None
    assert policy.sessions[0].zone == "America/New_York"
    assert policy.instruments["BTC/USDT"].sessions == ()
    assert policy.daily_loss_amount_max == Decimal(500)


# -- accounts of a venue whose key reaches several -------------------------------------------------------------
EQUITIES = """
accounts:
  - venue: tradestation
    environment: testnet
    name: equities
    credentials: {api_key_env: THE_KEY}
    venue_account: SIM123M
"""


def test_a_tradestation_account_takes_its_venues_defaults() -> None:
    connection = parse(EQUITIES).accounts[0].resolve({"THE_KEY": "client-id"}).connection
    assert connection.venue_account == "SIM123M" and connection.api_secret.get_secret_value() == ""
    assert connection.settle_currencies == ("USD",)
    assert connection.products == {ProductKind.EQUITY, ProductKind.FUTURE}
    bybit = load(ROOT / "examples" / "simulated.yaml").accounts[0]
    assert bybit.products == {ProductKind.SPOT, ProductKind.LINEAR} and bybit.settle_currencies == ("USDT",)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("venue_account: SIM123M", ""), "venue_account of tradestation.testnet.equities must be the account's number"),
        (("SIM123M", "SIM-123"), "venue_account"),
        (("venue: tradestation", "venue: bybit"), "credentials of bybit.testnet.equities must give"),
    ],
)
def test_what_an_account_must_say_of_its_access(change: tuple[str, str], told: str) -> None:
    with pytest.raises(ConfigRefused, match=told):
        parse(EQUITIES.replace(*change))


def test_a_key_that_reaches_one_account_names_no_number() -> None:
    text = EQUITIES.replace("tradestation", "bybit").replace("THE_KEY}", "THE_KEY, api_secret_env: THE_SECRET}")
    with pytest.raises(ConfigRefused, match="must be left out"):
        parse(text)


# -- keys with a passphrase -------------------------------------------------------------------------------------
WITH_PHRASE = ACCOUNT.replace(
    "api_secret_env: THE_SECRET", "api_secret_env: THE_SECRET, api_passphrase_env: THE_PHRASE"
)


@pytest.fixture
def keys_have_passphrases(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = replace(capabilities(Venue.BYBIT), access=Access(needs_passphrase=True))
    monkeypatch.setattr("tasks.config.capabilities", lambda venue: facts)


@pytest.mark.usefixtures("keys_have_passphrases")
def test_a_passphrase_is_named_by_a_variable_of_its_own() -> None:
    settings = parse(file_with(WITH_PHRASE)).account("bybit-testnet-main")
    given = {"THE_KEY": "k", "THE_SECRET": "s", "THE_PHRASE": SECRET}
    account = settings.resolve(given)
    assert account.connection.api_passphrase.get_secret_value() == SECRET
    assert SECRET not in repr(account) + repr(settings)
    with pytest.raises(ConfigRefused, match="THE_PHRASE is not set"):
        settings.resolve({"THE_KEY": "k", "THE_SECRET": "s"})
    with pytest.raises(ConfigRefused, match="must give api_passphrase_env"):
        parse(file_with())
    with pytest.raises(ConfigRefused, match="credentials must give"):
        parse(file_with(WITH_PHRASE.replace("api_passphrase_env: THE_PHRASE", f"api_passphrase: {SECRET}")))


@pytest.mark.usefixtures("keys_have_passphrases")
def test_a_simulated_accounts_passphrase_may_stand_inline() -> None:
    text = """
  - {venue: bybit, environment: simulated, name: main, base_url: "http://127.0.0.1:1",
     credentials: {api_key: k, api_secret: s, api_passphrase: a phrase}}
"""
    connection = parse(file_with(text)).accounts[0].resolve({}).connection
    assert connection.api_passphrase.get_secret_value() == "a phrase"


def test_a_passphrase_where_keys_have_none_is_refused() -> None:
    with pytest.raises(ConfigRefused, match=r"api_passphrase of bybit\.testnet\.main must be left out"):
        parse(file_with(WITH_PHRASE))


# -- venues that are read by instrument -------------------------------------------------------------------------
BY_SYMBOL = ACCOUNT.replace("bybit", "binance") + '    instruments: ["BTC/USDT", "BTC/USDT:USDT"]\n'


def test_instruments_reach_the_connection() -> None:
    stated = BY_SYMBOL + "    key_cannot_withdraw: true\n    dead_man_may_cancel_all_orders: true\n"
    settings = parse(file_with(stated)).account("binance-testnet-main")
    connection = settings.resolve({"THE_KEY": "k", "THE_SECRET": "s"}).connection
    assert connection.instruments == (InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT:USDT"))
    assert connection.key_cannot_withdraw and connection.dead_man_may_cancel_all_orders


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ACCOUNT.replace("bybit", "binance"), "must name what the account trades: binance"),
        (BY_SYMBOL.replace("binance", "bybit"), r"must be left out: bybit shows the account whole, were BTC/USDT, BTC"),
        (BY_SYMBOL.replace('"BTC/USDT:USDT"', '"BTC/USDT"'), "must be named once each, were BTC/USDT, BTC/USDT"),
        (BY_SYMBOL.replace('"BTC/USDT:USDT"', "1"), "instruments"),
    ],
)
def test_instruments_are_named_exactly_where_they_are_needed(text: str, told: str) -> None:
    with pytest.raises(ConfigRefused, match=told):
        parse(file_with(text))


def test_a_word_about_a_switch_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigRefused, match="must be left out: alpaca has no dead-man switch that would cancel other"):
        parse(file_with(ACCOUNT.replace("bybit", "alpaca") + "    dead_man_may_cancel_all_orders: true\n"))


def test_the_example_of_every_venue_resolves() -> None:
    example = load(ROOT / "examples" / "venues.yaml")
    supported = set(supported_venues())
    assert {account.venue for account in example.accounts} >= supported

    class Exported(dict[str, str]):
        def __missing__(self, name: str) -> str:
            return f"value of {name}"

        def get(self, name: str, default: object = None) -> str:  # type: ignore[override]
            return self[name] if name else ""

    for settings in (account for account in example.accounts if account.venue in supported):
        connection = settings.resolve(Exported()).connection
        assert connection.api_key.get_secret_value().startswith("value of ")
        assert base_url_of(connection).startswith("https://")
