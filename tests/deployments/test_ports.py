"""Ports that are chosen before their server listens: nobody may be given one of them in between."""

from __future__ import annotations

import socket

from deployments import ports


def test_ports_lie_where_the_system_gives_none_by_itself() -> None:
    found = ports.pick(8)
    with socket.create_server(("127.0.0.1", 0)) as given:
        begin = 32_768 if given.getsockname()[1] >= 32_768 else 0
    assert len(set(found)) == 8 and all(ports.is_free(port) for port in found)
    assert not begin or all(ports.LOWEST <= port < begin for port in found)


def test_a_preferred_port_is_kept_where_it_is_free() -> None:
    (known,) = ports.pick(1)
    assert ports.pick(2, preferred=(known,))[0] == known
    with socket.create_server(("127.0.0.1", known)):
        other, another = ports.pick(2, preferred=(known, known))
    assert known not in (other, another) and other != another


def test_where_that_range_is_unknown_or_begins_too_low_any_port_will_do(tmp_path, monkeypatch) -> None:
    low = tmp_path / "range"
    low.write_text("1024\t60999\n")
    monkeypatch.setattr(ports, "_RANGE", low)
    assert len(set(ports.pick(3))) == 3
    monkeypatch.setattr(ports, "_RANGE", tmp_path / "nowhere")
    assert all(ports.LOWEST <= port < 32_768 for port in ports.pick(3))
