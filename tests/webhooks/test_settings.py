"""What the receiver is started with, and with what it does not start."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.main import main
from ledger.inbox_values import QueueLimits
from webhooks.addresses import SenderList, address, is_local, network
from webhooks.reasons import ReceiverReason as R
from webhooks.server import bind
from webhooks.settings import TRADINGVIEW_ADDRESSES, Limits, ReceiverRefused, listening


def refused(**options: object) -> ReceiverRefused:
    with pytest.raises(ReceiverRefused) as caught:
        listening(**{"host": "127.0.0.1", "port": 5004, **options})  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.1.2.3", "203.0.113.7"])
def test_beyond_this_machine_it_listens_only_behind_a_proxy_or_with_a_list(host: str) -> None:
    error = refused(host=host)
    assert (error.reason, error.field, error.value) == (R.NOT_PROTECTED, "--host", host)
    assert "--behind-proxy" in error.remedy and "--allow" in error.remedy
    assert listening(host=host, port=1, proxies=("10.0.0.1",)).senders.allowed is not None
    assert listening(host=host, port=1, allowed=("tradingview",)).senders.proxies == ()


def test_tradingviews_addresses_are_the_list_unless_one_is_given() -> None:
    def allowed(**options: object) -> list[str] | None:
        senders = listening(**{"host": "127.0.0.1", "port": 1, **options}).senders  # type: ignore[arg-type]
        return None if senders.allowed is None else [str(each.network_address) for each in senders.allowed]

    assert allowed() is None, "plain loopback: whoever is on this machine"
    assert allowed(proxies=("127.0.0.1",)) == list(TRADINGVIEW_ADDRESSES)
    assert allowed(host="0.0.0.0", proxies=("10.0.0.1",)) == list(TRADINGVIEW_ADDRESSES)
    assert allowed(allowed=("tradingview", "198.51.100.0/24")) == [*TRADINGVIEW_ADDRESSES, "198.51.100.0"]
    assert allowed(proxies=("127.0.0.1",), allowed=("anyone",)) is None


@pytest.mark.parametrize(
    "options, field",
    [
        ({"host": "localhost"}, "--host"),
        ({"host": "127.0.0.1:5004"}, "--host"),
        ({"port": 65_536}, "--port"),
        ({"allowed": ("tradingview.com",)}, "--allow"),
        ({"proxies": ("tradingview",)}, "--behind-proxy"),
        ({"proxies": ("10.0.0.0/33",)}, "--behind-proxy"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(options: dict[str, object], field: str) -> None:
    error = refused(**options)
    assert (error.reason, error.field) == (R.SETTING_REFUSED, field)
    assert error.value in str(error)


def test_limits_are_positive_and_rise() -> None:
    for each in fields(Limits):
        with pytest.raises(ReceiverRefused, match=each.name):
            Limits(**{each.name: 0})
    with pytest.raises(ReceiverRefused, match="must rise"):
        Limits(commit_s_max=2.6)
    with pytest.raises(ReceiverRefused, match="must rise"):
        Limits(head_s_max=2.6)
    assert Limits().request_s_max < 3, "TradingView waits no longer"
    assert Limits().backlog_new_max == QueueLimits().rows_new_max
    assert Limits().disk_free_bytes_min == QueueLimits().disk_free_bytes_min


def test_an_address_that_is_taken_is_named() -> None:
    with bind(listening(host="127.0.0.1", port=0)) as bound:
        bound.listen()
        port = bound.getsockname()[1]
        with pytest.raises(ReceiverRefused, match="cannot listen on") as caught:
            bind(listening(host="127.0.0.1", port=port))
    assert (caught.value.reason, caught.value.value) == (R.PORT_TAKEN, str(port))


def test_the_command_refuses_in_one_panel(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALGOTRENDY_LEDGER_URL", f"sqlite:///{tmp_path / 'never.db'}")
    assert main(["receive", "--host", "0.0.0.0"]) == 3
    told = capsys.readouterr().err
    assert "RECEIVER_NOT_PROTECTED" in told and "--behind-proxy" in told
    assert not (tmp_path / "never.db").exists(), "nothing was opened"


# -- addresses --------------------------------------------------------------------------------------------------
PROXIES = SenderList(allowed=None, proxies=(network("127.0.0.1"), network("10.0.0.0/8")))
REAL = "52.89.214.238"


@pytest.mark.parametrize(
    "peer, forwarded, sender",
    [
        (REAL, [], REAL),
        (REAL, ["203.0.113.1"], REAL),  # no proxy of ours: what it says is not believed
        ("127.0.0.1", [REAL], REAL),
        ("127.0.0.1", [f"203.0.113.1, {REAL}"], REAL),  # only what the proxy appended is true
        ("127.0.0.1", [f"{REAL}, 10.0.0.9"], REAL),  # two proxies of ours, one behind the other
        ("127.0.0.1", ["203.0.113.1", REAL], REAL),  # the header twice
        ("127.0.0.1", [f"::ffff:{REAL}"], REAL),
        ("::ffff:127.0.0.1", [REAL], REAL),
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["10.1.1.1"], "10.1.1.1"),
        ("127.0.0.1", [f"{REAL}, nonsense"], None),
        ("127.0.0.1", [f"{REAL},"], None),
        ("127.0.0.1", [f"{REAL}:443"], None),
        ("", [], None),
    ],
)
def test_the_sender_is_the_last_hop_that_a_proxy_of_ours_saw(
    peer: str, forwarded: list[str], sender: str | None
) -> None:
    found = PROXIES.sender(peer, forwarded)
    assert (None if found is None else str(found)) == sender


@settings(max_examples=50)
@given(st.ip_addresses(v=4).map(str), st.lists(st.text(max_size=40), max_size=4))
def test_what_a_stranger_writes_never_changes_who_it_is(peer: str, forwarded: list[str]) -> None:
    nobody = SenderList(allowed=None)
    assert nobody.sender(peer, forwarded) == address(peer)
    last = PROXIES.sender("127.0.0.1", [*forwarded, REAL])
    assert str(last) == REAL


def test_only_a_program_on_this_machine_is_local() -> None:
    assert is_local("127.0.0.1", [b"host"]) and is_local("::1", [])
    assert not is_local("127.0.0.1", [b"x-forwarded-for"]), "a proxy asks for somebody else"
    assert not is_local("10.0.0.1", []) and not is_local("", [])
