"""Entries for one more account: what is added is what the first account has, and the file stays whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from brokers.errors import Unsupported
from brokers.ids import AccountId
from cli.main import app
from deployments import entries
from deployments.entries import add_account
from deployments.manifest import FILE, Deployment, ManifestRefused, load

TRADESTATION = AccountId.parse("tradestation.testnet.mine")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The shipped file, cut to the head, two jobs of the first account of testnet and those with a special rule."""
    data = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    kept = ("set-leverage-", "rebalance-bybit", "sweep-account-", "check-account-", "arm-production-")
    data["deployments"] = [
        d for d in data["deployments"] if d["work_pool"]["name"] == "testnet" and d["name"].startswith(kept)
    ]
    path = tmp_path / "prefect.yaml"
    path.write_text("# kept as it is\n" + yaml.safe_dump(data, sort_keys=False))
    return path


def of(file: Path, account: str) -> dict[str, Deployment]:
    return {d.entrypoint: d for d in load(file).deployments if d.account == account}


def test_each_job_of_the_first_account_is_added_as_it_is_but_for_the_name(file: Path) -> None:
    before = file.read_text()
    text = add_account(AccountId.parse("bybit.testnet.second"), portfolio="majors", file=file)
    assert file.read_text() == before.rstrip("\n") + "\n\n" + text
    first, second = of(file, "bybit-testnet-main"), of(file, "bybit-testnet-second")
    assert first.keys() == second.keys() and len(second) == 5
    for entrypoint, entry in second.items():
        model = first[entrypoint]
        assert entry.name == model.name.replace("-main", "-second")
        same = {"name", "parameters"}
        assert entry.model_dump(exclude=same) == model.model_dump(exclude=same)
    rebalance = second["flows.rebalance.rebalance"]
    assert dict(rebalance.parameters) == {"account": "bybit-testnet-second", "portfolio": "majors"}


def test_what_the_venue_cannot_do_and_what_needs_a_portfolio_is_left_out(file: Path) -> None:
    add_account(TRADESTATION, file=file)
    jobs = of(file, "tradestation-testnet-mine")
    left_out = of(file, "bybit-testnet-main").keys() - jobs.keys()
    assert left_out == {"flows.set_leverage.set_leverage", "flows.rebalance.rebalance"}
    assert all("tradestation" in job.tags and "bybit" not in job.tags for job in jobs.values())


def test_nothing_is_changed_when_it_is_only_shown_or_refused(file: Path) -> None:
    before = file.read_bytes()
    assert "sweep-account-tradestation-testnet-mine" in add_account(TRADESTATION, file=file, is_dry=True)
    with pytest.raises(ManifestRefused, match="has every entry of bybit-testnet-main already"):
        add_account(AccountId.parse("bybit.testnet.main"), file=file)
    with pytest.raises(Unsupported, match="no adapter"):
        add_account(AccountId.parse("kraken.testnet.main"), file=file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_an_account_with_some_jobs_gets_those_that_it_lacks(file: Path) -> None:
    whole = file.read_text()
    add_account(TRADESTATION, file=file)
    everything = of(file, "tradestation-testnet-mine")
    file.write_text(whole)
    data = yaml.safe_load(whole)
    only = everything["flows.check_account.check_account"].model_dump(mode="json", exclude_defaults=True)
    file.write_text(yaml.safe_dump({**data, "deployments": [*data["deployments"], only]}, sort_keys=False))
    text = add_account(TRADESTATION, file=file)
    assert "check-account" not in text and "sweep-account-tradestation-testnet-mine" in text
    assert of(file, "tradestation-testnet-mine") == everything


def test_a_draft_that_does_not_pass_is_thrown_away(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()
    monkeypatch.setattr(entries, "_flow", lambda value: "{account: tradestation-testnet-mine, seconds: [soon]}")
    with pytest.raises(ManifestRefused, match="seconds"):
        add_account(TRADESTATION, file=file)
    assert file.read_bytes() == before
    assert list(file.parent.iterdir()) == [file]


def test_the_command_adds_and_says_what_comes_next(file: Path) -> None:
    result = CliRunner().invoke(app, ["deployments", "add", "tradestation-testnet-mine", "--file", str(file)])
    assert result.exit_code == 0, result.output
    assert "3 jobs of tradestation-testnet-mine added" in result.output
    assert len(of(file, "tradestation-testnet-mine")) == 3
