"""Open what a job works with, after every guard against a mix-up of environments.

The process learns its environment from its work pool. An account of another environment is refused before its
credentials are read, before the ledger is opened and before any request.
"""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from brokers.clock import Clock, SystemClock
from brokers.config import AccountConfig
from brokers.factory import open_broker
from brokers.ids import Environment
from brokers.port import Broker
from ledger.control_file import ControlFile
from ledger.engine import Ledger
from tasks.config import Account, require_environment
from tasks.keys import KeyRegistry, require_key_unused
from trading.arming import ArmingGuard, arming_key
from trading.arming.people import secrets_folder as named_folder
from trading.code_hash import code_sha256
from trading.orders import OrderDesk
from trading.runtime import Runtime


def worker_name() -> str:
    """Who holds a lease: host, process and a random part, so that a reused process id is another worker."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def open_guarded(
    connection: AccountConfig, *, key_registry: Path, clock: Clock, secrets_folder: Path | None = None
) -> Broker:
    """The account's broker, after its key was found to be its own; no request is made.

    The configuration is checked first: a mistyped credential must not be registered. `secrets_folder` is where tokens
    of a login lie; the folder that the work pool names where none is given.
    """
    folder = connection.secrets_folder or secrets_folder or named_folder()
    broker = open_broker(replace(connection, secrets_folder=folder), clock=clock)
    try:
        KeyRegistry(key_registry).register(connection)
    except BaseException:
        broker.close()
        raise
    return broker


def arming_guard(account: Account, environment: Environment, folder: Path | None = None) -> ArmingGuard | None:
    """What this process checks armings with; None where none is needed. `folder` is where the secrets lie."""
    if environment is not Environment.PRODUCTION and not account.policy.arming_required:
        return None
    return ArmingGuard(key=arming_key(folder or named_folder(), environment), code_sha256=code_sha256())


@contextmanager
def open_runtime(
    account: Account,
    *,
    environment: Environment,
    ledger_url: str,
    key_registry: Path,
    pool: str = "",
    clock: Clock | None = None,
    control_file: Path | None = None,
    dry_run: bool = False,
    secrets_folder: Path | None = None,
    shared: Ledger | None = None,
) -> Iterator[Runtime]:
    """Broker, ledger and order desk of one account, closed at the end. No request is made here.

    With `dry_run` the desk sends nothing: orders end with their payload on record. `shared` is the ledger at that URL
    where the caller has opened it, and stays open: several accounts of one process then take turns in memory.

    Raises EnvironmentMismatch (also for credentials, keys and hosts) and the ledger's own errors.
    """
    require_environment(account.account_id, environment)
    used, worker = clock or SystemClock(), worker_name()
    with ExitStack() as stack:
        broker = stack.enter_context(
            open_guarded(account.connection, key_registry=key_registry, clock=used, secrets_folder=secrets_folder)
        )
        ledger = shared or stack.enter_context(Ledger.open(ledger_url, environment=environment))
        require_key_unused(ledger, account.connection)
        desk = OrderDesk(
            ledger=ledger,
            broker=broker,
            clock=used,
            policy=account.policy,
            worker=worker,
            pool=pool,
            control_file=ControlFile(control_file) if control_file is not None else None,
            dry_run=dry_run,
            arming=arming_guard(account, environment, secrets_folder),
        )
        yield Runtime(account_id=account.account_id, ledger=ledger, broker=broker, desk=desk, clock=used, worker=worker)
