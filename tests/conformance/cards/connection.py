"""Connection and environment: what `connect` proves, and what is refused before any request."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from pydantic import SecretStr

from brokers.clock import SystemClock
from brokers.errors import (
    AuthenticationRefused,
    BrokerError,
    ClockSkewed,
    EnvironmentMismatch,
    NotSent,
    Refused,
    Unsupported,
)
from brokers.factory import base_url_of, open_broker
from brokers.ids import AccountId, Environment, Venue
from brokers.types import ProductKind
from tests.conformance.capability import Capability as C
from tests.conformance.card import Where, card
from tests.conformance.scene import Scene
from tests.conformance.venue import KeyKind

SECOND = timedelta(seconds=1)


@card(
    "CONN-PROOF-01",
    C.CONNECTION,
    given="a key that may trade",
    does="connect",
    expects="the account, the host and the key's fingerprint; it may trade and may not withdraw; no order request left",
    where=Where.ACCOUNT,
)
def connect_proves_the_account(scene: Scene) -> None:
    proof = scene.broker.connect()
    assert proof.account_id == scene.broker.account_id and proof.venue_account
    assert proof.can_trade and not proof.can_withdraw
    assert len(proof.key_fingerprint) == 16 and proof.host.startswith(("http://127.0.0.1:", "https://"))
    assert scene.broker.order_requests_sent == 0


@card(
    "CONN-MARGIN-MODE-01",
    C.MARGIN_MODE,
    given="an account in a margin mode that the venue offers",
    does="connect",
    expects="the proof names that mode, one of those in the row of facts",
    where=Where.ACCOUNT,
)
def connect_reads_the_margin_mode(scene: Scene) -> None:
    assert scene.broker.connect().margin_mode in scene.venue.capabilities.margin_modes


@card(
    "CONN-CLOCK-01",
    C.CLOCK,
    given="a venue whose clock agrees with ours",
    does="read its clock",
    expects="an offset within the reading's own error, which is below a second",
    where=Where.ACCOUNT,
)
def the_clock_is_read_with_its_error(scene: Scene) -> None:
    reading = scene.broker.clock_reading()
    assert reading.error <= SECOND and abs(reading.offset) <= reading.error + 2 * SECOND


@card(
    "CONN-CLOCK-02",
    C.CLOCK,
    given="a venue whose clock is 30 s behind",
    does="read an account, then the clock, then the account again",
    expects="ClockSkewed at most before the reading; an offset of -30 s; an answer after it",
    where=Where.ACCOUNT,
    levers=True,
)
def a_clock_that_is_off_is_compensated(scene: Scene) -> None:
    scene.control.set_skew(skew_ms=-30_000)
    try:
        scene.broker.balances()
    except ClockSkewed as error:
        assert error.retryable
    reading = scene.broker.clock_reading()
    assert abs(reading.offset + timedelta(seconds=30)) <= reading.error + SECOND
    assert scene.broker.balances()


@card(
    "CONN-CLOSE-01",
    C.CONNECTION,
    given="a broker that was closed",
    does="read its balances",
    expects="NotSent or another BrokerError, and no request reaches the venue",
    where=Where.ACCOUNT,
    levers=True,
)
def nothing_leaves_after_close(scene: Scene) -> None:
    scene.broker.connect()
    scene.broker.close()
    before = scene.request_count
    with pytest.raises(BrokerError):
        scene.broker.balances()
    assert scene.request_count == before


@card(
    "CONN-SECRETS-01",
    C.CONNECTION,
    given="an account's broker and its configuration",
    does="print both",
    expects="neither text shows the key or the secret",
    where=Where.ACCOUNT,
    levers=True,
)
def nothing_printed_shows_a_secret(scene: Scene) -> None:
    config = scene.config
    shown = f"{config!r} {scene.broker!r} {vars(scene.broker)!r} {scene.broker.connect()!r}"
    for secret in (config.api_key, config.api_secret):
        assert secret.get_secret_value() not in shown


@card(
    "CONN-HOST-01",
    C.CONNECTION,
    given="the venue's production and testnet hosts",
    does="ask for the address of an account of each environment",
    expects="each environment has hosts, all https; none is in two, unless each request names its environment",
    where=Where.ACCOUNT,
)
def hosts_belong_to_one_environment(scene: Scene) -> None:
    hosts = scene.venue.capabilities.hosts
    by_environment = {e: {host.base_url for host in hosts if host.environment is e} for e in Environment}
    assert by_environment[Environment.PRODUCTION] and by_environment[Environment.TESTNET]
    shared = by_environment[Environment.PRODUCTION] & by_environment[Environment.TESTNET]
    assert not shared or scene.venue.hosts_are_shared
    assert all(host.base_url.startswith("https://") for host in hosts)


@card(
    "CONN-HOST-02",
    C.CONNECTION,
    given="a simulated account",
    does="open it at the venue's production host, at another loopback scheme, and at no address",
    expects="EnvironmentMismatch each time, and nothing is opened",
    where=Where.ACCOUNT,
    levers=True,
)
def a_simulated_account_reaches_loopback_only(scene: Scene) -> None:
    production = scene.venue.capabilities.host(environment=Environment.PRODUCTION).base_url
    for url in (production, "https://127.0.0.1:1", "http://10.0.0.1:80", ""):
        with pytest.raises(EnvironmentMismatch, match=r"base_url|host"):
            open_broker(replace(scene.config, base_url=url), clock=scene.clock)


@card(
    "CONN-HOST-03",
    C.CONNECTION,
    given="an account of testnet and one of production",
    does="give them an address, and name each other's host",
    expects="EnvironmentMismatch each time",
    where=Where.ACCOUNT,
    levers=True,
)
def environments_do_not_mix(scene: Scene) -> None:
    facts = scene.venue.capabilities
    for own, other in (
        (Environment.TESTNET, Environment.PRODUCTION),
        (Environment.PRODUCTION, Environment.TESTNET),
    ):
        account = AccountId(Venue(scene.venue.name), own, "main")
        config = replace(scene.config, account_id=account)
        with pytest.raises(EnvironmentMismatch):
            open_broker(config, clock=SystemClock())  # the simulator's address
        foreign = facts.host(environment=other).name
        with pytest.raises(EnvironmentMismatch):
            base_url_of(replace(config, base_url="", host=foreign))


@card(
    "CONN-SECRETS-02",
    C.CONNECTION,
    given="a key or a secret that is empty, masked or has blanks",
    does="open the account",
    expects="EnvironmentMismatch that names the field, and no request",
    where=Where.ACCOUNT,
    levers=True,
)
def masked_secrets_are_refused(scene: Scene) -> None:
    before = scene.request_count
    for bad in ("********", " padded ", "two words\n"):
        for name in ("api_key", "api_secret"):
            with pytest.raises(EnvironmentMismatch, match=name):
                open_broker(replace(scene.config, **{name: SecretStr(bad)}), clock=scene.clock)
    with pytest.raises(EnvironmentMismatch, match="api_key"):
        open_broker(replace(scene.config, api_key=SecretStr("")), clock=scene.clock)
    assert scene.request_count == before


@card(
    "CONN-PRODUCT-01",
    C.CONNECTION,
    given="products that the venue does not offer",
    does="open an account with them",
    expects="Unsupported that lists what it offers",
    where=Where.ACCOUNT,
    levers=True,
)
def products_that_are_not_there(scene: Scene) -> None:
    absent = frozenset(ProductKind) - scene.venue.capabilities.products
    assert absent, "a venue with every product needs no such card"
    with pytest.raises(Unsupported, match="offers"):
        open_broker(replace(scene.config, products=absent), clock=scene.clock)


def _key(kind: KeyKind, name: str, given: str, expects: str, where: Where = Where.ACCOUNT):  # type: ignore[no-untyped-def]
    return card(name, C.CONNECTION, given=given, does="connect", expects=expects, where=where, levers=True, key=kind)


@_key(
    KeyKind.UNKNOWN, "CONN-KEY-01", "a key that the venue does not know", "EnvironmentMismatch or AuthenticationRefused"
)
def an_unknown_key(scene: Scene) -> None:
    with pytest.raises((EnvironmentMismatch, AuthenticationRefused)):
        scene.as_key(KeyKind.UNKNOWN).connect()


@_key(
    KeyKind.WRONG_SECRET,
    "CONN-KEY-02",
    "a key with another secret",
    "AuthenticationRefused, and its text shows neither",
)
def a_wrong_secret(scene: Scene) -> None:
    with pytest.raises(AuthenticationRefused) as caught:
        scene.as_key(KeyKind.WRONG_SECRET).connect()
    assert scene.config.api_secret.get_secret_value() not in f"{caught.value} {caught.value.text}"


@_key(
    KeyKind.READ_ONLY,
    "CONN-KEY-03",
    "a key that may not trade",
    "can_trade is False, and an order ends in Refused",
    Where.ACCOUNT,
)
def a_key_that_may_not_trade(scene: Scene) -> None:
    broker = scene.as_key(KeyKind.READ_ONLY)
    assert not broker.connect().can_trade
    with pytest.raises((Refused, NotSent)):
        broker.place(broker.prepare_order(scene.request(), scene.new_id()), scene.ticket())
    assert scene.control.orders(scene.owner) == []


@_key(
    KeyKind.CAN_WITHDRAW, "CONN-KEY-04", "a key that may withdraw", "can_withdraw is True, so that the operator is told"
)
def a_key_that_may_withdraw(scene: Scene) -> None:
    assert scene.as_key(KeyKind.CAN_WITHDRAW).connect().can_withdraw


@_key(KeyKind.EXPIRED, "CONN-KEY-05", "a key that is over", "AuthenticationRefused")
def an_expired_key(scene: Scene) -> None:
    with pytest.raises(AuthenticationRefused):
        scene.as_key(KeyKind.EXPIRED).connect()


@_key(KeyKind.BOUND_ELSEWHERE, "CONN-KEY-06", "a key that is bound to another address", "Refused, with the reason")
def a_key_of_another_address(scene: Scene) -> None:
    with pytest.raises(Refused) as caught:
        scene.as_key(KeyKind.BOUND_ELSEWHERE).connect()
    assert caught.value.reason
