"""Deposits and withdrawals of the spot wallet: read by name where the environment has them, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from brokers.binance import wallet
from brokers.binance.adapter import BinanceBroker
from brokers.binance.client import DEPOSITS, WITHDRAWALS
from brokers.clock import SystemClock, epoch_ms
from brokers.errors import AnswerUnreadable, VenueFaulted
from brokers.factory import open_broker
from brokers.ids import AccountId
from brokers.types import CashEventKind, ProductKind
from tests.brokers.binance.conftest import SPOT, config_at, opened, says
from tests.brokers.loopback import Loopback, Request

NOW = datetime.now(UTC).replace(microsecond=0)
SPOT_ONLY = {"products": frozenset({ProductKind.SPOT}), "instruments": (SPOT,)}
DEPOSIT: dict[str, Any] = {  # the response example of "Deposit History", with times of today
    "id": "769800519366885376",
    "amount": "0.001",
    "coin": "BNB",
    "network": "BNB",
    "status": 1,
    "address": "bnb136ns6lfw4zs5hg4n85vdthaad7hq5m4gtkgf23",
    "addressTag": "101764890",
    "txId": "98A3EA560C6B3336D348B6C83F0F95ECE4F1F5919E94BD006E5BF3BF264FACFC",
    "insertTime": epoch_ms(NOW - timedelta(hours=3)),
    "completeTime": epoch_ms(NOW - timedelta(minutes=30)),
    "transferType": 0,
    "confirmTimes": "1/1",
    "unlockConfirm": 0,
    "walletType": 0,
}
WITHDRAWAL: dict[str, Any] = {  # the response example of "Withdraw History", with times of today
    "id": "b6ae22b3aa844210a7041aee7589627c",
    "amount": "8.91000000",
    "transactionFee": "0.004",
    "coin": "USDT",
    "status": 6,
    "address": "0x94df8b352de7f46f64b01d3666bf6e936e44ce60",
    "txId": "0xb5ef8c13b968a406cc62a93a8bd80f9e9a906ef1b3fcf20a2e48573c17659268",
    "applyTime": f"{NOW - timedelta(hours=2):%Y-%m-%d %H:%M:%S}",
    "network": "ETH",
    "transferType": 0,
    "walletType": 0,
    "completeTime": f"{NOW - timedelta(minutes=20):%Y-%m-%d %H:%M:%S}",
}


def read(broker: BinanceBroker) -> list[tuple[str, CashEventKind, str, Decimal, datetime]]:
    found = broker.partial_cash_events(since=NOW - timedelta(hours=1), until=NOW + timedelta(minutes=1))
    return [(event.event_id, event.kind, event.currency, event.amount, event.time) for event in found]


def told(venue: Loopback, deposits: Any = (), withdrawals: Any = ()) -> Any:
    venue.on(DEPOSITS, says(list(deposits)))
    venue.on(WITHDRAWALS, says(list(withdrawals)))
    with opened(venue.url, **SPOT_ONLY) as broker:
        return read(broker)


def test_each_is_told_when_it_is_complete_however_early_it_was_announced(venue: Loopback) -> None:
    paid = -(Decimal("8.91") + Decimal("0.004"))
    assert told(venue, [DEPOSIT], [WITHDRAWAL]) == [
        (f"deposit:{DEPOSIT['id']}", CashEventKind.DEPOSIT, "BNB", Decimal("0.001"), NOW - timedelta(minutes=30)),
        (f"withdrawal:{WITHDRAWAL['id']}", CashEventKind.WITHDRAWAL, "USDT", paid, NOW - timedelta(minutes=20)),
    ]
    (asked,) = venue.to(DEPOSITS)
    assert int(asked.query["startTime"]) <= epoch_ms(NOW - timedelta(days=7)), "it was announced before the window"
    assert {request.method for request in (*venue.to(DEPOSITS), *venue.to(WITHDRAWALS))} == {"GET"}


def test_what_is_under_way_or_over_without_a_move_or_of_another_wallet_is_not_told(venue: Loopback) -> None:
    pending = [{**DEPOSIT, "status": status} for status in (0, 2, 7, 8)]
    elsewhere = [{**DEPOSIT, "walletType": 1}, {**DEPOSIT, "status": 6, "completeTime": None}]
    assert told(venue, [*pending, *elsewhere], [{**WITHDRAWAL, "status": n} for n in range(6)]) == []
    credited = {**DEPOSIT, "status": 6, "id": "7"}
    del credited["walletType"]
    assert [event[0] for event in told(venue, [credited])] == ["deposit:7"]
    early = {**DEPOSIT, "completeTime": epoch_ms(NOW - timedelta(minutes=61))}
    assert told(venue, [early]) == []


@pytest.mark.parametrize(
    ("deposit", "withdrawal"),
    [
        ({"status": 9}, {}),
        ({"status": ""}, {}),
        ({"id": ""}, {}),
        ({"amount": ""}, {}),
        ({"coin": None}, {}),
        ({}, {"status": 7}),
        ({}, {"completeTime": ""}),
        ({}, {"completeTime": "yesterday"}),
        ({}, {"amount": "much"}),
    ],
)
def test_what_is_not_as_documented_is_unreadable(venue: Loopback, deposit: Any, withdrawal: Any) -> None:
    with pytest.raises(AnswerUnreadable):
        told(venue, [{**DEPOSIT, **deposit}], [{**WITHDRAWAL, **withdrawal}])


def test_lists_are_read_to_their_end_and_one_that_fails_is_no_empty_one(
    venue: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wallet, "PAGE_SIZE", 2)
    rows = [{**DEPOSIT, "id": str(number)} for number in range(5)]

    def page(request: Request, sock: Any) -> bool:
        start = int(request.query["offset"])
        return says(rows[start : start + 2])(request, sock)

    venue.on(DEPOSITS, page)
    venue.on(WITHDRAWALS, says([]))
    with opened(venue.url, **SPOT_ONLY) as broker:
        assert len(read(broker)) == 5
        venue.on(WITHDRAWALS, says({"code": -1000, "msg": "busy"}, 500))
        with pytest.raises(VenueFaulted):
            read(broker)


def test_a_host_without_the_wallet_tells_nothing_and_a_test_network_is_not_asked(venue: Loopback) -> None:
    with opened(venue.url, **SPOT_ONLY) as broker:
        assert read(broker) == []  # HTTP 404
    asked = len(venue.to(DEPOSITS))
    own = replace(config_at(venue.url, **SPOT_ONLY), account_id=AccountId.parse("binance.testnet.main"), base_url=None)
    with open_broker(own, clock=SystemClock()) as testnet:
        assert isinstance(testnet, BinanceBroker) and read(testnet) == []
    assert asked == len(venue.to(DEPOSITS)) == 1
