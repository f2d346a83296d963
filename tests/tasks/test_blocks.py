"""Blocks: what the UI needs of them, no secret outside them, asterisks refused, the same accounts as in YAML."""

import importlib.metadata
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from prefect.blocks.core import Block
from pydantic import SecretStr, ValidationError

from brokers.errors import EnvironmentMismatch
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.registry import capabilities, supported_venues
from deployments.register import credentials_of
from tasks.blocks import (
    BLOCKS,
    CREDENTIALS,
    BybitCredentials,
    OKXCredentials,
    PortfolioBlock,
    TargetWeight,
    TradeStationCredentials,
    TradingAccount,
)
from tasks.config import AccountSettings, ConfigRefused, load
from trading.rebalancing.portfolio import DriftRule, Portfolio

ROOT = Path(__file__).resolve().parents[2]
SECRET = "do-not-show-this-secret"


def credentials(environment: Environment = Environment.TESTNET) -> BybitCredentials:
    return BybitCredentials(environment=environment, api_key=SecretStr("key-1"), api_secret=SecretStr(SECRET))


def account() -> TradingAccount:
    settings = load(ROOT / "examples" / "testnet.yaml").accounts[0]
    return TradingAccount.from_settings(settings)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_block_has_what_the_catalogue_shows(block: type[Block]) -> None:
    assert block.get_block_type_name()
    assert block.get_block_type_slug().replace("-", "").isalnum()
    assert len(block.get_description() or "") > 40
    fields = block._to_block_schema().fields["properties"]
    assert all(field.get("title") or "$ref" in field or "allOf" in field for field in fields.values())
    assert [field["position"] for field in fields.values()] == list(range(len(fields)))


@pytest.mark.parametrize("block", BLOCKS)
def test_no_block_nests_another_one(block: type[Block]) -> None:
    """The UI's edit form replaces the secrets of a nested block by asterisks."""
    assert not block._to_block_schema().fields.get("block_schema_references")


@pytest.mark.parametrize("block", BLOCKS)
def test_fields_of_rows_keep_their_order_on_postgresql(block: type[Block]) -> None:
    for definition in block.model_json_schema().get("$defs", {}).values():
        if "properties" in definition:
            assert [field.get("position") for field in definition["properties"].values()] == list(
                range(len(definition["properties"]))
            )


def test_the_entry_point_names_this_module() -> None:
    points = importlib.metadata.entry_points(group="prefect.collections")
    assert {point.name: point.value for point in points}.get("algotrendy") == "tasks.blocks"


@pytest.mark.parametrize("kind", CREDENTIALS.values())
def test_every_field_of_credentials_but_the_environment_is_a_secret_that_no_mask_replaces(kind: type[Block]) -> None:
    schema = kind._to_block_schema().fields
    secrets = set(schema["secret_fields"])
    assert secrets == set(schema["properties"]) - {"environment"} >= {"api_key", "api_secret"}
    for field in secrets:
        values = {"environment": "testnet", **dict.fromkeys(secrets, "a-secret"), field: "********"}
        with pytest.raises(ValidationError, match=f"{field} is empty or a placeholder"):
            kind.model_validate(values)


@pytest.mark.parametrize("venue", supported_venues())
def test_every_venue_has_credentials_with_what_its_keys_come_with(venue: Venue) -> None:
    assert ("api_passphrase" in CREDENTIALS[venue].model_fields) is capabilities(venue).access.needs_passphrase


def test_a_passphrase_reaches_the_connection_and_comes_back_into_the_block() -> None:
    phrase = "a passphrase of its own"
    key = OKXCredentials.model_validate(
        {"environment": "testnet", "api_key": "key-1", "api_secret": SECRET, "api_passphrase": phrase}
    )
    connection = account().to_account(key).connection
    assert connection.api_passphrase.get_secret_value() == phrase
    of_okx = replace(connection, account_id=AccountId.parse("okx.testnet.main"))
    assert credentials_of(of_okx) == key
    assert phrase not in repr(connection) + repr(key) + key.model_dump_json()


def test_no_secret_in_any_text_form() -> None:
    block = credentials()
    joined = account().to_account(block)
    for text in (
        repr(block),
        str(block),
        block.model_dump_json(),
        repr(joined),
        json.dumps(block.model_dump(mode="json")),
    ):
        assert SECRET not in text


@pytest.mark.parametrize("mask", ["********", "**********", "•••••", "", "   "])
@pytest.mark.parametrize("field", ["api_key", "api_secret"])
def test_masks_are_refused(mask: str, field: str) -> None:
    values = {"environment": "testnet", "api_key": "k", "api_secret": "s", field: mask}
    with pytest.raises(ValidationError, match=f"{field} is empty or a placeholder"):
        BybitCredentials.model_validate(values)


@pytest.mark.parametrize("environment", [Environment.SIMULATED, Environment.PRODUCTION])
def test_credentials_of_another_environment_are_refused(environment: Environment) -> None:
    with pytest.raises(EnvironmentMismatch, match=f"are for {environment.value}"):
        account().to_account(credentials(environment))


def test_a_block_says_what_the_yaml_says() -> None:
    settings = load(ROOT / "examples" / "testnet.yaml").accounts[0]
    from_yaml = settings.resolve({"BYBIT_TESTNET_API_KEY": "key-1", "BYBIT_TESTNET_API_SECRET": SECRET})
    assert account().to_account(credentials()) == from_yaml
    assert from_yaml.leverage[InstrumentId("BTC/USDT:USDT")] == Decimal(3)


def test_a_tradestation_block_says_what_the_yaml_says() -> None:
    settings = load(ROOT / "examples" / "tradestation.yaml").accounts[0]
    block = TradingAccount.from_settings(settings)
    key = TradeStationCredentials(environment=Environment.TESTNET, api_key=SecretStr("key-1"))
    variables = {"TRADESTATION_API_KEY": "key-1", "TRADESTATION_API_SECRET": "s"}
    given = replace(settings.resolve(variables).connection, api_secret=SecretStr(""))
    assert block.to_account(key).connection == given and given.venue_account == "SIM1234567M"
    with pytest.raises(ValidationError, match="asterisks"):
        TradeStationCredentials(environment=Environment.TESTNET, api_key=SecretStr("k"), api_secret=SecretStr("****"))


EVERY_VENUE = [a for a in load(ROOT / "examples" / "venues.yaml").accounts if a.venue in supported_venues()]


@pytest.mark.parametrize("settings", EVERY_VENUE, ids=lambda item: item.block_name)
def test_a_block_of_every_venue_says_what_the_yaml_says(settings: AccountSettings) -> None:
    names = [name for name in CREDENTIALS[settings.venue].model_fields if name.startswith("api_")]
    given = settings.resolve({getattr(settings.credentials, f"{name}_env"): f"the {name}" for name in names})
    key = credentials_of(given.connection)
    assert TradingAccount.from_settings(settings).to_account(key) == given  # type: ignore[arg-type]


def test_what_a_block_leaves_out_is_the_venues_own() -> None:
    block = TradingAccount(
        venue="bybit", environment=Environment.TESTNET, account_name="main", credentials_name="bybit-testnet-main"
    )
    connection = block.to_account(credentials()).connection
    assert connection.settle_currencies == ("USDT",) and connection.products == {"spot", "linear"}


def test_the_documents_name_must_be_the_accounts() -> None:
    account().require_name("bybit-testnet-main")
    with pytest.raises(ConfigRefused, match="bybit-testnet-main"):
        account().require_name("bybit-production-main")


def test_a_portfolio_survives_its_block() -> None:
    portfolio = Portfolio(
        name="p",
        quote_currency="USDT",
        targets={InstrumentId("BTC/USDT:USDT"): Decimal("0.123456789"), InstrumentId("ETH/USDT"): Decimal("-0.5")},
        cash_buffer=Decimal("0.01"),
        drift=DriftRule(absolute=Decimal("0.02"), relative=Decimal("0.1")),
        gross_max=Decimal(2),
        rounds_max=5,
    )
    assert PortfolioBlock.from_portfolio(portfolio).to_portfolio() == portfolio
    for shipped in load(ROOT / "examples" / "simulated.yaml").portfolios:
        assert PortfolioBlock.from_portfolio(shipped).to_portfolio() == shipped


def test_a_repeated_line_is_refused() -> None:
    rows = [TargetWeight(instrument="BTC/USDT", weight="0.1"), TargetWeight(instrument="BTC/USDT", weight="0.2")]
    with pytest.raises(ConfigRefused, match="names an instrument twice"):
        PortfolioBlock(portfolio_name="p", targets=rows).to_portfolio()


@pytest.mark.parametrize("weight", ["", "abc", "1e5", "0.5%", "1.2.3"])
def test_weights_are_plain_numbers(weight: str) -> None:
    with pytest.raises(ValidationError, match="weight"):
        TargetWeight(instrument="BTC/USDT", weight=weight)


@pytest.mark.parametrize("block", BLOCKS)
def test_a_types_schema_is_made_once_and_is_prefects_own(block: type[Block], monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect asks for it once a field whenever it saves a block."""
    made = Block.model_json_schema.__func__(block)  # type: ignore[attr-defined]
    assert block.model_json_schema() == made
    block.model_json_schema()["properties"].clear()

    def again(*args: object) -> dict[str, object]:
        raise AssertionError("the schema was made again")

    monkeypatch.setattr(Block, "model_json_schema", classmethod(again))
    assert block.model_json_schema() == made
