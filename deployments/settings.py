"""The Prefect settings of our stacks, measured (docs/operator.md says what each is for)."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from cryptography.fernet import Fernet

from deployments.home import Addresses, Home

HEARTBEAT_S = 30
WORKER_POLL_S = 1


def base_environment(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without Prefect settings, profiles, proxies and our own variables.

    A profile or a variable of the person who starts the stack must not point a worker at another server.
    """
    source = os.environ if environ is None else environ
    ours = ("PREFECT_", "ORION_", "ALGOTRENDY_")
    proxies = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}
    kept = {k: v for k, v in source.items() if not k.startswith(ours) and k.lower() not in proxies}
    # Every job is a new process: without its cache of compiled modules each start costs four seconds more.
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    # The worker starts jobs with `python`: it must be this one, whatever PATH says.
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", os.defpath)))
    return kept


def client_settings(home: Home, *, api_url: str) -> dict[str, str]:
    """What every Prefect process of the stack needs to find the server and to keep results out of it."""
    return {
        "PREFECT_HOME": str(home.prefect),
        "PREFECT_API_URL": api_url,
        "PREFECT_CLI_PROMPT": "false",
        "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
        "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PREFECT_WORKER_QUERY_SECONDS": str(WORKER_POLL_S),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        # "Finished in state Completed()" a hundred times hides what a job says; the list of tasks names each of them.
        "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
        "NO_PROXY": "127.0.0.1,localhost",
    }


def server_settings(home: Home, addresses: Addresses) -> dict[str, str]:
    """The server's own: loopback only, one origin, a quick recorder, an encryption key kept outside its database."""
    return {
        **client_settings(home, api_url=addresses.api_url),
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(addresses.prefect_port),
        "PREFECT_SERVER_CORS_ALLOWED_ORIGINS": f"http://127.0.0.1:{addresses.prefect_port}",
        "PREFECT_SERVER_ENCRYPTION_KEY": encryption_key(home),
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "1",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def encryption_key(home: Home) -> str:
    """The key that encrypts blocks, made once; without it the server would keep its key beside what it encrypts."""
    file = home.encryption_key_file
    if not file.exists():
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as sink:
            sink.write(Fernet.generate_key().decode())
    return file.read_text().strip()
