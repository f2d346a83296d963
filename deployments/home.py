"""One folder holds everything that a local stack writes: Prefect's home, ledgers, logs, reports, secrets, addresses.

The folder is `.algotrendy` beside the project, or what ALGOTRENDY_HOME names. It is ignored by git and may be deleted
while no stack runs; a ledger in it is the record of what was traded, so deleting it is a decision.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from brokers.ids import Environment, Venue

HOME_VARIABLE = "ALGOTRENDY_HOME"
API_VARIABLE = "PREFECT_API_URL"
PROJECT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Home:
    """The folder and the names of what is in it."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        """ALGOTRENDY_HOME where set, else `.algotrendy` in the project."""
        named = os.environ.get(HOME_VARIABLE, "")
        return cls(Path(named).resolve() if named else PROJECT / ".algotrendy")

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def addresses_file(self) -> Path:
        return self.root / "stack.json"

    @property
    def encryption_key_file(self) -> Path:
        return self.secrets / "prefect-encryption.key"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def key_registry(self) -> Path:
        """Which account uses which API key: one file for all environments of this installation."""
        return self.root / "secrets" / "key-registry.json"

    def ledger_url(self, environment: Environment) -> str:
        """Each environment has a ledger of its own."""
        return f"sqlite:///{self.root / 'ledger' / f'{environment.value}.db'}"

    def control_file(self, environment: Environment) -> Path:
        """Beside the environment's ledger: where a desk looks that was told nothing else."""
        return self.root / "ledger" / f"{environment.value}.db.control.json"

    def prepare(self) -> None:
        """Make the folders, readable by the owner only."""
        for folder in (self.root, self.prefect, self.logs, self.reports, self.root / "ledger", self.secrets):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running stack listens; kept in stack.json so that other commands find it and restarts keep the ports."""

    prefect_port: int
    simulator_ports: Mapping[str, int]  # of each simulated venue, by its name
    supervisor_pid: int = 0  # 0: not running
    pools: tuple[str, ...] = field(default_factory=tuple)
    receiver_port: int = 0  # of alerts for the first pool

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}/api"

    @property
    def ui_url(self) -> str:
        return f"http://127.0.0.1:{self.prefect_port}/v2"

    @property
    def receiver_url(self) -> str:
        return f"http://127.0.0.1:{self.receiver_port}"

    @property
    def simulators(self) -> Mapping[Venue, str]:
        """Each simulated venue's address."""
        return {Venue(name): f"http://127.0.0.1:{port}" for name, port in self.simulator_ports.items()}

    def write(self, file: Path) -> None:
        """Replace the file in one step."""
        fresh = file.with_suffix(".json.new")
        fresh.write_text(json.dumps(asdict(self), indent=2) + "\n")
        fresh.replace(file)

    @classmethod
    def read(cls, file: Path) -> Addresses | None:
        """What was written last; None where nothing was, or where it is not ours to read."""
        try:
            stored = json.loads(file.read_text())
            return cls(**{**stored, "pools": tuple(stored.get("pools", ()))})
        except (FileNotFoundError, json.JSONDecodeError, TypeError, AttributeError):
            return None


def running_stack(home: Home) -> Addresses | None:
    """Where the folder's stack listens, if its supervisor lives."""
    import psutil

    addresses = Addresses.read(home.addresses_file)
    if addresses is None or not addresses.supervisor_pid or not psutil.pid_exists(addresses.supervisor_pid):
        return None
    return addresses
