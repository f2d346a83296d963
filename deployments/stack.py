"""The local stack: simulator, Prefect server, one worker per pool, everything registered; brought up and taken down.

What can start at the same time does. Whatever happens (a failure, Ctrl-C twice, SIGTERM, kill -9 of this process),
nothing that was started is left behind (deployments/processes.py).
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brokers.ids import Environment, Venue
from brokers.registry import supported_venues
from deployments import ports, settings
from deployments.home import HOME_VARIABLE, Addresses, Home
from deployments.processes import Child, StackFailed, Supervisor

SERVER_S_MAX = 120.0
SIMULATOR_S_MAX = 60.0
RECEIVER_S_MAX = 60.0
RECEIVER_PORT = 5004  # what the receiver listens on by itself
WORKER_S_MAX = 60.0
Say = Callable[[str], None]


def quiet(text: str) -> None:
    """The progress listener that says nothing."""


@dataclass(slots=True)
class Stack:
    """A running stack. Made by `running`; ends with it."""

    home: Home
    addresses: Addresses
    supervisor: Supervisor
    say: Say = quiet
    seconds: dict[str, float] = field(default_factory=dict)
    workers_started: int = 0

    def environment(self) -> dict[str, str]:
        """What a process needs to talk to this stack's Prefect server."""
        return {
            **settings.base_environment(),
            **settings.client_settings(self.home, api_url=self.addresses.api_url),
        }

    def control(
        self, name: str, *, post: Mapping[str, Any] | None = None, venue: str = Venue.BYBIT.value, **query: str
    ) -> Any:
        """Ask a simulator's control interface; numbers come as text."""
        return control(self.addresses.simulators[Venue(venue)], name, post=post, **query)

    def start_worker(self, pool: str, *, env: Mapping[str, str] | None = None, runs_max: int | None = None) -> Child:
        """Start a process worker of the pool, for `runs_max` runs at a time, and wait until the server knows it.

        Each has a name of its own: the server goes on calling an ended worker online for a while.
        """
        self.workers_started += 1
        worker = f"{pool}-{self.workers_started}"
        child = self.supervisor.start(
            f"worker-{worker}",
            [
                *(*_prefect(), "worker", "start", "--pool", pool, "--type", "process", "--name", worker),
                *(() if runs_max is None else ("--limit", str(runs_max))),
            ],
            env={**settings.client_settings(self.home, api_url=self.addresses.api_url), **(env or {})},
            cwd=self.home.root,
        )
        took = self.supervisor.wait_until(
            f"worker {worker}", lambda: worker in online_workers(self.addresses.api_url, pool), timeout_s=WORKER_S_MAX
        )
        self.seconds[f"worker {worker}"] = took
        self.say(f"worker {worker} is online ({took:.1f} s)")
        return child


@contextmanager
def running(
    home: Home,
    *,
    pools: tuple[Environment, ...] = (Environment.SIMULATED,),
    workers: bool = True,
    say: Say = quiet,
    handle_signals: bool = True,
    simulator_arguments: tuple[str, ...] = (),
    receiver_port: int = RECEIVER_PORT,
) -> Iterator[Stack]:
    """Bring the stack up, yield it, take it down. StackFailed says what did not come up and shows its log.

    The receiver listens on `receiver_port` if that is free (0: any), and where it listened last time in this folder.
    """
    home.prepare()
    with only_stack_of(home):
        previous = Addresses.read(home.addresses_file)
        addresses = Addresses(
            **_ports(previous, receiver_port=receiver_port),
            supervisor_pid=os.getpid(),
            pools=tuple(pool.value for pool in pools),
        )
        supervisor = Supervisor(logs=home.logs, env=settings.base_environment(), handle_signals=handle_signals)
        with supervisor:
            stack = Stack(home=home, addresses=addresses, supervisor=supervisor, say=say)
            try:
                _bring_up(stack, pools=pools, workers=workers, simulator_arguments=simulator_arguments)
                addresses.write(home.addresses_file)
                yield stack
            finally:
                replace(addresses, supervisor_pid=0).write(home.addresses_file)


def _ports(previous: Addresses | None, *, receiver_port: int) -> dict[str, Any]:
    """Ports to listen on: those of last time where they are free."""
    venues = [venue.value for venue in supported_venues()]
    preferred = [0, receiver_port, *(0 for _ in venues)]
    if previous is not None:
        known = previous.simulator_ports
        preferred = [previous.prefect_port, previous.receiver_port, *(known.get(venue, 0) for venue in venues)]
    prefect, receiver, *simulators = ports.pick(len(preferred), preferred=tuple(preferred))
    return {
        "prefect_port": prefect,
        "receiver_port": receiver,
        "simulator_ports": dict(zip(venues, simulators, strict=True)),
    }


@contextmanager
def only_stack_of(home: Home) -> Iterator[None]:
    """Refuse a second stack in the same folder; the lock ends with the process, however that ends."""
    import fcntl

    with (home.root / "stack.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = Addresses.read(home.addresses_file)
            where = f"; its UI is at {found.ui_url}" if found and found.supervisor_pid else ""
            raise StackFailed(f"a stack already runs in {home.root}{where}; stop it first (Ctrl-C there)") from None
        yield


def _bring_up(
    stack: Stack, *, pools: tuple[Environment, ...], workers: bool, simulator_arguments: tuple[str, ...]
) -> None:
    started = time.monotonic()
    stack.say("starting the Prefect server, the simulated venues and the receiver of alerts")
    _start_server(stack)
    _start_simulators(stack, simulator_arguments)
    receiver = _start_receiver(stack, pools[0])
    # The client takes seconds to import; the server takes more to start, so the import costs nothing here.
    from deployments import register

    disarm_production(stack.home, say=stack.say)
    _await_simulators(stack)
    _await_server(stack)
    began = time.monotonic()
    for line in register.everything(stack.home, stack.addresses, environments=pools):
        stack.say(line)
    stack.seconds["registration"] = time.monotonic() - began
    _await_receiver(stack, receiver, pools[0])
    if workers:
        for pool in pools:
            stack.start_worker(pool.value)
    stack.seconds["stack"] = time.monotonic() - started


def disarm_production(home: Home, *, say: Say = quiet) -> None:
    """Production starts disarmed: take back what was armed or asked for before this start, where there is a ledger."""
    url = home.ledger_url(Environment.PRODUCTION)
    if not Path(url.removeprefix("sqlite:///")).exists():
        return
    from ledger.arming import disarm_pool
    from ledger.engine import Ledger

    with Ledger.open(url, environment=Environment.PRODUCTION) as ledger, ledger.write() as session:
        pool = Environment.PRODUCTION.value
        if disarm_pool(session, pool, by="stack", reason="the stack was started", at=ledger.now(session)):
            say("production is disarmed: it was armed, or asked to be, before this start")


def _start_server(stack: Stack) -> None:
    port = str(stack.addresses.prefect_port)
    stack.supervisor.start(
        "prefect-server",
        [*_prefect(), "server", "start", "--host", "127.0.0.1", "--port", port],
        env=settings.server_settings(stack.home, stack.addresses),
        cwd=stack.home.root,
    )


def _start_simulators(stack: Stack, arguments: tuple[str, ...]) -> None:
    """All venues in one process: a third of the memory of a process for each, and a quarter of their time to start."""
    venues = [f"{name}:{port}" for name, port in stack.addresses.simulator_ports.items()]
    stack.supervisor.start("simulators", [sys.executable, "-m", "simulators", *venues, *arguments], cwd=stack.home.root)


def _start_receiver(stack: Stack, pool: Environment) -> Child:
    """The receiver of alerts, on the pool's ledger: it stores them, and whoever drains works on them."""
    port = str(stack.addresses.receiver_port)
    return stack.supervisor.start(
        "receiver",
        [sys.executable, "-m", "cli.main", "receive", "--environment", pool.value, "--port", port, "--quiet"],
        env={HOME_VARIABLE: str(stack.home.root)},
        cwd=stack.home.root,
    )


def _await_receiver(stack: Stack, receiver: Child, pool: Environment) -> None:
    """Until it says itself that it listens: another stack's receiver may have taken the port, and would answer too."""
    url = stack.addresses.receiver_url

    def listens() -> bool:
        return f"listening on {url}" in receiver.log_tail() and answers(f"{url}/health")

    took = stack.supervisor.wait_until("the receiver", listens, timeout_s=RECEIVER_S_MAX)
    stack.seconds["receiver"] = took
    stack.say(f"alerts for {pool.value} are received at {stack.addresses.receiver_url}")


def _await_simulators(stack: Stack) -> None:
    urls = stack.addresses.simulators
    health = [f"{url}/_control/health" for url in urls.values()]
    took = stack.supervisor.wait_until("the simulators", lambda: all(map(answers, health)), timeout_s=SIMULATOR_S_MAX)
    stack.seconds["simulators"] = took
    listed = ", ".join(f"{venue.value} at {url}" for venue, url in urls.items())
    stack.say(f"the simulated venues listen: {listed}")


def _await_server(stack: Stack) -> None:
    url = f"{stack.addresses.api_url}/health"
    took = stack.supervisor.wait_until("the Prefect server", lambda: answers(url), timeout_s=SERVER_S_MAX)
    stack.seconds["server"] = took
    stack.say(f"the Prefect server listens at {stack.addresses.ui_url}")


def _prefect() -> list[str]:
    """The command line of the same environment that runs this; never one that PATH finds."""
    return [sys.executable, "-m", "prefect"]


def answers(url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        with _open(urllib.request.Request(url)) as response:  # noqa: S310 - loopback addresses of our own
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def online_workers(api_url: str, pool: str) -> set[str]:
    """The names of the pool's workers that the server calls online."""
    request = urllib.request.Request(  # noqa: S310 - loopback address of our own
        f"{api_url}/work_pools/{pool}/workers/filter",
        data=b"{}",
        headers={"Content-Type": "application/json"},
    )
    try:
        with _open(request) as response:
            return {row["name"] for row in json.load(response) if row.get("status") == "ONLINE"}
    except (urllib.error.URLError, OSError):
        return set()


def control(simulator_url: str, name: str, *, post: Mapping[str, Any] | None = None, **query: str) -> Any:
    """Ask a simulator's control interface; StackFailed repeats its refusal."""
    address = f"{simulator_url}/_control/{name}"
    if query:
        address += "?" + "&".join(f"{key}={value}" for key, value in query.items())
    data = None if post is None else json.dumps(post).encode()
    request = urllib.request.Request(address, data=data, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with _open(request) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise StackFailed(f"the simulator refused {name}: {error.read().decode(errors='replace')}") from error


def _open(request: urllib.request.Request) -> Any:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(request, timeout=5)
