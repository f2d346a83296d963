"""Ids made again from nothing, in every rendering, and recognised again."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brokers.capabilities import OrderIdentity
from brokers.ids import AccountId, ClientOrderId, IntentId
from tests.trading.orders.modelled import CLASSES
from trading.orders.identity import Mark, is_ours, make_client_order_id, make_intent_id, read_mark, render

BASE = CLASSES["permanent"]
HEX = BASE
UUID = replace(BASE, client_id_alphabet="uuid")
BASE62 = replace(BASE, client_id_length_max=22, client_id_alphabet="[A-Za-z0-9]")
LOCAL = replace(BASE, client_id_length_max=0, client_id_alphabet="")
ACCOUNT = AccountId.parse("bybit.simulated.main")


def make(identity: OrderIdentity, *, attempt: int = 1, tag: int = 0xBEEF, is_production: bool = False) -> ClientOrderId:
    intent = make_intent_id(ACCOUNT, "rebalance 2026-01-02 leg 1")
    return make_client_order_id(intent, attempt=attempt, tag=tag, is_production=is_production, identity=identity)


def test_an_intent_id_is_a_function_of_account_and_key() -> None:
    first = make_intent_id(ACCOUNT, "k")
    assert first == make_intent_id(ACCOUNT, "k")
    assert first != make_intent_id(ACCOUNT, "l")
    assert first != make_intent_id(AccountId.parse("bybit.simulated.other"), "k")
    assert re.fullmatch(r"[0-9a-f]{32}", str(first))
    with pytest.raises(ValueError, match="business_key"):
        make_intent_id(ACCOUNT, " ")


@pytest.mark.parametrize(
    ("identity", "form"),
    [
        (HEX, r"beef01[0-9a-f]{26}"),
        (UUID, r"beef01[0-9a-f]{2}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        (BASE62, r"[0-9A-Za-z]{22}"),
        (LOCAL, r"beef01[0-9a-f]{26}"),
    ],
)
def test_each_venue_gets_a_form_that_it_takes(identity: OrderIdentity, form: str) -> None:
    client_order_id = make(identity)
    assert re.fullmatch(form, str(client_order_id))
    assert make(identity) == client_order_id
    mark = read_mark(str(client_order_id))
    assert mark is not None
    assert (mark.tag, mark.is_production, mark.attempt) == (0xBEEF, False, 1)


def test_attempt_and_pool_show_in_the_id_and_nothing_else_changes() -> None:
    first, second, live = make(HEX), make(HEX, attempt=2), make(HEX, is_production=True)
    marks = [read_mark(str(i)) for i in (first, second, live)]
    assert all(mark is not None for mark in marks)
    assert {mark.digest for mark in marks if mark} == {marks[0].digest}  # type: ignore[union-attr]
    assert [(mark.attempt, mark.is_production) for mark in marks if mark] == [(1, False), (2, False), (1, True)]


def test_ours_is_what_carries_our_tag() -> None:
    assert is_ours(make(HEX), 0xBEEF)
    assert is_ours(str(make(BASE62)), 0xBEEF)
    assert not is_ours(make(HEX), 0xBEE0)
    assert not is_ours(None, 0xBEEF)
    for foreign in ("", "web-order-1", "x" * 32, "1609920528435648000", "beef00" + "0" * 26, "z" * 22):
        assert not is_ours(foreign or None, 0xBEEF)


def test_a_venue_that_cannot_carry_128_bits_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        make(replace(BASE, client_id_length_max=18))
    with pytest.raises(ValueError, match="at least 32"):
        make(replace(BASE, client_id_length_max=36, client_id_alphabet="[0-9]"))


@pytest.mark.parametrize(("tag", "attempt"), [(-1, 1), (1 << 16, 1), (1, 0), (1, 128)])
def test_a_mark_has_bounds(tag: int, attempt: int) -> None:
    with pytest.raises(ValueError, match="must"):
        Mark(tag, False, attempt, 0)


@given(
    tag=st.integers(0, 0xFFFF),
    is_production=st.booleans(),
    attempt=st.integers(1, 127),
    digest=st.integers(0, (1 << 104) - 1),
    identity=st.sampled_from([HEX, UUID, BASE62]),
)
def test_every_mark_survives_every_rendering(
    tag: int, is_production: bool, attempt: int, digest: int, identity: OrderIdentity
) -> None:
    mark = Mark(tag, is_production, attempt, digest)
    assert read_mark(render(mark.number, identity)) == mark


@given(st.text(min_size=1, max_size=30).filter(str.strip), st.text(min_size=1, max_size=30).filter(str.strip))
def test_different_keys_give_different_ids(one: str, other: str) -> None:
    ids = [make_intent_id(ACCOUNT, key) for key in (one, other)]
    assert (ids[0] == ids[1]) == (one == other)
    rendered = {
        str(make_client_order_id(IntentId(str(i)), attempt=a, tag=1, is_production=False, identity=HEX))
        for i in ids
        for a in (1, 2)
    }
    assert len(rendered) == (2 if one == other else 4)
