"""What people do with the queue: put back, dismiss, restart, tokens, configuration, looking, keeping, copying."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from brokers.ids import Environment
from ledger import moving
from ledger.auditing import verify_audit
from ledger.engine import Ledger
from ledger.errors import AlertNotMoved
from ledger.inbox import AlertStore, LaneState
from ledger.inbox_config import AlertConfigs
from ledger.inbox_tokens import ActiveTokens, AlertTokens
from ledger.invariants import check_ledger
from tests.ledger.inbox_scene import ACCOUNT, START, S, Scene, read

SECRET = "s" * 43


def links(ledger: Ledger) -> int:
    """How many links the alerts' chain has; the audit must be whole."""
    with ledger.read() as session:
        report = verify_audit(session)
    assert report.findings == []
    return report.heads.get("alerts", (0, ""))[0]


# -- putting back -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("state", [S.REFUSED, S.NEEDS_HUMAN])
def test_what_ended_badly_is_queued_again_under_its_key_and_number(scene: Scene, state: S) -> None:
    first, behind = scene.queue(key="k", ttl_s=60), scene.queue(ttl_s=None)
    old = scene.claim()
    scene.store.finish(old, state, reason="TEST")
    scene.pass_s(3_600)
    assert scene.store.revive(first, by="ann", reason="the limit is raised") is S.QUEUED
    alert = scene.store.show(first)
    assert (alert.dedupe_key, alert.lane_seq, alert.attempts, alert.finished_at) == ("k", 1, 0, None)
    assert alert.expires_at == scene.clock.now() + timedelta(seconds=60)
    claim = scene.claim()
    assert (claim.alert_id, claim.epoch) == (first, 3)
    assert not scene.store.heartbeat(old)
    scene.store.finish(claim, S.PLACED, reason="TEST")
    assert scene.claim().alert_id == behind
    event = scene.store.events(first)[-3]
    assert (event.worker, event.reason, event.detail) == ("person:ann", "ALERT_REVIVED", "the limit is raised")
    assert links(scene.ledger) == 1


@pytest.mark.parametrize("state", [S.POISON, S.REFUSED])
def test_what_never_had_a_lane_is_read_again(scene: Scene, state: S) -> None:
    number = scene.queue(key="k", state=state, reason="TEST")
    assert scene.store.revive(number, by="ann", reason="the route is there now") is S.NEW

    def routed(alert: object) -> object:
        return read_as_queued(alert)

    assert scene.store.admit(routed, worker="r") == 1  # type: ignore[arg-type]
    assert scene.claim().alert_id == number


def read_as_queued(alert: object) -> object:
    from dataclasses import replace

    return replace(read(alert), state=S.QUEUED)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", [S.PLACED, S.NOTHING_TO_DO, S.EXPIRED, S.DUPLICATE, S.CONFLICT])
def test_other_ends_are_final(scene: Scene, state: S) -> None:
    number = scene.queue()
    scene.store.finish(scene.claim(), state, reason="TEST")
    with pytest.raises(AlertNotMoved, match=f"alert {number} is {state} and cannot be put back"):
        scene.store.revive(number, by="ann", reason="again")
    assert links(scene.ledger) == 0


def test_a_person_is_named_and_says_why(scene: Scene) -> None:
    number = scene.queue()
    for act in (scene.store.revive, scene.store.dismiss):
        with pytest.raises(ValueError, match="by must say something"):
            act(number, by=" ", reason="r")
        with pytest.raises(ValueError, match="reason must say something"):
            act(number, by="ann", reason="")
        with pytest.raises(LookupError, match="no alert 99"):
            act(99, by="ann", reason="r")
    with pytest.raises(LookupError, match="no lane x"):
        scene.store.restart_lane("x", by="ann", reason="r")
    with pytest.raises(AlertNotMoved, match="is running: only a lane that stands still"):
        scene.store.restart_lane(f"{ACCOUNT}|AAPL", by="ann", reason="r")


# -- dismissing -------------------------------------------------------------------------------------------------
def test_what_needs_a_person_can_be_dismissed_and_its_lane_goes_on(scene: Scene) -> None:
    number, behind = scene.queue(ttl_s=None), scene.queue(ttl_s=None)
    scene.store.finish(scene.claim(), S.NEEDS_HUMAN, reason="TEST")
    scene.store.dismiss(number, by="ann", reason="closed by hand")
    alert = scene.store.show(number)
    assert (alert.state, alert.reason, alert.detail) == (S.REFUSED, "ALERT_DISMISSED", "closed by hand")
    assert alert.finished_at is not None
    assert scene.claim().alert_id == behind
    with scene.ledger.read() as session:
        assert [str(finding) for finding in check_ledger(session)] == [f"I12 alert {behind} came to rest as working"]


def test_only_what_nobody_worked_on_can_be_dismissed_in_the_queue(scene: Scene) -> None:
    first, second = scene.queue(ttl_s=None), scene.queue(ttl_s=None)
    claim = scene.claim()
    with pytest.raises(AlertNotMoved, match=r"is working \(epoch 1\)"):
        scene.store.dismiss(first, by="ann", reason="r")
    scene.store.dismiss(second, by="ann", reason="r")
    assert scene.store.heartbeat(claim)
    scene.store.finish(claim, S.WAITING, reason="TEST")
    with pytest.raises(AlertNotMoved, match="is waiting"):
        scene.store.dismiss(first, by="ann", reason="r")
    scene.pass_s(1)
    scene.store.finish(scene.claim(), S.PLACED, reason="TEST")
    assert scene.store.claim(worker="w") is None


# -- looking ----------------------------------------------------------------------------------------------------
def test_the_backlog_says_what_waits_and_what_asks_for_a_person(scene: Scene) -> None:
    empty = scene.store.backlog()
    assert (empty.open, empty.oldest_age_s, empty.stopped_lanes) == (0, 0.0, ())
    placed = scene.queue(symbol="A")
    scene.store.finish(scene.claim(), S.PLACED, reason="TEST")
    scene.queue(symbol="A", ttl_s=None)
    scene.pass_s(7)
    scene.queue(symbol="B", ttl_s=None)
    scene.claim()
    scene.send(salt="new")
    scene.queue(state=S.POISON, reason="TEST")
    scene.send(salt="new 2")
    backlog = scene.store.backlog()
    assert backlog.counts == {S.WORKING: 1, S.QUEUED: 2, S.POISON: 1, S.NEW: 1}
    assert (backlog.open, backlog.oldest_age_s) == (4, 7.0)
    assert placed not in [alert.alert_id for alert in scene.store.list(states=[S.QUEUED, S.WORKING])]


def test_alerts_are_listed_newest_first_and_page_by_page(scene: Scene) -> None:
    for symbol in ("A", "B", "A"):
        scene.queue(symbol=symbol)
    scene.send(source="other", salt=1)
    store = scene.store
    assert [alert.alert_id for alert in store.list(limit=3)] == [4, 3, 2]
    assert [alert.alert_id for alert in store.list(before_id=2)] == [1]
    assert [alert.alert_id for alert in store.list(source="other")] == [4]
    assert [alert.alert_id for alert in store.list(account_id=ACCOUNT)] == [3, 2, 1]
    assert [alert.alert_id for alert in store.list(lane=f"{ACCOUNT}|A")] == [3, 1]
    assert [lane.lane for lane in store.lanes(state=LaneState.RUNNING)] == [f"{ACCOUNT}|A", f"{ACCOUNT}|B"]
    for limit in (0, 501):
        with pytest.raises(ValueError, match=f"limit must be from 1 to 500, was {limit}"):
            store.list(limit=limit)
    with pytest.raises(LookupError, match="no alert 5"):
        store.show(5)


# -- keeping ----------------------------------------------------------------------------------------------------
def test_raw_bytes_are_kept_for_ninety_days_and_keys_for_ever(scene: Scene) -> None:
    old = scene.queue(key="k", salt="")
    scene.store.finish(scene.claim(), S.PLACED, reason="TEST")
    waits = scene.queue(ttl_s=None)
    scene.pass_s(90 * 86_400 + 1)
    young = scene.queue(state=S.REFUSED, reason="TEST")
    assert scene.store.retain() == 1
    assert scene.store.retain() == 0
    alert = scene.store.show(old)
    assert (alert.raw, alert.raw_kept, alert.parsed != "") == (b"", False, True)
    assert scene.store.show(waits).raw_kept and scene.store.show(young).raw_kept
    assert scene.store.show(scene.queue(key="k", salt="")).duplicate_of == old


def test_many_old_alerts_are_emptied_step_by_step(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ledger.inbox_keeping.STEP", 2)
    for number in range(5):
        scene.queue(salt=number, state=S.REFUSED, reason="TEST")
    assert scene.store.retain(START + timedelta(days=91)) == 5
    with pytest.raises(AlertNotMoved, match="its raw bytes are no longer kept"):
        scene.store.revive(3, by="ann", reason="r")


def test_a_queue_moves_with_its_ledger(scene: Scene, tmp_path: Path) -> None:
    first = scene.queue(key="k", salt="", ttl_s=None)
    second = scene.queue(ttl_s=None)
    scene.claim()
    url = f"sqlite:///{tmp_path / 'copy.db'}"
    with Ledger.open(url, environment=Environment.SIMULATED, clock=scene.clock, begins_audit=False) as copy:
        rows = moving.copy_ledger(scene.ledger, copy)
        assert (rows["inbox"], rows["lane"], rows["alert_key"], rows["inbox_event"]) == (2, 1, 1, 3)
        moved = Scene(copy, scene.clock)
        scene.pass_s(16)
        assert moved.claim().alert_id == first
        assert moved.store.show(moved.queue(key="k", salt="")).duplicate_of == first
        assert moved.send(salt="next").alert_id == second + 2


# -- tokens -----------------------------------------------------------------------------------------------------
@pytest.fixture
def tokens(open_queue: Callable[..., Ledger]) -> AlertTokens:
    return AlertTokens(open_queue())


def test_a_token_is_shown_once_and_kept_as_a_hash(tokens: AlertTokens) -> None:
    secret = tokens.add_token("tv", by="ann")
    assert len(secret) >= 43
    assert tokens.matches(secret) == "tv"
    assert tokens.matches(secret + "x") is None and tokens.matches("") is None and tokens.matches("é☃") is None
    token = tokens.tokens("tv")[0]
    assert (token.source, token.created_by, token.retired_at) == ("tv", "ann", None)
    assert secret not in repr(token)


def test_a_token_is_changed_without_a_gap(tokens: AlertTokens) -> None:
    old, new = tokens.add_token("tv", by="ann"), tokens.add_token("tv", by="ann", secret=SECRET)
    assert new == SECRET and tokens.matches(old) == tokens.matches(new) == "tv"
    with pytest.raises(AlertNotMoved, match="source tv has 2 active tokens: retire one first"):
        tokens.add_token("tv", by="ann")
    assert tokens.add_token("other", by="ann")
    tokens.retire_token("tv", tokens.tokens("tv")[0].token_sha256[:12], by="bob", reason="changed")
    assert (tokens.matches(old), tokens.matches(new)) == (None, "tv")
    retired = tokens.tokens("tv")[0]
    assert (retired.created_by, retired.retired_by, retired.retired_at is not None) == ("ann", "bob", True)
    assert tokens.add_token("tv", by="ann")


def test_a_token_is_used_once_and_never_again(tokens: AlertTokens) -> None:
    tokens.add_token("tv", by="ann", secret=SECRET)
    for source in ("tv", "other"):
        with pytest.raises(AlertNotMoved, match="was used before"):
            tokens.add_token(source, by="ann", secret=SECRET)
    with pytest.raises(ValueError, match="at least 43 characters, had 5"):
        tokens.add_token("tv", by="ann", secret="short")
    with pytest.raises(AlertNotMoved, match="0 active tokens of tv begin with 'zz'"):
        tokens.retire_token("tv", "zz", by="ann", reason="r")
    for words in ({"source": "", "by": "ann"}, {"source": "tv", "by": ""}):
        with pytest.raises(ValueError, match="must say something"):
            tokens.add_token(**words)


def test_every_token_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    from ledger.inbox_tokens import _sha256

    compared: list[str] = []
    whole = hmac.compare_digest

    def count(known: str, presented: str) -> bool:
        compared.append(known)
        return whole(known, presented)

    monkeypatch.setattr("ledger.inbox_tokens.hmac.compare_digest", count)
    active = ActiveTokens({_sha256(f"{n}"): f"s{n}" for n in range(5)})
    assert active.matches("0") == "s0" and len(compared) == 5
    assert active.matches("none") is None and len(compared) == 10


# -- configuration ----------------------------------------------------------------------------------------------
def test_the_newest_configuration_counts(open_queue: Callable[..., Ledger]) -> None:
    ledger = open_queue()
    configs = AlertConfigs(ledger)
    assert configs.current_config() is None
    first = configs.apply_config("a: 1", by="ann", expected=0)
    assert configs.apply_config("a: 1", by="bob") == first  # nothing changed: no new version
    second = configs.apply_config("a: 2", by="bob", expected=1)
    assert (first.version, second.version, second.applied_by) == (1, 2, "bob")
    assert configs.current_config() == second
    back = configs.apply_config("a: 1", by="ann")
    assert configs.config_versions() == (back, second, first) and back.sha256 == first.sha256
    with pytest.raises(AlertNotMoved, match="version 3 counts by now, and 2 did when it was looked at"):
        configs.apply_config("a: 3", by="ann", expected=2)
    with pytest.raises(ValueError, match="body must say something"):
        configs.apply_config("", by="ann")
    AlertTokens(ledger).add_token("tv", by="ann")
    assert links(ledger) == 4


def test_the_store_knows_its_ledger_and_limits(scene: Scene) -> None:
    store = AlertStore(scene.ledger)
    assert store.ledger is scene.ledger and store.limits.rows_new_max == 50_000
