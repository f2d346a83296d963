"""Environment is identity: which configurations open a broker, and at which address."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from pydantic import SecretStr

from brokers import registry
from brokers.bybit.adapter import BybitBroker
from brokers.capabilities import Host
from brokers.clock import ManualClock
from brokers.config import AccountConfig, require_listed, require_secrets
from brokers.errors import EnvironmentMismatch, InvalidOrder, Unsupported
from brokers.factory import base_url_of, open_broker
from brokers.ids import AccountId, Environment, InstrumentId, Venue
from brokers.registry import capabilities, supported_venues
from brokers.types import ProductKind
from tests.brokers.loopback import API_KEY, API_SECRET, NOW, account_config


def configured(account: str, **changes: Any) -> AccountConfig:
    base_url = changes.pop("base_url", "")
    return account_config(base_url, **{"account_id": AccountId.parse(account), **changes})


@pytest.mark.parametrize(
    ("account", "host", "url"),
    [
        ("bybit.testnet.main", "", "https://api-testnet.bybit.com"),
        ("bybit.testnet.main", "testnet", "https://api-testnet.bybit.com"),
        ("bybit.testnet.main", "demo", "https://api-demo.bybit.com"),
        ("bybit.production.main", "", "https://api.bybit.com"),
        ("bybit.production.main", "eu", "https://api.bybit.eu"),
        ("bybit.production.main", "bytick", "https://api.bytick.com"),
    ],
)
def test_hosts_by_environment(account: str, host: str, url: str) -> None:
    assert base_url_of(configured(account, host=host)) == url


@pytest.mark.parametrize(
    ("account", "changes"),
    [
        ("bybit.testnet.main", {"host": "production"}),
        ("bybit.testnet.main", {"host": "eu"}),
        ("bybit.production.main", {"host": "demo"}),
        ("bybit.production.main", {"host": "nowhere"}),
        ("bybit.production.main", {"base_url": "http://127.0.0.1:1"}),
        ("bybit.testnet.main", {"base_url": "https://api.bybit.com"}),
        ("bybit.simulated.main", {}),
        ("bybit.simulated.main", {"base_url": "https://127.0.0.1:1"}),
        ("bybit.simulated.main", {"base_url": "http://10.0.0.1:8080"}),
        ("bybit.simulated.main", {"base_url": "http://api.bybit.com:80"}),
        ("bybit.simulated.main", {"base_url": "http://127.0.0.1"}),
        ("bybit.simulated.main", {"base_url": "http://127.0.0.1:1/v5"}),
        ("bybit.simulated.main", {"base_url": "http://user@127.0.0.1:1"}),
        ("bybit.simulated.main", {"base_url": "http://127.0.0.1:1?x=1"}),
        ("bybit.simulated.main", {"base_url": "http://127.0.0.1:99999"}),
        ("bybit.simulated.main", {"base_url": "http://127.0.0.1.evil.example:80"}),
        ("bybit.simulated.main", {"base_url": "http://[::1"}),
    ],
)
def test_configurations_that_contradict_themselves(account: str, changes: dict[str, Any]) -> None:
    with pytest.raises(EnvironmentMismatch):
        open_broker(configured(account, **changes), clock=ManualClock(NOW))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8080", "http://localhost:8080/", "http://[::1]:8080", "http://127.9.9.9:1"]
)
def test_loopback_addresses_are_accepted(url: str) -> None:
    assert base_url_of(configured("bybit.simulated.main", base_url=url)) == url.rstrip("/")


@pytest.mark.parametrize("secret", ["", "   ", "********", "*", "••••", "two\nlines", " padded ", "ключ"])
@pytest.mark.parametrize("name", ["api_key", "api_secret"])
def test_placeholders_are_not_secrets(name: str, secret: str) -> None:
    config = configured("bybit.testnet.main", **{name: SecretStr(secret)})
    with pytest.raises(EnvironmentMismatch, match=name) as caught:
        open_broker(config, clock=ManualClock(NOW))
    if secret.strip("*• \n"):
        assert secret not in str(caught.value)


@pytest.mark.parametrize("venue", sorted(set(Venue) - set(supported_venues())))
def test_venues_without_an_adapter_say_so(venue: Venue) -> None:
    with pytest.raises(Unsupported, match=f"no adapter for {venue.value}"):
        open_broker(configured(f"{venue.value}.testnet.main"), clock=ManualClock(NOW))
    with pytest.raises(Unsupported, match="bybit"):
        capabilities(venue)


def test_products_that_the_venue_lacks() -> None:
    with pytest.raises(Unsupported, match="equity"):
        open_broker(configured("bybit.testnet.main", products=frozenset({ProductKind.EQUITY})), clock=ManualClock(NOW))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"read_timeout_s": 0}, "read_timeout_s"),
        ({"write_timeout_s": 61}, "write_timeout_s"),
        ({"products": frozenset()}, "products"),
        ({"settle_currencies": ("usdt",)}, "usdt"),
    ],
)
def test_limits_of_a_configuration(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        configured("bybit.testnet.main", **changes)


def test_secrets_are_never_shown() -> None:
    config = configured("bybit.testnet.main")
    broker = open_broker(config, clock=ManualClock(NOW))
    assert isinstance(broker, BybitBroker)
    for thing in (config, broker, broker._client, dataclasses.replace(config, host="demo")):
        assert API_SECRET not in repr(thing) and API_KEY not in repr(thing)
    assert len(config.key_fingerprint) == 16 and config.key_fingerprint not in API_KEY
    broker.close()


def test_the_row_of_bybit() -> None:
    assert Venue.BYBIT in supported_venues() and list(supported_venues()) == sorted(supported_venues())
    row = capabilities(Venue.BYBIT)
    assert row.identity[ProductKind.LINEAR].id_scope == "permanent"
    assert row.identity[ProductKind.SPOT].id_scope == "open_only"
    for identity in row.identity.values():
        assert 0 < identity.deadline_s_max <= 5 and identity.visibility_horizon_s == 60 and identity.proof
        assert identity.acknowledges_asynchronously and identity.client_id_length_max == 36
    assert {host.environment for host in row.hosts} == {Environment.TESTNET, Environment.PRODUCTION}
    assert len({host.base_url for host in row.hosts}) == len(row.hosts)
    assert all(host.base_url.startswith("https://") for host in row.hosts)
    shown = row.as_json()
    assert json.loads(json.dumps(shown)) == shown and shown["products"] == ["linear", "spot"]


def test_the_row_of_tradestation() -> None:
    row = capabilities(Venue.TRADESTATION)
    assert row.products == {ProductKind.EQUITY, ProductKind.FUTURE} and row.settle_currencies == ("USD",)
    for identity in row.identity.values():
        assert identity.id_scope == "none" and identity.deadline_s_max == 0 and not identity.lookup_by_client_id
        assert identity.client_id_length_max == 22 and not identity.orders_show_client_id and identity.proof
    assert (row.cash_events, row.sets_leverage, row.fills_are_totals) == (False, False, True)
    assert row.access.needs_login and row.access.names_account and not row.access.needs_secret
    hosts = {host.environment: host.base_url for host in row.hosts}
    assert hosts == {
        Environment.TESTNET: "https://sim-api.tradestation.com",
        Environment.PRODUCTION: "https://api.tradestation.com",
    }
    assert json.loads(json.dumps(row.as_json())) == row.as_json()


def test_a_key_that_reaches_one_account_names_none() -> None:
    with pytest.raises(EnvironmentMismatch, match=r"venue_account of .* must be left out"):
        open_broker(configured("bybit.testnet.main", venue_account="123"), clock=ManualClock(NOW))
    with pytest.raises(ValueError, match="letters and digits"):
        configured("tradestation.testnet.main", venue_account="12-3")


def test_a_passphrase_is_given_exactly_where_keys_have_one() -> None:
    with pytest.raises(EnvironmentMismatch, match=r"api_passphrase of bybit\.testnet\.main must be left out"):
        open_broker(configured("bybit.testnet.main", api_passphrase=SecretStr("a-phrase")), clock=ManualClock(NOW))
    config = configured("okx.testnet.main", api_passphrase=SecretStr("a-phrase"))
    require_secrets(config, needs_passphrase=True)
    assert "a-phrase" not in repr(config)
    for phrase in ("", "  ", "****", "two\nlines"):
        with pytest.raises(EnvironmentMismatch, match=r"api_passphrase of okx\.testnet\.main"):
            require_secrets(dataclasses.replace(config, api_passphrase=SecretStr(phrase)), needs_passphrase=True)


def test_opening_makes_no_request_and_identity_needs_none() -> None:
    with open_broker(configured("bybit.production.main"), clock=ManualClock(NOW)) as broker:
        assert broker.identity(InstrumentId("BTC/USDT")).id_scope == "open_only"
        assert broker.identity(InstrumentId("BTC/USDT:USDT")).id_scope == "permanent"


def test_a_dead_man_switch_that_we_cannot_make_act_is_refused_and_says_why() -> None:
    """Setting Bybit's time window over REST alone would protect nothing: it acts on the loss of a websocket."""
    assert not capabilities(Venue.BYBIT).dead_man.is_armed_by_us
    broker = open_broker(configured("bybit.simulated.main", base_url="http://127.0.0.1:9"), clock=ManualClock(NOW))
    with broker, pytest.raises(Unsupported, match="private websocket"):
        broker.arm_dead_man(30)


@pytest.mark.parametrize(
    ("account", "told"),
    [("okx.testnet.main", "of okx spares the orders of others"), ("alpaca.testnet.main", "of alpaca does not exist")],
)
def test_a_word_about_a_switch_that_needs_none_is_refused(account: str, told: str) -> None:
    passphrase = {"api_passphrase": SecretStr("phrase")} if account.startswith("okx") else {}
    config = configured(account, dead_man_may_cancel_all_orders=True, **passphrase)
    with pytest.raises(EnvironmentMismatch, match=f"must be left out: the dead-man switch {told}"):
        open_broker(config, clock=ManualClock(NOW))


def test_a_host_without_a_documented_websocket_has_no_switch() -> None:
    agreed = configured("bybit.production.main", host="nl", dead_man_may_cancel_all_orders=True)
    with pytest.raises(Unsupported, match=r"no private websocket is documented for Bybit's host 'nl'"):
        open_broker(agreed, clock=ManualClock(NOW))
    open_broker(dataclasses.replace(agreed, host="eu"), clock=ManualClock(NOW)).close()


# -- venues that are read symbol by symbol ----------------------------------------------------------------------
def by_instrument(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bybit as a venue whose orders and fills are shown by symbol only."""
    row = registry.entry(Venue.BYBIT)
    facts = dataclasses.replace(row.capabilities, reads_by_instrument=True)
    monkeypatch.setitem(registry._ENTRIES, Venue.BYBIT, dataclasses.replace(row, capabilities=facts))


def test_a_venue_that_is_read_by_symbol_needs_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = configured("bybit.testnet.main", instruments=(InstrumentId("BTC/USDT"),))
    with pytest.raises(EnvironmentMismatch, match=r"instruments of bybit.testnet.main must be left out"):
        open_broker(listed, clock=ManualClock(NOW))
    by_instrument(monkeypatch)
    open_broker(listed, clock=ManualClock(NOW)).close()
    with pytest.raises(EnvironmentMismatch, match=r"instruments of bybit.testnet.main is empty.*name those"):
        open_broker(configured("bybit.testnet.main"), clock=ManualClock(NOW))


def test_an_instrument_is_listed_once() -> None:
    with pytest.raises(ValueError, match="named once"):
        configured("bybit.testnet.main", instruments=(InstrumentId("BTC/USDT"), InstrumentId("BTC/USDT")))


def test_an_order_outside_of_the_list_is_refused() -> None:
    listed = configured("bybit.testnet.main", instruments=(InstrumentId("BTC/USDT"),))
    require_listed(listed, InstrumentId("BTC/USDT"))
    with pytest.raises(InvalidOrder, match=r"instrument ETH/USDT must be among the instruments.*add it there"):
        require_listed(listed, InstrumentId("ETH/USDT"))


def test_other_urls_belong_to_the_host_and_a_simulator_has_one_address() -> None:
    facts = dataclasses.replace(
        capabilities(Venue.BYBIT),
        hosts=(Host("testnet", Environment.TESTNET, "https://spot.test", {"futures": "https://futures.test"}),),
    )
    where = {"host": "", "base_url": "http://127.0.0.1:1"}
    assert facts.other_url("futures", environment=Environment.TESTNET, **where) == "https://futures.test"
    assert facts.other_url("futures", environment=Environment.SIMULATED, **where) == "http://127.0.0.1:1"
    assert json.loads(json.dumps(facts.as_json()))["hosts"][0]["other_urls"] == {"futures": "https://futures.test"}


def test_the_feed_of_wallet_changes_depends_on_the_products_where_only_some_have_one() -> None:
    facts = dataclasses.replace(
        capabilities(Venue.BYBIT), cash_events=False, cash_event_products=frozenset({ProductKind.LINEAR})
    )
    assert facts.of_products(frozenset({ProductKind.LINEAR})).cash_events
    assert not facts.of_products(frozenset({ProductKind.LINEAR, ProductKind.SPOT})).cash_events
    assert capabilities(Venue.BYBIT).of_products(frozenset({ProductKind.SPOT})).cash_events
