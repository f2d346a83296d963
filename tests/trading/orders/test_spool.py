"""One file that cannot be read stops neither the other answers nor the sweep."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.trading.orders.conftest import Want
from tests.trading.orders.modelled import START, ModelVenue
from trading.orders.desk import OrderDesk
from trading.orders.spool import Spool, Spooled


def answer(venue: ModelVenue, intent_id: str) -> Spooled:
    return Spooled(
        account_id=str(venue.account_id),
        intent_id=intent_id,
        client_order_id="c",
        send_id="c-1",
        outcome="unknown",
        status=200,
        code="",
        text="x | y",
        raw="",
        observed_at=START,
    )


def spoiled(entry: Spooled, **changes: object) -> bytes:
    return json.dumps({**asdict(entry), "observed_at": entry.observed_at.isoformat()} | changes).encode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{}",
        b'{"observed_at": 5}',
        b'{"observed_at": "2026-01-01T00:00:00+00:00"}',
        b'{"observed_at": "2026-01-01T00:00:00+00:00", "unknown": 1}',
    ],
)
def test_an_unreadable_answer_is_set_aside_and_reported(
    desk: OrderDesk, want: Want, venue: ModelVenue, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    intent_id = str(desk.submit(want()).intent_id)
    folder = desk._ctx.spool.folder
    desk._ctx.spool.append(answer(venue, intent_id))
    (folder / "00.json").write_bytes(body)
    (folder / "zz.json").write_bytes(body)
    with caplog.at_level(logging.ERROR):
        assert desk.sweep().spooled == 1
    assert sorted(path.name for path in folder.iterdir()) == ["00.bad", "zz.bad"]
    assert (folder / "00.bad").read_bytes() == body
    assert [record.getMessage().count(".bad") for record in caplog.records] == [1, 1]
    assert desk.sweep().spooled == 0


@pytest.mark.parametrize("change", [{"observed_at": "2026-01-01T00:00:00"}, {"outcome": 5}, {"status": "200"}])
def test_values_of_another_kind_are_unreadable(tmp_path: Path, venue: ModelVenue, change: dict[str, object]) -> None:
    (tmp_path / "one.json").write_bytes(spoiled(answer(venue, "i"), **change))
    assert list(Spool(tmp_path).entries()) == []
    assert (tmp_path / "one.bad").exists()


def test_an_answer_that_another_process_took_is_passed_over(
    tmp_path: Path, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path)
    paths = [spool.append(answer(venue, intent_id)) for intent_id in ("one", "two")]
    found = spool.entries()
    (first, _) = next(found)
    paths.remove(first)
    paths[0].unlink()
    assert list(found) == []


def test_what_the_disk_does_not_give_is_tried_again(
    tmp_path: Path, venue: ModelVenue, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(tmp_path)
    path = spool.append(answer(venue, "i"))
    with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
        patched.setattr(Path, "read_bytes", lambda self: (_ for _ in ()).throw(OSError(5, "Input/output error")))
        assert list(spool.entries()) == []
    assert "tried again" in caplog.text
    assert [found for found, _ in spool.entries()] == [path]
