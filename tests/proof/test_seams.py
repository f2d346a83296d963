"""Below the tasks nothing asks the machine for time, chance or ids: a seed could not replay a history otherwise."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
AMBIENT = """
import time, random, secrets, uuid, os, threading, asyncio
from datetime import date, datetime
from uuid import uuid4
seen = [time.time(), random.random(), secrets.token_hex(), uuid4(), uuid.uuid1(), os.urandom(4)]
seen += [datetime.now(), datetime.utcnow(), datetime.today(), date.today(), threading.Timer, threading.Thread, asyncio]
"""


def banned_in(name: str) -> set[str]:
    """What the lint says of the snippet if it stood in the file `name`."""
    command = [sys.executable, "-m", "ruff", "check", "--select", "TID251", "--output-format", "concise", "-"]
    done = subprocess.run([*command, "--stdin-filename", name], input=AMBIENT, cwd=ROOT, text=True, capture_output=True)
    return set(re.findall(r"TID251 `(\S+)` is banned", done.stdout))


def test_every_ambient_source_is_refused_below_the_tasks() -> None:
    banned = set(
        tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["flake8-tidy-imports"][
            "banned-api"
        ]
    )
    for room in ("brokers", "ledger", "trading"):
        assert banned_in(f"{room}/orders/new.py") == banned - {"concurrent.futures"}, room


def test_only_the_seams_are_exempt() -> None:
    ignores = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]["per-file-ignores"]
    exempt = {name for name, rules in ignores.items() if "TID251" in rules and not name.endswith("/**")}
    assert exempt == {
        "brokers/clock.py",
        "brokers/sockets.py",
        "ledger/auditing.py",
        "ledger/control_file.py",
        "ledger/inbox_tokens.py",
        "ledger/migrate.py",
        "trading/arming/people.py",
        "trading/killing.py",
        "trading/runtime.py",
    }
    assert banned_in("brokers/clock.py") == set()
