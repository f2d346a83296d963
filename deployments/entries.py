"""Entries of prefect.yaml for one more account, or those that one lacks, made from those of an account that has them.

Text is added and nothing else is touched, so that comments and anchors stay. The file is read strictly as a whole
before it is replaced: it is never left half right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile
from textwrap import dedent, indent
from typing import Any

from brokers.capabilities import Capabilities
from brokers.ids import AccountId, Environment
from brokers.registry import capabilities
from brokers.strictjson import encode
from deployments.manifest import FILE, Deployment, Manifest, ManifestRefused, load

_PLAIN = re.compile(r"[A-Za-z]+([-/_][A-Za-z0-9]+)+", re.ASCII)
_LEVERAGE_FLOW = "flows.set_leverage.set_leverage"


def add_account(account: AccountId, *, portfolio: str = "", file: Path = FILE, is_dry: bool = False) -> str:
    """Add every job that the account's venue can do and that it has not; return the text that was (or would be) added.

    Jobs that need a portfolio are added only with one. Raises ManifestRefused when the account has them all or there is
    no account to learn from, and Unsupported for a venue without an adapter.
    """
    manifest = load(file)
    name = account_name(account)
    has = {deployment.entrypoint for deployment in manifest.deployments if deployment.account == name}
    models = [model for model in _models(manifest, account.environment) if model.entrypoint not in has]
    entries = list(_entries(models, account, portfolio))
    if not entries:
        raise ManifestRefused(f"{file.name} has every entry of {name} already; edit or remove those")
    text = f"  # {'-' * 64} {name}\n" + "\n".join(_rendered(entry) for entry in entries)
    text = indent(dedent(text), _indentation(file))
    if not is_dry:
        _append(file, text)
    return text


def _indentation(file: Path) -> str:
    """How far the entries of the file stand to the right."""
    found = re.findall(r"^( *)- name: ", file.read_text(encoding="utf-8"), re.MULTILINE)
    return str(found[-1]) if found else "  "


def account_name(account: AccountId) -> str:
    """The block's name of an account: venue-environment-name."""
    return f"{account.venue.value}-{account.environment.value}-{account.name}"


def _models(manifest: Manifest, environment: Environment) -> list[Deployment]:
    """The entries of the first account of the environment."""
    own = [deployment for deployment in manifest.of((environment,)) if deployment.account]
    if not own:
        raise ManifestRefused(f"no account of {environment.value} has entries that could be copied")
    return [deployment for deployment in own if deployment.account == own[0].account]


def _entries(models: Iterable[Deployment], account: AccountId, portfolio: str) -> Iterable[Deployment]:
    facts = capabilities(account.venue)
    for model in models:
        if not _is_possible(model, facts) or ("portfolio" in model.parameters and not portfolio):
            continue
        yield _renamed(model, account, portfolio)


def _is_possible(model: Deployment, facts: Capabilities) -> bool:
    return facts.sets_leverage or model.entrypoint != _LEVERAGE_FLOW


def _renamed(model: Deployment, account: AccountId, portfolio: str) -> Deployment:
    known, name = model.account, account_name(account)
    venue = known.split("-")[0]
    parameters = {**model.parameters, "account": name}
    if portfolio and "portfolio" in parameters:
        parameters["portfolio"] = portfolio
    return model.model_copy(
        update={
            "name": model.name.removesuffix(known) + name,
            "tags": tuple(account.venue.value if tag == venue else tag for tag in model.tags),
            "parameters": parameters,
        }
    )


def _rendered(entry: Deployment) -> str:
    limit = entry.concurrency_limit
    lines = [
        f"  - name: {entry.name}",
        f"    entrypoint: {entry.entrypoint}",
        *([f"    description: {encode(entry.description)}"] if entry.description else []),
        f"    tags: [{', '.join(entry.tags)}]",
        f"    work_pool: {{name: {entry.environment.value}}}",
        f"    concurrency_limit: {{limit: {limit.limit}, collision_strategy: {limit.collision_strategy}}}",
        f"    parameters: {_flow(entry.parameters)}",
    ]
    if entry.schedules:
        lines.append("    schedules:")
    for schedule in entry.schedules:
        fields: dict[str, Any] = {
            "slug": schedule.slug,
            "cron": schedule.cron,
            "timezone": schedule.timezone,
            "active": schedule.active,
        }
        if schedule.parameters:
            fields["parameters"] = dict(schedule.parameters)
        lines.append(f"      - {_flow(fields)}")
    return "\n".join(lines) + "\n"


def _flow(value: object) -> str:
    """A value in YAML's flow style: JSON, with the keys bare as in the rest of the file."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    is_plain = isinstance(value, str) and _PLAIN.fullmatch(value)  # with a dash inside, so never a YAML boolean
    return str(value) if is_plain else encode(value)


def _append(file: Path, text: str) -> None:
    whole = file.read_text(encoding="utf-8").rstrip("\n") + "\n\n" + text
    with NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, suffix=file.suffix, delete=False) as draft:
        draft.write(whole)
    try:
        load(Path(draft.name))
        os.replace(draft.name, file)
    finally:
        Path(draft.name).unlink(missing_ok=True)
